use std::format;
use std::string::{String as Text, ToString};
use std::vec;
use std::vec::Vec;

use hal::Duration;

use super::answering::PAGE;
use super::*;
use crate::config::check;

/// A dumb terminal: CR, LF, BS, and printing characters on 80 columns.
struct Twin {
    rows: Vec<Vec<char>>,
    column: usize,
    bells: usize,
    partial: Vec<u8>,
}

impl Twin {
    fn new() -> Self {
        Self {
            rows: vec![Vec::new()],
            column: 0,
            bells: 0,
            partial: Vec::new(),
        }
    }

    fn receive(&mut self, octets: &[u8]) {
        self.partial.extend(octets);
        let text = match core::str::from_utf8(&self.partial) {
            Ok(text) => text.to_string(),
            Err(_) => return,
        };
        self.partial.clear();
        for sign in text.chars() {
            match sign {
                '\r' => self.column = 0,
                '\n' => self.rows.push(Vec::new()),
                '\u{8}' => self.column = self.column.checked_sub(1).expect("BS at the margin"),
                '\u{7}' => self.bells += 1,
                sign => {
                    assert!(!sign.is_control(), "{sign:?} is not for this terminal");
                    if self.column == 80 {
                        self.rows.push(Vec::new());
                        self.column = 0;
                    }
                    let row = self.rows.last_mut().unwrap();
                    row.resize(row.len().max(self.column + 1), ' ');
                    row[self.column] = sign;
                    self.column += 1;
                }
            }
        }
    }

    fn row(&self) -> Text {
        let row: Text = self.rows.last().unwrap().iter().collect();
        // What was erased is blank.
        row.trim_end().to_string()
    }

    fn screen(&self) -> Vec<Text> {
        let rows = self.rows.iter().map(|row| row.iter().collect::<Text>());
        rows.map(|row| row.trim_end().to_string()).collect()
    }
}

/// The owner, a terminal and a console.
struct Bench {
    console: Console,
    link: Link,
    twin: Twin,
    owner: Owner,
    now: Instant,
    exits: usize,
}

struct Owner {
    config: Config,
    commands: Vec<Command>,
    /// Lines of each answer.
    lines: u32,
    waits: bool,
    unsaved: bool,
}

impl Answers for Owner {
    fn line(&mut self, command: &Command, n: u32, out: &mut String<LINE_OCTETS>) -> Line {
        assert!(out.is_empty());
        if self.waits {
            return Line::Wait;
        }
        if n == 0 {
            self.commands.push(command.clone());
        }
        if let Command::Configure(line) = command {
            return match (n, self.config.apply(line.as_str())) {
                (0, Err(error)) => {
                    write!(out, "{error}").unwrap();
                    Line::Text
                }
                _ => Line::End,
            };
        }
        if n >= self.lines {
            return Line::End;
        }
        write!(out, "line {n}").unwrap();
        Line::Text
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn is_saved(&self) -> bool {
        !self.unsaved
    }
}

impl Bench {
    fn new(kind: Kind, config: &str) -> Self {
        let config = check(config, |number, error| panic!("{number}: {error}"));
        let owner = Owner {
            config,
            commands: Vec::new(),
            lines: 1,
            waits: false,
            unsaved: false,
        };
        let mut bench = Self {
            console: Console::new(kind),
            link: Link::new(),
            twin: Twin::new(),
            owner,
            now: Instant::from_micros(1_000_000),
            exits: 0,
        };
        bench.step();
        bench
    }

    fn terminal() -> Self {
        Self::new(Kind::Terminal, CONFIG)
    }

    fn step(&mut self) {
        loop {
            let event = self.console.step(self.now, &mut self.link, &mut self.owner);
            self.exits += usize::from(event.is_some());
            let output = self.link.output().to_vec();
            self.link.take_output(output.len());
            self.twin.receive(&output);
            if event.is_none() && output.is_empty() {
                return;
            }
        }
    }

    fn send(&mut self, octets: impl AsRef<[u8]>) -> &mut Self {
        self.send_in_chunks(octets, 16)
    }

