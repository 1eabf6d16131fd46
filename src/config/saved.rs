//! The configuration as the store keeps it, and which one holds.
//!
//! On a card there are two: the file that the owner wrote on it (the offered one), and the one that
//! the store keeps. The offered one replaces the kept one once, whenever it is another than the one
//! that was taken in last; what was saved at the console since then would be lost otherwise at
//! every start. So what is kept begins with the mark of the file it came from:
//!
//! ```text
//! # taken in: 9ae0daaf
//! line modem device /dev/ttyACM0
//! ```
//!
//! The mark is a checksum, and no secret: the owner changes files, no attacker.

use core::fmt::Write;

use crc::{CRC_32_ISCSI, Crc};
use heapless::String;

use super::{Config, LINE_OCTETS, Secrets, TEXT_OCTETS};

/// Octets of the first line.
const MARK_OCTETS: usize = 21;
/// The most that is kept.
pub const OCTETS: usize = MARK_OCTETS + TEXT_OCTETS;
const BEFORE_MARK: &str = "# taken in: ";

/// The mark of a configuration that is offered; 0 is none.
#[must_use]
pub fn mark(offered: &str) -> u32 {
    Crc::<u32>::new(&CRC_32_ISCSI)
        .checksum(offered.as_bytes())
        .max(1)
}

/// What is to be kept of `config`, where the offered one of that mark was taken in last.
#[must_use]
pub fn text(config: &Config, mark: u32) -> String<OCTETS> {
    let mut text = String::new();
    // There is room: a configuration is never longer than its text may be.
    let _ = writeln!(text, "{BEFORE_MARK}{mark:08x}");
    let mut line = String::<LINE_OCTETS>::new();
    let mut n = 0;
    while config.line(n, Secrets::Shown, &mut line) {
        let _ = writeln!(text, "{line}");
        n += 1;
    }
    text
}

/// The mark that `kept` begins with; 0 if with none.
#[must_use]
pub fn mark_of(kept: &str) -> u32 {
    let mark = kept
        .strip_prefix(BEFORE_MARK)
        .and_then(|rest| rest.get(..8));
    mark.and_then(|mark| u32::from_str_radix(mark, 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn what_is_kept_gives_the_same_again() {
        let offered = "line modem device /dev/ttyACM0\nuser add a password b # c\n";
        let config = check(offered, |_, error| panic!("{error}"));
        let kept = text(&config, mark(offered));
        assert_eq!(mark_of(&kept), mark(offered));
        assert_eq!(check(&kept, |_, error| panic!("{error}")), config);
        assert_eq!(kept.lines().next().unwrap().len() + 1, MARK_OCTETS);
    }

    #[test]
    fn any_change_of_the_file_is_another_mark() {
        let offered = "line modem device /dev/ttyACM0\n";
        for at in 0..offered.len() {
            let (before, after) = offered.split_at(at);
            for changed in [before.to_string(), format!("{before} {after}")] {
                assert_ne!(mark(&changed), mark(offered));
            }
        }
        assert_ne!(mark(""), 0);
    }

    #[test]
    fn what_has_no_mark_was_never_taken_in() {
        for kept in [
            "",
            "# taken in: ",
            "# taken in: xyz",
            "line",
            "# taken in: 1234567\u{e4}",
        ] {
            assert_eq!(mark_of(kept), 0, "{kept}");
        }
    }
}
