//! POP3 servers without `UIDL`: mails are known by their headers (patent P0038).

use std::rc::Rc;

use ringmail::config::Config;
use ringmail::poll::visit::{Failure, Goal, Report};

use super::support::desk::{Desk, Memory, Stop, WHOLE, Wire, formatted};
use super::support::lan::{Held, Log, Pop3, Server};
use super::{call, config, desk, geometry, held, octets};

/// The mails by what they are: there are no ids.
fn mails(mails: &[usize]) -> Vec<Held> {
    let named: Vec<(usize, &str)> = mails.iter().map(|&mail| (mail, "")).collect();
    held(&named)
}

fn server(held: Vec<Held>) -> Pop3 {
    let mut server = Pop3::new(held);
    server.uidl = false;
    server
}

/// A visit, and those that follow it at once.
fn poll(desk: &mut Desk<'_>, config: &Config, held: &[Held]) -> (Report, Log) {
    let (mut goal, mut new) = (Goal::Poll, 0);
    let mut log = Log::default();
    loop {
        let mut post = server(held.to_vec());
        let visited = desk.visit(&config.users[0], goal, &mut post, WHOLE);
        let mut report = visited.report.unwrap();
        assert_eq!(report.failure, None);
        log.headers.extend(post.log.headers);
        log.fetched.extend(post.log.fetched);
        new += report.copied;
        match report.next {
            Some(next) => goal = Goal::Decide(next.0),
            None => {
                report.copied = new;
                return (report, log);
            }
        }
    }
}

#[test]
fn without_unique_ids_mails_are_known_by_their_headers() {
    // Every maildrop of four mails, one of them a twin, in any order, after every other.
    for before in 0..16_usize {
        for after in 0..16_usize {
            let (mut memory, config) = (Memory::new(64), config("pop3"));
            desk(&mut memory, &formatted(&geometry()), |desk| {
                let chosen = |set: usize| -> Vec<usize> {
                    let some = (0..4).filter(|at| set >> at & 1 == 1);
                    some.map(|at| [1, 0, 2, 1][at]).collect()
                };
                let (first, mut then) = (chosen(before), chosen(after));
                poll(desk, &config, &mails(&first));
                assert_eq!(call(desk, &config, false), first);
                then.reverse();
                let (report, log) = poll(desk, &config, &mails(&then));
                let mut fetched: Vec<usize> = log.fetched.iter().map(|&at| then[at]).collect();
                let mut new = then.clone();
                for mail in &first {
                    if let Some(at) = new.iter().position(|other| other == mail) {
                        new.remove(at);
                    }
                }
                fetched.sort_unstable();
                new.sort_unstable();
                assert_eq!(fetched, new, "{first:?} {then:?}");
                assert_eq!(report.copied as usize, new.len());
                let (mut offered, mut all) = (call(desk, &config, true), then.clone());
                offered.sort_unstable();
                all.sort_unstable();
                assert_eq!(offered, all, "{first:?} {then:?}");
                poll(desk, &config, &mails(&then));
                assert!(call(desk, &config, true).is_empty(), "{first:?} {then:?}");
            });
        }
    }
}

#[test]
fn a_visit_without_unique_ids_cut_at_every_octet() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    let image = desk(&mut memory, &formatted(&geometry()), |desk| {
        poll(desk, &config, &mails(&[0, 1]));
        desk.settle();
    });
    let user = &config.users[0];
    for chunk in [usize::MAX, 7, 1] {
        for cut in 0.. {
            let mut whole = false;
            desk(&mut memory, &image, |desk| {
                let stop = Stop::Closed(cut);
                let mut post = server(mails(&[1, 2]));
                let visited = desk.visit(user, Goal::Poll, &mut post, Wire { chunk, stop });
                whole = !visited.lost;
                let offered = call(desk, &config, false);
                let may_be = [&[0, 1][..], &[1], &[1, 2]];
                assert!(may_be.contains(&&offered[..]), "cut at {cut}: {offered:?}");
                poll(desk, &config, &mails(&[1, 2]));
                assert_eq!(call(desk, &config, true), [1, 2], "after a cut at {cut}");
                poll(desk, &config, &mails(&[1, 2]));
                assert!(call(desk, &config, true).is_empty(), "twice, after {cut}");
            });
            if whole {
                break;
            }
        }
    }
}

#[test]
fn a_visit_without_unique_ids_is_the_same_in_pieces_of_every_size() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    for chunk in 1..=64 {
        desk(&mut memory, &formatted(&geometry()), |desk| {
            poll(desk, &config, &mails(&[0, 1]));
            let wire = Wire {
                chunk,
                stop: Stop::Never,
            };
            let mut post = server(mails(&[1, 2, 2]));
            let visited = desk.visit(&config.users[0], Goal::Poll, &mut post, wire);
            assert_eq!(visited.report.unwrap().failure, None, "{chunk}");
            assert_eq!(call(desk, &config, true), [1, 2, 2], "{chunk}");
        });
    }
}

#[test]
fn a_list_that_disagrees_with_stat_changes_nothing() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        poll(desk, &config, &mails(&[0, 1, 2]));
        let mut post = server(mails(&[1, 2, 3]));
        post.cut = 1;
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut post, WHOLE);
        let cut = Failure::ListingCut {
            expected: 3,
            listed: 2,
        };
        assert_eq!(visited.report.unwrap().failure, Some(cut));
        assert_eq!(call(desk, &config, false), [0, 1, 2]);
    });
}

