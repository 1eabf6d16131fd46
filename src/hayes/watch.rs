//! How the loss of a caller shows, and how a caller's typing does not.
//!
//! A modem tells the loss of carrier twice: by circuit 109, and by `NO CARRIER` among the octets
//! received. Not every port has the circuit, not every modem drives it, and anybody can type the
//! words. So the circuit counts only if it was seen on; and the words count only as a complete
//! line, with nothing of a caller's behind it (a half line, or commands that wait, may stand
//! before it), and then like this:
//!
//! ```text
//! circuit on          the caller types it: the line stays for POP3
//! circuit off, seen on before        lost
//! circuit unknown, or never on       hold back, 1.5 s silence, AT; OK within 2 s: lost
//!   .. and OK or ERROR behind it     lost: a modem in command state reads what is still queued
//! ```
//!
//! What turns out to be typed stays in the link, untouched.

use core::fmt;

use hal::{Circuit, Duration, Instant};

use super::command;
use super::result::{self, ResultCode};
use crate::config::Carrier;
use crate::link::Link;

/// There is no event for circuit 109: look at it now and then.
const LOOK: Duration = Duration::from_millis(250);
/// A modem that drives circuit 109 has done so this long after `CONNECT`.
const LATE_CARRIER: Duration = Duration::from_secs(5);
/// Between `NO CARRIER` and the question whether the modem is in command state.
const SILENCE: Duration = Duration::from_millis(1500);
/// For what was sent before to leave first; what hangs longer is no modem in command state.
const DRAIN: Duration = Duration::from_secs(10);
/// For the `OK`.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest end of a `NO CARRIER` line: a host and a port.
const SUFFIX_OCTETS: usize = 80;

/// How the loss of a caller showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Circuit 109 went off.
    Circuit,
    /// The modem said so.
    Text,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Circuit => "carrier detect went off",
            Self::Text => "the modem said NO CARRIER",
        })
    }
}

/// Watches over one call.
#[derive(Debug)]
pub(super) struct Watch {
    carrier: Carrier,
    /// The modem speaks in numbers.
    numeric: bool,
    since: Instant,
    /// Circuit 109 has been on in this call: that it goes off means something.
    trusted: bool,
    /// The next look at the circuit; `None` if it tells nothing.
    look: Option<Instant>,
    doubt: Doubt,
    /// Up to here, counted in octets received, a line was found to be the caller's.
    passed: u64,
}

/// How far we are with a line that may be the modem's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// There is none.
    None,
    /// Nothing may come for a while. `line` octets of the link are the line.
    Silence {
        line: usize,
        due: Instant,
        give_up: Instant,
    },
    /// The modem was asked.
    Asked { line: usize, due: Instant },
}

/// What stands behind a line in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing, or what a modem says by itself.
    Quiet,
    /// The beginning of something.
    Partial,
    /// What a modem in command state says: `OK` or `ERROR`.
    Ok,
    /// What only a caller sends.
    Caller,
}

impl Watch {
    pub(super) fn new(now: Instant, carrier: Carrier, numeric: bool, trusted: bool) -> Self {
        Self {
            carrier,
            numeric,
            since: now,
            trusted,
            look: Some(now),
            doubt: Doubt::None,
            passed: 0,
        }
    }

    pub(super) fn step(&mut self, now: Instant, link: &mut Link, dcd: Circuit) -> Option<Loss> {
        if self.circuit(now, dcd) {
            return Some(Loss::Circuit);
        }
        if !matches!(self.carrier, Carrier::Auto | Carrier::Text) {
            return None;
        }
        if self.doubt == Doubt::None {
            self.suspect(now, link, dcd);
        }
        self.resolve(now, link)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let doubt = match self.doubt {
            Doubt::None => None,
            Doubt::Silence { due, .. } | Doubt::Asked { due, .. } => Some(due),
        };
        self.look.into_iter().chain(doubt).min()
    }

    /// Whether nobody may read the link now.
    pub(super) fn holds(&self) -> bool {
        self.doubt != Doubt::None
    }

    /// Whether the circuit tells that the caller is gone.
    fn circuit(&mut self, now: Instant, dcd: Circuit) -> bool {
        let early = now.since(self.since) < LATE_CARRIER;
        if dcd == Circuit::On && early {
            self.trusted = true;
        }
        let (counts, matters) = match self.carrier {
            Carrier::Auto => (self.trusted, self.trusted || early),
            Carrier::Dcd => (self.trusted || !early, true),
            Carrier::Text | Carrier::None => (false, false),
        };
        let known = dcd != Circuit::Unknown;
        self.look = match self.look {
            _ if !(matters && known) => None,
            Some(look) if look > now => Some(look),
            _ => Some(now + LOOK),
        };
        counts && dcd == Circuit::Off
    }

