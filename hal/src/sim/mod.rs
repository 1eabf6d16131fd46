//! The simulated world: everything the gateway can meet, in virtual time.
//!
//! ```text
//!  caller ~ line (virtual modem) ~ port --+
//!  POP3 server on the LAN ~ stream -------+-- gateway: turn, wait, turn, wait ..
//!  medium with slow syncs ----------------+
//!                     one clock: `wait` moves it to the next thing that happens
//! ```
//!
//! A day passes in milliseconds, and the same seed gives the same day.

#![allow(
    clippy::indexing_slicing,
    reason = "only tests run this; a panic here is a failed test"
)]

pub mod disk;
pub mod folder;
pub mod lan;
pub mod line;
pub mod medium;
pub mod post;
pub mod world;

pub use disk::Disk;
pub use folder::{Change, Folder, SimFolder};
pub use lan::{SimLan, SimStream};
pub use line::{Caller, Line, Port};
pub use medium::SimMedium;
pub use post::{Fault, Post};
pub use world::{SimConsole, World};
