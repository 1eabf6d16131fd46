//! One line's calls: the modem hands the line to POP3 and takes it back.
//!
//! ```text
//! modem: ready -> rings -> answering -> connected          hanging up -> ready
//!                                          |                   ^
//! pop3:                                    greeting .. QUIT ---+--- carrier lost, unplugged,
//!                                                                   limits, operator
//! ```
//!
//! It also knows when what was sent has reached the caller, as far as anyone can: the kernel's
//! queue is empty, and the modem has had the time to send what it may still hold at the speed of
//! the line (`Air`). `QUIT` waits for that (design 2.7).

use core::fmt;

use hal::{Circuit, Duration, Instant};

use crate::hayes::{self, Connect, Modem};
use crate::link::Link;
use crate::pop3::command::{Initial, Login};
use crate::pop3::server::{Proof, Response};
use crate::pop3::{Maildrop, server};
use crate::sasl::Mechanism;

/// What a modem may hold back when its DTE has nothing left to send: V.42 modems have buffers of
/// 1 to 4 KiB towards the line; with flow control on they take more from us only below half.
const MODEM_OCTETS: u64 = 2048;

/// Speed of the line while the modem has not told it: slow enough for any modem that keeps quiet.
const UNTOLD_RATE: u32 = 2400;

/// From the last octet's leaving the modem, as far as can be reckoned, to what relies on its
/// having arrived: a commit at `QUIT`, and hanging up. It is on its way so long at most, and a
/// carrier lost meanwhile is seen (circuit 109 is looked at every 250 ms). A caller whose answers
/// have always come sooner is known to be nearer, and waits no longer than it took.
const FLIGHT: Duration = Duration::from_millis(500);

/// A line, and the call on it if there is one.
#[derive(Debug)]
pub struct Session {
    modem: Modem,
    call: Option<Call>,
}

/// What a session tells its owner, or asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
pub enum Event {
    /// Something of the modem alone. `Dtr`, `DiscardOutput` and `Reopen` are to be done.
    Modem(hayes::Event),
    /// A caller is on the line.
    Began(Connect),
    /// A caller says who it is: the visit may start.
    User(Login),
    /// A caller has proven, or not, who it is: answer by [`Session::admit`] or
    /// [`Session::refuse`].
    Proof {
        /// Who; empty if that can be nobody.
        login: Login,
        /// By what.
        proof: Proof,
    },
    /// A caller wants to prove it by a mechanism: answer by [`Session::challenge`],
    /// [`Session::admit`] or [`Session::refuse`].
    Auth {
        /// By which.
        mechanism: Mechanism,
        /// What came with the wish.
        initial: Option<Initial>,
    },
    /// What a caller says to a challenge: answer as before.
    Response(Response),
    /// The call has ended; its maildrop must be closed. The line is hung up without being asked.
    Ended(Ended),
}

/// A call that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// How long it was.
    pub lasted: Duration,
    /// Octets from the caller.
    pub received: u64,
    /// Octets to the caller that the port took.
    pub sent: u64,
    /// Speed of the line in bit/s, where the modem told it.
    pub rate: Option<u32>,
    /// How much of what the line could have carried to the caller was sent, in percent. More than
    /// 100 where the modem compresses. `None` where nobody told how fast the line was.
    pub line_use: Option<u32>,
}

/// Why a call has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// As POP3 would have it.
    Pop3(server::EndReason),
    /// The caller is gone.
    CarrierLost(hayes::Loss),
    /// The modem is gone.
    Unplugged,
    /// The operator, or the end of the program.
    HungUp,
}

#[derive(Debug)]
struct Call {
    server: server::Server,
    began: Instant,
    rate: Option<u32>,
    air: Air,
    /// The link's count of octets received when the call began.
    received: u64,
}

impl Session {
    /// The sessions of a line whose device has just been opened.
    #[must_use]
    pub fn new(options: hayes::Options) -> Self {
        Self {
            modem: Modem::new(options),
            call: None,
        }
    }

