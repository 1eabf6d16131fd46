//! The time of day from a server: the client of SNTP.
//!
//! RFC 4330, in what RFC 5905 §14 keeps of it: one question, one answer, no averaging. The wall
//! clock decides on days and certificates only, so half a second is more than good enough.
//!
//! ```text
//!  0 LI, version, mode · stratum · poll · precision   4     24 originate: our transmit, given back  8
//!  4 root delay, dispersion, reference                20     32 receive: when the question came     8
//!                                                            40 transmit: when the answer went      8
//! ```
//!
//! The question bears random octets for our time, which the answer gives back: nobody who did not
//! see the question can answer it, and nobody learns our clock (RFC 4330 §5 asks for no more than
//! that they agree). Servers are spared: 16 s between questions at least, more and more where none
//! answers (RFC 4330 §10).

use hal::{Duration, Instant};

/// Octets of a question, and of an answer without authentication.
pub const OCTETS: usize = 48;
/// The port of time servers.
pub const PORT: u16 = 123;

/// How long an answer may take: longer, and it would say little.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause after a question that nobody answered; RFC 4330 §10 asks for 15 s at least.
const SHORTEST: Duration = Duration::from_secs(16);
/// The longest such pause.
const LONGEST: Duration = Duration::from_secs(1024);
/// The pause after an answer. A Pi's crystal loses less than a second in it.
const REST: Duration = Duration::from_secs(6 * 3600);
/// The pause after a server said that it does not want us (a kiss of death, RFC 4330 §8).
const BANISHED: Duration = Duration::from_secs(24 * 3600);

/// Seconds from 1900, where NTP begins, to 1970.
const EPOCH: u64 = 2_208_988_800;

/// The engine.
#[derive(Debug)]
pub struct Client {
    state: State,
    pause: Duration,
}

#[derive(Debug)]
enum State {
    /// The next question is due then.
    Resting { until: Instant },
    /// A question is under way.
    Asking { since: Instant, cookie: [u8; 8] },
}

/// What the client wants, or has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// This is to be sent to the server.
    Ask([u8; OCTETS]),
    /// This is the time now.
    Time {
        /// Seconds since 1970-01-01 00:00 UTC.
        unix: u64,
        /// Microseconds after it.
        micros: u32,
    },
    /// Nobody answered, or nobody who knows the time.
    Silence,
    /// The server does not want to be asked.
    Refused,
}

impl Client {
    /// A client that asks from `until` on.
    #[must_use]
    pub const fn new(until: Instant) -> Self {
        Self {
            state: State::Resting { until },
            pause: SHORTEST,
        }
    }

    /// Goes on at `now`, with a datagram that has come, if one has; `random` gives octets that
    /// nobody can guess.
    pub fn step(
        &mut self,
        now: Instant,
        datagram: Option<&[u8]>,
        random: impl FnOnce() -> [u8; 8],
    ) -> Option<Event> {
        match self.state {
            State::Resting { until } if now < until => None,
            State::Resting { .. } => {
                let cookie = random();
                self.state = State::Asking { since: now, cookie };
                Some(Event::Ask(question(cookie)))
            }
            State::Asking { since, cookie } => {
                match datagram.map_or(Answer::NotOurs, |octets| read(octets, cookie)) {
                    Answer::Time(stamps) => {
                        self.rest(now, REST);
                        self.pause = SHORTEST;
                        let (unix, micros) = stamps.now(now - since);
                        Some(Event::Time { unix, micros })
                    }
                    Answer::Refused => {
                        self.rest(now, BANISHED);
                        Some(Event::Refused)
                    }
                    Answer::Unsure => Some(self.fail(now)),
                    Answer::NotOurs if now - since >= PATIENCE => Some(self.fail(now)),
                    Answer::NotOurs => None,
                }
            }
        }
    }

    /// When to step though nothing comes.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match self.state {
            State::Resting { until } => until,
            State::Asking { since, .. } => since + PATIENCE,
        }
    }

    fn fail(&mut self, now: Instant) -> Event {
        self.rest(now, self.pause);
        self.pause = (self.pause * 2).min(LONGEST);
        Event::Silence
    }

    fn rest(&mut self, now: Instant, pause: Duration) {
        self.state = State::Resting { until: now + pause };
    }
}

