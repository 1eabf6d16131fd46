//! Lines in the loop: their octets, and their calls.

use hal::{Board, Instant, ModemPort, StreamError};

use crate::config::{self, Config, Name, TakenBy};
use crate::hayes;
use crate::link::Link;
use crate::mailbox::calls::NOBODY;
use crate::mailbox::maildrop::{Item, Maildrop};
use crate::mailbox::{Mailbox, View};
use crate::pop3::server;
use crate::session::{Ended, Event, Options, Session};

use super::claims::Claim;
use super::notes::Call;
use super::proofs::{self, Proving, Stamp};
use super::status::LastCall;
use super::{Moment, Office};

/// A line: its port, the octets on their way, and its calls.
pub struct Line<'a, B: Board> {
    pub(super) config: config::Line,
    port: B::Modem,
    pub(super) link: Link,
    pub(super) session: Session,
    pub(super) maildrop: Maildrop<'a>,
    pub(super) login: Option<Claim>,
    /// How far somebody is who proves who it is.
    pub(super) proving: Proving,
    /// The timestamp of the next greeting, or of the call that is; empty: to be made.
    pub(super) stamp: Stamp,
    /// What the modem said when the call began.
    connect: Option<hayes::Connect>,
    /// Who is logged in.
    pub(super) user: Option<Name>,
    /// The caller's number, if it was told.
    number: Option<hayes::Number>,
    /// And the caller's name.
    caller_name: Option<hayes::CallerName>,
    /// Bits per second of the latest call, as the modem said; 0: it did not.
    speed: u32,
    /// It was ready, or its device was absent: both are news to whoever waits for the start.
    settled: bool,
    /// The end of the port was noticed; nothing is read from it until it is open again.
    closed: bool,
    /// The latest fault, until the line is ready again.
    pub(super) fault: Option<hayes::Fault>,
    /// Its latest call since the start.
    pub(super) last: Option<LastCall>,
}

impl<'a, B: Board> Line<'a, B> {
    #[inline]
    pub(super) fn new(config: config::Line, port: B::Modem, maildrop: Maildrop<'a>) -> Self {
        let options = hayes::Options::from(&config);
        Self {
            config,
            port,
            link: Link::new(),
            session: Session::new(options),
            maildrop,
            login: None,
            proving: Proving::default(),
            stamp: Stamp::new(),
            connect: None,
            user: None,
            number: None,
            caller_name: None,
            speed: 0,
            settled: false,
            closed: false,
            fault: None,
            last: None,
        }
    }

    /// Ends what goes on and gives the memory back: nothing can be done with it afterwards.
    pub(super) fn close(
        &mut self,
        now: Instant,
        mailbox: &mut Mailbox<'_, B::Medium>,
    ) -> &'a mut [Item] {
        self.session.hang_up(now, &self.link);
        self.maildrop.close(mailbox);
        let _ = self.port.set_dtr(false);
        self.maildrop.take_memory()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let checking = self.session.is_opening() && self.maildrop.is_checking();
        let walking = self.session.is_sending() && self.maildrop.is_walking();
        if checking || walking || self.maildrop.is_preparing() {
            // A piece a turn: whoever else has octets is served between two of them.
            return Some(now);
        }
        let session = self.session.deadline(now, &self.link);
        let login = self.login.as_ref().map(|claim| claim.until);
        session
            .into_iter()
            .chain(login.filter(|&until| until > now))
            .chain(self.proving.deadline(now))
            .min()
    }

    /// The caller's number, if it was told.
    pub(super) fn caller_number(&self) -> Option<&hayes::Number> {
        self.number.as_ref()
    }

    /// Who calls, as far as told.
    fn caller(&self) -> hayes::Caller<'_> {
        hayes::Caller {
            number: self.number.as_deref(),
            name: self.caller_name.as_deref(),
        }
    }

    fn forget_caller(&mut self) {
        (self.number, self.caller_name) = (None, None);
    }

    /// Moves octets between port and link. Returns whether any moved.
    fn exchange(&mut self, now: Instant) -> (bool, Option<Event>) {
        if self.closed {
            return (false, None);
        }
        match self.link.exchange(&mut self.port) {
            Ok(moved) => (!moved.is_nothing(), None),
            Err(error) => {
                log::debug!("line {}: {error}", self.config.name);
                (true, self.close_port(now))
            }
        }
    }

    fn close_port(&mut self, now: Instant) -> Option<Event> {
        self.closed = true;
        self.settled = true;
        self.session.line_closed(now, &self.link)
    }

    /// Does what the modem asks for, at the port.
    fn at_port(&mut self, now: Instant, event: &hayes::Event) -> Option<Event> {
        let result = match event {
            hayes::Event::Dtr(on) => self.port.set_dtr(*on),
            hayes::Event::DiscardOutput => {
                self.port.discard_output();
                Ok(())
            }
            hayes::Event::Speed(speed) => self.port.set_speed(*speed),
            hayes::Event::Reset => {
                self.port.reset_device();
                Ok(())
            }
            hayes::Event::Reopen => {
                let result = self.port.reopen();
                if result.is_ok() {
                    self.closed = false;
                    self.link.clear();
                    self.session.reopened(now);
                }
                result
            }
            _ => Ok(()),
        };
        match result {
            Ok(()) => None,
            Err(StreamError::Closed | StreamError::Failed(_)) => self.close_port(now),
        }
    }
}

