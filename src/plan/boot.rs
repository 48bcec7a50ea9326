//! Which image boots: the one answer to this question.

use super::slot::{Bootability, bootability, slots, wrong_silicon};
use super::{ImageSlot, Validity};
use crate::card::Chip;
use crate::escape::ForeignText;
use crate::image::{FlashAddr, Half, Image, Version};
use schemars::JsonSchema;
use serde::Serialize;

/// Why an image was taken for the one that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotChoice {
    OnlyBootable,
    /// The card shows that it boots from this one.
    Running,
    /// Several are bootable and the running version does not decide: the lowest, as in mstflint. Which one
    /// the boot ROM prefers is UNCONFIRMED (docs/fs2.md#flash-map).
    Lowest,
    /// None is relied on; it is the best of them.
    NotReliedOn,
}

impl SlotChoice {
    /// The image is relied on to boot.
    pub fn boots(self) -> bool {
        self != Self::NotReliedOn
    }
}

/// What is known of the image a card boots from, beside its flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootEvidence {
    /// Nothing: no firmware runs, or the flash is that of a file.
    Nothing,
    /// The card runs this version.
    Running(Version),
    /// The card boots from the image at this signature, which is as it was when the card did.
    Kept(FlashAddr),
}

impl BootEvidence {
    pub fn of(running: Option<Version>) -> Self {
        running.map_or(Self::Nothing, Self::Running)
    }

    /// Of an image that is written to boot from `start`, if it is relied on to boot.
    pub(super) fn written(boots: &BootReport) -> Self {
        boots.start.map_or(Self::Nothing, Self::Kept)
    }
}

/// The rule of docs/fs2.md#what-boots: which of the images at the signatures of a flash, in rising order,
/// boots on this chip; its index.
///
/// Relied on are images that are [`Bootability::Sure`], and one that is [`Bootability::Unsure`] where the
/// evidence shows that it runs: its version is the running one and no other complete image has it, or it
/// is as it was when the card booted from it. Of several, the only one of the running version boots, else
/// the lowest. Without any, the answer is the best of those that can be read, which does not count as
/// booting: one for this silicon, with an identity that can be kept, with valid code. `None` when none can be
/// read.
pub fn boot_choice<'a>(
    images: impl IntoIterator<Item = (FlashAddr, Option<&'a Image>)>,
    chip: Chip,
    evidence: BootEvidence,
) -> Option<(usize, SlotChoice)> {
    let judge = |(n, (start, image)): (usize, (FlashAddr, Option<&'a Image>))| {
        let image = image?;
        Some((n, start, image, bootability(start, image, chip)))
    };
    let images: Vec<_> = images.into_iter().enumerate().filter_map(judge).collect();
    let complete = || images.iter().filter(|(.., judged)| *judged != Bootability::No);
    let mut running = complete().filter(|(_, start, image, _)| match evidence {
        BootEvidence::Nothing => false,
        BootEvidence::Running(version) => image.fw_version() == Some(version),
        BootEvidence::Kept(at) => *start == at,
    });
    let shown = match (running.next(), running.next()) {
        (Some((n, ..)), None) => Some(*n),
        _ => None,
    };
    let sure = |judged: &Bootability| *judged == Bootability::Sure;
    let mut relied = complete().filter(|(n, .., judged)| sure(judged) || Some(*n) == shown);
    let by_version = shown.filter(|_| matches!(evidence, BootEvidence::Running(_)));
    match (relied.next(), relied.next(), by_version) {
        (Some((only, .., judged)), None, _) if sure(judged) => {
            Some((*only, SlotChoice::OnlyBootable))
        }
        (Some((only, ..)), None, _) => Some((*only, SlotChoice::Running)),
        (Some(_), Some(_), Some(running)) => Some((running, SlotChoice::Running)),
        (Some((lowest, ..)), Some(_), None) => Some((*lowest, SlotChoice::Lowest)),
        (None, ..) => {
            // The first of equal ones.
            let best = images.iter().min_by_key(|(_, _, image, _)| rank(image, chip));
            best.map(|(n, ..)| (*n, SlotChoice::NotReliedOn))
        }
    }
}

/// Smaller is better.
fn rank(image: &Image, chip: Chip) -> (bool, bool, bool) {
    let validity = Validity::of(image);
    (wrong_silicon(image, chip).is_some(), !validity.identity, !validity.code)
}

/// What would start at the next power-on, as far as it is relied on.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct BootReport {
    /// Where its signature is; `None` = no image is relied on to start.
    pub start: Option<FlashAddr>,
    /// `None` where the layout is not failsafe.
    pub half: Option<Half>,
    #[serde(rename = "fw_version")]
    pub version: Option<Version>,
    pub psid: Option<ForeignText>,
}

impl BootReport {
    /// Describes the image at `start`, which would boot.
    pub fn of(start: FlashAddr, image: &Image) -> Self {
        Self {
            start: Some(start),
            half: image.layout.half_at(start),
            version: image.fw_version(),
            psid: image.info.as_ref().and_then(|i| i.psid.clone()),
        }
    }

    /// What boots of these images.
    pub fn among<'a>(
        images: impl Iterator<Item = (FlashAddr, Option<&'a Image>)> + Clone,
        chip: Chip,
        evidence: BootEvidence,
    ) -> Self {
        let choice = boot_choice(images.clone(), chip, evidence);
        let chosen = choice.filter(|(_, choice)| choice.boots());
        let chosen = chosen.and_then(|(n, _)| images.clone().nth(n));
        chosen.and_then(|(start, image)| Some(Self::of(start, image?))).unwrap_or_default()
    }
}

/// What would start from this flash on this chip, judged from its bytes alone.
pub fn would_boot(flash: &[u8], chip: Chip) -> BootReport {
    let slots = slots(flash, chip, &[]).unwrap_or_default();
    BootReport::among(slots.iter().map(ImageSlot::place), chip, BootEvidence::Nothing)
}
