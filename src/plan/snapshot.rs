//! What was read of a card, as plain data.

use super::ImageSlot;
use crate::card::Chip;
use crate::flash::{FlashChip, Protection};
use crate::image::{Contents, FlashAddr, Half, Image, Layout, Scan, SourceError, Version, scan};

/// Everything a plan may depend on.
#[derive(Clone, Debug)]
pub struct CardSnapshot {
    /// Silicon.
    pub chip: Chip,
    /// No firmware runs.
    pub recovery: bool,
    /// Running firmware, when there is one.
    pub running: Option<Version>,
    /// Flash chip.
    pub flash_chip: FlashChip,
    /// Its protection.
    pub protection: Protection,
    /// The whole flash, byte for byte.
    pub flash: Vec<u8>,
    /// Signatures in it.
    pub scan: Scan,
    /// One entry per signature, read fully.
    pub slots: Vec<ImageSlot>,
}

/// Why an image was taken for the one that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotChoice {
    /// It is the only one that is whole.
    OnlyBootable,
    /// Two are whole; its version is the one that runs.
    Running,
    /// Two are whole and the running version does not tell: the lowest, as flint does. What the
    /// boot ROM prefers is UNCONFIRMED (docs/fs2.md#flash-map).
    Lowest,
    /// None is whole; it is the best of them.
    Damaged,
}

/// The image a job is about.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a> {
    /// It.
    pub slot: &'a ImageSlot,
    /// Why this one.
    pub decided: SlotChoice,
}

impl CardSnapshot {
    /// From what was read. Every signature is followed and read fully (10.7 #20: both halves are
    /// verified, both are reported).
    ///
    /// # Errors
    /// When `flash` is longer than addresses reach; a chip never is.
    pub fn new(
        chip: Chip,
        recovery: bool,
        running: Option<Version>,
        flash_chip: FlashChip,
        protection: Protection,
        flash: Vec<u8>,
    ) -> Result<Self, SourceError> {
        let scan = scan(&mut flash.as_slice())?;
        let slots = scan
            .magics
            .iter()
            .map(|start| ImageSlot {
                start: *start,
                contents: Contents::from_dump(&flash, *start).map_err(|e| e.to_string()),
            })
            .collect();
        Ok(Self {
            chip,
            recovery,
            running,
            flash_chip,
            protection,
            flash,
            scan,
            slots,
        })
    }

    /// The images that are whole and stand where one may start.
    pub fn bootable(&self) -> impl Iterator<Item = &ImageSlot> {
        self.slots.iter().filter(|f| f.boots())
    }

    /// The image that boots, as far as is known.
    #[must_use]
    pub fn active(&self) -> Option<Active<'_>> {
        let whole: Vec<&ImageSlot> = self.bootable().collect();
        let found = |slot, decided| Some(Active { slot, decided });
        match whole.as_slice() {
            [] => {
                // The best of the damaged: one whose identity can be kept, then any that has a
                // place where an image may start.
                let damaged = self.slots.iter().filter(|f| f.image().is_some());
                let best = damaged
                    .clone()
                    .find(|f| f.validity().identity)
                    .or_else(|| damaged.clone().next());
                best.and_then(|best| found(best, SlotChoice::Damaged))
            }
            [one] => found(one, SlotChoice::OnlyBootable),
            [lowest, ..] => match self.running_one(&whole) {
                Some(running) => found(running, SlotChoice::Running),
                None => found(lowest, SlotChoice::Lowest),
            },
        }
    }

    /// The one of several images whose version runs, if exactly one has it.
    fn running_one<'a>(&self, whole: &[&'a ImageSlot]) -> Option<&'a ImageSlot> {
        let running = self.running?;
        let mut same = whole
            .iter()
            .filter(|f| version_of(f.image()) == Some(running));
        let first = same.next()?;
        same.next().is_none().then_some(*first)
    }

    /// True when whole images of different layouts stand and the running version does not say
    /// which one boots.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        let whole: Vec<&ImageSlot> = self.bootable().collect();
        let mut layouts: Vec<Layout> = whole
            .iter()
            .filter_map(|f| f.image().map(|i| i.layout))
            .collect();
        layouts.dedup();
        layouts.len() > 1 && self.running_one(&whole).is_none()
    }

    /// Signatures where no image may start, or that lead nowhere.
    #[must_use]
    pub fn stale(&self) -> Vec<FlashAddr> {
        self.slots
            .iter()
            .filter(|f| f.image().is_none_or(|i| !may_start(i)))
            .map(|f| f.start)
            .collect()
    }
}

/// Is this a place where an image of this layout may start? (docs/fs2.md#image-start)
#[must_use]
pub fn may_start(image: &Image) -> bool {
    match image.layout {
        Layout::NonFailsafe => image.start.0 == 0,
        Layout::Failsafe { chunk_log2 } => {
            image.start.0 == 0 || Some(image.start.0) == 1u32.checked_shl(u32::from(chunk_log2))
        }
    }
}

/// Version of an image.
pub(super) fn version_of(image: Option<&Image>) -> Option<Version> {
    image?.info.as_ref()?.fw_version
}

/// Half an image of this layout is in when its signature is at `start`.
#[must_use]
pub fn half_at(layout: Layout, start: FlashAddr) -> Option<Half> {
    match layout {
        Layout::NonFailsafe => None,
        Layout::Failsafe { .. } if start.0 == 0 => Some(Half::Even),
        Layout::Failsafe { .. } => Some(Half::Odd),
    }
}
