//! What the tests against real peers share: servers, callers, mails, and their comparison.
//!
//! ```text
//! corpus -> maildir -> Dovecot -> (gateway ~ its phone number) -> caller -> what it got
//!                                     what it got == corpus, octet by octet
//! ```
//!
//! Nothing here knows how the gateway works inside: it is started as its user starts it. Nothing
//! sleeps for a fixed time: what takes a while is asked for until it is there, or a limit is hit.

#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

pub(crate) mod caller;
pub(crate) mod certificates;
pub(crate) mod corpus;
pub(crate) mod cyrus;
pub(crate) mod dovecot;
pub(crate) mod gateway;
pub(crate) mod inetd;
pub(crate) mod maildir;
pub(crate) mod mails;
pub(crate) mod pi;
pub(crate) mod pop3;
pub(crate) mod post;
pub(crate) mod process;
pub(crate) mod redial;
pub(crate) mod relay;
pub(crate) mod servers;
pub(crate) mod strike;
pub(crate) mod temp;
pub(crate) mod usbip;
pub(crate) mod wire;

use core::net::SocketAddr;

/// Where mail is to be had by POP3, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The server, or the gateway's phone number.
    pub(crate) address: SocketAddr,
    /// Who logs in.
    pub(crate) user: String,
    /// With what.
    pub(crate) password: String,
}
