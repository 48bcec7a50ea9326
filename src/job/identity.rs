//! `identity`: GUIDs, MACs and VSD.

use super::{Confirm, Device, ImageFile, JobError, WriteOutcome};
use crate::flash::Events;
use crate::image::{Guid, Identity, Mac};
use serde::Serialize;
use std::path::Path;

/// Answer of `identity show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdentityOutcome {
    /// Whom the image makes the card.
    pub identity: Identity,
    /// The GUID section's CRC and the Image Info section's CRC hold.
    pub sound: bool,
    /// PSID beside it.
    pub psid: Option<String>,
}

/// Parts of an identity the user spelled out; the others stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityChange {
    /// Node, port 1, port 2, system image.
    pub guids: Option<[Guid; 4]>,
    /// Port 1, port 2.
    pub macs: Option<[Mac; 2]>,
    /// Raw, at most 208 bytes.
    pub vsd: Option<Vec<u8>>,
}

/// Identity of the image that would boot.
///
/// # Errors
/// When the card cannot be read or its image has none.
pub fn identity_show(device: &mut Device) -> Result<IdentityOutcome, JobError> {
    let _ = device;
    todo!()
}

/// Identity in an image file.
///
/// # Errors
/// When the image has none.
pub fn identity_show_image(file: &ImageFile) -> Result<IdentityOutcome, JobError> {
    let _ = file;
    todo!()
}

/// Read `identity.json` of a backup.
///
/// # Errors
/// [`JobError::ReadFile`], [`JobError::BadFile`].
pub fn read_identity(path: &Path) -> Result<Identity, JobError> {
    let _ = path;
    todo!()
}

/// Give the card another identity: its own image is burned again with it.
///
/// # Errors
/// [`JobError`].
pub fn identity_set(
    device: &mut Device,
    change: &IdentityChange,
    backup_dir: &Path,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let _ = (device, change, backup_dir, confirm, events);
    todo!()
}
