//! Modems on USB: other names of the same device, and resetting one that is wedged.
//!
//! A modem that is plugged in again may have another number (`ttyACM1` for `ttyACM0`). udev keeps
//! links that stay: `/dev/serial/by-path/..` names the socket, `/dev/serial/by-id/..` the maker's
//! serial number. The socket comes first: whole series of modems have one serial number. A machine
//! without udev, such as our own card, has the socket's name in sysfs all the same.
//!
//! A modem that answers nothing may be wedged until it is unplugged; a reboot is not enough, since
//! USB keeps its power. Taking the kernel's authorisation away and giving it back is next to that
//! (`authorized` in sysfs); it needs the right to write there.

use core::time::Duration;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// Where udev keeps links to serial devices.
pub(super) const LINKS: &str = "/dev/serial";
/// Where the kernel tells what a terminal hangs on.
pub(super) const TERMINALS: &str = "/sys/class/tty";
/// A device stays without authorisation so long.
const OFF: Duration = Duration::from_secs(2);

/// Names by which a device is found again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// What udev calls it, best first.
    links: Vec<PathBuf>,
    /// Where it hangs, as the kernel has it.
    place: Option<PathBuf>,
}

impl Names {
    /// The names that `device`, which is open now, has below `links` and `terminals`.
    pub(super) fn of(device: &Path, links: &Path, terminals: &Path) -> Self {
        let Ok(device) = fs::canonicalize(device) else {
            return Self::default();
        };
        let mut names = Vec::new();
        for kind in ["by-path", "by-id"] {
            let Ok(entries) = fs::read_dir(links.join(kind)) else {
                continue;
            };
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            let same = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|at| at == device);
            names.extend(paths.filter(same).min());
        }
        let name = device.file_name();
        Self {
            links: names,
            place: name.and_then(|name| place(&terminals.join(name))),
        }
    }

    /// Where the device is now: by the first of its links that leads anywhere, else by its place
    /// among `terminals`, else `path`.
    pub(super) fn find(&self, path: &Path, terminals: &Path) -> PathBuf {
        let link = self.links.iter().find(|name| name.exists());
        let found = link.cloned().or_else(|| self.find_place(path, terminals));
        found.unwrap_or_else(|| path.to_owned())
    }

    /// The terminal at the same place, beside the device that was at `path`.
    fn find_place(&self, path: &Path, terminals: &Path) -> Option<PathBuf> {
        let sought = self.place.as_ref()?;
        let entries = fs::read_dir(terminals).ok()?.flatten();
        let mut found = entries.filter(|entry| place(&entry.path()).as_ref() == Some(sought));
        Some(path.with_file_name(found.next()?.file_name()))
    }
}

/// The place of a terminal that hangs on a device.
fn place(terminal: &Path) -> Option<PathBuf> {
    fs::canonicalize(terminal.join("device")).ok()
}

/// The file by which the USB device behind the terminal at `path` is switched off and on.
pub(super) fn authorisation(path: &Path, terminals: &Path) -> Option<PathBuf> {
    let terminal = fs::canonicalize(path).ok()?;
    let device = terminals.join(terminal.file_name()?).join("device");
    let device = fs::canonicalize(device).ok()?;
    // The terminal is at an interface of the device, some steps below it.
    let mut steps = device.ancestors().take(4);
    let usb = steps.find(|step| step.join("authorized").is_file() && step.join("devnum").is_file());
    usb.map(|usb| usb.join("authorized"))
}

