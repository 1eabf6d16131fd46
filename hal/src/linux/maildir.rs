//! A Maildir in the file system, read through directories that are held open.
//!
//! ```text
//! start: path -> cur, new (held open)
//! next:  entries of new, then of cur, gathered a few at a time -> in the order of delivery
//! open:  by the name as it was listed; renamed since -> looked for by its unique part
//! ```
//!
//! `new` is read before `cur`: what is moved meanwhile is found in one of the two. A mail that is
//! renamed within `cur` while that is read may be missed; so `cur` must not have been changed
//! meanwhile, else the listing begins anew.
//!
//! Names come from whoever delivers mail. They are opened in the directories held, never as paths,
//! never through a link, and only plain files are read. Nothing is written; where the system allows
//! it, not even the time of the last access is (`O_NOATIME`).

use core::ffi::CStr;
use core::hash::BuildHasher;
use core::time::Duration;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::hash::RandomState;
use std::io::{ErrorKind, Read, Take};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::dir::{Dir, OwningIter, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

use crate::maildir::{FolderError, MailFolder, MailName, Next, Opened};

/// Directory entries looked at in one step: well under a millisecond.
const STEP_ENTRIES: usize = 128;

/// How often a listing begins anew where mails are renamed meanwhile.
const LISTINGS: u8 = 5;

/// Mails of one listing; more than any board has memory for. Bounds what a hostile folder costs.
const MOST_MAILS: usize = 1 << 20;

/// How coarse a file system's times may be: one tick of the slowest kernel, and some more.
const TICK: Duration = Duration::from_millis(25);

/// A Maildir.
#[derive(Debug)]
pub struct Maildir {
    path: PathBuf,
    parts: Option<Parts>,
    listing: Listing,
    /// Names that were found, each with a NUL behind it.
    names: Vec<u8>,
    /// What was listed, by number.
    mails: Vec<Mail>,
    search: Option<Search>,
    open: Option<Take<File>>,
}

/// Its directories.
#[derive(Debug)]
struct Parts {
    new: OwnedFd,
    cur: OwnedFd,
}

/// A mail as it was listed.
#[derive(Clone, Copy, Debug)]
struct Mail {
    /// Where its name begins.
    name: u32,
    part: Part,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    New,
    Cur,
}

/// A listing on its way.
#[derive(Debug, Default)]
enum Listing {
    #[default]
    None,
    Gathering {
        scan: Scan,
        found: Found,
        /// How `cur` was when it began, and when that was.
        changed: SystemTime,
        began: SystemTime,
        /// How often it may begin anew.
        left: u8,
    },
    Giving(std::collections::btree_map::IntoIter<Key, Mail>),
}

/// When a mail was delivered, and a hash of its unique part, which no deliverer can foresee.
type Key = (u64, u64, u64);

#[derive(Debug, Default)]
struct Found {
    mails: BTreeMap<Key, Mail>,
    hash: RandomState,
}

/// A look for a mail that has another name now.
#[derive(Debug)]
struct Search {
    number: u32,
    scan: Scan,
}

/// The entries of both directories.
struct Scan {
    part: Part,
    entries: OwningIter,
}

impl Maildir {
    /// The Maildir at `path`; nothing is opened yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            parts: None,
            listing: Listing::None,
            names: Vec::new(),
            mails: Vec::new(),
            search: None,
            open: None,
        }
    }

    fn gather(&mut self, left: u8) -> Result<(), FolderError> {
        let parts = self.parts.as_ref().ok_or(FolderError::Absent)?;
        self.names.clear();
        self.listing = Listing::Gathering {
            began: SystemTime::now(),
            changed: changed(&parts.cur)?,
            scan: Scan::begin(parts)?,
            found: Found::default(),
            left,
        };
        Ok(())
    }

    /// Opens what was listed as `number` under the name it has in `part`.
    fn open_as(&mut self, part: Part, name: &CStr) -> Result<Option<u64>, FolderError> {
        let parts = self.parts.as_ref().ok_or(FolderError::Absent)?;
        // A FIFO that took the place of a mail must not hold us.
        let opened = open_quietly(OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, |flags| {
            openat(parts.of(part), name, flags, Mode::empty())
        });
        let file = match opened {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT | Errno::ELOOP | Errno::ENXIO) => return Ok(None),
            Err(errno) => return Err(error(errno)),
        };
        let meta = file.metadata().map_err(|failed| system(&failed))?;
        if !meta.is_file() {
            return Ok(None);
        }
        self.open = Some(file.take(meta.len()));
        Ok(Some(meta.len()))
    }

    /// Looks on for a mail that has another name by now.
    fn search_on(&mut self, mut search: Search) -> Result<Opened, FolderError> {
        let parts = self.parts.as_ref().ok_or(FolderError::Absent)?;
        let Some(mail) = self.mail(search.number) else {
            return Ok(Opened::Gone);
        };
        let unique = unique(self.name_of(mail)).to_owned();
        for _ in 0..STEP_ENTRIES {
            let Some((part, name)) = search.scan.next(parts)? else {
                return Ok(Opened::Gone);
            };
            let Some(name) = name else {
                continue;
            };
            if self::unique(&name) != unique {
                continue;
            }
            let Some(octets) = self.open_as(part, &name)? else {
                // Renamed again: the next listing tells.
                return Ok(Opened::Gone);
            };
            return Ok(Opened::Open { octets });
        }
        self.search = Some(search);
        Ok(Opened::NotYet)
    }

    fn mail(&self, number: u32) -> Option<Mail> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.mails.get(at).copied()
    }

    fn name_of(&self, mail: Mail) -> &CStr {
        name_at(&self.names, mail)
    }
}

