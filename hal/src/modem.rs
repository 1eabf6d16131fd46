//! A serial port with a modem at it: a stream, and the V.24 circuits.

use crate::stream::{ByteStream, StreamError};

/// State of a circuit of V.24, as the port reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Asserted.
    On,
    /// Not asserted.
    Off,
    /// The port cannot tell: a pty has no circuits.
    Unknown,
}

/// The DTE's side of a modem line.
pub trait ModemPort: ByteStream {
    /// Sets circuit 108/2, data terminal ready. A port without circuits ignores it.
    ///
    /// # Errors
    /// [`StreamError::Closed`] if the device is gone.
    fn set_dtr(&mut self, on: bool) -> Result<(), StreamError>;

    /// Circuit 109, data carrier detect. There is no event for it: ask now and then, in a call.
    fn dcd(&mut self) -> Circuit;

    /// Throws away what `write` took and the line has not carried yet.
    fn discard_output(&mut self);

    /// Sets the speed between DTE and DCE, in bit/s; a device that is reopened has it too. A port
    /// without a speed ignores it.
    ///
    /// # Errors
    /// [`StreamError::Closed`] if the device is gone.
    fn set_speed(&mut self, speed: u32) -> Result<(), StreamError> {
        let _ = speed;
        Ok(())
    }

    /// Resets what the device hangs on, as if it were unplugged for a moment, where the board can:
    /// USB keeps a modem powered, and wedged, over any reboot. Returns at once; the port may be
    /// closed by it, and the device is back some seconds later. Returns whether it was begun.
    fn reset_device(&mut self) -> bool {
        false
    }

    /// Closes the device and looks for it again, under the same or another name.
    ///
    /// # Errors
    /// [`StreamError::Closed`] if there is no such device now; try again later.
    fn reopen(&mut self) -> Result<(), StreamError>;
}
