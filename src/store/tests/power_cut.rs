//! A cut at every octet and at every combination of units, once and twice.

use hal::sim::medium::{Cut, Event};

use super::Action::{Commit, Config, Drain, Drop, GiveUp, Kill, Set, Snapshot, Step, Store};
use super::sweep::{Effort, Piece, Replay, Sweep};
use super::*;

/// Everything a store does: log, copy, batch, evict, snapshot, wrap, save, mount.
pub(super) fn whole_script() -> Vec<Action> {
    let mut script = vec![
        Set(0, 1),
        Commit,
        Step,
        Set(1, 2),
        Store(vec![(0, 100)]),
        Commit,
        Step,
        Store(vec![(1, 700), (2, 300), (3, 0)]),
        Set(2, 3),
        Drain,
        Config(60),
        Step,
        Set(3, 4),
        Drain,
        Store(vec![(4, 1500), (5, 200)]),
        GiveUp(500),
        Commit,
        Step,
        Step,
        Set(4, 5),
        Config(100),
        Kill,
        Set(5, 6),
        Store(vec![(6, 64)]),
        Commit,
        Step,
        Kill,
        Set(6, 7),
        Drain,
        Snapshot,
    ];
    for round in 0..8u32 {
        let slot = round as usize;
        script.extend([
            Step,
            Set(slot, 100 + round),
            Store(vec![(slot, 350 * slot), ((slot + 3) % SLOTS, 90)]),
            Commit,
            Step,
            Set(slot + 1, 200 + round),
        ]);
        if round % 3 == 2 {
            script.extend([Drop(slot), Kill]);
        }
    }
    script.push(Drain);
    script
}

/// Layouts by page, the least first: other structures meet in other units.
pub(super) fn layouts() -> [(Geometry, usize); 6] {
    let with_page = |page: u32, segment: u32| Geometry {
        page,
        superblock: page.max(512),
        config: 2 * page.max(256),
        snapshot: 5 * page,
        journal: 8,
        segment,
        segments: 5,
        chunk: 192,
    };
    [
        (tiny(), 128),
        (tiny(), 64),
        (with_page(512, 2048), 512),
        (with_page(4096, 12288), 512),
        (with_page(4096, 12288), 4096),
        (with_page(4096, 12288), 16384),
    ]
}

#[test]
pub(super) fn a_cut_at_every_octet_leaves_what_was_acknowledged() {
    every_octet(Effort::ordinary(), 20_000);
}

pub(super) fn every_octet(effort: Effort, least: u64) {
    let mut sweep = Sweep::new(effort);
    for (looks, geometry) in [(0, tiny()), (2, tiny()), (1, layouts()[2].0)] {
        let start = formatted(&geometry).with_slow_sync(looks);
        let outcome = sweep.session(&start, Ledger::default(), &whole_script());
        let mut replay = Replay::new(&start, &outcome, 128);
        loop {
            let truth = truth(&outcome.marks, replay.at);
            sweep.prefixes(&replay, |sweep, image| {
                sweep.strict(image, &outcome, &truth, 1);
            });
            if !replay.step() {
                break;
            }
        }
    }
    sweep.report("a cut at every octet", least);
}

#[test]
pub(super) fn any_units_may_be_lost_or_spoilt() {
    any_units(Effort::ordinary(), 150_000);
}

pub(super) fn any_units(effort: Effort, least: u64) {
    let mut sweep = Sweep::new(effort);
    for (geometry, unit) in layouts() {
        for looks in [0, 1, 3] {
            let start = formatted(&geometry).with_slow_sync(looks);
            let outcome = sweep.session(&start, Ledger::default(), &whole_script());
            let mut replay = Replay::new(&start, &outcome, unit);
            loop {
                let truth = truth(&outcome.marks, replay.at);
                // A unit larger than a page holds pages of earlier commits: whole, it may be
                // old or new; torn, it is a lost neighbour, which promises less.
                let torn = unit <= geometry.page as usize;
                sweep.tears(&replay, torn, |sweep, image| {
                    sweep.strict(image, &outcome, &truth, 1);
                });
                if !replay.step() {
                    break;
                }
            }
        }
    }
    sweep.report("any units lost or torn", least);
}

