//! One `poll(2)` for everything: where the loop sleeps.
//!
//! A stream registers its descriptor and says what it waits for. A wish is good for one wake-up:
//! whatever poll reports is struck off, and the stream wishes anew when it is next touched and
//! still finds nothing. So a hang-up, which poll reports for ever, or octets that nobody has room
//! for, wake the loop once and never spin it. A descriptor without a wish is not polled at all.
//!
//! A part that has to be looked at by itself some time sets an [`Alarm`]. That too is good for one
//! wake-up.
//!
//! Helper threads wake the loop through a [`Waker`]: one eventfd for all of them, emptied by
//! [`Reactor::wait`] itself. A wake-up is never lost: one that comes while the loop is busy makes
//! the next `wait` return at once.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

/// The set of descriptors the loop waits for. Clones share it; it stays in one thread.
#[derive(Clone)]
pub struct Reactor {
    shared: Rc<Shared>,
}

struct Shared {
    entries: RefCell<Vec<Option<Entry>>>,
    alarms: RefCell<Vec<Weak<Cell<Option<Instant>>>>>,
    wakeup: Arc<EventFd>,
}

struct Entry {
    fd: Rc<dyn AsFd>,
    read: bool,
    write: bool,
}

impl Reactor {
    /// An empty set.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self {
            shared: Rc::new(Shared {
                entries: RefCell::new(Vec::new()),
                alarms: RefCell::new(Vec::new()),
                wakeup: Arc::new(EventFd::from_flags(flags)?),
            }),
        })
    }

    /// Takes `fd` into the set, without any wish yet. The set shares the descriptor for as long as
    /// the registration lives.
    #[must_use]
    pub fn register<F: AsFd + 'static>(&self, fd: &Rc<F>) -> Registration {
        let entry = Entry {
            fd: Rc::<F>::clone(fd),
            read: false,
            write: false,
        };
        let mut entries = self.shared.entries.borrow_mut();
        let free = entries.iter().position(Option::is_none);
        let key = free.unwrap_or(entries.len());
        match entries.get_mut(key) {
            Some(place) => *place = Some(entry),
            None => entries.push(Some(entry)),
        }
        drop(entries);
        Registration {
            reactor: self.clone(),
            key,
        }
    }

    /// An alarm, not set yet. It leaves the set when it is dropped.
    #[must_use]
    pub fn alarm(&self) -> Alarm {
        let due = Rc::new(Cell::new(None));
        let mut alarms = self.shared.alarms.borrow_mut();
        alarms.retain(|alarm| alarm.strong_count() > 0);
        alarms.push(Rc::downgrade(&due));
        Alarm { due }
    }

    /// What a helper thread wakes the loop with.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker {
            wakeup: Arc::clone(&self.shared.wakeup),
        }
    }

    /// Sleeps until a wish comes true, an alarm is due, a waker wakes, a signal comes, or `timeout`
    /// is over; without `timeout`, for ever. Gives how many descriptors had something to report, and
    /// how many alarms were due.
    pub fn wait(&self, timeout: Option<Duration>) -> usize {
        let alarm = self.next_alarm();
        let until_alarm = alarm.map(|due| due.saturating_duration_since(Instant::now()));
        let reports = self.wait_for_descriptors(timeout.into_iter().chain(until_alarm).min());
        match alarm {
            Some(_) => reports + self.strike_off_alarms(Instant::now()),
            None => reports,
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        let alarms = self.shared.alarms.borrow();
        let set = alarms.iter().filter_map(|alarm| alarm.upgrade()?.get());
        set.min()
    }

    fn strike_off_alarms(&self, now: Instant) -> usize {
        let mut due_now = 0;
        for alarm in self.shared.alarms.borrow().iter() {
            if let Some(alarm) = alarm.upgrade()
                && alarm.get().is_some_and(|due| due <= now)
            {
                alarm.set(None);
                due_now += 1;
            }
        }
        due_now
    }

    fn wait_for_descriptors(&self, timeout: Option<Duration>) -> usize {
        let timeout = timeout.map(|t| TimeSpec::from_duration(t.min(LONGEST_SLEEP)));
        let reports = match self.poll(timeout) {
            Ok(reports) => reports,
            Err(nix::Error::EINTR) => return 0,
            Err(_) => {
                // No memory in the kernel: try again, but do not spin meanwhile.
                std::thread::sleep(Duration::from_millis(10));
                return 0;
            }
        };
        let mut entries = self.shared.entries.borrow_mut();
        for &(key, flags) in &reports {
            let Some(Some(entry)) = key.and_then(|key| entries.get_mut(key)) else {
                // The eventfd is non-blocking: at worst there is nothing to take.
                let _ = self.shared.wakeup.read();
                continue;
            };
            let other = flags.difference(PollFlags::POLLIN | PollFlags::POLLOUT);
            entry.read &= !flags.contains(PollFlags::POLLIN) && other.is_empty();
            entry.write &= !flags.contains(PollFlags::POLLOUT) && other.is_empty();
        }
        reports.len()
    }

    /// What poll reports, by key; `None` stands for the eventfd.
    fn poll(&self, timeout: Option<TimeSpec>) -> nix::Result<Reports> {
        let entries = self.shared.entries.borrow();
        // The loop takes nothing from the heap while a call goes on.
        let mut keys: heapless::Vec<Option<usize>, DESCRIPTORS> = heapless::Vec::new();
        let mut fds: heapless::Vec<PollFd<'_>, DESCRIPTORS> = heapless::Vec::new();
        // Empty, they have room for it.
        let _ = keys.push(None);
        let wakeup = PollFd::new(self.shared.wakeup.as_fd(), PollFlags::POLLIN);
        let _ = fds.push(wakeup);
        let mut timeout = timeout;
        for (key, entry) in entries.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, entry.read);
            flags.set(PollFlags::POLLOUT, entry.write);
            if !flags.is_empty() {
                let fd = PollFd::new((*entry.fd).as_fd(), flags);
                if fds.push(fd).is_err() {
                    // One too many is looked at as soon as others have had their turn.
                    timeout = Some(TimeSpec::from_duration(CROWDED_SLEEP));
                    break;
                }
                // As long as `fds`.
                let _ = keys.push(Some(key));
            }
        }
        ppoll(&mut fds, timeout, None)?;
        let report = |(key, fd): (Option<usize>, &PollFd<'_>)| {
            // Flags this build has no name for still count as something to look at.
            let flags = fd.revents().unwrap_or(PollFlags::POLLERR);
            (!flags.is_empty()).then_some((key, flags))
        };
        Ok(keys.into_iter().zip(&fds).filter_map(report).collect())
    }
}

