//! Dialogues of stock clients and of hostile ones, at every chunk size and cut at every octet.

mod auth;
mod economy;
mod limits;
mod rfc;
mod twin;

use hal::faulty::{Faults, Faulty};
use hal::{ByteStream, StreamError};

use super::{EndReason, Options};
use crate::link::{LINK_OCTETS, Link};
use crate::pop3::reply::REPLY_OCTETS;
use twin::{OPTIONS, Talk, Twin};

const MAILS: [&[u8]; 3] = [
    b"From: ann\r\nSubject: one\r\n\r\nHello.\r\n.\r\n..dots\r\nbye\r\n",
    b"Subject: two\r\n\r\nfirst\r\nsecond\r\n",
    b"Subject: three\r\n",
];

/// A file of `C:`, `S:` and, for the events, `!` lines.
struct Transcript {
    name: &'static str,
    lines: Vec<String>,
    said: String,
    events: Vec<String>,
}

impl Transcript {
    fn read(name: &'static str, text: &str) -> Self {
        let with = |mark: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
            lines
                .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
                .collect()
        };
        let octets = |line: String| line + "\r\n";
        Self {
            name,
            lines: with("C:").into_iter().map(octets).collect(),
            said: with("S:").into_iter().map(octets).collect(),
            events: with("!"),
        }
    }

    fn input(&self) -> String {
        self.lines.concat()
    }

    fn check(&self, talk: &Talk, how: &str) {
        let said = String::from_utf8_lossy(&talk.said);
        assert_eq!(said, self.said, "{}, {how}", self.name);
        assert_eq!(talk.events, self.events, "{}, {how}", self.name);
    }
}

macro_rules! transcripts {
    ($($name:literal)*) => {
        vec![$(Transcript::read(
            $name,
            include_str!(concat!("../../../tests/transcripts/", $name, ".txt")),
        )),*]
    };
}

fn transcripts() -> Vec<Transcript> {
    transcripts!["thunderbird" "fetchmail" "mutt" "mpop" "outlook" "android" "person" "guesser" "nobody"
        "apop" "sasl"]
}

fn talk() -> Talk {
    Talk::new(Twin::of(&MAILS), OPTIONS)
}

#[test]
fn every_dialogue_is_the_same_at_every_chunk_and_every_drain() {
    for transcript in transcripts() {
        let input = transcript.input();
        for chunk in 1..=64 {
            for drain in 1..=64 {
                let mut talk = talk();
                talk.lag = (chunk + drain) % 3;
                talk.twin.pending = drain % 3;
                talk.twin.absent = chunk % 3;
                talk.run(input.as_bytes(), chunk, drain);
                transcript.check(&talk, &format!("chunk {chunk}, drain {drain}"));
            }
        }
    }
}

/// The caller's end of the line: says its part as it is asked for, keeps what it hears.
struct Peer {
    input: Vec<u8>,
    heard: Vec<u8>,
}

impl ByteStream for Peer {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let count = buf.len().min(self.input.len());
        buf[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.heard.extend(octets);
        Ok(octets.len())
    }
}

#[test]
fn every_dialogue_is_the_same_over_a_port_that_takes_and_gives_as_it_likes() {
    for transcript in transcripts() {
        for seed in 0..100 {
            let faults = Faults {
                seed,
                short: 200,
                nothing: 100,
                ..Faults::default()
            };
            let peer = Peer {
                input: transcript.input().into_bytes(),
                heard: Vec::new(),
            };
            let mut port = Faulty::new(peer, faults);
            let mut talk = talk();
            for _ in 0..20_000 {
                talk.link.exchange(&mut port).unwrap();
                talk.turn(0);
                if talk.ended.is_some() {
                    break;
                }
            }
            talk.said = port.into_inner().heard;
            transcript.check(&talk, &format!("seed {seed}"));
        }
    }
}

