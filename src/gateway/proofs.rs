//! Callers who prove who they are: passwords, digests, and exchanges of several lines.
//!
//! ```text
//! PASS, APOP ----------------> verdict --> (slowed) --> claim the maildrop, or refuse
//! AUTH -> exchange <-> caller --^
//! ```
//!
//! Whatever comes of it, what a caller sees takes the same steps and the same time whether or not
//! there is such an account: a name that nobody has is compared with a password that nobody can
//! say, its failures are counted as any other's, and its answers wait as long.

use core::fmt::Write;

use hal::{Board, Duration, Instant};

use crate::config::{Config, Secret};
use crate::mailbox::Whose;
use crate::pop3::command::Initial;
use crate::pop3::server::{Proof, Refusal, Response};
use crate::sasl::server::{Login, Passwords, Progress, Salts};
use crate::sasl::{self, Mechanism, Nonce, apop};

use super::lines::somebody;
use super::{Moment, Office};

/// The timestamp of a greeting (RFC 1939 §7): looks like a message-id.
pub(super) type Stamp = heapless::String<64>;

/// How far a caller is who proves who it is.
#[derive(Debug, Default)]
pub(super) struct Proving {
    exchange: Option<sasl::Server>,
    /// The visit to the LAN was started for the name of this exchange.
    named: bool,
    /// What is known already, and told later.
    verdict: Option<Verdict>,
}

/// What a proof came to, and when the caller may know.
#[derive(Debug)]
struct Verdict {
    login: Login,
    right: bool,
    due: Instant,
}

/// The passwords of a configuration.
struct People<'c>(&'c Config);

impl Passwords for People<'_> {
    fn password(&self, login: &str) -> Option<&Secret> {
        somebody(self.0, login).map(|user| &user.password)
    }
}

impl Proving {
    /// When there is something to do though nothing came.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let works = self.exchange.as_ref().is_some_and(sasl::Server::is_working);
        // A slice a turn: whoever else has octets is served between two of them.
        let verdict = self.verdict.as_ref().map(|verdict| verdict.due);
        works.then_some(now).or(verdict)
    }
}

