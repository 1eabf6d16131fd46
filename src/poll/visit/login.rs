//! Logging in: TLS first, then the way that shows the password least.
//!
//! ```text
//! Login: greeting, what can you do? --offered--> STLS --OK--> Securing --TLS--> what can you do?
//!          |                                                                      |
//!          +--> SCRAM-SHA-256, CRAM-MD5, APOP --refused--> USER and PASS, LOGIN, PLAIN <-- under TLS
//! ```
//!
//! **Who is shown the password?** Under TLS the server alone, whose certificate was found good;
//! without it whoever reads the link. So without TLS it is sent to a near server only (see
//! [`hal::lan::is_near`]), or where the owner says `tls off`. The ways that do not show it come
//! first; where they are refused, and the password may be shown, the server perhaps keeps it in a
//! form that fits only the others. That is remembered, so that a server that locks out whoever
//! fails is not made to at each visit. Under TLS only SCRAM is tried before: `CRAM-MD5` and `APOP`
//! make the server keep the password itself, and hide it from nobody else.

use hal::{Connection, Instant, Medium};

use crate::config::{Source, Tls, User};
use crate::imap::client::Request as ImapRequest;
use crate::pop3::client::{
    Client as Pop3Client, Event as Reply, Expire, Kind as Pop3Kind, Request as Pop3Request,
};
use crate::sasl::client::{Credentials, Fault, Progress};
use crate::sasl::{self, Line, Mechanism, Mechanisms, Nonce, apop};

use super::remote::{Client, ResponseCode};
use super::run::{Round, Run, State, Turn, unexpected};
use super::{CONNECT_PATIENCE, Event, Failure};

/// Longest timestamp of a greeting that is answered, in octets: RFC 1939 §3 has responses of 512.
const STAMP_OCTETS: usize = 500;

/// A login, from the greeting on.
pub(in crate::poll) struct Login {
    nonce: Nonce,
    /// The greeting's timestamp, if it had one: without TLS APOP may be tried.
    stamp: heapless::Vec<u8, STAMP_OCTETS>,
    /// The way that is tried.
    way: Option<Way>,
    exchange: Option<sasl::Client>,
    /// The exchange has more to compute.
    working: bool,
    /// The server has refused the ways that hide the password.
    hiding_refused: bool,
    /// There is TLS.
    pub(super) secure: bool,
    /// The server is one of this machine, or of a private network.
    pub(super) near: bool,
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `USER` and `PASS`, or `LOGIN`.
    Words,
    /// `APOP`
    Apop,
    /// `AUTH`, or `AUTHENTICATE`.
    Sasl(Mechanism),
}

/// The ways that a server offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    pub(super) words: bool,
    pub(super) sasl: Mechanisms,
}

impl Way {
    fn shows_password(self) -> bool {
        match self {
            Self::Words => true,
            Self::Apop => false,
            Self::Sasl(mechanism) => mechanism.shows_password(),
        }
    }
}

