//! What a line from a modem means: result codes, dialect by dialect.
//!
//! A result code is CR LF text CR LF, or after `V0` digits and a CR (V.250 §5.7.1). A new dialect
//! is a new row in one of the tables here. Lines are matched whole, so that neither `RINGING` nor
//! the echo of our own command is taken for an answer.

use heapless::String;

use super::protocol::Compression;
use super::{CallerName, Number, Protocol, Style, caller_id, starts};
use crate::config::ModemKind;

/// The longest line that is looked at; the rest of a longer one is thrown away. MDMF in
/// hexadecimal is the longest we know.
pub const LINE_OCTETS: usize = 520;

/// A line from the modem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultCode {
    /// The command was carried out.
    Ok,
    /// A caller is on the line; what follows the line's end is the caller's.
    Connect(Connect),
    /// It rings; some modems say in the same line who calls.
    Ring(Option<Number>),
    /// The caller is gone, or never came.
    NoCarrier,
    /// The command was not understood, or cannot be carried out.
    Error,
    /// No dial tone, or no line at all: we dialled by mistake.
    NoDialTone,
    /// The far end is busy: we dialled by mistake.
    Busy,
    /// Nobody answered, or the call was gone before we did.
    NoAnswer,
    /// A fax machine or a voice is on the line.
    NotData,
    /// Speed of the line in bit/s, told before `CONNECT`.
    Rate(u32),
    /// What keeps noise off the line, or presses what is sent; told before `CONNECT`.
    Protocol(Protocol),
    /// The calling number.
    Number(Number),
    /// The caller's name.
    Name(CallerName),
    /// It rings in a style of its own: another number of this line was called.
    StyledRing(Style),
    /// The modem tells of what kind it is.
    Kind(ModemKind),
    /// A numeric code whose meaning depends on the maker; while an answer is awaited, a `CONNECT`.
    Code(u16),
    /// Progress, names, dates, echo, noise: nothing to act on.
    Other,
}

/// What `CONNECT` said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// Speed of the line in bit/s, where the modem told one that can be meant.
    pub rate: Option<u32>,
    /// The line, cleaned to printable ASCII and cut, for the log.
    pub text: String<48>,
    /// Whether the modem speaks in numbers (`V0`).
    pub numeric: bool,
    /// How the modems correct errors between them, and press what they send.
    pub protocol: Protocol,
}

/// How much of a line has to be as the row says.
enum Whole {
    /// All of it.
    Line,
    /// The beginning; then nothing, or something that is neither letter nor digit.
    Words,
    /// The beginning, whatever follows.
    Start,
}

/// Result codes in words.
const WORDS: &[(&str, Whole, ResultCode)] = &[
    ("OK", Whole::Line, ResultCode::Ok),
    ("ERROR", Whole::Line, ResultCode::Error),
    ("COMMAND ERROR", Whole::Line, ResultCode::Error),
    ("+CME ERROR", Whole::Words, ResultCode::Error), // GSM 07.07
    ("DELAYED", Whole::Words, ResultCode::Error),    // refuses to dial again so soon
    ("BLACKLISTED", Whole::Words, ResultCode::Error),
    // RetroWiFiModem adds the duration, Zimodem the address.
    ("NO CARRIER", Whole::Words, ResultCode::NoCarrier),
    ("NO ANSWER", Whole::Words, ResultCode::NoAnswer),
    ("NO DIAL", Whole::Start, ResultCode::NoDialTone), // TONE, with a blank or without
    ("NO LINE", Whole::Words, ResultCode::NoDialTone), // Conexant, unplugged
    ("LINE IN USE", Whole::Words, ResultCode::NoDialTone), // Conexant, somebody telephones
    ("BUSY", Whole::Words, ResultCode::Busy),
    ("FAX", Whole::Line, ResultCode::NotData),
    ("+FCO", Whole::Start, ResultCode::NotData), // +FCON and +FCO, class 2 and 2.0
    ("VCON", Whole::Line, ResultCode::NotData),
    ("VOICE", Whole::Line, ResultCode::NotData),
    ("+CRING: VOICE", Whole::Start, ResultCode::Other), // a GSM call without data
    ("+CRING", Whole::Words, ResultCode::Ring(None)),
    ("RING", Whole::Line, ResultCode::Ring(None)),
];

