//! What an owner can do about a visit that came to no safe connection: one line.

use core::fmt;

use hal::lan::ConnectError;
use hal::{Fingerprint, TlsError};

use super::Failure;
use super::remote::Kind;
use crate::config::value::Date;
use crate::imap::client::Kind as ImapKind;
use crate::pop3::client::Kind as Pop3Kind;

/// What to do; `Display` is the line, with the words to be typed.
#[derive(Clone, Copy, Debug)]
pub struct Advice<'a> {
    user: &'a str,
    fix: Fix,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
enum Fix {
    /// Trust this certificate, or its authority.
    Pin(Fingerprint),
    /// Trust this certificate in place of another.
    PinAnother(Fingerprint),
    /// Call the server by the name that its certificate has.
    Rename(Fingerprint),
    /// The certificate is to be renewed, unless it is the clock that is wrong.
    Renew { until: u64, now: u64 },
    /// The clock is to be set.
    SetClock { from: u64, now: u64 },
    /// Another port, or another URL.
    OtherPort,
    /// Do without TLS, knowingly.
    GoWithout,
    /// The machine needs a list of authorities.
    Install,
    /// The file that `ca` names is to be put right.
    File,
}

impl Failure {
    /// What the owner of `user` can do about it, where that is known.
    #[must_use]
    pub fn advice<'a>(&self, user: &'a str) -> Option<Advice<'a>> {
        let fix = match self {
            Self::Connect(ConnectError::Tls(error)) => fix(error)?,
            Self::NoTls | Self::InClear => Fix::GoWithout,
            Self::Refused {
                kind: Kind::Pop3(Pop3Kind::Stls) | Kind::Imap(ImapKind::Starttls),
                ..
            } => Fix::GoWithout,
            _ => return None,
        };
        Some(Advice { user, fix })
    }
}

fn fix(error: &TlsError) -> Option<Fix> {
    Some(match *error {
        TlsError::UnknownAuthority(seen) | TlsError::Unfit(seen) => Fix::Pin(seen),
        TlsError::OtherCertificate(seen) => Fix::PinAnother(seen),
        TlsError::OtherName(seen) => Fix::Rename(seen),
        TlsError::Expired { until, now } => Fix::Renew { until, now },
        TlsError::NotYetValid { from, now } => Fix::SetClock { from, now },
        TlsError::NotTls | TlsError::Cut => Fix::OtherPort,
        TlsError::NothingInCommon => Fix::GoWithout,
        TlsError::NoAuthorities => Fix::Install,
        TlsError::Unreadable | TlsError::NoCertificates => Fix::File,
        TlsError::Refused(_) | TlsError::Misbehaved | TlsError::BadName => return None,
    })
}

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user;
        match self.fix {
            Fix::Pin(seen) => write!(f, "if it is yours: user {user} pin {seen}, or ca FILE"),
            Fix::PinAnother(seen) => write!(f, "if it is yours: user {user} pin {seen}"),
            Fix::Rename(seen) => {
                write!(f, "source by its name, or: user {user} pin {seen}")
            }
            Fix::Renew { until, now } => write!(
                f,
                "it was valid until {}, this clock says {}: the server needs a new one, or clock \
                 set, ntp HOST",
                Day(until),
                Day(now)
            ),
            Fix::SetClock { from, now } => write!(
                f,
                "it is valid from {}, this clock says {}: clock set DATE TIME, or ntp HOST",
                Day(from),
                Day(now)
            ),
            Fix::OtherPort => f.write_str(
                "is that the port for TLS? pop3s:// means 995, imaps:// means 993; pop3:// and \
                 imap:// begin without",
            ),
            Fix::GoWithout => write!(
                f,
                "ask for pop3s:// or imaps:// there; or, all in clear: user {user} tls off"
            ),
            Fix::Install => write!(
                f,
                "install ca-certificates, or say user {user} ca FILE, or pin HASH"
            ),
            Fix::File => write!(f, "expected certificates in PEM: user {user} ca FILE"),
        }
    }
}

/// The day of a moment in seconds since 1970-01-01 00:00 UTC.
struct Day(u64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Beyond the calendar its last day stands for all.
        Date::from_days(u16::try_from(self.0 / 86_400).unwrap_or(u16::MAX)).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn every_fault_of_a_certificate_names_what_to_type() {
        let seen = Fingerprint([0xab; 32]);
        let day = 86_400 * 20_000;
        let cases = [
            (
                TlsError::UnknownAuthority(seen),
                "user anna pin sha256:abab",
            ),
            (TlsError::Unfit(seen), "user anna pin sha256:abab"),
            (
                TlsError::OtherCertificate(seen),
                "user anna pin sha256:abab",
            ),
            (TlsError::OtherName(seen), "user anna pin sha256:abab"),
            (
                TlsError::Expired {
                    until: day,
                    now: 2 * day,
                },
                "until 2024-10-04, this clock says 2079-07-08: ",
            ),
            (
                TlsError::NotYetValid { from: day, now: 0 },
                "from 2024-10-04, this clock says 1970-01-01: clock set DATE TIME",
            ),
            (TlsError::NotTls, "pop3s:// means 995"),
            (TlsError::NothingInCommon, "user anna tls off"),
            (TlsError::NoAuthorities, "user anna ca FILE"),
            (TlsError::Unreadable, "user anna ca FILE"),
            (TlsError::NoCertificates, "user anna ca FILE"),
        ];
        let failures = cases.map(|(error, words)| {
            let failure = Failure::Connect(ConnectError::Tls(error));
            (failure, words)
        });
        let others = [
            (Failure::NoTls, "user anna tls off"),
            (Failure::InClear, "user anna tls off"),
        ];
        for (failure, words) in failures.into_iter().chain(others) {
            let advice = failure.advice("anna").unwrap().to_string();
            assert!(advice.contains(words), "{advice}");
            // Two rows of a terminal, with a name of its usual length before it.
            assert!(advice.len() <= 150, "{advice}");
        }
        assert!(Failure::Closed.advice("anna").is_none());
    }
}
