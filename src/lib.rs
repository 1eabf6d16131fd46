//! A modem mail gateway: answers the phone and hands the caller, by POP3 over the raw line, the
//! mail that waits on the LAN server and that nobody has read at the desk yet.
//!
//! ```text
//! caller ~ modem line -> hayes -> session -> pop3::server -> mailbox -> store (ring on a medium)
//!     LAN mail server -> pop3::client | imap::client -> poll::visit -> reconcile ----^
//! ```
//!
//! This library has no I/O, no clock, no randomness and no heap; `hal` is its only way to a
//! machine, and large tables are lent to it at start. Every engine has the same two verbs:
//! `step(now, link, ..) -> Option<Event>`, and `deadline()`, the moment it wants to be stepped at
//! though nothing came. [`gateway`] is the loop that does both for all of them.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod config;
pub mod gateway;
pub mod link;
pub mod sasl;

// The caller's side.
pub mod hayes;
pub mod pop3;
pub mod session;

// The LAN's side.
pub mod identity;
pub mod imap;
pub mod poll;
pub mod reconcile;

// The time of day.
pub mod sntp;

// What both sides meet in.
pub mod mailbox;
pub mod store;

// The operator's side.
pub mod console;
