//! strace as the hand that pulls the plug: the program dies at its n-th call of the system.
//!
//! The program runs unmodified. strace stops it where it enters a call, and lets SIGKILL in: that
//! call is never made, all before it was. It counts each call in each thread apart.
//!
//! A slow call is one that a bad card holds up: the rest of the program goes on meanwhile, and does
//! what it should not do before that call is made. Then the whole program is killed.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::process::Guard;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A write to the medium.
    Write,
    /// The last of them before a sync: what makes the others count.
    Commit,
    /// A sync of the medium, or of a file that is made.
    Sync,
    /// Octets to the LAN server.
    Lan,
    /// Octets of mail to the caller.
    Body,
    /// A short answer to the caller.
    Reply,
    /// Anything else: the log, a wake-up, zeros for a new medium.
    Other,
}

/// The n-th call of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) nth: usize,
    /// The others go on for a while before the program is killed.
    pub(crate) slow: bool,
}

/// Who is at the other end of the sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) lan: SocketAddr,
    pub(crate) phone: SocketAddr,
}

/// Starts `program` so that it dies at `point`, or lives and is only watched. What it called is
/// written to `trace`.
pub(crate) fn start(
    program: &str,
    arguments: &[&Path],
    trace: &Path,
    point: Option<&Point>,
) -> Guard {
    // What is not there yet cannot be watched.
    fs::write(trace, "").unwrap();
    // Not with --seccomp-bpf: the signal gets lost there.
    let gateway = Guard::start(Path::new("strace"), |command| {
        command.args(["-f", "-qq", "-yy", "-s", "0", "-e", "signal=none"]);
        command
            .args(["-e", &format!("trace={CALLS}"), "-o"])
            .arg(trace);
        if let Some(Point { name, nth, slow }) = point {
            let what = match slow {
                true => format!("delay_enter={}", DELAY.as_micros()),
                false => "signal=SIGKILL".into(),
            };
            command.args(["-e", &format!("inject={name}:{what}:when={nth}")]);
        }
        command.arg(program).args(arguments);
    });
    if let Some(point) = point.filter(|point| point.slow) {
        let (point, trace) = (point.clone(), trace.to_owned());
        thread::spawn(move || kill_slowly(&point, &trace));
    }
    gateway
}

/// Waits until the program has come to `point`, and a while longer; then kills it.
fn kill_slowly(point: &Point, trace: &Path) {
    // The trace goes with its directory, when the house is done.
    while let Ok(text) = fs::read(trace) {
        if let Some(thread) = caller_of(point, &String::from_utf8_lossy(&text)) {
            thread::sleep(DELAY / 3);
            // The thread is held up in its call: its number cannot be another's.
            let _ = Command::new("kill").args(["-KILL", &thread]).status();
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The thread that has come to `point`.
fn caller_of(point: &Point, trace: &str) -> Option<String> {
    let mut calls = parse(trace).filter(|(_, name, _)| *name == point.name);
    // Only what the medium's helper calls is ever slow: one thread.
    let (thread, ..) = calls.nth(point.nth - 1)?;
    Some(thread.to_owned())
}

/// The calls in `trace`, in their order, with the place of each in its own count.
pub(crate) fn calls(trace: &Path, ends: Ends) -> Vec<(Class, Point)> {
    let text = fs::read(trace).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut counts = BTreeMap::new();
    let mut calls: Vec<(Class, Point)> = Vec::new();
    for (thread, name, arguments) in parse(&text) {
        let nth = counts
            .entry((thread.to_owned(), name.to_owned()))
            .or_insert(0);
        *nth += 1;
        let point = Point {
            name: name.to_owned(),
            nth: *nth,
            slow: false,
        };
        let class = class(name, arguments, ends);
        let written = calls
            .iter_mut()
            .rev()
            .find(|(class, _)| MEDIUM.contains(class));
        if let (Class::Sync, Some((last @ Class::Write, _))) = (class, written) {
            *last = Class::Commit;
        }
        calls.push((class, point));
    }
    calls
}

/// Thread, name and arguments of each call.
fn parse(trace: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    trace.lines().filter_map(|line| {
        // 4711  write(9<TCP:[127.0.0.1:40000->127.0.0.1:6110]>, ""..., 6) = 6
        let (thread, call) = line.trim_start().split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        let known = CALLS.split(',').any(|one| one == name);
        known.then_some((thread, name, arguments))
    })
}

fn class(name: &str, arguments: &str, ends: Ends) -> Class {
    match name {
        "pwrite64" => return Class::Write,
        "fdatasync" | "fsync" => return Class::Sync,
        _ => {}
    }
    // 9<TCP:[from->to]>, ""..., 6: whose port stands on which side depends on who has called.
    let (pair, rest) = arguments.split_once("]>").unwrap_or_default();
    let pair = format!("{pair}]");
    let octets = rest.trim_matches(|c: char| !c.is_ascii_digit());
    let octets = octets.split(')').next().unwrap_or_default();
    let octets: usize = octets.parse().unwrap_or(0);
    let end = |address: SocketAddr| format!(":{}", address.port());
    if pair.contains(&format!("{}]", end(ends.lan))) {
        return Class::Lan;
    }
    if pair.contains(&format!("{}-", end(ends.phone))) {
        return if octets > REPLY {
            Class::Body
        } else {
            Class::Reply
        };
    }
    Class::Other
}

const MEDIUM: [Class; 3] = [Class::Write, Class::Commit, Class::Sync];
/// How long a slow call is held up: more than enough to answer a caller.
const DELAY: Duration = Duration::from_millis(600);
/// Longer than any answer but a mail, a listing or a header.
const REPLY: usize = 100;
/// All ways in which the program gives octets away.
const CALLS: &str = "pwrite64,fdatasync,fsync,write,sendto,rename";
