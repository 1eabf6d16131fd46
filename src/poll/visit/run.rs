//! A visit under way: its state, and what it does in one turn.
//!
//! Each state's work stands in a file of its own beside this one.

use hal::{Connection, Instant, MailFolder, Medium};

use crate::config::{Scheme, User};
use crate::link::Link;
use crate::mailbox::{self, Habit, Lan, Mailbox, Row, SourceRecord, Taken};
use crate::pop3::client::{Capabilities, Client as Pop3Client, Event as Pop3Reply};
use crate::reconcile::{Errand, Listed};
use crate::sasl::Nonce;
use crate::store::Ticket;

use super::choosing::{Looking, Purpose, Quest, Sizing};
use super::copying::Copying;
use super::imap::Imap;
use super::login::Login;
use super::maildir::Maildir;
use super::naming::Naming;
use super::remote::{Client, Reply, Request, Text};
use super::settled::Settled;
use super::streaming::Streaming;
use super::undoing::Undoing;
use super::{
    CONNECT_PATIENCE, Event, Failure, Goal, PIECE_OCTETS, PROGRESS_PATIENCE, Report, Standing,
    Tables,
};

/// A visit under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) goal: Goal,
    pub(super) account: u8,
    pub(super) client: Client,
    pub(super) capabilities: Capabilities,
    pub(super) login: Login,
    pub(super) report: Report,
    pub(super) state: State,
    /// What was dealt with last, and when.
    milestone: Milestone,
    pub(super) reached: Instant,
    pub(super) expected: u32,
    /// Octets of all mails, as `STAT` said.
    pub(super) octets: u64,
    /// Octets that this is more than the rows have, where sizes are compared.
    pub(super) excess: Option<i64>,
    /// Entries in the table.
    pub(super) listed: usize,
    /// And what has none.
    pub(super) settled: Settled,
    /// Headers have been looked at: what is new now stays new.
    pub(super) looked: bool,
    /// `Current` has been told.
    told: bool,
    /// The window is being filled; else it is left to run low.
    asking: bool,
    /// How the mailbox stood at the last whole listing of this run, where that can be compared.
    pub(super) recalled: Option<Standing>,
    pub(super) source: SourceRecord,
    /// The one mail that is fetched to see whether the source keeps it.
    pub(super) probe: bool,
    pub(super) undoing: Undoing,
    pub(super) naming: Naming,
    pub(super) piece: [u8; PIECE_OCTETS],
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are four visits at the most, and no heap"
)]
pub(super) enum State {
    Connecting { until: Instant },
    Securing { until: Instant },
    Login,
    Listing,
    Absent { slot: u32 },
    Present { at: usize },
    Settling { ticket: Ticket, then: Then },
    Looking(Looking),
    Sizing(Sizing),
    Entering { at: usize },
    Copying(Copying),
    Streaming(Streaming),
    Quitting,
    Ended,
}

/// How far a visit is: its state, and how much of it is done.
type Milestone = (&'static str, (bool, usize));

/// What follows a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Look,
    Size,
    Quit,
}

/// What a turn of the machine came to.
#[expect(
    clippy::large_enum_variant,
    reason = "a report is the last of thousands of turns, and there is no heap"
)]
pub(super) enum Turn {
    /// Go on.
    Again,
    /// Nothing to do until something happens.
    Wait,
    /// Tell the owner.
    Tell(Event),
}

/// What a run is lent for one step.
pub(super) struct Round<'r, 'a, 'm, M: Medium> {
    pub(super) now: Instant,
    pub(super) link: &'r mut Link,
    pub(super) connection: Connection,
    pub(super) folder: Option<&'r mut dyn MailFolder>,
    pub(super) user: &'r User,
    pub(super) day: u16,
    pub(super) mailbox: &'r mut Mailbox<'m, M>,
    pub(super) tables: &'r mut Tables<'a>,
}

