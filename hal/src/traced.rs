//! A wrapper that logs what passes, octet by octet, at level `trace`.
//!
//! It goes around any stream, modem port, LAN stream or medium, and changes nothing. Passwords
//! pass here as they are: level `trace` is for the bench, not for a house.
//!
//! ```text
//! line a: > ATZ\r
//! line a: < \r\nOK\r\n
//! ring: write 512 octets at 4096: Ok(())
//! ```

use core::fmt;

use heapless::String;

use crate::lan::{Connection, LanStream};
use crate::medium::{Medium, MediumError, SyncState};
use crate::modem::{Circuit, ModemPort};
use crate::stream::{ByteStream, StreamError};
use crate::tls::Trust;

/// Octets of a name that are kept.
const NAME_OCTETS: usize = 32;

/// `T`, with its traffic logged under a name.
#[derive(Clone, Debug)]
pub struct Traced<T> {
    name: String<NAME_OCTETS>,
    inner: T,
}

impl<T> Traced<T> {
    /// Logs what passes `inner` under `name`, of which 32 octets are kept.
    pub fn new(name: &str, inner: T) -> Self {
        let mut kept = String::new();
        for c in name.chars() {
            if kept.push(c).is_err() {
                break;
            }
        }
        Self { name: kept, inner }
    }

    /// What is wrapped.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives back what was wrapped.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn log(&self, text: fmt::Arguments<'_>) {
        log::trace!("{}: {text}", self.name);
    }

    /// Logs what `octets` went which way, or that they did not.
    fn moved(&self, arrow: char, octets: &[u8], result: Result<usize, StreamError>) {
        match result {
            Ok(0) => {}
            Ok(count) => {
                let octets = octets.get(..count).unwrap_or(octets);
                self.log(format_args!("{arrow} {}", octets.escape_ascii()));
            }
            Err(error) => self.log(format_args!("{arrow} {error}")),
        }
    }
}

impl<T: ByteStream> ByteStream for Traced<T> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let result = self.inner.read(buf);
        self.moved('<', buf, result);
        result
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let result = self.inner.write(octets);
        self.moved('>', octets, result);
        result
    }

    fn pending(&mut self) -> usize {
        self.inner.pending()
    }
}

impl<T: ModemPort> ModemPort for Traced<T> {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        let result = self.inner.set_dtr(on);
        self.log(format_args!("dtr {on}: {result:?}"));
        result
    }

    fn dcd(&mut self) -> Circuit {
        // Asked at every turn: not worth a line.
        self.inner.dcd()
    }

    fn discard_output(&mut self) {
        self.log(format_args!("output discarded"));
        self.inner.discard_output();
    }

    fn set_speed(&mut self, speed: u32) -> Result<(), StreamError> {
        let result = self.inner.set_speed(speed);
        self.log(format_args!("speed {speed}: {result:?}"));
        result
    }

    fn reset_device(&mut self) -> bool {
        let begun = self.inner.reset_device();
        self.log(format_args!("reset of the device: {begun}"));
        begun
    }

    fn reopen(&mut self) -> Result<(), StreamError> {
        let result = self.inner.reopen();
        self.log(format_args!("reopen: {result:?}"));
        result
    }
}

impl<T: LanStream> LanStream for Traced<T> {
    fn connection(&mut self) -> Connection {
        self.inner.connection()
    }

    fn start_tls(&mut self, trust: Trust<'_>) {
        self.log(format_args!("start of TLS: {trust:?}"));
        self.inner.start_tls(trust);
    }

    fn is_near(&self) -> bool {
        self.inner.is_near()
    }
}

impl<T: Medium> Medium for Traced<T> {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let result = self.inner.read(offset, buf);
        let length = buf.len();
        self.log(format_args!("read {length} octets at {offset}: {result:?}"));
        result
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        let result = self.inner.write(offset, octets);
        let length = octets.len();
        self.log(format_args!(
            "write {length} octets at {offset}: {result:?}"
        ));
        result
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        let result = self.inner.sync();
        self.log(format_args!("sync: {result:?}"));
        result
    }

    fn sync_state(&mut self) -> SyncState {
        self.inner.sync_state()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String as Text;
    use std::sync::Mutex;
    use std::vec::Vec;

    use super::*;

    /// Gives what was written, two octets at a time.
    #[derive(Default)]
    struct Echo(Vec<u8>);

    impl ByteStream for Echo {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
            let count = self.0.len().min(buf.len()).min(2);
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }

        fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
            self.0.extend(octets);
            Ok(octets.len())
        }
    }

    static LINES: Mutex<Vec<Text>> = Mutex::new(Vec::new());

    struct Keeper;

    impl log::Log for Keeper {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            if record.target().ends_with("traced") {
                LINES.lock().unwrap().push(format!("{}", record.args()));
            }
        }

        fn flush(&self) {}
    }

    #[test]
    fn what_passes_is_logged_and_not_changed() {
        // Another test may have set a logger: then only the passing is looked at.
        let ours = log::set_logger(&Keeper).is_ok();
        log::set_max_level(log::LevelFilter::Trace);
        let mut stream = Traced::new(&"n".repeat(40), Echo::default());
        assert_eq!(stream.write(b"A\r\n\xFF"), Ok(4));
        let (mut got, mut buf) = (Vec::<u8>::new(), [0; 8]);
        while let Ok(count @ 1..) = stream.read(&mut buf) {
            got.extend(&buf[..count]);
        }
        assert_eq!(got, b"A\r\n\xFF");
        if ours {
            let name = "n".repeat(NAME_OCTETS);
            let expected = [r"> A\r\n\xff", r"< A\r", r"< \n\xff"];
            let expected: Vec<Text> = expected.iter().map(|l| format!("{name}: {l}")).collect();
            assert_eq!(*LINES.lock().unwrap(), expected);
        }
    }
}
