//! `show status`: all of it on one page of a terminal of 80 columns and 24 rows.
//!
//! ```text
//! title | ring as a bar | lines | users | latest calls | what is wrong, and what to do
//! ```
//!
//! However many lines, users and faults there are, the page has [`ROWS`] rows at the most: each
//! part is sure of a few of them, what one part leaves goes to the next, and a part that is cut
//! shows the busiest and says how many more there are.

use core::cmp::Reverse;
use core::fmt;

use hal::{Board, Light, Wall};
use heapless::Vec;

use crate::config::{self, LINES, Name, USERS, User};
use crate::hayes::{Fault, Status};
use crate::mailbox::calls::CallRecord;
use crate::mailbox::{Lan, Taken};
use crate::poll::schedule::Standing;

use super::answers::{Desk, Out, write_to};
use super::notes::{Cut, Stamp, reason_word};
use super::visits::Poller;
use super::{Line, Office};

/// Rows of the page: what is printed before a terminal of 24 rows stops for `--More--`.
const ROWS: usize = 22;
/// Columns of the page: a terminal's 80 but the last, where terminals disagree.
pub(super) const COLUMNS: usize = 79;
/// Rows that faults, lines, users and calls are sure of, if they have so many. With title, ring
/// and three headings that is less than a page.
const SURE: [usize; 4] = [4, 4, 5, 3];
/// Calls that are shown at the most.
const CALLS: usize = 8;

/// The latest call of a line, for `show status`.
#[derive(Clone, Debug)]
pub(super) struct LastCall {
    pub(super) ended_at: Wall,
    pub(super) user: Option<Name>,
    pub(super) offered: u32,
    pub(super) sent: u32,
    /// What [`reason_word`] takes.
    pub(super) reason: u8,
}

/// A part of the page.
#[derive(Clone, Copy)]
struct Part {
    /// What there is to show.
    entries: usize,
    /// Rows it has for that.
    rows: usize,
}

impl Part {
    /// Entries that are shown: all, or one row less than there are, for the rest's number.
    fn shown(self) -> usize {
        match self.entries > self.rows {
            true => self.rows.saturating_sub(1),
            false => self.entries,
        }
    }
}

/// A user's mail, as `show status` counts it.
#[derive(Clone, Copy, Default)]
struct Mail {
    /// To be offered at the next call.
    waiting: u32,
    /// Of these, those whose copy is here.
    held: u32,
    taken: u32,
    at_desk: u32,
}

impl<B: Board> Desk<'_, '_, B> {
    /// Writes row `n` of the page; `None` after the last.
    pub(super) fn show_status(&self, n: usize, out: &mut Out) -> Option<()> {
        self.status_row(n, out)?;
        clip(out);
        Some(())
    }

    fn status_row(&self, n: usize, out: &mut Out) -> Option<()> {
        match n {
            0 => {
                self.title(out);
                return Some(());
            }
            1 => {
                self.show_ring(out);
                return Some(());
            }
            _ => {}
        }
        let [faults, lines, users, calls] = self.parts();
        let mut n = n - 2;
        let heads: [(Part, &str); 3] = [
            (lines, "line             state          caller or last call"),
            (
                users,
                "user             waiting    held   taken at desk  next visit",
            ),
            (calls, "latest calls"),
        ];
        for (at, (part, head)) in heads.into_iter().enumerate() {
            if part.entries == 0 {
                continue;
            }
            let Some(row) = n.checked_sub(1) else {
                write_to(out, format_args!("{head}"));
                return Some(());
            };
            if row < part.shown() {
                return match at {
                    0 => self.status_line(row, out),
                    1 => self.status_user(row, out),
                    _ => self.status_call(row, out),
                };
            }
            if row < part.rows {
                let more = part.entries - part.shown();
                let words = ["lines", "users", "calls"];
                let word = words.get(at).unwrap_or(&"");
                write_to(out, format_args!("and {more} more: show {word}"));
                return Some(());
            }
            n = row - part.rows;
        }
        if n >= faults.rows {
            return None;
        }
        if n >= faults.shown() {
            let more = faults.entries - faults.shown();
            write_to(out, format_args!("! and {more} more"));
            return Some(());
        }
        let mut at = 0;
        self.faults(&mut |fault| {
            if at == n {
                write_to(out, format_args!("! {fault}"));
            }
            at += 1;
        });
        Some(())
    }

