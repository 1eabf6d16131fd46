//! Status lines, response codes and capabilities (RFC 1939 §3, RFC 2449 §5 to §8, RFC 3206).

use core::fmt;

use crate::sasl::{Mechanism, Mechanisms};

/// A server's words as evidence: printable ASCII, everything else as `?`, cut.
pub type Text = heapless::String<80>;

/// `octets` as evidence.
pub(crate) fn clean(octets: &[u8]) -> Text {
    let mut text = Text::new();
    for &octet in octets.trim_ascii() {
        let printable = octet == b' ' || octet.is_ascii_graphic();
        if text
            .push(if printable { octet.into() } else { '?' })
            .is_err()
        {
            break;
        }
    }
    text
}

/// A status indicator and the text behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Status<'a> {
    /// `+OK`
    Ok(&'a [u8]),
    /// `-ERR`
    Err(&'a [u8]),
}

impl<'a> Status<'a> {
    /// `None` if `line` is no status line. RFC 1939 §3 wants upper case; not every server does.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let end = line
            .iter()
            .position(|octet| !matches!(octet, b'+' | b'-' | b'A'..=b'Z' | b'a'..=b'z'));
        let (indicator, text) = line.split_at_checked(end.unwrap_or(line.len()))?;
        if text.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let text = text.trim_ascii();
        if indicator.eq_ignore_ascii_case(b"+OK") {
            return Some(Self::Ok(text));
        }
        indicator
            .eq_ignore_ascii_case(b"-ERR")
            .then_some(Self::Err(text))
    }
}

/// What a server says while an `AUTH` goes on (RFC 5034 §4): what stands behind `+`.
pub(super) fn challenge(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"+")? {
        // Some leave out the blank where there is nothing to say.
        [] => Some(b""),
        rest => rest.strip_prefix(b" ").map(<[u8]>::trim_ascii),
    }
}

/// The timestamp of a greeting: what stands in angle brackets, if it looks like a message-id
/// (RFC 1939 §7). One that does not is no promise of APOP, and could be chosen to break MD5.
pub(super) fn stamp(text: &[u8]) -> Option<&[u8]> {
    let start = text.iter().position(|&octet| octet == b'<')?;
    let text = text.get(start..)?;
    let end = text.iter().position(|&octet| octet == b'>')?;
    let stamp = text.get(..=end)?;
    let sound = stamp.contains(&b'@') && stamp.iter().all(u8::is_ascii_graphic);
    sound.then_some(stamp)
}

/// Why a server refuses, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// `[IN-USE]`: somebody has the maildrop open.
    InUse,
    /// `[LOGIN-DELAY]`: we were here a moment ago.
    LoginDelay,
    /// `[AUTH]`: login or password are wrong.
    Auth,
    /// `[SYS/TEMP]`: the server has a fault that will pass.
    SysTemp,
    /// `[SYS/PERM]`: the server has a fault that somebody must mend.
    SysPerm,
}

impl ResponseCode {
    /// The code in `text`, which stood behind `-ERR`.
    ///
    /// Where there is none, words tell: servers older than RFC 2449 say that a maildrop is
    /// locked, or that one should wait, in their own words. Not to see that would make a lock
    /// look like a wrong password, and end polling for good.
    pub(super) fn find(text: &[u8]) -> Option<Self> {
        if let Some(code) = text.strip_prefix(b"[") {
            let end = code.iter().position(|&octet| octet == b']')?;
            return Self::parse(code.get(..end)?);
        }
        let says = |word: &[u8]| {
            let mut windows = text.windows(word.len());
            windows.any(|window| window.eq_ignore_ascii_case(word))
        };
        if says(b"lock") || says(b"wait") || says(b"in use") {
            return Some(Self::InUse);
        }
        (says(b"service") && says(b"unavailable")).then_some(Self::SysTemp)
    }

