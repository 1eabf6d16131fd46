//! The board's own program that makes the network: what it is told, and what it says.
//!
//! ```text
//! PROGRAM off | dhcp | static ADDRESS/BITS GATEWAY DNS      < SSID, password, country
//! ```
//!
//! Of a radio network it reads three lines from its standard input, which is empty where there is
//! none: nobody finds the password among the arguments of a process. Each line of its standard
//! output is for the owner. It goes on in the background, and speaks for as long as it likes.

use core::mem;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::board::{Network, OpenError, Radio};
use crate::{ByteStream, StreamError};

use super::descriptor::Descriptor;
use super::reactor::Reactor;
use super::words;

/// Starts `program`; gives it, and what it will say.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(
    reactor: &Reactor,
    program: &Path,
    network: Network<'_>,
    radio: Option<Radio<'_>>,
) -> io::Result<(Child, Speech)> {
    let mut command = Command::new(program);
    match network {
        Network::Machine => command.arg("off"),
        Network::Dhcp => command.arg("dhcp"),
        Network::Static {
            address,
            gateway,
            dns,
        } => command.args(["static", address, gateway, dns]),
    };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
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
    Ok((child, speech))
}

/// What a program says, line by line.
pub(super) struct Speech {
    source: Descriptor,
    /// The line that has begun, as far as the owner will see it.
    line: Vec<u8>,
}

impl Speech {
    /// The next line that is whole and not blank, without its control characters.
    ///
    /// # Errors
    /// There will be no more.
    pub(super) fn next(&mut self) -> Result<Option<OpenError>, StreamError> {
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
