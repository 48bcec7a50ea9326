//! The crash sweep of the commands that change a part of a card (P1, P2, P4): power is cut at every
//! mutating operation of `identity set`, `rom write`, `rom remove`, `config reset` and `restore`, on
//! both layouts.
//!
//! Failsafe: under either preference of the boot ROM the image from before or the one from after
//! starts, whole, and the command run again completes. Non-failsafe: the same, or `restore` from the
//! backup puts every byte back and the command then completes. `rom remove` and `restore` on a
//! failsafe card are in `crash_sweep.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic in a test is the report"
)]

#[path = "sweep/engine.rs"]
#[allow(dead_code, reason = "each test file uses a part of this")]
mod engine;
#[path = "sweep/world.rs"]
#[allow(dead_code, reason = "each test file uses a part of this")]
mod world;

use cx3flash::image::{Contents, FlashAddr, Half, Mac, RomRecipe};
use cx3flash::job::{self, IdentityChange, JobError, WriteOutcome};
use cx3flash::plan::BurnOptions;
use cx3flash::sim::{BootOutcome, CardSpec, SimCard, SimPart};
use engine::{Points, Tally, sweep};
use std::path::Path;
use world::{Bench, small_cx3, small_pro};

type Job<'a> = &'a dyn Fn(&SimCard) -> Result<WriteOutcome, JobError>;

fn scratch() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

fn identity_set(card: &SimCard) -> Result<WriteOutcome, JobError> {
    identity_set_to(card, 0x10)
}

fn identity_set_to(card: &SimCard, last: u64) -> Result<WriteOutcome, JobError> {
    let dir = scratch();
    let mut device = job::open_sim(card, "sim")?;
    let change = IdentityChange {
        macs: Some([Mac(0x0002_C9AA_0000 | last), Mac(0x0002_C9AA_0001 | last)]),
        vsd: Some(b"rack 9".to_vec()),
        ..IdentityChange::default()
    };
    job::identity_set(&mut device, &change, dir.path(), &mut |_| true, &mut ())
}

/// Larger than the one in the image, so that all behind it moves.
fn rom_write(card: &SimCard, device_id: u16) -> Result<WriteOutcome, JobError> {
    let dir = scratch();
    let file = dir.path().join("new.rom");
    let rom = RomRecipe::pxe((3, 4, 760), device_id, 0x2800);
    std::fs::write(&file, rom.build().unwrap()).unwrap();
    let rom = job::read_rom(&file)?;
    let mut device = job::open_sim(card, "sim")?;
    job::rom_write(&mut device, &rom, dir.path(), &mut |_| true, &mut ())
}

fn rom_remove(card: &SimCard) -> Result<WriteOutcome, JobError> {
    let dir = scratch();
    let mut device = job::open_sim(card, "sim")?;
    job::rom_remove(&mut device, dir.path(), &mut |_| true, &mut ())
}

fn config_reset(card: &SimCard) -> Result<WriteOutcome, JobError> {
    let dir = scratch();
    let mut device = job::open_sim(card, "sim")?;
    job::config_reset(&mut device, dir.path(), &mut |_| true, &mut ())
}

fn pro() -> Bench {
    let recipe = small_pro("2.42.5000");
    Bench::failsafe(&recipe, Half::Even, true, &recipe)
}

fn cx3() -> Bench {
    let recipe = small_cx3("2.42.5000");
    Bench::non_failsafe(&recipe, &recipe)
}

/// Images that would start, under both preferences of the boot ROM; each must be whole.
fn starts(card: &SimCard, op: u64) -> Option<[Vec<u8>; 2]> {
    let outcomes = card.boot_outcomes();
    let image = |outcome: &BootOutcome| {
        let BootOutcome::Image { start, .. } = outcome else {
            return None;
        };
        let found = Contents::from_dump(&card.flash(), FlashAddr(start.0)).ok()?;
        assert!(
            found.image().is_sound(),
            "op {op}: a damaged image starts: {:?}",
            found.image().findings
        );
        Some(found.bytes().to_vec())
    };
    Some([
        image(&outcomes.lowest_first)?,
        image(&outcomes.highest_first)?,
    ])
}

/// The job again completes, and both preferences then start the image from after.
fn completes(card: &SimCard, op: u64, job: Job<'_>, after: &[u8]) {
    job(card).unwrap_or_else(|e| panic!("op {op}: again: {e}"));
    let images = starts(card, op).unwrap_or_else(|| panic!("op {op}: nothing starts"));
    assert!(images.iter().all(|i| i == after), "op {op}: not completed");
    assert_eq!(card.misuse(), [], "op {op}");
    assert!(
        card.semaphores_held().is_empty(),
        "op {op}: a semaphore stays"
    );
    // Once more has nothing to do; looked at now and then, for it costs as much as the job.
    if op.is_multiple_of(16) {
        let mutations = card.mutations();
        let again = job(card).unwrap();
        assert!(again.nothing_to_do, "op {op}: never done");
        assert_eq!(card.mutations(), mutations, "op {op}");
    }
}

