//! Snapshots of the index: written in parts while the index changes, alternately in two areas.
//!
//! ```text
//! header, at the start of the area        part, one page each, behind the header's page
//!   0 magic "RMsn"               4          0 magic "RMpt"                4
//!   4 epoch                      4          4 epoch                       4
//!   8 generation                 8          8 generation                  8
//!  16 next journal page          8         16 number                      4
//!  24 checksum of the last item  4         20 octets of the part          4
//!  28 parts                      4         24 zeros                       4
//!  32 number of the next item    8         28 checksum of 0..28 and part  4
//!  40 the ring's head: sequence  4         32 the part
//!     of its segment, offset     4
//!  48 zeros                     12
//!  60 checksum of 0..60          4
//! ```
//!
//! A part may be newer than the item the snapshot began in: entries are absolute, and
//! replaying them again does no harm. It must not be newer than what is durable, else a cut could
//! keep a change whose forerunners are lost. Hence the order of a snapshot's life:
//!
//! ```text
//! Idle -> Writing parts -> Settling: all that was logged meanwhile becomes durable
//!   ^                                                                          |
//!   +---- Closing: the header becomes durable <- Heading: the next commit writes it
//! ```
//!
//! It is time for one when half of the journal is used, when half of the ring holds items that
//! no snapshot has, or when so much was written to the ring that a snapshot costs less than a
//! hundredth of it.

use hal::{Medium, MediumError};

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, put, size, u32_at, u64_at};
use super::ring::Ring;
use super::{Fault, Index, Store, StoreError};

/// The header of a part.
pub(super) const PART_HEADER_OCTETS: u32 = 32;
/// The header of a snapshot; the rest of its page is not used.
pub(super) const HEADER_OCTETS: usize = 64;

const MAGIC: &[u8; 4] = b"RMsn";
const PART_MAGIC: &[u8; 4] = b"RMpt";
/// Parts of a snapshot written in one step.
const PARTS_A_STEP: usize = 4;
/// Octets of the ring for each octet of a snapshot.
const RING_OCTETS: u64 = 96;

/// How far the next snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// `number` parts are written, the next begins at the index's `cursor`.
    Writing {
        header: Header,
        cursor: u32,
    },
    /// All parts are written; waits for this group to be durable.
    Settling {
        header: Header,
        group: u64,
    },
    /// The next commit writes the header.
    Heading {
        header: Header,
    },
    /// The header is written with this group.
    Closing {
        header: Header,
        group: u64,
    },
}

/// A place in the chain of items: what comes next, and where to look for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next item.
    pub(super) number: u64,
    /// Checksum of the one before.
    pub(super) previous: u32,
    /// The next journal page.
    pub(super) page: u64,
    /// The ring's head: sequence of its segment, and the offset there.
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Position {
    /// The beginning of everything.
    pub(super) fn first(geometry: &Geometry) -> Self {
        Self {
            number: 1,
            previous: 0,
            page: 1,
            segment: 1,
            offset: geometry.page,
        }
    }
}

/// The newest durable snapshot, and the one under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    /// The highest generation seen.
    pub(super) generation: u64,
    /// Which area holds the newest durable one.
    pub(super) in_b: bool,
    /// Where the newest durable one began.
    pub(super) at: Position,
    /// Its parts.
    pub(super) parts: u32,
    /// Whether the next one was asked for, and does not wait for others' commits.
    pub(super) urgent: bool,
    pub(super) state: State,
}

/// The header of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u32,
    pub(super) generation: u64,
    /// The item that was being filled when it began: replay starts there.
    pub(super) at: Position,
    pub(super) parts: u32,
}

