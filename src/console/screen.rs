//! One row of a dumb terminal: printing characters, CR, LF, BS and BEL are all it knows.
//!
//! [`Screen`] remembers what stands in the row and where the cursor is, and sends the difference:
//! at 9600 bit/s a row is a tenth of a second. The row never reaches the last column, since
//! terminals disagree on what happens there; a longer line is seen through a window.
//!
//! Doubt: every character is taken to be one column wide. East Asian ones are two.

use heapless::Vec;

use crate::link::Link;

/// Columns of the narrowest terminal we care for.
pub(super) const COLUMNS: usize = 80;
/// Columns we use.
const USED: usize = COLUMNS - 1;
/// Longest line that is printed, in octets; what is longer is cut.
const LONGEST: usize = 512;
/// The most octets that one call below sends: the row erased, a line, the row drawn again.
pub(super) const MOST: usize = LONGEST + 2 + 2 * (4 * USED + 3 * USED);

/// The row with the cursor.
#[derive(Debug)]
pub(super) struct Screen {
    row: Row,
    column: usize,
    /// The first character of the text that is seen.
    start: usize,
}

type Row = Vec<char, USED>;

impl Screen {
    pub(super) const fn new() -> Self {
        Self {
            row: Vec::new(),
            column: 0,
            start: 0,
        }
    }

    /// Shows `prompt` and `text`, the cursor before character `cursor` of the text.
    pub(super) fn show(
        &mut self,
        link: &mut Link,
        prompt: &str,
        text: impl Iterator<Item = char> + Clone,
        cursor: usize,
    ) {
        let mut row: Row = prompt.chars().take(USED / 2).collect();
        let prompt = row.len();
        let width = USED - prompt;
        let length = text.clone().count();
        // The cursor keeps a column of text on either side, where there is any.
        let fits =
            cursor >= self.start + usize::from(self.start > 0) && cursor + 1 < self.start + width;
        if !fits {
            self.start = cursor.saturating_sub(width / 2);
        }
        if cursor + 1 < width && length < width {
            self.start = 0;
        }
        row.extend(text.skip(self.start).take(width));
        if self.start > 0 {
            mark(&mut row, prompt, '<');
        }
        if length > self.start + width {
            mark(&mut row, USED - 1, '>');
        }
        self.draw(link, row, prompt + cursor - self.start);
    }

    /// Prints `text` as a line of its own above the row, and draws the row again below it.
    pub(super) fn line(&mut self, link: &mut Link, text: &str) {
        let (row, column) = (self.row.clone(), self.column);
        self.draw(link, Row::new(), 0);
        put_line(link, text);
        self.draw(link, row, column);
    }

    /// Leaves the row as it is, and begins an empty one below.
    pub(super) fn next_row(&mut self, link: &mut Link) {
        link.put(b"\r\n");
        *self = Self::new();
    }

    /// Empties the row.
    pub(super) fn erase(&mut self, link: &mut Link) {
        self.draw(link, Row::new(), 0);
    }

    fn draw(&mut self, link: &mut Link, row: Row, column: usize) {
        if self.row != row {
            let pairs = self.row.iter().zip(&row);
            let same = pairs.take_while(|(old, new)| old == new).count();
            self.go(link, same);
            put(link, row.iter().skip(same));
            let blank = self.row.len().saturating_sub(row.len());
            put(link, [' '; USED].iter().take(blank));
            self.column = row.len() + blank;
            self.row = row;
        }
        self.go(link, column);
    }

    /// Moves the cursor to `column`: back by BS, or by CR where that is shorter, on by printing
    /// what stands there.
    fn go(&mut self, link: &mut Link, column: usize) {
        if column < self.column {
            let back = self.column - column;
            if column < back {
                link.put(b"\r");
                self.column = 0;
            } else {
                link.put([0x08; USED].get(..back).unwrap_or_default());
                self.column = column;
            }
        }
        let on = column.saturating_sub(self.column);
        put(link, self.row.iter().skip(self.column).take(on));
        self.column = column;
    }
}

/// Prints `text` as one line; control characters, which could steer the terminal, as `?`.
pub(super) fn put_line(link: &mut Link, text: &str) {
    let mut octets = 0;
    let fits = |sign: &char| {
        octets += sign.len_utf8();
        octets <= LONGEST
    };
    for sign in text.chars().take_while(fits) {
        let sign = match sign {
            '\t' => ' ',
            sign if sign.is_control() => '?',
            sign => sign,
        };
        put(link, &[sign]);
    }
    link.put(b"\r\n");
}

/// Rows that `text` takes.
pub(super) fn height(text: &str) -> usize {
    1 + text.chars().count().saturating_sub(1) / COLUMNS
}

fn put<'a>(link: &mut Link, signs: impl IntoIterator<Item = &'a char>) {
    for sign in signs {
        link.put(sign.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

fn mark(row: &mut Row, column: usize, sign: char) {
    if let Some(place) = row.get_mut(column) {
        *place = sign;
    }
}
