//! The first-start dialogue: from no user to a test call, by five questions.
//!
//! ```text
//! Name -> Password -> Desk -> Server -> Login -> LanPassword -> Visit -> Dial -> Save
//!   \- Enter, ^C: to the prompt   \- Enter: no account -----------------^
//! ```
//!
//! It begins by itself at a terminal of a gateway that has no user, and by `setup`. Each answer
//! becomes a command of the configuration as soon as it is whole, so that a fault is said at its
//! question. A line that begins like a command at the first question is obeyed as one: whoever
//! knows what to do need not leave the dialogue first.

use core::fmt::{self, Write};

use heapless::String;

use super::command::{self, Command, CommandError};
use super::key::Key;
use super::{Answers, BELL, Console, Kind, Line, Progress, State, next_key};
use crate::config::grammar::{self, explanation};
use crate::config::value;
use crate::config::words::Quoted;
use crate::config::{Config, Device, LINE_OCTETS, Name};
use crate::link::Link;

/// Where the dialogue is, and what was answered and is not in the configuration yet.
#[derive(Debug)]
pub(super) struct Setup {
    question: Question,
    /// Lines of its explanation that were printed.
    told: u8,
    user: Name,
    server: Answer,
    login: Answer,
}

/// An answer: a URL or a login at its limit fits.
type Answer = String<288>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Name,
    Password,
    Desk,
    Server,
    Login,
    LanPassword,
    /// None of these asks: the test visit is begun,
    Visit,
    /// how to dial in is told,
    Dial,
    /// and all is saved.
    Save,
}

impl Setup {
    pub(super) fn new() -> Self {
        Self {
            question: Question::Name,
            told: 0,
            user: Name::new(),
            server: Answer::new(),
            login: Answer::new(),
        }
    }

    fn go(&mut self, question: Question) {
        self.question = question;
        self.told = 0;
    }

    pub(super) fn prompt(&self) -> &'static str {
        match self.question {
            Question::Name => "name: ",
            Question::Password | Question::LanPassword => "password: ",
            Question::Desk => "read at the desk: ",
            Question::Server => "server: ",
            Question::Login => "login: ",
            Question::Visit | Question::Dial | Question::Save => "",
        }
    }

    /// Whether nobody may read along what is typed.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.question, Question::Password | Question::LanPassword)
    }

    /// Writes the next line of the explanation; false after the last.
    fn tell(&mut self, config: &Config, out: &mut String<LINE_OCTETS>) -> bool {
        let lines: &[&str] = match self.question {
            Question::Name => &[
                "Five questions, and somebody may dial in. ^C leaves them; setup asks again.",
                "1 of 5: the name with which the caller logs in. Enter alone: not now.",
            ],
            Question::Password => &["2 of 5: the caller's password. It is not shown."],
            Question::Desk => &[
                "3 of 5: what becomes of mail that was read at the desk? drop: not offered;",
                "notice: a short notice in its place; subject: offered, and marked there. (drop)",
            ],
            Question::Server => &[
                "4 of 5: the mail server, such as imap://192.168.1.10 or pop3://192.168.1.10.",
                "imap:// shows what was read at the desk; pop3:// only what was deleted there.",
                "Enter alone: none.",
            ],
            Question::Login => &["5 of 5: the account there: its login, and its password."],
            Question::LanPassword | Question::Visit | Question::Save => &[],
            Question::Dial => return self.tell_dial(config, out),
        };
        let Some(line) = lines.get(usize::from(self.told)) else {
            return false;
        };
        self.told += 1;
        // An explanation is shorter than a line may be.
        let _ = out.push_str(line);
        true
    }

    fn tell_dial(&mut self, config: &Config, out: &mut String<LINE_OCTETS>) -> bool {
        let user = &self.user;
        // Names are short: all of it fits.
        let _ = match (self.told, config.lines.first()) {
            (0, Some(line)) => match &line.device {
                Device::Phone(address) => write!(out, "A test call: nc -C {address}"),
                Device::Serial { .. } => {
                    write!(out, "A test call: dial the number of line {}", line.name)
                }
            },
            (0, None) => write!(out, "There is no line yet: line NAME device PATH"),
            (1, _) => write!(
                out,
                "and say USER {user}, PASS with the password, LIST, RETR 1, QUIT."
            ),
            (2, _) => write!(out, "What comes of all this: show status"),
            _ => return false,
        };
        self.told += 1;
        true
    }
}

impl Console {
    /// The state of whoever may give commands: at a terminal of a gateway without users, the
    /// dialogue.
    pub(super) fn first_state(&self, config: &Config) -> State {
        match self.kind == Kind::Terminal && config.users.is_empty() {
            true => State::Asking(Setup::new()),
            false => State::Editing,
        }
    }

    /// One step of the dialogue.
    pub(super) fn ask(&mut self, link: &mut Link, answers: &mut impl Answers) -> Progress {
        let State::Asking(setup) = &mut self.state else {
            return Progress::On;
        };
        let mut text = String::new();
        if setup.tell(answers.config(), &mut text) {
            self.screen.line(link, &text);
            return Progress::On;
        }
        let command = match setup.question {
            Question::Visit => Command::Poll(setup.user.clone()),
            Question::Dial => {
                setup.go(Question::Save);
                return Progress::On;
            }
            Question::Save => Command::Save,
            _ => {
                self.draw(link, answers.config());
                return match next_key(&mut self.keys, link) {
                    Some(key) => self.asking_key(key, link, answers),
                    None => Progress::Waits,
                };
            }
        };
        // A medium that is slow must not hold the terminal.
        if next_key(&mut self.keys, link) == Some(Key::Interrupt) {
            return self.leave_setup(link, answers.config());
        }
        match answers.line(&command, 0, &mut text) {
            Line::Wait => return Progress::Waits,
            Line::Text => self.screen.line(link, &text),
            Line::End => {}
        }
        if let State::Asking(setup) = &mut self.state
            && setup.question == Question::Visit
        {
            setup.go(Question::Dial);
            return Progress::On;
        }
        self.enter(State::Editing, link, answers.config())
    }

