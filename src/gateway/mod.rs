//! The superloop: lines, consoles and visits, side by side in one thread.
//!
//! ```text
//! turn: read the clock once
//!       repeat until all are quiet:  lines -> consoles -> visits -> store
//!       sleep until octets come or the earliest deadline
//! ```
//!
//! A ring comes first in every round, and a round is bounded: each visit reads at most one link
//! full of octets in it. Only the loop moves octets between the machine and the links, and only
//! it owns the mailbox, which it lends for one step at a time.

mod lines;
mod operator;
mod visits;

use core::fmt;

use hal::board::{LineDevice, OpenError};
use hal::{Board, Instant, Lan, Wall};

use crate::config::{Config, Device, LINES, USERS, VISITS};
use crate::mailbox::maildrop::{Item, Maildrop};
use crate::mailbox::{Error, Mailbox};
use crate::poll::visit::Tables;

use lines::Line;
use operator::Consoles;
use visits::{Poller, VisitPlace};

/// Rounds of one turn, after which the clock is read anew.
const ROUNDS: usize = 16;

/// Memory that is lent to the gateway: as large as the board can spare.
#[derive(Debug)]
pub struct Memory<'a> {
    /// For each line, room for the messages of one maildrop.
    pub maildrops: [&'a mut [Item]; LINES],
    /// For each visit, room for one listing.
    pub visits: [Tables<'a>; VISITS],
}

/// The gateway: all engines, and what they share.
pub struct Gateway<'a, B: Board> {
    config: Config,
    mailbox: Mailbox<'a, B::Medium>,
    lines: heapless::Vec<Line<'a, B>, LINES>,
    /// Maildrop memory of lines that are not configured.
    spare: heapless::Vec<&'a mut [Item], LINES>,
    visits: [VisitPlace<'a, B>; VISITS],
    pollers: heapless::Vec<Poller, USERS>,
    consoles: Consoles<B>,
    hostname: crate::config::Name,
    /// The configuration differs from the one that was saved.
    unsaved: bool,
    told_ready: bool,
    started: Option<Instant>,
}

/// What all parts look at in one turn.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now: Instant,
    wall: Wall,
}

impl Moment {
    /// Today, or 0 while no clock is trusted.
    fn day(&self) -> u16 {
        if self.wall.trusted {
            self.wall.day()
        } else {
            0
        }
    }
}

impl<'a, B: Board> Gateway<'a, B> {
    /// A gateway on `board` that does what `config` says. `hostname` is the machine's own name,
    /// for greetings where the configuration gives none.
    pub fn new(
        board: &mut B,
        config: Config,
        hostname: &str,
        mailbox: Mailbox<'a, B::Medium>,
        memory: Memory<'a>,
    ) -> Self {
        let mut gateway = Self {
            config,
            mailbox,
            lines: heapless::Vec::new(),
            spare: heapless::Vec::from_array(memory.maildrops),
            visits: memory.visits.map(VisitPlace::new),
            pollers: heapless::Vec::new(),
            consoles: Consoles::new(),
            hostname: short_name(hostname),
            unsaved: false,
            told_ready: false,
            started: None,
        };
        gateway.apply_config(board);
        gateway
    }

    /// One turn of the loop; returns the moment at which the next one is due though nothing
    /// comes. Sleep until then, and call it again.
    pub fn turn(&mut self, board: &mut B) -> Option<Instant> {
        let moment = Moment {
            now: board.now(),
            wall: board.wall(),
        };
        let started = *self.started.get_or_insert(moment.now);
        self.consoles.accept(board);
        let mut quiet = false;
        for _ in 0..ROUNDS {
            let mut moved = self.turn_lines(board, moment);
            moved |= self.turn_consoles(board, moment);
            moved |= self.turn_visits(board, moment, started);
            moved |= self.mailbox.step();
            quiet = !moved;
            if quiet {
                break;
            }
        }
        if !self.told_ready && self.is_ready() {
            self.told_ready = true;
            log::info!("ready: {} line(s) wait for calls", self.lines.len());
            board.ready();
        }
        if !quiet {
            return Some(moment.now);
        }
        let polls = self.next_poll(moment);
        let lines = self
            .lines
            .iter()
            .filter_map(|line| line.deadline(moment.now));
        let visits = self.visits.iter().filter_map(VisitPlace::deadline);
        let consoles = self.consoles.deadline();
        lines.chain(visits).chain(consoles).chain(polls).min()
    }

