//! Every defence left out, one at a time: some proof must turn red.
//!
//! `scripts/prove mutants` runs this, and keeps the list with its result in `tests/mutants.txt`.
//! `RINGMAIL_PROVE_MUTANTS=Chain,Cleared` looks at these alone.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use super::sweep::Effort;
use super::*;
use crate::store::defence::mutant::leave_out;
use crate::store::defence::{RULES, Rule};

/// The proofs, fast ones first.
const PROOFS: [(&str, fn()); 38] = [
    ("layout", || {
        layout::superblock();
        layout::record();
        layout::segment_header();
        layout::item();
        layout::claim();
        layout::snapshot_header_and_part();
        layout::config_slot();
    }),
    ("format", power_cut::a_format_that_is_cut_can_be_done_again),
    (
        "mount_sync",
        power_cut::a_mount_is_followed_by_a_sync_before_anything_is_written,
    ),
    (
        "hole",
        power_cut::what_a_cut_left_beyond_a_hole_does_not_come_back,
    ),
    (
        "passed_over",
        power_cut::an_item_that_a_mount_passed_over_does_not_become_whole_later,
    ),
    (
        "behind_the_end",
        power_cut::a_copy_behind_the_end_of_the_ring_is_none,
    ),
    (
        "config_passed_over",
        power_cut::a_configuration_that_a_mount_passed_over_does_not_become_whole_later,
    ),
    (
        "lost_life",
        power_cut::no_unit_that_is_left_of_a_lost_life_takes_anything_from_the_next,
    ),
    (
        "foreign",
        damage::foreign_content_is_refused_and_blank_is_not,
    ),
    ("twin", damage::a_lost_superblock_is_found_in_its_twin),
    ("reformat", damage::a_new_format_shows_nothing_of_the_old),
    (
        "lost_snapshot",
        damage::a_lost_snapshot_is_replaced_by_the_chain_or_told,
    ),
    (
        "flipped_copy",
        damage::a_flipped_octet_of_a_copy_is_seen_when_verified_and_when_read,
    ),
    (
        "pinned",
        random::what_is_pinned_is_never_evicted_and_the_ring_says_full,
    ),
    (
        "reused",
        random::a_segment_goes_without_what_has_since_begun_where_its_old_copies_did,
    ),
    ("begins", random::a_copy_is_opened_only_where_it_begins),
    ("overwritten", random::what_is_overwritten_is_not_read_on),
    (
        "no_waste",
        random::a_mount_goes_on_where_the_last_one_stopped,
    ),
    (
        "half_restored",
        damage::a_snapshot_half_restored_leaves_nothing,
    ),
    ("rebuilt", damage::a_lost_index_is_rebuilt_from_the_ring),
    (
        "old_snapshot",
        damage::an_old_snapshot_is_taken_with_all_that_came_after_it_or_the_loss_is_told,
    ),
    (
        "misplaced",
        damage::a_journal_page_that_lies_elsewhere_says_nothing,
    ),
    (
        "config_header",
        damage::a_flipped_bit_in_the_header_of_a_configuration_brings_back_none_but_the_last,
    ),
    (
        "segment_header",
        damage::a_segment_whose_header_rots_is_told_and_costs_its_copies_alone,
    ),
    (
        "looked_at",
        power_cut::a_copy_that_was_looked_at_after_a_kill_outlives_the_next_cut,
    ),
    (
        "closed",
        power_cut::nothing_joins_a_segment_whose_summary_is_written,
    ),
    (
        "one_field",
        crafted::an_item_that_fits_but_for_one_field_is_not_taken,
    ),
    (
        "rebuilt_goes_on",
        crafted::a_rebuilt_index_goes_on_behind_all_that_came_before_it,
    ),
    (
        "other_content",
        crafted::a_chunk_of_other_content_in_place_of_one_is_seen_by_the_whole,
    ),
    (
        "missing_chunk",
        crafted::a_chunk_that_is_missing_is_not_passed_over,
    ),
    ("torn_claim", power_cut::a_torn_claim_takes_no_epoch_back),
    ("octets", || power_cut::every_octet(EFFORT, 0)),
    ("units", || power_cut::any_units(EFFORT, 0)),
    ("second_cut", || power_cut::second_cut(EFFORT, 0)),
    ("lying_sync", || lies::lying_sync(EFFORT, 0)),
    ("neighbour", || lies::lost_neighbour(EFFORT, 0)),
    ("lives", || random::random_lives(EFFORT, 0)),
    ("flips", || {
        damage::flip_bits(Effort {
            stride: 61,
            ..EFFORT
        });
    }),
];

const EFFORT: Effort = Effort {
    stride: 201,
    subsets: 4,
    random: 6,
    rounds: 120,
    seed: 1,
};

#[test]
#[ignore = "the ordinary proofs many times over: scripts/prove mutants"]
fn every_defence_that_is_left_out_is_missed() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut survivors = Vec::new();
    let named = std::env::var("RINGMAIL_PROVE_MUTANTS").unwrap_or_default();
    let is_named = |rule: Rule| {
        let mut names = named.split(',');
        named.is_empty() || names.any(|name| name == std::format!("{rule:?}"))
    };
    assert_eq!(killer(None), None, "red with all defences in place");
    for rule in RULES.into_iter().filter(|rule| is_named(*rule)) {
        match killer(Some(rule)) {
            Some(name) => std::println!("{rule:?}: {name}"),
            None => survivors.push(rule),
        }
    }
    let _ = std::panic::take_hook();
    assert!(survivors.is_empty(), "nobody misses {survivors:?}");
}

#[test]
fn the_list_of_mutants_names_every_defence_and_who_misses_it() {
    let list = include_str!("../../../tests/mutants.txt").lines();
    let list = list.filter(|line| !line.starts_with('#'));
    let (names, killers): (Vec<_>, Vec<_>) = list
        .map(|line| line.split_once(": ").expect("a defence, and proofs"))
        .unzip();
    let rules: Vec<_> = RULES.iter().map(|rule| std::format!("{rule:?}")).collect();
    assert_eq!(names, rules, "scripts/prove mutants writes it anew");
    for (rule, killer) in names.into_iter().zip(killers) {
        let known = PROOFS.iter().any(|(name, _)| *name == killer);
        assert!(known, "{rule}: {killer}");
    }
}

/// The first proof that turns red without it.
fn killer(rule: Option<Rule>) -> Option<&'static str> {
    leave_out(rule);
    let red = |proof: &fn()| catch_unwind(AssertUnwindSafe(proof)).is_err();
    let killer = PROOFS.iter().find(|(_, proof)| red(proof));
    leave_out(None);
    killer.map(|(name, _)| *name)
}
