//! A board that is the gateway's alone: the store keeps the configuration, the network tells the time.

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

use hal::Duration;
use ringmail::config::{self, saved};
use ringmail::mailbox::{Ledger, Slot};
use ringmail::store::{self, Buffers, Segment, Space};
use support::world::{House, Running, large};

const CONFIG: &str = "line a device /dev/a\n";
const MARK: u32 = 0x9ae0_daaf;

/// The operator says `words`, and waits; returns what the terminal shows.
fn say(on: &mut Running<'_, '_>, words: &str) -> String {
    let console = on.world.attach(&format!("{words}\r"));
    on.run_for(Duration::from_secs(2));
    console.close();
    on.step();
    console.shown()
}

/// What the store keeps.
fn kept(house: &House) -> Option<String> {
    let mut segments = vec![Segment::default(); 4096];
    let mut buffers = Box::new(Buffers::EMPTY);
    let space = Space {
        segments: &mut segments,
        buffers: &mut buffers,
    };
    let mut slots = vec![Slot::VACANT; 512];
    let mut index = vec![0; 1024];
    let mut ledger = Ledger::new(&mut slots, &mut index);
    let disk = house.world.disk().clone();
    let (mut store, _) = store::mount(disk, space, &mut ledger).unwrap();
    let mut octets = vec![0; saved::OCTETS];
    let length = store.load_config(&mut octets).unwrap()?;
    octets.truncate(length);
    Some(String::from_utf8(octets).unwrap())
}

#[test]
fn what_was_saved_in_the_store_is_there_after_a_restart() {
    let mut house = House::with_store(1, CONFIG, &large());
    house.line("a", 33600, true);
    assert_eq!(kept(&house), None);
    for name in ["attic", "cellar", "garden"] {
        house.power(|on| {
            on.run_until_ready();
            on.gateway.keep_config_in_store(MARK);
            let shown = say(on, &format!("hostname {name}"));
            assert!(!shown.contains("saved"), "{shown}");
            let shown = say(on, "save");
            assert!(shown.contains("saved"), "{shown}");
        });
        // What it said it saved outlives the power, whatever was under way.
        house.world.restart();
        let kept = kept(&house).unwrap();
        assert_eq!(saved::mark_of(&kept), MARK);
        let config = config::check(&kept, |_, error| panic!("{error}"));
        assert_eq!(config.hostname, name);
        assert_eq!(config.lines.len(), 1);
    }
}

#[test]
fn without_words_for_the_store_the_board_keeps_it() {
    let mut house = House::with_store(1, CONFIG, &large());
    house.line("a", 33600, true);
    house.power(|on| {
        on.run_until_ready();
        assert!(say(on, "save").contains("saved"));
    });
    assert_eq!(kept(&house), None);
}

#[test]
fn a_board_with_a_network_of_its_own_is_asked_for_it_once_and_its_news_are_noted() {
    let config = "line a device /dev/a\nnet dhcp\nwifi \"my net\" password \"top secret\"\n";
    let mut house = House::new(1, config);
    house.line("a", 33600, true);
    house.world.network();
    house.power(|on| {
        on.run_until_ready();
        let asked = |radio: &str| format!("Dhcp {radio}");
        let first = r#"Some(Radio { ssid: "my net", country: "", .. }) Some("top secret")"#;
        assert_eq!(on.world.network().asked, [asked(first)]);
        // What says the same, or speaks of other things, asks for nothing.
        say(on, "hostname cellar");
        say(on, "wifi \"my net\" password \"top secret\"");
        assert_eq!(on.world.network().asked.len(), 1);
        say(on, "wifi other password another1");
        say(on, "wifi country de");
        say(on, "wifi off");
        let shown = say(on, "wifi third password third123\rnet off");
        assert!(shown.contains("without an address"), "{shown}");
        let second = r#"Some(Radio { ssid: "other", country: "", .. }) Some("another1")"#;
        let german = r#"Some(Radio { ssid: "other", country: "DE", .. }) Some("another1")"#;
        let third = r#"Some(Radio { ssid: "third", country: "DE", .. }) Some("third123")"#;
        let network = on.world.network();
        assert_eq!(network.asked[1], asked(second));
        assert_eq!(network.asked[2], asked(german));
        assert_eq!(network.asked[3], asked("None None"));
        assert_eq!(network.asked[4], asked(third));
        assert_eq!(network.asked[5], format!("Machine {third}"));
        assert_eq!(network.asked.len(), 6);
        network.news.push_back("wifi: joined third".into());
        network.news.push_back("net: wlan0 has 10.0.0.2/8".into());
        let log = say(on, "show log");
        assert!(log.contains("wifi: joined third"), "{log}");
        assert!(log.contains("net: wlan0 has 10.0.0.2/8"), "{log}");
        assert!(
            !log.contains("secret") && !log.contains("third123"),
            "{log}"
        );
    });
}

#[test]
fn a_silent_time_server_is_told_of_once_and_asked_ever_more_rarely() {
    let mut house = House::new(1, "line a device /dev/a\nntp clock.example.net\n");
    house.line("a", 33600, true);
    house.power(|on| {
        on.run_until_ready();
        on.run_for(Duration::from_secs(4 * 3600));
        let log = say(on, "show log");
        // The terminal shows it, and the log with its date.
        let told = |line: &&str| line.starts_with("20") && line.contains("does not tell");
        assert_eq!(log.lines().filter(told).count(), 1, "{log}");
        // What this board leaves to its own system is said, and changes nothing.
        let shown = say(on, "net dhcp");
        assert!(shown.contains("kept by its own system"), "{shown}");
        let shown = say(on, "clock set 2026-01-31 13:45");
        assert!(shown.contains("set by its own system"), "{shown}");
        // Not saved: it is asked back once.
        let shown = say(on, "reboot\rreboot");
        assert!(shown.contains("say reboot again"), "{shown}");
        assert!(shown.contains("restarted by its own system"), "{shown}");
    });
}
