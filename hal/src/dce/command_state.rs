//! The modem in command state: lines in, result codes out.

use core::fmt::Write as _;

use heapless::String;

use super::command::{self, Command, Operation};
use super::profile::Profile;
use super::{ANSWER_OCTETS, Dce, Event, Number, State};
use crate::time::Instant;

/// What the modem answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "NO ANSWER is what the modem says"
)]
pub(super) enum Answer {
    Ok,
    Connect,
    Ring,
    NoCarrier,
    Error,
    Busy,
    NoAnswer,
}

impl Dce {
    /// An octet from the DTE in command state.
    pub(super) fn key(&mut self, now: Instant, octet: u8) {
        match self.state {
            State::Dialling | State::Training { .. } => {
                // A line end behind the command does not count.
                if octet != b'\n' {
                    self.hang_up(now);
                    self.answer(Answer::NoCarrier);
                }
                return;
            }
            _ => {}
        }
        if self.profile.echo {
            self.put(&[octet]);
        }
        let is_repeat = octet == b'/' && self.line.eq_ignore_ascii_case(b"A");
        if octet == self.profile.register(3) || is_repeat {
            let line = core::mem::take(&mut self.line);
            let line = if is_repeat { self.last.clone() } else { line };
            let overflow = core::mem::take(&mut self.overflow);
            if overflow {
                self.answer(Answer::Error);
            } else if let Some(body) = command::body(&line) {
                self.last.clone_from(&line);
                self.commands(now, body);
            }
        } else if octet == self.profile.register(5) {
            self.line.pop();
        } else if octet >= b' ' {
            self.overflow |= self.line.push(octet).is_err();
        }
    }

    fn commands(&mut self, now: Instant, mut body: &[u8]) {
        while let Some(command) = command::next(&mut body) {
            let Ok(command) = command else {
                return self.answer(Answer::Error);
            };
            match self.command(now, command) {
                Some(Answer::Ok) => {}
                Some(other) => return self.answer(other),
                // It has answered, or will.
                None => return,
            }
        }
        self.answer(Answer::Ok);
    }

    /// Carries out one command; `None` ends the line without an answer now.
    fn command(&mut self, now: Instant, command: Command<'_>) -> Option<Answer> {
        let on = |value: u16| value != 0;
        match command {
            Command::Letter(None, b'A', _) => {
                if matches!(self.state, State::Ringing { .. }) {
                    self.train(now, true);
                    return None;
                }
                return Some(Answer::NoCarrier);
            }
            Command::Letter(None, b'O', _) => {
                if matches!(self.state, State::OnlineCommand) {
                    self.answer(Answer::Connect);
                    self.data_state(now);
                    return None;
                }
                return Some(Answer::NoCarrier);
            }
            Command::Dial(number) => return self.dial(number),
            Command::Letter(None, b'H', _) => self.hang_up(now),
            Command::Letter(None, b'Z', _) => {
                self.hang_up(now);
                self.profile = Profile::factory();
                self.answer(Answer::Ok);
                return None;
            }
            Command::Letter(None, b'I', _) => self.text(format_args!("ringmail virtual modem")),
            Command::Letter(None, b'E', value) => self.profile.echo = on(value),
            Command::Letter(None, b'V', value) => self.profile.verbose = on(value),
            Command::Letter(None, b'Q', value) => self.profile.quiet = on(value),
            Command::Letter(None, b'X', value) => self.profile.extended = value,
            Command::Letter(None, b'B' | b'L' | b'M' | b'N' | b'P' | b'T' | b'W', _) => {}
            Command::Letter(Some(b'&'), b'F', _) => self.profile = Profile::factory(),
            Command::Letter(Some(b'&'), b'C', value) => self.profile.carrier = value,
            Command::Letter(Some(b'&'), b'D', value) => self.profile.dtr = value,
            Command::Letter(Some(b'&'), b'G' | b'H' | b'I' | b'K' | b'Q' | b'R' | b'S', _)
            | Command::Letter(Some(b'\\'), b'N' | b'Q', _)
            | Command::Letter(Some(b'%'), b'C', _) => {}
            Command::SetRegister(register, value) => {
                let slot = self.profile.registers.get_mut(usize::from(register));
                let (Some(slot), Ok(value)) = (slot, u8::try_from(value)) else {
                    return Some(Answer::Error);
                };
                *slot = value;
            }
            Command::ShowRegister(register) => {
                let value = self.profile.register(usize::from(register));
                self.text(format_args!("{value:03}"));
            }
            Command::Extended(name, operation) => {
                let known = [&b"VCID"[..], b"CID"];
                if !known.iter().any(|word| word.eq_ignore_ascii_case(name)) {
                    return Some(Answer::Error);
                }
                let set = u16::from(self.profile.caller_id);
                match operation {
                    Operation::Test => self.text(format_args!("(0-1)")),
                    Operation::Show => self.text(format_args!("{set}")),
                    Operation::Set(value @ 0..=1) => self.profile.caller_id = on(value),
                    Operation::Set(_) => return Some(Answer::Error),
                }
            }
            Command::Letter(..) => return Some(Answer::Error),
        }
        Some(Answer::Ok)
    }

