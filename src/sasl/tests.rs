//! The RFCs' own exchanges, both ends against each other, and hostile lines in all places.

use super::client::{Credentials, Fault, LEAST_ITERATIONS, MOST_ITERATIONS, Progress as Ours};
use super::server::{Passwords, Progress, Salts};
use super::*;
use crate::config::Secret;

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// Two accounts.
struct Users(Secret, Secret);

impl Passwords for Users {
    fn password(&self, login: &str) -> Option<&Secret> {
        match login {
            "alice" => Some(&self.0),
            "b,o=b ü" => Some(&self.1),
            _ => None,
        }
    }
}

fn users() -> Users {
    Users(secret("alicepw"), secret("pass wörd"))
}

const SALTS: Salts = Salts::new([7; 32]);

fn base64(text: &[u8]) -> Line {
    let mut line = Line::new();
    encode(text, &mut line);
    line
}

fn plain_text(line: &Line) -> String {
    String::from_utf8(decode(line.as_bytes()).unwrap().to_vec()).unwrap()
}

/// How an exchange ended at the server, whether the client believes it, and the lines of it.
fn exchange(
    mechanism: Mechanism,
    login: &str,
    password: &str,
    initial: bool,
) -> (Progress, bool, Vec<String>) {
    let users = users();
    let password = secret(password);
    let who = Credentials {
        login,
        password: &password,
    };
    let mut client = Client::new(mechanism, [1; NONCE_OCTETS]);
    let mut server = Server::new(mechanism, [2; NONCE_OCTETS], "ringmail");
    let (mut ours, mut theirs) = (Line::new(), Line::new());
    let mut lines = Vec::new();
    let mut progress = match initial {
        true => {
            client.respond(who, b"", &mut ours).unwrap();
            server.start(&users, &SALTS, Some(ours.as_bytes()), &mut theirs)
        }
        false => server.start(&users, &SALTS, None, &mut theirs),
    };
    for _ in 0..100 {
        match progress {
            Progress::Say => {
                lines.push(theirs.to_string());
                let mut step = client.respond(who, theirs.as_bytes(), &mut ours);
                while step == Ok(Ours::Working) {
                    step = client.work(who, &mut ours);
                }
                assert_eq!(step, Ok(Ours::Send), "{mechanism}");
                lines.push(ours.to_string());
                progress = server.respond(&users, &SALTS, ours.as_bytes(), &mut theirs);
            }
            Progress::Working => {
                assert!(server.is_working());
                progress = server.work(&SALTS, &mut theirs);
            }
            end => return (end, client.is_satisfied(), lines),
        }
    }
    panic!("{mechanism}: no end");
}

#[test]
fn both_ends_agree_in_every_mechanism() {
    for mechanism in Mechanism::ALL {
        for initial in [false, true] {
            if initial && mechanism == Mechanism::CramMd5 {
                continue;
            }
            for (login, password) in [("alice", "alicepw"), ("b,o=b ü", "pass wörd")] {
                let (end, satisfied, _) = exchange(mechanism, login, password, initial);
                let accepted = server::Login::try_from(login).unwrap();
                assert_eq!(end, Progress::Accepted(accepted), "{mechanism}");
                assert!(satisfied, "{mechanism}");
            }
            for (login, password) in [
                ("alice", "alicepW"),
                ("alice", ""),
                ("alice", "pass wörd"),
                ("alicf", "alicepw"),
                ("nobody", ""),
            ] {
                let (end, satisfied, _) = exchange(mechanism, login, password, initial);
                assert_eq!(end, Progress::Refused, "{mechanism} {login} {password}");
                let proves = mechanism == Mechanism::ScramSha256;
                assert_eq!(satisfied, !proves, "{mechanism}");
            }
        }
    }
}

#[test]
fn a_stranger_sees_and_causes_what_a_known_login_does() {
    for mechanism in Mechanism::ALL {
        let (one, _, known) = exchange(mechanism, "alice", "wrong", false);
        let (other, _, stranger) = exchange(mechanism, "alicf", "wrong", false);
        assert_eq!(one, other);
        assert_eq!(known.len(), stranger.len());
        let lengths = |lines: &[String]| lines.iter().map(|l| l.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&known), lengths(&stranger), "{mechanism}");
    }
    // The salt of either is the same at every try.
    for login in ["alice", "alicf"] {
        let first = exchange(Mechanism::ScramSha256, login, "x", false).2;
        let second = exchange(Mechanism::ScramSha256, login, "y", false).2;
        assert_eq!(first[2], second[2]);
    }
}

