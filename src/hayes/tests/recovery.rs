//! Modems that do not do as told, and devices that come and go.

use hal::dce::{Dce, DceOptions};
use hal::{Circuit, Duration, Instant};

use super::bench::{Bench, Script};
use crate::hayes::{Event, Fault, Modem, Options, Status};
use crate::link::Link;

#[test]
fn edge_8_a_modem_that_dials_what_it_does_not_know_is_set_right() {
    // Reads AT+VCID letter by letter: numeric from there on, and dials.
    let mut numeric = false;
    let answer = move |line: &str| {
        if line.contains("V1") {
            numeric = false;
        } else if line.contains("CID") || line.contains("CLIP") {
            numeric = line.starts_with("AT+V");
            return if numeric { "3\r" } else { "\r\nNO CARRIER\r\n" }.into();
        }
        if numeric { "0\r" } else { "\r\nOK\r\n" }.into()
    };
    let mut bench = Bench::ready(Options::default(), Script::new(answer));
    let commands = core::mem::take(&mut bench.peer.commands);
    for forbidden in ["AT+VCID=1", "AT#CID=1", "AT+CLIP=1"] {
        assert!(!commands.contains(&forbidden.into()), "{commands:?}");
    }
    let asked = commands
        .iter()
        .position(|line| line == "AT+VCID=?")
        .unwrap();
    assert_eq!(commands[asked + 1], "ATQ0V1E0");
}

#[test]
fn edge_9_and_10_and_38_echo_doubled_answers_and_stray_line_ends() {
    for form in [
        "{}\r\r\nOK\r\n",
        "OK\r\n\r\nOK\r\n",
        "\n\r\n\n{}\r\nOK\n\r\n\r",
        "\r\n\r\nOK\r",
    ] {
        for chunk in [1, 2, 3, 7, 64] {
            let script = Script::new(move |line| form.replace("{}", line));
            let mut bench = Bench::new(Options::default(), script);
            bench.chunk = chunk;
            bench.run(20);
            assert_eq!(bench.events(), [Event::Ready], "{form:?}");
        }
    }
}

#[test]
fn an_init_of_the_owners_is_sent_and_its_refusal_told_once() {
    for (init, sent) in [
        ("&M4", "AT&M4"),
        ("AT+MS=V34", "AT+MS=V34"),
        ("at\tX3", "atX3"),
    ] {
        let options = Options {
            init: init.try_into().unwrap(),
            ..Options::default()
        };
        let mut bench = Bench::new(
            options,
            Script::new(move |line| match line {
                line if line == sent => "\r\nERROR\r\n".into(),
                "ATA" => "\r\nNO CARRIER\r\n".into(),
                _ => "\r\nOK\r\n".into(),
            }),
        );
        bench.run(20);
        assert_eq!(
            bench.events(),
            [Event::Fault(Fault::InitRefused), Event::Ready]
        );
        bench.peer.say("\r\nRING\r\n");
        bench.run(20);
        assert!(!bench.events().contains(&Event::Fault(Fault::InitRefused)));
        assert_eq!(bench.peer.heard(sent), 2);
    }
}

#[test]
fn a_modem_that_refuses_all_but_attention_still_answers_calls() {
    let mut bench = Bench::new(
        Options::default(),
        Script::new(|line| match line {
            "AT" => "\r\nOK\r\n".into(),
            "ATA" => "\r\nCONNECT\r\n".into(),
            _ => "\r\nERROR\r\n".into(),
        }),
    );
    bench.run(20);
    assert_eq!(
        bench.events(),
        [Event::Fault(Fault::Crippled), Event::Ready]
    );
    bench.peer.say("\r\nRING\r\n");
    bench.run(2);
    assert!(bench.modem.online());
}

#[test]
fn edge_11_a_modem_left_in_a_call_is_rescued() {
    for own_escape in [false, true] {
        let mut in_data = true;
        let escape = if own_escape {
            "\u{1d}\u{1d}\u{1d}"
        } else {
            "+++"
        };
        let mut bench = Bench::new(
            Options::default(),
            Script::new(move |line| {
                if in_data && line.ends_with(&format!("{escape}ATH0")) {
                    in_data = false;
                    return "\r\nNO CARRIER\r\n\r\nOK\r\n".into();
                }
                if in_data {
                    "hello?\r\n".into()
                } else {
                    "\r\nOK\r\n".into()
                }
            }),
        );
        bench.run(60);
        assert_eq!(bench.events(), [Event::Ready], "own escape {own_escape}");
    }
}

