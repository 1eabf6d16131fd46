//! A real Maildir on the gateway's own machine: the whole way, from the files to the caller.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use support::caller::{Caller, Then};
use support::corpus::{self, Quirk};
use support::gateway::{Gateway, check};
use support::maildir::Maildir;
use support::mails::assert_same;
use support::pop3;
use support::process::run_well;
use support::temp::TempDir;

/// Alice, and nothing visited but when she logs in.
fn user(path: &Path) -> String {
    format!(
        "user add alice password alice-at-the-line\n\
         user alice source maildir:{}\n\
         user alice poll off\nuser alice poll at-login 60s\n",
        path.display()
    )
}

fn offered(gateway: &Gateway) -> Vec<Vec<u8>> {
    let mails = pop3::fetch(&gateway.account("alice")).expect("a call");
    let exact = mails.iter().all(|mail| mail.listed == mail.octets.len());
    assert!(exact, "sizes are those of what is sent");
    mails.into_iter().map(|mail| mail.octets).collect()
}

/// All that a system knows of a tree: kinds, sizes, times (but of the last access), places.
fn trace(path: &Path) -> BTreeMap<PathBuf, [i64; 7]> {
    let mut all = BTreeMap::new();
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            left.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let facts = [
            i64::from(meta.mode()),
            meta.ino().cast_signed(),
            meta.size().cast_signed(),
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ];
        all.insert(path, facts);
    }
    all
}

#[test]
fn poplib_gets_all_of_it_and_no_trace_is_left() {
    let dir = TempDir::new();
    let path = dir.join("Mail dir");
    fs::create_dir(&path).unwrap();
    let mut maildir = Maildir::create(path.clone(), None);
    let mails = corpus::mails(71, 60, |quirk| quirk != Quirk::Nul);
    for mail in &mails {
        maildir.deliver(&mail.stored);
    }
    // What is no mail, however much it looks like one.
    let secret = dir.join("secret");
    fs::write(&secret, "X-Corpus: not a mail of hers\n\n").unwrap();
    symlink(&secret, path.join("cur/1700000000.M1P1.link:2,")).unwrap();
    symlink(&path, path.join("new/1700000000.M2P1.loop")).unwrap();
    fs::create_dir(path.join("new/1700000000.M3P1.directory")).unwrap();
    fs::write(path.join("new/.hidden"), "no mail").unwrap();
    let fifo = path.join("cur/1700000000.M4P1.fifo:2,");
    run_well("mkfifo", dir.path(), |mkfifo| {
        mkfifo.arg(&fifo);
    });
    let user = user(&path)
        .replace("maildir:", "\"maildir:")
        .replace("Mail dir", "Mail dir\"");
    let before = trace(&path);
    let gateway = Gateway::start(&user);
    let account = gateway.account("alice");
    let expected: Vec<_> = mails.iter().map(corpus::Mail::sent).collect();
    assert_same(&offered(&gateway), &expected);
    let stored = mails.iter().map(|mail| Caller::Poplib.stores(&mail.sent()));
    assert_same(
        &Caller::Poplib.call(&account, mails.len(), Then::Delete),
        &stored.collect::<Vec<_>>(),
    );
    gateway.wait_for_ends(2);
    assert_eq!(offered(&gateway), Vec::<Vec<u8>>::new(), "taken");
    assert_eq!(trace(&path), before, "no trace");
    let shown = gateway.attach("show user alice");
    assert!(shown.contains("Mail dir, read on this machine"), "{shown}");
}

#[test]
fn what_mutt_reads_at_the_desk_is_not_offered() {
    let dir = TempDir::new();
    let path = dir.join("Maildir");
    let mut maildir = Maildir::create(path.clone(), None);
    let mails = corpus::mails(72, 6, |quirk| quirk == Quirk::Plain);
    for mail in &mails {
        maildir.deliver(&mail.stored);
    }
    let gateway = Gateway::start(&user(&path));
    assert_eq!(offered(&gateway).len(), 6);
    // Mutt shows the first mail, and writes down that it was read.
    let settings = dir.join("muttrc");
    let commands = format!(
        "set folder={}\nset sort=mailbox-order\nset quit=yes\nset wait_key=no\nset move=no\n\
         push <first-entry><display-message><exit><sync-mailbox><quit>\n",
        dir.path().display()
    );
    fs::write(&settings, commands).unwrap();
    run_well("script", dir.path(), |script| {
        let mutt = format!("mutt -n -F {} -f {}", settings.display(), path.display());
        script
            .args(["-qec", &mutt, "/dev/null"])
            .env("TERM", "vt100");
    });
    let flags: Vec<_> = maildir.snapshot().mails.into_values().collect();
    let seen = flags
        .iter()
        .filter(|(flags, _)| flags.contains('S'))
        .count();
    assert_eq!(seen, 1, "{flags:?}");
    assert_eq!(offered(&gateway).len(), 5);
    // And by a rename, as any program does it.
    let names = maildir.names();
    maildir.mark_read(&names[3]);
    maildir.remove(&names[4]);
    let left = offered(&gateway);
    assert_eq!(left.len(), 3);
    let others = mails.iter().map(corpus::Mail::sent);
    let others: Vec<_> = others.filter(|mail| left.contains(mail)).collect();
    assert_eq!(others.len(), 3);
}

#[test]
fn a_folder_that_is_not_mounted_takes_nothing_away() {
    let dir = TempDir::new();
    let path = dir.join("Maildir");
    let mut maildir = Maildir::create(path.clone(), None);
    let mails = corpus::mails(73, 3, |quirk| quirk == Quirk::Plain);
    for mail in &mails {
        maildir.deliver(&mail.stored);
    }
    let gateway = Gateway::start(&user(&path));
    assert_eq!(offered(&gateway).len(), 3);
    let away = dir.join("away");
    fs::rename(&path, &away).unwrap();
    for (present, error) in [
        (false, "there is no such directory"),
        (true, "no Maildir: there is no directory cur in it"),
    ] {
        if present {
            fs::create_dir(&path).unwrap();
        }
        gateway.poll("alice");
        let log = gateway.log();
        assert!(log.last().unwrap().contains(error), "{log:?}");
        assert_eq!(offered(&gateway).len(), 3);
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    gateway.poll("alice");
    assert_eq!(offered(&gateway).len(), 3);
}

#[test]
fn a_configuration_with_a_maildir_is_checked() {
    let path = Path::new("/home/alice/Maildir");
    let (good, said) = check(&user(path));
    assert!(good, "{said}");
    let (good, said) = check(&user(path).replace("maildir:/", "maildir:"));
    assert!(!good);
    assert!(
        said.contains("a Maildir such as maildir:/home/anna/Maildir"),
        "{said}"
    );
}
