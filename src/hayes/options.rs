//! What the owner said about a line, as far as its modem is concerned.

use heapless::{String, Vec};

use super::Number;
use crate::config::{Carrier, Device, Line, ModemKind, NUMBERS, STYLE_OCTETS};

/// What the owner said about a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Answer after so many rings.
    pub rings: u8,
    /// How the loss of a caller is seen.
    pub carrier: Carrier,
    /// What is at the other end of the device.
    pub modem: ModemKind,
    /// Speed between DTE and DCE in bit/s; 0: the port has none.
    pub speed: u32,
    /// Only calls that ring so are answered, unless empty.
    pub distinctive: String<STYLE_OCTETS>,
    /// Extra initialisation; empty: none. `AT` in front of it may be left out.
    pub init: String<80>,
    /// Only these may call, unless empty.
    pub allow: Vec<Number, NUMBERS>,
    /// These may not.
    pub deny: Vec<Number, NUMBERS>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rings: 1,
            carrier: Carrier::Auto,
            modem: ModemKind::Auto,
            speed: 0,
            distinctive: String::new(),
            init: String::new(),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

impl From<&Line> for Options {
    fn from(line: &Line) -> Self {
        Self {
            rings: line.rings_to_answer(),
            carrier: line.carrier,
            modem: line.modem,
            speed: match line.device {
                Device::Serial { speed, .. } => speed,
                Device::Phone(_) => 0,
            },
            distinctive: line.distinctive.clone(),
            init: line.init.clone(),
            allow: line.allow.clone(),
            deny: line.deny.clone(),
        }
    }
}
