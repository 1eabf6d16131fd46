//! What POP3 servers do, played octet by octet: each dialogue in pieces of every size, and cut at
//! every octet. Whatever came of it, the next visit to a good server is right.

use std::rc::Rc;

use ringmail::config::Config;
use ringmail::mailbox::View;
use ringmail::poll::visit::{Failure, Goal, Report};

use super::support::desk::{Desk, Memory, Stop, WHOLE, Wire, formatted};
use super::support::lan::{Held, Pop3, Server};
use super::{call, config, desk, geometry, held, pop3};

/// What a server makes of what it was to say to this line.
type Twist = fn(&str, Vec<u8>) -> Vec<u8>;

/// A good server, but for that.
struct Odd {
    post: Pop3,
    twist: Twist,
}

impl Server for Odd {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        let mut said = Vec::new();
        self.post.hear(line, &mut said);
        out.extend((self.twist)(line, said));
    }
}

const BEFORE: [(usize, &str); 2] = [(0, "a"), (1, "b")];
const AFTER: [(usize, &str); 2] = [(1, "b"), (2, "c")];

fn odd(mails: &[(usize, &str)], twist: Twist) -> Odd {
    Odd {
        post: Pop3::new(held(mails)),
        twist,
    }
}

/// A medium on which the mails of `BEFORE` are known and copied.
fn known(memory: &mut Memory, config: &Config) -> Vec<u8> {
    desk(memory, &formatted(&geometry()), |desk| {
        pop3(desk, config, &BEFORE);
        desk.settle();
    })
}

/// One visit to a server with `AFTER` that has this twist, in pieces of every size and cut at every
/// octet: then a call is offered one of `outcomes`, and where nothing was cut the first of them.
/// The next visit, to a good server with `right`, makes it right.
fn sweep(twist: Twist, outcomes: &[&[usize]], right: &[(usize, &str)]) {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let image = known(&mut memory, &config);
    let expected: Vec<usize> = right.iter().map(|&(mail, _)| mail).collect();
    let mut visit = |wire: Wire| {
        let mut lost = false;
        desk(&mut memory, &image, |desk| {
            let mut server = odd(&AFTER, twist);
            let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
            lost = visited.lost;
            let offered = call(desk, &config, false);
            match wire.stop {
                Stop::Never => assert_eq!(offered, outcomes[0], "{wire:?}"),
                _ => assert!(outcomes.contains(&&offered[..]), "{wire:?}: {offered:?}"),
            }
            pop3(desk, &config, right);
            assert_eq!(call(desk, &config, true), expected, "after {wire:?}");
            pop3(desk, &config, right);
            assert!(
                call(desk, &config, true).is_empty(),
                "twice, after {wire:?}"
            );
        });
        lost
    };
    for chunk in (1..=64).chain([usize::MAX]) {
        let stop = Stop::Never;
        visit(Wire { chunk, stop });
    }
    for chunk in [usize::MAX, 7] {
        let cut = |&octets: &u64| {
            let stop = Stop::Closed(octets);
            visit(Wire { chunk, stop })
        };
        assert!((0..).take_while(cut).count() > 40, "it was cut nowhere");
    }
}

/// Whole, or nothing, or only what has gone.
const ANY: &[&[usize]] = &[&[1, 2], &[1], &[0, 1]];
/// The listing is not believed.
const NOTHING: &[&[usize]] = &[&[0, 1]];
/// The new mail is not had.
const GONE_ONLY: &[&[usize]] = &[&[1], &[0, 1]];

fn text(said: &[u8]) -> String {
    String::from_utf8(said.to_vec()).unwrap()
}

/// Whether all of a mail is asked for.
fn is_whole(line: &str) -> bool {
    line.ends_with(" 99999999") || line.starts_with("RETR")
}

#[test]
fn a_good_server() {
    sweep(|_, said| said, ANY, &AFTER);
}

