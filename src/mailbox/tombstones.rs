//! Which rows may go when room is needed, and in which order (design 2.13).
//!
//! One walk over the table finds some hundred that go first, so that entering many rows into a
//! full ledger takes time in proportion.

use heapless::Vec;

use super::row::{Lan, Row, Taken};
use super::table::Table;

/// Tombstones that one walk finds: so many rows may be entered into a full ledger before the next.
const FOUND: usize = 256;

/// The order in which tombstones go: not taken before taken, then the oldest.
type Rank = (bool, u16);

/// The tombstones that go first, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    /// The first to go last; empty where none is known.
    found: Vec<(Rank, u32), FOUND>,
    /// No row may go, as far as the last walk saw.
    barren: bool,
    #[cfg(test)]
    pub(super) walks: u32,
}

/// Users with an open maildrop, a bit each: their rows stay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pins(u32);

impl Tombstones {
    /// Nothing is known of them: ages have changed, or who is pinned.
    pub(super) fn forget(&mut self) {
        self.found.clear();
        self.barren = false;
    }

    /// `row` was written: if it goes before those that were found, they are not the first any
    /// more.
    pub(super) fn note(&mut self, row: &Row, pins: Pins) {
        let Some(rank) = rank(row, pins) else {
            return;
        };
        self.barren = false;
        let youngest = self.found.first();
        if youngest.is_some_and(|&(youngest, _)| rank < youngest) {
            self.found.clear();
        }
    }

    /// The slot of the row that goes first.
    pub(super) fn oldest(&mut self, table: &Table<'_>, pins: Pins) -> Option<u32> {
        loop {
            if self.found.is_empty() && !self.barren {
                self.walk(table, pins);
            }
            let &(as_found, slot) = self.found.last()?;
            let row = table.row(slot);
            if row.and_then(|row| rank(&row, pins)) == Some(as_found) {
                return Some(slot);
            }
            // It has gone, or is something else by now.
            self.found.pop();
        }
    }

    fn walk(&mut self, table: &Table<'_>, pins: Pins) {
        #[cfg(test)]
        {
            self.walks += 1;
        }
        self.found.clear();
        for (slot, row) in table.rows() {
            let Some(rank) = rank(&row, pins) else {
                continue;
            };
            let place = (rank, slot);
            if self.found.is_full() {
                let youngest = self.found.first();
                if youngest.is_some_and(|&youngest| youngest <= place) {
                    continue;
                }
                self.found.remove(0);
            }
            // The oldest last. There is room: the youngest has gone.
            let at = self.found.partition_point(|&other| other > place);
            let _ = self.found.insert(at, place);
        }
        self.barren = self.found.is_empty();
    }
}

impl Pins {
    /// Pins `user`, or lets him go again.
    pub(super) fn set(&mut self, user: u8, pinned: bool) {
        let bit = Self::bit(user);
        if pinned {
            self.0 |= bit;
        } else {
            self.0 &= !bit;
        }
    }

    /// Whether `user` is pinned.
    pub(super) fn holds(self, user: u8) -> bool {
        self.0 & Self::bit(user) != 0
    }

    fn bit(user: u8) -> u32 {
        1_u32.checked_shl(u32::from(user)).unwrap_or(0)
    }
}

/// The row's place in the order; `None` if it may not go.
fn rank(row: &Row, pins: Pins) -> Option<Rank> {
    // A row of day 0 came while no clock was trusted: nobody knows its age.
    let age = row.since.wrapping_sub(1);
    let gone = row.lan == Lan::Absent && !pins.holds(row.user);
    gone.then_some((row.taken == Taken::Full, age))
}
