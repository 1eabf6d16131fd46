//! Result codes and caller id, alone and through the engine of a line.
//!
//! The first octet chooses the line's options. Then each piece is: an octet for what happens
//! (octets come, time passes, the circuit changes, the session says something), and its argument.
//! Nothing may panic, loop without end, or be kept waiting without a deadline.

#![no_main]

use hal::{Circuit, Duration, Instant};
use libfuzzer_sys::fuzz_target;
use ringmail::config::{Carrier, ModemKind};
use ringmail::hayes::{Event, Modem, Options, Status, caller_id, result};
use ringmail::link::Link;

fuzz_target!(|input: &[u8]| {
    let scan = result::scan(input);
    assert!(scan.used <= input.len());
    let _ = result::parse(input);
    if let Ok(text) = core::str::from_utf8(input) {
        let number = caller_id::number(text);
        let printable = |octet: u8| octet.is_ascii_graphic() && !b"\"'`\\".contains(&octet);
        assert!(number.is_none_or(|number| number.bytes().all(printable)));
        let printable = |octet: u8| octet == b' ' || printable(octet);
        assert!(caller_id::name(text).is_none_or(|name| name.bytes().all(printable)));
    }
    let [choice, rest @ ..] = input else {
        return;
    };
    let options = Options {
        rings: choice & 3,
        carrier: [Carrier::Auto, Carrier::Dcd, Carrier::Text, Carrier::None]
            [usize::from(choice >> 2 & 3)],
        modem: [ModemKind::Auto, ModemKind::Wifi, ModemKind::Gsm, ModemKind::Direct]
            [usize::from(choice >> 4 & 3)],
        speed: if choice & 64 == 0 { 0 } else { 9600 },
        ..Options::default()
    };
    let (mut modem, mut link) = (Modem::new(options), Link::new());
    let (mut now, mut dcd) = (Instant::ZERO, Circuit::Unknown);
    let mut rest = rest;
    while let [what, argument, more @ ..] = rest {
        rest = more;
        match what % 8 {
            0..=2 => {
                let (octets, more) = rest.split_at(rest.len().min(usize::from(*argument)));
                link.feed(octets);
                rest = more;
            }
            3 => now = now + Duration::from_millis(u64::from(*argument) * 10),
            4 => now = modem.deadline().unwrap_or(now).max(now),
            5 => {
                dcd = [Circuit::On, Circuit::Off, Circuit::Unknown][usize::from(argument % 3)];
            }
            6 => {
                link.feed(b"\r\nOK\r\n");
            }
            _ => match argument % 4 {
                0 => modem.hang_up(now),
                1 => modem.answer(now),
                2 => modem.set_answering(argument & 4 == 0),
                _ => modem.line_closed(now),
            },
        }
        // Two octets may be an event, and a link holds 8 KiB.
        for _ in 0..20_000 {
            match modem.step(now, &mut link, dcd) {
                Some(Event::Reopen) if argument & 1 == 0 => modem.reopened(now),
                Some(Event::Reopen) => modem.line_closed(now),
                Some(_) => {}
                None => break,
            }
        }
        // While it is online, the session reads a line before the next step.
        if !modem.online() {
            let more = modem.step(now, &mut link, dcd);
            assert!(more.is_none(), "never quiet: {more:?} in {modem:?}");
        }
        let waits_for_ever = matches!(modem.state(), Status::Online) || modem.deadline().is_some();
        assert!(waits_for_ever, "stuck in {modem:?}");
        let sent = link.output().len();
        link.take_output(sent);
        if modem.online() {
            let read = link.peek().len();
            link.consume(read);
        }
    }
});
