//! `query`: what a card or an image file is.

use super::{Device, ImageFile, JobError};
use crate::card::Chip;
use crate::flash::{FlashPart, Protection};
use crate::image::{FlashAddr, Half, Image, Version};
use serde::Serialize;
use std::path::PathBuf;

/// The card itself.
#[derive(Clone, Debug, Serialize)]
pub struct CardReport {
    /// What the user called it.
    pub device: String,
    /// PCI address, when known.
    pub bdf: Option<String>,
    /// Silicon.
    pub chip: Chip,
    /// `ConnectX-3 A1`.
    pub chip_name: String,
    /// No firmware runs: recovery mode.
    pub recovery: bool,
    /// Running firmware.
    pub running: Option<Version>,
    /// Flash chip.
    pub flash: FlashPart,
    /// Write protection.
    pub protection: Protection,
}

/// One image on the card.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// Which half, on a failsafe card.
    pub half: Option<Half>,
    /// This is the one that would start, as far as is known.
    pub boots: bool,
    /// Every CRC was looked at and none is wrong; `None` when it was read quickly.
    pub whole: Option<bool>,
    /// What it says of itself; `None` when it cannot be read.
    pub image: Option<Image>,
    /// Why it cannot be read.
    pub error: Option<String>,
    /// Where its signature is.
    pub start: FlashAddr,
}

/// Answer of `query`.
#[derive(Clone, Debug, Serialize)]
pub struct QueryOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// Path of the file; `None` for a card.
    pub file: Option<PathBuf>,
    /// Every image found, lowest first. One for a file.
    pub images: Vec<ImageReport>,
    /// Places that carry a signature where no image may start.
    pub stale: Vec<FlashAddr>,
    /// Index in `images` of the one to speak of: the one that would start.
    pub active: Option<usize>,
    /// Flash and running versions differ: the new one starts with the next reset.
    pub reset_pending: bool,
}

/// Query a card with as few reads as its answer needs. `full` reads every byte, CRC and ini.
///
/// # Errors
/// When the card or its flash cannot be read.
pub fn query_card(device: &mut Device, full: bool) -> Result<QueryOutcome, JobError> {
    let _ = (device, full);
    todo!()
}

/// Query an image file.
#[must_use]
pub fn query_image(file: &ImageFile) -> QueryOutcome {
    let _ = file;
    todo!()
}
