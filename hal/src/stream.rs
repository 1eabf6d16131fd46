//! A stream of octets: takes and gives what there is, never waits.

use core::fmt;

/// Octets in both directions.
///
/// An implementation that sleeps in [`Board::wait`](crate::Board::wait) must wake for a stream
/// whose last `read` gave nothing, when octets come, and for one whose last `write` took less
/// than it was offered, when there is room again. It must not wake for the others: a reader that
/// stopped before the end has no room, and would spin.
pub trait ByteStream {
    /// Moves octets that have come into `buf`; `Ok(0)` means that nothing is there now.
    ///
    /// # Errors
    /// [`StreamError::Closed`] once, and for ever after, the other end has closed and all it had
    /// sent is read; [`StreamError::Failed`] if the system reports anything else.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError>;

    /// Hands over the beginning of `octets`, as much as there is room for; may be 0.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError>;

    /// How many octets taken by `write` have not left this machine yet, as far as it knows.
    fn pending(&mut self) -> usize {
        0
    }
}

/// Why a stream gives and takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The other end closed, or the device was unplugged.
    Closed,
    /// The system's error number.
    Failed(i32),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the other end"),
            Self::Failed(errno) => write!(f, "system error {errno}"),
        }
    }
}

impl core::error::Error for StreamError {}

impl<S: ByteStream + ?Sized> ByteStream for &mut S {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        (**self).read(buf)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        (**self).write(octets)
    }

    fn pending(&mut self) -> usize {
        (**self).pending()
    }
}