    fn dial(&mut self, number: &[u8]) -> Option<Answer> {
        let number = core::str::from_utf8(number).unwrap_or_default();
        let Ok(number) = Number::try_from(number) else {
            return Some(Answer::Error);
        };
        let free = matches!(self.state, State::OnHook) && !self.closing;
        if !self.options.dial || !free {
            return Some(Answer::NoCarrier);
        }
        self.state = State::Dialling;
        self.tell(Event::Dial(number));
        None
    }

    pub(super) fn answer(&mut self, answer: Answer) {
        if self.profile.quiet {
            return;
        }
        if self.profile.verbose {
            let text = match answer {
                Answer::Ok => "OK",
                Answer::Ring => "RING",
                Answer::NoCarrier => "NO CARRIER",
                Answer::Error => "ERROR",
                Answer::Busy => "BUSY",
                Answer::NoAnswer => "NO ANSWER",
                Answer::Connect => {
                    let rate = self.options.connect.clone();
                    if self.profile.extended == 0 || rate.is_empty() {
                        return self.text(format_args!("CONNECT"));
                    }
                    return self.text(format_args!("CONNECT {rate}"));
                }
            };
            return self.text(format_args!("{text}"));
        }
        let code = match answer {
            Answer::Ok => 0,
            Answer::Connect => self.connect_code(),
            Answer::Ring => 2,
            Answer::NoCarrier => 3,
            Answer::Error => 4,
            Answer::Busy => 7,
            Answer::NoAnswer => 8,
        };
        let mut digits: String<8> = String::new();
        // Two digits fit.
        let _ = write!(digits, "{code}\r");
        self.put(digits.as_bytes());
    }

    fn connect_code(&self) -> u8 {
        if self.profile.extended == 0 {
            return 1;
        }
        match self.options.connect.split(['/', ' ']).next() {
            Some("1200") => 5,
            Some("2400") => 10,
            Some("4800") => 11,
            Some("9600") => 12,
            Some("14400") => 13,
            Some("19200") => 14,
            _ => 1,
        }
    }

    /// A line of its own.
    pub(super) fn text(&mut self, text: core::fmt::Arguments<'_>) {
        let mut line: String<128> = String::new();
        // The longest are NMBR and CONNECT with their 64 octets.
        let _ = write!(line, "\r\n{text}\r\n");
        self.put(line.as_bytes());
    }

    /// Octets for the DTE, whole or not at all: one that reads nothing loses what it is told.
    fn put(&mut self, octets: &[u8]) {
        if ANSWER_OCTETS - self.answers.len() < octets.len() {
            return;
        }
        for &octet in octets {
            let fits = self.answers.push_back(octet);
            debug_assert!(fits.is_ok(), "there was room");
        }
    }
}
