//! A telephone line: the gateway's modem at one end, a caller at the other.
//!
//! ```text
//! gateway -- Port: kernel queues -- Dce: the modem -- line, paced -- Caller
//!            V.24 circuits, or none                    counts octets, may cut
//! ```
//!
//! The kernel queues what the modem has no room for, and the modem holds some KiB, as real ones
//! do: that a write was taken says nothing of what has reached the caller.

use core::cell::RefCell;
use core::fmt;
use std::boxed::Box;
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

use super::world::Clock;
use crate::dce::{Dce, DceOptions, Event};
use crate::modem::{Circuit, ModemPort};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};

/// Room of each of the kernel's queues.
const KERNEL_OCTETS: usize = 4096;
/// What the modem holds back towards the line.
const MODEM_OCTETS: usize = 2048;

/// Whoever calls: stepped whenever something may have changed for it.
pub trait Caller {
    /// Does what there is to do now.
    fn step(&mut self, now: Instant, line: &mut Line);

    /// When to step though nothing came.
    fn deadline(&self) -> Option<Instant>;
}

/// How far a call is, as the caller sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nobody calls.
    #[default]
    Idle,
    /// It rings at the other end.
    Ringing,
    /// Octets pass.
    Connected,
    /// It is over, whoever ended it.
    Ended,
}

/// Which octets are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    /// What the caller receives.
    Caller,
    /// What the caller sends.
    Gateway,
}

/// How a call is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The line goes dead: the modem sees that carrier is lost.
    CarrierLoss,
    /// The modem is unplugged, and plugged in again so much later.
    Unplugging(Duration),
    /// The modem is wedged, for so long unless somebody resets it.
    Wedging(Duration),
}

/// A cut that will come, in the call under way or the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutAfter {
    /// Octets of which direction.
    pub toward: Toward,
    /// After how many of them.
    pub octets: u64,
    /// How.
    pub by: By,
}

/// The line with all that belongs to it.
pub struct Line {
    options: DceOptions,
    dce: Dce,
    /// The port has circuit 109.
    circuits: bool,
    /// From the modem to the gateway, in the kernel.
    rx: VecDeque<u8>,
    /// From the gateway to the modem, in the kernel.
    tx: VecDeque<u8>,
    /// The last read gave nothing.
    starved: bool,
    /// The last write took less than it was offered.
    blocked: bool,
    /// The port that was opened is gone.
    closed: bool,
    /// There is no modem before then.
    unplugged_until: Option<Instant>,
    /// The modem is wedged before then: it takes all, says nothing, and drives its circuits as they
    /// were.
    wedged_until: Option<Instant>,
    /// Another program has the device before then.
    taken_until: Option<Instant>,
    /// Octets from the gateway in the modem and on the line.
    in_modem: usize,
    phase: Phase,
    incoming: VecDeque<u8>,
    outgoing: VecDeque<u8>,
    reads: bool,
    received: u64,
    sent: u64,
    cut: Option<CutAfter>,
    caller: Option<Box<dyn Caller>>,
    clock: Clock,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(options: DceOptions, circuits: bool, clock: Clock) -> Self {
        Self {
            dce: Dce::new(options.clone()),
            options,
            circuits,
            rx: VecDeque::new(),
            tx: VecDeque::new(),
            starved: false,
            blocked: false,
            closed: false,
            unplugged_until: None,
            wedged_until: None,
            taken_until: None,
            in_modem: 0,
            phase: Phase::Idle,
            incoming: VecDeque::new(),
            outgoing: VecDeque::new(),
            reads: true,
            received: 0,
            sent: 0,
            cut: None,
            caller: None,
            clock,
        }
    }

    /// Puts somebody at the far end; whoever was there is gone.
    pub fn seat(&mut self, caller: Box<dyn Caller>) {
        self.far_end_closes();
        self.phase = Phase::Idle;
        self.caller = Some(caller);
    }

    /// The next call will be cut so.
    pub fn cut_after(&mut self, cut: CutAfter) {
        self.cut = Some(cut);
    }

    /// Calls. Returns whether it rings; else the line is busy, or there is no modem.
    pub fn dial(&mut self, number: Option<&str>) -> bool {
        let now = self.clock.now();
        (self.received, self.sent, self.reads) = (0, 0, true);
        self.incoming.clear();
        self.outgoing.clear();
        let works = self.unplugged_until.is_none() && self.wedged_until.is_none();
        let rings = works && self.dce.call(now, number);
        self.phase = if rings { Phase::Ringing } else { Phase::Ended };
        rings
    }

    /// A call that came to nothing is forgotten.
    pub fn rest(&mut self) {
        if self.phase == Phase::Ended {
            self.phase = Phase::Idle;
        }
    }

