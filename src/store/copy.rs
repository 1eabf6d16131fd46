//! Writing copies into the ring, several side by side.
//!
//! A writer gathers one chunk, then puts it behind the head of the ring as a record; the last
//! record carries length and checksum of the whole. A copy exists for others only by the place
//! that [`Store::finish`] gives, once that place stands in a committed journal entry: an
//! unfinished or forgotten one is room wasted until its segment comes round, no more.

use core::fmt;

use hal::Medium;

use super::octets::{Sum, put, size};
use super::record::{CHUNK_MAX, Continued, HEAD_MAX, HEADER_OCTETS, Kind, Place, Record};
use super::{Fault, Index, Store, StoreError, ring};

/// A chunk with its header and head, as it goes to the medium in one write.
pub(super) const RECORD_MAX: usize = (HEADER_OCTETS + HEAD_MAX + CHUNK_MAX) as usize;

/// A copy under way. Worthless once finished or aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    slot: usize,
    serial: u32,
}

/// A copy finished; durable once a ticket taken after that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it begins.
    pub place: Place,
    /// Its content.
    pub octets: u64,
    /// Checksum of its content under the store's key.
    pub crc: u32,
}

/// Why octets were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// Not now: step the store, and try again.
    Busy,
    /// No segment may be given up for it. Trying again asks the index again.
    Full,
    /// No such copy is under way: a mistake of the caller.
    Closed,
    /// The store takes nothing any more.
    Fault(Fault),
}

/// Room for one chunk.
pub(super) type Slot = [u8; RECORD_MAX];

/// How far a copy is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing {
    serial: u32,
    /// Octets of the head; it waits in the slot until the first record is written.
    head: u16,
    /// Octets of content waiting in the slot.
    filled: u32,
    /// Index of the next chunk.
    index: u32,
    /// Where the first chunk went.
    pub(super) origin: Option<Continued>,
    octets: u64,
    sum: Sum,
}

impl Writing {
    /// Octets in front of the content in the slot.
    fn fixed(&self) -> u32 {
        let head = self.origin.map_or(self.head, |_| 0);
        HEADER_OCTETS + u32::from(head)
    }
}