    /// Looks for a line that may be the modem's in what is unread.
    fn suspect(&mut self, now: Instant, link: &Link, dcd: Circuit) {
        let unread = link.peek();
        let start = link.received().saturating_sub(unread.len() as u64);
        let passed = self.passed.saturating_sub(start);
        let Some(line) = told_loss(unread, passed, self.numeric) else {
            // All but the last line, which may not be complete, is the caller's: many commands may
            // wait, and nobody looks at them twice.
            let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
            let last = unread.iter().rposition(is_end).map_or(0, |at| at + 1);
            self.passed = self.passed.max(start + last as u64);
            return;
        };
        // `carrier text` does not believe in circuits.
        if self.carrier == Carrier::Auto && dcd == Circuit::On {
            self.passed = start + line as u64;
            return;
        }
        self.doubt = Doubt::Silence {
            line,
            due: now + SILENCE,
            give_up: now + DRAIN,
        };
    }

    fn resolve(&mut self, now: Instant, link: &mut Link) -> Option<Loss> {
        match self.doubt {
            Doubt::None => {}
            Doubt::Silence { line, due, give_up } => {
                let tail = tail(link.peek().get(line..).unwrap_or_default());
                if tail == Tail::Ok {
                    return Some(Loss::Text);
                }
                if tail == Tail::Caller || now >= give_up {
                    self.give_back(line, link);
                } else if now >= due && link.unsent() > 0 {
                    // In front of our question, it would be the modem that reads it.
                    self.doubt = Doubt::Silence {
                        line,
                        due: now + LOOK,
                        give_up,
                    };
                } else if now >= due && tail == Tail::Partial {
                    self.give_back(line, link);
                } else if now >= due {
                    link.put(command::ATTENTION.as_bytes());
                    link.put(b"\r");
                    self.doubt = Doubt::Asked {
                        line,
                        due: now + PATIENCE,
                    };
                }
            }
            Doubt::Asked { line, due } => match tail(link.peek().get(line..).unwrap_or_default()) {
                Tail::Ok => return Some(Loss::Text),
                Tail::Caller => self.give_back(line, link),
                Tail::Quiet | Tail::Partial if now >= due => self.give_back(line, link),
                Tail::Quiet | Tail::Partial => {}
            },
        }
        None
    }

    fn give_back(&mut self, line: usize, link: &Link) {
        let start = link.received().saturating_sub(link.peek().len() as u64);
        self.passed = start + line as u64;
        self.doubt = Doubt::None;
    }
}

/// Where a line ends by which a modem may tell the loss of carrier: the first one in
/// `unread` that ends behind `passed`.
fn told_loss(unread: &[u8], passed: u64, numeric: bool) -> Option<usize> {
    let is_start = |at: usize| match at.checked_sub(1) {
        None => true,
        Some(before) => matches!(unread.get(before), Some(b'\r' | b'\n')),
    };
    let first = usize::try_from(passed).unwrap_or(usize::MAX);
    let starts = (first..unread.len()).filter(|&at| is_start(at));
    let mut ends = starts.filter_map(|at| Some(at + loss_line(unread.get(at..)?, numeric)?));
    ends.find(|&end| end as u64 > passed)
}

/// How many octets of `unread` are a complete line by which a modem tells the loss of carrier,
/// with the line ends around it. Modems use capitals.
fn loss_line(unread: &[u8], numeric: bool) -> Option<usize> {
    let is_end = |octet: &u8| matches!(octet, b'\r' | b'\n');
    let blank = unread
        .iter()
        .take(4)
        .take_while(|octet| is_end(octet))
        .count();
    let rest = unread.get(blank..)?;
    let length = rest.iter().take(SUFFIX_OCTETS).position(is_end)?;
    let line = rest.get(..length)?;
    let suffix = line.strip_prefix(b"NO CARRIER");
    let told = suffix.is_some_and(|suffix| matches!(suffix.first(), None | Some(b' ')));
    let told = told || (numeric && line == b"3");
    if !told {
        return None;
    }
    let ends = rest
        .iter()
        .skip(length)
        .take(2)
        .take_while(|octet| is_end(octet));
    Some(blank + length + ends.count())
}

