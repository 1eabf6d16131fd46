//! Whom to believe at the other end of a TLS connection, and why not.

use core::fmt;

/// What makes a server's certificate a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// An authority that this machine trusts has signed it for the host's name, and it is valid
    /// today.
    Machine,
    /// The same, but the authorities are those in this PEM file, and no others.
    Authorities(&'a str),
    /// It is this one. Nothing else is asked of it: who signed it, for which name, until when.
    Pin(Fingerprint),
}

/// SHA-256 of a certificate, as `openssl x509 -fingerprint -sha256` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// What stands before its digits.
    pub const PREFIX: &'static str = "sha256:";

    /// Reads `sha256:` and 64 hexadecimal digits of either case, with colons between octets or
    /// without.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, digits) = text.split_at_checked(Self::PREFIX.len())?;
        if !prefix.eq_ignore_ascii_case(Self::PREFIX) {
            return None;
        }
        let colons = digits.contains(':');
        let mut digits = digits.chars();
        let mut octets = [0; 32];
        for (at, octet) in octets.iter_mut().enumerate() {
            if colons && at > 0 && digits.next()? != ':' {
                return None;
            }
            let high = digits.next()?.to_digit(16)?;
            let low = digits.next()?.to_digit(16)?;
            *octet = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// Why there is no TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// No authority that is trusted has signed this certificate.
    UnknownAuthority(Fingerprint),
    /// This certificate is another one than the one that is trusted.
    OtherCertificate(Fingerprint),
    /// This certificate is for another host.
    OtherName(Fingerprint),
    /// It was valid until a moment before now; both in seconds since 1970-01-01 00:00 UTC.
    Expired {
        /// Its last moment.
        until: u64,
        /// Now.
        now: u64,
    },
    /// It is valid only from a moment after now; both in seconds since 1970-01-01 00:00 UTC.
    NotYetValid {
        /// Its first moment.
        from: u64,
        /// Now.
        now: u64,
    },
    /// This certificate cannot be judged: it is an authority's own, or made for something else, or
    /// by an algorithm that nobody uses any more.
    Unfit(Fingerprint),
    /// What the server sends is no TLS.
    NotTls,
    /// The server speaks only versions or ciphers that are not safe any more.
    NothingInCommon,
    /// The server refuses, with this alert (RFC 8446 §6).
    Refused(u8),
    /// The server breaks the rules of TLS.
    Misbehaved,
    /// The server closed the connection before it was secure.
    Cut,
    /// This machine has no list of authorities.
    NoAuthorities,
    /// The file of authorities cannot be read.
    Unreadable,
    /// There is no certificate in the file of authorities.
    NoCertificates,
    /// The host's name is none that a certificate can be for.
    BadName,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAuthority(_) => "certificate signed by an unknown authority",
            Self::OtherCertificate(_) => "another certificate than the pinned one",
            Self::OtherName(_) => "certificate made for another host",
            Self::Expired { .. } => "certificate expired",
            Self::NotYetValid { .. } => "certificate not valid yet",
            Self::Unfit(_) => "certificate that is an authority's own, or of no kind that is known",
            Self::NotTls => "what the server sends is no TLS",
            Self::NothingInCommon => "the server speaks no version of TLS that is safe",
            Self::Refused(alert) => return write!(f, "the server refuses TLS: alert {alert}"),
            Self::Misbehaved => "the server breaks the rules of TLS",
            Self::Cut => "the server closed the connection before it was secure",
            Self::NoAuthorities => "no list of authorities on this machine",
            Self::Unreadable => "the file of authorities cannot be read",
            Self::NoCertificates => "no certificate in the file of authorities",
            Self::BadName => "no certificate can be for a host of that name",
        })
    }
}

impl core::error::Error for TlsError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_programs_print_it() {
        let octets: [u8; 32] = core::array::from_fn(|at| u8::try_from(at * 7 + 3).unwrap());
        let plain = Fingerprint(octets).to_string();
        assert_eq!(plain.len(), 7 + 64);
        let pairs: Vec<String> = octets.iter().map(|o| format!("{o:02X}")).collect();
        let colons = format!("SHA256:{}", pairs.join(":"));
        for text in [&plain, &plain.to_uppercase(), &colons] {
            assert_eq!(
                Fingerprint::parse(text),
                Some(Fingerprint(octets)),
                "{text}"
            );
        }
        // Nothing shorter, nothing longer, no other sign at any place.
        for end in 0..plain.len() {
            assert_eq!(Fingerprint::parse(&plain[..end]), None, "{end}");
            let mut other = plain.clone();
            other.replace_range(end..=end, "g");
            assert_eq!(Fingerprint::parse(&other), None, "{other}");
        }
        for end in 0..colons.len() {
            assert_eq!(Fingerprint::parse(&colons[..end]), None, "{end}");
        }
        for text in [
            format!("{plain}0"),
            format!("{plain} "),
            format!("{colons}:"),
        ] {
            assert_eq!(Fingerprint::parse(&text), None, "{text}");
        }
        assert_eq!(Fingerprint::parse(&plain.replace("sha256", "sha512")), None);
        assert_eq!(Fingerprint::parse("sha256:é"), None);
    }
}
