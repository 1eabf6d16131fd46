//! Dialogues in pieces of every size, cut at every octet, and plain noise.

use super::*;
use crate::config::Secret;
use crate::sasl::Mechanism;

/// A client at work, and all that it has said; pieces of a text are joined.
struct Scene {
    client: Client,
    link: Link,
    now: Instant,
    out: Vec<u8>,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Event(Event),
    Body(Vec<u8>),
}

impl Scene {
    fn new() -> Self {
        Self {
            client: Client::new(Instant::ZERO),
            link: Link::new(),
            now: Instant::ZERO,
            out: vec![0; 64],
            seen: Vec::new(),
        }
    }

    /// Greeted, and nothing asked.
    fn greeted() -> Self {
        let mut scene = Self::new();
        scene.hear(b"* OK [CAPABILITY IMAP4rev1] hello\r\n");
        assert_eq!(scene.take(), [event(Event::Greeting { known: false })]);
        scene
    }

    fn ask(&mut self, requests: &[Request<'_>]) {
        for request in requests {
            assert!(self.client.request(&mut self.link, *request), "{request:?}");
        }
    }

    fn sent(&mut self) -> String {
        let sent = String::from_utf8(self.link.output().to_vec()).unwrap();
        self.link.take_output(sent.len());
        sent
    }

    /// Lets `octets` come, as far as the link has room, and steps until nothing happens.
    fn hear(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let n = self.link.feed(rest);
            rest = &rest[n..];
            let before = self.seen.len();
            self.run();
            if rest.is_empty() || (n == 0 && self.seen.len() == before) {
                return;
            }
        }
    }

    fn run(&mut self) {
        // An event needs an octet: one that needs none would go on for ever.
        for _ in 0..20_000 {
            match self.client.step(self.now, &mut self.link, &mut self.out) {
                None => return,
                Some(Event::Body { length }) => {
                    assert!(length > 0);
                    let piece = &self.out[..length];
                    match self.seen.last_mut() {
                        Some(Seen::Body(body)) => body.extend(piece),
                        _ => self.seen.push(Seen::Body(piece.to_vec())),
                    }
                }
                Some(other) => self.seen.push(event(other)),
            }
        }
        panic!("no end of events");
    }

    fn take(&mut self) -> Vec<Seen> {
        core::mem::take(&mut self.seen)
    }

    fn failure(&self) -> Option<&Failure> {
        match self.seen.last() {
            Some(Seen::Event(Event::Failed(failure))) => Some(failure),
            _ => None,
        }
    }
}

fn event(event: Event) -> Seen {
    Seen::Event(event)
}

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

fn entry(uid: u32, seen: bool, deleted: bool, size: u32) -> Seen {
    event(Event::Entry(Entry {
        uid,
        seen,
        deleted,
        size,
    }))
}

fn end(kind: Kind, octets: u64) -> Seen {
    event(Event::BodyEnd { kind, octets })
}

/// Every kind of answer, and what servers say unasked among them.
const ANSWERS: &[u8] = b"* OK [CAPABILITY IMAP4rev1 LITERAL+] hello\r\n\
    * CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na1 OK done\r\n\
    * OK [ALERT] Disk full\x07\r\na2 OK [CAPABILITY IMAP4rev1 CONDSTORE] in\r\n\
    * STATUS {5}\r\nINBOX (MESSAGES 2 UIDNEXT 9 UIDVALIDITY 7 HIGHESTMODSEQ 12)\r\na3 OK\r\n\
    * FLAGS (\\Answered \\Seen)\r\n* OK [PERMANENTFLAGS ()] none\r\n* 3 EXISTS\r\n* 0 RECENT\r\n\
    * OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n* OK [HIGHESTMODSEQ 12] x\r\n\
    a4 OK [READ-ONLY] in\r\n\
    * 1 FETCH (UID 3 FLAGS () RFC822.SIZE 5)\r\n* 4 EXISTS\r\n* 3 FETCH (FLAGS (\\Seen))\r\n\
    * 2 FETCH (FLAGS (\\Seen $X) UID 5 RFC822.SIZE 99999999999 MODSEQ (12))\r\n\
    * LIST () \"/\" {3}\r\na b\r\n\
    * 3 FETCH (RFC822.SIZE 1 UID 8 FLAGS (\\Deleted))\r\na5 OK\r\n\
    * 3 EXPUNGE\r\n* 1 FETCH (UID 3 BODY[HEADER] {8}\r\nA: b\r\n\r\n)\r\na6 OK\r\n\
    * 1 FETCH (BODY[] {7}\r\na2 OK\r\n UID 3)\r\n* 1 FETCH (FLAGS (\\Seen))\r\na7 OK\r\n\
    a8 OK nothing there\r\n\
    * 2 FETCH (UID 5 BODY[] \"x\\\"y\")\r\na9 OK\r\n\
    * 2 FETCH (UID 5 BODY[] NIL)\r\na10 OK\r\n\
    * 2 FETCH (UID 5 BODY[]<2> ~{2}\r\n)\0)\r\na11 OK\r\n\
    * 2 FETCH (UID 5 BODY[] {3}\r\nabc)\r\na12 NO [UNAVAILABLE] gone\r\n\
    a13 BAD what\r\n\
    * BYE see you\r\na14 OK bye\r\n";