    /// Levels that are not known are ignored: they only refine (RFC 2449 §8).
    fn parse(code: &[u8]) -> Option<Self> {
        let mut levels = code.split(|&octet| octet == b'/').map(<[u8]>::trim_ascii);
        let first = levels.next()?;
        let is = |name: &[u8]| first.eq_ignore_ascii_case(name);
        if is(b"IN-USE") {
            return Some(Self::InUse);
        }
        if is(b"LOGIN-DELAY") {
            return Some(Self::LoginDelay);
        }
        if is(b"AUTH") {
            return Some(Self::Auth);
        }
        if !is(b"SYS") {
            return None;
        }
        // A fault that is not known to pass is retried all the same: RFC 3206 §4 has no third.
        let permanent = levels
            .next()
            .is_some_and(|level| level.eq_ignore_ascii_case(b"PERM"));
        Some(if permanent {
            Self::SysPerm
        } else {
            Self::SysTemp
        })
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::Auth => "AUTH",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
        })
    }
}

/// What a server says it can do (RFC 2449 §5). What is not known is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `TOP`
    pub top: bool,
    /// `UIDL`
    pub uidl: bool,
    /// `USER`: login by `USER` and `PASS`.
    pub user: bool,
    /// `PIPELINING`
    pub pipelining: bool,
    /// `RESP-CODES`: what stands in brackets behind `-ERR` is a code.
    pub resp_codes: bool,
    /// `AUTH-RESP-CODE` (RFC 3206 §6): a refused login without `[AUTH]` is not for the password.
    pub auth_resp_code: bool,
    /// `STLS` (RFC 2595 §4)
    pub stls: bool,
    /// `SASL` (RFC 5034): those that we know.
    pub sasl: Mechanisms,
    /// `LOGIN-DELAY`: seconds between two logins, at least.
    pub login_delay: Option<u32>,
    /// `EXPIRE`
    pub expire: Expire,
}

/// How long a server keeps a mail that stays on it (RFC 2449 §6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expire {
    /// It does not say.
    #[default]
    Unknown,
    /// For ever.
    Never,
    /// So many days; 0: what was fetched is deleted at `QUIT`.
    Days(u32),
}

impl fmt::Display for Expire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("does not say how long it keeps mail"),
            Self::Never => f.write_str("keeps mail for ever"),
            Self::Days(0) => f.write_str("says EXPIRE 0: it may delete what was fetched"),
            Self::Days(days) => write!(
                f,
                "says EXPIRE {days}: it deletes mail after that many days"
            ),
        }
    }
}

