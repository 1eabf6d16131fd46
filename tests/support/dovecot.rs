//! Dovecot as the LAN's mail server, in a directory and on ports of its own.
//!
//! It runs as root (in a container) and as anybody: without root it plays all of its own users.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Account;
use super::certificates::Identity;
use super::corpus::{Mail, Quirk};
use super::maildir::Maildir;
use super::pop3::Session;
use super::process::{Guard, wait_until};
use super::temp::{TempDir, free_address};

/// Debian has it where only root's PATH leads.
const PROGRAM: &str = "/usr/sbin/dovecot";
/// Debian's `nobody`: whom the mails belong to where we are root. Dovecot refuses to serve root's.
const NOBODY: u32 = 65534;

/// How the server is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// `pop3_no_flag_updates`: RETR does not set `\Seen`, a login moves nothing from new to cur.
    pub(crate) no_flag_updates: bool,
    /// It speaks TLS, as this one.
    pub(crate) identity: Option<&'static Identity>,
    /// More lines of configuration.
    pub(crate) more: &'static str,
}

/// A running server with the users `alice` and `bob`.
#[derive(Debug)]
pub(crate) struct Dovecot {
    process: Guard,
    pop3: SocketAddr,
    imap: SocketAddr,
    pop3s: SocketAddr,
    imaps: SocketAddr,
    maildirs: BTreeMap<&'static str, Maildir>,
    dir: TempDir,
}

/// What POP3 sessions did, by the server's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sessions that ended.
    pub(crate) sessions: usize,
    /// Mails asked for by TOP.
    pub(crate) top: usize,
    /// Mails asked for by RETR.
    pub(crate) retr: usize,
    /// Mails deleted.
    pub(crate) deleted: usize,
}

impl Dovecot {
    /// Starts it, and waits until it greets.
    pub(crate) fn start(settings: Settings) -> Self {
        let dir = TempDir::new();
        let root = id("-u") == "0";
        let owner = root.then_some(NOBODY);
        let mut maildirs = BTreeMap::new();
        for user in ["alice", "bob"] {
            let path = dir.subdirectory("home").join(user).join("Maildir");
            let maildir = Maildir::create(path, owner);
            if let Some(owner) = owner {
                let home = dir.join("home").join(user);
                std::os::unix::fs::chown(home, Some(owner), Some(owner)).unwrap();
            }
            maildirs.insert(user, maildir);
        }
        fs::write(
            dir.join("passwd"),
            "alice:{PLAIN}alicepw\nbob:{PLAIN}bobpw\n",
        )
        .unwrap();
        // Somebody else may take the ports between our look and the server's.
        for _ in 0..5 {
            let ports = [(); 4].map(|()| free_address());
            let config = dir.join("dovecot.conf");
            fs::write(&config, configuration(dir.path(), root, ports, settings)).unwrap();
            let [pop3, imap, pop3s, imaps] = ports;
            let mut process = Guard::start(Path::new(PROGRAM), |command| {
                command.arg("-F").arg("-c").arg(&config);
            });
            // Not a login, not even a refused one: Dovecot lets the next one wait for that.
            let greeted = wait_until("Dovecot", || match process.ended() {
                Some(_) => Some(false),
                None => Session::connect(pop3).ok().map(|_| true),
            });
            if greeted {
                return Self {
                    process,
                    pop3,
                    imap,
                    pop3s,
                    imaps,
                    maildirs,
                    dir,
                };
            }
        }
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        panic!("Dovecot does not start:\n{log}");
    }

    /// The maildir of `user`.
    pub(crate) fn maildir(&mut self, user: &str) -> &mut Maildir {
        self.maildirs.get_mut(user).expect("alice or bob")
    }

    /// How to log in as `user`, by POP3.
    pub(crate) fn account(&self, user: &str) -> Account {
        account(self.pop3, user)
    }

    /// Where it speaks POP3.
    pub(crate) fn pop3(&self) -> SocketAddr {
        self.pop3
    }

    /// Where it speaks IMAP.
    pub(crate) fn imap(&self) -> SocketAddr {
        self.imap
    }

    /// Where it speaks POP3 under TLS.
    pub(crate) fn pop3s(&self) -> SocketAddr {
        self.pop3s
    }

    /// Where it speaks IMAP under TLS.
    pub(crate) fn imaps(&self) -> SocketAddr {
        self.imaps
    }

