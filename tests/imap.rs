//! The gateway at a real IMAP server: the whole of it, from the mails to the caller.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use core::net::SocketAddr;

use support::Account;
use support::corpus::{self, Mail};
use support::dovecot::{Dovecot, Settings};
use support::gateway::{Gateway, user_of};
use support::mails::{assert_same, with_crlf};
use support::pop3;
use support::relay::Relay;

/// A server with `mails` in alice's inbox, and a gateway that has her as a user, with a relay.
fn house(mails: &[Mail], more: &str) -> (Dovecot, Relay, Gateway) {
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let relay = Relay::start(dovecot.imap());
    let gateway = Gateway::start(&user(&dovecot, relay.address, "", more));
    (dovecot, relay, gateway)
}

fn user(dovecot: &Dovecot, address: SocketAddr, mailbox: &str, more: &str) -> String {
    let account = Account {
        address,
        ..dovecot.account("alice")
    };
    let imap = user_of(&account).replace("pop3://", "imap://");
    imap.replace(" login", &format!("{mailbox} login")) + more
}

fn offered(gateway: &Gateway) -> Vec<Vec<u8>> {
    let mails = pop3::fetch(&gateway.account("alice")).expect("a call");
    let exact = mails.iter().all(|mail| mail.listed == mail.octets.len());
    assert!(exact, "sizes are those of what is sent");
    mails.into_iter().map(|mail| mail.octets).collect()
}

/// Visits, and gives what the gateway says of it.
fn visit(gateway: &Gateway) -> String {
    gateway.poll("alice");
    let log = gateway.log();
    let visits = log.iter().rfind(|line| line.contains("visit"));
    visits.cloned().unwrap_or_default()
}

/// How many mails the largest test has; `RINGMAIL_MAILS` in the environment says another number.
fn many() -> usize {
    let wanted = std::env::var("RINGMAIL_MAILS").ok();
    wanted.map_or(60, |number| number.parse().expect("a number"))
}

fn sent(mails: &[Mail]) -> Vec<Vec<u8>> {
    mails.iter().map(Mail::sent).collect()
}

#[test]
fn all_comes_as_it_is_and_the_server_notices_nothing() {
    // A literal holds no NUL (RFC 3501 §9, `literal`): Dovecot sends another octet in its place.
    let mails = corpus::mails(31, many(), |quirk| quirk != corpus::Quirk::Nul);
    let (mut dovecot, relay, gateway) = house(&mails, "");
    let before = dovecot.maildir("alice").snapshot();
    assert_same(&offered(&gateway), &sent(&mails));
    let after = dovecot.maildir("alice").snapshot();
    assert_eq!(after.mails, before.mails, "no trace");
    assert_eq!(after.places, before.places, "no trace");

    // A poll without a change costs next to nothing, however many mails there are.
    relay.take();
    let said = visit(&gateway);
    let wire = relay.take();
    assert!(said.contains("0 new, 0 copied"), "{said}");
    assert!(wire <= 1024, "{wire} octets");
    println!(
        "a poll without a change: {wire} octets, {} mails",
        mails.len()
    );

    // Read at the desk: by a mark, and by going away. A flag that says nothing is no reading.
    let names = dovecot.maildir("alice").names();
    dovecot.maildir("alice").mark_read(&names[0]);
    dovecot.maildir("alice").remove(&names[1]);
    assert!(!visit(&gateway).contains("failed"));
    assert_same(&offered(&gateway), &sent(&mails[2..]));
    // And again unread.
    let read = dovecot.maildir("alice").snapshot();
    dovecot.maildir("alice").mark_unread(&names[0]);
    assert_ne!(dovecot.maildir("alice").snapshot(), read);
    visit(&gateway);
    let unread = [&mails[..1], &mails[2..]].concat();
    assert_same(&offered(&gateway), &sent(&unread));
}

#[test]
fn a_server_that_lost_its_numbers_costs_no_mail_twice() {
    let mails = corpus::mails(32, 30, |quirk| quirk == corpus::Quirk::Plain);
    let (mut dovecot, relay, gateway) = house(&mails, "");
    let first = pop3::fetch(&gateway.account("alice")).unwrap();
    assert_eq!(first.len(), 30);
    dovecot.stop();
    dovecot.maildir("alice").forget_numbers();
    dovecot.start_again();
    relay.take();
    let said = visit(&gateway);
    assert!(said.contains("30 renamed"), "{said}");
    assert!(said.contains(" 0 copied"), "{said}");
    // The same mails under the same unique-ids.
    let second = pop3::fetch(&gateway.account("alice")).unwrap();
    assert_eq!(second, first);
}

