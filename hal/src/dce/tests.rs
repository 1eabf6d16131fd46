//! The virtual modem by itself: what it says, when, and what it does not take.

extern crate std;

use std::{println, string::String, vec, vec::Vec};

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn modem(options: DceOptions) -> Dce {
    Dce::new(options)
}

fn said(dce: &mut Dce, now: Instant) -> String {
    let mut all = Vec::new();
    let mut buf = [0; 7];
    loop {
        let n = dce.to_dte(now, &mut buf);
        if n == 0 {
            return String::from_utf8(all).unwrap();
        }
        all.extend(&buf[..n]);
    }
}

fn ask(dce: &mut Dce, now: Instant, line: &str) -> String {
    assert_eq!(dce.from_dte(now, line.as_bytes()), line.len());
    assert_eq!(dce.from_dte(now, b"\r"), 1);
    said(dce, now)
}

/// A modem with a caller on the line, without echo.
fn modem_in_call(options: DceOptions) -> Dce {
    let mut dce = modem(options);
    ask(&mut dce, at(0), "ATE0");
    assert!(dce.call(at(0), None));
    said(&mut dce, at(0));
    assert_eq!(ask(&mut dce, at(0), "ATA"), "\r\nCONNECT 33600\r\n");
    assert_eq!(dce.step(at(0)), Some(Event::Answered));
    dce
}

fn far(dce: &mut Dce, now: Instant) -> Vec<u8> {
    let mut buf = [0; 8192];
    let n = dce.to_line(now, &mut buf);
    buf[..n].to_vec()
}

#[test]
fn commands_are_answered() {
    let mut dce = modem(DceOptions::default());
    assert_eq!(ask(&mut dce, at(0), "AT"), "AT\r\r\nOK\r\n");
    ask(&mut dce, at(0), "ATE0");
    for (line, answer) in [
        ("AT", "\r\nOK\r\n"),
        ("", ""),
        ("garbage", ""),
        ("noise AT", "\r\nOK\r\n"),
        ("ATX4V1Q0&C1&D2S0=0", "\r\nOK\r\n"),
        ("AT&K3", "\r\nOK\r\n"),
        ("AT\\Q3", "\r\nOK\r\n"),
        ("AT+VCID=?", "\r\n(0-1)\r\n\r\nOK\r\n"),
        ("AT+VCID=1", "\r\nOK\r\n"),
        ("AT+VCID?", "\r\n1\r\n\r\nOK\r\n"),
        ("AT+FCLASS=1", "\r\nERROR\r\n"),
        ("AT$", "\r\nERROR\r\n"),
        ("ATS2=29S2?", "\r\n029\r\n\r\nOK\r\n"),
        ("ATS2=300", "\r\nERROR\r\n"),
        ("ATS99=1", "\r\nERROR\r\n"),
        ("ATA", "\r\nNO CARRIER\r\n"),
        ("ATDT123", "\r\nNO CARRIER\r\n"),
        ("ATO", "\r\nNO CARRIER\r\n"),
        ("ATH0", "\r\nOK\r\n"),
        ("ATV0", "0\r"),
        ("AT$", "4\r"),
        ("ATV1Q1", ""),
        ("AT", ""),
        ("ATQ0", "\r\nOK\r\n"),
        ("ATZ", "\r\nOK\r\n"),
    ] {
        assert_eq!(ask(&mut dce, at(0), line), answer, "{line}");
    }
    let long = "AT".repeat(100);
    assert!(ask(&mut dce, at(0), &long).ends_with("\r\nERROR\r\n"));
    assert!(ask(&mut dce, at(0), "AT").ends_with("\r\nOK\r\n"));
    assert_eq!(dce.from_dte(at(0), b"A/"), 2);
    assert_eq!(said(&mut dce, at(0)), "A/\r\nOK\r\n");
}

#[test]
fn it_rings_every_six_seconds_and_tells_the_number() {
    let mut dce = modem(DceOptions::default());
    ask(&mut dce, at(0), "ATE0+VCID=1");
    assert!(dce.call(at(100), Some("5551234")));
    assert!(!dce.call(at(100), None), "busy");
    assert_eq!(
        said(&mut dce, at(100)),
        "\r\nRING\r\n\r\nNMBR = 5551234\r\n"
    );
    assert_eq!(dce.ring_indicator(), Circuit::On);
    assert_eq!(dce.deadline(), Some(at(6100)));
    assert_eq!(said(&mut dce, at(6099)), "");
    assert_eq!(dce.ring_indicator(), Circuit::Off);
    assert_eq!(said(&mut dce, at(6100)), "\r\nRING\r\n");
    assert_eq!(dce.ring_indicator(), Circuit::On);
    dce.far_hang_up(at(7000));
    assert_eq!(dce.ring_indicator(), Circuit::Off);
    assert_eq!(said(&mut dce, at(20_000)), "");
    assert_eq!(dce.deadline(), None);
}

