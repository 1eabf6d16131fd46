//! The engine of one modem line.
//!
//! It owns the line's link whenever no caller is on it. While [`Modem::online`], what comes is the
//! caller's: step the modem before each line that is read, so that it sees a `NO CARRIER` first.
//!
//! Nothing here gives up. A modem that answers nothing is woken, then rescued from a state of data
//! or voice in which a crash may have left it, then its device is reopened, at growing distances.
//! A RING is kept in every state, and answered as soon as the modem can take `ATA`.

mod hang_up;
mod initialise;
mod wake;

use core::mem;

use hal::{Circuit, Duration, Instant};
use heapless::Deque;

use super::command::{self, Script};
use super::result::{self, Connect, ResultCode};
use super::ringing::{Ringing, Verdict, is_among};
use super::watch::Watch;
use super::{Event, Failure, Fault, Loss, Number, Options, Protocol, Status};
use crate::config::{Carrier, ModemKind};
use crate::link::{LINK_OCTETS, Link};
use hang_up::HangUp;
use initialise::Part;

/// DTR stays off as long to reset a modem at the start, and on before the first command.
const WAKE: Duration = Duration::from_millis(500);
/// Hayes's guard time is one second; a little more on both sides of the escape.
const GUARD: Duration = Duration::from_millis(1100);
/// For the answer to `ATH0`.
const HOOK_PATIENCE: Duration = Duration::from_secs(2);
/// Times that `AT` is sent before something else is tried.
const PROBES: u8 = 3;
/// From `ATA` to `CONNECT`.
const ANSWER: Duration = Duration::from_secs(80);
/// After `CONNECT`: modems that just met may still send noise, and a slow caller misses a greeting.
const SETTLE: Duration = Duration::from_millis(400);
/// The same, where the modems correct errors: no noise comes through, and they have met for long.
const SETTLE_CORRECTED: Duration = Duration::from_millis(100);
/// Modems have died in silence: ask now and then.
const CHECK: Duration = Duration::from_secs(3600);
/// A bare cable's circuit is looked at so often.
const CABLE_LOOK: Duration = Duration::from_secs(1);
/// For the answer to that.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);
/// For the session to say what became of a reopening.
const REOPEN: Duration = Duration::from_secs(30);
/// What one step may do: each turn takes an octet off the link or changes the state.
const TURNS: usize = LINK_OCTETS + 64;
/// Events of one turn, and of the calls between two steps.
const EVENTS: usize = 8;

/// The engine.
#[derive(Debug)]
pub struct Modem {
    options: Options,
    state: State,
    ringing: Ringing,
    events: Deque<Event, EVENTS>,
    /// Outages since the line was ready last.
    failures: u8,
    /// A refusal has been told of since the device was opened.
    warned: bool,
    /// What is known of callers' numbers since the modem was reset.
    numbers: Numbers,
    /// The call that is answered is so by the operator's word.
    forced: bool,
    /// What the modem's escape character was set to.
    escape: u8,
    /// What is left of a line that was too long is thrown away up to its end.
    skipping: bool,
    /// What the modem said it is.
    found: ModemKind,
    /// Calls are answered now; else they are only told of.
    answers: bool,
    /// Circuit 109 at the last look at a bare cable.
    cable: Circuit,
}

#[derive(Debug)]
enum State {
    /// The device has just been opened.
    Starting,
    /// DTR is off, then on.
    Waking { dtr: bool, due: Instant },
    /// `AT` was sent.
    Probing {
        attempt: u8,
        rescues: u8,
        due: Instant,
    },
    /// `AT` was sent at another speed.
    Searching {
        place: usize,
        attempt: u8,
        due: Instant,
    },
    /// The modem may be in data or voice state.
    Rescuing {
        escape: Escape,
        rescues: u8,
        due: Instant,
    },
    /// The modem is told how to behave.
    Initialising {
        script: Script,
        part: Part,
        due: Instant,
    },
    /// Ready.
    Idle { check: Instant },
    /// Ready; `AT` was sent to see whether the modem is.
    Checking { attempt: u8, due: Instant },
    /// `ATA` was sent.
    Answering {
        rings: u8,
        rate: Option<u32>,
        protocol: Protocol,
        due: Instant,
    },
    /// `CONNECT` came.
    Settling {
        connect: Connect,
        carrier_seen: bool,
        /// The LF of the line `CONNECT` may still come.
        line_feed: bool,
        due: Instant,
    },
    /// The link is the caller's.
    Online(Watch),
    /// The call is to end.
    HangingUp {
        attempt: u8,
        part: HangUp,
        due: Instant,
    },
    /// The device is gone, or is to be reopened.
    Closed { due: Instant },
    /// The session was asked to reopen the device.
    Reopening { due: Instant },
}

