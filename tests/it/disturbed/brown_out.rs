//! The supply of the flash chip sags during an erase or a program of a burn: the host and the card run on,
//! the chip executes nothing for a while, and what was being changed reads differently each time, or blank
//! without being erased in depth.
//!
//! What the burn reports is what the card holds, a failsafe card boots, and the next `burn` or `recover`
//! completes.

use super::card::{CardLayout, CaseTally};
use super::torn::{assert_repaired_but_for_misuse, operations, seed};
use super::wrong_reads::{assert_true_outcome, ended};
use crate::sweep::world::SweepSetup;
use cx3flash::job::{JobError, WriteOutcome};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::{BootOutcome, Fault, SimCard};

/// Gateway commands until the supply is back: one, the polls of one operation, all that a job sends
/// before it gives up.
const SAGS: [u64; 3] = [1, 200, 1_000_000];

/// Operations of the sweep: the first erases, all of the commit, and some between.
fn ops(total: u64) -> impl Iterator<Item = u64> {
    (1..=total).filter(move |op| *op <= 4 || *op + 6 > total || op.is_multiple_of(41))
}

/// `burn`, and where it refuses because nothing boots for sure, `recover`, as it advises.
fn next(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    match bench.burn(card, &BurnOptions::default()) {
        Err(error) if error.to_string().contains("`recover`") => bench.recover(card),
        done => done,
    }
}

fn boots(card: &SimCard) -> bool {
    let outcomes = card.boot_outcomes();
    ![outcomes.lowest_first, outcomes.highest_first].contains(&BootOutcome::Recovery)
}

fn a_burn_is_reported_and_repaired(layout: CardLayout) {
    let bench = layout.bench();
    let total = operations(&bench);
    let mut tally = CaseTally::default();
    for op in ops(total) {
        // The last operations are the words of the signatures.
        let seeds = if op + 6 > total { 2 } else { 1 };
        for n in 0..seeds {
            let commands = SAGS[(op + n) as usize % SAGS.len()];
            let what = format!("{}, operation {op}, {commands} commands, {n}", layout.name());
            let card = bench.card.fork();
            card.set_hurry(true);
            card.inject(Fault::BrownOut { op, commands, seed: seed(op * 8 + n) });
            let result = bench.burn(&card, &BurnOptions::default());
            assert_eq!(card.faults(), [], "{what}: it never happened");
            assert_eq!(card.semaphores_held(), [0_u8; 0], "{what}");
            assert!(layout == CardLayout::NonFailsafe || boots(&card), "{what}: P1: {result:?}");
            tally.count(match &result {
                Ok(_) => {
                    assert_repaired_but_for_misuse(&card, &what);
                    "done".to_owned()
                }
                Err(error) => {
                    assert_true_outcome(&bench.card, &card, error, &what);
                    ended(error)
                }
            });
            card.power_cycle();
            if let Err(error) = next(&bench, &card) {
                panic!("{what}: after {result:?}: {error}");
            }
            assert_repaired_but_for_misuse(&card, &what);
            assert_eq!(card.marginal_cells(), [], "{what}: cells are left between two states");
        }
    }
    tally.print(&format!("brown-out, {} ({total} operations)", layout.name()));
}

#[test]
fn a_brown_out_in_any_operation_of_a_failsafe_burn_leaves_a_card_that_boots() {
    a_burn_is_reported_and_repaired(CardLayout::Failsafe);
}

#[test]
fn a_brown_out_in_any_operation_of_a_non_failsafe_burn_is_reported_and_repaired() {
    a_burn_is_reported_and_repaired(CardLayout::NonFailsafe);
}