#[test]
fn it_answers_by_itself_where_told() {
    let mut dce = modem(DceOptions::default());
    ask(&mut dce, at(0), "ATE0S0=2");
    dce.call(at(0), None);
    assert_eq!(said(&mut dce, at(0)), "\r\nRING\r\n");
    assert_eq!(
        said(&mut dce, at(6000)),
        "\r\nRING\r\n\r\nCONNECT 33600\r\n"
    );
    assert_eq!(dce.dcd(), Circuit::On);
    assert_eq!(dce.step(at(6000)), Some(Event::Answered));
}

#[test]
fn a_key_before_connect_aborts() {
    let options = DceOptions {
        training: Duration::from_secs(5),
        ..DceOptions::default()
    };
    let mut dce = modem(options);
    ask(&mut dce, at(0), "ATE0");
    dce.call(at(0), None);
    said(&mut dce, at(0));
    assert_eq!(ask(&mut dce, at(0), "ATA"), "");
    assert_eq!(dce.from_dte(at(10), b"\n"), 1);
    assert_eq!(said(&mut dce, at(20)), "");
    assert_eq!(dce.from_dte(at(30), b"x"), 1);
    assert_eq!(said(&mut dce, at(30)), "\r\nNO CARRIER\r\n");
    assert_eq!(dce.step(at(30)), Some(Event::HungUp));
}

#[test]
fn the_escape_needs_its_guard_time() {
    for (before, between, after, expected) in [
        (1000, 10, 1000, true),
        (999, 10, 1000, false),
        (1000, 999, 1000, true),
        (1000, 1000, 1000, false),
        (1000, 10, 999, false),
    ] {
        let mut dce = modem_in_call(DceOptions::default());
        let mut now = 5000;
        dce.from_dte(at(now), b"text");
        now += before;
        for pause in [between, between, after] {
            dce.from_dte(at(now), b"+");
            now += pause;
        }
        dce.from_dte(at(now), b"AT\r");
        let answered = said(&mut dce, at(now));
        let case = (before, between, after);
        assert_eq!(answered.matches("OK").count() == 2, expected, "{case:?}");
        assert_eq!(far(&mut dce, at(now)).len(), if expected { 7 } else { 10 });
        assert_eq!(dce.dcd(), Circuit::On);
    }
    // Three at once do as well; four do not, nor any if S2 says so.
    for (register, octets, expected) in [
        ("43", &b"+++"[..], true),
        ("43", b"++++", false),
        ("29", b"+++", false),
        ("29", &[29; 3], true),
        ("255", &[255; 3], false),
    ] {
        let mut dce = modem_in_call(DceOptions::default());
        dce.profile.registers[2] = register.parse().unwrap();
        dce.from_dte(at(2000), octets);
        assert_eq!(
            said(&mut dce, at(3000)).contains("OK"),
            expected,
            "{register}"
        );
        if expected {
            assert_eq!(ask(&mut dce, at(3000), "ATO"), "\r\nCONNECT 33600\r\n");
            dce.from_dte(at(4000), octets);
            said(&mut dce, at(5000));
            assert_eq!(ask(&mut dce, at(5000), "ATH0"), "\r\nOK\r\n");
            assert_eq!(dce.dcd(), Circuit::Off);
            far(&mut dce, at(5000));
            assert_eq!(dce.step(at(5000)), Some(Event::HungUp));
            assert!(dce.call(at(5000), None));
        }
    }
}

#[test]
fn loss_of_dtr_does_what_the_profile_says() {
    for (mode, call_left, answer) in [
        ("AT&D0", true, ""),
        ("AT&D1", true, "\r\nOK\r\n"),
        ("AT&D2", false, "\r\nNO CARRIER\r\n"),
        ("AT&D3", false, "\r\nNO CARRIER\r\n"),
    ] {
        let mut dce = modem(DceOptions::default());
        ask(&mut dce, at(0), "ATE0");
        ask(&mut dce, at(0), mode);
        dce.call(at(0), None);
        ask(&mut dce, at(0), "ATA");
        dce.set_dtr(at(10), false);
        dce.set_dtr(at(500), true);
        assert_eq!(said(&mut dce, at(500)), answer, "{mode}");
        assert_eq!(dce.dcd() == Circuit::On, call_left, "{mode}");
        assert_eq!(dce.step(at(500)), Some(Event::Answered));
        assert_eq!(dce.step(at(500)), (!call_left).then_some(Event::HungUp));
    }
}

#[test]
fn what_the_far_end_sent_before_it_hung_up_comes_first() {
    let options = DceOptions {
        speed: 1000,
        latency: Duration::from_millis(100),
        ..DceOptions::default()
    };
    let mut dce = modem_in_call(options);
    assert_eq!(dce.from_line(at(0), b"0123456789"), 10);
    dce.far_hang_up(at(20));
    assert_eq!(dce.from_line(at(30), b"x"), 0);
    assert_eq!(said(&mut dce, at(109)), "");
    assert_eq!(said(&mut dce, at(199)), "012345678");
    assert_eq!(dce.dcd(), Circuit::On);
    assert_eq!(dce.deadline(), Some(at(200)));
    assert_eq!(said(&mut dce, at(200)), "9\r\nNO CARRIER\r\n");
    assert_eq!(dce.dcd(), Circuit::Off);
    assert_eq!(dce.step(at(200)), None);
    assert!(dce.call(at(200), None));
}

