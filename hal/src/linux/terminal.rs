//! The operator's consoles, the gateway's side.
//!
//! One may be the machine's own [`Terminal`]: standard input and output, or a serial line. Others
//! come and go through [`Attachments`], a socket in the state directory, mode 0600. The first
//! octet of such a connection tells what it is; it is taken off here:
//!
//! ```text
//!   01  command CR LF     answer it and close
//!   02  octets ..         a person at a terminal
//! ```

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::unistd::{getpgrp, isatty, tcgetpgrp};

use super::descriptor::Descriptor;
use super::raw_mode::{InterruptKey, RawMode};
use super::reactor::{Reactor, Registration};
use crate::{ByteStream, ConsoleKind, ConsoleStream, StreamError};

/// A console, from wherever.
pub enum Console {
    /// The machine's own.
    Terminal(Terminal),
    /// Through the socket.
    Attached(Attached),
}

impl ConsoleStream for Console {
    fn kind(&self) -> ConsoleKind {
        match self {
            Self::Terminal(_) => ConsoleKind::Terminal,
            Self::Attached(attached) => attached.kind,
        }
    }
}

impl ByteStream for Console {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        match self {
            Self::Terminal(terminal) => terminal.input.read(buf),
            Self::Attached(attached) => attached.stream.read(buf),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        match self {
            Self::Terminal(terminal) => terminal.write(octets),
            Self::Attached(attached) => attached.stream.write(octets),
        }
    }
}

/// The machine's own terminal.
pub struct Terminal {
    input: Descriptor,
    /// `None`: the same as the input.
    output: Option<Descriptor>,
    /// Given back when the terminal is dropped.
    _raw_mode: Option<RawMode>,
}

impl Terminal {
    /// Standard input and output; `None` if they are a terminal that is not ours now, because the
    /// program runs in the background of its shell.
    #[must_use]
    pub fn standard(reactor: &Reactor) -> Option<Self> {
        let (input, output) = (io::stdin(), io::stdout());
        let is_terminal = isatty(&input).unwrap_or(false);
        if is_terminal && tcgetpgrp(&input) != Ok(getpgrp()) {
            return None;
        }
        let raw_mode = RawMode::set(&input, InterruptKey::Interrupts);
        Some(Self {
            input: own(reactor, &input, "/proc/self/fd/0")?,
            output: Some(own(reactor, &output, "/proc/self/fd/1")?),
            _raw_mode: raw_mode,
        })
    }

    /// The terminal, serial line or pty at `path`, at the speed it has.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn at(reactor: &Reactor, path: &Path) -> io::Result<Self> {
        let fd = open_terminal(path)?;
        let raw_mode = RawMode::set(&fd, InterruptKey::Passes);
        Ok(Self {
            input: Descriptor::new(reactor, fd)?,
            output: None,
            _raw_mode: raw_mode,
        })
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let Some(output) = &mut self.output else {
            return self.input.write(octets);
        };
        match output.write(octets) {
            // Nobody reads an output, so nobody would learn that it is closed.
            Ok(0) if output.is_broken() => Err(StreamError::Closed),
            result => result,
        }
    }
}

/// A stream over `fd`, one of our standard ones. It must not become non-blocking, as the shell and
/// the log share it; so a terminal is opened once more, for us alone.
fn own(reactor: &Reactor, fd: &impl AsFd, path: &str) -> Option<Descriptor> {
    if isatty(fd).unwrap_or(false) {
        let opened = open_terminal(Path::new(path)).and_then(|fd| Descriptor::new(reactor, fd));
        if let Ok(stream) = opened {
            return Some(stream);
        }
    }
    let duplicate = fd.as_fd().try_clone_to_owned().ok()?;
    Some(Descriptor::shared(reactor, duplicate))
}

fn open_terminal(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let mut options = fs::OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(flags.bits());
    Ok(OwnedFd::from(options.open(path)?))
}

/// A console attached from a shell.
pub struct Attached {
    stream: Descriptor,
    kind: ConsoleKind,
}

/// The socket at which consoles attach.
pub struct Attachments {
    reactor: Reactor,
    // Left before the socket is closed.
    registration: Registration,
    socket: Rc<UnixListener>,
    path: PathBuf,
    /// Connections that have not told what they are, oldest first.
    silent: Vec<Descriptor>,
}