fn requests(secret: &Secret) -> [Request<'_>; 14] {
    [
        Request::Capability,
        Request::Login {
            login: "ann",
            password: secret,
        },
        Request::Status {
            mailbox: "INBOX",
            modseq: true,
        },
        Request::Examine {
            mailbox: "INBOX",
            modseq: true,
        },
        Request::List { first: 1, last: 3 },
        Request::Header { uid: 3 },
        Request::Mail { uid: 3 },
        Request::Mail { uid: 4 },
        Request::Mail { uid: 5 },
        Request::Mail { uid: 5 },
        Request::Part {
            uid: 5,
            from: 2,
            octets: 2,
        },
        Request::Mail { uid: 5 },
        Request::Noop,
        Request::Logout,
    ]
}

fn expected() -> Vec<Seen> {
    let state = |exists| MailboxState {
        exists,
        uid_validity: Some(7),
        uid_next: Some(9),
        highest_modseq: Some(12),
    };
    let mailbox = |kind, exists| {
        event(Event::Mailbox {
            kind,
            state: state(exists),
        })
    };
    vec![
        event(Event::Greeting { known: false }),
        event(Event::Ok(Kind::Capability)),
        event(Event::Ok(Kind::Login)),
        mailbox(Kind::Status, 2),
        mailbox(Kind::Examine, 3),
        entry(3, false, false, 5),
        entry(5, true, false, u32::MAX),
        entry(8, false, true, 1),
        event(Event::ListingEnd { count: 3 }),
        Seen::Body(b"A: b\r\n\r\n".to_vec()),
        end(Kind::Header { uid: 3 }, 8),
        Seen::Body(b"a2 OK\r\n".to_vec()),
        end(Kind::Mail { uid: 3 }, 7),
        event(Event::Missing {
            kind: Kind::Mail { uid: 4 },
        }),
        Seen::Body(b"x\"y".to_vec()),
        end(Kind::Mail { uid: 5 }, 3),
        event(Event::Missing {
            kind: Kind::Mail { uid: 5 },
        }),
        Seen::Body(b")\0".to_vec()),
        end(Kind::Part { uid: 5 }, 2),
        Seen::Body(b"abc".to_vec()),
        end(Kind::Mail { uid: 5 }, 3),
        event(Event::Refused {
            kind: Kind::Noop,
            code: None,
            text: text("what"),
        }),
        event(Event::Ok(Kind::Logout)),
    ]
}

/// The client after the greeting and all requests.
fn asked(greeting: usize) -> Scene {
    let secret = Secret::new("blau").unwrap();
    let mut scene = Scene::new();
    scene.hear(&ANSWERS[..greeting]);
    scene.ask(&requests(&secret));
    scene
}

fn greeting_end() -> usize {
    ANSWERS.iter().position(|&octet| octet == b'\n').unwrap() + 1
}

