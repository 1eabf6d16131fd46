//! IMAP as a visit needs it: log in, see whether anything changed, examine, list in windows.
//!
//! ```text
//! greeting (CAPABILITY) (STARTTLS CAPABILITY) LOGIN (CAPABILITY) -> STATUS, if this run has listed
//!      |                                          |                 before
//!      |                                        |as it was -> LOGOUT: nothing else is asked
//!      +--> EXAMINE -> FETCH 1:2000, 2001:4000 .. (UID FLAGS RFC822.SIZE) -> the listing
//! ```
//!
//! A mail's unique-id is UIDVALIDITY and UID together (RFC 3501 §2.3.1.1). A listing is whole when
//! every window ended well and as many mails came as the mailbox has; where mails came or went
//! meanwhile it begins anew, a few times.
//!
//! **Unchanged** is a mailbox whose UIDVALIDITY, UIDNEXT, number of mails and mod-sequence (RFC
//! 7162) are those of the last whole listing: nothing came, so that an equal number means that
//! nothing went, and no flag was changed. Where flags do not count, it needs no mod-sequence.

use core::fmt::Write as _;

use hal::{Instant, Medium};

use crate::config::{Seen, Source, User};
use crate::imap::client::{
    Client, Event as Answer, Kind as ImapKind, MailboxState, Request, ResponseCode as Code,
};
use crate::link::Link;

use super::login::{Offered, Way};
use super::remote::{self, Kind, Reply, ResponseCode, ServerFailure, Text};
use super::run::{Round, Run, State, Then, Turn, unexpected};
use super::{Event, Failure, Goal};

/// Mails asked for at once: some 100 KB of answer, and progress is seen in between.
const WINDOW_MAILS: u32 = 2000;

/// How often a listing begins anew where mails come and go.
const LISTINGS: u8 = 3;

/// How a mailbox stood at the last whole listing, and what counted as read then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    state: MailboxState,
    seen: Seen,
}

impl Standing {
    /// Whether nothing that counts has changed since.
    fn holds(&self, now: &MailboxState, seen: Seen) -> bool {
        let Self { state: then, .. } = self;
        let same = |a: Option<u64>, b: Option<u64>| a.is_some() && a == b;
        let flags = seen == Seen::Ignore || same(then.highest_modseq, now.highest_modseq);
        self.seen == seen
            && then.exists == now.exists
            && same(
                then.uid_validity.map(u64::from),
                now.uid_validity.map(u64::from),
            )
            && same(then.uid_next.map(u64::from), now.uid_next.map(u64::from))
            && flags
    }
}

/// A connection to an IMAP server.
#[derive(Debug)]
pub(in crate::poll) struct Imap {
    client: Client,
    /// The login was accepted.
    known: bool,
    /// `CAPABILITY` was asked since the greeting, or since the login.
    asked: bool,
    seen: Seen,
    /// How the mailbox stood when it was opened.
    state: Option<MailboxState>,
    listing: Option<Listing>,
    /// The last two octets of the mail that is read.
    tail: [u8; 2],
    /// A mail has ended, and that is still to be told.
    ended: bool,
}

/// A listing on its way.
#[derive(Clone, Copy, Debug)]
struct Listing {
    /// Sequence number of the last mail asked for.
    last: u32,
    /// Mails that came.
    count: u32,
    /// What the client had counted of changes when it began.
    changes: u32,
    /// How often it may begin anew.
    left: u8,
}

impl Imap {
    pub(super) fn new(now: Instant, seen: Seen) -> Self {
        Self {
            client: Client::new(now),
            known: false,
            asked: false,
            seen,
            state: None,
            listing: None,
            tail: [0; 2],
            ended: false,
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.client.outstanding()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }

    /// What the server wants its user to read.
    pub(super) fn alert(&self) -> Option<Text> {
        self.client.alert().cloned()
    }

    /// How the mailbox stands to whoever believes the listing.
    pub(super) fn standing(&self) -> Option<Standing> {
        let seen = self.seen;
        self.state.map(|state| Standing { state, seen })
    }

    /// Goes on under TLS: what the server has said before does not count.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.client = Client::secured(now);
        (self.known, self.asked) = (false, false);
    }

    /// Sends what only a login asks; returns whether it was sent.
    pub(super) fn ask(&mut self, link: &mut Link, request: Request<'_>) -> bool {
        self.asked |= request == Request::Capability;
        self.client.request(link, request)
    }

    /// Answers a challenge of the login; returns whether it was sent.
    pub(super) fn answer(&mut self, link: &mut Link, line: &str) -> bool {
        self.client.answer(link, line)
    }

    pub(super) fn request(&mut self, link: &mut Link, request: remote::Request<'_>) -> bool {
        let request = match request {
            remote::Request::Header(uid) => Request::Header { uid },
            remote::Request::Mail(uid) | remote::Request::Retr(uid) => Request::Mail { uid },
            remote::Request::Part {
                number: uid,
                from,
                octets,
            } => Request::Part { uid, from, octets },
            remote::Request::Quit => Request::Logout,
            // Sizes come with the listing.
            remote::Request::Sizes | remote::Request::Size(_) | remote::Request::Pop3(_) => {
                return false;
            }
        };
        self.client.request(link, request)
    }