#[test]
pub(super) fn a_second_cut_takes_nothing_that_the_first_left() {
    let effort = Effort::ordinary();
    // The square of what the others have to do.
    let stride = match effort.stride {
        1 => 1,
        stride => 40 * stride,
    };
    second_cut(Effort { stride, ..effort }, 1_000_000);
}

pub(super) fn second_cut(effort: Effort, least: u64) {
    // The second script logs the same as the first would have: what the first left behind may
    // fit the new chain but for its epoch.
    let first = [
        Set(0, 1),
        Store(vec![(0, 300)]),
        Drain,
        Set(1, 2),
        Set(2, 3),
        Set(3, 4),
        Set(4, 5),
        Set(5, 6),
        Store(vec![(1, 250), (2, 120)]),
        Set(6, 7),
        Config(60),
        Step,
        Set(7, 8),
    ];
    let second = [Set(1, 2), Set(2, 3), Store(vec![(1, 250)]), Commit, Step];
    // Or but for the beginning of a page, which two units make up.
    let other = [Set(1, 9), Set(2, 8), Set(3, 4), Commit, Step];
    let mut sweep = Sweep::new(effort);
    for (unit, second) in [(128, second), (64, other)] {
        let start = formatted(&tiny());
        let outcome = sweep.session(&start, Ledger::default(), &first);
        let mut replay = Replay::new(&start, &outcome, unit);
        loop {
            let truth = truth(&outcome.marks, replay.at);
            let mut first_cut = |sweep: &mut Sweep, image: &[u8]| {
                if let Some(found) = sweep.strict(image, &outcome, &truth, 1) {
                    go_on(sweep, (image, unit), found, &second);
                }
            };
            if unit == 128 {
                sweep.prefixes(&replay, &mut first_cut);
            }
            sweep.tears(&replay, true, &mut first_cut);
            if !replay.step() {
                break;
            }
        }
    }
    sweep.report("a cut, a mount, a second cut", least);
}

/// Goes on from an image with another script, and cuts that in every way.
fn go_on(sweep: &mut Sweep, (image, unit): (&[u8], usize), found: Ledger, script: &[Action]) {
    let start = SimMedium::from_image(image.to_vec());
    let outcome = sweep.session(&start, found, script);
    let mut replay = Replay::new(&start, &outcome, unit);
    loop {
        let truth = truth(&outcome.marks, replay.at);
        let second_cut = |sweep: &mut Sweep, image: &[u8]| {
            sweep.strict(image, &outcome, &truth, 2);
        };
        sweep.prefixes(&replay, second_cut);
        sweep.tears(&replay, true, second_cut);
        if !replay.step() {
            break;
        }
    }
}

#[test]
pub(super) fn what_a_cut_left_beyond_a_hole_does_not_come_back() {
    // Two pages are logged and not acknowledged; the cut loses the first and keeps the second.
    // Then the first is logged again, octet for octet, and acknowledged.
    let page = |first: u32| (0..3).map(move |slot| Set(slot, first + slot as u32));
    let mut memory = Memory::new();
    let base = session(
        &mut memory,
        formatted(&tiny()),
        Ledger::default(),
        &[Set(9, 9)],
    );
    let base = SimMedium::from_image(base.medium.image().to_vec()).with_unit(128);
    let script: Vec<Action> = page(10)
        .chain(page(20))
        .chain([Commit, Step, Step])
        .collect();
    let medium = base.clone().with_trace();
    let first = session(&mut memory, medium, base_ledger(), &script);
    let mut replay = Replay::new(&base, &first, 128);
    let mut image = None;
    while replay.step() {
        if let [_, second] = &replay.units()[..] {
            let mut left = replay.image.clone();
            second.put(&mut left, Piece::New);
            image = Some(left);
        }
    }
    let image = image.expect("two pages before the sync");
    let middle = SimMedium::from_image(image).with_unit(128);
    let script: Vec<Action> = page(10).chain([Drain]).collect();
    let outcome = session(&mut memory, middle, base_ledger(), &script);
    let end = outcome.medium.image().to_vec();
    let truth = Mark {
        trace: 0,
        acked: outcome.ledger.history.len() - 1,
        logged: outcome.ledger.history.len() - 1,
        config: (0, 0),
    };
    check_image(&mut memory, &end, &outcome, &truth);
}

