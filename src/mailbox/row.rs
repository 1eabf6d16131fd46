//! One mail as the gateway knows it: a row of three facts (design §2).
//!
//! The patent's two lists are one table. Each fact has one writer, and they are independent of
//! each other: a listing, a `QUIT` and an eviction may come in any order and give the same row.
//!
//! | fact | only written by |
//! | --- | --- |
//! | [`Lan`] | a whole listing |
//! | copy | the store |
//! | [`Taken`] | a call's commit, `skip`, `again`, `start new` |
//!
//! The patent's list of the previous connection is `lan` in {Unread, Read}; its management list is
//! what is offered with a copy.

use crate::config::ReadAtDesk;
use crate::identity::Identity;
use crate::reconcile::Key;
use crate::store::Place;

/// What the newest whole listing of the LAN server said of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lan {
    /// Listed, and not read there.
    Unread,
    /// Listed, and marked as read there (`\Seen`: IMAP, Maildir).
    Read,
    /// Not listed: read at the desk, as far as anyone can tell.
    Absent,
    /// Not listed, but the source may have dropped it because we fetched it: the only copy.
    Ours,
}

/// What callers have taken of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// Nothing.
    No,
    /// A notice that it was read at the desk.
    Notice,
    /// The mail.
    Full,
}

/// What a maildrop offers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing.
    Nothing,
    /// The mail, from its copy or fetched on `RETR`.
    Mail,
}

/// What the gateway knows of one unique-id of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Keyed hash of the unique-id at the LAN server.
    pub key: Key,
    /// Identity made of the header; `None` until it was seen.
    pub identity: Option<Identity>,
    /// Octets: exact where there is a copy, else the LAN's figure.
    pub size: u32,
    /// The gateway's own UID, as a counter; never used again (design 2.10).
    pub uid: u32,
    /// Where the copy lies.
    pub copy: Option<Place>,
    /// The day (since 1970, UTC) on which `lan` was last written, or 480 days ago if that was
    /// longer ago; 0 while no clock is trusted.
    pub since: u16,
    /// The call that took it; 0: none of the last 1000, or no call at all.
    pub call: u32,
    /// Whose it is: an index of the ledger's accounts.
    pub user: u8,
    /// What the LAN says.
    pub lan: Lan,
    /// What callers took.
    pub taken: Taken,
}

impl Row {
    /// What a maildrop opened now offers of this mail: the offer table of design §2.
    #[must_use]
    pub fn offer(&self, policy: ReadAtDesk) -> Offer {
        if self.taken == Taken::Full {
            return Offer::Nothing;
        }
        match (self.lan, self.copy, policy) {
            (Lan::Unread, _, _) | (Lan::Ours, Some(_), _) => Offer::Mail,
            (Lan::Read | Lan::Absent, _, ReadAtDesk::Drop) | (Lan::Ours, None, _) => Offer::Nothing,
        }
    }

