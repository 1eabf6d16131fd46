//! The engine at work: against scripts, and against the virtual modem.
//!
//! `edge_N` are the numbered cases of our list of what modems and callers do.

mod bench;
mod calls;
mod recovery;
