//! A year on four lines: 100,000 calls, with every fault there is drawn at random.
//!
//! `RINGMAIL_SOAK` says how many calls (3000 if it is not set), `RINGMAIL_SEED` which ones; a year
//! is what 100,000 of them take:
//!
//! ```text
//! RINGMAIL_SOAK=100000 cargo test --test soak -- --nocapture
//! ```
//!
//! Lines are cut by carrier, by unplugging, by a modem that is wedged; callers fall silent, stop
//! reading, shout; the LAN goes; the program ends, is killed, loses its power. What must hold: no
//! state is stuck, since each line waits for calls again once the faults are over; nothing leaks,
//! since the tables are as full as they were; each call ends with a reason that has a name; and no
//! mail comes twice.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Mutex;

use hal::sim::line::{By, Caller, CutAfter, Line, Phase, Toward};
use hal::sim::medium::Cut;
use hal::sim::post::Fault;
use hal::{Duration, Instant};
use ringmail::store::Geometry;
use support::dialler::{Plan, Record, Say};
use support::world::{House, Running, id_of, mail};

const LINES: [&str; 4] = ["a", "b", "c", "d"];
const USERS: [&str; 4] = ["anna", "bert", "cora", "dora"];
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Calls of a year.
const CALLS: u64 = 100_000;
/// So long after the last fault each line waits for calls again: a caller that holds the line is
/// gone after the limit of a call, and the longest back-off is a minute.
const CALM: Duration = Duration::from_secs(3 * 3600);

/// How calls end, as the log names it. A reason that is not here is a fault of this test or of the
/// gateway.
const REASONS: &[&str] = &[
    "quit",
    "autologout",
    "too many",
    "carrier lost",
    "the modem is gone",
    "hung up here",
    "call limit",
    "the call was longer",
    "store",
    "wrong password",
    "nobody logged in",
    "noise",
    "no POP3 client",
    "nothing but empty lines",
    "a line without an end",
];

/// What the gateway logged.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Info
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LOG.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The far end of a line, while nobody is there.
struct Nobody;

impl Caller for Nobody {
    fn step(&mut self, _: Instant, _: &mut Line) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    Orderly,
    Kill,
    Cut,
}

struct Soak {
    seed: u64,
    random: u64,
    calls: u64,
    wanted: u64,
    mails: u32,
    /// Mails that a call took for certain.
    taken: BTreeMap<String, String>,
    /// On the LAN server, by user.
    present: Vec<(usize, String)>,
    /// How calls ended.
    ends: BTreeMap<String, u64>,
    /// Calls the gateway told of, without an end so far.
    open: u64,
    /// Calls under way when it was killed, or lost its power.
    killed: u64,
    missed: u64,
    faults: BTreeMap<&'static str, u64>,
}

impl Soak {
    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    /// Mail comes and goes at the desk, now and then: ten thousand a year.
    fn desk(&mut self, on: &Running<'_, '_>) {
        let mut post = on.world.net().post();
        if self.chance(35) {
            self.mails += 1;
            let user = self.below(4) as usize;
            let id = format!("m{}", self.mails);
            let octets = mail(&id, 200 + self.below(1500) as usize);
            post.deliver(USERS[user], &id, &octets);
            self.present.push((user, id));
        }
        if !self.present.is_empty() && (self.present.len() > 60 || self.chance(30)) {
            let at = self.below(self.present.len() as u64) as usize;
            let (user, id) = self.present.swap_remove(at);
            post.remove(USERS[user], &id);
        }
        post.fault = match self.below(30) {
            0 => Fault::Refused,
            1 => Fault::BlackHole,
            2 => Fault::NoName,
            3 => Fault::Mute,
            4 => Fault::CutAfter(self.below(3000)),
            5 => Fault::InUse,
            _ => Fault::None,
        };
        if post.fault != Fault::None {
            drop(post);
            self.count("LAN");
        }
    }

    fn plan(&mut self, now: Instant) -> (usize, Plan) {
        let user = self.below(4) as usize;
        let kind = self.below(20);
        let some = self.below(u64::MAX);
        let wrong = self.chance(4);
        self.count(match kind {
            0 => "caller hangs up",
            1 => "caller falls silent",
            2 => "caller stops reading",
            3 => "noise",
            _ => "none by the caller",
        });
        let body = move |count: u32| {
            let mut says = Vec::new();
            for n in 1..=count {
                if some >> (n % 60) & 1 == 1 {
                    says.push(Say::Retr(n));
                    says.push(Say::Dele(n));
                }
            }
            let end = match kind {
                0 => Say::HangUp,
                1 => Say::Silence,
                2 => Say::StopReading,
                3 => Say::Junk(some.to_le_bytes().repeat(40)),
                _ => Say::Quit,
            };
            if kind < 4 {
                says.truncate(some as usize % (says.len() + 1));
            }
            says.push(end);
            says
        };
        let plan = Plan {
            at: now + Duration::from_secs(self.below(60)),
            user: USERS[user].into(),
            password: if wrong { "wrong" } else { "right" }.into(),
            pipelined: self.chance(40),
            body: Box::new(body),
        };
        (user, plan)
    }

