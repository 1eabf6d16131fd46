//! The log of calls: the latest thousand or so, kept through restarts.
//!
//! A ring in lent memory. Each record has a serial number that says which place of the ring is
//! its own, so writing one down twice changes nothing. A record becomes durable with the end of its
//! call.

use serde::{Deserialize, Serialize};

/// The longest record on the medium, in octets: that of an index entry.
pub const RECORD_OCTETS: usize = 70;

/// How much of the caller's number is kept: a `+` and the 15 digits of the longest (E.164 §6), or
/// an IPv4 address.
pub const CALLER_OCTETS: usize = 16;

/// Mails that a record counts; more are kept as so many. Three octets on the medium.
pub const COUNTED: u32 = (1 << 21) - 1;

/// The user of a call in which nobody logged in, or whose account is another's by now.
pub const NOBODY: u8 = u8::MAX;

/// A call that has ended. Frozen: it is persisted as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Calls ever logged before this one, plus one; 0: an empty place.
    pub serial: u32,
    /// The number that `again` takes; 0: nobody logged in.
    pub number: u32,
    /// When it ended, in minutes since 1970 (UTC); 0: no clock was trusted.
    pub minute: u32,
    /// How long it was, in seconds.
    pub lasted: u32,
    /// Bits per second, as the modem said; 0: it did not say.
    pub speed: u32,
    /// Error correction and compression, as the modem said: a number of the gateway's.
    pub protocol: u8,
    /// The caller's number, then zeros; of a longer one the end.
    pub caller: [u8; CALLER_OCTETS],
    /// The account, or [`NOBODY`].
    pub user: u8,
    /// Mails offered, up to [`COUNTED`].
    pub offered: u32,
    /// And how many octets they have, as `LIST` told.
    pub offered_octets: u32,
    /// Mails put whole on the line, up to [`COUNTED`].
    pub sent: u32,
    /// And how many octets they have, counted as the offered ones.
    pub sent_octets: u32,
    /// Mails marked as deleted, up to [`COUNTED`].
    pub deleted: u32,
    /// Octets to the caller, of mail and of all else.
    pub octets: u32,
    /// Why it ended: a number of the gateway's.
    pub reason: u8,
}

/// A record as it was written before it had the octets of what was sent. Frozen, and only read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecordV1 {
    serial: u32,
    number: u32,
    minute: u32,
    lasted: u32,
    speed: u32,
    protocol: u8,
    caller: [u8; CALLER_OCTETS],
    user: u8,
    offered: u32,
    offered_octets: u32,
    sent: u32,
    deleted: u32,
    octets: u32,
    reason: u8,
}

impl From<CallRecordV1> for CallRecord {
    /// The octets of the mails sent were not kept: those to the caller in all come near.
    fn from(old: CallRecordV1) -> Self {
        let sent_octets = if old.sent == 0 { 0 } else { old.octets };
        Self {
            serial: old.serial,
            number: old.number,
            minute: old.minute,
            lasted: old.lasted,
            speed: old.speed,
            protocol: old.protocol,
            caller: old.caller,
            user: old.user,
            offered: old.offered,
            offered_octets: old.offered_octets,
            sent: old.sent,
            sent_octets: sent_octets.min(old.offered_octets),
            deleted: old.deleted,
            octets: old.octets,
            reason: old.reason,
        }
    }
}

impl CallRecord {
    /// An empty place: all zeros.
    pub const EMPTY: Self = Self {
        serial: 0,
        number: 0,
        minute: 0,
        lasted: 0,
        speed: 0,
        protocol: 0,
        caller: [0; CALLER_OCTETS],
        user: 0,
        offered: 0,
        offered_octets: 0,
        sent: 0,
        sent_octets: 0,
        deleted: 0,
        octets: 0,
        reason: 0,
    };

    /// As it is kept: no count is above [`COUNTED`].
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for count in [&mut self.offered, &mut self.sent, &mut self.deleted] {
            *count = (*count).min(COUNTED);
        }
        self
    }

    /// The caller's number, as it is kept.
    #[must_use]
    pub fn kept_caller(number: &str) -> [u8; CALLER_OCTETS] {
        let mut kept = [0; CALLER_OCTETS];
        let end = number.len().saturating_sub(CALLER_OCTETS);
        for (place, octet) in kept.iter_mut().zip(number.bytes().skip(end)) {
            *place = octet;
        }
        kept
    }

    /// The caller's number, if it was told: printable ASCII, whatever the medium says.
    pub fn caller(&self) -> impl Iterator<Item = char> {
        let octets = self.caller.into_iter().map(char::from);
        octets.filter(char::is_ascii_graphic)
    }
}

