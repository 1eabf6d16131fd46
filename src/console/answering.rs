//! Answers: line by line as there is room, page by page for people.

use heapless::String;

use super::command::Command;
use super::key::{Decoder, Key};
use super::{Answers, BELL, Console, Kind, Line, Progress, State, Task, help, next_key, screen};
use crate::config::Config;
use crate::link::Link;

/// Rows of an answer before `--More--`: a terminal has 24, one is for that, and one to read on.
pub(super) const PAGE: usize = 22;
/// ^C.
const INTERRUPT: u8 = 0x03;

/// The state at the start of an answer.
pub(super) fn answering(task: Task) -> State {
    State::Answering {
        task,
        n: 0,
        rows: 0,
        paused: false,
    }
}

impl Console {
    pub(super) fn answer(&mut self, link: &mut Link, answers: &mut impl Answers) -> Progress {
        if let Some(at) = link.peek().iter().position(|&octet| octet == INTERRUPT) {
            link.consume(at + 1);
            self.keys = Decoder::new();
            return self.finish(link, answers.config());
        }
        let State::Answering {
            task,
            n,
            rows,
            paused,
        } = &mut self.state
        else {
            return Progress::On;
        };
        if *paused {
            match next_key(&mut self.keys, link) {
                None => return Progress::Waits,
                Some(Key::Char(' ')) => *rows = 0,
                Some(Key::Enter) => *rows = PAGE - 1,
                Some(Key::Char('q' | 'Q') | Key::EndOfInput) => {
                    return self.finish(link, answers.config());
                }
                Some(_) => {
                    link.put(BELL);
                    return Progress::On;
                }
            }
            *paused = false;
            self.screen.erase(link);
            return Progress::On;
        }
        let mut text = String::new();
        if matches!(task, Task::Command(_)) {
            let reboots = matches!(task, Task::Command(Command::Reboot));
            let loses = reboots && self.kind == Kind::Terminal && !answers.is_saved();
            if loses && !self.warned {
                self.warned = true;
                let text = "the configuration is not saved: save it, or say reboot again";
                self.screen.line(link, text);
                return self.finish(link, answers.config());
            }
            // It is asked once, however often its answer is.
            self.warned &= reboots;
        }
        let line = match task {
            Task::Command(Command::Help(word)) => {
                help::help_line(answers.config(), word.as_deref(), *n, &mut text)
            }
            Task::Command(command) => answers.line(command, *n, &mut text),
            Task::Choices => {
                let n = usize::try_from(*n).unwrap_or(usize::MAX);
                help::choice_line(answers.config(), self.editor.head(), n, &mut text)
            }
        };
        match line {
            Line::Wait => return Progress::Waits,
            Line::End => return self.finish(link, answers.config()),
            Line::Text => {}
        }
        if self.kind == Kind::Terminal && *rows >= PAGE {
            *paused = true;
            self.screen.show(link, "--More--", core::iter::empty(), 0);
            return Progress::On;
        }
        self.screen.line(link, &text);
        *n = n.saturating_add(1);
        *rows += screen::height(&text);
        Progress::On
    }

    /// The answer has ended, or the operator has seen enough.
    pub(super) fn finish(&mut self, link: &mut Link, config: &Config) -> Progress {
        self.screen.erase(link);
        if self.kind == Kind::OneCommand {
            return Progress::Exit;
        }
        self.enter(State::Editing, link, config)
    }
}
