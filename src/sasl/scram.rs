//! What both ends of SCRAM-SHA-256 share: messages and keys (RFC 5802 §3, §7, RFC 7677).
//!
//! ```text
//! client-first  n,,n=LOGIN,r=CLIENT                    bare: without `n,,`
//! server-first  r=CLIENT+SERVER,s=SALT,i=ITERATIONS
//! client-final  c=biws,r=CLIENT+SERVER,p=PROOF         without proof: up to `,p=`
//! server-final  v=SIGNATURE
//! ```
//!
//! What is signed is client-first bare, server-first and client-final without proof, with commas
//! between them.

use base64ct::{Base64, Encoding};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::salting::{Digest, hmac};
use super::{Message, NONCE_OCTETS, Nonce};

/// A nonce as it is sent.
pub(super) const NONCE_CHARACTERS: usize = NONCE_OCTETS / 3 * 4;

/// The gs2 header of a client that binds to no channel, as `c=` repeats it.
pub(super) const UNBOUND: &[u8] = b"n,,";

/// `nonce` as it is sent: no comma is in it.
pub(super) fn printable(nonce: &Nonce) -> [u8; NONCE_CHARACTERS] {
    let mut text = [0; NONCE_CHARACTERS];
    // The room is exact.
    let _ = Base64::encode(nonce, &mut text);
    text
}

/// The three parts of what is signed, joined by commas.
pub(super) struct Transcript<'a> {
    pub(super) client_first_bare: &'a [u8],
    pub(super) server_first: &'a [u8],
    pub(super) client_final_without_proof: &'a [u8],
}

impl Transcript<'_> {
    fn sign(&self, key: &[u8]) -> Digest {
        let parts = [
            self.client_first_bare,
            b",",
            self.server_first,
            b",",
            self.client_final_without_proof,
        ];
        hmac(key, &parts)
    }
}

/// What the client shows to prove that it knows the password.
pub(super) fn proof(salted: &Digest, transcript: &Transcript<'_>) -> Digest {
    let client_key = hmac(salted, &[b"Client Key"]);
    let stored_key: Digest = Sha256::digest(client_key).into();
    xor(client_key, transcript.sign(&stored_key))
}

/// What the server shows to prove the same.
pub(super) fn server_signature(salted: &Digest, transcript: &Transcript<'_>) -> Digest {
    transcript.sign(&hmac(salted, &[b"Server Key"]))
}

/// Compares in a time that depends on the lengths alone.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

fn xor(mut one: Digest, other: Digest) -> Digest {
    for (octet, other) in one.iter_mut().zip(other) {
        *octet ^= other;
    }
    one
}

/// Adds base64 of `octets` to `message`; `None` if there is no room.
pub(super) fn push_base64(message: &mut Message, octets: &[u8]) -> Option<()> {
    let mut text = [0; 512];
    let text = Base64::encode(octets, &mut text).ok()?;
    message.extend_from_slice(text.as_bytes()).ok()
}

/// Adds `login` with its commas and equals signs written as RFC 5802 §5.1 wants; `None` if there
/// is no room.
pub(super) fn push_name(message: &mut Message, login: &str) -> Option<()> {
    for octet in login.bytes() {
        let written: &[u8] = match octet {
            b',' => b"=2C",
            b'=' => b"=3D",
            _ => &[octet],
        };
        message.extend_from_slice(written).ok()?;
    }
    Some(())
}

/// The attribute `name=` at the beginning of `message`, and what follows its comma.
pub(super) fn attribute<'m>(message: &'m [u8], name: &[u8]) -> Option<(&'m [u8], &'m [u8])> {
    let value = message.strip_prefix(name)?.strip_prefix(b"=")?;
    let end = value.iter().position(|&octet| octet == b',');
    let (value, rest) = value.split_at_checked(end.unwrap_or(value.len()))?;
    Some((value, rest.strip_prefix(b",").unwrap_or(rest)))
}
