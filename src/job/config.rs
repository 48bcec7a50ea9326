//! `config`: the ini in the image, the NV configuration sectors.

use super::run::{WriteSettings, run};
use super::{Confirm, Device, ImageFile, JobError, WriteJob, WriteOutcome};
use crate::flash::Events;
use crate::image::Contents;
use crate::plan::plan_config_reset;
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
    let contents = device.active_contents()?;
    ini_of(&contents)
}

/// The ini of an image file.
///
/// # Errors
/// [`JobError::NoPart`].
pub fn config_show_image(file: &ImageFile) -> Result<ConfigOutcome, JobError> {
    ini_of(&file.contents)
}

fn ini_of(contents: &Contents) -> Result<ConfigOutcome, JobError> {
    let ini = contents
        .image()
        .ini
        .as_ref()
        .ok_or(JobError::NoPart("settings (FW Configuration section)"))?;
    Ok(ConfigOutcome {
        ini: String::from_utf8_lossy(&ini.bytes).into_owned(),
        bytes: ini.bytes.clone(),
    })
}

/// Erase the NV configuration sectors, where they are for this layout (docs/fs2.md#flash-map, docs/fs2.md#order-of-a-burn #13).
pub fn config_reset(
    device: &mut Device,
    backup_dir: &Path,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let work = WriteSettings {
        job: WriteJob::ConfigReset,
        backup_dir,
        activate: false,
    };
    run(device, &work, confirm, events, &mut plan_config_reset)
}
