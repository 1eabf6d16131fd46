//! Random histories of one mailbox against the table of facts, event by event.
//!
//! The world of a history is a mail server of the LAN with a dozen mails, a caller, a clock of days
//! and a medium that loses power. The gateway is the real one from the octets of the LAN to those of
//! the line, but for modem and schedule. Beside it stands what the table of facts says: for each
//! mail the set of all rows it may have now. An event that is certain keeps a set as small as it
//! was; one that was cut short makes it larger; what a call is offered makes it smaller again.
//!
//! ```text
//! event -> gateway -> what a caller reads --+
//!       -> table -> set of rows a mail ---> may it be offered? must it be?
//! ```
//!
//! A call must be offered what every row of the set would offer, and nothing that none would. So
//! "read `+OK`, never offered again" and "unread, offered at every call" are both in it.
//!
//! `RINGMAIL_HISTORIES` says how many, `RINGMAIL_SEED` where to begin. A history that fails is
//! shortened as far as it still fails, and printed.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod desk;
    pub(crate) mod lan;
}

use core::panic::AssertUnwindSafe;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::rc::Rc;

use hal::sim::SimMedium;
use hal::sim::medium::Cut;
use ringmail::config::{CommitAt, Config, ReadAtDesk, TakenBy, User};
use ringmail::identity::{HeaderReader, Identity};
use ringmail::mailbox::{Habit, Taken, View};
use ringmail::poll::visit::Goal;
use ringmail::store::Geometry;
use support::desk::{Desk, Memory, Stop, Wire, body, formatted, users};
use support::lan::{Held, Imap, Log, Pop3};

/// Histories where nobody says how many.
const HISTORIES: u64 = 10_000;

/// Mails that one history may know.
const MAILS: usize = 14;

// ---------------------------------------------------------------------------------------------
// What a row may be
// ---------------------------------------------------------------------------------------------

/// A row of the table, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    lan: Said,
    copy: bool,
    taken: Took,
}

/// What the newest whole listing says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Unread,
    Read,
    Absent,
    Ours,
}

/// What calls have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Took {
    Nothing,
    Notice,
    Mail,
}

const SAIDS: [Said; 4] = [Said::Unread, Said::Read, Said::Absent, Said::Ours];
const TOOKS: [Took; 3] = [Took::Nothing, Took::Notice, Took::Mail];

/// A set of rows; `None` in it is no row.
#[derive(Clone, Copy, PartialEq, Eq)]
struct May(u32);

impl May {
    const NO_ROW: Self = Self(1 << 24);

    fn one(facts: Facts) -> Self {
        let at = facts.lan as u32 * 6 + u32::from(facts.copy) * 3 + facts.taken as u32;
        Self(1 << at)
    }

    fn all() -> impl Iterator<Item = Facts> {
        SAIDS.into_iter().flat_map(|lan| {
            [false, true].into_iter().flat_map(move |copy| {
                let rows = TOOKS.into_iter();
                rows.map(move |taken| Facts { lan, copy, taken })
            })
        })
    }

    fn rows(self) -> impl Iterator<Item = Facts> {
        Self::all().filter(move |&facts| self.0 & Self::one(facts).0 != 0)
    }

    fn may_be_none(self) -> bool {
        self.0 & Self::NO_ROW.0 != 0
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What becomes of each row; no row stays none.
    fn each(self, to: impl Fn(Facts) -> Self) -> Self {
        let none = Self(self.0 & Self::NO_ROW.0);
        self.rows().fold(none, |all, facts| all.or(to(facts)))
    }

    fn filter(self, keep: impl Fn(Facts) -> bool) -> Self {
        let kept = self.rows().filter(|&facts| keep(facts));
        kept.fold(Self(0), |all, facts| all.or(Self::one(facts)))
    }
}

impl core::fmt::Debug for May {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let none = if self.may_be_none() { "none " } else { "" };
        write!(f, "{none}")?;
        f.debug_list().entries(self.rows()).finish()
    }
}

/// What a caller sees of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Mail,
    Marked,
    Notice,
}

/// The table of what a maildrop offers.
fn shown(facts: Facts, policy: ReadAtDesk, view: View) -> Shown {
    if facts.taken == Took::Mail {
        return Shown::Nothing;
    }
    if facts.lan == Said::Unread || (facts.lan == Said::Ours && facts.copy) {
        return Shown::Mail;
    }
    if !facts.copy || facts.lan == Said::Ours {
        return Shown::Nothing;
    }
    match (policy, view) {
        (ReadAtDesk::Mark(_), View::Usual) => Shown::Marked,
        (ReadAtDesk::Notice, View::Full) => Shown::Mail,
        (ReadAtDesk::Notice, View::Usual) if facts.taken == Took::Nothing => Shown::Notice,
        _ => Shown::Nothing,
    }
}

