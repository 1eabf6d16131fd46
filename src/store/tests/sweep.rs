//! The engine of all cut sweeps: goes through a trace and makes the images that a cut may leave.
//!
//! ```text
//! trace   write write write synced write write ...
//!                        ^ here: the durable image, and the units touched since
//! piece   each of these units is old | new | as between two writes | 00 | FF | half | mixed
//! ```
//!
//! Every image is judged once for what was true then: a [`Sweep`] counts distinct pairs of both.

use std::collections::{BTreeMap, HashSet, VecDeque};

use hal::sim::medium::{Event, Write};

use super::*;

/// What a cut leaves of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Old,
    New,
    /// As after one of the writes that touched it.
    Between(usize),
    Zeros,
    Ones,
    /// New up to the middle, old behind it.
    Half,
    /// Old, new and noise, octet by octet.
    Mixed(u64),
}

/// A unit touched by writes that are not durable.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) start: usize,
    old: Vec<u8>,
    /// After each write that touched it.
    versions: Vec<Vec<u8>>,
}

impl Unit {
    /// Puts what is left of it into `image`.
    pub(super) fn put(&self, image: &mut [u8], piece: Piece) {
        let place = &mut image[self.start..self.start + self.old.len()];
        let Some(new) = self.versions.last() else {
            return;
        };
        match piece {
            Piece::Old => place.copy_from_slice(&self.old),
            Piece::New => place.copy_from_slice(new),
            Piece::Between(nth) => place.copy_from_slice(&self.versions[nth % self.versions.len()]),
            Piece::Zeros => place.fill(0),
            Piece::Ones => place.fill(0xFF),
            Piece::Half => {
                let middle = place.len() / 2;
                place[..middle].copy_from_slice(&new[..middle]);
                place[middle..].copy_from_slice(&self.old[middle..]);
            }
            Piece::Mixed(seed) => {
                let mut random = Random(seed | 1);
                for ((octet, new), old) in place.iter_mut().zip(new).zip(&self.old) {
                    *octet = match random.below(16) {
                        0..=6 => *old,
                        7..=13 => *new,
                        _ => random.next() as u8,
                    };
                }
            }
        }
    }
}

/// Goes through a trace, and knows what is durable.
#[derive(Clone)]
pub(super) struct Replay<'t> {
    trace: &'t [Event],
    /// Events done.
    pub(super) at: usize,
    pub(super) image: Vec<u8>,
    pending: VecDeque<&'t Write>,
    unit: usize,
    /// This sync makes nothing durable, though it says so; the next one does it.
    lie: Option<usize>,
    pub(super) syncs: usize,
    withheld: usize,
}

impl<'t> Replay<'t> {
    pub(super) fn new(start: &SimMedium, outcome: &'t Outcome, unit: usize) -> Self {
        Self {
            trace: outcome.medium.trace(),
            at: 0,
            image: start.image().to_vec(),
            pending: VecDeque::new(),
            unit,
            lie: None,
            syncs: 0,
            withheld: 0,
        }
    }

    pub(super) fn with_lie(mut self, sync: usize) -> Self {
        self.lie = Some(sync);
        self
    }

    /// Whether the lie has been told, and is not mended yet.
    pub(super) fn is_deceived(&self) -> bool {
        self.withheld > 0
    }