#[test]
fn requests_are_written_as_the_protocol_has_them() {
    let mut scene = asked(greeting_end());
    assert_eq!(
        scene.sent(),
        "a1 CAPABILITY\r\na2 LOGIN \"ann\" \"blau\"\r\n\
         a3 STATUS \"INBOX\" (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)\r\n\
         a4 EXAMINE \"INBOX\" (CONDSTORE)\r\na5 FETCH 1:3 (UID FLAGS RFC822.SIZE)\r\n\
         a6 UID FETCH 3 (BODY.PEEK[HEADER])\r\na7 UID FETCH 3 (BODY.PEEK[])\r\n\
         a8 UID FETCH 4 (BODY.PEEK[])\r\na9 UID FETCH 5 (BODY.PEEK[])\r\n\
         a10 UID FETCH 5 (BODY.PEEK[])\r\na11 UID FETCH 5 (BODY.PEEK[]<2.2>)\r\n\
         a12 UID FETCH 5 (BODY.PEEK[])\r\na13 NOOP\r\na14 LOGOUT\r\n"
    );
}

#[test]
fn a_dialogue_is_the_same_in_pieces_of_every_size() {
    let (greeting, rest) = ANSWERS.split_at(greeting_end());
    for chunk in (1..=64).chain([rest.len()]) {
        let mut scene = asked(greeting.len());
        for piece in rest.chunks(chunk) {
            scene.hear(piece);
        }
        assert_eq!(scene.seen, expected(), "chunk {chunk}");
        assert_eq!(scene.client.alert(), Some(&text("[ALERT] Disk full?")));
        assert_eq!(scene.client.outstanding(), 0);
        assert_eq!(scene.client.deadline(), None);
    }
}

#[test]
fn a_dialogue_cut_at_any_octet_has_told_nothing_that_did_not_come() {
    let all = expected();
    for cut in greeting_end()..ANSWERS.len() {
        let mut scene = asked(greeting_end());
        scene.hear(&ANSWERS[greeting_end()..cut]);
        // What a text has so far may be less than all of it.
        let mut told = scene.take();
        if let Some(Seen::Body(body)) = told.last() {
            let Seen::Body(whole) = &all[told.len() - 1] else {
                panic!("cut {cut}: {told:?}");
            };
            assert!(whole.starts_with(body), "cut {cut}");
            told.pop();
        }
        assert_eq!(told, all[..told.len()], "cut {cut}");
        assert!(told.len() < all.len());
        // And it does not wait for ever.
        scene.now = scene.client.deadline().expect("something is awaited");
        scene.run();
        let failure = scene.failure();
        assert!(matches!(failure, Some(Failure::TimedOut { .. })), "{cut}");
    }
}

#[test]
fn words_that_quotes_cannot_hold_are_literals() {
    let secret = Secret::new("bl\u{e4}\"u").unwrap();
    let login = Request::Login {
        login: "\u{e4}nn",
        password: &secret,
    };
    let mut scene = Scene::greeted();
    scene.ask(&[login]);
    assert_eq!(scene.sent(), "a1 LOGIN {4}\r\n");
    assert!(!scene.client.can_request(&scene.link));
    scene.hear(b"+ yes\r\n");
    assert_eq!(scene.take(), [event(Event::GoOn(Kind::Login))]);
    assert!(scene.client.go_on(&mut scene.link, login));
    assert_eq!(scene.sent(), "\u{e4}nn {6}\r\n");
    scene.hear(b"* OK still here\r\n+ \r\n");
    assert_eq!(scene.take(), [event(Event::GoOn(Kind::Login))]);
    assert!(scene.client.go_on(&mut scene.link, login));
    assert_eq!(scene.sent(), "bl\u{e4}\"u\r\n");
    scene.hear(b"a1 OK\r\n");
    assert_eq!(scene.take(), [event(Event::Ok(Kind::Login))]);
    // Where the server takes them unasked, all goes at once.
    let mut scene = Scene::new();
    scene.hear(b"* PREAUTH [CAPABILITY IMAP4rev2 LITERAL-] hello\r\n");
    assert_eq!(scene.take(), [event(Event::Greeting { known: true })]);
    scene.ask(&[login]);
    let sent = "a1 LOGIN {4+}\r\n\u{e4}nn {6+}\r\nbl\u{e4}\"u\r\n";
    assert_eq!(scene.sent(), sent);
    // A server that refuses the first of them has ended the request.
    let mut scene = Scene::greeted();
    scene.ask(&[login]);
    scene.hear(b"a1 NO [AUTHENTICATIONFAILED] no\r\n");
    let refused = Event::Refused {
        kind: Kind::Login,
        code: Some(ResponseCode::Authentication),
        text: text("[AUTHENTICATIONFAILED] no"),
    };
    assert_eq!(scene.take(), [event(refused)]);
    assert!(scene.client.can_request(&scene.link));
}