// ---------------------------------------------------------------------------------------------
// Histories
// ---------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Event {
    Deliver,
    /// A new mail under the id of one that is there, or of one that has gone.
    DeliverAs(u64),
    /// Read at the desk: gone, or marked.
    Read(u64),
    Unread(u64),
    /// A mail that had gone is there again.
    Return(u64),
    Renumber,
    Days(u16),
    Visit(Lie, Stop, usize),
    Call(Call),
    Restart,
    PowerCut,
    Again,
    Skip,
}

/// How a listing lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    No,
    /// Only the newest so many are there.
    Window(usize),
    Empty,
    /// Not as many entries as were announced.
    Short,
    /// As it was at some time before.
    Backup,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    /// Which user's settings hold today.
    policy: usize,
    full: bool,
    /// Decides what the caller does with each message.
    seed: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// `+OK` was read.
    Quit,
    /// `+OK` was read, and power failed then.
    QuitPower,
    /// So many rounds after `QUIT` was sent the carrier was lost.
    LostIn(u32),
    /// The same with the power.
    PowerIn(u32),
    /// The carrier was lost before `QUIT`.
    Lost,
    Power,
}

/// What a whole history keeps.
#[derive(Clone, Copy, Debug)]
struct House {
    imap: bool,
    top: bool,
    consumes: bool,
    /// Ids may be equal.
    equal_ids: bool,
    /// The ring holds all that ever comes.
    roomy: bool,
    start_new: bool,
    looks: u32,
    many_days: bool,
}

#[derive(Clone, Debug)]
struct History {
    house: House,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn history(seed: u64) -> History {
    let mut random = Random(seed.wrapping_mul(0xA24B_AED4_963E_E407));
    let imap = random.one_in(3);
    let house = House {
        imap,
        top: !random.one_in(6),
        consumes: !imap && random.one_in(6),
        equal_ids: !imap && random.one_in(5),
        roomy: !random.one_in(3),
        start_new: random.one_in(6),
        looks: u32::try_from(random.below(3)).unwrap(),
        many_days: random.one_in(8),
    };
    let house = House {
        // Without headers nobody can say which of equal ids has gone.
        equal_ids: house.equal_ids && house.top && !house.consumes,
        top: house.top || house.imap,
        // Without headers nobody knows a mail again that was never copied.
        roomy: house.roomy || house.consumes || !house.top && !imap,
        start_new: house.start_new && (house.top || imap),
        ..house
    };
    let count = 10 + random.below(21);
    let mut events = vec![Event::Deliver, Event::Deliver];
    events.extend((2..count).map(|_| event(&mut random, &house)));
    History { house, events }
}

fn event(random: &mut Random, house: &House) -> Event {
    match random.below(100) {
        0..=17 => Event::Deliver,
        18..=19 if house.equal_ids => Event::DeliverAs(random.next()),
        18..=29 => Event::Read(random.next()),
        30..=32 => Event::Unread(random.next()),
        33..=37 => Event::Return(random.next()),
        38..=40 => Event::Renumber,
        41..=42 => Event::Days(
            u16::try_from(match house.many_days {
                true => 1 + random.below(60),
                false => 1,
            })
            .unwrap(),
        ),
        43..=67 => {
            let lie = match random.below(16) {
                0 => Lie::Window(usize::try_from(random.below(4)).unwrap()),
                1 => Lie::Empty,
                2 => Lie::Short,
                3 if !house.consumes => Lie::Backup,
                _ => Lie::No,
            };
            let stop = match random.below(12) {
                0..=2 => Stop::Closed(random.below(1500)),
                3..=4 => Stop::Power(random.below(1500)),
                _ => Stop::Never,
            };
            let chunk = [usize::MAX, 1024, 61][usize::try_from(random.below(3)).unwrap()];
            Event::Visit(lie, stop, chunk)
        }
        68..=91 => Event::Call(Call {
            policy: usize::try_from(random.below(POLICIES.len() as u64)).unwrap(),
            full: random.one_in(5),
            seed: random.next(),
            end: match random.below(12) {
                0 => End::QuitPower,
                1 => End::LostIn(u32::try_from(random.below(8)).unwrap()),
                2 => End::PowerIn(u32::try_from(random.below(8)).unwrap()),
                3 => End::Lost,
                4 => End::Power,
                _ => End::Quit,
            },
        }),
        92..=93 => Event::Restart,
        94..=96 => Event::PowerCut,
        97..=98 => Event::Again,
        _ => Event::Skip,
    }
}

/// What a user may have set; the last two words of each are also given with `start new`.
const POLICIES: [&str; 7] = [
    "read-at-desk drop",
    "read-at-desk drop\nuser anna taken-by retr",
    "read-at-desk drop\nuser anna commit dele",
    "read-at-desk mark header",
    "read-at-desk mark subject\nuser anna taken-by retr",
    "read-at-desk notice",
    "read-at-desk notice\nuser anna commit dele",
];

fn configuration(imap: bool, start_new: bool, policy: &str) -> Config {
    let scheme = if imap { "imap" } else { "pop3" };
    let start = if start_new { "new" } else { "all" };
    users(&format!(
        "user add anna password rot\nuser anna source {scheme}://post login anna password blau\n\
         user anna consumes copy\nuser anna start {start}\nuser anna {policy}\n"
    ))
}

// ---------------------------------------------------------------------------------------------
// The world
// ---------------------------------------------------------------------------------------------

struct Bench {
    memory: Memory,
    roomy: (Geometry, Vec<u8>),
    tight: (Geometry, Vec<u8>),
    mails: Vec<(Rc<[u8]>, Identity)>,
    /// By protocol, by `start`, by policy.
    configs: Vec<Config>,
}

impl Bench {
    fn new() -> Self {
        let tight = Geometry {
            page: 128,
            superblock: 128,
            config: 128,
            snapshot: 120 * 128,
            journal: 16,
            segment: 1024,
            segments: 4,
            chunk: 192,
        };
        let roomy = Geometry {
            segment: 4096,
            segments: 12,
            ..tight
        };
        let mails = (0..MAILS).map(|mail| {
            let mut octets =
                format!("From: a@b\r\nSubject: m{mail}\r\nMessage-ID: <m{mail}@b>\r\n\r\n");
            octets.extend((0..=mail).map(|_| "text\r\n"));
            octets += ".\r\n";
            let mut header = HeaderReader::new();
            header.read(octets.as_bytes());
            (octets.into_bytes().into(), header.finish().identity)
        });
        let mut configs = Vec::new();
        for imap in [false, true] {
            for start_new in [false, true] {
                configs.extend(POLICIES.map(|policy| configuration(imap, start_new, policy)));
            }
        }
        Self {
            memory: Memory::new(64),
            roomy: (roomy, formatted(&roomy)),
            tight: (tight, formatted(&tight)),
            mails: mails.collect(),
            configs,
        }
    }