#[test]
pub(super) fn an_item_that_a_mount_passed_over_does_not_become_whole_later() {
    // Pages of several units. Both lives write to the same page, the same but for the beginning:
    // what the first cut has left of it and what the second has are the first life's item.
    let tale = |value: u32| {
        vec![
            Set(0, value),
            Set(1, value + 1),
            Set(2, 3),
            Commit,
            Step,
            Step,
        ]
    };
    let with_copy = |value: u32| [vec![Store(vec![(3, 60)])], tale(value)].concat();
    let (small, large) = (tiny(), layouts()[2].0);
    for (geometry, first, second) in [
        (small, tale(10), tale(20)),
        (small, with_copy(10), with_copy(20)),
        (large, with_copy(10), with_copy(20)),
    ] {
        let mut sweep = Sweep::new(Effort {
            subsets: 8,
            ..Effort::ordinary()
        });
        let base = formatted(&geometry).with_slow_sync(1);
        let mut second_cuts = 0;
        after_every_cut(&mut sweep, &base, &first, |sweep, next, found| {
            let next_life = sweep.session(next, found, &second);
            let mut replay = Replay::new(next, &next_life, 64);
            while replay.step() {
                let truth = truth(&next_life.marks, replay.at);
                sweep.tears(&replay, false, |sweep, image| {
                    sweep.strict(image, &next_life, &truth, 2);
                    second_cuts += 1;
                });
            }
        });
        assert!(second_cuts > 40, "{second_cuts}");
    }
}

/// Plays `script` on `base`, cuts the power at every point of it, and hands over what each cut has
/// left: the medium, and what a mount finds on it.
fn after_every_cut(
    sweep: &mut Sweep,
    base: &SimMedium,
    script: &[Action],
    mut then: impl FnMut(&mut Sweep, &SimMedium, Ledger),
) {
    let life = sweep.session(base, Ledger::default(), script);
    let mut replay = Replay::new(base, &life, 64);
    while replay.step() {
        let truth = truth(&life.marks, replay.at);
        let mut images = Vec::new();
        sweep.tears(&replay, false, |_, image| images.push(image.to_vec()));
        for image in images {
            if let Some(found) = sweep.strict(&image, &life, &truth, 1) {
                let next = SimMedium::from_image(image).with_slow_sync(1);
                then(sweep, &next, found);
            }
        }
    }
}

/// The item of two copies is whole, and the second of them, but not the first: what comes next goes
/// over both, so a mount must not find the second.
#[test]
pub(super) fn a_copy_behind_the_end_of_the_ring_is_none() {
    let base = formatted(&tiny()).with_slow_sync(1);
    let mut second_lives = 0;
    for length in (0..130).step_by(8) {
        let mut sweep = Sweep::new(Effort {
            subsets: 8,
            ..Effort::ordinary()
        });
        let script = [Store(vec![(0, 60), (1, length)]), Commit, Step, Step];
        after_every_cut(&mut sweep, &base, &script, |sweep, next, found| {
            // The session itself looks whether what was whole at its mount stays so.
            sweep.session(next, found, &[Store(vec![(2, 200)])]);
            second_lives += 1;
        });
    }
    assert!(second_lives > 1000, "{second_lives}");
}

