//! The gateway is killed at the n-th write, sync or send of visits and calls, and started again.
//!
//! ```text
//!   first day   no state | start, visits, a call, a second call         killed somewhere in it
//!   later day   known mails, some taken; one is read at the desk, new ones came | the same
//!   then        the store is read | start, visit, a call, a second call   against the oracle
//! ```
//!
//! No mail is lost, none is offered again once `+OK` to QUIT was read, and none that was whole is
//! copied again. The system survives: this is no power cut, which the store's own tests sweep.
//!
//! `RINGMAIL_KILLS=200` strikes at so many points. `RINGMAIL_KILL_AT="later slow pwrite64 7"` strikes
//! at one only, which is what a failure prints.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use core::net::SocketAddr;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use support::Account;
use support::gateway::user_of;
use support::pop3::Session;
use support::post::Post;
use support::process::{Guard, PATIENCE};
use support::strike::{self, Class, Ends, Point};
use support::temp::{TempDir, free_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringmail");
/// Points of a run, unless `RINGMAIL_KILLS` says otherwise.
const KILLS: usize = 40;
/// Where they strike.
const CLASSES: [Class; 6] = [
    Class::Write,
    Class::Commit,
    Class::Sync,
    Class::Lan,
    Class::Body,
    Class::Reply,
];
/// Houses at once. Most of the time each waits for its modem to hang up.
const WORKERS: usize = 16;

/// Octets of the mails. No two are equal: the size tells in the store which mail it is.
const SIZES: [usize; 16] = [
    1_500, 300_000, 20_000, 3_000, 120_000, 64_000, 8_000, 200_000, 2_000, 40_000, 900, 5_000, 700,
    25_000, 1_100, 90_000,
];
/// Mails there on the first day, and in the state that the later day begins with.
const FIRST: usize = 5;
/// The mail that is read at the desk before the later day.
const READ_AT_DESK: usize = 2;

#[test]
fn a_kill_at_any_call_loses_nothing_and_repeats_nothing() {
    let began = Instant::now();
    let days = [Day::First, Day::Later(Base::make())];
    let points = match env::var("RINGMAIL_KILL_AT") {
        Ok(one) => vec![named(&days, &one)],
        Err(_) => chosen(&days, knob("RINGMAIL_KILLS").unwrap_or(KILLS)),
    };
    let next = AtomicUsize::new(0);
    let told = Mutex::new(Told::default());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((day, point)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = strike(day, point);
                    told.lock().unwrap().add(day, point, outcome);
                }
            });
        }
    });
    let told = told.into_inner().unwrap();
    eprintln!(
        "{} points in {:.0?}: {:?} by class, {} of them slow, {} not reached, {} mails copied again, {} at most",
        points.len(),
        began.elapsed(),
        told.classes,
        told.slow,
        told.missed,
        told.again,
        told.most
    );
    assert_eq!(told.wrong, [""; 0], "{}", told.wrong.join("\n"));
    // A test that never strikes would prove nothing.
    assert!(told.missed * 4 <= points.len(), "{} missed", told.missed);
}

/// What all points gave.
#[derive(Default)]
struct Told {
    classes: BTreeMap<Class, usize>,
    slow: usize,
    missed: usize,
    /// Mails copied twice because nothing had acknowledged the first copy.
    again: usize,
    /// The most of them at one point.
    most: usize,
    wrong: Vec<String>,
}

impl Told {
    fn add(&mut self, day: &Day, point: &Point, outcome: Result<Outcome, String>) {
        match outcome {
            Ok(outcome) => {
                self.slow += usize::from(point.slow && outcome.struck.is_some());
                self.most = self.most.max(outcome.again);
                match outcome.struck {
                    Some(class) => *self.classes.entry(class).or_default() += 1,
                    None => self.missed += 1,
                }
                self.again += outcome.again;
            }
            Err(wrong) => {
                let Point { name, nth, slow } = point;
                let slow = if *slow { "slow " } else { "" };
                self.wrong.push(format!(
                    "RINGMAIL_KILL_AT=\"{} {slow}{name} {nth}\": {wrong}",
                    day.name()
                ));
            }
        }
    }
}

