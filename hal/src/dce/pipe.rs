//! One direction of a telephone line: octets pass at its speed, and come out later.
//!
//! Ten bits an octet. The i-th octet (from 1) of a burst that began at `start` comes out at
//! `start + ceil(i * 10 s / speed) + latency`, in microseconds: computed from the burst's start
//! each time, so that nothing adds up.

use heapless::Deque;

use crate::time::{Duration, Instant};

/// Octets in a pipe, on their way or waiting for it: the buffer of a modem, and what is under way
/// at 33600 bit/s and a second's latency.
pub const PIPE_OCTETS: usize = 4096;
/// Bursts under way. An octet that comes while the line is busy belongs to the last one.
const BURSTS: usize = 64;
/// Octets that come out together as far as deadlines go: the depth of a UART's buffer.
const GRAIN: usize = 16;

#[derive(Debug)]
pub(super) struct Pipe {
    /// Bit/s; 0: not paced.
    speed: u32,
    latency: Duration,
    octets: Ring,
    bursts: Deque<Burst, BURSTS>,
}

/// Octets that pass without a pause.
#[derive(Clone, Copy, Debug)]
struct Burst {
    start: Instant,
    /// All of them, and those that were taken.
    count: u64,
    taken: u64,
}

impl Pipe {
    pub(super) const fn new(speed: u32, latency: Duration) -> Self {
        Self {
            speed,
            latency,
            octets: Ring::new(),
            bursts: Deque::new(),
        }
    }

    /// Takes the beginning of `octets`; returns how many.
    pub(super) fn put(&mut self, now: Instant, octets: &[u8]) -> usize {
        let count = octets.len().min(PIPE_OCTETS - self.octets.len());
        if count == 0 {
            return 0;
        }
        let busy = self
            .bursts
            .back()
            .is_some_and(|last| self.passes(last, last.count) >= now);
        if busy {
            if let Some(last) = self.bursts.back_mut() {
                last.count += count as u64;
            }
        } else {
            let burst = Burst {
                start: now,
                count: count as u64,
                taken: 0,
            };
            if self.bursts.push_back(burst).is_err() {
                return 0;
            }
        }
        self.octets.extend(octets.get(..count).unwrap_or_default());
        count
    }

    /// Moves what has come out into `buf`; returns how much.
    pub(super) fn take(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        let mut n = 0;
        while let Some(burst) = self.bursts.front() {
            let out = passed(self.speed, burst, now.since(Instant::ZERO + self.latency));
            let ready = usize::try_from(out - burst.taken).unwrap_or(usize::MAX);
            let count = ready.min(buf.len() - n);
            let places = buf.get_mut(n..n + count).unwrap_or_default();
            self.octets.take(places);
            n += count;
            let Some(burst) = self.bursts.front_mut() else {
                break;
            };
            burst.taken += count as u64;
            if burst.taken < burst.count {
                break;
            }
            self.bursts.pop_front();
        }
        n
    }

    /// The line is cut: what has not passed it is lost, what is on its way comes out.
    pub(super) fn cut(&mut self, now: Instant) {
        let speed = self.speed;
        let mut kept = 0;
        for burst in &mut self.bursts {
            burst.count = passed(speed, burst, now.since(Instant::ZERO));
            kept += burst.count - burst.taken;
        }
        self.octets
            .truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        while self
            .bursts
            .back()
            .is_some_and(|last| last.count == last.taken)
        {
            self.bursts.pop_back();
        }
    }

    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.bursts.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.octets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.len() == 0
    }

    /// When the next few octets have come out.
    pub(super) fn next_exit(&self) -> Option<Instant> {
        let mut wanted = GRAIN.min(self.octets.len()) as u64;
        for burst in &self.bursts {
            let left = burst.count - burst.taken;
            if wanted <= left {
                return Some(self.passes(burst, burst.taken + wanted) + self.latency);
            }
            wanted -= left;
        }
        None
    }

    /// When the last octet has come out.
    pub(super) fn last_exit(&self) -> Option<Instant> {
        let last = self.bursts.back()?;
        Some(self.passes(last, last.count) + self.latency)
    }

    /// When `count` octets of a burst have passed the line.
    fn passes(&self, burst: &Burst, count: u64) -> Instant {
        if self.speed == 0 {
            return burst.start;
        }
        let micros = count.saturating_mul(MICROBITS);
        burst.start + Duration::from_micros(micros.div_ceil(u64::from(self.speed)))
    }
}

/// The octets of a pipe, moved in pieces and not one by one.
#[derive(Debug)]
struct Ring {
    octets: [u8; PIPE_OCTETS],
    /// Where the oldest stands.
    from: usize,
    count: usize,
}

impl Ring {
    const fn new() -> Self {
        Self {
            octets: [0; PIPE_OCTETS],
            from: 0,
            count: 0,
        }
    }

    fn len(&self) -> usize {
        self.count
    }

    fn clear(&mut self) {
        (self.from, self.count) = (0, 0);
    }

