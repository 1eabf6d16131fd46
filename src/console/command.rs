//! Commands at the console: what a line asks for.
//!
//! The words stand in [`grammar::TABLE`], with those of the configuration.

use core::fmt;

use heapless::String;

use crate::config::grammar::{self, Fault, Matched, Phrase, Place};
use crate::config::value::{self, Date};
use crate::config::words::{Words, secret_start};
use crate::config::{LINE_OCTETS, Name, Secret, Secrets};

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put a line on"
)]
pub enum Command {
    /// `show ..`.
    Show(Show),
    /// `poll USER`: visit the LAN server now.
    Poll(Name),
    /// `hangup LINE`: end the call there.
    HangUp(Name),
    /// `answer LINE`: answer without a ring.
    Answer(Name),
    /// `again USER [call N]`: offer once more what a call took.
    Again {
        /// Whose mail.
        user: Name,
        /// Which call, by the number `show calls` gives; `None`: the last one.
        call: Option<u32>,
    },
    /// `skip USER before DATE`: older mail counts as taken.
    Skip {
        /// Whose mail.
        user: Name,
        /// The first day whose mail stays.
        before: Date,
    },
    /// `clock set DATE TIME`, in the owner's time zone.
    SetClock {
        /// The day.
        date: Date,
        /// Seconds after midnight, 0..86400.
        second_of_day: u32,
    },
    /// `save`: keep the configuration over a restart.
    Save,
    /// `revert`: go back to the saved configuration.
    Revert,
    /// `setup`: the dialogue of the first start; the console leads it itself.
    Setup,
    /// `help [WORD]`; the console answers it itself.
    Help(Option<Word>),
    /// `reboot`.
    Reboot,
    /// `exit`; the console answers it itself.
    Exit,
    /// A command of the configuration, for [`Config::apply`](crate::config::Config::apply). Only
    /// its first word has been looked at.
    Configure(ConfigLine),
}

/// What to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Show {
    /// `show status`.
    Status,
    /// `show lines`.
    Lines,
    /// `show calls`.
    Calls,
    /// `show users`.
    Users,
    /// `show user USER`.
    User(Name),
    /// `show store`.
    Store,
    /// `show config`, or `show config secrets`: then the console has asked for its password, if
    /// there is one.
    Config(Secrets),
    /// `show log`.
    Log,
}

/// One word.
pub type Word = String<32>;

/// A line for the configuration, as it was typed. `Debug` hides what may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigLine(String<LINE_OCTETS>);

impl ConfigLine {
    /// The line, for [`Config::apply`](crate::config::Config::apply).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ConfigLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match secret_start(&self.0) {
            Some(start) => {
                let open = self.0.get(..start).unwrap_or_default();
                write!(f, "{:?}", format_args!("{open}{}", Secret::MASK))
            }
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Reads one line.
///
/// # Errors
/// [`CommandError`], whose `Display` is the one line for the owner.
pub fn parse(line: &str) -> Result<Command, CommandError> {
    let words = Words::split(line).map_err(Fault::from)?;
    let Some(first) = words.word(0) else {
        return Err(CommandError::Empty);
    };
    if grammar::place_of(first) == Some(Place::Configuration) {
        let too_long = CommandError::TooLong { limit: LINE_OCTETS };
        let line = String::try_from(line).map_err(|_| too_long)?;
        return Ok(Command::Configure(ConfigLine(line)));
    }
    Ok(read(&grammar::find(&words)?)?)
}

fn read(command: &Matched<'_>) -> Result<Command, Fault> {
    let name = |at| command.value(at, value::name);
    Ok(match command.row().phrase {
        Phrase::ShowStatus => Command::Show(Show::Status),
        Phrase::ShowLines => Command::Show(Show::Lines),
        Phrase::ShowCalls => Command::Show(Show::Calls),
        Phrase::ShowUsers => Command::Show(Show::Users),
        Phrase::ShowUser => Command::Show(Show::User(name(2)?)),
        Phrase::ShowStore => Command::Show(Show::Store),
        Phrase::ShowConfig => Command::Show(Show::Config(Secrets::Masked)),
        Phrase::ShowSecrets => Command::Show(Show::Config(Secrets::Shown)),
        Phrase::ShowLog => Command::Show(Show::Log),
        Phrase::Poll => Command::Poll(name(1)?),
        Phrase::HangUp => Command::HangUp(name(1)?),
        Phrase::Answer => Command::Answer(name(1)?),
        Phrase::Again => Command::Again {
            user: name(1)?,
            call: match command.optional(3) {
                Some(_) => Some(command.value(3, value::count)?),
                None => None,
            },
        },
        Phrase::Skip => Command::Skip {
            user: name(1)?,
            before: command.value(3, Date::parse)?,
        },
        Phrase::ClockSet => Command::SetClock {
            date: command.value(2, Date::parse)?,
            second_of_day: command.value(3, value::time_of_day)?,
        },
        Phrase::Save => Command::Save,
        Phrase::Revert => Command::Revert,
        Phrase::Setup => Command::Setup,
        Phrase::Help => Command::Help(match command.optional(1) {
            Some(_) => Some(command.value(1, known_word)?),
            None => None,
        }),
        Phrase::Reboot => Command::Reboot,
        Phrase::Exit => Command::Exit,
        // A row of the table that nobody gave a meaning here.
        _ => return Err(command.expected(0)),
    })
}

fn known_word(word: &str) -> Option<Word> {
    grammar::rows_of(word).next()?;
    String::try_from(word).ok()
}

/// Why a line asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// It is blank, or a comment.
    Empty,
    /// Its words are no good.
    Words(Fault),
    /// It has more octets, blanks and comment included, than the console keeps.
    TooLong {
        /// [`LINE_OCTETS`].
        limit: usize,
    },
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        Self::Words(fault)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("expected a command (help lists them)"),
            Self::Words(fault) => fault.fmt(f),
            Self::TooLong { limit } => write!(f, "expected a line of at most {limit} octets"),
        }
    }
}