    fn send_in_chunks(&mut self, octets: impl AsRef<[u8]>, chunk: usize) -> &mut Self {
        for piece in octets.as_ref().chunks(chunk) {
            assert_eq!(self.link.feed(piece), piece.len());
            self.step();
        }
        self
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.step();
    }
}

const CONFIG: &str =
    "user add anna password x\nuser add annette password x\nline usb device /dev/ttyUSB0";
const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const LEFT: &str = "\x1b[D";

/// A slow line editor to compare with: characters, a cursor, nothing else.
#[derive(Clone, Default)]
struct Model {
    line: Vec<char>,
    cursor: usize,
    history: Vec<Vec<char>>,
    back: usize,
    draft: Vec<char>,
}

impl Model {
    fn key(&mut self, key: &str) {
        let (before, after) = self.line.split_at(self.cursor);
        let (mut before, mut after) = (before.to_vec(), after.to_vec());
        match key {
            UP if self.back < self.history.len() => return self.recall(self.back + 1),
            DOWN if self.back > 0 => return self.recall(self.back - 1),
            UP | DOWN => {}
            LEFT => after.splice(0..0, before.pop()).for_each(drop),
            RIGHT if !after.is_empty() => before.push(after.remove(0)),
            RIGHT => {}
            "\x01" => after.splice(0..0, before.drain(..)).for_each(drop),
            "\x05" => before.append(&mut after),
            "\x08" | "\x7f" => drop(before.pop()),
            "\x1b[3~" if !after.is_empty() => drop(after.remove(0)),
            "\x1b[3~" => {}
            "\x0b" => after.clear(),
            "\x15" => before.clear(),
            "\x17" => {
                while before.last() == Some(&' ') {
                    before.pop();
                }
                while before.last().is_some_and(|sign| *sign != ' ') {
                    before.pop();
                }
            }
            "\x03" => {
                self.back = 0;
                before.clear();
                after.clear();
            }
            "\x0c" => {}
            "\r" => {
                let line: Vec<char> = self.line.clone();
                if line.iter().any(|sign| *sign != ' ') && self.history.first() != Some(&line) {
                    self.history.insert(0, line);
                    self.history.truncate(editor::HISTORY_LINES);
                }
                self.back = 0;
                before.clear();
                after.clear();
            }
            text => before.extend(text.chars()),
        }
        self.cursor = before.len();
        self.line = [before, after].concat();
    }

    fn recall(&mut self, back: usize) {
        if self.back == 0 {
            self.draft = self.line.clone();
        }
        self.line = back
            .checked_sub(1)
            .map_or(self.draft.clone(), |nth| self.history[nth].clone());
        self.cursor = self.line.len();
        self.back = back;
    }
}

/// A small generator; the seed is all there is to say about it.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

const KEYS: &[&str] = &[
    "a", "b", "ü", "€", " ", "x", "q", "\"", LEFT, LEFT, LEFT, RIGHT, "\x01", "\x05", "\x08",
    "\x7f", "\x1b[3~", "\x0b", "\x15", "\x17", "\x03", "\x0c", UP, DOWN, "\r",
];

/// What the row must show of a line, for prompts of ten columns.
fn assert_shows(twin: &Twin, model: &Model, context: &str) {
    let prompt = "ringmail> ";
    let row: Vec<char> = twin.rows.last().unwrap().clone();
    assert!(row.len() < 80 && twin.column < 80, "{context}");
    let line: Text = model.line.iter().collect();
    if model.line.len() < 60 && !row.contains(&'<') {
        assert_eq!(
            twin.row(),
            format!("{prompt}{line}").trim_end(),
            "{context}"
        );
        assert_eq!(twin.column, prompt.len() + model.cursor, "{context}");
        return;
    }
    // Seen through a window: what stands around the cursor is right.
    let seen = |column: usize| row.get(column).copied().unwrap_or(' ');
    for distance in 0..8 {
        let (left, right) = (
            twin.column.wrapping_sub(distance + 1),
            twin.column + distance,
        );
        if (prompt.len() + 1..78).contains(&left) && model.cursor > distance {
            assert_eq!(
                seen(left),
                model.line[model.cursor - distance - 1],
                "{context}"
            );
        }
        if (prompt.len() + 1..78).contains(&right) {
            let sign = model.line.get(model.cursor + distance).copied();
            assert_eq!(seen(right), sign.unwrap_or(' '), "{context}");
        }
    }
}

#[test]
fn after_every_key_the_terminal_shows_the_line() {
    for seed in 1..=400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut bench, mut model) = (Bench::terminal(), Model::default());
        let long = if seed % 4 == 0 { 150 } else { 20 };
        for turn in 0..120 {
            let key = match random.below(3) {
                // Long lines must come to be.
                0 if model.line.len() < long => "a bücher",
                _ => KEYS[random.below(KEYS.len())],
            };
            if model.line.len() + 10 > long && key.chars().all(|sign| !sign.is_control()) {
                continue;
            }
            bench.send_in_chunks(key, 1 + turn % 16);
            model.key(key);
            if random.below(6) == 0 {
                assert!(bench.console.notice(&mut bench.link, "call answered"));
                bench.step();
                let rows = bench.twin.screen();
                assert_eq!(rows[rows.len() - 2], "call answered");
            }
            assert_shows(
                &bench.twin,
                &model,
                &format!("seed {seed}, turn {turn}, key {key:?}"),
            );
        }
    }
}

