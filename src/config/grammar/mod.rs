//! The grammar: one table of every command, in files and at the console.
//!
//! A [`Row`] is a pattern and a line of help. Small words stand for themselves, `a|b` for either,
//! capitals for an argument, `[..]` at the end may be left out, `...` may be repeated. Reading,
//! `help`, `?`, completion and "expected .." all walk this table, so a command is added here and
//! where its meaning stands, nowhere else.
//!
//! Where a word fits both a small word and an argument, the small word wins.

mod fault;
mod table;

use core::fmt;

use super::words::Words;

pub use fault::{Fault, Got, Quantity};
use table::ARGUMENTS;
pub use table::{LINE, Phrase, TABLE, USER};

/// One command.
#[derive(Debug)]
pub struct Row {
    /// Which it is.
    pub phrase: Phrase,
    /// Where it may stand.
    pub place: Place,
    /// Its words.
    pub pattern: &'static str,
    /// What it does, in a few words.
    pub help: &'static str,
}

/// Where a command may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a configuration, and at the console.
    Configuration,
    /// At the console only.
    Console,
}

/// What the owner is told to type for argument `name`.
#[must_use]
pub fn explanation(name: &str) -> Option<&'static str> {
    let argument = ARGUMENTS.iter().find(|(argument, _)| *argument == name);
    argument.map(|(_, explanation)| *explanation)
}

impl Row {
    /// What may stand at place `at`: the small words and arguments, with `|` between them.
    fn element(&self, at: usize) -> Option<&'static str> {
        let mut elements = self.pattern.split(' ');
        let element = match elements.nth(at) {
            Some(element) => element,
            None => self
                .pattern
                .split(' ')
                .next_back()
                .filter(|e| e.ends_with(REPEATED))?,
        };
        let element = element.strip_suffix(REPEATED).unwrap_or(element);
        let element = element.strip_prefix('[').unwrap_or(element);
        if element.contains('[') {
            return Some(element);
        }
        Some(element.strip_suffix(']').unwrap_or(element))
    }

    /// What may stand at place `at`, one by one.
    fn alternatives(&self, at: usize) -> impl Iterator<Item = &'static str> {
        self.element(at)
            .into_iter()
            .flat_map(|element| element.split('|'))
    }

    /// Whether the command may end after `count` words.
    fn may_end(&self, count: usize) -> bool {
        match self.pattern.split(' ').nth(count) {
            Some(element) => element.starts_with('['),
            None => true,
        }
    }

    /// The first word.
    fn first(&self) -> &'static str {
        self.element(0).unwrap_or_default()
    }
}

const REPEATED: &str = "...";

/// Whether an alternative is an argument, rather than a small word.
fn is_argument(alternative: &str) -> bool {
    alternative.starts_with(|sign: char| sign.is_ascii_uppercase())
}

/// Whether `word` begins a command, and where such a command may stand.
#[must_use]
pub fn place_of(word: &str) -> Option<Place> {
    let row = TABLE.iter().find(|row| row.first() == word)?;
    Some(row.place)
}

/// The rows that begin with `word`, in the order of the table.
pub fn rows_of(word: &str) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.first() == word)
}

/// The row that `words` fit whole.
///
/// # Errors
/// [`Fault::Expected`] at the first word that does not fit.
pub fn find(words: &Words) -> Result<Matched<'_>, Fault> {
    let mut rows = Rows::all();
    for (at, word) in words.iter().enumerate() {
        let next = rows.after(at, word);
        if next.is_empty() {
            return Err(rows.fault(at, words));
        }
        rows = next;
    }
    let whole = rows.retain(|row| row.may_end(words.len()));
    let Some(row) = whole.iter().next() else {
        return Err(rows.fault(words.len(), words));
    };
    Ok(Matched {
        row,
        rows: whole,
        words,
    })
}

/// A set of rows: those that still fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rows(u128);

impl Rows {
    /// Every row.
    #[must_use]
    pub fn all() -> Self {
        Self(u128::MAX)
    }

    /// Those that fit all of `words`.
    #[must_use]
    pub fn fitting(words: &Words) -> Self {
        let words = words.iter().enumerate();
        words.fold(Self::all(), |rows, (at, word)| rows.after(at, word))
    }

    /// What may stand at place `at`, each once: small words, names of arguments, [`Choice::End`].
    pub fn choices(self, at: usize) -> impl Iterator<Item = Choice> {
        let new = move |index: usize, text: &str| {
            let earlier = self.iter().take_while(move |row| row.index() != index);
            !earlier
                .flat_map(|row| row.alternatives(at))
                .any(|other| other == text)
        };
        let next = self.iter().flat_map(move |row| {
            let texts = row
                .alternatives(at)
                .filter(move |text| new(row.index(), text));
            texts.map(move |text| match is_argument(text) {
                true => Choice::Argument(text),
                false => Choice::Word(
                    text,
                    self.retain(|row| row.alternatives(at).any(|t| t == text)),
                ),
            })
        });
        let end = self
            .iter()
            .any(|row| row.may_end(at))
            .then_some(Choice::End);
        next.chain(end)
    }

