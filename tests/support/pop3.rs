//! A POP3 reader as plain as can be: what it gets is what the server sent.

use core::net::SocketAddr;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::Account;
use super::process::PATIENCE;

/// A session in the TRANSACTION state.
#[derive(Debug)]
pub(crate) struct Session(BufReader<TcpStream>);

/// One mail, as a server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// Its unique-id.
    pub(crate) unique_id: String,
    /// Its size, as the scan listing says.
    pub(crate) listed: usize,
    /// Its octets after RETR, byte-stuffing undone.
    pub(crate) octets: Vec<u8>,
}

impl Session {
    /// Connects, and waits for the greeting.
    ///
    /// # Errors
    /// The greeting that was not `+OK`, or what the connection reported.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut session = Self(BufReader::new(stream));
        session.status()?;
        Ok(session)
    }

    /// Connects and logs in.
    ///
    /// # Errors
    /// The reply that was not `+OK`, or what the connection reported.
    pub(crate) fn login(account: &Account) -> Result<Self, String> {
        let mut session = Self::connect(account.address)?;
        session.ask(&format!("USER {}", account.user))?;
        session.ask(&format!("PASS {}", account.password))?;
        Ok(session)
    }

    /// Sends one command; the status line without `+OK` or, as an error, the whole of it.
    pub(crate) fn ask(&mut self, command: &str) -> Result<String, String> {
        self.send(format!("{command}\r\n").as_bytes());
        self.status()
    }

    /// A challenge of `AUTH`, without its `+`.
    pub(crate) fn challenge(&mut self) -> Result<String, String> {
        let line = String::from_utf8_lossy(&self.line()?).into_owned();
        let challenge = line.strip_prefix("+ ").map(|rest| rest.trim().to_owned());
        challenge.ok_or(line)
    }

    /// Sends octets that need not be a command.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        // A server that has hung up shows in the reply that does not come.
        let _ = self.0.get_mut().write_all(octets);
    }

    /// The multi-line part of a reply, byte-stuffing undone.
    pub(crate) fn lines(&mut self) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        loop {
            let line = self.line()?;
            if line == b".\r\n" {
                return Ok(content);
            }
            content.extend(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// Number and second word of each entry of a listing.
    pub(crate) fn listing(&mut self, command: &str) -> Result<Vec<(usize, String)>, String> {
        self.ask(command)?;
        let lines = String::from_utf8(self.lines()?).map_err(|error| error.to_string())?;
        let entry = |line: &str| {
            let (number, word) = line.split_once(' ')?;
            Some((number.parse().ok()?, word.to_owned()))
        };
        lines
            .lines()
            .map(|line| entry(line).ok_or_else(|| format!("not an entry: {line}")))
            .collect()
    }

    /// Fetches all there is, by RETR.
    pub(crate) fn all(&mut self) -> Result<Vec<Mail>, String> {
        let sizes = self.listing("LIST")?;
        let unique_ids = self.listing("UIDL")?;
        let mut mails = Vec::new();
        for ((number, size), (same, unique_id)) in sizes.into_iter().zip(unique_ids) {
            assert_eq!(number, same, "LIST and UIDL agree");
            self.ask(&format!("RETR {number}"))?;
            mails.push(Mail {
                unique_id,
                listed: size.parse().map_err(|_| size)?,
                octets: self.lines()?,
            });
        }
        Ok(mails)
    }

    /// Says good-bye.
    pub(crate) fn quit(mut self) -> Result<(), String> {
        self.ask("QUIT").map(drop)
    }

    fn status(&mut self) -> Result<String, String> {
        let line = String::from_utf8_lossy(&self.line()?).into_owned();
        match line.strip_prefix("+OK") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(line),
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line);
        read.map_err(|error| error.to_string())?;
        if line.ends_with(b"\n") {
            return Ok(line);
        }
        Err(format!("the connection ended after {line:?}"))
    }
}

/// Logs in, fetches all by RETR, says good-bye. Nothing is deleted.
pub(crate) fn fetch(account: &Account) -> Result<Vec<Mail>, String> {
    let mut session = Session::login(account)?;
    let mails = session.all()?;
    session.quit()?;
    Ok(mails)
}
