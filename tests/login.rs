//! How the gateway logs in at mail servers: what it asks, what it shows, and what it refuses.
//!
//! Both protocols, against servers that say what a test tells them, in pieces of every size.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod desk;
    pub(crate) mod lan;
}

use hal::TlsError;
use hal::lan::ConnectError;
use hal::sim::SimMedium;
use ringmail::config::Config;
use ringmail::poll::visit::{Failure, Goal, Report, ServerFailure};
use ringmail::pop3::client::Failure as Pop3Failure;
use ringmail::sasl::client::Fault;
use ringmail::store::Geometry;
use support::desk::{Desk, Memory, Stop, Wire, formatted, users};
use support::lan::Server;

/// A mail server without mail.
#[derive(Clone, Copy, Debug)]
struct Rules {
    imap: bool,
    /// What it says it can do; `None`: it does not know the question.
    clear: Option<&'static str>,
    /// The same under TLS.
    secure: Option<&'static str>,
    greeting: &'static str,
    /// What it answers to the word that begins TLS, after its tag.
    begin: &'static str,
    /// What comes together with that.
    injected: &'static str,
    /// It accepts these ways to log in, among all that it offers.
    accepts: &'static [&'static str],
    /// It hangs up on the others.
    hangs_up: bool,
}

const POP3: Rules = Rules {
    imap: false,
    clear: Some("USER STLS UIDL"),
    secure: Some("USER UIDL"),
    greeting: "+OK",
    begin: "+OK",
    injected: "",
    accepts: &["PASS"],
    hangs_up: false,
};

const IMAP: Rules = Rules {
    imap: true,
    clear: Some("IMAP4rev1 STARTTLS"),
    secure: Some("IMAP4rev1"),
    greeting: "* OK",
    begin: "OK",
    injected: "",
    accepts: &["LOGIN"],
    hangs_up: false,
};

struct Post<'h> {
    rules: Rules,
    tls: bool,
    over: bool,
    /// A challenge was said; the way, and the tag of it.
    asked: Option<(String, String)>,
    heard: &'h mut Vec<String>,
}

impl Server for Post<'_> {
    fn greet(&mut self, out: &mut Vec<u8>) {
        out.extend(format!("{}\r\n", self.rules.greeting).as_bytes());
    }

    fn start_tls(&mut self) {
        self.tls = true;
        self.heard.push("(TLS)".to_owned());
    }

    fn has_closed(&self) -> bool {
        self.over
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        if let Some((way, tag)) = self.asked.take() {
            self.heard.push("(answer)".to_owned());
            self.judge(&way, &tag, out);
            return;
        }
        let (tag, line) = match self.rules.imap {
            true => line.split_once(' ').unwrap(),
            false => ("", line),
        };
        let mut words = line.split(' ');
        let (verb, what) = (words.next().unwrap(), words.next().unwrap_or_default());
        let shown = match verb {
            "USER" | "PASS" | "LOGIN" | "APOP" => verb.to_owned(),
            "AUTH" | "AUTHENTICATE" => format!("AUTH {what}"),
            _ => line.to_owned(),
        };
        self.heard.push(shown);
        let known = match self.tls {
            true => self.rules.secure,
            false => self.rules.clear,
        };
        let text = match (verb, known) {
            ("CAPA", Some(known)) => format!("+OK\r\n{}\r\n.\r\n", lines(known)),
            ("CAPABILITY", Some(known)) => {
                format!("* CAPABILITY {known}\r\n{tag} OK\r\n")
            }
            ("CAPA", None) => "-ERR what\r\n".to_owned(),
            ("STLS", _) => format!("{}\r\n{}", self.rules.begin, self.rules.injected),
            ("STARTTLS", _) => {
                format!("{tag} {}\r\n{}", self.rules.begin, self.rules.injected)
            }
            ("AUTH" | "AUTHENTICATE", _) => {
                self.asked = Some((what.to_owned(), tag.to_owned()));
                "+ PDFAYT4=\r\n".to_owned()
            }
            ("PASS" | "LOGIN" | "APOP", _) => return self.judge(verb, tag, out),
            ("STAT", _) => "+OK 0 0\r\n".to_owned(),
            ("UIDL", _) => "+OK\r\n.\r\n".to_owned(),
            ("EXAMINE", _) => {
                format!("* 0 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n{tag} OK\r\n")
            }
            ("LOGOUT", _) => format!("* BYE\r\n{tag} OK\r\n"),
            _ if self.rules.imap => format!("{tag} OK\r\n"),
            _ => "+OK\r\n".to_owned(),
        };
        out.extend(text.as_bytes());
    }
}

