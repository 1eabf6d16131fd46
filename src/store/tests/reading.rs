//! What is read of copies while the medium rots under the reader: never a wrong octet.

use super::*;

/// A medium that is only read, and rots.
struct Rotten {
    image: Vec<u8>,
    /// No reading that touches any of these succeeds.
    unreadable: Range<u64>,
    /// Octets read.
    read: u64,
}

impl Medium for Rotten {
    fn capacity(&self) -> u64 {
        self.image.len() as u64
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), MediumError> {
        let end = offset + buf.len() as u64;
        if offset < self.unreadable.end && end > self.unreadable.start {
            return Err(MediumError::Failed(5));
        }
        buf.copy_from_slice(&self.image[offset as usize..end as usize]);
        self.read += buf.len() as u64;
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), MediumError> {
        unreachable!("nothing is written")
    }

    fn sync(&mut self) -> Result<(), MediumError> {
        unreachable!("nothing is written")
    }

    fn sync_state(&mut self) -> SyncState {
        SyncState::Done
    }
}

/// Small segments of small chunks, and such as a gateway has; with the lengths of copies that are
/// written side by side.
fn rings() -> [(Geometry, Vec<usize>); 2] {
    let small = Geometry {
        segments: 16,
        ..tiny()
    };
    let large = Geometry {
        page: 4096,
        superblock: 4096,
        config: 4096,
        snapshot: 5 * 4096,
        journal: 8,
        segment: 256 * 1024,
        segments: 8,
        chunk: 16 * 1024,
    };
    [
        (small, vec![0, 1, 191, 700, 1500, 2000]),
        (large, vec![0, 4096, 16_384, 40_000, 100_000, 300_000]),
    ]
}

