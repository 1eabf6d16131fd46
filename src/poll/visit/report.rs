//! What a visit came to, for its owner and for the log.

use core::fmt;

use hal::lan::ConnectError;

use crate::mailbox;
use crate::pop3::client::Expire;
use crate::sasl::client::Fault;

use super::Standing;
use super::remote::{Kind, ResponseCode, ServerFailure, Text};

/// A visit in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Mails the server listed.
    pub listed: u32,
    /// Rows that were listed before and are not any more.
    pub vanished: u32,
    /// Mails that were never here.
    pub new: u32,
    /// Mails found again under other unique-ids.
    pub rekeyed: u32,
    /// Mails copied.
    pub copied: u32,
    /// Octets of them.
    pub octets: u64,
    /// Mails entered without a copy.
    pub uncopied: u32,
    /// How the mailbox stands, where that can be compared: see
    /// [`Visit::recall`](super::Visit::recall).
    pub standing: Option<Standing>,
    /// How long the server says that it keeps mail, where that is not for ever.
    pub expire: Expire,
    /// Seconds that the server wants between two logins, where it says so (RFC 2449 §6.5).
    pub login_delay: Option<u32>,
    /// What the server wants its user to read.
    pub alert: Option<Text>,
    /// There was TLS.
    pub secure: bool,
    /// The server refused the ways to log in that hide the password: see
    /// [`Visit::skip_hiding`](super::Visit::skip_hiding).
    pub hiding_refused: bool,
    /// A visit that should follow at once.
    pub next: Option<NextVisit>,
    /// Why it did not go to its end. What is reported above holds all the same.
    pub failure: Option<Failure>,
}

/// The mail that a second login must look for: see [`Goal::Decide`](super::Goal::Decide).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextVisit(pub u32);

/// Why a visit did not go to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect(ConnectError),
    /// No connection within half a minute.
    ConnectTimedOut,
    /// No TLS within half a minute of the server's word that it begins.
    TlsTimedOut,
    /// The owner wants TLS, and the server does not offer it.
    NoTls,
    /// The server would have the password in clear, and it is not near.
    InClear,
    /// The server knows no way to log in that we know.
    NoWay,
    /// An exchange of the login went wrong.
    Proof(Fault),
    /// The server closed the connection in mid-visit.
    Closed,
    /// The server refused.
    Refused {
        /// What.
        kind: Kind,
        /// The reason, where it is one we know.
        code: Option<ResponseCode>,
        /// Its words.
        text: Text,
    },
    /// The server does not speak its protocol as it should.
    Server(ServerFailure),
    /// The listing has not as many entries as `STAT` said.
    ListingCut {
        /// As `STAT` said.
        expected: u32,
        /// As were listed.
        listed: u32,
    },
    /// The server has neither `UIDL` nor `TOP`: its mails cannot be told apart.
    Nameless,
    /// The listing is longer than this board has memory for.
    ListingTooLong {
        /// The longest.
        limit: usize,
    },
    /// Bodies kept coming shorter than the server said they are; so many mails wait for the next
    /// visit.
    Short(u32),
    /// A mail came many times longer than the server said it is.
    Endless {
        /// As the server said.
        announced: u32,
    },
    /// A mail that was to be streamed has not the size that the server said.
    OtherSize {
        /// As the server said.
        announced: u32,
    },
    /// Nothing was done to the end for hours, though octets came.
    TooSlow,
    /// The source drops what is fetched: nothing is copied without the owner's word.
    Consumes,
    /// The mail a caller waited for is not listed any more.
    NotListed,
    /// The mailbox took no more.
    Mailbox(mailbox::Error),
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listed,
            vanished,
            new,
            rekeyed,
            copied,
            octets,
            uncopied,
            ..
        } = *self;
        match &self.failure {
            Some(failure) => write!(f, "visit failed: {failure}; ")?,
            None => f.write_str("visit: ")?,
        }
        write!(
            f,
            "{listed} listed, {new} new, {copied} copied ({octets} octets), {vanished} read at the \
             desk"
        )?;
        if uncopied > 0 {
            write!(f, ", {uncopied} left there")?;
        }
        if rekeyed > 0 {
            write!(f, ", {rekeyed} renamed")?;
        }
        if let Expire::Days(_) = self.expire {
            write!(f, "; the server {}", self.expire)?;
        }
        if self.secure {
            f.write_str("; by TLS")?;
        }
        if let Some(alert) = &self.alert {
            write!(f, "; the server says: {alert}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(ConnectError::Tls(error)) => error.fmt(f),
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::ConnectTimedOut => f.write_str("no connection within 30 s"),
            Self::TlsTimedOut => f.write_str("no TLS within 30 s"),
            Self::NoTls => f.write_str("the server does not offer TLS"),
            Self::InClear => {
                f.write_str("the server offers no TLS, and the password is not sent in clear")
            }
            Self::NoWay => f.write_str("the server offers no way to log in that is known here"),
            Self::Proof(fault) => write!(f, "login: {fault}"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Refused { kind, text, .. } => write!(f, "{kind} was refused: {text}"),
            Self::Server(failure) => write!(f, "{failure}"),
            Self::ListingCut { expected, listed } => {
                write!(f, "listing not whole: {listed} of {expected} mails")
            }
            Self::Nameless => {
                f.write_str("the server has neither UIDL nor TOP: no mail can be known")
            }
            Self::ListingTooLong { limit } => write!(f, "more than {limit} mails are listed"),
            Self::Short(count) => {
                write!(
                    f,
                    "{count} mails came shorter than announced, tried again later"
                )
            }
            Self::Endless { announced } => {
                write!(f, "a mail of {announced} octets does not end")
            }
            Self::OtherSize { announced } => {
                write!(
                    f,
                    "a mail has not the {announced} octets that were announced"
                )
            }
            Self::TooSlow => f.write_str("the server is too slow to come to an end"),
            Self::Consumes => f.write_str("the server drops what is fetched: nothing is copied"),
            Self::NotListed => f.write_str("the mail is not listed any more"),
            Self::Mailbox(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Failure {}
