//! What the flash holds once a job has changed it, read until that is certain.

use super::readings::{read_signatures, steady};
use super::session::version;
use super::{BootReport, Device, JobError};
use crate::card::{CardError, Chip};
use crate::flash::{BootProbe, Boots, FlashError, FlashSource};
use crate::image::{
    Contents, Depth, FlashAddr, Form, Image, ImageError, Source as _, SourceError, Version, read,
    scan,
};
use crate::plan::{
    BootEvidence, Bootability, BootsBefore, CardSnapshot, LeftBehind, bootability, wavers,
};
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
pub(super) type Reading<'a, T> = &'a mut dyn FnMut(&mut FlashSource<'_, '_>) -> Result<T, JobError>;

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
            steady(&mut source, &mut Vec::new(), reading, &|found| !sure(found))
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

/// Judges what a job leaves, from the whole flash.
pub(super) struct LeftProbe {
    pub(super) before: BootsBefore,
    /// The image that the job writes.
    pub(super) new: Option<Vec<u8>>,
}

impl LeftProbe {
    pub(super) fn new(card: &CardSnapshot, new: Option<&Contents>) -> Self {
        Self { before: BootsBefore::of(card), new: new.map(|new| new.bytes().to_vec()) }
    }

    fn read(&self, flash: &mut FlashSource<'_, '_>) -> Result<LeftBehind, JobError> {
        read_signatures(flash, &mut Vec::new())?;
        let mut bytes = vec![0; flash.size() as usize];
        flash.read_at(FlashAddr(0), &mut bytes)?;
        Ok(self.before.left(&bytes, &flash.wavering(), self.new.as_deref())?)
    }

    /// What the job left, as [`settle`] finds out: an image that boots.
    pub(super) fn settled(&self, device: &mut Device) -> Result<LeftBehind, JobError> {
        let sure = |left: &LeftBehind| left.boots.is_image();
        settle(device, None, &mut |flash| self.read(flash), &sure)
    }
}

impl BootProbe for LeftProbe {
    fn boots(&self, flash: &mut FlashSource<'_, '_>) -> Boots {
        self.read(flash).map_or_else(
            |error| {
                tracing::warn!(%error, "what would boot cannot be read");
                Boots::Unknown
            },
            |left| left.boots,
        )
    }
}

/// What boots of a flash of which no earlier reading is at hand, as [`settle`] finds out; `None` = an image
/// is complete, and whether it boots is not known.
pub(super) fn settled_boot(device: &mut Device) -> Result<Option<BootReport>, JobError> {
    let chip = device.card.chip();
    let running = device.card.running_version()?.map(version);
    let evidence = BootEvidence::of(running.filter(|_| !device.card.in_recovery()));
    let mut reading = |flash: &mut FlashSource<'_, '_>| {
        let (images, unread) = read_places(flash, None)?;
        let places = images.iter().map(|(start, image)| (*start, image.as_ref()));
        let found = BootReport::among(places.clone(), chip, evidence);
        let complete = |(start, image): (FlashAddr, Option<&Image>)| {
            image.is_some_and(|image| bootability(start, image, chip) != Bootability::No)
        };
        match found.start.is_some() {
            true => Ok(Some(found)),
            false if unread => Err(JobError::ReadingsDiffer),
            false if places.clone().any(complete) => Ok(None),
            false => Ok(Some(found)),
        }
    };
    let sure = |found: &Option<BootReport>| found.as_ref().is_some_and(|f| f.start.is_some());
    settle(device, None, &mut reading, &sure)
}

/// The complete image that this boot address names.
pub(super) fn complete_at(
    device: &mut Device,
    boot_address: u32,
) -> Result<Option<Image>, JobError> {
    let chip = device.card.chip();
    let mut reading = |flash: &mut FlashSource<'_, '_>| {
        let (images, _) = read_places(flash, None)?;
        let named = images.into_iter().find(|(start, _)| start.0 == boot_address >> 8);
        let complete = named.and_then(|(start, image)| {
            image.filter(|image| bootability(start, image, chip) != Bootability::No)
        });
        Ok(complete)
    };
    settle(device, None, &mut reading, &Option::is_some)
}

/// What boots, by `evidence`, after a job that should leave `expected`. That image was compared byte for byte
/// a moment ago; of it this reads what a boot ROM looks for. Every other one that has a signature is read in
/// full.
pub(super) fn what_boots(
    flash: &mut FlashSource<'_, '_>,
    chip: Chip,
    evidence: BootEvidence,
    expected: &BootReport,
) -> Result<BootReport, JobError> {
    let (images, unread) = read_places(flash, expected.start)?;
    let places = images.iter().map(|(start, image)| (*start, image.as_ref()));
    let found = BootReport::among(places, chip, evidence);
    match found.start.is_none() && unread {
        true => Err(JobError::ReadingsDiffer),
        false => Ok(found),
    }
}

/// Each signature and its image.
type Places = Vec<(FlashAddr, Option<Image>)>;

/// The image at each signature, read in full but for the one at `known`; whether bytes of one read
/// differently each time, which makes it unreadable.
fn read_places(
    flash: &mut FlashSource<'_, '_>,
    known: Option<FlashAddr>,
) -> Result<(Places, bool), JobError> {
    read_signatures(flash, &mut Vec::new())?;
    let mut images = Vec::new();
    for start in scan(flash)? {
        let depth = if Some(start) == known { Depth::Quick } else { Depth::Full };
        match read(flash, start, Form::Striped, depth) {
            Ok(image) => images.push((start, Some(image))),
            // The card failed: that is no answer about the image.
            Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error.into()),
            Err(_) => images.push((start, None)),
        }
    }
    let wavering = flash.wavering();
    let mut unread = false;
    for (start, image) in &mut images {
        if wavers(*start, image.as_ref(), &wavering).is_some() {
            (*image, unread) = (None, true);
        }
    }
    Ok((images, unread))
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
