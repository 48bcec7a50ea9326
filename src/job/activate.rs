//! `activate`: load the flashed firmware without a reboot.
//!
//! | card | way |
//! |---|---|
//! | taken from mlx4_core | it is given back: the driver resets the chip when it probes (docs/linux.md#reset) |
//! | in recovery mode | software reset, then the kernel finds it anew: its PCI id changes (docs/linux.md#configuration-space) |
//! | without a driver, simulated | software reset |
//! | in a slot whose port would take it away | no software reset: refused, or a note after a burn |
//! | on vfio-pci already (passthrough host) | `activate`: software reset. A burn leaves it alone: the guest's driver resets it when it loads (docs/linux.md#cards-in-virtual-machines) |

use super::assumptions::reset_is_contradicted;
use super::images::read_images;
use super::look::{look, shows_life, watched_reset};
use super::query::{outcome, would_not_start};
use super::session::{CardFacts, version};
use super::{AfterReset, CardReport, Device, JobError};
use crate::card::{CardError, FirmwareState, ResetSeen};
use crate::escape;
use crate::flash::{Event, Events};
use crate::host::{PortReport, driver_info};
use crate::image::{Depth, Version};
use schemars::JsonSchema;
use serde::Serialize;

/// What loaded the firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivatedBy {
    /// We, through the reset register.
    SoftwareReset,
    /// The kernel driver, when it got the card back.
    Driver,
}

/// A reset and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Activation {
    /// Who reset the chip.
    pub by: ActivatedBy,
    /// Running before.
    #[serde(rename = "before_fw_version")]
    pub before: Option<Version>,
    /// Running afterwards; `None` also when nothing reports the version.
    #[serde(rename = "after_fw_version")]
    pub after: Option<Version>,
    /// Version on the flash that would boot.
    #[serde(rename = "flash_fw_version")]
    pub flashed: Option<Version>,
    /// The version that runs afterwards was read, and is the flashed one; the reset was seen, or the version is
    /// another than before.
    pub confirmed: bool,
    /// Why it is not confirmed; `None` when it is.
    pub detail: Option<String>,
}

/// Answer of `activate`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ActivateOutcome {
    /// The card before the reset.
    pub card: CardReport,
    pub activation: Activation,
}

/// Reset the card and wait until the flashed firmware runs. A card taken from a driver is given back
/// by it: `device` cannot be used afterwards.
/// It is an error when another version runs afterwards, or none.
pub fn activate(device: &mut Device, events: &mut dyn Events) -> Result<ActivateOutcome, JobError> {
    may_reset(device)?;
    let facts = CardFacts::of(device)?;
    let (card, flashed, images) = {
        let mut locked = device.lock()?;
        let card = facts.report(&locked);
        let images = read_images(&mut locked.source(), Depth::Full)?;
        facts.note_serials(images.iter().filter_map(|found| found.image.as_ref()));
        let query = outcome(card.clone(), images, Vec::new());
        let flashed = query
            .active
            .and_then(|index| query.images.get(index))
            .filter(|report| report.boots)
            .and_then(|report| report.image.as_ref()?.info.as_ref()?.fw_version)
            .ok_or_else(|| would_not_start(&query))?;
        (card, flashed, query.images)
    };
    // What runs after a look could not be read.
    let locks = device.locks_again(images.iter().filter_map(|report| report.image.as_ref()));
    let driver = device.original_driver().is_some();
    if driver && !locks && no_reset(device).is_none() && !reset_is_contradicted(&facts) {
        let life_shows = shows_life(device)?;
        look(device, &facts, flashed, life_shows, events)?;
    }
    Ok(ActivateOutcome { card, activation: activate_locked(device, &facts, flashed, events)? })
}

/// The same at the end of a job that wrote, where a card that lives on vfio-pci is left alone.
pub(super) fn activate_after(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    events: &mut dyn Events,
) -> Result<Option<Activation>, JobError> {
    if device.borrowed.as_ref().is_some_and(|b| b.was_on_vfio()) && !facts.recovery {
        events.emit(Event::Note {
            text:
                "the card lives on vfio-pci: the new firmware starts when a guest's driver loads, \
                   or with `cx3flash activate`"
                    .into(),
        });
        return Ok(None);
    }
    if let Err(error) = may_reset(device) {
        // What was asked for is done: it is on the flash.
        events.emit(Event::Note {
            text: format!(
                "{error}; the new firmware starts when the machine is powered off and on"
            ),
        });
        return Ok(None);
    }
    let resets = device.original_driver().is_none();
    if resets && reset_is_contradicted(facts) {
        events.emit(Event::Note {
            text: "the self-test of this card has shown that a software reset does not load its firmware: \
                   the new one starts when the machine is powered off and on"
                .into(),
        });
        return Ok(None);
    }
    activate_locked(device, facts, wanted, events).map(Some)
}

/// Refuses a software reset below a port that would take the card away. A card that goes back to its
/// driver is reset by that driver's probe, as at every boot.
pub(super) fn may_reset(device: &Device) -> Result<(), JobError> {
    match device.original_driver() {
        Some(_) => Ok(()),
        None => no_reset(device).map_or(Ok(()), Err),
    }
}

/// Why the card must not be reset while it is borrowed.
pub(super) fn no_reset(device: &Device) -> Option<JobError> {
    let port = device.borrowed.as_ref()?.port_above();
    port_allows_reset(port.as_ref()).err()
}

