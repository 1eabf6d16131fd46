//! What two modems agreed on to keep noise off the line, and to press what they send.
//!
//! Told behind `CONNECT`, or in lines of its own before it: `+ER` and `+DR` (V.250 §6.5.5,
//! §6.6.2), `PROTOCOL` and `COMPRESSION` (Rockwell and Conexant).

use core::fmt;

/// Error correction and compression of a connection, as far as the modem told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// How errors are corrected.
    pub correction: Correction,
    /// How data are pressed.
    pub compression: Compression,
}

/// Error correction between two modems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Correction {
    /// None, or none was told.
    #[default]
    None,
    /// One that was not named, or has no name here.
    Some,
    /// V.42.
    Lapm,
    /// MNP 2 to 4, V.42's alternative.
    Mnp,
    /// The radio link protocol of GSM.
    Rlp,
}

/// Compression between two modems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None, or none was told.
    #[default]
    None,
    /// V.42bis.
    V42bis,
    /// V.44.
    V44,
    /// MNP 5.
    Mnp5,
}

impl Protocol {
    /// What `text`, behind `CONNECT` or `PROTOCOL`, names.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let mut protocol = Self {
            correction: Correction::None,
            compression: Compression::named(text),
        };
        for word in words(text) {
            let named = row(CORRECTIONS, word).unwrap_or_default();
            protocol = protocol.and(named.into());
        }
        protocol
    }

    /// This and what else was told; of two names for the same the first stands.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let correction = match self.correction {
            Correction::None => other.correction,
            Correction::Some if other.correction != Correction::None => other.correction,
            told => told,
        };
        let compression = match self.compression {
            Compression::None => other.compression,
            told => told,
        };
        Self {
            correction,
            compression,
        }
    }

    /// Whether no noise comes through.
    #[must_use]
    pub fn is_corrected(self) -> bool {
        self.correction != Correction::None
    }

    /// The number that stands for it in the log of calls: persisted, so none ever changes.
    #[must_use]
    pub fn freeze(self) -> u8 {
        let correction = match self.correction {
            Correction::None => 0,
            Correction::Some => 1,
            Correction::Lapm => 2,
            Correction::Mnp => 3,
            Correction::Rlp => 4,
        };
        let compression = match self.compression {
            Compression::None => 0,
            Compression::V42bis => 1,
            Compression::V44 => 2,
            Compression::Mnp5 => 3,
        };
        correction | compression << 4
    }

    /// What a number of the log stands for; a number of a later program's is told as far as it is
    /// known.
    #[must_use]
    pub fn thaw(number: u8) -> Self {
        let correction = match number & 0xf {
            0 => Correction::None,
            2 => Correction::Lapm,
            3 => Correction::Mnp,
            4 => Correction::Rlp,
            _ => Correction::Some,
        };
        let compression = match number >> 4 {
            1 => Compression::V42bis,
            2 => Compression::V44,
            3 => Compression::Mnp5,
            _ => Compression::None,
        };
        Self {
            correction,
            compression,
        }
    }
}

impl From<Correction> for Protocol {
    fn from(correction: Correction) -> Self {
        Self {
            correction,
            ..Self::default()
        }
    }
}

impl From<Compression> for Protocol {
    fn from(compression: Compression) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }
}

impl Compression {
    /// What `text`, behind `COMPRESSION` or in what follows `CONNECT`, names.
    #[must_use]
    pub fn named(text: &str) -> Self {
        let named = words(text).find_map(|word| row(COMPRESSIONS, word));
        named.unwrap_or_default()
    }
}

/// At most 12 columns wide; nothing if nothing was told.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let correction = match self.correction {
            Correction::None => "",
            // As most modems write it: automatic repeat request.
            Correction::Some => "ARQ",
            Correction::Lapm => "LAPM",
            Correction::Mnp => "MNP",
            Correction::Rlp => "RLP",
        };
        let compression = match self.compression {
            Compression::None => "",
            Compression::V42bis => "V.42bis",
            Compression::V44 => "V.44",
            Compression::Mnp5 => "MNP5",
        };
        f.write_str(correction)?;
        if !correction.is_empty() && !compression.is_empty() {
            f.write_str("/")?;
        }
        f.write_str(compression)
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '/', ',', ':'])
}

/// The meaning of the first row that `word` begins with.
fn row<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    let mut rows = table.iter();
    let begins = |(name, _): &&(&str, T)| super::starts(word, name).is_some();
    rows.find(begins).map(|(_, meaning)| *meaning)
}

/// Words that begin so name a protocol that corrects errors. V.42bis is spoken over V.42.
const CORRECTIONS: &[(&str, Correction)] = &[
    ("LAPM", Correction::Lapm),
    ("ARQ", Correction::Some),
    ("V42", Correction::Lapm),
    ("V.42", Correction::Lapm),
    ("MNP", Correction::Mnp),
    // V.42's alternative procedure.
    ("ALT", Correction::Mnp),
    ("RLP", Correction::Rlp),
    ("EC", Correction::Some),
];

/// Words that begin so name a compression.
const COMPRESSIONS: &[(&str, Compression)] = &[
    ("V42B", Compression::V42bis),
    ("V.42B", Compression::V42bis),
    ("V44", Compression::V44),
    ("V.44", Compression::V44),
    ("MNP5", Compression::Mnp5),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modems_say_of_a_connection() {
        for (text, expected) in [
            ("", ""),
            ("33600", ""),
            ("2400/NONE", ""),
            ("28800/ARQ", "ARQ"),
            ("28800/ARQ/VFC/LAPM/V42BIS", "LAPM/V.42bis"),
            ("38400/V.32bis 14400/V.42bis", "LAPM/V.42bis"),
            ("49333/V90/LAPM/V44/31200:TX", "LAPM/V.44"),
            ("14400/MNP5", "MNP/MNP5"),
            ("14400/arq/mnp", "MNP"),
            ("14400/ALT", "MNP"),
            ("9600/RLP", "RLP"),
        ] {
            let protocol = Protocol::named(text);
            assert_eq!(format!("{protocol}"), expected, "{text}");
            assert_eq!(protocol.is_corrected(), !expected.is_empty());
        }
    }

    #[test]
    fn numbers_stand_for_one_protocol_each_and_never_change() {
        let golden = [
            ("LAPM/V.42bis", 0x12),
            ("ARQ", 0x01),
            ("MNP/MNP5", 0x33),
            ("LAPM/V.44", 0x22),
            ("RLP", 0x04),
            ("", 0x00),
        ];
        for (words, number) in golden {
            let protocol = Protocol::thaw(number);
            assert_eq!(format!("{protocol}"), words);
            assert_eq!(protocol.freeze(), number);
        }
        for number in 0..=u8::MAX {
            let protocol = Protocol::thaw(number);
            assert_eq!(Protocol::thaw(protocol.freeze()), protocol);
            assert!(format!("{protocol}").len() <= 12);
        }
    }

    #[test]
    fn what_is_told_in_pieces_adds_up() {
        let told = |lines: &[Protocol]| lines.iter().fold(Protocol::default(), |a, b| a.and(*b));
        let both = Protocol::named("9600/LAPM/V42BIS");
        let pieces = [Correction::Lapm.into(), Compression::V42bis.into()];
        assert_eq!(told(&pieces), both);
        let vague = Protocol::named("115200/ARQ");
        assert_eq!(told(&[pieces[0], pieces[1], vague]), both);
        assert_eq!(told(&[vague, pieces[1], pieces[0]]), both);
    }
}