    /// Sends `octets`, as fast as the line takes them.
    pub fn send(&mut self, octets: &[u8]) {
        self.outgoing.extend(octets);
    }

    /// All that has come since the last call of this.
    pub fn receive(&mut self) -> Vec<u8> {
        self.incoming.drain(..).collect()
    }

    /// The caller hangs up, or its carrier is lost: for the gateway it is the same.
    pub fn hang_up(&mut self) {
        self.far_end_closes();
        self.phase = Phase::Ended;
    }

    /// The caller's end takes no more octets: flow control holds everything up.
    pub fn stop_reading(&mut self) {
        self.reads = false;
    }

    /// The modem is wedged for so long, or until it is reset or unplugged; a call on it ends.
    pub fn wedge(&mut self, lasting: Duration) {
        self.dce = Dce::new(self.options.clone());
        self.in_modem = 0;
        if matches!(self.phase, Phase::Ringing | Phase::Connected) {
            self.phase = Phase::Ended;
        }
        self.wedged_until = Some(self.clock.now() + lasting);
    }

    /// The modem is gone for so long; a call on it ends.
    pub fn unplug(&mut self, lasting: Duration) {
        self.wedged_until = None;
        self.unplugged_until = Some(self.clock.now() + lasting);
        self.dce = Dce::new(self.options.clone());
        self.closed = true;
        self.rx.clear();
        self.tx.clear();
        self.in_modem = 0;
        if matches!(self.phase, Phase::Ringing | Phase::Connected) {
            self.phase = Phase::Ended;
        }
    }

    /// Another program holds the device for so long: it cannot be opened.
    pub fn take_by_another(&mut self, lasting: Duration) {
        self.taken_until = Some(self.clock.now() + lasting);
    }

