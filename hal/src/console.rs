//! Terminals of the operator: a stream of octets, and who sits at it.

use crate::stream::ByteStream;

/// A terminal, or a program that stands for one.
pub trait ConsoleStream: ByteStream {
    /// What kind of terminal it is; constant.
    fn kind(&self) -> ConsoleKind {
        ConsoleKind::Terminal
    }
}

/// What kind of terminal a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleKind {
    /// The machine's own terminal: it is there for as long as the machine runs.
    Terminal,
    /// A person, attached from a shell: closing ends the session.
    Attached,
    /// A program that sends one command, reads its answer, and waits for us to close.
    OneCommand,
}
