//! Mounting: finds out what is there, after a clean stop as after a power cut.
//!
//! ```text
//! superblock -> snapshot headers -> journal pages, all once: the highest epoch and sequence
//!   -> the newest snapshot whose parts verify and whose journal was not overwritten -> restore
//!   -> the chain of pages from there to its first break -> replay
//!   -> segment headers, all once -> the records of the newest segment -> where to go on
//! ```
//!
//! Nothing is written, and nothing is signed again. What is read is bounded: one or two
//! snapshots, the journal three times, 128 octets of each segment, one segment's record headers,
//! the saved configuration.

use core::fmt;

use hal::{Medium, MediumError};

use super::config::Slots;
use super::defence::{Rule, defence};
use super::geometry::Geometry;
use super::journal::{Evicted, Journal, Page};
use super::octets::Key;
use super::reader::{Damaged, Shelf};
use super::record::{SEGMENT_OCTETS, SegmentHeader};
use super::ring::{self, Ring, Segment};
use super::snapshot::{self, Header, Snapshot, State, part_at};
use super::superblock::{self, SuperblockError};
use super::{Extent, Index, MOUNTED, Space, Store};

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
    let found = match superblock::find(&mut medium) {
        Ok(found) => found,
        Err(SuperblockError::Version(version)) => return Err(MountError::Version(version)),
        Err(SuperblockError::Medium(error)) => return Err(MountError::Medium(error)),
        Err(SuperblockError::None) => {
            return Err(match superblock::content(&mut medium)? {
                superblock::Content::Blank => MountError::Blank,
                superblock::Content::Store | superblock::Content::Foreign => MountError::Foreign,
            });
        }
    };
    let geometry = found.geometry;
    let needed = geometry.segments;
    let Space { segments, buffers } = space;
    let segments = segments
        .get_mut(..needed as usize)
        .ok_or(MountError::TooManySegments { needed })?;
    let key = Key::new(&found.key);
    let mut survey = Survey {
        medium: &mut medium,
        geometry: &geometry,
        key,
        scratch: &mut buffers.scratch,
        epoch: 0,
    };
    let (snapshot, start) = survey.restore(index)?;
    let chain = survey.chain(&start)?;
    let (entries, unsettled) = survey.replay(&start, &chain, index)?;
    let (ring, segments_damaged) = survey.ring(segments)?;
    let config = Slots::find(survey.medium, &geometry, key, survey.scratch)?;
    let raised = u32::from(defence(Rule::NewEpoch));
    let epoch = survey.epoch.checked_add(raised);
    let epoch = epoch.ok_or(MountError::Exhausted)?;
    // No store comes near in its life: one that says so is not of our making.
    if chain.end > u64::MAX / 2 {
        return Err(MountError::Exhausted);
    }
    for slot in &mut buffers.writers {
        slot.writing = None;
    }
    let store = Store {
        medium,
        key,
        seed: found.key,
        geometry,
        epoch,
        segments,
        buffers,
        journal: Journal::new(chain.end, chain.previous, start.from, chain.settled),
        ring,
        snapshot,
        config,
        serial: 0,
        group: MOUNTED + 1,
        dirty: false,
        wanted: false,
        syncing: None,
        durable: if defence(Rule::MountSync) { 0 } else { MOUNTED },
        trusted: unsettled == 0 || !defence(Rule::Trusted),
        fault: None,
    };
    let mounted = Mounted {
        entries,
        unsettled,
        journal_damaged: chain.damaged,
        segments_damaged,
        epoch,
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
    /// No snapshot verifies, and the journal alone does not reach back to the beginning.
    IndexLost,
    /// A counter came to its end.
    Exhausted,
    /// The medium cannot be read.
    Medium(MediumError),
}

/// Looks through the medium.
struct Survey<'s, M> {
    medium: &'s mut M,
    geometry: &'s Geometry,
    key: Key,
    scratch: &'s mut [u8],
    /// The highest epoch seen.
    epoch: u32,
}

/// Where replay starts.
#[derive(Clone, Copy, Debug)]
struct Start {
    from: u64,
    /// Checksum of the page before.
    previous: u32,
    /// No page of the chain is from an earlier epoch.
    epoch: u32,
}

/// The journal's chain.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The first page that is not part of it.
    end: u64,
    /// Checksum of the last that is.
    previous: u32,
    /// Pages before this one are known to be durable.
    settled: u64,
    damaged: bool,
}

