//! `config`: the ini in the image, the NV configuration sectors.

use super::{Device, ImageFile, JobError};
use crate::image::Contents;
use serde::Serialize;

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
pub fn config_show(device: &mut Device) -> Result<ConfigOutcome, JobError> {
    let contents = device.active_contents()?;
    ini_of(&contents)
}

/// The ini of an image file.
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
