//! A Maildir as a mail server and its owner leave it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::mails::digest;

/// A user's Maildir.
#[derive(Clone, Debug)]
pub(crate) struct Maildir {
    path: PathBuf,
    /// Whom its files belong to, where that is not us.
    owner: Option<u32>,
    delivered: u32,
}

/// All that can be seen of a Maildir from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Each mail's file name without its flags: the flags, and a digest of the content.
    pub(crate) mails: BTreeMap<String, (String, u64)>,
    /// The server's own files (indices, lists of unique-ids): a digest of each.
    pub(crate) others: BTreeMap<PathBuf, u64>,
    /// Where each mail lies.
    pub(crate) places: BTreeSet<PathBuf>,
}

impl Maildir {
    /// Makes an empty one at `path`.
    pub(crate) fn create(path: PathBuf, owner: Option<u32>) -> Self {
        let maildir = Self {
            path,
            owner,
            delivered: 0,
        };
        for part in ["", "cur", "new", "tmp"] {
            let part = maildir.path.join(part);
            fs::create_dir_all(&part).unwrap();
            maildir.give(&part);
        }
        maildir
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Delivers `content`; returns its name. Servers list mails in the order of delivery.
    pub(crate) fn deliver(&mut self, content: &[u8]) -> String {
        self.delivered += 1;
        let name = format!("{}.M0P1.test", 1_700_000_000 + self.delivered);
        let made = self.path.join("tmp").join(&name);
        fs::write(&made, content).unwrap();
        self.give(&made);
        fs::rename(made, self.path.join("new").join(&name)).unwrap();
        name
    }

    /// Takes a mail away, as its owner does who read it at the desk by POP3.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.find(name)).unwrap();
    }

    /// Moves a mail to another folder, as its owner does who files it at the desk.
    pub(crate) fn file_away(&self, name: &str) {
        let folder = self.path.join(".Archive/cur");
        fs::create_dir_all(&folder).unwrap();
        self.give(&self.path.join(".Archive"));
        self.give(&folder);
        fs::rename(self.find(name), folder.join(name)).unwrap();
    }

    /// Sets `\Seen`, as its owner does who read it at the desk by IMAP.
    pub(crate) fn mark_read(&self, name: &str) {
        let read = self.path.join("cur").join(format!("{name}:2,S"));
        fs::rename(self.find(name), read).unwrap();
    }

    /// Takes `\Seen` off again.
    pub(crate) fn mark_unread(&self, name: &str) {
        let unread = self.path.join("cur").join(format!("{name}:2,"));
        fs::rename(self.find(name), unread).unwrap();
    }

    /// Makes the server forget its numbers, as when they are lost: its own files go. It would
    /// count the seconds for its next `UIDVALIDITY`, and might come to the one it had: so another
    /// is put there.
    pub(crate) fn forget_numbers(&self) {
        for entry in fs::read_dir(&self.path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        let list = self.path.join("dovecot-uidlist");
        fs::write(&list, "3 V1000000 N1\n").unwrap();
        let owner = fs::metadata(&self.path).unwrap();
        chown(&list, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// Names of the mails in it, without flags, oldest first.
    pub(crate) fn names(&self) -> Vec<String> {
        self.snapshot().mails.into_keys().collect()
    }

    /// All that can be seen of it now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot {
            mails: BTreeMap::new(),
            others: BTreeMap::new(),
            places: BTreeSet::new(),
        };
        self.look(&self.path, &mut snapshot);
        snapshot
    }

    fn look(&self, directory: &Path, snapshot: &mut Snapshot) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.look(&path, snapshot);
                continue;
            }
            let content = digest(&fs::read(&path).unwrap());
            let inside = path.strip_prefix(&self.path).unwrap();
            if inside.starts_with("cur") || inside.starts_with("new") {
                let name = path.file_name().unwrap().to_str().unwrap();
                let (name, flags) = name.split_once(':').unwrap_or((name, ""));
                let there = snapshot
                    .mails
                    .insert(name.to_owned(), (flags.to_owned(), content));
                assert_eq!(there, None, "{name} is there twice");
                snapshot.places.insert(inside.to_owned());
            } else {
                snapshot.others.insert(inside.to_owned(), content);
            }
        }
    }

    fn find(&self, name: &str) -> PathBuf {
        let parts = ["new", "cur"].map(|part| self.path.join(part));
        let mut files = parts.iter().flat_map(|part| fs::read_dir(part).unwrap());
        files
            .find_map(|file| {
                let path = file.unwrap().path();
                let found = path.file_name()?.to_str()?.split(':').next()? == name;
                found.then_some(path)
            })
            .unwrap_or_else(|| panic!("no mail {name}"))
    }

    fn give(&self, path: &Path) {
        if let Some(owner) = self.owner {
            chown(path, Some(owner), Some(owner)).unwrap();
        }
    }
}
