//! Which image boots: the one answer to this question.

use super::Validity;
use super::slot::{boots, wrong_silicon};
use crate::card::Chip;
use crate::escape::ForeignText;
use crate::flash::Boots;
use crate::image::{Contents, FlashAddr, Half, Image, Version, scan};
use schemars::JsonSchema;
use serde::Serialize;

/// Why an image was taken for the one that boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotChoice {
    OnlyBootable,
    /// Of several bootable ones it is the only one of the version that runs.
    Running,
    /// Several are bootable and the running version does not decide: the lowest, as in mstflint. Which one
    /// the boot ROM prefers is UNCONFIRMED (docs/fs2.md#flash-map).
    Lowest,
    /// None is bootable; it is the best of them.
    Damaged,
}

/// The image that boots, of those at the signatures of a flash in rising order: its index. `None` when
/// none is bootable.
pub fn boot_choice<'a>(
    images: impl IntoIterator<Item = Option<&'a Image>>,
    chip: Chip,
    running: Option<Version>,
) -> Option<(usize, SlotChoice)> {
    let bootable: Vec<(usize, &Image)> = images
        .into_iter()
        .enumerate()
        .filter_map(|(n, image)| Some((n, image.filter(|i| boots(i, chip))?)))
        .collect();
    let runs = |(_, image): &&(usize, &Image)| running.is_some() && image.fw_version() == running;
    let mut running = bootable.iter().filter(runs);
    match (bootable.as_slice(), running.next(), running.next()) {
        ([], ..) => None,
        ([(only, _)], ..) => Some((*only, SlotChoice::OnlyBootable)),
        (_, Some((n, _)), None) => Some((*n, SlotChoice::Running)),
        ([(lowest, _), ..], ..) => Some((*lowest, SlotChoice::Lowest)),
    }
}

/// What would start at the next power-on.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct BootReport {
    /// Where its signature is; `None` = nothing would start.
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
}

/// What would start from this flash on this chip, judged from its bytes alone.
pub fn would_boot(flash: &[u8], chip: Chip) -> BootReport {
    let images = images(flash);
    first_bootable(&images, chip)
        .map_or_else(BootReport::default, |(start, c)| BootReport::of(*start, c.image()))
}

/// Whether `new`, the image that a job writes, is the one that would start on this chip. An image of which
/// that is not sure decides nothing.
pub fn which_boots(flash: &[u8], new: Option<&[u8]>, chip: Chip) -> Boots {
    let images = images(flash);
    let sure = |contents: &Contents| surely_boots(contents.image(), chip);
    match first_bootable(&images, chip) {
        None => Boots::Nothing,
        // The boot ROM takes one, or goes on to the next.
        Some(_) if !images.iter().any(|(_, contents)| sure(contents)) => Boots::Unknown,
        Some((_, found)) if Some(found.bytes()) == new => Boots::NewImage,
        Some(_) => Boots::OldImage,
    }
}

/// An image that is promised to start on this chip.
pub(super) fn surely_boots(image: &Image, chip: Chip) -> bool {
    Validity::of(image).undamaged() && wrong_silicon(image, chip).is_none()
}

/// The image at each signature of a flash.
fn images(flash: &[u8]) -> Vec<(FlashAddr, Contents)> {
    let magics = scan(&mut &*flash).unwrap_or_default();
    let read = |start| Some((start, Contents::from_dump(flash, start).ok()?));
    magics.into_iter().filter_map(read).collect()
}

fn first_bootable(images: &[(FlashAddr, Contents)], chip: Chip) -> Option<&(FlashAddr, Contents)> {
    let (n, _) = boot_choice(images.iter().map(|(_, c)| Some(c.image())), chip, None)?;
    images.get(n)
}
