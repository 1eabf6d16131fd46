//! Mail servers of the LAN in a few lines: each answers a line with octets, and owns no socket.
//!
//! They say of a maildrop what they are given, be it true or not, and note where in what they said
//! the listing ended, what was fetched whole, and whether they were told to quit.

use std::rc::Rc;

/// A mail as a server has it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Which mail it is.
    pub(crate) mail: usize,
    /// Its unique-id; at IMAP its UID in decimals.
    pub(crate) id: String,
    /// Marked as read there.
    pub(crate) seen: bool,
    /// Its octets, in lines that end in CR LF.
    pub(crate) octets: Rc<[u8]>,
}

/// Who answers lines.
pub(crate) trait Server {
    /// What is said before anything is heard.
    fn greet(&mut self, out: &mut Vec<u8>);
    /// What is said to `line`, without its end.
    fn hear(&mut self, line: &str, out: &mut Vec<u8>);
    /// TLS begins.
    fn start_tls(&mut self) {}
    /// Whether TLS comes about.
    fn has_tls(&self) -> bool {
        true
    }
    /// Whether the connection is closed when all was said.
    fn has_closed(&self) -> bool {
        false
    }
}

/// What is known after a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    /// Octets said.
    said: u64,
    /// Octets said up to the end of the first whole listing.
    pub(crate) listed_at: Option<u64>,
    /// Places in the listing of the mails that were fetched whole.
    pub(crate) fetched: Vec<usize>,
    /// Those whose header was asked for.
    pub(crate) headers: Vec<usize>,
    /// It was told to quit.
    pub(crate) quit: bool,
}

/// A POP3 server.
#[derive(Debug)]
pub(crate) struct Pop3 {
    pub(crate) held: Vec<Held>,
    /// `TOP` is known.
    pub(crate) top: bool,
    /// `UIDL` is known.
    pub(crate) uidl: bool,
    /// So many entries are left out of the listing, and `STAT` does not know.
    pub(crate) cut: usize,
    pub(crate) log: Log,
}

impl Server for Pop3 {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.say(out, b"+OK\r\n");
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        let mut words = line.split(' ');
        let verb = words.next().unwrap_or_default();
        let number: usize = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let mail = self.held.get(number.wrapping_sub(1)).cloned();
        match verb {
            "CAPA" => {
                let top: &[u8] = if self.top { b"TOP\r\n" } else { b"" };
                let uidl: &[u8] = if self.uidl { b"UIDL\r\n" } else { b"" };
                self.say(out, b"+OK\r\nUSER\r\nPIPELINING\r\n");
                self.say(out, top);
                self.say(out, uidl);
                self.say(out, b".\r\n");
            }
            "STAT" => {
                let octets: usize = self.held.iter().map(|held| held.octets.len()).sum();
                let stat = format!("+OK {} {octets}\r\n", self.held.len());
                self.say(out, stat.as_bytes());
            }
            "UIDL" if !self.uidl => self.say(out, b"-ERR what?\r\n"),
            "UIDL" => {
                let mut text = String::from("+OK\r\n");
                let shown = self.held.len() - self.cut.min(self.held.len());
                for (held, n) in self.held.iter().zip(1..).take(shown) {
                    text += &format!("{n} {}\r\n", held.id);
                }
                text += ".\r\n";
                self.say(out, text.as_bytes());
                if self.cut == 0 {
                    self.log.listed_at.get_or_insert(self.log.said);
                }
            }
            "LIST" if number == 0 => {
                let mut text = String::from("+OK\r\n");
                let shown = self.held.len() - self.cut.min(self.held.len());
                for (held, n) in self.held.iter().zip(1..).take(shown) {
                    text += &format!("{n} {}\r\n", held.octets.len());
                }
                text += ".\r\n";
                self.say(out, text.as_bytes());
            }
            "LIST" => match mail {
                Some(mail) => {
                    let size = format!("+OK {number} {}\r\n", mail.octets.len());
                    self.say(out, size.as_bytes());
                }
                None => self.say(out, b"-ERR\r\n"),
            },
            "TOP" | "RETR" => match mail {
                Some(mail) if verb == "RETR" || self.top => {
                    let header = verb == "TOP" && words.next() == Some("0");
                    self.say(out, b"+OK\r\n");
                    self.send(&mail, header, out);
                    if header {
                        self.log.headers.push(number - 1);
                    } else {
                        self.log.fetched.push(number - 1);
                    }
                }
                _ => self.say(out, b"-ERR\r\n"),
            },
            "QUIT" => {
                self.log.quit = true;
                self.say(out, b"+OK\r\n");
            }
            _ => self.say(out, b"+OK\r\n"),
        }
    }
}

