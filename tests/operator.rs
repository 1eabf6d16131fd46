//! What an owner may set and ask, with real peers at both ends.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use support::Account;
use support::corpus::{self, Mail, Quirk};
use support::dovecot::{Dovecot, Settings};
use support::gateway::{self, Gateway, user_of};
use support::pop3::{self, Session};
use support::process::wait_until;

/// `count` ordinary mails of about `octets`.
fn mails(seed: u64, count: usize, octets: usize) -> Vec<Mail> {
    let mut mails = corpus::mails(seed, count, |quirk| quirk == Quirk::Plain);
    for mail in &mut mails {
        let more = octets.saturating_sub(mail.stored.len());
        mail.stored
            .extend(b"All work and no play.\n".repeat(more / 22 + 1));
    }
    mails
}

/// A server with `mails` in alice's maildrop, and a gateway that has her as a user, with `more`
/// lines of configuration.
fn house(more: &str, mails: &[Mail]) -> (Dovecot, Gateway) {
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let gateway = Gateway::start(&(user_of(&dovecot.account("alice")) + more));
    (dovecot, gateway)
}

/// Takes the mails with these numbers whole.
fn read(session: &mut Session, numbers: &[usize]) -> Vec<Vec<u8>> {
    let mut mails = Vec::new();
    for number in numbers {
        session.ask(&format!("RETR {number}")).unwrap();
        mails.push(session.lines().unwrap());
    }
    mails
}

fn unique_ids(session: &mut Session) -> Vec<String> {
    let listing = session.listing("UIDL").unwrap();
    listing.into_iter().map(|(_, id)| id).collect()
}

#[test]
fn taken_by_retr_and_commit_dele_and_again() {
    let mails = mails(31, 8, 1000);
    let (_dovecot, gateway) = house("user alice taken-by retr\n", &mails);
    let account = gateway.account("alice");
    let mut session = Session::login(&account).unwrap();
    let ids = unique_ids(&mut session);
    session.ask("CAPA").unwrap();
    let capabilities = String::from_utf8(session.lines().unwrap()).unwrap();
    assert!(capabilities.contains("EXPIRE 0\r\n"), "{capabilities}");
    read(&mut session, &[1, 2]);
    session.ask("RSET").unwrap();
    read(&mut session, &[3]);
    session.quit().unwrap();

    // Sent before the line dropped: not taken.
    let mut session = Session::login(&account).unwrap();
    assert_eq!(unique_ids(&mut session), [&ids[..2], &ids[3..]].concat());
    read(&mut session, &[1, 2, 3]);
    drop(session);
    let mut session = Session::login(&account).unwrap();
    assert_eq!(unique_ids(&mut session).len(), 7);
    session.quit().unwrap();

    // A DELE counts once a later command shows that its answer came.
    gateway.attach("user alice taken-by dele");
    gateway.attach("user alice commit dele");
    let mut session = Session::login(&account).unwrap();
    session.ask("DELE 1").unwrap();
    wait_until("the DELE to count", || {
        session.ask("NOOP").unwrap();
        let user = gateway.attach("show user alice");
        user.contains(" 2 taken").then_some(())
    });
    // RSET takes back what is not written down yet, and nothing else.
    session.ask("RSET").unwrap();
    drop(session);
    let mut session = Session::login(&account).unwrap();
    assert_eq!(unique_ids(&mut session), [&ids[1..2], &ids[3..]].concat());
    session.quit().unwrap();

    let answer = gateway.attach("again alice");
    assert!(answer.contains("1 mail(s)"), "{answer}");
    let mut session = Session::login(&account).unwrap();
    assert_eq!(unique_ids(&mut session), [&ids[..2], &ids[3..]].concat());
    session.quit().unwrap();
    let answer = gateway.attach("again alice call 1");
    assert!(answer.contains("1 mail(s)"), "{answer}");
    let mut session = Session::login(&account).unwrap();
    assert_eq!(unique_ids(&mut session), ids);
    session.quit().unwrap();
}

