//! The middle of a visit: which mails are new, how large they are, and what is copied.
//!
//! The newest that fit the user's share of the ring, beside what waits there already, are copied,
//! and beyond it those that push out nothing but older mails of the same user (design 2.9);
//! the rest get rows without a copy, with size and identity, so that a renamed one is known again
//! (design 2.11). Mails known without a copy (evicted, damaged, or once too many for the share) are
//! copied again, newest first, but only where nothing that is still offered is evicted for it
//! (design 2.9): so polls never copy and evict in a circle. From a source that nobody has tested
//! yet one mail only is fetched (design 2.4).

use hal::Medium;

use crate::config::{Consumes, Start};
use crate::identity::{Basis, HeaderReader};
use crate::mailbox::{self, Habit, Taken};
use crate::pop3::client::Kind as Pop3Kind;
use crate::reconcile::{Errand, Listed, Slots, Verdict};

use super::copying::Copying;
use super::remote::{Client, Kind, Reply, Request};
use super::run::{Round, Run, State, Turn, unexpected};
use super::{Failure, Goal};

/// So many new mails are asked for their size one by one; more, by one `LIST` of all.
const SINGLE_SIZES: usize = 16;

/// Headers on their way: asked as far as `asked`, answered as far as `at`.
#[derive(Debug)]
pub(super) struct Looking {
    asked: usize,
    at: usize,
    /// The one that ended last.
    ended: Option<usize>,
    header: HeaderReader,
    quest: Quest,
}

/// What headers are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quest {
    /// To find old mails under new ids.
    Old,
    /// To enter mails that will not be copied.
    Uncopied,
    /// To name all mails of a listing that has no unique-ids.
    Names,
    /// To see whether the last of them is still the same.
    Last,
}

