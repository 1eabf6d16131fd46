//! A maildrop and its mailbox, lent to a session for one step.

use hal::Medium;

use crate::config::{CommitAt, TakenBy};
use crate::mailbox::day::Day;
use crate::mailbox::mark::{Finder, Insertion};
use crate::mailbox::row::Taken;
use crate::mailbox::{Error, Mailbox};
use crate::pop3::{self, Commit, Open, ReadFault, Uid};
use crate::store::{Reader, Stored};

use super::item::{Form, Item};
use super::{CHECK_OCTETS, Committing, HEADER_OCTETS, Opened, PIECE_OCTETS, Reading, compose};

/// A maildrop and its mailbox, for one step.
#[derive(Debug)]
pub struct Lent<'s, 'm, M: Medium> {
    pub(super) items: &'s mut [Item],
    pub(super) opened: &'s mut Opened,
    pub(super) mailbox: &'s mut Mailbox<'m, M>,
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
