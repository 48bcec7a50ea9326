//! What a failure means to the caller: exit code, stable name and advice, in one table.
//!
//! [`JobError::outcome`] gives each error its [`Code`]; `Code::row` gives each code its exit code and
//! its advice. What is left on the card after a change overrides both.

use super::{CardSelector, JobError, NvError};
use crate::card::{CardError, Semaphore, ToolsError};
use crate::flash::{Boots, FlashError};
use crate::host::{DiscoverError, HostError, JournalError, LeaseError};
use crate::image::{ImageError, PatchError};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::Path;

/// Exit code of the program. The numbers are part of the contract and never change meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    NothingToDo = 2,
    NoCard = 3,
    Refused = 4,
    NotReady = 5,
    StillBoots = 6,
    NeedsRecover = 7,
    HostNotRestored = 8,
    OutcomeUnknown = 9,
    Usage = 64,
    Stdout = 74,
    Interrupted = 130,
}

impl Exit {
    /// Every exit code with its meaning, for `--help`, the manual page and the README.
    pub const TABLE: [(Self, &'static str); 13] = [
        (Self::Done, "done"),
        (Self::Failed, "failed; nothing changed on the card"),
        (
            Self::NothingToDo,
            "nothing to do: the card already holds exactly this",
        ),
        (Self::NoCard, "no such card, or ambiguous"),
        (Self::Refused, "refused by a check"),
        (
            Self::NotReady,
            "host not ready, or the card is held by another program",
        ),
        (
            Self::StillBoots,
            "failed after erase began; the card still boots",
        ),
        (Self::NeedsRecover, "failed; the card needs `recover`"),
        (
            Self::HostNotRestored,
            "the host could not be restored: run `cx3flash host restore`",
        ),
        (
            Self::OutcomeUnknown,
            "the flash was changed, and what would boot could not be read",
        ),
        (Self::Usage, "wrong arguments"),
        (
            Self::Stdout,
            "done, and the result could not be written to stdout",
        ),
        (Self::Interrupted, "interrupted before the first erase"),
    ];

    /// The number the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    #[must_use]
    pub fn meaning(self) -> &'static str {
        let row = Self::TABLE.iter().find(|(exit, _)| *exit == self);
        row.map_or("", |(_, meaning)| meaning)
    }

    /// The exit code of a job that changed the flash and failed.
    fn changed(boots: Boots) -> Self {
        match boots {
            Boots::OldImage | Boots::NewImage => Self::StillBoots,
            Boots::Nothing => Self::NeedsRecover,
            Boots::Unknown => Self::OutcomeUnknown,
        }
    }
}

