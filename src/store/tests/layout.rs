//! The octets of the format, frozen: a test here that turns red is a new format version.

use super::*;
use crate::store::record::{Continued, Kind, Record, SegmentHeader};

const KEY: &[u8; 16] = b"0123456789abcdef";

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn golden() {
    let key = Key::new(KEY);
    let record = Record {
        kind: Kind::Chunk {
            first: true,
            last: true,
        },
        head: 0x0102,
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
    println!("{}", hex(&record.encode(key)));
    let header = SegmentHeader {
        sequence: 0x0102_0304,
        epoch: 0x0506_0708,
        continued: [Continued {
            place: Place(0x090A_0B0C),
            segment: 0x0D0E_0F10,
        }]
        .into_iter()
        .collect(),
    };
    println!("{}", hex(&header.encode(key)));
    panic!();
}
