//! An item: the entries of one commit, or as many as fill a page; the link of the one chain.
//!
//! ```text
//!  0 magic "RMit"   4     16 unsettled                         4
//!  4 epoch          4     20 checksum of the previous item     4
//!  8 number         4     24 octets of entries                 4
//! 12 journal page   4     28 checksum of 0..28 and the entries 4
//!                         32 entries: length 2 (bit 15: the store's own), octets
//! ```
//!
//! Items are numbered from 1 on, each names the checksum of the one before, and epochs never fall
//! along them: that is the order of all entries, exact whatever a cut took. Where an item lies is
//! another matter: on a page of the journal of its own, or in the ring, in the room that the end
//! of a commit would only pad. `journal page` is the page it lies on, or the next one to be used.
//! `unsettled` says how many items before this one were not known to be durable when it was
//! written: everything before these is, and so are the copies they speak of.

use heapless::Vec;

use super::defence::{Rule, defence};
use super::octets::{Key, put, size, u16_at, u32_at};
use super::record::{Place, WRITERS};

/// What stands before the entries.
pub(super) const HEADER_OCTETS: usize = 32;
/// Numbers and pages end here: a store that commits every second comes so far in a century.
pub(super) const LAST: u64 = 0xFFFF_0000;
const FRAME_OCTETS: usize = 2;
/// What an item has besides one entry that fills it.
pub(super) const OVERHEAD_OCTETS: usize = HEADER_OCTETS + FRAME_OCTETS;

const MAGIC: &[u8; 4] = b"RMit";
/// The store's own entry, not the index's.
const OWN: u16 = 1 << 15;

/// The item being filled: the end of the chain, where it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) number: u64,
    /// Checksum of the item before it.
    pub(super) previous: u32,
    /// Items before this one are durable, and so is what their entries speak of.
    pub(super) settled: u64,
    /// Octets of entries in it.
    filled: usize,
}

impl Open {
    pub(super) fn new(number: u64, previous: u32, settled: u64) -> Self {
        Self {
            number,
            previous,
            settled,
            filled: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Octets of it, header included.
    pub(super) fn length(&self) -> usize {
        HEADER_OCTETS + self.filled
    }

    /// Whether an entry of `octets` fits it, if it may be as long as a page.
    pub(super) fn fits(&self, page: u32, octets: usize) -> bool {
        self.length() + FRAME_OCTETS + octets <= page as usize
    }

    /// Adds an entry that [`fits`](Self::fits).
    pub(super) fn push(&mut self, item: &mut [u8], entry: &[u8], own: bool) {
        let frame = u16::try_from(entry.len()).unwrap_or(0) | if own { OWN } else { 0 };
        let at = self.length();
        put(item, at, &frame.to_le_bytes());
        put(item, at + FRAME_OCTETS, entry);
        self.filled += FRAME_OCTETS + entry.len();
    }

    /// Puts the header before the entries, and gives its checksum. Nothing else changes until it
    /// was [`written`](Self::written).
    pub(super) fn seal(&self, (key, epoch): (Key, u32), page: u64, item: &mut [u8]) -> u32 {
        let unsettled = u32::try_from(self.number.saturating_sub(self.settled));
        put(item, 0, MAGIC);
        put(item, 4, &epoch.to_le_bytes());
        put(item, 8, &low(self.number));
        put(item, 12, &low(page));
        put(item, 16, &unsettled.unwrap_or(u32::MAX).to_le_bytes());
        put(item, 20, &self.previous.to_le_bytes());
        put(item, 24, &size(self.filled).to_le_bytes());
        let sum = sum_of(key, item, self.filled);
        put(item, 28, &sum.to_le_bytes());
        sum
    }

    /// It was written with checksum `sum`: begins the next.
    pub(super) fn written(&mut self, sum: u32) {
        *self = Self::new(self.number + 1, sum, self.settled);
    }
}

/// An item as it was read, if it verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) epoch: u32,
    pub(super) number: u64,
    pub(super) page: u64,
    /// Items before this were durable when it was written.
    pub(super) settled: u64,
    pub(super) previous: u32,
    pub(super) sum: u32,
    entries: &'a [u8],
}

impl<'a> Item<'a> {
    /// The item at the start of `octets`.
    pub(super) fn decode(key: Key, octets: &'a [u8]) -> Option<Self> {
        let length = u32_at(octets, 24) as usize;
        let entries = octets.get(HEADER_OCTETS..)?.get(..length)?;
        let sum = u32_at(octets, 28);
        let sound = sum_of(key, octets, length) == sum || !defence(Rule::ItemSum);
        if !octets.starts_with(MAGIC) || !sound {
            return None;
        }
        let number = u64::from(u32_at(octets, 8));
        Some(Self {
            epoch: u32_at(octets, 4),
            number,
            page: u32_at(octets, 12).into(),
            settled: number.saturating_sub(u32_at(octets, 16).into()),
            previous: u32_at(octets, 20),
            sum,
            entries,
        })
    }

    /// Octets of it, header included.
    pub(super) fn length(&self) -> usize {
        HEADER_OCTETS + self.entries.len()
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

/// A number or page as it is written: the store ends before it is too great.
fn low(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn sum_of(key: Key, item: &[u8], length: usize) -> u32 {
    let header = item.get(..28).unwrap_or_default();
    let entries = item
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
