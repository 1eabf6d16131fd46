//! Every second of the line used: whole sessions over a line paced in virtual time.
//!
//! The line carries so many octets a second and no more, each comes out later by the latency, and
//! the modem holds 2 KiB: so each figure is exact, and the same on every machine.
//! `cargo test --test line -- --nocapture` prints them; `scripts/bench line` takes them from there.

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
use std::collections::VecDeque;
use std::rc::Rc;

use hal::dce::DceOptions;
use hal::sim::line::{Caller, Line, Phase};
use hal::{Board, Duration, Instant};
use ringmail::store::Geometry;
use support::world::{House, Running};

/// Octets a second of a line of 33600 bit/s.
const RATE: f64 = 3360.0;
/// One way.
const LATENCY: Duration = Duration::from_millis(100);

const CONFIG: &str = "line a device /dev/a\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n\
    user anna poll at-login off\nuser anna poll every 1m\n";

/// Commands that are sent together once all before them are answered.
type Batch = Vec<String>;

/// How a caller speaks.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lockstep,
    Retr,
    LoginToo,
}

impl Way {
    fn batches(self, count: usize) -> VecDeque<Batch> {
        let login = ["USER anna", "PASS rot", "STAT", "UIDL"].map(String::from);
        let retr = (1..=count).map(|n| format!("RETR {n}"));
        let single = |commands: Vec<String>| commands.into_iter().map(|command| vec![command]);
        let mut batches = VecDeque::new();
        match self {
            Self::LoginToo => batches.push_back(login.to_vec()),
            Self::Lockstep | Self::Retr => batches.extend(single(login.to_vec())),
        }
        match self {
            Self::Lockstep => batches.extend(single(retr.collect())),
            Self::Retr | Self::LoginToo => batches.push_back(retr.collect()),
        }
        batches.push_back(vec!["QUIT".into()]);
        batches
    }
}

/// What a session took.
#[derive(Debug, Default)]
struct Record {
    connected: Option<Instant>,
    /// The answer to `QUIT` had come whole.
    answered: Option<Instant>,
    /// Octets to the caller.
    octets: usize,
    /// Times that the caller waited for an answer; the greeting is one.
    turns: u32,
    /// From the command to the end of its listing.
    uidl: Option<Duration>,
    /// Lines of all multi-line answers.
    lines: usize,
}

impl Record {
    fn seconds(&self) -> f64 {
        let time = self.answered.unwrap() - self.connected.unwrap();
        time.as_micros() as f64 / 1e6
    }

    /// The time in which octets came, of all time.
    fn line_use(&self) -> f64 {
        100.0 * self.octets as f64 / RATE / self.seconds()
    }

    /// Session time over what it cannot be below.
    fn excess(&self) -> f64 {
        let turn = 2.0 * LATENCY.as_micros() as f64 / 1e6;
        self.seconds() / (self.octets as f64 / RATE + f64::from(self.turns) * turn)
    }
}

struct Pacer {
    batches: VecDeque<Batch>,
    /// What was said and is not answered; the greeting is an answer to nothing.
    unanswered: VecDeque<String>,
    in_body: bool,
    input: Vec<u8>,
    said_uidl: Option<Instant>,
    record: Rc<RefCell<Record>>,
}

impl Pacer {
    fn line(&mut self, now: Instant, line: &[u8]) {
        let said = self.unanswered.front().cloned().unwrap();
        if self.in_body {
            self.record.borrow_mut().lines += 1;
            self.in_body = line != b".\r\n";
        } else {
            assert!(
                line.starts_with(b"+OK"),
                "{said}: {:?}",
                line.escape_ascii()
            );
            self.in_body = said == "UIDL" || said.starts_with("RETR");
        }
        if self.in_body {
            return;
        }
        self.unanswered.pop_front();
        let mut record = self.record.borrow_mut();
        match said.as_str() {
            "QUIT" => record.answered = Some(now),
            "UIDL" => record.uidl = Some(now - self.said_uidl.unwrap()),
            _ => {}
        }
    }
}

