//! What a LAN server says, in whatever pieces, to the client.
//!
//! The first octet chooses which requests are made, the second how large the pieces are. Nothing
//! may panic or loop; once the connection has failed, nothing follows.

#![no_main]

use hal::{Duration, Instant};
use libfuzzer_sys::fuzz_target;
use ringmail::link::Link;
use ringmail::pop3::client::{Client, Event, Request, UNIQUE_ID_OCTETS};

fuzz_target!(|input: &[u8]| {
    let [choice, piece, server @ ..] = input else {
        return;
    };
    let (mut now, mut link) = (Instant::ZERO, Link::new());
    let mut client = Client::new(now);
    let requests = [
        Request::Capa,
        Request::User("u"),
        Request::Stat,
        Request::Uidl,
        Request::List,
        Request::Top { number: 1, lines: 0 },
        Request::Retr(1),
        Request::Quit,
    ];
    let mut out = [0; UNIQUE_ID_OCTETS];
    let mut next = usize::from(*choice);
    let mut failed = false;
    for octets in server.chunks(usize::from(*piece).max(1)) {
        assert_eq!(link.feed(octets), octets.len());
        if client.request(&mut link, requests[next % requests.len()]) {
            next += 1 + usize::from(*choice) / 8;
        }
        for turn in 0..=20_000 {
            assert!(turn < 20_000, "never quiet");
            let Some(event) = client.step(now, &mut link, &mut out) else {
                break;
            };
            assert!(!failed, "{event:?} after the end");
            match event {
                Event::Failed(_) => failed = true,
                Event::UniqueId { length, .. } | Event::Body { length } => {
                    assert!(length <= out.len());
                }
                _ => {}
            }
        }
        if failed {
            return;
        }
        let count = link.output().len();
        link.take_output(count);
    }
    // A server that says no more is given up, if anything is awaited.
    if let Some(deadline) = client.deadline() {
        now = deadline.max(now) + Duration::from_secs(3600);
        client.step(now, &mut link, &mut out);
        assert!(client.step(now, &mut link, &mut out).is_none() || client.deadline().is_none());
    }
});