impl Pop3 {
    pub(crate) fn new(held: Vec<Held>) -> Self {
        Self {
            held,
            top: true,
            uidl: true,
            cut: 0,
            log: Log::default(),
        }
    }

    fn send(&mut self, mail: &Held, header: bool, out: &mut Vec<u8>) {
        let octets = if header {
            header_of(&mail.octets)
        } else {
            &mail.octets[..]
        };
        let before = out.len();
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend(line);
        }
        out.extend(b".\r\n");
        self.log.said += (out.len() - before) as u64;
    }

    fn say(&mut self, out: &mut Vec<u8>, octets: &[u8]) {
        out.extend(octets);
        self.log.said += octets.len() as u64;
    }
}

/// An IMAP server without extensions.
#[derive(Debug)]
pub(crate) struct Imap {
    pub(crate) held: Vec<Held>,
    pub(crate) validity: u32,
    /// So many entries are left out of the listing, though the mailbox has them.
    pub(crate) cut: usize,
    pub(crate) log: Log,
}

impl Server for Imap {
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.say(out, b"* OK [CAPABILITY IMAP4rev1] here\r\n");
    }

    fn hear(&mut self, line: &str, out: &mut Vec<u8>) {
        let mut words = line.split(' ');
        let tag = words.next().unwrap_or_default();
        let verb = words.next().unwrap_or_default();
        let what = words.next().unwrap_or_default();
        let done = format!("{tag} OK done\r\n");
        let mut text = String::new();
        match verb {
            "EXAMINE" => {
                let (exists, validity) = (self.held.len(), self.validity);
                text = format!(
                    "* FLAGS (\\Seen)\r\n* {exists} EXISTS\r\n* OK [UIDVALIDITY {validity}] \
                     here\r\n* OK [UIDNEXT 10000] next\r\n"
                );
                if exists == 0 {
                    let said = (text.len() + done.len()) as u64;
                    self.log.listed_at.get_or_insert(self.log.said + said);
                }
            }
            "FETCH" => {
                let shown = self.held.len() - self.cut.min(self.held.len());
                for (held, n) in self.held.iter().zip(1..).take(shown) {
                    let flags = if held.seen { "\\Seen" } else { "" };
                    let (uid, octets) = (&held.id, held.octets.len());
                    text += &format!(
                        "* {n} FETCH (UID {uid} FLAGS ({flags}) RFC822.SIZE {octets})\r\n"
                    );
                }
                if self.cut == 0 {
                    let said = (text.len() + done.len()) as u64;
                    self.log.listed_at.get_or_insert(self.log.said + said);
                }
            }
            "UID" => {
                let uid = words.next().unwrap_or_default();
                let header = line.contains("HEADER");
                let place = self.held.iter().position(|held| held.id == uid);
                debug_assert_eq!(what, "FETCH");
                if let Some(at) = place {
                    let octets = self.held[at].octets.clone();
                    let (octets, section) = match header {
                        true => (header_of(&octets), "HEADER"),
                        false => (&octets[..], ""),
                    };
                    let begin = format!(
                        "* {} FETCH (UID {uid} BODY[{section}] {{{}}}\r\n",
                        at + 1,
                        octets.len()
                    );
                    self.say(out, begin.as_bytes());
                    self.say(out, octets);
                    text = String::from(")\r\n");
                    if !header {
                        self.log.fetched.push(at);
                    }
                }
            }
            "LOGOUT" => {
                self.log.quit = true;
                text = String::from("* BYE see you\r\n");
            }
            _ => {}
        }
        self.say(out, text.as_bytes());
        self.say(out, done.as_bytes());
    }
}

impl Imap {
    pub(crate) fn new(held: Vec<Held>, validity: u32) -> Self {
        Self {
            held,
            validity,
            cut: 0,
            log: Log::default(),
        }
    }

    fn say(&mut self, out: &mut Vec<u8>, octets: &[u8]) {
        out.extend(octets);
        self.log.said += octets.len() as u64;
    }
}

fn header_of(octets: &[u8]) -> &[u8] {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
    &octets[..end.map_or(octets.len(), |at| at + 4)]
}
