//! The POP3 server: talks to one caller over a slow line, and serves a [`Maildrop`].
//!
//! RFC 1939, with RFC 2449 (`CAPA`, response codes, pipelining), RFC 3206 (`[AUTH]`) and RFC 5034
//! (`AUTH`).
//!
//! ```text
//! Silent -greet-> Authorization -PASS-> Verifying -admit-> Transaction -QUIT-> Quitting
//!                      ^                    |                ^     |              | drained
//!                      +------ refuse ------+                |   RETR, TOP,       v
//!                                                            |   LIST, UIDL   Committing
//!                                       Opening, Sending, Listing -+              | "+OK"
//!                                                                                 v
//!                  too many errors or failures, call limit ------------------> Closing
//!                                                                                 | drained
//!                  autologout, store fault in a message --------------------->  Over
//! ```
//!
//! Three rules shape it (design 2.7, 2.8):
//! - What the caller took is committed in one place, `Committing`, and it is reached in one way:
//!   `QUIT` was read whole, and all that was said before has drained.
//! - A message that cannot be read to its end is never ended by a dot.
//! - The line never idles while there is something to say: the next command is taken as soon as
//!   the longest single reply fits, though the message before is still draining.

mod authorization;
mod stranger;
mod transaction;
mod transfer;

#[cfg(test)]
mod tests;

use core::fmt;
use core::ops::ControlFlow;

use hal::Duration;
use hal::time::Instant;

use super::Maildrop;
use super::command::{COMMAND_OCTETS, Command, Digest, Initial, Login, Malformed};
use super::reply::{Expire, REPLY_OCTETS, Reply};
use crate::config::{Limits, Secret};
use crate::link::Link;
use crate::sasl::Mechanism;
use authorization::Claim;
use stranger::Errors;
use transaction::DeleteReplies;
use transfer::{Listing, Part, Transfer};

pub use super::reply::Refusal;
pub use stranger::Stranger;

/// What the owner has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Wrong passwords in one call; the last of them ends it. 0 is taken for 1.
    pub login_failures: u8,
    /// How long nothing may come, or nothing drain, before autologout.
    pub idle: Duration,
    /// How long a call may last. It ends at the next message boundary.
    pub call: Duration,
    /// Whether some user's mail is taken by `RETR` (`taken-by retr`): `CAPA` says `EXPIRE 0 USER`
    /// before the login.
    pub expire_zero: bool,
}

/// Something the gateway must know or do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
pub enum Event {
    /// `USER`: the visit may start now. The caller has proven nothing yet.
    User(Login),
    /// `PASS` or `APOP`: answer by [`Server::admit`] or [`Server::refuse`]. Nothing is read until
    /// then.
    Proof {
        /// Who it is said to be; empty if that can be nobody.
        login: Login,
        /// What is to prove it.
        proof: Proof,
    },
    /// `AUTH`: answer by [`Server::challenge`], [`Server::admit`] or [`Server::refuse`]. Nothing is
    /// read until then.
    Auth {
        /// By which mechanism.
        mechanism: Mechanism,
        /// The initial response.
        initial: Option<Initial>,
    },
    /// What the caller says to a challenge: answer as to [`Event::Auth`].
    Response(Response),
    /// A message was put on the line whole.
    Sent {
        /// Its message-number.
        number: u32,
        /// Its size before byte-stuffing.
        octets: u64,
    },
    /// Hang up. The last event.
    Ended(EndReason),
}

/// What a caller proves by one command that it is who it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Something that can be nobody's password and no digest.
    Nothing,
    /// What `PASS` said.
    Password(Secret),
    /// What `APOP` said.
    Digest(Digest),
}

/// The longest response: `PLAIN` with the longest login, twice, and the longest password has 344
/// octets, SCRAM's first message 428.
pub const RESPONSE_OCTETS: usize = 512;

/// A line of a SASL exchange. It may hold a password: `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(heapless::Vec<u8, RESPONSE_OCTETS>);

