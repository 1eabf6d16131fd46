//! Values of arguments: how they are read and printed.
//!
//! Each reader gives `None` for what is not the value; each `Display` prints what its reader
//! reads back.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use hal::Duration;
use heapless::{String, Vec};

use super::{Address, HOST_OCTETS, NAME_OCTETS, NUMBER_OCTETS, Name, STYLE_OCTETS, TIMES_OF_DAY};

/// A name: letters, digits, `.`, `-`, `_`.
#[must_use]
pub fn name(text: &str) -> Option<Name> {
    let good = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
    if text.is_empty() || text.len() > NAME_OCTETS || !text.bytes().all(good) {
        return None;
    }
    String::try_from(text).ok()
}

/// A number without sign.
#[must_use]
pub fn count(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    if !digits {
        return None;
    }
    text.parse().ok()
}

/// A telephone number, as modems report it and owners write it: digits, and the signs of dialling.
#[must_use]
pub fn number(text: &str) -> Option<String<NUMBER_OCTETS>> {
    let good = |octet: u8| octet.is_ascii_digit() || matches!(octet, b'+' | b'*' | b'#' | b'-');
    if !text.bytes().any(|octet| octet.is_ascii_digit()) || !text.bytes().all(good) {
        return None;
    }
    String::try_from(text).ok()
}

/// `30s`, `15m`, `2h`, `1d`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let (_, seconds) = UNITS.iter().find(|(sign, _)| *sign == unit)?;
    let amount = count(
        text.strip_suffix(unit)
            .filter(|digits| !digits.is_empty())?,
    )?;
    Some(Duration::from_secs(u64::from(amount) * seconds))
}

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// A duration as [`duration`] reads it, in the largest unit that is exact.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.as_secs();
        let exact = |(_, seconds): &&(char, u64)| whole > 0 && whole.is_multiple_of(*seconds);
        let (unit, seconds) = UNITS.iter().find(exact).unwrap_or(&('s', 1));
        write!(f, "{}{unit}", whole / seconds)
    }
}

/// A size in octets: `64M`, `1G`, `512K`, or plain octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets(pub u64);

const SCALES: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Octets {
    /// Reads a size.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let scaled = SCALES
            .iter()
            .find_map(|(sign, scale)| Some((text.strip_suffix(*sign)?, scale)));
        let (digits, scale) = scaled.unwrap_or((text, &1));
        if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u64>().ok()?.checked_mul(*scale).map(Self)
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, scale): &&(char, u64)| self.0 > 0 && self.0.is_multiple_of(*scale);
        match SCALES.iter().find(exact) {
            Some((sign, scale)) => write!(f, "{}{sign}", self.0 / scale),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `HH:MM[,HH:MM...]` as minutes after midnight, in order, each once.
#[must_use]
pub fn times(text: &str) -> Option<Vec<u16, TIMES_OF_DAY>> {
    let mut times = Vec::new();
    for time in text.split(',') {
        let (hour, minute) = time.split_once(':')?;
        let minute = two_digits(hour, 23)? * 60 + two_digits(minute, 59)?;
        if !times.contains(&minute) {
            times.push(minute).ok()?;
        }
    }
    times.sort_unstable();
    Some(times)
}

/// `HH:MM-HH:MM` as minutes after midnight.
#[must_use]
pub fn span_of_day(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let single = |text| match times(text)?.as_slice() {
        [minute] => Some(*minute),
        _ => None,
    };
    let (from, to) = (single(from)?, single(to)?);
    // From a minute to itself is neither always nor never.
    (from != to).then_some((from, to))
}

/// A style of ring as modems print it: letters and digits.
#[must_use]
pub fn style(text: &str) -> Option<String<STYLE_OCTETS>> {
    let plain = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric());
    plain.then(|| String::try_from(text).ok()).flatten()
}

fn two_digits(text: &str, most: u16) -> Option<u16> {
    let value = count(text).and_then(|value| u16::try_from(value).ok())?;
    (text.len() == 2 && value <= most).then_some(value)
}

/// Minutes after midnight as [`times`] reads them.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a>(pub &'a [u16]);

impl fmt::Display for Times<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, minute) in self.0.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            write!(f, "{comma}{:02}:{:02}", minute / 60, minute % 60)?;
        }
        Ok(())
    }
}

/// Seconds after midnight from `HH:MM` or `HH:MM:SS`.
#[must_use]
pub fn time_of_day(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let hour = two_digits(parts.next()?, 23)?;
    let minute = two_digits(parts.next()?, 59)?;
    let second = parts.next().map_or(Some(0), |part| two_digits(part, 59))?;
    if parts.next().is_some() {
        return None;
    }
    Some((u32::from(hour) * 60 + u32::from(minute)) * 60 + u32::from(second))
}

