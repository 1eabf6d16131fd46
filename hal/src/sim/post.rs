//! A mail server on the simulated LAN: POP3, small, and as bad as it is told to be.
//!
//! It counts what is asked of each mail, so that a test can say: copied once, never deleted.

use std::borrow::ToOwned;
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::time::Duration;

/// What is wrong with the server, for the connections that begin from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Nobody listens.
    Refused,
    /// The name server says that it has failed.
    NoName,
    /// Neither a look-up nor a connection ever comes to an end.
    BlackHole,
    /// A connection, and not one octet.
    Mute,
    /// The connection is cut after so many octets from the server.
    CutAfter(u64),
    /// `PASS` is refused: somebody else has the maildrop.
    InUse,
    /// `PASS` is refused, and no code says why.
    NotNow,
    /// `PASS` is refused with this code.
    Refuses(&'static str),
    /// Mails never end, once they are asked for whole.
    Endless,
    /// The connection is lost before `QUIT` comes: nothing is removed.
    QuitLost,
    /// Listings end after half of their lines, with a dot as if they were whole.
    ListingCut,
}

/// What was asked of a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `TOP` of the header alone.
    pub headers: u32,
    /// `TOP` of all of it.
    pub tops: u32,
    /// `RETR`.
    pub retrs: u32,
    /// `DELE`.
    pub deles: u32,
}

impl Asked {
    /// How often the whole mail was fetched.
    #[must_use]
    pub fn copies(self) -> u32 {
        self.tops + self.retrs
    }
}

/// A mail of an account.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its unique-id.
    pub uidl: String,
    /// The octets, with CR LF, before byte-stuffing.
    pub octets: Vec<u8>,
    /// What was asked of it.
    pub asked: Asked,
    /// It is still there.
    pub present: bool,
}

#[derive(Debug, Default)]
struct Account {
    password: String,
    mails: Vec<Mail>,
    locked: bool,
    /// Sessions that were let in.
    logins: u32,
    /// Listings that went out whole.
    listings: u32,
}

/// The server.
#[derive(Debug)]
pub struct Post {
    accounts: BTreeMap<String, Account>,
    /// What is wrong with it now.
    pub fault: Fault,
    /// How long octets take, each way.
    pub latency: Duration,
    /// Octets a second.
    pub rate: u64,
    /// Whether it says `PIPELINING`.
    pub pipelining: bool,
    /// Whether there is `TOP`.
    pub top: bool,
    /// Whether `QUIT` removes what was fetched whole.
    pub consumes: bool,
    /// Seconds it says that it wants between two logins; 0: nothing is said.
    pub login_delay: u32,
    connections: u32,
    octets: u64,
}

impl Default for Post {
    fn default() -> Self {
        Self {
            accounts: BTreeMap::new(),
            fault: Fault::None,
            latency: Duration::from_micros(300),
            rate: 10_000_000,
            pipelining: true,
            top: true,
            consumes: false,
            login_delay: 0,
            connections: 0,
            octets: 0,
        }
    }
}

impl Post {
    /// Opens an account.
    pub fn open_account(&mut self, login: &str, password: &str) {
        let account = self.accounts.entry(login.to_owned()).or_default();
        account.password = password.to_owned();
    }

    /// A mail comes in.
    pub fn deliver(&mut self, login: &str, uidl: &str, octets: &[u8]) {
        let account = self.accounts.entry(login.to_owned()).or_default();
        account.mails.push(Mail {
            uidl: uidl.to_owned(),
            octets: octets.to_vec(),
            asked: Asked::default(),
            present: true,
        });
    }

    /// A mail gets another unique-id.
    pub fn rename(&mut self, login: &str, uidl: &str, new: &str) {
        for mail in self.mails_mut(login).filter(|mail| mail.uidl == uidl) {
            new.clone_into(&mut mail.uidl);
        }
    }

    /// A mail is read at the desk: it is not listed any more.
    pub fn remove(&mut self, login: &str, uidl: &str) {
        for mail in self.mails_mut(login).filter(|mail| mail.uidl == uidl) {
            mail.present = false;
        }
    }

    /// The mail at this place, counted from 0 in the order they came, is read at the desk.
    pub fn remove_at(&mut self, login: &str, at: usize) {
        for mail in self.mails_mut(login).skip(at).take(1) {
            mail.present = false;
        }
    }

    /// A mail that was removed is listed again: a backup was restored, or a listing had lied.
    pub fn put_back(&mut self, login: &str, uidl: &str) {
        for mail in self.mails_mut(login).filter(|mail| mail.uidl == uidl) {
            mail.present = true;
        }
    }

    /// Every mail of the account gets the unique-id that `rename` makes of its old one.
    pub fn renumber(&mut self, login: &str, rename: impl Fn(&str) -> String) {
        for mail in self.mails_mut(login) {
            mail.uidl = rename(&mail.uidl);
        }
    }

