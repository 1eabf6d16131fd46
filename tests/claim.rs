//! What a caller gets of mail that was read at the desk: every policy, through the whole gateway.
//!
//! As in `sentences.rs`, the LAN server is visited only when the operator says `poll`. What
//! real callers make of it stands in `gateway.rs`, what is put into a mail in `mailbox::mark`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use hal::{Duration, Instant};
use support::dialler::{Plan, Record, Say, take_all};
use support::world::{House, Running, mail};

const CONFIG: &str = "line a device /dev/a\nline b device /dev/b\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n\
    user anna poll off\nuser anna poll at-login off\n";

/// A house where anna's mail that was read at the desk is dealt with as `policy` says.
fn house(policy: &str, mails: &[&str]) -> House {
    let config = format!("{CONFIG}user anna read-at-desk {policy}\n");
    let mut house = House::new(1, &config);
    house.line("a", 33600, true);
    house.line("b", 33600, true);
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    for id in mails {
        post.deliver("anna", id, &mail(id, 300));
    }
    drop(post);
    house
}

fn plan(user: &str, body: Box<dyn Fn(u32) -> Vec<Say>>) -> Plan {
    Plan {
        at: Instant::ZERO,
        user: user.into(),
        password: "rot".into(),
        pipelined: false,
        body,
    }
}

fn visit(on: &mut Running<'_, '_>) {
    let console = on.world.attach("poll anna\r");
    on.run_for(Duration::from_secs(7));
    console.close();
    on.run_for(Duration::from_secs(1));
}

fn removed(on: &mut Running<'_, '_>, id: &str) {
    on.world.net().post().remove("anna", id);
    visit(on);
}

#[track_caller]
fn call(on: &mut Running<'_, '_>, user: &str, body: Box<dyn Fn(u32) -> Vec<Say>>) -> Record {
    let record = on.whole_call("a", plan(user, body));
    assert!(
        record.quit_read && record.refusals.is_empty(),
        "not a good call: {record:?}"
    );
    record
}

/// What a call of `user` gets that takes nothing: text by UID.
#[track_caller]
fn offered(on: &mut Running<'_, '_>, user: &str) -> Vec<(String, String)> {
    let record = call(on, user, take_all(false));
    let texts = record.mails.values();
    let texts = texts.map(|octets| String::from_utf8_lossy(octets).into_owned());
    record.uids.clone().into_iter().zip(texts).collect()
}

fn text(id: &str) -> String {
    String::from_utf8_lossy(&mail(id, 300)).into_owned()
}

fn texts(offered: &[(String, String)]) -> Vec<&str> {
    offered.iter().map(|(_, text)| text.as_str()).collect()
}

/// Takes the message with this number.
fn take(number: u32) -> Box<dyn Fn(u32) -> Vec<Say>> {
    Box::new(move |_| vec![Say::Retr(number), Say::Dele(number), Say::Quit])
}

/// The day is not known in this world's first hours: see `mailbox::day`.
fn day(text: &str) -> &str {
    let from = text.find("X-Ringmail-Read-At-Desk: ").unwrap() + 25;
    text[from..].lines().next().unwrap()
}

#[test]
fn sentence_2_12_drop_offers_neither_view() {
    house("drop", &["id1", "id2"]).power(|on| {
        on.run_until_ready();
        visit(on);
        removed(on, "id2");
        for user in ["anna", "anna+full"] {
            assert_eq!(texts(&offered(on, user)), [text("id1")], "{user}");
        }
    });
}