/// Numeric result codes on which makers agree; above 14 they do not.
const NUMBERS: &[(u16, Meaning)] = &[
    (0, Meaning::Is(ResultCode::Ok)),
    (1, Meaning::Connect(None)),
    (2, Meaning::Is(ResultCode::Ring(None))),
    (3, Meaning::Is(ResultCode::NoCarrier)),
    (4, Meaning::Is(ResultCode::Error)),
    (5, Meaning::Connect(Some(1200))),
    (6, Meaning::Is(ResultCode::NoDialTone)),
    (7, Meaning::Is(ResultCode::Busy)),
    (8, Meaning::Is(ResultCode::NoAnswer)),
    (10, Meaning::Connect(Some(2400))),
    (11, Meaning::Connect(Some(4800))),
    (12, Meaning::Connect(Some(9600))),
    (13, Meaning::Connect(Some(14400))),
    (14, Meaning::Connect(Some(19200))),
];

/// What a number stands for.
enum Meaning {
    Is(ResultCode),
    Connect(Option<u32>),
}

/// No modem is slower (V.23, backward channel): smaller numbers behind `CONNECT` are something
/// else, Zimodem's number of the connection for one.
const SLOWEST: u32 = 75;

/// What the first line in a run of octets is.
#[derive(Debug, PartialEq, Eq)]
pub struct Scan {
    /// Octets to take off, the line's end included.
    pub used: usize,
    /// What the line means; `None` if it was empty, or has not come whole.
    pub code: Option<ResultCode>,
    /// Set if the line is too long, and its end has not come: what follows belongs to it.
    pub too_long: bool,
}

/// Looks at the first line of `octets`. A line ends at its first CR or LF: after a `CONNECT` the
/// LF that may follow its CR is left, with all that is the caller's.
#[must_use]
pub fn scan(octets: &[u8]) -> Scan {
    let end = octets
        .iter()
        .position(|octet| matches!(octet, b'\r' | b'\n'));
    let Some(end) = end else {
        let too_long = octets.len() > LINE_OCTETS;
        return Scan {
            used: if too_long { octets.len() } else { 0 },
            code: None,
            too_long,
        };
    };
    let line = octets.get(..end).unwrap_or_default();
    Scan {
        used: end + 1,
        code: (!line.is_empty()).then(|| parse(line)),
        too_long: false,
    }
}

/// What one line, without its end, means.
#[must_use]
pub fn parse(line: &[u8]) -> ResultCode {
    let mut text: String<LINE_OCTETS> = String::new();
    // Line noise and the octets of an unknown bit rate are not part of a result code.
    for &octet in line.iter().filter(|octet| matches!(octet, b' '..=b'~')) {
        if text.push(char::from(octet)).is_err() {
            return ResultCode::Other;
        }
    }
    let line = text.trim();
    // An echo is never an answer.
    if starts(line, "AT").is_some() || line.starts_with("+++") {
        return ResultCode::Other;
    }
    if !line.is_empty() && line.len() <= 3 && line.bytes().all(|b| b.is_ascii_digit()) {
        return line.parse().map_or(ResultCode::Other, number);
    }
    if let Some(rest) = words(line, "CONNECT") {
        return ResultCode::Connect(Connect {
            rate: rate(rest),
            text: cut(line),
            numeric: false,
            protocol: Protocol::named(rest),
        });
    }
    let row = WORDS.iter().find(|(text, whole, _)| match whole {
        Whole::Line => line.eq_ignore_ascii_case(text),
        Whole::Words => words(line, text).is_some(),
        Whole::Start => starts(line, text).is_some(),
    });
    if let Some((_, _, code)) = row {
        return code.clone();
    }
    if let Some(style) = words(line, "RING").and_then(ringing_style) {
        return ResultCode::StyledRing(style);
    }
    if let Some(rest) = words(line, "RING") {
        return ResultCode::Ring(ringing_number(rest));
    }
    // Rockwell and Conexant with S95 or W1; V.250 §6.2 and its supplement.
    let told = words(line, "CARRIER").or_else(|| words(line, "+MRR"));
    if let Some(rate) = told.and_then(first_rate) {
        return ResultCode::Rate(rate);
    }
    let protocol = words(line, "PROTOCOL").or_else(|| words(line, "+ER"));
    let compression = words(line, "COMPRESSION").or_else(|| words(line, "+DR"));
    let told = Protocol {
        correction: protocol.map(Protocol::named).unwrap_or_default().correction,
        compression: compression.map(Compression::named).unwrap_or_default(),
    };
    if told != Protocol::default() {
        return ResultCode::Protocol(told);
    }
    let number = || caller_id::number(line).map(ResultCode::Number);
    let name = || caller_id::name(line).map(ResultCode::Name);
    let kind = || super::dialect::kind(line).map(ResultCode::Kind);
    number()
        .or_else(name)
        .or_else(kind)
        .unwrap_or(ResultCode::Other)
}

