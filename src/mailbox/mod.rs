//! What both sides meet in: the ledger in memory, its index and the copies in the store.
//!
//! ```text
//! visit --- lan, rows, copies ---> Mailbox: log entry -> journal, then -> Ledger
//! call  --- taken ------------->                  |
//!                                  commit: one sync makes all of it durable
//! ```
//!
//! Every change is written down before it is made in memory, and is durable when the ticket of a
//! later [`Mailbox::commit`] is done. The journal may have no room just now ([`Error::Busy`]):
//! whoever changes many rows remembers how far it came and goes on at its next step.

pub mod account;
pub mod calls;
mod copies;
mod day;
pub mod failures;
pub mod index;
pub mod ledger;
pub mod maildrop;
mod mark;
mod notice;
pub mod packed;
pub mod row;
mod space;
mod table;
mod tombstones;

use core::fmt;
use core::hash::Hasher;

use hal::Medium;
use heapless::Deque;
use siphasher::sip::SipHasher24;

use crate::config::{LINES, Name};
use crate::identity::Identity;
use crate::pop3::Uid;
use crate::reconcile::Key;
use crate::store::{AppendError, Place, Store, StoreError, Ticket, Usage};

pub use account::{Account, Habit, Reach, Sizes, SourceRecord, Stumbles};
use calls::CallRecord;
use index::{ENTRY_OCTETS, Entry, FORMAT, RowV1};
use ledger::Full;
pub use ledger::Ledger;
pub use packed::Slot;
pub use row::{Lan, Offer, Row, Taken, View};

/// Days that a mail stays known after it has gone from the LAN server (design 2.13).
const TOMBSTONE_DAYS: u16 = 90;
/// The same for one that a caller took: it must not be sent again if it comes back.
const TOMBSTONE_DAYS_TAKEN: u16 = 400;

/// The ledger, and the store it is kept in.
#[derive(Debug)]
pub struct Mailbox<'a, M: Medium> {
    ledger: Ledger<'a>,
    store: Store<'a, M>,
    /// Copies that turned out to be damaged, since start.
    damaged: u32,
    /// Calls that the journal had no room for yet.
    unlogged: Deque<CallRecord, LINES>,
}

/// Whose failed logins are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'n> {
    /// Those by this name, whether or not anybody has it.
    Login(&'n str),
    /// Those on the line of this name.
    Line(&'n str),
}

/// Why a change was not made. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The journal or the medium takes nothing just now: try again at the next step.
    Busy,
    /// The ledger has no free row.
    LedgerFull,
    /// The ring has no segment that may be used again.
    RingFull,
    /// The medium failed.
    Medium,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "the store is busy",
            Self::LedgerFull => "the ledger is full",
            Self::RingFull => "the ring is full of mail that must stay",
            Self::Medium => "the store's medium failed",
        })
    }
}

impl core::error::Error for Error {}

impl From<Full> for Error {
    fn from(_: Full) -> Self {
        Self::LedgerFull
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            // An entry is never too long for a page: 128 octets at least.
            StoreError::TooLong { .. } | StoreError::Fault(_) => Self::Medium,
        }
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Busy => Self::Busy,
            AppendError::Full => Self::RingFull,
            AppendError::Closed | AppendError::Fault(_) => Self::Medium,
        }
    }
}

impl<'a, M: Medium> Mailbox<'a, M> {
    /// A mailbox of what `store` held when `ledger` was filled from it.
    pub fn new(mut ledger: Ledger<'a>, store: Store<'a, M>) -> Self {
        // More rows than a snapshot holds would stop the store for good.
        let parts = store.geometry().snapshot_parts();
        ledger.limit(index::rows_that_fit(parts, ledger.log().capacity()));
        Self {
            ledger,
            store,
            damaged: 0,
            unlogged: Deque::new(),
        }
    }

    /// Drives the store's writing. Returns whether anything moved.
    pub fn step(&mut self) -> bool {
        let logged = self.log_calls();
        self.store.step(&mut self.ledger) || logged
    }

