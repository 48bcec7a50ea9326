//! Cut the power at every mutating flash operation of a job and look what is left.
//!
//! A job is run once to count its operations, then once per operation with the power cut there.
//! After each cut the card is powered on again, twice: once with a boot ROM that takes the lowest
//! valid image, once with one that takes the highest. Which of the two real silicon does is
//! UNCONFIRMED (docs/fs2.md#flash-map), so the promise has to hold for both.

use cx3flash::sim::{Fault, SimCard};
use std::collections::BTreeMap;
use std::io::Write;

/// How many cuts to try.
#[derive(Clone, Copy)]
pub(crate) enum Points {
    /// Every operation.
    Every,
    /// Every operation near the ends (where erases and the commit are), every `n`th between.
    Sampled(u64),
}

/// What one sweep found, printed at the end.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) points: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: &str) {
        *self.outcomes.entry(outcome.to_owned()).or_default() += 1;
    }

    pub(crate) fn print(&self, name: &str) {
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .map(|(what, n)| format!("{what} {n}"))
            .collect();
        // Straight to the handle: the test harness swallows what the print macros say, and these
        // figures are to be seen in every run.
        let line = format!("{name}: {} points, {}\n", self.points, outcomes.join(", "));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// Number of mutating operations `job` needs on a copy of `card`.
pub(crate) fn operations(card: &SimCard, job: &dyn Fn(&SimCard) -> bool) -> u64 {
    let copy = card.fork();
    let before = copy.mutations();
    assert!(job(&copy), "the job must succeed without a cut");
    assert_eq!(copy.misuse(), [], "the job mistreats the card");
    copy.mutations() - before
}

fn wanted(points: Points, op: u64, total: u64) -> bool {
    match points {
        Points::Every => true,
        Points::Sampled(n) => op <= 24 || op + 24 > total || op.is_multiple_of(n),
    }
}

/// Run `job` with the power cut at every operation, handing each remaining card (powered on again)
/// to `judge`, which names the outcome.
pub(crate) fn sweep(
    name: &str,
    card: &SimCard,
    points: Points,
    job: &dyn Fn(&SimCard) -> bool,
    judge: &dyn Fn(&SimCard, u64) -> String,
) -> Tally {
    let total = operations(card, job);
    assert!(
        total > 0,
        "{name}: a job that writes nothing proves nothing"
    );
    let mut tally = Tally::default();
    for op in (1..=total).filter(|op| wanted(points, *op, total)) {
        let cut = card.fork();
        cut.inject(Fault::PowerCut {
            op,
            seed: op.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        });
        assert!(
            !job(&cut),
            "{name}: the job claims success without power (op {op})"
        );
        assert_eq!(cut.misuse(), [], "{name}: op {op}");
        cut.power_cycle();
        let outcome = judge(&cut, op);
        tally.points += 1;
        tally.count(&outcome);
    }
    tally.print(name);
    tally
}
