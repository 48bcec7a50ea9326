//! One gateway read of a job delivers something wrong, once: what arrives is not what the chip
//! sent, and the next read is right.
//!
//! Whatever the read, a job never leaves a wrong backup, never decides on what was misread, and
//! reports what is on the card as it is.

use super::card::{CardLayout, CaseTally, Contact, Opened};
use super::tap::{DataRead, ReadNotes, Spoil};
use crate::support::{deep, every_case};
use crate::sweep::world::SweepSetup;
use cx3flash::flash::Phase;
use cx3flash::job::{Exit, JobError, WriteOutcome};
use cx3flash::plan::PlanReport;
use cx3flash::sim::{BootOutcome, BootOutcomes, Fault, SimCard, WrongRead};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Reads of a stratum that are tried beside its last one, evenly spread; in a deep run twice as many.
const BETWEEN: usize = 1;

const OPCODE_READ: u8 = 0x03;

/// What is read: reads that differ in this are met differently by a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// An id or a status register, by opcode.
    Register(u8),
    Blank,
    Data,
}

/// Every data read of an undisturbed run.
fn reads(start: &SimCard, contact: Contact, job: &dyn Fn(&Opened, &SimCard)) -> Vec<DataRead> {
    let notes = ReadNotes::default();
    let dir = tempfile::tempdir().unwrap();
    let opened = Opened { notes: Some(notes.clone()), ..contact.opened(dir.path(), start) };
    let card = start.fork();
    let before = card.data_reads();
    job(&opened, &card);
    let reads = notes.reads.borrow().clone();
    assert_eq!(reads.len() as u64, card.data_reads() - before);
    reads
}

/// Those to try.
fn chosen(start: &SimCard, reads: &[DataRead]) -> Vec<DataRead> {
    if every_case() {
        return reads.to_vec();
    }
    let flash = start.flash();
    let mut strata: BTreeMap<(Option<Phase>, Content), Vec<DataRead>> = BTreeMap::new();
    for read in reads {
        let content = match (read.opcode, read.at) {
            (OPCODE_READ, Some(at)) => {
                let block = &flash[at as usize..at as usize + 16];
                if block.iter().all(|b| *b == 0xFF) { Content::Blank } else { Content::Data }
            }
            (opcode, _) => Content::Register(opcode),
        };
        strata.entry((read.phase, content)).or_default().push(*read);
    }
    let mut chosen = Vec::new();
    for stratum in strata.values() {
        let last = stratum.len() - 1;
        let between = if deep() { 2 * BETWEEN } else { BETWEEN };
        let places: BTreeSet<usize> = (0..=between).map(|n| n * last / between).collect();
        chosen.extend(places.into_iter().map(|n| stratum[n]));
    }
    chosen
}

/// Tries every kind of wrong read at every chosen read of `job` that `tries` names; `judge` runs the job on the card
/// and names how it ended.
fn sweep(
    name: &str,
    start: &SimCard,
    contact: Contact,
    tries: &dyn Fn(&DataRead) -> bool,
    job: &dyn Fn(&Opened, &SimCard),
    judge: &dyn Fn(&Opened, &SimCard, &str) -> String,
) {
    let name = format!("{name}, {}", contact.name());
    let reads = reads(start, contact, job);
    let tried: Vec<DataRead> = reads.iter().copied().filter(|read| tries(read)).collect();
    let known_dir = tempfile::tempdir().unwrap();
    let known = contact.opened(known_dir.path(), start);
    let mut tally = CaseTally::default();
    for read in chosen(start, &tried) {
        let bit = (read.number.wrapping_mul(37) % 128) as u32;
        let kinds = [WrongRead::Stale, WrongRead::AllOnes, WrongRead::Flipped { bit }];
        for kind in kinds {
            let what = format!("{name}, {kind:?}, {read:x?}");
            let card = start.fork();
            card.inject(Fault::WrongRead {
                after: read.number - 1 - card.data_reads(),
                kind,
                at: None,
            });
            let dir = tempfile::tempdir().unwrap();
            let opened = match contact {
                // What a case adds to the record or withdraws is not there in the next one.
                Contact::Known => known.copied(dir.path()),
                other => other.opened(dir.path(), start),
            };
            let end = judge(&opened, &card, &what);
            assert_ne!(
                opened.verdict().as_deref(),
                Some("contradicted"),
                "{what}: one wrong read decides about chained reads"
            );
            assert_eq!(card.faults(), [], "{what}: never read");
            assert_eq!(card.misuse(), [], "{what}");
            assert!(card.semaphores_held().is_empty(), "{what}");
            tally.count(end);
        }
    }
    tally.print(&format!("wrong read, {name} (of {} reads)", reads.len()));
}

/// Directories that say of themselves that they are a backup.
fn backups_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let dirs = entries.map(|e| e.unwrap().path());
    dirs.filter(|d| d.join("manifest.json").is_file())
        .filter(|d| d.extension().is_none_or(|x| x != "unverified"))
        .collect()
}