impl<B: Board> Office<'_, B> {
    /// `PASS` or `APOP`.
    pub(super) fn on_proof(
        &mut self,
        board: &mut B,
        moment: Moment,
        at: usize,
        login: &str,
        proof: &Proof,
    ) {
        let people = People(self.config);
        let password = people.password(login);
        let right = match proof {
            Proof::Nothing => false,
            Proof::Password(said) => {
                let nobody = Secret::default();
                let right = password.unwrap_or(&nobody);
                right.matches(said.reveal().as_bytes()) && password.is_some()
            }
            Proof::Digest(digest) => {
                let stamp = self.lines.get(at).map(|line| line.stamp.as_bytes());
                apop::is_right(stamp.unwrap_or_default(), password, digest)
            }
        };
        if matches!(proof, Proof::Digest(_)) {
            // `USER` would have said the name before.
            self.on_user(board, moment, login);
        }
        self.judge(moment, at, login, right);
    }

    /// `AUTH`.
    pub(super) fn on_auth(
        &mut self,
        board: &mut B,
        moment: Moment,
        at: usize,
        mechanism: Mechanism,
        initial: Option<&Initial>,
    ) {
        let mut nonce = Nonce::default();
        board.fill(&mut nonce);
        let host = match self.config.hostname.is_empty() {
            true => &self.machine,
            false => &self.config.hostname,
        };
        let mut exchange = sasl::Server::new(mechanism, nonce, host);
        let mut out = sasl::Line::new();
        let people = People(self.config);
        let initial = initial.map(Initial::reveal);
        let progress = exchange.start(&people, &self.salts, initial, &mut out);
        if let Some(line) = self.lines.get_mut(at) {
            line.proving.exchange = Some(exchange);
            line.proving.named = false;
        }
        self.go_on(board, moment, at, progress, &out);
    }

    /// A response to a challenge.
    pub(super) fn on_response(
        &mut self,
        board: &mut B,
        moment: Moment,
        at: usize,
        response: &Response,
    ) {
        let people = People(self.config);
        let line = self.lines.get_mut(at);
        let Some(exchange) = line.and_then(|line| line.proving.exchange.as_mut()) else {
            self.refuse(moment, at, Refusal::Malformed);
            return;
        };
        let mut out = sasl::Line::new();
        let progress = exchange.respond(&people, &self.salts, response.reveal(), &mut out);
        self.go_on(board, moment, at, progress, &out);
    }

    /// A slice of what is to be computed, or a verdict whose time has come. Returns whether there
    /// was one.
    pub(super) fn turn_proving(&mut self, board: &mut B, moment: Moment, at: usize) -> bool {
        let Some(line) = self.lines.get_mut(at) else {
            return false;
        };
        let proving = &mut line.proving;
        if let Some(verdict) = proving.verdict.take_if(|verdict| verdict.due <= moment.now) {
            self.tell(moment, at, &verdict);
            return true;
        }
        let exchange = proving.exchange.as_mut();
        let Some(exchange) = exchange.filter(|exchange| exchange.is_working()) else {
            return false;
        };
        let mut out = sasl::Line::new();
        match exchange.work(&self.salts, &mut out) {
            // Not moved: the next slice is for the next turn, and others come between.
            Progress::Working => false,
            progress => {
                self.go_on(board, moment, at, progress, &out);
                true
            }
        }
    }

    /// What an exchange came to.
    fn go_on(
        &mut self,
        board: &mut B,
        moment: Moment,
        at: usize,
        progress: Progress,
        out: &sasl::Line,
    ) {
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let login = line.proving.exchange.as_ref().and_then(sasl::Server::login);
        let login = login.cloned();
        match progress {
            Progress::Say => line.session.challenge(moment.now, &mut line.link, out),
            Progress::Working => {}
            Progress::Accepted(_) | Progress::Refused => line.proving.exchange = None,
            Progress::Malformed | Progress::Cancelled => {
                line.proving.exchange = None;
                let refusal = match progress {
                    Progress::Cancelled => Refusal::Cancelled,
                    _ => Refusal::Malformed,
                };
                self.refuse(moment, at, refusal);
                return;
            }
        }
        // As after `USER`: the name is known, the proof may be still to come.
        if let Some(login) = &login
            && !core::mem::replace(&mut line.proving.named, true)
        {
            self.on_user(board, moment, login);
        }
        match progress {
            Progress::Accepted(login) => self.judge(moment, at, &login, true),
            Progress::Refused => self.judge(moment, at, &login.unwrap_or_default(), false),
            _ => {}
        }
    }

    /// A proof was right or wrong: the caller learns it when it may.
    fn judge(&mut self, moment: Moment, at: usize, login: &str, right: bool) {
        let delay = self.count(at, login, right);
        let verdict = Verdict {
            // One that does not fit is nobody's.
            login: Login::try_from(login).unwrap_or_default(),
            right,
            due: moment.now + delay,
        };
        if delay.is_zero() {
            self.tell(moment, at, &verdict);
        } else if let Some(line) = self.lines.get_mut(at) {
            line.proving.verdict = Some(verdict);
        }
    }

    /// Counts a proof for or against its name and its line; how long the answer waits for those
    /// before it. What is right waits as long as what is wrong: else a guesser would not need to
    /// hear the refusal.
    fn count(&mut self, at: usize, login: &str, right: bool) -> Duration {
        let Some(line) = self.lines.get(at) else {
            return Duration::ZERO;
        };
        // All views of a maildrop have one password.
        let name = login.split('+').next().unwrap_or_default();
        let (name, line) = (Whose::Login(name), Whose::Line(&line.config.name));
        let by_name = self.mailbox.failures(name);
        let by_line = self.mailbox.failures(line);
        if right {
            self.mailbox.set_failures(name, 0);
            // By a line come many, and who knows one password may guess at another's.
            self.mailbox.set_failures(line, by_line / 2);
        } else {
            self.mailbox.set_failures(name, by_name.saturating_add(1));
            self.mailbox.set_failures(line, by_line.saturating_add(1));
        }
        delay(by_name.max(by_line))
    }

    fn tell(&mut self, moment: Moment, at: usize, verdict: &Verdict) {
        if verdict.right {
            self.on_proven(moment, at, &verdict.login);
        } else {
            self.refuse(moment, at, Refusal::Password);
        }
    }
}

/// How long an answer waits after so many failures: a second after one, twice as long after twice
/// as many, and never longer than a client has patience for.
fn delay(failures: u16) -> Duration {
    let seconds = failures.checked_ilog2().map_or(0, |bits| 1 << bits.min(4));
    Duration::from_secs(seconds)
}

/// A timestamp that was never said before: 80 bits of it are drawn.
pub(super) fn stamp<B: Board>(board: &mut B, host: &str) -> Stamp {
    let mut drawn = [0; 10];
    board.fill(&mut drawn);
    let mut stamp = Stamp::new();
    let _ = stamp.push('<');
    for octet in drawn {
        let _ = write!(stamp, "{octet:02x}");
    }
    // 21 octets, and a name of 32 at most.
    let _ = write!(stamp, "@{host}>");
    stamp
}

/// What the salts of this run come from.
pub(super) fn salts<B: Board>(board: &mut B) -> Salts {
    let mut key = [0; 32];
    board.fill(&mut key);
    Salts::new(key)
}
