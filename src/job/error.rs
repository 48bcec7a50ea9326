//! Why a job did not do what was asked.

use super::{BootReport, HostReport, NvError};
use crate::card::CardError;
use crate::flash::{Boots, FlashError, LayoutError, Stopped};
use crate::host::{DiscoverError, HostError, LeaseError, VfioError};
use crate::image::{ImageError, PatchError, RomError, SourceError, Version};
use crate::plan::{CheckId, PlanReport};
use crate::sim::CardFileError;
use std::path::PathBuf;

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
    let details: Vec<&str> = report.refusing().map(|c| c.detail.as_str()).collect();
    details.join("; ")
}

impl JobError {
    /// Ids of the checks that refuse, in the plan's order, without those that could not be judged
    /// because of them; empty for other errors.
    #[must_use]
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

/// The causes of an error, outermost first, each on one line. A cause that the error around it
/// already quotes is left out.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut outer = one_line(&error.to_string());
    let mut next = error.source();
    while let Some(inner) = next {
        let text = one_line(&inner.to_string());
        if !outer.ends_with(&text) {
            causes.push(text.clone());
        }
        outer = text;
        next = inner.source();
    }
    causes
}

/// An error and its causes on one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    causes(error)
        .into_iter()
        .fold(one_line(&error.to_string()), |text, cause| {
            if text.contains(&cause) {
                text
            } else {
                format!("{text}: {cause}")
            }
        })
}

/// `text` without control characters: a file name or a damaged image must not draw on the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{JobError, causes, error_chain, one_line};

    #[test]
    fn each_cause_is_printed_once() {
        let error = JobError::ReadFile {
            path: "x.bin".into(),
            source: std::io::Error::other("inner"),
        };
        assert_eq!(causes(&error), ["inner"]);
        assert_eq!(error_chain(&error), "cannot read x.bin: inner");
        let transparent = JobError::from(crate::card::CardError::Locked);
        assert!(causes(&transparent).is_empty());
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc\n"), "a [2Jb c");
    }
}