/// Cut a job that makes another image of the card's own.
fn cut(name: &str, bench: &Bench, failsafe: bool, job: Job<'_>) -> Tally {
    let card = &bench.card;
    let before = starts(card, 0).unwrap()[0].clone();
    let done = card.fork();
    job(&done).unwrap();
    let after = starts(&done, 0).unwrap()[0].clone();
    assert!(before != after, "{name}: a job without effect");
    let backup = bench.backup(&card.fork());
    let tally = sweep(
        name,
        card,
        Points::Every,
        &|card| job(card).is_ok(),
        &|card, op| {
            let Some(images) = starts(card, op) else {
                assert!(!failsafe, "{name}: op {op}: P1 broken, nothing starts");
                bench
                    .restore(card, &backup)
                    .unwrap_or_else(|e| panic!("{name}: op {op}: restore: {e}"));
                assert!(
                    card.flash() == bench.card.flash(),
                    "{name}: op {op}: restore is not byte for byte"
                );
                completes(card, op, job, &after);
                return "mended".into();
            };
            let names = images.map(|image| match image {
                i if i == before => "old",
                i if i == after => "new",
                _ => panic!("{name}: op {op}: neither the old nor the new image starts"),
            });
            completes(card, op, job, &after);
            match names {
                [low, high] if low == high => low.into(),
                _ => "old and new".into(),
            }
        },
    );
    let met = |what: &str| tally.outcomes.keys().any(|k| k.contains(what));
    // On a non-failsafe card the very first act voids the signature (fs2-image §10.7 #4).
    let wanted: &[&str] = if failsafe {
        &["old", "new"]
    } else {
        &["mended"]
    };
    assert!(wanted.iter().all(|what| met(what)), "{name}");
    tally
}

#[test]
fn identity_set_on_a_failsafe_card() {
    // Back into the half where the same image stood before an earlier change: only the sectors that
    // differ are written, so there are few moments (a whole half is the burns' business).
    let mut bench = pro();
    let card = bench.card.fork();
    identity_set(&card).unwrap();
    card.power_cycle();
    bench.card = card;
    let back = |card: &SimCard| identity_set_to(card, 0x20);
    let tally = cut("identity set, failsafe", &bench, true, &back);
    assert!(tally.points < 60, "{}", tally.points);
}

#[test]
fn identity_set_on_a_non_failsafe_card() {
    let tally = cut("identity set, non-failsafe", &cx3(), false, &identity_set);
    // Few sectors, so few moments.
    assert!(tally.points < 60, "{}", tally.points);
}

#[test]
fn rom_write_on_a_failsafe_card() {
    let job = |card: &SimCard| rom_write(card, 0x1007);
    cut("rom write, failsafe", &pro(), true, &job);
}

#[test]
fn rom_write_on_a_non_failsafe_card() {
    let job = |card: &SimCard| rom_write(card, 0x1003);
    cut("rom write, non-failsafe", &cx3(), false, &job);
}

#[test]
fn rom_remove_on_a_non_failsafe_card() {
    cut("rom remove, non-failsafe", &cx3(), false, &rom_remove);
}

/// The firmware is never touched: at every cut the card starts what it started before.
fn reset_cut(name: &str, bench: &Bench, hw_id: u16, areas: &[std::ops::Range<usize>]) {
    let mut flash = bench.card.flash();
    for area in areas {
        assert!(
            flash[area.clone()].iter().all(|b| *b == 0xFF),
            "{name}: no free place"
        );
        flash[area.clone()].fill(0x5A);
    }
    let spec = CardSpec {
        hw_id,
        revision: u8::from(hw_id == 0x1f5),
        part: SimPart::W25q80,
        ..CardSpec::default()
    };
    let card = SimCard::new(spec, &flash);
    let before = starts(&card, 0).unwrap();
    let outside = |flash: &[u8]| -> Vec<u8> {
        let mut flash = flash.to_vec();
        for area in areas {
            flash[area.clone()].fill(0);
        }
        flash
    };
    let rest = outside(&flash);
    sweep(
        name,
        &card,
        Points::Every,
        &|card| config_reset(card).is_ok(),
        &|card, op| {
            assert_eq!(starts(card, op).as_ref(), Some(&before), "{name}: op {op}");
            assert!(
                outside(&card.flash()) == rest,
                "{name}: op {op}: more than the areas"
            );
            completes(card, op, &config_reset, &before[0]);
            let flash = card.flash();
            for area in areas {
                assert!(
                    flash[area.clone()].iter().all(|b| *b == 0xFF),
                    "{name}: op {op}"
                );
            }
            "boots".into()
        },
    );
}

#[test]
fn config_reset_on_a_failsafe_card() {
    // Logical 0x7E000..0x80000 of each half, chunks of 64 KiB (fs2-image §1.6).
    let areas = [0xE_E000..0xF_0000, 0xF_E000..0x10_0000];
    reset_cut("config reset, failsafe", &pro(), 0x1f7, &areas);
}

#[test]
fn config_reset_on_a_non_failsafe_card() {
    let areas = [0xF_E000..0x10_0000];
    reset_cut("config reset, non-failsafe", &cx3(), 0x1f5, &areas);
}

#[test]
fn restore_on_a_non_failsafe_card() {
    let bench = Bench::non_failsafe(&small_cx3("2.35.5100"), &small_cx3("2.42.5000"));
    let backup = bench.backup(&bench.card.fork());
    let newer = bench.card.fork();
    bench.burn(&newer, &BurnOptions::default()).unwrap();
    newer.power_cycle();
    let after = starts(&newer, 0).unwrap();
    let before = starts(&bench.card, 0).unwrap();
    let want = bench.card.flash();
    let tally = sweep(
        "restore, non-failsafe",
        &newer,
        Points::Every,
        &|card| bench.restore(card, &backup).is_ok(),
        &|card, op| {
            let left = match starts(card, op) {
                None => "nothing starts",
                Some(images) if images == after => "the newer",
                Some(images) if images == before => "the older",
                Some(_) => panic!("op {op}: neither image starts"),
            };
            bench
                .restore(card, &backup)
                .unwrap_or_else(|e| panic!("op {op}: restore again: {e}"));
            assert!(
                card.flash() == want,
                "op {op}: restore is not byte for byte"
            );
            left.into()
        },
    );
    assert!(tally.outcomes.contains_key("nothing starts"));
}
