//! The mail servers a LAN may have, each on a port and in a directory of its own.
//!
//! Dovecot is installed. The others lie in `target/servers`, where `scripts/unpack-servers` puts
//! them; they run as whoever runs the test. What is root's in them is played by the wrapper
//! libraries: users, passwords, and the change from one user to another.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Account;
use super::cyrus::{self, Cyrus};
use super::dovecot::{Dovecot, Settings};
use super::inetd::Inetd;
use super::maildir::Maildir;
use super::temp::TempDir;

/// Where `scripts/unpack-servers` puts them.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/servers");
/// The same mails lie in both maildrops: alice's is the gateway's, and bob's is looked at.
const USERS: [&str; 2] = ["alice", "bob"];

/// Which server, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Dovecot, POP3, a Maildir.
    DovecotPop3,
    /// Dovecot, IMAP, a Maildir.
    DovecotImap,
    /// Cyrus, POP3, in a tree of its own.
    CyrusPop3,
    /// Cyrus, IMAP.
    CyrusImap,
    /// Courier, POP3, a Maildir.
    CourierPop3,
    /// Courier, IMAP, a Maildir.
    CourierImap,
    /// GNU mailutils, POP3, an mbox.
    MailutilsPop3,
    /// GNU mailutils, IMAP, an mbox.
    MailutilsImap,
    /// popa3d, POP3, an mbox.
    Popa3d,
}

/// A running one.
#[derive(Debug)]
pub(crate) struct Lan {
    kind: Kind,
    server: Server,
    dir: TempDir,
}

#[derive(Debug)]
enum Server {
    Dovecot(Box<Dovecot>),
    Cyrus(Box<Cyrus>),
    Others {
        inetd: Inetd,
        maildirs: BTreeMap<&'static str, Maildir>,
    },
}

/// A file as its owner's programs see it: its content, and when it was written (seconds and
/// nanoseconds), from which they tell new mail.
pub(crate) type File = (Vec<u8>, i64, i64);

impl Kind {
    /// Whether it is IMAP.
    pub(crate) fn imap(self) -> bool {
        matches!(
            self,
            Self::DovecotImap | Self::CyrusImap | Self::CourierImap | Self::MailutilsImap
        )
    }

    /// Whether its mails lie in one file.
    pub(crate) fn mbox(self) -> bool {
        matches!(
            self,
            Self::MailutilsPop3 | Self::MailutilsImap | Self::Popa3d
        )
    }

    /// Why it cannot be had on this machine.
    pub(crate) fn missing(self) -> Option<String> {
        let program = match self {
            Self::DovecotPop3 | Self::DovecotImap => return None,
            Self::CyrusPop3 | Self::CyrusImap => return cyrus::missing(),
            Self::CourierPop3 => "usr/lib/courier/courier/courierpop3d",
            Self::CourierImap => "usr/bin/imapd",
            Self::MailutilsPop3 => "usr/sbin/pop3d",
            Self::MailutilsImap => "usr/sbin/imap4d",
            Self::Popa3d => "usr/sbin/popa3d",
        };
        if !Path::new(ROOT).join(program).exists() {
            return Some(format!("no {ROOT}/{program}: scripts/unpack-servers"));
        }
        // It looks for mail in a directory that was fixed when it was built.
        let own_mounts = || Command::new("unshare").args(["-r", "-m", "true"]).status();
        if self == Self::Popa3d && !own_mounts().is_ok_and(|status| status.success()) {
            return Some("no mount namespaces on this machine".into());
        }
        None
    }
}

impl Lan {
    /// Starts it with `mails` in both maildrops, as they are stored.
    pub(crate) fn start(kind: Kind, settings: Settings, mails: &[Vec<u8>]) -> Self {
        let dir = TempDir::new();
        let server = match kind {
            Kind::DovecotPop3 | Kind::DovecotImap => {
                Server::Dovecot(Box::new(Dovecot::start(settings)))
            }
            Kind::CyrusPop3 | Kind::CyrusImap => Server::Cyrus(Box::new(Cyrus::start())),
            _ => others(kind, &dir),
        };
        let mut lan = Self { kind, server, dir };
        for user in USERS {
            if let Server::Cyrus(cyrus) = &lan.server {
                cyrus.deliver(user, mails);
                continue;
            }
            if kind.mbox() {
                let all: Vec<_> = mails.iter().map(|mail| in_mbox(mail)).collect();
                fs::write(lan.mbox(user), all.concat()).unwrap();
                continue;
            }
            for mail in mails {
                lan.maildir(user).deliver(mail);
            }
        }
        lan
    }

