//! An emulated Pi 3 with the image's own kernel, device tree and initial RAM disk.
//!
//! `scripts/test-image` builds the image first and says where it lies. What a Pi is waited for is a
//! word of its console, never a time.

use core::net::SocketAddr;
use core::ops::Range;
use core::time::Duration;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Account;
use super::gateway::VirtualModem;
use super::pop3::Session;
use super::process::{Guard, run_well, wait_until};
use super::temp::{TempDir, set_mode};

/// The longest that an emulated Pi may take for one step: ten of them may be at work on one core.
const PATIENCE: Duration = Duration::from_secs(80);
/// The entry of the second partition in a partition table.
const ENTRY: Range<u64> = 462..478;
/// The host, as the guest's network knows it.
pub(crate) const HOST: &str = "10.0.2.2";

/// The image on a card, and what the emulator needs of it: the Pi's firmware is not emulated.
pub(crate) struct Card {
    dir: TempDir,
    command_line: String,
}

impl Card {
    /// A new card with `config` as its owner's `ringmail.conf`.
    pub(crate) fn new(config: &str) -> Self {
        let dir = TempDir::new();
        let card = dir.join("card");
        run_well("cp", dir.path(), |it| {
            it.arg("--sparse=always").arg(image()).arg(&card);
        });
        // The emulator wants a power of two.
        let file = OpenOptions::new().write(true).open(&card).unwrap();
        file.set_len(256 << 20).unwrap();
        fs::write(dir.join("ringmail.conf"), config).unwrap();
        let boot = format!("{}@@4M", card.display());
        run_well("mcopy", dir.path(), |it| {
            it.args(["-o", "-i", &boot, "ringmail.conf", "::ringmail.conf"]);
        });
        for name in [
            "kernel8.img",
            "initramfs.img",
            "bcm2837-rpi-3-b.dtb",
            "cmdline.txt",
        ] {
            run_well("mcopy", dir.path(), |it| {
                it.args(["-i", &boot, &format!("::{name}"), name]);
            });
        }
        run_well("cp", dir.path(), |it| {
            it.args(["--sparse=always", "card", "before"]);
        });
        let kernel = run_well("gzip", dir.path(), |it| {
            it.args(["-dc", "kernel8.img"]);
        });
        fs::write(dir.join("kernel"), kernel.stdout).unwrap();
        let command_line = fs::read_to_string(dir.join("cmdline.txt")).unwrap();
        Self {
            dir,
            // This emulator takes the start of the Pi's watchdog for its end.
            command_line: format!("{} ringmail.watchdog=off", command_line.trim()),
        }
    }

    /// Lets the kernel take a USB device from `socket`, again and again: it attaches what it finds
    /// there to a host controller of its own (USB/IP). And plugs the Pi into a PC, which is the Pi
    /// itself, by a cable that the kernel plays (`dummy_hcd`): it sets the host name to `by-usb` at
    /// the console of that cable, and shows on the other one what that says at first.
    ///
    /// An archive with what is needed for all this is appended to the initial RAM disk.
    pub(crate) fn plays_usb(&mut self, socket: SocketAddr) {
        self.command_line += " ringmail.console=usb";
        let usbip = format!(
            "insmod /modules/usbip-core.ko
insmod /modules/vhci-hcd.ko
while :; do busybox nc {HOST} {} -e /etc/attach 2>/dev/null; sleep 0.2; done
",
            socket.port()
        );
        let mut more = self.more();
        for module in ["usbip/usbip-core", "usbip/vhci-hcd", "gadget/udc/dummy_hcd"] {
            more.module(&format!("drivers/usb/{module}"));
        }
        more.script("usbip", &usbip);
        // Port 0 of the controller, the socket that is standard input, a device of full speed.
        more.script(
            "attach",
            "echo 0 0 65538 2 >/sys/devices/platform/vhci_hcd.0/attach\n",
        );
        more.script(
            "pc",
            "until [ -d /sys/module/udc_core ]; do sleep 0.2; done
insmod /modules/dummy_hcd.ko
until [ -c /dev/ttyACM0 ]; do sleep 0.2; done
busybox stty -F /dev/ttyACM0 raw -echo
exec 3<>/dev/ttyACM0
busybox head -c 600 <&3 >/dev/ttyS1 &
while kill -0 $!; do echo -ne 'hostname by-usb\\r' >&3; sleep 2; done
",
        );
        more.append("::respawn:/etc/usbip\n::once:/etc/pc\n");
    }

    /// What a test wants to run on the Pi besides what is on the card.
    pub(crate) fn more(&self) -> More<'_> {
        let root = self.dir.subdirectory("more");
        for directory in ["etc", "modules"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        More { card: self, root }
    }

