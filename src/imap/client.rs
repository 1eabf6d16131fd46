//! IMAP at the LAN's side: the client engine.
//!
//! It knows the protocol and nothing of mails. The owner asks ([`Client::request`]), several
//! requests ahead if it likes (RFC 3501 §5.5), and each request ends with exactly one event:
//!
//! | request | goes before | ends with |
//! | --- | --- | --- |
//! | the greeting, never asked for | - | `Greeting` |
//! | `CAPABILITY STARTTLS LOGIN NOOP LOGOUT` | `GoOn`, if words need it | `Ok` |
//! | `AUTHENTICATE` | `Challenge` | `Ok` |
//! | `STATUS EXAMINE` | the same | `Mailbox` |
//! | `FETCH` of a listing | `Entry` | `ListingEnd` |
//! | `UID FETCH` of a text | `Body` | `BodyEnd`, or `Missing`, or `Overtaken` |
//! | any | - | `Refused`, if the server said `NO` or `BAD` |
//!
//! ```text
//!            +----------------- whole -------------------+
//!            v                                           |
//!   Line: a response begins --{n}--> Literal --> Rest: the response goes on
//!            |  OK to LOGOUT, STARTTLS --> Ended
//!            +- no response, line too long, BYE, nothing comes --> Failed
//! ```
//!
//! **What is believed.** A listing ends with the tagged `OK` to it; a text, when all octets of
//! its literal came, and its response to the end. Tags may come later: a server may send the texts
//! of several requests first. Data may come at any time, asked or not: a mail that
//! comes or goes is counted ([`Client::changes`]), anything else that nobody asked for is passed
//! over, within bounds. Answers must come in the order of the requests.
//!
//! Deviation: RFC 3501 §5.5 lets a server answer in another order; none was seen to. Such a
//! connection is given up.
//!
//! **TLS.** After `STARTTLS` the owner begins TLS, with an empty link, and makes a new client:
//! nothing that was heard before is believed any more. What came together with the answer to
//! `STARTTLS` ends the connection (RFC 3501 §6.2.1).
//!
//! Passwords pass through [`Client::request`] straight into the link and are kept nowhere.

use hal::{Duration, Instant};
use heapless::Deque;

use super::fetch::{Fetch, Form, Next, Section};
use super::response::{self, Code, Condition, Data, Line, Status};
use crate::link::Link;
use crate::pop3::client::status::clean;

mod event;
mod request;

pub use super::response::ResponseCode;
pub use crate::pop3::client::Text;
pub use event::{Capabilities, Entry, Event, Failure, MailboxState};
pub use request::{COMMAND_OCTETS, Kind, Request, WORD_OCTETS};

/// Requests that may be outstanding: see [`WINDOW`](crate::pop3::client::WINDOW) of POP3.
pub const WINDOW: usize = 16;

/// Longest line, or part of one up to a literal, in octets without CR LF. RFC 7162 §4 speaks of
/// 8192 for commands; a link holds no more.
pub const LINE_OCTETS: usize = 8000;

/// How much of literals that nobody asked for is passed over in one response, in octets. The
/// names of mailboxes come so, and they are short.
const UNASKED_OCTETS: u64 = 64 * 1024;

/// Literals that nobody asked for in one response.
const UNASKED_LITERALS: u32 = 64;

/// How long a server may be silent before we give up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may be silent where it has to look through the whole mailbox, as at POP3.
pub const PATIENCE_MAILBOX: Duration = Duration::from_secs(600);

/// One connection to an IMAP server.
#[derive(Debug)]
pub struct Client {
    state: State,
    /// What was asked and has not ended yet, in order.
    waiting: Deque<Kind, WINDOW>,
    /// So many of the first of them have had their event: only their tags are still to come.
    told: usize,
    /// What has come of the first that had none.
    answer: Answer,
    /// The last of them is not sent whole: the server must ask for this literal of it.
    literal: Option<u8>,
    /// Number of the tag of the latest request.
    tag: u32,
    capabilities: Capabilities,
    mailbox: MailboxState,
    changes: u32,
    alert: Option<Text>,
    /// The server has said good-bye.
    bye: bool,
    /// When something was read last, or the wait began; `None` between a request and the next
    /// step.
    heard: Option<Instant>,
    /// The latest step.
    stepped: Instant,
}

