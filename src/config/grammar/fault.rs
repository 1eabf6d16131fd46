//! What is wrong with the words of a command, and the one line that says so.

use core::fmt;

use hal::Duration;
use heapless::String;

use super::{Choice, LINE, Rows, USER, explanation, is_argument};
use crate::config::value::{Octets, Span};
use crate::config::words::{Words, WordsError};

/// What is wrong with the words of a command. `Display` is the one line for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The line cannot be split into words.
    Words(WordsError),
    /// Word `at` is not what any of `rows` may have there.
    Expected {
        /// The rows that fit up to there.
        rows: Rows,
        /// Which word.
        at: usize,
        /// What stands there.
        got: Got,
    },
    /// Word `at` is too small or too large.
    OutOfBounds {
        /// The row.
        rows: Rows,
        /// Which word.
        at: usize,
        /// The least it may be.
        least: Quantity,
        /// The most it may be.
        most: Quantity,
        /// What stands there.
        got: Got,
    },
}

impl From<WordsError> for Fault {
    fn from(error: WordsError) -> Self {
        Self::Words(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(error) => error.fmt(f),
            Self::Expected { at: 0, got, .. } => {
                write!(f, "expected a command (help lists them), got {got}")
            }
            Self::Expected { rows, at, got } => {
                context(f, *rows, *at)?;
                f.write_str("expected ")?;
                let count = rows.choices(*at).count();
                // Words first: "a or b or a list such as c, d" could not be read.
                let is_word = |choice: &Choice| matches!(choice, Choice::Word(..));
                let words = rows.choices(*at).filter(is_word);
                let others = rows.choices(*at).filter(|choice| !is_word(choice));
                for (nth, choice) in words.chain(others).enumerate() {
                    match nth {
                        0 => {}
                        nth if nth + 1 == count => f.write_str(" or ")?,
                        _ => f.write_str(", ")?,
                    }
                    match choice {
                        Choice::Word(word, _) => f.write_str(word)?,
                        Choice::Argument(name) => f.write_str(explanation(name).unwrap_or(name))?,
                        Choice::End => f.write_str("nothing more")?,
                    }
                }
                write!(f, ", got {got}")
            }
            Self::OutOfBounds {
                rows,
                at,
                least,
                most,
                got,
            } => {
                context(f, *rows, *at)?;
                write!(f, "expected {least} to {most}, got {got}")
            }
        }
    }
}

impl core::error::Error for Fault {}

/// Writes the small words before place `at`, without the user or the line they are about:
/// `poll every: `.
fn context(f: &mut fmt::Formatter<'_>, rows: Rows, at: usize) -> fmt::Result {
    let Some(row) = rows.iter().next() else {
        return Ok(());
    };
    let is_word = |at: &usize| {
        row.element(*at)
            .is_some_and(|e| !is_argument(e) && !e.contains('|'))
    };
    let about = row.element(1).is_some_and(|e| e == USER || e == LINE);
    let subject = about && (2..at).any(|at| is_word(&at));
    let first = usize::from(subject);
    for at in (first..at).filter(is_word) {
        if at > first && (first..at).any(|before| is_word(&before)) {
            f.write_str(" ")?;
        }
        f.write_str(row.element(at).unwrap_or_default())?;
    }
    f.write_str(": ")
}

/// The word that did not fit, as far as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The line ended there.
    Nothing,
    /// This word, or its first characters.
    Word(String<32>),
    /// A word that is, or may be, part of a secret.
    Hidden,
}

impl Got {
    pub(super) fn word(words: &Words, at: usize) -> Self {
        let Some(word) = words.word(at) else {
            return Self::Nothing;
        };
        let mut before = words.iter().take(at);
        if before.any(|word| word.eq_ignore_ascii_case("password")) {
            return Self::Hidden;
        }
        let mut shown = String::new();
        for sign in word.chars() {
            // The first sign that does not fit ends it; the quote shows nothing of that.
            if shown.push(sign).is_err() {
                break;
            }
        }
        Self::Word(shown)
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Word(word) => write!(f, "\"{word}\""),
            Self::Hidden => f.write_str("a word not shown here"),
        }
    }
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A plain number.
    Count(u64),
    /// A time.
    Duration(Duration),
    /// A size in octets.
    Octets(u64),
}

impl From<u32> for Quantity {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<Duration> for Quantity {
    fn from(duration: Duration) -> Self {
        Self::Duration(duration)
    }
}

impl From<Octets> for Quantity {
    fn from(octets: Octets) -> Self {
        Self::Octets(octets.0)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Duration(duration) => Span(*duration).fmt(f),
            Self::Octets(octets) => Octets(*octets).fmt(f),
        }
    }
}
