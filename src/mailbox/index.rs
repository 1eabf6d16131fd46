//! The mailbox index on the medium: what is written down of each change, in postcard form.
//!
//! An [`Entry`] is an absolute write ("row 7: lan = Absent"), so replaying one twice, or over a
//! snapshot that already shows it, changes nothing. A snapshot is a run of entries that recreates
//! the ledger: accounts and counters first, then the rows, slot by slot.
//!
//! postcard is positional: a moved field would be another format. So the form is frozen: variants
//! are only ever appended, [`RowV1`] never changes, and a test holds the golden octets. The store
//! frames the entries and carries [`FORMAT`] beside them.

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::reconcile::Key;
use crate::store::Place;

use super::account::{Habit, SourceRecord};
use super::calls::{CallRecord, CallRecordV1, RECORD_OCTETS};
use super::failures::COUNTERS;
use super::ledger::Ledger;
use super::row::{Lan, Row, Taken};

/// Version of the form of the entries; carried in the first octet of every journal entry and
/// snapshot part.
pub const FORMAT: u8 = 1;

/// The longest entry in octets: a row with every field at its greatest.
pub const ENTRY_OCTETS: usize = 80;

/// The longest row in octets, its slot included.
pub const ROW_OCTETS: usize = 44;

/// One change of the ledger. Append variants, never move them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// The slot holds this row.
    Row(u32, RowV1),
    /// The row's `lan`, and the day it was written.
    Lan(u32, u8, u16),
    /// The row's `taken`, and the call that did it.
    Taken(u32, u8, u32),
    /// The row's copy, and its size in octets.
    Copy(u32, Option<u32>, u32),
    /// The row's key.
    Key(u32, [u8; 7]),
    /// What was seen of the row's mail without copying it: size, identity.
    Seen(u32, u32, Option<[u8; 7]>),
    /// The slot is free.
    Gone(u32),
    /// An account: number, name.
    Account(u8, &'a str),
    /// What is known of an account's source: fingerprint, visited, habit.
    Source(u8, u64, bool, u8),
    /// Counters: the next UID, the latest call, the newest day.
    Counters(u32, u32, u16),
    /// A call that has ended, in the first form: read, but not written any more.
    CallV1(CallRecordV1),
    /// A counter of failed logins, and the mark of its count.
    Failures(u8, u8),
    /// A call that has ended.
    Call(CallRecord),
}

/// A row, frozen: with its slot at most [`ROW_OCTETS`], and 37 as most rows are. Hashes are arrays,
/// since random numbers only grow as variable-length integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowV1 {
    key: [u8; 7],
    identity: Option<[u8; 7]>,
    size: u32,
    uid: u32,
    copy: Option<u32>,
    since: u16,
    call: u32,
    user: u8,
    /// `lan` in the low four bits, `taken` in the high ones.
    facts: u8,
}

/// An entry that this program cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

