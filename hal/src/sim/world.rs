//! One simulated machine and what is around it; `wait` moves the clock.

use core::cell::{Cell, RefCell, RefMut};
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use super::disk::Disk;
use super::folder::{Folder, SimFolder};
use super::lan::SimLan;
use super::line::{Caller, Line, Port};
use super::medium::SimMedium;
use crate::board::{Board, LineDevice, Network, OpenError, Radio, not_kept};
use crate::console::ConsoleStream;
use crate::dce::DceOptions;
use crate::entropy::Entropy;
use crate::stream::{ByteStream, StreamError};
use crate::time::{Instant, Wall};

/// Waits in a row that may end without the clock having moved.
const SPINS: u32 = 10_000;

/// The clock of a world; all copies of it show the same moment.
#[derive(Clone, Debug, Default)]
pub struct Clock(Rc<Cell<Instant>>);

impl Clock {
    /// The moment it is.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.0.get()
    }
}

/// A machine, its LAN, its lines and its medium.
#[derive(Debug)]
pub struct World {
    clock: Clock,
    /// What the wall clock showed when the other one showed zero.
    wall: Wall,
    random: u64,
    lines: BTreeMap<String, Rc<RefCell<Line>>>,
    /// How lines are that nobody has made before they were opened.
    options: DceOptions,
    lan: SimLan,
    folders: BTreeMap<String, Rc<RefCell<Folder>>>,
    disk: Disk,
    consoles: VecDeque<SimConsole>,
    saved: Option<String>,
    network: Option<SimNetwork>,
    /// The clock stops here, so that whoever drives the world can do something.
    stop: Option<Instant>,
    ending: bool,
    ready: bool,
    spins: u32,
    waits: u64,
}

/// A network that the world makes itself.
#[derive(Debug, Default)]
pub struct SimNetwork {
    /// What was asked for, a line each time.
    pub asked: Vec<String>,
    /// What there is to tell.
    pub news: VecDeque<String>,
}

impl World {
    /// A world with `medium` in it, in which all that is random comes from `seed`.
    #[must_use]
    pub fn new(seed: u64, medium: SimMedium) -> Self {
        let clock = Clock::default();
        Self {
            wall: Wall {
                // A Monday, midnight.
                unix: 1_767_571_200,
                offset: 0,
                trusted: true,
            },
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            lines: BTreeMap::new(),
            options: DceOptions::default(),
            lan: SimLan::new(clock.clone()),
            folders: BTreeMap::new(),
            disk: Disk::new(medium, clock.clone()),
            consoles: VecDeque::new(),
            saved: None,
            network: None,
            stop: None,
            ending: false,
            ready: false,
            spins: 0,
            waits: 0,
            clock,
        }
    }

    /// Lets the world make its own network from now on: it writes down what it is asked for, a line
    /// each, and has news to tell of it.
    pub fn network(&mut self) -> &mut SimNetwork {
        self.network.get_or_insert_default()
    }

    /// Makes the line that has this device, before the gateway opens it.
    pub fn make_line(&mut self, device: &str, options: DceOptions, circuits: bool) {
        let line = Line::new(options, circuits, self.clock.clone());
        self.lines
            .insert(device.to_string(), Rc::new(RefCell::new(line)));
    }

    /// The line with this device.
    ///
    /// # Panics
    /// If there is no such line.
    #[must_use]
    pub fn line(&self, device: &str) -> RefMut<'_, Line> {
        #[expect(clippy::expect_used, reason = "a mistake of the test that asks")]
        let line = self.lines.get(device).expect("a line of that device");
        line.borrow_mut()
    }

    /// Puts somebody at the far end of a line.
    pub fn seat(&self, device: &str, caller: Box<dyn Caller>) {
        self.line(device).seat(caller);
    }

    /// The LAN, to look at and to spoil.
    #[must_use]
    pub fn net(&self) -> &SimLan {
        &self.lan
    }

    /// The Maildir at `path`, which is made where there is none.
    pub fn mail_folder(&mut self, path: &str) -> RefMut<'_, Folder> {
        let folder = self.folders.entry(path.to_string()).or_default();
        folder.borrow_mut()
    }

    /// The medium, to look at and to spoil.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// A random number.
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Sets the wall clock, from this moment on.
    pub fn set_wall(&mut self, wall: Wall) {
        let passed = self.clock.now().since(Instant::ZERO).as_secs();
        self.wall = Wall {
            unix: wall.unix.saturating_sub(passed),
            ..wall
        };
    }

    /// No wait goes beyond this moment.
    pub fn stop_at(&mut self, stop: Option<Instant>) {
        self.stop = stop;
    }

    /// Asks the gateway to end.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// Power comes again: nobody has asked anything yet.
    pub fn restart(&mut self) {
        self.ending = false;
        self.ready = false;
    }

    /// Whether the gateway has said that every line waits for calls.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The configuration that was saved last.
    #[must_use]
    pub fn saved(&self) -> Option<&str> {
        self.saved.as_deref()
    }

    /// How often the gateway slept.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.waits
    }

    /// Somebody attaches a terminal and types `text`.
    pub fn attach(&mut self, text: &str) -> SimConsole {
        let console = SimConsole::default();
        console.0.borrow_mut().typed.extend(text.as_bytes());
        self.consoles.push_back(console.clone());
        console
    }

    fn pump(&self) {
        for line in self.lines.values() {
            line.borrow_mut().pump();
        }
        self.lan.pump();
    }

    fn is_due(&self) -> bool {
        self.lines.values().any(|line| line.borrow().is_due())
            || self.lan.is_due()
            || !self.consoles.is_empty()
            || self.ending
    }

    fn next(&self, now: Instant) -> Option<Instant> {
        let lines = self
            .lines
            .values()
            .filter_map(|line| line.borrow().deadline());
        let others = [self.lan.deadline(), self.disk.deadline()];
        let times = lines.chain(others.into_iter().flatten());
        times.filter(|time| *time > now).min()
    }
}

