//! POP3: what both its ends share (RFC 1939, RFC 2449).
//!
//! ```text
//!              USER, PASS            QUIT
//! AUTHORIZATION ------> TRANSACTION ------> UPDATE --> hang up
//!        |                   |
//!        +- QUIT, autologout +- autologout, carrier lost: nothing is marked taken
//! ```

pub mod client;
pub mod command;
pub mod multiline;
pub mod reply;
pub mod server;

/// A unique-id as RFC 1939 §7 has it: 1 to 70 octets of 0x21 to 0x7e. Ours are at most 9.
pub type Uid = heapless::String<9>;

/// One caller's view of a mailbox: what [`server::Server`] serves.
///
/// The messages are numbered from 1 to [`count`](Self::count) and keep their numbers while the
/// maildrop is open (RFC 1939 §5), whatever happens to the mailbox meanwhile.
pub trait Maildrop {
    /// How many messages there are, marked ones included.
    fn count(&self) -> u32;

    /// Size of message `number` in octets, as `RETR` would send it before byte-stuffing
    /// (RFC 1939 §11). `None` if there is no such message.
    fn size(&self, number: u32) -> Option<u64>;

    /// Unique-id of message `number`.
    fn uid(&self, number: u32) -> Option<Uid>;

    /// Whether message `number` is marked as deleted.
    fn is_deleted(&self, number: u32) -> bool;

    /// Marks message `number` as deleted.
    fn delete(&mut self, number: u32);

    /// Takes back every mark that is not committed yet: `RSET`.
    fn reset(&mut self);

    /// Makes ready to read message `number`: checks its copy whole, or fetches it from the LAN.
    /// Asked again, at a later step, while it is [`Open::Pending`].
    fn open(&mut self, number: u32) -> Open;

    /// Fills the beginning of `buf` with octets of the message opened last, from `offset` on: raw
    /// content in lines that end in CR LF, not byte-stuffed. Fewer than asked for, or nothing, where
    /// the next ones are still looked for: asked again at a later step. What stands before `offset`
    /// is not asked for again, what was given from there on may be.
    ///
    /// # Errors
    /// [`ReadFault`] if the copy turns out to be damaged or to end here, or the medium fails: the
    /// message must then not be ended by a dot (design 2.8).
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, ReadFault>;

    /// The whole of message `number` has been put on the line, by `RETR`, or by `TOP` with all of
    /// its body.
    fn sent_whole(&mut self, number: u32);

    /// What the owner wants for lines that drop (`commit dele`): called when a command comes whose
    /// first octet arrived after the replies to all marks made so far had drained.
    fn replies_read(&mut self);

    /// `QUIT`: makes durable what the caller took. Asked again while it is [`Commit::Pending`].
    fn commit(&mut self) -> Commit;

    /// Octets of all messages that are not marked, for `STAT`, with their number.
    fn total(&self) -> (u32, u64) {
        let kept = (1..=self.count()).filter(|&number| !self.is_deleted(number));
        kept.fold((0, 0), |(count, octets), number| {
            (count + 1, octets + self.size(number).unwrap_or(0))
        })
    }
}

/// How far [`Maildrop::open`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Under way.
    Pending,
    /// The message may be read; it has this many octets.
    Ready(u64),
    /// Not to be had now: `-ERR [SYS/TEMP]`.
    Unavailable,
}

/// A message could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFault;

/// How far [`Maildrop::commit`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Under way.
    Pending,
    /// Durable.
    Done,
    /// The store failed: nothing may be counted as taken.
    Failed,
}