#[test]
fn a_status_before_each_line_of_a_listing() {
    let twist: Twist = |line, said| match line {
        "UIDL" => text(&said)
            .replace("\r\n1 ", "\r\n+OK 1 ")
            .replace("\r\n2 ", "\r\n+OK 2 ")
            .into_bytes(),
        _ => said,
    };
    sweep(twist, ANY, &AFTER);
}

#[test]
fn several_blanks_in_a_listing() {
    let twist: Twist = |line, said| match line {
        "UIDL" | "LIST" => text(&said)
            .replace("\r\n1 ", "\r\n1   ")
            .replace("\r\n2 ", "\r\n 2 \t ")
            .into_bytes(),
        _ => said,
    };
    sweep(twist, ANY, &AFTER);
}

#[test]
fn a_count_that_disagrees_with_stat() {
    let more: Twist = |line, said| match line {
        "STAT" => b"+OK 3 500\r\n".to_vec(),
        _ => said,
    };
    let less: Twist = |line, said| match line {
        "STAT" => b"+OK 1 200\r\n".to_vec(),
        _ => said,
    };
    sweep(more, NOTHING, &AFTER);
    sweep(less, NOTHING, &AFTER);
}

#[test]
fn a_number_that_is_listed_twice() {
    let twist: Twist = |line, said| match line {
        "UIDL" => text(&said).replace("\r\n2 ", "\r\n1 ").into_bytes(),
        _ => said,
    };
    sweep(twist, NOTHING, &AFTER);
}

#[test]
fn a_listing_without_its_dot_is_waited_for_and_not_believed() {
    let twist: Twist = |line, said| match line {
        "UIDL" => said[..said.len() - 3].to_vec(),
        _ => said,
    };
    sweep(twist, NOTHING, &AFTER);
}

#[test]
fn a_mail_expunged_between_its_listing_and_its_copy() {
    let twist: Twist = |line, said| match line {
        "TOP 2 99999999" | "RETR 2" => b"-ERR Message 2 expunged.\r\n".to_vec(),
        _ => said,
    };
    sweep(twist, GONE_ONLY, &AFTER[..1]);
    // It was only busy: the next visit has it.
    sweep(twist, GONE_ONLY, &AFTER);
}

/// A mail cut short, and a proper dot behind it.
fn short(said: &[u8]) -> Vec<u8> {
    let end = said.len() - b"text\r\n.\r\n".len();
    [&said[..end - b"text\r\n..\r\n".len() + 4 + 2], b".\r\n"].concat()
}

#[test]
fn a_body_shorter_than_announced_is_retried_and_never_counted() {
    // By TOP only: it comes whole when it is asked for again.
    let once: Twist = |line, said| match line {
        "TOP 2 99999999" => short(&said),
        _ => said,
    };
    // Always, and never the same: it waits for the next visit.
    let always: Twist = |line, said| match line {
        "TOP 2 99999999" => short(&said),
        "RETR 2" => short(&short(&said)),
        _ => said,
    };
    sweep(always, GONE_ONLY, &AFTER);
    sweep(once, ANY, &AFTER);
}

#[test]
fn a_top_that_cuts_or_lies() {
    let header_only: Twist = |line, said| match line.starts_with("TOP") {
        true => {
            let end = text(&said).find("\r\n\r\n").unwrap() + 4;
            [&said[..end], b".\r\n"].concat()
        }
        false => said,
    };
    let nothing: Twist = |line, _| match line.starts_with("TOP") {
        true => b"+OK\r\n.\r\n".to_vec(),
        false => {
            let mut said = Vec::new();
            Pop3::new(held(&AFTER)).hear(line, &mut said);
            said
        }
    };
    sweep(header_only, ANY, &AFTER);
    sweep(nothing, ANY, &AFTER);
}

#[test]
fn no_top_at_all() {
    let twist: Twist = |line, said| match line {
        "CAPA" => b"-ERR what?\r\n".to_vec(),
        _ if line.starts_with("TOP") => b"-ERR what?\r\n".to_vec(),
        _ => said,
    };
    sweep(twist, ANY, &AFTER);
}

