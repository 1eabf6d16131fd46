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

mod item;
mod lent;
mod stream;

use hal::Medium;

use crate::config::{CommitAt, Name, Order, TakenBy, User};
use crate::store::{Reader, Ticket, Verifier};

use super::Mailbox;
use super::day::Day;
use super::mark::{self, Finder, Insertion};
use super::notice;
use super::row::{Offer, View};
use item::Form;
use stream::Stream;

pub use item::{Item, Tally};
pub use lent::Lent;

/// How many octets of a copy are verified at one step, so that other lines are served meanwhile.
const CHECK_OCTETS: usize = 256 * 1024;

/// A header's beginning: what a notice says of a mail stands in it.
const HEADER_OCTETS: usize = 64 * 1024;

/// One read of a header.
const PIECE_OCTETS: usize = 4096;

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

    /// Gives its memory back; there is room for no message left.
    pub fn take_memory(&mut self) -> &'a mut [Item] {
        core::mem::take(&mut self.items)
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
