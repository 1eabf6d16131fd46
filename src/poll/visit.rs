//! One visit to a LAN server by POP3: from the connection to its end (patent P0032-P0049).
//!
//! ```text
//! Connecting -> Login: greeting CAPA USER PASS STAT -> Listing: UIDL
//!                   \ STLS -> Securing: TLS, and Login anew
//!      or LIST, TOP n 0               where there are no unique-ids
//!   -> Absent -> Present -> Settling   what the listing says is written and durable: `Current`
//!   -> Listing: UIDL once more         where every entry is wanted after all: see `settled`
//!   -> Looking: TOP n 0, LIST -> Absent ..  are new ids old mails under other names?
//!   -> Sizing: LIST -> Entering        mails that will not be copied get their rows
//!   -> Copying: TOP n 99999999         the others get theirs with their copies
//!      or Streaming: BODY.PEEK[]<o.n>  a mail the ring has no room for goes to the caller; by POP3
//!                                  TOP n 99999999 as the line drains
//!   -> Settling -> Quitting -> ended
//! ```
//!
//! A listing is believed only whole: its last dot has come and it has as many entries as `STAT`
//! said; else the visit changes nothing (design 2.1). Nothing is changed at the server: there is
//! no `DELE` here, and `TOP` leaves no mark where `RETR` would (design §3), whose mark is undone
//! where that can be.

use hal::{Connection, Duration, Instant, MailFolder, Medium};

use crate::config::{Scheme, User};
use crate::link::Link;
use crate::mailbox::{self, Habit, Lan, Mailbox, Row, SourceRecord, Taken};
use crate::pop3::client::{
    Capabilities, Client as Pop3Client, Event as Pop3Reply, Expire, UNIQUE_ID_OCTETS,
};
use crate::reconcile::{Errand, Listed};
use crate::sasl::Nonce;
use crate::store::Ticket;

mod advice;
mod choosing;
mod comparing;
mod copying;
mod doubts;
mod imap;
mod listing;
mod login;
mod maildir;
mod naming;
mod remote;
mod report;
mod settled;
mod streaming;
mod undoing;

use choosing::{Looking, Purpose, Quest, Sizing};
use copying::Copying;
use imap::Imap;
use login::Login;
use maildir::Maildir;
use naming::Naming;
use remote::{Client, Reply, Request, Text};
use settled::Settled;
use streaming::Streaming;
use undoing::Undoing;

pub use advice::Advice;
pub use remote::{Kind, ServerFailure};
pub use report::{Failure, NextVisit, Report};

/// How long a connection may take to open, and TLS to begin: TCP tries for about as long on a LAN worth the name.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a visit may take for one mail, or one listing, whatever trickles in: 64 MB at 75 kbit/s.
/// A server that sends a little now and then must not hold the visit for good.
const PROGRESS_PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// A piece of a body, or a unique-id.
pub(super) const PIECE_OCTETS: usize = 4096;
const _: () = assert!(PIECE_OCTETS >= UNIQUE_ID_OCTETS);

/// How a mailbox stood at its last whole listing, where that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// At an IMAP server.
    Imap(imap::Standing),
    /// At a POP3 server without unique-ids.
    Headers(naming::Listing),
}

/// What a visit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To learn what is new and what has gone, and to copy.
    Poll,
    /// The same, and to see whether the mail in this slot, fetched at the last login, is still
    /// there (design 2.4).
    Decide(u32),
    /// To copy the mail in this slot, for a caller who waits; or, where there is no room for it, to
    /// stream it: see [`Visit::streams`].
    Fetch(u32),
}

/// What a visit tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it is told a few times in a visit, and there is no heap"
)]
pub enum Event {
    /// The server says that it does not keep mail for ever (RFC 2449 §6.7). Nothing was copied yet.
    Expires(Expire),
    /// The server waits for TLS: start it, with an empty link, before the next step.
    StartTls,
    /// What is absent or read at the LAN server is durable.
    Current,
    /// The visit has ended; the connection may be dropped.
    Ended(Report),
}

/// A visit, or the place for one, over lent tables.
#[derive(Debug)]
pub struct Visit<'a> {
    tables: Tables<'a>,
    run: Option<Run>,
}