pub(super) fn assert_backups_hold(flash: &[u8], dir: &Path, what: &str) -> usize {
    let backups = backups_in(dir);
    for backup in &backups {
        let held = std::fs::read(backup.join("flash.bin")).unwrap();
        assert!(held == flash, "{what}: a wrong backup in {}", backup.display());
    }
    backups.len()
}

/// Class and text of an error, without the places it names.
pub(super) fn ended(error: &JobError) -> String {
    let text = error.to_string();
    let words: Vec<&str> = text.split(' ').filter(|w| !w.starts_with("0x")).collect();
    format!("{:?} ({})", error.outcome().exit, words.join(" "))
}

fn starts(outcome: &BootOutcome) -> bool {
    matches!(outcome, BootOutcome::Image { .. })
}

fn each(outcomes: &BootOutcomes) -> [&BootOutcome; 2] {
    [&outcomes.lowest_first, &outcomes.highest_first]
}

/// The parts of a plan that do not name a directory.
fn decided(plan: &PlanReport) -> PlanReport {
    PlanReport { warnings: Vec::new(), ..plan.clone() }
}

struct Burned {
    plan: PlanReport,
    flash: Vec<u8>,
}

impl Burned {
    /// What a burn without a wrong read decides and leaves.
    fn undisturbed(bench: &SweepSetup) -> Self {
        let card = bench.card.fork();
        let backups = bench.scratch();
        let outcome = Opened::default().burn(bench, &card, backups.path());
        Self { plan: outcome.unwrap().plan, flash: card.flash() }
    }
}

/// What a burn reports is what is on the card.
fn judge_burn(
    bench: &SweepSetup,
    undisturbed: &Burned,
    card: &SimCard,
    backups: &Path,
    result: &Result<WriteOutcome, JobError>,
    what: &str,
) -> String {
    let before = bench.card.flash();
    let after = card.flash();
    let backed_up = assert_backups_hold(&before, backups, what);
    match result {
        Ok(outcome) => {
            assert_eq!(
                decided(&outcome.plan),
                decided(&undisturbed.plan),
                "{what}: another plan was executed"
            );
            assert!(!outcome.nothing_to_do, "{what}");
            assert!(after == undisturbed.flash, "{what}: another flash");
            assert_eq!(backed_up, 1, "{what}: no backup");
            "done".to_owned()
        }
        Err(error) => {
            assert_true_outcome(&bench.card, card, error, what);
            ended(error)
        }
    }
}

/// The exit code of a job that failed is what is on the card; `start` is the card before.
pub(super) fn assert_true_outcome(start: &SimCard, card: &SimCard, error: &JobError, what: &str) {
    let (before, after) = (start.flash(), card.flash());
    let class = error.outcome().exit;
    let what = format!("{what}: {error}");
    let old = start.boot_outcomes();
    let now = card.boot_outcomes();
    let boots_new = each(&now).iter().zip(each(&old)).any(|(a, b)| *a != b)
        && each(&now).iter().all(|o| starts(o));
    match class {
        Exit::StillBoots => {
            assert!(each(&now).iter().all(|o| starts(o)), "{what}: nothing boots");
        }
        Exit::NeedsRecover => {
            assert!(!each(&now).iter().any(|o| starts(o)), "{what}: the card boots");
        }
        Exit::OutcomeUnknown => assert!(after != before, "{what}: nothing was changed"),
        _ => {
            assert!(after == before, "{what}: exit class {class:?}");
            assert!(!boots_new, "{what}: exit class {class:?}");
        }
    }
}

fn burn(layout: CardLayout, contact: Contact) {
    let bench = layout.bench();
    let job = |opened: &Opened, card: &SimCard| {
        let backups = bench.scratch();
        opened.burn(&bench, card, backups.path()).unwrap();
    };
    let undisturbed = Burned::undisturbed(&bench);
    let name = format!("burn, {}", layout.name());
    let judge = |opened: &Opened, card: &SimCard, what: &str| {
        let backups = bench.scratch();
        let result = opened.burn(&bench, card, backups.path());
        judge_burn(&bench, &undisturbed, card, backups.path(), &result, what)
    };
    // The flash of a card without a serial number: see `burn_with_every_block_wrong_once`.
    let tries = |read: &DataRead| contact != Contact::NoSerial || read.at.is_none();
    sweep(&name, &bench.card, contact, &tries, &job, &judge);
}

/// Blocks between two that are read wrongly in one run. Coprime to the blocks of a sector.
const APART: u32 = 5;

