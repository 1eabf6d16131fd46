//! Rows in slots of lent memory, and the hash index that finds those of a key.
//!
//! Rows stay in their slots for life, packed: 31 octets each, see [`packed`](super::packed). A
//! hash index finds the rows of a key: one head for some rows, and chains through the rows'
//! links. With 2^15 heads for 200,000 rows that is 31.7 octets a row all told.
//!
//! ```text
//! head --> last row of the chain --> first --> second --> ... --> last
//! ```
//!
//! A chain is a ring, and its head names the last: so a row is put in at the end at once (after a look
//! for a first one of its key, as long as this user has no two of any), rows of
//! equal keys are found in the order they came, and taken out in that order at once, however many
//! there are. Vacant slots below the highest in use are chained both ways.

use crate::reconcile::Key;

use super::packed::{CALLS_SLACK, DAYS_SLACK, Frame, SLOT_LIMIT, Slot};
use super::row::Row;

/// What a head holds where its chain is empty; else it holds a slot plus one. So memory that the
/// system gives zeroed need not be touched before it is used.
const NONE: u32 = 0;

/// The rows of all users.
#[derive(Debug)]
pub(super) struct Table<'a> {
    slots: &'a mut [Slot],
    /// The last slot of each chain, plus one; a power of two of them.
    heads: &'a mut [u32],
    /// One more than the highest slot in use.
    used: u32,
    rows: u32,
    /// So many rows at most.
    limit: u32,
    /// The first vacant slot below `used`.
    free: Option<u32>,
    /// The users, one bit each, of whom two rows may have one key.
    twins: u32,
    /// What days and calls of packed rows are read by.
    frame: Frame,
    /// The frame when the rows were last aged.
    aged: Frame,
}

impl<'a> Table<'a> {
    /// An empty table: `slots` all vacant, `heads` all zero and best a power of two, an eighth to
    /// a fourth of the slots; what does not fit is left unused.
    pub(super) fn new(slots: &'a mut [Slot], heads: &'a mut [u32]) -> Self {
        let size = heads.len().checked_ilog2().map_or(0, |bits| 1 << bits);
        let heads = heads.get_mut(..size).unwrap_or_default();
        let fit = if heads.is_empty() {
            0
        } else {
            slots.len().min(SLOT_LIMIT as usize)
        };
        let slots = slots.get_mut(..fit).unwrap_or_default();
        Self {
            limit: u32::try_from(fit).unwrap_or(0),
            slots,
            heads,
            used: 0,
            rows: 0,
            free: None,
            twins: 0,
            frame: Frame::default(),
            aged: Frame::default(),
        }
    }

    /// Forgets every row, and what days and calls were seen.
    pub(super) fn clear(&mut self) {
        let used = self.slots.get_mut(..self.used as usize);
        used.unwrap_or_default().fill(Slot::VACANT);
        if self.used > 0 {
            self.heads.fill(NONE);
        }
        (self.used, self.rows, self.free, self.twins) = (0, 0, None, 0);
        (self.frame, self.aged) = (Frame::default(), Frame::default());
    }

    /// Keeps the table at `rows` rows, if there is room for more.
    pub(super) fn limit(&mut self, rows: u32) {
        self.limit = self.limit.min(rows);
    }

    /// The slot the next row will get; `None` if the table is full.
    pub(super) fn vacancy(&self) -> Option<u32> {
        if self.rows >= self.limit {
            return None;
        }
        let beyond = ((self.used as usize) < self.slots.len()).then_some(self.used);
        self.free.or(beyond)
    }

    /// Whether there is such a slot, taken or not.
    pub(super) fn has(&self, slot: u32) -> bool {
        (slot as usize) < self.slots.len()
    }

    /// Puts `row` into `slot`, which the table [`has`](Self::has), whatever was there; `None` if
    /// the row's UID or user is beyond any.
    pub(super) fn put(&mut self, slot: u32, row: &Row) -> Option<()> {
        self.remove(slot);
        let packed = Slot::pack(row, self.frame)?;
        self.claim(slot);
        self.write(slot, packed);
        self.rows += 1;
        self.link(slot);
        Some(())
    }

