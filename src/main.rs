//! The program: words of the command line, a board, a logger, the gateway.
//!
//! The only file that knows boards and the logger. Everything it runs lies in the library, in
//! `hal` and in `boards`.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program speaks to its owner"
)]

mod arguments;
mod card;
mod daemon;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use ringmail::config;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("ringmail: {error}");
            eprintln!("try: ringmail --help");
            return ExitCode::from(2);
        }
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ringmail: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, String> {
    match arguments {
        Arguments::Help => print!("{}", arguments::HELP),
        Arguments::Version => println!("ringmail {}", env!("CARGO_PKG_VERSION")),
        Arguments::Run(options) => {
            // A console on this terminal shows the log itself, without tearing what is typed.
            let shown = options.console.as_deref().unwrap_or("stdio") == "stdio"
                && std::io::stdin().is_terminal()
                && std::io::stderr().is_terminal();
            start_logger(if shown { "off" } else { "info" });
            daemon::run(&options)?;
        }
        Arguments::VirtualModem(options) => {
            start_logger("info");
            hal::linux::vmodem::run(&options)?;
        }
        Arguments::Attach { state, words } => hal::linux::attach::attach(&state, &words)?,
        Arguments::Check(file) => return check(&file),
        Arguments::Store { verb, image } => return daemon::inspect(verb, &image),
        Arguments::Grow(disk) => {
            let grown = hal::linux::partition::grow(&disk)?;
            return Ok(ExitCode::from(u8::from(!grown)));
        }
        Arguments::SampleLan { directory, listen } => sample_lan(&directory, &listen)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `ringmail check FILE`: every fault with its line.
// The room for a configuration is not to be a part of the frame that stays while the gateway runs.
#[inline(never)]
fn check(file: &Path) -> Result<ExitCode, String> {
    let text = daemon::read_config(file)?;
    let mut faults = 0;
    config::check(&text, |line, error| {
        faults += 1;
        println!("{}:{line}: {error}", file.display());
    });
    if faults > 0 {
        return Ok(ExitCode::FAILURE);
    }
    println!("{}: no fault", file.display());
    Ok(ExitCode::SUCCESS)
}

/// `ringmail sample-lan`: the LAN mail server of board `host`.
fn sample_lan(directory: &Path, listen: &str) -> Result<(), String> {
    let listener = std::net::TcpListener::bind(listen)
        .map_err(|error| format!("sample-lan: cannot listen at {listen}: {error}"))?;
    boards::sample::serve(directory, listener).map_err(|error| format!("sample-lan: {error}"))
}

/// Log on standard error, as RUST_LOG says, or from `level` up.
fn start_logger(level: &str) {
    let environment = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(environment)
        .format_timestamp(None)
        .format_target(false)
        .init();
}
