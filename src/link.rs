//! The two bounded buffers of one octet stream.
//!
//! The loop moves octets between a stream and a link ([`Link::exchange`]); an engine reads lines
//! or raw octets from it and puts its answers into it; a test feeds it and looks at what was
//! sent. An engine never sees a stream.

use hal::{ByteStream, StreamError};

/// Room for received octets, and as much again for octets to send.
///
/// One Ethernet-sized read a turn keeps a LAN copy above 100 MB/s on a PC; a line at 300 bit/s is
/// never more than four minutes behind. RFC 2449 §4 asks for commands of 255 octets, RFC 1939 §3
/// for responses of 512.
pub const LINK_OCTETS: usize = 8192;

/// The two buffers, and what went through them.
#[derive(Debug)]
pub struct Link {
    rx: Buffer,
    tx: Buffer,
    /// What is left of a line that was too long is thrown away up to its LF.
    skipping: bool,
    skipped: u64,
    received: u64,
    sent: u64,
    pending: usize,
    /// The last exchange stopped reading for want of room.
    filled: bool,
}

/// What one exchange moved, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Octets that came.
    pub received: usize,
    /// Octets that the stream took.
    pub sent: usize,
}

impl Moved {
    /// Whether nothing moved at all.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.received == 0 && self.sent == 0
    }
}

/// A line was longer than the reader allows; the rest of it, up to its LF, is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The longest line allowed, in octets without its end.
    pub limit: usize,
}

impl Link {
    /// An empty link.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rx: Buffer::new(),
            tx: Buffer::new(),
            skipping: false,
            skipped: 0,
            received: 0,
            sent: 0,
            pending: 0,
            filled: false,
        }
    }

    /// Moves what there is from `stream` in, and what it takes out.
    ///
    /// # Errors
    /// The stream's own, after all it had given has been taken in.
    pub fn exchange<S: ByteStream>(&mut self, stream: &mut S) -> Result<Moved, StreamError> {
        let mut moved = Moved::default();
        let mut end = Ok(());
        while !self.tx.is_empty() {
            match stream.write(self.tx.filled()) {
                Ok(0) => break,
                Ok(n) => {
                    self.tx.consume(n);
                    moved.sent += n;
                }
                Err(error) => {
                    end = Err(error);
                    break;
                }
            }
        }
        while self.rx.room() > 0 {
            match stream.read(self.rx.free()) {
                Ok(0) => break,
                Ok(n) => {
                    self.rx.extend(n);
                    moved.received += n;
                }
                Err(error) => {
                    end = end.and(Err(error));
                    break;
                }
            }
        }
        self.received += moved.received as u64;
        self.sent += moved.sent as u64;
        self.pending = stream.pending();
        self.filled = self.rx.room() == 0;
        if moved.received > 0 {
            return Ok(moved);
        }
        end.map(|()| moved)
    }

    /// Whether the last exchange left octets in the stream for want of room, for all it knows, and
    /// there is room now. A stream wakes the loop only when it was read until it had no more: so
    /// exchange again before sleeping.
    #[must_use]
    pub fn reads_on(&self) -> bool {
        self.filled && self.rx.room() > 0
    }

    /// Forgets everything, for the next call or visit.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Throws away what is still to be sent.
    pub fn discard_output(&mut self) {
        self.tx.clear();
    }

    /// What comes next begins a line: another peer's, whatever the last one left unfinished.
    pub fn begin_line(&mut self) {
        self.skipping = false;
    }

    /// Takes the next line off, without its CR LF or LF, if one has come whole.
    ///
    /// A line of more than `limit` octets gives one `Err`, at once; what follows up to its LF
    /// is thrown away as it comes.
    pub fn line<T>(
        &mut self,
        limit: usize,
        parse: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, TooLong>> {
        let limit = limit.min(LINK_OCTETS - 2);
        loop {
            let end = self.rx.filled().iter().position(|&octet| octet == b'\n');
            if self.skipping {
                let rest = end.map_or(self.rx.len(), |at| at + 1);
                self.skipped += rest as u64;
                self.rx.consume(rest);
                self.skipping = end.is_none();
                if self.skipping {
                    return None;
                }
                continue;
            }
            let Some(end) = end else {
                // One octet more than the limit may be the CR of a line that just fits.
                if self.rx.len() <= limit + 1 {
                    return None;
                }
                self.skipping = true;
                self.skipped += self.rx.len() as u64;
                self.rx.clear();
                return Some(Err(TooLong { limit }));
            };
            let line = self.rx.filled().get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let result = if line.len() > limit {
                self.skipped += end as u64 + 1;
                Err(TooLong { limit })
            } else {
                Ok(parse(line))
            };
            self.rx.consume(end + 1);
            return Some(result);
        }
    }

    /// Octets of lines that were too long, thrown away since the link was new or cleared.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// All that has come and was not taken yet.
    #[must_use]
    pub fn peek(&self) -> &[u8] {
        self.rx.filled()
    }

    /// Takes off `n` octets of what has come.
    pub fn consume(&mut self, n: usize) {
        self.rx.consume(n);
    }

    /// How many octets [`put`](Self::put) would take whole.
    #[must_use]
    pub fn room(&self) -> usize {
        self.tx.room()
    }

    /// Queues `octets` to be sent, whole or not at all. Ask [`room`](Self::room) first: an engine
    /// takes a command only when the longest single reply to it fits.
    ///
    /// Returns whether they were queued.
    pub fn put(&mut self, octets: &[u8]) -> bool {
        self.tx.append(octets)
    }

    /// Lets `write` fill free room with octets to send; it returns how many it wrote.
    pub fn put_with(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let free = self.tx.free();
        let n = write(free).min(free.len());
        self.tx.extend(n);
    }

    /// Octets queued here that the stream has not taken, and octets that the stream has taken and
    /// still holds, as of the last exchange.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.tx.len() + self.pending
    }

    /// Octets received since the link was new or cleared.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Octets the stream has taken since the link was new or cleared.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// As if `octets` had come; returns how many fitted. For tests, and for octets that another
    /// reader of the same stream kept.
    pub fn feed(&mut self, octets: &[u8]) -> usize {
        let n = octets.len().min(self.rx.room());
        self.rx.append(octets.get(..n).unwrap_or_default());
        self.received += n as u64;
        n
    }

    /// Octets waiting to be taken by the stream. With [`take_output`](Self::take_output), what a
    /// test looks at.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.tx.filled()
    }

    /// As if the stream had taken `n` octets.
    pub fn take_output(&mut self, n: usize) {
        let n = n.min(self.tx.len());
        self.tx.consume(n);
        self.sent += n as u64;
    }
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

