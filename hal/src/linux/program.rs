//! Programs of the board.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::SigSet;

/// A command that starts `program` with no signal blocked. The loop reads its signals like octets,
/// so they are blocked in this process; a child inherits that, and nobody could end it.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let unblock = || SigSet::all().thread_unblock().map_err(io::Error::from);
    // SAFETY: between fork and exec only what is safe in a signal handler may be called; this fills
    // a set on the stack and calls pthread_sigmask, which is.
    #[expect(unsafe_code, reason = "the standard library has no safe way")]
    unsafe {
        command.pre_exec(unblock);
    }
    command
}
