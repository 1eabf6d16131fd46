//! Terminals that hand over every key as it is, and get their settings back.
//!
//! Not quite raw: output still gets its line feeds completed, because log lines may share the
//! screen. The old settings come back when the [`RawMode`] is dropped, and in a panic too, even
//! where panics abort.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use nix::libc::_POSIX_VDISABLE;
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr,
    tcsetattr,
};

/// As long as this lives, the terminal is raw.
#[must_use]
pub(super) struct RawMode {
    key: u64,
}

/// What becomes of the interrupt key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InterruptKey {
    /// It asks the program to end, as ever.
    Interrupts,
    /// It is a key like any other.
    Passes,
}

/// A terminal and what it was like before.
struct Saved {
    key: u64,
    fd: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Makes `fd` raw; `None` if it is no terminal.
    pub(super) fn set(fd: &impl AsFd, interrupt: InterruptKey) -> Option<Self> {
        static RESTORE_IN_PANIC: Once = Once::new();
        let before = tcgetattr(fd).ok()?;
        let duplicate = fd.as_fd().try_clone_to_owned().ok()?;
        let mut raw = before.clone();
        raw.input_flags -= InputFlags::ICRNL | InputFlags::INLCR | InputFlags::IGNCR;
        raw.input_flags -= InputFlags::IXON | InputFlags::ISTRIP;
        raw.local_flags -= LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::IEXTEN;
        if interrupt == InterruptKey::Passes {
            raw.local_flags -= LocalFlags::ISIG;
        }
        // A console line has three wires.
        raw.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD;
        for (index, value) in [
            // Reads give what there is, never an empty success.
            (SpecialCharacterIndices::VMIN, 1),
            (SpecialCharacterIndices::VTIME, 0),
            // Nobody wants to suspend a gateway, or its core.
            (SpecialCharacterIndices::VSUSP, _POSIX_VDISABLE),
            (SpecialCharacterIndices::VQUIT, _POSIX_VDISABLE),
        ] {
            *raw.control_chars.get_mut(index as usize)? = value;
        }
        RESTORE_IN_PANIC.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore_all();
                report(panic);
            }));
        });
        let mut saved = saved();
        let key = saved.last().map_or(0, |last| last.key + 1);
        saved.push(Saved {
            key,
            fd: duplicate,
            before,
        });
        drop(saved);
        let mode = Self { key };
        // If this fails, dropping the mode sets what was set before.
        tcsetattr(fd, SetArg::TCSANOW, &raw).ok().map(|()| mode)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        saved().retain(|terminal| {
            if terminal.key == self.key {
                terminal.restore();
            }
            terminal.key != self.key
        });
    }
}

impl Saved {
    fn restore(&self) {
        // At once, not when the output has drained: nobody may be reading it. A terminal that is
        // gone needs nothing.
        let _ = tcsetattr(&self.fd, SetArg::TCSANOW, &self.before);
    }
}

/// Gives every terminal its settings back.
fn restore_all() {
    // A panic may come while the list is held, but not while it is half changed.
    if let Ok(saved) = SAVED.try_lock() {
        saved.iter().for_each(Saved::restore);
    }
}

fn saved() -> MutexGuard<'static, Vec<Saved>> {
    SAVED.lock().unwrap_or_else(PoisonError::into_inner)
}

static SAVED: Mutex<Vec<Saved>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;
    use nix::pty::openpty;

    #[test]
    fn settings_come_back() {
        let first = openpty(None, None).unwrap();
        let second = openpty(None, None).unwrap();
        let flags = |fd: &OwnedFd| tcgetattr(fd).unwrap().local_flags;
        let before = flags(&first.slave);
        let one = RawMode::set(&first.slave, InterruptKey::Interrupts).unwrap();
        let two = RawMode::set(&second.slave, InterruptKey::Passes).unwrap();
        assert!(!flags(&first.slave).intersects(LocalFlags::ECHO | LocalFlags::ICANON));
        assert!(flags(&first.slave).contains(LocalFlags::ISIG));
        assert!(!flags(&second.slave).contains(LocalFlags::ISIG));
        drop(one);
        assert_eq!(flags(&first.slave), before);
        assert!(!flags(&second.slave).contains(LocalFlags::ECHO));
        restore_all();
        assert_eq!(flags(&second.slave), before);
        drop(two);
        let (pipe, _) = nix::unistd::pipe().unwrap();
        assert!(RawMode::set(&pipe, InterruptKey::Passes).is_none());
    }
}
