//! Simulated days: summer time, clocks that are set, servers that fail.

use super::*;

/// 2026-01-01 00:00 UTC.
const NEW_YEAR: u64 = 1_767_225_600;

/// A user's world: every second counts, nothing sleeps.
struct World {
    schedule: Schedule,
    /// Seconds since start.
    now: u64,
    /// Unix time at start.
    start: u64,
    /// From second `.0` on the clock is off by `.1` seconds.
    step: (u64, i64),
    /// The clock is trusted from this second on.
    trusted_from: u64,
    /// How long a visit takes.
    visit: u64,
    visits: std::vec::Vec<Visit>,
}

/// When a visit began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Visit {
    now: u64,
    local: i64,
}

impl World {
    fn new(schedule: Schedule, start: u64) -> Self {
        Self {
            schedule,
            now: 0,
            start,
            step: (0, 0),
            trusted_from: 0,
            visit: 5,
            visits: std::vec::Vec::new(),
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_micros(self.now * 1_000_000)
    }

    fn wall(&self) -> Wall {
        let off = if self.now >= self.step.0 {
            self.step.1
        } else {
            0
        };
        let unix = (self.start + self.now).checked_add_signed(off).unwrap();
        Wall {
            unix,
            offset: berlin(unix),
            trusted: self.now >= self.trusted_from,
        }
    }

    fn next(&mut self) -> Option<Instant> {
        self.schedule.next(self.instant(), self.wall())
    }

    /// Lives until second `end`; each visit ends with `outcome`.
    fn live(&mut self, end: u64, outcome: Outcome) {
        for turn in 0.. {
            assert!(turn < 1_000_000, "no end of turns");
            if self.now >= end {
                return;
            }
            let Some(next) = self.next() else {
                self.now = end;
                return;
            };
            let next = next.as_micros().div_ceil(1_000_000);
            if next > self.now {
                // The loop turns for a clock that is set.
                let set = [self.step.0, self.trusted_from].into_iter();
                let turn = set.filter(|&second| second > self.now).min().unwrap_or(end);
                self.now = next.min(turn).min(end);
                continue;
            }
            self.visits.push(Visit {
                now: self.now,
                local: local(self.wall()),
            });
            self.schedule.begun(self.instant(), self.wall());
            self.now += self.visit;
            self.schedule.ended(self.instant(), outcome);
        }
    }
}

/// Central European time in 2026.
fn berlin(unix: u64) -> i32 {
    // 29 March and 25 October, 01:00 UTC.
    let summer = NEW_YEAR + 87 * 86_400 + 3600..NEW_YEAR + 297 * 86_400 + 3600;
    if summer.contains(&unix) { 7200 } else { 3600 }
}

fn poll(every: Option<u64>, at: &[u16]) -> Poll {
    Poll {
        every: every.map(Duration::from_secs),
        at: Vec::from_slice(at).unwrap(),
        at_login: None,
    }
}

fn failed(setback: Setback) -> Outcome {
    Outcome::Failed(setback)
}

#[test]
fn an_interval_runs_from_the_end_of_a_visit_a_tenth_shorter_at_most() {
    for seed in 0..=250 {
        let mut world = World::new(Schedule::new(&poll(Some(1000), &[]), seed), NEW_YEAR);
        world.live(86_400, Outcome::Done);
        let interval = 1000 - seed % 101 + 5;
        let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
        let expected: std::vec::Vec<u64> = (0..86_400)
            .step_by(usize::try_from(interval).unwrap())
            .collect();
        assert_eq!(times, expected, "seed {seed}");
    }
    // Not without a pause, and not for ever.
    for every in [0, 1, u64::MAX] {
        let mut world = World::new(Schedule::new(&poll(Some(every), &[]), 100), NEW_YEAR);
        world.live(150, Outcome::Done);
        assert!(world.visits.len() <= 11, "{every}");
    }
}

#[test]
fn a_time_of_day_comes_once_on_each_day_also_where_summer_time_begins_and_ends() {
    // Five days around both Sundays, from the second before midnight on the owner's clock.
    for (first, offset) in [(85, 3600), (295, 7200)] {
        let start = NEW_YEAR + first * 86_400 - offset - 1;
        for minute in 0..1440_u16 {
            let mut world = World::new(Schedule::new(&poll(None, &[minute]), 7), start);
            let first_day = local(world.wall()) / DAY + 1;
            // Nothing before counts.
            world.schedule.begun(world.instant(), world.wall());
            world.schedule.ended(world.instant(), Outcome::Done);
            world.live(5 * 86_400 + 7200, Outcome::Done);
            let days = world
                .visits
                .iter()
                .map(|visit| visit.local / DAY - first_day);
            let last = (local(world.wall()) - 1 - 60 * i64::from(minute)) / DAY - first_day;
            assert_eq!(
                days.collect::<std::vec::Vec<_>>(),
                (0..=last).collect::<std::vec::Vec<_>>()
            );
            for visit in &world.visits {
                let late = visit.local.rem_euclid(DAY) - 60 * i64::from(minute);
                // What stands in the hour left out comes when that has passed.
                let left_out = first == 85 && visit.local / DAY == first_day + 2;
                let expected = match minute {
                    120..180 if left_out => 3600 - i64::from(minute - 120) * 60,
                    _ => 0,
                };
                assert_eq!(late, expected, "{first} {minute} {visit:?}");
            }
        }
    }
}

#[test]
fn a_visit_in_the_hour_that_comes_twice_does_not_bring_its_times_again() {
    for asked in 0..3600 {
        // 25 October, midnight UTC: 02:00 on the owner's clock, and again an hour later.
        let start = NEW_YEAR + 297 * 86_400;
        let mut world = World::new(Schedule::new(&poll(None, &[150]), 3), start);
        world.live(3600 + asked, Outcome::Done);
        assert!(world.schedule.asap(world.instant(), By::Operator));
        world.live(20 * 3600, Outcome::Done);
        let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
        assert_eq!(times, [1800, 3600 + asked]);
    }
}

#[test]
fn a_year_of_two_times_a_day_has_twice_as_many_visits_as_days() {
    let start = NEW_YEAR - 3600;
    let mut world = World::new(Schedule::new(&poll(None, &[12 * 60, 150]), 3), start);
    world.live(365 * 86_400, Outcome::Done);
    assert_eq!(world.visits.len(), 730);
}

#[test]
fn a_clock_that_is_set_brings_nothing_twice_and_loses_nothing() {
    let hours: std::vec::Vec<u16> = (0..24).map(|hour| hour * 60).collect();
    for delta in (-86_399..=2 * 86_400)
        .step_by(997)
        .chain([-86_399, -3600, -1, 1, 3600])
    {
        let mut world = World::new(Schedule::new(&poll(None, &hours), 3), NEW_YEAR);
        world.step = (40 * 3600 + 100, delta);
        world.live(5 * 86_400, Outcome::Done);
        let mut labels: std::vec::Vec<i64> = world
            .visits
            .iter()
            .map(|visit| visit.local / 3600)
            .collect();
        // At most one visit for all that a clock put forward has left out.
        let visits = labels.len();
        labels.dedup();
        assert_eq!(labels.len(), visits, "{delta}: twice");
        assert!(labels.is_sorted(), "{delta}");
        let last = *labels.last().unwrap();
        let left_out = labels
            .windows(2)
            .map(|pair| pair[1] - pair[0] - 1)
            .sum::<i64>();
        let forward = delta.max(0) / 3600;
        assert!(
            (forward - 1..=forward).contains(&left_out) || left_out == 0,
            "{delta}: {left_out}"
        );
        let end = local(world.wall());
        assert!(end - last * 3600 <= 3601, "{delta}: lost");
        if delta > 3600 {
            let stepped = world.step.0;
            assert!(
                world.visits.iter().any(|visit| visit.now == stepped),
                "{delta}: at once"
            );
        }
    }
}

#[test]
fn a_clock_that_was_days_ahead_begins_afresh() {
    for days in [2, 3, 300] {
        let mut world = World::new(Schedule::new(&poll(None, &[600]), 3), NEW_YEAR);
        world.step = (86_400, -days * DAY);
        world.live(3 * 86_400, Outcome::Done);
        let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
        assert_eq!(
            times,
            [32_400, 86_400 + 32_400, 2 * 86_400 + 32_400],
            "{days}"
        );
    }
}

#[test]
fn at_start_the_last_hour_counts_and_no_more() {
    for ago in 0..7200 {
        // 10:00 on the owner's clock is 09:00 UTC.
        let start = NEW_YEAR + 9 * 3600 + ago;
        let mut world = World::new(Schedule::new(&poll(None, &[600]), 3), start);
        world.live(3600, Outcome::Done);
        assert_eq!(world.visits.len(), usize::from(ago < 3600), "{ago}");
    }
}

#[test]
fn a_time_of_day_that_passes_in_a_visit_is_visited_after_it() {
    for length in [60, 600, 3 * 3600] {
        // A visit from 08:59:30 on; 09:00 and 09:01 pass in it, or wait together.
        let mut world = World::new(Schedule::new(&poll(None, &[540, 541]), 3), NEW_YEAR);
        world.now = 8 * 3600 - 30;
        assert!(world.schedule.asap(world.instant(), By::Operator));
        world.visit = length;
        world.live(world.now + 1, Outcome::Done);
        world.visit = 90;
        world.live(16 * 3600, Outcome::Done);
        let second = 8 * 3600 - 30 + length;
        let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
        let mut expected = std::vec![8 * 3600 - 30, second];
        if length == 60 {
            // 09:01 passed in the second.
            expected.push(second + 90);
        }
        assert_eq!(times, expected, "{length}");
    }
}

#[test]
fn without_a_trusted_clock_times_of_day_are_hourly() {
    let mut world = World::new(Schedule::new(&poll(None, &[600]), 0), NEW_YEAR);
    world.trusted_from = 9 * 3600 + 1800;
    world.live(86_400, Outcome::Done);
    // Every 3605 s: the tenth visit, at 32445, has covered 10:00, second 32400.
    let hourly: std::vec::Vec<u64> = (0..10).map(|n| n * 3605).collect();
    let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
    assert_eq!(times, hourly);
    // Trusted before a visit has covered it: at once.
    let mut world = World::new(Schedule::new(&poll(None, &[600]), 0), NEW_YEAR + 2700);
    world.trusted_from = 8 * 3600 + 2700 - 5;
    world.live(86_400, Outcome::Done);
    let late = world
        .visits
        .iter()
        .find(|visit| visit.now >= world.trusted_from)
        .unwrap();
    assert_eq!(
        (late.local - 3600 - NEW_YEAR as i64, world.visits.len()),
        (34_195, 10)
    );
}

#[test]
fn both_may_hold_together() {
    let mut world = World::new(Schedule::new(&poll(Some(7200), &[600]), 0), NEW_YEAR);
    world.live(86_400, Outcome::Done);
    let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
    let before = [0, 7205, 14_410, 21_615, 28_820];
    let after = (0..8).map(|n| 32_400 + n * 7205);
    assert_eq!(
        times,
        before
            .into_iter()
            .chain(after)
            .collect::<std::vec::Vec<_>>()
    );
}

#[test]
fn failures_back_off_up_to_an_hour_and_a_good_visit_forgets_them() {
    for setback in [
        Setback::InUse,
        Setback::LoginDelay,
        Setback::Temporary,
        Setback::Network,
    ] {
        assert!(!setback.to_string().is_empty());
        for seed in [0, 100] {
            let mut world = World::new(Schedule::new(&poll(Some(30), &[]), seed), NEW_YEAR);
            world.visit = 0;
            world.live(40_000, failed(setback));
            let minutes = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60];
            let mut expected = std::vec![0];
            for pause in minutes {
                let pause = pause * 60 * (1000 - seed) / 1000;
                expected.push(expected.last().unwrap() + pause);
            }
            let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
            expected.retain(|&time| time < 40_000);
            assert_eq!(times[..expected.len().min(times.len())], expected[..]);
            let Standing::BackingOff {
                setback: why,
                failures,
                until,
            } = world.schedule.standing()
            else {
                panic!("not backing off");
            };
            assert_eq!((why, failures as usize), (setback, times.len()));
            assert_eq!(world.next(), Some(until));

            world.live(48_000, Outcome::Done);
            assert_eq!(world.schedule.standing(), Standing::Regular);
            world.visits.clear();
            let from = world.now;
            world.live(from + 40, failed(setback));
            let Standing::BackingOff { failures, .. } = world.schedule.standing() else {
                panic!("not backing off");
            };
            assert!(failures <= 2);
        }
    }
}

