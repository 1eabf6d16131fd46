//! The notice that is offered in place of a mail that was read at the desk (patent claim 3).
//!
//! ```text
//! From: Anna <anna@example.net>             from whom, as in the mail
//! Date: Mon, 23 Nov 2026 10:00:00 +0100     as in the mail
//! Subject: [read at desk] =?utf-8?q?Gr=C3=BC=C3=9Fe?=
//! X-Ringmail-Read-At-Desk: 2026-11-24
//!
//! Read at the desk: 2026-11-24. The mail has 2345 octets.
//! To get it, log in as anna+full.
//! ```
//!
//! What the mail said of itself stands in the notice's own header, as it is: the caller's program
//! decodes it, as it would have done in the mail. Fields are unfolded, control characters become
//! `?`, and what is too long is cut. It has no `Message-ID`: another one would answer to a mail
//! that nobody else has, and the mail's own would make two mails of one name.

use core::fmt::{self, Write as _};

use super::day::Day;
use super::mark;
use super::row::FULL;

/// A whole notice: the longest fields, and some 300 octets around them.
pub(super) type Text = heapless::Vec<u8, 1280>;

/// What a notice says of a mail, read from the mail's beginning.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    from: Value<200>,
    date: Value<60>,
    subject: Value<400>,
    place: Place,
    kind: Kind,
    name: [u8; NAME_OCTETS],
    name_octets: usize,
    done: bool,
}

/// A field's value: the first octets of it.
#[derive(Clone, Debug, Default)]
struct Value<const N: usize> {
    octets: heapless::Vec<u8, N>,
    /// There was more.
    cut: bool,
    /// It has come: of several fields the first one counts.
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    LineStartCr,
    Name,
    AfterName,
    Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Other,
    From,
    Date,
    Subject,
}

impl Fields {
    /// At the beginning of a mail.
    pub(super) fn new() -> Self {
        Self {
            from: Value::default(),
            date: Value::default(),
            subject: Value::default(),
            place: Place::LineStart,
            kind: Kind::Other,
            name: [0; NAME_OCTETS],
            name_octets: 0,
            done: false,
        }
    }

    /// Reads the next `octets` of the mail. Returns whether more would change nothing.
    pub(super) fn read(&mut self, octets: &[u8]) -> bool {
        for &octet in octets {
            if self.done {
                break;
            }
            self.step(octet);
        }
        self.done
    }

    /// The notice of this mail, which has `octets` and was read at the desk on `day`, for the
    /// user called `name`.
    pub(super) fn compose(&self, day: Day, octets: u32, name: &str) -> Text {
        let mut notice = Composer(Text::new());
        notice.field("From", &self.from, "", "unknown <unknown@invalid>");
        if !self.date.octets.is_empty() {
            notice.field("Date", &self.date, "", "");
        }
        notice.field("Subject", &self.subject, "[read at desk]", "");
        // There is room for all of it: a test has the longest of each.
        let _ = write!(
            notice,
            "{}: {day}\r\n\r\nRead at the desk: {day}. The mail has {octets} octets.\r\nTo get \
             it, log in as {name}+{FULL}.\r\n",
            mark::FIELD
        );
        notice.0
    }

    fn step(&mut self, octet: u8) {
        self.place = match (self.place, octet) {
            (Place::LineStart | Place::LineStartCr, b'\n') => {
                self.done = true;
                Place::LineStart
            }
            (Place::LineStart, b'\r') => Place::LineStartCr,
            (Place::LineStart, b' ' | b'\t') => {
                self.push(b' ');
                Place::Value
            }
            (Place::LineStart, _) => {
                self.end_field();
                self.name_octets = 0;
                self.in_name(octet)
            }
            (Place::Name, _) => self.in_name(octet),
            (Place::AfterName, b' ' | b'\t') => Place::AfterName,
            (Place::AfterName, b':') => self.begin_field(),
            (Place::AfterName | Place::Value, b'\n') => Place::LineStart,
            (Place::AfterName | Place::Value | Place::LineStartCr, _) => {
                self.push(octet);
                Place::Value
            }
        };
    }

    fn in_name(&mut self, octet: u8) -> Place {
        match octet {
            b'\n' => return Place::LineStart,
            b':' => return self.begin_field(),
            b' ' | b'\t' => return Place::AfterName,
            _ => {}
        }
        if let Some(place) = self.name.get_mut(self.name_octets) {
            *place = octet.to_ascii_lowercase();
        }
        self.name_octets = self.name_octets.saturating_add(1);
        Place::Name
    }

    fn begin_field(&mut self) -> Place {
        let name = self.name.get(..self.name_octets);
        self.kind = match name.unwrap_or_default() {
            b"from" if !self.from.ended => Kind::From,
            b"date" if !self.date.ended => Kind::Date,
            b"subject" if !self.subject.ended => Kind::Subject,
            _ => Kind::Other,
        };
        Place::Value
    }

    fn end_field(&mut self) {
        match self.kind {
            Kind::Other => {}
            Kind::From => self.from.ended = true,
            Kind::Date => self.date.ended = true,
            Kind::Subject => self.subject.ended = true,
        }
        self.kind = Kind::Other;
    }