    /// All mails the account ever had, oldest first.
    pub fn mails(&self, login: &str) -> impl Iterator<Item = &Mail> {
        self.accounts
            .get(login)
            .into_iter()
            .flat_map(|account| &account.mails)
    }

    /// What was asked of a mail, all that have this unique-id together.
    #[must_use]
    pub fn asked(&self, login: &str, uidl: &str) -> Asked {
        let mails = self.mails(login).filter(|mail| mail.uidl == uidl);
        mails.fold(Asked::default(), |sum, mail| Asked {
            headers: sum.headers + mail.asked.headers,
            tops: sum.tops + mail.asked.tops,
            retrs: sum.retrs + mail.asked.retrs,
            deles: sum.deles + mail.asked.deles,
        })
    }

    /// Unique-id listings of the account that went out whole.
    #[must_use]
    pub fn listings(&self, login: &str) -> u32 {
        self.accounts
            .get(login)
            .map_or(0, |account| account.listings)
    }

    /// Sessions of the account that were let in.
    #[must_use]
    pub fn logins(&self, login: &str) -> u32 {
        self.accounts.get(login).map_or(0, |account| account.logins)
    }

    /// Octets that went out, on all connections together.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// Connections that were asked for, whatever became of them.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    pub(super) fn count_connection(&mut self) {
        self.connections += 1;
    }

    pub(super) fn count_octets(&mut self, count: u64) {
        self.octets += count;
    }

    fn mails_mut(&mut self, login: &str) -> impl Iterator<Item = &mut Mail> {
        self.accounts
            .get_mut(login)
            .into_iter()
            .flat_map(|account| &mut account.mails)
    }
}

/// One connection's dialogue.
#[derive(Debug)]
pub(super) struct Session {
    greeted: bool,
    input: Vec<u8>,
    user: String,
    /// The account, once it is open, and places of its mails by message-number.
    open: Option<(String, Vec<usize>)>,
    deleted: Vec<usize>,
    /// A mail is being sent that never ends.
    endless: bool,
    over: bool,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            greeted: false,
            input: Vec::new(),
            user: String::new(),
            open: None,
            deleted: Vec::new(),
            endless: false,
            over: false,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn greet(&mut self, _: &Post, out: &mut VecDeque<u8>) {
        if !self.greeted {
            self.greeted = true;
            say(out, "+OK post ready");
        }
    }

    /// Goes on with a mail that never ends.
    pub(super) fn go_on(&self, out: &mut VecDeque<u8>) {
        if self.endless && out.is_empty() {
            say(out, "and so on");
        }
    }

    /// The connection is gone.
    pub(super) fn drop_line(&mut self, post: &mut Post) {
        if let Some((login, _)) = self.open.take()
            && let Some(account) = post.accounts.get_mut(&login)
        {
            account.locked = false;
        }
    }

    pub(super) fn take(&mut self, octets: &[u8], post: &mut Post, out: &mut VecDeque<u8>) {
        self.input.extend(octets);
        while !self.over
            && let Some(end) = self.input.iter().position(|&octet| octet == b'\n')
        {
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match (&self.open, verb.to_ascii_uppercase().as_str()) {
                (_, "CAPA") => {
                    say(out, "+OK");
                    if post.top {
                        say(out, "TOP");
                    }
                    for capability in ["UIDL", "USER", "RESP-CODES"] {
                        say(out, capability);
                    }
                    if post.pipelining {
                        say(out, "PIPELINING");
                    }
                    if post.login_delay > 0 {
                        say(out, &format!("LOGIN-DELAY {}", post.login_delay));
                    }
                    say(out, ".");
                }
                (_, "QUIT") if post.fault == Fault::QuitLost => {
                    self.drop_line(post);
                    self.over = true;
                }
                (_, "QUIT") => self.quit(post, out),
                (None, "USER") => {
                    rest.clone_into(&mut self.user);
                    say(out, "+OK");
                }
                (None, "PASS") => self.password(rest, post, out),
                (Some(_), verb) => self.transaction(verb, rest, post, out),
                (None, _) => say(out, "-ERR log in first"),
            }
        }
    }

    fn password(&mut self, password: &str, post: &mut Post, out: &mut VecDeque<u8>) {
        if post.fault == Fault::InUse {
            say(out, "-ERR [IN-USE] somebody else has it");
            return;
        }
        if let Fault::Refuses(code) = post.fault {
            say(out, &format!("-ERR [{code}] not now"));
            return;
        }
        if post.fault == Fault::NotNow {
            say(out, "-ERR try again later");
            return;
        }
        let Some(account) = post.accounts.get_mut(&self.user) else {
            say(out, "-ERR [AUTH] no");
            return;
        };
        if account.password != password {
            say(out, "-ERR [AUTH] no");
            return;
        }
        if account.locked {
            say(out, "-ERR [IN-USE] locked");
            return;
        }
        account.locked = true;
        account.logins += 1;
        let present = account.mails.iter().enumerate();
        let present = present.filter(|(_, mail)| mail.present);
        let places = present.map(|(at, _)| at);
        self.open = Some((self.user.clone(), places.collect()));
        say(out, "+OK");
    }

