use std::format;
use std::string::{String as Text, ToString};
use std::vec::Vec as List;

use super::*;

/// A configuration that every command of the table below is good in.
fn base() -> Config {
    config_of("line usb device /dev/ttyUSB0\nuser add anna password geheim\n")
}

fn config_of(text: &str) -> Config {
    check(text, |number, error| {
        panic!("line {number}: {error}: {text}")
    })
}

fn listing(config: &Config, secrets: Secrets) -> List<Text> {
    let mut out = String::new();
    let lines = (0..).map_while(|n| config.line(n, secrets, &mut out).then(|| out.to_string()));
    lines.collect()
}

fn error(line: &str) -> Text {
    let mut config = base();
    let error = config.apply(line).expect_err(line);
    assert_eq!(config, base(), "{line} changed something");
    error.to_string()
}

/// Commands, and what the listing says for them after [`base`]'s own two lines; `None`: nothing.
const GOOD: &[(&str, Option<&str>)] = &[
    ("", None),
    ("# a comment", None),
    ("hostname ring-1.example", Some("hostname ring-1.example")),
    (
        "store /dev/mmcblk0p3 size 1G",
        Some("store /dev/mmcblk0p3 size 1G"),
    ),
    (
        "store \"/a b\" size 268435456",
        Some("store \"/a b\" size 256M"),
    ),
    ("store \"\" size 256M", None),
    ("store /r size 4194305", Some("store /r size 4194305")),
    ("line usb rings 2", Some("line usb rings 2")),
    ("line usb rings 1", None),
    ("line usb carrier auto", None),
    ("line usb carrier dcd", Some("line usb carrier dcd")),
    ("line usb carrier text", Some("line usb carrier text")),
    ("line usb carrier none", Some("line usb carrier none")),
    ("line usb modem auto", None),
    ("line usb modem wifi", Some("line usb modem wifi")),
    ("line usb modem direct", Some("line usb modem direct")),
    ("line usb answer always", None),
    ("line usb answer never", Some("line usb answer never")),
    (
        "line usb answer 18:00-08:30",
        Some("line usb answer 18:00-08:30"),
    ),
    ("line usb distinctive any", None),
    ("line usb distinctive B", Some("line usb distinctive B")),
    (
        "line usb init \"ATM0 L1\"",
        Some("line usb init \"ATM0 L1\""),
    ),
    ("line usb init ATM0", Some("line usb init ATM0")),
    ("line usb init \"\"", None),
    (
        "line usb allow +4930123 0301",
        Some("line usb allow +4930123 0301"),
    ),
    ("line usb allow any", None),
    ("line usb deny *31#5", Some("line usb deny \"*31#5\"")),
    ("line usb deny none", None),
    ("line b phone [::1]:5300", Some("line b phone [::1]:5300")),
    (
        "line b phone 127.0.0.1:5300",
        Some("line b phone 127.0.0.1:5300"),
    ),
    (
        "line b device /dev/ttyS1 speed 9600",
        Some("line b device /dev/ttyS1 speed 9600"),
    ),
    (
        "line b device /dev/ttyS1 speed 115200",
        Some("line b device /dev/ttyS1"),
    ),
    (
        "user add ben password \"a b\"",
        Some("user add ben password \"a b\""),
    ),
    (
        "user anna source pop3://mail login anna password x",
        Some("user anna source pop3://mail login anna password x"),
    ),
    (
        "user anna source POP3://mail:110/ login \"a b\" password \"#\"",
        Some("user anna source pop3://mail login \"a b\" password \"#\""),
    ),
    (
        "user anna source pop3://[2001:db8::1]:1110 login a@b password x",
        Some("user anna source pop3://[2001:db8::1]:1110 login a@b password x"),
    ),
    (
        "user anna source imap://mail login anna password x",
        Some("user anna source imap://mail login anna password x"),
    ),
    (
        "user anna source \"IMAP://mail:143/Neue Post/\" login anna password x",
        Some("user anna source \"imap://mail/Neue Post/\" login anna password x"),
    ),
    (
        "user anna source imap://mail:1143/ login anna password x",
        Some("user anna source imap://mail:1143 login anna password x"),
    ),
    (
        "user anna source MAILDIR:/home/anna/Maildir",
        Some("user anna source maildir:/home/anna/Maildir"),
    ),
    (
        "user anna source \"maildir:/a b:c/M#\"",
        Some("user anna source \"maildir:/a b:c/M#\""),
    ),
    ("user anna seen read", None),
    ("user anna seen ignore", Some("user anna seen ignore")),
    ("user anna source none", None),
    ("user anna tls off", Some("user anna tls off")),
    ("user anna tls required", Some("user anna tls required")),
    ("user anna tls starttls", None),
    (
        "user anna pin SHA256:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF",
        Some(
            "user anna pin sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
    ),
    ("user anna pin none", None),
    (
        "user anna ca \"/etc/our ca.pem\"",
        Some("user anna ca \"/etc/our ca.pem\""),
    ),
    ("user anna ca system", None),
    (
        "user anna source IMAPS://mail:993/Lists login anna password x",
        Some("user anna source imaps://mail/Lists login anna password x"),
    ),
    (
        "user anna source pop3s://mail login anna password x",
        Some("user anna source pop3s://mail login anna password x"),
    ),
    (
        "user anna source POP3S://mail:110/ login anna password x",
        Some("user anna source pop3s://mail:110 login anna password x"),
    ),
    ("user anna poll every 30s", Some("user anna poll every 30s")),
    ("user anna poll every 900s", None),
    (
        "user anna poll at 12:30,08:00",
        Some("user anna poll at 08:00,12:30"),
    ),
    ("user anna password y", Some("user add anna password y")),
    (
        "user anna poll at-login 1m",
        Some("user anna poll at-login 1m"),
    ),
    (
        "user anna poll at-login off",
        Some("user anna poll at-login off"),
    ),
    ("user anna poll off", Some("user anna poll off")),
    ("user anna read-at-desk drop", None),
    (
        "user anna read-at-desk notice",
        Some("user anna read-at-desk notice"),
    ),
    (
        "user anna read-at-desk mark header",
        Some("user anna read-at-desk mark header"),
    ),
    (
        "user anna read-at-desk mark subject",
        Some("user anna read-at-desk mark subject"),
    ),
    (
        "user anna read-at-desk mark body",
        Some("user anna read-at-desk mark body"),
    ),
    ("user anna taken-by dele", None),
    ("user anna taken-by retr", Some("user anna taken-by retr")),
    ("user anna commit quit", None),
    ("user anna commit dele", Some("user anna commit dele")),
    ("user anna start all", None),
    ("user anna start new", Some("user anna start new")),
    ("user anna start 30d", Some("user anna start 30d")),
    ("user anna consumes leave", None),
    ("user anna consumes copy", Some("user anna consumes copy")),
    ("user anna large leave", None),
    ("user anna large stream", Some("user anna large stream")),
    ("user anna order arrival", None),
    ("user anna order newest", Some("user anna order newest")),
    ("user anna order size", Some("user anna order size")),
    ("user anna share 40", Some("user anna share 40")),
    ("user anna share fair", None),
    ("timezone Europe/Berlin", Some("timezone Europe/Berlin")),
    (
        "timezone CET-1CEST,M3.5.0,M10.5.0/3",
        Some("timezone CET-1CEST,M3.5.0,M10.5.0/3"),
    ),
    ("ntp off", None),
    ("ntp pool.ntp.org", Some("ntp pool.ntp.org")),
    ("ntp [2001:db8::1]:10123", Some("ntp [2001:db8::1]:10123")),
    ("net off", None),
    ("net dhcp", Some("net dhcp")),
    ("wifi off", None),
    ("wifi country any", None),
    ("wifi country de", Some("wifi country DE")),
    (
        "wifi home password 12345678",
        Some("wifi home password 12345678"),
    ),
    (
        "wifi \"J\u{fc}rgens \\\"net\\\"\" password \" ~ # \\\\ ~ \"",
        Some("wifi \"J\u{fc}rgens \\\"net\\\"\" password \" ~ # \\\\ ~ \""),
    ),
    (
        "wifi home password 0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef",
        Some("wifi home password 0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789abcdef"),
    ),
    (
        "net static 10.0.0.2/8 gateway 10.0.0.1 dns 10.0.0.1",
        Some("net static 10.0.0.2/8 gateway 10.0.0.1 dns 10.0.0.1"),
    ),
    (
        "net static 2001:db8::2/64 gateway fe80::1 dns 2001:db8::1",
        Some("net static 2001:db8::2/64 gateway fe80::1 dns 2001:db8::1"),
    ),
    ("limit login-failures 5", Some("limit login-failures 5")),
    ("limit idle 90s", Some("limit idle 90s")),
    ("limit idle 10m", None),
    ("limit call 1h", Some("limit call 1h")),
    ("console password s", Some("console password s")),
    ("console open", None),
];

/// Commands that are no good, and the whole line the owner reads.
const BAD: &[(&str, &str)] = &[
    (
        "hostnam x",
        "expected a command (help lists them), got \"hostnam\"",
    ),
    ("\"\"", "expected a command (help lists them), got \"\""),
    (
        "hostname",
        "hostname: expected a name of at most 32 letters, digits, '.', '-' or '_', got nothing",
    ),
    ("hostname a b", "hostname: expected nothing more, got \"b\""),
    (
        "hostname a/b",
        "hostname: expected a name of at most 32 letters, digits, '.', '-' or '_', got \"a/b\"",
    ),
    (
        "hostname a+b",
        "hostname: expected a name of at most 32 letters, digits, '.', '-' or '_', got \"a+b\"",
    ),
    ("store /x", "store: expected size, got nothing"),
    (
        "store /x size",
        "store size: expected a size such as 64M or 1G, got nothing",
    ),
    (
        "store /x size 64m",
        "store size: expected a size such as 64M or 1G, got \"64m\"",
    ),
    (
        "store /x size 1M",
        "store size: expected 4M to 64G, got \"1M\"",
    ),
    (
        "store /x size 65G",
        "store size: expected 4M to 64G, got \"65G\"",
    ),
    (
        "line",
        "line: expected delete or a line's name, got nothing",
    ),
    (
        "line b",
        "line: expected device, phone, rings, carrier, modem, answer, distinctive, init, allow or deny, got nothing",
    ),
    (
        "line b dial",
        "line: expected device, phone, rings, carrier, modem, answer, distinctive, init, allow or deny, got \"dial\"",
    ),
    (
        "line b device",
        "device: expected a path of at most 255 octets, got nothing",
    ),
    (
        "line b device \"\"",
        "device: expected a path of at most 255 octets, got \"\"",
    ),
    (
        "line b device /x sped 1",
        "device: expected speed or nothing more, got \"sped\"",
    ),
    (
        "line b device /x speed",
        "device speed: expected a speed in bit/s such as 115200, got nothing",
    ),
    (
        "line b device /x speed fast",
        "device speed: expected a speed in bit/s such as 115200, got \"fast\"",
    ),
    (
        "line b device /x speed 75",
        "device speed: expected 300 to 4000000, got \"75\"",
    ),
    (
        "line b phone 127.0.0.1",
        "phone: expected an address and port such as 127.0.0.1:5300, got \"127.0.0.1\"",
    ),
    (
        "line b rings 2",
        "no line \"b\": expected a line that has a device or a phone",
    ),
    (
        "line delete b",
        "no line \"b\": expected a line that has a device or a phone",
    ),
    ("line usb rings 0", "rings: expected 1 to 20, got \"0\""),
    ("line usb rings 257", "rings: expected 1 to 20, got \"257\""),
    (
        "line usb rings two",
        "rings: expected a number, got \"two\"",
    ),
    ("line usb rings \"\"", "rings: expected a number, got \"\""),
    (
        "line usb carrier yes",
        "carrier: expected auto, dcd, text or none, got \"yes\"",
    ),
    (
        "line usb answer 18:00",
        "answer: expected always, never or times of day such as 18:00-08:00, got \"18:00\"",
    ),
    (
        "line usb answer 18:00-18:00",
        "answer: expected always, never or times of day such as 18:00-08:00, got \"18:00-18:00\"",
    ),
    (
        "line usb distinctive \"a b\"",
        "distinctive: expected a style of ring such as 2, B or the number called, got \"a b\"",
    ),
    (
        "line usb allow",
        "allow: expected any or a telephone number such as +493012345, got nothing",
    ),
    (
        "line usb allow 030 x",
        "allow: expected a telephone number such as +493012345 or nothing more, got \"x\"",
    ),
    (
        "line usb allow 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
        "expected at most 16 numbers",
    ),
    (
        "line usb deny anna",
        "deny: expected a telephone number such as +493012345, got \"anna\"",
    ),
    ("user add anna password x", "user \"anna\" is there already"),
    (
        "user add delete password x",
        "\"delete\" is a word of commands: expected another name",
    ),
    (
        "user add a+b password x",
        "user add: expected a name of at most 32 letters, digits, '.', '-' or '_', got \"a+b\"",
    ),
    ("user add ben", "user add: expected password, got nothing"),
    (
        "user add ben hunter2",
        "user add: expected password, got a word not shown here",
    ),
    (
        "user add ben password",
        "user add password: expected a password, in quotes if it has blanks, got nothing",
    ),
    (
        "user add ben password \"\"",
        "password: expected 1 to 128 octets, got 0",
    ),
    (
        "user add ben password #x",
        "user add password: expected a password, in quotes if it has blanks, got nothing",
    ),
    (
        "user add ben password a b",
        "user add password: expected nothing more, got a word not shown here",
    ),
    ("user add ben password \"a b", "expected a closing quote \""),
    (
        "user add ben password \"a\"b",
        "expected a blank after the closing quote \"",
    ),
    (
        "user add ben password \"a\\b\"",
        "expected \\\" or \\\\ after a backslash inside quotes",
    ),
    (
        "user add ben password a\u{1}",
        "expected printable characters, got control character 1",
    ),
    (
        "user add ben password ********",
        "password: ******** stands for one not shown, expected the password itself",
    ),
    (
        "user delete ben",
        "no user \"ben\": expected a user who was added with user add",
    ),
    (
        "user ben order size",
        "no user \"ben\": expected a user who was added with user add",
    ),
    (
        "user anna",
        "user: expected password, source, tls, pin, ca, poll, read-at-desk, taken-by, commit, seen, start, consumes, large, order or share, got nothing",
    ),
    (
        "user anna source mail",
        "source: expected login, got nothing",
    ),
    (
        "user anna source ftp://mail login a password x",
        "source: expected a URL such as pop3://mail.example.net, got \"ftp://mail\"",
    ),
    (
        "user anna source pop3://mail:0 login a password x",
        "source: expected a URL such as pop3://mail.example.net, got \"pop3://mail:0\"",
    ),
    (
        "user anna source pop3://mail login \"\" password x",
        "source login: expected a login of at most 128 octets, got \"\"",
    ),
    (
        "user anna source pops login a",
        "source login: expected password, got nothing",
    ),
    (
        "user anna source pop3s://mail/box login a password x",
        "source: expected a URL such as pop3://mail.example.net, got \"pop3s://mail/box\"",
    ),
    (
        "user anna source maildir:/m login a password x",
        "source: expected nothing more, got \"login\"",
    ),
    (
        "user anna source maildir:Mail",
        "source: expected a Maildir such as maildir:/home/anna/Maildir, got \"maildir:Mail\"",
    ),
    (
        "user anna source maildir:",
        "source: expected a Maildir such as maildir:/home/anna/Maildir, got \"maildir:\"",
    ),
    (
        "user anna tls maybe",
        "tls: expected starttls, off or required, got \"maybe\"",
    ),
    (
        "user anna pin sha256:00",
        "pin: expected sha256: and 64 hexadecimal digits, got \"sha256:00\"",
    ),
    (
        "user anna pin",
        "pin: expected none or sha256: and 64 hexadecimal digits, got nothing",
    ),
    (
        "user anna ca ca.pem",
        "ca: expected a file such as /etc/ringmail/ca.pem, got \"ca.pem\"",
    ),
    (
        "user anna poll",
        "poll: expected every, at, at-login or off, got nothing",
    ),
    (
        "user anna poll every 15",
        "poll every: expected a duration such as 30s, 15m or 2h, got \"15\"",
    ),
    (
        "user anna poll every 0s",
        "poll every: expected 1s to 7d, got \"0s\"",
    ),
    (
        "user anna poll every 8d",
        "poll every: expected 1s to 7d, got \"8d\"",
    ),
    (
        "user anna poll at 8:00",
        "poll at: expected at most 24 times of day such as 08:00,12:30, got \"8:00\"",
    ),
    (
        "user anna poll at-login 1h",
        "poll at-login: expected 1s to 2m, got \"1h\"",
    ),
    (
        "user anna read-at-desk mark",
        "read-at-desk mark: expected header, subject or body, got nothing",
    ),
    (
        "user anna read-at-desk mark top",
        "read-at-desk mark: expected header, subject or body, got \"top\"",
    ),
    (
        "user anna read-at-desk keep",
        "read-at-desk: expected drop, notice or mark, got \"keep\"",
    ),
    (
        "user anna taken-by list",
        "taken-by: expected dele or retr, got \"list\"",
    ),
    (
        "user anna commit never",
        "commit: expected quit or dele, got \"never\"",
    ),
    (
        "user anna start 30",
        "start: expected all, new or days such as 30d, got \"30\"",
    ),
    (
        "user anna start d",
        "start: expected all, new or days such as 30d, got \"d\"",
    ),
    (
        "user anna start 0d",
        "start: expected 1 to 3650, got \"0d\"",
    ),
    (
        "user anna start 70000d",
        "start: expected 1 to 3650, got \"70000d\"",
    ),
    (
        "user anna order oldest",
        "order: expected arrival, newest or size, got \"oldest\"",
    ),
    (
        "user anna share 101",
        "share: expected 1 to 100, got \"101\"",
    ),
    (
        "user anna share 50%",
        "share: expected fair or a percentage from 1 to 100, got \"50%\"",
    ),
    (
        "timezone \"Europe Berlin\"",
        "timezone: expected a time zone such as Europe/Berlin, got \"Europe Berlin\"",
    ),
    (
        "ntp pool.ntp.org:0",
        "ntp: expected a host such as pool.ntp.org, got \"pool.ntp.org:0\"",
    ),
    (
        "net static 10.0.0.2/33 gateway 10.0.0.1 dns 10.0.0.1",
        "net static: expected an address with its network bits such as 192.168.1.20/24, got \"10.0.0.2/33\"",
    ),
    (
        "net static 10.0.0.2/8 gateway router dns 10.0.0.1",
        "net static gateway: expected an address such as 192.168.1.1, got \"router\"",
    ),
    (
        "wifi home password 1234567",
        "wifi password: expected 8 to 63 characters of ASCII, or 64 hexadecimal digits",
    ),
    (
        "wifi home password gr\u{fc}ne-Wiese",
        "wifi password: expected 8 to 63 characters of ASCII, or 64 hexadecimal digits",
    ),
    (
        "wifi home password 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeg",
        "wifi password: expected 8 to 63 characters of ASCII, or 64 hexadecimal digits",
    ),
    (
        "wifi 123456789012345678901234567890123 password 12345678",
        "wifi: expected a radio network's name of at most 32 octets, got \"12345678901234567890123456789012\"",
    ),
    (
        "wifi \"\" password 12345678",
        "wifi: expected a radio network's name of at most 32 octets, got \"\"",
    ),
    (
        "wifi home 12345678",
        "wifi: expected password, got a word not shown here",
    ),
    (
        "wifi country DEU",
        "wifi country: expected a country such as DE, got \"DEU\"",
    ),
    (
        "wifi country 49",
        "wifi country: expected a country such as DE, got \"49\"",
    ),
    (
        "limit idle 5",
        "limit idle: expected a duration such as 30s, 15m or 2h, got \"5\"",
    ),
    (
        "limit idle 5s",
        "limit idle: expected 10s to 1d, got \"5s\"",
    ),
    ("limit call 2d", "limit call: expected 1m to 1d, got \"2d\""),
    (
        "limit login-failures 0",
        "limit login-failures: expected 1 to 20, got \"0\"",
    ),
    (
        "limit mails 3",
        "limit: expected login-failures, idle or call, got \"mails\"",
    ),
    ("console", "console: expected open or password, got nothing"),
    ("show status", "only at the console: show status"),
    ("help", "only at the console: help [WORD]"),
];

#[test]
fn every_good_command_is_obeyed_and_printed() {
    let base_lines = listing(&base(), Secrets::Shown);
    for (line, expected) in GOOD {
        let mut config = base();
        config
            .apply(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
        let lines = listing(&config, Secrets::Shown);
        let new: List<_> = lines
            .iter()
            .filter(|line| !base_lines.contains(line))
            .collect();
        assert_eq!(new, expected.iter().collect::<List<_>>(), "{line}");
        assert_eq!(config_of(&lines.join("\n")), config, "{line}");
        // Said twice is said once, but for adding a user.
        let mut twice = config.clone();
        assert_eq!(
            twice.apply(line).is_ok(),
            !line.starts_with("user add"),
            "{line}"
        );
        assert_eq!(twice, config, "{line}");
    }
}

#[test]
fn every_bad_command_says_what_was_expected_and_changes_nothing() {
    for (line, expected) in BAD {
        assert_eq!(error(line), *expected, "{line}");
    }
    let long = format!("hostname {}", "a".repeat(600));
    assert_eq!(error(&long), "expected a command of at most 512 octets");
    let long = format!("user add ben password {}", "a".repeat(129));
    assert_eq!(error(&long), "password: expected 1 to 128 octets, got 129");
}

#[test]
fn every_word_of_a_configuration_has_a_good_or_a_bad_case() {
    for row in grammar::TABLE
        .iter()
        .filter(|row| row.place != grammar::Place::Console)
    {
        let tried = GOOD
            .iter()
            .map(|(line, _)| line)
            .chain(BAD.iter().map(|(line, _)| line));
        let mut found = tried.filter(|line| {
            let words = words::Words::split(line);
            let found = words.as_ref().ok().map(grammar::find);
            match found {
                Some(Ok(matched)) => matched.row().phrase == row.phrase,
                Some(Err(_)) | None => false,
            }
        });
        assert!(
            found.next().is_some() || row.pattern.contains(" delete "),
            "{}",
            row.pattern
        );
    }
}

#[test]
fn every_beginning_of_every_line_is_good_or_an_error() {
    let lines = GOOD
        .iter()
        .map(|(line, _)| line)
        .chain(BAD.iter().map(|(line, _)| line));
    for line in lines {
        for (cut, _) in line.char_indices() {
            let mut config = base();
            match config.apply(&line[..cut]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(config, base());
                    assert!(!error.to_string().contains('\n'));
                }
            }
        }
    }
}

#[test]
fn a_user_and_a_line_can_be_deleted_and_others_stay() {
    let mut config = config_of(
        "line a device /a\nline b device /b\nuser add x password 1\nuser add y password 2",
    );
    config.apply("line delete a").unwrap();
    config.apply("user delete x").unwrap();
    let expected = ["line b device /b", "user add y password 2"];
    assert_eq!(listing(&config, Secrets::Shown), expected);
    assert!(config.modem_line("b").is_some() && config.user("x").is_none());
}

#[test]
fn there_is_an_end_to_lines_users_and_text() {
    let mut config = Config::new();
    for n in 0..LINES {
        config.apply(&format!("line l{n} device /dev/{n}")).unwrap();
    }
    let error = config.apply("line more device /x").unwrap_err();
    assert_eq!(error, ConfigError::TooManyLines { limit: LINES });
    config.apply("line l0 phone 127.0.0.1:1").unwrap();
    for n in 0..USERS {
        config.apply(&format!("user add u{n} password x")).unwrap();
    }
    let error = config.apply("user add more password x").unwrap_err();
    assert_eq!(error, ConfigError::TooManyUsers { limit: USERS });

    let numbers = "123456789012345678901234 ".repeat(NUMBERS);
    let mut full = None;
    for n in 0..LINES {
        config.apply(&format!("line l{n} allow {numbers}")).unwrap();
        config.apply(&format!("line l{n} deny {numbers}")).unwrap();
    }
    for n in 0..LINES {
        let line = format!("line l{n} init {}", "a".repeat(80));
        config.apply(&line).unwrap();
    }
    let (host, text) = ("h".repeat(225), "l".repeat(110));
    let times: List<_> = (0..24).map(|hour| format!("{hour:02}:30")).collect();
    let times = times.join(",");
    for n in 0..USERS {
        config.apply(&format!("user u{n} poll at {times}")).unwrap();
        config
            .apply(&format!("user u{n} password {}", "p".repeat(128)))
            .unwrap();
    }
    for n in 0..USERS {
        let before = config.clone();
        let line = format!("user u{n} source pop3://{host} login {text} password {text}");
        if let Err(error) = config.apply(&line) {
            assert_eq!(config, before);
            full = Some(error);
        }
        assert!(config.text_octets() <= TEXT_OCTETS);
    }
    assert_eq!(full, Some(ConfigError::TooLarge { limit: TEXT_OCTETS }));
    let text: usize = listing(&config, Secrets::Shown)
        .iter()
        .map(|line| line.len() + 1)
        .sum();
    assert_eq!(text, config.text_octets());
}

#[test]
fn calls_are_answered_when_the_owner_says() {
    let (evening, night) = (
        Answering::Between(1080, 1320),
        Answering::Between(1320, 360),
    );
    for (answer, minute, expected) in [
        (Answering::Always, Some(0), true),
        (Answering::Never, None, false),
        (evening, Some(1079), false),
        (evening, Some(1080), true),
        (evening, Some(1319), true),
        (evening, Some(1320), false),
        (evening, None, true),
        (night, Some(1320), true),
        (night, Some(0), true),
        (night, Some(359), true),
        (night, Some(360), false),
    ] {
        assert_eq!(answer.holds(minute), expected, "{answer:?} {minute:?}");
    }
}

#[test]
fn a_number_that_decides_needs_the_second_ring() {
    let mut config = base();
    assert_eq!(config.lines[0].rings_to_answer(), 1);
    config.apply("line usb deny 030").unwrap();
    assert_eq!(config.lines[0].rings_to_answer(), 2);
    config.apply("line usb rings 4").unwrap();
    assert_eq!(config.lines[0].rings_to_answer(), 4);
}

#[test]
fn every_fault_of_a_file_is_reported_with_its_line() {
    let text = "\u{feff}# sample\r\nhostname a b\r\n\r\nuser add anna password x\nlimit idle 5\n\"";
    let mut faults = List::new();
    let config = check(text, |number, error| {
        faults.push((number, error.to_string()));
    });
    let numbers: List<_> = faults.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 5, 6]);
    assert_eq!(config.users.len(), 1);
}

