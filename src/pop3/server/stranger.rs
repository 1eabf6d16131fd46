//! Callers who are no POP3 clients: named, so that the owner reads in the log who it was, and
//! hung up on before they cost the line much time.
//!
//! Two ways to know them. Some say at once what they are ([`recognise`]): a protocol's first
//! octets are its own. The others are counted ([`Errors`]): lines that are no commands, and octets
//! of lines that never end.

use core::fmt;

use super::EndReason;
use crate::pop3::command::{COMMAND_OCTETS, Malformed};

/// Somebody or something that speaks no POP3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Telnet options (RFC 854).
    Telnet,
    /// PPP frames (RFC 1662).
    Ppp,
    /// A FidoNet mailer: EMSI, YooHoo or TSYNC (FTS-0001, FTS-0006, FSC-0056).
    FidoNet,
    /// Frames of a fax machine (T.30 §5.3), or a modem's reports of it (T.32).
    Fax,
    /// A TLS handshake (RFC 8446 §5.1).
    Tls,
    /// HTTP.
    Web,
    /// SMTP.
    Smtp,
    /// SSH (RFC 4253 §4.2).
    Ssh,
    /// Mostly empty lines.
    EmptyLines,
    /// Mostly octets that are no text.
    Noise,
    /// A line without an end.
    Flood,
}

/// The first octets of protocols that are not ours. None is the beginning of a command, and none
/// has a line feed in it: they are seen before any line of them is taken.
const SIGNATURES: &[(Stranger, &[u8])] = &[
    // IAC and one of SB, WILL, WON'T, DO, DON'T.
    (Stranger::Telnet, b"\xff\xfa"),
    (Stranger::Telnet, b"\xff\xfb"),
    (Stranger::Telnet, b"\xff\xfc"),
    (Stranger::Telnet, b"\xff\xfd"),
    (Stranger::Telnet, b"\xff\xfe"),
    // Flag, address, control: escaped, or not.
    (Stranger::Ppp, b"~\xff}#"),
    (Stranger::Ppp, b"~\xff\x03"),
    (Stranger::Ppp, b"\xff}#\xc0"),
    (Stranger::Ppp, b"\xff\x03\xc0\x21"),
    (Stranger::FidoNet, b"**EMSI_"),
    (Stranger::FidoNet, b"\xf1\xf1"),
    (Stranger::FidoNet, b"\xf1\xae"),
    (Stranger::FidoNet, b"\xae\xf1"),
    (Stranger::FidoNet, b"\xae\xae"),
    // Address and control as HDLC sends them, the lowest bit first, and as a modem turns them.
    (Stranger::Fax, b"\xff\xc0"),
    (Stranger::Fax, b"\xff\xc8"),
    (Stranger::Fax, b"\xff\x13"),
    (Stranger::Fax, b"+FCO"),
    (Stranger::Fax, b"+FNS"),
    (Stranger::Fax, b"+FTS"),
    (Stranger::Fax, b"+FDC"),
    (Stranger::Fax, b"+FHNG"),
    (Stranger::Tls, b"\x16\x03"),
    (Stranger::Web, b"GET /"),
    (Stranger::Web, b"GET http"),
    (Stranger::Web, b"HEAD /"),
    (Stranger::Web, b"POST /"),
    (Stranger::Web, b"PUT /"),
    (Stranger::Web, b"OPTIONS "),
    (Stranger::Web, b"CONNECT "),
    (Stranger::Web, b"PRI * HTTP"),
    (Stranger::Smtp, b"HELO "),
    (Stranger::Smtp, b"EHLO "),
    (Stranger::Smtp, b"MAIL FROM:"),
    (Stranger::Ssh, b"SSH-"),
];

/// Who speaks, if `first`, the first octets of a call, tell. What programs and people send to wake
/// the other end is passed over.
pub(super) fn recognise(first: &[u8]) -> Option<Stranger> {
    let wakes = |octet: &u8| matches!(octet, 0 | 0x11 | 0x13 | 0x1b | b'\r' | b'\n' | b' ');
    let begin = first.iter().position(|octet| !wakes(octet))?;
    let said = first.get(begin..)?;
    let is = |signature: &[u8]| {
        let head = said.get(..signature.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(signature))
    };
    let row = SIGNATURES.iter().find(|(_, signature)| is(signature));
    row.map(|&(stranger, _)| stranger)
}

