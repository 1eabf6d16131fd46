//! Outgoing connections to the LAN: `connect` starts and returns at once.

use core::fmt;

use crate::stream::ByteStream;

/// The way to the LAN.
pub trait Lan {
    /// A connection.
    type Stream: LanStream;

    /// Starts to look up `host` and to connect to it; never waits. Failures show in
    /// [`LanStream::connection`].
    fn connect(&mut self, host: &str, port: u16) -> Self::Stream;
}

/// A connection that may still be under way. While it is, `read` gives nothing and `write` takes
/// nothing.
pub trait LanStream: ByteStream {
    /// How far the connection is.
    fn connection(&mut self) -> Connection;
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The look-up or the connection is under way.
    Pending,
    /// Octets may pass.
    Open,
    /// It came to nothing.
    Failed(ConnectError),
}

/// Why a connection came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The name has no address.
    NoSuchHost,
    /// The look-up itself failed: no name server answered.
    LookupFailed,
    /// Nobody listens there.
    Refused,
    /// No way to that network, or no network.
    Unreachable,
    /// Any other system error, by number.
    Failed(i32),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost => f.write_str("no such host"),
            Self::LookupFailed => f.write_str("name server does not answer"),
            Self::Refused => f.write_str("connection refused: nobody listens there"),
            Self::Unreachable => f.write_str("network unreachable"),
            Self::Failed(errno) => write!(f, "system error {errno}"),
        }
    }
}

impl core::error::Error for ConnectError {}
