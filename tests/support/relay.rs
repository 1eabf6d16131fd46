//! A wire between the gateway and a server that counts octets, both ways together.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A running one.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where the gateway connects to.
    pub(crate) address: SocketAddr,
    octets: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts one that leads to `server`. It lasts as long as the test.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let octets = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&octets);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(server).unwrap();
                let ends = [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far, near),
                ];
                for (from, to) in ends {
                    let count = Arc::clone(&count);
                    thread::spawn(move || carry(from, to, &count));
                }
            }
        });
        Self { address, octets }
    }

    /// Octets since the last time this was asked.
    pub(crate) fn take(&self) -> usize {
        self.octets.swap(0, Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: &AtomicUsize) {
    let mut piece = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        count.fetch_add(length, Ordering::SeqCst);
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
