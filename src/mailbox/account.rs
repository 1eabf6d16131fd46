//! What is remembered of a user and his source, besides the mails.

use crate::config::Name;

/// What the gateway remembers of a user besides the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user's name; empty: the account is free.
    pub name: Name,
    /// What is known of the source's habits.
    pub source: SourceRecord,
    /// What is known of its sizes. Not written down: to learn it again costs one `LIST`.
    pub sizes: Sizes,
    /// What its `TOP` is known to bring whole. Not written down either.
    pub reach: Reach,
}

/// How far a source's sizes agree with those of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Octets that `STAT` says more than the rows have in all, when each was looked at last.
    pub excess: i64,
    /// Its sizes differ from those of the mails: what they say of a change means nothing.
    pub inexact: bool,
}

/// How large the mails were that came by `TOP` with the very size that was announced: `TOP` does
/// not cut mails up to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    octets: u64,
    lines: u32,
}

impl Reach {
    /// A mail of `octets` in `lines` came whole.
    pub fn extend(&mut self, octets: u64, lines: u32) {
        self.octets = self.octets.max(octets);
        self.lines = self.lines.max(lines);
    }

    /// Whether mails as large as one of `octets` in `lines` came whole: a `TOP` that cuts does so
    /// after so many lines, or so many octets.
    #[must_use]
    pub fn covers(&self, octets: u64, lines: u32) -> bool {
        octets <= self.octets && lines <= self.lines
    }
}

/// What is known of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// Hash of its URL and login: another one is another source.
    pub fingerprint: u64,
    /// Whether a first listing has been believed and committed (design 2.11).
    pub visited: bool,
    /// Whether it keeps what is fetched (design 2.4).
    pub habit: Habit,
}

/// Whether a source keeps what is fetched from it (design 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    /// Nobody has tried.
    #[default]
    Untested,
    /// What was fetched was listed at the next login.
    Keeps,
    /// What was fetched was not listed any more.
    Consumes,
}
