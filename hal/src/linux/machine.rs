//! The whole machine: every part, bundled for the gateway.

use std::env;
use std::fmt;
use std::fs::{self, File as StdFile, OpenOptions};
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::board::{Board, LineDevice, OpenError};
use crate::entropy::Entropy;
use crate::time::{Instant, Wall};

use super::clock::Clock;
use super::file::File;
use super::line::Line;
use super::reactor::{Reactor, Registration};
use super::tcp::LinuxLan;
use super::terminal::{Attachments, Console, Terminal};
use super::words;

/// What a board chooses.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Where the machine keeps what it must: the ring, the console's socket.
    pub state: PathBuf,
    /// The file that `save` rewrites.
    pub config: PathBuf,
    /// The operator's terminal.
    pub console: ConsoleChoice,
}

/// Which terminal is the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleChoice {
    /// Standard input and output, if they are a terminal.
    Standard,
    /// A device.
    Device(PathBuf),
    /// None; the running gateway can still be attached to.
    None,
}

/// A Linux machine.
pub struct Machine {
    reactor: Reactor,
    clock: Clock,
    lan: LinuxLan,
    random: StdFile,
    config: PathBuf,
    /// The machine's own terminal, until it is taken.
    terminal: Option<Console>,
    attachments: Attachments,
    signals: Rc<SignalFd>,
    signalled: Registration,
    ending: bool,
}

impl Machine {
    /// The machine, as a board chose it. Makes the state directory.
    ///
    /// # Errors
    /// What could not be opened, in words for the owner.
    pub fn open(choice: Choice) -> Result<Self, String> {
        let Choice {
            state,
            config,
            console,
        } = choice;
        // Before any thread is made, so that no thread takes a signal that the loop must see.
        let signals = signals().map_err(|error| format!("signals: {error}"))?;
        fs::create_dir_all(&state).map_err(|error| format!("{}: {error}", state.display()))?;
        let reactor = Reactor::new().map_err(|error| format!("poll: {error}"))?;
        let signals = Rc::new(signals);
        let signalled = reactor.register(&signals);
        signalled.want_read(true);
        let terminal = match console {
            ConsoleChoice::Standard => Terminal::standard(&reactor),
            ConsoleChoice::Device(path) => {
                let opened = Terminal::at(&reactor, &path);
                Some(opened.map_err(|error| format!("console {}: {error}", path.display()))?)
            }
            ConsoleChoice::None => None,
        };
        let random = StdFile::open("/dev/urandom").map_err(|e| format!("/dev/urandom: {e}"))?;
        Ok(Self {
            clock: Clock::new(),
            lan: LinuxLan::new(&reactor),
            random,
            config,
            terminal: terminal.map(Console::Terminal),
            attachments: Attachments::open(&reactor, &state)?,
            signals,
            signalled,
            ending: false,
            reactor,
        })
    }

    /// Opens the store's file or device; a file that is not there is made, `size` octets of zeros.
    ///
    /// # Errors
    /// In words for the owner.
    pub fn open_store(&self, path: &Path, size: u64) -> Result<File, String> {
        File::open(&self.reactor, path, size)
    }

    /// Takes signals that have come.
    fn read_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if number == Signal::SIGTERM as i32 || number == Signal::SIGINT as i32 {
                self.ending = true;
            }
        }
        self.signalled.want_read(true);
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Entropy for Machine {
    fn fill(&mut self, buf: &mut [u8]) {
        // The kernel's generator gives any length, and never ends.
        if let Err(error) = self.random.read_exact(buf) {
            log::error!("/dev/urandom: {error}");
        }
    }
}

impl Board for Machine {
    type Modem = Line;
    type Lan = LinuxLan;
    type Medium = File;
    type Console = Console;

    fn now(&mut self) -> Instant {
        self.clock.now()
    }

    fn wall(&mut self) -> Wall {
        self.clock.wall()
    }

    fn open_line(&mut self, device: LineDevice<'_>) -> Result<Line, OpenError> {
        Line::open(&self.reactor, device).map_err(|text| words(format_args!("{text}")))
    }

    fn lan(&mut self) -> &mut LinuxLan {
        &mut self.lan
    }

    fn accept_console(&mut self) -> Option<Console> {
        self.terminal.take().or_else(|| self.attachments.accept())
    }

    fn set_timezone(&mut self, name: &str) -> Result<(), OpenError> {
        self.clock.set_zone(name)
    }

    fn save_config(&mut self, text: &str) -> Result<(), OpenError> {
        replace(&self.config, text)
            .map_err(|error| words(format_args!("{}: {error}", self.config.display())))
    }

    fn wait(&mut self, until: Option<Instant>) {
        let timeout = until.map(|until| until - self.clock.now());
        self.reactor.wait(timeout);
    }

    fn ending(&mut self) -> bool {
        self.read_signals();
        self.ending
    }

    fn ready(&mut self) {
        if let Err(error) = notify() {
            log::warn!("the supervisor was not told that all is ready: {error}");
        }
    }
}

/// SIGTERM and SIGINT come by a descriptor; a closed pipe or terminal is no reason to die.
fn signals() -> nix::Result<SignalFd> {
    // SAFETY: both signals are ignored from now on; no handler of ours runs in signal context.
    #[allow(unsafe_code, reason = "nix marks every use of signal(2) unsafe")]
    unsafe {
        signal(Signal::SIGPIPE, SigHandler::SigIgn)?;
        signal(Signal::SIGHUP, SigHandler::SigIgn)?;
    }
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Puts `text` in place of the file at `path`, whole or not at all: it holds passwords, so nobody
/// else may read it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    StdFile::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Tells systemd that the service is ready, if it asked to be told.
fn notify() -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = super::super::scratch("replace");
        let path = directory.join("ringmail.conf");
        for text in ["first", "second, longer", ""] {
            replace(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(directory).unwrap();
    }
}
