//! A mail that the ring cannot hold, streamed by POP3 while the caller waits (design 2.9).

use std::rc::Rc;

use ringmail::config::Config;
use ringmail::mailbox;
use ringmail::poll::visit::{Failure, Goal};

use super::support::desk::{Desk, Memory, Stop, Visited, WHOLE, Wire, formatted};
use super::support::lan::{Held, Pop3, Server};
use super::{call, desk, geometry, held, octets, pop3};

/// What a server makes of the large mail when it is fetched whole.
#[derive(Clone, Copy, Debug)]
enum Whim {
    /// It sends what it has.
    None,
    /// It sends less, in these of its fetches.
    Cuts(fn(usize) -> bool),
    /// It sends as much, and other octets, from the second time on.
    Changes,
    /// It never ends.
    Endless,
}

struct Post {
    post: Pop3,
    whim: Whim,
    fetches: usize,
    resets: usize,
    last: bool,
}

impl Server for Post {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        self.resets += usize::from(line == "RSET");
        if line == "LAST" && !self.last {
            out.extend(b"-ERR\r\n");
            return;
        }
        let whole = line.ends_with(" 99999999") && self.post.top || line.starts_with("RETR");
        if !whole {
            self.post.hear(line, out);
            return;
        }
        self.fetches += 1;
        let before = self.post.held.clone();
        let large = self
            .post
            .held
            .iter_mut()
            .max_by_key(|held| held.octets.len())
            .unwrap();
        let text = large.octets.to_vec();
        match self.whim {
            Whim::Cuts(cuts) if cuts(self.fetches) => {
                let half = &text[..text.len() / 2];
                let end = half.iter().rposition(|&octet| octet == b'\n').unwrap();
                large.octets = half[..=end].into();
            }
            Whim::Changes if self.fetches > 1 => {
                let last = text.len() - 3;
                large.octets = [&text[..last], b"!\r\n"].concat().into();
            }
            Whim::Endless => large.octets = text.repeat(8).into(),
            _ => {}
        }
        self.post.hear(line, out);
        self.post.held = before;
    }
}

fn config(large: &str) -> Config {
    super::support::desk::users(&format!(
        "user add anna password rot\nuser anna source pop3://post login anna password blau\n\
         user anna large {large}\n"
    ))
}

/// Larger than the ring of these tests, with dots where they hurt.
fn large() -> Held {
    let mut text = String::from("Message-ID: <large@b>\r\n\r\n");
    for line in 0..12_000 {
        text += [".\r\n", "..x\r\n", "thirty octets of an ordinary line\r\n"][line % 3];
    }
    Held {
        mail: 99,
        id: "large".to_owned(),
        seen: false,
        octets: Rc::from(text.into_bytes()),
    }
}

fn post(whim: Whim) -> Post {
    let mut held = held(&[(0, "a"), (1, "b")]);
    held.insert(1, large());
    Post {
        post: Pop3::new(held),
        whim,
        fetches: 0,
        resets: 0,
        last: false,
    }
}

/// A medium that knows the three mails, and the slot of the large one.
fn known(memory: &mut Memory) -> (Vec<u8>, u32) {
    let mut slot = 0;
    let image = desk(memory, &formatted(&geometry()), |desk| {
        let config = config("leave");
        let server = || Box::new(post(Whim::None).post) as Box<dyn Server>;
        assert_eq!(desk.poll(&config.users[0], server).failure, None);
        let rows: Vec<_> = desk.mailbox.ledger().rows().collect();
        let lacks = rows.iter().find(|(_, row)| row.copy.is_none()).unwrap();
        assert_eq!(rows.len(), 3);
        slot = lacks.0;
        desk.settle();
    });
    (image, slot)
}

fn fetch(desk: &mut Desk<'_>, slot: u32, server: &mut Post, wire: Wire) -> Visited {
    let config = config("stream");
    desk.visit(&config.users[0], Goal::Fetch(slot), server, wire)
}

#[test]
fn a_large_mail_is_streamed_by_pop3_in_pieces_of_every_size() {
    let (mut memory, mail) = (Memory::new(64), large());
    assert!(mail.octets.len() > 32 * 4096);
    let (image, slot) = known(&mut memory);
    for (top, last) in [(true, false), (false, false), (false, true)] {
        for chunk in [1, 2, 3, 7, 64, 1000, 4096, usize::MAX] {
            desk(&mut memory, &image, |desk| {
                let mut server = post(Whim::None);
                (server.post.top, server.last) = (top, last);
                let wire = Wire {
                    chunk,
                    stop: Stop::Never,
                };
                let visited = fetch(desk, slot, &mut server, wire);
                assert_eq!(visited.report.unwrap().failure, None);
                assert!(visited.streamed == *mail.octets, "{chunk}");
                assert_eq!(visited.announced, Some(mail.octets.len() as u64));
                assert!(server.post.log.quit);
                // What RETR has marked is undone, where that is safe.
                let resets = if top || last { 0 } else { 2 };
                assert_eq!((server.fetches, server.resets), (2, resets));
                assert_eq!(desk.mailbox.ledger().row(slot).unwrap().copy, None);
            });
        }
    }
}