    pub(super) fn next(&self) -> Option<&'t Event> {
        self.trace.get(self.at)
    }

    /// Does the next event; whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let Some(event) = self.next() else {
            return false;
        };
        self.at += 1;
        match event {
            Event::Write(write) => self.pending.push_back(write),
            Event::Synced(covered) => {
                self.withheld += covered;
                if self.lie != Some(self.syncs) {
                    for write in self.pending.drain(..self.withheld) {
                        put(&mut self.image, write);
                    }
                    self.withheld = 0;
                }
                self.syncs += 1;
            }
        }
        true
    }

    /// The image after the first so many of them, in order.
    pub(super) fn prefix(&self, mut rest: usize) -> Vec<u8> {
        let mut image = self.image.clone();
        for write in &self.pending {
            let length = write.octets.len().min(rest);
            let at = write.offset as usize;
            image[at..at + length].copy_from_slice(&write.octets[..length]);
            rest -= length;
        }
        image
    }

    /// The units touched and not durable.
    pub(super) fn units(&self) -> Vec<Unit> {
        let mut image = self.image.clone();
        let mut units: BTreeMap<usize, Unit> = BTreeMap::new();
        for write in self.pending.iter().filter(|write| !write.octets.is_empty()) {
            put(&mut image, write);
            let start = write.offset as usize;
            for unit in start / self.unit..=(start + write.octets.len() - 1) / self.unit {
                let start = unit * self.unit;
                let range = start..(start + self.unit).min(image.len());
                let old = || Unit {
                    start,
                    old: self.image[range.clone()].to_vec(),
                    versions: Vec::new(),
                };
                let unit = units.entry(unit).or_insert_with(old);
                unit.versions.push(image[range].to_vec());
            }
        }
        units.into_values().collect()
    }
}

fn put(image: &mut [u8], write: &Write) {
    let at = write.offset as usize;
    image[at..at + write.octets.len()].copy_from_slice(&write.octets);
}

/// How much a sweep tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    /// Every so many octets, prefixes and flipped bits are tried.
    pub(super) stride: usize,
    /// Up to so many units all subsets are tried, beyond as many at random.
    pub(super) subsets: u32,
    /// Random cuts at each event.
    pub(super) random: usize,
    /// Random lives, or rounds of whatever else has no end.
    pub(super) rounds: u64,
    pub(super) seed: u64,
}

impl Effort {
    /// What the ordinary tests try; `scripts/prove` asks for more.
    pub(super) fn ordinary() -> Self {
        let knob = |name: &str, ordinary: u64| {
            let value = std::env::var(name).ok();
            value.map_or(ordinary, |value| value.parse().expect("a number"))
        };
        Self {
            stride: knob("RINGMAIL_PROVE_STRIDE", 3) as usize,
            subsets: knob("RINGMAIL_PROVE_SUBSETS", 6) as u32,
            random: knob("RINGMAIL_PROVE_RANDOM", 16) as usize,
            rounds: knob("RINGMAIL_PROVE_ROUNDS", 60),
            seed: knob("RINGMAIL_PROVE_SEED", 1),
        }
    }
}

/// Tries images and counts.
pub(super) struct Sweep {
    pub(super) memory: Memory,
    pub(super) random: Random,
    pub(super) effort: Effort,
    seen: HashSet<u64>,
    session: u64,
    /// Distinct states by depth, from 1.
    depths: [u64; 5],
}

