//! Why a job did not do what was asked.

use super::{BootReport, HostReport, NvError};
use crate::card::CardError;
use crate::flash::{Boots, FlashError, LayoutError, Stopped};
use crate::host::{DiscoverError, HostError, JournalError, LeaseError, VfioError};
use crate::image::{ImageError, PatchError, RomError, SourceError, Version};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use serde::Serialize;
use std::path::PathBuf;

/// How a job ended, in the classes of the design's exit table. The numbers live in `cli`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitClass {
    /// Done.
    Done,
    /// Failed; nothing changed on the card.
    Failed,
    /// Nothing to do: the card already holds exactly this.
    NothingToDo,
    /// No such card.
    NoCard,
    /// Refused by a check.
    Refused,
    /// The host is not ready, or another program holds the card.
    NotReady,
    /// Failed after erase began; the card still boots.
    StillBoots,
    /// Failed; the card needs `recover`.
    NeedsRecover,
    /// The host could not be put back.
    HostNotRestored,
    /// The flash was changed, and what would boot could not be read.
    OutcomeUnknown,
    /// Interrupted before the first erase.
    Interrupted,
}

/// Errors of jobs.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The host or the card's users refuse, or the host cannot be put back.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The card was borrowed, and could not be given back.
    #[error("the host is not as it was: {problem}")]
    NotPutBack {
        /// Why.
        problem: String,
        /// What it is like now.
        host: Box<HostReport>,
    },
    /// The card file cannot be used.
    #[error(transparent)]
    CardFile(#[from] CardFileError),
    /// The card failed.
    #[error(transparent)]
    Card(#[from] CardError),
    /// The flash failed before anything was changed.
    #[error(transparent)]
    Flash(#[from] FlashError),
    /// The flash could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file could not be read.
    #[error("cannot read {path}")]
    ReadFile {
        /// Path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {path}")]
    WriteFile {
        /// Path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file holds something else after it was written and synced.
    #[error("{path} does not read back as it was written")]
    NotWritten {
        /// Path.
        path: PathBuf,
    },
    /// A file is larger than any file of its kind.
    #[error("{path} has {len} bytes, at most {max} make sense")]
    FileTooLarge {
        /// Path.
        path: PathBuf,
        /// Its length in bytes.
        len: u64,
        /// Bound in bytes.
        max: u64,
    },
    /// A file is no image.
    #[error("{path}: {source}")]
    ImageFile {
        /// Path.
        path: PathBuf,
        /// Why.
        source: ImageError,
    },
    /// A file is a raw dump of a flash chip, not an image.
    #[error("{path} is a raw dump of a flash chip, not an image")]
    RawDump {
        /// Path.
        path: PathBuf,
    },
    /// A file is no expansion ROM.
    #[error("{path}: {source}")]
    RomFile {
        /// Path.
        path: PathBuf,
        /// Why.
        source: RomError,
    },
    /// A JSON file of ours does not say what it must.
    #[error("{path}: {why}")]
    BadFile {
        /// Path.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An image could not be changed as asked.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// The chip's protection is not changed, and why.
    #[error("the flash's protection stays as it is: {0}")]
    Protection(String),
    /// The ini has no such key.
    #[error("the ini has no key {key}{}", near_names(.near))]
    NoKey {
        /// As it was asked for.
        key: String,
        /// Names it may have meant.
        near: Vec<String>,
    },
    /// No sector plan leads there (the protected areas are in the way).
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The card holds no valid image, so there is nothing to show or change.
    #[error("the card holds no valid image: {0}")]
    NoImage(String),
    /// The image has no such part.
    #[error("the image has no {0}")]
    NoPart(&'static str),
    /// One or more checks refuse.
    #[error("refused: {}", refusals(.report))]
    Refused {
        /// The whole plan, every check listed.
        report: Box<PlanReport>,
    },
    /// The user said no.
    #[error("not confirmed")]
    Declined,
    /// Asked to stop before the first erase.
    #[error("interrupted before anything was changed")]
    Interrupted,
    /// A session that had begun to write stopped.
    #[error("{stopped}: {}", .stopped.source)]
    Stopped {
        /// Phase, place, what boots, cause.
        stopped: Stopped,
        /// Backup made before, if one was made.
        backup: Option<PathBuf>,
    },
    /// Written and committed, but what the card would boot is not what was written.
    #[error("the card would not boot the new image: {found}")]
    WrongBoot {
        /// What would boot.
        found: String,
        /// Whether anything would.
        boots: Boots,
        /// Backup made before.
        backup: Option<PathBuf>,
    },
    /// A step behind the change of the flash failed. What the flash holds counts more than the step.
    #[error("{}", after_change(.written.as_ref(), .boots.as_ref()))]
    AfterChange {
        /// Version that was written; `None` for a change that writes no image.
        written: Option<Version>,
        /// What would boot; `None` = it could not be read.
        boots: Option<BootReport>,
        /// Backup made before, if one was made.
        backup: Option<PathBuf>,
        /// What failed.
        source: Box<JobError>,
    },
    /// The card is not what it was when it was read first, or was misread.
    #[error("the card changed since it was read first, or was misread: {what}; nothing was erased")]
    Changed {
        /// What is different.
        what: String,
    },
    /// No two consecutive readings of the flash agree.
    #[error("the readings of the flash never agree")]
    ReadingsDiffer,
    /// The new firmware does not run after the reset; the flash holds it.
    #[error("the card did not come back with {wanted}, which its flash holds: {found}")]
    NotActivated {
        /// Version on the flash.
        wanted: String,
        /// What is there instead.
        found: String,
    },
    /// The port above the card could take the card away at a reset.
    #[error("the card is not reset while it is borrowed: {why}")]
    PortRemovesCard {
        /// What the port does.
        why: String,
    },
    /// The settings the firmware keeps.
    #[error(transparent)]
    Nv(#[from] NvError),
    /// Somebody uses the semaphore: it changes hands.
    #[error("semaphore {number} is in use: {why}")]
    InUse {
        /// Index in the bank.
        number: u8,
        /// The proof.
        why: String,
    },
}

fn after_change(written: Option<&Version>, boots: Option<&BootReport>) -> String {
    let written = written.map_or_else(String::new, |version| format!(" ({version} was written)"));
    match boots.map(|found| (found.start, found.version)) {
        None => format!("the flash was changed{written}, and what would boot could not be read"),
        Some((Some(start), version)) => format!(
            "the flash holds {} at {:#x}, which boots; a later step failed",
            version.map_or_else(|| "an image".to_owned(), |v| v.to_string()),
            start.0
        ),
        Some((None, _)) => format!("the flash was changed{written} and holds nothing that boots"),
    }
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; near it: {}", near.join(", "))
    }
}

fn refusals(report: &PlanReport) -> String {
    let lines: Vec<&str> = report
        .checks
        .iter()
        .filter(|c| !c.ok && !c.skipped)
        .map(|c| c.detail.as_str())
        .collect();
    lines.join("; ")
}

impl JobError {
    /// The class of the exit table.
    #[must_use]
    pub fn class(&self) -> ExitClass {
        match self {
            Self::CardFile(error) => match error {
                CardFileError::Busy { .. } => ExitClass::NotReady,
                CardFileError::Exists(_) => ExitClass::Failed,
                _ => ExitClass::NoCard,
            },
            Self::Card(error) | Self::Flash(FlashError::Card(error)) => card_class(error),
            Self::Flash(FlashError::Interrupted) | Self::Interrupted => ExitClass::Interrupted,
            Self::InUse { .. } => ExitClass::NotReady,
            Self::Refused { .. } | Self::Protection(_) | Self::PortRemovesCard { .. } => {
                ExitClass::Refused
            }
            Self::Stopped { stopped, .. } => stopped_class(stopped),
            Self::WrongBoot { boots, .. } => match boots {
                Boots::OldImage | Boots::NewImage => ExitClass::StillBoots,
                Boots::Nothing => ExitClass::NeedsRecover,
                Boots::Unknown => ExitClass::OutcomeUnknown,
            },
            Self::AfterChange { boots, source, .. } => match boots.as_ref().map(|b| b.start) {
                None => ExitClass::OutcomeUnknown,
                Some(None) => ExitClass::NeedsRecover,
                Some(Some(_)) if matches!(**source, Self::NotPutBack { .. }) => {
                    ExitClass::HostNotRestored
                }
                Some(Some(_)) => ExitClass::StillBoots,
            },
            Self::NotActivated { .. } => ExitClass::StillBoots,
            Self::Nv(error) => nv_class(error),
            Self::Host(error) => host_class(error),
            Self::NotPutBack { .. } => ExitClass::HostNotRestored,
            _ => ExitClass::Failed,
        }
    }

    /// Ids of the checks that refuse, in the plan's order, without those that could not be judged
    /// because of them; empty for other errors.
    #[must_use]
    pub fn refused_by(&self) -> Vec<CheckId> {
        match self {
            Self::Refused { report } => report
                .checks
                .iter()
                .filter(|c| !c.ok && !c.skipped)
                .map(|c| c.id)
                .collect(),
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

/// An error with its causes, in one line.
pub(crate) fn said(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

fn host_class(error: &HostError) -> ExitClass {
    match error {
        HostError::Discover(DiscoverError::VirtualFunction { .. }) => ExitClass::Refused,
        HostError::Discover(_) => ExitClass::NoCard,
        // What no waiver helps against is no matter of this card's users but of the host.
        HostError::InUse { uses, .. } if uses.iter().any(|u| u.id.waivable()) => ExitClass::Refused,
        HostError::InUse { .. } | HostError::NoIommu { .. } | HostError::Vfio(_) => {
            ExitClass::NotReady
        }
        HostError::Lease(error) => match error {
            LeaseError::NotBootable { .. } => ExitClass::NeedsRecover,
            // What it knew of the host is lost, so nobody can say that the host is as it was.
            LeaseError::Journal(JournalError::Damaged { .. }) => ExitClass::HostNotRestored,
            error if error.host_changed() => ExitClass::HostNotRestored,
            _ => ExitClass::NotReady,
        },
    }
}

fn card_class(error: &CardError) -> ExitClass {
    match error {
        CardError::SemaphoreHeld { .. } | CardError::NotReady { .. } => ExitClass::NotReady,
        CardError::NotOurs(_) => ExitClass::NoCard,
        _ => ExitClass::Failed,
    }
}

fn nv_class(error: &NvError) -> ExitClass {
    match (error, error.left()) {
        (_, Some((Boots::OldImage | Boots::NewImage, _))) => ExitClass::StillBoots,
        (_, Some((Boots::Nothing, _))) => ExitClass::NeedsRecover,
        (_, Some((Boots::Unknown, _))) => ExitClass::OutcomeUnknown,
        (
            NvError::NotOnThisCard { .. }
            | NvError::TooLarge { .. }
            | NvError::TooMuchBar { .. }
            | NvError::Missing { .. },
            None,
        ) => ExitClass::Refused,
        (error, None) => error.card().map_or(ExitClass::Failed, card_class),
    }
}

fn stopped_class(stopped: &Stopped) -> ExitClass {
    match (stopped.touched, stopped.boots) {
        (false, _) => match &stopped.source {
            FlashError::Interrupted => ExitClass::Interrupted,
            FlashError::Card(error) => card_class(error),
            _ => ExitClass::Failed,
        },
        (true, Boots::OldImage | Boots::NewImage) => ExitClass::StillBoots,
        (true, Boots::Nothing) => ExitClass::NeedsRecover,
        (true, Boots::Unknown) => ExitClass::OutcomeUnknown,
    }
}
