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
use super::pop3::Session;
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
    /// neomutt through a tunnel.
    Neomutt,
    /// mpop: pipelines, and proves itself by SCRAM.
    Mpop,
    /// getmail: proves itself by APOP.
    Getmail,
    /// Perl's Net::POP3.
    NetPop3,
    /// s-nail: proves itself by APOP where a greeting invites it.
    Snail,
    /// What Thunderbird says.
    Thunderbird,
    /// What Outlook says.
    Outlook,
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
    pub(crate) const ALL: [Self; 11] = [
        Self::Curl,
        Self::Poplib,
        Self::Fetchmail,
        Self::Mutt,
        Self::Neomutt,
        Self::Mpop,
        Self::Getmail,
        Self::NetPop3,
        Self::Snail,
        Self::Thunderbird,
        Self::Outlook,
    ];

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
            Self::Mutt => mutt("mutt", account, then, &dir),
            Self::Neomutt => mutt("neomutt", account, then, &dir),
            Self::Mpop => mpop(account, then, &dir),
            Self::Getmail => getmail(account, then, &dir),
            Self::NetPop3 => net_pop3(account, then, &dir),
            Self::Snail => snail(account, then, &dir),
            Self::Thunderbird => thunderbird(account, then),
            Self::Outlook => outlook(account, then),
        }
    }

    /// What this client stores where a server sent `sent`, if it [preserves](Self::preserves) it.
    pub(crate) fn stores(self, sent: &[u8]) -> Vec<u8> {
        match self {
            Self::Curl | Self::Poplib | Self::Fetchmail => sent.to_vec(),
            Self::Thunderbird | Self::Outlook => sent.to_vec(),
            _ => with_lf(sent),
        }
    }

    /// Whether a mail with this quirk comes through this client unchanged.
    pub(crate) fn preserves(self, quirk: Quirk) -> bool {
        match self {
            Self::Curl | Self::Poplib | Self::Thunderbird | Self::Outlook => true,
            Self::NetPop3 => true,
            // They read lines, or parse what they store.
            Self::Mpop | Self::Getmail | Self::Snail => matches!(
                quirk,
                Quirk::Plain | Quirk::EightBit | Quirk::DotLines | Quirk::ModemWords | Quirk::Twin
            ),
            // It ends a header that has no end, calls a mail without one "headerless", and puts
            // octets of its own into lines beyond its buffer of 8 KiB.
            Self::Fetchmail => !matches!(
                quirk,
                Quirk::HeaderOnly | Quirk::Empty | Quirk::HugeLines | Quirk::EndlessLine
            ),
            // It takes each line for a C string.
            Self::Mutt | Self::Neomutt => quirk != Quirk::Nul,
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

fn mutt(program: &str, account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
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
        command.args(["-qec", &format!("{program} -n -F rc"), "/dev/null"]);
    });
    // What it has shown once, it moves from new to cur.
    let mut mails = stored_in(&dir.join("spool/new"), "");
    mails.extend(stored_in(&dir.join("spool/cur"), ""));
    mails
}

fn mpop(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    let (address, user, password) = (account.address, &account.user, &account.password);
    let keep = if then == Then::Keep { "on" } else { "off" };
    for part in ["cur", "new", "tmp"] {
        dir.subdirectory(&format!("mail/{part}"));
    }
    let rc = format!(
        "account a
host {host}
port {port}
tls off
auth scram-sha-256
user {user}
password {password}
delivery maildir {home}/mail
uidls_file {home}/uidls
keep {keep}
received_header off
account default : a
",
        home = dir.path().display(),
        host = address.ip(),
        port = address.port(),
    );
    fs::write(dir.join("rc"), rc).unwrap();
    set_mode(&dir.join("rc"), 0o600);
    run_well("mpop", dir.path(), |command| {
        command.args(["-q", "-C", "rc"]);
    });
    stored_in(&dir.join("mail/new"), "")
}

fn getmail(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    let (address, user, password) = (account.address, &account.user, &account.password);
    let delete = if then == Then::Keep { "false" } else { "true" };
    for part in ["cur", "new", "tmp"] {
        dir.subdirectory(&format!("mail/{part}"));
    }
    // It never delivers as root: where that is who runs it, the mail is nobody's.
    let root = run("id", dir.path(), |command| {
        command.arg("-u");
    });
    let mut owner = "";
    if root.stdout == b"0\n" {
        owner = "user = nobody";
        set_mode(dir.path(), 0o755);
        run_well("chown", dir.path(), |command| {
            command.args(["-R", "nobody", "mail"]);
        });
    }
    let rc = format!(
        "[retriever]
type = SimplePOP3Retriever
server = {host}
port = {port}
username = {user}
password = {password}
use_apop = true
[destination]
type = Maildir
path = {home}/mail/
{owner}
[options]
delete = {delete}
delivered_to = false
received = false
verbose = 0
",
        home = dir.path().display(),
        host = address.ip(),
        port = address.port(),
    );
    fs::write(dir.join("rc"), rc).unwrap();
    run_well("getmail", dir.path(), |command| {
        command.arg(format!("--getmaildir={}", dir.path().display()));
        command.args(["--rcfile=rc", "-q"]);
    });
    // It writes the envelope's sender in front, which nobody has told it.
    let own = b"Return-Path: <unknown>\n";
    let mails = stored_in(&dir.join("mail/new"), "").into_iter();
    mails
        .map(|mail| mail.strip_prefix(own).map_or(mail.clone(), <[u8]>::to_vec))
        .collect()
}

