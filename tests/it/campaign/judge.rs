//! Compares what a job reports with what the simulated card holds.

use super::make::{CampaignCase, CampaignJob};
use crate::support::flint::witness;
use cx3flash::image::{Contents, FlashAddr, Version};
use cx3flash::job::{Activation, Exit, JobError, WriteOutcome};
use cx3flash::plan::StartKind;
use cx3flash::sim::{
    BootOutcome, BootOutcomes, BootRefusal, CardSpec, Fault, FirmwareDefect, SimCard,
};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a job reported.
pub(super) struct Report {
    pub(super) exit: Exit,
    pub(super) text: String,
    pub(super) wrote: Option<WriteOutcome>,
    pub(super) backup: Option<PathBuf>,
    /// `verify` called the card's images valid.
    pub(super) valid: Option<bool>,
    pub(super) activation: Option<Activation>,
    /// A trial did not show the new firmware; the old one was seen running after it.
    pub(super) old_runs: Option<bool>,
}

impl Report {
    pub(super) fn new(exit: Exit, text: String) -> Self {
        let (wrote, activation, old_runs) = (None, None, None);
        Self { exit, text, wrote, backup: None, valid: None, activation, old_runs }
    }

    pub(super) fn failed(error: &JobError) -> Self {
        let mut text = error.to_string();
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            text = format!("{text}: {source}");
            cause = source;
        }
        let old_runs = match error {
            JobError::NotStarted { old_runs, .. } => Some(*old_runs),
            _ => None,
        };
        Self { old_runs, ..Self::new(error.outcome().exit, text) }
    }
}

/// The card before a job.
pub(super) struct Before {
    flash: Vec<u8>,
    marginal: Vec<(u32, u8)>,
    outcomes: BootOutcomes,
    running: BootOutcome,
    mutations: u64,
    misuse: usize,
    firmware_changes: usize,
}

impl Before {
    pub(super) fn of(card: &SimCard) -> Self {
        Self {
            flash: card.flash(),
            marginal: card.marginal_cells(),
            outcomes: card.boot_outcomes(),
            running: card.running(),
            mutations: card.mutations(),
            misuse: card.misuse().len(),
            firmware_changes: card.firmware_changes().len(),
        }
    }
}

/// The boot ROM takes an image, whatever its firmware does then.
fn boots(outcomes: &BootOutcomes) -> [bool; 2] {
    [&outcomes.lowest_first, &outcomes.highest_first].map(|o| *o != BootOutcome::Recovery)
}

/// It boots under a boot ROM that compares the full image CRC too: else nothing is promised.
fn boots_strictly(card: &SimCard) -> bool {
    let spec = CardSpec { ignores_full_crc: false, ..card.spec() };
    boots(&SimCard::new(spec, &card.flash()).boot_outcomes()).contains(&true)
}

/// Differs outside of what the firmware has written, and of cells that read differently each time.
fn differs(before: &Before, flash: &[u8], ignored: &[Range<usize>]) -> Option<usize> {
    (0..flash.len()).find(|at| {
        before.flash[*at] != flash[*at]
            && !ignored.iter().any(|range| range.contains(at))
            && !before.marginal.iter().any(|(cell, _)| *cell as usize == *at)
    })
}

/// The firmware that was started does not run.
fn hangs(card: &SimCard) -> bool {
    matches!(card.running(), BootOutcome::Hung { .. })
}

/// What a job reports of a trial is what the card runs.
fn tried(scenario: &CampaignCase, card: &SimCard, report: &Report) -> Result<(), String> {
    let start = report.wrote.as_ref().and_then(|wrote| wrote.first_start.as_ref());
    let now = card.running();
    // Firmware that dies may do so behind the look.
    let dies = matches!(scenario.defect, Some(FirmwareDefect::Dies { .. }));
    let runs = matches!(now, BootOutcome::Image { .. }) || dies;
    let is = |wanted| matches!(now, BootOutcome::Image { version, .. } | BootOutcome::Hung { version, .. } if Some(version) == wanted);
    let right = match (start.and_then(|start| Some((start, start.new_runs?))), report.old_runs) {
        (_, Some(true)) => match now {
            BootOutcome::Image { version, .. } => {
                report.text.contains(&format!("runs {version} as before"))
            }
            _ => false,
        },
        (Some((start, true)), _) => runs && is(start.seen),
        (Some((start, false)), _) => start.kind != StartKind::Trial && scenario.defect.is_some(),
        _ => true,
    };
    match right {
        true => Ok(()),
        false => Err(format!("{now:?} runs: {start:?}")),
    }
}