impl<'a> Entry<'a> {
    /// Writes the entry into `out`; returns what was written, or `None` if it does not fit.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o mut [u8]> {
        postcard::to_slice(self, out).ok()
    }

    /// Reads the first entry of `octets`; returns it and what follows.
    ///
    /// # Errors
    /// [`Unreadable`] if no entry stands there.
    pub fn read(octets: &'a [u8]) -> Result<(Self, &'a [u8]), Unreadable> {
        postcard::take_from_bytes(octets).map_err(|_| Unreadable)
    }

    /// Makes the change in `ledger`. A slot or an account that is not there is left alone.
    pub fn apply(&self, ledger: &mut Ledger<'_>) {
        match *self {
            Self::Row(slot, row) => {
                if let Some(row) = row.thaw() {
                    ledger.put(slot, row);
                }
            }
            Self::Lan(slot, lan, since) => {
                if let Some(lan) = thaw_lan(lan) {
                    ledger.change(slot, |row| (row.lan, row.since) = (lan, since));
                }
            }
            Self::Taken(slot, taken, call) => {
                if let Some(taken) = thaw_taken(taken) {
                    // After a restart the next call has another number.
                    ledger.raise_calls(call);
                    ledger.change(slot, |row| (row.taken, row.call) = (taken, call));
                }
            }
            Self::Copy(slot, copy, size) => {
                ledger.change(slot, |row| (row.copy, row.size) = (copy.map(Place), size));
            }
            Self::Key(slot, key) => ledger.rekey(slot, thaw_key(key)),
            Self::Seen(slot, size, identity) => {
                let identity = identity.map(thaw_identity);
                ledger.change(slot, |row| (row.size, row.identity) = (size, identity));
            }
            Self::Gone(slot) => ledger.remove(slot),
            Self::Account(user, name) => {
                if let (Some(account), Ok(name)) = (ledger.account_mut(user), name.try_into())
                    && account.name != name
                {
                    account.name = name;
                    ledger.log_mut().forget(user);
                }
            }
            Self::Source(user, fingerprint, visited, habit) => {
                if let (Some(account), Some(habit)) = (ledger.account_mut(user), thaw_habit(habit))
                {
                    account.source = SourceRecord {
                        fingerprint,
                        visited,
                        habit,
                    };
                }
            }
            Self::Counters(next_uid, calls, today) => {
                ledger.raise_uid(next_uid);
                ledger.raise_calls(calls);
                ledger.raise_day(today);
            }
            Self::CallV1(record) => ledger.log_mut().put(record.into()),
            Self::Call(record) => ledger.log_mut().put(record),
            Self::Failures(counter, mark) => ledger.failures_mut().set_mark(counter, mark),
        }
    }
}

impl RowV1 {
    /// The row as it is written.
    #[must_use]
    pub fn freeze(row: &Row) -> Self {
        Self {
            key: freeze_key(row.key),
            identity: row.identity.map(freeze_identity),
            size: row.size,
            uid: row.uid,
            copy: row.copy.map(|place| place.0),
            since: row.since,
            call: row.call,
            user: row.user,
            facts: freeze_lan(row.lan) | freeze_taken(row.taken) << 4,
        }
    }

    /// The row as it was; `None` if a fact has a value this program does not know.
    #[must_use]
    pub fn thaw(self) -> Option<Row> {
        Some(Row {
            key: thaw_key(self.key),
            identity: self.identity.map(thaw_identity),
            size: self.size,
            uid: self.uid,
            copy: self.copy.map(Place),
            since: self.since,
            call: self.call,
            user: self.user,
            lan: thaw_lan(self.facts & 0xf)?,
            taken: thaw_taken(self.facts >> 4)?,
        })
    }
}

/// What stands before a copy: the version, the row it is for, and whose it is; returns how long it
/// is. The index can be rebuilt from it.
pub fn head(row: &Row, name: &str, out: &mut [u8]) -> usize {
    let Some((version, rest)) = out.split_first_mut() else {
        return 0;
    };
    *version = FORMAT;
    let entry = Entry::Row(0, RowV1::freeze(row));
    let row_octets = entry.write(rest).map_or(0, |written| written.len());
    let rest = rest.get_mut(row_octets..).unwrap_or_default();
    let account = Entry::Account(row.user, name).write(rest);
    1 + row_octets + account.map_or(0, |written| written.len())
}

/// The row, and whose it is, that [`head`] has written.
#[must_use]
pub fn read_head(head: &[u8]) -> Option<(Row, &str)> {
    let (Entry::Row(_, row), rest) = Entry::read(head.strip_prefix(&[FORMAT])?).ok()? else {
        return None;
    };
    let (Entry::Account(user, name), _) = Entry::read(rest).ok()? else {
        return None;
    };
    row.thaw()
        .filter(|row| row.user == user)
        .map(|row| (row, name))
}

