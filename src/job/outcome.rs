//! What a failure means to the caller.
//!
//! [`JobError::outcome`] gives each error its [`Code`]; the table in `code.rs` gives each code its exit
//! code and its advice. What is left on the card after a change overrides both.

use super::code::{Advice, Code, Exit, RECOVER, RUN_AGAIN, unpacked};
use super::{CardSelector, JobError, NvError};
use crate::card::{CardError, Semaphore, ToolsError};
use crate::escape::{self, ForeignText};
use crate::flash::FlashError;
use crate::host::{Bdf, DiscoverError, HostError, JournalError, LeaseError};
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

/// What an advice may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct HintContext<'a> {
    /// The card as the user named it.
    pub card: Option<&'a CardSelector>,
    /// The image file of the command.
    pub image: Option<&'a Path>,
    /// The command as typed.
    pub typed: Option<&'a str>,
    /// The backup made before the failure.
    pub backup: Option<&'a Path>,
    /// PSID on the card (`none` where it has none) and in the image.
    pub psids: Option<(&'a str, &'a str)>,
    /// Address of a card that may be gone.
    pub bdf: Option<Bdf>,
}

impl HintContext<'_> {
    /// The shell word for a `<name>` of a template.
    fn word(&self, name: &str) -> Option<String> {
        let path = |path: Option<&Path>| path.map(escape::shell_path);
        match name {
            "card" => Some(self.card.map_or_else(
                || "cx3flash".to_owned(),
                |card| format!("cx3flash -d {}", card.shell_word()),
            )),
            "file" => match self.card? {
                CardSelector::Sim(file) => path(Some(file)),
                _ => None,
            },
            "bdf" => self.bdf.map(|bdf| bdf.to_string()),
            "image" => path(self.image),
            "backup" => path(self.backup),
            "typed" => self.typed.map(str::to_owned),
            "psid" => self.psids.map(|(_, to)| escape::line(to).into_owned()),
            "psids" => self.psids.map(|(from, to)| escape::shell_word(format!("{from}:{to}"))),
            _ => None,
        }
    }

    /// The first advice whose names are all known.
    fn first_of(&self, advice: Advice) -> Option<String> {
        advice.iter().find_map(|template| self.fill(template))
    }

    fn fill(&self, template: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            let (name, after) = after.split_once('>')?;
            // `<image|IMAGE>` has a word for an image that is not known.
            let (name, default) = match name.split_once('|') {
                Some((name, default)) => (name, Some(default.to_owned())),
                None => (name, None),
            };
            text.push_str(before);
            text.push_str(&self.word(name).or(default)?);
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}

impl Outcome {
    /// What to type next. What is left on the card counts more than the cause.
    pub fn hint(self, context: &HintContext<'_>) -> Option<String> {
        let advice = match (self.exit, self.code) {
            (Exit::OutcomeUnknown, _) => Code::OutcomeUnknown.advice(),
            // The card became silent behind the reading of its flash.
            (Exit::NeedsRecover | Exit::StillBoots, Code::CardGone)
            | (Exit::StillBoots, Code::ActivateFailed) => self.code.advice(),
            (Exit::StillBoots, _) => RUN_AGAIN,
            (Exit::NeedsRecover, _) if context.backup.is_some() => Code::FlashFailed.advice(),
            (Exit::NeedsRecover, _) => RECOVER,
            _ => self.code.advice(),
        };
        context.first_of(advice)
    }
}

