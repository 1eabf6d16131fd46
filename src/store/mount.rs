//! Mounting: finds out what is there, after a clean stop as after a power cut.
//!
//! ```text
//! superblock -> claims -> segment headers -> snapshot headers
//!   -> the newest snapshot whose parts verify -> restore
//!   -> from there the chain of items, in the journal and in the ring, to its first break -> replay
//!   -> where to go on in the newest segment
//! no such snapshot, and a chain that does not begin with the first item: the copies that the ring
//! holds -> rebuild
//! ```
//!
//! Nothing is written, and nothing is signed again. What is read is bounded: 128 octets of each
//! segment; a snapshot, or two if one fails; the journal pages and the summaries of segments since,
//! all once; the record headers of the open segment, and of one that a cut has left without its
//! summary; the saved configuration. Only if the index is lost is the whole ring looked through, by
//! its record headers, and the whole journal.

use core::fmt;

use hal::{Medium, MediumError};

use super::claim::Claim;
use super::config::Slots;
use super::defence::{Rule, defence};
use super::item::{LAST, Open};
use super::journal::Journal;
use super::octets::Key;
use super::reader::Cache;
use super::record::WRITERS;
use super::ring::{self, Ring, Segment};
use super::superblock::{self, SuperblockError};
use super::survey::Survey;
use super::{CLAIMED, Index, MOUNTED, Space, Store};

/// What a mount found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Entries replayed, the store's own included.
    pub entries: u64,
    /// Those of them that may speak of copies that are not whole.
    pub unsettled: u64,
    /// Committed entries are missing: the medium has lost what it had made durable.
    pub journal_damaged: bool,
    /// Segments whose header does not verify: after a cut, one or two that were about to be
    /// opened; else copies are lost.
    pub segments_damaged: u32,
    /// The epoch under which this mount writes.
    pub epoch: u32,
    /// The index was lost: so many copies were found in the ring, and nothing else is known.
    pub rebuilt: Option<u32>,
    /// Octets of the medium beyond the store: it has grown since the format, if they are more
    /// than one segment. They are used after the next format only.
    pub unused: u64,
}

