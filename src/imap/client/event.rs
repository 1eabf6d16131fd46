//! What the client reports, and why it may give up.

use core::fmt;

use super::{Kind, LINE_OCTETS, ResponseCode, Text};
use crate::imap::response::words;
use crate::sasl::{Mechanism, Mechanisms};

/// What a step found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server is there.
    Greeting {
        /// `PREAUTH`: nobody need log in.
        known: bool,
    },
    /// The server takes the next word of the request under way: see
    /// [`Client::go_on`](super::Client::go_on).
    GoOn(Kind),
    /// `AUTHENTICATE` goes on: the server says this, and waits for
    /// [`Client::answer`](super::Client::answer).
    Challenge {
        /// Its length in `out`.
        length: usize,
    },
    /// A request that has nothing else to say was done. After `STARTTLS` this client is of no use
    /// any more: [`Client::secured`](super::Client::secured) makes the one that goes on.
    Ok(Kind),
    /// A request was refused. A refused greeting (`BYE`) means that the server wants nobody now.
    Refused {
        /// Which.
        kind: Kind,
        /// Why, where the server said so in a way that is understood.
        code: Option<ResponseCode>,
        /// The server's words, cleaned and cut.
        text: Text,
    },
    /// How the mailbox stands, opened or not.
    Mailbox {
        /// `Status` or `Examine`.
        kind: Kind,
        /// How it stands.
        state: MailboxState,
    },
    /// One mail of the mailbox.
    Entry(Entry),
    /// All mails that were asked for have been told.
    ListingEnd {
        /// How many came.
        count: u32,
    },
    /// A piece of a mail.
    Body {
        /// Its length in `out`.
        length: usize,
    },
    /// A mail, a header or a part is whole.
    BodyEnd {
        /// `Header`, `Mail` or `Part`.
        kind: Kind,
        /// Octets of all its pieces.
        octets: u64,
    },
    /// There is no such mail any more, or the server has no text of it.
    Missing {
        /// `Header`, `Mail` or `Part`.
        kind: Kind,
    },
    /// The text of a mail asked for later has come first. Mostly there is no such mail any more;
    /// but a server may answer in another order (RFC 3501 §5.5), and then the text is passed over.
    Overtaken {
        /// `Header`, `Mail` or `Part`.
        kind: Kind,
    },
    /// The connection is of no use any more; no other event follows.
    Failed(Failure),
}

/// One mail of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its UID, from 1.
    pub uid: u32,
    /// `\Seen`
    pub seen: bool,
    /// `\Deleted`
    pub deleted: bool,
    /// Octets, as far as this server's sizes are exact.
    pub size: u32,
}

/// What tells whether a mailbox has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailboxState {
    /// The mails in it.
    pub exists: u32,
    /// Which numbering of UIDs this is (RFC 3501 §2.3.1.1).
    pub uid_validity: Option<u32>,
    /// What the next mail's UID will be at the least: it rises with every mail that comes.
    pub uid_next: Option<u32>,
    /// It rises with every change of a flag (RFC 7162 §3.1.2.1).
    pub highest_modseq: Option<u64>,
}

/// What a server says it can do. What is not known is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The server has said what it can; else ask.
    pub known: bool,
    /// `IMAP4rev1` or `IMAP4rev2`
    pub imap4: bool,
    /// `LOGINDISABLED`: only by other mechanisms, or under TLS.
    pub login_disabled: bool,
    /// `STARTTLS`
    pub starttls: bool,
    /// `AUTH=`: those that we know.
    pub sasl: Mechanisms,
    /// `CONDSTORE`, or `QRESYNC` which has it in it (RFC 7162).
    pub condstore: bool,
    /// `LITERAL+` or `LITERAL-`: literals as short as ours need not be asked for (RFC 7888).
    pub literals_at_once: bool,
}

impl Capabilities {
    /// What a list of them says.
    pub(super) fn read(list: &[u8]) -> Self {
        let mut capabilities = Self {
            known: true,
            ..Self::default()
        };
        for name in words(list) {
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            capabilities.imap4 |= is(b"IMAP4rev1") || is(b"IMAP4rev2");
            capabilities.login_disabled |= is(b"LOGINDISABLED");
            capabilities.starttls |= is(b"STARTTLS");
            if let Some((auth, mechanism)) = name.split_at_checked(5)
                && auth.eq_ignore_ascii_case(b"AUTH=")
                && let Some(mechanism) = Mechanism::parse(mechanism)
            {
                capabilities.sasl.insert(mechanism);
            }
            capabilities.condstore |= is(b"CONDSTORE") || is(b"QRESYNC");
            capabilities.literals_at_once |= is(b"LITERAL+") || is(b"LITERAL-");
        }
        capabilities
    }
}

/// Why a connection is of no use any more: the server's fault, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came for [`PATIENCE`](super::PATIENCE) or [`PATIENCE_MAILBOX`](super::PATIENCE_MAILBOX).
    TimedOut {
        /// While this was waited for.
        kind: Kind,
    },
    /// A line that is no response, or not one that can come here.
    BadResponse {
        /// While this was waited for, if anything was.
        kind: Option<Kind>,
        /// The line, cleaned and cut.
        line: Text,
    },
    /// A line longer than [`LINE_OCTETS`].
    TooLong,
    /// A response with more literals than anybody asked for.
    TooMuch,
    /// The server says good-bye: it shuts down, or we were silent for too long.
    Bye {
        /// Its words, cleaned and cut.
        text: Text,
    },
    /// More came with the answer to `STARTTLS`: it was sent without TLS, to be believed under TLS.
    /// A server does not do that; somebody on the way does.
    Injected,
    /// A mailbox that was to be examined was opened for changes.
    NotReadOnly,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { kind } => write!(f, "the server is silent ({kind})"),
            Self::BadResponse { kind, line } => match kind {
                Some(kind) => write!(f, "not a response to {kind}: {line}"),
                None => write!(f, "the server sent what nobody asked: {line}"),
            },
            Self::TooLong => write!(f, "line of more than {LINE_OCTETS} octets"),
            Self::TooMuch => f.write_str("the server sent literals that nobody asked for"),
            Self::Bye { text } => write!(f, "the server says good-bye: {text}"),
            Self::Injected => f.write_str(
                "octets came together with the answer to STARTTLS: somebody on the way may have \
                 sent them",
            ),
            Self::NotReadOnly => f.write_str("the server opened the mailbox for changes"),
        }
    }
}

impl core::error::Error for Failure {}