#[test]
fn all_short_key_sequences_show_what_a_slow_editor_says() {
    let keys = [
        "ä", "b ", LEFT, RIGHT, "\x08", "\x1b[3~", "\x17", "\x0b", "\x15", "\x01", UP, "\r",
    ];
    let mut sequences: Vec<Vec<&str>> = vec![Vec::new()];
    for at in 0.. {
        let Some(sequence) = sequences.get(at).cloned() else {
            break;
        };
        let (mut bench, mut model) = (Bench::terminal(), Model::default());
        for key in &sequence {
            bench.send(key);
            model.key(key);
        }
        assert_shows(&bench.twin, &model, &format!("{sequence:?}"));
        if sequence.len() < 4 {
            for key in keys {
                let mut longer = sequence.clone();
                longer.push(key);
                sequences.push(longer);
            }
        }
    }
    assert_eq!(sequences.len(), 1 + 12 + 144 + 1728 + 20736);
}

#[test]
fn a_session_looks_the_same_at_every_chunk_size() {
    let session = "shx\x08o\tsta\t\r? show config ?\x15user anna password geheim\rhelp poll\r\
                   user annx tls off\rbogus\r\x0c# nothing\r\r\r\nshow lines\n";
    let expected = [
        "ringmail> show status",
        "line 0",
        "ringmail>",
        "  show             status | lines | calls | users | user | store | config | log",
    ];
    let mut first = None;
    for chunk in 1..=16 {
        let mut bench = Bench::terminal();
        bench.send_in_chunks(session, chunk);
        let screen = bench.twin.screen();
        let first = first.get_or_insert(screen.clone());
        assert_eq!(&screen, first, "chunk {chunk}");
    }
    let screen = first.unwrap();
    assert_eq!(screen[..4], expected, "{screen:#?}");
    for row in [
        "  secrets          the same with secrets shown",
        "  Enter            run it",
        "ringmail> user anna password ******",
        "  poll USER",
        "      visit the LAN server now",
        "no user \"annx\": expected a user who was added with user add",
        "expected a command (help lists them), got \"bogus\"",
    ] {
        assert!(screen.iter().any(|seen| seen == row), "{row}\n{screen:#?}");
    }
    assert!(screen.iter().all(|row| !row.contains("geheim")));
}

#[test]
fn every_line_end_ends_one_line() {
    for end in ["\r", "\n", "\r\n", "\r\0"] {
        let mut bench = Bench::terminal();
        bench.send(format!("save{end}revert{end}"));
        assert_eq!(bench.owner.commands, [Command::Save, Command::Revert]);
        assert_eq!(
            bench.twin.screen().len(),
            5,
            "{end:?}: {:?}",
            bench.twin.screen()
        );
    }
}

