//! A virtual Hayes modem: the DCE's end of a line, without any I/O.
//!
//! ```text
//! DTE  -- from_dte -->  +-----+  -- to_line ---->  the far end: a TCP connection,
//!      <-- to_dte ----  | Dce |  <-- from_line --  or a simulated caller
//!        DTR, DCD, RI   +-----+  call, far_hang_up, dialled / Event
//! ```
//!
//! It knows what a gateway and its tests need of V.250: result codes in words and numbers, echo,
//! the registers, answering by hand or by itself, the escape with its guard time, hanging up by
//! DTR. Octets pass at the speed of the line, and come out after its latency (see `pipe.rs`).
//!
//! Whoever owns it moves octets and calls [`Dce::step`] until it gives `None`, then sleeps until
//! octets come or [`Dce::deadline`]. All buffers are bounded: what is not taken comes again.

mod command;
mod command_state;
mod pipe;
mod profile;

use heapless::{Deque, String, Vec};

use crate::modem::Circuit;
use crate::time::{Duration, Instant};
use command_state::Answer;
pub use pipe::PIPE_OCTETS;
use pipe::Pipe;
use profile::Profile;

/// A telephone number, or an address in its place.
pub type Number = String<64>;

/// From one RING to the next.
const RING_CYCLE: Duration = Duration::from_secs(6);
/// The part of it in which the bell rings.
const RING_ON: Duration = Duration::from_secs(2);
/// The longest command line.
const COMMAND_OCTETS: usize = 128;
/// Echo and result codes not taken by the DTE yet.
const ANSWER_OCTETS: usize = 1024;
/// More than the answers to one octet of a command.
const ANSWER_ROOM: usize = 256;

/// How a virtual modem is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DceOptions {
    /// Speed of the line, bit/s; 0: as fast as octets are taken.
    pub speed: u32,
    /// How much later octets come out.
    pub latency: Duration,
    /// From answering to `CONNECT`.
    pub training: Duration,
    /// What stands after `CONNECT`; may be empty.
    pub connect: String<48>,
    /// Whether `D` gives an [`Event::Dial`]; otherwise it gives `NO CARRIER`.
    pub dial: bool,
}

impl Default for DceOptions {
    fn default() -> Self {
        Self {
            speed: 0,
            latency: Duration::ZERO,
            training: Duration::ZERO,
            connect: String::try_from("33600").unwrap_or_default(),
            dial: false,
        }
    }
}

/// What the owner of a virtual modem has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The incoming call was answered: octets may pass.
    Answered,
    /// This end has hung up, and all that had passed the line was taken: end the far end's
    /// connection.
    HungUp,
    /// Call this number, and say [`Dce::dialled`].
    Dial(Number),
}

/// What became of a call that was dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialled {
    /// The far end has answered.
    Connected,
    /// It is busy.
    Busy,
    /// It does not answer.
    NoAnswer,
    /// There is no way to it.
    NoCarrier,
}

/// The engine.
#[derive(Debug)]
pub struct Dce {
    options: DceOptions,
    profile: Profile,
    state: State,
    /// The far end has hung up; what it had sent is still coming.
    lost: bool,
    /// This end has hung up; what had passed the line has not been taken yet.
    closing: bool,
    dtr: bool,
    carrier: bool,
    line: Vec<u8, COMMAND_OCTETS>,
    /// The command line is too long.
    overflow: bool,
    last: Vec<u8, COMMAND_OCTETS>,
    answers: Deque<u8, ANSWER_OCTETS>,
    events: Deque<Event, 8>,
    to_line: Pipe,
    from_line: Pipe,
    now: Instant,
}

#[derive(Clone, Debug)]
enum State {
    OnHook,
    /// A call comes in.
    Ringing {
        number: Option<Number>,
        count: u8,
        next: Instant,
    },
    /// The owner was asked to dial.
    Dialling,
    /// The modems are finding each other.
    Training {
        due: Instant,
        incoming: bool,
    },
    /// Octets pass.
    Data(Guard),
    /// The carrier is there, and commands are taken.
    OnlineCommand,
}

/// Watches what the DTE sends for the escape.
#[derive(Clone, Copy, Debug)]
struct Guard {
    /// When the DTE sent something else, or when the data state began.
    quiet_since: Instant,
    /// How many escape characters have come since, and when the last did.
    count: u8,
    last: Instant,
}

impl Dce {
    /// A modem on hook, as its factory set it, with DTR on.
    #[must_use]
    pub const fn new(options: DceOptions) -> Self {
        let to_line = Pipe::new(options.speed, options.latency);
        let from_line = Pipe::new(options.speed, options.latency);
        Self {
            options,
            profile: Profile::factory(),
            state: State::OnHook,
            lost: false,
            closing: false,
            dtr: true,
            carrier: false,
            line: Vec::new(),
            overflow: false,
            last: Vec::new(),
            answers: Deque::new(),
            events: Deque::new(),
            to_line,
            from_line,
            now: Instant::ZERO,
        }
    }

    /// Does what time asks for.
    pub fn step(&mut self, now: Instant) -> Option<Event> {
        self.tick(now);
        self.events.pop_front()
    }

