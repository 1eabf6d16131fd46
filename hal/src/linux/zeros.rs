//! Makes a file of a given size, every octet of it written.
//!
//! A file that is merely made longer has no blocks yet: each sync during the first lap would
//! commit new extents, four times the octets and twice the flushes. So it is filled with zeros
//! once. It gets its name only when it is whole: a start that was cut short leaves nothing that
//! could be taken for a medium.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes `path`, `size` octets of zeros, durable. Blocks until it is done.
///
/// # Errors
/// What the system says: no room, no such directory. Nothing is left then.
pub(super) fn fill(path: &Path, size: u64) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = Path::new(&unfinished);
    let made = write_zeros(unfinished, size).and_then(|()| fs::rename(unfinished, path));
    if made.is_err() {
        // If this fails too, the next start truncates it.
        let _ = fs::remove_file(unfinished);
        return made;
    }
    sync_directory_of(path)
}

/// Makes the name of `path` durable.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

fn write_zeros(path: &Path, size: u64) -> io::Result<()> {
    // The mails of all users will be in it.
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(path)?;
    let zeros = vec![0; 64 << 10];
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        let (part, _) = zeros.split_at(length);
        file.write_all(part)?;
        left -= length as u64;
    }
    file.sync_all()
}
