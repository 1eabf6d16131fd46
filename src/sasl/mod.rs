//! Proving who one is: SASL mechanisms and APOP, both ends (RFC 4422, RFC 5034, RFC 1939 §7).
//!
//! ```text
//! we call a LAN server:   challenge line -> Client -> response line
//! a caller calls us:      response line  -> Server -> challenge line, Accepted or Refused
//! ```
//!
//! Both are engines over *lines*: the base64 that stands behind `+ ` in POP3 and IMAP, without
//! CR LF. How `AUTH` and `AUTHENTICATE` wrap them is the protocol's business. Nothing here has a
//! clock or randomness: a [`Nonce`] is handed in, drawn from the machine's entropy.
//!
//! | mechanism | shows the password | specification |
//! | --- | --- | --- |
//! | `SCRAM-SHA-256` | never, and the server proves that it knows it | RFC 5802, RFC 7677 |
//! | `CRAM-MD5` | never | RFC 2195 |
//! | `PLAIN` | to whoever reads the link | RFC 4616 |
//! | `LOGIN` | to whoever reads the link | none; everybody's |
//!
//! **Work in slices.** SCRAM hashes the password thousands of times. Neither engine does more
//! than [`SLICE`] rounds in one call: it says [`Working`](client::Progress::Working), and its
//! owner calls `work` again at its next turn, so that a ring of the phone never waits.
//!
//! Deviation: names and passwords are sent and compared as they are. RFC 5802 §2.2 asks for
//! SASLprep, whose tables are larger than all of this; it changes nothing in printable ASCII.

use core::fmt;

use base64ct::{Base64, Encoding};

pub mod apop;
pub mod client;
mod cram;
mod salting;
mod scram;
pub mod server;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use salting::SLICE;
pub use server::Server;

/// Longest message in octets, before base64. The longest of ours, the first of SCRAM with a login
/// of 128 octets that are all written as three, has 420; what a server sends may be longer.
pub const MESSAGE_OCTETS: usize = 768;

/// Longest line in octets, without what the protocol puts before it and without CR LF.
pub const LINE_OCTETS: usize = MESSAGE_OCTETS / 3 * 4;

/// A line to be sent: base64, possibly of nothing.
pub type Line = heapless::String<LINE_OCTETS>;

/// A decoded message.
type Message = heapless::Vec<u8, MESSAGE_OCTETS>;

/// Random octets that serve for one exchange, never for a second. Drawn from the machine's
/// entropy. They make a nonce of 24 characters.
pub type Nonce = [u8; NONCE_OCTETS];

/// Octets of a [`Nonce`].
pub const NONCE_OCTETS: usize = 18;

/// A way of proving who one is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// Login and password, asked for one after the other.
    Login,
    /// Login and password in one message.
    Plain,
    /// A keyed digest of the server's challenge.
    CramMd5,
    /// A salted, iterated digest; both ends prove that they know the password.
    ScramSha256,
}

impl Mechanism {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::Login, Self::Plain, Self::CramMd5, Self::ScramSha256];

    /// The mechanism called `name`, in any case.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let is = |mechanism: &Self| mechanism.name().as_bytes().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(is)
    }

    /// Its registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// Whether the password itself passes over the link.
    #[must_use]
    pub fn shows_password(self) -> bool {
        matches!(self, Self::Login | Self::Plain)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of mechanisms: what a server offers.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Mechanisms(u8);

impl Mechanisms {
    /// None.
    pub const NONE: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, mechanism: Mechanism) {
        self.0 |= Self::bit(mechanism);
    }

    /// Takes one out.
    pub fn remove(&mut self, mechanism: Mechanism) {
        self.0 &= !Self::bit(mechanism);
    }

    /// Whether it is in.
    #[must_use]
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & Self::bit(mechanism) != 0
    }

    /// Those in the set, strongest first.
    pub fn strongest_first(self) -> impl Iterator<Item = Mechanism> {
        let all = Mechanism::ALL.into_iter().rev();
        all.filter(move |mechanism| self.contains(*mechanism))
    }

    fn bit(mechanism: Mechanism) -> u8 {
        1 << mechanism as u8
    }
}

impl fmt::Debug for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.strongest_first()).finish()
    }
}

/// Writes `message` as base64. What is too long gives an empty line; nothing of ours is.
fn encode(message: &[u8], line: &mut Line) {
    line.clear();
    let mut octets = [0; LINE_OCTETS];
    if let Ok(text) = Base64::encode(message, &mut octets) {
        // Both have the same length.
        let _ = line.push_str(text);
    }
}

/// Reads base64; `None` if it is none, or too long. Blanks around it are forgiven.
fn decode(line: &[u8]) -> Option<Message> {
    let mut octets = [0; MESSAGE_OCTETS];
    let line = line.trim_ascii();
    if line.len() > LINE_OCTETS {
        return None;
    }
    let message = Base64::decode(line, &mut octets).ok()?;
    Message::from_slice(message).ok()
}

/// `octets` in small hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
