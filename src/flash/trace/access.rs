//! One access to a card.

use crate::card::BarAccess;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an access was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub enum TraceOp {
    /// A register was read.
    #[serde(rename = "r")]
    Read,
    /// A register was written.
    #[serde(rename = "w")]
    Write,
    /// The PCI device id was read from configuration space.
    #[serde(rename = "id")]
    PciId,
    /// The transport was asked whether the card is back after a reset.
    #[serde(rename = "back")]
    Back,
    /// The PCI function was reset.
    #[serde(rename = "reset")]
    Reset,
}

/// The value of an access, as a trace holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceValue {
    /// As it was.
    Clear(u32),
    /// The number of a word that is not recorded: equal words of one trace have equal numbers.
    Masked(u32),
    /// The access failed.
    Failed,
    /// The card cannot be reached by this transport.
    Absent,
}

/// One access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceAccess {
    /// Microseconds since the recording began.
    pub time: u64,
    /// `None` for a card without a choice.
    pub transport: Option<BarAccess>,
    pub op: TraceOp,
    /// Offset in CR-space; 0 where the operation has none.
    pub at: u32,
    pub value: TraceValue,
}

impl std::fmt::Display for TraceValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clear(word) => write!(f, "{word:08x}"),
            Self::Masked(number) => write!(f, "#{number:x}"),
            Self::Failed => f.write_str(FAILED),
            Self::Absent => f.write_str(ABSENT),
        }
    }
}

pub(super) const FAILED: &str = "failed";
pub(super) const ABSENT: &str = "absent";

impl TraceOp {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::PciId => "id",
            Self::Back => "back",
            Self::Reset => "reset",
        }
    }
}

impl std::fmt::Display for TraceOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::PciId => "read of the PCI device id",
            Self::Back => "question for the card after a reset",
            Self::Reset => "reset of the PCI function",
        })
    }
}
