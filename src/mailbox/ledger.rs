//! The table of rows of all users, in memory that is lent to it.
//!
//! Rows stay in their slots for life, packed: 31 octets each, see [`packed`](super::packed). A
//! hash index finds the rows of a key: one head for some rows, and chains through the rows'
//! links. With 2^15 heads for 200,000 rows that is 31.7 octets a row all told.
//!
//! ```text
//! head --> last row of the chain --> first --> second --> ... --> last
//! ```
//!
//! A chain is a ring, and its head names the last: so a row is put in at the end at once, rows of
//! equal keys are found in the order they came, and taken out in that order at once, however many
//! there are. Vacant slots below the highest in use are chained both ways.
//!
//! Nothing here touches the medium: [`super::Mailbox`] writes each change down before it makes it
//! here.

use heapless::{Deque, Vec};

use crate::config::{Name, USERS};
use crate::reconcile::{Key, Known, Standing};
use crate::store::{Extent, Index, Stored};

use super::calls::{CallLog, CallRecord};
use super::failures::Failures;
use super::index::{self, Entry, FORMAT};
use super::packed::{CALLS_SLACK, DAYS_SLACK, Frame, SLOT_LIMIT, Slot, UID_LIMIT};
use super::row::{Lan, Row, Taken};

/// Rows of one commit whose copies must be looked at after a cut: some visits' batches. Those
/// beyond lose their copy at once, and are fetched again.
const DOUBTFUL: usize = 64;

/// Tombstones that one walk over the table finds: so many rows may be entered into a full ledger
/// before the next walk.
const TOMBSTONES: usize = 256;

/// UIDs passed over when the index was rebuilt: more rows than there may be had one without a copy.
const LOST_UIDS: u32 = 1 << 20;

/// What a head holds where its chain is empty; else it holds a slot plus one. So memory that the
/// system gives zeroed need not be touched before it is used.
const NONE: u32 = 0;

/// What the gateway remembers of a user besides the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user's name; empty: the account is free.
    pub name: Name,
    /// What is known of the source's habits.
    pub source: SourceRecord,
    /// What is known of its sizes. Not written down: to learn it again costs one `LIST`.
    pub sizes: Sizes,
}

/// How far a source's sizes agree with those of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Octets that `STAT` says more than the rows have in all, when each was looked at last.
    pub excess: i64,
    /// Its sizes differ from those of the mails: what they say of a change means nothing.
    pub inexact: bool,
}

/// What is known of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// Hash of its URL and login: another one is another source.
    pub fingerprint: u64,
    /// Whether a first listing has been believed and committed (design 2.11).
    pub visited: bool,
    /// Whether it keeps what is fetched (design 2.4).
    pub habit: Habit,
}

/// Whether a source keeps what is fetched from it (design 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    /// Nobody has tried.
    #[default]
    Untested,
    /// What was fetched was listed at the next login.
    Keeps,
    /// What was fetched was not listed any more.
    Consumes,
}

/// The table of rows, the accounts they belong to, and the log of calls.
#[derive(Debug)]
pub struct Ledger<'a> {
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
    accounts: [Account; USERS],
    next_uid: u32,
    /// What days and calls of packed rows are read by.
    frame: Frame,
    /// The frame when the rows were last aged.
    aged: Frame,
    failures: Failures,
    /// Users with an open maildrop: one bit each. Their copies are pinned.
    pinned: u32,
    /// Rows whose copies may not be whole: named by the last group of a journal that was cut.
    doubtful: Deque<u32, DOUBTFUL>,
    /// The rows that may go when room is needed, the first to go last; or none is known.
    tombstones: Vec<(Rank, u32), TOMBSTONES>,
    /// No row may go, as far as the last walk saw.
    barren: bool,
    /// The latest calls.
    log: CallLog<'a>,
    #[cfg(test)]
    walks: u32,
}

/// The order in which tombstones go: not taken before taken, then the oldest.
type Rank = (bool, u16);

