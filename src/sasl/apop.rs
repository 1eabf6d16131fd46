//! APOP: a digest of the greeting's timestamp and the password (RFC 1939 §7).
//!
//! It is as old as MD5. Whoever reads the link can try passwords against the digest; whoever
//! *writes* on it can choose the timestamp, and learn a few characters of the password by
//! collisions. A timestamp that does not look like a message-id is therefore none, and the client
//! prefers any SASL mechanism that shows as little.

use core::fmt::Write;

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq;

use super::Hex;
use crate::config::Secret;

/// 32 small hexadecimal digits.
pub type Digest = heapless::String<32>;

/// The digest for `stamp`, angle brackets included, and `password`.
#[must_use]
pub fn digest(stamp: &[u8], password: &Secret) -> Digest {
    let md5 = Md5::new()
        .chain_update(stamp)
        .chain_update(password.reveal());
    let mut digest = Digest::new();
    // 16 octets make 32 digits.
    let _ = write!(digest, "{}", Hex(&md5.finalize()));
    digest
}

/// Whether `claimed` is the digest for `stamp` and `password`. A login that nobody has gives
/// `None` as its password, and takes as long.
#[must_use]
pub fn is_right(stamp: &[u8], password: Option<&Secret>, claimed: &[u8]) -> bool {
    let nobody = Secret::default();
    let right = digest(stamp, password.unwrap_or(&nobody));
    let equal: bool = right.as_bytes().ct_eq(claimed).into();
    equal && password.is_some()
}
