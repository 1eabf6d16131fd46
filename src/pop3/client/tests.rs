//! Dialogues in pieces of every size, cut at every octet, and plain noise.

use super::*;
use crate::config::Secret;
use crate::sasl::Mechanism;

/// An event with the octets that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Event(Event),
    Stamp(Vec<u8>),
    UniqueId(u32, Vec<u8>),
    Body(Vec<u8>),
}

/// A client at work, and all that it has said.
struct Scene {
    client: Client,
    link: Link,
    now: Instant,
    out: Vec<u8>,
    seen: Vec<Seen>,
}

impl Scene {
    fn new() -> Self {
        Self {
            client: Client::new(Instant::ZERO),
            link: Link::new(),
            now: Instant::ZERO,
            out: vec![0; UNIQUE_ID_OCTETS],
            seen: Vec::new(),
        }
    }

    /// Greeted, and nothing asked.
    fn greeted() -> Self {
        let mut scene = Self::new();
        scene.hear(b"+OK\r\n");
        assert_eq!(scene.seen, [event(Event::Greeting { stamp: None })]);
        scene.seen.clear();
        scene
    }

    fn ask(&mut self, requests: &[Request<'_>]) {
        for request in requests {
            assert!(self.client.request(&mut self.link, *request), "{request:?}");
        }
    }

    /// Lets `octets` come, as far as the link has room, and steps until nothing happens.
    fn hear(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let n = self.link.feed(rest);
            rest = &rest[n..];
            let before = self.seen.len();
            self.run();
            if rest.is_empty() {
                return;
            }
            if n == 0 && self.seen.len() == before {
                return;
            }
        }
    }

    fn run(&mut self) {
        // An event needs an octet: one that needs none would go on for ever.
        for _ in 0..20_000 {
            let event = self.client.step(self.now, &mut self.link, &mut self.out);
            let Some(event) = event else { return };
            self.note(event);
        }
        panic!("no end of events");
    }

