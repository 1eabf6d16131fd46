//! Byte-stuffing of multi-line responses and its inverse, as streams (RFC 1939 §3).
//!
//! **Out** ([`Stuffer`]): a line that begins with `.` gets a second one, and the end is `.` CR LF.
//! **In** ([`Unstuffer`]): the inverse, strict: only CR LF ends a line, only CR LF `.` CR LF ends
//! the response.
//!
//! Deviation: the stuffer takes a bare LF for a line end too, as Dovecot does. Many clients read
//! by LF alone; a bare LF before a lone dot would end the mail for them, and the rest of it would
//! be taken for replies. A strict client sees one dot more there.

/// What ends a multi-line response.
pub const TERMINATOR: &[u8] = b".\r\n";

/// Byte-stuffs a message as it passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stuffer {
    place: Place,
}

/// Where in a line the next octet stands, for the stuffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    LineStart,
    /// After a LF that no CR went before.
    AfterBareLf,
    Inside,
    AfterCr,
}

impl Stuffer {
    /// At the start of a message.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            place: Place::LineStart,
        }
    }

    /// Stuffs from `input` into `output` until one of them is used up; returns how many octets of
    /// each were.
    pub fn stuff(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize) {
        let mut read = 0;
        let mut written = 0;
        while let Some(rest) = input.get(read..).filter(|rest| !rest.is_empty()) {
            let stuffing = usize::from(rest.starts_with(b".") && self.place.starts_line());
            let room = output.get_mut(written..).unwrap_or_default();
            let fits = room.len().saturating_sub(stuffing);
            let fits = rest.get(..fits).unwrap_or(rest);
            // Up to the next line that begins with a dot nothing is to be looked at: nearly every
            // octet of a mail.
            let length = line_before_dot(fits).unwrap_or(fits.len());
            let (Some(from), Some(to)) = (
                rest.get(..length).filter(|from| !from.is_empty()),
                room.get_mut(..stuffing + length),
            ) else {
                break;
            };
            let (dot, to) = to.split_at_mut(stuffing);
            dot.fill(b'.');
            to.copy_from_slice(from);
            read += length;
            written += stuffing + length;
            self.place = match from {
                [.., b'\r', b'\n'] => Place::LineStart,
                [b'\n'] if self.place == Place::AfterCr => Place::LineStart,
                [.., b'\n'] => Place::AfterBareLf,
                [.., b'\r'] => Place::AfterCr,
                _ => Place::Inside,
            };
        }
        (read, written)
    }

    /// What must be sent after the last octet: the terminator, on a line of its own.
    #[must_use]
    pub fn end(&self) -> &'static [u8] {
        match self.place {
            Place::LineStart => TERMINATOR,
            Place::AfterCr => b"\n.\r\n",
            Place::Inside | Place::AfterBareLf => b"\r\n.\r\n",
        }
    }
}

impl Place {
    fn starts_line(self) -> bool {
        matches!(self, Self::LineStart | Self::AfterBareLf)
    }
}

/// Takes the byte-stuffing off a response as it comes, and finds its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unstuffer {
    state: State,
}

/// What has been read of the line that the next octet belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing: it starts here.
    #[default]
    Start,
    /// A dot that may be stuffing, or the terminator's.
    Dot,
    /// A dot and a CR that may be the terminator's.
    DotCr,
    /// Something, and the last octet was no CR.
    Inside,
    /// Something, and the last octet was a CR.
    Cr,
    /// The terminator has been read.
    Ended,
}

/// What [`Unstuffer::unstuff`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstuffed {
    /// Octets of input used up.
    pub read: usize,
    /// Octets of output written.
    pub written: usize,
    /// Whether the terminator has been read.
    pub ended: bool,
}

