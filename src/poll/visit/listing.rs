//! The first half of a visit, after the login: list, and write down what the listing says.
//!
//! A listing is believed only whole: its last dot has come, it has as many entries as `STAT` said,
//! and no message-number stands there twice (design 2.1).

use core::fmt;

use hal::Medium;

use crate::config::{Scheme, User};
use crate::mailbox::{self, Habit, Mailbox, Row, SourceRecord};
use crate::pop3::client::Kind;
use crate::reconcile::{Key, Listed, Outcome, Slots, Verdict, reconcile};

use super::remote;
use super::run::{Round, Run, State, Then, Turn, unexpected};
use super::{Failure, Goal};

impl Run {
    /// What is known of this source's habits; another URL is another source.
    pub(super) fn remember_source<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<(), Failure> {
        let fingerprint = fingerprint(round.user, round.mailbox);
        let known = round.mailbox.ledger().account(self.account);
        let known = known.map(|account| account.source).unwrap_or_default();
        self.source = if known.fingerprint == fingerprint {
            known
        } else {
            let source = round.user.source.as_ref();
            // A mailbox that is examined cannot be changed (RFC 3501 §6.3.2), a file that is read
            // is not either: nothing to test.
            let habit = match source.map(|source| source.scheme) {
                None | Some(Scheme::Pop3 | Scheme::Pop3s) => Habit::Untested,
                Some(_) => Habit::Keeps,
            };
            SourceRecord {
                fingerprint,
                habit,
                ..SourceRecord::default()
            }
        };
        Ok(())
    }

