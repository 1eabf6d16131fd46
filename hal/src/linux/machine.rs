//! The whole machine: every part, bundled for the gateway.

use std::env;
use std::fmt;
use std::fs::{self, DirBuilder, File as StdFile, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::rc::Rc;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::board::{Board, LineDevice, Network, OpenError, Radio, not_kept};
use crate::entropy::Entropy;
use crate::light::Light;
use crate::time::{Duration, Instant, Wall};

use super::clock::Clock;
use super::datagram::Datagrams;
use super::file::File;
use super::light::Lamp;
use super::line::Line;
use super::maildir::Maildir;
use super::network;
use super::reactor::{Reactor, Registration};
use super::tcp::LinuxLan;
use super::terminal::{Attachments, Console, Terminal};
use super::watchdog::Watchdog;
use super::{memory, program, words, zeros};

/// After so long without anything to do the rest of a sleep is one that memory is given back for.
const QUIET: Duration = Duration::from_millis(250);

/// What a board chooses.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Where the machine keeps what it must: the ring, the console's socket.
    pub state: PathBuf,
    /// The file that `save` rewrites.
    pub config: PathBuf,
    /// The operator's terminal.
    pub console: ConsoleChoice,
    /// What only a board has that is ours alone.
    pub parts: Parts,
}

/// What a whole board has, and what a program among others on a machine leaves to that machine.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The program that makes the network: see `network`.
    pub network: Option<PathBuf>,
    /// The program that starts the board anew.
    pub reboot: Option<PathBuf>,
    /// The hardware's watchdog.
    pub watchdog: Option<PathBuf>,
    /// The light's directory in `/sys/class/leds`.
    pub light: Option<PathBuf>,
    /// Whether nobody else sets the wall clock.
    pub clock: bool,
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
    parts: Parts,
    datagrams: Datagrams,
    watchdog: Watchdog,
    lamp: Lamp,
    /// Something has come since memory was given back.
    busy: bool,
    /// Programs of the board that may not have ended yet.
    children: Vec<Child>,
    /// The one that makes the network.
    network: Option<network::Started>,
}

