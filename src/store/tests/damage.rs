//! Spoilt and hostile images: they mount or are refused, and never serve wrong octets.

use super::sweep::{Effort, Replay};
use super::*;

fn used_medium(memory: &mut Memory) -> Outcome {
    let script = [
        Action::Set(0, 1),
        Action::Store(vec![(0, 100), (1, 400)]),
        Action::Drain,
        Action::Config(50),
        Action::Snapshot,
        Action::Drain,
        Action::Store(vec![(2, 1200)]),
        Action::Set(3, 4),
        Action::Drain,
        Action::Set(4, 5),
        Action::Drain,
    ];
    session(memory, formatted(&tiny()), Ledger::default(), &script)
}

/// Mounts an image and uses what it gives; whether it could be mounted.
fn exercise(memory: &mut Memory, image: Vec<u8>) -> Option<(Ledger, Mounted)> {
    let mut ledger = Guarded(Ledger::default());
    let (mut store, mounted) =
        mount(SimMedium::from_image(image), memory.space(), &mut ledger).ok()?;
    let Guarded(found) = &ledger;
    let found = found.clone();
    for row in found.rows {
        let _ = read_copy(&mut store, row);
    }
    let _ = store.load_config(&mut [0; 512]);
    let _ = store.log(b"an entry");
    if let Some(writer) = store.begin(b"") {
        let _ = store.append(writer, &[1; 3000], &mut ledger);
        for _ in 0..20 {
            let _ = store.finish(writer, &mut ledger);
            store.step(&mut ledger);
        }
    }
    Some((found, mounted))
}

/// The model's ledger, but deaf to entries that cannot be its own.
struct Guarded(Ledger);

impl Index for Guarded {
    fn clear(&mut self) {
        self.0.clear();
    }
    fn part(&self, cursor: u32, out: &mut [u8]) -> (usize, Option<u32>) {
        self.0.part(cursor, out)
    }
    fn restore(&mut self, part: &[u8]) {
        let sound = |entry: &[u8]| entry.len() == ENTRY && usize::from(entry[0]) < SLOTS;
        if part.chunks(ENTRY).all(sound) {
            self.0.restore(part);
        }
    }
    fn replay(&mut self, entry: &[u8], settled: bool) {
        if entry.len() == ENTRY && usize::from(entry[0]) < SLOTS {
            self.0.replay(entry, settled);
        }
    }
    fn rebuild(&mut self, head: &[u8], copy: &Stored) {
        self.0.rebuild(head, copy);
    }
    fn lost(&mut self) {
        self.0.lost();
    }
    fn may_evict(&mut self, extent: Extent<'_>) -> bool {
        self.0.may_evict(extent)
    }
    fn evicted(&mut self, extent: Extent<'_>) {
        self.0.evicted(extent);
    }
}

#[test]
pub(super) fn no_flipped_bit_is_ever_served() {
    // Prime, so that every bit of an octet has its turn.
    let stride = Effort::ordinary().stride;
    flip_bits(Effort {
        stride: if stride > 1 { 13 } else { 1 },
        ..Effort::ordinary()
    });
}

