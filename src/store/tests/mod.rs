//! The store against a model: a small ledger that remembers every state it was in.
//!
//! [`session`] runs a script on a simulated medium and notes, at each moment of the medium's
//! trace, which states are acknowledged and which were logged. [`check_image`] mounts what a cut
//! left at such a moment and judges it.

// Test numbers are small, and random ones may lose bits.
#![allow(clippy::cast_possible_truncation)]

mod bytes;
mod crafted;
mod damage;
mod layout;
mod lies;
mod mutants;
mod power_cut;
mod random;
mod reading;
mod sweep;

use std::boxed::Box;
use std::vec::Vec;

use hal::sim::medium::SimMedium;

use super::*;

pub(super) const SLOTS: usize = 12;
const ENTRY: usize = 22;

/// One row of the model's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) value: u32,
    pub(super) copy: Option<Kept>,
}

/// What a row knows of its copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) place: u32,
    pub(super) length: u32,
    pub(super) crc: u32,
    /// What its content was made from.
    pub(super) seed: u32,
}

pub(super) type State = [Row; SLOTS];

fn encode(slot: usize, row: Row) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let kept = row.copy.unwrap_or_default();
    entry[0] = slot as u8;
    entry[1] = u8::from(row.copy.is_some());
    entry[2..6].copy_from_slice(&row.value.to_le_bytes());
    entry[6..10].copy_from_slice(&kept.place.to_le_bytes());
    entry[10..14].copy_from_slice(&kept.length.to_le_bytes());
    entry[14..18].copy_from_slice(&kept.crc.to_le_bytes());
    entry[18..].copy_from_slice(&kept.seed.to_le_bytes());
    entry
}

fn decode(entry: &[u8]) -> (usize, Row) {
    let field = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
    let copy = (entry[1] == 1).then(|| Kept {
        place: field(6),
        length: field(10),
        crc: field(14),
        seed: field(18),
    });
    let value = field(2);
    (usize::from(entry[0]), Row { value, copy })
}

/// The model's ledger.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    pub(super) rows: State,
    /// Rows whose copy may not be whole, as mount said.
    pub(super) loose: [bool; SLOTS],
    pub(super) pinned: [bool; SLOTS],
    /// Mount said that what was durable is gone.
    pub(super) lost: bool,
    /// Every state since the session began, and the moment of the trace it was abandoned at.
    pub(super) history: Vec<(State, usize)>,
    /// What the contents of copies to come are made from: sessions with the same number store
    /// the same.
    pub(super) contents: u32,
}

impl Ledger {
    fn note(&mut self) {
        self.history.push((self.rows, usize::MAX));
    }
}

impl Index for Ledger {
    fn clear(&mut self) {
        self.rows = State::default();
        self.loose = [false; SLOTS];
    }

    fn part(&self, cursor: u32, out: &mut [u8]) -> (usize, Option<u32>) {
        let mut slot = cursor as usize;
        let mut length = 0;
        while slot < SLOTS && length + ENTRY <= out.len() {
            out[length..length + ENTRY].copy_from_slice(&encode(slot, self.rows[slot]));
            length += ENTRY;
            slot += 1;
        }
        (length, (slot < SLOTS).then_some(slot as u32))
    }

    fn restore(&mut self, part: &[u8]) {
        for entry in part.chunks(ENTRY) {
            let (slot, row) = decode(entry);
            self.rows[slot] = row;
        }
    }

    fn replay(&mut self, entry: &[u8], settled: bool) {
        let (slot, row) = decode(entry);
        self.rows[slot] = row;
        self.loose[slot] = !settled && row.copy.is_some();
    }

    fn rebuild(&mut self, head: &[u8], copy: &Stored) {
        let (Some(slot), Some(seed)) = (head.first(), head.last_chunk()) else {
            return;
        };
        let Some(row) = self.rows.get_mut(usize::from(*slot)) else {
            return;
        };
        row.copy = Some(Kept {
            place: copy.place.0,
            length: copy.octets as u32,
            crc: copy.crc,
            seed: u32::from_le_bytes(*seed),
        });
    }

    fn lost(&mut self) {
        self.lost = true;
    }

    fn may_evict(&mut self, extent: Extent<'_>) -> bool {
        self.rows.iter().zip(self.pinned).all(|(row, pinned)| {
            let held = row.copy.is_some_and(|kept| extent.holds(Place(kept.place)));
            !pinned || !held
        })
    }

