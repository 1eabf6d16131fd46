//! What the owner types at the console and sees on a terminal of 80 columns: whole dialogues.
//!
//! A dialogue in `tests/transcripts/console` is what is typed, a line `---`, and what the screen
//! shows in the end, without lines of the log. In the first part `\t` is Tab, `\c` is ^C, and `\`
//! at the end of a line leaves Enter out. `RINGMAIL_TRANSCRIPTS=write` writes the second part
//! anew, to be looked at.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support {
    pub(crate) mod dialler;
    pub(crate) mod world;
}

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hal::dce::DceOptions;
use hal::sim::SimConsole;
use hal::{Duration, Wall};
use ringmail::config::grammar::{self, Fault};
use ringmail::config::words::{Words, WordsError};
use ringmail::config::{self, ConfigError};
use support::dialler::{Plan, take_all};
use support::world::{House, Running, id_of, mail};

/// Rows that are printed before a terminal of 24 stops.
const PAGE: usize = 22;

/// What a terminal that knows CR, LF and BS shows of `octets`.
fn screen(octets: &str) -> Vec<String> {
    let mut rows = vec![Vec::new()];
    let mut column = 0_usize;
    for sign in octets.chars() {
        match sign {
            '\r' => column = 0,
            '\n' => rows.push(Vec::new()),
            '\u{8}' => column -= 1,
            '\u{7}' => {}
            sign => {
                assert!(!sign.is_control(), "{sign:?} is not for this terminal");
                let row = rows.last_mut().unwrap();
                row.resize(row.len().max(column + 1), ' ');
                row[column] = sign;
                column += 1;
            }
        }
    }
    let rows = rows.into_iter().map(String::from_iter);
    rows.map(|row| row.trim_end().to_owned()).collect()
}

/// Types one line in pieces of `chunk` octets; it takes a second, however it is typed.
fn type_line(on: &mut Running<'_, '_>, console: &SimConsole, line: &str, chunk: usize) {
    let end = on.now() + Duration::from_secs(1);
    let typed = line.replace("\\t", "\t").replace("\\c", "\x03");
    let typed = match typed.strip_suffix('\\') {
        Some(open) => open.to_owned(),
        None => typed + "\r",
    };
    for piece in typed.as_bytes().chunks(chunk) {
        console.type_text(core::str::from_utf8(piece).unwrap());
        on.run_for(Duration::from_millis(1));
    }
    on.run_to(end);
}

fn transcript(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/console");
    directory.join(name)
}

/// Plays the dialogue `name` in `house`, typed in pieces of several sizes. `before` is what
/// happens before anybody types.
fn play(name: &str, house: fn() -> House, before: fn(&mut Running<'_, '_>)) {
    let path = transcript(name);
    let text = fs::read_to_string(&path).unwrap();
    let (typed, expected) = text.split_once("---\n").expect("a line of three dashes");
    let mut writes = std::env::var_os("RINGMAIL_TRANSCRIPTS").is_some();
    let mut expected = expected.to_owned();
    for chunk in [1, 2, 3, 7, 16, 512] {
        house().power(|on| {
            on.run_until_ready();
            before(on);
            let console = on.world.attach("");
            on.run_for(Duration::from_secs(1));
            for line in typed.lines() {
                type_line(on, &console, line, chunk);
            }
            let shown = screen(&console.shown());
            // Lines of the log have tests of their own, and may be longer.
            let logged = ["line a: ", "line b: ", "line c: ", "line the-line-with-"];
            let logged =
                logged
                    .into_iter()
                    .chain([": visit: ", ": visit failed: ", "ready: ", "ntp: "]);
            let logged = |row: &String| logged.clone().any(|words| row.contains(words));
            let shown: Vec<_> = shown.into_iter().filter(|row| !logged(row)).collect();
            for row in &shown {
                assert!(row.chars().count() < 80, "{row}");
            }
            let shown = shown.join("\n") + "\n";
            if writes {
                fs::write(&path, format!("{typed}---\n{shown}")).unwrap();
                expected = shown;
                writes = false;
                return;
            }
            assert_eq!(shown, expected, "{name}, typed in pieces of {chunk}");
        });
    }
}

