//! The ring: which segment is open, which comes next, and the arithmetic of places.
//!
//! ```text
//!            +------------- oldest that the index gives up -----------+
//!            v                                                        |
//!   reserved (evicted) -- that is durable --> open -- full --> sealed +
//! ```
//!
//! A segment is overwritten only when its eviction is durable: else a cut could leave rows that
//! point at copies half overwritten, though nothing acknowledged says they are gone. So that a
//! writer seldom waits for that sync, the next segment is reserved while the last quarter of the
//! open one is being filled.

use hal::Medium;
use heapless::Vec;

use super::copy::AppendError;
use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::journal::Evicted;
use super::record::{Continued, Kind, Place, Record, SEGMENT_OCTETS, SegmentHeader, WRITERS};
use super::{Extent, Fault, Index, Store, StoreError};

/// Segments the index is asked about in one call; asking may cost it a walk over its rows.
const ASKED: usize = 8;

/// What the store knows of one segment: its sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment(u32);

impl Segment {
    /// Never written since the format.
    pub(super) const BLANK: Self = Self(0);
    /// Its header does not verify: nothing in it can be read.
    pub(super) const DAMAGED: Self = Self(u32::MAX);

    pub(super) fn new(sequence: u32) -> Self {
        Self(sequence)
    }

    pub(super) fn sequence(self) -> Option<u32> {
        (self != Self::BLANK && self != Self::DAMAGED).then_some(self.0)
    }
}

/// The end of the ring, where it grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring {
    /// The open segment.
    pub(super) open: Option<u32>,
    /// Where its next record goes.
    pub(super) head: u32,
    /// The highest sequence number: the open segment's.
    pub(super) newest: u32,
    /// Whether a copy was finished since the open page was begun.
    pub(super) finished: bool,
    reserve: Reserve,
    /// The sequence number of the segment the index refused last.
    search: u32,
}

/// The segment that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserve {
    None,
    /// Its eviction is durable with this group.
    Evicted {
        segment: u32,
        group: u64,
    },
    Ready(u32),
}

impl Ring {
    pub(super) fn new(open: Option<u32>, head: u32, newest: u32) -> Self {
        Self {
            open,
            head,
            newest,
            finished: false,
            reserve: Reserve::None,
            search: 0,
        }
    }

    /// Octets left in the open segment.
    pub(super) fn rest(&self, geometry: &Geometry) -> u32 {
        self.open
            .map_or(0, |_| geometry.segment.saturating_sub(self.head))
    }
}

/// Where an offset in a segment lies, as a place.
pub(super) fn place(geometry: &Geometry, segment: u32, offset: u32) -> Place {
    let octets = u64::from(segment) * u64::from(geometry.segment) + u64::from(offset);
    // Fits: the geometry keeps the ring below 2^38 octets.
    Place(u32::try_from(octets / 64).unwrap_or(u32::MAX))
}

/// The segment and the offset in it where `place` lies.
pub(super) fn locate(geometry: &Geometry, place: Place) -> Option<(u32, u32)> {
    let octets = u64::from(place.0) * 64;
    let segment = u32::try_from(octets / u64::from(geometry.segment)).ok()?;
    let offset = u32::try_from(octets % u64::from(geometry.segment)).ok()?;
    (segment < geometry.segments).then_some((segment, offset))
}

/// Where an offset in a segment lies on the medium.
pub(super) fn offset_at(geometry: &Geometry, segment: u32, offset: u32) -> u64 {
    geometry.ring_at() + u64::from(segment) * u64::from(geometry.segment) + u64::from(offset)
}

/// The places that lie in `segment`.
pub(super) fn places(geometry: &Geometry, segment: u32) -> core::ops::Range<u32> {
    let start = place(geometry, segment, 0).0;
    start..start.saturating_add(geometry.segment / 64)
}

/// The sequence number of `segment`, if it can be read.
pub(super) fn sequence_of(segments: &[Segment], segment: u32) -> Option<u32> {
    segments.get(segment as usize)?.sequence()
}