#[test]
fn sizes_that_are_wrong() {
    // Too large: what comes the same twice is all there is.
    let large: Twist = |line, said| match line.starts_with("LIST") {
        true => text(&said).replace("+OK 2 ", "+OK 2 1").into_bytes(),
        false => said,
    };
    let small: Twist = |line, said| match line {
        "LIST 2" => b"+OK 2 7\r\n".to_vec(),
        _ => said,
    };
    sweep(large, ANY, &AFTER);
    sweep(small, ANY, &AFTER);
}

#[test]
fn no_line_end_before_the_dot_is_a_deadline_and_no_hang() {
    let twist: Twist = |line, said| match is_whole(line) {
        true => [&said[..said.len() - 5], b".\r\n"].concat(),
        false => said,
    };
    sweep(twist, GONE_ONLY, &AFTER);
}

/// The server does not stuff it: the mail ends there, and its rest stands where replies are due.
#[test]
fn a_first_line_of_a_dot() {
    let twist: Twist = |line, said| match line.ends_with("2 99999999") || line == "RETR 2" {
        true => [b"+OK\r\n.\r\n", &said[5..]].concat(),
        false => said,
    };
    sweep(twist, GONE_ONLY, &AFTER);
}

/// A mail that spoils every visit keeps back no other: it is passed over, and offered all the same;
/// who asks for it is told that it is not to be had, and goes on.
#[test]
fn a_mail_that_no_visit_comes_past_keeps_back_no_other() {
    const ALL: [(usize, &str); 4] = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    let unstuffed: Twist = |line, said| match line.starts_with("TOP 2 ") || line == "RETR 2" {
        true => [b"+OK\r\n.\r\n", &said[5..]].concat(),
        false => said,
    };
    let out_of_words: Twist = |line, said| match line.starts_with("TOP 2 ") || line == "RETR 2" {
        true => b"+OK\r\nhello\r\n".to_vec(),
        false => said,
    };
    let nonsense: Twist = |line, said| match line.starts_with("TOP 2 ") || line == "RETR 2" {
        true => b"well\r\n".to_vec(),
        false => said,
    };
    for twist in [unstuffed, out_of_words, nonsense] {
        let (mut memory, config) = (Memory::new(64), config("pop3"));
        let user = &config.users[0];
        desk(&mut memory, &formatted(&geometry()), |desk| {
            // That the source keeps its mail is known.
            pop3(desk, &config, &ALL[..1]);
            let poll = |desk: &mut Desk<'_>| -> Report {
                let visited = desk.visit(user, Goal::Poll, &mut odd(&ALL, twist), WHOLE);
                visited.report.unwrap()
            };
            for _ in 0..3 {
                assert!(poll(desk).failure.is_some());
            }
            for _ in 0..3 {
                assert_eq!(poll(desk).failure, None);
            }
            desk.dial(user, View::Usual);
            let asked = core::cell::Cell::new(0);
            let mut fetch = |desk: &mut Desk<'_>, slot: u32| {
                asked.set(asked.get() + 1);
                let visited = desk.visit(user, Goal::Fetch(slot), &mut odd(&ALL, twist), WHOLE);
                assert!(visited.report.unwrap().failure.is_some());
            };
            let listing = desk.say(user, "UIDL", &mut fetch).unwrap();
            assert_eq!(text(&listing).lines().count(), 6);
            let mut sent = Vec::new();
            for number in 1..=4 {
                let reply = desk
                    .say(user, &format!("RETR {number}"), &mut fetch)
                    .unwrap();
                sent.push(reply.starts_with(b"+OK"));
                assert!(*sent.last().unwrap() || reply.starts_with(b"-ERR [SYS/TEMP]"));
            }
            assert_eq!((sent, asked.get()), (vec![true, true, true, false], 1));
            desk.say(user, "QUIT", &mut fetch).unwrap();
            desk.hang_up();
            // The server is mended: the caller who asks gets it, and then the visits too.
            let good = |desk: &mut Desk<'_>, slot: u32| {
                let mut server = Pop3::new(held(&ALL));
                let visited = desk.visit(user, Goal::Fetch(slot), &mut server, WHOLE);
                assert_eq!(visited.report.unwrap().failure, None);
            };
            desk.dial(user, View::Usual);
            let reply = desk.say(user, "RETR 4", good).unwrap();
            assert!(reply.starts_with(b"+OK"));
            desk.say(user, "QUIT", good).unwrap();
            desk.hang_up();
            assert_eq!(call(desk, &config, true), [0, 2, 3, 1]);
        });
    }
}