#[test]
fn every_dialogue_is_the_same_in_lockstep() {
    for transcript in transcripts() {
        for (lag, drain) in [(0, 1), (0, 8192), (3, 7)] {
            let mut talk = talk();
            talk.lag = lag;
            for line in &transcript.lines {
                if talk.ended.is_none() {
                    talk.run(line.as_bytes(), 8192, drain);
                }
            }
            transcript.check(&talk, "lockstep");
        }
    }
}

#[test]
fn bare_line_feeds_do_as_well() {
    for transcript in transcripts() {
        let mut talk = talk();
        talk.run(transcript.input().replace("\r\n", "\n").as_bytes(), 5, 9);
        transcript.check(&talk, "LF only");
    }
}

/// RFC 1939 §6, design 2.7: nothing is taken unless `QUIT` was read whole.
#[test]
fn input_cut_at_every_octet_commits_only_after_quit() {
    for transcript in transcripts() {
        let input = transcript.input();
        let quit = input.to_ascii_uppercase().find("QUIT\r\n");
        for cut in 0..=input.len() {
            let mut talk = talk();
            talk.run(&input.as_bytes()[..cut], 7, 16);
            let quit_read = quit.is_some_and(|at| cut >= at + 6);
            if talk.ended.is_none() {
                assert!(!quit_read);
                talk.pass(OPTIONS.idle);
                talk.turn(8192);
                assert_eq!(talk.ended, Some(EndReason::Autologout));
            }
            let logged_in = transcript.events.iter().any(|e| e.starts_with("taken"));
            assert_eq!(talk.twin.commits > 0, quit_read && logged_in, "cut {cut}");
            assert!(transcript.said.as_bytes().starts_with(&talk.said));
        }
    }
}

/// The whole of the dialogue has come, and from some octet on nothing drains any more.
#[test]
fn output_stuck_at_every_octet_commits_only_when_all_before_has_drained() {
    for transcript in transcripts() {
        let said = transcript.said.len();
        let took = transcript.events.iter().any(|e| e.starts_with("taken"));
        for stuck in 0..said {
            let mut talk = talk();
            talk.link.feed(transcript.input().as_bytes());
            for _ in 0..said * 2 + 40 {
                talk.turn((stuck - talk.said.len()).min(8));
            }
            // The last reply is `+OK` to `QUIT`.
            let before_quit = said - "+OK\r\n".len();
            assert_eq!(talk.twin.commits > 0, took && stuck >= before_quit);
            assert_eq!(talk.ended, None);
            talk.pass(OPTIONS.idle);
            talk.turn(0);
            let reason = talk.ended.expect("the idle limit ends it");
            let committed = took && stuck >= before_quit;
            assert_eq!(talk.twin.taken.is_some(), committed);
            if took && !committed {
                assert_eq!(reason, EndReason::Autologout, "{}", transcript.name);
            }
        }
    }
}

/// The slow twin of the server's way with a message.
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in mail.split_inclusive(|&octet| octet == b'\n') {
        if line[0] == b'.' {
            out.push(b'.');
        }
        out.extend(line);
    }
    if out.last() == Some(&b'\r') {
        out.push(b'\n');
    } else if !(out.is_empty() || out.ends_with(b"\r\n")) {
        out.extend(b"\r\n");
    }
    out.extend(b".\r\n");
    out
}

/// The slow twin of `TOP`: octets of `mail` up to `lines` lines of its body.
fn top(mail: &[u8], lines: usize) -> usize {
    let all: Vec<&[u8]> = mail.split_inclusive(|&octet| octet == b'\n').collect();
    let blank = |line: &&[u8]| *line == b"\n" || *line == b"\r\n";
    let header = all.iter().position(blank).map_or(all.len(), |at| at + 1);
    all.iter().take(header + lines).map(|line| line.len()).sum()
}

