//! Limits of time and of errors.

use super::twin::{OPTIONS, Talk, Twin};
use super::{MAILS, large_mail};
use crate::link::Link;
use crate::pop3::server::{EndReason, Event, Options, Proof, Refusal, Server, Stranger};
use hal::time::Instant;
use hal::{ByteStream, Duration, StreamError};

fn server_in_transaction() -> Talk {
    Talk::in_transaction(Twin::of(&MAILS), OPTIONS)
}

#[test]
fn twenty_errors_in_a_row_end_the_session_before_and_after_the_login() {
    for logged_in in [false, true] {
        let too_many = EndReason::TooManyErrors;
        for (bad, reason) in [
            ("\r\n", EndReason::Stranger(Stranger::EmptyLines)),
            ("AT+FCLASS\r\n", too_many),
            ("\0\r\n", EndReason::Stranger(Stranger::Noise)),
            ("\u{fc}~\r\n", EndReason::Stranger(Stranger::Noise)),
            ("RETR x\r\n", too_many),
            ("PASS x\r\n", too_many),
        ] {
            let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
            if logged_in {
                talk = server_in_transaction();
            }
            talk.settle(8192);
            for _ in 0..19 {
                assert!(talk.ask(bad).starts_with("-ERR "));
                assert_eq!(talk.ended, None);
            }
            assert_eq!(talk.ask("CAPA\r\n").split_once('\r').unwrap().0, "+OK");
            for _ in 0..19 {
                talk.ask(bad);
                assert_eq!(talk.ended, None);
            }
            assert_eq!(talk.ask(bad), "-ERR too many errors\r\n");
            assert_eq!(talk.ended, Some(reason));
            assert_eq!(talk.twin.commits, 0);
        }
    }
}

/// A line of 10 MB is not read to its end, wherever it comes and however it is cut.
#[test]
fn a_line_without_an_end_is_hung_up_on_within_some_kilobytes() {
    for logged_in in [false, true] {
        for (octet, stranger) in [
            (b'A', Stranger::Flood),
            (b' ', Stranger::Flood),
            (0, Stranger::Noise),
            (0xa5, Stranger::Noise),
            (0x55 | 0x80, Stranger::Noise),
        ] {
            for chunk in [1, 100, 254, 4000, 8192] {
                let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
                if logged_in {
                    talk = server_in_transaction();
                }
                let mut taken = 0;
                while talk.ended.is_none() {
                    taken += talk.link.feed(&vec![octet; chunk]);
                    talk.turn(8192);
                    assert!(taken < 40_000, "{octet:#x} in chunks of {chunk}");
                }
                assert_eq!(talk.ended, Some(EndReason::Stranger(stranger)));
                assert_eq!(talk.twin.commits, 0);
                assert!(talk.said.ends_with(b"-ERR line too long\r\n"));
            }
        }
    }
}

/// Lines of any length, none of them a command: bounded in lines and in octets.
#[test]
fn a_flood_of_lines_ends_the_session() {
    for length in [0, 1, 10, 100, 253, 254, 300, 1000, 7000, 20_000] {
        let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
        let mut line = vec![b'x'; length];
        line.extend(b"\r\n");
        let mut taken = 0;
        while talk.ended.is_none() {
            for part in line.chunks(4000) {
                taken += talk.link.feed(part);
                talk.turn(8192);
            }
            assert!(taken < 60_000, "lines of {length}");
        }
        assert!(talk.twin.taken.is_none());
    }
}

