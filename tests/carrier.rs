//! USB as a real kernel has it: a modem's carrier, unplugging and resetting; a console for a PC.
//!
//! The card runs in an emulated Pi 3, as in `image.rs`; its kernel takes a USB modem that is played
//! here, so all of `cdc_acm`, the terminal and serialport lie between the modem's circuits and the
//! gateway (see `support/usbip.rs`).
//!
//! `scripts/test-image` builds the image first and says where it lies; alone, this test is left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use core::time::Duration;
use std::time::Instant;

use support::pi::{Card, HOST, Pi};
use support::pop3::Session;
use support::post::Post;
use support::process::wait_until;
use support::redial::redial;
use support::usbip::UsbModem;

#[test]
#[ignore = "scripts/test-image builds the image and runs this"]
fn carrier_unplugging_and_reset_by_a_real_driver_and_a_console_at_usb() {
    let post = Post::start();
    for name in ["one", "two"] {
        let mail = format!("Subject: {name}\r\n\r\nMail {name}.\r\n").into_bytes();
        post.maildrop().mails.push((name.into(), mail));
    }
    // Whatever the modem says, its circuit alone tells whether there is a carrier.
    let mut card = Card::new(&format!(
        "hostname attic
line modem device /dev/ttyACM1
line modem carrier dcd
net dhcp
user add alice password ring
user alice source pop3://{HOST}:{} login alice password desk
user alice poll off
user alice poll at-login 60s
",
        post.address().port()
    ));
    let modem = UsbModem::new();
    card.plays_usb(modem.socket());
    let mut pi = card.switch_on(redial(modem.phone()), &[]);
    pi.expect("ready: ");
    // The console at the end of a USB cable; the other end of it is the first ttyACM.
    pi.expect("by-usb> ");
    modem.plug_in();

    answer_and_end(&mut pi, &modem);
    lost_carrier(&mut pi, &modem);
    unplugged(&mut pi, &modem);
    wedged(&mut pi, &modem);
    drop(pi);
    card.is_sound();
}

/// The carrier comes with the answer, and goes when we hang up; what was taken is gone.
fn answer_and_end(pi: &mut Pi<'_>, modem: &UsbModem) {
    let mut session = pi.call();
    assert!(modem.dcd() && modem.dtr());
    assert_eq!(subjects(&mut session), ["one", "two"]);
    session.ask("DELE 1").unwrap();
    session.quit().unwrap();
    pi.expect("call ended: quit");
    wait_until("the carrier to go", || (!modem.dcd()).then_some(()));
}

/// The caller's end of the line goes away: the driver tells so, and nothing was taken.
fn lost_carrier(pi: &mut Pi<'_>, modem: &UsbModem) {
    let mut session = pi.call();
    assert!(modem.dcd());
    session.ask("DELE 1").unwrap();
    drop(session);
    pi.expect("call ended: carrier lost");
    still_waits(pi);
}

/// The modem is pulled out of the socket in a call, and plugged in again.
fn unplugged(pi: &mut Pi<'_>, modem: &UsbModem) {
    let mut session = pi.call();
    session.ask("DELE 1").unwrap();
    modem.unplug();
    pi.expect("call ended: the modem is gone");
    modem.plug_in();
    still_waits(pi);
}

/// The modem says nothing any more, whatever it is told, until USB configures it anew.
fn wedged(pi: &mut Pi<'_>, modem: &UsbModem) {
    let session = pi.call();
    modem.wedge();
    let before = modem.configured();
    pi.type_in("hangup modem\r");
    pi.expect("call ended: hung up here");
    pi.expect("the modem does not hang up");
    // It is opened again first, then searched for at other speeds, then switched off and on.
    let mut longest = Duration::ZERO;
    while modem.configured() == before {
        let asked = Instant::now();
        pi.type_in("show lines\r");
        pi.expect("by-usb> ");
        longest = longest.max(asked.elapsed());
    }
    eprintln!("the console answered within {longest:.1?} meanwhile");
    drop(session);
    still_waits(pi);
}

/// The second mail is offered at the next call.
fn still_waits(pi: &mut Pi<'_>) {
    let mut session = pi.call();
    assert_eq!(subjects(&mut session), ["two"]);
    session.quit().unwrap();
    pi.expect("call ended: quit");
}

fn subjects(session: &mut Session) -> Vec<String> {
    let mails = session.all().unwrap();
    let subject = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets);
        let line = text.lines().next().unwrap_or_default();
        line.trim_start_matches("Subject: ").to_owned()
    };
    mails.iter().map(|mail| subject(&mail.octets)).collect()
}