    /// Runs until the machine asks us to end, then ends calls and visits in order.
    pub fn run(&mut self, board: &mut B) {
        while !board.ending() {
            let until = self.turn(board);
            board.wait(until);
        }
        self.end(board);
    }

    /// Ends every call and visit, and makes durable what they did.
    pub fn end(&mut self, board: &mut B) {
        let now = board.now();
        self.end_calls(now);
        self.end_visits();
        let ticket = self.mailbox.commit();
        // Some seconds are enough for any card; a dead one must not hold us.
        let until = now + hal::Duration::from_secs(5);
        while self.mailbox.committed(ticket) == Ok(false) && board.now() < until {
            if !self.mailbox.step() {
                board.wait(Some(until));
            }
        }
        log::info!("ended");
    }

    /// Every line has been heard to be ready for calls.
    fn is_ready(&self) -> bool {
        self.lines.iter().all(Line::is_ready)
    }

    /// Opens and closes lines, and makes pollers, so that they are as the configuration says.
    fn apply_config(&mut self, board: &mut B) {
        if let Err(error) = board.set_timezone(&self.config.timezone) {
            log::error!("timezone: {error}");
        }
        let now = board.now();
        for at in (0..self.lines.len()).rev() {
            let stays = self
                .lines
                .get(at)
                .is_some_and(|line| self.config.lines.contains(&line.config));
            if !stays {
                let line = self.lines.remove(at);
                let memory = line.close(now, &mut self.mailbox);
                // There is one piece of memory for each of LINES lines.
                let _ = self.spare.push(memory);
            }
        }
        for config in &self.config.lines {
            if self.lines.iter().any(|line| line.config == *config) {
                continue;
            }
            let port = match board.open_line(device(&config.device)) {
                Ok(port) => port,
                Err(error) => {
                    log::error!("line {}: {error}", config.name);
                    continue;
                }
            };
            let Some(memory) = self.spare.pop() else {
                continue;
            };
            let maildrop = Maildrop::new(memory);
            // As many lines as pieces of memory.
            let _ = self.lines.push(Line::new(config.clone(), port, maildrop));
        }
        self.apply_pollers(board);
    }

    fn hostname(&self) -> &str {
        if self.config.hostname.is_empty() {
            &self.hostname
        } else {
            &self.config.hostname
        }
    }

    /// The account of a configured user, made if need be.
    fn account(&mut self, user: &str) -> Result<u8, Error> {
        let config = &self.config;
        self.mailbox
            .account(user, |name| config.user(name).is_some())
    }
}

impl<B: Board> fmt::Debug for Gateway<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("lines", &self.lines.len())
            .finish_non_exhaustive()
    }
}

fn device(device: &Device) -> LineDevice<'_> {
    match device {
        Device::Serial { path, speed } => LineDevice::Serial {
            path,
            speed: *speed,
        },
        Device::Phone(address) => LineDevice::Phone { address },
    }
}

/// As much of `name` as a greeting has room for.
fn short_name(name: &str) -> crate::config::Name {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let mut short = crate::config::Name::new();
    for c in name.chars().filter(allowed) {
        if short.push(c).is_err() {
            break;
        }
    }
    if short.is_empty() {
        // It is shorter than a name may be.
        let _ = short.push_str("ringmail");
    }
    short
}

/// The stream of a visit.
type LanStreamOf<B> = <<B as Board>::Lan as Lan>::Stream;

/// Why a part of the machine could not be opened.
type Opening<T> = Result<T, OpenError>;
