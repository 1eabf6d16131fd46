//! What the owner said about a line, as far as its modem is concerned.

use heapless::{String, Vec};

use super::Number;
use crate::config::{Carrier, Line, NUMBERS};

/// What the owner said about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Answer after so many rings; see [`rings_wanted`](Self::rings_wanted).
    pub rings: u8,
    /// How the loss of a caller is seen.
    pub carrier: Carrier,
    /// Extra initialisation; empty: none. `AT` in front of it may be left out.
    pub init: String<80>,
    /// Only these may call, unless empty.
    pub allow: Vec<Number, NUMBERS>,
    /// These may not.
    pub deny: Vec<Number, NUMBERS>,
}

impl Options {
    /// How often it rings before we answer. The number comes after the first ring: where it
    /// matters, two at least.
    #[must_use]
    pub fn rings_wanted(&self) -> u8 {
        self.rings.max(if self.wants_numbers() { 2 } else { 1 })
    }

    pub(super) fn wants_numbers(&self) -> bool {
        !self.allow.is_empty() || !self.deny.is_empty()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rings: 1,
            carrier: Carrier::Auto,
            init: String::new(),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

impl From<&Line> for Options {
    fn from(line: &Line) -> Self {
        Self {
            rings: line.rings,
            carrier: line.carrier,
            init: line.init.clone(),
            allow: line.allow.clone(),
            deny: line.deny.clone(),
        }
    }
}
