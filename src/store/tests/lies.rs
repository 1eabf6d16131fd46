//! Media that keep less than the contract: a sync that lies once, a unit lost beside a write.
//!
//! No store can keep what the medium threw away. What is promised still: mount says that it had to
//! rebuild the index, or gives
//! a ledger that was once logged, never one that nobody logged; copies are the right octets or
//! are seen to be damaged; no configuration is served that nobody saved; and the store works on.
//! A group that was lost behind a lying sync is told, once anything durable came after it.

use super::power_cut::{layouts, whole_script};
use super::sweep::{Effort, Piece, Replay, Sweep, tear};
use super::*;

/// What mount made of such an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Rebuilt from the ring, and said so.
    Rebuilt,
    /// Older than what was acknowledged, and said so.
    Told,
    /// Older than what was acknowledged, but nothing on the medium shows it.
    Untold,
    Kept,
}

/// Mounts `image` and holds it to the weaker promise. `sure` is the last state acknowledged before
/// the medium misbehaved, if it keeps that: then nothing older goes untold.
fn judge(
    sweep: &mut Sweep,
    image: &[u8],
    outcome: &Outcome,
    truth: &Mark,
    sure: usize,
) -> Option<Verdict> {
    if !sweep.is_new(image, truth, 1) {
        return None;
    }
    let mut ledger = Ledger::default();
    let memory = &mut sweep.memory;
    let medium = SimMedium::from_image(image.to_vec());
    let (mut store, mounted) = match mount(medium, memory.space(), &mut ledger) {
        Ok(found) => found,
        // Never as blank or foreign: that would invite a format.
        Err(error) => panic!("{error} at {truth:?}"),
    };
    if mounted.rebuilt.is_some() {
        for row in ledger.rows {
            // Panics if wrong octets are served as right.
            let _ = read_copy(&mut store, row);
        }
        works_on(sweep, image, &ledger);
        return Some(Verdict::Rebuilt);
    }
    let history = &outcome.ledger.history[..=truth.logged.min(outcome.ledger.history.len() - 1)];
    let was = |(state, _): &(State, usize)| *state == ledger.rows;
    let at = history.iter().rposition(was);
    let at = at.unwrap_or_else(|| panic!("nobody logged {:?} at {truth:?}", ledger.rows));
    for row in ledger.rows {
        // Panics if wrong octets are served as right.
        let _ = read_copy(&mut store, row);
    }
    let loaded = config_of(&mut store);
    let saved = (0..=truth.config.1).any(|number| is_config(outcome, number, &loaded));
    assert!(saved || loaded.is_none(), "nobody saved {loaded:?}");
    let verdict = if at >= truth.acked {
        Verdict::Kept
    } else if mounted.journal_damaged {
        Verdict::Told
    } else {
        assert!(at >= sure, "lost what was durable, untold: {truth:?}");
        Verdict::Untold
    };
    if sweep.random.below(16) == 0 {
        works_on(sweep, image, &ledger);
    }
    Some(verdict)
}

/// Logs one more entry, and finds it again.
fn works_on(sweep: &mut Sweep, image: &[u8], found: &Ledger) {
    let mut ledger = Ledger::default();
    let medium = SimMedium::from_image(image.to_vec());
    let (mut store, _) = mount(medium, sweep.memory.space(), &mut ledger).unwrap();
    assert_eq!(ledger.rows, found.rows, "the second mount is as the first");
    let mut row = ledger.rows[3];
    row.value ^= 0xABCD;
    for _ in 0..10_000 {
        if store.log(&encode(3, row)) != Err(StoreError::Busy) {
            break;
        }
        store.step(&mut ledger);
    }
    ledger.rows[3] = row;
    let ticket = store.commit();
    for _ in 0..10_000 {
        store.step(&mut ledger);
        if store.committed(ticket) == Ok(true) {
            break;
        }
    }
    assert_eq!(store.committed(ticket), Ok(true));
    let image = store.into_medium().image().to_vec();
    let mut again = Ledger::default();
    mount(Borrowed::new(&image), sweep.memory.space(), &mut again).unwrap();
    assert_eq!(again.rows, ledger.rows);
}

