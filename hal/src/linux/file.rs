//! A medium over a file or a block device, written by a helper thread.
//!
//! ```text
//!   write --> queue of octets --> helper: pwrite, fdatasync --> device
//!   sync  --/    |                   |
//!   read  <------+----- pread <------+------------------------- device
//!   wait  <--------------------------+ Waker
//! ```
//!
//! `write` copies into the queue and returns; it waits for nothing but another such copy. What the
//! queue has grown by while much came is given back after the sync that ends it. The helper copies
//! an item out, writes it without the lock, and only then strikes it off: until then `read` lays it
//! over what the device says. `read` itself asks the device in the caller's thread, and holds the
//! lock meanwhile, so that no item can reach the device and leave the queue behind its back.
//!
//! The page cache is used (no `O_DIRECT`): the octets per commit are the same, and offsets need no
//! alignment. A device that failed once takes nothing any more: after a failed `fdatasync` Linux
//! forgets what it could not write, and a second one would falsely succeed.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::reactor::{Reactor, Waker};
use super::zeros;
use crate::{Medium, MediumError, SyncState};

/// A file or a block device, ours alone.
pub struct File {
    shared: Arc<Shared>,
    capacity: u64,
    helper: Option<JoinHandle<()>>,
}

impl File {
    /// Opens the file or block device at `path` for us alone. A file that is absent or empty is
    /// made of `size` zeros first, which takes as long as it takes: before the loop starts. What
    /// exists keeps its size; [`Medium::capacity`] tells it.
    ///
    /// # Errors
    /// Absent and not to be made, in use by another program, not a file or block device, in words.
    pub fn open(reactor: &Reactor, path: &Path, size: u64) -> Result<Self, String> {
        let words = |error: io::Error| format!("{}: {error}", path.display());
        let existing = match fs::metadata(path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(words(error)),
        };
        let is_block_device = existing
            .as_ref()
            .is_some_and(|existing| existing.file_type().is_block_device());
        if existing
            .as_ref()
            .is_some_and(|it| !is_block_device && !it.is_file())
        {
            return Err(format!(
                "{}: neither a file nor a block device",
                path.display()
            ));
        }
        if existing.is_none_or(|existing| existing.is_file() && existing.len() == 0) {
            // The one line below the gateway: the owner wonders why the start takes so long.
            log::info!("{}: is filled with {size} octets of zeros", path.display());
            zeros::fill(path, size).map_err(words)?;
        }
        // Without O_CREAT, O_EXCL on a block device means: not mounted, nobody else's.
        let exclusive = if is_block_device {
            OFlag::O_EXCL.bits()
        } else {
            0
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(exclusive);
        let file = options.open(path).map_err(words)?;
        let mut device = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| format!("{}: in use by another program", path.display()))?;
        let capacity = device.seek(SeekFrom::End(0)).map_err(words)?;
        Self::over(
            Box::new(Locked(device)),
            capacity,
            reactor.waker(),
            QUEUE_OCTETS,
        )
        .map_err(words)
    }

    /// Starts the helper of `device`.
    fn over(
        device: Box<dyn Device>,
        capacity: u64,
        waker: Waker,
        queue: usize,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            device,
            state: Mutex::new(State::new(queue)),
            work: Condvar::new(),
            waker,
        });
        let theirs = Arc::clone(&shared);
        let helper = thread::Builder::new()
            .name("medium".into())
            .spawn(move || theirs.serve())?;
        Ok(Self {
            shared,
            capacity,
            helper: Some(helper),
        })
    }

    fn check(&self, offset: u64, length: usize) -> Result<(), MediumError> {
        match offset.checked_add(length as u64) {
            Some(end) if end <= self.capacity => Ok(()),
            _ => Err(MediumError::OutOfBounds),
        }
    }
}

