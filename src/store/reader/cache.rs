//! What was read last of the ring, in one piece of memory.
//!
//! A chunk is verified where it lies here, and sent from here: what was verified is what is sent.
//! As long as it lies here it is neither read nor verified again.

use heapless::Vec;

use hal::Medium;

use super::Damaged;
use crate::store::record::HEADER_OCTETS;

/// What is read at once where reading goes on: most copies whole, and the beginnings of those
/// behind them.
pub(in crate::store) const CACHE_OCTETS: usize = 64 * 1024;
/// The least that is read where something else begins: a mail of 4 KiB with its headers, wherever
/// it lies.
const BEGINNING_OCTETS: usize = 8 * 1024;
/// Sound chunks that are remembered: a whole copy that fits in here has five, where none was cut
/// short by the end of a segment.
const SOUND_CHUNKS: usize = 8;

/// Where the memory's octets come from, and what is known of them.
#[derive(Debug, Default)]
pub(in crate::store) struct Cache {
    /// Offset on the medium.
    at: u64,
    length: usize,
    /// Chunks that were verified as they lie here: where they begin, and their checksums.
    sound: Vec<(u64, u32), SOUND_CHUNKS>,
}

impl Cache {
    /// Something was written to the ring.
    pub(in crate::store) fn forget(&mut self) {
        self.length = 0;
        self.sound.clear();
    }

    /// Whether the chunk at `at` was found to have this checksum, and still lies here.
    pub(super) fn is_sound(&self, at: u64, sum: u32) -> bool {
        self.sound.contains(&(at, sum))
    }

    /// The chunk at `at`, which lies here whole, has this checksum.
    pub(super) fn found_sound(&mut self, at: u64, sum: u32) {
        if self.sound.is_full() {
            // Those that were found first are read last again, if ever.
            self.sound.clear();
        }
        // There is room.
        let _ = self.sound.push((at, sum));
    }

    /// What lies here of these octets, if all do; `octets` is the memory.
    pub(super) fn held<'o>(&self, octets: &'o [u8], at: u64, length: usize) -> Option<&'o [u8]> {
        let from = usize::try_from(at.checked_sub(self.at)?).ok()?;
        octets.get(..self.length)?.get(from..)?.get(..length)
    }

    /// Sees to it that these octets lie here: reads little where something else begins, and much
    /// where reading goes on, but nothing behind `end`. What stands before `kept` goes first, when
    /// room is needed.
    ///
    /// # Errors
    /// [`Damaged::Unreadable`].
    pub(super) fn load<M: Medium>(
        &mut self,
        octets: &mut [u8],
        medium: &mut M,
        at: u64,
        length: usize,
        kept: u64,
        end: u64,
    ) -> Result<(), Damaged> {
        if self.held(octets, at, length).is_some() {
            return Ok(());
        }
        let goes_on = self.reaches(at);
        let room = octets.len() as u64;
        let fits = |from: u64| at + length as u64 <= from + room;
        if goes_on && !fits(self.at) && fits(kept) {
            self.forget_before(octets, kept);
        }
        if !goes_on || !fits(self.at) {
            self.forget();
            self.at = at;
        }
        let from = self.at + self.length as u64;
        let needed = usize::try_from(at + length as u64 - from).unwrap_or(usize::MAX);
        let room = octets.get_mut(self.length..).unwrap_or_default();
        let most = if goes_on {
            room.len()
        } else {
            BEGINNING_OCTETS
        };
        let rest = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let wide = most.min(rest).min(room.len()).max(needed);
        let mut read = |length: usize| {
            let piece = room.get_mut(..length).ok_or(Damaged::Unreadable)?;
            let read = medium.read(from, piece);
            read.map(|()| length).map_err(|_| Damaged::Unreadable)
        };
        // Where not all of it can be read, what is needed may be.
        let count = match read(wide) {
            Err(_) if wide > needed => read(needed),
            read => read,
        }?;
        self.length += count;
        Ok(())
    }

    /// Moves what stands at `kept` to the front, if it lies here.
    fn forget_before(&mut self, octets: &mut [u8], kept: u64) {
        let Some(gone) = kept.checked_sub(self.at) else {
            return;
        };
        let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.length);
        octets.copy_within(gone..self.length, 0);
        self.at += gone as u64;
        self.length -= gone;
        self.sound.retain(|&(at, _)| at >= self.at);
    }

    /// Whether what begins at `at` follows what lies here, a header between them or not.
    fn reaches(&self, at: u64) -> bool {
        let end = self.at + self.length as u64;
        self.length > 0 && (self.at..=end + u64::from(HEADER_OCTETS)).contains(&at)
    }
}
