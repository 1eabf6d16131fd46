//! Keys: what the octets of a terminal mean.
//!
//! ```text
//! octets -> [ CR LF CRLF | controls | UTF-8 | ESC [ .. | ESC O .. | IAC .. ] -> Key
//! ```
//!
//! Anything else is noise of the line, and is passed over. No state lasts longer than a few
//! octets, so noise cannot make the console deaf.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    /// ^K: deletes what follows.
    KillAfter,
    /// ^U: deletes what stands before.
    KillBefore,
    /// ^W: deletes the word before.
    KillWord,
    /// ^C.
    Interrupt,
    /// ^D.
    EndOfInput,
    /// ^L, ^R.
    Reprint,
}

/// Makes keys of octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Ground,
    /// A LF or NUL now belongs to the CR before it.
    AfterCr,
    Escape,
    /// After ESC O: one more octet.
    Single,
    /// After ESC [: parameters, then a letter. `first` is the first parameter.
    Sequence {
        first: u8,
        left: u8,
    },
    Utf8 {
        octets: [u8; 4],
        have: usize,
        need: usize,
    },
    /// After the telnet octet IAC (RFC 854).
    Telnet,
    TelnetOption,
    /// Up to IAC SE; so many octets more at most.
    TelnetSub {
        left: u8,
        after_iac: bool,
    },
}

const ESC: u8 = 0x1b;
const IAC: u8 = 0xff;
/// Longest escape sequence, and longest telnet subnegotiation, before it counts as noise.
const LONGEST: u8 = 40;

impl Decoder {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Ground,
        }
    }

    /// Takes one octet; gives a key if that made one whole.
    pub(super) fn push(&mut self, octet: u8) -> Option<Key> {
        let state = core::mem::take(&mut self.state);
        match state {
            State::Ground => self.ground(octet),
            State::AfterCr if matches!(octet, b'\n' | 0) => None,
            State::AfterCr => self.ground(octet),
            State::Escape => match octet {
                b'[' => self.wait(State::Sequence {
                    first: 0,
                    left: LONGEST,
                }),
                b'O' => self.wait(State::Single),
                0x20..=0x7e => None,
                _ => self.ground(octet),
            },
            State::Single if octet.is_ascii_graphic() => letter(octet),
            State::Single => self.ground(octet),
            State::Sequence { first, left } => self.sequence(first, left, octet),
            State::Utf8 { octets, have, need } => self.utf8(octets, have, need, octet),
            State::Telnet => match octet {
                250 => self.wait(State::TelnetSub {
                    left: LONGEST,
                    after_iac: false,
                }),
                251..=254 => self.wait(State::TelnetOption),
                240..=249 | IAC => None,
                _ => self.ground(octet),
            },
            State::TelnetOption => None,
            State::TelnetSub { left, after_iac } => {
                let ended = (after_iac && octet == 240) || left == 0;
                if !ended {
                    self.state = State::TelnetSub {
                        left: left - 1,
                        after_iac: octet == IAC && !after_iac,
                    };
                }
                None
            }
        }
    }

    fn ground(&mut self, octet: u8) -> Option<Key> {
        let need = match octet {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            ESC => return self.wait(State::Escape),
            IAC => return self.wait(State::Telnet),
            b'\r' => {
                self.state = State::AfterCr;
                return Some(Key::Enter);
            }
            _ => return control(octet),
        };
        self.wait(State::Utf8 {
            octets: [octet, 0, 0, 0],
            have: 1,
            need,
        })
    }

    fn sequence(&mut self, first: u8, left: u8, octet: u8) -> Option<Key> {
        match octet {
            b'0'..=b'9' if left > 0 => {
                let first = first.saturating_mul(10).saturating_add(octet - b'0');
                self.wait(State::Sequence {
                    first,
                    left: left - 1,
                })
            }
            // What follows the first parameter only modifies the key.
            0x20..=0x3f if left > 0 => self.wait(State::Sequence {
                first,
                left: left - 1,
            }),
            b'~' => match first {
                1 | 7 => Some(Key::Home),
                4 | 8 => Some(Key::End),
                3 => Some(Key::Delete),
                _ => None,
            },
            0x20..=0x7e => letter(octet),
            _ => self.ground(octet),
        }
    }

    fn utf8(&mut self, mut octets: [u8; 4], have: usize, need: usize, octet: u8) -> Option<Key> {
        if !(0x80..=0xbf).contains(&octet) {
            return self.ground(octet);
        }
        *octets.get_mut(have)? = octet;
        let have = have + 1;
        if have < need {
            return self.wait(State::Utf8 { octets, have, need });
        }
        let text = core::str::from_utf8(octets.get(..have)?).ok()?;
        let sign = text.chars().next()?;
        (!sign.is_control()).then_some(Key::Char(sign))
    }

    fn wait(&mut self, state: State) -> Option<Key> {
        self.state = state;
        None
    }
}