/// Strikes at `point`, in a new house; in another one if somebody took its phone number.
fn strike(day: &Day, point: &Point) -> Result<Outcome, String> {
    for _ in 0..4 {
        match House::new(day).strike(point) {
            Err(error) if error == ENGAGED => {}
            outcome => return outcome,
        }
    }
    Err(ENGAGED.into())
}

/// What came of one point.
struct Outcome {
    /// The class of the call that was never made; `None` where the run ended before it.
    struck: Option<Class>,
    again: usize,
}

fn knob(name: &str) -> Option<usize> {
    env::var(name).ok()?.parse().ok()
}

/// The point of that name.
fn named<'a>(days: &'a [Day], text: &str) -> (&'a Day, Point) {
    let mut words: Vec<_> = text.split_whitespace().collect();
    let slow = words.get(1) == Some(&"slow");
    if slow {
        words.remove(1);
    }
    let [day, name, nth] = words[..] else {
        panic!("RINGMAIL_KILL_AT: expected a day, a call and a number");
    };
    let day = days
        .iter()
        .find(|one| one.name() == day)
        .expect("first or later");
    let (name, nth) = (name.to_owned(), nth.parse().expect("a number"));
    (day, Point { name, nth, slow })
}

/// `count` points, spread evenly over each class of each day, as runs without a kill show them.
fn chosen(days: &[Day], count: usize) -> Vec<(&Day, Point)> {
    let seen: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = days.iter().map(|day| scope.spawn(|| day.calls())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let groups: Vec<_> = days
        .iter()
        .zip(&seen)
        .flat_map(|day| CLASSES.map(|class| (day, class)))
        .collect();
    let mut points = Vec::new();
    for (turn, ((day, calls), class)) in groups.iter().enumerate() {
        let wanted = (count + groups.len() - 1 - turn) / groups.len();
        let calls: Vec<_> = calls.iter().filter(|(one, _)| one == class).collect();
        assert!(!calls.is_empty(), "{}: no {class:?} was seen", day.name());
        // In the middle of each stretch: never twice the same while there are enough.
        points.extend((0..wanted).map(|nth| {
            let at = (2 * nth + 1) * calls.len() / (2 * wanted);
            let mut point = calls[at].1.clone();
            // What the medium's helper calls may take long first.
            point.slow = match class {
                Class::Commit => nth % 3 < 2,
                Class::Write => nth % 2 == 1,
                Class::Sync => point.name == "fdatasync" && nth % 2 == 1,
                _ => false,
            };
            (*day, point)
        }));
    }
    points
}

/// How the day of the kill begins.
enum Day {
    First,
    Later(Base),
}

impl Day {
    fn name(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Later(_) => "later",
        }
    }

    /// What the gateway calls on such a day if nobody kills it.
    fn calls(&self) -> Vec<(Class, Point)> {
        let mut house = House::new(self);
        let struck = house.live(None).expect("a day without a kill");
        assert!(!struck, "nobody killed it");
        strike::calls(&house.dir.join("trace"), house.ends())
    }
}

/// What a gateway left that ended well.
struct Base {
    ring: PathBuf,
    oracle: Oracle,
    _dir: TempDir,
}

impl Base {
    fn make() -> Self {
        let mut house = House::new(&Day::First);
        let mut gateway = house.start();
        house.call(&mut gateway, &[0, 3]).unwrap();
        assert!(gateway.terminate().success());
        Self {
            ring: house.dir.join("state/ring"),
            oracle: house.oracle.clone(),
            _dir: house.dir,
        }
    }
}

/// What callers may rely on.
#[derive(Clone, Debug, Default)]
struct Oracle {
    /// DELEted, and the `+OK` to QUIT was read.
    taken: BTreeSet<usize>,
    /// DELEted, QUIT sent, nothing read.
    open: BTreeSet<usize>,
    /// The UID of every mail that a caller has seen.
    uids: BTreeMap<usize, String>,
    /// How often each was copied when a caller saw it first.
    copies: BTreeMap<usize, usize>,
}

