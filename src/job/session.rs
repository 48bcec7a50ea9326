//! One session at a card: facts, semaphores, reading.

use super::query::{mark_active, read_images};
use super::{CardReport, Device, JobError};
use crate::card::{Chip, RunningVersion};
use crate::flash::{Event, Events, Flash, Locked, Phase};
use crate::image::{Contents, Depth, FlashAddr, Source, SourceError, Version};
use crate::plan::CardSnapshot;

/// Bytes read between two looks at the wish to stop.
const PIECE: usize = 0x1_0000;

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
        Ok(Flash::lock(&mut self.card, &self.clock)?)
    }
}

/// Fill `buf` from `at`, telling how far it is.
pub(super) fn read_range(
    locked: &mut Locked<'_>,
    at: FlashAddr,
    buf: &mut [u8],
    phase: Phase,
    events: &mut dyn Events,
) -> Result<(), JobError> {
    events.tell(Event::Started {
        phase,
        total: buf.len() as u64,
    });
    let mut done = 0_u64;
    let mut from = at.0;
    for piece in buf.chunks_mut(PIECE) {
        if events.stop_wanted() {
            return Err(JobError::Interrupted);
        }
        locked.read_at(FlashAddr(from), piece)?;
        // A piece has at most PIECE bytes.
        from = from.saturating_add(piece.len() as u32);
        done += piece.len() as u64;
        events.tell(Event::Advanced { phase, done });
    }
    events.tell(Event::Finished { phase });
    Ok(())
}

/// Read the whole flash, once, and everything that stands in it.
pub(super) fn snapshot(
    facts: &Facts,
    locked: &mut Locked<'_>,
    phase: Phase,
    events: &mut dyn Events,
) -> Result<CardSnapshot, JobError> {
    let mut flash = vec![0; locked.part().geometry.size as usize];
    read_range(locked, FlashAddr(0), &mut flash, phase, events)?;
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
    flash: &mut dyn Source,
) -> Result<(FlashAddr, Contents), JobError> {
    let mut cached = Cached::new(flash);
    let mut images = read_images(&mut cached, Depth::Full)?;
    let report = mark_active(&mut images, facts.running)
        .and_then(|index| images.get(index))
        .ok_or_else(|| JobError::NoImage("no signature leads to a whole one".into()))?;
    let contents = Contents::from_dump(cached.bytes(), report.start)
        .map_err(|error| JobError::NoImage(error.to_string()))?;
    Ok((report.start, contents))
}

/// A card's flash that is asked for each 4 KiB at most once.
pub(super) struct Cached<'a> {
    inner: &'a mut dyn Source,
    bytes: Vec<u8>,
    have: Vec<bool>,
}

impl<'a> Cached<'a> {
    const CELL: usize = 0x1000;

    pub(super) fn new(inner: &'a mut dyn Source) -> Self {
        let size = inner.size() as usize;
        Self {
            inner,
            // What was not asked for reads as erased.
            bytes: vec![0xFF; size],
            have: vec![false; size.div_ceil(Self::CELL)],
        }
    }

    /// Everything read so far, FF elsewhere.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Source for Cached<'_> {
    fn size(&self) -> u32 {
        self.inner.size()
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let outside = SourceError::Outside {
            at: at.0,
            len: buf.len(),
            size: self.size(),
        };
        let start = at.0 as usize;
        let Some(end) = start
            .checked_add(buf.len())
            .filter(|end| *end <= self.bytes.len())
        else {
            return Err(outside);
        };
        for cell in start / Self::CELL..end.div_ceil(Self::CELL) {
            if self.have.get(cell).copied().unwrap_or(true) {
                continue;
            }
            let from = cell * Self::CELL;
            let to = (from + Self::CELL).min(self.bytes.len());
            if let Some(place) = self.bytes.get_mut(from..to) {
                // Inside a chip, whose addresses are 32 bits.
                self.inner.read_at(FlashAddr(from as u32), place)?;
            }
            if let Some(have) = self.have.get_mut(cell) {
                *have = true;
            }
        }
        buf.copy_from_slice(self.bytes.get(start..end).unwrap_or_default());
        Ok(())
    }
}