    /// Whether another program holds the device.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.taken_until
            .is_some_and(|until| until > self.clock.now())
    }

    /// Whether a call would ring now.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Ended)
    }

    /// How far the call is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Octets of the call that the caller received, and sent.
    #[must_use]
    pub fn octets(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// The virtual clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Whether the gateway must be woken.
    pub(super) fn is_due(&self) -> bool {
        let comes = self.starved && (self.closed || !self.rx.is_empty());
        let goes = self.blocked && (self.closed || self.tx.len() < KERNEL_OCTETS);
        comes || goes
    }

    /// That it closed is told once, as poll(2) is asked only once about a descriptor that nobody
    /// touches any more.
    pub(super) fn told(&mut self) {
        if self.closed {
            (self.starved, self.blocked) = (false, false);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let caller = self.caller.as_ref().and_then(|caller| caller.deadline());
        let modem = self.dce.deadline();
        let modem = modem.filter(|_| self.wedged_until.is_none());
        let faults = self.unplugged_until.into_iter().chain(self.wedged_until);
        caller.into_iter().chain(modem).chain(faults).min()
    }

    /// Moves everything that can move now.
    pub(super) fn pump(&mut self) {
        let now = self.clock.now();
        if self.unplugged_until.is_some_and(|until| until <= now) {
            self.unplugged_until = None;
        }
        if self.wedged_until.is_some_and(|until| until <= now) {
            self.wedged_until = None;
        }
        loop {
            let mut moved = self.pump_modem(now);
            moved |= self.pump_far_end(now);
            if self.cut.is_some_and(|cut| self.is_reached(cut)) {
                self.cut_now();
                moved = true;
            }
            let before = (self.outgoing.len(), self.phase);
            if let Some(mut caller) = self.caller.take() {
                caller.step(now, self);
                self.caller.get_or_insert(caller);
            }
            moved |= before != (self.outgoing.len(), self.phase);
            if !moved {
                return;
            }
        }
    }

    fn pump_modem(&mut self, now: Instant) -> bool {
        if self.wedged_until.is_some() {
            self.tx.clear();
            return false;
        }
        let mut moved = false;
        while let Some(event) = self.dce.step(now) {
            moved = true;
            self.in_modem = 0;
            match event {
                Event::Answered => self.phase = Phase::Connected,
                Event::HungUp => self.phase = Phase::Ended,
                Event::Dial(_) => {}
            }
        }
        let room = match self.phase {
            Phase::Connected => MODEM_OCTETS.saturating_sub(self.in_modem),
            Phase::Idle | Phase::Ringing | Phase::Ended => usize::MAX,
        };
        let octets: Vec<u8> = self.tx.iter().copied().take(room).collect();
        let taken = self.dce.from_dte(now, &octets);
        self.tx.drain(..taken);
        self.in_modem += taken;
        let mut buf = [0; KERNEL_OCTETS];
        let room = KERNEL_OCTETS.saturating_sub(self.rx.len());
        let count = self
            .dce
            .to_dte(now, buf.get_mut(..room).unwrap_or_default());
        self.rx.extend(buf.iter().take(count));
        moved || taken > 0 || count > 0
    }

    fn pump_far_end(&mut self, now: Instant) -> bool {
        if self.wedged_until.is_some() {
            return false;
        }
        // A caller who has gone takes nothing, and holds nothing up.
        let gone = self.phase != Phase::Connected || self.dce.dcd() == Circuit::Off;
        let mut count = 0;
        if self.reads || gone {
            let mut buf = [0; KERNEL_OCTETS];
            let room = self.room(Toward::Caller, self.received, buf.len());
            count = self
                .dce
                .to_line(now, buf.get_mut(..room).unwrap_or_default());
            self.in_modem = self.in_modem.saturating_sub(count);
            if self.phase == Phase::Connected {
                self.received += count as u64;
                self.incoming.extend(buf.iter().take(count));
            }
        }
        let room = self.room(Toward::Gateway, self.sent, KERNEL_OCTETS);
        let octets: Vec<u8> = self.outgoing.iter().copied().take(room).collect();
        let taken = self.dce.from_line(now, &octets);
        self.outgoing.drain(..taken);
        self.sent += taken as u64;
        count > 0 || taken > 0
    }

    /// How many octets may pass before the cut.
    fn room(&self, toward: Toward, passed: u64, most: usize) -> usize {
        match self.cut {
            Some(cut) if cut.toward == toward => {
                let left = usize::try_from(cut.octets.saturating_sub(passed));
                left.unwrap_or(usize::MAX).min(most)
            }
            _ => most,
        }
    }

    fn is_reached(&self, cut: CutAfter) -> bool {
        let passed = match cut.toward {
            Toward::Caller => self.received,
            Toward::Gateway => self.sent,
        };
        self.phase == Phase::Connected && passed >= cut.octets
    }

    fn cut_now(&mut self) {
        let Some(cut) = self.cut.take() else {
            return;
        };
        match cut.by {
            By::CarrierLoss => self.hang_up(),
            By::Unplugging(lasting) => self.unplug(lasting),
            By::Wedging(lasting) => self.wedge(lasting),
        }
    }

    fn far_end_closes(&mut self) {
        if matches!(self.phase, Phase::Ringing | Phase::Connected) {
            self.dce.far_hang_up(self.clock.now());
            self.in_modem = 0;
        }
        self.outgoing.clear();
    }
}

/// The gateway's end of a line.
#[derive(Clone, Debug)]
pub struct Port {
    line: Rc<RefCell<Line>>,
    clock: Clock,
}

impl Port {
    pub(super) fn new(line: Rc<RefCell<Line>>, clock: Clock) -> Self {
        Self { line, clock }
    }
}

impl ByteStream for Port {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let mut line = self.line.borrow_mut();
        line.pump();
        if line.closed {
            return Err(StreamError::Closed);
        }
        let count = buf.len().min(line.rx.len());
        for (slot, octet) in buf.iter_mut().zip(line.rx.drain(..count)) {
            *slot = octet;
        }
        line.starved = count == 0 && !buf.is_empty();
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let mut line = self.line.borrow_mut();
        if line.closed {
            return Err(StreamError::Closed);
        }
        let count = octets
            .len()
            .min(KERNEL_OCTETS.saturating_sub(line.tx.len()));
        line.tx.extend(octets.iter().take(count));
        line.blocked = count < octets.len();
        line.pump();
        Ok(count)
    }

    fn pending(&mut self) -> usize {
        self.line.borrow().tx.len()
    }
}

impl ModemPort for Port {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        let mut line = self.line.borrow_mut();
        if line.closed {
            return Err(StreamError::Closed);
        }
        if line.circuits && line.wedged_until.is_none() {
            line.dce.set_dtr(self.clock.now(), on);
            line.pump();
        }
        Ok(())
    }

    fn dcd(&mut self) -> Circuit {
        let line = self.line.borrow();
        if line.circuits && !line.closed {
            line.dce.dcd()
        } else {
            Circuit::Unknown
        }
    }

    fn discard_output(&mut self) {
        let mut line = self.line.borrow_mut();
        line.tx.clear();
        line.blocked = false;
    }

    fn reset_device(&mut self) -> bool {
        self.line.borrow_mut().unplug(Duration::from_secs(2));
        true
    }

    fn reopen(&mut self) -> Result<(), StreamError> {
        let mut line = self.line.borrow_mut();
        line.pump();
        if line.unplugged_until.is_some() {
            return Err(StreamError::Closed);
        }
        line.closed = false;
        line.starved = false;
        line.blocked = false;
        Ok(())
    }
}
