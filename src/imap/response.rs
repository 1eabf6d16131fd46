//! Lines of responses, taken apart (RFC 3501 §7, RFC 9051 §7, RFC 5530, RFC 7162 §3.1.2).
//!
//! ```text
//! + text                                     continuation
//! * OK|NO|BAD|BYE|PREAUTH [CODE ..] text      status
//! * number EXISTS|EXPUNGE|FETCH ..            of the mailbox
//! * CAPABILITY|STATUS|VANISHED| .. ..         other data
//! tag OK|NO|BAD [CODE ..] text                the end of a command
//! ```
//!
//! A line may end in the announcement of a literal, `{n}`: then it is only a fragment, and goes on
//! behind so many octets. Nothing is copied here: all that is found lies in the line.

use core::fmt;

/// One line without its CR LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `+`: the server takes what follows; what it says with that.
    Continuation(&'a [u8]),
    /// `*`, and what is behind it.
    Untagged(&'a [u8]),
    /// The number of our tag, and what is behind it.
    Tagged(u32, &'a [u8]),
}

impl<'a> Line<'a> {
    /// `None` if it is none of these, or has a tag that we never use.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        if let Some(text) = line.strip_prefix(b"+ ").or((line == b"+").then_some(b"")) {
            return Some(Self::Continuation(text.trim_ascii()));
        }
        let (tag, rest) = word(line);
        if tag == b"*" {
            return Some(Self::Untagged(rest));
        }
        let number = tag.strip_prefix(&[TAG])?;
        Some(Self::Tagged(u32::try_from(number_of(number)?).ok()?, rest))
    }
}

/// How our tags begin.
pub(super) const TAG: u8 = b'a';

/// What stands behind `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data<'a> {
    /// A status response.
    Status(Status<'a>),
    /// Mails in the mailbox.
    Exists(u32),
    /// A mail is gone, by its sequence number.
    Expunge,
    /// Mails are gone, by their UIDs (RFC 7162 §3.2.10).
    Vanished,
    /// Of the mail with this sequence number; the attributes follow.
    Fetch(u32, &'a [u8]),
    /// Capabilities.
    Capability(&'a [u8]),
    /// The answer to `STATUS`: mailbox name and numbers.
    MailboxStatus(&'a [u8]),
    /// Whatever else.
    Other,
}

impl<'a> Data<'a> {
    /// `None` where a number that must be there is none.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(status) = Status::parse(text) {
            return Some(Self::Status(status));
        }
        let (first, rest) = word(text);
        if first.first().is_some_and(u8::is_ascii_digit) {
            let number = u32::try_from(number_of(first)?).ok()?;
            let (name, rest) = word(rest);
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            return Some(match number {
                number if is(b"EXISTS") => Self::Exists(number),
                1.. if is(b"EXPUNGE") => Self::Expunge,
                number @ 1.. if is(b"FETCH") => Self::Fetch(number, rest),
                0 if is(b"EXPUNGE") || is(b"FETCH") => return None,
                _ => Self::Other,
            });
        }
        let is = |known: &[u8]| first.eq_ignore_ascii_case(known);
        Some(match rest {
            rest if is(b"CAPABILITY") => Self::Capability(rest),
            rest if is(b"STATUS") => Self::MailboxStatus(rest),
            _ if is(b"VANISHED") => Self::Vanished,
            _ if first.is_empty() => return None,
            _ => Self::Other,
        })
    }
}

/// A status response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status<'a> {
    /// Which.
    pub(super) condition: Condition,
    /// What stands in brackets.
    pub(super) code: Option<Code<'a>>,
    /// The words for people, the code among them.
    pub(super) text: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

/// A response code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code<'a> {
    Alert,
    Capability(&'a [u8]),
    UidValidity(u32),
    UidNext(u32),
    HighestModSeq(u64),
    ReadWrite,
    Reason(ResponseCode),
    Other,
}

/// Why a server refuses, as far as it says so (RFC 5530).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseCode {
    /// `UNAVAILABLE`: something behind the server does not answer now.
    Unavailable,
    /// `AUTHENTICATIONFAILED`, `AUTHORIZATIONFAILED`, `EXPIRED`: login or password are wrong.
    Authentication,
    /// `PRIVACYREQUIRED`: not without encryption.
    PrivacyRequired,
    /// `CONTACTADMIN`: somebody must mend it.
    ContactAdmin,
    /// `INUSE`: somebody else has the mailbox.
    InUse,
    /// `LIMIT`, `OVERQUOTA`: too much at once.
    Limit,
    /// `SERVERBUG`, `CORRUPTION`: the server has a fault.
    ServerFault,
    /// `NONEXISTENT`, `NOPERM`, `TRYCREATE`: no such mailbox for us.
    NoMailbox,
}

