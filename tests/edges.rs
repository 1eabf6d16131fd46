//! What modems and callers do: each known case with the tests that bear its number, and those
//! that need the whole gateway.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod cases;
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use core::cell::RefCell;
use std::rc::Rc;

use hal::sim::line::{By, Caller, CutAfter, Line, Phase, Toward};
use hal::{Duration, Instant, Wall};
use support::cases::{Tests, assert_are_there};
use support::dialler::{Plan, Record, take_all};
use support::world::{House, Running, id_of, mail};

/// Number, what happens, and where the tests are: file and function.
const CASES: &[(u8, &str, Tests)] = &[
    (
        1,
        "RING, then silence: the caller gave up",
        &[(CALLS, "edge_1_a_caller_who_gives_up_is_missed")],
    ),
    (
        2,
        "CONNECT and NO CARRIER in one read",
        &[(CALLS, "edge_2_connect_and_no_carrier_in_one_read")],
    ),
    (
        3,
        "RING within or after ATA",
        &[(CALLS, "edge_3_a_second_ring_after_ata_is_answered_again")],
    ),
    (
        4,
        "OK before CONNECT",
        &[(CALLS, "edge_4_ok_before_connect_is_no_end")],
    ),
    (
        5,
        "CONNECT in pieces, data behind it",
        &[(
            CALLS,
            "edge_5_data_behind_connect_is_the_callers_at_every_cut",
        )],
    ),
    (
        6,
        "lines before CONNECT",
        &[
            (CALLS, "edge_6_lines_before_connect"),
            (RESULT, "edge_6_lines_before_connect_are_no_end"),
        ],
    ),
    (
        7,
        "numeric codes, or none",
        &[
            (CALLS, "edge_7_a_modem_that_speaks_in_numbers"),
            (RESULT, "edge_7_numeric_codes"),
            (
                RECOVERY,
                "edge_7_a_modem_that_was_told_to_be_quiet_is_heard_again",
            ),
        ],
    ),
    (
        8,
        "an optional command that dials",
        &[
            (
                RECOVERY,
                "edge_8_a_modem_that_dials_what_it_does_not_know_is_set_right",
            ),
            (COMMAND, "edge_8_what_is_not_known_is_never_switched_on"),
        ],
    ),
    (
        9,
        "our own echo",
        &[
            (
                RECOVERY,
                "edge_9_and_10_and_38_echo_doubled_answers_and_stray_line_ends",
            ),
            (RESULT, "edge_9_an_echo_is_never_an_answer"),
        ],
    ),
    (
        10,
        "OK twice, or late",
        &[(
            RECOVERY,
            "edge_9_and_10_and_38_echo_doubled_answers_and_stray_line_ends",
        )],
    ),
    (
        11,
        "in data state at the start",
        &[
            (RECOVERY, "edge_11_a_modem_left_in_a_call_is_rescued"),
            (
                RECOVERY,
                "edge_11_a_virtual_modem_left_in_a_call_is_rescued_without_circuits",
            ),
        ],
    ),
    (
        12,
        "a silent modem",
        &[
            (
                RECOVERY,
                "edge_12_a_silent_modem_is_tried_for_ever_and_never_hurriedly",
            ),
            (
                RECOVERY,
                "edge_12_a_modem_that_dies_at_any_command_is_found_again",
            ),
            (RECOVERY, "edge_12_and_32_a_modem_of_another_speed_is_found"),
            (
                RECOVERY,
                "edge_12_a_silent_modem_is_reset_and_its_own_speed_comes_back",
            ),
            (
                USB,
                "edge_12_the_switch_of_a_usb_device_is_above_its_terminal",
            ),
            (HERE, "edge_12_a_silent_modem_holds_up_nobody"),
        ],
    ),
    (
        13,
        "unplugged in a call, and back under another name",
        &[
            (RECOVERY, "edge_13_a_device_that_is_unplugged_is_looked_for"),
            (
                USB,
                "edge_13_and_36_a_device_is_found_again_under_another_name",
            ),
        ],
    ),
    (
        14,
        "two modems with one serial number",
        &[(
            USB,
            "edge_14_two_modems_with_one_serial_number_are_told_apart_by_their_sockets",
        )],
    ),
    (
        15,
        "the port is taken by another program",
        &[(HERE, "edge_15_a_device_in_use_is_tried_again")],
    ),
    (
        16,
        "NO CARRIER typed, or told without a circuit",
        &[
            (CALLS, "edge_16_typed_by_the_caller_it_stays_for_pop3"),
            (WATCH, "edge_16_without_a_circuit_the_modem_is_asked"),
        ],
    ),
    (
        17,
        "NO CARRIER in the middle of a message",
        &[(
            WATCH,
            "edge_17_the_question_waits_until_all_before_it_has_left",
        )],
    ),
    (
        18,
        "a circuit that never rises",
        &[(
            WATCH,
            "edge_18_a_circuit_that_comes_late_counts_and_later_ones_do_not",
        )],
    ),
    (
        19,
        "flow control that stalls",
        &[(CALLS, "edge_19_a_caller_who_takes_nothing_can_be_hung_up")],
    ),
    (
        20,
        "the escape in a mail",
        &[(CALLS, "edge_20_a_mail_with_an_escape_in_it_ends_no_call")],
    ),
    (
        21,
        "XON and XOFF",
        &[(
            HERE,
            "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
        )],
    ),
    (
        22,
        "a caller with parity",
        &[(
            HERE,
            "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
        )],
    ),
    (
        23,
        "noise before the first words",
        &[
            (
                SESSION,
                "edge_23_noise_is_taken_off_and_what_was_sent_ahead_is_not",
            ),
            (
                HERE,
                "edge_23_and_24_noise_before_the_first_command_costs_nothing",
            ),
        ],
    ),
    (
        24,
        "V.42 detection as octets",
        &[(
            HERE,
            "edge_23_and_24_noise_before_the_first_command_costs_nothing",
        )],
    ),
    (
        25,
        "PPP that hears itself",
        &[(
            HERE,
            "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
        )],
    ),
    (
        26,
        "PPP after words",
        &[(
            HERE,
            "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
        )],
    ),
    (
        27,
        "both wait",
        &[(
            HERE,
            "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
        )],
    ),
    (
        28,
        "FidoNet, fax, telnet, port scanners",
        &[
            (
                HERE,
                "edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served",
            ),
            (CALLS, "every_end_of_an_attempt"),
        ],
    ),
    (
        29,
        "a hostile caller id",
        &[
            (CALLS, "edge_29_numbers_decide_and_hostile_ones_do_no_harm"),
            (CALLER_ID, "edge_29_hostile_content_is_cleaned_and_cut"),
        ],
    ),
    (
        30,
        "a ring while something else goes on",
        &[
            (CALLS, "edge_30_a_ring_during_the_hourly_check_is_not_lost"),
            (
                CALLS,
                "a_ring_at_any_moment_of_the_initialisation_is_answered_in_time",
            ),
            (CALLS, "the_check_waits_while_it_rings"),
        ],
    ),
    (
        31,
        "a modem that does not hang up",
        &[(
            RECOVERY,
            "edge_31_a_modem_that_does_not_hang_up_is_reopened",
        )],
    ),
    (
        32,
        "another speed",
        &[(RECOVERY, "edge_12_and_32_a_modem_of_another_speed_is_found")],
    ),
    (
        33,
        "the modem drops an idle call by itself",
        &[(
            HERE,
            "edge_33_a_modem_that_drops_an_idle_call_is_ready_for_the_next",
        )],
    ),
    (
        34,
        "300 bit/s",
        &[("tests/calls.rs", "a_whole_session_at_every_speed")],
    ),
    (
        35,
        "the clock steps",
        &[
            (HERE, "edge_35_a_clock_that_steps_ends_no_call"),
            (
                RECOVERY,
                "edge_35_and_36_a_device_that_comes_again_at_once_is_taken_up",
            ),
        ],
    ),
    (
        36,
        "the modem comes again without unplugging",
        &[
            (
                RECOVERY,
                "edge_35_and_36_a_device_that_comes_again_at_once_is_taken_up",
            ),
            (
                USB,
                "edge_13_and_36_a_device_is_found_again_under_another_name",
            ),
        ],
    ),
    (
        37,
        "a second caller while busy",
        &[(HERE, "edge_37_a_second_caller_hears_that_it_is_busy")],
    ),
    (
        38,
        "stray line ends",
        &[(
            RECOVERY,
            "edge_9_and_10_and_38_echo_doubled_answers_and_stray_line_ends",
        )],
    ),
];

