//! Dovecot -> gateway -> caller: what comes out is what went in, once, and nobody can tell.
//!
//! The callers and the server are those of `peers.rs`; only the address is another one.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use support::Account;
use support::caller::{Caller, Then};
use support::corpus::{self, Mail, Quirk};
use support::dovecot::{Dovecot, Settings};
use support::gateway::{Gateway, VirtualModem, user_of};
use support::mails::assert_same;
use support::pop3::{self, Session};

/// Dovecot does not stuff a dot that is the first octet of a mail: the mail ends there, for
/// everybody.
fn dovecot_sends(quirk: Quirk) -> bool {
    quirk != Quirk::DotFirst
}

/// What Dovecot sends of `mail`. It stores nothing but sends a line end for a mail without octets.
fn sent_by_dovecot(mail: &Mail) -> Vec<u8> {
    match mail.quirk {
        Quirk::Empty => b"\r\n".to_vec(),
        _ => mail.sent(),
    }
}

/// A server with `mails` in alice's maildrop, and a gateway that has her as a user.
fn house(settings: Settings, mails: &[Mail]) -> (Dovecot, Gateway) {
    let mut dovecot = Dovecot::start(settings);
    for mail in mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let gateway = Gateway::start(&user_of(&dovecot.account("alice")));
    (dovecot, gateway)
}

/// What a plain reader gets in one call; nothing is deleted.
fn listen(account: &Account) -> Vec<pop3::Mail> {
    pop3::fetch(account).unwrap()
}

fn octets(mails: Vec<pop3::Mail>) -> Vec<Vec<u8>> {
    mails.into_iter().map(|mail| mail.octets).collect()
}

fn caller_gets_all(caller: Caller, seed: u64) {
    let wanted = |quirk| dovecot_sends(quirk) && caller.preserves(quirk);
    let mails = corpus::mails(seed, 40, wanted);
    let (mut dovecot, gateway) = house(Settings::default(), &mails);
    let account = gateway.account("alice");
    // The first visit copies; the caller's own then finds everything as it is.
    assert_eq!(listen(&account).len(), 40);
    let before = dovecot.maildir("alice").snapshot();
    let expected: Vec<_> = mails
        .iter()
        .map(|mail| caller.stores(&sent_by_dovecot(mail)))
        .collect();
    assert_same(&caller.call(&account, 40, Then::Delete), &expected);
    // What was taken is not sent again, and the server knows nothing of it.
    assert_eq!(octets(listen(&account)), [[0; 0]; 0]);
    assert_eq!(dovecot.maildir("alice").snapshot().mails, before.mails);
    let counts = dovecot.counts(2);
    assert_eq!(counts.deleted, 0);
    assert_eq!(counts.top + counts.retr, 40, "each was copied once");
}

#[test]
fn curl_gets_all() {
    caller_gets_all(Caller::Curl, 11);
}

#[test]
fn poplib_gets_all() {
    caller_gets_all(Caller::Poplib, 12);
}

#[test]
fn fetchmail_gets_all() {
    caller_gets_all(Caller::Fetchmail, 13);
}

#[test]
fn mutt_gets_all() {
    caller_gets_all(Caller::Mutt, 14);
}

#[test]
fn every_octet_and_every_size_is_right() {
    let mails = corpus::mails(15, 60, dovecot_sends);
    let (_dovecot, gateway) = house(Settings::default(), &mails);
    let got = listen(&gateway.account("alice"));
    for mail in &got {
        assert_eq!(mail.listed, mail.octets.len(), "{}", mail.unique_id);
    }
    let expected: Vec<_> = mails.iter().map(sent_by_dovecot).collect();
    assert_same(&octets(got), &expected);
}

#[test]
fn what_is_read_at_the_desk_between_two_calls_is_not_offered() {
    let mails = corpus::mails(16, 20, dovecot_sends);
    let (mut dovecot, gateway) = house(Settings::default(), &mails);
    let account = gateway.account("alice");
    let first = listen(&account);
    assert_eq!(first.len(), 20);
    let names = dovecot.maildir("alice").names();
    for name in names.iter().step_by(3) {
        dovecot.maildir("alice").remove(name);
    }
    let second = listen(&account);
    let expected: Vec<_> = mails
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 3 != 0)
        .map(|(_, mail)| sent_by_dovecot(mail))
        .collect();
    assert_same(&octets(second.clone()), &expected);
    // The others are the same mails to the caller as before.
    assert!(second.iter().all(|mail| first.contains(mail)));
    let counts = dovecot.counts(2);
    assert_eq!(counts.top + counts.retr, 20, "each was copied once");
}

