//! The store: an index, copies of mails and the saved configuration on one medium.
//!
//! It knows nothing of mail. It keeps what an [`Index`] gives it as snapshots and journal
//! entries, copies of octets in a ring of segments, and two small slots; [`Store::commit`] asks
//! for everything so far to become durable, and one sync does it. Nothing here ever waits:
//! [`Store::step`] drives page writes, syncs and snapshots.
//!
//! ```text
//! medium  | superblock A, B | claim A, B | config A, B | snapshot A, B | journal | ring      |
//!
//! claim     [epoch of a mount that writes, what it found]   even epochs in A, odd ones in B
//!
//! snapshot  [header page | part 0 | part 1 | ...]   the index, up to some item
//!
//! journal   [page n+5 | n+6 | ...free... | page n | n+1 | n+2 | n+3 | n+4 ]   circular
//!               an item each: entries of one commit that no copy was in
//!
//! ring      [segment 17 | segment 12 | segment 13 | segment 18 (open) | ... ]   any order
//!               |
//!               +- [header page | first a | first b | last b | item | pad | last a | ... | summary]
//!                   a copy is a chain of records; one larger than a segment goes on in the next
//!                   an item: entries of the commit whose copies end on that page
//!                   summary: all items of a closed segment once more, for the next mount
//!
//! chain     snapshot <- item <- item <- item ...   by number and checksum, through both streams
//! ```
//!
//! A commit of copies costs their own pages, padded to the next, and one sync; one of mere entries
//! a page of the journal, and one sync.
//!
//! Migration: the superblock names the version, and a program refuses every other one. This is
//! the first. A later one reads the rows through the old version's mount, and gives them to a
//! store formatted anew, or lets the visits fetch everything once more: nothing on the LAN server
//! was changed. A store does not grow with its medium; formatted anew it does.
//!
//! The octets of each structure are drawn in its own file. All numbers are little-endian; every
//! structure carries a CRC-32C that is seeded with the key of the format.
//!
//! What holds after a cut at any moment (the medium's contract: each unit written since the last
//! finished sync may hold anything):
//! - A committed entry is there, and a committed copy is whole, until its segment is evicted,
//!   which is itself an entry. A segment is overwritten only when that entry is durable.
//! - What was logged but not committed is there up to some entry, and not beyond. Mount says
//!   which entries may speak of copies that are not whole ([`Index::replay`], `settled`).
//! - No page that belongs to a commit is written again, but after what it holds was given up.
//! - Mount writes nothing; the first write after it claims a new epoch, and says what was found.
//!   Leftovers of the time before are not taken for its continuation, nor does what a mount has
//!   passed over ever come back, though a second cut make it whole.

mod claim;
mod config;
mod copy;
mod defence;

mod geometry;
mod item;
mod journal;
mod mount;
mod octets;
mod reader;
mod rebuild;
mod record;
mod replay;
mod ring;
mod room;
mod snapshot;
mod stream;
mod superblock;
mod survey;
#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::Range;

use hal::{Medium, MediumError, SyncState};

pub use copy::{AppendError, Stored, Writer};
pub use geometry::Geometry;
pub use mount::{MountError, Mounted, mount};
pub use reader::{Damaged, Reader, Verifier};
pub use record::{HEAD_MAX, Place, WRITERS};
pub use ring::Segment;
pub use superblock::{Content, FormatError, content, format};

use claim::Claim;
use copy::{Slot, Writing};
use defence::{Rule, defence};
use item::Open;
use journal::Journal;
use octets::Key;
use ring::Ring;
use snapshot::{Snapshot, State};

/// The smallest page: an item with the store's own longest entry (71 octets) fits it, and the header
/// of a segment. A medium may well tear it: units may be as small as they like.
pub const PAGE_MIN: u32 = 128;
/// The largest page: what Linux writes at once.
pub const PAGE_MAX: u32 = 4096;

/// The group of the sync that follows a mount.
const MOUNTED: u64 = 1;
/// The group that makes the claim of its epoch durable.
const CLAIMED: u64 = 2;

/// The mailbox's ledger, as the store sees it. Entries and parts are opaque.
pub trait Index {
    /// Forgets everything: a mount begins, or begins again from an older snapshot.
    fn clear(&mut self);

    /// Puts the next part of a snapshot, from `cursor` on (0 at first), into `out`; says how long
    /// it is, and the next cursor, if there is more. The index may change between two parts, but
    /// a part must not hold a change that is not logged yet: the index changes only when
    /// [`Store::log`] has taken it.
    fn part(&self, cursor: u32, out: &mut [u8]) -> (usize, Option<u32>);