impl Serialize for Exit {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u8(self.code())
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Stable name of a failure, `error.code` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    Usage,
    NoCardNamed,
    Ambiguous,
    NoSuchCard,
    VirtualFunction,
    CardInUse,
    NoIommu,
    /// VFIO or the card's driver failed.
    HostNotReady,
    /// The card was borrowed and could not be returned to its driver.
    NotPutBack,
    JournalDamaged,
    CardFileMissing,
    /// The file is not a card file.
    CardFileForeign,
    CardFileVersion,
    CardFileDamaged,
    CardFileIo,
    /// The card file is open in another process.
    CardBusy,
    /// A file that is to be created exists.
    Exists,
    FileUnreadable,
    FileUnwritable,
    ImageEmpty,
    ImageZip,
    /// The image is for another generation of chips.
    ImageGeneration,
    /// A vendor archive (MFA).
    ImageArchive,
    /// An expansion ROM was given instead of an image.
    ImageIsRom,
    /// A raw flash dump was given instead of an image.
    ImageIsDump,
    /// The file holds no image.
    NoImage,
    ImageDamaged,
    RomUnusable,
    FileTooLarge,
    /// The image has no ROM, ini or other section that was requested.
    NoPart,
    /// The ini has no such key.
    UnknownKey,
    /// The card holds no valid image.
    NoImageOnCard,
    /// The image cannot be changed as requested.
    Patch,
    NotABackup,
    /// A check of the plan refuses.
    Refused,
    /// `recover`, and the card has a valid image.
    NotNeeded,
    PsidDiffers,
    Declined,
    /// There is no terminal for the question and no `--yes`.
    NobodyToAsk,
    Interrupted,
    /// Registers read all ones.
    CardGone,
    /// Secure host: registers read 0xbad0cafe.
    CardLocked,
    CardNotReady,
    SemaphoreHeld,
    /// The semaphore of the tools command interface stays taken.
    ToolsSemaphoreHeld,
    /// Another tool uses the card now.
    InUse,
    /// The chip is not a ConnectX-3.
    NotOurs,
    /// The flash chip does not answer or is unknown.
    FlashChip,
    /// The ROM is for another device.
    RomForOther,
    Protected,
    FlashFailed,
    CardFailed,
    OutcomeUnknown,
    /// Firmware runs, and its image reads as damaged.
    RunningImageDamaged,
    /// The card changed between the plan and the first erase.
    CardChanged,
    /// Readings of the same bytes of the flash differ.
    ReadingsDiffer,
    /// The new firmware did not start.
    ActivateFailed,
    /// The slot's port could remove the card at a reset.
    PortRemovesCard,
    /// The running firmware is older than the interface for settings.
    NvOldFirmware,
    NvNoFirmware,
    /// The firmware reports its stored settings as corrupt.
    NvCorrupt,
    /// The firmware requires a driver first.
    NvNoDriver,
    /// The card has no such setting, or not this value.
    NvRefused,
    NvFailed,
    /// `verify`: an image file is not valid.
    Unsound,
    /// `verify`: an image on the card is not valid.
    UnsoundCard,
    /// A check of `doctor` fails.
    Unhealthy,
    /// No image can be built from a description.
    Recipe,
    /// Not a fault of the simulator.
    Fault,
    /// A step of the demo ended with another exit code than expected.
    Demo,
    /// The flash differs from the file.
    Differs,
    Stdout,
    /// A defect of this program.
    Internal,
}

/// Templates of an advice. The first one whose `<names>` are all known is used.
type Advice = &'static [&'static str];

/// No advice.
const NONE: Advice = &[];
const LIST_CHECKS: Advice = &[
    "list every check: <card> plan <image>",
    "list every check: <card> plan IMAGE",
];
const RECOVER: Advice = &[
    "identity from a backup (or from the label: --guid G --mac M): <card> recover <image> --identity BACKUP/identity.json",
    "identity from a backup (or from the label: --guid G --mac M): <card> recover IMAGE --identity BACKUP/identity.json",
];
const RUN_AGAIN: Advice = &["run the command again: <typed>", "run the command again"];
const POWER_CYCLE: Advice = &["power the machine off and on, then: cx3flash list"];

