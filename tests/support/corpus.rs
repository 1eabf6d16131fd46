//! Mails of all kinds, the same for the same seed.

use super::mails::with_crlf;

/// What is odd about a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    /// Nothing: ASCII, LF.
    Plain,
    /// Octets above 127 in header and body.
    EightBit,
    /// Stored with CR LF.
    Crlf,
    /// Some lines end with LF, some with CR LF.
    MixedEnds,
    /// Lines of one dot, two dots, and more after dots.
    DotLines,
    /// The very first octet is a dot.
    DotFirst,
    /// The last line has no end.
    NoFinalNewline,
    /// A header, and not even the empty line after it.
    HeaderOnly,
    /// A header, the empty line, no body.
    NoBody,
    /// No octet at all.
    Empty,
    /// NUL octets in the body.
    Nul,
    /// A CR without LF in the body.
    BareCr,
    /// Lines of 998, 999, 2046, 2047 and 4096 octets.
    LongLines,
    /// Lines of 8191, 8192 and 65536 octets.
    HugeLines,
    /// A line of 1 MiB.
    EndlessLine,
    /// What a modem might take for its own, or for the end of the call.
    ModemWords,
    /// The same as the first mail of the corpus, octet by octet: still a mail of its own.
    Twin,
}

impl Quirk {
    /// All of them.
    pub(crate) const ALL: [Self; 17] = [
        Self::Plain,
        Self::EightBit,
        Self::Crlf,
        Self::MixedEnds,
        Self::DotLines,
        Self::DotFirst,
        Self::NoFinalNewline,
        Self::HeaderOnly,
        Self::NoBody,
        Self::Empty,
        Self::Nul,
        Self::BareCr,
        Self::LongLines,
        Self::HugeLines,
        Self::EndlessLine,
        Self::ModemWords,
        Self::Twin,
    ];
}

/// One mail of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// What is odd about it.
    pub(crate) quirk: Quirk,
    /// As it lies in a file.
    pub(crate) stored: Vec<u8>,
}

impl Mail {
    /// As POP3 carries it, before byte-stuffing.
    pub(crate) fn sent(&self) -> Vec<u8> {
        with_crlf(&self.stored)
    }
}

/// One mail of each kind that `wanted` wants, then others up to `count`, of sizes as people have
/// them: log-normal, median 4 KiB, from 1 KiB to 2 MiB.
pub(crate) fn mails(seed: u64, count: usize, wanted: impl Fn(Quirk) -> bool) -> Vec<Mail> {
    let mut random = Random(seed);
    let kinds = Quirk::ALL.into_iter().filter(|&quirk| wanted(quirk));
    let mut mails: Vec<Mail> = Vec::new();
    for (number, quirk) in kinds.take(count).enumerate() {
        let stored = match (quirk, mails.first()) {
            (Quirk::Twin, Some(first)) => first.stored.clone(),
            _ => odd(quirk, number, &mut random),
        };
        mails.push(Mail { quirk, stored });
    }
    for number in mails.len()..count {
        let quirk = [Quirk::Plain, Quirk::EightBit, Quirk::Crlf, Quirk::DotLines]
            .into_iter()
            .cycle()
            .skip(random.below(4))
            .find(|&quirk| wanted(quirk))
            .expect("an ordinary kind is wanted");
        let octets = (4096.0 * (1.6 * random.normal()).exp()).clamp(1024.0, 2_097_152.0);
        let mut stored = header(number, quirk);
        body(&mut stored, octets as usize, quirk, &mut random);
        if quirk == Quirk::Crlf {
            stored = with_crlf(&stored);
        }
        mails.push(Mail { quirk, stored });
    }
    mails
}

/// As [`mails`], but no more than `total` octets of the ordinary ones: what does not fit is cut to
/// 1 KiB.
pub(crate) fn bounded(
    seed: u64,
    count: usize,
    total: usize,
    wanted: impl Fn(Quirk) -> bool,
) -> Vec<Mail> {
    let mut mails = mails(seed, count, wanted);
    let mut left = total;
    for mail in &mut mails {
        if mail.stored.len() > left {
            mail.stored.truncate(1024);
        }
        left = left.saturating_sub(mail.stored.len());
    }
    mails
}

