//! One visit to a LAN server by POP3: from the connection to its end (patent P0032-P0049).
//!
//! ```text
//! Connecting -> Login: greeting CAPA USER PASS STAT -> Listing: UIDL
//!   -> Absent -> Present -> Settling   what the listing says is written and durable: `Current`
//!   -> Looking: TOP n 0 -> Present ..  are new ids old mails under other names?
//!   -> Sizing: LIST -> Entering        mails that will not be copied get their rows
//!   -> Copying: TOP n 99999999         the others get theirs with their copies
//!   -> Settling -> Quitting -> ended
//! ```
//!
//! A listing is believed only whole: its last dot has come and it has as many entries as `STAT`
//! said; else the visit changes nothing (design 2.1). Nothing is changed at the server: there is
//! no `DELE` here, and `TOP` leaves no mark where `RETR` would (design §3).

use core::fmt;

use hal::lan::ConnectError;
use hal::{Connection, Duration, Instant, Medium};

use crate::config::{Start, User};
use crate::identity::{Basis, HeaderReader};
use crate::link::Link;
use crate::mailbox::{self, Habit, Lan, Mailbox, Row, SourceRecord, Taken};
use crate::pop3::client::{
    Capabilities, Client, Event as Reply, Failure as ClientFailure, Kind, Request, ResponseCode,
    Text, UNIQUE_ID_OCTETS,
};
use crate::reconcile::{Errand, Listed, Outcome, Slots, Verdict, reconcile};
use crate::store::Ticket;

use super::copying::Copying;

/// How long a connection may take to open: TCP tries for about as long on a LAN worth the name.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// `TOP` with so many lines is the whole mail, without the mark that `RETR` leaves. Compuserve's
/// server took no greater number.
pub(super) const ALL_LINES: u32 = 99_999_999;

/// So many new mails are asked for their size one by one; more, by one `LIST` of all.
const SINGLE_SIZES: usize = 16;

/// A piece of a body, or a unique-id.
pub(super) const PIECE_OCTETS: usize = 4096;
const _: () = assert!(PIECE_OCTETS >= UNIQUE_ID_OCTETS);

/// What a visit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To learn what is new and what has gone, and to copy.
    Poll,
    /// The same, and to see whether the mail in this slot, fetched at the last login, is still
    /// there (design 2.4).
    Decide(u32),
    /// To copy the mail in this slot, for a caller who waits.
    Fetch(u32),
}

/// What a visit tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is absent or read at the LAN server is durable.
    Current,
    /// The visit has ended; the connection may be dropped.
    Ended(Report),
}

/// A visit in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Mails the server listed.
    pub listed: u32,
    /// Rows that were listed before and are not any more.
    pub vanished: u32,
    /// Mails that were never here.
    pub new: u32,
    /// Mails found again under other unique-ids.
    pub rekeyed: u32,
    /// Mails copied.
    pub copied: u32,
    /// Octets of them.
    pub octets: u64,
    /// Mails entered without a copy.
    pub uncopied: u32,
    /// A visit that should follow at once.
    pub next: Option<NextVisit>,
    /// Why it did not go to its end. What is reported above holds all the same.
    pub failure: Option<Failure>,
}

/// The mail that a second login must look for: see [`Goal::Decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextVisit(pub u32);

/// Why a visit did not go to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect(ConnectError),
    /// No connection within half a minute.
    ConnectTimedOut,
    /// The server closed the connection in mid-visit.
    Closed,
    /// The server refused.
    Refused {
        /// What.
        kind: Kind,
        /// The reason, where it is one we know.
        code: Option<ResponseCode>,
        /// Its words.
        text: Text,
    },
    /// The server does not speak POP3 as it should.
    Server(ClientFailure),
    /// The listing has not as many entries as `STAT` said.
    ListingCut {
        /// As `STAT` said.
        expected: u32,
        /// As were listed.
        listed: u32,
    },
    /// The listing is longer than this board has memory for.
    ListingTooLong {
        /// The longest.
        limit: usize,
    },
    /// Bodies kept coming shorter than the server said they are; so many mails wait for the next
    /// visit.
    Short(u32),
    /// The source drops what is fetched: nothing is copied without the owner's word.
    Consumes,
    /// The mail a caller waited for is not listed any more.
    NotListed,
    /// The mailbox took no more.
    Mailbox(mailbox::Error),
}

