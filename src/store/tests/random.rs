//! Random scripts against the model: wrap-around, eviction, interleaved writers, kills, cuts.

use super::sweep::{Effort, Replay, Sweep, tear};
use super::*;

fn random_script(random: &mut Random, length: usize) -> Vec<Action> {
    let mut script = Vec::new();
    for _ in 0..length {
        let slot = random.below(SLOTS);
        script.push(match random.below(40) {
            0..=11 => Action::Set(slot, random.next() as u32),
            12..=19 => {
                let copies = 1 + random.below(4);
                let copies = (0..copies).map(|nth| {
                    let length = [0, 1, 64, 191, 192, 193, 500, 900, 2500][random.below(9)];
                    ((slot + nth) % SLOTS, length)
                });
                Action::Store(copies.collect())
            }
            20 => Action::GiveUp(random.below(900)),
            21 | 22 => Action::Drop(slot),
            23 => Action::Pin(slot, true),
            24..=26 => Action::Pin(slot, false),
            27..=29 => Action::Commit,
            30..=34 => Action::Step,
            35 => Action::Drain,
            36 => Action::Config(random.below(190)),
            37 => Action::Snapshot,
            _ => Action::Kill,
        });
    }
    script.push(Action::Drain);
    script
}

#[test]
pub(super) fn random_scripts_agree_with_the_model_and_survive_random_cuts() {
    random_lives(Effort::ordinary(), 80_000);
}

/// Lives of four cuts each: what one left, the next goes on with.
pub(super) fn random_lives(effort: Effort, least: u64) {
    let mut sweep = Sweep::new(effort);
    for round in 0..effort.rounds {
        let mut random = Random((effort.seed * 1_000_003 + round + 1) * 7919);
        let mut geometry = tiny();
        geometry.page = [128, 128, 256, 512][random.below(4)];
        geometry.superblock = geometry.page;
        geometry.config = 512;
        geometry.snapshot = 5 * geometry.page;
        geometry.journal = 4 + random.below(9) as u32;
        geometry.segment = geometry.page * (8 + random.below(8) as u32);
        geometry.segments = 3 + random.below(6) as u32;
        geometry.chunk = [64, 192, 640][random.below(3)];
        let unit = geometry.page as usize >> random.below(2);
        let mut start = formatted(&geometry);
        let mut ledger = Ledger::default();
        for depth in 1..=4 {
            // The same contents again, or others of the same lengths.
            ledger.contents = [0, depth as u32 * 1000][random.below(2)];
            start = start
                .with_slow_sync(random.below(4) as u32)
                .with_busy([0, 2, 3, 5][random.below(4)]);
            let length = 20 + random.below(50);
            let script = random_script(&mut random, length);
            let outcome = sweep.session(&start, ledger.clone(), &script);
            let mut replay = Replay::new(&start, &outcome, unit);
            let end = random.below(outcome.medium.trace().len() + 1);
            // The next life goes on after the last cut.
            let mut left = None;
            while replay.at < end && replay.step() {
                if random.below(3) > 0 && replay.at < end {
                    continue;
                }
                let truth = truth(&outcome.marks, replay.at);
                let units = replay.units();
                let mut image = replay.image.clone();
                for _ in 0..effort.random {
                    let pieces: Vec<_> = units.iter().map(|_| sweep.piece()).collect();
                    tear(&mut image, &units, &pieces);
                    if let Some(found) = sweep.strict(&image, &outcome, &truth, depth) {
                        left = Some((image.clone(), found));
                    }
                }
            }
            let Some((image, found)) = left else {
                break;
            };
            start = SimMedium::from_image(image);
            ledger = Ledger {
                pinned: outcome.ledger.pinned,
                ..found
            };
            // This model does not look at loose copies: it drops them.
            for slot in 0..SLOTS {
                if ledger.loose[slot] {
                    let left = dropped(&mut sweep.memory, start, &mut ledger, slot);
                    start = SimMedium::from_image(left.image().to_vec());
                }
            }
        }
    }
    sweep.report("random lives", least);
}

