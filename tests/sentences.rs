//! The numbered sentences of the design's semantics, each through the whole gateway.
//!
//! Visits begin here only when the operator says `poll`, so that each test knows what the LAN
//! server was asked, and when.

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

use std::collections::{BTreeMap, BTreeSet};

use hal::sim::SimMedium;
use hal::sim::medium::Cut;
use hal::sim::post::Fault;
use hal::{Duration, Instant};
use ringmail::mailbox::{Habit, Lan, Row, Taken};
use ringmail::store::Geometry;
use support::dialler::{Plan, Record, Say, take_all};
use support::world::{House, Running, id_of, mail, small};

/// Nothing is visited but at the operator's word.
const CONFIG: &str = "line a device /dev/a\nline b device /dev/b\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n\
    user anna poll off\nuser anna poll at-login off\n";

/// Another user of the same ring.
const BERT: &str = "user add bert password gelb\n\
    user bert source pop3://post login bert password grau\n\
    user bert poll off\nuser bert poll at-login off\n";

/// A visit and the one that follows it take less.
const A_VISIT: Duration = Duration::from_secs(5);

fn house(mails: &[&str]) -> House {
    house_with(House::new(1, CONFIG), mails)
}

fn house_with(mut house: House, mails: &[&str]) -> House {
    house.line("a", 33600, true);
    house.line("b", 33600, true);
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    post.open_account("bert", "grau");
    for id in mails {
        post.deliver("anna", id, &short(id));
    }
    drop(post);
    house
}

/// A house on a medium that is prepared.
fn house_on(image: &[u8], mails: &[&str]) -> House {
    let medium = SimMedium::from_image(image.to_vec());
    house_with(House::with_medium(1, CONFIG, medium), mails)
}

fn geometry(segments: u32) -> Geometry {
    Geometry {
        segments,
        ..small()
    }
}

fn short(id: &str) -> Vec<u8> {
    mail(id, 300)
}

fn deliver(on: &Running<'_, '_>, id: &str, octets: usize) {
    on.world.net().post().deliver("anna", id, &mail(id, octets));
}

fn remove(on: &Running<'_, '_>, id: &str) {
    on.world.net().post().remove("anna", id);
}

fn copies(on: &Running<'_, '_>, id: &str) -> u32 {
    on.world.net().post().asked("anna", id).copies()
}

fn call_of(user: &str, body: Box<dyn Fn(u32) -> Vec<Say>>) -> Plan {
    Plan {
        at: Instant::ZERO,
        user: user.into(),
        password: if user == "anna" { "rot" } else { "gelb" }.into(),
        pipelined: false,
        body,
    }
}

fn plan(body: Box<dyn Fn(u32) -> Vec<Say>>) -> Plan {
    call_of("anna", body)
}

fn says(says: &[Say]) -> Plan {
    let says = says.to_vec();
    plan(Box::new(move |_| says.clone()))
}

/// What the operator types, and what the terminal shows.
fn command(on: &mut Running<'_, '_>, words: &str) -> String {
    let console = on.world.attach(&format!("{words}\r"));
    on.run_for(Duration::from_secs(2));
    console.close();
    on.run_for(Duration::from_secs(1));
    console.shown()
}

fn visit_of(on: &mut Running<'_, '_>, user: &str) {
    command(on, &format!("poll {user}"));
    on.run_for(A_VISIT);
}

fn visit(on: &mut Running<'_, '_>) {
    visit_of(on, "anna");
}

/// The mails that a call is offered, all of them read, none taken.
fn offered(on: &mut Running<'_, '_>) -> Vec<String> {
    ids(&on.whole_call("a", plan(take_all(false))))
}

fn takes_all(on: &mut Running<'_, '_>) -> Vec<String> {
    ids(&on.whole_call("a", plan(take_all(true))))
}

/// Which mails came; each must be as it was delivered.
#[track_caller]
fn ids(record: &Record) -> Vec<String> {
    assert!(
        record.quit_read && record.refusals.is_empty(),
        "not a good call: {record:?}"
    );
    assert_eq!(record.mails.len(), record.uids.len(), "{record:?}");
    record
        .mails
        .values()
        .map(|octets| {
            let id = id_of(octets);
            assert!(*octets == mail(&id, octets.len()), "{id} is spoilt");
            id
        })
        .collect()
}

/// Own UIDs by the mails they came with.
#[track_caller]
fn uids(record: &Record) -> BTreeMap<String, String> {
    ids(record).into_iter().zip(record.uids.clone()).collect()
}

fn row(on: &Running<'_, '_>, id: &str) -> Option<Row> {
    let mailbox = on.gateway.mailbox();
    let key = mailbox.key(id.as_bytes());
    let found = mailbox.ledger().rows().find(|(_, row)| row.key == key);
    found.map(|(_, row)| row)
}

fn habit(on: &Running<'_, '_>) -> Habit {
    let ledger = on.gateway.mailbox().ledger();
    let account = ledger.find_account("anna").unwrap();
    ledger.account(account).unwrap().source.habit
}

/// Some of the facts of the row: what the LAN says, whether there is a copy, whether it is taken.
fn facts(on: &Running<'_, '_>, id: &str) -> Option<(Lan, bool, bool)> {
    row(on, id).map(|row| (row.lan, row.copy.is_some(), row.taken == Taken::Full))
}

const HERE: Option<(Lan, bool, bool)> = Some((Lan::Unread, true, false));

/// The medium after `body`, and an orderly end.
fn prepared(house: &mut House, body: impl FnOnce(&mut Running<'_, '_>)) -> Vec<u8> {
    house.power(|on| {
        on.run_until_ready();
        body(on);
        on.gateway.end(on.world);
    });
    house.world.disk().image()
}

