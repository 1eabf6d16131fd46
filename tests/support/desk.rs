//! A gateway without modem and clock: mailbox, store, visits and calls, octet by octet.
//!
//! ```text
//! memory.power(medium, |desk| {
//!     desk.visit(user, Goal::Poll, server, wire);     a visit, cut where the test says so
//!     desk.dial(user, view); desk.say("RETR 1", ..);  a call
//! })                                                   power is off: the medium comes back
//! ```

use hal::lan::{ConnectError, Connection};
use hal::sim::SimMedium;
use hal::{Duration, Instant, TlsError};
use ringmail::config::{Config, User};
use ringmail::link::Link;
use ringmail::mailbox::calls::CallRecord;
use ringmail::mailbox::maildrop::{Item, Maildrop};
use ringmail::mailbox::{Ledger, Mailbox, Slot, View};
use ringmail::poll::visit::{Event, Goal, Report, Standing, Tables, Visit};
use ringmail::pop3::server::{self, Options};
use ringmail::reconcile::{Key, Listed};
use ringmail::store::{self, Buffers, Geometry, Segment, Space};

use super::lan::Server;

/// Memory for one gateway at a time.
pub(crate) struct Memory {
    segments: Vec<Segment>,
    buffers: Box<Buffers>,
    slots: Vec<Slot>,
    heads: Vec<u32>,
    calls: Vec<CallRecord>,
    items: Vec<Item>,
    listing: Vec<Listed>,
    order: Vec<u32>,
    matched: Vec<u32>,
    settled: Vec<u32>,
    link: Link,
    line: Link,
}

/// A gateway under power.
pub(crate) struct Desk<'m> {
    pub(crate) mailbox: Mailbox<'m, SimMedium>,
    pub(crate) account: u8,
    pub(crate) now: Instant,
    /// Today, as days since 1970.
    pub(crate) day: u16,
    /// What the next visit may compare with.
    pub(crate) recalled: Option<Standing>,
    /// The LAN server is in a private network.
    pub(crate) near: bool,
    visit: Visit<'m>,
    maildrop: Maildrop<'m>,
    link: &'m mut Link,
    line: &'m mut Link,
    server: Option<server::Server>,
}

/// How octets come from the LAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    /// So many at once.
    pub(crate) chunk: usize,
    /// What happens after some of them.
    pub(crate) stop: Stop,
}

/// What happens to a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    /// The connection closes after so many octets.
    Closed(u64),
    /// Power fails after so many octets.
    Power(u64),
}

/// How a visit ended.
#[derive(Debug)]
pub(crate) struct Visited {
    /// `None`: power failed.
    pub(crate) report: Option<Report>,
    /// Octets that came.
    pub(crate) octets: u64,
    /// What was streamed to a caller.
    pub(crate) streamed: Vec<u8>,
    /// How much that is to be, as the caller is told.
    pub(crate) announced: Option<u64>,
    /// The connection was lost before the visit had ended.
    pub(crate) lost: bool,
}

/// All octets at once, to the end.
pub(crate) const WHOLE: Wire = Wire {
    chunk: usize::MAX,
    stop: Stop::Never,
};

/// The octets of a medium of this layout.
pub(crate) fn capacity(geometry: &Geometry) -> usize {
    let fixed = 2 * (geometry.superblock + geometry.page + geometry.config + geometry.snapshot)
        + geometry.journal * geometry.page;
    let ring = u64::from(fixed.next_multiple_of(geometry.segment)) + geometry.ring();
    usize::try_from(ring).unwrap()
}

/// A formatted medium.
pub(crate) fn formatted(geometry: &Geometry) -> Vec<u8> {
    let mut medium = SimMedium::new(capacity(geometry));
    store::format(&mut medium, geometry, *b"0123456789abcdef", false).unwrap();
    medium.image().to_vec()
}

/// The users of a configuration.
pub(crate) fn users(text: &str) -> Config {
    ringmail::config::check(text, |line, error| panic!("line {line}: {error}"))
}