impl Code {
    /// Exit code where the flash was not changed, and what to type next.
    const fn row(self) -> (Exit, Advice) {
        use Exit::{Failed, HostNotRestored, Interrupted, NoCard, NotReady, Refused, Usage};
        match self {
            Self::Usage => (Usage, &["cx3flash --help"]),
            Self::NoCardNamed => (
                NoCard,
                &[
                    "try a simulated card: cx3flash sim create card.cx3 && cx3flash -d sim:card.cx3 query",
                ],
            ),
            Self::Ambiguous => (NoCard, &["choose one, for example: <card> query"]),
            Self::NoSuchCard => (NoCard, &["list the cards: cx3flash list"]),
            Self::VirtualFunction => (
                Refused,
                &["name the physical function; list the cards: cx3flash list"],
            ),
            Self::CardInUse => (
                Refused,
                &["end that use, or allow it by its id: <typed> --allow ID"],
            ),
            Self::NoIommu => (
                NotReady,
                &[
                    "enable VT-d or AMD-Vi in the firmware setup and boot with intel_iommu=on (Intel); \
                   then check: <card> doctor",
                ],
            ),
            Self::HostNotReady => (
                NotReady,
                &["see what is missing and how to fix it: <card> doctor"],
            ),
            Self::NotPutBack => (HostNotRestored, &["cx3flash host restore"]),
            Self::JournalDamaged => (
                HostNotRestored,
                &[
                    "check that the card is bound to its driver (if not: echo BDF > \
                   /sys/bus/pci/drivers/mlx4_core/bind), then remove the journal's two files: cx3flash list",
                ],
            ),
            Self::CardFileMissing => (
                NoCard,
                &[
                    "create one: cx3flash sim create <file>",
                    "create one: cx3flash sim create FILE",
                ],
            ),
            Self::CardFileForeign | Self::CardFileVersion | Self::CardFileDamaged => {
                (NoCard, &["create a new one: cx3flash sim create NEWFILE"])
            }
            Self::CardFileIo | Self::NotOurs => (NoCard, NONE),
            Self::CardBusy | Self::InUse => (
                NotReady,
                &[
                    "wait until the other process ends, then: <typed>",
                    "wait until the other process ends, then run the command again",
                ],
            ),
            Self::Exists => (
                Failed,
                &["name a file that does not exist; existing files are never overwritten"],
            ),
            Self::ImageZip => (
                Failed,
                &["unpack it and name the .bin file inside: unzip <image>"],
            ),
            Self::ImageGeneration => (
                Failed,
                &["use an image for ConnectX-3 (its query shows `Image type: FS2`)"],
            ),
            Self::ImageArchive => (
                Failed,
                &["name the .bin for this card's PSID instead of the archive"],
            ),
            Self::ImageIsRom => (Failed, &["write it as a ROM: <card> rom write <image>"]),
            Self::ImageIsDump => (
                Failed,
                &["name image.bin of a backup, or restore a backup: cx3flash restore BACKUP"],
            ),
            Self::ImageDamaged => (
                Failed,
                &["download the file again; to see the damage: cx3flash verify <image>"],
            ),
            Self::NoImage => (Failed, &["name a ConnectX-3 firmware image (.bin)"]),
            Self::NotABackup => (Failed, &["name the directory that holds manifest.json"]),
            Self::FileUnwritable => (
                Failed,
                &[
                    "name a writable directory with free space (--backup-dir DIR, for backup --out DIR)",
                ],
            ),
            Self::UnknownKey => (
                Failed,
                &[
                    "list every key: cx3flash config show <image>",
                    "list every key: <card> config show",
                ],
            ),
            Self::Refused => (Refused, LIST_CHECKS),
            Self::RomForOther => (
                Refused,
                &[
                    "keep the card's ROM (--rom none: no ROM): <card> burn <image> --rom device",
                    "use a ROM for the card's device; device_id of each block of a ROM file: cx3flash --json rom info FILE",
                ],
            ),
            Self::NotNeeded => (Refused, &["<card> burn <image>"]),
            Self::PsidDiffers => (
                Refused,
                &[
                    "if this board is really to become a <psid>: <card> burn <image> --change-psid <psids>",
                    "list every check: <card> plan <image>",
                    "list every check: <card> plan IMAGE",
                ],
            ),
            Self::RunningImageDamaged => (
                Refused,
                &[
                    "read it again (if the damage stays, the refused check names the next command): <card> verify",
                ],
            ),
            Self::NobodyToAsk => (Usage, &["<typed> --yes", "add --yes"]),
            Self::CardNotReady => (
                NotReady,
                &[
                    "wait a minute, then run the command again; if that does not help, power the machine off and on",
                ],
            ),
            Self::CardGone => (Failed, POWER_CYCLE),
            // Nothing shows whether the holder still runs (the gateway stands still either way), so
            // `unlock` has no proof for it; a reset frees every semaphore.
            Self::ToolsSemaphoreHeld => {
                (NotReady, &["if no other tool is running: <card> activate"])
            }
            Self::SemaphoreHeld => (NotReady, &["if no other tool is running: <card> unlock"]),
            Self::NoImageOnCard => (Failed, RECOVER),
            Self::FlashFailed | Self::CardFailed => (Failed, &["<card> restore <backup>"]),
            Self::Protected => (
                Failed,
                &["see what is protected (--off clears it): <card> flash protect"],
            ),
            Self::FlashChip => (Failed, &["<card> flash info"]),
            Self::NvOldFirmware => (
                Failed,
                &["settings need firmware 2.31.5000 or newer: <card> burn IMAGE"],
            ),
            Self::NvNoFirmware => (
                Failed,
                &[
                    "settings need running firmware; write an image, then reset the card: <card> recover IMAGE",
                ],
            ),
            // Why it happens is UNCONFIRMED; nv_cfg_en of the ini may be off (docs/hardware.md#settings-in-the-firmware).
            Self::NvCorrupt => (
                Failed,
                &[
                    "erase what is stored (if that does not help, see nv_cfg_en in: <card> config show): <card> config reset",
                ],
            ),
            // The cause is known only from mstconfig's message ("Driver might be down").
            Self::NvNoDriver => (
                Failed,
                &["reset the card, then run the command again: <card> activate"],
            ),
            Self::NvRefused => (Refused, &["list the card's settings: <card> config query"]),
            Self::NvFailed => (Failed, &["see what is stored: <card> config query"]),
            Self::OutcomeUnknown => (
                Exit::OutcomeUnknown,
                &[
                    "power the machine off and on if the card does not answer, then: <card> verify; if no image \
                     is valid: <card> restore <backup>",
                    "power the machine off and on if the card does not answer, then: <card> verify; if no image \
                     is valid: <card> restore BACKUP",
                ],
            ),
            Self::CardChanged => (Failed, RUN_AGAIN),
            Self::ReadingsDiffer => (
                Failed,
                &[
                    "read it by the slowest and simplest register access: <card> --bar-access config verify",
                ],
            ),
            Self::PortRemovesCard => (
                Refused,
                &[
                    "power the machine off and on, or bind the card to mlx4_core once (its probe resets the card): \
                   the firmware on the flash starts then",
                ],
            ),
            Self::ActivateFailed => (
                Exit::StillBoots,
                &["power the machine off and on; the new firmware is on the flash"],
            ),
            Self::UnsoundCard => (Failed, &["write a valid image: <card> burn IMAGE"]),
            Self::Fault => (
                Usage,
                &[
                    r#"for example: cx3flash sim fault FILE '{"fault":"power_cut","op":100,"seed":1}'"#,
                ],
            ),
            Self::Unhealthy => (NotReady, NONE),
            Self::Interrupted => (Interrupted, NONE),
            Self::CardLocked
            | Self::Declined
            | Self::Demo
            | Self::Differs
            | Self::FileTooLarge
            | Self::FileUnreadable
            | Self::ImageEmpty
            | Self::Internal
            | Self::NoPart
            | Self::Patch
            | Self::Recipe
            | Self::RomUnusable
            | Self::Stdout
            | Self::Unsound => (Failed, NONE),
        }
    }