fn net_pop3(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    const SCRIPT: &str = "\
use Net::POP3;
my ($host, $port, $user, $password, $then) = @ARGV;
my $pop = Net::POP3->new($host, Port => $port, Timeout => 60) or die 'no greeting';
my $count = $pop->login($user, $password);
die 'no login' unless defined $count;
for my $number (1 .. $count) {
    my $lines = $pop->get($number) or die \"no mail $number\";
    open(my $file, '>:raw', \"$number.eml\");
    print $file @$lines;
    close $file;
    if ($then eq 'Delete') { $pop->delete($number) or die 'not deleted'; }
}
$pop->quit or die 'no good-bye';
";
    run_well("perl", dir.path(), |command| {
        let address = account.address;
        command.args(["-e", SCRIPT, &address.ip().to_string()]);
        command.args([
            &address.port().to_string(),
            &account.user,
            &account.password,
        ]);
        command.arg(format!("{then:?}"));
    });
    stored_in(dir.path(), ".eml")
}

fn snail(account: &Account, then: Then, dir: &TempDir) -> Vec<Vec<u8>> {
    let (address, user, password) = (account.address, &account.user, &account.password);
    let delete = if then == Then::Keep { "" } else { "delete *\n" };
    let commands = format!("copy * {}/copies\n{delete}quit\n", dir.path().display());
    fs::write(dir.join("commands"), commands).unwrap();
    run_well("s-nail", dir.path(), |command| {
        command.args(["-:/", "-S", "v15-compat=yes"]);
        command.args(["-f", &format!("pop3://{user}:{password}@{address}")]);
        command.stdin(fs::File::open(dir.join("commands")).unwrap());
    });
    let copies = fs::read(dir.join("copies")).unwrap_or_default();
    mbox(&copies)
}

/// The mails of an mbox, as they were before they were put in.
fn mbox(octets: &[u8]) -> Vec<Vec<u8>> {
    let mut mails: Vec<Vec<u8>> = Vec::new();
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b"From ") {
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut() {
            let own = [&b"Status:"[..], b"X-Status:"];
            if !own.iter().any(|field| line.starts_with(field)) {
                mail.extend(
                    line.strip_prefix(b">")
                        .filter(|l| l.starts_with(b"From "))
                        .unwrap_or(line),
                );
            }
        }
    }
    for mail in &mut mails {
        // An empty line parts them.
        if mail.ends_with(b"\n\n") {
            mail.pop();
        }
    }
    mails
}

/// Thunderbird's commands, one after the other.
fn thunderbird(account: &Account, then: Then) -> Vec<Vec<u8>> {
    let mut session = Session::connect(account.address).unwrap();
    session.ask("AUTH").ok().map(|_| session.lines().unwrap());
    session.ask("CAPA").unwrap();
    session.lines().unwrap();
    let message = format!("\0{}\0{}", account.user, account.password);
    session.send(b"AUTH PLAIN\r\n");
    session.challenge().unwrap();
    session.ask(&base64(message.as_bytes())).unwrap();
    session.ask("STAT").unwrap();
    let count = session.listing("LIST").unwrap().len();
    session.listing("UIDL").unwrap();
    let mut mails = Vec::new();
    for number in 1..=count {
        session.ask(&format!("RETR {number}")).unwrap();
        mails.push(session.lines().unwrap());
        if then == Then::Delete {
            session.ask(&format!("DELE {number}")).unwrap();
        }
    }
    session.quit().unwrap();
    mails
}

/// Outlook's: `AUTH` alone, never `UIDL` with a number, all deletions at the end.
fn outlook(account: &Account, then: Then) -> Vec<Vec<u8>> {
    let mut session = Session::connect(account.address).unwrap();
    session.ask("AUTH").ok().map(|_| session.lines().unwrap());
    session.ask(&format!("USER {}", account.user)).unwrap();
    session.ask(&format!("PASS {}", account.password)).unwrap();
    session.ask("STAT").unwrap();
    let count = session.listing("UIDL").unwrap().len();
    session.listing("LIST").unwrap();
    let mut mails = Vec::new();
    for number in 1..=count {
        session.ask(&format!("RETR {number}")).unwrap();
        mails.push(session.lines().unwrap());
    }
    for number in (1..=count).filter(|_| then == Then::Delete) {
        session.ask(&format!("DELE {number}")).unwrap();
    }
    session.quit().unwrap();
    mails
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in octets.chunks(3) {
        let all = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = all[0] << 16 | all[1] << 8 | all[2];
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
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