#[test]
fn edge_11_a_virtual_modem_left_in_a_call_is_rescued_without_circuits() {
    struct Deaf(Dce);
    impl super::bench::Peer for Deaf {
        fn take(&mut self, now: Instant, octets: &[u8]) -> usize {
            self.0.from_dte(now, octets)
        }
        fn give(&mut self, now: Instant, buf: &mut [u8]) -> usize {
            self.0.to_line(now, &mut [0; 512]);
            self.0.to_dte(now, buf)
        }
        fn deadline(&self) -> Option<Instant> {
            self.0.deadline()
        }
        fn dcd(&self) -> Circuit {
            Circuit::Unknown
        }
        fn dtr(&mut self, _now: Instant, _on: bool) {}
    }
    for register in ["43", "29"] {
        let mut dce = Dce::new(DceOptions::default());
        let now = Instant::ZERO;
        dce.from_dte(now, format!("ATS2={register}\r").as_bytes());
        dce.call(now, None);
        dce.from_dte(now, b"ATA\r");
        // Nobody was there to read what it said.
        while dce.to_dte(now, &mut [0; 64]) > 0 {}
        let mut bench = Bench::new(Options::default(), Deaf(dce));
        bench.run(60);
        assert_eq!(bench.events(), [Event::Ready], "S2={register}");
    }
}

#[test]
fn edge_12_a_silent_modem_is_tried_for_ever_and_never_hurriedly() {
    let mut bench = Bench::new(Options::default(), Script::new(|_| String::new()));
    bench.run(3600);
    let events = core::mem::take(&mut bench.log);
    assert_eq!(events[0].1, Event::Fault(Fault::Silent));
    let reopened: Vec<Instant> = events
        .iter()
        .skip(1)
        .map(|(at, event)| {
            assert_eq!(*event, Event::Reopen);
            *at
        })
        .collect();
    assert!(reopened.len() > 30, "{}", reopened.len());
    let gaps: Vec<Duration> = reopened
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1]));
    assert!(gaps.last().unwrap() < &Duration::from_secs(90));
    bench.peer.answers(|_| "\r\nOK\r\n".into());
    bench.run(120);
    let events = bench.events();
    assert_eq!(events.last(), Some(&Event::Ready), "{events:?}");
    // And if it dies again, that is told again.
    bench.peer.answers(|_| String::new());
    bench.run(4000);
    assert_eq!(bench.events()[0], Event::Fault(Fault::Silent));
}

#[test]
fn edge_12_a_modem_that_dies_at_any_command_is_found_again() {
    for deadly in 0..25 {
        let mut count = 0;
        let script = Script::new(move |_| {
            count += 1;
            // Silent for the next forty lines: long enough for a reopening.
            if (deadly..deadly + 40).contains(&count) {
                String::new()
            } else {
                "\r\nOK\r\n".into()
            }
        });
        let mut bench = Bench::new(Options::default(), script);
        bench.run(600);
        assert_eq!(bench.modem.state(), Status::Ready, "dies at {deadly}");
    }
}

#[test]
fn edge_13_a_device_that_is_unplugged_is_looked_for() {
    for ms in (0..9000).step_by(100) {
        let script = Script::new(|line| match line {
            "ATA" => "\r\nCONNECT\r\n".into(),
            _ => "\r\nOK\r\n".into(),
        });
        let mut bench = Bench::new(Options::default(), script);
        bench.run(5);
        bench.peer.say("\r\nRING\r\n");
        bench.run_ms(ms);
        if ms > 5000 {
            bench.modem.hang_up(bench.now);
            bench.run_ms(ms - 5000);
        }
        bench.present = false;
        bench.events();
        bench.modem.line_closed(bench.now);
        bench.modem.line_closed(bench.now);
        assert!(!bench.modem.online());
        bench.run(1000);
        let events = bench.events();
        let asked = events
            .iter()
            .filter(|event| **event == Event::Reopen)
            .count();
        assert!((10..40).contains(&asked), "{asked}");
        assert_eq!(events[0], Event::Fault(Fault::Closed));
        assert!(events[1..].iter().all(|event| *event == Event::Reopen));
        bench.present = true;
        bench.run(70);
        assert_eq!(bench.events(), [Event::Reopen, Event::Ready]);
    }
}

