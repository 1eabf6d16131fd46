//! When to visit the LAN server for one user (patent P0031).
//!
//! A visit begins
//! - at an interval after the end of the last one (`poll every`), up to a tenth earlier, so that
//!   users of one server drift apart;
//! - at times of day on the owner's clock (`poll at`);
//! - when somebody asks: a caller at the login, the operator at the console.
//!
//! ```text
//!         begun             Done, Failed
//!   Idle ------> Visiting ---------------> Idle, or backing off: 1 min, 2, 4 .. 1 h
//!    | asap         |  Refused
//!    +--> Wanted    +----------> Stopped, until the operator asks or the words change
//! ```
//!
//! **Times of day** are minutes of a local date. A visit covers all that have passed when it
//! begins; one that no visit has covered is due, however late, since the clock may have been put
//! forward, a visit may have been long, or the server down. At start it is due if it passed
//! within the last hour. So the hour that the end of summer time repeats brings nothing twice,
//! and what stands in the hour that its beginning leaves out comes at the end of that hour. A
//! clock put back by less than a day waits until it is where it was; by more, it was wrong, and
//! what it had brought does not count. While the clock cannot be trusted, `poll at` is hourly.
//!
//! All of it lives in memory: after a restart an interval is due at once. New words of the
//! configuration make a new schedule, and that ends a stop and a back-off too.

use core::fmt;

use hal::{Duration, Instant, Wall};
use heapless::Vec;

use crate::config::{Poll, TIMES_OF_DAY};

/// One user's visits.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `poll every`, jitter taken off.
    every: Option<Duration>,
    /// `poll at`: minutes after midnight.
    at: Vec<u16, TIMES_OF_DAY>,
    /// What is taken off each interval, in thousandths.
    jitter: u32,
    state: State,
    /// Failures since the last visit that went well.
    trouble: Option<Trouble>,
    begun: Option<Instant>,
    ended: Option<Instant>,
    /// What the server wants between two logins.
    apart: Duration,
    /// Local time, in seconds, up to which times of day are covered.
    covered: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next visit is a matter of time.
    Idle,
    /// Somebody asked.
    Wanted,
    /// A visit is under way.
    Visiting,
    /// Login or password were refused.
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trouble {
    setback: Setback,
    failures: u32,
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// It will be tried again.
    Failed(Setback),
    /// Login or password were refused. To try again could lock the account: nothing is done until
    /// the operator asks, or the configuration changes.
    Refused,
}

/// Why a visit failed and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// Somebody else has the maildrop open.
    InUse,
    /// The server wants more time between two logins.
    LoginDelay,
    /// The server has a fault, or what it said was not to be believed.
    Temporary,
    /// The server could not be reached, or the connection broke.
    Network,
    /// There is no connection with it that the owner's words take for safe.
    Unsafe,
}

/// Who asks for a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A caller, at the login.
    Caller,
    /// The operator: `poll NAME`.
    Operator,
}

/// How things stand, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is wrong.
    Regular,
    /// A visit is under way.
    Visiting,
    /// Visits failed.
    BackingOff {
        /// Why the latest did.
        setback: Setback,
        /// How many in a row.
        failures: u32,
        /// Not before this moment.
        until: Instant,
    },
    /// Login or password were refused.
    Stopped,
}

impl Schedule {
    /// No visit was made yet. `seed`, any number that differs from user to user, decides how much
    /// is taken off the intervals.
    #[must_use]
    pub fn new(poll: &Poll, seed: u64) -> Self {
        let jitter = u32::try_from(seed % u64::from(JITTER_MOST + 1)).unwrap_or(0);
        Self {
            every: poll
                .every
                .map(|every| shortened(every.max(EVERY_LEAST), jitter)),
            at: poll.at.clone(),
            jitter,
            state: State::Idle,
            trouble: None,
            begun: None,
            ended: None,
            apart: Duration::ZERO,
            covered: None,
        }
    }

    /// The server said `LOGIN-DELAY`: no visit begins sooner than `delay` after the last one, but
    /// for the operator. More than an hour is not believed.
    pub fn keep_apart(&mut self, delay: Duration) {
        self.apart = delay.min(BACK_OFF_MOST);
    }

    /// Asks for a visit now. Returns whether one is under way, or due at once.
    ///
    /// A caller gets none while polling is stopped, or the server wants to be left alone.
    pub fn asap(&mut self, now: Instant, by: By) -> bool {
        if self.state == State::Visiting {
            return true;
        }
        if by == By::Caller && (self.state == State::Stopped || now < self.left_alone_until()) {
            return false;
        }
        self.state = State::Wanted;
        true
    }

    /// A visit begins.
    pub fn begun(&mut self, now: Instant, wall: Wall) {
        self.state = State::Visiting;
        self.begun = Some(now);
        if !wall.trusted {
            return;
        }
        let local = local(wall);
        self.covered = Some(match self.covered {
            Some(covered) if covered - local < DAY => covered.max(local),
            _ => local,
        });
    }

    /// The visit has ended.
    pub fn ended(&mut self, now: Instant, outcome: Outcome) {
        self.ended = Some(now);
        self.state = State::Idle;
        self.trouble = match outcome {
            Outcome::Done => None,
            Outcome::Failed(setback) => {
                let failures = self.trouble.map_or(0, |trouble| trouble.failures);
                let failures = failures.saturating_add(1);
                Some(Trouble { setback, failures })
            }
            Outcome::Refused => {
                self.state = State::Stopped;
                None
            }
        };
    }

