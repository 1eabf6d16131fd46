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

use crate::config::{Mark, ReadAtDesk};
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
    /// The mail, with a mark that it was read at the desk.
    Marked(Mark),
    /// A notice that it was read at the desk.
    Notice,
}

/// Which view of a maildrop a login asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// `NAME`
    #[default]
    Usual,
    /// `NAME+full`: the mails in place of notices.
    Full,
}

impl View {
    /// The user's name and the view that `login` asks for; `None` if there is no such view.
    #[must_use]
    pub fn split(login: &str) -> Option<(&str, Self)> {
        match login.split_once('+') {
            None => Some((login, Self::Usual)),
            Some((name, FULL)) => Some((name, Self::Full)),
            Some(_) => None,
        }
    }
}

/// The word of [`View::Full`], behind the `+`.
pub const FULL: &str = "full";

/// Days for which a mail read at the desk may still be had, and its notice with it: a notice must
/// not promise what is not there (design 2.12).
const NOTICE_DAYS: u16 = 30;

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
    /// What a maildrop opened on day `today`, 0 without a trusted clock, offers of this mail: the
    /// offer table of design §2.
    #[must_use]
    pub fn offer(&self, policy: ReadAtDesk, view: View, today: u16) -> Offer {
        if self.taken == Taken::Full {
            return Offer::Nothing;
        }
        match (self.lan, self.copy) {
            (Lan::Unread, _) | (Lan::Ours, Some(_)) => return Offer::Mail,
            (_, None) => return Offer::Nothing,
            (Lan::Read | Lan::Absent, Some(_)) => {}
        }
        match (policy, view) {
            (ReadAtDesk::Drop, _) | (ReadAtDesk::Mark(_), View::Full) => Offer::Nothing,
            (ReadAtDesk::Mark(mark), View::Usual) => Offer::Marked(mark),
            (ReadAtDesk::Notice, _) if self.is_old(today) => Offer::Nothing,
            (ReadAtDesk::Notice, View::Usual) if self.taken == Taken::No => Offer::Notice,
            (ReadAtDesk::Notice, View::Usual) => Offer::Nothing,
            (ReadAtDesk::Notice, View::Full) => Offer::Mail,
        }
    }

    /// Whether it was read at the desk too long ago for a notice. Without a trusted clock, now or
    /// then, nobody can say so.
    fn is_old(&self, today: u16) -> bool {
        self.since != 0 && today.saturating_sub(self.since) > NOTICE_DAYS
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
                        for (policy, view) in POLICIES.into_iter().zip([View::Usual; 5]) {
                            assert_eq!(one.offer(policy, view, 0), other.offer(policy, view, 0));
                        }
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

    const POLICIES: [ReadAtDesk; 5] = [
        ReadAtDesk::Drop,
        ReadAtDesk::Mark(Mark::Header),
        ReadAtDesk::Mark(Mark::Subject),
        ReadAtDesk::Mark(Mark::Body),
        ReadAtDesk::Notice,
    ];

    /// Design §2, the offer table, for every row there can be, every policy and either view.
    #[test]
    fn a_maildrop_offers_what_the_table_says() {
        for row in rows() {
            for policy in POLICIES {
                for view in [View::Usual, View::Full] {
                    let held = row.copy.is_some();
                    let there = row.lan == Lan::Unread || row.lan == Lan::Ours && held;
                    let read = matches!(row.lan, Lan::Read | Lan::Absent) && held;
                    let expected = match (policy, view) {
                        _ if row.taken == Taken::Full => Offer::Nothing,
                        _ if there => Offer::Mail,
                        _ if !read => Offer::Nothing,
                        (ReadAtDesk::Drop, _) => Offer::Nothing,
                        (ReadAtDesk::Mark(mark), View::Usual) => Offer::Marked(mark),
                        (ReadAtDesk::Mark(_), View::Full) => Offer::Nothing,
                        (ReadAtDesk::Notice, View::Full) => Offer::Mail,
                        (ReadAtDesk::Notice, View::Usual) if row.taken == Taken::No => {
                            Offer::Notice
                        }
                        (ReadAtDesk::Notice, View::Usual) => Offer::Nothing,
                    };
                    let offer = row.offer(policy, view, 1000);
                    assert_eq!(offer, expected, "{row:?} {policy:?} {view:?}");
                }
            }
        }
    }

    /// Design 2.12: the full mail, and so its notice, may be had for 30 days.
    #[test]
    fn sentence_2_12_a_notice_promises_only_what_can_be_had() {
        for (since, today, offered) in [
            (100, 130, true),
            (100, 131, false),
            (0, 5000, true),
            (100, 0, true),
            (100, 90, true),
        ] {
            let row = Row {
                since,
                ..row(Lan::Absent, true, Taken::No)
            };
            let notice = row.offer(ReadAtDesk::Notice, View::Usual, today);
            let full = row.offer(ReadAtDesk::Notice, View::Full, today);
            assert_eq!(notice == Offer::Notice, offered, "{since} {today}");
            assert_eq!(full == Offer::Mail, offered, "{since} {today}");
            // What is not read at the desk has no such age.
            let unread = Row {
                lan: Lan::Unread,
                ..row
            };
            let offer = unread.offer(ReadAtDesk::Notice, View::Usual, today);
            assert_eq!(offer, Offer::Mail);
        }
    }

    #[test]
    fn a_login_names_a_view() {
        assert_eq!(View::split("anna"), Some(("anna", View::Usual)));
        assert_eq!(View::split("anna+full"), Some(("anna", View::Full)));
        for login in ["anna+", "anna+Full", "anna+full+full", "anna+text"] {
            assert_eq!(View::split(login), None, "{login}");
        }
    }

    /// Design 2.4: from a source not known to keep its mail, what has gone and is held is ours.
    #[test]
    fn sentence_2_4_what_a_consuming_source_drops_stays_offered() {
        let before = row(Lan::Unread, true, Taken::No);
        let after = Event::Unlisted { keeps: false }.apply(before);
        assert_eq!(after.offer(ReadAtDesk::Drop, View::Usual, 0), Offer::Mail);
        let after = Event::Unlisted { keeps: true }.apply(before);
        assert_eq!(
            after.offer(ReadAtDesk::Drop, View::Usual, 0),
            Offer::Nothing
        );
    }
}
