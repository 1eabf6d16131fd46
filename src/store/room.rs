//! How much the ring takes before it gives up a copy that is still wanted.
//!
//! The oldest segment goes first. So what may be written without loss is what the open segment
//! has left, the blank segments, and those older than the oldest that holds a wanted copy.

use super::record::{HEAD_MAX, HEADER_OCTETS};
use super::ring::{locate, sequence_of};
use super::{Place, Segment, Store};

impl<M> Store<'_, M> {
    /// The age of the segment in which the copy at `place` begins: less is older.
    #[must_use]
    pub fn age(&self, place: Place) -> Option<u32> {
        let (segment, _) = locate(&self.geometry, place)?;
        sequence_of(self.segments, segment)
    }

    /// Octets that copies may take, by their [`cost`](Self::cost), before the segment of age
    /// `wanted` is given up; `None`: any may be.
    #[must_use]
    pub fn room(&self, wanted: Option<u32>) -> u64 {
        let goes = |segment: &&Segment| match segment.sequence() {
            // The open one is not given up.
            Some(age) => age < self.ring.newest && wanted.is_none_or(|wanted| age < wanted),
            None => **segment == Segment::BLANK,
        };
        let count = self.segments.iter().filter(goes).count() as u64;
        let each = u64::from(self.geometry.segment - self.geometry.page);
        // The next segment is evicted before the open one is full: one less than there seem to be.
        let count = count.saturating_sub(1);
        count * each + u64::from(self.ring.rest(&self.geometry))
    }

    /// Octets of the ring that a copy of `octets` takes at the most, with its headers and the
    /// padding of its commit.
    #[must_use]
    pub fn cost(&self, octets: u64) -> u64 {
        let header = u64::from(HEADER_OCTETS) + 64;
        // A record ends with its segment at the latest.
        let records = octets / u64::from(self.geometry.chunk)
            + octets / u64::from(self.geometry.segment - self.geometry.page)
            + 2;
        octets + records * header + u64::from(HEAD_MAX) + u64::from(self.geometry.page)
    }
}