#[test]
fn a_failed_time_of_day_is_tried_again_until_it_succeeds() {
    let mut world = World::new(Schedule::new(&poll(None, &[600]), 0), NEW_YEAR);
    world.live(32_400 + 500, failed(Setback::Network));
    let times: std::vec::Vec<u64> = world.visits.iter().map(|visit| visit.now).collect();
    assert_eq!(times, [32_400, 32_465, 32_590, 32_835]);
    world.live(86_400, Outcome::Done);
    assert_eq!(world.visits.len(), 5);
}

#[test]
fn failures_without_number_do_not_overflow() {
    let mut schedule = Schedule::new(&poll(Some(30), &[]), 0);
    for _ in 0..100 {
        schedule.begun(Instant::ZERO, Wall::default());
        schedule.ended(Instant::ZERO, failed(Setback::Network));
    }
    let next = schedule.next(Instant::ZERO, Wall::default());
    assert_eq!(next, Some(Instant::ZERO + HOUR));
    for unix in [0, 1, u64::MAX, i64::MAX as u64, 1 << 40] {
        for offset in [i32::MIN, 0, i32::MAX] {
            let mut schedule = Schedule::new(&poll(None, &[0, 1439, u16::MAX]), u64::MAX);
            let wall = Wall {
                unix,
                offset,
                trusted: true,
            };
            let _ = schedule.next(Instant::ZERO, wall);
            schedule.begun(Instant::ZERO, wall);
            schedule.ended(Instant::from_micros(u64::MAX), Outcome::Done);
            let _ = schedule.next(Instant::ZERO, wall);
        }
    }
}

