//! The operator's console: a line editor on any terminal, and the commands behind it.
//!
//! ```text
//! Opening -> Login -> Editing -> Answering -> Editing ..
//!              ^ |  ^    |           \-- q, ^C: the rest is not asked for
//!        Refused-+  |    +-> Confirming (show config secrets) -> Answering
//!                 Asking (no user yet; setup)
//! ```
//!
//! The console knows the words and the terminal; what they do and say is its owner's: an answer is
//! asked for line by line ([`Answers::line`]) as the terminal has room for it, so that nothing
//! long is ever kept. A serial terminal at 9600 bit/s that knows printing characters, CR, LF, BS
//! and BEL is enough.

mod answering;
pub mod command;
mod editor;
mod help;
mod key;
mod login;
mod screen;
mod setup;

use core::fmt::Write;

use hal::Instant;
use heapless::String;

use self::answering::answering;
use self::command::{Command, CommandError, Show};
use self::editor::{Edit, Editor};
use self::help::Completion;
use self::key::{Decoder, Key};
use self::screen::Screen;
use self::setup::Setup;
use crate::config::words::{at_end, secret_start};
use crate::config::{Config, LINE_OCTETS, Secrets};
use crate::link::Link;

/// A step needs this much room, so that whatever it prints fits.
const STEP_OCTETS: usize = screen::MOST + 64;

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person at a terminal: prompt, echo, line editing, pages.
    Terminal,
    /// A program that sends one line and reads the answer: none of these. The console password is
    /// not asked for: who may open that stream is for the system to say. Secrets are not shown.
    OneCommand,
}

/// What a console asks its owner.
pub trait Answers {
    /// Writes line `n`, from 0, of the answer to `command` into `out`, which is empty, without a
    /// line end.
    ///
    /// Line 0 of a command that does something does it. [`Line::Wait`] asks again for the same
    /// line at the next step; so may a page that ends, for any line but the first. After
    /// [`Line::End`], or where the operator wants no more, nothing is asked. The console answers
    /// `help` and `exit` itself, and what is no command.
    fn line(&mut self, command: &Command, n: u32, out: &mut String<LINE_OCTETS>) -> Line;

    /// The configuration, for its names and for the console password.
    fn config(&self) -> &Config;

    /// Whether a restart would change nothing in it.
    fn is_saved(&self) -> bool {
        true
    }
}

/// What an answer goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The line that was written; there may be more.
    Text,
    /// Nothing yet: ask again.
    Wait,
    /// Nothing more.
    End,
}

/// What the owner must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operator has left, or the one command is answered. Send what is queued and close the
    /// stream; where it cannot be closed (a serial port), go on stepping: the console is locked
    /// again.
    Exit,
}

/// The engine.
#[derive(Debug)]
pub struct Console {
    kind: Kind,
    keys: Decoder,
    editor: Editor,
    screen: Screen,
    state: State,
    /// Wrong passwords since the last right one.
    failures: u8,
    /// The last command was `reboot`, and the answer that it would lose something.
    warned: bool,
}

#[derive(Debug)]
enum State {
    Opening,
    Login,
    /// `show config secrets` waits for the password.
    Confirming,
    /// After a wrong password: what is typed is thrown away.
    Refused {
        until: Instant,
        logged_in: bool,
    },
    Editing,
    /// The dialogue of the first start.
    Asking(Setup),
    Answering {
        task: Task,
        n: u32,
        /// Since the page began.
        rows: usize,
        /// `--More--` is shown.
        paused: bool,
    },
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is no heap to put a command on"
)]
enum Task {
    Command(Command),
    /// `?`: what may come next at the cursor.
    Choices,
}

/// How a step goes on.
enum Progress {
    On,
    Waits,
    Exit,
}