impl<M: Medium> Store<'_, M> {
    /// Asks for a snapshot of the index, whatever the journal's length, without waiting for the
    /// next commits: at a clean stop, say.
    pub fn take_snapshot(&mut self) {
        self.snapshot.urgent = true;
        if self.snapshot.state == State::Idle {
            self.begin_snapshot();
        }
    }

    /// Begins a snapshot when it is time, and writes some parts of it.
    pub(super) fn step_snapshot(&mut self, index: &mut impl Index) -> bool {
        if self.snapshot.state == State::Idle && self.is_snapshot_due() {
            self.begin_snapshot();
        }
        let mut did = false;
        for _ in 0..PARTS_A_STEP {
            let State::Writing { mut header, cursor } = self.snapshot.state else {
                break;
            };
            let Ok(next) = self.write_part(&header, cursor, index) else {
                break;
            };
            did = true;
            header.parts += 1;
            self.snapshot.state = match next {
                Some(cursor) => State::Writing { header, cursor },
                None if !defence(Rule::SnapshotSettles) => State::Heading { header },
                None => State::Settling {
                    header,
                    group: self.group,
                },
            };
        }
        // A snapshot rides on the commits of others, but not until the journal is full.
        let waits = matches!(
            self.snapshot.state,
            State::Settling { .. } | State::Heading { .. }
        );
        let urgent =
            self.snapshot.urgent || self.journal.used() * 4 >= u64::from(self.geometry.journal) * 3;
        self.wanted |= waits && urgent;
        did
    }

    fn is_snapshot_due(&self) -> bool {
        let Ring { newest, head, .. } = self.ring;
        let at = &self.snapshot.at;
        let segments = newest.saturating_sub(at.segment);
        let written = u64::from(segments) * u64::from(self.geometry.segment) + u64::from(head);
        let written = written.saturating_sub(at.offset.into());
        let octets = u64::from(self.snapshot.parts) * u64::from(self.geometry.page);
        // Then the mount need not read much of a summary that the snapshot holds.
        let begins = head <= self.geometry.segment / 4;
        let enough = octets
            .saturating_mul(RING_OCTETS)
            .max(self.geometry.segment.into());
        self.journal.used() * 2 >= u64::from(self.geometry.journal)
            || segments >= self.geometry.segments / 2
            || written >= enough && self.item.number > at.number && begins
    }

    pub(super) fn begin_snapshot(&mut self) {
        let Some(generation) = self.snapshot.generation.checked_add(1) else {
            self.fault = Some(Fault::Exhausted);
            return;
        };
        self.snapshot.generation = generation;
        let header = Header {
            epoch: self.epoch,
            generation,
            at: Position {
                number: self.item.number,
                previous: self.item.previous,
                page: self.journal.page,
                segment: self.ring.newest.max(1),
                offset: self.ring.head.max(self.geometry.page),
            },
            parts: 0,
        };
        self.snapshot.state = State::Writing { header, cursor: 0 };
    }

    fn write_part(
        &mut self,
        header: &Header,
        cursor: u32,
        index: &impl Index,
    ) -> Result<Option<u32>, StoreError> {
        self.writable()?;
        if header.parts >= self.geometry.snapshot_parts().1 {
            self.fault = Some(Fault::SnapshotTooLarge);
            return Err(Fault::SnapshotTooLarge.into());
        }
        let page = self.geometry.page as usize;
        let page = self.buffers.scratch.get_mut(..page).unwrap_or_default();
        let room = page.get_mut(PART_HEADER_OCTETS as usize..);
        let room = room.unwrap_or_default();
        let (length, next) = index.part(cursor, room);
        let length = length.min(room.len());
        let area = (&self.geometry, self.key, !self.snapshot.in_b);
        let written = header.write_part(&mut self.medium, area, page, length);
        self.taken(written)?;
        Ok(next)
    }

    /// Writes the header, if it is time: the commit that asks for it makes it durable.
    pub(super) fn write_snapshot_header(&mut self) -> Result<(), StoreError> {
        if let State::Heading { header } = self.snapshot.state {
            let at = self.geometry.snapshot_at(!self.snapshot.in_b);
            let written = self.medium.write(at, &header.encode(self.key));
            self.taken(written)?;
            let group = self.group;
            self.snapshot.state = State::Closing { header, group };
            if !defence(Rule::SnapshotCloses) {
                self.journal.from = header.at.page;
                self.snapshot.at = header.at;
            }
        }
        Ok(())
    }

    /// Goes on when a sync has made a group durable.
    pub(super) fn snapshot_durable(&mut self) {
        match self.snapshot.state {
            State::Settling { header, group } if group <= self.durable => {
                self.snapshot.state = State::Heading { header };
            }
            State::Closing { header, group } if group <= self.durable => {
                self.snapshot.in_b ^= defence(Rule::SnapshotTurns);
                self.snapshot.urgent = false;
                self.snapshot.state = State::Idle;
                self.snapshot.at = header.at;
                self.snapshot.parts = header.parts;
                self.journal.from = header.at.page;
                self.item.settled = self.item.settled.max(header.at.number);
                self.rebuilt = false;
            }
            State::Idle
            | State::Writing { .. }
            | State::Settling { .. }
            | State::Heading { .. }
            | State::Closing { .. } => {}
        }
    }
}

