//! The identity of a mail that is made of its header (patent P0038).
//!
//! A server may renumber its list, move to another machine, or have no unique-ids at all; the
//! mail itself stays. Its identity is one number, persisted in the ledger, so what goes into it
//! is frozen: golden values in the tests guard it.
//!
//! **Which fields.** A list of those that are let in, not of those that are kept out: servers and
//! user agents add fields of their own at any time (`Status`, `X-UIDL`, marks of filters), and
//! rewrite `Return-Path`.
//! - `From`, `To`, `Cc`, `Date`, `Subject`, `Message-ID`: what the sender wrote. Everything that
//!   carries mail keeps them.
//! - The topmost `Received`, because it is the only one the sender does not write: the server
//!   that took the mail in did, with the moment and a number of its own. It parts the copy that
//!   came directly from the one that came by a list, and a mail sent twice; and nobody can send a
//!   second mail that is taken for the first, to have it dropped unread. It survives where the
//!   mail is moved as it is (new index, other server software, copying by IMAP). Where mail is
//!   sent on by a program that adds a `Received` on top, all of it counts as new: that costs line
//!   time and no mail.
//! - Not `Delivered-To`: it parts no more than the `Received` below it, and changes when an
//!   account is renamed.
//!
//! **Normal form.** Field names in lower case. White space, folding and CR are dropped. Each run
//! of octets that are 8-bit, control, or `?`, becomes one `?`: servers replace what they cannot
//! send, octet by octet, character by character, or NUL alone. The order of fields does not count,
//! their number does: each is hashed by itself (SipHash-2-4, fixed key) and the sum is the
//! identity.
//!
//! **A mail without its own mark.** Without `Received`, `Message-ID` and `Date`, different mails
//! may well have the same fields; then the first 4 KiB of the mail are hashed instead
//! ([`Basis::Content`]), line ends made equal, the empty end dropped.
//!
//! ```text
//! octets -> name ':' value LF ... LF LF   -> sum of the hashes of the fields let in
//!        \-> first 4 KiB ---------------- -> hash of these, if the fields do not suffice
//! ```
//!
//! No line is held: octets may come in any pieces, lines may have any length. After 256 KiB of
//! header the rest of it is taken for body.

use core::hash::Hasher as _;

use siphasher::sip::SipHasher24;

mod date;

/// The header's number, of 56 bits and never 0. Equal mails have equal ones; the ledger counts them
/// (design 2.6).
///
/// Deviation from the design's 64 bits, so that a row of the ledger takes 32 octets: of 100,000
/// mails whose ids have gone, one has a new mail's number by chance with a probability of 1.4e-12,
/// and their sizes must agree besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u64);

impl Identity {
    /// The identity made of `hash`.
    #[must_use]
    pub fn new(hash: u64) -> Self {
        // 0 stands for none where rows are packed.
        Self((hash & (u64::MAX >> 8)).max(1))
    }
}

/// What was learnt from the beginning of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who it is.
    pub identity: Identity,
    /// What that was made of.
    pub basis: Basis,
    /// The same made of the fields alone, whether they suffice or not: not 0.
    pub fields: Identity,
    /// Day of the header's `Date` in days since 1970-01-01, its time zone ignored; `None` without
    /// a date that can be read, or outside 1970 to 2149.
    pub day: Option<u16>,
}

/// What an identity was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The header alone: `TOP n 0` gives the same as the whole mail.
    Fields,
    /// The first 4 KiB: `TOP n 0` gives another identity than the whole mail does. One that was
    /// made of less than the mail must not be compared with anything.
    Content,
}

/// Reads a mail from its beginning, in pieces of any size.
#[derive(Clone, Debug)]
pub struct HeaderReader {
    place: Place,
    name: Name,
    field: Option<Field>,
    /// Sum of the hashes of the fields that have ended.
    sum: u64,
    /// Whether a field came that parts mails by itself.
    marked: bool,
    received_seen: bool,
    date: date::Reader,
    content: Content,
    /// Octets of header so far, CRs not counted.
    octets: u32,
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line: a name, a continuation, or the empty line.
    LineStart,
    /// In the name of a field.
    Name,
    /// In blanks between the name and its colon (RFC 5322 §4.5).
    AfterName,
    /// In the value of a field, or in a line that is none.
    Value,
    /// In the body.
    Body,
}

/// The name of a field, as far as it may still be one that is let in.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    octets: [u8; NAME_OCTETS],
    len: usize,
}

/// A field that is let in, while its value passes.
#[derive(Clone, Debug)]
struct Field {
    kind: FieldKind,
    hash: SipHasher24,
    /// Whether the last octet was one of a run that becomes `?`.
    replaced: bool,
    /// Whether nothing but white space came.
    empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldKind {
    From,
    To,
    Cc,
    Date,
    Subject,
    MessageId,
    Received,
}

/// The hash of the first octets of the mail.
#[derive(Clone, Debug)]
struct Content {
    hash: SipHasher24,
    octets: u16,
    /// LFs that count only if something follows.
    newlines: u16,
}

impl HeaderReader {
    /// At the beginning of a mail.
    #[must_use]
    pub fn new() -> Self {
        Self {
            place: Place::LineStart,
            name: Name::default(),
            field: None,
            sum: 0,
            marked: false,
            received_seen: false,
            date: date::Reader::new(),
            content: Content::new(),
            octets: 0,
        }
    }

    /// Reads the next `octets` of the mail, byte-stuffing removed.
    pub fn read(&mut self, octets: &[u8]) {
        for &octet in octets {
            if self.is_done() {
                return;
            }
            self.content.read(octet);
            // CR LF, CR CR LF and LF are one line end; a CR elsewhere is white space.
            if self.place != Place::Body && octet != b'\r' {
                self.read_header(octet);
            }
        }
    }