/// A line of a mebibyte, and NULs, and no line end at the end: through the whole of a visit.
#[test]
fn nul_octets_and_a_line_of_a_mebibyte_come_as_they_are() {
    let wide = ringmail::store::Geometry {
        segment: 1 << 16,
        segments: 48,
        ..geometry()
    };
    let mut mebibyte = b"Message-ID: <long@b>\r\n\r\n".to_vec();
    mebibyte.extend([b'x'; 1 << 20]);
    mebibyte.extend(b"\r\n..\r\n");
    let nul =
        b"Message-ID: <nul@b>\r\nSubject: a\0b\r\n\r\n\0\r\n.\0\r\n\0.\r\n\0\0\0\r\n".to_vec();
    let mails = [mebibyte, nul].map(Rc::<[u8]>::from);
    let all: Vec<Held> = mails
        .iter()
        .enumerate()
        .map(|(mail, octets)| Held {
            mail,
            id: mail.to_string(),
            seen: false,
            octets: Rc::clone(octets),
        })
        .collect();
    for chunk in [usize::MAX, 4096, 63] {
        let (mut memory, config) = (Memory::new(64), config("pop3"));
        let user = &config.users[0];
        desk(&mut memory, &formatted(&wide), |desk| {
            let wire = Wire {
                chunk,
                stop: Stop::Never,
            };
            for goal in [Goal::Poll, Goal::Decide(0)] {
                let mut server = Pop3::new(all.clone());
                let visited = desk.visit(user, goal, &mut server, wire);
                assert_eq!(visited.report.unwrap().failure, None);
            }
            let none = |_: &mut Desk<'_>, slot: u32| panic!("row {slot} has no copy");
            desk.dial(user, View::Usual);
            for (octets, number) in mails.iter().zip(1..) {
                let reply = desk.say(user, &format!("RETR {number}"), none).unwrap();
                assert!(super::support::desk::body(&reply) == **octets, "{number}");
            }
            desk.say(user, "QUIT", none).unwrap();
            desk.hang_up();
        });
    }
}

/// Without `TOP` a mail that comes back is known by its copy only; where the row has lost its own, the
/// server must not drop the mail before the row has one again.
#[test]
fn a_mail_that_comes_back_for_a_lost_copy_is_held_before_it_is_dropped() {
    let (mut memory, config) = (
        Memory::new(64),
        super::support::desk::users(
            "user add anna password rot\nuser anna source pop3://post login anna password blau\n\
             user anna consumes copy\n",
        ),
    );
    let user = &config.users[0];
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let visit = |desk: &mut Desk<'_>, goal, mails: &[(usize, &str)]| {
            let mut server = Pop3::new(held(mails));
            server.top = false;
            let report = desk.visit(user, goal, &mut server, WHOLE).report.unwrap();
            assert_eq!(report.failure, None);
            report.next
        };
        let all = [(0, "a"), (1, "b"), (2, "c")];
        let next = visit(desk, Goal::Poll, &all[..1]).unwrap();
        let size = u32::try_from(held(&all)[0].octets.len()).unwrap();
        desk.mailbox.set_copy(next.0, None, size).unwrap();
        visit(desk, Goal::Decide(next.0), &[]);
        visit(desk, Goal::Poll, &all);
        visit(desk, Goal::Poll, &[]);
        assert_eq!(call(desk, &config, false), [0, 1, 2]);
    });
}

