//! The LAN server as a visit sees it, whatever protocol it speaks.
//!
//! Logging in is each protocol's own. From then on a visit knows mails by number, asks with
//! [`Request`] and hears [`Reply`]; each request ends with exactly one reply that is not an
//! [`Entry`](Reply::Entry), a [`Size`](Reply::Size) of many, or a [`Body`](Reply::Body).
//!
//! A Maildir on this machine is asked and answers like a server, though by no octets: see
//! [`maildir`](super::maildir).
//!
//! | request | POP3 | IMAP |
//! | --- | --- | --- |
//! | the listing | `UIDL` | `FETCH 1:2000 (UID FLAGS RFC822.SIZE)` .. |
//! | `Sizes`, `Size` | `LIST`, `LIST n` | never asked |
//! | `Header` | `TOP n 0` | `UID FETCH n (BODY.PEEK[HEADER])` |
//! | `Mail` | `TOP n 99999999`, which leaves no mark where `RETR` would | `UID FETCH n (BODY.PEEK[])` |
//! | `Retr` | `RETR n`; `LAST` before, `RSET` behind it: see [`undoing`](super::undoing) | as `Mail` |
//! | `Part` | never asked | `UID FETCH n (BODY.PEEK[]<o.n>)` |
//! | `Quit` | `QUIT` | `LOGOUT` |

use core::fmt;

use hal::{FolderError, Instant, MailFolder};

use crate::imap::client as imap;
use crate::link::Link;
use crate::pop3::client as pop3;

use super::imap::Imap;
use super::maildir::Maildir;

pub(in crate::poll) use crate::pop3::client::{ResponseCode, Text};

/// `TOP` with so many lines is the whole mail. Compuserve's server took no greater number.
const ALL_LINES: u32 = 99_999_999;

/// The connection's engine.
#[derive(Debug)]
pub(in crate::poll) enum Client {
    /// POP3.
    Pop3(pop3::Client),
    /// IMAP.
    Imap(Imap),
    /// None: a Maildir.
    Maildir(Maildir),
}

/// What a visit asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::poll) enum Request<'a> {
    /// What only POP3 knows.
    Pop3(pop3::Request<'a>),
    /// The sizes of all mails.
    Sizes,
    /// The size of one.
    Size(u32),
    /// The header of one.
    Header(u32),
    /// All of a mail, without a trace.
    Mail(u32),
    /// All of a mail, surely: where the way without a trace is in doubt.
    Retr(u32),
    /// A part of one: only by IMAP.
    Part {
        /// Which.
        number: u32,
        /// So many octets before it.
        from: u64,
        /// So many octets at the most, 1 or more.
        octets: u32,
    },
    /// The end.
    Quit,
}

/// What a visit is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::poll) enum Reply {
    /// `Quit` was answered.
    Ended,
    /// `LAST` or `RSET` was answered.
    Done,
    /// One mail of the listing.
    Entry {
        /// What it is asked for by.
        number: u32,
        /// Length of its unique-id in the piece.
        length: usize,
        /// It is marked as read at the desk.
        seen: bool,
        /// Its octets, where the listing says so.
        size: Option<u32>,
    },
    /// What was listed does not count: the listing begins anew.
    Anew,
    /// The listing is whole.
    ListingEnd {
        /// As many mails as it must have; `None`: as was said before.
        expected: Option<u32>,
    },
    /// The size of a mail.
    Size {
        /// Which.
        number: u32,
        /// Its octets, as far as this server's sizes are exact.
        octets: u64,
    },
    /// All sizes have come.
    SizesEnd,
    /// A piece of a mail.
    Body {
        /// Its length.
        length: usize,
    },
    /// A mail, or a header, is whole.
    BodyEnd,
    /// What was asked for later has come first: this may have gone, or come too late to be taken.
    Overtaken,
    /// A request was refused.
    Refused {
        /// Which.
        kind: Kind,
        /// Why, where that is understood.
        code: Option<ResponseCode>,
        /// The server's words.
        text: Text,
    },
    /// The connection is of no use any more.
    Failed(ServerFailure),
    /// What the engine never says here.
    OutOfPlace,
}

/// What was asked, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By POP3.
    Pop3(pop3::Kind),
    /// By IMAP.
    Imap(imap::Kind),
    /// Of a Maildir.
    Maildir,
}

/// Why a connection is of no use any more: the server's fault, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFailure {
    /// By POP3.
    Pop3(pop3::Failure),
    /// By IMAP.
    Imap(imap::Failure),
    /// Of a Maildir.
    Maildir(FolderError),
}

impl Client {
    /// Whether requests may be sent ahead of the replies, though no capability says so.
    pub(super) fn pipelines(&self) -> bool {
        match self {
            Self::Pop3(_) | Self::Maildir(_) => false,
            // RFC 3501 §5.5.
            Self::Imap(_) => true,
        }
    }

    /// Requests that may be outstanding.
    pub(super) const fn window(&self) -> usize {
        match self {
            Self::Pop3(_) => pop3::WINDOW,
            Self::Imap(_) => imap::WINDOW,
            Self::Maildir(_) => 1,
        }
    }