    /// One step. `dcd` is what the port says of circuit 109, `maildrop` the one that was opened
    /// before [`admit`](Self::admit).
    pub fn step<D: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        dcd: Circuit,
        options: &Options<'_>,
        mut maildrop: Option<&mut D>,
    ) -> Option<Event> {
        if let Some(event) = self.modem.step(now, link, dcd) {
            return Some(self.modem_event(now, link, options, event));
        }
        if !self.modem.online() {
            return None;
        }
        loop {
            let call = self.call.as_mut()?;
            call.air.observe(now, link);
            let drained = call.air.is_drained(now, link, call.flight());
            let server = &mut call.server;
            match server.step(now, link, drained, maildrop.as_deref_mut())? {
                server::Event::User(login) => return Some(Event::User(login)),
                server::Event::Proof { login, proof } => {
                    return Some(Event::Proof { login, proof });
                }
                server::Event::Auth { mechanism, initial } => {
                    return Some(Event::Auth { mechanism, initial });
                }
                server::Event::Response(response) => return Some(Event::Response(response)),
                server::Event::Sent { number, octets } => {
                    log::debug!("message {number} is on the line: {octets} octets");
                }
                server::Event::Ended(reason) => {
                    let event = self.end(now, link, EndReason::Pop3(reason));
                    self.modem.hang_up(now);
                    return event;
                }
            }
        }
    }

    /// The maildrop is open: the caller may have it.
    pub fn admit(&mut self, now: Instant, link: &mut Link, expire_zero: bool) {
        if let Some(call) = &mut self.call {
            call.server.admit(now, link, expire_zero);
        }
    }

    /// The caller is to answer this challenge, base64.
    pub fn challenge(&mut self, now: Instant, link: &mut Link, line: &str) {
        if let Some(call) = &mut self.call {
            call.server.challenge(now, link, line);
        }
    }

    /// The caller may not have a maildrop.
    pub fn refuse(&mut self, now: Instant, link: &mut Link, refusal: server::Refusal) {
        if let Some(call) = &mut self.call {
            call.server.refuse(now, link, refusal);
        }
    }

    /// Ends the call, if there is one, and hangs up.
    pub fn hang_up(&mut self, now: Instant, link: &Link) -> Option<Event> {
        let event = self.end(now, link, EndReason::HungUp);
        self.modem.hang_up(now);
        event
    }

    /// Whether calls are answered from now on.
    pub fn set_answering(&mut self, answers: bool) {
        self.modem.set_answering(answers);
    }

    /// Answers now, whoever rings.
    pub fn answer(&mut self, now: Instant) {
        self.modem.answer(now);
    }

    /// The device is gone.
    pub fn line_closed(&mut self, now: Instant, link: &Link) -> Option<Event> {
        self.modem.line_closed(now);
        self.end(now, link, EndReason::Unplugged)
    }

    /// The device is there again.
    pub fn reopened(&mut self, now: Instant) {
        self.modem.reopened(now);
    }

    /// When to step though nothing came.
    #[must_use]
    pub fn deadline(&self, now: Instant, link: &Link) -> Option<Instant> {
        let modem = self.modem.deadline();
        let Some(call) = &self.call else {
            return modem;
        };
        let server = call.server.deadline();
        let air = call.air.deadline(now, link, call.flight());
        modem.into_iter().chain(server).chain(air).min()
    }

    /// What the line is doing.
    #[must_use]
    pub fn status(&self) -> hayes::Status {
        self.modem.state()
    }

    /// Whether stepping makes a message ready that the caller asked for.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        let call = self.call.as_ref().filter(|_| self.modem.online());
        call.is_some_and(|call| call.server.is_opening())
    }

    /// Whether stepping puts a message on the line.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        let call = self.call.as_ref().filter(|_| self.modem.online());
        call.is_some_and(|call| call.server.is_sending())
    }

    /// Whether a caller is on the line.
    #[must_use]
    pub fn in_call(&self) -> bool {
        self.call.is_some()
    }

    /// Whether the line is taken: a caller is there, or is being hung up on.
    #[must_use]
    pub fn is_engaged(&self) -> bool {
        self.call.is_some() || self.modem.online()
    }

    /// What the modem tells, with what it means for the call.
    fn modem_event(
        &mut self,
        now: Instant,
        link: &mut Link,
        options: &Options<'_>,
        event: hayes::Event,
    ) -> Event {
        match event {
            hayes::Event::Connected(connect) => {
                link.begin_line();
                strip_noise(link);
                let mut server = server::Server::new(now, options.server);
                server.greet(now, link, options.hostname, options.stamp);
                self.call = Some(Call {
                    server,
                    began: now,
                    rate: connect.rate,
                    air: Air::new(now, link, connect.rate.unwrap_or(UNTOLD_RATE)),
                    received: link.received(),
                });
                Event::Began(connect)
            }
            hayes::Event::CarrierLost(loss) => {
                let verdict = self.call.as_ref().and_then(|call| call.server.verdict());
                let reason = verdict.map_or(EndReason::CarrierLost(loss), EndReason::Pop3);
                self.end(now, link, reason).unwrap_or(Event::Modem(event))
            }
            other => Event::Modem(other),
        }
    }

    fn end(&mut self, now: Instant, link: &Link, reason: EndReason) -> Option<Event> {
        let mut call = self.call.take()?;
        call.air.observe(now, link);
        let lasted = now - call.began;
        Some(Event::Ended(Ended {
            reason,
            rate: call.rate,
            line_use: call
                .rate
                .and_then(|rate| line_use(rate, lasted, call.air.passed)),
            lasted,
            received: link.received().saturating_sub(call.received),
            sent: call.air.passed,
        }))
    }
}

/// Takes off what modems without error correction leave of their own negotiation, and line noise
/// of the first moments: up to its last octet that no line of POP3 has, and on to a letter. What a
/// caller sent ahead stays as it is, where no noise came with it.
fn strip_noise(link: &mut Link) {
    let octets = link.peek();
    let is_noise = |octet: &u8| !matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    let Some(last) = octets.iter().rposition(is_noise) else {
        return;
    };
    let behind = octets.iter().skip(last + 1);
    let junk = behind.take_while(|octet| !octet.is_ascii_alphabetic());
    let count = last + 1 + junk.count();
    link.consume(count);
}