#[test]
fn tab_completes_words_and_names_and_shows_where_it_cannot() {
    for (typed, expected) in [
        ("sh\t", "ringmail> show"),
        ("show c\t", "ringmail> show c"),
        ("show ca\t", "ringmail> show calls"),
        ("poll a\t", "ringmail> poll ann"),
        ("poll anne\t", "ringmail> poll annette"),
        ("hangup \t", "ringmail> hangup usb"),
        ("line u\tr\t", "ringmail> line usb rings"),
        ("show user\t", "ringmail> show user"),
        ("zz\t", "ringmail> zz"),
        ("user anna init \"a\t", "ringmail> user anna init \"a"),
        ("user anna tl\tst\t", "ringmail> user anna tls starttls"),
        ("sh anna\x01\x1b[C\x1b[C\t", "ringmail> show  anna"),
    ] {
        let mut bench = Bench::terminal();
        bench.send(typed);
        assert_eq!(bench.twin.row(), expected, "{typed:?}");
    }
    let mut bench = Bench::terminal();
    bench.send("poll ann\t");
    let expected = [
        "ringmail> poll ann",
        "  USER             a user's name",
        "    anna",
        "    annette",
        "ringmail> poll ann",
    ];
    assert_eq!(bench.twin.screen(), expected);
}

#[test]
fn a_question_is_asked_outside_quotes_and_passwords_only() {
    let mut bench = Bench::terminal();
    bench.send("line usb init \"a?\"\ruser anna password w?t\r# why?\r");
    assert_eq!(bench.owner.config.lines[0].init, "a?");
    assert_eq!(
        bench.owner.config.user("anna").unwrap().password.reveal(),
        "w?t"
    );
    let mut bench = Bench::terminal();
    bench.send("user anna poll at-login ?");
    let expected = [
        "ringmail> user anna poll at-login",
        "  DURATION         a duration such as 30s, 15m or 2h",
        "  off              and when the caller logs in, for so long (10s)",
        "ringmail> user anna poll at-login",
    ];
    assert_eq!(bench.twin.screen(), expected);
}

#[test]
fn a_line_too_long_is_refused_with_a_bell() {
    let mut bench = Bench::terminal();
    bench.send("a".repeat(LINE_OCTETS));
    assert_eq!(bench.twin.bells, 0);
    bench.send("üb");
    assert_eq!(bench.twin.bells, 2);
    // Room for one octet is not room for two.
    bench.send("\x08ü");
    assert_eq!(bench.twin.bells, 3);
    bench.send("\x15save\r");
    assert_eq!(bench.owner.commands, [Command::Save]);
}

#[test]
fn old_lines_come_back_without_their_secrets() {
    let mut bench = Bench::terminal();
    bench.send("user anna password geheim\rsave\rdraft");
    bench.send(UP).send(UP);
    assert_eq!(bench.twin.row(), "ringmail> user anna password ********");
    bench.send("\r");
    let screen = bench.twin.screen();
    assert!(
        screen[screen.len() - 2].starts_with("password: ******** stands"),
        "{screen:#?}"
    );
    assert_eq!(
        bench.owner.config.user("anna").unwrap().password.reveal(),
        "geheim"
    );
    assert!(!format!("{:?}", bench.console).contains("geheim"));
    bench.send("draft").send(UP).send(DOWN);
    assert_eq!(bench.twin.row(), "ringmail> draft");
    for n in 0..40 {
        bench.send(format!("\x15help {n}\r"));
    }
    for _ in 0..40 {
        bench.send("\x10");
    }
    assert_eq!(bench.twin.row(), "ringmail> help 24");
}

