//! The TRANSACTION and UPDATE states (RFC 1939 §5 and §6).

use core::ops::ControlFlow;

use hal::time::Instant;

use super::transfer::{Extent, Listing, Part, Transfer, Values};
use super::{AGAIN, EndReason, Event, QUIET, Server, State, Turn};
use crate::link::Link;
use crate::pop3::command::Command;
use crate::pop3::reply::Reply;
use crate::pop3::{Commit, Maildrop, Open, ReadFault};

/// How far the replies to `DELE` are known to have come, for `commit dele` (design 2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeleteReplies {
    /// There is none that a later command could confirm.
    None,
    /// One at least may still be on its way.
    OnTheWay,
    /// All had drained when so many octets had been received: a command whose first octet came
    /// later was sent by a caller who could have read them.
    Drained {
        /// Octets received by then.
        received: u64,
    },
}

impl DeleteReplies {
    /// All that was said has drained, and `received` octets had come by then.
    pub(super) fn drained(&mut self, received: u64) {
        if *self == Self::OnTheWay {
            *self = Self::Drained { received };
        }
    }

    /// Whether a command that begins at octet `start` shows that they were read; if so, once.
    fn confirmed_by(&mut self, start: u64) -> bool {
        let confirmed = matches!(*self, Self::Drained { received } if start >= received);
        if confirmed {
            *self = Self::None;
        }
        confirmed
    }
}

