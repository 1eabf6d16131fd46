//! One caller's view of a mailbox: a snapshot that keeps its numbers while it is open.
//!
//! ```text
//! open (RETR, TOP)   Checking --> Ready            the copy's whole checksum is verified first
//!                       |damaged
//!                       v
//! no copy --------> Wanted --> Checking            the gateway fetches it from the LAN
//!                       +----> Unavailable         .. or could not
//! commit (QUIT)      Marking --> Waiting --> Done  rows, then one flush (design 2.7)
//! ```
//!
//! Deviation: a message without a copy is listed with the LAN server's figure of its size, which
//! may be wrong; for all others it is exact (RFC 1939 §11).

use hal::Medium;

use crate::config::{CommitAt, Order, TakenBy, User};
use crate::pop3::{self, Commit, Open, ReadFault, Uid};
use crate::store::{Reader, Stored, Ticket, Verifier};

use super::row::{Offer, Taken};
use super::{Error, Mailbox};

/// How many octets of a copy are verified at one step, so that other lines are served meanwhile.
const CHECK_OCTETS: usize = 256 * 1024;

/// One message of a maildrop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Item {
    slot: u32,
    uid: u32,
    size: u32,
    deleted: bool,
    sent: bool,
    /// It was sent, and no `RSET` forgets that.
    went: bool,
    /// What it was marked for is written down already (`commit dele`).
    taken: bool,
}

impl Item {
    /// No message: all zeros, so that large tables need not be written to before they are used.
    pub const EMPTY: Self = Self {
        slot: 0,
        uid: 0,
        size: 0,
        deleted: false,
        sent: false,
        went: false,
        taken: false,
    };
}

/// A maildrop, open or not, over lent memory for its messages.
#[derive(Debug)]
pub struct Maildrop<'a> {
    items: &'a mut [Item],
    opened: Option<Opened>,
}

/// A maildrop while it is open.
#[derive(Debug)]
struct Opened {
    user: u8,
    call: u32,
    taken_by: TakenBy,
    commit_at: CommitAt,
    count: usize,
    /// More was offered than there is room for.
    cut: bool,
    reading: Reading,
    committing: Committing,
}

/// The message that is read, or made ready to be.
#[derive(Debug)]
enum Reading {
    Nothing,
    Checking {
        number: u32,
        reader: Reader,
        verifier: Verifier,
    },
    Wanted {
        number: u32,
        slot: u32,
    },
    Ready {
        number: u32,
        octets: u64,
        reader: Reader,
    },
    Unavailable {
        number: u32,
    },
}

/// How far `QUIT` is.
#[derive(Clone, Copy, Debug)]
enum Committing {
    Idle,
    Marking { next: usize },
    Waiting(Ticket),
}

/// What a call took, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages offered.
    pub offered: u32,
    /// Octets of these, as far as known.
    pub offered_octets: u64,
    /// Messages put whole on the line.
    pub sent: u32,
    /// Octets of these.
    pub sent_octets: u64,
    /// Messages marked as deleted.
    pub deleted: u32,
}

impl<'a> Maildrop<'a> {
    /// A maildrop that is not open; at most `items.len()` messages will be offered.
    pub fn new(items: &'a mut [Item]) -> Self {
        Self {
            items,
            opened: None,
        }
    }

    /// Takes the snapshot of what `account` is offered now, for call number `call`, and pins its
    /// copies.
    pub fn open<M: Medium>(
        &mut self,
        mailbox: &mut Mailbox<'_, M>,
        account: u8,
        user: &User,
        call: u32,
    ) {
        let mut count = 0;
        let mut cut = false;
        for (slot, row) in mailbox.ledger().rows_of(account) {
            if row.offer(user.read_at_desk) != Offer::Mail {
                continue;
            }
            let Some(item) = self.items.get_mut(count) else {
                cut = true;
                break;
            };
            *item = Item {
                slot,
                uid: row.uid,
                size: row.size,
                ..Item::default()
            };
            count += 1;
        }
        let items = self.items.get_mut(..count).unwrap_or_default();
        match user.order {
            Order::Arrival => items.sort_unstable_by_key(|item| item.uid),
            Order::Newest => items.sort_unstable_by_key(|item| core::cmp::Reverse(item.uid)),
            Order::Size => items.sort_unstable_by_key(|item| (item.size, item.uid)),
        }
        mailbox.begin_call(call);
        mailbox.pin(account, true);
        self.opened = Some(Opened {
            user: account,
            call,
            taken_by: user.taken_by,
            commit_at: user.commit,
            count,
            cut,
            reading: Reading::Nothing,
            committing: Committing::Idle,
        });
    }

