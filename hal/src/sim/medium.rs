//! A medium in memory: counts, fails when told to, and knows what a power cut may leave.
//!
//! ```text
//! write -> image, and the list of writes not durable yet
//! sync  -> ... so many looks at its state later ... -> what it covered joins the durable image
//! cut   -> the durable image, with the units touched since in any condition
//! ```

// A double for tests: a range that is wrong here is a mistake that ought to panic.
#![allow(clippy::indexing_slicing)]

use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use crate::medium::{Medium, MediumError, SyncState};

/// A medium in memory.
#[derive(Clone, Debug)]
pub struct SimMedium {
    /// What reading gives.
    image: Vec<u8>,
    /// What no cut takes back.
    durable: Vec<u8>,
    writes: VecDeque<Write>,
    /// The sync under way: how many writes it covers, how many more looks it takes.
    syncing: Option<(usize, u32)>,
    failed: Option<i32>,
    unit: usize,
    sync_looks: u32,
    busy_every: u64,
    fail_after: Option<u64>,
    asked: u64,
    counts: Counts,
    trace: Option<Vec<Event>>,
}

/// A write taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub offset: u64,
    /// What.
    pub octets: Vec<u8>,
}

/// What a medium was asked to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write was taken.
    Write(Write),
    /// A sync was seen to be done: it covers so many of the writes that were not durable, the
    /// oldest.
    Synced(usize),
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes taken.
    pub writes: u64,
    /// Their octets.
    pub written: u64,
    /// Reads done.
    pub reads: u64,
    /// Their octets.
    pub read: u64,
    /// Syncs started.
    pub syncs: u64,
}

/// What a cut may leave of the writes that were not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The first so many octets of them, in the order they were taken.
    Prefix(usize),
    /// Of the units they touched, in order, those whose bit (modulo 64) is set are as written,
    /// the others as before.
    Units(u64),
    /// Each touched unit is old, as after any of its writes, zeros, ones, or a mixture.
    Any,
}

