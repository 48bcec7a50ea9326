//! Runs the jobs of a scenario.

use super::judge::{self, Before, Report};
use super::make::{CampaignCase, CampaignFiles, CampaignJob};
use crate::support::chip_of;
use crate::sweep::world::identity;
use cx3flash::card::nv::Parameter;
use cx3flash::image::Mac;
use cx3flash::job::{self, Exit, JobError, WriteOutcome, WriteRequest};
use cx3flash::plan::{BurnOptions, IdentityChange, RomChoice, StartRequest, would_boot};
use cx3flash::sim::{BootOutcome, Fault, FirmwareDefect, SimCard};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// How a scenario went.
pub(super) struct Played {
    /// Command and exit code of each job, with the faults that happened in it.
    pub(super) ends: Vec<(String, Vec<String>)>,
    pub(super) log: Vec<String>,
    pub(super) judged: Result<(), String>,
}

pub(super) fn play(scenario: &CampaignCase, files: &CampaignFiles) -> Played {
    let mut played = Played { ends: Vec::new(), log: Vec::new(), judged: Ok(()) };
    played.judged = rounds(scenario, files, &mut played);
    played
}

fn rounds(
    scenario: &CampaignCase,
    files: &CampaignFiles,
    played: &mut Played,
) -> Result<(), String> {
    let card = scenario.card.fork();
    if let Some(defect) = scenario.defect {
        card.inject(scenario.firmware(defect));
    }
    let dir = tempfile::tempdir_in(files.dir.path()).unwrap();
    let first = round(scenario, &card, &scenario.job, &scenario.faults, dir.path(), played)?;
    let broken = matches!(first, Exit::StillBoots | Exit::NeedsRecover | Exit::OutcomeUnknown);
    card.power_cycle();
    if broken || card.is_silent() {
        let job = repair(scenario, &card, dir.path());
        round(scenario, &card, &job, &scenario.later, dir.path(), played)?;
        card.power_cycle();
    }
    if scenario.defect.is_some() {
        card.inject(scenario.firmware(FirmwareDefect::Dies { ms: u64::MAX, silent: false }));
        card.power_cycle();
    }
    // Without faults whatever was left can be repaired. An image with a cell between two states looks
    // valid or not: the other command is the answer of the first one's refusal.
    let mut job = repair(scenario, &card, dir.path());
    let mut end = round(scenario, &card, &job, &[], dir.path(), played)?;
    for _ in 0..6 {
        if matches!(end, Exit::Done | Exit::NothingToDo) {
            break;
        }
        let good = scenario.good.clone();
        job = match job {
            CampaignJob::Burn(_) if end == Exit::StillBoots => CampaignJob::BurnUntried(good),
            CampaignJob::Burn(_) => CampaignJob::BurnWithoutRom(good),
            CampaignJob::BurnWithoutRom(_) => CampaignJob::Recover(good),
            _ => CampaignJob::Burn(good),
        };
        end = round(scenario, &card, &job, &[], dir.path(), played)?;
    }
    if !matches!(end, Exit::Done | Exit::NothingToDo) {
        return Err(format!("the repair {job:?} without faults ends with {end:?}"));
    }
    let outcomes = card.boot_outcomes();
    if [outcomes.lowest_first, outcomes.highest_first].contains(&BootOutcome::Recovery) {
        return Err(format!("the card does not boot after the repair {job:?}"));
    }
    Ok(())
}

/// What an owner does next: restore where a backup was made of a card that booted, else an image.
fn repair(scenario: &CampaignCase, card: &SimCard, backups: &Path) -> CampaignJob {
    let good = scenario.good.clone();
    // What the card seems to hold decides, as for an owner: `recover` refuses where an image is valid.
    let boots = would_boot(&card.flash(), chip_of(card)).start.is_some();
    match (boots, newest(backups, card)) {
        (true, _) => CampaignJob::Burn(good),
        (false, Some(backup)) if scenario.seed.is_multiple_of(2) => CampaignJob::Restore(backup),
        (false, _) => CampaignJob::Recover(good),
    }
}

/// A backup that holds an image that is sure to boot.
fn newest(dir: &Path, card: &SimCard) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?;
    let dirs = entries.filter_map(|e| Some(e.ok()?.path()));
    let boots = |dir: &PathBuf| {
        let flash = std::fs::read(dir.join("flash.bin"));
        flash.is_ok_and(|flash| would_boot(&flash, chip_of(card)).start.is_some())
    };
    dirs.filter(|dir| dir.join("manifest.json").is_file() && boots(dir)).max()
}

fn round(
    scenario: &CampaignCase,
    card: &SimCard,
    job: &CampaignJob,
    faults: &[Fault],
    backups: &Path,
    played: &mut Played,
) -> Result<Exit, String> {
    let before = Before::of(card);
    for fault in faults {
        card.inject(fault.clone());
    }
    let ran = catch_unwind(AssertUnwindSafe(|| command(card, job, backups, scenario.activates)));
    let Ok(report) = ran else {
        return Err(format!("{job:?} panics"));
    };
    let left = card.faults();
    let mut used: Vec<String> = Vec::new();
    for fault in faults.iter().filter(|fault| !left.contains(fault)) {
        let name = serde_json::to_value(fault).unwrap()["fault"].as_str().unwrap().to_owned();
        used.push(name);
    }
    played.log.push(format!(
        "  {job:?}: {:?} ({}), faults that happened: {used:?}, {} operations",
        report.exit,
        report.text,
        card.mutations()
    ));
    let name = format!("{job:?}");
    let name = name.split(['(', ' ']).next().unwrap_or_default().to_lowercase();
    played.ends.push((format!("{name} {}", report.exit.code()), used));
    let exit = report.exit;
    judge::judge(scenario, &before, card, job, faults, &report, backups)
        .map_err(|why| format!("{job:?} ends with {exit:?} ({}): {why}", report.text))?;
    Ok(exit)
}

