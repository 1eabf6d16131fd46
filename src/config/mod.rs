//! The configuration: parsed once, valid ever after.
//!
//! It *is* the list of commands that recreates it: [`Config::apply`] obeys them one by one,
//! [`Config::line`] prints them back, and reading what was printed gives the same again. Every
//! limit of the library stands here with its reason.
//!
//! ```text
//! line -> words -> grammar (one table) -> parse -> Config -> print -> line
//!                     \-> help, completion and ? of the console
//! ```

pub mod grammar;
mod parse;
mod print;
pub mod saved;
pub mod security;
pub mod value;
pub mod words;

use core::fmt;

use hal::Duration;
use heapless::{String, Vec};

pub use parse::{ConfigError, check};
pub use print::Secrets;
pub use security::{Security, Tls};

/// Style of a distinctive ring, as modems print it: `1`, `A`, or the number that was called.
pub const STYLE_OCTETS: usize = 20;
/// Modem lines: what one board with a USB hub can hold.
pub const LINES: usize = 8;
/// Users with a mailbox. Ten were asked for; a table of 32 costs nothing.
pub const USERS: usize = 32;
/// Visits to LAN servers that may be open side by side. More would wait for the same card.
pub const VISITS: usize = 4;
/// Terminals at once: the serial console, and those attached from a shell.
pub const CONSOLES: usize = 3;
/// `NAME`: letters, digits, `.`, `-`, `_`.
pub const NAME_OCTETS: usize = 32;
/// `SECRET`: RFC 1939 §3 allows arguments of 40 octets, RFC 2449 §4 whole commands of 255;
/// passwords for applications are longer than 40.
pub const SECRET_OCTETS: usize = 128;
/// Host names (RFC 1035 §2.3.4: 255).
pub const HOST_OCTETS: usize = 255;
/// The name of a mailbox at a LAN server, and what stands behind the host in a URL.
pub const MAILBOX_OCTETS: usize = 128;
/// Paths of devices and files.
pub const PATH_OCTETS: usize = 255;
/// Times of day in one `poll at`.
pub const TIMES_OF_DAY: usize = 24;
/// Numbers in one `allow` or `deny`.
pub const NUMBERS: usize = 16;
/// A telephone number: E.164 has 15 digits; dialects add signs.
pub const NUMBER_OCTETS: usize = 24;
/// The whole configuration as text: 32 users of eight commands fit.
pub const TEXT_OCTETS: usize = 32 * 1024;
/// One command as it is printed: a source whose host, login and password are all at their limits
/// does not fit, and is refused; any that somebody has does.
pub const LINE_OCTETS: usize = 512;
/// Size of the ring unless `store` says otherwise.
pub const STORE_DEFAULT_OCTETS: u64 = 256 << 20;

/// `NAME` of a user, a line or this machine.
pub type Name = String<NAME_OCTETS>;
/// A path.
pub type Path = String<PATH_OCTETS>;

/// A password. `Debug` and `Display` never show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String<SECRET_OCTETS>);

impl Secret {
    /// What is printed in place of a secret; no secret itself.
    pub const MASK: &'static str = "********";

