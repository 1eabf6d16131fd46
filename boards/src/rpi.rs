//! Board `rpi`: a Raspberry Pi with a USB modem, and a serial console.

use std::fs;
use std::path::PathBuf;

use hal::linux::machine::ConsoleChoice;

use crate::Preset;

/// The configuration, where no file holds one: the modem alone. Users come by the console.
const CONFIG: &str = "\
# Board rpi: one USB modem.
line modem device /dev/ttyACM0
";

pub(crate) fn preset() -> Preset {
    Preset {
        state: "/var/lib/ringmail".into(),
        console: serial_console().map_or(ConsoleChoice::None, ConsoleChoice::Device),
        config: CONFIG,
        sample: None,
    }
}

/// The serial port that is the kernel's console, if one is. Which it is differs from model to
/// model, and with Bluetooth; the kernel knows.
fn serial_console() -> Option<PathBuf> {
    let consoles = fs::read_to_string("/proc/consoles").ok()?;
    find_console(&consoles)
}

fn find_console(consoles: &str) -> Option<PathBuf> {
    let mut names = consoles.lines().filter_map(|line| line.split(' ').next());
    let serial = |name: &&str| {
        ["ttyAMA", "ttyS", "ttyGS", "ttyUSB"]
            .iter()
            .any(|kind| name.starts_with(kind))
    };
    names
        .find(serial)
        .map(|name| PathBuf::from("/dev").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_the_serial_port_that_the_kernel_names() {
        let consoles = "tty0                 -WU (EC  p  )    4:1\nttyS1   -W- (E) 4:65\n";
        assert_eq!(find_console(consoles), Some("/dev/ttyS1".into()));
        assert_eq!(find_console("tty0 -WU (EC) 4:1\n"), None);
        assert_eq!(find_console(""), None);
    }
}
