//! What the flash holds once a job has changed it, read until that is certain.

use super::readings::steady;
use super::{BootReport, Device, JobError};
use crate::card::{CardError, Chip};
use crate::flash::FlashError;
use crate::image::{Contents, Depth, Form, ImageError, Source, SourceError, Version, read, scan};
use crate::plan::boots;
use std::path::Path;
use std::time::Duration;

/// Readings before the outcome is reported as unknown.
const READINGS: u32 = 5;
/// Failures that each take long: a chip or a semaphore that does not get free, a card that does not
/// get ready.
const SLOW_FAILURES: u32 = 2;
/// Pause before another reading.
const PAUSE: Duration = Duration::from_millis(500);

/// A reading of the flash.
pub(super) type Reading<'a, T> = &'a mut dyn FnMut(&mut dyn Source) -> Result<T, JobError>;

/// Reads in sessions of its own until `sure` accepts a reading or two consecutive readings agree;
/// `before` is the reading made already.
/// The error is the last failure, or that the readings never agree.
pub(super) fn settle<T: PartialEq>(
    device: &mut Device,
    mut before: Option<T>,
    reading: Reading<'_, T>,
    sure: &dyn Fn(&T) -> bool,
) -> Result<T, JobError> {
    let clock = std::rc::Rc::clone(&device.clock);
    let mut slow = 0;
    let mut failure = None;
    for _ in 0..READINGS {
        let found = device.lock().and_then(|mut locked| {
            let mut source = locked.source();
            // An answer that is not sure counts when everything it was read from reads the same again.
            let unsure = |found: &T| !sure(found);
            let found =
                steady(&mut source, &mut Vec::new(), &mut |source| reading(source), &unsure)?;
            if unsure(&found) && !source.wavering().is_empty() {
                return Err(JobError::ReadingsDiffer);
            }
            Ok(found)
        });
        match found {
            Ok(found) if sure(&found) || before.as_ref() == Some(&found) => return Ok(found),
            Ok(found) => before = Some(found),
            Err(error) => {
                tracing::warn!(error = ?error, "what is on the flash could not be read");
                slow += u32::from(takes_long(&error));
                failure = Some(error);
                before = None;
                // Another program may have reset the chip: its semaphores and BARs are lost then.
                if let Err(error) = device.card.wait_until_ready() {
                    slow += 1;
                    failure = Some(error.into());
                }
            }
        }
        if slow >= SLOW_FAILURES {
            break;
        }
        clock.sleep(PAUSE);
    }
    Err(failure.unwrap_or(JobError::ReadingsDiffer))
}

fn takes_long(error: &JobError) -> bool {
    match error {
        JobError::Flash(FlashError::Card(error)) | JobError::Card(error) => {
            matches!(error, CardError::SemaphoreHeld { .. })
        }
        JobError::Flash(error) => {
            matches!(error, FlashError::GatewayTimeout(_) | FlashError::FlashTimeout { .. })
        }
        _ => false,
    }
}

/// What would boot, as [`settle`] finds out: an image at all.
pub(super) fn settled_boot(device: &mut Device) -> Result<BootReport, JobError> {
    let chip = device.card.chip();
    settle(device, None, &mut |flash| what_boots(flash, chip), &|found| found.start.is_some())
}

/// What would boot after the job. The body was verified byte for byte a moment ago; this reads
/// what a boot ROM looks for: signatures, and what is behind the first one.
pub(super) fn what_boots(flash: &mut dyn Source, chip: Chip) -> Result<BootReport, JobError> {
    for start in scan(flash)? {
        let image = match read(flash, start, Form::Striped, Depth::Quick) {
            Ok(image) => image,
            // The card failed: that is no answer about the image.
            Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error.into()),
            Err(_) => continue,
        };
        if boots(&image, chip) {
            return Ok(BootReport::of(image.start, &image));
        }
    }
    Ok(BootReport::default())
}

/// Version of the image a job writes.
pub(super) fn version_of(written: Option<&Contents>) -> Option<Version> {
    written?.image().info.as_ref()?.fw_version
}

/// An error of a step behind the change, with what is known of the flash.
pub(super) fn after_change(
    written: Option<Version>,
    boots: Option<&BootReport>,
    backup: Option<&Path>,
    source: JobError,
) -> JobError {
    JobError::AfterChange {
        written,
        boots: boots.cloned(),
        backup: backup.map(Path::to_path_buf),
        source: Box::new(source),
    }
}
