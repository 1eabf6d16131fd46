//! Outgoing connections to the LAN: `connect` starts and returns at once.

use core::fmt;
use core::net::IpAddr;

use crate::stream::ByteStream;
use crate::tls::{TlsError, Trust};

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

    /// Starts TLS and returns at once: [`connection`](Self::connection) is pending until a server
    /// that `trust` is content with has shown itself, and octets pass only then. A connection that
    /// is not open yet goes on to TLS by itself. For a connection it is started once.
    ///
    /// What the server has sent before is no part of it: who has read ahead must not believe that.
    fn start_tls(&mut self, trust: Trust<'_>);

    /// Whether the other end is [near](is_near). False while that is not known.
    fn is_near(&self) -> bool;
}

/// Whether `address` is one of this machine, or of a network that no stranger's path leads
/// through: loopback, private (RFC 1918, RFC 4193), link-local (RFC 3927, RFC 4291 §2.5.6).
#[must_use]
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
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
    /// The server was reached, and there is no TLS with it.
    Tls(TlsError),
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
            Self::Tls(error) => error.fmt(f),
            Self::Failed(errno) => write!(f, "system error {errno}"),
        }
    }
}

impl core::error::Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_what_is_reached_without_a_stranger() {
        let near = [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.178.1",
            "169.254.1.1",
            "::1",
            "::ffff:192.168.1.1",
            "fd00::1",
            "fe80::1",
        ];
        let far = [
            "0.0.0.0",
            "8.8.8.8",
            "172.15.255.255",
            "172.32.0.1",
            "192.169.0.1",
            // Shared by a provider's customers (RFC 6598).
            "100.64.0.1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "::",
            "fec0::1",
        ];
        for (addresses, expected) in [(&near[..], true), (&far[..], false)] {
            for address in addresses {
                let parsed = address.parse().unwrap();
                assert_eq!(is_near(parsed), expected, "{address}");
            }
        }
    }
}