impl<M: Medium> Store<'_, M> {
    /// Begins a copy. `head` is the caller's, [`HEAD_MAX`] octets at most, and stands before the
    /// content. `None` if all writers are taken or `head` is too long.
    pub fn begin(&mut self, head: &[u8]) -> Option<Writer> {
        let length = u16::try_from(head.len()).ok()?;
        if u32::from(length) > HEAD_MAX {
            return None;
        }
        let slot = self.writing.iter().position(Option::is_none)?;
        let serial = self.serial.checked_add(1)?;
        let octets = self.buffers.writers.get_mut(slot)?;
        put(octets, HEADER_OCTETS as usize, head);
        *self.writing.get_mut(slot)? = Some(Writing {
            serial,
            head: length,
            filled: 0,
            index: 0,
            origin: None,
            octets: 0,
            sum: self.key.start(),
        });
        self.serial = serial;
        Some(Writer { slot, serial })
    }

    /// Adds `octets` to a copy, as many as can be taken now; at least one if there are any.
    ///
    /// # Errors
    /// [`AppendError`]; then none was taken.
    pub fn append(
        &mut self,
        writer: Writer,
        mut octets: &[u8],
        index: &mut impl Index,
    ) -> Result<usize, AppendError> {
        self.sound()?;
        let whole = octets.len();
        loop {
            let chunk = self.geometry.chunk;
            let (slot, writing) = self.under(writer)?;
            let room = (chunk - writing.filled.min(chunk)) as usize;
            let (taken, rest) = octets.split_at(octets.len().min(room));
            put(slot, (writing.fixed() + writing.filled) as usize, taken);
            writing.filled += size(taken.len());
            writing.octets += taken.len() as u64;
            writing.sum = writing.sum.update(taken);
            octets = rest;
            if octets.is_empty() {
                return Ok(whole);
            }
            if let Err(error) = self.emit(writer, false, index) {
                return match whole - octets.len() {
                    0 => Err(error),
                    taken => Ok(taken),
                };
            }
        }
    }

    /// Ends a copy and gives its place.
    ///
    /// # Errors
    /// [`AppendError`]; after `Busy` and `Full` the copy is still under way.
    pub fn finish(
        &mut self,
        writer: Writer,
        index: &mut impl Index,
    ) -> Result<Stored, AppendError> {
        self.sound()?;
        // At most twice: a slot that straddles the end of a segment.
        while !self.emit(writer, true, index)? {}
        let (_, writing) = self.under(writer)?;
        let place = writing.origin.ok_or(AppendError::Closed)?.place;
        let stored = Stored {
            place,
            octets: writing.octets,
            crc: writing.sum.value(),
        };
        self.abort(writer);
        self.ring.finished = true;
        self.dirty = true;
        Ok(stored)
    }

    /// Ends a copy that is not wanted any more.
    pub fn abort(&mut self, writer: Writer) {
        if let Some(place) = self.writing.get_mut(writer.slot)
            && place.is_some_and(|writing| writing.serial == writer.serial)
        {
            *place = None;
        }
    }

    /// Writes what waits in a slot as one record, as much as fits the open segment. Whether the
    /// copy's last record was written.
    fn emit(
        &mut self,
        writer: Writer,
        last: bool,
        index: &mut impl Index,
    ) -> Result<bool, AppendError> {
        self.writable()?;
        let (_, writing) = self.under(writer)?;
        let fixed = writing.fixed();
        let least = fixed + writing.filled.min(64);
        if self.ring.rest(&self.geometry) < least {
            self.advance(index)?;
        }
        let Some(segment) = self.ring.open else {
            return Err(AppendError::Busy);
        };
        let (rest, head) = (self.ring.rest(&self.geometry), self.ring.head);
        let (key, epoch, newest) = (self.key, self.epoch, self.ring.newest);
        let here = ring::place(&self.geometry, segment, head);
        let (slot, writing) = self.under(writer)?;
        let length = writing.filled.min(rest.saturating_sub(fixed));
        let is_last = last && length == writing.filled;
        let begun = writing.origin;
        let origin = begun.unwrap_or(Continued {
            place: here,
            segment: newest,
        });
        let content = HEADER_OCTETS as usize..(fixed + length) as usize;
        let record = Record {
            kind: Kind::Chunk {
                first: begun.is_none(),
                last: is_last,
            },
            head: begun.map_or(writing.head, |_| 0),
            epoch,
            serial: writing.serial,
            index: writing.index,
            length,
            segment: newest,
            origin: origin.place,
            sum: key.sum(slot.get(content).unwrap_or_default()),
            whole_octets: if is_last { writing.octets } else { 0 },
            whole_sum: if is_last { writing.sum.value() } else { 0 },
        };
        put(slot, 0, &record.encode(key));
        if length == writing.filled {
            // Up to the next record; a chunk that is cut ends at one already.
            let end = (fixed + length) as usize;
            if let Some(rest) = slot.get_mut(end..record.span() as usize) {
                rest.fill(0);
            }
        }
        let at = ring::offset_at(&self.geometry, segment, head);
        let written = match self.buffers.writers.get(writer.slot) {
            Some(slot) => self
                .medium
                .write(at, slot.get(..record.span() as usize).unwrap_or_default()),
            None => return Err(AppendError::Closed),
        };
        self.cache.forget();
        self.taken(written)?;
        self.ring.head += record.span();
        let (slot, writing) = self.under(writer)?;
        let behind = (fixed + length) as usize..(fixed + writing.filled) as usize;
        if behind.end <= slot.len() {
            slot.copy_within(behind, HEADER_OCTETS as usize);
        }
        writing.filled -= length;
        writing.index = writing.index.checked_add(1).ok_or(Fault::Exhausted)?;
        writing.origin = Some(origin);
        self.reserve_early(index);
        Ok(is_last)
    }

    fn under(&mut self, writer: Writer) -> Result<(&mut [u8], &mut Writing), AppendError> {
        let octets = self.buffers.writers.get_mut(writer.slot);
        let writing = self.writing.get_mut(writer.slot).and_then(Option::as_mut);
        match (octets, writing) {
            (Some(octets), Some(writing)) if writing.serial == writer.serial => {
                Ok((octets, writing))
            }
            _ => Err(AppendError::Closed),
        }
    }
}

impl From<Fault> for AppendError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::TooLong { .. } => Self::Fault(Fault::Bug),
            StoreError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("store busy"),
            Self::Full => f.write_str("ring full: nothing may be evicted"),
            Self::Closed => f.write_str("no such copy is under way"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for AppendError {}
