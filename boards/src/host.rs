//! Board `host`: a developer's PC. No hardware: the telephone number is a TCP address, the LAN
//! server is a sample, the console is the terminal.

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hal::linux::machine::{ConsoleChoice, Parts};

use crate::Preset;

/// The state directory, where the command line names none.
pub const STATE: &str = "ringmail-state";

/// The sample LAN server's address: what [`CONFIG`] names.
const LAN: &str = "127.0.0.1:6110";

/// The configuration, where no file holds one.
const CONFIG: &str = "\
# Board host: a virtual modem, and the sample LAN server.
store \"\" size 64M
line phone1 phone 127.0.0.1:6100
user add alice password ring
user alice source pop3://127.0.0.1:6110 login alice password desk
user alice poll every 1m
";

pub(crate) fn preset() -> Preset {
    Preset {
        state: STATE.into(),
        console: ConsoleChoice::Standard,
        config: CONFIG,
        sample: Some((LAN, SampleLan::start)),
        file: None,
        ring: None,
        offered: None,
        parts: Parts::default(),
    }
}

/// The sample LAN server, in a process of its own: a second machine, as it were.
#[derive(Debug)]
pub struct SampleLan(Child);

impl SampleLan {
    fn start(state: &Path) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("sample LAN server: {error}"))?;
        let child = Command::new(program)
            .arg("sample-lan")
            .arg("--dir")
            .arg(state.join("lan"))
            .args(["--listen", LAN])
            // It ends when this pipe closes, whatever becomes of us.
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sample LAN server: {error}"))?;
        Ok(Self(child))
    }
}

impl Drop for SampleLan {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It ends by itself; we need not know how.
        let _ = self.0.wait();
    }
}
