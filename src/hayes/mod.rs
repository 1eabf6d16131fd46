//! The DTE's end of one modem line: from a silent device to a caller on the line, and back.
//!
//! Commands and result codes are V.250's (once Hayes's), as twenty-five years of modems, ISDN
//! adapters, mobile phones and network modems speak them.
//!
//! ```text
//!             OK               all answered              RING, enough        CONNECT
//! probing --------> initialising ---------> idle (ready) ------------> answering ------> settling
//!  ^   |              ^                    ^ |  RING: counted             |                 |
//!  |   | silent       |      OK to an AT   | v  each hour                 | NO CARRIER ..   v
//!  |   v              |                  checking                         |              online
//!  | rescuing         +------------------- hanging up <-------------------+-----------------+
//!  |   | silent                              | three times in vain         carrier lost, hang_up
//!  |   v                                     |
//!  |  searching other speeds, resetting USB    |
//!  |   v                                     |
//!  +- closed: asks to reopen the device, at growing distances, for ever
//! ```
//!
//! | file | knows |
//! | --- | --- |
//! | [`result`] | what a line from the modem means, dialect by dialect |
//! | [`protocol`] | what two modems agreed on, against noise and for speed |
//! | [`caller_id`] | how modems print the calling number |
//! | [`dialect`] | what a modem says of itself, and what follows from that |
//! | [`command`] | what we tell a modem, and in which order |
//! | [`ringing`] | the call that rings: count, number, whether it is to be answered |
//! | [`watch`] | how the loss of a caller shows, and how a caller's typing does not |
//! | [`options`] | what the owner said about the line |
//! | [`event`] | what the engine tells |
//! | [`modem`] | the engine that joins them |

pub mod caller_id;
pub mod command;
pub mod dialect;
pub mod event;
pub mod modem;
pub mod options;
pub mod protocol;
pub mod result;
pub mod ringing;
pub mod watch;

use core::fmt;

pub use event::{Event, Failure, Fault, Status};
pub use modem::Modem;
pub use options::Options;
pub use protocol::Protocol;
pub use result::Connect;
pub use watch::Loss;

/// A calling number as the modem gave it, cleaned to printable ASCII; may be a network address.
pub type Number = heapless::String<{ crate::config::NUMBER_OCTETS }>;

/// A caller's name as the exchange gave it, cleaned as a number is; blanks may be in it.
pub type CallerName = heapless::String<32>;

/// How a call rings, where one line has several numbers: `1`, `A`, or the number that was called.
pub type Style = heapless::String<{ crate::config::STYLE_OCTETS }>;

/// Who calls, as far as told, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The calling number.
    pub number: Option<&'a str>,
    /// The caller's name.
    pub name: Option<&'a str>,
}

impl fmt::Display for Caller<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number.unwrap_or("a number not told"))?;
        match self.name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// What follows `text` at the start of `line`, in capitals or not.
fn starts<'a>(line: &'a str, text: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(text.len())?;
    head.eq_ignore_ascii_case(text).then_some(rest)
}

#[cfg(test)]
mod tests;