    fn note(&mut self, event: Event) {
        let seen = match event {
            Event::Greeting {
                stamp: Some(length),
            } => Seen::Stamp(self.out[..length].to_vec()),
            Event::UniqueId { number, length } => {
                Seen::UniqueId(number, self.out[..length].to_vec())
            }
            Event::Body { length } => {
                assert!(length > 0);
                if let Some(Seen::Body(body)) = self.seen.last_mut() {
                    body.extend(&self.out[..length]);
                    return;
                }
                Seen::Body(self.out[..length].to_vec())
            }
            event => Seen::Event(event),
        };
        self.seen.push(seen);
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

fn refused(kind: Kind, code: Option<ResponseCode>, text: &str) -> Seen {
    let text = Text::try_from(text).unwrap();
    event(Event::Refused { kind, code, text })
}

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap()
}

/// Every kind of reply, all that is forgiven among them.
const REPLIES: &[u8] = b"+OK ready <1896.697170952@dbc.mtview.ca.us>\r\n\
    +ok Capability list follows\r\ntop\r\nUIDL\r\n\r\nPIPELINING\r\nEXPIRE NEVER\r\n..X\r\n.\r\n\
    +OK send PASS\r\n\
    -ERR [IN-USE] somebody is here\r\n\
    -ERR no\x07 such\r\n\
    +OK 3 320 octets\r\n\
    +OK\n1 a\r\n3   b c\xfc\r\n+OK 4 d.\r\n.\r\n\
    +OK 2 messages\r\n1 120\r\n 2  200 more\r\n.\r\n\
    +OK 2 200\r\n\
    -ERR Message 9 expunged.\r\n\
    +OK\r\nSubject: x\r\n\r\n..\r\n..a\r\n\r\n.\r\n\
    +OK 0 octets\r\n.\r\n\
    -ERR unknown command\r\n\
    +OK\r\n+OK bye\r\n";

fn requests(secret: &Secret) -> [Request<'_>; 14] {
    [
        Request::Capa,
        Request::User("ann"),
        Request::Pass(secret),
        Request::Apop {
            login: "ann",
            digest: "00112233445566778899aabbccddeeff",
        },
        Request::Stat,
        Request::Uidl,
        Request::List,
        Request::ListOne(2),
        Request::Retr(9),
        Request::Top {
            number: 1,
            lines: 99_999_999,
        },
        Request::Retr(2),
        Request::Last,
        Request::Rset,
        Request::Quit,
    ]
}

fn expected() -> Vec<Seen> {
    vec![
        Seen::Stamp(b"<1896.697170952@dbc.mtview.ca.us>".to_vec()),
        event(Event::Capabilities(Capabilities {
            top: true,
            uidl: true,
            pipelining: true,
            expire: Expire::Never,
            ..Capabilities::default()
        })),
        event(Event::Ok(Kind::User)),
        refused(
            Kind::Pass,
            Some(ResponseCode::InUse),
            "[IN-USE] somebody is here",
        ),
        refused(Kind::Apop, None, "no? such"),
        event(Event::Stat {
            count: 3,
            octets: 320,
        }),
        Seen::UniqueId(1, b"a".to_vec()),
        Seen::UniqueId(3, b"b c\xfc".to_vec()),
        Seen::UniqueId(4, b"d.".to_vec()),
        event(Event::ListingEnd {
            kind: Kind::Uidl,
            count: 3,
        }),
        event(Event::Size {
            number: 1,
            octets: 120,
        }),
        event(Event::Size {
            number: 2,
            octets: 200,
        }),
        event(Event::ListingEnd {
            kind: Kind::List,
            count: 2,
        }),
        event(Event::Size {
            number: 2,
            octets: 200,
        }),
        refused(Kind::Retr { number: 9 }, None, "Message 9 expunged."),
        Seen::Body(b"Subject: x\r\n\r\n.\r\n.a\r\n\r\n".to_vec()),
        event(Event::BodyEnd {
            kind: Kind::Top { number: 1 },
            octets: 23,
        }),
        event(Event::BodyEnd {
            kind: Kind::Retr { number: 2 },
            octets: 0,
        }),
        refused(Kind::Last, None, "unknown command"),
        event(Event::Ok(Kind::Rset)),
        event(Event::Ok(Kind::Quit)),
    ]
}

#[test]
fn a_dialogue_is_read_alike_in_pieces_of_every_size() {
    let secret = Secret::new("open sesame").unwrap();
    for size in 1..=64 {
        let mut scene = Scene::new();
        scene.ask(&requests(&secret));
        for piece in REPLIES.chunks(size) {
            scene.hear(piece);
        }
        assert_eq!(scene.seen, expected(), "pieces of {size}");
        assert_eq!(scene.client.outstanding(), 0);
        assert_eq!(scene.client.deadline(), None);
        // What comes after the end is nobody's business.
        scene.hear(b"+OK\r\n");
        assert_eq!(scene.seen, expected());
        assert!(!scene.client.can_request(&scene.link));
    }
}

#[test]
fn a_dialogue_cut_at_any_octet_has_no_end_too_many() {
    let secret = Secret::new("x").unwrap();
    let all = expected();
    for cut in 0..REPLIES.len() {
        let mut scene = Scene::new();
        scene.ask(&requests(&secret));
        scene.hear(&REPLIES[..cut]);
        let seen = scene.seen.clone();
        assert!(seen.len() < all.len(), "cut at {cut}");
        for (seen, whole) in seen.iter().zip(&all) {
            match (seen, whole) {
                (Seen::Body(part), Seen::Body(body)) => assert!(body.starts_with(part)),
                (seen, whole) => assert_eq!(seen, whole, "cut at {cut}"),
            }
        }
        let terminators = REPLIES[..cut]
            .windows(5)
            .filter(|w| w == b"\r\n.\r\n")
            .count();
        let ends = seen.iter().filter(|seen| {
            matches!(
                seen,
                Seen::Event(
                    Event::ListingEnd { .. } | Event::BodyEnd { .. } | Event::Capabilities(_)
                )
            )
        });
        assert_eq!(ends.count(), terminators, "cut at {cut}");

        // Then nothing comes: the client gives up once, at its deadline, not before.
        let deadline = scene.client.deadline().unwrap();
        scene.now = Instant::from_micros(deadline.as_micros() - 1);
        scene.run();
        assert_eq!(scene.seen, seen);
        scene.now = deadline;
        scene.run();
        assert_eq!(scene.seen.len(), seen.len() + 1);
        assert!(matches!(scene.failure(), Some(Failure::TimedOut { .. })));
        assert_eq!(scene.client.deadline(), None);
        scene.hear(&REPLIES[cut..]);
        assert_eq!(scene.seen.len(), seen.len() + 1);
    }
}

#[test]
fn requests_are_written_as_the_rfc_says() {
    let secret = Secret::new("open sesame").unwrap();
    let mut scene = Scene::new();
    scene.ask(&requests(&secret));
    let sent = "CAPA\r\nUSER ann\r\nPASS open sesame\r\n\
        APOP ann 00112233445566778899aabbccddeeff\r\nSTAT\r\nUIDL\r\nLIST\r\nLIST 2\r\nRETR 9\r\n\
        TOP 1 99999999\r\nRETR 2\r\nLAST\r\nRSET\r\nQUIT\r\n";
    assert_eq!(scene.link.output(), sent.as_bytes());
}

#[test]
fn words_that_would_end_a_command_are_never_sent() {
    let mut scene = Scene::greeted();
    let newline = Secret::new("a\r\nDELE 1").unwrap();
    let long = "x".repeat(250);
    for request in [
        Request::User("ann\r\nDELE 1"),
        Request::User("ann\n"),
        Request::User("a\0"),
        Request::User(&long),
        Request::Pass(&newline),
        Request::Apop {
            login: "ann",
            digest: "\r",
        },
    ] {
        assert!(scene.client.can_request(&scene.link));
        assert!(!scene.client.request(&mut scene.link, request));
        assert_eq!(scene.link.output(), b"");
        assert_eq!(scene.client.outstanding(), 0);
    }
    // The longest that configuration allows are sent.
    let longest = Secret::new(&"x".repeat(crate::config::SECRET_OCTETS)).unwrap();
    scene.ask(&[Request::User(&"x".repeat(128)), Request::Pass(&longest)]);
}

#[test]
fn a_password_is_never_shown() {
    let secret = Secret::new("sesame").unwrap();
    let request = Request::Pass(&secret);
    assert!(!format!("{request:?}").contains("sesame"));
    let mut scene = Scene::greeted();
    scene.ask(&[request]);
    assert!(!format!("{:?}", scene.client).contains("sesame"));
}

#[test]
fn the_window_is_bounded_and_quit_is_the_last() {
    let mut scene = Scene::greeted();
    for _ in 0..WINDOW {
        scene.ask(&[Request::Noop]);
    }
    assert!(!scene.client.can_request(&scene.link));
    assert!(!scene.client.request(&mut scene.link, Request::Noop));
    scene.hear(b"+OK\r\n");
    scene.ask(&[Request::Quit]);
    scene.hear(b"+OK\r\n");
    assert!(!scene.client.can_request(&scene.link));
    assert!(!scene.client.request(&mut scene.link, Request::Noop));
    // No room in the link: nothing is sent by halves.
    let mut scene = Scene::greeted();
    scene
        .link
        .put(&vec![b'x'; scene.link.room() - COMMAND_OCTETS + 1]);
    assert!(!scene.client.can_request(&scene.link));
}

#[test]
fn a_refused_quit_is_an_end_too() {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Quit]);
    scene.hear(b"-ERR some deleted messages not removed\r\n");
    assert_eq!(scene.client.deadline(), None);
    assert!(!scene.client.can_request(&scene.link));
}

