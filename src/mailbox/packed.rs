//! A row as it lies in memory: 31 octets, its link in the hash index included.
//!
//! ```text
//! octets  key 7 | identity 7 | size 4 | the rest 13
//! bits    of the rest, from the lowest:
//!         taken 2 | lan 2 | user 5 | call 10 | since 9 | place 30 | uid 28 | link 18
//! ```
//!
//! [`Row`] is what the program works with; this is only how many of them are kept. Zeros are a
//! vacant slot, so a table that the system gives zeroed is ready, and takes no memory before it
//! is used. A vacant slot holds the two neighbours of its chain where a row has its key.
//!
//! What does not fit is handled so that nothing worse comes of it than work:
//! - `since` and `call` are kept modulo 511 and 1023 and read by the [`Frame`], the newest day and
//!   call the ledger knows. Before a value could be taken for a newer one, the ledger makes it
//!   what it may stay: a row older than 480 days stays 480 days old (tombstones go after 400 at
//!   the latest), and a call more than 1000 calls ago is nobody's any more.
//! - A place beyond 64 GiB is no copy: the mail is fetched again.
//! - A UID beyond 2^28 is refused by [`Slot::pack`]: after 268 million mails a store is full.

use crate::identity::Identity;
use crate::reconcile::Key;
use crate::store::Place;

use super::row::{Lan, Row, Taken};

/// Own UID counters are below this.
pub const UID_LIMIT: u32 = 1 << 28;
/// Slots and links are below this: a link is a slot plus one, or 0.
pub const SLOT_LIMIT: u32 = (1 << 18) - 1;
/// Days that `since` reaches back, and calls that `call` does.
pub(super) const DAYS_KEPT: u16 = 480;
pub(super) const CALLS_KEPT: u32 = 1000;
/// How far the newest may run on before the rows must be aged again.
pub(super) const DAYS_SLACK: u16 = DAYS - 1 - DAYS_KEPT;
pub(super) const CALLS_SLACK: u32 = CALLS - 1 - CALLS_KEPT;

/// The modulus of `since`, and of `call`; one more code each says that there is none.
const DAYS: u16 = 511;
const CALLS: u32 = 1023;

/// Users in five bits.
const _: () = assert!(crate::config::USERS <= 32);
const _: () = assert!(size_of::<Slot>() == 31 && align_of::<Slot>() == 1);

/// A row, packed, or a vacant place for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    key: [u8; 7],
    identity: [u8; 7],
    size: [u8; 4],
    rest: [u8; 13],
}

/// What `since` and `call` are read by: nothing is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The newest day known.
    pub today: u16,
    /// The latest call known.
    pub calls: u32,
}

/// Where a field lies in the rest.
#[derive(Clone, Copy)]
struct Field {
    at: u32,
    bits: u32,
}

const TAKEN: Field = Field { at: 0, bits: 2 };
const LAN: Field = TAKEN.next(2);
const USER: Field = LAN.next(5);
const CALL: Field = USER.next(10);
const SINCE: Field = CALL.next(9);
const PLACE: Field = SINCE.next(30);
const UID: Field = PLACE.next(28);
const LINK: Field = UID.next(18);
const _: () = assert!(LINK.at + LINK.bits == 8 * 13);
const _: () = assert!(DAYS < 1 << SINCE.bits && CALLS < 1 << CALL.bits);

impl Slot {
    /// No row: all zeros.
    pub const VACANT: Self = Self {
        key: [0; 7],
        identity: [0; 7],
        size: [0; 4],
        rest: [0; 13],
    };

    /// `row`, not linked to any; `None` if its UID does not fit. What `frame` says is newest must
    /// be no older than the row.
    #[must_use]
    pub fn pack(row: &Row, frame: Frame) -> Option<Self> {
        if row.uid >= UID_LIMIT || u32::from(row.user) >= 1 << USER.bits {
            return None;
        }
        let place = row.copy.map_or(0, |place| place.0.saturating_add(1));
        let place = if place < 1 << PLACE.bits { place } else { 0 };
        let rest = TAKEN.put(freeze_taken(row.taken))
            | LAN.put(freeze_lan(row.lan))
            | USER.put(row.user.into())
            | CALL.put(freeze_call(row.call, frame.calls))
            | SINCE.put(freeze_since(row.since, frame.today).into())
            | PLACE.put(place)
            | UID.put(row.uid);
        Some(Self {
            key: narrow(row.key.0.into()),
            identity: narrow(row.identity.map_or(0, |identity| identity.0).into()),
            size: row.size.to_le_bytes(),
            rest: narrow(rest),
        })
    }

