//! One session at a card: facts, semaphores, reading.

use super::query::{mark_active, read_images};
use super::{CardReport, Device, JobError};
use crate::card::{Chip, RunningVersion};
use crate::flash::{Events, Flash, Locked, Phase};
use crate::image::{Contents, Depth, FlashAddr, Image, ImageOffset, Source, Version};
use crate::plan::CardSnapshot;

/// What a card says without its flash.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) bdf: Option<String>,
    pub(super) chip: Chip,
    pub(super) recovery: bool,
    pub(super) running: Option<Version>,
}

impl Facts {
    pub(super) fn of(device: &mut Device) -> Result<Self, JobError> {
        Ok(Self {
            name: device.name.clone(),
            bdf: device.bdf.clone(),
            chip: device.card.chip(),
            recovery: device.card.in_recovery(),
            running: device.card.running_version()?.map(version),
        })
    }

    pub(super) fn report(&self, locked: &Locked<'_>) -> CardReport {
        CardReport {
            device: self.name.clone(),
            bdf: self.bdf.clone(),
            chip: self.chip,
            chip_name: self.chip.name(),
            recovery: self.recovery,
            running: self.running,
            flash: locked.part().clone(),
            protection: locked.protection().clone(),
        }
    }
}

/// In the words of the image room.
pub(super) fn version(running: RunningVersion) -> Version {
    Version {
        major: running.major,
        minor: running.minor,
        subminor: running.subminor,
    }
}

impl Device {
    /// Take the semaphores and meet the flash chip. They are free again when this is dropped.
    pub(super) fn lock(&mut self) -> Result<Locked<'_>, JobError> {
        Ok(Flash::lock(&mut self.card, &*self.clock)?)
    }

    /// The image that boots, read in a session of its own.
    pub(super) fn active_contents(&mut self) -> Result<Contents, JobError> {
        let facts = Facts::of(self)?;
        let (_, contents) = active_contents(&facts, &mut self.lock()?)?;
        Ok(contents)
    }
}

/// Read the whole flash, once, and everything that stands in it.
pub(super) fn snapshot(
    facts: &Facts,
    locked: &mut Locked<'_>,
    phase: Phase,
    events: &mut dyn Events,
) -> Result<CardSnapshot, JobError> {
    let flash = locked.read_all(phase, events)?;
    Ok(CardSnapshot::new(
        facts.chip,
        facts.recovery,
        facts.running,
        locked.part().clone(),
        locked.protection().clone(),
        flash,
    )?)
}

/// The image that boots, whole, with no more of the flash read than it takes.
pub(super) fn active_contents(
    facts: &Facts,
    locked: &mut Locked<'_>,
) -> Result<(FlashAddr, Contents), JobError> {
    let mut source = locked.source();
    let mut images = read_images(&mut source, Depth::Full)?;
    let image = mark_active(&mut images, facts.running)
        .and_then(|index| images.get(index)?.image.as_ref())
        .ok_or_else(|| JobError::NoImage("no signature leads to a whole one".into()))?;
    Ok((image.start, contents_of(&mut source, image)?))
}

/// An image that was found, with its bytes.
pub(super) fn contents_of(source: &mut dyn Source, image: &Image) -> Result<Contents, JobError> {
    // What was not read reads as erased; nobody looks at it.
    let mut flash = vec![0xFF; source.size() as usize];
    for (at, len) in image.map.runs(ImageOffset(0), image.len) {
        let range = at.0 as usize..at.0 as usize + len as usize;
        if let Some(place) = flash.get_mut(range) {
            source.read_at(at, place)?;
        }
    }
    Contents::from_dump(&flash, image.start).map_err(|error| JobError::NoImage(error.to_string()))
}
