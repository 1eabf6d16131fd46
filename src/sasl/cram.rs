//! CRAM-MD5: `login digest`, where the digest is HMAC-MD5 of the challenge (RFC 2195).

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

/// The digest of `challenge` under `password`.
pub(super) fn digest(password: &[u8], challenge: &[u8]) -> [u8; 16] {
    let Ok(mac) = Hmac::<Md5>::new_from_slice(password) else {
        // HMAC takes keys of any length (RFC 2104 §2).
        return [0; 16];
    };
    mac.chain_update(challenge).finalize().into_bytes().into()
}