    fn evicted(&mut self, extent: Extent<'_>) {
        for row in &mut self.rows {
            row.copy = row.copy.filter(|kept| !extent.holds(Place(kept.place)));
        }
        self.note();
    }
}

/// What a script does.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Logs a value for a slot.
    Set(usize, u32),
    /// Stores copies of these lengths side by side in turns, each into its slot.
    Store(Vec<(usize, usize)>),
    /// Begins a copy and gives it up after so many octets.
    GiveUp(usize),
    /// Gives up the copy of a slot.
    Drop(usize),
    Pin(usize, bool),
    Commit,
    Step,
    /// Commits, and steps until all is durable.
    Drain,
    Config(usize),
    Snapshot,
    /// Kills the program and starts it anew.
    Kill,
}

/// What was true at a moment of the trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) trace: usize,
    /// The state acknowledged, and the latest logged.
    pub(super) acked: usize,
    pub(super) logged: usize,
    /// The configuration acknowledged, and the latest saved; 0: none.
    pub(super) config: (usize, usize),
}

/// Memory for one store at a time.
pub(super) struct Memory {
    pub(super) segments: Vec<Segment>,
    pub(super) buffers: Box<Buffers>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            segments: vec![Segment::default(); 64],
            buffers: Box::new(Buffers::EMPTY),
        }
    }

    pub(super) fn space(&mut self) -> Space<'_> {
        Space {
            segments: &mut self.segments,
            buffers: &mut self.buffers,
        }
    }
}

/// What a session left.
pub(super) struct Outcome {
    pub(super) medium: SimMedium,
    pub(super) ledger: Ledger,
    pub(super) marks: Vec<Mark>,
    /// The ledger it began with, and the configuration.
    pub(super) before: Ledger,
    pub(super) config: Option<Vec<u8>>,
    pub(super) snapshots: u64,
}

/// The smallest geometry that has everything.
pub(super) const fn tiny() -> Geometry {
    Geometry {
        page: 128,
        superblock: 128,
        config: 256,
        snapshot: 5 * 128,
        journal: 8,
        segment: 1024,
        segments: 6,
        chunk: 192,
    }
}

pub(super) fn capacity(geometry: &Geometry) -> usize {
    (geometry.ring_at() + geometry.ring()) as usize
}

pub(super) fn formatted(geometry: &Geometry) -> SimMedium {
    let mut medium = SimMedium::new(capacity(geometry)).with_unit(geometry.page as usize);
    format(&mut medium, geometry, *b"a key of 16 octe", false).unwrap();
    while medium.sync_state() != SyncState::Done {}
    medium
}

pub(super) fn content_of(seed: u32, length: usize) -> Vec<u8> {
    let mut random = Random(u64::from(seed) + 1);
    (0..length).map(|_| random.next() as u8).collect()
}

/// Small and seeded: xorshift64*.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Runs `script` on `medium`, whose state `ledger` the mount must give.
pub(super) fn session(
    memory: &mut Memory,
    medium: SimMedium,
    ledger: Ledger,
    script: &[Action],
) -> Outcome {
    let config = saved_config(memory, &medium);
    let snapshots = snapshots_on(memory, &medium);
    let mut run = Run {
        before: ledger.clone(),
        seed: ledger.contents,
        ledger,
        marks: Vec::new(),
        acked: 0,
        tickets: Vec::new(),
        configs: (0, 0),
        config_ticket: None,
    };
    run.ledger.history.clear();
    run.ledger.note();
    let mut medium = medium;
    for part in script.split_inclusive(|action| matches!(action, Action::Kill)) {
        medium = run.life(memory, medium, part);
    }
    Outcome {
        medium,
        ledger: run.ledger,
        marks: run.marks,
        before: run.before,
        config,
        snapshots,
    }
}

/// How many snapshots were taken on `medium`.
fn snapshots_on(memory: &mut Memory, medium: &SimMedium) -> u64 {
    let medium = Borrowed::new(medium.image());
    let mounted = mount(medium, memory.space(), &mut Ledger::default());
    mounted.unwrap().0.usage().snapshots
}

/// The configuration on `medium`.
fn saved_config(memory: &mut Memory, medium: &SimMedium) -> Option<Vec<u8>> {
    let mut ledger = Ledger::default();
    let medium = Borrowed::new(medium.image());
    let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
    config_of(&mut store)
}

fn config_of<M: Medium>(store: &mut Store<'_, M>) -> Option<Vec<u8>> {
    let mut config = vec![0; store.geometry().config_limit()];
    let length = store.load_config(&mut config).unwrap()?;
    config.truncate(length);
    Some(config)
}

