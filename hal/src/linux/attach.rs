//! The other side of an attached console: `ringmail attach`, in a shell.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use super::raw_mode::{InterruptKey, RawMode};
use super::terminal::{ONE_COMMAND, PERSON, socket_path};

/// Attaches to the gateway with state directory `state`. With `words`, sends them as one command
/// and prints the answer; without, shuttles octets between the terminal and the gateway until the
/// gateway closes or Ctrl-] is typed; where the input ends, `exit` follows. Blocks.
///
/// # Errors
/// No gateway runs there, the words are no command, or the connection broke; in words.
pub fn attach(state: &Path, words: &[String]) -> Result<(), String> {
    let line = match words {
        [] => None,
        words => Some(command_line(words)?),
    };
    let path = socket_path(state);
    let socket = UnixStream::connect(&path)
        .map_err(|error| format!("no gateway runs at {}: {error}", path.display()))?;
    let output = &mut io::stdout().lock();
    let ended = match line {
        Some(line) => one_command(socket, &line, output),
        None => {
            let _raw_mode = RawMode::set(&io::stdin(), InterruptKey::Passes);
            person(socket, io::stdin(), output)
        }
    };
    ended.map_err(|error| format!("the console broke off: {error}"))
}

/// The words as one line of the console's language: those with blanks in double quotes.
fn command_line(words: &[String]) -> Result<String, String> {
    let mut line = String::new();
    for word in words {
        if word.contains(|c: char| c.is_control() || c == '"') {
            return Err(format!("{word:?}: not a word of a command"));
        }
        let quote = match word.is_empty() || word.contains(' ') {
            true => "\"",
            false => "",
        };
        let blank = if line.is_empty() { "" } else { " " };
        line.extend([blank, quote, word, quote]);
    }
    Ok(line)
}

fn one_command(mut socket: UnixStream, line: &str, output: &mut impl Write) -> io::Result<()> {
    socket.write_all(&[ONE_COMMAND])?;
    socket.write_all(line.as_bytes())?;
    socket.write_all(b"\r\n")?;
    print_all(socket, output)
}

fn person(
    mut socket: UnixStream,
    input: impl Read + Send + 'static,
    output: &mut impl Write,
) -> io::Result<()> {
    socket.write_all(&[PERSON])?;
    let keys = socket.try_clone()?;
    // It may stand in a read for ever; the process does not wait for it.
    thread::Builder::new().spawn(move || send_keys(input, &keys))?;
    print_all(socket, output)
}

/// Sends what is typed until the input ends or Ctrl-] comes.
fn send_keys(mut input: impl Read, mut socket: &UnixStream) {
    let mut buf = [0; 1024];
    while let Ok(count @ 1..) = input.read(&mut buf) {
        let typed = buf.get(..count).unwrap_or_default();
        let detach = typed.iter().position(|&octet| octet == DETACH);
        let sent = typed.get(..detach.unwrap_or(count)).unwrap_or_default();
        if socket.write_all(sent).is_err() {
            return;
        }
        if detach.is_some() {
            // Ends the printing too. If it fails, the other side is gone.
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
    }
    // A script has ended. Closing our half would look like somebody hanging up; a word makes the
    // gateway answer everything first. If it fails, the other side is gone.
    let _ = socket.write_all(b"\r\nexit\r\n");
}

fn print_all(mut socket: UnixStream, output: &mut impl Write) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let count = match socket.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Closed before it had read all of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        };
        output.write_all(buf.get(..count).unwrap_or_default())?;
        // A prompt has no line end.
        output.flush()?;
    }
}

/// Ctrl-].
const DETACH: u8 = 0x1d;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::reactor::Reactor;
    use crate::linux::terminal::{Attachments, Console};
    use crate::{ByteStream, ConsoleKind, ConsoleStream, StreamError};

    /// Runs `client` against a gateway that answers the first line in capitals.
    fn answered(
        name: &str,
        client: impl FnOnce(UnixStream, &mut Vec<u8>) -> io::Result<()> + Send + 'static,
    ) -> (ConsoleKind, String) {
        let state = crate::linux::scratch(name);
        let reactor = Reactor::new().unwrap();
        let mut attachments = Attachments::open(&reactor, &state).unwrap();
        let socket = UnixStream::connect(socket_path(&state)).unwrap();
        let client = thread::spawn(move || {
            let mut output = Vec::new();
            client(socket, &mut output).unwrap();
            String::from_utf8(output).unwrap()
        });
        let mut console: Console = loop {
            match attachments.accept() {
                Some(console) => break console,
                None => drop(reactor.wait(None)),
            }
        };
        let kind = console.kind();
        let mut line = Vec::new();
        let mut buf = [0; 3];
        while !line.ends_with(b"\n") {
            match console.read(&mut buf) {
                Ok(0) => drop(reactor.wait(None)),
                Ok(count) => line.extend_from_slice(&buf[..count]),
                Err(end) => {
                    assert_eq!(end, StreamError::Closed);
                    break;
                }
            }
        }
        line.make_ascii_uppercase();
        assert_eq!(console.write(&line), Ok(line.len()));
        drop(console);
        let output = client.join().unwrap();
        std::fs::remove_dir_all(state).unwrap();
        (kind, output)
    }

    #[test]
    fn one_command_is_answered() {
        let (kind, output) = answered("one", |socket, output| {
            one_command(socket, "show lines", output)
        });
        assert_eq!(kind, ConsoleKind::OneCommand);
        assert_eq!(output, "SHOW LINES\r\n");
    }

    #[test]
    fn a_person_talks_until_the_gateway_closes() {
        let (kind, output) = answered("person", |socket, output| {
            person(socket, &b"help"[..], output)
        });
        assert_eq!(kind, ConsoleKind::Attached);
        assert!(output.starts_with("HELP\r\n"), "{output}");
    }

    #[test]
    fn words_become_one_line() {
        let line = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            command_line(&words)
        };
        assert_eq!(line(&["show", "user", "anna"]).unwrap(), "show user anna");
        assert_eq!(line(&["a", "b c", ""]).unwrap(), "a \"b c\" \"\"");
        assert!(line(&["show\nreboot"]).is_err());
        assert!(line(&["say \"x\""]).is_err());
    }

    #[test]
    fn no_gateway_is_said_in_words() {
        let error = attach(Path::new("/nonexistent"), &[]).unwrap_err();
        assert!(
            error.starts_with("no gateway runs at /nonexistent"),
            "{error}"
        );
    }
}