#[test]
fn what_nobody_asked_is_a_failure() {
    // A mail that begins with a dot the server did not stuff: its rest looks like replies.
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Retr(1)]);
    scene.hear(b"+OK\r\n.\r\nSubject: x\r\n\r\nhello\r\n.\r\n");
    let end = Event::BodyEnd {
        kind: Kind::Retr { number: 1 },
        octets: 0,
    };
    let line = text("Subject: x");
    assert_eq!(
        scene.seen,
        [
            event(end),
            event(Event::Failed(Failure::Unsolicited { line }))
        ]
    );

    // The owner cannot ask over it, even before the step that sees it.
    let mut scene = Scene::greeted();
    scene.link.feed(b"+OK forged\r\n");
    assert!(!scene.client.request(&mut scene.link, Request::Stat));
    scene.run();
    assert!(matches!(scene.failure(), Some(Failure::Unsolicited { .. })));

    // Pipelined, it stands where a status is due.
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Retr(1), Request::Retr(2)]);
    scene.hear(b"+OK\r\n.\r\nSubject: x\r\n");
    let kind = Kind::Retr { number: 2 };
    let line = text("Subject: x");
    assert_eq!(scene.failure(), Some(&Failure::NotAStatus { kind, line }));
}

#[test]
fn replies_that_cannot_be_believed_are_failures() {
    let cases: [(Request<'_>, &[u8]); 16] = [
        (Request::Stat, b"+OK\r\n"),
        (Request::Stat, b"+OK 1\r\n"),
        (Request::Stat, b"+OK -1 20\r\n"),
        (Request::Stat, b"+OK 99999999999 1\r\n"),
        (Request::Stat, b"220 hello\r\n"),
        (Request::Stat, b"\r\n"),
        (Request::ListOne(2), b"+OK 3 10\r\n"),
        (Request::ListOne(2), b"+OK 2\r\n"),
        (Request::Uidl, b"+OK\r\n1\r\n"),
        (Request::Uidl, b"+OK\r\n\r\n"),
        (Request::Uidl, b"+OK\r\n1 a\n"),
        (Request::Uidl, b"+OK\r\n1 a\r\n.\n"),
        (Request::Uidl, b"+OK\r\n1 a\r\n-ERR disk\r\n"),
        (Request::List, b"+OK\r\n1 a\r\n"),
        (Request::List, b"+OK\r\n1 99999999999999999999\r\n"),
        (Request::Capa, b"+OK\r\nTOP\n"),
    ];
    for (request, reply) in cases {
        let mut scene = Scene::greeted();
        scene.ask(&[request]);
        scene.hear(reply);
        let failure = scene
            .failure()
            .unwrap_or_else(|| panic!("{}", reply.escape_ascii()));
        assert!(!failure.to_string().is_empty());
        assert!(!scene.client.can_request(&scene.link));
    }
}

#[test]
fn lines_are_bounded_and_the_longest_allowed_pass() {
    for (length, fits) in [(510, true), (511, false), (LINE_OCTETS, false)] {
        let mut scene = Scene::greeted();
        scene.ask(&[Request::Uidl]);
        scene.hear(b"+OK\r\n1 ");
        scene.hear(&vec![b'x'; length + 2]);
        scene.hear(b"\r\n.\r\n");
        assert_eq!(scene.failure().is_none(), fits, "{length}");
    }
    for (length, fits) in [
        (LINE_OCTETS - 4, true),
        (LINE_OCTETS - 3, false),
        (100_000, false),
    ] {
        for request in [Request::List, Request::Noop] {
            let mut scene = Scene::greeted();
            scene.ask(&[request]);
            if request == Request::List {
                scene.hear(b"+OK\r\n1 1 ");
            } else {
                scene.hear(b"+OK ");
            }
            scene.hear(&vec![b'x'; length]);
            scene.hear(b"\r\n.\r\n");
            let kind = request.kind();
            let too_long = scene.failure() == Some(&Failure::TooLong { kind });
            assert_eq!(too_long, !fits, "{length} {kind}");
        }
    }
}

#[test]
fn a_line_of_a_mebibyte_streams() {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Retr(1)]);
    let body = vec![b'x'; 1 << 20];
    scene.hear(b"+OK\r\n");
    scene.hear(&body);
    scene.hear(b"\r\n.\r\n");
    let octets = (1 << 20) + 2;
    let kind = Kind::Retr { number: 1 };
    assert_eq!(
        scene.seen.last(),
        Some(&event(Event::BodyEnd { kind, octets }))
    );
}