impl Login {
    pub(super) fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            stamp: heapless::Vec::new(),
            way: None,
            exchange: None,
            working: false,
            hiding_refused: false,
            secure: false,
            near: false,
        }
    }

    /// The ways that hide the password were refused at an earlier visit.
    pub(super) fn skip_hiding(&mut self) {
        self.hiding_refused = true;
    }

    /// A way that hides the password is under way.
    pub(super) fn is_hiding(&self) -> bool {
        self.way.is_some_and(|way| !way.shows_password())
    }

    /// More is to be computed.
    pub(super) fn is_working(&self) -> bool {
        self.working
    }

    /// Whether to begin TLS now, where the server has `offered` it or not.
    pub(super) fn wants_tls(&self, user: &User, offered: bool) -> Result<bool, Failure> {
        match user.security.tls {
            _ if self.secure => Ok(false),
            Tls::Off => Ok(false),
            Tls::Required if !offered => Err(Failure::NoTls),
            Tls::Starttls | Tls::Required => Ok(offered),
        }
    }

    /// Whether the password may be sent as it is.
    fn may_show(&self, user: &User) -> bool {
        self.secure || self.near || user.security.tls == Tls::Off
    }

    /// The way to try next.
    pub(super) fn choose(&self, user: &User, offered: Offered) -> Result<Way, Failure> {
        let may_show = self.may_show(user);
        let hiding = offered.sasl.strongest_first();
        let mut hiding = hiding
            .filter(|mechanism| !mechanism.shows_password())
            .filter(|mechanism| !self.secure || *mechanism == Mechanism::ScramSha256)
            .map(Way::Sasl)
            .chain((!self.secure && !self.stamp.is_empty()).then_some(Way::Apop));
        if let Some(way) = hiding.next()
            && !(self.hiding_refused && may_show)
        {
            return Ok(way);
        }
        if !may_show {
            return Err(Failure::InClear);
        }
        let showing = [Mechanism::Plain, Mechanism::Login];
        let showing = showing.into_iter().filter(|it| offered.sasl.contains(*it));
        let words = offered.words.then_some(Way::Words);
        let mut ways = words.into_iter().chain(showing.map(Way::Sasl));
        ways.next().ok_or(Failure::NoWay)
    }

    /// Notes the way that is tried now.
    pub(super) fn begin(&mut self, way: Way) {
        self.way = Some(way);
        self.exchange = match way {
            Way::Sasl(mechanism) => Some(sasl::Client::new(mechanism, self.nonce)),
            Way::Words | Way::Apop => None,
        };
    }

    /// A login was refused with `code`: whether another way is to be tried, one that shows the
    /// password.
    pub(super) fn goes_on(&mut self, user: &User, code: Option<ResponseCode>) -> bool {
        let for_the_way = matches!(code, None | Some(ResponseCode::Auth));
        if !self.is_hiding() || !self.may_show(user) || !for_the_way {
            return false;
        }
        self.hiding_refused = true;
        true
    }

    /// The server says that we are logged in: is it the one that knows the password?
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.exchange.take() {
            Some(exchange) if !exchange.is_satisfied() => Err(Failure::Proof(Fault::Signature)),
            _ => Ok(()),
        }
    }

    /// Whether the next visit should show the password where it may. `failure` ended this one while
    /// it logged in.
    pub(super) fn was_hiding_refused(&self, failure: Option<&Failure>) -> bool {
        let by_failure = match failure {
            // Some servers hang up on a way that they do not like.
            Some(Failure::Closed) => true,
            // What another server than ours would say is no reason to tell it more.
            Some(Failure::Proof(fault)) => !matches!(fault, Fault::Signature | Fault::Nonce),
            _ => false,
        };
        self.hiding_refused || (by_failure && self.is_hiding())
    }
}

impl core::fmt::Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login")
            .field("way", &self.way)
            .field("secure", &self.secure)
            .field("near", &self.near)
            .finish_non_exhaustive()
    }
}