#[test]
fn quotes_are_escaped_and_control_octets_never_sent() {
    let secret = Secret::new("a\\b\"").unwrap();
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Login {
        login: "\"\"x\\y z",
        password: &secret,
    }]);
    let sent = "a1 LOGIN \"\\\"\\\"x\\\\y z\" \"a\\\\b\\\"\"\r\n";
    assert_eq!(scene.sent(), sent);
    let mut scene = Scene::greeted();
    for mailbox in ["a\r\nb", "a\0", &"x".repeat(WORD_OCTETS + 1)] {
        let status = Request::Status {
            mailbox,
            modseq: false,
        };
        assert!(!scene.client.request(&mut scene.link, status));
    }
    assert_eq!(scene.sent(), "");
}

#[test]
fn mails_that_come_and_go_are_counted() {
    let mut scene = Scene::greeted();
    let examine = Request::Examine {
        mailbox: "x",
        modseq: false,
    };
    scene.ask(&[examine]);
    scene.hear(b"* 2 EXISTS\r\n* OK [UIDVALIDITY 1]\r\na1 OK [READ-ONLY]\r\n");
    assert_eq!(scene.client.changes(), 0);
    for (said, exists, changes) in [
        ("* 2 EXISTS\r\n", 2, 0),
        ("* 3 EXISTS\r\n", 3, 1),
        ("* 1 EXPUNGE\r\n", 2, 2),
        ("* 1 FETCH (FLAGS (\\Seen))\r\n", 2, 2),
        ("* VANISHED 4\r\n", 2, 3),
        ("* OK [UIDVALIDITY 2]\r\n", 2, 4),
    ] {
        scene.hear(said.as_bytes());
        let now = (scene.client.mailbox().exists, scene.client.changes());
        assert_eq!(now, (exists, changes), "{said}");
    }
}

#[test]
fn what_cannot_be_believed_ends_the_connection() {
    let long = [b"* OK ", &vec![b'x'; LINE_OCTETS][..]].concat();
    let many = b"* LIST {1}\r\n".to_vec();
    let many = [many, b"a {1}\r\n".repeat(70)].concat();
    let deep = format!("* 1 FETCH (X {}", "(".repeat(100)) + "\r\n";
    let cases: [&[u8]; 24] = [
        b"+OK POP3\r\n",
        b"* OK bare LF\n",
        b"* OK \0\r\n",
        b"\r\n",
        b"* \r\n",
        b"+ go on\r\n",
        b"a2 OK out of step\r\n",
        b"a0 OK\r\n",
        b"a1 PREAUTH\r\n",
        b"a1\r\n",
        b"* BYE shutting down\r\n",
        b"* 0 FETCH (UID 1)\r\n",
        b"* 4294967296 EXISTS\r\n",
        b"* 1 FETCH (UID 4 BODY[] {1}\r\na) x\r\n",
        b"* 1 FETCH UID 3\r\n",
        b"* 1 FETCH (BODY[] {99999999999999999999}\r\n",
        b"* 1 FETCH (BODY[] {3}\r\nabc UID 4)\r\n",
        b"* 1 FETCH (BODY[] {3}\r\nabc)\r\n",
        b"* 1 FETCH (UID 3 BODY[] {1}\r\na BODY[] {1}\r\na)\r\n",
        b"* 1 FETCH (UID 4 BODY[] {65537}\r\n",
        b"* LIST {65537}\r\n",
        &long,
        &many,
        deep.as_bytes(),
    ];
    for case in cases {
        let mut scene = Scene::greeted();
        scene.ask(&[Request::Mail { uid: 3 }]);
        for piece in case.chunks(7) {
            scene.hear(piece);
        }
        assert!(scene.failure().is_some(), "{}", case.escape_ascii());
        // Nothing more is believed.
        let told = scene.seen.len();
        scene.hear(b"* 1 FETCH (UID 3 BODY[] {1}\r\na)\r\na1 OK\r\n");
        assert_eq!(scene.seen.len(), told);
        assert_eq!(scene.client.deadline(), None);
    }
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Examine {
        mailbox: "x",
        modseq: false,
    }]);
    scene.hear(b"* 0 EXISTS\r\na1 OK [READ-WRITE] open\r\n");
    assert_eq!(scene.failure(), Some(&Failure::NotReadOnly));
}

