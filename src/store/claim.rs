//! Claims: before a mount writes anything else, it says under which epoch, and behind what.
//!
//! ```text
//!  0 magic "RMep"             4     16 generation of the configuration found   8
//!  4 epoch                    4     24 zeros                                  36
//!  8 number of the next item  8     60 checksum of 0..60                       4
//! ```
//!
//! Epoch `e` is claimed in slot `e % 2`. The slot it overwrites held an older claim than the other
//! one, which the sync that follows every mount has made durable: one of them always stands. So
//! what a cut has left anywhere of an earlier time never bears the epoch of a later one, though
//! no mount looks for all of it.
//!
//! What a mount has not found does not come back either. An item or a configuration that a cut has
//! torn lies where the next one goes, and may be made whole by the rest of that: they may have
//! their ends in common. It would be of an earlier epoch than the claim, and come after what the
//! claim says was found: so it is not believed.

use hal::{Medium, MediumError};

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, array_at, put, u32_at, u64_at};

const OCTETS: usize = 64;
const MAGIC: &[u8; 4] = b"RMep";

/// What a mount says before it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// The epoch of all that it writes; 0 if there was no claim yet.
    pub(super) epoch: u32,
    /// The item that it writes first: all before it were found, and are durable.
    pub(super) number: u64,
    /// Generation of the configuration that was found; 0 if there was none.
    pub(super) config: u64,
}

impl Claim {
    /// The newest claim.
    pub(super) fn find<M: Medium>(
        medium: &mut M,
        geometry: &Geometry,
        key: Key,
    ) -> Result<Self, MediumError> {
        let mut newest = Self::default();
        for slot in 0..2 {
            let mut octets = [0; OCTETS];
            medium.read(geometry.claim_at(slot), &mut octets)?;
            let claim = Self::decode(key, &octets).unwrap_or_default();
            if claim.epoch > newest.epoch {
                newest = claim;
            }
        }
        Ok(newest)
    }

    /// Writes it; the next sync makes it durable.
    pub(super) fn write<M: Medium>(
        &self,
        medium: &mut M,
        geometry: &Geometry,
        key: Key,
    ) -> Result<(), MediumError> {
        let slot = self.epoch & u32::from(defence(Rule::ClaimTurns));
        medium.write(geometry.claim_at(slot), &self.encode(key))
    }

    /// Whether item `number` may be believed, if it bears `epoch`.
    pub(super) fn admits_item(&self, number: u64, epoch: u32) -> bool {
        number < self.number || epoch >= self.epoch || !defence(Rule::ItemClaimed)
    }

    /// Whether the configuration of `generation` may be believed, if it bears `epoch`.
    pub(super) fn admits_config(&self, generation: u64, epoch: u32) -> bool {
        generation <= self.config || epoch >= self.epoch || !defence(Rule::ConfigClaimed)
    }

    pub(super) fn encode(&self, key: Key) -> [u8; OCTETS] {
        let mut octets = [0; OCTETS];
        put(&mut octets, 0, MAGIC);
        put(&mut octets, 4, &self.epoch.to_le_bytes());
        put(&mut octets, 8, &self.number.to_le_bytes());
        put(&mut octets, 16, &self.config.to_le_bytes());
        let sum = sum_of(key, &octets);
        put(&mut octets, 60, &sum.to_le_bytes());
        octets
    }

    pub(super) fn decode(key: Key, octets: &[u8; OCTETS]) -> Option<Self> {
        let sound = sum_of(key, octets) == u32_at(octets, 60) || !defence(Rule::ClaimSum);
        (octets.starts_with(MAGIC) && sound).then(|| Self {
            epoch: u32_at(octets, 4),
            number: u64_at(octets, 8),
            config: u64_at(octets, 16),
        })
    }
}

fn sum_of(key: Key, octets: &[u8; OCTETS]) -> u32 {
    key.sum(&array_at::<60>(octets, 0))
}
