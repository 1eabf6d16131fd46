//! The day on which a mail was read at the desk, as callers are told it.

use core::fmt;

use crate::config::value::Date;

/// A day as [`Row::since`](super::Row::since) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day(pub(super) u16);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // Nobody had set the clock.
            0 => f.write_str("(day unknown)"),
            days => Date::from_days(days).fmt(f),
        }
    }
}
