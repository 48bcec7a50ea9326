//! What was read of a card, as plain data.

use super::boot::{BootEvidence, BootReport, boot_choice};
use super::slot::{Bootability, slots};
use super::{ImageSlot, SlotChoice, wavers};
use crate::card::Chip;
use crate::flash::{FlashChip, Protection};
use crate::image::{FlashAddr, Image, MAGIC, START_CANDIDATES, SourceError, Version};
use std::ops::Range;

/// Everything a plan may depend on.
#[derive(Clone, Debug)]
pub struct CardSnapshot {
    pub chip: Chip,
    /// No firmware runs.
    pub recovery: bool,
    /// Running firmware, when there is one.
    pub running: Option<Version>,
    pub flash_chip: FlashChip,
    pub protection: Protection,
    /// The whole flash, byte for byte.
    pub flash: Vec<u8>,
    /// One entry per signature in rising order, read fully.
    pub slots: Vec<ImageSlot>,
    /// Bytes that read differently each time: an interrupted erase or program left them.
    pub wavering: Vec<Range<u32>>,
}

/// The image a job is about.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a> {
    pub slot: &'a ImageSlot,
    pub choice: SlotChoice,
}

impl CardSnapshot {
    /// Reads the image at every signature of `flash`.
    /// Fails when `flash` is longer than addresses reach; a chip never is.
    pub fn new(
        chip: Chip,
        recovery: bool,
        running: Option<Version>,
        flash_chip: FlashChip,
        protection: Protection,
        flash: Vec<u8>,
    ) -> Result<Self, SourceError> {
        let slots = slots(&flash, chip, &[])?;
        let wavering = Vec::new();
        Ok(Self { chip, recovery, running, flash_chip, protection, flash, slots, wavering })
    }

    /// The same with these bytes reading differently each time: no image with such a byte is valid.
    pub fn with_wavering(mut self, wavering: Vec<Range<u32>>) -> Self {
        for slot in &mut self.slots {
            if let Some(why) = wavers(slot.start, slot.image(), &wavering) {
                slot.contents = Err(why);
            }
        }
        self.wavering = wavering;
        self
    }

    /// Addresses of the signatures.
    pub(super) fn signatures(&self) -> Vec<FlashAddr> {
        self.slots.iter().map(|slot| slot.start).collect()
    }

    /// Each image that can be read.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.slots.iter().filter_map(ImageSlot::image)
    }

    /// Addresses at which a signature may read as one the next time: power failed while it was programmed
    /// or invalidated.
    pub(super) fn unsure_signatures(&self) -> Vec<FlashAddr> {
        let may_be = |start: &u32| {
            let at = *start as usize;
            let Some(word) = self.flash.get(at..at + 4) else { return false };
            let lies_in = |range: &Range<u32>| range.contains(start);
            self.wavering.iter().any(lies_in)
                && (word.iter().zip(MAGIC).all(|(byte, magic)| byte & !magic == 0)
                    || word.iter().zip(MAGIC).all(|(byte, magic)| byte & magic == magic))
        };
        START_CANDIDATES.into_iter().filter(may_be).map(FlashAddr).collect()
    }

    /// The images that are complete and for this kind of chip.
    pub fn bootable(&self) -> impl Iterator<Item = &ImageSlot> {
        self.slots.iter().filter(|slot| slot.bootability() != Bootability::No)
    }

    /// The images that are relied on to boot.
    pub(super) fn relied(&self) -> impl Iterator<Item = &ImageSlot> {
        let booted = self.boots().start;
        self.slots.iter().filter(move |slot| {
            Some(slot.start) == booted || slot.bootability() == Bootability::Sure
        })
    }

    /// The image that boots, as far as is known; without one, the best of the others.
    pub fn active(&self) -> Option<Active<'_>> {
        let places = self.slots.iter().map(ImageSlot::place);
        let (n, choice) = boot_choice(places, self.chip, self.evidence())?;
        Some(Active { slot: self.slots.get(n)?, choice })
    }

    /// The image that is relied on to boot.
    pub fn boots(&self) -> BootReport {
        BootReport::among(self.slots.iter().map(ImageSlot::place), self.chip, self.evidence())
    }

    /// What the card shows of the image it booted from.
    pub fn evidence(&self) -> BootEvidence {
        BootEvidence::of(self.running.filter(|_| !self.recovery))
    }

    /// Bootable images have different layouts, and the running version does not decide which boots.
    pub fn is_ambiguous(&self) -> bool {
        let mut layouts = self.bootable().filter_map(|slot| Some(slot.image()?.layout));
        let first = layouts.next();
        let differ = layouts.any(|layout| Some(layout) != first);
        differ && self.active().is_some_and(|active| active.choice == SlotChoice::Lowest)
    }
}
