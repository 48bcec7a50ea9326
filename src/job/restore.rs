//! `restore`: put a backup back.

use super::{Confirm, Device, JobError, WriteOutcome};
use crate::flash::Events;
use crate::plan::PlanReport;
use std::path::PathBuf;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// A backup directory (manifest.json in it), or the `flash.bin` of one.
    pub backup: PathBuf,
    /// Directory in which a backup of the present state is made first.
    pub backup_dir: PathBuf,
    /// Load the restored firmware afterwards.
    pub activate: bool,
}

/// Say what [`restore`] would do.
///
/// # Errors
/// [`JobError`] when the backup is damaged or the card cannot be read.
pub fn plan_restore(
    device: &mut Device,
    request: &RestoreRequest,
    events: &mut dyn Events,
) -> Result<PlanReport, JobError> {
    let _ = (device, request, events);
    todo!()
}

/// Put the whole flash of a backup back, NV configuration area included.
///
/// # Errors
/// [`JobError`]; its class says what is left on the card.
pub fn restore(
    device: &mut Device,
    request: &RestoreRequest,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let _ = (device, request, confirm, events);
    todo!()
}
