//! Every sentence of the POP3 RFCs that binds a server, and the test that shows it.
//!
//! RFC 1939 has few capitals: its plain "must" and the descriptions of replies are listed as well.
//! The sentences are in our own words. What we do not do stands here too, with the reason.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test code; a panic here is a failed test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How much an RFC insists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Must,
    Should,
    May,
    /// A description of what a server does.
    Says,
}

/// What we can show for a sentence.
#[derive(Clone, Copy, Debug)]
enum Proof {
    /// Tests, by their names.
    By(&'static [&'static str]),
    /// It is not done, for this reason.
    Not(&'static str),
}

use Level::{May, Must, Says, Should};
use Proof::{By, Not};

/// Section, level, sentence, proof.
type Row = (&'static str, Level, &'static str, Proof);

#[rustfmt::skip]
const RFC_1939: &[Row] = &[
    ("3", Must, "the greeting comes first, and is positive", By(&["every_dialogue_is_the_same_in_lockstep"])),
    ("3", Says, "keywords have any case", By(&["the_commands_of_the_rfcs_are_read_in_any_case"])),
    ("3", Says, "commands end with CR LF; a bare LF is forgiven", By(&["bare_line_feeds_do_as_well"])),
    ("3", Says, "arguments of 40 characters are taken", By(&["names_come_whole_with_their_view_or_are_nobodys"])),
    ("3", Must, "indicators are in capitals", By(&["every_reply_begins_with_an_indicator_in_capitals_and_is_printable"])),
    ("3", Says, "a reply's line has 512 characters at most", By(&["the_longest_of_each_fits_in_the_room_asked_for"])),
    ("3", Must, "a line that begins with a dot gets another", By(&["every_small_mail_is_sent_as_its_slow_twin_says", "every_short_string_is_stuffed_as_its_slow_twin_says"])),
    ("3", Must, "a multi-line reply ends with a dot on a line of its own", By(&["every_small_mail_is_sent_as_its_slow_twin_says", "listings_longer_than_the_link_are_whole"])),
    ("3", Must, "what is unknown, not implemented or malformed is answered by -ERR", By(&["every_line_has_one_answer_with_an_indicator", "every_octet_everywhere_is_a_command_or_an_error"])),
    ("3", Must, "what is out of its state is answered by -ERR", By(&["every_command_out_of_its_state_is_refused_and_the_state_stays"])),
    ("3", May, "there is an autologout timer", By(&["the_idle_limit_is_autologout_without_commit_and_without_a_word"])),
    ("3", Must, "the timer has ten minutes at least", By(&["the_autologout_timer_has_ten_minutes_unless_the_owner_says_otherwise"])),
    ("3", Should, "any command begins the timer anew", By(&["the_idle_limit_is_autologout_without_commit_and_without_a_word"])),
    ("3", Should, "at autologout nothing is removed and nothing is said", By(&["the_idle_limit_is_autologout_without_commit_and_without_a_word"])),
    ("4", Must, "a way to log in is offered", By(&["every_dialogue_is_the_same_in_lockstep"])),
    ("4", Says, "the maildrop is locked before +OK: one caller at a time", By(&["section_1_one_maildrop_to_one_caller_and_free_at_once"])),
    ("4", Says, "a maildrop that cannot be opened is refused by -ERR", By(&["a_refused_caller_may_try_again_another_way"])),
    ("4", Must, "a lock is released before a refusal", By(&["section_1_one_maildrop_to_one_caller_and_free_at_once"])),
    ("4", May, "after a refusal the caller may try again", By(&["a_refused_caller_may_try_again_another_way", "wrong_passwords_are_limited_and_other_refusals_are_not"])),
    ("4", Says, "nothing is marked at the beginning", By(&["what_was_not_marked_is_never_taken"])),
    ("4", Says, "messages are numbered from 1, sizes are in decimal octets", By(&["every_octet_and_every_size_is_right"])),
    ("4", Says, "QUIT before the login is +OK and changes nothing", By(&["every_dialogue_is_the_same_in_lockstep"])),
    ("5", Must, "STAT is +OK, the number of messages, and their octets", By(&["an_empty_maildrop_has_empty_listings", "a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had"])),
    ("5", Says, "marked messages are in no total", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had"])),
    ("5", Must, "a scan listing is number, blank, size", By(&["listings_longer_than_the_link_are_whole"])),
    ("5", Says, "an empty listing is +OK and the dot", By(&["an_empty_maildrop_has_empty_listings"])),
    ("5", Says, "LIST does not show, nor take, marked messages", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had"])),
    ("5", Says, "RETR sends the message, dots stuffed", By(&["every_small_mail_is_sent_as_its_slow_twin_says", "a_large_mail_streams_and_the_line_never_idles"])),
    ("5", Says, "a number that there is not is -ERR", By(&["numbers_out_of_range_are_no_errors_of_that_kind", "an_empty_maildrop_has_empty_listings"])),
    ("5", Says, "DELE marks; nothing is removed before UPDATE", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had", "sentence_2_7_a_call_cut_at_every_octet"])),
    ("5", Says, "whoever names a marked message gets -ERR", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had"])),
    ("5", Says, "NOOP is +OK", By(&["the_idle_limit_is_autologout_without_commit_and_without_a_word"])),
    ("5", Says, "RSET takes all marks back", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had", "what_was_not_marked_is_never_taken"])),
    ("6", Says, "QUIT removes what is marked, releases the lock, and answers", By(&["every_dialogue_is_the_same_in_lockstep", "section_1_one_maildrop_to_one_caller_and_free_at_once"])),
    ("6", Must, "however else a session ends, nothing is removed", By(&["input_cut_at_every_octet_commits_only_after_quit", "sentence_2_7_a_call_cut_at_every_octet", "a_dropped_line_takes_nothing_and_a_crash_loses_nothing"])),
    ("6", Says, "where removing fails, the answer is -ERR", By(&["a_commit_that_fails_is_told_and_takes_nothing"])),
    ("6", Must, "what is not marked is never removed", By(&["what_was_not_marked_is_never_taken"])),
    ("7", Says, "TOP sends header, blank line and so many lines", By(&["every_small_mail_is_sent_as_its_slow_twin_says"])),
    ("7", Must, "TOP's numbers are not negative", By(&["numbers_are_checked"])),
    ("7", Says, "TOP of more lines than there are is the whole message", By(&["every_small_mail_is_sent_as_its_slow_twin_says"])),
    ("7", Says, "a unique-id has 1 to 70 characters of 0x21 to 0x7e", By(&["sentence_2_10_a_line_of_the_unique_id_listing_is_short"])),
    ("7", Says, "a unique-id stays over sessions, those too that end without UPDATE", By(&["sentence_2_10_uids_stay_and_are_never_used_again", "sentence_2_7_a_call_cut_at_every_octet"])),
    ("7", Should, "a unique-id is never used again", By(&["sentence_2_10_uids_stay_and_are_never_used_again", "sentence_2_10_a_uid_is_durable_before_it_is_first_sent"])),
    ("7", Says, "UIDL does not show, nor take, marked messages", By(&["a_deleted_message_is_in_no_total_no_listing_and_not_to_be_had"])),
    ("7", May, "USER is +OK for a name that nobody has", By(&["a_guesser_is_slowed_over_calls_and_restarts_and_learns_of_no_account"])),
    ("7", Says, "PASS follows USER at once", By(&["every_command_out_of_its_state_is_refused_and_the_state_stays"])),
    ("7", Says, "blanks in PASS belong to the password", By(&["pass_keeps_every_blank_and_the_others_none"])),
    ("7", Must, "a greeting that invites APOP ends with a timestamp like a message-id", By(&["the_timestamp_stands_in_the_greeting_alone", "every_greeting_has_a_timestamp_of_its_own"])),
    ("7", Must, "no timestamp is used twice", By(&["every_greeting_has_a_timestamp_of_its_own"])),
    ("7", Says, "APOP's digest is MD5 of timestamp and secret, in small hexadecimal digits", By(&["every_dialogue_is_the_same_in_lockstep"])),
    ("7", Should, "a name has either APOP or USER, not both", Not("one password serves the one line there is: a client takes what it knows")),
    ("8", Should, "what a server removes by itself, its users can know", By(&["capa_says_what_becomes_of_mail_before_and_after_the_login"])),
    ("11", Says, "sizes count each line end as two octets, and no stuffed dots", By(&["every_octet_and_every_size_is_right", "every_small_mail_is_sent_as_its_slow_twin_says"])),
];

#[rustfmt::skip]
const RFC_2449: &[Row] = &[
    ("3", Says, "tags begin with a letter, and are short", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("4", Must, "commands of 255 octets are taken", By(&["lines_have_255_octets_at_most"])),
    ("4", Says, "first lines of replies have 512 octets at most", By(&["the_longest_of_each_fits_in_the_room_asked_for"])),
    ("5", Says, "CAPA is answered in both states", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("5", Must, "what is said before the login is said after it", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("6.1", Says, "TOP is said where it is there", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("6.2", Says, "USER is said where USER and PASS are there", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("6.3", Says, "SASL names the mechanisms", By(&["what_capa_says_before_the_login_it_says_after_it", "capa_and_the_list_of_auth_name_the_same_mechanisms"])),
    ("6.4", Must, "no text begins with a bracket that is no response code", By(&["only_registered_response_codes_stand_in_brackets_and_only_behind_err"])),
    ("6.5", Says, "LOGIN-DELAY is the least time between two logins, in seconds", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("6.6", Must, "whatever is pipelined is answered, in order", By(&["whatever_is_pipelined_is_answered_in_order", "an_exchange_may_be_pipelined", "every_dialogue_is_the_same_at_every_chunk_and_every_drain"])),
    ("6.7", Must, "EXPIRE 0 where what was read goes at QUIT", By(&["capa_says_what_becomes_of_mail_before_and_after_the_login"])),
    ("6.7", Must, "where users differ, the least is said before the login, and USER", By(&["capa_says_what_becomes_of_mail_before_and_after_the_login"])),
    ("6.8", Says, "UIDL is said where it is there", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("6.9", Says, "IMPLEMENTATION names the program", By(&["what_capa_says_before_the_login_it_says_after_it"])),
    ("8", Must, "response codes stand behind -ERR, in brackets", By(&["only_registered_response_codes_stand_in_brackets_and_only_behind_err"])),
    ("8.1.1", Says, "LOGIN-DELAY refuses who comes too soon", Not("nobody comes too soon: a caller who pays for the call is not sent away")),
    ("8.1.2", Says, "IN-USE: the credentials were right, another has the maildrop open", By(&["wrong_passwords_are_limited_and_other_refusals_are_not", "section_1_one_maildrop_to_one_caller_and_free_at_once"])),
];

#[rustfmt::skip]
const RFC_3206: &[Row] = &[
    ("3", Says, "SYS/TEMP is a fault that passes", By(&["a_message_not_to_be_had_now_is_an_error_and_the_session_goes_on", "a_commit_that_fails_is_told_and_takes_nothing"])),
    ("3", Says, "SYS/PERM needs somebody's help", By(&["only_registered_response_codes_stand_in_brackets_and_only_behind_err"])),
    ("4", Must, "AUTH is said of credentials, and of nothing else", By(&["wrong_credentials_and_nothing_else_are_told_by_the_code_auth"])),
    ("5", Must, "where AUTH-RESP-CODE is said, every refusal of credentials has the code", By(&["wrong_credentials_and_nothing_else_are_told_by_the_code_auth", "a_login_that_nobody_has_is_refused_as_a_wrong_password_is"])),
];

#[rustfmt::skip]
const RFC_5034: &[Row] = &[
    ("3", Must, "CAPA names the mechanisms behind SASL", By(&["capa_and_the_list_of_auth_name_the_same_mechanisms"])),
    ("4", Must, "AUTH is there before the login only", By(&["every_command_out_of_its_state_is_refused_and_the_state_stays"])),
    ("4", Must, "an unknown mechanism is -ERR", By(&["every_dialogue_is_the_same_in_lockstep"])),
    ("4", Says, "challenges stand behind a plus and a blank, in base64", By(&["every_dialogue_is_the_same_in_lockstep", "every_mechanism_logs_in_with_and_without_an_initial_response"])),
    ("4", Must, "an initial response is taken where the client speaks first, and = is an empty one", By(&["every_mechanism_logs_in_with_and_without_an_initial_response"])),
    ("4", Must, "an initial response is -ERR where the server speaks first", By(&["an_initial_response_where_the_server_speaks_first_is_refused"])),
    ("4", Must, "what is no base64 is -ERR", By(&["what_is_no_base64_ends_the_exchange"])),
    ("4", Must, "* ends the exchange by -ERR", By(&["every_dialogue_is_the_same_in_lockstep", "breaking_off_is_an_error_that_is_counted"])),
    ("4", Must, "lines of an exchange may be as long as the mechanisms need", By(&["responses_may_be_longer_than_commands"])),
    ("4", Must, "after a failed exchange the caller may try again", By(&["every_dialogue_is_the_same_in_lockstep", "a_refused_caller_may_try_again_another_way"])),
    ("4", Must, "nobody acts for another whom they may not act for", By(&["nobody_acts_for_somebody_else"])),
    ("6", Must, "PLAIN over TLS is there", Not("there is no TLS below POP3 on a telephone line: the line itself is the caller's alone")),
];

fn tables() -> [(&'static str, &'static [Row]); 4] {
    [
        ("1939", RFC_1939),
        ("2449", RFC_2449),
        ("3206", RFC_3206),
        ("5034", RFC_5034),
    ]
}

/// Names of all tests below `directory`.
fn tests(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, names);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut lines = text.lines().map(str::trim);
            while lines.any(|line| line == "#[test]") {
                let head = lines.find(|line| line.starts_with("fn "));
                let name = head.and_then(|head| head.strip_prefix("fn ")?.split('(').next());
                names.extend(name.map(str::to_owned));
            }
        }
    }
}

#[test]
fn every_sentence_names_a_test_that_is_there_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for directory in ["src", "tests"] {
        tests(&root.join(directory), &mut names);
    }
    let mut missing = BTreeSet::new();
    let mut sentences = BTreeSet::new();
    for (rfc, rows) in tables() {
        for (section, _, sentence, proof) in rows {
            assert!(
                sentences.insert((rfc, section, sentence)),
                "{rfc} {section} {sentence}"
            );
            match proof {
                Not(reason) => assert!(!reason.is_empty(), "{sentence}"),
                By(tests) => {
                    assert!(!tests.is_empty(), "{rfc} {section}: {sentence}: no test");
                    let absent = tests.iter().filter(|name| !names.contains(**name));
                    missing.extend(absent.copied());
                }
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// What an RFC insists on and we leave out stands in README among the limits: it is little.
#[test]
fn what_is_left_out_is_known() {
    let left_out = |(rfc, rows): (&'static str, &'static [Row])| {
        let rows = rows.iter().filter(|(.., proof)| matches!(proof, Not(_)));
        rows.map(move |(section, level, ..)| (rfc, *section, *level))
    };
    let left_out: Vec<_> = tables().into_iter().flat_map(left_out).collect();
    let known = [
        ("1939", "7", Should),
        ("2449", "8.1.1", Says),
        ("5034", "6", Must),
    ];
    assert_eq!(left_out, known);
}
