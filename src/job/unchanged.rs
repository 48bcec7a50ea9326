//! The card is still what it was when the plan was made: asked under the semaphores, before the
//! first erase.

use super::session::Facts;
use super::{Device, JobError};
use crate::flash::{Events, Locked, Phase};
use crate::plan::CardSnapshot;

/// The same silicon, firmware and mode as before.
///
/// # Errors
/// [`JobError::Changed`], and what the card reports.
pub(super) fn unchanged_facts(device: &mut Device, before: &Facts) -> Result<(), JobError> {
    let now = Facts::of(device)?;
    let same =
        (now.chip, now.recovery, now.running) == (before.chip, before.recovery, before.running);
    if same {
        Ok(())
    } else {
        Err(JobError::Changed {
            what: "the running firmware is another one".into(),
        })
    }
}

/// The same chip, protection and bytes as before.
///
/// # Errors
/// [`JobError::Changed`], and what the card reports.
pub(super) fn unchanged_flash(
    locked: &mut Locked<'_>,
    before: &CardSnapshot,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    let changed = |what: String| Err(JobError::Changed { what });
    if *locked.part() != before.part {
        return changed("the flash chip reports another id".into());
    }
    if *locked.protection() != before.protection {
        return changed("the flash's write protection is another one".into());
    }
    let now = locked.read_all(Phase::Read, events)?;
    match now.iter().zip(&before.flash).position(|(n, b)| n != b) {
        None => Ok(()),
        Some(at) => changed(format!("the flash holds other bytes at {at:#x}")),
    }
}
