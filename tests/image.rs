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
//! out. The modem is never unplugged here: this emulator's USB host does not survive that. Every step waits for a word of the console or of the caller's, none for a time.
//!
//! `RINGMAIL_BOOTS=20` pulls the plug so many times; `RINGMAIL_SEED=n` pulls it at other moments.

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
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use support::Account;
use support::gateway::VirtualModem;
use support::pop3::Session;
use support::post::Post;
use support::process::{Guard, run_well, wait_until};
use support::temp::TempDir;

/// Plugs pulled, unless `RINGMAIL_BOOTS` says otherwise.
const BOOTS: u64 = 3;
/// The longest that an emulated Pi may take for one step, on a machine with other work to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// The host, as the guest's network knows it.
const HOST: &str = "10.0.2.2";

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
        let moment = Moment::draw(&mut random);
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

impl Moment {
    fn draw(random: &mut Random) -> Self {
        let moments = [
            Self::Taken,
            Self::Quitting,
            Self::Visiting,
            Self::Sending,
            Self::Starting,
        ];
        moments[random.below(moments.len() as u64) as usize]
    }
}

/// Ends the emulator without warning at `moment`, and some milliseconds.
fn pull_the_plug(mut pi: Pi<'_>, moment: Moment, mails: &mut Mails<'_>, random: &mut Random) {
    let mut pull = |pi: &mut Pi<'_>| {
        // Which instant it hits is chance; what must hold after it is not.
        thread::sleep(Duration::from_millis(random.below(60)));
        pi.machine.kill();
    };
    match moment {
        Moment::Starting => {
            pi.machine.kill();
            pi = pi.card.start();
            pull(&mut pi);
        }
        Moment::Visiting => {
            let mut session = Session::connect(pi.modem.phone()).unwrap();
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

/// The image on a card, and what the emulator needs of it: the Pi's firmware is not emulated.
struct Card {
    dir: TempDir,
    command_line: String,
}

impl Card {
    /// A new card with `config` as its owner's `ringmail.conf`.
    fn new(config: &str) -> Self {
        let dir = TempDir::new();
        let image = PathBuf::from(env::var_os("RINGMAIL_IMAGE").expect("RINGMAIL_IMAGE"));
        let card = dir.join("card");
        run_well("cp", dir.path(), |it| {
            it.arg("--sparse=always").arg(&image).arg(&card);
        });
        // The emulator wants a power of two.
        let file = OpenOptions::new().write(true).open(&card).unwrap();
        file.set_len(256 << 20).unwrap();
        fs::write(dir.join("ringmail.conf"), config).unwrap();
        let boot = format!("{}@@4M", card.display());
        run_well("mcopy", dir.path(), |it| {
            it.args(["-o", "-i", &boot, "ringmail.conf", "::ringmail.conf"]);
        });
        for name in [
            "kernel8.img",
            "initramfs.img",
            "bcm2837-rpi-3-b.dtb",
            "cmdline.txt",
        ] {
            run_well("mcopy", dir.path(), |it| {
                it.args(["-i", &boot, &format!("::{name}"), name]);
            });
        }
        let kernel = run_well("gzip", dir.path(), |it| {
            it.args(["-dc", "kernel8.img"]);
        });
        fs::write(dir.join("kernel"), kernel.stdout).unwrap();
        let command_line = fs::read_to_string(dir.join("cmdline.txt")).unwrap();
        Self {
            dir,
            // This emulator takes the start of the Pi's watchdog for its end.
            command_line: format!("{} ringmail.watchdog=off", command_line.trim()),
        }
    }

    /// Switches a Pi with this card on; its modem is plugged in.
    fn start(&self) -> Pi<'_> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        for left_over in ["console", "modem"] {
            let _ = fs::remove_file(self.dir.join(left_over));
        }
        let socket = |id: &str| format!("socket,id={id},path={},server=on,wait=", path(id));
        let machine = Guard::start(Path::new("qemu-system-aarch64"), |it| {
            it.args(["-M", "raspi3b", "-accel", "tcg,thread=single"])
                .args([
                    "-kernel",
                    &path("kernel"),
                    "-dtb",
                    &path("bcm2837-rpi-3-b.dtb"),
                ])
                .args([
                    "-initrd",
                    &path("initramfs.img"),
                    "-append",
                    &self.command_line,
                ])
                .arg("-drive")
                .arg(format!("file={},format=raw,if=sd", path("card")))
                .args(["-display", "none", "-monitor", "none", "-serial", "null"])
                // It starts when we listen to its console.
                .args([
                    "-chardev",
                    &(socket("console") + "on"),
                    "-serial",
                    "chardev:console",
                ])
                .args(["-chardev", &(socket("modem") + "off")])
                .args(["-netdev", "user,id=lan", "-device", "usb-net,netdev=lan"])
                .args(["-device", "usb-serial,chardev=modem"]);
        });
        let console = connect(&self.dir.join("console"));
        let pi = Pi {
            card: self,
            machine,
            modem: VirtualModem::start(&[]),
            said: Console::listen(console.try_clone().unwrap()),
            console,
            read: 0,
        };
        pi.connect_modem();
        pi
    }

    /// The store on it has no damage, as our program on this machine reads it.
    fn is_sound(&self) {
        let card = File::open(self.dir.join("card")).unwrap();
        let table = {
            let mut table = [0; 512];
            (&card).read_exact(&mut table).unwrap();
            table
        };
        let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap());
        let (start, sectors) = (number(470), number(474));
        assert_eq!(
            (start + sectors) / 2048,
            256,
            "the ring took the rest of the card"
        );
        run_well("dd", self.dir.path(), |it| {
            it.args(["if=card", "of=ring", "bs=1M", "status=none", "conv=sparse"])
                .arg(format!("skip={}", start / 2048));
        });
        run_well(env!("CARGO_BIN_EXE_ringmail"), self.dir.path(), |it| {
            it.args(["store", "verify", "ring"]);
        });
    }
}

