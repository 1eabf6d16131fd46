//! Mails of a listing with which there is nothing to do: at most visits all of them.
//!
//! A mail that is listed as it was before needs no entry in the table: one bit for its row, and its
//! octets in a sum. So a visit without news takes no memory for its listing, and sorts nothing.
//! What is to be copied, is new, or is known in any other way gets its entry as ever.
//!
//! Where an entry of such a mail is wanted after all, the server is asked for its list once more,
//! and each mail gets an entry: an id stands there twice (RFC 1939 §7), or sizes must be compared
//! (see [`comparing`](super::comparing)). What has gone is written down before that; but not where
//! message-numbers do not rise: then nobody can say yet that each stands there once. A source whose
//! lists are so, or that does not list twice in a session, is not asked twice again.

use hal::Medium;

use crate::mailbox::{Habit, Lan};
use crate::pop3::client::Request as Pop3Request;
use crate::reconcile::{Key, Known, Slots};

use super::remote::Client;
use super::run::{Round, Run, State, Turn};
use super::{Failure, Goal};

/// What was left out of the table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settled {
    /// Mails are left out.
    on: bool,
    /// Message-numbers do not rise.
    disordered: bool,
    /// An id stands there twice.
    doubled: bool,
    /// This is the second list of the session.
    again: bool,
    /// The last message-number.
    number: u32,
    /// Behind the slot of the last mail that is known: there the next may lie.
    next: u32,
    pub(super) count: usize,
    /// Octets of them all, as the rows have them.
    pub(super) octets: u64,
}

impl Run {
    /// A listing begins. Only from a source that keeps what is fetched nothing is to be concluded
    /// from what is listed.
    pub(super) fn begin_listing<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let account = round.mailbox.ledger().account(self.account);
        let odd = account.is_some_and(|account| account.odd_lists);
        self.listed = 0;
        self.settled = Settled {
            on: matches!(self.client, Client::Pop3(_))
                && self.goal == Goal::Poll
                && self.source.habit == Habit::Keeps
                && !odd,
            ..Settled::default()
        };
        round.tables.settled.fill(0);
    }

    /// Whether the mail listed with `number` and `key` needs no entry.
    pub(super) fn is_settled<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        number: u32,
        key: Key,
    ) -> bool {
        if !self.settled.on {
            return false;
        }
        self.settled.disordered |= number <= self.settled.number;
        self.settled.number = number;
        let known = round.mailbox.ledger().known(self.account);
        let Some(slot) = known.only(key, self.settled.next) else {
            return false;
        };
        self.settled.next = slot + 1;
        let mut settled = Slots::resume(round.tables.settled);
        self.settled.doubled |= settled.contains(slot);
        let row = round.mailbox.ledger().row(slot);
        let row = row.filter(|row| row.lan == Lan::Unread && !row.lacks_copy());
        let Some(row) = row else {
            return false;
        };
        settled.insert(slot);
        if !settled.contains(slot) {
            // The set is too small for it.
            return false;
        }
        self.settled.count += 1;
        self.settled.octets += u64::from(row.size);
        true
    }

    /// Whether nothing of a listing may be believed before each mail has an entry.
    pub(super) fn is_disordered(&self) -> bool {
        self.settled.disordered && self.settled.count > 0
    }

    /// Whether each mail must have an entry before anything is looked at or copied.
    pub(super) fn wants_entries<M: Medium>(&self, round: &Round<'_, '_, '_, M>) -> bool {
        let known = round.mailbox.ledger().known(self.account);
        let entries = round.tables.listing.get(..self.listed).unwrap_or_default();
        // It was taken between the two, and had no copy before.
        let twice = |key| {
            let slot = known.first(key);
            slot.is_some_and(|slot| Slots::holds(round.tables.settled, slot))
        };
        self.settled.count > 0
            && (self.settled.doubled || entries.iter().any(|entry| twice(entry.key)))
    }

    /// Whether this session was asked for its list a second time.
    pub(super) fn lists_again(&self) -> bool {
        self.settled.again
    }

    /// Asks for it.
    pub(super) fn list_again<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        log::debug!("visit: every entry of the listing is wanted");
        if self.settled.doubled || self.settled.disordered {
            round.mailbox.note_odd_lists(self.account);
        }
        self.begin_listing(round);
        (self.settled.on, self.settled.again) = (false, true);
        self.excess = None;
        self.ask(round, Pop3Request::Uidl)?;
        Ok(self.enter(State::Listing))
    }
}