const CALLS: &str = "src/hayes/tests/calls.rs";
const RECOVERY: &str = "src/hayes/tests/recovery.rs";
const RESULT: &str = "src/hayes/result.rs";
const COMMAND: &str = "src/hayes/command.rs";
const WATCH: &str = "src/hayes/watch.rs";
const CALLER_ID: &str = "src/hayes/caller_id.rs";
const SESSION: &str = "src/session.rs";
const USB: &str = "hal/src/linux/usb.rs";
const HERE: &str = "tests/edges.rs";

#[test]
fn every_case_has_tests_that_are_there() {
    let numbers: Vec<u8> = CASES.iter().map(|(number, _, _)| *number).collect();
    assert_eq!(numbers, (1..=38).collect::<Vec<u8>>());
    for (_, what, tests) in CASES {
        assert_are_there(what, tests);
    }
}

const CONFIG: &str = "line a device /dev/a\nline b device /dev/b\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n";

fn house() -> (House, Vec<u8>) {
    let mut house = House::new(7, CONFIG);
    house.line("a", 33600, true);
    house.line("b", 33600, true);
    let octets = mail("one", 500);
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    post.deliver("anna", &id_of(&octets), &octets);
    drop(post);
    (house, octets)
}

fn plan(at: Instant) -> Plan {
    Plan {
        at,
        user: "anna".into(),
        password: "rot".into(),
        pipelined: false,
        body: take_all(false),
    }
}

