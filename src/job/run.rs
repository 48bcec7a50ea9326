//! The road every writing job goes: snapshot, plan, confirm, backup, the typestate, a look at what
//! would boot, activation.

use super::activate::activate_after;
use super::backup::{reserve, store};
use super::session::{Facts, snapshot};
use super::store::digest;
use super::{BootReport, Confirm, Device, JobError, WriteJob, WriteOutcome};
use crate::flash::{BootProbe, Boots, Event, Events, Locked, Phase, Stopped};
use crate::host::Mark;
use crate::image::{Contents, Depth, FlashAddr, Form, Image, Severity, Source, read, scan};
use crate::plan::{BootView, CardSnapshot, Pass, Plan, PlanReport, would_boot};
use std::path::{Path, PathBuf};

/// What the jobs differ in, beside the plan.
pub(super) struct Work<'a> {
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
    let facts = Facts::of(device)?;
    let mut locked = device.lock()?;
    let card = snapshot(&facts, &mut locked, Phase::Read, events)?;
    Ok((facts.report(&locked), decide(&card).report()))
}

/// Do it.
pub(super) fn run(
    device: &mut Device,
    work: &Work<'_>,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
    decide: &mut dyn FnMut(&CardSnapshot) -> Plan,
) -> Result<WriteOutcome, JobError> {
    let span = tracing::info_span!("write", job = ?work.job, device = %device.name);
    let _inside = span.enter();
    let facts = Facts::of(device)?;
    let journal = device.borrowed();
    let mark = |mark| journal.as_ref().map_or(Ok(()), |j| j.mark(mark));
    let mut locked = device.lock()?;
    let card = snapshot(&facts, &mut locked, Phase::Backup, events)?;
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
            boots: boot_report(&would_boot(&card.flash, None)),
            activation: None,
            image_sha256: None,
        });
    };
    // The name is taken before anybody is asked: a directory that cannot be written is found now,
    // and the question can say where the way back will be.
    let room = reserve(&card, work.backup_dir)?;
    report
        .warnings
        .push(format!("The backup goes to {}.", room.path().display()));
    if !confirm(&report) {
        return Err(JobError::Declined);
    }
    let backup = store(room, &facts, &card)?;
    events.tell(Event::Note {
        text: format!(
            "backup in {}: {} files, read back and compared",
            backup.dir.display(),
            backup.manifest.files.len() + 1
        ),
    });
    if events.stop_wanted() {
        return Err(JobError::Interrupted);
    }
    drop(card);
    let probe = Probe {
        new: action.contents.as_ref().map(|c| c.bytes().to_vec()),
    };
    // From here on the session borrows the probe, so it must end before it.
    mark(Mark::FlashTouched)?;
    let mut locked = locked;
    for pass in action.passes {
        locked = match one_pass(locked, pass, &probe, events) {
            Ok(locked) => locked,
            Err(stopped) => {
                // Whoever gives the card back must not wake a driver on dead firmware.
                let boots = matches!(stopped.boots, Boots::OldImage | Boots::NewImage);
                if let Err(error) = mark(Mark::Boots(boots)) {
                    tracing::error!(error = ?error, "the journal does not say whether the card boots");
                }
                return Err(JobError::Stopped {
                    stopped,
                    backup: Some(backup.dir.clone()),
                });
            }
        };
    }
    let boots = what_boots(&mut locked.source())?;
    drop(locked);
    mark(Mark::Boots(boots.start.is_some()))?;
    confirm_boot(&boots, action.contents.as_ref(), &backup.dir)?;
    let activation = match (work.activate, boots.version) {
        (true, Some(version)) => activate_after(device, &facts, version, events)?,
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
                void_first = pass.sectors.void_first,
                retire = ?pass.signature.retire,
                "pass"
            );
        }
    }
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

/// Says for the flash room what would boot.
struct Probe {
    new: Option<Vec<u8>>,
}

impl BootProbe for Probe {
    fn boots(&self, flash: &mut dyn Source) -> Boots {
        let mut bytes = vec![0; flash.size() as usize];
        match flash.read_at(FlashAddr(0), &mut bytes) {
            Ok(()) => would_boot(&bytes, self.new.as_deref()).boots,
            Err(error) => {
                tracing::warn!(%error, "what would boot cannot be read");
                Boots::Unknown
            }
        }
    }
}

/// What would boot after the job. The body was verified byte for byte a moment ago; this looks at
/// what a boot ROM looks for: signatures, and what stands behind the first one.
pub(super) fn what_boots(flash: &mut dyn Source) -> Result<BootReport, JobError> {
    let magics = scan(flash)?.magics;
    for start in magics {
        let Ok(image) = read(flash, start, Form::Striped, Depth::Quick) else {
            continue;
        };
        if image.findings.iter().any(|f| f.severity == Severity::Error) {
            continue;
        }
        return Ok(report_of(&image));
    }
    Ok(BootReport {
        start: None,
        half: None,
        version: None,
        psid: None,
    })
}

fn report_of(image: &Image) -> BootReport {
    BootReport {
        start: Some(image.start),
        half: super::query::half_of(image),
        version: image.info.as_ref().and_then(|i| i.fw_version),
        psid: image.info.as_ref().and_then(|i| i.psid.clone()),
    }
}

fn boot_report(view: &BootView) -> BootReport {
    BootReport {
        start: view.start,
        half: view.half,
        version: view.version,
        psid: view.psid.clone(),
    }
}

/// The burn ends by reading what would boot: it must be what was written.
fn confirm_boot(
    found: &BootReport,
    written: Option<&Contents>,
    backup: &Path,
) -> Result<(), JobError> {
    let Some(contents) = written else {
        return Ok(());
    };
    let wanted = contents.image().info.as_ref().and_then(|i| i.fw_version);
    if found.start.is_some() && found.version == wanted {
        return Ok(());
    }
    Err(JobError::WrongBoot {
        found: match (found.start, found.version) {
            (Some(start), Some(version)) => format!("{version} at {:#x}", start.0),
            _ => "nothing".into(),
        },
        boots: if found.start.is_some() {
            Boots::OldImage
        } else {
            Boots::Nothing
        },
        backup: Some(PathBuf::from(backup)),
    })
}
