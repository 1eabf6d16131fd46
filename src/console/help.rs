//! What may come next: `help`, `?` and completion, all read off the grammar.

use core::fmt::{self, Write};

use heapless::String;

use super::Line;
use crate::config::grammar::{self, Choice, LINE, Rows, USER};
use crate::config::words::at_end;
use crate::config::{Config, LINE_OCTETS};

type Text = String<LINE_OCTETS>;

/// Line `n` of `help`, or of `help WORD`.
pub(super) fn help_line(config: &Config, word: Option<&str>, n: u32, out: &mut Text) -> Line {
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let Some(word) = word else {
        return match n.checked_sub(1) {
            None => {
                let _ = out.push_str("help WORD tells more; ? and Tab show what may come next");
                Line::Text
            }
            Some(n) => choice_line(config, "", n, out),
        };
    };
    let Some(row) = grammar::rows_of(word).nth(n / 2) else {
        return Line::End;
    };
    let _ = match n % 2 {
        0 => write!(out, "  {}", row.pattern),
        _ => write!(out, "      {}", row.help),
    };
    Line::Text
}

/// Line `n` of what may come next after `head`.
pub(super) fn choice_line(config: &Config, head: &str, n: usize, out: &mut Text) -> Line {
    let mut count = 0;
    candidates(config, head, &mut |candidate| {
        if count == n {
            let _ = write!(out, "{candidate}");
        }
        count += 1;
    });
    if n < count { Line::Text } else { Line::End }
}

/// What Tab comes to after `head`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Completion {
    /// This is to be put in.
    Insert(String<40>),
    /// There are several ways on: show them.
    Show,
    /// There is none.
    None,
}

/// Completes the word at the end of `head`, as far as there is one way on.
pub(super) fn complete(config: &Config, head: &str) -> Completion {
    let Some((_, partial)) = at_end(head) else {
        return Completion::None;
    };
    let mut common: Option<String<40>> = None;
    let (mut words, mut others) = (0, 0);
    candidates(config, head, &mut |candidate| {
        let rest = match candidate {
            Candidate::Word { word, .. } => word.get(partial.len()..),
            Candidate::Name(name) => name.get(partial.len()..),
            Candidate::Argument(_) | Candidate::End => {
                others += 1;
                return;
            }
        };
        let rest = rest.unwrap_or_default();
        words += 1;
        match &mut common {
            None => common = String::try_from(rest).ok(),
            Some(common) => {
                let pairs = common.chars().zip(rest.chars());
                let same = pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8());
                common.truncate(same.sum());
            }
        }
    });
    let mut insert = common.unwrap_or_default();
    if words == 1 {
        // A word is at most 32 octets.
        let _ = insert.push(' ');
    }
    match insert.is_empty() {
        false => Completion::Insert(insert),
        true if words + others > 0 => Completion::Show,
        true => Completion::None,
    }
}

/// One way on.
enum Candidate<'a> {
    Word {
        word: &'static str,
        rows: Rows,
        at: usize,
    },
    Argument(&'static str),
    Name(&'a str),
    End,
}

/// Gives every way on after `head`, none inside quotes and where `head` is no good already.
fn candidates(config: &Config, head: &str, give: &mut dyn FnMut(Candidate<'_>)) {
    let Some((words, partial)) = at_end(head) else {
        return;
    };
    let at = words.len();
    let rows = Rows::fitting(&words);
    for choice in rows.choices(at) {
        match choice {
            Choice::Word(word, rows) if word.starts_with(partial) => {
                give(Candidate::Word { word, rows, at });
            }
            Choice::Word(..) => {}
            Choice::Argument(name) => {
                give(Candidate::Argument(name));
                let users = config.users.iter().filter(|_| name == USER);
                let lines = config.lines.iter().filter(|_| name == LINE);
                let names = users
                    .map(|user| &user.name)
                    .chain(lines.map(|line| &line.name));
                for name in names.filter(|name| name.starts_with(partial)) {
                    give(Candidate::Name(name));
                }
            }
            Choice::End if partial.is_empty() && at > 0 => give(Candidate::End),
            Choice::End => {}
        }
    }
}

impl fmt::Display for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, rows, at) = match *self {
            Self::Word { word, rows, at } => (word, rows, at),
            Self::Argument(name) => {
                let explanation = grammar::explanation(name).unwrap_or_default();
                return write!(f, "  {name:<16} {explanation}");
            }
            Self::Name(name) => return write!(f, "    {name}"),
            Self::End => return write!(f, "  {:<16} run it", "Enter"),
        };
        write!(f, "  {word:<16} ")?;
        let mut remaining = rows.iter();
        if let (Some(row), None) = (remaining.next(), remaining.next()) {
            return f.write_str(row.help);
        }
        // Several commands: their next words say most.
        for (nth, choice) in rows.choices(at + 1).enumerate() {
            let bar = if nth > 0 { " | " } else { "" };
            match choice {
                Choice::Word(text, _) | Choice::Argument(text) => write!(f, "{bar}{text}")?,
                Choice::End => write!(f, "{bar}Enter")?,
            }
        }
        Ok(())
    }
}