    /// Takes back one part, in the order they were given.
    fn restore(&mut self, part: &[u8]);

    /// Takes back one journal entry, in order. It may be in the snapshot already: entries say
    /// what is, not what changes. If not `settled`, the copies it speaks of may not be whole.
    fn replay(&mut self, entry: &[u8], settled: bool);

    /// Takes back a copy that was found in the ring after the index was lost: what stands before
    /// its content, and what [`Store::finish`] gave. Oldest first; a later one may be of the same
    /// mail. It has all its parts, but its checksums were not looked at.
    fn rebuild(&mut self, _head: &[u8], _copy: &Stored) {}

    /// Something that was durable is gone: the whole index, whose copies were all given to
    /// [`rebuild`](Self::rebuild), or entries after what was restored and replayed. What was
    /// counted then may have been counted further.
    fn lost(&mut self) {}

    /// Whether the copies in `extent` may be given up now, by what is durable.
    fn may_evict(&mut self, extent: Extent<'_>) -> bool;

    /// The copies in `extent` are gone. The store has logged that itself, and says it again at
    /// replay: nothing needs to be logged for it.
    fn evicted(&mut self, extent: Extent<'_>);
}

/// The copies that touch one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent<'a> {
    /// [`Place`]s of those that begin in it.
    pub places: Range<u32>,
    /// Those that began earlier and go on in it.
    pub continued: &'a [Place],
}

impl Extent<'_> {
    /// Whether the copy at `place` is one of them.
    #[must_use]
    pub fn holds(&self, place: Place) -> bool {
        self.places.contains(&place.0) || self.continued.contains(&place)
    }
}

/// Memory that a store works in, lent to it for life.
#[derive(Debug)]
pub struct Space<'a> {
    /// One for each segment of the ring, or more.
    pub segments: &'a mut [Segment],
    /// The rest: about 230 KiB.
    pub buffers: &'a mut Buffers,
}

/// An item, a chunk to work in, a summary, what was read last, and a chunk for each writer.
#[derive(Debug)]
pub struct Buffers {
    item: [u8; PAGE_MAX as usize],
    scratch: [u8; record::CHUNK_MAX as usize],
    summary: [u8; ring::SUMMARY_MAX as usize],
    cache: [u8; reader::CACHE_OCTETS],
    writers: [Slot; WRITERS],
}

impl Buffers {
    /// All zeros, so that they need not be written to before they are used.
    pub const EMPTY: Self = Self {
        item: [0; PAGE_MAX as usize],
        scratch: [0; record::CHUNK_MAX as usize],
        summary: [0; ring::SUMMARY_MAX as usize],
        cache: [0; reader::CACHE_OCTETS],
        writers: [[0; copy::RECORD_MAX]; WRITERS],
    };
}

impl Default for Buffers {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// A mounted store.
#[derive(Debug)]
pub struct Store<'a, M> {
    medium: M,
    key: Key,
    /// The random octets given at format.
    seed: [u8; 16],
    geometry: Geometry,
    /// Of this mount: marks everything it writes.
    epoch: u32,
    segments: &'a mut [Segment],
    buffers: &'a mut Buffers,
    item: Open,
    journal: Journal,
    ring: Ring,
    snapshot: Snapshot,
    config: config::Slots,
    cache: reader::Cache,
    /// The copies under way, each with its place in the buffers.
    writing: [Option<Writing>; WRITERS],
    /// Serial of the copy begun last.
    serial: u32,
    /// The group of changes that the next sync makes durable.
    group: u64,
    /// Whether it holds anything.
    dirty: bool,
    /// Whether somebody waits for it.
    wanted: bool,
    syncing: Option<Syncing>,
    /// The last group that is durable.
    durable: u64,
    /// Whether the copies of all entries before this mount have been looked at.
    trusted: bool,
    /// Whether the index was rebuilt, and no snapshot holds it yet.
    rebuilt: bool,
    /// Copies that were found in the ring then.
    found: Option<u32>,
    fault: Option<Fault>,
}

/// A sync under way.
#[derive(Clone, Copy, Debug)]
struct Syncing {
    group: u64,
    /// The first item it does not cover.
    item: u64,
}