/// Switches a device off, and on again later. The kernel may take seconds over it, so a thread of
/// its own waits for it; it ends by itself. Returns whether it was begun.
pub(super) fn reset(authorisation: PathBuf) -> bool {
    // Without the right to do it, it is found out here.
    let writable = fs::OpenOptions::new().write(true).open(&authorisation);
    if writable.is_err() {
        return false;
    }
    let reset = move || {
        if fs::write(&authorisation, "0").is_ok() {
            thread::sleep(OFF);
        }
        // Whatever became of that: a device must never be left switched off.
        let _ = fs::write(&authorisation, "1");
    };
    let thread = thread::Builder::new().name("usb".into()).spawn(reset);
    thread.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn edge_13_and_36_a_device_is_found_again_under_another_name() {
        let dir = crate::linux::scratch("usb-names");
        let (by_path, by_id) = (dir.join("by-path"), dir.join("by-id"));
        fs::create_dir_all(&by_path).unwrap();
        fs::create_dir_all(&by_id).unwrap();
        let device = |n: u32| dir.join(format!("ttyACM{n}"));
        let plug = |n: u32, socket: &str, id: &str| {
            fs::write(device(n), "").unwrap();
            for link in [by_path.join(socket), by_id.join(id)] {
                let _ = fs::remove_file(&link);
                symlink(device(n), link).unwrap();
            }
        };
        plug(0, "usb-1", "usb-12345678");
        let names = Names::of(&device(0), &dir, &dir);
        assert_eq!(names.find(&device(0), &dir), by_path.join("usb-1"));
        // Unplugged: its names lead nowhere.
        fs::remove_file(device(0)).unwrap();
        assert_eq!(names.find(&device(0), &dir), device(0));
        // Into the same socket, as another number.
        plug(1, "usb-1", "usb-12345678");
        let found = fs::canonicalize(names.find(&device(0), &dir)).unwrap();
        assert_eq!(found.file_name(), device(1).file_name());
        // Into another one.
        fs::remove_file(by_path.join("usb-1")).unwrap();
        plug(2, "usb-2", "usb-12345678");
        let found = fs::canonicalize(names.find(&device(0), &dir)).unwrap();
        assert_eq!(found.file_name(), device(2).file_name());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn edge_13_without_links_it_is_found_by_its_place() {
        let dir = crate::linux::scratch("usb-places");
        let terminals = dir.join("class");
        let plug = |n: u32, socket: &str| {
            let at = dir.join("devices").join(socket);
            let terminal = terminals.join(format!("ttyACM{n}"));
            fs::create_dir_all(&at).unwrap();
            fs::create_dir_all(&terminal).unwrap();
            symlink(at, terminal.join("device")).unwrap();
            fs::write(dir.join(format!("ttyACM{n}")), "").unwrap();
        };
        plug(0, "1-1:1.0");
        plug(1, "1-2:1.0");
        let device = dir.join("ttyACM0");
        let names = Names::of(&device, &dir, &terminals);
        assert_eq!(names.find(&device, &terminals), device);
        fs::remove_dir_all(terminals.join("ttyACM0")).unwrap();
        assert_eq!(names.find(&device, &terminals), device);
        plug(2, "1-1:1.0");
        assert_eq!(names.find(&device, &terminals), dir.join("ttyACM2"));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn edge_14_two_modems_with_one_serial_number_are_told_apart_by_their_sockets() {
        let dir = crate::linux::scratch("usb-twins");
        let (by_path, by_id) = (dir.join("by-path"), dir.join("by-id"));
        fs::create_dir_all(&by_path).unwrap();
        fs::create_dir_all(&by_id).unwrap();
        for n in 0..2 {
            let device = dir.join(format!("ttyACM{n}"));
            fs::write(&device, "").unwrap();
            symlink(&device, by_path.join(format!("usb-{n}"))).unwrap();
        }
        // One link for both: udev's last word.
        symlink(dir.join("ttyACM1"), by_id.join("usb-12345678")).unwrap();
        for n in 0..2 {
            let device = dir.join(format!("ttyACM{n}"));
            let names = Names::of(&device, &dir, &dir);
            assert_eq!(names.find(&device, &dir), by_path.join(format!("usb-{n}")));
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn edge_12_the_switch_of_a_usb_device_is_above_its_terminal() {
        let dir = crate::linux::scratch("usb-sysfs");
        let usb = dir.join("devices/usb1/1-1");
        let interface = usb.join("1-1:1.0");
        fs::create_dir_all(&interface).unwrap();
        fs::write(usb.join("authorized"), "1").unwrap();
        fs::write(usb.join("devnum"), "4").unwrap();
        // An interface has a file of that name too, and is no device.
        fs::write(interface.join("authorized"), "1").unwrap();
        let terminal = dir.join("class/ttyACM0");
        fs::create_dir_all(&terminal).unwrap();
        symlink(&interface, terminal.join("device")).unwrap();
        fs::write(dir.join("ttyACM0"), "").unwrap();
        let found = authorisation(&dir.join("ttyACM0"), &dir.join("class")).unwrap();
        assert_eq!(found, fs::canonicalize(usb.join("authorized")).unwrap());
        assert_eq!(authorisation(&dir.join("none"), &dir.join("class")), None);
        assert!(!reset(dir.join("no such file")));
        fs::remove_dir_all(dir).unwrap();
    }
}