    pub(super) fn step(&mut self, now: Instant, link: &mut Link, out: &mut [u8]) -> Option<Reply> {
        if core::mem::take(&mut self.ended) {
            return Some(Reply::BodyEnd);
        }
        loop {
            if self.client.outstanding() == 0
                && let Some(reply) = self.list_on(link)
            {
                return Some(reply);
            }
            match self.client.step(now, link, out)? {
                // Its window is over: see above.
                Answer::ListingEnd { count } => {
                    if let Some(listing) = &mut self.listing {
                        listing.count = listing.count.saturating_add(count);
                    }
                }
                Answer::Entry(entry) => {
                    let mut id = heapless::String::<32>::new();
                    let validity = self.state.and_then(|state| state.uid_validity);
                    // Two numbers of ten digits fit.
                    let _ = write!(id, "imap {} {}", validity.unwrap_or(0), entry.uid);
                    out.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
                    return Some(Reply::Entry {
                        number: entry.uid,
                        length: id.len(),
                        seen: (entry.seen || entry.deleted) && self.seen == Seen::Read,
                        size: Some(entry.size),
                    });
                }
                Answer::Body { length } => {
                    for &octet in out.get(..length).unwrap_or_default() {
                        self.tail = [self.tail[1], octet];
                    }
                    return Some(Reply::Body { length });
                }
                // It ends where it ends.
                Answer::BodyEnd {
                    kind: ImapKind::Part { .. },
                    ..
                } => return Some(Reply::BodyEnd),
                Answer::BodyEnd { octets, .. } => return Some(self.end_mail(octets, out)),
                answer => return Some(reply(answer)),
            }
        }
    }

    /// A mail has ended. POP3 can only send whole lines: what a mail lacks to its last one is put
    /// to it here, so that the size of its copy is what a caller gets.
    fn end_mail(&mut self, octets: u64, out: &mut [u8]) -> Reply {
        let missing: &[u8] = match core::mem::take(&mut self.tail) {
            [b'\r', b'\n'] => b"",
            [_, b'\r'] => b"\n",
            _ => b"\r\n",
        };
        let room = out.get_mut(..missing.len());
        let Some(room) = room.filter(|room| octets > 0 && !room.is_empty()) else {
            return Reply::BodyEnd;
        };
        room.copy_from_slice(missing);
        self.ended = true;
        Reply::Body {
            length: missing.len(),
        }
    }

    /// Asks for the next window of the listing, if there is one under way; tells when there is no
    /// more.
    fn list_on(&mut self, link: &mut Link) -> Option<Reply> {
        let listing = self.listing.as_mut()?;
        let exists = self.client.mailbox().exists;
        let changes = self.client.changes();
        let changed = changes != listing.changes;
        if !changed && listing.last < exists {
            let first = listing.last + 1;
            let last = listing.last.saturating_add(WINDOW_MAILS).min(exists);
            if self.client.request(link, Request::List { first, last }) {
                listing.last = last;
            }
            return None;
        }
        if (changed || listing.count != exists) && listing.left > 0 {
            *listing = Listing {
                last: 0,
                count: 0,
                changes,
                left: listing.left - 1,
            };
            return Some(Reply::Anew);
        }
        self.listing = None;
        Some(Reply::ListingEnd {
            expected: Some(exists),
        })
    }
}

