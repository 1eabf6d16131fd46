//! One caller's view of a mailbox: a snapshot that keeps its numbers while it is open.
//!
//! ```text
//! open              of each notice its mail's header is read: its size must be known
//! RETR, TOP          Checking --> Searching --> Ready   the copy's whole checksum is verified,
//!                       |damaged                        and the place of the mark is found, first
//!                       v
//! no copy --------> Wanted --> Checking            the gateway fetches it from the LAN
//!                       +----> Streaming           .. or hands it on in parts: no room for it
//!                       +----> Unavailable         .. or could not
//! commit (QUIT)      Marking --> Waiting --> Done  rows, then one flush (design 2.7)
//! ```
//!
//! What a caller gets of a mail that was read at the desk is made while it is read: see
//! `mark`, `notice`. Nothing of it is stored.
//!
//! Deviation: a message without a copy is listed with the LAN server's figure of its size, which
//! may be wrong; for all others it is exact (RFC 1939 §11).

use hal::Medium;

use crate::config::{CommitAt, Mark, Name, Order, TakenBy, User};
use crate::pop3::{self, Commit, Open, ReadFault, Uid};
use crate::store::{Reader, Stored, Ticket, Verifier};

use super::day::Day;
use super::mark::{self, Finder, Insertion};
use super::notice;
use super::row::{Offer, Taken, View};
use super::{Error, Mailbox};

mod stream;

use stream::Stream;

/// How many octets of a copy are verified at one step, so that other lines are served meanwhile.
const CHECK_OCTETS: usize = 256 * 1024;

/// A header's beginning: what a notice says of a mail stands in it.
const HEADER_OCTETS: usize = 64 * 1024;

/// One read of a header.
const PIECE_OCTETS: usize = 4096;

/// One message of a maildrop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Item {
    slot: u32,
    uid: u32,
    /// Octets of what is sent.
    size: u32,
    /// The day on which it was read at the desk.
    day: u16,
    form: Form,
    deleted: bool,
    sent: bool,
    /// It was sent, and no `RSET` forgets that.
    went: bool,
    /// What it was marked for is written down already (`commit dele`).
    taken: bool,
}

/// What a caller gets of a mail. With a tag of its own: one that shares its octet with [`Mark`] is
/// not zero for the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    /// The mail as it is. Zero, as in [`Item::EMPTY`].
    #[default]
    Mail,
    Marked(Mark),
    /// A notice; its size is known once its mail's header was read.
    Notice,
    /// A notice of a mail whose copy turned out to be damaged: it is left out.
    Gone,
}

