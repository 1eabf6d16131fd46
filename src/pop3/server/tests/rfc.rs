//! Sentences of the RFCs that the dialogues do not show by themselves. `tests/conformance.rs` says
//! which sentence is shown where.

use super::twin::{OPTIONS, STAMP, Talk, Twin};
use super::{MAILS, transcripts};
use crate::config::Limits;
use crate::pop3::command::Malformed;
use crate::pop3::reply::{Expire, Refusal, Reply};
use crate::pop3::server::EndReason;
use hal::Duration;

fn authorization() -> Talk {
    let mut talk = Talk::new(Twin::of(&MAILS), OPTIONS);
    talk.ask("");
    talk
}

fn transaction() -> Talk {
    Talk::in_transaction(Twin::of(&MAILS), OPTIONS)
}

fn replies() -> Vec<Reply<'static>> {
    let mut replies = vec![
        Reply::Greeting {
            hostname: "gate",
            stamp: STAMP,
        },
        Reply::Greeting {
            hostname: "",
            stamp: "",
        },
        Reply::Ok,
        Reply::Total {
            messages: 1,
            octets: 2,
        },
        Reply::Scan {
            number: 1,
            octets: 2,
        },
        Reply::UniqueId {
            number: 1,
            uid: "x",
        },
        Reply::Message { octets: 1 },
        Reply::Mechanisms,
        Reply::UnknownMechanism,
        Reply::Capabilities(Expire::Never),
        Reply::TooManyFailures,
        Reply::TooManyErrors,
        Reply::LogInFirst,
        Reply::UserFirst,
        Reply::LoggedIn,
        Reply::NoSuchMessage,
        Reply::Deleted,
        Reply::Unavailable,
        Reply::NotCommitted,
    ];
    replies.extend(REFUSALS.map(Reply::Refused));
    replies.extend(MALFORMED.map(Reply::Malformed));
    replies
}

const REFUSALS: [Refusal; 6] = [
    Refusal::Password,
    Refusal::InUse,
    Refusal::Temporary,
    Refusal::Permanent,
    Refusal::Cancelled,
    Refusal::Malformed,
];

const MALFORMED: [Malformed; 8] = [
    Malformed::Empty,
    Malformed::ControlOctet,
    Malformed::NotAscii,
    Malformed::Unknown,
    Malformed::Missing,
    Malformed::NotANumber,
    Malformed::TrailingWords,
    Malformed::TooLong,
];

#[test]
fn every_reply_begins_with_an_indicator_in_capitals_and_is_printable() {
    for reply in replies() {
        let text = reply.to_string();
        let rest = text
            .strip_prefix("+OK")
            .or_else(|| text.strip_prefix("-ERR"));
        let rest = rest.expect("an indicator");
        assert!(
            rest.is_empty() || rest.starts_with(' ') || rest.starts_with("\r\n"),
            "{text}"
        );
        let printable = |octet: u8| matches!(octet, b' '..=b'~' | b'\r' | b'\n');
        assert!(text.bytes().all(printable), "{text}");
    }
}

/// RFC 2449 §8: a text that begins with `[` is taken for a response code.
#[test]
fn only_registered_response_codes_stand_in_brackets_and_only_behind_err() {
    for reply in replies() {
        let text = reply.to_string();
        let code = text.split_once(" [").map(|(before, rest)| {
            assert_eq!(before, "-ERR", "{text}");
            rest.split(']').next().unwrap().to_owned()
        });
        let known = ["IN-USE", "LOGIN-DELAY", "SYS/TEMP", "SYS/PERM", "AUTH"];
        assert!(
            code.is_none_or(|code| known.contains(&code.as_str())),
            "{text}"
        );
    }
}

/// RFC 3206 §4 and §6: the code tells that the credentials are wrong, and nothing else does.
#[test]
fn wrong_credentials_and_nothing_else_are_told_by_the_code_auth() {
    for reply in replies() {
        let wrong = matches!(
            reply,
            Reply::Refused(Refusal::Password) | Reply::TooManyFailures
        );
        assert_eq!(
            reply.to_string().starts_with("-ERR [AUTH] "),
            wrong,
            "{reply:?}"
        );
    }
}