/// The part of a snapshot of `ledger` that begins at cursor `from`: writes whole entries into
/// `out`, returns how many octets and where the next part begins, if there is one.
///
/// Cursors: 0 is the counters, 1.. the accounts, then the failed logins, then the calls, then the
/// slots. Accounts come before calls: a name that is another's makes its calls nobody's.
pub fn part(ledger: &Ledger<'_>, from: u32, out: &mut [u8]) -> (usize, Option<u32>) {
    let accounts = 2 * u32::try_from(crate::config::USERS).unwrap_or(0);
    let failures = 1 + accounts;
    let calls = failures + u32::from(COUNTERS);
    let rows = calls + ledger.log().capacity();
    let end = rows + ledger.used();
    let mut cursor = from;
    let mut used = 0;
    while cursor < end {
        let entry = if cursor == 0 {
            let today = ledger.today();
            Some(Entry::Counters(ledger.next_uid(), ledger.calls(), today))
        } else if cursor < failures {
            account_entry(ledger, cursor - 1)
        } else if cursor < calls {
            let counter = u8::try_from(cursor - failures).unwrap_or(u8::MAX);
            let mark = ledger.failures().mark(counter);
            (mark != 0).then_some(Entry::Failures(counter, mark))
        } else if cursor < rows {
            let call = ledger.log().place(cursor - calls);
            call.map(|call| Entry::Call(*call))
        } else {
            let slot = cursor - rows;
            let row = ledger.row(slot);
            row.map(|row| Entry::Row(slot, RowV1::freeze(&row)))
        };
        if let Some(entry) = entry {
            let Some(written) = out.get_mut(used..).and_then(|room| entry.write(room)) else {
                return (used, Some(cursor));
            };
            used += written.len();
        }
        cursor += 1;
    }
    (used, None)
}

/// How many rows the snapshots of a store hold besides accounts and `calls` calls, whose parts
/// are of `part` octets and are `parts`.
#[must_use]
pub fn rows_that_fit((part, parts): (u32, u32), calls: u32) -> u32 {
    let octets = |octets: usize| u32::try_from(octets).unwrap_or(u32::MAX);
    // The first octet of a part is the version, and an entry is in one part only.
    let room = |entry: usize| (part.saturating_sub(1) / octets(entry)).max(1);
    let accounts = octets(2 * crate::config::USERS + 1);
    let others = accounts.div_ceil(room(ENTRY_OCTETS)) + calls.div_ceil(room(RECORD_OCTETS));
    // One more, where the kinds meet in a part.
    parts.saturating_sub(others + 2) * room(ROW_OCTETS)
}

/// Two entries an account: its name, then its source.
fn account_entry<'l>(ledger: &'l Ledger<'_>, at: u32) -> Option<Entry<'l>> {
    let user = u8::try_from(at / 2).ok()?;
    let account = ledger.account(user)?;
    if account.name.is_empty() {
        return None;
    }
    if at.is_multiple_of(2) {
        return Some(Entry::Account(user, &account.name));
    }
    let SourceRecord {
        fingerprint,
        visited,
        habit,
    } = account.source;
    Some(Entry::Source(
        user,
        fingerprint,
        visited,
        freeze_habit(habit),
    ))
}

/// Applies a part of a snapshot, or one entry of the journal.
///
/// # Errors
/// [`Unreadable`] if an entry could not be read; those before it were applied.
pub fn restore(ledger: &mut Ledger<'_>, mut octets: &[u8]) -> Result<(), Unreadable> {
    while !octets.is_empty() {
        let (entry, rest) = Entry::read(octets)?;
        entry.apply(ledger);
        octets = rest;
    }
    Ok(())
}

/// The octets that stand for `key` on the medium.
#[must_use]
pub fn freeze_key(key: Key) -> [u8; 7] {
    seven(key.0)
}

/// The octets that stand for `identity` on the medium.
#[must_use]
pub fn freeze_identity(identity: Identity) -> [u8; 7] {
    seven(identity.0)
}

fn thaw_key(octets: [u8; 7]) -> Key {
    Key(of_seven(octets))
}

fn thaw_identity(octets: [u8; 7]) -> Identity {
    Identity::new(of_seven(octets))
}

/// Keys and identities have 56 bits.
fn seven(value: u64) -> [u8; 7] {
    let [octets @ .., _] = value.to_le_bytes();
    octets
}

fn of_seven([a, b, c, d, e, f, g]: [u8; 7]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, g, 0])
}

/// The number that stands for `lan` on the medium.
#[must_use]
pub fn freeze_lan(lan: Lan) -> u8 {
    match lan {
        Lan::Unread => 0,
        Lan::Read => 1,
        Lan::Absent => 2,
        Lan::Ours => 3,
    }
}