/// What comes next on the connection.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The first line of a response.
    Line,
    /// Octets of a literal: the text that was asked for, or what is passed over.
    Literal {
        left: u64,
        text: bool,
        response: Response,
    },
    /// The next line of a response that was not whole.
    Rest(Response),
    /// Nothing: `LOGOUT` or `STARTTLS` was answered.
    Ended,
    /// Nothing that could be believed.
    Failed,
}

/// A response of more than one line.
#[derive(Clone, Copy, Debug)]
struct Response {
    content: Content,
    /// Literals in it, and their octets, that nobody asked for.
    literals: u32,
    octets: u64,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Fetch(Fetch),
    MailboxStatus,
    Other,
}

/// What has come of a request.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    /// Mails of a listing.
    count: u32,
    /// Octets of a text, once it has begun.
    octets: Option<u64>,
    /// The numbers of `STATUS`.
    status: Option<MailboxState>,
}

/// What one look at what has come led to.
enum Turn {
    /// This; more may be there.
    Found(Event),
    /// This, before the line is taken.
    Before(Event),
    /// Nothing to tell: look again.
    Again,
    /// Nothing whole is there.
    Wait,
}

impl Client {
    /// Waits for the greeting of a connection that is open as of `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let mut waiting = Deque::new();
        // An empty window has room for it.
        let _ = waiting.push_back(Kind::Greeting);
        Self {
            state: State::Line,
            waiting,
            told: 0,
            answer: Answer::default(),
            literal: None,
            tag: 0,
            capabilities: Capabilities::default(),
            mailbox: MailboxState::default(),
            changes: 0,
            alert: None,
            bye: false,
            heard: Some(now),
            stepped: now,
        }
    }

    /// Goes on after `STARTTLS` and its TLS: there is no second greeting.
    #[must_use]
    pub fn secured(now: Instant) -> Self {
        Self {
            waiting: Deque::new(),
            ..Self::new(now)
        }
    }

    /// Whether any request may be made now: there is room in the window and in the link, and
    /// neither `LOGOUT` nor `STARTTLS` nor `AUTHENTICATE` is under way.
    #[must_use]
    pub fn can_request(&self, link: &Link) -> bool {
        let usable = !matches!(self.state, State::Ended | State::Failed);
        usable
            && self.literal.is_none()
            && !matches!(
                self.waiting.back(),
                Some(Kind::Logout | Kind::Starttls | Kind::Authenticate(_))
            )
            && self.waiting.len() < WINDOW
            && link.room() >= COMMAND_OCTETS
    }

    /// Sends `request`, whole, or up to the first word that the server must ask for
    /// ([`Event::GoOn`]); returns whether it was sent.
    ///
    /// If [`can_request`](Self::can_request) and yet nothing was sent, the words in it can never
    /// be sent: they are longer than [`WORD_OCTETS`], or hold control octets.
    pub fn request(&mut self, link: &mut Link, request: Request<'_>) -> bool {
        if !self.can_request(link) || !request.is_sendable() {
            return false;
        }
        if self.waiting.is_empty() {
            self.heard = None;
        }
        if matches!(request, Request::Examine { .. }) {
            self.mailbox = MailboxState::default();
            self.changes = 0;
        }
        self.tag = self.tag.wrapping_add(1);
        let at_once = self.capabilities.literals_at_once;
        self.literal = request.put(link, self.tag, 0, at_once);
        // `can_request` has looked for room.
        let _ = self.waiting.push_back(request.kind());
        true
    }

    /// Goes on with `request`, the same as was made, after [`Event::GoOn`]; returns whether it
    /// was sent.
    pub fn go_on(&mut self, link: &mut Link, request: Request<'_>) -> bool {
        let Some(literal) = self.literal else {
            return false;
        };
        if self.waiting.back() != Some(&request.kind()) || link.room() < COMMAND_OCTETS {
            return false;
        }
        self.literal = request.put(link, self.tag, literal, false);
        true
    }

    /// Answers [`Event::Challenge`] with `line`, base64 or `*`; returns whether it was sent.
    pub fn answer(&mut self, link: &mut Link, line: &str) -> bool {
        let asked = matches!(self.waiting.back(), Some(Kind::Authenticate(_)));
        if !asked || link.room() < line.len() + 2 {
            return false;
        }
        // There is room for both.
        let _ = link.put(line.as_bytes()) && link.put(b"\r\n");
        self.heard = None;
        true
    }

    /// Reads what has come, as far as the next event.
    ///
    /// `out` takes the octets of that event, a piece of a text. A text in quotes, which is never
    /// long, must fit whole.
    pub fn step(&mut self, now: Instant, link: &mut Link, out: &mut [u8]) -> Option<Event> {
        self.stepped = now;
        let before = link.peek().len();
        let result = self.read(link, out);
        if self.heard.is_none() || link.peek().len() != before {
            self.heard = Some(now);
        }
        let failure = match result {
            Ok(Some(event)) => return Some(event),
            Ok(None) if self.deadline().is_none_or(|deadline| now < deadline) => return None,
            Ok(None) => Failure::TimedOut {
                kind: *self.waiting.front()?,
            },
            Err(failure) => failure,
        };
        self.enter(State::Failed);
        Some(Event::Failed(failure))
    }

    /// When to give up though nothing comes: as at POP3, what counts is progress.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let kind = self.waiting.front()?;
        Some(match self.heard {
            Some(heard) => heard + kind.patience(),
            // A request was made and not stepped since: at once, to learn when that was.
            None => self.stepped,
        })
    }

    /// How many requests have not ended yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.waiting.len().saturating_sub(self.told)
    }

    /// What the server can do, as far as it has said since the latest login.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The mailbox that was examined, as it is now.
    #[must_use]
    pub fn mailbox(&self) -> MailboxState {
        self.mailbox
    }

    /// How often since it was examined the server said that mails have come or gone.
    #[must_use]
    pub fn changes(&self) -> u32 {
        self.changes
    }

    /// What the server wants its user to read (RFC 3501 §7.1, `ALERT`): the latest.
    #[must_use]
    pub fn alert(&self) -> Option<&Text> {
        self.alert.as_ref()
    }

    fn enter(&mut self, state: State) {
        if matches!(state, State::Ended | State::Failed) {
            log::debug!("imap client: {:?} -> {:?}", self.state, state);
            self.waiting.clear();
            self.told = 0;
            self.literal = None;
        }
        self.state = state;
    }

    fn read(&mut self, link: &mut Link, out: &mut [u8]) -> Result<Option<Event>, Failure> {
        // Each turn uses up octets, or ends.
        loop {
            let turn = match self.state {
                State::Line | State::Rest(_) => self.read_line(link, out)?,
                State::Literal {
                    left,
                    text,
                    response,
                } => self.read_literal(link, out, left, text, response),
                State::Ended | State::Failed => Turn::Wait,
            };
            match turn {
                Turn::Found(event) | Turn::Before(event) => return Ok(Some(event)),
                Turn::Wait => return Ok(None),
                Turn::Again => {}
            }
        }
    }

    fn read_line(&mut self, link: &mut Link, out: &mut [u8]) -> Result<Turn, Failure> {
        let come = link.peek();
        let Some(end) = come.iter().position(|&octet| octet == b'\n') else {
            // One octet more than the limit may be the CR of a line that just fits.
            if come.len() > LINE_OCTETS + 1 {
                return Err(Failure::TooLong);
            }
            return Ok(Turn::Wait);
        };
        let line = come.get(..end).unwrap_or_default();
        // Nothing ends a line but CR LF, and nothing looks whole by an accident of octets.
        let Some(line) = line.strip_suffix(b"\r").filter(|line| !line.contains(&0)) else {
            return Err(self.bad(line));
        };
        if line.len() > LINE_OCTETS {
            return Err(Failure::TooLong);
        }
        let turn = match self.state {
            State::Rest(response) => self.take_rest(line, response, out),
            _ => self.take_line(line, out),
        };
        if !matches!(turn, Ok(Turn::Before(_))) {
            link.consume(end + 1);
        }
        match turn {
            Ok(Turn::Found(Event::Ok(Kind::Starttls))) if !link.peek().is_empty() => {
                Err(Failure::Injected)
            }
            turn => turn,
        }
    }

    fn read_literal(
        &mut self,
        link: &mut Link,
        out: &mut [u8],
        left: u64,
        text: bool,
        response: Response,
    ) -> Turn {
        if left == 0 {
            self.enter(State::Rest(response));
            return Turn::Again;
        }
        let come = link.peek();
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let mut length = come.len().min(most);
        if text {
            length = length.min(out.len());
        }
        if length == 0 {
            return Turn::Wait;
        }
        if text && let (Some(from), Some(to)) = (come.get(..length), out.get_mut(..length)) {
            to.copy_from_slice(from);
        }
        link.consume(length);
        let taken = length as u64;
        self.state = State::Literal {
            left: left - taken,
            text,
            response,
        };
        if !text {
            return Turn::Again;
        }
        let octets = self.answer.octets.unwrap_or(0);
        self.answer.octets = Some(octets.saturating_add(taken));
        Turn::Found(Event::Body { length })
    }

    /// Takes the first line of a response.
    fn take_line(&mut self, line: &[u8], out: &mut [u8]) -> Result<Turn, Failure> {
        let greeting = self.waiting.front() == Some(&Kind::Greeting);
        match Line::parse(line) {
            Some(Line::Untagged(text)) if greeting => self.take_greeting(text),
            Some(Line::Untagged(text)) => self.take_data(line, text, out),
            Some(Line::Tagged(number, text)) if !greeting => self.take_tagged(line, number, text),
            Some(Line::Continuation(text)) if self.is_authenticating() => {
                let room = out.get_mut(..text.len()).ok_or(Failure::TooLong)?;
                room.copy_from_slice(text);
                Ok(Turn::Found(Event::Challenge { length: text.len() }))
            }
            Some(Line::Continuation(_)) if self.waiting.len() == 1 && self.literal.is_some() => {
                let kind = self.waiting.front().copied();
                Ok(kind.map_or(Turn::Again, |kind| Turn::Found(Event::GoOn(kind))))
            }
            _ => Err(self.bad(line)),
        }
    }

    fn is_authenticating(&self) -> bool {
        matches!(self.waiting.front(), Some(Kind::Authenticate(_)))
    }

    fn take_greeting(&mut self, text: &[u8]) -> Result<Turn, Failure> {
        let Some(status) = Status::parse(text) else {
            return Err(self.bad(text));
        };
        self.note(&status);
        self.waiting.pop_front();
        let known = match status.condition {
            Condition::Ok => false,
            Condition::Preauth => true,
            Condition::Bye => {
                self.enter(State::Ended);
                return Ok(Turn::Found(refused(Kind::Greeting, &status)));
            }
            Condition::No | Condition::Bad => return Err(self.bad(text)),
        };
        Ok(Turn::Found(Event::Greeting { known }))
    }

    /// Takes an untagged response, or its first line.
    fn take_data(&mut self, line: &[u8], text: &[u8], out: &mut [u8]) -> Result<Turn, Failure> {
        let Some(data) = Data::parse(text) else {
            return Err(self.bad(line));
        };
        let content = match data {
            Data::Status(status) => {
                self.note(&status);
                if status.condition != Condition::Bye {
                    return Ok(Turn::Again);
                }
                self.bye = true;
                if self.waiting.back() == Some(&Kind::Logout) {
                    return Ok(Turn::Again);
                }
                return Err(Failure::Bye {
                    text: clean(status.text),
                });
            }
            Data::Exists(count) => {
                self.changes += u32::from(count != self.mailbox.exists);
                self.mailbox.exists = count;
                Content::Other
            }
            Data::Expunge => {
                self.changes = self.changes.saturating_add(1);
                self.mailbox.exists = self.mailbox.exists.saturating_sub(1);
                Content::Other
            }
            Data::Vanished => {
                self.changes = self.changes.saturating_add(1);
                Content::Other
            }
            Data::Capability(list) => {
                self.capabilities = Capabilities::read(list);
                return Ok(Turn::Again);
            }
            Data::Fetch(number, rest) => {
                let response = Response::new(Content::Fetch(Fetch::new(number)));
                return self.take_rest(rest, response, out);
            }
            Data::MailboxStatus(rest) => {
                return self.take_rest(rest, Response::new(Content::MailboxStatus), out);
            }
            Data::Other => Content::Other,
        };
        self.take_rest(text, Response::new(content), out)
    }

    /// Takes a line of a response that may go on behind a literal.
    fn take_rest(
        &mut self,
        line: &[u8],
        mut response: Response,
        out: &mut [u8],
    ) -> Result<Turn, Failure> {
        let Some((text, literal)) = response::literal(line) else {
            return Err(self.bad(line));
        };
        let next = match &mut response.content {
            Content::Fetch(fetch) => match fetch.read(text, literal.is_some(), out) {
                Some(next) => next,
                None => return Err(self.bad(line)),
            },
            Content::MailboxStatus | Content::Other if literal.is_some() => Next::Skip,
            Content::MailboxStatus | Content::Other => Next::End,
        };
        if let Some(kind) = self.overtaken(&response.content) {
            self.told += 1;
            return Ok(Turn::Before(Event::Overtaken { kind }));
        }
        let left = literal.unwrap_or(0);
        match next {
            Next::Text(section) if self.wants(section, &response.content) => {
                self.answer.octets = Some(0);
                self.enter(State::Literal {
                    left,
                    text: true,
                    response,
                });
                Ok(Turn::Again)
            }
            Next::Text(_) | Next::Skip => {
                response.literals += 1;
                response.octets = response.octets.saturating_add(left);
                if response.literals > UNASKED_LITERALS || response.octets > UNASKED_OCTETS {
                    return Err(Failure::TooMuch);
                }
                self.enter(State::Literal {
                    left,
                    text: false,
                    response,
                });
                Ok(Turn::Again)
            }
            Next::End => {
                let turn = self.take_whole(line, text, &response.content)?;
                if !matches!(turn, Turn::Before(_)) {
                    self.enter(State::Line);
                }
                Ok(turn)
            }
        }
    }

    /// The first request that has had no event.
    fn current(&self) -> Option<Kind> {
        self.waiting.iter().nth(self.told).copied()
    }

    /// The current request, if the text is of a mail that was asked for later. Dovecot sends all
    /// texts that it was asked for before the first tag, and seldom in another order.
    fn overtaken(&self, content: &Content) -> Option<Kind> {
        let Content::Fetch(fetch) = content else {
            return None;
        };
        let (Some(_), Some(uid), None) = (fetch.body, fetch.uid, self.answer.octets) else {
            return None;
        };
        let later = self.waiting.iter().skip(self.told + 1);
        let asked_later = later
            .filter_map(|kind| kind.uid())
            .any(|later| later == uid);
        let current = self.current()?;
        (current.uid()? != uid && asked_later).then_some(current)
    }

    /// Whether a text is what the current request waits for.
    fn wants(&self, section: Section, content: &Content) -> bool {
        let Content::Fetch(fetch) = content else {
            return false;
        };
        let (wanted, uid) = match self.current() {
            Some(Kind::Header { uid }) => (Section::Header, uid),
            Some(Kind::Mail { uid } | Kind::Part { uid }) => (Section::All, uid),
            _ => return false,
        };
        section == wanted
            && self.answer.octets.is_none()
            && fetch.uid.is_none_or(|other| other == uid)
    }

    /// Takes a response that is whole.
    fn take_whole(&mut self, line: &[u8], text: &[u8], content: &Content) -> Result<Turn, Failure> {
        match content {
            Content::Fetch(fetch) => self.take_fetch(line, fetch),
            Content::MailboxStatus => {
                if self.current() == Some(Kind::Status) {
                    self.answer.status = Some(mailbox_status(text));
                }
                Ok(Turn::Again)
            }
            Content::Other => Ok(Turn::Again),
        }
    }

    fn take_fetch(&mut self, line: &[u8], fetch: &Fetch) -> Result<Turn, Failure> {
        let (kind, uid) = match self.current() {
            Some(Kind::List { first, last }) => {
                let asked = (first..=last).contains(&fetch.number);
                // Flags that somebody else changes are told in between, without the size.
                let (Some(uid), Some(flags), Some(size), true) =
                    (fetch.uid, fetch.flags, fetch.size, asked)
                else {
                    return Ok(Turn::Again);
                };
                self.answer.count = self.answer.count.saturating_add(1);
                return Ok(Turn::Found(Event::Entry(Entry {
                    uid,
                    seen: flags.seen,
                    deleted: flags.deleted,
                    size,
                })));
            }
            Some(kind) => (kind, kind.uid()),
            None => return Ok(Turn::Again),
        };
        let (Some(body), Some(uid)) = (fetch.body, uid) else {
            return Ok(Turn::Again);
        };
        match body.form {
            // Another's, or one too many: it was passed over.
            Form::Literal if self.answer.octets.is_none() => return Ok(Turn::Again),
            Form::Literal if fetch.uid == Some(uid) => return Ok(self.end_text(kind)),
            // Whose text has passed nobody can say.
            Form::Literal => return Err(self.bad(line)),
            Form::Nil => return Ok(Turn::Again),
            Form::Quoted(_) => {}
        }
        let Form::Quoted(length) = body.form else {
            return Ok(Turn::Again);
        };
        let begun = self.answer.octets == Some(length as u64);
        let wanted = begun || self.wants(body.section, &Content::Fetch(*fetch));
        if fetch.uid != Some(uid) || !wanted {
            return Ok(Turn::Again);
        }
        if length == 0 {
            self.answer.octets = Some(0);
            return Ok(self.end_text(kind));
        }
        if self.answer.octets == Some(length as u64) {
            return Ok(self.end_text(kind));
        }
        // The line is taken with the next look, which ends the text.
        self.answer.octets = Some(length as u64);
        Ok(Turn::Before(Event::Body { length }))
    }

    /// The text that the current request waits for is whole.
    fn end_text(&mut self, kind: Kind) -> Turn {
        let answer = core::mem::take(&mut self.answer);
        self.told += 1;
        let octets = answer.octets.unwrap_or(0);
        Turn::Found(Event::BodyEnd { kind, octets })
    }

    /// Takes the end of the first request.
    fn take_tagged(&mut self, line: &[u8], number: u32, text: &[u8]) -> Result<Turn, Failure> {
        let ahead = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let expected = self.tag.wrapping_sub(ahead).wrapping_add(1);
        let Some(kind) = self.waiting.front().copied().filter(|_| number == expected) else {
            return Err(self.bad(line));
        };
        let Some(status) = Status::parse(text) else {
            return Err(self.bad(line));
        };
        let good = match status.condition {
            Condition::Ok => true,
            Condition::No | Condition::Bad => false,
            Condition::Bye | Condition::Preauth => return Err(self.bad(line)),
        };
        if good && matches!(kind, Kind::Login | Kind::Authenticate(_)) {
            // What the server can do may be more now.
            self.capabilities = Capabilities::default();
        }
        self.note(&status);
        let told = self.told > 0;
        self.told = self.told.saturating_sub(1);
        let answer = match told {
            true => Answer::default(),
            false => core::mem::take(&mut self.answer),
        };
        if self.waiting.len() == 1 {
            self.literal = None;
        }
        let bad = self.bad(line);
        self.waiting.pop_front();
        if kind == Kind::Logout || (good && kind == Kind::Starttls) {
            self.enter(State::Ended);
        }
        if told {
            return Ok(Turn::Again);
        }
        if !good {
            return Ok(Turn::Found(refused(kind, &status)));
        }
        Ok(Turn::Found(match kind {
            Kind::Greeting => return Err(bad),
            Kind::Capability
            | Kind::Starttls
            | Kind::Authenticate(_)
            | Kind::Login
            | Kind::Noop
            | Kind::Logout => Event::Ok(kind),
            Kind::Status => {
                let state = answer.status.ok_or(bad)?;
                Event::Mailbox { kind, state }
            }
            Kind::Examine => {
                if status.code == Some(Code::ReadWrite) {
                    return Err(Failure::NotReadOnly);
                }
                let state = self.mailbox;
                // Without it UIDs mean nothing. An empty mailbox may do without both.
                if state.uid_validity.is_none() && state.exists > 0 {
                    return Err(bad);
                }
                self.changes = 0;
                Event::Mailbox { kind, state }
            }
            Kind::List { .. } => Event::ListingEnd {
                count: answer.count,
            },
            Kind::Header { .. } | Kind::Mail { .. } | Kind::Part { .. } => Event::Missing { kind },
        }))
    }

    /// Keeps what a status response says besides.
    fn note(&mut self, status: &Status<'_>) {
        match status.code {
            Some(Code::Alert) => self.alert = Some(clean(status.text)),
            Some(Code::Capability(list)) => self.capabilities = Capabilities::read(list),
            Some(Code::UidValidity(number)) => {
                self.changes += u32::from(self.mailbox.uid_validity != Some(number));
                self.mailbox.uid_validity = Some(number);
            }
            Some(Code::UidNext(number)) => self.mailbox.uid_next = Some(number),
            Some(Code::HighestModSeq(number)) => self.mailbox.highest_modseq = Some(number),
            Some(Code::ReadWrite | Code::Reason(_) | Code::Other) | None => {}
        }
    }

    fn bad(&self, line: &[u8]) -> Failure {
        Failure::BadResponse {
            kind: self.waiting.front().copied(),
            line: clean(line),
        }
    }
}

impl Response {
    fn new(content: Content) -> Self {
        Self {
            content,
            literals: 0,
            octets: 0,
        }
    }
}

fn refused(kind: Kind, status: &Status<'_>) -> Event {
    Event::Refused {
        kind,
        code: status.reason(),
        text: clean(status.text),
    }
}

fn mailbox_status(text: &[u8]) -> MailboxState {
    let mut state = MailboxState::default();
    for (name, number) in response::status_items(text) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let short = u32::try_from(number).ok();
        if is(b"MESSAGES") {
            // A number that cannot be is no mailbox we have seen.
            state.exists = short.unwrap_or(u32::MAX);
        } else if is(b"UIDNEXT") {
            state.uid_next = short;
        } else if is(b"UIDVALIDITY") {
            state.uid_validity = short;
        } else if is(b"HIGHESTMODSEQ") {
            state.highest_modseq = Some(number).filter(|&number| number > 0);
        }
    }
    state
}

#[cfg(test)]
mod tests;