/// Flips every `stride`th bit of a medium of 64 KiB, one at a time.
pub(super) fn flip_bits(effort: Effort) {
    let geometry = Geometry {
        page: 512,
        superblock: 512,
        config: 1024,
        snapshot: 5 * 512,
        journal: 8,
        segment: 4096,
        segments: 12,
        chunk: 640,
    };
    assert_eq!(capacity(&geometry), 64 * 1024);
    let mut memory = Memory::new();
    let mut script = Vec::new();
    for round in 0..5 {
        let slot = round as usize;
        script.extend([
            Action::Set(slot, round),
            Action::Store(vec![(slot, 900 * slot), (slot + 5, 6000), (11, 300)]),
            Action::Drain,
            Action::Config(50 + slot),
            Action::Snapshot,
            Action::Drain,
        ]);
    }
    script.extend([
        Action::Set(3, 44),
        Action::Drain,
        Action::Set(4, 55),
        Action::Drain,
    ]);
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let last = &outcome.ledger.history[outcome.ledger.history.len() - 2].0;
    let mut image = outcome.medium.image().to_vec();
    let config = saved_config(&mut memory, &outcome.medium);
    let (mut told, mut silent, mut spoilt) = (0, 0, 0);
    let mut bit = effort.seed as usize % effort.stride;
    while bit < image.len() * 8 {
        image[bit / 8] ^= 1 << (bit % 8);
        let mut ledger = Guarded(Ledger::default());
        let found = mount(Borrowed::new(&image), memory.space(), &mut ledger);
        match found {
            Err(_) => told += 1,
            Ok((mut store, mounted)) => {
                for row in ledger.0.rows {
                    // Panics if wrong octets are served as right.
                    spoilt += u32::from(read_copy(&mut store, row).is_err());
                }
                let loaded = config_of(&mut store);
                let earlier = content_of(4, 53);
                // Damage to the newer slot costs no more than that one.
                let newer = geometry.config_at(false)..geometry.config_at(true);
                let costs = newer.contains(&(bit as u64 / 8));
                assert!(loaded == config || costs && loaded.is_some_and(|old| old == earlier));
                if ledger.0.rows != outcome.ledger.rows {
                    told += u32::from(mounted.journal_damaged);
                    // The last group cannot be told from one that a cut has torn.
                    if !mounted.journal_damaged {
                        silent += 1;
                        let octet = bit / 8;
                        assert_eq!(ledger.0.rows, *last, "bit {bit} of octet {octet:#x}");
                    }
                }
            }
        }
        if bit % 1024 < effort.stride {
            exercise(&mut memory, image.clone());
        }
        image[bit / 8] ^= 1 << (bit % 8);
        bit += effort.stride;
    }
    let tried = image.len() * 8 / effort.stride;
    std::println!("flips {tried} told {told} silent {silent} copies seen to be spoilt {spoilt}");
    assert!(told > 0 && spoilt > 0 && silent > 0);
}

#[test]
pub(super) fn a_flipped_octet_of_a_copy_is_seen_when_verified_and_when_read() {
    let mut memory = Memory::new();
    let outcome = used_medium(&mut memory);
    let kept = outcome.ledger.rows[1].copy.unwrap();
    let content = content_of(kept.seed, kept.length as usize);
    let image = outcome.medium.image();
    for octet in 0..content.len() {
        // Eight octets of it are found nowhere else.
        let start = octet.min(content.len() - 8) / 8 * 8;
        let window = &content[start..start + 8];
        let at = image.windows(8).position(|found| found == window);
        let Some(at) = at else {
            continue;
        };
        let mut image = image.to_vec();
        image[at + octet % 8] ^= 0x10;
        let mut ledger = Ledger::default();
        let medium = SimMedium::from_image(image);
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        let mut reader = store.open(Place(kept.place)).unwrap();
        let mut verifier = store.verifier(&reader);
        let verified = (0..100).find_map(|_| store.verify(&mut verifier, 64));
        assert_eq!(verified, Some(Err(Damaged::Corrupt)));
        let mut read = 0;
        let end = loop {
            let mut buf = [0; 50];
            match store.read(&mut reader, read as u64, &mut buf) {
                Ok(0) => break Ok(()),
                Ok(count) => read += count,
                Err(damaged) => break Err(damaged),
            }
        };
        // A chunk holds 192 octets: it is not handed out to its end.
        assert_eq!(end, Err(Damaged::Corrupt));
        assert!(read < (octet / 192 + 1) * 192);
    }
}

#[test]
pub(super) fn random_images_never_panic() {
    let mut memory = Memory::new();
    let outcome = used_medium(&mut memory);
    let image = outcome.medium.image();
    let mut random = Random(11);
    for round in 0..4000 {
        let mut spoilt = image.to_vec();
        for _ in 0..1 + random.below(6) {
            // Pages swapped, repeated, or filled with noise; the superblock mostly left.
            let page = |random: &mut Random| random.below(image.len() / 128) * 128;
            let (to, from) = (page(&mut random), page(&mut random));
            if to < 256 && round % 8 != 0 {
                continue;
            }
            if random.below(3) == 0 {
                for octet in &mut spoilt[to..to + 128] {
                    *octet = random.next() as u8;
                }
            } else {
                let source = image[from..from + 128].to_vec();
                spoilt[to..to + 128].copy_from_slice(&source);
            }
        }
        exercise(&mut memory, spoilt);
    }
    for length in [0, 1, 127, 128, 4096, 10_000] {
        let noise = (0..length).map(|_| random.next() as u8).collect();
        assert!(exercise(&mut memory, noise).is_none());
        assert!(exercise(&mut memory, vec![0; length]).is_none());
    }
}

