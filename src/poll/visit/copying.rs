//! The copying of a visit: bodies in, copies and rows out.
//!
//! ```text
//! TOP n 99999999 --Body--> writer of the ring --BodyEnd--> long enough? --> row, with its copy
//!                                                             |no
//!                                                             v
//!                                  again, once: the same? then LIST is wrong, not TOP
//! ```
//!
//! A copy counts only when its terminator came and it is not shorter than `LIST` said; longer is
//! harmless (Dovecot leaves the last CR LF out of its figure). A short one is asked for again
//! after all others, see [`doubts`](super::doubts): if it comes the same, the server's sizes are not
//! exact; if more comes, this server's `TOP` cuts, and that body is taken. Anything else waits for
//! the next visit, and enters nothing.

use hal::Medium;

use crate::identity::{HeaderReader, Identity};
use crate::mailbox::{self, Habit, Mailbox, Reach, Row, Taken};
use crate::pop3::client::Kind as Pop3Kind;
use crate::reconcile::{Errand, Listed, Slots, Verdict, sizes_agree};
use crate::store::{Stored, Writer};

use super::doubts::{Came, Doubts};
use super::remote::{Kind, Reply, Request};
use super::run::{Round, Run, Turn, unexpected};
use super::{Failure, Goal, NextVisit};

/// A body may be so many times longer than `LIST` said (LF counted for CR LF, sizes estimated) ..
const LONGER_TIMES: u64 = 4;

/// .. and so many octets more. Beyond, it would only push other mails out of the ring.
const LONGER_OCTETS: u64 = 64 * 1024;

/// A commit at the latest after so many mails: eight share one flush.
const BATCH_MAILS: u32 = 8;

/// .. or so many octets.
const BATCH_OCTETS: u64 = 1 << 20;

/// Bodies on their way: asked for as far as `asked`, read as far as `at`.
#[derive(Debug)]
pub(super) struct Copying {
    asked: usize,
    at: usize,
    /// The one that ended last, if it was too short.
    ended: Option<usize>,
    body: Option<Body>,
    doubts: Doubts,
    /// `TOP` cuts mails, or there is none: `RETR` is used.
    by_retr: bool,
    /// The second pass: what was too short comes again.
    again: bool,
    /// Since the latest commit.
    mails: u32,
    octets: u64,
}

/// The body that is being read.
#[derive(Debug)]
struct Body {
    uid: u32,
    /// `None` where the ring has no room for it: the rest is read and thrown away.
    writer: Option<Writer>,
    full: bool,
    header: HeaderReader,
    octets: u64,
    /// LFs in them.
    lines: u32,
    /// Octets of the piece that the ring has not taken yet.
    held: core::ops::Range<usize>,
    ended: bool,
    copied: Option<Stored>,
}

