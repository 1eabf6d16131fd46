//! The stream: the items of the ring, oldest first, as a mount goes through them.
//!
//! Items in closed segments are read from the summary, in one piece. Where that was torn, and in
//! the open segment, they are found by the record headers.

use hal::Medium;

use super::defence::{Rule, defence};
use super::item::Item;
use super::reader::Damaged;
use super::record::{HEADER_OCTETS, Kind, Record, SEGMENT_OCTETS};
use super::ring::{self, SUMMARY_MAX};
use super::survey::Survey;

/// Goes through the items of the ring, oldest first.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) source: Source,
    /// Segments of a lower sequence are done.
    pub(super) next: u32,
    /// The item it is at: where in the summary, or in the scratch, and how long.
    pub(super) held: Option<(Held, usize)>,
    /// Of the newest segment: where its records end, octets of items, whether it is closed.
    pub(super) head: u32,
    pub(super) summary: Option<u32>,
    pub(super) closed: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
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
pub(super) enum Held {
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

impl<M: Medium> Survey<'_, M> {
    /// The item that the stream is at.
    pub(super) fn held(&self, stream: &Stream) -> Option<Item<'_>> {
        let octets = match stream.held? {
            (Held::Summary(at), length) => self.summary.get(at..at + length)?,
            (Held::Scratch, length) => self.scratch.get(..length)?,
        };
        Item::decode(self.key, octets)
    }

    /// Goes to the next item of the ring that verifies.
    pub(super) fn advance(&mut self, stream: &mut Stream) {
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
}
