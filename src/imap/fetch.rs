//! One `FETCH` response: the attributes of one mail (RFC 3501 §7.4.2, RFC 9051 §7.5.2).
//!
//! ```text
//! * 12 FETCH (UID 5 FLAGS (\Seen $Junk) BODY[] {342} CR LF
//! \______ fragment _________________________________/     342 octets, then: )
//! ```
//!
//! A response is read fragment by fragment, with literals between them. What nobody asked for is
//! passed over, however it is nested; nesting has a bound.

use super::response::{number_of, words};

/// Parentheses inside one another. `BODYSTRUCTURE`, the deepest there is, nobody asks for here.
const NESTING: u8 = 32;

/// What is known of one mail so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    /// Its sequence number.
    pub(super) number: u32,
    /// Its UID.
    pub(super) uid: Option<u32>,
    /// Its flags.
    pub(super) flags: Option<Flags>,
    /// `RFC822.SIZE`.
    pub(super) size: Option<u32>,
    /// Its text, or a part of it.
    pub(super) body: Option<Body>,
    place: Place,
}

/// The flags that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `\Seen`
    pub(super) seen: bool,
    /// `\Deleted`
    pub(super) deleted: bool,
}

/// Which part of a mail a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `BODY[HEADER]`
    Header,
    /// `BODY[]`, or so many octets of it.
    All,
}

/// A text as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    pub(super) section: Section,
    pub(super) form: Form,
}

/// How a text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It was a literal.
    Literal,
    /// In quotes: so many octets of it are in `out`.
    Quoted(usize),
    /// There is none.
    Nil,
}

/// What comes after a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A literal with the text that was asked for.
    Text(Section),
    /// A literal of no interest.
    Skip,
    /// Nothing: the response is whole.
    End,
}

/// Where in the response the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first parenthesis.
    Start,
    /// Before the name of an attribute, or the end.
    Name,
    /// Before its value.
    Value(Attribute),
    /// In a value of no interest, so many parentheses deep.
    Inside(u8),
    /// Behind the last parenthesis.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Uid,
    Flags,
    Size,
    Body(Section),
    Other,
}