    /// Switches a Pi with this card on; its modem is plugged in.
    pub(crate) fn start(&self) -> Pi<'_> {
        let _ = fs::remove_file(self.dir.join("modem"));
        let modem = VirtualModem::start(&[]);
        let socket = format!("socket,id=modem,path={}", self.path("modem"));
        let pi = self.switch_on(
            modem.phone(),
            &[
                "-chardev",
                &(socket + ",server=on,wait=off"),
                "-device",
                "usb-serial,chardev=modem",
            ],
        );
        let pi = Pi {
            modem: Some(modem),
            ..pi
        };
        pi.connect_modem();
        pi
    }

    /// Switches a Pi with this card on, with `devices` besides what a Pi has. Whatever its modem
    /// is, `phone` is its number.
    pub(crate) fn switch_on(&self, phone: SocketAddr, devices: &[&str]) -> Pi<'_> {
        let _ = fs::remove_file(self.dir.join("console"));
        // It starts when we listen to its console.
        let console = format!("socket,id=console,path={}", self.path("console"));
        let machine = Guard::start(Path::new("qemu-system-aarch64"), |it| {
            it.args(["-M", "raspi3b", "-accel", "tcg,thread=single"])
                .args(["-kernel", &self.path("kernel")])
                .args(["-dtb", &self.path("bcm2837-rpi-3-b.dtb")])
                .args(["-initrd", &self.path("initramfs.img")])
                .args(["-append", &self.command_line])
                .args([
                    "-drive",
                    &format!("file={},format=raw,if=sd", self.path("card")),
                ])
                .args(["-display", "none", "-monitor", "none", "-serial", "null"])
                .args(["-chardev", &(console + ",server=on,wait=on")])
                .args(["-serial", "chardev:console"])
                .args(["-netdev", "user,id=lan", "-device", "usb-net,netdev=lan"])
                .args(devices);
        });
        let console = connect(&self.dir.join("console"));
        Pi {
            card: self,
            machine,
            modem: None,
            phone,
            said: Console::listen(console.try_clone().unwrap()),
            console,
            read: 0,
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// The store on it has no damage, as our program on this machine reads it; and nothing was ever
    /// written beside it, but for the one entry by which its partition took the rest of the card.
    pub(crate) fn is_sound(&self) {
        let card = File::open(self.dir.join("card")).unwrap();
        let before = File::open(self.dir.join("before")).unwrap();
        let table = {
            let mut table = [0; 512];
            (&card).read_exact(&mut table).unwrap();
            table
        };
        let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap());
        let (start, sectors) = (number(470), number(474));
        assert_eq!(
            (start + sectors) / 2048,
            256,
            "the ring took the rest of the card"
        );
        let (mut at, ring) = (0, u64::from(start) * 512);
        let (mut now, mut then) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        while at < ring {
            let count = usize::try_from((ring - at).min(1 << 20)).unwrap();
            card.read_exact_at(&mut now[..count], at).unwrap();
            before.read_exact_at(&mut then[..count], at).unwrap();
            let differ = (at..)
                .zip(now[..count].iter().zip(&then))
                .filter(|(_, (now, then))| now != then);
            for (at, _) in differ {
                assert!(ENTRY.contains(&at), "octet {at} was written to");
            }
            at += count as u64;
        }
        run_well("dd", self.dir.path(), |it| {
            it.args(["if=card", "of=ring", "bs=1M", "status=none", "conv=sparse"])
                .arg(format!("skip={}", start / 2048));
        });
        run_well(env!("CARGO_BIN_EXE_ringmail"), self.dir.path(), |it| {
            it.args(["store", "verify", "ring"]);
        });
    }
}

/// An archive that is appended to the initial RAM disk.
pub(crate) struct More<'a> {
    card: &'a Card,
    root: PathBuf,
}

impl More<'_> {
    /// A driver of the card's kernel, as `/modules/NAME.ko`; it has to be loaded.
    pub(crate) fn module(&mut self, path: &str) {
        let unpacked =
            "xz -dc \"$1\"/usr/lib/modules/*/kernel/\"$2\".ko.xz >more/modules/${2##*/}.ko";
        self.sh(unpacked, path);
    }

    /// `/etc/NAME`, to be run.
    pub(crate) fn script(&mut self, name: &str, lines: &str) {
        let path = self.root.join("etc").join(name);
        fs::write(&path, format!("#!/bin/sh\nexport PATH=/bin\n{lines}")).unwrap();
        set_mode(&path, 0o755);
    }

    /// `/etc/NAME`, to be read.
    pub(crate) fn file(&mut self, name: &str, text: &str) {
        fs::write(self.root.join("etc").join(name), text).unwrap();
    }

    /// `/NAME`, for all of `from`.
    pub(crate) fn directory(&mut self, name: &str, from: &Path) {
        run_well("cp", &self.root, |it| {
            it.arg("-r").arg(from).arg(name);
        });
    }

    /// Appends all this; `lines` are added to init's own.
    pub(crate) fn append(mut self, lines: &str) {
        let inittab = fs::read_to_string("boards/rpi/inittab").unwrap();
        self.file("inittab", &(inittab + lines));
        let archived = "truncate -s %4 initramfs.img; \
                        cd more && find . | cpio --quiet -o -H newc -R 0:0 >>../initramfs.img";
        self.sh(archived, "");
    }

    /// Runs `script`, where the card's files lie, with the packages it was made of, and `argument`.
    fn sh(&self, script: &str, argument: &str) {
        run_well("sh", self.card.dir.path(), |it| {
            it.args(["-c", script, "sh"])
                .arg(image().with_file_name("debian"))
                .arg(argument);
        });
    }
}

