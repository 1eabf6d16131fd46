//! A TCP connection as a telephone call.
//!
//! ```text
//!            +-- incoming --> Dce::from_line
//!   socket --+
//!            +-- outgoing <-- Dce::to_line
//! ```
//!
//! A caller who shuts the sending half of a connection (`nc -N`, a script) looks at first like one
//! who is gone: both send FIN. So the end of what a caller sends is no hang-up yet. It becomes one
//!
//! - at once, if the system knows that nobody is there (RST, the usual fate of an answer to a
//!   caller who has closed), or if nothing has passed either way for [`SILENCE`];
//! - after [`PATIENCE`] without an octet, while something is still on its way, or the last line
//!   from the caller has had no answer yet.
//!
//! Whoever hangs up first, what was sent before arrives: a call that has ended becomes a
//! [`Parting`], which sends the rest, then FIN, and reads away what still comes, because closing a
//! socket with unread octets makes the system throw away the last ones it was to send.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::write;

use super::descriptor::Descriptor;
use super::reactor::Reactor;
use crate::dce::{Dce, PIPE_OCTETS};
use crate::{ByteStream, Duration, Instant};

/// How long a caller who sends no more may hear nothing and yet be there.
const SILENCE: Duration = Duration::from_secs(3);
/// The same, while there is something to wait for: longer than a visit to the LAN at login.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it rings if nobody answers.
const RINGING: Duration = Duration::from_secs(180);
/// How long an ended call may take to send its rest and to close.
const FAREWELL: Duration = Duration::from_secs(30);
/// How much a caller may send after the end.
const IGNORED_OCTETS: usize = 1 << 20;

/// A caller, or one who is called.
pub(super) struct Call {
    stream: Descriptor,
    incoming: Buffer,
    outgoing: Buffer,
    /// The system may hold octets that the far end's has not taken.
    queues: bool,
    answered: bool,
    began: Instant,
    /// When octets last moved, either way.
    stirred: Instant,
    /// The far end sends no more.
    ended: bool,
    /// The far end takes no more.
    gone: bool,
    /// What the far end sent last was the end of a line.
    line_ended: bool,
    /// The DTE has read that line and has not said anything since.
    owed: bool,
}

impl Call {
    /// A call that rings.
    ///
    /// # Errors
    /// The system's, about the socket.
    pub(super) fn new(reactor: &Reactor, stream: TcpStream, now: Instant) -> io::Result<Self> {
        // Commands are short and wait for their answers.
        stream.set_nodelay(true)?;
        let stream = Descriptor::new(reactor, OwnedFd::from(stream))?;
        Ok(Self {
            answered: false,
            ..Self::answered(stream, now)
        })
    }

    /// A call that was dialled and has been answered.
    pub(super) fn answered(stream: Descriptor, now: Instant) -> Self {
        Self {
            stream,
            incoming: Buffer::default(),
            outgoing: Buffer::default(),
            queues: true,
            answered: true,
            began: now,
            stirred: now,
            ended: false,
            gone: false,
            line_ended: false,
            owed: false,
        }
    }

    /// The modem has answered.
    pub(super) fn answer(&mut self, now: Instant) {
        self.answered = true;
        self.stirred = now;
    }

    /// Moves what the far end sends as far as the modem takes it.
    pub(super) fn receive(&mut self, now: Instant, dce: &mut Dce) {
        // Ends when the modem takes no more and the buffer is full, or nothing is there.
        loop {
            let taken = dce.from_line(now, self.incoming.filled());
            if let Some(last) = self.incoming.filled().get(..taken).and_then(<[u8]>::last) {
                self.line_ended = matches!(last, b'\r' | b'\n');
                self.stirred = now;
            }
            self.incoming.consume(taken);
            if self.ended || self.incoming.is_full() || self.stream.is_quiet() {
                return;
            }
            match self.stream.read(self.incoming.free()) {
                Ok(0) => return,
                Ok(count) => {
                    self.incoming.extend(count);
                    self.stirred = now;
                }
                Err(_) => self.ended = true,
            }
        }
    }