impl Run {
    /// One whose connection was just started. `nonce` is for this visit alone.
    pub(super) fn new(now: Instant, goal: Goal, account: u8, nonce: Nonce) -> Self {
        Self {
            goal,
            account,
            client: Client::Pop3(Pop3Client::new(now)),
            capabilities: Capabilities::default(),
            login: Login::new(nonce),
            report: Report::default(),
            state: State::Connecting {
                until: now + CONNECT_PATIENCE,
            },
            milestone: ("", (false, 0)),
            reached: now,
            expected: 0,
            octets: 0,
            excess: None,
            listed: 0,
            settled: Settled::default(),
            looked: false,
            told: false,
            asking: false,
            recalled: None,
            source: SourceRecord::default(),
            probe: false,
            undoing: Undoing::Unknown,
            naming: Naming::default(),
            piece: [0; PIECE_OCTETS],
        }
    }

    pub(super) fn turn<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        match &mut self.state {
            State::Connecting { until } => {
                let until = *until;
                self.connect(round, until)
            }
            State::Securing { until } => {
                let until = *until;
                self.secure(round, until)
            }
            State::Login => match self.client {
                Client::Pop3(_) => self.log_in(round),
                Client::Imap(_) => self.log_in_imap(round),
                Client::Maildir(_) => self.open_maildir(round),
            },
            State::Listing => self.list(round),
            State::Absent { slot } => {
                let slot = *slot;
                self.write_absent(round, slot)
            }
            State::Present { at } => {
                let at = *at;
                self.write_present(round, at)
            }
            State::Settling { ticket, then } => {
                let (ticket, then) = (*ticket, *then);
                self.settle(round, ticket, then)
            }
            State::Looking(_) => self.look(round),
            State::Sizing(sizing) => {
                let sizing = *sizing;
                self.measure(round, sizing)
            }
            State::Entering { at } => {
                let at = *at;
                self.enter_uncopied(round, at)
            }
            State::Copying(_) => self.copy(round),
            State::Streaming(_) => self.stream(round),
            State::Quitting => self.quit(round),
            State::Ended => Ok(Turn::Tell(Event::Ended(self.report.clone()))),
        }
    }

    /// The mail that the visit failed over, if it was a mail: should it be the same next time, it
    /// comes after all others, and is passed over in the end, so that those behind it are had.
    pub(super) fn stumbled<'t>(
        &self,
        listing: &'t [Listed],
        failure: &Failure,
    ) -> Option<&'t Listed> {
        let (at, ended, errand) = match &self.state {
            State::Copying(copying) => (copying.at(), copying.ended(), Errand::Copy),
            State::Looking(looking) => (looking.at(), looking.ended(), Errand::Header),
            _ => return None,
        };
        let under_way = || {
            let mut rest = listing.get(at..self.listed)?.iter();
            rest.find(|entry| entry.errand() == errand)
        };
        match failure {
            // What came behind the end of a mail is the rest of it: its first line was a dot.
            Failure::Server(server) if server.is_out_of_step() => {
                ended.map_or_else(under_way, |at| listing.get(at))
            }
            Failure::Server(_) | Failure::Closed | Failure::TooSlow | Failure::Endless { .. } => {
                under_way()
            }
            _ => None,
        }
    }

    /// Whether nothing was dealt with for too long.
    pub(super) fn is_stuck(&mut self, now: Instant) -> bool {
        let done = match &self.state {
            State::Looking(looking) => (false, looking.at()),
            State::Copying(copying) => copying.milestone(),
            State::Streaming(streaming) => streaming.milestone(),
            _ => (false, 0),
        };
        let milestone = (self.state.name(), done);
        if milestone != self.milestone {
            (self.milestone, self.reached) = (milestone, now);
        }
        now >= self.reached + PROGRESS_PATIENCE
    }

    pub(super) fn enter(&mut self, state: State) -> Turn {
        log::debug!("visit: {} -> {}", self.state.name(), state.name());
        self.state = state;
        Turn::Again
    }

    pub(super) fn connect<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        until: Instant,
    ) -> Result<Turn, Failure> {
        match round.connection {
            Connection::Failed(error) => Err(Failure::Connect(error)),
            Connection::Pending if round.now >= until => Err(Failure::ConnectTimedOut),
            Connection::Pending => Ok(Turn::Wait),
            Connection::Open => {
                let source = round.user.source.as_ref();
                // Else the connection would not be open.
                self.login.secure = source.is_some_and(|source| source.scheme.is_secure());
                self.client = match source.map(|source| source.scheme) {
                    Some(Scheme::Maildir) => Client::Maildir(Maildir::new(round.user.seen)),
                    Some(scheme) if scheme.is_imap() => {
                        Client::Imap(Imap::new(round.now, round.user.seen))
                    }
                    _ => Client::Pop3(Pop3Client::new(round.now)),
                };
                self.remember_source(round)?;
                Ok(self.enter(State::Login))
            }
        }
    }

    pub(super) fn settle<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        ticket: Ticket,
        then: Then,
    ) -> Result<Turn, Failure> {
        match round.mailbox.committed(ticket) {
            Ok(true) => {}
            Ok(false) => return Ok(Turn::Wait),
            Err(error) => return Err(Failure::Mailbox(error)),
        }
        let turn = match then {
            Then::Look if self.wants_entries(round) => self.list_again(round)?,
            Then::Look => match self.doubts_sizes(round) {
                true if self.settled.count > 0 => self.list_again(round)?,
                true => self.ask_sizes(round, Purpose::Compare)?,
                false => {
                    self.plan_looks(round);
                    self.enter(State::Looking(Looking::new(Quest::Old)))
                }
            },
            Then::Size => {
                self.plan_sizes(round)?;
                self.ask_sizes(round, Purpose::Choose)?
            }
            Then::Quit => {
                if !self.ask_if_room(round, Request::Quit) {
                    return Ok(Turn::Wait);
                }
                self.report.standing = self.standing();
                return Ok(self.enter(State::Quitting));
            }
        };
        if core::mem::replace(&mut self.told, true) {
            return Ok(turn);
        }
        Ok(Turn::Tell(Event::Current))
    }

    pub(super) fn copy<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let State::Copying(mut copying) = core::mem::replace(&mut self.state, State::Ended) else {
            return Ok(Turn::Again);
        };
        match copying.turn(self, round) {
            Ok(Some(turn)) => {
                self.state = State::Copying(copying);
                Ok(turn)
            }
            Ok(None) if self.source.habit == Habit::Consumes && self.report.failure.is_some() => {
                // QUIT would drop what was fetched and is not held.
                Err(self.report.failure.take().unwrap_or(Failure::Closed))
            }
            Ok(None) => {
                let ticket = round.mailbox.commit();
                let then = Then::Quit;
                Ok(self.enter(State::Settling { ticket, then }))
            }
            Err(failure) => {
                // The room that there seemed to be is pinned.
                if failure == Failure::Mailbox(mailbox::Error::RingFull)
                    && let Some(state) = self.streaming(round)
                {
                    return Ok(self.enter(state));
                }
                // So that what was begun is given up.
                self.state = State::Copying(copying);
                Err(failure)
            }
        }
    }

    pub(super) fn quit<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(Reply::Ended) => {
                self.sum_up();
                Ok(self.enter(State::Ended))
            }
            Some(_) => {
                self.report.next = None;
                self.sum_up();
                Ok(self.enter(State::Ended))
            }
        }
    }

    /// Completes the report with what is known of the connection.
    pub(super) fn sum_up(&mut self) {
        let login = matches!(self.state, State::Login);
        let failure = self.report.failure.as_ref().filter(|_| login);
        self.report.hiding_refused = self.login.was_hiding_refused(failure);
        self.report.secure = self.login.secure;
        self.report.alert = self.client.alert();
    }

    /// What the next visit may compare with: only if this one has left nothing undone.
    pub(super) fn standing(&self) -> Option<Standing> {
        let standing = match &self.client {
            Client::Imap(imap) => imap.standing().map(Standing::Imap),
            Client::Pop3(_) => self.naming.standing().map(Standing::Headers),
            Client::Maildir(_) => None,
        };
        let Report {
            new,
            copied,
            uncopied,
            next,
            ..
        } = self.report;
        let done = self.report.failure.is_none() && next.is_none() && new == copied + uncopied;
        let all = !matches!(self.goal, Goal::Fetch(_));
        standing.filter(|_| done && all)
    }

    /// A row for `entry`, without a copy.
    pub(super) fn row<M: Medium>(
        &self,
        round: &Round<'_, '_, '_, M>,
        entry: &Listed,
        uid: u32,
        taken: Taken,
    ) -> Row {
        Row {
            key: entry.key,
            identity: entry.identity(),
            size: entry.size().unwrap_or(0),
            uid,
            copy: None,
            since: round.day,
            call: 0,
            user: self.account,
            lan: if entry.seen() { Lan::Read } else { Lan::Unread },
            taken,
        }
    }

    pub(super) fn reply<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Option<Reply> {
        let folder = round.folder.as_deref_mut();
        self.client
            .step(round.now, round.link, folder, &mut self.piece)
    }

    /// The same while the visit logs in by POP3.
    pub(super) fn pop3_reply<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Option<Pop3Reply> {
        self.client
            .step_pop3(round.now, round.link, &mut self.piece)
    }

    /// Asks what must be asked now.
    pub(super) fn ask<'q, M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        request: impl Into<Request<'q>>,
    ) -> Result<(), Failure> {
        let request = request.into();
        let kind = request.kind();
        if self.client.request(round.link, request) {
            return Ok(());
        }
        // Nothing is outstanding and the link is empty at these places: the words themselves
        // cannot be sent.
        Err(Failure::Refused {
            kind,
            code: None,
            text: Text::try_from("login or password cannot be sent").unwrap_or_default(),
        })
    }

    pub(super) fn ask_if_room<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        request: Request<'_>,
    ) -> bool {
        self.client.request(round.link, request)
    }

    /// Asks ahead of the replies where the server can pipeline, else one at a time.
    pub(super) fn ask_ahead<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        request: Request<'_>,
    ) -> bool {
        let pipelines = self.capabilities.pipelining || self.client.pipelines();
        let outstanding = self.client.outstanding();
        if !pipelines && outstanding > 0 {
            return false;
        }
        // Many at once, when few are left: each batch of requests is a turn on the wire.
        self.asking |= outstanding <= self.client.window() / 4;
        self.asking = self.asking && self.ask_if_room(round, request);
        self.asking
    }

    pub(super) fn listing<'t, M: Medium>(
        &self,
        round: &'t mut Round<'_, '_, '_, M>,
    ) -> &'t mut [Listed] {
        let listing = round.tables.listing.get_mut(..self.listed);
        listing.unwrap_or_default()
    }

    /// The first entry from `from` on that has `errand`.
    pub(super) fn next_errand<M: Medium>(
        &self,
        round: &Round<'_, '_, '_, M>,
        from: usize,
        errand: Errand,
    ) -> Option<usize> {
        let listing = round.tables.listing.get(from..self.listed)?;
        let ahead = listing.iter().position(|entry| entry.errand() == errand)?;
        Some(from + ahead)
    }

    pub(super) fn number<M: Medium>(&self, round: &Round<'_, '_, '_, M>, at: usize) -> u32 {
        round.tables.listing.get(at).map_or(0, |entry| entry.number)
    }
}

impl State {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Securing { .. } => "starting TLS",
            Self::Login => "login",
            Self::Listing => "listing",
            Self::Absent { .. } => "writing what is absent",
            Self::Present { .. } => "writing what is listed",
            Self::Settling { .. } => "committing",
            Self::Looking(_) => "looking at headers",
            Self::Sizing(_) => "asking sizes",
            Self::Entering { .. } => "entering",
            Self::Copying(_) => "copying",
            Self::Streaming(_) => "streaming",
            Self::Quitting => "quitting",
            Self::Ended => "ended",
        }
    }
}

/// A reply that ends the visit.
pub(super) fn unexpected(reply: impl Into<Reply>) -> Failure {
    match reply.into() {
        Reply::Refused { kind, code, text } => Failure::Refused { kind, code, text },
        Reply::Failed(failure) => Failure::Server(failure),
        // The client matches replies to requests: no other can come here.
        other => {
            log::error!("visit: reply out of place: {other:?}");
            Failure::Closed
        }
    }
}
