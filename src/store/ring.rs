//! The ring: which segment is open, which comes next, and the arithmetic of places.
//!
//! ```text
//!            +------------- oldest that the index gives up -----------+
//!            v                                                        |
//!   reserved (evicted) -- that is durable --> open -- full --> sealed +
//! ```
//!
//! A segment is overwritten only when its eviction is durable: else a cut could leave rows that
//! point at copies half overwritten, though nothing acknowledged says they are gone; and only when
//! a snapshot holds the entries that lie in it. So that a
//! writer seldom waits for that sync, the next segment is reserved while the last quarter of the
//! open one is being filled.
//!
//! Where a commit ends, the rest of its page is padded. The item of that commit goes there, if it
//! fits: then a commit of copies writes nothing but their own pages. When the segment is closed,
//! all its items are written once more, at its end, so that a mount need not look for them.

use hal::Medium;
use heapless::Vec;

use super::copy::AppendError;
use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::item::Evicted;
use super::record::{
    Continued, HEADER_OCTETS, Kind, Place, Record, SEGMENT_OCTETS, SegmentHeader, WRITERS,
};
use super::{Extent, Fault, Index, Store, StoreError};

/// Segments the index is asked about in one call; asking may cost it a walk over its rows.
const ASKED: usize = 8;
/// The longest summary, in octets: what a medium takes at once.
pub(super) const SUMMARY_MAX: u32 = 64 * 1024;
/// The end of a summary.
const SUMMARY_END: u32 = 128;

/// What the store knows of one segment: its sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment(u32);

impl Segment {
    /// Never written since the format.
    pub const BLANK: Self = Self(0);
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
    /// Octets of the items in the open segment; `None`: its summary cannot be written.
    pub(super) summary: Option<u32>,
    /// Whether its summary is written: it takes no more.
    pub(super) closed: bool,
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
            summary: Some(0),
            closed: false,
            reserve: Reserve::None,
            search: 0,
        }
    }

    /// Octets left in the open segment.
    pub(super) fn rest(&self, geometry: &Geometry) -> u32 {
        if self.open.is_none() || self.closed && defence(Rule::SummaryCloses) {
            return 0;
        }
        limit(geometry, self.summary.unwrap_or(0)).saturating_sub(self.head)
    }
}

/// Where records end in a segment whose items take `summary` octets, and may become a few more.
pub(super) fn limit(geometry: &Geometry, summary: u32) -> u32 {
    if !defence(Rule::SummaryRoom) {
        return geometry.segment;
    }
    let below = summary_at(geometry, summary).saturating_sub(geometry.page / 4);
    below - below % geometry.page
}

