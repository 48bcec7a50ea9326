//! `verify`: every section and CRC.

use super::{CardReport, Device, ImageFile, ImageReport, JobError};
use crate::flash::Events;
use crate::image::{FlashAddr, ImageOffset};
use serde::Serialize;
use std::path::PathBuf;

/// Answer of `verify`.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// Path of the file; `None` for a card.
    pub file: Option<PathBuf>,
    /// Every image found, fully read, lowest first.
    pub images: Vec<ImageReport>,
    /// Places that carry a signature where no image may start.
    pub stale: Vec<FlashAddr>,
    /// True when there is an image and each one found is sound.
    pub ok: bool,
}

/// First place where two images differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// First differing byte.
    pub at: ImageOffset,
    /// Number of differing bytes (bytes that only one of the two has count too).
    pub count: u64,
}

/// Answer of `verify --against`.
#[derive(Clone, Debug, Serialize)]
pub struct AgainstOutcome {
    /// The card.
    pub card: CardReport,
    /// Path of the file.
    pub file: PathBuf,
    /// Which image of the card was compared.
    pub start: FlashAddr,
    /// Equal, identity (GUIDs, MACs, VSD and the CRCs over them) aside.
    pub equal: bool,
    /// Equal byte for byte, identity included.
    pub identical: bool,
    /// Where they differ, identity aside.
    pub difference: Option<Difference>,
    /// SHA-256 of the card's image with its identity masked, lower-case hex.
    pub card_sha256: String,
    /// SHA-256 of the file's image with its identity masked, lower-case hex.
    pub file_sha256: String,
}

/// Verify every image on the card.
///
/// # Errors
/// When the card or its flash cannot be read. Damage is no error but in the answer.
pub fn verify_card(
    device: &mut Device,
    events: &mut dyn Events,
) -> Result<VerifyOutcome, JobError> {
    let _ = (device, events);
    todo!()
}

/// Verify an image file.
#[must_use]
pub fn verify_image(file: &ImageFile) -> VerifyOutcome {
    let _ = file;
    todo!()
}

/// Compare the image that would boot with a file, identity aside.
///
/// # Errors
/// When the card cannot be read or holds no image that can.
pub fn verify_against(
    device: &mut Device,
    file: &ImageFile,
    events: &mut dyn Events,
) -> Result<AgainstOutcome, JobError> {
    let _ = (device, file, events);
    todo!()
}
