//! A telephone that dials again while the line is busy, as every stock dialler does.
//!
//! A modem needs a while to hang up and to be ready again. Callers cannot be told to wait for that,
//! so they connect to this instead: it calls the number until somebody greets, then it is a wire.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::process::{PATIENCE, wait_until};

/// Starts one for `phone`; returns where callers connect to. It lasts as long as the test.
pub(crate) fn redial(phone: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for caller in listener.incoming() {
            thread::spawn(move || connect(caller.unwrap(), phone));
        }
    });
    address
}

fn connect(mut caller: TcpStream, phone: SocketAddr) {
    let mut greeting = [0; 512];
    let (mut line, greeted) = wait_until("a free line", || {
        let mut line = TcpStream::connect(phone).ok()?;
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        let greeted = line.read(&mut greeting).ok().filter(|&n| n > 0)?;
        // The exchange itself says BUSY, and nothing more.
        (!greeting.starts_with(b"BUSY")).then_some((line, greeted))
    });
    line.set_read_timeout(None).unwrap();
    caller.set_nodelay(true).unwrap();
    line.set_nodelay(true).unwrap();
    let _ = caller.write_all(&greeting[..greeted]);
    let (to_line, to_caller) = (line.try_clone().unwrap(), caller.try_clone().unwrap());
    thread::spawn(move || carry(&mut caller, to_line));
    carry(&mut line, to_caller);
}

/// Carries octets until either end is gone, then hangs up the other.
fn carry(from: &mut TcpStream, mut to: TcpStream) {
    let _ = io::copy(from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
