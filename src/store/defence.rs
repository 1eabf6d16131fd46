//! The store's defences by name, so that a test can leave one out and see who notices.
//!
//! Each is asked for at the line that it guards, and always holds but in tests: `defence` is
//! then a constant, and nothing of it is left in the program. What each is for, and which test
//! turns red without it: `tests/mutants.txt`.

/// What keeps the store sound. Each stands at one line, or at the few that are one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Format ends with a sync.
    FormatSync,
    /// Nothing is written after a mount before a sync.
    MountSync,
    /// A commit syncs.
    CommitSync,
    /// A snapshot's header is written when its parts and the journal beside them are durable.
    SnapshotSettles,
    /// The journal is given up to a snapshot when its header is durable.
    SnapshotCloses,
    /// A segment is overwritten when its eviction is durable.
    EvictionFirst,
    /// A configuration is saved when the last one is durable.
    ConfigWaits,
    /// Nothing is written after a mount but the claim of its epoch, before that is durable.
    ClaimFirst,

    /// Checksum of a superblock.
    SuperblockSum,
    /// Checksum of an item.
    ItemSum,
    /// Checksum of a snapshot's header.
    SnapshotSum,
    /// Checksum of a snapshot's part.
    PartSum,
    /// Checksum of a segment's header.
    SegmentSum,
    /// Checksum of a record's header.
    RecordSum,
    /// Checksum of a chunk's content.
    ChunkSum,
    /// Checksum of a whole copy.
    WholeSum,
    /// Checksum of a summary's items.
    SummarySum,
    /// Checksum of a claim.
    ClaimSum,
    /// Checksum of a configuration's header.
    ConfigHeaderSum,
    /// Checksum of a configuration.
    ConfigSum,
    /// Checksums are seeded with the format's key.
    KeyedSums,

    /// Each mount writes under an epoch of its own.
    NewEpoch,
    /// Epochs never fall along the chain of items.
    ItemEpoch,
    /// An item that the last mount did not find does not come back.
    ItemClaimed,
    /// Nor does a configuration.
    ConfigClaimed,
    /// Epochs never fall along a segment.
    RecordEpoch,
    /// An item names the checksum of the one before.
    Chain,
    /// An item has the number that is due.
    ItemNumber,
    /// A journal page has the number that its place wants.
    JournalPage,
    /// A part belongs to the snapshot of its header.
    PartOfSnapshot,
    /// A record belongs to the segment's header.
    RecordOfSegment,
    /// A chunk belongs to the copy being read.
    ChunkOfCopy,
    /// The chunks of a copy are read in order, without a gap.
    ChunkOrder,
    /// A copy begins with a first chunk that stands where it says.
    CopyOrigin,
    /// A reader looks whether its segment still stands.
    SegmentStands,
    /// A copy lies before the end of the ring.
    Reached,

    /// After a commit, the ring goes on at the next page.
    FreshPage,
    /// After a mount, the ring goes on at the next page.
    MountPage,
    /// A journal page that is still needed is not overwritten.
    JournalFull,
    /// Entries of commits that may not be whole are replayed as unsettled.
    Settled,
    /// What was unsettled at the last mount stays so until it was looked at.
    Trusted,
    /// Items beyond the end that say it was durable are told.
    Beyond,
    /// A snapshot that fails half restored leaves nothing in the index.
    Cleared,
    /// Snapshots are written in turn into two areas.
    SnapshotTurns,
    /// Configurations are written in turn into two slots.
    ConfigTurns,
    /// Claims are written in turn into two slots.
    ClaimTurns,
    /// What a commit covers is written before its sync: the item.
    ItemFirst,
    /// A segment is not overwritten before a snapshot holds the entries in it.
    ItemsKept,
    /// A segment keeps room for its summary.
    SummaryRoom,
    /// A segment whose summary is written takes no more.
    SummaryCloses,
    /// A summary belongs to its segment.
    SummaryOfSegment,
    /// A summary is no older than the header of its segment.
    SummaryEpoch,
    /// After the index was rebuilt, nothing is logged before a snapshot holds it.
    RebuiltFirst,
    /// Copies that go on in a segment are evicted with it.
    Continued,
    /// A segment that a copy under way lies in is not evicted.
    UnderWay,
    /// The index is asked before a segment is evicted.
    Asked,
    /// An eviction is logged.
    EvictionLogged,
    /// The second superblock is looked for.
    SecondSuperblock,
    /// Foreign content is not formatted.
    Foreign,
}

/// Whether `rule` holds: always, but where a test leaves it out.
#[cfg(not(test))]
pub(super) const fn defence(_: Rule) -> bool {
    true
}

/// All of them.
#[cfg(test)]
pub(super) const RULES: [Rule; 59] = [
    Rule::FormatSync,
    Rule::MountSync,
    Rule::CommitSync,
    Rule::SnapshotSettles,
    Rule::SnapshotCloses,
    Rule::EvictionFirst,
    Rule::ConfigWaits,
    Rule::ClaimFirst,
    Rule::SuperblockSum,
    Rule::ItemSum,
    Rule::SnapshotSum,
    Rule::PartSum,
    Rule::SegmentSum,
    Rule::RecordSum,
    Rule::ChunkSum,
    Rule::WholeSum,
    Rule::SummarySum,
    Rule::ClaimSum,
    Rule::ConfigHeaderSum,
    Rule::ConfigSum,
    Rule::KeyedSums,
    Rule::NewEpoch,
    Rule::ItemEpoch,
    Rule::ItemClaimed,
    Rule::ConfigClaimed,
    Rule::RecordEpoch,
    Rule::Chain,
    Rule::ItemNumber,
    Rule::JournalPage,
    Rule::PartOfSnapshot,
    Rule::RecordOfSegment,
    Rule::ChunkOfCopy,
    Rule::ChunkOrder,
    Rule::CopyOrigin,
    Rule::SegmentStands,
    Rule::Reached,
    Rule::FreshPage,
    Rule::MountPage,
    Rule::JournalFull,
    Rule::Settled,
    Rule::Trusted,
    Rule::Beyond,
    Rule::Cleared,
    Rule::SnapshotTurns,
    Rule::ConfigTurns,
    Rule::ClaimTurns,
    Rule::ItemFirst,
    Rule::ItemsKept,
    Rule::SummaryRoom,
    Rule::SummaryCloses,
    Rule::SummaryOfSegment,
    Rule::SummaryEpoch,
    Rule::RebuiltFirst,
    Rule::Continued,
    Rule::UnderWay,
    Rule::Asked,
    Rule::EvictionLogged,
    Rule::SecondSuperblock,
    Rule::Foreign,
];

#[cfg(test)]
pub(super) use mutant::defence;

#[cfg(test)]
pub(super) mod mutant {
    use core::cell::Cell;

    use super::Rule;

    std::thread_local! {
        static LEFT_OUT: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(in super::super) fn defence(rule: Rule) -> bool {
        LEFT_OUT.get() != Some(rule)
    }

    /// From now on it does not hold in this thread.
    pub(in super::super) fn leave_out(rule: Option<Rule>) {
        LEFT_OUT.set(rule);
    }
}