/// Mounts, logs that `slot` has no copy, and makes that durable.
fn dropped(memory: &mut Memory, medium: SimMedium, ledger: &mut Ledger, slot: usize) -> SimMedium {
    let mut found = Ledger::default();
    let (mut store, _) = mount(medium, memory.space(), &mut found).unwrap();
    assert_eq!(found.rows, ledger.rows);
    ledger.rows[slot].copy = None;
    ledger.loose[slot] = false;
    for _ in 0..10_000 {
        match store.log(&encode(slot, ledger.rows[slot])) {
            Ok(()) => break,
            Err(error) => assert_eq!(error, StoreError::Busy),
        }
        store.step(ledger);
    }
    let ticket = store.commit();
    while !store.committed(ticket).unwrap() {
        store.step(ledger);
    }
    store.into_medium().killed()
}

#[test]
pub(super) fn one_commit_is_one_sync() {
    let mut memory = Memory::new();
    let geometry = Geometry::for_capacity(16 << 20, 64 * 1024).unwrap();
    let mut ledger = Ledger::default();
    let mut table = vec![Segment::default(); geometry.segments as usize];
    let space = Space {
        segments: &mut table,
        buffers: &mut memory.buffers,
    };
    let (mut store, _) = mount(formatted(&geometry), space, &mut ledger).unwrap();
    while !store.is_quiet() {
        store.step(&mut ledger);
    }
    let before = store.medium().counts();
    let mut payload = 0;
    for number in 0..100 {
        let writer = store.begin(&[1; 60]).unwrap();
        let content = content_of(number, 4096);
        let mut done = 0;
        while done < content.len() {
            done += store.append(writer, &content[done..], &mut ledger).unwrap();
        }
        let stored = store.finish(writer, &mut ledger).unwrap();
        payload += stored.octets;
        store.log(&encode(0, Row::default())).unwrap();
        let ticket = store.commit();
        assert_eq!(store.commit(), ticket);
        assert_eq!(store.committed(ticket), Ok(false));
        while store.step(&mut ledger) {}
        assert_eq!(
            store.committed(ticket),
            Ok(true),
            "{number} {:?}",
            store.usage()
        );
        // Nothing new: nothing to wait for.
        let next = store.commit();
        assert_eq!(store.committed(next), Ok(true));
    }
    let after = store.medium().counts();
    // Snapshots ride along, and the items go with the copies.
    assert_eq!(store.usage().snapshots, 2);
    assert!(store.usage().journal.0 < 2);
    assert_eq!(after.syncs - before.syncs, 100);
    let written = after.written - before.written;
    assert!(written < payload * 205 / 100, "{written} for {payload}");
}

#[test]
pub(super) fn what_is_pinned_is_never_evicted_and_the_ring_says_full() {
    let mut memory = Memory::new();
    let script = [
        Action::Store(vec![(0, 300)]),
        Action::Pin(0, true),
        Action::Store(vec![(1, 1500)]),
        Action::Store(vec![(2, 1500)]),
        Action::Store(vec![(3, 1500)]),
        Action::Store(vec![(4, 1500)]),
        Action::Store(vec![(5, 1500)]),
        Action::Store(vec![(6, 1500)]),
        // Larger than the ring: refused, whatever is given up for it.
        Action::Store(vec![(7, 9000)]),
        Action::Drain,
    ];
    let medium = formatted(&tiny());
    let outcome = session(&mut memory, medium, Ledger::default(), &script);
    let rows = outcome.ledger.rows;
    assert!(rows[0].copy.is_some());
    assert!(rows[7].copy.is_none());
}

#[test]
pub(super) fn only_the_oldest_is_evicted_however_often_the_ring_goes_round() {
    let mut memory = Memory::new();
    // Every length from copies within one segment to copies over three.
    for length in (50..2000).step_by(50) {
        let mut ledger = Ledger::default();
        let (mut store, _) = mount(formatted(&tiny()), memory.space(), &mut ledger).unwrap();
        while store.step(&mut ledger) {}
        let mut rows = Vec::new();
        for number in 0..60 {
            let kept = put_copy(&mut store, &mut ledger, number, length);
            rows.push(Row {
                value: number,
                copy: Some(kept),
            });
            ledger.rows[number as usize % SLOTS] = rows[number as usize];
            // What fits three of the six segments, headers and page ends included, is still there.
            let records = length.div_ceil(192).max(1);
            let whole = (length + records * 128).next_multiple_of(128);
            for row in rows.iter().rev().take(3 * 896 / whole) {
                assert_eq!(read_copy(&mut store, *row), Ok(()), "{number} of {length}");
                assert!(ledger.rows.contains(row), "{number} of {length}: {row:?}");
            }
            // And what the ledger was not told to forget is whole.
            for row in ledger.rows {
                assert_eq!(read_copy(&mut store, row), Ok(()), "{number} of {length}");
            }
            // In the segment that is being filled, what lies ahead is of the time before.
            for row in &rows {
                let place = row.copy.unwrap().place;
                if place / 16 == kept.place / 16 && place > kept.place {
                    let stale = store.open(Place(place)).map(|_| ());
                    assert_eq!(stale, Err(Damaged::Absent), "{number} of {length}");
                }
            }
            // What it forgot is not found any more once its segment is in use again, not even
            // where its octets still lie.
            let least = (length + records * 64).next_multiple_of(128);
            for row in rows.iter().rev().skip(6 * 896 / least + 1) {
                assert!(read_copy(&mut store, *row).is_err(), "{number} of {length}");
            }
        }
    }
}

