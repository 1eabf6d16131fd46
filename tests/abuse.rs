//! Callers who mean no good, or are no callers at all, through the whole gateway in virtual time.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use core::cell::RefCell;
use std::rc::Rc;

use hal::sim::line::{Caller, Line, Phase};
use hal::{Duration, Instant};
use ringmail::config::Secret;
use ringmail::sasl::client::{Client, Credentials, Progress};
use ringmail::sasl::{Line as Text, Mechanism};
use support::world::{House, Running, mail};

const CONFIG: &str = "line a device /dev/a\nline b device /dev/b\n\
    limit login-failures 3\n\
    user add anna password rot\n\
    user anna source pop3://post login anna password blau\n\
    user anna poll off\nuser anna poll at-login 10s\n";

/// What is said to a line; nothing, if there is nothing to say.
type Answer = Box<dyn FnMut(&str) -> Vec<u8>>;

/// Says something whenever a line has come.
struct Talker {
    answer: Answer,
    heard: Rc<RefCell<Heard>>,
    line: Vec<u8>,
    dialled: bool,
}

#[derive(Default)]
struct Heard {
    connected: Option<Instant>,
    ended: Option<Instant>,
    lines: Vec<(Instant, String)>,
    octets: (u64, u64),
}

impl Heard {
    fn lasted(&self) -> Duration {
        self.ended.unwrap().since(self.connected.unwrap())
    }
}

