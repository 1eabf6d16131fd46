//! Rebuilding: what the ring alone says, when no snapshot of the index is left.
//!
//! Every copy bears what its owner has put before its content, and its last record how long the
//! whole is: so the record headers of the ring tell which copies there are. What else the index
//! knew is lost. Until a snapshot holds what was found, nothing is logged.

use hal::Medium;
use heapless::Vec;

use super::record::{HEAD_MAX, HEADER_OCTETS, Kind, Record, WRITERS};
use super::ring;
use super::snapshot::Position;
use super::survey::{Found, Survey};
use super::{Index, MountError, Stored};

/// A copy whose last record is still to come.
struct Begun {
    first: Record,
    /// Index of the chunk that was seen last.
    index: u32,
    head: [u8; HEAD_MAX as usize],
}

impl<M: Medium> Survey<'_, M> {
    /// Walks the whole ring, oldest segment first, and gives the copies to the index.
    pub(super) fn rebuild(&mut self, index: &mut impl Index) -> Result<Found, MountError> {
        index.clear();
        self.recover_segments();
        let mut begun: Vec<Begun, WRITERS> = Vec::new();
        let (mut last, mut copies) = (0, 0_u32);
        let mut head = self.geometry.page;
        while let Some((segment, sequence)) = ring::oldest_after(self.segments, last) {
            if sequence != last + 1 {
                // What went on in between cannot be whole.
                begun.clear();
            }
            last = sequence;
            let mut walk = self.walk(segment, sequence);
            while let Some((offset, record)) = self.next_record(&mut walk) {
                if let Some((head, stored)) = self.follow(&mut begun, segment, offset, &record) {
                    let length = usize::from(head.first.head);
                    index.rebuild(head.head.get(..length).unwrap_or_default(), &stored);
                    copies = copies.saturating_add(1);
                }
            }
            self.epoch = self.epoch.max(walk.epoch);
            head = walk.offset;
        }
        // Numbers and pages go on behind all that were seen; their epoch is new.
        let (mut number, mut highest) = (0, 0);
        for page in 0..u64::from(self.geometry.journal) {
            let found = self.page(page)?;
            let (last, page) = found.map_or((0, 0), |item| (item.number, item.page));
            number = number.max(last);
            highest = highest.max(page);
        }
        let at = Position {
            number: number.saturating_add(1),
            previous: 0,
            page: highest.saturating_add(1),
            segment: self.newest,
            offset: head,
        };
        Ok(Found {
            at,
            settled: at.number,
            entries: 0,
            unsettled: 0,
            damaged: false,
            summary: None,
            closed: false,
            rebuilt: Some(copies),
        })
    }

    /// Takes note of one record; the copy that ends with it, if it has all its parts.
    fn follow(
        &mut self,
        begun: &mut Vec<Begun, WRITERS>,
        segment: u32,
        offset: u32,
        record: &Record,
    ) -> Option<(Begun, Stored)> {
        let Kind::Chunk { first, last } = record.kind else {
            return None;
        };
        let of_copy = |begun: &Begun| {
            (begun.first.epoch, begun.first.serial) == (record.epoch, record.serial)
        };
        let known = begun.iter().position(of_copy);
        let at = match known {
            Some(at) => {
                let copy = begun.get_mut(at)?;
                let follows = record.origin == copy.first.origin;
                if !follows || record.index != copy.index.wrapping_add(1) {
                    begun.remove(at);
                    return None;
                }
                copy.index = record.index;
                at
            }
            None if first && record.origin == ring::place(self.geometry, segment, offset) => {
                let mut head = [0; HEAD_MAX as usize];
                let octets = head.get_mut(..usize::from(record.head))?;
                let mut shelf = self.shelf();
                shelf.fetch(segment, offset + HEADER_OCTETS, octets).ok()?;
                if begun.is_full() {
                    begun.remove(0);
                }
                let (first, index) = (*record, record.index);
                let _ = begun.push(Begun { first, index, head });
                begun.len() - 1
            }
            None => return None,
        };
        if !last {
            return None;
        }
        let stored = Stored {
            place: record.origin,
            octets: record.whole_octets,
            crc: record.whole_sum,
        };
        Some((begun.remove(at), stored))
    }
}