/// All that a POP3 server of this world says up to the end of a listing.
fn up_to_the_listing(mails: &[&str]) -> u64 {
    let octets: usize = mails.iter().map(|id| short(id).len()).sum();
    let lines: String = mails
        .iter()
        .enumerate()
        .map(|(n, id)| format!("{} {id}\r\n", n + 1))
        .collect();
    let said = format!(
        "+OK post ready\r\n+OK\r\nTOP\r\nUIDL\r\nUSER\r\nRESP-CODES\r\nPIPELINING\r\n.\r\n\
         +OK\r\n+OK\r\n+OK {} {octets}\r\n+OK\r\n{lines}.\r\n",
        mails.len()
    );
    said.len() as u64
}

#[test]
fn sentence_2_1_a_visit_cut_at_every_octet() {
    let mut first = house(&["id1", "id2", "id3"]);
    let image = prepared(&mut first, visit);
    let all = ["id1", "id2", "id3", "id4"];
    let later = |on: &Running<'_, '_>| remove(on, "id1");

    let mut whole = 0;
    house_on(&image, &all).power(|on| {
        on.run_until_ready();
        later(on);
        visit(on);
        whole = on.world.net().post().octets();
    });
    let listing = up_to_the_listing(&["id2", "id3", "id4"]);
    assert!(listing < whole);
    for octets in 0..=whole {
        let what = format!("after {octets} of {whole} octets");
        house_on(&image, &all).power(|on| {
            on.run_until_ready();
            later(on);
            on.world.net().post().fault = Fault::CutAfter(octets);
            visit(on);
            for id in ["id2", "id3"] {
                assert_eq!(facts(on, id), HERE, "{what}: {id}");
            }
            let vanished = Some((Lan::Absent, true, false));
            let copied = facts(on, "id4").is_some();
            if octets < listing {
                assert_eq!(facts(on, "id1"), HERE, "{what}");
                assert!(!copied, "{what}");
            } else {
                assert_eq!(facts(on, "id1"), vanished, "{what}");
                assert!(!copied || facts(on, "id4") == HERE, "{what}");
            }
            // The answer to QUIT is a courtesy, and the final dot of the copy is not.
            assert!(!copied || octets + 10 > whole, "{what}");
            assert!(copied || octets < whole, "{what}");
            let expected = match (octets < listing, copied) {
                (true, _) => &all[..3],
                (false, false) => &all[1..3],
                (false, true) => &all[1..],
            };
            assert_eq!(offered(on), expected, "{what}");

            on.world.net().post().fault = Fault::None;
            visit(on);
            assert_eq!(offered(on), &all[1..], "{what}: at the next visit");
            let again = u32::from(octets >= listing && !copied);
            assert!(copies(on, "id4") <= 1 + again, "{what}");
            assert_eq!(copies(on, "id2") + copies(on, "id3"), 0, "{what}");
        });
    }
}

#[test]
fn sentence_2_1_a_listing_that_disagrees_with_stat_changes_nothing() {
    house(&["id1", "id2", "id3"]).power(|on| {
        on.run_until_ready();
        visit(on);
        remove(on, "id1");
        deliver(on, "id4", 300);
        on.world.net().post().fault = Fault::ListingCut;
        for _ in 0..3 {
            visit(on);
            for id in ["id1", "id2", "id3"] {
                assert_eq!(facts(on, id), HERE);
            }
            assert_eq!(facts(on, "id4"), None);
        }
        assert_eq!(offered(on), ["id1", "id2", "id3"]);
        on.world.net().post().fault = Fault::None;
        visit(on);
        assert_eq!(offered(on), ["id2", "id3", "id4"]);
    });
}

#[test]
fn sentence_2_2_an_open_maildrop_keeps_what_a_listing_takes_away() {
    let large = 40_000;
    for back in [false, true] {
        let mut house = house(&["id1", "id2"]);
        house.config.push_str("user anna share 5\n");
        house.power(|on| {
            on.run_until_ready();
            visit(on);
            deliver(on, "large", large);
            visit(on);
            assert_eq!(facts(on, "large"), Some((Lan::Unread, false, false)));
            let call = on.call(
                "a",
                says(&[
                    Say::Retr(1),
                    Say::Pause(Duration::from_secs(60)),
                    // It is fetched, and the visit for it sees the whole listing.
                    Say::Retr(3),
                    Say::Pause(Duration::from_secs(60)),
                    Say::Retr(2),
                    Say::Top(2, 0),
                    Say::Dele(2),
                    Say::Quit,
                ]),
            );
            on.run_until(Duration::from_secs(30), |_| {
                call.borrow().mails.contains_key(&1)
            });
            remove(on, "id2");
            on.run_until(Duration::from_secs(300), |_| {
                call.borrow().mails.contains_key(&3)
            });
            // Committed at once, call or not.
            assert_eq!(facts(on, "id2"), Some((Lan::Absent, true, false)));
            if back {
                on.world.net().post().put_back("anna", "id2");
            }
            on.run_until(Duration::from_secs(300), |_| call.borrow().ended.is_some());
            let call = call.take();
            assert!(call.quit_read && call.refusals.is_empty(), "{call:?}");
            assert!(call.mails[&2] == short("id2") && call.tops.len() == 1);
            assert_eq!(facts(on, "id2"), Some((Lan::Absent, true, true)));
            assert_eq!(offered(on), ["id1", "large"]);
            visit(on);
            assert_eq!(offered(on), ["id1", "large"], "back: {back}");
            assert_eq!((copies(on, "id2"), copies(on, "large")), (1, 1));
        });
    }
}

