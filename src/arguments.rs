//! The words of the command line (contract.md, "Commands").

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value};

use hal::linux::vmodem::VmodemOptions;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
ringmail: answers the phone and hands the caller the mail nobody has read yet

  ringmail run [--board NAME] [--config FILE] [--state DIR] [--console stdio|PATH|none]
      the gateway, in the foreground; boards: host (default), rpi, debian
  ringmail vmodem --tty LINK --phone ADDR:PORT [--speed BPS] [--latency MS] [--dial]
      a virtual Hayes modem: a pty at LINK, a TCP port as its telephone number
  ringmail attach [--state DIR] [COMMAND...]
      the console of the running gateway; with a command, runs it and prints its answer
  ringmail check FILE
      reads a configuration and prints every fault with its line
  ringmail store verify|dump IMAGE
      reads a store without changing it
  ringmail store grow DISK
      gives a ring that is to be made on a card the rest of it; exit 1 if it has that
  ringmail sample-lan --dir DIR --listen ADDR:PORT
      the sample LAN mail server of board host; ends when its standard input closes
";

/// What the program is to do.
#[derive(Debug)]
pub(crate) enum Arguments {
    Help,
    Version,
    Run(RunOptions),
    VirtualModem(VmodemOptions),
    Attach { state: PathBuf, words: Vec<String> },
    Check(PathBuf),
    Store { verb: StoreVerb, image: PathBuf },
    Grow(PathBuf),
    SampleLan { directory: PathBuf, listen: String },
}

/// `ringmail run`.
#[derive(Debug)]
pub(crate) struct RunOptions {
    pub(crate) board: String,
    pub(crate) config: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) console: Option<String>,
}

/// `ringmail store ..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreVerb {
    Verify,
    Dump,
}

pub(crate) fn parse(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    match words.next()? {
        None | Some(Long("help") | Short('h')) => Ok(Arguments::Help),
        Some(Long("version") | Short('V')) => Ok(Arguments::Version),
        Some(Value(command)) => match command.to_str() {
            Some("run") => run(words),
            Some("vmodem") => virtual_modem(words),
            Some("attach") => attach(words),
            Some("check") => check(words),
            Some("store") => store(words),
            Some("sample-lan") => sample_lan(words),
            Some("help") => Ok(Arguments::Help),
            _ => Err(format!("no command {command:?}").into()),
        },
        Some(other) => Err(other.unexpected()),
    }
}

fn run(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let mut options = RunOptions {
        board: String::from("host"),
        config: None,
        state: None,
        console: None,
    };
    while let Some(word) = words.next()? {
        match word {
            Long("board") => options.board = text(words.value()?)?,
            Long("config") => options.config = Some(words.value()?.into()),
            Long("state") => options.state = Some(words.value()?.into()),
            Long("console") => options.console = Some(text(words.value()?)?),
            Long("help") | Short('h') => return Ok(Arguments::Help),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Arguments::Run(options))
}

fn virtual_modem(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let (mut tty, mut phone) = (None, None);
    let (mut speed, mut latency, mut dial) = (0, 0, false);
    while let Some(word) = words.next()? {
        match word {
            Long("tty") => tty = Some(PathBuf::from(words.value()?)),
            Long("phone") => phone = Some(text(words.value()?)?),
            Long("speed") => speed = number(words.value()?, "--speed", "bit/s")?,
            Long("latency") => latency = number(words.value()?, "--latency", "milliseconds")?,
            Long("dial") => dial = true,
            Long("help") | Short('h') => return Ok(Arguments::Help),
            other => return Err(other.unexpected()),
        }
    }
    let tty = tty.ok_or("vmodem: --tty LINK is missing")?;
    let phone = phone.ok_or("vmodem: --phone ADDR:PORT is missing")?;
    Ok(Arguments::VirtualModem(VmodemOptions {
        tty,
        phone,
        speed,
        latency: core::time::Duration::from_millis(u64::from(latency)),
        dial,
    }))
}

fn attach(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let mut state = None;
    let mut command = Vec::new();
    while let Some(word) = words.next()? {
        match word {
            Long("state") if command.is_empty() => state = Some(words.value()?.into()),
            Long("help") | Short('h') if command.is_empty() => return Ok(Arguments::Help),
            Value(first) => {
                command.push(text(first)?);
                // What follows is the console's, dashes and all.
                for rest in words.raw_args()? {
                    command.push(text(rest)?);
                }
            }
            other => return Err(other.unexpected()),
        }
    }
    let state = state.unwrap_or_else(|| PathBuf::from(boards::host::STATE));
    Ok(Arguments::Attach {
        state,
        words: command,
    })
}

fn check(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let file = words.next()?;
    let Some(Value(file)) = file else {
        return Err("check: FILE is missing".into());
    };
    end(words)?;
    Ok(Arguments::Check(file.into()))
}

fn store(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let verb = match words.next()? {
        Some(Value(verb)) if verb == "verify" => Some(StoreVerb::Verify),
        Some(Value(verb)) if verb == "dump" => Some(StoreVerb::Dump),
        Some(Value(verb)) if verb == "grow" => None,
        _ => return Err("store: verify or dump is missing".into()),
    };
    let Some(Value(image)) = words.next()? else {
        return Err("store: IMAGE is missing".into());
    };
    end(words)?;
    let image = image.into();
    Ok(match verb {
        Some(verb) => Arguments::Store { verb, image },
        None => Arguments::Grow(image),
    })
}

fn sample_lan(mut words: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
    let (mut directory, mut listen) = (None, None);
    while let Some(word) = words.next()? {
        match word {
            Long("dir") => directory = Some(PathBuf::from(words.value()?)),
            Long("listen") => listen = Some(text(words.value()?)?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Arguments::SampleLan {
        directory: directory.ok_or("sample-lan: --dir DIR is missing")?,
        listen: listen.ok_or("sample-lan: --listen ADDR:PORT is missing")?,
    })
}

fn end(mut words: lexopt::Parser) -> Result<(), lexopt::Error> {
    match words.next()? {
        None => Ok(()),
        Some(other) => Err(other.unexpected()),
    }
}

fn text(word: OsString) -> Result<String, lexopt::Error> {
    word.into_string()
        .map_err(|word| format!("{word:?} is not text").into())
}

fn number(word: OsString, option: &str, unit: &str) -> Result<u32, lexopt::Error> {
    let word = text(word)?;
    word.parse()
        .map_err(|_| format!("{option}: expected a number of {unit}, got {word:?}").into())
}