impl Unstuffer {
    /// At the start of a response's first line after the status.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Start,
        }
    }

    /// Reads from `input` into `output` until one of them is used up or the terminator is read.
    pub fn unstuff(&mut self, input: &[u8], output: &mut [u8]) -> Unstuffed {
        let mut read = 0;
        let mut written = 0;
        loop {
            let input = input.get(read..).unwrap_or_default();
            let output = output.get_mut(written..).unwrap_or_default();
            let (taken, given) = self.advance(input, output);
            if (taken, given) == (0, 0) {
                break;
            }
            read += taken;
            written += given;
        }
        Unstuffed {
            read,
            written,
            ended: self.state == State::Ended,
        }
    }

    /// One octet that may belong to the terminator, or all up to the next line that begins with a
    /// dot: nearly everything passes in long runs. Returns octets of input and output used up.
    fn advance(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize) {
        let state = match (self.state, input) {
            (State::Ended, _) | (_, []) => return (0, 0),
            (State::Start, [b'.', ..]) => State::Dot,
            (State::Dot, [b'\r', ..]) => State::DotCr,
            (State::DotCr, [b'\n', ..]) => State::Ended,
            (State::DotCr, _) => {
                // The CR kept back after a dot turns out to be content.
                let Some(cr) = output.first_mut() else {
                    return (0, 0);
                };
                *cr = b'\r';
                self.state = State::Cr;
                return (0, 1);
            }
            _ => {
                let n = self.run(input, output);
                return (n, n);
            }
        };
        self.state = state;
        (1, 0)
    }

    /// Copies content up to the end of `input` or `output`, or up to the first LF before a dot.
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> usize {
        let room = input.get(..output.len()).unwrap_or(input);
        let n = line_before_dot(room).unwrap_or(room.len());
        let (Some(from), Some(to)) = (room.get(..n), output.get_mut(..n)) else {
            return 0;
        };
        to.copy_from_slice(from);
        self.state = match (from, self.state) {
            ([], state) => state,
            ([.., b'\r'], _) => State::Cr,
            ([.., b'\r', b'\n'], _) | ([b'\n'], State::Cr) => State::Start,
            _ => State::Inside,
        };
        n
    }

    /// Whether the terminator has been read.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state == State::Ended
    }
}

