//! Power cuts in a burn with a trial start, through the confirmation and through the way back (P1).

use super::engine::{Points, sweep};
use super::world::{SweepSetup, small_pro, version};
use cx3flash::image::Half;
use cx3flash::job::{
    Exit, JobError, WriteOptions, WriteOutcome, WriteRequest, open_sim, unlock, write,
};
use cx3flash::plan::{BurnOptions, StartRequest};
use cx3flash::sim::{Fault, FirmwareDefect, SimCard};

/// The body is swept in `burns.rs`; what is new lies behind it.
const POINTS: Points = Points::Sampled { ends: 24, every: 61 };

fn burn(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    let image = bench.image();
    let options = BurnOptions { allow_older: true, ..BurnOptions::default() };
    let backups = bench.scratch();
    let how = WriteOptions { backup_dir: backups.path(), start: StartRequest::Trial };
    let mut device = open_sim(card, "sim")?;
    write(&mut device, &WriteRequest::Burn(&image, &options), how, &mut |_| true, &mut ())
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
                let job = |card: &SimCard| ends_well(&burn(&bench, card));
                let tally = sweep(&name, &bench.card, POINTS, &job, &|card, op, repeat| {
                    let left = bench.boots_complete_images(card, op);
                    if repeat {
                        card.power_cycle();
                        let ended = unlocked(card, || burn(&bench, card));
                        let exit = ended.as_ref().err().map(|error| error.outcome().exit);
                        if exit == Some(Exit::OutcomeUnknown) && defect.is_some() && !honours {
                            // The card hangs in the new firmware whatever is done: both images stay, and
                            // the backup brings the old one back.
                            let backup = bench.backup_once();
                            unlocked(card, || bench.restore(card, &backup))
                                .unwrap_or_else(|e| panic!("{name}: op {op}: {e}"));
                            return "hangs, restored".into();
                        }
                        assert!(ends_well(&ended), "{name}: op {op}: burn again: {ended:?}");
                        let one = bench.boots_complete_images(card, op);
                        assert!(one != "old and new", "{name}: op {op}: not finished");
                        assert!(card.semaphores_held().is_empty(), "{name}: op {op}");
                        assert_eq!(card.misuse(), [], "{name}: op {op}");
                    }
                    left
                });
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