/// What a job reports of an activation is what the card runs.
fn activated(scenario: &CampaignCase, card: &SimCard, seen: &Activation) -> Result<(), String> {
    let (BootOutcome::Image { version: runs, .. } | BootOutcome::Hung { version: runs, .. }) =
        card.running()
    else {
        return if seen.after.is_none() { Ok(()) } else { Err("no firmware runs".into()) };
    };
    let fault = scenario.defect.map(|defect| scenario.firmware(defect));
    let defect = scenario.defect.filter(|_| {
        card.faults().iter().any(|f| Some(f) == fault.as_ref())
            && matches!(fault, Some(Fault::Firmware { fw_version, .. }) if fw_version == runs)
    });
    let waits = defect == Some(FirmwareDefect::NeedsDriver);
    if seen.after.is_some_and(|after| after != runs || waits) {
        return Err(format!("{runs} runs, with {defect:?}"));
    }
    if seen.confirmed == seen.detail.is_some() {
        return Err("a doubt has no reason".into());
    }
    if seen.confirmed && (seen.after != Some(runs) || seen.flashed != Some(runs) || hangs(card)) {
        return Err(format!("{runs} is confirmed, with {defect:?}"));
    }
    if !seen.confirmed && defect.is_none() {
        return Err(format!("{runs} runs, and is not confirmed"));
    }
    Ok(())
}

/// A backup holds what the card held.
fn backup_is_right(dir: &Path, before: &Before, own: &[Range<usize>]) -> Result<(), String> {
    let held = std::fs::read(dir.join("flash.bin")).map_err(|e| format!("no backup: {e}"))?;
    match differs(before, &held, own) {
        Some(at) => Err(format!("the backup is wrong at {at:#x}")),
        None => Ok(()),
    }
}