    /// When to visit next: now, if that is not after `now`; never by itself, if `None`.
    ///
    /// It is to be asked again at the moment it gives, and whenever the loop turns: clocks are
    /// set, and summer time ends. The moment of a far time of day is therefore an earlier one,
    /// half an hour off at most.
    pub fn next(&mut self, now: Instant, wall: Wall) -> Option<Instant> {
        match self.state {
            State::Visiting | State::Stopped => return None,
            State::Wanted => return Some(now),
            State::Idle => {}
        }
        let at = self.next_time_of_day(now, wall);
        let every = self.every.map(|every| self.after_the_last(now, every));
        let regular = match (every, at) {
            (Some(every), Some(at)) => every.min(at),
            (every, at) => every.or(at)?,
        };
        let next = self.retry_at().unwrap_or(regular);
        Some(next.max(self.left_alone_until()))
    }

    /// When a visit may begin that must follow the last one: not before the server wants a login, nor
    /// before a failure was waited out.
    #[must_use]
    pub fn follow_at(&self) -> Instant {
        let retry = self.retry_at().unwrap_or(Instant::ZERO);
        retry.max(self.left_alone_until())
    }

    /// How things stand.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match (self.state, self.trouble, self.retry_at()) {
            (State::Visiting, ..) => Standing::Visiting,
            (State::Stopped, ..) => Standing::Stopped,
            (_, Some(Trouble { setback, failures }), Some(retry)) => Standing::BackingOff {
                setback,
                failures,
                until: retry.max(self.left_alone_until()),
            },
            _ => Standing::Regular,
        }
    }

    /// `interval` after the end of the last visit; at once if there was none.
    fn after_the_last(&self, now: Instant, interval: Duration) -> Instant {
        self.ended.map_or(now, |ended| ended + interval)
    }

    fn next_time_of_day(&mut self, now: Instant, wall: Wall) -> Option<Instant> {
        if self.at.is_empty() {
            return None;
        }
        if !wall.trusted {
            return Some(self.after_the_last(now, shortened(HOUR, self.jitter)));
        }
        let local = local(wall);
        let covered = match self.covered {
            Some(covered) if covered - local < DAY => covered,
            Some(_) => local,
            None => local - self.looked_back(now),
        };
        self.covered = Some(covered);
        let midnight = covered - covered.rem_euclid(DAY);
        let passing = self.at.iter().map(|&minute| {
            let today = midnight + 60 * i64::from(minute);
            if today > covered { today } else { today + DAY }
        });
        // Negative, if it has passed: then it is due now.
        let seconds = u64::try_from(passing.min()? - local).unwrap_or(0);
        let look_again = LOOK_AGAIN - wall.unix % LOOK_AGAIN;
        Some(now + Duration::from_secs(seconds.min(look_again)))
    }

    /// How far back a time of day may lie when the clock is read first, in seconds: an hour, or
    /// to the last visit.
    fn looked_back(&self, now: Instant) -> i64 {
        let last = self.begun.map_or(HOUR, |begun| now.since(begun));
        i64::try_from(last.min(HOUR).as_secs()).unwrap_or(0)
    }

    fn retry_at(&self) -> Option<Instant> {
        let Trouble { failures, .. } = self.trouble?;
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let pause = BACK_OFF_LEAST.saturating_mul(doubled).min(BACK_OFF_MOST);
        Some(self.ended? + shortened(pause, self.jitter))
    }

    /// Until when the server wants no login.
    fn left_alone_until(&self) -> Instant {
        let delay = self.ended.map(|ended| ended + self.apart);
        let refused = match self.trouble {
            Some(Trouble {
                setback: Setback::LoginDelay,
                ..
            }) => self.retry_at(),
            _ => None,
        };
        delay.max(refused).unwrap_or(Instant::ZERO)
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "mailbox in use by another",
            Self::LoginDelay => "the server wants more time between logins",
            Self::Temporary => "the server has a fault",
            Self::Network => "the server cannot be reached",
            Self::Unsafe => "no connection that is safe",
        })
    }
}

/// Seconds since 1970-01-01 00:00 on the owner's clock.
fn local(wall: Wall) -> i64 {
    // A clock beyond all calendars is no clock.
    let unix = i64::try_from(wall.unix.min(1 << 40)).unwrap_or(0);
    unix + i64::from(wall.offset)
}

fn shortened(interval: Duration, thousandths: u32) -> Duration {
    interval.saturating_sub(interval / 1000 * thousandths)
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: i64 = 86_400;
/// A tenth, in thousandths.
const JITTER_MOST: u32 = 100;
/// A LAN server is not to be visited without a pause, whatever the configuration says.
const EVERY_LEAST: Duration = Duration::from_secs(10);
/// The first pause after a failure; doubled after each other one.
const BACK_OFF_LEAST: Duration = Duration::from_secs(60);
/// The longest pause after a failure.
const BACK_OFF_MOST: Duration = HOUR;
/// Summer time begins and ends at whole or half hours of UTC, in all time zones there are.
const LOOK_AGAIN: u64 = 1800;

#[cfg(test)]
mod tests;
