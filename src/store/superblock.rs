//! The superblocks: which medium this is, where everything lies, and the key.
//!
//! ```text
//!   0 magic "ringmail"    8   version  4   page, superblock, config, snapshot,
//!  12 geometry            32            }  journal, segment, segments, chunk: 4 each
//!  44 key                 16
//!  60 zeros               64
//! 124 checksum            4   of octets 0..124, under the all-zero key
//! ```
//!
//! They are written once, by [`format()`]: A at the start, B at [`Geometry::superblock`]. If A is
//! gone, B is looked for at every power of two it can stand at.

use core::fmt;

use hal::{Medium, MediumError};

use super::defence::{Rule, defence};
use super::geometry::{B_FIRST, B_LAST, Geometry};
use super::octets::{Key, array_at, put, u32_at};

/// Version of everything this module's picture shows. Any change to it is a new version.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"ringmail";
const OCTETS: usize = 128;
/// How far from both ends of a medium others keep their signatures (btrfs: at 64 KiB; the second
/// partition table: at the end).
const PROBED: u64 = 128 * 1024;

/// What a medium holds, as far as anybody can tell before mounting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing: zeros, erased flash, or a format that a power cut ended.
    Blank,
    /// A store, of this or another version.
    Store,
    /// Something else.
    Foreign,
}

/// Looks at what `medium` holds; reads 256 KiB at most.
///
/// # Errors
/// The medium's own.
pub fn content<M: Medium>(medium: &mut M) -> Result<Content, MediumError> {
    match find(medium) {
        Ok(_) | Err(SuperblockError::Version(_) | SuperblockError::Shrunk { .. }) => {
            return Ok(Content::Store);
        }
        Err(SuperblockError::Medium(error)) => return Err(error),
        Err(SuperblockError::None) => {}
    }
    let capacity = medium.capacity();
    let start = 0..PROBED.min(capacity);
    let end = capacity.saturating_sub(PROBED).max(start.end)..capacity;
    for range in [start, end] {
        let mut at = range.start;
        while at < range.end {
            let mut unit = [0; OCTETS];
            let length = usize::try_from(range.end - at).map_or(OCTETS, |rest| rest.min(OCTETS));
            let unit = unit.get_mut(..length).unwrap_or_default();
            medium.read(at, unit)?;
            let may_be_superblock = at == 0 || at.is_power_of_two();
            if !(is_blank(unit) || may_be_superblock && is_torn(unit)) {
                return Ok(Content::Foreign);
            }
            at += length as u64;
        }
    }
    Ok(Content::Blank)
}

fn is_blank(octets: &[u8]) -> bool {
    octets.iter().all(|&octet| octet == 0 || octet == 0xFF)
}

/// Whether a cut while a superblock was written can have left this: of the magic, something.
fn is_torn(octets: &[u8]) -> bool {
    let (magic, _) = octets.split_at(octets.len().min(MAGIC.len()));
    !is_blank(magic)
        && magic
            .iter()
            .zip(MAGIC)
            .all(|(octet, magic)| octet == magic || is_blank(&[*octet]))
}

/// Makes `medium` an empty store: writes both superblocks and starts a sync. Nothing else is
/// written: what lies elsewhere does not verify under the new `key`, which must be random.
///
/// A store that is there is replaced only if `replace` says so; foreign content never is: to
/// give such a medium to the store, its owner overwrites its start and its end with zeros.
///
/// # Errors
/// [`FormatError`]; nothing was written, but after [`FormatError::Medium`].
pub fn format<M: Medium>(
    medium: &mut M,
    geometry: &Geometry,
    key: [u8; 16],
    replace: bool,
) -> Result<(), FormatError> {
    if !geometry.holds(medium.capacity()) {
        return Err(FormatError::Geometry);
    }
    match content(medium)? {
        Content::Blank => {}
        Content::Store if replace => {}
        Content::Store => return Err(FormatError::Store),
        Content::Foreign if defence(Rule::Foreign) => return Err(FormatError::Foreign),
        Content::Foreign => {}
    }
    let octets = Superblock {
        geometry: *geometry,
        key,
    }
    .encode();
    // B first: as long as A stands, it is the old store that is found.
    medium.write(u64::from(geometry.superblock), &octets)?;
    medium.write(0, &octets)?;
    if defence(Rule::FormatSync) {
        medium.sync()?;
    }
    Ok(())
}