/// A record takes no more memory than on the medium.
const _: () = assert!(size_of::<CallRecord>() <= 64);

/// The latest calls, over lent memory.
#[derive(Debug, Default)]
pub struct CallLog<'a> {
    records: &'a mut [CallRecord],
    /// The highest serial number.
    newest: u32,
}

impl<'a> CallLog<'a> {
    /// An empty log of so many calls; `records` must be empty ones.
    pub fn new(records: &'a mut [CallRecord]) -> Self {
        Self { records, newest: 0 }
    }

    /// Puts a record into its place, unless a newer one stands there.
    pub fn put(&mut self, record: CallRecord) {
        let length = self.records.len();
        let at = (record.serial as usize).checked_rem(length).unwrap_or(0);
        if let Some(place) = self.records.get_mut(at)
            && place.serial <= record.serial
        {
            *place = record.bounded();
            self.newest = self.newest.max(record.serial);
        }
    }

    /// The account `user` is another's from now on.
    pub fn forget(&mut self, user: u8) {
        for record in self.records.iter_mut().filter(|record| record.user == user) {
            // Empty records are not touched: their user is 0, so are their serials.
            if record.serial != 0 {
                record.user = NOBODY;
            }
        }
    }

    /// Forgets all calls.
    pub fn clear(&mut self) {
        if self.newest > 0 {
            self.records.fill(CallRecord::default());
        }
        self.newest = 0;
    }

    /// The serial number of the next call.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.newest.saturating_add(1)
    }

    /// How many calls it can hold.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    /// The record in place `at` of the ring, if there is one: for snapshots.
    #[must_use]
    pub fn place(&self, at: u32) -> Option<&CallRecord> {
        let record = self.records.get(at as usize)?;
        (record.serial != 0).then_some(record)
    }

    /// The `back`th latest call, counted from 0.
    #[must_use]
    pub fn latest(&self, back: u32) -> Option<&CallRecord> {
        let serial = self.newest.checked_sub(back)?;
        let at = serial.checked_rem(self.capacity())?;
        self.place(at).filter(|record| record.serial == serial)
    }

    /// All calls, the latest first.
    pub fn iter(&self) -> impl Iterator<Item = &CallRecord> {
        (0..).map_while(|back| self.latest(back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(serial: u32) -> CallRecord {
        CallRecord {
            serial,
            number: serial * 3,
            user: u8::try_from(serial % 3).unwrap(),
            ..CallRecord::default()
        }
    }

    #[test]
    fn the_latest_stay_whatever_the_capacity() {
        for capacity in 0..9 {
            let mut records = vec![CallRecord::default(); capacity];
            let mut log = CallLog::new(&mut records);
            for serial in 1..40_u32 {
                assert_eq!(log.next(), if capacity == 0 { 1 } else { serial });
                log.put(call(serial));
                // As a journal is replayed over a snapshot.
                log.put(call(serial));
                log.put(call(
                    serial
                        .saturating_sub(u32::try_from(capacity).unwrap())
                        .max(1),
                ));
                let found: Vec<u32> = log.iter().map(|record| record.serial).collect();
                let expected: Vec<u32> = (1..=serial).rev().take(capacity).collect();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn the_end_of_a_callers_number_is_kept() {
        for length in 0..40 {
            let number: String = ('0'..='9').cycle().take(length).collect();
            let record = CallRecord {
                caller: CallRecord::kept_caller(&number),
                ..CallRecord::EMPTY
            };
            let end = length.saturating_sub(CALLER_OCTETS);
            assert!(record.caller().eq(number[end..].chars()));
        }
        let record = CallRecord {
            caller: *b"+1\x1b[2J\xff 55 \0\0\0\0\0",
            ..CallRecord::EMPTY
        };
        assert_eq!(record.caller().collect::<String>(), "+1[2J55");
    }

    #[test]
    fn a_call_of_an_account_that_is_anothers_is_nobodys() {
        let mut records = [CallRecord::default(); 8];
        let mut log = CallLog::new(&mut records);
        (1..6).for_each(|serial| log.put(call(serial)));
        log.forget(1);
        log.forget(0);
        let users: Vec<u8> = log.iter().map(|record| record.user).collect();
        assert_eq!(users, [2, NOBODY, NOBODY, 2, NOBODY]);
        log.clear();
        assert_eq!((log.iter().count(), log.next()), (0, 1));
    }
}
