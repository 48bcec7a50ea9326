//! `activate`: load the flashed firmware without a reboot.

use super::query::{outcome, read_images};
use super::session::{Facts, version};
use super::{Device, JobError};
use crate::flash::{Event, Events};
use crate::image::{Depth, Version};
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
    let facts = Facts::of(device)?;
    let flashed = {
        let mut locked = device.lock()?;
        let images = read_images(&mut locked.source(), Depth::Quick)?;
        let query = outcome(Some(facts.report(&locked)), None, images);
        query
            .active
            .and_then(|index| query.images.get(index))
            .filter(|report| report.boots)
            .and_then(|report| report.image.as_ref()?.info.as_ref()?.fw_version)
            .ok_or_else(|| JobError::NoImage("a reset would end in recovery mode".into()))?
    };
    activate_as(device, &facts, Some(flashed), events)
}

/// Reset; `wanted` must run afterwards.
pub(super) fn activate_as(
    device: &mut Device,
    facts: &Facts,
    wanted: Option<Version>,
    events: &mut dyn Events,
) -> Result<Activation, JobError> {
    events.tell(Event::Note {
        text: "resetting the card".into(),
    });
    device.card.software_reset()?;
    let after = device.card.running_version()?.map(version);
    tracing::info!(?wanted, ?after, "the card is back");
    if after != wanted {
        return Err(JobError::NotActivated {
            wanted: wanted.map_or_else(|| "an image".into(), |v| v.to_string()),
            found: match after {
                Some(version) => format!("{version} runs"),
                None => "no firmware runs".into(),
            },
        });
    }
    Ok(Activation {
        before: facts.running,
        after,
        flashed: wanted,
    })
}