    /// Removes the row in `slot`, if there is one.
    pub(super) fn remove(&mut self, slot: u32) {
        if !self.slot(slot).is_taken() {
            return;
        }
        self.unlink(slot);
        self.release(slot);
        self.rows -= 1;
    }

    /// Gives the row in `slot` another key: it comes last of those that have it.
    pub(super) fn rekey(&mut self, slot: u32, key: Key) {
        let Some(row) = self.row(slot) else {
            return;
        };
        self.unlink(slot);
        if let Some(packed) = Slot::pack(&Row { key, ..row }, self.frame) {
            self.write(slot, packed);
        }
        self.link(slot);
    }

    /// Writes other facts of the row in `slot`, whose key and user are those of `row`.
    pub(super) fn rewrite(&mut self, slot: u32, row: &Row) {
        let link = self.slot(slot).link();
        if let Some(mut packed) = Slot::pack(row, self.frame) {
            packed.set_link(link);
            self.write(slot, packed);
        }
    }

    /// The row in `slot`.
    pub(super) fn row(&self, slot: u32) -> Option<Row> {
        self.slot(slot).row(self.frame)
    }

    /// What is in `slot`, packed.
    pub(super) fn slot(&self, slot: u32) -> Slot {
        let slot = self.slots.get(slot as usize);
        slot.copied().unwrap_or(Slot::VACANT)
    }

    /// The slots up to the highest in use.
    pub(super) fn used_slots(&self) -> &[Slot] {
        self.slots.get(..self.used as usize).unwrap_or_default()
    }

    /// All rows with their slots.
    pub(super) fn rows(&self) -> impl Iterator<Item = (u32, Row)> {
        let slots = (0..).zip(self.used_slots());
        slots.filter_map(|(at, slot)| Some((at, slot.row(self.frame)?)))
    }

    /// All rows of `user` with their slots.
    pub(super) fn rows_of(&self, user: u8) -> impl Iterator<Item = (u32, Row)> {
        let slots = (0..).zip(self.used_slots());
        slots
            .filter(move |(_, slot)| slot.user() == user)
            .filter_map(|(at, slot)| Some((at, slot.row(self.frame)?)))
    }

    /// One more than the highest slot in use.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// How many rows there are, and how many there may be.
    pub(super) fn fill(&self) -> (u32, u32) {
        (self.rows, self.limit)
    }

    /// The slot of the only row of `user` with `key`; of several, none. It is found without a
    /// search where it lies in `guess` and no two rows of this user ever had one key.
    pub(super) fn only(&self, key: Key, user: u8, guess: u32) -> Option<u32> {
        let packed = self.slot(guess);
        let is_it = packed.is_taken() && packed.key() == key && packed.user() == user;
        if is_it && self.twins & bit(user) == 0 {
            return Some(guess);
        }
        let first = self.first(key, user)?;
        self.next(first).is_none().then_some(first)
    }

    /// What days and calls of the rows are read by.
    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// The slot of the first row of `user` with `key`.
    pub(super) fn first(&self, key: Key, user: u8) -> Option<u32> {
        let home = self.home(key, user);
        let last = self.last(home)?;
        self.search(home, last, key, user)
    }

    /// The slot of the row of the same user and key that came next after that in `slot`.
    pub(super) fn next(&self, slot: u32) -> Option<u32> {
        let packed = self.slot(slot);
        let (key, user) = (packed.key(), packed.user());
        let home = self.home(key, user);
        if self.last(home)? == slot {
            return None;
        }
        self.search(home, slot, key, user)
    }

    /// The newest day or call is another; rows that could be misread by it are aged first.
    /// Whether any row may have another age now.
    pub(super) fn move_on(&mut self, frame: Frame) -> bool {
        let days = frame.today.saturating_sub(self.aged.today);
        let calls = frame.calls.saturating_sub(self.aged.calls);
        let ages = days > DAYS_SLACK || calls > CALLS_SLACK;
        if ages {
            self.reframe(frame);
        } else {
            self.frame = frame;
        }
        ages
    }