    /// What befalls a line while there is a call on it.
    fn spoil(&mut self, on: &mut Running<'_, '_>, line: &str) {
        let device = format!("/dev/{line}");
        let seconds = Duration::from_secs(1 + self.below(300));
        let toward = match self.below(2) {
            0 => Toward::Caller,
            _ => Toward::Gateway,
        };
        let octets = self.below(if toward == Toward::Caller { 3000 } else { 100 });
        let by = match self.below(16) {
            0 => By::CarrierLoss,
            1 => By::Unplugging(seconds),
            4 => By::Wedging(seconds * 4),
            2 => {
                self.count("modem wedged");
                return on.world.line(&device).wedge(seconds * 4);
            }
            3 => {
                self.count("unplugged while idle");
                return on.world.line(&device).unplug(seconds);
            }
            _ => return,
        };
        self.count("call cut");
        let cut = CutAfter { toward, octets, by };
        on.world.line(&device).cut_after(cut);
    }

    /// What the gateway said since the last look.
    fn read_log(&mut self) {
        for line in LOG.lock().unwrap().drain(..) {
            if line.contains(": call from ") {
                self.open += 1;
            } else if line.contains(": missed a call") {
                self.missed += 1;
            } else if let Some((_, rest)) = line.split_once(": call ended: ") {
                self.open -= 1;
                let reason = rest.split(';').next().unwrap();
                *self.ends.entry(reason.to_owned()).or_default() += 1;
            }
        }
    }

    /// Some calls; `Some` if the gateway is to be started anew.
    fn round(&mut self, on: &mut Running<'_, '_>) -> Option<Restart> {
        self.desk(on);
        let mut calls: Vec<(usize, Rc<RefCell<Record>>)> = Vec::new();
        for line in LINES {
            if self.chance(80) {
                let (user, plan) = self.plan(on.now());
                self.spoil(on, line);
                self.calls += 1;
                calls.push((user, on.call(line, plan)));
            }
        }
        let restart = match self.below(400) {
            0 => Some(Restart::Orderly),
            1 => Some(Restart::Kill),
            2 | 3 => Some(Restart::Cut),
            _ => None,
        };
        if restart.is_some() {
            self.count("restart");
            let time = self.below(100_000);
            on.run_for(Duration::from_millis(time));
            if restart == Some(Restart::Orderly) {
                on.gateway.end(on.world);
            }
        } else {
            let ended =
                |(_, record): &(usize, Rc<RefCell<Record>>)| record.borrow().ended.is_some();
            on.run_until(Duration::from_secs(4 * 3600), |_| calls.iter().all(ended));
        }
        // Two of them may have been one user's, one after the other.
        calls.sort_by_key(|(_, record)| record.borrow().admitted);
        for (user, record) in &calls {
            self.judge(*user, &record.borrow());
        }
        restart
    }

    fn judge(&mut self, user: usize, record: &Record) {
        for octets in record.mails.values() {
            let id = id_of(octets);
            let what = format!("seed {}: {id} for {}", self.seed, USERS[user]);
            let taker = self.taken.get(&id);
            assert!(
                taker.is_none(),
                "{what} comes again: {record:?} after {taker:?}"
            );
        }
        if record.quit_read {
            let dele = record.mails.iter();
            let dele = dele.filter(|(n, _)| record.dele_said.contains(n));
            let taker = format!("{record:?}");
            self.taken
                .extend(dele.map(|(_, mail)| (id_of(mail), taker.clone())));
        }
    }

    /// Faults are over: every line waits for calls, and nothing is held.
    fn calm(&mut self, on: &mut Running<'_, '_>) {
        for line in LINES {
            on.world.seat(&format!("/dev/{line}"), Box::new(Nobody));
        }
        on.world.net().post().fault = Fault::None;
        let end = on.now() + CALM;
        loop {
            on.run_for(Duration::from_secs(120));
            let lines = ask(on, "show lines");
            let waits = |name: &&str| lines.lines().any(|line| is_ready(line, name));
            if LINES.iter().all(waits) {
                break;
            }
            assert!(on.now() < end, "seed {}: stuck: {lines}", self.seed);
        }
        let ledger = on.gateway.mailbox().ledger();
        for user in 0..8 {
            assert!(
                !ledger.is_pinned(user),
                "seed {}: {user} is open",
                self.seed
            );
        }
        self.read_log();
        assert_eq!(self.open, 0, "seed {}: a call without an end", self.seed);
    }
}

