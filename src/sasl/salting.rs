//! A password, salted and hashed again and again: `Hi` of RFC 5802 §2.2, in slices.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Rounds in one call: about 0.2 ms on a Raspberry Pi 4, 2 ms on the first one.
pub const SLICE: u32 = 256;

/// A SHA-256 digest.
pub(super) type Digest = [u8; 32];

/// HMAC-SHA-256 under `key`. HMAC takes keys of any length (RFC 2104 §2), so the default is never
/// used.
pub(super) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// HMAC-SHA-256 of `parts`, one after the other, under `key`.
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac = keyed(key);
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// PBKDF2-HMAC-SHA-256 of one block, under way.
#[derive(Clone)]
pub(super) struct Salting {
    keyed: Hmac<Sha256>,
    latest: Digest,
    sum: Digest,
    left: u32,
}

impl Salting {
    /// Begins; does the first round.
    pub(super) fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let keyed = keyed(password);
        let first = keyed.clone().chain_update(salt).chain_update([0, 0, 0, 1]);
        let first = first.finalize().into_bytes().into();
        Self {
            keyed,
            latest: first,
            sum: first,
            left: iterations.saturating_sub(1),
        }
    }

    /// Does one slice; the salted password, once all rounds are done.
    pub(super) fn work(&mut self) -> Option<Digest> {
        let rounds = self.left.min(SLICE);
        for _ in 0..rounds {
            let mac = self.keyed.clone().chain_update(self.latest);
            self.latest = mac.finalize().into_bytes().into();
            for (sum, octet) in self.sum.iter_mut().zip(self.latest) {
                *sum ^= octet;
            }
        }
        self.left -= rounds;
        (self.left == 0).then_some(self.sum)
    }
}