impl JobError {
    /// Exit code and stable name.
    pub fn outcome(&self) -> Outcome {
        let code = self.code();
        let exit = match self {
            Self::Protection(_) => Exit::Refused,
            Self::Layout(_) => Exit::Failed,
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
                Some(Some(_)) => Exit::StillBoots,
            },
            _ => code.exit(),
        };
        Outcome { exit, code }
    }

    /// What to type next. The backup and the PSIDs of the context come from the error.
    pub fn hint(&self, context: &HintContext<'_>) -> Option<String> {
        let mut context = *context;
        context.backup = self.backup();
        context.bdf = self.bdf();
        let named = context.bdf.map(|bdf| CardSelector::Host(bdf.to_string()));
        context.card = context.card.or(named.as_ref());
        match self {
            Self::Host(HostError::Lease(LeaseError::Journal(JournalError::NotRoot { .. }))) => {
                return Some(match context.typed {
                    Some(typed) => format!("run it as root: sudo {typed}"),
                    None => "run it as root".to_owned(),
                });
            }
            Self::BadIdentity { .. } => {
                return Some(
                    "name identity.json of a backup, or give the values: --guid G --mac M".into(),
                );
            }
            Self::ImageFile { path, .. } | Self::RawDump { path } => {
                context.image.get_or_insert(path.as_path());
            }
            Self::ForeignFile { path, format, .. } => {
                context.image.get_or_insert(path.as_path());
                return context.first_of(unpacked(*format));
            }
            Self::Archive { path, source: ArchiveError::NoSuchMember { .. } } => {
                context.image = Some(path.as_path());
            }
            Self::Archive { path, source: ArchiveError::Several(images) } => {
                let mut named = path.clone().into_os_string();
                named.push("/");
                named.push(images.first()?.name.as_str());
                context.image = Some(Path::new(&named));
                return self.outcome().hint(&context);
            }
            Self::Refused { report } => {
                let psid = report.crossflash.as_ref().map(|c| &c.psid);
                context.psids = psid.and_then(|psid| {
                    let from = psid.card.as_ref().map_or("none", ForeignText::as_str);
                    Some((from, psid.image.as_ref()?.as_str()))
                });
            }
            // The flash was read after the stop, so the card answers again.
            Self::Stopped { .. } => {
                let exit = self.outcome().exit;
                if matches!(exit, Exit::StillBoots | Exit::NeedsRecover) {
                    return Outcome { exit, code: Code::FlashFailed }.hint(&context);
                }
            }
            _ => {}
        }
        self.outcome().hint(&context)
    }

    /// The backup made before the failure.
    pub fn backup(&self) -> Option<&Path> {
        match self {
            Self::Stopped { backup, .. }
            | Self::AfterChange { backup, .. }
            | Self::WrongBoot { backup, .. } => backup.as_deref(),
            Self::Nv(error) => error.left().map(|(_, backup)| backup),
            _ => None,
        }
    }

    /// The card whose journal the error is about.
    fn bdf(&self) -> Option<Bdf> {
        match self {
            Self::Host(HostError::Lease(error)) => match error {
                LeaseError::NotBootable { bdf } | LeaseError::Owed { bdf, .. } => Some(*bdf),
                LeaseError::Journal(JournalError::Damaged { path, .. }) => {
                    path.file_stem()?.to_str()?.parse().ok()
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn code(&self) -> Code {
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
            Self::ForeignFile { .. } => Code::ForeignFile,
            Self::Archive { source, .. } => archive(source),
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
            Self::PortRemovesCard { .. } => Code::PortRemovesCard,
            Self::InUse { .. } => Code::InUse,
            Self::Nv(error) => nv(error),
        }
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
    use super::{
        CardSelector, Code, Exit, HintContext, JobError, JournalError, LeaseError, Outcome,
    };
    use std::io::ErrorKind;
    use std::path::Path;

    #[test]
    fn names_in_a_hint_are_quoted_for_the_shell() {
        let context = HintContext {
            card: Some(&CardSelector::Sim("my card.cx3".into())),
            image: Some(Path::new("it's.bin")),
            ..HintContext::default()
        };
        assert_eq!(
            Outcome::from(Code::Refused).hint(&context).as_deref(),
            Some(r"list every check: cx3flash -d 'sim:my card.cx3' plan 'it'\''s.bin'")
        );
    }

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
    fn a_port_that_would_remove_the_card_is_exit_4_with_the_way_on() {
        let error = JobError::PortRemovesCard { why: "port 0000:00:01.0 removes it".into() };
        assert_eq!(error.outcome().exit, Exit::Refused);
        let hint = error.hint(&HintContext::default());
        assert!(hint.is_some_and(|h| h.contains("power the machine")));
    }

    #[test]
    fn journals_that_only_root_reads_are_a_clear_message_with_the_way_on() {
        let path = "/var/lib/cx3flash/journal".into();
        let error = JobError::from(LeaseError::Journal(JournalError::NotRoot { path }));
        assert_eq!(error.outcome().exit, Exit::NotReady);
        assert!(error.to_string().contains("only root"), "{error}");
        let typed = Some("cx3flash host status");
        let hint = error.hint(&HintContext { typed, ..HintContext::default() });
        assert_eq!(hint.as_deref(), Some("run it as root: sudo cx3flash host status"));
    }
}