#[test]
fn new_mail_between_two_calls_comes_and_the_old_is_not_copied_again() {
    let mails = corpus::mails(17, 24, dovecot_sends);
    let (mut dovecot, gateway) = house(Settings::default(), &mails[..20]);
    let account = gateway.account("alice");
    assert_eq!(listen(&account).len(), 20);
    for mail in &mails[20..] {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let expected: Vec<_> = mails.iter().map(sent_by_dovecot).collect();
    assert_same(&octets(listen(&account)), &expected);
    let counts = dovecot.counts(2);
    // A new id may be looked at (TOP n 0) before it is copied; an old one never is.
    assert!(
        (24..=28).contains(&(counts.top + counts.retr)),
        "{counts:?}"
    );
}

#[test]
fn a_visit_leaves_no_trace() {
    for no_flag_updates in [false, true] {
        let mails = corpus::mails(18, 20, dovecot_sends);
        let settings = Settings {
            no_flag_updates,
            ..Settings::default()
        };
        let mut dovecot = Dovecot::start(settings);
        for mail in &mails {
            dovecot.maildir("alice").deliver(&mail.stored);
        }
        let lan = dovecot.account("alice");
        // What any login leaves behind is not ours. The second still writes down what the first saw.
        for _ in 0..2 {
            let mut session = Session::login(&lan).unwrap();
            session.listing("UIDL").unwrap();
            session.quit().unwrap();
        }
        let before = dovecot.maildir("alice").snapshot();
        let gateway = Gateway::start(&user_of(&lan));
        let account = gateway.account("alice");
        assert_eq!(listen(&account).len(), 20);
        assert_eq!(dovecot.maildir("alice").snapshot().mails, before.mails);
        Caller::Poplib.call(&account, 20, Then::Delete);
        assert_eq!(dovecot.maildir("alice").snapshot().mails, before.mails);
    }
}

#[test]
fn two_users_never_see_each_others_mail() {
    let mails = corpus::mails(19, 20, dovecot_sends);
    let mut dovecot = Dovecot::start(Settings::default());
    for (number, mail) in mails.iter().enumerate() {
        let user = ["alice", "bob"][number % 2];
        dovecot.maildir(user).deliver(&mail.stored);
    }
    let users = ["alice", "bob"].map(|user| user_of(&dovecot.account(user)));
    let gateway = Gateway::start(&users.concat());
    for (turn, user) in ["alice", "bob"].into_iter().enumerate() {
        let own = mails.iter().skip(turn).step_by(2);
        let expected: Vec<_> = own.map(sent_by_dovecot).collect();
        assert_same(&octets(listen(&gateway.account(user))), &expected);
    }
    let mut stranger = gateway.account("alice");
    stranger.password = gateway.account("bob").password;
    assert!(Session::login(&stranger).is_err());
}

#[test]
fn a_dropped_line_takes_nothing_and_a_crash_loses_nothing() {
    let mails = corpus::mails(20, 10, dovecot_sends);
    let (dovecot, mut gateway) = house(Settings::default(), &mails);
    let account = gateway.account("alice");
    let mut session = Session::login(&account).unwrap();
    session.ask("RETR 1").unwrap();
    session.lines().unwrap();
    session.ask("DELE 1").unwrap();
    // No QUIT: the carrier is gone.
    drop(session);
    gateway.crash();
    let mut session = Session::login(&account).unwrap();
    let offered = session.all().unwrap();
    assert_eq!(offered.len(), 10);
    session.ask("DELE 1").unwrap();
    session.quit().unwrap();
    // The reply to QUIT was read: whatever happens now, that mail is not sent again.
    gateway.crash();
    let left = listen(&account);
    assert_eq!(left, offered[1..]);
    let counts = dovecot.counts(2);
    assert_eq!(counts.top + counts.retr, 10, "each was copied once");
    assert!(gateway.terminate().success(), "SIGTERM ends it cleanly");
}

#[test]
fn the_server_is_away_and_the_caller_gets_what_was_copied() {
    let mails = corpus::mails(21, 10, dovecot_sends);
    let (mut dovecot, gateway) = house(Settings::default(), &mails);
    let account = gateway.account("alice");
    let first = listen(&account);
    dovecot.stop();
    assert_eq!(listen(&account), first);
}

#[test]
fn over_a_serial_line_it_is_the_same() {
    let mails = corpus::mails(22, 20, dovecot_sends);
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in &mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let modem = VirtualModem::start(&[]);
    let line = format!("line two device {}\n", modem.tty().display());
    let gateway = Gateway::start(&(line + &user_of(&dovecot.account("alice"))));
    let mut account = gateway.account("alice");
    account.address = modem.phone();
    let expected: Vec<_> = mails.iter().map(sent_by_dovecot).collect();
    assert_same(&octets(listen(&account)), &expected);
}
