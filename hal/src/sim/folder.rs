//! A Maildir in memory, and a mail program at the desk that changes it.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use crate::maildir::{FolderError, MailFolder, MailName, Next, Opened};

/// Mails that one step of a listing gives, and places one step of a search looks at.
const STEP: usize = 4;

/// A Maildir.
#[derive(Debug, Default)]
pub struct Folder {
    /// The mails, by the names of their files.
    mails: BTreeMap<String, Vec<u8>>,
    /// What is done to it after so many more calls of a reader.
    later: Vec<(u32, Change)>,
    /// Why it cannot be read now.
    fault: Option<FolderError>,
    listings: u32,
    opens: u32,
}

/// What somebody at the desk does.
#[derive(Clone, Debug)]
pub enum Change {
    /// A mail comes.
    Deliver(String, Vec<u8>),
    /// A mail gets other flags.
    Flag(String, &'static str),
    /// A mail goes.
    Remove(String),
    /// It cannot be read any more, or can again.
    Fault(Option<FolderError>),
}

/// A Maildir that is read.
#[derive(Debug)]
pub struct SimFolder {
    folder: Option<Rc<RefCell<Folder>>>,
    /// Unique parts and names, as they were listed.
    listed: Vec<(String, String)>,
    given: usize,
    step: usize,
    open: Vec<u8>,
    at: usize,
}

impl Folder {
    /// Does `change` now.
    pub fn change(&mut self, change: Change) {
        match change {
            Change::Deliver(name, content) => {
                self.mails.insert(name, content);
            }
            Change::Flag(unique, flags) => {
                if let Some((_, content)) = self.take(&unique) {
                    self.mails.insert(unique + ":2," + flags, content);
                }
            }
            Change::Remove(unique) => {
                self.take(&unique);
            }
            Change::Fault(fault) => self.fault = fault,
        }
    }

    /// Does `change` after so many more calls of a reader.
    pub fn change_later(&mut self, calls: u32, change: Change) {
        self.later.push((calls, change));
    }

    /// Names of all files.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.mails.keys().cloned().collect()
    }

    /// Listings that were begun, and mails that were opened.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        (self.listings, self.opens)
    }

    /// Whether all that was to be done later is done.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.later.is_empty()
    }

    fn find(&self, unique: &str) -> Option<String> {
        let mut names = self.mails.keys();
        names.find(|name| unique_of(name) == unique).cloned()
    }

    fn take(&mut self, unique: &str) -> Option<(String, Vec<u8>)> {
        let name = self.find(unique)?;
        self.mails.remove_entry(&name)
    }

    /// A reader has called.
    fn pass(&mut self) -> Result<(), FolderError> {
        let mut due = Vec::new();
        self.later.retain_mut(|(calls, change)| {
            if *calls == 0 {
                due.push(change.clone());
                return false;
            }
            *calls -= 1;
            true
        });
        for change in due {
            self.change(change);
        }
        self.fault.map_or(Ok(()), Err)
    }
}

impl SimFolder {
    pub(super) fn new(folder: Option<Rc<RefCell<Folder>>>) -> Self {
        Self {
            folder,
            listed: Vec::new(),
            given: 0,
            step: 0,
            open: Vec::new(),
            at: 0,
        }
    }

    fn folder(&self) -> Result<Rc<RefCell<Folder>>, FolderError> {
        let folder = self.folder.as_ref().map(Rc::clone);
        let folder = folder.ok_or(FolderError::Absent)?;
        folder.borrow_mut().pass()?;
        Ok(folder)
    }
}

impl MailFolder for SimFolder {
    fn start(&mut self) -> Result<(), FolderError> {
        let folder = self.folder()?;
        let mut folder = folder.borrow_mut();
        folder.listings += 1;
        let names = folder.mails.keys();
        let named = |name: &String| {
            let parsed = MailName::parse(name.as_bytes())?;
            Some((parsed.delivered(), unique_of(name), name.clone()))
        };
        let mut listed: Vec<_> = names.filter_map(named).collect();
        listed.sort();
        let listed = listed.into_iter().map(|(_, unique, name)| (unique, name));
        self.listed = listed.collect();
        (self.given, self.step) = (0, 0);
        Ok(())
    }

    fn next(&mut self, out: &mut [u8]) -> Result<Next, FolderError> {
        self.folder()?;
        self.step += 1;
        if self.step.is_multiple_of(STEP) {
            return Ok(Next::NotYet);
        }
        let Some((_, name)) = self.listed.get(self.given) else {
            return Ok(Next::End);
        };
        self.given += 1;
        out[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Next::Found {
            number: u32::try_from(self.given).unwrap_or(u32::MAX),
            length: name.len(),
        })
    }

    fn open(&mut self, number: u32) -> Result<Opened, FolderError> {
        let folder = self.folder()?;
        let mut folder = folder.borrow_mut();
        let at = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        let Some((unique, listed)) = self.listed.get(at) else {
            return Ok(Opened::Gone);
        };
        let Some(name) = folder.find(unique) else {
            return Ok(Opened::Gone);
        };
        self.step += 1;
        // It takes more than one look to find what has another name.
        if name != *listed && !self.step.is_multiple_of(STEP) {
            return Ok(Opened::NotYet);
        }
        folder.opens += 1;
        self.open = folder.mails.get(&name).cloned().unwrap_or_default();
        self.at = 0;
        Ok(Opened::Open {
            octets: self.open.len() as u64,
        })
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, FolderError> {
        self.folder()?;
        let rest = &self.open[self.at..];
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

fn unique_of(name: &str) -> String {
    let unique = name.split(':').next();
    String::from(unique.unwrap_or_default())
}
