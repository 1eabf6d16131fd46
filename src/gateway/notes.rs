//! What the owner may read afterwards: the latest lines of the log, and what is said of a call.

use core::fmt;

use hal::Wall;
use heapless::{Deque, String};

use crate::config::Name;
use crate::config::value::Date;
use crate::hayes::{Connect, Number};
use crate::mailbox::calls::CallRecord;
use crate::mailbox::maildrop::Tally;
use crate::pop3::server::{self, Stranger};
use crate::session::{EndReason, Ended};

use super::Moment;

/// Lines of the log that `show log` can show.
const NOTES: usize = 64;
/// Octets of a line that are kept: two rows of a terminal.
const NOTE_OCTETS: usize = 160;

/// The latest lines of the log. Everything the gateway logs at `info` or above passes here.
#[derive(Debug)]
pub(super) struct Notes {
    lines: Deque<Note, NOTES>,
    /// Lines noted since start.
    count: u32,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) wall: Wall,
    pub(super) text: String<NOTE_OCTETS>,
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Its number, if somebody logged in: what `again` takes.
    pub(super) number: Option<u32>,
    pub(super) line: Name,
    pub(super) user: Option<Name>,
    pub(super) caller: Option<Number>,
    /// What the modem said when it began: speed and protocol, as far as it tells.
    pub(super) connect: Option<Connect>,
    pub(super) ended_at: Wall,
    pub(super) tally: Tally,
    pub(super) ended: Ended,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            lines: Deque::new(),
            count: 0,
        }
    }

    pub(super) fn info(&mut self, moment: Moment, text: fmt::Arguments<'_>) {
        log::info!("{text}");
        self.keep(moment, text);
    }

    pub(super) fn warn(&mut self, moment: Moment, text: fmt::Arguments<'_>) {
        log::warn!("{text}");
        self.keep(moment, text);
    }

    pub(super) fn error(&mut self, moment: Moment, text: fmt::Arguments<'_>) {
        log::error!("{text}");
        self.keep(moment, text);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Note> {
        self.lines.iter()
    }

    /// Lines noted since start; and those of them after the first `seen`, as far as they are kept.
    pub(super) fn since(&self, seen: u32) -> (u32, impl Iterator<Item = &Note>) {
        let fresh = usize::try_from(self.count - seen.min(self.count)).unwrap_or(NOTES);
        let skipped = self.lines.len().saturating_sub(fresh);
        (self.count, self.lines.iter().skip(skipped))
    }

    fn keep(&mut self, moment: Moment, text: fmt::Arguments<'_>) {
        if self.lines.is_full() {
            self.lines.pop_front();
        }
        let mut note = Note {
            wall: moment.wall,
            text: String::new(),
        };
        // A line that is too long is cut.
        let _ = fmt::Write::write_fmt(&mut Cut(&mut note.text), text);
        self.count = self.count.wrapping_add(1);
        // There is room: the oldest has gone.
        let _ = self.lines.push_back(note);
    }
}

impl Call {
    /// What is kept of it: of the account `user`, at `speed` bit/s.
    pub(super) fn record(&self, user: u8, speed: u32) -> CallRecord {
        let fit = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let minute = if self.ended_at.trusted {
            fit(self.ended_at.unix / 60)
        } else {
            0
        };
        CallRecord {
            serial: 0,
            number: self.number.unwrap_or(0),
            minute,
            lasted: fit(self.ended.lasted.as_secs()),
            speed,
            protocol: self
                .connect
                .as_ref()
                .map_or(0, |connect| connect.protocol.freeze()),
            caller: CallRecord::kept_caller(self.caller.as_deref().unwrap_or_default()),
            user,
            offered: self.tally.offered,
            offered_octets: fit(self.tally.offered_octets),
            sent: self.tally.sent,
            sent_octets: fit(self.tally.sent_octets),
            deleted: self.tally.deleted,
            octets: fit(self.ended.sent),
            reason: freeze_reason(self.ended.reason),
        }
    }
}

/// The number that stands for the end of a call in the log: persisted, so none ever changes.
fn freeze_reason(reason: EndReason) -> u8 {
    match reason {
        EndReason::Pop3(server::EndReason::Quit) => 0,
        EndReason::Pop3(server::EndReason::Autologout) => 1,
        EndReason::Pop3(server::EndReason::CallLimit) => 2,
        EndReason::Pop3(server::EndReason::TooManyErrors) => 3,
        EndReason::Pop3(server::EndReason::LoginFailures) => 4,
        EndReason::Pop3(server::EndReason::StoreFault) => 5,
        EndReason::CarrierLost(_) => 6,
        EndReason::Unplugged => 7,
        EndReason::HungUp => 8,
        EndReason::Pop3(server::EndReason::NoLogin) => 9,
        EndReason::Pop3(server::EndReason::Stranger(stranger)) => match stranger {
            Stranger::Telnet => 10,
            Stranger::Ppp => 11,
            Stranger::FidoNet => 12,
            Stranger::Fax => 13,
            Stranger::Tls => 14,
            Stranger::Web => 15,
            Stranger::Smtp => 16,
            Stranger::Ssh => 17,
            Stranger::EmptyLines => 18,
            Stranger::Noise => 19,
            Stranger::Flood => 20,
        },
    }
}

/// The end of a call in a word.
pub(super) fn reason_word(number: u8) -> &'static str {
    match number {
        0 => "quit",
        1 => "idle",
        2 => "limit",
        3 => "errors",
        4 => "password",
        5 => "store",
        6 => "carrier",
        7 => "no modem",
        8 => "hung up",
        9 => "no login",
        10 => "telnet",
        11 => "PPP",
        12 => "FidoNet",
        13 => "fax",
        14 => "TLS",
        15 => "web",
        16 => "SMTP",
        17 => "SSH",
        18 => "empty",
        19 => "noise",
        20 => "flood",
        _ => "?",
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, ended, .. } = self;
        write!(
            f,
            "line {}: call ended: {}; {}, {} of {} mail(s) sent ({} of {} octets), {} deleted, {} octets, {} s",
            self.line,
            ended.reason,
            self.user.as_deref().unwrap_or("nobody"),
            tally.sent,
            tally.offered,
            tally.sent_octets,
            tally.offered_octets,
            tally.deleted,
            ended.sent,
            ended.lasted.as_secs(),
        )?;
        if let Some(percent) = ended.line_use {
            write!(f, ", line use {percent} %")?;
        }
        if let Some(connect) = &self.connect {
            write!(f, ", {}", connect.text)?;
        }
        match &self.caller {
            Some(caller) => write!(f, ", from {caller}"),
            None => Ok(()),
        }
    }
}

/// Text that takes what fits and drops the rest.
pub(super) struct Cut<'t, const N: usize>(pub(super) &'t mut String<N>);

impl<const N: usize> fmt::Write for Cut<'_, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// A moment for people: date and time where a clock is trusted, dashes where none is.
pub(super) struct Stamp(pub(super) Wall);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.trusted {
            return f.write_str("---- -- -- --:--");
        }
        let second = self.0.second_of_day();
        let local = i64::try_from(self.0.unix).unwrap_or(0) + i64::from(self.0.offset);
        let days = u16::try_from(local.div_euclid(86_400)).unwrap_or(0);
        let date = Date::from_days(days);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        write!(f, "{date} {hour:02}:{minute:02}")
    }
}