impl Entropy for World {
    fn fill(&mut self, buf: &mut [u8]) {
        for octet in buf {
            let [first, ..] = (self.random() >> 11).to_le_bytes();
            *octet = first;
        }
    }
}

impl Board for World {
    type Modem = Port;
    type Lan = SimLan;
    type Folder = SimFolder;
    type Medium = Disk;
    type Console = SimConsole;

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn wall(&mut self) -> Wall {
        let passed = self.clock.now().since(Instant::ZERO).as_secs();
        Wall {
            unix: self.wall.unix + passed,
            ..self.wall
        }
    }

    fn open_line(&mut self, device: LineDevice<'_>) -> Result<Port, OpenError> {
        let name = match device {
            LineDevice::Serial { path, .. } => path,
            LineDevice::Phone { address } => address,
        };
        if !self.lines.contains_key(name) {
            self.make_line(name, self.options.clone(), true);
        }
        let line = self.lines.get(name).map(Rc::clone).unwrap_or_else(|| {
            let line = Line::new(self.options.clone(), true, self.clock.clone());
            Rc::new(RefCell::new(line))
        });
        if line.borrow().is_taken() {
            let words = "in use by another program";
            return Err(OpenError::try_from(words).unwrap_or_default());
        }
        let mut port = Port::new(line, self.clock.clone());
        // A modem that is absent gives a port that is closed until it is reopened.
        let _ = crate::modem::ModemPort::reopen(&mut port);
        Ok(port)
    }

    fn lan(&mut self) -> &mut SimLan {
        &mut self.lan
    }

    fn folder(&mut self, path: &str) -> SimFolder {
        SimFolder::new(self.folders.get(path).map(Rc::clone))
    }

    fn accept_console(&mut self) -> Option<SimConsole> {
        self.consoles.pop_front()
    }

    fn set_timezone(&mut self, _: &str) -> Result<(), OpenError> {
        Ok(())
    }

    fn save_config(&mut self, text: &str) -> Result<(), OpenError> {
        self.saved = Some(text.to_string());
        Ok(())
    }

    fn set_network(
        &mut self,
        network: Network<'_>,
        radio: Option<Radio<'_>>,
    ) -> Result<(), OpenError> {
        let Some(own) = &mut self.network else {
            return not_kept(network, radio);
        };
        let password = radio.map(|radio| radio.password);
        own.asked
            .push(format!("{network:?} {radio:?} {password:?}"));
        Ok(())
    }

    fn network_news(&mut self) -> Option<OpenError> {
        let news = self.network.as_mut()?.news.pop_front()?;
        Some(OpenError::try_from(news.as_str()).unwrap_or_default())
    }

    /// Moves the clock to the next thing that concerns the gateway, and lets everybody else do
    /// what they do meanwhile.
    ///
    /// # Panics
    /// If it is called very often and the clock never moves: the loop spins.
    fn wait(&mut self, until: Option<Instant>) {
        self.waits += 1;
        let before = self.clock.now();
        let until = until.into_iter().chain(self.stop).min();
        loop {
            let now = self.clock.now();
            self.pump();
            let synced = self.disk.deadline().is_some_and(|due| due <= now);
            if self.is_due() || synced || until.is_some_and(|until| until <= now) {
                break;
            }
            let Some(next) = self.next(now).into_iter().chain(until).min() else {
                break;
            };
            self.clock.0.set(next);
        }
        for line in self.lines.values() {
            line.borrow_mut().told();
        }
        self.spins = if self.clock.now() == before {
            self.spins + 1
        } else {
            0
        };
        assert!(
            self.spins < SPINS,
            "the gateway wakes again and again at {before:?}: asked until {until:?}; lines {:?}, \
             LAN {}, medium {:?}",
            self.lines
                .iter()
                .filter(|(_, line)| line.borrow().is_due())
                .collect::<Vec<_>>(),
            self.lan.is_due(),
            self.disk.deadline(),
        );
    }

    fn ending(&mut self) -> bool {
        self.ending
    }

    fn ready(&mut self) {
        self.ready = true;
    }
}

/// A terminal in memory; all copies show the same one.
#[derive(Clone, Debug, Default)]
pub struct SimConsole(Rc<RefCell<Terminal>>);

#[derive(Debug, Default)]
struct Terminal {
    typed: VecDeque<u8>,
    shown: Vec<u8>,
    closed: bool,
}

impl SimConsole {
    /// Somebody types.
    pub fn type_text(&self, text: &str) {
        self.0.borrow_mut().typed.extend(text.as_bytes());
    }

    /// Somebody goes away.
    pub fn close(&self) {
        self.0.borrow_mut().closed = true;
    }

    /// All that was shown.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().shown).into_owned()
    }
}

impl ByteStream for SimConsole {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let mut terminal = self.0.borrow_mut();
        if terminal.typed.is_empty() && terminal.closed {
            return Err(StreamError::Closed);
        }
        let count = buf.len().min(terminal.typed.len());
        for (slot, octet) in buf.iter_mut().zip(terminal.typed.drain(..count)) {
            *slot = octet;
        }
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.0.borrow_mut().shown.extend(octets);
        Ok(octets.len())
    }
}

impl ConsoleStream for SimConsole {}
