//! The mark on a mail that was read at the desk (patent claim 3): what is put in, and where.
//!
//! The copy is never changed: the mark is put in while the mail is sent. What each kind adds to a
//! mail depends on the day alone, so that sizes are exact before anybody has looked at a mail
//! (RFC 1939 §11).
//!
//! | mark | what is put in | where |
//! | --- | --- | --- |
//! | header | `X-Ringmail-Read-At-Desk: DAY` | before the first line |
//! | subject | `[read at desk]`, as a word of its own | before the words of the first `Subject` |
//! | | without one: `Subject: read` | at the end of the header |
//! | body | `[was read at the desk DAY]`, an empty line | before the first line of the body |
//! | | not plain text: as for header | at the end of the header |
//!
//! A word before the subject leaves encoded words (RFC 2047) and folding as they are: it stands
//! before the first of them, with a blank between. A line before the body is put into plain text
//! only, which has no `Content-Type`, or `text/plain`, and no encoding but quoted-printable: in a
//! multipart nobody would see it, in base64 it would spoil the mail, under a signature it would
//! break it.
//!
//! No line is held: octets may come in any pieces, lines may have any length.

use core::fmt::Write as _;

use crate::config::Mark;

use super::day::Day;

/// What is put into a mail, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Insertion {
    /// Octets of the mail before it.
    pub(super) at: u64,
    /// The octets.
    pub(super) text: Text,
}

/// Room for the longest text.
pub(super) type Text = heapless::String<64>;

/// Octets that `mark` adds to any mail.
pub(super) fn octets(mark: Mark, day: Day) -> u32 {
    let text = match mark {
        Mark::Header => field(day),
        Mark::Subject => text(SUBJECT),
        Mark::Body => line(day),
    };
    u32::try_from(text.len()).unwrap_or(0)
}

/// Reads a mail from its beginning, until the place for the mark is found.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    mark: Mark,
    day: Day,
    place: Place,
    /// Octets read.
    read: u64,
    /// Where the line at hand began.
    line: u64,
    name: Word<NAME_OCTETS>,
    value: Word<VALUE_OCTETS>,
    field: Field,
    /// Nothing in the header says that the body is anything but plain text.
    plain: bool,
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    LineStart,
    /// One CR so far.
    LineStartCr,
    Name,
    /// In blanks between the name and its colon (RFC 5322 §4.5).
    AfterName,
    /// Behind the colon of the subject that is marked.
    Subject,
    /// In the value of a field, or in a line that is none.
    Value,
}

/// A field whose value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Other,
    ContentType,
    Encoding,
}

/// The first octets of a word, in lower case.
#[derive(Clone, Copy, Debug)]
struct Word<const N: usize> {
    octets: [u8; N],
    len: usize,
}

impl Finder {
    /// At the beginning of a mail that is marked as `mark` says, read at the desk on `day`.
    pub(super) fn new(mark: Mark, day: Day) -> Self {
        Self {
            mark,
            day,
            place: Place::LineStart,
            read: 0,
            line: 0,
            name: Word::EMPTY,
            value: Word::EMPTY,
            field: Field::Other,
            plain: true,
        }
    }

    /// Reads the next `octets` of the mail; the insertion, once its place is found.
    pub(super) fn read(&mut self, octets: &[u8]) -> Option<Insertion> {
        if self.mark == Mark::Header {
            return Some(self.insertion(0, field(self.day)));
        }
        for &octet in octets {
            let found = self.step(octet);
            self.read += 1;
            if let Some(text) = found {
                let at = match (self.mark, self.place) {
                    // At the first octet behind the colon, or behind the empty line.
                    (Mark::Subject, Place::Subject) => self.read - 1,
                    (Mark::Body, _) if self.plain => self.read,
                    _ => self.line,
                };
                return Some(self.insertion(at, text));
            }
            if octet == b'\n' {
                self.line = self.read;
            }
        }
        None
    }