#[test]
fn a_large_mailbox_may_take_its_time_and_a_small_reply_may_not() {
    let secret = Secret::new("x").unwrap();
    for (request, patience) in [
        (Request::Capa, PATIENCE),
        (Request::User("a"), PATIENCE),
        (Request::Pass(&secret), PATIENCE_MAILBOX),
        (Request::Stat, PATIENCE_MAILBOX),
        (Request::Uidl, PATIENCE_MAILBOX),
        (Request::Retr(1), PATIENCE),
    ] {
        let mut scene = Scene::greeted();
        assert_eq!(scene.client.deadline(), None);
        // Long idle, with nothing outstanding, is no failure.
        let asked = scene.now + Duration::from_secs(100_000);
        scene.ask(&[request]);
        // Asked to be stepped at once, to learn what time it is.
        assert!(scene.client.deadline().unwrap() <= asked);
        scene.now = asked;
        scene.run();
        assert_eq!(
            scene.client.deadline(),
            Some(asked + patience),
            "{request:?}"
        );
        scene.now = asked + patience;
        scene.run();
        let kind = request.kind();
        assert_eq!(scene.failure(), Some(&Failure::TimedOut { kind }));
    }
}

#[test]
fn progress_puts_the_deadline_off_and_a_trickle_does_not() {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Retr(1)]);
    scene.run();
    scene.now = scene.now + Duration::from_secs(50);
    scene.hear(b"+OK\r\nSubject");
    assert_eq!(scene.client.deadline(), Some(scene.now + PATIENCE));
    scene.now = scene.now + Duration::from_secs(50);
    scene.hear(b": x");
    assert_eq!(scene.client.deadline(), Some(scene.now + PATIENCE));
    assert_eq!(scene.failure(), None);

    let mut scene = Scene::greeted();
    scene.ask(&[Request::Noop]);
    scene.run();
    for _ in 0..12 {
        scene.now = scene.now + Duration::from_secs(5);
        scene.hear(b"+");
    }
    assert!(matches!(
        scene.failure(),
        Some(Failure::TimedOut { kind: Kind::Noop })
    ));
}

