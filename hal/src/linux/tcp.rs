//! Connections to the LAN that never wait.
//!
//! ```text
//!   LookingUp --> Connecting --> Open
//!       |           |  ^ |        next address, if this one fails
//!       +--> Failed <  +-+
//! ```

use core::cell::RefCell;
use core::mem;
use core::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::vec::IntoIter;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, setsockopt, socket,
    sockopt,
};

use super::authorities::Authorities;
use super::clock;
use super::descriptor::Descriptor;
use super::names::{self, LookUp, Names};
use super::reactor::Reactor;
use super::tls::Secured;
use crate::lan::{ConnectError, is_near};
use crate::{ByteStream, Connection, Lan, LanStream, StreamError, TlsError, Trust};

/// The LAN, over the system's sockets and resolver.
pub struct LinuxLan {
    reactor: Reactor,
    names: Names,
    authorities: Rc<RefCell<Authorities>>,
}

impl LinuxLan {
    /// The LAN, as far as this machine is connected to one.
    #[must_use]
    pub fn new(reactor: &Reactor) -> Self {
        Self::resolving(reactor, names::system)
    }

    fn resolving(reactor: &Reactor, resolve: names::Resolve) -> Self {
        let authorities = Authorities::new(reactor.waker(), clock::floor());
        Self {
            reactor: reactor.clone(),
            names: Names::new(reactor.waker(), resolve),
            authorities: Rc::new(RefCell::new(authorities)),
        }
    }

    /// Certificates are judged as of no moment before `unix`, seconds since 1970-01-01 00:00 UTC,
    /// whatever the wall clock shows.
    pub fn keep_clock_above(&self, unix: u64) {
        self.authorities.borrow().keep_clock_above(unix);
    }

    /// As [`connect`](Lan::connect), for what never speaks TLS.
    pub(super) fn connect_plain(&mut self, host: &str, port: u16) -> Tcp {
        let mut tcp = Tcp {
            reactor: self.reactor.clone(),
            state: State::LookingUp(self.names.look_up(host, port)),
        };
        // An address in digits goes out now, not at the next wake-up.
        tcp.connection();
        tcp
    }
}

impl Lan for LinuxLan {
    type Stream = Secured<Tcp>;

    fn connect(&mut self, host: &str, port: u16) -> Secured<Tcp> {
        let tcp = self.connect_plain(host, port);
        Secured::new(tcp, host, Rc::clone(&self.authorities))
    }
}

/// A TCP connection.
pub struct Tcp {
    reactor: Reactor,
    state: State,
}

enum State {
    LookingUp(LookUp),
    Connecting(Attempt),
    Open(Open),
    Failed(ConnectError),
}

struct Open {
    stream: Descriptor,
    near: bool,
}

/// One address under way, and those to try if it fails.
struct Attempt {
    stream: Descriptor,
    near: bool,
    others: IntoIter<SocketAddr>,
}

impl Tcp {
    /// The stream by itself, once it is open.
    pub(super) fn into_open(self) -> Option<Descriptor> {
        match self.state {
            State::Open(open) => Some(open.stream),
            State::LookingUp(_) | State::Connecting(_) | State::Failed(_) => None,
        }
    }

    /// Goes on with what is under way, as far as it goes now.
    fn go_on(&mut self) {
        // Each turn ends the look-up or takes one of at most eight addresses.
        loop {
            let state = mem::replace(&mut self.state, State::Failed(ConnectError::LookupFailed));
            let (state, goes_on) = state.next(&self.reactor);
            self.state = state;
            if !goes_on {
                return;
            }
        }
    }
}

impl State {
    /// What follows now, and whether that may go on at once.
    fn next(self, reactor: &Reactor) -> (Self, bool) {
        match self {
            Self::LookingUp(look_up) => match look_up.answer() {
                None => (Self::LookingUp(look_up), false),
                Some(Ok(addresses)) => (try_next(reactor, addresses.into_iter()), true),
                Some(Err(error)) => (Self::Failed(error), false),
            },
            Self::Connecting(attempt) => match attempt.outcome() {
                None => (Self::Connecting(attempt), false),
                Some(Ok(())) => {
                    let Attempt { stream, near, .. } = attempt;
                    (Self::Open(Open { stream, near }), false)
                }
                Some(Err(errno)) if attempt.others.as_slice().is_empty() => {
                    (Self::Failed(connect_error(errno)), false)
                }
                Some(Err(_)) => (try_next(reactor, attempt.others), true),
            },
            Self::Open(_) | Self::Failed(_) => (self, false),
        }
    }
}

