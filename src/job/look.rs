//! A reset under VFIO, and what runs after it, before a driver gets the card.

use super::error_text::error_chain;
use super::session::{CardFacts, version};
use super::{AfterReset, Device, JobError};
use crate::card::{CardError, FirmwareState, ResetSeen, WATCHED};
use crate::flash::{Event, Events};
use crate::host::Mark;
use crate::image::Version;

/// Whether the firmware that runs shows life by a register.
pub(super) fn shows_life(device: &mut Device) -> Result<bool, JobError> {
    Ok(device.card.firmware() == FirmwareState::Runs && device.card.shows_life()?)
}

/// Firmware runs. Where firmware on this card shows life, it has to.
pub(super) fn runs(seen: &ResetSeen, life_shows: bool) -> bool {
    seen.firmware.state == FirmwareState::Runs && (seen.firmware.lives || !life_shows)
}

/// Resets the card and watches what runs. No driver meets a card on which none does.
pub(super) fn look(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    life_shows: bool,
    events: &mut dyn Events,
) -> Result<ResetSeen, JobError> {
    let seen = watched_reset(device, facts, wanted, events)?;
    if runs(&seen, life_shows) {
        return Ok(seen);
    }
    device.note(Mark::Boots(false));
    let (wanted, running) = (wanted.to_string(), in_words(&seen));
    Err(JobError::NotActivated { wanted, running, left: AfterReset::NoFirmware })
}

/// Resets the card and watches what runs. A driver does not get a card without firmware.
pub(super) fn watched_reset(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    events: &mut dyn Events,
) -> Result<ResetSeen, JobError> {
    events.emit(Event::Note { text: "resetting the card".into() });
    let seen = device.card.reset_and_watch(WATCHED);
    // Firmware that runs locks a card.
    let runs = match &seen {
        Ok(seen) => seen.firmware.state == FirmwareState::Runs,
        Err(error) => matches!(error, CardError::Locked),
    };
    if runs || !facts.recovery && !matches!(seen, Err(CardError::SemaphoreHeld { .. })) {
        device.note(Mark::Boots(runs));
    }
    seen.map_err(|error| at_reset(error, wanted))
}

/// An error of a reset that may have begun: the flash holds the version all the same. A semaphore in the way
/// is what it was before.
fn at_reset(error: CardError, wanted: Version) -> JobError {
    match error {
        error @ (CardError::SemaphoreHeld { .. } | CardError::Locked) => error.into(),
        error => JobError::NotActivated {
            wanted: wanted.to_string(),
            running: error_chain(&JobError::from(error)),
            left: AfterReset::Silence,
        },
    }
}

/// What a reset has shown, in words.
pub(super) fn in_words(seen: &ResetSeen) -> String {
    let firmware = &seen.firmware;
    match (firmware.state, firmware.version) {
        (FirmwareState::Runs, Some(found)) if firmware.lives => format!("{} runs", version(found)),
        (FirmwareState::Runs, Some(found)) => {
            let how = if firmware.moved { "has stopped" } else { "shows no life" };
            format!("{} was loaded and {how}, by the register at 0x41270", version(found))
        }
        (FirmwareState::Runs, None) => "firmware runs that shows no version".into(),
        (FirmwareState::Recovery, _) => "no firmware runs: recovery mode".into(),
        (FirmwareState::NotRunning, _) => "no firmware runs".into(),
    }
}

pub(super) fn seen_version(seen: &ResetSeen) -> Option<Version> {
    seen.firmware.version.map(version)
}
