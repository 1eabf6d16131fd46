//! What a caller says: one line becomes one [`Command`] or one [`Malformed`].
//!
//! RFC 1939 §3 with the longer lines of RFC 2449 §4. Keywords are read in any case. Blanks at the
//! end of a line are forgiven, for clients that send them; further words are not. Numbers are
//! read with every digit checked. A control octet spoils the line it is in: a modem's noise must
//! not become a password.
//!
//! `PASS` takes the rest of its line, with all its blanks (RFC 1939 §7).

use core::fmt;
use core::str::FromStr;

use heapless::String;

use crate::config::{NAME_OCTETS, Secret};
use crate::link::TooLong;
use crate::sasl::Mechanism;

/// The longest command without its CR LF: RFC 2449 §4 allows 255 octets with it.
pub const COMMAND_OCTETS: usize = 255 - 2;

/// The longest login that can be somebody's: a name, `+` and the word of a view. RFC 1939 §3
/// allows arguments of 40 octets as well.
pub const LOGIN_OCTETS: usize = NAME_OCTETS + 8;

/// What stands after `USER`: a name, or a name with a view, as in `NAME+full`.
pub type Login = String<LOGIN_OCTETS>;

/// What stands behind the mechanism of an `AUTH`. It may hold a password: `Debug` never shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Initial(heapless::Vec<u8, COMMAND_OCTETS>);

impl Initial {
    /// The octets themselves.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Initial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Secret::MASK)
    }
}

/// What `AUTH` asks for (RFC 5034 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
pub enum Auth {
    /// Without a mechanism: which are there? No RFC has it; Outlook asks it.
    List,
    /// A mechanism that is not ours.
    Unknown,
    /// An exchange.
    Begin {
        /// By which mechanism.
        mechanism: Mechanism,
        /// The initial response, if there is one.
        initial: Option<Initial>,
    },
}

/// The digest of an `APOP`: 32 digits (RFC 1939 §7).
pub type Digest = [u8; 32];

/// A command that is right in itself, whether or not it is right now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `USER name`; `None` if the name cannot be anybody's: too long, or not UTF-8.
    User(Option<Login>),
    /// `PASS string`; `None` if the string cannot be anybody's: too long, or not UTF-8.
    Pass(Option<Secret>),
    /// `APOP name digest` (RFC 1939 §7)
    Apop {
        /// As of `USER`.
        login: Option<Login>,
        /// `None` if it has not the length of a digest.
        digest: Option<Digest>,
    },
    /// `AUTH [mechanism [initial-response]]` (RFC 5034 §4)
    Auth(Auth),
    /// `STAT`
    Stat,
    /// `LIST [msg]`
    List(Option<u32>),
    /// `UIDL [msg]`
    Uidl(Option<u32>),
    /// `RETR msg`
    Retr(u32),
    /// `TOP msg n`
    Top {
        /// The message-number.
        number: u32,
        /// Lines of the body.
        lines: u64,
    },
    /// `DELE msg`
    Dele(u32),
    /// `NOOP`
    Noop,
    /// `RSET`
    Rset,
    /// `QUIT`
    Quit,
    /// `CAPA` (RFC 2449 §5)
    Capa,
}

/// A line that is no command. Its text is what the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Nothing, or blanks only.
    Empty,
    /// An octet below 0x20, or 0x7f.
    ControlOctet,
    /// A keyword with octets beyond ASCII.
    NotAscii,
    /// No keyword of ours.
    Unknown,
    /// An argument is missing.
    Missing,
    /// A number has other octets than digits, or is too large.
    NotANumber,
    /// More words than the command takes.
    TrailingWords,
    /// More than [`COMMAND_OCTETS`].
    TooLong,
}