/// All strings over `a . CR LF` of up to six octets, the empty one too.
fn small_mails() -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..6 {
        let to = all.len();
        for at in from..to {
            for &octet in b"a.\r\n" {
                let mut mail = all[at].clone();
                mail.push(octet);
                all.push(mail);
            }
        }
        from = to;
    }
    all
}

#[test]
fn every_small_mail_is_sent_as_its_slow_twin_says() {
    let mails = small_mails();
    let borrowed: Vec<&[u8]> = mails.iter().map(Vec::as_slice).collect();
    let mut talk = Talk::in_transaction(Twin::of(&borrowed), OPTIONS);
    let mut input = String::new();
    let mut expected = Vec::new();
    let mut whole = Vec::new();
    for (number, mail) in (1..).zip(&mails) {
        input += &format!("RETR {number}\r\n");
        expected.extend(format!("+OK {} octets\r\n", mail.len()).as_bytes());
        expected.extend(stuffed(mail));
        whole.push(number);
        for lines in [0, 1, 2, 99_999_999] {
            input += &format!("TOP {number} {lines}\r\n");
            let part = top(mail, lines);
            expected.extend(b"+OK\r\n");
            expected.extend(stuffed(&mail[..part]));
            if part == mail.len() {
                whole.push(number);
            }
        }
    }
    talk.run(input.as_bytes(), 64, 4096);
    assert!(talk.said == expected);
    assert_eq!(talk.twin.whole, whole);
    assert_eq!(talk.events.len(), whole.len());
}

/// A mail larger than the link, with dots where they cost most.
fn large_mail() -> Vec<u8> {
    let mut mail = b"Subject: large\r\n\r\n".to_vec();
    for line in 0..6000 {
        mail.extend(format!("{}{line}\r\n", ".".repeat(line % 3)).as_bytes());
        mail.extend(b"\n.\n.\n.".repeat(line % 5));
    }
    mail
}

#[test]
fn a_large_mail_streams_and_the_line_never_idles() {
    let mail = large_mail();
    let two: [&[u8]; 2] = [&mail, &mail];
    for drain in [1, 100, 1000, 8192] {
        let mut talk = Talk::in_transaction(Twin::of(&two), OPTIONS);
        talk.link.feed(b"RETR 1\r\nRETR 2\r\nNOOP\r\n");
        let mut expected = Vec::new();
        for _ in 0..2 {
            expected.extend(format!("+OK {} octets\r\n", mail.len()).as_bytes());
            expected.extend(stuffed(&mail));
        }
        expected.extend(b"+OK\r\n");
        talk.turn(0);
        while talk.said.len() + LINK_OCTETS < expected.len() {
            // Whatever drains in one turn, there is more to say.
            assert!(talk.link.room() < REPLY_OCTETS);
            talk.turn(drain);
        }
        talk.settle(drain);
        assert!(talk.said == expected, "drain {drain}");
        assert_eq!(talk.twin.whole, [1, 2]);
    }
}

#[test]
fn listings_longer_than_the_link_are_whole() {
    let mails: Vec<&[u8]> = vec![b"x"; 2000];
    for drain in [1, 13, 8192] {
        let mut talk = Talk::in_transaction(Twin::of(&mails), OPTIONS);
        talk.run(b"DELE 7\r\nUIDL\r\nLIST\r\n", 64, drain);
        let mut expected = String::from("+OK\r\n+OK\r\n");
        let kept = || (1..=2000).filter(|&number| number != 7);
        expected.extend(kept().map(|number| format!("{number} ab{number:04}\r\n")));
        expected += ".\r\n+OK\r\n";
        expected.extend(kept().map(|number| format!("{number} 1\r\n")));
        expected += ".\r\n";
        assert_eq!(String::from_utf8_lossy(&talk.said), expected);
    }
}