/// The slow twin: the content before the first CR LF . CR LF, and how much that took.
fn unstuff_slowly(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let rest = &input[at..];
        if rest.starts_with(b".\r\n") {
            return Some((out, at + 3));
        }
        let end = rest.windows(2).position(|w| w == b"\r\n")? + 2;
        let line = &rest[..end];
        out.extend(line.strip_prefix(b".").unwrap_or(line));
        at += end;
    }
}

#[test]
fn every_short_body_is_read_as_its_slow_twin_says() {
    let mut inputs = vec![Vec::new()];
    let mut at = 0;
    while at < inputs.len() {
        let input = inputs[at].clone();
        at += 1;
        if input.len() < 6 {
            inputs.extend(
                b"a.\r\n"
                    .iter()
                    .map(|&octet| [&input[..], &[octet]].concat()),
            );
        }
        for size in [1, 2, 6] {
            let mut scene = Scene::greeted();
            scene.ask(&[Request::Retr(1), Request::Quit]);
            scene.hear(b"+OK\r\n");
            for piece in input.chunks(size) {
                scene.hear(piece);
            }
            let mut body: Vec<u8> = Vec::new();
            let mut end = None;
            for seen in &scene.seen {
                match seen {
                    Seen::Body(piece) => body.extend(piece),
                    Seen::Event(Event::BodyEnd { octets, .. }) => end = Some(*octets),
                    _ => {}
                }
            }
            let Some((content, used)) = unstuff_slowly(&input) else {
                assert_eq!(
                    (end, scene.failure()),
                    (None, None),
                    "{}",
                    input.escape_ascii()
                );
                continue;
            };
            assert_eq!(body, content, "{}", input.escape_ascii());
            assert_eq!(end, Some(content.len() as u64));
            // The rest stands where the reply to QUIT is due.
            let stray = input[used..].contains(&b'\n');
            assert_eq!(scene.failure().is_some(), stray, "{}", input.escape_ascii());
        }
    }
    assert_eq!(at, 5461);
}

fn pick(random: u64, of: usize) -> usize {
    usize::try_from(random % of as u64).unwrap()
}

#[test]
fn noise_neither_panics_nor_goes_on_for_ever() {
    let words: [&[u8]; 14] = [
        b"+OK",
        b"-ERR",
        b"\r\n",
        b"\n",
        b"\r",
        b".",
        b" ",
        b"1",
        b"4294967296",
        b"[IN-USE]",
        b"TOP",
        b"<a@b>",
        b"\0\xff",
        b"\r\n.\r\n",
    ];
    let secret = Secret::new("x").unwrap();
    for seed in 1..=4000_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut scene = Scene::new();
        for request in requests(&secret)
            .iter()
            .cycle()
            .skip(pick(next(), 14))
            .take(12)
        {
            scene.client.request(&mut scene.link, *request);
        }
        let mut total = 0;
        for _ in 0..60 {
            let octets = match next() % 4 {
                0 => next().to_le_bytes().to_vec(),
                _ => words[pick(next(), words.len())].to_vec(),
            };
            total += octets.len();
            scene.hear(&octets);
        }
        assert!(scene.seen.len() <= total, "seed {seed}");
        let failures = scene
            .seen
            .iter()
            .filter(|s| matches!(s, Seen::Event(Event::Failed(_))));
        assert!(failures.count() <= 1, "seed {seed}");
    }
}