#[test]
fn cram_md5_as_in_rfc_2195() {
    let password = secret("tanstaaftanstaaf");
    let who = Credentials {
        login: "tim",
        password: &password,
    };
    let mut client = Client::new(Mechanism::CramMd5, [0; NONCE_OCTETS]);
    let challenge = b"PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
    let mut out = Line::new();
    assert_eq!(client.respond(who, challenge, &mut out), Ok(Ours::Send));
    assert_eq!(plain_text(&out), "tim b913a602c7eda7a495b4e6e7334d3890");
}

#[test]
fn apop_as_in_rfc_1939() {
    let stamp = b"<1896.697170952@dbc.mtview.ca.us>";
    let password = secret("tanstaaf");
    let digest = "c4c9334bac560ecc979e58001b3e22fb";
    assert_eq!(apop::digest(stamp, &password), digest);
    assert!(apop::is_right(stamp, Some(&password), digest.as_bytes()));
    for at in 0..32 {
        let mut other = digest.as_bytes().to_vec();
        other[at] ^= 1;
        assert!(!apop::is_right(stamp, Some(&password), &other));
        assert!(!apop::is_right(stamp, Some(&password), &other[..at]));
    }
    let empty = apop::digest(stamp, &Secret::default());
    assert!(!apop::is_right(stamp, None, empty.as_bytes()));
}