    /// Takes `text` as a secret; `None` if it is longer than [`SECRET_OCTETS`].
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        String::try_from(text).ok().map(Self)
    }

    /// The secret itself, for the one place that sends, compares or saves it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is the secret, in a time that depends on the length of `guess` alone.
    #[must_use]
    pub fn matches(&self, guess: &[u8]) -> bool {
        use subtle::ConstantTimeEq;
        let padded = |octets: &[u8]| {
            let mut padded = [0; SECRET_OCTETS];
            padded
                .iter_mut()
                .zip(octets)
                .for_each(|(to, from)| *to = *from);
            padded
        };
        let right = self.0.as_bytes();
        let same = padded(right).ct_eq(&padded(guess)) & right.len().ct_eq(&guess.len());
        same.into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

/// All that the owner may set. It has room for many users, which is touched by those it has.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// `hostname NAME`; empty: the machine's.
    pub hostname: Name,
    /// `store PATH size SIZE`.
    pub store: Store,
    /// `line NAME ..`, in the order they were given.
    pub lines: Vec<Line, LINES>,
    /// `user NAME ..`, in the order they were added.
    pub users: Vec<User, USERS>,
    /// `timezone NAME`; empty: the machine's.
    pub timezone: String<64>,
    /// `ntp HOST|off`; empty: the machine keeps the clock.
    pub time_server: String<HOST_OCTETS>,
    /// `net ..`.
    pub network: Network,
    /// `wifi off|SSID password SECRET`.
    pub radio: Option<Radio>,
    /// `wifi country any|CC`: whose rules for channels hold (ISO 3166-1 alpha-2); empty: those that
    /// hold everywhere.
    pub country: String<2>,
    /// `limit ..`.
    pub limits: Limits,
    /// `console password SECRET`.
    pub console_password: Option<Secret>,
}

/// `store PATH size SIZE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// The ring's file or device; empty: `ring` in the state directory.
    pub path: Path,
    /// Octets; 0: 256 MiB.
    pub size: u64,
}

/// `net off|dhcp|static ..`: where the board's address comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's own system sees to that.
    #[default]
    Machine,
    /// A server in the network gives one.
    Dhcp,
    /// A fixed one.
    Static {
        /// `ADDR/BITS`.
        address: Address,
        /// The way out of the network.
        gateway: Address,
        /// The name server.
        dns: Address,
    },
}

/// `wifi SSID password SECRET`: a radio network, which is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Radio {
    /// Its name, 1 to 32 octets without control characters (IEEE 802.11-2020, 9.4.2.2).
    pub ssid: String<32>,
    /// A passphrase of 8 to 63 characters of ASCII, or the key itself in 64 hexadecimal digits.
    pub password: Secret,
}

/// An address in digits, with its network bits or without.
pub type Address = String<48>;

/// One modem line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub name: Name,
    /// What it is at.
    pub device: Device,
    /// `rings N`: answer after so many, 1 to 20.
    pub rings: u8,
    /// `carrier ..`.
    pub carrier: Carrier,
    /// `modem ..`.
    pub modem: ModemKind,
    /// `answer ..`.
    pub answer: Answering,
    /// `distinctive STYLE`: only calls that ring so are answered; empty: all.
    pub distinctive: String<STYLE_OCTETS>,
    /// `init "AT..."`: sent after our own initialisation.
    pub init: String<80>,
    /// `allow NUMBER...`: only these may call.
    pub allow: Vec<String<NUMBER_OCTETS>, NUMBERS>,
    /// `deny NUMBER...`: these may not.
    pub deny: Vec<String<NUMBER_OCTETS>, NUMBERS>,
}

/// What a line is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// `device PATH [speed BPS]`.
    Serial {
        /// Path of the device.
        path: Path,
        /// Speed between DTE and DCE in bit/s.
        speed: u32,
    },
    /// `phone ADDR:PORT`.
    Phone(String<64>),
}

/// `modem auto|wifi|gsm|direct`: what is at the other end of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModemKind {
    /// A modem, and what it says of itself decides.
    #[default]
    Auto,
    /// A network modem: what resets or reprograms one is left out.
    Wifi,
    /// A mobile telephone or GSM modem with data calls.
    Gsm,
    /// No modem: a cable to the caller's own serial port.
    Direct,
}

/// `answer always|never|HH:MM-HH:MM`: when calls are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answering {
    /// At any time.
    #[default]
    Always,
    /// Not at all: calls are only written down.
    Never,
    /// From one minute of the day up to another; over midnight where the first is the later one.
    Between(u16, u16),
}

