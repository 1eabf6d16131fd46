//! Whole calls through the whole gateway, in virtual time.

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

use hal::sim::SimMedium;
use hal::sim::line::{By, CutAfter, Toward};
use hal::sim::post::{Asked, Fault};
use hal::{Duration, Instant};
use ringmail::config::ReadAtDesk;
use ringmail::mailbox::{Offer, Row, View};
use support::dialler::{Plan, Say, take_all};
use support::world::{House, Running, id_of, mail};

const CONFIG: &str = "line a device /dev/a\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n";

fn plan(body: Box<dyn Fn(u32) -> Vec<Say>>) -> Plan {
    Plan {
        at: Instant::ZERO,
        user: "anna".into(),
        password: "rot".into(),
        pipelined: false,
        body,
    }
}

fn house(speed: u32, mails: &[Vec<u8>]) -> House {
    let mut house = House::new(1, CONFIG);
    house.line("a", speed, true);
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    for mail in mails {
        post.deliver("anna", &id_of(mail), mail);
    }
    drop(post);
    house
}

fn mails(count: usize, octets: usize) -> Vec<Vec<u8>> {
    (1..=count)
        .map(|n| mail(&format!("id{n}"), octets * n))
        .collect()
}

#[test]
fn a_whole_session_at_every_speed() {
    for (speed, pipelined) in [
        (2400, false),
        (33600, false),
        (33600, true),
        (115_200, true),
        (300, false),
    ] {
        let mails = if speed == 300 {
            mails(1, 300)
        } else {
            mails(4, 2000)
        };
        let mut house = house(speed, &mails);
        house.power(|on| {
            on.run_until_ready();
            let call = Plan {
                pipelined,
                ..plan(take_all(true))
            };
            let record = on.whole_call("a", call);
            assert!(record.quit_read, "{record:?}");
            let got: Vec<Vec<u8>> = record.mails.into_values().collect();
            assert!(got == mails, "at {speed}");
            let record = on.whole_call("a", plan(take_all(true)));
            assert_eq!(record.mails.len(), 0);
        });
        let net = house.world.net().clone();
        for mail in net.post().mails("anna") {
            assert_eq!(mail.asked.copies(), 1, "{}", mail.uidl);
            assert_eq!((mail.asked.retrs, mail.asked.deles), (0, 0));
        }
    }
}

/// `order`: what a caller gets first, where a line may drop before the last.
#[test]
fn the_order_in_the_maildrop_is_the_users_choice() {
    let sizes = [900, 300, 2000, 600];
    for (order, expected) in [
        ("arrival", [900, 300, 2000, 600]),
        ("newest", [600, 2000, 300, 900]),
        ("size", [300, 600, 900, 2000]),
    ] {
        let mails: Vec<_> = sizes
            .map(|octets| mail(&format!("m{octets}"), octets))
            .into();
        let mut house = house(33600, &mails);
        house.config.push_str(&format!("user anna order {order}\n"));
        house.power(|on| {
            on.run_until_ready();
            let record = on.whole_call("a", plan(take_all(false)));
            let got: Vec<_> = record.mails.values().map(|mail| id_of(mail)).collect();
            let expected = expected.map(|octets| format!("m{octets}"));
            assert_eq!(got, expected, "{order}");
            // The numbers have changed with it, and nothing else: the same unique-ids.
            let again = on.whole_call("a", plan(take_all(true)));
            assert_eq!(again.uids, record.uids);
        });
    }
}

/// Two users of one LAN account call at the same moment: their visits cannot be made side by side,
/// and neither hears before its own that there is no mail.
#[test]
fn section_3_a_visit_that_must_wait_for_another_is_waited_for() {
    let mut house = house(33600, &mails(2, 1000));
    house.line("b", 33600, true);
    house.config.push_str(
        "line b device /dev/b\nuser add bert password rot\n\
         user bert source pop3://post login anna password blau\n\
         user anna poll off\nuser bert poll off\n\
         user anna poll at-login 10s\nuser bert poll at-login 10s\n",
    );
    house.power(|on| {
        on.run_until_ready();
        on.world.net().post().rate = 4000;
        let bert = Plan {
            user: "bert".into(),
            ..plan(take_all(true))
        };
        let calls = [on.call("a", plan(take_all(true))), on.call("b", bert)];
        on.run_until(Duration::from_secs(600), |_| {
            calls.iter().all(|call| call.borrow().ended.is_some())
        });
        for call in calls {
            assert_eq!(call.borrow().mails.len(), 2, "{call:?}");
        }
    });
}

