//! A mail server of the LAN in a thread: it keeps mails in memory and counts what is asked of it.
//!
//! RFC 1939 and RFC 2449, as far as the gateway speaks them. Whoever logs in is let in; a mail
//! stays until the test removes it.

use core::net::{Ipv4Addr, SocketAddr};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// A running server. It listens as long as the test lasts.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    address: SocketAddr,
    maildrop: Arc<Mutex<Maildrop>>,
}

/// What it holds, and what was asked.
#[derive(Debug, Default)]
pub(crate) struct Maildrop {
    /// Unique-ids and mails, in the order of their message-numbers.
    pub(crate) mails: Vec<(String, Vec<u8>)>,
    /// How often the whole of a mail was asked for, by unique-id.
    pub(crate) copies: BTreeMap<String, usize>,
    /// `DELE`s. The gateway never says one.
    pub(crate) deletions: usize,
}

impl Post {
    /// Starts one without mail.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let post = Self {
            address: listener.local_addr().unwrap(),
            maildrop: Arc::default(),
        };
        let server = post.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // A visitor that is killed ends the conversation: nobody needs to know.
                thread::spawn(move || server.converse(&stream));
            }
        });
        post
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it holds now.
    pub(crate) fn maildrop(&self) -> MutexGuard<'_, Maildrop> {
        self.maildrop.lock().unwrap()
    }

    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream);
        let mut output = stream;
        output.write_all(b"+OK post\r\n")?;
        // The mails as they were at login: numbers do not change in a session.
        let mut mails = Vec::new();
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            if let ["PASS", _] = words[..] {
                mails = self.maildrop().mails.clone();
            }
            output.write_all(&self.answer(&mails, &words))?;
            if words == ["QUIT"] {
                return Ok(());
            }
        }
    }

    fn answer(&self, mails: &[(String, Vec<u8>)], words: &[&str]) -> Vec<u8> {
        let numbered = || (1..).zip(mails);
        let mail = |number: &str| {
            let number: usize = number.parse().ok()?;
            mails.get(number.checked_sub(1)?)
        };
        let count = |id: &str| *self.maildrop().copies.entry(id.to_owned()).or_default() += 1;
        let octets: usize = mails.iter().map(|(_, mail)| mail.len()).sum();
        let body = match *words {
            ["USER" | "PASS", _] | ["NOOP" | "RSET" | "QUIT"] => return b"+OK\r\n".to_vec(),
            ["STAT"] => return format!("+OK {} {octets}\r\n", mails.len()).into_bytes(),
            ["CAPA"] => "USER\r\nTOP\r\nUIDL\r\nPIPELINING\r\nEXPIRE NEVER\r\n".into(),
            ["UIDL"] => numbered()
                .map(|(number, (id, _))| format!("{number} {id}\r\n"))
                .collect::<String>()
                .into_bytes(),
            ["LIST"] => numbered()
                .map(|(number, (_, mail))| format!("{number} {}\r\n", mail.len()))
                .collect::<String>()
                .into_bytes(),
            ["LIST", number] => {
                let Some((_, mail)) = mail(number) else {
                    return b"-ERR\r\n".to_vec();
                };
                return format!("+OK {number} {}\r\n", mail.len()).into_bytes();
            }
            ["RETR", number] => {
                let Some((id, mail)) = mail(number) else {
                    return b"-ERR\r\n".to_vec();
                };
                count(id);
                stuffed(mail)
            }
            ["TOP", number, lines] => {
                let Some((id, mail)) = mail(number) else {
                    return b"-ERR\r\n".to_vec();
                };
                if lines == "0" {
                    let header = mail.windows(4).position(|octets| octets == b"\r\n\r\n");
                    return reply(&mail[..header.unwrap() + 4]);
                }
                count(id);
                stuffed(mail)
            }
            ["DELE", _] => {
                self.maildrop().deletions += 1;
                return b"+OK\r\n".to_vec();
            }
            _ => return b"-ERR not here\r\n".to_vec(),
        };
        reply(&body)
    }
}

/// A multi-line reply of `body`.
fn reply(body: &[u8]) -> Vec<u8> {
    [b"+OK\r\n", body, b".\r\n"].concat()
}

/// `mail`, byte-stuffed (RFC 1939 §3).
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(mail.len() + 64);
    for line in mail.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            sent.push(b'.');
        }
        sent.extend(line);
    }
    sent
}
