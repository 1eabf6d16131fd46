//! `AUTH` (RFC 5034): what cannot be written down as a transcript.

use super::MAILS;
use super::twin::{Bob, OPTIONS, Talk, Twin};
use crate::pop3::command::COMMAND_OCTETS;
use crate::pop3::server::{EndReason, RESPONSE_OCTETS};
use crate::sasl::client::{Client, Credentials, Progress};
use crate::sasl::server::Passwords;
use crate::sasl::{Line, Mechanism};

fn talk() -> Talk {
    let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
    talk.ask("");
    talk
}

/// The dialogue of our own client with our own server; how many lines the caller said.
fn log_in(mechanism: Mechanism, initial: bool, login: &str, chunk: usize) -> (Talk, String, usize) {
    let mut talk = talk();
    let password = Bob.password("bob").unwrap();
    let who = Credentials { login, password };
    let mut client = Client::new(mechanism, [9; 18]);
    let mut out = Line::new();
    let mut lines = 1;
    let mut line = format!("AUTH {mechanism}\r\n");
    if initial && mechanism != Mechanism::CramMd5 {
        client.respond(who, b"", &mut out).unwrap();
        line = format!("AUTH {mechanism} {out}\r\n");
    }
    loop {
        let from = talk.said.len();
        talk.run(line.as_bytes(), chunk, 8192);
        let said = String::from_utf8(talk.said[from..].to_vec()).unwrap();
        let Some(challenge) = said.strip_prefix("+ ") else {
            return (talk, said, lines);
        };
        let mut progress = client
            .respond(who, challenge.trim_end().as_bytes(), &mut out)
            .unwrap();
        while progress == Progress::Working {
            progress = client.work(who, &mut out).unwrap();
        }
        line = format!("{out}\r\n");
        lines += 1;
    }
}

#[test]
fn every_mechanism_logs_in_with_and_without_an_initial_response() {
    for mechanism in Mechanism::ALL {
        for initial in [false, true] {
            for chunk in [1, 2, 7, 64, 8192] {
                let (mut talk, said, lines) = log_in(mechanism, initial, "bob", chunk);
                assert_eq!(said, "+OK\r\n", "{mechanism}");
                assert_eq!(talk.ask("STAT\r\n"), "+OK 3 98\r\n");
                let saved = usize::from(initial && mechanism != Mechanism::CramMd5);
                let turns = match mechanism {
                    Mechanism::Plain | Mechanism::CramMd5 => 2,
                    Mechanism::Login => 3,
                    Mechanism::ScramSha256 => 4,
                };
                assert_eq!(
                    lines,
                    turns - saved,
                    "{mechanism}: a turn is a fifth of a second"
                );
            }
        }
    }
}

/// The same words at the same place, whether or not there is such an account.
#[test]
fn a_login_that_nobody_has_is_refused_as_a_wrong_password_is() {
    for mechanism in Mechanism::ALL {
        let (talk, said, lines) = log_in(mechanism, true, "ann", 8192);
        assert_eq!(said, "-ERR [AUTH] wrong name or password\r\n");
        assert_eq!(talk.ended, None);
        let (_, _, known) = log_in(mechanism, true, "bob", 8192);
        // SCRAM ends with an empty line, once our own proof was seen.
        let last = usize::from(mechanism == Mechanism::ScramSha256);
        assert_eq!(lines, known - last);
    }
}

#[test]
fn wrong_proofs_of_all_kinds_are_counted_together() {
    let mut talk = talk();
    talk.ask("APOP bob 00000000000000000000000000000000\r\n");
    talk.ask("AUTH PLAIN AGJvYgBubw==\r\n");
    let said = talk.ask("USER bob\r\nPASS no\r\n");
    assert_eq!(said, "+OK\r\n-ERR [AUTH] too many wrong passwords\r\n");
    assert_eq!(talk.ended, Some(EndReason::LoginFailures));
}

