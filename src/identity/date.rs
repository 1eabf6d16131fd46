//! The day of a `Date` field, read leniently (RFC 5322 §3.3, §4.3).
//!
//! Taken are day, month by name and year, in the order of RFC 5322 (`Tue, 3 Mar 2020 10:00:00
//! +0100`, also with two digits of the year or with hyphens) or of `ctime` (`Tue Mar  3 10:00:00
//! 2020`). Time and time zone are ignored: a day more or less is nothing to the owner who wants
//! the mail of the last 30.

/// Collects the first `Date` field that passes.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    text: heapless::Vec<u8, TEXT_OCTETS>,
    comments: u8,
    ended: bool,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self {
            text: heapless::Vec::new(),
            comments: 0,
            ended: false,
        }
    }

    /// The next octet of the value. Comments are dropped, and so is what is too long.
    pub(super) fn read(&mut self, octet: u8) {
        if self.ended {
            return;
        }
        match octet {
            b'(' => self.comments = self.comments.saturating_add(1),
            b')' => self.comments = self.comments.saturating_sub(1),
            _ if self.comments > 0 => {}
            b' ' | b'\t' if self.text.last().is_none_or(|&last| last == b' ') => {}
            b'\t' => drop(self.text.push(b' ')),
            _ => drop(self.text.push(octet)),
        }
    }

    /// The field has ended; another one does not count.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Days since 1970-01-01.
    pub(super) fn finish(&self) -> Option<u16> {
        day(&self.text)
    }
}

fn day(text: &[u8]) -> Option<u16> {
    let words = text.split(|octet| matches!(octet, b' ' | b',' | b'-'));
    let mut words = words.filter(|word| !word.is_empty());
    let mut before = None;
    let month = loop {
        let word = words.next()?;
        if let Some(month) = month(word) {
            break month;
        }
        before = number(word).or(before);
    };
    let mut after = words.filter_map(|word| number(word).map(|number| (number, word.len())));
    // `ctime` has the day behind the month.
    let day = match before {
        Some(day) => day,
        None => after.next()?.0,
    };
    let year = after.find_map(|(number, digits)| year(number, digits))?;
    days(year, month, day)
}

/// The month a word begins with, 1 to 12.
fn month(word: &[u8]) -> Option<u32> {
    let name = word.get(..3)?;
    let months = NAMES.iter().zip(1..);
    let mut found = months.filter(|(known, _)| known.eq_ignore_ascii_case(name));
    found.next().map(|(_, month)| month)
}

/// A word that is nothing but digits.
fn number(word: &[u8]) -> Option<u32> {
    if !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(word).ok()?.parse().ok()
}

/// RFC 5322 §4.3: 2 digits are of 1950 to 2049, 3 digits were meant to be added to 1900.
fn year(number: u32, digits: usize) -> Option<u32> {
    match (number, digits) {
        (0..=49, 2) => Some(2000 + number),
        (_, 2 | 3) => Some(1900 + number),
        (1900.., 4) => Some(number),
        _ => None,
    }
}

/// Days from 1970-01-01 to that date; `None` if there is no such day, or it does not fit.
fn days(year: u32, month: u32, day: u32) -> Option<u16> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Count years from March on: the leap day is the last of its year.
    let (years, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day;
    u16::try_from(days.checked_sub(DAYS_TO_1970)?).ok()
}

const NAMES: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// 1970-01-01 as `days` counts: from 0000-02-29.
const DAYS_TO_1970: u32 = 719_469;
/// The longest date without comments has 45 octets.
const TEXT_OCTETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u16> {
        let mut reader = Reader::new();
        text.bytes().for_each(|octet| reader.read(octet));
        reader.end();
        reader.read(b'9');
        reader.finish()
    }

    #[test]
    fn dates_as_they_are_written() {
        // 2020-03-03 is day 18324.
        for text in [
            "Tue, 3 Mar 2020 10:00:00 +0100",
            "  Tue,\t03  Mar 2020 23:59:60 -1200 (a (nested 4 May 1999) comment)",
            "(5 Jan 1980) 3 mar 2020 10:00",
            "3 March 20",
            "03-Mar-2020 10:00:00 GMT",
            "Tue,3 MAR 120 1:2:3 EST",
            "Tue Mar  3 10:00:00 2020",
            "Tue Mar  3 10:00:00 -0500 2020",
            "Tue Mar  3 10:00:00 MET 2020",
        ] {
            assert_eq!(read(text), Some(18_324), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "Tue, 3 Mar",
            "Mar",
            "30 Feb 2020",
            "0 Mar 2020",
            "32 Mar 2020",
            "31 Dec 1969",
            "99999999999 Mar 2020",
            "3 Mar 20200",
            "7 Jun 2149",
            "(3 Mar 2020",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("1 Jan 1970"), Some(0));
        assert_eq!(read("1 Jan 70"), Some(0));
        assert_eq!(read("6 Jun 2149"), Some(u16::MAX));
        assert_eq!(read(&"x".repeat(1000)), None);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = 0;
        for year in 1970..2149 {
            for (name, month) in NAMES.iter().zip(1..) {
                for day in 1..=31 {
                    let Some(found) = days(year, month, day) else {
                        assert!(day > 28);
                        continue;
                    };
                    assert_eq!(found, expected, "{year} {month} {day}");
                    let name = str::from_utf8(*name).unwrap();
                    assert_eq!(read(&format!("{day} {name} {year}")), Some(expected));
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, 65_379);
    }
}