fn port_allows_reset(port: Option<&PortReport>) -> Result<(), JobError> {
    let Some(port) = port else {
        return Ok(());
    };
    if !port.unknown.is_empty() {
        tracing::info!(port = %port.bdf, unknown = ?port.unknown, "the port was not read in full");
    }
    match port.reset_objection() {
        Some(why) => Err(JobError::PortRemovesCard { why }),
        None => Ok(()),
    }
}

/// Reset; `wanted` must run afterwards.
pub(super) fn activate_as(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    events: &mut dyn Events,
) -> Result<Activation, JobError> {
    let Some(driver) = device.original_driver() else {
        let seen = watched_reset(device, facts, wanted, events)?;
        return activated_by_reset(device, facts, wanted, seen);
    };
    events.emit(Event::Note { text: format!("giving the card back to {driver}, which resets it") });
    let after = by_driver(device)?;
    tracing::info!(%wanted, ?after, "the card is back");
    let silent = after.is_none();
    if !silent && after != Some(wanted) {
        return Err(not_activated(wanted, after, FirmwareState::Runs));
    }
    // Its probe does not start on a chip that has not come back from the reset.
    let detail = silent
        .then(|| format!("the driver reports no version, so whether {wanted} runs is not known"));
    Ok(activation(ActivatedBy::Driver, facts, after, wanted, detail))
}

fn activation(
    by: ActivatedBy,
    facts: &CardFacts,
    after: Option<Version>,
    wanted: Version,
    detail: Option<String>,
) -> Activation {
    let confirmed = detail.is_none();
    Activation { by, before: facts.running, after, flashed: Some(wanted), confirmed, detail }
}

fn not_activated(wanted: Version, after: Option<Version>, state: FirmwareState) -> JobError {
    JobError::NotActivated {
        wanted: wanted.to_string(),
        running: match after {
            Some(version) => format!("{version} runs"),
            None => "no firmware runs".into(),
        },
        left: match (after, state) {
            (None, FirmwareState::Recovery | FirmwareState::NotRunning) => AfterReset::NoFirmware,
            _ => AfterReset::OtherFirmware,
        },
    }
}

/// What a reset by this program has started, which must be `wanted`.
pub(super) fn activated_by_reset(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    seen: ResetSeen,
) -> Result<Activation, JobError> {
    let ResetSeen { arrived, firmware } = seen;
    let after = firmware.version.map(version);
    // Its PCI ids are others now; what the kernel knows of it is of the card as it was.
    // A card whose firmware does not run stays as it is: no driver may meet it.
    device.reenumerate = facts.recovery && firmware.state == FirmwareState::Runs;
    if device.reenumerate {
        device.end();
        if let Some(error) = device.not_put_back() {
            return Err(error);
        }
    }
    let silent = after.is_none() && firmware.state == FirmwareState::Runs;
    if after != Some(wanted) && !silent {
        return Err(not_activated(wanted, after, firmware.state));
    }
    // Another version than before was loaded by this reset.
    let loaded = arrived || facts.running != after;
    let detail = if silent {
        Some(format!("the firmware shows no version, so whether {wanted} runs is not known"))
    } else if !firmware.lives {
        Some(format!(
            "{wanted} was loaded, and 0x41270 does not change as it does while firmware runs, so whether it has \
             stopped is not known"
        ))
    } else if !loaded {
        Some(format!(
            "{wanted} ran before, and semaphore 63 was still taken after the reset, so whether the card loaded its flash is not known"
        ))
    } else {
        None
    };
    Ok(activation(ActivatedBy::SoftwareReset, facts, after, wanted, detail))
}

/// Give the card back and ask its driver what runs. No driver knows when it has no port.
pub(super) fn by_driver(device: &mut Device) -> Result<Option<Version>, JobError> {
    device.end();
    if let Some(error) = device.not_put_back() {
        return Err(error);
    }
    let Some(card) = device.borrowed.as_ref().map(|b| b.card()) else {
        return Ok(None);
    };
    let reported = card
        .netdevs
        .iter()
        .find_map(|net| driver_info(&net.name).ok())
        .map(|info| info.fw_version)
        .or(card.fw_version);
    Ok(reported.as_deref().and_then(|text| text.parse().ok()))
}

/// Activates; a card that the reset has locked is one whose firmware runs.
fn activate_locked(
    device: &mut Device,
    facts: &CardFacts,
    wanted: Version,
    events: &mut dyn Events,
) -> Result<Activation, JobError> {
    match activate_as(device, facts, wanted, events) {
        Err(JobError::Card(CardError::Locked)) => Ok(Activation {
            by: ActivatedBy::SoftwareReset,
            before: facts.running,
            after: None,
            flashed: Some(wanted),
            confirmed: false,
            detail: Some(format!(
                "the reset has locked the card again, as firmware that runs does; which version runs is read with its \
                 key: cx3flash -d {} query --key-file FILE",
                escape::shell_word(&device.name)
            )),
        }),
        ended => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::port_allows_reset;
    use crate::host::PortReport;
    use crate::job::Exit;

    #[test]
    fn a_port_that_would_remove_the_card_refuses_the_reset() {
        let mut port = PortReport {
            bdf: "0000:00:01.0".parse().unwrap(),
            emulated: false,
            hotplug_surprise: false,
            dpc: false,
            firmware_first: false,
            surprise_down: false,
            unknown: vec![PortReport::CONTAINMENT],
        };
        assert!(port_allows_reset(None).is_ok());
        assert!(port_allows_reset(Some(&port)).is_ok());
        port.hotplug_surprise = true;
        let error = port_allows_reset(Some(&port)).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::Refused);
        let line = error.to_string();
        assert!(line.contains("0000:00:01.0"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
