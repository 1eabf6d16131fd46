//! A virtual modem at a TCP port: who connects there, calls.
//!
//! ```text
//!                     +-------------+  [Dce]  +------+
//!   take_from_dte --> |             | <-----> | Call |    <--> the caller's socket
//!   give_to_dte   <-- | Switchboard |         +------+
//!                     |             | ------> | Parting | <--> one that is told BUSY, or goodbye
//!                     +-------------+         +---------+
//!                            ^ listener
//! ```
//!
//! It rings at once and every six seconds until the modem answers or the caller hangs up. While
//! there is a call, others are told `BUSY`; but a caller who calls again while the system is not
//! yet sure that the last call is over comes through. Octets pass as they are: a telnet client's
//! negotiations too.

use core::net::SocketAddr;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use super::call::{Call, Parting};
use super::reactor::{Reactor, Registration};
use super::tcp::{LinuxLan, Tcp};
use crate::dce::{Dce, DceOptions, Dialled, Event, Number};
use crate::lan::ConnectError;
use crate::{Circuit, Connection, Duration, Instant, LanStream};

/// How long the called number may take to answer.
const DIALLING: Duration = Duration::from_secs(60);
/// How long nobody is let in when the system has no descriptor left.
const OVERLOADED: Duration = Duration::from_secs(1);
/// Connections that are being ended. Beyond them, callers are cut off without a word.
const PARTINGS: usize = 8;
/// Callers let in, one after the other, before the modem has its turn again.
const ARRIVALS: usize = 16;

/// The modem, its telephone number, and its call.
pub(super) struct Switchboard {
    reactor: Reactor,
    // Left before the listener is closed.
    listening: Registration,
    listener: Rc<TcpListener>,
    overloaded_until: Option<Instant>,
    options: DceOptions,
    dce: Dce,
    call: Option<Call>,
    partings: Vec<Parting>,
    /// The way out; only a modem that may dial has one.
    lan: Option<LinuxLan>,
    dialling: Option<Dialling>,
}

struct Dialling {
    stream: Tcp,
    until: Instant,
}

