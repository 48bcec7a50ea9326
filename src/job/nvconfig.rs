//! `config query` and `config set`: the settings the running firmware keeps (docs/hardware.md#settings-in-the-firmware).
//!
//! The firmware writes the flash here, not this program; so the flash is in a verified backup
//! before a command is sent, and afterwards everything is read back and compared. The flash's
//! semaphores are free while it writes: they are the firmware's turn.

use super::backup::{confirm as confirm_backup, discard, remember, reserve, store};
use super::session::{CardFacts, snapshot};
use super::settle::{LeftProbe, after_change};
use super::{Backup, BootReport, CardDescription, Device, JobError, NvError};
use crate::card::ToolsError;
use crate::card::nv::{Limits, NvSettings, Parameter, TlvWrites};
use crate::flash::{Boots, Events, Phase};
use crate::host::Mark;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// One setting of a card.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct NvQueryOutcome {
    /// The card, without its flash.
    pub card: CardDescription,
    /// What bounds the values.
    pub limits: Limits,
    /// Every setting the card has.
    pub parameters: Vec<NvEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct NvSetOutcome {
    /// The card before the change, without its flash.
    pub card: CardDescription,
    /// What is to be changed, or was.
    pub changes: Vec<NvChange>,
    /// True: everything was so already, nothing was written (exit 2).
    pub nothing_to_do: bool,
    /// The backup made before; null when none was made.
    pub backup: Option<Backup>,
    /// What would boot now; null when it was not read after the change.
    pub boots: Option<BootReport>,
    /// The firmware takes the values at its next start: the card must be reset.
    pub reset_needed: bool,
}

/// Asked once, with the changes and where the backup goes.
pub type NvConfirm<'a> = &'a mut dyn FnMut(&[NvChange], &Path) -> bool;

/// Every setting of the card, as it will be at the next start of the firmware.
pub fn nv_query(device: &mut Device) -> Result<NvQueryOutcome, JobError> {
    let (facts, settings) = ask(device)?;
    Ok(NvQueryOutcome {
        card: facts.without_flash(),
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
    nv_set_reporting(device, wanted, backup_dir, confirm, events, &mut None)
}

/// As [`nv_set`]. `known` gets what is known of the outcome, also when the job fails; it stays `None` when
/// the changes are not decided yet.
pub fn nv_set_reporting(
    device: &mut Device,
    wanted: &[(Parameter, u32)],
    backup_dir: &Path,
    confirm: NvConfirm<'_>,
    events: &mut dyn Events,
    known: &mut Option<NvSetOutcome>,
) -> Result<NvSetOutcome, JobError> {
    let span = tracing::info_span!("nv_set", device = %device.name);
    let _inside = span.enter();
    let (facts, settings) = ask(device)?;
    let (changes, writes) = decide(&settings, wanted)?;
    let known = known.insert(NvSetOutcome {
        card: facts.without_flash(),
        changes,
        nothing_to_do: writes.is_empty(),
        backup: None,
        boots: None,
        reset_needed: false,
    });
    if known.nothing_to_do {
        return Ok(known.clone());
    }
    let (card, unsteady) = snapshot(&facts, &mut device.lock()?, Phase::Read, events)?;
    let place = reserve(&card, backup_dir)?;
    if !confirm(&known.changes, place.path()) {
        return Err(JobError::Declined);
    }
    let mut backup = store(place, &facts, &card, unsteady)?;
    let (locked, chains) = confirm_backup(&mut backup, device, &facts, &card, events)?;
    backup.announce(events);
    // The firmware takes the semaphores itself when it writes.
    drop(locked);
    remember(chains, &facts, &card);
    let probe = LeftProbe::new(&card, None);
    // Last before the first command: values that another tool stored meanwhile are not overwritten.
    if let Err(error) = same_settings(device, &settings) {
        discard(&backup, events);
        return Err(error);
    }
    known.backup = Some(backup.clone());
    let _awake = device.keep_awake();
    device.mark(Mark::FlashTouched)?;
    let stopped = write(device, &writes).err();
    let found = probe.settled(device);
    let left = found.as_ref().map_or(Boots::Unknown, |found| found.boots);
    if !found.as_ref().is_ok_and(|found| found.untouched && !left.is_image()) {
        device.note(Mark::Boots(left.is_image()));
    }
    let boots = found.map(|found| found.report);
    known.boots = boots.as_ref().ok().cloned();
    if let Some((stored, source)) = stopped {
        let mut unchanged = || match snapshot(&facts, &mut device.lock()?, Phase::Verify, events) {
            Ok((now, unsteady)) => Ok(now.flash == card.flash && unsteady.is_empty()),
            Err(error) => Err(error),
        };
        let nothing = source.nothing_sent() || source.refused() && unchanged().unwrap_or(false);
        if stored == 0 && nothing {
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
    known.reset_needed = true;
    Ok(known.clone())
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
fn ask(device: &mut Device) -> Result<(CardFacts, NvSettings), JobError> {
    let facts = CardFacts::of(device)?;
    let settings = device.card.tools().and_then(|mut tools| tools.settings());
    match settings {
        Ok(settings) => Ok((facts, settings)),
        Err(ToolsError::UnknownOp { .. }) => Err(NvError::OldFirmware {
            running: facts.running.map_or_else(|| "unknown".into(), |v| v.to_string()),
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