    fn transaction(&mut self, verb: &str, rest: &str, post: &mut Post, out: &mut VecDeque<u8>) {
        let Some((login, places)) = &self.open else {
            return;
        };
        let cut = post.fault == Fault::ListingCut;
        let top = post.top;
        let endless = post.fault == Fault::Endless;
        let consumes = post.consumes;
        let Some(account) = post.accounts.get_mut(login) else {
            return;
        };
        let mut words = rest.split(' ');
        let number = words.next().and_then(|word| word.parse::<usize>().ok());
        let place = number.and_then(|number| places.get(number.checked_sub(1)?).copied());
        let lines = |account: &Account, what: fn(&Mail) -> String| {
            let count = if cut { places.len() / 2 } else { places.len() };
            let listed = places
                .iter()
                .enumerate()
                .take(count)
                .filter_map(|(n, &at)| {
                    let mail = account.mails.get(at)?;
                    Some(format!("{} {}", n + 1, what(mail)))
                });
            listed.collect::<Vec<_>>()
        };
        match verb {
            "STAT" => {
                let octets: usize = places
                    .iter()
                    .filter_map(|&at| account.mails.get(at))
                    .map(|mail| mail.octets.len())
                    .sum();
                say(out, &format!("+OK {} {octets}", places.len()));
            }
            "UIDL" | "LIST" if rest.is_empty() => {
                let what: fn(&Mail) -> String = match verb {
                    "UIDL" => |mail| mail.uidl.clone(),
                    _ => |mail| mail.octets.len().to_string(),
                };
                say(out, "+OK");
                for line in lines(account, what) {
                    say(out, &line);
                }
                say(out, ".");
                account.listings += u32::from(verb == "UIDL" && !cut);
            }
            "NOOP" => say(out, "+OK"),
            "RSET" => {
                self.deleted.clear();
                say(out, "+OK");
            }
            "TOP" if !top => say(out, "-ERR not known"),
            "LIST" | "TOP" | "RETR" | "DELE" => {
                let mail = place.and_then(|at| account.mails.get_mut(at));
                let Some(mail) = mail.filter(|mail| mail.present) else {
                    say(out, "-ERR no such message");
                    return;
                };
                let number = number.unwrap_or_default();
                match verb {
                    "LIST" => say(out, &format!("+OK {number} {}", mail.octets.len())),
                    "DELE" => {
                        mail.asked.deles += 1;
                        self.deleted.extend(place);
                        say(out, "+OK");
                    }
                    "RETR" => {
                        mail.asked.retrs += 1;
                        self.deleted.extend(place.filter(|_| consumes));
                        send(out, &mail.octets, u64::MAX);
                    }
                    _ => {
                        let count = words.next().and_then(|word| word.parse().ok());
                        let count: u64 = count.unwrap_or_default();
                        if count > 1_000_000 {
                            mail.asked.tops += 1;
                            self.deleted.extend(place.filter(|_| consumes));
                            if endless {
                                self.endless = true;
                                say(out, "+OK");
                                return;
                            }
                        } else {
                            mail.asked.headers += 1;
                        }
                        send(out, &mail.octets, count);
                    }
                }
            }
            _ => say(out, "-ERR not known"),
        }
    }

    fn quit(&mut self, post: &mut Post, out: &mut VecDeque<u8>) {
        if let Some((login, _)) = &self.open
            && let Some(account) = post.accounts.get_mut(login)
        {
            for &at in &self.deleted {
                if let Some(mail) = account.mails.get_mut(at) {
                    mail.present = false;
                }
            }
        }
        self.drop_line(post);
        say(out, "+OK");
        self.over = true;
    }
}

fn say(out: &mut VecDeque<u8>, line: &str) {
    out.extend(line.as_bytes());
    out.extend(b"\r\n");
}

/// A mail's header and so many lines of its body, byte-stuffed, with its final dot.
fn send(out: &mut VecDeque<u8>, octets: &[u8], mut lines: u64) {
    say(out, "+OK");
    let mut body = false;
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        if body {
            let Some(left) = lines.checked_sub(1) else {
                break;
            };
            lines = left;
        }
        body |= line == b"\r\n";
        if line.starts_with(b".") {
            out.push_back(b'.');
        }
        out.extend(line);
    }
    if !octets.ends_with(b"\n") && !octets.is_empty() {
        out.extend(b"\r\n");
    }
    say(out, ".");
}