    /// Closes it, whatever was marked, and lets its copies go.
    pub fn close<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) {
        if let Some(opened) = self.opened.take() {
            mailbox.pin(opened.user, false);
        }
    }

    /// Gives its memory back.
    #[must_use]
    pub fn into_memory(self) -> &'a mut [Item] {
        self.items
    }

    /// Lends it with the mailbox it looks at, for one step of a session.
    pub fn lend<'s, 'm, M: Medium>(
        &'s mut self,
        mailbox: &'s mut Mailbox<'m, M>,
    ) -> Option<Lent<'s, 'm, M>> {
        let opened = self.opened.as_mut()?;
        let items = self.items.get_mut(..opened.count).unwrap_or_default();
        Some(Lent {
            items,
            opened,
            mailbox,
        })
    }

    /// The row whose mail must be fetched from the LAN before the caller can have it.
    #[must_use]
    pub fn wanted(&self) -> Option<u32> {
        match self.opened.as_ref()?.reading {
            Reading::Wanted { slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// Whether a copy is being verified: there is more to do at once, though nothing comes.
    #[must_use]
    pub fn is_checking(&self) -> bool {
        let opened = self.opened.as_ref();
        opened.is_some_and(|opened| matches!(opened.reading, Reading::Checking { .. }))
    }

    /// The fetch of the wanted row has ended; where it failed, the message is not to be had now.
    pub fn fetched(&mut self, copied: bool) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        if let Reading::Wanted { number, .. } = opened.reading {
            opened.reading = if copied {
                Reading::Nothing
            } else {
                Reading::Unavailable { number }
            };
        }
    }

    /// Whose it is, while it is open.
    #[must_use]
    pub fn account(&self) -> Option<u8> {
        self.opened.as_ref().map(|opened| opened.user)
    }

    /// The number of the call it is open for.
    #[must_use]
    pub fn call(&self) -> Option<u32> {
        self.opened.as_ref().map(|opened| opened.call)
    }

    /// Whether more mail waits than it has room for.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.cut)
    }

    /// What happened to its messages so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let count = self.opened.as_ref().map_or(0, |opened| opened.count);
        let items = self.items.get(..count).unwrap_or_default();
        let mut tally = Tally::default();
        for item in items {
            let octets = u64::from(item.size);
            tally.offered += 1;
            tally.offered_octets += octets;
            if item.went {
                tally.sent += 1;
                tally.sent_octets += octets;
            }
            tally.deleted += u32::from(item.deleted);
        }
        tally
    }
}

/// A maildrop and its mailbox, for one step.
#[derive(Debug)]
pub struct Lent<'s, 'm, M: Medium> {
    items: &'s mut [Item],
    opened: &'s mut Opened,
    mailbox: &'s mut Mailbox<'m, M>,
}