/// The segment whose state is `wanted`.
pub(super) fn find(segments: &[Segment], wanted: Segment) -> Option<u32> {
    let at = segments.iter().position(|&segment| segment == wanted)?;
    u32::try_from(at).ok()
}

/// The oldest segment that is younger than `after`, and its sequence number.
fn oldest_after(segments: &[Segment], after: u32) -> Option<(u32, u32)> {
    (0..)
        .zip(segments)
        .filter_map(|(at, segment)| Some((at, segment.sequence()?)))
        .filter(|&(_, sequence)| sequence > after)
        .min_by_key(|&(_, sequence)| sequence)
}

impl<M: Medium> Store<'_, M> {
    /// Opens the next segment.
    pub(super) fn advance(&mut self, index: &mut impl Index) -> Result<(), AppendError> {
        if self.ring.reserve == Reserve::None {
            self.reserve(index)?;
        }
        let segment = match self.ring.reserve {
            Reserve::Ready(segment) => segment,
            Reserve::Evicted { segment, group }
                if group <= self.durable || !defence(Rule::EvictionFirst) =>
            {
                segment
            }
            Reserve::Evicted { group, .. } => {
                // It may stand in a group that is being synced already.
                self.wanted |= group == self.group;
                return Err(AppendError::Busy);
            }
            Reserve::None => return Err(AppendError::Busy),
        };
        let sequence = self.ring.newest + 1;
        if Segment::new(sequence) == Segment::DAMAGED {
            return Err(Fault::Exhausted.into());
        }
        let header = SegmentHeader {
            sequence,
            epoch: self.epoch,
            continued: self.under_way(),
        };
        let written = self.medium.write(
            offset_at(&self.geometry, segment, 0),
            &header.encode(self.key),
        );
        self.taken(written)?;
        self.dirty = true;
        if let Some(known) = self.segments.get_mut(segment as usize) {
            *known = Segment::new(sequence);
        }
        self.ring = Ring::new(Some(segment), self.geometry.page, sequence);
        Ok(())
    }

    /// Reserves the next segment early, when the open one is nearly full; not urgent.
    pub(super) fn reserve_early(&mut self, index: &mut impl Index) {
        if self.ring.reserve == Reserve::None
            && self.ring.rest(&self.geometry) < self.geometry.segment / 4
        {
            // What stands in the way is met again when the segment is needed.
            let _ = self.reserve(index);
        }
    }

    /// Closes the open page, if what it holds is to be committed: nothing is ever appended to a
    /// page that belongs to an earlier commit.
    pub(super) fn close_page(&mut self) -> Result<(), StoreError> {
        let Some(segment) = self.ring.open.filter(|_| self.ring.finished) else {
            return Ok(());
        };
        let beyond = self.ring.head % self.geometry.page;
        if beyond != 0 && defence(Rule::FreshPage) {
            let rest = self.geometry.page - beyond;
            let pad = Record {
                kind: Kind::Pad,
                head: 0,
                epoch: self.epoch,
                serial: 0,
                index: 0,
                length: rest - super::record::HEADER_OCTETS,
                segment: self.ring.newest,
                origin: Place(0),
                sum: 0,
                whole_octets: 0,
                whole_sum: 0,
            };
            let Some(octets) = self.buffers.scratch.get_mut(..rest as usize) else {
                return Err(Fault::Bug.into());
            };
            octets.fill(0);
            super::octets::put(octets, 0, &pad.encode(self.key));
            let at = offset_at(&self.geometry, segment, self.ring.head);
            let written = self.medium.write(at, octets);
            self.taken(written)?;
            self.ring.head += rest;
        }
        self.ring.finished = false;
        Ok(())
    }

    /// Chooses the next segment: one never used, else one that is damaged, else the oldest that
    /// the index gives up; nothing that a copy under way lies in.
    fn reserve(&mut self, index: &mut impl Index) -> Result<(), AppendError> {
        if let Some(segment) = find(self.segments, Segment::BLANK) {
            self.ring.reserve = Reserve::Ready(segment);
            return Ok(());
        }
        let limit = self
            .under_way()
            .iter()
            .map(|continued| continued.segment)
            .filter(|_| defence(Rule::UnderWay))
            .chain([self.ring.newest])
            .min()
            .unwrap_or(0);
        if self.ring.search == 0
            && let Some(segment) = find(self.segments, Segment::DAMAGED)
            && self.evict(segment, &Vec::new(), index)?
        {
            return Ok(());
        }
        for _ in 0..ASKED {
            let oldest = oldest_after(self.segments, self.ring.search);
            let Some((segment, sequence)) = oldest.filter(|&(_, sequence)| sequence < limit) else {
                self.ring.search = 0;
                return Err(AppendError::Full);
            };
            let continued = self.continued_in(segment);
            if self.evict(segment, &continued, index)? {
                return Ok(());
            }
            self.ring.search = sequence;
        }
        Err(AppendError::Busy)
    }

    /// Evicts `segment`, if the index gives it up.
    fn evict(
        &mut self,
        segment: u32,
        continued: &Vec<Place, WRITERS>,
        index: &mut impl Index,
    ) -> Result<bool, StoreError> {
        let extent = || Extent {
            places: places(&self.geometry, segment),
            continued,
        };
        if !index.may_evict(extent()) && defence(Rule::Asked) {
            return Ok(false);
        }
        let entry = Evicted {
            segment,
            continued: continued.clone(),
        };
        let gone = extent();
        if defence(Rule::EvictionLogged) {
            self.log_entry(&entry.encode(), true)?;
        }
        index.evicted(gone);
        self.ring.search = 0;
        self.ring.reserve = Reserve::Evicted {
            segment,
            group: self.group,
        };
        Ok(true)
    }

    /// The copies that began before `segment`, go on in it, and still stand.
    fn continued_in(&mut self, segment: u32) -> Vec<Place, WRITERS> {
        let mut octets = [0; SEGMENT_OCTETS];
        let at = offset_at(&self.geometry, segment, 0);
        if self.medium.read(at, &mut octets).is_err() || !defence(Rule::Continued) {
            return Vec::new();
        }
        let Some(header) = SegmentHeader::decode(self.key, &octets) else {
            return Vec::new();
        };
        header
            .continued
            .iter()
            .filter(|continued| {
                let began = locate(&self.geometry, continued.place);
                began.is_some_and(|(segment, _)| {
                    sequence_of(self.segments, segment) == Some(continued.segment)
                })
            })
            .map(|continued| continued.place)
            .collect()
    }

    /// The copies under way that have begun in the ring.
    fn under_way(&self) -> Vec<Continued, WRITERS> {
        self.buffers
            .writers
            .iter()
            .filter_map(|slot| slot.writing.as_ref()?.origin)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_offsets_agree() {
        let geometry = Geometry::for_capacity(64 << 30, 16 << 20).unwrap();
        for segment in [0, 1, 777, geometry.segments - 1] {
            for offset in [0, 64, 4096, geometry.segment - 64] {
                let place = place(&geometry, segment, offset);
                assert_eq!(locate(&geometry, place), Some((segment, offset)));
                assert!(places(&geometry, segment).contains(&place.0));
            }
        }
        let beyond = place(&geometry, geometry.segments, 0);
        assert_eq!(locate(&geometry, beyond), None);
        assert_eq!(locate(&geometry, Place(u32::MAX)), None);
    }

    #[test]
    fn oldest_comes_first_whatever_the_order() {
        let segments = [5, 0, 3, u32::MAX, 9].map(Segment);
        assert_eq!(oldest_after(&segments, 0), Some((2, 3)));
        assert_eq!(oldest_after(&segments, 3), Some((0, 5)));
        assert_eq!(oldest_after(&segments, 9), None);
        assert_eq!(find(&segments, Segment::BLANK), Some(1));
        assert_eq!(find(&segments, Segment::DAMAGED), Some(3));
    }
}
