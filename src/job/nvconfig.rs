//! `config query` and `config set`: the settings the running firmware keeps (docs/hardware.md#settings-in-the-firmware).
//!
//! The firmware writes the flash here, not this program; so the flash is in a verified backup
//! before a command is sent, and afterwards everything is read back and compared. The flash's
//! semaphores are free while it writes: they are the firmware's turn.

use super::backup::{confirm as confirm_backup, discard, remember, reserve, store};
use super::session::{CardFacts, snapshot};
use super::settle::{after_change, settled_boot};
use super::{BackupOutcome, BootReport, Device, JobError, NvError};
use crate::card::ToolsError;
use crate::card::nv::{Limits, NvSettings, Parameter, TlvWrites};
use crate::flash::{Boots, Events, Phase};
use crate::host::Mark;
use crate::image::Version;
use serde::Serialize;
use std::path::Path;

/// One setting of a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NvEntry {
    /// `LINK_TYPE_P1`.
    pub name: String,
    /// What the firmware takes at its next start; null = not stored and no default known.
    pub next_boot: Option<u32>,
    /// The same as `ETH(2)`.
    pub next_boot_text: Option<String>,
    /// What it takes when nothing is stored; null = unknown.
    pub default: Option<u32>,
    /// The same as `ETH(2)`.
    pub default_text: Option<String>,
    /// The value is a stored one.
    pub stored: bool,
    /// Smallest value.
    pub min: u32,
    /// Largest value on this card.
    pub max: u32,
    /// What it does.
    pub about: &'static str,
}

/// Answer of `config query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NvQueryOutcome {
    /// The card as it was named.
    pub device: String,
    /// Firmware that answered.
    pub running: Option<Version>,
    /// What bounds the values.
    pub limits: Limits,
    /// Every setting the card has.
    pub parameters: Vec<NvEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NvChange {
    /// `LINK_TYPE_P1`.
    pub name: String,
    /// Value before; null = unknown.
    pub from: Option<u32>,
    /// The same as `ETH(2)`.
    pub from_text: Option<String>,
    /// Value after.
    pub to: u32,
    /// The same as `ETH(2)`.
    pub to_text: String,
}

/// Answer of `config set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NvSetOutcome {
    /// What was changed.
    pub changes: Vec<NvChange>,
    /// True: everything was so already, nothing was written (exit 2).
    pub nothing_to_do: bool,
    /// The backup made before; null when there was nothing to do.
    pub backup: Option<BackupOutcome>,
    /// What would boot now; null when there was nothing to do.
    pub boots: Option<BootReport>,
    /// The firmware takes the values at its next start: the card must be reset.
    pub reset_needed: bool,
}

/// Asked once, with the changes and where the backup goes.
pub type NvConfirm<'a> = &'a mut dyn FnMut(&[NvChange], &Path) -> bool;

/// Every setting of the card, as it will be at the next start of the firmware.
pub fn nv_query(device: &mut Device) -> Result<NvQueryOutcome, JobError> {
    let (running, settings) = ask(device)?;
    Ok(NvQueryOutcome {
        device: device.name.clone(),
        running,
        limits: settings.limits,
        parameters: settings
            .settings
            .iter()
            .map(|s| {
                let show = |value: Option<u32>| value.map(|v| s.parameter.show(v));
                NvEntry {
                    name: s.parameter.name(),
                    next_boot: s.next_boot,
                    next_boot_text: show(s.next_boot),
                    default: s.default,
                    default_text: show(s.default),
                    stored: s.stored,
                    min: s.parameter.field.min,
                    max: settings.max(s.parameter),
                    about: s.parameter.field.about,
                }
            })
            .collect(),
    })
}

fn same_settings(device: &mut Device, before: &NvSettings) -> Result<(), JobError> {
    if ask(device)?.1 == *before {
        return Ok(());
    }
    Err(JobError::Changed { what: "the firmware reports other settings".into() })
}

