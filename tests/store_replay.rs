//! The real program's writes to a real file, recorded and cut: each image mounted by the program.
//!
//! ```text
//! strace ringmail run -> pwrite64, fdatasync of its helper thread -> trace
//! trace -> every prefix of writes, random subsets of 512-octet units between two syncs
//!       -> image -> ringmail store dump -> the same rows as after some whole write since the sync
//! ```
//!
//! A run makes a store, copies the sample mails, is called, gives mail away, saves its
//! configuration and stops. Needs strace.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]
#![allow(dead_code, reason = "not all of the support is used here")]

mod support {
    pub(crate) mod process;
    pub(crate) mod temp;
}

use core::net::SocketAddr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

use support::process::{Guard, wait_until};
use support::temp::{TempDir, free_address};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ringmail");
const CAPACITY: u64 = 4 << 20;
/// What a cut leaves as it was or as it was to be.
const UNIT: usize = 512;
/// Random subsets between two syncs.
const SUBSETS: usize = 16;

/// What the program did to its store.
enum Event {
    Write { at: u64, octets: Vec<u8> },
    Sync,
}

#[test]
fn every_cut_of_a_real_run_is_mounted_by_the_real_program() {
    let dir = TempDir::new();
    let events = record(&dir);
    let image = dir.join("image");
    let file = File::create(&image).unwrap();
    file.set_len(CAPACITY).unwrap();
    let mut random = Random(1);
    let (mut states, mut copies) = (0, 0);
    // What a cut may leave known since the last sync; before the first, there is no store.
    let mut known: Vec<Option<Vec<String>>> = vec![None];
    let mut pending: Vec<(u64, &[u8])> = Vec::new();
    let mut durable = vec![0; CAPACITY as usize];
    for event in &events {
        let Event::Write { at, octets } = event else {
            states += subsets(&dir, &file, &durable, &pending, &known, &mut random);
            for (at, octets) in pending.drain(..) {
                durable[at as usize..][..octets.len()].copy_from_slice(octets);
            }
            known.drain(..known.len() - 1);
            continue;
        };
        file.write_all_at(octets, *at).unwrap();
        pending.push((*at, octets));
        let dump = dump(&image);
        copies = copies.max(
            dump.iter()
                .flatten()
                .filter(|row| row.contains("copy: Some"))
                .count(),
        );
        known.push(dump);
        states += 1;
    }
    states += subsets(&dir, &file, &durable, &pending, &known, &mut random);
    let syncs = events
        .iter()
        .filter(|event| matches!(event, Event::Sync))
        .count();
    println!(
        "replay: {} writes, {syncs} syncs, {states} images, {copies} copies",
        events.len() - syncs
    );
    assert!(syncs >= 4 && copies >= 3 && states > 100);
}

/// Mounts random subsets of the units that are not durable, and puts all of them back.
fn subsets(
    dir: &TempDir,
    file: &File,
    durable: &[u8],
    pending: &[(u64, &[u8])],
    known: &[Option<Vec<String>>],
    random: &mut Random,
) -> usize {
    let mut newest = durable.to_vec();
    let mut units = Vec::new();
    for (at, octets) in pending {
        let at = *at as usize;
        newest[at..at + octets.len()].copy_from_slice(octets);
        units.extend(at / UNIT..(at + octets.len()).div_ceil(UNIT));
    }
    units.sort_unstable();
    units.dedup();
    if units.is_empty() {
        return 0;
    }
    for _ in 0..SUBSETS {
        // Mostly all or none, or half of them.
        let share = [1, 8, 15][random.below(3)];
        for unit in &units {
            let source = if random.below(16) < share {
                &newest
            } else {
                durable
            };
            write_unit(file, source, *unit);
        }
        let found = dump(&dir.join("image"));
        assert!(
            known.contains(&found),
            "a cut left what no write had: {found:?}"
        );
    }
    for unit in &units {
        write_unit(file, &newest, *unit);
    }
    SUBSETS
}

fn write_unit(file: &File, source: &[u8], unit: usize) {
    let at = unit * UNIT;
    file.write_all_at(&source[at..at + UNIT], at as u64)
        .unwrap();
}

/// The rows that the program finds in `image`; `None` if that holds no store.
fn dump(image: &Path) -> Option<Vec<String>> {
    let Output {
        stdout,
        stderr,
        status,
    } = Command::new(PROGRAM)
        .args(["store", "dump"])
        .arg(image)
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    if stderr.contains("medium is blank") {
        return None;
    }
    let journal = stdout
        .lines()
        .find(|line| line.starts_with("journal: "))
        .unwrap_or_else(|| panic!("not mounted: {stderr}"));
    assert!(journal.ends_with(", whole"), "{stdout}");
    // A copy may be torn only where the program would look at it: in what is not settled.
    let settled = journal.contains(" 0 of them not settled");
    assert!(
        status.success() || !settled && status.code() == Some(1),
        "{stdout}{stderr}"
    );
    let is_row = |line: &&str| {
        line.split_once(": ")
            .is_some_and(|(_, row)| row.starts_with("Row"))
    };
    Some(stdout.lines().filter(is_row).map(String::from).collect())
}

