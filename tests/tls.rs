//! TLS with a real server: by both protocols, from the first octet or after a word in clear.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use core::net::SocketAddr;
use std::fs;
use std::path::PathBuf;

use support::certificates::{ALWAYS, Authority, Identity, self_signed};
use support::corpus::{self, Mail, Quirk};
use support::dovecot::{Dovecot, Settings};
use support::gateway::Gateway;
use support::mails::assert_same;
use support::pop3;
use support::temp::TempDir;
use support::wire::Wire;

/// The four doors of a server, and how the gateway calls them.
const SCHEMES: [&str; 4] = ["pop3", "pop3s", "imap", "imaps"];

fn door(dovecot: &Dovecot, scheme: &str) -> SocketAddr {
    match scheme {
        "pop3" => dovecot.pop3(),
        "pop3s" => dovecot.pop3s(),
        "imap" => dovecot.imap(),
        _ => dovecot.imaps(),
    }
}

/// alice, whose mail lies behind `door` at a host of this name; she is visited when she logs in.
fn user(scheme: &str, host: &str, door: SocketAddr, more: &str) -> String {
    let port = door.port();
    format!(
        "user add alice password alice-at-the-line
user alice source {scheme}://{host}:{port} login alice password alicepw
user alice poll off
user alice poll at-login 60s
{more}
"
    )
}

fn dovecot(identity: Option<&'static Identity>, mails: &[Mail]) -> Dovecot {
    let mut dovecot = Dovecot::start(Settings {
        identity,
        ..Settings::default()
    });
    for mail in mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    dovecot
}

fn plain_mails(seed: u64, count: usize) -> Vec<Mail> {
    corpus::mails(seed, count, |quirk| quirk == Quirk::Plain)
}

fn sent(mails: &[Mail]) -> Vec<Vec<u8>> {
    mails.iter().map(Mail::sent).collect()
}

fn offered(gateway: &Gateway) -> Vec<Vec<u8>> {
    let mails = pop3::fetch(&gateway.account("alice")).expect("a call");
    mails.into_iter().map(|mail| mail.octets).collect()
}

/// Visits, and gives what `show user` says of it.
fn visit(gateway: &Gateway) -> String {
    gateway.poll("alice");
    gateway.attach("show user alice")
}

/// Every login that the server has noted, by a way that `has` these words.
fn assert_logins(dovecot: &Dovecot, has: &str) {
    let log = dovecot.log();
    let logins: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" Login: "))
        .collect();
    assert!(!logins.is_empty());
    for login in logins {
        assert!(login.contains(has), "{login}");
    }
}

/// A file of authorities, and the directory it lies in.
fn file(pem: &str) -> (TempDir, PathBuf) {
    let dir = TempDir::new();
    let path = dir.join("ca.pem");
    fs::write(&path, pem).unwrap();
    (dir, path)
}

#[test]
fn all_comes_by_each_door_with_a_pinned_certificate() {
    // For another host, and nobody vouches for it: a pin decides alone.
    let identity = self_signed(&["elsewhere.example"]);
    // A literal of IMAP holds no NUL, and Dovecot does not stuff a dot at the beginning.
    let mut mails = corpus::mails(71, 40, |quirk| {
        !matches!(quirk, Quirk::Nul | Quirk::DotFirst | Quirk::Empty)
    });
    mails.truncate(40);
    for scheme in SCHEMES {
        let dovecot = dovecot(Some(identity), &mails);
        let pin = format!("user alice pin {}", identity.fingerprint());
        let door = door(&dovecot, scheme);
        let gateway = Gateway::with_ring("4M", &user(scheme, "127.0.0.1", door, &pin));
        assert_same(&offered(&gateway), &sent(&mails));
        let log = gateway.log();
        let secure = log.iter().any(|line| line.contains("by TLS"));
        assert!(secure, "{scheme}: {log:?}");
        assert_logins(&dovecot, "TLS");
        // Another visit takes up the session, and finds nothing new.
        let said = visit(&gateway);
        assert!(said.contains("0 new"), "{scheme}: {said}");
    }
}

#[test]
fn a_large_mail_comes_whole() {
    let identity = self_signed(&["localhost"]);
    let pin = format!("user alice pin {}", identity.fingerprint());
    let mut mail = b"Subject: large\nFrom: a@b\nDate: Mon, 5 Jan 2026 10:00:00 +0000\n\n".to_vec();
    for number in 0..120_000 {
        mail.extend(format!("line {number} of a mail that many records carry\n").as_bytes());
    }
    let sent = support::mails::with_crlf(&mail);
    for scheme in ["pop3s", "imaps"] {
        let mut dovecot = dovecot(Some(identity), &[]);
        dovecot.maildir("alice").deliver(&mail);
        let door = door(&dovecot, scheme);
        let gateway = Gateway::start(&user(scheme, "localhost", door, &pin));
        assert_same(&offered(&gateway), core::slice::from_ref(&sent));
    }
}

