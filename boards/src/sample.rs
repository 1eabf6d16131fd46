//! The sample LAN mail server of board `host`: a directory of files, by POP3.
//!
//! With it the whole gateway can be tried on a developer's machine, and a mail can be read at the
//! desk: any POP3 client logs in here and deletes it. RFC 1939 without APOP, RFC 2449.
//!
//! ```text
//! DIR/alice/.password     one line: what PASS expects
//! DIR/alice/NAME.eml      a mail; its unique-id is NAME; its place, the time it was written
//! ```
//!
//! A file that is dropped into the directory is new mail. LF files go out with CR LF. It listens
//! on loopback addresses only: the password is no secret.

mod maildrop;
mod mails;

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, thread};

use log::{debug, info, warn};

use maildrop::{Maildrop, top};

/// The user of the sample mails.
pub const USER: &str = "alice";
/// That user's password here.
pub const PASSWORD: &str = "desk";

/// Connections at once: more would be a fault of whoever is trying the gateway out.
const CONNECTIONS: usize = 8;
/// RFC 2449 §4: a command has 255 octets at most.
const COMMAND_OCTETS: u64 = 255;
/// RFC 1939 §3: the autologout timer must be of at least ten minutes.
const AUTOLOGOUT: Duration = Duration::from_secs(600);
/// Wrong passwords in one connection.
const LOGIN_FAILURES: u8 = 3;

/// Serves the maildrops in `dir` to whoever connects, until standard input ends.
///
/// Whoever started this process holds the other end of its standard input; when that one is gone,
/// however it went, this server goes too. A `dir` that does not exist is made, with sample mail.
///
/// # Errors
/// `InvalidInput` if `listener` is not on a loopback address; else what making `dir`, starting the
/// thread or reading standard input reported.
pub fn serve(dir: &Path, listener: TcpListener) -> io::Result<()> {
    serve_until(dir, listener, io::stdin())
}

/// As [`serve`], until `lifeline` ends.
///
/// The thread that accepts connections goes on when this returns: the process should end then.
///
/// # Errors
/// As [`serve`], with `lifeline` for standard input.
pub fn serve_until(dir: &Path, listener: TcpListener, mut lifeline: impl Read) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the sample server listens on loopback addresses only",
        ));
    }
    mails::create_unless_there(dir)?;
    info!("sample LAN server: {} at {address}", dir.display());
    let server = Arc::new(Server {
        dir: dir.to_owned(),
        open: Mutex::new(BTreeSet::new()),
        connections: AtomicUsize::new(0),
    });
    thread::Builder::new()
        .name("sample-lan".into())
        .spawn(move || server.accept(&listener))?;
    io::copy(&mut lifeline, &mut io::sink())?;
    Ok(())
}

/// What all connections share.
struct Server {
    dir: PathBuf,
    /// Users whose maildrop is open.
    open: Mutex<BTreeSet<String>>,
    connections: AtomicUsize,
}

impl Server {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let stream = match stream {
                Ok(stream) => stream,
                Err(error) => {
                    warn!("sample LAN server: {error}");
                    // No descriptor is left: the next try would fail as fast.
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let Some(place) = Place::take(self) else {
                // If the peer does not even take this line, nothing is lost.
                let _ = (&stream).write_all(b"-ERR [SYS/TEMP] too many connections\r\n");
                continue;
            };
            let started = thread::Builder::new().spawn(move || {
                if let Err(error) = converse(&place.0, &stream) {
                    debug!("sample LAN server: connection ended: {error}");
                }
            });
            if let Err(error) = started {
                warn!("sample LAN server: {error}");
            }
        }
    }

    /// The directory of `user`'s maildrop, if there is such a user with that password.
    fn login(&self, user: &str, password: &[u8]) -> Option<PathBuf> {
        // The name becomes part of a path.
        let plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
        if user.is_empty() || user.starts_with('.') || !user.bytes().all(plain) {
            return None;
        }
        let dir = self.dir.join(user);
        let expected = fs::read(dir.join(".password")).ok()?;
        (expected.trim_ascii_end() == password).then_some(dir)
    }
}

/// One of the [`CONNECTIONS`]; dropping it gives it back.
struct Place(Arc<Server>);

