//! Monotonic time for every deadline, wall time for people and calendars.

use core::ops::{Add, Sub};

pub use core::time::Duration;

/// A moment of the monotonic clock, in microseconds since an unspecified start.
///
/// Microseconds, because the simulated line paces single octets (297 µs each at 33600 bit/s).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` µs after the start of the clock.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start of the clock.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

/// What the wall clock says.
///
/// A Raspberry Pi has no clock of its own: until something has set it, [`trusted`](Self::trusted)
/// is false and nothing may be decided by the date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub unix: u64,
    /// Seconds east of UTC, in the owner's time zone, at this moment.
    pub offset: i32,
    /// Whether the clock has been set since power came.
    pub trusted: bool,
}

impl Wall {
    /// Seconds since midnight, 0..86400, in the owner's time zone.
    #[must_use]
    pub fn second_of_day(self) -> u32 {
        let local = i64::try_from(self.unix).unwrap_or(0) + i64::from(self.offset);
        u32::try_from(local.rem_euclid(86_400)).unwrap_or(0)
    }

    /// Days since 1970-01-01 in UTC, saturating at 65535 (the year 2149).
    #[must_use]
    pub fn day(self) -> u16 {
        u16::try_from(self.unix / 86_400).unwrap_or(u16::MAX)
    }
}