/// A code of the maker's own, taken as a `CONNECT`.
#[must_use]
pub fn connect_by_number(code: u16) -> Connect {
    numeric_connect(code, None)
}

fn number(code: u16) -> ResultCode {
    let row = NUMBERS.iter().find(|(number, _)| *number == code);
    match row {
        Some((_, Meaning::Is(result))) => result.clone(),
        Some((_, Meaning::Connect(rate))) => ResultCode::Connect(numeric_connect(code, *rate)),
        None => ResultCode::Code(code),
    }
}

fn numeric_connect(code: u16, rate: Option<u32>) -> Connect {
    let mut text = String::new();
    // Five digits always fit.
    let _ = core::fmt::write(&mut text, format_args!("{code}"));
    Connect {
        rate,
        text,
        numeric: true,
        protocol: Protocol::default(),
    }
}

/// The speed of the line in what follows `CONNECT`. Where several are told, the speed between us
/// and the modem comes first, and the line's last.
fn rate(rest: &str) -> Option<u32> {
    rates(rest).last()
}

fn first_rate(rest: &str) -> Option<u32> {
    rates(rest).next()
}

fn rates(rest: &str) -> impl Iterator<Item = u32> {
    rest.split([' ', '/', ',']).filter_map(|word| {
        // 1200TX/75RX (V.23), 33600:TX/26400:RX: what counts is how fast we can send.
        let word = word.strip_suffix("TX").unwrap_or(word);
        let word = word.strip_suffix(':').unwrap_or(word);
        if word.len() > 6 || !word.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        word.parse().ok().filter(|&rate| rate >= SLOWEST)
    })
}

/// The number in what follows `RING`: `RING;from;to` (ELSA), `RING 192.168.1.5` (network modems).
fn ringing_number(rest: &str) -> Option<Number> {
    if let Some(fields) = rest.strip_prefix(';') {
        return caller_id::clean(fields.split(';').next().unwrap_or_default());
    }
    let word = rest.strip_prefix(' ')?.trim();
    let told = word.len() >= 3 && word.starts_with(|c: char| c.is_ascii_digit() || c == '+');
    if told { caller_id::clean(word) } else { None }
}

/// The style in what follows `RING`: ` 1` or ` A` (a distinctive ring), `/msn` (isdn4linux: who
/// was called).
fn ringing_style(rest: &str) -> Option<Style> {
    let style = match rest.strip_prefix('/') {
        Some(called) => called,
        None => rest.strip_prefix(' ')?.trim(),
    };
    let short = rest.starts_with('/') || style.len() == 1;
    let plain = !style.is_empty() && style.bytes().all(|octet| octet.is_ascii_alphanumeric());
    (short && plain)
        .then(|| Style::try_from(style).ok())
        .flatten()
}

