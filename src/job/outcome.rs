//! What a failure means to the caller.
//!
//! [`JobError::outcome`] gives each error its [`Code`]; the table in `code.rs` gives each code its exit
//! code. What is left on the card after a change overrides it.

use super::choice::NotChosen;
use super::code::Code;
use super::exit::Exit;
use super::{AfterReset, JobError, NvError};
use crate::card::{CardError, Semaphore, ToolsError};
use crate::flash::FlashError;
use crate::host::{DiscoverError, HostError, JournalError, LeaseError};
use crate::image::{ArchiveError, ImageError, PatchError};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use std::io::ErrorKind;
use std::path::Path;

/// What a failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub exit: Exit,
    pub code: Code,
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self { exit: code.exit(), code }
    }
}

impl JobError {
    /// Exit code and stable name.
    pub fn outcome(&self) -> Outcome {
        let code = self.code();
        let exit = match self {
            Self::Refused { .. } => Exit::Refused,
            Self::Host(HostError::Lease(LeaseError::NotBootable { .. })) => Exit::NeedsRecover,
            Self::Stopped { stopped, .. } if stopped.touched => Exit::changed(stopped.boots),
            Self::WrongBoot { boots, .. } => Exit::changed(*boots),
            Self::Nv(error) => error.left().map_or(code.exit(), |(boots, _)| Exit::changed(boots)),
            Self::AfterChange { boots, source, .. } => match boots.as_ref().map(|b| b.start) {
                None => Exit::OutcomeUnknown,
                Some(None) => Exit::NeedsRecover,
                Some(Some(_)) if matches!(**source, Self::NotPutBack { .. }) => {
                    Exit::HostNotRestored
                }
                Some(Some(_)) => match **source {
                    Self::NotActivated { left, .. } => after_reset(left),
                    _ => Exit::StillBoots,
                },
            },
            Self::NotActivated { left, .. } => after_reset(*left),
            Self::NotStarted { old_runs: false, .. } => Exit::OutcomeUnknown,
            _ => code.exit(),
        };
        Outcome { exit, code }
    }

    /// The backup made before the failure.
    pub fn backup(&self) -> Option<&Path> {
        match self {
            Self::Stopped { backup, .. }
            | Self::AfterChange { backup, .. }
            | Self::NotStarted { backup, .. }
            | Self::WrongBoot { backup, .. } => backup.as_deref(),
            Self::Nv(error) => error.left().map(|(_, backup)| backup),
            _ => None,
        }
    }

    pub(super) fn code(&self) -> Code {
        match self {
            Self::Host(error) => host(error),
            Self::NotPutBack { .. } => Code::NotPutBack,
            Self::CardFile(error) => card_file(error),
            Self::Card(error) => card(error),
            Self::Flash(error) => flash(error),
            Self::Source(_) => Code::CardFailed,
            Self::ReadFile { .. } | Self::NotAFile { .. } => Code::FileUnreadable,
            Self::WriteFile { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Code::Exists
            }
            Self::WriteFile { .. } | Self::NotWritten { .. } => Code::FileUnwritable,
            Self::FileTooLarge { .. } => Code::FileTooLarge,
            Self::ImageFile { source, .. } => image(source),
            Self::RawDump { .. } => Code::ImageIsDump,
            Self::SplitFile { .. } => Code::ImageCutShort,
            Self::ForeignFile { .. } => Code::ForeignFile,
            Self::Archive { source, .. } => archive(source),
            Self::StoreTooLarge { .. } => Code::StoreTooLarge,
            Self::NotChosen { why: NotChosen::Several { .. }, .. } => Code::SeveralImagesFit,
            Self::NotChosen { .. } => Code::NoImageFits,
            Self::RomFile { .. } => Code::RomUnusable,
            Self::Trace { .. } => Code::NotATrace,
            Self::NotReplayed { .. } | Self::NotSimulated { .. } => Code::TraceUnfit,
            Self::TraceCut { .. } => Code::TraceCut,
            Self::BadFile { .. } | Self::BadIdentity { .. } => Code::NotABackup,
            Self::Patch(PatchError::SelfCheck(_)) => Code::Internal,
            Self::Patch(_) => Code::Patch,
            Self::Protection(_) => Code::Protected,
            Self::NoKey { .. } => Code::UnknownKey,
            Self::Layout(_) => Code::Refused,
            Self::NoImage(_) => Code::NoImageOnCard,
            Self::ImageUnsure { .. } => Code::ImageUnsure,
            Self::NoPart(_) => Code::NoPart,
            Self::Refused { report } => refused(report),
            Self::Declined => Code::Declined,
            Self::Interrupted => Code::Interrupted,
            Self::Stopped { stopped, .. } => flash(&stopped.source),
            Self::WrongBoot { .. } => Code::FlashFailed,
            Self::AfterChange { boots: None, .. } => Code::OutcomeUnknown,
            Self::AfterChange { source, .. } => source.code(),
            Self::Changed { .. } => Code::CardChanged,
            Self::ReadingsDiffer => Code::ReadingsDiffer,
            Self::NotActivated { .. } => Code::ActivateFailed,
            Self::NotStarted { .. } => Code::NotStarted,
            Self::PortRemovesCard { .. } => Code::PortRemovesCard,
            Self::OtherSerial { .. } => Code::OtherSerial,
            Self::InUse { .. } => Code::InUse,
            Self::Nv(error) => nv(error),
        }
    }
}

fn after_reset(left: AfterReset) -> Exit {
    match left {
        AfterReset::OtherFirmware => Exit::StillBoots,
        AfterReset::NoFirmware => Exit::NeedsRecover,
        AfterReset::Silence => Exit::OutcomeUnknown,
    }
}

