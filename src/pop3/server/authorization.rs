//! The AUTHORIZATION state: who is it, and may they (RFC 1939 §4 and §7, RFC 5034 §4).
//!
//! No reply tells whether an account exists: `USER` is always answered by `+OK`, and a name that
//! cannot be anybody's goes the way of a wrong password. What a proof is worth is decided elsewhere:
//! the server knows no password.

use core::ops::ControlFlow;

use hal::time::Instant;

use super::stranger::recognise;
use super::{
    AGAIN, EndReason, Event, Proof, QUIET, RESPONSE_OCTETS, Refusal, Response, Server, State, Turn,
};
use crate::link::Link;
use crate::pop3::command::{Auth, Command, Login};
use crate::pop3::reply::{Expire, Reply};
use crate::sasl::LINE_OCTETS;

/// Who the caller claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// No `USER` yet, or none since the last `PASS`.
    Nobody,
    /// Somebody; empty for a name that no configuration can hold.
    Login(Login),
}

impl Server {
    /// Answers [`Event::Auth`] or [`Event::Response`] by a challenge, base64. Does nothing if the
    /// session has ended meanwhile.
    pub fn challenge(&mut self, now: Instant, link: &mut Link, line: &str) {
        if !matches!(self.state, State::Verifying) {
            return;
        }
        // There is room: it was seen to before the line was read.
        let _ = link.put(b"+ ") && link.put(line.as_bytes()) && link.put(b"\r\n");
        self.enter(now, State::Challenged);
    }

    /// Answers a proof that was right: the maildrop is open. `expire_zero`: this user's mail is
    /// taken by `RETR`, so `CAPA` says `EXPIRE 0`. Does nothing if the session has ended
    /// meanwhile.
    pub fn admit(&mut self, now: Instant, link: &mut Link, expire_zero: bool) {
        if !matches!(self.state, State::Verifying) {
            return;
        }
        self.expire = if expire_zero {
            Expire::Zero
        } else {
            Expire::Never
        };
        self.errors.forget_row();
        Reply::Ok.put(link);
        self.enter(now, State::Transaction);
    }

    /// Answers any proof: no maildrop. [`Refusal::Password`] is counted, and the last one allowed
    /// ends the session. Does nothing if the session has ended meanwhile.
    pub fn refuse(&mut self, now: Instant, link: &mut Link, refusal: Refusal) {
        if !matches!(self.state, State::Verifying) {
            return;
        }
        let over = match refusal {
            Refusal::Password => {
                self.failures = self.failures.saturating_add(1);
                let over = self.failures >= self.options.login_failures;
                over.then_some((Reply::TooManyFailures, EndReason::LoginFailures))
            }
            Refusal::Cancelled | Refusal::Malformed => {
                let verdict = self.errors.count(None).verdict(0);
                verdict.map(|reason| (Reply::TooManyErrors, reason))
            }
            Refusal::InUse | Refusal::Temporary | Refusal::Permanent => None,
        };
        if let Some((reply, reason)) = over {
            reply.put(link);
            self.enter(now, State::Closing(reason));
            return;
        }
        Reply::Refused(refusal).put(link);
        self.enter(now, State::Authorization(Claim::Nobody));
    }

    /// One command in the AUTHORIZATION state.
    pub(super) fn authorize(&mut self, now: Instant, link: &mut Link) -> Turn {
        if let Some(stranger) = recognise(link.peek()).filter(|_| !self.introduced) {
            // Nothing is said to somebody who would not understand it.
            self.enter(now, State::Closing(EndReason::Stranger(stranger)));
            return AGAIN;
        }
        let command = match self.command(link) {
            None => return self.wait_for_command(now, link),
            Some(Err(malformed)) => {
                return self.complain(now, link, &Reply::Malformed(malformed));
            }
            Some(Ok((command, _))) => command,
        };
        match command {
            Command::User(login) => self.claim(now, link, login),
            Command::Pass(secret) => {
                let login = match &self.state {
                    State::Authorization(Claim::Login(login)) => login.clone(),
                    _ => return self.complain(now, link, &Reply::UserFirst),
                };
                self.prove(now, login, secret.map_or(Proof::Nothing, Proof::Password))
            }
            Command::Apop { login, digest } => {
                let proof = digest.map_or(Proof::Nothing, Proof::Digest);
                self.prove(now, login.unwrap_or_default(), proof)
            }
            Command::Auth(Auth::List) => self.reply(link, &Reply::Mechanisms),
            Command::Auth(Auth::Unknown) => self.complain(now, link, &Reply::UnknownMechanism),
            Command::Auth(Auth::Begin { mechanism, initial }) => {
                self.enter(now, State::Verifying);
                ControlFlow::Break(Some(Event::Auth { mechanism, initial }))
            }
            Command::Capa => {
                let capabilities = Reply::Capabilities(self.expire);
                self.reply(link, &capabilities)
            }
            Command::Quit => {
                Reply::Ok.put(link);
                self.enter(now, State::Closing(EndReason::Quit));
                AGAIN
            }
            _ => self.complain(now, link, &Reply::LogInFirst),
        }
    }

    /// A response to a challenge.
    pub(super) fn hear_response(&mut self, now: Instant, link: &mut Link) -> Turn {
        // The next challenge must fit.
        if link.room() < LINE_OCTETS + "+ \r\n".len() {
            return QUIET;
        }
        let response = |line: &[u8]| heapless::Vec::from_slice(line).unwrap_or_default();
        let Some(response) = link.line(RESPONSE_OCTETS, response) else {
            return self.wait_for_command(now, link);
        };
        self.enter(now, State::Verifying);
        let Ok(response) = response else {
            self.refuse(now, link, Refusal::Malformed);
            return AGAIN;
        };
        ControlFlow::Break(Some(Event::Response(Response(response))))
    }

    /// All that is to prove who the caller is was said in one command.
    fn prove(&mut self, now: Instant, login: Login, proof: Proof) -> Turn {
        self.enter(now, State::Verifying);
        ControlFlow::Break(Some(Event::Proof { login, proof }))
    }

    /// `USER`.
    fn claim(&mut self, now: Instant, link: &mut Link, login: Option<Login>) -> Turn {
        // Each name starts a visit. One that no `PASS` followed counts as an error, or a caller
        // without any password could go through all names there are.
        if matches!(self.state, State::Authorization(Claim::Login(_)))
            && let Some(reason) = self.errors.count(None).verdict(0)
        {
            Reply::TooManyErrors.put(link);
            self.enter(now, State::Closing(reason));
            return AGAIN;
        }
        Reply::Ok.put(link);
        let claim = Claim::Login(login.clone().unwrap_or_default());
        self.enter(now, State::Authorization(claim));
        login.map_or(AGAIN, |login| ControlFlow::Break(Some(Event::User(login))))
    }
}
