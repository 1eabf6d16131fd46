//! Stock callers over lines of all speeds and delays: every mail octet by octet, deletions as asked.
//!
//! ```text
//! caller -- TCP -- ringmail vmodem --speed --latency -- pty -- gateway -- Dovecot
//! ```
//!
//! The calls are made side by side, each on a line of its own: what a call waits for is its line. By
//! default each caller meets each speed and each delay once; `RINGMAIL_LINES=all` in the environment
//! makes every caller meet every pair of them.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::thread;

use support::Account;
use support::caller::{Caller, Then};
use support::dovecot::{Dovecot, Settings};
use support::gateway::{Gateway, VirtualModem};
use support::mails::{difference, with_crlf};
use support::pop3;

const SPEEDS: [u32; 3] = [2400, 33_600, 115_200];
const DELAYS: [u32; 3] = [0, 100, 900];
/// Lines of one gateway.
const LINES: usize = 8;

/// One caller on one line.
#[derive(Clone, Copy, Debug)]
struct Call {
    caller: Caller,
    speed: u32,
    delay: u32,
}

/// Each caller with each speed and each delay once, or with every pair of them.
fn calls() -> Vec<Call> {
    let all = std::env::var("RINGMAIL_LINES").is_ok_and(|lines| lines == "all");
    let mut calls = Vec::new();
    for (number, caller) in Caller::ALL.into_iter().enumerate() {
        for (row, speed) in SPEEDS.into_iter().enumerate() {
            for (column, delay) in DELAYS.into_iter().enumerate() {
                if all || (row + column + number) % 3 == 0 {
                    calls.push(Call {
                        caller,
                        speed,
                        delay,
                    });
                }
            }
        }
    }
    calls
}

/// Small enough for 2400 bit/s, and with what a line and a reader may take for their own.
fn mails(large: bool) -> Vec<Vec<u8>> {
    (0..2)
        .map(|number| {
            let mut mail = format!(
                "From: ann@example.net\nDate: Mon, 5 Jan 2026 10:00:0{number} +0000\n\
                 Subject: mail {number}\nMessage-ID: <{number}@example.net>\n\n\
                 .\n..\n+++\nNO CARRIER\n+++ATH0\nRING\n-ERR\n"
            )
            .into_bytes();
            mail.extend(b"Gr\xfc\xdfe\n");
            for line in 0..if large { 300 } else { 2 } {
                mail.extend(format!("{line}: the quick brown fox jumps over it\n").bytes());
            }
            mail
        })
        .collect()
}

/// What came of a call, if it is not what should have.
fn fault(call: Call, account: &Account, expected: &[Vec<u8>]) -> Option<String> {
    let got = thread::scope(|scope| {
        let calling = scope.spawn(|| call.caller.call(account, expected.len(), Then::Delete));
        calling.join().map_err(|_| format!("{call:?} failed"))
    });
    let expected: Vec<_> = expected
        .iter()
        .map(|mail| call.caller.stores(mail))
        .collect();
    match got {
        Err(fault) => Some(fault),
        Ok(got) => difference(&got, &expected).map(|fault| format!("{call:?}: {fault}")),
    }
}

/// As many calls as a gateway has lines, each by a user of its own.
fn side_by_side(calls: &[Call], dovecot: &Dovecot, small: &[Vec<u8>], large: &[Vec<u8>]) {
    let modems: Vec<_> = calls
        .iter()
        .map(|call| {
            let (speed, delay) = (call.speed.to_string(), call.delay.to_string());
            VirtualModem::start(&["--speed", &speed, "--latency", &delay])
        })
        .collect();
    let mut config = String::new();
    for (number, (modem, call)) in modems.iter().zip(calls).enumerate() {
        let lan = dovecot.account(if call.speed == 2400 { "alice" } else { "bob" });
        config += &format!(
            "line l{number} device {tty}\n\
             user add u{number} password u{number}-at-the-line\n\
             user u{number} source pop3://{address} login {user} password {password}\n\
             user u{number} tls off\nuser u{number} poll off\n\
             user u{number} poll at-login off\n",
            tty = modem.tty().display(),
            address = lan.address,
            user = lan.user,
            password = lan.password,
        );
    }
    let gateway = Gateway::without_phone(&config);
    // The first visit copies one mail and lists again; the second has copied all.
    for number in (0..calls.len()).flat_map(|number| [number, number]) {
        gateway.poll(&format!("u{number}"));
    }
    let accounts: Vec<_> = modems
        .iter()
        .enumerate()
        .map(|(number, modem)| Account {
            address: modem.phone(),
            user: format!("u{number}"),
            password: format!("u{number}-at-the-line"),
        })
        .collect();
    let faults: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = calls
            .iter()
            .zip(&accounts)
            .map(|(&call, account)| {
                let expected = if call.speed == 2400 { small } else { large };
                scope.spawn(move || fault(call, account, expected))
            })
            .collect();
        callers
            .into_iter()
            .filter_map(|caller| caller.join().unwrap())
            .collect()
    });
    assert!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("\n"),
        gateway.log().join("\n")
    );
    gateway.wait_for_ends(calls.len());
    // As asked: nothing is left for anybody.
    for (call, account) in calls
        .iter()
        .zip(&accounts)
        .filter(|(call, _)| call.delay == 0)
    {
        let left = pop3::fetch(account).unwrap();
        assert!(left.is_empty(), "{call:?}: {} left", left.len());
    }
}

#[test]
fn every_caller_gets_all_at_every_speed_and_every_delay() {
    let mut dovecot = Dovecot::start(Settings::default());
    let (small, large) = (mails(false), mails(true));
    for (user, mails) in [("alice", &small), ("bob", &large)] {
        for mail in mails {
            dovecot.maildir(user).deliver(mail);
        }
    }
    let sent =
        |mails: Vec<Vec<u8>>| -> Vec<_> { mails.iter().map(|mail| with_crlf(mail)).collect() };
    let (small, large) = (sent(small), sent(large));
    let calls = calls();
    // All at once by default; the whole product in portions that a small machine can bear.
    for portion in calls.chunks(5 * LINES) {
        thread::scope(|scope| {
            let houses: Vec<_> = portion
                .chunks(LINES)
                .map(|calls| scope.spawn(|| side_by_side(calls, &dovecot, &small, &large)))
                .collect();
            for house in houses {
                house.join().unwrap();
            }
        });
    }
}