/// Where a summary of so many octets begins.
pub(super) fn summary_at(geometry: &Geometry, summary: u32) -> u32 {
    geometry
        .segment
        .saturating_sub(SUMMARY_END.saturating_add(summary))
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
pub(super) fn oldest_after(segments: &[Segment], after: u32) -> Option<(u32, u32)> {
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
        self.close_segment()?;
        let sequence = self.ring.newest + 1;
        if Segment::new(sequence) == Segment::DAMAGED {
            return Err(Fault::Exhausted.into());
        }
        let header = SegmentHeader {
            sequence,
            epoch: self.epoch,
            continued: self.under_way(),
            items: None,
        };
        let at = offset_at(&self.geometry, segment, 0);
        self.write_ring(at, &header.encode(self.key))?;
        self.dirty = true;
        if let Some(known) = self.segments.get_mut(segment as usize) {
            *known = Segment::new(sequence);
        }
        self.ring = Ring::new(Some(segment), self.geometry.page, sequence);
        Ok(())
    }

    /// Writes the summary of the open segment, which takes no more from then on.
    fn close_segment(&mut self) -> Result<(), StoreError> {
        let Ring {
            open: Some(segment),
            summary: Some(length),
            closed: false,
            newest,
            ..
        } = self.ring
        else {
            return Ok(());
        };
        let mut octets = [0; SEGMENT_OCTETS];
        let at = offset_at(&self.geometry, segment, 0);
        let read = self.medium.read(at, &mut octets);
        let header = SegmentHeader::decode(self.key, &octets);
        let summary = &mut self.buffers.summary;
        let items = summary.get(..length as usize).unwrap_or_default();
        let end = SegmentHeader {
            sequence: newest,
            epoch: self.epoch,
            // For one whose header rots.
            continued: read
                .ok()
                .and(header)
                .map(|header| header.continued)
                .unwrap_or_default(),
            items: Some((length, self.key.sum(items))),
        };
        super::octets::put(summary, length as usize, &end.encode(self.key));
        let summary = summary.get(..(length + SUMMARY_END) as usize);
        let offset = summary_at(&self.geometry, length);
        let at = offset_at(&self.geometry, segment, offset);
        self.cache.forget();
        let written = self.medium.write(at, summary.unwrap_or_default());
        self.taken(written)?;
        self.ring.closed = true;
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
    /// page that belongs to an earlier commit. The item being filled goes with it, if it fits.
    pub(super) fn close_page(&mut self) -> Result<(), StoreError> {
        let Some(segment) = self.ring.open.filter(|_| self.ring.finished) else {
            return Ok(());
        };
        let beyond = self.ring.head % self.geometry.page;
        if beyond != 0 && defence(Rule::FreshPage) {
            let rest = self.geometry.page - beyond;
            let item = self.rides(rest);
            let Some(octets) = self.buffers.scratch.get_mut(..rest as usize) else {
                return Err(Fault::Bug.into());
            };
            octets.fill(0);
            let record = |kind, length, sum| Record {
                kind,
                head: 0,
                epoch: self.epoch,
                serial: 0,
                index: 0,
                length,
                segment: self.ring.newest,
                origin: Place(0),
                sum,
                whole_octets: 0,
                whole_sum: 0,
            };
            let (mut pad, mut sealed) = (0, None);
            if let Some(length) = item {
                let of = (self.key, self.epoch);
                let sum = self
                    .item
                    .seal(of, self.journal.page, &mut self.buffers.item);
                let item = self.buffers.item.get(..length as usize);
                let item = item.unwrap_or_default();
                let record = record(Kind::Item, length, self.key.sum(item));
                super::octets::put(octets, 0, &record.encode(self.key));
                super::octets::put(octets, HEADER_OCTETS as usize, item);
                pad = record.span();
                sealed = Some((sum, length));
            }
            if pad < rest {
                let record = record(Kind::Pad, rest - pad - HEADER_OCTETS, 0);
                super::octets::put(octets, pad as usize, &record.encode(self.key));
            }
            let at = offset_at(&self.geometry, segment, self.ring.head);
            self.cache.forget();
            let written = self.medium.write(at, octets);
            self.taken(written)?;
            self.ring.head += rest;
            if let Some((sum, length)) = sealed {
                let before = self.ring.summary.unwrap_or(0);
                let item = self.buffers.item.get(..length as usize);
                let summary = &mut self.buffers.summary;
                super::octets::put(summary, before as usize, item.unwrap_or_default());
                self.ring.summary = Some(before + length);
                self.item.written(sum);
            }
        }
        self.ring.finished = false;
        Ok(())
    }

    /// How long the item being filled is, if it goes into the `rest` of the open page.
    fn rides(&self, rest: u32) -> Option<u32> {
        let length = super::octets::size(self.item.length());
        let summary = self.ring.summary?.checked_add(length)?;
        let span = (HEADER_OCTETS + length).next_multiple_of(64);
        let has_room = summary + SUMMARY_END <= SUMMARY_MAX
            && self.ring.head + rest <= summary_at(&self.geometry, summary);
        let rides = !self.item.is_empty() && span <= rest && defence(Rule::ItemFirst);
        let closed = self.ring.closed && defence(Rule::SummaryCloses);
        (rides && has_room && !closed).then_some(length)
    }

    /// Writes a record or a header.
    pub(super) fn write_ring(&mut self, at: u64, octets: &[u8]) -> Result<(), StoreError> {
        self.cache.forget();
        let written = self.medium.write(at, octets);
        self.taken(written)
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
            if sequence >= self.snapshot.at.segment && defence(Rule::ItemsKept) {
                self.take_snapshot();
                return Err(AppendError::Busy);
            }
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
        let under_way = self.writing.iter().flatten();
        under_way.filter_map(|writing| writing.origin).collect()
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
