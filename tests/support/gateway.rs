//! The gateway itself and its virtual modem, started as their user starts them.

use core::net::SocketAddr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::Account;
use super::process::{Guard, run, run_well, wait_until};
use super::redial::redial;
use super::temp::{TempDir, free_address};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringmail");

/// What the machine trusts, in the state directory; what it trusts anyway if there is none.
const AUTHORITIES: &str = "authorities.pem";

/// A running gateway, with its state directory.
#[derive(Debug)]
pub(crate) struct Gateway {
    process: Guard,
    /// Where callers connect to, for its phone number.
    phone: SocketAddr,
    dir: TempDir,
}

impl Gateway {
    /// Starts board `host` with one line that has a phone number, a ring of 64 MiB, and the lines
    /// of configuration in `config`; waits until it is ready.
    pub(crate) fn start(config: &str) -> Self {
        Self::with_ring("64M", config)
    }

    /// The same with no line but those of `config`.
    pub(crate) fn without_phone(config: &str) -> Self {
        let dir = TempDir::new();
        let ring = dir.join("ring");
        let config = format!(
            "hostname gateway\nstore {} size 16M\n{config}\n",
            ring.display()
        );
        fs::write(dir.join("ringmail.conf"), config).unwrap();
        let mut process = start(&dir);
        assert!(process.says("ready"), "it starts");
        // There is nobody at this number.
        let phone = free_address();
        Self {
            process,
            phone,
            dir,
        }
    }

    /// The same with a ring of `size`.
    pub(crate) fn with_ring(size: &str, config: &str) -> Self {
        Self::start_in(TempDir::new(), size, config)
    }

    /// The same on a machine that trusts the authorities in `pem`, and no others.
    pub(crate) fn trusting(pem: &str, config: &str) -> Self {
        let dir = TempDir::new();
        fs::write(dir.join(AUTHORITIES), pem).unwrap();
        Self::start_in(dir, "4M", config)
    }

    fn start_in(dir: TempDir, size: &str, config: &str) -> Self {
        // Somebody else may take the port between our look and the gateway's.
        for _ in 0..5 {
            let phone = free_address();
            let (ring, text) = (dir.join("ring"), dir.join("ringmail.conf"));
            let config = format!(
                "hostname gateway\nstore {} size {size}\nline one phone {phone}\n{config}\n",
                ring.display()
            );
            fs::write(&text, config).unwrap();
            let mut process = start(&dir);
            if process.says("ready") {
                return Self {
                    process,
                    phone: redial(phone),
                    dir,
                };
            }
        }
        panic!("the gateway does not start");
    }

    /// Its phone number, which is dialled until it is free, for `user` as [`user_of`] configures one.
    pub(crate) fn account(&self, user: &str) -> Account {
        Account {
            address: self.phone,
            user: user.to_owned(),
            password: format!("{user}-at-the-line"),
        }
    }

    /// Its state directory.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// The file its configuration was read from.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("ringmail.conf")
    }

    /// What its console answers to one command, as its operator asks from a shell.
    pub(crate) fn attach(&self, command: &str) -> String {
        let output = run_well(PROGRAM, self.dir.path(), |attach| {
            attach.args(["attach", "--state"]).arg(self.state());
            attach.args(command.split(' '));
        });
        String::from_utf8(output.stdout).unwrap()
    }

    /// Asks the console for `command` until the answer has `words` in it; gives that answer.
    pub(crate) fn wait_for(&self, command: &str, words: &str) -> String {
        wait_until(words, || {
            let answer = self.attach(command);
            answer.contains(words).then_some(answer)
        })
    }

    /// Visits the LAN server for `user` now, and waits for the end of that visit.
    pub(crate) fn poll(&self, user: &str) {
        let visits = |log: Vec<String>| log.iter().filter(|line| line.contains("visit")).count();
        let before = visits(self.log());
        self.attach(&format!("poll {user}"));
        wait_until("the visit", || (visits(self.log()) > before).then_some(()));
    }

    /// Waits until `calls` calls have ended since its start, as it sees them.
    pub(crate) fn wait_for_ends(&self, calls: usize) {
        let ends = |log: &[String]| {
            log.iter()
                .filter(|line| line.contains("call ended"))
                .count()
        };
        wait_until("the end of the call", || {
            (ends(&self.log()) >= calls).then_some(())
        });
    }

    /// Reads the store of a gateway that does not run; false if there is damage.
    pub(crate) fn verify(&self) -> (bool, String) {
        let output = run(PROGRAM, self.dir.path(), |verify| {
            verify.args(["store", "verify"]).arg(self.dir.join("ring"));
        });
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), text)
    }

    /// Ends it by SIGTERM, and starts it again on what it left.
    pub(crate) fn restart(&mut self) {
        assert!(self.terminate().success(), "SIGTERM ends it cleanly");
        self.process = start(&self.dir);
        assert!(self.process.says("ready"), "it starts again");
    }

    /// Ends it by SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.process.terminate()
    }

    /// Kills it, and starts it again on what it left.
    pub(crate) fn crash(&mut self) {
        self.process.kill();
        self.process = start(&self.dir);
        assert!(self.process.says("ready"), "it starts again");
    }

    /// Waits until it has logged `word`; false if it ended instead.
    pub(crate) fn says(&mut self, word: &str) -> bool {
        self.process.says(word)
    }

    /// What it has logged up to now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.said()
    }
}

