//! The journal: what changed in the index since the newest snapshot, page by page.
//!
//! ```text
//!  0 magic "RMjp"   4     20 checksum of the previous page  4
//!  4 epoch          4     24 octets of entries              4
//!  8 sequence       8     28 checksum of 0..28 and entries  4
//! 16 unsettled      4     32 entries: length 2 (bit 15: the store's own), octets
//! ```
//!
//! Page `sequence` lies at `sequence % pages`. A page is written once, whole, and never appended
//! to. The pages form a chain: each names the checksum of the one before, epochs never fall.
//! `unsettled` says how many pages before this one were not known to be durable when it was
//! written: everything before these is.

use hal::{Medium, MediumError};
use heapless::Vec;

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, put, size, u16_at, u32_at, u64_at};
use super::record::{Place, WRITERS};

const MAGIC: &[u8; 4] = b"RMjp";
const HEADER_OCTETS: usize = 32;
const FRAME_OCTETS: usize = 2;
/// What a page has besides one entry that fills it.
pub(super) const OVERHEAD_OCTETS: usize = HEADER_OCTETS + FRAME_OCTETS;
/// The store's own entry, not the index's.
const OWN: u16 = 1 << 15;

/// The end of the journal, where it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journal {
    /// Sequence of the page being filled.
    pub(super) sequence: u64,
    /// Checksum of the page before it.
    pub(super) previous: u32,
    /// Octets of entries in it.
    filled: usize,
    /// The first page that the newest durable snapshot needs.
    pub(super) from: u64,
    /// Pages before this one are durable, and so is what their entries speak of.
    pub(super) settled: u64,
}

impl Journal {
    pub(super) fn new(sequence: u64, previous: u32, from: u64, settled: u64) -> Self {
        Self {
            sequence,
            previous,
            filled: 0,
            from,
            settled,
        }
    }

    /// Whether an entry of `octets` fits the page being filled.
    pub(super) fn fits(&self, geometry: &Geometry, octets: usize) -> bool {
        HEADER_OCTETS + self.filled + FRAME_OCTETS + octets <= geometry.page as usize
    }

    /// Whether the page being filled would overwrite one that is still needed.
    pub(super) fn is_full(&self, geometry: &Geometry) -> bool {
        self.used() >= u64::from(geometry.journal)
    }

    /// Pages written since the newest durable snapshot.
    pub(super) fn used(&self) -> u64 {
        self.sequence - self.from
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Adds an entry that [`fits`](Self::fits).
    pub(super) fn push(&mut self, page: &mut [u8], entry: &[u8], own: bool) {
        let frame = u16::try_from(entry.len()).unwrap_or(0) | if own { OWN } else { 0 };
        let at = HEADER_OCTETS + self.filled;
        put(page, at, &frame.to_le_bytes());
        put(page, at + FRAME_OCTETS, entry);
        self.filled += FRAME_OCTETS + entry.len();
    }

    /// Writes the page being filled, and begins the next.
    pub(super) fn seal<M: Medium>(
        &mut self,
        medium: &mut M,
        geometry: &Geometry,
        (key, epoch): (Key, u32),
        page: &mut [u8],
    ) -> Result<(), MediumError> {
        let Some(page) = page.get_mut(..geometry.page as usize) else {
            return Err(MediumError::OutOfBounds);
        };
        let unsettled = u32::try_from(self.sequence - self.settled).unwrap_or(u32::MAX);
        put(page, 0, MAGIC);
        put(page, 4, &epoch.to_le_bytes());
        put(page, 8, &self.sequence.to_le_bytes());
        put(page, 16, &unsettled.to_le_bytes());
        put(page, 20, &self.previous.to_le_bytes());
        put(page, 24, &size(self.filled).to_le_bytes());
        if let Some(rest) = page.get_mut(HEADER_OCTETS + self.filled..) {
            rest.fill(0);
        }
        let sum = sum_of(key, page, self.filled);
        put(page, 28, &sum.to_le_bytes());
        medium.write(geometry.journal_at(self.sequence), page)?;
        self.previous = sum;
        self.sequence += 1;
        self.filled = 0;
        Ok(())
    }
}

/// A page as it was read, if it verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    pub(super) epoch: u32,
    pub(super) sequence: u64,
    /// Pages before this were durable when it was written.
    pub(super) settled: u64,
    pub(super) previous: u32,
    pub(super) sum: u32,
    entries: &'a [u8],
}

impl<'a> Page<'a> {
    pub(super) fn decode(key: Key, page: &'a [u8]) -> Option<Self> {
        let length = u32_at(page, 24) as usize;
        let entries = page.get(HEADER_OCTETS..)?.get(..length)?;
        let sum = u32_at(page, 28);
        let sound = sum_of(key, page, length) == sum || !defence(Rule::JournalSum);
        if !page.starts_with(MAGIC) || !sound {
            return None;
        }
        let sequence = u64_at(page, 8);
        Some(Self {
            epoch: u32_at(page, 4),
            sequence,
            settled: sequence.saturating_sub(u64::from(u32_at(page, 16))),
            previous: u32_at(page, 20),
            sum,
            entries,
        })
    }

    /// The entries, oldest first; whether each is the store's own.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a [u8], bool)> + use<'a> {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let (frame, tail) = rest.split_at_checked(FRAME_OCTETS)?;
            let frame = u16_at(frame, 0);
            let (entry, tail) = tail.split_at_checked(usize::from(frame & !OWN))?;
            rest = tail;
            Some((entry, frame & OWN != 0))
        })
    }
}

fn sum_of(key: Key, page: &[u8], length: usize) -> u32 {
    let header = page.get(..28).unwrap_or_default();
    let entries = page
        .get(HEADER_OCTETS..HEADER_OCTETS + length)
        .unwrap_or_default();
    key.start().update(header).update(entries).value()
}

/// The store's own entry: segment `segment` is evicted, and with it the copies that go on in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) segment: u32,
    pub(super) continued: Vec<Place, WRITERS>,
}

impl Evicted {
    const TAG: u8 = 1;

    /// `tag 1, segment 4, places 4 each`.
    pub(super) fn encode(&self) -> Vec<u8, { 5 + 4 * WRITERS }> {
        let mut octets = Vec::new();
        // Cannot fail: the capacity is what the longest needs.
        let _ = octets.push(Self::TAG);
        let _ = octets.extend_from_slice(&self.segment.to_le_bytes());
        for place in &self.continued {
            let _ = octets.extend_from_slice(&place.0.to_le_bytes());
        }
        octets
    }

    pub(super) fn decode(octets: &[u8]) -> Option<Self> {
        let (&[tag, a, b, c, d], places) = octets.split_first_chunk()?;
        let places = places.chunks_exact(4);
        if tag != Self::TAG || places.len() > WRITERS {
            return None;
        }
        Some(Self {
            segment: u32::from_le_bytes([a, b, c, d]),
            continued: places.map(|place| Place(u32_at(place, 0))).collect(),
        })
    }
}