impl Console {
    /// A console that has not said anything yet.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            keys: Decoder::new(),
            editor: Editor::new(),
            screen: Screen::new(),
            state: State::Opening,
            failures: 0,
            warned: false,
        }
    }

    /// Takes what was typed and prints what there is room for. Step until it gives `None`, and
    /// again when octets came or went, at [`deadline`](Self::deadline), and when a [`Line::Wait`]
    /// may have ended.
    pub fn step(
        &mut self,
        now: Instant,
        link: &mut Link,
        answers: &mut impl Answers,
    ) -> Option<Event> {
        // Each turn takes an octet, prints a line, or changes to a state that does.
        while link.room() >= STEP_OCTETS {
            let progress = match self.state {
                State::Opening => self.open(link, answers.config()),
                State::Refused { until, logged_in } => {
                    self.refuse(now, until, logged_in, link, answers.config())
                }
                State::Answering { .. } => self.answer(link, answers),
                State::Asking(_) => self.ask(link, answers),
                State::Login | State::Confirming => match self.key(link) {
                    Some(key) => self.password_key(now, key, link, answers.config()),
                    None => Progress::Waits,
                },
                State::Editing => match self.key(link) {
                    Some(key) => self.editing_key(key, link, answers.config()),
                    None => Progress::Waits,
                },
            };
            match progress {
                Progress::On => {}
                Progress::Waits => return None,
                Progress::Exit => {
                    if self.kind == Kind::Terminal && self.is_logged_in() && !answers.is_saved() {
                        let text = "the configuration is not saved: it holds until a restart";
                        self.screen.line(link, text);
                    }
                    self.editor.forget();
                    self.state = State::Opening;
                    return Some(Event::Exit);
                }
            }
        }
        None
    }

    /// Prints a line, of a log for instance, without tearing what is being typed. Nothing is
    /// printed before login, nor for a program. Returns false if there is no room now.
    pub fn notice(&mut self, link: &mut Link, text: &str) -> bool {
        if self.kind == Kind::OneCommand || !self.is_logged_in() {
            return true;
        }
        if link.room() < STEP_OCTETS {
            return false;
        }
        self.screen.line(link, text);
        true
    }

    /// When to step though nothing came.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Opening => Some(Instant::ZERO),
            State::Refused { until, .. } => Some(until),
            State::Login
            | State::Confirming
            | State::Editing
            | State::Asking(_)
            | State::Answering { .. } => None,
        }
    }

    /// Whether whoever is there may give commands.
    #[must_use]
    pub fn is_logged_in(&self) -> bool {
        match self.state {
            State::Opening | State::Login => false,
            State::Refused { logged_in, .. } => logged_in,
            State::Confirming | State::Editing | State::Asking(_) | State::Answering { .. } => true,
        }
    }

    fn editing_key(&mut self, key: Key, link: &mut Link, config: &Config) -> Progress {
        let terminal = self.kind == Kind::Terminal;
        match key {
            Key::Enter => {
                if terminal {
                    self.screen.next_row(link);
                }
                return self.obey(link, config);
            }
            Key::EndOfInput if self.editor.line().is_empty() => {
                if terminal {
                    self.screen.next_row(link);
                }
                return Progress::Exit;
            }
            Key::Char(_) if !terminal => {
                if self.editor.key(key) == Edit::Refused {
                    let error = CommandError::TooLong { limit: LINE_OCTETS };
                    return self.complain(&error, link, config);
                }
            }
            _ if !terminal => {}
            Key::Interrupt => {
                self.editor.clear();
                self.screen.next_row(link);
            }
            Key::Reprint => self.screen.next_row(link),
            Key::Tab => match help::complete(config, self.editor.head()) {
                Completion::Insert(text) => {
                    if self.editor.insert(&text) == Edit::Refused {
                        link.put(BELL);
                    }
                }
                Completion::Show => return self.choices(link),
                Completion::None => {
                    link.put(BELL);
                }
            },
            Key::Char('?') if self.asks() => return self.choices(link),
            key => self.edit(key, link),
        }
        self.draw(link, config);
        Progress::On
    }

    /// The line is whole.
    fn obey(&mut self, link: &mut Link, config: &Config) -> Progress {
        let line = self.editor.take();
        let command = match command::parse(&line) {
            Ok(command) => command,
            Err(CommandError::Empty) if self.kind == Kind::Terminal => {
                self.draw(link, config);
                return Progress::On;
            }
            Err(error) => return self.complain(&error, link, config),
        };
        let secrets = Command::Show(Show::Config(Secrets::Shown));
        let next = match command {
            Command::Exit => return Progress::Exit,
            Command::Setup if self.kind == Kind::OneCommand => {
                return self.complain(&"only at a terminal, where it can ask", link, config);
            }
            Command::Setup => State::Asking(Setup::new()),
            command if command == secrets && config.console_password.is_some() => {
                if self.kind == Kind::OneCommand {
                    let text = "only at a terminal, where the console password can be asked for";
                    return self.complain(&text, link, config);
                }
                State::Confirming
            }
            command => answering(Task::Command(command)),
        };
        self.enter(next, link, config)
    }

    /// One line instead of an answer.
    fn complain(
        &mut self,
        text: &impl core::fmt::Display,
        link: &mut Link,
        config: &Config,
    ) -> Progress {
        let mut line = String::<LINE_OCTETS>::new();
        // What does not fit is cut; errors are short.
        let _ = write!(line, "{text}");
        self.screen.line(link, &line);
        if self.kind == Kind::OneCommand {
            return Progress::Exit;
        }
        self.draw(link, config);
        Progress::On
    }

    fn choices(&mut self, link: &mut Link) -> Progress {
        self.screen.next_row(link);
        self.state = answering(Task::Choices);
        Progress::On
    }

    fn enter(&mut self, state: State, link: &mut Link, config: &Config) -> Progress {
        self.state = state;
        self.draw(link, config);
        Progress::On
    }

    fn edit(&mut self, key: Key, link: &mut Link) {
        if self.editor.key(key) == Edit::Refused {
            link.put(BELL);
        }
    }

    fn key(&mut self, link: &mut Link) -> Option<Key> {
        next_key(&mut self.keys, link)
    }

    /// Shows the prompt, and the line as far as it may be seen.
    fn draw(&mut self, link: &mut Link, config: &Config) {
        if self.kind == Kind::OneCommand {
            return;
        }
        match self.state {
            State::Login | State::Confirming => {
                self.screen.show(link, "password: ", core::iter::empty(), 0);
            }
            State::Editing => {
                let name = match config.hostname.as_str() {
                    "" => "ringmail",
                    name => name,
                };
                let mut prompt = String::<40>::new();
                // A name has 32 octets at most.
                let _ = write!(prompt, "{name}> ");
                let line = self.editor.line();
                let secret = secret_start(line).unwrap_or(line.len());
                let signs = line.char_indices();
                let seen = signs.map(|(at, sign)| if at < secret { sign } else { '*' });
                let cursor = self.editor.head().chars().count();
                self.screen.show(link, &prompt, seen, cursor);
            }
            State::Asking(ref setup) => {
                let (prompt, secret) = (setup.prompt(), setup.is_secret());
                // It may be a command: see there.
                let line = if secret { "" } else { self.editor.line() };
                let start = secret_start(line).unwrap_or(line.len());
                let signs = line.char_indices();
                let seen = signs.map(|(at, sign)| if at < start { sign } else { '*' });
                let cursor = if secret {
                    0
                } else {
                    self.editor.head().chars().count()
                };
                self.screen.show(link, prompt, seen, cursor);
            }
            State::Opening | State::Refused { .. } | State::Answering { .. } => {}
        }
    }

    /// Whether `?` at the cursor is a question: not in quotes, comments and passwords.
    fn asks(&self) -> bool {
        let head = self.editor.head();
        at_end(head).is_some() && secret_start(head).is_none()
    }
}

const BELL: &[u8] = b"\x07";

fn next_key(keys: &mut Decoder, link: &mut Link) -> Option<Key> {
    while let Some(&octet) = link.peek().first() {
        link.consume(1);
        if let Some(key) = keys.push(octet) {
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests;