    /// The row, if there is one.
    #[must_use]
    pub fn row(&self, frame: Frame) -> Option<Row> {
        let rest = wide(self.rest);
        let taken = match TAKEN.of(rest) {
            1 => Taken::No,
            2 => Taken::Notice,
            3 => Taken::Full,
            _ => return None,
        };
        let lan = match LAN.of(rest) {
            0 => Lan::Unread,
            1 => Lan::Read,
            2 => Lan::Absent,
            _ => Lan::Ours,
        };
        let identity = low64(wide(self.identity));
        let since = u16::try_from(SINCE.of(rest)).unwrap_or(0);
        Some(Row {
            key: self.key(),
            identity: (identity != 0).then_some(Identity(identity)),
            size: u32::from_le_bytes(self.size),
            uid: UID.of(rest),
            copy: self.copy(),
            since: thaw_since(since, frame.today),
            call: thaw_call(CALL.of(rest), frame.calls),
            user: self.user(),
            lan,
            taken,
        })
    }

    /// Whether there is a row.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        // The lowest bits of the rest.
        self.rest.first().is_some_and(|octet| octet & 3 != 0)
    }

    /// The row's key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key(low64(wide(self.key)))
    }

    /// Whose row it is.
    #[must_use]
    pub fn user(&self) -> u8 {
        u8::try_from(USER.of(wide(self.rest))).unwrap_or(0)
    }

    /// Where the row's copy lies.
    #[must_use]
    pub fn copy(&self) -> Option<Place> {
        PLACE.of(wide(self.rest)).checked_sub(1).map(Place)
    }

    /// The next slot of the chain.
    #[must_use]
    pub fn link(&self) -> Option<u32> {
        LINK.of(wide(self.rest)).checked_sub(1)
    }

    /// Links it to another slot, below [`SLOT_LIMIT`].
    pub fn set_link(&mut self, link: Option<u32>) {
        let link = link.map_or(0, |slot| slot + 1);
        self.rest = narrow(LINK.set(wide(self.rest), link));
    }

    /// A vacant slot between two others in the chain of those.
    #[must_use]
    pub fn vacant_between(before: Option<u32>, after: Option<u32>) -> Self {
        let mut slot = Self::VACANT;
        slot.set_before(before);
        slot.set_link(after);
        slot
    }

    /// Of a vacant slot: the one before it in the chain.
    #[must_use]
    pub fn before(&self) -> Option<u32> {
        u32::try_from(low64(wide(self.key))).ok()?.checked_sub(1)
    }

    /// Of a vacant slot: sets the one before it.
    pub fn set_before(&mut self, before: Option<u32>) {
        self.key = narrow(before.map_or(0, |slot| slot + 1).into());
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::VACANT
    }
}

impl Field {
    /// The field of `bits` behind this one.
    const fn next(self, bits: u32) -> Self {
        Self {
            at: self.at + self.bits,
            bits,
        }
    }

    fn mask(self) -> u128 {
        (1 << self.bits) - 1
    }

    fn put(self, value: u32) -> u128 {
        (u128::from(value) & self.mask()) << self.at
    }

    fn of(self, rest: u128) -> u32 {
        u32::try_from(rest >> self.at & self.mask()).unwrap_or(0)
    }

    fn set(self, rest: u128, value: u32) -> u128 {
        rest & !(self.mask() << self.at) | self.put(value)
    }
}

fn freeze_taken(taken: Taken) -> u32 {
    match taken {
        Taken::No => 1,
        Taken::Notice => 2,
        Taken::Full => 3,
    }
}

fn freeze_lan(lan: Lan) -> u32 {
    match lan {
        Lan::Unread => 0,
        Lan::Read => 1,
        Lan::Absent => 2,
        Lan::Ours => 3,
    }
}

