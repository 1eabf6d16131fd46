//! What the engine of a modem line tells: what to do at the port, and what happened.

use core::fmt;

use super::{CallerName, Connect, Loss, Number};

/// Something to do, or something that happened, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To do: set circuit 108/2.
    Dtr(bool),
    /// To do: throw away what the port has taken and not sent yet. The link's own output is gone
    /// already.
    DiscardOutput,
    /// To do: close the device and look for it again; then [`reopened`](super::Modem::reopened), or
    /// [`line_closed`](super::Modem::line_closed) if that fails.
    Reopen,
    /// To do: set the speed between DTE and DCE, in bit/s, and keep it when the device is reopened.
    Speed(u32),
    /// To do: reset what the modem hangs on, as if it were unplugged for a moment, if the board
    /// can. A [`Reopen`](Self::Reopen) follows some time later.
    Reset,
    /// The line waits for calls, for the first time or again.
    Ready,
    /// It rings.
    Ring {
        /// For the how many-th time.
        count: u8,
        /// Who calls, as far as told.
        number: Option<Number>,
    },
    /// Who calls is known now that the call is answered, or while it is.
    Number(Number),
    /// The name of who calls was told.
    Name(CallerName),
    /// A caller gave up before we answered.
    Missed {
        /// How often it rang.
        rings: u8,
        /// Who called, as far as told.
        number: Option<Number>,
    },
    /// This number may not call: it will ring in vain, or is hung up on.
    Refused {
        /// Who calls, as far as told.
        number: Option<Number>,
    },
    /// The modem was told to take the call.
    Answering,
    /// It came to nothing.
    NotConnected(Failure),
    /// A caller is on the line: what the link holds now, and from now on, is the caller's.
    Connected(Connect),
    /// The caller is gone; the line is hung up without being asked to.
    CarrierLost(Loss),
    /// The call has ended.
    HungUp {
        /// Whether the modem, or the circuit, confirmed it.
        verified: bool,
    },
    /// Something the owner should know of. Told once, until the line is ready again.
    Fault(Fault),
}

/// Why answering came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The caller hung up, or the modems found no common speech.
    NoCarrier,
    /// The modem would not.
    Refused,
    /// A fax machine, or a voice.
    NotData,
    /// The modem said nothing for 80 seconds.
    Timeout,
    /// The operator hung up.
    HungUp,
}

/// Something the owner should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device is gone.
    Closed,
    /// The modem answers nothing, whatever is tried.
    Silent,
    /// The modem refuses a command that every modem knows; calls may fail.
    Crippled,
    /// The modem refuses the owner's own `init`.
    InitRefused,
    /// The modem does not hang up.
    StillOffHook,
    /// The modem answers at another speed than the line's, in bit/s.
    OtherSpeed(u32),
}

/// What a line is doing, for `show lines`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The device is gone; it is looked for now and then.
    Closed,
    /// Nobody answers yet.
    Probing,
    /// The modem is told how to behave.
    Initialising,
    /// Waits for a call.
    Ready,
    /// It rings.
    Ringing,
    /// The modems are finding each other.
    Answering,
    /// A caller is on the line.
    Online,
    /// The call is being ended.
    HangingUp,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCarrier => "no carrier",
            Self::Refused => "the modem would not answer",
            Self::NotData => "a fax machine or a voice",
            Self::Timeout => "no connection within 80 s",
            Self::HungUp => "hung up by the operator",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::OtherSpeed(speed) => {
                return write!(
                    f,
                    "the modem was found at {speed} bit/s: give the line that speed"
                );
            }
            Self::Closed => "the device is gone",
            Self::Silent => "the modem does not answer",
            Self::Crippled => "the modem refuses a basic command",
            Self::InitRefused => "the modem refuses the line's own init",
            Self::StillOffHook => "the modem does not hang up",
        };
        f.write_str(words)
    }
}

impl core::error::Error for Fault {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "no device",
            Self::Probing => "no answer yet",
            Self::Initialising => "initialising",
            Self::Ready => "ready",
            Self::Ringing => "ringing",
            Self::Answering => "answering",
            Self::Online => "online",
            Self::HangingUp => "hanging up",
        })
    }
}
