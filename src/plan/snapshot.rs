//! What was read of a card, as plain data.

use crate::card::Chip;
use crate::flash::{FlashPart, Protection};
use crate::image::{Image, Scan, Version};

/// Everything a plan may depend on.
#[derive(Clone, Debug)]
pub struct CardSnapshot {
    /// Silicon.
    pub chip: Chip,
    /// No firmware runs.
    pub recovery: bool,
    /// Running firmware, when there is one.
    pub running: Option<Version>,
    /// Flash chip.
    pub part: FlashPart,
    /// Its protection.
    pub protection: Protection,
    /// The whole flash, byte for byte.
    pub flash: Vec<u8>,
    /// Signatures in it.
    pub scan: Scan,
    /// One entry per signature, read fully.
    pub found: Vec<Found>,
}

/// What stands at one signature.
#[derive(Clone, Debug)]
pub struct Found {
    /// The image, or why there is none to speak of.
    pub image: Result<Image, String>,
}