#[test]
fn scram_as_in_rfc_7677() {
    // The example's nonce is no base64 of 18 octets, so the keys are tried below the messages.
    let salt = decode(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let mut salting = salting::Salting::new(b"pencil", &salt, 4096);
    let mut slices = 1;
    let salted = loop {
        match salting.work() {
            Some(salted) => break salted,
            None => slices += 1,
        }
    };
    assert_eq!(slices, 4096 / SLICE);
    let transcript = scram::Transcript {
        client_first_bare: b"n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
            s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final_without_proof: b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    };
    let proof = base64(&scram::proof(&salted, &transcript));
    assert_eq!(proof, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let signature = base64(&scram::server_signature(&salted, &transcript));
    assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn salting_is_the_same_however_often_it_is_cut() {
    // RFC 7914 §11: PBKDF2-HMAC-SHA-256 of "passwd", "salt", 1 round, its first block.
    let one = salting::Salting::new(b"passwd", b"salt", 1).work().unwrap();
    assert_eq!(one[..8], [0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f]);
    for rounds in [1, 2, SLICE, SLICE + 1, SLICE + 2, 3 * SLICE + 1] {
        let mut salting = salting::Salting::new(b"p", b"s", rounds);
        let mut calls = 1;
        while salting.work().is_none() {
            calls += 1;
        }
        assert_eq!(calls, (rounds - 1).div_ceil(SLICE).max(1), "{rounds}");
    }
}

/// Our first message, and what a server answers to it with these attributes.
fn scram_client(server_first: impl Fn(&str) -> String) -> Result<Ours, Fault> {
    let password = secret("pw");
    let who = Credentials {
        login: "u",
        password: &password,
    };
    let mut client = Client::new(Mechanism::ScramSha256, [3; NONCE_OCTETS]);
    let mut out = Line::new();
    client.respond(who, b"", &mut out).unwrap();
    let first = plain_text(&out);
    let nonce = first.strip_prefix("n,,n=u,r=").unwrap();
    client.respond(
        who,
        base64(server_first(nonce).as_bytes()).as_bytes(),
        &mut out,
    )
}

#[test]
fn a_hostile_server_gets_no_proof() {
    let good = |i: u32| scram_client(|nonce| format!("r={nonce}x,s=c2FsdA==,i={i}"));
    assert_eq!(good(LEAST_ITERATIONS), Ok(Ours::Working));
    assert_eq!(good(MOST_ITERATIONS), Ok(Ours::Working));
    for got in [0, 1, LEAST_ITERATIONS - 1, MOST_ITERATIONS + 1, u32::MAX] {
        assert_eq!(good(got), Err(Fault::Iterations { got }));
    }
    let cases: &[(&str, Fault)] = &[
        ("r=NONCE,s=c2FsdA==,i=4096", Fault::Nonce),
        ("r=xNONCE,s=c2FsdA==,i=4096", Fault::Nonce),
        ("r=,s=c2FsdA==,i=4096", Fault::Nonce),
        ("r=NONCE x,s=c2FsdA==,i=4096", Fault::Nonce),
        ("m=ext,r=NONCEx,s=c2FsdA==,i=4096", Fault::Malformed),
        ("r=NONCEx,s=c2F!,i=4096", Fault::Malformed),
        ("r=NONCEx,s=c2FsdA==,i=+4096", Fault::Malformed),
        ("r=NONCEx,s=c2FsdA==,i=4294967296", Fault::Malformed),
        ("r=NONCEx,s=c2FsdA==,i=", Fault::Malformed),
        ("r=NONCEx,s=c2FsdA==", Fault::Malformed),
        ("r=NONCEx", Fault::Malformed),
        ("", Fault::Malformed),
        ("e=other-error", Fault::Refused),
    ];
    for (text, fault) in cases {
        let got = scram_client(|nonce| text.replace("NONCE", nonce));
        assert_eq!(got, Err(*fault), "{text}");
    }
    // A nonce as long as a message may be: the answer must still fit.
    for length in 0..700 {
        let long = "x".repeat(length);
        let _ = scram_client(|nonce| format!("r={nonce}{long},s=c2FsdA==,i=4096"));
    }
}

/// The server's last message to a right proof, after `change`.
fn last_word(change: impl Fn(&str) -> String) -> (Result<Ours, Fault>, bool) {
    let users = users();
    let password = secret("alicepw");
    let who = Credentials {
        login: "alice",
        password: &password,
    };
    let mut client = Client::new(Mechanism::ScramSha256, [1; NONCE_OCTETS]);
    let mut server = Server::new(Mechanism::ScramSha256, [2; NONCE_OCTETS], "");
    let (mut ours, mut theirs) = (Line::new(), Line::new());
    client.respond(who, b"", &mut ours).unwrap();
    server.start(&users, &SALTS, Some(ours.as_bytes()), &mut theirs);
    let mut step = client.respond(who, theirs.as_bytes(), &mut ours);
    while step == Ok(Ours::Working) {
        assert!(!client.is_satisfied());
        step = client.work(who, &mut ours);
    }
    assert!(!client.is_satisfied());
    let mut progress = server.respond(&users, &SALTS, ours.as_bytes(), &mut theirs);
    while progress == Progress::Working {
        progress = server.work(&SALTS, &mut theirs);
    }
    let last = change(&plain_text(&theirs));
    let end = client.respond(who, base64(last.as_bytes()).as_bytes(), &mut ours);
    (end, client.is_satisfied() && end.is_ok())
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    assert_eq!(last_word(str::to_owned), (Ok(Ours::Send), true));
    for (text, fault) in [
        ("e=invalid-proof", Fault::Refused),
        ("", Fault::Malformed),
        ("v=", Fault::Signature),
        ("v=AAAA", Fault::Signature),
        ("v=!", Fault::Malformed),
    ] {
        assert_eq!(
            last_word(|_| text.to_owned()),
            (Err(fault), false),
            "{text}"
        );
    }
    let swapped = |right: &str| right.chars().rev().collect::<String>();
    let changed = last_word(|right| format!("v={}", &swapped(&right[2..45])));
    assert!(changed.0.is_err());
}

/// All lines up to three octets over an alphabet that has every kind in it, and longer ones.
fn hostile_lines() -> Vec<Vec<u8>> {
    let alphabet = b"AQ=*/ \0\xff,";
    let mut lines = vec![vec![]];
    for length in 1..=3 {
        let shorter: Vec<_> = lines
            .iter()
            .filter(|l| l.len() == length - 1)
            .cloned()
            .collect();
        for line in shorter {
            for &octet in alphabet {
                let mut line = line.clone();
                line.push(octet);
                lines.push(line);
            }
        }
    }
    for length in [LINE_OCTETS - 1, LINE_OCTETS, LINE_OCTETS + 1, 5000] {
        lines.push(vec![b'A'; length]);
        lines.push(vec![b'='; length]);
    }
    for text in [
        "n,,n=,r=x",
        "n,,n==2c,r=x",
        "n,,n=a",
        "n,,r=x",
        "p=tls-unique,,n=a,r=x",
        "n,a=b,n=a,r=x",
        "n,,n=a,r=",
        "y,,n=a,r=x,m=1",
        "n,,m=1,n=a,r=x",
        "n",
        "n,",
        "n,,",
        "\0\0",
        "\0",
        "\0alice",
        "alice\0alice",
        "\0alice\0alicepw\0",
        "bob\0alice\0alicepw",
        " ",
        "alice ",
        "alice",
        "c=biws,r=x,p=AAAA",
        "c=biws",
        "v=",
        "e=",
        "r=",
        "r=,s=,i=",
    ] {
        lines.push(base64(text.as_bytes()).as_bytes().to_vec());
    }
    lines
}

#[test]
fn hostile_lines_at_every_place_end_in_a_word_and_admit_nobody() {
    let users = users();
    let lines = hostile_lines();
    for mechanism in Mechanism::ALL {
        for before in 0..3 {
            for line in &lines {
                let mut server = Server::new(mechanism, [2; NONCE_OCTETS], "ringmail");
                let mut out = Line::new();
                let right: [&[u8]; 2] = match mechanism {
                    Mechanism::ScramSha256 => [b"n,,n=alice,r=x", b"c=biws,r=x"],
                    _ => [b"alice", b"x"],
                };
                let mut progress = server.start(&users, &SALTS, None, &mut out);
                for message in right.iter().take(before) {
                    if progress == Progress::Say {
                        let line = base64(message);
                        progress = server.respond(&users, &SALTS, line.as_bytes(), &mut out);
                    }
                }
                let end = server.respond(&users, &SALTS, line, &mut out);
                assert!(
                    !matches!(end, Progress::Accepted(_)),
                    "{mechanism} {line:?}"
                );
                // Whatever it was, no more comes of an exchange that is over.
                if end != Progress::Say && end != Progress::Working {
                    let again = server.respond(&users, &SALTS, b"", &mut out);
                    assert!(matches!(again, Progress::Malformed), "{mechanism} {line:?}");
                }
                let password = secret("pw");
                let who = Credentials {
                    login: "u",
                    password: &password,
                };
                let mut client = Client::new(mechanism, [1; NONCE_OCTETS]);
                for _ in 0..before {
                    let _ = client.respond(who, b"", &mut out);
                }
                let _ = client.respond(who, line, &mut out);
                let _ = client.work(who, &mut out);
            }
        }
    }
}

#[test]
fn an_octet_changed_anywhere_admits_nobody_else() {
    let users = users();
    for mechanism in Mechanism::ALL {
        let (_, _, lines) = exchange(mechanism, "alice", "alicepw", false);
        let responses: Vec<_> = lines.iter().skip(1).step_by(2).collect();
        for (nth, response) in responses.iter().enumerate() {
            for at in 0..response.len() {
                let mut changed = response.as_bytes().to_vec();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let mut server = Server::new(mechanism, [2; NONCE_OCTETS], "ringmail");
                let mut out = Line::new();
                let mut progress = server.start(&users, &SALTS, None, &mut out);
                for (at, right) in responses.iter().enumerate() {
                    if progress != Progress::Say {
                        break;
                    }
                    let line = if at == nth {
                        &changed
                    } else {
                        right.as_bytes()
                    };
                    progress = server.respond(&users, &SALTS, line, &mut out);
                    while progress == Progress::Working {
                        progress = server.work(&SALTS, &mut out);
                    }
                }
                assert!(
                    !matches!(progress, Progress::Accepted(_)),
                    "{mechanism} {nth} {at}"
                );
            }
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    for mechanism in Mechanism::ALL {
        let client = Client::new(mechanism, [b'S'; NONCE_OCTETS]);
        let server = Server::new(mechanism, [b'S'; NONCE_OCTETS], "");
        let text = format!("{client:?} {server:?} {SALTS:?}");
        assert!(!text.contains("83") && !text.contains("7, 7"), "{text}");
    }
}

#[test]
fn mechanisms_are_known_by_name_and_tried_strongest_first() {
    let mut set = Mechanisms::NONE;
    for mechanism in Mechanism::ALL {
        let name = mechanism.name().to_ascii_lowercase();
        assert_eq!(Mechanism::parse(name.as_bytes()), Some(mechanism));
        set.insert(mechanism);
    }
    assert_eq!(Mechanism::parse(b"NTLM"), None);
    let order: Vec<_> = set.strongest_first().collect();
    let mut expected = Mechanism::ALL.to_vec();
    expected.reverse();
    assert_eq!(order, expected);
    set.remove(Mechanism::ScramSha256);
    assert_eq!(set.strongest_first().next(), Some(Mechanism::CramMd5));
}
