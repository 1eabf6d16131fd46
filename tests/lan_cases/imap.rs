//! What IMAP servers do.

use ringmail::config::Config;
use ringmail::poll::visit::Goal;

use super::support::desk::{Desk, Memory, Stop, Wire, formatted};
use super::support::lan::{Held, Imap, Server};
use super::{call, config, desk, geometry, held, octets};

/// What an IMAP server says unasked, once, before or after it answers a line that has this word.
struct Whim {
    post: Imap,
    word: &'static str,
    says: &'static str,
    /// So many octets of the answer to it are said, and the connection is closed.
    closes: Option<usize>,
    after: bool,
    expunges: bool,
    grows: Option<Held>,
    done: bool,
    closed: bool,
}

impl Whim {
    fn new(post: Imap, word: &'static str, says: &'static str) -> Self {
        Self {
            post,
            word,
            says,
            closes: None,
            after: false,
            expunges: false,
            grows: None,
            done: false,
            closed: false,
        }
    }
}

impl Server for Whim {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        let now = !self.done && line.contains(self.word);
        self.done |= now;
        if now && !self.after {
            out.extend(self.says.as_bytes());
        }
        if now && self.expunges {
            self.post.held.remove(0);
        }
        let before = out.len();
        self.post.hear(line, out);
        if now && let Some(held) = self.grows.take() {
            // The tagged line is the last: what is unasked stands before it.
            let said = String::from_utf8(out.split_off(before)).unwrap();
            let tag = line.split(' ').next().unwrap();
            let at = said.rfind(&format!("{tag} OK")).unwrap();
            out.extend(&said.as_bytes()[..at]);
            self.post.held.push(held);
            out.extend(format!("* {} EXISTS\r\n", self.post.held.len()).as_bytes());
            out.extend(&said.as_bytes()[at..]);
        }
        if now && let Some(octets) = self.closes {
            out.truncate(before + octets);
            out.extend(self.says.as_bytes());
            self.closed = true;
        }
    }

    fn has_closed(&self) -> bool {
        self.closed
    }
}

const THREE: [(usize, &str); 3] = [(0, "11"), (1, "12"), (2, "13")];

fn imap(desk: &mut Desk<'_>, config: &Config, mails: &[(usize, &str)]) {
    let server = || Box::new(Imap::new(held(mails), 1)) as Box<dyn Server>;
    assert_eq!(desk.poll(&config.users[0], server).failure, None);
}

#[test]
fn an_imap_visit_cut_at_every_octet() {
    let (mut memory, config) = (Memory::new(64), config("imap"));
    let image = desk(&mut memory, &formatted(&geometry()), |desk| {
        imap(desk, &config, &THREE[..2]);
        desk.settle();
    });
    let user = &config.users[0];
    for chunk in [usize::MAX, 7, 1] {
        for cut in 0.. {
            let mut whole = false;
            desk(&mut memory, &image, |desk| {
                let stop = Stop::Closed(cut);
                let mut server = Imap::new(held(&THREE[1..]), 1);
                let visited = desk.visit(user, Goal::Poll, &mut server, Wire { chunk, stop });
                whole = !visited.lost;
                let listed = server.log.listed_at.is_some_and(|at| visited.octets >= at);
                let offered = call(desk, &config, false);
                match listed {
                    false => assert_eq!(offered, [0, 1], "cut at {cut}"),
                    true => assert!(offered == [1] || offered == [1, 2], "cut at {cut}"),
                }
                imap(desk, &config, &THREE[1..]);
                assert_eq!(call(desk, &config, true), [1, 2], "after a cut at {cut}");
                imap(desk, &config, &THREE[1..]);
                assert!(call(desk, &config, true).is_empty(), "twice, after {cut}");
            });
            if whole {
                break;
            }
        }
    }
}

#[test]
fn an_imap_mailbox_that_grows_is_listed_anew() {
    let (mut memory, config) = (Memory::new(64), config("imap"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let mut server = Whim::new(Imap::new(held(&THREE[..2]), 1), "FETCH 1:", "");
        server.grows = held(&THREE[2..]).pop();
        let wire = Wire {
            chunk: 5,
            stop: Stop::Never,
        };
        let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
        let report = visited.report.unwrap();
        assert_eq!((report.failure, report.listed), (None, 3));
        assert_eq!(call(desk, &config, true), [0, 1, 2]);
    });
}

#[test]
fn an_imap_mail_expunged_after_the_listing_is_not_entered() {
    let (mut memory, config) = (Memory::new(64), config("imap"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let post = Imap::new(held(&THREE), 1);
        let mut server = Whim::new(post, "UID FETCH 11", "* 1 EXPUNGE\r\n");
        server.expunges = true;
        let wire = Wire {
            chunk: 5,
            stop: Stop::Never,
        };
        desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
        let offered = call(desk, &config, false);
        assert!(!offered.contains(&0), "{offered:?}");
        imap(desk, &config, &THREE[1..]);
        assert_eq!(call(desk, &config, true), [1, 2]);
    });
}