impl Copying {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            asked: 0,
            at: 0,
            ended: None,
            body: None,
            doubts: Doubts::new(reach),
            by_retr: false,
            again: false,
            mails: 0,
            octets: 0,
        }
    }

    /// One turn; `None` when all is copied.
    pub(super) fn turn<M: Medium>(
        &mut self,
        run: &mut Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Option<Turn>, Failure> {
        self.ask(run, round);
        if self.body.as_ref().is_some_and(|body| !body.held.is_empty()) {
            return self.store(run, round).map(Some);
        }
        if self.body.as_ref().is_some_and(|body| body.ended) {
            return self.finish(run, round).map(Some);
        }
        let Some(at) = run.next_errand(round, self.at, Errand::Copy) else {
            return self.end_pass(run, round);
        };
        self.at = at;
        if self.body.is_none() && !self.begin(run, round)? {
            return Ok(Some(Turn::Wait));
        }
        match run.reply(round) {
            None => return Ok(Some(Turn::Wait)),
            Some(reply) if run.heard_undoing(&reply) => {}
            Some(Reply::Body { length }) => {
                if let Some(body) = &mut self.body {
                    let piece = run.piece.get(..length).unwrap_or_default();
                    body.header.read(piece);
                    body.octets += length as u64;
                    body.lines = body.lines.saturating_add(count_lines(piece));
                    body.held = 0..length;
                    let entry = round.tables.listing.get(at);
                    let announced = entry.and_then(|entry| entry.size()).unwrap_or(0);
                    if is_endless(body.octets, announced.into()) {
                        return Err(Failure::Endless { announced });
                    }
                }
            }
            Some(Reply::BodyEnd) => {
                if let Some(body) = &mut self.body {
                    body.ended = true;
                }
            }
            Some(Reply::Refused {
                kind: Kind::Pop3(Pop3Kind::Top { .. }),
                ..
            }) if !run.capabilities.top && !self.by_retr && run.report.copied == 0 => {
                // No TOP at all, so far as is known: one mail is asked for at a time.
                self.by_retr = true;
                self.forget(round.mailbox);
                self.asked = self.at;
                if run.client.outstanding() > 0 {
                    return Err(Failure::Closed);
                }
            }
            Some(Reply::Refused { .. }) => {
                // Read at the desk since it was listed: the next listing tells.
                self.forget(round.mailbox);
                self.pass(run, round);
            }
            Some(Reply::Overtaken) => {
                self.forget(round.mailbox);
                self.pass(run, round);
                // Asked for by itself there is nothing that could overtake it.
                if let Some(entry) = run.listing(round).get_mut(at) {
                    entry.set_errand(Errand::Last);
                }
            }
            Some(other) => return Err(unexpected(other)),
        }
        Ok(Some(Turn::Again))
    }

    /// How far it is: rises with every mail that is dealt with.
    pub(super) fn milestone(&self) -> (bool, usize) {
        (self.again, self.at)
    }

    /// The place in the listing of the mail that is read, or comes next.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// That of the one that ended last, if it was too short.
    pub(super) fn ended(&self) -> Option<usize> {
        self.ended
    }

    /// Gives up what was begun.
    pub(super) fn abandon<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) {
        self.forget(mailbox);
    }

    /// Asks for bodies, ahead of the replies where the server can pipeline.
    fn ask<M: Medium>(&mut self, run: &mut Run, round: &mut Round<'_, '_, '_, M>) {
        while run.undo(round)
            && let Some(at) = run.next_errand(round, self.asked, Errand::Copy)
        {
            // Until the server's TOP is known to work, one at a time.
            if run.report.copied == 0 && run.client.outstanding() > 0 {
                return;
            }
            let number = run.number(round, at);
            let retr = self.by_retr || self.again && !self.doubts.within_reach(at);
            let asked = if retr {
                run.ask_retr(round, number)
            } else {
                run.ask_ahead(round, Request::Mail(number))
            };
            if !asked {
                return;
            }
            self.asked = at + 1;
        }
    }

    /// Makes ready to take the body of entry `at`; false if that must wait.
    fn begin<M: Medium>(
        &mut self,
        run: &mut Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<bool, Failure> {
        let Some(&entry) = round.tables.listing.get(self.at) else {
            return Ok(false);
        };
        let known = match entry.verdict() {
            Verdict::Known(slot) | Verdict::Rekeyed(slot) => round.mailbox.ledger().row(slot),
            _ => None,
        };
        let uid = match known.map(|row| row.uid) {
            Some(uid) => uid,
            None => {
                // A copy that no row can point at would only push others out of the ring.
                match round.mailbox.make_room() {
                    Ok(()) => entry.uid().unwrap_or_else(|| round.mailbox.fresh_uid()),
                    Err(mailbox::Error::Busy) => return Ok(false),
                    Err(error) => return Err(Failure::Mailbox(error)),
                }
            }
        };
        let row = run.row(round, &entry, uid, Taken::No);
        let Some(writer) = round.mailbox.begin_copy(&row) else {
            return Ok(false);
        };
        self.body = Some(Body {
            uid,
            writer: Some(writer),
            full: false,
            header: HeaderReader::new(),
            octets: 0,
            lines: 0,
            held: 0..0,
            ended: false,
            copied: None,
        });
        Ok(true)
    }

    /// Moves the held octets into the ring.
    fn store<M: Medium>(
        &mut self,
        run: &Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let Some(body) = &mut self.body else {
            return Ok(Turn::Again);
        };
        let Some(writer) = body.writer else {
            body.held = 0..0;
            return Ok(Turn::Again);
        };
        let held = run.piece.get(body.held.clone()).unwrap_or_default();
        match round.mailbox.append(writer, held) {
            Ok(taken) => {
                body.held.start += taken;
                Ok(Turn::Again)
            }
            Err(mailbox::Error::Busy) => Ok(Turn::Wait),
            Err(mailbox::Error::RingFull) => {
                round.mailbox.abort_copy(writer);
                (body.writer, body.full) = (None, true);
                Ok(Turn::Again)
            }
            Err(error) => Err(Failure::Mailbox(error)),
        }
    }

    /// The body has come to its end: is it whole, and what becomes of it?
    fn finish<M: Medium>(
        &mut self,
        run: &mut Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let Some(body) = &mut self.body else {
            return Ok(Turn::Again);
        };
        if let Some(writer) = body.writer {
            match round.mailbox.finish_copy(writer) {
                Ok(copied) => (body.writer, body.copied) = (None, Some(copied)),
                Err(mailbox::Error::Busy) => return Ok(Turn::Wait),
                Err(mailbox::Error::RingFull) => {
                    round.mailbox.abort_copy(writer);
                    (body.writer, body.full) = (None, true);
                }
                Err(error) => return Err(Failure::Mailbox(error)),
            }
        }
        let came = Came {
            octets: body.octets,
            crc: body.copied.map(|copied| copied.crc),
            lines: body.lines,
        };
        let Some(&entry) = round.tables.listing.get(self.at) else {
            return Ok(Turn::Again);
        };
        let announced = u64::from(entry.size().unwrap_or(0));
        let believed = if self.again {
            self.doubts.again(self.at, came, announced)
        } else {
            self.doubts.first(self.at, came, announced, !self.by_retr)
        };
        self.ended = (!believed).then_some(self.at);
        if !believed {
            self.body = None;
            self.pass(run, round);
            return Ok(Turn::Again);
        }
        self.write(run, round)
    }

    /// Writes the row of the mail that was read, or the copy into the row that waits for it.
    fn write<M: Medium>(
        &mut self,
        run: &mut Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let (Some(body), Some(&entry)) = (&self.body, round.tables.listing.get(self.at)) else {
            return Ok(Turn::Again);
        };
        let header = body.header.clone().finish();
        let octets = u32::try_from(body.octets).unwrap_or(u32::MAX);
        let place = body.copied.map(|copied| copied.place);
        let renamed = match entry.verdict() {
            // Its header was not looked at: there is no TOP, or nothing had gone.
            Verdict::New if entry.identity().is_none() => {
                unlisted(run, round, header.identity, octets)
            }
            _ => None,
        };
        let written = match entry.verdict() {
            _ if renamed.is_some() => rename(run, round, renamed, &entry),
            Verdict::Known(slot) | Verdict::Rekeyed(slot) => round
                .mailbox
                .set_seen(slot, octets, Some(header.identity))
                .and_then(|()| round.mailbox.set_copy(slot, place, octets))
                .map(|()| slot),
            _ => {
                let mut row = run.row(round, &entry, body.uid, Taken::No);
                row.identity = Some(header.identity);
                row.size = octets;
                row.copy = place;
                round.mailbox.enter(&row)
            }
        };
        let slot = match written {
            Ok(slot) => slot,
            Err(mailbox::Error::Busy) => return Ok(Turn::Wait),
            Err(error) => return Err(Failure::Mailbox(error)),
        };
        // It is listed: no later mail of this listing can be the same one under another name.
        Slots::resume(round.tables.matched).insert(slot);
        if renamed.is_some() {
            run.report.rekeyed += 1;
            run.report.new = run.report.new.saturating_sub(1);
        } else if place.is_some() {
            run.report.copied += 1;
            if let Some(stumbles) = round.mailbox.stumbles_mut(run.account) {
                stumbles.forget(entry.key);
            }
            run.report.octets += u64::from(octets);
        } else {
            run.report.uncopied += 1;
        }
        if run.probe {
            run.report.next = Some(NextVisit(slot));
        }
        let full = body.full;
        let row = round.mailbox.ledger().row(slot);
        let bare = renamed.is_some() && row.is_some_and(|row| row.copy.is_none());
        self.body = None;
        let at = self.at;
        self.pass(run, round);
        if bare && let Some(entry) = run.listing(round).get_mut(at) {
            // The copy just made is not its own: it comes once more.
            entry.set_verdict(Verdict::Rekeyed(slot));
            entry.set_errand(Errand::Last);
        }
        self.batch(round.mailbox, octets);
        let consumes = run.source.habit == Habit::Consumes;
        if full && (consumes || matches!(run.goal, Goal::Fetch(_))) {
            return Err(Failure::Mailbox(mailbox::Error::RingFull));
        }
        Ok(Turn::Again)
    }

    /// Commits now and then, so that a long visit cut short keeps what it copied.
    fn batch<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>, octets: u32) {
        self.mails += 1;
        self.octets += u64::from(octets);
        if self.mails >= BATCH_MAILS || self.octets >= BATCH_OCTETS {
            mailbox.commit();
            (self.mails, self.octets) = (0, 0);
        }
    }

    /// Entry `at` is dealt with.
    fn pass<M: Medium>(&mut self, run: &Run, round: &mut Round<'_, '_, '_, M>) {
        if let Some(entry) = run.listing(round).get_mut(self.at) {
            entry.set_errand(Errand::Nothing);
        }
        self.at += 1;
    }

    /// After the first pass, what came too short comes once more. `None` when all is copied.
    fn end_pass<M: Medium>(
        &mut self,
        run: &mut Run,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Option<Turn>, Failure> {
        if !run.undo(round) || run.client.outstanding() > 0 {
            return match run.reply(round) {
                None => Ok(Some(Turn::Wait)),
                Some(reply) if run.heard_undoing(&reply) => Ok(Some(Turn::Again)),
                Some(other) => Err(unexpected(other)),
            };
        }
        if self.take_late(run, round) {
            return Ok(Some(Turn::Again));
        }
        if !self.again && self.doubts.places().next().is_some() {
            self.again = true;
            (self.at, self.asked) = (0, 0);
            for at in self.doubts.places() {
                if let Some(entry) = run.listing(round).get_mut(at) {
                    entry.set_errand(Errand::Copy);
                }
            }
            return Ok(Some(Turn::Again));
        }
        round.mailbox.set_reach(run.account, self.doubts.reach());
        if self.doubts.short() > 0 {
            run.report.failure = Some(Failure::Short(self.doubts.short()));
        }
        Ok(None)
    }

    /// Puts the next mail that comes after all others in its turn; false if there is none.
    fn take_late<M: Medium>(&mut self, run: &Run, round: &mut Round<'_, '_, '_, M>) -> bool {
        let account = round.mailbox.ledger().account(run.account);
        let late = account.map_or(&[][..], |account| account.stumbles.late());
        let listing = round.tables.listing.get_mut(..run.listed);
        let listing = listing.unwrap_or_default();
        let waits = |entry: &Listed| entry.errand() == Errand::Last;
        let next = late.iter().find_map(|&key| {
            listing
                .iter()
                .position(|entry| waits(entry) && entry.key == key)
        });
        // Forgotten meanwhile: any.
        let next = next.or_else(|| listing.iter().position(waits));
        if let Some(entry) = next.and_then(|at| listing.get_mut(at)) {
            entry.set_errand(Errand::Copy);
            (self.at, self.asked) = (0, 0);
        }
        next.is_some()
    }

    fn forget<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) {
        if let Some(writer) = self.body.take().and_then(|body| body.writer) {
            mailbox.abort_copy(writer);
        }
    }
}

