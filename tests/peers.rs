//! A real server without the gateway: the measure that the gateway is held to, and the proof that
//! the measure can fail.

mod support;

use support::Account;
use support::corpus::{self, Mail, Quirk};
use support::dovecot::{Counts, Dovecot, Settings, dovecot_sends, sent_by_dovecot};
use support::mails::difference;
use support::pop3;
use support::redial::redial;

#[test]
fn dovecot_sends_what_was_stored() {
    let mut dovecot = Dovecot::start(Settings::default());
    let mails = corpus::mails(5, 60, dovecot_sends);
    for mail in &mails {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let fetched = pop3::fetch(&dovecot.account("alice")).unwrap();
    assert_eq!(fetched.len(), mails.len());
    for (fetched, mail) in fetched.iter().zip(&mails) {
        let (got, stored) = ([fetched.octets.clone()], [sent_by_dovecot(mail)]);
        assert_eq!(difference(&got, &stored), None, "{:?}", mail.quirk);
    }
}

#[test]
fn the_comparison_sees_what_is_lost_doubled_or_altered() {
    let mails = corpus::mails(6, 20, |_| true);
    let mails: Vec<_> = mails.iter().map(Mail::sent).collect();
    assert_eq!(difference(&mails, &mails), None);
    let mut other = mails.clone();
    other.reverse();
    assert_eq!(difference(&other, &mails), None);
    for (at, mail) in mails.iter().enumerate() {
        let mut less = mails.clone();
        less.remove(at);
        assert_ne!(difference(&less, &mails), None);
        let mut more = mails.clone();
        more.push(mail.clone());
        assert_ne!(difference(&more, &mails), None);
        for octet in [0, mail.len() / 2, mail.len().saturating_sub(1)] {
            let mut altered = mails.clone();
            match altered[at].get_mut(octet) {
                Some(octet) => *octet ^= 1,
                None => altered[at].push(0),
            }
            assert_ne!(difference(&altered, &mails), None);
        }
    }
}

#[test]
fn a_corpus_is_its_seed() {
    let one = corpus::mails(7, 100, |_| true);
    let same = corpus::mails(7, 100, |_| true);
    let other = corpus::mails(8, 100, |_| true);
    assert!(one.iter().zip(&same).all(|(a, b)| a.stored == b.stored));
    assert!(one.iter().zip(&other).any(|(a, b)| a.stored != b.stored));
    assert!(Quirk::ALL.iter().all(|&q| one.iter().any(|m| m.quirk == q)));
}

#[test]
fn dialling_again_changes_nothing() {
    let mut dovecot = Dovecot::start(Settings::default());
    for mail in corpus::mails(10, 30, dovecot_sends) {
        dovecot.maildir("alice").deliver(&mail.stored);
    }
    let direct = dovecot.account("alice");
    let dialled = Account {
        address: redial(direct.address),
        ..direct.clone()
    };
    assert_eq!(pop3::fetch(&dialled), pop3::fetch(&direct));
}

/// The three ways to read, and what each leaves behind: without this the test that the gateway
/// leaves no trace could not fail.
#[test]
fn traces_of_reading_can_be_seen() {
    for no_flag_updates in [false, true] {
        let mut dovecot = Dovecot::start(Settings {
            no_flag_updates,
            ..Settings::default()
        });
        for mail in corpus::mails(9, 5, dovecot_sends) {
            dovecot.maildir("alice").deliver(&mail.stored);
        }
        let account = dovecot.account("alice");
        let visit = |commands: &[&str]| {
            let mut session = pop3::Session::login(&account).unwrap();
            session.listing("UIDL").unwrap();
            for command in commands {
                session.ask(command).unwrap();
                session.lines().unwrap();
            }
            session.quit().unwrap();
        };
        // The second visit still writes down what the first one saw.
        visit(&[]);
        visit(&[]);
        let before = dovecot.maildir("alice").snapshot();
        visit(&[]);
        assert_eq!(dovecot.maildir("alice").snapshot(), before);
        visit(&["TOP 1 99999999", "TOP 2 0"]);
        assert_eq!(dovecot.maildir("alice").snapshot().mails, before.mails);
        visit(&["RETR 1"]);
        let read = dovecot.maildir("alice").snapshot().mails != before.mails;
        assert_eq!(read, !no_flag_updates);
        let counts = Counts {
            sessions: 5,
            top: 2,
            retr: 1,
            deleted: 0,
        };
        assert_eq!(dovecot.counts(5), counts);
    }
}