/// Runs the gateway under strace, from its first start to a clean stop.
fn record(dir: &TempDir) -> Vec<Event> {
    let (lan, phone) = (free_address(), free_address());
    // Made, with its mails, by the server: it must not be there.
    let sample = dir.join("lan");
    let mut server = Command::new(PROGRAM)
        .args(["sample-lan", "--listen", &lan.to_string(), "--dir"])
        .arg(&sample)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the sample LAN server", || TcpStream::connect(lan).ok());
    let (ring, config, out) = (dir.join("ring"), dir.join("conf"), dir.join("strace"));
    let state = dir.subdirectory("state");
    let text = format!(
        "store {} size 4M\nline one phone {phone}\nuser add alice password ring\n\
         user alice source pop3://{lan} login alice password desk\nuser alice poll every 1m\n",
        ring.display()
    );
    fs::write(&config, text).unwrap();
    let mut gateway = Guard::start(Path::new("strace"), |command| {
        // -D: the gateway is our child, and strace its.
        command
            .args(["-D", "-f", "-y", "-xx", "-s", "70000"])
            .args(["-e", "trace=pwrite64,fdatasync", "-o"])
            .arg(&out)
            .arg(PROGRAM)
            .args(["run", "--board", "host", "--console", "none", "--config"])
            .arg(&config)
            .arg("--state")
            .arg(&state)
            .env("RUST_LOG", "info");
    });
    assert!(gateway.says("ready"), "{:?}", gateway.said());
    // The line is free again a moment after a call.
    wait_until("the first mails", || call(phone).filter(|taken| *taken));
    let save = Command::new(PROGRAM)
        .args(["attach", "--state"])
        .arg(&state)
        .arg("save")
        .output()
        .unwrap();
    assert!(save.status.success(), "{save:?}");
    for _ in 0..2 {
        wait_until("another call", || call(phone));
    }
    gateway.terminate();
    let ended = || {
        fs::read_to_string(&out)
            .ok()
            .filter(|text| text.contains("+++ exited"))
    };
    let trace = wait_until("the end of the recording", ended);
    drop(server.stdin.take());
    server.wait().unwrap();
    trace
        .lines()
        .filter_map(|line| event(line, &ring))
        .collect()
}

/// One call: takes the first mail, if there is one. `None` if nobody answers as they should.
fn call(phone: SocketAddr) -> Option<bool> {
    let stream = TcpStream::connect(phone).ok()?;
    let mut replies = BufReader::new(stream.try_clone().ok()?);
    let mut say = |words: &str| -> Option<bool> {
        let mut line = String::new();
        if !words.is_empty() {
            (&stream)
                .write_all(format!("{words}\r\n").as_bytes())
                .ok()?;
        }
        replies.read_line(&mut line).ok()?;
        if words.starts_with("RETR") && line.starts_with("+OK") {
            let mut body = String::new();
            while body != ".\r\n" {
                body.clear();
                (replies.read_line(&mut body).ok()? > 0).then_some(())?;
            }
        }
        (!line.is_empty()).then(|| line.starts_with("+OK"))
    };
    (say("")? && say("USER alice")? && say("PASS ring")?).then_some(())?;
    let taken = say("RETR 1")? && say("DELE 1")?;
    say("QUIT")?.then_some(taken)
}

/// What a line of the recording says of the store.
fn event(line: &str, ring: &Path) -> Option<Event> {
    // 1234  pwrite64(7<\x2f..>, "\x00..", 4096, 0) = 4096
    let hex = |octet: &u8| format!("\\x{octet:02x}");
    let ring: String = ring
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(hex)
        .collect();
    let ring = format!("<{ring}>");
    let (_, call) = line.split_once(' ')?;
    let (name, rest) = call.trim_start().split_once('(')?;
    let (_, rest) = rest.split_once(&ring)?;
    match name {
        "fdatasync" => Some(Event::Sync),
        "pwrite64" => {
            let (_, rest) = rest.split_once('"')?;
            let (octets, rest) = rest.split_once('"')?;
            assert!(!rest.starts_with("..."), "the recording is cut short");
            let octets = octets.split("\\x").skip(1);
            let octets: Vec<u8> = octets
                .map(|hex| u8::from_str_radix(hex, 16).unwrap())
                .collect();
            let mut numbers = rest
                .split([',', ')', '<', ' '])
                .filter_map(|word| word.parse().ok());
            let (length, at): (u64, u64) = (numbers.next()?, numbers.next()?);
            assert_eq!(length, octets.len() as u64);
            Some(Event::Write { at, octets })
        }
        _ => None,
    }
}

/// Small and seeded: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n as u64) as usize
    }
}
