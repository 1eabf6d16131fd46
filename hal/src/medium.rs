//! Fixed-size storage, and what a power cut may leave behind on it.
//!
//! Writes are taken at once and reach the medium later; only a finished sync makes them durable.
//! Writing and syncing may be slow (an SD card takes hundreds of milliseconds), so nobody waits
//! for them: [`Medium::sync`] starts one, [`Medium::sync_state`] tells how far it is.
//!
//! **Power-cut contract.** Let a sync have finished, and writes have been taken since. After a
//! cut each 512-octet unit touched by these writes may hold its old octets, its new ones, or
//! anything else; units are independent of each other, whatever the order of the writes. Units
//! not touched since hold what they held. The store assumes no more than this, and detects less
//! by its checksums.

use core::fmt;

/// A medium of fixed size, addressed by octets.
pub trait Medium {
    /// Size in octets; constant.
    fn capacity(&self) -> u64;

    /// Fills `buf` with the octets from `offset` on, as the writes taken so far left them.
    ///
    /// # Errors
    /// [`MediumError::OutOfBounds`], or [`MediumError::Failed`] if the device cannot read there.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError>;

    /// Takes `octets` to be written at `offset`, whole or not at all.
    ///
    /// # Errors
    /// [`MediumError::Busy`] if the queue has no room now (try again after the next wake-up; an
    /// empty queue always takes up to 64 KiB), [`MediumError::OutOfBounds`], or
    /// [`MediumError::Failed`] if an earlier write failed: then nothing is taken any more.
    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError>;

    /// Starts to make durable all writes taken so far. One sync at a time.
    ///
    /// # Errors
    /// [`MediumError::Busy`] while a sync is under way, or [`MediumError::Failed`].
    fn sync(&mut self) -> Result<(), MediumError>;

    /// How the latest sync stands.
    fn sync_state(&mut self) -> SyncState;
}

/// How the latest sync stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// None was started, or the latest one finished: what it covered is durable.
    Done,
    /// Under way.
    Pending,
    /// It failed: what it covered may or may not be durable, and the medium takes no more.
    Failed(i32),
}

/// Why a medium did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediumError {
    /// Not now: try again after the next wake-up.
    Busy,
    /// Beyond the capacity: a mistake of the caller.
    OutOfBounds,
    /// The device failed, by system error number.
    Failed(i32),
}

impl fmt::Display for MediumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("medium busy"),
            Self::OutOfBounds => f.write_str("beyond the end of the medium"),
            Self::Failed(errno) => write!(f, "medium failed: system error {errno}"),
        }
    }
}

impl core::error::Error for MediumError {}
