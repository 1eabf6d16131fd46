//! The LAN's side: when to visit a server, and one visit to it.

pub mod schedule;
pub mod visit;