/// Nothing tells two of them apart: nothing is believed, and nothing is lost.
#[test]
fn a_server_with_neither_uidl_nor_top_is_named_as_such() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        poll(desk, &config, &mails(&[0, 1]));
        let mut post = server(mails(&[1]));
        post.top = false;
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut post, WHOLE);
        assert_eq!(visited.report.unwrap().failure, Some(Failure::Nameless));
        assert!(post.log.fetched.is_empty());
        assert_eq!(call(desk, &config, false), [0, 1]);
    });
}

/// From ids to none and back: each mail is known again, and comes once.
#[test]
fn a_server_that_loses_its_uidl_sends_nothing_twice() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let ids = [(0, "a"), (1, "b"), (2, "c")];
        super::pop3(desk, &config, &ids[..2]);
        assert_eq!(call(desk, &config, true), [0, 1]);
        super::pop3(desk, &config, &ids);
        for _ in 0..2 {
            let (report, log) = poll(desk, &config, &mails(&[0, 1, 2]));
            assert_eq!((report.rekeyed, log.fetched.len()), (3, 0));
            assert_eq!(call(desk, &config, false), [2]);
            super::pop3(desk, &config, &ids);
            assert_eq!(call(desk, &config, false), [2]);
        }
        assert_eq!(desk.mailbox.ledger().rows().count(), 3);
    });
}

/// Without a field that marks them mails are known by what fields they have, and are counted.
#[test]
fn mails_without_a_mark_of_their_own_are_counted() {
    let bare = |mail: usize, text: &str| Held {
        octets: Rc::from(text.as_bytes()),
        ..mails(&[mail]).remove(0)
    };
    let one = "Subject: cron\r\n\r\none\r\n";
    let two = "Subject: cron\r\nStatus: RO\r\n\r\ntwo\r\n";
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let rows = |desk: &Desk<'_>| {
            let rows = desk.mailbox.ledger().rows();
            rows.filter(|(_, row)| row.is_listed()).count()
        };
        poll(desk, &config, &[bare(0, one)]);
        let (report, _) = poll(desk, &config, &[bare(0, one), bare(1, two)]);
        assert_eq!((report.new, rows(desk)), (1, 2));
        let (report, _) = poll(desk, &config, &[bare(0, one), bare(1, two)]);
        assert_eq!((report.new, rows(desk)), (0, 2));
        let (report, _) = poll(desk, &config, &[bare(1, two)]);
        assert_eq!((report.vanished, rows(desk)), (1, 1));
    });
}

/// A mail that is not there any more when its header is asked for is not listed; the others are.
struct Gone(Pop3);

impl Server for Gone {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.0.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        if line.starts_with("TOP 2 ") {
            out.extend(b"-ERR gone\r\n");
            return;
        }
        self.0.hear(line, out);
    }
}

#[test]
fn a_mail_expunged_before_its_header_comes_is_not_listed() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        poll(desk, &config, &mails(&[0, 1]));
        let mut post = Gone(server(mails(&[0, 1, 2])));
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut post, WHOLE);
        assert_eq!(visited.report.unwrap().failure, None);
        assert_eq!(call(desk, &config, false), [0, 2]);
        poll(desk, &config, &mails(&[0, 2]));
        assert_eq!(call(desk, &config, true), [0, 2]);
    });
}

/// What a poll of an unchanged maildrop costs: its sizes and one header; of a changed one, all
/// headers; and all of them every so often, lest a mail that took another's place go unseen.
#[test]
fn an_unchanged_maildrop_is_known_by_its_sizes_and_its_last_mail() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let all: Vec<usize> = (0..9).collect();
        let mut standing = poll(desk, &config, &mails(&all)).0.standing;
        assert!(standing.is_some());
        let mut visit = |desk: &mut Desk<'_>, held: &[Held]| {
            desk.recalled = standing;
            let (report, log) = poll(desk, &config, held);
            standing = report.standing;
            (log.headers.len(), log.fetched.len())
        };
        assert_eq!(visit(desk, &mails(&all)), (1, 0));
        assert_eq!(visit(desk, &mails(&all)), (1, 0));
        // One comes, one goes.
        assert_eq!(visit(desk, &mails(&[&all[..], &[9]].concat())), (10, 1));
        assert_eq!(visit(desk, &mails(&[&all[1..], &[9]].concat())), (9, 0));
        assert_eq!(call(desk, &config, false), [&all[1..], &[9]].concat());
        // The last goes, and one of its size comes; one of its size comes in the midst.
        let twin = |mail: usize, text: &[u8]| Held {
            mail,
            octets: {
                let text = [&octets(9)[..octets(9).len() - text.len()], text].concat();
                let text = String::from_utf8(text).unwrap();
                Rc::from(text.replace("<m9@b>", &format!("<n{mail}@b>")).into_bytes())
            },
            ..mails(&[9]).remove(0)
        };
        let mut held = mails(&[&all[1..], &[9]].concat());
        held[8] = twin(8, b"x.\r\n");
        assert_eq!(visit(desk, &held), (10, 1), "the last, then all");
        assert_eq!(visit(desk, &held), (1, 0));
        let last = held.len() - 1;
        held.swap(0, last);
        held.swap(0, last);
        let whole = (0..30)
            .map(|_| visit(desk, &held).0)
            .filter(|&headers| headers > 1);
        assert_eq!(whole.count(), 1, "every so often");
        // None is left.
        assert_eq!(visit(desk, &[]), (0, 0));
        assert_eq!(visit(desk, &[]), (0, 0));
        assert!(call(desk, &config, false).is_empty());
    });
}
