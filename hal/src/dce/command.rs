//! The commands of one line (V.250 §5.2 to §5.4), one after the other.

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// A letter in capitals and its number, 0 if there is none. The sign before it, if any.
    Letter(Option<u8>, u8, u16),
    /// `Sr=v`.
    SetRegister(u16, u16),
    /// `Sr?`.
    ShowRegister(u16),
    /// `+NAME`, `#NAME` and the like, with what follows: `=value`, `=?`, `?`.
    Extended(&'a [u8], Operation),
    /// `D`, with all that follows, blanks and `T` or `P` taken off.
    Dial(&'a [u8]),
}

/// What is to be done with an extended parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `=value`, 0 if it is no number; or nothing at all.
    Set(u16),
    /// `?`
    Show,
    /// `=?`
    Test,
}

/// Not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// What follows the first `AT` that begins a command line: octets before it are noise.
pub(super) fn body(line: &[u8]) -> Option<&[u8]> {
    let at = line
        .windows(2)
        .position(|pair| pair.eq_ignore_ascii_case(b"AT"))?;
    line.get(at + 2..)
}

/// Takes the next command off `rest`; `None` at its end.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Option<Result<Command<'a>, Unknown>> {
    loop {
        let (&octet, after) = rest.split_first()?;
        *rest = after;
        return Some(match octet.to_ascii_uppercase() {
            b' ' | b';' => continue,
            b'S' => register(rest),
            b'D' => Ok(Command::Dial(dial(rest))),
            sign @ (b'&' | b'\\' | b'%') => match rest.split_first() {
                Some((letter, after)) if letter.is_ascii_alphabetic() => {
                    *rest = after;
                    let letter = letter.to_ascii_uppercase();
                    Ok(Command::Letter(Some(sign), letter, number(rest)))
                }
                _ => Err(Unknown),
            },
            b'+' | b'#' | b'-' => Ok(extended(rest)),
            letter @ b'A'..=b'Z' => Ok(Command::Letter(None, letter, number(rest))),
            _ => Err(Unknown),
        });
    }
}

fn register<'a>(rest: &mut &'a [u8]) -> Result<Command<'a>, Unknown> {
    let register = number(rest);
    match rest.split_first() {
        Some((b'=', after)) => {
            *rest = after;
            Ok(Command::SetRegister(register, number(rest)))
        }
        Some((b'?', after)) => {
            *rest = after;
            Ok(Command::ShowRegister(register))
        }
        _ => Err(Unknown),
    }
}

fn dial<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let number = core::mem::take(rest).trim_ascii();
    match number.split_first() {
        Some((b'T' | b't' | b'P' | b'p', after)) => after.trim_ascii(),
        _ => number,
    }
}

/// The sign is taken off already: with another, the names are the same to a modem that knows so few.
fn extended<'a>(rest: &mut &'a [u8]) -> Command<'a> {
    let end = rest
        .iter()
        .position(|octet| *octet == b';')
        .unwrap_or(rest.len());
    let (whole, after) = rest.split_at_checked(end).unwrap_or_default();
    *rest = after;
    let split = whole.iter().position(|octet| matches!(octet, b'=' | b'?'));
    let (name, operation) = whole
        .split_at_checked(split.unwrap_or(end))
        .unwrap_or_default();
    let operation = match operation {
        [b'=', b'?', ..] => Operation::Test,
        [b'?', ..] => Operation::Show,
        [b'=', value @ ..] => Operation::Set(number(&mut { value })),
        _ => Operation::Set(0),
    };
    Command::Extended(name.trim_ascii(), operation)
}

/// Takes a number off `rest`; too large ones saturate.
fn number(rest: &mut &[u8]) -> u16 {
    let mut number: u16 = 0;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        number = number
            .saturating_mul(10)
            .saturating_add(u16::from(digit - b'0'));
        *rest = after;
    }
    number
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use super::*;

    fn all(line: &str) -> Vec<Result<Command<'_>, Unknown>> {
        let mut rest = body(line.as_bytes()).unwrap();
        core::iter::from_fn(|| next(&mut rest)).collect()
    }

    #[test]
    fn lines_fall_into_commands() {
        use Command::{Dial, Extended, Letter, SetRegister, ShowRegister};
        for (line, expected) in [
            ("AT", vec![]),
            (
                "at e0 v1",
                vec![Letter(None, b'E', 0), Letter(None, b'V', 1)],
            ),
            ("ATZ", vec![Letter(None, b'Z', 0)]),
            ("AT&D2", vec![Letter(Some(b'&'), b'D', 2)]),
            (
                "AT\\Q3%C1",
                vec![Letter(Some(b'\\'), b'Q', 3), Letter(Some(b'%'), b'C', 1)],
            ),
            ("ATS2=29S0?", vec![SetRegister(2, 29), ShowRegister(0)]),
            ("AT+VCID=?", vec![Extended(b"VCID", Operation::Test)]),
            (
                "AT+VCID=1;E0",
                vec![Extended(b"VCID", Operation::Set(1)), Letter(None, b'E', 0)],
            ),
            ("AT#CID?", vec![Extended(b"CID", Operation::Show)]),
            ("ATDT 555-1234", vec![Dial(b"555-1234")]),
            ("ATD localhost:2323", vec![Dial(b"localhost:2323")]),
            ("+++ATH0", vec![Letter(None, b'H', 0)]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(Ok).collect();
            assert_eq!(all(line), expected, "{line}");
        }
        assert_eq!(all("AT="), [Err(Unknown)]);
        assert_eq!(all("ATS1"), [Err(Unknown)]);
        assert_eq!(all("AT&"), [Err(Unknown)]);
        assert_eq!(body(b"TA"), None);
    }
}