    /// Takes what the modem sends without handing it to the socket yet, so that it gets more in
    /// one piece. False if there was nothing, or it is time to hand it over.
    pub(super) fn gather(&mut self, now: Instant, dce: &mut Dce) -> bool {
        // A pipe's worth stays free, for a modem that hangs up.
        if self.outgoing.filled().len() > PIPE_OCTETS {
            return false;
        }
        let count = dce.to_line(now, self.outgoing.free());
        self.outgoing.extend(count);
        if count > 0 {
            self.stirred = now;
            self.owed = false;
        }
        count > 0
    }

    /// Moves what the modem sends as far as the socket takes it.
    pub(super) fn send(&mut self, now: Instant, dce: &mut Dce) {
        loop {
            // A modem that has hung up waits for its line to be empty; a far end that takes
            // nothing must not keep it waiting. There is room: a pipe's worth, and another.
            if self.outgoing.is_empty() || dce.is_closing() {
                let count = dce.to_line(now, self.outgoing.free());
                self.outgoing.extend(count);
                if count > 0 {
                    self.stirred = now;
                    self.owed = false;
                }
            }
            if self.gone {
                self.outgoing.clear();
            }
            if self.outgoing.is_empty() {
                return;
            }
            match put(&self.stream, self.outgoing.filled()) {
                Ok(0) => return,
                Ok(count) => {
                    self.outgoing.consume(count);
                    self.queues = true;
                    self.stirred = now;
                }
                Err(_) => self.gone = true,
            }
        }
    }

    /// The DTE has read from the modem.
    pub(super) fn was_read(&mut self, now: Instant, dce: &Dce) {
        self.stirred = now;
        self.owed = self.line_ended && dce.unread() == 0;
    }

    /// Throws away what the socket has not taken yet.
    pub(super) fn discard_output(&mut self) {
        self.outgoing.clear();
    }

    /// Ends the call from this side.
    pub(super) fn part(self, now: Instant) -> Parting {
        let mut parting = Parting::new(self.stream, now);
        parting.outgoing = self.outgoing;
        parting
    }

    /// How many octets were taken from the modem and not by the far end's machine.
    pub(super) fn unsent(&mut self) -> usize {
        let queued = if self.queues { queued(&self.stream) } else { 0 };
        self.queues = queued > 0;
        self.outgoing.filled().len() + queued
    }

    /// Whether the far end sends no more, and nothing speaks for its being there.
    pub(super) fn is_over(&self, dce: &Dce) -> bool {
        self.ended && !self.is_awaited(dce)
    }

    /// Whether the far end sends no more.
    #[cfg(test)]
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// When the far end counts as having hung up, unless something happens before.
    pub(super) fn hang_up_due(&self, dce: &Dce) -> Option<Instant> {
        let due = match (self.answered, self.ended) {
            (false, false) => self.began + RINGING,
            // It said something before it was answered: a script that waits for the answers.
            (false, true) if !self.incoming.is_empty() => self.stirred + PATIENCE,
            (false, true) => self.began,
            (true, false) => return None,
            (true, true) if self.incoming.is_empty() && self.is_gone() => self.began,
            (true, true) if self.is_awaited(dce) => self.stirred + PATIENCE,
            (true, true) => self.stirred + SILENCE,
        };
        Some(due)
    }

    /// Whether something is on its way, either way, or a line has no answer yet.
    fn is_awaited(&self, dce: &Dce) -> bool {
        let waiting = !self.incoming.is_empty() || !self.outgoing.is_empty();
        self.owed || waiting || dce.unread() > 0 || dce.unsent() > 0
    }

    /// Whether the system knows that nobody is there: RST has come.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        self.gone || poll(&mut fds, PollTimeout::ZERO).is_ok_and(|reports| reports > 0)
    }
}

/// A connection that this side ends.
pub(super) struct Parting {
    stream: Descriptor,
    outgoing: Buffer,
    shut: bool,
    ignored: usize,
    until: Instant,
}

