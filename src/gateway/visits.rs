//! Visits in the loop: whose turn it is, and what came of it.

use hal::lan::ConnectError;
use hal::{Board, Connection, Duration, Instant, Lan, LanStream};

use crate::config::{Name, Poll, Scheme, Security, Source, User};
use crate::link::Link;
use crate::poll::schedule::{self, By, Outcome, Schedule, Setback};
use crate::poll::visit::{Event, Failure, Goal, Report, Standing, Tables, Visit};
use crate::pop3::client::ResponseCode;
use crate::sasl::Nonce;

use super::{LanStreamOf, Line, Moment, Office};

/// Room for one visit.
pub struct VisitPlace<'a, B: Board> {
    visit: Visit<'a>,
    link: Link,
    stream: Option<LanStreamOf<B>>,
    /// In place of a connection, where the source is on this machine.
    folder: Option<B::Folder>,
    user: Name,
    /// Where the connection goes: what another source says and wants is not for this one.
    source: Option<Source>,
    security: Security,
    goal: Goal,
    /// A caller is sent what it fetches as it comes.
    streaming: bool,
}

/// When one user's source is visited, and how it went last.
pub struct Poller {
    pub(super) user: Name,
    /// What the owner said of it; other words make another poller.
    poll: Poll,
    source: Option<Source>,
    security: Security,
    pub(super) schedule: Schedule,
    /// A visit that must follow the last one at once.
    follow: Option<Goal>,
    /// How its mailbox stood after the last visit, where that can be compared.
    standing: Option<Standing>,
    /// The server refuses the ways to log in that hide the password.
    hiding_refused: bool,
    pub(super) last: Option<Last>,
}

/// The latest visit to a source.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) at: Instant,
    pub(super) report: Report,
}

impl<'a, B: Board> VisitPlace<'a, B> {
    pub(super) fn new(tables: Tables<'a>) -> Self {
        Self {
            visit: Visit::new(tables),
            link: Link::new(),
            stream: None,
            folder: None,
            user: Name::new(),
            source: None,
            security: Security::new(),
            goal: Goal::Poll,
            streaming: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.visit.deadline()
    }

    /// Lets go of what leads to the mail.
    fn close(&mut self) {
        (self.stream, self.folder) = (None, None);
    }

    fn is_free(&self) -> bool {
        self.visit.account().is_none()
    }
}

impl<B: Board> Office<'_, B> {
    /// One round of all visits: starts those that are due, steps those under way. Returns whether
    /// anything happened.
    pub(super) fn turn_visits(&mut self, board: &mut B, moment: Moment) -> bool {
        let mut moved = self.start_fetches(board, moment);
        moved |= self.start_polls(board, moment);
        for at in 0..self.visits.len() {
            moved |= self.turn_visit(moment, at);
        }
        moved
    }

    fn turn_visit(&mut self, moment: Moment, at: usize) -> bool {
        let Some(place) = self.visits.get_mut(at) else {
            return false;
        };
        if place.is_free() {
            return false;
        }
        let user = self.config.user(&place.user);
        let same = |user: &&User| user.source == place.source && user.security == place.security;
        let Some(user) = user.filter(same) else {
            // Deleted meanwhile, or given another source, or trusting somebody else.
            let event = place.visit.closed(&mut self.mailbox);
            place.close();
            return event.is_some();
        };
        if let Some(folder) = place.folder.as_mut() {
            while let Some(event) = place.visit.step_folder(
                moment.now,
                &mut place.link,
                folder,
                user,
                moment.day(),
                &mut self.mailbox,
            ) {
                if let Event::Ended(report) = event {
                    self.on_visit_ended(moment, at, report);
                    return true;
                }
            }
            return place.visit.works_on();
        }
        let Some(stream) = place.stream.as_mut() else {
            return false;
        };
        let mut connection = stream.connection();
        place.visit.set_near(stream.is_near());
        let mut moved = false;
        let mut closed = false;
        if connection == Connection::Open {
            match place.link.exchange(stream) {
                Ok(octets) => moved = !octets.is_nothing(),
                Err(_) => closed = true,
            }
        }
        let (mut ended, mut expires) = (None, None);
        while let Some(event) = place.visit.step(
            moment.now,
            &mut place.link,
            connection,
            user,
            moment.day(),
            &mut self.mailbox,
        ) {
            moved = true;
            match event {
                Event::Ended(report) => {
                    ended = Some(report);
                    break;
                }
                Event::Expires(expire) => expires = Some(expire),
                Event::StartTls => {
                    place.link.clear();
                    stream.start_tls(place.security.trust());
                    connection = stream.connection();
                }
                Event::Current => {}
            }
        }
        if let Some(expire) = expires {
            let poller = self.pollers.iter().find(|poller| poller.user == user.name);
            let told = poller.and_then(|poller| poller.last.as_ref());
            // Once, before anything is copied; `show user` says it from then on.
            if told.is_none_or(|last| last.report.expire != expire) {
                let name = &user.name;
                self.notes
                    .warn(moment, format_args!("user {name}: the server {expire}"));
            }
        }
        if closed
            && ended.is_none()
            && let Some(Event::Ended(report)) = place.visit.closed(&mut self.mailbox)
        {
            ended = Some(report);
        }
        if let Some(report) = ended {
            self.on_visit_ended(moment, at, report);
            return true;
        }
        if let Some(stream) = place.stream.as_mut()
            && connection == Connection::Open
            && !place.link.output().is_empty()
        {
            // Whether it closed is seen in the next round.
            moved |= place.link.exchange(stream).is_ok_and(|o| !o.is_nothing());
        }
        moved |= place.link.reads_on() || place.visit.works_on();
        self.turn_stream(at) || moved
    }

