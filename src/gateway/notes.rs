//! What the owner may read afterwards: the latest lines of the log, and the latest calls.

use core::fmt;

use hal::Wall;
use heapless::{Deque, String};

use crate::config::Name;
use crate::config::value::Date;
use crate::hayes::Number;
use crate::mailbox::maildrop::Tally;
use crate::session::Ended;

use super::Moment;

/// Lines of the log that `show log` can show.
const NOTES: usize = 64;
/// Calls that `show calls` can show.
const CALLS: usize = 32;
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

/// The latest calls.
#[derive(Debug)]
pub(super) struct Calls(Deque<Call, CALLS>);

/// A call that has ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Its number, if somebody logged in: what `again` takes.
    pub(super) number: Option<u32>,
    pub(super) line: Name,
    pub(super) user: Option<Name>,
    pub(super) caller: Option<Number>,
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

impl Calls {
    pub(super) fn new() -> Self {
        Self(Deque::new())
    }

    pub(super) fn add(&mut self, call: Call) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        // There is room: the oldest has gone.
        let _ = self.0.push_back(call);
    }

    /// Newest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Call> {
        self.0.iter().rev()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, ended, .. } = self;
        write!(
            f,
            "line {}: call ended: {}; {}, {} of {} mail(s) sent, {} deleted, {} octets, {} s",
            self.line,
            ended.reason,
            self.user.as_deref().unwrap_or("nobody"),
            tally.sent,
            tally.offered,
            tally.deleted,
            ended.sent,
            ended.lasted.as_secs(),
        )
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