impl MailFolder for Maildir {
    fn start(&mut self) -> Result<(), FolderError> {
        (self.search, self.open) = (None, None);
        (self.names, self.mails) = (Vec::new(), Vec::new());
        self.listing = Listing::None;
        self.parts = Some(Parts::open(&self.path)?);
        self.gather(LISTINGS - 1)
    }

    fn next(&mut self, out: &mut [u8]) -> Result<Next, FolderError> {
        let parts = self.parts.as_ref().ok_or(FolderError::Absent)?;
        match &mut self.listing {
            Listing::None => Ok(Next::End),
            Listing::Gathering {
                scan,
                found,
                changed: before,
                began,
                left,
            } => {
                if !found.gather(scan, parts, &mut self.names)? {
                    return Ok(Next::NotYet);
                }
                let after = changed(&parts.cur)?;
                // A change in the tick in which the listing began need not show in the time.
                let quiet = !is_within(after, *began, TICK);
                match *left {
                    _ if after == *before && quiet => {}
                    0 if after == *before => {}
                    0 => return Err(FolderError::Restless),
                    left => {
                        self.gather(left - 1)?;
                        return Ok(Next::NotYet);
                    }
                }
                let found = core::mem::take(found);
                self.listing = Listing::Giving(found.mails.into_iter());
                Ok(Next::NotYet)
            }
            Listing::Giving(mails) => {
                let Some((_, mail)) = mails.next() else {
                    self.listing = Listing::None;
                    return Ok(Next::End);
                };
                let name = name_at(&self.names, mail).to_bytes();
                let length = name.len();
                let room = out.get_mut(..length);
                room.ok_or(FolderError::Failed(Errno::ENAMETOOLONG as i32))?
                    .copy_from_slice(name);
                self.mails.push(mail);
                let number = u32::try_from(self.mails.len()).unwrap_or(u32::MAX);
                Ok(Next::Found { number, length })
            }
        }
    }

    fn open(&mut self, number: u32) -> Result<Opened, FolderError> {
        self.open = None;
        if let Some(search) = self.search.take()
            && search.number == number
        {
            return self.search_on(search);
        }
        let Some(mail) = self.mail(number) else {
            return Ok(Opened::Gone);
        };
        let (part, name) = (mail.part, self.name_of(mail).to_owned());
        if let Some(octets) = self.open_as(part, &name)? {
            return Ok(Opened::Open { octets });
        }
        let parts = self.parts.as_ref().ok_or(FolderError::Absent)?;
        let scan = Scan::begin(parts)?;
        self.search_on(Search { number, scan })
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, FolderError> {
        let Some(file) = &mut self.open else {
            return Ok(0);
        };
        loop {
            match file.read(buf) {
                Ok(count) => return Ok(count),
                Err(failed) if failed.kind() == ErrorKind::Interrupted => {}
                Err(failed) => return Err(system(&failed)),
            }
        }
    }
}

impl Parts {
    fn open(path: &Path) -> Result<Self, FolderError> {
        let flags = OFlag::O_DIRECTORY;
        let base = open_quietly(flags, |flags| open(path, flags, Mode::empty()));
        let base = base.map_err(|errno| match errno {
            Errno::ENOENT | Errno::ENOTDIR => FolderError::Absent,
            errno => error(errno),
        })?;
        let part = |name: &'static str| {
            let opened = open_quietly(flags | OFlag::O_NOFOLLOW, |flags| {
                openat(&base, name, flags, Mode::empty())
            });
            opened.map_err(|errno| match errno {
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP => FolderError::NoMaildir(name),
                errno => error(errno),
            })
        };
        Ok(Self {
            cur: part("cur")?,
            new: part("new")?,
        })
    }

