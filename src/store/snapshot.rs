//! Snapshots of the index: written in parts while the index changes, alternately in two areas.
//!
//! ```text
//! header, at the start of the area        part, one page each, behind the header's page
//!   0 magic "RMsn"               4          0 magic "RMpt"                4
//!   4 epoch                      4          4 epoch                       4
//!   8 generation                 8          8 generation                  8
//!  16 journal page it began in   8         16 number                      4
//!  24 checksum of the one before 4         20 octets of the part          4
//!  28 parts                      4         24 zeros                       4
//!  32 zeros                     28         28 checksum of 0..28 and part  4
//!  60 checksum of 0..60          4         32 the part
//! ```
//!
//! A part may be newer than the journal page the snapshot began in: entries are absolute, and
//! replaying them again does no harm. It must not be newer than what is durable, else a cut could
//! keep a change whose forerunners are lost. Hence the order of a snapshot's life:
//!
//! ```text
//! Idle -> Writing parts -> Settling: all that was logged meanwhile becomes durable
//!   ^                                                                          |
//!   +---- Closing: the header becomes durable <- Heading: the next commit writes it
//! ```

use hal::{Medium, MediumError};

use super::octets::{Key, put, size, u32_at, u64_at};
use super::superblock::Geometry;

/// The header of a part.
pub(super) const PART_HEADER_OCTETS: u32 = 32;
/// The header of a snapshot; the rest of its page is not used.
pub(super) const HEADER_OCTETS: usize = 64;

const MAGIC: &[u8; 4] = b"RMsn";
const PART_MAGIC: &[u8; 4] = b"RMpt";

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

/// The newest durable snapshot, and the one under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    /// The highest generation seen.
    pub(super) generation: u64,
    /// Which area holds the newest durable one.
    pub(super) in_b: bool,
    /// Whether the next one was asked for, and does not wait for others' commits.
    pub(super) urgent: bool,
    pub(super) state: State,
}

/// The header of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) epoch: u32,
    pub(super) generation: u64,
    /// The journal page that was being filled when it began: replay starts there.
    pub(super) from: u64,
    /// Checksum of the journal page before.
    pub(super) previous: u32,
    pub(super) parts: u32,
}

impl Header {
    pub(super) fn encode(&self, key: Key) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        put(&mut octets, 0, MAGIC);
        put(&mut octets, 4, &self.epoch.to_le_bytes());
        put(&mut octets, 8, &self.generation.to_le_bytes());
        put(&mut octets, 16, &self.from.to_le_bytes());
        put(&mut octets, 24, &self.previous.to_le_bytes());
        put(&mut octets, 28, &self.parts.to_le_bytes());
        let sum = key.sum(octets.get(..60).unwrap_or_default());
        put(&mut octets, 60, &sum.to_le_bytes());
        octets
    }

    pub(super) fn decode(key: Key, octets: &[u8; HEADER_OCTETS]) -> Option<Self> {
        if !octets.starts_with(MAGIC)
            || key.sum(octets.get(..60).unwrap_or_default()) != u32_at(octets, 60)
        {
            return None;
        }
        Some(Self {
            epoch: u32_at(octets, 4),
            generation: u64_at(octets, 8),
            from: u64_at(octets, 16),
            previous: u32_at(octets, 24),
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
            && u32_at(page, 4) == self.epoch
            && u64_at(page, 8) == self.generation
            && u32_at(page, 16) == number
            && u32_at(page, 28) == sum_of_part(key, page, length))
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