/// The ways a line fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Carrier,
    CarrierByText,
    Unplugged,
}

/// What a user's choice makes of a call that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Quit,
    Retr,
    Dele,
}

impl Rule {
    fn words(self) -> &'static str {
        match self {
            Self::Quit => "",
            Self::Retr => "user anna taken-by retr\n",
            Self::Dele => "user anna commit dele\n",
        }
    }
}

/// A medium with three mails copied, and the octets of a whole call in both directions.
fn prepared(rule: Rule, pipelined: bool, mails: &[Vec<u8>]) -> (Vec<u8>, (u64, u64)) {
    let mut house = house(33600, mails);
    house.config.push_str(rule.words());
    house.power(|on| {
        on.run_until_ready();
        // The first visit tests the source, the second one copies.
        on.run_until(Duration::from_secs(3600), |on| {
            on.world.net().post().listings("anna") >= 2
        });
        on.run_for(Duration::from_secs(5));
        on.gateway.end(on.world);
    });
    let image = house.world.disk().image();
    let octets = house.power(|on| {
        let record = on.whole_call(
            "a",
            Plan {
                pipelined,
                ..plan(take_all(rule != Rule::Retr))
            },
        );
        assert!(
            record.quit_read && record.mails.len() == mails.len(),
            "{record:?}"
        );
        record.octets
    });
    (image, octets)
}

fn cut_sweep(rule: Rule, pipelined: bool, failing: Failing) {
    let mails = mails(3, 150);
    let (image, (to_caller, to_gateway)) = prepared(rule, pipelined, &mails);
    let toward_caller = (0..=to_caller).map(|n| (Toward::Caller, n));
    let toward_gateway = (0..=to_gateway).map(|n| (Toward::Gateway, n));

    for (toward, octets) in toward_caller.chain(toward_gateway) {
        let by = match failing {
            Failing::Carrier | Failing::CarrierByText => By::CarrierLoss,
            Failing::Unplugged => By::Unplugging(Duration::from_secs(3)),
        };
        let what = format!("{rule:?}, {failing:?}, {octets} octets {toward:?}");
        let medium = SimMedium::from_image(image.clone());
        let config = format!("{CONFIG}{}", rule.words());
        let mut house = House::with_medium(octets + 1, &config, medium);
        house.line("a", 33600, !matches!(failing, Failing::CarrierByText));
        house.line("b", 33600, true);
        house.config.push_str("line b device /dev/b\n");
        {
            let mut post = house.world.net().post();
            post.open_account("anna", "blau");
            for mail in &mails {
                post.deliver("anna", &id_of(mail), mail);
            }
        }
        house.power(|on| {
            on.run_until_ready();
            let cut = CutAfter { toward, octets, by };
            on.world.line("/dev/a").cut_after(cut);
            let first = on.whole_call(
                "a",
                Plan {
                    pipelined,
                    ..plan(take_all(rule != Rule::Retr))
                },
            );
            // By another line, at once: the maildrop is unlocked as soon as the loss is seen.
            let second = on.whole_call("b", plan(take_all(false)));
            assert!(second.quit_read, "{what}: {first:?} {second:?}");
            for mail in second.mails.values() {
                assert!(mails.contains(mail), "{what}: another mail");
            }
            for n in 1..=3 {
                let offered = second
                    .mails
                    .values()
                    .any(|mail| *mail == mails[n as usize - 1]);
                let got = first.mails.contains_key(&n);
                // Whatever a caller says ahead, what it did not get whole is not lost.
                let (may, must) = match rule {
                    _ if first.quit_read => (true, true),
                    Rule::Quit => (
                        first.quit_said && got && first.dele_said.contains(&n),
                        false,
                    ),
                    Rule::Retr => (first.quit_said && got, false),
                    Rule::Dele => (
                        first.dele_said.contains(&n),
                        first.dele_outlived.contains(&n),
                    ),
                };
                assert!(
                    offered || may,
                    "{what}: mail {n} is lost: {first:?} {second:?}"
                );
                assert!(!offered || !must, "{what}: mail {n} comes again: {first:?}");
            }
        });
        let net = house.world.net().clone();
        for mail in net.post().mails("anna") {
            assert_eq!(mail.asked, Asked::default(), "{what}: {}", mail.uidl);
        }
    }
}