/// Lent memory: as many entries as a listing may have, and two bits for each row.
#[derive(Debug)]
pub struct Tables<'a> {
    /// The listing.
    pub listing: &'a mut [Listed],
    /// Scratch: one word an entry.
    pub order: &'a mut [u32],
    /// Scratch: one bit a slot of the ledger.
    pub matched: &'a mut [u32],
    /// Scratch: as many words as `matched`.
    pub settled: &'a mut [u32],
}

/// A visit under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) goal: Goal,
    pub(super) account: u8,
    pub(super) client: Client,
    pub(super) capabilities: Capabilities,
    pub(super) login: Login,
    pub(super) report: Report,
    state: State,
    /// What was dealt with last, and when.
    milestone: Milestone,
    reached: Instant,
    expected: u32,
    /// Octets of all mails, as `STAT` said.
    octets: u64,
    /// Octets that this is more than the rows have, where sizes are compared.
    pub(super) excess: Option<i64>,
    /// Entries in the table.
    listed: usize,
    /// And what has none.
    settled: Settled,
    /// Headers have been looked at: what is new now stays new.
    looked: bool,
    /// `Current` has been told.
    told: bool,
    /// The window is being filled; else it is left to run low.
    asking: bool,
    /// How the mailbox stood at the last whole listing of this run, where that can be compared.
    recalled: Option<Standing>,
    pub(super) source: SourceRecord,
    /// The one mail that is fetched to see whether the source keeps it.
    pub(super) probe: bool,
    undoing: Undoing,
    naming: Naming,
    pub(super) piece: [u8; PIECE_OCTETS],
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are four visits at the most, and no heap"
)]
enum State {
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
enum Then {
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

impl<'a> Visit<'a> {
    /// A place for visits.
    pub fn new(tables: Tables<'a>) -> Self {
        Self { tables, run: None }
    }

    /// Begins a visit for `goal` to the source of `account`, whose connection was just started.
    /// `nonce` is for this visit alone.
    pub fn begin(&mut self, now: Instant, goal: Goal, account: u8, nonce: Nonce) {
        self.tables.settled.fill(0);
        self.run = Some(Run {
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
        });
    }

    /// The visit that was begun may conclude from `standing`, which an earlier one left in its
    /// report, that nothing has changed.
    pub fn recall(&mut self, standing: Option<Standing>) {
        if let Some(run) = &mut self.run {
            run.recalled = standing;
        }
    }

    /// The visit that was begun shows the password where it may: an earlier one has reported that
    /// other ways to log in are refused.
    pub fn skip_hiding(&mut self) {
        if let Some(run) = &mut self.run {
            run.login.skip_hiding();
        }
    }

    /// Whether the server is near (see [`hal::lan::is_near`]); as long as nobody says so it is not.
    pub fn set_near(&mut self, near: bool) {
        if let Some(run) = &mut self.run {
            run.login.near = near;
        }
    }

    /// Whether a visit is under way here, and whose.
    #[must_use]
    pub fn account(&self) -> Option<u8> {
        self.run.as_ref().map(|run| run.account)
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
        let way = Way {
            link,
            connection,
            folder: None,
        };
        self.step_on(now, way, user, day, mailbox)
    }

    /// The same for a Maildir, which takes no connection. Each step does a bounded piece of work;
    /// see [`works_on`](Self::works_on).
    pub fn step_folder<M: Medium>(
        &mut self,
        now: Instant,
        link: &mut Link,
        folder: &mut dyn MailFolder,
        user: &User,
        day: u16,
        mailbox: &mut Mailbox<'_, M>,
    ) -> Option<Event> {
        if let Some(run) = &mut self.run
            && let Client::Maildir(maildir) = &mut run.client
        {
            maildir.begin_step();
        }
        let way = Way {
            link,
            connection: Connection::Open,
            folder: Some(folder),
        };
        self.step_on(now, way, user, day, mailbox)
    }