#[test]
fn edge_31_a_modem_that_does_not_hang_up_is_reopened() {
    for dcd in [Circuit::On, Circuit::Unknown] {
        let mut bench = Bench::ready(Options::default(), Script::agreeable());
        bench.peer.answers(|line| match line {
            "ATA" => "\r\nCONNECT\r\n".into(),
            _ => String::new(),
        });
        bench.peer.dcd = dcd;
        bench.peer.say("\r\nRING\r\n");
        bench.run(1);
        bench.events();
        bench.peer.commands.clear();
        bench.modem.hang_up(bench.now);
        bench.run(22);
        let expected = [
            Event::HungUp { verified: false },
            Event::Fault(Fault::StillOffHook),
            Event::Reopen,
        ];
        assert_eq!(bench.events(), expected);
        let own = "\u{1d}\u{1d}\u{1d}ATH0";
        assert_eq!(bench.peer.commands[..3], [own, "+++ATH0", own]);
        bench.peer.answers(|_| "\r\nOK\r\n".into());
        bench.run(60);
        assert_eq!(bench.events().last(), Some(&Event::Ready));
    }
}

#[test]
fn late_answers_after_a_call_are_swallowed() {
    let mut bench = Bench::ready(Options::default(), Script::agreeable());
    bench.peer.answers(|line| match line {
        "ATA" => "\r\nCONNECT\r\n".into(),
        line if line.ends_with("ATH0") => "\r\nNO CARRIER\r\n\r\nOK\r\n\r\nNO CARRIER\r\n".into(),
        _ => "\r\nOK\r\n".into(),
    });
    bench.peer.say("\r\nRING\r\n");
    bench.run(1);
    bench.events();
    bench.modem.hang_up(bench.now);
    bench.run(20);
    assert_eq!(
        bench.events(),
        [Event::HungUp { verified: true }, Event::Ready]
    );
}

#[test]
fn random_octets_and_events_never_upset_the_engine() {
    let seed = 0x5eed_0003_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let words: [&[u8]; 16] = [
        b"\r\nOK\r\n",
        b"\r\nOK\r\n",
        b"OK",
        b"\r",
        b"\n",
        b"RING\r\n",
        b"\r\nCONNECT 9600\r\n",
        b"NO CARRIER",
        b"\r\nNO CARRIER\r\n",
        b"ERROR\r",
        b"0\r",
        b"3\r",
        b"NMBR=1\r\n",
        b"\xff\0",
        &[b'x'; 600],
        b"18\r",
    ];
    let (mut ready, mut connected) = (0, 0);
    for round in 0..2000 {
        // Every other walk is a friendly one, and comes further.
        let friendly = round % 2 == 0;
        let mut modem = Modem::new(Options {
            rings: u8::try_from(random(3)).unwrap(),
            ..Options::default()
        });
        let mut link = Link::new();
        let mut now = Instant::ZERO;
        for _ in 0..400 {
            let choice = if friendly { 4 + random(56) } else { random(40) };
            match choice {
                4.. if friendly && choice < 50 && modem.state() != Status::Ready => {
                    link.feed(b"OK\r");
                    now = modem.deadline().unwrap_or(now).max(now);
                }
                0 => modem.hang_up(now),
                1 => modem.answer(now),
                2 => modem.line_closed(now),
                3 => modem.reopened(now),
                4..20 => {
                    link.feed(words[usize::try_from(random(16)).unwrap()]);
                }
                20..30 => link.take_output(usize::try_from(random(50)).unwrap()),
                _ => now = modem.deadline().unwrap_or(now).max(now),
            }
            let dcd = [Circuit::On, Circuit::Off, Circuit::Unknown];
            let dcd = dcd[usize::try_from(random(3)).unwrap()];
            let mut events = 0;
            while let Some(event) = modem.step(now, &mut link, dcd) {
                events += 1;
                ready += usize::from(event == Event::Ready);
                connected += usize::from(matches!(event, Event::Connected(_)));
                assert!(events < 5000);
            }
            assert!(
                modem.deadline().is_none_or(|deadline| deadline > now),
                "{modem:?}"
            );
            if !modem.online() && !matches!(modem.state(), Status::Online | Status::Answering) {
                assert!(link.peek().len() <= 521, "{modem:?}");
            }
        }
    }
    // The walk has been everywhere.
    assert!(ready > 100 && connected > 100, "{ready} {connected}");
}

