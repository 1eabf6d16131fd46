//! The saved configuration: two slots, written in turn.
//!
//! ```text
//!  0 magic "RMcf"   4     16 checksum of the octets behind the header  4
//!  4 their length   4     20 epoch                                     4
//!  8 generation     8     24 zeros                                    36
//!                         60 checksum of 0..60                         4
//! ```

use hal::{Medium, MediumError};

use super::claim::Claim;
use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, array_at, put, size, u32_at, u64_at};
use super::{Fault, Store, StoreError, Ticket};

pub(super) const HEADER_OCTETS: usize = 64;
const MAGIC: &[u8; 4] = b"RMcf";

/// Which slot holds the newest configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    newest: Option<Header>,
    in_b: bool,
    /// The group that makes the newest durable, until it is.
    pub(super) pending: Option<u64>,
    /// The header whose octets are in the other slot already, but it is not.
    half: Option<Header>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    length: u32,
    generation: u64,
    sum: u32,
    epoch: u32,
}

impl<M: Medium> Store<'_, M> {
    /// Saves `octets` as the configuration; it holds from the moment the ticket is committed.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while the last one saved is not committed or the medium's queue is
    /// full: try again. [`StoreError::TooLong`]: see [`Geometry::config_limit`].
    pub fn save_config(&mut self, octets: &[u8]) -> Result<Ticket, StoreError> {
        self.writable()?;
        let limit = self.geometry.config_limit();
        if octets.len() > limit {
            let got = octets.len();
            return Err(StoreError::TooLong { limit, got });
        }
        // The other slot holds the only durable one.
        if self.config.pending.is_some() && defence(Rule::ConfigWaits) {
            return Err(StoreError::Busy);
        }
        let in_b = self.config.in_b ^ defence(Rule::ConfigTurns);
        let header = Header {
            length: size(octets.len()),
            generation: self
                .config
                .generation()
                .checked_add(1)
                .ok_or(Fault::Exhausted)?,
            sum: self.key.sum(octets),
            epoch: self.epoch,
        };
        let at = self.geometry.config_at(in_b);
        if self.config.half != Some(header) {
            let written = self.medium.write(at + HEADER_OCTETS as u64, octets);
            self.taken(written)?;
            self.config.half = Some(header);
        }
        let written = self.medium.write(at, &header.encode(self.key));
        self.taken(written)?;
        self.dirty = true;
        let ticket = self.commit();
        self.config = Slots {
            newest: Some(header),
            in_b,
            pending: Some(ticket.0),
            half: None,
        };
        Ok(ticket)
    }

    /// Reads the newest configuration into `out` and says how long it is; `None` if none was ever
    /// saved, or `out` is too short.
    ///
    /// # Errors
    /// The medium's own.
    pub fn load_config(&mut self, out: &mut [u8]) -> Result<Option<usize>, MediumError> {
        let Some(header) = self.config.newest else {
            return Ok(None);
        };
        let length = header.length as usize;
        let Some(out) = out.get_mut(..length) else {
            return Ok(None);
        };
        let at = self.geometry.config_at(self.config.in_b) + HEADER_OCTETS as u64;
        self.medium.read(at, out)?;
        let sound = self.key.sum(out) == header.sum || !defence(Rule::ConfigSum);
        Ok(sound.then_some(length))
    }
}

impl Slots {
    /// Finds the newer of the two slots that verify.
    pub(super) fn find<M: Medium>(
        medium: &mut M,
        (geometry, key, claim): (&Geometry, Key, &Claim),
        scratch: &mut [u8],
    ) -> Result<Self, MediumError> {
        let mut slots = Self {
            newest: None,
            in_b: true,
            pending: None,
            half: None,
        };
        for b in [false, true] {
            let at = geometry.config_at(b);
            let mut octets = [0; HEADER_OCTETS];
            medium.read(at, &mut octets)?;
            let Some(header) = Header::decode(key, &octets) else {
                continue;
            };
            if header.length as usize > geometry.config_limit()
                || header.generation <= slots.generation()
                || !claim.admits_config(header.generation, header.epoch)
            {
                continue;
            }
            let mut sum = key.start();
            let mut done = 0;
            while done < header.length {
                let piece = scratch.len().min((header.length - done) as usize);
                let Some(piece) = scratch.get_mut(..piece) else {
                    break;
                };
                medium.read(at + HEADER_OCTETS as u64 + u64::from(done), piece)?;
                sum = sum.update(piece);
                done += size(piece.len());
            }
            if sum.value() == header.sum || !defence(Rule::ConfigSum) {
                slots.newest = Some(header);
                slots.in_b = b;
            }
        }
        Ok(slots)
    }

    /// Of the newest; 0 if there is none.
    pub(super) fn generation(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.generation)
    }
}

impl Header {
    fn encode(&self, key: Key) -> [u8; HEADER_OCTETS] {
        let mut octets = [0; HEADER_OCTETS];
        put(&mut octets, 0, MAGIC);
        put(&mut octets, 4, &self.length.to_le_bytes());
        put(&mut octets, 8, &self.generation.to_le_bytes());
        put(&mut octets, 16, &self.sum.to_le_bytes());
        put(&mut octets, 20, &self.epoch.to_le_bytes());
        let sum = key.sum(&array_at::<60>(&octets, 0));
        put(&mut octets, 60, &sum.to_le_bytes());
        octets
    }

    fn decode(key: Key, octets: &[u8; HEADER_OCTETS]) -> Option<Self> {
        let sum = key.sum(&array_at::<60>(octets, 0));
        let sound = sum == u32_at(octets, 60) || !defence(Rule::ConfigHeaderSum);
        (octets.starts_with(MAGIC) && sound).then(|| Self {
            length: u32_at(octets, 4),
            generation: u64_at(octets, 8),
            sum: u32_at(octets, 16),
            epoch: u32_at(octets, 20),
        })
    }
}
