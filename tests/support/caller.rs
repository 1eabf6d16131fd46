//! Stock POP3 clients, as callers: what each of them got.
//!
//! The account's address is a server's or the gateway's phone number: a TCP connection to that is a
//! call, and once it is answered the greeting comes. fetchmail and mutt do not even connect
//! themselves; they speak through a pipe (`plugin`, `tunnel`), as they would over a modem.

use std::fs;
use std::path::Path;

use super::Account;
use super::corpus::Quirk;
use super::mails::with_lf;
use super::process::{run, run_well};
use super::temp::{TempDir, set_mode};

/// A stock client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// curl, one connection for all mails.
    Curl,
    /// Python's poplib.
    Poplib,
    /// fetchmail through a plugin.
    Fetchmail,
    /// mutt through a tunnel.
    Mutt,
}

/// What the caller does with what it has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Leaves it on the server.
    Keep,
    /// Deletes it there, and says QUIT.
    Delete,
}

impl Caller {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Curl, Self::Poplib, Self::Fetchmail, Self::Mutt];

    /// One call: fetches all mails, `count` of them, and returns each as this client stored it.
    ///
    /// # Panics
    /// If the client reports a failure.
    pub(crate) fn call(self, account: &Account, count: usize, then: Then) -> Vec<Vec<u8>> {
        let dir = TempDir::new();
        match self {
            Self::Curl => curl(account, count, then, &dir),
            Self::Poplib => poplib(account, then, &dir),
            Self::Fetchmail => fetchmail(account, then, &dir),
            Self::Mutt => mutt(account, then, &dir),
        }
    }

    /// What this client stores where a server sent `sent`, if it [preserves](Self::preserves) it.
    pub(crate) fn stores(self, sent: &[u8]) -> Vec<u8> {
        match self {
            Self::Curl | Self::Poplib | Self::Fetchmail => sent.to_vec(),
            Self::Mutt => with_lf(sent),
        }
    }

    /// Whether a mail with this quirk comes through this client unchanged.
    pub(crate) fn preserves(self, quirk: Quirk) -> bool {
        match self {
            Self::Curl | Self::Poplib => true,
            // It ends a header that has no end, calls a mail without one "headerless", and puts
            // octets of its own into lines beyond its buffer of 8 KiB.
            Self::Fetchmail => !matches!(
                quirk,
                Quirk::HeaderOnly | Quirk::Empty | Quirk::HugeLines | Quirk::EndlessLine
            ),
            // It takes each line for a C string.
            Self::Mutt => quirk != Quirk::Nul,
        }
    }
}

fn curl(account: &Account, count: usize, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    if count == 0 {
        return Vec::new();
    }
    let url = format!("pop3://{}", account.address);
    let login = format!("{}:{}", account.user, account.password);
    run_well("curl", dir.path(), |command| {
        let common = ["--silent", "--show-error", "--user", &login];
        command.args(common);
        command.args(["--output", "#1.eml", &format!("{url}/[1-{count}]")]);
        if then == Then::Delete {
            // curl keeps the connection for the next operation: it is one call.
            command.arg("--next").args(common);
            command.args(["--head", "--request", "DELE"]);
            command.args(["--output", "#1.dele", &format!("{url}/[1-{count}]")]);
        }
    });
    stored_in(dir.path(), ".eml")
}

fn poplib(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    const SCRIPT: &str = "\
import poplib, sys
host, port, user, password, then = sys.argv[1:]
poplib._MAXLINE = 1 << 24
p = poplib.POP3(host, int(port), timeout=60)
p.user(user)
p.pass_(password)
for number in range(1, p.stat()[0] + 1):
    lines = p.retr(number)[1]
    with open('%d.eml' % number, 'wb') as f:
        for line in lines:
            f.write(line + b'\\r\\n')
    if then == 'Delete':
        p.dele(number)
p.quit()
";
    run_well("python3", dir.path(), |command| {
        let address = account.address;
        command.args(["-c", SCRIPT, &address.ip().to_string()]);
        command.args([
            &address.port().to_string(),
            &account.user,
            &account.password,
        ]);
        command.arg(format!("{then:?}"));
    });
    stored_in(dir.path(), ".eml")
}

fn fetchmail(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    let (address, user, password) = (account.address, &account.user, &account.password);
    let then = match then {
        Then::Keep => "keep",
        Then::Delete => "nokeep",
    };
    let rc = format!(
        "set no bouncemail
set no spambounce
set invisible
set idfile \"{home}/ids\"
set pidfile \"{home}/pid\"
poll {host} protocol POP3 service {port} plugin \"socat - TCP:%h:%p\" uidl auth password no dns
  user \"{user}\" password \"{password}\" is \"nobody\" here {then} fetchall no rewrite
  no mimedecode no stripcr no dropstatus no dropdelivered pass8bits sslproto ''
  mda \"/bin/sh {home}/deliver\"
",
        home = dir.path().display(),
        host = address.ip(),
        port = address.port(),
    );
    fs::write(dir.join("rc"), rc).unwrap();
    set_mode(&dir.join("rc"), 0o600);
    let deliver = format!("cat > $(mktemp {}/XXXXXXXX.eml)\n", dir.path().display());
    fs::write(dir.join("deliver"), deliver).unwrap();
    let output = run("fetchmail", dir.path(), |command| {
        command.env("FETCHMAILHOME", dir.path());
        command.args(["-f", "rc", "--nodetach", "--nosyslog", "-v"]);
    });
    // 1: there was no mail.
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "fetchmail: {output:?}"
    );
    stored_in(dir.path(), ".eml")
}

fn mutt(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    let (address, user, password) = (account.address, &account.user, &account.password);
    let then = match then {
        Then::Keep => "no",
        Then::Delete => "yes",
    };
    for part in ["cur", "new", "tmp"] {
        dir.subdirectory(&format!("spool/{part}"));
    }
    let rc = format!(
        "set mbox_type=Maildir
set spoolfile={home}/spool
set folder={home}
set tunnel=\"socat - TCP:{address}\"
set pop_host=pop://{user}@{address}
set pop_pass={password}
set pop_authenticators=user
set pop_delete={then}
set pop_last=no
set move=no
set quit=yes
set wait_key=no
set confirmappend=no
set header_cache=
push <fetch-mail><quit>
",
        home = dir.path().display(),
    );
    fs::write(dir.join("rc"), rc).unwrap();
    // mutt wants a terminal; script gives it one.
    run_well("script", dir.path(), |command| {
        command.args(["-qec", "mutt -n -F rc", "/dev/null"]);
    });
    // What it has shown once, it moves from new to cur.
    let mut mails = stored_in(&dir.join("spool/new"), "");
    mails.extend(stored_in(&dir.join("spool/cur"), ""));
    mails
}

/// The files in `dir` whose names end with `end`.
fn stored_in(dir: &Path, end: &str) -> Vec<Vec<u8>> {
    let files = fs::read_dir(dir).unwrap();
    let mut paths: Vec<_> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(end)))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
