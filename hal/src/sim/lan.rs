//! The LAN of a world: connections to one mail server, with latency, speed, and faults.
//!
//! ```text
//! SimStream -- latency --> Post (the mail server)
//!           <- latency, at so many octets a second, perhaps cut -
//! ```

use core::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;
use std::vec::Vec;

use super::post::{Fault, Post, Session};
use super::world::Clock;
use crate::lan::{ConnectError, Connection, Lan, LanStream};
use crate::stream::{ByteStream, StreamError};
use crate::time::{Duration, Instant};
use crate::tls::{TlsError, Trust};

/// What a connection carries at one moment: two of Ethernet's frames.
const PIECE_OCTETS: usize = 3000;
/// What waits unread before the server is held up.
const WINDOW_OCTETS: usize = 64 * 1024;

/// The LAN: every name leads to the one mail server.
#[derive(Clone, Debug)]
pub struct SimLan {
    post: Rc<RefCell<Post>>,
    wires: Rc<RefCell<Vec<Rc<RefCell<Wire>>>>>,
    clock: Clock,
}

/// A connection.
#[derive(Debug)]
pub struct SimStream {
    wire: Rc<RefCell<Wire>>,
    post: Rc<RefCell<Post>>,
    clock: Clock,
}

/// What both ends of a connection share.
#[derive(Debug)]
struct Wire {
    fault: Fault,
    opens: Instant,
    latency: Duration,
    /// Octets a second.
    rate: u64,
    session: Session,
    /// Octets on their way to the server, each piece with its arrival.
    up: VecDeque<(Instant, Vec<u8>)>,
    /// What the server has said and the wire has not taken yet.
    said: VecDeque<u8>,
    down: VecDeque<(Instant, Vec<u8>)>,
    /// When the wire has carried all that it was given.
    free_at: Instant,
    carried: u64,
    /// The server has closed: no more comes after what is on its way.
    ended: bool,
    /// The gateway has let go.
    dropped: bool,
    starved: bool,
    /// The gateway has begun what this server does not know.
    tls_asked: bool,
    told: Connection,
}

impl SimLan {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            post: Rc::default(),
            wires: Rc::default(),
            clock,
        }
    }

    /// The mail server.
    #[must_use]
    pub fn post(&self) -> RefMut<'_, Post> {
        self.post.borrow_mut()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let wires = self.wires.borrow();
        wires
            .iter()
            .filter_map(|wire| wire.borrow().deadline())
            .min()
    }

    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.now();
        let wires = self.wires.borrow();
        wires.iter().any(|wire| wire.borrow().is_due(now))
    }

    pub(super) fn pump(&self) {
        let now = self.clock.now();
        let mut post = self.post.borrow_mut();
        self.wires.borrow_mut().retain(|wire| {
            let mut wire = wire.borrow_mut();
            wire.pump(now, &mut post);
            !wire.dropped
        });
    }
}

impl Lan for SimLan {
    type Stream = SimStream;

    fn connect(&mut self, _host: &str, _port: u16) -> SimStream {
        let now = self.clock.now();
        let mut post = self.post.borrow_mut();
        post.count_connection();
        let latency = post.latency;
        let wire = Rc::new(RefCell::new(Wire {
            fault: post.fault,
            opens: now + latency * 2,
            latency,
            rate: post.rate.max(1),
            session: Session::new(),
            up: VecDeque::new(),
            said: VecDeque::new(),
            down: VecDeque::new(),
            free_at: now,
            carried: 0,
            ended: false,
            dropped: false,
            starved: false,
            tls_asked: false,
            told: Connection::Pending,
        }));
        self.wires.borrow_mut().push(Rc::clone(&wire));
        SimStream {
            wire,
            post: Rc::clone(&self.post),
            clock: self.clock.clone(),
        }
    }
}

impl LanStream for SimStream {
    fn connection(&mut self) -> Connection {
        let mut wire = self.wire.borrow_mut();
        wire.told = wire.connection(self.clock.now());
        wire.told
    }

    /// The mail server of a world knows no TLS.
    fn start_tls(&mut self, _trust: Trust<'_>) {
        self.wire.borrow_mut().tls_asked = true;
    }

    fn is_near(&self) -> bool {
        true
    }
}

