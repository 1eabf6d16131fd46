//! Structures that are sound by themselves but belong elsewhere: no cut leaves them, a medium that
//! mixes up its units, or loses a claim, may.

use super::*;
use crate::store::record::{Kind, Record};

#[test]
pub(super) fn an_item_that_fits_but_for_one_field_is_not_taken() {
    let mut memory = Memory::new();
    let script = [Action::Set(0, 1), Action::Drain, Action::Set(1, 2)];
    let outcome = session(
        &mut memory,
        formatted(&tiny()),
        Ledger::default(),
        &[script, [Action::Drain, Action::Set(2, 3), Action::Drain]].concat(),
    );
    let image = outcome.medium.image();
    let geometry = tiny();
    let mut ledger = Ledger::default();
    let mounted = mount(Borrowed::new(image), memory.space(), &mut ledger);
    let (store, mounted) = mounted.unwrap();
    let (key, end, page) = (store.key, store.item, store.journal.page);
    // The last life's is one less than the one that this mount would write under.
    let epoch = mounted.epoch - 1;
    let row = Row {
        value: 77,
        copy: None,
    };
    // Number, checksum of the one before, page, epoch: how much each is beside what is due.
    let cases = [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, geometry.journal, 0],
        [0, 0, 0, 1],
    ];
    for beside in cases {
        let [number, previous, later, earlier] = beside;
        let number = end.number + u64::from(number);
        let mut item = Open::new(number, end.previous ^ previous, end.settled);
        let mut octets = [0; 128];
        item.push(&mut octets, &encode(5, row), false);
        let of = (key, epoch - earlier);
        item.seal(of, page + u64::from(later), &mut octets);
        let mut image = image.to_vec();
        image[geometry.journal_at(page) as usize..][..128].copy_from_slice(&octets);
        let mut found = Ledger::default();
        mount(Borrowed::new(&image), memory.space(), &mut found).unwrap();
        let taken = found.rows[5] == row;
        assert_eq!(taken, beside == [0; 4], "{beside:?}");
    }
}

#[test]
pub(super) fn a_rebuilt_index_goes_on_behind_all_that_came_before_it() {
    let mut memory = Memory::new();
    // All in the first segment, the first item as well: it names no other before it, nor does the
    // first one after the index was rebuilt.
    let script = [
        Action::Store(vec![(0, 30)]),
        Action::Drain,
        Action::Set(1, 1),
        Action::Drain,
        Action::Store(vec![(2, 30)]),
        Action::Snapshot,
        Action::Drain,
    ];
    let large = Geometry {
        page: 256,
        superblock: 256,
        config: 512,
        snapshot: 5 * 256,
        segment: 4096,
        ..tiny()
    };
    let outcome = session(&mut memory, formatted(&large), Ledger::default(), &script);
    let mut image = outcome.medium.image().to_vec();
    // The snapshot, and the journal: nothing but the ring is left.
    let from = large.snapshot_at(false) as usize;
    image[from..large.ring_at() as usize].fill(0x55);
    let mut before = Ledger::default();
    for life in 0..4 {
        let mut ledger = Ledger::default();
        let medium = SimMedium::from_image(image);
        let (mut store, mounted) = mount(medium, memory.space(), &mut ledger).unwrap();
        assert_eq!(mounted.rebuilt.is_some(), life == 0);
        if life > 0 {
            assert_eq!(ledger.rows, before.rows, "life {life}");
        }
        let row = Row {
            value: 100 + life,
            ..ledger.rows[0]
        };
        while store.log(&encode(0, row)) == Err(StoreError::Busy) {
            store.step(&mut ledger);
        }
        ledger.rows[0] = row;
        store.commit();
        while store.step(&mut ledger) {}
        assert_eq!(store.usage().written, 1);
        before = ledger;
        image = store.into_medium().image().to_vec();
    }
}

/// A segment has room for three chunks.
const CHUNKS: Geometry = Geometry {
    segment: 2048,
    ..tiny()
};

/// A copy of three chunks in an image, and where the records of its chunks stand.
fn three_chunks(memory: &mut Memory) -> (Vec<u8>, Row, [usize; 3]) {
    let script = [Action::Store(vec![(0, 500)]), Action::Drain];
    let outcome = session(memory, formatted(&CHUNKS), Ledger::default(), &script);
    let image = outcome.medium.image().to_vec();
    let row = outcome.ledger.rows[0];
    let (segment, mut offset) = ring::locate(&CHUNKS, Place(row.copy.unwrap().place)).unwrap();
    let key = Key::new(b"a key of 16 octe");
    let records = core::array::from_fn(|_| {
        let at = ring::offset_at(&CHUNKS, segment, offset) as usize;
        offset += Record::decode(key, &image[at..]).unwrap().span();
        at
    });
    (image, row, records)
}

/// Reads and verifies the copy of `row`: both as far as they come.
fn read_all(memory: &mut Memory, image: &[u8], row: Row) -> (Vec<u8>, [Option<Damaged>; 2]) {
    let mounted = mount(Borrowed::new(image), memory.space(), &mut Ledger::default());
    let mut store = mounted.unwrap().0;
    let mut reader = store.open(Place(row.copy.unwrap().place)).unwrap();
    let mut verifier = store.verifier(&reader);
    let verified = (0..100).find_map(|_| store.verify(&mut verifier, 64));
    let mut content = Vec::new();
    let read = loop {
        let mut buf = [0; 50];
        match store.read(&mut reader, content.len() as u64, &mut buf) {
            Ok(0) => break None,
            Ok(count) => content.extend_from_slice(&buf[..count]),
            Err(damaged) => break Some(damaged),
        }
    };
    (content, [read, verified.unwrap().err()])
}

#[test]
pub(super) fn a_chunk_of_other_content_in_place_of_one_is_seen_by_the_whole() {
    let mut memory = Memory::new();
    let (mut image, row, [_, second, _]) = three_chunks(&mut memory);
    let (_, whole) = read_all(&mut memory, &image, row);
    assert_eq!(whole, [None, None]);
    let key = Key::new(b"a key of 16 octe");
    let mut record = Record::decode(key, &image[second..]).unwrap();
    let content = second + 64..second + 64 + record.length as usize;
    image[content.start] ^= 1;
    record.sum = key.sum(&image[content]);
    image[second..second + 64].copy_from_slice(&record.encode(key));
    let (_, spoilt) = read_all(&mut memory, &image, row);
    assert_eq!(spoilt[1], Some(Damaged::Corrupt));
}

#[test]
pub(super) fn a_chunk_that_is_missing_is_not_passed_over() {
    let mut memory = Memory::new();
    let (image, row, [first, second, third]) = three_chunks(&mut memory);
    let key = Key::new(b"a key of 16 octe");
    for at in [second, third] {
        let mut image = image.clone();
        let mut record = Record::decode(key, &image[at..]).unwrap();
        record.kind = Kind::Pad;
        image[at..at + 64].copy_from_slice(&record.encode(key));
        let (content, damaged) = read_all(&mut memory, &image, row);
        assert_eq!(damaged, [Some(Damaged::Torn); 2]);
        let before = (at - first) / (third - second) * 192;
        assert!(content.len() <= before, "{} octets", content.len());
    }
}