#[test]
fn every_command_out_of_its_state_is_refused_and_the_state_stays() {
    let mut talk = authorization();
    for command in [
        "STAT", "LIST", "LIST 1", "UIDL", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1", "NOOP", "RSET",
    ] {
        assert_eq!(talk.ask(&format!("{command}\r\n")), "-ERR log in first\r\n");
        talk.ask("CAPA\r\n");
    }
    assert_eq!(talk.ask("PASS secret\r\n"), "-ERR USER first\r\n");
    assert_eq!(talk.ask("USER bob\r\nPASS secret\r\n"), "+OK\r\n+OK\r\n");
    for command in [
        "USER bob",
        "PASS secret",
        "AUTH",
        "AUTH PLAIN",
        "APOP bob 0",
    ] {
        let said = talk.ask(&format!("{command}\r\n"));
        assert_eq!(said, "-ERR already logged in\r\n");
    }
    assert_eq!(talk.ask("STAT\r\n"), "+OK 3 98\r\n");
}

#[test]
fn every_line_has_one_answer_with_an_indicator() {
    let lines = [
        "",
        " ",
        "x",
        "XTND XMIT",
        "STLS",
        "LANG",
        "UTF8",
        "LAST",
        "STAT 1",
        "LIST x",
        "LIST 1 2",
        "RETR",
        "RETR 0",
        "RETR -1",
        "DELE",
        "TOP 1",
        "TOP 1 -1",
        "TOP x 1",
        "UIDL 0",
        "NOOP 1",
        "RSET 1",
        "QUIT 1",
        "CAPA 1",
        "USER",
        "APOP",
        "AUTH a b c",
    ];
    for line in lines {
        for mut talk in [authorization(), transaction()] {
            let said = talk.ask(&format!("{line}\r\n"));
            assert!(
                said.starts_with("-ERR ") && said.ends_with("\r\n"),
                "{line}: {said}"
            );
            assert_eq!(said.matches('\n').count(), 1, "{line}");
            assert!(talk.ask("CAPA\r\n").starts_with("+OK"), "{line}");
        }
    }
}

#[test]
fn a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had() {
    let mut talk = transaction();
    assert_eq!(talk.ask("DELE 2\r\n"), "+OK\r\n");
    assert_eq!(talk.ask("STAT\r\n"), "+OK 2 67\r\n");
    assert_eq!(talk.ask("LIST\r\n"), "+OK\r\n1 51\r\n3 16\r\n.\r\n");
    assert_eq!(talk.ask("UIDL\r\n"), "+OK\r\n1 ab0001\r\n3 ab0003\r\n.\r\n");
    for command in ["LIST 2", "UIDL 2", "RETR 2", "TOP 2 1", "DELE 2"] {
        assert!(
            talk.ask(&format!("{command}\r\n")).starts_with("-ERR "),
            "{command}"
        );
    }
    assert_eq!(talk.twin.taken, None, "nothing goes before QUIT");
    assert_eq!(talk.ask("RSET\r\n"), "+OK\r\n");
    assert_eq!(talk.ask("STAT\r\n"), "+OK 3 98\r\n");
    assert_eq!(talk.ask("LIST 2\r\n"), "+OK 2 31\r\n");
}

#[test]
fn an_empty_maildrop_has_empty_listings() {
    let mut talk = Talk::in_transaction(Twin::of(&[]), OPTIONS);
    assert_eq!(talk.ask("STAT\r\n"), "+OK 0 0\r\n");
    assert_eq!(talk.ask("LIST\r\n"), "+OK\r\n.\r\n");
    assert_eq!(talk.ask("UIDL\r\n"), "+OK\r\n.\r\n");
    for command in ["LIST 1", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1"] {
        let said = talk.ask(&format!("{command}\r\n"));
        assert_eq!(said, "-ERR no such message\r\n", "{command}");
    }
    assert_eq!(talk.ask("QUIT\r\n"), "+OK\r\n");
    assert_eq!(talk.twin.taken, Some(vec![]));
}