    /// Faults, lines, users and calls: how many rows each has.
    fn parts(&self) -> [Part; 4] {
        let office = &self.office;
        let mut faults = 0;
        self.faults(&mut |_| faults += 1);
        let calls = office.mailbox.ledger().log().iter().take(CALLS).count();
        let entries = [
            faults,
            office.config.lines.len(),
            office.config.users.len(),
            calls,
        ];
        // The faults have no heading.
        let heads = entries.iter().skip(1).filter(|&&count| count > 0).count();
        let mut left = ROWS - 2 - heads;
        let mut parts = entries.map(|entries| Part { entries, rows: 0 });
        for (part, sure) in parts.iter_mut().zip(SURE) {
            part.rows = part.entries.min(sure);
            left = left.saturating_sub(part.rows);
        }
        for part in &mut parts {
            let more = (part.entries - part.rows).min(left);
            part.rows += more;
            left -= more;
        }
        parts
    }

    fn title(&self, out: &mut Out) {
        let office = &self.office;
        let name = match office.config.hostname.as_str() {
            "" => office.machine.as_str(),
            name => name,
        };
        write_to(out, format_args!("ringmail at {name}"));
        if self.moment.wall.trusted {
            write_to(out, format_args!(", {}", Stamp(self.moment.wall)));
        }
    }