#[test]
fn sentence_2_2_a_lying_listing_costs_no_mail_and_no_second_sending() {
    let all = ["id1", "id2", "id3", "id4"];
    for lie in 0..16_u32 {
        let lacks = |n: usize| lie >> n & 1 == 1;
        house(&all).power(|on| {
            on.run_until_ready();
            visit(on);
            let record = on.whole_call("a", says(&[Say::Dele(2), Say::Dele(4), Say::Quit]));
            assert!(record.quit_read);
            for (n, id) in all.iter().enumerate().filter(|&(n, _)| lacks(n)) {
                assert!(n < 4);
                remove(on, id);
            }
            visit(on);
            let shown = [0, 2].into_iter().filter(|&n| !lacks(n));
            let shown: Vec<&str> = shown.map(|n| all[n]).collect();
            assert_eq!(offered(on), shown, "{lie:b}");
            for id in all {
                on.world.net().post().put_back("anna", id);
            }
            visit(on);
            assert_eq!(takes_all(on), ["id1", "id3"], "{lie:b}");
            visit(on);
            assert_eq!(offered(on), [""; 0], "{lie:b}");
            for id in all {
                assert_eq!(copies(on, id), 1, "{lie:b}: {id}");
            }
        });
    }
}

#[test]
fn sentence_2_3_a_renumbered_server_is_known_by_its_headers() {
    house(&["id1", "id2", "id3", "id4"]).power(|on| {
        on.run_until_ready();
        visit(on);
        let record = on.whole_call("a", says(&[Say::Dele(1), Say::Quit]));
        assert!(record.quit_read);
        let before = uids(&on.whole_call("a", plan(take_all(false))));
        // All at once: other ids, one read at the desk, one new.
        on.world
            .net()
            .post()
            .renumber("anna", |id| format!("other.{id}"));
        remove(on, "other.id3");
        deliver(on, "other.id5", 300);
        visit(on);
        let record = on.whole_call("a", plan(take_all(false)));
        let after = uids(&record);
        assert_eq!(ids(&record), ["id2", "id4", "other.id5"]);
        assert!(["id2", "id4"].iter().all(|&id| before[id] == after[id]));
        assert_eq!(takes_all(on).len(), 3);
        // And back again: nothing comes twice.
        on.world
            .net()
            .post()
            .renumber("anna", |id| id.strip_prefix("other.").unwrap().to_owned());
        visit(on);
        assert_eq!(offered(on), [""; 0]);
        for mail in on.world.net().post().mails("anna") {
            assert_eq!(mail.asked.copies(), 1, "{}", mail.uidl);
        }
    });
}

/// Without `TOP` nothing can be looked at before it is copied: then the copy tells.
#[test]
fn sentence_2_3_without_top_a_renumbered_mail_is_known_by_its_copy() {
    let all = ["id1", "id2", "id3", "id4"];
    for taken in 0..16_u32 {
        house(&all).power(|on| {
            on.run_until_ready();
            on.world.net().post().top = false;
            visit(on);
            let before = uids(&on.whole_call("a", plan(take_all(false))));
            let taken: Vec<u32> = (1..=4).filter(|n| taken >> (n - 1) & 1 == 1).collect();
            let deletes = taken.iter().map(|&n| Say::Dele(n));
            let record = on.whole_call("a", says(&deletes.chain([Say::Quit]).collect::<Vec<_>>()));
            assert!(record.quit_read);
            on.world
                .net()
                .post()
                .renumber("anna", |id| format!("new.{id}"));
            deliver(on, "other", 700);
            visit(on);
            let after = uids(&on.whole_call("a", plan(take_all(false))));
            let mut expected = before.clone();
            expected.retain(|id, _| !taken.iter().any(|n| all[*n as usize - 1] == id));
            expected.insert("other".into(), after["other"].clone());
            assert_eq!(after, expected, "{taken:?}");
            // Known again: nothing more is copied.
            visit(on);
            assert!(all.iter().all(|id| copies(on, &format!("new.{id}")) == 2));
            assert_eq!(copies(on, "other"), 1);
        });
    }
}

#[test]
fn sentence_2_3_renumbered_cut_at_every_octet() {
    let all = ["id1", "id2", "id3"];
    let mut first = house(&all);
    let image = prepared(&mut first, |on| {
        visit(on);
        let record = on.whole_call("a", says(&[Say::Dele(1), Say::Quit]));
        assert!(record.quit_read);
    });
    for octets in 0.. {
        let mut over = false;
        house_on(&image, &all).power(|on| {
            on.run_until_ready();
            on.world
                .net()
                .post()
                .renumber("anna", |id| format!("x{id}"));
            on.world.net().post().fault = Fault::CutAfter(octets);
            visit(on);
            over = on.world.net().post().octets() < octets;
            on.world.net().post().fault = Fault::None;
            visit(on);
            assert_eq!(takes_all(on), ["id2", "id3"], "after {octets} octets");
            visit(on);
            assert_eq!(offered(on), [""; 0], "after {octets} octets");
            for mail in on.world.net().post().mails("anna") {
                assert_eq!(mail.asked.copies(), 0, "after {octets} octets");
            }
        });
        if over {
            return;
        }
    }
}

#[test]
fn sentence_2_4_an_untested_source_gives_one_mail_before_it_is_asked_again() {
    house(&["id1", "id2", "id3"]).power(|on| {
        on.run_until_ready();
        let console = on.world.attach("poll anna\r");
        on.run_until(A_VISIT, |on| on.world.net().post().listings("anna") == 2);
        {
            let post = on.world.net().post();
            assert_eq!(post.logins("anna"), 2);
            let copies: u32 = post.mails("anna").map(|mail| mail.asked.copies()).sum();
            assert_eq!(copies, 1);
        }
        on.run_for(A_VISIT);
        console.close();
        assert_eq!(habit(on), Habit::Keeps);
        assert_eq!(on.world.net().post().logins("anna"), 2);
        assert_eq!(offered(on), ["id1", "id2", "id3"]);
        // Tested once for all.
        deliver(on, "id4", 300);
        deliver(on, "id5", 300);
        visit(on);
        assert_eq!(on.world.net().post().logins("anna"), 3);
        assert_eq!(offered(on).len(), 5);
    });
}