    /// Whether more octets would change nothing.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.place == Place::Body && (self.marked || self.content.is_full())
    }

    /// What was learnt, at the end of the mail or of what was asked of it.
    #[must_use]
    pub fn finish(mut self) -> Header {
        self.end_field();
        let (identity, basis) = if self.marked {
            (self.sum, Basis::Fields)
        } else {
            (self.content.hash.finish(), Basis::Content)
        };
        Header {
            identity: Identity::new(identity),
            basis,
            fields: Identity::new(self.sum),
            day: self.date.finish(),
        }
    }

    fn read_header(&mut self, octet: u8) {
        self.octets += 1;
        self.place = match (self.place, octet) {
            (Place::LineStart, b'\n') => {
                self.end_field();
                Place::Body
            }
            // A continuation.
            (Place::LineStart, b' ' | b'\t') => {
                self.read_value(octet);
                Place::Value
            }
            (Place::LineStart, _) => {
                self.end_field();
                self.name = Name::default();
                self.read_name(octet)
            }
            (Place::Name, _) => self.read_name(octet),
            (Place::AfterName, b' ' | b'\t') => Place::AfterName,
            (Place::AfterName, b':') => self.begin_field(),
            // Two words before the colon: the line of an mbox, or no header at all.
            (Place::AfterName, b'\n') | (Place::Value, b'\n') => Place::LineStart,
            (Place::AfterName, _) => Place::Value,
            (Place::Value, _) => {
                self.read_value(octet);
                Place::Value
            }
            (Place::Body, _) => Place::Body,
        };
        if self.octets >= HEADER_OCTETS && self.place != Place::Body {
            self.end_field();
            self.place = Place::Body;
        }
    }

    fn read_name(&mut self, octet: u8) -> Place {
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

    fn read_value(&mut self, octet: u8) {
        let Some(field) = &mut self.field else { return };
        field.read(octet);
        if field.kind == FieldKind::Date {
            self.date.read(octet);
        }
    }

    fn begin_field(&mut self) -> Place {
        let kind = FieldKind::find(self.name.octets());
        // Only the topmost: those below are the way through other people's servers.
        let received = kind == Some(FieldKind::Received);
        let below = received && self.received_seen;
        self.received_seen |= received;
        self.field = kind.filter(|_| !below).map(Field::new);
        Place::Value
    }

    fn end_field(&mut self) {
        let Some(field) = self.field.take() else {
            return;
        };
        self.marked |= field.kind.marks() && !field.empty;
        if field.kind == FieldKind::Date {
            self.date.end();
        }
        self.sum = self.sum.wrapping_add(field.hash.finish());
    }
}

impl Default for HeaderReader {
    fn default() -> Self {
        Self::new()
    }
}

impl Name {
    fn push(&mut self, octet: u8) {
        if let Some(place) = self.octets.get_mut(self.len) {
            *place = octet.to_ascii_lowercase();
        }
        // Beyond the end: too long for any name that is let in.
        self.len = self.len.saturating_add(1);
    }

    fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }
}

impl FieldKind {
    fn find(name: &[u8]) -> Option<Self> {
        let mut all = [
            Self::From,
            Self::To,
            Self::Cc,
            Self::Date,
            Self::Subject,
            Self::MessageId,
            Self::Received,
        ]
        .into_iter();
        all.find(|kind| kind.name() == name)
    }

    /// Whether two mails hardly ever have it equal.
    fn marks(self) -> bool {
        matches!(self, Self::Date | Self::MessageId | Self::Received)
    }

    fn name(self) -> &'static [u8] {
        match self {
            Self::From => b"from",
            Self::To => b"to",
            Self::Cc => b"cc",
            Self::Date => b"date",
            Self::Subject => b"subject",
            Self::MessageId => b"message-id",
            Self::Received => b"received",
        }
    }
}

impl Field {
    fn new(kind: FieldKind) -> Self {
        let mut hash = hasher();
        hash.write(kind.name());
        hash.write(b":");
        Self {
            kind,
            hash,
            replaced: false,
            empty: true,
        }
    }

    fn read(&mut self, octet: u8) {
        match octet {
            b' ' | b'\t' => return,
            b'!'..=b'>' | b'@'..=b'~' => {
                self.replaced = false;
                self.hash.write(&[octet]);
            }
            _ if self.replaced => {}
            _ => {
                self.replaced = true;
                self.hash.write(b"?");
            }
        }
        self.empty = false;
    }
}

impl Content {
    fn new() -> Self {
        let mut hash = hasher();
        // No field begins like this.
        hash.write(b":content:");
        Self {
            hash,
            octets: 0,
            newlines: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.octets >= CONTENT_OCTETS
    }

    fn read(&mut self, octet: u8) {
        if self.is_full() || octet == b'\r' {
            return;
        }
        self.octets += 1;
        if octet == b'\n' {
            self.newlines += 1;
            return;
        }
        for _ in 0..core::mem::take(&mut self.newlines) {
            self.hash.write(b"\n");
        }
        self.hash.write(&[octet]);
    }
}

fn hasher() -> SipHasher24 {
    SipHasher24::new_with_keys(KEY.0, KEY.1)
}

/// Published and fixed: identities are persisted. It keeps nothing secret.
const KEY: (u64, u64) = (0x7269_6e67_6d61_696c, 0x6964_656e_7469_7479);
/// The longest name that is let in: `message-id`.
const NAME_OCTETS: usize = 10;
/// No honest header is longer; Dovecot's are cut far below.
const HEADER_OCTETS: u32 = 256 * 1024;
/// What a mail without its own mark is known by.
const CONTENT_OCTETS: u16 = 4096;

#[cfg(test)]
mod tests;
