//! Who may have which maildrop: from the right password to the answer to `PASS`.
//!
//! ```text
//! proven -> Visiting -- visit over, or its budget --> Opening -- ready and durable --> admitted
//! ```

use hal::{Board, Duration, Instant};

use crate::config::{Name, TakenBy};
use crate::mailbox::View;
use crate::pop3::server::Refusal;
use crate::store::Ticket;

use super::lines::{Line, somebody};
use super::{Moment, Office};

/// A caller who has said the right password and waits for the maildrop.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    user: Name,
    view: View,
    account: u8,
    /// `PASS` is answered then, whatever the visit does.
    pub(super) until: Instant,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The visit that `USER` started is under way.
    Visiting,
    /// The snapshot is taken; what it shows is being made durable.
    Opening(Ticket),
}

impl<B: Board> Office<'_, B> {
    /// `login` has proven who it is: the maildrop is claimed. All ways of logging in meet here.
    pub(super) fn on_proven(&mut self, moment: Moment, at: usize, login: &str) {
        let (_, view) = View::split(login).unwrap_or_default();
        let Some(user) = somebody(self.config, login) else {
            // Deleted since the proof.
            self.refuse(moment, at, Refusal::Password);
            return;
        };
        let budget = user.poll.at_login.unwrap_or(Duration::ZERO);
        let name = user.name.clone();
        let Ok(account) = self.account(&name) else {
            self.refuse(moment, at, Refusal::Temporary);
            return;
        };
        let claimed = |line: &Line<'_, B>| {
            line.maildrop.account() == Some(account)
                || line
                    .login
                    .as_ref()
                    .is_some_and(|claim| claim.account == account)
        };
        if self.lines.iter().any(claimed) {
            self.refuse(moment, at, Refusal::InUse);
            return;
        }
        if let Some(line) = self.lines.get_mut(at) {
            line.login = Some(Claim {
                user: name,
                view,
                account,
                until: moment.now + budget,
                phase: Phase::Visiting,
            });
        }
    }

    pub(super) fn refuse(&mut self, moment: Moment, at: usize, refusal: Refusal) {
        if let Some(line) = self.lines.get_mut(at) {
            line.session.refuse(moment.now, &mut line.link, refusal);
        }
    }

    /// A caller waits for a maildrop: is it time to open it, or to say so?
    pub(super) fn turn_claim(&mut self, moment: Moment, at: usize) -> bool {
        let Some(claim) = self.lines.get(at).and_then(|line| line.login.clone()) else {
            return false;
        };
        match claim.phase {
            Phase::Visiting
                if moment.now < claim.until
                    && (self.is_visiting(moment.now, &claim.user)
                        || self.is_due(moment, &claim.user)) =>
            {
                false
            }
            Phase::Visiting => {
                self.open_maildrop(moment, at, claim);
                true
            }
            Phase::Opening(_) if !self.prepare(at) => true,
            Phase::Opening(ticket) => match self.mailbox.committed(ticket) {
                Ok(false) => false,
                Ok(true) => {
                    self.admit(moment, at, claim.user);
                    true
                }
                Err(_) => {
                    self.drop_claim(at);
                    self.refuse(moment, at, Refusal::Temporary);
                    true
                }
            },
        }
    }

    /// Takes the snapshot, and makes durable all it shows before anyone sees a UID of it.
    fn open_maildrop(&mut self, moment: Moment, at: usize, mut claim: Claim) {
        let call = self.mailbox.next_call();
        let (Some(line), Some(user)) = (self.lines.get_mut(at), self.config.user(&claim.user))
        else {
            // Deleted since the password was said.
            self.drop_claim(at);
            self.refuse(moment, at, Refusal::Temporary);
            return;
        };
        line.maildrop.open(
            &mut self.mailbox,
            claim.account,
            user,
            claim.view,
            moment.day(),
            call,
        );
        if line.maildrop.is_cut() {
            let name = &user.name;
            self.notes.warn(
                moment,
                format_args!("user {name}: more mail waits than one call can list"),
            );
        }
        claim.phase = Phase::Opening(self.mailbox.commit());
        line.login = Some(claim);
    }

    /// Makes the maildrop ready, a piece at a time; returns whether it is.
    fn prepare(&mut self, at: usize) -> bool {
        let line = self.lines.get_mut(at);
        line.is_none_or(|line| line.maildrop.prepare(&mut self.mailbox))
    }

    fn admit(&mut self, moment: Moment, at: usize, user: Name) {
        let zero = self
            .config
            .user(&user)
            .is_some_and(|user| user.taken_by == TakenBy::Retr);
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        line.login = None;
        let offered = line.maildrop.tally().offered;
        log::info!(
            "line {}: {user} logged in, {offered} mail(s) wait",
            line.config.name
        );
        line.user = Some(user);
        line.session.admit(moment.now, &mut line.link, zero);
    }

    fn drop_claim(&mut self, at: usize) {
        if let Some(line) = self.lines.get_mut(at) {
            line.login = None;
            line.maildrop.close(&mut self.mailbox);
        }
    }
}
