//! `flash protect`: the chip's own write protection, shown and changed (docs/hardware.md#write-protection).
//!
//! No byte of the flash changes, so there is no backup; what changes is one register of the chip,
//! which keeps it through power-off.

use super::session::CardFacts;
use super::settle::{after_change, settled_boot};
use super::{CardReport, Device, JobError};
use crate::flash::{FlashChip, Locked, Protection, ProtectionControl};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::Range;

/// Bytes of the blocks protection counts in.
const BLOCK: u32 = 0x1_0000;

/// The protection to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectRequest {
    /// Nothing protected.
    Off,
    Whole,
    /// So many blocks of 64 KiB at the end of the flash.
    Top(u32),
    /// So many at its beginning.
    Bottom(u32),
}

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProtectQuestion {
    /// As it is.
    pub before: Protection,
    /// What will be protected; `None` = nothing.
    pub wanted: Option<Range<u32>>,
}

/// Answer of `flash protect`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ProtectOutcome {
    /// The card, with part and protection as left.
    pub card: CardReport,
    /// Protection as found.
    pub before: Protection,
    /// What can be done on this chip.
    pub control: ProtectionControl,
    /// The same in a sentence.
    pub known: &'static str,
    /// It was asked for what was there already, or only shown.
    pub nothing_to_do: bool,
}

/// What may be done, and why no more.
fn known(control: ProtectionControl) -> &'static str {
    match control {
        ProtectionControl::Full => "--off clears it, --on sets it",
        ProtectionControl::ClearOnly => {
            "--off clears it; --on is refused: which range this chip's bits protect is not documented well enough"
        }
        ProtectionControl::PowerOn => {
            "this chip is write protected after every power-on, and every session that writes clears that; there is nothing to set"
        }
        ProtectionControl::Unknown => {
            "what this chip's protection bits mean is not known, so they are not changed"
        }
    }
}

/// How the flash is protected.
pub fn flash_protection(device: &mut Device) -> Result<ProtectOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let locked = device.lock()?;
    Ok(outcome(&facts, &locked, locked.protection().clone(), true))
}

fn outcome(
    facts: &CardFacts,
    locked: &Locked<'_>,
    before: Protection,
    nothing_to_do: bool,
) -> ProtectOutcome {
    let control = locked.chip().protection_control();
    ProtectOutcome {
        card: facts.report(locked),
        before,
        control,
        known: known(control),
        nothing_to_do,
    }
}

/// Change the protection, after a question, and read it back.
pub fn flash_protect(
    device: &mut Device,
    request: ProtectRequest,
    confirm: &mut dyn FnMut(&ProtectQuestion) -> bool,
) -> Result<ProtectOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let locked = device.lock()?;
    let chip = locked.chip().clone();
    let before = locked.protection().clone();
    let wanted = requested_range(&chip, request)?;
    let bits = before.status & chip.protect_mask;
    let there = match &wanted {
        // Bits that protect nothing on their own may stay.
        None => before.range.is_none(),
        Some(range) => before.range.as_ref() == Some(range),
    };
    if there {
        return Ok(outcome(&facts, &locked, before, true));
    }
    // The semaphores are free while a person thinks.
    drop(locked);
    let question = ProtectQuestion { before: before.clone(), wanted: wanted.clone() };
    if !confirm(&question) {
        return Err(JobError::Declined);
    }
    tracing::info!(bits, ?wanted, "protection");
    let mut locked = device.lock()?;
    if *locked.protection() != before {
        return Err(JobError::Changed { what: "the flash's write protection has changed".into() });
    }
    let done = match wanted {
        None => locked.clear_protection(before.status),
        Some(range) => locked.set_protection(before.status, &range),
    };
    match done {
        Ok(()) => Ok(outcome(&facts, &locked, before, false)),
        Err(error) => {
            drop(locked);
            Err(half_done(device, &before, error.into()))
        }
    }
}

/// The status register was written, perhaps: what it holds now decides how the job failed.
fn half_done(device: &mut Device, before: &Protection, error: JobError) -> JobError {
    let now = device.lock().map(|locked| locked.protection().clone());
    match now {
        Ok(now) if now == *before => error,
        Ok(_) | Err(_) => {
            let boots = settled_boot(device).ok().flatten();
            after_change(None, boots.as_ref(), None, error)
        }
    }
}

/// The range to protect; `Ok(None)` = nothing.
fn requested_range(
    chip: &FlashChip,
    request: ProtectRequest,
) -> Result<Option<Range<u32>>, JobError> {
    let control = chip.protection_control();
    let may = match (control, request) {
        (ProtectionControl::Full, _) => true,
        (ProtectionControl::ClearOnly, request) => request == ProtectRequest::Off,
        (ProtectionControl::PowerOn | ProtectionControl::Unknown, _) => false,
    };
    if !may {
        return Err(JobError::Protection(format!(
            "{} (JEDEC {:06x}): {}",
            chip.name,
            chip.jedec,
            known(control)
        )));
    }
    let size = chip.geometry.size;
    let bytes = |blocks: u32| blocks.checked_mul(BLOCK).filter(|bytes| (1..=size).contains(bytes));
    let range = match request {
        ProtectRequest::Off => return Ok(None),
        ProtectRequest::Whole => Some(0..size),
        ProtectRequest::Top(blocks) => bytes(blocks).map(|bytes| size - bytes..size),
        ProtectRequest::Bottom(blocks) => bytes(blocks).map(|bytes| 0..bytes),
    };
    range.filter(|range| chip.protection_bits(range).is_some()).map(Some).ok_or_else(|| {
        JobError::Protection(format!(
            "{} protects 1, 2, 4 … blocks of 64 KiB, all {} at most",
            chip.name,
            size / BLOCK
        ))
    })
}