impl Caller for Talker {
    fn step(&mut self, now: Instant, line: &mut Line) {
        match line.phase() {
            Phase::Idle if !self.dialled => self.dialled = line.dial(None),
            Phase::Idle | Phase::Ringing => {}
            Phase::Connected | Phase::Ended => {
                let mut heard = self.heard.borrow_mut();
                heard.connected.get_or_insert(now);
                heard.octets = line.octets();
                self.line.extend(line.receive());
                while let Some(end) = self.line.iter().position(|&octet| octet == b'\n') {
                    let octets: Vec<u8> = self.line.drain(..=end).collect();
                    let text = String::from_utf8(octets).unwrap().trim_end().to_owned();
                    heard.lines.push((now, text.clone()));
                    line.send(&(self.answer)(&text));
                }
                if line.phase() == Phase::Ended {
                    heard.ended.get_or_insert(now);
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}

fn house() -> House {
    let mut house = House::new(1, CONFIG);
    house.line("a", 33600, true);
    house.line("b", 33600, true);
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    post.deliver("anna", "one", &mail("one", 2000));
    drop(post);
    house
}

/// A whole call on line `line`.
#[track_caller]
fn call(
    on: &mut Running<'_, '_>,
    line: &str,
    answer: impl FnMut(&str) -> Vec<u8> + 'static,
) -> Heard {
    let heard = Rc::<RefCell<Heard>>::default();
    let talker = Talker {
        answer: Box::new(answer),
        heard: Rc::clone(&heard),
        line: Vec::new(),
        dialled: false,
    };
    // The line before may still be on its hook's way.
    on.run_for(Duration::from_secs(10));
    on.world.seat(&format!("/dev/{line}"), Box::new(talker));
    on.run_until(Duration::from_secs(3 * 3600), |_| {
        heard.borrow().ended.is_some()
    });
    heard.take()
}

/// Says `what` after the greeting, and nothing else.
#[track_caller]
fn say(on: &mut Running<'_, '_>, what: Vec<u8>) -> Heard {
    let mut what = Some(what);
    call(on, "a", move |_| what.take().unwrap_or_default())
}

/// What the console shows of the log.
fn log(on: &mut Running<'_, '_>) -> String {
    let console = on.world.attach("show log\r");
    on.run_for(Duration::from_secs(1));
    console.close();
    console.shown()
}

#[test]
fn each_of_them_is_named_in_the_log_and_hung_up_on_in_bounded_time() {
    let lines = |line: &[u8]| line.repeat(200);
    let kinds: [(&str, Vec<u8>, &str, u64); 16] = [
        (
            "a line of 10 MB",
            vec![b'x'; 10 << 20],
            "a line without an end",
            10,
        ),
        ("NULs", vec![0; 1 << 20], "noise", 10),
        (
            "8-bit noise",
            (0..=255_u8)
                .rev()
                .cycle()
                .filter(|o| (160..0xf0).contains(o))
                .take(100_000)
                .collect(),
            "noise",
            10,
        ),
        ("noise in lines", lines(b"\xa7\x01\x93\x7f\r\n"), "noise", 5),
        ("empty lines", lines(b"\r\n"), "nothing but empty lines", 5),
        (
            "unknown commands",
            lines(b"LOGIN root\r\n"),
            "too many bad commands",
            5,
        ),
        (
            "lines too long",
            lines(&[&[b'y'; 400][..], b"\r\n"].concat()),
            "too many bad commands",
            10,
        ),
        ("telnet", b"\xff\xfd\x03\xff\xfb\x18".to_vec(), "telnet", 5),
        (
            "PPP",
            b"~\xff}#\xc0!}!}!} }4}\"}&} } } } ~".to_vec(),
            "PPP",
            5,
        ),
        ("EMSI", b"\r\r**EMSI_INQC816\r".to_vec(), "FidoNet", 5),
        ("YooHoo", b"\xf1\xae".to_vec(), "FidoNet", 5),
        ("a fax", b"\xff\xc8\x01".to_vec(), "fax", 5),
        ("TLS", b"\x16\x03\x01\x00\xf0\x01".to_vec(), "TLS", 5),
        ("a browser", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "web", 5),
        (
            "names without passwords",
            lines(b"USER anna\r\n"),
            "too many bad commands",
            5,
        ),
        ("silence", Vec::new(), "autologout", 700),
    ];
    house().power(|on| {
        on.run_until_ready();
        for (what, said, words, seconds) in kinds {
            let heard = say(on, said);
            let lasted = heard.lasted();
            assert!(lasted < Duration::from_secs(seconds), "{what}: {lasted:?}");
            let log = log(on);
            let end = log.lines().rfind(|line| line.contains("call ended"));
            let end = end.expect("a line").to_owned();
            assert!(end.contains(words), "{what}: {end}");
        }
    });
}

/// Tries `count` wrong passwords for `login` in calls of three; how long each answer took.
fn guess(on: &mut Running<'_, '_>, line: &str, login: &'static str, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < count {
        let heard = call(on, line, move |line| {
            let text = match line {
                "+OK" => "PASS falsch\r\n".to_owned(),
                "-ERR [AUTH] too many wrong passwords" => String::new(),
                _ => format!("USER {login}\r\n"),
            };
            text.into_bytes()
        });
        // Greeting, then +OK and -ERR in turn.
        let answers = heard
            .lines
            .windows(2)
            .filter(|pair| pair[1].1.starts_with("-ERR"));
        let before = times.len();
        times.extend(answers.map(|pair| pair[1].0.since(pair[0].0)));
        assert_eq!(times.len(), before + 3, "{:?}", heard.lines);
    }
    times
}

/// Seconds, as far as they are ours: the line itself takes less than one.
fn seconds(times: &[Duration]) -> Vec<u64> {
    times.iter().map(Duration::as_secs).collect()
}

const SLOWED: [u64; 18] = [0, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 16, 16];

#[test]
fn a_guesser_is_slowed_over_calls_and_restarts_and_learns_of_no_account() {
    let mut known = Vec::new();
    for login in [
        "anna",
        "berta",
        "anna+full",
        "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
    ] {
        let mut house = house();
        let mut times = house.power(|on| {
            on.run_until_ready();
            guess(on, "a", login, 18)
        });
        assert_eq!(seconds(&times), SLOWED, "{login}");
        // Power fails; what was reached as a power of two is known.
        times.extend(house.power(|on| {
            on.run_until_ready();
            guess(on, "a", login, 3)
        }));
        assert_eq!(seconds(&times[18..]), [16, 16, 16], "{login}");
        // To the very step, whoever it is.
        let times: Vec<_> = times.iter().map(|time| time.as_millis() / 10).collect();
        if known.is_empty() {
            known = times.clone();
        }
        assert_eq!(times, known, "{login}");
    }
}

/// By name, on whatever line; and by line, whatever names are tried.
#[test]
fn both_the_name_and_the_line_are_slowed() {
    house().power(|on| {
        on.run_until_ready();
        guess(on, "a", "anna", 6);
        assert_eq!(seconds(&guess(on, "b", "anna", 3)), [4, 4, 8]);
        assert_eq!(seconds(&guess(on, "a", "carl", 3)), [4, 4, 8]);
    });
    house().power(|on| {
        on.run_until_ready();
        guess(on, "a", "anna", 6);
        assert_eq!(seconds(&guess(on, "b", "carl", 3)), [0, 1, 2]);
    });
}

fn log_in(line: &str) -> Vec<u8> {
    let text = match line {
        line if line.contains("ready") => "USER anna\r\nPASS rot\r\n",
        "+OK 1 2000" => "QUIT\r\n",
        _ => "",
    };
    text.as_bytes().to_vec()
}

#[test]
fn the_right_password_waits_as_long_and_is_forgiven() {
    house().power(|on| {
        on.run_until_ready();
        guess(on, "a", "anna", 6);
        let waited = |heard: &Heard| {
            let times: Vec<_> = heard.lines.iter().map(|(at, _)| *at).collect();
            times[2].since(times[1]).as_secs()
        };
        let call_in = |on: &mut Running<'_, '_>, line: &str| {
            let mut oks = 0;
            let heard = call(on, line, move |line| {
                oks = if line == "+OK" { oks + 1 } else { oks };
                match oks {
                    2 => b"QUIT\r\n".to_vec(),
                    _ => log_in(line),
                }
            });
            assert_eq!(heard.lines[2].1, "+OK", "{:?}", heard.lines);
            waited(&heard)
        };
        assert_eq!(call_in(on, "b"), 4);
        assert_eq!(call_in(on, "b"), 0, "as if nothing had been");
        // The line a is eased by halves.
        assert_eq!(call_in(on, "a"), 4);
        assert_eq!(call_in(on, "a"), 2);
        assert_eq!(call_in(on, "a"), 1);
        assert_eq!(call_in(on, "a"), 0);
    });
}

/// Every mechanism through the gateway: the visit to the LAN begins when the name is said, and the
/// mail is there when the caller is let in.
#[test]
fn every_mechanism_finds_the_mail_of_the_visit_it_started() {
    for mechanism in Mechanism::ALL {
        house().power(|on| {
            on.run_until_ready();
            let password = Secret::new("rot").unwrap();
            let mut client = Client::new(mechanism, [5; 18]);
            let mut begun = false;
            let heard = call(on, "a", move |line| {
                let who = Credentials {
                    login: "anna",
                    password: &password,
                };
                if !core::mem::replace(&mut begun, true) {
                    return format!("AUTH {mechanism}\r\n").into_bytes();
                }
                let Some(challenge) = line
                    .strip_prefix('+')
                    .filter(|rest| !rest.starts_with("OK"))
                else {
                    let text = if line == "+OK" {
                        "STAT\r\n"
                    } else {
                        "QUIT\r\n"
                    };
                    return text.as_bytes().to_vec();
                };
                let mut out = Text::new();
                let mut progress = client.respond(who, challenge.trim().as_bytes(), &mut out);
                while progress == Ok(Progress::Working) {
                    progress = client.work(who, &mut out);
                }
                progress.unwrap();
                format!("{out}\r\n").into_bytes()
            });
            let said = format!("{:?}", heard.lines);
            assert!(said.contains("\"+OK 1 "), "{mechanism}: {said}");
        });
    }
}

/// What one caller left unfinished is not the beginning of what the next one says.
#[test]
fn the_next_caller_is_heard_from_the_first_octet_on() {
    for flood in [vec![b'x'; 1 << 20], vec![0; 300], b"USER an".to_vec()] {
        house().power(|on| {
            on.run_until_ready();
            say(on, flood);
            let heard = call(on, "a", |line| {
                let quit = line == "+OK";
                if quit {
                    b"QUIT\r\n".to_vec()
                } else {
                    b"USER anna\r\n".to_vec()
                }
            });
            let said: Vec<_> = heard.lines.iter().map(|(_, line)| line.as_str()).collect();
            assert_eq!(said[1..], ["+OK", "+OK"]);
        });
    }
}

/// A timestamp is never said twice, or a digest that was heard once would do again.
#[test]
fn every_greeting_has_a_timestamp_of_its_own() {
    house().power(|on| {
        on.run_until_ready();
        let mut stamps: Vec<String> = (0..5)
            .map(|_| {
                let heard = call(on, "a", |_| b"QUIT\r\n".to_vec());
                heard.lines[0].1.clone()
            })
            .collect();
        for greeting in &stamps {
            let stamp = greeting.rsplit(' ').next().unwrap();
            assert!(
                stamp.starts_with('<') && stamp.ends_with("@gateway>"),
                "{greeting}"
            );
        }
        stamps.sort();
        stamps.dedup();
        assert_eq!(stamps.len(), 5);
    });
}