impl Sweep {
    pub(super) fn new(effort: Effort) -> Self {
        Self {
            memory: Memory::new(),
            random: Random(effort.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            effort,
            seen: HashSet::new(),
            session: 0,
            depths: [0; 5],
        }
    }

    /// Runs a script; what is judged from now on is judged by it.
    pub(super) fn session(
        &mut self,
        start: &SimMedium,
        ledger: Ledger,
        script: &[Action],
    ) -> Outcome {
        self.session += 1;
        session(&mut self.memory, start.clone().with_trace(), ledger, script)
    }

    /// Counts an image with what was true of it; whether it is new.
    pub(super) fn is_new(&mut self, image: &[u8], truth: &Mark, depth: usize) -> bool {
        let told = [truth.acked, truth.logged, truth.config.0, truth.config.1];
        let told = told.iter().fold(self.session, |sum, &n| {
            (sum.rotate_left(13) ^ n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        });
        let new = self.seen.insert(told ^ hash(image));
        self.depths[depth] += u64::from(new);
        new
    }

    /// Judges an image strictly, unless that was done.
    pub(super) fn strict(
        &mut self,
        image: &[u8],
        outcome: &Outcome,
        truth: &Mark,
        depth: usize,
    ) -> Option<Ledger> {
        let new = self.is_new(image, truth, depth);
        new.then(|| check_image(&mut self.memory, image, outcome, truth))
    }

    /// The prefixes to try while the next event is being done, each once in a trace.
    pub(super) fn prefixes(
        &mut self,
        replay: &Replay<'_>,
        mut judge: impl FnMut(&mut Self, &[u8]),
    ) {
        let Some(Event::Write(write)) = replay.next() else {
            return;
        };
        let mut image = replay.prefix(usize::MAX);
        let at = write.offset as usize;
        // Where to begin differs, so that small strides come to see all octets.
        let first = replay.at % self.effort.stride;
        for (nth, octet) in write.octets.iter().enumerate() {
            if nth % self.effort.stride == first {
                judge(self, &image);
            }
            image[at + nth] = *octet;
        }
        judge(self, &image);
    }

    /// The ways to tear units that are tried: subsets, one of them torn, any.
    pub(super) fn pieces(&mut self, units: &[Unit], torn: bool) -> Vec<Vec<Piece>> {
        let count = units.len();
        let subset = |mask: u64| {
            let piece = |unit: usize| match mask >> (unit % 64) & 1 {
                0 => Piece::Old,
                _ => Piece::New,
            };
            (0..count).map(piece).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = if count <= self.effort.subsets as usize {
            (0..1 << count).map(subset).collect()
        } else {
            let random = (0..1 << self.effort.subsets).map(|_| self.random.next() << 32);
            let masks: Vec<u64> = random.collect();
            let masks = masks.into_iter().map(|mask| mask ^ self.random.next());
            masks.chain([0, u64::MAX]).map(subset).collect()
        };
        if !torn {
            return all;
        }
        for unit in 0..count {
            let mixed = Piece::Mixed(self.random.next());
            for piece in [Piece::Zeros, Piece::Ones, Piece::Half, mixed] {
                for mask in [0, u64::MAX] {
                    let mut pieces = subset(mask);
                    pieces[unit] = piece;
                    all.push(pieces);
                }
            }
        }
        let any = self.effort.random * usize::from(count > 0);
        for _ in 0..any {
            all.push((0..count).map(|_| self.piece()).collect());
        }
        all
    }

    pub(super) fn piece(&mut self) -> Piece {
        match self.random.below(10) {
            0..=2 => Piece::Old,
            3..=5 => Piece::New,
            6 => Piece::Zeros,
            7 => Piece::Ones,
            8 => Piece::Between(self.random.below(8)),
            _ => Piece::Mixed(self.random.next()),
        }
    }

    /// Judges the images that tearing `units` leaves.
    pub(super) fn tears(
        &mut self,
        replay: &Replay<'_>,
        torn: bool,
        mut judge: impl FnMut(&mut Self, &[u8]),
    ) {
        let units = replay.units();
        let mut image = replay.image.clone();
        for pieces in self.pieces(&units, torn) {
            tear(&mut image, &units, &pieces);
            judge(self, &image);
        }
    }

    /// Says what was tried, and that it was enough.
    pub(super) fn report(&self, name: &str, least: u64) {
        let states: u64 = self.depths.iter().sum();
        let depth = self.depths.iter().rposition(|&states| states > 0);
        let depth = depth.unwrap_or(0);
        // `scripts/prove` adds these lines up.
        std::println!(
            "states {states} depth {depth} {name} {:?}",
            &self.depths[1..]
        );
        assert!(states >= least, "only {states} states");
    }
}

/// Puts what is left of each unit into `image`.
pub(super) fn tear(image: &mut [u8], units: &[Unit], pieces: &[Piece]) {
    for (unit, piece) in units.iter().zip(pieces) {
        unit.put(image, *piece);
    }
}

fn hash(image: &[u8]) -> u64 {
    const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;
    let mut lanes = [1u64, 2, 3, 4];
    let chunks = image.chunks_exact(32);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(8)) {
            let word = u64::from_le_bytes(word.try_into().unwrap());
            *lane = (lane.rotate_left(23) ^ word).wrapping_mul(FACTOR);
        }
    }
    let rest = rest.iter().map(|&octet| u64::from(octet));
    lanes.into_iter().chain(rest).fold(0, |sum, word| {
        (sum.rotate_left(29) ^ word ^ word >> 31).wrapping_mul(FACTOR)
    })
}