#[test]
pub(super) fn foreign_content_is_refused_and_blank_is_not() {
    let geometry = tiny();
    let mut memory = Memory::new();
    let mut mount_error = |medium: SimMedium| {
        mount(medium, memory.space(), &mut Ledger::default())
            .map(|_| ())
            .unwrap_err()
    };
    let blank = SimMedium::new(1 << 20);
    assert_eq!(mount_error(blank.clone()), MountError::Blank);
    assert_eq!(content(&mut blank.clone()), Ok(Content::Blank));
    // Where ext4, btrfs, a partition table and its copy at the end keep their marks.
    for at in [0, 510, 1080, 0x10040, (1 << 20) - 512] {
        let mut image = blank.image().to_vec();
        image[at] = 0x53;
        let mut foreign = SimMedium::from_image(image);
        assert_eq!(content(&mut foreign), Ok(Content::Foreign), "{at:#x}");
        let formatted = format(&mut foreign, &geometry, [0; 16], true);
        assert_eq!(formatted, Err(FormatError::Foreign));
        assert_eq!(mount_error(foreign), MountError::Foreign);
    }
    let mut store = formatted(&geometry);
    assert_eq!(
        format(&mut store, &geometry, [0; 16], false),
        Err(FormatError::Store)
    );
    let mut newer = store.image().to_vec();
    // Version 2, with its checksum, in both.
    for at in [0, 128] {
        newer[at + 8] = 2;
        let sum = Key::new(&[0; 16]).sum(&newer[at..at + 124]);
        newer[at + 124..at + 128].copy_from_slice(&sum.to_le_bytes());
    }
    assert_eq!(
        mount_error(SimMedium::from_image(newer)),
        MountError::Version(2)
    );
}

#[test]
pub(super) fn a_lost_superblock_is_found_in_its_twin() {
    let mut memory = Memory::new();
    let outcome = used_medium(&mut memory);
    let mut image = outcome.medium.image().to_vec();
    image[..128].fill(0xFF);
    let (found, _) = exercise(&mut memory, image).unwrap();
    assert_eq!(found.rows, outcome.ledger.rows);
}

#[test]
pub(super) fn a_new_format_shows_nothing_of_the_old() {
    let mut memory = Memory::new();
    let mut medium = used_medium(&mut memory).medium;
    format(&mut medium, &tiny(), *b"another 16 octet", true).unwrap();
    let mut ledger = Ledger::default();
    let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).unwrap();
    assert_eq!(ledger.rows, State::default());
    assert_eq!((mounted.entries, mounted.epoch), (0, 1));
    assert_eq!(store.load_config(&mut [0; 512]), Ok(None));
    assert_eq!(store.usage().written, 0);
}

#[test]
pub(super) fn a_lost_snapshot_is_replaced_by_the_chain_or_told() {
    let mut memory = Memory::new();
    // The journal still holds everything: nothing is lost with the snapshot.
    let outcome = used_medium(&mut memory);
    let geometry = tiny();
    let spoil = |image: &mut [u8], b: bool| {
        let at = geometry.snapshot_at(b) as usize;
        image[at..at + 640].fill(0x55);
    };
    let mut image = outcome.medium.image().to_vec();
    spoil(&mut image, false);
    let (found, _) = exercise(&mut memory, image).unwrap();
    assert_eq!(found.rows, outcome.ledger.rows);
    // With the newer of two it is lost or not: never is it an old one that is taken.
    let script: Vec<Action> = (0..40)
        .flat_map(|n| [Action::Set(n % SLOTS, n as u32), Action::Drain])
        .collect();
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let image = outcome.medium.image();
    for b in [false, true] {
        let mut image = image.to_vec();
        spoil(&mut image, b);
        if let Some((found, mounted)) = exercise(&mut memory, image) {
            assert!(mounted.rebuilt.is_some() || found.rows == outcome.ledger.rows);
            assert!(!mounted.journal_damaged);
        }
    }
    let mut image = image.to_vec();
    spoil(&mut image, false);
    spoil(&mut image, true);
    let (found, mounted) = exercise(&mut memory, image).unwrap();
    assert_eq!((found.rows, mounted.rebuilt), (State::default(), Some(0)));
}

