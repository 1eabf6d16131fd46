//! POP3 at the LAN's side: the client engine (RFC 1939, RFC 2449).
//!
//! It knows the protocol and nothing of mailboxes. The owner asks ([`Client::request`]), several
//! requests ahead where the server said `PIPELINING`; replies are matched to requests in order,
//! and each request ends with exactly one event:
//!
//! | request | goes before | ends with |
//! | --- | --- | --- |
//! | the greeting, never asked for | - | `Greeting` |
//! | `USER PASS APOP STLS RSET NOOP LAST QUIT` | - | `Ok` |
//! | `AUTH` | `Challenge` | `Ok` |
//! | `CAPA` | - | `Capabilities` |
//! | `STAT`, `LIST n` | - | `Stat`, `Size` |
//! | `UIDL`, `LIST` | `UniqueId`, `Size` | `ListingEnd` |
//! | `TOP`, `RETR` | `Body` | `BodyEnd` |
//! | any | - | `Refused`, if the server said `-ERR` |
//!
//! ```text
//!         +----------------- the last line, Refused -----------------+
//!         v                                                          |
//!      Status --+OK--> Listing, Capabilities, Body --CR LF . CR LF --+
//!         |  +OK to QUIT, STLS --> Ended
//!         +- no status, line too long, nothing comes --> Failed: nothing is believed any more
//! ```
//!
//! **What is believed.** A multi-line response ends with CR LF `.` CR LF and with nothing else: a
//! connection cut anywhere, a bare LF, a server that leaves out the last CR LF, give no
//! `ListingEnd` and no `BodyEnd`. Whether a whole listing says as much as `STAT` did, and whether
//! a body is as long as it should be, is the owner's to judge. So are doubled message-numbers,
//! and gaps: real servers leave them.
//!
//! **TLS.** After `STLS` the owner begins TLS, with an empty link, and makes a new client: nothing
//! that was heard before is believed any more, neither what the server can do nor its greeting.
//! What came together with the reply to `STLS` ends the connection (RFC 2595 §4).
//!
//! **What is forgiven.** Status in any case; status lines that end in a bare LF; several blanks;
//! `+OK` before each line of a unique-id listing; unique-ids longer than RFC 1939 §7 allows, with
//! blanks or 8-bit octets in them; words after the numbers of a scan listing.
//!
//! Passwords pass through [`Client::request`] straight into the link and are kept nowhere.

use hal::{Duration, Instant};
use heapless::Deque;

use crate::link::Link;
use crate::pop3::multiline::Unstuffer;

mod event;
mod listing;
mod request;
pub(crate) mod status;

pub use event::{Event, Failure};
pub use request::{COMMAND_OCTETS, Kind, Request};
pub use status::{Capabilities, Expire, ResponseCode, Text};

use listing::Line;
use status::Status;

/// Requests that may be outstanding: so many that a visit, which asks for more when a quarter of
/// them is left, seldom asks. The `TOP`s of a whole window are shorter than one segment of TCP, so
/// that neither end can wait for the other with both its buffers full.
pub const WINDOW: usize = 64;

/// Longest status line, and longest line of a listing, in octets without CR LF. RFC 1939 §3
/// allows 512; unique-ids of 300 octets have been seen.
pub const LINE_OCTETS: usize = 1024;

/// Longest unique-id taken, in octets: the room that [`Client::step`] asks for. RFC 1939 §7
/// allows 70.
pub const UNIQUE_ID_OCTETS: usize = 512;

/// How long a server may be silent before we give up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may be silent where it has to look through the whole mailbox: it does so at the
/// login (an mbox is copied or read through), at `STAT` and at the first `UIDL` or `LIST` (each
/// mail is read for its size, or for a digest). Minutes are normal for gigabytes on old disks.
/// RFC 1939 §3 lets a server wait ten minutes for us; we wait as long for it.
pub const PATIENCE_MAILBOX: Duration = Duration::from_secs(600);

