//! A wrapper that makes trouble, the same trouble every time.
//!
//! It goes around any stream, modem port, LAN stream or medium. What goes wrong is a matter of
//! [`Faults`]: rates, drawn from a seed, and moments, counted. Two wrappers with the same faults,
//! used in the same way, do the same.
//!
//! | trouble | of | by |
//! | --- | --- | --- |
//! | short reads and writes | streams | [`Faults::short`], [`Faulty::limit_next`] |
//! | reads and writes of nothing | streams | [`Faults::nothing`], [`Faulty::limit_next`] with 0 |
//! | closed in mid-stream | streams | [`Faults::closed_after`] |
//! | writes refused as [`Busy`](MediumError::Busy) | media | [`Faults::busy`] |
//! | a write that fails, a sync that fails | media | [`Faults::failing_write`], [`Faults::failing_sync`] |
//!
//! Only for loops that come back by themselves: a stream that gives nothing though something is
//! there does not wake a sleeper.

use heapless::Deque;

use crate::lan::{Connection, LanStream};
use crate::medium::{Medium, MediumError, SyncState};
use crate::modem::{Circuit, ModemPort};
use crate::stream::{ByteStream, StreamError};
use crate::tls::Trust;

/// Transfers that [`Faulty::limit_next`] can plan ahead.
const PLANNED: usize = 64;

/// The number of the system error that a failing medium reports: an input/output error.
const EIO: i32 = 5;

/// What goes wrong, and when. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Of 256 transfers so many move only a part: one octet at the least.
    pub short: u8,
    /// Of 256 transfers so many move nothing.
    pub nothing: u8,
    /// After so many octets, both ways together, the stream is closed.
    pub closed_after: Option<u64>,
    /// Of 256 writes to a medium so many are refused as busy; never two in a row, since a medium
    /// must take what it is offered in the end.
    pub busy: u8,
    /// The write to a medium that fails, counted from 0; nothing is taken after it.
    pub failing_write: Option<u64>,
    /// The sync of a medium that fails, counted from 0; nothing is taken after it.
    pub failing_sync: Option<u64>,
}

/// `T`, in trouble.
#[derive(Clone, Debug)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
    random: u64,
    /// The most octets of the next transfers.
    limits: Deque<usize, PLANNED>,
    /// Octets moved by a stream; writes taken by a medium.
    moved: u64,
    syncs: u64,
    refused: bool,
    failed: bool,
}

impl<T> Faulty<T> {
    /// `inner`, with `faults`.
    pub fn new(inner: T, faults: Faults) -> Self {
        Self {
            inner,
            faults,
            // xorshift stays at zero for ever.
            random: faults.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            limits: Deque::new(),
            moved: 0,
            syncs: 0,
            refused: false,
            failed: false,
        }
    }

    /// The next transfers, reads and writes alike, move at most so many octets each, before the
    /// rates apply again. Up to 64 are kept.
    pub fn limit_next(&mut self, limits: &[usize]) {
        for &limit in limits {
            // Those beyond are the caller's to see: the list is a constant of a test.
            if self.limits.push_back(limit).is_err() {
                return;
            }
        }
    }

    /// What is wrapped.
    pub fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives back what was wrapped.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// xorshift64.
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn happens(&mut self, rate: u8) -> bool {
        // The low octet is the least random one of xorshift.
        rate > 0 && self.next() >> 32 & 0xff < u64::from(rate)
    }

