//! Claims: before a mount writes anything else, its epoch is durable, so that no other has it.
//!
//! ```text
//!  0 magic "RMep"   4     8 zeros              52
//!  4 epoch          4    60 checksum of 0..60   4
//! ```
//!
//! Epoch `e` is claimed in slot `e % 2`. The slot it overwrites held an older claim than the other
//! one, which the sync that follows every mount has made durable: one of them always stands. So
//! what a cut has left anywhere of an earlier time never bears the epoch of a later one, though
//! no mount looks for all of it.

use hal::{Medium, MediumError};

use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::octets::{Key, array_at, put, u32_at};

const OCTETS: usize = 64;
const MAGIC: &[u8; 4] = b"RMep";

/// The highest epoch claimed; 0 if none was.
pub(super) fn claimed<M: Medium>(
    medium: &mut M,
    geometry: &Geometry,
    key: Key,
) -> Result<u32, MediumError> {
    let mut highest = 0;
    for slot in 0..2 {
        let mut octets = [0; OCTETS];
        medium.read(geometry.claim_at(slot), &mut octets)?;
        let sound = sum_of(key, &octets) == u32_at(&octets, 60) || !defence(Rule::ClaimSum);
        if octets.starts_with(MAGIC) && sound {
            highest = highest.max(u32_at(&octets, 4));
        }
    }
    Ok(highest)
}

/// Writes the claim of `epoch`; the next sync makes it durable.
pub(super) fn claim<M: Medium>(
    medium: &mut M,
    geometry: &Geometry,
    key: Key,
    epoch: u32,
) -> Result<(), MediumError> {
    let slot = epoch & u32::from(defence(Rule::ClaimTurns));
    medium.write(geometry.claim_at(slot), &encode(key, epoch))
}

pub(super) fn encode(key: Key, epoch: u32) -> [u8; OCTETS] {
    let mut octets = [0; OCTETS];
    put(&mut octets, 0, MAGIC);
    put(&mut octets, 4, &epoch.to_le_bytes());
    let sum = sum_of(key, &octets);
    put(&mut octets, 60, &sum.to_le_bytes());
    octets
}

fn sum_of(key: Key, octets: &[u8; OCTETS]) -> u32 {
    key.sum(&array_at::<60>(octets, 0))
}