impl Parting {
    fn new(stream: Descriptor, now: Instant) -> Self {
        Self {
            stream,
            outgoing: Buffer::default(),
            shut: false,
            ignored: 0,
            until: now + FAREWELL,
        }
    }

    /// Tells a caller that the line is busy.
    ///
    /// # Errors
    /// The system's, about the socket.
    pub(super) fn busy(reactor: &Reactor, stream: TcpStream, now: Instant) -> io::Result<Self> {
        let mut parting = Self::new(Descriptor::new(reactor, OwnedFd::from(stream))?, now);
        parting.outgoing.append(b"BUSY\r\n");
        Ok(parting)
    }

    /// Goes on. False when nothing is left to do.
    pub(super) fn step(&mut self, now: Instant) -> bool {
        if now >= self.until {
            return false;
        }
        while !self.outgoing.is_empty() {
            match put(&self.stream, self.outgoing.filled()) {
                Ok(0) => return true,
                Ok(count) => self.outgoing.consume(count),
                Err(_) => return false,
            }
        }
        if !self.shut {
            self.shut = true;
            if shutdown(self.stream.as_fd().as_raw_fd(), Shutdown::Write).is_err() {
                return false;
            }
        }
        let mut unread = [0; 4096];
        while self.ignored < IGNORED_OCTETS {
            match self.stream.read(&mut unread) {
                Ok(0) => return true,
                Ok(count) => self.ignored += count,
                Err(_) => return false,
            }
        }
        false
    }

    /// When it is over at the latest.
    pub(super) fn deadline(&self) -> Instant {
        self.until
    }
}

/// Hands `octets` to the socket, though the other end may send no more. 0: no room now, and the
/// reactor wakes when there is some.
fn put(stream: &Descriptor, octets: &[u8]) -> Result<usize, Errno> {
    let written = match write(stream, octets) {
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => 0,
        Err(errno) => return Err(errno),
    };
    if written < octets.len() {
        stream.want_write();
    }
    Ok(written)
}

/// How many octets the system has taken and the other end's system has not.
#[allow(
    unsafe_code,
    reason = "nix makes its wrappers of ioctl unsafe to call, whatever they do"
)]
fn queued(stream: &Descriptor) -> usize {
    // SIOCOUTQ has the number of TIOCOUTQ, on every architecture.
    nix::ioctl_read_bad!(siocoutq, libc::TIOCOUTQ, libc::c_int);
    let mut count = 0;
    // SAFETY: the descriptor is open, as it is borrowed, and the kernel writes one int to `count`.
    let result = unsafe { siocoutq(stream.as_fd().as_raw_fd(), &raw mut count) };
    result.map_or(0, |_| usize::try_from(count).unwrap_or(0))
}

/// Octets on their way: what the modem's pipe holds, three times.
struct Buffer {
    octets: Box<[u8; 3 * PIPE_OCTETS]>,
    from: usize,
    to: usize,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            octets: Box::new([0; 3 * PIPE_OCTETS]),
            from: 0,
            to: 0,
        }
    }
}

impl Buffer {
    /// Where more octets go.
    fn free(&mut self) -> &mut [u8] {
        self.octets.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        self.octets.get_mut(self.to..).unwrap_or_default()
    }

    /// Counts the first `count` octets of [`free`](Self::free) in.
    fn extend(&mut self, count: usize) {
        self.to = (self.to + count).min(self.octets.len());
    }

    fn append(&mut self, octets: &[u8]) {
        let count = self
            .free()
            .iter_mut()
            .zip(octets)
            .map(|(place, octet)| *place = *octet)
            .count();
        self.extend(count);
    }

    fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
        if self.from == self.to {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.from = 0;
        self.to = 0;
    }

    fn filled(&self) -> &[u8] {
        self.octets.get(self.from..self.to).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    fn is_full(&self) -> bool {
        self.to - self.from == self.octets.len()
    }
}