    /// How many of `offered` octets a stream may move now.
    fn allowed(&mut self, offered: usize) -> Result<usize, StreamError> {
        let left = match self.faults.closed_after {
            Some(after) if self.moved >= after => return Err(StreamError::Closed),
            Some(after) => usize::try_from(after - self.moved).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let offered = offered.min(left);
        if let Some(limit) = self.limits.pop_front() {
            return Ok(offered.min(limit));
        }
        if self.happens(self.faults.nothing) {
            return Ok(0);
        }
        if self.happens(self.faults.short) && offered > 1 {
            let part = self.next() % offered as u64;
            return Ok(usize::try_from(part).unwrap_or(0).max(1));
        }
        Ok(offered)
    }

    fn count(&mut self, result: Result<usize, StreamError>) -> Result<usize, StreamError> {
        self.moved += result.unwrap_or(0) as u64;
        result
    }
}

impl<T: ByteStream> ByteStream for Faulty<T> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        let allowed = self.allowed(buf.len())?;
        let buf = buf.get_mut(..allowed).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        let result = self.inner.read(buf);
        self.count(result)
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        let allowed = self.allowed(octets.len())?;
        let octets = octets.get(..allowed).unwrap_or_default();
        if octets.is_empty() {
            return Ok(0);
        }
        let result = self.inner.write(octets);
        self.count(result)
    }

    fn pending(&mut self) -> usize {
        self.inner.pending()
    }
}

impl<T: ModemPort> ModemPort for Faulty<T> {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        self.inner.set_dtr(on)
    }

    fn dcd(&mut self) -> Circuit {
        self.inner.dcd()
    }

    fn discard_output(&mut self) {
        self.inner.discard_output();
    }

    fn set_speed(&mut self, speed: u32) -> Result<(), StreamError> {
        self.inner.set_speed(speed)
    }

    fn reset_device(&mut self) -> bool {
        self.inner.reset_device()
    }

    /// A device that is opened again works again, for as many octets as before.
    fn reopen(&mut self) -> Result<(), StreamError> {
        self.inner.reopen()?;
        self.moved = 0;
        Ok(())
    }
}

impl<T: LanStream> LanStream for Faulty<T> {
    fn connection(&mut self) -> Connection {
        self.inner.connection()
    }

    fn start_tls(&mut self, trust: Trust<'_>) {
        self.inner.start_tls(trust);
    }

    fn is_near(&self) -> bool {
        self.inner.is_near()
    }
}