/// A visit, or the place for one, over lent tables.
#[derive(Debug)]
pub struct Visit<'a> {
    tables: Tables<'a>,
    run: Option<Run>,
}

/// Lent memory: as many entries as a listing may have, and a bit for each row.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The listing.
    pub listing: &'a mut [Listed],
    /// Scratch: one word an entry.
    pub order: &'a mut [u32],
    /// Scratch: one bit a slot of the ledger.
    pub matched: &'a mut [u32],
}

/// A visit under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) goal: Goal,
    pub(super) account: u8,
    pub(super) client: Client,
    pub(super) capabilities: Capabilities,
    pub(super) report: Report,
    state: State,
    expected: u32,
    listed: usize,
    /// Headers have been looked at: what is new now stays new.
    looked: bool,
    /// `Current` has been told.
    told: bool,
    pub(super) source: SourceRecord,
    /// The one mail that is fetched to see whether the source keeps it.
    pub(super) probe: bool,
    pub(super) piece: [u8; PIECE_OCTETS],
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are four visits at the most, and no heap"
)]
enum State {
    Connecting { until: Instant },
    Login,
    Listing,
    Absent { slot: u32 },
    Present { at: usize },
    Settling { ticket: Ticket, then: Then },
    Looking(Looking),
    Sizing { asked: usize, all: bool },
    Entering { at: usize },
    Copying(Copying),
    Quitting,
    Ended,
}

/// What follows a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Look,
    Size,
    Quit,
}

/// Headers on their way: asked as far as `asked`, answered as far as `at`.
#[derive(Debug)]
struct Looking {
    asked: usize,
    at: usize,
    header: HeaderReader,
    /// Whether this is for mails that will not be copied, or to find old mails under new ids.
    uncopied: bool,
}

/// What a turn of the machine came to.
pub(super) enum Turn {
    /// Go on.
    Again,
    /// Nothing to do until something happens.
    Wait,
    /// Tell the owner.
    Tell(Event),
}

impl<'a> Visit<'a> {
    /// A place for visits.
    pub fn new(tables: Tables<'a>) -> Self {
        Self { tables, run: None }
    }

    /// Begins a visit for `goal` to the source of `account`, whose connection was just started.
    pub fn begin(&mut self, now: Instant, goal: Goal, account: u8) {
        self.run = Some(Run {
            goal,
            account,
            client: Client::new(now),
            capabilities: Capabilities::default(),
            report: Report::default(),
            state: State::Connecting {
                until: now + CONNECT_PATIENCE,
            },
            expected: 0,
            listed: 0,
            looked: false,
            told: false,
            source: SourceRecord::default(),
            probe: false,
            piece: [0; PIECE_OCTETS],
        });
    }

    /// Whether a visit is under way here, and whose.
    #[must_use]
    pub fn account(&self) -> Option<u8> {
        self.run.as_ref().map(|run| run.account)
    }

    /// What the visit under way is for.
    #[must_use]
    pub fn goal(&self) -> Option<Goal> {
        self.run.as_ref().map(|run| run.goal)
    }

    /// One step: reads what came, asks what is next, writes what is known. `day` is today, or 0
    /// while no clock is trusted.
    pub fn step<M: Medium>(
        &mut self,
        now: Instant,
        link: &mut Link,
        connection: Connection,
        user: &User,
        day: u16,
        mailbox: &mut Mailbox<'_, M>,
    ) -> Option<Event> {
        let run = self.run.as_mut()?;
        let mut round = Round {
            now,
            link,
            connection,
            user,
            day,
            mailbox,
            tables: &mut self.tables,
        };
        loop {
            match run.turn(&mut round) {
                Ok(Turn::Again) => {}
                Ok(Turn::Wait) => return None,
                Ok(Turn::Tell(event)) => {
                    if matches!(event, Event::Ended(_)) {
                        self.run = None;
                    }
                    return Some(event);
                }
                Err(failure) => return Some(Event::Ended(self.fail(mailbox, failure))),
            }
        }
    }

    /// The connection was closed by the other end, or failed.
    pub fn closed<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) -> Option<Event> {
        let run = self.run.as_ref()?;
        if matches!(run.state, State::Quitting) {
            // All is done; the answer to QUIT is a courtesy.
            let run = self.run.take()?;
            return Some(Event::Ended(run.report));
        }
        Some(Event::Ended(self.fail(mailbox, Failure::Closed)))
    }

    /// When to step though nothing came.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        match run.state {
            State::Connecting { until } => Some(until),
            _ => run.client.deadline(),
        }
    }

    fn fail<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>, failure: Failure) -> Report {
        let Some(mut run) = self.run.take() else {
            return Report::default();
        };
        if let State::Copying(copying) = &mut run.state {
            copying.abandon(mailbox);
        }
        if run.report.copied > 0 || run.report.uncopied > 0 {
            mailbox.commit();
        }
        run.report.failure = Some(failure);
        run.report
    }
}