impl Medium for File {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        self.check(offset, buf.len())?;
        let state = self.shared.lock();
        let read = self.shared.device.read(buf, offset);
        read.map_err(|error| MediumError::Failed(errno(&error)))?;
        state.lay_over(offset, buf);
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        self.check(offset, octets.len())?;
        let mut state = self.shared.lock();
        state.take(offset, octets)?;
        self.shared.work.notify_one();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        let mut state = self.shared.lock();
        state.start_sync()?;
        self.shared.work.notify_one();
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        self.shared.lock().sync
    }
}

impl Drop for File {
    /// Writes what was taken, and waits for it. Not synced: who wanted it durable has synced it.
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.shared.work.notify_one();
        if let Some(helper) = self.helper.take() {
            // It ends by itself; a panic of its own has been reported already.
            let _ = helper.join();
        }
    }
}

/// What the helper writes to. Tests put something slower, or worse, in its place.
trait Device: Send + Sync {
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;
    fn write(&self, octets: &[u8], offset: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// The file, its lock held.
struct Locked(Flock<fs::File>);

impl Device for Locked {
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// What the loop and the helper share.
struct Shared {
    device: Box<dyn Device>,
    state: Mutex<State>,
    work: Condvar,
    waker: Waker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is whole before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The helper: works off the queue until the medium is dropped.
    fn serve(&self) {
        let mut chunk = Vec::with_capacity(CHUNK_OCTETS);
        let mut state = self.lock();
        loop {
            let Some(&item) = state.items.front() else {
                if state.ending {
                    return;
                }
                state = self
                    .work
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let result;
            (state, result) = self.perform(state, item, &mut chunk);
            if let Err(error) = result {
                state.fail(errno(&error));
                drop(state);
                self.waker.wake();
                return;
            }
            if state.strike_off() {
                self.waker.wake();
            }
        }
    }

    /// Does what `item` asks for, without the lock while it may take long.
    fn perform<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        item: Item,
        chunk: &mut Vec<u8>,
    ) -> (MutexGuard<'a, State>, io::Result<()>) {
        let Item::Write { offset, length } = item else {
            drop(state);
            let result = self.device.sync();
            return (self.lock(), result);
        };
        let mut done = 0;
        while done < length {
            chunk.clear();
            let part = state.octets.range(done..length.min(done + CHUNK_OCTETS));
            chunk.extend(part);
            drop(state);
            let result = self.device.write(chunk, offset + done as u64);
            state = self.lock();
            if result.is_err() {
                return (state, result);
            }
            done += chunk.len();
        }
        (state, Ok(()))
    }
}

/// The queue, and how things stand.
struct State {
    /// What the items write, in their order. Never longer than `limit`.
    octets: VecDeque<u8>,
    items: VecDeque<Item>,
    limit: usize,
    sync: SyncState,
    /// The device failed: nothing is taken any more.
    failed: Option<i32>,
    /// Somebody was sent away: wake the loop when this many octets fit.
    refused: Option<usize>,
    ending: bool,
}

#[derive(Clone, Copy)]
enum Item {
    Write { offset: u64, length: usize },
    Sync,
}

impl State {
    fn new(limit: usize) -> Self {
        Self {
            octets: VecDeque::with_capacity(limit.min(KEPT_OCTETS)),
            items: VecDeque::with_capacity(QUEUE_ITEMS),
            limit,
            sync: SyncState::Done,
            failed: None,
            refused: None,
            ending: false,
        }
    }

    fn take(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        if let Some(errno) = self.failed {
            return Err(MediumError::Failed(errno));
        }
        if !self.has_room_for(octets.len()) {
            self.refused = Some(octets.len());
            return Err(MediumError::Busy);
        }
        self.octets.extend(octets);
        self.items.push_back(Item::Write {
            offset,
            length: octets.len(),
        });
        Ok(())
    }

    fn start_sync(&mut self) -> Result<(), MediumError> {
        if let Some(errno) = self.failed {
            return Err(MediumError::Failed(errno));
        }
        if self.sync == SyncState::Pending {
            return Err(MediumError::Busy);
        }
        // Always room: writes leave the last place to it.
        self.items.push_back(Item::Sync);
        self.sync = SyncState::Pending;
        Ok(())
    }

    /// Strikes off the item that is done. Whether the loop should know.
    fn strike_off(&mut self) -> bool {
        match self.items.pop_front() {
            Some(Item::Write { length, .. }) => drop(self.octets.drain(..length)),
            Some(Item::Sync) => {
                if self.octets.is_empty() {
                    self.octets.shrink_to(KEPT_OCTETS);
                }
                self.sync = SyncState::Done;
                return true;
            }
            None => {}
        }
        match self.refused {
            Some(length) if self.has_room_for(length) => {
                self.refused = None;
                true
            }
            _ => false,
        }
    }

    fn fail(&mut self, errno: i32) {
        // The items stay: what was taken is still what `read` sees.
        self.failed = Some(errno);
        if self.sync == SyncState::Pending {
            self.sync = SyncState::Failed(errno);
        }
    }

    fn has_room_for(&self, length: usize) -> bool {
        self.items.len() + 1 < QUEUE_ITEMS && length <= self.limit - self.octets.len()
    }

    /// Lays the queued writes over what the device has from `offset` on.
    fn lay_over(&self, offset: u64, buf: &mut [u8]) {
        let end = offset + buf.len() as u64;
        let mut place = 0;
        for item in &self.items {
            let &Item::Write { offset: at, length } = item else {
                continue;
            };
            let from = at.max(offset);
            let to = (at + length as u64).min(end);
            if from < to {
                let skipped = distance(at, from);
                let queued = self.octets.range(place + skipped..place + distance(at, to));
                let into = buf.iter_mut().skip(distance(offset, from));
                for (octet, new) in into.zip(queued) {
                    *octet = *new;
                }
            }
            place += length;
        }
    }
}

/// How far `to` lies behind `from`, within one buffer.
fn distance(from: u64, to: u64) -> usize {
    usize::try_from(to - from).expect("both lie within one buffer")
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::EIO as i32)
}

/// Octets in the queue. A sync may take half a second; the LAN brings a megabyte in that time.
const QUEUE_OCTETS: usize = 1 << 20;
/// Of these, what the queue has room for when nothing is written: what a call writes fits.
const KEPT_OCTETS: usize = 64 * 1024;
/// Items in the queue: 1 MiB in pages of 1 KiB.
const QUEUE_ITEMS: usize = 1024;
/// What the helper copies out at once: short enough to hold the lock for.
const CHUNK_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A device in memory whose every write and sync waits for leave, if it has a gate.
    struct Memory {
        octets: Mutex<Vec<u8>>,
        gate: Option<Gate>,
        fail_write: bool,
        fail_sync: bool,
    }

    struct Gate {
        arrived: Sender<&'static str>,
        leave: Mutex<Receiver<()>>,
    }

    impl Memory {
        fn pass(&self, what: &'static str) {
            if let Some(gate) = &self.gate {
                // The other ends are gone when the test is over.
                let _ = gate.arrived.send(what);
                let _ = gate.leave.lock().unwrap().recv();
            }
        }
    }

    impl Device for Memory {
        fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.octets.lock().unwrap()[at..at + buf.len()]);
            Ok(())
        }