/// A client that waits for the reply to `STLS`.
fn asked_for_tls() -> Scene {
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Stls]);
    assert_eq!(scene.link.output(), b"STLS\r\n");
    // Nothing may be asked before TLS.
    assert!(!scene.client.request(&mut scene.link, Request::Capa));
    scene
}

#[test]
fn what_comes_together_with_the_reply_to_stls_ends_the_connection() {
    let reply = b"+OK begin\r\n";
    let behind = b"+OK\r\nUIDL\r\n.\r\n";
    for injected in 0..=behind.len() {
        for chunk in 1..=reply.len() + injected {
            let mut scene = asked_for_tls();
            let octets = [&reply[..], &behind[..injected]].concat();
            let mut pieces = octets.chunks(chunk);
            // Once it has said that TLS begins, nobody reads the link before TLS does.
            while scene.seen.is_empty() {
                scene.hear(pieces.next().unwrap());
            }
            let clean = chunk * (reply.len().div_ceil(chunk)) == reply.len() || injected == 0;
            match clean {
                true => assert_eq!(scene.seen, [event(Event::Ok(Kind::Stls))], "{chunk}"),
                false => assert_eq!(scene.failure(), Some(&Failure::Injected), "{chunk}"),
            }
            // Either way it says and hears no more.
            scene.seen.clear();
            scene.hear(b"+OK\r\n");
            assert!(scene.seen.is_empty());
            assert!(!scene.client.request(&mut scene.link, Request::Capa));
            assert_eq!(scene.client.deadline(), None);
        }
    }
}

#[test]
fn tls_may_be_refused_and_goes_on_without_a_greeting() {
    let mut scene = asked_for_tls();
    scene.hear(b"-ERR no certificate\r\n");
    assert_eq!(scene.seen, [refused(Kind::Stls, None, "no certificate")]);
    scene.ask(&[Request::Capa]);

    let mut scene = Scene::new();
    scene.client = Client::secured(Instant::ZERO);
    assert_eq!(scene.client.outstanding(), 0);
    scene.ask(&[Request::Capa]);
    scene.hear(b"+OK\r\nUSER\r\n.\r\n");
    let capabilities = Capabilities {
        user: true,
        ..Capabilities::default()
    };
    assert_eq!(scene.seen, [event(Event::Capabilities(capabilities))]);
    // A greeting is one too many.
    scene.hear(b"+OK ready\r\n");
    assert!(matches!(scene.failure(), Some(Failure::Unsolicited { .. })));
}

#[test]
fn an_exchange_goes_to_and_fro() {
    let dialogue = b"+ PDE4OTYuNjk3MTcwOTUyQHBvc3Q+\r\n+\r\n+ \r\n-ERR [AUTH] no\r\n";
    for chunk in 1..=dialogue.len() {
        let mut scene = Scene::greeted();
        assert!(!scene.client.answer(&mut scene.link, "bm9ib2R5"));
        scene.ask(&[Request::Auth(Mechanism::CramMd5)]);
        assert_eq!(scene.link.output(), b"AUTH CRAM-MD5\r\n");
        assert!(!scene.client.request(&mut scene.link, Request::Stat));
        for piece in dialogue.chunks(chunk) {
            scene.hear(piece);
        }
        let challenge = |length| event(Event::Challenge { length });
        let code = Some(ResponseCode::Auth);
        let no = refused(Kind::Auth(Mechanism::CramMd5), code, "[AUTH] no");
        assert_eq!(scene.seen, [challenge(28), challenge(0), challenge(0), no]);
        assert!(!scene.client.answer(&mut scene.link, "*"));
    }
    let mut scene = Scene::greeted();
    scene.ask(&[Request::Auth(Mechanism::Plain)]);
    scene.hear(b"+ \r\n");
    assert!(scene.client.answer(&mut scene.link, "AGEAYg=="));
    assert_eq!(scene.link.output(), b"AUTH PLAIN\r\nAGEAYg==\r\n");
    scene.hear(b"+OK in\r\n");
    let done = event(Event::Ok(Kind::Auth(Mechanism::Plain)));
    assert_eq!(scene.seen.last(), Some(&done));
    scene.ask(&[Request::Stat]);
    // A challenge without an exchange is no status.
    scene.hear(b"+ \r\n");
    assert!(matches!(scene.failure(), Some(Failure::NotAStatus { .. })));
}
