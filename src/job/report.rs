//! What writing jobs hand back.

use super::{Activation, BackupOutcome};
use crate::plan::{BootReport, PlanReport};
use serde::Serialize;

/// Which writing job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteJob {
    /// A new image.
    Burn,
    /// A backup put back.
    Restore,
    /// An image onto a card without one.
    Recover,
    /// Another identity.
    IdentitySet,
    /// Another expansion ROM.
    RomWrite,
    /// No expansion ROM.
    RomRemove,
    /// NV configuration sectors erased.
    ConfigReset,
}

/// Asked once, with the plan that will be carried out; `false` ends the job with
/// [`super::JobError::Declined`].
pub type Confirm<'a> = &'a mut dyn FnMut(&PlanReport) -> bool;

/// Outcome of every job that writes to the card.
#[derive(Clone, Debug, Serialize)]
pub struct WriteOutcome {
    /// Which job.
    pub job: WriteJob,
    /// The plan that was carried out, every check listed.
    pub plan: PlanReport,
    /// True: the card held exactly this already, nothing was erased or programmed (exit 2).
    pub nothing_to_do: bool,
    /// The backup made before the first erase; `None` when there was nothing to do.
    pub backup: Option<BackupOutcome>,
    /// What would boot now.
    pub boots: BootReport,
    /// The reset and what runs after it, if it was asked for.
    pub activation: Option<Activation>,
    /// SHA-256 of the image as it stands on the card, lower-case hex; `None` for jobs that write no image.
    pub image_sha256: Option<String>,
}
