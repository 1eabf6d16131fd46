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
use support::dovecot::{Dovecot, Settings, dovecot_sends, sent_by_dovecot};
use support::gateway::{Gateway, VirtualModem, user_of};
use support::maildir::Snapshot;
use support::mails::assert_same;
use support::pop3::{self, Session};

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

/// The same mails by the phone number, which are kept, and by the terminal of a modem, which are
/// deleted then.
fn caller_gets_all(caller: Caller, seed: u64) {
    let wanted = |quirk| dovecot_sends(quirk) && caller.preserves(quirk);
    let mails = corpus::mails(seed, 40, wanted);
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in &mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let modem = VirtualModem::start(&[]);
    let line = format!("line two device {}\n", modem.tty().display());
    let gateway = Gateway::start(&(line + &user_of(&dovecot.account("alice"))));
    let phone = gateway.account("alice");
    let terminal = Account {
        address: modem.phone(),
        ..phone.clone()
    };
    let expected: Vec<_> = mails
        .iter()
        .map(|mail| caller.stores(&sent_by_dovecot(mail)))
        .collect();
    assert_same(&caller.call(&phone, 40, Then::Keep), &expected);
    // A caller is gone before the modem has hung up.
    gateway.wait_for_ends(1);
    let before = dovecot.maildir("alice").snapshot();
    assert_same(&caller.call(&terminal, 40, Then::Delete), &expected);
    gateway.wait_for_ends(2);
    // What was taken is not sent again, and the server knows nothing of it.
    assert_eq!(octets(listen(&phone)), [[0; 0]; 0]);
    assert_eq!(dovecot.maildir("alice").snapshot().mails, before.mails);
    let counts = dovecot.counts(3);
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

/// How many mails the largest test has; `RINGMAIL_MAILS` in the environment says another number.
fn many() -> usize {
    let wanted = std::env::var("RINGMAIL_MAILS").ok();
    wanted.map_or(1000, |number| number.parse().expect("a number"))
}

#[test]
fn a_thousand_mails_come_as_the_server_sends_them_and_it_notices_nothing() {
    let count = many().max(100);
    let mails = corpus::bounded(23, count, 22 << 20, dovecot_sends);
    let mut dovecot = Dovecot::start(Settings {
        no_flag_updates: true,
        ..Settings::default()
    });
    for mail in &mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let lan = dovecot.account("alice");
    // The second login still writes down what the first saw.
    let sent = octets(pop3::fetch(&lan).unwrap());
    assert_eq!(octets(pop3::fetch(&lan).unwrap()), sent);
    let before = dovecot.maildir("alice").snapshot();
    let mut gateway = Gateway::start(&user_of(&lan));
    let account = gateway.account("alice");
    // While nobody calls and nobody asks, nothing but the LAN itself keeps the visit going.
    gateway.attach("poll alice");
    assert!(gateway.says(&format!("{} copied", count - 1)));

    let mut session = Session::login(&account).unwrap();
    let first = session.all().unwrap();
    assert!(first.iter().all(|mail| mail.listed == mail.octets.len()));
    assert!(octets(first.clone()) == sent, "in the server's own order");
    // Every fourth is taken.
    for number in (1..=count).step_by(4) {
        session.ask(&format!("DELE {number}")).unwrap();
    }
    session.quit().unwrap();
    let after = dovecot.maildir("alice").snapshot();
    assert_eq!(after.places, before.places, "no trace");
    assert!(after.mails == before.mails, "no trace");
    // Its own notes of what was asked, `dovecot.index.log`, may grow; its list of unique-ids not.
    let notes = |path: &std::path::Path| path.to_string_lossy().starts_with("dovecot.index");
    let others = |snapshot: Snapshot| {
        let others = snapshot.others.into_iter();
        others.filter(|(path, _)| !notes(path)).collect::<Vec<_>>()
    };
    assert_eq!(others(after), others(before), "no trace");

    // At the desk some are deleted and some are filed away; others come.
    let names = dovecot.maildir("alice").names();
    for at in (1..count).step_by(10) {
        dovecot.maildir("alice").remove(&names[at]);
    }
    for at in (2..count).step_by(20) {
        dovecot.maildir("alice").file_away(&names[at]);
    }
    // One with the header of a mail that has gone would be held for that mail under a new id.
    let mut new = corpus::mails(24, 10, |quirk| {
        matches!(quirk, Quirk::Plain | Quirk::EightBit | Quirk::DotLines)
    });
    for (number, mail) in new.iter_mut().enumerate() {
        let id = format!("Message-ID: <{number}@new.example>\n");
        mail.stored.splice(0..0, id.into_bytes());
    }
    for mail in &new {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let stays = |at: &usize| !at.is_multiple_of(4) && at % 10 != 1 && at % 20 != 2;
    let old: Vec<_> = (0..count).filter(stays).collect();
    let mut session = Session::login(&account).unwrap();
    let second = session.all().unwrap();
    assert_eq!(second.len(), old.len() + new.len());
    let (known, fresh) = second.split_at(old.len());
    let same = old.iter().zip(known).all(|(&at, mail)| first[at] == *mail);
    assert!(same, "under the same unique-ids");
    let expected: Vec<_> = new.iter().map(sent_by_dovecot).collect();
    assert_same(&octets(fresh.to_vec()), &expected);
    for number in 1..=second.len() {
        session.ask(&format!("DELE {number}")).unwrap();
    }
    session.quit().unwrap();
    assert_eq!(octets(listen(&account)), [[0; 0]; 0]);

    let counts = dovecot.counts(7);
    assert_eq!((counts.retr, counts.deleted), (2 * count, 0), "{counts:?}");
    // A new id may be looked at (TOP n 0) before it is copied; an old one never is.
    let copied = count + new.len();
    assert!(
        (copied..=copied + new.len()).contains(&counts.top),
        "each was copied once: {counts:?}"
    );
}

/// What poplib gets of a mail that was read at the desk, for each policy: sizes and what `RETR`
/// sends agree, and what is taken is not offered again. Most of the time passes on the lines, so
/// the policies are tried side by side.
#[test]
fn sentence_2_12_what_was_read_at_the_desk_by_each_policy() {
    let policies = ["drop", "notice", "mark header", "mark subject", "mark body"];
    std::thread::scope(|scope| {
        for policy in policies {
            scope.spawn(move || read_at_the_desk(policy));
        }
    });
}

fn read_at_the_desk(policy: &str) {
    const MAILS: [&str; 3] = [
        "From: a@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n",
        "From: b@example.net\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nHi\r\n\
         --x--\r\n",
        "From: c@example.net\r\nX-Long: a\r\n b\r\n\r\n.\r\n..\r\nBye\r\n",
    ];
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in MAILS {
        dovecot.maildir("alice").deliver(mail.as_bytes());
    }
    let config = user_of(&dovecot.account("alice"));
    let gateway = Gateway::start(&format!("{config}\nuser alice read-at-desk {policy}\n"));
    gateway.poll("alice");
    gateway.wait_for("show user alice", "3 waiting here");
    let usual = gateway.account("alice");
    let full = Account {
        user: "alice+full".to_owned(),
        ..usual.clone()
    };
    let mut names = dovecot.maildir("alice").names();
    names.sort_unstable();
    for name in names.iter().take(2) {
        dovecot.maildir("alice").remove(name);
    }
    let is_mail = |octets: &Vec<u8>| MAILS.iter().any(|mail| octets == mail.as_bytes());
    let mails = listen(&usual);
    for mail in &mails {
        assert_eq!(mail.listed, mail.octets.len(), "{policy}: {mail:?}");
    }
    let mails = octets(mails);
    assert_eq!(
        mails.len(),
        if policy == "drop" { 1 } else { 3 },
        "{policy}"
    );
    assert_eq!(
        mails.iter().filter(|mail| is_mail(mail)).count(),
        1,
        "{policy}"
    );
    gateway.wait_for_ends(1);
    assert_same(
        &Caller::Poplib.call(&usual, mails.len(), Then::Delete),
        &mails,
    );
    gateway.wait_for_ends(2);
    // Taken, nothing of it is there any more, but what notices stood for.
    let left = Caller::Poplib.call(&full, 0, Then::Keep);
    assert_eq!(
        left.len(),
        if policy == "notice" { 2 } else { 0 },
        "{policy}"
    );
    assert!(left.iter().all(is_mail), "{policy}");
}