impl Response {
    /// The octets themselves.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::MASK)
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// `QUIT`; in the TRANSACTION state, what was taken is durable.
    Quit,
    /// Nothing came, or nothing drained, for the idle limit.
    Autologout,
    /// The call limit had passed at a message boundary.
    CallLimit,
    /// Too many lines that were no commands, or not at their time.
    TooManyErrors,
    /// Too many wrong passwords.
    LoginFailures,
    /// Nobody had logged in when the time for it was over.
    NoLogin,
    /// The caller is no POP3 client.
    Stranger(Stranger),
    /// A message could not be read to its end, or `QUIT` could not be made durable.
    StoreFault,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger(stranger) => return write!(f, "{stranger}"),
            Self::NoLogin => "nobody logged in",
            Self::Quit => "quit",
            Self::Autologout => "autologout: nothing came, or nothing drained",
            Self::CallLimit => "the call limit was reached",
            Self::TooManyErrors => "too many bad commands",
            Self::LoginFailures => "too many wrong passwords",
            Self::StoreFault => "the store failed",
        })
    }
}

/// One session's server engine.
#[derive(Debug)]
pub struct Server {
    state: State,
    options: Options,
    call_end: Instant,
    /// Until then somebody must have logged in.
    login_end: Instant,
    /// The link's count of octets thrown away when the call began.
    skipped: u64,
    /// A command was heard: this is a POP3 client.
    introduced: bool,
    activity: Activity,
    errors: Errors,
    failures: u8,
    expire: Expire,
    delete_replies: DeleteReplies,
}

/// Where the session is.
#[derive(Debug)]
enum State {
    /// Nothing was said yet.
    Silent,
    /// The AUTHORIZATION state, waiting for a command.
    Authorization(Claim),
    /// `PASS`, `APOP`, or a part of an `AUTH` was read; the gateway has not answered yet.
    Verifying,
    /// `AUTH`: a challenge was said, and its response is awaited.
    Challenged,
    /// The TRANSACTION state, waiting for a command.
    Transaction,
    /// `LIST` or `UIDL` is being put on the line.
    Listing(Listing),
    /// `RETR` or `TOP`: the maildrop makes ready.
    Opening {
        number: u32,
        part: Part,
        until: Instant,
    },
    /// `RETR` or `TOP` is being put on the line.
    Sending(Transfer),
    /// `QUIT` was read; what was said before must drain.
    Quitting,
    /// The UPDATE state: the maildrop makes durable what was taken.
    Committing { until: Instant },
    /// All is said; it must drain.
    Closing(EndReason),
    /// The last event was given.
    Over,
}

/// What a turn of [`Server::step`] came to: go on, or end the step with an event or without.
type Turn = ControlFlow<Option<Event>>;

/// The step ends, and needs octets, room or time to go on.
const QUIET: Turn = ControlFlow::Break(None);
/// There may be more to do at once.
const AGAIN: Turn = ControlFlow::Continue(());

impl From<Limits> for Options {
    fn from(limits: Limits) -> Self {
        Self {
            login_failures: limits.login_failures,
            idle: limits.idle,
            call: limits.call,
            expire_zero: false,
        }
    }
}

impl Server {
    /// A server for a call that was connected at `now`. It says and reads nothing until
    /// [`greet`](Self::greet).
    #[must_use]
    pub fn new(now: Instant, options: Options) -> Self {
        Self {
            state: State::Silent,
            options,
            call_end: now + options.call,
            login_end: now + options.idle,
            skipped: 0,
            introduced: false,
            activity: Activity::new(now),
            errors: Errors::default(),
            failures: 0,
            expire: if options.expire_zero {
                Expire::ZeroForSome
            } else {
                Expire::Never
            },
            delete_replies: DeleteReplies::None,
        }
    }

