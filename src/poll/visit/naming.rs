//! Servers without `UIDL`: their mails are known by their headers (patent P0038).
//!
//! ```text
//! UIDL -ERR -> LIST --as it was?--> TOP n 0 of the last --as it was?--> done
//!                 \no                                 \no
//!                  `--> TOP n 0 of each <-------------'
//!                         key = hash of the fields that stay; equal ones are counted (design 2.6)
//! ```
//!
//! Nothing is kept of a listing but one number: that of all sizes in their order. Mails come at the
//! end of a maildrop, so that the same sizes and the same last mail make the same maildrop; but
//! for one that came where another of its very size had gone, in the middle. So every so often all
//! headers are looked at, whatever the sizes say.

use hal::Medium;

use crate::identity::{Header, Identity};
use crate::reconcile::{Errand, Key};

use super::choosing::{Looking, Quest};
use super::remote::{Reply, Request};
use super::run::{Round, Run, State, Then, Turn, unexpected};
use super::{Event, Failure, Goal, Standing};

/// So many visits may go by the sizes alone before all headers are looked at again.
const VISITS: u8 = 24;

/// How a maildrop stood at its last whole listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Hash of all sizes, in their order.
    sizes: Key,
    /// Its last mail, where there is one.
    last: Option<Identity>,
    /// Visits that went by the sizes alone.
    visits: u8,
}

/// A maildrop without unique-ids, in one visit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Naming {
    /// There is no `UIDL`.
    pub(super) by_headers: bool,
    /// How it stands, as far as that is known.
    standing: Option<Listing>,
}

impl Naming {
    /// What the next visit may compare with.
    pub(super) fn standing(&self) -> Option<Listing> {
        self.standing
    }
}

impl Run {
    /// The server has no `UIDL`.
    pub(super) fn list_by_headers<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        self.naming.by_headers = true;
        self.listed = 0;
        self.ask(round, Request::Sizes)?;
        Ok(Turn::Again)
    }

    /// All sizes have come, and as many as there must be.
    pub(super) fn name<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let mut sizes = Key::default();
        for at in 0..self.listed {
            let entry = round.tables.listing.get(at).copied().unwrap_or_default();
            let mut octets = [0; 16];
            let (before, size) = octets.split_at_mut(8);
            before.copy_from_slice(&sizes.0.to_le_bytes());
            size.copy_from_slice(&u64::from(entry.size().unwrap_or(0)).to_le_bytes());
            sizes = round.mailbox.key(&octets);
        }
        let then = match self.recalled {
            Some(Standing::Headers(then)) if self.goal == Goal::Poll => Some(then),
            _ => None,
        };
        let then = then.filter(|then| then.sizes == sizes && then.visits < VISITS);
        self.naming.standing = Some(Listing {
            sizes,
            last: then.and_then(|then| then.last),
            visits: then.map_or(0, |then| then.visits + 1),
        });
        let asked = match then {
            Some(_) => self.listed.saturating_sub(1),
            None => 0,
        };
        for (at, entry) in self.listing(round).iter_mut().enumerate() {
            entry.set_errand(if at >= asked {
                Errand::Header
            } else {
                Errand::Nothing
            });
        }
        let quest = match then {
            Some(_) => Quest::Last,
            None => Quest::Names,
        };
        Ok(self.enter(State::Looking(Looking::new(quest))))
    }

    /// The header of the entry at `at` has come.
    pub(super) fn named<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        at: usize,
        header: &Header,
    ) {
        let key = round.mailbox.key(&header.fields.0.to_le_bytes());
        if let Some(entry) = round.tables.listing.get_mut(at) {
            entry.key = key;
        }
        if at + 1 == self.listed
            && let Some(standing) = &mut self.naming.standing
            && standing.last != Some(header.fields)
        {
            (standing.last, standing.visits) = (Some(header.fields), 0);
        }
    }

    /// The server does not give the header of the entry at `at`.
    ///
    /// # Errors
    /// Where it gives none at all, or says that it has a fault. Else the mail is gone since it was
    /// listed.
    pub(super) fn unnamed<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        at: usize,
        refusal: Reply,
    ) -> Result<(), Failure> {
        let Reply::Refused { code: None, .. } = refusal else {
            return Err(unexpected(refusal));
        };
        if !self.capabilities.top {
            return Err(Failure::Nameless);
        }
        if let Some(entry) = round.tables.listing.get_mut(at) {
            entry.number = 0;
        }
        self.naming.standing = None;
        Ok(())
    }

    /// The header of the last mail has come: are all as they were?
    pub(super) fn named_last<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Turn {
        if self.naming.standing.is_some_and(|now| now.visits > 0) {
            self.report.listed = u32::try_from(self.listed).unwrap_or(u32::MAX);
            // Nothing is written, and the ticket is done at once.
            let ticket = round.mailbox.commit();
            let then = Then::Quit;
            self.enter(State::Settling { ticket, then });
            return Turn::Tell(Event::Current);
        }
        for entry in self.listing(round) {
            entry.set_errand(Errand::Header);
        }
        self.enter(State::Looking(Looking::new(Quest::Names)))
    }

    /// All headers have come: what is still there is judged.
    pub(super) fn named_all<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Turn {
        let listing = round.tables.listing.get_mut(..self.listed);
        let listing = listing.unwrap_or_default();
        let mut kept = 0;
        for at in 0..listing.len() {
            if listing.get(at).is_some_and(|entry| entry.number != 0) {
                listing.swap(kept, at);
                kept += 1;
            }
        }
        self.listed = kept;
        self.report.listed = u32::try_from(kept).unwrap_or(u32::MAX);
        self.looked = true;
        self.judge(round);
        self.enter(State::Absent { slot: 0 })
    }
}
