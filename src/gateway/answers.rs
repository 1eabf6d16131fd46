//! What the operator's commands do and say.
//!
//! Line 0 of a command that does something does it; a `show` is read line by line as the terminal
//! has room. Every line fits in 79 columns, as far as names allow.

use core::fmt::{self, Write};

use hal::{Board, Instant};
use heapless::String;

use crate::config::{Config, LINE_OCTETS, Scheme, Secrets, TEXT_OCTETS, User, saved};
use crate::console::command::{Command, Show};
use crate::console::{Answers, Line as Answer};
use crate::hayes::Protocol;
use crate::mailbox::calls::{CALLER_OCTETS, CallRecord};
use crate::mailbox::{Error, Habit, Lan, Row, Taken};
use crate::poll::schedule::Standing;
use crate::store::{StoreError, Ticket, Usage};

use super::notes::{Cut, Stamp, reason_word};
use super::status::{Words, clip};
use super::{Keeper, Moment, Office};

/// Of a shorter call the record knows the time too roughly to tell how well it used the line.
const SHORT_SECONDS: u32 = 10;
/// What the totals of `show calls` reach back.
const MONTH_DAYS: u64 = 30;

/// One line of an answer.
pub(super) type Out = String<LINE_OCTETS>;

/// The office, while an operator's command is answered.
pub(super) struct Desk<'d, 'a, B: Board> {
    pub(super) office: &'d mut Office<'a, B>,
    pub(super) board: &'d mut B,
    pub(super) moment: Moment,
}

impl<B: Board> Answers for Desk<'_, '_, B> {
    fn line(&mut self, command: &Command, n: u32, out: &mut Out) -> Answer {
        if let Command::Show(show) = command {
            let row = usize::try_from(n).unwrap_or(usize::MAX);
            let there = self.show(show, row, out).is_some();
            return if there { Answer::Text } else { Answer::End };
        }
        if n > 0 {
            return Answer::End;
        }
        let done = self.act(command, out);
        match done {
            Err(Error::Busy) => return Answer::Wait,
            Err(error) => write_to(out, format_args!("{error}")),
            Ok(()) => {}
        }
        if out.is_empty() {
            Answer::End
        } else {
            Answer::Text
        }
    }

    fn config(&self) -> &Config {
        self.office.config
    }

    fn is_saved(&self) -> bool {
        self.office.config == self.office.saved
    }
}

impl<B: Board> Desk<'_, '_, B> {
    /// Does what the command says; a line in `out` says what was not done, or what to expect.
    fn act(&mut self, command: &Command, out: &mut Out) -> Result<(), Error> {
        match command {
            Command::Configure(line) => match self.office.config.apply(line.as_str()) {
                Ok(()) => self.office.apply_config(self.board),
                Err(error) => write_to(out, format_args!("{error}")),
            },
            Command::Poll(user) => {
                if !self.office.poll_now(self.board, self.moment, user) {
                    write_to(out, format_args!("poll: no user {user} with a source"));
                }
            }
            Command::HangUp(line) => {
                if !self.office.hang_up(self.moment, line) {
                    write_to(out, format_args!("hangup: no line {line}"));
                }
            }
            Command::Answer(line) => {
                if !self.office.answer(self.moment.now, line) {
                    write_to(out, format_args!("answer: no line {line}"));
                }
            }
            Command::Again { user, call } => return self.again(user, *call, out),
            Command::Skip { user, before } => return self.skip(user, before.days(), out),
            Command::Save => return self.save(out),
            Command::Revert => {
                self.office.config.clone_from(self.office.saved);
                self.office.apply_config(self.board);
            }
            Command::SetClock {
                date,
                second_of_day,
            } => {
                // What the owner says is what the clock on the wall shows.
                let local = u64::from(date.days()) * 86_400 + u64::from(*second_of_day);
                let unix = local.checked_add_signed(-i64::from(self.moment.wall.offset));
                if let Err(error) = self.board.set_wall(unix.unwrap_or(local), 0) {
                    write_to(out, format_args!("{error}"));
                }
            }
            Command::Reboot => {
                if !self.is_saved() {
                    let text = format_args!("reboot: what was not saved is dropped");
                    self.office.notes.warn(self.moment, text);
                }
                if let Err(error) = self.board.reboot() {
                    write_to(out, format_args!("{error}"));
                }
            }
            Command::Show(_) | Command::Setup | Command::Help(_) | Command::Exit => {}
        }
        Ok(())
    }