/// One check that refuses may have a code of its own.
fn refused(report: &PlanReport) -> Code {
    let mut ids = report.refusing().map(|check| check.id);
    // With --change-psid the other checks pass as well (the configuration pad does).
    let possible = report.crossflash.as_ref().is_some_and(|c| c.possible);
    let psid_only = possible && ids.clone().any(|id| id == CheckId::Psid);
    match (ids.next(), ids.next()) {
        _ if psid_only => Code::PsidDiffers,
        (Some(CheckId::Psid), None) if report.crossflash.is_none() => Code::PsidDiffers,
        (Some(CheckId::Selftest), _) => Code::Contradicted,
        (Some(CheckId::ExpectedFile), _) => Code::OtherFile,
        // `burn` is the way where nothing else refuses, or what it has an option for.
        (Some(CheckId::NoValidImage), None | Some(CheckId::Psid)) if ids.next().is_none() => {
            Code::NotNeeded
        }
        (Some(CheckId::RomDevice), None) => Code::RomForOther,
        (Some(CheckId::Version), None) if report.from_version > report.to_version => {
            Code::OlderVersion
        }
        (Some(CheckId::OldImage), _) => Code::NoImageOnCard,
        (Some(CheckId::RunningImage), _) => Code::RunningImageDamaged,
        _ => Code::Refused,
    }
}

fn host(error: &HostError) -> Code {
    match error {
        HostError::Discover(DiscoverError::VirtualFunction { .. }) => Code::VirtualFunction,
        HostError::Discover(_) => Code::NoSuchCard,
        // A use that no --allow permits is a matter of the host, not of the card's users.
        HostError::InUse { uses, .. } if uses.iter().any(|u| u.id.waivable()) => Code::CardInUse,
        HostError::InUse { .. } => Code::HostNotReady,
        HostError::NoIommu { .. } => Code::NoIommu,
        HostError::Lease(LeaseError::NotBootable { .. }) => Code::NoImageOnCard,
        HostError::Lease(LeaseError::Owed { .. }) => Code::JournalOwed,
        HostError::Lease(LeaseError::Unclear { .. }) => Code::JournalUnclear,
        // The record of the host is lost, so whether the host is restored is unknown.
        HostError::Lease(LeaseError::Journal(JournalError::Damaged { .. })) => Code::JournalDamaged,
        HostError::Lease(error) if error.host_changed() => Code::NotPutBack,
        HostError::Lease(_) | HostError::Vfio(_) => Code::HostNotReady,
    }
}

fn archive(error: &ArchiveError) -> Code {
    match error {
        ArchiveError::Damaged { .. } => Code::ArchiveDamaged,
        ArchiveError::TooLarge | ArchiveError::TooMany => Code::ArchiveTooLarge,
        ArchiveError::LeadsOut(_) => Code::ArchivePath,
        ArchiveError::NoImage { .. } => Code::NoImage,
        ArchiveError::Several(_) => Code::SeveralImages,
        ArchiveError::NoSuchMember { .. } => Code::NoSuchMember,
    }
}

fn card_file(error: &CardFileError) -> Code {
    match error {
        CardFileError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
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
        CardError::KeyRefused => Code::KeyRefused,
        CardError::NoHwAccess => Code::NoHwAccess,
        CardError::HwAccess(_) => Code::HwAccessFailed,
        CardError::NotOurs(_) => Code::NotOurs,
        CardError::NotReady { .. } => Code::CardNotReady,
        CardError::SemaphoreHeld { number, .. } if *number == Semaphore::ToolsHcr.number() => {
            Code::ToolsSemaphoreHeld
        }
        CardError::SemaphoreHeld { .. } => Code::SemaphoreHeld,
        CardError::Transport(_)
        | CardError::BadAccess { .. }
        | CardError::FlushTimeout(_)
        | CardError::SemaphoreLost { .. }
        | CardError::WasReset { .. }
        | CardError::ResetTimeout(_) => Code::CardFailed,
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

fn image(error: &ImageError) -> Code {
    match error {
        ImageError::Empty => Code::ImageEmpty,
        ImageError::RawDump => Code::ImageIsDump,
        ImageError::OtherFormat(_) => Code::ImageGeneration,
        ImageError::Foreign(_) => Code::ForeignFile,
        ImageError::CutShort { .. } => Code::ImageCutShort,
        ImageError::RomFile => Code::ImageIsRom,
        ImageError::TooShort(_) | ImageError::NoMagic => Code::NoImage,
        ImageError::Unaligned(_) | ImageError::FailsafeWord(_) | ImageError::Source(_) => {
            Code::ImageDamaged
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Exit, JobError};
    use crate::flash::{FlashError, LayoutError};
    use std::io::ErrorKind;

    #[test]
    fn an_existing_file_has_another_code_than_an_unwritable_one() {
        for (kind, code) in [
            (ErrorKind::AlreadyExists, Code::Exists),
            (ErrorKind::PermissionDenied, Code::FileUnwritable),
        ] {
            let path = "x".into();
            let source = kind.into();
            assert_eq!(JobError::WriteFile { path, source }.outcome().code, code);
        }
    }

    #[test]
    fn write_protection_is_exit_4_wherever_it_is_found() {
        let errors = [
            JobError::Protection("x".into()),
            FlashError::Protected { status: 4, what: "x".into() }.into(),
            LayoutError::HitsProtected { at: 0, size: 0x1000, start: 0, end: 1 }.into(),
        ];
        for error in errors {
            assert_eq!(error.outcome().exit, Exit::Refused, "{error}");
        }
    }
}
