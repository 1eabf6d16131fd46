//! A large mail by POP3, which knows no parts: the server waits in mid-answer while a part drains.
//!
//! ```text
//! Counting: all of it comes, and is only counted; shorter than announced, it comes once more
//!    -> Sending: all of it comes again, each piece when the last was taken
//! ```
//!
//! So the maildrop at the LAN server is locked as long as the line takes: only where the owner
//! allows that ([`Large`](crate::config::Large)). What comes the second time must have as many
//! octets as the first time, and the same ones: the last part is given away only when that is
//! sure, and without it no caller takes the mail for whole.

use core::hash::Hasher as _;

use hal::Medium;
use siphasher::sip::SipHasher24;

use crate::pop3::client::Kind as Pop3Kind;

use super::super::Failure;
use super::super::copying::is_endless;
use super::super::remote::{Kind, Reply, Request};
use super::super::run::{Round, Run, Turn, unexpected};
use super::{Streaming, Way};

/// How far a mail is that comes all at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    asked: bool,
    /// All of it has come, in this pass.
    ended: bool,
    /// There is no `TOP`.
    by_retr: bool,
    /// The hash of what has come in this pass.
    hash: SipHasher24,
    /// Octets and hash of the last pass.
    counted: Option<(u64, u64)>,
}

impl Whole {
    /// Whether nothing is to be read before the part that is held is taken.
    pub(super) fn waits(&self, streaming: &Streaming) -> bool {
        let last = streaming.offset >= streaming.octets;
        !streaming.part.is_empty() && (!last || self.ended)
    }

    /// Whether the part that is held may be given away.
    pub(super) fn is_ready(&self, streaming: &Streaming) -> bool {
        streaming.offset < streaming.octets || self.ended
    }
}

impl Run {
    pub(super) fn stream_whole<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        streaming: &mut Streaming,
    ) -> Result<Turn, Failure> {
        let undone = self.undo(round);
        if streaming.holds() {
            return Ok(Turn::Wait);
        }
        let number = streaming.number;
        let Way::Whole(whole) = &mut streaming.way else {
            return Ok(Turn::Again);
        };
        if whole.ended && undone && self.client.outstanding() == 0 {
            return Ok(self.leave(round.mailbox));
        }
        if !whole.asked && self.client.outstanding() == 0 {
            whole.asked = match whole.by_retr {
                true => self.ask_retr(round, number),
                false => self.ask_if_room(round, Request::Mail(number)),
            };
        }
        match self.reply(round) {
            None => return Ok(Turn::Wait),
            Some(reply) if self.heard_undoing(&reply) => {}
            Some(Reply::Body { length }) => {
                let piece = self.piece.get(..length).unwrap_or_default();
                whole.hash.write(piece);
                streaming.offset += length as u64;
                if streaming.proven {
                    if streaming.offset > streaming.octets {
                        return Err(streaming.other_size());
                    }
                    streaming.hold(piece)?;
                } else if is_endless(streaming.offset, streaming.octets) {
                    let announced = u32::try_from(streaming.octets).unwrap_or(u32::MAX);
                    return Err(Failure::Endless { announced });
                }
            }
            Some(Reply::BodyEnd) => streaming.end_pass()?,
            Some(Reply::Refused {
                kind: Kind::Pop3(Pop3Kind::Top { .. }),
                ..
            }) if !self.capabilities.top && !whole.by_retr => {
                (whole.by_retr, whole.asked) = (true, false);
            }
            // Read at the desk since it was listed.
            Some(Reply::Refused { .. }) => return Err(Failure::NotListed),
            Some(other) => return Err(unexpected(other)),
        }
        Ok(Turn::Again)
    }
}

impl Streaming {
    /// All of the mail has come, once more.
    fn end_pass(&mut self) -> Result<(), Failure> {
        let Way::Whole(whole) = &mut self.way else {
            return Ok(());
        };
        let came = (self.offset, core::mem::take(&mut whole.hash).finish());
        let same = whole.counted == Some(came);
        if self.proven {
            whole.ended = true;
            return if same { Ok(()) } else { Err(self.other_size()) };
        }
        // Shorter than announced, it may have been cut short: what comes the same twice was not.
        if came.0 < self.octets && !same && whole.counted.is_some() {
            return Err(self.other_size());
        }
        self.proven = same || came.0 >= self.octets;
        whole.counted = Some(came);
        whole.asked = false;
        self.offset = 0;
        if self.proven {
            self.octets = came.0;
        }
        Ok(())
    }
}