/// Length of the beginning of `octets` up to the first LF that a dot follows, LF included.
fn line_before_dot(octets: &[u8]) -> Option<usize> {
    // Blocks without an early exit: the compiler compares many octets at a time.
    const BLOCK: usize = 64;
    let after = octets.get(1..)?;
    let blocks = octets.chunks_exact(BLOCK).zip(after.chunks_exact(BLOCK));
    let clean = blocks
        .take_while(|(block, after)| {
            let pairs = block.iter().zip(after.iter());
            !pairs.fold(false, |hit, (&octet, &next)| {
                hit | ((octet == b'\n') & (next == b'.'))
            })
        })
        .count();
    let start = clean * BLOCK;
    let pairs = octets.get(start..)?.iter().zip(after.get(start..)?);
    let mut hits = pairs
        .enumerate()
        .filter(|&(_, pair)| pair == (&b'\n', &b'.'));
    hits.next().map(|(at, _)| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All strings over a small alphabet, up to `length`.
    fn strings(alphabet: &[u8], length: usize) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|s: &Vec<u8>| {
                    alphabet.iter().map(move |&c| {
                        let mut s = s.clone();
                        s.push(c);
                        s
                    })
                })
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    /// The slow twin of the stuffer: line by line.
    fn stuff_slowly(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in content.split_inclusive(|&c| c == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend(line);
        }
        if content.ends_with(b"\r\n") || content.is_empty() {
            out.extend(b".\r\n");
        } else if content.ends_with(b"\r") {
            out.extend(b"\n.\r\n");
        } else {
            out.extend(b"\r\n.\r\n");
        }
        out
    }

    /// The slow twin of the unstuffer: the content before the first CR LF . CR LF, or `None`.
    fn unstuff_slowly(input: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut out = Vec::new();
        let mut at = 0;
        loop {
            let rest = &input[at..];
            if rest.starts_with(b".\r\n") {
                return Some((out, at + 3));
            }
            let end = rest.windows(2).position(|w| w == b"\r\n")? + 2;
            let line = &rest[..end];
            out.extend(line.strip_prefix(b".").unwrap_or(line));
            at += end;
        }
    }

    fn stuff_in_pieces(content: &[u8], chunk: usize, room: usize) -> Vec<u8> {
        let mut stuffer = Stuffer::new();
        let mut out = Vec::new();
        for piece in content.chunks(chunk) {
            let mut piece = piece;
            while !piece.is_empty() {
                let mut buf = vec![0; room];
                let (read, written) = stuffer.stuff(piece, &mut buf);
                out.extend(&buf[..written]);
                piece = &piece[read..];
            }
        }
        out.extend(stuffer.end());
        out
    }

    fn unstuff_in_pieces(input: &[u8], chunk: usize, room: usize) -> (Vec<u8>, usize, bool) {
        let mut unstuffer = Unstuffer::new();
        let mut out = Vec::new();
        let mut used = 0;
        for piece in input.chunks(chunk) {
            let mut piece = piece;
            while !piece.is_empty() && !unstuffer.ended() {
                let mut buf = vec![0; room];
                let step = unstuffer.unstuff(piece, &mut buf);
                out.extend(&buf[..step.written]);
                piece = &piece[step.read..];
                used += step.read;
            }
        }
        (out, used, unstuffer.ended())
    }

    #[test]
    fn every_short_string_is_stuffed_as_its_slow_twin_says() {
        for content in strings(b"a.\r\n", 7) {
            let expected = stuff_slowly(&content);
            for (chunk, room) in [(1, 2), (2, 3), (3, 2), (8, 16)] {
                assert_eq!(
                    stuff_in_pieces(&content, chunk, room),
                    expected,
                    "{content:?}"
                );
            }
        }
    }

    #[test]
    fn every_short_string_is_unstuffed_as_its_slow_twin_says() {
        for input in strings(b"a.\r\n", 8) {
            let expected = unstuff_slowly(&input);
            for (chunk, room) in [(1, 2), (2, 3), (3, 2), (9, 16)] {
                let (out, used, ended) = unstuff_in_pieces(&input, chunk, room);
                match &expected {
                    Some((content, at)) => {
                        assert!(ended, "{input:?}");
                        assert_eq!((&out, used), (content, *at), "{input:?}");
                    }
                    None => assert!(!ended, "{input:?}"),
                }
            }
        }
    }

    #[test]
    fn the_terminator_is_found_wherever_it_stands_in_a_long_run() {
        for at in 0..200 {
            for middle in [
                &b"\r\n.\r\n"[..],
                b"\r\n..\r\n",
                b"\r\n.\r\r\n.\r\n",
                b"\n.\r\n",
                b"\r\r\n.",
            ] {
                let mut input = vec![b'x'; at];
                input.extend(middle);
                input.extend(b"yyyyyyyy\r\n.\r\n");
                let (content, used) = unstuff_slowly(&input).unwrap();
                for (chunk, room) in [(1, 1), (64, 65), (65, 64), (300, 300), (7, 131)] {
                    assert_eq!(
                        unstuff_in_pieces(&input, chunk, room),
                        (content.clone(), used, true),
                        "{at} {chunk} {room} {}",
                        middle.escape_ascii()
                    );
                }
            }
        }
    }

    #[test]
    fn what_was_stuffed_comes_back_the_same() {
        for mut content in strings(b"a.\r\n", 6) {
            let sent = stuff_in_pieces(&content, 3, 4);
            let (out, used, ended) = unstuff_in_pieces(&sent, 5, 4);
            if !content.ends_with(b"\r\n") && !content.is_empty() {
                content.extend(if content.ends_with(b"\r") {
                    &b"\n"[..]
                } else {
                    b"\r\n"
                });
            }
            // A dot after a bare LF is stuffed for lenient clients only.
            let bare = (0..content.len())
                .any(|i| content[i] == b'\n' && (i == 0 || content[i - 1] != b'\r'));
            if bare {
                continue;
            }
            assert!(ended, "{content:?}");
            assert_eq!((out, used), (content.clone(), sent.len()), "{content:?}");
        }
    }
}
