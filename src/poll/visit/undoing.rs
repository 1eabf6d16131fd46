//! What `RETR` leaves behind at a POP3 server, undone where that is safe (design §3).
//!
//! ```text
//! Unknown --LAST--> Asked --"-ERR"--> Works: RSET after each RETR
//!                         \--"+OK"--> Harms: no RSET
//! ```
//!
//! Dovecot marks a mail read by `RETR`, even where the connection breaks then, and takes that back
//! at `RSET`. But where it answers `LAST` (RFC 1225), `RSET` takes the mark off every mail of the
//! mailbox. Asked after each mail, so that a visit that is cut leaves one mark at the most.

use hal::Medium;

use crate::pop3::client::{Kind as Pop3Kind, Request as Pop3Request};

use super::remote::{Client, Kind, Reply, Request};
use super::run::{Round, Run};

/// Whether `RSET` may be asked, and whether it is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Undoing {
    /// Nobody has asked.
    #[default]
    Unknown,
    /// `LAST` was asked.
    Asked,
    /// It takes back what this session did. `due`: a mail was asked for by `RETR` since the latest.
    Works {
        /// See above.
        due: bool,
    },
    /// It could take back more than ours.
    Harms,
}

impl Run {
    /// Asks for a whole mail by `RETR`, ahead of the replies where the server can pipeline; returns
    /// whether it was asked for.
    pub(super) fn ask_retr<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        number: u32,
    ) -> bool {
        if self.undoing == Undoing::Unknown && matches!(self.client, Client::Pop3(_)) {
            if self.client.outstanding() == 0
                && self.ask_if_room(round, Request::Pop3(Pop3Request::Last))
            {
                self.undoing = Undoing::Asked;
            }
            return false;
        }
        if self.undoing == Undoing::Asked || !self.ask_ahead(round, Request::Retr(number)) {
            return false;
        }
        if let Undoing::Works { due } = &mut self.undoing {
            *due = true;
        }
        true
    }

    /// Asks for what `RETR` has done to be undone; returns false if that is due and must wait.
    pub(super) fn undo<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> bool {
        if self.undoing == (Undoing::Works { due: true }) {
            if !self.ask_ahead(round, Request::Pop3(Pop3Request::Rset)) {
                return false;
            }
            self.undoing = Undoing::Works { due: false };
        }
        true
    }

    /// Takes the answer to `LAST` or `RSET`; returns whether `reply` was one.
    pub(super) fn heard_undoing(&mut self, reply: &Reply) -> bool {
        match reply {
            Reply::Refused {
                kind: Kind::Pop3(Pop3Kind::Last),
                ..
            } => self.undoing = Undoing::Works { due: false },
            Reply::Done if self.undoing == Undoing::Asked => self.undoing = Undoing::Harms,
            Reply::Done
            | Reply::Refused {
                kind: Kind::Pop3(Pop3Kind::Rset),
                ..
            } => {}
            _ => return false,
        }
        true
    }
}
