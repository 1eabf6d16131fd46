//! Mounts what a fuzzer makes of a good image, and uses whatever store that is.
//!
//! The input is a list of edits: place 2 octets, length 1, the octets. They are laid over a store
//! that holds copies, a snapshot, a journal and a configuration; then it is mounted, read, and
//! written to. Nothing may panic, loop without end, or grow.

#![no_main]

use std::cell::RefCell;
use std::sync::LazyLock;

use hal::SyncState;
use hal::sim::SimMedium;
use libfuzzer_sys::fuzz_target;
use ringmail::store::{
    Buffers, Extent, Geometry, Index, Place, Segment, Space, format, mount,
};

/// Keeps the places that entries name, as a mailbox would.
#[derive(Default)]
struct Ledger(Vec<u32>);

impl Index for Ledger {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn part(&self, cursor: u32, out: &mut [u8]) -> (usize, Option<u32>) {
        let rest = self.0.iter().skip(cursor as usize);
        let room = out.chunks_exact_mut(4);
        let mut used = 0;
        for (place, room) in rest.zip(room) {
            room.copy_from_slice(&place.to_le_bytes());
            used += 1;
        }
        let next = cursor as usize + used;
        (4 * used, (used > 0 && next < self.0.len()).then_some(next as u32))
    }

    fn restore(&mut self, part: &[u8]) {
        for entry in part.chunks_exact(4) {
            self.replay(entry, true);
        }
    }

    fn replay(&mut self, entry: &[u8], _: bool) {
        if let Ok(place) = entry.try_into() {
            // No more than fits a snapshot: the store is told so, and need not cope with it.
            self.0.truncate(60);
            self.0.push(u32::from_le_bytes(place));
        }
    }

    fn may_evict(&mut self, _: Extent<'_>) -> bool {
        true
    }

    fn evicted(&mut self, extent: Extent<'_>) {
        self.0.retain(|place| !extent.holds(Place(*place)));
    }
}

const GEOMETRY: Geometry = Geometry {
    page: 128,
    superblock: 128,
    config: 256,
    snapshot: 5 * 128,
    journal: 8,
    segment: 1024,
    segments: 6,
    chunk: 192,
};

/// What a mount works in: made once.
struct Memory {
    segments: Vec<Segment>,
    buffers: Box<Buffers>,
}

impl Memory {
    fn new() -> Self {
        Self {
            segments: vec![Segment::default(); 64],
            buffers: Box::new(Buffers::EMPTY),
        }
    }

    fn space(&mut self) -> Space<'_> {
        Space {
            segments: &mut self.segments,
            buffers: &mut self.buffers,
        }
    }
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::new());
}

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut medium = SimMedium::new(16 * 1024);
    format(&mut medium, &GEOMETRY, [7; 16], false).expect("blank");
    while hal::Medium::sync_state(&mut medium) != SyncState::Done {}
    MEMORY.with_borrow_mut(|memory| use_store(memory, medium, 12).expect("formatted"))
});

/// Mounts, reads every copy, writes `rounds` more, and gives what is then on the medium.
fn use_store(memory: &mut Memory, medium: SimMedium, rounds: usize) -> Option<Vec<u8>> {
    let mut ledger = Ledger::default();
    let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).ok()?;
    assert!(mounted.unsettled <= mounted.entries);
    for place in ledger.0.clone() {
        let Ok(mut reader) = store.open(Place(place)) else {
            continue;
        };
        let mut verifier = store.verifier(&reader);
        let mut turns = 0;
        while store.verify(&mut verifier, 4096).is_none() {
            turns += 1;
            assert!(turns < 10_000, "verifying does not end");
        }
        let mut buf = [0; 100];
        let _ = store.read(&mut reader, 150, &mut buf);
        let _ = store.head(Place(place), &mut [0; 256]);
    }
    let _ = store.load_config(&mut [0; 4096]);
    for round in 0..rounds {
        let Some(writer) = store.begin(&[round as u8; 20]) else {
            break;
        };
        let mut stored = None;
        let mut rest = 100 + 150 * round;
        for _ in 0..200 {
            if rest > 0 {
                let piece = [round as u8; 100];
                let taken = store.append(writer, &piece[..rest.min(100)], &mut ledger);
                rest -= taken.unwrap_or(0);
            } else if let Ok(done) = store.finish(writer, &mut ledger) {
                stored = Some(done);
                break;
            }
            store.step(&mut ledger);
        }
        store.abort(writer);
        if let Some(stored) = stored
            && store.log(&stored.place.0.to_le_bytes()).is_ok()
        {
            ledger.replay(&stored.place.0.to_le_bytes(), true);
        }
        let _ = store.save_config(&[round as u8; 90]);
        store.commit();
        let mut turns = 0;
        while store.step(&mut ledger) && turns < 1000 {
            turns += 1;
        }
        assert!(turns < 1000, "stepping does not end");
    }
    Some(store.into_medium().image().to_vec())
}

fuzz_target!(|edits: &[u8]| {
    let mut image = IMAGE.clone();
    let mut rest = edits;
    while let [low, high, length, tail @ ..] = rest {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % image.len();
        let length = usize::from(*length).min(tail.len()).min(image.len() - at);
        let (octets, tail) = tail.split_at(length);
        image[at..at + length].copy_from_slice(octets);
        rest = tail;
    }
    MEMORY.with_borrow_mut(|memory| use_store(memory, SimMedium::from_image(image), 3));
});