fn start(dir: &TempDir) -> Guard {
    let authorities = dir.join(AUTHORITIES);
    Guard::start(Path::new(PROGRAM), |command| {
        command
            .args(["run", "--board", "host", "--console", "none", "--config"])
            .arg(dir.join("ringmail.conf"))
            .arg("--state")
            .arg(dir.subdirectory("state"))
            .env(
                "RUST_LOG",
                std::env::var("RINGMAIL_LOG").unwrap_or_else(|_| String::from("info")),
            );
        if authorities.exists() {
            command.env("SSL_CERT_FILE", &authorities);
        }
    })
}

/// Lines of configuration: `account` of the LAN server becomes a user of the gateway, visited when
/// that user logs in, for as long as it takes, and at no other time.
pub(crate) fn user_of(account: &Account) -> String {
    let Account {
        address,
        user,
        password,
    } = account;
    format!(
        "user add {user} password {user}-at-the-line
user {user} source pop3://{address} login {user} password {password}
user {user} tls off
user {user} poll off
user {user} poll at-login 60s
"
    )
}

/// What `ringmail check` says of a configuration, and whether it finds no fault.
pub(crate) fn check(text: &str) -> (bool, String) {
    let dir = TempDir::new();
    fs::write(dir.join("conf"), text).unwrap();
    let output = run(PROGRAM, dir.path(), |check| {
        check.args(["check", "conf"]);
    });
    let said = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), said)
}

/// A virtual Hayes modem: a terminal at one end, a phone number at the other.
#[derive(Debug)]
pub(crate) struct VirtualModem {
    process: Guard,
    tty: PathBuf,
    number: SocketAddr,
    phone: SocketAddr,
    _dir: TempDir,
}

impl VirtualModem {
    /// Starts one, with more `arguments` such as `--speed 33600`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let dir = TempDir::new();
        let tty = dir.join("tty");
        for _ in 0..5 {
            let phone = free_address();
            let mut process = modem(&tty, phone, arguments);
            let started = wait_until("the virtual modem", || {
                if process.ended().is_some() {
                    return Some(false);
                }
                tty.exists().then_some(true)
            });
            if started {
                return Self {
                    process,
                    tty,
                    number: phone,
                    phone: redial(phone),
                    _dir: dir,
                };
            }
        }
        panic!("the virtual modem does not start");
    }

    /// The terminal, for `line NAME device PATH`.
    pub(crate) fn tty(&self) -> &Path {
        &self.tty
    }

    /// Its phone number, which is dialled until it is free.
    pub(crate) fn phone(&self) -> SocketAddr {
        self.phone
    }

    /// Pulls its plug: the terminal hangs up.
    pub(crate) fn unplug(&mut self) {
        self.process.kill();
    }

    /// Plugs it in again, unpaced: the same name, the same number.
    pub(crate) fn plug_in(&mut self) {
        self.process = modem(&self.tty, self.number, &[]);
    }
}

fn modem(tty: &Path, phone: SocketAddr, arguments: &[&str]) -> Guard {
    Guard::start(Path::new(PROGRAM), |command| {
        command.arg("vmodem").arg("--tty").arg(tty);
        command
            .args(["--phone", &phone.to_string()])
            .args(arguments);
    })
}