#[test]
fn texts_of_other_mails_are_passed_over() {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Mail { uid: 3 }]);
    scene.hear(b"* 1 FETCH (UID 4 BODY[] {200}\r\n");
    scene.hear(&[b'x'; 200]);
    scene.hear(b" X \"y\")\r\n* 2 FETCH (UID 3 BODY[] {2}\r\nab)\r\n");
    scene.hear(b"* 2 FETCH (UID 3 BODY[] {2}\r\ncd)\r\na1 OK\r\n");
    let mail = Kind::Mail { uid: 3 };
    assert_eq!(scene.take(), [Seen::Body(b"ab".to_vec()), end(mail, 2)]);
}

#[test]
fn a_refused_greeting_is_the_end() {
    let mut scene = Scene::new();
    scene.hear(b"* BYE [UNAVAILABLE] later\r\n");
    let refused = Event::Refused {
        kind: Kind::Greeting,
        code: Some(ResponseCode::Unavailable),
        text: text("[UNAVAILABLE] later"),
    };
    assert_eq!(scene.take(), [event(refused)]);
    assert!(!scene.client.can_request(&scene.link));
}

#[test]
fn noise_neither_panics_nor_hangs() {
    let words: [&[u8]; 24] = [
        b"* ",
        b"a1 ",
        b"OK",
        b" FETCH (",
        b"UID 3",
        b" BODY[] ",
        b"{3}",
        b"\r\n",
        b"(",
        b")",
        b"\"",
        b"\\",
        b"1",
        b" ",
        b"NIL",
        b"[",
        b"]",
        b"FLAGS ",
        b"~{2+}",
        b"STATUS ",
        b"+ ",
        b"BYE",
        b"{99}",
        b"\xff",
    ];
    let mut random = 0x1234_5678_u64;
    let mut next = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % n as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut scene = Scene::greeted();
        let ask = [
            Request::Mail { uid: 3 },
            Request::List { first: 1, last: 2 },
        ];
        scene.ask(&ask[next(2)..]);
        for _ in 0..next(30) {
            let word = words[next(words.len())];
            scene.hear(word);
        }
    }
}

#[test]
fn mails_asked_for_ahead_come_one_after_the_other() {
    // The mail in the middle has gone.
    let uids = [1, 2, 9, 3, 4, 5];
    let mails = uids.map(|uid| Request::Mail { uid });
    for chunk in [1, 7, 100, 100_000] {
        let mut scene = Scene::greeted();
        scene.ask(&mails);
        let mut said = Vec::new();
        for uid in 1..=5 {
            let body = "x".repeat(3000 * uid);
            said.extend(format!("* {uid} FETCH (UID {uid} BODY[] {{{}}}\r\n", body.len()).bytes());
            said.extend(body.bytes());
            said.extend(b")\r\n");
        }
        for tag in 1..=6 {
            said.extend(format!("a{tag} OK Fetch completed (0.001 secs).\r\n").bytes());
        }
        for piece in said.chunks(chunk) {
            scene.hear(piece);
        }
        let ends = scene.seen.iter().filter(|seen| {
            matches!(seen, Seen::Event(Event::BodyEnd { kind: Kind::Mail { uid }, octets })
                if *octets == 3000 * u64::from(*uid))
        });
        assert_eq!(ends.count(), 5, "chunk {chunk}");
        let gone = event(Event::Overtaken {
            kind: Kind::Mail { uid: 9 },
        });
        assert_eq!(scene.seen.iter().filter(|seen| **seen == gone).count(), 1);
        assert_eq!(scene.client.deadline(), None, "all tags have come");
    }
}

/// A client that waits for the answer to `STARTTLS`.
fn asked_for_tls() -> Scene {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Starttls]);
    assert_eq!(scene.sent(), "a1 STARTTLS\r\n");
    // Nothing may be asked before TLS.
    assert!(!scene.client.request(&mut scene.link, Request::Capability));
    scene
}