/// Counts lines that were no commands, and commands out of place.
///
/// Three of them are enough for some servers before a login. A person at a terminal mistypes, and
/// a modem's retrain adds noise to both ends of a line: a limit must stop a program that talks
/// another protocol, and 20 lines in a row are nothing to such a program and much to a person.
/// 50 in all, for those that are right now and then.
#[derive(Debug, Default)]
pub(super) struct Errors {
    in_a_row: u8,
    in_all: u8,
    empty: u8,
    noise: u8,
    /// What the last line without an end was made of.
    endless: Option<Stranger>,
}

impl Errors {
    const IN_A_ROW: u8 = 20;
    const IN_ALL: u8 = 50;
    /// Octets of lines without an end: five seconds of a fast line, a minute of a slow one.
    const SKIPPED: u64 = 16_384;

    /// One more; `malformed` says what was wrong, unless it was a command out of place.
    pub(super) fn count(&mut self, malformed: Option<Malformed>) -> &Self {
        let add = |count: &mut u8| *count = count.saturating_add(1);
        add(&mut self.in_a_row);
        add(&mut self.in_all);
        match malformed {
            Some(Malformed::Empty) => add(&mut self.empty),
            Some(Malformed::ControlOctet | Malformed::NotAscii) => add(&mut self.noise),
            Some(Malformed::TooLong) if self.endless == Some(Stranger::Noise) => {
                add(&mut self.noise);
            }
            _ => {}
        }
        self
    }

    /// A command was in place.
    pub(super) fn forget_row(&mut self) {
        self.in_a_row = 0;
    }

    /// Takes note of what a line that is too long is made of: `line` is its beginning.
    pub(super) fn look_at_endless(&mut self, line: &[u8]) {
        let text = |octet: &&u8| matches!(octet, b' '..=b'~' | b'\t');
        let texts = line.iter().take(COMMAND_OCTETS).filter(text).count();
        let noise = texts < COMMAND_OCTETS / 4 * 3;
        self.endless = Some(if noise {
            Stranger::Noise
        } else {
            Stranger::Flood
        });
    }

    /// Why the session must end, if it must; `skipped` octets were thrown away so far.
    pub(super) fn verdict(&self, skipped: u64) -> Option<EndReason> {
        if skipped > Self::SKIPPED {
            let stranger = self.endless.unwrap_or(Stranger::Flood);
            return Some(EndReason::Stranger(stranger));
        }
        if self.in_a_row < Self::IN_A_ROW && self.in_all < Self::IN_ALL {
            return None;
        }
        let mostly = |count: u8| count > self.in_all / 2;
        Some(if mostly(self.empty) {
            EndReason::Stranger(Stranger::EmptyLines)
        } else if mostly(self.noise) {
            EndReason::Stranger(Stranger::Noise)
        } else {
            EndReason::TooManyErrors
        })
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Telnet => "no POP3 client but telnet",
            Self::Ppp => "no POP3 client but PPP",
            Self::FidoNet => "no POP3 client but a FidoNet mailer",
            Self::Fax => "no POP3 client but a fax machine",
            Self::Tls => "no POP3 client but TLS",
            Self::Web => "no POP3 client but a web browser",
            Self::Smtp => "no POP3 client but SMTP",
            Self::Ssh => "no POP3 client but SSH",
            Self::EmptyLines => "nothing but empty lines",
            Self::Noise => "noise",
            Self::Flood => "a line without an end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pop3::command::Command;

    #[test]
    fn no_signature_is_the_beginning_of_a_command_or_has_a_line_feed() {
        for (stranger, signature) in SIGNATURES {
            assert!(!signature.contains(&b'\n'), "{stranger:?}");
            let mut line = signature.to_vec();
            line.extend(b" 1 1");
            assert!(Command::parse(&line).is_err(), "{stranger:?}");
        }
    }

    #[test]
    fn each_is_known_by_its_whole_signature_and_not_before() {
        for &(stranger, signature) in SIGNATURES {
            for wake in [&b""[..], b"\r", b"\r\n\r\n", b"\0\0 \x1b"] {
                for length in 0..signature.len() {
                    let said = [wake, &signature[..length]].concat();
                    assert_eq!(recognise(&said), None, "{said:?}");
                }
                let said = [wake, signature, b"more"].concat();
                assert_eq!(recognise(&said), Some(stranger));
            }
        }
    }

    #[test]
    fn what_pop3_clients_say_first_is_nobody_elses() {
        for line in [
            "CAPA",
            "AUTH",
            "USER gethin",
            "APOP a b",
            "QUIT",
            "STLS",
            "helo",
            "get",
            "NOOP",
            "XTND",
            "pass get /",
            "~~~",
            "~}",
            "\u{ff}",
            "\r\n\r\nUSER bob",
        ] {
            assert_eq!(recognise(line.as_bytes()), None, "{line}");
        }
    }
}