#[test]
fn an_authority_of_ones_own_vouches_for_a_name() {
    let authority = Authority::new();
    let identity = authority.sign(&["localhost", "127.0.0.1"], ALWAYS);
    let (_dir, path) = file(&authority.pem());
    let ca = format!("user alice ca {}\nuser alice tls required", path.display());
    let mails = plain_mails(72, 3);
    for (scheme, host) in SCHEMES
        .into_iter()
        .zip(["localhost", "127.0.0.1"].iter().cycle())
    {
        let dovecot = dovecot(Some(identity), &mails);
        let door = door(&dovecot, scheme);
        let gateway = Gateway::with_ring("4M", &user(scheme, host, door, &ca));
        assert_same(&offered(&gateway), &sent(&mails));
        assert_logins(&dovecot, "TLS");
    }
}

#[test]
fn an_authority_of_the_machine_vouches_for_a_name() {
    let authority = Authority::new();
    let identity = authority.sign(&["localhost"], ALWAYS);
    let mails = plain_mails(74, 3);
    for scheme in SCHEMES {
        let dovecot = dovecot(Some(identity), &mails);
        let lines = user(scheme, "localhost", door(&dovecot, scheme), "");
        let gateway = Gateway::trusting(&authority.pem(), &lines);
        assert_same(&offered(&gateway), &sent(&mails));
        assert_logins(&dovecot, "TLS");
    }
    // Another machine does not know that authority.
    let dovecot = dovecot(Some(identity), &mails);
    let lines = user("pop3s", "localhost", dovecot.pop3s(), "");
    let gateway = Gateway::trusting(&Authority::new().pem(), &lines);
    let said = visit(&gateway);
    assert!(said.contains("user alice pin "), "{said}");
}

/// The gateway says what is wrong, sends no password, and what it advises is obeyed: then it works.
fn refused(dovecot: &Dovecot, identity: &Identity, scheme: &str, more: &str, words: &str) {
    let logins = |dovecot: &Dovecot| dovecot.log().matches(" Login: ").count();
    let before = logins(dovecot);
    let lines = user(scheme, "localhost", door(dovecot, scheme), more);
    let gateway = Gateway::with_ring("4M", &lines);
    let said = visit(&gateway);
    assert!(said.contains(words), "{scheme}: {said}");
    assert_eq!(logins(dovecot), before, "nobody was told who we are");
    let advised = said.split("user alice pin ").nth(1);
    let Some(advised) = advised.and_then(|text| text.split([',', '\r', '\n']).next()) else {
        return;
    };
    let pin = identity.fingerprint().replace(':', "").to_lowercase();
    assert_eq!(advised.replace(':', ""), pin);
    gateway.attach(&format!("user alice pin {advised}"));
    assert!(visit(&gateway).contains("by TLS"), "{:?}", gateway.log());
    assert!(logins(dovecot) > before);
}

#[test]
fn a_certificate_that_is_not_good_is_refused_and_the_fix_is_named() {
    let authority = Authority::new();
    let (_dir, path) = file(&authority.pem());
    let ca = format!("user alice ca {}", path.display());
    let lone = self_signed(&["localhost"]);
    let pin = format!(
        "user alice pin {}",
        self_signed(&["localhost"]).fingerprint()
    );
    let unknown = "signed by an unknown authority";
    let server = dovecot(Some(lone), &plain_mails(73, 1));
    for (scheme, more, words) in [
        ("pop3", "", unknown),
        ("imaps", "", unknown),
        ("imap", &ca, unknown),
        ("pop3s", &pin, "another certificate than the pinned one"),
        ("imap", &pin, "another certificate than the pinned one"),
        ("pop3s", "user alice ca /absent.pem", "cannot be read"),
    ] {
        refused(&server, lone, scheme, more, words);
    }
    let signed = |names: &[&str], years| authority.sign(names, years);
    for (identity, doors, words) in [
        (
            signed(&["mail.example"], ALWAYS),
            &["pop3s", "imap"][..],
            "made for another host",
        ),
        (
            signed(&["localhost"], (1990, 2020)),
            &["pop3", "imaps"],
            "it was valid until 2020-01-01, this clock says 2",
        ),
        (
            signed(&["localhost"], (2140, 2200)),
            &["imap"],
            "it is valid from 2140-01-01, this clock says 2",
        ),
    ] {
        let server = dovecot(Some(identity), &plain_mails(73, 1));
        for scheme in doors {
            refused(&server, identity, scheme, &ca, words);
        }
    }
}

#[test]
fn tls_that_is_wanted_and_not_there_ends_the_visit_before_a_word() {
    let dovecot = dovecot(None, &plain_mails(74, 1));
    let wanted = "user alice tls required";
    for (scheme, door, more, words) in [
        ("pop3", dovecot.pop3(), wanted, "does not offer TLS"),
        ("imap", dovecot.imap(), wanted, "does not offer TLS"),
        // A URL with an `s` at a door without.
        ("pop3s", dovecot.pop3(), "", "is no TLS"),
        ("imaps", dovecot.imap(), "user alice tls off", "is no TLS"),
    ] {
        let gateway = Gateway::with_ring("4M", &user(scheme, "127.0.0.1", door, more));
        let said = visit(&gateway);
        assert!(said.contains(words), "{scheme}: {said}");
    }
    let log = dovecot.log();
    assert!(!log.contains("Login: "), "{log}");
    // Where it need not be, a server on this machine is asked without.
    let gateway = Gateway::with_ring("4M", &user("pop3", "127.0.0.1", dovecot.pop3(), ""));
    assert_eq!(offered(&gateway).len(), 1);
}

