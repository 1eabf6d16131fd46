//! A wire between the gateway and a server that stops at a given octet, and is cut there.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::process::PATIENCE;

/// A running one. It lasts as long as the test.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Where the gateway connects to.
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// Octets that the server may still send; no bound where there is none.
    left: Option<usize>,
    /// Octets wait that may not pass.
    held: bool,
    /// How often it was cut.
    cuts: usize,
}

impl Wire {
    /// Starts one that leads to `server`.
    pub(crate) fn start(server: SocketAddr) -> Self {
        Self::without(server, &[])
    }

    /// The same, but the POP3 server does not know these commands: it hears others, and what it
    /// says it can do names others.
    pub(crate) fn without(server: SocketAddr, commands: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let common = Arc::clone(&shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(server).unwrap();
                let (from, to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                thread::spawn(move || ask(from, to, commands));
                let shared = Arc::clone(&common);
                thread::spawn(move || answer(far, near, commands, &shared));
            }
        });
        Self { address, shared }
    }

    /// From now on the server may send `octets`, in all conversations together.
    pub(crate) fn hold_after(&self, octets: usize) {
        let mut state = self.shared.0.lock().unwrap();
        state.left = Some(octets);
        state.held = false;
    }

    /// Waits until octets wait that may not pass.
    pub(crate) fn wait_held(&self) {
        let (state, changed) = &*self.shared;
        let held = changed.wait_timeout_while(state.lock().unwrap(), PATIENCE, |now| !now.held);
        assert!(held.unwrap().0.held, "the server never sent so much");
    }

    /// Cuts what is held; what is connected later passes whole.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.0.lock().unwrap();
        *state = State {
            cuts: state.cuts + 1,
            ..State::default()
        };
        self.shared.1.notify_all();
    }
}

fn ask(from: TcpStream, mut to: TcpStream, hidden: &[&str]) {
    let mut lines = BufReader::new(from.try_clone().unwrap());
    let mut line = Vec::new();
    // Where nothing is hidden, what passes need not be lines: TLS is none.
    while let Ok(1..) = match hidden {
        [] => some(&mut lines, &mut line),
        _ => lines.read_until(b'\n', &mut line),
    } {
        let verb = line.split(|octet| octet.is_ascii_whitespace()).next();
        if hidden.iter().any(|word| verb == Some(word.as_bytes())) {
            line[0] = b'X';
        }
        if to.write_all(&line).is_err() {
            break;
        }
        line.clear();
    }
    end(&from, &to);
}

/// What has come, as much as there is.
fn some(from: &mut BufReader<TcpStream>, octets: &mut Vec<u8>) -> std::io::Result<usize> {
    let come = from.fill_buf()?;
    octets.extend(come);
    let length = come.len();
    from.consume(length);
    Ok(length)
}

fn answer(
    mut from: TcpStream,
    mut to: TcpStream,
    hidden: &[&str],
    shared: &(Mutex<State>, Condvar),
) {
    let mut piece = [0; 16384];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        for word in hidden {
            let line = format!("\r\n{word}\r\n").into_bytes();
            let at = piece[..length].windows(line.len()).position(|w| w == line);
            if let Some(at) = at {
                piece[at + 2] = b'X';
            }
        }
        let mut state = shared.0.lock().unwrap();
        let passing = length.min(state.left.unwrap_or(length));
        state.left = state.left.map(|left| left - passing);
        let cuts = state.cuts;
        if passing < length {
            state.held = true;
            shared.1.notify_all();
        }
        drop(state);
        if to.write_all(&piece[..passing]).is_err() {
            break;
        }
        if passing < length {
            let state = shared.0.lock().unwrap();
            drop(shared.1.wait_while(state, |now| now.cuts == cuts).unwrap());
            break;
        }
    }
    end(&from, &to);
}

fn end(from: &TcpStream, to: &TcpStream) {
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