/// `carrier auto|dcd|text|none`: how its loss is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    /// By the circuit if it was on at CONNECT, and by text.
    #[default]
    Auto,
    /// By circuit 109 alone.
    Dcd,
    /// By the text `NO CARRIER` alone.
    Text,
    /// Not at all: only timers end a call.
    None,
}

/// One user: who may dial in, and where the mail lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The login at the line.
    pub name: Name,
    /// The password at the line.
    pub password: Secret,
    /// The LAN account; a user without one has an empty maildrop.
    pub source: Option<Source>,
    /// `tls ..`, `pin ..`, `ca ..`.
    pub security: Security,
    /// `poll ..`.
    pub poll: Poll,
    /// `read-at-desk ..`.
    pub read_at_desk: ReadAtDesk,
    /// `taken-by ..`.
    pub taken_by: TakenBy,
    /// `commit ..`.
    pub commit: CommitAt,
    /// `seen ..`.
    pub seen: Seen,
    /// `start ..`.
    pub start: Start,
    /// `consumes ..`.
    pub consumes: Consumes,
    /// `large ..`.
    pub large: Large,
    /// `order ..`.
    pub order: Order,
    /// `share PERCENT` of the ring, 1 to 100; `None`: a fair share.
    pub share: Option<u8>,
}

/// `source URL login LOGIN password SECRET`, or `source maildir:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which protocol.
    pub scheme: Scheme,
    /// The LAN server, or the path of the Maildir.
    pub host: String<HOST_OCTETS>,
    /// Its port.
    pub port: u16,
    /// The mailbox there, as the server writes its name; empty: `INBOX`. At POP3 there is but one.
    pub mailbox: String<MAILBOX_OCTETS>,
    /// The account there.
    pub login: String<128>,
    /// Its password.
    pub password: Secret,
}

/// The part of a source's URL before `://`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `pop3://`, port 110 unless given.
    Pop3,
    /// `pop3s://`, port 995 unless given.
    Pop3s,
    /// `imap://`, port 143 unless given.
    Imap,
    /// `imaps://`, port 993 unless given.
    Imaps,
    /// `maildir:`, a Maildir on this machine.
    Maildir,
}

/// When to visit the LAN server (patent P0031). All three may hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// `poll every DURATION`.
    pub every: Option<Duration>,
    /// `poll at HH:MM[,HH:MM...]`: minutes after midnight.
    pub at: Vec<u16, TIMES_OF_DAY>,
    /// `poll at-login DURATION|off`: how long `PASS` may wait for the visit.
    pub at_login: Option<Duration>,
}

/// What becomes of a mail that was read at the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAtDesk {
    /// It is not offered any more (claim 2).
    #[default]
    Drop,
    /// It is offered with a mark (claim 3).
    Mark(Mark),
    /// A short notice is offered in its place (claim 3); the mail is under `NAME+full`.
    Notice,
}

/// `read-at-desk mark header|subject|body`: where the mark stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A field of its own, before all others.
    Header,
    /// A word before the subject.
    Subject,
    /// A line before the body.
    Body,
}

/// `taken-by dele|retr`: what removes a mail from the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakenBy {
    /// What the caller DELEted.
    #[default]
    Dele,
    /// What was sent whole (patent P0031).
    Retr,
}

/// `commit quit|dele`: when what was taken becomes durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitAt {
    /// At `QUIT` (RFC 1939 §6).
    #[default]
    Quit,
    /// When the caller has surely read the reply to the `DELE`; for lines that drop.
    Dele,
}

/// `seen read|ignore`: whether `\Seen` at an IMAP server counts as read at the desk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// It does.
    #[default]
    Read,
    /// Only what has vanished was read: for a desk whose programs mark mails by themselves.
    Ignore,
}

/// `start all|new|DAYSd`: what the first visit copies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// All that fits, newest first.
    #[default]
    All,
    /// Nothing: what is listed at the first visit counts as taken.
    New,
    /// What is no older than so many days, by its header's date.
    Days(u16),
}