/// What a run is lent for one step.
pub(super) struct Round<'r, 'a, 'm, M: Medium> {
    pub(super) now: Instant,
    pub(super) link: &'r mut Link,
    connection: Connection,
    pub(super) user: &'r User,
    pub(super) day: u16,
    pub(super) mailbox: &'r mut Mailbox<'m, M>,
    pub(super) tables: &'r mut Tables<'a>,
}

impl Run {
    fn turn<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        match &mut self.state {
            State::Connecting { until } => {
                let until = *until;
                self.connect(round, until)
            }
            State::Login => self.log_in(round),
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
            State::Sizing { asked, all } => {
                let (asked, all) = (*asked, *all);
                self.measure(round, asked, all)
            }
            State::Entering { at } => {
                let at = *at;
                self.enter_uncopied(round, at)
            }
            State::Copying(_) => self.copy(round),
            State::Quitting => self.quit(round),
            State::Ended => Ok(Turn::Tell(Event::Ended(self.report.clone()))),
        }
    }

    fn enter(&mut self, state: State) -> Turn {
        log::debug!("visit: {} -> {}", self.state.name(), state.name());
        self.state = state;
        Turn::Again
    }

    fn connect<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        until: Instant,
    ) -> Result<Turn, Failure> {
        match round.connection {
            Connection::Failed(error) => Err(Failure::Connect(error)),
            Connection::Pending if round.now >= until => Err(Failure::ConnectTimedOut),
            Connection::Pending => Ok(Turn::Wait),
            Connection::Open => {
                self.client = Client::new(round.now);
                self.remember_source(round)?;
                Ok(self.enter(State::Login))
            }
        }
    }

    /// What is known of this source's habits; another URL is another source.
    fn remember_source<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<(), Failure> {
        let fingerprint = fingerprint(round.user, round.mailbox);
        let known = round.mailbox.ledger().account(self.account);
        let known = known.map(|account| account.source).unwrap_or_default();
        self.source = if known.fingerprint == fingerprint {
            known
        } else {
            SourceRecord {
                fingerprint,
                ..SourceRecord::default()
            }
        };
        Ok(())
    }

    fn log_in<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let Some(source) = &round.user.source else {
            return Err(Failure::NotListed);
        };
        let Some(reply) = self.reply(round) else {
            return Ok(Turn::Wait);
        };
        let next = match reply {
            Reply::Greeting { .. } => Request::Capa,
            Reply::Capabilities(capabilities) => {
                self.capabilities = capabilities;
                Request::User(&source.login)
            }
            // A server older than RFC 2449.
            Reply::Refused {
                kind: Kind::Capa, ..
            } => Request::User(&source.login),
            Reply::Ok(Kind::User) => Request::Pass(&source.password),
            Reply::Ok(Kind::Pass) => Request::Stat,
            Reply::Stat { count, .. } => {
                self.expected = count;
                self.listed = 0;
                self.ask(round, Request::Uidl)?;
                return Ok(self.enter(State::Listing));
            }
            other => return Err(unexpected(other)),
        };
        self.ask(round, next)?;
        Ok(Turn::Again)
    }

    fn list<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let limit = round.tables.listing.len();
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(Reply::UniqueId { number, length }) => {
                let id = self.piece.get(..length).unwrap_or_default();
                let key = round.mailbox.key(id);
                let Some(entry) = round.tables.listing.get_mut(self.listed) else {
                    return Err(Failure::ListingTooLong { limit });
                };
                *entry = Listed::new(key, number);
                self.listed += 1;
                Ok(Turn::Again)
            }
            Some(Reply::ListingEnd { .. }) => self.believe(round),
            Some(other) => Err(unexpected(other)),
        }
    }

    /// The listing has come to its end: is it whole?
    fn believe<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let listing = round.tables.listing.get_mut(..self.listed);
        let listing = listing.unwrap_or_default();
        let listed = u32::try_from(self.listed).unwrap_or(u32::MAX);
        // Numbers rise by one in what servers send: sorting leaves them as they are, and shows
        // one that stands there twice.
        listing.sort_unstable_by_key(|entry| entry.number);
        let doubled = listing
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.number == b.number));
        if listed != self.expected || doubled {
            return Err(Failure::ListingCut {
                expected: self.expected,
                listed,
            });
        }
        self.report.listed = listed;
        self.judge(round);
        Ok(self.enter(State::Absent { slot: 0 }))
    }

    /// Compares the listing with the rows.
    fn judge<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let tables = &mut *round.tables;
        let listing = tables.listing.get_mut(..self.listed).unwrap_or_default();
        let mut matched = Slots::new(tables.matched);
        let known = round.mailbox.ledger().known(self.account);
        let outcome = reconcile(listing, &known, &mut matched, tables.order, self.looked);
        if let Outcome::Plan(plan) = outcome {
            self.report.new = plan.new;
            self.report.rekeyed = plan.rekeyed;
        }
        // What was fetched at an earlier login and is still there shows that the source keeps it.
        if self.source.habit == Habit::Untested {
            let kept = listing.iter().any(|entry| {
                let Verdict::Known(slot) = entry.verdict else {
                    return false;
                };
                let row = round.mailbox.ledger().row(slot);
                row.is_some_and(|row| row.copy.is_some())
            });
            if kept {
                self.source.habit = Habit::Keeps;
            } else if let Goal::Decide(slot) = self.goal
                && !matched.contains(slot)
            {
                self.source.habit = Habit::Consumes;
            }
        }
    }

    /// Writes that what is not listed is absent.
    fn write_absent<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        from: u32,
    ) -> Result<Turn, Failure> {
        let matched = Slots::resume(round.tables.matched);
        let keeps = self.source.habit == Habit::Keeps;
        for slot in from..round.mailbox.ledger().used() {
            let Some(row) = round.mailbox.ledger().row(slot) else {
                continue;
            };
            if row.user != self.account || matched.contains(slot) {
                continue;
            }
            let vanished = row.is_listed();
            let lan = row.when_unlisted(keeps);
            match round.mailbox.set_lan(slot, lan, round.day) {
                Ok(()) => self.report.vanished += u32::from(vanished),
                Err(mailbox::Error::Busy) => {
                    self.state = State::Absent { slot };
                    return Ok(Turn::Wait);
                }
                Err(error) => return Err(Failure::Mailbox(error)),
            }
        }
        Ok(self.enter(State::Present { at: 0 }))
    }

    /// Writes that what is listed is there, under the id it is listed with.
    fn write_present<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        from: usize,
    ) -> Result<Turn, Failure> {
        for at in from..self.listed {
            let Some(&entry) = round.tables.listing.get(at) else {
                break;
            };
            let (Verdict::Known(slot) | Verdict::Rekeyed(slot)) = entry.verdict else {
                continue;
            };
            let lan = Row::when_listed(entry.seen);
            let written = round
                .mailbox
                .rekey(slot, entry.key)
                .and_then(|()| round.mailbox.set_lan(slot, lan, round.day));
            match written {
                Ok(()) => {}
                Err(mailbox::Error::Busy) => {
                    self.state = State::Present { at };
                    return Ok(Turn::Wait);
                }
                Err(error) => return Err(Failure::Mailbox(error)),
            }
        }
        self.write_source(round)?;
        let then = if self.looked { Then::Size } else { Then::Look };
        // Where nothing changed there is nothing to flush, and the ticket is done at once.
        let ticket = round.mailbox.commit();
        Ok(self.enter(State::Settling { ticket, then }))
    }

    fn write_source<M: Medium>(&self, round: &mut Round<'_, '_, '_, M>) -> Result<(), Failure> {
        let known = round.mailbox.ledger().account(self.account);
        if known.is_some_and(|account| account.source == self.source) {
            return Ok(());
        }
        match round.mailbox.set_source(self.account, self.source) {
            // It will be learnt again.
            Ok(()) | Err(mailbox::Error::Busy) => Ok(()),
            Err(error) => Err(Failure::Mailbox(error)),
        }
    }

    fn settle<M: Medium>(
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
        match then {
            Then::Look => {
                self.plan_looks(round);
                let turn = self.enter(State::Looking(Looking::new(false)));
                if self.told {
                    return Ok(turn);
                }
                self.told = true;
                Ok(Turn::Tell(Event::Current))
            }
            Then::Size => {
                self.plan_sizes(round)?;
                let all = self.errands(round, Errand::Size) > SINGLE_SIZES;
                if all {
                    self.ask(round, Request::List)?;
                }
                Ok(self.enter(State::Sizing { asked: 0, all }))
            }
            Then::Quit => {
                if !self.ask_if_room(round, Request::Quit) {
                    return Ok(Turn::Wait);
                }
                Ok(self.enter(State::Quitting))
            }
        }
    }

    /// Whose header must be seen before anything is copied.
    fn plan_looks<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let dated = !self.source.visited && matches!(round.user.start, Start::Days(_));
        for entry in self.listing(round) {
            let look = entry.verdict == Verdict::Look || dated && entry.verdict == Verdict::New;
            entry.errand = if look {
                Errand::Header
            } else {
                Errand::Nothing
            };
        }
    }

    /// Reads headers, those with [`Errand::Header`].
    fn look<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let State::Looking(mut looking) = core::mem::replace(&mut self.state, State::Ended) else {
            return Ok(Turn::Again);
        };
        let turn = self.look_on(round, &mut looking);
        if matches!(self.state, State::Ended) {
            self.state = State::Looking(looking);
        }
        turn
    }

    fn look_on<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        looking: &mut Looking,
    ) -> Result<Turn, Failure> {
        while let Some(at) = self.next_errand(round, looking.asked, Errand::Header) {
            let number = self.number(round, at);
            if !self.ask_ahead(round, Request::Top { number, lines: 0 }) {
                break;
            }
            looking.asked = at + 1;
        }
        let Some(at) = self.next_errand(round, looking.at, Errand::Header) else {
            return self.looked(round, looking.uncopied);
        };
        match self.reply(round) {
            None => return Ok(Turn::Wait),
            Some(Reply::Body { length }) => {
                let piece = self.piece.get(..length).unwrap_or_default();
                looking.header.read(piece);
            }
            Some(Reply::BodyEnd { .. }) => {
                let header = core::mem::take(&mut looking.header).finish();
                if let Some(entry) = round.tables.listing.get_mut(at) {
                    // Made of less than the mail, it compares with nothing.
                    let whole = header.basis == Basis::Fields;
                    entry.identity = whole.then_some(header.identity);
                    entry.day = header.day;
                }
                looking.at = at + 1;
            }
            // No TOP, or read at the desk meanwhile.
            Some(Reply::Refused { .. }) => looking.at = at + 1,
            Some(other) => return Err(unexpected(other)),
        }
        Ok(Turn::Again)
    }

    /// All headers have come.
    fn looked<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        uncopied: bool,
    ) -> Result<Turn, Failure> {
        if uncopied {
            return Ok(self.enter(State::Entering { at: 0 }));
        }
        self.looked = true;
        self.judge(round);
        Ok(self.enter(State::Present { at: 0 }))
    }

    /// Whose size must be known: of what is new, or fetched for a caller.
    fn plan_sizes<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<(), Failure> {
        let goal = self.goal;
        let mut found = false;
        for entry in self.listing(round) {
            let wanted = match goal {
                Goal::Fetch(slot) => {
                    entry.verdict == Verdict::Known(slot) || entry.verdict == Verdict::Rekeyed(slot)
                }
                Goal::Poll | Goal::Decide(_) => entry.verdict == Verdict::New,
            };
            found |= wanted;
            entry.errand = if wanted {
                Errand::Size
            } else {
                Errand::Nothing
            };
        }
        if matches!(goal, Goal::Fetch(_)) && !found {
            return Err(Failure::NotListed);
        }
        Ok(())
    }

    /// Reads sizes: of all mails by `LIST`, or of the new ones one by one.
    fn measure<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        mut asked: usize,
        all: bool,
    ) -> Result<Turn, Failure> {
        while !all && let Some(at) = self.next_errand(round, asked, Errand::Size) {
            let number = self.number(round, at);
            if !self.ask_ahead(round, Request::ListOne(number)) {
                break;
            }
            asked = at + 1;
        }
        self.state = State::Sizing { asked, all };
        if self.client.outstanding() == 0 {
            if !all && self.next_errand(round, asked, Errand::Size).is_some() {
                return Ok(Turn::Wait);
            }
            return self.choose(round);
        }
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(Reply::Size { number, octets }) => {
                let listing = self.listing(round);
                if let Ok(at) = listing.binary_search_by_key(&number, |entry| entry.number)
                    && let Some(entry) = listing.get_mut(at)
                {
                    entry.size = Some(u32::try_from(octets).unwrap_or(u32::MAX));
                }
                Ok(Turn::Again)
            }
            // Of one mail: read at the desk meanwhile.
            Some(
                Reply::ListingEnd { .. }
                | Reply::Refused {
                    kind: Kind::ListOne { .. },
                    ..
                },
            ) => Ok(Turn::Again),
            Some(other) => Err(unexpected(other)),
        }
    }

    /// Decides what is copied: the newest that fit the user's share of the ring.
    fn choose<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let goal = self.goal;
        let first = !self.source.visited;
        let start = round.user.start;
        let today = round.day;
        let mut left = round.mailbox.share(round.user.share);
        let untested = self.source.habit == Habit::Untested;
        let consumes = self.source.habit == Habit::Consumes;
        let mut chosen = 0_u32;
        for entry in self.listing(round).iter_mut().rev() {
            let (Errand::Size, Some(size)) = (entry.errand, entry.size) else {
                // What has no size was gone when it was asked for: the next listing tells.
                entry.errand = Errand::Nothing;
                continue;
            };
            let size = u64::from(size);
            let skipped = first && is_skipped(start, today, entry.day);
            let fits = size <= left && !skipped;
            entry.errand = match goal {
                Goal::Fetch(_) => Errand::Copy,
                _ if consumes => Errand::Nothing,
                _ if fits => Errand::Copy,
                _ => Errand::Header,
            };
            if entry.errand == Errand::Copy {
                left = left.saturating_sub(size);
                chosen += 1;
            }
        }
        if consumes && !matches!(goal, Goal::Fetch(_)) && self.report.new > 0 {
            self.report.failure = Some(Failure::Consumes);
        }
        if untested && chosen > 0 && !matches!(goal, Goal::Fetch(_)) {
            self.keep_one(round);
        }
        Ok(self.enter(State::Looking(Looking::new(true))))
    }

    /// Leaves one mail to copy, the oldest that was chosen (so that own UIDs rise with age), and
    /// nothing to enter: the source is not tested yet.
    fn keep_one<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        self.probe = true;
        let mut kept = false;
        for entry in self.listing(round) {
            if kept || entry.errand != Errand::Copy {
                entry.errand = Errand::Nothing;
            } else {
                kept = true;
            }
        }
    }

    /// Enters the mails that will not be copied: too large for the share, or skipped at the start.
    fn enter_uncopied<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        from: usize,
    ) -> Result<Turn, Failure> {
        let first = !self.source.visited;
        for at in from..self.listed {
            let Some(&entry) = round.tables.listing.get(at) else {
                break;
            };
            if entry.errand != Errand::Header {
                continue;
            }
            let taken = if first && is_skipped(round.user.start, round.day, entry.day) {
                Taken::Full
            } else {
                Taken::No
            };
            let uid = round.mailbox.fresh_uid();
            let row = self.row(round, &entry, uid, taken);
            match round.mailbox.enter(&row) {
                Ok(_) => self.report.uncopied += 1,
                Err(mailbox::Error::Busy) => {
                    self.state = State::Entering { at };
                    return Ok(Turn::Wait);
                }
                Err(error) => return Err(Failure::Mailbox(error)),
            }
        }
        if !self.probe && !matches!(self.goal, Goal::Fetch(_)) && first {
            self.source.visited = true;
            self.write_source(round)?;
        }
        Ok(self.enter(State::Copying(Copying::new())))
    }

    fn copy<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        let State::Copying(mut copying) = core::mem::replace(&mut self.state, State::Ended) else {
            return Ok(Turn::Again);
        };
        match copying.turn(self, round) {
            Ok(Some(turn)) => {
                self.state = State::Copying(copying);
                Ok(turn)
            }
            Ok(None) => {
                let ticket = round.mailbox.commit();
                let then = Then::Quit;
                Ok(self.enter(State::Settling { ticket, then }))
            }
            Err(failure) => {
                // So that what was begun is given up.
                self.state = State::Copying(copying);
                Err(failure)
            }
        }
    }

    fn quit<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(_) => Ok(self.enter(State::Ended)),
        }
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
            identity: entry.identity,
            size: entry.size.unwrap_or(0),
            uid,
            copy: None,
            since: round.day,
            call: 0,
            user: self.account,
            lan: if entry.seen { Lan::Read } else { Lan::Unread },
            taken,
        }
    }

    pub(super) fn reply<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Option<Reply> {
        self.client.step(round.now, round.link, &mut self.piece)
    }

    /// Asks what must be asked now.
    fn ask<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        request: Request<'_>,
    ) -> Result<(), Failure> {
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

    fn ask_if_room<M: Medium>(
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
        if !self.capabilities.pipelining && self.client.outstanding() > 0 {
            return false;
        }
        self.ask_if_room(round, request)
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
        let ahead = listing.iter().position(|entry| entry.errand == errand)?;
        Some(from + ahead)
    }

    fn errands<M: Medium>(&self, round: &Round<'_, '_, '_, M>, errand: Errand) -> usize {
        let listing = round.tables.listing.get(..self.listed).unwrap_or_default();
        listing.iter().filter(|e| e.errand == errand).count()
    }

    pub(super) fn number<M: Medium>(&self, round: &Round<'_, '_, '_, M>, at: usize) -> u32 {
        round.tables.listing.get(at).map_or(0, |entry| entry.number)
    }
}

