//! Consoles in the loop: the machine's own terminal, and those attached from a shell.

use hal::{Board, ConsoleKind, ConsoleStream, Instant};

use crate::console::{Console, Event, Kind};
use crate::link::Link;

use super::answers::Desk;
use super::list::List;
use super::{Moment, Office};

/// All terminals.
pub(super) struct Consoles<'a, B: Board>(List<'a, Terminal<B>>);

/// One terminal.
pub struct Terminal<B: Board> {
    stream: B::Console,
    link: Link,
    console: Console,
    /// It has left: what is queued is sent, then the stream is closed.
    leaving: bool,
    /// Lines of the log that were printed here, or came before.
    noted: u32,
}

impl<'a, B: Board> Consoles<'a, B> {
    pub(super) fn new(places: &'a mut [Option<Terminal<B>>]) -> Self {
        Self(List::new(places))
    }

    /// Takes in terminals that have been attached, while there is room.
    pub(super) fn accept(&mut self, board: &mut B) {
        while !self.0.is_full() {
            let Some(stream) = board.accept_console() else {
                return;
            };
            let stream_kind = stream.kind();
            let kind = match stream_kind {
                ConsoleKind::OneCommand => Kind::OneCommand,
                ConsoleKind::Terminal | ConsoleKind::Attached => Kind::Terminal,
            };
            // There is room: it was looked for.
            self.0.push(|| Terminal {
                stream,
                link: Link::new(),
                console: Console::new(kind),
                leaving: false,
                // The machine's own terminal shows the log from the start.
                noted: match stream_kind {
                    ConsoleKind::Terminal => 0,
                    ConsoleKind::Attached | ConsoleKind::OneCommand => u32::MAX,
                },
            });
        }
    }

    /// One round of all consoles. Returns whether anything happened.
    pub(super) fn turn(
        &mut self,
        board: &mut B,
        moment: Moment,
        office: &mut Office<'_, B>,
    ) -> bool {
        let mut moved = false;
        for place in self.0.iter_mut() {
            moved |= place.turn(board, moment, office);
        }
        let before = self.0.len();
        self.0.retain(|place| !place.is_over());
        moved || self.0.len() != before
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.0.iter().filter(|place| !place.leaving);
        waiting.filter_map(|place| place.console.deadline()).min()
    }
}

impl<B: Board> Terminal<B> {
    fn turn(&mut self, board: &mut B, moment: Moment, office: &mut Office<'_, B>) -> bool {
        let mut moved = match self.link.exchange(&mut self.stream) {
            Ok(octets) => !octets.is_nothing(),
            Err(_) => {
                // Nobody is there any more to read what is queued.
                self.leaving = true;
                self.link.discard_output();
                return false;
            }
        };
        if self.leaving {
            return moved;
        }
        let mut desk = Desk {
            office: &mut *office,
            board,
            moment,
        };
        if let Some(Event::Exit) = self.console.step(moment.now, &mut self.link, &mut desk) {
            // A terminal of the machine itself cannot be closed: it is locked again.
            self.leaving = self.stream.kind() != ConsoleKind::Terminal;
            moved = true;
        }
        self.print_notes(office);
        if !self.link.output().is_empty() {
            moved |= self
                .link
                .exchange(&mut self.stream)
                .is_ok_and(|octets| !octets.is_nothing());
        }
        moved || self.link.reads_on()
    }

    /// Prints what was logged since it looked last, without tearing the line being typed.
    fn print_notes(&mut self, office: &Office<'_, B>) {
        if self.stream.kind() == ConsoleKind::OneCommand {
            return;
        }
        let (count, notes) = office.notes.since(self.noted);
        if self.noted != u32::MAX {
            for note in notes {
                if !self.console.notice(&mut self.link, &note.text) {
                    break;
                }
            }
        }
        self.noted = count;
    }

    fn is_over(&self) -> bool {
        self.leaving && self.link.output().is_empty()
    }
}