/// Every block that a burn reads, in every phase in which it is read, is read wrongly at first: one
/// in [`APART`] of them in each run.
fn burn_with_every_block_wrong_once(layout: CardLayout) {
    let bench = layout.bench();
    let undisturbed = Burned::undisturbed(&bench);
    let job = |opened: &Opened, card: &SimCard| {
        let backups = bench.scratch();
        opened.burn(&bench, card, backups.path()).unwrap();
    };
    let mut blocks: BTreeMap<Option<Phase>, BTreeSet<u32>> = BTreeMap::new();
    for read in reads(&bench.card, Contact::NoSerial, &job) {
        if let Some(at) = read.at {
            blocks.entry(read.phase).or_default().insert(at);
        }
    }
    let mut tally = CaseTally::default();
    let mut total = 0;
    for (phase, blocks) in &blocks {
        let kinds = [WrongRead::Stale, WrongRead::AllOnes, WrongRead::Flipped { bit: 77 }];
        for kind in kinds {
            let mut spoiled = BTreeSet::new();
            for from in 0..APART {
                let notes = ReadNotes::default();
                let opened = Opened {
                    notes: Some(notes.clone()),
                    spoil: Some(Spoil { phase: *phase, every: APART, from, kind }),
                    ..Opened::default()
                };
                let card = bench.card.fork();
                let backups = bench.scratch();
                let result = opened.burn(&bench, &card, backups.path());
                let what = format!("{} {kind:?} in {phase:?}, {from}", layout.name());
                let end = judge_burn(&bench, &undisturbed, &card, backups.path(), &result, &what);
                assert_eq!(card.misuse(), [], "{what}");
                tally.count(end);
                spoiled.append(&mut notes.spoiled.borrow_mut());
            }
            let missed = blocks.difference(&spoiled).count();
            assert_eq!(missed, 0, "{kind:?} in {phase:?}: blocks never read wrongly");
            total += blocks.len();
        }
    }
    tally.print(&format!(
        "every block wrong once, {}, {total} wrong reads in the runs",
        layout.name()
    ));
}

#[test]
fn a_burn_of_a_failsafe_card_survives_a_wrong_first_reading_of_every_block() {
    burn_with_every_block_wrong_once(CardLayout::Failsafe);
}

#[test]
fn a_burn_of_a_non_failsafe_card_survives_a_wrong_first_reading_of_every_block() {
    burn_with_every_block_wrong_once(CardLayout::NonFailsafe);
}

#[test]
fn a_burn_of_a_failsafe_card_survives_any_wrong_read() {
    burn(CardLayout::Failsafe, Contact::NoSerial);
}

#[test]
fn a_burn_of_a_non_failsafe_card_survives_any_wrong_read() {
    burn(CardLayout::NonFailsafe, Contact::NoSerial);
}

#[test]
fn a_burn_of_a_failsafe_card_at_first_contact_survives_any_wrong_read() {
    burn(CardLayout::Failsafe, Contact::First);
}

#[test]
fn a_burn_of_a_known_non_failsafe_card_survives_any_wrong_read() {
    burn(CardLayout::NonFailsafe, Contact::Known);
}

fn backup(layout: CardLayout, contact: Contact) {
    let bench = layout.bench();
    let flash = bench.card.flash();
    let job = |opened: &Opened, card: &SimCard| {
        let out = bench.scratch();
        opened.backup(card, out.path()).unwrap();
    };
    let judge = |opened: &Opened, card: &SimCard, what: &str| {
        let out = bench.scratch();
        let result = opened.backup(card, out.path());
        let backups = assert_backups_hold(&flash, out.path(), what);
        assert!(card.flash() == flash, "{what}");
        match result {
            Ok(_) => {
                assert_eq!(backups, 1, "{what}");
                "done".into()
            }
            Err(error) => {
                assert_eq!(backups, 0, "{what}: {error}");
                ended(&error)
            }
        }
    };
    let name = format!("backup, {}", layout.name());
    sweep(&name, &bench.card, contact, &|_| true, &job, &judge);
}

#[test]
fn a_backup_of_a_failsafe_card_survives_any_wrong_read() {
    backup(CardLayout::Failsafe, Contact::Known);
}

#[test]
fn a_backup_of_a_non_failsafe_card_survives_any_wrong_read() {
    backup(CardLayout::NonFailsafe, Contact::First);
}

fn verify(layout: CardLayout, contact: Contact) {
    let bench = layout.bench();
    let job = |opened: &Opened, card: &SimCard| assert!(opened.verify(card).unwrap().ok);
    let judge = |opened: &Opened, card: &SimCard, what: &str| match opened.verify(card) {
        Ok(outcome) => {
            assert!(outcome.ok, "{what}: a valid image is reported damaged");
            "done".into()
        }
        Err(error) => ended(&error),
    };
    let name = format!("verify, {}", layout.name());
    sweep(&name, &bench.card, contact, &|_| true, &job, &judge);
}

#[test]
fn verify_of_a_valid_image_survives_any_wrong_read() {
    verify(CardLayout::Failsafe, Contact::Known);
    verify(CardLayout::NonFailsafe, Contact::NoSerial);
}
