//! The Debian package in a clean Debian: it installs, serves, and leaves nothing.
//!
//! `scripts/test-image` builds the package and the root, and says where they lie; alone, this test
//! is left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::env;
use std::fs;
use std::path::PathBuf;

use support::process::{run, run_well};
use support::temp::TempDir;

#[test]
#[ignore = "scripts/test-image builds the package and runs this"]
fn it_installs_runs_and_purges() {
    let named = |name: &str| PathBuf::from(env::var_os(name).expect(name));
    let dir = TempDir::new();
    let root = dir.join("root");
    run_well("cp", dir.path(), |it| {
        it.arg("-a").arg(named("RINGMAIL_ROOT")).arg(&root);
    });
    fs::copy(named("RINGMAIL_DEB"), root.join("ringmail.deb")).unwrap();
    let within = |words: &str| {
        let output = run_well("chroot", dir.path(), |it| {
            it.arg(&root).args(["sh", "-c", words]);
            it.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        });
        String::from_utf8(output.stdout).unwrap()
    };
    let traces = "find / -xdev -name '*ringmail*' -not -path '/ringmail.deb' -not -path '/proc/*'; \
                  getent passwd ringmail; getent group ringmail; true";
    assert_eq!(within(traces), "");

    within("dpkg -i /ringmail.deb");
    let version = format!("ringmail {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(within("ringmail --version"), version);
    within("ringmail check /etc/ringmail/ringmail.conf");
    // There are passwords in it, and the service writes it.
    let file = within("stat -c '%U %a' /etc/ringmail /etc/ringmail/ringmail.conf");
    assert_eq!(file, "ringmail 700\nringmail 600\n");
    // Once more, over itself: the owner's words stay.
    within("echo '# mine' >>/etc/ringmail/ringmail.conf; dpkg -i /ringmail.deb");
    assert!(within("cat /etc/ringmail/ringmail.conf").ends_with("# mine\n"));

    within("dpkg --remove ringmail");
    assert!(within("cat /etc/ringmail/ringmail.conf").ends_with("# mine\n"));
    within("dpkg --purge ringmail");
    let left = within(traces);
    let left: Vec<_> = left
        .lines()
        .filter(|line| !line.starts_with("/var/lib/dpkg/") && !line.starts_with("/var/log/"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
#[ignore = "scripts/test-image builds the package and runs this"]
fn systemd_is_content_with_the_service() {
    let dir = TempDir::new();
    let unit = fs::read_to_string("boards/debian/ringmail.service").unwrap();
    // The program is not installed here.
    let unit = unit.replace("/usr/bin/ringmail", env!("CARGO_BIN_EXE_ringmail"));
    let path = dir.join("ringmail.service");
    fs::write(&path, unit).unwrap();
    let verified = run_well("systemd-analyze", dir.path(), |it| {
        it.args(["verify", "--man=no"]).arg(&path);
    });
    assert_eq!(String::from_utf8(verified.stderr).unwrap(), "");
    // 0 is a service that can do nothing, 10 one that can do anything; in tenths.
    let secured = run("systemd-analyze", dir.path(), |it| {
        it.args(["security", "--offline=true", "--threshold=20"])
            .arg(&path);
    });
    assert!(secured.status.success(), "it may do more than it may need");
}
