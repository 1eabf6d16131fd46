//! A mail that the ring has no room for: read from the LAN server as the line drains (design 2.9).
//!
//! ```text
//! Proving: its last octet, and nothing behind it --> `streams`
//!          part asked -> part whole -> taken by the caller's maildrop -> part asked .. -> Settling
//! ```
//!
//! Nothing is stored, and at most one part is held here. The next one is asked for when the last
//! was taken: so the server never waits for a slow line in mid-answer, and is asked again within
//! the time in which a part drains. The size is proven before the caller is told of it: after
//! `+OK` there is nothing to be done about a mail that ends sooner but to hang up.
//!
//! Only by IMAP, where a part can be asked for; a POP3 server would be left in mid-answer, and its
//! maildrop locked, as long as the call lasts.

use hal::Medium;

use crate::mailbox::Mailbox;
use crate::reconcile::Verdict;

use super::remote::{Client, Reply, Request};
use super::{Failure, Goal, PIECE_OCTETS, Round, Run, State, Then, Turn, Visit, unexpected};

/// A mail on its way to a caller.
#[derive(Debug)]
pub(super) struct Streaming {
    number: u32,
    /// As many as it has.
    octets: u64,
    /// As many of them as have come.
    offset: u64,
    proven: bool,
    /// Of the part that was asked for.
    asked: Option<u32>,
    part: heapless::Vec<u8, PIECE_OCTETS>,
}

impl Streaming {
    /// How far it is: rises with every part.
    pub(super) fn milestone(&self) -> (bool, usize) {
        (
            self.proven,
            usize::try_from(self.offset).unwrap_or(usize::MAX),
        )
    }

    /// Where the part to ask for now begins, and how long it is.
    fn next(&self) -> Option<(u64, u32)> {
        if !self.proven {
            // One octet more than there should be.
            return Some((self.octets.saturating_sub(1), 2));
        }
        let left = self.octets.saturating_sub(self.offset);
        let most = self.part.capacity() as u64;
        let octets = u32::try_from(left.min(most)).unwrap_or(0);
        (self.part.is_empty() && octets > 0).then_some((self.offset, octets))
    }

    fn is_over(&self) -> bool {
        self.proven && self.part.is_empty() && self.offset >= self.octets
    }

    /// The part that was asked for has come.
    fn end_part(&mut self, asked: u32) -> Result<(), Failure> {
        let announced = u32::try_from(self.octets).unwrap_or(u32::MAX);
        let came = self.part.len() as u64;
        if !self.proven {
            self.part.clear();
            if came != 1 {
                return Err(Failure::OtherSize { announced });
            }
            self.proven = true;
            return Ok(());
        }
        // A server may give less than was asked for, but not nothing.
        if came == 0 || came > u64::from(asked) {
            return Err(Failure::OtherSize { announced });
        }
        self.offset += came;
        Ok(())
    }
}

impl Visit<'_> {
    /// How many octets the mail has that is streamed to the caller who waits for it, if one is.
    #[must_use]
    pub fn streams(&self) -> Option<u64> {
        let streaming = self.streaming()?;
        streaming.proven.then_some(streaming.octets)
    }

    /// The part of it that has come whole, and was not taken yet; else nothing.
    #[must_use]
    pub fn part(&self) -> &[u8] {
        match self.streaming() {
            Some(streaming) if streaming.proven && streaming.asked.is_none() => &streaming.part,
            _ => &[],
        }
    }

    /// That part was taken: the next one may come.
    pub fn part_taken(&mut self) {
        if let Some(State::Streaming(streaming)) = self.run.as_mut().map(|run| &mut run.state) {
            streaming.part.clear();
        }
    }

    /// Nobody waits for the mail any more: the visit ends.
    pub fn stop_streaming<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) {
        if let Some(run) = &mut self.run
            && matches!(run.state, State::Streaming(_))
        {
            run.leave(mailbox);
        }
    }

    fn streaming(&self) -> Option<&Streaming> {
        match self.run.as_ref().map(|run| &run.state) {
            Some(State::Streaming(streaming)) => Some(streaming),
            _ => None,
        }
    }
}

impl Run {
    /// The mail that a caller waits for, to be streamed; `None` where that cannot be done.
    pub(super) fn streaming<M: Medium>(&self, round: &mut Round<'_, '_, '_, M>) -> Option<State> {
        let (Goal::Fetch(slot), Client::Imap(_)) = (self.goal, &self.client) else {
            return None;
        };
        let asked_for = [Verdict::Known(slot), Verdict::Rekeyed(slot)];
        let mut listing = self.listing(round).iter();
        let entry = listing.find(|entry| asked_for.contains(&entry.verdict()))?;
        let octets = entry.size().filter(|&octets| octets > 0)?;
        Some(State::Streaming(Streaming {
            number: entry.number,
            octets: octets.into(),
            offset: 0,
            proven: false,
            asked: None,
            part: heapless::Vec::new(),
        }))
    }

    /// Reads the parts of a mail as they are taken.
    pub(super) fn stream<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let State::Streaming(streaming) = &mut self.state else {
            return Ok(Turn::Again);
        };
        if streaming.is_over() {
            return Ok(self.leave(round.mailbox));
        }
        let number = streaming.number;
        let Some(asked) = streaming.asked else {
            let Some((from, octets)) = streaming.next() else {
                return Ok(Turn::Wait);
            };
            let request = Request::Part {
                number,
                from,
                octets,
            };
            if !self.client.request(round.link, request) {
                return Ok(Turn::Wait);
            }
            streaming.asked = Some(octets);
            return Ok(Turn::Again);
        };
        let reply = self
            .client
            .step(round.now, round.link, None, &mut self.piece);
        match reply {
            None => return Ok(Turn::Wait),
            Some(Reply::Body { length }) => {
                let piece = self.piece.get(..length).unwrap_or_default();
                if streaming.part.extend_from_slice(piece).is_err() {
                    let announced = u32::try_from(streaming.octets).unwrap_or(u32::MAX);
                    return Err(Failure::OtherSize { announced });
                }
            }
            Some(Reply::BodyEnd) => {
                streaming.asked = None;
                streaming.end_part(asked)?;
            }
            // Read at the desk since it was listed.
            Some(Reply::Refused { .. }) => return Err(Failure::NotListed),
            Some(other) => return Err(unexpected(other)),
        }
        Ok(Turn::Again)
    }

    fn leave<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) -> Turn {
        let ticket = mailbox.commit();
        let then = Then::Quit;
        self.enter(State::Settling { ticket, then })
    }
}