    pub(super) fn list<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let limit = round.tables.listing.len();
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(remote::Reply::Entry {
                number,
                length,
                seen,
                size,
            }) => {
                let id = self.piece.get(..length).unwrap_or_default();
                let key = round.mailbox.key(id);
                if self.listed + self.settled.count >= limit {
                    return Err(Failure::ListingTooLong { limit });
                }
                if self.is_settled(round, number, key) {
                    return Ok(Turn::Again);
                }
                let Some(entry) = round.tables.listing.get_mut(self.listed) else {
                    return Err(Failure::ListingTooLong { limit });
                };
                *entry = Listed::new(key, number);
                entry.set_seen(seen);
                entry.set_size(size);
                self.listed += 1;
                Ok(Turn::Again)
            }
            Some(remote::Reply::Anew) => {
                self.listed = 0;
                Ok(Turn::Again)
            }
            Some(remote::Reply::ListingEnd { expected }) => {
                self.expected = expected.unwrap_or(self.expected);
                self.believe(round)
            }
            Some(remote::Reply::Refused {
                kind: remote::Kind::Pop3(Kind::Uidl),
                code: None,
                ..
            }) if !self.capabilities.uidl && !self.lists_again() => self.list_by_headers(round),
            Some(remote::Reply::Size { number, octets }) if self.naming.by_headers => {
                let Some(entry) = round.tables.listing.get_mut(self.listed) else {
                    return Err(Failure::ListingTooLong { limit });
                };
                *entry = Listed::new(Key::default(), number);
                entry.set_size(Some(u32::try_from(octets).unwrap_or(u32::MAX)));
                self.listed += 1;
                Ok(Turn::Again)
            }
            Some(remote::Reply::SizesEnd) if self.naming.by_headers => {
                self.count(round)?;
                self.name(round)
            }
            Some(other) => Err(unexpected(other)),
        }
    }

    /// The listing has come to its end.
    pub(super) fn believe<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        self.count(round)?;
        if self.is_disordered() {
            return self.list_again(round);
        }
        self.judge(round);
        Ok(self.enter(State::Absent { slot: 0 }))
    }

    /// Is it whole?
    fn count<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) -> Result<(), Failure> {
        let listing = round.tables.listing.get_mut(..self.listed);
        let listing = listing.unwrap_or_default();
        let listed = u32::try_from(self.listed + self.settled.count).unwrap_or(u32::MAX);
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
        Ok(())
    }

    /// Compares the listing with the rows.
    pub(super) fn judge<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let tables = &mut *round.tables;
        let listing = tables.listing.get_mut(..self.listed).unwrap_or_default();
        let mut matched = Slots::copied(tables.matched, tables.settled);
        let known = round.mailbox.ledger().known(self.account);
        let outcome = reconcile(listing, &known, &mut matched, tables.order, self.looked);
        let Outcome::Plan(plan) = outcome else {
            // Headers come first: what looks gone may only have another name.
            return;
        };
        self.report.new = plan.new;
        self.report.rekeyed = plan.rekeyed;
        // What was fetched at the last login, which was ended by QUIT, and is still there shows
        // that the source keeps it. An older copy shows nothing: its QUIT may have been lost.
        if let (Habit::Untested, Goal::Decide(slot)) = (self.source.habit, self.goal) {
            self.source.habit = if matched.contains(slot) {
                Habit::Keeps
            } else {
                Habit::Consumes
            };
        }
        // A source that drops what is fetched does not list what we hold: one empty listing, or one
        // mail read at the desk between the two logins, was taken for a proof. Test it again.
        let held = |entry: &Listed| {
            let Verdict::Known(slot) = entry.verdict() else {
                return false;
            };
            let row = round.mailbox.ledger().row(slot);
            row.is_some_and(|row| row.copy.is_some())
        };
        if self.source.habit == Habit::Consumes && listing.iter().any(held) {
            self.source.habit = Habit::Untested;
        }
    }

    /// Writes that what is not listed is absent.
    pub(super) fn write_absent<M: Medium>(
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
    pub(super) fn write_present<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        from: usize,
    ) -> Result<Turn, Failure> {
        for at in from..self.listed {
            let Some(&entry) = round.tables.listing.get(at) else {
                break;
            };
            let (Verdict::Known(slot) | Verdict::Rekeyed(slot)) = entry.verdict() else {
                continue;
            };
            let row = round.mailbox.ledger().row(slot);
            if row.is_none_or(|row| row.user != self.account) {
                // A tombstone that gave way to another's mail while the store was busy.
                continue;
            }
            let lan = Row::when_listed(entry.seen());
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
        if !self.write_source(round)? {
            self.state = State::Present { at: self.listed };
            return Ok(Turn::Wait);
        }
        match round.mailbox.expire(self.account, round.day) {
            // What is still too old goes at the next visit.
            Ok(()) | Err(mailbox::Error::Busy) => {}
            Err(error) => return Err(Failure::Mailbox(error)),
        }
        let then = if self.looked { Then::Size } else { Then::Look };
        // Where nothing changed there is nothing to flush, and the ticket is done at once.
        let ticket = round.mailbox.commit();
        Ok(self.enter(State::Settling { ticket, then }))
    }

    /// Writes what is known of the source; false if the store is busy. It must not be left out:
    /// a first visit that is forgotten would count as taken what came since (`start new`).
    pub(super) fn write_source<M: Medium>(
        &self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<bool, Failure> {
        let known = round.mailbox.ledger().account(self.account);
        if known.is_some_and(|account| account.source == self.source) {
            return Ok(true);
        }
        match round.mailbox.set_source(self.account, self.source) {
            Ok(()) => Ok(true),
            Err(mailbox::Error::Busy) => Ok(false),
            Err(error) => Err(Failure::Mailbox(error)),
        }
    }
}

/// A hash of the source's host and login: the account. Its port is only a door to it.
fn fingerprint<M: Medium>(user: &User, mailbox: &Mailbox<'_, M>) -> u64 {
    let Some(source) = &user.source else {
        return 0;
    };
    let mut text = heapless::String::<544>::new();
    // 255 octets of host, 128 of login and 128 of mailbox fit.
    let _ = match source.scheme {
        Scheme::Pop3 | Scheme::Pop3s => fmt::Write::write_fmt(
            &mut text,
            format_args!("pop3://{}/{}", source.host, source.login),
        ),
        Scheme::Maildir => {
            fmt::Write::write_fmt(&mut text, format_args!("maildir:{}", source.host))
        }
        Scheme::Imap | Scheme::Imaps => fmt::Write::write_fmt(
            &mut text,
            format_args!(
                "imap://{}/{}/{}",
                source.host,
                source.login,
                source.mailbox()
            ),
        ),
    };
    mailbox.key(text.as_bytes()).0
}