#[test]
fn sentence_2_7_a_call_cut_at_every_octet() {
    for failing in [Failing::Carrier, Failing::CarrierByText, Failing::Unplugged] {
        cut_sweep(Rule::Quit, false, failing);
    }
}

#[test]
fn sentence_2_7_a_pipelined_call_cut_at_every_octet() {
    cut_sweep(Rule::Quit, true, Failing::Carrier);
}

#[test]
fn sentence_2_7_taken_by_retr_cut_at_every_octet() {
    cut_sweep(Rule::Retr, false, Failing::Carrier);
    cut_sweep(Rule::Retr, true, Failing::Unplugged);
}

#[test]
fn sentence_2_7_commit_dele_cut_at_every_octet() {
    cut_sweep(Rule::Dele, false, Failing::Carrier);
    cut_sweep(Rule::Dele, true, Failing::CarrierByText);
}

const TWO_LINES: &str = "line a device /dev/a\nline b device /dev/b\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n";

/// From dialling to `CONNECT`, if `RING` is answered at once: the modems' training.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn section_1_one_maildrop_to_one_caller_and_free_at_once() {
    let mut house = house(33600, &mails(2, 3000));
    house.config = TWO_LINES.into();
    house.line("b", 33600, true);
    house.power(|on| {
        on.run_until_ready();
        let holds = |_| vec![Say::Retr(1), Say::Dele(1), Say::Silence];
        let first = on.call("a", plan(Box::new(holds)));
        on.run_until(Duration::from_secs(60), |_| {
            first.borrow().dele_read.len() == 1
        });
        let second = on.whole_call("b", plan(take_all(true)));
        let (_, said, text) = &second.refusals[0];
        assert!(
            matches!(said, Say::Pass(_)) && text.starts_with("-ERR [IN-USE]"),
            "{second:?}"
        );
        on.world.line("/dev/a").hang_up();
        let third = on.whole_call("b", plan(take_all(true)));
        assert!(third.quit_read && third.mails.len() == 2, "{third:?}");
        // On the same line the next caller is in as soon.
        let fourth = on.whole_call("a", plan(take_all(true)));
        assert!(fourth.quit_read && fourth.mails.is_empty(), "{fourth:?}");
    });
}

#[test]
fn section_1_a_ring_is_answered_whatever_the_lan_does() {
    for fault in [
        Fault::None,
        Fault::BlackHole,
        Fault::NoName,
        Fault::Refused,
        Fault::Mute,
    ] {
        let mut house = House::with_store(3, CONFIG, &support::world::large());
        house.line("a", 33600, true);
        {
            let mut post = house.world.net().post();
            post.open_account("anna", "blau");
            post.deliver("anna", "small", &mail("small", 500));
            post.deliver("anna", "large", &mail("large", 20_000_000));
            post.fault = fault;
        }
        house.world.disk().set_delay(Duration::from_millis(400));
        house.power(|on| {
            on.run_until_ready();
            let connections = on.world.net().post().connections();
            on.run_until(Duration::from_secs(3600), |on| {
                let post = on.world.net().post();
                let copies = post
                    .mails("anna")
                    .any(|mail| mail.uidl == "large" && mail.asked.tops > 0);
                copies || (fault != Fault::None && post.connections() > connections)
            });
            on.run_for(Duration::from_millis(300));
            let dialled = on.now();
            let record = on.call("a", plan(take_all(false)));
            on.run_until(Duration::from_secs(60), |_| {
                record.borrow().connected.is_some()
            });
            let connected = record.borrow().connected.unwrap();
            assert_eq!(connected - dialled, AT_ONCE, "{fault:?}");
            on.run_until(Duration::from_secs(60), |_| {
                record.borrow().admitted.is_some()
            });
        });
    }
}

