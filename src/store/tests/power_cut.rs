//! A cut at every octet and at every combination of units, once and twice.

use hal::sim::medium::Cut;

use super::Action::{Commit, Config, Drain, Drop, GiveUp, Kill, Set, Snapshot, Step, Store};
use super::*;

/// Everything a store does: log, copy, batch, evict, snapshot, wrap, save, mount.
fn whole_script() -> Vec<Action> {
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

/// Calls `judge` with the medium after each event of the trace, and the event that comes next.
fn at_each_event(
    start: &SimMedium,
    outcome: &Outcome,
    mut judge: impl FnMut(usize, &SimMedium, Option<&hal::sim::medium::Event>),
) {
    let mut medium = start.clone();
    let trace = outcome.medium.trace();
    for at in 0..=trace.len() {
        judge(at, &medium, trace.get(at));
        if let Some(event) = trace.get(at) {
            event.repeat(&mut medium);
        }
    }
}

#[test]
fn a_cut_at_every_octet_leaves_what_was_acknowledged() {
    let mut memory = Memory::new();
    let mut states = 0;
    for looks in [0, 2] {
        let start = formatted(&tiny());
        let medium = start.clone().with_trace().with_slow_sync(looks);
        let outcome = session(&mut memory, medium, Ledger::default(), &whole_script());
        at_each_event(&start, &outcome, |at, medium, next| {
            let mut beyond = medium.clone();
            let mut octets = 0;
            if let Some(event @ hal::sim::medium::Event::Write(write)) = next {
                event.repeat(&mut beyond);
                octets = write.octets.len();
            }
            let truth = truth(&outcome.marks, at);
            for prefix in 0..=octets {
                let cut = Cut::Prefix(medium.undurable() + prefix);
                let image = beyond.cut(cut, &mut || 0);
                check_image(&mut memory, &image, 128, &outcome.ledger.history, &truth);
                states += 1;
            }
        });
    }
    assert!(states > 20_000, "{states}");
}

#[test]
fn any_units_may_be_lost_or_spoilt() {
    let mut memory = Memory::new();
    let mut states = 0;
    for (looks, unit) in [(0, 128), (3, 128), (1, 64)] {
        let start = formatted(&tiny()).with_unit(unit);
        let medium = start.clone().with_trace().with_slow_sync(looks);
        let outcome = session(&mut memory, medium, Ledger::default(), &whole_script());
        let mut random = Random(77 + u64::from(looks));
        at_each_event(&start, &outcome, |at, medium, _| {
            let truth = truth(&outcome.marks, at);
            let touched = medium.touched().len();
            let masks: Vec<u64> = if touched <= 6 {
                (0..1 << touched).collect()
            } else {
                (0..64)
                    .map(|_| random.next() << 20 ^ random.next())
                    .collect()
            };
            let cuts = masks.into_iter().map(Cut::Units);
            let cuts = cuts.chain([Cut::Any; 24]);
            for cut in cuts {
                let image = medium.cut(cut, &mut || random.next());
                check_image(&mut memory, &image, unit, &outcome.ledger.history, &truth);
                states += 1;
            }
        });
    }
    assert!(states > 20_000, "{states}");
}

#[test]
fn a_second_cut_takes_nothing_that_the_first_left() {
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
        Commit,
        Step,
    ];
    let second = [Set(1, 2), Set(2, 3), Store(vec![(1, 250)]), Commit, Step];
    let mut memory = Memory::new();
    let mut random = Random(5);
    let mut states = 0;
    let start = formatted(&tiny());
    let outcome = session(
        &mut memory,
        start.clone().with_trace(),
        Ledger::default(),
        &first,
    );
    at_each_event(&start, &outcome, |at, medium, _| {
        let true_then = truth(&outcome.marks, at);
        let touched = medium.touched().len();
        for mask in 0..1u64 << touched.min(7) {
            let mask = if touched > 7 { random.next() } else { mask };
            let image = medium.cut(Cut::Units(mask), &mut || 0);
            let found = check_image(
                &mut memory,
                &image,
                128,
                &outcome.ledger.history,
                &true_then,
            );
            let middle = SimMedium::from_image(image).with_unit(128);
            let again = session(
                &mut memory,
                middle.clone().with_trace(),
                found.clone(),
                &second,
            );
            at_each_event(&middle, &again, |at, medium, _| {
                let mut true_now = truth(&again.marks, at);
                let touched = medium.touched().len();
                for mask in 0..1u64 << touched.min(4) {
                    let mask = if touched > 4 { random.next() } else { mask };
                    let image = medium.cut(Cut::Units(mask), &mut || 0);
                    true_now.trace = at;
                    check_loose(&mut memory, &image, &again, &true_now, &found);
                    states += 1;
                }
            });
        }
    });
    assert!(states > 20_000, "{states}");
}

#[test]
fn what_a_cut_left_beyond_a_hole_does_not_come_back() {
    // Two pages are logged and not acknowledged; the cut loses the first and keeps the second.
    // Then the first is logged again, octet for octet, and acknowledged.
    let page = |first: u32| (0..4).map(move |slot| Set(slot, first + slot as u32));
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
    let mut images = Vec::new();
    at_each_event(&base, &first, |_, medium, _| {
        if medium.touched().len() == 2 {
            images.push(medium.cut(Cut::Units(2), &mut || 0));
        }
    });
    let image = images.pop().expect("two pages before the sync");
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
    check_image(&mut memory, &end, 128, &outcome.ledger.history, &truth);
}

fn base_ledger() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.rows[9].value = 9;
    ledger
}

/// As [`check_image`], but what was loose before the session may be loose still, even if it is
/// settled now: this model never looks at it.
fn check_loose(
    memory: &mut Memory,
    image: &[u8],
    outcome: &Outcome,
    truth: &Mark,
    before: &Ledger,
) {
    let mut ledger = Ledger::default();
    let medium = SimMedium::from_image(image.to_vec());
    let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).unwrap();
    let history = &outcome.ledger.history;
    let allowed = &history[truth.acked..=truth.logged.min(history.len() - 1)];
    assert!(
        allowed.iter().any(|(state, _)| *state == ledger.rows),
        "phantom or loss at {truth:?}: {:?}, not in {allowed:?}",
        ledger.rows
    );
    assert!(!mounted.journal_damaged);
    for slot in 0..SLOTS {
        let row = ledger.rows[slot];
        let whole = read_copy(&mut store, row);
        let loose = ledger.loose[slot] || before.loose[slot] && before.rows[slot].copy == row.copy;
        assert!(whole.is_ok() || loose, "{whole:?}: slot {slot} {row:?}");
    }
}

#[test]
fn a_mount_is_followed_by_a_sync_before_anything_is_written() {
    let mut memory = Memory::new();
    let mut medium = formatted(&tiny());
    for _ in 0..3 {
        medium = medium.with_slow_sync(4);
        let mut ledger = Ledger::default();
        let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
        let mut writes = 0;
        let base = store.medium().counts();
        while store.medium().counts().writes == base.writes {
            match store.log(&encode(0, Row::default())) {
                Ok(()) => writes += 1,
                Err(error) => assert_eq!(error, StoreError::Busy),
            }
            assert!(writes < 100);
            store.step(&mut ledger);
        }
        assert_eq!(store.medium().counts().syncs, base.syncs + 1);
        medium = store.into_medium().killed();
    }
}

#[test]
fn a_format_that_is_cut_can_be_done_again() {
    let geometry = tiny();
    let blank = SimMedium::new(capacity(&geometry)).with_unit(64);
    let mut medium = blank.clone().with_trace();
    format(&mut medium, &geometry, [9; 16], false).unwrap();
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