impl Switchboard {
    /// A modem whose telephone number is `address`.
    ///
    /// # Errors
    /// Why nobody can be called there, in words.
    pub(super) fn open(
        reactor: &Reactor,
        address: &str,
        options: DceOptions,
    ) -> Result<Self, String> {
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Rc::new(listener))
        };
        let listener = listen().map_err(|error| format!("{address}: {}", words(&error)))?;
        let listening = reactor.register(&listener);
        listening.want_read(true);
        Ok(Self {
            reactor: reactor.clone(),
            listening,
            listener,
            overloaded_until: None,
            dce: Dce::new(options.clone()),
            call: None,
            // No call takes from the heap, not even one that is slow to end.
            partings: Vec::with_capacity(PARTINGS),
            lan: options.dial.then(|| LinuxLan::new(reactor)),
            dialling: None,
            options,
        })
    }

    /// Takes octets from the DTE; returns how many.
    pub(super) fn take_from_dte(&mut self, now: Instant, octets: &[u8]) -> usize {
        let mut taken = 0;
        loop {
            let rest = octets.get(taken..).unwrap_or_default();
            let count = self.dce.from_dte(now, rest);
            taken += count;
            let call = self.call.as_mut().filter(|_| count > 0);
            if call.is_some_and(|call| call.gather(now, &mut self.dce)) {
                continue;
            }
            self.send(now);
            if count == 0 {
                return taken;
            }
        }
    }

    /// Moves octets for the DTE into `buf`; returns how many.
    pub(super) fn give_to_dte(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        let mut moved = 0;
        loop {
            let rest = buf.get_mut(moved..).unwrap_or_default();
            let count = self.dce.to_dte(now, rest);
            moved += count;
            if count == 0 {
                return moved;
            }
            if let Some(call) = &mut self.call {
                call.was_read(now, &self.dce);
                call.receive(now, &mut self.dce);
            }
        }
    }

    /// Does all that can be done now, but for the DTE's own octets.
    pub(super) fn turn(&mut self, now: Instant) {
        self.let_in(now);
        self.go_on_dialling(now);
        self.happen(now);
        if let Some(call) = &mut self.call {
            call.receive(now, &mut self.dce);
        }
        self.send(now);
        let due = self.call.as_ref().and_then(|c| c.hang_up_due(&self.dce));
        if due.is_some_and(|due| due <= now) {
            self.far_end_hangs_up(now);
        }
        self.partings.retain_mut(|parting| parting.step(now));
    }

    /// Sets circuit 108/2.
    pub(super) fn set_dtr(&mut self, now: Instant, on: bool) {
        self.dce.set_dtr(now, on);
        self.send(now);
    }

    /// Throws away what has not been handed to the system yet.
    pub(super) fn discard_output(&mut self, now: Instant) {
        if let Some(call) = &mut self.call {
            call.discard_output();
        }
        self.dce.discard_output(now);
        self.send(now);
    }

    /// Switches the modem off and on.
    pub(super) fn restart(&mut self, now: Instant) {
        self.set_dtr(now, false);
        self.hang_up(now);
        self.dce = Dce::new(self.options.clone());
    }

    /// Circuit 109.
    pub(super) fn dcd(&self) -> Circuit {
        self.dce.dcd()
    }

    /// How many octets from the DTE have not arrived at the far end's machine.
    pub(super) fn unsent(&mut self) -> usize {
        self.dce.unsent() + self.call.as_mut().map_or(0, Call::unsent)
    }

    /// How many octets the DTE has not read yet, those on their way included.
    pub(super) fn unread(&self) -> usize {
        self.dce.unread()
    }

    /// When to [`turn`](Self::turn) though nothing came.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let call = self.call.as_ref().and_then(|c| c.hang_up_due(&self.dce));
        let partings = self.partings.iter().map(Parting::deadline);
        let dialling = self.dialling.as_ref().map(|dialling| dialling.until);
        let others = call.into_iter().chain(dialling).chain(partings);
        let others = others.chain(self.overloaded_until);
        others.chain(self.dce.deadline()).min()
    }

    /// Its telephone number.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn let_in(&mut self, now: Instant) {
        if self.overloaded_until.is_some_and(|until| now < until) {
            return;
        }
        self.overloaded_until = None;
        // Nobody has come since it was last found that nobody waits: it need not be asked again,
        // which is dear, for the system makes a socket first and then looks.
        if self.listening.wants_read() {
            return;
        }
        for _ in 0..ARRIVALS {
            match self.listener.accept() {
                Ok((stream, from)) => self.arrive(now, stream, from),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // This caller has given up already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("a caller cannot be let in: {error}");
                    self.overloaded_until = Some(now + OVERLOADED);
                    return;
                }
            }
        }
        self.listening.want_read(true);
    }

    fn arrive(&mut self, now: Instant, stream: TcpStream, from: SocketAddr) {
        let is_over = |call: &Call| call.is_over(&self.dce);
        if self.call.as_ref().is_some_and(is_over) {
            self.far_end_hangs_up(now);
        }
        let number = from.ip().to_string();
        let free = self.call.is_none() && self.dialling.is_none();
        // A caller whose socket fails is gone: nobody is there to be told.
        if free && self.dce.call(now, Some(&number)) {
            match Call::new(&self.reactor, stream, now) {
                Ok(call) => self.call = Some(call),
                Err(_) => self.dce.far_hang_up(now),
            }
        } else if let Ok(parting) = Parting::busy(&self.reactor, stream, now) {
            self.part(parting, now);
        }
    }

    /// Moves what the modem sends, and does what it asks for.
    fn send(&mut self, now: Instant) {
        self.happen(now);
        if let Some(call) = &mut self.call {
            call.send(now, &mut self.dce);
            self.happen(now);
        }
    }

    fn happen(&mut self, now: Instant) {
        while let Some(event) = self.dce.step(now) {
            match event {
                Event::Answered => {
                    if let Some(call) = &mut self.call {
                        call.answer(now);
                    }
                }
                Event::HungUp => self.hang_up(now),
                Event::Dial(number) => self.dial(now, &number),
            }
        }
    }

    fn hang_up(&mut self, now: Instant) {
        self.dialling = None;
        if let Some(call) = self.call.take() {
            self.part(call.part(now), now);
        }
    }

    fn far_end_hangs_up(&mut self, now: Instant) {
        self.dce.far_hang_up(now);
        self.hang_up(now);
    }

    fn part(&mut self, mut parting: Parting, now: Instant) {
        if parting.step(now) && self.partings.len() < PARTINGS {
            self.partings.push(parting);
        }
    }

    fn dial(&mut self, now: Instant, number: &Number) {
        let Some((lan, (host, port))) = self.lan.as_mut().zip(host_and_port(number)) else {
            return self.dce.dialled(now, Dialled::NoCarrier);
        };
        self.dialling = Some(Dialling {
            stream: lan.connect_plain(host, port),
            until: now + DIALLING,
        });
        self.go_on_dialling(now);
    }

    fn go_on_dialling(&mut self, now: Instant) {
        let Some(mut dialling) = self.dialling.take() else {
            return;
        };
        let result = match dialling.stream.connection() {
            Connection::Pending if now < dialling.until => {
                self.dialling = Some(dialling);
                return;
            }
            Connection::Open => {
                let stream = dialling.stream.into_open();
                self.call = stream.map(|stream| Call::answered(stream, now));
                Dialled::Connected
            }
            Connection::Failed(ConnectError::Refused) => Dialled::Busy,
            Connection::Pending | Connection::Failed(ConnectError::Unreachable) => {
                Dialled::NoAnswer
            }
            Connection::Failed(_) => Dialled::NoCarrier,
        };
        self.dce.dialled(now, result);
    }
}

