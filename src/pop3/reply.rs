//! What a caller is told: every reply of one line, and `CAPA`'s, in one table.
//!
//! RFC 1939 §3, with the response codes of RFC 2449 §8 and RFC 3206. Each octet costs line time,
//! 0.3 ms of it at 33600 bit/s, and few clients show these texts to anybody: they are short, and
//! those that a person may meet are whole words.

use core::fmt::{self, Display, Write};

use heapless::String;

use super::command::Malformed;
use crate::link::Link;
use crate::sasl::Mechanism;

/// Room that any one reply fits in. RFC 1939 §3 limits a reply's line to so many octets, with
/// its CR LF; `CAPA`'s lines fit together.
pub const REPLY_OCTETS: usize = 512;

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The first thing said.
    Greeting {
        /// Name of this machine; may be empty.
        hostname: &'a str,
        /// The timestamp that `APOP` digests (RFC 1939 §7), in angle brackets; empty: no `APOP`.
        stamp: &'a str,
    },
    /// Done.
    Ok,
    /// To `STAT`.
    Total {
        /// Messages that are not deleted.
        messages: u32,
        /// Their octets.
        octets: u64,
    },
    /// To `LIST msg`.
    Scan {
        /// The message-number.
        number: u32,
        /// Its size.
        octets: u64,
    },
    /// To `UIDL msg`.
    UniqueId {
        /// The message-number.
        number: u32,
        /// Its unique-id.
        uid: &'a str,
    },
    /// To `RETR`; the message follows.
    Message {
        /// Its size.
        octets: u64,
    },
    /// To `AUTH` alone: the mechanisms, with all lines but the terminator's CR LF.
    Mechanisms,
    /// `AUTH` by a mechanism that is not ours.
    UnknownMechanism,
    /// To `CAPA`, with all its lines but the terminator's CR LF.
    Capabilities(Expire),
    /// The maildrop is not opened.
    Refused(Refusal),
    /// The last password of this call was wrong too.
    TooManyFailures,
    /// The line is no command.
    Malformed(Malformed),
    /// The line is the last wrong one of this call.
    TooManyErrors,
    /// Not before `PASS`.
    LogInFirst,
    /// `PASS` without `USER`.
    UserFirst,
    /// `USER` or `PASS` in the TRANSACTION state.
    LoggedIn,
    /// No message has this number.
    NoSuchMessage,
    /// The message is marked as deleted.
    Deleted,
    /// The message is not to be had now.
    Unavailable,
    /// `QUIT`, and nothing was made durable.
    NotCommitted,
}

/// Why a maildrop is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Name or password is wrong. Nobody is told which.
    Password,
    /// Another call has it open.
    InUse,
    /// The store or another part fails for now.
    Temporary,
    /// It will not be opened until the owner has done something.
    Permanent,
    /// The caller broke off.
    Cancelled,
    /// What the caller sent is no base64, or not what the mechanism has at its place.
    Malformed,
}

/// What `CAPA` says of how long messages are kept once they were read (RFC 2449 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// Until they are deleted.
    Never,
    /// Not at all: what was sent whole is gone after `QUIT` (`taken-by retr`).
    Zero,
    /// That depends on the user, who has not logged in yet.
    ZeroForSome,
}

impl Reply<'_> {
    /// Queues this reply with its CR LF, whole or not at all; returns whether it was.
    /// [`REPLY_OCTETS`] of room are always enough.
    pub fn put(&self, link: &mut Link) -> bool {
        put_line(link, self)
    }
}

/// Queues one line of a multi-line response, or a whole reply, and its CR LF: all of it or
/// nothing; returns whether it was. What goes beyond [`REPLY_OCTETS`] is cut.
pub fn put_line(link: &mut Link, line: &impl Display) -> bool {
    let mut text = String::<{ REPLY_OCTETS - 2 }>::new();
    let mut uncut = Cut(&mut text);
    // `Cut` never fails.
    let _ = write!(uncut, "{line}");
    link.room() >= text.len() + 2 && link.put(text.as_bytes()) && link.put(b"\r\n")
}