/// Mounts the store on `medium` and gives what it held to `index`. Writes nothing.
///
/// After a mere crash of the program what was read may not be durable yet. The first
/// [`Store::step`] starts a sync, and nothing is written before it is done: else a cut could take
/// back what the first writes relied on. [`Store::commit`] tells when.
///
/// # Errors
/// [`MountError`]; `index` may hold a part of what was found.
pub fn mount<'a, M: Medium>(
    mut medium: M,
    space: Space<'a>,
    index: &mut impl Index,
) -> Result<(Store<'a, M>, Mounted), MountError> {
    let superblock = match superblock::find(&mut medium) {
        Ok(found) => found,
        Err(SuperblockError::Version(version)) => return Err(MountError::Version(version)),
        Err(SuperblockError::Medium(error)) => return Err(MountError::Medium(error)),
        Err(SuperblockError::Shrunk { needed }) => {
            let capacity = medium.capacity();
            return Err(MountError::Shrunk { needed, capacity });
        }
        Err(SuperblockError::None) => {
            return Err(match superblock::content(&mut medium)? {
                superblock::Content::Blank => MountError::Blank,
                superblock::Content::Store | superblock::Content::Foreign => MountError::Foreign,
            });
        }
    };
    let geometry = superblock.geometry;
    let needed = geometry.segments;
    let Space { segments, buffers } = space;
    let segments = segments
        .get_mut(..needed as usize)
        .ok_or(MountError::TooManySegments { needed })?;
    let key = Key::new(&superblock.key);
    let claim = Claim::find(&mut medium, &geometry, key)?;
    let mut survey = Survey {
        medium: &mut medium,
        geometry: &geometry,
        key,
        segments: &mut *segments,
        scratch: &mut buffers.scratch,
        item: &mut buffers.item,
        summary: &mut buffers.summary,
        writers: &mut buffers.writers,
        epoch: claim.epoch,
        claim,
        newest: 0,
    };
    let segments_damaged = survey.find_segments();
    let (snapshot, start) = survey.restore(index)?;
    let mut found = survey.replay(&start, index)?;
    if found.damaged && start.lacks_snapshot {
        // The chain does not reach back to its beginning.
        found = survey.rebuild(index)?;
    }
    let is_lost = found.damaged || found.rebuilt.is_some();
    if is_lost {
        index.lost();
    }
    let config = Slots::find(survey.medium, (&geometry, key, &claim), survey.scratch)?;
    let raised = u32::from(defence(Rule::NewEpoch));
    let epoch = survey.epoch.checked_add(raised);
    let epoch = epoch.ok_or(MountError::Exhausted)?;
    let at = found.at;
    // No store comes near in its life: one that says so is not of our making.
    if at.page.max(at.number) >= LAST {
        return Err(MountError::Exhausted);
    }
    let newest = survey.newest;
    let open = ring::find(segments, Segment::new(newest));
    let mut ring = Ring::new(
        open.filter(|_| newest > 0 && newest == at.segment),
        at.offset,
        at.segment,
    );
    (ring.summary, ring.closed) = (found.summary, found.closed);
    let durable = if defence(Rule::MountSync) { 0 } else { MOUNTED };
    let unused = medium.capacity().saturating_sub(geometry.end());
    let mut store = Store {
        medium,
        key,
        seed: superblock.key,
        geometry,
        epoch,
        segments,
        buffers,
        item: Open::new(at.number, at.previous, found.settled),
        journal: Journal {
            page: at.page,
            from: snapshot.at.page,
        },
        ring,
        snapshot,
        config,
        cache: Cache::default(),
        writing: [None; WRITERS],
        serial: 0,
        group: CLAIMED + 1,
        dirty: false,
        wanted: false,
        syncing: None,
        durable,
        trusted: found.unsettled == 0 || !defence(Rule::Trusted),
        rebuilt: found.rebuilt.is_some(),
        found: found.rebuilt,
        fault: None,
    };
    if found.rebuilt.is_some() {
        store.snapshot.at = at;
        store.journal.from = at.page;
    }
    if is_lost {
        store.take_snapshot();
    }
    let mounted = Mounted {
        entries: found.entries,
        unsettled: found.unsettled,
        journal_damaged: found.damaged,
        segments_damaged,
        epoch,
        rebuilt: found.rebuilt,
        unused,
    };
    Ok((store, mounted))
}

/// Why a medium was not mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// Nothing is there: it may be formatted.
    Blank,
    /// Something is there that is not a store.
    Foreign,
    /// A store of another version.
    Version(u32),
    /// The table lent is too small.
    TooManySegments {
        /// Segments of this store.
        needed: u32,
    },
    /// The medium is smaller than the store on it, in octets: nothing of it is touched.
    Shrunk {
        /// What the store was made for.
        needed: u64,
        /// What there is.
        capacity: u64,
    },
    /// A counter came to its end.
    Exhausted,
    /// The medium cannot be read.
    Medium(MediumError),
}

impl From<MediumError> for MountError {
    fn from(error: MediumError) -> Self {
        Self::Medium(error)
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("medium is blank: format it first"),
            Self::Foreign => f.write_str("medium holds something that is not a store"),
            Self::Version(version) => write!(
                f,
                "store has format {version}, this program knows {}",
                superblock::VERSION
            ),
            Self::TooManySegments { needed } => {
                write!(
                    f,
                    "store has {needed} segments, more than memory was set aside for"
                )
            }
            Self::Shrunk { needed, capacity } => write!(
                f,
                "medium has shrunk: the store on it needs {needed} octets, and there are {capacity}"
            ),
            Self::Exhausted => f.write_str("a counter of the store came to its end"),
            Self::Medium(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MountError {}