impl Post<'_> {
    fn judge(&mut self, way: &str, tag: &str, out: &mut Vec<u8>) {
        let good = self.rules.accepts.contains(&way);
        if !good && self.rules.hangs_up {
            self.over = true;
            return;
        }
        let text = match (self.rules.imap, good) {
            (false, true) => "+OK\r\n".to_owned(),
            (false, false) => "-ERR [AUTH] no\r\n".to_owned(),
            (true, true) => format!("{tag} OK in\r\n"),
            (true, false) => format!("{tag} NO [AUTHENTICATIONFAILED] no\r\n"),
        };
        out.extend(text.as_bytes());
    }
}

/// Words of `AUTH=X` are `SASL X` in POP3's list.
fn lines(known: &str) -> String {
    known
        .replace("AUTH=", "SASL ")
        .replace(' ', "\r\n")
        .replace("SASL\r\n", "SASL ")
}

fn config(scheme: &str, more: &str) -> Config {
    users(&format!(
        "user add anna password rot\nuser anna source {scheme}://mail.lan login anna password blau\n{more}"
    ))
}

fn desk<R>(body: impl FnOnce(&mut Desk<'_>) -> R) -> R {
    let geometry = Geometry {
        page: 128,
        superblock: 128,
        config: 128,
        snapshot: 120 * 128,
        journal: 32,
        segment: 4096,
        segments: 8,
        chunk: 192,
    };
    let medium = SimMedium::from_image(formatted(&geometry));
    Memory::new(32).power(medium, body).1
}

/// A visit; what was heard, and what came of it.
fn visit(desk: &mut Desk<'_>, rules: Rules, more: &str, chunk: usize) -> (String, Report) {
    let config = config(if rules.imap { "imap" } else { "pop3" }, more);
    let mut heard = Vec::new();
    let mut post = Post {
        rules,
        tls: false,
        over: false,
        asked: None,
        heard: &mut heard,
    };
    let stop = Stop::Never;
    let visited = desk.visit(
        &config.users[0],
        Goal::Poll,
        &mut post,
        Wire { chunk, stop },
    );
    (heard.join(", "), visited.report.unwrap())
}

fn near(rules: Rules, more: &str) -> (String, Report) {
    desk(|desk| visit(desk, rules, more, usize::MAX))
}

fn far(rules: Rules, more: &str) -> (String, Report) {
    desk(|desk| {
        desk.near = false;
        visit(desk, rules, more, usize::MAX)
    })
}

const WHOLE: &str = "CAPA, STLS, (TLS), CAPA, USER, PASS, STAT, UIDL, QUIT";
const WHOLE_IMAP: &str =
    "CAPABILITY, STARTTLS, (TLS), CAPABILITY, LOGIN, CAPABILITY, EXAMINE \"INBOX\", LOGOUT";

#[test]
fn tls_begins_where_it_is_offered_at_every_chunk_size() {
    for chunk in (1..=64).chain([usize::MAX]) {
        for more in ["", "user anna tls required"] {
            desk(|desk| {
                for near in [true, false] {
                    desk.near = near;
                    let (heard, report) = visit(desk, POP3, more, chunk);
                    assert_eq!((heard.as_str(), report.failure), (WHOLE, None), "{chunk}");
                    assert!(report.secure);
                    let (heard, report) = visit(desk, IMAP, more, chunk);
                    assert_eq!(
                        (heard.as_str(), report.failure),
                        (WHOLE_IMAP, None),
                        "{chunk}"
                    );
                    assert!(report.secure);
                }
            });
        }
    }
}

#[test]
fn what_is_sent_behind_the_word_for_tls_is_never_believed() {
    const BEHIND: &str = "+OK\r\nUSER\r\nUIDL\r\n.\r\n+OK\r\n+OK\r\n+OK 1 100\r\n";
    const BEHIND_IMAP: &str = "* CAPABILITY IMAP4rev1\r\na1 OK\r\na2 OK in\r\n";
    for (rules, behind) in [(POP3, BEHIND), (IMAP, BEHIND_IMAP)] {
        for end in 1..=behind.len() {
            let injected = &behind[..end];
            let rules = Rules { injected, ..rules };
            for chunk in [1, 2, 3, 5, 8, 13, 21, 34, usize::MAX] {
                let (heard, report) = desk(|desk| visit(desk, rules, "", chunk));
                let injected = match report.failure.unwrap() {
                    Failure::Server(ServerFailure::Pop3(failure)) => {
                        failure == Pop3Failure::Injected
                    }
                    Failure::Server(ServerFailure::Imap(failure)) => {
                        failure == ringmail::imap::client::Failure::Injected
                    }
                    // Not read before TLS began: TLS finds it.
                    Failure::Connect(ConnectError::Tls(TlsError::NotTls)) => true,
                    _ => false,
                };
                assert!(injected, "{end}, {chunk}");
                // Nobody was told who we are.
                assert!(
                    !heard.contains("USER") && !heard.contains("LOGIN"),
                    "{heard}"
                );
            }
        }
    }
}

#[test]
fn what_the_server_can_do_is_asked_anew() {
    // It speaks of other things before TLS: a liar on the way would choose the weakest.
    let rules = Rules {
        clear: Some("STLS AUTH=LOGIN"),
        secure: Some("USER AUTH=SCRAM-SHA-256"),
        ..POP3
    };
    let (heard, report) = near(rules, "");
    let scram = "CAPA, STLS, (TLS), CAPA, AUTH SCRAM-SHA-256, (answer)";
    assert_eq!(heard, format!("{scram}, USER, PASS, STAT, UIDL, QUIT"));
    assert_eq!(report.failure, None);
    // One that lets us in without a proof does not know the password: it is asked no further.
    let rules = Rules {
        accepts: &["SCRAM-SHA-256"],
        ..rules
    };
    let (heard, report) = near(rules, "");
    assert_eq!(heard, scram);
    assert_eq!(report.failure, Some(Failure::Proof(Fault::Signature)));
    assert!(!report.hiding_refused, "it is told no more the next time");
    let rules = Rules {
        clear: Some("IMAP4rev1 STARTTLS LOGINDISABLED"),
        ..IMAP
    };
    assert_eq!(near(rules, "").0, WHOLE_IMAP);
    // Before TLS it says that TLS is there, after it that it is not needed any more; never twice.
    let rules = Rules {
        secure: Some("USER STLS"),
        ..POP3
    };
    assert_eq!(near(rules, "").0, WHOLE);
}

#[test]
fn a_server_without_tls_is_asked_no_further_than_the_owner_allows() {
    let lacks = Rules {
        clear: POP3.secure,
        ..POP3
    };
    let lacks_imap = Rules {
        clear: IMAP.secure,
        ..IMAP
    };
    let in_clear = "CAPA, USER, PASS, STAT, UIDL, QUIT";
    let in_clear_imap = "CAPABILITY, LOGIN, CAPABILITY, EXAMINE \"INBOX\", LOGOUT";
    for (rules, all, asked) in [
        (lacks, in_clear, "CAPA"),
        (lacks_imap, in_clear_imap, "CAPABILITY"),
    ] {
        // A near one is trusted with a password, but not if the owner wants TLS.
        let (heard, report) = near(rules, "");
        assert_eq!((heard.as_str(), report.failure), (all, None));
        assert!(!report.secure);
        for (heard, report) in [
            near(rules, "user anna tls required"),
            far(rules, "user anna tls required"),
        ] {
            assert_eq!(
                (heard.as_str(), report.failure),
                (asked, Some(Failure::NoTls))
            );
        }
        // A far one is not, unless the owner says so.
        let (heard, report) = far(rules, "");
        assert_eq!(
            (heard.as_str(), report.failure),
            (asked, Some(Failure::InClear))
        );
        let (heard, report) = far(rules, "user anna tls off");
        assert_eq!((heard.as_str(), report.failure), (all, None));
    }
    // Off is off, though TLS is offered.
    let (heard, report) = near(POP3, "user anna tls off");
    assert_eq!((heard.as_str(), report.failure), (in_clear, None));
    let (heard, report) = near(IMAP, "user anna tls off");
    assert_eq!((heard.as_str(), report.failure), (in_clear_imap, None));
}

#[test]
fn a_refused_beginning_never_falls_back() {
    for (rules, more) in [(POP3, ""), (IMAP, ""), (POP3, "user anna tls required")] {
        let begin = if rules.imap {
            "NO not now"
        } else {
            "-ERR not now"
        };
        let (heard, report) = near(Rules { begin, ..rules }, more);
        let failure = report.failure.unwrap();
        assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
        assert!(failure.advice("anna").is_some());
        assert!(
            !heard.contains("USER") && !heard.contains("LOGIN"),
            "{heard}"
        );
    }
    // A server older than CAPA may know STLS; only who wants TLS asks.
    let old = Rules {
        clear: None,
        secure: None,
        ..POP3
    };
    assert_eq!(near(old, "user anna tls required").0, WHOLE);
    assert_eq!(near(old, "").0, "CAPA, USER, PASS, STAT, UIDL, QUIT");
    // Whoever is let in unasked cannot begin TLS.
    let unasked = Rules {
        greeting: "* PREAUTH",
        ..IMAP
    };
    let (heard, report) = near(unasked, "user anna tls required");
    assert_eq!(
        (heard.as_str(), report.failure),
        ("CAPABILITY", Some(Failure::NoTls))
    );
}

/// The first way that is tried, near or far, by what a server offers.
#[test]
fn the_way_that_shows_least_is_tried_first() {
    let stamp = "+OK <1@a>";
    for (offer, greeting, near_way, far_way) in [
        ("USER", "+OK", "USER", None),
        ("USER", stamp, "APOP", Some("APOP")),
        ("AUTH=LOGIN", "+OK", "AUTH LOGIN", None),
        ("AUTH=LOGIN AUTH=PLAIN", "+OK", "AUTH PLAIN", None),
        ("USER AUTH=PLAIN", "+OK", "USER", None),
        (
            "USER AUTH=CRAM-MD5",
            stamp,
            "AUTH CRAM-MD5",
            Some("AUTH CRAM-MD5"),
        ),
        (
            "AUTH=PLAIN AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256",
            stamp,
            "AUTH SCRAM-SHA-256",
            Some("AUTH SCRAM-SHA-256"),
        ),
    ] {
        let rules = Rules {
            clear: Some(offer),
            greeting,
            ..POP3
        };
        let way = |heard: String| heard.split(", ").nth(1).map(str::to_owned);
        assert_eq!(way(near(rules, "").0).as_deref(), Some(near_way), "{offer}");
        assert_eq!(way(far(rules, "").0).as_deref(), far_way, "{offer}");
        let off = way(far(rules, "user anna tls off").0);
        assert_eq!(off.as_deref(), Some(near_way), "{offer}");
    }
    for (offer, near_way, far_way) in [
        ("", "LOGIN", None),
        ("AUTH=PLAIN", "LOGIN", None),
        ("LOGINDISABLED AUTH=LOGIN AUTH=PLAIN", "AUTH PLAIN", None),
        ("AUTH=CRAM-MD5", "AUTH CRAM-MD5", Some("AUTH CRAM-MD5")),
        (
            "AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256",
            "AUTH SCRAM-SHA-256",
            Some("AUTH SCRAM-SHA-256"),
        ),
    ] {
        let offer = Box::leak(format!("IMAP4rev1 {offer}").into_boxed_str());
        let rules = Rules {
            clear: Some(offer),
            ..IMAP
        };
        let way = |heard: String| heard.split(", ").nth(1).map(str::to_owned);
        assert_eq!(way(near(rules, "").0).as_deref(), Some(near_way), "{offer}");
        assert_eq!(way(far(rules, "").0).as_deref(), far_way, "{offer}");
    }
    // Under TLS only what proves the server too is worth a failure.
    for (offer, expected) in [
        ("USER AUTH=CRAM-MD5", "USER"),
        ("AUTH=CRAM-MD5 AUTH=PLAIN", "AUTH PLAIN"),
        ("USER AUTH=SCRAM-SHA-256", "AUTH SCRAM-SHA-256"),
    ] {
        let rules = Rules {
            secure: Some(offer),
            greeting: stamp,
            ..POP3
        };
        let heard = far(rules, "").0;
        assert_eq!(heard.split(", ").nth(4), Some(expected), "{offer}");
    }
    // Nothing in common.
    let rules = Rules {
        clear: Some("IMAP4rev1 LOGINDISABLED AUTH=GSSAPI"),
        ..IMAP
    };
    assert_eq!(near(rules, "").1.failure, Some(Failure::NoWay));
}

#[test]
fn where_hiding_is_refused_the_password_is_shown_if_it_may_be() {
    let offer = Some("USER AUTH=CRAM-MD5");
    let rules = Rules {
        clear: offer,
        ..POP3
    };
    let (heard, report) = near(rules, "");
    assert_eq!(
        heard,
        "CAPA, AUTH CRAM-MD5, (answer), USER, PASS, STAT, UIDL, QUIT"
    );
    assert_eq!((report.failure, report.hiding_refused), (None, true));
    let (heard, report) = far(rules, "");
    assert_eq!(heard, "CAPA, AUTH CRAM-MD5, (answer)");
    assert!(matches!(report.failure, Some(Failure::Refused { .. })));
    // At most two tries: an account is soon locked.
    let rules = Rules {
        accepts: &[],
        greeting: "+OK <1@a>",
        ..rules
    };
    let (heard, report) = near(rules, "");
    assert_eq!(heard, "CAPA, AUTH CRAM-MD5, (answer), USER, PASS");
    assert!(matches!(report.failure, Some(Failure::Refused { .. })));
    // One that hangs up is asked otherwise the next time.
    let rules = Rules {
        hangs_up: true,
        ..rules
    };
    let (_, report) = near(rules, "");
    assert_eq!(
        (report.failure, report.hiding_refused),
        (Some(Failure::Closed), true)
    );
    let rules = Rules {
        clear: Some("IMAP4rev1 AUTH=CRAM-MD5"),
        ..IMAP
    };
    let (heard, report) = near(rules, "");
    let expected =
        "CAPABILITY, AUTH CRAM-MD5, (answer), LOGIN, CAPABILITY, EXAMINE \"INBOX\", LOGOUT";
    assert_eq!(heard, expected);
    assert_eq!((report.failure, report.hiding_refused), (None, true));
}
