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

mod answers;
mod claims;
mod clock;
mod consoles;
mod lines;
mod list;
mod network;
mod notes;
mod proofs;
mod status;
mod visits;

use core::fmt;

use hal::board::LineDevice;
use hal::{Board, Duration, Instant, Lan, Light, Wall};

use crate::config::{Config, Device, LINES, Name, VISITS};
use crate::mailbox::maildrop::{Item, Maildrop};
use crate::mailbox::{Error, Mailbox};
use crate::poll::visit::Tables;
use crate::sasl::server::Salts;
use crate::store::Ticket;

use clock::Clock;
use consoles::Consoles;
use list::List;
use network::Attachment;
use notes::Notes;
use visits::VisitPlace;

pub use consoles::Terminal;
pub use lines::Line;
pub use visits::{Poller, VisitPlace as Place};

/// Rounds of one turn, after which the clock is read anew.
const ROUNDS: usize = 16;

/// Memory that is lent to the gateway: as large as the board can spare. Half a megabyte of it is
/// room for what may be open at once, which is touched when it is used; the gateway itself is small
/// and may be moved about.
pub struct Memory<'a, B: Board> {
    /// What the owner wants.
    pub config: &'a mut Config,
    /// What was last saved; whatever is in it goes.
    pub saved: &'a mut Config,
    /// For each line, room for the messages of one maildrop.
    pub maildrops: [&'a mut [Item]; LINES],
    /// For each visit, room for one listing.
    pub visits: [Tables<'a>; VISITS],
    /// The places of [`LINES`] lines, empty, as all of those that follow.
    pub lines: &'a mut [Option<Line<'a, B>>],
    /// Of [`VISITS`] visits.
    pub places: &'a mut [Option<Place<'a, B>>],
    /// Of [`USERS`](crate::config::USERS) users whose mail is fetched.
    pub pollers: &'a mut [Option<Poller>],
    /// Of [`CONSOLES`](crate::config::CONSOLES) terminals.
    pub terminals: &'a mut [Option<Terminal<B>>],
}

/// The gateway: all engines, and what they share.
pub struct Gateway<'a, B: Board> {
    office: Office<'a, B>,
    consoles: Consoles<'a, B>,
    told_ready: bool,
}

/// All but the consoles, which command it.
struct Office<'a, B: Board> {
    config: &'a mut Config,
    /// As it was last read or saved.
    saved: &'a mut Config,
    mailbox: Mailbox<'a, B::Medium>,
    lines: List<'a, Line<'a, B>>,
    /// Maildrop memory of lines that are not configured.
    spare: heapless::Vec<&'a mut [Item], LINES>,
    /// Grows to as many as were ever open at once: a place is memory that is never given back.
    visits: List<'a, VisitPlace<'a, B>>,
    /// Listing memory of places that were never needed.
    idle: heapless::Vec<Tables<'a>, VISITS>,
    pollers: List<'a, Poller>,
    /// The machine's own name.
    machine: Name,
    /// A line with other words than the configuration waits for its call to end.
    stale: bool,
    /// A device could not be opened, and is tried again.
    retry: Option<Retry>,
    notes: Notes,
    attachment: Attachment,
    clock: Clock,
    keeper: Keeper,
    /// What salts of SCRAM come from.
    salts: Salts,
}

/// Who keeps the configuration over a restart.
#[derive(Clone, Copy, Debug)]
enum Keeper {
    /// The board, in a file.
    Board,
    /// The store.
    Store {
        /// The mark of the configuration that was taken in last; it is kept with what is saved.
        mark: u32,
        /// What was saved last, until it is durable.
        saving: Option<Ticket>,
    },
}

/// When lines whose device could not be opened are tried again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    due: Instant,
    /// Distance to the next one.
    pause: Duration,
}

