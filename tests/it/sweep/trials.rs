//! Power cuts in a burn with a trial start, through the confirmation and through the way back (P1).

use super::engine::{CutTally, Points, sweep};
use super::world::{SweepSetup, small_pro, version};
use cx3flash::image::Half;
use cx3flash::job::{Exit, WriteOptions, WriteRequest, open_sim, write};
use cx3flash::plan::{BurnOptions, StartRequest};
use cx3flash::sim::{Fault, FirmwareDefect, SimCard};

/// The body is swept in `burns.rs`; what is new lies behind it.
const POINTS: Points = Points::Sampled { ends: 24, every: 61 };

fn burn(bench: &SweepSetup, card: &SimCard) -> Exit {
    let image = bench.image();
    let options = BurnOptions { allow_older: true, ..BurnOptions::default() };
    let backups = bench.scratch();
    let how = WriteOptions { backup_dir: backups.path(), start: StartRequest::Trial };
    let ended = open_sim(card, "sim").and_then(|mut device| {
        let request = WriteRequest::Burn(&image, &options);
        write(&mut device, &request, how, &mut |_| true, &mut ())
    });
    match ended {
        Ok(outcome) if outcome.nothing_to_do => Exit::NothingToDo,
        Ok(_) => Exit::Done,
        Err(error) => error.outcome().exit,
    }
}

/// Under each boot ROM: the half it prefers, and whether it takes notice of the boot address register.
fn under_each_boot_rom(
    name: &str,
    defect: Option<FirmwareDefect>,
    check: impl Fn(&CutTally, &str),
) {
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
                let ends = |exit| matches!(exit, Exit::Done | Exit::StillBoots);
                let job = |card: &SimCard| ends(burn(&bench, card));
                let tally = sweep(&name, &bench.card, POINTS, &job, &|card, op, repeat| {
                    let left = bench.boots_complete_images(card, op);
                    if repeat {
                        let end = burn(&bench, card);
                        let again =
                            matches!(end, Exit::Done | Exit::NothingToDo | Exit::StillBoots);
                        if end == Exit::OutcomeUnknown && defect.is_some() && !honours {
                            // The card hangs in the new firmware whatever is done: both images stay, and
                            // the backup brings the old one back.
                            let backup = bench.backup_once();
                            bench
                                .restore(card, &backup)
                                .unwrap_or_else(|e| panic!("{name}: op {op}: {e}"));
                            return "hangs, restored".into();
                        }
                        assert!(again, "{name}: op {op}: burn again: {end:?}");
                        let one = bench.boots_complete_images(card, op);
                        assert!(one != "old and new", "{name}: op {op}: not finished: {end:?}");
                        assert!(card.semaphores_held().is_empty(), "{name}: op {op}");
                        assert_eq!(card.misuse(), [], "{name}: op {op}");
                    }
                    left
                });
                check(&tally, &name);
            }
        }
    }
}

#[test]
fn a_cut_trial_leaves_a_card_that_boots() {
    under_each_boot_rom("trial", None, |tally, name| {
        assert!(tally.outcomes.contains_key("old"), "{name}: {:?}", tally.outcomes);
        assert!(tally.outcomes.contains_key("old and new"), "{name}: {:?}", tally.outcomes);
    });
}

#[test]
fn a_cut_way_back_leaves_a_card_that_boots() {
    let defect = FirmwareDefect::NeverStarts { recovery_id: false };
    under_each_boot_rom("way back", Some(defect), |tally, name| {
        assert!(tally.outcomes.contains_key("old and new"), "{name}: {:?}", tally.outcomes);
    });
}