pub(super) fn judge(
    scenario: &CampaignCase,
    before: &Before,
    card: &SimCard,
    job: &CampaignJob,
    faults: &[Fault],
    report: &Report,
    backups: &Path,
) -> Result<(), String> {
    let any = |test: fn(&Fault) -> bool| faults.iter().any(test);
    let resets =
        any(|f| matches!(f, Fault::Reset { .. } | Fault::Usurped { .. } | Fault::Suspend { .. }));
    // Wherever it went: a backup may hold what was there before or what is there now.
    let own = card.firmware_changes().split_off(before.firmware_changes);
    let flash = card.flash();
    let changed = differs(before, &flash, &own);
    let now = card.boot_outcomes();
    let boots_now = boots(&now);
    match report.exit {
        Exit::Done => done(before, card, job, report, &own)?,
        Exit::NothingToDo => {
            unchanged(changed)?;
            let promised =
                |wrote: &WriteOutcome| wrote.boots.as_ref().is_some_and(|b| b.start.is_some());
            if report.wrote.as_ref().is_some_and(promised) && boots_now != [true; 2] {
                return Err(format!("nothing to do, and {now:?} boots"));
            }
        }
        Exit::Failed | Exit::Refused | Exit::NotReady | Exit::NoCard => unchanged(changed)?,
        Exit::StillBoots => {
            if boots_now != [true; 2] {
                return Err(format!("{now:?} boots: {:?}", card.boot_refusals()));
            }
            // Where nothing answers any more, what is on the flash is all that is known.
            let dead = matches!(scenario.defect, Some(FirmwareDefect::Dies { silent: true, .. }));
            if !resets && !dead && hangs(card) {
                return Err("what was started hangs".into());
            }
            let unsure = ["both images are complete", "whether the new image is still one"];
            let alone = !unsure.iter().any(|text| report.text.contains(text));
            if report.old_runs.is_some() && alone && now.lowest_first != now.highest_first {
                return Err(format!("the image that was not started stays: {now:?}"));
            }
        }
        Exit::NeedsRecover => {
            if boots_now.contains(&true) && boots_strictly(card) && !hangs(card) {
                return Err(format!("{now:?} boots"));
            }
        }
        Exit::OutcomeUnknown => {
            if card.mutations() == before.mutations {
                return Err("nothing was sent to the flash".into());
            }
        }
        other => return Err(format!("{other:?} cannot be")),
    }
    if !resets && !card.is_silent() {
        if let Some(seen) = &report.activation {
            activated(scenario, card, seen)?;
        }
        tried(scenario, card, report)?;
    }
    // P1: power cuts alone never take the last image of a failsafe card.
    let cuts = |f: &Fault| matches!(f, Fault::PowerCut { .. } | Fault::MarginalCut { .. });
    let alone = faults.iter().all(cuts) && !matches!(job, CampaignJob::Restore(_));
    if scenario.failsafe && alone && boots(&before.outcomes) == [true; 2] && boots_now != [true; 2]
    {
        return Err(format!("P1: {now:?} boots: {:?}", card.boot_refusals()));
    }
    // Every backup is what the card held when it was made; this round's are the newest.
    if let Some(dir) = report.backup.as_deref() {
        backup_is_right(dir, before, &own)?;
    }
    if let Some(made) = report.wrote.as_ref().and_then(|w| w.backup.as_ref()) {
        backup_is_right(&made.dir, before, &own)?;
    }
    let unsure = backups_in(backups).into_iter().filter(|d| !d.join("seen").is_file());
    for dir in unsure {
        backup_is_right(&dir, before, &own)?;
        let _ = std::fs::write(dir.join("seen"), b"");
    }
    if let Some(valid) = report.valid
        && before.marginal.is_empty()
        && valid != boots_now.contains(&true)
        && valid
    {
        return Err(format!("verify calls it valid, and {now:?} boots"));
    }
    let held = any(|f| matches!(f, Fault::SemaphoreHeld { .. } | Fault::StuckBusy { .. }));
    // A read of semaphore 40 that was not answered may have taken it; so may a tool that shows nothing.
    let not_ours = report.exit == Exit::NotReady
        && any(|f| matches!(f, Fault::WrongRegister { .. }))
        && card.semaphores_held() == [40];
    // Firmware that hangs keeps the one it took.
    let firmware_has = hangs(card) && card.semaphores_held() == [63];
    let held = held || firmware_has;
    if !card.is_silent() && !held && !resets && !not_ours && !card.semaphores_held().is_empty() {
        return Err(format!("semaphores {:?} stay taken", card.semaphores_held()));
    }
    // Bits of a page that was not erased are not the driver's doing where an operation went wrong.
    let wrong = any(|f| {
        matches!(
            f,
            Fault::FlippedBit { .. }
                | Fault::LyingWrite { .. }
                | Fault::Misdirected { .. }
                | Fault::BrownOut { .. }
                | Fault::LostWrite { .. }
                | Fault::DoubledWrite { .. }
        )
    });
    let mut misuse = card.misuse().split_off(before.misuse);
    misuse.retain(|m| {
        !(wrong && ["without erase", "without write enable"].iter().any(|w| m.what.contains(w)))
    });
    if !resets && let Some(misuse) = misuse.first() {
        return Err(format!("misuse: {misuse:?}"));
    }
    if changed.is_some() {
        ask_mstflint(scenario, card, report.exit)?;
    }
    Ok(())
}

fn unchanged(changed: Option<usize>) -> Result<(), String> {
    match changed {
        Some(at) => Err(format!("the flash changed at {at:#x}")),
        None => Ok(()),
    }
}

fn backups_in(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let dirs = entries.filter_map(|e| Some(e.ok()?.path()));
    dirs.filter(|d| d.join("manifest.json").is_file())
        .filter(|d| d.extension().is_none_or(|x| x != "unverified"))
        .collect()
}

