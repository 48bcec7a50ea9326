//! Steps of every writing job: snapshot, plan, confirm, backup, the typestate, a reading of what would
//! boot, activation.

use super::activate::activate_after;
use super::backup::{confirm as confirmed, discard, reserve, store};
use super::second_reading::{SecondReading, unchanged_facts, unchanged_flash};
use super::session::{CardFacts, snapshot};
use super::settle::{after_change, mark_boots, settle, version_of, what_boots};
use super::store::digest;
use super::{BootReport, Confirm, Device, JobError, WriteJob, WriteOutcome};
use crate::flash::{BootProbe, Boots, Event, Events, Locked, Phase, Stopped};
use crate::host::Mark;
use crate::image::{Contents, FlashAddr, Source};
use crate::plan::{CardSnapshot, Pass, Plan, PlanReport, which_boots, would_boot};
use std::path::{Path, PathBuf};

/// What the jobs differ in, beside the plan.
pub(super) struct WriteSettings<'a> {
    pub(super) job: WriteJob,
    pub(super) backup_dir: &'a Path,
    pub(super) activate: bool,
}

/// Read the card and decide; change nothing.
pub(super) fn look(
    device: &mut Device,
    events: &mut dyn Events,
    decide: &mut dyn FnMut(&CardSnapshot) -> Plan,
) -> Result<(super::CardReport, PlanReport), JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let (card, _) = snapshot(&facts, &mut locked, Phase::Read, events)?;
    Ok((facts.report(&locked), decide(&card).report()))
}

/// Do it.
pub(super) fn run(
    device: &mut Device,
    work: &WriteSettings<'_>,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
    decide: &mut dyn FnMut(&CardSnapshot) -> Plan,
) -> Result<WriteOutcome, JobError> {
    let span = tracing::info_span!("write", job = ?work.job, device = %device.name);
    let _inside = span.enter();
    let facts = CardFacts::of(device)?;
    // The semaphores are free while a person thinks and while files are synced: mlx4_core gives up
    // on semaphore 63 after 10 s.
    let (card, unsteady) = snapshot(&facts, &mut device.lock()?, Phase::Backup, events)?;
    let plan = decide(&card);
    log_plan(&plan);
    let mut report = plan.report();
    if report.refused {
        return Err(JobError::Refused {
            report: Box::new(report),
        });
    }
    let Some(action) = plan.action else {
        return Ok(WriteOutcome {
            job: work.job,
            plan: report,
            nothing_to_do: true,
            backup: None,
            boots: would_boot(&card.flash),
            activation: None,
            image_sha256: None,
        });
    };
    // The name is taken before anybody is asked: a directory that cannot be written is found now,
    // and the question can say where the way back will be.
    let place = reserve(&card, work.backup_dir)?;
    report
        .warnings
        .push(format!("The backup goes to {}.", place.path().display()));
    if !confirm(&report) {
        return Err(JobError::Declined);
    }
    let mut backup = store(place, &facts, &card, unsteady)?;
    events.emit(Event::Note {
        text: format!(
            "backup in {}: {} files, read back and compared",
            backup.dir.display(),
            backup.manifest.files.len() + 1
        ),
    });
    let probe = Probe {
        new: action.contents.as_ref().map(|c| c.bytes().to_vec()),
    };
    let written = version_of(action.contents.as_ref());
    let mut second = None;
    let ended = carry_out(
        device,
        &facts,
        &card,
        action.passes,
        &probe,
        &mut second,
        events,
    );
    let is_confirmed = second.is_some();
    if let Some(second) = second {
        confirmed(&mut backup, second, &facts, &card, events);
    }
    drop(card);
    let first = match ended {
        Ok(first) => first,
        Err(Unfinished::Before(error)) => {
            if !is_confirmed {
                discard(&backup, events);
            }
            return Err(error);
        }
        Err(Unfinished::Stopped(stopped)) => {
            return Err(left_behind(device, stopped, &probe, &backup.dir, events));
        }
    };
    let sure = |found: &BootReport| as_written(found, action.contents.as_ref());
    let boots = match first {
        Ok(found) if sure(&found) => Ok(found),
        other => settle(device, other.ok(), &mut what_boots, &sure),
    };
    let starts = boots.as_ref().is_ok_and(|found| found.start.is_some());
    mark_boots(device, starts, events);
    let boots = boots.map_err(|error| after_change(written, None, Some(&backup.dir), error))?;
    if !sure(&boots) {
        return Err(wrong_boot(&boots, &backup.dir));
    }
    let activation = match (work.activate, boots.version) {
        (true, Some(version)) => activate_after(device, &facts, version, events)
            .map_err(|error| after_change(written, Some(&boots), Some(&backup.dir), error))?,
        _ => None,
    };
    Ok(WriteOutcome {
        job: work.job,
        plan: report,
        nothing_to_do: false,
        backup: Some(backup),
        boots,
        activation,
        image_sha256: action.contents.as_ref().map(|c| digest(c.bytes())),
    })
}

