//! Calls cut on a real terminal: the next caller is served, nothing is lost, nothing comes twice.
//!
//! ```text
//! caller -- TCP -- ringmail vmodem -- pty -- gateway -- Dovecot
//!        ^ cut           ^ unplugged
//! ```
//!
//! A terminal of this kind has no circuits: that the carrier is gone shows by text. Each session is
//! cut when its caller has read so many octets: each 97th by default, those of `RINGMAIL_STRIDE` if
//! that is set. Every octet, and circuits too, are swept in virtual time: `tests/calls.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use support::Account;
use support::dovecot::{Dovecot, Settings};
use support::gateway::{Gateway, VirtualModem};
use support::mails::{difference, with_crlf};
use support::pop3;
use support::process::PATIENCE;

/// Lines on which calls are cut side by side.
const LINES: usize = 8;
const MAILS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Failing {
    /// The caller hangs up; the modem says so.
    CarrierByText,
    /// The modem goes with its terminal, and comes again.
    Unplugged,
}

/// How far a session came.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// Octets that the caller read.
    read: usize,
    quit_said: bool,
    /// The reply to `QUIT` was read whole.
    quit_read: bool,
}

/// One who takes all and deletes it, until `limit` octets are read; the line stays as it is then.
fn take_all(account: &Account, limit: usize) -> (TcpStream, Session) {
    let mut commands = vec![
        format!("USER {}", account.user),
        format!("PASS {}", account.password),
        "UIDL".to_owned(),
    ];
    for number in 1..=MAILS {
        commands.extend([format!("RETR {number}"), format!("DELE {number}")]);
    }
    commands.push("QUIT".to_owned());
    let mut line = TcpStream::connect(account.address).unwrap();
    line.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut session = Session::default();
    let mut reply = Vec::new();
    let mut commands = commands.into_iter();
    let mut said = String::new();
    while session.read < limit {
        let mut octets = [0; 512];
        let most = octets.len().min(limit - session.read);
        let count = line.read(&mut octets[..most]).unwrap_or(0);
        if count == 0 {
            break;
        }
        session.read += count;
        reply.extend(&octets[..count]);
        let has_body = said.starts_with("RETR") || said == "UIDL";
        let end: &[u8] = if has_body { b"\r\n.\r\n" } else { b"\r\n" };
        if !reply.ends_with(end) {
            continue;
        }
        // What the modem says of itself goes before the greeting.
        let text = String::from_utf8_lossy(&reply);
        assert!(text.contains("+OK"), "{said}: {text}");
        reply.clear();
        session.quit_read = said == "QUIT";
        let Some(command) = commands.next() else {
            break;
        };
        line.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        session.quit_said = command == "QUIT";
        said = command;
    }
    (line, session)
}

/// One session cut after `limit` octets, and what the next caller finds; a fault in words.
fn cut(
    failing: Failing,
    limit: usize,
    modem: &mut VirtualModem,
    gateway: &Gateway,
    account: &Account,
    mails: &[Vec<u8>],
) -> Option<String> {
    let (line, session) = take_all(account, limit);
    match failing {
        Failing::CarrierByText => {
            // It may be gone already.
            let _ = line.shutdown(Shutdown::Both);
        }
        Failing::Unplugged => {
            modem.unplug();
            modem.plug_in();
        }
    }
    let offered = match pop3::fetch(account) {
        Ok(offered) => offered,
        Err(error) => return Some(format!("the next caller is not served: {error}")),
    };
    let offered: Vec<_> = offered.into_iter().map(|mail| mail.octets).collect();
    let all = difference(&offered, mails);
    let fault = match (session.quit_said, session.quit_read) {
        (_, true) if offered.is_empty() => None,
        (_, true) => Some("mail comes again".to_owned()),
        // Either all is taken, or nothing.
        (true, false) if offered.is_empty() => None,
        _ => all,
    };
    if offered.is_empty() {
        gateway.attach(&format!("again {}", account.user));
    }
    fault.map(|fault| format!("{failing:?} after {limit}: {session:?}: {fault}"))
}

#[test]
fn calls_cut_on_a_terminal_lose_nothing_and_repeat_nothing() {
    let stride: usize = std::env::var("RINGMAIL_STRIDE").map_or(97, |it| it.parse().unwrap());
    let mut dovecot = Dovecot::start(Settings::default());
    let mails: Vec<Vec<u8>> = (0..MAILS)
        .map(|number| {
            let head = format!("From: ann@example.net\nSubject: mail {number}\n\n");
            (head + ".\nNO CARRIER\n+++\n" + &"x".repeat(150) + "\n").into_bytes()
        })
        .collect();
    for mail in &mails {
        dovecot.maildir("alice").deliver(mail);
    }
    let mails: Vec<_> = mails.iter().map(|mail| with_crlf(mail)).collect();
    let lan = dovecot.account("alice");
    let mut modems: Vec<_> = (0..LINES).map(|_| VirtualModem::start(&[])).collect();
    let mut config = String::new();
    for (number, modem) in modems.iter().enumerate() {
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
    for number in (0..LINES).flat_map(|number| [number, number]) {
        gateway.poll(&format!("u{number}"));
    }
    let account = |number: usize, modem: &VirtualModem| Account {
        address: modem.phone(),
        user: format!("u{number}"),
        password: format!("u{number}-at-the-line"),
    };
    // How long a session is that nobody cuts.
    let first = account(0, &modems[0]);
    let (_, whole) = take_all(&first, usize::MAX);
    assert!(whole.quit_read, "{whole:?}");
    assert!(pop3::fetch(&first).unwrap().is_empty());
    gateway.attach("again u0");

    let cuts: Vec<_> = (1..=whole.read)
        .rev()
        .step_by(stride)
        .flat_map(|limit| [(Failing::CarrierByText, limit), (Failing::Unplugged, limit)])
        .collect();
    let (gateway, cuts, mails) = (&gateway, &cuts, &mails);
    let faults: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = modems
            .iter_mut()
            .enumerate()
            .map(|(number, modem)| {
                let account = account(number, modem);
                scope.spawn(move || {
                    let mine = cuts.iter().skip(number).step_by(LINES);
                    mine.filter_map(|&(failing, limit)| {
                        cut(failing, limit, modem, gateway, &account, mails)
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let log = gateway.log();
    assert!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("\n"),
        log.join("\n")
    );
    // What the cuts were is in the log: calls that were lost, and some that had ended.
    let ended = |words: &str| log.iter().any(|line| line.contains(words));
    assert!(
        ended("carrier lost") && ended("the modem is gone"),
        "{}",
        log.join("\n")
    );
}
