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

use super::octets::{Key, array_at, put, u32_at};
use super::record::{CHUNK_MAX, HEAD_MAX, HEADER_OCTETS};
use super::{PAGE_MAX, PAGE_MIN};

/// Version of everything this module's picture shows. Any change to it is a new version.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"ringmail";
const OCTETS: usize = 128;
/// Superblock B stands at a power of two from this on ..
const B_FIRST: u32 = 128;
/// .. up to this.
const B_LAST: u32 = 1 << 20;
/// How far from both ends of a medium others keep their signatures (btrfs: at 64 KiB; the second
/// partition table: at the end).
const PROBED: u64 = 128 * 1024;

/// Where everything lies. Sizes in octets, but for `journal` and `segments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What is never written in part by two commits: a multiple of the medium's unit; a power of
    /// two from [`PAGE_MIN`] to [`PAGE_MAX`].
    pub page: u32,
    /// What is set aside for each superblock: a power of two, and a multiple of the page.
    pub superblock: u32,
    /// What is set aside for each saved configuration, its header page included.
    pub config: u32,
    /// What is set aside for each snapshot of the index, its header page included.
    pub snapshot: u32,
    /// Pages of the journal, 4 or more.
    pub journal: u32,
    /// One segment of the ring: best an allocation unit of the card.
    pub segment: u32,
    /// Segments of the ring, 3 or more.
    pub segments: u32,
    /// Content of one record: at most 16 KiB.
    pub chunk: u32,
}

impl Geometry {
    /// The layout for a medium of `capacity` octets, 4 MiB to 64 GiB, with an index whose
    /// snapshot may need `index` octets (less is set aside where that is too much for a small
    /// medium: see [`snapshot_parts`](Self::snapshot_parts)). `None`: too small.
    #[must_use]
    pub fn for_capacity(capacity: u64, index: u64) -> Option<Self> {
        const MIB: u64 = 1 << 20;
        let page = PAGE_MAX;
        // A 64th of a small ring, so that evicting one is a small loss; else what SD cards have.
        let segment = (capacity / 64).clamp(64 * 1024, 4 * MIB);
        let segment = 1 << segment.ilog2();
        let snapshot = (index + index / 64 + 2 * u64::from(page)).min(capacity / 16);
        let snapshot = snapshot.next_multiple_of(u64::from(page));
        let journal = (capacity / 64 / u64::from(page)).clamp(16, 256);
        let mut geometry = Self {
            page,
            superblock: 16 * 1024,
            config: 40 * 1024,
            snapshot: u32::try_from(snapshot).ok()?,
            journal: u32::try_from(journal).ok()?,
            segment: u32::try_from(segment).ok()?,
            segments: 0,
            chunk: CHUNK_MAX,
        };
        let segments = capacity.checked_sub(geometry.ring_at())? / segment;
        geometry.segments = u32::try_from(segments).ok()?;
        geometry.holds(capacity).then_some(geometry)
    }

    /// Whether this layout is sound, and fits `capacity` octets.
    #[must_use]
    pub fn holds(&self, capacity: u64) -> bool {
        let whole_pages = |octets: u32| octets >= self.page && octets.is_multiple_of(self.page);
        let least_segment = self.page + HEADER_OCTETS + HEAD_MAX + 64;
        (PAGE_MIN..=PAGE_MAX).contains(&self.page)
            && self.page.is_power_of_two()
            && (B_FIRST..=B_LAST).contains(&self.superblock)
            && self.superblock.is_power_of_two()
            && whole_pages(self.superblock)
            && whole_pages(self.config)
            && self.config <= 64 * 1024
            && whole_pages(self.snapshot)
            && self.snapshot >= 2 * self.page
            && (4..=1 << 16).contains(&self.journal)
            && whole_pages(self.segment)
            && (least_segment..=1 << 26).contains(&self.segment)
            && (3..=1 << 16).contains(&self.segments)
            && (64..=CHUNK_MAX).contains(&self.chunk)
            && self.chunk.is_multiple_of(64)
            // A place is 32 bits, in units of 64 octets.
            && u64::from(self.segment) * u64::from(self.segments) < 1 << 38
            && self.end() <= capacity
    }

    /// Octets the index may put into one part of a snapshot, and how many parts there may be.
    #[must_use]
    pub fn snapshot_parts(&self) -> (u32, u32) {
        let part = self.page - super::snapshot::PART_HEADER_OCTETS;
        (part, (self.snapshot / self.page).saturating_sub(1))
    }

    /// The longest journal entry, in octets.
    #[must_use]
    pub fn entry_limit(&self) -> usize {
        (self.page as usize).saturating_sub(super::journal::OVERHEAD_OCTETS)
    }

    /// The longest configuration, in octets.
    #[must_use]
    pub fn config_limit(&self) -> usize {
        (self.config as usize).saturating_sub(super::config::HEADER_OCTETS)
    }

    /// Octets of the ring, headers and padding included.
    #[must_use]
    pub fn ring(&self) -> u64 {
        u64::from(self.segment) * u64::from(self.segments)
    }

    pub(super) fn config_at(&self, b: bool) -> u64 {
        2 * u64::from(self.superblock) + u64::from(b) * u64::from(self.config)
    }

    pub(super) fn snapshot_at(&self, b: bool) -> u64 {
        self.config_at(true) + u64::from(self.config) + u64::from(b) * u64::from(self.snapshot)
    }

    pub(super) fn journal_at(&self, sequence: u64) -> u64 {
        let start = self.snapshot_at(true) + u64::from(self.snapshot);
        start + sequence % u64::from(self.journal) * u64::from(self.page)
    }

    /// Segments begin at multiples of their size, as the card's allocation units do.
    pub(super) fn ring_at(&self) -> u64 {
        let journal = u64::from(self.journal) * u64::from(self.page);
        (self.journal_at(0) + journal).next_multiple_of(u64::from(self.segment))
    }

    fn end(&self) -> u64 {
        self.ring_at() + self.ring()
    }
}

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
        Ok(_) | Err(SuperblockError::Version(_)) => return Ok(Content::Store),
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
        Content::Foreign => return Err(FormatError::Foreign),
    }
    let octets = Superblock {
        geometry: *geometry,
        key,
    }
    .encode();
    // B first: as long as A stands, it is the old store that is found.
    medium.write(u64::from(geometry.superblock), &octets)?;
    medium.write(0, &octets)?;
    medium.sync()?;
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
    Medium(MediumError),
}

/// The superblock of `medium`: A, else B.
pub(super) fn find<M: Medium>(medium: &mut M) -> Result<Superblock, SuperblockError> {
    let mut octets = [0; OCTETS];
    let capacity = medium.capacity();
    let mut newer = None;
    let mut at = 0;
    while at <= B_LAST && u64::from(at) + OCTETS as u64 <= capacity {
        medium
            .read(u64::from(at), &mut octets)
            .map_err(SuperblockError::Medium)?;
        match Superblock::decode(&octets) {
            Ok(found) if at == 0 || at == found.geometry.superblock => {
                if found.geometry.holds(capacity) {
                    return Ok(found);
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
        if !octets.starts_with(MAGIC) || u32_at(octets, 124) != sum_of(octets) {
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
