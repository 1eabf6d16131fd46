//! The medium of a world: a sync takes its time, and power may be cut.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use super::medium::{Cut, SimMedium};
use super::world::Clock;
use crate::medium::{Medium, MediumError, SyncState};
use crate::time::{Duration, Instant};

/// A handle to the world's medium; all of them show the same one.
#[derive(Clone, Debug)]
pub struct Disk {
    medium: Rc<RefCell<SimMedium>>,
    clock: Clock,
    delay: Rc<Cell<Duration>>,
    /// When the sync under way will be done.
    due: Rc<Cell<Option<Instant>>>,
}

impl Disk {
    pub(super) fn new(medium: SimMedium, clock: Clock) -> Self {
        Self {
            medium: Rc::new(RefCell::new(medium)),
            clock,
            delay: Rc::default(),
            due: Rc::default(),
        }
    }

    /// From now on a sync takes so long.
    pub fn set_delay(&self, delay: Duration) {
        self.delay.set(delay);
    }

    /// Power fails now; what is left is the medium from now on. `random` is asked only for
    /// [`Cut::Any`].
    pub fn cut(&self, cut: Cut, random: &mut dyn FnMut() -> u64) {
        let image = self.medium.borrow().cut(cut, random);
        self.replace(SimMedium::from_image(image));
    }

    /// The program ends without a word; nothing that was written is lost.
    pub fn kill(&self) {
        let next = self.medium.borrow().killed();
        self.replace(next);
    }

    /// Another medium is put in.
    pub fn replace(&self, medium: SimMedium) {
        self.medium.replace(medium);
        self.due.set(None);
    }

    /// Damages the medium: these bits of the octet at `offset` are flipped.
    ///
    /// # Panics
    /// If the medium ends before `offset`, or not all that was written is durable.
    pub fn flip(&self, offset: usize, bits: u8) {
        assert_eq!(self.medium.borrow().undurable(), 0, "a medium at rest");
        let mut image = self.image();
        image[offset] ^= bits;
        self.replace(SimMedium::from_image(image));
    }

    /// What reading gives, all of it.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.medium.borrow().image().to_vec()
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> super::medium::Counts {
        self.medium.borrow().counts()
    }

    /// When something happens by itself.
    /// Whether a sync is under way.
    #[must_use]
    pub fn is_syncing(&self) -> bool {
        self.due.get().is_some_and(|due| due > self.clock.now())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.get()
    }
}

impl Medium for Disk {
    fn capacity(&self) -> u64 {
        self.medium.borrow().capacity()
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.medium.borrow_mut().read(offset, buf)
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        self.medium.borrow_mut().write(offset, octets)
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        if self.sync_state() == SyncState::Pending {
            return Err(MediumError::Busy);
        }
        self.medium.borrow_mut().sync()?;
        self.due.set(Some(self.clock.now() + self.delay.get()));
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        if self.due.get().is_some_and(|due| due > self.clock.now()) {
            return SyncState::Pending;
        }
        self.due.set(None);
        self.medium.borrow_mut().sync_state()
    }
}