#[test]
pub(super) fn a_configuration_that_a_mount_passed_over_does_not_become_whole_later() {
    let save = |image: Vec<u8>, config: &[u8]| {
        let mut memory = Memory::new();
        let mut ledger = Ledger::default();
        let medium = SimMedium::from_image(image).with_unit(64);
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        while store.step(&mut ledger) {}
        store.save_config(config).unwrap();
        store.into_medium()
    };
    let load = |image: &[u8]| {
        let mut memory = Memory::new();
        let mounted = mount(Borrowed::new(image), memory.space(), &mut Ledger::default());
        config_of(&mut mounted.unwrap().0)
    };
    let config = |first: u8| Some([[first; 64], [9; 64]].concat());
    let [before, first, second] = [1, 2, 3].map(config);
    let mut medium = save(
        formatted(&tiny()).image().to_vec(),
        before.as_ref().unwrap(),
    );
    assert!(medium.undurable() > 0);
    // Durable: all of it stays.
    medium = save(medium.image().to_vec(), first.as_ref().unwrap());
    let mut tried = 0;
    for left in 0..8 {
        let image = medium.cut(Cut::Units(left), &mut || 0);
        if load(&image) == first {
            continue;
        }
        assert_eq!(load(&image), before);
        let medium = save(image, second.as_ref().unwrap());
        for left in 0..8 {
            let image = medium.cut(Cut::Units(left), &mut || 0);
            let found = load(&image);
            assert!(found == before || found == second, "{found:?}");
            tried += 1;
        }
    }
    assert_eq!(tried, 7 * 8);
}

#[test]
pub(super) fn no_unit_that_is_left_of_a_lost_life_takes_anything_from_the_next() {
    // One life fills all segments, and the cut leaves but one unit of that: a record, say, or the
    // summary of a segment that has no header. The next life gives its segments the same numbers.
    let mut memory = Memory::new();
    // Its pages have room for items beside the copies.
    let (geometry, unit) = layouts()[2];
    let base = formatted(&geometry);
    let lost = session(
        &mut memory,
        base.clone().with_trace(),
        Ledger::default(),
        &[Store(vec![(0, 3000)])],
    );
    let mut replay = Replay::new(&base, &lost, unit);
    let (mut before, mut units, mut at) = (Vec::new(), Vec::new(), 0);
    while replay.step() {
        let touched = replay.units();
        if touched.len() > units.len() {
            (before, units, at) = (replay.image.clone(), touched, replay.at);
        }
    }
    assert!(units.len() > 4 * 3, "{} units", units.len());
    for lone in units {
        let mut left = before.clone();
        lone.put(&mut left, Piece::New);
        let found = check_image(&mut memory, &left, &lost, &truth(&lost.marks, at));
        let left = SimMedium::from_image(left).with_unit(unit);
        for length in (0..2000).step_by(50) {
            let script = [Store(vec![(0, length)]), Drain, Store(vec![(1, 60)])];
            let next = session(&mut memory, left.clone(), found.clone(), &script);
            let last = next.ledger.history.len() - 1;
            let truth = Mark {
                trace: 0,
                acked: last,
                logged: last,
                config: (0, 0),
            };
            check_image(&mut memory, next.medium.image(), &next, &truth);
        }
    }
}

fn base_ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.rows[9].value = 9;
    ledger
}

#[test]
pub(super) fn a_mount_is_followed_by_a_sync_before_anything_is_written() {
    let mut memory = Memory::new();
    let mut medium = formatted(&tiny());
    for _ in 0..3 {
        medium = medium.with_slow_sync(4).with_trace();
        let mut ledger = Ledger::default();
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        let base = store.medium().counts();
        for _ in 0..200 {
            let _ = store.log(&encode(0, Row::default()));
            if store.medium().counts().writes > base.writes + 1 {
                break;
            }
            store.step(&mut ledger);
        }
        // A sync, the claim of the epoch, a sync; then all else.
        let trace = store.medium().trace();
        assert!(matches!(
            trace,
            [Event::Synced(_), Event::Write(claim), Event::Synced(1), Event::Write(_)]
                if claim.octets.len() == 64
        ));
        medium = store.into_medium().killed();
    }
}