/// Whether the modem tells callers' numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Numbers {
    /// It was not asked.
    Unknown,
    /// It knows none of the commands.
    Refused,
    /// It took this one.
    By(&'static str),
}

/// On the way into command state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// Nothing is sent, for the guard time.
    Before,
    /// The escape was sent; nothing again.
    After,
    /// `ATH0` was sent.
    Hook,
}

impl Modem {
    /// The engine of a line whose device has just been opened.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            state: State::Starting,
            ringing: Ringing::default(),
            events: Deque::new(),
            failures: 0,
            warned: false,
            numbers: Numbers::Unknown,
            forced: false,
            escape: command::PLUS,
            skipping: false,
            found: ModemKind::Auto,
            answers: true,
            cable: Circuit::Unknown,
        }
    }

    /// Takes a step. `dcd` is what the port says of circuit 109 right now.
    pub fn step(&mut self, now: Instant, link: &mut Link, dcd: Circuit) -> Option<Event> {
        for _ in 0..TURNS {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if !self.turn(now, link, dcd) {
                return None;
            }
        }
        None
    }

    /// The call is to end. Without one, nothing happens.
    pub fn hang_up(&mut self, now: Instant) {
        match self.state {
            State::Answering { .. } => {
                self.tell(Event::NotConnected(Failure::HungUp));
                self.end_call(now, false);
            }
            State::Settling { .. } | State::Online(_) => self.end_call(now, false),
            _ => {}
        }
    }

    /// Whether calls are answered from now on.
    pub fn set_answering(&mut self, answers: bool) {
        self.answers = answers;
    }

    /// Takes the call now, whether or not anything rings and whoever calls: lines without a bell
    /// have to be told.
    pub fn answer(&mut self, now: Instant) {
        if !self.busy() {
            self.ringing.force(now);
        }
    }

    /// The stream gave an error, or could not be reopened: the device is gone.
    pub fn line_closed(&mut self, now: Instant) {
        // A device that is known to be gone is gone until it is reopened.
        if !matches!(self.state, State::Closed { .. }) {
            self.out_of_order(now, Fault::Closed);
        }
    }

    /// The device is open again.
    pub fn reopened(&mut self, _now: Instant) {
        self.skipping = false;
        self.warned = false;
        self.found = ModemKind::Auto;
        self.enter(State::Starting);
    }

    /// When to step though nothing came.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let due = match &self.state {
            State::Starting => Some(Instant::ZERO),
            State::Online(watch) => return watch.deadline(),
            State::Idle { .. } if self.is_to_answer() => Some(Instant::ZERO),
            // While it rings nothing is checked.
            State::Idle { .. } if self.ringing.rings() => None,
            State::Idle { check } => Some(*check),
            State::Waking { due, .. }
            | State::Probing { due, .. }
            | State::Searching { due, .. }
            | State::Rescuing { due, .. }
            | State::Initialising { due, .. }
            | State::Checking { due, .. }
            | State::Answering { due, .. }
            | State::Settling { due, .. }
            | State::HangingUp { due, .. }
            | State::Closed { due }
            | State::Reopening { due } => Some(*due),
        };
        due.into_iter().chain(self.ringing.expiry()).min()
    }

    /// Whether the octets on the link belong to the caller now. In a call it may be false for
    /// some seconds: while it is, nobody may read or write the link.
    #[must_use]
    pub fn online(&self) -> bool {
        matches!(&self.state, State::Online(watch) if !watch.holds())
    }

    /// What the line is doing.
    #[must_use]
    pub fn state(&self) -> Status {
        match self.state {
            State::Closed { .. } | State::Reopening { .. } => Status::Closed,
            State::Starting
            | State::Waking { .. }
            | State::Probing { .. }
            | State::Searching { .. }
            | State::Rescuing { .. } => Status::Probing,
            State::Initialising { .. } => Status::Initialising,
            State::Idle { .. } | State::Checking { .. } if self.ringing.rings() => Status::Ringing,
            State::Idle { .. } | State::Checking { .. } => Status::Ready,
            State::Answering { .. } | State::Settling { .. } => Status::Answering,
            State::Online(_) => Status::Online,
            State::HangingUp { .. } => Status::HangingUp,
        }
    }

    /// One thing that is to be done now; false if there is none.
    fn turn(&mut self, now: Instant, link: &mut Link, dcd: Circuit) -> bool {
        if let Some(missed) = self.ringing.expire(now) {
            if !missed.refused {
                if let Some(name) = missed.name {
                    self.tell(Event::Name(name));
                }
                self.tell(Event::Missed {
                    rings: missed.rings,
                    number: missed.number,
                });
            }
            return true;
        }
        let (direct, due_call) = (self.is_direct(), self.is_to_answer());
        match &mut self.state {
            State::Online(watch) => {
                let Some(loss) = watch.step(now, link, dcd) else {
                    return false;
                };
                self.tell(Event::CarrierLost(loss));
                self.end_call(now, loss == Loss::Text);
                return true;
            }
            State::Settling {
                carrier_seen,
                line_feed,
                ..
            } => {
                *carrier_seen |= dcd == Circuit::On;
                if mem::replace(line_feed, link.peek().is_empty() && *line_feed)
                    && link.peek().first() == Some(&b'\n')
                {
                    link.consume(1);
                }
            }
            State::Idle { .. } if direct => {
                if self.cable_call(now, link, dcd) {
                    return true;
                }
            }
            State::Idle { .. } if due_call => {
                self.take_call(now, link);
                return true;
            }
            State::HangingUp {
                part: HangUp::Escaping(_),
                ..
            } if dcd == Circuit::Off => {
                self.hung_up(now);
                return true;
            }
            _ => {
                if let Some(code) = self.code(link) {
                    self.heard(now, link, code);
                    return true;
                }
            }
        }
        if self.due().is_some_and(|due| due <= now) {
            self.waited(now, link, dcd);
            return true;
        }
        false
    }

    /// When the state has waited long enough.
    fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Idle { check } => (!self.ringing.rings()).then_some(*check),
            State::Online(_) => None,
            _ => self.deadline(),
        }
    }

    /// The next line from the modem. In a state of ours every octet is taken off sooner or later.
    fn code(&mut self, link: &mut Link) -> Option<ResultCode> {
        loop {
            let scan = result::scan(link.peek());
            if scan.used == 0 {
                return None;
            }
            link.consume(scan.used);
            let skipped = mem::replace(&mut self.skipping, scan.too_long);
            if scan.code.is_some() && !skipped {
                return scan.code;
            }
        }
    }

    /// The modem said something.
    fn heard(&mut self, now: Instant, link: &mut Link, code: ResultCode) {
        let busy = self.busy();
        match code {
            ResultCode::Ring(number) if !busy => return self.rang(now, number),
            ResultCode::StyledRing(style) if !busy => {
                self.ringing.style(style);
                return self.rang(now, None);
            }
            ResultCode::Number(number) if !busy => return self.ringing.number(now, number),
            ResultCode::Name(name) if !busy => return self.ringing.name(name),
            _ => {}
        }
        match self.state {
            State::Probing { .. } if code == ResultCode::Ok => {
                self.go_on(now, Script::whole());
            }
            State::Searching { place, .. } if code == ResultCode::Ok => {
                self.found_at(now, place);
            }
            State::Rescuing {
                escape: Escape::Hook,
                rescues,
                ..
            } if matches!(code, ResultCode::Ok | ResultCode::NoCarrier) => {
                self.probe(now, link, 1, rescues);
            }
            State::Initialising { script, part, .. } => {
                self.answered(now, script, part, code);
            }
            State::Idle { .. } => {
                if let ResultCode::Connect(connect) = code {
                    self.settle(now, connect);
                }
            }
            State::Checking { .. } => match code {
                ResultCode::Ok => self.idle(now),
                ResultCode::Connect(connect) => self.settle(now, connect),
                _ => {}
            },
            State::Answering { .. } => self.answering(now, link, code),
            State::HangingUp { attempt, part, due } => match (part, code) {
                (HangUp::Dtr { .. }, ResultCode::NoCarrier) => {
                    let part = HangUp::Dtr { told: true };
                    self.enter(State::HangingUp { attempt, part, due });
                }
                (
                    HangUp::Escaping(Escape::Hook),
                    // Some modems take it for an error to hang up twice.
                    ResultCode::Ok | ResultCode::NoCarrier | ResultCode::Error,
                ) => self.hung_up(now),
                _ => {}
            },
            _ => {}
        }
    }

    /// The modem said `RING`.
    fn rang(&mut self, now: Instant, number: Option<Number>) {
        let (count, number) = self.ringing.ring(now, number);
        self.tell(Event::Ring { count, number });
        if self.ringing.verdict(&self.options) == Verdict::Refuse {
            let number = self.ringing.refuse();
            self.tell(Event::Refused { number });
        }
    }

    /// What the modem says while it answers a call.
    fn answering(&mut self, now: Instant, link: &mut Link, code: ResultCode) {
        let State::Answering {
            rings,
            rate,
            protocol,
            ..
        } = &mut self.state
        else {
            return;
        };
        match code {
            ResultCode::Ring(_) | ResultCode::StyledRing(_) => {
                // One may have crossed our ATA; with the second, the modem has not taken it.
                *rings += 1;
                if *rings >= 2 {
                    *rings = 0;
                    say(link, command::ANSWER);
                }
            }
            ResultCode::Rate(told) => *rate = Some(told),
            ResultCode::Protocol(told) => *protocol = protocol.and(told),
            ResultCode::Connect(mut connect) => {
                connect.rate = rate.or(connect.rate);
                connect.protocol = connect.protocol.and(*protocol);
                self.settle(now, connect);
            }
            ResultCode::Code(code) if code >= 10 => {
                let mut connect = result::connect_by_number(code);
                connect.rate = *rate;
                connect.protocol = *protocol;
                self.settle(now, connect);
            }
            ResultCode::NoCarrier
            | ResultCode::NoAnswer
            | ResultCode::Busy
            | ResultCode::NoDialTone => self.not_connected(now, Failure::NoCarrier),
            ResultCode::Error => self.not_connected(now, Failure::Refused),
            ResultCode::NotData => {
                self.tell(Event::NotConnected(Failure::NotData));
                self.end_call(now, false);
            }
            // It comes after the first ring in many countries, and crosses our ATA.
            ResultCode::Number(number) => {
                if !self.forced && is_among(&self.options.deny, &number) {
                    let number = Some(number);
                    self.tell(Event::Refused { number });
                    return self.end_call(now, false);
                }
                self.tell(Event::Number(number));
            }
            ResultCode::Name(name) => self.tell(Event::Name(name)),
            // OK before CONNECT is no end.
            ResultCode::Ok | ResultCode::Kind(_) | ResultCode::Code(_) | ResultCode::Other => {}
        }
    }

    /// The state's time is over.
    fn waited(&mut self, now: Instant, link: &mut Link, dcd: Circuit) {
        match self.state {
            State::Starting if self.is_direct() => {
                link.clear();
                self.tell(Event::Dtr(true));
                self.ready(now);
            }
            State::Starting => {
                link.discard_output();
                self.tell(Event::Dtr(false));
                let due = now + WAKE;
                self.enter(State::Waking { dtr: false, due });
            }
            State::Waking { dtr: false, .. } => {
                self.tell(Event::Dtr(true));
                let due = now + WAKE;
                self.enter(State::Waking { dtr: true, due });
            }
            State::Waking { dtr: true, .. } => self.probe(now, link, 1, 0),
            State::Probing {
                attempt, rescues, ..
            } => self.unanswered(now, link, attempt, rescues),
            State::Searching { place, attempt, .. } => {
                self.search(now, link, place, attempt + 1);
            }
            State::Rescuing {
                escape, rescues, ..
            } => self.rescue(now, link, escape, rescues),
            State::Initialising { script, part, .. } => self.tell_modem(now, link, script, part),
            State::Idle { .. } if self.is_direct() => self.idle(now),
            State::Idle { .. } => {
                say(link, command::ATTENTION);
                let due = now + CHECK_PATIENCE;
                self.enter(State::Checking { attempt: 1, due });
            }
            State::Checking { .. } if self.is_to_answer() => {
                self.take_call(now, link);
            }
            State::Checking { attempt: 1, .. } => {
                say(link, command::ATTENTION);
                let due = now + CHECK_PATIENCE;
                self.enter(State::Checking { attempt: 2, due });
            }
            State::Checking { .. } => self.probe(now, link, 1, 0),
            State::Answering { .. } => {
                self.tell(Event::NotConnected(Failure::Timeout));
                self.end_call(now, false);
            }
            State::Settling {
                ref connect,
                carrier_seen,
                ..
            } => {
                let connect = connect.clone();
                let carrier = match self.options.carrier {
                    // Nobody says NO CARRIER at the end of a cable but whoever types it.
                    Carrier::Auto if self.is_direct() && dcd == Circuit::Unknown => Carrier::None,
                    Carrier::Auto if self.is_direct() && carrier_seen => Carrier::Dcd,
                    Carrier::Auto if self.is_direct() => Carrier::None,
                    carrier => carrier,
                };
                let watch = Watch::new(now, carrier, connect.numeric, carrier_seen);
                self.tell(Event::Connected(connect));
                self.enter(State::Online(watch));
            }
            // It waits by itself.
            State::Online(_) => {}
            State::HangingUp { attempt, part, .. } => {
                self.end(now, link, dcd, attempt, part);
            }
            State::Closed { .. } | State::Reopening { .. } => {
                self.tell(Event::Reopen);
                let due = now + REOPEN;
                self.enter(State::Reopening { due });
            }
        }
    }

    /// Tells the modem to take the call.
    fn take_call(&mut self, now: Instant, link: &mut Link) {
        self.forced = self.ringing.is_forced();
        self.rings_no_more();
        say(link, command::ANSWER);
        self.tell(Event::Answering);
        self.enter(State::Answering {
            rings: 0,
            rate: None,
            protocol: Protocol::default(),
            due: now + ANSWER,
        });
    }

    /// The call that rang is answered. Who calls may have been told since the last ring, or while
    /// the call before it was hung up.
    fn rings_no_more(&mut self) {
        let (number, name) = self.ringing.forget();
        if let Some(number) = number {
            self.tell(Event::Number(number));
        }
        if let Some(name) = name {
            self.tell(Event::Name(name));
        }
    }

    fn settle(&mut self, now: Instant, connect: Connect) {
        self.rings_no_more();
        let settle = if connect.protocol.is_corrected() {
            SETTLE_CORRECTED
        } else {
            SETTLE
        };
        self.enter(State::Settling {
            connect,
            carrier_seen: false,
            line_feed: true,
            due: now + settle,
        });
    }

    fn not_connected(&mut self, now: Instant, failure: Failure) {
        self.tell(Event::NotConnected(failure));
        self.go_on(now, Script::between_calls());
    }

    fn idle(&mut self, now: Instant) {
        // Nothing tells that a cable's other end was switched on, but the circuit when asked.
        let check = now + if self.is_direct() { CABLE_LOOK } else { CHECK };
        self.enter(State::Idle { check });
    }

    /// Whether somebody at the other end of a bare cable wants something, and takes the call then:
    /// octets came, or the circuit that was off is on.
    fn cable_call(&mut self, now: Instant, link: &mut Link, dcd: Circuit) -> bool {
        let is_end = |octet: &&u8| matches!(octet, b'\r' | b'\n');
        let blank = link.peek().iter().take_while(is_end).count();
        let woken = self.ringing.rings() || !link.peek().is_empty();
        let risen = self.cable == Circuit::Off && dcd == Circuit::On;
        self.cable = dcd;
        if !woken && !risen {
            return false;
        }
        // Whoever only pressed return means no command.
        link.consume(blank);
        self.settle(
            now,
            Connect {
                rate: (self.options.speed > 0).then_some(self.options.speed),
                text: heapless::String::try_from("direct").unwrap_or_default(),
                ..Connect::default()
            },
        );
        true
    }

    fn is_direct(&self) -> bool {
        self.options.modem == ModemKind::Direct
    }

    /// What the modem is, as told or as found out.
    fn kind(&self) -> ModemKind {
        match self.options.modem {
            ModemKind::Auto => self.found,
            told => told,
        }
    }

    /// Whether the call that rings is to be answered now.
    fn is_to_answer(&self) -> bool {
        let due = self.ringing.verdict(&self.options) == Verdict::Answer;
        due && (self.answers || self.ringing.is_forced())
    }

    /// Whether a RING is not a new call's.
    fn busy(&self) -> bool {
        matches!(
            self.state,
            State::Answering { .. }
                | State::Settling { .. }
                | State::Online(_)
                | State::Closed { .. }
                | State::Reopening { .. }
        )
    }

    fn tell(&mut self, event: Event) {
        // At most four a turn; the session may add three by its own calls between two steps.
        let told = self.events.push_back(event);
        debug_assert!(told.is_ok(), "events are taken after every turn");
    }

    fn enter(&mut self, state: State) {
        log::debug!("{:?} -> {:?}", self.state, state);
        self.state = state;
    }
}

/// Sends a command. Only CR ends it: some modems take a LF behind `ATA` for a key that was pressed.
fn say(link: &mut Link, command: &str) {
    link.put(command.as_bytes());
    link.put(b"\r");
}
