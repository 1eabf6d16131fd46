//! A modem at a serial port.
//!
//! serialport opens and configures the port and asks for its circuits; octets pass through our own
//! [`Descriptor`], because serialport's `write` blocks past its timeout, its `flush` drains without
//! one, and its `read` drops what came together with a hang-up. The port is opened for us alone
//! (`TIOCEXCL` and `flock`), with hardware flow control and 8N1.
//!
//! A device that is unplugged is closed at once: while the old descriptor is open the kernel gives
//! the device a new number when it comes back. Paths such as `/dev/serial/by-path/..` survive that
//! anyway, and a device that was open once is found again by its other names, whatever path it was
//! given by (see `usb.rs`).

use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use serialport::{ClearBuffer, ErrorKind, FlowControl, SerialPort, TTYPort};

use super::descriptor::Descriptor;
use super::reactor::Reactor;
use super::usb::{self, Names};
use crate::{ByteStream, Circuit, ModemPort, StreamError};

/// A serial port, there or not.
pub struct Serial {
    reactor: Reactor,
    path: String,
    speed: u32,
    /// Other names of the device that was open last.
    names: Names,
    /// `None` while there is no such device.
    port: Option<Port>,
}

impl Serial {
    /// Opens the port at `path` with `speed` bit/s. A device that is absent gives a port that is
    /// closed until it is reopened.
    ///
    /// # Errors
    /// The device is there and cannot be used: why, in words.
    pub fn open(reactor: &Reactor, path: &str, speed: u32) -> Result<Self, String> {
        let port = match Port::open(reactor, path, speed) {
            Ok(port) => Some(port),
            Err(PortError::Absent) => None,
            Err(error) => return Err(format!("{path}: {}", error.words())),
        };
        let mut serial = Self {
            reactor: reactor.clone(),
            path: path.to_owned(),
            speed,
            names: Names::default(),
            port,
        };
        serial.remember_names();
        Ok(serial)
    }
}

impl Serial {
    fn remember_names(&mut self) {
        if self.port.is_some() {
            let (links, terminals) = (Path::new(usb::LINKS), Path::new(usb::TERMINALS));
            self.names = Names::of(&self.device(), links, terminals);
        }
    }

    /// Where the device is now.
    fn device(&self) -> PathBuf {
        let path = Path::new(&self.path);
        self.names.find(path, Path::new(usb::TERMINALS))
    }
}

impl ByteStream for Serial {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let port = self.port.as_mut().ok_or(StreamError::Closed)?;
        let read = port.stream.read(buf);
        if read.is_err() {
            // At once: it may be back before anybody reopens it.
            self.port = None;
        }
        read
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        match &mut self.port {
            Some(port) => port.stream.write(octets),
            None => Err(StreamError::Closed),
        }
    }

    fn pending(&mut self) -> usize {
        // TIOCOUTQ. A device that is gone has nothing left to send.
        let port = self.port.as_ref();
        let queued = port.and_then(|port| port.tty.bytes_to_write().ok());
        queued.map_or(0, |octets| usize::try_from(octets).unwrap_or(usize::MAX))
    }
}

impl ModemPort for Serial {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        let port = self.port.as_mut().ok_or(StreamError::Closed)?;
        if !port.has_circuits {
            return Ok(());
        }
        let set = port.tty.write_data_terminal_ready(on);
        set.map_err(|_| StreamError::Closed)
    }

    fn dcd(&mut self) -> Circuit {
        let port = self.port.as_mut().filter(|port| port.has_circuits);
        match port.map(|port| port.tty.read_carrier_detect()) {
            Some(Ok(true)) => Circuit::On,
            Some(Ok(false)) => Circuit::Off,
            Some(Err(_)) | None => Circuit::Unknown,
        }
    }

    fn discard_output(&mut self) {
        if let Some(port) = &self.port {
            port.discard_output();
        }
    }

    fn set_speed(&mut self, speed: u32) -> Result<(), StreamError> {
        self.speed = speed;
        let port = self.port.as_mut().ok_or(StreamError::Closed)?;
        let set = port.tty.set_baud_rate(speed);
        set.map_err(|_| StreamError::Closed)
    }

    fn reset_device(&mut self) -> bool {
        let switch = usb::authorisation(&self.device(), Path::new(usb::TERMINALS));
        switch.is_some_and(usb::reset)
    }

    fn reopen(&mut self) -> Result<(), StreamError> {
        // Closes first.
        self.port = None;
        let device = self.device();
        let device = device.to_str().unwrap_or(&self.path);
        match Port::open(&self.reactor, device, self.speed) {
            Ok(port) => {
                self.port = Some(port);
                self.remember_names();
            }
            Err(PortError::Absent) => return Err(StreamError::Closed),
            Err(PortError::InUse) => return Err(StreamError::Failed(Errno::EBUSY as i32)),
            Err(PortError::Denied) => return Err(StreamError::Failed(Errno::EACCES as i32)),
            Err(PortError::NotSerial(_)) => return Err(StreamError::Failed(Errno::ENOTTY as i32)),
        }
        Ok(())
    }
}