impl Display for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Greeting { hostname, stamp } => {
                let blank = |text: &str| if text.is_empty() { "" } else { " " };
                let (before, between) = (blank(hostname), blank(stamp));
                write!(f, "+OK{before}{hostname} ringmail ready{between}{stamp}")
            }
            Self::Ok => f.write_str("+OK"),
            Self::Total { messages, octets } => write!(f, "+OK {messages} {octets}"),
            Self::Scan { number, octets } => write!(f, "+OK {number} {octets}"),
            Self::UniqueId { number, uid } => write!(f, "+OK {number} {uid}"),
            Self::Message { octets } => write!(f, "+OK {octets} octets"),
            Self::Capabilities(expire) => write!(f, "{CAPABILITIES}EXPIRE {expire}\r\n."),
            Self::Mechanisms => {
                f.write_str("+OK\r\n")?;
                for mechanism in Mechanism::ALL.into_iter().rev() {
                    write!(f, "{mechanism}\r\n")?;
                }
                f.write_str(".")
            }
            Self::UnknownMechanism => f.write_str("-ERR unknown mechanism"),
            Self::Refused(refusal) => write!(f, "-ERR {refusal}"),
            Self::TooManyFailures => f.write_str("-ERR [AUTH] too many wrong passwords"),
            Self::Malformed(malformed) => write!(f, "-ERR {malformed}"),
            Self::TooManyErrors => f.write_str("-ERR too many errors"),
            Self::LogInFirst => f.write_str("-ERR log in first"),
            Self::UserFirst => f.write_str("-ERR USER first"),
            Self::LoggedIn => f.write_str("-ERR already logged in"),
            Self::NoSuchMessage => f.write_str("-ERR no such message"),
            Self::Deleted => f.write_str("-ERR message is deleted"),
            Self::Unavailable => f.write_str("-ERR [SYS/TEMP] message not available now"),
            Self::NotCommitted => f.write_str("-ERR [SYS/TEMP] nothing was deleted"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "[AUTH] wrong name or password",
            Self::InUse => "[IN-USE] another call has this maildrop open",
            Self::Temporary => "[SYS/TEMP] try again later",
            Self::Permanent => "[SYS/PERM] ask the owner",
            Self::Cancelled => "cancelled",
            Self::Malformed => "not a response of this mechanism",
        })
    }
}

impl Display for Expire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Never => "NEVER",
            Self::Zero => "0",
            Self::ZeroForSome => "0 USER",
        })
    }
}

const CAPABILITIES: &str = "+OK\r\nTOP\r\nUIDL\r\nUSER\r\nPIPELINING\r\nRESP-CODES\r\n\
    AUTH-RESP-CODE\r\nLOGIN-DELAY 0\r\nSASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN\r\n\
    IMPLEMENTATION ringmail\r\n";

/// Writes what fits and drops the rest.
struct Cut<'a, const N: usize>(&'a mut String<N>);

impl<const N: usize> Write for Cut<'_, N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.push(character).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::LINK_OCTETS;

    #[test]
    fn the_longest_of_each_fits_in_the_room_asked_for() {
        let uid = "x".repeat(70);
        let long = "h".repeat(1000);
        let replies = [
            Reply::Greeting {
                hostname: "",
                stamp: "",
            },
            Reply::Greeting {
                hostname: &long,
                stamp: "<a@b>",
            },
            Reply::Mechanisms,
            Reply::Total {
                messages: u32::MAX,
                octets: u64::MAX,
            },
            Reply::UniqueId {
                number: u32::MAX,
                uid: &uid,
            },
            Reply::Capabilities(Expire::ZeroForSome),
            Reply::Refused(Refusal::InUse),
        ];
        for reply in replies {
            let mut link = Link::new();
            assert!(link.put(&[b'x'; LINK_OCTETS - REPLY_OCTETS]));
            assert!(reply.put(&mut link), "{reply:?}");
            assert!(link.output().ends_with(b"\r\n"));
        }
    }

    #[test]
    fn capa_and_the_list_of_auth_name_the_same_mechanisms() {
        let capabilities = Reply::Capabilities(Expire::Never).to_string();
        let line = capabilities.lines().find(|line| line.starts_with("SASL "));
        let named: Vec<_> = line
            .unwrap()
            .split(' ')
            .skip(1)
            .map(str::to_owned)
            .collect();
        let listed = Reply::Mechanisms.to_string();
        let listed: Vec<_> = listed.lines().collect();
        assert_eq!(listed[1..listed.len() - 1], named);
        assert_eq!((listed[0], listed[listed.len() - 1]), ("+OK", "."));
    }

    #[test]
    fn a_reply_that_does_not_fit_is_not_begun() {
        for room in 0..6 {
            let mut link = Link::new();
            assert!(link.put(&vec![b'x'; LINK_OCTETS - room]));
            assert_eq!(Reply::Ok.put(&mut link), room >= 5);
            assert_eq!(link.room(), if room >= 5 { room - 5 } else { room });
        }
    }

    #[test]
    fn a_unique_id_line_costs_twelve_octets_at_most() {
        let mut link = Link::new();
        assert!(put_line(&mut link, &format_args!("{} {}", 999, "ab12cd")));
        assert_eq!(link.output(), b"999 ab12cd\r\n");
        assert_eq!(link.output().len(), 12);
    }
}