impl Memory {
    /// Room for `rows` rows, and for as many segments as a test may want.
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            segments: vec![Segment::default(); 64],
            buffers: Box::new(Buffers::EMPTY),
            slots: vec![Slot::VACANT; rows],
            heads: vec![0; rows / 4],
            calls: vec![CallRecord::default(); 2],
            items: vec![Item::default(); rows],
            listing: vec![Listed::new(Key(0), 0); rows],
            order: vec![0; rows],
            matched: vec![0; rows / 32 + 1],
            settled: vec![0; rows / 32 + 1],
            link: Link::new(),
            line: Link::new(),
        }
    }

    /// The same with so many entries for the listing of a visit.
    pub(crate) fn with_listing(mut self, entries: usize) -> Self {
        self.listing.truncate(entries);
        self.order.truncate(entries);
        self
    }

    /// How many entries of the listing were ever written to.
    pub(crate) fn entries_used(&self) -> usize {
        let vacant = Listed::new(Key(0), 0);
        let last = self.listing.iter().rposition(|entry| *entry != vacant);
        last.map_or(0, |at| at + 1)
    }

    /// Power is on, until `body` ends; gives the medium back as it is then.
    pub(crate) fn power<R>(
        &mut self,
        medium: SimMedium,
        body: impl FnOnce(&mut Desk<'_>) -> R,
    ) -> (SimMedium, R) {
        self.segments.fill(Segment::default());
        self.slots.fill(Slot::VACANT);
        self.heads.fill(0);
        self.calls.fill(CallRecord::default());
        let space = Space {
            segments: &mut self.segments,
            buffers: &mut self.buffers,
        };
        let mut ledger = Ledger::new(&mut self.slots, &mut self.heads).with_calls(&mut self.calls);
        let (store, _) = store::mount(medium, space, &mut ledger).unwrap();
        let mut mailbox = Mailbox::new(ledger, store);
        mailbox.check_copies();
        self.line.clear();
        let mut desk = Desk {
            account: 0,
            mailbox,
            now: Instant::ZERO,
            day: 20_000,
            recalled: None,
            near: true,
            visit: Visit::new(Tables {
                listing: &mut self.listing,
                order: &mut self.order,
                matched: &mut self.matched,
                settled: &mut self.settled,
            }),
            maildrop: Maildrop::new(&mut self.items),
            link: &mut self.link,
            line: &mut self.line,
            server: None,
        };
        desk.account = loop {
            match desk.mailbox.account("anna", |name| name == "anna") {
                Ok(account) => break account,
                Err(ringmail::mailbox::Error::Busy) => _ = desk.mailbox.step(),
                Err(error) => panic!("{error}"),
            }
        };
        let result = body(&mut desk);
        (desk.mailbox.into_medium(), result)
    }
}

