//! `activate`: load the flashed firmware without a reboot.

use super::{Device, JobError};
use crate::flash::Events;
use crate::image::Version;
use serde::Serialize;

/// A software reset and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activation {
    /// Running before.
    pub before: Option<Version>,
    /// Running afterwards.
    pub after: Option<Version>,
    /// Version on the flash that would boot.
    pub flashed: Option<Version>,
}

/// Reset the card and wait until the flashed firmware runs.
///
/// # Errors
/// [`JobError::NotActivated`] when another version runs, or none.
pub fn activate(device: &mut Device, events: &mut dyn Events) -> Result<Activation, JobError> {
    let _ = (device, events);
    todo!()
}
