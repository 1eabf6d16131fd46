//! Mails that are listed as they were: they take no room, until one of them is odd.

use ringmail::config::Config;
use ringmail::poll::visit::{Failure, Goal};

use super::support::desk::{Desk, Memory, Stop, WHOLE, Wire, formatted};
use super::support::lan::{Held, Pop3, Server};
use super::{call, config, desk, geometry, held, pop3};

/// A good server that counts how often it was asked for its list, and may list backwards.
struct Counting {
    post: Pop3,
    backwards: bool,
    /// It lists no second time, and does not say that it lists at all.
    once: bool,
    lists: u32,
}

impl Server for Counting {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        let mut said = Vec::new();
        self.post.hear(line, &mut said);
        if line == "CAPA" && self.once {
            said = b"+OK\r\nUSER\r\nTOP\r\n.\r\n".to_vec();
        }
        if line == "UIDL" {
            self.lists += 1;
            if self.once && self.lists > 1 {
                said = b"-ERR once is enough\r\n".to_vec();
            } else if self.backwards {
                let text = String::from_utf8(said).unwrap();
                let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
                let last = lines.len() - 1;
                lines[1..last].reverse();
                said = lines.concat().into_bytes();
            }
        }
        out.extend(said);
    }
}

/// One visit; how often the list was asked for.
fn lists(desk: &mut Desk<'_>, config: &Config, held: Vec<Held>, backwards: bool) -> u32 {
    let mut server = Counting {
        post: Pop3::new(held),
        backwards,
        once: false,
        lists: 0,
    };
    let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, WHOLE);
    assert_eq!(visited.report.unwrap().failure, None);
    server.lists
}

#[test]
fn known_mails_take_no_entry() {
    let names: Vec<String> = (0..40).map(|n| format!("id{n}")).collect();
    let mails: Vec<(usize, &str)> = names.iter().map(String::as_str).enumerate().collect();
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &mails[..4]);
        for known in 4..36 {
            // One has come, and one has gone.
            let now: Vec<(usize, &str)> = [&mails[..2], &mails[3..known + 1]].concat();
            assert_eq!(lists(desk, &config, held(&now), false), 1);
            let all: Vec<usize> = now.iter().map(|&(mail, _)| mail).collect();
            assert_eq!(call(desk, &config, false), all);
        }
        assert_eq!(call(desk, &config, true).len(), 35);
        // Taken ones are settled as well.
        assert_eq!(lists(desk, &config, held(&mails[3..40]), false), 1);
        assert_eq!(call(desk, &config, false), [36, 37, 38, 39]);
    });
    // The table was never used beyond its first four entries.
    assert_eq!(memory.entries_used(), 4);
}

#[test]
fn a_listing_longer_than_the_table_is_refused_though_all_is_known() {
    let mails = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    let config = config("pop3");
    let image = desk(&mut Memory::new(64), &formatted(&geometry()), |desk| {
        pop3(desk, &config, &mails);
        desk.settle();
    });
    desk(&mut Memory::new(64).with_listing(3), &image, |desk| {
        let mut server = Pop3::new(held(&mails));
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, WHOLE);
        let failure = visited.report.unwrap().failure;
        assert_eq!(failure, Some(Failure::ListingTooLong { limit: 3 }));
        assert_eq!(call(desk, &config, false), [0, 1, 2, 3]);
    });
}