impl Call {
    /// How long what was sent last may be on its way, as far as that matters now.
    fn flight(&self) -> Duration {
        if self.server.is_ending() {
            self.air.flight()
        } else {
            Duration::ZERO
        }
    }
}

/// What a session must know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Options<'c> {
    /// The name in the greeting.
    pub hostname: &'c str,
    /// The timestamp in the greeting of the next call, for `APOP`; never used twice.
    pub stamp: &'c str,
    /// Limits of a call.
    pub server: server::Options,
}

/// The line as a pipe of known speed: when has what was sent reached the other end?
#[derive(Clone, Copy, Debug)]
struct Air {
    /// Octets a second.
    rate: u64,
    /// The link's count of octets sent, at the last look.
    sent: u64,
    /// Octets of this call that the port took.
    passed: u64,
    /// When the modem will have sent all that it was given.
    free_at: Instant,
    /// The link's count of octets received, at the last look.
    received: u64,
    /// Something was sent since the caller spoke last.
    asked: bool,
    /// The longest time in this call from our last octet to the caller's next one. Half of it at
    /// the most is the way of an octet.
    turnaround: Option<Duration>,
}

impl Air {
    /// A line of `rate` bit/s: ten bits an octet.
    fn new(now: Instant, link: &Link, rate: u32) -> Self {
        Self {
            rate: u64::from(rate / 10).max(1),
            sent: link.sent(),
            passed: 0,
            free_at: now,
            received: link.received(),
            asked: false,
            turnaround: None,
        }
    }

    fn observe(&mut self, now: Instant, link: &Link) {
        let passed = link.sent().saturating_sub(self.sent);
        self.sent = link.sent();
        self.passed += passed;
        let heard = link.received() != self.received;
        self.received = link.received();
        // Who speaks before all was said has not waited for it, and tells nothing of the way.
        if heard && passed == 0 && self.asked && link.unsent() == 0 && now >= self.free_at {
            let took = now.since(self.free_at);
            self.turnaround = Some(self.turnaround.unwrap_or(took).max(took));
        }
        self.asked = passed > 0 || (self.asked && !heard);
        if passed > 0 {
            self.free_at = self.free_at.max(now) + self.time_of(passed);
        }
        let latest = now + self.time_of(link.unsent() as u64 + MODEM_OCTETS);
        self.free_at = self.free_at.min(latest);
    }

    /// How long the last octet may be on its way.
    fn flight(&self) -> Duration {
        self.turnaround.map_or(FLIGHT, |time| time.min(FLIGHT))
    }

    fn is_drained(&self, now: Instant, link: &Link, flight: Duration) -> bool {
        link.unsent() == 0 && now >= self.free_at + flight
    }

    /// The kernel does not tell when its queue is empty, nor the modem: look when it may be.
    fn deadline(&self, now: Instant, link: &Link, flight: Duration) -> Option<Instant> {
        if self.is_drained(now, link, flight) {
            return None;
        }
        if link.unsent() == 0 {
            return Some(self.free_at + flight);
        }
        // What the link itself holds goes when the port takes it, and that wakes us.
        let kernel = link.unsent() - link.output().len();
        (kernel > 0).then(|| now + self.time_of(kernel as u64).max(LOOK_EVERY))
    }

    fn time_of(&self, octets: u64) -> Duration {
        Duration::from_micros(octets.saturating_mul(1_000_000) / self.rate)
    }
}

/// What `octets` are, in percent of what a line of `rate` bit/s carries in `lasted`.
fn line_use(rate: u32, lasted: Duration, octets: u64) -> Option<u32> {
    let carried = u128::from(rate / 10) * lasted.as_millis();
    let percent = (u128::from(octets) * 100_000).checked_div(carried)?;
    Some(u32::try_from(percent).unwrap_or(u32::MAX))
}

/// No oftener than this is the kernel asked whether its queue is empty.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pop3(reason) => write!(f, "{reason}"),
            Self::CarrierLost(loss) => write!(f, "carrier lost: {loss}"),
            Self::Unplugged => f.write_str("the modem is gone"),
            Self::HungUp => f.write_str("hung up here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_23_noise_is_taken_off_and_what_was_sent_ahead_is_not() {
        for (came, kept) in [
            (&b""[..], &b""[..]),
            (b"USER a\r\nPASS b\r\n", b"USER a\r\nPASS b\r\n"),
            (b"\r\n", b"\r\n"),
            (b"~{", b"~{"),
            (b"\x11\x91\x11\x91", b""),
            (b"~~\xff\0{", b""),
            (b"\xff\r\nUSER a\r\n", b"USER a\r\n"),
            (b"x\x80 }CAPA\r\nQU", b"CAPA\r\nQU"),
        ] {
            let mut link = Link::new();
            link.feed(came);
            strip_noise(&mut link);
            assert_eq!(link.peek(), kept, "{}", came.escape_ascii());
        }
    }
}