/// An open port.
struct Port {
    // Left before the port is closed.
    stream: Descriptor,
    tty: TTYPort,
    /// A pty has none.
    has_circuits: bool,
}

impl Port {
    fn open(reactor: &Reactor, path: &str, speed: u32) -> Result<Self, PortError> {
        let builder = serialport::new(path, speed)
            .flow_control(FlowControl::Hardware)
            .timeout(Duration::ZERO)
            .dtr_on_open(true);
        let mut tty = TTYPort::open(&builder).map_err(PortError::from)?;
        let has_circuits = tty.read_carrier_detect().is_ok();
        let stream = duplicate(&tty).and_then(|fd| Descriptor::new(reactor, fd));
        Ok(Self {
            stream: stream.map_err(|error| PortError::NotSerial(error.to_string()))?,
            tty,
            has_circuits,
        })
    }

    fn discard_output(&self) {
        // tcflush(TCOFLUSH). If the device is gone, so is its output.
        let _ = self.tty.clear(ClearBuffer::Output);
    }
}

impl Drop for Port {
    /// Without this, `close` waits up to 30 s for a modem that has stopped us by flow control.
    fn drop(&mut self) {
        self.discard_output();
    }
}

/// The descriptor of `tty` once more, to be made non-blocking: the flag is shared by both.
#[allow(
    unsafe_code,
    reason = "serialport offers its descriptor as a number only"
)]
fn duplicate(tty: &TTYPort) -> io::Result<OwnedFd> {
    // SAFETY: `tty` is borrowed, so its descriptor is open for as long as `fd` lives.
    let fd = unsafe { BorrowedFd::borrow_raw(tty.as_raw_fd()) };
    fd.try_clone_to_owned()
}

/// Why a port could not be opened.
enum PortError {
    Absent,
    InUse,
    Denied,
    NotSerial(String),
}

impl From<serialport::Error> for PortError {
    fn from(error: serialport::Error) -> Self {
        match error.kind() {
            ErrorKind::Io(io::ErrorKind::NotFound) => Self::Absent,
            ErrorKind::Io(io::ErrorKind::PermissionDenied) => Self::Denied,
            // TIOCEXCL or flock held by another program: serialport has this kind for both.
            ErrorKind::NoDevice => Self::InUse,
            // Unplugged between its open and its first question. The number is lost, the words
            // are nix's own.
            ErrorKind::Unknown if DEVICE_GONE.contains(&error.description.as_str()) => Self::Absent,
            ErrorKind::Unknown | ErrorKind::InvalidInput | ErrorKind::Io(_) => {
                Self::NotSerial(error.description)
            }
        }
    }
}

impl PortError {
    fn words(&self) -> String {
        match self {
            Self::Absent => "no such device".into(),
            Self::InUse => "in use by another program".into(),
            Self::Denied => "permission denied: the user is not in the group of the device".into(),
            Self::NotSerial(why) => format!("cannot be used as a serial port: {why}"),
        }
    }
}