#[test]
fn other_protocols_are_named_and_hung_up_on_without_a_word() {
    let first = |octets: &[u8], stranger| (octets.to_vec(), stranger);
    for (said, stranger) in [
        first(b"\xff\xfd\x03\xff\xfb\x18", Stranger::Telnet),
        first(
            b"~\xff}#\xc0!}!}!} }4}\"}&} } } } }%}&\x8c!~",
            Stranger::Ppp,
        ),
        first(b"\r\r**EMSI_INQC816\r", Stranger::FidoNet),
        first(b"\xf1\xae\xf1\xae", Stranger::FidoNet),
        first(b"\xff\xc8\x01\x00", Stranger::Fax),
        first(b"+FCON\r\n", Stranger::Fax),
        first(b"\x16\x03\x01\x02\x00\x01", Stranger::Tls),
        first(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Stranger::Web),
        first(b"EHLO there\r\n", Stranger::Smtp),
        first(b"SSH-2.0-x\r\n", Stranger::Ssh),
    ] {
        for chunk in 1..said.len() {
            let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
            talk.run(&said, chunk, 7);
            assert_eq!(talk.ended, Some(EndReason::Stranger(stranger)), "{said:?}");
            let said = String::from_utf8_lossy(&talk.said);
            // Wake-up octets may have been answered.
            let lines: Vec<_> = said.lines().skip(1).collect();
            assert!(
                lines.iter().all(|line| *line == "-ERR empty line"),
                "{said}"
            );
        }
    }
    // A client is not doubted any more once it has said a command.
    let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
    talk.ask("CAPA\r\n");
    assert_eq!(talk.ask("EHLO there\r\n"), "-ERR unknown command\r\n");
    assert_eq!(talk.ended, None);
}

/// Somebody who says something now and then but never logs in does not hold the line for long.
#[test]
fn who_never_logs_in_is_hung_up_on() {
    let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
    let mut waited = Duration::ZERO;
    while talk.ended.is_none() {
        talk.ask("CAPA\r\n");
        talk.pass(Duration::from_secs(50));
        waited += Duration::from_secs(50);
        assert!(waited <= OPTIONS.idle + Duration::from_secs(50));
    }
    assert_eq!(talk.ended, Some(EndReason::NoLogin));
    // Nobody is cut off who has logged in, or whose password is being looked at.
    let mut talk = server_in_transaction();
    talk.pass(OPTIONS.idle - Duration::from_secs(1));
    assert_eq!(talk.ask("NOOP\r\n"), "+OK\r\n");
    talk.pass(Duration::from_secs(2));
    assert_eq!(talk.ask("NOOP\r\n"), "+OK\r\n");
}

#[test]
fn fifty_errors_in_all_end_the_session() {
    let mut talk = server_in_transaction();
    for _ in 0..49 {
        talk.ask("NOOP\r\nWHAT\r\n");
        assert_eq!(talk.ended, None);
    }
    assert_eq!(talk.ask("WHAT\r\nNOOP\r\n"), "-ERR too many errors\r\n");
    assert_eq!(talk.ended, Some(EndReason::TooManyErrors));
}

/// A message that is not there is no fault of the line: fetchmail searches by such questions.
#[test]
fn numbers_out_of_range_are_no_errors_of_that_kind() {
    let mut talk = server_in_transaction();
    for _ in 0..200 {
        assert_eq!(talk.ask("UIDL 4\r\n"), "-ERR no such message\r\n");
    }
    assert_eq!(talk.ended, None);
}

#[test]
fn names_without_passwords_are_counted() {
    let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
    for _ in 0..100 {
        talk.ask("USER ann\r\n");
    }
    assert_eq!(talk.ended, Some(EndReason::TooManyErrors));
    assert_eq!(talk.events.len(), 20 + 1);
}

#[test]
fn wrong_passwords_are_limited_and_other_refusals_are_not() {
    for login_failures in 0..=4 {
        let options = Options {
            login_failures,
            ..OPTIONS
        };
        let mut talk = Talk::new(Twin::of(&MAILS), options);
        for secret in ["busy", "broken", "busy", "busy", "busy"] {
            talk.ask(&format!("USER bob\r\nPASS {secret}\r\n"));
        }
        for _ in 1..login_failures {
            let said = talk.ask("USER bob\r\nPASS no\r\n");
            assert_eq!(said, "+OK\r\n-ERR [AUTH] wrong name or password\r\n");
            assert_eq!(talk.ended, None);
        }
        let said = talk.ask("USER bob\r\nPASS no\r\nUSER bob\r\nPASS secret\r\n");
        assert_eq!(said, "+OK\r\n-ERR [AUTH] too many wrong passwords\r\n");
        assert_eq!(talk.ended, Some(EndReason::LoginFailures));
    }
}