impl core::error::Error for CommandError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn anna() -> Name {
        Name::try_from("anna").unwrap()
    }

    #[test]
    fn every_word_of_the_console_is_read() {
        let date = |year, month, day| Date { year, month, day };
        let good = [
            ("show status", Command::Show(Show::Status)),
            ("  show\tlines # now", Command::Show(Show::Lines)),
            ("show calls", Command::Show(Show::Calls)),
            ("show users", Command::Show(Show::Users)),
            ("show user anna", Command::Show(Show::User(anna()))),
            ("show store", Command::Show(Show::Store)),
            ("show config", Command::Show(Show::Config(Secrets::Masked))),
            (
                "show config secrets",
                Command::Show(Show::Config(Secrets::Shown)),
            ),
            ("show log", Command::Show(Show::Log)),
            ("poll anna", Command::Poll(anna())),
            ("hangup anna", Command::HangUp(anna())),
            ("answer anna", Command::Answer(anna())),
            (
                "again anna",
                Command::Again {
                    user: anna(),
                    call: None,
                },
            ),
            (
                "again anna call 7",
                Command::Again {
                    user: anna(),
                    call: Some(7),
                },
            ),
            (
                "skip anna before 2024-02-29",
                Command::Skip {
                    user: anna(),
                    before: date(2024, 2, 29),
                },
            ),
            (
                "clock set 2026-01-31 13:45",
                Command::SetClock {
                    date: date(2026, 1, 31),
                    second_of_day: 49_500,
                },
            ),
            (
                "clock set 2026-01-31 00:00:01",
                Command::SetClock {
                    date: date(2026, 1, 31),
                    second_of_day: 1,
                },
            ),
            ("save", Command::Save),
            ("revert", Command::Revert),
            ("setup", Command::Setup),
            ("help", Command::Help(None)),
            ("help user", Command::Help(Word::try_from("user").ok())),
            ("reboot", Command::Reboot),
            ("exit", Command::Exit),
        ];
        let mut tried = Vec::new();
        for (line, expected) in good {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
            let words = Words::split(line).unwrap();
            tried.push(grammar::find(&words).unwrap().row().phrase);
            for (cut, _) in line.char_indices() {
                if let Err(error) = parse(&line[..cut]) {
                    assert!(!error.to_string().is_empty());
                }
            }
        }
        for row in grammar::TABLE
            .iter()
            .filter(|row| row.place == Place::Console)
        {
            assert!(tried.contains(&row.phrase), "{}", row.pattern);
        }
    }

    #[test]
    fn what_is_no_good_says_what_was_expected() {
        for (line, expected) in [
            ("", "expected a command (help lists them)"),
            ("  # x", "expected a command (help lists them)"),
            (
                "shwo status",
                "expected a command (help lists them), got \"shwo\"",
            ),
            (
                "show",
                "show: expected status, lines, calls, users, user, store, config or log, got nothing",
            ),
            (
                "show all",
                "show: expected status, lines, calls, users, user, store, config or log, got \"all\"",
            ),
            (
                "show status now",
                "show status: expected nothing more, got \"now\"",
            ),
            (
                "show user",
                "show user: expected a user's name, got nothing",
            ),
            (
                "show user a+b",
                "show user: expected a user's name, got \"a+b\"",
            ),
            (
                "show config all",
                "show config: expected secrets or nothing more, got \"all\"",
            ),
            ("poll", "poll: expected a user's name, got nothing"),
            ("hangup", "hangup: expected a line's name, got nothing"),
            ("answer \"\"", "answer: expected a line's name, got \"\""),
            (
                "again anna 7",
                "again: expected call or nothing more, got \"7\"",
            ),
            ("again anna call", "call: expected a number, got nothing"),
            (
                "again anna call 4294967296",
                "call: expected a number, got \"4294967296\"",
            ),
            ("again anna call \"\"", "call: expected a number, got \"\""),
            ("skip anna", "skip: expected before, got nothing"),
            (
                "skip anna before yesterday",
                "before: expected a date such as 2026-01-31, got \"yesterday\"",
            ),
            (
                "skip anna before 2023-02-29",
                "before: expected a date such as 2026-01-31, got \"2023-02-29\"",
            ),
            ("clock", "clock: expected set, got nothing"),
            (
                "clock set 2026-01-31",
                "clock set: expected a time such as 13:45 or 13:45:10, got nothing",
            ),
            (
                "clock set 2026-01-31 24:00",
                "clock set: expected a time such as 13:45 or 13:45:10, got \"24:00\"",
            ),
            ("save all", "save: expected nothing more, got \"all\""),
            (
                "help me",
                "help: expected the first word of a command or nothing more, got \"me\"",
            ),
            ("exit \"", "expected a closing quote \""),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), expected, "{line}");
        }
    }

    #[test]
    fn lines_of_the_configuration_are_passed_on_and_hide_their_secrets() {
        for line in [
            "user anna tls off",
            "limit",
            "wifi x password hunter2",
            "console password \"hunter 2\"",
        ] {
            let Command::Configure(got) = parse(line).unwrap() else {
                panic!("{line}");
            };
            assert_eq!(got.as_str(), line);
            assert!(!std::format!("{got:?}").contains("hunter"));
        }
        let long = std::format!("limit idle 10m{}", " ".repeat(LINE_OCTETS));
        assert_eq!(
            parse(&long).unwrap_err(),
            CommandError::TooLong { limit: LINE_OCTETS }
        );
    }
}