impl SimMedium {
    /// A blank medium of `capacity` octets with units of 512.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::from_image(std::vec![0; capacity])
    }

    /// A medium that holds `image`, all of it durable.
    #[must_use]
    pub fn from_image(image: Vec<u8>) -> Self {
        Self {
            durable: image.clone(),
            image,
            writes: VecDeque::new(),
            syncing: None,
            failed: None,
            unit: 512,
            sync_looks: 0,
            busy_every: 0,
            fail_after: None,
            asked: 0,
            counts: Counts::default(),
            trace: None,
        }
    }

    /// What a cut leaves whole or not at all touched: `unit` octets.
    #[must_use]
    pub fn with_unit(mut self, unit: usize) -> Self {
        self.unit = unit.max(1);
        self
    }

    /// A sync is done at the first look at its state, and `looks` more. To ask for the next one is
    /// a look as well.
    #[must_use]
    pub fn with_slow_sync(mut self, looks: u32) -> Self {
        self.sync_looks = looks;
        self
    }

    /// Every `n`th write is refused as busy; 0: none.
    #[must_use]
    pub fn with_busy(mut self, n: u64) -> Self {
        self.busy_every = n;
        self
    }

    /// Records all writes and syncs from now on.
    #[must_use]
    pub fn with_trace(mut self) -> Self {
        self.trace = Some(Vec::new());
        self
    }

    /// Fails for good after `n` more writes.
    pub fn fail_after(&mut self, n: u64) {
        self.fail_after = Some(n);
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What reading gives.
    #[must_use]
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// What is recorded, if anything.
    #[must_use]
    pub fn trace(&self) -> &[Event] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// Octets taken and not durable.
    #[must_use]
    pub fn undurable(&self) -> usize {
        self.writes.iter().map(|write| write.octets.len()).sum()
    }

    /// Units touched by writes that are not durable.
    #[must_use]
    pub fn touched(&self) -> Vec<usize> {
        self.versions().into_keys().collect()
    }

    /// The image that a power cut leaves now; `random` is asked only for [`Cut::Any`].
    pub fn cut(&self, cut: Cut, random: &mut dyn FnMut() -> u64) -> Vec<u8> {
        let mut image = self.durable.clone();
        if let Cut::Prefix(mut rest) = cut {
            for write in &self.writes {
                let length = write.octets.len().min(rest);
                put(&mut image, write.offset, &write.octets[..length]);
                rest -= length;
            }
            return image;
        }
        for (number, (unit, versions)) in self.versions().into_iter().enumerate() {
            let start = unit * self.unit;
            let end = (start + self.unit).min(image.len());
            let Some(newest) = versions.last() else {
                continue;
            };
            let place = &mut image[start..end];
            match cut {
                Cut::Units(mask) if mask >> (number % 64) & 1 == 0 => {}
                Cut::Prefix(_) | Cut::Units(_) => place.copy_from_slice(newest),
                Cut::Any => match random() % 8 {
                    0 | 1 => {}
                    2 | 3 => place.copy_from_slice(newest),
                    4 => place.fill(0),
                    5 => place.fill(0xFF),
                    6 => {
                        let pick = random() % versions.len() as u64;
                        place.copy_from_slice(&versions[usize::try_from(pick).unwrap_or(0)]);
                    }
                    _ => {
                        for (octet, new) in place.iter_mut().zip(newest) {
                            match random() % 16 {
                                0..=6 => {}
                                7..=13 => *octet = *new,
                                _ => *octet = u8::try_from(random() & 0xFF).unwrap_or(0),
                            }
                        }
                    }
                },
            }
        }
        image
    }

    /// What a process that is started anew finds, after the old one was killed: all that was
    /// taken, and no more of it durable than before.
    #[must_use]
    pub fn killed(&self) -> Self {
        let mut next = self.clone();
        next.syncing = None;
        next
    }

    /// Each unit touched, with what it was after each write that touched it.
    fn versions(&self) -> BTreeMap<usize, Vec<Vec<u8>>> {
        let mut image = self.durable.clone();
        let mut versions: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for write in self.writes.iter().filter(|write| !write.octets.is_empty()) {
            put(&mut image, write.offset, &write.octets);
            let start = usize::try_from(write.offset).unwrap_or(usize::MAX);
            for unit in start / self.unit..=(start + write.octets.len() - 1) / self.unit {
                let end = ((unit + 1) * self.unit).min(image.len());
                let content = image[unit * self.unit..end].to_vec();
                versions.entry(unit).or_default().push(content);
            }
        }
        versions
    }

    fn record(&mut self, event: Event) {
        if let Some(trace) = &mut self.trace {
            trace.push(event);
        }
    }

    fn finish_sync(&mut self, covered: usize) {
        for write in self.writes.drain(..covered) {
            put(&mut self.durable, write.offset, &write.octets);
        }
        self.syncing = None;
        self.record(Event::Synced(covered));
    }

    fn range(&self, offset: u64, length: usize) -> Result<core::ops::Range<usize>, MediumError> {
        let start = usize::try_from(offset).map_err(|_| MediumError::OutOfBounds)?;
        let end = start.checked_add(length).ok_or(MediumError::OutOfBounds)?;
        if end > self.image.len() {
            return Err(MediumError::OutOfBounds);
        }
        Ok(start..end)
    }
}

impl Event {
    /// Does on `medium` what was done then.
    pub fn repeat(&self, medium: &mut SimMedium) {
        match self {
            Self::Write(write) => {
                put(&mut medium.image, write.offset, &write.octets);
                medium.writes.push_back(write.clone());
            }
            Self::Synced(covered) => medium.finish_sync(*covered),
        }
    }
}