#[test]
fn an_imap_server_that_says_bye_in_a_copy_loses_nothing() {
    let (mut memory, config) = (Memory::new(64), config("imap"));
    let image = formatted(&geometry());
    let mail = octets(1).len();
    let words = format!(
        "* 2 FETCH (UID 12 BODY[] {{{mail}}}
"
    )
    .len();
    // The mail, and up to the bracket behind it.
    for octets in 0..=words + mail {
        desk(&mut memory, &image, |desk| {
            let post = Imap::new(held(&THREE), 1);
            // In the midst of a literal there is no place for words.
            let bye = if octets == 0 { "* BYE down\r\n" } else { "" };
            let mut server = Whim::new(post, "UID FETCH 12", bye);
            server.closes = Some(octets);
            server.after = true;
            let wire = Wire {
                chunk: usize::MAX,
                stop: Stop::Never,
            };
            let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
            let report = visited.report.unwrap();
            assert!(report.failure.is_some(), "after {octets} octets");
            let offered = call(desk, &config, false);
            assert!(!offered.contains(&1), "after {octets} octets: {offered:?}");
            imap(desk, &config, &THREE);
            assert_eq!(
                call(desk, &config, true),
                [0, 1, 2],
                "after {octets} octets"
            );
        });
    }
}

/// Answers the request for one mail's text behind the next one's (RFC 3501 §5.5), once.
struct Jumbled {
    post: Imap,
    /// The UID of that mail.
    late: &'static str,
    /// Its text, its tagged line.
    held_back: Option<(Vec<u8>, Vec<u8>)>,
    done: bool,
}

impl Server for Jumbled {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        let before = out.len();
        self.post.hear(line, out);
        let parted = |said: Vec<u8>| {
            let tag = format!("{} OK", line.split(' ').next().unwrap());
            let at = said.windows(tag.len()).rposition(|w| w == tag.as_bytes());
            let (text, end) = said.split_at(at.unwrap());
            (text.to_vec(), end.to_vec())
        };
        if let Some((text, end)) = self.held_back.take() {
            let (next, next_end) = parted(out.split_off(before));
            for piece in [next, text, end, next_end] {
                out.extend(piece);
            }
        } else if !self.done && line.contains(&format!("FETCH {} (", self.late)) {
            self.done = true;
            self.held_back = Some(parted(out.split_off(before)));
        }
    }

    fn has_closed(&self) -> bool {
        false
    }
}

#[test]
fn an_imap_mail_that_comes_out_of_turn_comes_in_the_same_visit() {
    let five = [(0, "11"), (1, "12"), (2, "13"), (3, "14"), (4, "15")];
    let (mut memory, config) = (Memory::new(64), config("imap"));
    for late in ["12", "13", "14"] {
        for chunk in [1, 7, 4096] {
            desk(&mut memory, &formatted(&geometry()), |desk| {
                let mut server = Jumbled {
                    post: Imap::new(held(&five), 1),
                    late,
                    held_back: None,
                    done: false,
                };
                let stop = Stop::Never;
                let wire = Wire { chunk, stop };
                let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
                assert!(server.done && server.held_back.is_none(), "{late} {chunk}");
                let report = visited.report.unwrap();
                assert_eq!((report.failure, report.copied), (None, 5), "{late} {chunk}");
                let mut offered = call(desk, &config, true);
                offered.sort_unstable();
                assert_eq!(offered, [0, 1, 2, 3, 4], "{late} {chunk}");
            });
        }
    }
}

/// Says so much of all it has to say, and then BYE, wherever that is.
struct Farewell {
    post: Imap,
    left: usize,
    closed: bool,
}

impl Farewell {
    fn measure(&mut self, before: usize, out: &mut Vec<u8>) {
        let said = out.len() - before;
        if said < self.left {
            self.left -= said;
            return;
        }
        out.truncate(before + self.left);
        out.extend(b"* BYE down\r\n");
        self.closed = true;
    }
}

impl Server for Farewell {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.post.greet(out);
        self.measure(0, out);
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        if !self.closed {
            let before = out.len();
            self.post.hear(line, out);
            self.measure(before, out);
        }
    }

    fn has_closed(&self) -> bool {
        self.closed
    }
}

#[test]
fn an_imap_server_that_says_bye_at_any_octet_loses_nothing() {
    let (mut memory, config) = (Memory::new(64), config("imap"));
    let image = desk(&mut memory, &formatted(&geometry()), |desk| {
        imap(desk, &config, &THREE[..2]);
        desk.settle();
    });
    for chunk in [usize::MAX, 7] {
        for octets in 0.. {
            let mut whole = false;
            desk(&mut memory, &image, |desk| {
                let mut server = Farewell {
                    post: Imap::new(held(&THREE[1..]), 1),
                    left: octets,
                    closed: false,
                };
                let stop = Stop::Never;
                let wire = Wire { chunk, stop };
                let visited = desk.visit(&config.users[0], Goal::Poll, &mut server, wire);
                whole = !server.closed;
                let listed_at = server.post.log.listed_at;
                // The farewell may stand where the text of the tagged line would.
                let text = "done\r\n".len() as u64;
                let listed = |said: u64| listed_at.is_some_and(|at| said >= at);
                let offered = call(desk, &config, false);
                let (old, new) = (offered == [0, 1], offered == [1] || offered == [1, 2]);
                match octets as u64 {
                    said if listed(said) => assert!(new, "BYE at {octets}: {offered:?}"),
                    said if listed(said + text) => assert!(old || new, "BYE at {octets}"),
                    _ => assert!(old, "BYE at {octets}: {offered:?}"),
                }
                let report = visited.report.unwrap();
                assert!(
                    report.failure.is_some() || report.copied == 1,
                    "BYE at {octets}"
                );
                imap(desk, &config, &THREE[1..]);
                assert_eq!(call(desk, &config, true), [1, 2], "after a BYE at {octets}");
                imap(desk, &config, &THREE[1..]);
                assert!(
                    call(desk, &config, true).is_empty(),
                    "twice, after {octets}"
                );
            });
            if whole {
                break;
            }
        }
    }
}