fn log_plan(plan: &Plan) {
    for check in &plan.checks {
        tracing::info!(id = %check.id.name(), ok = check.ok, skipped = check.skipped, detail = %check.detail, "check");
    }
    if let Some(action) = &plan.action {
        for pass in &action.passes {
            tracing::info!(
                erases = pass.sectors.erases.len(),
                programs = pass.sectors.programs.len(),
                invalidate_first = pass.sectors.invalidate_first,
                retire = ?pass.signature.invalidate,
                "pass"
            );
        }
    }
}

/// Why the passes did not come to their end.
enum Unfinished {
    /// Nothing was erased.
    Before(JobError),
    Stopped(Stopped),
}

impl<E: Into<JobError>> From<E> for Unfinished {
    fn from(error: E) -> Self {
        Self::Before(error.into())
    }
}

/// One session: the card is still what the plan rests on, every pass in order, a first reading of
/// what would boot.
fn carry_out(
    device: &mut Device,
    facts: &CardFacts,
    card: &CardSnapshot,
    passes: Vec<Pass>,
    probe: &Probe,
    second: &mut Option<SecondReading>,
    events: &mut dyn Events,
) -> Result<Result<BootReport, JobError>, Unfinished> {
    let journal = device.borrowed();
    unchanged_facts(device, facts)?;
    let mut locked = device.lock()?;
    *second = Some(unchanged_flash(&mut locked, facts, card, events)?);
    if let Some(journal) = journal {
        journal.mark(Mark::FlashTouched)?;
    }
    let mut touched = false;
    for pass in passes {
        let idle = pass.is_idle();
        locked = one_pass(locked, pass, probe, events).map_err(|mut stopped| {
            // What an earlier pass has changed stays changed.
            stopped.touched |= touched;
            Unfinished::Stopped(stopped)
        })?;
        touched |= !idle;
    }
    Ok(what_boots(&mut locked.source()))
}

/// One run of the typestate machine.
fn one_pass<'c>(
    locked: Locked<'c>,
    pass: Pass,
    probe: &'c Probe,
    events: &mut dyn Events,
) -> Result<Locked<'c>, Stopped> {
    let done = locked
        .erase(pass.sectors, probe, events)?
        .write(events)?
        .verify(events)?
        .commit(&pass.signature, events)?;
    let evidence = done.evidence();
    tracing::info!(bytes = evidence.bytes, "verified and committed");
    Ok(done.relock())
}

/// Reports to the flash module what would boot.
struct Probe {
    new: Option<Vec<u8>>,
}

impl Probe {
    fn read(&self, flash: &mut dyn Source) -> Result<Boots, JobError> {
        let mut bytes = vec![0; flash.size() as usize];
        flash.read_at(FlashAddr(0), &mut bytes)?;
        Ok(which_boots(&bytes, self.new.as_deref()))
    }
}

impl BootProbe for Probe {
    fn boots(&self, flash: &mut dyn Source) -> Boots {
        self.read(flash).unwrap_or_else(|error| {
            tracing::warn!(%error, "what would boot cannot be read");
            Boots::Unknown
        })
    }
}

/// The image that was written is the one that boots; without an image to compare, any does.
fn as_written(found: &BootReport, written: Option<&Contents>) -> bool {
    found.start.is_some() && (written.is_none() || found.version == version_of(written))
}

/// The flash was read, twice with the same result, and holds something else than was written.
fn wrong_boot(found: &BootReport, backup: &Path) -> JobError {
    JobError::WrongBoot {
        would_boot: match (found.start, found.version) {
            (Some(start), Some(version)) => format!("{version} at {:#x}", start.0),
            (Some(start), None) => format!("the image at {:#x}", start.0),
            (None, _) => "nothing".into(),
        },
        boots: if found.start.is_some() {
            Boots::OldImage
        } else {
            Boots::Nothing
        },
        backup: Some(PathBuf::from(backup)),
    }
}

/// A pass stopped. What is left is read again where the session could not, or found nothing that
/// boots: no single reading decides that.
fn left_behind(
    device: &mut Device,
    mut stopped: Stopped,
    probe: &Probe,
    backup: &Path,
    events: &mut dyn Events,
) -> JobError {
    if stopped.touched && !stopped.boots.is_image() {
        let mut reading = |flash: &mut dyn Source| probe.read(flash);
        let sure = |boots: &Boots| boots.is_image();
        let before = (stopped.boots == Boots::Nothing).then_some(Boots::Nothing);
        stopped.boots = settle(device, before, &mut reading, &sure).unwrap_or(Boots::Unknown);
    }
    // Whoever gives the card back must not start a driver on a card without firmware.
    if stopped.touched {
        mark_boots(device, stopped.boots.is_image(), events);
    }
    JobError::Stopped {
        stopped,
        backup: Some(backup.to_owned()),
    }
}