impl<M: Medium> pop3::Maildrop for Lent<'_, '_, M> {
    fn count(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    fn size(&self, number: u32) -> Option<u64> {
        Some(u64::from(self.item(number)?.size))
    }

    fn uid(&self, number: u32) -> Option<Uid> {
        Some(self.mailbox.uid(self.item(number)?.uid))
    }

    fn is_deleted(&self, number: u32) -> bool {
        self.item(number).is_none_or(|item| item.deleted)
    }

    fn delete(&mut self, number: u32) {
        if let Some(item) = self.item_mut(number) {
            item.deleted = true;
        }
    }

    fn reset(&mut self) {
        for item in self.items.iter_mut().filter(|item| !item.taken) {
            (item.deleted, item.sent) = (false, false);
        }
    }

    fn open(&mut self, number: u32) -> Open {
        loop {
            match &mut self.opened.reading {
                Reading::Ready {
                    number: ready,
                    octets,
                    ..
                } if *ready == number => return Open::Ready(*octets),
                Reading::Wanted { number: wanted, .. } if *wanted == number => {
                    return Open::Pending;
                }
                Reading::Unavailable { number: missing } if *missing == number => {
                    // Asked again later it may be there.
                    self.opened.reading = Reading::Nothing;
                    return Open::Unavailable;
                }
                Reading::Checking {
                    number: checked,
                    reader,
                    verifier,
                } if *checked == number => {
                    let reader = *reader;
                    match self.mailbox.store().verify(verifier, CHECK_OCTETS) {
                        None => return Open::Pending,
                        Some(Ok(Stored { octets, .. })) => {
                            self.opened.reading = Reading::Ready {
                                number,
                                octets,
                                reader,
                            };
                        }
                        Some(Err(_)) => self.lost(number),
                    }
                }
                _ => {
                    let Some(reading) = self.begin(number) else {
                        return Open::Unavailable;
                    };
                    self.opened.reading = reading;
                }
            }
        }
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadFault> {
        let Reading::Ready { number, reader, .. } = &mut self.opened.reading else {
            return Err(ReadFault);
        };
        let number = *number;
        match self.mailbox.store().read(reader, offset, buf) {
            Ok(n) => Ok(n),
            Err(_) => {
                self.opened.reading = Reading::Nothing;
                if let Some(slot) = self.item(number).map(|item| item.slot) {
                    self.mailbox.drop_damaged(slot);
                }
                Err(ReadFault)
            }
        }
    }

    fn sent_whole(&mut self, number: u32) {
        if let Some(item) = self.item_mut(number) {
            (item.sent, item.went) = (true, true);
        }
    }

    fn replies_read(&mut self) {
        if self.opened.commit_at != CommitAt::Dele {
            return;
        }
        let mut changed = false;
        for at in 0..self.items.len() {
            // What the journal has no room for now waits for the next command, or for QUIT.
            match self.take(at) {
                Ok(taken) => changed |= taken,
                Err(_) => break,
            }
        }
        if changed {
            self.mailbox.commit();
        }
    }

    fn commit(&mut self) -> Commit {
        loop {
            match self.opened.committing {
                Committing::Idle => self.opened.committing = Committing::Marking { next: 0 },
                Committing::Marking { next } if next < self.items.len() => match self.take(next) {
                    Ok(_) => self.opened.committing = Committing::Marking { next: next + 1 },
                    Err(Error::Busy) => return Commit::Pending,
                    Err(_) => return Commit::Failed,
                },
                Committing::Marking { .. } => {
                    if !self.items.iter().any(|item| item.taken) {
                        return Commit::Done;
                    }
                    self.opened.committing = Committing::Waiting(self.mailbox.commit());
                }
                Committing::Waiting(ticket) => {
                    return match self.mailbox.committed(ticket) {
                        Ok(true) => Commit::Done,
                        Ok(false) => Commit::Pending,
                        Err(_) => Commit::Failed,
                    };
                }
            }
        }
    }
}

impl<M: Medium> Lent<'_, '_, M> {
    fn item(&self, number: u32) -> Option<&Item> {
        self.items
            .get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    fn item_mut(&mut self, number: u32) -> Option<&mut Item> {
        self.items
            .get_mut(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// How the reading of message `number` begins; `None` if there is no such message.
    fn begin(&mut self, number: u32) -> Option<Reading> {
        let slot = self.item(number)?.slot;
        let reader = match self.mailbox.open_copy(slot) {
            None => return Some(Reading::Wanted { number, slot }),
            Some(Err(_)) => {
                self.mailbox.drop_damaged(slot);
                return Some(Reading::Wanted { number, slot });
            }
            Some(Ok(reader)) => reader,
        };
        let verifier = self.mailbox.store().verifier(&reader);
        Some(Reading::Checking {
            number,
            reader,
            verifier,
        })
    }

    /// The copy of message `number` is damaged: it must be fetched again.
    fn lost(&mut self, number: u32) {
        self.opened.reading = match self.item(number).map(|item| item.slot) {
            Some(slot) => {
                self.mailbox.drop_damaged(slot);
                Reading::Wanted { number, slot }
            }
            None => Reading::Unavailable { number },
        };
    }

    /// Writes down that item `at` is taken, if the caller took it. Returns whether it was new.
    fn take(&mut self, at: usize) -> Result<bool, Error> {
        let Some(item) = self.items.get_mut(at) else {
            return Ok(false);
        };
        let by_retr = self.opened.taken_by == TakenBy::Retr && item.sent;
        if item.taken || !(item.deleted || by_retr) {
            return Ok(false);
        }
        self.mailbox
            .set_taken(item.slot, Taken::Full, self.opened.call)?;
        item.taken = true;
        Ok(true)
    }
}