    /// The mail has ended: it was all header.
    pub(super) fn finish(mut self) -> Insertion {
        let text = match (self.mark, self.place) {
            (Mark::Subject, Place::Subject) => text(SUBJECT),
            (Mark::Subject, _) => text(NO_SUBJECT),
            (Mark::Header | Mark::Body, _) => field(self.day),
        };
        let at = match self.mark {
            Mark::Header => 0,
            Mark::Subject | Mark::Body => self.read,
        };
        self.insertion(at, text)
    }

    fn insertion(&mut self, at: u64, text: Text) -> Insertion {
        Insertion { at, text }
    }

    /// One octet of the header; what is put in, if its place is found.
    fn step(&mut self, octet: u8) -> Option<Text> {
        self.place = match (self.place, octet) {
            (Place::LineStart | Place::LineStartCr, b'\n') => {
                self.end_field();
                return Some(match self.mark {
                    Mark::Subject => text(NO_SUBJECT),
                    Mark::Body if self.plain => line(self.day),
                    Mark::Header | Mark::Body => field(self.day),
                });
            }
            (Place::LineStart, b'\r') => Place::LineStartCr,
            // A continuation.
            (Place::LineStart, b' ' | b'\t') => Place::Value,
            (Place::LineStart, _) => {
                self.end_field();
                self.name = Word::EMPTY;
                self.in_name(octet)
            }
            (Place::Name, _) => self.in_name(octet),
            (Place::AfterName, b' ' | b'\t') => Place::AfterName,
            (Place::AfterName, b':') => self.begin_field(),
            (Place::Subject, b' ' | b'\t' | b'\r' | b'\n') => return Some(text(SUBJECT)),
            (Place::Subject, _) => return Some(text(SUBJECT_UNBLANKED)),
            (Place::AfterName | Place::Value, b'\n') => Place::LineStart,
            (Place::AfterName | Place::Value | Place::LineStartCr, _) => {
                if self.field != Field::Other {
                    self.value.push(octet);
                }
                Place::Value
            }
        };
        None
    }

    fn in_name(&mut self, octet: u8) -> Place {
        match octet {
            b'\n' => Place::LineStart,
            b':' => self.begin_field(),
            b' ' | b'\t' => Place::AfterName,
            _ => {
                self.name.push(octet);
                Place::Name
            }
        }
    }

    fn begin_field(&mut self) -> Place {
        self.value = Word::EMPTY;
        match (self.mark, self.name.octets()) {
            (Mark::Subject, b"subject") => return Place::Subject,
            (Mark::Body, b"content-type") => self.field = Field::ContentType,
            (Mark::Body, b"content-transfer-encoding") => self.field = Field::Encoding,
            _ => {}
        }
        Place::Value
    }

    fn end_field(&mut self) {
        let value = self.value.octets();
        let value = value
            .split(|&octet| octet == b';')
            .next()
            .unwrap_or_default();
        self.plain &= match self.field {
            Field::Other => true,
            Field::ContentType => value == b"text/plain",
            Field::Encoding => {
                matches!(value, b"7bit" | b"8bit" | b"binary" | b"quoted-printable")
            }
        };
        self.field = Field::Other;
    }
}

impl<const N: usize> Word<N> {
    const EMPTY: Self = Self {
        octets: [0; N],
        len: 0,
    };

    /// Adds an octet; blanks and CRs do not count.
    fn push(&mut self, octet: u8) {
        if matches!(octet, b' ' | b'\t' | b'\r') {
            return;
        }
        if let Some(place) = self.octets.get_mut(self.len) {
            *place = octet.to_ascii_lowercase();
        }
        // Beyond the end: too long for any word that counts, unless cut off by a semicolon.
        self.len = self.len.saturating_add(1);
    }

    fn octets(&self) -> &[u8] {
        let held = self.octets.get(..self.len);
        held.unwrap_or(&self.octets)
    }
}

