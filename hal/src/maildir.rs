//! A Maildir on this machine: looked at, never touched.
//!
//! A Maildir keeps one mail a file: in `new` until a mail program has seen it, then in `cur`. The
//! name of a file is `unique` or `unique:2,FLAGS`; the flags change, the unique part never does.
//!
//! All of it may change at any moment: a mail is moved from `new` to `cur`, gets flags, goes away.

use core::fmt;

/// Longest name of a file, in octets.
pub const NAME_OCTETS: usize = 255;

/// A Maildir, opened to be read.
///
/// Every call does a bounded piece of work, however many mails there are, and changes nothing:
/// no name, no content, no directory. What is not a plain file of its own is no mail; nothing is
/// followed out of the directory.
pub trait MailFolder {
    /// Begins the listing, anew if there was one. The numbers of the last one hold no longer.
    ///
    /// # Errors
    /// [`FolderError`]: `cur` and `new` must both be there, so that a disk that is not mounted is
    /// not taken for an empty folder.
    fn start(&mut self) -> Result<(), FolderError>;

    /// The next mail of the listing, oldest first; its name is written to the beginning of `name`,
    /// which has room for [`NAME_OCTETS`]. Numbers rise. A mail is listed once, though it be moved
    /// meanwhile.
    ///
    /// # Errors
    /// [`FolderError`].
    fn next(&mut self, name: &mut [u8]) -> Result<Next, FolderError>;

    /// Opens a mail that was listed, wherever it is by now.
    ///
    /// # Errors
    /// [`FolderError`].
    fn open(&mut self, number: u32) -> Result<Opened, FolderError>;

    /// Reads on in the mail that was opened last; 0 at its end. What is written to it after it was
    /// opened does not count.
    ///
    /// # Errors
    /// [`FolderError`].
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, FolderError>;
}

/// How a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A mail.
    Found {
        /// What it is opened by.
        number: u32,
        /// Octets of its name.
        length: usize,
    },
    /// Ask again: it takes more than one step.
    NotYet,
    /// The listing is whole.
    End,
}

/// What became of the wish to open a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It is open.
    Open {
        /// Its octets, as the file has them.
        octets: u64,
    },
    /// Ask again: it is looked for.
    NotYet,
    /// It is not there any more.
    Gone,
}

/// Why a folder cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderError {
    /// There is no such directory.
    Absent,
    /// This directory, `cur` or `new`, is not in it.
    NoMaildir(&'static str),
    /// We may not read it.
    Denied,
    /// Mails were renamed all the time while it was listed.
    Restless,
    /// Any other system error, by number.
    Failed(i32),
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no such directory"),
            Self::NoMaildir(part) => write!(f, "no Maildir: there is no directory {part} in it"),
            Self::Denied => f.write_str("no permission to read the Maildir"),
            Self::Restless => f.write_str("mails are renamed while the Maildir is read"),
            Self::Failed(errno) => write!(f, "cannot read the Maildir: system error {errno}"),
        }
    }
}

impl core::error::Error for FolderError {}

/// The name of a mail's file, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailName<'a> {
    /// What stays the same: all before `:`.
    pub unique: &'a [u8],
    /// Flags, in the order in which they stand there.
    pub flags: &'a [u8],
}

impl<'a> MailName<'a> {
    /// Takes a file's name apart; `None` if it cannot be a mail's: empty, too long, or beginning
    /// with a dot.
    #[must_use]
    pub fn parse(name: &'a [u8]) -> Option<Self> {
        if name.len() > NAME_OCTETS {
            return None;
        }
        let colon = name.iter().position(|&octet| octet == b':');
        let (unique, info) = name.split_at(colon.unwrap_or(name.len()));
        if unique.first().is_none_or(|&first| first == b'.') {
            return None;
        }
        // `:1,` is for experiments and says nothing of flags.
        let flags = info.strip_prefix(b":2,").unwrap_or_default();
        // Dovecot and Courier put more behind a comma.
        let end = flags.iter().position(|&octet| octet == b',');
        let flags = flags.get(..end.unwrap_or(flags.len())).unwrap_or_default();
        Some(Self { unique, flags })
    }