    /// Whether the last step ended only because it had done its piece of work: step again, nothing
    /// need happen before.
    #[must_use]
    pub fn works_on(&self) -> bool {
        let Some(run) = &self.run else {
            return false;
        };
        match &run.client {
            Client::Maildir(maildir) => maildir.works_on(),
            Client::Pop3(_) | Client::Imap(_) => run.login.is_working(),
        }
    }

    fn step_on<M: Medium>(
        &mut self,
        now: Instant,
        way: Way<'_>,
        user: &User,
        day: u16,
        mailbox: &mut Mailbox<'_, M>,
    ) -> Option<Event> {
        let Way {
            link,
            connection,
            folder,
        } = way;
        let run = self.run.as_mut()?;
        let mut round = Round {
            now,
            link,
            connection,
            // Lent for as long as the rest.
            folder: folder.map(|folder| -> &mut dyn MailFolder { folder }),
            user,
            day,
            mailbox,
            tables: &mut self.tables,
        };
        loop {
            match run.turn(&mut round) {
                Ok(Turn::Again) => {}
                Ok(Turn::Wait) if !run.is_stuck(now) => return None,
                Ok(Turn::Wait) => {
                    return Some(Event::Ended(self.fail(mailbox, Failure::TooSlow)));
                }
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
            // All is done; but whether QUIT was heard nobody knows.
            let mut run = self.run.take()?;
            run.report.next = None;
            run.sum_up();
            return Some(Event::Ended(run.report));
        }
        Some(Event::Ended(self.fail(mailbox, Failure::Closed)))
    }

    /// When to step though nothing came.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let run = self.run.as_ref()?;
        let until = match &run.state {
            State::Connecting { until } | State::Securing { until } => Some(*until),
            // The server waits for us.
            State::Streaming(streaming) if streaming.holds() => None,
            _ => run.client.deadline(),
        };
        until
            .into_iter()
            .chain([run.reached + PROGRESS_PATIENCE])
            .min()
    }

    fn fail<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>, failure: Failure) -> Report {
        let Some(mut run) = self.run.take() else {
            return Report::default();
        };
        if let Some(entry) = run.stumbled(self.tables.listing, &failure)
            && let Some(stumbles) = mailbox.stumbles_mut(run.account)
        {
            stumbles.note(
                entry.key,
                matches!(failure, Failure::Server(_) | Failure::Endless { .. }),
            );
        }
        if let State::Copying(copying) = &mut run.state {
            copying.abandon(mailbox);
        }
        if run.lists_again() {
            mailbox.note_odd_lists(run.account);
        }
        if run.report.copied > 0 || run.report.uncopied > 0 {
            mailbox.commit();
        }
        // Without QUIT a source need not have dropped what it was to drop (RFC 1939 §6).
        run.report.next = None;
        run.report.failure = Some(failure);
        run.sum_up();
        run.report
    }
}

/// What leads to the mail.
struct Way<'r> {
    link: &'r mut Link,
    connection: Connection,
    folder: Option<&'r mut dyn MailFolder>,
}

/// What a run is lent for one step.
pub(super) struct Round<'r, 'a, 'm, M: Medium> {
    pub(super) now: Instant,
    pub(super) link: &'r mut Link,
    connection: Connection,
    folder: Option<&'r mut dyn MailFolder>,
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
    fn stumbled<'t>(&self, listing: &'t [Listed], failure: &Failure) -> Option<&'t Listed> {
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
    fn is_stuck(&mut self, now: Instant) -> bool {
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

    fn copy<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
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

    fn quit<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<Turn, Failure> {
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
    fn sum_up(&mut self) {
        let login = matches!(self.state, State::Login);
        let failure = self.report.failure.as_ref().filter(|_| login);
        self.report.hiding_refused = self.login.was_hiding_refused(failure);
        self.report.secure = self.login.secure;
        self.report.alert = self.client.alert();
    }

    /// What the next visit may compare with: only if this one has left nothing undone.
    fn standing(&self) -> Option<Standing> {
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
    fn pop3_reply<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Option<Pop3Reply> {
        self.client
            .step_pop3(round.now, round.link, &mut self.piece)
    }

    /// Asks what must be asked now.
    fn ask<'q, M: Medium>(
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
    fn name(&self) -> &'static str {
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
