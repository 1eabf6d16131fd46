//! What the client may ask, and how it is written (RFC 3501 §6, §4.3, RFC 7162 §3.1, RFC 7888).

use core::fmt::{self, Write};

use crate::config::Secret;
use crate::imap::response::TAG;
use crate::link::Link;
use crate::sasl::Mechanism;

/// Longest word in a command, in octets: a login, a password, the name of a mailbox.
pub const WORD_OCTETS: usize = 255;

/// Room for the longest command: two words in quotes, every octet escaped, and the rest.
pub const COMMAND_OCTETS: usize = 4 * WORD_OCTETS + 128;

/// A request to the server. Words are only looked at while they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// What can you do?
    Capability,
    /// TLS from here on (RFC 3501 §6.2.1). Nothing may be asked before the answer.
    Starttls,
    /// Begins an exchange (RFC 3501 §6.2.2); the server's challenges are events.
    Authenticate(Mechanism),
    /// Login and password. Not where `LOGINDISABLED` is said: see
    /// [`Capabilities`](super::Capabilities).
    Login {
        /// The login.
        login: &'a str,
        /// The password.
        password: &'a Secret,
    },
    /// How a mailbox stands, without opening it.
    Status {
        /// Its name, as the server writes it: modified UTF-7, or UTF-8 where that is spoken.
        mailbox: &'a str,
        /// Its mod-sequence too (RFC 7162 §3.1.7).
        modseq: bool,
    },
    /// Opens a mailbox, so that nothing can change it.
    Examine {
        /// Its name.
        mailbox: &'a str,
        /// Its mod-sequence too (RFC 7162 §3.1.8).
        modseq: bool,
    },
    /// UID, flags and size of these mails, by sequence number.
    List {
        /// The first, from 1.
        first: u32,
        /// The last.
        last: u32,
    },
    /// The header of a mail.
    Header {
        /// Its UID.
        uid: u32,
    },
    /// A mail, whole.
    Mail {
        /// Its UID.
        uid: u32,
    },
    /// A part of a mail: fewer octets come where it ends sooner.
    Part {
        /// Its UID.
        uid: u32,
        /// So many octets before the part.
        from: u64,
        /// So many octets at the most, 1 or more.
        octets: u32,
    },
    /// Nothing: the server may say what has changed.
    Noop,
    /// The end.
    Logout,
}

/// Which request an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The greeting: the server's reply to the connection.
    Greeting,
    /// `CAPABILITY`
    Capability,
    /// `STARTTLS`
    Starttls,
    /// `AUTHENTICATE`
    Authenticate(Mechanism),
    /// `LOGIN`
    Login,
    /// `STATUS`
    Status,
    /// `EXAMINE`
    Examine,
    /// `FETCH` of UIDs, flags and sizes.
    List {
        /// The first sequence number.
        first: u32,
        /// The last.
        last: u32,
    },
    /// `UID FETCH` of a header.
    Header {
        /// UID of the mail.
        uid: u32,
    },
    /// `UID FETCH` of a mail.
    Mail {
        /// UID of the mail.
        uid: u32,
    },
    /// `UID FETCH` of a part of a mail.
    Part {
        /// UID of the mail.
        uid: u32,
    },
    /// `NOOP`
    Noop,
    /// `LOGOUT`
    Logout,
}

