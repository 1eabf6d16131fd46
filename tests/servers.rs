//! Real mail servers of the LAN: the gateway visits them, and nothing there shows it.
//!
//! ```text
//!   before  a reader of another maildrop with the same mails gets what the server sends of each
//!           the desk opens its own twice: what any login leaves behind is not ours
//!   visits  killed in the middle of a copy | the wire cut there | whole | whole, nothing new
//!   after   every file as it was: mails, flags, lists, indices, and when they were written
//!           every copy as the server sends it; what is then read at the desk is not offered
//! ```
//!
//! A server that this machine cannot have is left out, which is said.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::Account;
use support::caller::{Caller, Then};
use support::corpus::{self, Quirk};
use support::dovecot::Settings;
use support::gateway::{Gateway, user_of};
use support::mails::assert_same;
use support::pop3::Session;
use support::process::run_well;
use support::servers::{File, Kind, Lan};
use support::temp::TempDir;
use support::wire::Wire;

/// Octets of the mail that is copied when the gateway is killed.
const LARGE: usize = 800_000;
/// Octets after which that happens: more than all before it, less than it.
const MIDDLE: usize = 400_000;

type Files = BTreeMap<PathBuf, File>;
/// Judges what is there after a visit by what was there before.
type Judge = fn(&Files, &Files);

/// One server, one gateway, and the wire between them.
struct House {
    lan: Lan,
    wire: Wire,
    gateway: Gateway,
    /// What the server sends of each mail, in its order.
    sent: Vec<Vec<u8>>,
}

/// Mails of the kinds that `wanted` wants, each with an id of its own, and a large one among them.
fn mails(wanted: impl Fn(Quirk) -> bool) -> Vec<Vec<u8>> {
    let mails = corpus::mails(41, 40, wanted).into_iter();
    let mut mails: Vec<_> = mails.map(|mail| mail.stored).collect();
    mails.retain(|mail| mail.len() < MIDDLE / 20);
    mails.truncate(18);
    let mut large = b"From: Bob <bob@lan.example>\nSubject: large\n\n".to_vec();
    while large.len() < LARGE {
        large.extend(format!("line at {}\n", large.len()).as_bytes());
    }
    mails.insert(9, large);
    for (number, mail) in mails.iter_mut().enumerate() {
        let end = if mail.contains(&b'\r') { "\r\n" } else { "\n" };
        let id = format!("Message-ID: <{number}@lan.example>{end}");
        mail.splice(0..0, id.into_bytes());
    }
    mails
}

impl House {
    /// Nothing, where the server cannot be had.
    fn new(kind: Kind, settings: Settings) -> Option<Self> {
        Self::with(kind, settings, &mails(|quirk| takes(kind, quirk)))
    }

    fn with(kind: Kind, settings: Settings, mails: &[Vec<u8>]) -> Option<Self> {
        if let Some(why) = kind.missing() {
            eprintln!("LEFT OUT: {kind:?}: {why}");
            return None;
        }
        let lan = Lan::start(kind, settings, mails);
        for _ in 0..2 {
            open(kind, &lan.account("alice"));
        }
        // What a login writes into the mails themselves is in both.
        lan.copy_to_bob();
        open(kind, &lan.account("bob"));
        let mut sent = if kind.imap() {
            peeked(&lan.account("bob"))
        } else {
            Caller::Poplib.call(&lan.account("bob"), mails.len(), Then::Keep)
        };
        assert_eq!(sent.len(), mails.len(), "the server has all of them");
        // Its TOP has one empty line more than its RETR, which would mark the mail read.
        for mail in sent.iter_mut().filter(|_| kind == Kind::MailutilsPop3) {
            let end = mail.windows(4).position(|octets| octets == b"\r\n\r\n");
            let body = end.unwrap() + 4;
            mail.splice(body..body, *b"\r\n");
        }
        let wire = Wire::start(lan.account("alice").address);
        let gateway = Gateway::start(&config(&lan, &wire, kind));
        Some(Self {
            gateway,
            lan,
            wire,
            sent,
        })
    }