    fn asking_key(&mut self, key: Key, link: &mut Link, answers: &mut impl Answers) -> Progress {
        let State::Asking(setup) = &mut self.state else {
            return Progress::On;
        };
        let empty = self.editor.line().is_empty();
        match key {
            Key::Enter => {
                self.screen.next_row(link);
                return self.answered(link, answers);
            }
            Key::Interrupt => return self.leave_setup(link, answers.config()),
            Key::EndOfInput if empty => return self.leave_setup(link, answers.config()),
            Key::Char('?') if empty && !setup.is_secret() => {
                setup.told = 0;
                self.screen.next_row(link);
            }
            Key::Reprint => self.screen.next_row(link),
            // Neither old lines nor other words answer a question.
            Key::Up | Key::Down | Key::Tab => {
                link.put(BELL);
            }
            key => self.edit(key, link),
        }
        Progress::On
    }

    fn leave_setup(&mut self, link: &mut Link, config: &Config) -> Progress {
        self.editor.clear();
        self.screen.next_row(link);
        self.screen.line(link, "setup asks again");
        self.enter(State::Editing, link, config)
    }

    /// The line is whole.
    fn answered(&mut self, link: &mut Link, answers: &mut impl Answers) -> Progress {
        let State::Asking(setup) = &mut self.state else {
            return Progress::On;
        };
        let question = setup.question;
        if question == Question::Name {
            let first = self.editor.line().split_whitespace().next();
            let Some(first) = first else {
                return self.leave_setup(link, answers.config());
            };
            if grammar::place_of(first).is_some() {
                self.state = State::Editing;
                return self.obey(link, answers.config());
            }
        }
        let mut line = String::<LINE_OCTETS>::new();
        // They are of one size.
        let _ = line.push_str(self.editor.line());
        // The editor's history must not keep it: it may be a password.
        self.editor.clear();
        let text = match setup.is_secret() {
            true => line.as_str(),
            false => line.trim(),
        };
        let user = setup.user.clone();
        let next = match question {
            Question::Name => match value::name(text) {
                Some(name) => {
                    setup.user = name;
                    Some(Question::Password)
                }
                None => self.refuse_answer(link, explanation("NAME").unwrap_or_default()),
            },
            Question::Password => {
                let secret = Quoted(text);
                let known = answers.config().user(&user).is_some();
                let add = if known { "" } else { "add " };
                let command = format_args!("user {add}{user} password {secret}");
                self.apply(command, link, answers).then_some(Question::Desk)
            }
            Question::Desk => {
                let words = match text {
                    "" | "drop" => "drop",
                    "notice" => "notice",
                    "header" => "mark header",
                    "subject" => "mark subject",
                    "body" => "mark body",
                    _ => "",
                };
                match words {
                    "" => self.refuse_answer(link, "drop, notice, header, subject or body"),
                    words => {
                        let command = format_args!("user {user} read-at-desk {words}");
                        self.apply(command, link, answers)
                            .then_some(Question::Server)
                    }
                }
            }
            Question::Server if text.is_empty() => Some(Question::Dial),
            Question::Server => match Answer::try_from(text) {
                Ok(server) => {
                    setup.server = server;
                    Some(Question::Login)
                }
                Err(_) => self.refuse_answer(link, explanation("URL").unwrap_or_default()),
            },
            Question::Login => match Answer::try_from(text) {
                Ok(login) if !text.is_empty() => {
                    setup.login = login;
                    Some(Question::LanPassword)
                }
                _ => self.refuse_answer(link, explanation("LOGIN").unwrap_or_default()),
            },
            Question::LanPassword => {
                let (server, login) = (setup.server.clone(), setup.login.clone());
                let (server, login, secret) = (Quoted(&server), Quoted(&login), Quoted(text));
                let command =
                    format_args!("user {user} source {server} login {login} password {secret}");
                // It says which word is no good: all three are asked for again.
                Some(match self.apply(command, link, answers) {
                    true => Question::Visit,
                    false => Question::Server,
                })
            }
            Question::Visit | Question::Dial | Question::Save => None,
        };
        if let (State::Asking(setup), Some(next)) = (&mut self.state, next) {
            setup.go(next);
        }
        Progress::On
    }

    /// Says what was expected; the question stays.
    fn refuse_answer(&mut self, link: &mut Link, expected: &str) -> Option<Question> {
        let mut text = String::<LINE_OCTETS>::new();
        // Explanations are short.
        let _ = write!(text, "expected {expected}");
        self.screen.line(link, &text);
        None
    }

    /// Gives a command of the configuration; prints why it was not taken.
    fn apply(
        &mut self,
        command: fmt::Arguments<'_>,
        link: &mut Link,
        answers: &mut impl Answers,
    ) -> bool {
        let mut text = String::<LINE_OCTETS>::new();
        let too_long = CommandError::TooLong { limit: LINE_OCTETS };
        let written = text.write_fmt(command).map_err(|_| too_long);
        let read = written.and_then(|()| command::parse(&text));
        text.clear();
        let taken = match read {
            Ok(command) => answers.line(&command, 0, &mut text) != Line::Text,
            Err(error) => {
                // Errors are short.
                let _ = write!(text, "{error}");
                false
            }
        };
        if !taken {
            self.screen.line(link, &text);
        }
        taken
    }
}