    fn line_of(&self, line: &config::Line) -> Option<&Line<'_, B>> {
        let mut lines = self.office.lines.iter();
        lines.find(|open| open.config.name == line.name)
    }

    /// The `nth` line: those with a fault, then those with a caller, then the others.
    fn status_line(&self, nth: usize, out: &mut Out) -> Option<()> {
        let mut order: Vec<(u8, usize), LINES> = Vec::new();
        for (at, line) in self.office.config.lines.iter().enumerate() {
            let rank = match self.line_of(line) {
                None => 0,
                Some(line) if line.fault.is_some() => 0,
                Some(line) if line.session.is_engaged() => 1,
                Some(_) => 2,
            };
            // There is a place for each of LINES lines.
            let _ = order.push((rank, at));
        }
        order.sort_unstable();
        let config = self.office.config.lines.get(order.get(nth)?.1)?;
        let name = &config.name;
        let Some(line) = self.line_of(config) else {
            write_to(out, format_args!("{name:<16.16} not open"));
            return Some(());
        };
        let status = line.session.status();
        write_to(
            out,
            format_args!("{name:<16.16} {:<14} ", Words::of(status).text()),
        );
        match (&line.fault, &line.last) {
            (Some(fault), _) => write_to(out, format_args!("{fault}")),
            _ if line.session.in_call() => {
                let user = line.user.as_deref().unwrap_or("nobody yet");
                write_to(out, format_args!("{user}"));
                if let Some(number) = line.caller_number() {
                    write_to(out, format_args!(" from {number}"));
                }
            }
            (None, Some(last)) => {
                let user = last.user.as_deref().unwrap_or("nobody");
                let (sent, offered) = (last.sent, last.offered);
                let (at, end) = (Stamp(last.ended_at), reason_word(last.reason));
                write_to(
                    out,
                    format_args!("{at} {user:.12}, {sent} of {offered} sent, {end}"),
                );
            }
            (None, None) => write_to(out, format_args!("no call yet")),
        }
        Some(())
    }

    /// The `nth` user: those whose visits fail, then those with the most mail waiting.
    fn status_user(&self, nth: usize, out: &mut Out) -> Option<()> {
        let mails = self.mails();
        let mut order: Vec<(Reverse<(bool, u32)>, usize), USERS> = Vec::new();
        for (at, (user, mail)) in self.office.config.users.iter().zip(&mails).enumerate() {
            let trouble = matches!(
                self.standing(user),
                Some(Standing::Stopped | Standing::BackingOff { .. })
            );
            // There is a place for each of USERS users.
            let _ = order.push((Reverse((trouble, mail.waiting)), at));
        }
        order.sort_unstable();
        let at = order.get(nth)?.1;
        let (user, mail) = (self.office.config.users.get(at)?, mails.get(at)?);
        write_to(
            out,
            format_args!(
                "{:<16.16} {:>7} {:>7} {:>7} {:>7}  ",
                user.name, mail.waiting, mail.held, mail.taken, mail.at_desk
            ),
        );
        self.next_visit(user, out);
        Some(())
    }

    /// When the LAN server of a user is visited next.
    fn next_visit(&self, user: &User, out: &mut Out) {
        let pollers = &self.office.pollers;
        let Some(poller) = pollers.iter().find(|p| p.user == user.name) else {
            write_to(out, format_args!("no source"));
            return;
        };
        let standing = poller.schedule.standing();
        // Asking moves what it covers of the day: a copy is asked.
        let next = poller
            .schedule
            .clone()
            .next(self.moment.now, self.moment.wall);
        match (standing, next) {
            (Standing::Visiting, _) => write_to(out, format_args!("under way")),
            (Standing::Stopped, _) => write_to(out, format_args!("stopped")),
            (_, None) => write_to(out, format_args!("when asked for")),
            (_, Some(next)) => {
                let failed = match standing {
                    Standing::BackingOff { .. } => "failed, again ",
                    _ => "",
                };
                let seconds = self.seconds_to(next);
                write_to(out, format_args!("{failed}in {}", Span(seconds)));
            }
        }
    }

    /// The `nth` latest call.
    fn status_call(&self, nth: usize, out: &mut Out) -> Option<()> {
        let ledger = self.office.mailbox.ledger();
        let call = ledger.log().latest(u32::try_from(nth).ok()?)?;
        let account = ledger.account(call.user);
        let user = account.map_or("nobody", |account| account.name.as_str());
        write_to(
            out,
            format_args!(
                "{} {user:<16.16} {} of {} sent, {} deleted, {}, {}",
                self.ended(call),
                call.sent,
                call.offered,
                call.deleted,
                Span(u64::from(call.lasted)),
                reason_word(call.reason)
            ),
        );
        Some(())
    }

    /// When a call ended.
    pub(super) fn ended(&self, call: &CallRecord) -> Stamp {
        Stamp(Wall {
            unix: u64::from(call.minute) * 60,
            offset: self.moment.wall.offset,
            trusted: call.minute != 0,
        })
    }

    /// The mail of each user of the configuration, in its order, by one pass through the ledger.
    fn mails(&self) -> Vec<Mail, USERS> {
        let ledger = self.office.mailbox.ledger();
        let mut mails: Vec<Mail, USERS> = Vec::new();
        let mut places = [usize::MAX; 256];
        for (at, user) in self.office.config.users.iter().enumerate() {
            // There is a place for each of USERS users.
            let _ = mails.push(Mail::default());
            let account = ledger.find_account(&user.name);
            if let Some(place) = account.and_then(|it| places.get_mut(usize::from(it))) {
                *place = at;
            }
        }
        for (_, row) in ledger.rows() {
            let place = places.get(usize::from(row.user)).copied();
            let Some(mail) = place.and_then(|at| mails.get_mut(at)) else {
                continue;
            };
            match (row.taken, row.lan) {
                (Taken::Full, _) => mail.taken += 1,
                (_, Lan::Unread | Lan::Ours) => {
                    mail.waiting += 1;
                    mail.held += u32::from(row.copy.is_some());
                }
                (_, Lan::Read | Lan::Absent) => mail.at_desk += 1,
            }
        }
        mails
    }

    fn standing(&self, user: &User) -> Option<Standing> {
        let pollers = &self.office.pollers;
        let poller = pollers.iter().find(|p| p.user == user.name)?;
        Some(poller.schedule.standing())
    }

    /// Gives everything that is wrong, with what to do; the worst first.
    fn faults(&self, give: &mut dyn FnMut(fmt::Arguments<'_>)) {
        let office = &self.office;
        let usage = office.mailbox.usage();
        if let Some(fault) = usage.fault {
            give(format_args!(
                "store: {fault}; nothing is saved: change the card, then reboot"
            ));
        }
        if let Some(copies) = usage.rebuilt {
            give(format_args!(
                "store: its index was lost; {copies} copies were found, and are offered again"
            ));
        }
        for config in &office.config.lines {
            let name = &config.name;
            match self.line_of(config).map(|line| line.fault) {
                None => give(format_args!(
                    "{name:.16}: not to be opened: is the device there, and nobody else's?"
                )),
                Some(Some(fault)) => {
                    give(format_args!("{name:.16}: {fault}{}", remedy(fault)));
                }
                Some(None) => {}
            }
        }
        for user in &office.config.users {
            let name = &user.name;
            match self.standing(user) {
                Some(Standing::Stopped) => give(format_args!(
                    "{name:.16}: login refused: give its source anew, then poll {name}"
                )),
                Some(Standing::BackingOff { failures, .. }) => give(format_args!(
                    "{name:.16}: {failures} visit(s) failed: show user {name} says why"
                )),
                Some(Standing::Regular | Standing::Visiting) | None => {}
            }
        }
        if !self.moment.wall.trusted {
            give(format_args!(
                "the clock is not set: clock set DATE TIME, or ntp HOST"
            ));
        }
        if office.config.users.is_empty() {
            give(format_args!("nobody may dial in: say setup"));
        }
        if office.config.lines.is_empty() {
            give(format_args!("there is no line: line NAME device PATH"));
        }
        if office.config != office.saved {
            give(format_args!(
                "the configuration is not saved: save keeps it, revert drops it"
            ));
        }
    }
}

