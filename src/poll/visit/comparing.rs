//! Whether ids stand for other mails than before, by their sizes (design 2.5).
//!
//! A server may give an id anew without ever having listed the mailbox without it. `STAT` comes
//! with every visit, and costs nothing: if its octets are not the sum of what is known, `LIST` says
//! which mail has changed, and its header whether it is still the same. Where they differ for good
//! (a server that counts line ends otherwise, or estimates), the difference is remembered, and
//! asked about again only when it changes; sizes that differ from mails that did not change mean
//! nothing.
//!
//! Where mails are new, their sizes are not known yet: then the next visit compares.

use hal::Medium;

use crate::mailbox::Sizes;
use crate::reconcile::{Errand, Listed, Verdict};

use super::Goal;
use super::remote::Client;
use super::run::{Round, Run};

/// Octets by which a size may differ without a change: a last line end, counted or not.
const LINE_END_OCTETS: u32 = 2;

/// So many mails with wrong sizes and nothing else changed show that sizes mean nothing here.
const PROOFS: usize = 2;

impl Run {
    /// Whether `LIST` must say which mail has changed; then all that is listed is to be asked for.
    pub(super) fn doubts_sizes<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> bool {
        // The name of a Maildir's file stands for one mail for ever, and there is no `STAT`. A
        // header that has just been looked at stands for its mail as well.
        let sure = matches!(self.client, Client::Maildir(_)) || self.naming.by_headers;
        if self.looked || sure || matches!(self.goal, Goal::Fetch(_)) {
            return false;
        }
        let account = round.mailbox.ledger().account(self.account);
        let sizes = account.map(|account| account.sizes).unwrap_or_default();
        let mut known = self.settled.octets;
        for entry in round.tables.listing.get(..self.listed).unwrap_or_default() {
            let Some(size) = known_size(round, entry) else {
                return false;
            };
            known = known.saturating_add(u64::from(size));
        }
        let excess = signed(self.octets).saturating_sub(signed(known));
        if sizes.inexact || excess == sizes.excess {
            return false;
        }
        self.excess = Some(excess);
        for entry in self.listing(round) {
            entry.set_errand(Errand::Size);
        }
        true
    }

    /// The sizes have come: the headers of those that changed are looked at.
    pub(super) fn plan_comparison<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        for at in 0..self.listed {
            let entry = round.tables.listing.get(at).copied();
            let changed = entry.is_some_and(|entry| has_changed(round, &entry));
            if let Some(entry) = round.tables.listing.get_mut(at).filter(|_| changed) {
                entry.set_errand(Errand::Header);
            }
        }
    }

    /// All is judged: what differs now is remembered.
    pub(super) fn compared<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let Some(excess) = self.excess.take() else {
            return;
        };
        if self.report.new > 0 {
            return;
        }
        let listing = round.tables.listing.get(..self.listed).unwrap_or_default();
        let same = |entry: &&Listed| entry.identity().is_some() && has_changed(round, entry);
        let inexact = listing.iter().filter(same).count() >= PROOFS;
        round
            .mailbox
            .set_sizes(self.account, Sizes { excess, inexact });
    }
}

/// Octets of the row of `entry`, if it is known.
fn known_size<M: Medium>(round: &Round<'_, '_, '_, M>, entry: &Listed) -> Option<u32> {
    let Verdict::Known(slot) = entry.verdict() else {
        return None;
    };
    round.mailbox.ledger().row(slot).map(|row| row.size)
}

/// Whether `entry` is listed with another size than its row has.
fn has_changed<M: Medium>(round: &Round<'_, '_, '_, M>, entry: &Listed) -> bool {
    let known = known_size(round, entry);
    let listed = known.zip(entry.size());
    listed.is_some_and(|(known, listed)| known.abs_diff(listed) > LINE_END_OCTETS)
}

fn signed(octets: u64) -> i64 {
    i64::try_from(octets).unwrap_or(i64::MAX)
}
