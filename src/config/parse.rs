//! Reading: one command, or a whole file of them.

use core::fmt;

use hal::{Duration, Fingerprint};
use heapless::{String, Vec};

use super::grammar::{self, Fault, Matched, Phrase, Place};
use super::security;
use super::value::{self, Octets};
use super::words::Words;
use super::{
    Answering, Choosable, Config, Device, HOST_OCTETS, LINES, Line, NUMBER_OCTETS, NUMBERS, Name,
    Network, Radio, ReadAtDesk, SECRET_OCTETS, STORE_DEFAULT_OCTETS, Scheme, Secret, Source, Start,
    TEXT_OCTETS, USERS, User,
};

/// Bounds of `rings`. Twenty rings are two minutes: no caller's modem waits longer.
const RINGS: (u32, u32) = (1, 20);
/// Bounds of `speed` in bit/s: from the oldest modem to the fastest serial converter.
const SPEED: (u32, u32) = (300, 4_000_000);
/// Bounds of `limit login-failures`: one typing error must be forgiven.
const LOGIN_FAILURES: (u32, u32) = (1, 20);
/// Bounds of `start DAYSd`: ten years are more than `all` of any mailbox.
const DAYS: (u32, u32) = (1, 3650);
/// Bounds of `share`.
const SHARE: (u32, u32) = (1, 100);
/// Bounds of `store`: below, one mail fills the ring; above, its addresses have no room.
const STORE: (Octets, Octets) = (Octets(4 << 20), Octets(64 << 30));
/// Bounds of `poll every`. Zero would never rest, and a mail a week old is none.
const POLL_EVERY: (Duration, Duration) = seconds(1, 7 * DAY);
/// Bounds of `poll at-login`: no mail client waits longer for the reply to `PASS`.
const POLL_AT_LOGIN: (Duration, Duration) = seconds(1, 120);
/// Bounds of `limit idle`. Deviation: RFC 1939 §3 asks for ten minutes at least; an owner who
/// pays for the minutes may say less. A command of 255 octets needs 8.5 s at 300 bit/s.
const IDLE: (Duration, Duration) = seconds(10, DAY);
/// Bounds of `limit call`: below, no mail comes through; above, a hung line is lost for a day.
const CALL: (Duration, Duration) = seconds(60, DAY);

const DAY: u64 = 86_400;

const fn seconds(least: u64, most: u64) -> (Duration, Duration) {
    (Duration::from_secs(least), Duration::from_secs(most))
}

/// Reads `text`, one command a line, into a configuration; `report` hears of every line that is
/// no good, by its number from 1. Such a line changes nothing.
pub fn check(text: &str, report: impl FnMut(usize, &ConfigError)) -> Config {
    let mut config = Config::new();
    config.apply_all(text, report);
    config
}

