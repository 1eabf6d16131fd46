//! A maildrop made of vectors, and a gateway that does no more than the engine asks for.

use std::sync::OnceLock;

use hal::Duration;
use hal::time::Instant;

use crate::config::Secret;
use crate::link::Link;
use crate::pop3::command::Initial;
use crate::pop3::server::{EndReason, Event, Options, Proof, Refusal, Server};
use crate::pop3::{Commit, Maildrop, Open, ReadFault, Uid};
use crate::sasl::server::{Passwords, Progress, Salts};
use crate::sasl::{self, apop};

pub(super) const OPTIONS: Options = Options {
    login_failures: 3,
    idle: Duration::from_secs(600),
    call: Duration::from_secs(7200),
    expire_zero: false,
};

/// What stands in the greeting.
pub(super) const STAMP: &str = "<1.2@gate>";

/// Who may log in, with `secret`.
pub(super) struct Bob;

impl Passwords for Bob {
    fn password(&self, login: &str) -> Option<&Secret> {
        static SECRET: OnceLock<Secret> = OnceLock::new();
        let secret = SECRET.get_or_init(|| Secret::new("secret").unwrap());
        matches!(login, "bob" | "bob+full").then_some(secret)
    }
}

fn salts() -> Salts {
    Salts::new([3; 32])
}

/// What the gateway says to a proof.
#[expect(clippy::large_enum_variant, reason = "one at a time, and no heap")]
enum Answer {
    Admit,
    Refuse(Refusal),
    Challenge(sasl::Line),
}

#[derive(Clone, Default)]
pub(super) struct Twin {
    pub(super) mails: Vec<Vec<u8>>,
    pub(super) deleted: Vec<u32>,
    /// Deleted, and no `RSET` takes it back: what `replies_read` found marked.
    pub(super) confirmed: Vec<u32>,
    pub(super) commit_dele: bool,
    /// How often `replies_read` was called.
    pub(super) confirmations: usize,
    pub(super) whole: Vec<u32>,
    /// What a commit found marked, once it was done.
    pub(super) taken: Option<Vec<u32>>,
    pub(super) commits: usize,
    /// How often `open` and `commit` answer `Pending` first.
    pub(super) pending: usize,
    pub(super) unavailable: Option<u32>,
    /// Reading the octet at this offset of any message fails.
    pub(super) fault_at: Option<u64>,
    /// How often `read` finds nothing before it finds octets.
    pub(super) absent: usize,
    /// How often it did since.
    missed: usize,
    /// Reading ends here, though the message is longer.
    pub(super) short_at: Option<usize>,
    pub(super) commit_fails: bool,
    opened: Option<u32>,
    waited: usize,
}

impl Twin {
    pub(super) fn of(mails: &[&[u8]]) -> Self {
        Self {
            mails: mails.iter().map(|mail| mail.to_vec()).collect(),
            ..Self::default()
        }
    }

    fn mail(&self, number: u32) -> Option<&Vec<u8>> {
        self.mails.get((number as usize).checked_sub(1)?)
    }

    fn waits(&mut self) -> bool {
        if self.waited < self.pending {
            self.waited += 1;
            return true;
        }
        self.waited = 0;
        false
    }
}

impl Maildrop for Twin {
    fn count(&self) -> u32 {
        u32::try_from(self.mails.len()).unwrap()
    }

    fn size(&self, number: u32) -> Option<u64> {
        self.mail(number).map(|mail| mail.len() as u64)
    }

    fn uid(&self, number: u32) -> Option<Uid> {
        self.mail(number)?;
        Uid::try_from(format!("ab{number:04}").as_str()).ok()
    }

    fn is_deleted(&self, number: u32) -> bool {
        self.deleted.contains(&number)
    }

    fn delete(&mut self, number: u32) {
        assert!(self.mail(number).is_some() && !self.is_deleted(number));
        self.deleted.push(number);
    }

    fn reset(&mut self) {
        self.deleted = self.confirmed.clone();
        self.whole.clear();
    }

