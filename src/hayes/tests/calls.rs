//! Calls: ringing, answering, connecting, ending.

use hal::dce::{self, Dce, DceOptions};
use hal::{Circuit, Duration, Instant};

use super::bench::{Bench, Peer, Script};
use crate::config::Carrier;
use crate::hayes::{Connect, Event, Failure, Loss, Number, Options, Status};

fn number(text: &str) -> Number {
    Number::try_from(text).unwrap()
}

fn ring(count: u8) -> Event {
    Event::Ring {
        count,
        number: None,
    }
}

/// A ready line at a modem that says OK to all, and answers ATA with `connect`.
fn ready(options: Options, connect: &'static str) -> Bench<Script> {
    let mut bench = Bench::ready(options, Script::agreeable());
    bench.peer.commands.clear();
    bench.peer.answers(move |line| match line {
        "ATA" => connect.into(),
        _ => "\r\nOK\r\n".into(),
    });
    bench
}

/// The rate a call connected at; anything but one call that connected is a failure.
fn rate(bench: &mut Bench<Script>) -> Option<u32> {
    connect(bench).rate
}

fn connect(bench: &mut Bench<Script>) -> Connect {
    let events = bench.events();
    let [
        Event::Ring { .. },
        Event::Answering,
        Event::Connected(connect),
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    connect.clone()
}

#[test]
fn edge_1_a_caller_who_gives_up_is_missed() {
    let options = Options {
        rings: 3,
        ..Options::default()
    };
    let mut bench = ready(options, "");
    bench.peer.say("\r\nRING\r\n\r\nNMBR = 5551234\r\n");
    bench.run(6);
    assert_eq!(bench.modem.state(), Status::Ringing);
    bench.peer.say("\r\nRING\r\n");
    bench.run_ms(9_999);
    let second = Event::Ring {
        count: 2,
        number: Some(number("5551234")),
    };
    assert_eq!(bench.events(), [ring(1), second]);
    bench.run_ms(1);
    let missed = Event::Missed {
        rings: 2,
        number: Some(number("5551234")),
    };
    assert_eq!(bench.events(), [missed]);
    assert_eq!(bench.modem.state(), Status::Ready);
    assert_eq!(bench.peer.heard("ATA"), 0);
}

#[test]
fn edge_2_connect_and_no_carrier_in_one_read() {
    for circuit in [Circuit::Unknown, Circuit::Off] {
        let mut bench = ready(
            Options::default(),
            "\r\nCONNECT 33600\r\n\r\nNO CARRIER\r\n",
        );
        bench.peer.dcd = circuit;
        bench.peer.say("\r\nRING\r\n");
        bench.run(20);
        let events = bench.events();
        assert!(matches!(&events[2], Event::Connected(_)), "{events:?}");
        let rest = [
            Event::CarrierLost(Loss::Text),
            Event::HungUp { verified: true },
            Event::Ready,
        ];
        assert_eq!(events[3..], rest);
    }
}

#[test]
fn edge_3_a_second_ring_after_ata_is_answered_again() {
    let mut bench = ready(Options::default(), "");
    for (rings, heard) in [(1, 1), (1, 0), (1, 1), (1, 0), (2, 1)] {
        for _ in 0..rings {
            bench.peer.say("\r\nRING\r\n");
        }
        bench.run(2);
        assert_eq!(bench.peer.heard("ATA"), heard);
    }
    bench.peer.say("\r\nCONNECT 9600\r\n");
    bench.run(1);
    assert_eq!(rate(&mut bench), Some(9600));
}

#[test]
fn edge_4_ok_before_connect_is_no_end() {
    let mut bench = ready(Options::default(), "\r\nOK\r\n\r\nCONNECT 9600\r\n");
    bench.peer.say("\r\nRING\r\n");
    bench.run(1);
    assert_eq!(rate(&mut bench), Some(9600));
    assert!(bench.modem.online());
}

#[test]
fn edge_5_data_behind_connect_is_the_callers_at_every_cut() {
    for connect in ["\r\nCONNECT 9600\r\n", "1\r", "\r\nCONNECT 9600/ARQ\r"] {
        let data = "USER a\r\nPASS b\r\n\r\nOK\r\n";
        let whole = format!("{connect}{data}");
        for cut in 0..=whole.len() {
            let mut bench = ready(Options::default(), "");
            bench.chunk = 1000;
            bench.peer.say("\r\nRING\r\n");
            bench.run_ms(10);
            bench.peer.say(&whole[..cut]);
            bench.run_ms(100);
            bench.peer.say(&whole[cut..]);
            bench.run(1);
            assert!(rate(&mut bench).is_none_or(|rate| rate == 9600));
            assert!(bench.modem.online(), "{connect:?} cut at {cut}");
            assert_eq!(
                bench.link.peek(),
                data.as_bytes(),
                "{connect:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn edge_6_lines_before_connect() {
    for (lines, rate, protocol) in [
        (
            "CARRIER 31200\r\n\r\nPROTOCOL: LAPM\r\n\r\nCOMPRESSION: V.42BIS",
            31200,
            "LAPM/V.42bis",
        ),
        (
            "+MCR: V34\r\n\r\n+MRR: 28800,48000\r\n\r\n+ER: LAPM\r\n\r\n+DR: V42B",
            28800,
            "LAPM/V.42bis",
        ),
        ("PROTOCOL: MNP4", 115_200, "MNP"),
        ("CED", 115_200, ""),
    ] {
        let mut bench = ready(Options::default(), "");
        bench.peer.say("\r\nRING\r\n");
        bench.run(1);
        bench
            .peer
            .say(&format!("\r\n{lines}\r\n\r\nCONNECT 115200\r\n"));
        bench.run(1);
        let connect = connect(&mut bench);
        assert_eq!(connect.rate, Some(rate), "{lines}");
        assert_eq!(format!("{}", connect.protocol), protocol, "{lines}");
    }
}

#[test]
fn edge_7_a_modem_that_speaks_in_numbers() {
    for (connect, expected) in [("1\r", None), ("12\r", Some(9600)), ("85\r", None)] {
        let mut bench = Bench::new(Options::default(), Script::new(|_| "0\r".into()));
        bench.run(20);
        assert_eq!(bench.events(), [Event::Ready]);
        bench.peer.answers(move |line| match line {
            "ATA" => connect.into(),
            _ => "0\r".into(),
        });
        bench.peer.say("2\r");
        bench.run(1);
        assert_eq!(rate(&mut bench), expected);
        bench.peer.say("3\r");
        bench.run(10);
        assert_eq!(bench.events()[0], Event::CarrierLost(Loss::Text));
    }
}

#[test]
fn every_end_of_an_attempt() {
    for (answer, failure) in [
        ("\r\nNO CARRIER\r\n", Failure::NoCarrier),
        ("3\r", Failure::NoCarrier),
        ("\r\nNO ANSWER\r\n", Failure::NoCarrier),
        ("\r\nBUSY\r\n", Failure::NoCarrier),
        ("\r\nERROR\r\n", Failure::Refused),
        ("\r\n+FCON\r\n", Failure::NotData),
        ("\r\nVCON\r\n", Failure::NotData),
        ("", Failure::Timeout),
    ] {
        let mut bench = ready(Options::default(), answer);
        bench.peer.say("\r\nRING\r\n");
        bench.run_ms(79_999);
        let early = bench.events();
        assert_eq!(
            early.contains(&Event::NotConnected(failure)),
            !answer.is_empty()
        );
        bench.run(30);
        let mut events = early;
        events.extend(bench.events());
        assert!(
            events.contains(&Event::NotConnected(failure)),
            "{answer:?} {events:?}"
        );
        assert_eq!(events.last(), Some(&Event::Ready), "{answer:?}");
    }
}

#[test]
fn a_modem_that_answers_by_itself_is_taken_at_its_word() {
    let options = Options {
        rings: 5,
        ..Options::default()
    };
    let mut bench = ready(options, "");
    bench.peer.say("\r\nRING\r\n");
    bench.run(6);
    bench.peer.say("\r\nCONNECT 14400/ARQ\r\n");
    bench.run(1);
    let events = bench.events();
    assert!(matches!(&events[..], [_, Event::Connected(c)] if c.rate == Some(14400)));
}

#[test]
fn edge_29_numbers_decide_and_hostile_ones_do_no_harm() {
    let options = Options {
        allow: [number("555-1234")].into_iter().collect(),
        rings: 2,
        ..Options::default()
    };
    for (line, answered) in [
        ("NMBR = 5551234", true),
        ("NMBR = 5551235", false),
        ("NMBR = \"`reboot`\"", false),
        ("NMBR =", false),
        ("NMBR = P", false),
        ("NAME = 5551234", false),
    ] {
        let mut bench = ready(options.clone(), "\r\nCONNECT\r\n");
        for _ in 0..3 {
            bench.peer.say(&format!("\r\nRING\r\n\r\n{line}\r\n"));
            bench.run(3);
        }
        bench.run(20);
        let events = bench.events();
        assert_eq!(events.contains(&Event::Answering), answered, "{line}");
        let refusals = events.iter().filter(|e| matches!(e, Event::Refused { .. }));
        assert_eq!(refusals.count(), usize::from(!answered), "{line}");
        assert!(!events.iter().any(|e| matches!(e, Event::Missed { .. })));
    }
}

#[test]
fn a_number_that_crosses_our_answer_is_told() {
    for chunk in [1, 7, 64] {
        let mut bench = Bench::ready(Options::default(), Script::agreeable());
        bench.chunk = chunk;
        assert_eq!(bench.peer.heard("AT+VCID=1"), 1, "though no list needs it");
        bench.peer.answers(|_| String::new());
        bench.peer.say("\r\nRING\r\n");
        bench.run(1);
        bench
            .peer
            .say("NMBR = 4155551234\r\nNAME = BOB SMITH\r\n\r\nCONNECT 2400\r\n");
        bench.run(2);
        let name = crate::hayes::CallerName::try_from("BOB SMITH").unwrap();
        let events = bench.events();
        let [_, Event::Answering, told @ .., Event::Connected(_)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(
            told,
            [Event::Number(number("4155551234")), Event::Name(name)]
        );
    }
}

#[test]
fn a_number_that_comes_behind_the_last_ring_is_told() {
    let mut rang = 0;
    // While the modem is told how to behave: at each moment of it, and before and after.
    for ms in (0..8000).step_by(50) {
        let mut bench = Bench::new(Options::default(), Script::agreeable());
        bench.run_ms(ms);
        bench.peer.say("\r\nRING\r\nNMBR = 4155551234\r\n");
        bench.run(20);
        let events = bench.events();
        if events.contains(&ring(1)) {
            rang += 1;
            let told = events.contains(&Event::Number(number("4155551234")));
            let answered = events.contains(&Event::Answering);
            assert!(told && answered, "{ms}: {events:?}");
        }
    }
    // The first of them are lost with what the modem said before it was asked anything.
    assert!(rang > 140, "{rang}");
}

#[test]
fn a_denied_number_that_crosses_our_answer_ends_the_call_unless_the_operator_wants_it() {
    for (from, forced, connects) in [
        ("555-1234", false, false),
        ("555-1235", false, true),
        ("555-1234", true, true),
    ] {
        let options = Options {
            deny: [number("5551234")].into_iter().collect(),
            rings: 2,
            ..Options::default()
        };
        let mut bench = ready(options, "");
        bench.peer.say("\r\nRING\r\n");
        bench.run(1);
        if forced {
            bench.modem.answer(bench.now);
        } else {
            bench.peer.say("\r\nRING\r\n");
        }
        bench.run(1);
        assert!(bench.events().contains(&Event::Answering));
        bench.peer.say(&format!("NMBR = {from}\r\n"));
        bench.run(1);
        let refused = bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::Refused { .. }));
        assert_eq!(refused, !connects, "{from} {forced}");
        if connects {
            bench.peer.say("\r\nCONNECT 2400\r\n");
            bench.run(5);
            assert!(bench.modem.online(), "{from} {forced}");
        } else {
            bench.run(120);
            assert_eq!(bench.events().last(), Some(&Event::Ready));
        }
    }
}

#[test]
fn what_a_modem_does_not_know_of_numbers_is_asked_once_after_each_reset() {
    for (knows, asks) in [
        ("", &["AT+VCID=?", "AT#CID=?", "AT+CLIP=?"][..]),
        ("AT+VCID", &["AT+VCID=?", "AT+VCID=1"]),
        ("AT#CID", &["AT+VCID=?", "AT#CID=?", "AT#CID=1"]),
        (
            "AT+CLIP",
            &["AT+VCID=?", "AT#CID=?", "AT+CLIP=?", "AT+CLIP=1"],
        ),
    ] {
        let answer = move |line: &str| {
            let optional = line.contains("CID") || line.contains("CLIP");
            let known = !optional || !knows.is_empty() && line.starts_with(knows);
            match line {
                "ATA" => "\r\nNO CARRIER\r\n".into(),
                _ if known => "\r\nOK\r\n".into(),
                _ => "\r\nERROR\r\n".to_owned(),
            }
        };
        let mut bench = Bench::ready(Options::default(), Script::new(answer));
        let asked = |bench: &mut Bench<Script>| -> Vec<String> {
            let commands = core::mem::take(&mut bench.peer.commands);
            let numbers = |line: &String| line.contains("CID") || line.contains("CLIP");
            commands.into_iter().filter(numbers).collect()
        };
        assert_eq!(asked(&mut bench), asks);
        // A call that comes to nothing, and what follows it, is no reset: only what it knows is
        // said again.
        bench.peer.say("\r\nRING\r\n");
        bench.run(60);
        assert_eq!(bench.events().last(), Some(&Event::Ready));
        let known = asks.iter().filter(|line| line.ends_with("=1"));
        assert!(known.eq(&asked(&mut bench)));
        bench.modem.line_closed(bench.now);
        bench.run(60);
        assert_eq!(bench.events().last(), Some(&Event::Ready));
        assert_eq!(asked(&mut bench), asks);
    }
}

#[test]
fn where_numbers_decide_a_modem_that_refused_to_tell_them_is_asked_again() {
    let options = Options {
        deny: [number("1")].into_iter().collect(),
        ..Options::default()
    };
    let answer = |line: &str| match line {
        "ATA" => "\r\nNO CARRIER\r\n".to_owned(),
        _ if line.contains("CID") || line.contains("CLIP") => "\r\nERROR\r\n".into(),
        _ => "\r\nOK\r\n".into(),
    };
    let mut bench = Bench::ready(options, Script::new(answer));
    for _ in 0..2 {
        assert_eq!(bench.peer.heard("AT+CLIP=?"), 1);
        bench.modem.answer(bench.now);
        bench.run(60);
        assert_eq!(bench.events().last(), Some(&Event::Ready));
    }
}

#[test]
fn edge_30_a_ring_during_the_hourly_check_is_not_lost() {
    for answer in [
        "\r\nRING\r\n\r\nOK\r\n",
        "\r\nOK\r\n\r\nRING\r\n",
        "\r\nRING\r\n",
    ] {
        let mut bench = ready(Options::default(), "\r\nCONNECT 2400\r\n");
        bench.peer.answers(move |line| match line {
            "AT" => answer.into(),
            _ => "\r\nCONNECT 2400\r\n".into(),
        });
        bench.run(3610);
        assert_eq!(rate(&mut bench), Some(2400), "{answer:?}");
    }
}

#[test]
fn the_check_waits_while_it_rings() {
    let options = Options {
        rings: 3,
        ..Options::default()
    };
    let mut bench = ready(options, "");
    bench.run(3535);
    for _ in 0..2 {
        bench.peer.say("\r\nRING\r\n");
        bench.run(6);
    }
    assert_eq!(bench.peer.heard("AT"), 0);
    bench.run(60);
    assert_eq!(bench.peer.heard("AT"), 1);
    assert_eq!(bench.modem.state(), Status::Ready);
}

#[test]
fn a_ring_at_any_moment_of_the_initialisation_is_answered_in_time() {
    for ms in (0..3500).step_by(25) {
        let mut bench = Bench::new(
            Options::default(),
            Script::new(|line| match line {
                "ATA" => "\r\nCONNECT 9600\r\n".into(),
                _ => "\r\nOK\r\n".into(),
            }),
        );
        bench.run_ms(ms);
        bench.peer.say("\r\nRING\r\n");
        let rang = bench.now;
        bench.run(60);
        let answering = bench
            .log
            .iter()
            .find(|(_, event)| *event == Event::Answering);
        let (at, _) = answering.unwrap_or_else(|| panic!("RING at {ms} ms was lost"));
        // What has to be told takes until then; what is merely pleasant is left out.
        let told = Instant::ZERO + Duration::from_millis(2600);
        let soon = rang + Duration::from_millis(200);
        assert!(*at <= told.max(soon), "RING at {ms} ms: {at:?}");
    }
}

#[test]
fn a_ring_while_we_hang_up_is_answered_after_it() {
    for ms in (0..6000).step_by(50) {
        let mut bench = ready(Options::default(), "\r\nCONNECT 9600\r\n");
        bench.peer.say("\r\nRING\r\n");
        bench.run(1);
        bench.modem.hang_up(bench.now);
        bench.run_ms(ms);
        bench.peer.say("\r\nRING\r\n");
        bench.run(9);
        let answers = bench.events();
        let answers = answers.iter().filter(|event| **event == Event::Answering);
        assert_eq!(answers.count(), 2, "RING {ms} ms after the end");
    }
}

#[test]
fn the_operator_answers_a_line_that_does_not_ring() {
    let options = Options {
        rings: 20,
        allow: [number("1")].into_iter().collect(),
        ..Options::default()
    };
    let mut bench = ready(options, "\r\nCONNECT 9600\r\n");
    bench.modem.answer(bench.now);
    bench.run(1);
    let events = bench.events();
    assert!(matches!(
        &events[..],
        [Event::Answering, Event::Connected(_)]
    ));
    bench.modem.answer(bench.now);
    bench.run(1);
    assert!(bench.modem.online());
}

#[test]
fn the_operator_hangs_up_while_the_modems_are_at_it() {
    let mut bench = ready(Options::default(), "");
    bench.peer.say("\r\nRING\r\n");
    bench.run(1);
    bench.modem.hang_up(bench.now);
    bench.run(20);
    let expected = [
        ring(1),
        Event::Answering,
        Event::NotConnected(Failure::HungUp),
        Event::HungUp { verified: true },
        Event::Ready,
    ];
    assert_eq!(bench.events(), expected);
}

#[test]
fn edge_16_typed_by_the_caller_it_stays_for_pop3() {
    for circuit in [Circuit::On, Circuit::Unknown] {
        let mut bench = ready(Options::default(), "\r\nCONNECT 9600\r\n");
        bench.peer.dcd = circuit;
        bench.peer.say("\r\nRING\r\n");
        bench.run(2);
        bench.events();
        // The caller hears our AT, and does not say OK.
        bench.peer.answers(|_| "what?\r\n".into());
        bench.peer.say("NO CARRIER\r\n");
        bench.run(10);
        assert!(bench.modem.online());
        assert!(bench.events().is_empty());
        assert!(bench.link.peek().starts_with(b"NO CARRIER\r\n"));
    }
}

/// The virtual modem, with a caller at its far end.
struct Line {
    dce: Dce,
    /// A pty has no circuits.
    circuits: bool,
    to_send: Vec<u8>,
    received: Vec<u8>,
    events: Vec<dce::Event>,
}

impl Line {
    fn new(options: DceOptions) -> Self {
        Self {
            dce: Dce::new(options),
            circuits: true,
            to_send: Vec::new(),
            received: Vec::new(),
            events: Vec::new(),
        }
    }

    fn exchange(&mut self, now: Instant) {
        let n = self.dce.from_line(now, &self.to_send);
        self.to_send.drain(..n);
        let mut buf = [0; 512];
        loop {
            let n = self.dce.to_line(now, &mut buf);
            if n == 0 {
                break;
            }
            self.received.extend(&buf[..n]);
        }
        self.events
            .extend(core::iter::from_fn(|| self.dce.step(now)));
    }
}

impl Peer for Line {
    fn take(&mut self, now: Instant, octets: &[u8]) -> usize {
        let n = self.dce.from_dte(now, octets);
        self.exchange(now);
        n
    }

    fn give(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        self.exchange(now);
        self.dce.to_dte(now, buf)
    }

    fn deadline(&self) -> Option<Instant> {
        self.dce.deadline()
    }

    fn dcd(&self) -> Circuit {
        if self.circuits {
            self.dce.dcd()
        } else {
            Circuit::Unknown
        }
    }

    fn dtr(&mut self, now: Instant, on: bool) {
        if self.circuits {
            self.dce.set_dtr(now, on);
        }
    }
}

fn online(chunk: usize, circuits: bool, options: DceOptions) -> Bench<Line> {
    let mut line = Line::new(options);
    line.circuits = circuits;
    let mut bench = Bench::new(Options::default(), line);
    bench.chunk = chunk;
    bench.run(10);
    assert_eq!(bench.events(), [Event::Ready], "chunk {chunk}");
    assert!(bench.peer.dce.call(bench.now, Some("5551234")));
    bench.run(10);
    let events = bench.events();
    let [
        Event::Ring { .. },
        Event::Answering,
        Event::Number(from),
        Event::Connected(connect),
    ] = &events[..]
    else {
        panic!("{events:?}, chunk {chunk}");
    };
    assert_eq!((from.as_str(), connect.rate), ("5551234", Some(33600)));
    assert_eq!(bench.peer.events, [dce::Event::Answered]);
    bench.peer.events.clear();
    bench
}

fn paced() -> DceOptions {
    DceOptions {
        speed: 33600,
        latency: Duration::from_millis(150),
        training: Duration::from_secs(8),
        ..DceOptions::default()
    }
}

#[test]
fn both_engines_back_to_back_at_every_chunk_size() {
    for chunk in 1..=64 {
        for circuits in [true, false] {
            for we_hang_up in [true, false] {
                let mut bench = online(chunk, circuits, paced());
                let case = format!("chunk {chunk}, circuits {circuits}, we {we_hang_up}");
                bench.peer.to_send.extend(b"USER a\r\nPASS b\r\n");
                bench.link.put(b"+OK hello\r\n");
                bench.run(2);
                assert_eq!(bench.link.peek(), b"USER a\r\nPASS b\r\n", "{case}");
                assert_eq!(bench.peer.received, b"+OK hello\r\n", "{case}");
                bench.link.consume(16);
                if we_hang_up {
                    bench.modem.hang_up(bench.now);
                    bench.run(20);
                    let expected = [Event::HungUp { verified: true }, Event::Ready];
                    assert_eq!(bench.events(), expected, "{case}");
                    assert_eq!(bench.peer.events, [dce::Event::HungUp], "{case}");
                } else {
                    bench.peer.dce.far_hang_up(bench.now);
                    bench.run(20);
                    let loss = if circuits { Loss::Circuit } else { Loss::Text };
                    let expected = [
                        Event::CarrierLost(loss),
                        Event::HungUp { verified: true },
                        Event::Ready,
                    ];
                    assert_eq!(bench.events(), expected, "{case}");
                }
                assert!(bench.peer.dce.call(bench.now, None), "{case}");
            }
        }
    }
}

#[test]
fn every_carrier_setting_sees_the_end_it_can_see() {
    for (carrier, circuits, expected) in [
        (Carrier::Auto, true, Some(Loss::Circuit)),
        (Carrier::Auto, false, Some(Loss::Text)),
        (Carrier::Dcd, true, Some(Loss::Circuit)),
        (Carrier::Dcd, false, None),
        (Carrier::Text, true, Some(Loss::Text)),
        (Carrier::Text, false, Some(Loss::Text)),
        (Carrier::None, true, None),
    ] {
        let mut line = Line::new(DceOptions::default());
        line.circuits = circuits;
        let options = Options {
            carrier,
            ..Options::default()
        };
        let mut bench = Bench::new(options, line);
        bench.run(10);
        bench.peer.dce.call(bench.now, None);
        bench.run(10);
        bench.events();
        bench.peer.dce.far_hang_up(bench.now);
        bench.run(30);
        let lost = bench.events().into_iter().find_map(|event| match event {
            Event::CarrierLost(loss) => Some(loss),
            _ => None,
        });
        assert_eq!(lost, expected, "{carrier:?}, circuits {circuits}");
        assert_eq!(bench.modem.online(), expected.is_none());
    }
}

#[test]
fn edge_20_a_mail_with_an_escape_in_it_ends_no_call() {
    let mut bench = online(64, true, DceOptions::default());
    for piece in [&b"text"[..], b"+++", b"ATH0\r\n", b"+", b"++", b"ATZ\r"] {
        bench.link.put(piece);
        bench.run(2);
    }
    assert!(bench.modem.online());
    assert_eq!(bench.peer.received, b"text+++ATH0\r\n+++ATZ\r");
}

#[test]
fn edge_19_a_caller_who_takes_nothing_can_be_hung_up() {
    let mut bench = online(64, true, paced());
    while bench.link.put(&[b'x'; 512]) {}
    bench.run_ms(20);
    bench.modem.hang_up(bench.now);
    bench.run(20);
    assert_eq!(
        bench.events(),
        [Event::HungUp { verified: true }, Event::Ready]
    );
}

#[test]
fn a_day_of_calls_leaves_the_line_ready() {
    let mut bench = Bench::new(Options::default(), Line::new(paced()));
    bench.run(10);
    for call in 0..200 {
        bench.events();
        assert!(bench.peer.dce.call(bench.now, None), "call {call}");
        bench.run_ms(call * 97);
        bench.peer.dce.far_hang_up(bench.now);
        bench.run(30);
        let last = bench.events().pop();
        assert!(
            matches!(last, None | Some(Event::Ready | Event::Missed { .. })),
            "call {call}: {last:?}"
        );
        assert_eq!(bench.modem.state(), Status::Ready, "call {call}");
    }
    bench.run(86_400);
    assert!(bench.events().is_empty());
}

/// A bare cable: nobody answers anything.
fn cable() -> Bench<Script> {
    let options = Options {
        modem: crate::config::ModemKind::Direct,
        speed: 9600,
        ..Options::default()
    };
    Bench::ready(options, Script::new(|_| String::new()))
}

#[test]
fn a_bare_cable_is_a_call_as_soon_as_somebody_speaks() {
    let mut bench = cable();
    bench.run(7200);
    assert!(bench.peer.commands.is_empty(), "nothing is said first");
    bench.peer.say("\r\nCAPA\r\nNO CARRIER\r\n");
    bench.run(10);
    let events = bench.events();
    assert!(matches!(&events[..], [Event::Connected(connect)] if connect.rate == Some(9600)));
    assert!(bench.modem.online());
    assert_eq!(bench.link.peek(), b"CAPA\r\nNO CARRIER\r\n");
    bench.link.clear();
    bench.modem.hang_up(bench.now);
    bench.run(5);
    assert_eq!(
        bench.events(),
        [Event::HungUp { verified: true }, Event::Ready]
    );
    assert!(bench.peer.commands.is_empty());
}

#[test]
fn a_bare_cable_with_circuits_is_a_call_while_the_other_end_is_on() {
    let mut bench = cable();
    bench.peer.dcd = Circuit::Off;
    bench.run(10);
    for _ in 0..3 {
        bench.peer.dcd = Circuit::On;
        bench.run(2);
        assert!(bench.modem.online(), "switched on");
        bench.peer.dcd = Circuit::Off;
        bench.run(5);
        let events = bench.events();
        assert!(events.contains(&Event::CarrierLost(Loss::Circuit)));
        assert_eq!(events.last(), Some(&Event::Ready));
    }
}

#[test]
fn calls_that_are_not_to_be_answered_are_missed() {
    let mut bench = Bench::ready(Options::default(), Script::agreeable());
    bench.modem.set_answering(false);
    for ring in 0..10 {
        bench.peer.say("\r\nRING\r\n");
        if ring == 0 {
            bench.peer.say("NMBR = 4155551234\r\nNAME = BOB SMITH\r\n");
        }
        bench.run(6);
    }
    bench.run(20);
    let events = bench.events();
    let number = Some(Number::try_from("4155551234").unwrap());
    assert_eq!(events.last(), Some(&Event::Missed { rings: 10, number }));
    let name = crate::hayes::CallerName::try_from("BOB SMITH").unwrap();
    assert!(events.contains(&Event::Name(name)));
    assert_eq!(bench.peer.heard("ATA"), 0);
    // The operator's word stands above it.
    bench.modem.answer(bench.now);
    bench.run(1);
    assert_eq!(bench.peer.heard("ATA"), 1);
}
