//! The copies of mails: how one is made, how it is opened, and what is believed of it.

use hal::Medium;

use crate::identity::{HeaderReader, Identity};
use crate::store::{Damaged, HEAD_MAX, Place, Reader, Stored, Writer};

use super::index::{self, Entry};
use super::row::Row;
use super::{Error, Mailbox};

impl<M: Medium> Mailbox<'_, M> {
    /// After a mount, before anything is offered: looks at the copies that the last commit before
    /// a cut may have left torn, and takes them from their rows if they are.
    pub fn check_copies(&mut self) {
        while let Some(slot) = self.ledger.next_doubtful() {
            if !self.has_whole_copy(slot) {
                self.drop_damaged(slot);
            }
        }
        self.store.settle();
    }

    /// Whether the row has no copy, or one that verifies. After a cut a UID that never became
    /// durable is given out anew, and what lies at its place may be whole, of a time before: so the
    /// length must agree, and the key, or, where the mail was re-keyed since, what its header says.
    pub fn has_whole_copy(&mut self, slot: u32) -> bool {
        let Some(row) = self.ledger.row(slot) else {
            return true;
        };
        let Some(place) = row.copy else {
            return true;
        };
        let Some(Ok(mut reader)) = self.open_copy(slot) else {
            return false;
        };
        let mut verifier = self.store.verifier(&reader);
        let verified = loop {
            if let Some(result) = self.store.verify(&mut verifier, usize::MAX) {
                break result;
            }
        };
        verified.is_ok_and(|stored| stored.octets == u64::from(row.size))
            && (self.copied_row(place).is_ok_and(|of| of.key == row.key)
                || row.identity.is_some() && self.identity_of(&mut reader) == row.identity)
    }

    /// Opens the copy of the row in `slot`; `None` if it has none.
    ///
    /// A medium that lost a write may show another copy at that place, whole, of a time before: so
    /// the row's own UID must stand before the content. A mail is never taken for another.
    pub fn open_copy(&mut self, slot: u32) -> Option<Result<Reader, Damaged>> {
        let row = self.ledger.row(slot)?;
        let place = row.copy?;
        Some(match self.copied_row(place) {
            Ok(of) if of.uid == row.uid && of.user == row.user => self.store.open(place),
            Ok(_) => Err(Damaged::Absent),
            Err(damaged) => Err(damaged),
        })
    }

    /// The copy in `slot` is damaged: the row has none from now on. Counted.
    pub fn drop_damaged(&mut self, slot: u32) {
        let Some(size) = self.ledger.row(slot).map(|row| row.size) else {
            return;
        };
        log::warn!("row {slot}: its copy is damaged and will be fetched again");
        self.damaged += 1;
        if self.set_copy(slot, None, size).is_err() {
            // It will be found damaged again after a restart: no harm.
            self.ledger.change(slot, |row| row.copy = None);
        }
    }

    /// Starts a copy of the mail that `row` describes; `None` if no writer is free.
    pub fn begin_copy(&mut self, row: &Row) -> Option<Writer> {
        let mut head = [0; HEAD_MAX as usize];
        let account = self.ledger.account(row.user);
        let name = account.map_or("", |account| account.name.as_str());
        let length = index::head(row, name, &mut head);
        self.store.begin(head.get(..length).unwrap_or_default())
    }

    /// Adds `octets` to a copy; returns how many were taken.
    ///
    /// # Errors
    /// [`Error::Busy`] if none was, [`Error::RingFull`] or [`Error::Medium`].
    pub fn append(&mut self, writer: Writer, octets: &[u8]) -> Result<usize, Error> {
        Ok(self.store.append(writer, octets, &mut self.ledger)?)
    }

    /// Ends a copy.
    ///
    /// # Errors
    /// As [`append`](Self::append); after [`Error::Busy`] ask again.
    pub fn finish_copy(&mut self, writer: Writer) -> Result<Stored, Error> {
        Ok(self.store.finish(writer, &mut self.ledger)?)
    }

    /// Gives up a copy.
    pub fn abort_copy(&mut self, writer: Writer) {
        self.store.abort(writer);
    }

    /// The identity of the mail in a copy.
    fn identity_of(&mut self, reader: &mut Reader) -> Option<Identity> {
        let mut header = HeaderReader::new();
        let mut offset = 0;
        let mut piece = [0; 512];
        while !header.is_done() {
            let count = self.store.read(reader, offset, &mut piece).ok()?;
            if count == 0 {
                break;
            }
            header.read(piece.get(..count)?);
            offset += u64::try_from(count).ok()?;
        }
        Some(header.finish().identity)
    }

    /// The row as it was when the copy at `place` was begun.
    fn copied_row(&mut self, place: Place) -> Result<Row, Damaged> {
        let mut head = [0; HEAD_MAX as usize];
        let length = self.store.head(place, &mut head)?;
        match head.get(1..length).map(Entry::read) {
            Some(Ok((Entry::Row(_, image), _))) => image.thaw().ok_or(Damaged::Absent),
            _ => Err(Damaged::Absent),
        }
    }
}

