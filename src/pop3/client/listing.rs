//! Lines of multi-line responses, and the numbers in them (RFC 1939 §5, §7, §11).

use super::{Failure, Kind, LINE_OCTETS, status};
use crate::link::Link;

/// A line of a multi-line response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<T> {
    /// What was read of it.
    Content(T),
    /// The lone dot: the response is whole.
    Terminator,
}

/// Takes the next line off `link`, if one has come whole. Only CR LF ends it: a listing must not
/// look whole by an accident of octets.
///
/// # Errors
/// [`Failure::TooLong`], or [`Failure::BadListing`] for a bare LF or what `parse` refuses.
pub(super) fn line<T>(
    link: &mut Link,
    kind: Kind,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<Line<T>>, Failure> {
    let come = link.peek();
    let Some(end) = come.iter().position(|&octet| octet == b'\n') else {
        // One octet more than the limit may be the CR of a line that just fits.
        if come.len() > LINE_OCTETS + 1 {
            return Err(Failure::TooLong { kind });
        }
        return Ok(None);
    };
    let line = come.get(..end).unwrap_or_default();
    let bad = Failure::BadListing {
        kind,
        line: status::clean(line),
    };
    let Some(line) = line.strip_suffix(b"\r") else {
        return Err(bad);
    };
    if line.len() > LINE_OCTETS {
        return Err(Failure::TooLong { kind });
    }
    let line = match line {
        b"." => Line::Terminator,
        line => Line::Content(parse(line.strip_prefix(b".").unwrap_or(line)).ok_or(bad)?),
    };
    link.consume(end + 1);
    Ok(Some(line))
}

/// `nn mm`: messages, octets. More words may follow (RFC 1939 §5, `STAT`).
pub(super) fn drop_listing(text: &[u8]) -> Option<(u32, u64)> {
    let (count, rest) = number(text)?;
    let (octets, _) = number(rest)?;
    Some((u32::try_from(count).ok()?, octets))
}

/// `n mm`: message-number, octets. More words may follow (RFC 1939 §5, `LIST`).
pub(super) fn scan_line(line: &[u8]) -> Option<(u32, u64)> {
    let (number_of_message, rest) = message_number(line)?;
    let (octets, _) = number(rest)?;
    Some((number_of_message, octets))
}

/// `n id`: message-number, unique-id (RFC 1939 §7). The unique-id is whatever stands between the
/// blanks after the number and those at the end of the line.
pub(super) fn unique_id_line(line: &[u8]) -> Option<(u32, &[u8])> {
    // Some servers begin each line with a status (thunderbird-android issue 1237).
    let line = match line.split_at_checked(3) {
        Some((status, rest)) if status.eq_ignore_ascii_case(b"+OK") => rest,
        _ => line,
    };
    let (number, id) = message_number(line)?;
    let id = id.trim_ascii();
    let usable = !id.is_empty() && !id.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'));
    usable.then_some((number, id))
}

/// Splits a message-number, which is never 0, off `text`.
fn message_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = number(text)?;
    let number = u32::try_from(number).ok().filter(|&number| number > 0)?;
    Some((number, rest))
}

/// Splits a number off `text`, which ends there or goes on with a blank.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit());
    let (digits, rest) = text.split_at_checked(digits.count())?;
    if digits.is_empty() || !matches!(rest, [] | [b' ' | b'\t', ..]) {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line, and what is read in it.
    type Case<'a, T> = (&'a [u8], Option<T>);

    #[test]
    fn unique_ids_are_taken_as_servers_write_them() {
        let long = [b'x'; 300];
        let mut line_of_300 = b"7 ".to_vec();
        line_of_300.extend(long);
        let cases: [Case<'_, (u32, &[u8])>; 17] = [
            (
                b"1 whqtswO00WBw418f9t5JxYwZ",
                Some((1, b"whqtswO00WBw418f9t5JxYwZ")),
            ),
            (b"1   a", Some((1, b"a"))),
            (b"  1\ta", Some((1, b"a"))),
            (b"+OK 1 a", Some((1, b"a"))),
            (b"+ok  12 a b", Some((12, b"a b"))),
            (b"3 \xfc\x80 +OK", Some((3, b"\xfc\x80 +OK"))),
            (b"3 a ", Some((3, b"a"))),
            (b"4294967295 a", Some((u32::MAX, b"a"))),
            (&line_of_300, Some((7, &long))),
            (b"4294967296 a", None),
            (b"0 a", None),
            (b"-1 a", None),
            (b"1a b", None),
            (b"1", None),
            (b"1 ", None),
            (b"", None),
            (b"1 a\0", None),
        ];
        for (line, expected) in cases {
            assert_eq!(unique_id_line(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn sizes_are_checked_numbers() {
        let cases: [Case<'_, (u32, u64)>; 9] = [
            (b"1 120", Some((1, 120))),
            (b" 1  0 and more", Some((1, 0))),
            (b"2 18446744073709551615", Some((2, u64::MAX))),
            (b"2 18446744073709551616", None),
            (b"1 -1", None),
            (b"1 +1", None),
            (b"1 1k", None),
            (b"1", None),
            (b"0 1", None),
        ];
        for (line, expected) in cases {
            assert_eq!(scan_line(line), expected, "{}", line.escape_ascii());
        }
        assert_eq!(drop_listing(b"0 0"), Some((0, 0)));
        assert_eq!(drop_listing(b"2 320 octets"), Some((2, 320)));
        assert_eq!(drop_listing(b"2"), None);
        assert_eq!(drop_listing(b"4294967296 1"), None);
    }
}