/// A good call on `line` gets the mail.
#[track_caller]
fn is_served(on: &mut Running<'_, '_>, line: &str, what: &str) -> Record {
    let now = on.now();
    let record = on.whole_call(line, plan(now));
    assert!(
        record.quit_read && record.mails.len() == 1,
        "{what}: {record:?}"
    );
    record
}

/// Sends octets as soon as it is connected, and again and again if it is told to.
struct Shouter {
    octets: Vec<u8>,
    every: Option<Duration>,
    next: Option<Instant>,
    ended: Rc<RefCell<Option<Instant>>>,
}

impl Caller for Shouter {
    fn step(&mut self, now: Instant, line: &mut Line) {
        match line.phase() {
            Phase::Idle => assert!(line.dial(None)),
            Phase::Ringing => {}
            Phase::Connected => {
                drop(line.receive());
                if self.next.is_none_or(|next| next <= now) {
                    line.send(&self.octets);
                    let pause = self.every.unwrap_or(Duration::from_secs(1 << 30));
                    self.next = Some(now + pause);
                }
            }
            Phase::Ended => {
                self.ended.borrow_mut().get_or_insert(now);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }
}

#[test]
fn edge_21_to_28_whatever_shouts_is_hung_up_and_the_next_is_served() {
    let ppp = b"\x7e\xff\x7d\x23\xc0\x21\x7d\x21\x7d\x21\x7d\x20\x7d\x34\x7d\x22\x7d\x26\x7e";
    let parity: Vec<u8> = b"USER anna\r\n".iter().map(|octet| octet | 0x80).collect();
    let second = Some(Duration::from_secs(1));
    let cases: &[(&str, &[u8], Option<Duration>)] = &[
        ("XON and XOFF", b"\x11\x13\x11\x13", second),
        ("seven bits with parity", &parity, second),
        ("PPP", ppp, second),
        (
            "PPP after words",
            b"login: x\r\n~\xff\x7d#\xc0!}!}!",
            second,
        ),
        ("nobody speaks", b"", None),
        ("FidoNet", b"**EMSI_INQC816\r**EMSI_INQC816q\r\xae", second),
        ("YooHoo", b"\xf1\xf1\xf1", second),
        ("telnet", b"\xff\xfb\x1f\xff\xfb\x18\xff\xfd\x03", second),
        ("HTTP", b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", second),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            second,
        ),
        ("empty lines", b"\r\n\r\n\r\n\r\n", second),
        ("zeros", &[0; 200], second),
    ];
    for (what, octets, every) in cases {
        let (mut house, _) = house();
        house.config.push_str("limit call 20m\n");
        house.power(|on| {
            on.run_until_ready();
            let ended = Rc::default();
            let shouter = Shouter {
                octets: octets.to_vec(),
                every: *every,
                next: None,
                ended: Rc::clone(&ended),
            };
            let start = on.now();
            on.world.seat("/dev/a", Box::new(shouter));
            // Somebody else is served meanwhile.
            is_served(on, "b", what);
            on.run_until(Duration::from_secs(1300), |_| ended.borrow().is_some());
            let lasted = ended.borrow().unwrap() - start;
            assert!(lasted <= Duration::from_secs(1290), "{what}: {lasted:?}");
            is_served(on, "a", what);
        });
    }
}

#[test]
fn edge_23_and_24_noise_before_the_first_command_costs_nothing() {
    for noise in [&b"\x11\x91\x11\x91\x11\x91"[..], b"~~\xff\x00{", b""] {
        let (mut house, _) = house();
        house.power(|on| {
            on.run_until_ready();
            let (dialler, record) = support::dialler::Dialler::new(plan(on.now()));
            on.world.seat(
                "/dev/a",
                Box::new(Noisy {
                    noise: noise.to_vec(),
                    caller: Box::new(dialler),
                }),
            );
            on.run_until(Duration::from_secs(600), |_| {
                record.borrow().ended.is_some()
            });
            let record = record.borrow();
            assert!(record.quit_read && record.mails.len() == 1, "{record:?}");
        });
    }
}

/// A caller before whose first octet the line gives some of its own.
struct Noisy {
    noise: Vec<u8>,
    caller: Box<dyn Caller>,
}

impl Caller for Noisy {
    fn step(&mut self, now: Instant, line: &mut Line) {
        if line.phase() == Phase::Connected && !self.noise.is_empty() {
            // While the modems settle, before anybody speaks.
            line.send(&core::mem::take(&mut self.noise));
        }
        self.caller.step(now, line);
    }

    fn deadline(&self) -> Option<Instant> {
        self.caller.deadline()
    }
}

#[test]
fn edge_12_a_silent_modem_holds_up_nobody() {
    let (mut house, _) = house();
    house.power(|on| {
        on.run_until_ready();
        on.world.line("/dev/a").wedge(Duration::from_secs(100_000));
        // The hourly check finds it out.
        on.run_for(Duration::from_secs(3700));
        for _ in 0..20 {
            is_served(on, "b", "a silent modem on the other line");
            let console = on.world.attach("show lines\r");
            on.run_for(Duration::from_secs(1));
            assert!(console.shown().contains("ready"), "{}", console.shown());
            console.close();
            on.run_for(Duration::from_secs(5));
        }
        // Resetting what it hangs on is what helps.
        on.run_for(Duration::from_secs(600));
        is_served(on, "a", "reset");
    });
}

#[test]
fn edge_15_a_device_in_use_is_tried_again() {
    let (mut house, _) = house();
    house
        .world
        .line("/dev/a")
        .take_by_another(Duration::from_secs(300));
    house.power(|on| {
        on.run_until_ready();
        is_served(on, "b", "one line is taken");
        on.run_for(Duration::from_secs(370));
        is_served(on, "a", "it was given back");
    });
}

#[test]
fn edge_33_a_modem_that_drops_an_idle_call_is_ready_for_the_next() {
    let (mut house, _) = house();
    house.power(|on| {
        on.run_until_ready();
        for octets in [1, 200] {
            let toward = Toward::Caller;
            let by = By::CarrierLoss;
            on.world
                .line("/dev/a")
                .cut_after(CutAfter { toward, octets, by });
            let now = on.now();
            let record = on.whole_call("a", plan(now));
            assert!(!record.quit_read);
            is_served(on, "a", "after a call that was dropped");
        }
    });
}

#[test]
fn edge_35_a_clock_that_steps_ends_no_call() {
    for unix in [0, 1_000_000_000, 4_000_000_000] {
        let (mut house, _) = house();
        house.power(|on| {
            on.run_until_ready();
            let now = on.now();
            let record = on.call("a", plan(now));
            on.run_until(Duration::from_secs(60), |_| {
                record.borrow().connected.is_some()
            });
            on.world.set_wall(Wall {
                unix,
                offset: 3600,
                trusted: true,
            });
            on.run_until(Duration::from_secs(60), |_| record.borrow().ended.is_some());
            assert!(record.borrow().quit_read, "{:?}", record.borrow());
        });
    }
}

#[test]
fn edge_37_a_second_caller_hears_that_it_is_busy() {
    let (mut house, _) = house();
    house.power(|on| {
        on.run_until_ready();
        let now = on.now();
        let record = on.call("a", plan(now));
        on.run_until(Duration::from_secs(60), |_| {
            record.borrow().greeted.is_some()
        });
        assert!(!on.world.line("/dev/a").is_free(), "the exchange says BUSY");
        on.run_until(Duration::from_secs(600), |_| {
            record.borrow().ended.is_some()
        });
        assert!(record.borrow().quit_read);
        is_served(on, "a", "the next one");
    });
}
