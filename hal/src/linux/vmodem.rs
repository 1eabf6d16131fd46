//! `ringmail vmodem`: a virtual Hayes modem as a program, at a pty.
//!
//! ```text
//!   gateway -- LINK -> slave | pty | master -- Switchboard -- TCP port
//! ```
//!
//! For a gateway on board `rpi` it is a serial port like any other, but a pty has no circuits: the
//! gateway hangs up by the escape and `ATH`. The modem goes on when the gateway closes its end, and
//! waits for the next; nothing that happens to one end ends the program.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use nix::libc;
use nix::pty::{OpenptyResult, openpty};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;

use super::descriptor::Descriptor;
use super::phone::Clock;
use super::reactor::{Alarm, Reactor};
use super::switchboard::Switchboard;
use crate::dce::DceOptions;
use crate::{ByteStream, StreamError};

/// Turns without a look at anything else, while both ends keep moving.
const ROUNDS: usize = 64;

/// What `ringmail vmodem` was told.
#[derive(Clone, Debug)]
pub struct VmodemOptions {
    /// Where the link to the terminal is to stand.
    pub tty: PathBuf,
    /// The telephone number: `ADDR:PORT`.
    pub phone: String,
    /// Speed of the line, bit/s; 0: as fast as octets are taken.
    pub speed: u32,
    /// How much later octets come out at the other end.
    pub latency: Duration,
    /// Whether `ATDaddr:port` calls somebody.
    pub dial: bool,
}

/// Runs a virtual modem until SIGTERM or SIGINT. Prints one line containing `ready` on standard
/// error when it can be used.
///
/// # Errors
/// Why it cannot run, in words.
// Not inlined: a program that does something else has no use for the room this takes on its stack.
#[inline(never)]
pub fn run(options: &VmodemOptions) -> Result<(), String> {
    // Before any thread begins: it would get the signals.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = signals
        .thread_block()
        .and_then(|()| SignalFd::with_flags(&signals, flags))
        .map_err(|errno| format!("no signals: {errno}"))?;
    let signals = Rc::new(signals);
    let reactor = Reactor::new().map_err(|error| error.to_string())?;
    let signalled = reactor.register(&signals);
    let mut modem = Vmodem::open(&reactor, options)?;
    let address = modem.address().map_err(|error| error.to_string())?;
    let ready = format!(
        "virtual modem ready at {}, called at {address}\n",
        options.tty.display()
    );
    // Nobody may be reading it.
    let _ = io::stderr().write_all(ready.as_bytes());
    while !matches!(signals.read_signal(), Ok(Some(_))) {
        modem
            .turn()
            .map_err(|error| format!("the terminal broke: {error}"))?;
        signalled.want_read(true);
        reactor.wait(None);
    }
    Ok(())
}

/// A virtual modem at a pty.
struct Vmodem {
    clock: Clock,
    alarm: Alarm,
    switchboard: Switchboard,
    master: Descriptor,
    /// Held open, so that the master meets no end when the gateway closes.
    slave: OwnedFd,
    from_dte: Batch,
    to_dte: Batch,
    _link: Link,
}

