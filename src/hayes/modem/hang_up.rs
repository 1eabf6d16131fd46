//! Hanging up, and making sure of it.
//!
//! ```text
//! start -> DTR off, 1.2 s -> circuit 109 off? --------------------------------> done, 0.5 s
//!   ^                          | on, or nobody can tell                          ^
//!   |                          v                                                 |
//!   |                        1.1 s, escape, 1.1 s, ATH0 -- OK, NO CARRIER, or off -+
//!   +-- 2 s, twice again ------+
//! ```

use hal::{Circuit, Duration, Instant};

use super::{Escape, GUARD, HOOK_PATIENCE, Modem, State, say};
use crate::hayes::command::{self, Script};
use crate::hayes::{Event, Fault};
use crate::link::Link;

/// DTR stays off as long to hang up.
const DTR_OFF: Duration = Duration::from_millis(1200);
/// After hanging up, for what the modem has to say late.
const LATE_ANSWERS: Duration = Duration::from_millis(500);
/// Times that hanging up is tried before the device is reopened.
const HANG_UPS: u8 = 3;

/// How far hanging up is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HangUp {
    /// Nothing done yet. `told`: the modem is known to be in command state.
    Start { told: bool },
    /// DTR is off.
    Dtr { told: bool },
    /// DTR is on again; the modem does not obey it, or nobody can tell.
    Escaping(Escape),
    /// Hung up; late answers are swallowed.
    Done,
}

impl Modem {
    pub(super) fn end_call(&mut self, now: Instant, told: bool) {
        self.enter(State::HangingUp {
            attempt: 1,
            part: HangUp::Start { told },
            due: now,
        });
    }

    /// Hangs up, step by step.
    pub(super) fn end(
        &mut self,
        now: Instant,
        link: &mut Link,
        dcd: Circuit,
        attempt: u8,
        part: HangUp,
    ) {
        let (part, patience) = match part {
            HangUp::Start { told } => {
                link.discard_output();
                if !told {
                    link.consume(link.peek().len());
                }
                self.skipping = false;
                self.tell(Event::DiscardOutput);
                self.tell(Event::Dtr(false));
                (HangUp::Dtr { told }, DTR_OFF)
            }
            HangUp::Dtr { told } => {
                self.tell(Event::Dtr(true));
                if dcd == Circuit::Off || self.is_direct() {
                    return self.hung_up(now);
                }
                if told {
                    say(link, command::HOOK);
                    (HangUp::Escaping(Escape::Hook), HOOK_PATIENCE)
                } else {
                    (HangUp::Escaping(Escape::Before), GUARD)
                }
            }
            HangUp::Escaping(Escape::Before) => {
                // Some modems say OK to S2 and keep to the plus sign.
                let octet = if attempt == 2 {
                    command::PLUS
                } else {
                    self.escape
                };
                link.put(&[octet; 3]);
                (HangUp::Escaping(Escape::After), GUARD)
            }
            HangUp::Escaping(Escape::After) => {
                say(link, command::HOOK);
                (HangUp::Escaping(Escape::Hook), HOOK_PATIENCE)
            }
            HangUp::Escaping(Escape::Hook) if attempt < HANG_UPS => {
                return self.enter(State::HangingUp {
                    attempt: attempt + 1,
                    part: HangUp::Start { told: false },
                    due: now,
                });
            }
            HangUp::Escaping(Escape::Hook) => {
                self.tell(Event::HungUp { verified: false });
                return self.out_of_order(now, Fault::StillOffHook);
            }
            HangUp::Done => return self.go_on(now, Script::between_calls()),
        };
        let due = now + patience;
        self.enter(State::HangingUp { attempt, part, due });
    }

    pub(super) fn hung_up(&mut self, now: Instant) {
        self.tell(Event::HungUp { verified: true });
        self.enter(State::HangingUp {
            attempt: 1,
            part: HangUp::Done,
            due: now + LATE_ANSWERS,
        });
    }
}