fn letter(octet: u8) -> Option<Key> {
    match octet {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'H' => Some(Key::Home),
        b'F' => Some(Key::End),
        _ => None,
    }
}

fn control(octet: u8) -> Option<Key> {
    Some(match octet {
        0x20..=0x7e => Key::Char(char::from(octet)),
        b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0b => Key::KillAfter,
        0x0c | 0x12 => Key::Reprint,
        0x0e => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::KillBefore,
        0x17 => Key::KillWord,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn keys(octets: &[u8]) -> Vec<Key> {
        let mut decoder = Decoder::new();
        octets
            .iter()
            .filter_map(|&octet| decoder.push(octet))
            .collect()
    }

    #[test]
    fn each_line_ends_once() {
        let a = Key::Char('a');
        assert_eq!(
            keys(b"a\ra\na\r\na\r\0a"),
            [
                a,
                Key::Enter,
                a,
                Key::Enter,
                a,
                Key::Enter,
                a,
                Key::Enter,
                a
            ]
        );
        assert_eq!(keys(b"\r\r\n\n"), [Key::Enter; 3]);
        assert_eq!(keys(b"\r\n\r\n"), [Key::Enter; 2]);
    }

    #[test]
    fn sequences_are_keys_or_nothing() {
        for (octets, expected) in [
            (&b"\x1b[A\x1bOB"[..], &[Key::Up, Key::Down][..]),
            (
                b"\x1b[C\x1b[D\x1b[H\x1b[F",
                &[Key::Right, Key::Left, Key::Home, Key::End],
            ),
            (
                b"\x1b[3~\x1b[1~\x1b[8~",
                &[Key::Delete, Key::Home, Key::End],
            ),
            (b"\x1b[1;5C", &[Key::Right]),
            (b"\x1b[200~x", &[Key::Char('x')]),
            (b"\x1bx\x1b\r", &[Key::Enter]),
            (b"\x1b[\r", &[Key::Enter]),
            (
                "ü€😀".as_bytes(),
                &[Key::Char('ü'), Key::Char('€'), Key::Char('😀')],
            ),
            (b"\xc3a\xa4\xffb", &[Key::Char('a'), Key::Char('b')]),
            (b"\xc2\x9b[A", &[Key::Char('['), Key::Char('A')]),
            (b"\xed\xa0\x80\xc0\x80", &[]),
            (
                b"\xff\xfb\x01\xff\xfa\x1f\x00\x50\xff\xf0a",
                &[Key::Char('a')],
            ),
            (b"\x00\x07\x1c\x1d", &[]),
        ] {
            assert_eq!(keys(octets), expected, "{octets:x?}");
        }
    }

    #[test]
    fn after_any_noise_the_console_hears_again() {
        // Every pair of octets, then a run of ordinary ones.
        for noise in 0..=u16::MAX {
            let mut octets = noise.to_be_bytes().to_vec();
            octets.extend([b'x'; 64]);
            octets.push(b'\r');
            assert_eq!(keys(&octets).last(), Some(&Key::Enter), "{noise:x}");
            assert!(keys(&octets).len() > 20, "{noise:x}");
        }
    }
}