    /// Makes bob's mbox what alice's is; a Maildir's mails are the same in any case.
    pub(crate) fn copy_to_bob(&self) {
        self.wait_idle();
        if self.kind.mbox() {
            fs::copy(self.mbox("alice"), self.mbox("bob")).unwrap();
        }
    }

    /// Takes the first mail away, as its owner does who reads it at the desk.
    pub(crate) fn remove_first(&mut self) {
        if let Server::Cyrus(cyrus) = &self.server {
            return cyrus.remove_first();
        }
        if self.kind.mbox() {
            let all = fs::read(self.mbox("alice")).unwrap();
            let mark = b"\n\nFrom sender@lan.example ";
            let end = all.windows(mark.len()).position(|octets| octets == mark);
            fs::write(self.mbox("alice"), &all[end.unwrap() + 2..]).unwrap();
            return;
        }
        let maildir = self.maildir("alice");
        maildir.remove(&maildir.names()[0]);
    }

    /// Marks the first mail read, as its owner does who reads it at the desk by IMAP.
    pub(crate) fn mark_first_read(&mut self) {
        if let Server::Cyrus(cyrus) = &self.server {
            return cyrus.mark_first_read();
        }
        if self.kind.mbox() {
            let all = fs::read(self.mbox("alice")).unwrap();
            let mark = b"\nStatus: O\n";
            let at = all.windows(mark.len()).position(|octets| octets == mark);
            let (before, after) = all.split_at(at.unwrap());
            let all = [before, b"\nStatus: RO\n", &after[mark.len()..]].concat();
            fs::write(self.mbox("alice"), all).unwrap();
            return;
        }
        let maildir = self.maildir("alice");
        maildir.mark_read(&maildir.names()[0]);
    }

    /// All files of alice's maildrop: mails, flags in their names, lists, indices.
    pub(crate) fn files(&mut self) -> BTreeMap<PathBuf, File> {
        if let Server::Cyrus(cyrus) = &self.server {
            return cyrus.files();
        }
        let mut files = BTreeMap::new();
        let root = match self.kind.mbox() {
            true => self.dir.join("mail"),
            false => self.maildir("alice").path().to_owned(),
        };
        look(&root, &root, &mut files);
        files.remove(Path::new("bob"));
        files
    }

    /// Waits until no session is open, where that can be seen.
    pub(crate) fn wait_idle(&self) {
        match &self.server {
            Server::Others { inetd, .. } => inetd.wait_idle(),
            Server::Cyrus(cyrus) => cyrus.wait_idle(),
            Server::Dovecot(_) => {}
        }
    }

    /// How to log in as `user`.
    pub(crate) fn account(&self, user: &str) -> Account {
        let address = match &self.server {
            Server::Dovecot(dovecot) if self.kind.imap() => dovecot.imap(),
            Server::Dovecot(dovecot) => dovecot.pop3(),
            Server::Cyrus(cyrus) if self.kind.imap() => cyrus.imap,
            Server::Cyrus(cyrus) => cyrus.pop3,
            Server::Others { inetd, .. } => inetd.address,
        };
        Account {
            address,
            user: user.to_owned(),
            password: format!("{user}pw"),
        }
    }

    fn mbox(&self, user: &str) -> PathBuf {
        self.dir.join("mail").join(user)
    }

    fn maildir(&mut self, user: &str) -> &mut Maildir {
        match &mut self.server {
            Server::Dovecot(dovecot) => dovecot.maildir(user),
            Server::Cyrus(_) => unreachable!("its mails are no Maildir"),
            Server::Others { maildirs, .. } => maildirs.get_mut(user).expect("alice or bob"),
        }
    }
}

