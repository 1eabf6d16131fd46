//! Board `rpi`: a Raspberry Pi with a USB modem, and a serial console.
//!
//! The console is the serial port that is the kernel's own console: its command line decides
//! (`console=ttyAMA0,115200`, `console=serial0,..`). A Zero that is plugged into a PC as a USB
//! serial gadget has another one, which is chosen by `--console /dev/ttyGS0`; on our own card, by
//! `ringmail.console=usb` on that command line (`boards/rpi/gadget`).
//!
//! On our own card the board is ours alone: the ring is a partition, the configuration is kept in
//! it, clock, network and watchdog are ours to see to. `boards/rpi/init` prepares that:
//!
//! ```text
//! /run/ring             the ring's partition
//! /run/ringmail.conf    what the owner wrote to the boot partition, if anything
//! /run/watchdog         the hardware's watchdog, unless the kernel's command line forbids it
//! /etc/network          makes the network
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use hal::linux::light;
use hal::linux::machine::{ConsoleChoice, Parts};

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
        file: None,
        ring: None,
        offered: None,
        parts: Parts {
            light: activity_light(),
            ..Parts::default()
        },
    }
}

/// Whether we run from our own card.
pub(crate) fn is_card() -> bool {
    Path::new(RING).exists()
}

/// Our own card.
pub(crate) fn card() -> Preset {
    Preset {
        state: "/run/ringmail".into(),
        ring: Some(RING.into()),
        offered: Some("/run/ringmail.conf".into()),
        parts: Parts {
            network: Some("/etc/network".into()),
            reboot: Some("/bin/reboot".into()),
            watchdog: Some(PathBuf::from("/run/watchdog")).filter(|path| path.exists()),
            clock: true,
            light: activity_light(),
        },
        ..preset()
    }
}

const RING: &str = "/run/ring";

/// The light beside the card's slot; without the right to write there it stays as it is.
fn activity_light() -> Option<PathBuf> {
    light::find(Path::new("/sys/class/leds"))
}

/// The serial port that is the kernel's console, if one is. Which it is differs from model to
/// model, and with Bluetooth; the kernel knows.
fn serial_console() -> Option<PathBuf> {
    let consoles = fs::read_to_string("/proc/consoles").ok()?;
    find_console(&consoles)
}

/// In `/proc/consoles` the one that is `/dev/console` has a `C` among its flags: it is the last
/// that the kernel's command line names.
fn find_console(consoles: &str) -> Option<PathBuf> {
    let kinds = ["ttyAMA", "ttyS", "ttyGS", "ttyUSB"];
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let serial = |line: &&str| kinds.iter().any(|kind| line.starts_with(kind));
    let preferred = |line: &&str| {
        let flags = line.split(['(', ')']).nth(1);
        flags.is_some_and(|flags| flags.contains('C'))
    };
    let mut consoles: Vec<&str> = consoles.lines().filter(serial).collect();
    consoles.sort_by_key(|line| !preferred(line));
    let first = consoles.first()?;
    Some(PathBuf::from("/dev").join(name(first)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_the_serial_port_that_the_kernel_names() {
        let consoles = "tty0                 -WU (EC  p  )    4:1\nttyS1   -W- (E) 4:65\n";
        assert_eq!(find_console(consoles), Some("/dev/ttyS1".into()));
        let both = "ttyS0 -W- (E p a) 4:64\nttyAMA0 -W- (EC p a) 204:64\n";
        assert_eq!(find_console(both), Some("/dev/ttyAMA0".into()));
        assert_eq!(find_console("tty0 -WU (EC) 4:1\n"), None);
        assert_eq!(find_console(""), None);
    }
}
