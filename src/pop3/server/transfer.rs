//! Multi-line responses, put on the line piece by piece: listings and messages.
//!
//! A cursor stands where the link was full and goes on there at the next step. Nothing is held
//! in memory but one piece.

use core::fmt::Display;
use core::ops::ControlFlow;

use crate::link::{LINK_OCTETS, Link};
use crate::pop3::multiline::{Stuffer, TERMINATOR};
use crate::pop3::reply::put_line;
use crate::pop3::{Maildrop, ReadFault};

/// `LIST` or `UIDL`, and the next message-number to look at.
#[derive(Debug)]
pub(super) struct Listing {
    values: Values,
    next: u32,
}

/// What stands beside the message-numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    Sizes,
    UniqueIds,
}

impl Listing {
    pub(super) fn new(values: Values) -> Self {
        Self { values, next: 1 }
    }

    /// Puts on as many lines as fit; breaks when the terminator is among them.
    pub(super) fn fill<M: Maildrop>(&mut self, link: &mut Link, maildrop: &M) -> ControlFlow<()> {
        while self.next <= maildrop.count() {
            let number = self.next;
            if !maildrop.is_deleted(number) && !self.put(link, maildrop, number) {
                return ControlFlow::Continue(());
            }
            self.next += 1;
        }
        if link.put(TERMINATOR) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Whether the line of message `number` was put on, or there is none.
    fn put<M: Maildrop>(&self, link: &mut Link, maildrop: &M, number: u32) -> bool {
        fn line(link: &mut Link, number: u32, value: Option<impl Display>) -> bool {
            value.is_none_or(|value| put_line(link, &format_args!("{number} {value}")))
        }
        match self.values {
            Values::Sizes => line(link, number, maildrop.size(number)),
            Values::UniqueIds => line(link, number, maildrop.uid(number)),
        }
    }
}

/// How much of a message was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `RETR`
    Whole,
    /// `TOP`
    Top {
        /// Lines of the body.
        lines: u64,
    },
}

/// How much of a message was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Part,
}

/// `RETR` or `TOP`, and how far it is.
#[derive(Debug)]
pub(super) struct Transfer {
    number: u32,
    octets: u64,
    offset: u64,
    stuffer: Stuffer,
    top: Option<Top>,
}

impl Transfer {
    /// Message `number` was opened and has `octets`.
    pub(super) fn new(number: u32, octets: u64, part: Part) -> Self {
        Self {
            number,
            octets,
            offset: 0,
            stuffer: Stuffer::new(),
            top: match part {
                Part::Whole => None,
                Part::Top { lines } => Some(Top::new(lines)),
            },
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    /// Puts on as much as fits and is there; breaks when the terminator is among it.
    ///
    /// # Errors
    /// [`ReadFault`] if the message cannot be read on; the terminator was not put then.
    pub(super) fn fill<M: Maildrop>(
        &mut self,
        link: &mut Link,
        maildrop: &mut M,
    ) -> Result<ControlFlow<Extent>, ReadFault> {
        // The medium is not asked for less than this, so that a slow line does not ask it for
        // every octet; and there is always room for the terminator.
        while link.room() >= LEAST_ROOM {
            let left = self.octets.saturating_sub(self.offset);
            if left == 0 || self.top.as_ref().is_some_and(Top::is_over) {
                link.put(self.stuffer.end());
                return Ok(ControlFlow::Break(match left {
                    0 => Extent::Whole,
                    _ => Extent::Part,
                }));
            }
            let most = link.room().min(PIECE_OCTETS);
            let most = usize::try_from(left).map_or(most, |left| most.min(left));
            let mut piece = [0; PIECE_OCTETS];
            let piece = piece.get_mut(..most).unwrap_or_default();
            let read = maildrop.read(self.offset, piece)?;
            let mut piece = piece.get(..read).unwrap_or_default();
            if piece.is_empty() {
                // The next octets are still looked for.
                return Ok(ControlFlow::Continue(()));
            }
            if let Some(top) = &self.top {
                piece = piece.get(..top.clone().take(piece)).unwrap_or_default();
            }
            let stuffer = &mut self.stuffer;
            let mut stuffed = 0;
            link.put_with(|room| {
                let written;
                (stuffed, written) = stuffer.stuff(piece, room);
                written
            });
            // What the stuffing left no room for is read once more.
            if let Some(top) = &mut self.top {
                top.take(piece.get(..stuffed).unwrap_or_default());
            }
            self.offset += u64::try_from(stuffed).unwrap_or(u64::MAX);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Finds where `TOP` ends: header, blank line, and so many lines of the body (RFC 1939 §7).
///
/// A message without a blank line is all header. As for [`Stuffer`], a LF ends a line, whether
/// or not a CR goes before.
#[derive(Clone, Debug)]
struct Top {
    lines: u64,
    place: Place,
}

/// What the line at hand consists of so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing, in the header.
    HeaderStart,
    /// One CR, in the header.
    HeaderCr,
    /// More, in the header.
    Header,
    /// Anything, in the body.
    Body,
}

impl Top {
    fn new(lines: u64) -> Self {
        Self {
            lines,
            place: Place::HeaderStart,
        }
    }

    /// Takes octets in; returns how many of them belong to what was asked for.
    fn take(&mut self, piece: &[u8]) -> usize {
        for (at, &octet) in piece.iter().enumerate() {
            if self.is_over() {
                return at;
            }
            self.place = match (self.place, octet) {
                (Place::HeaderStart | Place::HeaderCr, b'\n') => Place::Body,
                (Place::Header, b'\n') => Place::HeaderStart,
                (Place::HeaderStart, b'\r') => Place::HeaderCr,
                (Place::HeaderStart | Place::HeaderCr | Place::Header, _) => Place::Header,
                (Place::Body, b'\n') => {
                    self.lines -= 1;
                    Place::Body
                }
                (Place::Body, _) => Place::Body,
            };
        }
        piece.len()
    }

    fn is_over(&self) -> bool {
        self.place == Place::Body && self.lines == 0
    }
}

/// One read of the maildrop: all that a link can hold.
const PIECE_OCTETS: usize = LINK_OCTETS;
/// Below this a transfer waits for more room.
const LEAST_ROOM: usize = 512;
