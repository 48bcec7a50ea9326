//! Stages of the self-test and their results.

use crate::card::BarAccess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One assumption, or a few that belong together, in the order in which they are tested. What each is about:
/// docs/selftest.md.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StageId {
    /// What the kernel driver knew of the card before it was taken.
    Driver,
    /// What the card showed after VFIO opened it.
    Boot,
    /// The transports agree, and the byte order is right.
    Transports,
    /// Semaphores can be taken and freed.
    Semaphores,
    /// The gateway and the chip behind it answer the same each time.
    Gateway,
    /// The flash reads the same twice.
    Readings,
    /// Chains of 64 bytes read what single reads do.
    #[serde(rename = "chains_64")]
    Chains64,
    /// Chains of 256 bytes.
    #[serde(rename = "chains_256")]
    Chains256,
    /// Chains of 4096 bytes, the length that jobs use.
    #[serde(rename = "chains_4096")]
    Chains4096,
    /// Every image on the flash verifies.
    Images,
    /// The version that runs is that of exactly one image on the flash.
    Running,
    /// The boot address register names a place where an image may start.
    BootAddress,
    /// The flash holds the identity that the driver knew.
    Identity,
    /// The settings of the firmware are where they are predicted.
    SettingsArea,
    /// The tools command interface answers (opt-in).
    ToolsInterface,
    /// A software reset loads the firmware from the flash (opt-in).
    Reset,
    /// Write enable and write disable show in the status register (expendable card).
    WriteEnable,
    /// Programming FF over FF changes nothing (expendable card).
    BlankProgram,
    /// A pattern of 16 bytes in a blank sector, erased by 4 KiB (expendable card).
    #[serde(rename = "erase_4k")]
    Erase4K,
    /// The same by an erase of 64 KiB (expendable card).
    #[serde(rename = "erase_64k")]
    Erase64K,
    /// The same image, burned again (expendable card).
    BurnAgain,
    /// Card and host are as before.
    Restored,
}

impl StageId {
    /// Its name in JSON.
    pub fn name(self) -> String {
        let value = serde_json::to_value(self).ok();
        value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }

    pub(super) fn is_about_chains(self) -> bool {
        matches!(self, Self::Chains64 | Self::Chains256 | Self::Chains4096)
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageResult {
    /// This card has shown it.
    Proved,
    /// This card has shown the contrary, each time.
    Contradicted,
    /// This card, in this state, shows neither.
    Unknown,
    /// Not run: it depends on a stage that was contradicted.
    Skipped,
}

impl StageResult {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Contradicted => "contradicted",
            Self::Unknown => "unknown",
            Self::Skipped => "skipped",
        }
    }
}

/// Name of the figure that lists the transports that agree.
pub(super) const AGREED: &str = "agreed";

/// A figure of a stage. Its unit is the end of its name: `_us`, `_ms`, `_hz`, `_bytes`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: FigureValue,
}

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(untagged)]
pub enum FigureValue {
    Number(u64),
    Text(String),
}

impl From<u64> for FigureValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for FigureValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// One stage with its result.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct StageReport {
    pub id: StageId,
    pub result: StageResult,
    /// One sentence.
    pub detail: String,
    pub figures: Vec<Figure>,
}

/// What is kept of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StageRecord {
    pub(super) id: StageId,
    pub(super) result: StageResult,
    pub(super) detail: String,
    /// Of the transports: those that read the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agreed: Option<Vec<BarAccess>>,
}

impl From<&StageReport> for StageRecord {
    fn from(stage: &StageReport) -> Self {
        let agreed = stage.figures.iter().find(|figure| figure.name == AGREED);
        let agreed = agreed.and_then(|figure| match &figure.value {
            FigureValue::Text(names) => {
                Some(names.split(", ").filter_map(|n| n.parse().ok()).collect())
            }
            FigureValue::Number(_) => None,
        });
        Self { id: stage.id, result: stage.result, detail: stage.detail.clone(), agreed }
    }
}

/// What a stage has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StageFinding {
    pub(super) result: StageResult,
    pub(super) detail: String,
    pub(super) figures: Vec<Figure>,
}

impl StageFinding {
    fn of(result: StageResult, detail: impl Into<String>) -> Self {
        Self { result, detail: detail.into(), figures: Vec::new() }
    }

    pub(super) fn proved(detail: impl Into<String>) -> Self {
        Self::of(StageResult::Proved, detail)
    }

    pub(super) fn contradicted(detail: impl Into<String>) -> Self {
        Self::of(StageResult::Contradicted, detail)
    }

    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::of(StageResult::Unknown, detail)
    }

    pub(super) fn skipped(detail: impl Into<String>) -> Self {
        Self::of(StageResult::Skipped, detail)
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<FigureValue>) -> Self {
        self.figures.push(Figure { name: name.to_owned(), value: value.into() });
        self
    }

    pub(super) fn report(self, id: StageId) -> StageReport {
        let Self { result, detail, figures } = self;
        StageReport { id, result, detail, figures }
    }
}