#[test]
fn start_new_leaves_what_was_there() {
    let mails = mails(32, 12, 1000);
    let (mut dovecot, gateway) = house("user alice start new\n", &mails[..10]);
    let account = gateway.account("alice");
    assert_eq!(pop3::fetch(&account).unwrap(), []);
    for mail in &mails[10..] {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let got = pop3::fetch(&account).unwrap();
    let got: Vec<_> = got.into_iter().map(|mail| mail.octets).collect();
    let expected: Vec<_> = mails[10..].iter().map(Mail::sent).collect();
    assert_eq!(got, expected);
}

#[test]
fn what_did_not_fit_the_share_is_fetched_when_it_is_asked_for() {
    // One per cent of the ring is half a megabyte.
    let mails = mails(33, 30, 50_000);
    let (mut dovecot, gateway) = house("user alice share 1\n", &mails);
    let account = gateway.account("alice");
    let mut session = Session::login(&account).unwrap();
    let listing = session.listing("LIST").unwrap();
    assert_eq!(listing.len(), 30);
    let user = gateway.attach("show user alice");
    assert!(!user.contains(" 0 waiting on the server"), "{user}");
    assert!(!user.contains(" 0 waiting here"), "{user}");
    // The oldest are on the server, the newest are here; all sizes are known.
    for (number, size) in &listing {
        assert_eq!(*size, mails[number - 1].sent().len().to_string());
    }
    assert_eq!(read(&mut session, &[2]), [mails[1].sent()]);
    session.quit().unwrap();
    let counts = dovecot.counts(3);

    // The server is away: what is here is served, what is not is not to be had now.
    dovecot.stop();
    let mut session = Session::login(&account).unwrap();
    assert_eq!(session.listing("LIST").unwrap().len(), 30);
    let refused = session.ask("RETR 3").unwrap_err();
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    let refused = session.ask("TOP 4 0").unwrap_err();
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    assert_eq!(
        read(&mut session, &[2, 30]),
        [mails[1].sent(), mails[29].sent()]
    );
    session.ask("DELE 30").unwrap();
    session.ask("DELE 3").unwrap();
    session.quit().unwrap();
    assert_eq!((counts.retr, counts.deleted), (0, 0));
    dovecot.start_again();
    // Where the login is refused, a caller's wish does not try it again.
    let lan = dovecot.account("alice");
    let source = format!(
        "user alice source pop3://{} login alice password",
        lan.address
    );
    gateway.attach(&format!("{source} no"));
    let mut session = Session::login(&account).unwrap();
    let refused = session.ask("RETR 3").unwrap_err();
    assert!(refused.starts_with("-ERR [SYS/TEMP]"), "{refused}");
    session.quit().unwrap();
    assert_eq!(dovecot.log().matches("auth failed").count(), 1);
    gateway.attach(&format!("{source} {}", lan.password));
    // Where the server is back, so is its mail. Its owner need not wait for the next try.
    gateway.poll("alice");
    let got = pop3::fetch(&account).unwrap();
    let got: Vec<_> = got.into_iter().map(|mail| mail.octets).collect();
    let expected = mails.iter().enumerate();
    let expected = expected.filter(|(at, _)| ![2, 29].contains(at));
    let expected: Vec<_> = expected.map(|(_, mail)| mail.sent()).collect();
    assert!(got == expected, "{} came", got.len());
}

#[test]
fn the_console_sets_and_saves_and_a_restart_changes_nothing_else() {
    let mails = mails(34, 5, 3000);
    let (_dovecot, mut gateway) = house("", &mails);
    let account = gateway.account("alice");
    let before = pop3::fetch(&account).unwrap();
    let status = gateway.attach("show status");
    assert!(
        status.contains("one") && status.contains("alice"),
        "{status}"
    );
    let refused = gateway.attach("user alice order sideways");
    assert!(
        refused.contains("sideways") || refused.contains("order"),
        "{refused}"
    );
    gateway.attach("user alice order newest");
    let status = gateway.attach("show status");
    assert!(status.contains("not saved"), "{status}");
    let saved = gateway.attach("save");
    assert!(saved.contains("saved"), "{saved}");
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    assert!(text.contains("user alice order newest\n"), "{text}");
    assert!(
        text.contains("password alicepw"),
        "secrets are kept: {text}"
    );
    assert!(gateway::check(&text).0, "what is saved has no fault");
    let shown = gateway.attach("show config");
    assert!(!shown.contains("alicepw"), "{shown}");
    assert!(!gateway.attach("show status").contains("not saved"));
    // What is not saved goes with `revert`.
    gateway.attach("user alice share 7");
    gateway.attach("revert");
    assert!(!gateway.attach("show config").contains("share 7"));

    gateway.restart();
    let mut after = pop3::fetch(&account).unwrap();
    after.reverse();
    assert_eq!(after, before, "the same mails under the same unique-ids");
    let mut session = Session::login(&account).unwrap();
    session.ask("DELE 1").unwrap();
    session.quit().unwrap();
    gateway.crash();
    assert_eq!(pop3::fetch(&account).unwrap().len(), 4);
    assert!(gateway.terminate().success(), "SIGTERM ends it cleanly");
    let (whole, text) = gateway.verify();
    assert!(
        whole && text.contains("5 mails known, 0 copies damaged"),
        "{text}"
    );
}

#[test]
fn a_wrong_lan_password_stops_the_visits_and_says_so() {
    let mails = mails(35, 3, 1000);
    let wrong = "user alice source pop3://{} login alice password no\n";
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in &mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let lan = dovecot.account("alice");
    let wrong = wrong.replace("{}", &lan.address.to_string());
    let gateway = Gateway::start(&(user_of(&lan) + &wrong));
    let account = gateway.account("alice");
    for _ in 0..2 {
        assert_eq!(pop3::fetch(&account).unwrap(), []);
        let user = gateway.attach("show user alice");
        assert!(user.contains("stopped"), "{user}");
    }
    let refused = dovecot.log().matches("auth failed").count();
    assert_eq!(refused, 1, "a second try could lock the account");
    // The right one starts them anew.
    let Account {
        address, password, ..
    } = lan;
    gateway.attach(&format!(
        "user alice source pop3://{address} login alice password {password}"
    ));
    assert_eq!(pop3::fetch(&account).unwrap().len(), 3);
    let user = gateway.attach("show user alice");
    assert!(!user.contains("stopped"), "{user}");
}

#[test]
fn check_names_every_fault_with_its_line() {
    let (good, said) = gateway::check("hostname a\n# all is well\nuser add b password c\n");
    assert!(good, "{said}");
    let (good, said) =
        gateway::check("hostname a\nuser bob start all\nline one rings many\n\nfrobnicate\n");
    assert!(!good);
    let lines: Vec<_> = said
        .lines()
        .filter_map(|line| line.split(':').nth(1))
        .collect();
    assert_eq!(lines, ["2", "3", "5"], "{said}");
}
