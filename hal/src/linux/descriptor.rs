//! A stream of octets over any descriptor: socket, terminal, pipe.
//!
//! Reads first, complains later: octets that came together with a hang-up are read before
//! [`StreamError::Closed`] is given, and a write that finds the other end gone says nothing until
//! the reader has met the end too. Thus a server's last words are never lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use super::reactor::{Reactor, Registration};
use crate::{ByteStream, StreamError};

/// A descriptor that never blocks, registered with the reactor.
pub struct Descriptor {
    // Left before the descriptor is closed: fields drop in this order.
    registration: Registration,
    fd: Rc<OwnedFd>,
    way: Way,
    /// Everything was read when it was last looked for.
    emptied: bool,
    /// What `read` found at the end.
    end: Option<StreamError>,
    /// The other end takes no more.
    broken: bool,
}

/// How a descriptor is kept from blocking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is `O_NONBLOCK`.
    NonBlocking,
    /// It is shared with other processes, which would suffer from `O_NONBLOCK`: ask poll before
    /// each octet.
    AskFirst,
}

impl Descriptor {
    /// Takes `fd`, which nobody else uses, and makes it non-blocking.
    ///
    /// # Errors
    /// The system does not allow that.
    pub fn new(reactor: &Reactor, fd: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self::with_way(reactor, fd, Way::NonBlocking))
    }

    /// Takes `fd`, a duplicate of one that other processes use too, and leaves its flags alone.
    #[must_use]
    pub fn shared(reactor: &Reactor, fd: OwnedFd) -> Self {
        Self::with_way(reactor, fd, Way::AskFirst)
    }

    /// Wishes to wake when there is room, though nothing was written: for a socket that connects.
    pub(super) fn want_write(&self) {
        self.registration.want_write(true);
    }

    /// Whether nothing has come since all was read: poll has reported nothing. For a loop that
    /// looks at a stream in every round, and sleeps in between.
    pub(super) fn is_quiet(&self) -> bool {
        self.emptied && self.registration.wants_read() && !self.broken
    }

    /// Whether the other end was found to take no more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    fn with_way(reactor: &Reactor, fd: OwnedFd, way: Way) -> Self {
        let fd = Rc::new(fd);
        let registration = reactor.register(&fd);
        // As if it had been read and had given nothing: who takes it up late misses no wake-up.
        registration.want_read(true);
        Self {
            registration,
            fd,
            way,
            emptied: false,
            end: None,
            broken: false,
        }
    }

    /// Reads what is there, without the bookkeeping of the stream.
    fn take(&self, buf: &mut [u8]) -> Result<usize, Errno> {
        if self.way == Way::AskFirst && !self.is_ready(PollFlags::POLLIN)? {
            return Err(Errno::EAGAIN);
        }
        read(&self.fd, buf)
    }

    /// Writes what there is room for.
    fn put(&self, octets: &[u8]) -> Result<usize, Errno> {
        if self.way == Way::NonBlocking {
            return write(&self.fd, octets);
        }
        let mut written = 0;
        for octet in octets.chunks(1) {
            if !self.is_ready(PollFlags::POLLOUT)? {
                break;
            }
            match write(&self.fd, octet) {
                Ok(count) => written += count,
                Err(errno) if written == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(written)
    }

    fn is_ready(&self, flags: PollFlags) -> Result<bool, Errno> {
        let mut fds = [PollFd::new(self.fd.as_fd(), flags)];
        Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
    }
}

impl ByteStream for Descriptor {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        if let Some(end) = self.end {
            return Err(end);
        }
        if buf.is_empty() {
            // No room: nothing is known about the other end, and nothing is to wake us.
            self.registration.want_read(false);
            return Ok(0);
        }
        match self.take(buf) {
            Ok(0) => Err(*self.end.insert(StreamError::Closed)),
            Ok(count) => {
                // A short read has emptied it; a full one may not have.
                self.emptied = count < buf.len();
                self.registration.want_read(self.emptied);
                Ok(count)
            }
            // It takes no more, and all it gave is read.
            Err(Errno::EAGAIN) if self.broken => Err(*self.end.insert(StreamError::Closed)),
            Err(errno @ (Errno::EAGAIN | Errno::EINTR)) => {
                self.emptied = errno == Errno::EAGAIN;
                self.registration.want_read(true);
                Ok(0)
            }
            Err(errno) => Err(*self.end.insert(stream_error(errno))),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        if let Some(end) = self.end {
            return Err(end);
        }
        if octets.is_empty() || self.broken {
            self.registration.want_write(false);
            return Ok(0);
        }
        match self.put(octets) {
            Ok(count) => {
                self.registration.want_write(count < octets.len());
                Ok(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                self.registration.want_write(true);
                Ok(0)
            }
            Err(_) => {
                // The reader finds out what it is, once it has read what came before.
                self.broken = true;
                self.registration.want_write(false);
                self.registration.want_read(true);
                Ok(0)
            }
        }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What `errno` says of a stream: the other end gone, or a failure of its own.
#[must_use]
pub fn stream_error(errno: Errno) -> StreamError {
    match errno {
        // A terminal hung up gives EIO, an unplugged one ENXIO or ENODEV.
        Errno::EIO
        | Errno::ENXIO
        | Errno::ENODEV
        | Errno::EPIPE
        | Errno::ECONNRESET
        | Errno::ECONNABORTED
        | Errno::ESHUTDOWN => StreamError::Closed,
        other => StreamError::Failed(other as i32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn pair(reactor: &Reactor, shared: bool) -> (Descriptor, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = OwnedFd::from(ours);
        let ours = if shared {
            Descriptor::shared(reactor, ours)
        } else {
            Descriptor::new(reactor, ours).unwrap()
        };
        (ours, theirs)
    }

    #[test]
    fn octets_that_come_with_a_hang_up_are_read_first() {
        let reactor = Reactor::new().unwrap();
        for shared in [false, true] {
            for size in 1..=8 {
                let (mut ours, mut theirs) = pair(&reactor, shared);
                theirs.write_all(b"farewell").unwrap();
                drop(theirs);
                // A write that meets the closed end does not spoil the reading.
                assert_eq!(ours.write(b"still there?"), Ok(0));
                let mut got = Vec::new();
                let mut buf = vec![0; size];
                let end = loop {
                    match ours.read(&mut buf) {
                        Ok(count) => got.extend_from_slice(&buf[..count]),
                        Err(end) => break end,
                    }
                    assert!(got.len() <= 8, "no end");
                };
                assert_eq!(got, b"farewell");
                assert_eq!(end, StreamError::Closed);
                assert_eq!(ours.read(&mut buf), Err(StreamError::Closed));
                assert_eq!(ours.write(b"x"), Err(StreamError::Closed));
            }
        }
    }

    #[test]
    fn a_peer_that_does_not_read_never_blocks_a_write() {
        let reactor = Reactor::new().unwrap();
        let (mut ours, mut theirs) = pair(&reactor, false);
        let lot = vec![b'x'; 1 << 20];
        let mut written = 0;
        loop {
            match ours.write(&lot).unwrap() {
                0 => break,
                count => written += count,
            }
        }
        assert_eq!(reactor.wait(AT_ONCE), 0, "full: nothing to wake for");
        theirs.read_exact(&mut vec![0; written]).unwrap();
        assert_eq!(reactor.wait(None), 1, "room again");
        assert!(ours.write(b"more").unwrap() > 0);
    }

    #[test]
    fn wakes_only_who_came_to_the_end() {
        let reactor = Reactor::new().unwrap();
        let (mut ours, mut theirs) = pair(&reactor, false);
        theirs.write_all(b"abcd").unwrap();
        let mut buf = [0; 2];
        assert_eq!(ours.read(&mut buf), Ok(2));
        assert_eq!(reactor.wait(AT_ONCE), 0, "stopped before the end");
        assert_eq!(ours.read(&mut []), Ok(0));
        assert_eq!(reactor.wait(AT_ONCE), 0, "no room");
        assert_eq!(ours.read(&mut buf), Ok(2));
        assert_eq!(ours.read(&mut buf), Ok(0));
        assert_eq!(reactor.wait(AT_ONCE), 0);
        theirs.write_all(b"e").unwrap();
        assert_eq!(reactor.wait(None), 1);
        assert_eq!(ours.read(&mut buf), Ok(1));
        theirs.write_all(b"f").unwrap();
        assert_eq!(reactor.wait(None), 1, "a short read had emptied it");
    }
}