impl Fetch {
    /// Nothing is known of mail `number`.
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            uid: None,
            flags: None,
            size: None,
            body: None,
            place: Place::Start,
        }
    }

    /// Reads a fragment, which ends in a literal or ends the response. A text in quotes goes to
    /// `out`. `None` if it cannot be understood.
    pub(super) fn read(&mut self, text: &[u8], literal: bool, out: &mut [u8]) -> Option<Next> {
        let mut rest = text;
        loop {
            rest = match self.place {
                Place::Start => {
                    self.place = Place::Name;
                    rest.trim_ascii_start().strip_prefix(b"(")?
                }
                Place::Name => self.read_name(rest.trim_ascii_start())?,
                Place::Value(attribute) => {
                    let rest = rest.trim_ascii_start();
                    if rest.is_empty() {
                        return self.meet_literal(attribute).filter(|_| literal);
                    }
                    self.read_value(rest, attribute, out)?
                }
                Place::Inside(depth) if rest.is_empty() => {
                    return (literal && depth > 0).then_some(Next::Skip);
                }
                Place::Inside(depth) => self.pass_over(rest, depth)?,
                Place::End => {
                    let whole = rest.trim_ascii_start().is_empty() && !literal;
                    return whole.then_some(Next::End);
                }
            };
        }
    }

    fn read_name<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        if let Some(rest) = text.strip_prefix(b")") {
            self.place = Place::End;
            return Some(rest);
        }
        // A section in brackets may hold blanks and parentheses.
        let mut bracketed = false;
        let end = text.iter().position(|octet| {
            match octet {
                b'[' => bracketed = true,
                b']' => bracketed = false,
                _ => {}
            }
            !bracketed && matches!(octet, b' ' | b'(' | b')' | b'"')
        })?;
        let (name, rest) = text.split_at(end);
        self.place = Place::Value(Attribute::named(name)?);
        Some(rest)
    }

    fn read_value<'t>(
        &mut self,
        text: &'t [u8],
        attribute: Attribute,
        out: &mut [u8],
    ) -> Option<&'t [u8]> {
        self.place = Place::Name;
        match text {
            [b'(', rest @ ..] if attribute == Attribute::Flags => {
                let end = rest.iter().position(|&octet| octet == b')')?;
                let mut flags = Flags::default();
                for flag in words(rest.get(..end)?) {
                    flags.seen |= flag.eq_ignore_ascii_case(b"\\Seen");
                    flags.deleted |= flag.eq_ignore_ascii_case(b"\\Deleted");
                }
                self.flags = Some(flags);
                rest.get(end + 1..)
            }
            [b'(', rest @ ..] => {
                self.place = Place::Inside(1);
                Some(rest)
            }
            [b'"', rest @ ..] => {
                let Attribute::Body(section) = attribute else {
                    return unquote(rest, None).map(|(_, rest)| rest);
                };
                let (length, rest) = unquote(rest, Some(out))?;
                self.put_body(section, Form::Quoted(length))?;
                Some(rest)
            }
            _ => {
                let end = text
                    .iter()
                    .position(|octet| matches!(octet, b' ' | b')' | b'('))?;
                let (value, rest) = text.split_at(end);
                self.put_atom(attribute, value)?;
                Some(rest)
            }
        }
    }

    fn put_atom(&mut self, attribute: Attribute, value: &[u8]) -> Option<()> {
        match attribute {
            Attribute::Uid => {
                let uid = u32::try_from(number_of(value)?)
                    .ok()
                    .filter(|&uid| uid > 0)?;
                // Two of them are one too many.
                if self.uid.is_some_and(|other| other != uid) {
                    return None;
                }
                self.uid = Some(uid);
            }
            Attribute::Size => {
                // Sizes of 64 bits are allowed; what is larger than any ring is just too large.
                self.size = Some(u32::try_from(number_of(value)?).unwrap_or(u32::MAX));
            }
            Attribute::Body(section) => {
                if !value.eq_ignore_ascii_case(b"NIL") {
                    return None;
                }
                self.put_body(section, Form::Nil)?;
            }
            Attribute::Flags => return None,
            Attribute::Other => {}
        }
        Some(())
    }

    fn put_body(&mut self, section: Section, form: Form) -> Option<()> {
        if self.body.is_some() {
            return None;
        }
        self.body = Some(Body { section, form });
        Some(())
    }

    fn meet_literal(&mut self, attribute: Attribute) -> Option<Next> {
        self.place = Place::Name;
        match attribute {
            Attribute::Body(section) => {
                self.put_body(section, Form::Literal)?;
                Some(Next::Text(section))
            }
            Attribute::Other => Some(Next::Skip),
            Attribute::Uid | Attribute::Flags | Attribute::Size => None,
        }
    }

    fn pass_over<'t>(&mut self, text: &'t [u8], depth: u8) -> Option<&'t [u8]> {
        let (first, rest) = text.split_first()?;
        let depth = match first {
            b'(' => depth + 1,
            b')' => depth - 1,
            b'"' => return unquote(rest, None).map(|(_, rest)| rest),
            _ => return Some(rest),
        };
        if depth > NESTING {
            return None;
        }
        self.place = match depth {
            0 => Place::Name,
            depth => Place::Inside(depth),
        };
        Some(rest)
    }
}

impl Attribute {
    fn named(name: &[u8]) -> Option<Self> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        // What was asked for as so many octets is named by where it begins.
        let from = |known: &[u8]| {
            let start = name.get(..known.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(known))
        };
        Some(match name {
            [] => return None,
            _ if is(b"UID") => Self::Uid,
            _ if is(b"FLAGS") => Self::Flags,
            _ if is(b"RFC822.SIZE") => Self::Size,
            _ if is(b"BODY[]") || from(b"BODY[]<") => Self::Body(Section::All),
            _ if is(b"BODY[HEADER]") => Self::Body(Section::Header),
            _ => Self::Other,
        })
    }
}

