//! strace as the hand that pulls the plug: the program dies at its n-th call of the system.
//!
//! The program runs unmodified. strace stops it where it enters a call, and lets SIGKILL in: that
//! call is never made, all before it was. It counts each call in each thread apart.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::process::Guard;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// A write to the medium.
    Write,
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
    // Not with --seccomp-bpf: the signal gets lost there.
    Guard::start(Path::new("strace"), |command| {
        command.args(["-f", "-qq", "-yy", "-s", "0", "-e", "signal=none"]);
        command
            .args(["-e", &format!("trace={CALLS}"), "-o"])
            .arg(trace);
        if let Some(Point { name, nth }) = point {
            command.args(["-e", &format!("inject={name}:signal=SIGKILL:when={nth}")]);
        }
        command.arg(program).args(arguments);
    })
}

/// The calls in `trace`, in their order, with the place of each in its own count.
pub(crate) fn calls(trace: &Path, ends: Ends) -> Vec<(Class, Point)> {
    let text = fs::read(trace).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        // 4711  write(9<TCP:[127.0.0.1:40000->127.0.0.1:6110]>, ""..., 6) = 6
        let Some((thread, call)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let Some((name, arguments)) = call.trim_start().split_once('(') else {
            continue;
        };
        if !CALLS.split(',').any(|one| one == name) {
            continue;
        }
        let nth = counts
            .entry((thread.to_owned(), name.to_owned()))
            .or_insert(0);
        *nth += 1;
        let point = Point {
            name: name.to_owned(),
            nth: *nth,
        };
        calls.push((class(name, arguments, ends), point));
    }
    calls
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

/// Longer than any answer but a mail, a listing or a header.
const REPLY: usize = 100;
/// All ways in which the program gives octets away.
const CALLS: &str = "pwrite64,fdatasync,fsync,write,sendto,rename";