impl<B: Board> Office<'_, B> {
    /// One round of all lines. Returns whether anything happened.
    pub(super) fn turn_lines(&mut self, board: &mut B, moment: Moment) -> bool {
        let mut moved = false;
        if self.retry.is_some_and(|retry| retry.due <= moment.now) {
            self.open_lines(board, moment);
            moved = true;
        }
        let waits = |line: &Line<'_, B>| {
            !line.session.is_engaged() && !self.config.lines.contains(&line.config)
        };
        if self.stale && self.lines.iter().any(waits) {
            self.apply_config(board);
            moved = true;
        }
        for at in 0..self.lines.len() {
            moved |= self.turn_line(board, moment, at);
        }
        moved
    }

    fn turn_line(&mut self, board: &mut B, moment: Moment, at: usize) -> bool {
        let Some(line) = self.lines.get_mut(at) else {
            return false;
        };
        if line.stamp.is_empty() {
            line.stamp = proofs::stamp(board, hostname(self.config, &self.machine));
        }
        let (mut moved, mut event) = line.exchange(moment.now);
        // Each event is the result of octets, or of a deadline: there are few in one round.
        for _ in 0..64 {
            if event.is_none() {
                event = self.step_line(moment, at);
            }
            let Some(happened) = event.take() else {
                break;
            };
            moved = true;
            event = self.on_line_event(board, moment, at, happened);
        }
        moved |= self.turn_proving(board, moment, at);
        moved |= self.turn_claim(moment, at);
        // What was answered goes out in this round: RING to ATA waits for nobody.
        if let Some(line) = self.lines.get_mut(at)
            && !line.link.output().is_empty()
        {
            let (more, event) = line.exchange(moment.now);
            moved |= more;
            if let Some(event) = event {
                self.on_line_event(board, moment, at, event);
            }
        }
        let reads_on = |line: &Line<'_, B>| !line.closed && line.link.reads_on();
        moved || self.lines.get(at).is_some_and(reads_on)
    }

    fn step_line(&mut self, moment: Moment, at: usize) -> Option<Event> {
        let limits = self.config.limits;
        let retr = |user: &config::User| user.taken_by == TakenBy::Retr;
        let line = self.lines.get_mut(at)?;
        let minute = u16::try_from(moment.wall.second_of_day() / 60).ok();
        let minute = minute.filter(|_| moment.wall.trusted);
        line.session.set_answering(line.config.answer.holds(minute));
        let options = Options {
            hostname: hostname(self.config, &self.machine),
            stamp: &line.stamp,
            server: server::Options {
                login_failures: limits.login_failures,
                idle: limits.idle,
                call: limits.call,
                expire_zero: self.config.users.iter().any(retr),
            },
        };
        let dcd = line.port.dcd();
        let mut lent = line.maildrop.lend(&mut self.mailbox);
        line.session
            .step(moment.now, &mut line.link, dcd, &options, lent.as_mut())
    }

    /// Deals with what a session tells; may give another event.
    fn on_line_event(
        &mut self,
        board: &mut B,
        moment: Moment,
        at: usize,
        event: Event,
    ) -> Option<Event> {
        match event {
            Event::Modem(event) => return self.on_modem_event(moment, at, event),
            Event::Began(connect) => {
                let line = self.lines.get_mut(at)?;
                line.speed = connect.rate.unwrap_or(0);
                line.connect = Some(connect.clone());
                let from = line.caller();
                let name = &line.config.name;
                let text = &connect.text;
                self.notes.info(
                    moment,
                    format_args!("line {name}: call from {from}: {text}"),
                );
            }
            Event::User(login) => self.on_user(board, moment, &login),
            Event::Proof { login, proof } => self.on_proof(board, moment, at, &login, &proof),
            Event::Auth { mechanism, initial } => {
                self.on_auth(board, moment, at, mechanism, initial.as_ref());
            }
            Event::Response(response) => self.on_response(board, moment, at, &response),
            Event::Ended(ended) => self.on_ended(moment, at, ended),
        }
        None
    }

    fn on_modem_event(&mut self, moment: Moment, at: usize, event: hayes::Event) -> Option<Event> {
        let line = self.lines.get_mut(at)?;
        let name = &line.config.name;
        match &event {
            hayes::Event::Ready => {
                line.settled = true;
                line.fault = None;
                log::debug!("line {name}: waits for calls");
            }
            hayes::Event::Ring { count, number } => {
                line.number.clone_from(number);
                log::debug!("line {name}: ring {count}");
            }
            hayes::Event::Number(number) => line.number = Some(number.clone()),
            hayes::Event::Name(caller) => line.caller_name = Some(caller.clone()),
            hayes::Event::Missed { rings, number } => {
                line.number.clone_from(number);
                let from = line.caller();
                self.notes.info(
                    moment,
                    format_args!("line {name}: missed a call from {from}, {rings} ring(s)"),
                );
                line.forget_caller();
            }
            hayes::Event::Reset => self.notes.warn(
                moment,
                format_args!("line {name}: what the modem hangs on is reset"),
            ),
            hayes::Event::Refused { number } => {
                line.number.clone_from(number);
                let from = line.caller();
                self.notes.info(
                    moment,
                    format_args!("line {name}: a call from {from} is not answered: not allowed"),
                );
                line.forget_caller();
            }
            hayes::Event::NotConnected(failure) => {
                self.notes.info(
                    moment,
                    format_args!("line {name}: no call came of it: {failure}"),
                );
                line.forget_caller();
            }
            hayes::Event::HungUp { verified } => {
                if !verified {
                    log::debug!("line {name}: hung up, as far as anyone can tell");
                }
                line.forget_caller();
            }
            hayes::Event::Reopen => line.forget_caller(),
            hayes::Event::Fault(fault) => {
                self.notes
                    .warn(moment, format_args!("line {name}: {fault}"));
                line.fault = Some(*fault);
                line.settled = true;
            }
            _ => {}
        }
        line.at_port(moment.now, &event)
    }

    /// Somebody says a name: the LAN is visited while the password is typed or sent.
    pub(super) fn on_user(&mut self, board: &mut B, moment: Moment, login: &str) {
        let Some(user) = somebody(self.config, login) else {
            return;
        };
        if user.poll.at_login.is_some() && user.source.is_some() {
            let name = user.name.clone();
            self.visit_for_caller(board, moment, &name);
        }
    }

    fn on_ended(&mut self, moment: Moment, at: usize, ended: Ended) {
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let call = Call {
            number: line.maildrop.call(),
            line: line.config.name.clone(),
            user: line.user.take(),
            caller: line.number.clone(),
            connect: line.connect.take(),
            ended_at: moment.wall,
            tally: line.maildrop.tally(),
            ended,
        };
        line.forget_caller();
        let user = line.maildrop.account().unwrap_or(NOBODY);
        let record = call.record(user, line.speed);
        line.last = Some(LastCall {
            ended_at: call.ended_at,
            user: call.user.clone(),
            offered: record.offered,
            sent: record.sent,
            reason: record.reason,
        });
        line.maildrop.close(&mut self.mailbox);
        line.login = None;
        line.proving = Proving::default();
        line.stamp.clear();
        self.notes.info(moment, format_args!("{call}"));
        self.mailbox.log_call(record);
    }

    /// Takes in what comes from the lines, and looks at nothing of it.
    pub(super) fn drain_lines(&mut self, now: Instant) {
        for line in self.lines.iter_mut() {
            let _ = line.exchange(now);
            line.link.consume(line.link.peek().len());
        }
    }

    pub(super) fn end_calls(&mut self, moment: Moment) {
        for at in 0..self.lines.len() {
            self.hang_up_at(moment, at);
            if let Some(line) = self.lines.get_mut(at) {
                // A device that is gone has hung up.
                let _ = line.port.set_dtr(false);
            }
        }
    }

    fn hang_up_at(&mut self, moment: Moment, at: usize) {
        if let Some(line) = self.lines.get_mut(at)
            && let Some(Event::Ended(ended)) = line.session.hang_up(moment.now, &line.link)
        {
            self.on_ended(moment, at, ended);
        }
    }

    /// The operator's `hangup LINE`. Returns whether there is such a line.
    pub(super) fn hang_up(&mut self, moment: Moment, name: &str) -> bool {
        let at = self.lines.iter().position(|line| line.config.name == name);
        if let Some(at) = at {
            self.hang_up_at(moment, at);
        }
        at.is_some()
    }

    /// The operator's `answer LINE`. Returns whether there is such a line.
    pub(super) fn answer(&mut self, now: Instant, name: &str) -> bool {
        let line = self.lines.iter_mut().find(|line| line.config.name == name);
        line.map(|line| line.session.answer(now)).is_some()
    }

    /// Whether a maildrop of this account is open, or about to be.
    pub(super) fn is_open(&self, account: u8) -> bool {
        self.lines
            .iter()
            .any(|line| line.maildrop.account() == Some(account))
    }
}

/// Who may call by the name that a caller says, whatever view of the maildrop it asks for.
pub(super) fn somebody<'c>(config: &'c Config, login: &str) -> Option<&'c config::User> {
    let (name, _) = View::split(login)?;
    config.user(name)
}

/// The name in greetings.
fn hostname<'n>(config: &'n Config, machine: &'n Name) -> &'n str {
    if config.hostname.is_empty() {
        machine
    } else {
        &config.hostname
    }
}