impl Command {
    /// Reads `line`, which has lost its CR LF.
    ///
    /// # Errors
    /// [`Malformed`], by what is wrong first.
    pub fn parse(line: &[u8]) -> Result<Self, Malformed> {
        if line.iter().all(|&octet| octet == b' ') {
            return Err(Malformed::Empty);
        }
        if line.iter().any(u8::is_ascii_control) {
            return Err(Malformed::ControlOctet);
        }
        let mut halves = line.splitn(2, |&octet| octet == b' ');
        let mut keyword = KEYWORD_PADDED;
        let word = halves.next().unwrap_or_default();
        if !word.is_ascii() {
            return Err(Malformed::NotAscii);
        }
        keyword
            .get_mut(..word.len())
            .ok_or(Malformed::Unknown)?
            .copy_from_slice(word);
        keyword.make_ascii_uppercase();
        let rest = halves.next().unwrap_or_default();
        let mut words = rest.split(|&octet| octet == b' ').filter(|w| !w.is_empty());
        let mut word = || words.next();
        let command = match &keyword {
            b"PASS" if rest.is_empty() => return Err(Malformed::Missing),
            b"PASS" => return Ok(Self::Pass(text(rest).and_then(Secret::new))),
            b"USER" => Self::User(login(word().ok_or(Malformed::Missing)?)),
            b"APOP" => Self::Apop {
                login: login(word().ok_or(Malformed::Missing)?),
                digest: word().ok_or(Malformed::Missing)?.try_into().ok(),
            },
            b"AUTH" => Self::Auth(match word() {
                None => Auth::List,
                Some(name) => {
                    let initial = word().map(|octets| {
                        // A line's length is a word's at most.
                        Initial(heapless::Vec::from_slice(octets).unwrap_or_default())
                    });
                    match Mechanism::parse(name) {
                        Some(mechanism) => Auth::Begin { mechanism, initial },
                        None => Auth::Unknown,
                    }
                }
            }),
            b"STAT" => Self::Stat,
            b"LIST" => Self::List(word().map(number).transpose()?),
            b"UIDL" => Self::Uidl(word().map(number).transpose()?),
            b"RETR" => Self::Retr(number(word().ok_or(Malformed::Missing)?)?),
            b"TOP " => Self::Top {
                number: number(word().ok_or(Malformed::Missing)?)?,
                lines: number(word().ok_or(Malformed::Missing)?)?,
            },
            b"DELE" => Self::Dele(number(word().ok_or(Malformed::Missing)?)?),
            b"NOOP" => Self::Noop,
            b"RSET" => Self::Rset,
            b"QUIT" => Self::Quit,
            b"CAPA" => Self::Capa,
            _ => return Err(Malformed::Unknown),
        };
        match word() {
            Some(_) => Err(Malformed::TrailingWords),
            None => Ok(command),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty line",
            Self::ControlOctet => "control character in line",
            Self::Unknown | Self::NotAscii => "unknown command",
            Self::Missing => "argument missing",
            Self::NotANumber => "not a number",
            Self::TrailingWords => "too many words",
            Self::TooLong => "line too long",
        })
    }
}

impl core::error::Error for Malformed {}

impl From<TooLong> for Malformed {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

/// `str::parse` alone would take a sign.
fn number<T: FromStr>(word: &[u8]) -> Result<T, Malformed> {
    if !word.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::NotANumber);
    }
    text(word)
        .and_then(|digits| digits.parse().ok())
        .ok_or(Malformed::NotANumber)
}

/// A name that somebody may have.
fn login(word: &[u8]) -> Option<Login> {
    text(word).and_then(|name| Login::try_from(name).ok())
}

fn text(word: &[u8]) -> Option<&str> {
    core::str::from_utf8(word).ok()
}