    /// Exit code where the flash was not changed.
    #[must_use]
    pub fn exit(self) -> Exit {
        self.row().0
    }
}

/// What a failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub exit: Exit,
    pub code: Code,
}

impl From<Code> for Outcome {
    fn from(code: Code) -> Self {
        Self {
            exit: code.exit(),
            code,
        }
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
}

impl HintContext<'_> {
    /// The shell word for a `<name>` of a template.
    fn word(&self, name: &str) -> Option<String> {
        let path = |path: Option<&Path>| path.map(|p| quote(&p.to_string_lossy()));
        match name {
            "card" => Some(self.card.map_or_else(
                || "cx3flash".to_owned(),
                |card| format!("cx3flash -d {}", quote(&card.to_string())),
            )),
            "file" => match self.card? {
                CardSelector::Sim(file) => path(Some(file)),
                _ => None,
            },
            "image" => path(self.image),
            "backup" => path(self.backup),
            "typed" => self.typed.map(str::to_owned),
            "psid" => self.psids.map(|(_, to)| to.to_owned()),
            "psids" => self.psids.map(|(from, to)| quote(&format!("{from}:{to}"))),
            _ => None,
        }
    }

    fn fill(&self, template: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('<') {
            let (name, after) = after.split_once('>')?;
            text.push_str(before);
            text.push_str(&self.word(name)?);
            rest = after;
        }
        text.push_str(rest);
        Some(text)
    }
}