    fn of(&self, part: Part) -> BorrowedFd<'_> {
        match part {
            Part::New => self.new.as_fd(),
            Part::Cur => self.cur.as_fd(),
        }
    }
}

impl Found {
    /// Gathers some entries more; true when there are no more.
    fn gather(
        &mut self,
        scan: &mut Scan,
        parts: &Parts,
        names: &mut Vec<u8>,
    ) -> Result<bool, FolderError> {
        for _ in 0..STEP_ENTRIES {
            let Some((part, name)) = scan.next(parts)? else {
                return Ok(true);
            };
            let Some(name) = name else {
                continue;
            };
            let Some(parsed) = MailName::parse(name.to_bytes()) else {
                continue;
            };
            let (seconds, micros) = parsed.delivered();
            // What was moved meanwhile is where it was found last.
            let key = (seconds, micros, self.hash.hash_one(parsed.unique));
            // A million names are a quarter of what this can count.
            let start = u32::try_from(names.len()).unwrap_or(u32::MAX);
            names.extend(name.to_bytes_with_nul());
            self.mails.insert(key, Mail { name: start, part });
            if self.mails.len() > MOST_MAILS {
                return Err(FolderError::Failed(Errno::EFBIG as i32));
            }
        }
        Ok(false)
    }
}

impl Scan {
    fn begin(parts: &Parts) -> Result<Self, FolderError> {
        Ok(Self {
            part: Part::New,
            entries: entries(&parts.new)?,
        })
    }