impl Caller for Pacer {
    fn step(&mut self, now: Instant, line: &mut Line) {
        match line.phase() {
            Phase::Idle => assert!(line.dial(None)),
            Phase::Ringing | Phase::Ended => {}
            Phase::Connected => {
                if self.record.borrow().connected.is_none() {
                    self.record.borrow_mut().connected = Some(now);
                    self.unanswered.push_back("the greeting".into());
                    self.record.borrow_mut().turns = 1;
                }
                let came = line.receive();
                if self.record.borrow().answered.is_none() {
                    self.record.borrow_mut().octets += came.len();
                }
                self.input.extend(came);
                while let Some(end) = self.input.iter().position(|&octet| octet == b'\n') {
                    let octets: Vec<u8> = self.input.drain(..=end).collect();
                    self.line(now, &octets);
                }
                if self.unanswered.is_empty()
                    && let Some(batch) = self.batches.pop_front()
                {
                    self.record.borrow_mut().turns += 1;
                    if batch.iter().any(|command| command == "UIDL") {
                        self.said_uidl = Some(now);
                    }
                    line.send((batch.join("\r\n") + "\r\n").as_bytes());
                    self.unanswered.extend(batch);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// One call that takes `batches`, with `count` mails of so many octets waiting.
fn session(connect: &str, count: usize, octets: usize, batches: VecDeque<Batch>) -> Record {
    let geometry = Geometry::for_capacity(4 << 20, 128 * 1024).unwrap();
    let mut house = House::with_store(1, CONFIG, &geometry);
    (house.lists, house.rows) = (1024, 1024);
    let options = DceOptions {
        speed: 33600,
        latency: LATENCY,
        training: Duration::from_secs(2),
        connect: connect.try_into().unwrap(),
        dial: false,
    };
    house.world.make_line("/dev/a", options, true);
    {
        let mut post = house.world.net().post();
        post.open_account("anna", "blau");
        for n in 0..count {
            post.deliver("anna", &format!("id{n}"), &plain(n, octets));
        }
    }
    let record = house.power(|on| {
        on.run_until_ready();
        on.run_until(Duration::from_secs(3600), |on| {
            on.world.net().post().listings("anna") >= 4
        });
        on.run_for(Duration::from_secs(30));
        let record = Rc::<RefCell<Record>>::default();
        let caller = Pacer {
            batches,
            unanswered: VecDeque::new(),
            in_body: false,
            input: Vec::new(),
            said_uidl: None,
            record: Rc::clone(&record),
        };
        on.world.seat("/dev/a", Box::new(caller));
        on.run_until(Duration::from_secs(900), |_| {
            record.borrow().answered.is_some()
        });
        record
    });
    record.take()
}

/// A mail of lines of 72 octets, as measured elsewhere.
fn plain(n: usize, octets: usize) -> Vec<u8> {
    let mut mail = format!(
        "From: sender@example.net\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n\
         Subject: mail {n}\r\nMessage-ID: <{n}@example.net>\r\n\r\n"
    )
    .into_bytes();
    while mail.len() < octets {
        let line = [b'a' + (n % 26) as u8; 70];
        let left = octets - mail.len();
        mail.extend(&line[..line.len().min(left.saturating_sub(2))]);
        mail.extend(b"\r\n");
    }
    mail
}

/// As modems of the V.42 kind tell it.
const V42: &str = "33600/ARQ/V34/LAPM/V42BIS";

fn figure(name: &str, record: &Record) {
    println!(
        "figure: {name}: use {:.2} % excess {:.4} seconds {:.3} octets {} turns {}",
        record.line_use(),
        record.excess(),
        record.seconds(),
        record.octets,
        record.turns
    );
}

#[test]
fn mails_come_as_fast_as_the_line_carries_them() {
    for (name, count, octets, way, least) in [
        ("50 mails of 4 KB, lockstep", 50, 4096, Way::Lockstep, 0.0),
        (
            "50 mails of 4 KB, RETR pipelined",
            50,
            4096,
            Way::Retr,
            97.5,
        ),
        ("50 mails of 4 KB, login too", 50, 4096, Way::LoginToo, 98.5),
        ("50 mails of 1 KB, login too", 50, 1024, Way::LoginToo, 94.4),
    ] {
        let record = session(V42, count, octets, way.batches(count));
        figure(name, &record);
        assert!(record.octets > count * octets, "{name}: {record:?}");
        assert!(record.line_use() >= least, "{name}: {record:?}");
        assert!(record.excess() <= 1.005, "{name}: {record:?}");
    }
}

#[test]
fn a_listing_of_kept_mails_is_short() {
    let batches = ["USER anna", "PASS rot", "UIDL", "QUIT"].map(|it| vec![it.to_owned()]);
    let record = session(V42, 1000, 200, batches.into());
    let seconds = record.uidl.unwrap().as_micros() as f64 / 1e6;
    println!("figure: UIDL of 1000 kept mails: seconds {seconds:.3}");
    assert_eq!(record.lines, 1001);
    assert!(seconds <= 3.3, "{record:?}");
}

/// Rings once, and hears when it was answered.
struct Ringer(Rc<RefCell<Option<Instant>>>);

impl Caller for Ringer {
    fn step(&mut self, now: Instant, line: &mut Line) {
        match line.phase() {
            Phase::Idle => assert!(line.dial(None)),
            Phase::Connected => {
                self.0.borrow_mut().get_or_insert(now);
            }
            Phase::Ringing | Phase::Ended => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

/// A line whose modem trains in no time: it is connected as soon as `ATA` has come to it.
fn ringing_house() -> House {
    let geometry = Geometry::for_capacity(64 << 20, 128 * 1024).unwrap();
    let mut house = House::with_store(1, CONFIG, &geometry);
    let options = DceOptions {
        connect: V42.try_into().unwrap(),
        ..DceOptions::default()
    };
    house.world.make_line("/dev/a", options, true);
    house
}

/// Turns of the loop from RING, whole in the port, to `ATA` in the modem. It must be the same
/// instant of virtual time.
fn turns_from_ring_to_ata(on: &mut Running<'_, '_>) -> u32 {
    let answered = Rc::default();
    let ringer = Ringer(Rc::clone(&answered));
    on.world.seat("/dev/a", Box::new(ringer));
    let now = on.now();
    on.world.wait(Some(now));
    assert_eq!(on.world.line("/dev/a").phase(), Phase::Ringing);
    let mut turns = 0;
    while answered.borrow().is_none() {
        on.gateway.turn(on.world);
        turns += 1;
        on.world.wait(Some(now));
        assert!(turns < 1000, "nobody answers");
    }
    assert_eq!(*answered.borrow(), Some(now));
    turns
}

#[test]
fn a_ring_is_answered_in_the_turn_it_is_read_in() {
    let idle = ringing_house().power(|on| {
        on.run_until_ready();
        turns_from_ring_to_ata(on)
    });
    println!("figure: RING to ATA, idle: turns {idle}");
    assert_eq!(idle, 1);
    // While 20 MB come in, at any moment of it, and a sync is under way.
    let mails: Vec<_> = (0..5).map(|n| plain(n, 4 << 20)).collect();
    for mebibytes in [1, 3, 8, 15] {
        for later in 0..8 {
            let mut house = ringing_house();
            house.world.disk().set_delay(Duration::from_millis(500));
            {
                let mut post = house.world.net().post();
                post.open_account("anna", "blau");
                for (n, mail) in mails.iter().enumerate() {
                    post.deliver("anna", &format!("id{n}"), mail);
                }
            }
            let turns = house.power(|on| {
                on.run_until_ready();
                on.run_until(Duration::from_secs(3600), |on| {
                    on.world.disk().counts().written > mebibytes << 20
                        && on.world.disk().is_syncing()
                });
                for _ in 0..later {
                    on.step();
                }
                on.run_until(Duration::from_secs(60), |on| on.world.disk().is_syncing());
                let written = on.world.disk().counts().written;
                let turns = turns_from_ring_to_ata(on);
                on.run_until(Duration::from_secs(3600), |on| {
                    on.world.disk().counts().written > written + (1 << 20)
                });
                turns
            });
            assert_eq!(turns, 1, "after {mebibytes} MiB, {later} turns later");
        }
    }
    println!("figure: RING to ATA, 20 MB come in and a sync is pending: turns 1");
}
