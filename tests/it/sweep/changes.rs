//! Power cuts in the jobs that change one thing on the card, on both layouts: identity, ROM, NV
//! configuration, a restore.
//!
//! Failsafe: after every cut the card boots a valid image, the one before or the one after the change.
//! Non-failsafe: it does, or it boots nothing and the backup restores it. The repeated job ends where
//! it would have ended without the cut.

use super::engine::{CutTally, Points, sweep};
use super::world::{SweepSetup, identity, own, small_cx3, small_pro, version};
use cx3flash::image::{Contents, FlashAddr, Half, Identity, Mac, Recipe, RomRecipe};
use cx3flash::job::{self, Exit, IdentityChange, JobError, WriteOutcome, WriteRequest};
use cx3flash::sim::{BootOutcome, SimCard};
use std::ops::Range;

/// The other identity: one MAC and the VSD differ.
fn other() -> Identity {
    Identity {
        macs: [Mac(0xF452_14AA_BBC0), Mac(0xF452_14AA_BBC9)],
        vsd: b"rack 8".to_vec(),
        ..identity()
    }
}

fn identity_set(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    let change = IdentityChange { macs: Some(other().macs), vsd: Some(other().vsd), guids: None };
    bench.write(card, &WriteRequest::IdentitySet(&change))
}

fn rom_write(bench: &SweepSetup, card: &SimCard, device_id: u16) -> Result<WriteOutcome, JobError> {
    let dir = bench.scratch();
    let path = dir.path().join("rom.bin");
    let rom = RomRecipe::pxe((3, 4, 999), device_id, 0x1800).build().unwrap();
    std::fs::write(&path, rom).unwrap();
    bench.write(card, &WriteRequest::RomWrite(&job::read_rom(&path, &())?))
}

fn config_reset(bench: &SweepSetup, card: &SimCard) -> Result<WriteOutcome, JobError> {
    bench.write(card, &WriteRequest::ConfigReset)
}

/// The image that starts, which must be valid.
fn started(card: &SimCard, outcome: &BootOutcome, op: u64) -> Option<Contents> {
    let BootOutcome::Image { start, .. } = outcome else {
        return None;
    };
    let found = Contents::from_dump(&card.flash(), FlashAddr(start.0)).unwrap();
    let findings = &found.image().findings;
    assert!(found.image().is_valid(), "op {op}: {findings:?}");
    Some(found)
}

/// The two images that may be left, recognized by their bytes.
struct Ends<'a> {
    before: &'a Contents,
    after: &'a Contents,
}

impl Ends<'_> {
    fn name(&self, card: &SimCard, outcome: &BootOutcome, op: u64) -> Option<&'static str> {
        let found = started(card, outcome, op)?;
        if found.bytes() == self.before.bytes() {
            Some("old")
        } else if found.bytes() == self.after.bytes() {
            Some("new")
        } else {
            panic!("op {op}: what boots is neither the image before nor the one after")
        }
    }

    /// Which of them boots, under either preference of the boot ROM; `None`: nothing does.
    fn left(&self, card: &SimCard, op: u64) -> Option<String> {
        let outcomes = card.boot_outcomes();
        let low = self.name(card, &outcomes.lowest_first, op);
        let high = self.name(card, &outcomes.highest_first, op);
        match (low, high) {
            (Some(low), Some(high)) if low == high => Some(low.to_owned()),
            (Some(_), Some(_)) => Some("old and new".to_owned()),
            (None, None) => None,
            _ => panic!("op {op}: one boot ROM finds an image, the other none"),
        }
    }
}

/// The images before and after an undisturbed run.
fn ends(card: &SimCard, job: &dyn Fn(&SimCard) -> Result<WriteOutcome, JobError>) -> [Contents; 2] {
    let after = card.fork();
    job(&after).expect("an undisturbed run");
    [card, &after].map(|c| started(c, &c.boot_outcome(), 0).expect("an image that boots"))
}

/// Cuts the job at every point, then repeats it. With `failsafe`, a valid image boots each time.
fn cut_everywhere(
    name: &str,
    bench: &SweepSetup,
    failsafe: bool,
    job: &dyn Fn(&SimCard) -> Result<WriteOutcome, JobError>,
) -> CutTally {
    let [before, after] = ends(&bench.card, job);
    assert!(before.bytes() != after.bytes(), "{name} changes nothing");
    let ends = Ends { before: &before, after: &after };
    let backup = bench.backup_once();
    let completed = |card: &SimCard, op| {
        assert_eq!(ends.left(card, op).as_deref(), Some("new"), "{name} op {op}");
        assert_eq!(card.misuse(), [], "{name} op {op}");
        assert!(card.semaphores_held().is_empty(), "{name} op {op}");
    };
    let tally = sweep(
        name,
        &bench.card,
        // Failsafe: every point. In place the middle is one long window without an image.
        if failsafe { Points::Every } else { Points::Sampled { ends: 24, every: 5 } },
        &|card| job(card).is_ok(),
        &|card, op, repeat| {
            let Some(left) = ends.left(card, op) else {
                assert!(!failsafe, "{name} op {op}: P1 broken, nothing boots");
                if !repeat {
                    return "boots nothing".into();
                }
                let again = card.fork();
                let refused = job(&again).expect_err("nothing to start from");
                assert_ne!(refused.outcome().exit, Exit::Done);
                assert_eq!(again.mutations(), card.mutations(), "a refusal wrote");
                bench
                    .restore(card, &backup)
                    .unwrap_or_else(|e| panic!("{name} op {op}: restore: {e}"));
                assert!(
                    card.flash() == bench.card.flash(),
                    "{name} op {op}: restore is not byte for byte"
                );
                job(card).unwrap_or_else(|e| panic!("{name} op {op}: again: {e}"));
                completed(card, op);
                return "repaired".into();
            };
            if repeat {
                job(card).unwrap_or_else(|e| panic!("{name} op {op}: again: {e}"));
                completed(card, op);
            }
            left
        },
    );
    let met = |what: &str| tally.outcomes.keys().any(|k| k.contains(what));
    if failsafe {
        assert!(met("old"), "{name}: the old image never booted");
        assert!(met("new"), "{name}: the commit was never crossed");
    } else {
        // In place the first step invalidates the signature, so the old image does not boot.
        assert!(met("repaired"), "{name}: no cut left the card without an image");
    }
    tally
}

