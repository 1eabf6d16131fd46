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
//! Whether an item is settled is known only when a later one has been read, so a few of them wait.

use hal::Medium;
use heapless::Deque;

use super::claim::Claim;
use super::copy::Slot;
use super::defence::{Rule, defence};
use super::item::{Evicted, Item};
use super::snapshot::Position;
use super::stream::{Held, Source, Stream};
use super::survey::{Found, Start, Survey};
use super::{Extent, Index, MountError, PAGE_MAX, ring};

/// Items that may wait. A commit and the next one seldom fill more pages; those beyond are
/// replayed as if they were not settled.
const WAITING: usize = 32;
/// Items that wait in the memory of one writer.
const IN_A_WRITER: usize = 4;
/// Journal pages looked at beyond the end of the chain, for signs that it ought to be longer.
const BEYOND: u64 = 4;

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
