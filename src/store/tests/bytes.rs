//! What it costs: octets that reach the device, syncs and reads, counted exactly.
//!
//! A device writes whole pages of 4 KiB: each page touched between two syncs counts once, whole.
//! Everything counts: headers, items, summaries, snapshots. The index has rows and entries as
//! long as the mailbox's.

use std::collections::BTreeSet;

use super::*;

const PAGE: u64 = 4096;
/// A row on the medium, its slot included, and the entry that enters it: as the mailbox's are with
/// ten thousand rows.
const ROW: usize = 44;

#[derive(Default)]
struct Counting {
    image: Vec<u8>,
    touched: BTreeSet<u64>,
    written: u64,
    syncs: u64,
    reads: u64,
    read: u64,
}

impl Counting {
    /// Counts from here on.
    fn reset(&mut self) {
        (self.written, self.syncs, self.reads, self.read) = (0, 0, 0, 0);
    }
}

impl Medium for Counting {
    fn capacity(&self) -> u64 {
        self.image.len() as u64
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        buf.copy_from_slice(&self.image[offset as usize..][..buf.len()]);
        self.reads += 1;
        self.read += buf.len() as u64;
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> Result<(), MediumError> {
        self.image[offset as usize..][..octets.len()].copy_from_slice(octets);
        let end = offset + octets.len() as u64;
        self.touched.extend(offset / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        self.written += PAGE * self.touched.len() as u64;
        self.touched.clear();
        self.syncs += 1;
        Ok(())
    }

    fn sync_state(&mut self) -> SyncState {
        SyncState::Done
    }
}

/// Rows by slot; each knows the place of its copy.
#[derive(Default, PartialEq, Debug)]
struct Rows(Vec<[u8; ROW]>);

fn row(slot: usize, place: Place) -> [u8; ROW] {
    let mut entry = [slot as u8; ROW];
    entry[..4].copy_from_slice(&(slot as u32).to_le_bytes());
    entry[4..8].copy_from_slice(&place.0.to_le_bytes());
    entry
}

impl Index for Rows {
    fn clear(&mut self) {
        self.0.clear();
    }

    fn part(&self, cursor: u32, out: &mut [u8]) -> (usize, Option<u32>) {
        let rest = &self.0[cursor as usize..];
        let fit = rest.len().min(out.len() / ROW);
        for (row, room) in rest[..fit].iter().zip(out.chunks_exact_mut(ROW)) {
            room.copy_from_slice(row);
        }
        let next = cursor as usize + fit;
        (fit * ROW, (next < self.0.len()).then_some(next as u32))
    }

    fn restore(&mut self, part: &[u8]) {
        self.0.extend(
            part.chunks(ROW)
                .map(|row| <[u8; ROW]>::try_from(row).unwrap()),
        );
    }

    fn replay(&mut self, entry: &[u8], _: bool) {
        // A change of a fact is shorter, and changes nothing here.
        if let Ok(row) = <[u8; ROW]>::try_from(entry) {
            let slot = u32::from_le_bytes(*row.first_chunk().unwrap()) as usize;
            self.0.resize(self.0.len().max(slot + 1), [0; ROW]);
            self.0[slot] = row;
        }
    }

    fn may_evict(&mut self, _: Extent<'_>) -> bool {
        true
    }

    fn evicted(&mut self, _: Extent<'_>) {}
}

/// A store of 256 MiB, as a gateway has that was told nothing else.
fn with_store(test: impl FnOnce(&mut Store<'_, Counting>, &mut Rows)) {
    let image = vec![0; 256 << 20];
    let geometry = Geometry::for_capacity(256 << 20, 12 << 20).unwrap();
    assert_eq!((geometry.page, geometry.segment), (4096, 4 << 20));
    let mut medium = Counting {
        image,
        ..Counting::default()
    };
    format(&mut medium, &geometry, [5; 16], false).unwrap();
    let mut memory = Memory::new();
    let mut rows = Rows::default();
    let (mut store, _) = mount(medium, memory.space(), &mut rows).unwrap();
    while store.step(&mut rows) {}
    store.medium().reset();
    test(&mut store, &mut rows);
}

/// Stores mails of these sizes in batches: octets and syncs, each for one octet or mail.
fn copy(
    store: &mut Store<'_, Counting>,
    rows: &mut Rows,
    sizes: &[usize],
    batch: usize,
) -> (f64, f64) {
    store.medium().reset();
    let content = content_of(1, 5 << 20);
    for batch in sizes.chunks(batch) {
        for &size in batch {
            let writer = store.begin(&[7; 60]).unwrap();
            let mut done = 0;
            while done < size {
                match store.append(writer, &content[done..size], rows) {
                    Ok(taken) => done += taken,
                    Err(error) => assert_eq!(error, AppendError::Busy),
                }
                while store.step(rows) {}
            }
            let stored = loop {
                match store.finish(writer, rows) {
                    Ok(stored) => break stored,
                    Err(error) => assert_eq!(error, AppendError::Busy),
                }
                while store.step(rows) {}
            };
            let entry = row(rows.0.len(), stored.place);
            store.log(&entry).unwrap();
            rows.replay(&entry, true);
        }
        let ticket = store.commit();
        while store.step(rows) {}
        assert_eq!(store.committed(ticket), Ok(true));
    }
    let payload: usize = sizes.iter().sum();
    let medium = store.medium();
    let cost = medium.written as f64 / payload as f64;
    let syncs = medium.syncs as f64 / sizes.len() as f64;
    std::println!(
        "{} mails by {batch}: {cost:.4} octets, {syncs:.4} syncs",
        sizes.len()
    );
    (cost, syncs)
}

/// Log-normal, median 16 KiB, mean 48 KiB, from 1 KiB to 5 MiB.
fn mix(count: usize) -> Vec<usize> {
    let mut random = Random(77);
    let mut size = || {
        let uniform = |random: &mut Random| random.below(1 << 20) as f64 / f64::from(1 << 20);
        let normal: f64 = (0..12).map(|_| uniform(&mut random)).sum::<f64>() - 6.0;
        ((16384.0 * (normal * 1.48).exp()) as usize).clamp(1024, 5 << 20)
    };
    (0..count).map(|_| size()).collect()
}

/// What a mount of the medium as it is reads, and what it finds.
fn mount_reads(store: &mut Store<'_, Counting>, rows: &Rows) -> u64 {
    let medium = core::mem::take(store.medium());
    let mut memory = Memory::new();
    let mut found = Rows::default();
    let mut borrowed = Borrowed::new(&medium.image);
    borrowed.read = 0;
    let (mut again, mounted) = mount(borrowed, memory.space(), &mut found).unwrap();
    assert!(found == *rows && !mounted.journal_damaged && mounted.rebuilt.is_none());
    let read = again.medium().read;
    std::println!("mount of {} rows: {read} octets", rows.0.len());
    *store.medium() = medium;
    read
}

#[test]
fn ten_thousand_small_mails_in_batches() {
    with_store(|store, rows| {
        let (cost, syncs) = copy(store, rows, &[4096; 10_000], 8);
        assert!(cost <= 1.16 && syncs <= 0.13);
        // Cut here, and stopped cleanly.
        assert!(mount_reads(store, rows) <= 600_000);
        store.take_snapshot();
        while store.step(rows) {}
        assert!(mount_reads(store, rows) <= 600_000);
    });
}

#[test]
fn ten_thousand_small_mails_one_by_one() {
    with_store(|store, rows| {
        let (cost, syncs) = copy(store, rows, &[4096; 10_000], 1);
        assert!(cost <= 2.05 && syncs <= 1.0);
        assert!(mount_reads(store, rows) <= 600_000);
    });
}

#[test]
fn mails_of_all_sizes() {
    let sizes = mix(500);
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((40_000..56_000).contains(&mean), "{mean}");
    with_store(|store, rows| {
        let (cost, syncs) = copy(store, rows, &sizes, 1);
        assert!(cost <= 1.07 && syncs <= 1.0);
    });
    with_store(|store, rows| {
        let (cost, syncs) = copy(store, rows, &sizes, 8);
        assert!(cost <= 1.03 && syncs <= 0.13);
    });
}

#[test]
fn a_change_of_a_fact() {
    with_store(|store, rows| {
        copy(store, rows, &[4096; 100], 8);
        for group in [1, 64] {
            store.medium().reset();
            for change in 0..group {
                store.log(&[1, change, 2, 3, 4, 5, 6]).unwrap();
            }
            store.commit();
            while store.step(rows) {}
            assert_eq!((store.medium().written, store.medium().syncs), (4096, 1));
        }
        // Nothing changed: nothing is written.
        store.medium().reset();
        store.commit();
        while store.step(rows) {}
        assert_eq!((store.medium().written, store.medium().syncs), (0, 0));
    });
}

#[test]
fn a_fetch_of_a_small_mail_is_one_read() {
    with_store(|store, rows| {
        copy(store, rows, &[4096; 40], 8);
        copy(store, rows, &[4096; 4], 1);
        let mut places: Vec<_> = rows
            .0
            .iter()
            .map(|row| Place(u32::from_le_bytes(row[4..8].try_into().unwrap())))
            .collect();
        // Each by itself: the one before lies elsewhere.
        for &place in places.iter().rev() {
            store.medium().reset();
            fetch(store, place);
            assert_eq!(store.medium().reads, 1);
            assert!(store.medium().read <= 8192);
        }
        // One behind the other: what was read beyond a mail is the next one's.
        places.sort_unstable();
        store.medium().reset();
        for &place in &places {
            fetch(store, place);
        }
        let (reads, read) = (store.medium().reads, store.medium().read);
        assert!(reads <= places.len() as u64 / 10, "{reads}");
        assert!(read <= 8192 * places.len() as u64, "{read}");
    });
}

/// Reads a mail of 4096 octets, as for a caller.
fn fetch(store: &mut Store<'_, Counting>, place: Place) {
    assert_eq!(store.head(place, &mut [0; 256]), Ok(60));
    let mut reader = store.open(place).unwrap();
    let mut verifier = store.verifier(&reader);
    let verified = store.verify(&mut verifier, usize::MAX).unwrap().unwrap();
    assert_eq!(verified.octets, 4096);
    let mut sent = Vec::new();
    while sent.len() < 4096 {
        let mut buf = [0; 700];
        let count = store
            .read(&mut reader, sent.len() as u64, &mut buf)
            .unwrap();
        sent.extend_from_slice(&buf[..count]);
    }
    assert_eq!(sent, content_of(1, 4096));
}