impl Header {
    pub(super) fn encode(&self, key: Key) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        put(&mut octets, 0, MAGIC);
        put(&mut octets, 4, &self.epoch.to_le_bytes());
        put(&mut octets, 8, &self.generation.to_le_bytes());
        put(&mut octets, 16, &self.at.page.to_le_bytes());
        put(&mut octets, 24, &self.at.previous.to_le_bytes());
        put(&mut octets, 28, &self.parts.to_le_bytes());
        put(&mut octets, 32, &self.at.number.to_le_bytes());
        put(&mut octets, 40, &self.at.segment.to_le_bytes());
        put(&mut octets, 44, &self.at.offset.to_le_bytes());
        let sum = key.sum(octets.get(..60).unwrap_or_default());
        put(&mut octets, 60, &sum.to_le_bytes());
        octets
    }

    pub(super) fn decode(key: Key, octets: &[u8; HEADER_OCTETS]) -> Option<Self> {
        if !octets.starts_with(MAGIC)
            || key.sum(octets.get(..60).unwrap_or_default()) != u32_at(octets, 60)
                && defence(Rule::SnapshotSum)
        {
            return None;
        }
        Some(Self {
            epoch: u32_at(octets, 4),
            generation: u64_at(octets, 8),
            at: Position {
                number: u64_at(octets, 32),
                previous: u32_at(octets, 24),
                page: u64_at(octets, 16),
                segment: u32_at(octets, 40),
                offset: u32_at(octets, 44),
            },
            parts: u32_at(octets, 28),
        })
    }

    /// Writes `page`, whose first octets of content the index has put behind the header, as part
    /// `self.parts` into area `b`.
    pub(super) fn write_part<M: Medium>(
        &self,
        medium: &mut M,
        (geometry, key, b): (&Geometry, Key, bool),
        page: &mut [u8],
        length: usize,
    ) -> Result<(), MediumError> {
        put(page, 0, PART_MAGIC);
        put(page, 4, &self.epoch.to_le_bytes());
        put(page, 8, &self.generation.to_le_bytes());
        put(page, 16, &self.parts.to_le_bytes());
        put(page, 20, &size(length).to_le_bytes());
        put(page, 24, &[0; 4]);
        if let Some(rest) = page.get_mut(PART_HEADER_OCTETS as usize + length..) {
            rest.fill(0);
        }
        let sum = sum_of_part(key, page, length);
        put(page, 28, &sum.to_le_bytes());
        medium.write(part_at(geometry, b, self.parts), page)
    }

    /// The content of part `number`, if `page` is that part of this snapshot.
    pub(super) fn part<'a>(&self, key: Key, page: &'a [u8], number: u32) -> Option<&'a [u8]> {
        let length = u32_at(page, 20) as usize;
        let part = page.get(PART_HEADER_OCTETS as usize..)?.get(..length)?;
        (page.starts_with(PART_MAGIC)
            && (u32_at(page, 4) == self.epoch
                && u64_at(page, 8) == self.generation
                && u32_at(page, 16) == number
                || !defence(Rule::PartOfSnapshot))
            && (u32_at(page, 28) == sum_of_part(key, page, length) || !defence(Rule::PartSum)))
        .then_some(part)
    }
}

/// Where part `number` of area `b` lies.
pub(super) fn part_at(geometry: &Geometry, b: bool, number: u32) -> u64 {
    geometry.snapshot_at(b) + (u64::from(number) + 1) * u64::from(geometry.page)
}

fn sum_of_part(key: Key, page: &[u8], length: usize) -> u32 {
    let start = PART_HEADER_OCTETS as usize;
    let header = page.get(..28).unwrap_or_default();
    let part = page.get(start..start + length).unwrap_or_default();
    key.start().update(header).update(part).value()
}
