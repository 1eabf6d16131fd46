//! One machine: the parts, bundled.

use core::fmt;

use crate::{ConsoleStream, Entropy, Instant, Lan, Light, MailFolder, Medium, ModemPort, Wall};

/// A machine the gateway runs on.
///
/// The gateway opens its parts through the board and keeps them; the board keeps what all of them
/// share: the clock, and the place where the loop sleeps.
pub trait Board: Entropy {
    /// A modem line.
    type Modem: ModemPort;
    /// The LAN.
    type Lan: Lan;
    /// A Maildir on this machine.
    type Folder: MailFolder;
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

    /// The Maildir at `path`, to read. Whether it is there shows in
    /// [`MailFolder::start`].
    fn folder(&mut self, path: &str) -> Self::Folder;

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

    /// Makes the machine's network as `network` and `radio` say, in the background. What comes of
    /// it shows in the connections, and in [`network_news`](Self::network_news).
    ///
    /// # Errors
    /// Why it could not begin, in words for the owner.
    fn set_network(
        &mut self,
        network: Network<'_>,
        radio: Option<Radio<'_>>,
    ) -> Result<(), OpenError> {
        not_kept(network, radio)
    }

    /// What has become of the network since the last call, in words for the owner; one thing a
    /// call.
    fn network_news(&mut self) -> Option<OpenError> {
        None
    }

    /// Sets the wall clock to `unix` seconds and `micros` after 1970-01-01 00:00 UTC; it is trusted
    /// from now on.
    ///
    /// # Errors
    /// Why it could not, in words for the owner.
    fn set_wall(&mut self, _unix: u64, _micros: u32) -> Result<(), OpenError> {
        Err(not_ours(
            "clock: this board's clock is set by its own system",
        ))
    }

    /// Sends one datagram (UDP) to `host`, whose name is looked up first; never waits. Only the
    /// answers to the last one are received. Like any datagram it may be lost without a word.
    fn send_datagram(&mut self, _host: &str, _port: u16, _octets: &[u8]) {}

    /// A datagram that has come in answer; gives its length. What does not fit into `buf` is cut.
    fn receive_datagram(&mut self, _buf: &mut [u8]) -> Option<usize> {
        None
    }

    /// Starts the machine anew, after this program has ended in order.
    ///
    /// # Errors
    /// Why it could not, in words for the owner.
    fn reboot(&mut self) -> Result<(), OpenError> {
        Err(not_ours(
            "reboot: this board is restarted by its own system",
        ))
    }

    /// The loop has come round once more: whoever watches it, a watchdog or a supervisor, may know.
    fn alive(&mut self) {}

    /// Shows `light`, where the board has one; never waits. The loop says it each time round.
    fn show(&mut self, _light: Light) {}

    /// Sleeps until octets come to a stream that waits for them, a sync or a look-up ends, a
    /// console is attached, the end is asked for, or `until` is reached.
    fn wait(&mut self, until: Option<Instant>);

    /// Whether the machine has asked us to end (SIGTERM).
    fn ending(&mut self) -> bool;

    /// Tells the machine's supervisor, where there is one, that every line waits for calls.
    fn ready(&mut self) {}
}

/// What a board says whose network others make.
///
/// # Errors
/// It was asked for one.
pub fn not_kept(network: Network<'_>, radio: Option<Radio<'_>>) -> Result<(), OpenError> {
    match (network, radio) {
        (Network::Machine, None) => Ok(()),
        (_, None) => Err(not_ours(
            "net: this board's network is kept by its own system",
        )),
        (_, Some(_)) => Err(not_ours(
            "wifi: this board's network is kept by its own system",
        )),
    }
}

/// Words for what a board leaves to others.
fn not_ours(text: &str) -> OpenError {
    let mut words = OpenError::new();
    // The words are shorter than the limit.
    let _ = words.push_str(text);
    words
}

/// Where the machine's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network<'a> {
    /// Its own system sees to that: `net off`.
    Machine,
    /// A server in the network gives one: `net dhcp`.
    Dhcp,
    /// A fixed one: `net static ADDR/BITS gateway ADDR dns ADDR`.
    Static {
        /// Address and network bits.
        address: &'a str,
        /// The way out of the network.
        gateway: &'a str,
        /// The name server.
        dns: &'a str,
    },
}

/// A radio network that is joined: `wifi SSID password SECRET`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Radio<'a> {
    /// Its name, without control characters.
    pub ssid: &'a str,
    /// A passphrase, or the key in 64 hexadecimal digits.
    pub password: &'a str,
    /// Whose rules for channels hold (ISO 3166-1 alpha-2); empty: those that hold everywhere.
    pub country: &'a str,
}

impl fmt::Debug for Radio<'_> {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Radio")
            .field("ssid", &self.ssid)
            .field("country", &self.country)
            .finish_non_exhaustive()
    }
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