fn freeze_since(day: u16, today: u16) -> u16 {
    if day == 0 {
        return 0;
    }
    let kept = day.clamp(today.saturating_sub(DAYS_KEPT).max(1), today.max(1));
    1 + kept % DAYS
}

fn thaw_since(code: u16, today: u16) -> u16 {
    let Some(residue) = code.checked_sub(1) else {
        return 0;
    };
    let back = (today % DAYS + DAYS - residue) % DAYS;
    today.saturating_sub(back).max(1)
}

fn freeze_call(call: u32, calls: u32) -> u32 {
    if call == 0 || call > calls || calls - call > CALLS_KEPT {
        return 0;
    }
    1 + call % CALLS
}

fn thaw_call(code: u32, calls: u32) -> u32 {
    let Some(residue) = code.checked_sub(1) else {
        return 0;
    };
    let back = (calls % CALLS + CALLS - residue) % CALLS;
    calls.saturating_sub(back)
}

fn wide<const N: usize>(octets: [u8; N]) -> u128 {
    let mut value = [0; 16];
    value
        .iter_mut()
        .zip(octets)
        .for_each(|(to, from)| *to = from);
    u128::from_le_bytes(value)
}

fn narrow<const N: usize>(value: u128) -> [u8; N] {
    let mut octets = [0; N];
    octets
        .iter_mut()
        .zip(value.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    octets
}

fn low64(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        today: 20_000,
        calls: 70_000,
    };
    const ZERO: Row = Row {
        key: Key(0),
        identity: None,
        size: 0,
        uid: 0,
        copy: None,
        since: 0,
        call: 0,
        user: 0,
        lan: Lan::Unread,
        taken: Taken::No,
    };

    #[track_caller]
    fn same(row: &Row, frame: Frame) {
        for link in [None, Some(0), Some(SLOT_LIMIT - 1)] {
            let mut slot = Slot::pack(row, frame).unwrap();
            slot.set_link(link);
            assert!(slot.is_taken());
            assert_eq!(slot.row(frame), Some(*row));
            assert_eq!(slot.link(), link);
            assert_eq!(
                (slot.key(), slot.user(), slot.copy()),
                (row.key, row.user, row.copy)
            );
        }
    }

    /// Every field at its extremes, alone and with all others at theirs.
    #[test]
    fn every_field_comes_back_at_its_extremes() {
        let full = Row {
            key: Key((1 << 56) - 1),
            identity: Some(Identity((1 << 56) - 1)),
            size: u32::MAX,
            uid: UID_LIMIT - 1,
            copy: Some(Place((1 << 30) - 2)),
            since: FRAME.today,
            call: FRAME.calls,
            user: 31,
            lan: Lan::Ours,
            taken: Taken::Full,
        };
        for row in [ZERO, full] {
            for other in [ZERO, full] {
                for one in [
                    Row {
                        key: other.key,
                        ..row
                    },
                    Row {
                        identity: other.identity,
                        ..row
                    },
                    Row {
                        size: other.size,
                        ..row
                    },
                    Row {
                        uid: other.uid,
                        ..row
                    },
                    Row {
                        copy: other.copy,
                        ..row
                    },
                    Row {
                        since: other.since,
                        ..row
                    },
                    Row {
                        call: other.call,
                        ..row
                    },
                    Row {
                        user: other.user,
                        ..row
                    },
                    Row {
                        lan: other.lan,
                        ..row
                    },
                    Row {
                        taken: other.taken,
                        ..row
                    },
                ] {
                    same(&one, FRAME);
                }
            }
        }
        for lan in [Lan::Unread, Lan::Read, Lan::Absent, Lan::Ours] {
            for taken in [Taken::No, Taken::Notice, Taken::Full] {
                same(&Row { lan, taken, ..full }, FRAME);
            }
        }
        for copy in [0, 1, (1 << 30) - 2] {
            same(
                &Row {
                    copy: Some(Place(copy)),
                    ..ZERO
                },
                FRAME,
            );
        }
    }

    #[test]
    fn random_rows_come_back() {
        let mut random = 1_u64;
        let mut next = |bits: u32| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random ^ random >> 29) & (u64::MAX >> (64 - bits))
        };
        for _ in 0..20_000 {
            let frame = Frame {
                today: u16::try_from(next(16)).unwrap().max(1),
                calls: u32::try_from(next(20)).unwrap(),
            };
            let back = |n: u64, kept: u32| u32::try_from(n).unwrap() % (kept + 1);
            let since = u32::from(frame.today).saturating_sub(back(next(9), DAYS_KEPT.into()));
            let row = Row {
                key: Key(next(56)),
                identity: (next(2) > 0).then_some(Identity(next(56).max(1))),
                size: u32::try_from(next(32)).unwrap(),
                uid: u32::try_from(next(28)).unwrap(),
                copy: (next(1) > 0).then_some(Place(u32::try_from(next(29)).unwrap())),
                since: u16::try_from(since).unwrap(),
                call: frame.calls.saturating_sub(back(next(10), CALLS_KEPT)),
                user: u8::try_from(next(5)).unwrap(),
                lan: [Lan::Unread, Lan::Read, Lan::Absent, Lan::Ours]
                    [usize::try_from(next(2)).unwrap()],
                taken: [Taken::No, Taken::Notice, Taken::Full, Taken::Full]
                    [usize::try_from(next(2)).unwrap()],
            };
            same(&row, frame);
        }
    }

    /// Read some days and calls later, before the ledger must age its rows, nothing is newer than
    /// it was.
    #[test]
    fn days_and_calls_keep_while_the_newest_runs_on() {
        for back in 0..=u32::from(DAYS_KEPT) {
            for on in 0..=u32::from(DAYS_SLACK) {
                let day = FRAME.today - u16::try_from(back).unwrap();
                let row = Row { since: day, ..ZERO };
                let slot = Slot::pack(&row, FRAME).unwrap();
                let today = FRAME.today + u16::try_from(on).unwrap();
                assert_eq!(slot.row(Frame { today, ..FRAME }), Some(row), "{back} {on}");
            }
        }
        for back in 0..=CALLS_KEPT {
            for on in 0..=CALLS_SLACK {
                let row = Row {
                    call: FRAME.calls - back,
                    ..ZERO
                };
                let slot = Slot::pack(&row, FRAME).unwrap();
                let calls = FRAME.calls + on;
                assert_eq!(slot.row(Frame { calls, ..FRAME }), Some(row), "{back} {on}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_less_and_never_something_else() {
        let packed = |row: Row| Slot::pack(&row, FRAME).and_then(|slot| slot.row(FRAME));
        assert_eq!(
            packed(Row {
                uid: UID_LIMIT,
                ..ZERO
            }),
            None
        );
        assert_eq!(packed(Row { user: 32, ..ZERO }), None);
        let far = Row {
            copy: Some(Place((1 << 30) - 1)),
            ..ZERO
        };
        assert_eq!(packed(far), Some(ZERO));
        let far = Row {
            copy: Some(Place(u32::MAX)),
            ..ZERO
        };
        assert_eq!(packed(far), Some(ZERO));
        let old = packed(Row { since: 1, ..ZERO }).unwrap();
        assert_eq!(old.since, FRAME.today - DAYS_KEPT);
        let old = packed(Row {
            call: FRAME.calls - CALLS_KEPT - 1,
            ..ZERO
        })
        .unwrap();
        assert_eq!(old.call, 0);
        let newer = packed(Row {
            call: FRAME.calls + 1,
            ..ZERO
        })
        .unwrap();
        assert_eq!(newer.call, 0);
    }

    #[test]
    fn zeros_are_vacant_and_neighbours_come_back() {
        assert_eq!(Slot::default(), Slot::VACANT);
        assert_eq!(Slot::VACANT.row(FRAME), None);
        for before in [None, Some(0), Some(SLOT_LIMIT - 1)] {
            for after in [None, Some(0), Some(SLOT_LIMIT - 1)] {
                let slot = Slot::vacant_between(before, after);
                assert!(!slot.is_taken());
                assert_eq!((slot.before(), slot.link()), (before, after));
            }
        }
    }
}