    /// Requests that have not ended yet.
    pub(super) fn outstanding(&self) -> usize {
        match self {
            Self::Pop3(client) => client.outstanding(),
            Self::Imap(client) => client.outstanding(),
            Self::Maildir(maildir) => maildir.outstanding(),
        }
    }

    /// When to step though nothing came.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Pop3(client) => client.deadline(),
            Self::Imap(client) => client.deadline(),
            // It has always something to do.
            Self::Maildir(_) => None,
        }
    }

    /// What the server wants its user to read.
    pub(super) fn alert(&self) -> Option<Text> {
        match self {
            Self::Pop3(_) | Self::Maildir(_) => None,
            Self::Imap(client) => client.alert(),
        }
    }

    /// Sends `request`, whole or not at all; returns whether it was sent.
    pub(super) fn request(&mut self, link: &mut Link, request: Request<'_>) -> bool {
        match self {
            Self::Pop3(client) => client.request(link, pop3_request(request)),
            Self::Imap(client) => client.request(link, request),
            Self::Maildir(maildir) => maildir.request(request),
        }
    }

    /// Answers a challenge of the login; returns whether it was sent.
    pub(super) fn answer(&mut self, link: &mut Link, line: &str) -> bool {
        match self {
            Self::Pop3(client) => client.answer(link, line),
            Self::Imap(client) => client.answer(link, line),
            Self::Maildir(_) => false,
        }
    }

    /// Reads what has come, as far as the next reply.
    pub(super) fn step(
        &mut self,
        now: Instant,
        link: &mut Link,
        folder: Option<&mut (dyn MailFolder + '_)>,
        out: &mut [u8],
    ) -> Option<Reply> {
        match self {
            Self::Pop3(client) => client.step(now, link, out).map(Reply::from),
            Self::Imap(client) => client.step(now, link, out),
            Self::Maildir(maildir) => maildir.step(folder?, out),
        }
    }

    /// The same for what only POP3 says, while the visit logs in.
    pub(super) fn step_pop3(
        &mut self,
        now: Instant,
        link: &mut Link,
        out: &mut [u8],
    ) -> Option<pop3::Event> {
        match self {
            Self::Pop3(client) => client.step(now, link, out),
            Self::Imap(_) | Self::Maildir(_) => None,
        }
    }
}

impl ServerFailure {
    /// Whether something came where a reply was due, or nothing was.
    pub(super) fn is_out_of_step(&self) -> bool {
        matches!(
            self,
            Self::Pop3(pop3::Failure::NotAStatus { .. } | pop3::Failure::Unsolicited { .. })
        )
    }
}

fn pop3_request(request: Request<'_>) -> pop3::Request<'_> {
    match request {
        Request::Pop3(request) => request,
        Request::Sizes => pop3::Request::List,
        Request::Size(number) => pop3::Request::ListOne(number),
        Request::Header(number) => pop3::Request::Top { number, lines: 0 },
        Request::Mail(number) => pop3::Request::Top {
            number,
            lines: ALL_LINES,
        },
        // Parts are not asked for by POP3.
        Request::Retr(number) | Request::Part { number, .. } => pop3::Request::Retr(number),
        Request::Quit => pop3::Request::Quit,
    }
}

impl Request<'_> {
    pub(super) fn kind(self) -> Kind {
        Kind::Pop3(pop3_request(self).kind())
    }
}

impl<'a> From<pop3::Request<'a>> for Request<'a> {
    fn from(request: pop3::Request<'a>) -> Self {
        Self::Pop3(request)
    }
}

impl From<pop3::Event> for Reply {
    fn from(event: pop3::Event) -> Self {
        match event {
            pop3::Event::Ok(pop3::Kind::Quit) => Self::Ended,
            pop3::Event::Ok(pop3::Kind::Last | pop3::Kind::Rset) => Self::Done,
            pop3::Event::UniqueId { number, length } => Self::Entry {
                number,
                length,
                seen: false,
                size: None,
            },
            pop3::Event::Size { number, octets } => Self::Size { number, octets },
            pop3::Event::ListingEnd {
                kind: pop3::Kind::Uidl,
                ..
            } => Self::ListingEnd { expected: None },
            pop3::Event::ListingEnd { .. } => Self::SizesEnd,
            pop3::Event::Body { length } => Self::Body { length },
            pop3::Event::BodyEnd { .. } => Self::BodyEnd,
            pop3::Event::Refused { kind, code, text } => Self::Refused {
                kind: Kind::Pop3(kind),
                code,
                text,
            },
            pop3::Event::Failed(failure) => Self::Failed(ServerFailure::Pop3(failure)),
            pop3::Event::Greeting { .. }
            | pop3::Event::Challenge { .. }
            | pop3::Event::Ok(_)
            | pop3::Event::Capabilities(_)
            | pop3::Event::Stat { .. } => {
                log::error!("visit: reply out of place: {event:?}");
                Self::OutOfPlace
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pop3(kind) => kind.fmt(f),
            Self::Imap(kind) => kind.fmt(f),
            Self::Maildir => f.write_str("a mail"),
        }
    }
}

impl fmt::Display for ServerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pop3(failure) => failure.fmt(f),
            Self::Imap(failure) => failure.fmt(f),
            Self::Maildir(failure) => failure.fmt(f),
        }
    }
}
