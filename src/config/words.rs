//! Words of one command line: how they are split, and how they are quoted.
//!
//! ```text
//! user anna source pop3://mail login "anna b" password "a \"b\" \\ c"   # a comment
//! ```
//!
//! Blanks part words. A word that begins with `"` ends at the next one, and has `\"` and `\\` for
//! the two signs it could not hold otherwise. Anywhere else in a word `"`, `\` and `#` stand for
//! themselves: a password that is typed as it is must not lose its tail. `#` where a word would
//! begin starts a comment.

use core::fmt::{self, Write};

use heapless::{String, Vec};

use super::LINE_OCTETS;

/// Words in one command: `line NAME allow` with its [`NUMBERS`](super::NUMBERS), and some to spare
/// for the fault to be seen.
const WORDS: usize = 24;

/// One command, split and unquoted.
#[derive(Clone, PartialEq, Eq)]
pub struct Words {
    text: String<LINE_OCTETS>,
    /// Where in `text` each word ends.
    ends: Vec<usize, WORDS>,
}

/// Why a line cannot be split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordsError {
    /// The closing quote is missing.
    OpenQuote,
    /// Something follows a closing quote without a blank.
    AfterQuote,
    /// A backslash inside quotes before anything but `"` and `\`.
    Escape,
    /// A control character; only blanks and tabs may part words.
    Control(u8),
    /// The words, as they would be printed, need more octets than this.
    TooLong {
        /// [`LINE_OCTETS`].
        limit: usize,
    },
    /// More words than any command has.
    TooMany {
        /// The most words a command may have.
        limit: usize,
    },
}

impl Words {
    /// Splits `line` and takes the quotes off.
    ///
    /// # Errors
    /// [`WordsError`], the first from the left.
    pub fn split(line: &str) -> Result<Self, WordsError> {
        let mut words = Self {
            text: String::new(),
            ends: Vec::new(),
        };
        let mut printed = 0;
        if let Some(control) = line.chars().find(|&c| c.is_control() && c != '\t') {
            return Err(WordsError::Control(
                u8::try_from(u32::from(control)).unwrap_or(u8::MAX),
            ));
        }
        let too_long = WordsError::TooLong { limit: LINE_OCTETS };
        for piece in pieces(line) {
            let before = words.text.len();
            match piece.quoting {
                Quoting::Open => return Err(WordsError::OpenQuote),
                Quoting::Torn => return Err(WordsError::AfterQuote),
                Quoting::Bare => words.text.push_str(piece.body).map_err(|_| too_long)?,
                Quoting::Quoted => {
                    let mut body = piece.body.chars();
                    while let Some(sign) = body.next() {
                        let sign = match sign {
                            '\\' => match body.next() {
                                Some(sign @ ('"' | '\\')) => sign,
                                _ => return Err(WordsError::Escape),
                            },
                            sign => sign,
                        };
                        words.text.push(sign).map_err(|_| too_long)?;
                    }
                }
            }
            let word = words.text.get(before..).unwrap_or_default();
            printed += Quoted(word).octets() + 1;
            if printed > LINE_OCTETS + 1 {
                return Err(too_long);
            }
            let too_many = WordsError::TooMany { limit: WORDS };
            words.ends.push(words.text.len()).map_err(|_| too_many)?;
        }
        Ok(words)
    }

    /// Word `at`, counted from 0.
    #[must_use]
    pub fn word(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let start = match at.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// The words in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map_while(|at| self.word(at))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the line was blank, or all comment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl fmt::Debug for Words {
    /// Says how many words there are; one of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Words({})", self.len())
    }
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote => f.write_str("expected a closing quote \""),
            Self::AfterQuote => f.write_str("expected a blank after the closing quote \""),
            Self::Escape => f.write_str("expected \\\" or \\\\ after a backslash inside quotes"),
            Self::Control(octet) => {
                write!(
                    f,
                    "expected printable characters, got control character {octet}"
                )
            }
            Self::TooLong { limit } => write!(f, "expected a command of at most {limit} octets"),
            Self::TooMany { limit } => write!(f, "expected at most {limit} words"),
        }
    }
}

