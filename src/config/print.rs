//! Printing: the commands that recreate a configuration.
//!
//! Only what differs from a new [`Config`] is printed, so that a later default reaches those who
//! never chose. Reading the listing gives the same configuration again.

use core::fmt::{self, Write};

use heapless::String;

use super::value::{Octets, Span, Times};
use super::words::Quoted;
use super::{
    Answering, Choosable, Config, Device, LINE_OCTETS, Limits, Line, Network, Poll, ReadAtDesk,
    STORE_DEFAULT_OCTETS, Scheme, Secret, Source, Start, User,
};

/// Whether secrets are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// As `********`, which is refused when it is read.
    Masked,
    /// As they are.
    Shown,
}

impl Config {
    /// Writes command `n`, from 0, of the listing into `out`, in place of what it held, without a
    /// line end; returns false where the listing has ended.
    pub fn line(&self, n: usize, secrets: Secrets, out: &mut String<LINE_OCTETS>) -> bool {
        out.clear();
        let mut count = 0;
        self.commands(secrets, &mut |command| {
            if count == n {
                // No command is read that would not fit: `Words::split` counts its octets.
                let _ = out.write_fmt(command);
            }
            count += 1;
        });
        n < count
    }

    /// Octets of the whole listing with secrets, a LF after each command: what `save` needs.
    #[must_use]
    pub fn text_octets(&self) -> usize {
        let mut counter = Counter(0);
        self.commands(Secrets::Shown, &mut |command| {
            let _ = counter.write_fmt(command);
            counter.0 += 1;
        });
        counter.0
    }

    /// Gives every command of the listing, in order.
    fn commands(&self, secrets: Secrets, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let default = Self::new();
        if self.hostname != default.hostname {
            put(format_args!("hostname {}", self.hostname));
        }
        if self.store != default.store {
            let size = match self.store.size {
                0 => STORE_DEFAULT_OCTETS,
                size => size,
            };
            put(format_args!(
                "store {} size {}",
                Quoted(&self.store.path),
                Octets(size)
            ));
        }
        if self.timezone != default.timezone {
            put(format_args!("timezone {}", self.timezone));
        }
        if !self.time_server.is_empty() {
            put(format_args!("ntp {}", self.time_server));
        }
        match &self.network {
            Network::Machine => {}
            Network::Dhcp => put(format_args!("net dhcp")),
            Network::Static {
                address,
                gateway,
                dns,
            } => put(format_args!(
                "net static {address} gateway {gateway} dns {dns}"
            )),
        }
        if !self.country.is_empty() {
            put(format_args!("wifi country {}", self.country));
        }
        if let Some(radio) = &self.radio {
            put(format_args!(
                "wifi {} password {}",
                Quoted(&radio.ssid),
                Password(&radio.password, secrets)
            ));
        }
        self.limits.commands(put);
        if let Some(password) = &self.console_password {
            put(format_args!(
                "console password {}",
                Password(password, secrets)
            ));
        }
        for line in &self.lines {
            line.commands(put);
        }
        for user in &self.users {
            user.commands(secrets, put);
        }
    }
}

impl Limits {
    fn commands(&self, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let default = Self::default();
        if self.login_failures != default.login_failures {
            put(format_args!("limit login-failures {}", self.login_failures));
        }
        if self.idle != default.idle {
            put(format_args!("limit idle {}", Span(self.idle)));
        }
        if self.call != default.call {
            put(format_args!("limit call {}", Span(self.call)));
        }
    }
}

impl Line {
    fn commands(&self, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let name = &self.name;
        match &self.device {
            Device::Serial {
                path,
                speed: Self::SPEED,
            } => {
                put(format_args!("line {name} device {}", Quoted(path)));
            }
            Device::Serial { path, speed } => {
                put(format_args!(
                    "line {name} device {} speed {speed}",
                    Quoted(path)
                ));
            }
            Device::Phone(address) => put(format_args!("line {name} phone {address}")),
        }
        if self.rings != Self::RINGS {
            put(format_args!("line {name} rings {}", self.rings));
        }
        if self.carrier != Default::default() {
            put(format_args!("line {name} carrier {}", self.carrier.word()));
        }
        if self.modem != Default::default() {
            put(format_args!("line {name} modem {}", self.modem.word()));
        }
        match self.answer {
            Answering::Always => {}
            Answering::Never => put(format_args!("line {name} answer never")),
            Answering::Between(from, to) => put(format_args!(
                "line {name} answer {}-{}",
                Times(&[from]),
                Times(&[to])
            )),
        }
        if !self.distinctive.is_empty() {
            put(format_args!("line {name} distinctive {}", self.distinctive));
        }
        if !self.init.is_empty() {
            put(format_args!("line {name} init {}", Quoted(&self.init)));
        }
        if !self.allow.is_empty() {
            put(format_args!("line {name} allow{}", Numbers(&self.allow)));
        }
        if !self.deny.is_empty() {
            put(format_args!("line {name} deny{}", Numbers(&self.deny)));
        }
    }
}

