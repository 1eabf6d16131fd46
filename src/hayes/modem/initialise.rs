//! Telling the modem how to behave, one command at a time.
//!
//! ```text
//! pause -> sent -> pause -> form sent -> pause (the next command) .. ready
//! ```
//!
//! The form of answers is set after every command that may not be known. While a caller waits,
//! what is merely pleasant is left out.

use core::mem;

use hal::{Duration, Instant};

use super::{Modem, Numbers, PROBES, State, say};
use crate::config::ModemKind;
use crate::hayes::command::{self, Need, Script};
use crate::hayes::result::ResultCode;
use crate::hayes::{Event, Fault};
use crate::link::Link;

/// Before a command: some modems lose what follows an answer too closely.
const PAUSE: Duration = Duration::from_millis(50);
/// For the answer to a command of the initialisation.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the answer to `ATZ`: one that takes longer than we wait would be reset for ever.
const RESET_PATIENCE: Duration = Duration::from_secs(30);
/// After `ATZ` some modems say `OK` twice, or hear nothing.
const RESET_SETTLE: Duration = Duration::from_secs(1);

/// Where a command of the initialisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Before it.
    Pause { attempt: u8 },
    /// It was sent.
    Sent { attempt: u8 },
    /// Before the form of answers is set again, after a command that was `accepted` or not.
    FormPause { accepted: bool, attempt: u8 },
    /// That was sent.
    FormSent { accepted: bool, attempt: u8 },
}

impl Modem {
    /// Goes to the next command that is to be sent.
    pub(super) fn go_on(&mut self, now: Instant, mut script: Script) {
        let hurry = self.is_to_answer();
        if self.is_direct() {
            return self.ready(now);
        }
        while let Some(row) = script.current() {
            let skip = match row.need {
                _ if !row.need.suits(row.command, self.kind()) => true,
                // It was told, or is found out.
                Need::Should if row.command == command::IDENTIFY => {
                    self.options.modem != ModemKind::Auto
                }
                Need::Must | Need::Should => false,
                Need::May | Need::Gsm => hurry,
                Need::Number => hurry || self.may_skip_number(row.command),
                Need::Owner => hurry || self.options.init.is_empty(),
            };
            if !skip {
                return self.pause(now, script, Part::Pause { attempt: 1 });
            }
            script = script.next();
        }
        self.ready(now);
    }

    /// Whether this command of those for callers' numbers need not be sent. A modem that does not
    /// know one may take it for something else, and be busy with that for seconds: after a call
    /// only that is sent again which it took, since it may have lost its power meanwhile. Where
    /// numbers decide who is answered, all are tried again.
    fn may_skip_number(&self, command: &str) -> bool {
        match self.numbers {
            Numbers::Unknown => false,
            Numbers::Refused => self.options.allow.is_empty() && self.options.deny.is_empty(),
            Numbers::By(taken) => command != taken,
        }
    }

    /// Sends the command at `script`, or finds that it was not answered.
    pub(super) fn tell_modem(&mut self, now: Instant, link: &mut Link, script: Script, part: Part) {
        let Some(row) = script.current() else {
            return self.ready(now);
        };
        let (part, due) = match part {
            Part::Pause { attempt } => {
                if row.need == Need::Owner {
                    let init = &self.options.init;
                    let named = init
                        .get(..2)
                        .is_some_and(|head| head.eq_ignore_ascii_case("AT"));
                    if !named {
                        link.put(command::ATTENTION.as_bytes());
                    }
                    // A control character would be a command of its own.
                    for octet in init.bytes().filter(|octet| matches!(octet, b' '..=b'~')) {
                        link.put(&[octet]);
                    }
                }
                say(link, row.command);
                let patience = if row.command == command::RESET {
                    RESET_PATIENCE
                } else {
                    PATIENCE
                };
                (Part::Sent { attempt }, now + patience)
            }
            Part::FormPause { accepted, attempt } => {
                say(link, command::FORM);
                (Part::FormSent { accepted, attempt }, now + PATIENCE)
            }
            // Without these nothing works: find out whether the modem is still there.
            Part::Sent { .. } if row.need == Need::Must => {
                return self.unanswered(now, link, PROBES, 0);
            }
            Part::FormSent { .. } => return self.unanswered(now, link, PROBES, 0),
            // Perhaps the modem is dialling: what comes next ends that.
            Part::Sent { attempt } => return self.conclude(now, script, false, attempt),
        };
        self.enter(State::Initialising { script, part, due });
    }

