//! `rom`: the expansion ROM inside the image.

use super::{Confirm, Device, ImageFile, JobError, RomFile, WriteOutcome};
use crate::flash::Events;
use crate::image::Rom;
use serde::Serialize;
use std::path::Path;

/// Answer of `rom info` and `rom read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RomOutcome {
    /// What the ROM says of itself; `None` when the image has none.
    pub rom: Option<Rom>,
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: Option<String>,
    /// Its bytes.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The ROM of the image that would boot.
///
/// # Errors
/// When the card cannot be read.
pub fn rom_info(device: &mut Device) -> Result<RomOutcome, JobError> {
    let _ = device;
    todo!()
}

/// The ROM in an image file or of a ROM file.
///
/// # Errors
/// When the file is neither.
pub fn rom_info_file(path: &Path) -> Result<RomOutcome, JobError> {
    let _ = path;
    todo!()
}

/// Copy the card's ROM to a new file.
///
/// # Errors
/// [`JobError::NoPart`] when there is none, [`JobError::WriteFile`].
pub fn rom_read(device: &mut Device, out: &Path) -> Result<RomOutcome, JobError> {
    let _ = (device, out);
    todo!()
}

/// Copy an image file's ROM to a new file.
///
/// # Errors
/// As [`rom_read`].
pub fn rom_read_image(file: &ImageFile, out: &Path) -> Result<RomOutcome, JobError> {
    let _ = (file, out);
    todo!()
}

/// Put a ROM on the card: its own image is burned again with it.
///
/// # Errors
/// [`JobError`].
pub fn rom_write(
    device: &mut Device,
    rom: &RomFile,
    backup_dir: &Path,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let _ = (device, rom, backup_dir, confirm, events);
    todo!()
}

/// Take the ROM off the card: its own image is burned again without it.
///
/// # Errors
/// [`JobError`].
pub fn rom_remove(
    device: &mut Device,
    backup_dir: &Path,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let _ = (device, backup_dir, confirm, events);
    todo!()
}
