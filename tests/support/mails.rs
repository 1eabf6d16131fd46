//! Mails as octets: what the wire makes of them, and how two heaps of them are compared.

/// `stored` as POP3 carries it, before byte-stuffing: every line ends with CR LF. A CR alone stays.
pub(crate) fn with_crlf(stored: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(stored.len() + stored.len() / 16);
    for line in stored.split_inclusive(|&octet| octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        sent.extend(line.strip_suffix(b"\r").unwrap_or(line));
        sent.extend(b"\r\n");
    }
    sent
}

/// `sent` as most readers store it: every CR LF is an LF.
pub(crate) fn with_lf(sent: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(sent.len());
    for line in sent.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                stored.extend(line);
                stored.push(b'\n');
            }
            None => stored.extend(line),
        }
    }
    stored
}

/// What is wrong with `got`, if it is not exactly `expected` in any order: every mail once.
pub(crate) fn difference(got: &[Vec<u8>], expected: &[Vec<u8>]) -> Option<String> {
    let mut missing: Vec<&Vec<u8>> = expected.iter().collect();
    let mut extra = Vec::new();
    for mail in got {
        match missing.iter().position(|&other| other == mail) {
            Some(at) => drop(missing.swap_remove(at)),
            None => extra.push(mail),
        }
    }
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let mut report = format!("{} mails came, {} expected", got.len(), expected.len());
    for mail in extra.iter().take(5) {
        report += &format!("\nnot expected: {}", about(mail));
        // The one it was meant to be, if its marker survived.
        let twin = missing
            .iter()
            .find(|other| marker(other).is_some() && marker(other) == marker(mail));
        if let Some(twin) = twin {
            report += &format!(
                "\n  first difference to it: {}",
                first_difference(mail, twin)
            );
        }
    }
    for mail in missing.iter().take(5) {
        report += &format!("\nmissing: {}", about(mail));
    }
    Some(report)
}

/// Panics with the difference, if there is one.
#[track_caller]
pub(crate) fn assert_same(got: &[Vec<u8>], expected: &[Vec<u8>]) {
    if let Some(report) = difference(got, expected) {
        panic!("{report}");
    }
}

/// The line that the corpus puts into every mail that has a header.
pub(crate) fn marker(mail: &[u8]) -> Option<&[u8]> {
    let mut lines = mail.split(|&octet| octet == b'\n');
    lines
        .find(|line| line.starts_with(b"X-Corpus:"))
        .map(<[u8]>::trim_ascii_end)
}

/// FNV-1a: enough to see that a file is another one.
pub(crate) fn digest(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn about(mail: &[u8]) -> String {
    let marker = marker(mail).unwrap_or(b"no marker").escape_ascii();
    let start = mail[..mail.len().min(120)].escape_ascii();
    format!("{} octets, {marker}: {start}", mail.len())
}

fn first_difference(one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let near = |mail: &[u8]| {
        let start = at.saturating_sub(20).min(mail.len());
        mail[start..mail.len().min(at + 40)]
            .escape_ascii()
            .to_string()
    };
    format!("octet {at}: {} / {}", near(one), near(other))
}
