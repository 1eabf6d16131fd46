//! Both clocks of the kernel, and the owner's time zone.

use core::time::Duration;
use std::fs;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use tz::TimeZone;

use crate::board::OpenError;
use crate::time::{Instant, Wall};

use super::words;

/// A wall clock that shows an earlier moment has not been set: a Pi without a network begins in
/// 1970, or where it was switched off. 2026-01-01, before this program was first built.
const FLOOR: u64 = 1_767_225_600;

/// When this program was built, where the build said so: no moment since was earlier.
const BUILT: Option<&str> = option_env!("SOURCE_DATE_EPOCH");

/// The clocks.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
    /// The board's wall clock is ours to set: it is trusted once that was done. `None`: the
    /// machine sets it.
    set: Option<bool>,
    /// A clock that is ours shows no earlier moment.
    floor: u64,
}

impl Clock {
    /// The clocks, in the machine's own time zone, or in UTC if it has none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            zone: TimeZone::local().unwrap_or_else(|_| TimeZone::utc()),
            set: None,
            floor: 0,
        }
    }

    /// The clocks of a board that has none that goes on without power, and nobody else to set it.
    /// It shows no moment before this program was built.
    #[must_use]
    pub fn ours() -> Self {
        let mut clock = Self {
            set: Some(false),
            ..Self::new()
        };
        clock.keep_above(floor());
        clock
    }

    /// If the wall clock is ours to set, lets it show no moment before `unix`: certificates are
    /// checked by it, trusted or not.
    pub fn keep_above(&mut self, unix: u64) {
        if self.set.is_none() {
            return;
        }
        self.floor = self.floor.max(unix);
        if self.wall().unix >= unix {
            return;
        }
        if let Err(error) = set_system(unix, 0) {
            log::warn!("the clock cannot be set: {error}");
        }
    }

    /// Sets the wall clock.
    ///
    /// # Errors
    /// The machine sets it itself, or does not let us; or the moment is earlier than one that we
    /// know has passed. In words for the owner.
    pub fn set(&mut self, unix: u64, micros: u32) -> Result<(), OpenError> {
        let Some(set) = &mut self.set else {
            return Err(words(format_args!(
                "clock: this board's clock is set by its own system"
            )));
        };
        if unix < self.floor {
            return Err(words(format_args!("clock: that moment has long passed")));
        }
        set_system(unix, micros).map_err(|error| words(format_args!("clock: {error}")))?;
        *set = true;
        Ok(())
    }

    /// Takes the zone `name`, such as `Europe/Berlin`; empty: the machine's own.
    ///
    /// # Errors
    /// There is no such zone; the old one stays.
    pub fn set_zone(&mut self, name: &str) -> Result<(), OpenError> {
        if name.is_empty() {
            self.zone = Self::new().zone;
            return Ok(());
        }
        // A name leads to a file of the zone database and nowhere else: /dev/zero has no end.
        let leads_out = name.starts_with(['/', ':', '.']) || name.contains("..");
        let known = match leads_out {
            true => None,
            false => TimeZone::from_posix_tz(name).ok(),
        };
        self.zone = known.ok_or_else(|| {
            words(format_args!(
                "no zone {name} here: expected one such as Europe/Berlin or UTC"
            ))
        })?;
        Ok(())
    }

    /// The monotonic clock; it goes on while the machine sleeps.
    #[must_use]
    pub fn now(&self) -> Instant {
        let since = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
        Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Wall {
        let since = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
        let unix = since.as_secs();
        let local = i64::try_from(unix).ok();
        let kind = local.and_then(|unix| self.zone.find_local_time_type(unix).ok());
        Wall {
            unix,
            offset: kind.map_or(0, tz::LocalTimeType::ut_offset),
            trusted: self.set.unwrap_or(unix >= FLOOR),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// A moment that has surely passed: that of the build, where the build said so; seconds since
/// 1970-01-01 00:00 UTC.
#[must_use]
pub fn floor() -> u64 {
    BUILT.and_then(|built| built.parse().ok()).unwrap_or(FLOOR)
}

fn set_system(unix: u64, micros: u32) -> nix::Result<()> {
    let moment = Duration::from_secs(unix) + Duration::from_micros(micros.into());
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(moment))
}

/// The machine's name; empty if it tells none.
#[must_use]
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(name: &str, unix: i64) -> i32 {
        let mut clock = Clock::new();
        clock.set_zone(name).unwrap();
        clock.zone.find_local_time_type(unix).unwrap().ut_offset()
    }

    #[test]
    fn zones_know_summer_and_winter() {
        // 2026-01-15 and 2026-07-15, 12:00 UTC.
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(offset(berlin, 1_768_478_400), 3_600);
        assert_eq!(offset(berlin, 1_784_116_800), 7_200);
        assert_eq!(offset("UTC0", 0), 0);
    }

    #[test]
    fn what_is_no_zone_is_refused_and_the_old_one_stays() {
        let mut clock = Clock::new();
        clock.set_zone("UTC-3").unwrap();
        for name in [
            "Middle/Earth",
            "/dev/zero",
            "/etc/localtime",
            ":/dev/zero",
            "../../../dev/zero",
            "Europe/../../../../dev/zero",
            "./x",
            "7",
        ] {
            assert!(clock.set_zone(name).is_err(), "{name}");
            assert_eq!(clock.wall().offset, 3 * 3600);
        }
    }

    #[test]
    fn the_clock_does_not_go_back() {
        let clock = Clock::new();
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