/// The ledger has no free slot, or no UID is left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<'a> Ledger<'a> {
    /// An empty ledger over lent memory: `slots` all vacant, `heads` all zero and best a power of
    /// two, an eighth to a fourth of the slots; what does not fit is left unused.
    pub fn new(slots: &'a mut [Slot], heads: &'a mut [u32]) -> Self {
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
            accounts: core::array::from_fn(|_| Account::default()),
            next_uid: 0,
            frame: Frame::default(),
            aged: Frame::default(),
            failures: Failures::new(),
            pinned: 0,
            doubtful: Deque::new(),
            tombstones: Vec::new(),
            barren: false,
            log: CallLog::default(),
            #[cfg(test)]
            walks: 0,
        }
    }

    /// The same, with memory for the log of calls: a record each.
    #[must_use]
    pub fn with_calls(mut self, records: &'a mut [CallRecord]) -> Self {
        self.log = CallLog::new(records);
        self
    }

    /// Keeps the ledger at `rows` rows, if there is room for more: as many as its snapshot holds.
    pub fn limit(&mut self, rows: u32) {
        self.limit = self.limit.min(rows);
    }

    /// The slot the next row will get.
    ///
    /// # Errors
    /// [`Full`] if there is none.
    pub fn vacancy(&self) -> Result<u32, Full> {
        if self.rows >= self.limit || self.next_uid >= UID_LIMIT {
            return Err(Full);
        }
        match self.free {
            Some(slot) => Ok(slot),
            None if (self.used as usize) < self.slots.len() => Ok(self.used),
            None => Err(Full),
        }
    }

    /// The row that may go when room is needed: one that has gone from the LAN server, not taken
    /// before taken, the oldest first. Rows of an open maildrop stay.
    ///
    /// One walk over the table finds some hundred of them; so that entering many rows into a full
    /// ledger takes time in proportion.
    pub fn oldest_tombstone(&mut self) -> Option<u32> {
        loop {
            if self.tombstones.is_empty() && !self.barren {
                self.find_tombstones();
            }
            let &(rank, slot) = self.tombstones.last()?;
            if self.row(slot).and_then(|row| self.rank(&row)) == Some(rank) {
                return Some(slot);
            }
            // It has gone, or is something else by now.
            self.tombstones.pop();
        }
    }

    /// Puts `row` into `slot`, whatever was there. Slots beyond the table are ignored: a smaller
    /// table than the one that was saved shows fewer rows.
    pub fn put(&mut self, slot: u32, row: Row) {
        if slot as usize >= self.slots.len() {
            return;
        }
        self.remove(slot);
        self.see(&row);
        let Some(packed) = Slot::pack(&row, self.frame) else {
            log::error!("row {slot}: a UID or a user beyond any; left out");
            return;
        };
        self.claim(slot);
        self.next_uid = self.next_uid.max(row.uid.saturating_add(1));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = packed;
        }
        self.rows += 1;
        self.link(slot);
        self.entomb(&row);
    }

    /// Removes the row in `slot`, if there is one.
    pub fn remove(&mut self, slot: u32) {
        if !self.slot(slot).is_taken() {
            return;
        }
        self.unlink(slot);
        self.release(slot);
        self.rows -= 1;
    }

    /// Gives the row in `slot` another key.
    pub fn rekey(&mut self, slot: u32, key: Key) {
        let Some(row) = self.row(slot) else {
            return;
        };
        self.unlink(slot);
        if let Some(packed) = Slot::pack(&Row { key, ..row }, self.frame)
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            *place = packed;
        }
        self.link(slot);
    }

    /// Changes the facts of the row in `slot`, if there is one. Its key and user stay.
    pub fn change(&mut self, slot: u32, change: impl FnOnce(&mut Row)) {
        let Some(mut row) = self.row(slot) else {
            return;
        };
        let (key, user, uid) = (row.key, row.user, row.uid);
        change(&mut row);
        (row.key, row.user, row.uid) = (key, user, uid);
        self.see(&row);
        let link = self.slot(slot).link();
        if let Some(mut packed) = Slot::pack(&row, self.frame)
            && let Some(place) = self.slots.get_mut(slot as usize)
        {
            packed.set_link(link);
            *place = packed;
        }
        self.entomb(&row);
    }

    /// The row in `slot`.
    #[must_use]
    pub fn row(&self, slot: u32) -> Option<Row> {
        self.slot(slot).row(self.frame)
    }

    /// All rows of `user` with their slots.
    pub fn rows_of(&self, user: u8) -> impl Iterator<Item = (u32, Row)> {
        let slots = (0..).zip(self.used_slots());
        slots
            .filter(move |(_, slot)| slot.user() == user)
            .filter_map(|(at, slot)| Some((at, slot.row(self.frame)?)))
    }

    /// All rows with their slots.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Row)> {
        let slots = (0..).zip(self.used_slots());
        slots.filter_map(|(at, slot)| Some((at, slot.row(self.frame)?)))
    }

    /// How many rows there are, and how many there may be.
    #[must_use]
    pub fn fill(&self) -> (u32, u32) {
        (self.rows, self.limit)
    }

    /// One more than the highest slot in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used
    }

    /// A UID counter that was never given out before.
    pub fn fresh_uid(&mut self) -> u32 {
        let uid = self.next_uid;
        self.next_uid = uid.saturating_add(1);
        uid
    }

    /// The next UID counter; what a snapshot must keep.
    #[must_use]
    pub fn next_uid(&self) -> u32 {
        self.next_uid
    }

    /// Takes note that UID counters below `next` were given out.
    pub fn raise_uid(&mut self, next: u32) {
        self.next_uid = self.next_uid.max(next);
    }

    /// The number of the latest call that took anything.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.frame.calls
    }

    /// Takes note of call `number`.
    pub fn raise_calls(&mut self, number: u32) {
        if number > self.frame.calls {
            let calls = number;
            self.move_on(Frame {
                calls,
                ..self.frame
            });
        }
    }

    /// The newest day that was seen; what a snapshot must keep.
    #[must_use]
    pub fn today(&self) -> u16 {
        self.frame.today
    }

    /// Takes note of a day; 0 is none.
    pub fn raise_day(&mut self, today: u16) {
        if today > self.frame.today {
            self.move_on(Frame {
                today,
                ..self.frame
            });
        }
    }

    /// The clock was wrong, and `today` is right: what was dated later is of today.
    pub fn turn_back(&mut self, today: u16) {
        if today != 0 && today < self.frame.today {
            self.reframe(Frame {
                today,
                ..self.frame
            });
        }
    }

    /// The log of calls.
    #[must_use]
    pub fn log(&self) -> &CallLog<'a> {
        &self.log
    }

    /// The log of calls, to write.
    pub(super) fn log_mut(&mut self) -> &mut CallLog<'a> {
        &mut self.log
    }

    /// Logins that failed.
    #[must_use]
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Logins that failed, to write.
    pub fn failures_mut(&mut self) -> &mut Failures {
        &mut self.failures
    }

    /// Account `user`.
    #[must_use]
    pub fn account(&self, user: u8) -> Option<&Account> {
        self.accounts.get(usize::from(user))
    }

    /// Account `user`, to write.
    pub fn account_mut(&mut self, user: u8) -> Option<&mut Account> {
        self.accounts.get_mut(usize::from(user))
    }

    /// All accounts, free ones included, in order.
    pub fn accounts(&self) -> impl Iterator<Item = (u8, &Account)> {
        (0..).zip(&self.accounts)
    }

    /// The account called `name`.
    #[must_use]
    pub fn find_account(&self, name: &str) -> Option<u8> {
        self.accounts()
            .find(|(_, account)| account.name == name)
            .map(|(user, _)| user)
    }

    /// Pins the copies of `user` (its maildrop is open), or lets them go again.
    pub fn pin(&mut self, user: u8, pinned: bool) {
        let bit = 1_u32.checked_shl(u32::from(user)).unwrap_or(0);
        if pinned {
            self.pinned |= bit;
        } else {
            self.pinned &= !bit;
            // Its tombstones may go again, and be older than those that were found.
            self.tombstones.clear();
            self.barren = false;
        }
    }

    /// Whether the copies of `user` are pinned.
    #[must_use]
    pub fn is_pinned(&self, user: u8) -> bool {
        self.pinned & 1_u32.checked_shl(u32::from(user)).unwrap_or(0) != 0
    }

    /// The rows of `user` as a listing is compared with them.
    #[must_use]
    pub fn known(&self, user: u8) -> KnownRows<'_> {
        KnownRows { ledger: self, user }
    }

    /// The next row whose copy must be looked at.
    pub fn next_doubtful(&mut self) -> Option<u32> {
        self.doubtful.pop_front()
    }

    /// The slot of a row with the UID of `row`: mostly it has its key too. Where it was re-keyed
    /// all are looked at, but not for a UID above all seen, as that of a mail copied once is.
    fn slot_of_uid(&self, row: &Row) -> Option<u32> {
        if row.uid >= self.next_uid {
            return None;
        }
        let known = self.known(row.user);
        let mut of_key = core::iter::successors(known.first(row.key), |&slot| known.next(slot));
        let is_same = |slot: u32| self.row(slot).is_some_and(|known| known.uid == row.uid);
        of_key
            .find(|&slot| is_same(slot))
            .or_else(|| (0..self.used).find(|&slot| is_same(slot)))
    }

    /// The copy of `slot` may not be whole.
    fn doubt(&mut self, slot: u32) {
        if self.doubtful.push_back(slot).is_err() {
            self.change(slot, |row| row.copy = None);
        }
    }

    /// What may go when room is needed, and in which order.
    fn rank(&self, row: &Row) -> Option<Rank> {
        // A row of day 0 came while no clock was trusted: nobody knows its age.
        let age = row.since.wrapping_sub(1);
        let gone = row.lan == Lan::Absent && !self.is_pinned(row.user);
        gone.then_some((row.taken == Taken::Full, age))
    }

    /// A row was written: if it goes before those that were found, they are not the first any
    /// more.
    fn entomb(&mut self, row: &Row) {
        let Some(rank) = self.rank(row) else {
            return;
        };
        self.barren = false;
        if self
            .tombstones
            .first()
            .is_some_and(|&(youngest, _)| rank < youngest)
        {
            self.tombstones.clear();
        }
    }

    /// Finds the tombstones that go first.
    fn find_tombstones(&mut self) {
        #[cfg(test)]
        {
            self.walks += 1;
        }
        let mut found: Vec<(Rank, u32), TOMBSTONES> = Vec::new();
        for (slot, row) in self.rows() {
            let Some(rank) = self.rank(&row) else {
                continue;
            };
            let place = (rank, slot);
            if found.is_full() {
                if found.first().is_some_and(|&youngest| youngest <= place) {
                    continue;
                }
                found.remove(0);
            }
            // The oldest last. There is room: the youngest has gone.
            let at = found.partition_point(|&other| other > place);
            let _ = found.insert(at, place);
        }
        self.barren = found.is_empty();
        self.tombstones = found;
    }

    /// Takes note of the day and the call of a row.
    fn see(&mut self, row: &Row) {
        self.raise_day(row.since);
        if row.taken != Taken::No {
            self.raise_calls(row.call);
        }
    }

    /// The newest day or call is another; rows that could be misread by it are aged first.
    fn move_on(&mut self, frame: Frame) {
        let days = frame.today.saturating_sub(self.aged.today);
        let calls = frame.calls.saturating_sub(self.aged.calls);
        if days > DAYS_SLACK || calls > CALLS_SLACK {
            self.reframe(frame);
        } else {
            self.frame = frame;
        }
    }

    fn reframe(&mut self, frame: Frame) {
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
        self.tombstones.clear();
    }

    fn slot(&self, slot: u32) -> Slot {
        let slot = self.slots.get(slot as usize);
        slot.copied().unwrap_or(Slot::VACANT)
    }

    fn used_slots(&self) -> &[Slot] {
        self.slots.get(..self.used as usize).unwrap_or_default()
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
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Slot::vacant_between(None, self.free);
        }
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
        let home = self.home(packed.key(), packed.user());
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