#[test]
fn sentence_2_4_a_source_wrongly_held_to_drop_mail_is_tested_again() {
    house(&["id1", "id2", "id3"]).power(|on| {
        on.run_until_ready();
        let console = on.world.attach("poll anna\r");
        // It is gone at the second login, for a while: a listing that lies.
        on.run_until(A_VISIT, |on| copies(on, "id1") == 1);
        remove(on, "id1");
        on.run_for(A_VISIT);
        console.close();
        assert_eq!(habit(on), Habit::Consumes);
        assert_eq!(offered(on), ["id1"]);
        on.world.net().post().put_back("anna", "id1");
        for _ in 0..3 {
            visit(on);
        }
        assert_eq!(habit(on), Habit::Keeps);
        assert_eq!(offered(on), ["id1", "id2", "id3"]);
        let copied = ["id1", "id2", "id3"].map(|id| copies(on, id));
        assert_eq!(copied, [1, 1, 1]);
    });
}

#[test]
fn sentence_2_4_a_source_that_drops_what_is_fetched() {
    let mut house = house(&["id1", "id2", "id3"]);
    house.world.net().post().consumes = true;
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        assert_eq!(habit(on), Habit::Consumes);
        assert_eq!(facts(on, "id1"), Some((Lan::Ours, true, false)));
        let shown = command(on, "show user anna");
        assert!(
            shown.contains("drops what is fetched") && shown.contains("1 ours alone"),
            "{shown}"
        );
        assert_eq!(offered(on), ["id1"]);
        visit(on);
        on.gateway.end(on.world);
    });
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        assert_eq!(habit(on), Habit::Consumes);
        assert_eq!(takes_all(on), ["id1"]);
        visit(on);
        assert_eq!(offered(on), [""; 0]);
        let copied = ["id1", "id2", "id3"].map(|id| copies(on, id));
        assert_eq!(copied, [1, 0, 0]);
    });
}

/// With the owner's word: each mail is fetched once, and stays until a call takes it.
#[test]
fn sentence_2_4_the_owner_agrees_to_have_the_only_copies() {
    let mut house = house(&["id1", "id2", "id3"]);
    house.config.push_str("user anna consumes copy\n");
    house.world.net().post().consumes = true;
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        visit(on);
        assert_eq!(offered(on), ["id1", "id2", "id3"]);
        deliver(on, "id4", 300);
        visit(on);
        visit(on);
        on.gateway.end(on.world);
    });
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        let all = ["id1", "id2", "id3", "id4"];
        assert_eq!(takes_all(on), all);
        visit(on);
        assert_eq!(offered(on), [""; 0]);
        assert!(all.iter().all(|id| copies(on, id) == 1));
    });
}

/// Where `text` lies in the ring.
fn places(image: &[u8], text: &[u8]) -> Vec<usize> {
    let windows = image.windows(text.len()).enumerate();
    windows
        .filter(|(_, window)| *window == text)
        .map(|(at, _)| at)
        .collect()
}

/// Where the content of the only copy of a mail begins.
#[track_caller]
fn place(image: &[u8], octets: &[u8]) -> usize {
    let beginning = &octets[..octets.len().min(250)];
    let places = places(image, beginning);
    assert_eq!(places.len(), 1, "copies of a mail");
    places[0]
}

#[test]
fn sentence_2_8_a_damaged_octet_is_never_sent() {
    let mut first = house(&["id1", "id2"]);
    let image = prepared(&mut first, visit);
    let from = place(&image, &short("id1"));
    let until = place(&image, &short("id2"));
    // The whole record: its header, the row before the content, and what follows.
    for at in from - 160..until {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        house_on(&damaged, &["id1", "id2"]).power(|on| {
            on.run_until_ready();
            assert_eq!(offered(on), ["id1", "id2"], "octet {at} of {from}..{until}");
            let fetched = copies(on, "id1") + copies(on, "id2");
            assert!(fetched <= 2, "octet {at}: {fetched}");
            if (from..from + short("id1").len()).contains(&at) {
                assert_eq!(copies(on, "id1"), 1, "octet {at}");
            }
            assert_eq!(takes_all(on), ["id1", "id2"]);
            assert_eq!(copies(on, "id1") + copies(on, "id2"), fetched);
        });
    }
}

#[test]
fn sentence_2_8_a_damaged_copy_while_the_lan_is_away() {
    house(&["id1", "id2"]).power(|on| {
        on.run_until_ready();
        visit(on);
        let at = place(&on.world.disk().image(), &short("id1"));
        on.world.disk().flip(at + 200, 4);
        for fault in [Fault::Refused, Fault::NoName, Fault::InUse] {
            on.world.net().post().fault = fault;
            let record = on.whole_call("a", plan(take_all(false)));
            let (_, said, text) = &record.refusals[0];
            assert!(
                *said == Say::Retr(1) && text.starts_with("-ERR [SYS/TEMP]"),
                "{fault:?}: {record:?}"
            );
            assert!(record.quit_read && record.mails.len() == 1 && record.uids.len() == 2);
        }
        on.world.net().post().fault = Fault::None;
        assert_eq!(takes_all(on), ["id1", "id2"]);
        assert_eq!((copies(on, "id1"), copies(on, "id2")), (2, 1));
    });
}

