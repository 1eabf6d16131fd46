//! How the ring is divided: what a user holds, what he may hold, what there is room for.

use hal::Medium;

use crate::config::ReadAtDesk;

use super::Mailbox;
use super::row::{Lan, Offer, Row, Taken, View};

impl<M: Medium> Mailbox<'_, M> {
    /// Octets of the copies that `user` is offered: what counts against the share.
    #[must_use]
    pub fn held(&self, user: u8, policy: ReadAtDesk) -> u64 {
        let today = self.ledger.today();
        let offered = |row: &Row| {
            let views = [View::Usual, View::Full];
            let in_view = |view| row.offer(policy, view, today) != Offer::Nothing;
            row.copy.is_some() && views.into_iter().any(in_view)
        };
        let rows = self.ledger.rows_of(user).map(|(_, row)| row);
        rows.filter(offered).map(|row| u64::from(row.size)).sum()
    }

    /// Whether a mail of `user` that waits at the LAN server has no copy, and there is room for one:
    /// its copy was given up.
    #[must_use]
    pub fn could_copy_again(&self, user: u8) -> bool {
        let room = self.room();
        let mut rows = self.ledger.rows_of(user).map(|(_, row)| row);
        rows.any(|row| row.lacks_copy() && self.cost(row.size) <= room)
    }

    /// Octets that may be copied, by [`cost`](Self::cost), before a copy that anybody may still
    /// want is given up for them: one not yet taken, of a mail not read at the desk, or ours.
    #[must_use]
    pub fn room(&self) -> u64 {
        let wanted = |row: &Row| {
            let waits = row.taken != Taken::Full && row.lan != Lan::Absent;
            waits || self.ledger.is_pinned(row.user)
        };
        let rows = self.ledger.rows().map(|(_, row)| row).filter(wanted);
        let oldest = rows.filter_map(|row| self.store.age(row.copy?)).min();
        self.store.room(oldest)
    }

    /// The same, before a copy that another than `user` may still want is given up. What is of an
    /// open maildrop, or ours, is passed over.
    #[must_use]
    pub fn room_beside_others(&self, user: u8) -> u64 {
        let wanted = |row: &Row| {
            let waits = row.taken != Taken::Full && row.lan == Lan::Unread;
            waits && row.user != user && !self.ledger.is_pinned(row.user)
        };
        let rows = self.ledger.rows().map(|(_, row)| row).filter(wanted);
        let oldest = rows.filter_map(|row| self.store.age(row.copy?)).min();
        self.store.room(oldest)
    }

    /// Octets of the ring that a copy of `octets` takes.
    #[must_use]
    pub fn cost(&self, octets: u32) -> u64 {
        self.store.cost(octets.into())
    }

    /// Octets of the ring that one user's offered copies may fill: `percent` of it, or a fair
    /// share.
    #[must_use]
    pub fn share(&self, percent: Option<u8>) -> u64 {
        let ring = self.store.geometry().ring();
        let named = self.ledger.accounts().filter(|(_, a)| !a.name.is_empty());
        match percent {
            Some(percent) => ring / 100 * u64::from(percent),
            None => ring / (named.count() as u64).max(1),
        }
    }
}