/// What a UIDL line costs: the figure of the poll of a small mailbox is mostly this.
#[test]
fn a_unique_id_line_has_at_most_twelve_octets_up_to_message_999() {
    let mails: Vec<&[u8]> = vec![b"x"; 999];
    let mut talk = Talk::in_transaction(Twin::of(&mails), OPTIONS);
    let said = talk.ask("UIDL\r\n");
    let lines = said.split_inclusive('\n');
    assert_eq!(lines.clone().map(str::len).max(), Some(12));
    assert_eq!(lines.count(), 1001);
    assert_eq!(said.len(), 5 + 9 * 10 + 90 * 11 + 900 * 12 + 3);
}

#[test]
fn lines_have_255_octets_at_most() {
    let mut talk = Talk::in_transaction(Twin::of(&MAILS), OPTIONS);
    let padded = |octets: usize| format!("NOOP{}\r\n", " ".repeat(octets - 6));
    assert_eq!(talk.ask(&padded(255)), "+OK\r\n");
    assert_eq!(talk.ask(&padded(256)), "-ERR line too long\r\n");
    assert_eq!(talk.ask(&padded(9000)), "-ERR line too long\r\n");
    assert_eq!(talk.ask("NOOP\0\r\n"), "-ERR control character in line\r\n");
    assert_eq!(talk.ask("NO\rOP\r\n"), "-ERR control character in line\r\n");
    assert_eq!(talk.ask("NOOP\r\n"), "+OK\r\n");
}

#[test]
fn capa_says_what_becomes_of_mail_before_and_after_the_login() {
    let options = Options {
        expire_zero: true,
        ..OPTIONS
    };
    let mut talk = Talk::new(Twin::of(&MAILS), options);
    assert!(talk.ask("CAPA\r\n").contains("\r\nEXPIRE 0 USER\r\n.\r\n"));
    talk.ask("USER bob\r\nPASS secret\r\n");
    assert!(talk.ask("CAPA\r\n").contains("\r\nEXPIRE NEVER\r\n.\r\n"));

    let mut server = super::Server::new(talk.now, options);
    let mut link = Link::new();
    server.greet(talk.now, &mut link, "", "");
    link.feed(b"USER bob\r\nPASS secret\r\n");
    while server
        .step::<Twin>(talk.now, &mut link, false, None)
        .is_some()
    {}
    server.admit(talk.now, &mut link, true);
    link.feed(b"CAPA\r\n");
    let twin = Some(&mut talk.twin);
    assert_eq!(server.step(talk.now, &mut link, false, twin), None);
    let said = String::from_utf8_lossy(link.output());
    assert!(said.starts_with("+OK ringmail ready\r\n"));
    assert!(said.ends_with("\r\nEXPIRE 0\r\n.\r\n"), "{said}");
}

/// Design 2.8: after `+OK`, a message that cannot be read is never ended by a dot.
#[test]
fn a_message_that_fails_at_any_octet_ends_the_call_without_a_dot() {
    let mail = MAILS[0];
    for at in 0..mail.len() {
        for short in [false, true] {
            for command in ["RETR 1\r\n", "TOP 1 99\r\n"] {
                let mut twin = Twin::of(&MAILS);
                if short {
                    twin.short_at = Some(at);
                } else {
                    twin.fault_at = Some(at as u64);
                }
                let mut talk = Talk::in_transaction(twin, OPTIONS);
                talk.link.feed(b"DELE 2\r\n");
                talk.link.feed(command.as_bytes());
                talk.link.feed(b"QUIT\r\n");
                talk.settle(8192);
                assert_eq!(talk.ended, Some(EndReason::StoreFault));
                assert_eq!(talk.twin.commits, 0);
                assert!(talk.twin.whole.is_empty());
                let said = [&talk.said[..], talk.link.output()].concat();
                assert!(!said.ends_with(b"\r\n.\r\n"), "{said:?}");
            }
        }
    }
    // What lies behind the part that was asked for may fail.
    let mut twin = Twin::of(&[&large_mail()]);
    twin.fault_at = Some(9000);
    let mut talk = Talk::in_transaction(twin, OPTIONS);
    let said = talk.ask("TOP 1 1\r\n");
    assert!(said.ends_with("\r\n.\r\n"), "{said}");
    assert_eq!(talk.ended, None);
}

