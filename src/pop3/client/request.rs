//! What the client may ask, and how it is written (RFC 1939 §5 to §7, RFC 2449 §4).

use core::fmt::{self, Write};

use crate::config::Secret;
use crate::link::Link;
use crate::sasl::Mechanism;

/// Longest command in octets, CR LF included (RFC 2449 §4).
pub const COMMAND_OCTETS: usize = 255;

/// A request to the server. Login and password are only looked at while it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// What can you do?
    Capa,
    /// The login.
    User(&'a str),
    /// The password.
    Pass(&'a Secret),
    /// Both at once, without showing the password (RFC 1939 §7).
    Apop {
        /// The login.
        login: &'a str,
        /// MD5 of the greeting's timestamp and the password, as 32 hexadecimal digits.
        digest: &'a str,
    },
    /// TLS from here on (RFC 2595 §4). Nothing may be asked before the reply.
    Stls,
    /// Begins an exchange (RFC 5034 §4); the server's challenges are events.
    Auth(Mechanism),
    /// Number and octets of all messages.
    Stat,
    /// The unique-ids of all messages.
    Uidl,
    /// The sizes of all messages.
    List,
    /// The size of one.
    ListOne(u32),
    /// The header of a message and the beginning of its body.
    Top {
        /// Message-number.
        number: u32,
        /// Lines of the body.
        lines: u32,
    },
    /// A message, whole.
    Retr(u32),
    /// Takes back what this session has marked.
    Rset,
    /// Nothing.
    Noop,
    /// Highest message-number accessed: RFC 1225, dropped by RFC 1939. Where it answers,
    /// `RSET` may clear more than our own traces.
    Last,
    /// The end.
    Quit,
}

/// Which request an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The greeting: the server's reply to the connection.
    Greeting,
    /// `CAPA`
    Capa,
    /// `USER`
    User,
    /// `PASS`
    Pass,
    /// `APOP`
    Apop,
    /// `STLS`
    Stls,
    /// `AUTH`
    Auth(Mechanism),
    /// `STAT`
    Stat,
    /// `UIDL`
    Uidl,
    /// `LIST`
    List,
    /// `LIST n`
    ListOne {
        /// Message-number.
        number: u32,
    },
    /// `TOP n m`
    Top {
        /// Message-number.
        number: u32,
    },
    /// `RETR n`
    Retr {
        /// Message-number.
        number: u32,
    },
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `LAST`
    Last,
    /// `QUIT`
    Quit,
}

impl Request<'_> {
    /// What is left of it once it is sent.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match *self {
            Self::Capa => Kind::Capa,
            Self::User(_) => Kind::User,
            Self::Pass(_) => Kind::Pass,
            Self::Apop { .. } => Kind::Apop,
            Self::Stls => Kind::Stls,
            Self::Auth(mechanism) => Kind::Auth(mechanism),
            Self::Stat => Kind::Stat,
            Self::Uidl => Kind::Uidl,
            Self::List => Kind::List,
            Self::ListOne(number) => Kind::ListOne { number },
            Self::Top { number, .. } => Kind::Top { number },
            Self::Retr(number) => Kind::Retr { number },
            Self::Rset => Kind::Rset,
            Self::Noop => Kind::Noop,
            Self::Last => Kind::Last,
            Self::Quit => Kind::Quit,
        }
    }

    /// Whether it fits a command, and its words cannot be taken for the end of one.
    pub(super) fn is_sendable(&self) -> bool {
        let words = match *self {
            Self::User(login) => [login, ""],
            Self::Pass(password) => [password.reveal(), ""],
            Self::Apop { login, digest } => [login, digest],
            _ => return true,
        };
        let octets: usize = words.iter().map(|word| word.len()).sum();
        // The name of the command, two blanks, CR LF.
        octets + 8 <= COMMAND_OCTETS
            && !words
                .iter()
                .any(|word| word.contains(|c: char| c.is_ascii_control()))
    }

    /// Puts it into `link`, which has room for [`COMMAND_OCTETS`].
    pub(super) fn put(&self, link: &mut Link) {
        log::debug!("pop3 client: {}", self.kind());
        let mut wire = Wire(link);
        // A wire with room takes everything.
        let _ = match *self {
            Self::User(login) => write!(wire, "USER {login}\r\n"),
            Self::Pass(password) => write!(wire, "PASS {}\r\n", password.reveal()),
            Self::Apop { login, digest } => write!(wire, "APOP {login} {digest}\r\n"),
            Self::Top { number, lines } => write!(wire, "TOP {number} {lines}\r\n"),
            _ => write!(wire, "{}\r\n", self.kind()),
        };
    }
}

/// The link as something to write to.
struct Wire<'a>(&'a mut Link);

impl Write for Wire<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.put(text.as_bytes()) {
            return Ok(());
        }
        Err(fmt::Error)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting => f.write_str("greeting"),
            Self::Capa => f.write_str("CAPA"),
            Self::User => f.write_str("USER"),
            Self::Pass => f.write_str("PASS"),
            Self::Apop => f.write_str("APOP"),
            Self::Stls => f.write_str("STLS"),
            Self::Auth(mechanism) => write!(f, "AUTH {mechanism}"),
            Self::Stat => f.write_str("STAT"),
            Self::Uidl => f.write_str("UIDL"),
            Self::List => f.write_str("LIST"),
            Self::ListOne { number } => write!(f, "LIST {number}"),
            Self::Top { number } => write!(f, "TOP {number}"),
            Self::Retr { number } => write!(f, "RETR {number}"),
            Self::Rset => f.write_str("RSET"),
            Self::Noop => f.write_str("NOOP"),
            Self::Last => f.write_str("LAST"),
            Self::Quit => f.write_str("QUIT"),
        }
    }
}

impl Kind {
    /// How long the server may be silent over it.
    pub(super) fn patience(self) -> hal::Duration {
        match self {
            Self::Pass | Self::Apop | Self::Auth(_) | Self::Stat | Self::Uidl | Self::List => {
                super::PATIENCE_MAILBOX
            }
            Self::Greeting
            | Self::Capa
            | Self::User
            | Self::Stls
            | Self::ListOne { .. }
            | Self::Top { .. }
            | Self::Retr { .. }
            | Self::Rset
            | Self::Noop
            | Self::Last
            | Self::Quit => super::PATIENCE,
        }
    }
}