#[test]
pub(super) fn an_old_snapshot_is_taken_with_all_that_came_after_it_or_the_loss_is_told() {
    let mut memory = Memory::new();
    let geometry = tiny();
    // Through the journal, and through the ring: either may have gone round what the older of two
    // snapshots needs.
    let entries = (0..300).map(|n| match n % 11 {
        9 => Action::Commit,
        10 => Action::Step,
        _ => Action::Set(n % SLOTS, n as u32),
    });
    let copies = (0..60).flat_map(|n| {
        let copy = Action::Store(vec![(n % SLOTS, 300)]);
        [copy, Action::Commit, Action::Step]
    });
    let (mut whole, mut told, mut rebuilt) = (0, 0, 0);
    for script in [entries.collect::<Vec<_>>(), copies.collect()] {
        let start = formatted(&geometry);
        let medium = start.clone().with_trace();
        let outcome = session(&mut memory, medium, Ledger::default(), &script);
        let history = &outcome.ledger.history;
        let mut replay = Replay::new(&start, &outcome, 128);
        while replay.step() {
            let truth = truth(&outcome.marks, replay.at);
            for b in [false, true] {
                let mut image = replay.image.clone();
                let at = geometry.snapshot_at(b) as usize;
                image[at..at + 640].fill(0x55);
                let mut found = Ledger::default();
                let (_, mounted) =
                    mount(Borrowed::new(&image), memory.space(), &mut found).unwrap();
                let lost = mounted.rebuilt.is_some() || mounted.journal_damaged;
                assert_eq!(found.lost, lost);
                if mounted.rebuilt.is_some() {
                    rebuilt += 1;
                    continue;
                }
                let was = |(state, _): &(State, usize)| *state == found.rows;
                let at = history[..=truth.logged].iter().rposition(was);
                let at = at.expect("a state that once was");
                assert!(lost || at >= truth.acked, "untold at {truth:?}");
                told += u32::from(lost);
                whole += u32::from(!lost);
            }
        }
    }
    assert!(
        whole > 0 && told > 0 && rebuilt > 0,
        "{whole} {told} {rebuilt}"
    );
}

#[test]
pub(super) fn a_journal_page_that_lies_elsewhere_says_nothing() {
    let mut memory = Memory::new();
    let geometry = tiny();
    let mut script = vec![Action::Snapshot, Action::Set(0, 1), Action::Drain];
    for n in 0..3 {
        script.extend([Action::Set(1 + n, 2), Action::Drain]);
    }
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let history = &outcome.ledger.history;
    for to in 1..6 {
        for from in 1..6 {
            let mut image = outcome.medium.image().to_vec();
            let [to, from] = [to, from].map(|page| geometry.journal_at(page) as usize);
            image.copy_within(from..from + 128, to);
            let (found, mounted) = exercise(&mut memory, image).unwrap();
            assert_eq!(mounted.rebuilt, None);
            assert!(history.iter().any(|(state, _)| *state == found.rows));
        }
    }
}

#[test]
pub(super) fn a_flipped_bit_in_the_header_of_a_configuration_brings_back_none_but_the_last() {
    let mut memory = Memory::new();
    let geometry = tiny();
    let script = [40, 50, 60].map(Action::Config);
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let saved = |number: u32| Some(content_of(number, 30 + 10 * number as usize));
    // The third went over the first.
    let slots = [(false, saved(2)), (true, saved(3))];
    for (b, left) in slots {
        for bit in 0..64 * 8 {
            let mut image = outcome.medium.image().to_vec();
            image[geometry.config_at(b) as usize + bit / 8] ^= 1 << (bit % 8);
            let mut ledger = Ledger::default();
            let mounted = mount(Borrowed::new(&image), memory.space(), &mut ledger);
            let loaded = config_of(&mut mounted.unwrap().0);
            assert_eq!(loaded, left, "bit {bit} in B {b}");
        }
    }
}

