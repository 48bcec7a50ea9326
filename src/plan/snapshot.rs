//! What was read of a card, as plain data.

use super::boot::boot_choice;
use super::{ImageSlot, SlotChoice, wavers};
use crate::card::Chip;
use crate::flash::{FlashChip, Protection};
use crate::image::{Contents, FlashAddr, MAGIC, START_CANDIDATES, SourceError, Version, scan};
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
        let slots = scan(&mut flash.as_slice())?
            .into_iter()
            .map(|start| ImageSlot {
                start,
                chip,
                contents: Contents::from_dump(&flash, start).map_err(|e| e.to_string()),
            })
            .collect();
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

    /// The images that are bootable.
    pub fn bootable(&self) -> impl Iterator<Item = &ImageSlot> {
        self.slots.iter().filter(|slot| slot.boots())
    }

    /// The image that boots, as far as is known. Without one, the best of the others: one for this
    /// silicon, whose identity can be kept if possible, then any that can be read.
    pub fn active(&self) -> Option<Active<'_>> {
        if let Some((n, choice)) = self.boot_choice() {
            let slot = self.slots.get(n)?;
            return Some(Active { slot, choice });
        }
        let readable = self.slots.iter().filter(|slot| slot.image().is_some());
        // The first of equal ones.
        let rank = |slot: &&ImageSlot| (slot.wrong_silicon().is_some(), !slot.validity().identity);
        let slot = readable.min_by_key(rank)?;
        let choice = SlotChoice::Damaged;
        Some(Active { slot, choice })
    }

    fn boot_choice(&self) -> Option<(usize, SlotChoice)> {
        boot_choice(self.slots.iter().map(ImageSlot::image), self.chip, self.running)
    }

    /// Bootable images have different layouts, and the running version does not decide which boots.
    pub fn is_ambiguous(&self) -> bool {
        let mut layouts = self.bootable().filter_map(|slot| Some(slot.image()?.layout));
        let first = layouts.next();
        let differ = layouts.any(|layout| Some(layout) != first);
        differ && matches!(self.boot_choice(), Some((_, SlotChoice::Lowest)))
    }
}
