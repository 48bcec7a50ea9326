//! Steps of every writing job: snapshot, plan, confirm, backup, the typestate, a reading of what would
//! boot, activation.

use super::activate::activate_after;
use super::assumptions::{judge, quick};
use super::backup::{confirm as confirm_backup, remember, reserve, store};
use super::session::{CardFacts, serial_of, snapshot};
use super::settle::{LeftProbe, after_change, settle, version_of, what_boots};
use super::store::digest;
use super::{
    Activation, Backup, BootReport, CardReport, Device, ImageFile, JobError, RunningNow, WriteJob,
    WriteRequest,
};
use crate::escape;
use crate::flash::{Boots, Events, FlashSource, Locked, Phase, Stopped};
use crate::host::Mark;
use crate::image::FlashAddr;
use crate::plan::{BootEvidence, BurnOptions, Pass, Plan, PlanReport};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Asked once, with the plan that will be carried out; `false` ends the job with
/// [`JobError::Declined`].
pub type Confirm<'a> = &'a mut dyn FnMut(&PlanReport) -> bool;

/// Outcome of every job that writes to the card.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct WriteOutcome {
    /// The card before the job.
    pub card: CardReport,
    pub job: WriteJob,
    /// The plan, every check listed.
    pub plan: PlanReport,
    /// True: the card held exactly this already, nothing was erased or programmed (exit 2).
    pub nothing_to_do: bool,
    /// The backup made before the first erase; `None` when none was made.
    pub backup: Option<Backup>,
    /// Where the job stopped; `None` when it did not stop between the backup and the commit.
    pub stopped: Option<StopReport>,
    /// What would boot now; `None` when it was not read after the plan.
    pub boots: Option<BootReport>,
    /// The reset and what runs after it, if it was asked for.
    pub activation: Option<Activation>,
    /// What runs at the end, where no reset was asked for; `None` when it was not read.
    pub running: Option<RunningNow>,
    /// SHA-256 of the image as it stands on the card, lower-case hex; `None` for jobs that write no image.
    pub image_sha256: Option<String>,
}

/// Where a job stopped.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub struct StopReport {
    pub phase: Phase,
    /// Flash address of the sector or page.
    pub at: Option<FlashAddr>,
    /// What the flash would boot.
    pub left: Boots,
    /// Something was erased or programmed.
    pub touched: bool,
}

/// Answer of `plan`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct PlanOutcome {
    pub card: CardReport,
    /// Path of the image file.
    #[serde(rename = "file", serialize_with = "crate::escape::serialize_path")]
    #[schemars(with = "String")]
    pub image: PathBuf,
    /// SHA-256 of the image file, lower-case hex.
    pub image_sha256: String,
    pub plan: PlanReport,
}

/// Reads the whole flash and plans a burn. Changes nothing; a refusal is no error but in the plan.
pub fn plan(
    device: &mut Device,
    image: &ImageFile,
    options: &BurnOptions,
    events: &mut dyn Events,
) -> Result<PlanOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let (card, _) = snapshot(&facts, &mut locked, Phase::Read, events)?;
    let card_report = facts.report(&locked);
    drop(locked);
    let mut plan = image.plan(&card, options);
    judge(device, &facts, &card, &mut plan);
    Ok(PlanOutcome {
        card: card_report,
        image: image.path.clone(),
        image_sha256: image.sha256.clone(),
        plan: plan.report,
    })
}

/// Runs a writing job (P1 to P5, P7). A backup is made in a new directory inside `backup_dir`; with
/// `activate` the new firmware is loaded afterwards.
/// [`JobError::outcome`] reports what is left on the card.
pub fn write(
    device: &mut Device,
    request: &WriteRequest<'_>,
    backup_dir: &Path,
    activate: bool,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    write_reporting(device, request, backup_dir, activate, confirm, events, &mut None)
}