/// Whether a mail is so much longer than announced that it may never end.
pub(super) fn is_endless(octets: u64, announced: u64) -> bool {
    octets > announced.saturating_mul(LONGER_TIMES) + LONGER_OCTETS
}

/// LFs of a piece.
fn count_lines(piece: &[u8]) -> u32 {
    let lines = piece.iter().filter(|&&octet| octet == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX)
}

/// The row of a mail with this identity that is not listed under its key: the mail that was copied
/// is that one under another name (design 2.3). Of equal rows, one not taken yet.
fn unlisted<M: Medium>(
    run: &Run,
    round: &mut Round<'_, '_, '_, M>,
    identity: Identity,
    octets: u32,
) -> Option<u32> {
    let matched = Slots::resume(round.tables.matched);
    let rows = round.mailbox.ledger().rows_of(run.account);
    let renamed = rows.filter(|(slot, row)| {
        row.identity == Some(identity)
            && !matched.contains(*slot)
            && sizes_agree(row.size, Some(octets))
    });
    let first = renamed.min_by_key(|(slot, row)| (row.taken == Taken::Full, *slot));
    first.map(|(slot, _)| slot)
}

/// Gives that row the key of `entry`. A copy it has stays; the one just made is not needed, and
/// lies in the ring until its segment comes round: it bears a UID of its own.
fn rename<M: Medium>(
    run: &Run,
    round: &mut Round<'_, '_, '_, M>,
    slot: Option<u32>,
    entry: &Listed,
) -> Result<u32, mailbox::Error> {
    let slot = slot.ok_or(mailbox::Error::LedgerFull)?;
    log::debug!(
        "visit: the mail of row {slot}, of account {}, has another id",
        run.account
    );
    round.mailbox.rekey(slot, entry.key)?;
    let lan = Row::when_listed(entry.seen());
    round.mailbox.set_lan(slot, lan, round.day)?;
    Ok(slot)
}
