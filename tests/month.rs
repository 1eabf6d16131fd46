//! A simulated month: users, calls of every ending, desks, outages, cuts of power; a model judges.
//!
//! `RINGMAIL_DAYS` and `RINGMAIL_SEED` choose how long, and which. The model is plain: per mail,
//! whether it lies on the LAN server, whether a listing could show it, and whether a call took
//! it. After every call it is asked what must, and what must not, have been offered (design
//! 2.15).

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use hal::sim::line::{By, Caller, CutAfter, Line, Phase, Toward};
use hal::sim::medium::Cut;
use hal::sim::post::Fault;
use hal::{Duration, Instant};
use ringmail::store::Geometry;
use support::dialler::{Plan, Record, Say};
use support::world::{House, Running, id_of, mail, small};

const CONFIG: &str = "line a device /dev/a\nline b device /dev/b\n\
    user add anna password pa\nuser anna source pop3://post login anna password la\n\
    user anna poll every 40m\n\
    user add bert password pb\nuser bert source pop3://post login bert password lb\n\
    user bert poll at 06:30,18:00\nuser bert taken-by retr\n\
    user add cora password pc\nuser cora source pop3://post login cora password lc\n\
    user cora poll every 3h\nuser cora commit dele\n";
const USERS: [&str; 3] = ["anna", "bert", "cora"];

/// Whether a call took a mail, as far as its caller can know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    #[default]
    No,
    /// Nobody can know.
    Either,
    Yes,
}

#[derive(Clone, Debug)]
struct Model {
    octets: Vec<u8>,
    user: usize,
    /// It is on the LAN server.
    present: bool,
    /// It was there when the source was last seen to be listed whole by a good LAN.
    listed: bool,
    taken: Taken,
    /// What had disturbed visits by the time it came.
    disturbances: u32,
    /// What took it, or tried to.
    history: Vec<String>,
}

struct Month {
    seed: u64,
    random: u64,
    mails: BTreeMap<String, Model>,
    count: u32,
    disturbances: u32,
    /// Rounds since the LAN was last bad.
    fair: u32,
    calls: u32,
    taken: u32,
    admitted: u32,
}

/// The far end of a line, while nobody is there.
struct Nobody;

impl Caller for Nobody {
    fn step(&mut self, _: Instant, _: &mut Line) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// A call under way.
struct Call {
    user: usize,
    record: Rc<RefCell<Record>>,
    listings: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    Orderly,
    Kill,
    Cut,
}

impl Month {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            mails: BTreeMap::new(),
            count: 0,
            disturbances: 0,
            fair: 0,
            calls: 0,
            taken: 0,
            admitted: 0,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Mail comes, and is read at the desk.
    fn desk(&mut self, on: &Running<'_, '_>) {
        let mut post = on.world.net().post();
        for _ in 0..self.below(3) {
            self.count += 1;
            let user = self.below(3) as usize;
            let id = format!("m{}", self.count);
            let octets = mail(&id, 200 + self.below(1500) as usize);
            post.deliver(USERS[user], &id, &octets);
            let model = Model {
                octets,
                user,
                present: true,
                listed: false,
                taken: Taken::No,
                disturbances: self.disturbances,
                history: Vec::new(),
            };
            self.mails.insert(id, model);
        }
        let present: Vec<String> = self
            .mails
            .iter()
            .filter(|(_, m)| m.present)
            .map(|(id, _)| id.clone())
            .collect();
        for id in present {
            if self.chance(7) {
                let model = self.mails.get_mut(&id).unwrap();
                model.present = false;
                post.remove(USERS[model.user], &id);
            }
        }
    }

    fn weather(&mut self, on: &Running<'_, '_>) {
        let fault = match self.below(24) {
            0 => Fault::Refused,
            1 => Fault::BlackHole,
            2 => Fault::NoName,
            3 => Fault::Mute,
            4 => Fault::CutAfter(self.below(3000)),
            5 => Fault::InUse,
            6 => Fault::ListingCut,
            _ => Fault::None,
        };
        if fault == Fault::None {
            self.fair += 1;
        } else {
            self.fair = 0;
            // Where connections are cut, each visit asks anew.
            let cut = matches!(fault, Fault::CutAfter(_));
            self.disturbances += if cut { 100 } else { 1 };
        }
        on.world.net().post().fault = fault;
    }