#[test]
fn nothing_is_read_until_a_password_is_answered_and_late_answers_do_nothing() {
    let now = Instant::ZERO;
    let mut server = Server::new(now, OPTIONS);
    let mut link = Link::new();
    server.greet(now, &mut link, "gate", "");
    link.take_output(usize::MAX);
    link.feed(b"USER bob\r\nPASS a b\r\nSTAT\r\nQUIT\r\n");
    let mut events = Vec::new();
    while let Some(event) = server.step::<Twin>(now, &mut link, true, None) {
        events.push(event);
    }
    assert!(
        matches!(&events[..], [Event::User(_), Event::Proof { proof: Proof::Password(secret), .. }]
        if secret.reveal() == "a b")
    );
    assert!(
        !format!("{events:?}").contains("a b"),
        "passwords are never shown"
    );
    assert_eq!(link.output(), b"+OK\r\n");
    assert_eq!(link.peek(), b"STAT\r\nQUIT\r\n");
    link.take_output(usize::MAX);

    let late = now + OPTIONS.idle;
    let ended = server.step::<Twin>(late, &mut link, true, None);
    assert_eq!(ended, None, "the drain has moved: not idle yet");
    let late = late + OPTIONS.idle;
    let ended = server.step::<Twin>(late, &mut link, true, None);
    assert_eq!(ended, Some(Event::Ended(EndReason::Autologout)));
    server.admit(late, &mut link, false);
    server.refuse(late, &mut link, Refusal::Password);
    assert!(link.output().is_empty());
    assert_eq!(server.step::<Twin>(late, &mut link, true, None), None);
    assert_eq!(server.deadline(), None);
}

#[test]
fn the_idle_limit_is_autologout_without_commit_and_without_a_word() {
    let mut talk = server_in_transaction();
    talk.ask("DELE 1\r\n");
    for _ in 0..5 {
        talk.pass(OPTIONS.idle - Duration::from_millis(500));
        assert_eq!(talk.ask("NOOP\r\n"), "+OK\r\n");
    }
    talk.pass(OPTIONS.idle);
    assert_eq!(talk.ask(""), "");
    assert_eq!(talk.ended, Some(EndReason::Autologout));
    assert_eq!(talk.twin.commits, 0);
}

/// A single octet that drains is life; octets that come while nothing drains are not.
#[test]
fn while_output_waits_only_what_drains_counts() {
    let mail = large_mail();
    let mut talk = Talk::in_transaction(Twin::of(&[&mail]), OPTIONS);
    talk.link.feed(b"RETR 1\r\n");
    talk.turn(0);
    let step = OPTIONS.idle - Duration::from_secs(1);
    for _ in 0..1000 {
        talk.pass(step);
        talk.turn(1);
        assert_eq!(talk.ended, None, "the call limit cuts no message");
    }
    for _ in 0..2 {
        talk.link.feed(b"x");
        talk.pass(step);
        talk.turn(0);
    }
    assert_eq!(talk.ended, Some(EndReason::Autologout));
}

#[test]
fn who_talks_and_never_reads_is_idle() {
    let mut talk = server_in_transaction();
    talk.link.feed(b"NOOP\r\n");
    talk.turn(0);
    for _ in 0..2 {
        talk.link.feed(b"NOOP\r\n");
        talk.pass(OPTIONS.idle - Duration::from_secs(60));
        talk.turn(0);
    }
    assert_eq!(talk.ended, Some(EndReason::Autologout));
}

/// Takes all at once, and holds it as the kernel does before a slow line.
struct Holding(usize);

impl ByteStream for Holding {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, StreamError> {
        Ok(0)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.0 += octets.len();
        Ok(octets.len())
    }

    fn pending(&mut self) -> usize {
        self.0
    }
}