    /// Plays it; panics where the gateway and the table differ.
    fn play(&mut self, history: &History) {
        let house = history.house;
        let (geometry, image) = if house.roomy {
            &self.roomy
        } else {
            &self.tight
        };
        let mut medium = SimMedium::from_image(image.clone())
            .with_unit(128)
            .with_slow_sync(house.looks);
        let at = (usize::from(house.imap) * 2 + usize::from(house.start_new)) * POLICIES.len();
        let mut world = World {
            house,
            segments: geometry.segments,
            mails: &self.mails,
            users: self.configs[at..at + POLICIES.len()]
                .iter()
                .map(|config| &config.users[0])
                .collect(),
            held: Vec::new(),
            past: Vec::new(),
            gone: Vec::new(),
            delivered: 0,
            numbers: 0,
            validity: 1,
            day: 20_000,
            may: [May::NO_ROW; MAILS],
            ids: core::array::from_fn(|_| BTreeSet::new()),
            equal: BTreeSet::new(),
            blurred: BTreeSet::new(),
            first: (true, false),
            tested: house.imap,
            uids: BTreeMap::new(),
            own: [const { None }; MAILS],
        };
        let mut rest = &history.events[..];
        while !rest.is_empty() {
            let (left, off) = self.memory.power(medium, |desk| world.live(desk, rest));
            rest = off.rest;
            let image = match off.cut {
                None => left.image().to_vec(),
                Some(mut random) => left.cut(Cut::Any, &mut || random.next()),
            };
            medium = SimMedium::from_image(image)
                .with_unit(128)
                .with_slow_sync(house.looks);
        }
    }
}

/// How power went off.
struct Off<'e> {
    rest: &'e [Event],
    /// In the midst of something.
    cut: Option<Random>,
}

struct World<'b> {
    house: House,
    segments: u32,
    mails: &'b [(Rc<[u8]>, Identity)],
    users: Vec<&'b User>,
    /// What the LAN server has.
    held: Vec<Held>,
    /// What it had at some time.
    past: Vec<Held>,
    /// What it had and has not any more.
    gone: Vec<Held>,
    delivered: usize,
    numbers: u32,
    validity: u32,
    day: u16,
    may: [May; MAILS],
    /// Under which ids each mail may be known.
    ids: [BTreeSet<(u32, String)>; MAILS],
    /// Ids that two mails have had.
    equal: BTreeSet<(u32, String)>,
    /// Mails of which nobody can say anything any more: see [`World::blur`].
    blurred: BTreeSet<usize>,
    /// Whether the next believed listing may be the first, and may be a later one.
    first: (bool, bool),
    /// The source is known to keep its mail.
    tested: bool,
    /// Whose each own UID is, for good.
    uids: BTreeMap<String, usize>,
    own: [Option<String>; MAILS],
}

