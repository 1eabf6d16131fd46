//! Reading copies back: each chunk by its header, the whole by its checksum.
//!
//! The chunks of a copy stand in order, but others' may stand between them; a reader walks from
//! record to record and passes over what is not its own.

use core::fmt;

use hal::Medium;

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, Sum};
use super::record::{HEAD_MAX, HEADER_OCTETS, Kind, Place, Record};
use super::ring::{self, Segment};
use super::{Store, Stored, octets};

/// Headers looked at in one call: where one slow and many fast writers wrote side by side, the
/// next chunk may be far away.
const HEADERS: usize = 256;
/// What is read at once where a copy begins: a mail of 4 KiB with its headers, wherever it lies.
pub(super) const CACHE_OCTETS: usize = 8 * 1024;

/// A cursor over one copy. It may be kept, copied and dropped at will; whether the copy still
/// stands is seen at each reading.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// The chunk it is at.
    record: Record,
    segment: u32,
    offset: u32,
    /// Content before this chunk.
    start: u64,
    /// Where to look for the next chunk: segment, its sequence, offset.
    walk: (u32, u32, u32),
    /// What of this chunk was read in order: octets of content, checksum.
    read: Option<(u32, Sum)>,
}

/// A whole copy being verified, a slice at a time.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    reader: Reader,
    octets: u64,
    sum: Sum,
}

/// A copy that cannot be read, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// The medium failed to read it.
    Unreadable,
    /// There is no copy at this place, or it was evicted.
    Absent,
    /// One of its chunks is missing.
    Torn,
    /// A checksum is wrong.
    Corrupt,
}

impl<M: Medium> Store<'_, M> {
    /// Opens the copy at `place`.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn open(&mut self, place: Place) -> Result<Reader, Damaged> {
        self.shelf().open(place)
    }

    /// A verifier for the copy that `reader` reads, from its first octet.
    #[must_use]
    pub fn verifier(&self, reader: &Reader) -> Verifier {
        Verifier {
            reader: *reader,
            octets: 0,
            sum: self.key.start(),
        }
    }

    /// Goes on verifying, over at most `budget` octets; what it is when it is done and whole.
    ///
    /// A place that an unsettled entry names may hold another whole copy, of the time before:
    /// only if length and checksum are what [`Store::finish`] gave is it the one that was meant.
    pub fn verify(
        &mut self,
        verifier: &mut Verifier,
        mut budget: usize,
    ) -> Option<Result<Stored, Damaged>> {
        let (mut shelf, scratch) = self.shelf_and_scratch();
        while budget > 0 {
            let length = scratch.len().min(budget);
            let piece = scratch.get_mut(..length)?;
            let reader = &mut verifier.reader;
            let count = match shelf.read(reader, verifier.octets, piece) {
                Ok(count) => count,
                Err(damaged) => return Some(Err(damaged)),
            };
            let piece = piece.get(..count).unwrap_or_default();
            verifier.sum = verifier.sum.update(piece);
            verifier.octets += count as u64;
            if reader.is_last() && verifier.octets == reader.end() {
                let record = &reader.record;
                let whole = record.whole_octets == verifier.octets
                    && (record.whole_sum == verifier.sum.value() || !defence(Rule::WholeSum));
                let stored = Stored {
                    place: record.origin,
                    octets: verifier.octets,
                    crc: verifier.sum.value(),
                };
                return Some(whole.then_some(stored).ok_or(Damaged::Corrupt));
            }
            if count == 0 {
                return None;
            }
            budget -= count;
        }
        None
    }

    /// Reads from `offset` of the copy on, as much as `buf` takes and lies in one chunk; nothing
    /// at its end, nor before it if the next chunk was not found yet: then call again.
    ///
    /// Each chunk that is read in order is checked once more; a mistake comes instead of its
    /// last octets.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn read(
        &mut self,
        reader: &mut Reader,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Damaged> {
        self.shelf().read(reader, offset, buf)
    }

    /// Reads the head of the copy at `place` into `buf` and says how long it is.
    ///
    /// # Errors
    /// [`Damaged`].
    pub fn head(
        &mut self,
        place: Place,
        buf: &mut [u8; HEAD_MAX as usize],
    ) -> Result<usize, Damaged> {
        let mut shelf = self.shelf();
        let reader = shelf.open(place)?;
        let head = usize::from(reader.record.head);
        let head = buf.get_mut(..head).ok_or(Damaged::Corrupt)?;
        shelf.fetch(reader.segment, reader.offset + HEADER_OCTETS, head)?;
        Ok(head.len())
    }

    fn shelf(&mut self) -> Shelf<'_, M> {
        self.shelf_and_scratch().0
    }

    fn shelf_and_scratch(&mut self) -> (Shelf<'_, M>, &mut [u8]) {
        let shelf = Shelf {
            medium: &mut self.medium,
            key: self.key,
            geometry: &self.geometry,
            segments: self.segments,
            cache: Some((&mut self.cache, &mut self.buffers.cache)),
        };
        (shelf, &mut self.buffers.scratch)
    }
}