    fn plan(&mut self, user: usize, now: Instant) -> Plan {
        let kind = self.below(12);
        let some = self.below(u64::MAX);
        let delete = !self.chance(15);
        let wrong = self.chance(6);
        let body = move |count: u32| {
            let mut says = Vec::new();
            for n in 1..=count {
                if some >> (n % 60) & 1 == 1 && kind % 2 == 1 {
                    continue;
                }
                says.push(Say::Retr(n));
                if delete {
                    says.push(Say::Dele(n));
                }
            }
            let end = match kind {
                0 => Say::HangUp,
                1 => Say::Silence,
                2 => Say::StopReading,
                3 => Say::Junk(some.to_le_bytes().repeat(40)),
                4 => Say::Rset,
                _ => Say::Quit,
            };
            let early = if kind < 4 && !says.is_empty() {
                some as usize % says.len()
            } else {
                says.len()
            };
            says.truncate(early);
            says.push(end);
            says
        };
        Plan {
            at: now + Duration::from_secs(self.below(200)),
            user: USERS[user].into(),
            password: if wrong {
                "wrong".into()
            } else {
                format!("p{}", &USERS[user][..1])
            },
            pipelined: self.chance(35),
            body: Box::new(body),
        }
    }

    fn begin_calls(&mut self, on: &mut Running<'_, '_>) -> Vec<Call> {
        let mut calls = Vec::new();
        for line in ["a", "b"] {
            if !self.chance(55) {
                continue;
            }
            let user = self.below(3) as usize;
            let now = on.now();
            let plan = self.plan(user, now);
            if self.chance(25) {
                let toward = if self.chance(70) {
                    Toward::Caller
                } else {
                    Toward::Gateway
                };
                let by = match self.below(3) {
                    0 => By::Unplugging(Duration::from_secs(1 + self.below(400))),
                    _ => By::CarrierLoss,
                };
                let octets = self.below(if toward == Toward::Caller { 4000 } else { 120 });
                let device = format!("/dev/{line}");
                on.world
                    .line(&device)
                    .cut_after(CutAfter { toward, octets, by });
            }
            self.calls += 1;
            let listings = on.world.net().post().listings(USERS[user]);
            calls.push(Call {
                user,
                record: on.call(line, plan),
                listings,
            });
        }
        calls
    }

    /// What a call was offered and took, against the model.
    fn judge(&mut self, on: &Running<'_, '_>, call: &Call, cut: bool) {
        let record = call.record.borrow();
        let what = format!("seed {}: {}: {record:?}", self.seed, USERS[call.user]);
        for octets in record.mails.values() {
            assert_eq!(&self.mails[&id_of(octets)].octets, octets, "{what}");
            assert_eq!(self.mails[&id_of(octets)].user, call.user, "{what}");
        }
        if record.uids.is_empty() {
            // Nobody was let in, or nothing was listed: only a whole listing is judged.
            return;
        }
        self.admitted += 1;
        // A connection keeps the fault it began with, and a budget that is spent shows nothing.
        let waited = record.admitted.unwrap() - record.connected.unwrap();
        let good = self.fair >= 2 && waited < Duration::from_secs(9);
        let seen = good && on.world.net().post().listings(USERS[call.user]) > call.listings;
        let all = record.mails.len() == record.uids.len();
        let mailbox = on.gateway.mailbox();
        let row = |id: &str| {
            let key = mailbox.key(id.as_bytes());
            mailbox
                .ledger()
                .rows()
                .map(|(_, row)| row)
                .find(|row| row.key == key)
        };
        let offered: BTreeSet<String> = record.mails.values().map(|mail| id_of(mail)).collect();
        for (id, model) in self
            .mails
            .iter_mut()
            .filter(|(_, model)| model.user == call.user)
        {
            let comes = offered.contains(id);
            assert!(
                !comes || model.taken < Taken::Yes,
                "{id} comes again: {what}; {:#?}",
                model.history
            );
            if seen {
                assert!(!comes || model.present, "{id} was read at the desk: {what}");
                model.listed = model.present;
                model
                    .history
                    .push(format!("listed: {} by {record:?}", model.present));
            }
            assert!(
                !(all && model.listed && model.present && model.taken == Taken::No) || comes,
                "{id} is not offered: {what}; {:?}; {:#?}",
                row(id),
                model.history
            );
        }
        for (n, octets) in &record.mails {
            let model = self.mails.get_mut(&id_of(octets)).unwrap();
            let retr = call.user == 1;
            let marked = retr || record.dele_said.contains(n);
            let taken = match call.user {
                _ if record.quit_read && marked => Taken::Yes,
                _ if record.quit_said && marked => Taken::Either,
                2 if record.dele_outlived.contains(n) && !cut => Taken::Yes,
                2 if marked || record.dele_outlived.contains(n) => Taken::Either,
                _ => Taken::No,
            };
            self.taken += u32::from(taken == Taken::Yes);
            model.taken = model.taken.max(taken);
            model
                .history
                .push(format!("message {n}: {taken:?} by {record:?}"));
        }
    }