/// Have the firmware store other values.
pub fn nv_set(
    device: &mut Device,
    wanted: &[(Parameter, u32)],
    backup_dir: &Path,
    confirm: NvConfirm<'_>,
    events: &mut dyn Events,
) -> Result<NvSetOutcome, JobError> {
    let span = tracing::info_span!("nv_set", device = %device.name);
    let _inside = span.enter();
    let (_, settings) = ask(device)?;
    let (changes, writes) = decide(&settings, wanted)?;
    if writes.is_empty() {
        return Ok(NvSetOutcome {
            changes,
            nothing_to_do: true,
            backup: None,
            boots: None,
            reset_needed: false,
        });
    }
    let facts = CardFacts::of(device)?;
    let (card, unsteady) = snapshot(&facts, &mut device.lock()?, Phase::Backup, events)?;
    let place = reserve(&card, backup_dir)?;
    if !confirm(&changes, place.path()) {
        return Err(JobError::Declined);
    }
    let mut backup = store(place, &facts, &card, unsteady)?;
    backup.announce(events);
    let (locked, chains) = confirm_backup(&mut backup, device, &facts, &card, events)?;
    // The firmware takes the semaphores itself when it writes.
    drop(locked);
    remember(chains, &facts, &card);
    // Last before the first command: values that another tool stored meanwhile are not overwritten.
    if let Err(error) = same_settings(device, &settings) {
        discard(&backup, events);
        return Err(error);
    }
    device.mark(Mark::FlashTouched)?;
    let stopped = write(device, &writes).err();
    let boots = settled_boot(device);
    let left = match &boots {
        Ok(found) if found.start.is_some() => Boots::OldImage,
        Ok(_) => Boots::Nothing,
        Err(_) => Boots::Unknown,
    };
    device.note(Mark::Boots(left == Boots::OldImage));
    if let Some((stored, source)) = stopped {
        if stored == 0 && source.nothing_sent() {
            return Err(unanswered(source));
        }
        return Err(NvError::Stopped {
            stored,
            of: writes.len(),
            boots: left,
            backup: backup.dir,
            source,
        }
        .into());
    }
    let boots = boots.map_err(|error| after_change(None, None, Some(&backup.dir), error))?;
    let wrong = not_stored(wanted, &mut || ask(device).map(|(_, settings)| settings))
        .map_err(|error| after_change(None, Some(&boots), Some(&backup.dir), error))?;
    if !wrong.is_empty() {
        return Err(
            NvError::NotStored { parameters: wrong, boots: left, backup: backup.dir }.into()
        );
    }
    Ok(NvSetOutcome {
        changes,
        nothing_to_do: false,
        backup: Some(backup),
        boots: Some(boots),
        reset_needed: true,
    })
}

/// Names of the settings that do not have the value that was wanted, in two readings.
pub(super) fn not_stored(
    wanted: &[(Parameter, u32)],
    read: &mut dyn FnMut() -> Result<NvSettings, JobError>,
) -> Result<Vec<String>, JobError> {
    let mut wrong = wanted.to_vec();
    for _ in 0..2 {
        if !wrong.is_empty() {
            let now = read()?;
            wrong.retain(|(p, value)| now.of(*p).and_then(|s| s.next_boot) != Some(*value));
        }
    }
    Ok(wrong.iter().map(|(p, _)| p.name()).collect())
}

/// All settings, and who answered.
fn ask(device: &mut Device) -> Result<(Option<Version>, NvSettings), JobError> {
    let running = CardFacts::of(device)?.running;
    let settings = device.card.tools().and_then(|mut tools| tools.settings());
    match settings {
        Ok(settings) => Ok((running, settings)),
        Err(ToolsError::UnknownOp { .. }) => Err(NvError::OldFirmware {
            running: running.map_or_else(|| "unknown".into(), |v| v.to_string()),
        }
        .into()),
        Err(error) => Err(unanswered(error)),
    }
}

/// The firmware executed nothing.
fn unanswered(error: ToolsError) -> JobError {
    match error {
        ToolsError::Card(error) => error.into(),
        error => NvError::Tools(error).into(),
    }
}

/// What changes, and the TLVs for it. No request counts twice: the last one does.
fn decide(
    settings: &NvSettings,
    wanted: &[(Parameter, u32)],
) -> Result<(Vec<NvChange>, TlvWrites), NvError> {
    let mut changes = Vec::new();
    for (parameter, value) in wanted {
        let name = parameter.name();
        let Some(setting) = settings.of(*parameter) else {
            return Err(NvError::NotOnThisCard { parameter: name });
        };
        let max = settings.max(*parameter);
        if *value > max {
            return Err(NvError::TooLarge { parameter: name, value: *value, max });
        }
        if setting.next_boot != Some(*value) {
            changes.push(NvChange {
                name,
                from: setting.next_boot,
                from_text: setting.next_boot.map(|v| parameter.show(v)),
                to: *value,
                to_text: parameter.show(*value),
            });
        }
    }
    if let Some(mib) = settings.too_much_bar(wanted) {
        return Err(NvError::TooMuchBar { mib });
    }
    let writes = settings
        .writes(wanted)
        .map_err(|parameter| NvError::Missing { parameter: parameter.name() })?;
    Ok((changes, writes))
}

/// One TLV after the other; how many were stored when it fails.
fn write(device: &mut Device, writes: &TlvWrites) -> Result<(), (usize, ToolsError)> {
    let mut tools = device.card.tools().map_err(|error| (0, error))?;
    for (n, (id, data)) in writes.iter().enumerate() {
        tools.write_tlv(*id, data).map_err(|error| (n, error))?;
    }
    Ok(())
}