impl<'a> Status<'a> {
    /// `None` if `text` is no status.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (name, text) = word(text);
        let known = [
            (&b"OK"[..], Condition::Ok),
            (b"NO", Condition::No),
            (b"BAD", Condition::Bad),
            (b"BYE", Condition::Bye),
            (b"PREAUTH", Condition::Preauth),
        ];
        let (_, condition) = known
            .into_iter()
            .find(|(known, _)| name.eq_ignore_ascii_case(known))?;
        let code = text.strip_prefix(b"[").and_then(|text| {
            let end = text.iter().position(|&octet| octet == b']')?;
            Some(Code::parse(text.get(..end)?))
        });
        Some(Self {
            condition,
            code,
            text,
        })
    }

    /// Why it refuses, as far as that is understood. Servers without RFC 5530 say a lock in words.
    pub(super) fn reason(&self) -> Option<ResponseCode> {
        match self.code {
            Some(Code::Reason(reason)) => Some(reason),
            Some(_) => None,
            None => {
                let mut words = self.text.windows(4);
                let locked = words.any(|word| word.eq_ignore_ascii_case(b"lock"));
                locked.then_some(ResponseCode::InUse)
            }
        }
    }
}

impl<'a> Code<'a> {
    fn parse(code: &'a [u8]) -> Self {
        let (name, argument) = word(code);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let reasons = [
            (&b"UNAVAILABLE"[..], ResponseCode::Unavailable),
            (b"AUTHENTICATIONFAILED", ResponseCode::Authentication),
            (b"AUTHORIZATIONFAILED", ResponseCode::Authentication),
            (b"EXPIRED", ResponseCode::Authentication),
            (b"PRIVACYREQUIRED", ResponseCode::PrivacyRequired),
            (b"CONTACTADMIN", ResponseCode::ContactAdmin),
            (b"INUSE", ResponseCode::InUse),
            (b"LIMIT", ResponseCode::Limit),
            (b"OVERQUOTA", ResponseCode::Limit),
            (b"SERVERBUG", ResponseCode::ServerFault),
            (b"CORRUPTION", ResponseCode::ServerFault),
            (b"NONEXISTENT", ResponseCode::NoMailbox),
            (b"NOPERM", ResponseCode::NoMailbox),
            (b"TRYCREATE", ResponseCode::NoMailbox),
        ];
        if let Some((_, reason)) = reasons.into_iter().find(|(known, _)| is(known)) {
            return Self::Reason(reason);
        }
        let short = |found: fn(u32) -> Self| {
            let number = number_of(argument).and_then(|n| u32::try_from(n).ok());
            number.map_or(Self::Other, found)
        };
        match argument {
            _ if is(b"ALERT") => Self::Alert,
            capabilities if is(b"CAPABILITY") => Self::Capability(capabilities),
            _ if is(b"UIDVALIDITY") => short(Self::UidValidity),
            _ if is(b"UIDNEXT") => short(Self::UidNext),
            number if is(b"HIGHESTMODSEQ") => {
                number_of(number).map_or(Self::Other, Self::HighestModSeq)
            }
            _ if is(b"READ-WRITE") => Self::ReadWrite,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "UNAVAILABLE",
            Self::Authentication => "AUTHENTICATIONFAILED",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::ServerFault => "SERVERBUG",
            Self::NoMailbox => "NONEXISTENT",
        })
    }
}

/// The pairs `NAME number` in the parentheses at the end of an answer to `STATUS`, behind the
/// mailbox's name. What is no pair is passed over.
pub(super) fn status_items(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    let start = text.iter().rposition(|&octet| octet == b'(');
    let items = start.and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let items = items.trim_ascii_end();
    let items = items.strip_suffix(b")").unwrap_or_default();
    let mut words = words(items);
    core::iter::from_fn(move || Some((words.next()?, words.next()?)))
        .filter_map(|(name, number)| Some((name, number_of(number)?)))
}

/// Takes the announcement of a literal off the end of `line` (RFC 3501 §4.3, RFC 3516 §4.2 for
/// `~{n}`). `None` if it announces more than can be counted.
pub(super) fn literal(line: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let Some((text, digits)) = line
        .strip_suffix(b"}")
        .and_then(|line| {
            let at = line.iter().rposition(|&octet| octet == b'{')?;
            Some((line.get(..at)?, line.get(at + 1..)?))
        })
        .filter(|(text, _)| matches!(text, [] | [.., b' ' | b'(' | b'~']))
    else {
        return Some((line, None));
    };
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Some((line, None));
    }
    let text = text.strip_suffix(b"~").unwrap_or(text);
    Some((text, Some(number_of(digits)?)))
}

/// The first word of `text`, and what is behind the blanks after it.
pub(super) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&octet| octet == b' ');
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (word, rest.trim_ascii_start())
}

/// The words of `text`.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&octet| octet == b' ')
        .filter(|word| !word.is_empty())
}