impl<T: Medium> Medium for Faulty<T> {
    fn capacity(&self) -> u64 {
        self.inner.capacity()
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.inner.read(offset, buf)
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        self.failed |= self.faults.failing_write == Some(self.moved);
        if self.failed {
            return Err(MediumError::Failed(EIO));
        }
        self.refused = !self.refused && self.happens(self.faults.busy);
        if self.refused {
            return Err(MediumError::Busy);
        }
        self.inner.write(offset, octets)?;
        self.moved += 1;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        if self.failed {
            return Err(MediumError::Failed(EIO));
        }
        self.inner.sync()?;
        self.failed = self.faults.failing_sync == Some(self.syncs);
        self.syncs += 1;
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        if self.failed {
            return SyncState::Failed(EIO);
        }
        self.inner.sync_state()
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// What is written can be read.
    #[derive(Default)]
    struct Echo(Vec<u8>);

    impl ByteStream for Echo {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
            let count = self.0.len().min(buf.len());
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }

        fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
            self.0.extend(octets);
            Ok(octets.len())
        }
    }

    fn text() -> Vec<u8> {
        (0..=255).collect()
    }

    /// Writes [`text`] as far as it goes and reads it back; also the sizes of all transfers.
    fn pass(stream: &mut Faulty<Echo>) -> (Vec<u8>, Vec<usize>) {
        let (text, mut sizes) = (text(), Vec::new());
        let (mut from, mut got, mut buf) = (0, Vec::new(), [0; 100]);
        for _ in 0..10_000 {
            let Ok(count) = stream.write(&text[from..]) else {
                break;
            };
            from += count;
            sizes.push(count);
            let Ok(count) = stream.read(&mut buf) else {
                break;
            };
            got.extend(&buf[..count]);
            sizes.push(count);
            if got.len() == text.len() {
                break;
            }
        }
        (got, sizes)
    }

    #[test]
    fn octets_come_late_but_whole_and_the_same_way_every_time() {
        for seed in 0..200 {
            let rates = [0, 100, 250];
            for (short, nothing) in rates.iter().flat_map(|&s| rates.map(|n| (s, n))) {
                let faults = Faults {
                    seed,
                    short,
                    nothing,
                    ..Faults::default()
                };
                let (got, sizes) = pass(&mut Faulty::new(Echo::default(), faults));
                assert_eq!(got, text(), "{faults:?}");
                assert_eq!(pass(&mut Faulty::new(Echo::default(), faults)).1, sizes);
                if nothing > 100 {
                    assert!(sizes.contains(&0), "{faults:?}");
                }
            }
        }
    }

    #[test]
    fn a_stream_closes_after_each_count_of_octets() {
        for after in 0..512 {
            let faults = Faults {
                closed_after: Some(after),
                ..Faults::default()
            };
            let mut stream = Faulty::new(Echo::default(), faults);
            let (_, sizes) = pass(&mut stream);
            assert_eq!(sizes.iter().sum::<usize>() as u64, after);
            assert_eq!(stream.read(&mut [0]), Err(StreamError::Closed));
            assert_eq!(stream.write(b"x"), Err(StreamError::Closed));
        }
    }

    #[test]
    fn planned_limits_come_first() {
        let mut stream = Faulty::new(Echo::default(), Faults::default());
        stream.limit_next(&[3, 2, 0, 1]);
        assert_eq!(pass(&mut stream).1[..5], [3, 2, 0, 1, 253]);
    }

    /// Sixteen octets.
    struct Tiny([u8; 16]);

    impl Medium for Tiny {
        fn capacity(&self) -> u64 {
            16
        }

        fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
            buf.copy_from_slice(&self.0[offset as usize..][..buf.len()]);
            Ok(())
        }

        fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
            self.0[offset as usize..][..octets.len()].copy_from_slice(octets);
            Ok(())
        }

        fn sync(&mut self) -> Result<(), MediumError> {
            Ok(())
        }

        fn sync_state(&mut self) -> SyncState {
            SyncState::Done
        }
    }

    #[test]
    fn a_busy_medium_takes_everything_in_the_end() {
        for busy in 0..=255 {
            let faults = Faults {
                seed: 7,
                busy,
                ..Faults::default()
            };
            let mut medium = Faulty::new(Tiny([0; 16]), faults);
            for at in 0..16 {
                let first = medium.write(at, &[1]);
                assert!(matches!(first, Ok(()) | Err(MediumError::Busy)));
                if first.is_err() {
                    assert_eq!(medium.write(at, &[1]), Ok(()));
                }
            }
            assert_eq!(medium.into_inner().0, [1; 16]);
        }
    }

    #[test]
    fn a_failed_medium_takes_nothing_more() {
        const FAILED: Result<(), MediumError> = Err(MediumError::Failed(EIO));
        for nth in 0..8 {
            let write = Faults {
                failing_write: Some(nth),
                ..Faults::default()
            };
            let mut medium = Faulty::new(Tiny([0; 16]), write);
            let results: Vec<_> = (0..10).map(|at| medium.write(at, &[1])).collect();
            let (good, bad) = results.split_at(nth as usize);
            assert!(good.iter().all(Result::is_ok) && bad.iter().all(|&r| r == FAILED));
            assert_eq!(medium.sync(), FAILED);

            let sync = Faults {
                failing_sync: Some(nth),
                ..Faults::default()
            };
            let mut medium = Faulty::new(Tiny([0; 16]), sync);
            let mut states = vec![];
            for _ in 0..=nth {
                assert_eq!(medium.sync(), Ok(()));
                states.push(medium.sync_state());
            }
            assert_eq!(states.pop(), Some(SyncState::Failed(EIO)));
            assert!(states.iter().all(|&state| state == SyncState::Done));
            assert_eq!(medium.write(0, &[1]), FAILED);
        }
    }
}
