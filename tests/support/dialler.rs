//! A caller of the simulated world: speaks POP3, and remembers what it may rely on.

use core::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use hal::sim::line::{Caller, Line, Phase};
use hal::{Duration, Instant};

/// So long a caller that reads nothing holds the line.
const STUCK: Duration = Duration::from_secs(2400);

/// What a caller says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    User(String),
    Pass(String),
    Uidl,
    Retr(u32),
    Top(u32, u32),
    Dele(u32),
    Rset,
    Noop,
    Quit,
    /// Any line.
    Words(String),
    /// Nothing, for so long.
    Pause(Duration),
    /// Not a command: the call is over without another word.
    HangUp,
    /// Not a command: nothing more is said, and the line is held.
    Silence,
    /// Not a command: nothing more is read.
    StopReading,
    /// Not a command: octets that nobody asked for.
    Junk(Vec<u8>),
}

/// What a caller means to do.
pub(crate) struct Plan {
    /// When it dials.
    pub(crate) at: Instant,
    pub(crate) user: String,
    pub(crate) password: String,
    /// Says what comes next before it has heard the answer.
    pub(crate) pipelined: bool,
    /// What it says once it knows how many mails there are.
    pub(crate) body: Box<dyn Fn(u32) -> Vec<Say>>,
}

/// What came of a call.
#[derive(Clone, Default)]
pub(crate) struct Record {
    pub(crate) dialled: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) greeted: Option<Instant>,
    pub(crate) admitted: Option<Instant>,
    /// The unique-id listing had come whole.
    pub(crate) listed: Option<Instant>,
    /// `-ERR`, with what it answered.
    pub(crate) refusals: Vec<(Instant, Say, String)>,
    /// Own UIDs by message-number.
    pub(crate) uids: Vec<String>,
    /// Mails that came whole.
    pub(crate) mails: BTreeMap<u32, Vec<u8>>,
    /// What `TOP` gave.
    pub(crate) tops: BTreeMap<u32, Vec<u8>>,
    /// `DELE` was said.
    pub(crate) dele_said: BTreeSet<u32>,
    /// Its `+OK` was read.
    pub(crate) dele_read: BTreeSet<u32>,
    /// And a later reply too, to a command said after that.
    pub(crate) dele_outlived: BTreeSet<u32>,
    pub(crate) quit_said: bool,
    /// Its `+OK` was read: the last word.
    pub(crate) quit_read: bool,
    pub(crate) ended: Option<Instant>,
    /// Octets received and sent.
    pub(crate) octets: (u64, u64),
}

impl core::fmt::Debug for Record {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mails: Vec<_> = self.mails.iter().map(|(n, m)| (n, m.len())).collect();
        f.debug_struct("Record")
            .field("connected", &self.connected)
            .field("admitted", &self.admitted)
            .field("refusals", &self.refusals)
            .field("uids", &self.uids)
            .field("mails", &mails)
            .field("dele_said", &self.dele_said)
            .field("dele_read", &self.dele_read)
            .field("dele_outlived", &self.dele_outlived)
            .field("quit_said", &self.quit_said)
            .field("quit_read", &self.quit_read)
            .field("ended", &self.ended)
            .field("octets", &self.octets)
            .finish_non_exhaustive()
    }
}

/// The plan of a caller who takes everything, and deletes it if it says so.
pub(crate) fn take_all(delete: bool) -> Box<dyn Fn(u32) -> Vec<Say>> {
    Box::new(move |count| {
        let mut says = Vec::new();
        for n in 1..=count {
            says.push(Say::Retr(n));
            if delete {
                says.push(Say::Dele(n));
            }
        }
        says.push(Say::Quit);
        says
    })
}

pub(crate) struct Dialler {
    plan: Plan,
    record: Rc<RefCell<Record>>,
    /// What will be said.
    queue: VecDeque<Say>,
    /// What was said and not answered; the greeting is an answer too.
    unanswered: VecDeque<Option<Say>>,
    input: Vec<u8>,
    /// The lines of a multi-line answer, while it comes.
    body: Option<Vec<u8>>,
    /// Answers in all when the `+OK` to a `DELE` came.
    until: Option<Instant>,
    rings_until: Option<Instant>,
    finished: bool,
}

impl Dialler {
    pub(crate) fn new(plan: Plan) -> (Self, Rc<RefCell<Record>>) {
        let record = Rc::default();
        let dialler = Self {
            queue: VecDeque::from([
                Say::User(plan.user.clone()),
                Say::Pass(plan.password.clone()),
                Say::Uidl,
            ]),
            until: Some(plan.at),
            plan,
            record: Rc::clone(&record),
            unanswered: VecDeque::new(),
            input: Vec::new(),
            body: None,
            rings_until: None,
            finished: false,
        };
        (dialler, record)
    }

