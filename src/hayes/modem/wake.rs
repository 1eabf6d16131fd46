//! Getting an answer out of a modem in whatever state it is.
//!
//! ```text
//! AT, three times -> rescue with + -> AT, three times -> rescue with our own escape
//!    -> AT, three times -> reopen the device, later each time
//! ```
//!
//! What a reopening does not cure the next time around: every other time the modem is looked for at
//! other speeds, and every other time what it hangs on is reset, which for a USB modem is as good
//! as unplugging it.

use hal::{Duration, Instant};

use super::{Escape, GUARD, HOOK_PATIENCE, Modem, PROBES, State, say};
use crate::hayes::command;
use crate::hayes::{Event, Fault};
use crate::link::Link;

/// For the answer to `AT`.
const PROBE: Duration = Duration::from_secs(1);
/// For the answer to `AT` at another speed.
const SEARCH: Duration = Duration::from_millis(500);
/// Times that `AT` is sent at each: the first may be needed to find the speed, or be lost in what
/// was garbled before.
const SEARCHES: u8 = 3;
/// Speeds of modems, in bit/s: those that are in use first.
const SPEEDS: &[u32] = &[115_200, 9600, 57_600, 38_400, 19_200, 2400, 1200, 300];
/// The longest distance between two attempts to reopen.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

impl Modem {
    /// Sends `AT`.
    pub(super) fn probe(&mut self, now: Instant, link: &mut Link, attempt: u8, rescues: u8) {
        // A modem may have been told to be quiet: that it answers at all is asked for once.
        let command = if attempt == 2 {
            command::FORM
        } else {
            command::ATTENTION
        };
        say(link, command);
        self.enter(State::Probing {
            attempt,
            rescues,
            due: now + PROBE,
        });
    }

    pub(super) fn unanswered(&mut self, now: Instant, link: &mut Link, attempt: u8, rescues: u8) {
        if attempt < PROBES {
            return self.probe(now, link, attempt + 1, rescues);
        }
        if rescues >= 2 {
            return self.silent(now, link);
        }
        link.put(command::END_TRANSMISSION);
        self.enter(State::Rescuing {
            escape: Escape::Before,
            rescues: rescues + 1,
            due: now + GUARD,
        });
    }

    /// From data state into command state. What the escape character is nobody knows for sure: a
    /// gateway that crashed in a call may have set its own.
    pub(super) fn rescue(&mut self, now: Instant, link: &mut Link, escape: Escape, rescues: u8) {
        let (escape, patience) = match escape {
            Escape::Before => {
                let own = rescues > 1;
                link.put(
                    &[if own {
                        command::OWN_ESCAPE
                    } else {
                        command::PLUS
                    }; 3],
                );
                (Escape::After, GUARD)
            }
            Escape::After => {
                say(link, command::HOOK);
                (Escape::Hook, HOOK_PATIENCE)
            }
            Escape::Hook => return self.probe(now, link, 1, rescues),
        };
        self.enter(State::Rescuing {
            escape,
            rescues,
            due: now + patience,
        });
    }

    /// The modem answers nothing at all.
    fn silent(&mut self, now: Instant, link: &mut Link) {
        match self.failures {
            // Most are cured by a reopening.
            0 => {}
            odd if odd % 2 == 1 && self.options.speed > 0 => {
                return self.search(now, link, 0, 1);
            }
            _ => self.tell(Event::Reset),
        }
        self.out_of_order(now, Fault::Silent);
    }

    /// Asks at the `place`-th of other speeds, for the `attempt`-th time.
    pub(super) fn search(&mut self, now: Instant, link: &mut Link, place: usize, attempt: u8) {
        let (mut place, mut attempt) = (place, attempt);
        if attempt > SEARCHES {
            (place, attempt) = (place + 1, 1);
        }
        while SPEEDS.get(place) == Some(&self.options.speed) {
            place += 1;
        }
        let Some(&speed) = SPEEDS.get(place) else {
            self.tell(Event::Speed(self.options.speed));
            return self.out_of_order(now, Fault::Silent);
        };
        if attempt == 1 {
            self.tell(Event::Speed(speed));
        }
        say(link, command::ATTENTION);
        self.enter(State::Searching {
            place,
            attempt,
            due: now + SEARCH,
        });
    }

    /// The modem answered at the `place`-th of other speeds.
    pub(super) fn found_at(&mut self, now: Instant, place: usize) {
        if let Some(&speed) = SPEEDS.get(place) {
            self.options.speed = speed;
            self.tell(Event::Fault(Fault::OtherSpeed(speed)));
        }
        self.go_on(now, command::Script::whole());
    }

    /// Nothing goes any more: reopen the device, later each time.
    pub(super) fn out_of_order(&mut self, now: Instant, fault: Fault) {
        if self.failures == 0 {
            self.tell(Event::Fault(fault));
        }
        self.ringing.forget();
        let back_off = Duration::from_secs(1 << self.failures.min(6));
        self.failures = self.failures.saturating_add(1);
        let due = now + back_off.min(LONGEST_BACK_OFF);
        self.enter(State::Closed { due });
    }
}
