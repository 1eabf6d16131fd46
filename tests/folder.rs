//! A Maildir on the gateway's own machine, in the simulated world: everything that can happen to it.
//!
//! Visits begin only when the operator says `poll`. A mail program at the desk moves, marks and
//! removes mails before, after and in the midst of them: at every single call that the gateway
//! makes to the folder.

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

use hal::sim::folder::Change;
use hal::{Duration, FolderError, Instant};
use support::dialler::{Plan, take_all};
use support::world::{House, Running, id_of, mail};

const PATH: &str = "/home/anna/Maildir";

const CONFIG: &str = "line a device /dev/a\n\
    user add anna password rot\nuser anna source maildir:/home/anna/Maildir\n\
    user anna poll off\nuser anna poll at-login off\n";

fn unique(id: u32) -> String {
    format!("{}.M1P1.desk", 1_700_000_000 + id)
}

/// A mail as a mail program stores it: its lines end with LF.
fn deliver(id: u32) -> Change {
    let sent = mail(&id.to_string(), 300);
    let stored = sent.iter().copied().filter(|&octet| octet != b'\r');
    Change::Deliver(unique(id), stored.collect())
}

fn flag(id: u32, flags: &'static str) -> Change {
    Change::Flag(unique(id), flags)
}

fn remove(id: u32) -> Change {
    Change::Remove(unique(id))
}

fn house(more: &str, mails: &[u32]) -> House {
    let mut house = House::new(1, &format!("{CONFIG}{more}"));
    house.line("a", 33600, true);
    for &id in mails {
        house.world.mail_folder(PATH).change(deliver(id));
    }
    house
}

fn command(on: &mut Running<'_, '_>, words: &str) -> String {
    let console = on.world.attach(&format!("{words}\r"));
    on.run_for(Duration::from_secs(2));
    console.close();
    on.run_for(Duration::from_secs(1));
    console.shown()
}

/// Visits, and gives what is said of it.
fn visit(on: &mut Running<'_, '_>) -> String {
    command(on, "poll anna");
    command(on, "show user anna")
}

fn change(on: &mut Running<'_, '_>, change: Change) {
    on.world.mail_folder(PATH).change(change);
}

/// Which mails a call is offered; each must be as a POP3 server would send it.
#[track_caller]
fn offered(on: &mut Running<'_, '_>) -> Vec<u32> {
    let plan = Plan {
        at: Instant::ZERO,
        user: "anna".into(),
        password: "rot".into(),
        pipelined: false,
        body: take_all(false),
    };
    let record = on.whole_call("a", plan);
    assert!(record.quit_read && record.refusals.is_empty(), "{record:?}");
    let id = |octets: &Vec<u8>| {
        let id = id_of(octets);
        assert_eq!(*octets, mail(&id, 300), "{id} is spoilt");
        id.parse().unwrap()
    };
    record.mails.values().map(id).collect()
}

#[test]
fn what_is_read_moved_marked_or_removed_at_the_desk() {
    house("", &[3, 1, 2, 4]).power(|on| {
        on.run_until_ready();
        let said = visit(on);
        assert!(said.contains("4 listed, 4 new, 4 copied"), "{said}");
        assert!(said.contains("maildir:/home/anna/Maildir"), "{said}");
        assert_eq!(offered(on), [1, 2, 3, 4], "in the order of delivery");
        let opened = on.world.mail_folder(PATH).counts().1;
        // Moved to cur, or marked as important: still unread.
        change(on, flag(1, ""));
        change(on, flag(2, "F"));
        visit(on);
        assert_eq!(offered(on), [1, 2, 3, 4]);
        change(on, flag(1, "S"));
        change(on, flag(2, "FT"));
        change(on, remove(3));
        let said = visit(on);
        assert!(said.contains("1 read at the desk"), "{said}");
        assert_eq!(offered(on), [4]);
        // Unread again.
        change(on, flag(1, ""));
        change(on, deliver(5));
        visit(on);
        assert_eq!(offered(on), [1, 4, 5]);
        // Only the new one was opened: for its size, and to be copied; and, as one had gone, to
        // see whether it was that one under another name.
        let opens = on.world.mail_folder(PATH).counts().1 - opened;
        assert!(opens <= 4, "{opens}");
    });
}

#[test]
fn marks_do_not_count_where_the_owner_says_so() {
    house("user anna seen ignore\n", &[1, 2, 3]).power(|on| {
        on.run_until_ready();
        change(on, flag(1, "S"));
        change(on, flag(2, "T"));
        visit(on);
        assert_eq!(offered(on), [1, 2, 3]);
        change(on, remove(2));
        visit(on);
        assert_eq!(offered(on), [1, 3]);
    });
}

#[test]
fn whatever_the_desk_does_at_any_moment_of_a_visit_the_next_one_is_right() {
    // (what is done, what is offered when all is done)
    let changes: [(Change, &[u32]); 6] = [
        (flag(1, ""), &[1, 2, 3, 4]),
        (flag(4, ""), &[1, 2, 3, 4]),
        (flag(3, "S"), &[1, 2, 4]),
        (flag(4, "ST"), &[1, 2, 3]),
        (remove(4), &[1, 2, 3]),
        (deliver(5), &[1, 2, 3, 4, 5]),
    ];
    for (done, expected) in changes {
        let mut reached = true;
        let mut calls = 0;
        while reached {
            house("", &[1, 2]).power(|on| {
                on.run_until_ready();
                visit(on);
                change(on, deliver(3));
                change(on, deliver(4));
                on.world.mail_folder(PATH).change_later(calls, done.clone());
                let said = visit(on);
                assert!(!said.contains("failed"), "{done:?} after {calls}: {said}");
                // Else the visit was over before it.
                reached = on.world.mail_folder(PATH).is_quiet();
                if !reached {
                    return;
                }
                let said = visit(on);
                assert!(!said.contains("failed"), "{done:?} after {calls}: {said}");
                assert_eq!(offered(on), expected, "{done:?} after {calls} calls");
            });
            calls += 1;
        }
        assert!(calls > 10, "{calls}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_changes_nothing_at_any_moment() {
    let errors = [
        FolderError::NoMaildir("cur"),
        FolderError::Absent,
        FolderError::Failed(5),
    ];
    for calls in 0..40 {
        let error = errors[calls as usize % errors.len()];
        house("", &[1, 2]).power(|on| {
            on.run_until_ready();
            visit(on);
            change(on, deliver(3));
            let failing = Change::Fault(Some(error));
            on.world.mail_folder(PATH).change_later(calls, failing);
            let said = visit(on);
            let met = on.world.mail_folder(PATH).is_quiet();
            assert!(
                !met || calls > 3 || said.contains(&error.to_string()),
                "{said}"
            );
            let got = offered(on);
            assert!(got == [1, 2] || got == [1, 2, 3], "after {calls}: {got:?}");
            on.world.mail_folder(PATH).change(Change::Fault(None));
            // It was said that the LAN is down: nothing is asked again too soon.
            on.run_for(Duration::from_secs(3600));
            visit(on);
            assert_eq!(offered(on), [1, 2, 3], "after {calls}");
        });
    }
}

#[test]
fn a_folder_that_was_never_there_is_one_clear_error() {
    House::new(1, CONFIG).power(|on| {
        on.run_until_ready();
        let said = visit(on);
        assert!(said.contains("there is no such directory"), "{said}");
    });
}