impl core::error::Error for WordsError {}

/// A word as it must be printed to be read back: in quotes where it needs them.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl Quoted<'_> {
    fn is_bare(self) -> bool {
        let special = |sign| matches!(sign, ' ' | '"' | '\\' | '#');
        !self.0.is_empty() && !self.0.contains(special)
    }

    /// Octets of its printed form.
    fn octets(self) -> usize {
        if self.is_bare() {
            return self.0.len();
        }
        let escaped = self.0.bytes().filter(|octet| matches!(octet, b'"' | b'\\'));
        self.0.len() + escaped.count() + 2
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_bare() {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for sign in self.0.chars() {
            if matches!(sign, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(sign)?;
        }
        f.write_char('"')
    }
}

/// The place in `line` from which on nobody may read along: the octet where what follows the word
/// `password` begins. A secret is always the last word, so all the rest is hidden, a passphrase
/// whose quotes were forgotten too.
#[must_use]
pub fn secret_start(line: &str) -> Option<usize> {
    let mut pieces = pieces(line);
    let mut expected = false;
    for piece in pieces.by_ref() {
        if expected {
            return Some(piece.start);
        }
        expected = piece.body.eq_ignore_ascii_case("password");
    }
    let comment = pieces.comment();
    comment.filter(|_| expected)
}

/// What the words before the end of `head` are, and the beginning of the word that is being
/// typed there; `None` inside quotes, in a comment, or where the line is no good anyway.
#[must_use]
pub fn at_end(head: &str) -> Option<(Words, &str)> {
    let mut pieces = pieces(head);
    let last = pieces.by_ref().last();
    if pieces.comment().is_some() {
        return None;
    }
    let (complete, partial) = match last {
        Some(last)
            if last.quoting == Quoting::Bare && last.start + last.body.len() == head.len() =>
        {
            (head.get(..last.start)?, last.body)
        }
        _ if head.is_empty() || head.ends_with([' ', '\t']) => (head, ""),
        _ => return None,
    };
    Some((Words::split(complete).ok()?, partial))
}

/// One word as it stands in the line.
struct Piece<'a> {
    /// Where it begins, its quote included.
    start: usize,
    /// Without its quotes, escapes still in it.
    body: &'a str,
    quoting: Quoting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    Bare,
    Quoted,
    /// The closing quote is missing.
    Open,
    /// Something stands right after the closing quote.
    Torn,
}

fn pieces(line: &str) -> Pieces<'_> {
    Pieces { line, at: 0 }
}

