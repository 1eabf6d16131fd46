//! A configuration, and what is typed at a console.
//!
//! The first octet chooses. What a configuration prints must read as the same configuration; a
//! console must be quiet in the end, whatever is typed, and show no password.

#![no_main]

use hal::{Duration, Instant};
use heapless::String;
use libfuzzer_sys::fuzz_target;
use ringmail::config::{self, Config, LINE_OCTETS};
use ringmail::console::command::Command;
use ringmail::console::{Answers, Console, Kind, Line};
use ringmail::link::Link;

struct Owner(Config);

impl Answers for Owner {
    fn line(&mut self, command: &Command, n: u32, out: &mut String<LINE_OCTETS>) -> Line {
        let _ = out.push_str("a line");
        let _ = format!("{command:?}");
        if n < 40 { Line::Text } else { Line::End }
    }

    fn config(&self) -> &Config {
        &self.0
    }
}

fuzz_target!(|input: &[u8]| {
    let [choice, typed @ ..] = input else {
        return;
    };
    if choice & 1 == 0 {
        if let Ok(text) = core::str::from_utf8(typed) {
            let config = config::check(text, |_, error| {
                let _ = error.to_string();
            });
            let mut printed = std::string::String::new();
            let mut line = String::new();
            for n in 0.. {
                if !config.line(n, config::Secrets::Shown, &mut line) {
                    break;
                }
                printed.push_str(&line);
                printed.push('\n');
            }
            let again = config::check(&printed, |at, error| {
                panic!("line {at} of its own listing: {error}: {printed}");
            });
            assert!(again == config, "{printed}");
        }
        return;
    }
    let words = if choice & 2 == 0 { "" } else { "console password geheim" };
    let mut owner = Owner(config::check(words, |_, _| {}));
    let kind = if choice & 4 == 0 { Kind::Terminal } else { Kind::OneCommand };
    let (mut console, mut link) = (Console::new(kind), Link::new());
    let mut now = Instant::ZERO;
    let mut shown = Vec::new();
    for octets in typed.chunks(usize::from(choice >> 3).max(1)) {
        link.feed(octets);
        for turn in 0..=10_000 {
            assert!(turn < 10_000, "never quiet");
            let before = (link.peek().len(), link.output().len());
            let event = console.step(now, &mut link, &mut owner);
            shown.extend_from_slice(link.output());
            let count = link.output().len();
            link.take_output(count);
            if event.is_none() && before == (link.peek().len(), 0) {
                break;
            }
        }
        now = now + Duration::from_millis(100);
    }
    let secret = b"geheim";
    // What is typed is shown as it is typed, but for what is no character.
    let typed: Vec<u8> = typed.iter().copied().filter(u8::is_ascii_graphic).collect();
    let told = typed.windows(secret.len()).any(|it| it == secret);
    let seen = shown.windows(secret.len()).any(|it| it == secret);
    assert!(told || !seen, "the password is shown");
});
