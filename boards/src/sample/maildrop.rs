//! One user's directory, as a POP3 session sees it: a snapshot with marks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// RFC 1939 §7: a unique-id has 1 to 70 octets.
const UNIQUE_ID_OCTETS: usize = 70;

/// What the directory held when the session began. Message-numbers do not change while it lasts.
pub(super) struct Maildrop(Vec<Mail>);

/// One mail.
pub(super) struct Mail {
    path: PathBuf,
    /// The file's name, as far as it is fit to be one.
    pub(super) unique_id: String,
    /// Its size as sent: lines end with CR LF, byte-stuffing is not counted (RFC 1939 §11).
    pub(super) octets: usize,
    deleted: bool,
}

impl Maildrop {
    /// Takes the snapshot: every `*.eml` in `dir`, oldest first, then by name.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let mut found: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            // Gone between these two calls: then it is not in the snapshot.
            let Ok(about) = fs::metadata(&path) else {
                continue;
            };
            if about.is_file() && path.extension().is_some_and(|extension| extension == "eml") {
                found.push((about.modified()?, path));
            }
        }
        found.sort();
        let mails = found.into_iter().filter_map(|(_, path)| {
            let content = fs::read(&path).ok()?;
            Some(Mail {
                unique_id: unique_id(&path),
                octets: canonical(&content).len(),
                path,
                deleted: false,
            })
        });
        Ok(Self(mails.collect()))
    }

    /// Marks a mail as deleted; returns its message-number.
    pub(super) fn delete(&mut self, number: &str) -> Result<usize, &'static str> {
        let (number, _) = self.mail(number)?;
        if let Some(mail) = self.0.get_mut(number - 1) {
            mail.deleted = true;
        }
        Ok(number)
    }

    /// Takes all marks off.
    pub(super) fn reset(&mut self) {
        for mail in &mut self.0 {
            mail.deleted = false;
        }
    }

    /// Removes what is marked; the first failure is reported after all were tried.
    pub(super) fn commit(self) -> io::Result<()> {
        let mut result = Ok(());
        for mail in self.0.iter().filter(|mail| mail.deleted) {
            match fs::remove_file(&mail.path) {
                // Somebody was faster; it is gone, as asked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => result = result.and(removed),
            }
        }
        result
    }

    /// The mails that are not marked, with their message-numbers.
    pub(super) fn mails(&self) -> impl Iterator<Item = (usize, &Mail)> {
        let numbered = (1..).zip(&self.0);
        numbered.filter(|(_, mail)| !mail.deleted)
    }

    /// The mail with this message-number, unless it is marked.
    pub(super) fn mail(&self, number: &str) -> Result<(usize, &Mail), &'static str> {
        // `parse` would take a sign.
        if number.is_empty() || !number.bytes().all(|octet| octet.is_ascii_digit()) {
            return Err("that is not a message-number");
        }
        number
            .parse()
            .ok()
            .and_then(|number: usize| Some((number, self.0.get(number.checked_sub(1)?)?)))
            .filter(|(_, mail)| !mail.deleted)
            .ok_or("no such message")
    }

    /// Size of all that is not marked.
    pub(super) fn octets(&self) -> usize {
        self.mails().map(|(_, mail)| mail.octets).sum()
    }
}

impl Mail {
    /// The mail as it is sent, before byte-stuffing.
    pub(super) fn content(&self) -> Result<Vec<u8>, &'static str> {
        let stored = fs::read(&self.path).map_err(|_| "[SYS/TEMP] the file is gone")?;
        Ok(canonical(&stored))
    }
}

/// The header, the empty line and `lines` lines of the body (RFC 1939 §7).
pub(super) fn top(content: &[u8], lines: u64) -> &[u8] {
    let mut end = 0;
    let mut left = None;
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        left = match left {
            Some(0) => break,
            Some(left) => Some(left - 1),
            None if line == b"\r\n" => Some(lines),
            None => None,
        };
        end += line.len();
    }
    content.get(..end).unwrap_or(content)
}

/// `stored` in lines that all end with CR LF. A CR alone stays what it is.
fn canonical(stored: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(stored.len() + stored.len() / 32);
    for line in stored.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        sent.extend(line.strip_suffix(b"\r").unwrap_or(line));
        sent.extend(b"\r\n");
    }
    sent
}

/// The file's name without `.eml`, in 1 to 70 octets of 0x21 to 0x7E; what is not is written `%HH`.
fn unique_id(path: &Path) -> String {
    let name = path.file_stem().unwrap_or_default().as_encoded_bytes();
    let mut id = String::new();
    for &octet in name {
        if octet.is_ascii_graphic() && octet != b'%' {
            id.push(char::from(octet));
        } else {
            id.push_str(&format!("%{octet:02X}"));
        }
    }
    if id.len() <= UNIQUE_ID_OCTETS {
        return id;
    }
    // A name too long keeps its beginning; FNV-1a of the whole keeps it apart from the others.
    let hash = name
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
        });
    id.truncate(UNIQUE_ID_OCTETS - 17);
    format!("{id}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_cr_lf_and_nothing_else_changes() {
        for (stored, sent) in [
            (&b""[..], &b""[..]),
            (b"a", b"a\r\n"),
            (b"a\n", b"a\r\n"),
            (b"a\r\n", b"a\r\n"),
            (b"\n\r\n\n", b"\r\n\r\n\r\n"),
            (b"a\rb\r\r\n.\n", b"a\rb\r\r\n.\r\n"),
            (b"\0\xff\n\r", b"\0\xff\r\n\r\n"),
        ] {
            assert_eq!(canonical(stored), sent, "{stored:?}");
            assert_eq!(canonical(sent), sent, "once is enough for {stored:?}");
        }
    }

    #[test]
    fn top_counts_lines_of_the_body_only() {
        let content = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
        for (lines, end) in [(0, 14), (1, 19), (2, 21), (3, 28), (4, 28), (u64::MAX, 28)] {
            assert_eq!(top(content, lines), &content[..end], "{lines}");
        }
        assert_eq!(top(b"A: 1\r\n", 3), b"A: 1\r\n");
        assert_eq!(top(b"", 0), b"");
    }

    #[test]
    fn unique_ids_are_legal_and_differ_where_names_do() {
        let long = "x".repeat(200);
        let names = [
            "a",
            "a b",
            "a%20b",
            "grüße",
            "%",
            &long,
            &format!("{long}y"),
        ];
        let ids: Vec<String> = names
            .iter()
            .map(|name| unique_id(Path::new(&format!("/d/{name}.eml"))))
            .collect();
        for (at, id) in ids.iter().enumerate() {
            assert!((1..=70).contains(&id.len()), "{id}");
            assert!(id.bytes().all(|octet| octet.is_ascii_graphic()), "{id}");
            assert!(!ids[..at].contains(id), "{id}");
        }
        assert_eq!(ids[0], "a");
    }
}
