//! `plan` and `burn`.

use super::run::{WriteSettings, plan_only, run};
use super::{CardReport, Confirm, Device, ImageFile, JobError, WriteJob, WriteOutcome};
use crate::flash::Events;
use crate::plan::{BurnOptions, IdentityChange, PlanReport, plan_burn, plan_burn_as};
use serde::Serialize;
use std::path::PathBuf;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct BurnRequest {
    /// Options that change the plan.
    pub options: BurnOptions,
    /// Directory in which the backup's own directory is made.
    pub backup_dir: PathBuf,
    /// Load the new firmware afterwards.
    pub activate: bool,
}

/// What `plan` answers.
#[derive(Clone, Debug, Serialize)]
pub struct PlanOutcome {
    pub card: CardReport,
    /// Path of the image file.
    pub image: PathBuf,
    /// SHA-256 of the image file, lower-case hex.
    pub image_sha256: String,
    pub plan: PlanReport,
}

/// Plans [`burn`] and carries nothing out. Reads the whole flash, changes nothing.
///
/// # Errors
/// When the card or its flash cannot be read. A refusal is no error here but in the plan.
pub fn plan(
    device: &mut Device,
    image: &ImageFile,
    options: &BurnOptions,
    events: &mut dyn Events,
) -> Result<PlanOutcome, JobError> {
    let (card, plan) = plan_only(device, events, &mut |card| {
        plan_burn(card, &image.contents, image.len, options)
    })?;
    Ok(PlanOutcome {
        card,
        image: image.path.clone(),
        image_sha256: image.sha256.clone(),
        plan,
    })
}

/// Put an image on a card that has a valid one (P1 to P5, P7).
///
/// # Errors
/// [`JobError::outcome`] reports what is left on the card.
pub fn burn(
    device: &mut Device,
    image: &ImageFile,
    request: &BurnRequest,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let same = IdentityChange::default();
    burn_as(device, image, request, &same, confirm, events)
}

/// [`burn`], with parts of the identity spelled out anew.
///
/// # Errors
/// As [`burn`].
pub fn burn_as(
    device: &mut Device,
    image: &ImageFile,
    request: &BurnRequest,
    change: &IdentityChange,
    confirm: Confirm<'_>,
    events: &mut dyn Events,
) -> Result<WriteOutcome, JobError> {
    let work = WriteSettings {
        job: WriteJob::Burn,
        backup_dir: &request.backup_dir,
        activate: request.activate,
    };
    run(device, &work, confirm, events, &mut |card| {
        plan_burn_as(card, &image.contents, image.len, &request.options, change)
    })
}