#[test]
pub(super) fn a_segment_goes_without_what_has_since_begun_where_its_old_copies_did() {
    let mut memory = Memory::new();
    let mut ledger = Ledger::default();
    let (mut store, _) = mount(formatted(&tiny()), memory.space(), &mut ledger).unwrap();
    while store.step(&mut ledger) {}
    // It begins at the first place there is, and goes on in two more segments; later, small
    // copies begin at the same place.
    put_copy(&mut store, &mut ledger, 0, 1500);
    let mut rows = Vec::new();
    for number in 1..100 {
        let row = Row {
            value: number,
            copy: Some(put_copy(&mut store, &mut ledger, number, 60)),
        };
        ledger.rows[number as usize % SLOTS] = row;
        rows.push(row);
        for row in rows.iter().rev().take(SLOTS) {
            assert!(ledger.rows.contains(row), "{row:?} at {number}");
        }
    }
}

/// Stores one copy, and makes it durable.
fn put_copy(
    store: &mut Store<'_, SimMedium>,
    ledger: &mut Ledger,
    seed: u32,
    length: usize,
) -> Kept {
    let content = content_of(seed, length);
    let writer = store.begin(&[]).unwrap();
    let mut done = 0;
    while done < length {
        match store.append(writer, &content[done..], ledger) {
            Ok(taken) => done += taken,
            Err(error) => assert_eq!(error, AppendError::Busy),
        }
        while store.step(ledger) {}
    }
    let stored = loop {
        match store.finish(writer, ledger) {
            Ok(stored) => break stored,
            Err(error) => assert_eq!(error, AppendError::Busy),
        }
        while store.step(ledger) {}
    };
    store.commit();
    while store.step(ledger) {}
    Kept {
        place: stored.place.0,
        length: length as u32,
        crc: stored.crc,
        seed,
    }
}

#[test]
pub(super) fn a_failing_medium_is_a_fault_and_is_still_read() {
    let mut memory = Memory::new();
    for fail_after in 0..40 {
        let mut ledger = Ledger::default();
        let (mut store, _) = mount(formatted(&tiny()), memory.space(), &mut ledger).unwrap();
        while store.step(&mut ledger) {}
        store.medium().fail_after(fail_after);
        let mut acked = None;
        let mut faults = 0;
        for number in 0..100 {
            let writer = store.begin(&[]).unwrap();
            let stored = match store.append(writer, &content_of(number, 150), &mut ledger) {
                Ok(_) => store.finish(writer, &mut ledger),
                Err(error) => Err(error),
            };
            store.abort(writer);
            let ticket = store.commit();
            for _ in 0..10 {
                store.step(&mut ledger);
            }
            match (store.committed(ticket), stored) {
                (Ok(true), Ok(stored)) => {
                    acked = Some(Kept {
                        place: stored.place.0,
                        length: 150,
                        crc: stored.crc,
                        seed: number,
                    });
                }
                (Err(fault), _) => {
                    assert_eq!(fault, Fault::Medium(5));
                    faults += 1;
                }
                (Ok(_), other) => {
                    faults += u32::from(other == Err(Fault::Medium(5).into()));
                    assert!(other.is_err());
                }
            }
        }
        assert!(faults > 0);
        let row = Row {
            value: 0,
            copy: acked,
        };
        assert_eq!(read_copy(&mut store, row), Ok(()));
        assert_eq!(store.log(&[0; 4]), Err(Fault::Medium(5).into()));
    }
}