/// RFC 1939 §3: keywords have three or four characters. A blank is in none.
const KEYWORD_PADDED: [u8; 4] = *b"    ";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Malformed> {
        Command::parse(line.as_bytes())
    }

    fn pass(secret: &str) -> Result<Command, Malformed> {
        Ok(Command::Pass(Secret::new(secret)))
    }

    #[test]
    fn the_commands_of_the_rfcs_are_read_in_any_case() {
        let cases = [
            ("STAT", Command::Stat),
            ("LIST", Command::List(None)),
            ("LIST 2", Command::List(Some(2))),
            ("UIDL", Command::Uidl(None)),
            ("UIDL 1", Command::Uidl(Some(1))),
            ("RETR 4294967295", Command::Retr(u32::MAX)),
            (
                "TOP 1 99999999",
                Command::Top {
                    number: 1,
                    lines: 99_999_999,
                },
            ),
            ("DELE 007", Command::Dele(7)),
            ("NOOP", Command::Noop),
            ("RSET", Command::Rset),
            ("QUIT", Command::Quit),
            ("CAPA", Command::Capa),
        ];
        for (line, command) in cases {
            let lower = line.to_ascii_lowercase();
            assert_eq!(parse(line), Ok(command.clone()), "{line}");
            assert_eq!(parse(&lower), Ok(command.clone()), "{line}");
            assert_eq!(parse(&format!("{line}  ")), Ok(command), "{line}");
            assert_eq!(
                parse(&format!("{line} x y z")),
                Err(match parse(&format!("{line} x")) {
                    Err(malformed) => malformed,
                    Ok(command) => panic!("{line} x is {command:?}"),
                })
            );
        }
    }

    #[test]
    fn numbers_are_checked() {
        for digits in [
            "4294967296",
            "4294967297",
            "+1",
            "-1",
            "1x",
            "0x1",
            "1.0",
            "١",
        ] {
            for keyword in ["LIST", "UIDL", "RETR", "DELE"] {
                let line = format!("{keyword} {digits}");
                assert_eq!(parse(&line), Err(Malformed::NotANumber), "{line}");
            }
        }
        assert_eq!(
            parse("TOP 1 18446744073709551616"),
            Err(Malformed::NotANumber)
        );
        assert_eq!(parse("TOP 1"), Err(Malformed::Missing));
        assert_eq!(parse("RETR"), Err(Malformed::Missing));
        assert_eq!(parse("RETR 1 2"), Err(Malformed::TrailingWords));
    }

    #[test]
    fn pass_keeps_every_blank_and_the_others_none() {
        assert_eq!(parse("PASS a b"), pass("a b"));
        assert_eq!(parse("pass  a b  "), pass(" a b  "));
        assert_eq!(parse("PASS  "), pass(" "));
        assert_eq!(parse("PASS "), Err(Malformed::Missing));
        assert_eq!(parse("PASS"), Err(Malformed::Missing));
        assert_eq!(parse("PASS grün"), pass("grün"));
        let long = "x".repeat(200);
        assert_eq!(parse(&format!("PASS {long}")), Ok(Command::Pass(None)));
        assert_eq!(
            Command::parse(b"PASS gr\xfcn"),
            Ok(Command::Pass(None)),
            "no UTF-8"
        );
    }

    #[test]
    fn names_come_whole_with_their_view_or_are_nobodys() {
        let login = |name: &str| Ok(Command::User(Login::try_from(name).ok()));
        assert_eq!(parse("USER bob"), login("bob"));
        assert_eq!(parse("user  bob+full "), login("bob+full"));
        assert_eq!(parse("USER a b"), Err(Malformed::TrailingWords));
        assert_eq!(parse("USER "), Err(Malformed::Missing));
        let longest = format!("{}+full", "n".repeat(NAME_OCTETS));
        assert_eq!(parse(&format!("USER {longest}")), login(&longest));
        let longer = "n".repeat(LOGIN_OCTETS + 1);
        assert_eq!(parse(&format!("USER {longer}")), Ok(Command::User(None)));
        assert_eq!(Command::parse(b"USER \xff"), Ok(Command::User(None)));
    }

    #[test]
    fn every_octet_everywhere_is_a_command_or_an_error() {
        for line in [&b"PASS secret"[..], b"RETR 1", b"USER bob", b"QUIT"] {
            for at in 0..line.len() {
                for octet in 0..=255 {
                    let mut line = line.to_vec();
                    line[at] = octet;
                    let parsed = Command::parse(&line);
                    if octet < 0x20 || octet == 0x7f {
                        assert_eq!(parsed, Err(Malformed::ControlOctet), "{line:?}");
                    }
                }
            }
        }
        assert_eq!(parse(""), Err(Malformed::Empty));
        assert_eq!(parse("   "), Err(Malformed::Empty));
        assert_eq!(parse(" STAT"), Err(Malformed::Unknown));
        assert_eq!(parse("STATUS"), Err(Malformed::Unknown));
        assert_eq!(parse("STLS"), Err(Malformed::Unknown));
    }

    #[test]
    fn auth_and_apop_are_read_and_never_shown() {
        let auth = |line: &str| match parse(line) {
            Ok(Command::Auth(auth)) => auth,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(auth("AUTH"), Auth::List);
        assert_eq!(auth("auth  "), Auth::List);
        assert_eq!(auth("AUTH GSSAPI abc"), Auth::Unknown);
        for (word, initial) in [
            ("", None),
            (" =", Some("=")),
            (" AGFubgBw", Some("AGFubgBw")),
        ] {
            let Auth::Begin {
                mechanism,
                initial: read,
            } = auth(&format!("auth plain{word}"))
            else {
                panic!("{word}");
            };
            assert_eq!(mechanism, Mechanism::Plain);
            assert_eq!(
                read.as_ref().map(Initial::reveal),
                initial.map(str::as_bytes)
            );
            assert!(!format!("{read:?}").contains("AGF"));
        }
        assert_eq!(parse("AUTH PLAIN a b"), Err(Malformed::TrailingWords));
        let digest = "c4c9334bac560ecc979e58001b3e22fb";
        assert_eq!(
            parse(&format!("APOP mrose {digest}")),
            Ok(Command::Apop {
                login: Login::try_from("mrose").ok(),
                digest: digest.as_bytes().try_into().ok(),
            })
        );
        for line in ["APOP mrose x", "APOP mrose"] {
            let wrong = parse(line);
            let nobodys = matches!(wrong, Ok(Command::Apop { digest: None, .. }));
            assert!(nobodys || wrong == Err(Malformed::Missing), "{line}");
        }
    }
}