/// A session under way.
struct Run {
    before: Ledger,
    ledger: Ledger,
    marks: Vec<Mark>,
    acked: usize,
    tickets: Vec<(Ticket, usize)>,
    configs: (usize, usize),
    config_ticket: Option<(Ticket, usize)>,
    seed: u32,
}

impl Run {
    /// From one mount to the next kill, or the end.
    fn life(&mut self, memory: &mut Memory, medium: SimMedium, script: &[Action]) -> SimMedium {
        let mut fresh = Ledger {
            pinned: self.ledger.pinned,
            ..Ledger::default()
        };
        let now = medium.trace().len();
        let (mut store, _) = mount(medium, memory.space(), &mut fresh).unwrap();
        let found = |(state, until): &(State, usize)| *state == fresh.rows && *until > now;
        let at = self.ledger.history.iter().rposition(found);
        let at = at.unwrap_or_else(|| panic!("mounted what never was: {:?}", fresh.rows));
        assert!(at >= self.acked, "lost what was acknowledged");
        // What comes after it is gone for good.
        for (_, until) in self.ledger.history.iter_mut().skip(at + 1) {
            *until = now.min(*until);
        }
        self.ledger.rows = fresh.rows;
        self.ledger.loose = fresh.loose;
        self.ledger.note();
        self.tickets.clear();
        self.config_ticket = None;
        // As the owner of a store looks at them; what is whole then stays so.
        let mut torn = [false; SLOTS];
        for (torn, row) in torn.iter_mut().zip(fresh.rows) {
            *torn = read_copy(&mut store, row).is_err();
        }
        for action in script {
            self.act(&mut store, action);
            self.look(&mut store);
        }
        if !matches!(script.last(), Some(Action::Kill)) {
            self.act(&mut store, &Action::Drain);
            self.look(&mut store);
            for (slot, torn) in torn.into_iter().enumerate() {
                let row = self.ledger.rows[slot];
                // What was torn when the life began is not dropped here.
                let loose = fresh.loose[slot] && fresh.rows[slot].copy == row.copy;
                let whole = read_copy(&mut store, row);
                assert!(whole.is_ok() || loose && torn, "{whole:?}: {row:?}");
            }
        }
        store.into_medium().killed()
    }

    fn act(&mut self, store: &mut Store<'_, SimMedium>, action: &Action) {
        match action {
            Action::Set(slot, value) => {
                let row = Row {
                    value: *value,
                    ..self.ledger.rows[*slot]
                };
                self.log(store, *slot, row);
            }
            Action::Store(copies) => self.store(store, copies),
            Action::GiveUp(octets) => {
                let writer = store.begin(b"given up").unwrap();
                let _ = self.append(store, writer, &vec![7; *octets]);
                store.abort(writer);
            }
            Action::Drop(slot) => {
                let row = Row {
                    copy: None,
                    ..self.ledger.rows[*slot]
                };
                self.log(store, *slot, row);
            }
            Action::Pin(slot, pinned) => self.ledger.pinned[*slot] = *pinned,
            Action::Commit => self.commit(store),
            Action::Step => {
                store.step(&mut self.ledger);
            }
            Action::Drain => {
                self.commit(store);
                for _ in 0..10_000 {
                    store.step(&mut self.ledger);
                    self.look(store);
                    if store.is_quiet() {
                        assert!(self.tickets.is_empty());
                        return;
                    }
                }
                panic!("never quiet");
            }
            Action::Config(length) => {
                // Noted first: it may reach the medium before the call comes back.
                self.configs.1 += 1;
                let number = self.configs.1;
                let config = content_of(number as u32, *length);
                let ticket = loop {
                    match store.save_config(&config) {
                        Ok(ticket) => break ticket,
                        Err(StoreError::Busy) => {
                            store.step(&mut self.ledger);
                            self.look(store);
                        }
                        Err(error) => panic!("{error}"),
                    }
                };
                self.config_ticket = Some((ticket, number));
            }
            Action::Snapshot => store.take_snapshot(),
            Action::Kill => {}
        }
    }

    fn commit(&mut self, store: &mut Store<'_, SimMedium>) {
        let ticket = store.commit();
        self.tickets.push((ticket, self.ledger.history.len() - 1));
    }

