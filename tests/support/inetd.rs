//! Servers that talk on their standard input and output, one process for each connection.

use core::net::{Ipv4Addr, SocketAddr};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::process::wait_until;

/// A running one. It listens as long as the test lasts.
#[derive(Debug)]
pub(crate) struct Inetd {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    open: Arc<Mutex<usize>>,
}

impl Inetd {
    /// Starts one. `welcome` may speak with whoever has connected, and says what to start then;
    /// nothing, where the conversation is over.
    pub(crate) fn start(
        welcome: impl Fn(&mut TcpStream) -> Option<Command> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let open: Arc<Mutex<usize>> = Arc::default();
        let (count, welcome) = (Arc::clone(&open), Arc::new(welcome));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                *count.lock().unwrap() += 1;
                let (count, welcome) = (Arc::clone(&count), Arc::clone(&welcome));
                thread::spawn(move || {
                    serve(stream, &*welcome);
                    *count.lock().unwrap() -= 1;
                });
            }
        });
        Self { address, open }
    }

    /// Waits until no process of it runs.
    pub(crate) fn wait_idle(&self) {
        wait_until("the end of all sessions", || {
            (*self.open.lock().unwrap() == 0).then_some(())
        });
    }
}

fn serve(mut stream: TcpStream, welcome: &dyn Fn(&mut TcpStream) -> Option<Command>) {
    let _ = stream.set_nodelay(true);
    let Some(inner) = welcome(&mut stream) else {
        return;
    };
    // Should this very process be killed, the one it started goes too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(dir) = inner.get_current_dir() {
        command.current_dir(dir);
    }
    let output: OwnedFd = stream.try_clone().unwrap().into();
    command.stdin(Stdio::from(OwnedFd::from(stream)));
    command.stdout(Stdio::from(output)).stderr(Stdio::null());
    let mut child = command.spawn().expect("setpriv is part of Debian");
    // The server alone holds the connection: when it ends, the other side sees it.
    drop(command);
    let _ = child.wait();
}