    fn save(&mut self, out: &mut Out) -> Result<(), Error> {
        if let Keeper::Store { mark, saving } = self.office.keeper {
            return self.save_in_store(mark, saving, out);
        }
        let mut text = String::<TEXT_OCTETS>::new();
        let mut line = Out::new();
        let mut n = 0;
        while self.office.config.line(n, Secrets::Shown, &mut line) {
            // The configuration is never longer than its text may be.
            let _ = writeln!(text, "{line}");
            line.clear();
            n += 1;
        }
        match self.board.save_config(&text) {
            Ok(()) => {
                self.office.saved.clone_from(self.office.config);
                write_to(out, format_args!("saved"));
            }
            Err(error) => write_to(out, format_args!("save: {error}")),
        }
        Ok(())
    }

    /// Asks again, by [`Error::Busy`], until what was saved is durable.
    fn save_in_store(
        &mut self,
        mark: u32,
        saving: Option<Ticket>,
        out: &mut Out,
    ) -> Result<(), Error> {
        let office = &mut *self.office;
        let keep = |saving| Keeper::Store { mark, saving };
        let Some(ticket) = saving else {
            let text = saved::text(office.config, mark);
            match office.mailbox.store().save_config(text.as_bytes()) {
                Ok(ticket) => office.keeper = keep(Some(ticket)),
                Err(StoreError::Busy) => {}
                Err(error) => {
                    write_to(out, format_args!("save: {error}"));
                    return Ok(());
                }
            }
            return Err(Error::Busy);
        };
        let committed = office.mailbox.committed(ticket);
        if committed == Ok(false) {
            return Err(Error::Busy);
        }
        office.keeper = keep(None);
        committed?;
        office.saved.clone_from(office.config);
        write_to(out, format_args!("saved"));
        Ok(())
    }

    /// Offers once more what a call took. What was changed before the store got busy stays, and
    /// is not counted again.
    fn again(&mut self, user: &str, call: Option<u32>, out: &mut Out) -> Result<(), Error> {
        let Some(account) = self.office.mailbox.ledger().find_account(user) else {
            write_to(out, format_args!("again: no mail is known of {user}"));
            return Ok(());
        };
        let rows = self.office.mailbox.ledger().rows_of(account);
        // Call 0 is `skip` and `start new`: no call at all.
        let taken = rows.filter(|(_, row)| row.taken != Taken::No && row.call != 0);
        let latest = taken.map(|(_, row)| row.call).max();
        let wanted = match (call, latest) {
            (Some(call), _) => call,
            (None, Some(latest)) => latest,
            (None, None) => {
                write_to(out, format_args!("again: {user} has taken nothing"));
                return Ok(());
            }
        };
        let mut count = 0;
        for slot in 0..self.office.mailbox.ledger().used() {
            let row = self.office.mailbox.ledger().row(slot);
            let hit = row.is_some_and(|row| {
                row.user == account && row.taken != Taken::No && row.call == wanted
            });
            if hit {
                self.office.mailbox.set_taken(slot, Taken::No, 0)?;
                count += 1;
            }
        }
        self.office.mailbox.commit();
        write_to(
            out,
            format_args!("{count} mail(s) of call {wanted} are offered again"),
        );
        Ok(())
    }

    /// Counts as taken what was known before a day.
    fn skip(&mut self, user: &str, before: u16, out: &mut Out) -> Result<(), Error> {
        let Some(account) = self.office.mailbox.ledger().find_account(user) else {
            write_to(out, format_args!("skip: no mail is known of {user}"));
            return Ok(());
        };
        let mut count = 0;
        for slot in 0..self.office.mailbox.ledger().used() {
            let row = self.office.mailbox.ledger().row(slot);
            let hit = row.is_some_and(|row| {
                // A row of day 0 came while no clock was trusted: nobody knows its age.
                let old = row.since != 0 && row.since < before;
                row.user == account && row.taken == Taken::No && old
            });
            if hit {
                self.office.mailbox.set_taken(slot, Taken::Full, 0)?;
                count += 1;
            }
        }
        self.office.mailbox.commit();
        write_to(out, format_args!("{count} mail(s) will not be offered"));
        Ok(())
    }

    /// Writes row `n` of what is shown; `None` after the last.
    fn show(&self, show: &Show, n: usize, out: &mut Out) -> Option<()> {
        match show {
            Show::Status => self.show_status(n, out),
            Show::Lines => self.show_line(n, out),
            Show::Calls => self.show_call(n, out),
            Show::Users => self.show_user_row(n, out),
            Show::User(name) => self.show_user(name, n, out),
            Show::Store => self.show_store(n, out),
            Show::Config(secrets) => {
                let there = self.office.config.line(n, *secrets, out);
                there.then_some(())
            }
            Show::Log => {
                let note = self.office.notes.iter().nth(n)?;
                write_to(out, format_args!("{}  {}", Stamp(note.wall), note.text));
                Some(())
            }
        }
    }