impl Place {
    fn take(server: &Arc<Server>) -> Option<Self> {
        let taken = server.connections.fetch_add(1, Ordering::Relaxed);
        let place = Self(Arc::clone(server));
        (taken < CONNECTIONS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The exclusive-access lock on a maildrop (RFC 1939 §4); dropping it releases it.
struct Lock<'a> {
    server: &'a Server,
    user: String,
}

impl<'a> Lock<'a> {
    fn take(server: &'a Server, user: &str) -> Option<Self> {
        let mut open = server.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(user.to_owned()).then(|| Self {
            server,
            user: user.to_owned(),
        })
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        let open = self.server.open.lock();
        open.unwrap_or_else(PoisonError::into_inner)
            .remove(&self.user);
    }
}

/// RFC 1939 §3: the states of a session.
enum State<'a> {
    /// Nobody is logged in; the name that `USER` gave, and the wrong passwords so far.
    Authorization { user: Option<String>, failures: u8 },
    /// The maildrop is open and locked.
    Transaction { maildrop: Maildrop, _lock: Lock<'a> },
    /// Said good-bye.
    Ended,
}

/// One connection, from the greeting to its end.
fn converse(server: &Server, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(AUTOLOGOUT))?;
    stream.set_write_timeout(Some(AUTOLOGOUT))?;
    let mut input = BufReader::new(stream);
    let mut output = BufWriter::new(stream);
    let mut session = Session {
        server,
        state: State::Authorization {
            user: None,
            failures: 0,
        },
    };
    output.write_all(b"+OK ringmail sample LAN server\r\n")?;
    while !matches!(session.state, State::Ended) {
        // Replies to commands that came together go out together (RFC 2449 §6.6).
        if input.buffer().is_empty() {
            output.flush()?;
        }
        let mut line = Vec::new();
        (&mut input)
            .take(COMMAND_OCTETS)
            .read_until(b'\n', &mut line)?;
        let Some(command) = line.strip_suffix(b"\n") else {
            // The connection ended, or the line is too long to be a command.
            break;
        };
        let command = command.strip_suffix(b"\r").unwrap_or(command);
        match session.answer(command) {
            Ok(reply) => output.write_all(&reply)?,
            Err(refused) => write!(output, "-ERR {refused}\r\n")?,
        }
    }
    output.flush()
}

struct Session<'a> {
    server: &'a Server,
    state: State<'a>,
}

/// The text of an `-ERR`.
type Refused = &'static str;

impl Session<'_> {
    /// The whole reply to one command.
    fn answer(&mut self, line: &[u8]) -> Result<Vec<u8>, Refused> {
        let (keyword, rest) = match line.iter().position(|&octet| octet == b' ') {
            Some(at) => (line.get(..at), line.get(at + 1..)),
            None => (Some(line), None),
        };
        let keyword = keyword.unwrap_or_default().to_ascii_uppercase();
        match (&*keyword, rest) {
            (b"CAPA", None) => return Ok(CAPABILITIES.to_vec()),
            (b"QUIT", None) => return self.quit(),
            _ => {}
        }
        match &mut self.state {
            State::Authorization { .. } => self.authorize(&keyword, rest),
            State::Transaction { maildrop, .. } => {
                let rest = rest.map(str::from_utf8).transpose();
                transact(maildrop, &keyword, rest.map_err(|_| NOT_A_NUMBER)?)
            }
            State::Ended => Err("good-bye was said"),
        }
    }

    fn authorize(&mut self, keyword: &[u8], argument: Option<&[u8]>) -> Result<Vec<u8>, Refused> {
        let State::Authorization { user, failures } = &mut self.state else {
            return Err("already logged in");
        };
        match (keyword, argument, user.take()) {
            (b"USER", Some(name), _) => {
                *user = Some(String::from_utf8_lossy(name).into_owned());
                Ok(b"+OK and the password?\r\n".to_vec())
            }
            // A password may have blanks in it: the whole rest of the line is one (RFC 1939 §7).
            (b"PASS", Some(password), Some(name)) => {
                let Some(dir) = self.server.login(&name, password) else {
                    *failures += 1;
                    if *failures >= LOGIN_FAILURES {
                        self.state = State::Ended;
                    }
                    return Err("[AUTH] no such user, or wrong password");
                };
                let lock = Lock::take(self.server, &name).ok_or("[IN-USE] maildrop is open")?;
                let maildrop =
                    Maildrop::open(&dir).map_err(|_| "[SYS/TEMP] maildrop cannot be read")?;
                let reply = format!("+OK {} mails\r\n", maildrop.mails().count());
                self.state = State::Transaction {
                    maildrop,
                    _lock: lock,
                };
                Ok(reply.into_bytes())
            }
            (b"PASS", Some(_), None) => Err("USER comes first"),
            _ => Err("log in first, with USER and PASS"),
        }
    }

    /// RFC 1939 §6: what is marked as deleted goes now, and never without QUIT.
    fn quit(&mut self) -> Result<Vec<u8>, Refused> {
        let left = core::mem::replace(&mut self.state, State::Ended);
        if let State::Transaction { maildrop, .. } = left {
            maildrop.commit().map_err(|error| {
                warn!("sample LAN server: {error}");
                "some deleted messages not removed"
            })?;
        }
        Ok(b"+OK good-bye\r\n".to_vec())
    }
}

