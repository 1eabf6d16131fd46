//! Fixed little-endian fields, and the keyed checksum under every structure.
//!
//! A structure of the format is a fixed array of octets; its fields are read and put by offset.
//! Reading beyond the end gives zeros: the checksum, which covers the whole structure, is looked
//! at before any field is believed.

use crc::{CRC_32_ISCSI, Crc, Table};

use super::defence::{Rule, defence};

/// CRC-32C, sixteen octets a step: the copies of a whole ring pass through it.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The key of one format: what an earlier format left on the medium does not verify under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    pub(super) fn new(octets: &[u8; 16]) -> Self {
        if !defence(Rule::KeyedSums) {
            return Self(0);
        }
        Self(CRC.checksum(octets))
    }

    /// The checksum of nothing yet.
    pub(super) fn start(self) -> Sum {
        Sum(self.0)
    }

    /// The checksum of `octets`.
    pub(super) fn sum(self, octets: &[u8]) -> u32 {
        self.start().update(octets).value()
    }
}

/// A checksum under way: small, and free to be kept between calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum(u32);

impl Sum {
    pub(super) fn update(self, octets: &[u8]) -> Self {
        // The register of a reflected CRC, as this crate wants an initial value: what the
        // finished value was before its last complement, bits reversed.
        let mut digest = CRC.digest_with_initial((!self.0).reverse_bits());
        digest.update(octets);
        Self(digest.finalize())
    }

    /// The checksum when `octets` more are covered, without a look at them: they are known to have
    /// brought another checksum from `before` to `after`. What an octet does to a CRC does not
    /// depend on the CRC, so the two stay as far apart as the difference becomes behind so many
    /// zeros.
    pub(super) fn append(self, before: Self, after: u32, octets: usize) -> Self {
        Self(after ^ behind_zeros(self.0 ^ before.0, octets))
    }

    pub(super) fn value(self) -> u32 {
        self.0
    }
}

/// What a register of the CRC becomes when `octets` zeros pass: it is multiplied by x for each of
/// their bits. Polynomials are written with their lowest power in the highest bit, as the CRC's.
fn behind_zeros(mut register: u32, mut octets: usize) -> u32 {
    // x to the eighth, its square, ..
    let mut power = 1 << 23;
    while octets > 0 {
        if octets & 1 == 1 {
            register = product(register, power);
        }
        power = product(power, power);
        octets >>= 1;
    }
    register
}

/// The product of two polynomials, modulo the CRC's.
fn product(a: u32, mut b: u32) -> u32 {
    let modulus = CRC_32_ISCSI.poly.reverse_bits();
    let mut sum = 0;
    for bit in (0..32).rev() {
        if a >> bit & 1 == 1 {
            sum ^= b;
        }
        b = (b >> 1) ^ if b & 1 == 1 { modulus } else { 0 };
    }
    sum
}

pub(super) fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(octets, at))
}

pub(super) fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(octets, at))
}

pub(super) fn u64_at(octets: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(octets, at))
}

/// The `N` octets from `at` on; zeros if there are fewer.
pub(super) fn array_at<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    at.checked_add(N)
        .and_then(|end| octets.get(at..end))
        .and_then(|field| field.try_into().ok())
        .unwrap_or([0; N])
}

/// Puts `field` at `at`; what does not fit whole is not put at all.
pub(super) fn put(octets: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = at
        .checked_add(field.len())
        .and_then(|end| octets.get_mut(at..end))
    {
        place.copy_from_slice(field);
    }
}

/// A size that is known to fit: sizes of this store are below 4 GiB by [`Geometry`]'s check.
///
/// [`Geometry`]: super::Geometry
pub(super) fn size(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_is_crc_32c_wherever_it_is_interrupted() {
        // The check value of the catalogue: an all-zero start is the plain algorithm.
        assert_eq!(Sum(0).update(b"123456789").value(), 0xE306_9283);
        let octets: Vec<u8> = (0..100u8).collect();
        let key = Key::new(b"0123456789abcdef");
        for cut in 0..=octets.len() {
            let (left, right) = octets.split_at(cut);
            let sum = key.start().update(left).update(right);
            assert_eq!(sum.value(), key.sum(&octets), "cut {cut}");
        }
        assert_ne!(key.sum(&octets), Key::new(&[0; 16]).sum(&octets));
    }

    #[test]
    fn a_sum_goes_on_by_what_others_saw() {
        let octets: Vec<u8> = (0..300_u32).map(|n| (n * n / 8).to_le_bytes()[0]).collect();
        let key = Key::new(b"0123456789abcdef");
        for start in 0..4 {
            for cut in start..=octets.len() {
                let (before, seen) = (key.start().update(&octets[..3]), &octets[start..cut]);
                let whole = key.start().update(&octets[..start]);
                let after = before.update(seen).value();
                let appended = whole.append(before, after, seen.len());
                assert_eq!(appended, whole.update(seen), "{start} {cut}");
            }
        }
        let long = vec![0xa5; 1 << 20];
        let (one, other) = (Sum(1), Sum(0xdead_beef));
        let after = one.update(&long).value();
        assert_eq!(other.append(one, after, long.len()), other.update(&long));
    }

    #[test]
    fn fields_beyond_the_end_are_zeros_and_are_not_put() {
        let mut octets = [1, 2, 3, 4, 5];
        assert_eq!(u16_at(&octets, 1), 0x0302);
        assert_eq!(u32_at(&octets, 1), 0x0504_0302);
        assert_eq!(u32_at(&octets, 2), 0);
        assert_eq!(u64_at(&octets, usize::MAX), 0);
        put(&mut octets, 4, &[9, 9]);
        put(&mut octets, usize::MAX, &[9, 9]);
        assert_eq!(octets, [1, 2, 3, 4, 5]);
    }
}