    fn show_line(&self, n: usize, out: &mut Out) -> Option<()> {
        let Some(at) = n.checked_sub(1) else {
            write_to(
                out,
                format_args!("{:<16} {:<14} caller or fault", "line", "state"),
            );
            return Some(());
        };
        let line = self.office.lines.get(at)?;
        let name = &line.config.name;
        let status = line.session.status();
        let user = line.user.as_deref().unwrap_or("");
        match line.fault {
            Some(fault) => write_to(out, format_args!("{name:<16} {status:<14} {fault}")),
            None => write_to(out, format_args!("{name:<16} {status:<14} {user}")),
        }
        Some(())
    }

    /// The totals of a month, and the log of calls, the latest first: two lines each.
    fn show_call(&self, n: usize, out: &mut Out) -> Option<()> {
        let log = self.office.mailbox.ledger().log();
        match n {
            0 => self.show_calls_total(out),
            1 => self.show_saved(out),
            2 => write_to(
                out,
                format_args!(
                    "{:>5} {:<11} {:<10} {:>4} {:>4} {:>4} {:>8} {:>5} {:>6} {:>4} end",
                    "call", "ended", "user", "wait", "sent", "dele", "octets", "s", "bit/s", "use"
                ),
            ),
            3 => write_to(
                out,
                format_args!(
                    "{:>5} {:<16} {:<12} octets of mail sent, and offered",
                    "", "from", "protocol"
                ),
            ),
            _ => {
                let call = log.latest(u32::try_from((n - 4) / 2).ok()?)?;
                if !n.is_multiple_of(2) {
                    show_far_end(call, out);
                    return Some(());
                }
                match call.number {
                    0 => write_to(out, format_args!("    - ")),
                    number => write_to(out, format_args!("{number:>5} ")),
                }
                let account = self.office.mailbox.ledger().account(call.user);
                let user = account.map_or("-", |account| account.name.as_str());
                let ended = Words::of(self.ended(call));
                // Month, day and time: the log is a thousand calls long.
                let ended = ended.text().get(5..).unwrap_or_default();
                write_to(
                    out,
                    format_args!(
                        "{ended:<11} {user:<10.10} {:>4} {:>4} {:>4} {:>8} {:>5}",
                        call.offered,
                        call.sent,
                        call.deleted,
                        Octets(call.octets),
                        call.lasted,
                    ),
                );
                match call.speed {
                    0 => write_to(out, format_args!(" {:>6}", "-")),
                    speed => write_to(out, format_args!(" {speed:>6}")),
                }
                match line_use(call) {
                    Some(percent) => write_to(out, format_args!(" {percent:>3}%")),
                    None => write_to(out, format_args!(" {:>4}", "-")),
                }
                write_to(out, format_args!(" {}", reason_word(call.reason)));
                clip(out);
            }
        }
        Some(())
    }

    /// What the calls of 30 days came to; of all that are logged, where no clock is trusted.
    fn show_calls_total(&self, out: &mut Out) {
        let wall = self.moment.wall;
        let since = if wall.trusted {
            (wall.unix / 60).saturating_sub(MONTH_DAYS * 24 * 60)
        } else {
            0
        };
        let log = self.office.mailbox.ledger().log();
        let (mut calls, mut sent, mut octets, mut seconds) = (0_u32, 0_u64, 0_u64, 0_u64);
        for call in log.iter().filter(|call| u64::from(call.minute) >= since) {
            calls += 1;
            sent += u64::from(call.sent);
            octets += u64::from(call.octets);
            seconds += u64::from(call.lasted);
        }
        let span = if wall.trusted { "30 days" } else { "logged" };
        write_to(
            out,
            format_args!(
                "{span}: {calls} call(s), {sent} mail(s) sent, {octets} octets, {seconds} s"
            ),
        );
    }