impl Looking {
    fn new(uncopied: bool) -> Self {
        Self {
            asked: 0,
            at: 0,
            header: HeaderReader::new(),
            uncopied,
        }
    }
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Login => "login",
            Self::Listing => "listing",
            Self::Absent { .. } => "writing what is absent",
            Self::Present { .. } => "writing what is listed",
            Self::Settling { .. } => "committing",
            Self::Looking(_) => "looking at headers",
            Self::Sizing { .. } => "asking sizes",
            Self::Entering { .. } => "entering",
            Self::Copying(_) => "copying",
            Self::Quitting => "quitting",
            Self::Ended => "ended",
        }
    }
}

/// Whether a mail of the first listing counts as taken (design 2.11).
fn is_skipped(start: Start, today: u16, day: Option<u16>) -> bool {
    match start {
        Start::All => false,
        Start::New => true,
        // Without a trusted clock, or a date, nobody can say that it is old.
        Start::Days(days) => today != 0 && day.is_some_and(|day| day.saturating_add(days) < today),
    }
}

/// A hash of the source's URL and login.
fn fingerprint<M: Medium>(user: &User, mailbox: &Mailbox<'_, M>) -> u64 {
    let Some(source) = &user.source else {
        return 0;
    };
    let mut text = heapless::String::<512>::new();
    // 255 octets of host and 128 of login fit.
    let _ = fmt::Write::write_fmt(
        &mut text,
        format_args!("pop3://{}:{}/{}", source.host, source.port, source.login),
    );
    let [fingerprint, _] = mailbox.key(text.as_bytes()).0;
    fingerprint
}