    /// Whether the patent's list of the previous connection has it.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        matches!(self.lan, Lan::Unread | Lan::Read)
    }

    /// Whether it waits at the LAN server, untaken and unread, and has no copy.
    #[must_use]
    pub fn lacks_copy(&self) -> bool {
        self.lan == Lan::Unread && self.copy.is_none() && self.taken != Taken::Full
    }

    /// A whole listing has it.
    #[must_use]
    pub fn when_listed(seen: bool) -> Lan {
        if seen { Lan::Read } else { Lan::Unread }
    }

    /// A whole listing lacks it; `keeps`: the source is known to keep what is fetched.
    #[must_use]
    pub fn when_unlisted(&self, keeps: bool) -> Lan {
        match self.lan {
            Lan::Unread | Lan::Read if !keeps && self.copy.is_some() => Lan::Ours,
            Lan::Unread | Lan::Read => Lan::Absent,
            Lan::Absent | Lan::Ours => self.lan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANS: [Lan; 4] = [Lan::Unread, Lan::Read, Lan::Absent, Lan::Ours];
    const TAKENS: [Taken; 3] = [Taken::No, Taken::Notice, Taken::Full];

    fn row(lan: Lan, copy: bool, taken: Taken) -> Row {
        Row {
            key: Key(1),
            identity: None,
            size: 1,
            uid: 1,
            copy: copy.then_some(Place(1)),
            since: 0,
            call: 0,
            user: 0,
            lan,
            taken,
        }
    }

    fn rows() -> Vec<Row> {
        let mut all = Vec::new();
        for lan in LANS {
            for copy in [false, true] {
                for taken in TAKENS {
                    all.push(row(lan, copy, taken));
                }
            }
        }
        all
    }

    /// The event table of design §2, with who writes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Listed { seen: bool },
        Unlisted { keeps: bool },
        Took,
        TookNotice,
        Skip,
        Again,
        Copied,
        Lost,
    }

    const EVENTS: [Event; 10] = [
        Event::Listed { seen: false },
        Event::Listed { seen: true },
        Event::Unlisted { keeps: true },
        Event::Unlisted { keeps: false },
        Event::Took,
        Event::TookNotice,
        Event::Skip,
        Event::Again,
        Event::Copied,
        Event::Lost,
    ];

    impl Event {
        fn writer(self) -> &'static str {
            match self {
                Self::Listed { .. } | Self::Unlisted { .. } => "listing",
                Self::Took | Self::TookNotice | Self::Skip | Self::Again => "call",
                Self::Copied | Self::Lost => "store",
            }
        }

        fn apply(self, mut row: Row) -> Row {
            match self {
                Self::Listed { seen } => row.lan = Row::when_listed(seen),
                Self::Unlisted { keeps } => row.lan = row.when_unlisted(keeps),
                Self::Took | Self::Skip => row.taken = Taken::Full,
                Self::TookNotice => row.taken = row.taken.max(Taken::Notice),
                Self::Again => row.taken = Taken::No,
                Self::Copied => row.copy = Some(Place(2)),
                Self::Lost => row.copy = None,
            }
            row
        }
    }

    /// Design §2, the event table, for every row there can be.
    #[test]
    fn every_event_writes_what_the_table_says() {
        for row in rows() {
            for event in EVENTS {
                let after = event.apply(row);
                let held = row.copy.is_some();
                let lan = match (event, row.lan) {
                    (Event::Listed { seen: false }, _) => Lan::Unread,
                    (Event::Listed { seen: true }, _) => Lan::Read,
                    (Event::Unlisted { keeps: false }, Lan::Unread | Lan::Read) if held => {
                        Lan::Ours
                    }
                    (Event::Unlisted { .. }, Lan::Unread | Lan::Read) => Lan::Absent,
                    (_, lan) => lan,
                };
                assert_eq!(after.lan, lan, "{event:?} on {row:?}");
                let taken = match (event, row.taken) {
                    (Event::Took | Event::Skip, _) => Taken::Full,
                    (Event::TookNotice, Taken::No) => Taken::Notice,
                    (Event::Again, _) => Taken::No,
                    (_, taken) => taken,
                };
                assert_eq!(after.taken, taken, "{event:?} on {row:?}");
            }
        }
    }

    /// Design §2: "a listing, a QUIT and an eviction commute". One pair does not, and may not: a
    /// source that is not known to keep its mail, and the loss of the copy: there the copy decides
    /// whether the mail is ours, so both orders must at least offer the same.
    #[test]
    fn events_of_different_writers_commute() {
        for row in rows() {
            for first in EVENTS {
                for second in EVENTS.into_iter().filter(|e| e.writer() != first.writer()) {
                    let one = second.apply(first.apply(row));
                    let other = first.apply(second.apply(row));
                    let unsure = |e: Event| e == Event::Unlisted { keeps: false };
                    if (unsure(first) || unsure(second)) && one.copy.is_none() {
                        assert_eq!(one.offer(ReadAtDesk::Drop), other.offer(ReadAtDesk::Drop));
                        continue;
                    }
                    if (unsure(first) || unsure(second)) && row.copy.is_none() {
                        // A copy that comes while the listing says that the mail has gone.
                        continue;
                    }
                    assert_eq!(one, other, "{first:?}, {second:?} on {row:?}");
                }
            }
        }
    }

    /// Design §2, the offer table under `drop`, for every row there can be.
    #[test]
    fn a_maildrop_offers_what_the_table_says() {
        for row in rows() {
            let offered = match (row.taken, row.lan) {
                (Taken::Full, _) => false,
                (_, Lan::Unread) => true,
                (_, Lan::Ours) => row.copy.is_some(),
                (_, Lan::Read | Lan::Absent) => false,
            };
            let offer = row.offer(ReadAtDesk::Drop);
            assert_eq!(offer == Offer::Mail, offered, "{row:?}");
        }
    }

    /// Design 2.4: from a source not known to keep its mail, what has gone and is held is ours.
    #[test]
    fn sentence_2_4_what_a_consuming_source_drops_stays_offered() {
        let before = row(Lan::Unread, true, Taken::No);
        let after = Event::Unlisted { keeps: false }.apply(before);
        assert_eq!(after.offer(ReadAtDesk::Drop), Offer::Mail);
        let after = Event::Unlisted { keeps: true }.apply(before);
        assert_eq!(after.offer(ReadAtDesk::Drop), Offer::Nothing);
    }
}