/// A modem that is fixed to one speed, and hears garbage at any other.
fn fixed(speed: u32) -> (Script, std::rc::Rc<core::cell::Cell<u32>>) {
    let port = std::rc::Rc::new(core::cell::Cell::new(115_200));
    let at = std::rc::Rc::clone(&port);
    let script = Script::new(move |_| match at.get() == speed {
        true => "\r\nOK\r\n".into(),
        false => String::new(),
    });
    (script, port)
}

#[test]
fn edge_12_and_32_a_modem_of_another_speed_is_found() {
    for speed in [300, 1200, 2400, 9600, 19_200, 38_400, 57_600] {
        let (script, port) = fixed(speed);
        let options = Options {
            speed: 115_200,
            ..Options::default()
        };
        let mut bench = Bench::new(options, script);
        for _ in 0..900 {
            bench.run_ms(100);
            port.set(bench.speed);
        }
        let events = bench.events();
        assert_eq!(events.last(), Some(&Event::Ready), "{speed}: {events:?}");
        assert!(events.contains(&Event::Fault(Fault::OtherSpeed(speed))));
        assert_eq!(bench.speed, speed);
    }
}

#[test]
fn edge_12_a_silent_modem_is_reset_and_its_own_speed_comes_back() {
    let options = Options {
        speed: 9600,
        ..Options::default()
    };
    let mut bench = Bench::new(options, Script::new(|_| String::new()));
    bench.speed = 9600;
    bench.run(3600);
    // Reopening, searching, resetting; and so on in turn.
    let reopened = bench.log.iter().filter(|(_, e)| *e == Event::Reopen);
    let (reopened, resets) = (reopened.count(), bench.resets.len());
    assert!(
        (reopened / 2 - 1..=reopened / 2).contains(&resets),
        "{reopened} {resets}"
    );
    let gaps = bench.resets.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.min().unwrap() > Duration::from_secs(30));
    // Each search ends where it began.
    while matches!(bench.modem.state(), Status::Probing) {
        bench.run(1);
    }
    assert_eq!(bench.speed, 9600);
    bench.peer.answers(|_| "\r\nOK\r\n".into());
    bench.run(200);
    assert_eq!(bench.modem.state(), Status::Ready);
}

#[test]
fn edge_7_a_modem_that_was_told_to_be_quiet_is_heard_again() {
    let mut quiet = true;
    let script = Script::new(move |line| {
        quiet &= !line.contains("Q0");
        match quiet {
            true => String::new(),
            false => "\r\nOK\r\n".into(),
        }
    });
    let mut bench = Bench::new(Options::default(), script);
    bench.run(10);
    assert_eq!(bench.events(), [Event::Ready]);
}

#[test]
fn what_a_modem_is_decides_what_it_is_told() {
    use crate::config::ModemKind;
    for (kind, says, sent, unsent) in [
        (
            ModemKind::Auto,
            "Zimodem Firmware v4.0\r\n",
            "AT&C1",
            &["ATZ", "AT&D2", "AT+CRC=1"][..],
        ),
        (ModemKind::Wifi, "", "ATS0=0", &["ATI", "ATZ", "AT&D2"]),
        (ModemKind::Auto, "SIEMENS TC35i\r\n", "AT+CRC=1", &[]),
        (ModemKind::Gsm, "", "AT+CBST=7,0,1", &["ATI"]),
        (ModemKind::Auto, "56000\r\n", "ATZ", &["AT+CRC=1"]),
        (ModemKind::Auto, "336\r\n", "AT&D2", &["AT+CRC=1"]),
    ] {
        let options = Options {
            modem: kind,
            ..Options::default()
        };
        let script = Script::new(move |line| match line {
            "ATI" => format!("\r\n{says}\r\nOK\r\n"),
            _ => "\r\nOK\r\n".into(),
        });
        let mut bench = Bench::ready(options, script);
        let commands = core::mem::take(&mut bench.peer.commands);
        assert!(commands.contains(&sent.into()), "{says}: {commands:?}");
        for command in unsent {
            assert!(!commands.contains(&(*command).into()), "{says}: {command}");
        }
    }
}

#[test]
fn edge_35_and_36_a_device_that_comes_again_at_once_is_taken_up() {
    let mut bench = Bench::ready(Options::default(), Script::agreeable());
    for _ in 0..20 {
        bench.modem.line_closed(bench.now);
        bench.run(10);
        assert_eq!(
            bench.events(),
            [Event::Fault(Fault::Closed), Event::Reopen, Event::Ready]
        );
    }
}
