//! What lies in a segment, to and from octets: its header page, and the records behind it.
//!
//! ```text
//! segment header, 128 octets             record header, 64 octets
//!   0 magic "RMsg"     4                   0 magic "RMrc"           4
//!   4 sequence         4                   4 flags: first 1, last 2, pad 4,
//!   8 epoch            4                     item 8; 5 zero         2
//!  12 count of copies  4                   6 octets of head         2
//!  16 copies that go on here: place 4,     8 epoch of the writer    4
//!     sequence of the segment where       12 serial of the copy     4
//!     it lies 4; eight times      64      16 index of the chunk     4
//!  80 octets of items 4 } summary         20 octets of content      4
//!  84 their checksum  4 } only            24 sequence of segment    4
//!  88 zeros          36                   28 place of first chunk   4
//! 124 checksum        4
//!                                         32 checksum of head + content
//!                                         36 octets of the copy     8  } last chunk
//!                                         44 its checksum           4  } only
//!                                         48 zeros                 12
//!                                         60 checksum of 0..60      4
//! ```
//!
//! Behind a record header stand the head (first chunk only), the content, and zeros up to the
//! next multiple of 64 octets. A record may also hold an item: entries of the index that go with
//! the copies of one commit, in room that would only be padded.
//!
//! A segment that is full is closed with its summary: all items that lie in it once more, one
//! behind the other, and behind them, in its last 128 octets, its header once more under the magic
//! "RMsm", with their length and checksum. The sequence of the segment is repeated in each record, so that
//! neither an old record under a new header nor a new one under an old header is ever believed.

use heapless::Vec;

use super::defence::{Rule, defence};
use super::octets::{Key, put, u16_at, u32_at, u64_at};

/// Copies that may be under way at once: the visits, and a few fetches for callers.
pub const WRITERS: usize = 8;
/// The longest head of a copy, in octets.
pub const HEAD_MAX: u32 = 256;
/// The largest content of one record.
pub(super) const CHUNK_MAX: u32 = 16 * 1024;
/// The header of a record.
pub(super) const HEADER_OCTETS: u32 = 64;
/// The header of a segment; the rest of its page is not written.
pub(super) const SEGMENT_OCTETS: usize = 128;

const RECORD_MAGIC: &[u8; 4] = b"RMrc";
const SEGMENT_MAGIC: &[u8; 4] = b"RMsg";
const SUMMARY_MAGIC: &[u8; 4] = b"RMsm";

/// Where a copy begins: its offset in the ring, in units of 64 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fills the rest of a page.
    Pad,
    /// Holds an item.
    Item,
    Chunk {
        first: bool,
        last: bool,
    },
}

/// One record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) head: u16,
    pub(super) epoch: u32,
    pub(super) serial: u32,
    pub(super) index: u32,
    pub(super) length: u32,
    /// Sequence of the segment it lies in.
    pub(super) segment: u32,
    /// Place of the copy's first chunk.
    pub(super) origin: Place,
    /// Checksum of head and content.
    pub(super) sum: u32,
    /// Octets of the whole copy; on the last chunk only.
    pub(super) whole_octets: u64,
    /// Checksum of the whole copy; on the last chunk only.
    pub(super) whole_sum: u32,
}

impl Record {
    /// Octets of the record, from its header to the next one.
    pub(super) fn span(&self) -> u32 {
        (HEADER_OCTETS + u32::from(self.head) + self.length).next_multiple_of(64)
    }

    pub(super) fn encode(&self, key: Key) -> [u8; 64] {
        let mut octets = [0; 64];
        put(&mut octets, 0, RECORD_MAGIC);
        let flags = match self.kind {
            Kind::Pad => 4,
            Kind::Item => 8,
            Kind::Chunk { first, last } => u8::from(first) | u8::from(last) << 1,
        };
        put(&mut octets, 4, &[flags]);
        put(&mut octets, 6, &self.head.to_le_bytes());
        put(&mut octets, 8, &self.epoch.to_le_bytes());
        put(&mut octets, 12, &self.serial.to_le_bytes());
        put(&mut octets, 16, &self.index.to_le_bytes());
        put(&mut octets, 20, &self.length.to_le_bytes());
        put(&mut octets, 24, &self.segment.to_le_bytes());
        put(&mut octets, 28, &self.origin.0.to_le_bytes());
        put(&mut octets, 32, &self.sum.to_le_bytes());
        put(&mut octets, 36, &self.whole_octets.to_le_bytes());
        put(&mut octets, 44, &self.whole_sum.to_le_bytes());
        let sum = key.sum(octets.get(..60).unwrap_or_default());
        put(&mut octets, 60, &sum.to_le_bytes());
        octets
    }

