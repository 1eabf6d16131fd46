//! One message of a maildrop, and what a call takes of all of them.

use crate::config::Mark;

/// One message of a maildrop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Item {
    pub(super) slot: u32,
    pub(super) uid: u32,
    /// Octets of what is sent.
    pub(super) size: u32,
    /// The day on which it was read at the desk.
    pub(super) day: u16,
    pub(super) form: Form,
    pub(super) deleted: bool,
    pub(super) sent: bool,
    /// It was sent, and no `RSET` forgets that.
    pub(super) went: bool,
    /// What it was marked for is written down already (`commit dele`).
    pub(super) taken: bool,
}

/// What a caller gets of a mail. With a tag of its own: one that shares its octet with [`Mark`] is
/// not zero for the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Form {
    /// The mail as it is. Zero, as in [`Item::EMPTY`].
    #[default]
    Mail,
    Marked(Mark),
    /// A notice; its size is known once its mail's header was read.
    Notice,
    /// A notice of a mail whose copy turned out to be damaged: it is left out.
    Gone,
}

impl Item {
    /// No message: all zeros, so that large tables need not be written to before they are used.
    pub const EMPTY: Self = Self {
        slot: 0,
        uid: 0,
        size: 0,
        day: 0,
        form: Form::Mail,
        deleted: false,
        sent: false,
        went: false,
        taken: false,
    };
}

/// What a call took, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages offered.
    pub offered: u32,
    /// Octets of these, as far as known.
    pub offered_octets: u64,
    /// Messages put whole on the line.
    pub sent: u32,
    /// Octets of these.
    pub sent_octets: u64,
    /// Messages marked as deleted.
    pub deleted: u32,
}
