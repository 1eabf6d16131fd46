//! Whoever starts us anew should the loop stand still: the board's watchdog, or systemd's.
//!
//! Both want to hear from us in time; what they hear is that the loop has come round. The hardware's
//! is a timer that resets the whole board: it is opened when the loop first comes round, since a large
//! store may be read for longer than it counts, and never closed in order, so that it goes on while a
//! program that fell is started again, and strikes if it is not.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::time::{Duration, Instant};

use super::machine::notify;

/// A Pi's watchdog counts no further.
const HARDWARE: Duration = Duration::from_secs(15);

/// The watchdogs of a machine.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// The hardware's, until it is opened.
    device: Option<PathBuf>,
    hardware: Option<File>,
    supervisor: bool,
    /// How often they must hear from us; `None` if there is none.
    every: Option<Duration>,
    due: Option<Instant>,
}

impl Watchdog {
    /// That of the hardware at `device`, if the board has one, and the environment's supervisor
    /// (systemd's `WATCHDOG_USEC`).
    pub(super) fn new(device: Option<&Path>) -> Self {
        let supervisor = env::var("WATCHDOG_USEC").ok();
        Self::with(device, supervisor.as_deref(), timeout(device))
    }

    fn with(device: Option<&Path>, supervisor: Option<&str>, timeout: Duration) -> Self {
        let supervisor = supervisor.and_then(|micros| micros.parse().ok());
        let supervisor = supervisor.map(Duration::from_micros);
        let limits = [device.map(|_| timeout), supervisor];
        let shortest = limits.into_iter().flatten().min();
        Self {
            device: device.map(Path::to_owned),
            hardware: None,
            supervisor: supervisor.is_some(),
            // A third: one that comes late is no alarm yet.
            every: shortest.map(|limit| (limit / 3).max(Duration::from_millis(100))),
            due: None,
        }
    }

    /// The loop has come round at `now`. Tells them, where it is time.
    pub(super) fn alive(&mut self, now: Instant) {
        let Some(every) = self.every else { return };
        if self.due.is_some_and(|due| now < due) {
            return;
        }
        self.due = Some(now + every);
        if let Some(device) = self.device.take() {
            match OpenOptions::new().write(true).open(&device) {
                Ok(file) => self.hardware = Some(file),
                Err(error) => log::warn!("no watchdog: {}: {error}", device.display()),
            }
        }
        if let Some(hardware) = &mut self.hardware {
            // Not a `V`, which would stop it. If it takes nothing, it will strike: let it.
            let _ = hardware.write_all(b"\n");
        }
        if self.supervisor {
            // The same.
            let _ = notify(b"WATCHDOG=1");
        }
    }

    /// When the loop must come round again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }
}

/// How long the hardware waits, as the kernel tells beside the device.
fn timeout(device: Option<&Path>) -> Duration {
    let told = device.and_then(|device| {
        let name = device.file_name()?;
        // /dev/watchdog is the first of them.
        let name = match name.to_str()? {
            "watchdog" => "watchdog0",
            name => name,
        };
        let told = fs::read_to_string(format!("/sys/class/watchdog/{name}/timeout")).ok()?;
        told.trim().parse().ok()
    });
    told.map_or(HARDWARE, Duration::from_secs)
        .max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_watchdog_nothing_is_ever_due() {
        let mut watchdog = Watchdog::with(None, None, HARDWARE);
        watchdog.alive(at(1));
        assert_eq!(watchdog.due(), None);
    }

    #[test]
    fn it_hears_of_every_round_that_is_due_and_of_no_other() {
        let directory = super::super::scratch("watchdog");
        let path = directory.join("device");
        fs::write(&path, "").unwrap();
        let mut watchdog = Watchdog::with(Some(&path), None, HARDWARE);
        // A whole store may be read before the first round: nothing counts yet.
        assert!(watchdog.hardware.is_none() && watchdog.due().is_none());
        let fed = || fs::read(&path).unwrap().len();
        for (now, times) in [
            (0, 1),
            (1, 1),
            (4, 1),
            (5, 2),
            (9, 2),
            (60, 3),
            (61, 3),
            (65, 4),
        ] {
            watchdog.alive(at(now));
            assert_eq!(fed(), times, "at {now}");
            assert!(watchdog.due().unwrap() > at(now));
        }
        drop(watchdog);
        // Nothing tells it to stop.
        assert!(!fs::read(&path).unwrap().contains(&b'V'));
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_shorter_of_two_rules() {
        let device = Some(Path::new("/dev/null"));
        let both = Watchdog::with(device, Some("3000000"), HARDWARE);
        assert_eq!(both.every, Some(Duration::from_secs(1)));
        let words = Watchdog::with(None, Some("soon"), HARDWARE);
        assert_eq!(words.every, None);
    }
}
