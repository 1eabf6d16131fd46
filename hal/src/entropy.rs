//! Random octets: salts, keys, jitter, the characters of own UIDs.

/// A source of random octets that never blocks and never fails.
pub trait Entropy {
    /// Fills `buf` with octets nobody can foretell.
    fn fill(&mut self, buf: &mut [u8]);
}