impl Run {
    pub(super) fn log_in_imap<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let user = round.user;
        if self.login.is_working() {
            return self.work(round);
        }
        let (Some(source), remote::Client::Imap(imap)) = (&user.source, &mut self.client) else {
            return Err(Failure::NotListed);
        };
        let Some(answer) = imap.client.step(round.now, round.link, &mut self.piece) else {
            return Ok(Turn::Wait);
        };
        let modseq = imap.client.capabilities().condstore;
        let request = match answer {
            Answer::Greeting { known } => {
                imap.known = known;
                self.next_words(user, source)?
            }
            Answer::Ok(ImapKind::Starttls) => return Ok(self.begin_tls(round.now)),
            Answer::Challenge { length } => return self.respond(round, length),
            Answer::Ok(ImapKind::Login | ImapKind::Authenticate(_)) => {
                (imap.known, imap.asked) = (true, false);
                self.login.check()?;
                self.next_words(user, source)?
            }
            Answer::Refused {
                kind: ImapKind::Authenticate(_),
                code,
                ..
            } if self.login.goes_on(user, code.map(reason)) => self.next_words(user, source)?,
            Answer::Ok(ImapKind::Capability) => self.next_words(user, source)?,
            Answer::GoOn(kind) => {
                let request = words_of(kind, source, modseq);
                if !request.is_some_and(|request| imap.client.go_on(round.link, request)) {
                    return Err(Failure::Closed);
                }
                return Ok(Turn::Again);
            }
            Answer::Mailbox {
                kind: ImapKind::Status,
                state,
            } => {
                if let Some(super::Standing::Imap(then)) = self.recalled
                    && then.holds(&state, user.seen)
                {
                    imap.state = Some(state);
                    return Ok(self.conclude(round, state.exists));
                }
                examine(source, modseq)
            }
            Answer::Mailbox { state, .. } => {
                imap.state = Some(state);
                imap.listing = Some(Listing {
                    last: 0,
                    count: 0,
                    changes: imap.client.changes(),
                    left: LISTINGS - 1,
                });
                let limit = round.tables.listing.len();
                if usize::try_from(state.exists).is_ok_and(|exists| exists > limit) {
                    return Err(Failure::ListingTooLong { limit });
                }
                (self.expected, self.listed) = (state.exists, 0);
                return Ok(self.enter(State::Listing));
            }
            other => return Err(unexpected(reply(other))),
        };
        let remote::Client::Imap(imap) = &mut self.client else {
            return Err(Failure::Closed);
        };
        if imap.ask(round.link, request) {
            return Ok(Turn::Again);
        }
        Err(refusal(request.kind(), "the words cannot be sent"))
    }

    /// What to ask next, as far as the server has said what it can.
    fn next_words<'s>(&mut self, user: &User, source: &'s Source) -> Result<Request<'s>, Failure> {
        let remote::Client::Imap(imap) = &self.client else {
            return Err(Failure::Closed);
        };
        let capabilities = imap.client.capabilities();
        if !capabilities.known && !imap.asked {
            return Ok(Request::Capability);
        }
        // A server that logs in whoever comes (PREAUTH) can have no TLS after that.
        let offered = capabilities.starttls && !imap.known;
        if self.login.wants_tls(user, offered)? {
            return Ok(Request::Starttls);
        }
        if !imap.known {
            let offered = Offered {
                words: !capabilities.login_disabled,
                sasl: capabilities.sasl,
            };
            let way = self.login.choose(user, offered)?;
            self.login.begin(way);
            return Ok(match way {
                Way::Sasl(mechanism) => Request::Authenticate(mechanism),
                // There is no APOP here: a greeting has no timestamp.
                Way::Words | Way::Apop => Request::Login {
                    login: &source.login,
                    password: &source.password,
                },
            });
        }
        let modseq = capabilities.condstore;
        // Without mod-sequences only a desk whose flags do not count can be seen to be unchanged.
        if self.goal == Goal::Poll
            && self.recalled.is_some()
            && (modseq || user.seen == Seen::Ignore)
        {
            let mailbox = source.mailbox();
            return Ok(Request::Status { mailbox, modseq });
        }
        Ok(examine(source, modseq))
    }

    /// Nothing has changed: the visit has done its work.
    fn conclude<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>, exists: u32) -> Turn {
        self.report.listed = exists;
        // Nothing is written, and the ticket is done at once.
        let ticket = round.mailbox.commit();
        let then = Then::Quit;
        self.enter(State::Settling { ticket, then });
        Turn::Tell(Event::Current)
    }
}

fn examine(source: &Source, modseq: bool) -> Request<'_> {
    let mailbox = source.mailbox();
    Request::Examine { mailbox, modseq }
}

/// The request that was made, if it has words.
fn words_of(kind: ImapKind, source: &Source, modseq: bool) -> Option<Request<'_>> {
    let mailbox = source.mailbox();
    match kind {
        ImapKind::Login => Some(Request::Login {
            login: &source.login,
            password: &source.password,
        }),
        ImapKind::Status => Some(Request::Status { mailbox, modseq }),
        ImapKind::Examine => Some(Request::Examine { mailbox, modseq }),
        _ => None,
    }
}

fn refusal(kind: ImapKind, text: &str) -> Failure {
    Failure::Refused {
        kind: Kind::Imap(kind),
        code: None,
        text: Text::try_from(text).unwrap_or_default(),
    }
}

fn reason(code: Code) -> ResponseCode {
    match code {
        Code::Authentication => ResponseCode::Auth,
        Code::InUse => ResponseCode::InUse,
        Code::Unavailable | Code::Limit | Code::ServerFault => ResponseCode::SysTemp,
        Code::PrivacyRequired | Code::ContactAdmin | Code::NoMailbox => ResponseCode::SysPerm,
    }
}

fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Ok(ImapKind::Logout) => Reply::Ended,
        Answer::Missing { kind } => Reply::Refused {
            kind: Kind::Imap(kind),
            code: None,
            text: Text::try_from("no such mail any more").unwrap_or_default(),
        },
        Answer::Overtaken { .. } => Reply::Overtaken,
        Answer::Refused { kind, code, text } => Reply::Refused {
            kind: Kind::Imap(kind),
            code: code.map(reason),
            text,
        },
        Answer::Failed(failure) => Reply::Failed(ServerFailure::Imap(failure)),
        Answer::Greeting { .. }
        | Answer::GoOn(_)
        | Answer::Challenge { .. }
        | Answer::Body { .. }
        | Answer::BodyEnd { .. }
        | Answer::Ok(_)
        | Answer::Mailbox { .. }
        | Answer::Entry(_)
        | Answer::ListingEnd { .. } => {
            log::error!("visit: answer out of place: {answer:?}");
            Reply::OutOfPlace
        }
    }
}
