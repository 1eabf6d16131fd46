//! One entry of a listing, in 32 octets: there may be 100,000 of them in each visit.

use super::Key;
use crate::identity::Identity;

/// One entry of a listing, and what has become known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its unique-id, hashed.
    pub key: Key,
    identity: Identity,
    /// Its message-number at the LAN server.
    pub number: u32,
    size: u32,
    /// The slot of a verdict that has one, or the UID of a new mail: never both.
    word: u32,
    day: u16,
    /// Which of the fields hold anything: `HAS_*`, `SEEN`; and the kind of the verdict.
    flags: u8,
    errand: Errand,
}

const _: () = assert!(size_of::<Listed>() == 32);

const SEEN: u8 = 1;
const HAS_SIZE: u8 = 1 << 1;
const HAS_IDENTITY: u8 = 1 << 2;
const HAS_DAY: u8 = 1 << 3;
const HAS_UID: u8 = 1 << 4;
/// The bits of the verdict's kind, and the kinds.
const KINDS: u8 = 7 << 5;
const UNJUDGED: u8 = 0;
const LOOK: u8 = 1 << 5;
const KNOWN: u8 = 2 << 5;
const REKEYED: u8 = 3 << 5;
const NEW: u8 = 4 << 5;

/// What a visit has still to ask of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errand {
    /// Nothing. Zero, as in [`Listed::new`].
    #[default]
    Nothing,
    /// Its header.
    Header,
    /// Its size.
    Size,
    /// All of it.
    Copy,
    /// All of it, after all others: the last visit failed over it.
    Last,
    /// Nothing, but it gets a row: the server does not send it as it should.
    Enter,
}

/// What an entry of a listing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not judged yet.
    #[default]
    Unjudged,
    /// Its header must be looked at first.
    Look,
    /// It is the mail of this row, under this key.
    Known(u32),
    /// It is the mail of this row, under another key than before.
    Rekeyed(u32),
    /// A mail that was never here.
    New,
}

impl Listed {
    /// An entry of which nothing is known but its id. All zeros where these are: large tables need
    /// not be written to before they are used.
    #[must_use]
    pub const fn new(key: Key, number: u32) -> Self {
        Self {
            key,
            identity: Identity(0),
            number,
            size: 0,
            word: 0,
            day: 0,
            flags: 0,
            errand: Errand::Nothing,
        }
    }

    /// Octets as the LAN server has it, once asked.
    #[must_use]
    pub fn size(&self) -> Option<u32> {
        self.has(HAS_SIZE).then_some(self.size)
    }

    /// Notes its size.
    pub fn set_size(&mut self, size: Option<u32>) {
        self.flag(HAS_SIZE, size.is_some());
        self.size = size.unwrap_or_default();
    }

    /// Whether the LAN server marks it as read.
    #[must_use]
    pub fn seen(&self) -> bool {
        self.has(SEEN)
    }

    /// Notes whether it is marked as read.
    pub fn set_seen(&mut self, seen: bool) {
        self.flag(SEEN, seen);
    }

    /// Its header identity, once looked at.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.has(HAS_IDENTITY).then_some(self.identity)
    }

    /// Notes its header identity.
    pub fn set_identity(&mut self, identity: Option<Identity>) {
        self.flag(HAS_IDENTITY, identity.is_some());
        self.identity = identity.unwrap_or(Identity(0));
    }

    /// The day of its header's date, once looked at.
    #[must_use]
    pub fn day(&self) -> Option<u16> {
        self.has(HAS_DAY).then_some(self.day)
    }

    /// Notes the day of its date.
    pub fn set_day(&mut self, day: Option<u16>) {
        self.flag(HAS_DAY, day.is_some());
        self.day = day.unwrap_or_default();
    }

    /// What it is; written by [`reconcile`](super::reconcile).
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.flags & KINDS {
            LOOK => Verdict::Look,
            KNOWN => Verdict::Known(self.word),
            REKEYED => Verdict::Rekeyed(self.word),
            NEW => Verdict::New,
            _ => Verdict::Unjudged,
        }
    }

    /// Notes what it is, and forgets the UID that it would have got.
    pub fn set_verdict(&mut self, verdict: Verdict) {
        let (kind, word) = match verdict {
            Verdict::Unjudged => (UNJUDGED, 0),
            Verdict::Look => (LOOK, 0),
            Verdict::Known(slot) => (KNOWN, slot),
            Verdict::Rekeyed(slot) => (REKEYED, slot),
            Verdict::New => (NEW, 0),
        };
        self.flags = self.flags & !(KINDS | HAS_UID) | kind;
        self.word = word;
    }

    /// The gateway's own UID that the row of a new mail will get: given out in the order of the
    /// listing.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.has(HAS_UID).then_some(self.word)
    }

    /// Notes that UID. Only a new mail gets one: the row of any other has its own.
    pub fn set_uid(&mut self, uid: u32) {
        if self.verdict() == Verdict::New {
            self.flag(HAS_UID, true);
            self.word = uid;
        }
    }

    /// What the visit will ask of it: see [`Errand`].
    #[must_use]
    pub fn errand(&self) -> Errand {
        self.errand
    }

    /// Notes what will be asked.
    pub fn set_errand(&mut self, errand: Errand) {
        self.errand = errand;
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn flag(&mut self, flag: u8, on: bool) {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }
}

impl Default for Listed {
    fn default() -> Self {
        Self::new(Key(0), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that an entry holds.
    type Fields = (
        Option<u32>,
        bool,
        Option<Identity>,
        Option<u16>,
        Verdict,
        Option<u32>,
        Errand,
    );

    fn fields(entry: &Listed) -> Fields {
        (
            entry.size(),
            entry.seen(),
            entry.identity(),
            entry.day(),
            entry.verdict(),
            entry.uid(),
            entry.errand(),
        )
    }

    #[test]
    fn every_field_is_kept_whatever_the_others_are() {
        let verdicts = [
            Verdict::Unjudged,
            Verdict::Look,
            Verdict::Known(0),
            Verdict::Known(u32::MAX),
            Verdict::Rekeyed(7),
            Verdict::New,
        ];
        let errands = [
            Errand::Nothing,
            Errand::Header,
            Errand::Size,
            Errand::Copy,
            Errand::Last,
            Errand::Enter,
        ];
        let mut entry = Listed::new(Key(5), 9);
        assert_eq!(
            entry,
            Listed {
                number: 9,
                ..Listed::new(Key(5), 0)
            }
        );
        for size in [None, Some(0), Some(u32::MAX)] {
            for seen in [false, true] {
                for identity in [None, Some(Identity(0)), Some(Identity(u64::MAX))] {
                    for day in [None, Some(0), Some(u16::MAX)] {
                        for verdict in verdicts {
                            for errand in errands {
                                entry.set_errand(errand);
                                entry.set_size(size);
                                entry.set_verdict(verdict);
                                entry.set_seen(seen);
                                entry.set_uid(3);
                                entry.set_day(day);
                                entry.set_identity(identity);
                                let uid = (verdict == Verdict::New).then_some(3);
                                assert_eq!(
                                    fields(&entry),
                                    (size, seen, identity, day, verdict, uid, errand)
                                );
                                assert_eq!((entry.key, entry.number), (Key(5), 9));
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn another_verdict_forgets_the_uid() {
        let mut entry = Listed::new(Key(1), 1);
        entry.set_verdict(Verdict::New);
        entry.set_uid(8);
        entry.set_verdict(Verdict::New);
        assert_eq!(entry.uid(), None);
    }
}
