//! `backup`: everything a card needs to become itself again, in one directory.

use super::{Device, JobError};
use crate::flash::Events;
use crate::image::Version;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Name inside the directory.
    pub name: String,
    /// Bytes.
    pub len: u64,
    /// SHA-256, lower-case hex.
    pub sha256: String,
}

/// `manifest.json` of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub schema: u32,
    /// UTC, RFC 3339.
    pub time: String,
    /// Program and version that made it.
    pub made_by: String,
    /// What the user called the card.
    pub device: String,
    /// PCI address, when known.
    pub bdf: Option<String>,
    /// Hardware id of the chip, 0x1f5 or 0x1f7.
    pub hw_id: u16,
    /// Its revision.
    pub revision: u8,
    /// JEDEC id of the flash chip, six hex digits.
    pub jedec: String,
    /// Bytes of the flash chip.
    pub flash_size: u32,
    /// PSID of the image that would boot, if there is one.
    pub psid: Option<String>,
    /// Its version.
    pub version: Option<Version>,
    /// Firmware running at that time.
    pub running: Option<Version>,
    /// Every other file of the directory.
    pub files: Vec<BackupFile>,
}

/// A backup that is on disk: synced, read back, digests compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupOutcome {
    /// The directory.
    pub dir: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
}

/// Read the whole flash once and write it, and what is in it, to a new directory inside `out`.
///
/// # Errors
/// [`JobError`]; nothing is left behind in `out`.
pub fn backup(
    device: &mut Device,
    out: &Path,
    events: &mut dyn Events,
) -> Result<BackupOutcome, JobError> {
    let _ = (device, out, events);
    todo!()
}