impl User {
    fn commands(&self, secrets: Secrets, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let name = &self.name;
        put(format_args!(
            "user add {name} password {}",
            Password(&self.password, secrets)
        ));
        if let Some(source) = &self.source {
            let url = QuotedUrl(source);
            let password = Password(&source.password, secrets);
            let login = Quoted(&source.login);
            match source.scheme {
                Scheme::Maildir => put(format_args!("user {name} source {url}")),
                _ => put(format_args!(
                    "user {name} source {url} login {login} password {password}"
                )),
            }
        }
        self.security.commands(name, put);
        self.poll_commands(put);
        match self.read_at_desk {
            ReadAtDesk::Drop => {}
            ReadAtDesk::Notice => put(format_args!("user {name} read-at-desk notice")),
            ReadAtDesk::Mark(mark) => put(format_args!(
                "user {name} read-at-desk mark {}",
                mark.word()
            )),
        }
        if self.taken_by != Default::default() {
            put(format_args!(
                "user {name} taken-by {}",
                self.taken_by.word()
            ));
        }
        if self.commit != Default::default() {
            put(format_args!("user {name} commit {}", self.commit.word()));
        }
        if self.seen != Default::default() {
            put(format_args!("user {name} seen {}", self.seen.word()));
        }
        match self.start {
            Start::All => {}
            Start::New => put(format_args!("user {name} start new")),
            Start::Days(days) => put(format_args!("user {name} start {days}d")),
        }
        if self.consumes != Default::default() {
            put(format_args!(
                "user {name} consumes {}",
                self.consumes.word()
            ));
        }
        if self.large != Default::default() {
            put(format_args!("user {name} large {}", self.large.word()));
        }
        if self.order != Default::default() {
            put(format_args!("user {name} order {}", self.order.word()));
        }
        if let Some(share) = self.share {
            put(format_args!("user {name} share {share}"));
        }
    }

    fn poll_commands(&self, put: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let (name, poll) = (&self.name, &self.poll);
        let mut default = Poll::default();
        match poll.every {
            every if every == default.every => {}
            Some(every) => put(format_args!("user {name} poll every {}", Span(every))),
            None => {
                // The only way to no interval also ends the other two; they are said after it.
                put(format_args!("user {name} poll off"));
                default.at_login = None;
            }
        }
        if !poll.at.is_empty() {
            put(format_args!("user {name} poll at {}", Times(&poll.at)));
        }
        match poll.at_login {
            budget if budget == default.at_login => {}
            Some(budget) => put(format_args!("user {name} poll at-login {}", Span(budget))),
            None => put(format_args!("user {name} poll at-login off")),
        }
    }
}

struct Password<'a>(&'a Secret, Secrets);

impl fmt::Display for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Secrets::Masked => f.write_str(Secret::MASK),
            Secrets::Shown => Quoted(self.0.reveal()).fmt(f),
        }
    }
}

struct Numbers<'a, const N: usize>(&'a [String<N>]);

impl<const N: usize> fmt::Display for Numbers<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|number| write!(f, " {}", Quoted(number)))
    }
}

/// The URL of a source, in quotes where the name of its mailbox needs them.
struct QuotedUrl<'a>(&'a Source);

impl fmt::Display for QuotedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = String::<LINE_OCTETS>::new();
        write!(url, "{}", Url(self.0))?;
        Quoted(&url).fmt(f)
    }
}

/// The URL of a source, its port only where it is not the protocol's own.
struct Url<'a>(&'a Source);

impl fmt::Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source {
            scheme,
            host,
            port,
            mailbox,
            ..
        } = self.0;
        if *scheme == Scheme::Maildir {
            return write!(f, "{}{host}", scheme.prefix());
        }
        match host.contains(':') {
            true => write!(f, "{}[{host}]", scheme.prefix())?,
            false => write!(f, "{}{host}", scheme.prefix())?,
        }
        if *port != scheme.port() {
            write!(f, ":{port}")?;
        }
        if !mailbox.is_empty() {
            write!(f, "/{mailbox}")?;
        }
        Ok(())
    }
}

struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}