    /// Says the greeting, with the timestamp that `APOP` needs; it must never have been said
    /// before (RFC 1939 §7). Further calls do nothing.
    pub fn greet(&mut self, now: Instant, link: &mut Link, hostname: &str, stamp: &str) {
        if !matches!(self.state, State::Silent) {
            return;
        }
        link.begin_line();
        self.skipped = link.skipped();
        self.login_end = now + self.options.idle;
        Reply::Greeting { hostname, stamp }.put(link);
        self.enter(now, State::Authorization(Claim::Nobody));
    }

    /// Does what can be done now. Call it until it returns `None`, and again when octets came or
    /// drained, when the maildrop is further, and at [`deadline`](Self::deadline).
    ///
    /// `drained`: everything put on the link before this step has reached the caller, as far as
    /// anyone can know: kernel queue empty, modem's buffer time over, carrier up.
    ///
    /// `maildrop` is the one that was opened before [`admit`](Self::admit); before that, none is
    /// looked at. After it, `None` ends the session as a store fault.
    pub fn step<M: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        drained: bool,
        mut maildrop: Option<&mut M>,
    ) -> Option<Event> {
        self.activity.observe(now, link, self.awaits_command());
        if drained && link.output().is_empty() {
            self.delete_replies.drained(link.received());
        }
        if self.is_idle(now) {
            return self.log_out(now);
        }
        loop {
            if now >= self.call_end && self.may_be_cut() {
                // RFC 1939 §3, on autologout: no response, and nothing is removed.
                self.enter(now, State::Closing(EndReason::CallLimit));
            }
            if now >= self.login_end
                && matches!(self.state, State::Authorization(_) | State::Challenged)
            {
                self.enter(now, State::Closing(EndReason::NoLogin));
            }
            // What was put on the link in this step has not drained.
            let drained = drained && link.output().is_empty();
            let turn = match &self.state {
                State::Silent | State::Verifying | State::Over => QUIET,
                State::Authorization(_) => self.authorize(now, link),
                State::Challenged => self.hear_response(now, link),
                State::Closing(reason) if drained => {
                    let reason = *reason;
                    self.end(now, reason)
                }
                State::Closing(_) => QUIET,
                _ => match maildrop.as_deref_mut() {
                    Some(maildrop) => self.transact(now, link, drained, maildrop),
                    None => self.end(now, EndReason::StoreFault),
                },
            };
            if let ControlFlow::Break(event) = turn {
                return event;
            }
        }
    }

    /// Whether all that is left is to end: what was said must arrive before it goes on.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Quitting | State::Closing(_))
    }

    /// Why the session ends, once all is done and only the last reply is on its way: a caller who
    /// has read it may hang up first.
    #[must_use]
    pub fn verdict(&self) -> Option<EndReason> {
        match self.state {
            State::Closing(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether the maildrop is asked to make a message ready.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    /// Whether a message is being put on the line.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        matches!(self.state, State::Sending(_))
    }

    /// When to step though nothing happened; `None` when that would change nothing.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let idle = self.activity.at + self.options.idle;
        match self.state {
            State::Authorization(_) | State::Challenged => {
                Some(idle.min(self.call_end).min(self.login_end))
            }
            State::Silent | State::Verifying | State::Transaction => Some(idle.min(self.call_end)),
            State::Opening { until, .. } => Some(until.min(self.call_end)),
            State::Committing { until } => Some(until),
            State::Listing(_) | State::Sending(_) | State::Quitting | State::Closing(_) => {
                Some(idle)
            }
            State::Over => None,
        }
    }

    /// Takes the next line off, if one has come whole and any reply to it fits. With a command
    /// comes the place of its first octet among all octets received.
    fn command(&mut self, link: &mut Link) -> Option<Result<(Command, u64), Malformed>> {
        if link.room() < REPLY_OCTETS {
            return None;
        }
        let said = link.peek();
        let begun = said.get(..said.len().min(COMMAND_OCTETS + 2));
        if let Some(begun) = begun.filter(|begun| begun.len() > COMMAND_OCTETS)
            && !begun.contains(&b'\n')
        {
            self.errors.look_at_endless(begun);
        }
        let waiting = u64::try_from(said.len()).unwrap_or(u64::MAX);
        let start = link.received().saturating_sub(waiting);
        let parsed = match link.line(COMMAND_OCTETS, Command::parse)? {
            Ok(parsed) => parsed,
            Err(too_long) => Err(too_long.into()),
        };
        log::debug!("pop3: {parsed:?}");
        self.introduced |= parsed.is_ok();
        Some(parsed.map(|command| (command, start)))
    }

    /// Answers a command that was in place.
    fn reply(&mut self, link: &mut Link, reply: &Reply<'_>) -> Turn {
        self.errors.forget_row();
        reply.put(link);
        AGAIN
    }

    /// There is no command yet: whether it pays to wait for one.
    fn wait_for_command(&mut self, now: Instant, link: &Link) -> Turn {
        let skipped = link.skipped() - self.skipped;
        let Some(reason) = self.errors.verdict(skipped) else {
            return QUIET;
        };
        self.enter(now, State::Closing(reason));
        AGAIN
    }

    /// Answers a line that was no command, or a command out of place.
    fn complain(&mut self, now: Instant, link: &mut Link, reply: &Reply<'_>) -> Turn {
        let malformed = match reply {
            Reply::Malformed(malformed) => Some(*malformed),
            _ => None,
        };
        let skipped = link.skipped() - self.skipped;
        if let Some(reason) = self.errors.count(malformed).verdict(skipped) {
            Reply::TooManyErrors.put(link);
            self.enter(now, State::Closing(reason));
            return AGAIN;
        }
        reply.put(link);
        AGAIN
    }

    /// What the idle limit means for where we are.
    fn log_out(&mut self, now: Instant) -> Option<Event> {
        let reason = match self.state {
            // What could be decided is decided; only its last octets are stuck.
            State::Closing(reason) => reason,
            _ => EndReason::Autologout,
        };
        self.enter(now, State::Over);
        Some(Event::Ended(reason))
    }

    fn end(&mut self, now: Instant, reason: EndReason) -> Turn {
        self.enter(now, State::Over);
        ControlFlow::Break(Some(Event::Ended(reason)))
    }

    /// Every change of state is some progress, so the idle time begins anew with it.
    fn enter(&mut self, now: Instant, state: State) {
        log::debug!("pop3: {:?} -> {state:?}", self.state);
        self.activity.at = now;
        self.state = state;
    }

    fn is_idle(&self, now: Instant) -> bool {
        let timed_elsewhere = matches!(
            self.state,
            State::Opening { .. } | State::Committing { .. } | State::Over
        );
        !timed_elsewhere && now >= self.activity.at + self.options.idle
    }

    fn awaits_command(&self) -> bool {
        matches!(
            self.state,
            State::Authorization(_) | State::Challenged | State::Transaction
        )
    }

    /// Whether the call limit may end the session here: at a boundary, with no message or listing
    /// half on the line and no `QUIT` under way.
    fn may_be_cut(&self) -> bool {
        self.awaits_command()
            || matches!(
                self.state,
                State::Silent | State::Verifying | State::Opening { .. }
            )
    }
}

/// When something moved last, for the idle limit.
#[derive(Debug)]
struct Activity {
    at: Instant,
    received: u64,
    sent: u64,
    held: usize,
}

impl Activity {
    fn new(at: Instant) -> Self {
        Self {
            at,
            received: 0,
            sent: 0,
            held: 0,
        }
    }

    /// While output waits, only what drains counts: who never reads must not hold the line by
    /// talking. While none waits, what comes counts, where a command is awaited.
    fn observe(&mut self, now: Instant, link: &Link, awaits_command: bool) {
        let held = link.unsent().saturating_sub(link.output().len());
        let drained = link.sent() != self.sent || held < self.held;
        let heard = link.received() != self.received && link.unsent() == 0 && awaits_command;
        if drained || heard {
            self.at = now;
        }
        self.received = link.received();
        self.sent = link.sent();
        self.held = held;
    }
}