const USERS: &str = "\
user add anna password rot
user anna source pop3://mail.lan login anna password blau
user add bert password gelb
";

/// Two lines and two users, one of them with mail.
fn two() -> House {
    // Numbers are asked for where some are refused.
    let lines = "line a device /dev/a\nline b device /dev/b\nline b deny 5559999\n";
    let config = format!("{lines}{USERS}");
    let mut house = House::new(11, &config);
    house.line("a", 33_600, true);
    let options = DceOptions {
        speed: 33_600,
        latency: Duration::from_millis(50),
        training: Duration::from_secs(2),
        connect: "33600/ARQ/V34/LAPM/V42BIS".try_into().unwrap(),
        dial: false,
    };
    house.world.make_line("/dev/b", options, true);
    house.world.set_wall(Wall {
        unix: 1_790_000_000,
        offset: 7200,
        trusted: true,
    });
    let net = house.world.net().clone();
    let mut post = net.post();
    post.open_account("anna", "blau");
    for name in ["one", "two", "three"] {
        let octets = mail(name, 700);
        post.deliver("anna", &id_of(&octets), &octets);
    }
    drop(post);
    house
}

/// As many of all as there may be, and nothing of it works.
fn full() -> House {
    let mut config = String::new();
    for at in 0..8 {
        config += &format!("line the-line-with-the-longest-name-{at} device /dev/l{at}\n");
    }
    for at in 10..42 {
        let name = format!("the-user-with-the-longest-name{at}");
        config += &format!("user add {name} password x\n");
        config += &format!("user {name} source pop3://mail.lan login nobody{at} password {name}\n");
    }
    let mut house = House::new(12, &config);
    for at in 0..8 {
        house.line(&format!("l{at}"), 33_600, true);
    }
    house
}

fn call(on: &mut Running<'_, '_>, line: &str) {
    let at = on.now();
    let record = on.whole_call(
        line,
        Plan {
            at,
            user: "anna".into(),
            password: "rot".into(),
            pipelined: false,
            body: take_all(true),
        },
    );
    assert!(record.quit_read);
}

#[test]
fn the_status_of_a_small_house() {
    play("status.txt", two, |on| {
        call(on, "b");
        on.run_for(Duration::from_secs(60));
    });
}

#[test]
fn the_status_is_one_page_however_much_there_is() {
    let mut house = full();
    house.power(|on| {
        on.run_until_ready();
        for (wait, line) in [(1, "l0"), (1200, "l7"), (60, "l3")] {
            on.run_for(Duration::from_secs(wait));
            let console = on.world.attach("");
            on.run_for(Duration::from_secs(1));
            type_line(on, &console, "show status", 16);
            let rows = screen(&console.shown());
            assert!(!rows.iter().any(|row| row == "--More--"), "{rows:#?}");
            let at = rows.iter().rposition(|row| row.ends_with("> show status"));
            let page: Vec<_> = rows.into_iter().skip(at.unwrap() + 1).collect();
            // The prompt comes after it.
            assert!(page.len() <= PAGE + 1, "{page:#?}");
            for row in &page {
                assert!(row.chars().count() < 80, "{row}");
            }
            let said = |words: &str| page.iter().any(|row| row.contains(words));
            assert!(said("ring    [") && said("the-line-with-"), "{page:#?}");
            assert!(said(" more: show users"), "{page:#?}");
            console.close();
            on.world
                .line(&format!("/dev/{line}"))
                .wedge(Duration::from_secs(100_000));
        }
    });
}

/// A line, and nobody who may dial in; anna has mail on the LAN.
fn nobody() -> House {
    let mut house = two();
    house.config = "line a device /dev/a\n".into();
    house
}

#[test]
fn the_first_start_asks_five_questions() {
    play("setup.txt", nobody, |_| {});
}