#[test]
fn the_strongest_way_to_log_in_is_taken() {
    let all = "auth_mechanisms = plain login cram-md5 scram-sha-256 apop\n";
    let weak = "auth_mechanisms = plain login cram-md5 apop\n";
    let weaker = "auth_mechanisms = plain login apop\n";
    let mails = plain_mails(75, 2);
    for (more, pop3, imap) in [
        (all, "method=SCRAM-SHA-256", "method=SCRAM-SHA-256"),
        (weak, "method=CRAM-MD5", "method=CRAM-MD5"),
        (weaker, "method=APOP", "method=PLAIN"),
    ] {
        for (scheme, method) in [("pop3", pop3), ("imap", imap)] {
            let mut dovecot = Dovecot::start(Settings {
                more,
                ..Settings::default()
            });
            for mail in &mails {
                dovecot.maildir("alice").deliver(&mail.stored);
            }
            let door = door(&dovecot, scheme);
            let gateway = Gateway::with_ring("4M", &user(scheme, "127.0.0.1", door, ""));
            assert_same(&offered(&gateway), &sent(&mails));
            assert_logins(&dovecot, method);
        }
    }
    // A wrong password is refused, and stops the visits.
    let dovecot = Dovecot::start(Settings {
        more: all,
        ..Settings::default()
    });
    let wrong = user("pop3", "127.0.0.1", dovecot.pop3(), "").replace("alicepw", "wrong");
    let gateway = Gateway::with_ring("4M", &wrong);
    let said = visit(&gateway);
    assert!(said.contains("was refused"), "{said}");
    assert!(said.contains("stopped: the LAN server refuses"), "{said}");
}

#[test]
fn a_call_is_answered_while_hands_are_shaken() {
    let identity = self_signed(&["localhost"]);
    let mails = plain_mails(76, 3);
    for scheme in ["pop3s", "pop3"] {
        let dovecot = dovecot(Some(identity), &mails);
        let wire = Wire::start(door(&dovecot, scheme));
        let more = format!(
            "user alice pin {}\nuser alice poll at-login off",
            identity.fingerprint()
        );
        let gateway = Gateway::with_ring("4M", &user(scheme, "localhost", wire.address, &more));
        gateway.attach("poll alice");
        // The second of two visits has ended: the first only sees whether the server keeps its mail.
        gateway.wait_for("show log", "2 copied");
        // In the middle of the server's first words of TLS: behind a greeting and a list of
        // capabilities, where those come first.
        wire.hold_after(if scheme == "pop3" { 300 } else { 200 });
        gateway.attach("poll alice");
        wire.wait_held();
        assert_same(&offered(&gateway), &sent(&mails));
        assert!(
            gateway.attach("show user alice").contains("visit"),
            "it goes on"
        );
        // The connection is lost in the middle; nothing is lost by that.
        wire.cut();
        let failed = gateway.wait_for("show user alice", "failed");
        assert!(failed.contains("closed the connection"), "{failed}");
        assert!(visit(&gateway).contains("0 new"));
        assert_same(&offered(&gateway), &sent(&mails));
    }
}

/// The server's octets are cut at many places of a first visit: what is not whole is not believed,
/// and the next visit brings all.
#[test]
fn a_connection_cut_anywhere_costs_time_only() {
    let identity = self_signed(&["localhost"]);
    let mails = plain_mails(77, 4);
    // `RINGMAIL_CUTS` in the environment says another number.
    let wanted = std::env::var("RINGMAIL_CUTS").ok();
    let cuts = wanted.map_or(4, |number| number.parse().expect("a number"));
    let total: usize = mails.iter().map(|mail| mail.sent().len()).sum();
    let dovecot = dovecot(Some(identity), &mails);
    let more = format!(
        "user alice pin {}\nuser alice poll at-login off",
        identity.fingerprint()
    );
    for scheme in ["pop3", "imaps"] {
        let wire = Wire::start(door(&dovecot, scheme));
        let lines = user(scheme, "localhost", wire.address, &more);
        for at in 0..cuts {
            let gateway = Gateway::with_ring("4M", &lines);
            wire.hold_after(1 + at * (total + 1200) / cuts);
            gateway.attach("poll alice");
            wire.wait_held();
            wire.cut();
            // It may have been the last word, which nobody needs.
            gateway.wait_for("show log", "visit");
            // What was copied whole may be offered; nothing that is not.
            let whole = sent(&mails);
            for mail in offered(&gateway) {
                assert!(whole.contains(&mail), "{scheme}, {at}");
            }
            gateway.attach("poll alice");
            gateway.wait_for("show user alice", "4 waiting here");
            assert_same(&offered(&gateway), &whole);
        }
    }
}
