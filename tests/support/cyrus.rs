//! Cyrus as the LAN's mail server, in a directory and on ports of its own.
//!
//! Its mails lie in a tree that only it may write: they come and go by IMAP, as its users do it.

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::pop3::Session;
use super::process::{Guard, run, run_well, wait_until};
use super::servers::{File, ROOT, libraries, look};
use super::temp::{TempDir, free_address};

/// Debian's `nobody`: whom it runs as where we are root.
const NOBODY: u32 = 65534;

/// A running one with the users `alice` and `bob`.
#[derive(Debug)]
pub(crate) struct Cyrus {
    _process: Guard,
    pub(crate) pop3: SocketAddr,
    pub(crate) imap: SocketAddr,
    dir: TempDir,
}

impl Cyrus {
    /// Starts it, and waits until it greets.
    pub(crate) fn start() -> Self {
        let dir = TempDir::new();
        for name in ["conf", "spool"] {
            dir.subdirectory(name);
        }
        let home = dir.path();
        let whoami = run_well("id", home, |command| {
            command.arg("-un");
        });
        let whoami = String::from_utf8(whoami.stdout).unwrap();
        // It refuses to be root.
        let root = whoami.trim() == "root";
        let owner = if root { "nobody" } else { whoami.trim() };
        for user in ["alice", "bob"] {
            run_well("sh", home, |command| {
                environment(command);
                command.args(["-c", "echo \"$2\" | \"$0\" -p -c -f sasldb2 \"$1\""]);
                command.arg(Path::new(ROOT).join("usr/sbin/saslpasswd2"));
                command.args([user, &format!("{user}pw")]);
            });
        }
        fs::write(dir.join("imapd.conf"), imapd_conf(home, owner)).unwrap();
        if root {
            for name in ["", "conf", "spool", "sasldb2"] {
                std::os::unix::fs::chown(dir.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        // Somebody else may take the ports between our look and the server's.
        for _ in 0..5 {
            let (pop3, imap) = (free_address(), free_address());
            fs::write(dir.join("cyrus.conf"), cyrus_conf(home, pop3, imap)).unwrap();
            let mut process = Guard::start(Path::new("setpriv"), |command| {
                environment(command);
                command.args(as_whom(root)).arg(program("master"));
                command.arg("-D").arg("-M").arg(dir.join("cyrus.conf"));
                command.arg("-C").arg(dir.join("imapd.conf"));
                command.arg("-p").arg(dir.join("pid"));
            });
            let greeted = wait_until("Cyrus", || match process.ended() {
                Some(_) => Some(false),
                None => Session::connect(pop3).ok().map(|_| true),
            });
            if greeted {
                let _process = process;
                return Self {
                    _process,
                    pop3,
                    imap,
                    dir,
                };
            }
        }
        panic!("Cyrus does not start");
    }

    /// Delivers `mails` to `user`.
    pub(crate) fn deliver(&self, user: &str, mails: &[Vec<u8>]) {
        for (number, mail) in mails.iter().enumerate() {
            fs::write(self.dir.join(format!("mail{number:03}")), mail).unwrap();
        }
        let script = "
import glob
for name in sorted(glob.glob('mail*')):
    ok, said = c.append('INBOX', None, None, open(name, 'rb').read())
    assert ok == 'OK', said
";
        self.imap_as(user, script);
        for number in 0..mails.len() {
            fs::remove_file(self.dir.join(format!("mail{number:03}"))).unwrap();
        }
    }

    /// Takes alice's first mail away, as its owner does who reads it at the desk.
    pub(crate) fn remove_first(&self) {
        self.imap_as(
            "alice",
            "c.store('1', '+FLAGS', '\\\\Deleted')\nc.expunge()\n",
        );
    }

    /// Marks alice's first mail read.
    pub(crate) fn mark_first_read(&self) {
        self.imap_as("alice", "c.store('1', '+FLAGS', '\\\\Seen')\n");
    }

    /// All that it keeps: mails, indices, lists of mailboxes; of both users, of whom bob is quiet.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, File> {
        let mut files = BTreeMap::new();
        for name in ["spool", "conf"] {
            look(self.dir.path(), &self.dir.join(name), &mut files);
        }
        let passing = ["conf/lock", "conf/proc", "conf/socket"];
        files.retain(|name, _| !passing.iter().any(|passing| name.starts_with(passing)));
        files
    }

    /// Waits until no session is open.
    pub(crate) fn wait_idle(&self) {
        wait_until("the end of all sessions", || {
            let open = fs::read_dir(self.dir.join("conf/proc")).map_or(0, Iterator::count);
            (open == 0).then_some(())
        });
    }

    /// Runs a script with `c`, a connection on which `user`'s inbox is selected.
    fn imap_as(&self, user: &str, script: &str) {
        let (host, port) = (self.imap.ip(), self.imap.port());
        let script = format!(
            "import imaplib\nc = imaplib.IMAP4('{host}', {port}, timeout=60)\n\
             c.login('{user}', '{user}pw')\nassert c.select('INBOX')[0] == 'OK'\n{script}\n\
             c.logout()\n"
        );
        run_well("python3", self.dir.path(), |command| {
            command.args(["-c", &script]);
        });
        self.wait_idle();
    }
}

/// Why it cannot be had on this machine.
pub(crate) fn missing() -> Option<String> {
    let program = program("master");
    if !program.exists() {
        return Some(format!("no {}: scripts/unpack-servers", program.display()));
    }
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let info = run("setpriv", Path::new("/"), |command| {
        environment(command);
        command.args(as_whom(root)).arg("ldd");
        command.arg(self::program("pop3d"));
    });
    if !info.status.success() {
        return Some(format!("{} cannot be reached by nobody", program.display()));
    }
    let libraries = String::from_utf8_lossy(&info.stdout).into_owned();
    let lacks = libraries.lines().find(|line| line.contains("not found"));
    lacks.map(|line| format!("Cyrus lacks a library: {}", line.trim()))
}

/// Makes setpriv run a program as somebody who is not root.
fn as_whom(root: bool) -> Vec<String> {
    let mut words = vec![String::from("--pdeathsig=TERM")];
    if root {
        words.extend([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")]);
        words.push("--clear-groups".into());
    }
    words.push("--".into());
    words
}

fn program(name: &str) -> PathBuf {
    Path::new(ROOT).join("usr/lib/cyrus/bin").join(name)
}

fn environment(command: &mut Command) {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    command
        .env("LD_LIBRARY_PATH", libraries())
        .env("SASL_PATH", format!("{ROOT}/usr/lib/{triple}/sasl2"));
}

fn imapd_conf(dir: &Path, owner: &str) -> String {
    let dir = dir.display();
    format!(
        "configdirectory: {dir}/conf
defaultpartition: default
partition-default: {dir}/spool
cyrus_user: {owner}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {dir}/sasldb2
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
munge8bit: no
autocreate_quota: 0
autocreate_post: yes
"
    )
}

fn cyrus_conf(dir: &Path, pop3: SocketAddr, imap: SocketAddr) -> String {
    let conf = dir.join("imapd.conf");
    let service = |name: &str, program_name: &str, address: SocketAddr| {
        let (program, conf) = (program(program_name), conf.display());
        let program = program.display();
        format!("  {name} cmd=\"{program} -C {conf}\" listen=\"{address}\" prefork=0\n")
    };
    let services = service("imap", "imapd", imap) + &service("pop3", "pop3d", pop3);
    format!("START {{\n}}\nSERVICES {{\n{services}}}\nEVENTS {{\n}}\n")
}