#[test]
fn a_sync_that_lies_once_costs_no_more_than_its_own() {
    lying_sync(Effort::ordinary(), 20_000);
}

pub(super) fn lying_sync(effort: Effort, least: u64) {
    let mut sweep = Sweep::new(effort);
    let mut verdicts = Vec::new();
    for (geometry, unit) in [layouts()[0], layouts()[2]] {
        let start = formatted(&geometry);
        let outcome = sweep.session(&start, Ledger::default(), &whole_script());
        let mut honest = Replay::new(&start, &outcome, unit);
        while honest.next().is_some() {
            let mut replay = honest.clone().with_lie(honest.syncs);
            // To the lie, and on to the sync that mends it.
            while replay.syncs == honest.syncs && replay.step() {}
            let sure = truth(&outcome.marks, replay.at.saturating_sub(1)).acked;
            while replay.is_deceived() {
                let truth = truth(&outcome.marks, replay.at);
                sweep.tears(&replay, true, |sweep, image| {
                    verdicts.extend(judge(sweep, image, &outcome, &truth, sure));
                });
                if !replay.step() {
                    break;
                }
            }
            let syncs = honest.syncs;
            while honest.syncs == syncs && honest.step() {}
        }
    }
    say(&verdicts);
    assert!(verdicts.contains(&Verdict::Told));
    sweep.report("a sync that lies once", least);
}

#[test]
fn a_unit_lost_beside_a_write_is_never_taken_for_something_else() {
    lost_neighbour(Effort::ordinary(), 20_000);
}

pub(super) fn lost_neighbour(effort: Effort, least: u64) {
    let mut sweep = Sweep::new(effort);
    let mut verdicts = Vec::new();
    let (tiny, large) = (layouts()[0].0, layouts()[4].0);
    for (geometry, unit) in [(tiny, 128), (large, 512), (large, 4096), (large, 16384)] {
        // The two superblocks are never in one unit.
        let geometry = Geometry {
            superblock: geometry.superblock.max(2 * unit as u32),
            ..geometry
        };
        let start = formatted(&geometry);
        let outcome = sweep.session(&start, Ledger::default(), &whole_script());
        let mut replay = Replay::new(&start, &outcome, unit);
        while replay.step() {
            let truth = truth(&outcome.marks, replay.at);
            let units = replay.units();
            let mut image = replay.image.clone();
            let count = effort.random * usize::from(!units.is_empty());
            for _ in 0..count {
                let pieces: Vec<_> = units.iter().map(|_| sweep.piece()).collect();
                tear(&mut image, &units, &pieces);
                // A neighbour of one of them goes, on either side; or it itself.
                let beside = units[sweep.random.below(units.len())].start;
                for beside in [beside.wrapping_sub(unit), beside, beside + unit] {
                    let Some(lost) = image.get_mut(beside..) else {
                        continue;
                    };
                    let lost = lost.len().min(unit);
                    let kept = image[beside..beside + lost].to_vec();
                    match sweep.piece() {
                        Piece::Zeros | Piece::Old | Piece::Between(_) => {
                            image[beside..beside + lost].fill(0);
                        }
                        Piece::Ones | Piece::Half => image[beside..beside + lost].fill(0xFF),
                        Piece::New | Piece::Mixed(_) => {
                            for octet in &mut image[beside..beside + lost] {
                                *octet = sweep.random.next() as u8;
                            }
                        }
                    }
                    verdicts.extend(judge(&mut sweep, &image, &outcome, &truth, 0));
                    image[beside..beside + lost].copy_from_slice(&kept);
                }
            }
        }
    }
    say(&verdicts);
    assert!(verdicts.contains(&Verdict::Told) && verdicts.contains(&Verdict::Rebuilt));
    sweep.report("a unit lost beside a write", least);
}

fn say(verdicts: &[Verdict]) {
    let count = |wanted| {
        verdicts
            .iter()
            .filter(|&&verdict| verdict == wanted)
            .count()
    };
    std::println!(
        "rebuilt {} told {} untold {} kept {}",
        count(Verdict::Rebuilt),
        count(Verdict::Told),
        count(Verdict::Untold),
        count(Verdict::Kept)
    );
}