    /// What callers were spared in 30 days: mail that was read at the desk before they came.
    fn show_saved(&self, out: &mut Out) {
        let ledger = self.office.mailbox.ledger();
        let since = self.moment.day();
        let since = since.saturating_sub(u16::try_from(MONTH_DAYS).unwrap_or(0));
        let read = |row: &Row| {
            let gone = matches!(row.lan, Lan::Read | Lan::Absent);
            gone && row.taken == Taken::No && row.since >= since
        };
        let (mut mails, mut octets) = (0_u32, 0_u64);
        for (_, row) in ledger.rows().filter(|(_, row)| read(row)) {
            mails += 1;
            octets += u64::from(row.size);
        }
        write_to(
            out,
            format_args!("spared:  {mails} mail(s) read at the desk, {octets} octets"),
        );
        let speed = ledger.log().iter().map(|call| call.speed).find(|&s| s != 0);
        if let Some(speed) = speed {
            let seconds = octets * 8 / u64::from(speed);
            write_to(out, format_args!(", {seconds} s at {speed} bit/s"));
        }
    }

    fn show_user_row(&self, n: usize, out: &mut Out) -> Option<()> {
        let Some(at) = n.checked_sub(1) else {
            write_to(
                out,
                format_args!(
                    "{:<16} {:>7} {:>7} {:>7} {:>7}  next visit",
                    "user", "waiting", "on srv", "taken", "at desk"
                ),
            );
            return Some(());
        };
        let user = self.office.config.users.get(at)?;
        let count = self.count(user);
        write_to(
            out,
            format_args!(
                "{:<16} {:>7} {:>7} {:>7} {:>7}  ",
                user.name, count.waiting, count.on_server, count.taken, count.at_desk
            ),
        );
        self.show_standing(user, out);
        Some(())
    }

    fn show_standing(&self, user: &User, out: &mut Out) {
        let poller = self.office.pollers.iter().find(|p| p.user == user.name);
        let Some(poller) = poller else {
            write_to(out, format_args!("no source"));
            return;
        };
        match poller.schedule.standing() {
            Standing::Visiting => write_to(out, format_args!("visiting now")),
            Standing::Stopped => {
                write_to(
                    out,
                    format_args!("stopped: the LAN server refuses the login"),
                );
            }
            Standing::BackingOff { until, setback, .. } => {
                write_to(
                    out,
                    format_args!("failed: {setback}; again in {} s", self.seconds_to(until)),
                );
            }
            Standing::Regular => match &poller.last {
                Some(last) => {
                    let ago = (self.moment.now - last.at).as_secs();
                    write_to(out, format_args!("by schedule, last {ago} s ago"));
                }
                None => write_to(out, format_args!("by schedule")),
            },
        }
    }

    /// All of one user; the words of design §2 for people.
    fn show_user(&self, name: &str, n: usize, out: &mut Out) -> Option<()> {
        let Some(user) = self.office.config.user(name) else {
            if n == 0 {
                write_to(out, format_args!("show user: no user {name}"));
            }
            return (n == 0).then_some(());
        };
        let count = self.count(user);
        let poller = self.office.pollers.iter().find(|p| p.user == user.name);
        match n {
            0 => {
                write_to(out, format_args!("{name}: "));
                self.show_standing(user, out);
            }
            1 => match &user.source {
                Some(source) if source.scheme == Scheme::Maildir => write_to(
                    out,
                    format_args!(
                        "source  {}{}, read on this machine",
                        source.scheme.prefix(),
                        source.host,
                    ),
                ),
                Some(source) => write_to(
                    out,
                    format_args!(
                        "source  {}{}:{} as {}, {}",
                        source.scheme.prefix(),
                        source.host,
                        source.port,
                        source.login,
                        self.habit(name)
                    ),
                ),
                None => write_to(out, format_args!("source  none")),
            },
            2 => write_to(
                out,
                format_args!(
                    "mail    {} waiting here, {} waiting on the server, {} taken",
                    count.waiting, count.on_server, count.taken
                ),
            ),
            3 => write_to(
                out,
                format_args!(
                    "        {} read at the desk, {} ours alone",
                    count.at_desk, count.ours
                ),
            ),
            4 => match poller.and_then(|poller| poller.last.as_ref()) {
                Some(last) => {
                    let ago = (self.moment.now - last.at).as_secs();
                    write_to(out, format_args!("visit   {ago} s ago: {}", last.report));
                }
                None => write_to(out, format_args!("visit   none since the start")),
            },
            5 => {
                let failure = poller?.last.as_ref()?.report.failure.as_ref()?;
                write_to(out, format_args!("        {}", failure.advice(name)?));
            }
            _ => return None,
        }
        Some(())
    }