#[test]
fn section_3_pass_waits_for_the_visit_but_not_for_ever() {
    let mut house = house(33600, &mails(1, 3000));
    house
        .config
        .push_str("user anna poll off\nuser anna poll at-login 10s\n");
    let waited =
        |record: &support::dialler::Record| record.admitted.unwrap() - record.greeted.unwrap();
    house.power(|on| {
        on.run_until_ready();
        // A good LAN: as long as the visit takes.
        let record = on.whole_call("a", plan(take_all(true)));
        assert_eq!(record.mails.len(), 1, "{record:?}");
        assert!(waited(&record) < Duration::from_secs(2), "{record:?}");
        // Twenty seconds for one mail: the visit goes on when the caller is let in.
        let slow = mail("slow", 100_000);
        on.world.net().post().deliver("anna", "slow", &slow);
        on.world.net().post().rate = 5000;
        let record = on.whole_call("a", plan(take_all(true)));
        assert_eq!(record.uids.len(), 0, "{record:?}");
        let time = waited(&record);
        assert!(
            time > Duration::from_secs(9) && time < Duration::from_secs(11),
            "{time:?}"
        );
        on.run_for(Duration::from_secs(30));
        assert_eq!(on.world.net().post().asked("anna", "slow").copies(), 1);
        on.world.net().post().rate = 10_000_000;
        let record = on.whole_call("a", plan(take_all(true)));
        assert!(record.mails.values().eq([&slow]), "{record:?}");
        // A black hole: what is there is given.
        on.world.net().post().fault = Fault::BlackHole;
        let record = on.whole_call("a", plan(take_all(true)));
        assert!(
            record.quit_read && waited(&record) < Duration::from_secs(11),
            "{record:?}"
        );
        // A wrong password waits for nothing.
        on.run_for(Duration::from_secs(3600));
        let record = on.whole_call(
            "a",
            Plan {
                password: "wrong".into(),
                ..plan(take_all(true))
            },
        );
        let refused = record.refusals[0].0 - record.greeted.unwrap();
        assert!(refused < Duration::from_secs(5), "{refused:?}");
    });
}

#[test]
fn sentence_2_9_a_mail_without_copy_is_fetched_or_refused_for_now() {
    // The share is 5 % of 256 KiB.
    let large = mail("large", 40_000);
    let mut house = house(115_200, &[mail("small", 500), large.clone()]);
    house.config.push_str("user anna share 5\n");
    house.power(|on| {
        on.run_until_ready();
        on.run_until(Duration::from_secs(3600), |on| {
            on.world.net().post().listings("anna") >= 2
        });
        on.run_for(Duration::from_secs(60));
        assert_eq!(on.world.net().post().asked("anna", "large").copies(), 0);

        on.world.net().post().fault = Fault::Refused;
        let all = |_| vec![Say::Retr(2), Say::Noop, Say::Retr(1), Say::Quit];
        let record = on.whole_call("a", plan(Box::new(all)));
        assert_eq!(record.uids.len(), 2, "{record:?}");
        let (_, said, text) = &record.refusals[0];
        assert!(
            *said == Say::Retr(2) && text.starts_with("-ERR [SYS/TEMP]"),
            "{record:?}"
        );
        assert!(record.refusals.len() == 1 && record.quit_read && record.mails.len() == 1);

        on.world.net().post().fault = Fault::None;
        let record = on.whole_call("a", plan(take_all(true)));
        assert!(record.quit_read && record.mails[&2] == large, "{record:?}");
        assert_eq!(on.world.net().post().asked("anna", "large").copies(), 1);
        let record = on.whole_call("a", plan(take_all(true)));
        assert!(record.uids.is_empty(), "{record:?}");
    });
}

/// What is offered with a copy, and what the newest whole listing had: the patent's two lists.
fn lists(on: &Running<'_, '_>) -> (Vec<String>, Vec<String>) {
    let mailbox = on.gateway.mailbox();
    let rows: Vec<_> = mailbox.ledger().rows().map(|(_, row)| row).collect();
    let ids = (1..=7).map(|n| format!("id{n}"));
    let with = |wanted: &dyn Fn(&Row) -> bool| {
        let is = |id: &String| {
            rows.iter()
                .any(|row| row.key == mailbox.key(id.as_bytes()) && wanted(row))
        };
        ids.clone().filter(is).collect::<Vec<_>>()
    };
    let held = with(&|row| {
        row.copy.is_some() && row.offer(ReadAtDesk::Drop, View::Usual, 0) == Offer::Mail
    });
    (held, with(&Row::is_listed))
}