#[test]
pub(super) fn a_format_that_is_cut_can_be_done_again() {
    let geometry = tiny();
    let blank = SimMedium::new(capacity(&geometry)).with_unit(64);
    let mut medium = blank.clone().with_trace();
    format(&mut medium, &geometry, [9; 16], false).unwrap();
    let mut synced = medium.clone();
    while synced.sync_state() != SyncState::Done {}
    assert_eq!(synced.undurable(), 0, "format ends with a sync");
    for prefix in 0..=medium.undurable() {
        let image = medium.cut(Cut::Prefix(prefix), &mut || 0);
        let mut cut = SimMedium::from_image(image);
        match content(&mut cut).unwrap() {
            Content::Blank => format(&mut cut, &geometry, [8; 16], false).unwrap(),
            Content::Store => {}
            Content::Foreign => panic!("prefix {prefix} looks foreign"),
        }
        let mut memory = Memory::new();
        mount(cut, memory.space(), &mut Ledger::default()).unwrap();
    }
}

#[test]
fn a_store_gets_on_behind_a_format_whose_sync_nobody_awaited() {
    for looks in 0..5 {
        let mut medium = SimMedium::new(capacity(&tiny())).with_slow_sync(looks);
        format(&mut medium, &tiny(), [7; 16], false).unwrap();
        let mut memory = Memory::new();
        let mut ledger = Ledger::default();
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        for _ in 0..20 {
            store.step(&mut ledger);
        }
        assert!(store.is_quiet(), "{looks} looks");
    }
}

#[test]
pub(super) fn a_torn_claim_takes_no_epoch_back() {
    let mut memory = Memory::new();
    let mut medium = formatted(&tiny());
    for _ in 0..6 {
        // Nothing but its claim says that this mount was there.
        let mut ledger = Ledger::default();
        let (mut store, claimed) = mount(medium, memory.space(), &mut ledger).unwrap();
        while store.step(&mut ledger) {}
        let durable = SimMedium::from_image(store.into_medium().image().to_vec());
        let slow = durable.clone().with_unit(128).with_slow_sync(3);
        let (mut store, _) = mount(slow, memory.space(), &mut ledger).unwrap();
        while store.medium().undurable() == 0 {
            store.step(&mut ledger);
        }
        for seed in 0..64 {
            let mut random = Random(seed + 1);
            let mut noise = || random.next();
            let cut = match seed {
                0 => Cut::Prefix(0),
                1..32 => Cut::Prefix(2 * seed as usize),
                _ => Cut::Any,
            };
            let image = store.medium().cut(cut, &mut noise);
            let mut other = Memory::new();
            let (_, mounted) =
                mount(Borrowed::new(&image), other.space(), &mut Ledger::default()).unwrap();
            assert!(mounted.epoch > claimed.epoch, "{mounted:?}");
        }
        medium = durable;
    }
}

#[test]
pub(super) fn a_copy_that_was_looked_at_after_a_kill_outlives_the_next_cut() {
    // Its last page was not closed when the program was killed, but its entry was written.
    let (geometry, unit) = layouts()[2];
    let mut memory = Memory::new();
    let mut ledger = Ledger::default();
    let (mut store, _) = mount(formatted(&geometry), memory.space(), &mut ledger).unwrap();
    while store.step(&mut ledger) {}
    let content = content_of(1, 60);
    let writer = store.begin(&[]).unwrap();
    store.append(writer, &content, &mut ledger).unwrap();
    let stored = store.finish(writer, &mut ledger).unwrap();
    let kept = Kept {
        place: stored.place.0,
        length: 60,
        crc: stored.crc,
        seed: 1,
    };
    let row = Row {
        value: 1,
        copy: Some(kept),
    };
    let written = store.journal.page;
    store.log(&encode(0, row)).unwrap();
    while store.journal.page == written {
        store.log(&encode(1, Row::default())).unwrap();
    }
    let killed = store.into_medium().killed();

    let (mut store, mounted) = mount(killed, memory.space(), &mut ledger).unwrap();
    assert!(mounted.unsettled > 0 && ledger.loose[0]);
    assert_eq!(read_copy(&mut store, ledger.rows[0]), Ok(()));
    store.settle();
    while store.step(&mut ledger) {}
    store.log(&encode(1, Row::default())).unwrap();
    let ticket = store.commit();
    while store.step(&mut ledger) {}
    assert_eq!(store.committed(ticket), Ok(true));

    let writer = store.begin(&[]).unwrap();
    store.append(writer, &content, &mut ledger).unwrap();
    store.finish(writer, &mut ledger).unwrap();
    let medium = store.into_medium().with_unit(unit);
    let mut random = Random(5);
    for _ in 0..50 {
        let image = medium.cut(Cut::Any, &mut || random.next());
        let mut found = Ledger::default();
        let (mut store, _) = mount(Borrowed::new(&image), memory.space(), &mut found).unwrap();
        assert_eq!((found.rows[0], found.loose[0]), (row, false));
        assert_eq!(read_copy(&mut store, row), Ok(()));
    }
}