#[test]
fn sentence_2_8_damage_that_appears_after_the_reply_is_never_ended_by_a_dot() {
    for taken_by in ["", "user anna taken-by retr\n"] {
        let mut house = house(&["id1"]);
        house.line("a", 2400, true);
        house.config.push_str(taken_by);
        house.power(|on| {
            on.run_until_ready();
            deliver(on, "large", 60_000);
            visit(on);
            let large = mail("large", 60_000);
            let call = on.call("a", plan(take_all(true)));
            on.run_until(Duration::from_secs(300), |_| call.borrow().octets.0 > 5000);
            assert_eq!(call.borrow().mails.len(), 1);
            let image = on.world.disk().image();
            // Not sent yet, and not split between two records.
            let mut pieces = large[50_000..].chunks(30);
            let at = pieces.find_map(|piece| places(&image, piece).first().copied());
            on.world.disk().flip(at.unwrap(), 1);
            on.run_until(Duration::from_secs(3600), |_| call.borrow().ended.is_some());
            let call = call.take();
            // The other mail came whole and was deleted, and yet nothing counts.
            assert!(!call.quit_said && call.dele_read.len() == 1, "{call:?}");
            assert_eq!(call.mails.len(), 1, "{call:?}");
            assert!(call.octets.0 < large.len() as u64, "{call:?}");
            assert_eq!(takes_all(on), ["id1", "large"]);
            assert_eq!(copies(on, "large"), 2);
            assert_eq!(offered(on), [""; 0]);
        });
    }
}

#[test]
fn sentence_2_9_what_was_evicted_is_offered_and_fetched() {
    let house = House::with_store(1, CONFIG, &geometry(6));
    house_with(house, &[]).power(|on| {
        on.run_until_ready();
        let all: Vec<String> = (1..=9).map(|n| format!("id{n}")).collect();
        for id in &all {
            deliver(on, id, 6000);
            visit(on);
        }
        let held = |on: &Running<'_, '_>| {
            let has = |id: &&String| facts(on, id) == HERE;
            all.iter().filter(has).cloned().collect::<Vec<_>>()
        };
        // The newest are held, in a row; the others wait on the server.
        let newest = held(on);
        assert!((3..9).contains(&newest.len()), "{newest:?}");
        assert!(all.ends_with(&newest), "{newest:?}");
        // While the maildrop is open it holds its copies: there is no room for another one.
        let first = 10 - newest.len() as u32;
        let mut call: Vec<Say> = (1..first).map(Say::Retr).collect();
        call.extend((first..=9).flat_map(|n| [Say::Retr(n), Say::Dele(n)]));
        call.push(Say::Quit);
        let record = on.whole_call("a", says(&call));
        assert!(record.uids.len() == 9 && record.quit_read, "{record:?}");
        assert!(!record.refusals.is_empty(), "{record:?}");
        for (_, said, text) in &record.refusals {
            let evicted = matches!(said, Say::Retr(n) if *n < first);
            assert!(evicted && text.starts_with("-ERR [SYS/TEMP]"), "{text}");
        }
        for (&n, octets) in &record.mails {
            assert!(*octets == mail(&all[n as usize - 1], 6000), "{n}");
        }
        assert!((first..=9).all(|n| record.mails.contains_key(&n)));
        // What was taken makes room.
        assert_eq!(takes_all(on), all[..9 - newest.len()]);
        assert_eq!(offered(on), [""; 0]);
        for id in &all {
            let evicted = !newest.contains(id);
            // At most once in vain.
            let most = if evicted { 3 } else { 1 };
            assert!(
                (1 + u32::from(evicted)..=most).contains(&copies(on, id)),
                "{id}"
            );
        }
    });
}

/// One account fills the ring three times over: a poll copies a mail once, and again only where
/// room was made that nothing offered stands in.
#[test]
fn sentence_2_9_polls_never_copy_and_evict_in_a_circle() {
    let house = House::with_store(1, CONFIG, &geometry(8));
    house_with(house, &[]).power(|on| {
        on.run_until_ready();
        let all: Vec<String> = (10..46).map(|n| format!("id{n}")).collect();
        for id in &all {
            deliver(on, id, 6000);
            visit(on);
            // Nothing new: nothing is copied, whatever was evicted.
            visit(on);
        }
        for id in &all {
            assert_eq!(copies(on, id), 1, "{id}");
        }
        // What was evicted is fetched for the caller.
        let held = all.iter().filter(|id| facts(on, id) == HERE).count();
        assert!((4..=10).contains(&held), "{held}");
        let takes: Vec<Say> = (1..=8)
            .flat_map(|n| {
                [
                    Say::Retr(all.len() as u32 + 1 - n),
                    Say::Dele(all.len() as u32 + 1 - n),
                ]
            })
            .chain([Say::Quit])
            .collect();
        let record = on.whole_call("a", says(&takes));
        assert!(record.quit_read, "{record:?}");
        // A caller took the newest: polls copy the newest of the others, as many as there is room
        // for, each once, and then no more.
        let taken: Vec<&String> = all.iter().rev().take(8).collect();
        for _ in 0..5 {
            visit(on);
        }
        let again: Vec<&String> = all.iter().filter(|id| facts(on, id) == HERE).collect();
        assert!(!again.is_empty(), "the room that was made is used");
        for id in &all {
            let most = if taken.contains(&id) || again.contains(&id) {
                2
            } else {
                1
            };
            assert!(copies(on, id) <= most, "{id}");
        }
    });
}