    /// Takes octets from the DTE; returns how many. The others are to be offered again.
    pub fn from_dte(&mut self, now: Instant, octets: &[u8]) -> usize {
        self.tick(now);
        let mut taken = 0;
        while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
            let n = match self.state {
                State::Data(guard) => self.data(now, guard, rest),
                _ if ANSWER_OCTETS - self.answers.len() < ANSWER_ROOM => 0,
                _ => {
                    self.key(now, rest.first().copied().unwrap_or_default());
                    1
                }
            };
            if n == 0 {
                break;
            }
            taken += n;
        }
        taken
    }

    /// Moves what the DTE is to receive into `buf`; returns how much.
    pub fn to_dte(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        self.tick(now);
        let mut n = 0;
        loop {
            let before = n;
            while let Some(slot) = buf.get_mut(n) {
                let Some(octet) = self.answers.pop_front() else {
                    break;
                };
                *slot = octet;
                n += 1;
            }
            if matches!(self.state, State::Data(_)) && self.answers.is_empty() {
                n += self
                    .from_line
                    .take(now, buf.get_mut(n..).unwrap_or_default());
                self.tick(now);
            }
            if n == before {
                return n;
            }
        }
    }

    /// Takes octets that the far end sends; returns how many. None before `CONNECT`.
    pub fn from_line(&mut self, now: Instant, octets: &[u8]) -> usize {
        self.tick(now);
        if self.lost || !matches!(self.state, State::Data(_) | State::OnlineCommand) {
            return 0;
        }
        self.from_line.put(now, octets)
    }

    /// Moves what the far end is to receive into `buf`; returns how much.
    pub fn to_line(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        self.tick(now);
        let n = self.to_line.take(now, buf);
        self.tick(now);
        n
    }

    /// Somebody calls. False if the line is busy.
    pub fn call(&mut self, now: Instant, number: Option<&str>) -> bool {
        self.tick(now);
        if !matches!(self.state, State::OnHook) || self.closing {
            return false;
        }
        self.state = State::Ringing {
            number: number.and_then(|number| Number::try_from(number).ok()),
            count: 0,
            next: now,
        };
        self.tick(now);
        true
    }

    /// The far end hangs up. What it has sent still comes out, then `NO CARRIER`.
    pub fn far_hang_up(&mut self, now: Instant) {
        self.tick(now);
        self.closing = false;
        self.to_line.clear();
        match self.state {
            State::OnHook => {}
            State::Ringing { .. } => self.on_hook(),
            State::Dialling | State::Training { .. } => {
                self.on_hook();
                self.answer(Answer::NoCarrier);
            }
            State::Data(_) | State::OnlineCommand => self.lost = true,
        }
        self.tick(now);
    }

    /// What became of an [`Event::Dial`]. Ignored if the DTE has given up meanwhile.
    pub fn dialled(&mut self, now: Instant, result: Dialled) {
        self.tick(now);
        if !matches!(self.state, State::Dialling) {
            return;
        }
        let answer = match result {
            Dialled::Connected => return self.train(now, false),
            Dialled::Busy => Answer::Busy,
            Dialled::NoAnswer => Answer::NoAnswer,
            Dialled::NoCarrier => Answer::NoCarrier,
        };
        self.on_hook();
        self.answer(answer);
    }

    /// Circuit 108/2, as the DTE sets it.
    pub fn set_dtr(&mut self, now: Instant, on: bool) {
        self.tick(now);
        let fell = core::mem::replace(&mut self.dtr, on) && !on;
        if !fell {
            return;
        }
        match self.profile.dtr {
            0 => {}
            1 => {
                if matches!(self.state, State::Data(_)) {
                    self.state = State::OnlineCommand;
                    self.answer(Answer::Ok);
                }
            }
            mode => {
                if mode >= 3 {
                    self.profile = Profile::factory();
                }
                if self.in_call() {
                    self.hang_up(now);
                    self.answer(Answer::NoCarrier);
                }
            }
        }
    }

    /// Circuit 109, data carrier detect.
    #[must_use]
    pub fn dcd(&self) -> Circuit {
        if self.carrier || self.profile.carrier == 0 {
            Circuit::On
        } else {
            Circuit::Off
        }
    }

    /// Circuit 125, ring indicator, as of the last call of any method with the time.
    #[must_use]
    pub fn ring_indicator(&self) -> Circuit {
        match &self.state {
            // The next ring is a cycle after the last one.
            State::Ringing { next, .. } if next.since(self.now) > RING_CYCLE - RING_ON => {
                Circuit::On
            }
            _ => Circuit::Off,
        }
    }

    /// Throws away what came from the DTE and the far end has not taken.
    pub fn discard_output(&mut self, now: Instant) {
        self.to_line.clear();
        self.tick(now);
    }

    /// How many octets came from the DTE that the far end has not taken.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.to_line.len()
    }

    /// How many octets the DTE has not read yet, those included that are still on their way to it.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.answers.len() + self.from_line.len()
    }

    /// Whether this end has hung up, and [`Event::HungUp`] waits only for what is on its way to the
    /// far end to be taken.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// When to step, or to take octets, though nothing came. What waits for somebody to take it
    /// has no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            State::Ringing { next, .. } => Some(*next),
            State::Training { due, .. } => Some(*due),
            State::Data(guard) if guard.count == 3 => Some(guard.last + self.guard_time()),
            _ => None,
        };
        let loss = self.from_line.last_exit().filter(|_| self.lost);
        let pipes = self
            .to_line
            .next_exit()
            .into_iter()
            .chain(self.from_line.next_exit());
        let pending = pipes.chain(loss).filter(|exit| *exit > self.now);
        pending.chain(state).min()
    }

    /// All that happens by itself up to `now`.
    fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if matches!(self.state, State::Ringing { next, .. } if next <= now) {
            self.ring(now);
        }
        match self.state {
            State::Training { due, .. } if due <= now => self.connected(now),
            State::Data(guard) if guard.count == 3 && guard.last + self.guard_time() <= now => {
                self.state = State::OnlineCommand;
                self.answer(Answer::Ok);
            }
            _ => {}
        }
        if self.lost {
            let all_out = self.from_line.last_exit().is_none_or(|exit| exit <= now);
            self.carrier &= !all_out;
            // In command state the DTE reads no data any more.
            let nobody_reads = !matches!(self.state, State::Data(_));
            if self.from_line.is_empty() || (all_out && nobody_reads) {
                self.on_hook();
                self.answer(Answer::NoCarrier);
            }
        }
        if self.closing && self.to_line.is_empty() {
            self.closing = false;
            self.tell(Event::HungUp);
        }
    }

    fn ring(&mut self, now: Instant) {
        let State::Ringing {
            number,
            count,
            next,
        } = &mut self.state
        else {
            return;
        };
        *count = count.saturating_add(1);
        *next = now + RING_CYCLE;
        let (count, number) = (*count, number.clone());
        self.answer(Answer::Ring);
        if count == 1 && self.profile.caller_id {
            self.text(format_args!("NMBR = {}", number.as_deref().unwrap_or("P")));
        }
        let wanted = self.profile.register(0);
        let ready = self.dtr || self.profile.dtr == 0;
        if wanted > 0 && count >= wanted && ready {
            self.train(now, true);
        }
    }

    fn train(&mut self, now: Instant, incoming: bool) {
        let due = now + self.options.training;
        self.state = State::Training { due, incoming };
        self.tick(now);
    }

    fn connected(&mut self, now: Instant) {
        if matches!(self.state, State::Training { incoming: true, .. }) {
            self.tell(Event::Answered);
        }
        self.to_line.clear();
        self.from_line.clear();
        self.lost = false;
        self.carrier = true;
        self.answer(Answer::Connect);
        self.data_state(now);
    }

    fn data_state(&mut self, now: Instant) {
        self.state = State::Data(Guard {
            quiet_since: now,
            count: 0,
            last: now,
        });
    }

    /// Data from the DTE. Returns how many octets were taken.
    fn data(&mut self, now: Instant, mut guard: Guard, octets: &[u8]) -> usize {
        if self.lost {
            return octets.len();
        }
        let escape = self.profile.register(2);
        // No more than the line takes at once is looked at.
        let octets = octets
            .get(..octets.len().min(PIPE_OCTETS))
            .unwrap_or_default();
        // Most pieces have none in them, and whether is known faster than where.
        let first = match escape < 128 && octets.contains(&escape) {
            true => octets.iter().position(|&octet| octet == escape),
            false => None,
        };
        let first = first.unwrap_or(octets.len());
        if first > 0 {
            let n = self
                .to_line
                .put(now, octets.get(..first).unwrap_or_default());
            if n > 0 {
                guard.quiet_since = now;
                guard.count = 0;
            }
            self.state = State::Data(guard);
            return n;
        }
        if self.to_line.put(now, &[escape]) == 0 {
            return 0;
        }
        let time = self.guard_time();
        let goes_on = match guard.count {
            0 => now.since(guard.quiet_since) >= time,
            1 | 2 => time.is_zero() || now.since(guard.last) < time,
            _ => false,
        };
        guard.count = if goes_on { guard.count + 1 } else { 0 };
        guard.last = now;
        if !goes_on {
            guard.quiet_since = now;
        }
        self.state = State::Data(guard);
        1
    }

    /// This end hangs up. A call that only rings goes on ringing.
    fn hang_up(&mut self, now: Instant) {
        if !self.in_call() {
            return;
        }
        self.to_line.cut(now);
        self.closing = !self.lost;
        self.on_hook();
        self.tick(now);
    }

    fn on_hook(&mut self) {
        self.state = State::OnHook;
        self.lost = false;
        self.carrier = false;
        self.from_line.clear();
    }

    fn in_call(&self) -> bool {
        !matches!(self.state, State::OnHook | State::Ringing { .. })
    }

    /// The pause before and after the escape.
    fn guard_time(&self) -> Duration {
        Duration::from_millis(20) * u32::from(self.profile.register(12))
    }

    fn tell(&mut self, event: Event) {
        // An owner that takes no events has ended with this modem.
        let _ = self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests;
