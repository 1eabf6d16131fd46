//! Lets a fuzzer play the IMAP server.
//!
//! The first octet says in pieces of what size the others come. Whatever they are, nothing may
//! panic or go on without end, and a text is never told longer than what has come.

#![no_main]

use hal::Instant;
use libfuzzer_sys::fuzz_target;
use ringmail::imap::client::{Client, Event, Request};
use ringmail::link::Link;

fuzz_target!(|input: &[u8]| {
    let Some((size, said)) = input.split_first() else {
        return;
    };
    let mut client = Client::new(Instant::ZERO);
    let mut link = Link::new();
    let mut out = [0; 512];
    link.feed(b"* OK hello\r\n");
    client.step(Instant::ZERO, &mut link, &mut out);
    let requests = [
        Request::Status { mailbox: "a", modseq: true },
        Request::Examine { mailbox: "a", modseq: true },
        Request::List { first: 1, last: 9 },
        Request::Header { uid: 1 },
        Request::Mail { uid: 2 },
        Request::Mail { uid: 3 },
        Request::Logout,
    ];
    for request in requests {
        assert!(client.request(&mut link, request));
    }
    let mut octets = 0;
    for piece in said.chunks(usize::from(*size) + 1) {
        link.feed(piece);
        let mut events = 0;
        while let Some(event) = client.step(Instant::ZERO, &mut link, &mut out) {
            if let Event::Body { length } = event {
                octets += length;
            }
            events += 1;
            assert!(events < 10_000);
        }
    }
    assert!(octets <= said.len());
});
