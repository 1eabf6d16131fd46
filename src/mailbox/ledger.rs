//! What the gateway knows: the rows of all users, the accounts they belong to, and some counters.
//!
//! Nothing here touches the medium: [`super::Mailbox`] writes each change down before it makes it
//! here.

use heapless::Deque;

use crate::config::{Name, USERS};
use crate::reconcile::{Key, Known, Standing};
use crate::store::{Extent, Index, Stored};

use super::account::Account;
use super::calls::{CallLog, CallRecord};
use super::failures::Failures;
use super::index::{self, Entry, FORMAT};
use super::packed::{Frame, Slot, UID_LIMIT};
use super::row::{Lan, Row, Taken};
use super::table::Table;
use super::tombstones::{Pins, Tombstones};

/// Rows of one commit whose copies must be looked at after a cut: some visits' batches. Those
/// beyond lose their copy at once, and are fetched again.
const DOUBTFUL: usize = 64;

/// UIDs passed over when the medium has lost what was durable: more than there may be rows.
const LOST_UIDS: u32 = 1 << 20;

/// The table of rows, the accounts they belong to, and the log of calls.
#[derive(Debug)]
pub struct Ledger<'a> {
    table: Table<'a>,
    accounts: [Account; USERS],
    next_uid: u32,
    failures: Failures,
    /// Users with an open maildrop: their copies stay.
    pins: Pins,
    /// Rows whose copies may not be whole: named by the last group of a journal that was cut.
    doubtful: Deque<u32, DOUBTFUL>,
    tombstones: Tombstones,
    /// The latest calls.
    log: CallLog<'a>,
}

/// The ledger has no free slot, or no UID is left to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<'a> Ledger<'a> {
    /// An empty ledger over lent memory: `slots` all vacant, `heads` all zero and best a power of
    /// two, an eighth to a fourth of the slots; what does not fit is left unused.
    pub fn new(slots: &'a mut [Slot], heads: &'a mut [u32]) -> Self {
        Self {
            table: Table::new(slots, heads),
            accounts: core::array::from_fn(|_| Account::default()),
            next_uid: 0,
            failures: Failures::new(),
            pins: Pins::default(),
            doubtful: Deque::new(),
            tombstones: Tombstones::default(),
            log: CallLog::default(),
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
        self.table.limit(rows);
    }

    /// The slot the next row will get.
    ///
    /// # Errors
    /// [`Full`] if there is none.
    pub fn vacancy(&self) -> Result<u32, Full> {
        if self.next_uid >= UID_LIMIT {
            return Err(Full);
        }
        self.table.vacancy().ok_or(Full)
    }

    /// The row that may go when room is needed: one that has gone from the LAN server, not taken
    /// before taken, the oldest first. Rows of an open maildrop stay.
    pub fn oldest_tombstone(&mut self) -> Option<u32> {
        self.tombstones.oldest(&self.table, self.pins)
    }

    /// Puts `row` into `slot`, whatever was there. Slots beyond the table are ignored: a smaller
    /// table than the one that was saved shows fewer rows.
    pub fn put(&mut self, slot: u32, row: Row) {
        if !self.table.has(slot) {
            return;
        }
        self.see(&row);
        if self.table.put(slot, &row).is_none() {
            log::error!("row {slot}: a UID or a user beyond any; left out");
            return;
        }
        self.next_uid = self.next_uid.max(row.uid.saturating_add(1));
        self.tombstones.note(&row, self.pins);
    }

    /// Removes the row in `slot`, if there is one.
    pub fn remove(&mut self, slot: u32) {
        self.table.remove(slot);
    }

    /// Gives the row in `slot` another key.
    pub fn rekey(&mut self, slot: u32, key: Key) {
        self.table.rekey(slot, key);
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
        self.table.rewrite(slot, &row);
        self.tombstones.note(&row, self.pins);
    }

    /// The row in `slot`.
    #[must_use]
    pub fn row(&self, slot: u32) -> Option<Row> {
        self.table.row(slot)
    }

    /// All rows of `user` with their slots.
    pub fn rows_of(&self, user: u8) -> impl Iterator<Item = (u32, Row)> {
        self.table.rows_of(user)
    }

    /// All rows with their slots.
    pub fn rows(&self) -> impl Iterator<Item = (u32, Row)> {
        self.table.rows()
    }

    /// How many rows there are, and how many there may be.
    #[must_use]
    pub fn fill(&self) -> (u32, u32) {
        self.table.fill()
    }

    /// One more than the highest slot in use.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.table.used()
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
        self.table.frame().calls
    }

    /// Takes note of call `number`.
    pub fn raise_calls(&mut self, number: u32) {
        let frame = self.table.frame();
        if number > frame.calls {
            self.move_on(Frame {
                calls: number,
                ..frame
            });
        }
    }

    /// The newest day that was seen; what a snapshot must keep.
    #[must_use]
    pub fn today(&self) -> u16 {
        self.table.frame().today
    }

    /// Takes note of a day; 0 is none.
    pub fn raise_day(&mut self, today: u16) {
        let frame = self.table.frame();
        if today > frame.today {
            self.move_on(Frame { today, ..frame });
        }
    }

    /// The clock was wrong, and `today` is right: what was dated later is of today.
    pub fn turn_back(&mut self, today: u16) {
        let frame = self.table.frame();
        if today != 0 && today < frame.today {
            self.table.reframe(Frame { today, ..frame });
            self.tombstones.forget();
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
        self.pins.set(user, pinned);
        if !pinned {
            // Its tombstones may go again, and be older than those that were found.
            self.tombstones.forget();
        }
    }

    /// Whether the copies of `user` are pinned.
    #[must_use]
    pub fn is_pinned(&self, user: u8) -> bool {
        self.pins.holds(user)
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
            .or_else(|| (0..self.used()).find(|&slot| is_same(slot)))
    }

    /// The copy of `slot` may not be whole.
    fn doubt(&mut self, slot: u32) {
        if self.doubtful.push_back(slot).is_err() {
            self.change(slot, |row| row.copy = None);
        }
    }

    /// Takes note of the day and the call of a row.
    fn see(&mut self, row: &Row) {
        self.raise_day(row.since);
        if row.taken != Taken::No {
            self.raise_calls(row.call);
        }
    }

    fn move_on(&mut self, frame: Frame) {
        if self.table.move_on(frame) {
            self.tombstones.forget();
        }
    }
}

