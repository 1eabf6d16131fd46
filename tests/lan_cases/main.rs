//! What mail servers of the LAN do: each known case with the tests that show it, and those that
//! play a server octet by octet.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "all of this is test code; a panic here is a failed test"
)]

mod headers;
mod imap;
mod pop3;
mod settled;
mod streaming;

#[path = "../support"]
mod support {
    pub(crate) mod cases;
    pub(crate) mod desk;
    pub(crate) mod lan;
}

use std::rc::Rc;

use hal::sim::SimMedium;
use ringmail::config::Config;
use ringmail::mailbox::View;
use ringmail::store::Geometry;
use support::cases::{Tests, assert_are_there};
use support::desk::{Desk, Memory, body, formatted, users};
use support::lan::{Held, Pop3, Server};

/// What happens, and where the tests are: file and function.
const CASES: &[(&str, Tests)] = &[
    (
        "a listing cut at every octet",
        &[(SENTENCES, "sentence_2_1_a_visit_cut_at_every_octet")],
    ),
    (
        "a listing that disagrees with STAT",
        &[
            (
                SENTENCES,
                "sentence_2_1_a_listing_that_disagrees_with_stat_changes_nothing",
            ),
            (POP3, "a_count_that_disagrees_with_stat"),
        ],
    ),
    (
        "an empty listing for a day, and a window",
        &[(
            SENTENCES,
            "sentence_2_2_a_lying_listing_costs_no_mail_and_no_second_sending",
        )],
    ),
    (
        "any of these, read at the desk, returned, renumbered, in any order",
        &[(MODEL, "sentence_2_15_every_history_agrees_with_the_table")],
    ),
    (
        "all renumbered",
        &[
            (
                SENTENCES,
                "sentence_2_3_a_renumbered_server_is_known_by_its_headers",
            ),
            (SENTENCES, "sentence_2_3_renumbered_cut_at_every_octet"),
        ],
    ),
    (
        "renumbered, and some really new or gone",
        &[(
            RECONCILE,
            "sentence_2_3_a_renumbered_listing_is_known_by_its_headers",
        )],
    ),
    (
        "one id for all mails, and its recovery",
        &[(HERE, "one_id_for_all_and_back_sends_nothing_twice")],
    ),
    (
        "a source that drops what is fetched",
        &[
            (
                SENTENCES,
                "sentence_2_4_a_source_that_drops_what_is_fetched",
            ),
            (
                SENTENCES,
                "sentence_2_4_the_owner_agrees_to_have_the_only_copies",
            ),
        ],
    ),
    (
        "equal ids",
        &[
            (SENTENCES, "sentence_2_6_equal_ids_are_mails_of_their_own"),
            (SENTENCES, "sentence_2_6_of_equal_ids_the_right_one_goes"),
            (
                RECONCILE,
                "of_equal_ids_and_headers_the_size_tells_which_has_gone",
            ),
            (
                HERE,
                "of_twins_with_one_id_the_one_that_is_there_is_offered",
            ),
        ],
    ),
    (
        "ids of 1 to 300 octets, with blanks and 8-bit octets",
        &[(HERE, "ids_of_any_length_and_octets_are_ids")],
    ),
    (
        "lines of a mebibyte",
        &[(CLIENT, "a_line_of_a_mebibyte_streams")],
    ),
    (
        "mails that end, begin or consist of dots, in pieces of every size",
        &[(CLIENT, "every_short_body_is_read_as_its_slow_twin_says")],
    ),
    (
        "an empty maildrop for a day and back",
        &[(
            POP3,
            "an_empty_maildrop_for_a_day_and_back_sends_nothing_twice",
        )],
    ),
    (
        "everything really read at the desk",
        &[(POP3, "everything_read_at_the_desk_is_gone_at_once")],
    ),
    (
        "a sliding window of 250",
        &[(POP3, "a_window_of_250_mails_slides")],
    ),
    (
        "+OK before each line",
        &[(POP3, "a_status_before_each_line_of_a_listing")],
    ),
    ("several blanks", &[(POP3, "several_blanks_in_a_listing")]),
    (
        "a message-number twice",
        &[(POP3, "a_number_that_is_listed_twice")],
    ),
    (
        "a listing without its dot",
        &[(
            POP3,
            "a_listing_without_its_dot_is_waited_for_and_not_believed",
        )],
    ),
    (
        "expunged between UIDL and RETR",
        &[(POP3, "a_mail_expunged_between_its_listing_and_its_copy")],
    ),
    (
        "a body shorter than announced, with a proper dot",
        &[(
            POP3,
            "a_body_shorter_than_announced_is_retried_and_never_counted",
        )],
    ),
    ("wrong sizes in LIST", &[(POP3, "sizes_that_are_wrong")]),
    ("a first line of a dot", &[(POP3, "a_first_line_of_a_dot")]),
    (
        "a mail that no visit comes past",
        &[(POP3, "a_mail_that_no_visit_comes_past_keeps_back_no_other")],
    ),
    (
        "no CR LF before the dot",
        &[(POP3, "no_line_end_before_the_dot_is_a_deadline_and_no_hang")],
    ),
    (
        "TOP that cuts or lies",
        &[(POP3, "a_top_that_cuts_or_lies")],
    ),
    ("no TOP, and no CAPA", &[(POP3, "no_top_at_all")]),
    (
        "NUL octets, a line of a mebibyte",
        &[(POP3, "nul_octets_and_a_line_of_a_mebibyte_come_as_they_are")],
    ),
    (
        "no UIDL: known by headers, counted",
        &[
            (
                HEADERS,
                "without_unique_ids_mails_are_known_by_their_headers",
            ),
            (HEADERS, "mails_without_a_mark_of_their_own_are_counted"),
            (HEADERS, "a_visit_without_unique_ids_cut_at_every_octet"),
            (
                HEADERS,
                "a_visit_without_unique_ids_is_the_same_in_pieces_of_every_size",
            ),
            (HEADERS, "a_list_that_disagrees_with_stat_changes_nothing"),
            (
                HEADERS,
                "a_mail_expunged_before_its_header_comes_is_not_listed",
            ),
        ],
    ),
    (
        "no UIDL: found, and lost again",
        &[(HEADERS, "a_server_that_loses_its_uidl_sends_nothing_twice")],
    ),
    (
        "no UIDL and no TOP",
        &[(
            HEADERS,
            "a_server_with_neither_uidl_nor_top_is_named_as_such",
        )],
    ),
    (
        "a mail larger than the ring, by POP3",
        &[
            (
                STREAMING,
                "a_large_mail_is_streamed_by_pop3_in_pieces_of_every_size",
            ),
            (STREAMING, "a_large_mail_cut_anywhere_is_never_whole"),
            (
                STREAMING,
                "what_is_streamed_is_what_was_counted_or_it_is_not_whole",
            ),
            (STREAMING, "without_leave_a_large_mail_stays_where_it_is"),
        ],
    ),
    (
        "IMAP: cut at every octet",
        &[(IMAP, "an_imap_visit_cut_at_every_octet")],
    ),
    (
        "a long listing of which little is new",
        &[
            (SETTLED, "known_mails_take_no_entry"),
            (
                SETTLED,
                "a_listing_longer_than_the_table_is_refused_though_all_is_known",
            ),
        ],
    ),
    (
        "numbers that do not rise, and known ids that stand there twice",
        &[
            (SETTLED, "an_odd_listing_is_asked_for_once_more"),
            (SETTLED, "an_odd_listing_cut_at_every_octet_costs_time_only"),
            (SETTLED, "what_is_odd_is_asked_for_twice_in_one_visit_only"),
            (
                SETTLED,
                "a_server_that_lists_once_is_not_taken_for_one_without_unique_ids",
            ),
        ],
    ),
    (
        "IMAP: a mail comes while it is listed",
        &[(IMAP, "an_imap_mailbox_that_grows_is_listed_anew")],
    ),
    (
        "IMAP: expunged after the listing",
        &[(
            IMAP,
            "an_imap_mail_expunged_after_the_listing_is_not_entered",
        )],
    ),
    (
        "IMAP: BYE in the midst of a copy, and anywhere",
        &[
            (IMAP, "an_imap_server_that_says_bye_in_a_copy_loses_nothing"),
            (
                IMAP,
                "an_imap_server_that_says_bye_at_any_octet_loses_nothing",
            ),
        ],
    ),
    (
        "IMAP: answers in another order",
        &[(
            IMAP,
            "an_imap_mail_that_comes_out_of_turn_comes_in_the_same_visit",
        )],
    ),
];