#[test]
fn a_message_not_to_be_had_now_is_an_error_and_the_session_goes_on() {
    let mut twin = Twin::of(&MAILS);
    twin.unavailable = Some(2);
    let mut talk = Talk::in_transaction(twin, OPTIONS);
    let refusal = "-ERR [SYS/TEMP] message not available now\r\n";
    assert_eq!(talk.ask("RETR 2\r\n"), refusal);
    assert_eq!(talk.ask("TOP 2 0\r\n"), refusal);
    assert!(talk.ask("RETR 3\r\n").starts_with("+OK 16 octets\r\n"));
    assert_eq!(talk.ask("QUIT\r\n"), "+OK\r\n");
}

#[test]
fn a_commit_that_fails_is_told_and_takes_nothing() {
    for pending in 0..3 {
        let mut twin = Twin::of(&MAILS);
        twin.commit_fails = true;
        twin.pending = pending;
        let mut talk = Talk::in_transaction(twin, OPTIONS);
        talk.ask("DELE 1\r\n");
        assert_eq!(
            talk.ask("QUIT\r\n"),
            "-ERR [SYS/TEMP] nothing was deleted\r\n"
        );
        assert_eq!(talk.ended, Some(EndReason::StoreFault));
        assert_eq!(talk.twin.taken, None);
        assert_eq!(talk.twin.commits, pending + 1);
    }
}

/// A session without its maildrop is our own fault, and no reason to guess.
#[test]
fn a_maildrop_that_is_gone_ends_the_session() {
    let mut talk = Talk::in_transaction(Twin::of(&MAILS), OPTIONS);
    let event = talk
        .server
        .step::<Twin>(talk.now, &mut talk.link, true, None);
    assert_eq!(event, Some(super::Event::Ended(EndReason::StoreFault)));
}

/// `commit dele` (design 2.7).
mod commit_dele {
    use super::*;

    fn server_in_transaction() -> Talk {
        let mut twin = Twin::of(&MAILS);
        twin.commit_dele = true;
        Talk::in_transaction(twin, OPTIONS)
    }

    fn confirmed(script: &[&str]) -> Vec<u32> {
        let mut talk = server_in_transaction();
        talk.lag = 2;
        for &line in script {
            talk.ask(line);
        }
        talk.twin.confirmed
    }

    #[test]
    fn a_later_command_confirms_what_was_read_and_noise_does_not() {
        assert!(confirmed(&["DELE 1\r\n"]).is_empty());
        for command in [
            "NOOP\r\n",
            "DELE 3\r\n",
            "STAT\r\n",
            "RETR 2\r\n",
            "RETR 9\r\n",
        ] {
            assert_eq!(confirmed(&["DELE 1\r\n", command]), [1], "{command}");
        }
        for noise in ["\r\n", "NO CARRIER\r\n", "\0\r\n", "NOO", "~~~\r\n"] {
            assert!(confirmed(&["DELE 1\r\n", noise]).is_empty(), "{noise}");
            assert_eq!(confirmed(&["DELE 1\r\n", noise, "\r\nNOOP\r\n"]), [1]);
        }
        assert_eq!(
            confirmed(&["DELE 1\r\n", "DELE 2\r\n", "DELE 3\r\n"]),
            [1, 2]
        );
    }

    #[test]
    fn what_was_pipelined_waits_for_quit() {
        assert!(confirmed(&["DELE 1\r\nDELE 2\r\nNOOP\r\n"]).is_empty());
        assert_eq!(
            confirmed(&["DELE 1\r\nDELE 2\r\nNOOP\r\n", "NOOP\r\n"]),
            [1, 2]
        );
        // The first octet decides.
        assert!(confirmed(&["DELE 1\r\nNO", "OP\r\n"]).is_empty());
        assert!(confirmed(&["DELE 1\r\nN", "OOP\r\n"]).is_empty());
        assert_eq!(confirmed(&["DELE 1\r\nNO", "OP\r\n", "NOOP\r\n"]), [1]);
    }

