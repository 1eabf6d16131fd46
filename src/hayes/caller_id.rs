//! How modems print the calling number, dialect by dialect.
//!
//! Most print what the exchange sent between the first two rings as lines `NAME = value`; some
//! leave it in hexadecimal, as the exchange's own message: MDMF (Bellcore GR-30: type 0x80, length,
//! then parameters of tag, length, data; then a checksum), or the older SDMF (type 0x04).
//!
//! A caller may forge any of it. A number is only ever compared and shown, and holds nothing but
//! printable ASCII without quotes.

use super::{CallerName, Number};

/// Words that stand before a number, each followed by blanks, `=` or `:`.
const NUMBER_WORDS: &[&str] = &[
    "NMBR",          // V.253 and most of the world
    "DDN_NMBR",      // Rockwell, dialable directory number
    "NBR",           // old Cirrus
    "NDID",          // ELSA
    "CALLER NUMBER", // ZyXEL
    "CALLERID",      // Intertex, USB sticks
    "CALLER ID",     //
    "CLID",          // ISDN adapters
    "+CLIP",         // GSM 07.07
    "+VRID",         // V.253, repeated on demand
    "FM",            // ZyXEL: FM:number TO:number
];

/// Words that stand before a name.
const NAME_WORDS: &[&str] = &["NAME", "CALLER NAME"];

/// Words that stand before the exchange's message in hexadecimal.
const MESSAGE_WORDS: &[&str] = &["MESG"];

/// What networks send in place of a number they do not tell.
const WITHHELD: &[&str] = &[
    "P",
    "O",
    "PRIVATE",
    "OUT OF AREA",
    "OUT-OF-AREA",
    "OUT_OF_AREA",
    "UNAVAILABLE",
    "UNKNOWN",
    "ANONYMOUS",
    "BLOCKED",
    "WITHHELD",
    "NONE",
    "-",
];

/// The calling number in `line`, if it is a caller-id line that tells one.
#[must_use]
pub fn number(line: &str) -> Option<Number> {
    if let Some(value) = value_after(line, NUMBER_WORDS) {
        return clean(first_field(value));
    }
    if let Some(value) = value_after(line, MESSAGE_WORDS) {
        return message(value);
    }
    // Unformatted: the message alone, and nothing but it.
    let bare = line.len() >= 8 && (line.starts_with("80") || line.starts_with("04"));
    if bare { message(line) } else { None }
}

/// The caller's name in `line`, if it is a caller-id line that tells one.
#[must_use]
pub fn name(line: &str) -> Option<CallerName> {
    if let Some(value) = value_after(line, NAME_WORDS) {
        return clean_name(value);
    }
    let octets = octets(value_after(line, MESSAGE_WORDS)?)?;
    // Tag 0x07 is the name (GR-30); 0x08 says why there is none.
    let data = find_parameter(&octets, &[0x07])?;
    let mut text: CallerName = CallerName::new();
    for octet in data {
        if text.push(char::from(octet & 0x7f)).is_err() {
            break;
        }
    }
    clean_name(&text)
}

/// `text` as a name: as a number is cleaned, but with its blanks.
fn clean_name(text: &str) -> Option<CallerName> {
    let text = text.trim();
    if is_withheld(text) {
        return None;
    }
    let harmless = |c: &char| matches!(c, ' '..='~') && !is_quote(*c);
    let mut name = CallerName::new();
    for c in text.chars().filter(harmless) {
        if name.push(c).is_err() {
            break;
        }
    }
    (!name.trim().is_empty()).then_some(name)
}

fn is_withheld(text: &str) -> bool {
    WITHHELD.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\\')
}

/// `text` as a number: printable ASCII without quotes, as much of it as fits. `None` if nothing is
/// left, or the network withholds it.
#[must_use]
pub fn clean(text: &str) -> Option<Number> {
    let text = text.trim();
    if is_withheld(text) {
        return None;
    }
    let harmless = |c: &char| c.is_ascii_graphic() && !is_quote(*c);
    let mut number = Number::new();
    for c in text.chars().filter(harmless) {
        if number.push(c).is_err() {
            break;
        }
    }
    (!number.is_empty()).then_some(number)
}

/// Whether two ways to write a number mean the same one: signs between digits do not count.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    let significant = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '#');
    let upper = |c: char| c.to_ascii_uppercase();
    let mut left = one.chars().filter(significant).map(upper).peekable();
    left.peek().is_some() && left.eq(other.chars().filter(significant).map(upper))
}

/// What follows one of `words` and its sign.
fn value_after<'a>(line: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().find_map(|word| {
        let (head, rest) = line.split_at_checked(word.len())?;
        if !head.eq_ignore_ascii_case(word) {
            return None;
        }
        let value = rest.trim_start().strip_prefix(['=', ':'])?;
        Some(value.trim())
    })
}

/// A quoted value without its quotes, or all up to a comma or to the `TO:` of the same line.
fn first_field(value: &str) -> &str {
    if let Some(quoted) = value.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default();
    }
    let value = value.split(',').next().unwrap_or_default();
    value.split(" TO:").next().unwrap_or_default()
}

/// The number within the exchange's message, given in hexadecimal.
fn message(hex: &str) -> Option<Number> {
    let octets = octets(hex)?;
    match octets.as_slice() {
        [0x80, _, parameters @ ..] => parameter(parameters),
        // SDMF: eight digits of month, day, hour and minute, then the number.
        [0x04, length, rest @ ..] => {
            let end = usize::from(*length).min(rest.len());
            digits(rest.get(8..end)?)
        }
        parameters => parameter(parameters),
    }
}

