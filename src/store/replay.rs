//! Replay: the chain of items from a snapshot on, put together from the journal and the ring.
//!
//! ```text
//! ring     item 7          item 9   item 10                    item 12 | its like of a torn life
//! journal          page: 8                   page: 11
//! chain    7 ----- 8 ----- 9 ------ 10 ----- 11 -------------- 12 -| the first break
//! ```
//!
//! Each next item is the one that bears the next number and names the checksum of the last; it is
//! looked for at the ring's next item and at the journal's next page. What does not fit is of a
//! time that a cut has taken back, and is passed over.
//!
//! Items in closed segments are read from the summary, in one piece. Where that was torn, and in
//! the open segment, they are found by the record headers.
//!
//! Whether an item is settled is known only when a later one has been read, so a few of them wait.

use hal::Medium;
use heapless::Deque;

use super::claim::Claim;
use super::copy::Slot;
use super::defence::{Rule, defence};
use super::item::{Evicted, Item};
use super::mount::{Found, MountError, Start, Survey};
use super::reader::Damaged;
use super::record::{HEADER_OCTETS, Kind, Record, SEGMENT_OCTETS};
use super::ring::{self, SUMMARY_MAX};
use super::snapshot::Position;
use super::{Extent, Index, PAGE_MAX};

/// Items that may wait. A commit and the next one seldom fill more pages; those beyond are
/// replayed as if they were not settled.
const WAITING: usize = 32;
/// Items that wait in the memory of one writer.
const IN_A_WRITER: usize = 4;
/// Journal pages looked at beyond the end of the chain, for signs that it ought to be longer.
const BEYOND: u64 = 4;

/// Goes through the items of the ring, oldest first.
#[derive(Debug)]
struct Stream {
    source: Source,
    /// Segments of a lower sequence are done.
    next: u32,
    /// The item it is at: where in the summary, or in the scratch, and how long.
    held: Option<(Held, usize)>,
    /// Of the newest segment: where its records end, octets of items, whether it is closed.
    head: u32,
    summary: Option<u32>,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// The next segment is to be looked for.
    Segments,
    /// Items from `at` on in the summary.
    Summary {
        at: usize,
        end: usize,
    },
    /// Record by record.
    Records(Walk),
    End,
}

#[derive(Clone, Copy, Debug)]
enum Held {
    Summary(usize),
    Scratch,
}

/// Goes from record to record of one segment.
///
/// Where the chain of records breaks within a page, a later mount has gone on at the next page:
/// so does the walk. Epochs never fall.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    segment: u32,
    sequence: u32,
    pub(super) epoch: u32,
    /// Behind the last record.
    pub(super) offset: u32,
}

/// The end of the chain as far as it was followed.
#[derive(Debug)]
struct Link {
    claim: Claim,
    at: Position,
    epoch: u32,
    settled: u64,
    entries: u64,
    unsettled: u64,
}

impl Link {
    fn goes_on_with(&self, item: &Item<'_>) -> bool {
        (item.number == self.at.number || !defence(Rule::ItemNumber))
            && (item.previous == self.at.previous || !defence(Rule::Chain))
            && (item.epoch >= self.epoch || !defence(Rule::ItemEpoch))
            && self.claim.admits_item(self.at.number, item.epoch)
    }

    fn take(&mut self, item: &Item<'_>) {
        self.epoch = item.epoch;
        self.settled = self.settled.max(item.settled);
        self.at.previous = item.sum;
        self.at.number = self.at.number.saturating_add(1);
    }
}

/// Items that wait: number, length; the oldest lies in cell `first`.
struct Queue {
    waiting: Deque<(u64, usize), WAITING>,
    first: usize,
}

