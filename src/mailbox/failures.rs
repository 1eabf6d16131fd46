//! How often logins have failed lately: what slows a guesser down, over calls and restarts.
//!
//! Each login and each line has a counter, found by a keyed hash of its name: so a name that
//! nobody has is counted like any other, and nothing tells them apart. Two names may share one;
//! then both wait for what one of them got wrong, and either's right password clears it.
//!
//! A guesser must not wear the card out: a count is written down when it reaches a power of two,
//! and after a restart it is the last one that was.

/// Counters of all logins and lines together.
pub const COUNTERS: u8 = 64;

/// The counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures([u16; COUNTERS as usize]);

impl Failures {
    /// Nothing has failed.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; COUNTERS as usize])
    }

    /// How often.
    #[must_use]
    pub fn count(&self, counter: u8) -> u16 {
        self.0.get(usize::from(counter)).copied().unwrap_or(0)
    }

    /// What stands for a count on the medium: 0, or one more than its binary logarithm.
    #[must_use]
    pub fn mark(&self, counter: u8) -> u8 {
        let bits = u16::BITS - self.count(counter).leading_zeros();
        u8::try_from(bits).unwrap_or(0)
    }

    /// Sets a count. Returns whether another mark stands for it now: that is to be written down.
    pub fn set(&mut self, counter: u8, count: u16) -> bool {
        let before = self.mark(counter);
        if let Some(place) = self.0.get_mut(usize::from(counter)) {
            *place = count;
        }
        self.mark(counter) != before
    }

    /// Sets a count to the least that `mark` stands for.
    pub fn set_mark(&mut self, counter: u8, mark: u8) {
        let least = mark.checked_sub(1).map(u32::from);
        let count = least.map_or(0, |bit| 1_u16.checked_shl(bit).unwrap_or(1 << 15));
        self.set(counter, count);
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_at_powers_of_two_only_and_brings_the_count_back_at_least_by_half() {
        let mut failures = Failures::new();
        for count in 1..=u16::MAX {
            assert_eq!(failures.set(5, count), count.is_power_of_two());
            let mut restored = Failures::new();
            restored.set_mark(5, failures.mark(5));
            assert!(restored.count(5) <= count && restored.count(5) > count / 2);
            assert_eq!(restored.mark(5), failures.mark(5));
        }
        assert!(failures.set(5, 0));
        assert_eq!(failures, Failures::new());
    }

    #[test]
    fn no_counter_and_no_mark_of_a_damaged_medium_is_out_of_range() {
        let mut failures = Failures::new();
        for counter in 0..=255 {
            for mark in 0..=255 {
                failures.set_mark(counter, mark);
                let _ = (failures.count(counter), failures.mark(counter));
            }
        }
    }
}