#[test]
pub(super) fn nothing_joins_a_segment_whose_summary_is_written() {
    // The summary is taken, the header of the next segment is refused: meanwhile a commit has an
    // item to write, and the open page has room for it.
    let mut memory = Memory::new();
    let geometry = layouts()[2].0;
    let mut between = 0;
    for nth in 3..60 {
        for step in 1..8 {
            let mut ledger = Ledger::default();
            let medium = formatted(&geometry).with_busy(nth);
            let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
            for number in 0..30 {
                let slot = number as usize % SLOTS;
                let length = number as usize * 37 * step % 400;
                let content = content_of(number, length);
                let writer = store.begin(&[1; 200]).unwrap();
                let mut done = 0;
                let stored = loop {
                    let taken = store.append(writer, &content[done..], &mut ledger);
                    done += taken.unwrap_or(0);
                    let end = if done < length {
                        Err(AppendError::Busy)
                    } else {
                        store.finish(writer, &mut ledger)
                    };
                    match end {
                        Ok(stored) => break stored,
                        Err(error) => assert_eq!(error, AppendError::Busy),
                    }
                    let room = geometry.page - store.ring.head % geometry.page;
                    let rides = store.ring.finished && (128..geometry.page).contains(&room);
                    between += u32::from(store.ring.closed && rides);
                    // Each commit is durable, whatever the medium refuses.
                    log(&mut store, &mut ledger, 7, |row| row.value += 1);
                    commit_and_look(&mut store, &mut ledger);
                };
                log(&mut store, &mut ledger, slot, |row| {
                    row.copy = Some(Kept {
                        place: stored.place.0,
                        length: length as u32,
                        crc: stored.crc,
                        seed: number,
                    });
                });
                if number % 3 == 2 {
                    commit_and_look(&mut store, &mut ledger);
                }
            }
        }
    }
    assert!(between > 10, "{between}");
}

fn log(
    store: &mut super::Store<'_, SimMedium>,
    ledger: &mut Ledger,
    slot: usize,
    change: impl FnOnce(&mut Row),
) {
    let mut row = ledger.rows[slot];
    change(&mut row);
    while let Err(error) = store.log(&encode(slot, row)) {
        assert_eq!(error, StoreError::Busy);
        store.step(ledger);
    }
    ledger.rows[slot] = row;
}

/// Commits, and mounts what is durable then.
fn commit_and_look(store: &mut super::Store<'_, SimMedium>, ledger: &mut Ledger) {
    let ticket = store.commit();
    for _ in 0..10_000 {
        store.step(ledger);
        if store.committed(ticket) == Ok(true) {
            break;
        }
    }
    assert_eq!(store.committed(ticket), Ok(true));
    let durable = store.medium().cut(Cut::Prefix(0), &mut || 0);
    let mut memory = Memory::new();
    let mut found = Ledger::default();
    mount(Borrowed::new(&durable), memory.space(), &mut found).unwrap();
    assert_eq!(found.rows, ledger.rows);
}