        fn write(&self, octets: &[u8], offset: u64) -> io::Result<()> {
            self.pass("write");
            if self.fail_write {
                return Err(io::Error::from_raw_os_error(28));
            }
            let at = usize::try_from(offset).unwrap();
            self.octets.lock().unwrap()[at..at + octets.len()].copy_from_slice(octets);
            // Still in the queue: a read now must not see less than before.
            self.pass("written");
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            self.pass("sync");
            match self.fail_sync {
                true => Err(io::Error::from_raw_os_error(5)),
                false => Ok(()),
            }
        }
    }

    fn memory() -> Memory {
        Memory {
            octets: Mutex::new(vec![0; CAPACITY]),
            gate: None,
            fail_write: false,
            fail_sync: false,
        }
    }

    fn over(reactor: &Reactor, memory: Memory, queue: usize) -> File {
        File::over(Box::new(memory), CAPACITY as u64, reactor.waker(), queue).unwrap()
    }

    fn gated(reactor: &Reactor) -> (File, Receiver<&'static str>, Sender<()>) {
        let (arrived, arrivals) = channel();
        let (leave, leaves) = channel();
        let gate = Some(Gate {
            arrived,
            leave: Mutex::new(leaves),
        });
        let file = over(reactor, Memory { gate, ..memory() }, QUEUE_OCTETS);
        (file, arrivals, leave)
    }

    const CAPACITY: usize = 300_000;

    fn wait_for_sync(reactor: &Reactor, medium: &mut File) -> SyncState {
        while medium.sync_state() == SyncState::Pending {
            reactor.wait(None);
        }
        medium.sync_state()
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % limit as u64).unwrap()
        }
    }

    #[test]
    fn random_operations_agree_with_plain_memory() {
        for seed in 1..=20 {
            println!("seed {seed}");
            let mut random = Random(seed * 0x9e37_79b9);
            let reactor = Reactor::new().unwrap();
            let mut medium = over(&reactor, memory(), 1 << (8 + random.below(12)));
            let mut model = vec![0; CAPACITY];
            let mut buf = vec![0; CAPACITY];
            for step in 0..2_000 {
                // Mostly near each other, so that they overlap.
                let at = random.below(if step % 10 == 0 { CAPACITY } else { 4_000 });
                let length = random.below(if step % 50 == 0 { 100_000 } else { 600 });
                let length = length.min(CAPACITY - at);
                match random.below(8) {
                    0..4 => {
                        let octets = vec![u8::try_from(random.below(256)).unwrap(); length];
                        match medium.write(at as u64, &octets) {
                            Ok(()) => model[at..at + length].copy_from_slice(&octets),
                            Err(error) => assert_eq!(error, MediumError::Busy),
                        }
                    }
                    4 => drop(medium.sync()),
                    _ => {
                        medium.read(at as u64, &mut buf[..length]).unwrap();
                        assert!(buf[..length] == model[at..at + length], "step {step}");
                    }
                }
            }
            wait_for_sync(&reactor, &mut medium);
            medium.sync().unwrap();
            assert_eq!(wait_for_sync(&reactor, &mut medium), SyncState::Done);
            medium.read(0, &mut buf).unwrap();
            assert!(buf == model);
            assert!(medium.shared.lock().items.is_empty());
        }
    }

    #[test]
    fn nothing_waits_for_a_sync_under_way() {
        let reactor = Reactor::new().unwrap();
        let (mut medium, arrivals, leave) = gated(&reactor);
        medium.sync().unwrap();
        assert_eq!(arrivals.recv(), Ok("sync"));
        // The helper now stands in fdatasync until it has our leave.
        assert_eq!(medium.sync(), Err(MediumError::Busy));
        for page in 0..20 {
            medium.write(page * 4096, &[7; 4096]).unwrap();
        }
        let mut buf = [0; 4096];
        medium.read(4096 * 19, &mut buf).unwrap();
        assert_eq!(buf, [7; 4096]);
        assert_eq!(medium.sync_state(), SyncState::Pending);
        leave.send(()).unwrap();
        assert_eq!(reactor.wait(None), 1);
        assert_eq!(medium.sync_state(), SyncState::Done);
        drop(leave);
    }

    #[test]
    fn a_read_sees_the_item_that_is_being_written() {
        let reactor = Reactor::new().unwrap();
        let (mut medium, arrivals, leave) = gated(&reactor);
        medium.write(10, b"old old").unwrap();
        medium.write(14, b"new").unwrap();
        for stage in ["write", "written", "write", "written"] {
            assert_eq!(arrivals.recv(), Ok(stage));
            let mut buf = [0; 9];
            medium.read(9, &mut buf).unwrap();
            assert_eq!(&buf, b"\0old new\0");
            leave.send(()).unwrap();
        }
        drop(leave);
    }

    #[test]
    fn a_full_queue_is_busy_and_wakes_when_there_is_room() {
        let reactor = Reactor::new().unwrap();
        let (mut medium, arrivals, leave) = gated(&reactor);
        let octets = vec![1; 64 * 1024];
        let mut taken = 0;
        while medium.write(0, &octets).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, QUEUE_OCTETS / octets.len());
        assert_eq!(medium.write(0, &octets), Err(MediumError::Busy));
        assert_eq!(medium.write(0, &[]), Ok(()), "no octets need no room");
        assert_eq!(medium.sync(), Ok(()), "a sync always has room");
        assert_eq!(arrivals.recv(), Ok("write"));
        drop(leave);
        assert_eq!(reactor.wait(None), 1);
        while medium.write(0, &octets).is_err() {
            reactor.wait(None);
        }
    }

    #[test]
    fn the_queue_of_items_is_bounded_too() {
        let reactor = Reactor::new().unwrap();
        let (mut medium, _arrivals, leave) = gated(&reactor);
        let taken = (0..).take_while(|_| medium.write(0, b"x").is_ok()).count();
        assert!(taken >= QUEUE_ITEMS - 2, "{taken}");
        assert_eq!(medium.sync(), Ok(()));
        let state = medium.shared.lock();
        assert!(state.items.capacity() < 2 * QUEUE_ITEMS, "grew");
        assert!(state.octets.capacity() < 2 * QUEUE_OCTETS, "grew");
        drop(state);
        drop(leave);
    }

    #[test]
    fn after_a_failure_everything_is_refused_but_reading() {
        for (fail_write, fail_sync, number) in [(true, false, 28), (false, true, 5)] {
            let reactor = Reactor::new().unwrap();
            let memory = Memory {
                fail_write,
                fail_sync,
                ..memory()
            };
            let mut medium = over(&reactor, memory, QUEUE_OCTETS);
            medium.write(3, b"taken").unwrap();
            // The helper may have failed before we come to this line.
            let _ = medium.sync();
            while medium.shared.lock().failed.is_none() {
                reactor.wait(None);
            }
            assert_ne!(medium.sync_state(), SyncState::Pending);
            assert_eq!(medium.write(0, b"x"), Err(MediumError::Failed(number)));
            assert_eq!(medium.sync(), Err(MediumError::Failed(number)));
            let mut buf = [0; 5];
            medium.read(3, &mut buf).unwrap();
            assert_eq!(&buf, b"taken");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let reactor = Reactor::new().unwrap();
        let mut medium = over(&reactor, memory(), QUEUE_OCTETS);
        let end = CAPACITY as u64;
        assert_eq!(medium.write(end, b""), Ok(()));
        assert_eq!(medium.write(end - 1, b"x"), Ok(()));
        for at in [end, u64::MAX] {
            assert_eq!(medium.write(at, b"x"), Err(MediumError::OutOfBounds));
            assert_eq!(medium.read(at, &mut [0]), Err(MediumError::OutOfBounds));
        }
    }

    #[test]
    fn a_file_is_made_kept_and_ours_alone() {
        let directory = crate::linux::scratch("file");
        let path = directory.join("ring");
        let reactor = Reactor::new().unwrap();
        let mut medium = File::open(&reactor, &path, 5_000_000).unwrap();
        assert_eq!(medium.capacity(), 5_000_000);
        let metadata = fs::metadata(&path).unwrap();
        assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 >= 5_000_000);
        medium.write(4_999_995, b"stays").unwrap();
        let second = File::open(&reactor, &path, 1).err().unwrap();
        assert!(second.ends_with("in use by another program"), "{second}");
        drop(medium);
        let mut medium = File::open(&reactor, &path, 1_000).unwrap();
        assert_eq!(medium.capacity(), 5_000_000, "what exists keeps its size");
        let mut buf = [0; 5];
        medium.read(4_999_995, &mut buf).unwrap();
        assert_eq!(&buf, b"stays");
        assert!(File::open(&reactor, &directory, 1).is_err());
        assert!(File::open(&reactor, &directory.join("no/ring"), 1).is_err());
        assert!(File::open(&reactor, Path::new("/dev/null"), 1).is_err());
        drop(medium);
        fs::remove_dir_all(directory).unwrap();
    }
}
