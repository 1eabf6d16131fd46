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

use crate::config::User;
use crate::link::Link;
use crate::mailbox::Mailbox;
use crate::pop3::client::{Expire, UNIQUE_ID_OCTETS};
use crate::reconcile::Listed;
use crate::sasl::Nonce;

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
mod run;
mod settled;
mod streaming;
mod undoing;

use remote::Client;
use run::{Round, Run, State, Turn};

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

impl<'a> Visit<'a> {
    /// A place for visits.
    pub fn new(tables: Tables<'a>) -> Self {
        Self { tables, run: None }
    }

    /// Begins a visit for `goal` to the source of `account`, whose connection was just started.
    /// `nonce` is for this visit alone.
    pub fn begin(&mut self, now: Instant, goal: Goal, account: u8, nonce: Nonce) {
        self.tables.settled.fill(0);
        self.run = Some(Run::new(now, goal, account, nonce));
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
        if run.lists_again() && matches!(run.state, State::Listing) {
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
