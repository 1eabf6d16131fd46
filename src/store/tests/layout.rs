//! The octets of the format, frozen: a test here that turns red is a new format version.

use super::*;
use crate::store::record::{Continued, Kind, Record, SegmentHeader};
use crate::store::snapshot::Header;

const KEY: &[u8; 16] = b"0123456789abcdef";

/// The octets without the zeros at their end, and how many there are in all.
fn hex(octets: &[u8]) -> String {
    let end = octets.iter().rposition(|&octet| octet != 0);
    let octets_there = &octets[..end.map_or(0, |end| end + 1)];
    let text: String = octets_there.iter().map(|o| format!("{o:02x}")).collect();
    format!("{text}+{}", octets.len())
}

#[test]
pub(super) fn superblock() {
    let superblock = superblock::Superblock {
        geometry: tiny(),
        key: *KEY,
    };
    assert_eq!(
        hex(&superblock.encode()),
        "72696e676d61696c0100000080000000800000000001000080020000080000000004000006000000c00000003031323334353637383961626364656600000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000a4ff6980+128"
    );
}

#[test]
pub(super) fn record() {
    let mut record = Record {
        kind: Kind::Chunk {
            first: true,
            last: true,
        },
        head: 0x0102 - 3,
        epoch: 0x0304_0506,
        serial: 0x0708_090A,
        index: 0x0B0C_0D0E,
        length: 0x0000_1011,
        segment: 0x1213_1415,
        origin: Place(0x1617_1819),
        sum: 0x1A1B_1C1D,
        whole_octets: 0x1E1F_2021_2223_2425,
        whole_sum: 0x2627_2829,
    };
    let key = Key::new(KEY);
    let octets = record.encode(key);
    assert_eq!(
        hex(&octets),
        "524d72630300ff00060504030a0908070e0d0c0b1110000015141312191817161d1c1b1a2524232221201f1e2928272600000000000000000000000020b90f5a+64"
    );
    let kinds = [(true, true), (true, false), (false, true), (false, false)]
        .map(|(first, last)| Kind::Chunk { first, last });
    for kind in kinds.into_iter().chain([Kind::Pad, Kind::Item]) {
        record.kind = kind;
        let octets = record.encode(key);
        assert_eq!(Record::decode(key, &octets), Some(record));
        assert_eq!(Record::decode(Key::new(&[0; 16]), &octets), None);
    }
}

#[test]
pub(super) fn segment_header() {
    let mut header = SegmentHeader {
        sequence: 0x0102_0304,
        epoch: 0x0506_0708,
        continued: [Continued {
            place: Place(0x090A_0B0C),
            segment: 0x0D0E_0F10,
        }]
        .into_iter()
        .collect(),
        items: None,
    };
    let key = Key::new(KEY);
    assert_eq!(
        hex(&header.encode(key)),
        "524d73670403020108070605010000000c0b0a09100f0e0d000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000007113660a+128"
    );
    let one = header.continued[0];
    for count in 0..=WRITERS {
        header.continued = core::iter::repeat_n(one, count).collect();
        let octets = header.encode(key);
        assert_eq!(SegmentHeader::decode(key, &octets), Some(header.clone()));
    }
    header.items = Some((0x1112_1314, 0x1516_1718));
    header.continued.truncate(1);
    let octets = header.encode(key);
    assert_eq!(
        hex(&octets),
        "524d736d0403020108070605010000000c0b0a09100f0e0d00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001413121118171615000000000000000000000000000000000000000000000000000000000000000000000000cf4cef2b+128"
    );
    assert_eq!(SegmentHeader::decode(key, &octets), Some(header));
}

#[test]
pub(super) fn claim() {
    let claim = Claim {
        epoch: 0x0102_0304,
        number: 0x0506_0708_090A_0B0C,
        config: 0x0D0E_0F10_1112_1314,
    };
    let octets = claim.encode(Key::new(KEY));
    assert_eq!(Claim::decode(Key::new(KEY), &octets), Some(claim));
    assert_eq!(Claim::decode(Key::new(&[0; 16]), &octets), None);
    assert_eq!(
        hex(&octets),
        "524d6570040302010c0b0a090807060514131211100f0e0d000000000000000000000000000000000000000000000000000000000000000000000000fd11b3eb+64"
    );
}

