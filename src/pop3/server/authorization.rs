//! The AUTHORIZATION state: who is it, and may they (RFC 1939 §4 and §7).
//!
//! No reply tells whether an account exists: `USER` is always answered by `+OK`, and a name that
//! cannot be anybody's is refused at `PASS` in the words of a wrong password.

use core::ops::ControlFlow;

use hal::time::Instant;

use super::stranger::recognise;
use super::{AGAIN, EndReason, Event, QUIET, Refusal, Server, State, Turn};
use crate::link::Link;
use crate::pop3::command::{Command, Login};
use crate::pop3::reply::{Expire, Reply};

/// Who the caller claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// No `USER` yet, or none since the last `PASS`.
    Nobody,
    /// Somebody whom no configuration can hold.
    Stranger,
    /// Somebody.
    Login(Login),
}

impl Server {
    /// Answers [`Event::Password`]: the maildrop is open. `expire_zero`: this user's mail is
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

    /// Answers [`Event::Password`]: no maildrop. [`Refusal::Password`] is counted, and the last
    /// one allowed ends the session. Does nothing if the session has ended meanwhile.
    pub fn refuse(&mut self, now: Instant, link: &mut Link, refusal: Refusal) {
        if !matches!(self.state, State::Verifying) {
            return;
        }
        if refusal == Refusal::Password {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.options.login_failures {
                Reply::TooManyFailures.put(link);
                self.enter(now, State::Closing(EndReason::LoginFailures));
                return;
            }
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
                let State::Authorization(claim) = &self.state else {
                    return QUIET;
                };
                let password = match (claim.clone(), secret) {
                    (Claim::Nobody, _) => return self.complain(now, link, &Reply::UserFirst),
                    (Claim::Login(user), Some(secret)) => Some(Event::Password { user, secret }),
                    (Claim::Stranger, _) | (_, None) => None,
                };
                self.enter(now, State::Verifying);
                if password.is_none() {
                    self.refuse(now, link, Refusal::Password);
                    return AGAIN;
                }
                ControlFlow::Break(password)
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

    /// `USER`.
    fn claim(&mut self, now: Instant, link: &mut Link, login: Option<Login>) -> Turn {
        // Each name starts a visit. One that no `PASS` followed counts as an error, or a caller
        // without any password could go through all names there are.
        if matches!(
            self.state,
            State::Authorization(Claim::Login(_) | Claim::Stranger)
        ) && let Some(reason) = self.errors.count(None).verdict(0)
        {
            Reply::TooManyErrors.put(link);
            self.enter(now, State::Closing(reason));
            return AGAIN;
        }
        Reply::Ok.put(link);
        let claim = login.clone().map_or(Claim::Stranger, Claim::Login);
        self.enter(now, State::Authorization(claim));
        login.map_or(AGAIN, |login| ControlFlow::Break(Some(Event::User(login))))
    }
}