fn tail(mut octets: &[u8]) -> Tail {
    loop {
        let scan = result::scan(octets);
        match scan.code {
            None if scan.too_long => return Tail::Caller,
            None if scan.used == 0 && octets.is_empty() => return Tail::Quiet,
            None if scan.used == 0 => return Tail::Partial,
            // A new call may follow the lost one at once.
            None | Some(ResultCode::Ring(_) | ResultCode::Number(_)) => {}
            Some(ResultCode::Ok | ResultCode::Error) => return Tail::Ok,
            Some(_) if octets.starts_with(command::ATTENTION.as_bytes()) => {}
            Some(_) => return Tail::Caller,
        }
        octets = octets.get(scan.used..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u32) -> Instant {
        Instant::ZERO + MS * ms
    }

    fn watch(carrier: Carrier) -> Watch {
        Watch::new(Instant::ZERO, carrier, false, false)
    }

    /// What is queued reaches a modem in command state, and it answers: the caller is gone.
    #[test]
    fn a_loss_behind_other_lines_or_before_errors_is_seen() {
        for (unread, loss) in [
            (&b"U\r\nNO CARRIER\r\n\r\nERROR\r\n"[..], Some(Loss::Text)),
            (
                b"\r\nNO CARRIER\r\n\r\nERROR\r\n\r\nERROR\r\n",
                Some(Loss::Text),
            ),
            (
                b"RETR 2\r\nQUIT\r\n\r\nNO CARRIER\r\n\r\nOK\r\n",
                Some(Loss::Text),
            ),
            (b"NO CARRIER\r\nNOOP\r\n", None),
        ] {
            let (mut watch, mut link) = (watch(Carrier::Text), Link::new());
            link.feed(unread);
            let seen = watch.step(at(10_000), &mut link, Circuit::Unknown);
            assert_eq!(seen, loss, "{}", unread.escape_ascii());
        }
    }

    #[test]
    fn lines_that_tell_the_loss() {
        for (unread, expected) in [
            (&b"NO CARRIER\r\n"[..], Some(12)),
            (b"\r\nNO CARRIER\r\n", Some(14)),
            (b"NO CARRIER\r", Some(11)),
            (b"NO CARRIER (00:01:23)\r\n", Some(23)),
            (b"NO CARRIER 1 host:23\r\nx", Some(22)),
            (b"NO CARRIER", None),
            (b"NO CARRIERS\r\n", None),
            (b"no carrier\r\n", None),
            (b"USER a\r\nNO CARRIER\r\n", None),
            (b" NO CARRIER\r\n", None),
            (b"3\r", None),
            (b"", None),
        ] {
            assert_eq!(loss_line(unread, false), expected, "{unread:?}");
        }
        assert_eq!(loss_line(b"3\r", true), Some(2));
        assert_eq!(loss_line(b"33\r", true), None);
        let mut long = b"NO CARRIER ".to_vec();
        long.extend([b'x'; 200]);
        long.extend(b"\r\n");
        assert_eq!(loss_line(&long, false), None);
    }

    #[test]
    fn the_circuit_counts_only_if_it_was_on() {
        for (carrier, first, then, when, expected) in [
            (Carrier::Auto, Circuit::On, Circuit::Off, 300, true),
            (Carrier::Auto, Circuit::Off, Circuit::Off, 60_000, false), // edge 18
            (
                Carrier::Auto,
                Circuit::Unknown,
                Circuit::Unknown,
                60_000,
                false,
            ),
            (Carrier::Dcd, Circuit::Off, Circuit::Off, 300, false),
            (Carrier::Dcd, Circuit::Off, Circuit::Off, 5_000, true),
            (Carrier::Dcd, Circuit::On, Circuit::Off, 300, true),
            (Carrier::Text, Circuit::On, Circuit::Off, 300, false),
            (Carrier::None, Circuit::On, Circuit::Off, 300, false),
        ] {
            let mut watch = watch(carrier);
            let mut link = Link::new();
            assert_eq!(watch.step(at(0), &mut link, first), None);
            let loss = watch.step(at(when), &mut link, then);
            assert_eq!(
                loss,
                expected.then_some(Loss::Circuit),
                "{carrier:?} {first:?}"
            );
        }
    }

    #[test]
    fn edge_18_a_circuit_that_comes_late_counts_and_later_ones_do_not() {
        for (on, expected) in [(4_999, Some(Loss::Circuit)), (5_000, None)] {
            let mut watch = watch(Carrier::Auto);
            let mut link = Link::new();
            watch.step(at(0), &mut link, Circuit::Off);
            watch.step(at(on), &mut link, Circuit::On);
            assert_eq!(watch.step(at(9_000), &mut link, Circuit::Off), expected);
        }
    }

    #[test]
    fn edge_16_typed_with_the_circuit_on_it_is_the_callers() {
        let mut watch = watch(Carrier::Auto);
        let mut link = Link::new();
        link.feed(b"NO CARRIER\r\n");
        assert_eq!(watch.step(at(0), &mut link, Circuit::On), None);
        assert!(!watch.holds());
        assert_eq!(link.peek(), b"NO CARRIER\r\n");
        link.consume(12);
        link.feed(b"NO CARRIER\r\n");
        assert_eq!(
            watch.step(at(1), &mut link, Circuit::Off),
            Some(Loss::Circuit)
        );
    }

    #[test]
    fn edge_16_without_a_circuit_the_modem_is_asked() {
        for (answer, expected) in [
            (&b"\r\nOK\r\n"[..], Some(Loss::Text)),
            (b"AT\r\r\nOK\r\n", Some(Loss::Text)),
            (b"0\r", Some(Loss::Text)),
            (b"\r\nRING\r\n\r\nOK\r\n", Some(Loss::Text)),
            (b"STAT\r\n", None),
            (b"", None),
            (b"OKAY\r\n", None),
            (b"OK", None),
        ] {
            for circuit in [Circuit::Unknown, Circuit::Off] {
                let mut watch = watch(Carrier::Auto);
                let mut link = Link::new();
                link.feed(b"\r\nNO CARRIER\r\n");
                assert_eq!(watch.step(at(10), &mut link, circuit), None);
                assert!(watch.holds());
                assert_eq!(watch.step(at(1509), &mut link, circuit), None);
                assert!(link.output().is_empty());
                assert_eq!(watch.step(at(1510), &mut link, circuit), None);
                assert_eq!(link.output(), b"AT\r");
                link.feed(answer);
                let loss = watch.step(at(1600), &mut link, circuit);
                assert_eq!(loss, expected, "{answer:?}");
                if expected.is_none() {
                    watch.step(at(3510), &mut link, circuit);
                    assert!(!watch.holds());
                    let mut unread = b"\r\nNO CARRIER\r\n".to_vec();
                    unread.extend(answer);
                    assert_eq!(link.peek(), unread);
                    // Read or not, the same line raises no second doubt.
                    watch.step(at(3600), &mut link, circuit);
                    link.consume(2);
                    watch.step(at(3700), &mut link, circuit);
                    assert!(!watch.holds());
                }
            }
        }
    }

    #[test]
    fn edge_16_whoever_types_on_is_a_caller() {
        for cut in 0..6 {
            let mut watch = watch(Carrier::Auto);
            let mut link = Link::new();
            link.feed(b"NO CARRIER\r\n");
            watch.step(at(0), &mut link, Circuit::Unknown);
            link.feed(&b"STAT\r\n"[..cut]);
            watch.step(at(1000), &mut link, Circuit::Unknown);
            link.feed(&b"STAT\r\n"[cut..]);
            watch.step(at(1400), &mut link, Circuit::Unknown);
            assert!(!watch.holds());
            assert_eq!(link.peek(), b"NO CARRIER\r\nSTAT\r\n");
            assert!(link.output().is_empty());
        }
    }

    #[test]
    fn edge_17_the_question_waits_until_all_before_it_has_left() {
        let mut watch = watch(Carrier::Auto);
        let mut link = Link::new();
        link.put(b"a mail");
        link.feed(b"NO CARRIER\r\n");
        watch.step(at(0), &mut link, Circuit::Unknown);
        watch.step(at(1500), &mut link, Circuit::Unknown);
        assert_eq!(link.output(), b"a mail");
        link.take_output(6);
        watch.step(at(1750), &mut link, Circuit::Unknown);
        assert_eq!(link.output(), b"AT\r");
        // And a line that never drains is given back.
        let mut watch = self::watch(Carrier::Auto);
        let mut link = Link::new();
        link.put(b"a mail");
        link.feed(b"NO CARRIER\r\n");
        for ms in (0..=10_000).step_by(250) {
            assert_eq!(watch.step(at(ms), &mut link, Circuit::Unknown), None);
        }
        assert!(!watch.holds());
    }
}