/// An emulated Pi that is switched on.
pub(crate) struct Pi<'a> {
    pub(crate) card: &'a Card,
    machine: Guard,
    /// The one at its emulated serial port.
    modem: Option<VirtualModem>,
    phone: SocketAddr,
    console: UnixStream,
    said: Arc<Console>,
    /// How far the console was read.
    read: usize,
}

impl Pi<'_> {
    /// Waits until the console has said `words` after what was waited for last.
    pub(crate) fn expect(&mut self, words: &str) {
        self.read = self.said.find(self.read, words);
    }

    /// What the owner types.
    pub(crate) fn type_in(&mut self, keys: &str) {
        // At the pace of somebody who types: the port has room for few octets.
        for key in keys.as_bytes().chunks(8) {
            self.console.write_all(key).unwrap();
        }
    }

    /// Where it is called.
    pub(crate) fn phone(&self) -> SocketAddr {
        self.phone
    }

    /// Pulls the plug of its power.
    pub(crate) fn kill(&mut self) {
        self.machine.kill();
    }

    /// Calls, and logs in.
    pub(crate) fn call(&self) -> Session {
        Session::login(&Account {
            address: self.phone,
            user: "alice".into(),
            password: "ring".into(),
        })
        .unwrap()
    }

    /// Joins the emulated serial port and the virtual modem's terminal.
    fn connect_modem(&self) {
        const O_NOCTTY: i32 = 0o400;
        let Some(modem) = &self.modem else { return };
        let port = connect(&self.card.dir.join("modem"));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(O_NOCTTY);
        let terminal = options.open(modem.tty()).unwrap();
        let (from_port, from_terminal) = (port.try_clone().unwrap(), terminal.try_clone().unwrap());
        // Both end with what they read from: the emulator, or the virtual modem.
        thread::spawn(move || io::copy(&mut &from_port, &mut &terminal));
        thread::spawn(move || io::copy(&mut &from_terminal, &mut &port));
    }
}

/// What the serial console has said.
#[derive(Default)]
struct Console {
    said: Mutex<Vec<u8>>,
    more: Condvar,
}

impl Console {
    fn listen(mut source: UnixStream) -> Arc<Self> {
        let console = Arc::new(Self::default());
        let ours = Arc::clone(&console);
        thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok(length @ 1..) = source.read(&mut octets) {
                ours.said.lock().unwrap().extend(&octets[..length]);
                ours.more.notify_all();
            }
        });
        console
    }

    /// Waits for `words` after place `from`; gives the place behind them.
    fn find(&self, from: usize, words: &str) -> usize {
        let limit = Instant::now() + PATIENCE;
        let mut said = self.said.lock().unwrap();
        loop {
            let words = words.as_bytes();
            let found = said[from..].windows(words.len()).position(|it| it == words);
            if let Some(at) = found {
                return from + at + words.len();
            }
            let left = limit.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the console never said {:?}, but:\n{}",
                String::from_utf8_lossy(words),
                String::from_utf8_lossy(&said)
            );
            said = self.more.wait_timeout(said, left).unwrap().0;
        }
    }
}

/// What `scripts/build-image` made.
fn image() -> PathBuf {
    PathBuf::from(env::var_os("RINGMAIL_IMAGE").expect("RINGMAIL_IMAGE"))
}

fn connect(path: &Path) -> UnixStream {
    wait_until("the emulator", || UnixStream::connect(path).ok())
}

/// A time server that is right; its port.
pub(crate) fn time_server() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut question = [0; 48];
        while let Ok((_, peer)) = socket.recv_from(&mut question) {
            let unix = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let now = ((unix + 2_208_988_800) << 32).to_be_bytes();
            let mut answer = [0; 48];
            answer[..2].copy_from_slice(&[0x24, 1]);
            answer[24..32].copy_from_slice(&question[40..]);
            answer[32..40].copy_from_slice(&now);
            answer[40..].copy_from_slice(&now);
            socket.send_to(&answer, peer).unwrap();
        }
    });
    port
}
