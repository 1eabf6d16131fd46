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
//!  +- closed: asks to reopen the device, at growing distances, for ever
//! ```
//!
//! | file | knows |
//! | --- | --- |
//! | [`result`] | what a line from the modem means, dialect by dialect |
//! | [`caller_id`] | how modems print the calling number |
//! | [`command`] | what we tell a modem, and in which order |
//! | [`ringing`] | the call that rings: count, number, whether it is to be answered |
//! | [`watch`] | how the loss of a caller shows, and how a caller's typing does not |
//! | [`options`] | what the owner said about the line |
//! | [`event`] | what the engine tells |
//! | [`modem`] | the engine that joins them |

pub mod caller_id;
pub mod command;
pub mod event;
pub mod modem;
pub mod options;
pub mod result;
pub mod ringing;
pub mod watch;

pub use event::{Event, Failure, Fault, Status};
pub use modem::Modem;
pub use options::Options;
pub use result::Connect;
pub use watch::Loss;

/// A calling number as the modem gave it, cleaned to printable ASCII; may be a network address.
pub type Number = heapless::String<{ crate::config::NUMBER_OCTETS }>;

#[cfg(test)]
mod tests;