#[test]
fn the_password_is_asked_for_and_guessing_takes_ever_longer() {
    let config =
        format!("{CONFIG}\nconsole password open sesame").replace("open sesame", "\"open sesame\"");
    let mut bench = Bench::new(Kind::Terminal, &config);
    assert_eq!(bench.twin.row(), "password:");
    assert!(!bench.console.is_logged_in());
    assert!(
        bench
            .console
            .notice(&mut bench.link, "nobody may read this")
    );
    for delay in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
        bench.send("wrong\r");
        assert_eq!(bench.twin.rows.len() % 2, 1);
        let until = bench.now + Duration::from_secs(delay);
        assert_eq!(bench.console.deadline(), Some(until));
        // What is typed meanwhile does not count, right or not.
        bench.send("open sesame\r");
        bench.wait(delay - 1);
        bench.send("open sesame\r");
        assert_eq!(bench.twin.row(), "");
        bench.wait(1);
        assert_eq!(bench.twin.row(), "password:");
    }
    // Leaving forgives nothing.
    bench.send("\x04wrong\r");
    assert_eq!(bench.exits, 1);
    bench.wait(63);
    assert_eq!(bench.twin.row(), "");
    bench.wait(1);
    bench.send("open sesamx\x08e\r");
    assert_eq!(bench.twin.row(), "ringmail>");
    assert!(bench.console.is_logged_in());
    bench.send(UP);
    assert_eq!(bench.twin.row(), "ringmail>");
    bench.send("save\rexit\r").send(UP).send("save\r");
    assert_eq!(bench.owner.commands, [Command::Save]);
    assert_eq!(bench.exits, 2);
    bench.wait(64);
    let screen = bench.twin.screen().join("\n");
    assert!(
        !screen.contains("sesame") && !screen.contains("nobody"),
        "{screen}"
    );
}

#[test]
fn secrets_are_shown_after_the_password_only() {
    let secrets = Command::Show(Show::Config(Secrets::Shown));
    let mut bench = Bench::terminal();
    bench.send("show config secrets\r");
    assert_eq!(bench.owner.commands, core::slice::from_ref(&secrets));

    let config = "user add anna password x\nconsole password p";
    let mut bench = Bench::new(Kind::Terminal, config);
    bench.send("p\rshow config secrets\r");
    assert_eq!(bench.twin.row(), "password:");
    bench.send("\x03show config secrets\rq\r");
    assert_eq!(
        bench.console.deadline(),
        Some(bench.now + Duration::from_secs(1))
    );
    bench.wait(1);
    assert_eq!(bench.twin.row(), "ringmail>");
    assert_eq!(bench.owner.commands, []);
    bench.send("show config secrets\rp\r");
    assert_eq!(bench.owner.commands, [secrets]);

    let mut bench = Bench::new(Kind::OneCommand, config);
    bench.send("show config secrets\r");
    assert_eq!(bench.owner.commands, []);
    let expected = [
        "only at a terminal, where the console password can be asked for",
        "",
    ];
    assert_eq!(bench.twin.screen(), expected);
}

#[test]
fn a_long_answer_comes_page_by_page() {
    let mut bench = Bench::terminal();
    bench.owner.lines = 100;
    bench.send("show log\r");
    assert_eq!(bench.twin.row(), "--More--");
    assert_eq!(bench.twin.screen()[PAGE], "line 21");
    bench.send("\r");
    assert_eq!(bench.twin.screen()[PAGE + 1], "line 22");
    assert_eq!(bench.twin.row(), "--More--");
    bench.send(" ");
    assert_eq!(bench.twin.screen()[2 * PAGE + 1], "line 44");
    bench.console.notice(&mut bench.link, "a call");
    bench.step();
    assert_eq!(bench.twin.row(), "--More--");
    bench.send("x");
    assert_eq!(bench.twin.bells, 1);
    bench.send("q");
    assert_eq!(bench.twin.row(), "ringmail>");
    assert_eq!(bench.owner.commands.len(), 1, "line 0 is asked for once");

    // An answer of exactly a page, and no more, does not stop.
    bench.owner.lines = 22;
    bench.send("show log\r");
    assert_eq!(bench.twin.row(), "ringmail>");
    bench.owner.lines = 5000;
    bench.send("show log\r\x03");
    assert_eq!(bench.twin.row(), "ringmail>");
}

