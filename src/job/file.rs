//! Files a job reads: images and expansion ROMs.

use super::JobError;
use super::store::digest;
use crate::image::{Contents, ImageError, Rom};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Larger files than this (bytes) are refused: twice the largest flash an image can start in.
pub const MAX_FILE: u64 = 64 << 20;

/// An image file, read and understood.
#[derive(Clone, Debug)]
pub struct ImageFile {
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
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Its parsed header.
    pub rom: Rom,
}

/// The bytes of a file of at most [`MAX_FILE`] bytes.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, JobError> {
    let failed = |source| JobError::ReadFile { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than allowed: a file that grows, or a device without an end, is noticed.
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(JobError::FileTooLarge {
            path: path.to_owned(),
            len: bytes.len() as u64,
            max: MAX_FILE,
        });
    }
    Ok(bytes)
}

/// Read an image file. Damage inside is no error: see [`crate::image::Image::findings`].
pub fn read_image(path: &Path) -> Result<ImageFile, JobError> {
    let bytes = read_bytes(path)?;
    let contents = Contents::from_file(&bytes).map_err(|source| match source {
        ImageError::RawDump => JobError::RawDump { path: path.to_owned() },
        source => JobError::ImageFile { path: path.to_owned(), source },
    })?;
    Ok(ImageFile {
        path: path.to_owned(),
        len: bytes.len() as u64,
        sha256: digest(&bytes),
        contents,
    })
}

/// Read an expansion ROM file.
pub fn read_rom(path: &Path) -> Result<RomFile, JobError> {
    let bytes = read_bytes(path)?;
    let rom = Rom::for_writing(&bytes)
        .map_err(|source| JobError::RomFile { path: path.to_owned(), source })?;
    Ok(RomFile { path: path.to_owned(), bytes, rom })
}
