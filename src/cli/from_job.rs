//! From a job's error to what the user is told: exit code, stable name, facts for the hint.

use super::exit::Exit;
use super::failure::Failure;
use super::hints::{self, Code, Facts};
use crate::card::{CardError, Semaphore, ToolsError};
use crate::flash::{Boots, FlashError, Phase, Stopped};
use crate::host::{DiscoverError, HostError, JournalError, LeaseError};
use crate::image::{ImageError, PatchError};
use crate::job::{ExitClass, JobError, NvError};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use serde_json::json;
use std::path::Path;

/// The exit table's row for a job's class.
pub(super) fn exit(class: ExitClass) -> Exit {
    match class {
        ExitClass::Done => Exit::Done,
        ExitClass::Failed => Exit::Failed,
        ExitClass::NothingToDo => Exit::NothingToDo,
        ExitClass::NoCard => Exit::NoCard,
        ExitClass::Refused => Exit::Refused,
        ExitClass::NotReady => Exit::NotReady,
        ExitClass::StillBoots => Exit::FailedBoots,
        ExitClass::NeedsRecover => Exit::NeedsRecover,
        ExitClass::HostNotRestored => Exit::HostNotRestored,
        ExitClass::OutcomeUnknown => Exit::OutcomeUnknown,
        ExitClass::Interrupted => Exit::Interrupted,
    }
}

/// What the user is told of a job's error.
pub(super) fn failure(error: &JobError, facts: &Facts<'_>) -> Failure {
    let mut failure = Failure::from_error(exit(error.class()), code(error), error);
    let mut facts = *facts;
    match error {
        JobError::Stopped { stopped, backup } => {
            facts.backup = backup.as_deref();
            failure.message = stopped_where(stopped);
            failure.causes = super::failure::causes(&stopped.source);
            failure.causes.insert(0, stopped.source.to_string());
            failure.result = Some(Box::new(json!({ "stopped": {
                "phase": stopped.phase,
                "at": stopped.at,
                "boots": stopped.boots,
                "touched": stopped.touched,
            }, "backup": backup })));
        }
        JobError::AfterChange {
            written,
            boots,
            backup,
            source,
        } => {
            facts.backup = backup.as_deref();
            failure.causes = super::failure::causes(source);
            failure
                .causes
                .insert(0, super::failure::one_line(&source.to_string()));
            failure.result = Some(Box::new(json!({
                "flash": { "written": written, "boots": boots },
                "backup": backup,
            })));
        }
        JobError::WrongBoot { boots, backup, .. } => {
            facts.backup = backup.as_deref();
            failure.result = Some(Box::new(json!({ "boots": boots, "backup": backup })));
        }
        JobError::Nv(error) => {
            if let Some((boots, backup)) = error.left() {
                facts.backup = Some(backup);
                failure.result = Some(Box::new(json!({ "boots": boots, "backup": backup })));
            }
        }
        JobError::Refused { report } => {
            failure.message = "refused by a check".into();
            failure.causes = report
                .checks
                .iter()
                .filter(|c| !c.ok && !c.skipped)
                .map(|c| format!("{}: {}", super::names::of(&c.id), c.detail))
                .collect();
            failure.result = Some(Box::new(json!({ "plan": report })));
        }
        JobError::ImageFile { path, .. } | JobError::RawDump { path } if facts.image.is_none() => {
            let path = path.clone();
            return failure.with_hint(&Facts {
                image: Some(&path),
                ..facts
            });
        }
        _ => {}
    }
    failure.hint = hints::after(failure.exit, failure.code, &facts);
    failure.with_hint(&facts)
}

/// Where it stopped and what is left, for people.
fn stopped_where(stopped: &Stopped) -> String {
    let step = match stopped.phase {
        Phase::Backup => "during the backup",
        Phase::Erase => "while erasing",
        Phase::Write => "while writing",
        Phase::Verify => "while reading back",
        Phase::Commit => "while making the new image bootable",
        Phase::Read => "while reading",
    };
    let place = stopped
        .at
        .map(|at| format!(" at 0x{:06x}", at.0))
        .unwrap_or_default();
    let left = match (stopped.touched, stopped.boots) {
        (false, _) => "nothing was changed",
        (true, Boots::OldImage) => "the card still boots the old image",
        (true, Boots::NewImage) => "the card boots the new image",
        (true, Boots::Nothing) => "the card holds nothing that boots",
        (true, Boots::Unknown) => "what the card would boot cannot be read",
    };
    format!("stopped {step}{place}; {left}")
}