/// A command of the TRANSACTION state (RFC 1939 §5 and §7).
fn transact(
    maildrop: &mut Maildrop,
    keyword: &[u8],
    arguments: Option<&str>,
) -> Result<Vec<u8>, Refused> {
    match (keyword, arguments) {
        (b"STAT", None) => {
            let count = maildrop.mails().count();
            Ok(format!("+OK {count} {}\r\n", maildrop.octets()).into_bytes())
        }
        (b"LIST", None) => Ok(listing(
            maildrop
                .mails()
                .map(|(number, mail)| format!("{number} {}", mail.octets)),
        )),
        (b"LIST", Some(number)) => {
            let (number, mail) = maildrop.mail(number)?;
            Ok(format!("+OK {number} {}\r\n", mail.octets).into_bytes())
        }
        (b"UIDL", None) => {
            Ok(listing(maildrop.mails().map(|(number, mail)| {
                format!("{number} {}", mail.unique_id)
            })))
        }
        (b"UIDL", Some(number)) => {
            let (number, mail) = maildrop.mail(number)?;
            Ok(format!("+OK {number} {}\r\n", mail.unique_id).into_bytes())
        }
        (b"RETR", Some(number)) => {
            let content = maildrop.mail(number)?.1.content()?;
            Ok(message(&content))
        }
        (b"TOP", Some(arguments)) => {
            let (number, lines) = arguments.split_once(' ').ok_or("TOP wants two numbers")?;
            let content = maildrop.mail(number)?.1.content()?;
            let lines = lines.parse().map_err(|_| NOT_A_NUMBER)?;
            Ok(message(top(&content, lines)))
        }
        (b"DELE", Some(number)) => {
            let number = maildrop.delete(number)?;
            Ok(format!("+OK message {number} deleted\r\n").into_bytes())
        }
        (b"RSET", None) => {
            maildrop.reset();
            Ok(b"+OK nothing is deleted\r\n".to_vec())
        }
        (b"NOOP", None) => Ok(b"+OK\r\n".to_vec()),
        _ => Err("no such command here"),
    }
}

fn listing(lines: impl Iterator<Item = String>) -> Vec<u8> {
    let mut reply = b"+OK\r\n".to_vec();
    for line in lines {
        reply.extend(line.as_bytes());
        reply.extend(b"\r\n");
    }
    reply.extend(b".\r\n");
    reply
}

/// `content`, whole lines, as a multi-line reply: byte-stuffed and ended by a dot (RFC 1939 §3).
fn message(content: &[u8]) -> Vec<u8> {
    let mut reply = format!("+OK {} octets\r\n", content.len()).into_bytes();
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            reply.push(b'.');
        }
        reply.extend(line);
    }
    reply.extend(b".\r\n");
    reply
}

const NOT_A_NUMBER: Refused = "that is not a number";

const CAPABILITIES: &[u8] =
    b"+OK\r\nUSER\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\n.\r\n";

#[cfg(test)]
mod tests;