/// Why a medium was not formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// There is a store, and it was not to be replaced.
    Store,
    /// There is something else.
    Foreign,
    /// The geometry is unsound or does not fit.
    Geometry,
    /// The medium refused; after [`MediumError::Busy`] try again.
    Medium(MediumError),
}

impl From<MediumError> for FormatError {
    fn from(error: MediumError) -> Self {
        Self::Medium(error)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store => f.write_str("medium holds a store already"),
            Self::Foreign => f.write_str("medium holds something that is not a store"),
            Self::Geometry => f.write_str("layout does not fit the medium"),
            Self::Medium(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FormatError {}

/// What a superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) geometry: Geometry,
    pub(super) key: [u8; 16],
}

/// Why there is no superblock to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SuperblockError {
    None,
    Version(u32),
    /// A store of this version that needs more octets than there are.
    Shrunk {
        needed: u64,
    },
    Medium(MediumError),
}

/// The superblock of `medium`: A, else B.
pub(super) fn find<M: Medium>(medium: &mut M) -> Result<Superblock, SuperblockError> {
    let mut octets = [0; OCTETS];
    let capacity = medium.capacity();
    let mut newer = None;
    let mut at = 0;
    while (at == 0 || defence(Rule::SecondSuperblock))
        && at <= B_LAST
        && u64::from(at) + OCTETS as u64 <= capacity
    {
        medium
            .read(u64::from(at), &mut octets)
            .map_err(SuperblockError::Medium)?;
        match Superblock::decode(&octets) {
            Ok(found) if at == 0 || at == found.geometry.superblock => {
                if found.geometry.holds(capacity) {
                    return Ok(found);
                }
                if found.geometry.holds(u64::MAX) {
                    let needed = found.geometry.end();
                    return Err(SuperblockError::Shrunk { needed });
                }
            }
            Err(SuperblockError::Version(version)) => newer = newer.or(Some(version)),
            Ok(_) | Err(_) => {}
        }
        at = if at == 0 { B_FIRST } else { at * 2 };
    }
    Err(newer.map_or(SuperblockError::None, SuperblockError::Version))
}

impl Superblock {
    pub(super) fn encode(&self) -> [u8; OCTETS] {
        let mut octets = [0; OCTETS];
        let g = &self.geometry;
        put(&mut octets, 0, MAGIC);
        put(&mut octets, 8, &VERSION.to_le_bytes());
        let fields = [
            g.page,
            g.superblock,
            g.config,
            g.snapshot,
            g.journal,
            g.segment,
            g.segments,
            g.chunk,
        ];
        for (at, field) in (12..).step_by(4).zip(fields) {
            put(&mut octets, at, &field.to_le_bytes());
        }
        put(&mut octets, 44, &self.key);
        let sum = sum_of(&octets);
        put(&mut octets, 124, &sum.to_le_bytes());
        octets
    }

    fn decode(octets: &[u8; OCTETS]) -> Result<Self, SuperblockError> {
        let sound = u32_at(octets, 124) == sum_of(octets) || !defence(Rule::SuperblockSum);
        if !octets.starts_with(MAGIC) || !sound {
            return Err(SuperblockError::None);
        }
        let version = u32_at(octets, 8);
        if version != VERSION {
            return Err(SuperblockError::Version(version));
        }
        Ok(Self {
            geometry: Geometry {
                page: u32_at(octets, 12),
                superblock: u32_at(octets, 16),
                config: u32_at(octets, 20),
                snapshot: u32_at(octets, 24),
                journal: u32_at(octets, 28),
                segment: u32_at(octets, 32),
                segments: u32_at(octets, 36),
                chunk: u32_at(octets, 40),
            },
            key: array_at(octets, 44),
        })
    }
}

fn sum_of(octets: &[u8; OCTETS]) -> u32 {
    Key::new(&[0; 16]).sum(octets.get(..124).unwrap_or_default())
}