#[test]
fn what_is_waited_for_can_be_interrupted() {
    let mut bench = Bench::terminal();
    bench.owner.waits = true;
    bench.send("poll anna\rsave\r");
    assert_eq!(bench.twin.row(), "");
    assert_eq!(bench.console.deadline(), None);
    bench.send("\x03");
    assert_eq!(bench.twin.row(), "ringmail>");
    bench.send("poll anna\rshow status\r");
    bench.owner.waits = false;
    bench.step();
    let poll = Command::Poll(crate::config::Name::try_from("anna").unwrap());
    assert_eq!(bench.owner.commands, [poll, Command::Show(Show::Status)]);
}

#[test]
fn one_command_has_no_prompt_no_echo_and_no_pages() {
    for chunk in 1..=16 {
        let mut bench = Bench::new(Kind::OneCommand, CONFIG);
        bench.owner.lines = 1000;
        bench.send_in_chunks("show log\n", chunk);
        let screen = bench.twin.screen();
        assert_eq!(screen.len(), 1001);
        assert_eq!(
            (screen[0].as_str(), screen[999].as_str()),
            ("line 0", "line 999")
        );
        assert_eq!(bench.exits, 1);
    }
    for (line, expected) in [
        (
            "bogus\n",
            "expected a command (help lists them), got \"bogus\"\r\n",
        ),
        ("\n", "expected a command (help lists them)\r\n"),
        ("exit\n", ""),
        ("user anna tls off\n", ""),
        (
            "user anna tls on\n",
            "tls: expected starttls, off or required, got \"on\"\r\n",
        ),
        ("\x04", ""),
    ] {
        let mut bench = Bench::new(Kind::OneCommand, CONFIG);
        assert!(bench.console.notice(&mut bench.link, "not for programs"));
        bench.send(line);
        assert_eq!(bench.twin.screen().join("\r\n"), expected, "{line:?}");
        assert_eq!(bench.exits, 1);
    }
    let mut bench = Bench::new(Kind::OneCommand, CONFIG);
    bench.send("x".repeat(LINE_OCTETS + 1));
    assert_eq!(
        bench.twin.screen()[0],
        "expected a line of at most 512 octets"
    );
    assert_eq!(bench.exits, 1);
}

#[test]
fn hostile_text_cannot_steer_the_terminal() {
    let mut bench = Bench::terminal();
    bench
        .console
        .notice(&mut bench.link, "caller \x1b[2J\r\n\u{9b}x\tq");
    bench.console.notice(&mut bench.link, &"ü".repeat(4000));
    bench.step();
    assert_eq!(bench.twin.screen()[0], "caller ?[2J???x q");
    assert_eq!(bench.twin.row(), "ringmail>");
}

#[test]
fn a_terminal_that_does_not_read_stops_the_console_and_nothing_is_lost() {
    let mut bench = Bench::new(Kind::OneCommand, CONFIG);
    bench.owner.lines = 3000;
    bench.link.feed(b"show log\n");
    let mut drained = 0;
    for _ in 0..100_000 {
        let event = bench
            .console
            .step(bench.now, &mut bench.link, &mut bench.owner);
        let output: Vec<u8> = bench.link.output().iter().copied().take(7).collect();
        bench.link.take_output(output.len());
        drained += output.len();
        bench.twin.receive(&output);
        bench.exits += usize::from(event.is_some());
        if bench.exits > 0 && bench.link.output().is_empty() {
            break;
        }
    }
    assert_eq!(bench.twin.screen().len(), 3001, "{drained} octets");
    // Full, it takes no notice.
    let mut bench = Bench::terminal();
    let mut taken = 0;
    while bench.console.notice(&mut bench.link, "a line of the log") {
        taken += 1;
    }
    assert!(taken > 50 && taken < 1000);
}

#[test]
fn after_any_noise_the_console_obeys() {
    for seed in 1..=2000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bench = Bench::terminal();
        bench.owner.lines = 30;
        for _ in 0..random.below(40) {
            let noise = match random.below(4) {
                0 => KEYS[random.below(KEYS.len())].as_bytes().to_vec(),
                1 => b"show\t ? poll \t\t?\r"[..random.below(17)].to_vec(),
                _ => (0..random.below(20))
                    .map(|_| u8::try_from(random.below(256)).unwrap())
                    .collect(),
            };
            bench.send_in_chunks(noise, 1 + random.below(16));
        }
        // Out of any sequence, any page, any line.
        bench.send("x".repeat(64)).send("\x03\x03");
        bench.owner.commands.clear();
        bench.send("show status\r").send("\x03");
        assert_eq!(
            bench.owner.commands,
            [Command::Show(Show::Status)],
            "seed {seed}"
        );
        assert_eq!(bench.twin.row(), "ringmail>", "seed {seed}");
    }
}