    fn open(&mut self, number: u32) -> Open {
        assert!(self.mail(number).is_some() && !self.is_deleted(number));
        if self.waits() {
            return Open::Pending;
        }
        if self.unavailable == Some(number) {
            return Open::Unavailable;
        }
        self.opened = Some(number);
        Open::Ready(self.size(number).unwrap())
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadFault> {
        assert!(!buf.is_empty());
        if self.missed < self.absent {
            self.missed += 1;
            return Ok(0);
        }
        self.missed = 0;
        let mail = self.mail(self.opened.unwrap()).unwrap();
        let end = self.short_at.unwrap_or(mail.len());
        let start = usize::try_from(offset).unwrap();
        let rest = &mail[start..end.min(mail.len())];
        let n = rest.len().min(buf.len());
        let reads = offset..offset + n as u64;
        if self.fault_at.is_some_and(|at| reads.contains(&at)) {
            return Err(ReadFault);
        }
        if n == 0 {
            return Err(ReadFault);
        }
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn sent_whole(&mut self, number: u32) {
        assert_eq!(self.opened, Some(number));
        self.whole.push(number);
    }

    fn replies_read(&mut self) {
        self.confirmations += 1;
        if self.commit_dele {
            self.confirmed = self.deleted.clone();
        }
    }

    fn commit(&mut self) -> Commit {
        self.commits += 1;
        if self.waits() {
            return Commit::Pending;
        }
        if self.commit_fails {
            return Commit::Failed;
        }
        self.taken = Some(self.deleted.clone());
        Commit::Done
    }
}

/// One call, as the gateway runs it.
pub(super) struct Talk {
    pub(super) server: Server,
    pub(super) link: Link,
    pub(super) twin: Twin,
    pub(super) now: Instant,
    /// All that has left the link.
    pub(super) said: Vec<u8>,
    pub(super) events: Vec<String>,
    pub(super) ended: Option<EndReason>,
    /// Turns that a modem's buffer takes, and that a password takes to be verified.
    pub(super) lag: usize,
    admitted: bool,
    quiet: usize,
    drained_at: Instant,
    asked: Option<Answer>,
    exchange: Option<sasl::Server>,
    waited: usize,
}

impl Talk {
    pub(super) fn new(twin: Twin, options: Options) -> Self {
        let mut link = Link::new();
        let mut server = Server::new(Instant::ZERO, options);
        assert_eq!(
            server.step::<Twin>(Instant::ZERO, &mut link, true, None),
            None
        );
        server.greet(Instant::ZERO, &mut link, "gate", STAMP);
        server.greet(Instant::ZERO, &mut link, "once", "");
        Self {
            server,
            link,
            twin,
            now: Instant::ZERO,
            said: Vec::new(),
            events: Vec::new(),
            ended: None,
            lag: 0,
            admitted: false,
            quiet: 0,
            drained_at: Instant::ZERO,
            asked: None,
            exchange: None,
            waited: 0,
        }
    }

    /// Logged in, and all of that forgotten.
    pub(super) fn in_transaction(twin: Twin, options: Options) -> Self {
        let mut talk = Self::new(twin, options);
        talk.ask("USER bob\r\n");
        talk.ask("PASS secret\r\n");
        assert!(talk.admitted);
        talk.said.clear();
        talk.events.clear();
        talk
    }

    /// One turn of the loop, in which at most `drain` octets drain.
    pub(super) fn turn(&mut self, drain: usize) {
        self.now = self.now + Duration::from_millis(1);
        let n = drain.min(self.link.output().len());
        self.said.extend(&self.link.output()[..n]);
        self.link.take_output(n);
        let empty = self.link.output().is_empty();
        self.quiet = if empty && n == 0 { self.quiet + 1 } else { 0 };
        if n > 0 {
            self.drained_at = self.now;
        }
        let drained = empty && self.quiet >= self.lag;
        self.verify();
        loop {
            let commits = self.twin.commits;
            let held = self.link.output().len();
            let maildrop = self.admitted.then_some(&mut self.twin);
            let event = self
                .server
                .step(self.now, &mut self.link, drained, maildrop);
            if self.twin.commits > commits {
                // Design 2.7: never while anything is unsent.
                assert!(drained && held == 0, "commit before the drain");
                let said = self.link.output();
                assert!(
                    said.is_empty() || said == b"+OK\r\n" || said.starts_with(b"-ERR [SYS/TEMP]")
                );
            }
            let Some(event) = event else { break };
            self.hear(event, drained);
        }
        match self.server.deadline() {
            Some(deadline) => assert!(deadline > self.now, "a deadline that passed"),
            None => assert!(self.ended.is_some()),
        }
    }

    fn hear(&mut self, event: Event, drained: bool) {
        assert_eq!(self.ended, None, "an event after the last: {event:?}");
        match event {
            Event::User(login) => self.events.push(format!("user {login}")),
            Event::Sent { number, octets } => self.events.push(format!("sent {number} {octets}")),
            Event::Proof { login, proof } => {
                let password = Bob.password(&login);
                let (right, refusal) = match &proof {
                    Proof::Nothing => (false, Refusal::Password),
                    Proof::Digest(digest) => (
                        apop::is_right(STAMP.as_bytes(), password, digest),
                        Refusal::Password,
                    ),
                    Proof::Password(said) => (
                        password.is_some_and(|right| right == said),
                        match said.reveal() {
                            "busy" => Refusal::InUse,
                            "broken" => Refusal::Temporary,
                            _ => Refusal::Password,
                        },
                    ),
                };
                self.answer(if right {
                    Answer::Admit
                } else {
                    Answer::Refuse(refusal)
                });
            }
            Event::Auth { mechanism, initial } => {
                let initial = initial.as_ref().map(Initial::reveal);
                let mut out = sasl::Line::new();
                let mut exchange = sasl::Server::new(mechanism, [7; 18], "gate");
                let progress = exchange.start(&Bob, &salts(), initial, &mut out);
                self.exchange = Some(exchange);
                self.progress(progress, out);
            }
            Event::Response(response) => {
                let mut out = sasl::Line::new();
                let exchange = self.exchange.as_mut().expect("an exchange");
                let mut progress = exchange.respond(&Bob, &salts(), response.reveal(), &mut out);
                while progress == Progress::Working {
                    progress = exchange.work(&salts(), &mut out);
                }
                self.progress(progress, out);
            }
            Event::Ended(reason) => {
                let in_order = !matches!(reason, EndReason::Autologout | EndReason::StoreFault);
                let idle = self.now >= self.drained_at + OPTIONS.idle;
                assert!(!in_order || idle || (drained && self.link.output().is_empty()));
                if let Some(taken) = &self.twin.taken {
                    self.events.push(format!("taken {taken:?}"));
                }
                self.events.push(format!("ended {reason:?}"));
                self.ended = Some(reason);
            }
        }
    }

    fn verify(&mut self) {
        self.waited += 1;
        if self.waited <= self.lag {
            return;
        }
        match self.asked.take() {
            None => {}
            Some(Answer::Admit) => {
                self.admitted = true;
                self.server.admit(self.now, &mut self.link, false);
            }
            Some(Answer::Refuse(refusal)) => {
                self.server.refuse(self.now, &mut self.link, refusal);
            }
            Some(Answer::Challenge(line)) => {
                self.server.challenge(self.now, &mut self.link, &line);
            }
        }
    }

    fn answer(&mut self, answer: Answer) {
        assert!(self.asked.is_none());
        self.asked = Some(answer);
        self.waited = 0;
    }

    fn progress(&mut self, progress: Progress, out: sasl::Line) {
        self.answer(match progress {
            Progress::Say => Answer::Challenge(out),
            Progress::Accepted(_) => Answer::Admit,
            Progress::Refused => Answer::Refuse(Refusal::Password),
            Progress::Malformed => Answer::Refuse(Refusal::Malformed),
            Progress::Cancelled => Answer::Refuse(Refusal::Cancelled),
            Progress::Working => panic!("it works for ever"),
        });
    }

    /// Turns until nothing moves any more.
    pub(super) fn settle(&mut self, drain: usize) {
        let patience = 3 + 2 * self.lag + self.twin.pending;
        let mut still = 0;
        while self.ended.is_none() && still < patience {
            let before = (self.link.sent(), self.link.output().len());
            self.turn(drain);
            let moved = before != (self.link.sent(), self.link.output().len());
            still = if moved { 0 } else { still + 1 };
        }
    }

    /// All of `input`, as fast as the link takes it.
    pub(super) fn run(&mut self, input: &[u8], chunk: usize, drain: usize) {
        let mut input = input;
        while !input.is_empty() && self.ended.is_none() {
            let n = self.link.feed(&input[..chunk.min(input.len())]);
            input = &input[n..];
            self.turn(drain);
        }
        self.settle(drain);
    }

    /// One line, and all that comes of it; returns what was said.
    pub(super) fn ask(&mut self, line: &str) -> String {
        let from = self.said.len();
        self.run(line.as_bytes(), 8192, 8192);
        String::from_utf8(self.said[from..].to_vec()).unwrap()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }
}
