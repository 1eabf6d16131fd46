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