    /// The server knows these commands no more, and a new gateway does not know that it did.
    fn hide(&mut self, commands: &'static [&'static str]) {
        let kind = Kind::DovecotPop3;
        self.wire = Wire::without(self.lan.account("alice").address, commands);
        self.gateway = Gateway::start(&config(&self.lan, &self.wire, kind));
    }

    fn files(&mut self) -> Files {
        self.lan.wait_idle();
        self.lan.files()
    }

    /// Lets the gateway begin to copy, and stop in the middle of the large mail.
    fn half_a_copy(&self) {
        self.wire.hold_after(MIDDLE);
        self.gateway.attach("poll alice");
        self.wire.wait_held();
    }

    /// Lets the gateway copy all mails, in as many visits as it takes.
    fn copy_all(&self) {
        self.gateway.attach("poll alice");
        let all = format!("{} waiting here", self.sent.len());
        self.gateway.wait_for("show user alice", &all);
        self.visit();
    }

    /// A whole visit; what the gateway says of it.
    fn visit(&self) -> String {
        self.gateway.poll("alice");
        self.lan.wait_idle();
        let log = self.gateway.log();
        let said = log.iter().rfind(|line| line.contains("visit")).cloned();
        let said = said.unwrap_or_default();
        assert!(!said.contains("failed"), "{said}");
        said
    }

    fn call(&self, then: Then, count: usize) -> Vec<Vec<u8>> {
        Caller::Poplib.call(&self.gateway.account("alice"), count, then)
    }
}

/// Of a gateway whose user alice has her mail at the other end of `wire`.
fn config(lan: &Lan, wire: &Wire, kind: Kind) -> String {
    let account = Account {
        address: wire.address,
        ..lan.account("alice")
    };
    let config = user_of(&account);
    if kind.imap() {
        return config.replace("pop3://", "imap://");
    }
    config
}

/// All visits of the picture above; `same` judges the files after each against those before.
fn no_trace(kind: Kind, settings: Settings, same: impl Fn(&Files, &Files)) {
    let Some(mut house) = House::new(kind, settings) else {
        return;
    };
    let listing = open(kind, &house.lan.account("alice"));
    let before = house.files();

    house.half_a_copy();
    house.gateway.crash();
    house.wire.cut();
    same(&house.files(), &before);

    house.half_a_copy();
    house.wire.cut();
    assert!(house.gateway.says("visit failed"), "it goes on");
    same(&house.files(), &before);

    house.visit();
    same(&house.files(), &before);
    let said = house.visit();
    assert!(said.contains(" 0 new, 0 copied"), "{said}");
    same(&house.files(), &before);

    assert_same(&house.call(Then::Keep, 19), &house.sent);
    same(&house.files(), &before);
    assert_eq!(open(kind, &house.lan.account("alice")), listing);

    // Read at the desk: gone there, gone here; and by IMAP, marked there, gone here.
    house.lan.remove_first();
    house.visit();
    assert_same(&house.call(Then::Keep, 18), &house.sent[1..]);
    let mut left = house.sent[1..].to_vec();
    if kind.imap() {
        house.lan.mark_first_read();
        house.visit();
        left.remove(0);
        assert_same(&house.call(Then::Keep, 17), &left);
    }
    // What the caller takes stays where it was.
    let before = house.files();
    assert_same(&house.call(Then::Delete, left.len()), &left);
    same(&house.files(), &before);
    assert_same(&house.call(Then::Keep, 0), &[]);
}

/// What the server itself carries unharmed, and announces with its true size.
fn takes(kind: Kind, quirk: Quirk) -> bool {
    match quirk {
        // To mailutils, a mail in an mbox ends only after a line that is empty without CR.
        Quirk::Crlf => !kind.mbox(),
        _ => matches!(
            quirk,
            Quirk::Plain
                | Quirk::EightBit
                | Quirk::DotLines
                | Quirk::LongLines
                | Quirk::HugeLines
                | Quirk::ModemWords
        ),
    }
}

fn equal(after: &Files, before: &Files) {
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(after), names(before), "no trace");
    for (name, file) in before {
        let unlike = after[name].0 != file.0;
        assert!(!unlike, "{} has other octets", name.display());
        assert!(after[name] == *file, "{} was written", name.display());
    }
}

/// Dovecot takes notes of what it has read: `dovecot.index.*`, and sizes in its list of unique-ids.
/// Nobody sees them; the ids, the names and their order are as they were.
fn equal_but_for_notes(after: &Files, before: &Files) {
    let ids = |files: &Files| {
        let list = &files[Path::new("dovecot-uidlist")].0;
        let list = String::from_utf8_lossy(list).into_owned();
        let id = |line: &str| {
            Some((
                line.split(' ').next()?.to_owned(),
                line.split_once(" :")?.1.to_owned(),
            ))
        };
        let ids: Vec<_> = list.lines().skip(1).map(|line| id(line).unwrap()).collect();
        (list.split(' ').nth(1).map(str::to_owned), ids)
    };
    assert_eq!(ids(after), ids(before), "no trace");
    let others = |files: &Files| {
        let mut files = files.clone();
        files.retain(|name, _| !name.to_string_lossy().starts_with("dovecot"));
        files
    };
    equal(&others(after), &others(before));
}