#[test]
fn a_large_mail_cut_anywhere_is_never_whole() {
    let (mut memory, mail) = (Memory::new(64), large());
    let (image, slot) = known(&mut memory);
    let mut cut = 0;
    loop {
        let mut whole = false;
        desk(&mut memory, &image, |desk| {
            let stop = Stop::Closed(cut);
            let wire = Wire {
                chunk: usize::MAX,
                stop,
            };
            let visited = fetch(desk, slot, &mut post(Whim::None), wire);
            assert!(mail.octets.starts_with(&visited.streamed));
            let octets = visited.streamed.len() as u64;
            whole = visited.announced == Some(octets);
            assert!(whole || visited.report.unwrap().failure.is_some(), "{cut}");
            assert_eq!(call_small(desk), [0, 1], "{cut}");
        });
        if whole {
            return;
        }
        cut += if cut < 200 { 1 } else { 997 };
    }
}

/// What a call is offered besides the large mail.
fn call_small(desk: &mut Desk<'_>) -> Vec<usize> {
    let rows = desk.mailbox.ledger().rows();
    let copies = rows
        .filter(|(_, row)| row.copy.is_some() && row.is_listed())
        .count();
    (0..copies).collect()
}

#[test]
fn what_is_streamed_is_what_was_counted_or_it_is_not_whole() {
    let (mut memory, mail) = (Memory::new(64), large());
    let octets = mail.octets.len();
    let (image, slot) = known(&mut memory);
    let visit = |memory: &mut Memory, whim| {
        let mut found = None;
        desk(memory, &image, |desk| {
            let visited = fetch(desk, slot, &mut post(whim), WHOLE);
            found = Some((
                visited.streamed,
                visited.announced,
                visited.report.unwrap().failure,
            ));
        });
        found.unwrap()
    };
    let announced = u32::try_from(octets).unwrap();
    let other = Some(Failure::OtherSize { announced });
    // The first time only: it comes whole at the next.
    let (streamed, told, failure) = visit(&mut memory, Whim::Cuts(|fetch| fetch == 1));
    assert!(streamed == *mail.octets && failure.is_none());
    assert_eq!(told, Some(octets as u64));
    // Always the same: the server does not know its size.
    let (streamed, told, failure) = visit(&mut memory, Whim::Cuts(|_| true));
    assert!(mail.octets.starts_with(&streamed) && failure.is_none());
    assert_eq!(told, Some(streamed.len() as u64));
    // When it is too late: it is not taken for whole.
    let (streamed, told, failure) = visit(&mut memory, Whim::Cuts(|fetch| fetch == 2));
    assert!(streamed.len() < octets && told == Some(octets as u64));
    assert_eq!(failure, other);
    let (streamed, told, failure) = visit(&mut memory, Whim::Changes);
    assert!(streamed.len() < octets && told == Some(octets as u64));
    assert_eq!(failure, other);
    let (streamed, told, failure) = visit(&mut memory, Whim::Endless);
    assert!(streamed.is_empty() && told.is_none());
    assert_eq!(failure, Some(Failure::Endless { announced }));
}

/// Nothing is given up for what the ring can never hold, and the owner was not asked.
#[test]
fn without_leave_a_large_mail_stays_where_it_is() {
    let mut memory = Memory::new(64);
    let (image, slot) = known(&mut memory);
    desk(&mut memory, &image, |desk| {
        let config = config("leave");
        let mut server = post(Whim::None);
        let visited = desk.visit(&config.users[0], Goal::Fetch(slot), &mut server, WHOLE);
        let full = Failure::Mailbox(mailbox::Error::RingFull);
        assert_eq!(visited.report.unwrap().failure, Some(full));
        assert_eq!((server.fetches, visited.announced), (0, None));
        assert_eq!(call_small(desk), [0, 1]);
        // Read at the desk, it is offered no more.
        pop3(desk, &config, &[(0, "a"), (1, "b")]);
        assert_eq!(call(desk, &config, false), [0, 1]);
        assert_eq!(octets(0), held(&[(0, "a")])[0].octets);
    });
}