impl Vmodem {
    fn open(reactor: &Reactor, options: &VmodemOptions) -> Result<Self, String> {
        let connect = match options.speed {
            0 => 115_200,
            speed => speed,
        };
        let dce = DceOptions {
            speed: options.speed,
            latency: options.latency,
            connect: heapless::String::try_from(connect).unwrap_or_default(),
            dial: options.dial,
            ..DceOptions::default()
        };
        // First: a second modem with this number leaves the link of the first alone.
        let switchboard = Switchboard::open(reactor, &options.phone, dce)?;
        let (master, slave) = pty().map_err(|error| format!("no pty: {error}"))?;
        let terminal = ttyname(&slave).map_err(|errno| format!("no pty: {errno}"))?;
        let link = Link::make(&options.tty, terminal)?;
        let master = Descriptor::new(reactor, master).map_err(|error| error.to_string())?;
        Ok(Self {
            clock: Clock::new(),
            alarm: reactor.alarm(),
            switchboard,
            master,
            slave,
            from_dte: Batch::new(),
            to_dte: Batch::new(),
            _link: link,
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.switchboard.address()
    }

    /// Moves all that can be moved now.
    fn turn(&mut self) -> Result<(), StreamError> {
        for _ in 0..ROUNDS {
            if !self.round()? {
                let due = self.switchboard.deadline();
                self.alarm.set(due.map(|due| self.clock.moment(due)));
                return Ok(());
            }
        }
        self.alarm.set(Some(Instant::now()));
        Ok(())
    }

    /// Returns whether anything moved.
    fn round(&mut self) -> Result<bool, StreamError> {
        let now = self.clock.now();
        self.switchboard.turn(now);
        if self.from_dte.is_empty() {
            let count = self.master.read(self.from_dte.free())?;
            self.from_dte.extend(count);
            if count > 0 {
                allow_others(&self.slave);
            }
        }
        let taken = self.switchboard.take_from_dte(now, self.from_dte.filled());
        self.from_dte.consume(taken);
        if self.to_dte.is_empty() {
            let count = self.switchboard.give_to_dte(now, self.to_dte.free());
            self.to_dte.extend(count);
        }
        let given = self.master.write(self.to_dte.filled())?;
        self.to_dte.consume(given);
        Ok(taken + given > 0)
    }
}

/// A raw pty: master and slave.
fn pty() -> io::Result<(OwnedFd, OwnedFd)> {
    let OpenptyResult { master, slave } = openpty(None, None)?;
    let mut termios = tcgetattr(&slave)?;
    cfmakeraw(&mut termios);
    tcsetattr(&slave, SetArg::TCSANOW, &termios)?;
    Ok((master, slave))
}

/// Takes the mark of exclusive use off the terminal.
///
/// A gateway that was killed leaves it behind, because this end keeps the terminal open, and could
/// not open it again. It locks the terminal (`flock`) as well, and that lock ends with it.
#[allow(
    unsafe_code,
    reason = "nix makes its wrappers of ioctl unsafe to call, whatever they do"
)]
fn allow_others(slave: &OwnedFd) {
    nix::ioctl_none_bad!(tiocnxcl, libc::TIOCNXCL);
    // SAFETY: the descriptor is open, as it is borrowed; there is no argument.
    // If it fails, nothing is lost but the convenience.
    let _ = unsafe { tiocnxcl(slave.as_raw_fd()) };
}

/// A symbolic link to a terminal, for as long as it lives.
struct Link {
    path: PathBuf,
    target: PathBuf,
}