#[test]
fn what_was_not_marked_is_never_taken() {
    let mut talk = transaction();
    talk.ask("RETR 1\r\nDELE 1\r\nRSET\r\nRETR 2\r\nDELE 3\r\nTOP 1 99\r\nQUIT\r\n");
    assert_eq!(talk.twin.taken, Some(vec![3]));
}

/// RFC 2449 §5: what is said before the login holds after it.
#[test]
fn what_capa_says_before_the_login_it_says_after_it() {
    let mut talk = authorization();
    let before = talk.ask("CAPA\r\n");
    talk.ask("USER bob\r\nPASS secret\r\n");
    assert_eq!(talk.ask("CAPA\r\n"), before);
    let mut lines = before.lines();
    assert_eq!(lines.next(), Some("+OK"));
    for line in lines {
        // RFC 2449 §3: a tag of graphic characters that does not begin with a dot.
        let tag = line.split(' ').next().unwrap();
        let end = line == ".";
        assert!(end || (tag.len() <= 40 && tag.starts_with(|c: char| c.is_ascii_uppercase())));
    }
    for capability in [
        "TOP",
        "UIDL",
        "USER",
        "PIPELINING",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "LOGIN-DELAY 0",
        "SASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN",
        "IMPLEMENTATION ringmail",
        "EXPIRE NEVER",
    ] {
        assert!(
            before.lines().any(|line| line == capability),
            "{capability}"
        );
    }
}

/// RFC 2449 §6.6: nothing that waits behind a command is thrown away.
#[test]
fn whatever_is_pipelined_is_answered_in_order() {
    for chunk in [1, 3, 64, 8192] {
        let mut talk = authorization();
        let from = talk.said.len();
        let session = "USER bob\r\nPASS secret\r\nSTAT\r\nTOP 1 0\r\nNOPE\r\nRETR 3\r\nDELE 3\r\n\
            LIST\r\nQUIT\r\n";
        talk.run(session.as_bytes(), chunk, 8192);
        let said = String::from_utf8(talk.said[from..].to_vec()).unwrap();
        let expected = "+OK\r\n+OK\r\n+OK 3 98\r\n+OK\r\nFrom: ann\r\nSubject: one\r\n\r\n.\r\n\
            -ERR unknown command\r\n+OK 16 octets\r\nSubject: three\r\n.\r\n+OK\r\n+OK\r\n1 51\r\n\
            2 31\r\n.\r\n+OK\r\n";
        assert_eq!(said, expected);
        assert_eq!(talk.ended, Some(EndReason::Quit));
    }
}

#[test]
fn the_autologout_timer_has_ten_minutes_unless_the_owner_says_otherwise() {
    assert!(Limits::default().idle >= Duration::from_secs(600));
}

/// The greeting ends with what looks like a message-id (RFC 1939 §7), and nothing else does.
#[test]
fn the_timestamp_stands_in_the_greeting_alone() {
    for reply in replies() {
        let stamped = reply.to_string().ends_with(STAMP);
        let greeting = matches!(reply, Reply::Greeting { stamp: STAMP, .. });
        assert_eq!(stamped, greeting, "{reply:?}");
    }
    assert!(
        transcripts()
            .iter()
            .all(|t| t.said.lines().next().unwrap().ends_with(STAMP))
    );
}

#[test]
fn a_refused_caller_may_try_again_another_way() {
    let mut talk = authorization();
    assert!(
        talk.ask("USER bob\r\nPASS busy\r\n")
            .contains("-ERR [IN-USE] ")
    );
    assert!(talk.ask("USER bob\r\nPASS no\r\n").contains("-ERR [AUTH] "));
    assert!(
        talk.ask("AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n")
            .starts_with("+OK")
    );
}