impl ByteStream for SimStream {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let now = self.clock.now();
        let mut wire = self.wire.borrow_mut();
        if wire.connection(now) != Connection::Open {
            return Ok(0);
        }
        wire.pump(now, &mut self.post.borrow_mut());
        let mut count = 0;
        while let Some((due, piece)) = wire.down.front_mut() {
            if *due > now || count == buf.len() {
                break;
            }
            let taken = piece.len().min(buf.len() - count);
            for (slot, octet) in buf.iter_mut().skip(count).zip(piece.drain(..taken)) {
                *slot = octet;
            }
            count += taken;
            if piece.is_empty() {
                wire.down.pop_front();
            }
        }
        if count == 0 && wire.is_over(now) {
            return Err(StreamError::Closed);
        }
        wire.starved = count < buf.len();
        Ok(count)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let now = self.clock.now();
        let mut wire = self.wire.borrow_mut();
        if wire.connection(now) != Connection::Open {
            return Ok(0);
        }
        if wire.ended {
            return Err(StreamError::Closed);
        }
        let due = now + wire.latency;
        wire.up.push_back((due, octets.to_vec()));
        Ok(octets.len())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut wire = self.wire.borrow_mut();
        wire.dropped = true;
        // As a server sees it: without QUIT nothing that was marked is removed.
        if let Ok(mut post) = self.post.try_borrow_mut() {
            wire.session.drop_line(&mut post);
        }
    }
}

impl Wire {
    fn connection(&self, now: Instant) -> Connection {
        match self.fault {
            Fault::BlackHole => Connection::Pending,
            Fault::NoName if now >= self.opens => Connection::Failed(ConnectError::LookupFailed),
            Fault::Refused if now >= self.opens => Connection::Failed(ConnectError::Refused),
            _ if now >= self.opens && self.tls_asked => {
                Connection::Failed(ConnectError::Tls(TlsError::NotTls))
            }
            _ if now >= self.opens => Connection::Open,
            _ => Connection::Pending,
        }
    }

    fn pump(&mut self, now: Instant, post: &mut Post) {
        if self.dropped || self.connection(now) != Connection::Open || self.fault == Fault::Mute {
            return;
        }
        if !self.ended {
            self.session.greet(post, &mut self.said);
        }
        while !self.ended && self.up.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, octets)) = self.up.pop_front() else {
                break;
            };
            self.session.take(&octets, post, &mut self.said);
            self.ended |= self.session.is_over();
        }
        while self.unread() < WINDOW_OCTETS {
            if !self.ended {
                self.session.go_on(&mut self.said);
            }
            if self.said.is_empty() {
                break;
            }
            let mut count = self.said.len().min(PIECE_OCTETS);
            if let Fault::CutAfter(octets) = self.fault {
                let left = octets.saturating_sub(self.carried);
                count = count.min(usize::try_from(left).unwrap_or(usize::MAX));
                if count == 0 {
                    self.ended = true;
                    self.said.clear();
                    self.session.drop_line(post);
                    break;
                }
            }
            let piece: Vec<u8> = self.said.drain(..count).collect();
            let micros = (count as u64).saturating_mul(1_000_000) / self.rate;
            self.free_at = self.free_at.max(now) + Duration::from_micros(micros);
            self.carried += count as u64;
            post.count_octets(count as u64);
            self.down.push_back((self.free_at + self.latency, piece));
        }
    }

    fn unread(&self) -> usize {
        self.down.iter().map(|(_, piece)| piece.len()).sum()
    }

    fn is_over(&self, now: Instant) -> bool {
        let silent = self.said.is_empty() && self.down.is_empty();
        self.ended && silent && self.free_at + self.latency <= now
    }

    fn is_due(&self, now: Instant) -> bool {
        if self.dropped {
            return false;
        }
        let comes = self.down.front().is_some_and(|(due, _)| *due <= now) || self.is_over(now);
        self.connection(now) != self.told || (self.starved && comes)
    }

    fn deadline(&self) -> Option<Instant> {
        if self.dropped || self.fault == Fault::BlackHole {
            return None;
        }
        let opens = (self.told == Connection::Pending).then_some(self.opens);
        let up = self.up.front().map(|(due, _)| *due);
        let down = self.down.front().map(|(due, _)| *due);
        let end = self.ended.then_some(self.free_at + self.latency);
        opens.into_iter().chain(up).chain(down).chain(end).min()
    }
}
