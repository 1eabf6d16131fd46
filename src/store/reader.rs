//! Reading copies back: each chunk by its header, the whole by its checksum.
//!
//! The chunks of a copy stand in order, but others' may stand between them; a reader walks from
//! record to record and passes over what is not its own. Nothing is given out but from a chunk
//! that lies in memory and was verified there (see [`cache`]).

mod cache;

use core::fmt;

use hal::Medium;

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, Sum};
use super::record::{HEAD_MAX, HEADER_OCTETS, Kind, Place, Record};
use super::ring::{self, Segment};
use super::{Store, Stored};

pub(super) use cache::{CACHE_OCTETS, Cache};

/// Headers looked at in one call: where one slow and many fast writers wrote side by side, the
/// next chunk may be far away.
const HEADERS: usize = 256;

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
}

/// A whole copy being verified, some chunks at a time.
#[derive(Clone, Copy, Debug)]
pub struct Verifier {
    reader: Reader,
    /// How many chunks are verified.
    chunks: u32,
    /// Checksum of their content.
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
        self.reached(place)?;
        self.shelf().open(place)
    }

    /// A verifier for the copy that `reader` reads, from its first octet.
    #[must_use]
    pub fn verifier(&self, reader: &Reader) -> Verifier {
        Verifier {
            reader: *reader,
            chunks: 0,
            sum: self.key.start(),
        }
    }

    /// Goes on verifying, until `budget` octets were looked at; what it is when it is done and
    /// whole.
    ///
    /// A place that an unsettled entry names may hold another whole copy, of the time before:
    /// only if length and checksum are what [`Store::finish`] gave is it the one that was meant.
    pub fn verify(
        &mut self,
        verifier: &mut Verifier,
        mut budget: usize,
    ) -> Option<Result<Stored, Damaged>> {
        while budget > 0 {
            match self.shelf().verify_chunk(verifier) {
                Ok(Some(octets)) => budget = budget.saturating_sub(octets),
                // More headers than can be looked at in one call stand before the next chunk.
                Ok(None) => return None,
                Err(damaged) => return Some(Err(damaged)),
            }
            let Verifier { reader, sum, .. } = verifier;
            if reader.is_last() {
                let record = &reader.record;
                let whole = record.whole_octets == reader.end()
                    && (record.whole_sum == sum.value() || !defence(Rule::WholeSum));
                let stored = Stored {
                    place: record.origin,
                    octets: reader.end(),
                    crc: sum.value(),
                };
                return Some(whole.then_some(stored).ok_or(Damaged::Corrupt));
            }
        }
        None
    }

    /// Reads from `offset` of the copy on, as much as `buf` takes and lies in one chunk; nothing
    /// at its end, nor before it if the next chunk was not found yet: then call again.
    ///
    /// Nothing comes of a chunk whose checksum is wrong: a mistake comes instead of its first
    /// octets.
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
        self.reached(place)?;
        let mut shelf = self.shelf();
        let reader = shelf.open(place)?;
        let head = usize::from(reader.record.head);
        let head = buf.get_mut(..head).ok_or(Damaged::Corrupt)?;
        shelf.fetch(reader.segment, reader.offset + HEADER_OCTETS, head)?;
        Ok(head.len())
    }

    /// Whether the ring has come so far. What a cut has left behind its end may be whole, but what
    /// is written next goes over it.
    fn reached(&self, place: Place) -> Result<(), Damaged> {
        let (segment, offset) = ring::locate(&self.geometry, place).ok_or(Damaged::Absent)?;
        let is_beyond = self.ring.open == Some(segment) && offset >= self.ring.head;
        if is_beyond && defence(Rule::Reached) {
            return Err(Damaged::Absent);
        }
        Ok(())
    }

    fn shelf(&mut self) -> Shelf<'_, M> {
        Shelf {
            medium: &mut self.medium,
            key: self.key,
            geometry: &self.geometry,
            segments: self.segments,
            cache: Some((&mut self.cache, &mut self.buffers.cache)),
        }
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
        })
    }

    fn read(&mut self, reader: &mut Reader, offset: u64, buf: &mut [u8]) -> Result<usize, Damaged> {
        if offset < reader.start {
            *reader = self.open(reader.record.origin)?;
        }
        if !self.find(reader, |reader| offset < reader.end())? {
            return Ok(0);
        }
        // Fits: the offset lies in this chunk.
        let within = usize::try_from(offset - reader.start).map_err(|_| Damaged::Corrupt)?;
        let (_, content) = self.chunk(reader)?;
        let rest = content.get(within..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(from), Some(to)) = (rest.get(..count), buf.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    /// Verifies one more chunk, if it was found; returns its octets.
    fn verify_chunk(&mut self, verifier: &mut Verifier) -> Result<Option<usize>, Damaged> {
        let Verifier {
            reader,
            chunks,
            sum,
        } = verifier;
        if !self.find(reader, |reader| reader.record.index >= *chunks)? {
            return Ok(None);
        }
        let key = self.key;
        let (head, content) = self.chunk(reader)?;
        // The chunk's checksum covers what the copy's does, but for its head.
        let before = key.start().update(head);
        *sum = sum.append(before, reader.record.sum, content.len());
        *chunks += 1;
        Ok(Some(head.len() + content.len()))
    }

    /// Goes on to the chunk that is `wanted`; false if there is none, or it was not found yet.
    fn find(
        &mut self,
        reader: &mut Reader,
        wanted: impl Fn(&Reader) -> bool,
    ) -> Result<bool, Damaged> {
        for _ in 0..HEADERS {
            if wanted(reader) {
                return Ok(true);
            }
            if reader.is_last() {
                return Ok(false);
            }
            self.walk(reader)?;
        }
        Ok(false)
    }

    /// Head and content of the chunk that `reader` is at, verified where they lie in memory.
    fn chunk(&mut self, reader: &Reader) -> Result<(&[u8], &[u8]), Damaged> {
        let record = &reader.record;
        if ring::sequence_of(self.segments, reader.segment) != Some(record.segment)
            && defence(Rule::SegmentStands)
        {
            return Err(Damaged::Absent);
        }
        let (cache, memory) = self.cache.as_mut().ok_or(Damaged::Unreadable)?;
        let at = ring::offset_at(self.geometry, reader.segment, reader.offset + HEADER_OCTETS);
        let end = ring::offset_at(self.geometry, reader.segment, self.geometry.segment);
        let head = usize::from(record.head);
        let length = head + record.length as usize;
        // A copy that fits in is kept whole: it is read once more, to be sent.
        let kept = ring::locate(self.geometry, record.origin)
            .filter(|&(segment, _)| segment == reader.segment)
            .map_or(at, |(segment, offset)| {
                ring::offset_at(self.geometry, segment, offset)
            });
        cache.load(&mut **memory, self.medium, at, length, kept, end)?;
        let octets = cache.held(&**memory, at, length).ok_or(Damaged::Corrupt)?;
        if !cache.is_sound(at, record.sum) {
            if self.key.sum(octets) != record.sum && defence(Rule::ChunkSum) {
                return Err(Damaged::Corrupt);
            }
            cache.found_sound(at, record.sum);
        }
        octets.split_at_checked(head).ok_or(Damaged::Corrupt)
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
        Ok(())
    }

    /// Reads what stands at the beginning of a copy, once for all that is asked of it.
    fn look_ahead(&mut self, segment: u32, offset: u32) {
        let Some((cache, memory)) = &mut self.cache else {
            return;
        };
        let at = ring::offset_at(self.geometry, segment, offset);
        let end = ring::offset_at(self.geometry, segment, self.geometry.segment);
        let header = usize::try_from(end - at).map_or(0, |rest| rest.min(HEADER_OCTETS as usize));
        // What cannot be read at once may be read in pieces.
        let _ = cache.load(&mut **memory, self.medium, at, header, at, end);
    }

    pub(super) fn fetch(
        &mut self,
        segment: u32,
        offset: u32,
        buf: &mut [u8],
    ) -> Result<(), Damaged> {
        let at = ring::offset_at(self.geometry, segment, offset);
        if let Some((cache, memory)) = &self.cache
            && let Some(held) = cache.held(&**memory, at, buf.len())
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