#[test]
fn sentence_2_12_a_marked_mail_is_the_mail_with_a_mark() {
    for policy in ["header", "subject", "body"] {
        house(&format!("mark {policy}"), &["id1", "id2", "id3"]).power(|on| {
            on.run_until_ready();
            visit(on);
            let before = offered(on, "anna");
            removed(on, "id2");
            let after = offered(on, "anna");
            let uids = |offered: &[(String, String)]| {
                let uids = offered.iter().map(|(uid, _)| uid.clone());
                uids.collect::<Vec<_>>()
            };
            assert_eq!(uids(&before), uids(&after), "a marked mail keeps its UID");
            let marked = &after[1].1;
            let expected = match policy {
                "header" => {
                    let day = day(marked);
                    format!("X-Ringmail-Read-At-Desk: {day}\r\n{}", text("id2"))
                }
                "subject" => text("id2").replace("Subject: ", "Subject: [read at desk] "),
                _ => {
                    let (header, body) = marked.split_once("\r\n\r\n").unwrap();
                    let line = body.lines().next().unwrap();
                    assert!(line.starts_with("[was read at the desk "), "{line}");
                    let plain = format!("{header}\r\n\r\n");
                    text("id2").replace(&plain, &format!("{plain}{line}\r\n\r\n"))
                }
            };
            assert_eq!(*marked, expected, "{policy}");
            assert_eq!(after[0], before[0]);
            assert_eq!(after[2], before[2]);
            // The other view is for notices.
            assert_eq!(texts(&offered(on, "anna+full")), [text("id1"), text("id3")]);
            // TOP is the beginning of what RETR sends.
            let tops = call(on, "anna", Box::new(|_| vec![Say::Top(2, 1), Say::Quit])).tops;
            let top = String::from_utf8_lossy(&tops[&2]).into_owned();
            assert!(
                marked.starts_with(&top) && top.len() < marked.len(),
                "{top}"
            );
            // Unread again, it is not marked; read again and taken, it is gone.
            on.world.net().post().put_back("anna", "id2");
            visit(on);
            assert!(texts(&offered(on, "anna")).contains(&text("id2").as_str()));
            removed(on, "id2");
            let at = offered(on, "anna").iter().position(|it| it.1 == *marked);
            call(on, "anna", take(at.unwrap() as u32 + 1));
            assert_eq!(texts(&offered(on, "anna")), [text("id1"), text("id3")]);
        });
    }
}

#[test]
fn sentence_2_12_a_notice_is_taken_once_and_the_mail_stays_under_full() {
    let mut house = house("notice", &["id1", "id2", "id3"]);
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        let before = offered(on, "anna");
        removed(on, "id2");
        let after = offered(on, "anna");
        let (uid, notice) = &after[1];
        assert_eq!(*uid, format!("{}n", before[1].0));
        assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
        let day = day(notice);
        let octets = mail("id2", 300).len();
        assert_eq!(
            *notice,
            format!(
                "From: sender@example.net\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nSubject: \
                 [read at desk] mail id2\r\nX-Ringmail-Read-At-Desk: {day}\r\n\r\nRead at the \
                 desk: {day}. The mail has {octets} octets.\r\nTo get it, log in as anna+full.\r\n"
            )
        );
        // The same maildrop with the mail in its place, under the mail's own UID.
        assert_eq!(offered(on, "anna+full"), before);
        call(on, "anna", take(2));
        assert_eq!(texts(&offered(on, "anna")), [text("id1"), text("id3")]);
        on.gateway.end(on.world);
    });
    house.power(|on| {
        on.run_until_ready();
        assert_eq!(texts(&offered(on, "anna")), [text("id1"), text("id3")]);
        let full = offered(on, "anna+full");
        assert_eq!(texts(&full), [text("id1"), text("id2"), text("id3")]);
        // Unread again at the desk: the mail itself, whatever was noticed.
        on.world.net().post().put_back("anna", "id2");
        visit(on);
        assert_eq!(offered(on, "anna").len(), 3);
        removed(on, "id2");
        assert_eq!(offered(on, "anna").len(), 2);
        call(on, "anna+full", take(2));
        assert_eq!(texts(&offered(on, "anna+full")), [text("id1"), text("id3")]);
    });
}

#[test]
fn sentence_2_12_both_views_are_one_maildrop() {
    let mut house = house("notice", &["id1"]);
    house.config.push_str("user add bert password gelb\n");
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        let hold = || Box::new(|_| vec![Say::Pause(Duration::from_secs(300)), Say::Quit]);
        for (first, second) in [("anna", "anna+full"), ("anna+full", "anna")] {
            let held = on.call("a", plan(first, hold()));
            on.run_until(Duration::from_secs(60), |_| held.borrow().listed.is_some());
            let refused = on.call("b", plan(second, take_all(false)));
            on.run_until(Duration::from_secs(120), |_| {
                !refused.borrow().refusals.is_empty()
            });
            let words = refused.borrow().refusals[0].2.clone();
            assert!(words.contains("[IN-USE]"), "{words}");
            on.run_until(Duration::from_secs(900), |_| {
                held.borrow().ended.is_some() && refused.borrow().ended.is_some()
            });
        }
        // Another password, no such view, no such user.
        for user in ["anna+", "anna+text", "anna+full+full", "bert+full", "+full"] {
            let record = on.call("a", plan(user, take_all(false)));
            on.run_until(Duration::from_secs(120), |_| {
                !record.borrow().refusals.is_empty()
            });
            let words = record.borrow().refusals[0].2.clone();
            assert!(words.contains("[AUTH]"), "{user}: {words}");
            on.run_until(Duration::from_secs(900), |_| {
                record.borrow().ended.is_some()
            });
        }
    });
}