#[test]
fn what_drains_from_the_kernel_counts_as_well() {
    let mut now = Instant::ZERO;
    let mut server = Server::new(now, OPTIONS);
    let mut link = Link::new();
    let mut line = Holding(0);
    server.greet(now, &mut link, "gate", "");
    loop {
        link.exchange(&mut line).unwrap();
        let event = server.step::<Twin>(now, &mut link, false, None);
        assert_eq!(event, None);
        if line.0 == 0 {
            break;
        }
        now = now + (OPTIONS.idle - Duration::from_secs(1));
        line.0 -= 5.min(line.0);
    }
    now = now + OPTIONS.idle;
    let event = server.step::<Twin>(now, &mut link, true, None);
    // That nobody logs in was decided long before.
    assert_eq!(event, Some(Event::Ended(EndReason::NoLogin)));
}

#[test]
fn the_call_limit_ends_the_session_at_the_next_boundary_without_commit() {
    let mail = large_mail();
    let mut talk = Talk::in_transaction(Twin::of(&[&mail, b""]), OPTIONS);
    talk.link.feed(b"DELE 2\r\nRETR 1\r\nQUIT\r\n");
    talk.turn(0);
    // The limit passes while the message drains.
    let mut turns = 0;
    while talk.ended.is_none() {
        talk.pass(Duration::from_secs(300));
        talk.turn(1000);
        turns += 1;
    }
    assert!(turns > 7200 / 300);
    assert_eq!(talk.ended, Some(EndReason::CallLimit));
    assert!(talk.said.ends_with(b"\r\n.\r\n"));
    assert_eq!(talk.twin.whole, [1]);
    assert_eq!(talk.twin.commits, 0, "the QUIT behind it was not read");

    let mut talk = server_in_transaction();
    for _ in 0..7200 / 500 {
        talk.pass(Duration::from_secs(500));
        talk.ask("NOOP\r\n");
    }
    talk.pass(Duration::from_secs(500));
    assert_eq!(talk.ask("NOOP\r\n"), "");
    assert_eq!(talk.ended, Some(EndReason::CallLimit));
}

#[test]
fn a_quit_that_was_read_is_finished_though_the_call_limit_passes() {
    let mut talk = server_in_transaction();
    talk.twin.pending = 1;
    talk.link.feed(b"DELE 1\r\nQUIT\r\n");
    talk.turn(0);
    for _ in 0..20 {
        talk.pass(Duration::from_secs(590));
        talk.turn(1);
    }
    assert_eq!(talk.ended, Some(EndReason::Quit));
    assert_eq!(talk.twin.taken, Some(vec![1]));
}

#[test]
fn a_maildrop_that_is_never_ready_holds_the_line_no_longer_than_the_idle_limit() {
    let mut talk = server_in_transaction();
    talk.twin.pending = usize::MAX / 2;
    talk.link.feed(b"RETR 1\r\n");
    talk.turn(8192);
    talk.pass(OPTIONS.idle);
    talk.turn(0);
    talk.turn(8192);
    assert_eq!(talk.said, b"-ERR [SYS/TEMP] message not available now\r\n");
    talk.said.clear();
    talk.link.feed(b"QUIT\r\n");
    talk.turn(8192);
    talk.turn(8192);
    assert!(talk.twin.commits > 0);
    talk.pass(OPTIONS.idle);
    talk.turn(0);
    talk.turn(8192);
    assert_eq!(talk.said, b"-ERR [SYS/TEMP] nothing was deleted\r\n");
    talk.turn(8192);
    assert_eq!(talk.ended, Some(EndReason::StoreFault));
}

/// While the maildrop fetches, the caller cannot but wait.
#[test]
fn the_caller_is_not_idle_while_a_message_is_made_ready() {
    let mut talk = server_in_transaction();
    talk.twin.pending = 20;
    talk.link.feed(b"RETR 3\r\n");
    for _ in 0..19 {
        talk.pass(Duration::from_secs(29));
        talk.turn(8192);
    }
    talk.pass(OPTIONS.idle - Duration::from_secs(29 * 19 + 1));
    talk.settle(8192);
    assert_eq!(talk.said, b"+OK 16 octets\r\nSubject: three\r\n.\r\n");
    assert_eq!(talk.ended, None);
}
