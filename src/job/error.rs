//! Errors of jobs, and their texts.

use super::choice::NotChosen;
use super::code::WriteAnew;
use super::split::SplitName;
use super::{BootReport, HostReport};
use crate::card::{CardError, ToolsError};
use crate::escape;
use crate::flash::trace::TraceError;
use crate::flash::{Boots, FlashError, LayoutError, Stopped};
use crate::host::{DiscoverError, HostError, LeaseError, VfioError};
use crate::image::{
    ArchiveError, FileFormat, FlashAddr, ImageError, PatchError, RomError, SourceError, Version,
};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use crate::words::counted;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The host is not ready, the card is in use, or the host cannot be restored.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The card was borrowed and could not be returned to its driver.
    #[error("the host could not be restored: {problem}")]
    NotPutBack {
        problem: String,
        /// The host's state now.
        host: Box<HostReport>,
    },
    #[error(transparent)]
    CardFile(#[from] CardFileError),
    #[error(transparent)]
    Card(#[from] CardError),
    /// The flash failed before anything was changed.
    #[error(transparent)]
    Flash(#[from] FlashError),
    #[error(transparent)]
    Source(SourceError),
    #[error("cannot read {}", escape::path(path))]
    ReadFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Neither a regular file nor a pipe.
    #[error("{} is {what}, not a file", escape::path(path))]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("cannot write {}", escape::path(path))]
    WriteFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file reads back with other bytes after it was written and synced.
    #[error("{} does not read back as it was written", escape::path(path))]
    NotWritten { path: PathBuf },
    #[error("{} has {}, more than the maximum of {max}", escape::path(path), counted(*len, "byte"))]
    FileTooLarge { path: PathBuf, len: u64, max: u64 },
    /// A file of another format.
    #[error("{} is {format}, not {wanted}", escape::path(path))]
    ForeignFile {
        path: PathBuf,
        format: FileFormat,
        /// What the command needs.
        wanted: &'static str,
    },
    /// No image was taken out of an archive.
    #[error("{}: {source}", escape::path(path))]
    Archive { path: PathBuf, source: ArchiveError },
    /// A directory is larger than any image store.
    #[error("{} is no image store: {why}", escape::path(path))]
    StoreTooLarge { path: PathBuf, why: String },
    /// No image of a store was chosen for the card.
    #[error("{why}")]
    NotChosen { store: Vec<PathBuf>, why: NotChosen },
    #[error("{}: {source}", escape::path(path))]
    ImageFile { path: PathBuf, source: ImageError },
    /// By its name one of several parts, and no image by itself.
    #[error("{} is named like a part of a split file: {}", escape::path(path), escape::line(why))]
    SplitFile {
        path: PathBuf,
        split: SplitName,
        /// What it is by its contents.
        why: String,
    },
    #[error("{} is a raw dump of a flash chip, not an image", escape::path(path))]
    RawDump { path: PathBuf },
    #[error("{}: {source}", escape::path(path))]
    RomFile { path: PathBuf, source: RomError },
    /// A JSON file of a backup is not valid.
    #[error("{}: {why}", escape::path(path))]
    BadFile { path: PathBuf, why: String },
    #[error("{} is not the identity of a card: {why}", escape::path(path))]
    BadIdentity { path: PathBuf, why: String },
    /// The file is no trace.
    #[error("{}: {source}", escape::path(path))]
    Trace { path: PathBuf, source: TraceError },
    #[error("{} ends after {}: {why}", escape::path(path), counted(*accesses, "access"))]
    TraceCut { path: PathBuf, accesses: usize, why: String },
    #[error(
        "{} is a trace of `{command}`; query, verify, doctor and selftest can be replayed",
        escape::path(path)
    )]
    NotReplayed { path: PathBuf, command: String },
    /// Neither the silicon nor the flash chip is in the trace, or the simulator does not know it.
    #[error("{} names no chip and flash chip that can be simulated", escape::path(path))]
    NotSimulated { path: PathBuf },
    /// An image could not be changed as requested.
    #[error(transparent)]
    Patch(#[from] PatchError),
    #[error("the flash's protection was not changed: {0}")]
    Protection(String),
    #[error("the ini has no key {key}{}", near_names(.near))]
    NoKey {
        key: String,
        /// Similar names.
        near: Vec<String>,
    },
    /// No sector plan exists, for example because of protected areas.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The card holds no valid image, so there is nothing to show or change.
    #[error("the card holds no valid image: {0}")]
    NoImage(String),
    /// The best image of the card is complete and not relied on.
    #[error("the card is not reset: the image at {:#x} is {UNSURE}: {why}", .start.0)]
    ImageUnsure {
        start: FlashAddr,
        why: String,
        /// What makes one that boots.
        way: WriteAnew,
    },
    #[error("the image has no {0}")]
    NoPart(&'static str),
    #[error("refused: {}", refusals(.report))]
    Refused {
        /// The plan with every check.
        report: Box<PlanReport>,
    },
    #[error("not confirmed")]
    Declined,
    #[error("interrupted before anything was changed")]
    Interrupted,
    /// A session that had begun to write stopped.
    #[error("{stopped}: {}", .stopped.source)]
    Stopped {
        stopped: Stopped,
        /// The backup made before, if any.
        backup: Option<PathBuf>,
    },
    /// Written and committed, but what the card would boot is not what was written.
    #[error("the card would not boot the new image: {would_boot}")]
    WrongBoot { would_boot: String, boots: Boots, backup: Option<PathBuf> },
    /// A step after the change of the flash failed. What the flash holds counts more than the step.
    #[error("{}", after_change(.written.as_ref(), .boots.as_ref()))]
    AfterChange {
        /// Version that was written; `None` for a change that writes no image.
        written: Option<Version>,
        /// What would boot; `None` = it could not be read.
        boots: Option<BootReport>,
        /// The backup made before, if any.
        backup: Option<PathBuf>,
        source: Box<JobError>,
    },
    #[error("the card changed since the first reading, or was misread: {what}; nothing was erased")]
    Changed { what: String },
    #[error("no two consecutive readings of the flash agree")]
    ReadingsDiffer,
    /// The new firmware does not run after the reset; the flash holds it.
    #[error("{wanted} was not seen running after the reset: {running}")]
    NotActivated {
        /// Version on the flash.
        wanted: String,
        /// What runs instead.
        running: String,
        left: AfterReset,
    },
    /// A trial did not show the new firmware.
    #[error("the new firmware did not start; {now} ({seen})")]
    NotStarted {
        /// What runs now, and what the flash holds, where that is not the old image alone.
        now: String,
        /// What the trial showed.
        seen: String,
        /// The old firmware was seen running.
        old_runs: bool,
        /// The backup made before, if any.
        backup: Option<PathBuf>,
    },
    /// Another card than the one that its owner named as expendable.
    #[error("the card's serial number is {found}, not {named}; nothing was changed")]
    OtherSerial { named: String, found: String },
    /// The port above the card could remove the card at a reset.
    #[error("the card is not reset while it is borrowed: {why}")]
    PortRemovesCard { why: String },
    #[error(transparent)]
    Nv(#[from] NvError),
    /// The semaphore changes its state, so a program uses it.
    #[error("semaphore {number} is in use: {why}")]
    InUse {
        /// Index in the bank.
        number: u8,
        why: String,
    },
}

/// What is reported of an image with a reason why it is not relied on, everywhere.
pub const UNSURE: &str = "complete, and whether it boots is not known";

/// What a card shows after a reset that did not load what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterReset {
    /// Another version runs.
    OtherFirmware,
    /// It answers, and no firmware runs on it.
    NoFirmware,
    /// It did not get ready.
    Silence,
}

fn after_change(written: Option<&Version>, boots: Option<&BootReport>) -> String {
    let written = written.map_or_else(String::new, |version| format!(" ({version} was written)"));
    match boots.map(|boots| (boots.start, boots.version)) {
        None => format!("the flash was changed{written}, and what would boot could not be read"),
        Some((Some(start), version)) => format!(
            "the flash holds {} at {:#x}, complete and verified; a later step failed",
            version.map_or_else(|| "an image".to_owned(), |v| v.to_string()),
            start.0
        ),
        Some((None, _)) => {
            format!("the flash was changed{written} and holds no image that is sure to boot")
        }
    }
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) }
}

