//! Cuts the power at every mutating flash operation of a job and inspects what is left.
//!
//! The job is not run anew for each cut. It runs once undisturbed while the simulated card keeps a copy
//! of itself at each operation, torn as a power cut there tears it ([`SimCard::record_cuts`]). The
//! copies are what a job that is cut there leaves, for three reasons: the card is deterministic and
//! its clock advances with its accesses only, so every run sends the same accesses up to the cut; the
//! tear is made by the same code from the same seed; and a card without power executes nothing, so
//! that what the job does after the cut changes nothing. [`really_cut`] checks this by experiment
//! at a sample of the cuts of every sweep: it cuts the power under the running job and compares.
//!
//! After each cut the card is powered on again, twice: once with a boot ROM that takes the lowest
//! valid image, once with one that takes the highest. Which of the two real silicon does is
//! UNCONFIRMED (docs/fs2.md#flash-map), so the promise has to hold for both.

use crate::support::every_case;
use cx3flash::sim::{Fault, SimCard};
use std::collections::BTreeMap;
use std::io::Write;

/// Copies kept at once: each holds a flash of its own.
const KEPT: usize = 64;
/// Cuts of each sweep that are made under a running job, too.
const REALLY_CUT: usize = 8;

/// How many cuts to try.
#[derive(Clone, Copy)]
pub(crate) enum Points {
    /// Every operation.
    Every,
    /// So many operations at each end (where erases and the commit are), every `n`th between.
    Sampled { ends: u64, every: u64 },
}

/// Cuts after which the job is repeated: the repetition takes far longer than looking at what boots, and
/// between the ends one cut leaves what the next one leaves, but for a page. Coprime to the 17 operations
/// that write a sector. With `CX3FLASH_SWEEP=all` it is repeated after each.
const REPEATED: Points = Points::Sampled { ends: 8, every: 24 };

impl Points {
    fn include(self, op: u64, total: u64) -> bool {
        match self {
            Self::Every => true,
            Self::Sampled { ends, every } => {
                op <= ends || op + ends > total || op.is_multiple_of(every)
            }
        }
    }
}

/// The outcomes of one sweep, printed at the end.
#[derive(Default)]
pub(crate) struct CutTally {
    pub(crate) points: u64,
    repeated: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
}

impl CutTally {
    fn print(&self, name: &str) {
        let outcomes: Vec<String> =
            self.outcomes.iter().map(|(what, n)| format!("{what} {n}")).collect();
        // Straight to the handle: the test harness captures the print macros, and these figures are
        // to be seen in every run.
        let (points, repeated) = (self.points, self.repeated);
        let outcomes = outcomes.join(", ");
        let line = format!("{name}: {points} points, {repeated} repeated, {outcomes}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// The seed of the tear at an operation.
fn tear(op: u64) -> u64 {
    op.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Number of mutating operations `job` needs on a copy of `card`.
fn operations(card: &SimCard, job: &dyn Fn(&SimCard) -> bool) -> u64 {
    let copy = card.fork();
    assert!(job(&copy), "the job must succeed without a cut");
    assert_eq!(copy.misuse(), [], "the job mistreats the card");
    copy.mutations()
}

/// Runs `job` on a copy of `card` with the power cut at `op`: the job must fail, and what it leaves
/// must be `recorded`.
fn really_cut(
    name: &str,
    card: &SimCard,
    op: u64,
    job: &dyn Fn(&SimCard) -> bool,
    recorded: &SimCard,
) {
    let cut = card.fork();
    cut.inject(Fault::PowerCut { op, seed: tear(op) });
    assert!(!job(&cut), "{name}: success without power (op {op})");
    assert_eq!(cut.misuse(), [], "{name}: op {op}");
    cut.power_cycle();
    let state = |card: &SimCard| {
        (
            card.flash(),
            card.boot_outcomes(),
            card.reset_outcome(),
            card.running(),
            card.serial(),
            card.semaphores_held(),
        )
    };
    assert!(
        state(&cut) == state(recorded),
        "{name}: the card recorded at op {op} is not the card cut there"
    );
}

/// Hands the card as a power cut at each operation of `job` leaves it, powered on again, to `judge`,
/// which names the outcome, with the operation's number and whether to repeat the job.
pub(crate) fn sweep(
    name: &str,
    card: &SimCard,
    points: Points,
    job: &dyn Fn(&SimCard) -> bool,
    judge: &dyn Fn(&SimCard, u64, bool) -> String,
) -> CutTally {
    assert_eq!(card.mutations(), 0, "{name}: cuts are counted from power-on");
    let total = operations(card, job);
    assert!(total > 0, "{name}: the job writes nothing");
    let mut tally = CutTally::default();
    let ops: Vec<u64> = (1..=total).filter(|op| points.include(*op, total)).collect();
    let sample = ops.len().div_ceil(REALLY_CUT);
    for (round, ops) in ops.chunks(KEPT).enumerate() {
        let recording = card.fork();
        recording.record_cuts(ops.iter().copied().collect(), tear);
        assert!(job(&recording), "{name}");
        let cuts = recording.take_cuts();
        assert_eq!(cuts.len(), ops.len(), "{name}");
        for (n, (&op, cut)) in ops.iter().zip(cuts).enumerate() {
            cut.power_cycle();
            if op == total || (round * KEPT + n).is_multiple_of(sample) {
                really_cut(name, card, op, job, &cut);
            }
            tally.points += 1;
            let repeat = every_case() || REPEATED.include(op, total);
            tally.repeated += u64::from(repeat);
            *tally.outcomes.entry(judge(&cut, op, repeat)).or_default() += 1;
        }
    }
    tally.print(name);
    tally
}