/// `ADDR:PORT`, where an IPv6 address stands in brackets.
fn host_and_port(number: &str) -> Option<(&str, u16)> {
    let (host, port) = number.trim().rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

/// Why the system does not let anybody call.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use by another program".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => "permission denied: take a port above 1023".into(),
        io::ErrorKind::InvalidInput => {
            "expected an address and a port, as in 127.0.0.1:2000".into()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::Shutdown;

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn switchboard(dial: bool) -> (Reactor, Switchboard) {
        let reactor = Reactor::new().unwrap();
        let options = DceOptions {
            dial,
            ..DceOptions::default()
        };
        let mut switchboard = Switchboard::open(&reactor, "127.0.0.1:0", options).unwrap();
        assert_eq!(ask(&mut switchboard, "ATE0\r"), "ATE0\r\r\nOK\r\n");
        (reactor, switchboard)
    }

    fn dial(switchboard: &Switchboard) -> TcpStream {
        TcpStream::connect(switchboard.address().unwrap()).unwrap()
    }

    fn said(switchboard: &mut Switchboard, now: Instant) -> String {
        let mut buf = [0; 1000];
        switchboard.turn(now);
        let count = switchboard.give_to_dte(now, &mut buf);
        String::from_utf8(buf[..count].to_vec()).unwrap()
    }

    fn ask(switchboard: &mut Switchboard, line: &str) -> String {
        let count = switchboard.take_from_dte(at(0), line.as_bytes());
        assert_eq!(count, line.len());
        said(switchboard, at(0))
    }

    /// What is said at `now`, once something is.
    fn hear(reactor: &Reactor, switchboard: &mut Switchboard, now: Instant) -> String {
        loop {
            let text = said(switchboard, now);
            if !text.is_empty() {
                return text;
            }
            assert!(reactor.wait(Some(Duration::from_secs(20))) > 0, "silence");
        }
    }

    fn in_call() -> (Reactor, Switchboard, TcpStream) {
        let (reactor, mut switchboard) = switchboard(false);
        let caller = dial(&switchboard);
        assert_eq!(
            hear(&reactor, &mut switchboard, at(0)),
            "\r\nRING\r\n",
            "a call"
        );
        assert_eq!(ask(&mut switchboard, "ATA\r"), "\r\nCONNECT 33600\r\n");
        (reactor, switchboard, caller)
    }

    /// Waits until the caller's FIN has come, with everything before it.
    fn until_ended(reactor: &Reactor, switchboard: &mut Switchboard, now: Instant) -> String {
        let mut text = String::new();
        let goes_on = |switchboard: &Switchboard| {
            let call = switchboard.call.as_ref();
            call.is_some_and(|call| !call.has_ended())
        };
        while goes_on(switchboard) {
            let more = said(switchboard, now);
            if more.is_empty() && goes_on(switchboard) {
                reactor.wait(Some(Duration::from_secs(20)));
            }
            text += &more;
        }
        text + &said(switchboard, now)
    }

    #[test]
    fn it_rings_until_somebody_is_tired_of_it() {
        let (reactor, mut switchboard) = switchboard(false);
        let caller = dial(&switchboard);
        assert_eq!(hear(&reactor, &mut switchboard, at(0)), "\r\nRING\r\n");
        for ring in 1..30 {
            let next = at(ring * 6000);
            assert_eq!(switchboard.deadline(), Some(next));
            assert_eq!(said(&mut switchboard, next), "\r\nRING\r\n");
        }
        // Nobody answered for three minutes.
        assert_eq!(switchboard.deadline(), Some(at(180_000)));
        said(&mut switchboard, at(180_000));
        assert!(switchboard.call.is_none());
        assert_eq!((&caller).read(&mut [0]).unwrap(), 0);
        drop(caller);
        // A caller who goes away rings no more.
        let caller = dial(&switchboard);
        let now = at(200_000);
        assert_eq!(hear(&reactor, &mut switchboard, now), "\r\nRING\r\n");
        drop(caller);
        assert_eq!(until_ended(&reactor, &mut switchboard, now), "");
        assert_eq!(switchboard.deadline(), None);
        assert_eq!(said(&mut switchboard, at(206_000)), "");
    }

    #[test]
    fn how_long_a_silent_half_of_a_call_lives() {
        // What the caller sends before FIN, what the gateway answers, and for how long it lasts.
        for (sent, answer, millis) in [
            ("", "", 3000),
            ("STAT\r\n", "", 30_000),
            ("STAT\r\n", "+OK 0 0\r\n", 3000),
            ("STA", "", 3000),
        ] {
            let (reactor, mut switchboard, mut caller) = in_call();
            caller.write_all(sent.as_bytes()).unwrap();
            caller.shutdown(Shutdown::Write).unwrap();
            assert_eq!(until_ended(&reactor, &mut switchboard, at(0)), sent);
            assert_eq!(ask(&mut switchboard, answer), "");
            assert_eq!(switchboard.deadline(), Some(at(millis)), "{sent:?}");
            assert_eq!(said(&mut switchboard, at(millis - 1)), "");
            assert_eq!(switchboard.dcd(), Circuit::On);
            assert_eq!(said(&mut switchboard, at(millis)), "\r\nNO CARRIER\r\n");
            assert_eq!(switchboard.dcd(), Circuit::Off);
            let mut heard = String::new();
            caller.read_to_string(&mut heard).unwrap();
            assert_eq!(heard, answer);
            assert_eq!(reactor.wait(AT_ONCE), 0);
        }
    }

    #[test]
    fn what_a_caller_sent_comes_before_its_hang_up() {
        for length in [1, 100, 4096, 5000, 13_000, 60_000] {
            let (reactor, mut switchboard, mut caller) = in_call();
            let octets = vec![b'x'; length];
            let sender = std::thread::spawn(move || caller.write_all(&octets).unwrap());
            let mut text = until_ended(&reactor, &mut switchboard, at(10));
            sender.join().unwrap();
            assert_eq!(switchboard.dcd(), Circuit::On);
            let mut now = at(10);
            while !text.ends_with("NO CARRIER\r\n") {
                let more = said(&mut switchboard, now);
                if more.is_empty() {
                    now = switchboard.deadline().unwrap();
                }
                text += &more;
            }
            assert_eq!(text, "x".repeat(length) + "\r\nNO CARRIER\r\n");
            assert_eq!(switchboard.dcd(), Circuit::Off);
        }
    }

    #[test]
    fn a_caller_who_was_silent_for_long_is_gone_at_once() {
        let (reactor, mut switchboard, caller) = in_call();
        assert_eq!(ask(&mut switchboard, "+OK\r\n"), "");
        drop(caller);
        let text = until_ended(&reactor, &mut switchboard, at(60_000));
        assert_eq!(text, "\r\nNO CARRIER\r\n");
    }

    #[test]
    fn a_caller_who_calls_again_comes_through() {
        let (reactor, mut switchboard, caller) = in_call();
        drop(caller);
        assert_eq!(until_ended(&reactor, &mut switchboard, at(0)), "");
        let _again = dial(&switchboard);
        let text = hear(&reactor, &mut switchboard, at(100));
        assert_eq!(text, "\r\nNO CARRIER\r\n\r\nRING\r\n");
    }

    #[test]
    fn it_dials() {
        let called = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = called.local_addr().unwrap();
        let (reactor, mut switchboard) = switchboard(true);
        switchboard.take_from_dte(at(0), format!("ATDT{number}\r").as_bytes());
        let text = hear(&reactor, &mut switchboard, at(0));
        assert_eq!(text, "\r\nCONNECT 33600\r\n");
        let (mut peer, _) = called.accept().unwrap();
        assert_eq!(ask(&mut switchboard, "hello"), "");
        let mut five = [0; 5];
        peer.read_exact(&mut five).unwrap();
        assert_eq!(&five, b"hello");
        peer.write_all(b"bye").unwrap();
        assert_eq!(hear(&reactor, &mut switchboard, at(0)), "bye");
        drop((peer, called));
        let text = until_ended(&reactor, &mut switchboard, at(9000));
        assert_eq!(text, "\r\nNO CARRIER\r\n");
        switchboard.take_from_dte(at(0), format!("ATD{number}\r").as_bytes());
        assert_eq!(hear(&reactor, &mut switchboard, at(0)), "\r\nBUSY\r\n");
        let text = ask(&mut switchboard, "ATD5551234\r");
        assert_eq!(text, "\r\nNO CARRIER\r\n");
    }

    #[test]
    fn numbers_are_addresses() {
        assert_eq!(host_and_port("mail:110"), Some(("mail", 110)));
        assert_eq!(host_and_port("[::1]:2000"), Some(("::1", 2000)));
        for wrong in ["", "5551234", ":110", "mail:", "mail:70000"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }
}