impl Run {
    /// Whose header must be seen before anything is copied.
    pub(super) fn plan_looks<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        let dated = !self.source.visited && matches!(round.user.start, Start::Days(_));
        let listing = round.tables.listing.get_mut(..self.listed);
        for entry in listing.unwrap_or_default() {
            let look = entry.verdict() == Verdict::Look || dated && entry.verdict() == Verdict::New;
            let look = look && !round.mailbox.is_spoilt(self.account, entry.key);
            entry.set_errand(if look {
                Errand::Header
            } else {
                Errand::Nothing
            });
        }
    }

    /// Reads headers, those with [`Errand::Header`].
    pub(super) fn look<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let State::Looking(mut looking) = core::mem::replace(&mut self.state, State::Ended) else {
            return Ok(Turn::Again);
        };
        let turn = self.look_on(round, &mut looking);
        if matches!(self.state, State::Ended) {
            self.state = State::Looking(looking);
        }
        turn
    }

    pub(super) fn look_on<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        looking: &mut Looking,
    ) -> Result<Turn, Failure> {
        while let Some(at) = self.next_errand(round, looking.asked, Errand::Header) {
            let number = self.number(round, at);
            if !self.ask_ahead(round, Request::Header(number)) {
                break;
            }
            looking.asked = at + 1;
        }
        let Some(at) = self.next_errand(round, looking.at, Errand::Header) else {
            return self.looked(round, looking.quest);
        };
        let names = matches!(looking.quest, Quest::Names | Quest::Last);
        match self.reply(round) {
            None => return Ok(Turn::Wait),
            Some(Reply::Body { length }) => {
                let piece = self.piece.get(..length).unwrap_or_default();
                looking.header.read(piece);
            }
            Some(Reply::BodyEnd) => {
                let header = core::mem::take(&mut looking.header).finish();
                looking.ended = Some(at);
                if let Some(entry) = round.tables.listing.get_mut(at) {
                    // Made of less than the mail, it compares with nothing.
                    let whole = header.basis == Basis::Fields;
                    entry.set_identity(whole.then_some(header.identity));
                    entry.set_day(header.day);
                }
                if names {
                    self.named(round, at, &header);
                }
                looking.at = at + 1;
            }
            Some(refusal @ Reply::Refused { .. }) if names => {
                self.unnamed(round, at, refusal)?;
                looking.at = at + 1;
            }
            // No TOP, or read at the desk meanwhile.
            Some(Reply::Refused { .. } | Reply::Overtaken) => looking.at = at + 1,
            Some(other) => return Err(unexpected(other)),
        }
        Ok(Turn::Again)
    }

    /// All headers have come.
    pub(super) fn looked<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        quest: Quest,
    ) -> Result<Turn, Failure> {
        match quest {
            Quest::Old => {}
            Quest::Uncopied => return Ok(self.enter(State::Entering { at: 0 })),
            Quest::Names => return Ok(self.named_all(round)),
            Quest::Last => return Ok(self.named_last(round)),
        }
        // A header alone does not make a mail: its size must agree as well.
        for entry in self.listing(round) {
            let seen = entry.errand() == Errand::Header && entry.identity().is_some();
            entry.set_errand(if seen { Errand::Size } else { Errand::Nothing });
        }
        self.ask_sizes(round, Purpose::Judge)
    }

    /// Asks the sizes of what has [`Errand::Size`], as far as they are not known.
    pub(super) fn ask_sizes<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        purpose: Purpose,
    ) -> Result<Turn, Failure> {
        let unknown = self.listing(round).iter().filter(|entry| lacks_size(entry));
        let lists = !matches!(self.client, Client::Maildir(_));
        let all = unknown.count() > SINGLE_SIZES && lists;
        if all {
            self.ask(round, Request::Sizes)?;
        }
        Ok(self.enter(State::Sizing(Sizing {
            asked: 0,
            all,
            purpose,
        })))
    }

    /// All sizes have come.
    fn measured<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        purpose: Purpose,
    ) -> Result<Turn, Failure> {
        match purpose {
            Purpose::Choose => return self.choose(round),
            Purpose::Compare => {
                self.plan_looks(round);
                self.plan_comparison(round);
                return Ok(self.enter(State::Looking(Looking::new(Quest::Old))));
            }
            Purpose::Judge => {}
        }
        self.looked = true;
        self.judge(round);
        self.compared(round);
        // Of mails with equal ids only the headers say which has gone.
        Ok(self.enter(State::Absent { slot: 0 }))
    }

    /// Whose size must be known: of what is new, or fetched for a caller.
    pub(super) fn plan_sizes<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<(), Failure> {
        let goal = self.goal;
        let mut found = false;
        // Only from a source that is known to keep its mail.
        let keeps = self.source.habit == Habit::Keeps;
        let listing = round.tables.listing.get_mut(..self.listed);
        for entry in listing.unwrap_or_default() {
            let wanted = match (goal, entry.verdict()) {
                (Goal::Fetch(slot), verdict) => {
                    verdict == Verdict::Known(slot) || verdict == Verdict::Rekeyed(slot)
                }
                (_, Verdict::Known(slot) | Verdict::Rekeyed(slot)) if keeps => {
                    let row = round.mailbox.ledger().row(slot);
                    let again = row.filter(|row| row.lacks_copy());
                    // Its size is known already, where it was ever seen.
                    let size = again.map(|row| row.size).filter(|&size| size != 0);
                    entry.set_size(size.or(entry.size()));
                    again.is_some()
                }
                (_, verdict) => verdict == Verdict::New,
            };
            found |= wanted;
            entry.set_errand(if wanted {
                Errand::Size
            } else {
                Errand::Nothing
            });
        }
        if matches!(goal, Goal::Fetch(_)) && !found {
            return Err(Failure::NotListed);
        }
        Ok(())
    }

    /// Reads sizes: of all mails by `LIST`, or of the new ones one by one.
    pub(super) fn measure<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        mut sizing: Sizing,
    ) -> Result<Turn, Failure> {
        let next = |run: &Self, round: &mut Round<'_, '_, '_, M>, from: usize| {
            let listing = run.listing(round).get(from..)?;
            listing
                .iter()
                .position(lacks_size)
                .map(|ahead| from + ahead)
        };
        while !sizing.all
            && let Some(at) = next(self, round, sizing.asked)
        {
            let number = self.number(round, at);
            if !self.ask_ahead(round, Request::Size(number)) {
                break;
            }
            sizing.asked = at + 1;
        }
        self.state = State::Sizing(sizing);
        if self.client.outstanding() == 0 {
            if !sizing.all && next(self, round, sizing.asked).is_some() {
                return Ok(Turn::Wait);
            }
            return self.measured(round, sizing.purpose);
        }
        match self.reply(round) {
            None => Ok(Turn::Wait),
            Some(Reply::Size { number, octets }) => {
                let listing = self.listing(round);
                if let Ok(at) = listing.binary_search_by_key(&number, |entry| entry.number)
                    && let Some(entry) = listing.get_mut(at)
                {
                    entry.set_size(Some(u32::try_from(octets).unwrap_or(u32::MAX)));
                }
                Ok(Turn::Again)
            }
            // Of one mail: read at the desk meanwhile.
            Some(
                Reply::SizesEnd
                | Reply::Refused {
                    kind: Kind::Pop3(Pop3Kind::ListOne { .. }),
                    ..
                },
            ) => Ok(Turn::Again),
            Some(other) => Err(unexpected(other)),
        }
    }

    /// Decides what is copied: the newest that fit the user's share of the ring.
    pub(super) fn choose<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
    ) -> Result<Turn, Failure> {
        let goal = self.goal;
        let first = !self.source.visited;
        let start = round.user.start;
        let today = round.day;
        let policy = round.user.read_at_desk;
        let held = round.mailbox.held(self.account, policy);
        let mut left = round.mailbox.share(round.user.share);
        let mut share = left.saturating_sub(held);
        // Beyond the share, new mails may push out older ones of the same user, but nobody else's.
        let mut own = round.mailbox.room_beside_others(self.account);
        let untested = self.source.habit == Habit::Untested;
        let agreed = round.user.consumes == Consumes::Copy;
        let consumes = self.source.habit == Habit::Consumes && !agreed;
        let mut chosen = 0_u32;
        let (mut roomless, mut hopeless) = (false, false);
        let ring = round.mailbox.share(Some(100));
        let listing = round.tables.listing.get_mut(..self.listed);
        for entry in listing.unwrap_or_default().iter_mut().rev() {
            let (Errand::Size, Some(size)) = (entry.errand(), entry.size()) else {
                // What has no size was gone when it was asked for: the next listing tells.
                entry.set_errand(Errand::Nothing);
                continue;
            };
            let again = !matches!(entry.verdict(), Verdict::New | Verdict::Unjudged);
            if again && !matches!(goal, Goal::Fetch(_)) {
                // New mails come first.
                continue;
            }
            let cost = round.mailbox.cost(size);
            let size = u64::from(size);
            let skipped = first && is_skipped(start, today, entry.day());
            // What was read at the desk before we saw it is not copied.
            let fits = size <= left && (size <= share || cost <= own) && !skipped && !entry.seen();
            // Nobody else's mail is given up for it, nor more of the ring taken than the share.
            roomless |= size > left || cost > own;
            // Nothing at all is given up for what the whole ring cannot hold.
            hopeless |= matches!(goal, Goal::Fetch(_)) && cost > ring;
            entry.set_errand(match goal {
                Goal::Fetch(_) => Errand::Copy,
                _ if consumes => Errand::Nothing,
                _ if round.mailbox.is_spoilt(self.account, entry.key) => Errand::Enter,
                _ if fits && round.mailbox.is_late(self.account, entry.key) => Errand::Last,
                _ if fits => Errand::Copy,
                _ => Errand::Header,
            });
            if matches!(entry.errand(), Errand::Copy | Errand::Last) {
                left = left.saturating_sub(size);
                share = share.saturating_sub(size);
                own = own.saturating_sub(cost);
                chosen += 1;
            }
        }
        if roomless {
            if let Some(state) = self.streaming(round) {
                return Ok(self.enter(state));
            }
            if hopeless {
                return Err(Failure::Mailbox(mailbox::Error::RingFull));
            }
        }
        if consumes && !matches!(goal, Goal::Fetch(_)) && self.report.new > 0 {
            self.report.failure = Some(Failure::Consumes);
        }
        if untested && chosen > 0 && !matches!(goal, Goal::Fetch(_)) {
            self.keep_one(round);
        }
        if !matches!(goal, Goal::Fetch(_)) {
            self.choose_again(round, share);
        }
        self.number_rows(round);
        if self.naming.by_headers {
            // All have been looked at.
            return Ok(self.enter(State::Entering { at: 0 }));
        }
        Ok(self.enter(State::Looking(Looking::new(Quest::Uncopied))))
    }

    /// Decides which known mails are copied again: the newest that fit what is `left` of the
    /// share, and only where nothing still offered is evicted for them.
    fn choose_again<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>, mut left: u64) {
        let listing = round.tables.listing.get_mut(..self.listed);
        let listing = listing.unwrap_or_default();
        if !listing.iter().any(|entry| entry.errand() == Errand::Size) {
            return;
        }
        let mut room = round.mailbox.room();
        for entry in listing
            .iter()
            .filter(|entry| matches!(entry.errand(), Errand::Copy | Errand::Last))
        {
            let cost = round.mailbox.cost(entry.size().unwrap_or(0));
            room = room.saturating_sub(cost);
        }
        let again = listing.iter_mut().rev();
        for entry in again.filter(|entry| entry.errand() == Errand::Size) {
            let size = entry.size().unwrap_or(u32::MAX);
            let (octets, cost) = (u64::from(size), round.mailbox.cost(size));
            entry.set_errand(Errand::Nothing);
            let spoilt = round.mailbox.is_spoilt(self.account, entry.key);
            if octets <= left && cost <= room && !spoilt {
                (left, room) = (left - octets, room - cost);
                let late = round.mailbox.is_late(self.account, entry.key);
                entry.set_errand(if late { Errand::Last } else { Errand::Copy });
            }
        }
    }

    /// Leaves one mail to copy, the oldest that was chosen: the source is not tested yet. Of what
    /// will not be copied only the older is entered now: own UIDs rise with age.
    fn keep_one<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        self.probe = true;
        let listing = self.listing(round);
        let first = |errand| listing.iter().position(|entry| entry.errand() == errand);
        let probe = first(Errand::Copy).or(first(Errand::Last));
        if first(Errand::Copy).is_some() {
            let late = listing.iter_mut().filter(|e| e.errand() == Errand::Last);
            late.for_each(|entry| entry.set_errand(Errand::Nothing));
        }
        let later = listing.iter_mut().skip(probe.map_or(0, |at| at + 1));
        for entry in later {
            entry.set_errand(Errand::Nothing);
        }
    }

    /// Gives out own UIDs to what gets a row in this visit, in the order of the listing: so
    /// `order arrival` is the LAN server's, whatever is copied first.
    fn number_rows<M: Medium>(&mut self, round: &mut Round<'_, '_, '_, M>) {
        for at in 0..self.listed {
            let Some(entry) = round.tables.listing.get_mut(at) else {
                break;
            };
            let gets_row = !matches!(entry.errand(), Errand::Nothing | Errand::Size);
            if entry.verdict() == Verdict::New && gets_row {
                entry.set_uid(round.mailbox.fresh_uid());
            }
        }
    }

    /// Enters the mails that will not be copied: too large for the share, or skipped at the start.
    pub(super) fn enter_uncopied<M: Medium>(
        &mut self,
        round: &mut Round<'_, '_, '_, M>,
        from: usize,
    ) -> Result<Turn, Failure> {
        let first = !self.source.visited;
        for at in from..self.listed {
            let Some(&entry) = round.tables.listing.get(at) else {
                break;
            };
            if !matches!(entry.errand(), Errand::Header | Errand::Enter) {
                continue;
            }
            let taken = if first && is_skipped(round.user.start, round.day, entry.day()) {
                Taken::Full
            } else {
                Taken::No
            };
            let uid = entry.uid().unwrap_or_else(|| round.mailbox.fresh_uid());
            let row = self.row(round, &entry, uid, taken);
            match round.mailbox.enter(&row) {
                Ok(slot) => {
                    Slots::resume(round.tables.matched).insert(slot);
                    self.report.uncopied += 1;
                }
                Err(mailbox::Error::Busy) => {
                    self.state = State::Entering { at };
                    return Ok(Turn::Wait);
                }
                Err(error @ mailbox::Error::LedgerFull) => {
                    // The listing has been believed all the same: what comes from now on is not of
                    // the first visit (`start new`). What found no room is new to the next one.
                    self.report.failure = Some(Failure::Mailbox(error));
                    break;
                }
                Err(error) => return Err(Failure::Mailbox(error)),
            }
        }
        if !self.probe && !matches!(self.goal, Goal::Fetch(_)) {
            self.source.visited = true;
            if !self.write_source(round)? {
                // `first` was asked above for the last time: all entries are behind us.
                self.state = State::Entering { at: self.listed };
                return Ok(Turn::Wait);
            }
        }
        let account = round.mailbox.ledger().account(self.account);
        let reach = account.map(|account| account.reach).unwrap_or_default();
        Ok(self.enter(State::Copying(Copying::new(reach))))
    }
}

/// Sizes on their way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizing {
    /// Asked one by one as far as this entry.
    asked: usize,
    /// All at once instead.
    all: bool,
    purpose: Purpose,
}

/// What sizes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see which ids have another size than before.
    Compare,
    /// To judge what was looked at.
    Judge,
    /// To choose what is copied.
    Choose,
}

impl Looking {
    /// Headers dealt with.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The one that ended last.
    pub(super) fn ended(&self) -> Option<usize> {
        self.ended
    }

    pub(super) fn new(quest: Quest) -> Self {
        Self {
            asked: 0,
            at: 0,
            ended: None,
            header: HeaderReader::new(),
            quest,
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

/// Whether the size of an entry must be asked for.
fn lacks_size(entry: &Listed) -> bool {
    entry.errand() == Errand::Size && entry.size().is_none()
}
