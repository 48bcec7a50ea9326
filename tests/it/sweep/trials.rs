//! Power cuts in a burn with a trial start, through the confirmation and through the way back (P1).

use super::engine::{Points, sweep};
use super::world::{SMALL_CHUNK_LOG2, SweepSetup, small_pro, version};
use cx3flash::image::{Half, MAGIC};
use cx3flash::job::{
    Exit, ImageFile, JobError, WriteOptions, WriteOutcome, WriteRequest, open_sim, unlock, write,
};
use cx3flash::plan::{BurnOptions, StartRequest};
use cx3flash::sim::{Fault, FirmwareDefect, SimCard};

/// The body is swept in `burns.rs`; what is new lies behind it.
const POINTS: Points = Points::Sampled { ends: 24, every: 61 };

fn burn(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    burn_image(bench, card, &bench.image())
}

fn burn_image(
    bench: &SweepSetup,
    card: &SimCard,
    image: &ImageFile,
) -> Result<WriteOutcome, JobError> {
    let options = BurnOptions { allow_older: true, ..BurnOptions::default() };
    let backups = bench.scratch();
    let how = WriteOptions { backup_dir: backups.path(), start: StartRequest::Trial };
    let mut device = open_sim(card, "sim")?;
    write(&mut device, &WriteRequest::Burn(image, &options), how, &mut |_| true, &mut ())
}

/// A job on a card whose firmware may hang with semaphore 63, as the hint of the refusal names it.
fn unlocked(
    card: &SimCard,
    job: impl Fn() -> Result<WriteOutcome, JobError>,
) -> Result<WriteOutcome, JobError> {
    match job() {
        Err(error) if error.outcome().exit == Exit::NotReady => {
            unlock(&mut open_sim(card, "sim")?, &mut |_| true, &mut ())?;
            job()
        }
        ended => ended,
    }
}

/// Done, or back on the old firmware.
fn ends_well(ended: &Result<WriteOutcome, JobError>) -> bool {
    match ended {
        Ok(_) => true,
        Err(error @ JobError::NotStarted { now, .. }) => {
            error.outcome().exit == Exit::StillBoots && now.ends_with("as before")
        }
        Err(_) => false,
    }
}

/// The card as a cut between commit and the last signature leaves it: both images are complete. The trial itself
/// has no operation that the sweep could cut.
fn cut_in_the_trial(bench: &SweepSetup, job: &dyn Fn(&SimCard) -> bool) -> (u64, SimCard) {
    let whole = bench.card.fork();
    assert!(job(&whole));
    let op = whole.mutations();
    let cut = |seed| {
        let card = bench.card.fork();
        card.inject(Fault::PowerCut { op, seed });
        assert!(!job(&card), "success without power");
        card.power_cycle();
        card
    };
    let both = |card: &SimCard| {
        let flash = card.flash();
        [0, 1 << SMALL_CHUNK_LOG2].into_iter().all(|at| flash[at..at + 16] == MAGIC)
    };
    // Some seeds leave nothing done of the last program.
    let card = (0..64).map(cut).find(both).expect("no cut leaves both images");
    (op, card)
}

/// Under each boot ROM: the half it prefers, and whether it takes notice of the boot address register.
fn under_each_boot_rom(name: &str, defect: Option<FirmwareDefect>) {
    for from in [Half::Even, Half::Odd] {
        for honours in [true, false] {
            for highest in [false, true] {
                let (old, new) = (small_pro("2.36.5150"), small_pro("2.42.5000"));
                let bench = SweepSetup::failsafe(&old, from, honours, &new);
                let bench = bench.with_boot_rom(highest, honours);
                if let Some(defect) = defect {
                    let fw_version = version("2.42.5000");
                    bench.card.inject(Fault::Firmware { fw_version, defect });
                }
                let name =
                    format!("{name}, from {from:?}, highest first {highest}, register {honours}");
                let another = bench.image_of(&small_pro("2.40.7000"));
                let job = |card: &SimCard| ends_well(&burn(&bench, card));
                let judge = |card: &SimCard, op: u64, repeat: bool| {
                    let left = bench.boots_complete_images(card, op);
                    if repeat {
                        card.power_cycle();
                        let ended = unlocked(card, || burn(&bench, card));
                        let exit = ended.as_ref().err().map(|error| error.outcome().exit);
                        if exit == Some(Exit::OutcomeUnknown) && defect.is_some() && !honours {
                            // The card hangs in the new firmware whatever is done: both images stay, the
                            // backup brings the old one back, and a burn of another image ends well.
                            let backup = bench.backup_once();
                            unlocked(card, || bench.restore(card, &backup))
                                .unwrap_or_else(|e| panic!("{name}: op {op}: {e}"));
                            card.power_cycle();
                            let ended = burn_image(&bench, card, &another);
                            assert!(ends_well(&ended), "{name}: op {op}: another image: {ended:?}");
                            return "hangs, restored".into();
                        }
                        assert!(ends_well(&ended), "{name}: op {op}: burn again: {ended:?}");
                        let one = bench.boots_complete_images(card, op);
                        assert!(one != "old and new", "{name}: op {op}: not finished");
                        assert!(card.semaphores_held().is_empty(), "{name}: op {op}");
                        assert_eq!(card.misuse(), [], "{name}: op {op}");
                    }
                    left
                };
                let tally = sweep(&name, &bench.card, POINTS, &job, &judge);
                let (op, card) = cut_in_the_trial(&bench, &job);
                judge(&card, op, true);
                // The sweep reaches from the first erase to the last signature.
                assert!(tally.outcomes.contains_key("old"), "{name}: {:?}", tally.outcomes);
            }
        }
    }
}

#[test]
fn a_cut_trial_leaves_a_card_that_boots() {
    under_each_boot_rom("trial", None);
}

#[test]
fn a_cut_way_back_leaves_a_card_that_boots() {
    let defect = FirmwareDefect::NeverStarts { recovery_id: false };
    under_each_boot_rom("way back", Some(defect));
}

#[test]
fn a_cut_trial_of_firmware_that_dies_keeps_the_old_image() {
    let defect = FirmwareDefect::Dies { ms: 400, silent: false };
    under_each_boot_rom("dies", Some(defect));
}

#[test]
fn a_cut_trial_of_firmware_that_waits_for_its_driver_keeps_the_old_image() {
    under_each_boot_rom("needs driver", Some(FirmwareDefect::NeedsDriver));
}