#[test]
fn the_first_start_can_be_left_and_mistaken() {
    play("setup-left.txt", nobody, |_| {});
}

#[test]
fn what_is_not_saved_is_said_before_it_is_lost() {
    play("unsaved.txt", two, |_| {});
}

#[test]
fn every_command_has_its_answer() {
    play("commands.txt", two, |on| call(on, "b"));
}

#[test]
fn every_setting_is_taken_and_printed() {
    play("settings.txt", two, |_| {});
}

#[test]
fn every_error_says_what_was_expected() {
    play("errors.txt", two, |_| {});
    play("limits.txt", full, |_| {});
}

/// What is typed in the dialogue `name`, line by line.
fn typed(name: &str) -> Vec<String> {
    let text = fs::read_to_string(transcript(name)).unwrap();
    let (typed, _) = text.split_once("---\n").expect("a line of three dashes");
    typed.lines().map(str::to_owned).collect()
}

#[test]
fn every_command_of_the_grammar_has_a_dialogue() {
    let mut lines = Vec::new();
    for entry in fs::read_dir(transcript("")).unwrap() {
        lines.extend(typed(entry.unwrap().file_name().to_str().unwrap()));
    }
    let rows: Vec<_> = lines
        .iter()
        .filter_map(|line| {
            let words = Words::split(line.trim_end_matches('\\')).ok()?;
            Some(grammar::find(&words).ok()?.row().pattern)
        })
        .collect();
    let without: Vec<_> = grammar::TABLE
        .iter()
        .map(|row| row.pattern)
        .filter(|pattern| !rows.contains(pattern))
        .collect();
    assert_eq!(without, [""; 0], "no dialogue types these");
}

/// Errors of the configuration, by name: the compiler asks for each that is new.
fn name_of(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::Words(Fault::Words(error)) => match error {
            WordsError::OpenQuote => "open quote",
            WordsError::AfterQuote => "after quote",
            WordsError::Escape => "escape",
            WordsError::TooMany { .. } => "too many words",
            WordsError::Control(_) | WordsError::TooLong { .. } => "not to be typed",
        },
        ConfigError::Words(Fault::Expected { .. }) => "expected",
        ConfigError::Words(Fault::OutOfBounds { .. }) => "out of bounds",
        ConfigError::UnknownUser(_) => "unknown user",
        ConfigError::UnknownLine(_) => "unknown line",
        ConfigError::DuplicateUser(_) => "duplicate user",
        ConfigError::ReservedName(_) => "reserved name",
        ConfigError::TooManyUsers { .. } => "too many users",
        ConfigError::TooManyLines { .. } => "too many lines",
        ConfigError::TooManyNumbers { .. } => "too many numbers",
        ConfigError::SecretLength { .. } => "secret length",
        ConfigError::Passphrase => "passphrase",
        ConfigError::MaskedSecret => "masked secret",
        // In files; and after more commands than anybody types.
        ConfigError::ConsoleOnly(_) | ConfigError::TooLarge { .. } => "not to be typed",
    }
}

#[test]
fn every_error_of_the_configuration_has_a_dialogue() {
    let mut met = BTreeSet::new();
    for (name, house) in [("errors.txt", two as fn() -> House), ("limits.txt", full)] {
        let mut config = config::check(&house().config, |line, error| panic!("{line}: {error}"));
        let errors = typed(name).into_iter().map(|line| config.apply(&line));
        met.extend(errors.filter_map(Result::err).map(|error| name_of(&error)));
    }
    let all = [
        "after quote",
        "duplicate user",
        "escape",
        "expected",
        "masked secret",
        "open quote",
        "out of bounds",
        "passphrase",
        "reserved name",
        "secret length",
        "too many lines",
        "too many numbers",
        "too many users",
        "too many words",
        "unknown line",
        "unknown user",
    ];
    met.remove("not to be typed");
    assert_eq!(met.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn how_far_a_mail_server_is_trusted_is_said_and_shown() {
    play("tls.txt", two, |_| {});
}