    fn line(&mut self, now: Instant, line: &[u8]) {
        if let Some(body) = &mut self.body {
            if line != b".\r\n" {
                body.extend(line.strip_prefix(b".").unwrap_or(line));
                return;
            }
            let body = self.body.take().unwrap();
            let said = self.unanswered.pop_front().unwrap().unwrap();
            self.got(now, &said, body);
            return;
        }
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        let good = text.starts_with("+OK");
        let Some(said) = self.unanswered.front().cloned() else {
            // The server's own last word, such as an autologout.
            let words = Say::Words(String::new());
            let mut record = self.record.borrow_mut();
            record.refusals.push((now, words, text));
            return;
        };
        assert!(good || text.starts_with("-ERR"), "no status line: {text:?}");
        let mut record = self.record.borrow_mut();
        let Some(said) = said else {
            self.unanswered.pop_front();
            record.greeted = Some(now);
            return;
        };
        if !good {
            self.unanswered.pop_front();
            record.refusals.push((now, said.clone(), text));
            if matches!(said, Say::User(_) | Say::Pass(_)) {
                self.queue = VecDeque::from([Say::Quit]);
            }
            return;
        }
        // `RSET` takes back what no earlier command has shown to be meant.
        if !self.plan.pipelined && said != Say::Rset {
            let outlived = record.dele_read.clone();
            record.dele_outlived.extend(outlived);
        }
        match said {
            Say::Uidl | Say::Retr(_) | Say::Top(..) => {
                self.body = Some(Vec::new());
                return;
            }
            Say::Pass(_) => record.admitted = Some(now),
            Say::Dele(n) => {
                record.dele_read.insert(n);
            }
            Say::Rset => {
                // What is committed stays so; a caller cannot know which.
                record.dele_said.clear();
                record.dele_read.clear();
            }
            Say::Quit => record.quit_read = true,
            _ => {}
        }
        self.unanswered.pop_front();
    }

    fn got(&mut self, now: Instant, said: &Say, body: Vec<u8>) {
        let mut record = self.record.borrow_mut();
        match *said {
            Say::Retr(n) => {
                record.mails.insert(n, body);
            }
            Say::Top(n, _) => {
                record.tops.insert(n, body);
            }
            Say::Uidl => {
                record.listed = Some(now);
                let text = String::from_utf8(body).unwrap();
                record.uids = text
                    .lines()
                    .map(|line| line.split_once(' ').unwrap().1.to_owned())
                    .collect();
                let count = u32::try_from(record.uids.len()).unwrap();
                self.queue.extend((self.plan.body)(count));
            }
            _ => {}
        }
    }

    /// Says what is next. Returns whether there may be more to say at once.
    fn speak(&mut self, now: Instant, line: &mut Line) -> bool {
        let ahead = self.plan.pipelined && !matches!(self.queue.front(), Some(Say::Pass(_)));
        if !self.unanswered.is_empty() && !ahead {
            return false;
        }
        // The password and what needs its answer are never sent ahead.
        if self
            .unanswered
            .iter()
            .any(|said| matches!(said, None | Some(Say::User(_) | Say::Pass(_) | Say::Uidl)))
        {
            return false;
        }
        let Some(say) = self.queue.pop_front() else {
            return false;
        };
        let mut record = self.record.borrow_mut();
        let text = match &say {
            Say::User(name) => format!("USER {name}"),
            Say::Pass(secret) => format!("PASS {secret}"),
            Say::Uidl => "UIDL".into(),
            Say::Retr(n) => format!("RETR {n}"),
            Say::Top(n, lines) => format!("TOP {n} {lines}"),
            Say::Dele(n) => {
                record.dele_said.insert(*n);
                format!("DELE {n}")
            }
            Say::Rset => "RSET".into(),
            Say::Noop => "NOOP".into(),
            Say::Quit => {
                record.quit_said = true;
                "QUIT".into()
            }
            Say::Words(words) => words.clone(),
            Say::Pause(pause) => {
                self.until = Some(now + *pause);
                return false;
            }
            Say::HangUp => {
                line.hang_up();
                return false;
            }
            Say::Silence => {
                self.queue.clear();
                return false;
            }
            Say::StopReading => {
                line.stop_reading();
                // Whoever pays for it hangs up some day: a modem without circuits that may not
                // send hears no escape either.
                drop(record);
                self.unanswered.clear();
                self.queue = VecDeque::from([Say::Pause(STUCK), Say::HangUp]);
                return true;
            }
            Say::Junk(octets) => {
                line.send(octets);
                return true;
            }
        };
        line.send(format!("{text}\r\n").as_bytes());
        self.unanswered.push_back(Some(say));
        true
    }
}

impl Caller for Dialler {
    fn step(&mut self, now: Instant, line: &mut Line) {
        if self.finished {
            return;
        }
        if self.until.is_some_and(|until| until > now) {
            return;
        }
        self.until = None;
        match line.phase() {
            Phase::Idle => {
                let mut record = self.record.borrow_mut();
                record.dialled = Some(now);
                if line.dial(Some("5551234")) {
                    self.rings_until = Some(now + Duration::from_secs(180));
                } else if self.rings_until.is_none_or(|until| until > now) {
                    // Engaged: again in a moment.
                    line.rest();
                    self.until = Some(now + Duration::from_secs(1));
                    self.rings_until
                        .get_or_insert(now + Duration::from_secs(180));
                }
            }
            Phase::Ringing => {
                if self.rings_until.is_some_and(|until| until <= now) {
                    line.hang_up();
                }
            }
            Phase::Connected | Phase::Ended => {
                let ended = line.phase() == Phase::Ended;
                if !ended && self.record.borrow().connected.is_none() {
                    self.record.borrow_mut().connected = Some(now);
                    self.rings_until = None;
                    self.unanswered.push_back(None);
                }
                self.record.borrow_mut().octets = line.octets();
                self.input.extend(line.receive());
                while let Some(end) = self.input.iter().position(|&octet| octet == b'\n') {
                    let octets: Vec<u8> = self.input.drain(..=end).collect();
                    self.line(now, &octets);
                }
                if ended {
                    self.record.borrow_mut().ended = Some(now);
                    self.finished = true;
                    return;
                }
                while self.speak(now, line) {}
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.finished {
            return None;
        }
        self.until.into_iter().chain(self.rings_until).min()
    }
}
