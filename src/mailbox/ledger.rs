//! The table of rows of all users, in memory that is lent to it.
//!
//! Rows stay in their slots for life. A hash index finds the rows of a key; the slots that are
//! free are chained. Nothing here touches the medium: [`super::Mailbox`] writes each change down
//! before it makes it here.

use heapless::Deque;

use crate::config::{Name, USERS};
use crate::reconcile::{Key, Known, Standing};
use crate::store::{Extent, Index};

use super::index::{self, Entry, FORMAT};
use super::row::{Lan, Row, Taken};

/// A slot of the table.
///
/// With a tag of its own, a vacant slot is zero: a table of them that the system gives zeroed need
/// not be written to before it is used. In a niche of [`Row`] it would be anything.
#[derive(Clone, Copy, Debug, Default)]
#[repr(u8)]
pub enum Slot {
    /// Nothing; the next free slot, if any.
    #[default]
    Vacant,
    /// A chained free slot.
    Free(Option<u32>),
    /// A row.
    Taken(Row),
}

/// Rows of one commit whose copies must be looked at after a cut: some visits' batches. Those
/// beyond lose their copy at once, and are fetched again.
const DOUBTFUL: usize = 64;

/// What the hash index holds where it holds nothing; else it holds a slot plus one. So memory
/// that the system gives zeroed need not be touched before it is used.
const NONE: u32 = 0;

/// What the gateway remembers of a user besides the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user's name; empty: the account is free.
    pub name: Name,
    /// What is known of the source's habits.
    pub source: SourceRecord,
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

/// The table of rows, and the accounts they belong to.
#[derive(Debug)]
pub struct Ledger<'a> {
    slots: &'a mut [Slot],
    /// Open addressing with linear probing; a power of two, at least twice the slots.
    index: &'a mut [u32],
    /// One more than the highest slot in use.
    used: u32,
    rows: u32,
    free: Option<u32>,
    accounts: [Account; USERS],
    next_uid: u32,
    calls: u32,
    /// Users with an open maildrop: one bit each. Their copies are pinned.
    pinned: u32,
    /// Rows whose copies may not be whole: named by the last group of a journal that was cut.
    doubtful: Deque<u32, DOUBTFUL>,
}

