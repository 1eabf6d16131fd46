//! Faults that were found by reading: the owner, the LAN and the store at the wrong moment.

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

use hal::sim::post::{Fault, Post};
use hal::{Duration, Instant};
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

/// A house with one line and one user, and so many mails of 600 octets.
fn house(mails: usize) -> House {
    let mut house = House::new(1, CONFIG);
    house.line("a", 33600, true);
    post(&house, |post| {
        post.open_account("anna", "blau");
        for n in 1..=mails {
            let id = format!("id{n}");
            post.deliver("anna", &id, &mail(&id, 600));
        }
    });
    house
}

fn post<R>(house: &House, look: impl FnOnce(&mut Post) -> R) -> R {
    let net = house.world.net().clone();
    look(&mut net.post())
}

fn at_post<R>(on: &Running<'_, '_>, look: impl FnOnce(&mut Post) -> R) -> R {
    let net = on.world.net().clone();
    look(&mut net.post())
}

/// The operator says `words`; returns what the terminal shows.
fn say(on: &mut Running<'_, '_>, words: &str) -> String {
    let console = on.world.attach(&format!("{words}\r"));
    on.run_for(Duration::from_millis(100));
    console.close();
    on.step();
    console.shown()
}

/// Runs until the gateway has listed anna's mail `times` more.
#[track_caller]
fn next_listings(on: &mut Running<'_, '_>, times: u32) {
    let before = at_post(on, |post| post.listings("anna"));
    on.run_until(Duration::from_secs(7200), |on| {
        at_post(on, |post| post.listings("anna")) >= before + times
    });
    on.run_for(Duration::from_secs(5));
}

/// What a caller is offered, and leaves.
fn offered(on: &mut Running<'_, '_>) -> Vec<String> {
    let look = |count: u32| (1..=count).map(Say::Retr).chain([Say::Quit]).collect();
    let record = on.whole_call("a", plan(Box::new(look)));
    assert!(record.quit_read, "{record:?}");
    record.mails.values().map(|mail| id_of(mail)).collect()
}

#[test]
fn a_user_deleted_while_the_password_is_answered_is_refused_once() {
    let mut house = house(1);
    house.config.push_str("user anna poll every 24h\n");
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(60));
        // The visit at the login takes its time: PASS waits for it.
        at_post(on, |post| post.latency = Duration::from_secs(4));
        let record = on.call("a", plan(take_all(true)));
        on.run_until(Duration::from_secs(120), |_| {
            record.borrow().greeted.is_some()
        });
        on.run_for(Duration::from_secs(2));
        say(on, "user delete anna");
        on.run_until(Duration::from_secs(120), |_| {
            record.borrow().ended.is_some()
        });
        let record = record.borrow();
        assert!(record.admitted.is_none(), "{record:?}");
        assert_eq!(record.refusals.len(), 1, "{record:?}");
    });
}

#[test]
fn a_new_source_gets_its_password_alone_and_at_once() {
    let mut house = house(1);
    post(&house, |post| {
        post.open_account("berta", "gruen");
        post.latency = Duration::from_secs(2);
    });
    for seconds in 0..16 {
        house.world.net().post().open_account("anna", "blau");
        house.power(|on| {
            on.run_for(Duration::from_secs(1 + seconds));
            let before = at_post(on, |post| post.listings("berta"));
            say(
                on,
                "user anna source pop3://other login berta password gruen",
            );
            on.run_until(Duration::from_secs(60), |on| {
                at_post(on, |post| post.listings("berta")) > before
            });
        });
    }
}

#[test]
fn a_password_set_right_ends_a_stop() {
    let mut house = house(1);
    house.config = house.config.replace("blau", "falsch");
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(3600));
        assert_eq!(at_post(on, |post| post.connections()), 1);
        say(on, "user anna source pop3://post login anna password blau");
        on.run_for(Duration::from_secs(60));
        assert!(at_post(on, |post| post.listings("anna")) > 0);
    });
}

#[test]
fn a_login_refused_without_a_reason_is_tried_again() {
    let mut house = house(1);
    post(&house, |post| post.fault = Fault::NotNow);
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(3600));
        let tries = at_post(on, |post| post.connections());
        assert!((2..20).contains(&tries), "{tries}");
        at_post(on, |post| post.fault = Fault::None);
        next_listings(on, 1);
    });
}