    fn log(&mut self, store: &mut Store<'_, SimMedium>, slot: usize, row: Row) {
        // Noted first: it may reach the medium before the call comes back. Changed last: a part of
        // a snapshot must not hold what is not logged.
        let mut next = self.ledger.rows;
        next[slot] = row;
        self.ledger.history.push((next, usize::MAX));
        for _ in 0..10_000 {
            match store.log(&encode(slot, row)) {
                Ok(()) => {
                    self.ledger.rows = next;
                    return;
                }
                Err(StoreError::Busy) => {
                    store.step(&mut self.ledger);
                    self.look(store);
                }
                Err(error) => panic!("{error}"),
            }
        }
        panic!("always busy");
    }

    fn store(&mut self, store: &mut Store<'_, SimMedium>, copies: &[(usize, usize)]) {
        let mut under_way: Vec<_> = copies
            .iter()
            .map(|&(slot, length)| {
                self.seed += 1;
                let mut head = [slot as u8; 20];
                head[16..].copy_from_slice(&self.seed.to_le_bytes());
                let content = content_of(self.seed, length);
                (store.begin(&head).unwrap(), slot, self.seed, content, 0)
            })
            .collect();
        while !under_way.is_empty() {
            let mut next = Vec::new();
            for (writer, slot, seed, content, done) in under_way {
                let piece = (content.len() - done).min(150 + 90 * slot);
                if piece > 0 {
                    if self
                        .append(store, writer, &content[done..done + piece])
                        .is_ok()
                    {
                        next.push((writer, slot, seed, content, done + piece));
                    } else {
                        store.abort(writer);
                    }
                    continue;
                }
                let stored = loop {
                    match store.finish(writer, &mut self.ledger) {
                        Err(AppendError::Busy) => {
                            store.step(&mut self.ledger);
                            self.look(store);
                        }
                        other => break other,
                    }
                };
                let Ok(stored) = stored else {
                    assert_eq!(stored, Err(AppendError::Full));
                    store.abort(writer);
                    continue;
                };
                assert_eq!(stored.octets, content.len() as u64);
                let row = Row {
                    copy: Some(Kept {
                        place: stored.place.0,
                        length: content.len() as u32,
                        crc: stored.crc,
                        seed,
                    }),
                    ..self.ledger.rows[slot]
                };
                self.log(store, slot, row);
            }
            under_way = next;
        }
    }

    fn append(
        &mut self,
        store: &mut Store<'_, SimMedium>,
        writer: Writer,
        mut octets: &[u8],
    ) -> Result<(), AppendError> {
        for _ in 0..10_000 {
            match store.append(writer, octets, &mut self.ledger) {
                Ok(taken) => octets = &octets[taken..],
                Err(AppendError::Busy) => {
                    store.step(&mut self.ledger);
                }
                Err(AppendError::Full) => return Err(AppendError::Full),
                Err(error) => panic!("{error}"),
            }
            self.look(store);
            if octets.is_empty() {
                return Ok(());
            }
        }
        panic!("always busy");
    }

    /// Looks which tickets are committed, and marks the moment.
    fn look(&mut self, store: &mut Store<'_, SimMedium>) {
        self.tickets.retain(|&(ticket, state)| {
            let committed = store.committed(ticket).unwrap();
            if committed {
                self.acked = self.acked.max(state);
            }
            !committed
        });
        if let Some((ticket, number)) = self.config_ticket
            && store.committed(ticket).unwrap()
        {
            self.config_ticket = None;
            self.configs.0 = number;
        }
        assert!(self.marks.len() < 200_000, "endless");
        self.marks.push(Mark {
            trace: store.medium().trace().len(),
            acked: self.acked,
            logged: self.ledger.history.len() - 1,
            config: self.configs,
        });
    }
}

/// Whether the copy of `row` is whole and what it ought to be; `Ok` if it has none. Panics if
/// wrong octets are served as right.
pub(super) fn read_copy<M: Medium>(store: &mut Store<'_, M>, row: Row) -> Result<(), Damaged> {
    let Some(kept) = row.copy else {
        return Ok(());
    };
    let mut reader = store.open(Place(kept.place))?;
    let mut verifier = store.verifier(&reader);
    let stored = (0..10_000)
        .find_map(|_| store.verify(&mut verifier, 400))
        .expect("verifying ends")?;
    if (stored.octets, stored.crc) != (u64::from(kept.length), kept.crc) {
        // Whole, but not the one that was meant.
        return Err(Damaged::Absent);
    }
    let expected = content_of(kept.seed, kept.length as usize);
    let mut content = Vec::new();
    let mut buf = [0; 333];
    for _ in 0..10_000 {
        let count = store.read(&mut reader, content.len() as u64, &mut buf)?;
        content.extend_from_slice(&buf[..count]);
        if content.len() == expected.len() {
            break;
        }
    }
    assert!(content == expected, "wrong octets: {row:?}");
    Ok(())
}