fn odd(quirk: Quirk, number: usize, random: &mut Random) -> Vec<u8> {
    let mut mail = header(number, quirk);
    let begun = mail.len();
    let line = |mail: &mut Vec<u8>, octet: u8, length: usize| {
        mail.resize(mail.len() + length, octet);
        mail.push(b'\n');
    };
    match quirk {
        Quirk::Empty => return Vec::new(),
        Quirk::HeaderOnly => {
            mail.pop();
            return mail;
        }
        Quirk::NoBody => return mail,
        Quirk::DotFirst => {
            mail.splice(0..0, *b".\n");
        }
        Quirk::Nul => mail.extend(b"a NUL: \0.\n\0\nand two: \0\0\n"),
        Quirk::BareCr => mail.extend(b"one\rtwo\r\rthree\n\rfour\r.\n"),
        Quirk::EndlessLine => line(&mut mail, b'e', 1 << 20),
        Quirk::LongLines => {
            for length in [998, 999, 2046, 2047, 4096] {
                line(&mut mail, b'l', length);
            }
        }
        Quirk::HugeLines => {
            for length in [8191, 8192, 65536] {
                line(&mut mail, b'h', length);
            }
        }
        Quirk::ModemWords => mail.extend(
            b"+++\n+++ATH0\nATH\nNO CARRIER\nRING\nOK\nERROR\nCONNECT 33600\n\x10\x03DLE ETX\n\x11\x13XON XOFF\n",
        ),
        Quirk::MixedEnds => mail.extend(b"one\r\ntwo\n\r\n\nthree\r\n.\r\n.\n"),
        Quirk::Plain
        | Quirk::EightBit
        | Quirk::Crlf
        | Quirk::DotLines
        | Quirk::NoFinalNewline
        | Quirk::Twin => {}
    }
    body(&mut mail, begun + 2000, quirk, random);
    match quirk {
        Quirk::Crlf => with_crlf(&mail),
        Quirk::NoFinalNewline => {
            mail.pop();
            mail
        }
        _ => mail,
    }
}

/// A header with its empty line. All have From, Date and Subject in common, as a careless sender's.
fn header(number: usize, quirk: Quirk) -> Vec<u8> {
    let mut header = b"From: Bob <bob@lan.example>\nTo: Alice <alice@lan.example>\n\
        Date: Mon, 01 Jun 2026 08:00:00 +0000\n"
        .to_vec();
    if quirk == Quirk::EightBit {
        header.extend("Subject: Grüße\nX-Latin: ".as_bytes());
        header.extend(b"caf\xe9\n");
    } else {
        header.extend(b"Subject: test\n");
    }
    header.extend(format!("X-Corpus: {number} {quirk:?}\n\n").as_bytes());
    header
}

/// Lines of random length until `mail` has `octets`.
fn body(mail: &mut Vec<u8>, octets: usize, quirk: Quirk, random: &mut Random) {
    while mail.len() < octets {
        if quirk == Quirk::DotLines && random.below(3) == 0 {
            mail.extend([&b"."[..], b"..", b"...", b".x", b". ", b".\t."][random.below(6)]);
        } else {
            for _ in 0..random.below(78) {
                mail.push(match random.below(12) {
                    0 => b' ',
                    1 if quirk == Quirk::EightBit => 0x80 + random.below(128) as u8,
                    n => b'a' + n as u8,
                });
            }
            // A blank at the end of a line is nobody's to lose, but here it is not the question.
            mail.push(b'.');
        }
        mail.push(b'\n');
    }
}

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Of the normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let mut unit = || ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
        let (radius, angle) = (unit(), unit());
        (-2.0 * radius.ln()).sqrt() * (core::f64::consts::TAU * angle).cos()
    }
}