/// The field that says it.
fn field(day: Day) -> Text {
    let mut text = Text::new();
    // 40 octets at the most.
    let _ = write!(text, "{FIELD}: {day}\r\n");
    text
}

/// The line before the body that says it, and the empty one behind it.
fn line(day: Day) -> Text {
    let mut text = Text::new();
    // As long as the field, which may stand in its place: a test holds it.
    let _ = write!(text, "[was read at the desk {day}]\r\n\r\n");
    text
}

fn text(text: &str) -> Text {
    Text::try_from(text).unwrap_or_default()
}

/// Name of the field.
pub(super) const FIELD: &str = "X-Ringmail-Read-At-Desk";

/// Put behind the colon of a subject that begins with a blank, or has no words.
const SUBJECT: &str = " [read at desk]";
/// Put there if it begins at once.
const SUBJECT_UNBLANKED: &str = "[read at desk] ";
/// Put in where there is no subject. All three have one length.
const NO_SUBJECT: &str = "Subject: read\r\n";
const _: () = assert!(SUBJECT.len() == NO_SUBJECT.len());
const _: () = assert!(SUBJECT_UNBLANKED.len() == NO_SUBJECT.len());

/// `content-transfer-encoding`, and one more: a longer name must not look like it.
const NAME_OCTETS: usize = 26;
/// `quoted-printable`, and one more.
const VALUE_OCTETS: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Day = Day(20_000);

    /// `mail` marked, read in pieces of `chunk` octets.
    fn marked_by(mail: &[u8], mark: Mark, day: Day, chunk: usize) -> Vec<u8> {
        let mut finder = Finder::new(mark, day);
        let found = mail.chunks(chunk).find_map(|piece| finder.read(piece));
        let insertion = found.unwrap_or_else(|| finder.finish());
        let (before, behind) = mail.split_at(usize::try_from(insertion.at).unwrap());
        assert_eq!(insertion.text.len(), octets(mark, day) as usize);
        [before, insertion.text.as_bytes(), behind].concat()
    }

    fn marked(mail: &str, mark: Mark) -> String {
        let whole = marked_by(mail.as_bytes(), mark, DAY, usize::MAX);
        for chunk in 1..64 {
            assert_eq!(marked_by(mail.as_bytes(), mark, DAY, chunk), whole);
        }
        String::from_utf8(whole).unwrap()
    }

    #[test]
    fn a_field_stands_before_all_others() {
        assert_eq!(
            marked("From: a\r\n\r\nHello\r\n", Mark::Header),
            "X-Ringmail-Read-At-Desk: 2024-10-04\r\nFrom: a\r\n\r\nHello\r\n"
        );
        assert_eq!(
            marked("", Mark::Header),
            "X-Ringmail-Read-At-Desk: 2024-10-04\r\n"
        );
    }

    #[test]
    fn a_word_stands_before_the_subject() {
        let cases = [
            (
                "Subject: Hello\r\n\r\n",
                "Subject: [read at desk] Hello\r\n\r\n",
            ),
            (
                "subject:Hello\r\n\r\n",
                "subject:[read at desk] Hello\r\n\r\n",
            ),
            (
                "SUBJECT : Hello\r\n\r\n",
                "SUBJECT : [read at desk] Hello\r\n\r\n",
            ),
            ("Subject:\r\n\r\n", "Subject: [read at desk]\r\n\r\n"),
            ("Subject:", "Subject: [read at desk]"),
            // Folded, and an encoded word: a blank stands before it.
            (
                "A: b\r\nSubject:\r\n Hello\r\n\r\n",
                "A: b\r\nSubject: [read at desk]\r\n Hello\r\n\r\n",
            ),
            (
                "Subject:=?utf-8?q?=C3=A4?=\r\n\r\n",
                "Subject:[read at desk] =?utf-8?q?=C3=A4?=\r\n\r\n",
            ),
            // The first of two; none within a folded line, or in the body.
            (
                "X: y\r\n Subject: no\r\nSubject: a\r\nSubject: b\r\n\r\n",
                "X: y\r\n Subject: no\r\nSubject: [read at desk] a\r\nSubject: b\r\n\r\n",
            ),
            (
                "X: y\r\n\r\nSubject: body\r\n",
                "X: y\r\nSubject: read\r\n\r\nSubject: body\r\n",
            ),
            ("\r\nHello\r\n", "Subject: read\r\n\r\nHello\r\n"),
            ("X: y\r\n", "X: y\r\nSubject: read\r\n"),
            (
                "X-Subject: y\n\nHello\n",
                "X-Subject: y\nSubject: read\r\n\nHello\n",
            ),
            ("", "Subject: read\r\n"),
        ];
        for (mail, expected) in cases {
            assert_eq!(marked(mail, Mark::Subject), expected, "{mail:?}");
        }
    }

    #[test]
    fn a_line_stands_before_plain_text_only() {
        const LINE: &str = "[was read at the desk 2024-10-04]\r\n\r\n";
        const FIELD: &str = "X-Ringmail-Read-At-Desk: 2024-10-04\r\n";
        let plain = [
            "X: y",
            "Content-Type: text/plain",
            "content-type : TEXT/Plain; charset=utf-8",
            "Content-Type:\r\n text/plain;\r\n charset=\"a;b\"",
            "Content-Transfer-Encoding: 8bit\r\nContent-Type:text/plain",
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
            "X: y\r\n Content-Type: text/html",
        ];
        for header in plain {
            let mail = format!("{header}\r\n\r\nHello\r\n");
            let expected = format!("{header}\r\n\r\n{LINE}Hello\r\n");
            assert_eq!(marked(&mail, Mark::Body), expected, "{header:?}");
        }
        let other = [
            "Content-Type: multipart/mixed; boundary=x",
            "Content-Type:\r\n multipart/signed",
            "Content-Type: text/html",
            "Content-Type: text/plainer",
            "Content-Type: text/plain-and-much-longer",
            "Content-Type:",
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64",
            "Content-Type: text/plain\r\nContent-Type: text/html",
            "Content-Transfer-Encoding: x-unknown-and-longer-than-any",
        ];
        for header in other {
            let mail = format!("{header}\r\n\r\nHello\r\n");
            let expected = format!("{header}\r\n{FIELD}\r\nHello\r\n");
            assert_eq!(marked(&mail, Mark::Body), expected, "{header:?}");
        }
        // Without a body.
        assert_eq!(marked("X: y\r\n", Mark::Body), format!("X: y\r\n{FIELD}"));
        assert_eq!(
            marked("\r\nHello\r\n", Mark::Body),
            format!("\r\n{LINE}Hello\r\n")
        );
    }

    /// All small mails, any day: what is put in has the length that was announced, stands in the
    /// mail, and the rest is as it was. `octets` is checked in `marked_by`.
    #[test]
    fn any_small_mail_gets_what_was_announced() {
        const SIGNS: [&str; 6] = ["\r", "\n", ":", " ", "a", "Subject"];
        for code in 0..6_usize.pow(6) {
            let mut rest = code;
            let mut mail = String::new();
            for _ in 0..6 {
                mail.push_str(SIGNS[rest % 6]);
                rest /= 6;
            }
            for mark in [Mark::Header, Mark::Subject, Mark::Body] {
                for day in [Day(0), Day(1), Day(u16::MAX)] {
                    marked_by(mail.as_bytes(), mark, day, 5);
                }
            }
        }
    }

    #[test]
    fn field_and_line_have_one_length() {
        for day in [0, 1, 9_999, 20_000, u16::MAX] {
            assert_eq!(field(Day(day)).len(), line(Day(day)).len());
        }
    }
}