/// What a reader at the desk sees who reads nothing: numbers, ids, sizes, flags, in their order.
fn open(kind: Kind, account: &Account) -> Vec<String> {
    if kind.imap() {
        return imaplib(account, "SELECT", "FLAGS UID RFC822.SIZE");
    }
    let mut session = Session::login(account).unwrap();
    let mut lines = vec![session.ask("STAT").unwrap()];
    for command in ["LIST", "UIDL"] {
        let listing = session.listing(command).unwrap().into_iter();
        lines.extend(listing.map(|(number, word)| format!("{number} {word}")));
    }
    session.quit().unwrap();
    lines
}

/// The octets of each mail, by IMAP, with nothing changed.
fn peeked(account: &Account) -> Vec<Vec<u8>> {
    let lines = imaplib(account, "EXAMINE", "BODY.PEEK[]").into_iter();
    lines
        .map(|line| {
            let digits = line.as_bytes().chunks(2);
            let octet = |pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.map(octet).collect()
        })
        .collect()
}

/// One line for each mail: what was asked for or, of a literal, its octets in hexadecimal.
fn imaplib(account: &Account, how: &str, what: &str) -> Vec<String> {
    const SCRIPT: &str = "\
import imaplib, sys
host, port, user, password, how, what = sys.argv[1:]
imaplib._MAXLINE = 1 << 24
c = imaplib.IMAP4(host, int(port), timeout=60)
c.login(user, password)
c.select('INBOX', readonly=(how == 'EXAMINE'))
for part in c.fetch('1:*', '(' + what + ')')[1]:
    if isinstance(part, tuple):
        print(part[1].hex())
    elif part != b')':
        print(part.decode())
c.logout()
";
    let dir = TempDir::new();
    let output = run_well("python3", dir.path(), |command| {
        let (host, port) = (account.address.ip(), account.address.port());
        command.args(["-c", SCRIPT, &host.to_string(), &port.to_string()]);
        command.args([&account.user, &account.password, how, what]);
    });
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(str::to_owned).collect()
}

#[test]
fn dovecot_by_pop3() {
    no_trace(Kind::DovecotPop3, Settings::default(), equal_but_for_notes);
}

#[test]
fn dovecot_by_imap() {
    no_trace(Kind::DovecotImap, Settings::default(), equal_but_for_notes);
}

/// Cyrus notes in a mailbox's index when somebody was last let in by POP3: in four octets of its
/// head, and in the checksum of that.
fn equal_but_for_the_last_login(after: &Files, before: &Files) {
    let is_index = |name: &PathBuf| name.ends_with("cyrus.index");
    let with_masks = |files: &Files| {
        let mut files = files.clone();
        for (_, file) in files.iter_mut().filter(|(name, _)| is_index(name)) {
            for at in (40..44).chain(156..160) {
                file.0[at] = 0;
            }
            (file.1, file.2) = (0, 0);
        }
        files
    };
    assert_eq!(before.keys().filter(|name| is_index(name)).count(), 2);
    equal(&with_masks(after), &with_masks(before));
}

#[test]
fn cyrus_by_pop3() {
    no_trace(
        Kind::CyrusPop3,
        Settings::default(),
        equal_but_for_the_last_login,
    );
}

#[test]
fn cyrus_by_imap() {
    no_trace(Kind::CyrusImap, Settings::default(), equal);
}

#[test]
fn courier_by_pop3() {
    no_trace(Kind::CourierPop3, Settings::default(), equal);
}

#[test]
fn courier_by_imap() {
    no_trace(Kind::CourierImap, Settings::default(), equal);
}

#[test]
fn mailutils_by_pop3() {
    no_trace(Kind::MailutilsPop3, Settings::default(), equal);
}

#[test]
fn mailutils_by_imap() {
    no_trace(Kind::MailutilsImap, Settings::default(), equal);
}

#[test]
fn popa3d_by_pop3() {
    no_trace(Kind::Popa3d, Settings::default(), equal);
}

/// Mails whose octets the server changes on the way, or whose size it does not know: those in
/// doubt come twice, and are not marked read for it.
fn odd_mails(kind: Kind, same: impl Fn(&Files, &Files)) {
    let mails = corpus::mails(43, 40, |quirk| quirk != Quirk::DotFirst).into_iter();
    let mails: Vec<_> = mails.map(|mail| mail.stored).collect();
    let Some(mut house) = House::with(kind, Settings::default(), &mails) else {
        return;
    };
    let before = house.files();
    house.copy_all();
    same(&house.files(), &before);
    assert_same(&house.call(Then::Keep, mails.len()), &house.sent);
    same(&house.files(), &before);
}