    /// Hands a part of a mail that is streamed to the caller who waits for it.
    fn turn_stream(&mut self, at: usize) -> bool {
        let Some(place) = self.visits.get_mut(at) else {
            return false;
        };
        let (Some(octets), Goal::Fetch(slot)) = (place.visit.streams(), place.goal) else {
            return false;
        };
        let (user, begun) = (&place.user, place.streaming);
        let waits = |line: &&mut Line<'_, B>| {
            let drop = &line.maildrop;
            let slots = if begun {
                drop.streamed()
            } else {
                drop.wanted()
            };
            line.user.as_ref() == Some(user) && slots == Some(slot)
        };
        let Some(line) = self.lines.iter_mut().find(waits) else {
            // Carrier lost, or another mail asked for.
            place.visit.stop_streaming(&mut self.mailbox);
            return true;
        };
        if !begun {
            place.streaming = true;
            line.maildrop.begin_stream(octets);
            return true;
        }
        let part = place.visit.part();
        if part.is_empty() || !line.maildrop.feed(part) {
            return false;
        }
        place.visit.part_taken();
        true
    }

    fn on_visit_ended(&mut self, moment: Moment, at: usize, report: Report) {
        let Some(place) = self.visits.get_mut(at) else {
            return;
        };
        place.close();
        place.link.clear();
        let name = place.user.clone();
        match &report.failure {
            Some(failure) => {
                self.notes
                    .warn(moment, format_args!("user {name}: {report}"));
                if let Some(advice) = failure.advice(&name) {
                    self.notes
                        .warn(moment, format_args!("user {name}: {advice}"));
                }
            }
            None => self
                .notes
                .info(moment, format_args!("user {name}: {report}")),
        }
        if let Goal::Fetch(slot) = place.goal {
            let row = self.mailbox.ledger().row(slot);
            let copied = row.is_some_and(|row| row.copy.is_some());
            let waits = |line: &&mut Line<'_, B>| {
                line.user.as_ref() == Some(&name) && line.maildrop.wanted() == Some(slot)
            };
            if place.streaming {
                // Who wants it now has asked for it anew.
                let streamed = |line: &&mut Line<'_, B>| {
                    line.user.as_ref() == Some(&name) && line.maildrop.streamed() == Some(slot)
                };
                for line in self.lines.iter_mut().filter(streamed) {
                    line.maildrop.stream_ended();
                }
            } else {
                for line in self.lines.iter_mut().filter(waits) {
                    line.maildrop.fetched(copied);
                }
            }
        }
        let Some(poller) = self.pollers.iter_mut().find(|poller| poller.user == name) else {
            return;
        };
        // Where that login was refused there was none yet: the next one decides.
        let refused = matches!(
            report.failure,
            Some(Failure::Refused {
                code: Some(ResponseCode::InUse | ResponseCode::LoginDelay),
                ..
            })
        );
        let again = match place.goal {
            goal @ Goal::Decide(_) if refused => Some(goal),
            _ => None,
        };
        poller.follow = report.next.map(|next| Goal::Decide(next.0)).or(again);
        poller.standing = report.standing;
        poller.hiding_refused |= report.hiding_refused;
        if let Some(delay) = report.login_delay {
            poller
                .schedule
                .keep_apart(Duration::from_secs(delay.into()));
        }
        poller
            .schedule
            .ended(moment.now, outcome(report.failure.as_ref()));
        poller.last = Some(Last {
            at: moment.now,
            report,
        });
    }

    /// Starts the visits that are due: one that must follow another at once, or by the schedule.
    fn start_polls(&mut self, board: &mut B, moment: Moment) -> bool {
        let mut moved = false;
        for at in 0..self.pollers.len() {
            let Some(poller) = self.pollers.get_mut(at) else {
                continue;
            };
            let due = poller.schedule.next(moment.now, moment.wall);
            let goal = match poller.follow {
                Some(goal) if poller.schedule.follow_at() <= moment.now => goal,
                Some(_) => continue,
                None if due.is_some_and(|due| due <= moment.now) => Goal::Poll,
                None => continue,
            };
            let user = poller.user.clone();
            let follows = poller.follow.is_some();
            let open = self
                .mailbox
                .ledger()
                .find_account(&user)
                .is_some_and(|account| self.is_open(account));
            if open && !follows {
                continue;
            }
            if self.start_visit(board, moment, &user, goal) {
                if let Some(poller) = self.pollers.get_mut(at) {
                    poller.follow = None;
                }
                moved = true;
            }
        }
        moved
    }

    /// Starts the visits that callers wait for in mid-call.
    fn start_fetches(&mut self, board: &mut B, moment: Moment) -> bool {
        let mut moved = false;
        for at in 0..self.lines.len() {
            let Some(line) = self.lines.get(at) else {
                continue;
            };
            let (Some(slot), Some(user)) = (line.maildrop.wanted(), line.user.clone()) else {
                continue;
            };
            if self.is_visiting(moment.now, &user) {
                continue;
            }
            // Without a source, or with one that refuses the login: another try could lock the
            // account.
            let poller = self.pollers.iter().find(|poller| poller.user == user);
            if poller.is_none_or(|poller| poller.schedule.standing() == schedule::Standing::Stopped)
            {
                if let Some(line) = self.lines.get_mut(at) {
                    line.maildrop.fetched(false);
                }
                moved = true;
                continue;
            }
            moved |= self.start_visit(board, moment, &user, Goal::Fetch(slot));
        }
        moved
    }

    /// `USER` was said: visit now, if no visit is under way.
    pub(super) fn visit_for_caller(&mut self, board: &mut B, moment: Moment, user: &Name) {
        let Some(poller) = self.pollers.iter_mut().find(|poller| poller.user == *user) else {
            return;
        };
        // A source that must not be asked now is not asked for a caller either.
        if poller.schedule.asap(moment.now, By::Caller) {
            self.start_polls(board, moment);
        }
    }

    /// The operator's `poll NAME`. Returns whether there is such a user with a source.
    pub(super) fn poll_now(&mut self, board: &mut B, moment: Moment, user: &str) -> bool {
        let Some(poller) = self.pollers.iter_mut().find(|poller| poller.user == user) else {
            return false;
        };
        poller.schedule.asap(moment.now, By::Operator);
        self.start_polls(board, moment);
        true
    }

    /// Starts a visit, unless there is no place, or one to the same account at the same server is
    /// under way: a maildrop is locked for one session (RFC 1939 §4).
    fn start_visit(&mut self, board: &mut B, moment: Moment, user: &Name, goal: Goal) -> bool {
        let Some(User {
            source: Some(source),
            security,
            ..
        }) = self.config.user(user).cloned()
        else {
            return false;
        };
        let same = |other: &User| {
            other.source.as_ref().is_some_and(|other| {
                other.host == source.host
                    && other.port == source.port
                    && other.login == source.login
            })
        };
        let busy = self
            .visits
            .iter()
            .any(|place| !place.is_free() && self.config.user(&place.user).is_some_and(same));
        if busy {
            return false;
        }
        let Some(at) = self.free_place() else {
            return false;
        };
        let Ok(account) = self.account(user) else {
            return false;
        };
        let Some(place) = self.visits.get_mut(at) else {
            return false;
        };
        log::debug!("user {user}: visit begins: {goal:?}");
        place.link.clear();
        match source.scheme {
            Scheme::Maildir => place.folder = Some(board.folder(&source.host)),
            scheme => {
                let mut stream = board.lan().connect(&source.host, source.port);
                if scheme.is_secure() {
                    stream.start_tls(security.trust());
                }
                place.stream = Some(stream);
            }
        }
        let mut nonce = Nonce::default();
        board.fill(&mut nonce);
        place.security = security;
        place.user = user.clone();
        place.source = Some(source);
        place.goal = goal;
        place.streaming = false;
        place.visit.begin(moment.now, goal, account, nonce);
        if let Some(poller) = self.pollers.iter_mut().find(|poller| poller.user == *user) {
            poller.schedule.begun(moment.now, moment.wall);
            if poller.hiding_refused {
                place.visit.skip_hiding();
            }
            // What was given up meanwhile is only copied again by a visit that looks at it.
            if !self.mailbox.could_copy_again(account) {
                place.visit.recall(poller.standing);
            }
        }
        true
    }

    /// A place that no visit is in, made if need be.
    fn free_place(&mut self) -> Option<usize> {
        let free = self.visits.iter().position(VisitPlace::is_free);
        free.or_else(|| {
            let tables = self.idle.pop()?;
            let made = self.visits.push(|| VisitPlace::new(tables));
            made.then(|| self.visits.len() - 1)
        })
    }

    /// Whether a visit for `user` is under way, or must follow at once.
    pub(super) fn is_visiting(&self, now: Instant, user: &Name) -> bool {
        let follows = |poller: &Poller| {
            let now = poller.schedule.follow_at() <= now;
            poller.user == *user && poller.follow.is_some() && now
        };
        self.has_visit(user) || self.pollers.iter().any(follows)
    }

    /// Whether a visit for `user` is under way.
    fn has_visit(&self, user: &Name) -> bool {
        let visiting = |place: &VisitPlace<'_, B>| !place.is_free() && place.user == *user;
        self.visits.iter().any(visiting)
    }

    /// Whether a visit for `user` is due and cannot start yet: another one is under way, to the same
    /// account or in the last free place.
    pub(super) fn is_due(&mut self, moment: Moment, user: &Name) -> bool {
        let poller = self.pollers.iter_mut().find(|poller| poller.user == *user);
        let due = poller.and_then(|poller| poller.schedule.next(moment.now, moment.wall));
        due.is_some_and(|due| due <= moment.now)
    }

    /// When the next visit is due.
    pub(super) fn next_poll(&mut self, moment: Moment) -> Option<Instant> {
        let mut next = None;
        for at in 0..self.pollers.len() {
            let Some(poller) = self.pollers.get_mut(at) else {
                continue;
            };
            let due = match poller.follow {
                Some(_) => Some(poller.schedule.follow_at()),
                None => poller.schedule.next(moment.now, moment.wall),
            };
            let Some(due) = due else {
                continue;
            };
            let user = poller.user.clone();
            // What is due and cannot start now starts when something else has ended.
            if due > moment.now && !self.has_visit(&user) {
                next = next.into_iter().chain([due]).min();
            }
        }
        next
    }

    /// Makes the pollers as the configuration says.
    pub(super) fn apply_pollers(&mut self, board: &mut B) {
        let config = &self.config;
        self.pollers.retain(|poller| {
            let user = config.user(&poller.user);
            user.is_some_and(|user| {
                user.source == poller.source
                    && user.security == poller.security
                    && user.poll == poller.poll
            })
        });
        for user in &self.config.users {
            let known = self.pollers.iter().any(|poller| poller.user == user.name);
            if known || user.source.is_none() {
                continue;
            }
            let mut seed = [0; 8];
            board.fill(&mut seed);
            // There are as many places as users.
            self.pollers.push(|| Poller {
                user: user.name.clone(),
                poll: user.poll.clone(),
                source: user.source.clone(),
                security: user.security.clone(),
                schedule: Schedule::new(&user.poll, u64::from_le_bytes(seed)),
                follow: None,
                standing: None,
                hiding_refused: false,
                last: None,
            });
        }
    }

    pub(super) fn end_visits(&mut self) {
        for place in self.visits.iter_mut() {
            place.visit.closed(&mut self.mailbox);
            place.close();
        }
    }
}

