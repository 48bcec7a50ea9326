//! Power cuts in burn, ROM removal, restore and recover (P1, P2, P4).
//!
//! Failsafe: whatever the boot ROM prefers, it finds the old or the new image with the card's own
//! identity, and `burn` run again completes. Non-failsafe: the card boots, or `recover` and
//! `restore` from the backup made before complete the job.

use super::engine::{CutTally, Points, sweep};
use super::world::{SweepSetup, small_cx3, small_pro, version, wide_pro};
use cx3flash::image::{Half, Recipe};
use cx3flash::job::WriteRequest;
use cx3flash::plan::{BurnOptions, RomChoice};

/// Old and new image on a failsafe card; the other half as `other` leaves it.
fn failsafe(name: &str, old: &Recipe, new: &Recipe, from: Half, other_used: bool) -> CutTally {
    let bench = SweepSetup::failsafe(old, from, other_used, new);
    let tally = sweep(
        name,
        &bench.card,
        Points::Every,
        &|card| {
            bench.burn(card, &BurnOptions { allow_older: true, ..BurnOptions::default() }).is_ok()
        },
        &|card, op, repeat| {
            let left = bench.boots_old_or_new(card, op);
            if repeat {
                bench.completes(
                    card,
                    op,
                    &BurnOptions { allow_older: true, ..BurnOptions::default() },
                );
            }
            left
        },
    );
    // Both images boot somewhere, or the sweep did not cross the commit.
    assert!(tally.outcomes.keys().any(|k| k.contains("old")), "{name}");
    assert!(tally.outcomes.keys().any(|k| k.contains("new")), "{name}");
    tally
}

#[test]
fn a_cut_burn_into_a_used_half_leaves_a_card_that_boots() {
    let (old, new) = (wide_pro("2.36.5150"), wide_pro("2.42.5000"));
    failsafe("same to newer", &old, &new, Half::Even, true);
}

#[test]
fn a_cut_burn_of_an_older_version_leaves_a_card_that_boots() {
    let (old, new) = (small_pro("2.42.5000"), small_pro("2.36.5150"));
    failsafe("newer to older", &old, &new, Half::Even, true);
}

#[test]
fn a_cut_burn_from_odd_to_even_leaves_a_card_that_boots() {
    let (old, new) = (wide_pro("2.36.5150"), wide_pro("2.42.5000"));
    failsafe("odd to even", &old, &new, Half::Odd, true);
}

#[test]
fn a_cut_first_burn_from_even_to_odd_leaves_a_card_that_boots() {
    let (old, new) = (small_pro("2.36.5150"), small_pro("2.42.5000"));
    failsafe("even to odd, blank slot", &old, &new, Half::Even, false);
}

#[test]
fn a_cut_first_burn_from_odd_to_even_leaves_a_card_that_boots() {
    let (old, new) = (small_pro("2.36.5150"), small_pro("2.42.5000"));
    failsafe("odd to even, blank slot", &old, &new, Half::Odd, false);
}

#[test]
fn a_cut_burn_that_removes_the_rom_leaves_a_card_that_boots() {
    let bench =
        SweepSetup::failsafe(&small_pro("2.36.5150"), Half::Even, true, &small_pro("2.42.5000"));
    let options =
        BurnOptions { rom: Some(RomChoice::None), allow_older: true, ..BurnOptions::default() };
    sweep(
        "burn without ROM",
        &bench.card,
        Points::Every,
        &|card| bench.burn(card, &options).is_ok(),
        &|card, op, repeat| {
            let left = bench.boots_old_or_new(card, op);
            if repeat {
                bench.completes(card, op, &options);
            }
            left
        },
    );
}

#[test]
fn a_cut_burn_of_real_size_leaves_a_card_that_boots() {
    let bench = SweepSetup::real_sized();
    sweep(
        "real size, sampled",
        &bench.card,
        Points::Sampled { ends: 24, every: 397 },
        &|card| {
            bench.burn(card, &BurnOptions { allow_older: true, ..BurnOptions::default() }).is_ok()
        },
        &|card, op, repeat| {
            let left = bench.boots_old_or_new(card, op);
            if repeat {
                bench.completes(
                    card,
                    op,
                    &BurnOptions { allow_older: true, ..BurnOptions::default() },
                );
            }
            left
        },
    );
}

#[test]
fn a_cut_non_failsafe_burn_is_repaired_by_recover_and_by_restore() {
    let bench = SweepSetup::non_failsafe(&small_cx3("2.35.5100"), &small_cx3("2.42.5000"));
    let tally = sweep(
        "non-failsafe burn",
        &bench.card,
        Points::Every,
        &|card| {
            bench.burn(card, &BurnOptions { allow_older: true, ..BurnOptions::default() }).is_ok()
        },
        &|card, op, repeat| bench.repaired(card, op, repeat),
    );
    assert!(tally.outcomes.contains_key("repaired"), "no cut left the card without an image");
}

#[test]
fn a_cut_rom_removal_leaves_a_failsafe_card_that_boots() {
    let bench =
        SweepSetup::failsafe(&small_pro("2.42.5000"), Half::Even, true, &small_pro("2.42.5000"));
    sweep(
        "rom remove",
        &bench.card,
        Points::Every,
        &|card| bench.write(card, &WriteRequest::RomRemove).is_ok(),
        &|card, op, repeat| {
            let left = bench.boots_version(card, op, version("2.42.5000"));
            if repeat {
                bench
                    .write(card, &WriteRequest::RomRemove)
                    .unwrap_or_else(|e| panic!("op {op}: rom remove again: {e}"));
            }
            left
        },
    );
}

#[test]
fn a_cut_restore_leaves_a_failsafe_card_that_boots() {
    let bench =
        SweepSetup::failsafe(&small_pro("2.36.5150"), Half::Even, true, &small_pro("2.42.5000"));
    let backup = bench.backup(&bench.card.fork());
    // The card to be restored holds the newer image.
    let newer = bench.card.fork();
    bench
        .burn(&newer, &BurnOptions { allow_older: true, ..BurnOptions::default() })
        .expect("an undisturbed burn");
    // Operations are counted from power-on.
    newer.power_cycle();
    let want = bench.card.flash();
    sweep(
        "restore, failsafe",
        &newer,
        Points::Every,
        &|card| bench.restore(card, &backup).is_ok(),
        &|card, op, repeat| {
            let left = bench.boots_old_or_new(card, op);
            if repeat {
                bench
                    .restore(card, &backup)
                    .unwrap_or_else(|e| panic!("op {op}: restore again: {e}"));
                assert!(card.flash() == want, "op {op}: restore is not byte for byte");
            }
            left
        },
    );
}

#[test]
fn a_cut_recover_of_an_empty_card_can_be_repeated() {
    let bench = SweepSetup::empty(&small_cx3("2.42.5000"));
    sweep(
        "recover, non-failsafe",
        &bench.card,
        Points::Every,
        &|card| bench.recover(card).is_ok(),
        &|card, op, repeat| {
            let left = bench.boots_new_or_nothing(card, op);
            if repeat {
                bench.recover_or_complete(card, op);
            }
            left
        },
    );
}