    /// Ages the rows: what `frame` says is newest, though it was later before.
    pub(super) fn reframe(&mut self, frame: Frame) {
        for slot in self.slots.iter_mut().take(self.used as usize) {
            let Some(row) = slot.row(self.frame) else {
                continue;
            };
            if let Some(mut packed) = Slot::pack(&row, frame) {
                packed.set_link(slot.link());
                *slot = packed;
            }
        }
        (self.frame, self.aged) = (frame, frame);
    }

    fn write(&mut self, slot: u32, packed: Slot) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            *slot = packed;
        }
    }

    fn set_link(&mut self, slot: u32, link: Option<u32>) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.set_link(link);
        }
    }

    /// Takes `slot` off the vacant ones.
    fn claim(&mut self, slot: u32) {
        if slot >= self.used {
            // Slots that are skipped become vacant ones.
            let first = core::mem::replace(&mut self.used, slot + 1);
            for between in first..slot {
                self.release(between);
            }
            return;
        }
        let vacant = self.slot(slot);
        match vacant.before() {
            Some(before) => self.set_link(before, vacant.link()),
            None => self.free = vacant.link(),
        }
        if let Some(after) = vacant.link() {
            self.set_before(after, vacant.before());
        }
    }

    /// Puts `slot` before the vacant ones.
    fn release(&mut self, slot: u32) {
        self.write(slot, Slot::vacant_between(None, self.free));
        if let Some(after) = self.free {
            self.set_before(after, Some(slot));
        }
        self.free = Some(slot);
    }

    fn set_before(&mut self, slot: u32, before: Option<u32>) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.set_before(before);
        }
    }

    fn home(&self, key: Key, user: u8) -> usize {
        // Two users on one account have the same keys. Any bits of a hash are as good as others.
        let mixed = key.0 ^ u64::from(user).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = mixed ^ mixed >> 32;
        usize::try_from(mixed & 0xffff_ffff).unwrap_or(0) & self.heads.len().wrapping_sub(1)
    }

    /// The last slot of the chain.
    fn last(&self, home: usize) -> Option<u32> {
        self.heads.get(home)?.checked_sub(1)
    }

    /// Puts `slot` at the end of the chain of its key.
    fn link(&mut self, slot: u32) {
        let packed = self.slot(slot);
        let (key, user) = (packed.key(), packed.user());
        let home = self.home(key, user);
        if self.twins & bit(user) == 0 && self.first(key, user).is_some() {
            self.twins |= bit(user);
        }
        let first = match self.last(home) {
            Some(last) => {
                let first = self.slot(last).link();
                self.set_link(last, Some(slot));
                first
            }
            None => Some(slot),
        };
        self.set_link(slot, first);
        if let Some(head) = self.heads.get_mut(home) {
            *head = slot + 1;
        }
    }

    /// Takes `slot` out of the chain of its key.
    fn unlink(&mut self, slot: u32) {
        let packed = self.slot(slot);
        let home = self.home(packed.key(), packed.user());
        let Some(last) = self.last(home) else {
            return;
        };
        let mut before = last;
        for _ in 0..self.rows {
            let Some(at) = self.slot(before).link() else {
                return;
            };
            if at == slot {
                break;
            }
            before = at;
        }
        let alone = before == slot;
        self.set_link(before, packed.link());
        if let Some(head) = self.heads.get_mut(home) {
            *head = match (alone, last == slot) {
                (true, _) => NONE,
                (false, true) => before + 1,
                (false, false) => *head,
            };
        }
    }

    /// The first row of `user` with `key` in the chain of `home` behind `before`.
    fn search(&self, home: usize, before: u32, key: Key, user: u8) -> Option<u32> {
        let last = self.last(home)?;
        let mut before = before;
        for _ in 0..self.rows {
            let at = self.slot(before).link()?;
            let packed = self.slot(at);
            if packed.key() == key && packed.user() == user {
                return Some(at);
            }
            if at == last {
                return None;
            }
            before = at;
        }
        None
    }
}

const _: () = assert!(crate::config::USERS <= 32);

/// The bit of a user.
fn bit(user: u8) -> u32 {
    1_u32.wrapping_shl(u32::from(user))
}