/// What the schedule makes of the end of a visit.
fn outcome(failure: Option<&Failure>) -> Outcome {
    let Some(failure) = failure else {
        return Outcome::Done;
    };
    match failure {
        Failure::NotListed | Failure::Consumes | Failure::Short(_) | Failure::OtherSize { .. } => {
            Outcome::Done
        }
        Failure::Refused { code, .. } => match code {
            Some(ResponseCode::InUse) => Outcome::Failed(Setback::InUse),
            Some(ResponseCode::LoginDelay) => Outcome::Failed(Setback::LoginDelay),
            // RFC 3206 §4. A refusal without a reason may be a lock or a fault of the server's:
            // to stop for it could mean to be silent for good.
            Some(ResponseCode::Auth) => Outcome::Refused,
            _ => Outcome::Failed(Setback::Temporary),
        },
        Failure::Connect(ConnectError::Tls(_))
        | Failure::TlsTimedOut
        | Failure::NoTls
        | Failure::InClear => Outcome::Failed(Setback::Unsafe),
        Failure::NoWay | Failure::Proof(_) => Outcome::Failed(Setback::Temporary),
        Failure::Mailbox(_) | Failure::Nameless => Outcome::Failed(Setback::Temporary),
        _ => Outcome::Failed(Setback::Network),
    }
}