#[test]
fn masked_secrets_show_nothing_and_are_refused() {
    let text = "console password hunter1\nuser add anna password hunter2\n\
                user anna source pop3://m login a password \"hunter 3\"";
    let config = config_of(text);
    let lines = listing(&config, Secrets::Masked);
    assert!(lines.iter().all(|line| !line.contains("hunter")));
    let mut refused = 0;
    check(&lines.join("\n"), |_, error| {
        refused += usize::from(*error == ConfigError::MaskedSecret);
    });
    assert_eq!(refused, 2, "the source's user is unknown by then");
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn secrets_of_every_kind_are_read_back() {
    let signs = ["a", " ", "\"", "\\", "#", "ü", "日"];
    let mut secrets = List::from([Text::new()]);
    for at in 0.. {
        let Some(secret) = secrets.get(at).cloned() else {
            break;
        };
        if secret.chars().count() < 4 {
            secrets.extend(signs.map(|sign| format!("{secret}{sign}")));
        }
        let Some(password) = Secret::new(&secret).filter(|_| !secret.is_empty()) else {
            continue;
        };
        let mut config = Config::new();
        let user = User::new(Name::try_from("u").unwrap(), password);
        config.users.push(user).unwrap();
        let text = listing(&config, Secrets::Shown).join("\n");
        assert_eq!(config_of(&text), config, "{secret:?}");
    }
    assert!(secrets.len() > 2000);
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

#[test]
fn whatever_was_chosen_the_listing_recreates_it() {
    for seed in 1..=300 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
        let mut config = base();
        for _ in 0..40 {
            let (line, _) = GOOD[random.below(GOOD.len())];
            let name = ["anna", "ben", "usb", "b"][random.below(4)];
            let line = line.replace("anna", name).replace("usb", name);
            // Some are for users and lines that are not there.
            let _ = config.apply(&line);
        }
        let text = listing(&config, Secrets::Shown).join("\r\n");
        assert_eq!(config_of(&text), config, "seed {seed}");
    }
}

#[test]
fn random_text_is_good_or_an_error() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let pieces: List<&str> = GOOD
        .iter()
        .flat_map(|(line, _)| line.split(' '))
        .chain([
            "\"",
            "\\",
            "#",
            "\t",
            "\u{0}",
            "ü",
            "99999999999999999999",
            "|",
            "[",
            "...",
            "USER",
        ])
        .collect();
    for _ in 0..20_000 {
        let mut config = base();
        let mut line = Text::new();
        for _ in 0..random.below(12) {
            line.push_str(pieces[random.below(pieces.len())]);
            line.push_str(["", " "][usize::from(random.below(8) > 0)]);
        }
        if config.apply(&line).is_err() {
            assert_eq!(config, base(), "{line}");
        }
    }
}