fn refusals(report: &PlanReport) -> String {
    let details: Vec<&str> = report.refusing().map(|c| c.detail.as_str()).collect();
    details.join("; ")
}

impl From<SourceError> for JobError {
    /// What the card did counts, not what was read for.
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Failed { at, len, source } => match source.downcast::<FlashError>() {
                Ok(error) => Self::Flash(*error),
                Err(source) => Self::Source(SourceError::Failed { at, len, source }),
            },
            outside @ SourceError::Outside { .. } => Self::Source(outside),
        }
    }
}

impl JobError {
    /// The error for a file of another format than the one that is `wanted`.
    pub(crate) fn foreign(path: &Path, format: FileFormat, wanted: &'static str) -> Self {
        Self::ForeignFile { path: path.to_owned(), format, wanted }
    }

    /// Ids of what refuses: of the checks, as [`JobError::refused_by`], or of the uses of the card.
    pub fn refusals(&self) -> Vec<String> {
        match self {
            Self::Host(HostError::InUse { uses, .. }) => {
                uses.iter().map(|used| used.id.name().to_owned()).collect()
            }
            _ => self.refused_by().into_iter().map(CheckId::name).collect(),
        }
    }

    /// Ids of the checks that refuse, in the plan's order, without those that could not be judged
    /// because of them; empty for other errors.
    pub fn refused_by(&self) -> Vec<CheckId> {
        match self {
            Self::Refused { report } => report.refusing().map(|c| c.id).collect(),
            _ => Vec::new(),
        }
    }
}