impl<B: Board> Office<'_, B> {
    /// Calls come first: what is wrong is still wrong after them.
    pub(super) fn light(&self) -> Light {
        let status = |line: &Line<'_, B>| line.session.status();
        let rings = |status| matches!(status, Status::Ringing | Status::Answering);
        if self.lines.iter().any(|line| line.session.in_call()) {
            return Light::InCall;
        }
        if self.lines.iter().any(|line| rings(status(line))) {
            return Light::Ringing;
        }
        let open = self.lines.iter().all(|line| line.fault.is_none());
        let stopped = |poller: &Poller| poller.schedule.standing() == Standing::Stopped;
        let sound = open
            && self.lines.len() >= self.config.lines.len()
            && self.mailbox.usage().fault.is_none()
            && !self.pollers.iter().any(stopped);
        if sound { Light::Idle } else { Light::Fault }
    }
}

/// What to do about a fault of a line.
fn remedy(fault: Fault) -> &'static str {
    match fault {
        Fault::Closed => ": plug the modem in",
        Fault::Silent => ": look at its power and cable",
        Fault::Crippled => ": calls may fail; try line NAME modem",
        Fault::InitRefused => ": look at line NAME init",
        Fault::StillOffHook => ": switch it off and on",
        // That says it already.
        Fault::OtherSpeed(_) => "",
    }
}

/// Cuts a row that is too long.
pub(super) fn clip(out: &mut Out) {
    if let Some((end, _)) = out.char_indices().nth(COLUMNS) {
        out.truncate(end);
    }
}

/// What a `Display` that knows no padding says, to be padded.
pub(super) struct Words(heapless::String<16>);

impl Words {
    pub(super) fn of(said: impl fmt::Display) -> Self {
        let mut words = heapless::String::new();
        let _ = fmt::Write::write_fmt(&mut Cut(&mut words), format_args!("{said}"));
        Self(words)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

/// Seconds for people, in the largest unit of which there are two at least.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ 0..120 => write!(f, "{seconds} s"),
            seconds @ 120..7200 => write!(f, "{} min", seconds / 60),
            seconds @ 7200..172_800 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} d", seconds / 86_400),
        }
    }
}