/// The number that stands for `taken` on the medium.
#[must_use]
pub fn freeze_taken(taken: Taken) -> u8 {
    match taken {
        Taken::No => 0,
        Taken::Notice => 1,
        Taken::Full => 2,
    }
}

/// The number that stands for `habit` on the medium.
#[must_use]
pub fn freeze_habit(habit: Habit) -> u8 {
    match habit {
        Habit::Untested => 0,
        Habit::Keeps => 1,
        Habit::Consumes => 2,
    }
}

fn thaw_lan(number: u8) -> Option<Lan> {
    match number {
        0 => Some(Lan::Unread),
        1 => Some(Lan::Read),
        2 => Some(Lan::Absent),
        3 => Some(Lan::Ours),
        _ => None,
    }
}

fn thaw_taken(number: u8) -> Option<Taken> {
    match number {
        0 => Some(Taken::No),
        1 => Some(Taken::Notice),
        2 => Some(Taken::Full),
        _ => None,
    }
}

fn thaw_habit(number: u8) -> Option<Habit> {
    match number {
        0 => Some(Habit::Untested),
        1 => Some(Habit::Keeps),
        2 => Some(Habit::Consumes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::CALLER_OCTETS;
    use super::*;

    fn row() -> Row {
        Row {
            key: Key(u64::MAX >> 8),
            identity: Some(Identity(u64::MAX >> 8)),
            size: u32::MAX,
            uid: (1 << 28) - 1,
            copy: Some(Place((1 << 30) - 2)),
            since: u16::MAX,
            call: u32::MAX,
            user: 31,
            lan: Lan::Ours,
            taken: Taken::Full,
        }
    }

    /// Each entry's golden octets: changing one is another format.
    #[test]
    fn the_form_of_the_entries_is_frozen() {
        let small = Row {
            key: Key(0x0002_0000_0000_0001),
            identity: None,
            size: 300,
            uid: 3,
            copy: None,
            since: 4,
            call: 5,
            user: 6,
            lan: Lan::Unread,
            taken: Taken::No,
        };
        let golden: [(Entry<'_>, &[u8]); 13] = [
            (
                Entry::Row(7, RowV1::freeze(&small)),
                &[0, 7, 1, 0, 0, 0, 0, 0, 2, 0, 0xac, 2, 3, 0, 4, 5, 6, 0],
            ),
            (
                Entry::Row(
                    7,
                    RowV1::freeze(&Row {
                        identity: Some(Identity(9)),
                        copy: Some(Place(8)),
                        lan: Lan::Ours,
                        taken: Taken::Full,
                        ..small
                    }),
                ),
                &[
                    0, 7, 1, 0, 0, 0, 0, 0, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0xac, 2, 3, 1, 8, 4, 5, 6,
                    0x23,
                ],
            ),
            (Entry::Lan(7, 2, 300), &[1, 7, 2, 0xac, 2]),
            (Entry::Taken(7, 2, 300), &[2, 7, 2, 0xac, 2]),
            (Entry::Copy(7, Some(1), 300), &[3, 7, 1, 1, 0xac, 2]),
            (
                Entry::Key(7, freeze_key(small.key)),
                &[4, 7, 1, 0, 0, 0, 0, 0, 2],
            ),
            (
                Entry::Seen(7, 300, Some(freeze_identity(Identity(1)))),
                &[5, 7, 0xac, 2, 1, 1, 0, 0, 0, 0, 0, 0],
            ),
            (Entry::Gone(300), &[6, 0xac, 2]),
            (Entry::Account(1, "al"), &[7, 1, 2, b'a', b'l']),
            (Entry::Source(1, 300, true, 2), &[8, 1, 0xac, 2, 1, 2]),
            (Entry::Counters(300, 1, 300), &[9, 0xac, 2, 1, 0xac, 2]),
            (
                Entry::Call(ended(11)),
                b"\x0c\x01\xac\x02\x02\x03\x04\x12+4930123\0\0\0\0\0\0\0\0\xff\x05\x0a\x06\x0b\x07\x08\x09",
            ),
            (Entry::Failures(3, 16), &[11, 3, 16]),
        ];
        for (entry, octets) in golden {
            let mut out = [0; ENTRY_OCTETS];
            assert_eq!(entry.write(&mut out).as_deref(), Some(octets), "{entry:?}");
            assert_eq!(Entry::read(octets), Ok((entry, &[][..])));
        }
    }

    fn ended(sent_octets: u32) -> CallRecord {
        CallRecord {
            serial: 1,
            number: 300,
            minute: 2,
            lasted: 3,
            speed: 4,
            protocol: 18,
            caller: *b"+4930123\0\0\0\0\0\0\0\0",
            user: 255,
            offered: 5,
            offered_octets: 10,
            sent: 6,
            sent_octets,
            deleted: 7,
            octets: 8,
            reason: 9,
        }
    }

    /// What the first form of a call's record held is still read.
    #[test]
    fn a_call_of_the_first_form_is_read() {
        let octets =
            b"\x0a\x01\xac\x02\x02\x03\x04\x12+4930123\0\0\0\0\0\0\0\0\xff\x05\x0a\x06\x07\x08\x09";
        let (Entry::CallV1(old), rest) = Entry::read(octets).unwrap() else {
            panic!("another entry");
        };
        assert_eq!((CallRecord::from(old), rest), (ended(8), &[][..]));
    }

    #[test]
    fn the_longest_entry_fits() {
        let mut out = [0; ENTRY_OCTETS];
        let name = "n".repeat(crate::config::NAME_OCTETS);
        for entry in [
            Entry::Row(u32::MAX, RowV1::freeze(&row())),
            Entry::Account(31, &name),
            Entry::Source(31, u64::MAX, true, 2),
            Entry::Seen(u32::MAX, u32::MAX, Some([u8::MAX; 7])),
            Entry::Key(u32::MAX, [u8::MAX; 7]),
            Entry::Call(call(u32::MAX).bounded()),
        ] {
            assert!(entry.write(&mut out).is_some(), "{entry:?}");
        }
        let slot = super::super::packed::SLOT_LIMIT - 1;
        let longest = Entry::Row(slot, RowV1::freeze(&row()));
        assert_eq!(longest.write(&mut out).unwrap().len(), ROW_OCTETS);
        let longest = Entry::Call(call(u32::MAX).bounded());
        assert!(longest.write(&mut out).unwrap().len() <= RECORD_OCTETS);
    }

    fn call(n: u32) -> CallRecord {
        CallRecord {
            serial: n,
            number: n,
            minute: n,
            lasted: n,
            speed: n,
            protocol: u8::MAX,
            caller: [u8::MAX; CALLER_OCTETS],
            user: u8::MAX,
            offered: n,
            offered_octets: n,
            sent: n,
            sent_octets: n,
            deleted: n,
            octets: n,
            reason: u8::MAX,
        }
    }

    /// What a store is said to hold fits its parts, each row as long as it can be.
    #[test]
    fn as_many_rows_as_a_snapshot_is_said_to_hold_fit() {
        for (part, parts) in [(96, 180), (480, 60), (4064, 9), (4064, 40)] {
            let rows = rows_that_fit((part, parts), 20);
            let mut slots = vec![super::super::Slot::default(); rows as usize + 1];
            let (mut index, mut calls) = (vec![0; 64], [CallRecord::default(); 20]);
            let mut ledger = Ledger::new(&mut slots, &mut index).with_calls(&mut calls);
            let name = "n".repeat(crate::config::NAME_OCTETS);
            for user in 0..32 {
                ledger.account_mut(user).unwrap().name = name.as_str().try_into().unwrap();
                ledger.account_mut(user).unwrap().source.fingerprint = u64::MAX;
            }
            for serial in u32::MAX - 19..=u32::MAX {
                let record = CallRecord {
                    serial,
                    ..call(u32::MAX)
                };
                ledger.log_mut().put(record);
            }
            for at in 0..rows {
                ledger.put(at, row());
            }
            let (mut from, mut count) = (Some(0), 0);
            while let Some(cursor) = from {
                let mut out = vec![0; part as usize];
                from = crate::store::Index::part(&ledger, cursor, &mut out).1;
                count += 1;
            }
            assert!(
                count <= parts,
                "{count} of {parts} parts of {part}: {rows} rows"
            );
        }
    }

    #[test]
    fn a_snapshot_in_parts_of_any_size_recreates_the_ledger() {
        let (mut slots, mut index) = ([super::super::Slot::default(); 40], [0; 8]);
        let mut calls = [CallRecord::default(); 5];
        let mut ledger = Ledger::new(&mut slots, &mut index).with_calls(&mut calls);
        for serial in 1..9 {
            let call = CallRecord {
                serial,
                user: 2,
                ..call(70_000)
            };
            ledger.log_mut().put(call);
        }
        for uid in 0..30 {
            let slot = ledger.vacancy().unwrap();
            ledger.put(
                slot,
                Row {
                    key: Key(u64::from(uid) * 77),
                    uid,
                    copy: (uid % 3 == 0).then_some(Place(uid)),
                    ..row()
                },
            );
        }
        ledger.remove(3);
        ledger.remove(17);
        ledger.account_mut(2).unwrap().name = "alice".try_into().unwrap();
        ledger.account_mut(2).unwrap().source = SourceRecord {
            fingerprint: 99,
            visited: true,
            habit: Habit::Keeps,
        };
        ledger.failures_mut().set(0, 1);
        ledger.failures_mut().set(COUNTERS - 1, 1024);
        for room in ENTRY_OCTETS..400 {
            let (mut slots, mut index) = ([super::super::Slot::default(); 40], [0; 8]);
            let mut calls = [CallRecord::default(); 5];
            let mut copy = Ledger::new(&mut slots, &mut index).with_calls(&mut calls);
            let mut from = Some(0);
            while let Some(cursor) = from {
                let mut out = vec![0; room];
                let (used, next) = part(&ledger, cursor, &mut out);
                assert_ne!(next, from);
                restore(&mut copy, &out[..used]).unwrap();
                from = next;
            }
            let rows = |ledger: &Ledger<'_>| ledger.rows().collect::<Vec<_>>();
            assert!(copy.log().iter().eq(ledger.log().iter()));
            assert_eq!(copy.log().iter().count(), 5);
            assert_eq!(rows(&copy), rows(&ledger), "parts of {room}");
            assert!(copy.accounts().eq(ledger.accounts()));
            assert_eq!(copy.next_uid(), ledger.next_uid());
            assert_eq!(copy.failures(), ledger.failures());
        }
    }

    /// Figures: a row on the medium, and snapshots of many, in parts of 4 KiB.
    #[test]
    fn a_snapshot_takes_less_than_48_octets_a_row() {
        for count in [10_000_u32, 200_000] {
            let mut slots = vec![super::super::Slot::VACANT; count as usize];
            let mut heads = vec![0; 1 << 15];
            let mut ledger = Ledger::new(&mut slots, &mut heads);
            for n in 0..count {
                let hash = u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let row = Row {
                    key: Key::new(hash),
                    identity: Some(Identity::new(!hash)),
                    size: 48_000 + n % 1000,
                    uid: n,
                    copy: Some(Place(n * 800)),
                    since: 20_000,
                    call: 300,
                    user: 1,
                    lan: Lan::Unread,
                    taken: Taken::Full,
                };
                ledger.put(n, row);
            }
            let (mut from, mut octets) = (Some(0), 0);
            while let Some(cursor) = from {
                let mut out = [0; 4064];
                from = crate::store::Index::part(&ledger, cursor, &mut out).1;
                octets += 4096;
            }
            println!("{count} rows: a snapshot of {octets} octets");
            assert!(octets <= 48 * count, "{octets}");
        }
    }

    #[test]
    fn no_octets_make_it_panic() {
        let (mut slots, mut index) = ([super::super::Slot::default(); 8], [0; 16]);
        let mut ledger = Ledger::new(&mut slots, &mut index);
        let mut seed = 7_u32;
        for _ in 0..20_000 {
            let octets: Vec<u8> = (0..24)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let octet = u8::try_from(seed >> 24).unwrap();
                    if octet & 1 == 0 { octet % 12 } else { octet }
                })
                .collect();
            let _ = restore(&mut ledger, &octets);
        }
    }
}
