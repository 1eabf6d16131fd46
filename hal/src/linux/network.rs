//! The board's own program that makes the network: what it is told, and what it says.
//!
//! ```text
//! PROGRAM off | dhcp | static ADDRESS/BITS GATEWAY DNS      < SSID, password, country
//! ```
//!
//! Of a radio network it reads three lines from its standard input, which is empty where there is
//! none: nobody finds the password among the arguments of a process. Each line of its standard
//! output is for the owner. It goes on for as long as it likes, and speaks; it and all that it has
//! started are one process group, which is killed when the owner wants another network.

use core::mem;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::board::{Network, OpenError, Radio};
use crate::{ByteStream, StreamError};

use super::descriptor::Descriptor;
use super::program;
use super::reactor::Reactor;
use super::words;

/// The program, started.
pub(super) struct Started {
    child: Child,
    /// Until its end.
    speech: Option<Speech>,
}

impl Started {
    /// Starts `program`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn new(
        reactor: &Reactor,
        program: &Path,
        network: Network<'_>,
        radio: Option<Radio<'_>>,
    ) -> io::Result<Self> {
        let mut command = program::command(program);
        match network {
            Network::Machine => command.arg("off"),
            Network::Dhcp => command.arg("dhcp"),
            Network::Static {
                address,
                gateway,
                dns,
            } => command.args(["static", address, gateway, dns]),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        if let (Some(mut input), Some(radio)) = (child.stdin.take(), radio) {
            let Radio {
                ssid,
                password,
                country,
            } = radio;
            // A pipe takes far more without waiting. One who does not read it joins no network.
            let _ = input.write_all(format!("{ssid}\n{password}\n{country}\n").as_bytes());
        }
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let speech = Speech {
            source: Descriptor::new(reactor, output.into())?,
            line: Vec::new(),
        };
        Ok(Self {
            child,
            speech: Some(speech),
        })
    }

    /// What it says next, if it has said anything.
    pub(super) fn news(&mut self) -> Option<OpenError> {
        match self.speech.as_mut()?.next() {
            Ok(news) => news,
            Err(_) => {
                self.speech = None;
                None
            }
        }
    }

    /// Takes its end, if it has ended, off the kernel's list. Returns whether it goes on.
    pub(super) fn goes_on(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends it, with all that it has started. What is returned ends in a moment.
    pub(super) fn end(mut self) -> Child {
        // Its number may be another's if it has ended.
        if self.goes_on()
            && let Ok(group) = i32::try_from(self.child.id())
        {
            // What cannot be killed has ended.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        self.child
    }
}

/// What a program says, line by line.
struct Speech {
    source: Descriptor,
    /// The line that has begun, as far as the owner will see it.
    line: Vec<u8>,
}

impl Speech {
    /// The next line that is whole and not blank, without its control characters.
    ///
    /// # Errors
    /// There will be no more.
    fn next(&mut self) -> Result<Option<OpenError>, StreamError> {
        let mut octet = [0];
        while self.source.read(&mut octet)? == 1 {
            let [octet] = octet;
            if octet == b'\n' && !self.line.is_empty() {
                let line = mem::take(&mut self.line);
                return Ok(Some(words(format_args!(
                    "{}",
                    String::from_utf8_lossy(&line)
                ))));
            }
            if !octet.is_ascii_control() && self.line.len() < OpenError::new().capacity() {
                self.line.push(octet);
            }
        }
        Ok(None)
    }
}