/// One gateway, its mail server, its caller.
struct House {
    dir: TempDir,
    post: Post,
    phone: SocketAddr,
    mails: Vec<Vec<u8>>,
    oracle: Oracle,
}

impl House {
    /// As it stands in the morning of `day`.
    fn new(day: &Day) -> Self {
        let house = Self {
            dir: TempDir::new(),
            post: Post::start(),
            phone: own_address(),
            mails: (0..SIZES.len()).map(mail).collect(),
            oracle: Oracle::default(),
        };
        let state = house.dir.subdirectory("state");
        let config = format!(
            "hostname gateway\nstore {} size 8M\nline one phone {}\n{}user alice poll every 10s\n",
            state.join("ring").display(),
            house.phone,
            user_of(&house.account(house.post.address(), "desk"))
        );
        fs::write(house.dir.join("ringmail.conf"), config).unwrap();
        match day {
            Day::First => {
                house.deliver(0..FIRST);
                house
            }
            Day::Later(base) => {
                fs::copy(&base.ring, state.join("ring")).unwrap();
                house.deliver((0..SIZES.len()).filter(|&nth| nth != READ_AT_DESK));
                let mut oracle = base.oracle.clone();
                for copies in oracle.copies.values_mut() {
                    // This server has been asked for none yet.
                    *copies = 0;
                }
                Self { oracle, ..house }
            }
        }
    }

    fn deliver(&self, which: impl IntoIterator<Item = usize>) {
        let mut maildrop = self.post.maildrop();
        for nth in which {
            maildrop.mails.push((id(nth), self.mails[nth].clone()));
        }
    }

    /// The day, killed at `point`, and what comes after it.
    fn strike(mut self, point: &Point) -> Result<Outcome, String> {
        let struck = self.live(Some(point))?;
        let calls = strike::calls(&self.dir.join("trace"), self.ends());
        let same = |one: &Point| (&one.name, one.nth) == (&point.name, point.nth);
        let class = calls.iter().rev().find(|(_, one)| same(one));
        let visited = calls.iter().any(|(class, _)| *class == Class::Lan);
        let whole = self.look_into_store(visited)?;
        let before = self.copies();

        let mut gateway = self.start();
        // Twice: what the first takes, the second is not offered.
        self.call(&mut gateway, &[1, 4, 5, 6, 7, 8, 9, 10, 13])?;
        self.call(&mut gateway, &[])?;
        drop(gateway);

        let after = self.copies();
        for nth in whole {
            if before.get(&nth) != after.get(&nth) {
                return Err(format!("mail {nth} was whole and is copied again"));
            }
        }
        for (nth, copies) in &self.oracle.copies {
            if after.get(nth).unwrap_or(&0) != copies {
                return Err(format!(
                    "mail {nth} was offered, and copied again after that"
                ));
            }
        }
        if let Some((nth, copies)) = after.iter().find(|(_, copies)| **copies > 2) {
            return Err(format!(
                "mail {nth} was copied {copies} times, with one kill"
            ));
        }
        if self.post.maildrop().deletions > 0 {
            return Err("something was deleted at the desk".into());
        }
        let again = after.values().filter(|copies| **copies > 1).count();
        Ok(Outcome {
            struck: struck.then(|| class.map_or(Class::Other, |(class, _)| *class)),
            again,
        })
    }