    /// The modem answered a command of the initialisation, or said something else meanwhile.
    pub(super) fn answered(&mut self, now: Instant, script: Script, part: Part, code: ResultCode) {
        let accepted = match code {
            ResultCode::Ok => true,
            ResultCode::Error
            | ResultCode::NoCarrier
            | ResultCode::NoDialTone
            | ResultCode::Busy
            | ResultCode::NoAnswer => false,
            // It had been left to answer by itself.
            ResultCode::Connect(connect) if self.ringing.rings() => {
                return self.settle(now, connect);
            }
            // It dialled: see command.rs.
            ResultCode::Connect(_) => return self.end_call(now, false),
            ResultCode::Kind(kind) => {
                let asked = script.current().map(|row| row.command);
                if asked == Some(command::IDENTIFY) {
                    self.found = kind;
                }
                return;
            }
            _ => return,
        };
        match part {
            // Late, or doubled.
            Part::Pause { .. } | Part::FormPause { .. } => {}
            Part::Sent { attempt } => self.conclude(now, script, accepted, attempt),
            Part::FormSent {
                accepted: command,
                attempt,
            } => {
                if accepted || attempt > 1 {
                    self.go_on(now, script.after(command));
                } else {
                    let part = Part::FormPause {
                        accepted: command,
                        attempt: attempt + 1,
                    };
                    self.pause(now, script, part);
                }
            }
        }
    }

    /// The command at `script` was answered, or not within its time.
    fn conclude(&mut self, now: Instant, script: Script, accepted: bool, attempt: u8) {
        let Some(row) = script.current() else {
            return self.ready(now);
        };
        match row.need {
            Need::Must if !accepted && attempt == 1 => {
                return self.pause(now, script, Part::Pause { attempt: 2 });
            }
            Need::Must => {
                if !accepted {
                    self.warn(Fault::Crippled);
                }
                if row.command == command::RESET {
                    self.numbers = Numbers::Unknown;
                    self.escape = command::PLUS;
                    let part = Part::Pause { attempt: 1 };
                    return self.enter(State::Initialising {
                        script: script.after(accepted),
                        part,
                        due: now + RESET_SETTLE,
                    });
                }
                return self.go_on(now, script.after(accepted));
            }
            Need::Owner if !accepted => self.warn(Fault::InitRefused),
            Need::Should | Need::May | Need::Number | Need::Owner | Need::Gsm => {}
        }
        if row.need == Need::Number {
            let next = script.after(accepted).current();
            let last = next.is_none_or(|row| row.need != Need::Number);
            self.numbers = match self.numbers {
                _ if last && accepted => Numbers::By(row.command),
                Numbers::Unknown if last => Numbers::Refused,
                known => known,
            };
        }
        if row.command == command::SET_ESCAPE && accepted {
            self.escape = command::OWN_ESCAPE;
        }
        let part = Part::FormPause {
            accepted,
            attempt: 1,
        };
        self.pause(now, script, part);
    }

    fn pause(&mut self, now: Instant, script: Script, part: Part) {
        let due = now + PAUSE;
        self.enter(State::Initialising { script, part, due });
    }

    pub(super) fn ready(&mut self, now: Instant) {
        self.failures = 0;
        self.tell(Event::Ready);
        self.idle(now);
    }

    /// Tells of something refused, once for each opening of the device.
    fn warn(&mut self, fault: Fault) {
        if !mem::replace(&mut self.warned, true) {
            self.tell(Event::Fault(fault));
        }
    }
}
