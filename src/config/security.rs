//! How far a mail server, and the way to it, are trusted.
//!
//! | words | at `pop3://`, `imap://` | at `pop3s://`, `imaps://` |
//! | --- | --- | --- |
//! | `tls starttls` (default) | TLS where the server offers it; else no password in clear but to a near server | TLS |
//! | `tls required` | TLS, or no visit | TLS |
//! | `tls off` | never TLS; the password in clear, wherever the server is | TLS |
//!
//! Where there is TLS, the server's certificate is judged: by the authorities that the machine
//! trusts, by the owner's own (`ca FILE`), or by its pinned SHA-256 alone (`pin`). There is no TLS
//! with a server that nobody vouches for: whoever sits on the way could be that server, and the
//! owner would believe to be safe.

use core::fmt;

use hal::{Fingerprint, Trust};
use heapless::String;

use super::words::Quoted;
use super::{Choosable, PATH_OCTETS, Path};

/// `tls ..`, `pin ..`, `ca ..`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// `tls starttls|off|required`.
    pub tls: Tls,
    /// `pin HASH`: the only certificate that is trusted.
    pub pin: Option<Fingerprint>,
    /// `ca FILE`: the only authorities that are trusted; empty: those of the machine.
    pub authorities: Path,
}

/// `tls starttls|off|required`: when a connection that begins without TLS goes on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Where the server offers it.
    #[default]
    Starttls,
    /// Never. The owner knows that the password, too, is sent in clear.
    Off,
    /// Always: else nothing is said.
    Required,
}

impl Choosable for Tls {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("starttls", Self::Starttls),
        ("off", Self::Off),
        ("required", Self::Required),
    ];
}

impl Security {
    /// Every choice at its default.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tls: Tls::Starttls,
            pin: None,
            authorities: String::new(),
        }
    }

    /// What makes a certificate a good one. A pin decides alone.
    #[must_use]
    pub fn trust(&self) -> Trust<'_> {
        match self.pin {
            Some(pin) => Trust::Pin(pin),
            None if self.authorities.is_empty() => Trust::Machine,
            None => Trust::Authorities(&self.authorities),
        }
    }

    /// Gives the commands that recreate it, for the user `name`.
    pub(super) fn commands(&self, name: &str, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        if self.tls != Tls::default() {
            put(format_args!("user {name} tls {}", self.tls.word()));
        }
        if let Some(pin) = &self.pin {
            put(format_args!("user {name} pin {pin}"));
        }
        if !self.authorities.is_empty() {
            put(format_args!("user {name} ca {}", Quoted(&self.authorities)));
        }
    }
}

/// A file, by its whole path: the gateway may be started anywhere.
pub(super) fn file(word: &str) -> Option<String<PATH_OCTETS>> {
    String::try_from(word)
        .ok()
        .filter(|_| word.starts_with('/'))
}
