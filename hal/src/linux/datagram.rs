//! One question at a time by UDP: the clock asks a time server.
//!
//! The socket is connected, so the kernel drops what anybody else sends to it.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::net::UdpSocket;
use std::rc::Rc;

use super::names::{LookUp, Names, system};
use super::reactor::{Reactor, Registration};

/// Datagrams out, and their answers.
pub(super) struct Datagrams {
    reactor: Reactor,
    names: Names,
    state: State,
}

enum State {
    Idle,
    /// The host's name is looked up; these octets are to go there.
    Looking(LookUp, Vec<u8>),
    Sent(Rc<UdpSocket>, Registration),
}

impl Datagrams {
    pub(super) fn new(reactor: &Reactor) -> Self {
        Self {
            names: Names::new(reactor.waker(), system),
            reactor: reactor.clone(),
            state: State::Idle,
        }
    }

    /// Sends one, in place of whatever was sent before. What goes wrong is an answer that does not
    /// come.
    pub(super) fn send(&mut self, host: &str, port: u16, octets: &[u8]) {
        self.state = State::Looking(self.names.look_up(host, port), octets.to_vec());
        self.go_on();
    }

    /// An answer that has come.
    pub(super) fn receive(&mut self, buf: &mut [u8]) -> Option<usize> {
        self.go_on();
        let State::Sent(socket, registration) = &self.state else {
            return None;
        };
        // An error is a port that nobody listens at: as good as no answer.
        let received = socket.recv(buf).ok();
        registration.want_read(true);
        received
    }

    fn go_on(&mut self) {
        let State::Looking(look_up, octets) = &self.state else {
            return;
        };
        let Some(answer) = look_up.answer() else {
            return;
        };
        let address = answer.ok().and_then(|found| found.first().copied());
        let sent = address.and_then(|address| {
            let socket = match address.is_ipv4() {
                true => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
                false => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
            };
            let socket = socket.ok()?;
            socket.set_nonblocking(true).ok()?;
            socket.connect(address).ok()?;
            socket.send(octets).ok()?;
            Some(Rc::new(socket))
        });
        self.state = match sent {
            Some(socket) => {
                let registration = self.reactor.register(&socket);
                registration.want_read(true);
                State::Sent(socket, registration)
            }
            None => State::Idle,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(reactor: &Reactor, datagrams: &mut Datagrams) -> Vec<u8> {
        let mut buf = [0; 8];
        loop {
            if let Some(length) = datagrams.receive(&mut buf) {
                return buf[..length].to_vec();
            }
            reactor.wait(None);
        }
    }

    #[test]
    fn the_answer_wakes_the_loop_and_no_other_is_heard() {
        let reactor = Reactor::new().unwrap();
        let mut datagrams = Datagrams::new(&reactor);
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        for question in [&b"one"[..], b"two"] {
            datagrams.send("127.0.0.1", port, question);
            let mut buf = [0; 8];
            let (length, peer) = server.recv_from(&mut buf).unwrap();
            assert_eq!(&buf[..length], question);
            stranger.send_to(b"lie", peer).unwrap();
            server.send_to(b"too long an answer", peer).unwrap();
            assert_eq!(answer(&reactor, &mut datagrams), b"too long");
            assert_eq!(datagrams.receive(&mut buf), None);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_never_answered() {
        let reactor = Reactor::new().unwrap();
        let mut datagrams = Datagrams::new(&reactor);
        let mut buf = [0; 8];
        assert_eq!(datagrams.receive(&mut buf), None);
        datagrams.send("255.255.255.255", 9, b"x");
        assert_eq!(datagrams.receive(&mut buf), None);
        assert!(matches!(datagrams.state, State::Idle));
    }
}