impl<M: Medium> Survey<'_, M> {
    /// Follows the chain to its end, and gives its entries to the index.
    pub(super) fn replay(
        &mut self,
        start: &Start,
        index: &mut impl Index,
    ) -> Result<Found, MountError> {
        let mut link = Link {
            claim: self.claim,
            at: start.at,
            epoch: start.epoch,
            settled: start.at.number,
            entries: 0,
            unsettled: 0,
        };
        let mut stream = Stream {
            source: Source::Segments,
            next: start.at.segment.min(self.newest),
            held: None,
            head: self.geometry.page,
            summary: Some(0),
            closed: false,
        };
        let mut queue = Queue {
            waiting: Deque::new(),
            first: 0,
        };
        let (mut pages, mut beyond) = (u64::from(self.geometry.journal), self.claim.number);
        self.advance(&mut stream);
        loop {
            if let Some(item) = self.held(&stream)
                && link.goes_on_with(&item)
            {
                link.take(&item);
                let length = item.length();
                self.wait(&mut queue, &mut link, Some((&stream, length)), index);
                self.advance(&mut stream);
                continue;
            }
            if pages > 0
                && let page = link.at.page
                && let Some(item) = self.page(page)?
                && (item.page == page || !defence(Rule::JournalPage))
                && link.goes_on_with(&item)
            {
                link.take(&item);
                link.at.page = page.checked_add(1).ok_or(MountError::Exhausted)?;
                pages -= 1;
                self.wait(&mut queue, &mut link, None, index);
                continue;
            }
            // No page goes on from here: only a later item of the ring may.
            while let Some(item) = self.held(&stream) {
                if link.goes_on_with(&item) {
                    break;
                }
                if item.epoch >= link.epoch {
                    beyond = beyond.max(item.settled);
                }
                self.advance(&mut stream);
            }
            if stream.held.is_none() {
                break;
            }
        }
        for page in (link.at.page..).take(usize::try_from(pages.min(BEYOND)).unwrap_or(0)) {
            let item = self.page(page)?;
            if let Some(item) = item.filter(|item| item.epoch >= link.epoch) {
                beyond = beyond.max(item.settled);
            }
        }
        let damaged = beyond > link.at.number && defence(Rule::Beyond);
        link.settled = link.settled.min(link.at.number);
        while !queue.waiting.is_empty() {
            self.replay_first(&mut queue, &mut link, index);
        }
        self.epoch = self.epoch.max(link.epoch);
        // A segment that was there once, and cannot be found, takes nothing more.
        (link.at.segment, link.at.offset) = (self.newest.max(link.at.segment), stream.head);
        if self.newest == 0 {
            link.at.segment = 0;
        }
        Ok(Found {
            at: link.at,
            settled: link.settled,
            entries: link.entries,
            unsettled: link.unsettled,
            damaged,
            summary: stream.summary,
            closed: stream.closed,
            rebuilt: None,
        })
    }

    /// The item that the stream is at.
    fn held(&self, stream: &Stream) -> Option<Item<'_>> {
        let octets = match stream.held? {
            (Held::Summary(at), length) => self.summary.get(at..at + length)?,
            (Held::Scratch, length) => self.scratch.get(..length)?,
        };
        Item::decode(self.key, octets)
    }

    /// Goes to the next item of the ring that verifies.
    fn advance(&mut self, stream: &mut Stream) {
        stream.held = None;
        while stream.held.is_none() {
            match &mut stream.source {
                Source::Segments => self.next_segment(stream),
                Source::Summary { at, end } => {
                    let items = self.summary.get(*at..*end).unwrap_or_default();
                    match Item::decode(self.key, items).map(|item| item.length()) {
                        Some(length) => {
                            stream.held = Some((Held::Summary(*at), length));
                            *at += length;
                        }
                        None => stream.source = Source::Segments,
                    }
                }
                Source::Records(walk) => {
                    let mut walked = *walk;
                    match self.next_record(&mut walked) {
                        Some((offset, record)) => {
                            stream.source = Source::Records(walked);
                            if record.kind == Kind::Item {
                                self.hold(stream, walked, offset, &record);
                            }
                        }
                        None => {
                            if walked.sequence == self.newest {
                                stream.head = walked.offset;
                            }
                            self.epoch = self.epoch.max(walked.epoch);
                            stream.source = Source::Segments;
                        }
                    }
                }
                Source::End => return,
            }
        }
    }

    /// Begins with the next segment: its summary, or else its records.
    fn next_segment(&mut self, stream: &mut Stream) {
        let found = ring::oldest_after(self.segments, stream.next.saturating_sub(1));
        let Some((segment, sequence)) = found.filter(|_| stream.next > 0) else {
            stream.source = Source::End;
            return;
        };
        // Fits: a damaged one has the greatest number, and is not found.
        stream.next = sequence + 1;
        let is_newest = sequence == self.newest;
        if let Some(end) = self.read_summary(segment, sequence) {
            stream.source = Source::Summary { at: 0, end };
            if is_newest {
                (stream.closed, stream.head) = (true, self.geometry.segment);
                stream.summary = Some(super::octets::size(end));
            }
            return;
        }
        stream.source = Source::Records(self.walk(segment, sequence));
    }

    /// Reads the summary of a segment, if it has one that verifies: octets of items.
    fn read_summary(&mut self, segment: u32, sequence: u32) -> Option<usize> {
        let mut octets = [0; SEGMENT_OCTETS];
        let end = ring::summary_at(self.geometry, 0);
        let end = self.segment_header(segment, end, &mut octets)?;
        let (length, sum) = end.items?;
        if end.sequence != sequence && defence(Rule::SummaryOfSegment) {
            return None;
        }
        // A cut may have left the summary of a life whose header it took; the next life has given
        // the same segment the same sequence.
        let header = self.segment_header(segment, 0, &mut octets);
        if header.is_none_or(|header| end.epoch < header.epoch) && defence(Rule::SummaryEpoch) {
            return None;
        }
        let items = self.summary.get_mut(..length as usize)?;
        let at = ring::summary_at(self.geometry, length);
        let at = ring::offset_at(self.geometry, segment, at);
        self.medium.read(at, items).ok()?;
        self.epoch = self.epoch.max(end.epoch);
        let sound = self.key.sum(items) == sum || !defence(Rule::SummarySum);
        sound.then_some(length as usize)
    }

    /// Begins to walk a segment.
    pub(super) fn walk(&mut self, segment: u32, sequence: u32) -> Walk {
        let mut octets = [0; SEGMENT_OCTETS];
        let header = self.segment_header(segment, 0, &mut octets);
        Walk {
            segment,
            sequence,
            epoch: header.map_or(0, |header| header.epoch),
            offset: self.geometry.page,
        }
    }

    /// The next record, and where it stands; `None` at the end.
    pub(super) fn next_record(&mut self, walk: &mut Walk) -> Option<(u32, Record)> {
        let page = self.geometry.page;
        while walk.offset < self.geometry.segment {
            let offset = walk.offset;
            let found = self.shelf().record(walk.segment, walk.sequence, offset);
            let record = match found {
                Ok(record) => record
                    .filter(|record| record.epoch >= walk.epoch || !defence(Rule::RecordEpoch)),
                // Never go on in a segment that cannot be read.
                Err(Damaged::Unreadable) => {
                    walk.offset = self.geometry.segment;
                    return None;
                }
                Err(_) => None,
            };
            match record {
                Some(record) => {
                    walk.epoch = record.epoch;
                    walk.offset += record.span();
                    return Some((offset, record));
                }
                None if offset.is_multiple_of(page) || !defence(Rule::MountPage) => return None,
                None => walk.offset = offset.next_multiple_of(page),
            }
        }
        None
    }

    /// Reads the item in a record; that of the open segment joins its summary.
    fn hold(&mut self, stream: &mut Stream, walk: Walk, offset: u32, record: &Record) {
        let length = record.length as usize;
        let at = ring::offset_at(self.geometry, walk.segment, offset + HEADER_OCTETS);
        let Some(octets) = self.scratch.get_mut(..length) else {
            return;
        };
        let read = self.medium.read(at, octets);
        let item = Item::decode(self.key, octets);
        if read.is_err() || item.is_none_or(|item| item.length() != length) {
            return;
        }
        if walk.sequence == self.newest {
            let before = stream.summary.unwrap_or(SUMMARY_MAX);
            let after = before.saturating_add(record.length);
            let fits = after <= SUMMARY_MAX - super::octets::size(SEGMENT_OCTETS)
                && walk.offset <= ring::summary_at(self.geometry, after);
            stream.summary = fits.then_some(after);
            if fits {
                super::octets::put(self.summary, before as usize, octets);
            }
        }
        stream.held = Some((Held::Scratch, length));
    }

    /// Puts the item taken last among those that wait: that of the stream, or the journal page.
    /// Replays those that are known to be settled.
    fn wait(
        &mut self,
        queue: &mut Queue,
        link: &mut Link,
        held: Option<(&Stream, usize)>,
        index: &mut impl Index,
    ) {
        if queue.waiting.is_full() {
            self.replay_first(queue, link, index);
        }
        let source = match held.and_then(|(stream, length)| Some((stream.held?.0, length))) {
            Some((Held::Summary(at), length)) => self.summary.get(at..at + length),
            Some((Held::Scratch, length)) => self.scratch.get(..length),
            None => Item::decode(self.key, self.item)
                .map(|item| item.length())
                .and_then(|length| self.item.get(..length)),
        };
        // None is longer than a page by our own hand.
        let source = source.filter(|source| source.len() <= PAGE_MAX as usize);
        let at = (queue.first + queue.waiting.len()) % WAITING;
        if let (Some(source), Some(cell)) = (source, cell(self.writers, at)) {
            super::octets::put(cell, 0, source);
            let _ = queue.waiting.push_back((link.at.number - 1, source.len()));
        }
        while queue
            .waiting
            .front()
            .is_some_and(|(number, _)| *number < link.settled)
        {
            self.replay_first(queue, link, index);
        }
    }

    /// Gives the entries of the item that has waited longest to the index.
    fn replay_first(&mut self, queue: &mut Queue, link: &mut Link, index: &mut impl Index) {
        let Some((number, length)) = queue.waiting.pop_front() else {
            return;
        };
        let at = queue.first;
        queue.first = (at + 1) % WAITING;
        let settled = number < link.settled || !defence(Rule::Settled);
        let octets = cell(self.writers, at).and_then(|cell| cell.get(..length));
        let Some(item) = Item::decode(self.key, octets.unwrap_or_default()) else {
            return;
        };
        for (entry, own) in item.entries() {
            link.entries += 1;
            link.unsettled += u64::from(!settled);
            if !own {
                index.replay(entry, settled);
                continue;
            }
            let evicted = Evicted::decode(entry);
            if let Some(evicted) = evicted.filter(|e| e.segment < self.geometry.segments) {
                index.evicted(Extent {
                    places: ring::places(self.geometry, evicted.segment),
                    continued: &evicted.continued,
                });
            }
        }
    }
}

/// Room for the item that waits at `at`.
fn cell(writers: &mut [Slot], at: usize) -> Option<&mut [u8]> {
    let writer = writers.get_mut(at / IN_A_WRITER)?;
    let start = at % IN_A_WRITER * PAGE_MAX as usize;
    writer.get_mut(start..start + PAGE_MAX as usize)
}