fn next_listing(on: &mut Running<'_, '_>) {
    let before = on.world.net().post().listings("anna");
    on.run_until(Duration::from_secs(7200), |on| {
        on.world.net().post().listings("anna") > before
    });
    on.run_for(Duration::from_secs(10));
}

/// A call that takes these of the mails that are offered.
fn takes(on: &mut Running<'_, '_>, offered: &[String], wanted: &[&str]) {
    let place = |id: &&str| 1 + offered.iter().position(|other| other == id).unwrap() as u32;
    let mut says: Vec<Say> = wanted.iter().map(place).map(Say::Retr).collect();
    says.push(Say::Quit);
    let record = on.whole_call("a", plan(Box::new(move |_| says.clone())));
    assert!(record.quit_read, "{record:?}");
    let got: Vec<String> = record.mails.values().map(|mail| id_of(mail)).collect();
    let mut expected = wanted.to_vec();
    expected.sort_unstable();
    assert_eq!(got, expected);
}

#[test]
fn fig_3_state_by_state_in_all_its_readings() {
    for second in ["id3", "id5"] {
        let other = if second == "id3" { "id5" } else { "id3" };
        for other_held in [true, false] {
            for order in [["id2", second], [second, "id2"]] {
                fig_3(order, other, other_held);
            }
        }
    }
}

fn fig_3(order: [&str; 2], other: &str, other_held: bool) {
    let mut house = house(33600, &mails(5, 400));
    house
        .config
        .push_str("user anna taken-by retr\nuser anna poll at-login off\n");
    let sorted = |ids: &[&str]| {
        let mut ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        ids.sort();
        ids
    };
    let with_other = |ids: &[&str]| match other_held {
        true => sorted(&[ids, &[other]].concat()),
        false => sorted(ids),
    };
    let what = format!("{order:?}, {other} held: {other_held}");
    house.power(|on| {
        on.run_until_ready();
        next_listing(on);
        next_listing(on);
        // Read at the desk before the figure begins.
        on.world.net().post().remove("anna", "id1");
        next_listing(on);
        let previous = sorted(&["id2", "id3", "id4", "id5"]);
        assert_eq!(
            lists(on),
            (previous.clone(), previous.clone()),
            "{what}: before"
        );
        if !other_held {
            takes(on, &previous, &[other]);
        }
        // 1
        let held = with_other(&["id4", order[0], order[1]]);
        assert_eq!(lists(on), (held.clone(), previous.clone()), "{what}: 1");
        // 2: what the caller received is deleted here.
        takes(on, &held, &order);
        let held = with_other(&["id4"]);
        assert_eq!(lists(on), (held, previous), "{what}: 2");
        // 3: meanwhile at the desk.
        {
            let mut post = on.world.net().post();
            post.remove("anna", "id2");
            post.remove("anna", "id4");
            post.deliver("anna", "id6", &mail("id6", 900));
            post.deliver("anna", "id7", &mail("id7", 700));
        }
        // 4, 5: nothing else is ever seen on the way.
        let last = (
            with_other(&["id6", "id7"]),
            sorted(&["id3", "id5", "id6", "id7"]),
        );
        let mut seen = vec![lists(on)];
        on.run_until(Duration::from_secs(7200), |on| {
            let now = lists(on);
            if seen.last() != Some(&now) {
                seen.push(now);
            }
            seen.last() == Some(&last)
        });
        let vanished = (with_other(&[]), sorted(&["id3", "id5"]));
        assert_eq!(seen[1], vanished, "{what}: 4 of {seen:?}");
        assert!(seen.len() <= 4, "{what}: {seen:?}");
        // 6
        next_listing(on);
        assert_eq!(lists(on), last, "{what}: 6");
        takes(
            on,
            &last.0,
            &last.0.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        assert_eq!(lists(on).0.len(), 0);
    });
    let net = house.world.net().clone();
    for mail in net.post().mails("anna") {
        let Asked { retrs, deles, .. } = mail.asked;
        assert_eq!(
            (mail.asked.copies(), retrs, deles),
            (1, 0, 0),
            "{what}: {}",
            mail.uidl
        );
    }
}
