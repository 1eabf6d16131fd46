//! A work bench: one engine, its link, a peer at the other end, and a virtual clock.

use hal::{Circuit, Duration, Instant};

use crate::hayes::{Event, Modem, Options};
use crate::link::Link;

/// What stands in the modem's place.
pub(super) trait Peer {
    /// Takes octets; returns how many.
    fn take(&mut self, now: Instant, octets: &[u8]) -> usize;
    /// Gives some octets.
    fn give(&mut self, now: Instant, buf: &mut [u8]) -> usize;
    fn deadline(&self) -> Option<Instant>;
    fn dcd(&self) -> Circuit;
    fn dtr(&mut self, now: Instant, on: bool);
}

pub(super) struct Bench<P> {
    pub(super) now: Instant,
    pub(super) modem: Modem,
    pub(super) link: Link,
    pub(super) peer: P,
    /// Octets that come in one piece.
    pub(super) chunk: usize,
    /// Whether reopening the device works.
    pub(super) present: bool,
    /// The port's speed, as it was last set.
    pub(super) speed: u32,
    /// When the device was to be reset.
    pub(super) resets: Vec<Instant>,
    /// All events but those that are done at once, with their moments.
    pub(super) log: Vec<(Instant, Event)>,
}

impl<P: Peer> Bench<P> {
    pub(super) fn new(options: Options, peer: P) -> Self {
        Self {
            now: Instant::ZERO,
            modem: Modem::new(options),
            link: Link::new(),
            peer,
            chunk: 64,
            present: true,
            speed: 115_200,
            resets: Vec::new(),
            log: Vec::new(),
        }
    }

    /// Ready, with nothing in the log.
    pub(super) fn ready(options: Options, peer: P) -> Self {
        let mut bench = Self::new(options, peer);
        bench.run(60);
        assert_eq!(bench.events(), [Event::Ready]);
        bench
    }

    /// Runs for so many seconds.
    pub(super) fn run(&mut self, seconds: u64) {
        self.run_ms(seconds * 1000);
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut wakes = 0_u64;
        loop {
            self.settle();
            let deadlines = [self.modem.deadline(), self.peer.deadline()];
            let next = deadlines.into_iter().flatten().min();
            let next = next.filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            assert!(next > self.now, "would spin in {:?}", self.modem);
            self.now = next;
            wakes += 1;
            assert!(wakes < 2_000_000);
        }
    }

    /// Exchanges octets and steps until all is quiet.
    fn settle(&mut self) {
        for _ in 0..1_000_000 {
            let mut moved = self.step();
            while !self.link.output().is_empty() {
                let n = self.peer.take(self.now, self.link.output());
                if n == 0 {
                    break;
                }
                self.link.take_output(n);
                moved = true;
            }
            let mut buf = vec![0; self.chunk];
            let n = self.peer.give(self.now, &mut buf);
            assert_eq!(self.link.feed(&buf[..n]), n);
            if n == 0 && !moved {
                return;
            }
        }
        panic!("never quiet in {:?}", self.modem);
    }

    fn step(&mut self) -> bool {
        let mut stepped = false;
        while let Some(event) = self.modem.step(self.now, &mut self.link, self.peer.dcd()) {
            stepped = true;
            match event {
                Event::Dtr(on) => self.peer.dtr(self.now, on),
                Event::DiscardOutput => assert!(self.link.output().is_empty()),
                Event::Speed(speed) => self.speed = speed,
                Event::Reset => self.resets.push(self.now),
                Event::Reopen => {
                    self.log.push((self.now, event));
                    if self.present {
                        self.modem.reopened(self.now);
                    } else {
                        self.modem.line_closed(self.now);
                    }
                }
                event => self.log.push((self.now, event)),
            }
        }
        stepped
    }

    /// What happened since the last look.
    pub(super) fn events(&mut self) -> Vec<Event> {
        self.log.drain(..).map(|(_, event)| event).collect()
    }
}

/// A peer that knows no protocol: `answer` makes of each command line what is said to it.
pub(super) struct Script {
    line: Vec<u8>,
    said: Vec<u8>,
    answer: Box<dyn FnMut(&str) -> String>,
    pub(super) commands: Vec<String>,
    pub(super) dcd: Circuit,
}

impl Script {
    pub(super) fn new(answer: impl FnMut(&str) -> String + 'static) -> Self {
        Self {
            line: Vec::new(),
            said: Vec::new(),
            answer: Box::new(answer),
            commands: Vec::new(),
            dcd: Circuit::Unknown,
        }
    }

    /// One that says OK to all commands.
    pub(super) fn agreeable() -> Self {
        Self::new(|_| "\r\nOK\r\n".into())
    }

    pub(super) fn say(&mut self, text: &str) {
        self.said.extend(text.bytes());
    }

    /// How often `command` was heard since the last look.
    pub(super) fn heard(&mut self, command: &str) -> usize {
        let heard = core::mem::take(&mut self.commands);
        heard.iter().filter(|line| *line == command).count()
    }

    pub(super) fn answers(&mut self, answer: impl FnMut(&str) -> String + 'static) {
        self.answer = Box::new(answer);
    }
}

impl Peer for Script {
    fn take(&mut self, _now: Instant, octets: &[u8]) -> usize {
        for &octet in octets {
            if octet == b'\r' {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.line.clear();
                self.said.extend((self.answer)(&line).bytes());
                self.commands.push(line);
            } else {
                self.line.push(octet);
            }
        }
        octets.len()
    }

    fn give(&mut self, _now: Instant, buf: &mut [u8]) -> usize {
        let n = buf.len().min(self.said.len());
        for (slot, octet) in buf.iter_mut().zip(self.said.drain(..n)) {
            *slot = octet;
        }
        n
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn dcd(&self) -> Circuit {
        self.dcd
    }

    fn dtr(&mut self, _now: Instant, _on: bool) {}
}