fn pro_bench() -> SweepSetup {
    let recipe = small_pro("2.42.5000");
    SweepSetup::failsafe(&recipe, Half::Even, true, &recipe)
}

fn cx3_bench() -> SweepSetup {
    let recipe = small_cx3("2.42.5000");
    SweepSetup::non_failsafe(&recipe, &recipe)
}

#[test]
fn a_cut_identity_set_leaves_a_failsafe_card_that_boots_one_identity() {
    let bench = pro_bench();
    cut_everywhere("identity set, failsafe", &bench, true, &|card| identity_set(&bench, card));
}

#[test]
fn a_cut_identity_set_on_a_non_failsafe_card_is_repaired() {
    let bench = cx3_bench();
    cut_everywhere("identity set, non-failsafe", &bench, false, &|card| identity_set(&bench, card));
}

#[test]
fn a_cut_rom_write_leaves_a_failsafe_card_that_boots_one_rom() {
    let bench = pro_bench();
    cut_everywhere("rom write, failsafe", &bench, true, &|card| rom_write(&bench, card, 0x1007));
}

#[test]
fn a_cut_rom_write_on_a_non_failsafe_card_is_repaired() {
    let bench = cx3_bench();
    cut_everywhere("rom write, non-failsafe", &bench, false, &|card| {
        rom_write(&bench, card, 0x1003)
    });
}

#[test]
fn a_cut_rom_removal_on_a_non_failsafe_card_is_repaired() {
    let bench = cx3_bench();
    cut_everywhere("rom remove, non-failsafe", &bench, false, &|card| {
        bench.write(card, &WriteRequest::RomRemove)
    });
}

/// A reset of the NV configuration: the image stays, byte for byte, at every cut.
fn reset_everywhere(name: &str, bench: &SweepSetup, areas: &[Range<u32>]) {
    for area in areas {
        bench.card.load_flash(area.start, &vec![0x35; area.len()]);
    }
    let mut want = bench.card.flash();
    for area in areas {
        want[area.start as usize..area.end as usize].fill(0xFF);
    }
    let outside = |flash: &[u8]| {
        let mut flash = flash.to_vec();
        for area in areas {
            flash[area.start as usize..area.end as usize].fill(0);
        }
        flash
    };
    let kept = outside(&want);
    sweep(
        name,
        &bench.card,
        Points::Every,
        &|card| config_reset(bench, card).is_ok(),
        &|card, op, repeat| {
            assert!(outside(&card.flash()) == kept, "{name} op {op}: firmware touched");
            let left = bench.boots_version(card, op, version("2.42.5000"));
            if repeat {
                config_reset(bench, card).unwrap_or_else(|e| panic!("{name} op {op}: again: {e}"));
                assert!(card.flash() == want, "{name} op {op}: not as after an undisturbed reset");
            }
            left
        },
    );
}

fn with_area(recipe: Recipe) -> Recipe {
    Recipe { config_area: Some((2, 0, Some(2))), ..recipe }
}

#[test]
fn a_cut_config_reset_keeps_the_image_of_a_failsafe_card() {
    let recipe = with_area(small_pro("2.42.5000"));
    let bench = SweepSetup::failsafe(&recipe, Half::Even, true, &recipe);
    // Two sectors of 4 KiB at the end of each half of 512 KiB, in chunks of 64 KiB.
    let areas = [0xE_E000..0xF_0000, 0xF_E000..0x10_0000];
    reset_everywhere("config reset, failsafe", &bench, &areas);
}

#[test]
fn a_cut_config_reset_keeps_the_image_of_a_non_failsafe_card() {
    let recipe = with_area(small_cx3("2.42.5000"));
    let bench = SweepSetup::non_failsafe(&recipe, &recipe);
    // Two areas of two sectors at the end of the flash, not in its middle (flint's formula).
    reset_everywhere("config reset, non-failsafe", &bench, &[0xF_C000..0x10_0000]);
}

#[test]
fn a_cut_restore_of_a_non_failsafe_card_is_repaired() {
    let (old, new) = (small_cx3("2.35.5100"), small_cx3("2.42.5000"));
    let bench = SweepSetup::non_failsafe(&old, &new);
    let backup = bench.backup_once();
    let want = bench.card.flash();
    let newer = bench.card.fork();
    newer.load_flash(0, own(&new).bytes());
    newer.power_cycle();
    let (old, new) = (own(&old), own(&new));
    let ends = Ends { before: &new, after: &old };
    let tally = sweep(
        "restore, non-failsafe",
        &newer,
        Points::Sampled { ends: 24, every: 5 },
        &|card| bench.restore(card, &backup).is_ok(),
        &|card, op, repeat| {
            let left = ends.left(card, op);
            if repeat {
                bench
                    .restore(card, &backup)
                    .unwrap_or_else(|e| panic!("op {op}: restore again: {e}"));
                assert!(card.flash() == want, "op {op}: not byte for byte");
            }
            left.unwrap_or_else(|| if repeat { "repaired" } else { "boots nothing" }.into())
        },
    );
    assert!(tally.outcomes.contains_key("repaired"), "no cut left the card without an image");
}