impl Outcome {
    /// What to type next. What is left on the card counts more than the cause.
    #[must_use]
    pub fn hint(self, context: &HintContext<'_>) -> Option<String> {
        let advice = match (self.exit, self.code) {
            (Exit::OutcomeUnknown, _) => Code::OutcomeUnknown.row().1,
            // A silent card shows nothing of its flash.
            (Exit::NeedsRecover | Exit::StillBoots, Code::CardGone)
            | (Exit::StillBoots, Code::ActivateFailed) => self.code.row().1,
            (Exit::StillBoots, _) => RUN_AGAIN,
            (Exit::NeedsRecover, _) if context.backup.is_some() => Code::FlashFailed.row().1,
            (Exit::NeedsRecover, _) => RECOVER,
            _ => self.code.row().1,
        };
        advice.iter().find_map(|template| context.fill(template))
    }
}

/// `word` as a POSIX shell needs it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl JobError {
    /// Exit code and stable name.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let code = self.code();
        let exit = match self {
            Self::Protection(_) => Exit::Refused,
            Self::Layout(_) => Exit::Failed,
            Self::Refused { .. } => Exit::Refused,
            Self::Host(HostError::Lease(LeaseError::NotBootable { .. })) => Exit::NeedsRecover,
            Self::Stopped { stopped, .. } if stopped.touched => Exit::changed(stopped.boots),
            Self::WrongBoot { boots, .. } => Exit::changed(*boots),
            Self::Nv(error) => error
                .left()
                .map_or(code.exit(), |(boots, _)| Exit::changed(boots)),
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
    #[must_use]
    pub fn hint(&self, context: &HintContext<'_>) -> Option<String> {
        let mut context = *context;
        context.backup = self.backup();
        match self {
            Self::ImageFile { path, .. } | Self::RawDump { path } => {
                context.image.get_or_insert(path.as_path());
            }
            Self::Refused { report } => {
                let psid = report.crossflash.as_ref().map(|c| &c.psid);
                context.psids = psid.and_then(|psid| {
                    let from = psid.card.as_deref().unwrap_or("none");
                    Some((from, psid.image.as_deref()?))
                });
            }
            _ => {}
        }
        self.outcome().hint(&context)
    }

    /// The backup made before the failure.
    #[must_use]
    pub fn backup(&self) -> Option<&Path> {
        match self {
            Self::Stopped { backup, .. }
            | Self::AfterChange { backup, .. }
            | Self::WrongBoot { backup, .. } => backup.as_deref(),
            Self::Nv(error) => error.left().map(|(_, backup)| backup),
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
            Self::ReadFile { .. } => Code::FileUnreadable,
            Self::WriteFile { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                Code::Exists
            }
            Self::WriteFile { .. } | Self::NotWritten { .. } => Code::FileUnwritable,
            Self::FileTooLarge { .. } => Code::FileTooLarge,
            Self::ImageFile { source, .. } => image(source),
            Self::RawDump { .. } => Code::ImageIsDump,
            Self::RomFile { .. } => Code::RomUnusable,
            Self::BadFile { .. } => Code::NotABackup,
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
        // A use that no --allow permits is a matter of the host, not of the card's users.
        HostError::InUse { uses, .. } if uses.iter().any(|u| u.id.waivable()) => Code::CardInUse,
        HostError::InUse { .. } => Code::HostNotReady,
        HostError::NoIommu { .. } => Code::NoIommu,
        HostError::Lease(LeaseError::NotBootable { .. }) => Code::NoImageOnCard,
        // The record of the host is lost, so whether the host is restored is unknown.
        HostError::Lease(LeaseError::Journal(JournalError::Damaged { .. })) => Code::JournalDamaged,
        HostError::Lease(error) if error.host_changed() => Code::NotPutBack,
        HostError::Lease(_) | HostError::Vfio(_) => Code::HostNotReady,
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

#[cfg(test)]
mod tests {
    use super::{CardSelector, Code, Exit, HintContext, JobError, Outcome, quote};
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
        assert_eq!(quote(""), "''");
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
        let error = JobError::PortRemovesCard {
            why: "port 0000:00:01.0 removes it".into(),
        };
        assert_eq!(error.outcome().exit, Exit::Refused);
        let hint = error.hint(&HintContext::default());
        assert!(hint.is_some_and(|h| h.contains("power the machine")));
    }
}
