//! Files a job reads: images and expansion ROMs.

use super::JobError;
use crate::image::{Contents, Rom};
use std::path::{Path, PathBuf};

/// Larger files than this (bytes) are not looked at: four times the largest flash chip.
pub const MAX_FILE: u64 = 64 << 20;

/// An image file, read and understood.
#[derive(Clone, Debug)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// Length of the file in bytes, bytes after the image included.
    pub len: u64,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// The image in it.
    pub contents: Contents,
}

/// An expansion ROM file.
#[derive(Clone, Debug)]
pub struct RomFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub rom: Rom,
}

/// Read an image file. Damage inside is no error: see [`crate::image::Image::findings`].
///
/// # Errors
/// [`JobError::ReadFile`], [`JobError::FileTooLarge`], [`JobError::ImageFile`],
/// [`JobError::RawDump`].
pub fn read_image(path: &Path) -> Result<ImageFile, JobError> {
    let _ = path;
    todo!()
}

/// Read an expansion ROM file.
///
/// # Errors
/// [`JobError::ReadFile`], [`JobError::FileTooLarge`], [`JobError::RomFile`].
pub fn read_rom(path: &Path) -> Result<RomFile, JobError> {
    let _ = path;
    todo!()
}