    /// What all POP3 sessions did: there were `sessions` of them at least, and none is open.
    pub(crate) fn counts(&self, sessions: usize) -> Counts {
        // Dovecot writes its log after it has said good-bye.
        wait_until("the end of all sessions", || {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let logins = log.lines().filter(|line| line.contains(" Login: "));
            let counts = count(&log);
            (counts.sessions >= sessions.max(logins.count())).then_some(counts)
        })
    }

    /// Stops it without warning: connections break.
    pub(crate) fn stop(&mut self) {
        self.process.terminate();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        let config = self.dir.join("dovecot.conf");
        self.process = Guard::start(Path::new(PROGRAM), |command| {
            command.arg("-F").arg("-c").arg(&config);
        });
        wait_until("Dovecot", || Session::connect(self.pop3).ok());
    }

    /// All it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("-- Dovecot's log:\n{log}");
        }
    }
}

fn account(address: SocketAddr, user: &str) -> Account {
    Account {
        address,
        user: user.to_owned(),
        password: format!("{user}pw"),
    }
}

/// Sums up the lines that `pop3_logout_format` makes.
fn count(log: &str) -> Counts {
    let mut counts = Counts::default();
    for line in log.lines() {
        let Some((_, numbers)) = line.split_once("counts: ") else {
            continue;
        };
        let numbers = numbers.split_whitespace().map(|word| {
            let (_, number) = word.split_once('=').expect("name=number");
            number.parse::<usize>().expect("name=number")
        });
        counts.sessions += 1;
        for (sum, number) in [&mut counts.top, &mut counts.retr, &mut counts.deleted]
            .into_iter()
            .zip(numbers)
        {
            *sum += number;
        }
    }
    counts
}

fn id(option: &str) -> String {
    let output = Command::new("id").arg(option).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn configuration(dir: &Path, root: bool, ports: [SocketAddr; 4], settings: Settings) -> String {
    let dir = dir.display();
    let (uid, gid) = if root {
        (NOBODY.to_string(), NOBODY.to_string())
    } else {
        (id("-u"), id("-g"))
    };
    let users = if root {
        String::new()
    } else {
        let (user, group) = (id("-un"), id("-gn"));
        format!(
            "default_internal_user = {user}\ndefault_internal_group = {group}\n\
             default_login_user = {user}\n"
        )
    };
    let no_flag_updates = if settings.no_flag_updates {
        "yes"
    } else {
        "no"
    };
    let [pop3_port, imap_port, pop3s_port, imaps_port] = ports.map(|address| address.port());
    let (ssl, pop3s_port, imaps_port) = match settings.identity {
        None => (String::from("ssl = no"), 0, 0),
        Some(identity) => {
            let (certificate, key) = (format!("{dir}/certificate.pem"), format!("{dir}/key.pem"));
            fs::write(&certificate, &identity.certificate).unwrap();
            fs::write(&key, &identity.key).unwrap();
            let ssl = format!("ssl = yes\nssl_cert = <{certificate}\nssl_key = <{key}");
            (ssl, pop3s_port, imaps_port)
        }
    };
    let more = settings.more;
    format!(
        "\
base_dir = {dir}/run
state_dir = {dir}/state
instance_name = ringmail-test
{users}protocols = pop3 imap
listen = 127.0.0.1
log_path = {dir}/log
{ssl}
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:~/Maildir
mail_max_userip_connections = 50
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {dir}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}
namespace inbox {{
  inbox = yes
}}
protocol pop3 {{
  pop3_no_flag_updates = {no_flag_updates}
  pop3_logout_format = counts: top=%t retr=%r del=%d
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3_port}
  }}
  inet_listener pop3s {{
    address = 127.0.0.1
    port = {pop3s_port}
    ssl = yes
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap_port}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps_port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
}}
{more}
"
    )
}

/// Dovecot does not stuff a dot that is the first octet of a mail: the mail ends there, for
/// everybody.
pub(crate) fn dovecot_sends(quirk: Quirk) -> bool {
    quirk != Quirk::DotFirst
}

/// What Dovecot sends of `mail`. It stores nothing but sends a line end for a mail without octets.
pub(crate) fn sent_by_dovecot(mail: &Mail) -> Vec<u8> {
    match mail.quirk {
        Quirk::Empty => b"\r\n".to_vec(),
        _ => mail.sent(),
    }
}