#[test]
pub(super) fn a_segment_whose_header_rots_is_told_and_costs_its_copies_alone() {
    let mut memory = Memory::new();
    let geometry = Geometry {
        segments: 24,
        ..tiny()
    };
    let mut script: Vec<Action> = (0..SLOTS)
        .map(|slot| Action::Store(vec![(slot, 600)]))
        .collect();
    script.push(Action::Drain);
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let mut lost = 0;
    for segment in 0..8 {
        let mut image = outcome.medium.image().to_vec();
        image[ring::offset_at(&geometry, segment, 0) as usize + 5] ^= 4;
        let mut ledger = Ledger::default();
        let (mut store, mounted) =
            mount(Borrowed::new(&image), memory.space(), &mut ledger).unwrap();
        assert_eq!((mounted.segments_damaged, mounted.rebuilt), (1, None));
        assert_eq!(store.usage().damaged, 1);
        let places = ring::places(&geometry, segment);
        for row in outcome.ledger.rows {
            let kept = row.copy.expect("the ring is large enough");
            // One that begins elsewhere may go on here.
            let ends = kept.place + (kept.length + 5 * 64).div_ceil(64);
            let touched = kept.place < places.end && ends > places.start;
            let whole = read_copy(&mut store, row).is_ok();
            assert!(
                whole || touched || kept.place + 16 > places.start,
                "{kept:?}"
            );
            assert!(!whole || !places.contains(&kept.place));
            lost += u32::from(!whole);
        }
        let whole = ledger.rows == outcome.ledger.rows;
        assert!(whole || mounted.journal_damaged, "entries lay in it");
    }
    assert!(lost > 0);
}

#[test]
pub(super) fn a_lost_index_is_rebuilt_from_the_ring() {
    let geometry = Geometry {
        segments: 12,
        ..tiny()
    };
    let mut memory = Memory::new();
    // Round the ring, so that the chain does not reach back to its beginning.
    let script: Vec<Action> = (0..60)
        .flat_map(|n| {
            let copies = vec![(n % SLOTS, 90 + 20 * (n % 30)), ((n + 5) % SLOTS, 30)];
            [
                Action::Store(copies),
                Action::Set(3, n as u32),
                Action::Drain,
            ]
        })
        .collect();
    let outcome = session(
        &mut memory,
        formatted(&geometry),
        Ledger::default(),
        &script,
    );
    let mut image = outcome.medium.image().to_vec();
    let snapshots = geometry.snapshot_at(false) as usize..geometry.journal_at(0) as usize;
    image[snapshots.start..][..2 * geometry.snapshot as usize].fill(0x55);
    // A rotten segment header costs nothing: the summary, or the first record, says the same.
    for segment in 0..geometry.segments {
        let at = ring::offset_at(&geometry, segment, 0) as usize;
        image[at + 5] ^= u8::from(segment % 3 == 0) * 4;
    }
    let copies = |rows: &State| rows.map(|row| row.copy);
    let mut ledger = Ledger::default();
    let medium = SimMedium::from_image(image).with_slow_sync(2);
    let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).unwrap();
    assert!(
        mounted.rebuilt.is_some_and(|copies| copies > 5),
        "{mounted:?}"
    );
    assert_eq!(copies(&ledger.rows), copies(&outcome.ledger.rows));
    // Nothing is logged before a snapshot holds what was found; a cut until then does no harm.
    let mut tried = 0;
    while store.log(&encode(0, ledger.rows[0])) == Err(StoreError::Busy) {
        let image = store
            .medium()
            .cut(hal::sim::medium::Cut::Units(tried), &mut || 0);
        let (mut again, mut other) = (Ledger::default(), Memory::new());
        mount(Borrowed::new(&image), other.space(), &mut again).unwrap();
        assert_eq!(copies(&again.rows), copies(&ledger.rows));
        store.step(&mut ledger);
        tried += 1;
        assert!(tried < 100);
    }
    assert!(tried > 5);
    let durable = store
        .medium()
        .cut(hal::sim::medium::Cut::Prefix(0), &mut || 0);
    let mut again = Ledger::default();
    let mut other = Memory::new();
    let (_, mounted) = mount(Borrowed::new(&durable), other.space(), &mut again).unwrap();
    assert_eq!(mounted.rebuilt, None, "{mounted:?}");
    assert_eq!(copies(&again.rows), copies(&ledger.rows));
}