    /// Start, visits, two calls, with strace looking on. Whether the kill has struck.
    fn live(&mut self, point: Option<&Point>) -> Result<bool, String> {
        let config = self.dir.join("ringmail.conf");
        let state = self.dir.join("state");
        let arguments = ["run", "--board", "host", "--console", "none", "--config"].map(Path::new);
        let arguments = [&arguments[..], &[&config, Path::new("--state"), &state]].concat();
        let trace = self.dir.join("trace");
        let mut gateway = strike::start(PROGRAM, &arguments, &trace, point);
        for wanted in [&[0, 1, 6, 8, 10, 12][..], &[4, 5, 11]] {
            let result = self.call(&mut gateway, wanted);
            match result {
                Ok(_) => {}
                Err(wrong) if wrong.starts_with(WRONG) || wrong == ENGAGED => return Err(wrong),
                // Whatever the caller heard last, the oracle knows what it may rely on.
                Err(_) if was_killed(&mut gateway) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        let struck = was_killed(&mut gateway);
        gateway.kill();
        Ok(struck)
    }

    /// A start without strace, on whatever was left.
    fn start(&self) -> Guard {
        Guard::start(Path::new(PROGRAM), |command| {
            command
                .args(["run", "--board", "host", "--console", "none", "--config"])
                .arg(self.dir.join("ringmail.conf"))
                .arg("--state")
                .arg(self.dir.join("state"));
        })
    }

    /// One call: takes everything there is, compares it, deletes what of `wanted` is there, and
    /// says QUIT. Returns which mails were offered.
    fn call(&mut self, gateway: &mut Guard, wanted: &[usize]) -> Result<BTreeSet<usize>, String> {
        let mut session = self.dial(gateway)?;
        let mut offered = BTreeMap::new();
        for (number, uid) in session.listing("UIDL")? {
            session.ask(&format!("RETR {number}"))?;
            let octets = session.lines()?;
            let Some(nth) = self.mails.iter().position(|mail| *mail == octets) else {
                return Err(format!(
                    "{WRONG}: {uid} has {} octets, no mail of ours",
                    octets.len()
                ));
            };
            if let Some(old) = self.oracle.uids.insert(nth, uid.clone())
                && old != uid
            {
                return Err(format!("{WRONG}: mail {nth} was {old}, and is {uid} now"));
            }
            let copies = *self.copies().get(&nth).unwrap_or(&0);
            self.oracle.copies.entry(nth).or_insert(copies);
            if offered.insert(nth, number).is_some() {
                return Err(format!("{WRONG}: mail {nth} is offered twice"));
            }
        }
        self.compare(&offered.keys().copied().collect())?;
        let wanted: BTreeMap<_, _> = offered
            .iter()
            .filter(|(nth, _)| wanted.contains(nth))
            .collect();
        for number in wanted.values() {
            session.ask(&format!("DELE {number}"))?;
        }
        self.oracle.open = wanted.keys().map(|nth| **nth).collect();
        session.quit()?;
        self.oracle.taken.append(&mut self.oracle.open);
        Ok(offered.into_keys().collect())
    }

    /// Calls until somebody greets, and logs in.
    fn dial(&self, gateway: &mut Guard) -> Result<Session, String> {
        let account = self.account(self.phone, "alice-at-the-line");
        let limit = Instant::now() + PATIENCE;
        loop {
            if gateway.said().iter().any(|line| line.contains(ENGAGED)) {
                return Err(ENGAGED.into());
            }
            // Busy: a modem needs a while to hang up.
            match Session::connect(account.address) {
                Ok(mut session) => {
                    session.ask(&format!("USER {}", account.user))?;
                    session.ask(&format!("PASS {}", account.password))?;
                    return Ok(session);
                }
                Err(error) if gateway.ended().is_some() => return Err(error),
                Err(_) if Instant::now() < limit => thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(format!("{WRONG}: nobody answers: {error}")),
            }
        }
    }

    /// The login waited for a whole listing, so exactly what is unread and not taken is offered.
    fn compare(&mut self, offered: &BTreeSet<usize>) -> Result<(), String> {
        let Oracle { taken, open, .. } = &self.oracle;
        let listed = self.post.maildrop();
        let listed =
            (0..SIZES.len()).filter(|&nth| listed.mails.iter().any(|(known, _)| *known == id(nth)));
        for nth in listed.clone() {
            if open.contains(&nth) {
                continue;
            }
            if offered.contains(&nth) == taken.contains(&nth) {
                let fault = if taken.contains(&nth) {
                    "sent again"
                } else {
                    "lost"
                };
                return Err(format!("{WRONG}: mail {nth} is {fault}; {:?}", self.oracle));
            }
        }
        let listed: BTreeSet<_> = listed.collect();
        if let Some(nth) = offered.iter().find(|nth| !listed.contains(nth)) {
            return Err(format!(
                "{WRONG}: mail {nth} was read at the desk, and is offered"
            ));
        }
        // One commit is one call: all that it took, or nothing.
        let left = open.iter().filter(|nth| offered.contains(nth)).count();
        if left != 0 && left != open.len() {
            return Err(format!("{WRONG}: half of {open:?} was taken: {offered:?}"));
        }
        // What was open is decided: what is not offered now may never be again.
        let gone: Vec<_> = open.difference(offered).copied().collect();
        self.oracle.taken.extend(gone);
        self.oracle.open.clear();
        Ok(())
    }

    /// The mails of which the store has a whole copy.
    fn look_into_store(&self, visited: bool) -> Result<BTreeSet<usize>, String> {
        let ring = self.dir.join("state/ring");
        let output = Command::new(PROGRAM)
            .args(["store", "dump"])
            .arg(ring)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || text.contains("entries are missing") {
            let error = String::from_utf8_lossy(&output.stderr);
            return match visited {
                // Killed while the store was made: there is nothing that could be damaged.
                false => Ok(BTreeSet::new()),
                true => Err(format!("the store is damaged: {text}{error}")),
            };
        }
        let rows = text.lines().filter(|line| line.contains("copy: Some("));
        let sizes = rows.filter_map(|row| {
            let (_, rest) = row.split_once(" size: ")?;
            rest.split_once(',')?.0.parse::<usize>().ok()
        });
        let sizes: BTreeSet<_> = sizes.collect();
        let whole = (0..SIZES.len()).filter(|&nth| sizes.contains(&self.mails[nth].len()));
        Ok(whole.collect())
    }

    /// How often the server was asked for each mail.
    fn copies(&self) -> BTreeMap<usize, usize> {
        let maildrop = self.post.maildrop();
        let count = |nth: usize| Some((nth, *maildrop.copies.get(&id(nth))?));
        (0..SIZES.len()).filter_map(count).collect()
    }

    fn account(&self, address: SocketAddr, password: &str) -> Account {
        Account {
            address,
            user: "alice".into(),
            password: password.into(),
        }
    }

    fn ends(&self) -> Ends {
        Ends {
            lan: self.post.address(),
            phone: self.phone,
        }
    }
}

/// Whether it was killed, maybe in this moment: its sockets close before it is gone.
fn was_killed(gateway: &mut Guard) -> bool {
    let limit = Instant::now() + Duration::from_secs(1);
    while Instant::now() < limit {
        if let Some(status) = gateway.ended() {
            // strace ends as what it watched did.
            return status.signal() == Some(9);
        }
        thread::sleep(Duration::from_millis(2));
    }
    false
}

/// A free address that no other house of this test has.
fn own_address() -> SocketAddr {
    static OURS: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let address = free_address();
        if OURS.lock().unwrap().insert(address) {
            return address;
        }
    }
}

/// The `nth` mail's unique-id at the server.
fn id(nth: usize) -> String {
    format!("desk{nth}")
}

/// The `nth` mail: lines of all lengths, some begin with dots.
fn mail(nth: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: desk@example.org\r\nTo: alice@example.org\r\nSubject: mail {nth}\r\n\
         Message-ID: <{nth}@example.org>\r\nDate: Mon, 2 Feb 2026 10:{nth:02}:00 +0000\r\n\r\n"
    )
    .into_bytes();
    for line in 0.. {
        if mail.len() >= SIZES[nth] {
            break;
        }
        let dots = ["", "", ".", "..", ""][line % 5];
        mail.extend(format!("{dots}{nth} {line} {}\r\n", "x".repeat(line * 7 % 71)).bytes());
    }
    mail
}

/// What the gateway says if somebody else has its phone number.
const ENGAGED: &str = "in use by another program";

/// How a report begins that is no mere end of the line.
const WRONG: &str = "wrong";