fn write(
    card: &SimCard,
    request: &WriteRequest<'_>,
    backups: &Path,
    start: StartRequest,
) -> Result<WriteOutcome, JobError> {
    let mut device = job::open_sim(card, "sim")?;
    let how = job::WriteOptions { backup_dir: backups, start };
    job::write(&mut device, request, how, &mut |_| true, &mut ())
}

/// The job as the command line runs it.
fn command(card: &SimCard, job: &CampaignJob, backups: &Path, activates: bool) -> Report {
    let start = match job {
        _ if !activates => StartRequest::Later,
        CampaignJob::BurnUntried(_) => StartRequest::Untried,
        _ => StartRequest::Trial,
    };
    let write = |card: &SimCard, request: &WriteRequest<'_>, backups: &Path| {
        write(card, request, backups, start)
    };
    let written = |result: Result<WriteOutcome, JobError>| match result {
        Ok(outcome) => {
            let exit = if outcome.nothing_to_do { Exit::NothingToDo } else { Exit::Done };
            let version = outcome.boots.as_ref().and_then(|boots| boots.version);
            let mut text = format!("boots {version:?}");
            let activation = outcome.activation.clone();
            if let Some(activation) = &activation {
                text.push_str(&format!(", {activation:?}"));
            }
            Report { wrote: Some(outcome), activation, ..Report::new(exit, text) }
        }
        Err(error) => Report::failed(&error),
    };
    match job {
        CampaignJob::Burn(path) | CampaignJob::BurnUntried(path) => {
            written(job::read_image(path, &()).and_then(|image| {
                write(
                    card,
                    &WriteRequest::Burn(
                        &image,
                        &BurnOptions { allow_older: true, ..BurnOptions::default() },
                    ),
                    backups,
                )
            }))
        }
        CampaignJob::BurnWithoutRom(path) => {
            let options = BurnOptions {
                rom: Some(RomChoice::None),
                allow_older: true,
                ..BurnOptions::default()
            };
            written(
                job::read_image(path, &())
                    .and_then(|image| write(card, &WriteRequest::Burn(&image, &options), backups)),
            )
        }
        CampaignJob::Recover(path) => {
            written(job::read_image(path, &()).and_then(|image| {
                write(card, &WriteRequest::Recover(&image, &identity()), backups)
            }))
        }
        CampaignJob::Restore(backup) => written(
            job::read_backup(backup, None, &())
                .and_then(|facts| write(card, &WriteRequest::Restore(&facts), backups)),
        ),
        CampaignJob::RomWrite(path) => written(
            job::read_rom(path, &())
                .and_then(|rom| write(card, &WriteRequest::RomWrite(&rom), backups)),
        ),
        CampaignJob::RomRemove => written(write(card, &WriteRequest::RomRemove, backups)),
        CampaignJob::IdentitySet => {
            let macs = Some([Mac(0xF452_14AA_0010), Mac(0xF452_14AA_0011)]);
            let change = IdentityChange { macs, ..IdentityChange::default() };
            written(write(card, &WriteRequest::IdentitySet(&change), backups))
        }
        CampaignJob::ConfigReset => written(write(card, &WriteRequest::ConfigReset, backups)),
        CampaignJob::ConfigSet => {
            let wanted = [("NUM_OF_VFS", 3), ("SRIOV_EN", 1)];
            let wanted = wanted.map(|(name, value)| (Parameter::named(name).unwrap(), value));
            let set = job::open_sim(card, "sim").and_then(|mut device| {
                job::nv_set(&mut device, &wanted, backups, &mut |_, _| true, &mut ())
            });
            match set {
                Ok(_) => Report::new(Exit::Done, "set".into()),
                Err(error) => Report::failed(&error),
            }
        }
        CampaignJob::Activate => {
            let activated = job::open_sim(card, "sim")
                .and_then(|mut device| job::activate(&mut device, &mut ()));
            match activated {
                Ok(outcome) => Report {
                    activation: Some(outcome.activation.clone()),
                    ..Report::new(Exit::Done, format!("{:?}", outcome.activation))
                },
                Err(error) => Report::failed(&error),
            }
        }
        CampaignJob::Verify => {
            let verified = job::open_sim(card, "sim")
                .and_then(|mut device| job::verify_card(&mut device, &mut ()));
            match verified {
                Ok(outcome) => Report {
                    valid: Some(outcome.ok),
                    ..Report::new(Exit::Done, format!("ok {}", outcome.ok))
                },
                Err(error) => Report::failed(&error),
            }
        }
        CampaignJob::Query => {
            let found =
                job::open_sim(card, "sim").and_then(|mut device| job::query_card(&mut device));
            match found {
                Ok(_) => Report::new(Exit::Done, "queried".into()),
                Err(error) => Report::failed(&error),
            }
        }
        CampaignJob::Backup => {
            let made = job::open_sim(card, "sim")
                .and_then(|mut device| job::backup(&mut device, backups, &mut ()));
            match made {
                Ok(backup) => Report {
                    backup: Some(backup.backup.dir),
                    ..Report::new(Exit::Done, "backed up".into())
                },
                Err(error) => Report::failed(&error),
            }
        }
    }
}
