//! The wall clock, as far as the configuration speaks of it.

use core::fmt::Write;

use hal::{Board, Duration, Instant};
use heapless::String;

use crate::config::{HOST_OCTETS, Network, value};
use crate::sntp::{Client, Event, OCTETS, PORT};

use super::notes::Stamp;
use super::{Moment, Office};

/// Who is asked for the time, and when.
#[derive(Debug)]
pub(super) struct Clock {
    /// The server that is asked.
    server: String<HOST_OCTETS>,
    client: Client,
    /// Nobody needs to read twice that a server is silent.
    silent: bool,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            server: String::new(),
            client: Client::new(Instant::ZERO),
            silent: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.server.is_empty()).then(|| self.client.deadline())
    }
}

impl<B: Board> Office<'_, B> {
    /// Asks the time server that the configuration names, if it is a new one.
    pub(super) fn apply_clock(&mut self, moment: Moment) {
        if self.clock.server != self.config.time_server {
            self.clock.server = self.config.time_server.clone();
            // A question that is lost costs half a minute: let the network come first.
            let patience = match self.config.network {
                Network::Machine => Duration::ZERO,
                Network::Dhcp | Network::Static { .. } => Duration::from_secs(8),
            };
            self.clock.client = Client::new(moment.now + patience);
            self.clock.silent = false;
        }
    }

    /// Asks for the time when that is due. Returns whether anything happened.
    pub(super) fn turn_clock(&mut self, board: &mut B, moment: Moment) -> bool {
        let Some((host, port)) = value::host_and_port(&self.clock.server) else {
            return false;
        };
        let mut octets = [0; OCTETS];
        let received = board.receive_datagram(&mut octets);
        let datagram = received.and_then(|length| octets.get(..length));
        let mut random = [0; 8];
        let event = self.clock.client.step(moment.now, datagram, || {
            board.fill(&mut random);
            random
        });
        match event {
            Some(Event::Ask(question)) => {
                board.send_datagram(&host, port.unwrap_or(PORT), &question);
            }
            Some(Event::Time { unix, micros }) => self.set_clock(board, moment, unix, micros),
            Some(Event::Silence) if !self.clock.silent => {
                self.clock.silent = true;
                let text =
                    format_args!("ntp: {host} does not tell the time; asked again and again");
                self.notes.warn(moment, text);
            }
            Some(Event::Refused) => {
                let text = format_args!("ntp: {host} does not want to be asked; take another");
                self.notes.error(moment, text);
            }
            Some(Event::Silence) | None => {}
        }
        event.is_some()
    }

    fn set_clock(&mut self, board: &mut B, moment: Moment, unix: u64, micros: u32) {
        let first = !moment.wall.trusted;
        match board.set_wall(unix, micros) {
            Ok(()) => {
                let wall = board.wall();
                let off = wall.unix.abs_diff(moment.wall.unix);
                self.clock.silent = false;
                // Every six hours, some milliseconds: nobody wants to know.
                if first || off > 1 {
                    let mut text = String::<64>::new();
                    // A date is shorter.
                    let _ = write!(text, "{}", Stamp(wall));
                    let text = format_args!("ntp: the clock is set: {text}");
                    self.notes.info(Moment { wall, ..moment }, text);
                }
            }
            Err(error) => self.notes.error(moment, format_args!("ntp: {error}")),
        }
    }
}