impl Server {
    /// One turn in any state between `admit` and the last `+OK`.
    pub(super) fn transact<M: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        drained: bool,
        maildrop: &mut M,
    ) -> Turn {
        match &mut self.state {
            State::Transaction => self.serve(now, link, maildrop),
            State::Listing(listing) => {
                if listing.fill(link, maildrop).is_break() {
                    self.enter(now, State::Transaction);
                    return AGAIN;
                }
                QUIET
            }
            State::Opening {
                number,
                part,
                until,
            } => {
                let (number, part, until) = (*number, *part, *until);
                self.open(now, link, maildrop, number, part, until)
            }
            State::Sending(transfer) => match transfer.fill(link, maildrop) {
                Ok(ControlFlow::Continue(())) => QUIET,
                Ok(ControlFlow::Break(extent)) => {
                    let (number, octets) = (transfer.number(), transfer.octets());
                    self.enter(now, State::Transaction);
                    if extent == Extent::Part {
                        return AGAIN;
                    }
                    maildrop.sent_whole(number);
                    ControlFlow::Break(Some(Event::Sent { number, octets }))
                }
                // No dot: the caller must not take for whole what is not (design 2.8).
                Err(ReadFault) => self.end(now, EndReason::StoreFault),
            },
            State::Quitting if drained => {
                let until = now + self.options.idle;
                self.enter(now, State::Committing { until });
                AGAIN
            }
            State::Committing { until } => {
                let late = now >= *until;
                self.commit(now, link, maildrop, late)
            }
            _ => QUIET,
        }
    }

    /// The next command, if there is one.
    fn serve<M: Maildrop>(&mut self, now: Instant, link: &mut Link, maildrop: &mut M) -> Turn {
        let (command, start) = match self.command(link) {
            None => return self.wait_for_command(now, link),
            Some(Err(malformed)) => {
                return self.complain(now, link, &Reply::Malformed(malformed));
            }
            Some(Ok(taken)) => taken,
        };
        // `RSET` proves as much as any other command, but it asks to take the marks back.
        if command != Command::Rset && self.delete_replies.confirmed_by(start) {
            maildrop.replies_read();
        }
        match command {
            Command::Stat => {
                let (messages, octets) = maildrop.total();
                self.reply(link, &Reply::Total { messages, octets })
            }
            Command::List(None) => self.list(now, link, Values::Sizes),
            Command::Uidl(None) => self.list(now, link, Values::UniqueIds),
            Command::List(Some(number)) => match kept(maildrop, number) {
                Ok(octets) => self.reply(link, &Reply::Scan { number, octets }),
                Err(reply) => self.reply(link, &reply),
            },
            Command::Uidl(Some(number)) => {
                let uid = kept(maildrop, number)
                    .and_then(|_| maildrop.uid(number).ok_or(Reply::NoSuchMessage));
                match &uid {
                    Ok(uid) => self.reply(link, &Reply::UniqueId { number, uid }),
                    Err(reply) => self.reply(link, reply),
                }
            }
            Command::Retr(number) => self.retrieve(now, link, maildrop, number, Part::Whole),
            Command::Top { number, lines } => {
                self.retrieve(now, link, maildrop, number, Part::Top { lines })
            }
            Command::Dele(number) => {
                if let Err(reply) = kept(maildrop, number) {
                    return self.reply(link, &reply);
                }
                maildrop.delete(number);
                self.delete_replies = DeleteReplies::OnTheWay;
                self.reply(link, &Reply::Ok)
            }
            Command::Noop => self.reply(link, &Reply::Ok),
            Command::Rset => {
                maildrop.reset();
                self.delete_replies = DeleteReplies::None;
                self.reply(link, &Reply::Ok)
            }
            Command::Capa => {
                let capabilities = Reply::Capabilities(self.expire);
                self.reply(link, &capabilities)
            }
            Command::Quit => {
                self.enter(now, State::Quitting);
                AGAIN
            }
            Command::User(_) | Command::Pass(_) | Command::Apop { .. } | Command::Auth(_) => {
                self.complain(now, link, &Reply::LoggedIn)
            }
        }
    }

    /// `LIST` and `UIDL` without a number.
    fn list(&mut self, now: Instant, link: &mut Link, values: Values) -> Turn {
        self.enter(now, State::Listing(Listing::new(values)));
        self.reply(link, &Reply::Ok)
    }

    /// `RETR` and `TOP`.
    fn retrieve<M: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        maildrop: &M,
        number: u32,
        part: Part,
    ) -> Turn {
        if let Err(reply) = kept(maildrop, number) {
            return self.reply(link, &reply);
        }
        self.errors.forget_row();
        // The caller waits for us now, so the idle limit bounds our time instead of theirs.
        let until = now + self.options.idle;
        self.enter(
            now,
            State::Opening {
                number,
                part,
                until,
            },
        );
        AGAIN
    }

    fn open<M: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        maildrop: &mut M,
        number: u32,
        part: Part,
        until: Instant,
    ) -> Turn {
        let octets = match maildrop.open(number) {
            Open::Pending if now < until => return QUIET,
            Open::Pending | Open::Unavailable => {
                self.enter(now, State::Transaction);
                return self.reply(link, &Reply::Unavailable);
            }
            Open::Ready(octets) => octets,
        };
        self.enter(now, State::Sending(Transfer::new(number, octets, part)));
        match part {
            Part::Whole => self.reply(link, &Reply::Message { octets }),
            Part::Top { .. } => self.reply(link, &Reply::Ok),
        }
    }

    /// The UPDATE state: all that was said before `QUIT` has drained.
    fn commit<M: Maildrop>(
        &mut self,
        now: Instant,
        link: &mut Link,
        maildrop: &mut M,
        late: bool,
    ) -> Turn {
        let (reply, reason) = match maildrop.commit() {
            Commit::Pending if !late => return QUIET,
            Commit::Done => (Reply::Ok, EndReason::Quit),
            Commit::Pending | Commit::Failed => (Reply::NotCommitted, EndReason::StoreFault),
        };
        reply.put(link);
        self.enter(now, State::Closing(reason));
        AGAIN
    }
}

/// Size of message `number`, if it is there and not deleted; else the reply that says so.
fn kept<M: Maildrop>(maildrop: &M, number: u32) -> Result<u64, Reply<'static>> {
    if number == 0 || number > maildrop.count() {
        return Err(Reply::NoSuchMessage);
    }
    if maildrop.is_deleted(number) {
        return Err(Reply::Deleted);
    }
    maildrop.size(number).ok_or(Reply::NoSuchMessage)
}
