//! The geometry: how much is set aside for what, and where it all lies.

use super::record::{CHUNK_MAX, HEAD_MAX, HEADER_OCTETS};
use super::{PAGE_MAX, PAGE_MIN, config, item, ring, snapshot};

/// Superblock B stands at a power of two from this on ..
pub(super) const B_FIRST: u32 = 128;
/// .. up to this.
pub(super) const B_LAST: u32 = 1 << 20;

/// Where everything lies. Sizes in octets, but for `journal` and `segments`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What is never written in part by two commits: a multiple of the medium's unit; a power of
    /// two from [`PAGE_MIN`] to [`PAGE_MAX`].
    pub page: u32,
    /// What is set aside for each superblock: a power of two, and a multiple of the page.
    pub superblock: u32,
    /// What is set aside for each saved configuration, its header page included.
    pub config: u32,
    /// What is set aside for each snapshot of the index, its header page included.
    pub snapshot: u32,
    /// Pages of the journal, 4 or more.
    pub journal: u32,
    /// One segment of the ring: best an allocation unit of the card.
    pub segment: u32,
    /// Segments of the ring, 3 or more.
    pub segments: u32,
    /// Content of one record: at most 16 KiB.
    pub chunk: u32,
}

impl Geometry {
    /// The layout for a medium of `capacity` octets, 4 MiB to 64 GiB, with an index whose
    /// snapshot may need `index` octets (less is set aside where that is too much for a small
    /// medium: see [`snapshot_parts`](Self::snapshot_parts)). `None`: too small.
    #[must_use]
    pub fn for_capacity(capacity: u64, index: u64) -> Option<Self> {
        const MIB: u64 = 1 << 20;
        let page = PAGE_MAX;
        // A 64th of a small ring, so that evicting one is a small loss; else what SD cards have.
        let segment = (capacity / 64).clamp(64 * 1024, 4 * MIB);
        let segment = 1 << segment.ilog2();
        let headers = (index / 64).saturating_add(2 * u64::from(page));
        let snapshot = index.saturating_add(headers).min(capacity / 16);
        let snapshot = snapshot.next_multiple_of(u64::from(page));
        let journal = (capacity / 64 / u64::from(page)).clamp(16, 256);
        let mut geometry = Self {
            page,
            superblock: 16 * 1024,
            config: 40 * 1024,
            snapshot: u32::try_from(snapshot).ok()?,
            journal: u32::try_from(journal).ok()?,
            segment: u32::try_from(segment).ok()?,
            segments: 0,
            chunk: CHUNK_MAX,
        };
        let segments = capacity.checked_sub(geometry.ring_at())? / segment;
        geometry.segments = u32::try_from(segments).ok()?;
        geometry.holds(capacity).then_some(geometry)
    }

    /// Whether this layout is sound, and fits `capacity` octets.
    #[must_use]
    pub fn holds(&self, capacity: u64) -> bool {
        let whole_pages = |octets: u32| octets >= self.page && octets.is_multiple_of(self.page);
        // Header page, one record of any kind, and the summary.
        let record = self.page.saturating_add(HEADER_OCTETS + HEAD_MAX + 64);
        (PAGE_MIN..=PAGE_MAX).contains(&self.page)
            && self.page.is_power_of_two()
            && (B_FIRST..=B_LAST).contains(&self.superblock)
            && self.superblock.is_power_of_two()
            && whole_pages(self.superblock)
            && whole_pages(self.config)
            && self.config <= 64 * 1024
            && whole_pages(self.snapshot)
            && self.snapshot >= 2 * self.page
            && (4..=1 << 16).contains(&self.journal)
            && whole_pages(self.segment)
            && self.segment <= 1 << 26
            && ring::limit(self, 0) >= record
            && (3..=1 << 16).contains(&self.segments)
            && (64..=CHUNK_MAX).contains(&self.chunk)
            && self.chunk.is_multiple_of(64)
            // A place is 32 bits, in units of 64 octets.
            && u64::from(self.segment) * u64::from(self.segments) < 1 << 38
            && self.end() <= capacity
    }

    /// Octets the index may put into one part of a snapshot, and how many parts there may be.
    #[must_use]
    pub fn snapshot_parts(&self) -> (u32, u32) {
        let part = self.page - snapshot::PART_HEADER_OCTETS;
        (part, (self.snapshot / self.page).saturating_sub(1))
    }

    /// The longest journal entry, in octets.
    #[must_use]
    pub fn entry_limit(&self) -> usize {
        (self.page as usize).saturating_sub(item::OVERHEAD_OCTETS)
    }

    /// The longest configuration, in octets.
    #[must_use]
    pub fn config_limit(&self) -> usize {
        (self.config as usize).saturating_sub(config::HEADER_OCTETS)
    }

    /// Octets of the ring, headers and padding included.
    #[must_use]
    pub fn ring(&self) -> u64 {
        u64::from(self.segment) * u64::from(self.segments)
    }

    /// Where the claim of an epoch lies: two slots, a page each.
    pub(super) fn claim_at(&self, slot: u32) -> u64 {
        2 * u64::from(self.superblock) + u64::from(slot) * u64::from(self.page)
    }

    pub(super) fn config_at(&self, b: bool) -> u64 {
        self.claim_at(2) + u64::from(b) * u64::from(self.config)
    }

    pub(super) fn snapshot_at(&self, b: bool) -> u64 {
        self.config_at(true) + u64::from(self.config) + u64::from(b) * u64::from(self.snapshot)
    }

    pub(super) fn journal_at(&self, sequence: u64) -> u64 {
        let start = self.snapshot_at(true) + u64::from(self.snapshot);
        start + sequence % u64::from(self.journal) * u64::from(self.page)
    }

    /// Segments begin at multiples of their size, as the card's allocation units do.
    pub(super) fn ring_at(&self) -> u64 {
        let journal = u64::from(self.journal) * u64::from(self.page);
        (self.journal_at(0) + journal).next_multiple_of(u64::from(self.segment))
    }

    /// Octets of the medium that are in use.
    pub(super) fn end(&self) -> u64 {
        self.ring_at() + self.ring()
    }
}