#[test]
fn the_prompt_is_the_host_name() {
    let mut bench = Bench::new(Kind::Terminal, "user add anna password x\nhostname attic");
    assert_eq!(bench.twin.row(), "attic>");
    bench.send("hostname cellar\r");
    assert_eq!(bench.twin.row(), "cellar>");
}

#[test]
fn help_lists_every_command() {
    let mut bench = Bench::new(Kind::OneCommand, CONFIG);
    bench.send("help\r");
    let screen = bench.twin.screen().join("\n");
    for row in crate::config::grammar::TABLE {
        let first = row.pattern.split(' ').next().unwrap();
        assert!(screen.contains(&format!("\n  {first} ")), "{first}");
    }
    let widest = bench
        .twin
        .screen()
        .into_iter()
        .max_by_key(|row| row.chars().count());
    assert!(widest.as_ref().unwrap().len() < 80, "{widest:?}");
}

/// A whole dialogue of the first start, with every kind of mistake.
const SETUP: &str = "?a b\rcarol\rquite secret\rsideways\r?notice\rgopher://x\ranna\rblau\r\
                     imap://mail.lan\r\r\x1b[A\tbert\rtop \"secret\"\r";

#[test]
fn the_first_start_is_the_same_at_every_chunk_size() {
    let mut first: Option<Vec<Text>> = None;
    for chunk in 1..=64 {
        let mut bench = Bench::new(Kind::Terminal, "line usb device /dev/ttyUSB0");
        bench.send_in_chunks(SETUP, chunk.min(16));
        let user = bench.owner.config.user("carol").unwrap();
        assert_eq!(user.password.reveal(), "quite secret");
        let source = user.source.as_ref().unwrap();
        assert_eq!(source.login, "bert");
        assert_eq!(source.password.reveal(), "top \"secret\"");
        let carol = crate::config::Name::try_from("carol").unwrap();
        let last = bench
            .owner
            .commands
            .split_off(bench.owner.commands.len() - 2);
        assert_eq!(last, [Command::Poll(carol), Command::Save]);
        let screen = bench.twin.screen();
        assert_eq!(
            first.get_or_insert(screen.clone()),
            &screen,
            "chunk {chunk}"
        );
        assert!(
            screen.iter().all(|row| !row.contains("secret")),
            "{screen:#?}"
        );
        assert!(screen.iter().all(|row| row.chars().count() < 80));
        assert_eq!(bench.twin.row(), "ringmail>");
        // Neither is it to be had from the lines before.
        bench.send(UP);
        assert_eq!(bench.twin.row(), "ringmail>");
        assert!(!format!("{:?}", bench.console).contains("secret"));
    }
}

#[test]
fn the_first_start_can_be_cut_at_every_octet() {
    for end in 0..=SETUP.len() {
        let mut bench = Bench::new(Kind::Terminal, "");
        bench.send(&SETUP[..end]).send("\x03");
        assert_eq!(bench.twin.row(), "ringmail>", "{end}");
        bench.owner.commands.clear();
        bench.send("save\r");
        assert_eq!(bench.owner.commands, [Command::Save], "{end}");
    }
}