    #[test]
    fn reset_takes_back_what_no_other_command_confirmed() {
        assert!(confirmed(&["DELE 1\r\n", "RSET\r\n", "NOOP\r\n"]).is_empty());
        let script = [
            "DELE 1\r\n",
            "NOOP\r\n",
            "DELE 2\r\n",
            "RSET\r\n",
            "NOOP\r\n",
        ];
        assert_eq!(confirmed(&script), [1]);
    }

    /// The gateway steps again after an event, with the same `drained`.
    #[test]
    fn a_reply_put_since_the_drain_is_on_its_way() {
        let mut talk = server_in_transaction();
        talk.link.feed(b"DELE 1\r\nRETR 3\r\n");
        talk.turn(0);
        assert_eq!(talk.events, ["sent 3 16"]);
        talk.link.feed(b"NOOP\r\n");
        talk.settle(8192);
        assert_eq!(talk.twin.confirmations, 0);
    }

    #[test]
    fn each_reply_is_confirmed_once_and_what_was_taken_back_never() {
        let mut talk = server_in_transaction();
        for line in ["NOOP\r\n", "DELE 1\r\n", "RSET\r\n", "NOOP\r\n"] {
            talk.ask(line);
        }
        assert_eq!(talk.twin.confirmations, 0);
        for line in [
            "DELE 1\r\n",
            "NOOP\r\n",
            "NOOP\r\n",
            "DELE 1\r\n",
            "NOOP\r\n",
        ] {
            talk.ask(line);
        }
        assert_eq!(talk.twin.confirmations, 1);
    }

    /// The next command comes while the reply is on its way: at no octet of it does it confirm.
    #[test]
    fn nothing_is_confirmed_while_a_reply_is_on_its_way() {
        for drain in 1..=6 {
            for before in 0..12 {
                let mut talk = server_in_transaction();
                talk.lag = 3;
                talk.link.feed(b"DELE 1\r\n");
                for _ in 0..before {
                    talk.turn(drain);
                }
                // Known to have drained from the turn on in which the engine was told.
                let told = talk.link.output().is_empty()
                    && before > 1 + 5_usize.div_ceil(drain) + talk.lag - 1;
                talk.link.feed(b"NOOP\r\n");
                talk.settle(drain);
                assert_eq!(
                    !talk.twin.confirmed.is_empty(),
                    told,
                    "drain {drain}, {before} turns"
                );
            }
        }
    }
}

/// Any octets, with and without commands among them: no panic, and an end.
#[test]
fn noise_never_breaks_it() {
    let mut seed = 0x5eed_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % below
    };
    let words = [
        "USER ",
        "PASS ",
        "bob",
        "secret",
        "RETR ",
        "TOP ",
        "DELE ",
        "LIST",
        "UIDL ",
        "STAT",
        "RSET",
        "NOOP",
        "CAPA",
        " ",
        "1",
        "2",
        "3",
        "99999999999",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\0",
        "\u{fc}",
        "USER bob\r\nPASS secret\r\n",
    ];
    for round in 0..3000 {
        let mut talk = talk();
        let mut input = Vec::new();
        for _ in 0..random(60) {
            if random(10) == 0 {
                input.push(u8::try_from(random(256)).unwrap());
            } else {
                input.extend(words[random(words.len())].as_bytes());
            }
        }
        talk.run(&input, 1 + random(20), 1 + random(100));
        assert_eq!(talk.twin.commits, 0, "round {round}: there was no QUIT");
        assert!(talk.said.ends_with(b"\r\n"));
        talk.pass(OPTIONS.idle);
        talk.turn(8192);
        assert!(talk.ended.is_some());
    }
}