impl World<'_> {
    /// Lives through `events` until power goes off.
    fn live<'e>(&mut self, desk: &mut Desk<'_>, events: &'e [Event]) -> Off<'e> {
        for (at, event) in events.iter().enumerate() {
            desk.day = self.day;
            let rest = &events[at + 1..];
            let cut = match event {
                Event::Visit(lie, stop, chunk) => self.visit(desk, *lie, *stop, *chunk),
                Event::Call(call) => self.call(desk, *call),
                Event::Restart => return Off { rest, cut: None },
                Event::PowerCut => true,
                Event::Again => {
                    self.mark(desk, |taken| (taken != Taken::No).then_some(Taken::No));
                    self.every(|facts| Facts {
                        taken: Took::Nothing,
                        ..facts
                    });
                    false
                }
                Event::Skip => {
                    self.mark(desk, |taken| (taken == Taken::No).then_some(Taken::Full));
                    self.every(|facts| Facts {
                        taken: if facts.taken == Took::Nothing {
                            Took::Mail
                        } else {
                            facts.taken
                        },
                        ..facts
                    });
                    false
                }
                other => {
                    self.happen(other);
                    false
                }
            };
            if cut {
                let random = Random(at as u64 ^ 77);
                return Off {
                    rest,
                    cut: Some(random),
                };
            }
            if self.house.roomy {
                let opened = desk.mailbox.usage().opened;
                assert!(opened <= self.segments, "the ring was to hold all");
            }
        }
        Off {
            rest: &[],
            cut: None,
        }
    }

    fn every(&mut self, to: impl Fn(Facts) -> Facts) {
        for may in &mut self.may {
            *may = may.each(|facts| May::one(to(facts)));
        }
    }

    fn mark(&self, desk: &mut Desk<'_>, to: impl Fn(Taken) -> Option<Taken>) {
        for slot in 0..desk.mailbox.ledger().used() {
            let row = desk.mailbox.ledger().row(slot);
            if let Some(taken) = row.and_then(|row| to(row.taken)) {
                while desk.mailbox.set_taken(slot, taken, 0).is_err() {
                    desk.mailbox.step();
                }
            }
        }
        desk.settle();
    }

    /// What happens on the LAN.
    fn happen(&mut self, event: &Event) {
        let pick = |of: usize, with: u64| usize::try_from(with % of.max(1) as u64).unwrap();
        match event {
            Event::Deliver => self.deliver(None),
            Event::DeliverAs(with) => {
                let id = self.held.get(pick(self.held.len(), *with));
                let id = id.map(|held| held.id.clone());
                self.deliver(id);
            }
            Event::Read(with) if !self.held.is_empty() => {
                let at = pick(self.held.len(), *with >> 1);
                if self.house.imap && with & 1 == 0 {
                    self.held[at].seen = true;
                    return;
                }
                let gone = self.held.remove(at);
                self.gone.push(gone);
            }
            Event::Unread(with) => {
                let at = pick(self.held.len(), *with);
                if let Some(held) = self.held.get_mut(at) {
                    held.seen = false;
                }
            }
            Event::Return(with) if !self.gone.is_empty() => {
                let back = self.gone.remove(pick(self.gone.len(), *with));
                self.held.push(back);
                self.in_order();
            }
            Event::Renumber => {
                self.validity += 1;
                for at in 0..self.held.len() {
                    let id = self.new_id();
                    self.held[at].id = id;
                }
                // What had gone does not come back under an id of the time before.
                for at in 0..self.gone.len() {
                    let id = self.new_id();
                    self.gone[at].id = id;
                }
                self.past.clear();
            }
            Event::Days(days) => {
                // A mail that was taken stays known for 400 days.
                let day = self.day + days;
                self.day = day.min(20_390);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, id: Option<String>) {
        if self.delivered == MAILS {
            return;
        }
        let mail = self.delivered;
        self.delivered += 1;
        if let Some(id) = &id {
            self.equal.insert((self.validity, id.clone()));
        }
        let id = id.unwrap_or_else(|| self.new_id());
        let octets = self.mails[mail].0.clone();
        let held = Held {
            mail,
            id,
            seen: false,
            octets,
        };
        self.past.push(held.clone());
        self.held.push(held);
    }

    fn new_id(&mut self) -> String {
        self.numbers += 1;
        self.numbers.to_string()
    }

    fn in_order(&mut self) {
        self.held
            .sort_by_key(|held| held.id.parse::<u32>().unwrap());
    }

    /// What the LAN server says it has.
    fn claimed(&self, lie: Lie) -> Vec<Held> {
        match lie {
            Lie::No | Lie::Short => self.held.clone(),
            Lie::Empty => Vec::new(),
            Lie::Window(count) => {
                let from = self.held.len().saturating_sub(count);
                self.held[from..].to_vec()
            }
            Lie::Backup => self.past.clone(),
        }
    }

    // -----------------------------------------------------------------------------------------
    // Visits
    // -----------------------------------------------------------------------------------------

    /// A visit and those that follow it; true if power failed.
    fn visit(&mut self, desk: &mut Desk<'_>, lie: Lie, stop: Stop, chunk: usize) -> bool {
        let mut goal = Goal::Poll;
        let mut stop = stop;
        loop {
            let (power, next) = self.one_visit(desk, goal, lie, Wire { chunk, stop });
            match (power, next) {
                (true, _) => return true,
                (false, None) => break,
                (false, Some(next)) => goal = next,
            }
            stop = Stop::Never;
        }
        let ledger = desk.mailbox.ledger();
        let habit = ledger
            .account(desk.account)
            .map(|account| account.source.habit);
        self.tested = habit == Some(Habit::Keeps);
        assert!(!self.tested || !self.house.consumes, "it keeps nothing");
        desk.settle();
        false
    }

    fn one_visit(
        &mut self,
        desk: &mut Desk<'_>,
        goal: Goal,
        lie: Lie,
        wire: Wire,
    ) -> (bool, Option<Goal>) {
        let claimed = self.claimed(lie);
        let cut = usize::from(lie == Lie::Short && !claimed.is_empty());
        let user = self.users[0];
        let (visited, log) = if self.house.imap {
            let mut server = Imap::new(claimed.clone(), self.validity);
            server.cut = cut;
            (desk.visit(user, goal, &mut server, wire), server.log)
        } else {
            let mut server = Pop3::new(claimed.clone());
            (server.cut, server.top) = (cut, self.house.top);
            (desk.visit(user, goal, &mut server, wire), server.log)
        };
        let believed = log.listed_at.is_some_and(|at| visited.octets >= at);
        let power = visited.report.is_none();
        let failure = visited.report.as_ref().map(|report| report.failure.clone());
        let next = visited.report.and_then(|report| report.next);
        let done = failure == Some(None) && next.is_none() && !visited.lost;
        let whole = done && !matches!(goal, Goal::Fetch(_));
        if cut == 0 && wire.stop == Stop::Never && self.house.roomy {
            let failed = failure.clone().flatten();
            let absent = matches!(goal, Goal::Fetch(_));
            assert!(failed.is_none() || absent, "a good visit fails: {failed:?}");
        }
        if believed {
            self.listed(&claimed, &log, (whole, power));
        } else if !power {
            // Not believed: nothing has changed.
            assert!(
                !whole || claimed.is_empty(),
                "believed a listing that was not whole"
            );
        }
        if self.house.consumes && log.quit {
            self.drop_fetched(&claimed, &log);
        }
        if !self.house.roomy {
            self.may_evict();
        }
        (power, next.map(|next| Goal::Decide(next.0)))
    }

    /// A listing was believed; `whole`: all that it asked for was done; `power` failed after it.
    fn listed(&mut self, claimed: &[Held], log: &Log, (whole, power): (bool, bool)) {
        let listed: BTreeMap<usize, &Held> = claimed.iter().map(|held| (held.mail, held)).collect();
        self.blur(&listed);
        for mail in 0..self.delivered {
            let before = self.may[mail];
            let gone = |facts: Facts| facts.lan == Said::Absent && facts.taken != Took::Mail;
            if before.may_be_none() || self.house.many_days && before.rows().any(gone) {
                // Entered, or entered anew: with another UID.
                self.own[mail] = None;
            }
            let held = listed.get(&mail).copied();
            let id = held.map(|held| (self.validity, held.id.clone()));
            let sure = self.ids[mail].len() == 1
                && id.as_ref().is_some_and(|id| self.ids[mail].contains(id))
                && id.as_ref().is_some_and(|id| !self.equal.contains(id));
            let known_equal = self.ids[mail].iter().any(|id| self.equal.contains(id));
            let mut after = before.each(|facts| {
                let gone = self.unlisted(facts);
                match held {
                    None if known_equal && !whole => gone.or(May::one(facts)),
                    None => gone,
                    Some(held) => {
                        let now = self.present(facts, held.seen, whole);
                        let was_there = matches!(facts.lan, Said::Unread | Said::Read);
                        match whole || (sure && was_there) {
                            true => now,
                            false if known_equal => now.or(gone).or(May::one(facts)),
                            false => now.or(gone),
                        }
                    }
                }
            });
            if let Some(held) = held.filter(|_| before.may_be_none()) {
                let entered = self.entered(held.seen);
                after = match whole {
                    true => May(after.0 & !May::NO_ROW.0).or(entered),
                    false => after.or(entered),
                };
            }
            // A copy that was committed before QUIT is there whatever comes after.
            let fetched = |held: &Held| log.fetched.iter().any(|&at| claimed[at].mail == held.mail);
            if held.is_some_and(fetched) {
                let copied = after.each(|facts| {
                    let copy = facts.copy || facts.taken != Took::Mail;
                    May::one(Facts { copy, ..facts })
                });
                let held = !power && log.quit && self.house.roomy;
                after = if held { copied } else { after.or(copied) };
            }
            let begun = before.may_be_none() || before.rows().any(|facts| !facts.copy);
            if power && begun {
                // A row whose copy was on its way may be there without it.
                let copy = false;
                after = after.or(after.each(|facts| May::one(Facts { copy, ..facts })));
            }
            self.may[mail] = if power { before.or(after) } else { after };
            if let Some(id) = id {
                if whole {
                    self.ids[mail].clear();
                }
                self.ids[mail].insert(id);
            }
        }
        for &mail in &self.blurred {
            self.may[mail] = May(2 * May::NO_ROW.0 - 1);
        }
        self.first = match (whole, self.first) {
            (true, _) => (false, true),
            (false, (first, _)) => (first, true),
        };
    }

    /// An id that was given to another mail between two listings is the limit of what unique-ids
    /// can tell: sizes show it, but not at once where other mails are new. Of both mails anything
    /// may be true from then on.
    fn blur(&mut self, listed: &BTreeMap<usize, &Held>) {
        for (validity, id) in &self.equal {
            let known = |mail: usize| self.ids[mail].contains(&(*validity, id.clone()));
            let now = |mail: usize| listed.get(&mail).is_some_and(|held| held.id == *id);
            let may_be_new = |mail: usize| !known(mail) || self.may[mail].may_be_none();
            let came = (0..MAILS).any(|mail| now(mail) && may_be_new(mail));
            let went = (0..MAILS).any(|mail| known(mail) && !now(mail));
            if came && went {
                let both = (0..MAILS).filter(|&mail| now(mail) || known(mail));
                self.blurred.extend(both);
            }
        }
    }

    /// What was fetched from a source that drops it, which was told to quit, is held for good.
    fn drop_fetched(&mut self, claimed: &[Held], log: &Log) {
        for &at in &log.fetched {
            let mail = claimed[at].mail;
            self.held.retain(|held| held.mail != mail);
            let held = self.may[mail].filter(|facts| facts.copy || facts.taken == Took::Mail);
            assert!(held.0 != 0, "m{mail} was dropped and is not held");
            self.may[mail] = held;
        }
    }

    /// What a listing without it makes of a row.
    fn unlisted(&self, facts: Facts) -> May {
        let to = |lan| May::one(Facts { lan, ..facts });
        let absent = match facts.lan {
            Said::Absent | Said::Ours => to(facts.lan),
            Said::Unread | Said::Read if !facts.copy || self.tested => to(Said::Absent),
            Said::Unread | Said::Read if self.house.consumes => to(Said::Ours),
            // While a source is untested, either.
            Said::Unread | Said::Read => to(Said::Absent).or(to(Said::Ours)),
        };
        let old = self.house.many_days && facts.taken != Took::Mail;
        // A tombstone that was too old.
        match old && absent.rows().any(|facts| facts.lan == Said::Absent) {
            true => absent.or(May::NO_ROW),
            false => absent,
        }
    }

    /// What a listing with it makes of a row.
    fn present(&self, facts: Facts, seen: bool, whole: bool) -> May {
        let lan = if seen { Said::Read } else { Said::Unread };
        let now = Facts { lan, ..facts };
        let copied = May::one(Facts { copy: true, ..now });
        let wanted = !now.copy && !seen && now.taken != Took::Mail;
        match wanted {
            // From a source that is not known to keep its mail it is not fetched twice.
            true if whole && self.house.roomy && self.tested => copied,
            true => copied.or(May::one(now)),
            false => May::one(now),
        }
    }

    /// A mail that was never here.
    fn entered(&self, seen: bool) -> May {
        let lan = if seen { Said::Read } else { Said::Unread };
        let row = |copy, taken| May::one(Facts { lan, copy, taken });
        let mut all = May(0);
        if self.first.1 || !self.house.start_new {
            all = match (seen, self.house.roomy) {
                (true, _) => row(false, Took::Nothing),
                (false, true) => row(true, Took::Nothing),
                (false, false) => row(true, Took::Nothing).or(row(false, Took::Nothing)),
            };
        }
        if self.first.0 && self.house.start_new {
            all = all.or(row(false, Took::Mail));
        }
        all
    }

    /// The ring is so small that any copy may go, but those that nobody else has.
    fn may_evict(&mut self) {
        for may in &mut self.may {
            *may = may.each(|facts| {
                let copy = facts.lan == Said::Ours && facts.taken != Took::Mail && facts.copy;
                May::one(facts).or(May::one(Facts { copy, ..facts }))
            });
        }
    }

    // -----------------------------------------------------------------------------------------
    // Calls
    // -----------------------------------------------------------------------------------------

    /// A call; true if power failed.
    fn call(&mut self, desk: &mut Desk<'_>, call: Call) -> bool {
        let user = self.users[call.policy];
        let view = if call.full { View::Full } else { View::Usual };
        let mut random = Random(call.seed);
        desk.dial(user, view);
        let offered = self.look(desk, user, view);
        let by_retr = user.taken_by == TakenBy::Retr;
        // Marked, and sent: what QUIT writes. Written: what `commit dele` has written already.
        let mut deleted = BTreeSet::new();
        let mut sent = BTreeSet::new();
        let mut written = BTreeSet::new();
        for (number, (mail, shown)) in (1..).zip(&offered) {
            let mail = *mail;
            let acts = random.below(8);
            if acts == 7 {
                continue;
            }
            let commits = |deleted: &BTreeSet<usize>, written: &mut BTreeSet<usize>| {
                if user.commit == CommitAt::Dele {
                    written.extend(deleted);
                }
            };
            if acts != 6 {
                commits(&deleted, &mut written);
                let reply = self.say(desk, user, &format!("RETR {number}"));
                if reply.starts_with(b"+OK") {
                    self.check(mail, shown, &body(&reply));
                    sent.insert(number);
                } else {
                    assert!(shown.contains(&Shown::Mail), "a copy cannot be had");
                }
            }
            if acts > 2 {
                commits(&deleted, &mut written);
                let reply = self.say(desk, user, &format!("DELE {number}"));
                assert!(reply.starts_with(b"+OK"));
                deleted.insert(number);
            }
            if random.one_in(12) {
                // It takes back the marks before it, and so proves none of them.
                assert!(self.say(desk, user, "RSET").starts_with(b"+OK"));
                deleted = written.clone();
                sent.clear();
            }
        }
        let mut quit: BTreeSet<usize> = deleted.union(&written).copied().collect();
        if by_retr {
            quit.extend(&sent);
        }
        let read = match call.end {
            End::Lost | End::Power => None,
            End::Quit | End::QuitPower => {
                assert!(self.say(desk, user, "QUIT").starts_with(b"+OK"));
                Some(true)
            }
            End::LostIn(rounds) | End::PowerIn(rounds) => {
                desk.mutter("QUIT");
                let said: Vec<u8> = (0..rounds).flat_map(|_| desk.turn()).collect();
                Some(said.ends_with(b"\r\n"))
            }
        };
        if call.end != End::QuitPower {
            desk.hang_up();
        }
        let power = matches!(call.end, End::Power | End::PowerIn(_) | End::QuitPower);
        for (number, (mail, shown)) in (1..).zip(&offered) {
            let mail = *mail;
            let certain = match read {
                Some(true) => quit.contains(&number),
                _ => !power && written.contains(&number),
            };
            let perhaps = read.is_some() && quit.contains(&number) || written.contains(&number);
            let took = match shown.contains(&Shown::Notice) {
                true => Took::Notice,
                false => Took::Mail,
            };
            let before = self.may[mail];
            let after = before.each(|facts| {
                let taken = facts.taken.max(took);
                May::one(Facts { taken, ..facts })
            });
            self.may[mail] = match (certain, perhaps) {
                (true, _) => after,
                (false, true) => before.or(after),
                (false, false) => before,
            };
        }
        if !self.house.roomy {
            self.may_evict();
        }
        if !power {
            desk.settle();
        }
        power
    }

    fn say(&mut self, desk: &mut Desk<'_>, user: &User, line: &str) -> Vec<u8> {
        let reply = desk.say(user, line, |desk, slot| {
            let wire = Wire {
                chunk: 1024,
                stop: Stop::Never,
            };
            self.one_visit(desk, Goal::Fetch(slot), Lie::No, wire);
        });
        reply.unwrap_or_else(|| panic!("no answer to {line}"))
    }

    /// What is offered, against what may and must be.
    fn look(&mut self, desk: &mut Desk<'_>, user: &User, view: View) -> Vec<(usize, Vec<Shown>)> {
        let listing = self.say(desk, user, "UIDL");
        let listing = String::from_utf8(body(&listing)).unwrap();
        let mut offered = Vec::new();
        for line in listing.lines() {
            let uid = line.split(' ').nth(1).unwrap();
            let notice = uid.len() % 2 == 1;
            let own = uid.trim_end_matches(|_| false);
            let own = if notice { &own[..own.len() - 1] } else { own };
            let mail = self.whose(desk, own);
            let may = self.may[mail];
            // One that may have been lost and entered anew may have another UID than before.
            let blurred = self.blurred.contains(&mail);
            if blurred {
                self.own[mail] = None;
            }
            if self.own[mail].as_deref() != Some(own) {
                assert!(self.own[mail].is_none(), "m{mail} has another UID");
            }
            self.own[mail] = Some(own.to_owned());
            let seen = |facts: Facts| shown(facts, user.read_at_desk, view);
            let is = |shown: Shown| (shown == Shown::Notice) == notice && shown != Shown::Nothing;
            let left = may.filter(|facts| is(seen(facts)));
            assert!(left.0 != 0, "m{mail} must not be offered: {may:?}");
            self.may[mail] = left;
            let shown: Vec<Shown> = left.rows().map(seen).collect();
            assert!(
                blurred || offered.iter().all(|(other, _)| *other != mail),
                "m{mail} is offered twice"
            );
            offered.push((mail, shown));
        }
        for mail in 0..MAILS {
            if offered.iter().any(|(other, _)| *other == mail) {
                continue;
            }
            let may = self.may[mail];
            let old = self.house.many_days;
            let left = may.filter(|facts| {
                let shown = shown(facts, user.read_at_desk, view);
                // Notices, and the mails behind them, are there for 30 days.
                let may_be_old = old
                    && user.read_at_desk == ReadAtDesk::Notice
                    && matches!(facts.lan, Said::Read | Said::Absent);
                shown == Shown::Nothing || may_be_old
            });
            let left = left.or(May(may.0 & May::NO_ROW.0));
            assert!(left.0 != 0, "m{mail} must be offered: {may:?}");
            self.may[mail] = left;
            if left.may_be_none() {
                self.own[mail] = None;
            }
        }
        offered
    }

    /// The mail that has this UID; it never has another.
    fn whose(&mut self, desk: &Desk<'_>, uid: &str) -> usize {
        let mailbox = &desk.mailbox;
        let mut rows = mailbox.ledger().rows().map(|(_, row)| row);
        let row = rows.find(|row| mailbox.uid(row.uid) == uid);
        let row = row.unwrap_or_else(|| panic!("no row has UID {uid}"));
        let by_header = self
            .mails
            .iter()
            .position(|(_, identity)| row.identity == Some(*identity));
        let by_key = || {
            let all = self.past.iter().chain(&self.held).chain(&self.gone);
            let mut all = all.filter(|held| mailbox.key(held.id.as_bytes()) == row.key);
            all.next().map(|held| held.mail)
        };
        let mail = by_header.or_else(by_key);
        let mail = mail.unwrap_or_else(|| panic!("nobody's row: {row:?}"));
        let before = self.uids.insert(uid.to_owned(), mail);
        let blurred = [Some(mail), before].into_iter().flatten();
        let blurred = blurred.into_iter().any(|mail| self.blurred.contains(&mail));
        assert!(
            blurred || before.is_none_or(|before| before == mail),
            "UID {uid} is used again"
        );
        mail
    }

    /// What a caller got of a mail.
    fn check(&self, mail: usize, shown: &[Shown], octets: &[u8]) {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        let whole = octets == &*self.mails[mail].0;
        let is = match (whole, shown.contains(&Shown::Notice)) {
            (true, _) => Shown::Mail,
            (false, true) => Shown::Notice,
            (false, false) => Shown::Marked,
        };
        assert!(
            self.blurred.contains(&mail)
                || shown.contains(&is) && text.contains(&format!("m{mail}\r\n")),
            "m{mail} is spoilt: {text:?}"
        );
    }
}

// ---------------------------------------------------------------------------------------------
// Many of them
// ---------------------------------------------------------------------------------------------

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect(name))
}

#[test]
fn sentence_2_15_every_history_agrees_with_the_table() {
    let count = number("RINGMAIL_HISTORIES", HISTORIES);
    let seed = number("RINGMAIL_SEED", 1);
    let mut bench = Bench::new();
    let mut events = 0;
    for seed in seed..seed + count {
        let history = history(seed);
        events += history.events.len();
        if plays(&mut bench, &history).is_err() {
            let short = shortened(&mut bench, history);
            let error = plays(&mut bench, &short).unwrap_err();
            panic!("history {seed}: {error}\n{short:#?}");
        }
    }
    eprintln!("{count} histories of {events} events agree with the table");
}

fn plays(bench: &mut Bench, history: &History) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| bench.play(history)));
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_default()
    })
}

/// The same without the events that it fails without.
fn shortened(bench: &mut Bench, mut history: History) -> History {
    std::panic::set_hook(Box::new(|_| {}));
    let mut at = 0;
    while at < history.events.len() {
        let mut less = history.clone();
        less.events.remove(at);
        if plays(bench, &less).is_err() {
            (history, at) = (less, 0);
        } else {
            at += 1;
        }
    }
    let _ = std::panic::take_hook();
    history
}
