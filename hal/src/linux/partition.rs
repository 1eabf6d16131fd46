//! The ring's partition on a card: at the first start it takes what the image did not know of.
//!
//! An image is smaller than the card it is written to. Its partition table (MBR) has two entries,
//! the second of them for the ring:
//!
//! ```text
//!   446  entry 1: boot files      16
//!   462  entry 2: the ring        16     status 1, CHS 3, type DA, CHS of its end 3, start 4, sectors 4
//!   478  entries 3 and 4: zeros   32
//!   510  55 AA
//! ```
//!
//! The table is one sector, which a card writes whole or not at all: a power cut leaves the old
//! table or the new one, and both are good. Nothing is done once a ring has been made there, for a
//! store keeps the size it was made with.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Octets of a sector; the table is the first of them.
const SECTOR: usize = 512;
/// Where the entry of the ring lies.
const ENTRY: usize = 462;
/// The type of a partition that no system looks into.
const RAW_DATA: u8 = 0xda;
/// The largest ring, 64 GiB, in sectors.
const LARGEST: u64 = (64 << 30) / SECTOR as u64;
/// Sectors of 1 MiB: where a partition should end.
const ALIGNMENT: u64 = 2048;
/// Octets at the start of the ring's partition that are zeros before a ring is made there.
const BLANK: usize = 4096;

/// Gives the ring's partition on `disk` the rest of it, durably. True if it was smaller before: the
/// kernel must then read the table anew.
///
/// # Errors
/// What could not be read or written, or why the table is not one of ours, in words.
pub fn grow(disk: &Path) -> Result<bool, String> {
    let words = |error: io::Error| format!("{}: {error}", disk.display());
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(disk)
        .map_err(words)?;
    let mut table = [0; SECTOR];
    file.read_exact(&mut table).map_err(words)?;
    let octets = file.seek(SeekFrom::End(0)).map_err(words)?;
    let entry = Entry::of(&table)
        .ok_or_else(|| format!("{}: no partition for a ring as the second", disk.display()))?;
    let Some(grown) = entry.grown(octets / SECTOR as u64) else {
        return Ok(false);
    };
    if !is_blank(&mut file, u64::from(entry.start) * SECTOR as u64).map_err(words)? {
        return Ok(false);
    }
    grown.put(&mut table);
    file.seek(SeekFrom::Start(0)).map_err(words)?;
    file.write_all(&table).map_err(words)?;
    file.sync_all().map_err(words)?;
    Ok(true)
}

fn is_blank(file: &mut File, at: u64) -> io::Result<bool> {
    let mut octets = [0; BLANK];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut octets)?;
    Ok(octets.iter().all(|&octet| octet == 0))
}

/// The entry of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u32,
    sectors: u32,
}

impl Entry {
    /// Reads it; `None` if this is no such table.
    fn of(table: &[u8; SECTOR]) -> Option<Self> {
        let number = |at: usize| {
            let octets = table.get(at..at + 4)?;
            Some(u32::from_le_bytes(octets.try_into().ok()?))
        };
        let signed = table.ends_with(&[0x55, 0xaa]);
        let ours = table.get(ENTRY + 4) == Some(&RAW_DATA);
        let last = table.get(ENTRY + 16..510)?.iter().all(|&octet| octet == 0);
        let entry = Self {
            start: number(ENTRY + 8)?,
            sectors: number(ENTRY + 12)?,
        };
        (signed && ours && last && entry.start > 0 && entry.sectors > 0).then_some(entry)
    }

    /// With the rest of a disk of so many sectors, if that is more.
    fn grown(self, disk: u64) -> Option<Self> {
        let start = u64::from(self.start);
        let end = disk / ALIGNMENT * ALIGNMENT;
        let sectors = end.checked_sub(start)?.min(LARGEST);
        let sectors = u32::try_from(sectors).ok()?;
        (sectors > self.sectors).then_some(Self { sectors, ..self })
    }