/// A day of the calendar, 1970-01-01 to 2148-12-31: what [`day`](Self::day) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 1970 to 2148.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Date {
    /// Reads `YYYY-MM-DD`; `None` if there is no such day.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = parts
            .next()
            .filter(|year| year.len() == 4)
            .and_then(count)?;
        let date = Self {
            year: u16::try_from(year).ok()?,
            month: u8::try_from(two_digits(parts.next()?, 12)?).ok()?,
            day: u8::try_from(two_digits(parts.next()?, 31)?).ok()?,
        };
        let exists = (1970..=2148).contains(&date.year)
            && (1..=12).contains(&date.month)
            && (1..=date.days_in_month()).contains(&date.day);
        (exists && parts.next().is_none()).then_some(date)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> u16 {
        let years = (1970..self.year).map(|year| if is_leap(year) { 366 } else { 365 });
        let months = (1..self.month).map(|month| u16::from(Self { month, ..self }.days_in_month()));
        years.sum::<u16>() + months.sum::<u16>() + u16::from(self.day) - 1
    }

    /// The day so many days after 1970-01-01.
    #[must_use]
    pub fn from_days(days: u16) -> Self {
        let mut left = days;
        let mut date = Self {
            year: 1970,
            month: 1,
            day: 1,
        };
        loop {
            let length = u16::from(date.days_in_month());
            if left < length {
                date.day += u8::try_from(left).unwrap_or(0);
                return date;
            }
            left -= length;
            date.month += 1;
            if date.month > 12 {
                (date.year, date.month) = (date.year + 1, 1);
            }
        }
    }

    fn days_in_month(self) -> u8 {
        match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// `host[:port]`, an IPv6 address in brackets, as (host without brackets, port if given).
#[must_use]
pub fn host_and_port(text: &str) -> Option<(String<HOST_OCTETS>, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inside) => {
            let (address, rest) = inside.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            let good =
                |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
            if host.is_empty() || !host.bytes().all(good) {
                return None;
            }
            (host, rest)
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if !digits.is_empty() => Some(u16::try_from(count(digits)?).ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    Some((String::try_from(host).ok()?, port))
}

/// An address in digits.
#[must_use]
pub fn address(text: &str) -> Option<Address> {
    text.parse::<IpAddr>().ok()?;
    String::try_from(text).ok()
}

/// `ADDR/BITS`.
#[must_use]
pub fn address_and_bits(text: &str) -> Option<Address> {
    let (address, bits) = text.split_once('/')?;
    let most = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    (1..=most).contains(&count(bits)?).then_some(())?;
    String::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn durations_are_read_and_printed() {
        for (text, seconds, printed) in [
            ("30s", 30, "30s"),
            ("60s", 60, "1m"),
            ("15m", 900, "15m"),
            ("90m", 5400, "90m"),
            ("2h", 7200, "2h"),
            ("48h", 172_800, "2d"),
            ("4294967295d", 371_085_174_288_000, "4294967295d"),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), printed);
        }
        for text in [
            "",
            "s",
            "15",
            "-1s",
            "+1s",
            "1.5h",
            "1 h",
            "4294967296s",
            "1µ",
            "1w",
            "1S",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_printed() {
        for (text, octets, printed) in [
            ("64M", 64 << 20, "64M"),
            ("1024M", 1 << 30, "1G"),
            ("64G", 64 << 30, "64G"),
            ("4194305", 4_194_305, "4194305"),
        ] {
            assert_eq!(Octets::parse(text), Some(Octets(octets)), "{text}");
            assert_eq!(Octets(octets).to_string(), printed);
        }
        for text in ["", "M", "64m", "64MB", "-1G", "+1G", "99999999999G", "1.5G"] {
            assert_eq!(Octets::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_put_in_order_once() {
        let times_read = times("12:30,08:00,12:30,23:59").unwrap();
        assert_eq!(times_read, [480, 750, 1439]);
        assert_eq!(Times(&times_read).to_string(), "08:00,12:30,23:59");
        for text in [
            "", "24:00", "8:00", "08:60", "08:00,", ",08:00", "08", "+8:00", "08:00:00",
        ] {
            assert_eq!(times(text), None, "{text}");
        }
        assert_eq!(time_of_day("13:45"), Some(49_500));
        assert_eq!(time_of_day("23:59:59"), Some(86_399));
        assert_eq!(time_of_day("23:59:60"), None);
        assert_eq!(time_of_day("23:59:59:1"), None);
    }

    #[test]
    fn every_date_counts_one_day_more_than_the_day_before() {
        let mut expected = 0;
        for year in 1970..=2148 {
            for month in 1..=13 {
                for day in 0..=32 {
                    let text = std::format!("{year}-{month:02}-{day:02}");
                    let Some(date) = Date::parse(&text) else {
                        continue;
                    };
                    assert_eq!(date.days(), expected, "{text}");
                    expected += 1;
                }
            }
        }
        assert_eq!(expected, 65_379);
        for text in [
            "2023-02-29",
            "1969-12-31",
            "2149-01-01",
            "2024-1-1",
            "24-01-01",
            "2024-01-01-1",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn hosts_have_a_port_or_none() {
        let read = |text: &str| host_and_port(text).map(|(host, port)| (host.to_string(), port));
        for (text, host, port) in [
            ("mail", "mail", None),
            ("mail.example.net:1110", "mail.example.net", Some(1110)),
            ("192.0.2.1:110", "192.0.2.1", Some(110)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("[::1]:110", "::1", Some(110)),
        ] {
            assert_eq!(read(text), Some((host.to_string(), port)), "{text}");
        }
        for text in [
            "",
            ":110",
            "mail:",
            "mail:x",
            "mail:65536",
            "::1",
            "[::1",
            "[::1]110",
            "[mail]",
            "a@b",
            "a/b",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