/// As [`write()`]. `known` gets what is known of the outcome, also when the job fails; it stays `None` when
/// there is no plan yet.
pub fn write_reporting(
    device: &mut Device,
    request: &WriteRequest<'_>,
    backup_dir: &Path,
    activate: bool,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
    known: &mut Option<WriteOutcome>,
) -> Result<WriteOutcome, JobError> {
    let (job, decide) = request.planner();
    let span = tracing::info_span!("write", ?job, device = %device.name);
    let _inside = span.enter();
    let facts = CardFacts::of(device)?;
    // The semaphores are free while a person thinks and while files are synced: mlx4_core gives up
    // on semaphore 63 after 10 s.
    let mut locked = device.lock()?;
    let described = facts.report(&locked);
    let (card, unsteady) = snapshot(&facts, &mut locked, Phase::Read, events)?;
    drop(locked);
    quick(device, &facts, &card);
    let mut plan = decide(&card);
    judge(device, &facts, &card, &mut plan);
    log_plan(&plan);
    let known = known.insert(WriteOutcome {
        card: described,
        job,
        plan: plan.report,
        nothing_to_do: false,
        backup: None,
        stopped: None,
        boots: None,
        activation: None,
        running: None,
        image_sha256: None,
    });
    if known.plan.refused {
        return Err(JobError::Refused { report: Box::new(known.plan.clone()) });
    }
    let Some(action) = plan.action else {
        known.nothing_to_do = true;
        known.boots = Some(card.boots());
        return Ok(known.clone());
    };
    // The directory is made before the question: one that cannot be written is an error now, and the
    // question can name it.
    let place = reserve(&card, backup_dir)?;
    let line = format!("The backup goes to {}.", escape::path(place.path()));
    known.plan.warnings.push(line);
    if !confirm(&known.plan) {
        return Err(JobError::Declined);
    }
    let chip = card.chip;
    let expected = action.boots;
    // Where no image is written, the plan's own evidence holds.
    let evidence = match action.contents {
        Some(_) => expected.start.map_or(BootEvidence::Nothing, BootEvidence::Kept),
        None => card.evidence(),
    };
    let probe = LeftProbe::new(&card, action.contents.as_ref());
    let written = version_of(action.contents.as_ref());
    let journal = device.borrowed();
    let mut backup = store(place, &facts, &card, unsteady, events)?;
    backup.announce(events);
    let (locked, chains) = confirm_backup(&mut backup, device, &facts, &card, events)?;
    known.backup = Some(backup.clone());
    if let Some(journal) = journal {
        if let Some(serial) = action.contents.as_ref().and_then(|c| serial_of(c.image())) {
            journal.note(Mark::NewSerial(serial));
        }
        journal.mark(Mark::FlashTouched)?;
    }
    let ended = carry_out(locked, action.passes, &probe, events)
        .map(|mut locked| what_boots(&mut locked.source(), chip, evidence, &expected));
    remember(chains, &facts, &card);
    drop(card);
    let first = match ended {
        Ok(first) => first,
        Err(stopped) => {
            let stopped = left_behind(device, stopped, &probe);
            known.stopped = Some(StopReport {
                phase: stopped.phase,
                at: stopped.at,
                left: stopped.boots,
                touched: stopped.touched,
            });
            return Err(JobError::Stopped { stopped, backup: Some(backup.dir) });
        }
    };
    let sure = |found: &BootReport| *found == expected;
    let boots = match first {
        Ok(found) if sure(&found) => Ok(found),
        other => {
            let mut reading =
                |flash: &mut FlashSource<'_, '_>| what_boots(flash, chip, evidence, &expected);
            settle(device, other.ok(), &mut reading, &sure)
        }
    };
    // Where no image is relied on and none was expected, the driver finds out.
    if boots.as_ref().map_or(true, |found| found.start.is_some() || !sure(found)) {
        let starts = boots.as_ref().is_ok_and(|found| found.start.is_some());
        device.note(Mark::Boots(starts));
    }
    let boots = boots.map_err(|error| after_change(written, None, Some(&backup.dir), error))?;
    known.boots = Some(boots.clone());
    if !sure(&boots) {
        return Err(wrong_boot(&boots, &backup.dir));
    }
    known.activation = match (activate, boots.version) {
        (true, Some(version)) => activate_after(device, &facts, version, events)
            .map_err(|error| after_change(written, Some(&boots), Some(&backup.dir), error))?,
        _ => None,
    };
    known.image_sha256 = action.contents.as_ref().map(|c| digest(c.bytes()));
    Ok(known.clone())
}

fn log_plan(plan: &Plan) {
    for check in &plan.report.checks {
        tracing::info!(id = %check.id.name(), ok = check.ok, skipped = check.skipped, detail = %check.detail, "check");
    }
    if let Some(action) = &plan.action {
        for pass in &action.passes {
            tracing::info!(
                erases = pass.sectors.erases.len(),
                programs = pass.sectors.programs.len(),
                invalidate_first = pass.sectors.invalidate_first,
                invalidate = ?pass.signature.invalidate,
                "pass"
            );
        }
    }
}

/// Every pass in order.
fn carry_out<'c>(
    mut locked: Locked<'c>,
    passes: Vec<Pass>,
    probe: &'c LeftProbe,
    events: &mut dyn Events,
) -> Result<Locked<'c>, Stopped> {
    let mut touched = false;
    for pass in passes {
        let idle = pass.is_idle();
        locked = one_pass(locked, pass, probe, events).map_err(|mut stopped| {
            // What an earlier pass has changed stays changed.
            stopped.touched |= touched;
            stopped
        })?;
        touched |= !idle;
    }
    Ok(locked)
}

/// One run of the typestate machine.
fn one_pass<'c>(
    locked: Locked<'c>,
    pass: Pass,
    probe: &'c LeftProbe,
    events: &mut dyn Events,
) -> Result<Locked<'c>, Stopped> {
    locked
        .erase(pass.sectors, probe, events)?
        .write(events)?
        .verify(events)?
        .commit(&pass.signature, events)?
        .untried()
        .invalidate_old(events)
}

/// The flash was read, twice with the same result, and holds something else than was written.
fn wrong_boot(found: &BootReport, backup: &Path) -> JobError {
    JobError::WrongBoot {
        would_boot: match (found.start, found.version) {
            (Some(start), Some(version)) => format!("{version} at {:#x}", start.0),
            (Some(start), None) => format!("the image at {:#x}", start.0),
            (None, _) => "nothing".into(),
        },
        boots: if found.start.is_some() { Boots::OldImage } else { Boots::Nothing },
        backup: Some(PathBuf::from(backup)),
    }
}

/// A pass stopped. What is left is read again where the session could not, or found nothing that
/// boots: no single reading decides that.
pub(super) fn left_behind(device: &mut Device, mut stopped: Stopped, probe: &LeftProbe) -> Stopped {
    let mut untouched = false;
    if stopped.touched && !stopped.boots.is_image() {
        let left = probe.settled(device);
        untouched = left.as_ref().is_ok_and(|left| left.untouched);
        stopped.boots = left.map_or(Boots::Unknown, |left| left.boots);
    }
    // Whoever gives the card back must not start a driver on a card without firmware; one that boots what
    // it did before is given back as before.
    if stopped.touched && !untouched {
        device.note(Mark::Boots(stopped.boots.is_image()));
    }
    stopped
}