/// A queue of octets that lies in one piece.
#[derive(Debug)]
struct Buffer {
    octets: [u8; LINK_OCTETS],
    start: usize,
    end: usize,
}

impl Buffer {
    const fn new() -> Self {
        Self {
            octets: [0; LINK_OCTETS],
            start: 0,
            end: 0,
        }
    }

    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    fn consume(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            self.clear();
        }
    }

    fn extend(&mut self, n: usize) {
        self.end = (self.end + n).min(LINK_OCTETS);
    }

    fn append(&mut self, octets: &[u8]) -> bool {
        if octets.len() > self.room() {
            return false;
        }
        let Some(free) = self.free().get_mut(..octets.len()) else {
            return false;
        };
        free.copy_from_slice(octets);
        self.extend(octets.len());
        true
    }

    /// Free room, in one piece.
    fn free(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.octets.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.octets.get_mut(self.end..).unwrap_or_default()
    }

    fn filled(&self) -> &[u8] {
        self.octets.get(self.start..self.end).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn room(&self) -> usize {
        LINK_OCTETS - self.len()
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(link: &mut Link, limit: usize) -> Vec<Result<Vec<u8>, TooLong>> {
        core::iter::from_fn(|| link.line(limit, <[u8]>::to_vec)).collect()
    }

    #[test]
    fn lines_come_whole_at_every_chunk_size() {
        let input = b"USER a\r\nPASS b c\n\r\nx\r\r\ny";
        let expected: Vec<Result<Vec<u8>, TooLong>> = [&b"USER a"[..], b"PASS b c", b"", b"x\r"]
            .iter()
            .map(|line| Ok(line.to_vec()))
            .collect();
        for chunk in 1..=input.len() {
            let mut link = Link::new();
            let mut got = Vec::new();
            for piece in input.chunks(chunk) {
                assert_eq!(link.feed(piece), piece.len());
                got.extend(lines(&mut link, 64));
            }
            assert_eq!(got, expected, "chunk {chunk}");
            assert_eq!(link.peek(), b"y");
        }
    }

    #[test]
    fn a_line_too_long_is_one_error_and_the_next_is_read() {
        for chunk in 1..=64 {
            for length in 9..=40 {
                let mut input = vec![b'a'; length];
                input.extend(b"\r\nNOOP\r\n");
                let mut link = Link::new();
                let mut got = Vec::new();
                for piece in input.chunks(chunk) {
                    link.feed(piece);
                    got.extend(lines(&mut link, 8));
                }
                let expected = vec![Err(TooLong { limit: 8 }), Ok(b"NOOP".to_vec())];
                assert_eq!(got, expected, "chunk {chunk}, length {length}");
            }
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_passes() {
        let mut link = Link::new();
        link.feed(b"12345678\r\n");
        assert_eq!(lines(&mut link, 8), vec![Ok(b"12345678".to_vec())]);
    }

    #[test]
    fn endless_input_without_a_line_never_fills_the_link_for_good() {
        let mut link = Link::new();
        let mut errors = 0;
        for _ in 0..10_000 {
            assert_eq!(link.feed(&[0; 1024]), 1024);
            errors += lines(&mut link, 255).len();
        }
        assert_eq!(errors, 1);
    }

    /// A stream that can give `left` more octets, and knows whether it was read to its end.
    struct Source {
        left: usize,
        drained: bool,
    }

    impl ByteStream for Source {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
            let n = self.left.min(buf.len());
            self.left -= n;
            self.drained = n == 0;
            Ok(n)
        }

        fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
            Ok(octets.len())
        }
    }

    #[test]
    fn a_stream_is_read_to_its_end_before_anyone_sleeps() {
        for left in [0, 1, LINK_OCTETS - 1, LINK_OCTETS, 3 * LINK_OCTETS + 5] {
            for taken in [1, 4000, LINK_OCTETS] {
                let mut source = Source {
                    left,
                    drained: false,
                };
                let mut link = Link::new();
                let mut total = 0;
                // The loop may sleep when nothing moves and nobody reads on.
                for _ in 0..=left + 2 {
                    let moved = link.exchange(&mut source).unwrap();
                    let n = link.peek().len().min(taken);
                    link.consume(n);
                    total += n;
                    if moved.is_nothing() && !link.reads_on() && n == 0 {
                        break;
                    }
                    // An engine that takes octets and tells of nothing.
                    if moved.is_nothing() && !link.reads_on() {
                        assert!(source.drained, "{left} {taken}");
                    }
                }
                assert_eq!(total, left, "{taken} at a time");
                assert!(source.drained, "{left} {taken}");
            }
        }
    }

    #[test]
    fn a_full_link_that_nobody_empties_lets_the_loop_sleep() {
        let mut source = Source {
            left: 3 * LINK_OCTETS,
            drained: false,
        };
        let mut link = Link::new();
        assert_eq!(link.exchange(&mut source).unwrap().received, LINK_OCTETS);
        for _ in 0..3 {
            assert!(!link.reads_on());
            assert!(link.exchange(&mut source).unwrap().is_nothing());
        }
        link.consume(1);
        assert!(link.reads_on(), "there is room again");
        assert_eq!(link.exchange(&mut source).unwrap().received, 1);
    }

    #[test]
    fn put_takes_all_or_nothing() {
        let mut link = Link::new();
        assert!(link.put(&[1; LINK_OCTETS - 1]));
        assert!(!link.put(&[2; 2]));
        assert!(link.put(&[3; 1]));
        link.take_output(LINK_OCTETS - 1);
        assert_eq!(link.output(), &[3]);
        assert_eq!(link.room(), LINK_OCTETS - 1);
    }
}