#[cfg(test)]
mod tests {
    use hal::SyncState;
    use hal::sim::medium::SimMedium;

    use super::*;
    use crate::mailbox::{Lan, Ledger, Slot, Taken};
    use crate::reconcile::Key;
    use crate::store::{Buffers, Geometry, Segment, Space, format, mount};

    const MAIL: &[u8] = b"From: a@b\r\nDate: Fri, 4 Oct 2024 10:00:00 +0000\r\n\
        Message-ID: <1@b>\r\nSubject: one\r\n\r\nBody.\r\n";

    /// Copies `mail` for a row of `uid`; the row, not entered yet.
    fn copied(mailbox: &mut Mailbox<'_, SimMedium>, key: u64, uid: u32, mail: &[u8]) -> Row {
        let mut header = HeaderReader::new();
        header.read(mail);
        let mut row = Row {
            key: Key(key),
            identity: None,
            size: u32::try_from(mail.len()).unwrap(),
            uid,
            copy: None,
            since: 20_000,
            call: 0,
            user: 0,
            lan: Lan::Unread,
            taken: Taken::No,
        };
        let writer = mailbox.begin_copy(&row).unwrap();
        assert_eq!(mailbox.append(writer, mail), Ok(mail.len()));
        row.copy = loop {
            match mailbox.finish_copy(writer) {
                Ok(stored) => break Some(stored.place),
                Err(error) => assert_eq!(error, Error::Busy),
            }
            mailbox.step();
        };
        row.identity = Some(header.finish().identity);
        row
    }

    #[test]
    fn a_rekeyed_mail_keeps_its_copy_and_takes_no_other() {
        let geometry = Geometry::for_capacity(4 << 20, 64 << 10).unwrap();
        let mut medium = SimMedium::new(4 << 20);
        format(&mut medium, &geometry, *b"sixteen octets!!", false).unwrap();
        while medium.sync_state() != SyncState::Done {}
        let (mut segments, mut buffers) = ([Segment::default(); 64], Box::new(Buffers::EMPTY));
        let (mut slots, mut heads) = ([Slot::VACANT; 16], [0; 16]);
        let mut ledger = Ledger::new(&mut slots, &mut heads);
        let space = Space {
            segments: &mut segments,
            buffers: &mut buffers,
        };
        let (store, _) = mount(medium, space, &mut ledger).unwrap();
        let mut mailbox = Mailbox::new(ledger, store);
        while mailbox.step() {}
        mailbox.account("anna", |_| true).unwrap();
        let row = copied(&mut mailbox, 1, 7, MAIL);
        let slot = mailbox.enter(&row).unwrap();
        assert!(mailbox.has_whole_copy(slot));
        mailbox.rekey(slot, Key(2)).unwrap();
        assert!(mailbox.has_whole_copy(slot));
        // What a cut took back had the same UID and as many octets, and is another mail.
        let other = [&MAIL[..MAIL.len() - 22], b"Subject: two\r\n\r\n....\r\n"].concat();
        let mut stale = copied(&mut mailbox, 3, 7, &other[..MAIL.len()]);
        assert_ne!(stale.identity, row.identity);
        (stale.key, stale.identity) = (Key(4), row.identity);
        let slot = mailbox.enter(&stale).unwrap();
        assert!(!mailbox.has_whole_copy(slot));
        let nameless = Row {
            identity: None,
            ..stale
        };
        let slot = mailbox.enter(&nameless).unwrap();
        assert!(!mailbox.has_whole_copy(slot));
    }
}