fn code(error: &JobError) -> Code {
    match error {
        JobError::Host(error) => host(error),
        JobError::NotPutBack { .. } => Code::NotPutBack,
        JobError::CardFile(error) => card_file(error),
        JobError::Card(error) => card(error),
        JobError::Flash(error) => flash(error),
        JobError::Source(_) => Code::CardFailed,
        JobError::ReadFile { .. } => Code::FileUnreadable,
        JobError::WriteFile { source, .. } => match source.kind() {
            std::io::ErrorKind::AlreadyExists => Code::Exists,
            _ => Code::FileUnwritable,
        },
        JobError::NotWritten { .. } => Code::FileUnwritable,
        JobError::FileTooLarge { .. } => Code::FileTooLarge,
        JobError::ImageFile { source, .. } => image(source),
        JobError::RawDump { .. } => Code::ImageIsDump,
        JobError::RomFile { .. } => Code::RomUnusable,
        JobError::BadFile { .. } => Code::NotABackup,
        JobError::Patch(PatchError::SelfCheck(_)) => Code::Internal,
        JobError::Patch(_) => Code::Patch,
        JobError::Protection(_) => Code::Protected,
        JobError::NoKey { .. } => Code::UnknownKey,
        JobError::Layout(_) => Code::Refused,
        JobError::NoImage(_) => Code::NoImageOnCard,
        JobError::NoPart(_) => Code::NoPart,
        JobError::Refused { report } => refused(report),
        JobError::Declined => Code::Declined,
        JobError::Interrupted => Code::Interrupted,
        JobError::Stopped { stopped, .. } => flash(&stopped.source),
        JobError::WrongBoot { .. } => Code::FlashFailed,
        JobError::AfterChange { boots: None, .. } => Code::OutcomeUnknown,
        JobError::AfterChange { source, .. } => code(source),
        JobError::Changed { .. } => Code::CardChanged,
        JobError::ReadingsDiffer => Code::ReadingsDiffer,
        JobError::NotActivated { .. } => Code::ActivateFailed,
        JobError::PortRemovesCard { .. } => Code::PortRemovesCard,
        JobError::InUse { .. } => Code::InUse,
        JobError::Nv(error) => nv(error),
    }
}

/// The one check that refuses may have an advice of its own.
fn refused(report: &PlanReport) -> Code {
    let mut ids = report
        .checks
        .iter()
        .filter(|c| !c.ok && !c.skipped)
        .map(|c| c.id);
    // With the change of PSID spelled out the others pass (the configuration pad does).
    let possible = report.crossflash.as_ref().is_some_and(|c| c.possible);
    let spelled_out = possible && ids.clone().any(|id| id == CheckId::Psid);
    match (ids.next(), ids.next()) {
        _ if spelled_out => Code::PsidDiffers,
        (Some(CheckId::Psid), None) if report.crossflash.is_none() => Code::PsidDiffers,
        (Some(CheckId::NoValidImage), _) => Code::NotNeeded,
        (Some(CheckId::RomDevice), None) => Code::RomForOther,
        (Some(CheckId::OldImage), _) => Code::NoImageOnCard,
        (Some(CheckId::RunningImage), _) => Code::RunningImageDamaged,
        _ => Code::Refused,
    }
}

fn host(error: &HostError) -> Code {
    match error {
        HostError::Discover(DiscoverError::VirtualFunction { .. }) => Code::VirtualFunction,
        HostError::Discover(_) => Code::NoSuchCard,
        HostError::InUse { uses, .. } if uses.iter().any(|u| u.id.waivable()) => Code::CardInUse,
        HostError::InUse { .. } => Code::HostNotReady,
        HostError::NoIommu { .. } => Code::NoIommu,
        HostError::Lease(LeaseError::NotBootable { .. }) => Code::NoImageOnCard,
        HostError::Lease(LeaseError::Journal(JournalError::Damaged { .. })) => Code::JournalDamaged,
        HostError::Lease(error) if error.host_changed() => Code::NotPutBack,
        HostError::Lease(_) | HostError::Vfio(_) => Code::HostNotReady,
    }
}