pub(crate) fn look(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, File>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look(root, &path, files);
            continue;
        }
        let meta = fs::metadata(&path).unwrap();
        let file = (fs::read(&path).unwrap(), meta.mtime(), meta.mtime_nsec());
        files.insert(path.strip_prefix(root).unwrap().to_owned(), file);
    }
}

/// `stored` in an mbox: a line before, an empty one after, `From ` at a line's start quoted.
fn in_mbox(stored: &[u8]) -> Vec<u8> {
    let mut mbox = b"From sender@lan.example Mon Jun  1 08:00:00 2026\n".to_vec();
    for line in stored.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b"From ") {
            mbox.push(b'>');
        }
        mbox.extend(line);
    }
    if !stored.ends_with(b"\n") {
        mbox.push(b'\n');
    }
    mbox.push(b'\n');
    mbox
}

fn others(kind: Kind, dir: &TempDir) -> Server {
    let mut maildirs = BTreeMap::new();
    dir.subdirectory("mail");
    for user in USERS {
        let path = dir.subdirectory(user).join("Maildir");
        maildirs.insert(user, Maildir::create(path, None));
    }
    wrapped(dir.path());
    let home = dir.path().to_owned();
    let inetd = Inetd::start(move |stream| match kind {
        Kind::CourierPop3 => {
            let user = pop3_login(stream)?;
            let mut command = courier(&home, &user, "usr/lib/courier/courier/courierpop3d");
            command.arg("Maildir");
            Some(command)
        }
        Kind::CourierImap => {
            let (tag, user) = imap_login(stream)?;
            let mut command = courier(&home, &user, "usr/bin/imapd");
            command.env("IMAPLOGINTAG", tag).env("PROTOCOL", "IMAP");
            // Its notices of changes want a daemon.
            command
                .env("IMAP_ENHANCEDIDLE", "0")
                .env("IMAP_USELOCKS", "0");
            command.env("IMAP_CAPABILITY", "IMAP4rev1 UIDPLUS NAMESPACE");
            command.arg(home.join(&user).join("Maildir"));
            Some(command)
        }
        Kind::MailutilsPop3 => Some(mailutils(&home, "usr/sbin/pop3d")),
        Kind::MailutilsImap => Some(mailutils(&home, "usr/sbin/imap4d")),
        _ => {
            let mut command = Command::new("unshare");
            command.args(["-r", "-m", "sh", "-c"]);
            command.arg(format!(
                "mount --bind {home}/mail /var/mail && mount --bind {home}/var /var/lib && \
                 exec sh {home}/wrapped {ROOT}/usr/sbin/popa3d",
                home = home.display()
            ));
            Some(command)
        }
    });
    Server::Others { inetd, maildirs }
}

pub(crate) fn libraries() -> String {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    format!("{ROOT}/usr/lib:{ROOT}/usr/lib/{triple}:{ROOT}/lib/{triple}")
}

/// Courier's servers after its own login, which asks a daemon at a fixed place.
fn courier(home: &Path, user: &str, program: &str) -> Command {
    let home = home.join(user);
    let mut command = Command::new(Path::new(ROOT).join(program));
    command
        .current_dir(&home)
        .env("LD_LIBRARY_PATH", libraries())
        .env("AUTHENTICATED", user)
        .env("AUTHADDR", user)
        .env("MAILDIR", home.join("Maildir"))
        .env("HOME", &home)
        .env("TCPREMOTEIP", "127.0.0.1")
        .env("TCPREMOTEPORT", "1");
    command
}

fn mailutils(home: &Path, program: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg(home.join("wrapped"));
    command.arg(Path::new(ROOT).join(program));
    command.args(["--no-site-config", "--inetd"]);
    command.arg(format!("--config-file={}/mailutils.conf", home.display()));
    command
}

