//! The survey of a medium at mount: its segments, its snapshots, its journal pages.
//!
//! It reads and changes nothing. [`replay`](super::replay) follows the chain of items over it,
//! [`rebuild`](super::rebuild) goes through what the ring alone says.

use hal::Medium;

use super::claim::Claim;
use super::copy::Slot;
use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::item::Item;
use super::octets::Key;
use super::reader::Shelf;
use super::record::{HEADER_OCTETS, Record, SEGMENT_OCTETS, SegmentHeader};
use super::ring::{self, Segment};
use super::snapshot::{self, Header, Position, Snapshot, State, part_at};
use super::{Index, MountError};

/// Looks through the medium.
pub(super) struct Survey<'s, M> {
    pub(super) medium: &'s mut M,
    pub(super) geometry: &'s Geometry,
    pub(super) key: Key,
    pub(super) segments: &'s mut [Segment],
    /// For parts, and for items that lie in records.
    pub(super) scratch: &'s mut [u8],
    /// For journal pages.
    pub(super) item: &'s mut [u8],
    /// For summaries; at last, that of the open segment.
    pub(super) summary: &'s mut [u8],
    /// For items that wait: nobody writes yet.
    pub(super) writers: &'s mut [Slot],
    /// What the last mount that wrote has found.
    pub(super) claim: Claim,
    /// The highest epoch seen.
    pub(super) epoch: u32,
    /// The highest sequence of a segment.
    pub(super) newest: u32,
}

/// Where replay starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) at: Position,
    /// No item of the chain is from an earlier epoch.
    pub(super) epoch: u32,
    /// At the beginning, though there may have been a snapshot.
    pub(super) lacks_snapshot: bool,
}

/// What replay, or a rebuilding, found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Where to go on.
    pub(super) at: Position,
    /// Items before this one are known to be durable.
    pub(super) settled: u64,
    pub(super) entries: u64,
    pub(super) unsettled: u64,
    pub(super) damaged: bool,
    /// Octets of the open segment's summary; `None`: it will have none.
    pub(super) summary: Option<u32>,
    pub(super) closed: bool,
    pub(super) rebuilt: Option<u32>,
}