impl Request<'_> {
    /// What is left of it once it is sent.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match *self {
            Self::Capability => Kind::Capability,
            Self::Starttls => Kind::Starttls,
            Self::Authenticate(mechanism) => Kind::Authenticate(mechanism),
            Self::Login { .. } => Kind::Login,
            Self::Status { .. } => Kind::Status,
            Self::Examine { .. } => Kind::Examine,
            Self::List { first, last } => Kind::List { first, last },
            Self::Header { uid } => Kind::Header { uid },
            Self::Mail { uid } => Kind::Mail { uid },
            Self::Part { uid, .. } => Kind::Part { uid },
            Self::Noop => Kind::Noop,
            Self::Logout => Kind::Logout,
        }
    }

    /// Whether its words can be sent at all.
    pub(super) fn is_sendable(&self) -> bool {
        let words = match *self {
            Self::Login { login, password } => [login, password.reveal()],
            Self::Status { mailbox, .. } | Self::Examine { mailbox, .. } => [mailbox, ""],
            _ => return true,
        };
        let mut words = words.into_iter();
        words
            .all(|word| word.len() <= WORD_OCTETS && !word.contains(|c: char| c.is_ascii_control()))
    }

    /// Puts it into `link`, which has room for [`COMMAND_OCTETS`], from behind its literal
    /// number `from` on, counted from 1; 0 is its beginning. Returns the number of the literal
    /// that the server must ask for before more can be sent.
    pub(super) fn put(&self, link: &mut Link, tag: u32, from: u8, at_once: bool) -> Option<u8> {
        log::debug!("imap client: {}", self.kind());
        let mut wire = Wire {
            link,
            literals: 0,
            from,
            at_once,
        };
        // A wire with room takes everything.
        let _ = self.write(&mut wire, tag);
        (wire.literals > from).then_some(from + 1)
    }

    fn write(&self, wire: &mut Wire<'_>, tag: u32) -> fmt::Result {
        write!(wire, "{}{tag} ", char::from(TAG))?;
        match *self {
            Self::Login { login, password } => {
                wire.write_str("LOGIN ")?;
                wire.word(login)?;
                wire.write_str(" ")?;
                wire.word(password.reveal())?;
            }
            Self::Status { mailbox, modseq } => {
                wire.write_str("STATUS ")?;
                wire.word(mailbox)?;
                wire.write_str(" (MESSAGES UIDNEXT UIDVALIDITY")?;
                wire.write_str(if modseq { " HIGHESTMODSEQ)" } else { ")" })?;
            }
            Self::Examine { mailbox, modseq } => {
                wire.write_str("EXAMINE ")?;
                wire.word(mailbox)?;
                wire.write_str(if modseq { " (CONDSTORE)" } else { "" })?;
            }
            Self::List { first, last } => {
                write!(wire, "FETCH {first}:{last} (UID FLAGS RFC822.SIZE)")?;
            }
            Self::Header { uid } => write!(wire, "UID FETCH {uid} (BODY.PEEK[HEADER])")?,
            Self::Mail { uid } => write!(wire, "UID FETCH {uid} (BODY.PEEK[])")?,
            Self::Part { uid, from, octets } => {
                write!(wire, "UID FETCH {uid} (BODY.PEEK[]<{from}.{octets}>)")?;
            }
            Self::Capability => wire.write_str("CAPABILITY")?,
            Self::Starttls => wire.write_str("STARTTLS")?,
            Self::Authenticate(mechanism) => write!(wire, "AUTHENTICATE {mechanism}")?,
            Self::Noop => wire.write_str("NOOP")?,
            Self::Logout => wire.write_str("LOGOUT")?,
        }
        wire.write_str("\r\n")
    }
}

/// The link as something to write commands to: the part of one between two literals.
struct Wire<'a> {
    link: &'a mut Link,
    /// Literals that were met, and that the server must ask for.
    literals: u8,
    /// What is before this one was sent already.
    from: u8,
    /// The server takes literals unasked (RFC 7888).
    at_once: bool,
}

impl Wire<'_> {
    /// In quotes, or as a literal where quotes cannot hold it.
    fn word(&mut self, word: &str) -> fmt::Result {
        if !word.is_ascii() {
            let plus = if self.at_once { "+" } else { "" };
            write!(self, "{{{}{plus}}}\r\n", word.len())?;
            self.literals += u8::from(!self.at_once);
            return self.write_str(word);
        }
        self.write_str("\"")?;
        for piece in word.split_inclusive(['"', '\\']) {
            let plain = piece.trim_end_matches(['"', '\\']);
            self.write_str(plain)?;
            if let Some(escaped) = piece.get(plain.len()..).filter(|rest| !rest.is_empty()) {
                self.write_str("\\")?;
                self.write_str(escaped)?;
            }
        }
        self.write_str("\"")
    }
}

impl Write for Wire<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.literals != self.from || self.link.put(text.as_bytes()) {
            return Ok(());
        }
        Err(fmt::Error)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting => f.write_str("greeting"),
            Self::Capability => f.write_str("CAPABILITY"),
            Self::Starttls => f.write_str("STARTTLS"),
            Self::Authenticate(mechanism) => write!(f, "AUTHENTICATE {mechanism}"),
            Self::Login => f.write_str("LOGIN"),
            Self::Status => f.write_str("STATUS"),
            Self::Examine => f.write_str("EXAMINE"),
            Self::List { first, last } => write!(f, "FETCH {first}:{last}"),
            Self::Header { uid } | Self::Mail { uid } | Self::Part { uid } => {
                write!(f, "UID FETCH {uid}")
            }
            Self::Noop => f.write_str("NOOP"),
            Self::Logout => f.write_str("LOGOUT"),
        }
    }
}

impl Kind {
    /// The mail whose text it asks for.
    pub(super) fn uid(self) -> Option<u32> {
        match self {
            Self::Header { uid } | Self::Mail { uid } | Self::Part { uid } => Some(uid),
            _ => None,
        }
    }

    /// How long the server may be silent over it.
    pub(super) fn patience(self) -> hal::Duration {
        match self {
            Self::Login
            | Self::Authenticate(_)
            | Self::Status
            | Self::Examine
            | Self::List { .. } => super::PATIENCE_MAILBOX,
            Self::Greeting
            | Self::Capability
            | Self::Starttls
            | Self::Header { .. }
            | Self::Mail { .. }
            | Self::Part { .. }
            | Self::Noop
            | Self::Logout => super::PATIENCE,
        }
    }
}