/// The ledger has no free slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<'a> Ledger<'a> {
    /// An empty ledger over lent memory: `slots` all vacant, `index` all zero, and best a power of
    /// two of at least twice the length of `slots`; what does not fit is left unused.
    pub fn new(slots: &'a mut [Slot], index: &'a mut [u32]) -> Self {
        let size = match index.len().checked_next_power_of_two() {
            Some(size) if size == index.len() => size,
            Some(size) => size / 2,
            None => 0,
        };
        let index = index.get_mut(..size).unwrap_or_default();
        let fit = slots.len().min(size / 2);
        let slots = slots.get_mut(..fit).unwrap_or_default();
        Self {
            slots,
            index,
            used: 0,
            rows: 0,
            free: None,
            accounts: core::array::from_fn(|_| Account::default()),
            next_uid: 0,
            calls: 0,
            pinned: 0,
            doubtful: Deque::new(),
        }
    }

    /// The slot the next row will get.
    ///
    /// # Errors
    /// [`Full`] if there is none.
    pub fn vacancy(&self) -> Result<u32, Full> {
        match self.free {
            Some(slot) => Ok(slot),
            None if (self.used as usize) < self.slots.len() => Ok(self.used),
            None => Err(Full),
        }
    }

    /// The row that may go when room is needed: one that has gone from the LAN server, not taken
    /// before taken, the oldest first. Rows of an open maildrop stay.
    #[must_use]
    pub fn oldest_tombstone(&self) -> Option<u32> {
        let gone = self
            .rows()
            .filter(|(_, row)| row.lan == Lan::Absent && !self.is_pinned(row.user));
        // A row of day 0 came while no clock was trusted: nobody knows its age.
        let age = |row: &Row| row.since.wrapping_sub(1);
        let oldest = gone.min_by_key(|(_, row)| (row.taken == Taken::Full, age(row)));
        oldest.map(|(slot, _)| slot)
    }

    /// Puts `row` into `slot`, whatever was there. Slots beyond the table are ignored: a smaller
    /// table than the one that was saved shows fewer rows.
    pub fn put(&mut self, slot: u32, row: Row) {
        if slot as usize >= self.slots.len() {
            return;
        }
        self.remove(slot);
        self.claim(slot);
        self.next_uid = self.next_uid.max(row.uid.saturating_add(1));
        if row.taken != Taken::No {
            self.calls = self.calls.max(u32::from(row.call));
        }
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Slot::Taken(row);
        }
        self.rows += 1;
        self.link(row.key, row.user, slot);
    }

    /// Removes the row in `slot`, if there is one.
    pub fn remove(&mut self, slot: u32) {
        let Some(row) = self.row(slot).copied() else {
            return;
        };
        self.unlink(row.key, row.user, slot);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Slot::Free(self.free);
        }
        self.free = Some(slot);
        self.rows -= 1;
    }

    /// Gives the row in `slot` another key.
    pub fn rekey(&mut self, slot: u32, key: Key) {
        let Some(row) = self.row(slot).copied() else {
            return;
        };
        self.unlink(row.key, row.user, slot);
        if let Some(Slot::Taken(row)) = self.slots.get_mut(slot as usize) {
            row.key = key;
        }
        self.link(key, row.user, slot);
    }

    /// The row in `slot`, to write its facts. Its key and user must stay.
    pub fn row_mut(&mut self, slot: u32) -> Option<&mut Row> {
        match self.slots.get_mut(slot as usize) {
            Some(Slot::Taken(row)) => Some(row),
            _ => None,
        }
    }

    /// The row in `slot`.
    #[must_use]
    pub fn row(&self, slot: u32) -> Option<&Row> {
        match self.slots.get(slot as usize) {
            Some(Slot::Taken(row)) => Some(row),
            _ => None,
        }
    }

    /// All rows of `user` with their slots.
    pub fn rows_of(&self, user: u8) -> impl Iterator<Item = (u32, &Row)> {
        self.rows().filter(move |(_, row)| row.user == user)
    }

    /// All rows with their slots.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        (0..self.used).filter_map(|slot| self.row(slot).map(|row| (slot, row)))
    }

    /// How many rows there are, and how many there may be.
    #[must_use]
    pub fn fill(&self) -> (u32, u32) {
        let capacity = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        (self.rows, capacity)
    }

    /// One more than the highest slot in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.used
    }

    /// A UID counter that was never given out before.
    pub fn fresh_uid(&mut self) -> u32 {
        let uid = self.next_uid;
        self.next_uid += 1;
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
        self.calls
    }

    /// Takes note of call `number`.
    pub fn raise_calls(&mut self, number: u32) {
        self.calls = self.calls.max(number);
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

    /// The copy of `slot` may not be whole.
    fn doubt(&mut self, slot: u32) {
        if self.doubtful.push_back(slot).is_err()
            && let Some(row) = self.row_mut(slot)
        {
            row.copy = None;
        }
    }

    /// Takes `slot` off the free ones.
    fn claim(&mut self, slot: u32) {
        if slot >= self.used {
            // Slots that are skipped become free ones.
            for between in self.used..slot {
                if let Some(place) = self.slots.get_mut(between as usize) {
                    *place = Slot::Free(self.free);
                    self.free = Some(between);
                }
            }
            self.used = slot + 1;
            return;
        }
        let next = |slots: &[Slot], at: u32| match slots.get(at as usize) {
            Some(Slot::Free(next)) => *next,
            _ => None,
        };
        if self.free == Some(slot) {
            self.free = next(self.slots, slot);
            return;
        }
        let mut at = self.free;
        while let Some(here) = at {
            let after = next(self.slots, here);
            if after == Some(slot) {
                let beyond = next(self.slots, slot);
                if let Some(place) = self.slots.get_mut(here as usize) {
                    *place = Slot::Free(beyond);
                }
                return;
            }
            at = after;
        }
    }

    fn home(&self, key: Key, user: u8) -> usize {
        let [low, high] = key.0;
        let mixed = low ^ high.rotate_left(u32::from(user));
        // The index is shorter than 2^32: the low bits of a hash are as good as any.
        usize::try_from(mixed & 0xffff_ffff).unwrap_or(0) & (self.index.len().wrapping_sub(1))
    }

    fn link(&mut self, key: Key, user: u8, slot: u32) {
        let mask = self.index.len().wrapping_sub(1);
        let mut at = self.home(key, user);
        for _ in 0..self.index.len() {
            let Some(place) = self.index.get_mut(at) else {
                return;
            };
            if *place == NONE {
                *place = slot + 1;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Takes `slot` out of the index and moves up what stood behind it.
    fn unlink(&mut self, key: Key, user: u8, slot: u32) {
        let mask = self.index.len().wrapping_sub(1);
        let mut at = self.home(key, user);
        let mut steps = 0;
        while self.index.get(at).is_some_and(|&here| here != slot + 1) {
            at = (at + 1) & mask;
            steps += 1;
            if steps > mask {
                return;
            }
        }
        let mut hole = at;
        let mut next = (at + 1) & mask;
        while let Some(&here) = self.index.get(next)
            && here != NONE
            && next != at
        {
            let home = self
                .row(here - 1)
                .map_or(next, |row| self.home(row.key, row.user));
            // It may move up if its home does not lie between the hole and itself.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                if let Some(place) = self.index.get_mut(hole) {
                    *place = here;
                }
                hole = next;
            }
            next = (next + 1) & mask;
        }
        if let Some(place) = self.index.get_mut(hole) {
            *place = NONE;
        }
    }
}

/// The rows of one user.
#[derive(Debug)]
pub struct KnownRows<'l> {
    ledger: &'l Ledger<'l>,
    user: u8,
}

