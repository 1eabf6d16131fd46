//! The LAN's side: when to visit a server, and one visit to it.

mod copying;
pub mod schedule;
pub mod visit;