#[test]
fn what_comes_together_with_the_answer_to_starttls_ends_the_connection() {
    let answer = b"* OK soon\r\na1 OK begin\r\n";
    let behind = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\na2 OK done\r\n";
    for injected in 0..=behind.len() {
        for chunk in 1..=answer.len() + injected {
            let mut scene = asked_for_tls();
            let octets = [&answer[..], &behind[..injected]].concat();
            let mut pieces = octets.chunks(chunk);
            // Once it has said that TLS begins, nobody reads the link before TLS does.
            while scene.seen.is_empty() {
                scene.hear(pieces.next().unwrap());
            }
            let clean = chunk * answer.len().div_ceil(chunk) == answer.len() || injected == 0;
            match clean {
                true => assert_eq!(scene.take(), [event(Event::Ok(Kind::Starttls))], "{chunk}"),
                false => assert_eq!(scene.failure(), Some(&Failure::Injected), "{chunk}"),
            }
            // Either way it says and hears no more.
            scene.take();
            scene.hear(b"* BYE\r\n");
            assert!(scene.seen.is_empty());
            assert!(!scene.client.request(&mut scene.link, Request::Noop));
        }
    }
}

#[test]
fn tls_may_be_refused_and_goes_on_without_a_greeting() {
    let mut scene = asked_for_tls();
    scene.hear(b"a1 NO no certificate\r\n");
    let refused = Event::Refused {
        kind: Kind::Starttls,
        code: None,
        text: text("no certificate"),
    };
    assert_eq!(scene.take(), [event(refused)]);
    scene.ask(&[Request::Capability]);

    let mut scene = Scene::new();
    scene.client = Client::secured(Instant::ZERO);
    assert_eq!(scene.client.capabilities(), Capabilities::default());
    scene.ask(&[Request::Capability]);
    scene.hear(b"* CAPABILITY IMAP4rev1 auth=scram-sha-256 AUTH=GSSAPI AUTH=PLAIN\r\na1 OK\r\n");
    assert_eq!(scene.take(), [event(Event::Ok(Kind::Capability))]);
    let sasl = scene.client.capabilities().sasl.strongest_first();
    let expected = [Mechanism::ScramSha256, Mechanism::Plain];
    assert_eq!(sasl.collect::<Vec<_>>(), expected);
}

#[test]
fn an_exchange_goes_to_and_fro() {
    let dialogue =
        b"+ PDE4OTYuNjk3MTcwOTUyQHBvc3Q+\r\n* OK wait\r\n+\r\na1 NO [AUTHENTICATIONFAILED] no\r\n";
    for chunk in 1..=dialogue.len() {
        let mut scene = Scene::greeted();
        assert!(!scene.client.answer(&mut scene.link, "bm9ib2R5"));
        scene.ask(&[Request::Authenticate(Mechanism::CramMd5)]);
        assert_eq!(scene.sent(), "a1 AUTHENTICATE CRAM-MD5\r\n");
        assert!(!scene.client.request(&mut scene.link, Request::Noop));
        for piece in dialogue.chunks(chunk) {
            scene.hear(piece);
        }
        let challenge = |length| event(Event::Challenge { length });
        let refused = Event::Refused {
            kind: Kind::Authenticate(Mechanism::CramMd5),
            code: Some(ResponseCode::Authentication),
            text: text("[AUTHENTICATIONFAILED] no"),
        };
        let expected = [challenge(28), challenge(0), event(refused)];
        assert_eq!(scene.take(), expected);
        assert!(!scene.client.answer(&mut scene.link, "*"));
    }
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Authenticate(Mechanism::Plain)]);
    scene.hear(b"+ \r\n");
    assert!(scene.client.answer(&mut scene.link, "AGEAYg=="));
    assert_eq!(scene.sent(), "a1 AUTHENTICATE PLAIN\r\nAGEAYg==\r\n");
    scene.hear(b"a1 OK [CAPABILITY IMAP4rev1 CONDSTORE] in\r\n");
    let done = event(Event::Ok(Kind::Authenticate(Mechanism::Plain)));
    assert_eq!(scene.take().last(), Some(&done));
    assert!(scene.client.capabilities().condstore);
    // A challenge without an exchange is no response.
    scene.ask(&[Request::Noop]);
    scene.hear(b"+ \r\n");
    assert!(matches!(scene.failure(), Some(Failure::BadResponse { .. })));
}