/// The rows of one user.
#[derive(Debug)]
pub struct KnownRows<'l> {
    ledger: &'l Ledger<'l>,
    user: u8,
}

impl KnownRows<'_> {
    /// The slot of the only row with `key`; of several, none. Found at once where `guess` is it:
    /// listings and slots are mostly in one order.
    #[must_use]
    pub fn only(&self, key: Key, guess: u32) -> Option<u32> {
        self.ledger.table.only(key, self.user, guess)
    }
}

impl Known for KnownRows<'_> {
    fn first(&self, key: Key) -> Option<u32> {
        self.ledger.table.first(key, self.user)
    }

    fn next(&self, slot: u32) -> Option<u32> {
        self.ledger.table.next(slot)
    }

    fn slots(&self) -> u32 {
        self.ledger.used()
    }

    fn standing(&self, slot: u32) -> Option<Standing> {
        let packed = self.ledger.table.slot(slot);
        if packed.user() != self.user {
            return None;
        }
        let row = packed.row(self.ledger.table.frame())?;
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
        self.table.clear();
        self.accounts.fill(Account::default());
        self.doubtful.clear();
        self.tombstones.forget();
        self.log.clear();
        self.next_uid = 0;
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
            for slot in 0..self.used() {
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

    fn lost(&mut self) {
        self.next_uid = self.next_uid.saturating_add(LOST_UIDS);
    }

    /// A copy that callers may be reading stays, and so does an only copy that nobody took.
    fn may_evict(&mut self, extent: Extent<'_>) -> bool {
        let lies = |slot: &&Slot| slot.copy().is_some_and(|place| extent.holds(place));
        let mut touched = self.table.used_slots().iter().filter(lies);
        touched.all(|slot| {
            slot.row(self.table.frame()).is_none_or(|row| {
                // What was taken is in no maildrop any more that could still read it.
                let wanted = row.lan == Lan::Ours || self.is_pinned(row.user);
                row.taken == Taken::Full || !wanted
            })
        })
    }

    fn evicted(&mut self, extent: Extent<'_>) {
        for slot in 0..self.used() {
            let copy = self.table.slot(slot).copy();
            if copy.is_some_and(|place| extent.holds(place)) {
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
            // Few heads: long chains are what may go wrong. Of few keys many are equal.
            let keys = if seed % 2 == 0 { 12 } else { 90 };
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
                        let new = row(next(keys), u8::try_from(next(3)).unwrap(), step);
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
                        let (slot, key) = (u32::try_from(next(24)).unwrap(), Key(next(keys)));
                        ledger.rekey(slot, key);
                        if let Some(row) = model.get_mut(&slot) {
                            row.key = key;
                        }
                    }
                }
                assert!(ledger.rows().eq(model.clone()), "seed {seed}");
                assert_eq!(ledger.fill(), (u32::try_from(model.len()).unwrap(), 24));
                for user in 0..3 {
                    for key in (0..keys).map(Key) {
                        let known = ledger.known(user);
                        let next = |slot: &u32| known.next(*slot);
                        let found = core::iter::successors(known.first(key), next);
                        let mut found: Vec<u32> = found.collect();
                        found.sort_unstable();
                        let expected = model
                            .iter()
                            .filter(|(_, row)| row.key == key && row.user == user)
                            .map(|(slot, _)| *slot);
                        assert!(expected.eq(found.iter().copied()), "seed {seed}");
                        let only = if let [slot] = found[..] {
                            Some(slot)
                        } else {
                            None
                        };
                        for guess in only.into_iter().chain([step % 25]) {
                            assert_eq!(known.only(key, guess), only, "seed {seed}");
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
        ledger.lost();
        let rows: Vec<_> = ledger
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
        let names: Vec<_> = ledger
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
        let walks = ledger.tombstones.walks;
        assert!(walks <= ROWS / 2 / 256 + 3, "{walks} walks");
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