impl Reader {
    /// Whether it is at the copy's last chunk.
    fn is_last(&self) -> bool {
        matches!(self.record.kind, Kind::Chunk { last: true, .. })
    }

    /// Content up to the end of this chunk.
    fn end(&self) -> u64 {
        self.start + u64::from(self.record.length)
    }
}

/// What was read last at the beginning of a copy: a small one is verified and sent from it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cache {
    at: u64,
    length: usize,
}

impl Cache {
    /// Something was written to the ring.
    pub(super) fn forget(&mut self) {
        self.length = 0;
    }
}

/// What reading needs of the store.
pub(super) struct Shelf<'s, M> {
    pub(super) medium: &'s mut M,
    pub(super) key: Key,
    pub(super) geometry: &'s Geometry,
    pub(super) segments: &'s [Segment],
    pub(super) cache: Option<(&'s mut Cache, &'s mut [u8; CACHE_OCTETS])>,
}

impl<M: Medium> Shelf<'_, M> {
    /// The record at an offset of a segment with this sequence, if there is one.
    pub(super) fn record(
        &mut self,
        segment: u32,
        sequence: u32,
        offset: u32,
    ) -> Result<Option<Record>, Damaged> {
        let rest = self.geometry.segment.saturating_sub(offset);
        if rest < HEADER_OCTETS {
            return Ok(None);
        }
        let mut header = [0; HEADER_OCTETS as usize];
        self.fetch(segment, offset, &mut header)?;
        let record = Record::decode(self.key, &header);
        Ok(record.filter(|record| {
            (record.segment == sequence || !defence(Rule::RecordOfSegment)) && record.span() <= rest
        }))
    }

    fn open(&mut self, place: Place) -> Result<Reader, Damaged> {
        let (segment, offset) = ring::locate(self.geometry, place).ok_or(Damaged::Absent)?;
        let sequence = ring::sequence_of(self.segments, segment).ok_or(Damaged::Absent)?;
        self.look_ahead(segment, offset);
        let record = self
            .record(segment, sequence, offset)?
            .filter(|record| {
                let begins = matches!(record.kind, Kind::Chunk { first: true, .. });
                begins && record.index == 0 && record.origin == place || !defence(Rule::CopyOrigin)
            })
            .ok_or(Damaged::Absent)?;
        Ok(Reader {
            record,
            segment,
            offset,
            start: 0,
            walk: (segment, sequence, offset + record.span()),
            read: None,
        })
    }

    fn read(&mut self, reader: &mut Reader, offset: u64, buf: &mut [u8]) -> Result<usize, Damaged> {
        if offset < reader.start {
            *reader = self.open(reader.record.origin)?;
        }
        for _ in 0..HEADERS {
            if offset < reader.end() {
                return self.read_chunk(reader, offset, buf);
            }
            if reader.is_last() {
                return Ok(0);
            }
            self.walk(reader)?;
        }
        Ok(0)
    }

    /// Reads from the chunk that `reader` is at.
    fn read_chunk(
        &mut self,
        reader: &mut Reader,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<usize, Damaged> {
        let record = reader.record;
        if ring::sequence_of(self.segments, reader.segment) != Some(record.segment)
            && defence(Rule::SegmentStands)
        {
            return Err(Damaged::Absent);
        }
        // Fits: the offset lies in this chunk.
        let within = u32::try_from(offset - reader.start).map_err(|_| Damaged::Corrupt)?;
        let length = buf.len().min((record.length - within) as usize);
        let buf = buf.get_mut(..length).unwrap_or_default();
        let content = reader.offset + HEADER_OCTETS + u32::from(record.head);
        self.fetch(reader.segment, content + within, buf)?;
        if within == 0 {
            let mut head = [0; HEAD_MAX as usize];
            let head = head.get_mut(..usize::from(record.head)).unwrap_or_default();
            self.fetch(reader.segment, reader.offset + HEADER_OCTETS, head)?;
            reader.read = Some((0, self.key.start().update(head)));
        }
        reader.read = match reader.read {
            Some((at, sum)) if at == within => {
                Some((within + octets::size(buf.len()), sum.update(buf)))
            }
            Some(_) | None => None,
        };
        match reader.read {
            Some((at, sum))
                if at == record.length && sum.value() != record.sum && defence(Rule::ChunkSum) =>
            {
                Err(Damaged::Corrupt)
            }
            Some(_) | None => Ok(buf.len()),
        }
    }

    /// Looks at one more header.
    fn walk(&mut self, reader: &mut Reader) -> Result<(), Damaged> {
        let (segment, sequence, offset) = reader.walk;
        if ring::sequence_of(self.segments, segment) != Some(sequence)
            && defence(Rule::SegmentStands)
        {
            return Err(Damaged::Absent);
        }
        let Some(record) = self.record(segment, sequence, offset)? else {
            // The end of the segment, or what was too little for a record.
            let next = Segment::new(sequence.saturating_add(1));
            let segment = ring::find(self.segments, next).ok_or(Damaged::Torn)?;
            let sequence = next.sequence().ok_or(Damaged::Torn)?;
            reader.walk = (segment, sequence, self.geometry.page);
            return Ok(());
        };
        reader.walk.2 = offset + record.span();
        let own = &reader.record;
        let (epoch, serial) = (record.epoch, record.serial);
        let owned = (epoch, serial) == (own.epoch, own.serial) || !defence(Rule::ChunkOfCopy);
        if !matches!(record.kind, Kind::Chunk { .. }) || !owned {
            return Ok(());
        }
        let follows = record.index == own.index.wrapping_add(1) && record.origin == own.origin;
        if !follows && defence(Rule::ChunkOrder) {
            return Err(Damaged::Torn);
        }
        reader.start = reader.end();
        reader.record = record;
        reader.segment = segment;
        reader.offset = offset;
        reader.read = None;
        Ok(())
    }

    /// Reads what stands at the beginning of a copy, once for all that is asked of it.
    fn look_ahead(&mut self, segment: u32, offset: u32) {
        let at = ring::offset_at(self.geometry, segment, offset);
        let rest = self.geometry.segment.saturating_sub(offset) as usize;
        let Some((cache, octets)) = &mut self.cache else {
            return;
        };
        if cache.length > 0 && cache.at == at {
            return;
        }
        let piece = octets.get_mut(..rest.min(CACHE_OCTETS)).unwrap_or_default();
        cache.at = at;
        // What cannot be read at once may be read in pieces.
        cache.length = self.medium.read(at, piece).map_or(0, |()| piece.len());
    }

    pub(super) fn fetch(
        &mut self,
        segment: u32,
        offset: u32,
        buf: &mut [u8],
    ) -> Result<(), Damaged> {
        let at = ring::offset_at(self.geometry, segment, offset);
        if let Some((cache, octets)) = &self.cache
            && let Some(from) = at.checked_sub(cache.at)
            && let Ok(from) = usize::try_from(from)
            && let Some(held) = octets
                .get(..cache.length)
                .and_then(|held| held.get(from..)?.get(..buf.len()))
        {
            buf.copy_from_slice(held);
            return Ok(());
        }
        self.medium.read(at, buf).map_err(|_| Damaged::Unreadable)
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "copy cannot be read from the medium",
            Self::Absent => "no copy at this place",
            Self::Torn => "a part of the copy is missing",
            Self::Corrupt => "copy fails its checksum",
        })
    }
}

impl core::error::Error for Damaged {}
