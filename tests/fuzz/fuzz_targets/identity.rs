//! The identity of a header, however it comes in pieces.
//!
//! The first octet is the size of the pieces: what is read of a header must not depend on it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringmail::identity::HeaderReader;

fuzz_target!(|input: &[u8]| {
    let [piece, header @ ..] = input else {
        return;
    };
    let mut whole = HeaderReader::new();
    whole.read(header);
    let mut pieces = HeaderReader::new();
    for octets in header.chunks(usize::from(*piece).max(1)) {
        pieces.read(octets);
    }
    assert_eq!(whole.is_done(), pieces.is_done());
    let (whole, pieces) = (whole.finish(), pieces.finish());
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
});