/// Each code of RFC 2449 and RFC 3206: what the owner reads, and how often it is tried in an hour.
#[test]
fn a_refused_login_is_waited_out_as_its_code_says_and_shown() {
    for (code, words, tries) in [
        (
            "IN-USE",
            "failed: mailbox in use by another; again in ",
            6..8,
        ),
        (
            "LOGIN-DELAY",
            "failed: the server wants more time between logins; again in ",
            6..8,
        ),
        (
            "SYS/TEMP",
            "failed: the server has a fault; again in ",
            6..8,
        ),
        (
            "SYS/PERM",
            "failed: the server has a fault; again in ",
            6..8,
        ),
        ("AUTH", "stopped: the LAN server refuses the login", 1..2),
    ] {
        let mut house = house(1);
        post(&house, |post| post.fault = Fault::Refuses(code));
        house.power(|on| {
            on.run_until_ready();
            on.run_for(Duration::from_secs(3600));
            let count = at_post(on, |post| post.connections());
            assert!(tries.contains(&count), "{code}: {count}");
            let shown = say(on, "show user anna");
            assert!(shown.contains(words), "{code}: {shown}");
            assert!(shown.contains(&format!("[{code}] not now")), "{shown}");
            // Mended: by itself, or at the owner's word.
            at_post(on, |post| post.fault = Fault::None);
            if code == "AUTH" {
                on.run_for(Duration::from_secs(7200));
                assert_eq!(at_post(on, |post| post.logins("anna")), 0);
                say(on, "poll anna");
            }
            next_listings(on, 1);
            assert!(!say(on, "show user anna").contains("again in"));
        });
    }
}

/// No login comes sooner after the last session than the server said, not even the one that must
/// follow the first, and one that is refused for it is made up for.
#[test]
fn logins_are_as_far_apart_as_the_server_wants() {
    let mut house = house(3);
    post(&house, |post| post.login_delay = 300);
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(280));
        assert_eq!(at_post(on, |post| post.logins("anna")), 1);
        at_post(on, |post| post.fault = Fault::Refuses("LOGIN-DELAY"));
        on.run_for(Duration::from_secs(40));
        assert!(say(on, "show user anna").contains("more time between logins"));
        at_post(on, |post| post.fault = Fault::None);
        on.run_for(Duration::from_secs(900));
        // The second session has seen that the mail is kept, and copied the others.
        assert_eq!(offered(on), ["id1", "id2", "id3"]);
        for id in ["id1", "id2", "id3"] {
            assert_eq!(at_post(on, |post| post.asked("anna", id).copies()), 1);
        }
    });
}

#[test]
fn a_mail_without_end_ends_the_visit_and_evicts_nothing() {
    for rate in [10_000_000, 60] {
        let mut house = house(1);
        house.power(|on| {
            on.run_until_ready();
            next_listings(on, 1);
            at_post(on, |post| {
                post.deliver("anna", "id2", &mail("id2", 600));
                (post.fault, post.rate) = (Fault::Endless, rate);
            });
            let before = at_post(on, |post| post.connections());
            on.run_until(Duration::from_secs(5 * 3600), |on| {
                at_post(on, |post| post.connections()) > before + 1
            });
            at_post(on, |post| {
                (post.fault, post.rate) = (Fault::None, 10_000_000);
            });
            next_listings(on, 1);
            assert_eq!(offered(on), ["id1", "id2"]);
            assert_eq!(at_post(on, |post| post.asked("anna", "id1").copies()), 1);
        });
    }
}

#[test]
fn a_line_keeps_its_call_when_its_words_change() {
    let mut house = house(3);
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(30));
        let record = on.call("a", plan(take_all(true)));
        on.run_until(Duration::from_secs(120), |_| {
            record.borrow().mails.len() == 1
        });
        say(on, "line a rings 3");
        on.run_until(Duration::from_secs(120), |_| {
            record.borrow().ended.is_some()
        });
        assert!(record.borrow().quit_read, "{record:?}");
        assert_eq!(record.borrow().mails.len(), 3);
        on.run_for(Duration::from_secs(60));
        let from = on.now();
        let record = on.whole_call("a", plan(take_all(true)));
        let rang = record.connected.unwrap() - from;
        assert!(rang > Duration::from_secs(8), "{rang:?}");
    });
}

#[test]
fn again_does_not_offer_what_no_call_took() {
    let mut house = house(2);
    house.config.push_str("user anna start new\n");
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(30));
        say(on, "again anna");
        assert_eq!(offered(on), [""; 0]);
    });
}

#[test]
fn calls_are_numbered_on_after_a_restart() {
    let mut house = house(1);
    house.power(|on| {
        on.run_until_ready();
        assert_eq!(on.whole_call("a", plan(take_all(true))).mails.len(), 1);
    });
    post(&house, |post| {
        post.deliver("anna", "id2", &mail("id2", 600));
    });
    house.power(|on| {
        on.run_until_ready();
        assert_eq!(on.whole_call("a", plan(take_all(true))).mails.len(), 1);
        say(on, "again anna");
        assert_eq!(offered(on), ["id2"]);
    });
}