impl Desk<'_> {
    /// Until nothing is left to be written.
    pub(crate) fn settle(&mut self) {
        let ticket = self.mailbox.commit();
        for _ in 0..10_000 {
            let moved = self.mailbox.step();
            if self.mailbox.committed(ticket).unwrap() && !moved {
                return;
            }
        }
        panic!("the store does not settle");
    }

    /// One visit.
    pub(crate) fn visit(
        &mut self,
        user: &User,
        goal: Goal,
        server: &mut dyn Server,
        wire: Wire,
    ) -> Visited {
        self.link.clear();
        self.visit.begin(self.now, goal, self.account, [0; 18]);
        self.visit.recall(self.recalled.take());
        self.visit.set_near(self.near);
        let (limit, power) = match wire.stop {
            Stop::Never => (u64::MAX, false),
            Stop::Closed(octets) => (octets, false),
            Stop::Power(octets) => (octets, true),
        };
        let mut said = Vec::new();
        let (mut streamed, mut announced) = (Vec::new(), None);
        let (mut at, mut octets) = (0, 0);
        server.greet(&mut said);
        let mut idle = 0;
        let mut connection = Connection::Open;
        for _ in 0..1_000_000 {
            while let Some(event) = self.visit.step(
                self.now,
                self.link,
                connection,
                user,
                self.day,
                &mut self.mailbox,
            ) {
                if event == Event::StartTls {
                    self.link.clear();
                    server.start_tls();
                    // What the server has said and nobody has read, TLS will read.
                    let unread = at < said.len();
                    at = said.len();
                    connection = match unread {
                        true => Connection::Failed(ConnectError::Tls(TlsError::NotTls)),
                        false => Connection::Pending,
                    };
                }
                if let Event::Ended(report) = event {
                    let report = Some(report);
                    return Visited {
                        report,
                        octets,
                        streamed,
                        announced,
                        lost: false,
                    };
                }
            }
            let mut moved = self.mailbox.step() || self.visit.works_on();
            announced = announced.or(self.visit.streams());
            if announced.is_some() && !self.visit.part().is_empty() {
                streamed.extend(self.visit.part());
                self.visit.part_taken();
                moved = true;
            }
            if connection == Connection::Pending && server.has_tls() {
                connection = Connection::Open;
                moved = true;
            }
            while let Some(end) = self.link.output().iter().position(|&octet| octet == b'\n') {
                let line = String::from_utf8_lossy(&self.link.output()[..end]).into_owned();
                self.link.take_output(end + 1);
                server.hear(line.trim_end(), &mut said);
                moved = true;
            }
            let rest = said.len() - at;
            if octets >= limit && !moved {
                if power {
                    let report = None;
                    return Visited {
                        report,
                        octets,
                        streamed,
                        announced,
                        lost: false,
                    };
                }
                break;
            }
            let left = usize::try_from(limit - octets).unwrap_or(usize::MAX);
            let came = self
                .link
                .feed(&said[at..at + rest.min(wire.chunk).min(left)]);
            at += came;
            octets += came as u64;
            if moved || came > 0 {
                idle = 0;
                continue;
            }
            if at == said.len() && server.has_closed() {
                break;
            }
            idle += 1;
            // Nothing comes any more: time passes, but for a sync that takes some looks.
            if idle > 10 {
                match self.visit.deadline() {
                    Some(until) if until > self.now => self.now = until,
                    _ => self.now = self.now + Duration::from_secs(1),
                }
            }
        }
        match self.visit.closed(&mut self.mailbox) {
            Some(Event::Ended(report)) => {
                let report = Some(report);
                Visited {
                    report,
                    octets,
                    streamed,
                    announced,
                    lost: true,
                }
            }
            other => panic!("a closed visit goes on: {other:?}"),
        }
    }

    /// A visit, and those that must follow it at once; `server` makes one for each.
    pub(crate) fn poll(
        &mut self,
        user: &User,
        mut server: impl FnMut() -> Box<dyn Server>,
    ) -> Report {
        let mut goal = Goal::Poll;
        loop {
            let report = self
                .visit(user, goal, &mut *server(), WHOLE)
                .report
                .unwrap();
            match report.next {
                Some(next) => goal = Goal::Decide(next.0),
                None => return report,
            }
        }
    }

    /// A call is connected, and its caller logs in.
    pub(crate) fn dial(&mut self, user: &User, view: View) {
        self.line.clear();
        let options = Options {
            login_failures: 3,
            idle: Duration::from_secs(600),
            call: Duration::from_secs(36_000),
            expire_zero: false,
        };
        let mut server = server::Server::new(self.now, options);
        server.greet(self.now, self.line, "gateway", "<1@gateway>");
        self.server = Some(server);
        let _ = self.line.feed(b"USER anna\r\nPASS rot\r\n");
        let call = self.mailbox.next_call();
        let mut admitted = false;
        for _ in 0..10_000 {
            let drained = self.line.output().is_empty();
            let Some(server) = &mut self.server else {
                break;
            };
            let event = {
                let mut lent = self.maildrop.lend(&mut self.mailbox);
                server.step(self.now, self.line, drained, lent.as_mut())
            };
            if let Some(server::Event::Proof { .. }) = event {
                self.maildrop
                    .open(&mut self.mailbox, self.account, user, view, self.day, call);
                while !self.maildrop.prepare(&mut self.mailbox) {}
                self.settle();
                if let Some(server) = &mut self.server {
                    server.admit(self.now, self.line, false);
                }
                admitted = true;
            }
            let n = self.line.output().len();
            self.line.take_output(n);
            if admitted && n == 0 && event.is_none() {
                return;
            }
        }
        panic!("nobody is let in");
    }

    /// Says one line and reads the whole reply; `fetch` makes the server that a wanted mail is
    /// fetched from, and hears of its visit.
    pub(crate) fn say(
        &mut self,
        user: &User,
        line: &str,
        mut fetch: impl FnMut(&mut Self, u32),
    ) -> Option<Vec<u8>> {
        let _ = self.line.feed(format!("{line}\r\n").as_bytes());
        let many = matches!(line.split(' ').next(), Some("RETR" | "TOP"))
            || matches!(line, "LIST" | "UIDL");
        let _ = user;
        let mut reply = Vec::new();
        let mut idle = 0;
        while idle < 1000 {
            let came = self.turn();
            idle = if came.is_empty() { idle + 1 } else { 0 };
            reply.extend(came);
            if let Some(slot) = self.maildrop.wanted() {
                fetch(self, slot);
                let row = self.mailbox.ledger().row(slot);
                self.maildrop
                    .fetched(row.is_some_and(|row| row.copy.is_some()));
                idle = 0;
            }
            let whole = match many && reply.starts_with(b"+OK") {
                true => reply.ends_with(b"\r\n.\r\n"),
                false => reply.ends_with(b"\r\n"),
            };
            if whole {
                if line != "QUIT" {
                    // That it was read is known before the next line comes.
                    reply.extend(self.turn());
                }
                return Some(reply);
            }
        }
        None
    }

    /// One round of the call and of the store; what the caller reads.
    pub(crate) fn turn(&mut self) -> Vec<u8> {
        let drained = self.line.output().is_empty();
        let Some(server) = &mut self.server else {
            return Vec::new();
        };
        let mut lent = self.maildrop.lend(&mut self.mailbox);
        while server
            .step(
                self.now,
                self.line,
                drained && self.line.output().is_empty(),
                lent.as_mut(),
            )
            .is_some_and(|event| !matches!(event, server::Event::Ended(_)))
        {}
        let said = self.line.output().to_vec();
        self.line.take_output(said.len());
        if said.is_empty() {
            self.mailbox.step();
        }
        said
    }

    /// A line that nobody waits for the answer to.
    pub(crate) fn mutter(&mut self, line: &str) {
        let _ = self.line.feed(format!("{line}\r\n").as_bytes());
    }

    /// The call is over, whatever was said.
    pub(crate) fn hang_up(&mut self) {
        self.maildrop.close(&mut self.mailbox);
        self.server = None;
    }
}

/// A message as it came by `RETR`, without the reply line and the dots.
pub(crate) fn body(reply: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let lines: Vec<&[u8]> = reply.split_inclusive(|&octet| octet == b'\n').collect();
    for line in lines.iter().skip(1).take(lines.len().saturating_sub(2)) {
        body.extend(line.strip_prefix(b".").unwrap_or(line));
    }
    body
}