    /// The header at the start of `octets`, if there is one.
    pub(super) fn decode(key: Key, octets: &[u8]) -> Option<Self> {
        let octets = octets.get(..64)?;
        if !octets.starts_with(RECORD_MAGIC)
            || key.sum(octets.get(..60).unwrap_or_default()) != u32_at(octets, 60)
                && defence(Rule::RecordSum)
        {
            return None;
        }
        let kind = match octets.get(4) {
            Some(4) => Kind::Pad,
            Some(8) => Kind::Item,
            Some(flags @ 0..=3) => Kind::Chunk {
                first: flags & 1 != 0,
                last: flags & 2 != 0,
            },
            Some(_) | None => return None,
        };
        let record = Self {
            kind,
            head: u16_at(octets, 6),
            epoch: u32_at(octets, 8),
            serial: u32_at(octets, 12),
            index: u32_at(octets, 16),
            length: u32_at(octets, 20),
            segment: u32_at(octets, 24),
            origin: Place(u32_at(octets, 28)),
            sum: u32_at(octets, 32),
            whole_octets: u64_at(octets, 36),
            whole_sum: u32_at(octets, 44),
        };
        (u32::from(record.head) <= HEAD_MAX && record.length <= CHUNK_MAX).then_some(record)
    }
}

/// A copy that began in an earlier segment and goes on in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Continued {
    pub(super) place: Place,
    /// Sequence of the segment it began in: tells whether that still stands.
    pub(super) segment: u32,
}

/// The header of a segment, and the end of its summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) sequence: u32,
    pub(super) epoch: u32,
    pub(super) continued: Vec<Continued, WRITERS>,
    /// At the end: octets of the items before it, and their checksum.
    pub(super) items: Option<(u32, u32)>,
}

impl SegmentHeader {
    pub(super) fn encode(&self, key: Key) -> [u8; SEGMENT_OCTETS] {
        let mut octets = [0; SEGMENT_OCTETS];
        put(&mut octets, 0, SEGMENT_MAGIC);
        if let Some((length, sum)) = self.items {
            put(&mut octets, 0, SUMMARY_MAGIC);
            put(&mut octets, 80, &length.to_le_bytes());
            put(&mut octets, 84, &sum.to_le_bytes());
        }
        put(&mut octets, 4, &self.sequence.to_le_bytes());
        put(&mut octets, 8, &self.epoch.to_le_bytes());
        let count = super::octets::size(self.continued.len());
        put(&mut octets, 12, &count.to_le_bytes());
        for (at, continued) in (16..).step_by(8).zip(&self.continued) {
            put(&mut octets, at, &continued.place.0.to_le_bytes());
            put(&mut octets, at + 4, &continued.segment.to_le_bytes());
        }
        let sum = key.sum(octets.get(..124).unwrap_or_default());
        put(&mut octets, 124, &sum.to_le_bytes());
        octets
    }

    pub(super) fn decode(key: Key, octets: &[u8; SEGMENT_OCTETS]) -> Option<Self> {
        let count = u32_at(octets, 12) as usize;
        let is_summary = octets.starts_with(SUMMARY_MAGIC);
        if !(is_summary || octets.starts_with(SEGMENT_MAGIC))
            || key.sum(octets.get(..124).unwrap_or_default()) != u32_at(octets, 124)
                && defence(Rule::SegmentSum)
            || count > WRITERS
        {
            return None;
        }
        let continued = (16..)
            .step_by(8)
            .take(count)
            .map(|at| Continued {
                place: Place(u32_at(octets, at)),
                segment: u32_at(octets, at + 4),
            })
            .collect();
        Some(Self {
            sequence: u32_at(octets, 4),
            epoch: u32_at(octets, 8),
            continued,
            items: is_summary.then(|| (u32_at(octets, 80), u32_at(octets, 84))),
        })
    }
}