/// The rows of one user.
#[derive(Debug)]
pub struct KnownRows<'l> {
    ledger: &'l Ledger<'l>,
    user: u8,
}

impl Known for KnownRows<'_> {
    fn first(&self, key: Key) -> Option<u32> {
        let home = self.ledger.home(key, self.user);
        let last = self.ledger.last(home)?;
        self.ledger.search(home, last, key, self.user)
    }

    fn next(&self, slot: u32) -> Option<u32> {
        let key = self.ledger.slot(slot).key();
        let home = self.ledger.home(key, self.user);
        if self.ledger.last(home)? == slot {
            return None;
        }
        self.ledger.search(home, slot, key, self.user)
    }

    fn slots(&self) -> u32 {
        self.ledger.used
    }

    fn standing(&self, slot: u32) -> Option<Standing> {
        let packed = self.ledger.slot(slot);
        if packed.user() != self.user {
            return None;
        }
        let row = packed.row(self.ledger.frame)?;
        Some(Standing {
            listed: row.is_listed(),
            taken: row.taken == Taken::Full,
            identity: row.identity,
            size: row.size,
        })
    }
}

impl Index for Ledger<'_> {
    fn clear(&mut self) {
        let used = self.slots.get_mut(..self.used as usize);
        used.unwrap_or_default().fill(Slot::VACANT);
        if self.used > 0 {
            self.heads.fill(NONE);
        }
        (self.used, self.rows, self.free) = (0, 0, None);
        self.accounts.fill(Account::default());
        self.doubtful.clear();
        self.tombstones.clear();
        self.barren = false;
        self.log.clear();
        self.next_uid = 0;
        (self.frame, self.aged) = (Frame::default(), Frame::default());
    }

    fn part(&self, from: u32, out: &mut [u8]) -> (usize, Option<u32>) {
        let Some((version, rest)) = out.split_first_mut() else {
            return (0, Some(from));
        };
        *version = FORMAT;
        let (used, next) = index::part(self, from, rest);
        (used + 1, next)
    }

    fn restore(&mut self, part: &[u8]) {
        let Some((&FORMAT, entries)) = part.split_first() else {
            log::error!("index: a part of another format is left out");
            return;
        };
        if index::restore(self, entries).is_err() {
            log::error!("index: an entry cannot be read; what follows it is left out");
        }
    }

    fn replay(&mut self, entry: &[u8], settled: bool) {
        self.restore(entry);
        if settled {
            return;
        }
        let read = entry.split_first().map(|(_, entry)| Entry::read(entry));
        if let Some(Ok((Entry::Row(slot, _) | Entry::Copy(slot, ..), _))) = read {
            self.doubt(slot);
        }
    }

    /// A row of which nothing is known but its copy: listed, unread and not taken, until a visit
    /// and a call say otherwise.
    fn rebuild(&mut self, head: &[u8], copy: &Stored) {
        let Some((row, name)) = index::read_head(head) else {
            return;
        };
        let (Some(account), Ok(name)) = (self.account_mut(row.user), Name::try_from(name)) else {
            return;
        };
        if name.is_empty() {
            return;
        }
        let is_anothers = !account.name.is_empty() && account.name != name;
        account.name = name;
        if is_anothers {
            // The account was given to another user later: nothing of the first one is his.
            for slot in 0..self.used {
                if self.row(slot).is_some_and(|old| old.user == row.user) {
                    self.remove(slot);
                }
            }
        }
        let row = Row {
            size: u32::try_from(copy.octets).unwrap_or(u32::MAX),
            copy: Some(copy.place),
            lan: Lan::Unread,
            taken: Taken::No,
            call: 0,
            ..row
        };
        let slot = self.slot_of_uid(&row).or_else(|| self.vacancy().ok());
        if let Some(slot) = slot {
            self.put(slot, row);
        }
    }

    fn rebuilt(&mut self) {
        self.next_uid = self.next_uid.saturating_add(LOST_UIDS);
    }

    /// A copy that callers may be reading stays, and so does an only copy that nobody took.
    fn may_evict(&mut self, extent: Extent<'_>) -> bool {
        let lies = |slot: &&Slot| slot.copy().is_some_and(|place| extent.holds(place));
        let mut touched = self.used_slots().iter().filter(lies);
        touched.all(|slot| {
            slot.row(self.frame).is_none_or(|row| {
                // What was taken is in no maildrop any more that could still read it.
                let wanted = row.lan == Lan::Ours || self.is_pinned(row.user);
                row.taken == Taken::Full || !wanted
            })
        })
    }

    fn evicted(&mut self, extent: Extent<'_>) {
        for slot in 0..self.used {
            if self
                .slot(slot)
                .copy()
                .is_some_and(|place| extent.holds(place))
            {
                self.change(slot, |row| row.copy = None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Place;
    use std::collections::BTreeMap;

    fn row(key: u64, user: u8, uid: u32) -> Row {
        Row {
            key: Key(key),
            identity: None,
            size: 1,
            uid,
            copy: None,
            since: 0,
            call: 0,
            user,
            lan: Lan::Unread,
            taken: Taken::No,
        }
    }

    /// Random operations against a map: what is in is found, and nothing else.
    #[test]
    fn it_agrees_with_a_map_after_any_operations() {
        for seed in 1..200_u64 {
            // Few heads: long chains are what may go wrong.
            let (mut slots, mut index) = ([Slot::default(); 24], [0; 4]);
            let mut ledger = Ledger::new(&mut slots, &mut index);
            let mut model: BTreeMap<u32, Row> = BTreeMap::new();
            let mut random = seed;
            let mut next = |bound: u64| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (random >> 33) % bound
            };
            for step in 0..300 {
                match next(4) {
                    0 | 1 => {
                        let new = row(next(12), u8::try_from(next(3)).unwrap(), step);
                        let slot = match next(4) {
                            // As a journal is replayed: into any slot.
                            0 => u32::try_from(next(24)).unwrap(),
                            _ => match ledger.vacancy() {
                                Ok(slot) => {
                                    assert!(!model.contains_key(&slot));
                                    slot
                                }
                                Err(Full) => {
                                    assert_eq!(model.len(), 24, "seed {seed}");
                                    continue;
                                }
                            },
                        };
                        ledger.put(slot, new);
                        model.insert(slot, new);
                    }
                    2 => {
                        let slot = u32::try_from(next(24)).unwrap();
                        ledger.remove(slot);
                        model.remove(&slot);
                    }
                    _ => {
                        let (slot, key) = (u32::try_from(next(24)).unwrap(), Key(next(12)));
                        ledger.rekey(slot, key);
                        if let Some(row) = model.get_mut(&slot) {
                            row.key = key;
                        }
                    }
                }
                assert!(ledger.rows().eq(model.clone()), "seed {seed}");
                assert_eq!(ledger.fill(), (u32::try_from(model.len()).unwrap(), 24));
                for user in 0..3 {
                    for key in (0..12).map(Key) {
                        let known = ledger.known(user);
                        let next = |slot: &u32| known.next(*slot);
                        let found = core::iter::successors(known.first(key), next);
                        let mut found: std::vec::Vec<u32> = found.collect();
                        found.sort_unstable();
                        let expected = model
                            .iter()
                            .filter(|(_, row)| row.key == key && row.user == user)
                            .map(|(slot, _)| *slot);
                        assert!(expected.eq(found), "seed {seed}");
                    }
                }
            }
        }
    }

    /// Design 2.13: untaken tombstones go first, the oldest of them; what is listed never goes.
    #[test]
    fn sentence_2_13_tombstones_give_way_in_order() {
        let (mut slots, mut index) = ([Slot::default(); 8], [0; 16]);
        let mut ledger = Ledger::new(&mut slots, &mut index);
        let rows = [
            (Lan::Unread, Taken::Full, 1),
            (Lan::Absent, Taken::Full, 1),
            (Lan::Absent, Taken::No, 9),
            (Lan::Absent, Taken::No, 0),
            (Lan::Absent, Taken::No, 3),
            (Lan::Ours, Taken::No, 1),
            (Lan::Absent, Taken::Full, 5),
        ];
        for (slot, (lan, taken, since)) in (0..).zip(rows) {
            let row = row(u64::from(slot), 0, slot);
            ledger.put(
                slot,
                Row {
                    lan,
                    taken,
                    since,
                    ..row
                },
            );
        }
        let mut gone = std::vec::Vec::new();
        while let Some(slot) = ledger.oldest_tombstone() {
            ledger.remove(slot);
            gone.push(slot);
        }
        assert_eq!(gone, [4, 2, 3, 1, 6]);
        ledger.put(
            1,
            Row {
                lan: Lan::Absent,
                ..row(1, 0, 1)
            },
        );
        ledger.pin(0, true);
        assert_eq!(ledger.oldest_tombstone(), None);
    }

    /// Design 2.11: after a store loss what the ring holds is there, and nothing counts as taken.
    #[test]
    fn sentence_2_11_what_the_ring_holds_is_offered_after_a_loss() {
        let (mut slots, mut index) = ([Slot::default(); 8], [0; 16]);
        let mut ledger = Ledger::new(&mut slots, &mut index);
        let mut found = |row: Row, name: &str, place| {
            let mut head = [0; 256];
            let length = index::head(&row, name, &mut head);
            let copy = Stored {
                place: Place(place),
                octets: 77,
                crc: 0,
            };
            ledger.rebuild(&head[..length], &copy);
        };
        let taken = Row {
            lan: Lan::Absent,
            taken: Taken::Full,
            call: 9,
            ..row(1, 0, 5)
        };
        found(row(3, 1, 2), "first", 9);
        found(taken, "alice", 10);
        found(row(1, 0, 6), "alice", 20);
        // Copied again: the later place holds, also under another key.
        found(taken, "alice", 25);
        let rekeyed = Row {
            key: Key(12),
            ..taken
        };
        found(rekeyed, "alice", 30);
        // Account 1 was given to another user later; an account without a name is nobody's.
        found(row(4, 1, 7), "second", 40);
        found(row(4, 2, 8), "", 50);
        ledger.rebuild(
            b"whatever",
            &Stored {
                place: Place(1),
                octets: 1,
                crc: 1,
            },
        );
        ledger.rebuilt();
        let rows: std::vec::Vec<_> = ledger
            .rows()
            .map(|(_, row)| {
                (
                    row.user,
                    row.uid,
                    row.copy.unwrap().0,
                    row.lan,
                    row.taken,
                    row.size,
                )
            })
            .collect();
        let expected = [(1, 7, 40), (0, 5, 30), (0, 6, 20)];
        let expected =
            expected.map(|(user, uid, place)| (user, uid, place, Lan::Unread, Taken::No, 77));
        assert_eq!(rows, expected);
        let names: std::vec::Vec<_> = ledger
            .accounts()
            .map(|(_, a)| a.name.as_str())
            .take(3)
            .collect();
        assert_eq!(names, ["alice", "second", ""]);
        assert!(ledger.rows().any(|(_, row)| row.key == Key(12)));
        // Rows without a copy are lost, and what UIDs they had: none is given out again.
        assert!(ledger.fresh_uid() > 1 << 20);
    }

    /// Design 2.10: a UID counter is never given out twice, whatever was removed.
    #[test]
    fn sentence_2_10_uids_are_never_reused() {
        let (mut slots, mut index) = ([Slot::default(); 8], [0; 16]);
        let mut ledger = Ledger::new(&mut slots, &mut index);
        let mut last = None;
        for _ in 0..100 {
            let uid = ledger.fresh_uid();
            assert!(last < Some(uid));
            last = Some(uid);
            let slot = ledger.vacancy().unwrap();
            ledger.put(slot, row(1, 0, uid));
            ledger.remove(slot);
        }
    }

    /// RFC 1939 §7: equal ids are legal. They are found in the order they came, and taken out in
    /// it, in time that grows with their number.
    #[test]
    fn many_equal_keys_are_found_in_order_and_taken_out() {
        let mut slots = vec![Slot::VACANT; 50_000];
        let mut heads = vec![0; 64];
        let mut ledger = Ledger::new(&mut slots, &mut heads);
        for slot in 0..50_000 {
            ledger.put(slot, row(7, 1, slot));
        }
        let known = ledger.known(1);
        let found = core::iter::successors(known.first(Key(7)), |slot| known.next(*slot));
        assert!(found.eq(0..50_000));
        assert_eq!(ledger.known(0).first(Key(7)), None);
        for slot in 0..50_000 {
            ledger.rekey(slot, Key(u64::from(slot) + 8));
        }
        assert_eq!(ledger.known(1).first(Key(7)), None);
        assert_eq!(ledger.known(1).first(Key(8)), Some(0));
    }

    /// Design 2.13 with the ledger full: finding what goes first takes a walk for some hundred.
    #[test]
    fn sentence_2_13_a_full_ledger_is_not_walked_for_every_row() {
        const ROWS: u32 = 20_000;
        let mut slots = vec![Slot::VACANT; ROWS as usize];
        let mut heads = vec![0; 4096];
        let mut ledger = Ledger::new(&mut slots, &mut heads);
        for slot in 0..ROWS {
            let lan = if slot < ROWS / 2 {
                Lan::Absent
            } else {
                Lan::Unread
            };
            let since = 1000 + u16::try_from(slot * 7919 % 400).unwrap();
            ledger.put(
                slot,
                Row {
                    lan,
                    since,
                    ..row(slot.into(), 0, slot)
                },
            );
        }
        let mut before = 0;
        for uid in 0..ROWS / 2 {
            assert_eq!(ledger.vacancy(), Err(Full));
            let slot = ledger.oldest_tombstone().unwrap();
            let since = ledger.row(slot).unwrap().since;
            assert!(since >= before, "the oldest first");
            before = since;
            ledger.remove(slot);
            let vacancy = ledger.vacancy().unwrap();
            ledger.put(vacancy, row(u64::from(ROWS + uid), 0, ROWS + uid));
        }
        for _ in 0..1000 {
            assert_eq!(ledger.oldest_tombstone(), None);
        }
        assert!(ledger.walks <= ROWS / 2 / 256 + 3, "{} walks", ledger.walks);
        // One that goes before those that were found is found.
        ledger.change(5, |row| row.lan = Lan::Absent);
        assert_eq!(ledger.oldest_tombstone(), Some(5));
    }

    /// Days and calls are packed: what the newest overtakes stays what it may.
    #[test]
    fn days_and_calls_hold_through_years() {
        let (mut slots, mut heads) = ([Slot::VACANT; 4], [0; 4]);
        let mut ledger = Ledger::new(&mut slots, &mut heads);
        let old = Row {
            since: 20_000,
            call: 1,
            taken: Taken::Full,
            ..row(1, 0, 0)
        };
        ledger.put(0, old);
        for step in 0..3000_u32 {
            let day = 20_000 + u16::try_from(step).unwrap();
            ledger.raise_day(day);
            ledger.raise_calls(1 + step);
            let found = ledger.row(0).unwrap();
            let age = day - found.since;
            let expected = u16::try_from(step).unwrap();
            assert!(
                age == expected || age > 400 && age < expected,
                "{step} {age}"
            );
            assert!(found.call == 1 || found.call == 0 && step > 1000, "{step}");
        }
        assert_eq!(ledger.row(0).unwrap().call, 0);
        // A clock that was wrong: nothing gets older by it.
        ledger.put(
            1,
            Row {
                since: 30_000,
                ..row(2, 0, 1)
            },
        );
        ledger.turn_back(23_000);
        assert_eq!(ledger.row(1).unwrap().since, 23_000);
        assert_eq!(ledger.row(0).unwrap().since, 23_000);
    }

    #[test]
    fn a_limit_holds_and_uids_come_to_an_end() {
        let (mut slots, mut heads) = ([Slot::VACANT; 9], [0; 4]);
        let mut ledger = Ledger::new(&mut slots, &mut heads);
        ledger.limit(3);
        for uid in 0..3 {
            let slot = ledger.vacancy().unwrap();
            ledger.put(slot, row(1, 0, uid));
        }
        assert_eq!((ledger.vacancy(), ledger.fill()), (Err(Full), (3, 3)));
        ledger.remove(1);
        assert_eq!(ledger.vacancy(), Ok(1));
        ledger.raise_uid(UID_LIMIT);
        assert_eq!(ledger.vacancy(), Err(Full));
    }
}