impl Attachments {
    /// Opens the socket in `state`, in place of one that a dead gateway has left.
    ///
    /// # Errors
    /// Another gateway runs there, or the system does not allow it; in words.
    pub fn open(reactor: &Reactor, state: &Path) -> Result<Self, String> {
        let path = socket_path(state);
        if UnixStream::connect(&path).is_ok() {
            return Err(format!("{}: another gateway runs there", state.display()));
        }
        let socket = listen(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let socket = Rc::new(socket);
        let registration = reactor.register(&socket);
        Ok(Self {
            reactor: reactor.clone(),
            registration,
            socket,
            path,
            silent: Vec::new(),
        })
    }

    /// A console that has told what it is, if there is one.
    pub fn accept(&mut self) -> Option<Console> {
        self.let_in();
        let mut index = 0;
        while let Some(stream) = self.silent.get_mut(index) {
            let mut first = [0];
            let kind = match stream.read(&mut first) {
                Ok(0) => {
                    index += 1;
                    continue;
                }
                Ok(_) if first == [ONE_COMMAND] => ConsoleKind::OneCommand,
                Ok(_) if first == [PERSON] => ConsoleKind::Attached,
                Ok(_) | Err(_) => {
                    self.silent.remove(index);
                    continue;
                }
            };
            let stream = self.silent.remove(index);
            return Some(Console::Attached(Attached { stream, kind }));
        }
        None
    }

    /// Takes in who knocks.
    fn let_in(&mut self) {
        // Nobody has knocked since it was last found that nobody waits. To ask each time is dear:
        // the system makes a socket first and then looks.
        if self.registration.wants_read() {
            return;
        }
        for _ in 0..SILENT {
            match self.socket.accept() {
                Ok((stream, _)) => {
                    let stream = Descriptor::new(&self.reactor, stream.into());
                    if self.silent.len() == SILENT {
                        self.silent.remove(0);
                    }
                    self.silent.extend(stream);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // No descriptor left: they stay outside until something else wakes us.
                Err(_) => return,
            }
        }
        self.registration.want_read(true);
    }
}

impl Drop for Attachments {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where the consoles of the gateway with this state directory attach.
pub(super) fn socket_path(state: &Path) -> PathBuf {
    state.join("console.sock")
}

/// It gets its name only with its mode: nobody else ever finds it open.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let unready = path.with_extension("new");
    let _ = fs::remove_file(&unready);
    let socket = UnixListener::bind(&unready)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(&unready, Permissions::from_mode(0o600))?;
    fs::rename(&unready, path)?;
    Ok(socket)
}

/// First octet of a connection: one command follows.
pub(super) const ONE_COMMAND: u8 = 1;
/// First octet of a connection: a person sits there.
pub(super) const PERSON: u8 = 2;
/// Connections that may wait with their first octet.
const SILENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use nix::pty::{OpenptyResult, openpty};
    use nix::unistd::ttyname;
    use std::fs::File;
    use std::io::{Read, Write};

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn the_first_octet_tells_what_it_is() {
        let state = crate::linux::scratch("terminal");
        let reactor = Reactor::new().unwrap();
        let mut attachments = Attachments::open(&reactor, &state).unwrap();
        let path = socket_path(&state);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(attachments.accept().is_none());
        assert_eq!(reactor.wait(AT_ONCE), 0);
        for (first, kind) in [
            (1, Some(ConsoleKind::OneCommand)),
            (2, Some(ConsoleKind::Attached)),
            (b'G', None),
        ] {
            let mut client = UnixStream::connect(&path).unwrap();
            assert_eq!(reactor.wait(None), 1);
            assert!(attachments.accept().is_none(), "nothing told yet");
            assert_eq!(reactor.wait(AT_ONCE), 0);
            client.write_all(&[first, b'h', b'i']).unwrap();
            assert_eq!(reactor.wait(None), 1);
            let console = attachments.accept();
            assert_eq!(console.as_ref().map(ConsoleStream::kind), kind);
            let mut got = Vec::new();
            if let Some(mut console) = console {
                let mut buf = [0; 8];
                assert_eq!(console.read(&mut buf), Ok(2));
                assert_eq!(console.write(b"yes"), Ok(3));
                drop(console);
                client.read_to_end(&mut got).unwrap();
                assert_eq!(got, b"yes");
            } else {
                // Closed, with our octets unread.
                assert!(client.read_to_end(&mut got).is_err() || got.is_empty());
            }
        }
        drop(attachments);
        assert!(!path.exists());
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn silent_connections_are_bounded_and_never_spin() {
        let state = crate::linux::scratch("silent");
        let reactor = Reactor::new().unwrap();
        let mut attachments = Attachments::open(&reactor, &state).unwrap();
        let path = socket_path(&state);
        let mut clients = Vec::new();
        for _ in 0..20 {
            clients.push(UnixStream::connect(&path).unwrap());
            reactor.wait(AT_ONCE);
            assert!(attachments.accept().is_none());
            assert!(attachments.silent.len() <= SILENT);
        }
        assert_eq!(reactor.wait(AT_ONCE), 0);
        // The newest still gets through; the oldest has been sent away.
        clients[19].write_all(&[PERSON]).unwrap();
        assert!(attachments.accept().is_some());
        assert_eq!(clients[0].read(&mut [0]).unwrap(), 0);
        drop(clients);
        assert!(attachments.accept().is_none());
        assert!(attachments.silent.is_empty());
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_respected() {
        let state = crate::linux::scratch("stale");
        let reactor = Reactor::new().unwrap();
        drop(UnixListener::bind(socket_path(&state)).unwrap());
        let live = Attachments::open(&reactor, &state).unwrap();
        let error = Attachments::open(&reactor, &state).err().unwrap();
        assert!(error.ends_with("another gateway runs there"), "{error}");
        drop(live);
        assert!(Attachments::open(&reactor, &state).is_ok());
        fs::remove_dir_all(state).unwrap();
    }

    #[test]
    fn a_pty_is_a_terminal() {
        let reactor = Reactor::new().unwrap();
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let path = ttyname(&slave).unwrap();
        let mut person = File::from(master);
        let mut terminal = Console::Terminal(Terminal::at(&reactor, &path).unwrap());
        assert_eq!(terminal.kind(), ConsoleKind::Terminal);
        person.write_all(b"show\r\x03").unwrap();
        let mut got = Vec::new();
        let mut buf = [0; 16];
        while got.len() < 6 {
            match terminal.read(&mut buf).unwrap() {
                0 => drop(reactor.wait(None)),
                count => got.extend_from_slice(&buf[..count]),
            }
        }
        assert_eq!(got, b"show\r\x03");
        assert_eq!(terminal.write(b"ok"), Ok(2));
        person.read_exact(&mut buf[..2]).unwrap();
        assert_eq!(&buf[..2], b"ok", "not the echo of what was typed");
    }
}