impl LanStream for Tcp {
    fn connection(&mut self) -> Connection {
        self.go_on();
        match &self.state {
            State::LookingUp(_) | State::Connecting(_) => Connection::Pending,
            State::Open(_) => Connection::Open,
            State::Failed(error) => Connection::Failed(*error),
        }
    }

    /// TLS lies above: see [`Secured`]. A connection without it must not seem to have it.
    fn start_tls(&mut self, _trust: Trust<'_>) {
        self.state = State::Failed(ConnectError::Tls(TlsError::Misbehaved));
    }

    fn is_near(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.near)
    }
}

impl ByteStream for Tcp {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        self.go_on();
        match &mut self.state {
            State::LookingUp(_) | State::Connecting(_) => Ok(0),
            State::Open(open) => open.stream.read(buf),
            State::Failed(_) => Err(StreamError::Closed),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        self.go_on();
        match &mut self.state {
            State::LookingUp(_) | State::Connecting(_) => Ok(0),
            State::Open(open) => open.stream.write(octets),
            State::Failed(_) => Err(StreamError::Closed),
        }
    }
}

/// Starts with the first of `addresses` that lets itself be started.
fn try_next(reactor: &Reactor, mut addresses: IntoIter<SocketAddr>) -> State {
    let mut error = ConnectError::NoSuchHost;
    while let Some(address) = addresses.next() {
        match start(reactor, address, !addresses.as_slice().is_empty()) {
            Ok(stream) => {
                return State::Connecting(Attempt {
                    stream,
                    near: is_near(address.ip()),
                    others: addresses,
                });
            }
            Err(errno) => error = connect_error(errno),
        }
    }
    State::Failed(error)
}

fn start(reactor: &Reactor, address: SocketAddr, others_wait: bool) -> Result<Descriptor, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, None)?;
    // Commands are short and wait for their answers.
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    // A server that vanished without a word is noticed some time.
    setsockopt(&fd, sockopt::KeepAlive, &true)?;
    if others_wait {
        setsockopt(&fd, sockopt::TcpUserTimeout, &PATIENCE_MILLIS)?;
    }
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Descriptor::new(reactor, fd)
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0))),
        Err(errno) => Err(errno),
    }
}

impl Attempt {
    /// How the connecting ended; `None` while it is under way.
    fn outcome(&self) -> Option<Result<(), Errno>> {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut fds, PollTimeout::ZERO) == Ok(0) {
            self.stream.want_write();
            return None;
        }
        Some(match getsockopt(&self.stream, sockopt::SocketError) {
            // What bounded the connecting must not bound the answers of a slow server.
            Ok(0) => setsockopt(&self.stream, sockopt::TcpUserTimeout, &0),
            Ok(errno) => Err(Errno::from_raw(errno)),
            Err(errno) => Err(errno),
        })
    }
}

fn connect_error(errno: Errno) -> ConnectError {
    match errno {
        Errno::ECONNREFUSED => ConnectError::Refused,
        Errno::ENETUNREACH
        | Errno::EHOSTUNREACH
        | Errno::ENETDOWN
        | Errno::EHOSTDOWN
        | Errno::ETIMEDOUT => ConnectError::Unreachable,
        other => ConnectError::Failed(other as i32),
    }
}