/// Users, their passwords, and a script that starts a server which believes in them.
fn wrapped(home: &Path) {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    let (libraries, lib) = (libraries(), format!("{ROOT}/usr/lib/{triple}"));
    let dir = home.display();
    for directory in ["pam", "var/popa3d"] {
        fs::create_dir_all(home.join(directory)).unwrap();
    }
    let module = format!("required {lib}/pam_wrapper/pam_matrix.so passdb={dir}/passwords\n");
    for (name, content) in [
        (
            "passwd",
            format!(
                "root:x:0:0::/root:/bin/sh\npopa3d:x:1:1::/:/bin/false\n\
                 alice:x:1000:1000::{dir}/alice:/bin/sh\nbob:x:1001:1000::{dir}/bob:/bin/sh\n"
            ),
        ),
        (
            "group",
            "root:x:0:\nmail:x:8:\npopa3d:x:1:\nusers:x:1000:\n".into(),
        ),
        (
            "passwords",
            "alice:alicepw:popa3d\nbob:bobpw:popa3d\n".into(),
        ),
        ("pam/popa3d", format!("auth {module}account {module}")),
        (
            "mailutils.conf",
            format!(
                "logging {{ syslog no; }};\nauth {{ authentication pam; authorization system; }};\n\
                 pam {{ service popa3d; }};\nmailbox {{ mailbox-pattern \"{dir}/mail/${{user}}\"; }};\n"
            ),
        ),
        (
            "wrapped",
            format!(
                "exec env LD_LIBRARY_PATH={libraries} \
                 LD_PRELOAD=\"{lib}/libnss_wrapper.so {lib}/libpam_wrapper.so {lib}/libuid_wrapper.so\" \
                 NSS_WRAPPER_PASSWD={dir}/passwd NSS_WRAPPER_GROUP={dir}/group \
                 PAM_WRAPPER=1 PAM_WRAPPER_SERVICE_DIR={dir}/pam \
                 UID_WRAPPER=1 UID_WRAPPER_ROOT=1 \"$@\"\n"
            ),
        ),
    ] {
        fs::write(home.join(name), content).unwrap();
    }
}

/// What Courier's own login says, up to the password; nothing where the client goes.
fn pop3_login(stream: &mut TcpStream) -> Option<String> {
    let mut user = String::new();
    say(stream, "+OK Hello there.")?;
    loop {
        let line = line(stream)?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("USER", name) => {
                user = name.to_owned();
                say(stream, "+OK Password required.")?;
            }
            ("PASS", word) if word == format!("{user}pw") => return Some(user),
            ("PASS", _) => say(stream, "-ERR Login failed.")?,
            ("CAPA", _) => say(
                stream,
                "+OK Here's what I can do:\r\nTOP\r\nUSER\r\nPIPELINING\r\nUIDL\r\n.",
            )?,
            ("QUIT", _) => {
                say(stream, "+OK Better luck next time.")?;
                return None;
            }
            _ => say(stream, "-ERR Invalid command.")?,
        }
    }
}

/// The same by IMAP, with the tag that the server is to answer.
fn imap_login(stream: &mut TcpStream) -> Option<(String, String)> {
    say(
        stream,
        "* OK [CAPABILITY IMAP4rev1 UIDPLUS NAMESPACE] ready.",
    )?;
    loop {
        let line = line(stream)?;
        let words: Vec<_> = line.split(' ').map(|word| word.trim_matches('"')).collect();
        match words[..] {
            [tag, "LOGIN", user, word] if word == format!("{user}pw") => {
                return Some((tag.to_owned(), user.to_owned()));
            }
            [tag, "CAPABILITY"] => say(
                stream,
                &format!("* CAPABILITY IMAP4rev1 UIDPLUS NAMESPACE\r\n{tag} OK done"),
            )?,
            [tag, ..] => say(stream, &format!("{tag} NO not before a login"))?,
            [] => return None,
        }
    }
}

fn say(stream: &mut TcpStream, line: &str) -> Option<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).ok()
}

/// One line, and not an octet of what follows: that is for the server.
fn line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    while line.len() < 1024 && !line.ends_with(b"\n") {
        stream.read_exact(&mut octet).ok()?;
        line.extend(octet);
    }
    String::from_utf8(line)
        .ok()
        .map(|line| line.trim().to_owned())
}
