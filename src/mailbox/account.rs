//! What is remembered of a user and his source, besides the mails.

use heapless::Vec;

use crate::config::Name;
use crate::reconcile::Key;

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
    /// Its lists are such that each of their entries is wanted. Not written down either.
    pub odd_lists: bool,
    /// Mails of it that visits fail over. Not written down either.
    pub stumbles: Stumbles,
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

    /// Whether `TOP` has not cut a mail of `octets`, of which so many `lines` have come: one as large
    /// and one with more lines came whole, and it cuts after so many lines, or above so many octets.
    #[must_use]
    pub fn covers(&self, octets: u64, lines: u32) -> bool {
        octets <= self.octets && lines < self.lines
    }
}

/// Mails that visits have failed over.
///
/// ```text
/// once: suspect -> twice in a row: late -> once more, surely for it: spoilt
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stumbles {
    /// The latest visit that failed over a mail did so over this one.
    suspect: Option<Key>,
    /// They come last; of several, the one that failed last after the others.
    late: Vec<Key, STUMBLES>,
    /// The server does not send them as it should.
    spoilt: Vec<Key, STUMBLES>,
}

/// So many are remembered; of more, the oldest is forgotten.
const STUMBLES: usize = 8;

impl Stumbles {
    /// A visit failed over this mail; `surely`: not because the network did.
    pub fn note(&mut self, key: Key, surely: bool) {
        let before = self.late.iter().position(|&late| late == key);
        if before.is_none() && self.suspect != Some(key) {
            self.suspect = Some(key);
            return;
        }
        if let Some(at) = before {
            self.late.remove(at);
        }
        let list = if surely && before.is_some() {
            &mut self.spoilt
        } else {
            &mut self.late
        };
        if list.is_full() {
            list.remove(0);
        }
        // There is room.
        let _ = list.push(key);
    }

    /// This mail came whole.
    pub fn forget(&mut self, key: Key) {
        self.late.retain(|&late| late != key);
        self.spoilt.retain(|&spoilt| spoilt != key);
    }

    /// Mails that come after all others, in this order.
    #[must_use]
    pub fn late(&self) -> &[Key] {
        &self.late
    }

    /// Whether this mail is to be passed over.
    #[must_use]
    pub fn is_spoilt(&self, key: Key) -> bool {
        self.spoilt.contains(&key)
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