    fn put(self, table: &mut [u8; SECTOR]) {
        let mut put = |at: usize, octets: &[u8]| {
            if let Some(place) = table.get_mut(ENTRY + at..ENTRY + at + octets.len()) {
                place.copy_from_slice(octets);
            }
        };
        // The end in cylinders, heads and sectors: beyond what these can say.
        put(5, &[0xfe, 0xff, 0xff]);
        put(8, &self.start.to_le_bytes());
        put(12, &self.sectors.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A card of `mib` MiB whose image had a ring of 8 MiB from 16 MiB on.
    fn card(name: &str, mib: u64) -> std::path::PathBuf {
        let path = super::super::scratch(name).join("card");
        let mut table = [0; SECTOR];
        table[446 + 4] = 0x0c;
        table[446 + 8] = 1;
        table[446 + 12] = 1;
        table[ENTRY + 4] = RAW_DATA;
        table[510..].copy_from_slice(&[0x55, 0xaa]);
        let entry = Entry {
            start: 16 * 2048,
            sectors: 8 * 2048,
        };
        entry.put(&mut table);
        fs::write(&path, table).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(mib << 20).unwrap();
        path
    }

    fn table(path: &Path) -> [u8; SECTOR] {
        fs::read(path).unwrap()[..SECTOR].try_into().unwrap()
    }

    #[test]
    fn the_ring_takes_the_rest_of_the_card_once() {
        let card = card("grow", 100);
        let before = table(&card);
        assert_eq!(grow(&card), Ok(true));
        let after = table(&card);
        assert_eq!(Entry::of(&after).unwrap().sectors, (100 - 16) * 2048);
        // Nothing but the length is another.
        for at in (0..SECTOR).filter(|at| !(ENTRY + 12..ENTRY + 16).contains(at)) {
            assert_eq!(before[at], after[at], "octet {at}");
        }
        assert_eq!(grow(&card), Ok(false), "it has all of it");
        fs::remove_dir_all(card.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_ring_that_is_there_keeps_its_size() {
        for at in [0, 7, BLANK - 1] {
            let card = card(&format!("ring-{at}"), 100);
            let mut file = OpenOptions::new().write(true).open(&card).unwrap();
            file.seek(SeekFrom::Start((16 << 20) + at as u64)).unwrap();
            file.write_all(b"x").unwrap();
            let before = table(&card);
            assert_eq!(grow(&card), Ok(false));
            assert_eq!(table(&card), before);
            fs::remove_dir_all(card.parent().unwrap()).unwrap();
        }
    }

    #[test]
    fn what_is_no_table_of_ours_is_left_alone() {
        let card = card("foreign", 100);
        let good = table(&card);
        // Type, signature, and every octet of the entries behind.
        let others = (478..512).chain([ENTRY + 4]);
        for at in others {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(Entry::of(&bad), None, "octet {at}");
        }
        let mut empty = good;
        empty[ENTRY + 8..ENTRY + 16].fill(0);
        assert_eq!(Entry::of(&empty), None);
        assert!(grow(Path::new("/dev/null")).is_err());
        fs::remove_dir_all(card.parent().unwrap()).unwrap();
    }

    #[test]
    fn it_grows_within_bounds_and_never_shrinks() {
        let entry = Entry {
            start: 4096,
            sectors: 2048,
        };
        let grown = |disk: u64| entry.grown(disk).map(|it| it.sectors);
        for disk in 0..4096 + 2 * 2048 {
            assert_eq!(grown(disk), None, "{disk}");
        }
        assert_eq!(grown(4096 + 2 * 2048), Some(2 * 2048));
        assert_eq!(grown(4096 + 3 * 2048 - 1), Some(2 * 2048));
        for disk in [LARGEST + 4096, u64::from(u32::MAX) * 2, u64::MAX] {
            assert_eq!(grown(disk).map(u64::from), Some(LARGEST));
        }
    }
}