    fn habit(&self, name: &str) -> &'static str {
        let ledger = self.office.mailbox.ledger();
        let account = ledger
            .find_account(name)
            .and_then(|user| ledger.account(user));
        match account.map(|account| account.source.habit) {
            Some(Habit::Keeps) => "keeps what is fetched",
            Some(Habit::Consumes) => "drops what is fetched: nothing is copied",
            Some(Habit::Untested) | None => "not tested yet",
        }
    }

    fn show_store(&self, n: usize, out: &mut Out) -> Option<()> {
        let usage = self.office.mailbox.usage();
        let (rows, capacity) = self.office.mailbox.ledger().fill();
        match n {
            0 => self.show_ring(out),
            1 => write_to(
                out,
                format_args!("ledger  {rows} of {capacity} mails known"),
            ),
            2 => write_to(
                out,
                format_args!(
                    "journal {} of {} pages, {} snapshot(s), {} commit(s) since start",
                    usage.journal.0, usage.journal.1, usage.snapshots, usage.commits
                ),
            ),
            3 => write_to(
                out,
                format_args!(
                    "damage  {} segment(s), {} copies since start",
                    usage.damaged,
                    self.office.mailbox.damaged()
                ),
            ),
            4 => match (usage.fault, usage.rebuilt) {
                (Some(fault), _) => {
                    write_to(out, format_args!("FAULT   {fault}: nothing is saved"));
                }
                (None, Some(copies)) => write_to(
                    out,
                    format_args!(
                        "FAULT   index was lost: {copies} copies found, and offered again"
                    ),
                ),
                (None, None) => return None,
            },
            _ => return None,
        }
        Some(())
    }

    pub(super) fn show_ring(&self, out: &mut Out) {
        const BAR: u32 = 30;
        let Usage {
            segments,
            written,
            segment_octets,
            ..
        } = self.office.mailbox.usage();
        let full = u64::from(written) * u64::from(BAR) / u64::from(segments.max(1));
        // What holds anything is not shown as empty.
        let full = full.max(u64::from(written.min(1)));
        write_to(out, format_args!("ring    ["));
        for at in 0..u64::from(BAR) {
            write_to(out, format_args!("{}", if at < full { '#' } else { '.' }));
        }
        let kib = u64::from(segment_octets) / 1024;
        write_to(
            out,
            format_args!("] {written} of {segments} segments of {kib} KiB used"),
        );
    }

    pub(super) fn seconds_to(&self, until: Instant) -> u64 {
        (until - self.moment.now).as_secs()
    }

    fn count(&self, user: &User) -> Count {
        let mut count = Count::default();
        let ledger = self.office.mailbox.ledger();
        let Some(account) = ledger.find_account(&user.name) else {
            return count;
        };
        for (_, row) in ledger.rows_of(account) {
            let place = match (row.taken, row.lan, row.copy) {
                (Taken::Full, ..) => &mut count.taken,
                (_, Lan::Unread, Some(_)) => &mut count.waiting,
                (_, Lan::Unread, None) => &mut count.on_server,
                (_, Lan::Ours, _) => &mut count.ours,
                (_, Lan::Read | Lan::Absent, _) => &mut count.at_desk,
            };
            *place += 1;
        }
        count
    }
}

/// Rows of a user in the words for people (design §2).
#[derive(Default)]
struct Count {
    waiting: u32,
    on_server: u32,
    taken: u32,
    at_desk: u32,
    ours: u32,
}

/// The octets of a call, in percent of what its line carries in that time; in whole seconds, so of
/// a short call it is not told.
fn line_use(call: &CallRecord) -> Option<u64> {
    let carried = u64::from(call.speed / 10) * u64::from(call.lasted);
    let percent = (u64::from(call.octets) * 100).checked_div(carried)?;
    (call.lasted >= SHORT_SECONDS).then_some(percent.min(100))
}

/// The second line of a call: who called, over what, for how much.
fn show_far_end(call: &CallRecord, out: &mut Out) {
    let mut number: String<CALLER_OCTETS> = call.caller().collect();
    if number.is_empty() {
        // There is room: it is empty.
        let _ = number.push('-');
    }
    let protocol = Words::of(Protocol::thaw(call.protocol));
    let protocol = match protocol.text() {
        "" => "-",
        told => told,
    };
    write_to(
        out,
        format_args!(
            "{:>5} {number:<16} {protocol:<12} {} of {}",
            "",
            Octets(call.sent_octets),
            Octets(call.offered_octets)
        ),
    );
}

/// A number of octets in eight columns at most.
struct Octets(u32);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            octets @ 0..100_000_000 => fmt::Display::fmt(&octets, f),
            octets => write!(f, "{:>5} MB", octets / 1_000_000),
        }
    }
}

/// Adds to a line; what does not fit is cut.
pub(super) fn write_to(out: &mut Out, text: fmt::Arguments<'_>) {
    let _ = Cut(out).write_fmt(text);
}