#[test]
fn a_shrunk_medium_is_refused_and_a_grown_one_is_said() {
    let mut memory = Memory::new();
    let image = used_medium(&mut memory).medium.image().to_vec();
    let needed = image.len() as u64;
    for less in [1, 512, 3000] {
        let mut medium = SimMedium::from_image(image[..image.len() - less].to_vec());
        let capacity = needed - less as u64;
        assert_eq!(content(&mut medium), Ok(Content::Store));
        let replaced = format(&mut medium, &tiny(), [1; 16], false);
        assert!(matches!(replaced, Err(FormatError::Geometry)));
        let mounted = mount(medium, memory.space(), &mut Ledger::default());
        let refused = Err(MountError::Shrunk { needed, capacity });
        assert_eq!(mounted.map(|_| ()), refused);
    }
    let grown = [&image[..], &[0; 5000]].concat();
    let (_, mounted) = exercise(&mut memory, grown).unwrap();
    assert_eq!(mounted.unused, 5000);
}

#[test]
pub(super) fn no_geometry_that_a_superblock_may_claim_panics() {
    let mut memory = Memory::new();
    let image = used_medium(&mut memory).medium.image().to_vec();
    let extremes = [
        0,
        1,
        63,
        64,
        127,
        129,
        4095,
        4096,
        1 << 20,
        1 << 31,
        u32::MAX,
    ];
    for at in (12..44).step_by(4) {
        for value in extremes {
            let mut image = image.clone();
            for block in [0, 128] {
                image[block + at..block + at + 4].copy_from_slice(&value.to_le_bytes());
                let sum = Key::new(&[0; 16]).sum(&image[block..block + 124]);
                image[block + 124..block + 128].copy_from_slice(&sum.to_le_bytes());
            }
            exercise(&mut memory, image);
        }
    }
}

#[test]
pub(super) fn a_snapshot_half_restored_leaves_nothing() {
    let mut memory = Memory::new();
    // The first part, without the second, holds what was logged last and not what was first.
    let one_by_one = [
        Action::Set(7, 1),
        Action::Drain,
        Action::Set(0, 2),
        Action::Drain,
    ];
    // In one commit of two pages nothing says that the first ought to be there.
    let at_once = (0..5).map(|n| Action::Set((7 + n) % (SLOTS - 1), 1));
    let snapshot = [Action::Drain, Action::Snapshot, Action::Drain];
    for script in [&one_by_one[..], &at_once.collect::<Vec<_>>()] {
        half_restored(&mut memory, &[script, &snapshot].concat());
    }
}

fn half_restored(memory: &mut Memory, script: &[Action]) {
    let outcome = session(memory, formatted(&tiny()), Ledger::default(), script);
    let geometry = tiny();
    let part = snapshot::part_at(&geometry, false, 1) as usize;
    for page in 0..u64::from(geometry.journal) {
        let mut image = outcome.medium.image().to_vec();
        image[part + 40] ^= 1;
        let at = geometry.journal_at(page) as usize;
        image[at..at + 128].fill(0);
        let mut ledger = Guarded(Ledger::default());
        let found = mount(Borrowed::new(&image), memory.space(), &mut ledger);
        assert!(found.is_ok(), "the journal still begins at its beginning");
        let history = &outcome.ledger.history;
        let was = history.iter().any(|(state, _)| *state == ledger.0.rows);
        assert!(was, "page {page}: {:?}", ledger.0.rows);
    }
}