macro_rules! through_host {
    ($($inner:ty),*) => {$(
        impl From<$inner> for JobError {
            fn from(error: $inner) -> Self {
                Self::Host(error.into())
            }
        }
    )*};
}
through_host!(DiscoverError, LeaseError, VfioError);

/// Errors about settings.
#[derive(Debug, thiserror::Error)]
pub enum NvError {
    /// The firmware refused or failed.
    #[error(transparent)]
    Tools(ToolsError),
    /// It does not know the first command.
    #[error("the running firmware ({running}) keeps no settings for tools")]
    OldFirmware {
        /// Its version, or `unknown`.
        running: String,
    },
    /// This card has no such setting.
    #[error("this card's firmware has no {parameter}")]
    NotOnThisCard { parameter: String },
    /// More than this card can.
    #[error("{parameter} can be at most {max} on this card, not {value}")]
    TooLarge {
        parameter: String,
        /// What was asked for.
        value: u32,
        /// The card's own bound.
        max: u32,
    },
    /// A host may not boot with that much.
    #[error(
        "the UAR BARs of all functions would take {mib} MiB, and a host may not boot with more than 512"
    )]
    TooMuchBar {
        /// MiB.
        mib: u64,
    },
    /// What is stored together with others lacks one that has no default.
    #[error("{parameter} is stored together with these and has no value yet: name it too")]
    Missing { parameter: String },
    /// The firmware stopped in the middle.
    #[error("the firmware stored {stored} of {of} groups of settings: {source}")]
    Stopped {
        /// TLVs it had taken.
        stored: usize,
        /// TLVs there were.
        of: usize,
        /// What would boot.
        boots: Boots,
        /// Backup made before.
        backup: PathBuf,
        source: ToolsError,
    },
    /// The firmware reported success, and other values are read back.
    #[error("read back, these are not what was stored: {}", .parameters.join(", "))]
    NotStored {
        /// Their names.
        parameters: Vec<String>,
        /// What would boot.
        boots: Boots,
        /// Backup made before.
        backup: PathBuf,
    },
}

impl NvError {
    /// The card's own failure inside, if that is what it is.
    pub fn card(&self) -> Option<&CardError> {
        match self {
            Self::Tools(ToolsError::Card(error))
            | Self::Stopped { source: ToolsError::Card(error), .. } => Some(error),
            _ => None,
        }
    }

    /// What would boot, and the backup, once something was written.
    pub fn left(&self) -> Option<(Boots, &Path)> {
        match self {
            Self::Stopped { boots, backup, .. } | Self::NotStored { boots, backup, .. } => {
                Some((*boots, backup))
            }
            _ => None,
        }
    }
}