/// A ring with copies of these lengths on it, written side by side.
fn with_copies(
    geometry: &Geometry,
    lengths: &[usize],
    test: impl FnOnce(&mut Store<'_, Rotten>, Vec<(Kept, Vec<u8>)>),
) {
    let copies = lengths.iter().copied().enumerate();
    let script = [Action::Store(copies.collect()), Action::Drain];
    with_script(geometry, &script, |store, copies| {
        assert_eq!(copies.len(), lengths.len());
        test(store, copies);
    });
}

/// A ring with the copies of a script on it, as a mount finds it.
fn with_script(
    geometry: &Geometry,
    script: &[Action],
    test: impl FnOnce(&mut Store<'_, Rotten>, Vec<(Kept, Vec<u8>)>),
) {
    let mut memory = Memory::new();
    let medium = formatted(geometry);
    let outcome = session(&mut memory, medium, Ledger::default(), script);
    let mut ledger = Ledger::default();
    let medium = Rotten {
        image: outcome.medium.image().to_vec(),
        unreadable: 0..0,
        read: 0,
    };
    let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
    let copies: Vec<_> = ledger
        .rows
        .iter()
        .filter_map(|row| row.copy)
        .map(|kept| (kept, content_of(kept.seed, kept.length as usize)))
        .collect();
    test(&mut store, copies);
}

/// The whole copy, verified and then read.
fn verified(store: &mut Store<'_, Rotten>, kept: Kept, step: usize) -> Result<Vec<u8>, Damaged> {
    let mut reader = store.open(Place(kept.place))?;
    let mut verifier = store.verifier(&reader);
    let stored = loop {
        if let Some(stored) = store.verify(&mut verifier, step) {
            break stored?;
        }
    };
    assert_eq!(
        (stored.octets, stored.crc),
        (u64::from(kept.length), kept.crc)
    );
    let mut all = Vec::new();
    let mut buf = vec![0; step];
    while all.len() < kept.length as usize {
        let count = store.read(&mut reader, all.len() as u64, &mut buf)?;
        all.extend_from_slice(&buf[..count]);
    }
    Ok(all)
}

#[test]
pub(super) fn copies_side_by_side_are_read_in_pieces_of_every_size() {
    for (geometry, lengths) in rings() {
        with_copies(&geometry, &lengths, |store, copies| {
            for step in (1..64).chain([700, 4096, 8192, 20_000]) {
                for (kept, expected) in &copies {
                    if kept.length as usize / step < 10_000 {
                        assert!(
                            verified(store, *kept, step).as_ref() == Ok(expected),
                            "{step}"
                        );
                    }
                }
            }
        });
    }
}

/// As a lone caller reads, one mail behind the other: what was verified is not read again, and what
/// was read beyond a mail is the next one's.
#[test]
pub(super) fn copies_that_fit_in_memory_are_read_once() {
    let (geometry, _) = rings()[1].clone();
    let lengths = [
        23_000, 100, 47_000, 4096, 16_384, 30_000, 1, 700, 12_000, 20_000, 45_000,
    ];
    let script: Vec<_> = lengths
        .iter()
        .enumerate()
        .flat_map(|(slot, &length)| [Action::Store(vec![(slot, length)]), Action::Drain])
        .collect();
    with_script(&geometry, &script, |store, copies| {
        let (mut octets, before) = (0, store.medium().read);
        for (kept, _) in &copies {
            let mut reader = store.open(Place(kept.place)).unwrap();
            let mut verifier = store.verifier(&reader);
            assert!(store.verify(&mut verifier, usize::MAX).unwrap().is_ok());
            let read = store.medium().read;
            for offset in (0..kept.length).step_by(100) {
                store
                    .read(&mut reader, offset.into(), &mut [0; 100])
                    .unwrap();
            }
            assert_eq!(store.medium().read, read, "{kept:?}");
            octets += u64::from(kept.length);
        }
        let read = store.medium().read - before;
        assert!(read < octets * 3 / 2, "{read} of {octets}");
    });
}

/// Readers of all copies in turns, each a piece at a time, and the medium rots between any two of
/// them: each piece is right, or the reader is told.
#[test]
pub(super) fn no_octet_is_wrong_whenever_the_medium_rots() {
    for (geometry, lengths) in rings() {
        with_copies(&geometry, &lengths, |store, copies| {
            let sound = store.medium().image.clone();
            let mut random = Random(8);
            let (mut told, mut whole) = (0, 0);
            for round in 0..200 {
                store.medium().image.copy_from_slice(&sound);
                let mut readers: Vec<_> = copies
                    .iter()
                    .map(|(kept, _)| {
                        let reader = store.open(Place(kept.place)).ok()?;
                        Some((reader, store.verifier(&reader), 0))
                    })
                    .collect();
                let pieces = 1 << (4 + round % 12);
                for _ in 0..3000 {
                    if random.below(100) == 0 {
                        let at = geometry.ring_at() as usize;
                        let at = at + random.below(sound.len() - at);
                        store.medium().image[at] ^= 1 << random.below(8);
                    }
                    let which = random.below(readers.len());
                    let Some((reader, verifier, at)) = &mut readers[which] else {
                        continue;
                    };
                    let (kept, expected) = &copies[which];
                    if random.below(3) == 0 {
                        match store.verify(verifier, 1 + random.below(pieces)) {
                            Some(Ok(stored)) => {
                                assert_eq!(stored.crc, kept.crc);
                                *verifier = store.verifier(reader);
                            }
                            Some(Err(_)) => *verifier = store.verifier(reader),
                            None => {}
                        }
                        continue;
                    }
                    let mut buf = vec![0; 1 + random.below(pieces)];
                    match store.read(reader, *at as u64, &mut buf) {
                        Ok(count) => {
                            assert!(buf[..count] == expected[*at..*at + count], "{round}");
                            *at += count;
                        }
                        Err(_) => {
                            told += 1;
                            readers[which] = None;
                            continue;
                        }
                    }
                    if *at == expected.len() {
                        whole += 1;
                        *at = 0;
                    }
                }
            }
            assert!(told > 50 && whole > 50, "{told} {whole}");
        });
    }
}

/// A piece that the medium cannot read takes nothing with it but the copies that lie in it.
#[test]
pub(super) fn what_cannot_be_read_takes_no_other_copy_with_it() {
    for (geometry, lengths) in rings() {
        with_copies(&geometry, &lengths, |store, copies| {
            let unit = u64::from(geometry.page);
            let mut lost = 0;
            for at in (geometry.ring_at()..store.medium().capacity()).step_by(unit as usize) {
                store.medium().unreadable = at..at + unit;
                for (kept, expected) in &copies {
                    let step = 8192;
                    match verified(store, *kept, step) {
                        Ok(read) => assert!(read == *expected),
                        Err(damaged) => {
                            assert_eq!(damaged, Damaged::Unreadable);
                            let (segment, offset) =
                                ring::locate(&geometry, Place(kept.place)).unwrap();
                            let begin = ring::offset_at(&geometry, segment, offset);
                            assert!(at + unit > begin, "what lies before it is not asked for");
                            lost += 1;
                        }
                    }
                }
            }
            assert!(lost > 0);
        });
    }
}