impl<M: Medium> Survey<'_, M> {
    /// Restores the newest usable snapshot, if any was ever taken.
    fn restore(&mut self, index: &mut impl Index) -> Result<(Snapshot, Start), MountError> {
        let a = self.snapshot_header(false)?;
        let b = self.snapshot_header(true)?;
        let generation = [&a, &b].into_iter().flatten().map(|h| h.generation).max();
        let generation = generation.unwrap_or(0);
        // The highest sequence in the journal: a page is overwritten only when a newer snapshot
        // is durable, so it shows which snapshots are outdated.
        let mut highest = 0;
        for at in 0..u64::from(self.geometry.journal) {
            if let Some(page) = self.page(at)? {
                let (epoch, sequence) = (page.epoch, page.sequence);
                highest = highest.max(sequence);
                self.epoch = self.epoch.max(epoch);
            }
        }
        let outdated = |from: u64| {
            let beyond = from.checked_add(u64::from(self.geometry.journal));
            beyond.is_none_or(|beyond| highest >= beyond) && defence(Rule::Outdated)
        };
        let usable = |header: Option<Header>| header.filter(|header| !outdated(header.from));
        let mut candidates = [(usable(a), false), (usable(b), true)];
        candidates.sort_unstable_by_key(|(header, _)| header.map(|header| header.generation));
        let before_any = !outdated(1);
        for (header, in_b) in candidates.into_iter().rev() {
            if defence(Rule::Cleared) {
                index.clear();
            }
            let Some(header) = header else {
                continue;
            };
            if self.restore_parts(&header, in_b, index)? {
                let start = Start {
                    from: header.from,
                    previous: header.previous,
                    epoch: header.epoch,
                };
                return Ok((Self::taken(generation, in_b), start));
            }
        }
        if defence(Rule::Cleared) {
            index.clear();
        }
        if !before_any {
            return Err(MountError::IndexLost);
        }
        let start = Start {
            from: 1,
            previous: 0,
            epoch: 0,
        };
        Ok((Self::taken(generation, true), start))
    }

    fn taken(generation: u64, in_b: bool) -> Snapshot {
        Snapshot {
            generation,
            in_b,
            urgent: false,
            state: State::Idle,
        }
    }

    /// The header of a snapshot area.
    fn snapshot_header(&mut self, b: bool) -> Result<Option<Header>, MountError> {
        let mut octets = [0; snapshot::HEADER_OCTETS];
        self.medium
            .read(self.geometry.snapshot_at(b), &mut octets)?;
        let header = Header::decode(self.key, &octets)
            .filter(|header| header.parts <= self.geometry.snapshot_parts().1 && header.from > 0);
        if let Some(header) = header {
            self.epoch = self.epoch.max(header.epoch);
        }
        Ok(header)
    }

    /// Whether all parts verify; the index has taken those before the first that does not.
    fn restore_parts(
        &mut self,
        header: &Header,
        in_b: bool,
        index: &mut impl Index,
    ) -> Result<bool, MountError> {
        for number in 0..header.parts {
            let page = self.scratch.get_mut(..self.geometry.page as usize);
            let page = page.unwrap_or_default();
            self.medium
                .read(part_at(self.geometry, in_b, number), page)?;
            let Some(part) = header.part(self.key, page, number) else {
                return Ok(false);
            };
            index.restore(part);
        }
        Ok(true)
    }

    /// The journal page that lies where `sequence` does, if it verifies and may lie there.
    fn page(&mut self, sequence: u64) -> Result<Option<Page<'_>>, MountError> {
        let page = self.scratch.get_mut(..self.geometry.page as usize);
        let page = page.unwrap_or_default();
        let at = self.geometry.journal_at(sequence);
        self.medium.read(at, page)?;
        let page = Page::decode(self.key, page);
        Ok(page.filter(|page| {
            self.geometry.journal_at(page.sequence) == at || !defence(Rule::JournalSequence)
        }))
    }

    /// Follows the chain to its end, and looks whether more was durable once.
    fn chain(&mut self, start: &Start) -> Result<Chain, MountError> {
        let mut chain = Chain {
            end: start.from,
            previous: start.previous,
            settled: start.from,
            damaged: false,
        };
        let mut epoch = start.epoch;
        let pages = u64::from(self.geometry.journal);
        let mut looked = 0;
        while looked < pages {
            let (end, previous) = (chain.end, chain.previous);
            let Some(page) = self.page(end)?.filter(|page| {
                (page.sequence == end || !defence(Rule::JournalSequence))
                    && (page.previous == previous || !defence(Rule::Chain))
                    && (page.epoch >= epoch || !defence(Rule::JournalEpoch))
            }) else {
                break;
            };
            epoch = page.epoch;
            chain.settled = chain.settled.max(page.settled);
            chain.previous = page.sum;
            chain.end = end.checked_add(1).ok_or(MountError::Exhausted)?;
            looked += 1;
        }
        for beyond in (chain.end..).take(usize::try_from(pages - looked).unwrap_or(0)) {
            chain.damaged |= self
                .page(beyond)?
                .is_some_and(|page| page.epoch >= epoch && page.settled > chain.end)
                && defence(Rule::Beyond);
        }
        chain.settled = chain.settled.min(chain.end);
        Ok(chain)
    }

    /// Gives the entries of the chain to the index: how many, and how many are not settled.
    fn replay(
        &mut self,
        start: &Start,
        chain: &Chain,
        index: &mut impl Index,
    ) -> Result<(u64, u64), MountError> {
        let (mut entries, mut unsettled) = (0, 0);
        let geometry = *self.geometry;
        for sequence in start.from..chain.end {
            let settled = sequence < chain.settled || !defence(Rule::Settled);
            let Some(page) = self.page(sequence)? else {
                return Err(MountError::Medium(MediumError::Busy));
            };
            for (entry, own) in page.entries() {
                entries += 1;
                unsettled += u64::from(!settled);
                if !own {
                    index.replay(entry, settled);
                    continue;
                }
                let evicted = Evicted::decode(entry);
                if let Some(evicted) = evicted.filter(|e| e.segment < geometry.segments) {
                    index.evicted(Extent {
                        places: ring::places(&geometry, evicted.segment),
                        continued: &evicted.continued,
                    });
                }
            }
        }
        Ok((entries, unsettled))
    }

    /// Reads the segments' headers, and finds where to go on in the newest.
    fn ring(&mut self, segments: &mut [Segment]) -> Result<(Ring, u32), MountError> {
        let mut newest = None;
        let mut damaged = 0;
        for (at, segment) in (0..).zip(segments.iter_mut()) {
            let mut octets = [0; SEGMENT_OCTETS];
            let offset = ring::offset_at(self.geometry, at, 0);
            // One that cannot be read costs its copies, not the whole store.
            let header = match self.medium.read(offset, &mut octets) {
                Ok(()) => SegmentHeader::decode(self.key, &octets),
                Err(_) => None,
            };
            let Some(header) = header.filter(|h| Segment::new(h.sequence).sequence().is_some())
            else {
                let blank = octets == [0; SEGMENT_OCTETS];
                *segment = if blank {
                    Segment::BLANK
                } else {
                    Segment::DAMAGED
                };
                damaged += u32::from(!blank);
                continue;
            };
            *segment = Segment::new(header.sequence);
            self.epoch = self.epoch.max(header.epoch);
            if newest.is_none_or(|(sequence, _, _)| header.sequence > sequence) {
                newest = Some((header.sequence, at, header.epoch));
            }
        }
        let Some((sequence, open, epoch)) = newest else {
            return Ok((Ring::new(None, 0, 0), damaged));
        };
        let head = self.head(segments, open, sequence, epoch)?;
        Ok((Ring::new(Some(open), head, sequence), damaged))
    }

    /// Walks the records of the newest segment: the page behind the last one.
    ///
    /// Where the chain of records breaks within a page, a later mount has gone on at the next
    /// page: so does the walk. Epochs never fall.
    fn head(
        &mut self,
        segments: &[Segment],
        segment: u32,
        sequence: u32,
        mut epoch: u32,
    ) -> Result<u32, MountError> {
        let page = self.geometry.page;
        let mut shelf = Shelf {
            medium: &mut *self.medium,
            key: self.key,
            geometry: self.geometry,
            segments,
        };
        let mut head = page;
        while head < self.geometry.segment {
            let record = match shelf.record(segment, sequence, head) {
                Ok(record) => {
                    record.filter(|record| record.epoch >= epoch || !defence(Rule::RecordEpoch))
                }
                // Never go on in a segment that cannot be read.
                Err(Damaged::Unreadable) => {
                    head = self.geometry.segment;
                    break;
                }
                Err(_) => None,
            };
            match record {
                Some(record) => {
                    epoch = record.epoch;
                    head += record.span();
                }
                None if head.is_multiple_of(page) || !defence(Rule::MountPage) => break,
                None => head = head.next_multiple_of(page),
            }
        }
        self.epoch = self.epoch.max(epoch);
        Ok(head)
    }
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
            Self::IndexLost => f.write_str("no index of the store verifies"),
            Self::Exhausted => f.write_str("a counter of the store came to its end"),
            Self::Medium(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MountError {}
