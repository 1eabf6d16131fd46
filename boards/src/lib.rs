//! Which hal part plugs in where: one small file a board.
//!
//! | board | is |
//! | --- | --- |
//! | [`host`] | a developer's PC: a virtual modem, a sample LAN server, the terminal |
//! | [`debian`] | a service among others, on Debian or Raspberry Pi OS |
//! | [`rpi`] | the real one: a USB modem, a serial console |

#![forbid(unsafe_code)]

pub mod debian;
pub mod host;
pub mod rpi;
pub mod sample;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hal::linux::clock::hostname;
use hal::linux::machine::{Choice, ConsoleChoice, Machine, Parts};

/// What the command line says; what it leaves out is the board's to choose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The state directory.
    pub state: Option<PathBuf>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// `stdio`, `none`, or the path of a terminal.
    pub console: Option<String>,
}

/// A board, ready to run.
#[derive(Debug)]
pub struct Opened {
    /// The machine.
    pub machine: Machine,
    /// The machine's name.
    pub hostname: String,
    /// The state directory.
    pub state: PathBuf,
    /// Where the configuration comes from: a file, or the board itself.
    pub origin: String,
    /// The configuration.
    pub config: String,
    /// On a card: the device of the ring. The store keeps the configuration then.
    pub ring: Option<PathBuf>,
    /// On a card: the configuration that its owner wrote there.
    pub offered: Option<String>,
    /// The sample LAN server of board `host`; it ends when this is dropped.
    pub sample: Option<host::SampleLan>,
}

/// Opens the board called `name`.
///
/// # Errors
/// No such board, or what could not be opened, in words for the owner.
pub fn open(name: &str, options: Options) -> Result<Opened, String> {
    let preset = match name {
        "host" => host::preset(),
        // On our own card, unless the owner says where things lie.
        "rpi" if options.config.is_none() && rpi::is_card() => rpi::card(),
        "rpi" => rpi::preset(),
        "debian" => debian::preset(),
        _ => return Err(format!("no board {name}: expected host, rpi or debian")),
    };
    let state = options.state.unwrap_or(preset.state);
    let named = options.config.is_some();
    let file = options
        .config
        .or(preset.file)
        .unwrap_or_else(|| state.join("ringmail.conf"));
    let read = match &preset.ring {
        // What the board brings is the last resort: see `offered`.
        Some(_) => Err(io::ErrorKind::NotFound.into()),
        None => fs::read_to_string(&file),
    };
    let (origin, config) = match read {
        Ok(text) => (file.display().to_string(), text),
        // Nothing was saved yet.
        Err(error) if !named && error.kind() == io::ErrorKind::NotFound => {
            (format!("board {name}"), preset.config.to_owned())
        }
        // To go on without it would end in saving over it.
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let console = match options.console.as_deref() {
        None => preset.console,
        Some("stdio") => ConsoleChoice::Standard,
        Some("none") => ConsoleChoice::None,
        Some(path) => ConsoleChoice::Device(path.into()),
    };
    let machine = Machine::open(Choice {
        state: state.clone(),
        config: file,
        console,
        parts: preset.parts,
    })?;
    let sample = match preset.sample {
        // A configuration that was saved may still name it.
        Some((address, start)) if config.contains(address) => Some(start(&state)?),
        _ => None,
    };
    Ok(Opened {
        machine,
        hostname: hostname(),
        state,
        origin,
        config,
        // One that cannot be read is as good as none: there is no other way to say so yet.
        offered: preset
            .offered
            .and_then(|path| fs::read_to_string(path).ok()),
        ring: preset.ring,
        sample,
    })
}

/// Starts the sample LAN server, with its mail below the state directory.
type StartSample = fn(&Path) -> Result<host::SampleLan, String>;

/// What a board chooses where the command line does not.
struct Preset {
    state: PathBuf,
    /// The configuration file; `None`: `ringmail.conf` in the state directory.
    file: Option<PathBuf>,
    /// The device of the ring, if the board is ours alone.
    ring: Option<PathBuf>,
    /// Where the owner may leave a configuration on such a board.
    offered: Option<PathBuf>,
    parts: Parts,
    console: ConsoleChoice,
    config: &'static str,
    /// The address of the sample LAN server, and how it is started.
    sample: Option<(&'static str, StartSample)>,
}