fn is_ready(line: &str, name: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next() == Some(name) && words.next() == Some("ready") && words.next().is_none()
}

/// What the console answers.
fn ask(on: &mut Running<'_, '_>, command: &str) -> String {
    let console = on.world.attach(&format!("{command}\r"));
    on.run_for(Duration::from_secs(1));
    console.close();
    on.run_for(Duration::from_secs(1));
    console.shown()
}

#[test]
fn no_state_is_stuck_and_every_call_ends_with_a_named_reason() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap())
    };
    log::set_logger(&Keeper).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let seed = number("RINGMAIL_SEED").unwrap_or(1);
    let wanted = number("RINGMAIL_SOAK").unwrap_or(3000);
    let mut soak = Soak {
        seed,
        random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        calls: 0,
        wanted,
        mails: 0,
        taken: BTreeMap::new(),
        present: Vec::new(),
        ends: BTreeMap::new(),
        open: 0,
        killed: 0,
        missed: 0,
        faults: BTreeMap::new(),
    };
    let mut config = String::new();
    for line in LINES {
        config.push_str(&format!("line {line} device /dev/{line}\n"));
    }
    for user in USERS {
        config.push_str(&format!(
            "user add {user} password right\nuser {user} source pop3://post login {user} \
             password desk\nuser {user} poll every 30m\n"
        ));
    }
    let geometry = Geometry::for_capacity(8 << 20, 1 << 20).unwrap();
    let mut house = House::with_store(seed, &config, &geometry);
    house.rows = 16_384;
    for (nth, line) in LINES.into_iter().enumerate() {
        house.line(line, [33600, 115_200, 14400, 33600][nth], nth != 3);
    }
    house.world.disk().set_delay(Duration::from_millis(100));
    for user in USERS {
        house.world.net().post().open_account(user, "desk");
    }
    while soak.calls < wanted {
        let restart = house.power(|on| {
            on.run_for(Duration::from_secs(60));
            let mut rounds = 0;
            while soak.calls < wanted {
                if let Some(restart) = soak.round(on) {
                    return Some(restart);
                }
                rounds += 1;
                if rounds % 50 == 0 {
                    soak.calm(on);
                }
                soak.read_log();
                // A year has so many calls: the rest of the time nobody calls.
                let share = YEAR.as_secs() as u128 * u128::from(soak.calls) / u128::from(CALLS);
                let until = Instant::ZERO + Duration::from_secs(share as u64);
                if on.now() < until {
                    on.run_to(until);
                }
            }
            soak.calm(on);
            on.gateway.end(on.world);
            None
        });
        soak.read_log();
        if restart.is_some_and(|restart| restart != Restart::Orderly) {
            // Nobody could tell of their end.
            soak.killed += core::mem::take(&mut soak.open);
        }
        assert_eq!(soak.open, 0);
        let disk = house.world.disk().clone();
        match restart {
            None => break,
            Some(Restart::Orderly | Restart::Kill) => disk.kill(),
            Some(Restart::Cut) => {
                let cut = match soak.below(3) {
                    0 => Cut::Any,
                    1 => Cut::Prefix(soak.below(5000) as usize),
                    _ => Cut::Units(soak.below(u64::MAX)),
                };
                disk.cut(cut, &mut || soak.below(u64::MAX));
            }
        }
        for line in LINES {
            let device = format!("/dev/{line}");
            if house.world.line(&device).phase() != Phase::Connected {
                house.world.seat(&device, Box::new(Nobody));
            }
        }
    }
    let days = hal::Board::now(&mut house.world)
        .since(Instant::ZERO)
        .as_secs()
        / 86_400;
    println!("soak: seed {seed}: {} calls in {days} days", soak.calls);
    println!(
        "soak: taken {}, missed {}, ends {:#?}",
        soak.taken.len(),
        soak.missed,
        soak.ends
    );
    println!("soak: under way at a kill or a power cut: {}", soak.killed);
    println!("soak: faults {:?}", soak.faults);
    for reason in soak.ends.keys() {
        let named = REASONS.iter().any(|name| reason.starts_with(name));
        assert!(named, "{reason:?} has no name");
    }
    let ended: u64 = soak.ends.values().sum();
    assert!(ended > wanted / 2 && soak.taken.len() as u64 > wanted / 100);
}
