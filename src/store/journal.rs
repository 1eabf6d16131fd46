//! The journal: pages for the items that no commit of a copy has room for.
//!
//! Page `n` lies at `n % pages`. It holds one item, from its first octet on, and zeros. It is
//! written once, whole, and never appended to.

use hal::{Medium, MediumError};

use super::geometry::Geometry;
use super::item::Open;
use super::octets::Key;

/// How far the journal is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journal {
    /// The page that is written next.
    pub(super) page: u64,
    /// The first page that the newest durable snapshot needs.
    pub(super) from: u64,
}

impl Journal {
    /// Pages written since the newest durable snapshot.
    pub(super) fn used(&self) -> u64 {
        self.page.saturating_sub(self.from)
    }

    /// Whether the next page would overwrite one that is still needed.
    pub(super) fn is_full(&self, geometry: &Geometry) -> bool {
        self.used() >= u64::from(geometry.journal)
    }

    /// Writes the item being filled to the next page, and begins another.
    pub(super) fn write<M: Medium>(
        &mut self,
        medium: &mut M,
        geometry: &Geometry,
        (key, epoch): (Key, u32),
        (open, item): (&mut Open, &mut [u8]),
    ) -> Result<(), MediumError> {
        let Some(page) = item.get_mut(..geometry.page as usize) else {
            return Err(MediumError::OutOfBounds);
        };
        let sum = open.seal((key, epoch), self.page, page);
        if let Some(rest) = page.get_mut(open.length()..) {
            rest.fill(0);
        }
        medium.write(geometry.journal_at(self.page), page)?;
        open.written(sum);
        self.page += 1;
        Ok(())
    }
}
