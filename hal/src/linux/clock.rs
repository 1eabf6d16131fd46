//! Both clocks of the kernel, and the owner's time zone.

use core::time::Duration;
use std::fs;

use nix::time::{ClockId, clock_gettime};
use tz::TimeZone;

use crate::board::OpenError;
use crate::time::{Instant, Wall};

use super::words;

/// A wall clock that shows an earlier moment has not been set: a Pi without a network begins in
/// 1970, or where it was switched off. 2026-01-01, before this program was first built.
const FLOOR: u64 = 1_767_225_600;

/// The clocks.
#[derive(Debug)]
pub struct Clock {
    zone: TimeZone,
}

impl Clock {
    /// The clocks, in the machine's own time zone, or in UTC if it has none.
    #[must_use]
    pub fn new() -> Self {
        Self {
            zone: TimeZone::local().unwrap_or_else(|_| TimeZone::utc()),
        }
    }

    /// Takes the zone `name`, such as `Europe/Berlin`; empty: the machine's own.
    ///
    /// # Errors
    /// There is no such zone; the old one stays.
    pub fn set_zone(&mut self, name: &str) -> Result<(), OpenError> {
        if name.is_empty() {
            *self = Self::new();
            return Ok(());
        }
        let known = TimeZone::from_posix_tz(name);
        self.zone = known.map_err(|_| {
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
            trusted: unix >= FLOOR,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The machine's name; empty if it tells none.
#[must_use]
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
