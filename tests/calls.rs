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
use hal::sim::post::Asked;
use hal::{Duration, Instant};
use support::dialler::{Plan, Say, take_all};
use support::world::{House, id_of, mail};

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
    let only: Option<u64> = std::env::var("ONLY").ok().map(|n| n.parse().unwrap());
    for (toward, octets) in toward_caller.chain(toward_gateway) {
        if only.is_some_and(|only| only != octets) {
            continue;
        }
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
