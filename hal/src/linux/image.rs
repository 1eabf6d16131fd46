//! A store's file or device, to look at: nothing is ever written.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::errno::Errno;

use crate::medium::{Medium, MediumError, SyncState};

/// A medium that refuses every write.
#[derive(Debug)]
pub struct Image {
    file: File,
    capacity: u64,
}

impl Image {
    /// Opens the file or device at `path`. It may be in use: what is read may then change under
    /// the reader.
    ///
    /// # Errors
    /// The system's own.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        // A block device has no length, but an end.
        let capacity = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, capacity })
    }
}

impl Medium for Image {
    fn capacity(&self) -> u64 {
        self.capacity
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.capacity) {
            return Err(MediumError::OutOfBounds);
        }
        self.file
            .read_exact_at(buf, offset)
            .map_err(|error| MediumError::Failed(error.raw_os_error().unwrap_or(0)))
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MediumError> {
        Err(MediumError::Failed(Errno::EROFS as i32))
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        Err(MediumError::Failed(Errno::EROFS as i32))
    }

    fn sync_state(&mut self) -> SyncState {
        SyncState::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_takes_nothing() {
        let directory = crate::linux::scratch("image");
        let path = directory.join("ring");
        std::fs::write(&path, b"what is there").unwrap();
        let mut image = Image::open(&path).unwrap();
        assert_eq!(image.capacity(), 13);
        let mut buf = [0; 5];
        image.read(8, &mut buf).unwrap();
        assert_eq!(&buf, b"there");
        assert_eq!(image.read(9, &mut buf), Err(MediumError::OutOfBounds));
        assert_eq!(image.write(0, b"no"), Err(MediumError::Failed(30)));
        assert_eq!(image.sync(), Err(MediumError::Failed(30)));
        assert_eq!(std::fs::read(&path).unwrap(), b"what is there");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
