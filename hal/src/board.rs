//! One machine: the parts, bundled.

use crate::{ConsoleStream, Entropy, Instant, Lan, Medium, ModemPort, Wall};

/// A machine the gateway runs on.
///
/// The gateway opens its parts through the board and keeps them; the board keeps what all of them
/// share: the clock, and the place where the loop sleeps.
pub trait Board: Entropy {
    /// A modem line.
    type Modem: ModemPort;
    /// The LAN.
    type Lan: Lan;
    /// The storage.
    type Medium: Medium;
    /// The operator's terminal, or one attached to the running gateway.
    type Console: ConsoleStream;

    /// The monotonic clock.
    fn now(&mut self) -> Instant;

    /// The wall clock.
    fn wall(&mut self) -> Wall;

    /// Opens modem line `device` (a path, or a telephone number of the board's own making) at
    /// `speed` bit/s between DTE and DCE. A device that is absent now gives a port that is
    /// `Closed` until it is reopened.
    ///
    /// # Errors
    /// What is wrong with `device` itself, in words for the owner.
    fn open_line(&mut self, device: LineDevice<'_>) -> Result<Self::Modem, OpenError>;

    /// The LAN, as far as the board has one.
    fn lan(&mut self) -> &mut Self::Lan;

    /// A terminal that has been attached since the last call, if any.
    fn accept_console(&mut self) -> Option<Self::Console>;

    /// Sets the time zone in which [`wall`](Self::wall) gives its offset: a name such as
    /// `Europe/Berlin`, or empty for the machine's own.
    ///
    /// # Errors
    /// There is no such zone, in words for the owner; the old one stays.
    fn set_timezone(&mut self, name: &str) -> Result<(), OpenError> {
        if name.is_empty() {
            return Ok(());
        }
        let mut words = OpenError::new();
        // The words are shorter than the limit.
        let _ = words.push_str("this board knows no time zones");
        Err(words)
    }

    /// Puts `text` where the board keeps its configuration, whole or not at all, durably.
    ///
    /// # Errors
    /// Why it could not, in words for the owner.
    fn save_config(&mut self, text: &str) -> Result<(), OpenError>;

    /// Sleeps until octets come to a stream that waits for them, a sync or a look-up ends, a
    /// console is attached, the end is asked for, or `until` is reached.
    fn wait(&mut self, until: Option<Instant>);

    /// Whether the machine has asked us to end (SIGTERM).
    fn ending(&mut self) -> bool;

    /// Tells the machine's supervisor, where there is one, that every line waits for calls.
    fn ready(&mut self) {}
}

/// What a line is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineDevice<'a> {
    /// A modem at a serial port: `line NAME device PATH [speed BPS]`.
    Serial {
        /// Path of the device.
        path: &'a str,
        /// Speed between DTE and DCE, bit/s.
        speed: u32,
    },
    /// A virtual modem whose telephone number is a TCP address: `line NAME phone ADDR:PORT`.
    Phone {
        /// Address and port it listens at.
        address: &'a str,
    },
}

/// Why a part could not be opened, in words for the owner: as many as one line of a terminal
/// holds, and few enough to hand around by value.
pub type OpenError = heapless::String<112>;