    /// The rows, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = &'static Row> + Clone {
        let numbered = TABLE.iter().enumerate();
        numbered
            .filter(move |(index, _)| self.0 >> index & 1 == 1)
            .map(|(_, row)| row)
    }

    fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    fn retain(self, keep: impl Fn(&Row) -> bool) -> Self {
        let kept = self.iter().filter(|row| keep(row));
        Self(kept.fold(0, |set, row| set | 1 << row.index()))
    }

    /// Those that go on with `word` at place `at`.
    fn after(self, at: usize, word: &str) -> Self {
        let literal = self.retain(|row| {
            row.alternatives(at)
                .any(|text| text == word && !is_argument(text))
        });
        if !literal.is_empty() {
            return literal;
        }
        self.retain(|row| row.alternatives(at).any(is_argument))
    }

    /// Whether only `password` may come at place `at`: what stands there instead may be one.
    fn wants_password(self, at: usize) -> bool {
        let mut choices = self.choices(at);
        matches!(choices.next(), Some(Choice::Word("password", _))) && choices.next().is_none()
    }

    /// Word `at` fits none of them.
    fn fault(self, at: usize, words: &Words) -> Fault {
        Fault::Expected {
            rows: self,
            at,
            got: match self.wants_password(at) && at < words.len() {
                true => Got::Hidden,
                false => Got::word(words, at),
            },
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|row| row.pattern))
            .finish()
    }
}

impl Row {
    fn index(&self) -> usize {
        self.phrase as usize
    }
}

/// What may stand at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// A small word, and the rows that have it there.
    Word(&'static str, Rows),
    /// An argument, by its name.
    Argument(&'static str),
    /// Nothing: the command is whole.
    End,
}

/// A command that fits its row.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'w> {
    row: &'static Row,
    rows: Rows,
    words: &'w Words,
}

impl<'w> Matched<'w> {
    /// The row.
    #[must_use]
    pub fn row(&self) -> &'static Row {
        self.row
    }

    /// Word `at`; empty where an optional word was left out.
    #[must_use]
    pub fn word(&self, at: usize) -> &'w str {
        self.words.word(at).unwrap_or_default()
    }

    /// The words from `at` on.
    pub fn words_from(&self, at: usize) -> impl Iterator<Item = &'w str> {
        (at..self.words.len()).map_while(|at| self.words.word(at))
    }

    /// Word `at`, if it was given.
    #[must_use]
    pub fn optional(&self, at: usize) -> Option<&'w str> {
        self.words.word(at)
    }

    /// The fault that word `at` is not what the pattern asks for.
    #[must_use]
    pub fn expected(&self, at: usize) -> Fault {
        Fault::Expected {
            rows: self.rows,
            at,
            got: Got::word(self.words, at),
        }
    }

    /// The fault that more words are wanted than this row has.
    #[must_use]
    pub fn unfinished(&self) -> Fault {
        let at = self.words.len();
        let longer = Rows::fitting(self.words).retain(|row| !row.may_end(at));
        longer.fault(at, self.words)
    }

    /// The fault that the command should have ended before word `at`.
    #[must_use]
    pub fn too_long(&self, at: usize) -> Fault {
        let words = self.words.iter().enumerate().take(at);
        let fitting = words.fold(Rows::all(), |rows, (at, word)| rows.after(at, word));
        fitting.retain(|row| row.may_end(at)).fault(at, self.words)
    }

    /// The value that `parse` reads from word `at`.
    ///
    /// # Errors
    /// [`Fault::Expected`] where it reads none.
    pub fn value<T>(
        &self,
        at: usize,
        parse: impl FnOnce(&'w str) -> Option<T>,
    ) -> Result<T, Fault> {
        parse(self.word(at)).ok_or_else(|| self.expected(at))
    }

    /// `quantity`, which word `at` gave, if it lies in `least` to `most`.
    ///
    /// # Errors
    /// [`Fault::OutOfBounds`].
    pub fn bounded<T: PartialOrd + Copy + Into<Quantity>>(
        &self,
        at: usize,
        quantity: T,
        (least, most): (T, T),
    ) -> Result<T, Fault> {
        if quantity >= least && quantity <= most {
            return Ok(quantity);
        }
        Err(Fault::OutOfBounds {
            rows: self.rows,
            at,
            least: least.into(),
            most: most.into(),
            got: Got::word(self.words, at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        assert!(TABLE.len() <= 128, "Rows has a bit a row");
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.index(), index);
            assert!(
                row.pattern.len() + 2 <= 79 && row.help.len() + 20 <= 79,
                "{row:?}"
            );
            for at in 0..row.pattern.split(' ').count() {
                for text in row.alternatives(at) {
                    assert!(!text.is_empty());
                    assert!(!is_argument(text) || explanation(text).is_some(), "{text}");
                }
            }
            let optional = row.pattern.find(" [");
            assert!(
                optional.is_none_or(|_| row.pattern.ends_with(']')),
                "{row:?}"
            );
        }
        for (name, _) in ARGUMENTS {
            let used = |row: &Row| (0..9).any(|at| row.alternatives(at).any(|text| text == *name));
            assert!(TABLE.iter().any(used), "{name} is used nowhere");
        }
    }

    #[test]
    fn every_pattern_finds_its_own_row() {
        for row in TABLE {
            let longest = row.pattern.split(' ').count();
            for length in (1..=longest).filter(|&length| row.may_end(length)) {
                let line: Vec<_> = (0..length)
                    .map(|at| row.alternatives(at).next().unwrap())
                    .collect();
                let words = Words::split(&line.join(" ")).unwrap();
                assert_eq!(find(&words).unwrap().row().phrase, row.phrase);
            }
        }
    }
}