#[test]
fn marks_count_only_where_the_owner_says_so() {
    let mails = corpus::mails(33, 6, |quirk| quirk == corpus::Quirk::Plain);
    for (more, left) in [("", 3), ("user alice seen ignore\n", 6)] {
        let (mut dovecot, relay, gateway) = house(&mails, more);
        let names = dovecot.maildir("alice").names();
        for name in names.iter().take(3) {
            dovecot.maildir("alice").mark_read(name);
        }
        let got = offered(&gateway);
        assert_same(&got, &sent(&mails[6 - left..]));
        visit(&gateway);
        relay.take();
        visit(&gateway);
        assert!(relay.take() <= 1024);
    }
}

#[test]
fn another_mailbox_and_one_that_is_not_there() {
    let mut dovecot = Dovecot::start(Settings::default());
    let mails = corpus::mails(34, 4, |quirk| quirk == corpus::Quirk::Plain);
    for mail in &mails {
        let name = dovecot.maildir("alice").deliver(&mail.stored);
        dovecot.maildir("alice").file_away(&name);
    }
    let address = dovecot.imap();
    let gateway = Gateway::start(&user(&dovecot, address, "/Archive", ""));
    assert_same(&offered(&gateway), &sent(&mails));
    let gateway = Gateway::start(&user(&dovecot, address, "/Nowhere", ""));
    let said = visit(&gateway);
    assert!(said.contains("EXAMINE was refused"), "{said}");
}

/// A mail of `lines` lines, some of which begin with a dot.
fn large(lines: usize) -> Vec<u8> {
    let mut mail = b"From: bob@example.org\nSubject: large\n\n".to_vec();
    for number in 0..lines {
        let dot = if number % 7 == 0 { "." } else { "" };
        mail.extend(format!("{dot}{number:010} {}\n", "x".repeat(number % 90)).bytes());
    }
    mail
}

/// Design 2.9: what the ring has no room for is sent as it comes from the server.
#[test]
fn a_mail_larger_than_the_ring_is_streamed_and_nothing_of_it_stored() {
    let mails = corpus::mails(35, 3, |quirk| quirk == corpus::Quirk::Plain);
    let mut dovecot = Dovecot::start(Settings {
        no_flag_updates: true,
        ..Settings::default()
    });
    let large = large(100_000);
    assert!(large.len() > 5 << 20);
    dovecot.maildir("alice").deliver(&mails[0].stored);
    dovecot.maildir("alice").deliver(&large);
    dovecot.maildir("alice").deliver(&mails[1].stored);
    let before = dovecot.maildir("alice").snapshot();
    let imap = user(&dovecot, dovecot.imap(), "", "");
    let pop3 = user_of(&dovecot.account("alice")) + "user alice large stream\n";
    for config in [imap, pop3] {
        streams(&config, &mails, &large);
        let after = dovecot.maildir("alice").snapshot();
        assert_eq!(
            (after.mails, after.places),
            (before.mails.clone(), before.places.clone())
        );
    }
}

fn streams(config: &str, mails: &[Mail], large: &[u8]) {
    let gateway = Gateway::with_ring("4M", config);
    let mut expected = sent(&mails[..2]);
    expected.push(with_crlf(large));
    // A look at its beginning goes by; asked for again, it begins anew.
    let mut session = pop3::Session::login(&gateway.account("alice")).expect("a call");
    let listed = session.listing("LIST").unwrap();
    let size = |entry: &&(usize, String)| entry.1.parse::<usize>().unwrap();
    let (number, _) = listed.iter().max_by_key(size).unwrap();
    session.ask(&format!("TOP {number} 1")).unwrap();
    let begun = session.lines().unwrap();
    assert!(expected[2].starts_with(&begun) && begun.len() < 200);
    let mails = session.all().expect("all mails");
    session.quit().expect("a good end");
    let got: Vec<Vec<u8>> = mails.into_iter().map(|mail| mail.octets).collect();
    assert_same(&got, &expected);
    let log = gateway.log();
    assert_eq!(log.iter().find(|line| line.contains("failed")), None);
}