/// A user who has filled a share pushes out nothing of another's.
#[test]
fn sentence_2_9_nobody_fills_more_than_a_share_at_anothers_cost() {
    let config = format!("{CONFIG}{BERT}");
    let house = House::with_store(1, &config, &geometry(12));
    house_with(house, &[]).power(|on| {
        on.run_until_ready();
        let anna: Vec<String> = (1..=4).map(|n| format!("id{n}")).collect();
        for id in &anna {
            deliver(on, id, 6000);
        }
        visit(on);
        visit(on);
        for n in 0..40 {
            let id = format!("b{n}");
            on.world.net().post().deliver("bert", &id, &mail(&id, 6000));
            visit_of(on, "bert");
            visit_of(on, "bert");
            assert!(on.world.net().post().asked("bert", &id).copies() <= 1);
        }
        for id in &anna {
            assert_eq!(facts(on, id), HERE, "{id}");
            assert_eq!(copies(on, id), 1);
        }
    });
}

#[test]
fn sentence_2_9_copies_of_an_open_maildrop_and_ours_outlast_the_ring() {
    // Whose share is all of it may push out what is another's.
    let config = format!("{CONFIG}{BERT}user bert share 100\n");
    for consumes in [false, true] {
        let house = House::with_store(1, &config, &geometry(8));
        house_with(house, &["id1"]).power(|on| {
            on.run_until_ready();
            on.world.net().post().consumes = consumes;
            visit(on);
            on.world.net().post().consumes = false;
            let pause = Say::Pause(Duration::from_secs(500));
            let call = on.call("a", says(&[pause, Say::Retr(1), Say::Quit]));
            on.run_until(Duration::from_secs(30), |_| call.borrow().uids.len() == 1);
            let laps = |on: &mut Running<'_, '_>, first: u32, until: u32| {
                for n in first..until {
                    let id = format!("b{n}");
                    on.world.net().post().deliver("bert", &id, &mail(&id, 6000));
                    visit_of(on, "bert");
                    assert_eq!(on.world.net().post().asked("bert", &id).copies(), 1);
                }
            };
            laps(on, 0, 25);
            let kept = if consumes { Lan::Ours } else { Lan::Unread };
            assert_eq!(facts(on, "id1"), Some((kept, true, false)));
            assert!(call.borrow().mails.is_empty());
            on.run_until(Duration::from_secs(3600), |_| call.borrow().ended.is_some());
            assert_eq!(ids(&call.take()), ["id1"]);
            // The maildrop is closed.
            laps(on, 25, 50);
            let held = row(on, "id1").unwrap().copy.is_some();
            assert_eq!(held, consumes);
            assert_eq!(takes_all(on), ["id1"]);
            assert_eq!(copies(on, "id1"), if consumes { 1 } else { 2 });
            // Once it is taken it goes like any other.
            laps(on, 50, 75);
            assert!(row(on, "id1").unwrap().copy.is_none());
        });
    }
}

#[test]
fn sentence_2_9_taken_copies_of_the_same_user_make_room_in_mid_call() {
    let house = House::with_store(1, CONFIG, &geometry(6));
    let mut house = house_with(house, &[]);
    house.config.push_str("user anna share 40\n");
    house.power(|on| {
        on.run_until_ready();
        for n in 1..=8 {
            deliver(on, &format!("id{n}"), 6000);
            visit(on);
            assert_eq!(takes_all(on).len(), 1);
        }
        // Too large for the share, not for the ring: it is fetched while the caller waits.
        deliver(on, "large", 22_000);
        visit(on);
        assert_eq!(facts(on, "large"), Some((Lan::Unread, false, false)));
        assert_eq!(takes_all(on), ["large"]);
    });
}

#[test]
fn sentence_2_10_uids_stay_and_are_never_used_again() {
    // Whose share is all of it may push out what is another's.
    let config = format!("{CONFIG}{BERT}user bert share 100\n");
    let house = House::with_store(1, &config, &geometry(8));
    let mut house = house_with(house, &["id1", "id2", "id3"]);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..8 {
        house.power(|on| {
            on.run_until_ready();
            match round % 4 {
                // The copies go, and the ids change.
                1 => {
                    for n in 0..25 {
                        let id = format!("b{round}.{n}");
                        on.world.net().post().deliver("bert", &id, &mail(&id, 6000));
                        visit_of(on, "bert");
                    }
                    assert!(row(on, "id3").is_none_or(|row| row.copy.is_none()));
                }
                2 => {
                    on.world
                        .net()
                        .post()
                        .renumber("anna", |id| format!("{round}{id}"));
                }
                3 => {
                    let record = on.whole_call("a", says(&[Say::Dele(1), Say::Quit]));
                    assert!(record.quit_read, "{record:?}");
                }
                _ => {}
            }
            deliver(on, &format!("new{round}"), 400);
            visit(on);
            let record = on.whole_call("a", plan(take_all(false)));
            for (id, uid) in uids(&record) {
                assert!(uid.len() <= 6, "{uid}");
                let before = known.insert(id.clone(), uid.clone());
                assert!(before.is_none_or(|before| before == uid), "{id}: {uid}");
            }
            let different: BTreeSet<&String> = known.values().collect();
            assert_eq!(different.len(), known.len(), "{known:?}");
            if round % 2 == 0 {
                on.gateway.end(on.world);
            }
        });
        house.world.disk().kill();
    }
    assert_eq!(known.len(), 3 + 8);
}