    /// The account called `name`, made if there is none; an account that no user of `keep` owns
    /// gives way, with its rows, when all are in use.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Medium`], or [`Error::LedgerFull`] if every account is kept.
    pub fn account(&mut self, name: &str, keep: impl Fn(&str) -> bool) -> Result<u8, Error> {
        if let Some(user) = self.ledger.find_account(name) {
            return Ok(user);
        }
        let stored = Name::try_from(name).map_err(|_| Error::LedgerFull)?;
        let user = match self.ledger.find_account("") {
            Some(user) => user,
            None => self.clear_account(keep)?,
        };
        self.log(&Entry::Account(user, name))?;
        self.log(&Entry::Source(user, 0, false, 0))?;
        if let Some(account) = self.ledger.account_mut(user) {
            *account = Account {
                name: stored,
                ..Account::default()
            };
        }
        Ok(user)
    }

    /// Remembers what is known of the source of `user`.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn set_source(&mut self, user: u8, source: SourceRecord) -> Result<(), Error> {
        self.change(&Entry::Source(
            user,
            source.fingerprint,
            source.visited,
            index::freeze_habit(source.habit),
        ))
    }

    /// Remembers, until the end of this program, what is known of the sizes of `user`'s source.
    pub fn set_sizes(&mut self, user: u8, sizes: Sizes) {
        if let Some(account) = self.ledger.account_mut(user) {
            account.sizes = sizes;
        }
    }

    /// Remembers, until the end of this program, what `TOP` of `user`'s source brings whole.
    pub fn set_reach(&mut self, user: u8, reach: Reach) {
        if let Some(account) = self.ledger.account_mut(user) {
            account.reach = reach;
        }
    }

    /// Remembers, until the end of this program, that `user`'s source lists ids twice, or out of
    /// order, or not a second time.
    pub fn note_odd_lists(&mut self, user: u8) {
        if let Some(account) = self.ledger.account_mut(user) {
            account.odd_lists = true;
        }
    }

    /// Mails of `user`'s source that visits fail over, remembered until the end of this program.
    pub fn stumbles_mut(&mut self, user: u8) -> Option<&mut Stumbles> {
        self.ledger
            .account_mut(user)
            .map(|account| &mut account.stumbles)
    }

    /// Whether `user`'s source does not send the mail that has this key as it should.
    #[must_use]
    pub fn is_spoilt(&self, user: u8, key: Key) -> bool {
        let account = self.ledger.account(user);
        account.is_some_and(|account| account.stumbles.is_spoilt(key))
    }

    /// Whether the mail of `user`'s source that has this key comes after all others.
    #[must_use]
    pub fn is_late(&self, user: u8, key: Key) -> bool {
        let account = self.ledger.account(user);
        account.is_some_and(|account| account.stumbles.late().contains(&key))
    }

    /// Writes the fact `lan`, if it differs: what a whole listing said on `day`.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn set_lan(&mut self, slot: u32, lan: Lan, day: u16) -> Result<(), Error> {
        if self.ledger.row(slot).is_none_or(|row| row.lan == lan) {
            return Ok(());
        }
        self.change(&Entry::Lan(slot, index::freeze_lan(lan), day))
    }

    /// Writes the fact `taken`, if it differs: what call `call` took, or took back.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn set_taken(&mut self, slot: u32, taken: Taken, call: u32) -> Result<(), Error> {
        if self.ledger.row(slot).is_none_or(|row| row.taken == taken) {
            return Ok(());
        }
        self.change(&Entry::Taken(slot, index::freeze_taken(taken), call))
    }

    /// Gives a row another key: its mail has a new unique-id.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn rekey(&mut self, slot: u32, key: Key) -> Result<(), Error> {
        if self.ledger.row(slot).is_none_or(|row| row.key == key) {
            return Ok(());
        }
        self.change(&Entry::Key(slot, index::freeze_key(key)))
    }

    /// Enters a new row. If the ledger is full, a tombstone gives way (design 2.13).
    ///
    /// # Errors
    /// [`Error::LedgerFull`] if every row is of a mail that is listed or ours; [`Error::Busy`] or
    /// [`Error::Medium`].
    pub fn enter(&mut self, row: &Row) -> Result<u32, Error> {
        self.make_room()?;
        let slot = self.ledger.vacancy()?;
        self.change(&Entry::Row(slot, RowV1::freeze(row)))?;
        Ok(slot)
    }

    /// Sees to it that there is room for one row.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub fn make_room(&mut self) -> Result<(), Error> {
        let Err(full) = self.ledger.vacancy() else {
            return Ok(());
        };
        let slot = self.ledger.oldest_tombstone().ok_or(full)?;
        self.change(&Entry::Gone(slot))
    }

    /// Removes the tombstones of `user` that are too old on `day` (design 2.13): what was taken
    /// stays longer, so that it is known if it comes back. Without a trusted clock, `day` 0,
    /// nothing is old.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`]; what was removed before stays removed.
    pub fn expire(&mut self, user: u8, day: u16) -> Result<(), Error> {
        self.ledger.turn_back(day);
        for slot in 0..self.ledger.used() {
            let row = self.ledger.row(slot);
            let expired = row.is_some_and(|row| {
                let age = day.saturating_sub(row.since);
                let limit = match row.taken {
                    Taken::Full => TOMBSTONE_DAYS_TAKEN,
                    Taken::No | Taken::Notice => TOMBSTONE_DAYS,
                };
                row.user == user && row.lan == Lan::Absent && row.since != 0 && age > limit
            });
            if expired && !self.ledger.is_pinned(user) {
                self.change(&Entry::Gone(slot))?;
            }
        }
        Ok(())
    }

    /// Gives a row another copy, or none; `octets` is the size to show for it.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn set_copy(&mut self, slot: u32, copy: Option<Place>, octets: u32) -> Result<(), Error> {
        self.change(&Entry::Copy(slot, copy.map(|place| place.0), octets))
    }

    /// Writes down what was seen of a mail without copying it.
    ///
    /// # Errors
    /// [`Error::Busy`] or [`Error::Medium`].
    pub fn set_seen(
        &mut self,
        slot: u32,
        size: u32,
        identity: Option<Identity>,
    ) -> Result<(), Error> {
        let identity = identity.map(index::freeze_identity);
        self.change(&Entry::Seen(slot, size, identity))
    }

    /// How often a login has failed, by this name or on this line, since one last went well.
    #[must_use]
    pub fn failures(&self, whose: Whose<'_>) -> u16 {
        self.ledger.failures().count(self.counter(whose))
    }

    /// Sets that count. It is written down, and made durable soon, where it has reached or left a
    /// power of two. A store that is busy keeps it until the next time: no more is lost than that.
    pub fn set_failures(&mut self, whose: Whose<'_>, count: u16) {
        let counter = self.counter(whose);
        if self.ledger.failures_mut().set(counter, count) {
            let mark = self.ledger.failures().mark(counter);
            if self.log(&Entry::Failures(counter, mark)).is_ok() {
                self.commit();
            }
        }
    }

    /// Which counter is whose: hashed with this store's own key.
    fn counter(&self, whose: Whose<'_>) -> u8 {
        let (kind, name) = match whose {
            Whose::Login(name) => (0, name),
            Whose::Line(name) => (1, name),
        };
        let mut hasher = SipHasher24::new_with_key(self.store.seed());
        hasher.write_u8(kind);
        hasher.write(name.as_bytes());
        let hash = hasher.finish() % u64::from(failures::COUNTERS);
        u8::try_from(hash).unwrap_or(0)
    }

    /// Makes all changes and finished copies so far durable; ask [`committed`](Self::committed).
    pub fn commit(&mut self) -> Ticket {
        self.store.commit()
    }

    /// Whether what `ticket` covers is durable.
    ///
    /// # Errors
    /// [`Error::Medium`] if the medium failed.
    pub fn committed(&self, ticket: Ticket) -> Result<bool, Error> {
        self.store.committed(ticket).map_err(|_| Error::Medium)
    }

    /// Pins the copies of `user`, whose maildrop is open, or lets them go again.
    pub fn pin(&mut self, user: u8, pinned: bool) {
        self.ledger.pin(user, pinned);
    }

    /// A UID counter that was never given out before. It is durable with the row that has it.
    pub fn fresh_uid(&mut self) -> u32 {
        self.ledger.fresh_uid()
    }

    /// The number of a call that begins now.
    #[must_use]
    pub fn next_call(&self) -> u32 {
        self.ledger.calls() + 1
    }

    /// Takes note that call `number` has begun.
    pub fn begin_call(&mut self, number: u32) {
        self.ledger.raise_calls(number);
    }

    /// Writes down that a call has ended; its serial number is given here. It becomes durable at
    /// once if somebody was logged in: what others do must not wear the card out.
    pub fn log_call(&mut self, record: CallRecord) {
        if self.unlogged.is_full() {
            self.unlogged.pop_front();
        }
        // There is room: the oldest has gone.
        let _ = self.unlogged.push_back(record.bounded());
        self.log_calls();
    }

    /// Writes down the calls that wait for it. Returns whether any was.
    fn log_calls(&mut self) -> bool {
        let mut logged = false;
        while let Some(&record) = self.unlogged.front() {
            let serial = self.ledger.log().next();
            if self
                .change(&Entry::Call(CallRecord { serial, ..record }))
                .is_err()
            {
                break;
            }
            self.unlogged.pop_front();
            logged = true;
            if record.number != 0 {
                self.commit();
            }
        }
        logged
    }

    /// The rows and accounts.
    #[must_use]
    pub fn ledger(&self) -> &Ledger<'a> {
        &self.ledger
    }

    /// The store, for reading copies.
    pub fn store(&mut self) -> &mut Store<'a, M> {
        &mut self.store
    }

    /// Figures of the store.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.store.usage()
    }

    /// Gives the store's medium back.
    pub fn into_medium(self) -> M {
        self.store.into_medium()
    }

    /// Copies that turned out to be damaged since start.
    #[must_use]
    pub fn damaged(&self) -> u32 {
        self.damaged
    }

    /// The key of unique-id `id`: hashed with this store's own key.
    #[must_use]
    pub fn key(&self, id: &[u8]) -> Key {
        let mut hasher = SipHasher24::new_with_key(self.store.seed());
        hasher.write(id);
        Key::new(hasher.finish())
    }

    /// The UID that callers see for counter `uid`: two characters of this store, then the counter
    /// in two, four or six (design 2.10). A thousand kept mails with short UIDs are a second less
    /// on a line of 33600 bit/s. The length is always even: a notice's has one character more.
    #[must_use]
    pub fn uid(&self, uid: u32) -> Uid {
        const DIGITS: &[u8; 64] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
        let digit = |value: u32| {
            let digit = DIGITS.get((value & 63) as usize);
            char::from(digit.copied().unwrap_or(b'0'))
        };
        let [first, second, ..] = *self.store.seed();
        let mut text = Uid::new();
        // Eight characters always fit: two, and at most six of six bits each.
        let _ = text.push(digit(u32::from(first)));
        let _ = text.push(digit(u32::from(second)));
        let digits = match uid {
            0..0x1000 => 2,
            0x1000..0x100_0000 => 4,
            _ => 6,
        };
        for at in (0..digits).rev() {
            let _ = text.push(digit(uid.checked_shr(6 * at).unwrap_or(0)));
        }
        text
    }

    /// Frees an account that nobody keeps, with its rows.
    fn clear_account(&mut self, keep: impl Fn(&str) -> bool) -> Result<u8, Error> {
        // An open maildrop knows its rows by their slots: they must not become other mails.
        let free = |user, name: &str| !keep(name) && !self.ledger.is_pinned(user);
        let spare = self
            .ledger
            .accounts()
            .find(|(user, a)| free(*user, &a.name));
        let user = spare.map(|(user, _)| user).ok_or(Error::LedgerFull)?;
        for slot in 0..self.ledger.used() {
            if self.ledger.row(slot).is_some_and(|row| row.user == user) {
                self.change(&Entry::Gone(slot))?;
            }
        }
        Ok(user)
    }

    /// Writes `entry` down and makes it so.
    fn change(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        self.log(entry)?;
        entry.apply(&mut self.ledger);
        Ok(())
    }

    fn log(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let mut octets = [0; ENTRY_OCTETS + 1];
        let length = frame(entry, &mut octets);
        let framed = octets.get(..length).unwrap_or_default();
        Ok(self.store.log(framed)?)
    }
}

/// Writes the version and `entry` into `out`; returns the length.
fn frame(entry: &Entry<'_>, out: &mut [u8; ENTRY_OCTETS + 1]) -> usize {
    let [version, rest @ ..] = out;
    *version = FORMAT;
    // ENTRY_OCTETS is the longest entry's length: a test holds it.
    entry.write(rest).map_or(0, |written| 1 + written.len())
}
