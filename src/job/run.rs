//! Steps of every writing job: snapshot, plan, confirm, backup, the typestate, a reading of what would
//! boot, activation.

use super::assumptions::{judge, quick};
use super::backup::{confirm as confirm_backup, remember, reserve, store};
use super::first_start::{self, Finished, LOCKS_AGAIN, confirmed, start_facts, trial_of};
use super::look::shows_life;
use super::session::{CardFacts, serial_of, snapshot};
use super::settle::{LeftProbe, after_change, settle, what_boots};
use super::store::digest;
use super::{
    Activation, Backup, BootReport, CardReport, Device, FirstStart, ImageFile, JobError,
    RunningNow, StoreChoice, WriteJob, WriteRequest,
};
use crate::card::ResetSeen;
use crate::escape;
use crate::flash::{Boots, Events, FlashSource, Locked, Phase, Stopped, Tried, WayBack};
use crate::host::{Borrowed, Mark};
use crate::image::FlashAddr;
use crate::plan::{
    Action, BootEvidence, BurnOptions, Pass, Plan, PlanReport, StartKind, StartReport,
    StartRequest, TrialImages,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Asked once, with the plan that will be carried out; `false` ends the job with
/// [`JobError::Declined`].
pub type Confirm<'a> = &'a mut dyn FnMut(&PlanReport) -> bool;

/// How a writing job is carried out.
#[derive(Clone, Copy, Debug)]
pub struct WriteOptions<'a> {
    /// A backup is made in a new directory inside.
    pub backup_dir: &'a Path,
    pub start: StartRequest,
}

impl<'a> WriteOptions<'a> {
    /// What is written starts later.
    pub fn later(backup_dir: &'a Path) -> Self {
        Self { backup_dir, start: StartRequest::Later }
    }
}

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
    /// What would boot now; `None` when it was not read after the plan, or is one of two images.
    pub boots: Option<BootReport>,
    /// What was seen of the new firmware before the old image was invalidated, or before a driver got the
    /// card; `None` as in the plan, and where the job did not come that far.
    pub first_start: Option<FirstStart>,
    /// The reset and what runs after it, if it was asked for.
    pub activation: Option<Activation>,
    /// What runs at the end, where no reset was asked for; `None` when it was not read.
    pub running: Option<RunningNow>,
    /// SHA-256 of the image as it stands on the card, lower-case hex; `None` for jobs that write no image.
    pub image_sha256: Option<String>,
    /// How the image was chosen from a store; `None` where it was named.
    pub choice: Option<StoreChoice>,
}

impl WriteOutcome {
    /// Reads what runs now, where that is not known yet. A card that was taken from a driver is given back to it:
    /// `device` cannot be used afterwards.
    pub fn read_running(&mut self, device: &mut Device) {
        if !self.nothing_to_do && self.activation.is_none() {
            let flashed = self.boots.as_ref().and_then(|boots| boots.version);
            self.running = Some(RunningNow::read(device, self.card.running, flashed));
        }
    }
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
    /// How the image was chosen from a store; `None` where it was named.
    pub choice: Option<StoreChoice>,
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
    let locks = device.locks_again(card.images().chain(plan.new_image()));
    plan.starts(&card, &start_facts(device, &facts, StartRequest::Trial, locks));
    if locks && plan.action.is_some() {
        plan.report.warnings.push(LOCKS_AGAIN.to_owned());
    }
    Ok(PlanOutcome {
        card: card_report,
        image: image.path.clone(),
        image_sha256: image.sha256.clone(),
        choice: image.choice.clone(),
        plan: plan.report,
    })
}

/// Runs a writing job (P1 to P5, P7). [`JobError::outcome`] reports what is left on the card.
pub fn write(
    device: &mut Device,
    request: &WriteRequest<'_>,
    options: WriteOptions<'_>,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    write_reporting(device, request, options, confirm, events, &mut None)
}