/// Version 4, mode 3 (client), and our transmit timestamp.
fn question(cookie: [u8; 8]) -> [u8; OCTETS] {
    let mut octets = [0; OCTETS];
    let (head, transmit) = octets.split_at_mut(40);
    if let Some(first) = head.first_mut() {
        *first = 4 << 3 | 3;
    }
    transmit.copy_from_slice(&cookie);
    octets
}

enum Answer {
    Time(Stamps),
    /// The server says that its own clock is not set.
    Unsure,
    /// A kiss of death.
    Refused,
    /// Not an answer to this question.
    NotOurs,
}

/// When the question came and the answer went, by the server's clock, in 2^-32 s since 1900 or 2036.
struct Stamps {
    receive: u64,
    transmit: u64,
}

/// RFC 4330 §5, the checks at its end.
fn read(octets: &[u8], cookie: [u8; 8]) -> Answer {
    let stamp = |at: usize| {
        let octets = octets.get(at..at + 8)?;
        Some(u64::from_be_bytes(octets.try_into().ok()?))
    };
    let (Some(&[first, stratum]), Some(originate), Some(receive), Some(transmit)) =
        (octets.first_chunk(), stamp(24), stamp(32), stamp(40))
    else {
        return Answer::NotOurs;
    };
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    if mode != 4 || !(3..=4).contains(&version) || originate != u64::from_be_bytes(cookie) {
        return Answer::NotOurs;
    }
    match stratum {
        0 => Answer::Refused,
        1..=15 if leap != 3 && transmit != 0 && transmit.wrapping_sub(receive) < 1 << 34 => {
            Answer::Time(Stamps { receive, transmit })
        }
        _ => Answer::Unsure,
    }
}

impl Stamps {
    /// The time now, `passed` after the question: half of what was spent on the way lies behind
    /// the answer.
    fn now(&self, passed: Duration) -> (u64, u32) {
        let worked = micros(self.transmit.wrapping_sub(self.receive));
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        let way_back = passed.saturating_sub(worked) / 2;
        // RFC 4330 §3: without the first bit it counts from 2036-02-07 06:28:16 UTC.
        let era = u64::from(self.transmit >> 63 == 0) << 32;
        // Two years before 1970 have it too: the machine refuses what is that early.
        let seconds = (era + (self.transmit >> 32)).saturating_sub(EPOCH);
        let since = micros(self.transmit & 0xffff_ffff) + way_back;
        let micros = u32::try_from(since % 1_000_000).unwrap_or(0);
        (seconds + since / 1_000_000, micros)
    }
}