fn card_file(error: &CardFileError) -> Code {
    match error {
        CardFileError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Code::CardFileMissing
        }
        CardFileError::Io { .. } => Code::CardFileIo,
        CardFileError::NotOne(_) => Code::CardFileForeign,
        CardFileError::Version { .. } => Code::CardFileVersion,
        CardFileError::Damaged(..) => Code::CardFileDamaged,
        CardFileError::Busy { .. } => Code::CardBusy,
        CardFileError::Exists(_) => Code::Exists,
    }
}

fn card(error: &CardError) -> Code {
    match error {
        CardError::Gone { .. } => Code::CardGone,
        CardError::Locked => Code::CardLocked,
        CardError::NotOurs(_) => Code::NotOurs,
        CardError::NotReady { .. } => Code::CardNotReady,
        CardError::SemaphoreHeld { number, .. } if *number == Semaphore::ToolsHcr.number() => {
            Code::ToolsSemaphoreHeld
        }
        CardError::SemaphoreHeld { .. } => Code::SemaphoreHeld,
        CardError::Transport(_)
        | CardError::BadAccess { .. }
        | CardError::FlushTimeout(_)
        | CardError::ResetTimeout(_) => Code::CardFailed,
    }
}

fn nv(error: &NvError) -> Code {
    match error {
        NvError::OldFirmware { .. } => Code::NvOldFirmware,
        NvError::NotOnThisCard { .. }
        | NvError::TooLarge { .. }
        | NvError::TooMuchBar { .. }
        | NvError::Missing { .. } => Code::NvRefused,
        NvError::NotStored { .. } => Code::NvFailed,
        NvError::Tools(error) | NvError::Stopped { source: error, .. } => match error {
            ToolsError::Card(error) => card(error),
            ToolsError::NoFirmware => Code::NvNoFirmware,
            ToolsError::ConfigurationCorrupt { .. } => Code::NvCorrupt,
            ToolsError::BadSystemState { .. } => Code::NvNoDriver,
            _ => Code::NvFailed,
        },
    }
}

fn flash(error: &FlashError) -> Code {
    match error {
        FlashError::Card(error) => card(error),
        FlashError::NoChip(_) | FlashError::UnknownChip(_) | FlashError::ReadOnly { .. } => {
            Code::FlashChip
        }
        FlashError::Protected { .. } => Code::Protected,
        FlashError::Interrupted => Code::Interrupted,
        FlashError::Unsteady { .. } | FlashError::UnsteadyRegister { .. } => Code::ReadingsDiffer,
        _ => Code::FlashFailed,
    }
}

fn image(error: &ImageError) -> Code {
    match error {
        ImageError::Empty => Code::ImageEmpty,
        ImageError::Zip => Code::ImageZip,
        ImageError::RawDump => Code::ImageIsDump,
        ImageError::OtherFormat(_) => Code::ImageGeneration,
        ImageError::Mfa => Code::ImageArchive,
        ImageError::RomFile => Code::ImageIsRom,
        ImageError::TooShort(_) | ImageError::NoMagic => Code::NoImage,
        ImageError::Unaligned(_) | ImageError::FailsafeWord(_) | ImageError::Source(_) => {
            Code::ImageDamaged
        }
    }
}

/// The failure of an opening of `path` as a card file by the simulator's own commands.
pub(super) fn card_file_failure(error: CardFileError, path: &Path) -> Failure {
    let name = format!("sim:{}", path.display());
    failure(
        &JobError::CardFile(error),
        &Facts {
            card: Some(&name),
            ..Facts::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_would_remove_the_card_is_exit_4_with_the_way_on() {
        let error = JobError::PortRemovesCard {
            why: "port 0000:00:01.0 removes it".into(),
        };
        let failure = failure(&error, &Facts::default());
        assert_eq!(failure.exit, Exit::Refused);
        assert!(
            failure
                .hint
                .is_some_and(|h| h.contains("power the machine"))
        );
    }
}