struct Pieces<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Pieces<'a> {
    fn rest(&self) -> &'a str {
        self.line.get(self.at..).unwrap_or_default()
    }

    /// Where the comment begins, once all words are through.
    fn comment(&self) -> Option<usize> {
        self.rest().starts_with('#').then_some(self.at)
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let blank = [' ', '\t'];
        let rest = self.rest().trim_start_matches(blank);
        self.at = self.line.len() - rest.len();
        if rest.is_empty() || rest.starts_with('#') {
            return None;
        }
        let start = self.at;
        let Some(inside) = rest.strip_prefix('"') else {
            let end = rest.find(blank).unwrap_or(rest.len());
            self.at += end;
            return Some(Piece {
                start,
                body: rest.get(..end).unwrap_or_default(),
                quoting: Quoting::Bare,
            });
        };
        let mut escaped = false;
        let close = inside.find(|sign| {
            let closes = sign == '"' && !escaped;
            escaped = sign == '\\' && !escaped;
            closes
        });
        let Some(close) = close else {
            self.at = self.line.len();
            return Some(Piece {
                start,
                body: inside,
                quoting: Quoting::Open,
            });
        };
        self.at += close + 2;
        let torn = !self.rest().is_empty() && !self.rest().starts_with(blank);
        Some(Piece {
            start,
            body: inside.get(..close).unwrap_or_default(),
            quoting: if torn { Quoting::Torn } else { Quoting::Quoted },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<std::vec::Vec<std::string::String>, WordsError> {
        Words::split(line).map(|words| words.iter().map(Into::into).collect())
    }

    #[test]
    fn words_are_split_at_blanks_and_kept_whole_in_quotes() {
        for (line, expected) in [
            ("", &[][..]),
            ("   # only a comment", &[]),
            ("a b\tc", &["a", "b", "c"]),
            ("  a  # b c", &["a"]),
            ("a \"b c\" d", &["a", "b c", "d"]),
            ("a \"\"", &["a", ""]),
            ("\"a # b\" c", &["a # b", "c"]),
            (r#"p "a \"b\" \\ c""#, &["p", r#"a "b" \ c"#]),
            (r#"p a"b\c#d"#, &["p", r#"a"b\c#d"#]),
            ("p grün", &["p", "grün"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_split_says_why() {
        let long = "a".repeat(LINE_OCTETS + 1);
        let quotes = "\"".repeat(LINE_OCTETS);
        let many = "a ".repeat(WORDS + 1);
        for (line, expected) in [
            ("a \"b", WordsError::OpenQuote),
            ("a \"b\\\"", WordsError::OpenQuote),
            ("a \"b\"c", WordsError::AfterQuote),
            ("a \"b\"# c", WordsError::AfterQuote),
            ("a \"b\\n\"", WordsError::Escape),
            ("a\u{7}", WordsError::Control(7)),
            ("a\u{9b}", WordsError::Control(0x9b)),
            (&long, WordsError::TooLong { limit: LINE_OCTETS }),
            (&many, WordsError::TooMany { limit: WORDS }),
        ] {
            assert_eq!(split(line).unwrap_err(), expected, "{line}");
        }
        // Bare it would fit; printed it would not.
        let line = std::format!("a{quotes}");
        assert!(split(&line[..300]).is_err());
    }

    #[test]
    fn every_short_word_is_read_back_as_it_was_printed() {
        let signs = ['a', ' ', '"', '\\', '#', 'ü'];
        let mut words = std::vec![std::string::String::new()];
        for at in 0.. {
            let Some(word) = words.get(at).cloned() else {
                break;
            };
            let line = std::format!("x {} y", Quoted(&word));
            assert_eq!(split(&line).unwrap(), ["x", &word, "y"], "{line}");
            assert_eq!(line.len(), Quoted(&word).octets() + 4);
            if word.chars().count() < 5 {
                words.extend(signs.map(|sign| std::format!("{word}{sign}")));
            }
        }
    }

    #[test]
    fn a_secret_begins_after_the_word_password() {
        for (line, expected) in [
            ("user add anna password", None),
            ("user add anna password ", None),
            ("user add anna password x y", Some(23)),
            ("user add anna Password  \"x", Some(24)),
            ("user add anna password #x", Some(23)),
            ("user add anna passwords x", None),
            ("line a init \"AT password x\" b", None),
            ("password password x", Some(9)),
        ] {
            assert_eq!(secret_start(line), expected, "{line}");
        }
    }

    #[test]
    fn the_word_being_typed_is_the_bare_one_at_the_end() {
        for (head, expected) in [
            ("", Some((0, ""))),
            ("sh", Some((0, "sh"))),
            ("show ", Some((1, ""))),
            ("show st", Some((1, "st"))),
            ("a \"b", None),
            ("a \"b\"", None),
            ("a \"b\" ", Some((2, ""))),
            ("a # b", None),
            ("a #", None),
        ] {
            let got = at_end(head);
            let got = got.as_ref().map(|(words, partial)| (words.len(), *partial));
            assert_eq!(got, expected, "{head}");
        }
    }
}