/// Microseconds of so many 2^-32 s, less than 2^34 of them.
const fn micros(fractions: u64) -> u64 {
    ((fractions >> 8) * 1_000_000) >> 24
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; 8] = *b"8 octets";

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    /// What a good server answers whose clock says `transmit`, having worked `worked`.
    fn answer(transmit: u64, worked: u64) -> [u8; OCTETS] {
        let mut octets = [0; OCTETS];
        octets[0] = 4 << 3 | 4;
        octets[1] = 2;
        octets[24..32].copy_from_slice(&COOKIE);
        octets[32..40].copy_from_slice(&(transmit - worked).to_be_bytes());
        octets[40..].copy_from_slice(&transmit.to_be_bytes());
        octets
    }

    fn asking() -> Client {
        let mut client = Client::new(Instant::ZERO);
        let asked = client.step(at(1), None, || COOKIE);
        assert_eq!(asked, Some(Event::Ask(question(COOKIE))));
        client
    }

    fn no_random() -> [u8; 8] {
        panic!("nothing is asked")
    }

    /// 2026-11-23 12:00:00 UTC as NTP has it.
    const NOON: u64 = (1_795_435_200 + EPOCH) << 32;

    #[test]
    fn the_question_is_that_of_rfc_4330() {
        let octets = question(COOKIE);
        assert_eq!(octets[0], 0x23);
        assert_eq!(octets[40..], COOKIE);
        assert!(octets[1..40].iter().all(|&octet| octet == 0));
    }

    #[test]
    fn the_way_back_is_half_of_the_way() {
        // 3 s on the way, of which the server worked 1 s: it is 1 s later than it said.
        let mut client = asking();
        let time = client.step(at(4), Some(&answer(NOON, 1 << 32)), no_random);
        let expected = Event::Time {
            unix: 1_795_435_201,
            micros: 0,
        };
        assert_eq!(time, Some(expected));
        // A server that worked longer than all took is taken as it is.
        let mut client = asking();
        let time = client.step(at(1), Some(&answer(NOON | 1 << 31, 1 << 32)), no_random);
        let expected = Event::Time {
            unix: 1_795_435_200,
            micros: 500_000,
        };
        assert_eq!(time, Some(expected));
    }

    #[test]
    fn the_eras_meet_in_2036() {
        for (transmit, unix) in [
            (u64::MAX, 2_085_978_496),
            (1 << 32, 2_085_978_497),
            (1 << 63, 0),
        ] {
            let stamps = Stamps {
                receive: transmit,
                transmit,
            };
            let (seconds, micros) = stamps.now(Duration::ZERO);
            assert_eq!(seconds + u64::from(micros > 900_000), unix);
        }
    }

    #[test]
    fn what_is_no_answer_to_the_question_changes_nothing() {
        let good = answer(NOON, 0);
        let mut bad = vec![Vec::new()];
        bad.extend((0..OCTETS).map(|length| good[..length].to_vec()));
        // Each bit of version and mode, and of what must be given back.
        for bit in (0..6).chain(24 * 8..32 * 8) {
            let mut octets = good.to_vec();
            octets[bit / 8] ^= 1 << (bit % 8);
            let version = octets[0] >> 3 & 7;
            if bit >= 6 || octets[0] & 7 != 4 || !(3..=4).contains(&version) {
                bad.push(octets);
            }
        }
        let mut client = asking();
        for octets in bad {
            assert_eq!(
                client.step(at(2), Some(&octets), no_random),
                None,
                "{octets:?}"
            );
        }
        assert!(matches!(
            client.step(at(2), Some(&good), no_random),
            Some(Event::Time { .. })
        ));
    }

    #[test]
    fn a_server_that_does_not_know_is_asked_again_later() {
        let spoiled = |at: usize, octet: u8| {
            let mut octets = answer(NOON, 0);
            octets[at] = octet;
            octets
        };
        let mut zero = answer(NOON, 0);
        zero[40..].fill(0);
        let late = answer(NOON, 5 << 32);
        for octets in [
            spoiled(0, 0xe4),
            spoiled(1, 16),
            spoiled(1, 255),
            zero,
            late,
        ] {
            let mut client = asking();
            let event = client.step(at(2), Some(&octets), no_random);
            assert_eq!(event, Some(Event::Silence));
            assert_eq!(client.deadline(), at(2 + 16));
        }
    }

    #[test]
    fn silence_makes_the_pauses_longer_and_an_answer_short_again() {
        let mut client = Client::new(Instant::ZERO);
        let mut now = at(0);
        for pause in [16, 32, 64, 128, 256, 512, 1024, 1024] {
            assert!(matches!(
                client.step(now, None, || COOKIE),
                Some(Event::Ask(_))
            ));
            now = client.deadline();
            assert_eq!(client.step(now, None, no_random), Some(Event::Silence));
            assert_eq!(client.deadline(), now + Duration::from_secs(pause));
            assert_eq!(client.step(now, None, no_random), None);
            now = client.deadline();
        }
        client.step(now, None, || COOKIE);
        client.step(now, Some(&answer(NOON, 0)), no_random);
        assert_eq!(client.deadline(), now + REST);
        now = client.deadline();
        client.step(now, None, || COOKIE);
        now = client.deadline();
        client.step(now, None, no_random);
        assert_eq!(client.deadline(), now + SHORTEST);
    }

    #[test]
    fn a_kiss_of_death_is_obeyed_for_a_day() {
        let mut kiss = answer(NOON, 0);
        kiss[1] = 0;
        let mut client = asking();
        let event = client.step(at(1), Some(&kiss), no_random);
        assert_eq!(event, Some(Event::Refused));
        assert_eq!(client.deadline(), at(1) + BANISHED);
    }
}
