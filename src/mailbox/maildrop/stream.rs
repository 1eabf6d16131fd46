//! A mail between the LAN server and the line: one part of it at most.

use crate::pop3::ReadFault;

use super::PIECE_OCTETS;

/// A mail that is sent as it comes.
#[derive(Debug)]
pub(super) struct Stream {
    /// As many as it has.
    octets: u64,
    /// As many as have come, those held included.
    came: u64,
    begun: bool,
    held: heapless::Vec<u8, PIECE_OCTETS>,
    /// Of those held, read; they may be asked for again.
    read: usize,
    /// Of those read, done with: what is read next stands behind them.
    done: usize,
}

impl Stream {
    /// A mail of `octets`, of which nothing has come.
    pub(super) fn new(octets: u64) -> Self {
        Self {
            octets,
            came: 0,
            begun: false,
            held: heapless::Vec::new(),
            read: 0,
            done: 0,
        }
    }

    /// Begins to read it; how many octets it has. `None` if it was begun already: what was read is
    /// gone.
    pub(super) fn begin(&mut self) -> Option<u64> {
        (!core::mem::replace(&mut self.begun, true)).then_some(self.octets)
    }

    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it has come.
    pub(super) fn is_whole(&self) -> bool {
        self.came >= self.octets
    }

    /// Takes the next part; false if the last one is not done with yet.
    pub(super) fn feed(&mut self, part: &[u8]) -> bool {
        let left = self.octets.saturating_sub(self.came);
        let fits = part.len() as u64 <= left && part.len() <= self.held.capacity();
        if self.done < self.held.len() || !fits {
            return false;
        }
        self.held.clear();
        (self.read, self.done) = (0, 0);
        // It fits.
        let _ = self.held.extend_from_slice(part);
        self.came += part.len() as u64;
        true
    }

    /// Reads on from `offset`, and is done with all before it: nothing where the next part has not
    /// come yet.
    ///
    /// # Errors
    /// [`ReadFault`] behind its end, and where it does not read on from what was read last, or from
    /// a part of that.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadFault> {
        let first = self.came - self.held.len() as u64;
        let at = offset.checked_sub(first).ok_or(ReadFault)?;
        let at = usize::try_from(at).map_err(|_| ReadFault)?;
        if !(self.done..=self.read).contains(&at) || offset >= self.octets {
            return Err(ReadFault);
        }
        self.done = at;
        let rest = self.held.get(at..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        let (Some(rest), Some(buf)) = (rest.get(..count), buf.get_mut(..count)) else {
            return Err(ReadFault);
        };
        buf.copy_from_slice(rest);
        self.read = at + count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// All parts and all pieces of a small mail: it comes out as it went in, and nothing behind it.
    #[test]
    fn a_mail_comes_through_whole_in_any_parts_and_pieces() {
        let mail: Vec<u8> = (0..40).collect();
        for part in 1..=40 {
            for piece in 1..=41 {
                let mut stream = Stream::new(40);
                assert_eq!((stream.begin(), stream.begin()), (Some(40), None));
                let mut parts = mail.chunks(part).peekable();
                let (mut read, mut buf) = (Vec::new(), vec![0; piece]);
                while read.len() < mail.len() {
                    let count = stream.read(read.len() as u64, &mut buf).unwrap();
                    read.extend_from_slice(&buf[..count]);
                    assert!(!stream.is_whole() || parts.peek().is_none());
                    if let Some(next) = parts.peek()
                        && stream.feed(next)
                    {
                        parts.next();
                    }
                }
                assert_eq!(read, mail);
                assert_eq!(stream.read(40, &mut buf), Err(ReadFault));
                assert!(!stream.feed(b"more"));
            }
        }
    }

    #[test]
    fn what_was_not_read_in_order_is_not_made_up() {
        let mut stream = Stream::new(10);
        assert!(stream.feed(b"abcde"));
        assert!(!stream.feed(b"fghij"), "the first part is still here");
        assert_eq!(stream.read(1, &mut [0; 4]), Err(ReadFault));
        assert_eq!(stream.read(0, &mut [0; 5]), Ok(5));
        assert_eq!(
            stream.read(3, &mut [0; 5]),
            Ok(2),
            "the end was not done with"
        );
        assert_eq!(stream.read(2, &mut [0; 5]), Err(ReadFault));
        assert!(!stream.feed(b"fghij"));
        assert_eq!(stream.read(5, &mut [0; 5]), Ok(0));
        assert_eq!(stream.read(3, &mut [0; 5]), Err(ReadFault));
        assert!(!stream.feed(b"fghijk"), "longer than the mail");
    }
}