/// One connection to a POP3 server.
#[derive(Debug)]
pub struct Client {
    state: State,
    /// What was asked and has no status yet, in order.
    waiting: Deque<Kind, WINDOW>,
    /// When something was read last, or the wait began; `None` between a request and the next
    /// step.
    heard: Option<Instant>,
    /// The latest step.
    stepped: Instant,
}

/// What comes next on the connection.
#[derive(Debug)]
enum State {
    /// The status of what waits first.
    Status,
    /// A line of a scan listing or a unique-id listing.
    Listing { kind: Kind, count: u32 },
    /// A line of the answer to `CAPA`.
    Capabilities(Capabilities),
    /// Octets of a message; so many were passed on.
    Body {
        kind: Kind,
        unstuffer: Unstuffer,
        octets: u64,
    },
    /// Nothing: `QUIT` or `STLS` was answered.
    Ended,
    /// Nothing that could be believed.
    Failed,
}

impl Client {
    /// Waits for the greeting of a connection that is open as of `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let mut waiting = Deque::new();
        // An empty window has room for it.
        let _ = waiting.push_back(Kind::Greeting);
        Self {
            state: State::Status,
            waiting,
            heard: Some(now),
            stepped: now,
        }
    }

    /// Goes on after `STLS` and its TLS: there is no second greeting (RFC 2595 §4).
    #[must_use]
    pub fn secured(now: Instant) -> Self {
        Self {
            waiting: Deque::new(),
            ..Self::new(now)
        }
    }

    /// Whether any request may be made now: there is room in the window and in the link, neither
    /// `QUIT` nor `STLS` nor `AUTH` is under way, and nothing has come that nobody asked for.
    ///
    /// Without `PIPELINING` the owner waits for [`outstanding`](Self::outstanding) to be 0.
    #[must_use]
    pub fn can_request(&self, link: &Link) -> bool {
        let usable = !matches!(self.state, State::Ended | State::Failed);
        let in_step = self.outstanding() > 0 || link.peek().is_empty();
        usable
            && in_step
            && !matches!(
                self.waiting.back(),
                Some(Kind::Quit | Kind::Stls | Kind::Auth(_))
            )
            && self.outstanding() < WINDOW
            && link.room() >= COMMAND_OCTETS
    }

    /// Sends `request`, whole or not at all; returns whether it was sent.
    ///
    /// If [`can_request`](Self::can_request) and yet nothing was sent, the words in it can never
    /// be sent: they are longer than a command of [`COMMAND_OCTETS`], or hold control octets.
    pub fn request(&mut self, link: &mut Link, request: Request<'_>) -> bool {
        if !self.can_request(link) || !request.is_sendable() {
            return false;
        }
        if self.outstanding() == 0 {
            self.heard = None;
        }
        request.put(link);
        // `can_request` has looked for room.
        let _ = self.waiting.push_back(request.kind());
        true
    }

    /// Answers [`Event::Challenge`] with `line`, base64 or `*`; returns whether it was sent.
    pub fn answer(&mut self, link: &mut Link, line: &str) -> bool {
        let asked = matches!(self.waiting.back(), Some(Kind::Auth(_)));
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
    /// `out` takes the octets of that event (a piece of a body, a unique-id, a stamp); it has
    /// room for [`UNIQUE_ID_OCTETS`] at least.
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
                kind: self.awaited()?,
            },
            Err(failure) => failure,
        };
        self.enter(State::Failed);
        Some(Event::Failed(failure))
    }

    /// When to give up though nothing comes. What counts is progress: a whole line, or a piece of
    /// a body. A server that sends just enough to stay alive is the owner's to end: a visit has a
    /// limit, and so has a mail.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let kind = self.awaited()?;
        Some(match self.heard {
            Some(heard) => heard + kind.patience(),
            // A request was made and not stepped since: at once, to learn when that was.
            None => self.stepped,
        })
    }

    /// Nobody has looked at what came for a while: how long the server is silent counts from the next
    /// step.
    pub fn wait_anew(&mut self) {
        self.heard = None;
    }

    /// How many requests have not ended yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let under_way = match self.state {
            State::Status | State::Ended | State::Failed => 0,
            State::Listing { .. } | State::Capabilities(_) | State::Body { .. } => 1,
        };
        self.waiting.len() + under_way
    }

    /// What is waited for now.
    fn awaited(&self) -> Option<Kind> {
        match &self.state {
            State::Status => self.waiting.front().copied(),
            State::Listing { kind, .. } | State::Body { kind, .. } => Some(*kind),
            State::Capabilities(_) => Some(Kind::Capa),
            State::Ended | State::Failed => None,
        }
    }

    fn enter(&mut self, state: State) {
        log::debug!("pop3 client: {:?} -> {:?}", self.state, state);
        if matches!(state, State::Ended | State::Failed) {
            self.waiting.clear();
        }
        self.state = state;
    }

    fn read(&mut self, link: &mut Link, out: &mut [u8]) -> Result<Option<Event>, Failure> {
        // Each turn uses up a line, or ends.
        loop {
            let turn = match self.state {
                State::Status => self.read_status(link, out)?,
                State::Listing { kind, count } => self.read_listing(link, out, kind, count)?,
                State::Capabilities(capabilities) => self.read_capability(link, capabilities)?,
                State::Body { .. } => self.read_body(link, out),
                State::Ended | State::Failed => Turn::Wait,
            };
            match turn {
                Turn::Found(event) => return Ok(Some(event)),
                Turn::Wait => return Ok(None),
                Turn::Again => {}
            }
        }
    }

    fn read_status(&mut self, link: &mut Link, out: &mut [u8]) -> Result<Turn, Failure> {
        let Some(&kind) = self.waiting.front() else {
            if link.peek().is_empty() {
                return Ok(Turn::Wait);
            }
            let line = link.peek().split(|&octet| octet == b'\n').next();
            return Err(Failure::Unsolicited {
                line: status::clean(line.unwrap_or_default()),
            });
        };
        match link.line(LINE_OCTETS, |line| self.take_status(kind, line, out)) {
            None => Ok(Turn::Wait),
            Some(Err(_)) => Err(Failure::TooLong { kind }),
            Some(Ok(Ok(Turn::Found(Event::Ok(Kind::Stls))))) if !link.peek().is_empty() => {
                Err(Failure::Injected)
            }
            Some(Ok(turn)) => turn,
        }
    }

    /// Takes the status line of what waits first.
    fn take_status(&mut self, kind: Kind, line: &[u8], out: &mut [u8]) -> Result<Turn, Failure> {
        if let (Kind::Auth(_), Some(challenge)) = (kind, status::challenge(line)) {
            let room = out.get_mut(..challenge.len());
            let room = room.ok_or(Failure::TooLong { kind })?;
            room.copy_from_slice(challenge);
            return Ok(Turn::Found(Event::Challenge {
                length: challenge.len(),
            }));
        }
        let Some(status) = Status::parse(line) else {
            return Err(Failure::NotAStatus {
                kind,
                line: status::clean(line),
            });
        };
        self.waiting.pop_front();
        if kind == Kind::Quit {
            self.enter(State::Ended);
        }
        let text = match status {
            Status::Ok(text) => text,
            Status::Err(text) => {
                return Ok(Turn::Found(Event::Refused {
                    kind,
                    code: ResponseCode::find(text),
                    text: status::clean(text),
                }));
            }
        };
        let bad = || Failure::BadReply {
            kind,
            line: status::clean(line),
        };
        Ok(Turn::Found(match kind {
            Kind::Greeting => Event::Greeting {
                stamp: status::stamp(text).and_then(|stamp| copy(stamp, out)),
            },
            Kind::User
            | Kind::Pass
            | Kind::Apop
            | Kind::Auth(_)
            | Kind::Rset
            | Kind::Noop
            | Kind::Last
            | Kind::Quit => Event::Ok(kind),
            Kind::Stls => {
                self.enter(State::Ended);
                Event::Ok(kind)
            }
            Kind::Stat => {
                let (count, octets) = listing::drop_listing(text).ok_or_else(bad)?;
                Event::Stat { count, octets }
            }
            Kind::ListOne { number: asked } => {
                let scanned = listing::scan_line(text).filter(|scanned| scanned.0 == asked);
                let (number, octets) = scanned.ok_or_else(bad)?;
                Event::Size { number, octets }
            }
            Kind::Capa => {
                self.enter(State::Capabilities(Capabilities::default()));
                return Ok(Turn::Again);
            }
            Kind::Uidl | Kind::List => {
                self.enter(State::Listing { kind, count: 0 });
                return Ok(Turn::Again);
            }
            Kind::Top { .. } | Kind::Retr { .. } => {
                self.enter(State::Body {
                    kind,
                    unstuffer: Unstuffer::new(),
                    octets: 0,
                });
                return Ok(Turn::Again);
            }
        }))
    }

    fn read_listing(
        &mut self,
        link: &mut Link,
        out: &mut [u8],
        kind: Kind,
        count: u32,
    ) -> Result<Turn, Failure> {
        let line = listing::line(link, kind, |line| {
            if kind == Kind::Uidl {
                let (number, id) = listing::unique_id_line(line)?;
                let length = copy(id, out)?;
                return Some(Event::UniqueId { number, length });
            }
            let (number, octets) = listing::scan_line(line)?;
            Some(Event::Size { number, octets })
        })?;
        Ok(match line {
            None => Turn::Wait,
            Some(Line::Content(event)) => {
                let count = count.saturating_add(1);
                self.state = State::Listing { kind, count };
                Turn::Found(event)
            }
            Some(Line::Terminator) => {
                self.enter(State::Status);
                Turn::Found(Event::ListingEnd { kind, count })
            }
        })
    }

    fn read_capability(
        &mut self,
        link: &mut Link,
        mut capabilities: Capabilities,
    ) -> Result<Turn, Failure> {
        let line = listing::line(link, Kind::Capa, |line| {
            capabilities.read(line);
            Some(())
        })?;
        Ok(match line {
            None => Turn::Wait,
            Some(Line::Content(())) => {
                self.state = State::Capabilities(capabilities);
                Turn::Again
            }
            Some(Line::Terminator) => {
                self.enter(State::Status);
                Turn::Found(Event::Capabilities(capabilities))
            }
        })
    }

    fn read_body(&mut self, link: &mut Link, out: &mut [u8]) -> Turn {
        let State::Body {
            kind,
            unstuffer,
            octets,
        } = &mut self.state
        else {
            return Turn::Again;
        };
        let step = unstuffer.unstuff(link.peek(), out);
        link.consume(step.read);
        if step.written > 0 {
            *octets = octets.saturating_add(step.written as u64);
            return Turn::Found(Event::Body {
                length: step.written,
            });
        }
        if !unstuffer.ended() {
            return Turn::Wait;
        }
        let end = Event::BodyEnd {
            kind: *kind,
            octets: *octets,
        };
        self.enter(State::Status);
        Turn::Found(end)
    }
}

/// What one look at what has come led to.
enum Turn {
    /// This; more may be there.
    Found(Event),
    /// A line that is no event: look again.
    Again,
    /// Nothing whole is there.
    Wait,
}

/// Copies `octets` to the beginning of `out`; `None` if there is no room.
fn copy(octets: &[u8], out: &mut [u8]) -> Option<usize> {
    let limit = UNIQUE_ID_OCTETS.min(out.len());
    if octets.len() > limit {
        return None;
    }
    out.get_mut(..octets.len())?.copy_from_slice(octets);
    Some(octets.len())
}

#[cfg(test)]
mod tests;
