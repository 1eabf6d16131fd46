//! The one light of a board: what an owner sees who has no terminal at hand.

/// What the light shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Light {
    /// All lines wait for calls.
    #[default]
    Idle,
    /// A line rings, or is being answered.
    Ringing,
    /// A caller is on a line.
    InCall,
    /// Something is wrong: the console says what (`show status`). A call is shown before it.
    Fault,
}