/// Reads a quoted string behind its first quote; its content goes to `out`, where there is one.
/// Returns its length, and what is behind the last quote; `None` without that, or without room.
fn unquote<'t>(text: &'t [u8], out: Option<&mut [u8]>) -> Option<(usize, &'t [u8])> {
    let mut out = out;
    let mut length = 0;
    let mut at = 0;
    loop {
        let octet = match *text.get(at)? {
            b'"' => return Some((length, text.get(at + 1..)?)),
            b'\\' => {
                at += 1;
                *text.get(at)?
            }
            octet => octet,
        };
        if let Some(out) = &mut out {
            *out.get_mut(length)? = octet;
        }
        length += 1;
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads one fragment that is a whole response.
    fn whole(text: &str) -> Option<Fetch> {
        let mut fetch = Fetch::new(1);
        let next = fetch.read(text.as_bytes(), false, &mut [0; 16])?;
        (next == Next::End).then_some(fetch)
    }

    #[test]
    fn attributes_in_any_order_and_any_case() {
        for text in [
            "(UID 5 FLAGS (\\Seen) RFC822.SIZE 44)",
            "(rfc822.size 44 flags (\\Answered \\SEEN $Junk) uid 5)",
            "( UID  5  FLAGS ( \\Seen ) RFC822.SIZE 44 ) ",
            "(FLAGS (\\Seen) MODSEQ (12 (3)) RFC822.SIZE 44 X NIL UID 5)",
            "(ENVELOPE (\"a (\\\"b\" NIL ((NIL))) UID 5 FLAGS(\\Seen) RFC822.SIZE 44)",
            "(BODY[HEADER.FIELDS (A B)] NIL UID 5 FLAGS (\\Seen) RFC822.SIZE 44 Y \")\")",
        ] {
            let fetch = whole(text).expect(text);
            let flags = fetch.flags.map(|flags| (flags.seen, flags.deleted));
            let known = (fetch.uid, flags, fetch.size);
            assert_eq!(known, (Some(5), Some((true, false)), Some(44)), "{text}");
        }
        assert_eq!(whole("()").map(|fetch| fetch.uid), Some(None));
        let deleted = whole("(FLAGS (\\Deleted))").and_then(|fetch| fetch.flags);
        assert!(deleted.is_some_and(|flags| flags.deleted && !flags.seen));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for text in [
            "",
            "UID 5",
            "(",
            "(UID",
            "(UID )",
            "(UID 5",
            "(UID 0)",
            "(UID x)",
            "(UID 5 UID 6)",
            "(UID 4294967296)",
            "(UID (5))x",
            "(FLAGS \\Seen)",
            "(FLAGS (\\Seen)",
            "(X \"a)",
            "(X \"a\\)",
            "(X (a)",
            "(BODY[] x)",
            "(BODY[] NIL BODY[] NIL)",
            "(BODY[ NIL)",
            "(UID 5) UID",
            "(\"UID\" 5)",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
        let deep = |n: usize| format!("(X {}{} UID 5)", "(".repeat(n), ")".repeat(n));
        assert!(whole(&deep(32)).is_some());
        assert!(whole(&deep(33)).is_none());
    }

    #[test]
    fn texts_in_every_form() {
        let body = |section, form| Some(Body { section, form });
        for (text, expected) in [
            ("(UID 5 BODY[] NIL)", body(Section::All, Form::Nil)),
            (
                "(BODY[]<0> \"\" UID 5)",
                body(Section::All, Form::Quoted(0)),
            ),
            (
                "(BODY[HEADER] \"a\\\"\\\\b\" UID 5)",
                body(Section::Header, Form::Quoted(4)),
            ),
            ("(BODY[TEXT] \"x\" UID 5)", None),
        ] {
            let fetch = whole(text).expect(text);
            assert_eq!(fetch.body, expected, "{text}");
        }
        // No room: 16 octets are lent.
        assert_eq!(whole("(BODY[] \"12345678901234567\")"), None);
        assert!(whole("(BODY[] \"1234567890123456\")").is_some());
    }

    #[test]
    fn literals_stand_between_fragments() {
        let mut fetch = Fetch::new(3);
        let out = &mut [0; 4];
        let mut read = |text: &[u8], literal| fetch.read(text, literal, out);
        assert_eq!(read(b"(X (a ", true), Some(Next::Skip));
        assert_eq!(read(b" b) Y ", true), Some(Next::Skip));
        assert_eq!(read(b" BODY[] ", true), Some(Next::Text(Section::All)));
        assert_eq!(read(b" UID 7)", false), Some(Next::End));
        assert_eq!((fetch.number, fetch.uid), (3, Some(7)));
        for (text, literal) in [
            (&b"(UID "[..], true),
            (b"(FLAGS ", true),
            (b"(UID 5 ", true),
            (b"(", true),
            (b"(UID 5)", true),
            (b"(BODY[] ", false),
            (b"(X (", false),
        ] {
            let next = Fetch::new(1).read(text, literal, &mut [0; 4]);
            assert_eq!(next, None, "{}", text.escape_ascii());
        }
    }
}