/// What was true when the trace was `trace` long: the states that a cut may leave, those before
/// the first being abandoned; and the configurations.
pub(super) fn truth(marks: &[Mark], trace: usize) -> Mark {
    let mut truth = Mark {
        trace,
        acked: 0,
        logged: 0,
        config: (0, 0),
    };
    for mark in marks {
        truth.logged = mark.logged;
        truth.config.1 = mark.config.1;
        if mark.trace > trace {
            break;
        }
        truth.acked = mark.acked;
        truth.config.0 = mark.config.0;
    }
    truth
}

/// Mounts `image` and judges it by what was true at `truth`. Gives what it held.
pub(super) fn check_image(
    memory: &mut Memory,
    image: &[u8],
    outcome: &Outcome,
    truth: &Mark,
) -> Ledger {
    let mut ledger = Ledger::default();
    let medium = Borrowed::new(image);
    let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).unwrap();
    let bound = reads_of_a_mount(store.geometry());
    assert!(store.medium().read <= bound, "{}", store.medium().read);
    let history = &outcome.ledger.history;
    let allowed = &history[truth.acked..=truth.logged.min(history.len() - 1)];
    assert!(
        allowed
            .iter()
            .any(|(state, until)| *state == ledger.rows && *until >= truth.trace),
        "phantom or loss at {truth:?}: {:?}, not in {allowed:?}",
        ledger.rows
    );
    assert!(!mounted.journal_damaged, "false alarm at {truth:?}");
    assert_eq!(mounted.rebuilt, None, "false alarm at {truth:?}");
    assert!(!ledger.lost, "false alarm at {truth:?}");
    for (slot, row) in ledger.rows.into_iter().enumerate() {
        let whole = read_copy(&mut store, row);
        // What was loose before the session stays so, as nobody looked at it, until a snapshot
        // is taken: by then the owner of a store has looked.
        let before = &outcome.before;
        let taken = store.usage().snapshots != outcome.snapshots;
        let loose =
            ledger.loose[slot] || taken && before.loose[slot] && before.rows[slot].copy == row.copy;
        assert!(
            whole.is_ok() || loose,
            "{whole:?} at {truth:?}: slot {slot} {row:?}"
        );
    }
    let loaded = config_of(&mut store);
    let fits = (truth.config.0..=truth.config.1).any(|number| is_config(outcome, number, &loaded));
    assert!(fits, "wrong configuration at {truth:?}");
    ledger
}

/// Whether `loaded` is the configuration of that number: 0 is the one before the session.
pub(super) fn is_config(outcome: &Outcome, number: usize, loaded: &Option<Vec<u8>>) -> bool {
    match loaded {
        _ if number == 0 => *loaded == outcome.config,
        None => false,
        Some(loaded) => *loaded == content_of(number as u32, loaded.len()),
    }
}

/// Octets that a mount may read, by the layout.
fn reads_of_a_mount(geometry: &Geometry) -> u64 {
    let headers = u64::from(geometry.segment / geometry.page + geometry.segment / 64) * 64;
    // Superblocks at every place they may stand; claims; all snapshots and configurations; the
    // journal three times; each segment's headers; a walk through all of them, with items.
    16 * 128
        + 2 * u64::from(geometry.snapshot)
        + 2 * u64::from(geometry.config)
        + 3 * u64::from(geometry.journal) * u64::from(geometry.page)
        + 128
        + u64::from(geometry.segments) * (4 * 128 + headers + u64::from(geometry.segment))
}

/// An image to look at: whoever writes to it panics.
pub(super) struct Borrowed<'i> {
    image: &'i [u8],
    /// Octets read.
    pub(super) read: u64,
}

impl<'i> Borrowed<'i> {
    pub(super) fn new(image: &'i [u8]) -> Self {
        Self { image, read: 0 }
    }
}

impl Medium for Borrowed<'_> {
    fn capacity(&self) -> u64 {
        self.image.len() as u64
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let at = usize::try_from(offset).unwrap();
        let octets = self.image.get(at..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(octets.ok_or(MediumError::OutOfBounds)?);
        self.read += buf.len() as u64;
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MediumError> {
        panic!("written to, though nothing was asked for")
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        panic!("synced, though nothing was asked for")
    }

    fn sync_state(&mut self) -> SyncState {
        SyncState::Done
    }
}