/// A commit asked for: see [`Store::committed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Figures for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Segments of the ring.
    pub segments: u32,
    /// Those that hold copies, evicted or not.
    pub written: u32,
    /// Those that do not verify.
    pub damaged: u32,
    /// Octets of one segment.
    pub segment_octets: u32,
    /// Octets free in the open one.
    pub open_octets: u32,
    /// How many segments were ever opened: laps times segments, about.
    pub opened: u32,
    /// Copies under way.
    pub writers: u32,
    /// Journal pages in use since the newest snapshot, and how many there are.
    pub journal: (u32, u32),
    /// Snapshots ever taken.
    pub snapshots: u64,
    /// Mounts that wrote.
    pub epoch: u32,
    /// Commits made durable since mount.
    pub commits: u64,
    /// The index was lost: so many copies were found in the ring at mount.
    pub rebuilt: Option<u32>,
    /// Why nothing is taken any more.
    pub fault: Option<Fault>,
}

impl<M: Medium> Store<'_, M> {
    /// Adds an entry to those of the next commit. It is durable once a ticket taken after that is committed.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: step the store, and try again; [`StoreError::TooLong`]: see
    /// [`Geometry::entry_limit`]; [`StoreError::Fault`].
    pub fn log(&mut self, entry: &[u8]) -> Result<(), StoreError> {
        self.log_entry(entry, false)
    }

    /// Asks that everything logged, saved and finished so far becomes durable.
    pub fn commit(&mut self) -> Ticket {
        if !self.dirty {
            return Ticket(self.group - 1);
        }
        self.wanted = true;
        Ticket(self.group)
    }

    /// Whether what `ticket` covers is durable.
    ///
    /// # Errors
    /// The fault that keeps it from ever becoming so.
    pub fn committed(&self, ticket: Ticket) -> Result<bool, Fault> {
        match self.fault {
            _ if ticket.0 <= self.durable => Ok(true),
            Some(fault) => Err(fault),
            None => Ok(false),
        }
    }

    /// Does what can be done without waiting: looks after the sync, writes parts of a snapshot,
    /// starts the next commit. Whether anything was done; if so, step again.
    pub fn step(&mut self, index: &mut impl Index) -> bool {
        if self.fault.is_some() {
            return false;
        }
        let synced = self.watch_sync();
        let taken = self.step_snapshot(index);
        let started = self.start_commit();
        synced || taken || started
    }

    /// Says that the copies named by entries that were replayed unsettled have been looked at,
    /// and that what was found is logged: the next mount need not look at them again.
    pub fn settle(&mut self) {
        self.trusted = true;
    }

    /// The random octets given at format, for hashes that nobody else may foretell.
    #[must_use]
    pub fn seed(&self) -> &[u8; 16] {
        &self.seed
    }

    /// The layout of the medium.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Whether stepping does nothing until something is asked for.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.durable >= CLAIMED
            && self.syncing.is_none()
            && !self.wanted
            && !matches!(self.snapshot.state, State::Writing { .. })
    }

    /// Figures for people.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let count = |wanted: fn(&Segment) -> bool| {
            octets::size(self.segments.iter().filter(|s| wanted(s)).count())
        };
        let writers = self.writing.iter().flatten();
        let used = u32::try_from(self.journal.used()).unwrap_or(u32::MAX);
        Usage {
            segments: self.geometry.segments,
            written: count(|segment| segment.sequence().is_some()),
            damaged: count(|segment| *segment == Segment::DAMAGED),
            segment_octets: self.geometry.segment,
            open_octets: self.ring.rest(&self.geometry),
            opened: self.ring.newest,
            writers: octets::size(writers.count()),
            journal: (used, self.geometry.journal),
            snapshots: self.snapshot.generation,
            epoch: self.epoch,
            commits: self.durable.saturating_sub(CLAIMED),
            rebuilt: self.found,
            fault: self.fault,
        }
    }

    /// The medium below.
    pub fn medium(&mut self) -> &mut M {
        &mut self.medium
    }

    /// Gives the medium back.
    pub fn into_medium(self) -> M {
        self.medium
    }

    fn log_entry(&mut self, entry: &[u8], own: bool) -> Result<(), StoreError> {
        self.sound()?;
        let (limit, got) = (self.geometry.entry_limit(), entry.len());
        if got > limit {
            return Err(StoreError::TooLong { limit, got });
        }
        if self.item.number.max(self.journal.page) >= item::LAST {
            self.fault = Some(Fault::Exhausted);
            return Err(Fault::Exhausted.into());
        }
        if self.rebuilt && defence(Rule::RebuiltFirst) {
            return Err(StoreError::Busy);
        }
        if !self.item.fits(self.geometry.page, got) {
            self.seal_page()?;
        }
        if self.journal.is_full(&self.geometry) && defence(Rule::JournalFull) {
            return Err(StoreError::Busy);
        }
        self.item.push(&mut self.buffers.item, entry, own);
        self.dirty = true;
        Ok(())
    }

    fn seal_page(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        let written = self.journal.write(
            &mut self.medium,
            &self.geometry,
            (self.key, self.epoch),
            (&mut self.item, &mut self.buffers.item),
        );
        self.taken(written)
    }

    /// Whether a sync came to its end.
    fn watch_sync(&mut self) -> bool {
        let Some(syncing) = self.syncing else {
            return false;
        };
        match self.medium.sync_state() {
            SyncState::Pending => return false,
            SyncState::Failed(errno) => {
                self.fault = Some(Fault::Medium(errno));
                return true;
            }
            SyncState::Done => {}
        }
        self.syncing = None;
        self.durable = syncing.group;
        if self.trusted {
            self.item.settled = syncing.item;
        }
        if self
            .config
            .pending
            .is_some_and(|group| group <= self.durable)
        {
            self.config.pending = None;
        }
        self.snapshot_durable();
        true
    }

    /// Writes what the commit still lacks, and starts its sync.
    fn start_commit(&mut self) -> bool {
        if self.syncing.is_some() {
            return false;
        }
        if self.durable < MOUNTED {
            return self.start_sync(MOUNTED).is_ok();
        }
        if self.durable < CLAIMED {
            return self.claim_epoch().is_ok();
        }
        self.wanted && self.finish_group().is_ok()
    }

    fn claim_epoch(&mut self) -> Result<(), StoreError> {
        let claim = Claim {
            epoch: self.epoch,
            number: self.item.number,
            config: self.config.generation(),
        };
        let claimed = claim.write(&mut self.medium, &self.geometry, self.key);
        self.taken(claimed)?;
        if !defence(Rule::ClaimFirst) {
            self.durable = CLAIMED;
            return Ok(());
        }
        self.start_sync(CLAIMED)
    }

    fn finish_group(&mut self) -> Result<(), StoreError> {
        self.close_page()?;
        if !self.item.is_empty() && defence(Rule::ItemFirst) {
            self.seal_page()?;
        }
        self.write_snapshot_header()?;
        self.start_sync(self.group)?;
        self.group += 1;
        self.dirty = false;
        self.wanted = false;
        Ok(())
    }

    fn start_sync(&mut self, group: u64) -> Result<(), StoreError> {
        if group <= CLAIMED || defence(Rule::CommitSync) {
            let started = self.medium.sync();
            self.taken(started)?;
        }
        let item = self.item.number;
        self.syncing = Some(Syncing { group, item });
        Ok(())
    }

    /// Whether the store still takes anything.
    fn sound(&self) -> Result<(), Fault> {
        self.fault.map_or(Ok(()), Err)
    }

    /// Whether the medium may be written to: not before the epoch of this mount is durable.
    fn writable(&self) -> Result<(), StoreError> {
        self.sound()?;
        if self.durable < CLAIMED {
            return Err(StoreError::Busy);
        }
        Ok(())
    }

    /// What the medium said to a write: a failure is for good.
    fn taken<T>(&mut self, result: Result<T, MediumError>) -> Result<T, StoreError> {
        let fault = match result {
            Ok(value) => return Ok(value),
            Err(MediumError::Busy) => return Err(StoreError::Busy),
            Err(MediumError::Failed(errno)) => Fault::Medium(errno),
            Err(MediumError::OutOfBounds) => Fault::Bug,
        };
        self.fault = Some(fault);
        Err(fault.into())
    }
}

/// Why the store takes nothing any more. Reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The medium failed, by system error number: what it holds is known after the next mount.
    Medium(i32),
    /// The index gave more parts than the snapshot's area holds.
    SnapshotTooLarge,
    /// A counter came to its end.
    Exhausted,
    /// A mistake in the store itself.
    Bug,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(errno) => write!(f, "medium failed: system error {errno}"),
            Self::SnapshotTooLarge => f.write_str("index too large for its snapshot"),
            Self::Exhausted => f.write_str("a counter of the store came to its end"),
            Self::Bug => f.write_str("a mistake in the store"),
        }
    }
}

impl core::error::Error for Fault {}

/// Why an entry or a configuration was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Not now: step the store, and try again.
    Busy,
    /// Longer than the format allows.
    TooLong {
        /// The most it allows, in octets.
        limit: usize,
        /// What it was given, in octets.
        got: usize,
    },
    /// The store takes nothing any more.
    Fault(Fault),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("store busy"),
            Self::TooLong { limit, got } => {
                write!(f, "too long for the store: {got} octets, at most {limit}")
            }
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl core::error::Error for StoreError {}