#[test]
pub(super) fn reading_goes_to_any_offset_and_back() {
    let mut memory = Memory::new();
    let script = [Action::Store(vec![(0, 2000), (1, 800), (2, 1300)])];
    let outcome = session(
        &mut memory,
        formatted(&Geometry {
            segments: 12,
            ..tiny()
        }),
        Ledger::default(),
        &script,
    );
    let mut ledger = Ledger::default();
    let (mut store, _) = mount(outcome.medium, memory.space(), &mut ledger).unwrap();
    let mut random = Random(3);
    for row in &ledger.rows[..3] {
        let kept = row.copy.unwrap();
        let expected = content_of(kept.seed, kept.length as usize);
        let mut reader = store.open(Place(kept.place)).unwrap();
        for _ in 0..2000 {
            let offset = random.below(expected.len() + 10);
            let mut buf = vec![0; 1 + random.below(300)];
            let count = store.read(&mut reader, offset as u64, &mut buf).unwrap();
            let rest = expected.get(offset..).unwrap_or_default();
            assert_eq!(count == 0, rest.is_empty());
            assert_eq!(buf[..count], rest[..count]);
        }
        let mut head = [0; HEAD_MAX as usize];
        assert_eq!(store.head(Place(kept.place), &mut head), Ok(20));
    }
}

#[test]
pub(super) fn a_copy_is_opened_only_where_it_begins() {
    let mut memory = Memory::new();
    let mut ledger = Ledger::default();
    let (mut store, _) = mount(formatted(&tiny()), memory.space(), &mut ledger).unwrap();
    while store.step(&mut ledger) {}
    let copies: Vec<_> = [700, 100, 1300]
        .iter()
        .zip(1..)
        .map(|(&length, seed)| put_copy(&mut store, &mut ledger, seed, length).place)
        .collect();
    let end = ring::places(&tiny(), tiny().segments).start;
    let opened: Vec<_> = (0..end)
        .filter(|&at| store.open(Place(at)).is_ok())
        .collect();
    assert_eq!(opened, copies);
}

#[test]
pub(super) fn what_is_overwritten_is_not_read_on() {
    let mut memory = Memory::new();
    let mut ledger = Ledger::default();
    let (mut store, _) = mount(formatted(&tiny()), memory.space(), &mut ledger).unwrap();
    while store.step(&mut ledger) {}
    let kept = put_copy(&mut store, &mut ledger, 1, 600);
    let mut readers = Vec::new();
    for at in 0..60 {
        let mut reader = store.open(Place(kept.place)).unwrap();
        store.read(&mut reader, at * 10, &mut [0; 5]).unwrap();
        readers.push((reader, at * 10 + 5));
    }
    // Round the ring and over it, with records of the same lengths.
    for seed in 2..12 {
        put_copy(&mut store, &mut ledger, seed, 600);
    }
    for (mut reader, at) in readers {
        let read = store.read(&mut reader, at, &mut [0; 5]);
        assert_eq!(read, Err(Damaged::Absent), "at {at}");
    }
}

#[test]
pub(super) fn a_mount_goes_on_where_the_last_one_stopped() {
    // Whatever earlier laps and earlier mounts left behind the end is not taken for its own.
    let mut memory = Memory::new();
    let mut image = formatted(&tiny()).image().to_vec();
    let mut random = Random(9);
    for round in 0..60 {
        let mut ledger = Ledger::default();
        let medium = SimMedium::from_image(image);
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        while store.step(&mut ledger) {}
        // Now and then round the whole ring.
        let stored = if round % 10 == 9 {
            60
        } else {
            1 + random.below(6)
        };
        let mut tail = Vec::new();
        let mut open = 0;
        for nth in 0..stored {
            let kept = put_copy(&mut store, &mut ledger, round, [64, 200][random.below(2)]);
            open = store.usage().open_octets;
            if nth > 0 && random.below(2) == 0 {
                // A cut loses this one, and keeps what comes behind it.
                let (segment, offset) = ring::locate(&tiny(), Place(kept.place)).unwrap();
                tail.push((ring::offset_at(&tiny(), segment, offset) as usize, open));
            }
        }
        image = store.into_medium().image().to_vec();
        let (store, _) = mount(
            Borrowed::new(&image),
            memory.space(),
            &mut Ledger::default(),
        )
        .unwrap();
        assert_eq!(store.usage().open_octets, open, "round {round}");
        if let Some((at, _)) = tail.pop() {
            image[at..at + 64].fill(0);
        }
    }
}