/// A job that reports success.
fn done(
    before: &Before,
    card: &SimCard,
    job: &CampaignJob,
    report: &Report,
    own: &[Range<usize>],
) -> Result<(), String> {
    let flash = card.flash();
    let Some(wrote) = &report.wrote else {
        // It writes nothing, or settings.
        return unchanged(differs(before, &flash, own));
    };
    let now = card.boot_outcomes();
    if *job == CampaignJob::ConfigReset {
        let booted = boots(&before.outcomes) != [true; 2] || boots(&now) == [true; 2];
        return if booted { Ok(()) } else { Err(format!("{now:?} boots")) };
    }
    // What a backup holds may be an image of which nothing is promised.
    let restored = matches!(job, CampaignJob::Restore(_));
    let promises = wrote.boots.as_ref().is_some_and(|boots| boots.start.is_some());
    let boots = wrote.boots.clone().unwrap_or_default();
    let outcomes = [&now.lowest_first, &now.highest_first];
    let counted = match restored && outcomes[0] != outcomes[1] {
        true => counted_of_two(before, &now, &flash, boots.start),
        false => outcomes.to_vec(),
    };
    if promises && counted.is_empty() {
        return Err(format!("{boots:?} is reported, {now:?} boots"));
    }
    for outcome in outcomes.into_iter().filter(|_| promises || !restored) {
        let Some((start, version)) = loaded(outcome) else {
            return Err(format!("{now:?} boots: {:?}", card.boot_refusals()));
        };
        if !counted.contains(&outcome) {
            continue;
        }
        if boots.version != Some(version) || boots.start != Some(start) {
            return Err(format!("{boots:?} is reported, {outcome:?} boots"));
        }
        let image = Contents::from_dump(&flash, start).map_err(|e| e.to_string())?;
        let digest: String =
            Sha256::digest(image.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        if wrote.image_sha256.as_ref().is_some_and(|wanted| *wanted != digest) {
            return Err(format!("another image than the reported one boots at {:#x}", start.0));
        }
    }
    if let CampaignJob::Restore(path) = job {
        let file = if path.is_dir() { path.join("flash.bin") } else { path.clone() };
        let wanted = std::fs::read(file).map_err(|e| e.to_string())?;
        let differ = (0..flash.len())
            .find(|at| flash[*at] != wanted[*at] && !own.iter().any(|range| range.contains(at)));
        if let Some(at) = differ {
            return Err(format!("the restored flash differs from the backup at {at:#x}"));
        }
    }
    if let Some((at, _)) = card
        .marginal_cells()
        .iter()
        .find(|(at, _)| !before.marginal.iter().any(|(old, _)| old == at))
    {
        return Err(format!("a cell at {at:#x} is left between two states"));
    }
    Ok(())
}

/// Where the firmware that was loaded starts, and its version.
fn loaded(outcome: &BootOutcome) -> Option<(FlashAddr, Version)> {
    match *outcome {
        BootOutcome::Image { start, version } | BootOutcome::Hung { start, version } => {
            Some((start, version))
        }
        _ => None,
    }
}

/// A restore leaves both images of its backup. Where the card held the same two, the one counts that ran; else
/// the one that is reported.
fn counted_of_two<'o>(
    before: &Before,
    now: &'o BootOutcomes,
    flash: &[u8],
    reported: Option<FlashAddr>,
) -> Vec<&'o BootOutcome> {
    let outcomes = [&now.lowest_first, &now.highest_first];
    let starts = outcomes.map(|outcome| loaded(outcome).map(|(start, _)| start));
    let bytes = |flash: &[u8], start: Option<FlashAddr>| {
        Contents::from_dump(flash, start?).ok().map(|image| image.bytes().to_vec())
    };
    let same = starts.iter().all(|start| bytes(&before.flash, *start) == bytes(flash, *start));
    let versions = outcomes.map(|outcome| loaded(outcome).map(|(_, version)| version));
    let ran = loaded(&before.running).map(|(start, _)| start);
    let wanted = match same && versions[0] != versions[1] && starts.contains(&ran) {
        true => ran,
        false => reported,
    };
    outcomes.into_iter().zip(starts).filter(|(_, start)| *start == wanted).map(|(o, _)| o).collect()
}

fn refused_for_full_crc(card: &SimCard) -> bool {
    card.boot_refusals().iter().any(|(_, why)| *why == BootRefusal::FullCrc)
}

/// mstflint takes the lowest image; where it is installed, its verdict on the flash must be ours.
fn ask_mstflint(scenario: &CampaignCase, card: &SimCard, exit: Exit) -> Result<(), String> {
    let wanted = match exit {
        Exit::Done | Exit::StillBoots => true,
        // mstflint accepts a wrong full CRC.
        Exit::NeedsRecover if boots(&card.boot_outcomes()).contains(&true) => return Ok(()),
        Exit::NeedsRecover if refused_for_full_crc(card) => return Ok(()),
        Exit::NeedsRecover => false,
        _ => return Ok(()),
    };
    let (Some(flint), true) = (witness(), card.marginal_cells().is_empty()) else {
        return Ok(());
    };
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = dir.path().join("flash.bin");
    std::fs::write(&file, card.flash()).map_err(|e| e.to_string())?;
    let flags: &[&str] = if scenario.failsafe { &["-striped_image"] } else { &[] };
    let run = flint.run(&file, flags, &["verify"]);
    // With a damaged image below a valid one it stops at the damaged one.
    let lowest = card.boot_refusals().is_empty();
    if (run.code == 0) != wanted && (lowest || !wanted) {
        return Err(format!("mstflint's verdict on the flash: {} {}", run.code, run.text));
    }
    Ok(())
}
