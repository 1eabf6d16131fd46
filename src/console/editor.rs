//! The line that is being typed, and the lines before it.
//!
//! It knows nothing of terminals: keys change the text and the cursor, [`screen`](super::screen)
//! shows them.

use heapless::{Deque, String};

use super::key::Key;
use crate::config::words::secret_start;
use crate::config::{LINE_OCTETS, Secret};

/// Lines that are remembered.
pub(super) const HISTORY_LINES: usize = 16;

/// The line being typed.
#[derive(Debug)]
pub(super) struct Editor {
    line: Text,
    /// In octets; always between two characters.
    cursor: usize,
    /// The latest last. Secrets are masked.
    history: Deque<Text, HISTORY_LINES>,
    /// How many lines back the one shown is; 0: it is new.
    back: usize,
    /// The new line, while an old one is shown.
    draft: Text,
}

type Text = String<LINE_OCTETS>;

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The line or the cursor may have changed.
    Changed,
    /// The key has no meaning here, or there is no room.
    Refused,
}

impl Editor {
    pub(super) const fn new() -> Self {
        Self {
            line: String::new(),
            cursor: 0,
            history: Deque::new(),
            back: 0,
            draft: String::new(),
        }
    }

    /// Obeys `key`, as far as it edits.
    pub(super) fn key(&mut self, key: Key) -> Edit {
        let before = self.head().chars().next_back().map_or(0, char::len_utf8);
        let after = self.tail().chars().next().map_or(0, char::len_utf8);
        match key {
            Key::Char(sign) => return self.insert(sign.encode_utf8(&mut [0; 4])),
            Key::Backspace if before > 0 => self.delete(self.cursor - before, self.cursor),
            Key::Delete | Key::EndOfInput if after > 0 => {
                self.delete(self.cursor, self.cursor + after);
            }
            Key::Left if before > 0 => self.cursor -= before,
            Key::Right if after > 0 => self.cursor += after,
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.line.len(),
            Key::KillAfter => self.delete(self.cursor, self.line.len()),
            Key::KillBefore => self.delete(0, self.cursor),
            Key::KillWord => {
                let word = self.head().trim_end_matches(' ');
                let start = word.rfind(' ').map_or(0, |blank| blank + 1);
                self.delete(start, self.cursor);
            }
            Key::Up if self.back < self.history.len() => self.recall(self.back + 1),
            Key::Down if self.back > 0 => self.recall(self.back - 1),
            _ => return Edit::Refused,
        }
        Edit::Changed
    }

    /// Puts `text` in at the cursor, whole or not at all.
    pub(super) fn insert(&mut self, text: &str) -> Edit {
        let Ok(tail) = Text::try_from(self.tail()) else {
            return Edit::Refused;
        };
        if self.line.len() + text.len() > LINE_OCTETS {
            return Edit::Refused;
        }
        self.line.truncate(self.cursor);
        // There is room: it was counted above.
        let _ = self.line.push_str(text);
        self.cursor = self.line.len();
        let _ = self.line.push_str(&tail);
        Edit::Changed
    }

    /// Drops the line.
    pub(super) fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.back = 0;
        self.draft.clear();
    }

    /// Takes the line out; it is remembered, without its secret.
    pub(super) fn take(&mut self) -> Text {
        let line = self.line.clone();
        self.clear();
        self.remember(&line);
        line
    }

    /// Forgets the lines before, too: the next one to type is somebody else.
    pub(super) fn forget(&mut self) {
        self.clear();
        self.history.clear();
    }

    /// The whole line.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// The line before the cursor.
    pub(super) fn head(&self) -> &str {
        self.line.get(..self.cursor).unwrap_or_default()
    }

    fn tail(&self) -> &str {
        self.line.get(self.cursor..).unwrap_or_default()
    }

    fn delete(&mut self, start: usize, end: usize) {
        let Ok(tail) = Text::try_from(self.line.get(end..).unwrap_or_default()) else {
            return;
        };
        self.line.truncate(start);
        let _ = self.line.push_str(&tail);
        self.cursor = start;
    }

    fn recall(&mut self, back: usize) {
        if self.back == 0 {
            self.draft = self.line.clone();
        }
        let old = self.history.iter().rev().nth(back.wrapping_sub(1));
        self.line = old.unwrap_or(&self.draft).clone();
        self.cursor = self.line.len();
        self.back = back;
    }

    fn remember(&mut self, line: &str) {
        let shown = secret_start(line).unwrap_or(line.len());
        let (open, secret) = line.split_at(shown);
        let mut kept = Text::new();
        let mask = if secret.is_empty() { "" } else { Secret::MASK };
        // A line so long that the mask has no room is not kept.
        let fits = kept
            .push_str(open)
            .and_then(|()| kept.push_str(mask))
            .is_ok();
        if !fits || line.trim().is_empty() || self.history.back() == Some(&kept) {
            return;
        }
        if self.history.is_full() {
            self.history.pop_front();
        }
        let _ = self.history.push_back(kept);
    }
}