    /// Drops the youngest, beyond `count`.
    fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    /// Takes `octets` in; there must be room for all of them.
    fn extend(&mut self, octets: &[u8]) {
        let octets = octets
            .get(..octets.len().min(PIPE_OCTETS - self.count))
            .unwrap_or_default();
        let at = (self.from + self.count) % PIPE_OCTETS;
        let (head, tail) = octets.split_at(octets.len().min(PIPE_OCTETS - at));
        copy(head, self.octets.get_mut(at..));
        copy(tail, self.octets.get_mut(..));
        self.count += octets.len();
    }

    /// Moves the oldest into `places`; there must be as many.
    fn take(&mut self, places: &mut [u8]) {
        let count = places.len().min(self.count);
        let (head, tail) = places.split_at_mut(count.min(PIPE_OCTETS - self.from));
        copy(self.octets.get(self.from..).unwrap_or_default(), Some(head));
        copy(&self.octets, Some(tail));
        self.from = (self.from + count) % PIPE_OCTETS;
        self.count -= count;
    }
}

/// Copies as much as both have.
fn copy(from: &[u8], to: Option<&mut [u8]>) {
    let to = to.unwrap_or_default();
    let count = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..count), to.get_mut(..count)) {
        to.copy_from_slice(from);
    }
}

/// What an octet is: ten bits, times the microseconds of a second.
const MICROBITS: u64 = 10_000_000;

/// How many octets of a burst have passed the line when the clock is at `clock`, but no fewer than
/// were taken.
fn passed(speed: u32, burst: &Burst, clock: Duration) -> u64 {
    let clock = u64::try_from(clock.as_micros()).unwrap_or(u64::MAX);
    let Some(elapsed) = clock.checked_sub(burst.start.as_micros()) else {
        return burst.taken;
    };
    if speed == 0 {
        return burst.count;
    }
    let passed = elapsed.saturating_mul(u64::from(speed)) / MICROBITS;
    passed.clamp(burst.taken, burst.count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn each_octet_comes_out_at_its_exact_moment() {
        for (speed, latency) in [(300, 0), (2400, 40), (33600, 150), (115_200, 1)] {
            let latency = Duration::from_millis(latency);
            let mut pipe = Pipe::new(speed, latency);
            assert_eq!(pipe.put(micros(7), &[b'x'; 1000]), 1000);
            let mut buf = [0; 8];
            for i in 1..=1000_u64 {
                let exit = (i * 10_000_000).div_ceil(u64::from(speed));
                let exit = micros(7 + exit) + latency;
                let before = micros(exit.as_micros() - 1);
                assert_eq!(pipe.take(before, &mut buf), 0, "octet {i} at {speed}");
                assert_eq!(pipe.take(exit, &mut buf), 1, "octet {i} at {speed}");
            }
            assert!(pipe.is_empty() && pipe.next_exit().is_none());
        }
    }

    #[test]
    fn a_pause_begins_a_new_burst_and_none_is_gained_by_small_pieces() {
        let mut pipe = Pipe::new(1000, Duration::from_millis(5));
        pipe.put(micros(0), b"ab");
        pipe.put(micros(15_000), b"c");
        assert_eq!(pipe.last_exit(), Some(micros(35_000)));
        pipe.put(micros(30_001), b"d");
        assert_eq!(pipe.last_exit(), Some(micros(45_001)));
        let mut buf = [0; 8];
        assert_eq!(pipe.take(micros(45_000), &mut buf), 3);
        assert_eq!(&buf[..3], b"abc");
        assert_eq!(pipe.take(micros(45_001), &mut buf), 1);
    }

    #[test]
    fn a_full_pipe_takes_no_more() {
        for speed in [0, 9600] {
            let mut pipe = Pipe::new(speed, Duration::from_secs(1));
            assert_eq!(pipe.put(micros(0), &[0; 5000]), PIPE_OCTETS);
            assert_eq!(pipe.put(micros(0), &[0; 1]), 0);
            let mut buf = [0; 5000];
            assert_eq!(pipe.take(micros(10_000_000), &mut buf), PIPE_OCTETS);
        }
        // Many small pieces with pauses: bounded too, and nothing is lost.
        let mut pipe = Pipe::new(0, Duration::from_secs(100));
        let taken: usize = (0..1000).map(|i| pipe.put(micros(i), b"x")).sum();
        assert_eq!(taken, BURSTS);
        let mut buf = [0; 1000];
        assert_eq!(pipe.take(micros(200_000_000), &mut buf), BURSTS);
    }

    #[test]
    fn a_cut_line_loses_what_has_not_passed() {
        for cut in 0..=110 {
            let mut pipe = Pipe::new(1000, Duration::from_millis(50));
            pipe.put(micros(0), b"0123456789");
            pipe.cut(micros(cut * 1000));
            let mut buf = [0; 16];
            let n = pipe.take(micros(1_000_000), &mut buf);
            let passed = usize::try_from(cut / 10).unwrap().min(10);
            assert_eq!(&buf[..n], &b"0123456789"[..passed]);
            assert!(pipe.is_empty());
        }
    }
}
