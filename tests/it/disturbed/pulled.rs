//! The card is pulled out of its slot at an access of a whole burn, with and without activation.
//!
//! Nothing is reported that the card does not hold, a failsafe card boots when it is put back, and the next
//! `burn` or `recover` completes.

use super::card::{CardLayout, CaseTally};
use super::torn::{assert_repaired, repair};
use super::wrong_reads::ended;
use cx3flash::job::{self, Code, Exit, WriteRequest};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::{BootOutcome, Fault, SimCard};

/// Accesses to try, of `total`: all of the last ones, where the signatures change and the card is reset,
/// and others evenly spread.
fn accesses(total: u64) -> Vec<u64> {
    const SPREAD: u64 = 60;
    const LAST: u64 = 160;
    let spread = (0..SPREAD).map(|n| n * total / SPREAD);
    // Every third of the very last, with all remainders over the two layouts and the two kinds of burn.
    spread.chain((total.saturating_sub(LAST)..total).step_by(3)).collect()
}

fn a_burn_is_reported(layout: CardLayout, activate: bool) {
    let bench = layout.bench();
    let image = bench.image();
    let options = BurnOptions::default();
    let burn = |card: &SimCard| {
        let backups = bench.scratch();
        let mut device = job::open_sim(card, "sim")?;
        let request = WriteRequest::Burn(&image, &options);
        job::write(&mut device, &request, backups.path(), activate, &mut |_| true, &mut ())
    };
    let undisturbed = bench.card.fork();
    undisturbed.set_hurry(true);
    burn(&undisturbed).unwrap();
    let total = undisturbed.accesses() - bench.card.accesses();
    let before = bench.card.flash();
    let mut tally = CaseTally::default();
    for after in accesses(total) {
        let what = format!("{}, activate {activate}, access {after} of {total}", layout.name());
        let card = bench.card.fork();
        card.set_hurry(true);
        card.inject(Fault::Removed { after });
        let result = burn(&card);
        let changed = card.flash() != before;
        card.power_cycle();
        let outcomes = card.boot_outcomes();
        let boots =
            ![outcomes.lowest_first, outcomes.highest_first].contains(&BootOutcome::Recovery);
        assert!(layout == CardLayout::NonFailsafe || boots, "{what}: P1: {result:?}");
        tally.count(match &result {
            Ok(_) => {
                assert_repaired(&card, &what);
                "done".to_owned()
            }
            Err(error) => {
                let outcome = error.outcome();
                let true_of_card = match outcome.exit {
                    Exit::Failed => !changed,
                    Exit::StillBoots => boots && changed,
                    Exit::NeedsRecover => !boots,
                    // Whether the last command arrived cannot be read from a card that is gone.
                    Exit::OutcomeUnknown => true,
                    _ => false,
                };
                assert!(true_of_card, "{what}: {:?}: {error}", outcome.exit);
                let codes = [Code::CardGone, Code::OutcomeUnknown, Code::ActivateFailed];
                assert!(codes.contains(&outcome.code), "{what}: {:?}: {error}", outcome.code);
                ended(error)
            }
        });
        repair(&bench, &card).unwrap_or_else(|e| panic!("{what}: after {result:?}: {e}"));
        assert_repaired(&card, &what);
    }
    tally.print(&format!("pulled, {}, activate {activate} ({total} accesses)", layout.name()));
}

#[test]
fn a_failsafe_card_that_is_pulled_in_a_burn_boots_when_it_is_put_back() {
    a_burn_is_reported(CardLayout::Failsafe, false);
    a_burn_is_reported(CardLayout::Failsafe, true);
}

#[test]
fn a_non_failsafe_card_that_is_pulled_in_a_burn_is_reported_and_repaired() {
    a_burn_is_reported(CardLayout::NonFailsafe, false);
    a_burn_is_reported(CardLayout::NonFailsafe, true);
}