/// An empty list, from a lock or a directory that is not mounted, for a day; and back.
#[test]
fn an_empty_maildrop_for_a_day_and_back_sends_nothing_twice() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let all = [(0, "a"), (1, "b"), (2, "c")];
    desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &all[..1]);
        assert_eq!(call(desk, &config, true), [0]);
        pop3(desk, &config, &all);
        for _ in 0..96 {
            pop3(desk, &config, &[]);
            assert_eq!(call(desk, &config, false), [0; 0]);
        }
        desk.day += 1;
        let mut server = Pop3::new(held(&all));
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, WHOLE);
        assert_eq!(visited.report.unwrap().failure, None);
        assert!(server.log.fetched.is_empty(), "copied again");
        assert_eq!(call(desk, &config, true), [1, 2]);
        pop3(desk, &config, &all);
        assert_eq!(call(desk, &config, false), [0; 0]);
    });
}

/// The patent's main case: everything was read at the desk. It is gone at once, and nobody is asked.
#[test]
fn everything_read_at_the_desk_is_gone_at_once() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &[(0, "a"), (1, "b"), (2, "c")]);
        assert_eq!(call(desk, &config, false), [0, 1, 2]);
        pop3(desk, &config, &[]);
        assert_eq!(call(desk, &config, false), [0; 0]);
        // All of it, and as much that is new.
        pop3(desk, &config, &[(3, "d"), (4, "e")]);
        assert_eq!(call(desk, &config, false), [3, 4]);
        pop3(desk, &config, &[(5, "f"), (6, "g")]);
        assert_eq!(call(desk, &config, false), [5, 6]);
    });
}

/// A server that lists the newest 250 only, of which some are read and some come: nothing is sent
/// twice, and what the window leaves out is offered again when it is listed again.
#[test]
fn a_window_of_250_mails_slides() {
    let wide = ringmail::store::Geometry {
        snapshot: 400 * 128,
        segment: 1 << 14,
        segments: 64,
        ..geometry()
    };
    let (mut memory, config) = (Memory::new(512), config("pop3"));
    let ids: Vec<String> = (0..300).map(|mail| format!("id{mail}")).collect();
    let window = |from: usize, gone: &[usize]| -> Vec<(usize, &str)> {
        let there = (from..from + 250).filter(|mail| !gone.contains(mail));
        there.map(|mail| (mail, ids[mail].as_str())).collect()
    };
    let all = |from: usize| (from..from + 250).collect::<Vec<_>>();
    desk(&mut memory, &formatted(&wide), |desk| {
        pop3(desk, &config, &window(0, &[]));
        assert_eq!(call(desk, &config, true), all(0));
        // Five come, and the five oldest are left out.
        pop3(desk, &config, &window(5, &[]));
        assert_eq!(call(desk, &config, false), (250..255).collect::<Vec<_>>());
        // Mails are read at the desk: the window goes back over older ones.
        pop3(desk, &config, &window(0, &[249]));
        assert_eq!(call(desk, &config, false), [0; 0]);
        pop3(desk, &config, &window(40, &[]));
        assert_eq!(call(desk, &config, true), (250..290).collect::<Vec<_>>());
        for from in [0, 40, 20, 0] {
            pop3(desk, &config, &window(from, &[]));
            assert_eq!(call(desk, &config, false), [0; 0]);
        }
    });
}

/// What the visit makes of a failure is what people are told.
#[test]
fn the_end_of_a_cut_visit_says_what_happened() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let image = known(&mut memory, &config);
    desk(&mut memory, &image, |desk| {
        let wire = Wire {
            chunk: usize::MAX,
            stop: Stop::Closed(3),
        };
        let server = &mut odd(&AFTER, |_, said| said);
        let visited = desk.visit(&config.users[0], Goal::Poll, server, wire);
        assert_eq!(visited.report.unwrap().failure, Some(Failure::Closed));
    });
}