/// An emulated Pi that is switched on.
struct Pi<'a> {
    card: &'a Card,
    machine: Guard,
    modem: VirtualModem,
    console: UnixStream,
    said: Arc<Console>,
    /// How far the console was read.
    read: usize,
}

impl Pi<'_> {
    /// Waits until the console has said `words` after what was waited for last.
    fn expect(&mut self, words: &str) {
        self.read = self.said.find(self.read, words);
    }

    /// What the owner types.
    fn type_in(&mut self, keys: &str) {
        // At the pace of somebody who types: the port has room for few octets.
        for key in keys.as_bytes().chunks(8) {
            self.console.write_all(key).unwrap();
        }
    }

    /// Calls, and logs in.
    fn call(&self) -> Session {
        Session::login(&Account {
            address: self.modem.phone(),
            user: "alice".into(),
            password: "ring".into(),
        })
        .unwrap()
    }

    /// Joins the emulated serial port and the virtual modem's terminal.
    fn connect_modem(&self) {
        const O_NOCTTY: i32 = 0o400;
        let port = connect(&self.card.dir.join("modem"));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(O_NOCTTY);
        let terminal = options.open(self.modem.tty()).unwrap();
        let (from_port, from_terminal) = (port.try_clone().unwrap(), terminal.try_clone().unwrap());
        // Both end with what they read from: the emulator, or the virtual modem.
        thread::spawn(move || io::copy(&mut &from_port, &mut &terminal));
        thread::spawn(move || io::copy(&mut &from_terminal, &mut &port));
    }
}

/// What the serial console has said.
#[derive(Default)]
struct Console {
    said: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Console {
    fn listen(mut source: UnixStream) -> Arc<Self> {
        let console = Arc::new(Self::default());
        let ours = Arc::clone(&console);
        thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok(length @ 1..) = source.read(&mut octets) {
                ours.said.lock().unwrap().extend(&octets[..length]);
                ours.more.notify_all();
            }
        });
        console
    }

    /// Waits for `words` after place `from`; gives the place behind them.
    fn find(&self, from: usize, words: &str) -> usize {
        let limit = Instant::now() + PATIENCE;
        let mut said = self.said.lock().unwrap();
        loop {
            let words = words.as_bytes();
            let found = said[from..].windows(words.len()).position(|it| it == words);
            if let Some(at) = found {
                return from + at + words.len();
            }
            let left = limit.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the console never said {:?}, but:\n{}",
                String::from_utf8_lossy(words),
                String::from_utf8_lossy(&said)
            );
            said = self.more.wait_timeout(said, left).unwrap().0;
        }
    }
}

fn connect(path: &Path) -> UnixStream {
    wait_until("the emulator", || UnixStream::connect(path).ok())
}

/// A time server that is right; its port.
fn time_server() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut question = [0; 48];
        while let Ok((_, peer)) = socket.recv_from(&mut question) {
            let unix = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let now = ((unix + 2_208_988_800) << 32).to_be_bytes();
            let mut answer = [0; 48];
            answer[..2].copy_from_slice(&[0x24, 1]);
            answer[24..32].copy_from_slice(&question[40..]);
            answer[32..40].copy_from_slice(&now);
            answer[40..].copy_from_slice(&now);
            socket.send_to(&answer, peer).unwrap();
        }
    });
    port
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