/// As [`starts`], where a word ends there.
fn words<'a>(line: &'a str, text: &str) -> Option<&'a str> {
    starts(line, text).filter(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

fn cut<const N: usize>(text: &str) -> String<N> {
    // ASCII: every octet is a boundary.
    let text = text.get(..text.len().min(N)).unwrap_or_default();
    String::try_from(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Correction;
    use super::*;

    #[test]
    fn every_form_of_connect_tells_its_rate_or_none() {
        for (line, rate) in [
            ("CONNECT", None),
            ("CONNECT 300", Some(300)),
            ("CONNECT 33600", Some(33600)),
            ("CONNECT 28800/ARQ/VFC/LAPM/V42BIS", Some(28800)),
            ("CONNECT 9600/SYNC", Some(9600)),
            ("CONNECT 2400/NONE", Some(2400)),
            ("CONNECT 38400/V.32bis 14400/V.42bis", Some(14400)),
            ("CONNECT 9600/RLP", Some(9600)),
            ("CONNECT /RLP", None),
            ("CONNECT 2", None),
            ("CONNECT 1200TX/75RX", Some(1200)),
            (
                "CONNECT 26400/V34/LAPM/V42BIS/33600:TX/26400:RX",
                Some(33600),
            ),
            ("CONNECT 115200 CARRIER 31200", Some(31200)),
            ("CONNECT 1 10.0.0.1:6400", None),
            ("CONNECT 99999999999999999999", None),
            ("connect 9600", Some(9600)),
        ] {
            let ResultCode::Connect(connect) = parse(line.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(connect.rate, rate, "{line}");
            assert_eq!(connect.text.as_str(), &line[..line.len().min(48)]);
            assert!(!connect.numeric);
        }
        for line in ["CONNECTED", "CONNECTING..", "XCONNECT 9600", "DISCONNECT"] {
            assert_eq!(parse(line.as_bytes()), ResultCode::Other, "{line}");
        }
    }

    #[test]
    fn a_connection_that_corrects_errors_says_so() {
        for (line, expected) in [
            ("CONNECT 28800/ARQ/VFC/LAPM/V42BIS", true),
            ("CONNECT 38400/V.32bis 14400/V.42bis", true),
            ("CONNECT 9600/RLP", true),
            ("CONNECT 14400/MNP5", true),
            ("CONNECT 14400/ALT", true),
            ("CONNECT 2400/NONE", false),
            ("CONNECT 33600", false),
            ("CONNECT", false),
        ] {
            let ResultCode::Connect(connect) = parse(line.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(connect.protocol.is_corrected(), expected, "{line}");
        }
    }

    #[test]
    fn edge_6_lines_before_connect_are_no_end() {
        let correction = |it: Correction| ResultCode::Protocol(it.into());
        let compression = |it: Compression| ResultCode::Protocol(it.into());
        for (line, code) in [
            ("CARRIER 33600", ResultCode::Rate(33600)),
            ("CARRIER 28800/V.34", ResultCode::Rate(28800)),
            ("+MRR: 28800,48000", ResultCode::Rate(28800)),
            ("+MRR: 31200", ResultCode::Rate(31200)),
            ("+MCR: V34", ResultCode::Other),
            ("+ER: LAPM", correction(Correction::Lapm)),
            ("+ER: NONE", ResultCode::Other),
            ("+DR: V42B", compression(Compression::V42bis)),
            ("+DR: NONE", ResultCode::Other),
            ("PROTOCOL: LAPM", correction(Correction::Lapm)),
            ("PROTOCOL: MNP4", correction(Correction::Mnp)),
            ("PROTOCOL: NONE", ResultCode::Other),
            ("COMPRESSION: V.42BIS", compression(Compression::V42bis)),
            ("COMPRESSION: NONE", ResultCode::Other),
            ("CED", ResultCode::Other),
            ("+FHR: 00 11", ResultCode::Other),
            ("MESSAGE-WAITING", ResultCode::Other),
            ("DATA", ResultCode::Other),
        ] {
            assert_eq!(parse(line.as_bytes()), code, "{line}");
        }
    }

    #[test]
    fn edge_7_numeric_codes() {
        let connect = |rate: Option<u32>, text: &str| {
            ResultCode::Connect(Connect {
                rate,
                text: String::try_from(text).unwrap(),
                numeric: true,
                protocol: Protocol::default(),
            })
        };
        for (line, code) in [
            ("0", ResultCode::Ok),
            ("1", connect(None, "1")),
            ("2", ResultCode::Ring(None)),
            ("3", ResultCode::NoCarrier),
            ("4", ResultCode::Error),
            ("5", connect(Some(1200), "5")),
            ("6", ResultCode::NoDialTone),
            ("7", ResultCode::Busy),
            ("8", ResultCode::NoAnswer),
            ("9", ResultCode::Code(9)),
            ("10", connect(Some(2400), "10")),
            ("12", connect(Some(9600), "12")),
            ("14", connect(Some(19200), "14")),
            ("18", ResultCode::Code(18)),
            ("150", ResultCode::Code(150)),
            ("999", ResultCode::Code(999)),
            ("4155551234", ResultCode::Other),
        ] {
            assert_eq!(parse(line.as_bytes()), code, "{line}");
        }
    }

    #[test]
    fn rings_of_every_dialect() {
        let number = |text: &str| Some(Number::try_from(text).unwrap());
        for (line, style) in [
            ("RING 1", "1"),
            ("RING A", "A"),
            ("RING/5554321", "5554321"),
        ] {
            let style = Style::try_from(style).unwrap();
            assert_eq!(parse(line.as_bytes()), ResultCode::StyledRing(style));
        }
        for (line, expected) in [
            ("RING", Some(None)),
            (" RING ", Some(None)),
            ("RING;5551234;5554321", Some(number("5551234"))),
            ("RING: 1 DN 2", Some(None)),
            ("RING 192.168.1.5", Some(number("192.168.1.5"))),
            ("+CRING: REL ASYNC", Some(None)),
            ("+CRING: ASYNC", Some(None)),
            ("+CRING: SYNC", Some(None)),
            ("+CRING: VOICE", None),
            ("RINGING", None),
            ("RRING", None),
            ("RINGBACK", None),
        ] {
            let expected = expected.map_or(ResultCode::Other, ResultCode::Ring);
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn ends_of_every_dialect() {
        for (line, code) in [
            ("OK", ResultCode::Ok),
            ("\0OK\x7f", ResultCode::Ok),
            ("OKAY", ResultCode::Other),
            ("OK 1", ResultCode::Other),
            ("NO CARRIER", ResultCode::NoCarrier),
            ("NO CARRIER (00:01:23)", ResultCode::NoCarrier),
            ("NO CARRIER 1 host:23", ResultCode::NoCarrier),
            ("NO CARRIERS", ResultCode::Other),
            ("NO ANSWER", ResultCode::NoAnswer),
            ("NO DIALTONE", ResultCode::NoDialTone),
            ("NO DIAL TONE", ResultCode::NoDialTone),
            ("NO LINE", ResultCode::NoDialTone),
            ("LINE IN USE", ResultCode::NoDialTone),
            ("ERROR", ResultCode::Error),
            ("+CME ERROR: 3", ResultCode::Error),
            ("DELAYED 00:01:00", ResultCode::Error),
            ("BUSY", ResultCode::Busy),
            ("FAX", ResultCode::NotData),
            ("+FCON", ResultCode::NotData),
            ("+FCO", ResultCode::NotData),
            ("VCON", ResultCode::NotData),
        ] {
            assert_eq!(parse(line.as_bytes()), code, "{line}");
        }
    }

    #[test]
    fn edge_9_an_echo_is_never_an_answer() {
        for line in ["AT", "ATE0", "at", "ATZ OK", "+++ATH0", "+++", "ATA"] {
            assert_eq!(parse(line.as_bytes()), ResultCode::Other, "{line}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_thrown_away_in_the_end() {
        assert_eq!(scan(b"RING").used, 0);
        let long = [b'x'; LINE_OCTETS + 1];
        assert!(scan(&long).too_long);
        assert_eq!(scan(&long).used, long.len());
        assert!(!scan(&long[1..]).too_long);
    }

    #[test]
    fn random_octets_never_upset_the_parser() {
        let seed = 0x5eed_0001_u64;
        println!("seed {seed:#x}");
        let mut state = seed;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let pieces: &[&[u8]] = &[
            b"RING",
            b"CONNECT",
            b" ",
            b"/",
            b"NMBR",
            b"=",
            b"MESG",
            b"03",
            b"80",
            b"\r",
            b"\n",
            b"+CLIP",
            b":",
            b"\"",
            b";",
            b"NO CARRIER",
            b"99",
            b"\xff",
            b"\0",
            b"TX",
            b"AT",
        ];
        for _ in 0..200_000 {
            let mut line = Vec::new();
            for _ in 0..random() % 8 {
                match random() % 3 {
                    0 => line.push(random().to_le_bytes()[0]),
                    _ => line.extend(pieces[usize::try_from(random()).unwrap() % pieces.len()]),
                }
            }
            let scanned = scan(&line);
            assert!(scanned.used <= line.len());
            if let ResultCode::Connect(connect) = parse(&line) {
                assert!(
                    connect
                        .rate
                        .is_none_or(|rate| (75..1_000_000).contains(&rate))
                );
            }
        }
    }
}