/// The octets that are given in hexadecimal.
fn octets(hex: &str) -> Option<heapless::Vec<u8, 258>> {
    // MDMF has a length of one octet, and a checksum.
    let mut octets: heapless::Vec<u8, 258> = heapless::Vec::new();
    let mut high = None;
    for c in hex.chars().filter(|c| !c.is_whitespace()) {
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        match high.take() {
            None => high = Some(digit),
            Some(high) => octets.push(high << 4 | digit).ok()?,
        }
    }
    Some(octets)
}

/// The first parameter that is a number: calling line (0x02) or dialable directory number (0x03).
fn parameter(octets: &[u8]) -> Option<Number> {
    digits(find_parameter(octets, &[0x02, 0x03])?)
}

/// The first parameter with one of `tags`.
fn find_parameter<'a>(mut octets: &'a [u8], tags: &[u8]) -> Option<&'a [u8]> {
    while let [tag, length, rest @ ..] = octets {
        let data = rest.get(..usize::from(*length))?;
        if tags.contains(tag) {
            return Some(data);
        }
        octets = rest.get(usize::from(*length)..)?;
    }
    None
}

/// Digits as the exchange sends them: ASCII, the eighth bit may be anything.
fn digits(octets: &[u8]) -> Option<Number> {
    let mut text: heapless::String<32> = heapless::String::new();
    for octet in octets {
        if text.push(char::from(octet & 0x7f)).is_err() {
            break;
        }
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_tells_its_number() {
        for (line, expected) in [
            ("NMBR = 4155551234", Some("4155551234")),
            ("NMBR=4155551234", Some("4155551234")),
            ("NMBR=  (415) 555-1234 ", Some("(415)555-1234")),
            ("nmbr = 4155551234", Some("4155551234")),
            ("NMBR = P", None),
            ("NMBR = O", None),
            ("NMBR=PRIVATE", None),
            ("NMBR=Out of area", None),
            ("NMBR =", None),
            ("DDN_NMBR= 4155551234", Some("4155551234")),
            ("NBR=4155551234", Some("4155551234")),
            ("NDID=4155551234", Some("4155551234")),
            ("CALLER NUMBER: 4155551234", Some("4155551234")),
            ("CallerID: 4155551234", Some("4155551234")),
            ("+CLIP: \"+493012345\",145", Some("+493012345")),
            ("+CLIP: \"+493012345\",145,,,\"Desk\",0", Some("+493012345")),
            ("+CLIP: \"\",128", None),
            ("FM:5551234 TO:5554321", Some("5551234")),
            // Tag 3, ten digits, as Bell Canada sends them; and the same with a blank each octet.
            ("MESG = 030A34313535353531323334", Some("4155551234")),
            (
                "MESG=03 0A 34 31 35 35 35 35 31 32 33 34",
                Some("4155551234"),
            ),
            // MDMF: date and time, number, name, checksum.
            (
                "801F0108303332313132333402074135353132333407085755425745525402AB",
                Some("A551234"),
            ),
            // SDMF: date and time, number, checksum.
            (
                "041230333231313233343431353535353132333451",
                Some("4155551234"),
            ),
            ("DATE = 0321", None),
            ("DATE=0321", None),
            ("TIME = 1405", None),
            ("NAME = WIRELESS CALLER", None),
            ("NMBRX = 1", None),
            ("NMBR", None),
            ("MESG = 03", None),
            ("MESG = 03FF41", None),
            ("MESG = xyz", None),
            ("", None),
        ] {
            assert_eq!(number(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn names_are_kept() {
        for (line, expected) in [
            ("NAME = WIRELESS CALLER", Some("WIRELESS CALLER")),
            ("NAME=O\"BRIEN\u{7f}", Some("OBRIEN")),
            ("NAME = O", None),
            ("NAME =", None),
            ("MESG = 0703424F42", Some("BOB")),
            ("MESG = 0304424F4242", None),
            ("CALLER NAME: Bob", Some("Bob")),
            ("RENAME = x", None),
        ] {
            assert_eq!(name(line).as_deref(), expected, "{line}");
        }
        let long = format!("NAME={}", "n".repeat(500));
        assert_eq!(name(&long).unwrap().len(), CallerName::new().capacity());
    }

    #[test]
    fn edge_29_hostile_content_is_cleaned_and_cut() {
        let hostile = "NMBR = \"; rm -rf ~ `x` \u{1b}[2J \\ 'q' \u{e9}";
        let number = number(hostile).unwrap();
        assert!(number.bytes().all(|b| b.is_ascii_graphic()), "{number}");
        assert!(!number.contains(['"', '\'', '`', '\\']));
        let long = format!("NMBR={}", "9".repeat(500));
        assert_eq!(
            super::number(&long).unwrap().len(),
            Number::new().capacity()
        );
    }

    #[test]
    fn numbers_are_compared_without_their_signs() {
        assert!(same("(415) 555-1234", "4155551234"));
        assert!(same("+49 30 123", "4930123"));
        assert!(same("192.168.1.5", "192.168.1.5"));
        assert!(!same("192.168.1.5", "192.168.15"));
        assert!(!same("415555123", "4155551234"));
        assert!(!same("", ""));
        assert!(!same("---", "+"));
    }
}
