//! The card, started: the image's own kernel, device tree and initial RAM disk in an emulated Pi 3.
//!
//! ```text
//!   Post (LAN) --- emulated USB Ethernet --+
//!   time server -/                         |
//!   this test --- serial console ------ the Pi ------ emulated USB serial port
//!                                          |               |
//!                                    the card's image   vmodem ~ its phone number ~ a caller
//! ```
//!
//! `scripts/test-image` builds the image first and says where it lies; alone, this test is left
//! out. Every step waits for a word of the console or of the caller's, none for a time. The modem is
//! never unplugged here, since this emulator's USB host does not survive that: see `carrier.rs`.
//!
//! The plug is pulled at each kind of moment once, and then at random: `RINGMAIL_BOOTS=20` pulls it
//! so many times, `RINGMAIL_SEED=n` at other moments.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use core::time::Duration;
use std::collections::BTreeMap;
use std::env;
use std::thread;
use std::time::Instant;

use support::pi::{Card, HOST, Pi, time_server};
use support::pop3::Session;
use support::post::Post;

/// Plugs pulled, unless `RINGMAIL_BOOTS` says otherwise: one of each kind.
const BOOTS: u64 = MOMENTS.len() as u64;

#[test]
#[ignore = "scripts/test-image builds the image and runs this"]
fn a_card_from_its_first_start_through_pulled_plugs() {
    let post = Post::start();
    let clock = time_server();
    let card = Card::new(&format!(
        "hostname attic
line modem device /dev/ttyUSB0
net dhcp
ntp {HOST}:{clock}
user add alice password ring
user alice source pop3://{HOST}:{} login alice password desk
user alice poll off
user alice poll at-login 60s
",
        post.address().port()
    ));
    let mut mails = Mails::new(&post);
    mails.arrive();
    mails.arrive();

    let began = Instant::now();
    let mut pi = card.start();
    pi.expect("ready: ");
    eprintln!("from start to ready: {:.1?}", began.elapsed());
    pi.expect("ntp: the clock is set");
    first_call(&pi, &mut mails);
    console(&mut pi);

    let mut random = Random(knob("RINGMAIL_SEED").unwrap_or(1));
    for boot in 0..knob("RINGMAIL_BOOTS").unwrap_or(BOOTS) {
        mails.arrive();
        let kind = match boot {
            0..BOOTS => boot,
            _ => random.below(BOOTS),
        };
        let moment = MOMENTS[kind as usize];
        eprintln!("plug {boot}: {moment:?}");
        pull_the_plug(pi, moment, &mut mails, &mut random);
        pi = card.start();
        // The name was changed at the console and saved: the file is not taken in again.
        pi.expect("cellar> ");
        // The modem may be found a moment later than the gateway looks for it first.
        pi.expect("ready: ");
        mails.are_served(&pi);
    }
    drop(pi);
    card.is_sound();
}

/// A call reads everything, and takes the first.
fn first_call(pi: &Pi<'_>, mails: &mut Mails<'_>) {
    let mut session = pi.call();
    mails.compare(&mut session);
    session.ask("DELE 1").unwrap();
    session.quit().unwrap();
    mails.took_first();
}

/// The console by its serial line: it answers, completes, keeps.
fn console(pi: &mut Pi<'_>) {
    pi.type_in("show conf\t\r");
    pi.expect("ntp 10.0.2.2");
    pi.type_in("hostname cellar\r");
    pi.expect("cellar> ");
    pi.type_in("save\r");
    pi.expect("saved");
    pi.expect("cellar> ");
}

/// When the plug is pulled.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// While the machine starts, after so many octets of its console.
    Starting,
    /// While the gateway visits the LAN server for a caller.
    Visiting,
    /// While a mail goes down the line.
    Sending,
    /// After QUIT was sent, before its reply was read.
    Quitting,
    /// After the reply to QUIT.
    Taken,
}