    /// Somebody has read it (`S`).
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.flags.contains(&b'S')
    }

    /// Somebody has put it to the trash (`T`).
    #[must_use]
    pub fn is_trashed(&self) -> bool {
        self.flags.contains(&b'T')
    }

    /// When it was delivered, for the order of a listing: seconds, and microseconds (`M`) where
    /// the name has them. A name that does not begin with a number is older than all others.
    #[must_use]
    pub fn delivered(&self) -> (u64, u64) {
        let mut parts = self.unique.splitn(2, |&octet| octet == b'.');
        let seconds = leading_number(parts.next().unwrap_or_default());
        let rest = parts.next().unwrap_or_default();
        let micros = rest.strip_prefix(b"M").map_or(0, leading_number);
        (seconds, micros)
    }
}

/// The number that `text` begins with; 0 without one, the greatest where it is too large.
fn leading_number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|octet| octet.is_ascii_digit());
    digits.fold(0_u64, |number, digit| {
        let digit = u64::from(digit - b'0');
        number.saturating_mul(10).saturating_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (name, unique, flags) in [
            ("1700000000.M1P2.host", "1700000000.M1P2.host", ""),
            ("1700000000.M1P2.host:2,", "1700000000.M1P2.host", ""),
            ("1700000000.M1P2.host:2,FS", "1700000000.M1P2.host", "FS"),
            ("1.x,S=12,W=13:2,Sab", "1.x,S=12,W=13", "Sab"),
            ("1.x:2,T,more:S", "1.x", "T"),
            ("1.x:1,S", "1.x", ""),
            ("1.x:S", "1.x", ""),
            ("1.x:", "1.x", ""),
        ] {
            let parsed = MailName::parse(name.as_bytes()).unwrap();
            assert_eq!(parsed.unique, unique.as_bytes(), "{name}");
            assert_eq!(parsed.flags, flags.as_bytes(), "{name}");
        }
        for name in ["", ".", "..", ".lock", ":2,S", ":"] {
            assert_eq!(MailName::parse(name.as_bytes()), None, "{name}");
        }
        assert!(MailName::parse(&[b'a'; NAME_OCTETS]).is_some());
        assert_eq!(MailName::parse(&[b'a'; NAME_OCTETS + 1]), None);
    }

    #[test]
    fn names_are_ordered_by_delivery() {
        for (name, expected) in [
            ("17.M5P1.host", (17, 5)),
            ("17.5_2.host", (17, 0)),
            ("17", (17, 0)),
            ("msg.abc", (0, 0)),
            (
                "99999999999999999999.M99999999999999999999",
                (u64::MAX, u64::MAX),
            ),
        ] {
            let parsed = MailName::parse(name.as_bytes()).unwrap();
            assert_eq!(parsed.delivered(), expected, "{name}");
        }
    }

    /// A slow twin, on all names up to six octets over what means something.
    #[test]
    fn all_short_names_agree_with_a_slow_twin() {
        const ALPHABET: &[u8] = b":2,S.a";
        let mut name = [0; 6];
        for length in 0..=name.len() {
            let count = ALPHABET.len().pow(u32::try_from(length).unwrap());
            for nth in 0..count {
                let mut left = nth;
                for octet in &mut name[..length] {
                    *octet = ALPHABET[left % ALPHABET.len()];
                    left /= ALPHABET.len();
                }
                let name = core::str::from_utf8(&name[..length]).unwrap();
                let (unique, info) = name.split_once(':').unwrap_or((name, ""));
                let flags = match info.starts_with("2,") {
                    true => info[2..].split(',').next().unwrap(),
                    false => "",
                };
                let expected = (!unique.is_empty() && !unique.starts_with('.')).then_some((
                    unique.as_bytes(),
                    flags.contains('S'),
                    false,
                ));
                let got = MailName::parse(name.as_bytes());
                let got = got.map(|got| (got.unique, got.is_seen(), got.is_trashed()));
                assert_eq!(got, expected, "{name}");
            }
        }
    }
}