/// How long an address may be silent while others wait for their turn, ms: often the IPv6 one.
const PATIENCE_MILLIS: u32 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;

    fn settled(reactor: &Reactor, tcp: &mut Secured<Tcp>) -> Connection {
        while tcp.connection() == Connection::Pending {
            reactor.wait(None);
        }
        tcp.connection()
    }

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    /// A port of this machine at which nobody listens.
    fn deserted_port() -> u16 {
        listener().1
    }

    #[test]
    fn octets_pass_both_ways_and_the_end_comes_last() {
        let reactor = Reactor::new().unwrap();
        let mut lan = LinuxLan::new(&reactor);
        let (listener, port) = listener();
        let mut tcp = lan.connect("127.0.0.1", port);
        assert_eq!(settled(&reactor, &mut tcp), Connection::Open);
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(tcp.write(b"QUIT"), Ok(4));
        let mut four = [0; 4];
        peer.read_exact(&mut four).unwrap();
        assert_eq!(&four, b"QUIT");
        peer.write_all(b"+OK").unwrap();
        drop(peer);
        let mut got = Vec::new();
        let end = loop {
            match tcp.read(&mut four) {
                Ok(0) => drop(reactor.wait(None)),
                Ok(count) => got.extend_from_slice(&four[..count]),
                Err(end) => break end,
            }
        };
        assert_eq!((got.as_slice(), end), (&b"+OK"[..], StreamError::Closed));
    }

    #[test]
    fn a_deserted_port_refuses() {
        let reactor = Reactor::new().unwrap();
        let mut tcp = LinuxLan::new(&reactor).connect("127.0.0.1", deserted_port());
        let refused = Connection::Failed(ConnectError::Refused);
        assert_eq!(settled(&reactor, &mut tcp), refused);
        assert_eq!(tcp.read(&mut [0]), Err(StreamError::Closed));
        assert_eq!(tcp.write(b"x"), Err(StreamError::Closed));
    }

    #[test]
    fn addresses_are_tried_in_turn() {
        let reactor = Reactor::new().unwrap();
        let mut lan = LinuxLan::resolving(&reactor, |_, port| {
            // Nobody listens at any but the last.
            let hosts = [[127, 0, 0, 9], [127, 0, 0, 8], [127, 0, 0, 1]];
            Ok(hosts.map(|host| SocketAddr::from((host, port))).to_vec())
        });
        let (listener, port) = listener();
        let mut tcp = lan.connect("mail", port);
        assert_eq!(settled(&reactor, &mut tcp), Connection::Open);
        drop(listener.accept().unwrap());
        let mut tcp = lan.connect("mail", deserted_port());
        let refused = Connection::Failed(ConnectError::Refused);
        assert_eq!(settled(&reactor, &mut tcp), refused);
    }

    #[test]
    fn a_name_without_address_fails() {
        let reactor = Reactor::new().unwrap();
        for error in [ConnectError::NoSuchHost, ConnectError::LookupFailed] {
            let mut lan = match error {
                ConnectError::NoSuchHost => {
                    LinuxLan::resolving(&reactor, |_, _| Err(ConnectError::NoSuchHost))
                }
                _ => LinuxLan::resolving(&reactor, |_, _| Err(ConnectError::LookupFailed)),
            };
            let mut tcp = lan.connect("mail", 110);
            assert_eq!(settled(&reactor, &mut tcp), Connection::Failed(error));
        }
    }

    #[test]
    fn a_black_hole_stays_pending_and_holds_nobody() {
        let reactor = Reactor::new().unwrap();
        let mut lan = LinuxLan::new(&reactor);
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        let loopback = SockaddrStorage::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        nix::sys::socket::bind(fd.as_raw_fd(), &loopback).unwrap();
        // A backlog of none: once one caller waits, the system lets the others knock in vain.
        nix::sys::socket::listen(&fd, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let listener = TcpListener::from(fd);
        let port = listener.local_addr().unwrap().port();
        let _waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut silent = lan.connect("127.0.0.1", port);
        for _ in 0..10 {
            assert_eq!(silent.connection(), Connection::Pending);
            assert_eq!(silent.read(&mut [0]), Ok(0));
            assert_eq!(silent.write(b"x"), Ok(0));
            assert_eq!(reactor.wait(Some(core::time::Duration::from_micros(10))), 0);
        }
        // Meanwhile others come through.
        let (other, port) = self::listener();
        let mut tcp = lan.connect("127.0.0.1", port);
        assert_eq!(settled(&reactor, &mut tcp), Connection::Open);
        drop(other);
        assert_eq!(silent.connection(), Connection::Pending);
    }

    #[test]
    fn a_stream_dropped_while_its_name_is_looked_up_leaves_nothing() {
        // An address of its own: other tests knock at deserted ports of 127.0.0.1.
        const HOST: [u8; 4] = [127, 0, 0, 77];
        let reactor = Reactor::new().unwrap();
        let (asked, asks) = channel();
        static ASKED: std::sync::Mutex<Option<std::sync::mpsc::Sender<()>>> =
            std::sync::Mutex::new(None);
        *ASKED.lock().unwrap() = Some(asked);
        let mut lan = LinuxLan::resolving(&reactor, |_, port| {
            ASKED.lock().unwrap().as_ref().unwrap().send(()).unwrap();
            Ok(vec![SocketAddr::from((HOST, port))])
        });
        let listener = TcpListener::bind(SocketAddr::from((HOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        drop(lan.connect("mail", port));
        // The second look-up ends after the first, by the same helper.
        let mut second = lan.connect("mail", port);
        assert_eq!(settled(&reactor, &mut second), Connection::Open);
        asks.recv().unwrap();
        assert!(listener.accept().is_ok());
        assert!(listener.accept().is_err(), "the dropped one connected");
    }
}