/// First and longest distance between two attempts to open a device.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

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
    /// A gateway on `board` that does what `memory.config` says. `machine` is its own name, for
    /// greetings where the configuration gives none.
    pub fn new(
        board: &mut B,
        machine: &str,
        mailbox: Mailbox<'a, B::Medium>,
        memory: Memory<'a, B>,
    ) -> Self {
        memory.saved.clone_from(memory.config);
        let mut office = Office {
            config: memory.config,
            saved: memory.saved,
            mailbox,
            lines: List::new(memory.lines),
            spare: heapless::Vec::from_array(memory.maildrops),
            visits: List::new(memory.places),
            idle: heapless::Vec::from_array(memory.visits),
            pollers: List::new(memory.pollers),
            machine: short_name(machine),
            stale: false,
            retry: None,
            notes: Notes::new(),
            attachment: Attachment::new(),
            clock: Clock::new(),
            keeper: Keeper::Board,
            salts: proofs::salts(board),
        };
        office.mailbox.check_copies();
        office.apply_config(board);
        Self {
            office,
            consoles: Consoles::new(memory.terminals),
            told_ready: false,
        }
    }

    /// Lets the store keep the configuration, together with `mark`: see
    /// [`saved`](crate::config::saved).
    pub fn keep_config_in_store(&mut self, mark: u32) {
        let saving = None;
        self.office.keeper = Keeper::Store { mark, saving };
    }

    /// Tells the owner of something that went wrong at the start.
    pub fn report(&mut self, board: &mut B, text: fmt::Arguments<'_>) {
        let moment = Moment {
            now: board.now(),
            wall: board.wall(),
        };
        self.office.notes.error(moment, text);
    }

    /// One turn of the loop; returns the moment at which the next one is due though nothing
    /// comes. Sleep until then, and call it again.
    pub fn turn(&mut self, board: &mut B) -> Option<Instant> {
        let moment = Moment {
            now: board.now(),
            wall: board.wall(),
        };
        let office = &mut self.office;
        self.consoles.accept(board);
        let mut quiet = false;
        for _ in 0..ROUNDS {
            let mut moved = office.turn_lines(board, moment);
            moved |= self.consoles.turn(board, moment, office);
            moved |= office.turn_visits(board, moment);
            moved |= office.turn_network(board, moment);
            moved |= office.turn_clock(board, moment);
            moved |= office.mailbox.step();
            quiet = !moved;
            if quiet {
                break;
            }
        }
        if !self.told_ready && office.lines.iter().all(Line::is_settled) {
            self.told_ready = true;
            let lines = office.config.lines.len();
            let sound = office.lines.iter().filter(|line| line.fault.is_none());
            let sound = sound.count();
            office.notes.info(
                moment,
                format_args!("ready: {sound} of {lines} line(s) wait for calls"),
            );
            board.ready();
        }
        if !quiet {
            return Some(moment.now);
        }
        let polls = office.next_poll(moment);
        let lines = office.lines.iter();
        let lines = lines.filter_map(|line| line.deadline(moment.now));
        let visits = office.visits.iter().filter_map(VisitPlace::deadline);
        let consoles = self.consoles.deadline();
        let retry = office.retry.map(|retry| retry.due);
        let clock = office.clock.deadline();
        let others = consoles.into_iter().chain(polls).chain(retry).chain(clock);
        lines.chain(visits).chain(others).min()
    }

    /// What the board's light is to show.
    #[must_use]
    pub fn light(&self) -> Light {
        self.office.light()
    }

    /// Runs until the machine asks us to end, then ends calls and visits in order.
    pub fn run(&mut self, board: &mut B) {
        while !board.ending() {
            let until = self.turn(board);
            board.show(self.light());
            board.alive();
            board.wait(until);
        }
        self.end(board);
    }

    /// Ends every call and visit, and makes durable what they did.
    pub fn end(&mut self, board: &mut B) {
        let moment = Moment {
            now: board.now(),
            wall: board.wall(),
        };
        let office = &mut self.office;
        office.end_calls(moment);
        office.end_visits();
        let ticket = office.mailbox.commit();
        // Some seconds are enough for any card; a dead one must not hold us.
        let until = moment.now + Duration::from_secs(5);
        while office.mailbox.committed(ticket) == Ok(false) && board.now() < until {
            // What is said meanwhile must not keep us awake.
            office.drain_lines(moment.now);
            if !office.mailbox.step() {
                board.wait(Some(until));
            }
        }
        office.notes.info(moment, format_args!("ended"));
    }

    /// The mailbox, to look at.
    #[must_use]
    pub fn mailbox(&self) -> &Mailbox<'a, B::Medium> {
        &self.office.mailbox
    }

    /// Gives the store's medium back: whatever is not durable yet may or may not be on it.
    #[must_use]
    pub fn into_medium(self) -> B::Medium {
        self.office.mailbox.into_medium()
    }
}

impl<B: Board> Office<'_, B> {
    /// Opens and closes lines, and makes pollers, so that they are as the configuration says.
    // A line is large, and made on the stack: no part of the loop's own frame.
    #[inline(never)]
    fn apply_config(&mut self, board: &mut B) {
        let moment = Moment {
            now: board.now(),
            wall: board.wall(),
        };
        if let Err(error) = board.set_timezone(&self.config.timezone) {
            self.notes.error(moment, format_args!("timezone: {error}"));
        }
        self.apply_network(board, moment);
        self.apply_clock(moment);
        self.stale = false;
        for at in (0..self.lines.len()).rev() {
            let line = self.lines.get(at);
            let stays = line.is_some_and(|line| self.config.lines.contains(&line.config));
            // Nobody is cut off because the owner says something: it holds from the next call on.
            let engaged = !stays && line.is_some_and(|line| line.session.is_engaged());
            self.stale |= engaged;
            if !stays && !engaged {
                if let Some(line) = self.lines.get_mut(at) {
                    let memory = line.close(moment.now, &mut self.mailbox);
                    // There is one piece of memory for each of LINES lines.
                    let _ = self.spare.push(memory);
                }
                self.lines.remove(at);
            }
        }
        self.retry = None;
        self.open_lines(board, moment);
        self.apply_pollers(board);
    }

    /// Opens each line that is configured and not open. What cannot be opened is tried again: the
    /// device may be held by a program that looks what it is, or be of a kind that comes and goes.
    #[inline(never)]
    fn open_lines(&mut self, board: &mut B, moment: Moment) {
        let again = self.retry.take();
        let mut failed = false;
        for config in &self.config.lines {
            // It is open, or an engaged line of that name must go first.
            if self
                .lines
                .iter()
                .any(|line| line.config.name == config.name)
            {
                continue;
            }
            let port = match board.open_line(device(&config.device)) {
                Ok(port) => port,
                Err(error) => {
                    let name = &config.name;
                    // Said once, for all the times to come.
                    if again.is_none() {
                        let words = format_args!("line {name}: {error}; it is tried again");
                        self.notes.error(moment, words);
                    }
                    failed = true;
                    continue;
                }
            };
            if again.is_some() {
                let name = &config.name;
                self.notes
                    .info(moment, format_args!("line {name}: its device is there now"));
            }
            let Some(memory) = self.spare.pop() else {
                continue;
            };
            // As many places as pieces of memory.
            self.lines
                .push(|| Line::new(config.clone(), port, Maildrop::new(memory)));
        }
        let pause = again.map_or(RETRY.0, |retry| (retry.pause * 2).min(RETRY.1));
        let due = moment.now + pause;
        self.retry = failed.then_some(Retry { due, pause });
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
            .field("lines", &self.office.lines.len())
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
fn short_name(name: &str) -> Name {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let mut short = Name::new();
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
