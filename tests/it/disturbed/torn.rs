//! Power goes during an erase or a program and leaves cells between two states, which read differently
//! each time; and power goes again during the repair.
//!
//! No job is stuck on such cells, none trusts what they happen to read as, and what a job reports as
//! done holds no such cell.

use super::card::CardLayout;
use super::wrong_reads::assert_true_outcome;
use crate::support::chip_of;
use crate::sweep::world::SweepSetup;
use cx3flash::job::{self, Exit, JobError, WriteOutcome};
use cx3flash::plan::{BurnOptions, would_boot};
use cx3flash::sim::{BootOutcome, Fault, SimCard};

/// Operations at which power goes: every erase, and pages between.
fn cuts(total: u64) -> impl Iterator<Item = u64> {
    (1..=total).filter(|op| *op <= 10 || op.is_multiple_of(19))
}

pub(super) fn seed(op: u64) -> u64 {
    op.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The card as power leaves it when it goes in operation `op` of the burn; powered on again.
fn cut(bench: &SweepSetup, op: u64) -> SimCard {
    let card = bench.card.fork();
    card.inject(Fault::MarginalCut { op, seed: seed(op) });
    let error = bench.burn(&card, &BurnOptions::default()).expect_err("success without power");
    assert!(matches!(error.outcome().exit, Exit::OutcomeUnknown | Exit::Failed), "{op}: {error}");
    card.power_cycle();
    card
}

/// What an owner does next.
pub(super) fn repair(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    match would_boot(&card.flash(), chip_of(card)).start {
        Some(_) => bench.burn(card, &BurnOptions::default()),
        None => bench.recover(card),
    }
}

pub(super) fn assert_repaired(card: &SimCard, what: &str) {
    assert_repaired_but_for_misuse(card, what);
    assert_eq!(card.misuse(), [], "{what}");
}

/// The same where the chip's bytes are not the driver's doing.
pub(super) fn assert_repaired_but_for_misuse(card: &SimCard, what: &str) {
    let outcomes = card.boot_outcomes();
    for outcome in [&outcomes.lowest_first, &outcomes.highest_first] {
        assert_ne!(*outcome, BootOutcome::Recovery, "{what}: {:?}", card.boot_refusals());
    }
    let starts = would_boot(&card.flash(), chip_of(card));
    assert_eq!(starts.version.unwrap().to_string(), "2.42.5000", "{what}");
}

pub(super) fn operations(bench: &SweepSetup) -> u64 {
    let card = bench.card.fork();
    bench.burn(&card, &BurnOptions::default()).unwrap();
    card.mutations()
}

fn cells_between_two_states_are_repaired(layout: CardLayout) {
    let bench = layout.bench();
    let mut torn = 0;
    for op in cuts(operations(&bench)) {
        let card = cut(&bench, op);
        torn += usize::from(!card.marginal_cells().is_empty());
        let what = format!("{} cut in {op}", layout.name());
        repair(&bench, &card).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_repaired(&card, &what);
        assert_eq!(card.marginal_cells(), [], "{what}: cells are left between two states");
    }
    assert!(torn > 5);
}

#[test]
fn cells_between_two_states_on_a_failsafe_card_are_erased_by_the_next_burn() {
    cells_between_two_states_are_repaired(CardLayout::Failsafe);
}

#[test]
fn cells_between_two_states_on_a_non_failsafe_card_are_erased_by_recover() {
    cells_between_two_states_are_repaired(CardLayout::NonFailsafe);
}

#[test]
fn power_that_goes_again_in_every_repair_leaves_a_card_that_the_next_one_repairs() {
    for layout in [CardLayout::Failsafe, CardLayout::NonFailsafe] {
        let bench = layout.bench();
        for op in [1, 5, 30, 100] {
            let card = cut(&bench, op);
            for again in [1, 3, 8, 20, 90] {
                card.inject(Fault::MarginalCut { op: again, seed: seed(op * 100 + again) });
                let ended = repair(&bench, &card);
                card.power_cycle();
                let outcomes = card.boot_outcomes();
                let booted = outcomes.lowest_first != BootOutcome::Recovery;
                let what = format!("{} cut in {op}, then in {again}", layout.name());
                assert!(ended.is_err() || booted, "{what}: success, and nothing boots");
                assert!(layout == CardLayout::NonFailsafe || booted, "{what}: P1");
            }
            let what = format!("{} cut in {op}", layout.name());
            repair(&bench, &card).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_repaired(&card, &what);
        }
    }
}

#[test]
fn a_backup_of_cells_between_two_states_is_made_and_names_them() {
    let bench = CardLayout::NonFailsafe.bench();
    let mut named = 0;
    for op in cuts(40) {
        let card = cut(&bench, op);
        let out = bench.scratch();
        let mut device = job::open_sim(&card, "sim").unwrap();
        let backup = job::backup(&mut device, out.path(), &mut ()).unwrap();
        let held = std::fs::read(backup.backup.dir.join("flash.bin")).unwrap();
        let cells = card.marginal_cells();
        for (at, byte) in card.flash().iter().enumerate().filter(|(at, byte)| held[*at] != **byte) {
            let bits = cells.iter().find(|(cell, _)| *cell as usize == at).map_or(0, |(_, b)| *b);
            assert_eq!((byte ^ held[at]) & !bits, 0, "{op}: {at:#x}");
            let lists = |r: &job::UnsteadyRange| (r.at.0..r.at.0 + r.len).contains(&(at as u32));
            named += usize::from(backup.backup.unsteady.iter().any(lists));
        }
    }
    assert!(named > 0);
}

/// How a job on a damaged card ended is what the card holds, and the next repair completes.
fn assert_reported_and_repaired(
    bench: &SweepSetup,
    card: &SimCard,
    result: &Result<WriteOutcome, JobError>,
    what: &str,
) {
    match result {
        Ok(_) => assert_repaired_but_for_misuse(card, what),
        Err(error) => assert_true_outcome(&bench.card, card, error, what),
    }
    assert_eq!(card.semaphores_held(), [0_u8; 0], "{what}");
    for _ in 0..3 {
        if repair(bench, card).is_ok() {
            break;
        }
    }
    assert_repaired_but_for_misuse(card, what);
}

#[test]
fn an_operation_that_goes_to_another_sector_is_found_by_the_read_back() {
    for layout in [CardLayout::Failsafe, CardLayout::NonFailsafe] {
        let bench = layout.bench();
        let total = operations(&bench);
        // Blank, in the body, behind another signature, in the configuration area.
        let places = [0x7_0000, 0x2_0400, 0x1_1000, 0xf_f000];
        for (n, op) in [1, 2, total / 2, total - 1, total].into_iter().enumerate() {
            for to in [places[n % 4], places[(n + 2) % 4]] {
                let card = bench.card.fork();
                card.inject(Fault::Misdirected { op, to });
                let result = bench.burn(&card, &BurnOptions::default());
                let what = format!("{}, operation {op} went to {to:#x}", layout.name());
                assert_eq!(card.faults(), [], "{what}: it never happened");
                assert_reported_and_repaired(&bench, &card, &result, &what);
            }
        }
    }
}

#[test]
fn a_setting_that_the_firmware_stores_meanwhile_makes_no_wrong_backup() {
    for layout in [CardLayout::Failsafe, CardLayout::NonFailsafe] {
        let bench = layout.bench();
        let (mut done, mut refused) = (0, 0);
        for after in (0..30).map(|n| n * 90_000) {
            let card = bench.card.fork();
            card.inject(Fault::FirmwareWrites { after });
            let backups = bench.scratch();
            let mut device = job::open_sim(&card, "sim").unwrap();
            let result = job::backup(&mut device, backups.path(), &mut ());
            drop(device);
            let now = card.flash();
            match result {
                Ok(backup) => {
                    done += 1;
                    let held = std::fs::read(backup.backup.dir.join("flash.bin")).unwrap();
                    assert!(held == now || held == bench.card.flash(), "after {after}");
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.outcome().exit, Exit::Failed, "after {after}: {error}");
                }
            }
        }
        assert!(done > 0, "{}: {done} {refused}", layout.name());
    }
}

#[test]
fn power_that_goes_while_protection_is_changed_leaves_every_byte() {
    for seed in 0..8 {
        let bench = CardLayout::NonFailsafe.bench();
        let card = bench.card.fork();
        card.inject(Fault::Protected { status: 0x1C });
        card.power_cycle();
        let clear = |card: &SimCard| {
            let mut device = job::open_sim(card, "sim").unwrap();
            job::flash_protect(&mut device, job::ProtectRequest::Off, &mut |_| true).map(|_| ())
        };
        card.inject(Fault::PowerCut { op: 1, seed });
        clear(&card).expect_err("success without power");
        card.power_cycle();
        assert!(card.flash() == bench.card.flash());
        clear(&card).unwrap();
        bench.burn(&card, &BurnOptions::default()).unwrap();
        assert_repaired(&card, "protection cleared");
    }
}