/// All of `digits` as a number.
pub(super) fn number_of(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let cases: [(&[u8], Option<Line<'_>>); 12] = [
            (b"+ go on", Some(Line::Continuation(b"go on"))),
            (b"+", Some(Line::Continuation(b""))),
            (b"* OK x", Some(Line::Untagged(b"OK x"))),
            (b"*  OK", Some(Line::Untagged(b"OK"))),
            (b"a7 OK x", Some(Line::Tagged(7, b"OK x"))),
            (b"a4294967295 NO", Some(Line::Tagged(u32::MAX, b"NO"))),
            (b"a4294967296 NO", None),
            (b"a OK", None),
            (b"b1 OK", None),
            (b"a1x OK", None),
            (b"+OK POP3", None),
            (b"", None),
        ];
        for (line, expected) in cases {
            assert_eq!(Line::parse(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn data_is_known_in_any_case() {
        let cases: [(&[u8], Option<Data<'_>>); 14] = [
            (b"23 EXISTS", Some(Data::Exists(23))),
            (b"0 exists", Some(Data::Exists(0))),
            (b"3 Expunge", Some(Data::Expunge)),
            (b"0 EXPUNGE", None),
            (b"4294967296 EXISTS", None),
            (b"1x EXISTS", None),
            (b"5 RECENT", Some(Data::Other)),
            (b"3 FETCH (UID 1)", Some(Data::Fetch(3, b"(UID 1)"))),
            (b"0 FETCH (UID 1)", None),
            (
                b"capability IMAP4rev1",
                Some(Data::Capability(b"IMAP4rev1")),
            ),
            (b"STATUS x (A 1)", Some(Data::MailboxStatus(b"x (A 1)"))),
            (b"VANISHED (EARLIER) 1:3", Some(Data::Vanished)),
            (b"FLAGS (\\Seen)", Some(Data::Other)),
            (b"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Data::parse(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn status_and_codes() {
        let code = |text| Status::parse(text).and_then(|status| status.code);
        let cases: [(&[u8], Option<Code<'_>>); 14] = [
            (b"OK hello", None),
            (b"OK [ALERT] disk", Some(Code::Alert)),
            (
                b"ok [CAPABILITY IMAP4rev1 X] hi",
                Some(Code::Capability(b"IMAP4rev1 X")),
            ),
            (
                b"OK [UIDVALIDITY 3857529045] x",
                Some(Code::UidValidity(3_857_529_045)),
            ),
            (b"OK [UIDVALIDITY 4294967296] x", Some(Code::Other)),
            (b"OK [UIDNEXT 4392]", Some(Code::UidNext(4392))),
            (
                b"OK [HIGHESTMODSEQ 9223372036854775807]",
                Some(Code::HighestModSeq(i64::MAX as u64)),
            ),
            (b"OK [NOMODSEQ] x", Some(Code::Other)),
            (b"OK [READ-WRITE] x", Some(Code::ReadWrite)),
            (
                b"NO [AUTHENTICATIONFAILED] x",
                Some(Code::Reason(ResponseCode::Authentication)),
            ),
            (
                b"NO [unavailable]",
                Some(Code::Reason(ResponseCode::Unavailable)),
            ),
            (b"NO [X-NEW 1 2] x", Some(Code::Other)),
            (b"OK [UIDNEXT 1", None),
            (b"OK []", Some(Code::Other)),
        ];
        for (text, expected) in cases {
            assert_eq!(code(text), expected, "{}", text.escape_ascii());
        }
        for text in [&b"OKAY"[..], b"", b"23 EXISTS", b"PREAUTHX"] {
            assert_eq!(Status::parse(text), None);
        }
        let reason = |text| Status::parse(text).unwrap().reason();
        assert_eq!(reason(b"NO Mailbox is Locked"), Some(ResponseCode::InUse));
        assert_eq!(reason(b"NO [X] locked"), None);
        assert_eq!(reason(b"NO bad password"), None);
    }

    #[test]
    fn literals_are_announced_at_the_end() {
        type Found<'a> = Option<(&'a [u8], Option<u64>)>;
        let cases: [(&[u8], Found<'_>); 12] = [
            (b"BODY[] {342}", Some((b"BODY[] ", Some(342)))),
            (b"(x {0}", Some((b"(x ", Some(0)))),
            (b"({3+}", Some((b"(", Some(3)))),
            (b"BINARY[] ~{5}", Some((b"BINARY[] ", Some(5)))),
            (b"{1}", Some((b"", Some(1)))),
            (b"x {a}", Some((b"x {a}", None))),
            (b"x {}", Some((b"x {}", None))),
            (b"x{1}", Some((b"x{1}", None))),
            (b"\"{1}\"", Some((b"\"{1}\"", None))),
            (b"x }", Some((b"x }", None))),
            (b"x {18446744073709551615}", Some((b"x ", Some(u64::MAX)))),
            (b"x {18446744073709551616}", None),
        ];
        for (line, expected) in cases {
            assert_eq!(literal(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn status_items_are_pairs() {
        let items = |text| status_items(text).collect::<Vec<_>>();
        let two: [(&[u8], u64); 2] = [(b"MESSAGES", 3), (b"UIDNEXT", 7)];
        assert_eq!(items(b"\"a (b\" (MESSAGES 3 UIDNEXT 7)"), two);
        assert_eq!(items(b"INBOX ( MESSAGES 3  UIDNEXT 7 X y) "), two);
        for text in [
            &b"INBOX"[..],
            b"",
            b"(",
            b")",
            b"INBOX (MESSAGES 3",
            b"x ()",
        ] {
            assert_eq!(items(text), []);
        }
    }
}