#[test]
fn odd_mails_on_dovecot_leave_no_trace() {
    odd_mails(Kind::DovecotPop3, equal_but_for_notes);
}

#[test]
fn odd_mails_on_courier_leave_no_trace() {
    odd_mails(Kind::CourierPop3, equal);
}

/// Without `TOP` there is only `RETR`, which marks a mail read, even where the wire is cut then.
/// `RSET` takes that back, and is said after each mail: no mark is left but of the one cut.
#[test]
fn dovecot_without_top_keeps_one_mark_at_the_most() {
    let kind = Kind::DovecotPop3;
    let mails = mails(|quirk| takes(kind, quirk));
    let mut house = House::with(kind, Settings::default(), &mails).unwrap();
    house.hide(&["TOP"]);
    let before = house.files();
    house.copy_all();
    equal_but_for_notes(&house.files(), &before);
    assert_same(&house.call(Then::Keep, 19), &house.sent);

    house.hide(&["TOP"]);
    house.half_a_copy();
    house.wire.cut();
    assert!(house.gateway.says("visit failed"), "it goes on");
    house.copy_all();
    assert!(marked_read(&house.files()) <= 1);
    assert_same(&house.call(Then::Keep, 19), &house.sent);
}

/// Without `UIDL` its mails are known by their headers.
#[test]
fn dovecot_without_unique_ids_leaves_no_trace() {
    let kind = Kind::DovecotPop3;
    let mails = mails(|quirk| takes(kind, quirk));
    let mut house = House::with(kind, Settings::default(), &mails).unwrap();
    house.hide(&["UIDL"]);
    let before = house.files();
    house.copy_all();
    let said = house.visit();
    assert!(said.contains(" 19 listed, 0 new, 0 copied"), "{said}");
    equal_but_for_notes(&house.files(), &before);
    assert_same(&house.call(Then::Keep, 19), &house.sent);

    house.lan.remove_first();
    house.visit();
    assert_same(&house.call(Then::Delete, 18), &house.sent[1..]);
    house.visit();
    assert_same(&house.call(Then::Keep, 0), &[]);
}

/// Where `LAST` is known, `RSET` would take the mark off every mail that was read at the desk.
#[test]
fn what_was_read_at_the_desk_stays_marked_where_reset_would_clear_it() {
    let kind = Kind::DovecotPop3;
    let settings = Settings {
        more: "protocol pop3 {\n  pop3_enable_last = yes\n}\n",
        ..Settings::default()
    };
    let mails = mails(|quirk| takes(kind, quirk));
    let mut house = House::with(kind, settings, &mails).unwrap();
    house.lan.mark_first_read();
    open(kind, &house.lan.account("alice"));
    house.hide(&["TOP"]);
    house.copy_all();
    assert_eq!(marked_read(&house.files()), 19, "none was cleared");
}

fn marked_read(files: &Files) -> usize {
    let marked = |name: &&PathBuf| name.to_string_lossy().ends_with(":2,S");
    files.keys().filter(marked).count()
}

/// Servers are at odds over the size of a mail whose last line has no end: no reason to ask for it
/// by RETR, which would mark it read.
#[test]
fn a_last_line_without_its_end_leaves_no_trace() {
    let (courier, dovecot) = (Kind::CourierPop3, Kind::DovecotPop3);
    let judges: [(Kind, Judge); 2] = [(courier, equal), (dovecot, equal_but_for_notes)];
    for (kind, same) in judges {
        if let Some(why) = kind.missing() {
            eprintln!("LEFT OUT: {kind:?}: {why}");
            continue;
        }
        let ends = ["\n", "", "\n", "\r", "\r\n.\n\r\n", "\nlast"].into_iter();
        let mail = |(number, end)| format!("Message-ID: <{number}@lan.example>\n\nHello{end}");
        let mails: Vec<_> = ends.enumerate().map(mail).map(String::into_bytes).collect();
        let mut lan = Lan::start(kind, Settings::default(), &mails);
        let account = lan.account("alice");
        for _ in 0..2 {
            open(kind, &account);
        }
        lan.wait_idle();
        let before = lan.files();
        let gateway = Gateway::start(&user_of(&account));
        gateway.attach("poll alice");
        gateway.wait_for("show user alice", "6 waiting here");
        gateway.poll("alice");
        lan.wait_idle();
        same(&lan.files(), &before);
    }
}
