//! What runs at the end of a job that was not asked to start what it wrote: the driver that gets the card back
//! resets it, and another program may have.

use super::activate::{ActivatedBy, by_driver};
use super::session::version;
use super::{Device, JobError};
use crate::card::FirmwareState;
use crate::image::Version;
use schemars::JsonSchema;
use serde::Serialize;

/// What runs at the end of a job.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct RunningNow {
    /// `None` when no firmware runs, and when nothing reports the version.
    #[serde(rename = "fw_version")]
    pub version: Option<Version>,
    /// What is on the flash runs; `None` = not known.
    pub started: Option<bool>,
    /// Who reset the chip, where this job knows.
    pub by: Option<ActivatedBy>,
    /// Why it could not be read.
    pub problem: Option<String>,
}

impl RunningNow {
    /// Reads what runs. A card that was taken from a driver is given back to it: `device` cannot be used
    /// afterwards.
    pub(super) fn read(
        device: &mut Device,
        before: Option<Version>,
        flashed: Option<Version>,
    ) -> Self {
        let driver = device.original_driver().is_some();
        let found = if driver { by_driver(device) } else { running_version(device) };
        let (version, problem) = match found {
            Ok(version) => (version, None),
            Err(error) => (None, Some(super::error_chain(&error))),
        };
        let none_runs = || !driver && device.card.firmware() != FirmwareState::Runs;
        let started = match version {
            _ if problem.is_some() => None,
            None => none_runs().then_some(false),
            Some(_) if flashed.is_none() => None,
            Some(_) if version != flashed => Some(false),
            // A version that ran before may have been loaded before.
            Some(_) if driver || version != before => Some(true),
            Some(_) => None,
        };
        let by = driver.then_some(ActivatedBy::Driver).filter(|_| problem.is_none());
        tracing::info!(?version, ?started, ?by, ?problem, "what runs now");
        Self { version, started, by, problem }
    }
}

/// The version that runs, for a question about the card; `None` when it is not known.
pub fn running(device: &mut Device) -> Option<Version> {
    device.card.running_version().ok().flatten().map(version)
}

/// The version that runs; a card that shows none may have been reset, and is waited for.
fn running_version(device: &mut Device) -> Result<Option<Version>, JobError> {
    let card = &mut device.card;
    let found = match card.running_version() {
        Ok(Some(found)) => Some(found),
        _ => {
            card.wait_until_ready()?;
            card.running_version()?
        }
    };
    Ok(found.map(version))
}