#[test]
fn sentence_2_10_a_uid_is_durable_before_it_is_first_sent() {
    let mails: Vec<String> = (1..=12).map(|n| format!("id{n}")).collect();
    let names: Vec<&str> = mails.iter().map(String::as_str).collect();
    let mut seen = 0;
    // In the midst of a slow first visit, at many moments of it.
    for moment in 0..40_u64 {
        let mut house = house(&names);
        house.config.push_str("user anna poll at-login 1s\n");
        house.world.disk().set_delay(Duration::from_millis(300));
        house.world.net().post().rate = 300;
        let mut first = BTreeMap::new();
        house.power(|on| {
            on.run_until_ready();
            command(on, "poll anna");
            on.run_for(Duration::from_millis(500 * moment));
            let call = on.call(
                "a",
                plan(Box::new(|count| {
                    let mut says: Vec<Say> = (1..=count).map(|n| Say::Top(n, 0)).collect();
                    says.push(Say::Silence);
                    says
                })),
            );
            on.run_until(Duration::from_secs(60), |_| {
                let call = call.borrow();
                call.listed.is_some() && call.tops.len() == call.uids.len()
            });
            let call = call.borrow();
            for (n, header) in &call.tops {
                first.insert(call.uids[*n as usize - 1].clone(), id_of(header));
            }
        });
        seen += first.len();
        house.world.disk().cut(Cut::Prefix(0), &mut || 0);
        house.world.net().post().rate = 10_000_000;
        house.power(|on| {
            on.run_until_ready();
            visit(on);
            on.run_for(Duration::from_secs(60));
            let record = on.whole_call("a", plan(take_all(true)));
            let mut got = ids(&record);
            for (id, uid) in uids(&record) {
                let before = first.remove(&uid);
                assert!(before.is_none_or(|before| before == id), "moment {moment}");
            }
            assert!(first.is_empty(), "moment {moment}: lost {first:?}");
            got.sort();
            let mut all = mails.clone();
            all.sort();
            assert_eq!(got, all, "moment {moment}");
        });
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn sentence_2_10_a_line_of_the_unique_id_listing_is_short() {
    let house = House::with_store(1, CONFIG, &geometry(64));
    house_with(house, &[]).power(|on| {
        on.run_until_ready();
        for n in 0..400 {
            deliver(on, &format!("id{n}"), 160);
        }
        visit(on);
        on.run_for(Duration::from_secs(60));
        let record = on.whole_call("a", says(&[Say::Quit]));
        assert_eq!(record.uids.len(), 400);
        for (n, uid) in record.uids.iter().enumerate() {
            assert!(format!("{} {uid}\r\n", n + 1).len() <= 12, "{uid}");
        }
    });
}

/// Mails of the days before this world begins, each with its age in days.
fn dated(days: u32) -> Vec<u8> {
    // The world begins on 5 January 2026.
    let (month, day) = if days < 5 {
        ("Jan 2026", 5 - days)
    } else {
        ("Dec 2025", 36 - days)
    };
    format!(
        "From: sender@example.net\r\nDate: {day} {month} 10:00:00 +0000\r\n\
         Message-ID: <{days}@example.net>\r\nX-Id: day{days}\r\n\r\ntext of {days}\r\n"
    )
    .into_bytes()
}

#[test]
fn sentence_2_11_start_days_goes_by_the_date_of_the_header() {
    let mut house = house(&[]);
    house.config.push_str("user anna start 7d\n");
    for days in [20, 12, 8, 7, 3, 0] {
        let id = format!("day{days}");
        house.world.net().post().deliver("anna", &id, &dated(days));
    }
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        let record = on.whole_call("a", plan(take_all(false)));
        let got: Vec<String> = record.mails.values().map(|mail| id_of(mail)).collect();
        assert_eq!(got, ["day7", "day3", "day0"]);
        for days in [20, 12, 8] {
            assert_eq!(copies(on, &format!("day{days}")), 0);
        }
        // What comes later counts, however old it says it is.
        let old = dated(30);
        on.world.net().post().deliver("anna", "day30", &old);
        visit(on);
        let record = on.whole_call("a", plan(take_all(true)));
        assert!(record.mails[&4] == old, "{record:?}");
    });
}

/// A first visit under `start`, cut after so many octets, with a restart or without one: true if
/// it was not cut.
fn first_visit(start: &str, octets: u64, restarts: bool) -> bool {
    let what = format!("start {start}, {octets} octets, restarts: {restarts}");
    let all = ["id1", "id2", "id3", "id4"];
    let mut house = house(&all);
    house.config.push_str(&format!("user anna start {start}\n"));
    let mut over = false;
    house.world.net().post().fault = Fault::CutAfter(octets);
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        let logins = on.world.net().post().logins("anna");
        over = on.world.net().post().octets() < octets * u64::from(logins);
        if !restarts {
            on.world.net().post().fault = Fault::None;
            visit(on);
        }
    });
    if restarts {
        house.world.disk().cut(Cut::Prefix(0), &mut || 0);
    }
    house.world.net().post().fault = Fault::None;
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        deliver(on, "id5", 300);
        visit(on);
        let expected: &[&str] = match start {
            "new" => &["id5"],
            _ => &["id1", "id2", "id3", "id4", "id5"],
        };
        assert_eq!(takes_all(on), expected, "{what}");
        visit(on);
        assert_eq!(offered(on), [""; 0], "{what}");
    });
    over
}

#[test]
fn sentence_2_11_a_first_visit_cut_anywhere() {
    for start in ["all", "new"] {
        for restarts in [false, true] {
            let mut octets = 0;
            while !first_visit(start, octets, restarts) {
                octets += 1;
            }
            assert!(octets > 150, "{octets}");
        }
    }
}

#[test]
fn sentence_2_11_start_new_on_an_empty_server_is_the_first_visit() {
    let mut house = house(&[]);
    house.config.push_str("user anna start new\n");
    house.power(|on| {
        on.run_until_ready();
        visit(on);
        deliver(on, "id1", 300);
        visit(on);
        assert_eq!(offered(on), ["id1"]);
    });
}

