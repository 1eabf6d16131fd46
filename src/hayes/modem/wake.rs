//! Getting an answer out of a modem in whatever state it is.
//!
//! ```text
//! AT, three times -> rescue with + -> AT, three times -> rescue with our own escape
//!    -> AT, three times -> reopen the device, later each time
//! ```

use hal::{Duration, Instant};

use super::{Escape, GUARD, HOOK_PATIENCE, Modem, PROBES, State, say};
use crate::hayes::command;
use crate::hayes::{Event, Fault};
use crate::link::Link;

/// For the answer to `AT`.
const PROBE: Duration = Duration::from_secs(1);
/// The longest distance between two attempts to reopen.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

impl Modem {
    /// Sends `AT`.
    pub(super) fn probe(&mut self, now: Instant, link: &mut Link, attempt: u8, rescues: u8) {
        say(link, command::ATTENTION);
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
            return self.out_of_order(now, Fault::Silent);
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
