//! What we tell a modem, and in which order.
//!
//! One command a line, and the answer to each awaited: a modem that does not know one of several
//! in a line may have carried out anything of the rest. Even alone, a command that a modem does
//! not know may do harm: some read `AT+VCID=1` letter by letter, and end in numeric mode, dialling
//! "=1". So it is asked for first, and after every command that a modem may not know the form of
//! the answers is set again.

use crate::config::ModemKind;

/// Is anybody there?
pub(super) const ATTENTION: &str = "AT";
/// Takes the call that rings (V.250 §6.3.5).
pub(super) const ANSWER: &str = "ATA";
/// Ends the call, in online command state (V.250 §6.3.6).
pub(super) const HOOK: &str = "ATH0";
/// Ends a voice or fax transmission in which a modem may be stuck: DLE ETX.
pub(super) const END_TRANSMISSION: &[u8] = &[0x10, 0x03];
/// Result codes on, in words, and no echo: what a line of answers must look like.
pub(super) const FORM: &str = "ATQ0V1E0";

/// The usual character that, three times between pauses, leads to online command state.
pub(super) const PLUS: u8 = b'+';
/// The one we set in its place (GS): it is in no mail. A mail may well have `+++ATH0` in it, and
/// some modems act on that without a pause.
pub(super) const OWN_ESCAPE: u8 = 29;
/// The command that sets it.
pub(super) const SET_ESCAPE: &str = "ATS2=29";

/// What becomes of the line if a command is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing works without it; sent twice before it is given up.
    Must,
    /// Calls end better with it; sent even while it rings.
    Should,
    /// Pleasant; left out while a caller waits.
    May,
    /// As `May`; and who calls a network modem stands in its RING.
    Number,
    /// As `May`; the owner's own words.
    Owner,
    /// As `May`, for a GSM modem.
    Gsm,
}

impl Need {
    /// Whether a modem of that kind is left without it.
    pub(super) fn suits(self, command: &str, kind: ModemKind) -> bool {
        match kind {
            ModemKind::Wifi => {
                !HARMFUL_TO_WIFI.contains(&command) && !matches!(self, Self::Number | Self::Gsm)
            }
            ModemKind::Gsm => true,
            ModemKind::Auto | ModemKind::Direct => self != Self::Gsm,
        }
    }
}

/// What a network modem takes for something else: Zimodem closes its listeners at `ATZ`, and reads
/// `AT&D` as a list of delimiters; and registers of a telephone line are none of its own.
const HARMFUL_TO_WIFI: &[&str] = &[
    RESET,
    "AT&D2",
    "ATS7=60",
    "ATS10=20",
    "AT&H1&I0&R2",
    "AT\\Q3",
];

/// What is it? Answered with words, a number or nothing, and `OK`.
pub(super) const IDENTIFY: &str = "ATI";

/// One command of the initialisation, and how many rows to go on from it.
pub(super) struct Row {
    pub(super) command: &'static str,
    pub(super) need: Need,
    /// After `OK`.
    accepted: usize,
    /// After anything else.
    refused: usize,
}

/// The initialisation. What the modem is decides whether it may be reset; `ATZ` comes before the
/// others, since it undoes them.
const ROWS: &[Row] = &[
    row(IDENTIFY, Need::Should),
    row(RESET, Need::Must),
    row(FORM, Need::Must),
    // DCD follows the carrier, loss of DTR hangs up, the modem does not answer by itself.
    row("AT&C1", Need::Should),
    row("AT&D2", Need::Should),
    row("ATS0=0", Need::Should),
    // All result codes; 60 s for the carrier; a loss below 2 s is none; the escape and its pause.
    row("ATX4", Need::May),
    row("ATS7=60", Need::May),
    row("ATS10=20", Need::May),
    row(SET_ESCAPE, Need::May),
    row("ATS12=50", Need::May),
    // Flow control by circuits: Rockwell and Conexant, else USR, else the rest.
    fork("AT&K3", Need::May, 3, 1),
    fork("AT&H1&I0&R2", Need::May, 2, 1),
    row("AT\\Q3", Need::May),
    // Calling numbers: V.253, else Rockwell, else GSM.
    fork("AT+VCID=?", Need::Number, 1, 2),
    fork("AT+VCID=1", Need::Number, 5, 1),
    fork("AT#CID=?", Need::Number, 1, 2),
    fork("AT#CID=1", Need::Number, 3, 1),
    fork("AT+CLIP=?", Need::Number, 1, 2),
    row("AT+CLIP=1", Need::Number),
    // GSM 07.07: 9600 bit/s V.32 non-transparent; RING tells data from voice.
    row("AT+CBST=7,0,1", Need::Gsm),
    row("AT+CRC=1", Need::Gsm),
    row("", Need::Owner),
];

/// Back to the modem's profile; takes some modems seconds.
pub(super) const RESET: &str = "ATZ";

const fn row(command: &'static str, need: Need) -> Row {
    fork(command, need, 1, 1)
}

const fn fork(command: &'static str, need: Need, accepted: usize, refused: usize) -> Row {
    Row {
        command,
        need,
        accepted,
        refused,
    }
}

/// A place in the initialisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Script {
    row: usize,
}

impl Script {
    /// From the start: the modem's state is unknown.
    pub(super) const fn whole() -> Self {
        Self { row: 0 }
    }

    /// After a call: nothing was reset, but a caller may have had the modem in command state.
    pub(super) const fn between_calls() -> Self {
        Self { row: 2 }
    }

    /// The command at this place; `None` at the end.
    pub(super) fn current(self) -> Option<&'static Row> {
        ROWS.get(self.row)
    }

    /// The place of the next command, whatever the answer to this one would be.
    pub(super) fn next(self) -> Self {
        Self { row: self.row + 1 }
    }

    /// The place after the answer to this one.
    pub(super) fn after(self, accepted: bool) -> Self {
        let step = match self.current() {
            Some(row) if accepted => row.accepted,
            Some(row) => row.refused,
            None => 0,
        };
        Self {
            row: self.row + step,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(accept: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let mut script = Script::whole();
        let mut commands = Vec::new();
        while let Some(row) = script.current() {
            commands.push(row.command);
            script = script.after(accept(row.command));
            assert!(commands.len() <= ROWS.len());
        }
        commands
    }

    #[test]
    fn a_modem_that_knows_all_is_asked_no_alternative() {
        let commands = commands(|_| true);
        assert!(!commands.contains(&"AT&H1&I0&R2") && !commands.contains(&"AT\\Q3"));
        assert!(commands.contains(&"AT+VCID=1") && !commands.contains(&"AT#CID=?"));
        assert_eq!(commands.last(), Some(&""));
    }

    #[test]
    fn edge_8_what_is_not_known_is_never_switched_on() {
        let all_refused = commands(|_| false);
        for command in ["AT+VCID=1", "AT#CID=1", "AT+CLIP=1"] {
            assert!(!all_refused.contains(&command));
        }
        let rockwell = commands(|command| command.starts_with("AT#"));
        assert!(rockwell.contains(&"AT#CID=1") && !rockwell.contains(&"AT+CLIP=?"));
        let usr = commands(|command| command.starts_with("AT&H1"));
        assert!(!usr.contains(&"AT\\Q3"));
    }
}
