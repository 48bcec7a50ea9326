//! A plan without its bytes, for output.

use super::{Change, Check, CrossFlash, Kept};
use crate::escape::ForeignText;
use crate::flash::{EraseSize, SectorMap};
use crate::image::{FlashAddr, Half, Version};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Where the image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Target {
    /// The other half; the card boots the old image until the commit.
    Half {
        half: Half,
        /// In bytes.
        chunk_size: u64,
    },
    /// Over the only image there is.
    InPlace,
    /// The whole flash (restore).
    WholeFlash,
}

/// One erase of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct EraseReport {
    pub at: FlashAddr,
    /// In bytes.
    #[serde(serialize_with = "bytes")]
    #[schemars(with = "u32")]
    pub size: EraseSize,
}

fn bytes<S: Serializer>(size: &EraseSize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(size.bytes())
}

/// The writes of a plan, in figures.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ActionReport {
    /// Where the image goes; `None` for jobs that write no image.
    pub target: Option<Target>,
    /// Address of the new signature.
    pub signature_at: Option<FlashAddr>,
    /// Signatures that are invalidated after the commit.
    pub invalidate: Vec<FlashAddr>,
    /// Survives an interruption at any point (P1).
    pub survives_interruption: bool,
    /// Erases in order.
    pub erases: Vec<EraseReport>,
    /// Number of program commands.
    pub programs: usize,
    /// Bytes programmed.
    pub program_bytes: u64,
    /// Typical time of all erases and programs, in milliseconds.
    pub estimate_ms: u64,
    /// The whole flash, cell by cell.
    pub map: SectorMap,
}

/// What happens between the commit and the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StartKind {
    /// The card is reset and watched while the old image still is one; the old one comes back where the new
    /// firmware does not run.
    Trial,
    /// The card is reset and inspected after the job, before a driver gets it.
    Look,
    /// Neither.
    None,
}

/// How new firmware is started the first time.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct StartReport {
    pub kind: StartKind,
    /// What that means here, and why it is no trial.
    pub detail: String,
}

/// A plan without its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct PlanReport {
    /// Every check, passed or not, in a fixed order.
    pub checks: Vec<Check>,
    /// True when a check refuses.
    pub refused: bool,
    /// The card already holds exactly this.
    pub nothing_to_do: bool,
    /// Version of the image that boots now.
    #[serde(rename = "from_fw_version")]
    pub from_version: Option<Version>,
    /// Version of the new image.
    #[serde(rename = "to_fw_version")]
    pub to_version: Option<Version>,
    /// PSID of the image that boots now.
    pub from_psid: Option<ForeignText>,
    /// PSID of the new image.
    pub to_psid: Option<ForeignText>,
    /// What will be different.
    pub changes: Vec<Change>,
    /// What stays.
    pub kept: Vec<Kept>,
    /// Sentences to read before the confirmation.
    pub warnings: Vec<String>,
    /// The card's image beside the new one, where their PSIDs differ, refused or not.
    pub crossflash: Option<Box<CrossFlash>>,
    /// How the new firmware is started the first time; `None` when nothing is written, or what runs is left.
    pub start: Option<StartReport>,
    /// What to do; `None` when refused or when there is nothing to do.
    pub action: Option<ActionReport>,
}

impl PlanReport {
    /// A plan that ended at its first check.
    pub fn refused_by(check: Check) -> Self {
        Self { checks: vec![check], refused: true, ..Self::default() }
    }

    /// The checks that refuse, without those that could not be judged because of them.
    pub fn refusing(&self) -> impl Iterator<Item = &Check> + Clone {
        self.checks.iter().filter(|c| c.refuses())
    }
}