/// The log of calls is in the store: a restart keeps it, and numbers go on.
#[test]
fn the_log_of_calls_survives_a_restart() {
    let mut house = house(1);
    house.power(|on| {
        on.run_until_ready();
        let record = on.whole_call("a", plan(take_all(true)));
        assert_eq!(record.mails.len(), 1);
        on.run_for(Duration::from_secs(5));
    });
    house.power(|on| {
        on.run_until_ready();
        let calls: Vec<_> = on
            .gateway
            .mailbox()
            .ledger()
            .log()
            .iter()
            .copied()
            .collect();
        let [call] = calls[..] else {
            panic!("{calls:?}");
        };
        assert_eq!(
            (call.serial, call.offered, call.sent, call.deleted),
            (1, 1, 1, 1)
        );
        assert!(call.number > 0 && call.octets > 600, "{call:?}");
        assert_eq!((call.speed, call.reason), (33600, 0));
        on.whole_call("a", plan(take_all(true)));
        on.run_for(Duration::from_secs(5));
        let log = on.gateway.mailbox().ledger().log();
        let serials: Vec<u32> = log.iter().map(|call| call.serial).collect();
        assert_eq!(serials, [2, 1]);
    });
}

#[test]
fn sentence_2_4_a_source_that_renumbers_does_not_consume() {
    let mut house = house(3);
    post(&house, |post| post.latency = Duration::from_millis(100));
    house.power(|on| {
        on.run_until(Duration::from_secs(60), |on| {
            at_post(on, |post| post.asked("anna", "id1").copies()) == 1
        });
        at_post(on, |post| {
            for n in 1..=3 {
                post.rename("anna", &format!("id{n}"), &format!("new{n}"));
            }
        });
        on.run_for(Duration::from_secs(3600));
        at_post(on, |post| {
            for mail in post.mails("anna") {
                assert_eq!(mail.asked.copies(), 1, "{}", mail.uidl);
            }
        });
        assert_eq!(offered(on).len(), 3);
    });
}

/// A source that drops what was fetched, and a connection cut at every octet of the first visit.
#[test]
fn sentence_2_4_a_visit_cut_at_every_octet_loses_nothing_of_a_consuming_source() {
    for consumes in [false, true] {
        for cut in (1..2_000).step_by(7).chain(1_000..1_200) {
            let mut house = house(2);
            post(&house, |post| {
                post.consumes = consumes;
                post.fault = Fault::CutAfter(cut);
            });
            house.power(|on| {
                on.run_until_ready();
                on.run_for(Duration::from_secs(30));
                at_post(on, |post| post.fault = Fault::None);
                on.run_for(Duration::from_secs(3 * 3600));
                // From a consuming source nothing is copied after the one that was the test.
                let mut all = at_post(on, |post| {
                    let left = post.mails("anna").filter(|mail| mail.present && consumes);
                    left.map(|mail| mail.uidl.clone()).collect::<Vec<_>>()
                });
                all.extend(offered(on));
                all.sort_unstable();
                all.dedup();
                assert_eq!(all, ["id1", "id2"], "cut at {cut}, consumes: {consumes}");
            });
        }
    }
}

/// The test of a source whose end nobody heard is no test.
#[test]
fn sentence_2_4_a_lost_quit_does_not_show_that_a_source_keeps_its_mail() {
    let mut house = house(2);
    post(&house, |post| {
        (post.consumes, post.fault) = (true, Fault::QuitLost);
    });
    house.power(|on| {
        on.run_until(Duration::from_secs(3600), |on| {
            at_post(on, |post| post.connections()) == 2
        });
        at_post(on, |post| post.fault = Fault::None);
        on.run_for(Duration::from_secs(3 * 3600));
        let all = at_post(on, |post| {
            let left = post.mails("anna").filter(|mail| mail.present);
            left.map(|mail| mail.uidl.clone()).collect::<Vec<_>>()
        });
        let offered = offered(on);
        for id in ["id1", "id2"] {
            let id = id.to_owned();
            assert!(all.contains(&id) || offered.contains(&id), "{id} is lost");
        }
    });
}

#[test]
fn sentence_2_13_old_tombstones_give_way() {
    let mut house = House::new(1, CONFIG);
    house.line("a", 33600, true);
    post(&house, |post| post.open_account("anna", "blau"));
    for round in 0..3_u64 {
        post(&house, |post| {
            for n in 0..300 {
                let id = format!("{round}-{n}");
                post.deliver("anna", &id, &mail(&id, 300));
            }
        });
        house.power(|on| {
            let wall = hal::Wall {
                unix: 1_800_000_000 + round * 100 * 86_400,
                offset: 0,
                trusted: true,
            };
            on.world.set_wall(wall);
            next_listings(on, 3);
            at_post(on, |post| {
                for n in 0..300 {
                    let asked = post.asked("anna", &format!("{round}-{n}"));
                    assert_eq!(asked.copies(), 1, "{round}-{n}");
                }
                for n in 0..300 {
                    post.remove("anna", &format!("{round}-{n}"));
                }
            });
            next_listings(on, 2);
        });
    }
}