#[test]
fn sentence_2_11_start_all_copies_the_newest_that_fit_oldest_first() {
    let mut house = house(&[]);
    // A tenth of 256 KiB: four of these, and what is left without copy is fetched.
    house.config.push_str("user anna share 10\n");
    house.power(|on| {
        on.run_until_ready();
        let all: Vec<String> = (1..=9).map(|n| format!("id{n}")).collect();
        for id in &all {
            deliver(on, id, 6000);
        }
        visit(on);
        for (n, id) in all.iter().enumerate() {
            // Of id5 nobody can say: the one mail that tests the source is counted apart.
            if n != 4 {
                assert_eq!(facts(on, id), Some((Lan::Unread, n > 4, false)), "{id}");
                assert_eq!(copies(on, id), u32::from(n > 4), "{id}");
            }
            assert!(row(on, id).unwrap().size >= 6000 && row(on, id).unwrap().identity.is_some());
        }
        let held: Vec<_> = all[5..].iter().map(|id| row(on, id).unwrap()).collect();
        assert!(held.windows(2).all(|pair| pair[0].uid < pair[1].uid));
        assert!(
            held.windows(2)
                .all(|pair| pair[0].copy.unwrap().0 < pair[1].copy.unwrap().0)
        );
        let mut got = takes_all(on);
        got.sort();
        assert_eq!(got, all);
        assert!(all.iter().all(|id| copies(on, id) == 1));
        assert_eq!(offered(on), [""; 0]);
    });
}

#[test]
fn sentence_2_5_an_id_that_returns_for_another_mail_is_a_new_mail() {
    house(&["id1", "id2"]).power(|on| {
        on.run_until_ready();
        visit(on);
        assert_eq!(takes_all(on), ["id1", "id2"]);
        on.world
            .net()
            .post()
            .renumber("anna", |id| format!("gone.{id}"));
        remove(on, "gone.id1");
        remove(on, "gone.id2");
        visit(on);
        // One id is given to another mail, the other mail comes back under its own.
        let other = mail("other", 500);
        on.world.net().post().deliver("anna", "id1", &other);
        on.world.net().post().deliver("anna", "id2", &short("id2"));
        visit(on);
        assert_eq!(takes_all(on), ["other"]);
        assert_eq!(offered(on), [""; 0]);
        assert_eq!(copies(on, "id2"), 0);
    });
}

/// The id was never away: only its size says that it is another mail's.
#[test]
fn sentence_2_5_an_id_whose_size_changed_is_looked_at() {
    house(&["id1", "id2"]).power(|on| {
        on.run_until_ready();
        visit(on);
        assert_eq!(takes_all(on), ["id1", "id2"]);
        remove(on, "id1");
        let other = mail("other", 900);
        on.world.net().post().deliver("anna", "id1", &other);
        visit(on);
        // The mail that stayed was not looked at, and nothing more is afterwards.
        assert_eq!(on.world.net().post().asked("anna", "id2").headers, 0);
        assert_eq!(takes_all(on), ["other"]);
        visit(on);
        assert_eq!(offered(on), [""; 0]);
        assert_eq!(copies(on, "id2"), 1);
    });
}

/// A server that puts something into a body: the same mail, and once it is known it costs nothing.
#[test]
fn sentence_2_5_a_size_that_changed_alone_is_no_new_mail() {
    house(&["id1", "id2", "id3"]).power(|on| {
        on.run_until_ready();
        visit(on);
        assert_eq!(takes_all(on), ["id1", "id2", "id3"]);
        for id in ["id1", "id2"] {
            remove(on, id);
            on.world.net().post().deliver("anna", id, &mail(id, 700));
        }
        for _ in 0..3 {
            visit(on);
            assert_eq!(offered(on), [""; 0]);
        }
        for id in ["id1", "id2"] {
            let asked = on.world.net().post().asked("anna", id);
            // The copy is of the time before.
            assert_eq!((asked.headers, asked.copies()), (1, 1), "{id}");
        }
    });
}

#[test]
fn sentence_2_6_equal_ids_are_mails_of_their_own() {
    house(&["id1"]).power(|on| {
        on.run_until_ready();
        for other in ["x", "y", "z"] {
            let octets = mail(other, 400);
            on.world.net().post().deliver("anna", "same", &octets);
        }
        visit(on);
        assert_eq!(offered(on), ["id1", "x", "y", "z"]);
        let record = on.whole_call("a", says(&[Say::Dele(3), Say::Quit]));
        assert!(record.quit_read);
        visit(on);
        assert_eq!(offered(on), ["id1", "x", "z"]);
        assert_eq!(copies(on, "same"), 3);
        assert_eq!(takes_all(on), ["id1", "x", "z"]);
        visit(on);
        assert_eq!(offered(on), [""; 0]);
    });
}

#[test]
fn sentence_2_6_of_equal_ids_the_right_one_goes() {
    let all = ["x", "y", "z"];
    for taken in 0..3_u32 {
        for gone in 0..3 {
            let what = format!("{} taken, {} gone", all[taken as usize], all[gone]);
            house(&[]).power(|on| {
                on.run_until_ready();
                for other in all {
                    let octets = mail(other, 400);
                    on.world.net().post().deliver("anna", "same", &octets);
                }
                visit(on);
                let record = on.whole_call("a", says(&[Say::Dele(taken + 1), Say::Quit]));
                assert!(record.quit_read);
                on.world.net().post().remove_at("anna", gone);
                let octets = mail("w", 400);
                on.world.net().post().deliver("anna", "other", &octets);
                visit(on);
                let is = |n: &usize| *n != gone && *n != taken as usize;
                let left = (0..3).filter(is).map(|n| all[n]);
                let left: Vec<&str> = left.chain(["w"]).collect();
                assert_eq!(takes_all(on), left, "{what}");
                visit(on);
                assert_eq!(offered(on), [""; 0], "{what}");
                assert_eq!(copies(on, "same"), 3, "{what}");
            });
        }
    }
}
