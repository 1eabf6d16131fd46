//! Mails that came shorter than announced: is `TOP` wrong, or `LIST`?
//!
//! Each comes once more, after all others. By `TOP` again, where a mail as large as it is announced
//! has come by `TOP` with its very size: then `TOP` does not cut mails of that size, and what comes
//! the same twice is all there is. Else by `RETR`, which cuts nothing but may mark the mail read
//! there: see [`undoing`](super::undoing). After two such proofs short bodies are believed.

use crate::mailbox::Reach;

/// Mails that came too short and are asked for again in the same visit.
const DOUBTS: usize = 16;

/// So many mails must have come the same twice before a server's sizes are held to be inexact.
const PROOFS: u32 = 2;

/// A last line end, that servers count or not.
const LINE_END_OCTETS: u64 = 2;

/// A body that has come to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) octets: u64,
    /// CRC-32C of them; `None` where nothing was kept of it.
    pub(super) crc: Option<u32>,
    /// LFs in it.
    pub(super) lines: u32,
}

/// What is in doubt in one visit.
#[derive(Debug)]
pub(super) struct Doubts {
    doubts: heapless::Vec<Doubt, DOUBTS>,
    /// Mails too short that found no room among the doubts, or came short again.
    short: u32,
    /// Bodies shorter than announced that came the same twice.
    proofs: u32,
    /// What `TOP` is known to bring whole.
    reach: Reach,
}

/// A mail that came too short.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Its place in the listing.
    at: usize,
    came: Came,
    announced: u64,
}

impl Doubts {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            doubts: heapless::Vec::new(),
            short: 0,
            proofs: 0,
            reach,
        }
    }

    /// The mail at `at` came for the first time; returns whether it is believed to be whole.
    pub(super) fn first(&mut self, at: usize, came: Came, announced: u64, by_top: bool) -> bool {
        if came.octets >= announced {
            if by_top && came.octets <= announced + LINE_END_OCTETS {
                self.reach.extend(came.octets, came.lines);
            }
            return true;
        }
        if self.proofs >= PROOFS {
            return true;
        }
        let doubt = Doubt {
            at,
            came,
            announced,
        };
        if self.doubts.push(doubt).is_err() {
            self.short += 1;
        }
        false
    }

    /// It came again; returns whether it is believed to be whole.
    pub(super) fn again(&mut self, at: usize, came: Came, announced: u64) -> bool {
        if came.octets >= announced {
            return true;
        }
        let doubt = self.doubts.iter().find(|doubt| doubt.at == at);
        let same = |doubt: &Doubt| {
            doubt.came.octets == came.octets && came.crc.is_some() && doubt.came.crc == came.crc
        };
        if doubt.is_some_and(same) {
            let octets = came.octets;
            log::debug!("visit: {octets} octets twice, {announced} announced: sizes are not exact");
            self.proofs += 1;
            return true;
        }
        self.short += 1;
        false
    }

    /// Whether `TOP` may be asked for the mail at `at` again.
    pub(super) fn within_reach(&self, at: usize) -> bool {
        let doubt = self.doubts.iter().find(|doubt| doubt.at == at);
        doubt.is_some_and(|doubt| self.reach.covers(doubt.announced, doubt.came.lines))
    }

    /// Places in the listing of what is to come again.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.doubts.iter().map(|doubt| doubt.at)
    }

    /// Mails that wait for the next visit.
    pub(super) fn short(&self) -> u32 {
        self.short
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }
}