/// `consumes leave|copy`: what is done at a LAN server that drops what is fetched (design 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consumes {
    /// Nothing is copied from it.
    #[default]
    Leave,
    /// The owner agrees that the gateway has the only copies.
    Copy,
}

/// `large leave|stream`: whether a mail that the ring has no room for is sent straight from a POP3
/// server, whose maildrop is locked as long as that takes (design 2.9). By IMAP it always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Large {
    /// It stays where it is, and the caller is told so.
    #[default]
    Leave,
    /// It is sent.
    Stream,
}

/// `order arrival|newest|size`: order in the maildrop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Arrival,
    /// Newest first.
    Newest,
    /// Smallest first.
    Size,
}

/// `limit ..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `limit login-failures N`, per call.
    pub login_failures: u8,
    /// `limit idle DURATION`: RFC 1939 §3 asks for ten minutes at least.
    pub idle: Duration,
    /// `limit call DURATION`.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_failures: 3,
            idle: Duration::from_secs(600),
            call: Duration::from_secs(7200),
        }
    }
}

impl Default for Poll {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(900)),
            at: Vec::new(),
            at_login: Some(Duration::from_secs(10)),
        }
    }
}

impl Config {
    /// Nothing set: no line, no user.
    #[must_use]
    #[inline]
    pub const fn new() -> Self {
        Self {
            hostname: String::new(),
            store: Store {
                path: String::new(),
                size: 0,
            },
            lines: Vec::new(),
            users: Vec::new(),
            timezone: String::new(),
            time_server: String::new(),
            network: Network::Machine,
            radio: None,
            country: String::new(),
            limits: Limits {
                login_failures: 3,
                idle: Duration::from_secs(600),
                call: Duration::from_secs(7200),
            },
            console_password: None,
        }
    }

    /// The line called `name`.
    #[must_use]
    pub fn modem_line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// The user called `name`; names are compared octet by octet.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

impl Clone for Config {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        copy.clone_from(self);
        copy
    }

    /// In place, and only what there is: a derived one would move all of the room, twice.
    fn clone_from(&mut self, other: &Self) {
        let Self {
            hostname,
            store,
            lines,
            users,
            timezone,
            time_server,
            network,
            radio,
            country,
            limits,
            console_password,
        } = other;
        self.hostname.clone_from(hostname);
        self.store.clone_from(store);
        self.lines.clear();
        self.lines.extend(lines.iter().cloned());
        self.users.clear();
        self.users.extend(users.iter().cloned());
        self.timezone.clone_from(timezone);
        self.time_server.clone_from(time_server);
        self.network.clone_from(network);
        self.radio.clone_from(radio);
        self.country.clone_from(country);
        self.limits = *limits;
        self.console_password.clone_from(console_password);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    /// Speed between DTE and DCE unless said otherwise, in bit/s.
    pub const SPEED: u32 = 115_200;
    /// Rings unless said otherwise.
    pub const RINGS: u8 = 1;

    /// A line with every choice at its default.
    #[must_use]
    pub const fn new(name: Name, device: Device) -> Self {
        Self {
            name,
            device,
            rings: Self::RINGS,
            carrier: Carrier::Auto,
            modem: ModemKind::Auto,
            answer: Answering::Always,
            distinctive: String::new(),
            init: String::new(),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }

    /// After how many rings to answer: two at least where the number decides, since it comes
    /// after the first.
    #[must_use]
    pub fn rings_to_answer(&self) -> u8 {
        match self.allow.is_empty() && self.deny.is_empty() {
            true => self.rings,
            false => self.rings.max(2),
        }
    }
}

impl Answering {
    /// Whether a call is answered at this minute after midnight; `None`: nobody knows the time.
    #[must_use]
    pub fn holds(self, minute: Option<u16>) -> bool {
        match (self, minute) {
            (Self::Always, _) | (Self::Between(..), None) => true,
            (Self::Never, _) => false,
            (Self::Between(from, to), Some(now)) if from <= to => (from..to).contains(&now),
            (Self::Between(from, to), Some(now)) => now >= from || now < to,
        }
    }
}

impl Source {
    /// The mailbox at an IMAP server.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        match self.mailbox.as_str() {
            "" => "INBOX",
            mailbox => mailbox,
        }
    }
}

