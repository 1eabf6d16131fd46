//! Board `debian`: a service among others, on Debian or Raspberry Pi OS.
//!
//! Clock, network and restarts are the system's; the console is reached by `ringmail attach`.

use std::env;
use std::path::PathBuf;

use hal::linux::machine::{ConsoleChoice, Parts};

use crate::Preset;

/// The configuration of a fresh installation.
const CONFIG: &str = "\
# Board debian: one USB modem.
line modem device /dev/ttyACM0
";

pub(crate) fn preset() -> Preset {
    Preset {
        // systemd makes it, and says where it is.
        state: env::var_os("STATE_DIRECTORY")
            .map_or_else(|| "/var/lib/ringmail".into(), PathBuf::from),
        file: None,
        ring: None,
        offered: None,
        console: ConsoleChoice::None,
        config: CONFIG,
        sample: None,
        parts: Parts::default(),
    }
}
