//! A modem line of either kind: at a serial port, or with a TCP address for a telephone number.

use crate::board::LineDevice;
use crate::modem::{Circuit, ModemPort};
use crate::stream::{ByteStream, StreamError};

use super::phone::Phone;
use super::reactor::Reactor;
use super::serial::Serial;

/// A modem line.
pub enum Line {
    /// At a serial port.
    Serial(Serial),
    /// A virtual modem in this process.
    Phone(Box<Phone>),
}

impl Line {
    /// Opens `device`.
    ///
    /// # Errors
    /// In words for the owner; an absent serial device is none, it is looked for later.
    pub fn open(reactor: &Reactor, device: LineDevice<'_>) -> Result<Self, String> {
        match device {
            LineDevice::Serial { path, speed } => {
                Serial::open(reactor, path, speed).map(Self::Serial)
            }
            LineDevice::Phone { address } => {
                Phone::open(reactor, address).map(|phone| Self::Phone(Box::new(phone)))
            }
        }
    }
}

impl ByteStream for Line {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        match self {
            Self::Serial(port) => port.read(buf),
            Self::Phone(port) => port.read(buf),
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<usize, StreamError> {
        match self {
            Self::Serial(port) => port.write(octets),
            Self::Phone(port) => port.write(octets),
        }
    }

    fn pending(&mut self) -> usize {
        match self {
            Self::Serial(port) => port.pending(),
            Self::Phone(port) => port.pending(),
        }
    }
}

impl ModemPort for Line {
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError> {
        match self {
            Self::Serial(port) => port.set_dtr(on),
            Self::Phone(port) => port.set_dtr(on),
        }
    }

    fn dcd(&mut self) -> Circuit {
        match self {
            Self::Serial(port) => port.dcd(),
            Self::Phone(port) => port.dcd(),
        }
    }

    fn discard_output(&mut self) {
        match self {
            Self::Serial(port) => port.discard_output(),
            Self::Phone(port) => port.discard_output(),
        }
    }

    fn set_speed(&mut self, speed: u32) -> Result<(), StreamError> {
        match self {
            Self::Serial(port) => port.set_speed(speed),
            Self::Phone(port) => port.set_speed(speed),
        }
    }

    fn reset_device(&mut self) -> bool {
        match self {
            Self::Serial(port) => port.reset_device(),
            Self::Phone(port) => port.reset_device(),
        }
    }

    fn reopen(&mut self) -> Result<(), StreamError> {
        match self {
            Self::Serial(port) => port.reopen(),
            Self::Phone(port) => port.reopen(),
        }
    }
}