    fn push(&mut self, octet: u8) {
        match self.kind {
            Kind::Other => {}
            Kind::From => self.from.push(octet),
            Kind::Date => self.date.push(octet),
            Kind::Subject => self.subject.push(octet),
        }
    }
}

impl<const N: usize> Value<N> {
    fn push(&mut self, octet: u8) {
        let octet = match octet {
            b'\r' => return,
            b'\t' => b' ',
            octet if octet.is_ascii_control() => b'?',
            octet => octet,
        };
        // Of several blanks, as folding makes them, one is enough; none at the beginning.
        if octet == b' ' && self.octets.last().is_none_or(|&last| last == b' ') {
            return;
        }
        self.cut |= self.octets.push(octet).is_err();
    }

    /// What is shown of it. Cut at a blank: half an encoded word says nothing.
    fn shown(&self) -> &[u8] {
        if !self.cut {
            return self.octets.trim_ascii_end();
        }
        let blank = self.octets.iter().rposition(|&octet| octet == b' ');
        let end = blank.unwrap_or(self.octets.len());
        self.octets.get(..end).unwrap_or_default()
    }
}

/// Writes a notice.
struct Composer(Text);

impl Composer {
    /// A field: `before` and the mail's own words, or `instead` where it has none.
    fn field<const N: usize>(&mut self, name: &str, value: &Value<N>, before: &str, instead: &str) {
        let shown = value.shown();
        let dots = if value.cut { " ..." } else { "" };
        // There is room: see `compose`.
        let _ = write!(self, "{name}:");
        for part in [before.as_bytes(), shown] {
            if !part.is_empty() {
                let _ = self.0.push(b' ');
                let _ = self.0.extend_from_slice(part);
            }
        }
        if shown.is_empty() && !instead.is_empty() {
            let _ = write!(self, " {instead}");
        }
        let _ = write!(self, "{dots}\r\n");
    }
}

impl fmt::Write for Composer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let written = self.0.extend_from_slice(text.as_bytes());
        written.map_err(|_| fmt::Error)
    }
}

/// `subject`
const NAME_OCTETS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(mail: &[u8]) -> String {
        let read = |chunk: usize| {
            let mut fields = Fields::new();
            let _ = mail.chunks(chunk).any(|piece| fields.read(piece));
            fields.compose(Day(20_000), 2345, "anna").to_vec()
        };
        let whole = read(usize::MAX);
        for chunk in 1..40 {
            assert_eq!(read(chunk), whole);
        }
        String::from_utf8_lossy(&whole).into_owned()
    }

    const END: &str = "X-Ringmail-Read-At-Desk: 2024-10-04\r\n\r\nRead at the desk: 2024-10-04. The \
                       mail has 2345 octets.\r\nTo get it, log in as anna+full.\r\n";

    #[test]
    fn it_says_what_the_mail_says() {
        let mail = b"Received: x\r\nSubject:\r\n =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\t again\r\nFrom: A \
                     <a@b>\r\nDATE : Mon, 1 Jan 2024 10:00 +0100\r\nFrom: other\r\n\r\nDate: body\r\n";
        assert_eq!(
            notice(mail),
            format!(
                "From: A <a@b>\r\nDate: Mon, 1 Jan 2024 10:00 +0100\r\nSubject: [read at desk] \
                 =?utf-8?q?Gr=C3=BC=C3=9Fe?= again\r\n{END}"
            )
        );
    }

    #[test]
    fn a_mail_without_a_header_has_a_notice() {
        let expected =
            format!("From: unknown <unknown@invalid>\r\nSubject: [read at desk]\r\n{END}");
        for mail in [
            &b""[..],
            b"\r\nSubject: body\r\n",
            b"no header\r\n",
            b"Subject:",
        ] {
            assert_eq!(notice(mail), expected, "{mail:?}");
        }
    }

    /// Whatever a sender writes: a few lines of a header, an empty line, two lines, and room.
    #[test]
    fn no_sender_can_write_more_than_a_value() {
        let long = "x".repeat(5000);
        let words = "word ".repeat(1000);
        for value in [
            "a\0b\x1b[2J\x7f",
            "a\rb",
            "a\r\n\r b",
            "\u{e4}\u{f6}",
            long.as_str(),
            words.as_str(),
            "",
        ] {
            let mail = format!("From: {value}\r\nDate: {value}\r\nSubject: {value}\r\n\r\n");
            let mut fields = Fields::new();
            fields.read(mail.as_bytes());
            let name = "n".repeat(crate::config::NAME_OCTETS);
            let text = fields.compose(Day(0), u32::MAX, &name);
            assert!(text.ends_with(b"+full.\r\n"), "{value:?}");
            let text = String::from_utf8_lossy(&text).into_owned();
            let (header, body) = text.split_once("\r\n\r\n").unwrap();
            assert!((3..=4).contains(&header.lines().count()), "{text:?}");
            assert_eq!(body.lines().count(), 2);
            let control = |sign: char| sign.is_control() && !matches!(sign, '\r' | '\n');
            assert!(!text.contains(control), "{text:?}");
            assert!(header.lines().all(|line| line.len() < 998));
        }
        assert!(notice(format!("Subject: {words}\r\n\r\n").as_bytes()).contains("word ...\r\n"));
    }
}