const SENTENCES: &str = "tests/sentences.rs";
const MODEL: &str = "tests/model.rs";
const RECONCILE: &str = "src/reconcile.rs";
const CLIENT: &str = "src/pop3/client/tests.rs";
const SETTLED: &str = "tests/lan_cases/settled.rs";
const HERE: &str = "tests/lan_cases/main.rs";
const HEADERS: &str = "tests/lan_cases/headers.rs";
const STREAMING: &str = "tests/lan_cases/streaming.rs";
const POP3: &str = "tests/lan_cases/pop3.rs";
const IMAP: &str = "tests/lan_cases/imap.rs";

#[test]
fn every_case_has_tests_that_are_there() {
    for (what, tests) in CASES {
        assert_are_there(what, tests);
    }
}

fn geometry() -> Geometry {
    Geometry {
        page: 128,
        superblock: 128,
        config: 128,
        snapshot: 120 * 128,
        journal: 32,
        segment: 4096,
        segments: 32,
        chunk: 192,
    }
}

fn config(scheme: &str) -> Config {
    users(&format!(
        "user add anna password rot\nuser anna source {scheme}://post login anna password blau\n"
    ))
}

fn octets(mail: usize) -> Rc<[u8]> {
    let text = "text\r\n".repeat(mail + 1);
    let mail =
        format!("From: a@b\r\nSubject: m{mail}\r\nMessage-ID: <m{mail}@b>\r\n\r\n{text}.\r\n");
    mail.into_bytes().into()
}

