//! What a caller says, in whatever pieces, to the server.
//!
//! The first octet says how large the pieces are; the rest is the caller's. Every reply must be a
//! line with `+OK` or `-ERR` or belong to a reply of several lines, and no message may be taken
//! without `QUIT`.

#![no_main]

use hal::{Duration, Instant};
use libfuzzer_sys::fuzz_target;
use ringmail::link::Link;
use ringmail::pop3::command::Command;
use ringmail::pop3::server::{Event, Options, Server};
use ringmail::pop3::{Commit, Maildrop, Open, ReadFault, Uid};

const MAIL: &[u8] = b"Subject: x\r\n\r\n.\r\n..dots\r\nlast\r\n";

#[derive(Default)]
struct Drop {
    deleted: [bool; 3],
    committed: bool,
}

impl Maildrop for Drop {
    fn count(&self) -> u32 {
        3
    }

    fn size(&self, number: u32) -> Option<u64> {
        (1..=3).contains(&number).then_some(MAIL.len() as u64)
    }

    fn uid(&self, number: u32) -> Option<Uid> {
        self.size(number)?;
        Uid::try_from(["a", "b", "c"][number as usize - 1]).ok()
    }

    fn is_deleted(&self, number: u32) -> bool {
        (1..=3).contains(&number) && self.deleted[number as usize - 1]
    }

    fn delete(&mut self, number: u32) {
        self.deleted[number as usize - 1] = true;
    }

    fn reset(&mut self) {
        self.deleted = [false; 3];
    }

    fn open(&mut self, number: u32) -> Open {
        self.size(number).map_or(Open::Unavailable, Open::Ready)
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadFault> {
        let rest = &MAIL[(offset as usize).min(MAIL.len())..];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn sent_whole(&mut self, _: u32) {}

    fn replies_read(&mut self) {}

    fn commit(&mut self) -> Commit {
        self.committed = true;
        Commit::Done
    }
}

fuzz_target!(|input: &[u8]| {
    let _ = Command::parse(input);
    let [piece, caller @ ..] = input else {
        return;
    };
    let options = Options {
        login_failures: 3,
        idle: Duration::from_secs(600),
        call: Duration::from_secs(7200),
        expire_zero: piece & 1 == 1,
    };
    let (now, mut link, mut drop) = (Instant::ZERO, Link::new(), Drop::default());
    let mut server = Server::new(now, options);
    server.greet(now, &mut link, "fuzz", "<1@fuzz>");
    let mut sent = Vec::new();
    let mut ended = false;
    for octets in caller.chunks(usize::from(*piece).max(1)) {
        link.feed(octets);
        for _ in 0..10_000 {
            let before = (link.output().len(), link.peek().len());
            match server.step(now, &mut link, true, Some(&mut drop)) {
                Some(Event::Proof { .. } | Event::Response(_)) => {
                    server.admit(now, &mut link, false);
                }
                Some(Event::Auth { .. }) => server.challenge(now, &mut link, "Zg=="),
                Some(Event::Ended(_)) => ended = true,
                Some(_) => {}
                None if (link.output().len(), link.peek().len()) == before => break,
                None => {}
            }
            let count = link.output().len();
            sent.extend_from_slice(link.output());
            link.take_output(count);
        }
    }
    assert!(
        !drop.committed
            || caller
                .to_ascii_uppercase()
                .windows(4)
                .any(|it| it == b"QUIT")
    );
    assert!(ended || !drop.committed);
    // Lines are whole, and no octet is a control character a terminal would obey.
    let whole = sent.is_empty() || sent.ends_with(b"\r\n");
    assert!(whole, "{}", sent.escape_ascii());
    let allowed = |octet: &u8| matches!(octet, b' '..=b'~' | b'\r' | b'\n');
    assert!(sent.iter().all(allowed), "{}", sent.escape_ascii());
});