    /// The LAN server has seen nothing of us but copying.
    fn inspect(&self, on: &Running<'_, '_>) {
        let post = on.world.net().post();
        for user in USERS {
            for mail in post.mails(user) {
                let what = format!("seed {}: {user}: {} {:?}", self.seed, mail.uidl, mail.asked);
                assert_eq!((mail.asked.deles, mail.asked.retrs), (0, 0), "{what}");
                let disturbed = self.disturbances - self.mails[&mail.uidl].disturbances;
                assert!(mail.asked.copies() <= 1 + disturbed, "copied again: {what}");
            }
        }
    }

    /// Some hours; `Some` if the gateway is to be started anew.
    fn round(&mut self, on: &mut Running<'_, '_>) -> Option<Restart> {
        self.desk(on);
        self.weather(on);
        let calls = self.begin_calls(on);
        let restart = match self.below(40) {
            0 => Some(Restart::Orderly),
            1 => Some(Restart::Kill),
            2 | 3 => Some(Restart::Cut),
            _ => None,
        };
        if restart.is_some() {
            self.disturbances += 1;
            let time = self.below(400_000);
            on.run_for(Duration::from_millis(time));
            if restart == Some(Restart::Orderly) {
                on.gateway.end(on.world);
            }
        } else {
            let ended = |call: &Call| call.record.borrow().ended.is_some();
            on.run_until(Duration::from_secs(3 * 3600), |_| calls.iter().all(ended));
        }
        let mut calls = calls;
        calls.sort_by_key(|call| call.record.borrow().admitted);
        for call in &calls {
            self.judge(on, call, restart.is_some());
        }
        if restart.is_some() {
            // Who is connected notices by itself; the others do not call any more.
            for device in ["/dev/a", "/dev/b"] {
                if on.world.line(device).phase() != Phase::Connected {
                    on.world.seat(device, Box::new(Nobody));
                }
            }
        }
        self.inspect(on);
        if restart.is_none() {
            let pause = self.below(3 * 3600);
            on.run_for(Duration::from_secs(pause));
        }
        restart
    }
}

fn live(seed: u64, days: u64) {
    let mut month = Month::new(seed);
    let geometry = Geometry {
        segments: 128,
        ..small()
    };
    let mut house = House::with_store(seed, CONFIG, &geometry);
    house.line("a", 33600, true);
    house.line("b", 9600, seed.is_multiple_of(2));
    house
        .world
        .disk()
        .set_delay(Duration::from_millis(seed % 5 * 100));
    for (user, login) in ["la", "lb", "lc"].into_iter().zip(USERS) {
        house.world.net().post().open_account(login, user);
    }
    let end = Instant::ZERO + Duration::from_secs(days * 86_400);
    loop {
        let restart = house.power(|on| {
            while on.now() < end {
                if let Some(restart) = month.round(on) {
                    return Some(restart);
                }
            }
            None
        });
        let disk = house.world.disk().clone();
        match restart {
            None => break,
            Some(Restart::Orderly | Restart::Kill) => disk.kill(),
            Some(Restart::Cut) => {
                let cut = match month.below(3) {
                    0 => Cut::Any,
                    1 => Cut::Prefix(month.below(5000) as usize),
                    _ => Cut::Units(month.below(u64::MAX)),
                };
                disk.cut(cut, &mut || month.below(u64::MAX));
            }
        }
    }
    // It was not a quiet month.
    assert!(
        month.admitted > days as u32 && month.taken > days as u32,
        "seed {seed}: {} {}",
        month.admitted,
        month.taken
    );
}

#[test]
fn sentence_2_15_a_month() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let days = number("RINGMAIL_DAYS").unwrap_or(30);
    match number("RINGMAIL_SEED") {
        Some(seed) => live(seed, days),
        None => (1..=6).for_each(|seed| live(seed, days)),
    }
}