/// A reply that ends the visit.
pub(super) fn unexpected(reply: Reply) -> Failure {
    match reply {
        Reply::Refused { kind, code, text } => Failure::Refused { kind, code, text },
        Reply::Failed(failure) => Failure::Server(failure),
        // The client matches replies to requests: no other can come here.
        other => {
            log::error!("visit: reply out of place: {other:?}");
            Failure::Closed
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            listed,
            vanished,
            new,
            rekeyed,
            copied,
            octets,
            uncopied,
            ..
        } = *self;
        match &self.failure {
            Some(failure) => write!(f, "visit failed: {failure}; ")?,
            None => f.write_str("visit: ")?,
        }
        write!(
            f,
            "{listed} listed, {new} new, {copied} copied ({octets} octets), {vanished} read at the \
             desk"
        )?;
        if uncopied > 0 {
            write!(f, ", {uncopied} left there")?;
        }
        if rekeyed > 0 {
            write!(f, ", {rekeyed} renamed")?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::ConnectTimedOut => f.write_str("no connection within 30 s"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Refused { kind, text, .. } => write!(f, "{kind} was refused: {text}"),
            Self::Server(failure) => write!(f, "{failure}"),
            Self::ListingCut { expected, listed } => {
                write!(f, "listing not whole: {listed} of {expected} mails")
            }
            Self::ListingTooLong { limit } => write!(f, "more than {limit} mails are listed"),
            Self::Short(count) => {
                write!(
                    f,
                    "{count} mails came shorter than announced, tried again later"
                )
            }
            Self::Consumes => f.write_str("the server drops what is fetched: nothing is copied"),
            Self::NotListed => f.write_str("the mail is not listed any more"),
            Self::Mailbox(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for Failure {}