impl Capabilities {
    /// Adds what one line of the response says.
    pub(super) fn read(&mut self, line: &[u8]) {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let Some(name) = words.next() else { return };
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        self.top |= is(b"TOP");
        self.uidl |= is(b"UIDL");
        self.user |= is(b"USER");
        self.pipelining |= is(b"PIPELINING");
        self.resp_codes |= is(b"RESP-CODES");
        self.auth_resp_code |= is(b"AUTH-RESP-CODE");
        self.stls |= is(b"STLS");
        if is(b"SASL") {
            for mechanism in words.filter_map(Mechanism::parse) {
                self.sasl.insert(mechanism);
            }
            return;
        }
        let Some(argument) = words.next().and_then(|word| str::from_utf8(word).ok()) else {
            return;
        };
        if is(b"LOGIN-DELAY") {
            self.login_delay = argument.parse().ok();
        }
        if is(b"EXPIRE") {
            self.expire = match argument.parse() {
                Ok(days) => Expire::Days(days),
                Err(_) if argument.eq_ignore_ascii_case("NEVER") => Expire::Never,
                Err(_) => Expire::Unknown,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_known_in_any_case_and_nothing_else_is_one() {
        for line in ["+OK", "+ok", "+Ok ", "+OK\t", "+OK ready", "+OK<1@a>"] {
            assert!(
                matches!(Status::parse(line.as_bytes()), Some(Status::Ok(_))),
                "{line}"
            );
        }
        for line in ["-ERR", "-err no", "-Err [AUTH]"] {
            assert!(
                matches!(Status::parse(line.as_bytes()), Some(Status::Err(_))),
                "{line}"
            );
        }
        for line in [
            "", "+", "OK", "+OKAY", "-ERROR", "-ER", " +OK", "* OK", "+OK1", "220 hi", ".",
        ] {
            assert_eq!(Status::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Status::parse(b"+OK  2 320 "), Some(Status::Ok(b"2 320")));
    }

    #[test]
    fn response_codes_and_lock_words() {
        let cases = [
            (
                "[IN-USE] Do you have another POP session running?",
                Some(ResponseCode::InUse),
            ),
            ("[in-use]", Some(ResponseCode::InUse)),
            ("[LOGIN-DELAY] minimum 10 s", Some(ResponseCode::LoginDelay)),
            ("[AUTH] wrong, wait", Some(ResponseCode::Auth)),
            ("[SYS/TEMP] disk", Some(ResponseCode::SysTemp)),
            ("[SYS/TEMP/DISK] full", Some(ResponseCode::SysTemp)),
            ("[SYS/PERM] locked", Some(ResponseCode::SysPerm)),
            ("[SYS/NEW]", Some(ResponseCode::SysTemp)),
            ("[UTF8] lock", None),
            ("[SYS/TEMP", None),
            ("Maildrop already Locked", Some(ResponseCode::InUse)),
            ("unable to LOCK maildrop", Some(ResponseCode::InUse)),
            ("please wait a minute", Some(ResponseCode::InUse)),
            ("mailbox In Use by another", Some(ResponseCode::InUse)),
            ("Service currently unavailable", Some(ResponseCode::SysTemp)),
            ("Authentication failed", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(ResponseCode::find(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn capabilities_in_any_case_with_their_arguments() {
        let mut sasl = Mechanisms::NONE;
        for mechanism in [Mechanism::Plain, Mechanism::CramMd5, Mechanism::ScramSha256] {
            sasl.insert(mechanism);
        }
        let mut capabilities = Capabilities::default();
        for line in [
            "top",
            "Uidl",
            "USER",
            "PIPELINING",
            "resp-codes",
            "AUTH-RESP-CODE",
            "STLS",
            "SASL cram-md5 PLAIN GSSAPI SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
            "LOGIN-DELAY 900 USER",
            "EXPIRE 60 USER",
            "X-TOP",
            "",
            " ",
            "IMPLEMENTATION TOP secret",
        ] {
            capabilities.read(line.as_bytes());
        }
        let all = Capabilities {
            top: true,
            uidl: true,
            user: true,
            pipelining: true,
            resp_codes: true,
            auth_resp_code: true,
            stls: true,
            sasl,
            login_delay: Some(900),
            expire: Expire::Days(60),
        };
        assert_eq!(capabilities, all);
        for (line, expire) in [
            ("EXPIRE NEVER", Expire::Never),
            ("expire 0", Expire::Days(0)),
            ("EXPIRE soon", Expire::Unknown),
        ] {
            let mut capabilities = Capabilities::default();
            capabilities.read(line.as_bytes());
            assert_eq!(capabilities.expire, expire, "{line}");
        }
        let mut silent = Capabilities::default();
        silent.read(b"TOPX UIDL");
        assert_eq!(silent, Capabilities::default());
    }

    #[test]
    fn a_stamp_must_look_like_a_message_id() {
        assert_eq!(
            stamp(b"POP3 ready <1896.697@dbc.mtview.ca.us>"),
            Some(&b"<1896.697@dbc.mtview.ca.us>"[..])
        );
        for text in ["", "<a b@c>", "<abc>", "<a@b", "a@b>", "<a@\u{80}>", "> <"] {
            assert_eq!(stamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn evidence_is_printable_and_short() {
        assert_eq!(clean(b" a\x1b[2J\xff\r").as_str(), "a?[2J?");
        assert_eq!(clean(&[b'x'; 1000]).len(), 80);
    }
}
