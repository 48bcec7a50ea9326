//! `recover`: an image onto a card that has no valid one.

use super::run::{WriteSettings, plan_only, run};
use super::{Confirm, Device, ImageFile, JobError, WriteJob, WriteOutcome};
use crate::flash::Events;
use crate::image::Identity;
use crate::plan::{PlanReport, plan_recover as decide};
use std::path::PathBuf;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct RecoverRequest {
    /// The identity to write: nothing is invented, so it must be specified.
    pub identity: Identity,
    /// Directory in which a backup of the present state is made first.
    pub backup_dir: PathBuf,
    /// Load the firmware afterwards.
    pub activate: bool,
}

/// Plans [`recover`] and carries nothing out.
///
/// # Errors
/// When the card or its flash cannot be read.
pub fn plan_recover(
    device: &mut Device,
    image: &ImageFile,
    request: &RecoverRequest,
    events: &mut dyn Events,
) -> Result<PlanReport, JobError> {
    let (_, plan) = plan_only(device, events, &mut |card| {
        decide(card, &image.contents, image.len, &request.identity)
    })?;
    Ok(plan)
}

/// Put an image on a card in recovery mode or without a valid image. Refused when the card holds
/// one. May be run again after an interruption.
///
/// # Errors
/// [`JobError::outcome`] reports what is left on the card.
pub fn recover(
    device: &mut Device,
    image: &ImageFile,
    request: &RecoverRequest,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let work = WriteSettings {
        job: WriteJob::Recover,
        backup_dir: &request.backup_dir,
        activate: request.activate,
    };
    run(device, &work, confirm, events, &mut |card| {
        decide(card, &image.contents, image.len, &request.identity)
    })
}