#[test]
fn an_odd_listing_is_asked_for_once_more() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let mails = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    let image = desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &mails);
        desk.settle();
    });
    let twice = [(0, "a"), (1, "b"), (2, "b"), (3, "d")];
    let changed = [(0, "a"), (7, "b"), (2, "c"), (3, "d")];
    let fewer = [(0, "a"), (3, "d")];
    for (now, backwards, asked, offered) in [
        (&mails[..], false, 1, &[0, 1, 2, 3][..]),
        (&mails, true, 2, &[0, 1, 2, 3]),
        (&fewer, false, 1, &[0, 3]),
        (&fewer, true, 2, &[0, 3]),
        // An id that stands there twice: the header tells which of the two it was.
        (&twice, false, 2, &[0, 1, 2, 3]),
        // An id that was given to another mail: only the octets of them all tell.
        (&changed, false, 2, &[0, 3, 2, 7]),
    ] {
        desk(&mut memory, &image, |desk| {
            let lists = lists(desk, &config, held(now), backwards);
            assert_eq!(lists, asked, "{now:?} {backwards}");
            let mut mails = call(desk, &config, false);
            mails.sort_unstable();
            let mut offered = offered.to_vec();
            offered.sort_unstable();
            assert_eq!(mails, offered, "{now:?} {backwards}");
        });
    }
}

#[test]
fn what_is_odd_is_asked_for_twice_in_one_visit_only() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let mails = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &mails);
        assert_eq!(lists(desk, &config, held(&mails), true), 2);
        assert_eq!(lists(desk, &config, held(&mails), true), 1);
        assert_eq!(call(desk, &config, false), [0, 1, 2, 3]);
    });
}

#[test]
fn a_server_that_lists_once_is_not_taken_for_one_without_unique_ids() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let mails = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    let doubled = [(0, "a"), (1, "b"), (2, "b"), (4, "e")];
    desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &mails);
        for visit in 0..3 {
            let mut server = Counting {
                post: Pop3::new(held(&doubled)),
                backwards: false,
                once: true,
                lists: 0,
            };
            let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, WHOLE);
            let failure = visited.report.unwrap().failure;
            assert_eq!(failure.is_some(), visit == 0, "{failure:?}");
        }
        // What has gone has gone, what is new is there, and nothing is there twice.
        assert_eq!(call(desk, &config, true), [0, 1, 2, 4]);
        pop3(desk, &config, &doubled);
        assert_eq!(call(desk, &config, true), [0; 0]);
    });
}

/// Whichever list of the two the connection breaks in, and wherever: the next visit is right, and
/// nothing comes twice.
#[test]
fn an_odd_listing_cut_at_every_octet_costs_time_only() {
    let before = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let image = desk(&mut memory, &formatted(&geometry()), |desk| {
        pop3(desk, &config, &before);
        desk.settle();
    });
    let doubled = [(0, "a"), (1, "b"), (2, "b"), (4, "e")];
    let changed = [(0, "a"), (7, "b"), (2, "c"), (3, "d")];
    let backwards = [(0, "a"), (2, "c"), (3, "d"), (5, "f")];
    for (now, is_backwards) in [(doubled, false), (changed, false), (backwards, true)] {
        let mut right = now.map(|(mail, _)| mail);
        right.sort_unstable();
        let mut second_lists = 0;
        for octets in 0.. {
            let mut lost = false;
            desk(&mut memory, &image, |desk| {
                let mut server = Counting {
                    post: Pop3::new(held(&now)),
                    backwards: is_backwards,
                    once: false,
                    lists: 0,
                };
                let stop = Stop::Closed(octets);
                let wire = Wire { chunk: 7, stop };
                let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
                lost = visited.lost;
                second_lists += u32::from(lost && server.lists == 2);
                // What is there under its own id is never taken away; what has another may have to
                // wait for its header.
                let offered = call(desk, &config, false);
                let mut stays = before.iter().filter(|&held| now.contains(held));
                let kept = stays.all(|(mail, _)| offered.contains(mail));
                assert!(kept, "{now:?} cut at {octets}: {offered:?}");
                pop3(desk, &config, &now);
                let mut mails = call(desk, &config, true);
                mails.sort_unstable();
                assert_eq!(mails, right, "{now:?} cut at {octets}");
                pop3(desk, &config, &now);
                assert_eq!(call(desk, &config, true), [0; 0], "{now:?} cut at {octets}");
            });
            if !lost {
                break;
            }
        }
        assert!(second_lists > 20, "{now:?}: {second_lists}");
    }
}