    /// The next entry, and its name if it is a plain file that may be a mail; `None` after the
    /// last.
    fn next(&mut self, parts: &Parts) -> Result<Option<(Part, Option<CString>)>, FolderError> {
        let entry = match self.entries.next() {
            Some(entry) => entry.map_err(error)?,
            None if self.part == Part::New => {
                *self = Self {
                    part: Part::Cur,
                    entries: entries(&parts.cur)?,
                };
                return Ok(Some((Part::Cur, None)));
            }
            None => return Ok(None),
        };
        let name = entry.file_name();
        let plain = match entry.file_type() {
            Some(kind) => kind == Type::File,
            // This file system does not say so here.
            None => {
                let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                let stat = fstatat(parts.of(self.part), name, flags);
                stat.is_ok_and(|stat| {
                    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
                })
            }
        };
        let may_be = plain && MailName::parse(name.to_bytes()).is_some();
        Ok(Some((self.part, may_be.then(|| name.to_owned()))))
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

/// The entries of `directory`, from the first.
fn entries(directory: &OwnedFd) -> Result<OwningIter, FolderError> {
    let again = open_quietly(OFlag::O_DIRECTORY, |flags| {
        openat(directory, c".", flags, Mode::empty())
    });
    let dir = again.and_then(Dir::from_fd).map_err(error)?;
    Ok(dir.into_iter())
}

/// Opens for reading, without a trace where we may: only a file's owner may leave out the time of
/// the last access.
fn open_quietly(
    flags: OFlag,
    open: impl Fn(OFlag) -> nix::Result<OwnedFd>,
) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    match open(flags | OFlag::O_NOATIME) {
        Err(Errno::EPERM) => open(flags),
        opened => opened,
    }
}

/// When the entries of `directory` were changed last.
fn changed(directory: &OwnedFd) -> Result<SystemTime, FolderError> {
    let stat = fstat(directory).map_err(error)?;
    let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    Ok(UNIX_EPOCH + seconds + nanos)
}

/// Whether two moments are no further apart than `most`, whichever is the earlier.
fn is_within(a: SystemTime, b: SystemTime, most: Duration) -> bool {
    let apart = a.duration_since(b).unwrap_or_else(|error| error.duration());
    apart <= most
}

fn name_at(names: &[u8], mail: Mail) -> &CStr {
    let start = usize::try_from(mail.name).unwrap_or(usize::MAX);
    let name = names.get(start..).unwrap_or_default();
    CStr::from_bytes_until_nul(name).unwrap_or_default()
}

fn unique(name: &CStr) -> &[u8] {
    let name = name.to_bytes();
    MailName::parse(name).map_or(name, |parsed| parsed.unique)
}

fn error(errno: Errno) -> FolderError {
    match errno {
        Errno::EACCES | Errno::EPERM => FolderError::Denied,
        errno => FolderError::Failed(errno as i32),
    }
}

fn system(failed: &std::io::Error) -> FolderError {
    error(Errno::from_raw(failed.raw_os_error().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process;

    use super::*;

    struct Temporary(PathBuf);

    impl Temporary {
        fn new(name: &str) -> Self {
            let name = std::format!("ringmail-maildir-{}-{name}", process::id());
            let path = std::env::temp_dir().join(name);
            for part in ["new", "cur"] {
                fs::create_dir_all(path.join(part)).unwrap();
            }
            Self(path)
        }

        fn put(&self, name: &str, content: &str) {
            fs::write(self.0.join(name), content).unwrap();
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.0.join(from), self.0.join(to)).unwrap();
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn list(maildir: &mut Maildir) -> Vec<String> {
        maildir.start().unwrap();
        let (mut name, mut listed) = ([0; 255], Vec::new());
        loop {
            match maildir.next(&mut name).unwrap() {
                Next::Found { number, length } => {
                    listed.push(String::from_utf8(name[..length].to_vec()).unwrap());
                    assert_eq!(usize::try_from(number).unwrap(), listed.len());
                }
                Next::NotYet => {}
                Next::End => return listed,
            }
        }
    }

    /// What mail `number` has in it; `None` if it has gone.
    fn content(maildir: &mut Maildir, number: u32) -> Option<String> {
        loop {
            match maildir.open(number).unwrap() {
                Opened::Open { octets } => {
                    let mut buf = [0; 64];
                    let count = maildir.read(&mut buf).unwrap();
                    assert_eq!(count as u64, octets);
                    assert_eq!(maildir.read(&mut buf), Ok(0));
                    return Some(String::from_utf8(buf[..count].to_vec()).unwrap());
                }
                Opened::NotYet => {}
                Opened::Gone => return None,
            }
        }
    }

    #[test]
    fn mails_are_listed_oldest_first_and_found_wherever_they_are() {
        let dir = Temporary::new("found");
        // More than one step's worth.
        for nth in 0..300 {
            dir.put(&std::format!("cur/9{nth:03}.M1P1.host:2,S"), "old");
        }
        dir.put("new/30.x", "three");
        dir.put("cur/20.x:2,F", "two");
        dir.put("cur/4.x", "four");
        let mut maildir = Maildir::new(&dir.0);
        let listed = list(&mut maildir);
        assert_eq!(
            listed[..4],
            ["4.x", "20.x:2,F", "30.x", "9000.M1P1.host:2,S"]
        );
        assert_eq!(listed.len(), 303);
        dir.rename("new/30.x", "cur/30.x:2,");
        dir.rename("cur/20.x:2,F", "cur/20.x:2,FS");
        fs::remove_file(dir.0.join("cur/4.x")).unwrap();
        assert_eq!(content(&mut maildir, 1), None);
        assert_eq!(content(&mut maildir, 2).as_deref(), Some("two"));
        assert_eq!(content(&mut maildir, 3).as_deref(), Some("three"));
        assert_eq!(content(&mut maildir, 304), None);
        assert_eq!(content(&mut maildir, 0), None);
    }

    #[test]
    fn nothing_leads_out_of_it() {
        let dir = Temporary::new("links");
        dir.put("secret", "no mail");
        dir.put("new/1.x", "one");
        symlink(dir.0.join("secret"), dir.0.join("new/2.link")).unwrap();
        fs::create_dir(dir.0.join("cur/3.directory")).unwrap();
        dir.put("cur/.hidden", "no mail");
        let mut maildir = Maildir::new(&dir.0);
        assert_eq!(list(&mut maildir), ["1.x"]);
        // Exchanged for a link when it was listed already.
        fs::remove_file(dir.0.join("new/1.x")).unwrap();
        symlink(dir.0.join("secret"), dir.0.join("new/1.x")).unwrap();
        assert_eq!(content(&mut maildir, 1), None);
        // The directory itself is one.
        dir.rename("cur", "other");
        symlink(dir.0.join("other"), dir.0.join("cur")).unwrap();
        assert_eq!(maildir.start(), Err(FolderError::NoMaildir("cur")));
    }

    #[test]
    fn what_is_no_maildir_is_not_empty() {
        let dir = Temporary::new("none");
        let mut maildir = Maildir::new(&dir.0);
        assert_eq!(list(&mut maildir), [""; 0]);
        fs::remove_dir(dir.0.join("new")).unwrap();
        assert_eq!(maildir.start(), Err(FolderError::NoMaildir("new")));
        fs::remove_dir(dir.0.join("cur")).unwrap();
        assert_eq!(maildir.start(), Err(FolderError::NoMaildir("cur")));
        fs::remove_dir(&dir.0).unwrap();
        assert_eq!(maildir.start(), Err(FolderError::Absent));
    }
}
