//! What the gateway asks of a machine: one small trait a file.
//!
//! A trait never blocks, names no platform, and lists every error it may give. The library in
//! the root package sees nothing but these traits; `linux` (feature `linux`) and `sim` (feature
//! `sim`) implement them, [`traced`] and [`faulty`] wrap any implementation.
//!
//! | file | asks for |
//! | --- | --- |
//! | [`time`] | the monotonic clock and the wall clock |
//! | [`entropy`] | random octets |
//! | [`stream`] | a stream of octets: what is there, never more |
//! | [`modem`] | a stream with V.24 circuits |
//! | [`lan`] | outgoing connections |
//! | [`tls`] | whom to believe at the other end of one |
//! | [`maildir`] | a Maildir on this machine, to read |
//! | [`console`] | the operator's terminal |
//! | [`medium`] | fixed-size storage, with what a power cut may leave behind |
//! | [`board`] | the bundle: one machine |

#![cfg_attr(not(feature = "std"), no_std)]

pub mod board;
pub mod console;
pub mod entropy;
pub mod lan;
pub mod light;
pub mod maildir;
pub mod medium;
pub mod modem;
pub mod stream;
pub mod time;
pub mod tls;

pub mod faulty;
pub mod traced;

pub mod dce;

#[cfg(feature = "linux")]
pub mod linux;
#[cfg(feature = "sim")]
pub mod sim;

pub use board::Board;
pub use console::{ConsoleKind, ConsoleStream};
pub use entropy::Entropy;
pub use lan::{Connection, Lan, LanStream};
pub use light::Light;
pub use maildir::{FolderError, MailFolder};
pub use medium::{Medium, MediumError, SyncState};
pub use modem::{Circuit, ModemPort};
pub use stream::{ByteStream, StreamError};
pub use time::{Duration, Instant, Wall};
pub use tls::{Fingerprint, TlsError, Trust};