const MOMENTS: [Moment; 5] = [
    Moment::Taken,
    Moment::Quitting,
    Moment::Visiting,
    Moment::Sending,
    Moment::Starting,
];

/// Ends the emulator without warning at `moment`, and some milliseconds.
fn pull_the_plug(mut pi: Pi<'_>, moment: Moment, mails: &mut Mails<'_>, random: &mut Random) {
    let mut pull = |pi: &mut Pi<'_>| {
        // Which instant it hits is chance; what must hold after it is not.
        thread::sleep(Duration::from_millis(random.below(60)));
        pi.kill();
    };
    match moment {
        Moment::Starting => {
            pi.kill();
            pi = pi.card.start();
            pull(&mut pi);
        }
        Moment::Visiting => {
            let mut session = Session::connect(pi.phone()).unwrap();
            session.ask("USER alice").unwrap();
            session.send(b"PASS ring\r\n");
            pull(&mut pi);
        }
        Moment::Sending => {
            let mut session = pi.call();
            session.send(b"RETR 1\r\nDELE 1\r\n");
            pull(&mut pi);
        }
        Moment::Quitting => {
            let mut session = pi.call();
            session.ask("DELE 1").unwrap();
            session.send(b"QUIT\r\n");
            pull(&mut pi);
            mails.may_have_taken_first();
        }
        Moment::Taken => {
            let mut session = pi.call();
            session.ask("DELE 1").unwrap();
            session.quit().unwrap();
            pull(&mut pi);
            mails.took_first();
        }
    }
}

/// The mails at the LAN server, and which of them a call took.
struct Mails<'a> {
    post: &'a Post,
    arrived: usize,
    /// Waiting, oldest first.
    waiting: Vec<String>,
    /// It was deleted, and the reply to QUIT was not read.
    doubtful: Option<String>,
    octets: BTreeMap<String, Vec<u8>>,
}

impl<'a> Mails<'a> {
    fn new(post: &'a Post) -> Self {
        Self {
            post,
            arrived: 0,
            waiting: Vec::new(),
            doubtful: None,
            octets: BTreeMap::new(),
        }
    }

    /// One more, of some kilobytes.
    fn arrive(&mut self) {
        self.arrived += 1;
        let name = format!("mail-{}", self.arrived);
        let mut octets =
            format!("Subject: {name}\r\nMessage-ID: <{name}@lan>\r\n\r\n").into_bytes();
        for line in 0..200 {
            octets.extend(format!(".{line} of {name}\r\n").as_bytes());
        }
        let mails = &mut self.post.maildrop().mails;
        mails.push((name.clone(), octets.clone()));
        self.octets.insert(name.clone(), octets);
        self.waiting.push(name);
    }

    fn took_first(&mut self) {
        self.waiting.remove(0);
    }

    fn may_have_taken_first(&mut self) {
        self.doubtful = Some(self.waiting[0].clone());
    }

    /// A call offers what waits, whole, and nothing else; it takes nothing.
    fn are_served(&mut self, pi: &Pi<'_>) {
        let mut session = pi.call();
        self.compare(&mut session);
        session.quit().unwrap();
    }

    fn compare(&mut self, session: &mut Session) {
        let got: Vec<_> = session.all().unwrap();
        let got: Vec<_> = got.into_iter().map(|mail| mail.octets).collect();
        // What is in doubt may have been taken or not; from now on it is known.
        if let Some(doubtful) = self.doubtful.take()
            && !got.contains(&self.octets[&doubtful])
        {
            self.waiting.retain(|name| *name != doubtful);
        }
        let expected: Vec<_> = self.waiting.iter().map(|name| &self.octets[name]).collect();
        let subject = |octets: &Vec<u8>| {
            let text = String::from_utf8_lossy(octets).into_owned();
            text.lines().next().unwrap_or_default().to_owned()
        };
        let subjects: Vec<_> = got.iter().map(subject).collect();
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{subjects:?}");
    }
}

/// xorshift64: the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn knob(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}
