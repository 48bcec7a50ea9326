//! Files a job reads: images and expansion ROMs.

use super::JobError;
use super::store::digest;
use crate::flash::Events;
use crate::host::{InputError, read_input};
use crate::image::{Contents, ImageError, Rom};
use crate::plan::{BurnOptions, CardSnapshot, Check, Plan, PlanReport, plan_burn};
use std::path::{Path, PathBuf};

/// Larger files than this (bytes) are refused: twice the largest flash an image can start in.
pub(super) const MAX_FILE: u64 = 64 << 20;
/// Bytes of a JSON file of a backup; the longest has a few KiB.
pub(super) const MAX_JSON: u64 = 1 << 20;

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

impl ImageFile {
    /// The check of `--expect`.
    fn check(&self, options: &BurnOptions) -> Option<Check> {
        let expected = options.expect.as_ref()?;
        Some(Check::expected_file(&self.sha256, expected))
    }

    /// Refuses another file than the one of `--expect`: no card is needed to know.
    pub fn expected(&self, options: &BurnOptions) -> Result<(), JobError> {
        match self.check(options) {
            Some(check) if !check.ok => {
                Err(JobError::Refused { report: Box::new(PlanReport::refused_by(check)) })
            }
            _ => Ok(()),
        }
    }

    /// The plan of a burn of this file.
    pub(super) fn plan(&self, card: &CardSnapshot, options: &BurnOptions) -> Plan {
        let mut plan = plan_burn(card, &self.contents, self.len, options);
        if let Some(check) = self.check(options) {
            if !check.ok {
                plan.report.refused = true;
                plan.action = None;
            }
            plan.report.checks.insert(0, check);
        }
        plan
    }
}

/// An expansion ROM file.
#[derive(Clone, Debug)]
pub struct RomFile {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    /// Its parsed header.
    pub rom: Rom,
}

/// Reads a file of at most [`MAX_FILE`] bytes, once; a stop that `events` reports ends the wait for a pipe.
pub(crate) fn read_bytes(path: &Path, events: &dyn Events) -> Result<Vec<u8>, JobError> {
    read_input(path, MAX_FILE, &|| events.stop_requested())
        .map_err(|error| not_read(path, MAX_FILE, error))
}

/// The error of a job for a file that was not read.
pub(super) fn not_read(path: &Path, max: u64, error: InputError) -> JobError {
    let path = path.to_owned();
    match error {
        InputError::NotAFile(what) => JobError::NotAFile { path, what },
        InputError::TooLarge(len) => JobError::FileTooLarge { path, len, max },
        InputError::Stopped => JobError::Interrupted,
        InputError::Io(source) => JobError::ReadFile { path, source },
    }
}

/// Reads an image file. Damage inside is no error: see [`crate::image::Image::findings`].
pub fn read_image(path: &Path, events: &dyn Events) -> Result<ImageFile, JobError> {
    ImageFile::parse(path, &read_bytes(path, events)?)
}

/// Reads an expansion ROM file.
pub fn read_rom(path: &Path, events: &dyn Events) -> Result<RomFile, JobError> {
    RomFile::parse(path, read_bytes(path, events)?)
}

impl ImageFile {
    /// The image in the bytes of the file at `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, JobError> {
        let contents = Contents::from_file(bytes).map_err(|source| match source {
            ImageError::RawDump => JobError::RawDump { path: path.to_owned() },
            source => JobError::ImageFile { path: path.to_owned(), source },
        })?;
        Ok(Self { path: path.to_owned(), len: bytes.len() as u64, sha256: digest(bytes), contents })
    }
}

impl RomFile {
    /// The ROM in the bytes of the file at `path`.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, JobError> {
        let rom = Rom::for_writing(&bytes)
            .map_err(|source| JobError::RomFile { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), bytes, rom })
    }
}