/// What poll reports, by key.
type Reports = heapless::Vec<(Option<usize>, PollFlags), DESCRIPTORS>;

/// Descriptors that are waited for at once: eight lines with their telephones, their callers,
/// visits, terminals and helpers are fewer.
const DESCRIPTORS: usize = 128;

/// The longest sleep while there are more.
const CROWDED_SLEEP: Duration = Duration::from_millis(10);

/// Poll is asked for no longer than this; the loop then finds nothing to do and sleeps on.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

/// A descriptor's place in the set; left when dropped.
pub struct Registration {
    reactor: Reactor,
    key: usize,
}

impl Registration {
    /// Wishes, or does not wish, to wake when something can be read or the other end is gone.
    pub fn want_read(&self, wish: bool) {
        self.with_entry(|entry| entry.read = wish);
    }

    /// Wishes, or does not wish, to wake when something can be written or the other end is gone.
    pub fn want_write(&self, wish: bool) {
        self.with_entry(|entry| entry.write = wish);
    }

    /// Whether the wish to wake when something can be read still stands: poll has reported nothing
    /// since it was made.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        let entries = self.reactor.shared.entries.borrow();
        let entry = entries.get(self.key).and_then(Option::as_ref);
        entry.is_some_and(|entry| entry.read)
    }

    fn with_entry(&self, change: impl FnOnce(&mut Entry)) {
        let mut entries = self.reactor.shared.entries.borrow_mut();
        if let Some(Some(entry)) = entries.get_mut(self.key) {
            change(entry);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut entries = self.reactor.shared.entries.borrow_mut();
        let entry = entries.get_mut(self.key).and_then(Option::take);
        drop(entries);
        // After the set is free again: this may close the descriptor.
        drop(entry);
    }
}

/// Ends the loop's sleep at a moment, whoever else asks for what.
pub struct Alarm {
    due: Rc<Cell<Option<Instant>>>,
}

impl Alarm {
    /// Sets it to `due` in place of what it was set to; `None` takes that back. One that is due has
    /// done its work: it is to be set anew when its owner is next touched.
    pub fn set(&self, due: Option<Instant>) {
        self.due.set(due);
    }
}

/// Ends the loop's sleep from another thread.
#[derive(Clone)]
pub struct Waker {
    wakeup: Arc<EventFd>,
}

