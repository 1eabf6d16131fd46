//! The console password: at the start, and before secrets are shown.
//!
//! The wait after a wrong one doubles, and what is typed meanwhile is thrown away. Leaving the
//! console does not shorten it.

use hal::{Duration, Instant};

use super::answering::answering;
use super::command::{Command, Show};
use super::key::Key;
use super::{Console, Kind, Progress, State, Task};
use crate::config::{Config, Secrets};
use crate::link::Link;

/// Wait after the first wrong password; doubled after each further one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// How often it is doubled at most: 64 s.
const DOUBLINGS: u8 = 6;

impl Console {
    pub(super) fn open(&mut self, link: &mut Link, config: &Config) -> Progress {
        let asks = self.kind == Kind::Terminal && config.console_password.is_some();
        self.enter(
            if asks {
                State::Login
            } else {
                self.first_state(config)
            },
            link,
            config,
        )
    }

    pub(super) fn refuse(
        &mut self,
        now: Instant,
        until: Instant,
        logged_in: bool,
        link: &mut Link,
        config: &Config,
    ) -> Progress {
        link.consume(link.peek().len());
        if now < until {
            return Progress::Waits;
        }
        let next = if logged_in {
            State::Editing
        } else {
            State::Opening
        };
        self.enter(next, link, config)
    }

    pub(super) fn password_key(
        &mut self,
        now: Instant,
        key: Key,
        link: &mut Link,
        config: &Config,
    ) -> Progress {
        let logged_in = self.is_logged_in();
        match key {
            Key::Enter => {
                self.screen.next_row(link);
                let password = config.console_password.as_ref();
                let guess = self.editor.line().as_bytes();
                let right = password.is_none_or(|password| password.matches(guess));
                self.editor.clear();
                if !right {
                    self.screen.line(link, "wrong password");
                    let delay = FIRST_DELAY * (1 << self.failures.min(DOUBLINGS));
                    self.failures = self.failures.saturating_add(1);
                    let until = now + delay;
                    self.state = State::Refused { until, logged_in };
                    return Progress::On;
                }
                self.failures = 0;
                let next = match logged_in {
                    true => answering(Task::Command(Command::Show(Show::Config(Secrets::Shown)))),
                    false => self.first_state(config),
                };
                self.enter(next, link, config)
            }
            Key::Interrupt | Key::EndOfInput if logged_in => {
                self.editor.clear();
                self.screen.next_row(link);
                self.enter(State::Editing, link, config)
            }
            Key::EndOfInput => {
                self.screen.next_row(link);
                Progress::Exit
            }
            Key::Interrupt => {
                self.editor.clear();
                Progress::On
            }
            // No old lines here: they would be tried as passwords.
            Key::Up | Key::Down | Key::Tab | Key::Reprint => Progress::On,
            key => {
                self.edit(key, link);
                Progress::On
            }
        }
    }
}