impl Machine {
    /// The machine, as a board chose it. Makes the state directory. Blocks until the system has
    /// random octets.
    ///
    /// # Errors
    /// What could not be opened, in words for the owner.
    pub fn open(choice: Choice) -> Result<Self, String> {
        let Choice {
            state,
            config,
            console,
            parts,
        } = choice;
        memory::give_back_at_once();
        // Before any thread is made, so that no thread takes a signal that the loop must see.
        let signals = signals().map_err(|error| format!("signals: {error}"))?;
        // For the owner alone: there will be mails in it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&state);
        made.map_err(|error| format!("{}: {error}", state.display()))?;
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
        let random = random().map_err(|error| format!("random octets: {error}"))?;
        Ok(Self {
            clock: if parts.clock {
                Clock::ours()
            } else {
                Clock::new()
            },
            datagrams: Datagrams::new(&reactor),
            watchdog: Watchdog::new(parts.watchdog.as_deref()),
            lamp: Lamp::new(parts.light.as_deref()),
            busy: true,
            children: Vec::new(),
            network: None,
            parts,
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

    /// Lets a wall clock that is ours to set show no moment before `unix`, and judges certificates
    /// as of none before it.
    pub fn keep_clock_above(&mut self, unix: u64) {
        self.clock.keep_above(unix);
        self.lan.keep_clock_above(unix);
    }

    /// Starts a program of the board, which ends by itself.
    fn start(&mut self, program: &Path, arguments: &[&str]) -> Result<(), OpenError> {
        let mut command = program::command(program);
        let command = command.args(arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command
            .spawn()
            .map_err(|error| words(format_args!("{}: {error}", program.display())))?;
        self.children.push(child);
        Ok(())
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
        // To go on without would give salts and keys of zeros.
        let filled = self.random.read_exact(buf);
        filled.expect("the kernel's generator gives any length, never blocks and never ends");
    }
}

impl Board for Machine {
    type Modem = Line;
    type Lan = LinuxLan;
    type Folder = Maildir;
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

    fn folder(&mut self, path: &str) -> Maildir {
        Maildir::new(Path::new(path))
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

    fn set_network(
        &mut self,
        network: Network<'_>,
        radio: Option<Radio<'_>>,
    ) -> Result<(), OpenError> {
        let Some(program) = &self.parts.network else {
            return not_kept(network, radio);
        };
        if let Some(earlier) = self.network.take() {
            self.children.push(earlier.end());
        }
        let started = network::Started::new(&self.reactor, program, network, radio);
        let failed = |error| words(format_args!("{}: {error}", program.display()));
        self.network = Some(started.map_err(failed)?);
        Ok(())
    }

    fn network_news(&mut self) -> Option<OpenError> {
        self.network.as_mut()?.news()
    }

    fn set_wall(&mut self, unix: u64, micros: u32) -> Result<(), OpenError> {
        self.clock.set(unix, micros)
    }

    fn send_datagram(&mut self, host: &str, port: u16, octets: &[u8]) {
        self.datagrams.send(host, port, octets);
    }

    fn receive_datagram(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.datagrams.receive(buf)
    }

    fn reboot(&mut self) -> Result<(), OpenError> {
        let Some(program) = self.parts.reboot.clone() else {
            return Err(words(format_args!(
                "reboot: this board is restarted by its own system"
            )));
        };
        self.start(&program, &[])
    }

    fn alive(&mut self) {
        let now = self.clock.now();
        self.watchdog.alive(now);
        // One that ended is taken off the kernel's list; one that cannot be asked never comes back.
        self.children
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if let Some(network) = &mut self.network {
            network.goes_on();
        }
    }

    fn show(&mut self, light: Light) {
        self.lamp.show(light);
    }

    fn wait(&mut self, until: Option<Instant>) {
        let until = until.into_iter().chain(self.watchdog.due()).min();
        let quiet = self.clock.now() + QUIET;
        if self.busy && until.is_none_or(|until| until > quiet) {
            if self.reactor.wait(Some(QUIET)) > 0 || self.clock.now() < quiet {
                return;
            }
            memory::give_back();
            self.busy = false;
        }
        let timeout = until.map(|until| until - self.clock.now());
        self.busy |= self.reactor.wait(timeout) > 0;
    }

    fn ending(&mut self) -> bool {
        self.read_signals();
        self.ending
    }

    fn ready(&mut self) {
        if let Err(error) = notify(b"READY=1") {
            log::warn!("the supervisor was not told that all is ready: {error}");
        }
    }
}

/// Signals that are read like octets instead of striking in the middle of something. SIGTERM and
/// SIGINT ask for the end. SIGHUP and SIGPIPE say what a stream tells us better, and are taken and
/// forgotten.
fn signals() -> nix::Result<SignalFd> {
    let ours = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGPIPE,
    ];
    let set: SigSet = ours.into_iter().collect();
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// A source of random octets that never blocks, opened after the one that does has given some: a
/// board that has just been switched on may have none yet, and the store's key is drawn then.
fn random() -> io::Result<StdFile> {
    StdFile::open("/dev/random")?.read_exact(&mut [0])?;
    StdFile::open("/dev/urandom")
}

/// Puts `text` in place of the file at `path`, whole or not at all: it holds passwords, so nobody
/// else may read it. A link to the file stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // The one that is not there yet has no other name.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let replaced = write_private(&beside, text).and_then(|()| fs::rename(&beside, &path));
    if replaced.is_err() {
        // If this fails too, the next one truncates it.
        let _ = fs::remove_file(&beside);
        return replaced;
    }
    zeros::sync_directory_of(&path)
}

/// Makes a file that nobody else may read, durable.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    // One that was left there may have had another mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Tells systemd `message`, if it asked to be told.
pub(super) fn notify(message: &[u8]) -> io::Result<()> {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A supervisor that does not read must not hold the loop.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteStream, Connection, Duration, Lan, LanStream, Medium, StreamError, SyncState};
    use nix::sys::signal::{kill, raise};
    use nix::unistd::Pid;
    use std::net::TcpListener;

    /// A machine, and its state directory.
    fn machine(name: &str) -> (Machine, PathBuf) {
        let directory = super::super::scratch(name);
        (Machine::open(choice(&directory)).unwrap(), directory)
    }

    fn choice(directory: &Path) -> Choice {
        Choice {
            state: directory.join("state"),
            config: directory.join("state/ringmail.conf"),
            console: ConsoleChoice::None,
            parts: Parts::default(),
        }
    }

    /// Runs `test` on a thread of its own: a machine takes over the signals of the thread it is
    /// opened on.
    fn apart(test: fn()) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn the_parts_wake_one_loop() {
        apart(|| {
            let (mut machine, directory) = machine("parts");
            let ring = directory.join("state/ring");
            let mut medium = machine.open_store(&ring, 100_000).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let mut tcp = machine.lan().connect("127.0.0.1", port);
            medium.write(5, b"mail").unwrap();
            medium.sync().unwrap();
            while medium.sync_state() == SyncState::Pending
                || tcp.connection() == Connection::Pending
            {
                machine.wait(None);
            }
            assert_eq!(medium.sync_state(), SyncState::Done);
            assert_eq!(tcp.connection(), Connection::Open);
            // A moment that has passed is not waited for, a near one is reached.
            machine.wait(Some(Instant::ZERO));
            let until = machine.now() + Duration::from_micros(300);
            while machine.now() < until {
                machine.wait(Some(until));
            }
            fs::remove_dir_all(directory).unwrap();
        });
    }

    #[test]
    fn memory_is_given_back_once_in_a_quiet_and_again_after_something_has_come() {
        apart(|| {
            let (mut machine, directory) = machine("quiet");
            for _ in 0..2 {
                // Before a sleep that is too short for it, nothing is.
                let soon = machine.now() + QUIET;
                machine.wait(Some(soon));
                assert!(machine.busy);
                while machine.busy {
                    let later = machine.now() + QUIET + Duration::from_millis(5);
                    machine.wait(Some(later));
                }
                machine.wait(Some(machine.clock.now()));
                assert!(!machine.busy);
                raise(Signal::SIGHUP).unwrap();
                machine.wait(None);
                assert!(machine.busy && !machine.ending());
            }
            fs::remove_dir_all(directory).unwrap();
        });
    }

    #[test]
    fn the_end_is_asked_for_by_two_signals_only() {
        for end in [Signal::SIGTERM, Signal::SIGINT] {
            let test = std::thread::spawn(move || {
                let (mut machine, directory) = machine(end.as_str());
                assert!(!machine.ending());
                for harmless in [Signal::SIGHUP, Signal::SIGPIPE] {
                    // Strikes this thread alone, which has it blocked.
                    raise(harmless).unwrap();
                    machine.wait(None);
                    assert!(!machine.ending());
                }
                raise(end).unwrap();
                machine.wait(None);
                assert!(machine.ending());
                fs::remove_dir_all(directory).unwrap();
            });
            test.join().unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words_that_fit() {
        apart(|| {
            let (mut machine, directory) = machine("words");
            let mut open = |path: &str| {
                let device = LineDevice::Serial { path, speed: 9600 };
                let line = machine.open_line(device);
                line.map(|mut line| line.read(&mut [0]))
            };
            assert_eq!(open("/dev/absent"), Ok(Err(StreamError::Closed)));
            let error = open("/dev/null").unwrap_err();
            assert!(error.starts_with("/dev/null: cannot be used"), "{error}");
            let error = open(&format!("{}dev/null", "/".repeat(300))).unwrap_err();
            assert_eq!(error.len(), error.capacity());
            fs::remove_dir_all(directory).unwrap();
            let error = machine.save_config("").unwrap_err();
            assert!(error.contains("No such"), "{error}");
        });
    }

    #[test]
    fn the_program_that_makes_the_network_is_told_and_heard() {
        apart(|| {
            let directory = super::super::scratch("network");
            let program = directory.join("network");
            let script = "#!/bin/sh\necho \"$*\"\n\
                          grep -q '^SigBlk:[[:space:]]*0*$' /proc/self/status || echo blocked\n\
                          while read -r line; do echo \"<$line>\"; done\n\
                          printf '\\n\\033a\\tb\\n'; printf '%0200d\\n' 7; printf 'no end'\n";
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            let mut choice = choice(&directory);
            choice.parts.network = Some(program.clone());
            let mut machine = Machine::open(choice).unwrap();
            let fixed = Network::Static {
                address: "10.0.0.2/8",
                gateway: "10.0.0.1",
                dns: "10.0.0.3",
            };
            let radio = Radio {
                ssid: "J\u{fc}rgens \"net\"",
                password: "pass $word \\",
                country: "",
            };
            for (network, radio, heard) in [
                (Network::Machine, None, ["off"].as_slice()),
                (Network::Dhcp, None, &["dhcp"]),
                (
                    fixed,
                    Some(radio),
                    &[
                        "static 10.0.0.2/8 10.0.0.1 10.0.0.3",
                        "<J\u{fc}rgens \"net\">",
                        "<pass $word \\>",
                        "<>",
                    ],
                ),
            ] {
                machine.set_network(network, radio).unwrap();
                for expected in heard.iter().copied().chain(["ab", &"0".repeat(112)]) {
                    let news = loop {
                        match machine.network_news() {
                            Some(news) => break news,
                            None => machine.wait(None),
                        }
                    };
                    assert_eq!(news, expected);
                }
                // A line without an end is none.
                while machine.network.as_mut().unwrap().goes_on() {
                    assert_eq!(machine.network_news(), None);
                    machine.alive();
                }
            }
            // One that goes on, and what it has started, end before the next.
            let lasting = "#!/bin/sh\necho $$\nsleep 3600 &\necho $!\nexec sleep 3600\n";
            fs::write(&program, lasting).unwrap();
            machine.set_network(Network::Dhcp, None).unwrap();
            let mut number = || loop {
                match machine.network_news() {
                    Some(news) => break news.parse::<i32>().unwrap(),
                    None => machine.wait(None),
                }
            };
            let both = [number(), number()].map(Pid::from_raw);
            fs::remove_file(&program).unwrap();
            machine.set_network(Network::Machine, None).unwrap_err();
            for number in both {
                while kill(number, None).is_ok() {
                    machine.alive();
                }
            }
            let error = machine.set_network(Network::Dhcp, None).unwrap_err();
            assert!(error.contains("No such file"), "{error}");
            fs::remove_dir_all(directory).unwrap();
        });
    }

    #[test]
    fn a_second_gateway_is_refused() {
        apart(|| {
            let (first, directory) = machine("second");
            assert!(Machine::open(choice(&directory)).is_err());
            drop(first);
            assert!(Machine::open(choice(&directory)).is_ok());
            fs::remove_dir_all(directory).unwrap();
        });
    }

    #[test]
    fn random_octets_differ() {
        apart(|| {
            let (mut machine, directory) = machine("random");
            let (mut one, mut two) = ([0; 16], [0; 16]);
            machine.fill(&mut one);
            machine.fill(&mut two);
            assert_ne!(one, two);
            fs::remove_dir_all(directory).unwrap();
        });
    }

    #[test]
    fn a_file_is_replaced_whole_and_is_private() {
        let directory = super::super::scratch("replace");
        let path = directory.join("ringmail.conf");
        let link = directory.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for text in ["first", "second, longer", ""] {
            // A start that was cut short left this, readable by all.
            fs::write(directory.join("ringmail.conf.new"), "left over").unwrap();
            let name = if text.is_empty() { &link } else { &path };
            replace(name, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        fs::remove_dir_all(directory).unwrap();
    }
}