#[test]
fn the_circuit_goes_off_though_the_dte_does_not_read() {
    let mut dce = modem_in_call(DceOptions::default());
    dce.from_line(at(0), b"unread");
    dce.far_hang_up(at(10));
    assert_eq!(dce.dcd(), Circuit::Off);
    assert_eq!(dce.deadline(), None);
    assert_eq!(said(&mut dce, at(1000)), "unread\r\nNO CARRIER\r\n");
}

#[test]
fn what_has_passed_the_line_comes_out_though_we_hung_up() {
    let options = DceOptions {
        speed: 1000,
        latency: Duration::from_millis(500),
        ..DceOptions::default()
    };
    let mut dce = modem_in_call(options);
    dce.from_dte(at(0), b"0123456789");
    dce.set_dtr(at(50), false);
    assert!(!dce.call(at(60), None), "the far end does not know yet");
    assert_eq!(far(&mut dce, at(509)), b"");
    assert_eq!(far(&mut dce, at(10_000)), b"01234");
    assert_eq!(dce.step(at(10_000)), Some(Event::HungUp));
    assert!(dce.call(at(10_000), None));
}

#[test]
fn dialling_is_the_owners_business() {
    for (result, answer) in [
        (Dialled::Connected, "\r\nCONNECT 33600\r\n"),
        (Dialled::Busy, "\r\nBUSY\r\n"),
        (Dialled::NoAnswer, "\r\nNO ANSWER\r\n"),
        (Dialled::NoCarrier, "\r\nNO CARRIER\r\n"),
    ] {
        let options = DceOptions {
            dial: true,
            ..DceOptions::default()
        };
        let mut dce = modem(options);
        ask(&mut dce, at(0), "ATE0");
        assert_eq!(ask(&mut dce, at(0), "ATDT localhost:110"), "");
        let number = Number::try_from("localhost:110").unwrap();
        assert_eq!(dce.step(at(0)), Some(Event::Dial(number)));
        assert!(!dce.call(at(0), None));
        dce.dialled(at(10), result);
        assert_eq!(said(&mut dce, at(10)), answer);
        assert_eq!(dce.step(at(10)), None);
    }
}

#[test]
fn numbers_in_place_of_words() {
    for (connect, code) in [("33600", "1\r"), ("9600", "12\r"), ("2400/ARQ", "10\r")] {
        let options = DceOptions {
            connect: connect.try_into().unwrap(),
            ..DceOptions::default()
        };
        let mut dce = modem(options);
        assert_eq!(ask(&mut dce, at(0), "ATE0V0"), "ATE0V0\r0\r");
        dce.call(at(0), None);
        assert_eq!(said(&mut dce, at(0)), "2\r");
        assert_eq!(ask(&mut dce, at(0), "ATA"), code);
        dce.far_hang_up(at(1));
        assert_eq!(said(&mut dce, at(1)), "3\r");
    }
}

#[test]
fn random_octets_and_events_never_upset_it() {
    let seed = 0x5eed_0002_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let words: [&[u8]; 12] = [
        b"AT", b"A", b"\r", b"H0", b"+++", b"S2=", b"D1", b"&", b"Z", b"O", b"\n", b"\xff\0",
    ];
    for round in 0..300 {
        let mut dce = modem(DceOptions {
            speed: [0, 300, 33600][usize::try_from(round % 3).unwrap()],
            latency: Duration::from_millis(random(200)),
            training: Duration::from_millis(random(3000)),
            dial: random(2) == 0,
            ..DceOptions::default()
        });
        let mut now = 0;
        let mut buf = vec![0; 256];
        for _ in 0..500 {
            now += random(400);
            match random(10) {
                0 => drop(dce.call(at(now), Some("1"))),
                1 => dce.far_hang_up(at(now)),
                2 => dce.set_dtr(at(now), random(3) > 0),
                3 => drop(dce.from_line(at(now), &[b'x'; 100])),
                4 => drop(dce.to_line(at(now), &mut buf)),
                5 => drop(dce.to_dte(at(now), &mut buf)),
                6 => dce.dialled(at(now), Dialled::Connected),
                7 => now += random(10_000),
                _ => {
                    let word = words[usize::try_from(random(12)).unwrap()];
                    assert!(dce.from_dte(at(now), word) <= word.len());
                }
            }
            while dce.step(at(now)).is_some() {}
            assert!(
                dce.deadline().is_none_or(|deadline| deadline > at(now)),
                "would spin"
            );
        }
    }
}