#[test]
fn breaking_off_is_an_error_that_is_counted() {
    let mut talk = talk();
    let mut turns = 0;
    while talk.ended.is_none() {
        talk.ask("AUTH PLAIN\r\n*\r\n");
        turns += 1;
        assert!(turns <= 50);
    }
    assert_eq!(talk.ended, Some(EndReason::TooManyErrors));
}

/// RFC 5034 §4: a command has 255 octets, a response as many as the mechanisms need.
#[test]
fn responses_may_be_longer_than_commands() {
    for octets in [COMMAND_OCTETS - 10, COMMAND_OCTETS + 50, RESPONSE_OCTETS] {
        let mut talk = talk();
        assert_eq!(talk.ask("AUTH PLAIN\r\n"), "+ \r\n");
        let line = "A".repeat(octets / 4 * 4);
        let said = talk.ask(&format!("{line}\r\n"));
        assert_eq!(
            said, "-ERR not a response of this mechanism\r\n",
            "NULs only"
        );
    }
    let mut talk = talk();
    talk.ask("AUTH PLAIN\r\n");
    let line = "A".repeat(RESPONSE_OCTETS + 4);
    let said = talk.ask(&format!("{line}\r\n"));
    assert_eq!(said, "-ERR not a response of this mechanism\r\n");
    assert_eq!(talk.ask("CAPA\r\n").lines().next(), Some("+OK"));
    let initial = "A".repeat(COMMAND_OCTETS);
    let said = talk.ask(&format!("AUTH PLAIN {initial}\r\n"));
    assert_eq!(said, "-ERR line too long\r\n");
}

#[test]
fn what_is_no_base64_ends_the_exchange() {
    for noise in [
        "",
        "=",
        "abc",
        "a===",
        "\0\0\0\0",
        "gr\u{fc}n",
        "QUIT",
        "* ",
    ] {
        for mechanism in ["CRAM-MD5", "SCRAM-SHA-256", "PLAIN"] {
            let mut talk = talk();
            talk.ask(&format!("AUTH {mechanism}\r\n"));
            let said = talk.ask(&format!("{noise}\r\n"));
            assert_eq!(
                said, "-ERR not a response of this mechanism\r\n",
                "{noise:?}"
            );
            assert_eq!(talk.ask("QUIT\r\n"), "+OK\r\n");
        }
    }
}

/// A response that waits behind its command, as a client sends it that does not wait.
#[test]
fn an_exchange_may_be_pipelined() {
    let mut talk = talk();
    let said = talk.ask("AUTH PLAIN\r\nAGJvYgBzZWNyZXQ=\r\nSTAT\r\n");
    assert_eq!(said, "+ \r\n+OK\r\n+OK 3 98\r\n");
}

#[test]
fn a_challenge_waits_for_its_caller_no_longer_than_a_login_may_take() {
    let mut talk = talk();
    talk.ask("AUTH LOGIN\r\n");
    talk.pass(OPTIONS.idle);
    talk.ask("");
    talk.ask("");
    assert_eq!(talk.ended, Some(EndReason::Autologout));
}

/// RFC 4422 §5: a mechanism whose server speaks first takes no initial response.
#[test]
fn an_initial_response_where_the_server_speaks_first_is_refused() {
    for initial in ["=", "AGJvYgBzZWNyZXQ="] {
        let said = talk().ask(&format!("AUTH CRAM-MD5 {initial}\r\n"));
        assert_eq!(said, "-ERR not a response of this mechanism\r\n");
    }
}

#[test]
fn nobody_acts_for_somebody_else() {
    // ann NUL bob NUL secret; then bob NUL bob NUL secret.
    let said = talk().ask("AUTH PLAIN YW5uAGJvYgBzZWNyZXQ=\r\n");
    assert_eq!(said, "-ERR [AUTH] wrong name or password\r\n");
    assert_eq!(talk().ask("AUTH PLAIN Ym9iAGJvYgBzZWNyZXQ=\r\n"), "+OK\r\n");
}