/// What nix calls ENXIO, ENODEV and EIO.
const DEVICE_GONE: [&str; 3] = ["No such device or address", "No such device", "I/O error"];

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::{OpenptyResult, openpty};
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    use nix::unistd::ttyname;
    use std::fs::{self, File};
    use std::io::{Read, Write};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    /// A modem's side of a pty, and the path of ours.
    fn pty() -> (File, String) {
        let OpenptyResult { master, slave } = openpty(None, None).unwrap();
        let mut termios = tcgetattr(&slave).unwrap();
        cfmakeraw(&mut termios);
        tcsetattr(&slave, SetArg::TCSANOW, &termios).unwrap();
        let path = ttyname(&slave).unwrap();
        (File::from(master), path.to_str().unwrap().to_owned())
    }

    fn read_some(reactor: &Reactor, serial: &mut Serial) -> Result<Vec<u8>, StreamError> {
        let mut buf = [0; 64];
        loop {
            match serial.read(&mut buf)? {
                0 => drop(reactor.wait(None)),
                count => return Ok(buf[..count].to_vec()),
            }
        }
    }

    #[test]
    fn octets_pass_both_ways_as_they_are() {
        let reactor = Reactor::new().unwrap();
        let (mut modem, path) = pty();
        let mut serial = Serial::open(&reactor, &path, 115_200).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(serial.read(&mut [0]), Ok(0));
        assert_eq!(reactor.wait(AT_ONCE), 0);
        modem.write_all(&all).unwrap();
        let mut got = Vec::new();
        while got.len() < all.len() {
            got.extend(read_some(&reactor, &mut serial).unwrap());
        }
        assert_eq!(got, all);
        assert_eq!(serial.write(&all), Ok(256));
        let mut got = vec![0; 256];
        modem.read_exact(&mut got).unwrap();
        assert_eq!(got, all);
    }

    #[test]
    fn a_pty_has_no_circuits() {
        let reactor = Reactor::new().unwrap();
        let (_modem, path) = pty();
        let mut serial = Serial::open(&reactor, &path, 9600).unwrap();
        assert_eq!(serial.dcd(), Circuit::Unknown);
        assert_eq!(serial.set_dtr(false), Ok(()));
        assert_eq!(serial.set_dtr(true), Ok(()));
    }

    #[test]
    fn a_modem_that_does_not_read_holds_nobody() {
        let reactor = Reactor::new().unwrap();
        let (mut modem, path) = pty();
        let mut serial = Serial::open(&reactor, &path, 115_200).unwrap();
        let octets = [b'x'; 4096];
        let mut written = 0;
        loop {
            match serial.write(&octets).unwrap() {
                // The kernel moves what a pty holds when it finds time, which makes room once more.
                0 if reactor.wait(AT_ONCE) == 0 => break,
                count => written += count,
            }
            assert!(written < 1 << 22, "a pty without end");
        }
        let mut buf = vec![0; written];
        modem.read_exact(&mut buf).unwrap();
        assert_eq!(reactor.wait(None), 1, "room again");
        assert!(serial.write(&octets).unwrap() > 0);
        // Nothing waits here either.
        serial.discard_output();
        drop(serial);
    }

    #[test]
    fn a_modem_that_is_gone_is_closed_for_ever() {
        let reactor = Reactor::new().unwrap();
        let (mut modem, path) = pty();
        let mut serial = Serial::open(&reactor, &path, 115_200).unwrap();
        modem.write_all(b"NO CARRIER").unwrap();
        assert_eq!(read_some(&reactor, &mut serial).unwrap(), b"NO CARRIER");
        assert_eq!(serial.read(&mut [0]), Ok(0));
        drop(modem);
        assert_eq!(reactor.wait(None), 1);
        for _ in 0..3 {
            assert_eq!(serial.read(&mut [0]), Err(StreamError::Closed));
            assert_eq!(serial.write(b"ATZ"), Err(StreamError::Closed));
            assert_eq!(serial.pending(), 0);
        }
        assert_eq!(serial.reopen(), Err(StreamError::Closed));
        assert_eq!(reactor.wait(AT_ONCE), 0, "a closed port spins nobody");
    }

    #[test]
    fn reopening_finds_another_device_behind_the_same_name() {
        let directory = crate::linux::scratch("serial");
        let link = directory.join("modem");
        let path = link.to_str().unwrap();
        let reactor = Reactor::new().unwrap();
        let mut serial = Serial::open(&reactor, path, 115_200).unwrap();
        assert_eq!(serial.read(&mut [0]), Err(StreamError::Closed), "absent");
        assert_eq!(serial.write(b"x"), Err(StreamError::Closed));
        assert_eq!(serial.set_dtr(true), Err(StreamError::Closed));
        assert_eq!(serial.dcd(), Circuit::Unknown);
        serial.discard_output();
        for round in 0..3 {
            let (mut modem, device) = pty();
            let _ = fs::remove_file(&link);
            symlink(Path::new(&device), &link).unwrap();
            assert_eq!(serial.reopen(), Ok(()), "round {round}");
            modem.write_all(b"OK").unwrap();
            assert_eq!(read_some(&reactor, &mut serial).unwrap(), b"OK");
            drop(modem);
            assert_eq!(read_some(&reactor, &mut serial), Err(StreamError::Closed));
            assert_eq!(serial.reopen(), Err(StreamError::Closed));
        }
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn edge_12_the_speed_is_kept_over_a_reopening() {
        let reactor = Reactor::new().unwrap();
        let (_modem, path) = pty();
        let mut serial = Serial::open(&reactor, &path, 115_200).unwrap();
        assert_eq!(serial.set_speed(9600), Ok(()));
        for _ in 0..2 {
            let port = serial.port.as_ref().unwrap();
            assert_eq!(port.tty.baud_rate().unwrap(), 9600);
            assert_eq!(serial.reopen(), Ok(()));
        }
        assert!(!serial.reset_device(), "a pty hangs on nothing");
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let reactor = Reactor::new().unwrap();
        let (_modem, path) = pty();
        let _first = Serial::open(&reactor, &path, 115_200).unwrap();
        let error = Serial::open(&reactor, &path, 115_200).err().unwrap();
        assert!(error.ends_with("in use by another program"), "{error}");
        let error = Serial::open(&reactor, "/dev/null", 115_200).err().unwrap();
        assert!(error.contains("cannot be used as a serial port"), "{error}");
    }
}
