//! The boot ROM: which image would start.

use crate::image::{FlashAddr, Version};
use serde::Serialize;

/// What a power-on finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "boots")]
pub enum BootOutcome {
    /// This image starts.
    Image {
        /// Where its magic is.
        start: FlashAddr,
        /// Its version.
        version: Version,
    },
    /// None does: the card comes up with its recovery id.
    Recovery,
}