/// Why a command was not taken. `Display` is the one line for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Its words are no good.
    Words(Fault),
    /// A command for the console, by its pattern.
    ConsoleOnly(&'static str),
    /// No such user.
    UnknownUser(Name),
    /// No such line.
    UnknownLine(Name),
    /// `user add` for a user who is there.
    DuplicateUser(Name),
    /// A name that is a word of commands itself.
    ReservedName(Name),
    /// More users than [`USERS`].
    TooManyUsers {
        /// [`USERS`].
        limit: usize,
    },
    /// More lines than [`LINES`].
    TooManyLines {
        /// [`LINES`].
        limit: usize,
    },
    /// More numbers in one command than [`NUMBERS`].
    TooManyNumbers {
        /// [`NUMBERS`].
        limit: usize,
    },
    /// A secret longer than [`SECRET_OCTETS`], or empty.
    SecretLength {
        /// [`SECRET_OCTETS`].
        limit: usize,
        /// Its octets.
        got: usize,
    },
    /// The password of a radio network is neither a passphrase nor a key.
    Passphrase,
    /// `********`, which stands for a secret that was not shown.
    MaskedSecret,
    /// The whole configuration would need more octets than [`TEXT_OCTETS`].
    TooLarge {
        /// [`TEXT_OCTETS`].
        limit: usize,
    },
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self::Words(fault)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(fault) => fault.fmt(f),
            Self::ConsoleOnly(pattern) => write!(f, "only at the console: {pattern}"),
            Self::UnknownUser(name) => {
                write!(
                    f,
                    "no user \"{name}\": expected a user who was added with user add"
                )
            }
            Self::UnknownLine(name) => write!(
                f,
                "no line \"{name}\": expected a line that has a device or a phone"
            ),
            Self::DuplicateUser(name) => write!(f, "user \"{name}\" is there already"),
            Self::ReservedName(name) => {
                write!(f, "\"{name}\" is a word of commands: expected another name")
            }
            Self::TooManyUsers { limit } => write!(f, "expected at most {limit} users"),
            Self::TooManyLines { limit } => write!(f, "expected at most {limit} lines"),
            Self::TooManyNumbers { limit } => write!(f, "expected at most {limit} numbers"),
            Self::SecretLength { limit, got } => {
                write!(f, "password: expected 1 to {limit} octets, got {got}")
            }
            Self::Passphrase => f.write_str(
                "wifi password: expected 8 to 63 characters of ASCII, or 64 hexadecimal digits",
            ),
            Self::MaskedSecret => f.write_str(
                "password: ******** stands for one not shown, expected the password itself",
            ),
            Self::TooLarge { limit } => write!(
                f,
                "expected a configuration of at most {limit} octets as it is printed"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Obeys one command of a configuration. A blank line and a comment are good and do nothing.
    ///
    /// # Errors
    /// Says what was expected; nothing has changed then.
    pub fn apply(&mut self, line: &str) -> Result<(), ConfigError> {
        let words = Words::split(line).map_err(Fault::from)?;
        if words.is_empty() {
            return Ok(());
        }
        let command = grammar::find(&words)?;
        // A copy, so that nothing has changed whatever fails.
        let mut changed = Self::new();
        changed.clone_from(self);
        changed.obey(&command)?;
        if changed.text_octets() > TEXT_OCTETS {
            return Err(ConfigError::TooLarge { limit: TEXT_OCTETS });
        }
        self.clone_from(&changed);
        Ok(())
    }

    /// Obeys the commands of `text`, as [`check`] does.
    pub fn apply_all(&mut self, text: &str, mut report: impl FnMut(usize, &ConfigError)) {
        // Editors of other systems leave a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            if let Err(error) = self.apply(line) {
                report(index + 1, &error);
            }
        }
    }

    fn obey(&mut self, command: &Matched<'_>) -> Result<(), ConfigError> {
        match command.row().phrase {
            Phrase::Hostname => self.hostname = command.value(1, value::name)?,
            Phrase::Store => self.obey_store(command)?,
            Phrase::Timezone => self.timezone = command.value(1, zone)?,
            Phrase::NtpOff => self.time_server.clear(),
            Phrase::Ntp => self.time_server = command.value(1, time_server)?,
            Phrase::NetOff => self.network = Network::Machine,
            Phrase::NetDhcp => self.network = Network::Dhcp,
            Phrase::NetStatic => {
                self.network = Network::Static {
                    address: command.value(2, value::address_and_bits)?,
                    gateway: command.value(4, value::address)?,
                    dns: command.value(6, value::address)?,
                };
            }
            Phrase::WifiOff => self.radio = None,
            Phrase::Wifi => self.radio = Some(radio(command)?),
            Phrase::WifiCountryAny => self.country.clear(),
            Phrase::WifiCountry => self.country = command.value(2, country)?,
            Phrase::LimitLoginFailures => {
                self.limits.login_failures = small(command, 2, LOGIN_FAILURES)?;
            }
            Phrase::LimitIdle => self.limits.idle = span(command, 2, IDLE)?,
            Phrase::LimitCall => self.limits.call = span(command, 2, CALL)?,
            Phrase::ConsoleOpen => self.console_password = None,
            Phrase::ConsolePassword => self.console_password = Some(secret(command, 2)?),

            Phrase::LineDevice | Phrase::LinePhone => self.obey_device(command)?,
            Phrase::LineDelete => {
                let name = self.line_mut(command, 2)?.name.clone();
                self.lines.retain(|line| line.name != name);
            }
            Phrase::LineRings => self.line_mut(command, 1)?.rings = small(command, 3, RINGS)?,
            Phrase::LineCarrier => self.line_mut(command, 1)?.carrier = choice(command, 3)?,
            Phrase::LineModem => self.line_mut(command, 1)?.modem = choice(command, 3)?,
            Phrase::LineAnswer => {
                self.line_mut(command, 1)?.answer = match command.word(3) {
                    "always" => Answering::Always,
                    "never" => Answering::Never,
                    _ => {
                        let (from, to) = command.value(3, value::span_of_day)?;
                        Answering::Between(from, to)
                    }
                };
            }
            Phrase::LineDistinctiveAny => self.line_mut(command, 1)?.distinctive.clear(),
            Phrase::LineDistinctive => {
                self.line_mut(command, 1)?.distinctive = command.value(3, value::style)?;
            }
            Phrase::LineInit => self.line_mut(command, 1)?.init = command.value(3, text)?,
            Phrase::LineAllowAny => self.line_mut(command, 1)?.allow.clear(),
            Phrase::LineAllow => self.line_mut(command, 1)?.allow = numbers(command, 3)?,
            Phrase::LineDenyNone => self.line_mut(command, 1)?.deny.clear(),
            Phrase::LineDeny => self.line_mut(command, 1)?.deny = numbers(command, 3)?,

            Phrase::UserAdd => self.obey_user_add(command)?,
            Phrase::UserDelete => {
                let name = self.user_mut(command, 2)?.name.clone();
                self.users.retain(|user| user.name != name);
            }
            _ => self.obey_user(command)?,
        }
        Ok(())
    }

    /// `user USER ..`: a choice of one user.
    fn obey_user(&mut self, command: &Matched<'_>) -> Result<(), ConfigError> {
        let row = command.row();
        if row.place == Place::Console {
            return Err(ConfigError::ConsoleOnly(row.pattern));
        }
        let user = self.user_mut(command, 1)?;
        match row.phrase {
            Phrase::UserPassword => user.password = secret(command, 3)?,
            Phrase::UserSourceNone => user.source = None,
            Phrase::UserSource => user.source = Some(source(command)?),
            Phrase::UserMaildir => user.source = Some(maildir(command)?),
            Phrase::UserTls => user.security.tls = choice(command, 3)?,
            Phrase::UserPinNone => user.security.pin = None,
            Phrase::UserPin => {
                user.security.pin = Some(command.value(3, Fingerprint::parse)?);
            }
            Phrase::UserCaSystem => user.security.authorities.clear(),
            Phrase::UserCa => user.security.authorities = command.value(3, security::file)?,
            Phrase::UserPollEvery => {
                user.poll.every = Some(span(command, 4, POLL_EVERY)?);
            }
            Phrase::UserPollAt => user.poll.at = command.value(4, value::times)?,
            Phrase::UserPollAtLogin => {
                user.poll.at_login = match command.word(4) {
                    "off" => None,
                    _ => Some(span(command, 4, POLL_AT_LOGIN)?),
                };
            }
            Phrase::UserPollOff => {
                user.poll.every = None;
                user.poll.at.clear();
                user.poll.at_login = None;
            }
            Phrase::UserDeskDrop => user.read_at_desk = ReadAtDesk::Drop,
            Phrase::UserDeskNotice => user.read_at_desk = ReadAtDesk::Notice,
            Phrase::UserDeskMark => user.read_at_desk = ReadAtDesk::Mark(choice(command, 4)?),
            Phrase::UserTakenBy => user.taken_by = choice(command, 3)?,
            Phrase::UserCommit => user.commit = choice(command, 3)?,
            Phrase::UserSeen => user.seen = choice(command, 3)?,
            Phrase::UserStart => user.start = start(command, 3)?,
            Phrase::UserConsumes => user.consumes = choice(command, 3)?,
            Phrase::UserLarge => user.large = choice(command, 3)?,
            Phrase::UserOrder => user.order = choice(command, 3)?,
            Phrase::UserShare => {
                user.share = match command.word(3) {
                    "fair" => None,
                    _ => Some(small(command, 3, SHARE)?),
                };
            }
            // Rows of the table that nobody gave a meaning.
            _ => return Err(command.expected(0).into()),
        }
        Ok(())
    }

    fn obey_store(&mut self, command: &Matched<'_>) -> Result<(), ConfigError> {
        let path = command.value(1, text)?;
        let size = command.value(3, Octets::parse)?;
        let size = command.bounded(3, size, STORE)?.0;
        self.store.path = path;
        // The default is 0, so that it is equal however it was said.
        self.store.size = if size == STORE_DEFAULT_OCTETS {
            0
        } else {
            size
        };
        Ok(())
    }

    fn obey_device(&mut self, command: &Matched<'_>) -> Result<(), ConfigError> {
        let name = command.value(1, value::name)?;
        let device = match command.row().phrase {
            Phrase::LinePhone => Device::Phone(command.value(3, address)?),
            _ => Device::Serial {
                path: command.value(3, |word| {
                    text(word).filter(|path: &super::Path| !path.is_empty())
                })?,
                speed: match command.optional(5) {
                    Some(_) => {
                        let speed = command.value(5, value::count)?;
                        command.bounded(5, speed, SPEED)?
                    }
                    None => Line::SPEED,
                },
            },
        };
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.device = device;
            return Ok(());
        }
        let line = Line::new(name, device);
        let full = ConfigError::TooManyLines { limit: LINES };
        self.lines.push(line).map_err(|_| full)
    }

    fn obey_user_add(&mut self, command: &Matched<'_>) -> Result<(), ConfigError> {
        let name = command.value(2, value::name)?;
        if matches!(name.as_str(), "add" | "delete") {
            return Err(ConfigError::ReservedName(name));
        }
        if self.user(&name).is_some() {
            return Err(ConfigError::DuplicateUser(name));
        }
        let user = User::new(name, secret(command, 4)?);
        let full = ConfigError::TooManyUsers { limit: USERS };
        self.users.push(user).map_err(|_| full)
    }

    fn line_mut(&mut self, command: &Matched<'_>, at: usize) -> Result<&mut Line, ConfigError> {
        let name = command.value(at, value::name)?;
        let line = self.lines.iter_mut().find(|line| line.name == name);
        line.ok_or(ConfigError::UnknownLine(name))
    }

    fn user_mut(&mut self, command: &Matched<'_>, at: usize) -> Result<&mut User, ConfigError> {
        let name = command.value(at, value::name)?;
        let user = self.users.iter_mut().find(|user| user.name == name);
        user.ok_or(ConfigError::UnknownUser(name))
    }
}