fn held(mails: &[(usize, &str)]) -> Vec<Held> {
    let held = mails.iter().map(|&(mail, id)| Held {
        mail,
        id: id.to_owned(),
        seen: false,
        octets: octets(mail),
    });
    held.collect()
}

fn desk(memory: &mut Memory, image: &[u8], body: impl FnOnce(&mut Desk<'_>)) -> Vec<u8> {
    let medium = SimMedium::from_image(image.to_vec()).with_unit(128);
    let (medium, ()) = memory.power(medium, body);
    medium.image().to_vec()
}

/// Which mails a call is offered; all are read, and taken if `take`. Each must be as it was sent.
fn call(desk: &mut Desk<'_>, config: &Config, take: bool) -> Vec<usize> {
    let user = &config.users[0];
    desk.dial(user, View::Usual);
    let none = |_: &mut Desk<'_>, slot: u32| panic!("row {slot} has no copy");
    let listing = body(&desk.say(user, "UIDL", none).unwrap());
    let count = String::from_utf8(listing).unwrap().lines().count();
    let mut mails = Vec::new();
    for number in 1..=count {
        let reply = desk.say(user, &format!("RETR {number}"), none).unwrap();
        let mail = body(&reply);
        mails.push(
            (0..400)
                .find(|&n| *octets(n) == *mail)
                .unwrap_or_else(|| panic!("no mail of ours: {}", mail.escape_ascii())),
        );
        if take {
            desk.say(user, &format!("DELE {number}"), none).unwrap();
        }
    }
    assert!(desk.say(user, "QUIT", none).unwrap().starts_with(b"+OK"));
    desk.hang_up();
    mails
}

fn pop3(desk: &mut Desk<'_>, config: &Config, mails: &[(usize, &str)]) {
    let server = || Box::new(Pop3::new(held(mails))) as Box<dyn Server>;
    let report = desk.poll(&config.users[0], server);
    assert_eq!(report.failure, None);
}

#[test]
fn one_id_for_all_and_back_sends_nothing_twice() {
    let (mut memory, config) = (Memory::new(64), config("pop3"));
    desk(&mut memory, &formatted(&geometry()), |desk| {
        let right = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
        pop3(desk, &config, &right[..2]);
        assert_eq!(call(desk, &config, true), [0, 1]);
        pop3(desk, &config, &right);
        for _ in 0..2 {
            // Its disk is full: all ids are one.
            pop3(desk, &config, &right.map(|(mail, _)| (mail, "error")));
            assert_eq!(call(desk, &config, false), [2, 3]);
            pop3(desk, &config, &right);
            assert_eq!(call(desk, &config, false), [2, 3]);
        }
        assert_eq!(desk.mailbox.ledger().rows().count(), 4, "copied again");
    });
}

/// As popa3d does it: its ids are made of the header. Of twins that differ in nothing but their text
/// the one left is offered; of twins that do not even differ in size, one not taken yet, which may
/// be the one read at the desk: its octets are those of the other.
#[test]
fn of_twins_with_one_id_the_one_that_is_there_is_offered() {
    let twin = |text: usize| Held {
        mail: text,
        id: "id".to_owned(),
        seen: false,
        octets: format!("Message-ID: <twin>\r\n\r\n{}", "text\r\n".repeat(text))
            .into_bytes()
            .into(),
    };
    for texts in [[1, 2], [2, 1], [3, 3]] {
        for taken in 0..4_usize {
            for gone in 0..2 {
                let (mut memory, config) = (Memory::new(64), config("pop3"));
                desk(&mut memory, &formatted(&geometry()), |desk| {
                    let user = &config.users[0];
                    let poll = |desk: &mut Desk<'_>, held: &[Held]| {
                        let server = || Box::new(Pop3::new(held.to_vec())) as Box<dyn Server>;
                        assert_eq!(desk.poll(user, server).failure, None);
                    };
                    let none = |_: &mut Desk<'_>, slot: u32| panic!("row {slot} has no copy");
                    let both = texts.map(twin);
                    poll(desk, &both);
                    desk.dial(user, View::Usual);
                    for at in (0..2).filter(|at| taken >> at & 1 == 1) {
                        desk.say(user, &format!("DELE {}", at + 1), none).unwrap();
                    }
                    desk.say(user, "QUIT", none).unwrap();
                    desk.hang_up();

                    let left = &both[1 - gone..2 - gone];
                    poll(desk, left);
                    desk.dial(user, View::Usual);
                    let is_taken = |at: usize| taken >> at & 1 == 1;
                    let same = texts[0] == texts[1];
                    // Equal mails are one to whoever counts them: two less those taken, one left.
                    let offered = if same {
                        taken != 3
                    } else {
                        !is_taken(1 - gone)
                    };
                    let count = body(&desk.say(user, "UIDL", none).unwrap());
                    let count = String::from_utf8(count).unwrap().lines().count();
                    assert_eq!(count, usize::from(offered), "{texts:?} {taken:02b} {gone}");
                    if offered {
                        let mail = body(&desk.say(user, "RETR 1", none).unwrap());
                        assert!(mail == *left[0].octets, "{texts:?} {taken:02b} {gone}");
                    }
                    desk.say(user, "DELE 1", none).unwrap();
                    desk.say(user, "QUIT", none).unwrap();
                    desk.hang_up();
                    // Whichever it was: it does not come again.
                    poll(desk, left);
                    assert_eq!(call(desk, &config, false), [0; 0]);
                });
            }
        }
    }
}

#[test]
fn ids_of_any_length_and_octets_are_ids() {
    let (mut memory, config) = (Memory::new(512), config("pop3"));
    let wide = Geometry {
        snapshot: 400 * 128,
        segments: 64,
        ..geometry()
    };
    desk(&mut memory, &formatted(&wide), |desk| {
        let ids: Vec<String> = (1..=300_usize)
            .step_by(7)
            .map(|length| {
                let id: String = ["x", " y", "\u{e9}\u{df}"]
                    .concat()
                    .chars()
                    .cycle()
                    .take(length)
                    .collect();
                let mut end = length.min(id.len());
                while !id.is_char_boundary(end) {
                    end -= 1;
                }
                id[..end].trim_end().to_owned()
            })
            .collect();
        let mails: Vec<(usize, &str)> = ids.iter().map(String::as_str).enumerate().collect();
        pop3(desk, &config, &mails);
        let all: Vec<usize> = (0..mails.len()).collect();
        assert_eq!(call(desk, &config, false), all);
        // Each is known again: nothing is new, and what is gone is gone.
        pop3(desk, &config, &mails[1..]);
        assert_eq!(desk.mailbox.ledger().rows().count(), mails.len());
        assert_eq!(call(desk, &config, true), all[1..]);
    });
}