/// As [`write()`]. `known` gets what is known of the outcome, also when the job fails; it stays `None` when
/// there is no plan yet.
pub fn write_reporting(
    device: &mut Device,
    request: &WriteRequest<'_>,
    options: WriteOptions<'_>,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
    known: &mut Option<WriteOutcome>,
) -> Result<WriteOutcome, JobError> {
    let (job, decide) = (request.job(), request.planner());
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
    let locks = device.locks_again(card.images().chain(plan.new_image()));
    plan.starts(&card, &start_facts(device, &facts, options.start, locks));
    log_plan(&plan);
    let known = known.insert(WriteOutcome {
        card: described,
        job,
        plan: plan.report,
        nothing_to_do: false,
        backup: None,
        stopped: None,
        boots: None,
        first_start: None,
        activation: None,
        running: None,
        image_sha256: None,
        choice: request.choice().cloned(),
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
    let place = reserve(&card, options.backup_dir)?;
    let line = format!("The backup goes to {}.", escape::path(place.path()));
    known.plan.warnings.push(line);
    if locks {
        known.plan.warnings.push(LOCKS_AGAIN.to_owned());
    }
    if !confirm(&known.plan) {
        return Err(JobError::Declined);
    }
    let chip = card.chip;
    let on_trial = expected(&action, action.trial);
    let untried_one = expected(&action, None);
    let probe = LeftProbe::new(&card, action.contents.as_ref());
    let written = action.version();
    let trial = action.trial;
    let looks = known.plan.start.as_ref().is_some_and(|start| start.kind == StartKind::Look);
    let life_shows = (looks || trial.is_some()) && shows_life(device)?;
    if life_shows {
        facts.forget_still();
    }
    let journal = device.borrowed();
    let mut backup = store(place, &facts, &card, unsteady)?;
    let (locked, chains) = confirm_backup(&mut backup, device, &facts, &card, events)?;
    backup.announce(events);
    known.backup = Some(backup.clone());
    let _awake = journal.as_ref().and_then(Borrowed::keep_awake);
    if let Some(journal) = journal {
        if let Some(serial) = action.contents.as_ref().and_then(|c| serial_of(c.image())) {
            journal.note(Mark::NewSerial(serial));
        }
        journal.mark(Mark::FlashTouched)?;
        if let Some(images) = trial {
            let back = images.back_address;
            journal.mark(Mark::Trial { back, life_shows })?;
        }
    }
    let ended =
        carry_out(locked, action.passes, trial, &probe, events).map(|(mut locked, seen)| {
            let (expected, evidence) = if seen.is_some() { on_trial } else { untried_one };
            (what_boots(&mut locked.source(), chip, evidence, &expected), seen, expected, evidence)
        });
    remember(chains, &facts, &card);
    drop(card);
    let (first, tried, expected, evidence) = match ended {
        Ok(ended) => ended,
        Err(NotDone::Stopped(stopped)) => {
            let stopped = left_behind(device, stopped, &probe);
            known.first_start = trial.and_then(|images| first_start::stopped(images, &stopped));
            known.stopped = Some(StopReport {
                phase: stopped.phase,
                at: stopped.at,
                left: stopped.boots,
                touched: stopped.touched,
            });
            return Err(JobError::Stopped { stopped, backup: Some(backup.dir) });
        }
        Err(NotDone::NotStarted(images, back)) => {
            let (seen, mut error) = first_start::refused(device, &facts, images, *back);
            known.first_start = Some(seen);
            let left = probe.settled(device).ok();
            if let JobError::NotStarted { backup: made, old_runs, .. } = &mut error {
                // It was seen running; since then the card may have gone.
                *old_runs &= left.as_ref().is_some_and(|left| left.boots.is_image());
                *made = Some(backup.dir);
            }
            known.boots =
                left.filter(|left| left.boots != Boots::EitherImage).map(|left| left.report);
            return Err(error);
        }
    };
    let begun = match (trial, tried) {
        (Some(_), None) => Some(first_start::not_addressed()),
        _ => known.plan.start.clone(),
    };
    known.first_start = match (trial, tried) {
        (Some(images), Some(seen)) => Some(confirmed(&facts, images, &seen)),
        _ => untried(begun.as_ref()),
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
    if let Some(wanted) = boots.version {
        let request = options.start;
        let finished = Finished { request, plan: begun.as_ref(), tried, life_shows, wanted };
        known.activation =
            first_start::start(device, &facts, &finished, &mut known.first_start, events)
                .map_err(|error| after_change(written, Some(&boots), Some(&backup.dir), error))?;
        first_start::learn(&facts, wanted, known.activation.as_ref());
    }
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

/// What is to boot afterwards, and by which evidence that is judged.
fn expected(action: &Action, trial: Option<TrialImages>) -> (BootReport, BootEvidence) {
    let new = action.contents.as_ref().zip(action.new_start());
    match (trial, new) {
        // It is seen running, or the job ends before this counts.
        (Some(trial), Some((contents, start))) => {
            (BootReport::of(start, contents.image()), BootEvidence::Running(trial.new))
        }
        _ => (action.boots.clone(), action.evidence),
    }
}

/// What is reported of a start that is left to others.
fn untried(plan: Option<&StartReport>) -> Option<FirstStart> {
    let plan = plan.filter(|plan| plan.kind == StartKind::None)?;
    let detail = plan.detail.clone();
    Some(FirstStart { kind: StartKind::None, seen: None, new_runs: None, detail })
}

/// Why the passes did not come to their end.
enum NotDone {
    Stopped(Stopped),
    /// The trial did not show the new firmware.
    NotStarted(TrialImages, Box<WayBack>),
}

/// Every pass in order, and what a trial has shown.
fn carry_out<'c>(
    mut locked: Locked<'c>,
    passes: Vec<Pass>,
    trial: Option<TrialImages>,
    probe: &'c LeftProbe,
    events: &mut dyn Events,
) -> Result<(Locked<'c>, Option<ResetSeen>), NotDone> {
    let mut touched = false;
    let mut seen = None;
    for pass in passes {
        let idle = pass.is_idle();
        (locked, seen) = one_pass(locked, pass, trial, probe, events).map_err(|end| match end {
            // What an earlier pass has changed stays changed.
            NotDone::Stopped(stopped) => {
                NotDone::Stopped(Stopped { touched: stopped.touched || touched, ..stopped })
            }
            other => other,
        })?;
        touched |= !idle;
    }
    Ok((locked, seen))
}

/// One run of the typestate machine.
fn one_pass<'c>(
    locked: Locked<'c>,
    pass: Pass,
    trial: Option<TrialImages>,
    probe: &'c LeftProbe,
    events: &mut dyn Events,
) -> Result<(Locked<'c>, Option<ResetSeen>), NotDone> {
    let written = locked.erase(pass.sectors, probe, events)?.write(events)?;
    let committed = written.verify(events)?.commit(&pass.signature, events)?;
    let Some(images) = trial.filter(|_| committed.is_addressed()) else {
        return Ok((committed.untried().invalidate_old(events)?, None));
    };
    match committed.try_out(trial_of(images), events)? {
        Tried::New(confirmed, seen) => {
            let ended = confirmed.invalidate_old(events);
            let locked = ended.map_err(|stopped| Stopped { seen: Some(seen), ..stopped })?;
            Ok((locked, Some(seen)))
        }
        Tried::Other(refused) => {
            Err(NotDone::NotStarted(images, Box::new(refused.go_back(events))))
        }
    }
}

impl From<Stopped> for NotDone {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
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