#[test]
pub(super) fn item() {
    let geometry = tiny();
    let mut medium = SimMedium::new(capacity(&geometry));
    let mut octets = [0xEE; 128];
    let mut open = Open::new(0x0102_0304, 0x0506_0708, 0x0102_0300);
    open.push(&mut octets, b"entry", false);
    open.push(&mut octets, b"own", true);
    let length = open.length();
    let mut journal = Journal {
        page: 0x0900_0A00,
        from: 0x0900_0000,
    };
    let key = Key::new(KEY);
    let written = journal.write(&mut medium, &geometry, (key, 9), (&mut open, &mut octets));
    written.unwrap();
    assert_eq!(
        hex(&octets),
        "524d69740900000004030201000a000904000000080706050c0000001fb7aba70500656e74727903806f776e+128"
    );
    let at = geometry.journal_at(0x0900_0A00) as usize;
    assert_eq!(medium.image()[at..at + 128], octets);
    let found = item::Item::decode(key, &octets).unwrap();
    assert_eq!((found.epoch, found.settled), (9, 0x0102_0300));
    assert_eq!((found.number, found.length()), (0x0102_0304, length));
    assert_eq!((open.number, open.previous), (0x0102_0305, found.sum));
    let entries: Vec<_> = found.entries().collect();
    assert_eq!(entries, [(&b"entry"[..], false), (b"own", true)]);
    let evicted = item::Evicted {
        segment: 0x0102_0304,
        continued: [Place(0x0506_0708)].into_iter().collect(),
    };
    assert_eq!(hex(&evicted.encode()), "010403020108070605+9");
    assert_eq!(item::Evicted::decode(&evicted.encode()), Some(evicted));
}

#[test]
pub(super) fn snapshot_header_and_part() {
    let header = Header {
        epoch: 0x0102_0304,
        generation: 0x0506_0708_090A_0B0C,
        at: snapshot::Position {
            number: 0x191A_1B1C_1D1E_1F20,
            previous: 0x1516_1718,
            page: 0x0D0E_0F10_1112_1314,
            segment: 0x2122_2324,
            offset: 0x2526_2728,
        },
        parts: 2,
    };
    let key = Key::new(KEY);
    let octets = header.encode(key);
    assert_eq!(
        hex(&octets),
        "524d736e040302010c0b0a090807060514131211100f0e0d1817161502000000201f1e1d1c1b1a19242322212827262500000000000000000000000064647109+64"
    );
    assert_eq!(Header::decode(key, &octets), Some(header));
    let geometry = tiny();
    let mut medium = SimMedium::new(capacity(&geometry));
    let mut page = [0xEE; 128];
    page[32..36].copy_from_slice(b"part");
    let written = header.write_part(&mut medium, (&geometry, key, true), &mut page, 4);
    written.unwrap();
    assert_eq!(
        hex(&page),
        "524d7074040302010c0b0a0908070605020000000400000000000000ee32ada970617274+128"
    );
    assert_eq!(header.part(key, &page, 2), Some(&b"part"[..]));
    assert_eq!(header.part(key, &page, 1), None);
}

#[test]
pub(super) fn config_slot() {
    let mut memory = Memory::new();
    let mut ledger = Ledger::default();
    let medium = formatted(&tiny());
    let (mut store, _) = mount(medium, memory.space(), &mut ledger).unwrap();
    while store.step(&mut ledger) {}
    store.save_config(b"user add x").unwrap();
    let at = tiny().config_at(false) as usize;
    let slot = &store.medium().image()[at..at + 80];
    assert_eq!(
        hex(slot),
        "524d63660a0000000100000000000000e90e8e7001000000000000000000000000000000000000000000000000000000000000000000000000000000dafbb72475736572206164642078+80"
    );
}

#[test]
pub(super) fn geometry_for_every_capacity() {
    const MIB: u64 = 1 << 20;
    let segments = [4, 16, 64, 256, 1024, 4096, 65_536].map(|mib| {
        let geometry = Geometry::for_capacity(mib * MIB, 12 * MIB).unwrap();
        assert!(geometry.ring_at().is_multiple_of(geometry.segment.into()));
        // What is not the ring is a small part.
        assert!(geometry.ring() * 100 >= mib * MIB * 80, "{mib}");
        geometry.segments
    });
    assert_eq!(segments, [53, 54, 54, 57, 249, 1017, 16_377]);
    assert_eq!(Geometry::for_capacity(64 * 1024, 0), None);
    for capacity in (0..64).map(|bit| 1u64 << bit) {
        for more in [0, 1, capacity / 3] {
            if let Some(geometry) = Geometry::for_capacity(capacity + more, u64::from(u32::MAX)) {
                assert!(geometry.holds(capacity + more));
            }
        }
    }
}
