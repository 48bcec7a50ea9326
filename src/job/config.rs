//! `config`: the ini in the image, the NV configuration sectors.

use super::{Confirm, Device, ImageFile, JobError, WriteOutcome};
use crate::flash::Events;
use serde::Serialize;
use std::path::Path;

/// Answer of `config show`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigOutcome {
    /// The ini text, lossy where it is not UTF-8.
    pub ini: String,
    /// Its bytes as they are.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The ini of the image that would boot.
///
/// # Errors
/// When the card cannot be read or its image has no ini.
pub fn config_show(device: &mut Device) -> Result<ConfigOutcome, JobError> {
    let _ = device;
    todo!()
}

/// The ini of an image file.
///
/// # Errors
/// [`JobError::NoPart`].
pub fn config_show_image(file: &ImageFile) -> Result<ConfigOutcome, JobError> {
    let _ = file;
    todo!()
}

/// Erase the NV configuration sectors, where they are for this layout (fs2-image §1.6, §10.7 #13).
///
/// # Errors
/// [`JobError`].
pub fn config_reset(
    device: &mut Device,
    backup_dir: &Path,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let _ = (device, backup_dir, confirm, events);
    todo!()
}