impl Medium for SimMedium {
    fn capacity(&self) -> u64 {
        self.image.len() as u64
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let range = self.range(offset, buf.len())?;
        buf.copy_from_slice(&self.image[range]);
        self.counts.reads += 1;
        self.counts.read += buf.len() as u64;
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        let range = self.range(offset, octets.len())?;
        if let Some(errno) = self.failed {
            return Err(MediumError::Failed(errno));
        }
        self.asked += 1;
        if self.busy_every > 0 && self.asked.is_multiple_of(self.busy_every) {
            return Err(MediumError::Busy);
        }
        if let Some(left) = &mut self.fail_after {
            let Some(less) = left.checked_sub(1) else {
                self.failed = Some(5);
                return Err(MediumError::Failed(5));
            };
            *left = less;
        }
        self.image[range].copy_from_slice(octets);
        let octets = octets.to_vec();
        self.counts.writes += 1;
        self.counts.written += octets.len() as u64;
        let write = Write { offset, octets };
        self.record(Event::Write(write.clone()));
        self.writes.push_back(write);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        if let Some(errno) = self.failed {
            return Err(MediumError::Failed(errno));
        }
        // Who asks for another looks how far the last one is.
        if self.sync_state() == SyncState::Pending {
            return Err(MediumError::Busy);
        }
        self.counts.syncs += 1;
        self.syncing = Some((self.writes.len(), self.sync_looks));
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        if let Some(errno) = self.failed {
            return SyncState::Failed(errno);
        }
        match self.syncing {
            None => SyncState::Done,
            Some((covered, 0)) => {
                self.finish_sync(covered);
                SyncState::Done
            }
            Some((covered, looks)) => {
                self.syncing = Some((covered, looks - 1));
                SyncState::Pending
            }
        }
    }
}

fn put(image: &mut [u8], offset: u64, octets: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    if let Some(place) = start
        .checked_add(octets.len())
        .and_then(|end| image.get_mut(start..end))
    {
        place.copy_from_slice(octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_keeps_what_was_synced_and_any_of_the_rest() {
        let mut medium = SimMedium::new(64).with_unit(16).with_slow_sync(1);
        medium.write(0, &[1; 16]).unwrap();
        medium.sync().unwrap();
        medium.write(8, &[2; 16]).unwrap();
        assert_eq!(medium.sync(), Err(MediumError::Busy));
        assert_eq!(medium.undurable(), 32);
        assert_eq!(medium.sync_state(), SyncState::Done);
        assert_eq!(medium.undurable(), 16);
        assert_eq!(medium.touched(), [0, 1]);

        let none = &mut || 0;
        let synced = medium.cut(Cut::Prefix(0), none);
        assert_eq!(synced[..17], [&[1; 16][..], &[0]].concat());
        let part = medium.cut(Cut::Prefix(3), none);
        assert_eq!(part[8..12], [2, 2, 2, 1]);
        let second = medium.cut(Cut::Units(2), none);
        assert_eq!(second[..24], [[1; 16].as_slice(), &[2; 8]].concat());
        assert_eq!(medium.cut(Cut::Units(3), none), medium.image());
        let mut counter = 0;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(medium.cut(Cut::Any, &mut || {
                counter = (counter + 7) * 5 % 1013;
                counter
            }));
        }
        assert!(seen.len() > 10);
        assert!(seen.iter().all(|image| image[32..] == [0; 32]));
    }

    #[test]
    fn refuses_and_fails_as_told() {
        let mut medium = SimMedium::new(64).with_busy(2);
        assert_eq!(medium.write(60, &[0; 5]), Err(MediumError::OutOfBounds));
        assert_eq!(medium.write(0, &[1]), Ok(()));
        assert_eq!(medium.write(1, &[1]), Err(MediumError::Busy));
        assert_eq!(medium.write(1, &[1]), Ok(()));
        medium.fail_after(0);
        assert_eq!(medium.write(2, &[1]), Err(MediumError::Busy));
        assert_eq!(medium.write(2, &[1]), Err(MediumError::Failed(5)));
        assert_eq!(medium.sync(), Err(MediumError::Failed(5)));
        assert_eq!(medium.sync_state(), SyncState::Failed(5));
        assert_eq!(medium.image()[..3], [1, 1, 0]);
    }
}