#[test]
fn a_refused_login_stops_everything_until_the_operator_asks() {
    let mut world = World::new(Schedule::new(&poll(Some(900), &[600]), 0), NEW_YEAR);
    world.live(7 * 86_400, Outcome::Refused);
    assert_eq!(world.visits.len(), 1);
    assert_eq!(world.schedule.standing(), Standing::Stopped);
    // A caller's login must not try the password again.
    assert!(!world.schedule.asap(world.instant(), By::Caller));
    assert_eq!(world.next(), None);
    assert!(world.schedule.asap(world.instant(), By::Operator));
    let now = world.now;
    world.live(now + 1000, Outcome::Done);
    let times: std::vec::Vec<u64> = world
        .visits
        .iter()
        .map(|visit| visit.now - now.min(visit.now))
        .collect();
    assert_eq!(times, [0, 0, 905]);
}

#[test]
fn who_asks_is_served_at_once_and_once() {
    let mut world = World::new(Schedule::new(&poll(Some(900), &[]), 0), NEW_YEAR);
    world.live(100, failed(Setback::Network));
    // Back-off by network does not keep a caller from trying.
    world.now = 110;
    assert!(world.schedule.asap(world.instant(), By::Caller));
    assert_eq!(world.next(), Some(world.instant()));
    world.schedule.begun(world.instant(), world.wall());
    // A visit under way serves whoever asks meanwhile.
    assert_eq!(world.schedule.standing(), Standing::Visiting);
    assert_eq!(world.next(), None);
    assert!(world.schedule.asap(world.instant(), By::Caller));
    world.schedule.ended(world.instant(), Outcome::Done);
    assert_eq!(
        world.next(),
        Some(world.instant() + Duration::from_secs(900))
    );
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let mut schedule = Schedule::new(&poll(Some(30), &[]), 0);
    let second = |n: u64| Instant::from_micros(n * 1_000_000);
    schedule.begun(second(0), Wall::default());
    schedule.keep_apart(Duration::from_secs(300));
    schedule.ended(second(5), Outcome::Done);
    assert_eq!(schedule.next(second(5), Wall::default()), Some(second(305)));
    assert!(!schedule.asap(second(304), By::Caller));
    assert!(schedule.asap(second(305), By::Caller));
    // An hour is the most.
    schedule.keep_apart(Duration::from_secs(u64::MAX));
    schedule.ended(second(305), Outcome::Done);
    assert_eq!(
        schedule.next(second(305), Wall::default()),
        Some(second(305 + 3600))
    );
    assert!(schedule.asap(second(306), By::Operator));
    assert_eq!(
        schedule.next(second(306), Wall::default()),
        Some(second(306))
    );
    // It need not have said how long.
    let mut schedule = Schedule::new(&poll(Some(30), &[]), 0);
    schedule.begun(second(0), Wall::default());
    schedule.ended(second(0), failed(Setback::LoginDelay));
    assert!(!schedule.asap(second(59), By::Caller));
    assert!(schedule.asap(second(60), By::Caller));
}

#[test]
fn polling_that_is_off_only_answers() {
    let mut world = World::new(Schedule::new(&poll(None, &[]), 0), NEW_YEAR);
    assert_eq!(world.next(), None);
    assert!(world.schedule.asap(world.instant(), By::Caller));
    world.live(10_000, failed(Setback::Network));
    assert_eq!(world.visits.len(), 1);
    assert_eq!(world.next(), None);
}