#[test]
fn who_knows_the_words_is_not_held_up_by_the_first_start() {
    for (typed, expected) in [
        ("save\r", Some(Command::Save)),
        ("  show status\r", Some(Command::Show(Show::Status))),
        ("\r", None),
        ("\x04", None),
        ("user add anna password geheim\r", None),
    ] {
        let mut bench = Bench::new(Kind::Terminal, "");
        assert_eq!(bench.twin.row(), "name:");
        bench.send(typed);
        assert_eq!(bench.twin.row(), "ringmail>", "{typed:?}");
        let asked = bench.owner.commands.iter();
        let asked: Vec<_> = asked
            .filter(|command| !matches!(command, Command::Configure(_)))
            .cloned()
            .collect();
        assert_eq!(asked, Vec::from_iter(expected), "{typed:?}");
        assert!(!bench.twin.screen().join("").contains("geheim"));
        // It is asked for, too.
        bench.send("setup\r");
        assert_eq!(bench.twin.row(), "name:");
    }
    let mut bench = Bench::new(Kind::OneCommand, "");
    bench.send("setup\n");
    assert_eq!(
        bench.twin.screen()[0],
        "only at a terminal, where it can ask"
    );
    assert_eq!(bench.exits, 1);
}

#[test]
fn what_would_be_lost_is_said_first() {
    let mut bench = Bench::terminal();
    bench.owner.unsaved = true;
    bench.send("reboot\r");
    assert_eq!(bench.owner.commands, []);
    // Only what follows at once is meant.
    bench.send("show status\rreboot\r");
    assert_eq!(bench.owner.commands, [Command::Show(Show::Status)]);
    bench.send("reboot\r");
    assert_eq!(bench.owner.commands.pop(), Some(Command::Reboot));
    bench.send("exit\r");
    assert_eq!(bench.exits, 1);
    let said = bench.twin.screen().join("\n");
    assert_eq!(said.matches("is not saved").count(), 3, "{said}");
    bench.owner.unsaved = false;
    bench.send("reboot\rexit\r");
    assert_eq!(bench.owner.commands.pop(), Some(Command::Reboot));
    let again = bench.twin.screen().join("\n");
    assert_eq!(again.matches("is not saved").count(), 3, "{again}");
    // Who cannot be asked means it.
    let mut bench = Bench::new(Kind::OneCommand, CONFIG);
    bench.owner.unsaved = true;
    bench.send("reboot\n");
    assert_eq!(bench.owner.commands, [Command::Reboot]);
}

/// Words that stand for an argument, to type a whole command.
fn sample(argument: &str) -> &str {
    match argument {
        "USER" => "anna",
        "LINE" => "usb",
        "NAME" => "new",
        "N" | "PERCENT" => "7",
        "DURATION" => "20m",
        "DATE" => "2026-01-31",
        "TIME" => "13:45",
        "WORD" => "poll",
        other => other,
    }
}

#[test]
fn every_word_of_the_grammar_is_listed_and_completed() {
    use crate::config::grammar::TABLE;
    for row in TABLE {
        let mut head = Text::new();
        for element in row.pattern.split(' ') {
            let element = element.trim_end_matches("...");
            let element = element.strip_prefix('[').unwrap_or(element);
            let element = match element.contains('[') {
                true => element,
                false => element.trim_end_matches(']'),
            };
            // Every way on is shown by `?`; the first words fill more than a page, which a blank turns.
            let mut bench = Bench::terminal();
            bench.send(format!("{head}? "));
            let screen = bench.twin.screen().join("\n");
            for word in element.split('|') {
                let shown = screen.contains(&format!("\n  {word:<16} "));
                assert!(shown, "{head:?} then {word}:\n{screen}");
                let small = word.starts_with(|sign: char| sign.is_ascii_lowercase());
                if !small {
                    continue;
                }
                // Tab after any part of it leads to it, or shows it among others.
                for cut in 1..=word.len() {
                    let mut bench = Bench::terminal();
                    bench.send(format!("{head}{}\t", &word[..cut]));
                    let row = bench.twin.row();
                    let typed = row.strip_prefix("ringmail> ").unwrap();
                    let typed = typed.strip_prefix(head.trim_end()).unwrap().trim_start();
                    let on = word.starts_with(typed) && typed.len() >= cut;
                    assert!(on, "{head:?} {:?} gave {typed:?}", &word[..cut]);
                    let shown = bench.twin.screen().join("\n");
                    assert!(typed == word || shown.contains(word) || typed.len() > cut);
                }
            }
            let first = element.split('|').next().unwrap();
            head += sample(first);
            head += " ";
        }
        assert!(head.starts_with(row.pattern.split(' ').next().unwrap()));
    }
}