fn source(command: &Matched<'_>) -> Result<Source, ConfigError> {
    let url = command.word(3);
    let begins = |scheme: &str| {
        let start = url.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if begins(Scheme::Maildir.prefix()) {
        return Err(command.too_long(4).into());
    }
    let schemes = [Scheme::Pop3, Scheme::Pop3s, Scheme::Imap, Scheme::Imaps];
    let scheme = schemes
        .into_iter()
        .find(|scheme| begins(scheme.prefix()))
        .ok_or_else(|| command.expected(3))?;
    let rest = url.get(scheme.prefix().len()..).unwrap_or_default();
    let (rest, mailbox) = rest.split_once('/').unwrap_or((rest, ""));
    let mailbox = text(mailbox).filter(|_| scheme.is_imap() || mailbox.is_empty());
    let host_and_port = value::host_and_port(rest).filter(|(_, port)| *port != Some(0));
    let (Some((host, port)), Some(mailbox)) = (host_and_port, mailbox) else {
        return Err(command.expected(3).into());
    };
    Ok(Source {
        scheme,
        host,
        port: port.unwrap_or(scheme.port()),
        mailbox,
        login: command.value(5, |word| {
            text(word).filter(|login: &String<128>| !login.is_empty())
        })?,
        password: secret(command, 7)?,
    })
}

/// A Maildir on this machine: `maildir:/PATH`.
fn maildir(command: &Matched<'_>) -> Result<Source, ConfigError> {
    let prefix = Scheme::Maildir.prefix();
    let word = command.word(3);
    let path = match word.split_at_checked(prefix.len()) {
        Some((start, path)) if start.eq_ignore_ascii_case(prefix) => path,
        // Another URL wants a login.
        _ => return Err(command.unfinished().into()),
    };
    let absolute = text(path).filter(|_| path.starts_with('/'));
    Ok(Source {
        scheme: Scheme::Maildir,
        host: absolute.ok_or_else(|| command.expected(3))?,
        port: Scheme::Maildir.port(),
        mailbox: String::new(),
        login: String::new(),
        password: Secret::new("").unwrap_or_default(),
    })
}

fn secret(command: &Matched<'_>, at: usize) -> Result<Secret, ConfigError> {
    let word = command.word(at);
    if word == Secret::MASK {
        return Err(ConfigError::MaskedSecret);
    }
    let length = ConfigError::SecretLength {
        limit: SECRET_OCTETS,
        got: word.len(),
    };
    Secret::new(word).filter(|_| !word.is_empty()).ok_or(length)
}

fn radio(command: &Matched<'_>) -> Result<Radio, ConfigError> {
    let ssid = |word| text(word).filter(|ssid: &String<32>| !ssid.is_empty());
    let radio = Radio {
        ssid: command.value(1, ssid)?,
        password: secret(command, 3)?,
    };
    match is_passphrase(radio.password.reveal()) {
        true => Ok(radio),
        false => Err(ConfigError::Passphrase),
    }
}

/// What a station may make a key of, or the key (IEEE 802.11-2020, J.4.1).
fn is_passphrase(text: &str) -> bool {
    let printable = |octet| matches!(octet, b' '..=b'~');
    match text.len() {
        8..=63 => text.bytes().all(printable),
        64 => text.bytes().all(|octet| octet.is_ascii_hexdigit()),
        _ => false,
    }
}

fn numbers(
    command: &Matched<'_>,
    from: usize,
) -> Result<Vec<String<NUMBER_OCTETS>, NUMBERS>, ConfigError> {
    let mut numbers = Vec::new();
    for (nth, _) in command.words_from(from).enumerate() {
        let number = command.value(from + nth, value::number)?;
        let full = ConfigError::TooManyNumbers { limit: NUMBERS };
        numbers.push(number).map_err(|_| full)?;
    }
    Ok(numbers)
}

fn start(command: &Matched<'_>, at: usize) -> Result<Start, Fault> {
    match command.word(at) {
        "all" => Ok(Start::All),
        "new" => Ok(Start::New),
        _ => {
            let days = command.value(at, |word| {
                value::count(word.strip_suffix('d').filter(|digits| !digits.is_empty())?)
            })?;
            let days = command.bounded(at, days, DAYS)?;
            let days = u16::try_from(days).map_err(|_| command.expected(at))?;
            Ok(Start::Days(days))
        }
    }
}

fn choice<T: Choosable>(command: &Matched<'_>, at: usize) -> Result<T, Fault> {
    command.value(at, T::named)
}

fn small(command: &Matched<'_>, at: usize, bounds: (u32, u32)) -> Result<u8, Fault> {
    let count = command.value(at, value::count)?;
    let count = command.bounded(at, count, bounds)?;
    u8::try_from(count).map_err(|_| command.expected(at))
}

fn span(command: &Matched<'_>, at: usize, bounds: (Duration, Duration)) -> Result<Duration, Fault> {
    let span = command.value(at, value::duration)?;
    command.bounded(at, span, bounds)
}

fn text<const N: usize>(word: &str) -> Option<String<N>> {
    String::try_from(word).ok()
}

/// `Area/City`, or the long form of POSIX with its rules.
fn zone(word: &str) -> Option<String<64>> {
    let good = |octet: u8| octet.is_ascii_alphanumeric() || b"/_+-,.:<>".contains(&octet);
    text(word).filter(|_| !word.is_empty() && word.bytes().all(good))
}

/// A host, and a port if it is not that of every time server.
fn time_server(word: &str) -> Option<String<HOST_OCTETS>> {
    let (host, port) = value::host_and_port(word)?;
    text(word).filter(|_| !host.is_empty() && port != Some(0))
}

/// Two letters, small ones too.
fn country(word: &str) -> Option<String<2>> {
    let letters = word.len() == 2 && word.bytes().all(|octet| octet.is_ascii_alphabetic());
    let mut country: String<2> = text(word).filter(|_| letters)?;
    country.make_ascii_uppercase();
    Some(country)
}

fn address(word: &str) -> Option<String<64>> {
    let (_, port) = value::host_and_port(word)?;
    text(word).filter(|_| port.is_some())
}