impl Scheme {
    /// Whether IMAP is spoken there.
    #[must_use]
    pub const fn is_imap(self) -> bool {
        match self {
            Self::Imap | Self::Imaps => true,
            Self::Pop3 | Self::Pop3s | Self::Maildir => false,
        }
    }

    /// Whether TLS begins with the first octet.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        match self {
            Self::Pop3s | Self::Imaps => true,
            Self::Pop3 | Self::Imap | Self::Maildir => false,
        }
    }

    /// How its URLs begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pop3 => "pop3://",
            Self::Pop3s => "pop3s://",
            Self::Imap => "imap://",
            Self::Imaps => "imaps://",
            Self::Maildir => "maildir:",
        }
    }

    /// Its well-known port.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Pop3 => 110,
            Self::Pop3s => 995,
            Self::Imap => 143,
            Self::Imaps => 993,
            Self::Maildir => 0,
        }
    }
}

impl User {
    /// A user with every choice at its default.
    #[must_use]
    pub fn new(name: Name, password: Secret) -> Self {
        Self {
            name,
            password,
            source: None,
            security: Security::new(),
            poll: Poll::default(),
            read_at_desk: ReadAtDesk::default(),
            taken_by: TakenBy::default(),
            commit: CommitAt::default(),
            seen: Seen::default(),
            start: Start::default(),
            consumes: Consumes::default(),
            large: Large::default(),
            order: Order::default(),
            share: None,
        }
    }
}

/// A choice of one word out of a few.
trait Choosable: Copy + PartialEq + Sized + 'static {
    /// Every word, and what it chooses.
    const WORDS: &'static [(&'static str, Self)];

    /// What `word` chooses.
    fn named(word: &str) -> Option<Self> {
        let row = Self::WORDS.iter().find(|(name, _)| *name == word);
        row.map(|(_, choice)| *choice)
    }

    /// The word for it.
    fn word(self) -> &'static str {
        let row = Self::WORDS.iter().find(|(_, choice)| *choice == self);
        row.map_or("", |(name, _)| name)
    }
}

impl Choosable for Carrier {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("dcd", Self::Dcd),
        ("text", Self::Text),
        ("none", Self::None),
    ];
}

impl Choosable for ModemKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("wifi", Self::Wifi),
        ("gsm", Self::Gsm),
        ("direct", Self::Direct),
    ];
}

impl Choosable for Mark {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("header", Self::Header),
        ("subject", Self::Subject),
        ("body", Self::Body),
    ];
}

impl Choosable for TakenBy {
    const WORDS: &'static [(&'static str, Self)] = &[("dele", Self::Dele), ("retr", Self::Retr)];
}

impl Choosable for CommitAt {
    const WORDS: &'static [(&'static str, Self)] = &[("quit", Self::Quit), ("dele", Self::Dele)];
}

impl Choosable for Consumes {
    const WORDS: &'static [(&'static str, Self)] = &[("leave", Self::Leave), ("copy", Self::Copy)];
}

impl Choosable for Large {
    const WORDS: &'static [(&'static str, Self)] =
        &[("leave", Self::Leave), ("stream", Self::Stream)];
}

impl Choosable for Seen {
    const WORDS: &'static [(&'static str, Self)] =
        &[("read", Self::Read), ("ignore", Self::Ignore)];
}

impl Choosable for Order {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("arrival", Self::Arrival),
        ("newest", Self::Newest),
        ("size", Self::Size),
    ];
}

#[cfg(test)]
mod tests;