impl Waker {
    /// Ends the sleep that goes on now, or else the next one.
    pub fn wake(&self) {
        // Full after 2^64 - 2 wake-ups that nobody took: then a wake-up is due anyway.
        let _ = self.wakeup.write(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair(reactor: &Reactor) -> (Rc<UnixStream>, UnixStream, Registration) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = Rc::new(ours);
        let registration = reactor.register(&ours);
        (ours, theirs, registration)
    }

    const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn a_wish_wakes_once_until_it_is_wished_again() {
        let reactor = Reactor::new().unwrap();
        let (ours, mut theirs, registration) = pair(&reactor);
        theirs.write_all(b"x").unwrap();
        assert_eq!(reactor.wait(AT_ONCE), 0, "nothing wished");
        registration.want_read(true);
        assert_eq!(reactor.wait(AT_ONCE), 1);
        assert_eq!(reactor.wait(AT_ONCE), 0, "not read, and yet no spinning");
        registration.want_read(true);
        assert_eq!(reactor.wait(AT_ONCE), 1);
        (&*ours).read_exact(&mut [0]).unwrap();
        registration.want_read(true);
        assert_eq!(reactor.wait(AT_ONCE), 0);
        registration.want_write(true);
        assert_eq!(reactor.wait(AT_ONCE), 1);
        assert_eq!(reactor.wait(AT_ONCE), 0);
    }

    #[test]
    fn a_hang_up_is_reported_once() {
        let reactor = Reactor::new().unwrap();
        let (_ours, theirs, registration) = pair(&reactor);
        drop(theirs);
        assert_eq!(reactor.wait(AT_ONCE), 0, "nobody reads");
        registration.want_read(true);
        assert_eq!(reactor.wait(None), 1);
        assert_eq!(reactor.wait(AT_ONCE), 0);
    }

    #[test]
    fn idle_registrations_cost_nothing() {
        let reactor = Reactor::new().unwrap();
        let pairs: Vec<_> = (0..40).map(|_| pair(&reactor)).collect();
        for (_, _, registration) in &pairs {
            registration.want_read(true);
        }
        for _ in 0..100 {
            assert_eq!(reactor.wait(Some(Duration::from_micros(10))), 0);
        }
        let mut theirs = &pairs[17].1;
        theirs.write_all(b"x").unwrap();
        assert_eq!(reactor.wait(None), 1, "only the one that was written to");
        assert_eq!(reactor.wait(AT_ONCE), 0);
    }

    #[test]
    fn places_are_used_again_and_descriptors_closed() {
        let reactor = Reactor::new().unwrap();
        for _ in 0..5_000 {
            let (_ours, _theirs, registration) = pair(&reactor);
            registration.want_read(true);
        }
        assert_eq!(reactor.shared.entries.borrow().len(), 1);
    }

    #[test]
    fn an_alarm_ends_one_sleep() {
        let reactor = Reactor::new().unwrap();
        let (early, late) = (reactor.alarm(), reactor.alarm());
        let now = Instant::now();
        late.set(Some(now + Duration::from_secs(86_400)));
        early.set(Some(now + Duration::from_millis(2)));
        assert_eq!(reactor.next_alarm(), Some(now + Duration::from_millis(2)));
        let mut reports = 0;
        while reports == 0 {
            reports += reactor.wait(None);
        }
        assert!(reports == 1 && now.elapsed() >= Duration::from_millis(2));
        assert_eq!(early.due.get(), None, "struck off");
        assert_eq!(
            reactor.next_alarm(),
            Some(now + Duration::from_secs(86_400))
        );
        late.set(None);
        assert_eq!(reactor.next_alarm(), None);
        early.set(Some(now));
        drop(early);
        assert_eq!(reactor.next_alarm(), None, "gone with its owner");
        for _ in 0..1000 {
            drop(reactor.alarm());
        }
        assert!(reactor.shared.alarms.borrow().len() <= 2);
    }

    #[test]
    fn a_waker_ends_this_sleep_or_the_next() {
        let reactor = Reactor::new().unwrap();
        let waker = reactor.waker();
        waker.wake();
        waker.wake();
        assert_eq!(reactor.wait(None), 1);
        assert_eq!(
            reactor.wait(AT_ONCE),
            0,
            "two wake-ups before a sleep are one"
        );
        let thread = std::thread::spawn(move || waker.wake());
        assert_eq!(reactor.wait(None), 1);
        thread.join().unwrap();
    }
}