impl Known for KnownRows<'_> {
    fn find(&self, key: Key, nth: u32) -> Option<u32> {
        let mask = self.ledger.index.len().wrapping_sub(1);
        let mut at = self.ledger.home(key, self.user);
        let mut left = nth;
        for _ in 0..self.ledger.index.len() {
            let slot = *self.ledger.index.get(at)?;
            let slot = slot.checked_sub(1)?;
            let row = self.ledger.row(slot)?;
            if row.key == key && row.user == self.user {
                if left == 0 {
                    return Some(slot);
                }
                left -= 1;
            }
            at = (at + 1) & mask;
        }
        None
    }

    fn slots(&self) -> u32 {
        self.ledger.used
    }

    fn standing(&self, slot: u32) -> Option<Standing> {
        let row = self.ledger.row(slot)?;
        (row.user == self.user).then_some(Standing {
            listed: matches!(row.lan, Lan::Unread | Lan::Read),
            taken: row.taken == Taken::Full,
            identity: row.identity,
            size: row.size,
        })
    }
}

impl Index for Ledger<'_> {
    fn clear(&mut self) {
        for slot in 0..self.used {
            self.remove(slot);
        }
        self.accounts.fill(Account::default());
        self.doubtful.clear();
        (self.next_uid, self.calls) = (0, 0);
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

    /// A copy that callers may be reading stays, and so does an only copy that nobody took.
    fn may_evict(&mut self, extent: Extent<'_>) -> bool {
        self.rows().all(|(_, row)| {
            let lies = row.copy.is_some_and(|place| extent.holds(place));
            // What was taken is in no maildrop any more that could still read it.
            let wanted = row.lan == Lan::Ours || self.is_pinned(row.user);
            !lies || row.taken == Taken::Full || !wanted
        })
    }

    fn evicted(&mut self, extent: Extent<'_>) {
        for slot in 0..self.used {
            if let Some(row) = self.row_mut(slot)
                && row.copy.is_some_and(|place| extent.holds(place))
            {
                row.copy = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn row(key: u64, user: u8, uid: u32) -> Row {
        Row {
            // Few homes: long probe runs are what may go wrong.
            key: Key([key % 4, key]),
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
            let (mut slots, mut index) = ([Slot::default(); 24], [0; 64]);
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
                        let (slot, key) =
                            (u32::try_from(next(24)).unwrap(), Key([next(4), next(12)]));
                        ledger.rekey(slot, key);
                        if let Some(row) = model.get_mut(&slot) {
                            row.key = key;
                        }
                    }
                }
                assert!(
                    ledger.rows().map(|(s, r)| (s, *r)).eq(model.clone()),
                    "seed {seed}"
                );
                assert_eq!(ledger.fill(), (u32::try_from(model.len()).unwrap(), 24));
                for user in 0..3 {
                    for low in 0..4 {
                        for high in 0..12 {
                            let key = Key([low, high]);
                            let mut found: Vec<u32> = (0..)
                                .map_while(|nth| ledger.known(user).find(key, nth))
                                .collect();
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
        let mut gone = Vec::new();
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
}