impl<M: Medium> Survey<'_, M> {
    /// Reads the segments' headers: how many are damaged.
    pub(super) fn find_segments(&mut self) -> u32 {
        let mut damaged = 0;
        for at in 0..self.geometry.segments {
            let mut octets = [0; SEGMENT_OCTETS];
            // One that cannot be read costs its copies, not the whole store.
            let header = self.segment_header(at, 0, &mut octets);
            let blank = octets == [0; SEGMENT_OCTETS];
            let header = header.filter(|header| header.items.is_none());
            let found = header.map(|header| (header.sequence, header.epoch));
            let unknown = if blank {
                Segment::BLANK
            } else {
                Segment::DAMAGED
            };
            let known = self.enter_segment(at, found, unknown);
            damaged += u32::from(!known && !blank);
        }
        damaged
    }

    /// Looks once more at segments whose header does not verify: one is known by its summary, or
    /// by its first record. Only when the index is rebuilt: what a mount has found damaged once
    /// must not come back later as a part of the chain.
    pub(super) fn recover_segments(&mut self) {
        for at in 0..self.geometry.segments {
            if self.segments.get(at as usize) != Some(&Segment::DAMAGED) {
                continue;
            }
            // What a cut left in one may bear a sequence that another was given then.
            let found = self.sequence_without_header(at).filter(|(sequence, _)| {
                ring::find(self.segments, Segment::new(*sequence)).is_none()
            });
            self.enter_segment(at, found, Segment::DAMAGED);
        }
    }

    /// Whether the sequence of a segment is known.
    fn enter_segment(&mut self, at: u32, found: Option<(u32, u32)>, unknown: Segment) -> bool {
        let found = found.filter(|(sequence, _)| Segment::new(*sequence).sequence().is_some());
        if let Some((sequence, epoch)) = found {
            self.epoch = self.epoch.max(epoch);
            self.newest = self.newest.max(sequence);
        }
        if let Some(segment) = self.segments.get_mut(at as usize) {
            *segment = found.map_or(unknown, |(sequence, _)| Segment::new(sequence));
        }
        found.is_some()
    }

    /// The later of what the summary and the first record say: that of an open segment may be new,
    /// and the summary at its end of the time before.
    fn sequence_without_header(&mut self, segment: u32) -> Option<(u32, u32)> {
        let mut octets = [0; SEGMENT_OCTETS];
        let end = ring::summary_at(self.geometry, 0);
        let end = self.segment_header(segment, end, &mut octets);
        let end = end.filter(|end| end.items.is_some());
        let end = end.map(|end| (end.sequence, end.epoch));
        let mut octets = [0; HEADER_OCTETS as usize];
        let at = ring::offset_at(self.geometry, segment, self.geometry.page);
        let read = self.medium.read(at, &mut octets).ok();
        let record = read.and_then(|()| Record::decode(self.key, &octets));
        let record = record.map(|record| (record.segment, record.epoch));
        end.max(record)
    }

    pub(super) fn segment_header(
        &mut self,
        segment: u32,
        offset: u32,
        octets: &mut [u8; SEGMENT_OCTETS],
    ) -> Option<SegmentHeader> {
        let at = ring::offset_at(self.geometry, segment, offset);
        self.medium.read(at, octets).ok()?;
        SegmentHeader::decode(self.key, octets)
    }

    /// Restores the newest snapshot that is whole, and says where to start.
    pub(super) fn restore(
        &mut self,
        index: &mut impl Index,
    ) -> Result<(Snapshot, Start), MountError> {
        let (a, a_is_blank) = self.snapshot_header(false)?;
        let (b, b_is_blank) = self.snapshot_header(true)?;
        let generation = [&a, &b].into_iter().flatten().map(|h| h.generation).max();
        let mut candidates = [(a, false), (b, true)];
        candidates.sort_unstable_by_key(|(header, _)| header.map(|header| header.generation));
        let first = Position::first(self.geometry);
        let mut snapshot = Snapshot {
            generation: generation.unwrap_or(0),
            in_b: true,
            at: first,
            parts: 0,
            urgent: false,
            state: State::Idle,
        };
        for (header, in_b) in candidates.into_iter().rev() {
            if defence(Rule::Cleared) {
                index.clear();
            }
            let Some(header) = header else {
                continue;
            };
            if self.restore_parts(&header, in_b, index)? {
                (snapshot.in_b, snapshot.at) = (in_b, header.at);
                snapshot.parts = header.parts;
                let (at, epoch) = (header.at, header.epoch);
                let start = Start {
                    at,
                    epoch,
                    lacks_snapshot: false,
                };
                return Ok((snapshot, start));
            }
        }
        if defence(Rule::Cleared) {
            index.clear();
        }
        let start = Start {
            at: first,
            epoch: 0,
            lacks_snapshot: !(a_is_blank && b_is_blank),
        };
        Ok((snapshot, start))
    }

    /// The header of a snapshot area, and whether there are but zeros.
    fn snapshot_header(&mut self, b: bool) -> Result<(Option<Header>, bool), MountError> {
        let mut octets = [0; snapshot::HEADER_OCTETS];
        self.medium
            .read(self.geometry.snapshot_at(b), &mut octets)?;
        let header = Header::decode(self.key, &octets).filter(|header| {
            let at = &header.at;
            header.parts <= self.geometry.snapshot_parts().1 && at.page > 0 && at.segment > 0
        });
        if let Some(header) = header {
            self.epoch = self.epoch.max(header.epoch);
        }
        Ok((header, octets == [0; snapshot::HEADER_OCTETS]))
    }

    /// Whether all parts verify; the index has taken those before the first that does not.
    fn restore_parts(
        &mut self,
        header: &Header,
        in_b: bool,
        index: &mut impl Index,
    ) -> Result<bool, MountError> {
        for number in 0..header.parts {
            let page = self.scratch.get_mut(..self.geometry.page as usize);
            let page = page.unwrap_or_default();
            self.medium
                .read(part_at(self.geometry, in_b, number), page)?;
            let Some(part) = header.part(self.key, page, number) else {
                return Ok(false);
            };
            index.restore(part);
        }
        Ok(true)
    }

    /// The item that lies where journal page `page` does, if it verifies and may lie there.
    pub(super) fn page(&mut self, page: u64) -> Result<Option<Item<'_>>, MountError> {
        let octets = self.item.get_mut(..self.geometry.page as usize);
        let octets = octets.unwrap_or_default();
        let at = self.geometry.journal_at(page);
        self.medium.read(at, octets)?;
        let item = Item::decode(self.key, octets);
        Ok(item.filter(|item| {
            self.geometry.journal_at(item.page) == at || !defence(Rule::JournalPage)
        }))
    }

    pub(super) fn shelf(&mut self) -> Shelf<'_, M> {
        Shelf {
            medium: &mut *self.medium,
            key: self.key,
            geometry: self.geometry,
            segments: self.segments,
            cache: None,
        }
    }
}