impl Run {
    pub(super) fn log_in<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let Some(source) = &round.user.source else {
            return Err(Failure::NotListed);
        };
        if self.login.is_working() {
            return self.work(round);
        }
        let Some(reply) = self.pop3_reply(round) else {
            return Ok(Turn::Wait);
        };
        match reply {
            Reply::Greeting { stamp } => {
                let stamp = stamp.and_then(|length| self.piece.get(..length));
                // One that is too long is none.
                self.login.stamp =
                    heapless::Vec::from_slice(stamp.unwrap_or_default()).unwrap_or_default();
                self.ask(round, Pop3Request::Capa)?;
            }
            Reply::Capabilities(capabilities) => {
                self.capabilities = capabilities;
                self.report.login_delay = capabilities.login_delay;
                return self.knock(round);
            }
            // A server older than RFC 2449. It may know STLS all the same.
            Reply::Refused {
                kind: Pop3Kind::Capa,
                ..
            } => {
                self.capabilities.stls = round.user.security.tls == Tls::Required;
                return self.knock(round);
            }
            Reply::Ok(Pop3Kind::Stls) => return Ok(self.begin_tls(round.now)),
            Reply::Challenge { length } => return self.respond(round, length),
            Reply::Ok(Pop3Kind::User) => self.ask(round, Pop3Request::Pass(&source.password))?,
            Reply::Ok(Pop3Kind::Pass | Pop3Kind::Apop | Pop3Kind::Auth(_)) => {
                self.login.check()?;
                self.ask(round, Pop3Request::Stat)?;
            }
            Reply::Refused {
                kind: Pop3Kind::Apop | Pop3Kind::Auth(_),
                code,
                ..
            } if self.login.goes_on(round.user, code) => self.try_way(round)?,
            Reply::Stat { count, octets } => {
                (self.expected, self.octets) = (count, octets);
                self.begin_listing(round);
                self.ask(round, Pop3Request::Uidl)?;
                return Ok(self.enter(State::Listing));
            }
            other => return Err(unexpected(other)),
        }
        Ok(Turn::Again)
    }

    /// What the server can do is known: TLS, or the login.
    fn knock<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        if self.login.wants_tls(round.user, self.capabilities.stls)? {
            self.ask(round, Pop3Request::Stls)?;
            return Ok(Turn::Again);
        }
        self.try_way(round)?;
        let expire = self.capabilities.expire;
        if self.report.expire != expire && matches!(expire, Expire::Days(_)) {
            self.report.expire = expire;
            return Ok(Turn::Tell(Event::Expires(expire)));
        }
        Ok(Turn::Again)
    }

    /// Begins the next way to log in by POP3.
    fn try_way<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<(), Failure> {
        let Some(source) = &round.user.source else {
            return Err(Failure::NotListed);
        };
        let sasl = self.capabilities.sasl;
        let words = self.capabilities.user || sasl == Mechanisms::NONE;
        let way = match self.login.choose(round.user, Offered { words, sasl }) {
            // Every server knows it (RFC 1939 §7), though not each says so.
            Err(Failure::NoWay) => Way::Words,
            way => way?,
        };
        self.login.begin(way);
        match way {
            Way::Words => self.ask(round, Pop3Request::User(&source.login)),
            Way::Sasl(mechanism) => self.ask(round, Pop3Request::Auth(mechanism)),
            Way::Apop => {
                let digest = apop::digest(&self.login.stamp, &source.password);
                let (login, digest) = (&source.login, digest.as_str());
                self.ask(round, Pop3Request::Apop { login, digest })
            }
        }
    }

    /// The server waits for TLS.
    pub(super) fn begin_tls(&mut self, now: Instant) -> Turn {
        let until = now + CONNECT_PATIENCE;
        self.enter(State::Securing { until });
        Turn::Tell(Event::StartTls)
    }

    /// Waits for TLS; then everything that the server has said before is forgotten.
    pub(super) fn secure<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        until: Instant,
    ) -> Result<Turn, Failure> {
        match round.connection {
            Connection::Failed(error) => return Err(Failure::Connect(error)),
            Connection::Pending if round.now >= until => return Err(Failure::TlsTimedOut),
            Connection::Pending => return Ok(Turn::Wait),
            Connection::Open => {}
        }
        self.login.secure = true;
        self.login.stamp.clear();
        self.capabilities = Default::default();
        match &mut self.client {
            Client::Imap(imap) => {
                imap.begin_anew(round.now);
                if !imap.ask(round.link, ImapRequest::Capability) {
                    return Err(Failure::Closed);
                }
            }
            client => {
                *client = Client::Pop3(Pop3Client::secured(round.now));
                self.ask(round, Pop3Request::Capa)?;
            }
        }
        Ok(self.enter(State::Login))
    }

    /// Answers the challenge of `length` octets in the piece.
    pub(super) fn respond<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        length: usize,
    ) -> Result<Turn, Failure> {
        let challenge = self.piece.get(..length).unwrap_or_default();
        let (Some(source), Some(exchange)) = (&round.user.source, &mut self.login.exchange) else {
            return Err(Failure::Proof(Fault::OutOfTurn));
        };
        let mut line = Line::new();
        let progress = exchange.respond(who(source), challenge, &mut line);
        self.send(round, progress, &line)
    }

    /// Goes on with what an exchange has to compute: one slice of it.
    pub(super) fn work<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let (Some(source), Some(exchange)) = (&round.user.source, &mut self.login.exchange) else {
            return Err(Failure::Proof(Fault::OutOfTurn));
        };
        let mut line = Line::new();
        let progress = exchange.work(who(source), &mut line);
        self.send(round, progress, &line)
    }

    fn send<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        progress: Result<Progress, Fault>,
        line: &str,
    ) -> Result<Turn, Failure> {
        self.login.working = progress == Ok(Progress::Working);
        if progress == Err(Fault::Refused) && self.client.answer(round.link, "*") {
            // The reply to this says more.
            return Ok(Turn::Again);
        }
        match progress.map_err(Failure::Proof)? {
            // Others have their turn before the next slice.
            Progress::Working => Ok(Turn::Wait),
            Progress::Send if self.client.answer(round.link, line) => Ok(Turn::Again),
            Progress::Send => Err(Failure::Proof(Fault::Unsendable)),
        }
    }
}

fn who(source: &Source) -> Credentials<'_> {
    Credentials {
        login: &source.login,
        password: &source.password,
    }
}