impl Link {
    /// Makes it, in place of one that a modem left behind.
    fn make(path: &Path, target: PathBuf) -> Result<Self, String> {
        let fault = |error: &io::Error| format!("{}: {error}", path.display());
        match fs::read_link(path) {
            Ok(old) if old.starts_with("/dev/pts") || fs::metadata(path).is_err() => {
                fs::remove_file(path).map_err(|error| fault(&error))?;
            }
            Ok(_) => return Err(format!("{}: a link to something else", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // EINVAL: it is no link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(format!("{}: exists, and is no link", path.display()));
            }
            Err(error) => return Err(fault(&error)),
        }
        symlink(&target, path).map_err(|error| fault(&error))?;
        Ok(Self {
            path: path.to_owned(),
            target,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Not one that another modem has put in its place.
        if fs::read_link(&self.path).is_ok_and(|target| target == self.target) {
            // If it stays, the next modem takes it away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Octets between the pty and the modem, as many as a pty holds.
struct Batch {
    octets: [u8; 4096],
    from: usize,
    to: usize,
}

impl Batch {
    fn new() -> Self {
        Self {
            octets: [0; 4096],
            from: 0,
            to: 0,
        }
    }

    /// All of it: for a batch that is empty.
    fn free(&mut self) -> &mut [u8] {
        &mut self.octets
    }

    fn extend(&mut self, count: usize) {
        self.from = 0;
        self.to = count.min(self.octets.len());
    }

    fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
    }

    fn filled(&self) -> &[u8] {
        self.octets.get(self.from..self.to).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::serial::Serial;
    use std::io::Read;
    use std::net::TcpStream;

    const LONG: Duration = Duration::from_secs(20);

    /// A gateway at a virtual modem, both in this thread.
    struct Line {
        reactor: Reactor,
        modem: Vmodem,
        serial: Serial,
        got: Vec<u8>,
    }

    fn options(name: &str) -> VmodemOptions {
        VmodemOptions {
            tty: crate::linux::scratch(name).join("modem"),
            phone: "127.0.0.1:0".into(),
            speed: 0,
            latency: Duration::ZERO,
            dial: false,
        }
    }

    impl Line {
        fn new(options: &VmodemOptions) -> Self {
            let reactor = Reactor::new().unwrap();
            let modem = Vmodem::open(&reactor, options).unwrap();
            let path = options.tty.to_str().unwrap();
            let serial = Serial::open(&reactor, path, 115_200).unwrap();
            Self {
                reactor,
                modem,
                serial,
                got: Vec::new(),
            }
        }

        fn say(&mut self, text: &str) {
            assert_eq!(self.serial.write(text.as_bytes()), Ok(text.len()));
        }

        /// What came, up to and with `end`.
        fn hear(&mut self, end: &str) -> String {
            let start = Instant::now();
            let mut buf = [0; 4096];
            loop {
                self.modem.turn().unwrap();
                match self.serial.read(&mut buf).unwrap() {
                    0 => {
                        let heard = String::from_utf8_lossy(&self.got);
                        assert!(start.elapsed() < LONG, "heard {heard:?}");
                        self.reactor.wait(Some(LONG));
                    }
                    count => self.got.extend_from_slice(&buf[..count]),
                }
                let mut windows = self.got.windows(end.len());
                if let Some(at) = windows.position(|text| text == end.as_bytes()) {
                    let heard = self.got.drain(..at + end.len()).collect();
                    return String::from_utf8(heard).unwrap();
                }
            }
        }

        fn answer(&mut self, connect: &str) -> TcpStream {
            let caller = TcpStream::connect(self.modem.address().unwrap()).unwrap();
            caller.set_read_timeout(Some(LONG)).unwrap();
            assert_eq!(self.hear("RING\r\n"), "\r\nRING\r\n");
            self.say("ATA\r");
            self.hear(connect);
            caller
        }
    }

    #[test]
    fn a_call_through_a_pty() {
        let options = options("vmodem-call");
        let mut line = Line::new(&options);
        // No echo, and an escape that needs no pause.
        line.say("ATE0S12=0\r");
        assert_eq!(line.hear("OK\r\n"), "ATE0S12=0\r\r\nOK\r\n");
        for _ in 0..3 {
            let mut caller = line.answer("CONNECT 115200\r\n");
            line.say("+OK\r\n");
            caller.write_all(b"QUIT\r\n").unwrap();
            assert_eq!(line.hear("\n"), "QUIT\r\n");
            line.say("+++");
            line.hear("OK\r\n");
            line.say("ATH\r");
            line.hear("OK\r\n");
            line.modem.turn().unwrap();
            let mut heard = String::new();
            caller.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, "+OK\r\n+++");
        }
        // The gateway goes and comes back.
        let path = options.tty.to_str().unwrap().to_owned();
        for _ in 0..3 {
            line.serial = Serial::open(&Reactor::new().unwrap(), "/nonexistent", 9600).unwrap();
            line.modem.turn().unwrap();
            assert_eq!(line.reactor.wait(Some(Duration::ZERO)), 0, "no spinning");
            line.serial = Serial::open(&line.reactor, &path, 9600).unwrap();
            line.say("AT\r");
            assert_eq!(line.hear("OK\r\n"), "\r\nOK\r\n");
        }
        drop(line);
        assert!(options.tty.symlink_metadata().is_err(), "the link is left");
    }

    #[test]
    fn a_slow_line_is_slow_both_ways() {
        let mut options = options("vmodem-slow");
        options.speed = 9600;
        options.latency = Duration::from_millis(20);
        let mut line = Line::new(&options);
        let mut caller = line.answer("CONNECT 9600\r\n");
        // 96 octets take 100 ms and come 20 ms later.
        let text = "x".repeat(95) + "\n";
        let start = Instant::now();
        caller.write_all(text.as_bytes()).unwrap();
        assert_eq!(line.hear("\n"), text);
        assert!(start.elapsed() >= Duration::from_millis(120));
        let start = Instant::now();
        line.say(&text);
        caller.set_nonblocking(true).unwrap();
        let mut heard = 0;
        while heard < text.len() {
            line.modem.turn().unwrap();
            line.reactor.wait(Some(Duration::from_millis(5)));
            heard += caller.read(&mut [0; 200]).unwrap_or(0);
        }
        assert!(start.elapsed() >= Duration::from_millis(120));
    }

    #[test]
    fn only_a_link_of_its_own_kind_is_replaced() {
        let directory = crate::linux::scratch("vmodem-link");
        let path = directory.join("modem");
        let target = || PathBuf::from("/dev/pts/0");
        for old in ["/dev/pts/99999", "/nonexistent"] {
            symlink(old, &path).unwrap();
            drop(Link::make(&path, target()).unwrap());
            assert!(path.symlink_metadata().is_err());
        }
        let link = Link::make(&path, target()).unwrap();
        fs::remove_file(&path).unwrap();
        symlink("/dev/pts/1", &path).unwrap();
        drop(link);
        assert!(path.symlink_metadata().is_ok(), "somebody else's");
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", &path).unwrap();
        assert!(Link::make(&path, target()).is_err());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a real file").unwrap();
        let error = Link::make(&path, target()).err().unwrap();
        assert!(error.ends_with("exists, and is no link"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"a real file");
    }
}
