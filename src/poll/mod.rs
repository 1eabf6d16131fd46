//! Visits to the LAN server: when they begin.
//!
//! [`schedule`] says when; whoever visits tells it how that went.

pub mod schedule;
