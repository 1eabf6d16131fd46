//! A mail that the ring has no room for: read from the LAN server as the line drains (design 2.9).
//!
//! ```text
//! Proving: how many octets has it? --> `streams`
//!          part asked -> part whole -> taken by the caller's maildrop -> part asked .. -> Settling
//! ```
//!
//! Nothing is stored, and at most one part is held here. The size is proven before the caller is
//! told of it: after `+OK` there is nothing to be done about a mail that ends sooner but to hang up.
//!
//! By IMAP a part can be asked for; the next one when the last was taken: so the server never waits
//! for a slow line in mid-answer, and is asked again within the time in which a part drains. Its
//! last octet, and nothing behind it, proves the size. By POP3 there are only whole mails: see
//! [`whole`].

use hal::Medium;

use crate::config::Large;
use crate::mailbox::Mailbox;
use crate::reconcile::Verdict;

use super::remote::{Client, Reply, Request};
use super::run::{Round, Run, State, Then, Turn, unexpected};
use super::{Failure, Goal, PIECE_OCTETS, Visit};

mod whole;

use whole::Whole;

/// A mail on its way to a caller.
#[derive(Debug)]
pub(super) struct Streaming {
    number: u32,
    /// As many as it has; until that is proven, as the server says.
    octets: u64,
    /// As many of them as have come.
    offset: u64,
    proven: bool,
    way: Way,
    part: heapless::Vec<u8, PIECE_OCTETS>,
}

/// How it is read.
#[derive(Debug)]
enum Way {
    /// In parts, of which one was asked for, of so many octets.
    Parts { asked: Option<u32> },
    /// All at once.
    Whole(Whole),
}

impl Streaming {
    /// How far it is: rises with every part.
    pub(super) fn milestone(&self) -> (bool, usize) {
        (
            self.proven,
            usize::try_from(self.offset).unwrap_or(usize::MAX),
        )
    }

    /// Whether a part is held that the server waits for to be taken.
    pub(super) fn holds(&self) -> bool {
        matches!(&self.way, Way::Whole(whole) if whole.waits(self))
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

    /// The part that has come whole, and was not taken yet.
    fn part(&self) -> &[u8] {
        let ready = match &self.way {
            Way::Parts { asked } => asked.is_none(),
            Way::Whole(whole) => whole.is_ready(self),
        };
        if self.proven && ready {
            return &self.part;
        }
        &[]
    }

    fn other_size(&self) -> Failure {
        let announced = u32::try_from(self.octets).unwrap_or(u32::MAX);
        Failure::OtherSize { announced }
    }

    /// A piece of the part that was asked for has come.
    fn hold(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let held = self.part.extend_from_slice(piece);
        held.map_err(|_| self.other_size())
    }

    /// The part that was asked for has come.
    fn end_part(&mut self, asked: u32) -> Result<(), Failure> {
        let came = self.part.len() as u64;
        if !self.proven {
            self.part.clear();
            if came != 1 {
                return Err(self.other_size());
            }
            self.proven = true;
            return Ok(());
        }
        // A server may give less than was asked for, but not nothing.
        if came == 0 || came > u64::from(asked) {
            return Err(self.other_size());
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
        self.streaming().map_or(&[], Streaming::part)
    }

    /// That part was taken: the next one may come.
    pub fn part_taken(&mut self) {
        if let Some(run) = &mut self.run
            && let State::Streaming(streaming) = &mut run.state
        {
            streaming.part.clear();
            if let Client::Pop3(client) = &mut run.client {
                client.wait_anew();
            }
        }
    }

    /// Nobody waits for the mail any more: the visit ends.
    pub fn stop_streaming<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) {
        let Some(run) = &mut self.run else {
            return;
        };
        match &run.state {
            State::Streaming(Streaming {
                way: Way::Whole(_), ..
            }) => {
                // The server is in mid-answer: the rest is not waited for to say QUIT.
                mailbox.commit();
                run.enter(State::Ended);
            }
            State::Streaming(_) => {
                run.leave(mailbox);
            }
            _ => {}
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
        let Goal::Fetch(slot) = self.goal else {
            return None;
        };
        let way = match &self.client {
            Client::Imap(_) => Way::Parts { asked: None },
            Client::Pop3(_) if round.user.large == Large::Stream => Way::Whole(Whole::default()),
            Client::Pop3(_) | Client::Maildir(_) => return None,
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
            way,
            part: heapless::Vec::new(),
        }))
    }

    /// Reads a mail as it is taken.
    pub(super) fn stream<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let State::Streaming(mut streaming) = core::mem::replace(&mut self.state, State::Ended)
        else {
            return Ok(Turn::Again);
        };
        let turn = match &mut streaming.way {
            Way::Whole(_) => self.stream_whole(round, &mut streaming),
            Way::Parts { .. } => self.stream_parts(round, &mut streaming),
        };
        if matches!(self.state, State::Ended) {
            self.state = State::Streaming(streaming);
        }
        turn
    }

    fn stream_parts<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        streaming: &mut Streaming,
    ) -> Result<Turn, Failure> {
        if streaming.is_over() {
            return Ok(self.leave(round.mailbox));
        }
        let Way::Parts { asked } = streaming.way else {
            return Ok(Turn::Again);
        };
        let Some(asked) = asked else {
            let Some((from, octets)) = streaming.next() else {
                return Ok(Turn::Wait);
            };
            let request = Request::Part {
                number: streaming.number,
                from,
                octets,
            };
            if !self.client.request(round.link, request) {
                return Ok(Turn::Wait);
            }
            streaming.way = Way::Parts {
                asked: Some(octets),
            };
            return Ok(Turn::Again);
        };
        match self.reply(round) {
            None => return Ok(Turn::Wait),
            Some(Reply::Body { length }) => {
                streaming.hold(self.piece.get(..length).unwrap_or_default())?;
            }
            Some(Reply::BodyEnd) => {
                streaming.way = Way::Parts { asked: None };
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
