//! What a job leaves on a card, compared with what the card held before.

use super::boot::{BootEvidence, BootReport};
use super::slot::{slots, wavers};
use super::{Bootability, CardSnapshot, ImageSlot};
use crate::card::Chip;
use crate::flash::{Boots, overlap};
use crate::image::{FlashAddr, MAGIC, START_CANDIDATES, SourceError};
use std::ops::Range;

/// The images of a card before a job, with which what the job leaves is compared.
#[derive(Clone, Debug)]
pub struct BootsBefore {
    chip: Chip,
    /// The complete ones.
    slots: Vec<ImageSlot>,
    /// The one that is relied on to boot.
    booted: Option<FlashAddr>,
    /// What the card shows.
    shown: BootEvidence,
}

/// What a job left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    pub boots: Boots,
    pub report: BootReport,
    /// Every complete image is as it was, and there was one.
    pub untouched: bool,
}

impl BootsBefore {
    pub fn of(card: &CardSnapshot) -> Self {
        Self {
            chip: card.chip,
            slots: card.bootable().cloned().collect(),
            booted: card.boots().start,
            shown: card.evidence(),
        }
    }

    /// The image at this signature is as it was.
    fn same(&self, now: &[ImageSlot], before: &ImageSlot) -> bool {
        let mut at = now.iter().filter(|slot| slot.start == before.start);
        at.any(|slot| slot.bytes().is_some() && slot.bytes() == before.bytes())
    }

    /// These have every complete image unchanged, and no other.
    pub(super) fn holds_the_same(&self, now: &[ImageSlot]) -> bool {
        let complete = now.iter().filter(|slot| slot.bootability() != Bootability::No);
        complete.count() == self.slots.len() && self.slots.iter().all(|slot| self.same(now, slot))
    }

    /// The image that booted, where these images have it unchanged.
    pub(super) fn evidence(&self, now: &[ImageSlot]) -> BootEvidence {
        let mut booted = self.slots.iter().filter(|slot| Some(slot.start) == self.booted);
        let kept = booted.find(|slot| self.same(now, slot));
        kept.map_or(BootEvidence::Nothing, |slot| BootEvidence::Kept(slot.start))
    }

    /// Judges what the flash boots after a job that may have written the image `new`. What reads differently
    /// each time is never taken for an image that boots.
    pub fn left(
        &self,
        flash: &[u8],
        wavering: &[Range<u32>],
        new: Option<&[u8]>,
    ) -> Result<LeftBehind, SourceError> {
        let now = slots(flash, self.chip, wavering)?;
        let places = now.iter().map(ImageSlot::place);
        // Beside a new image the running version no longer decides.
        let evidence = match self.evidence(&now) {
            BootEvidence::Kept(_) if new.is_none() && self.shown != BootEvidence::Nothing => {
                self.shown
            }
            kept => kept,
        };
        let report = BootReport::among(places, self.chip, evidence);
        let found = now.iter().find(|slot| Some(slot.start) == report.start);
        // The image that booted may be written again to the other half.
        let booted = self.slots.iter().find(|slot| Some(slot.start) == self.booted);
        let kept = booted.filter(|booted| self.same(&now, booted)).map(|booted| booted.start);
        let is_new =
            |slot: &&ImageSlot| new.is_some() && slot.bytes() == new && Some(slot.start) != kept;
        // The register may name either one.
        let written = now.iter().find(is_new).map(|slot| slot.start);
        let stays = |slot: &ImageSlot| Some(slot.start) != written && self.same(&now, slot);
        let boots = match found {
            Some(_) if written.is_some() && self.slots.iter().any(stays) => Boots::EitherImage,
            Some(slot) if is_new(&slot) => Boots::NewImage,
            Some(_) => Boots::OldImage,
            None if may_hide_an_image(flash, self.chip, wavering) => Boots::Unknown,
            None => Boots::Nothing,
        };
        let same = |slot: &ImageSlot| self.same(&now, slot);
        let untouched = !self.slots.is_empty() && self.slots.iter().all(same);
        Ok(LeftBehind { boots, report, untouched })
    }
}

/// Bytes that read differently each time lie where a signature may be, or in an image behind one.
fn may_hide_an_image(flash: &[u8], chip: Chip, wavering: &[Range<u32>]) -> bool {
    let signature = |start: u32| start..start.saturating_add(MAGIC.len() as u32);
    let hit = |start: u32| wavering.iter().any(|w| overlap(w, &signature(start)));
    let images = slots(flash, chip, &[]).unwrap_or_default();
    START_CANDIDATES.into_iter().any(hit)
        || images.iter().any(|slot| wavers(slot.start, slot.image(), wavering).is_some())
}