impl Item {
    /// No message: all zeros, so that large tables need not be written to before they are used.
    pub const EMPTY: Self = Self {
        slot: 0,
        uid: 0,
        size: 0,
        day: 0,
        form: Form::Mail,
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
    name: Name,
    call: u32,
    order: Order,
    /// Items whose size is known.
    prepared: usize,
    taken_by: TakenBy,
    commit_at: CommitAt,
    count: usize,
    /// More was offered than there is room for.
    cut: bool,
    reading: Reading,
    /// The latest read found nothing yet: the next chunk of the copy lies further on.
    walking: bool,
    committing: Committing,
}

/// The message that is read, or made ready to be.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are as many as lines, and no heap"
)]
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
    /// The mark's place is looked for.
    Searching {
        number: u32,
        octets: u64,
        reader: Reader,
        offset: u64,
        finder: Finder,
    },
    Ready {
        number: u32,
        octets: u64,
        reader: Reader,
        insertion: Option<Insertion>,
    },
    /// A notice, ready.
    Notice {
        number: u32,
        text: notice::Text,
    },
    /// Read from the LAN as it is sent; nothing of it is stored.
    Streaming {
        number: u32,
        slot: u32,
        stream: Stream,
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

    /// Takes the snapshot of what `account` is offered on day `today`, for call number `call`, and
    /// pins its copies. It may be lent when [`prepare`](Self::prepare) is done.
    pub fn open<M: Medium>(
        &mut self,
        mailbox: &mut Mailbox<'_, M>,
        account: u8,
        user: &User,
        view: View,
        today: u16,
        call: u32,
    ) {
        let mut count = 0;
        let mut cut = false;
        for (slot, row) in mailbox.ledger().rows_of(account) {
            let (form, more) = match row.offer(user.read_at_desk, view, today) {
                Offer::Nothing => continue,
                Offer::Mail => (Form::Mail, 0),
                Offer::Marked(mark) => (Form::Marked(mark), mark::octets(mark, Day(row.since))),
                Offer::Notice => (Form::Notice, 0),
            };
            let Some(item) = self.items.get_mut(count) else {
                cut = true;
                break;
            };
            *item = Item {
                slot,
                uid: row.uid,
                size: row.size.saturating_add(more),
                day: row.since,
                form,
                ..Item::default()
            };
            count += 1;
        }
        mailbox.begin_call(call);
        mailbox.pin(account, true);
        self.opened = Some(Opened {
            user: account,
            name: user.name.clone(),
            call,
            order: user.order,
            prepared: 0,
            taken_by: user.taken_by,
            commit_at: user.commit,
            count,
            cut,
            reading: Reading::Nothing,
            walking: false,
            committing: Committing::Idle,
        });
    }

    /// Goes on to make it ready: reads the headers of mails that have notices, some at a time.
    /// Returns whether it is done; then numbers and sizes stay.
    pub fn prepare<M: Medium>(&mut self, mailbox: &mut Mailbox<'_, M>) -> bool {
        let Some(opened) = &mut self.opened else {
            return true;
        };
        let items = self.items.get_mut(..opened.count).unwrap_or_default();
        if opened.prepared > items.len() {
            return true;
        }
        let mut budget = CHECK_OCTETS;
        for item in items.iter_mut().skip(opened.prepared) {
            if item.form == Form::Notice {
                if budget == 0 {
                    return false;
                }
                match compose(mailbox, item.slot, item.day, &opened.name, &mut budget) {
                    Some(text) => item.size = u32::try_from(text.len()).unwrap_or(u32::MAX),
                    None => {
                        mailbox.drop_damaged(item.slot);
                        item.form = Form::Gone;
                    }
                }
            }
            opened.prepared += 1;
        }
        let gone = |item: &Item| item.form == Form::Gone;
        match opened.order {
            Order::Arrival => items.sort_unstable_by_key(|item| (gone(item), item.uid)),
            Order::Newest => {
                items.sort_unstable_by_key(|item| (gone(item), core::cmp::Reverse(item.uid)));
            }
            Order::Size => items.sort_unstable_by_key(|item| (gone(item), item.size, item.uid)),
        }
        opened.count = items.partition_point(|item| !gone(item));
        opened.prepared = opened.count + 1;
        true
    }

    /// Whether headers are read for it: there is more to do at once, though nothing comes.
    #[must_use]
    pub fn is_preparing(&self) -> bool {
        let opened = self.opened.as_ref();
        opened.is_some_and(|opened| opened.prepared <= opened.count)
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
        opened.is_some_and(|opened| {
            matches!(
                opened.reading,
                Reading::Checking { .. } | Reading::Searching { .. }
            )
        })
    }

    /// Whether the next octets of a message are looked for in the ring: there is more to do at once,
    /// though nothing comes.
    #[must_use]
    pub fn is_walking(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.walking)
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

    /// The wanted row's mail has `octets`, and comes in parts: see [`feed`](Self::feed).
    pub fn begin_stream(&mut self, octets: u64) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        if let Reading::Wanted { number, slot } = opened.reading {
            opened.reading = Reading::Streaming {
                number,
                slot,
                stream: Stream::new(octets),
            };
        }
    }

    /// The row whose mail comes in parts.
    #[must_use]
    pub fn streamed(&self) -> Option<u32> {
        match self.opened.as_ref()?.reading {
            Reading::Streaming { slot, .. } => Some(slot),
            _ => None,
        }
    }

    /// Takes the next part of the mail that is streamed; returns whether there was room for it.
    pub fn feed(&mut self, part: &[u8]) -> bool {
        match self.opened.as_mut().map(|opened| &mut opened.reading) {
            Some(Reading::Streaming { stream, .. }) => stream.feed(part),
            _ => false,
        }
    }

    /// No more parts come. If the mail is not whole, it is not to be had now; if it was begun, it
    /// cannot be read on.
    pub fn stream_ended(&mut self) {
        let Some(opened) = &mut self.opened else {
            return;
        };
        if let Reading::Streaming { number, stream, .. } = &opened.reading
            && !stream.is_whole()
        {
            opened.reading = if stream.is_begun() {
                Reading::Nothing
            } else {
                Reading::Unavailable { number: *number }
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
        let item = self.item(number)?;
        let mut uid = self.mailbox.uid(item.uid);
        if item.form == Form::Notice {
            // It fits: a mail's has at most eight characters. Longer by one than that of the mail,
            // it is nobody else's: there are mails' of six and of eight.
            let _ = uid.push('n');
        }
        Some(uid)
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
                    insertion,
                    ..
                } if *ready == number => {
                    let more = insertion.as_ref().map_or(0, |it| it.text.len() as u64);
                    return Open::Ready(*octets + more);
                }
                Reading::Notice {
                    number: ready,
                    text,
                } if *ready == number => return Open::Ready(text.len() as u64),
                Reading::Streaming {
                    number: streamed,
                    slot,
                    stream,
                } if *streamed == number => {
                    if let Some(octets) = stream.begin() {
                        return Open::Ready(octets);
                    }
                    // Its beginning has gone by.
                    let slot = *slot;
                    self.opened.reading = Reading::Wanted { number, slot };
                    return Open::Pending;
                }
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
                        Some(Ok(Stored { octets, .. })) => self.checked(number, octets, reader),
                        Some(Err(_)) => self.lost(number),
                    }
                }
                Reading::Searching {
                    number: searched, ..
                } if *searched == number => match self.search(CHECK_OCTETS) {
                    Ok(true) => {}
                    Ok(false) => return Open::Pending,
                    Err(ReadFault) => self.lost(number),
                },
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
        self.opened.walking = false;
        let (number, octets, reader, insertion) = match &mut self.opened.reading {
            Reading::Ready {
                number,
                octets,
                reader,
                insertion,
            } => (*number, *octets, reader, insertion),
            Reading::Notice { text, .. } => return Ok(part(text, offset, buf)),
            Reading::Streaming { stream, .. } => return stream.read(offset, buf),
            _ => return Err(ReadFault),
        };
        let (mut offset, mut buf) = (offset, buf);
        if let Some(Insertion { at, text }) = insertion {
            let text = text.as_bytes();
            let ahead = usize::try_from(at.saturating_sub(offset)).unwrap_or(usize::MAX);
            let behind = offset.saturating_sub(*at);
            if ahead == 0 && behind < text.len() as u64 {
                return Ok(part(text, behind, buf));
            }
            if ahead > 0 {
                let most = buf.len().min(ahead);
                buf = buf.get_mut(..most).unwrap_or_default();
            } else {
                offset -= text.len() as u64;
            }
        }
        match self.mailbox.store().read(reader, offset, buf) {
            Ok(n) if n > 0 || offset < octets => {
                self.opened.walking = n == 0;
                Ok(n)
            }
            // Behind its end there is nothing to wait for.
            Ok(_) | Err(_) => {
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
        let Item {
            slot, day, form, ..
        } = *self.item(number)?;
        if form == Form::Notice {
            return Some(self.notice(number, slot, day));
        }
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

    /// How the reading of a notice begins, and ends.
    fn notice(&mut self, number: u32, slot: u32, day: u16) -> Reading {
        let size = self.item(number).map(|item| item.size as usize);
        let name = &self.opened.name;
        match compose(self.mailbox, slot, day, name, &mut HEADER_OCTETS.clone()) {
            // Another length than was listed: its mail was copied anew, with another header.
            Some(text) if Some(text.len()) == size => Reading::Notice { number, text },
            Some(_) => Reading::Unavailable { number },
            None => {
                self.mailbox.drop_damaged(slot);
                Reading::Unavailable { number }
            }
        }
    }

    /// The copy of message `number` is whole.
    fn checked(&mut self, number: u32, octets: u64, reader: Reader) {
        let marked = self.item(number).and_then(|item| match item.form {
            Form::Marked(mark) => Some(Finder::new(mark, Day(item.day))),
            _ => None,
        });
        self.opened.reading = match marked {
            None => Reading::Ready {
                number,
                octets,
                reader,
                insertion: None,
            },
            Some(finder) => Reading::Searching {
                number,
                octets,
                reader,
                offset: 0,
                finder,
            },
        };
    }

    /// Looks for the place of the mark in the next `budget` octets, or less. Returns whether it
    /// was found.
    fn search(&mut self, mut budget: usize) -> Result<bool, ReadFault> {
        let Reading::Searching {
            number,
            octets,
            reader,
            offset,
            finder,
        } = &mut self.opened.reading
        else {
            return Ok(true);
        };
        let mut piece = [0; PIECE_OCTETS];
        let insertion = loop {
            if *offset >= *octets {
                break finder.clone().finish();
            }
            if budget == 0 {
                return Ok(false);
            }
            let read = self.mailbox.store().read(reader, *offset, &mut piece);
            let read = read.map_err(|_| ReadFault)?;
            let octets = piece.get(..read).unwrap_or_default();
            if let Some(insertion) = finder.read(octets) {
                break insertion;
            }
            // Nothing read: the next chunk lies further on, and looking for it took time as well.
            budget = budget.saturating_sub(read.max(PIECE_OCTETS));
            *offset += read as u64;
        };
        self.opened.reading = Reading::Ready {
            number: *number,
            octets: *octets,
            reader: *reader,
            insertion: Some(insertion),
        };
        Ok(true)
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
        let taken = match item.form {
            Form::Notice => Taken::Notice,
            Form::Mail | Form::Marked(_) | Form::Gone => Taken::Full,
        };
        let before = self.mailbox.ledger().row(item.slot).map(|row| row.taken);
        if before < Some(taken) {
            self.mailbox.set_taken(item.slot, taken, self.opened.call)?;
        }
        item.taken = true;
        Ok(true)
    }
}

/// Reads the header of the mail in `slot` and makes its notice of it; `budget` shrinks by what was
/// read. `None` if the copy cannot be read.
fn compose<M: Medium>(
    mailbox: &mut Mailbox<'_, M>,
    slot: u32,
    day: u16,
    name: &str,
    budget: &mut usize,
) -> Option<notice::Text> {
    let size = mailbox.ledger().row(slot)?.size;
    let mut reader = mailbox.open_copy(slot)?.ok()?;
    let mut fields = notice::Fields::new();
    let mut piece = [0; PIECE_OCTETS];
    let mut offset = 0;
    let mut left = HEADER_OCTETS;
    while offset < u64::from(size) && left > 0 {
        let read = mailbox.store().read(&mut reader, offset, &mut piece).ok()?;
        let spent = read.max(PIECE_OCTETS);
        (left, *budget) = (left.saturating_sub(spent), budget.saturating_sub(spent));
        if fields.read(piece.get(..read).unwrap_or_default()) {
            break;
        }
        offset += read as u64;
    }
    Some(fields.compose(Day(day), size, name))
}

/// Copies of `text` what stands from `offset` on and fits into `buf`; returns how much.
fn part(text: &[u8], offset: u64, buf: &mut [u8]) -> usize {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = text.get(from..).unwrap_or_default();
    let count = rest.len().min(buf.len());
    let (Some(rest), Some(room)) = (rest.get(..count), buf.get_mut(..count)) else {
        return 0;
    };
    room.copy_from_slice(rest);
    count
}
