//! The Linux machine: the traits of this package over serialport, nix and the standard library.
//!
//! Everything that thinks runs in one thread and sleeps in one place:
//!
//! ```text
//!   serial  tcp  terminal  signals        medium helper   name helper
//!      \      \     |      /                   \             /
//!       one poll(2): reactor  <--- one eventfd: Waker ------+
//! ```
//!
//! What Linux can do only by blocking has a helper thread: one for the medium (write and sync),
//! one for names (look-ups), one for files of authorities. They are apart, because a silent name server takes 5 to 20 s to give
//! up and a commit must not wait behind it, nor a look-up behind a slow card. All end their work
//! with one wake-up of the reactor; the loop then asks every part for its state anyway.
//!
//! | file | is |
//! | --- | --- |
//! | `reactor` | where the loop sleeps |
//! | `descriptor` | a stream over any file descriptor |
//! | `serial` | a modem at a serial port |
//! | `phone` | a modem line whose telephone number is a TCP address |
//! | `vmodem` | the same modem as a program, at a pty |
//! | `switchboard`, `call` | what both are made of |
//! | `names`, `tcp` | the LAN |
//! | `tls`, `authorities` | TLS over it, and whom that trusts |
//! | `maildir` | mail on this machine |
//! | `file`, `zeros` | the medium: a file or a block device |
//! | `memory` | memory that is given back |
//! | `terminal`, `attach` | consoles, both ends |
//! | `partition` | the ring's place on a card |
//! | `program`, `network` | programs of the board, and the one that makes the network |
//! | `light` | what an owner sees who has no terminal at hand |
//! | `clock`, `datagram`, `watchdog`, `machine` | the whole machine |

pub mod attach;
mod authorities;
mod call;
pub mod clock;
mod datagram;
pub mod descriptor;
pub mod file;
pub mod image;
pub mod light;
pub mod line;
pub mod machine;
pub mod maildir;
mod memory;
mod names;
mod network;
pub mod partition;
pub mod phone;
mod program;
mod raw_mode;
pub mod reactor;
pub mod serial;
mod switchboard;
pub mod tcp;
pub mod terminal;
pub mod tls;
mod usb;
pub mod vmodem;
mod watchdog;
mod zeros;

use core::fmt::{self, Write};

use crate::board::OpenError;

/// Words for the owner, cut where they are longer than such an error may be.
fn words(text: fmt::Arguments<'_>) -> OpenError {
    let mut words = OpenError::new();
    for c in text.to_string().chars() {
        if words.write_char(c).is_err() {
            break;
        }
    }
    words
}

/// A fresh directory for the test `name`.
#[cfg(test)]
fn scratch(name: &str) -> std::path::PathBuf {
    let directory = format!("ringmail-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(directory);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}
