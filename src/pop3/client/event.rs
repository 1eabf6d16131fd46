//! What the client reports, and why it may give up.

use core::fmt;

use super::{Capabilities, Kind, LINE_OCTETS, ResponseCode, Text};

/// What a step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server is there.
    Greeting {
        /// Length in `out` of the timestamp for APOP, angle brackets included (RFC 1939 §7).
        stamp: Option<usize>,
    },
    /// A request with a reply of one line was accepted. After `STLS` this client is of no use any
    /// more: [`Client::secured`](super::Client::secured) makes the one that goes on.
    Ok(Kind),
    /// `AUTH` goes on: the server says this, and waits for
    /// [`Client::answer`](super::Client::answer).
    Challenge {
        /// Its length in `out`.
        length: usize,
    },
    /// A request was refused: `-ERR`. A refused greeting means that the server wants nobody now.
    Refused {
        /// Which.
        kind: Kind,
        /// Why, where the server said so in a way that is understood.
        code: Option<ResponseCode>,
        /// The server's words, cleaned and cut.
        text: Text,
    },
    /// What the server can do; the end of `CAPA`.
    Capabilities(Capabilities),
    /// The drop listing.
    Stat {
        /// Messages.
        count: u32,
        /// Octets of all of them.
        octets: u64,
    },
    /// One line of a unique-id listing.
    UniqueId {
        /// Message-number, from 1.
        number: u32,
        /// Length of the unique-id in `out`, 1 to [`UNIQUE_ID_OCTETS`](super::UNIQUE_ID_OCTETS).
        length: usize,
    },
    /// One line of a scan listing, or the answer to `LIST n`.
    Size {
        /// Message-number, from 1.
        number: u32,
        /// Octets, as far as this server's sizes are exact.
        octets: u64,
    },
    /// A listing is whole.
    ListingEnd {
        /// `Uidl` or `List`.
        kind: Kind,
        /// Lines it had.
        count: u32,
    },
    /// A piece of a message, byte-stuffing removed.
    Body {
        /// Its length in `out`.
        length: usize,
    },
    /// A message is whole, as far as the server says.
    BodyEnd {
        /// `Top` or `Retr`.
        kind: Kind,
        /// Octets of all its pieces.
        octets: u64,
    },
    /// The connection is of no use any more; no other event follows.
    Failed(Failure),
}

/// Why a connection is of no use any more: the server's fault, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came for [`PATIENCE`](super::PATIENCE) or [`PATIENCE_MAILBOX`](super::PATIENCE_MAILBOX).
    TimedOut {
        /// While this was waited for.
        kind: Kind,
    },
    /// A status was due and this came.
    NotAStatus {
        /// For this request.
        kind: Kind,
        /// The line, cleaned and cut.
        line: Text,
    },
    /// `+OK`, but without the numbers that must follow.
    BadReply {
        /// To this request.
        kind: Kind,
        /// The line, cleaned and cut.
        line: Text,
    },
    /// A line of a listing that cannot be understood.
    BadListing {
        /// Of this request.
        kind: Kind,
        /// The line, cleaned and cut.
        line: Text,
    },
    /// A line longer than [`LINE_OCTETS`].
    TooLong {
        /// In the reply to this request.
        kind: Kind,
    },
    /// More came with the reply to `STLS`: it was sent without TLS, to be believed under TLS. A
    /// server does not do that; somebody on the way does.
    Injected,
    /// Something came though nothing was asked: the replies are out of step (a mail that begins
    /// with a dot the server did not stuff), or the server says why it hangs up.
    Unsolicited {
        /// What had come, cleaned and cut.
        line: Text,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { kind } => write!(f, "the server is silent ({kind})"),
            Self::NotAStatus { kind, line } => {
                write!(f, "neither +OK nor -ERR came ({kind}): {line}")
            }
            Self::BadReply { kind, line } => {
                write!(f, "reply without its numbers ({kind}): {line}")
            }
            Self::BadListing { kind, line } => write!(f, "bad line of a listing ({kind}): {line}"),
            Self::TooLong { kind } => {
                write!(f, "line of more than {LINE_OCTETS} octets ({kind})")
            }
            Self::Injected => f.write_str(
                "octets came together with the reply to STLS: somebody on the way may have sent them",
            ),
            Self::Unsolicited { line } => write!(f, "the server sent what nobody asked: {line}"),
        }
    }
}

impl core::error::Error for Failure {}
