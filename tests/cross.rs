//! The program for another processor, under emulation: what `scripts/build-cross` made.
//!
//! `scripts/test-image` builds it first and says where it lies; alone, these tests are left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::env;
use std::fs;
use std::path::PathBuf;

use support::Account;
use support::gateway::user_of;
use support::pop3::fetch;
use support::post::Post;
use support::process::{Guard, run};
use support::redial::redial;
use support::temp::{TempDir, free_address};

/// The emulator, and the program.
fn emulated() -> (PathBuf, PathBuf) {
    let named = |name: &str| PathBuf::from(env::var_os(name).expect(name));
    (named("RINGMAIL_EMULATOR"), named("RINGMAIL_CROSS"))
}

#[test]
#[ignore = "scripts/test-image builds the program and runs this"]
fn it_is_static_and_small_and_knows_its_words() {
    let (emulator, program) = emulated();
    let dir = TempDir::new();
    let answer = |words: &[&str]| {
        let output = run(emulator.to_str().unwrap(), dir.path(), |it| {
            it.arg(&program).args(words);
        });
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let version = format!("ringmail {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(answer(&["--version"]), (true, version));
    fs::write(dir.join("good"), "line modem device /dev/ttyACM0\n").unwrap();
    fs::write(dir.join("bad"), "\nline modem rings 0\n").unwrap();
    assert!(answer(&["check", "good"]).0);
    let (sound, said) = answer(&["check", "bad"]);
    assert!(!sound && said.starts_with("bad:2: "), "{said}");
    // A table that is not all zeros would lie in it: the largest are of megabytes.
    let octets = fs::read(&program).unwrap();
    assert!(octets.len() <= 3_500_000, "it has {} octets", octets.len());
    // A file that asks for a loader has the name of one in it.
    let loader = b"/lib/ld-linux";
    assert!(!octets.windows(loader.len()).any(|it| it == loader));
}

#[test]
#[ignore = "scripts/test-image builds the program and runs this"]
fn a_whole_call_on_another_processor() {
    let (emulator, program) = emulated();
    let post = Post::start();
    let mail = b"Subject: one\r\n\r\n.from the other side\r\n".to_vec();
    post.maildrop().mails.push(("one".into(), mail.clone()));
    let lan = Account {
        address: post.address(),
        user: "alice".into(),
        password: "desk".into(),
    };
    let dir = TempDir::new();
    let mut started = None;
    // Somebody else may take the port between our look and the gateway's.
    for _ in 0..5 {
        let phone = free_address();
        let config = format!(
            "store {} size 16M\nline one phone {phone}\n{}",
            dir.join("ring").display(),
            user_of(&lan)
        );
        fs::write(dir.join("conf"), config).unwrap();
        let mut gateway = Guard::start(&emulator, |it| {
            it.arg(&program)
                .args(["run", "--board", "host", "--console", "none", "--config"])
                .arg(dir.join("conf"))
                .arg("--state")
                .arg(dir.join("state"));
        });
        if gateway.says("ready") {
            started = Some((gateway, redial(phone)));
            break;
        }
    }
    let (mut gateway, address) = started.expect("the gateway starts");
    let caller = Account {
        address,
        user: "alice".into(),
        password: "alice-at-the-line".into(),
    };
    let mails = fetch(&caller).unwrap();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails.first().map(|it| &it.octets), Some(&mail));
    assert!(gateway.says("call ended"));
    assert!(gateway.terminate().success());
}
