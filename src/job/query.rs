//! `query`: what a card or an image file is.

use super::readings::{UnsteadyRange, steady};
use super::session::CardFacts;
use super::{Device, ImageFile, JobError};
use crate::card::Chip;
use crate::flash::{FlashChip, FlashSource, Protection};
use crate::image::{
    Depth, FlashAddr, Form, Half, Image, ImageError, Source, SourceError, Version, read, scan,
};
use crate::plan::boot_choice;
use serde::Serialize;
use std::path::PathBuf;

/// The card itself.
#[derive(Clone, Debug, Serialize)]
pub struct CardReport {
    /// What the user called it.
    pub device: String,
    /// PCI address, when known.
    pub bdf: Option<String>,
    /// Silicon.
    pub chip: Chip,
    /// `ConnectX-3 A1`.
    pub chip_name: String,
    /// No firmware runs: recovery mode.
    pub recovery: bool,
    /// Running firmware.
    pub running: Option<Version>,
    /// Flash chip.
    pub flash: FlashChip,
    /// Write protection.
    pub protection: Protection,
}

/// One image on the card.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// Which half, on a failsafe card.
    pub half: Option<Half>,
    /// This is the one that would start, as far as is known.
    pub boots: bool,
    /// Every CRC was looked at and none is wrong; `None` when it was read quickly.
    pub whole: Option<bool>,
    /// What it says of itself; `None` when it cannot be read.
    pub image: Option<Image>,
    /// Why it cannot be read.
    pub error: Option<String>,
    /// Where its signature is.
    pub start: FlashAddr,
    /// mstflint's `checksum`: equal for two cards with the same firmware and another identity
    /// (docs/flint.md#checksum). `None` when the image was not read whole.
    pub checksum: Option<String>,
}

/// Answer of `query`.
#[derive(Clone, Debug, Serialize)]
pub struct QueryOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// Path of the file; `None` for a card.
    pub file: Option<PathBuf>,
    /// Every image found, lowest first. One for a file.
    pub images: Vec<ImageReport>,
    /// Places that carry a signature where no image may start.
    pub stale: Vec<FlashAddr>,
    /// Index in `images` of the one to speak of: the one that would start.
    pub active: Option<usize>,
    /// Flash and running versions differ: the new one starts with the next reset.
    pub reset_pending: bool,
}

/// Query a card with as few reads as its answer needs. Every field mstflint's `query full` shows lies
/// in the few KiB that are read; CRCs of the code are for [`super::verify_card`].
///
/// # Errors
/// When the card or its flash cannot be read.
pub fn query_card(device: &mut Device) -> Result<QueryOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let card = facts.report(&locked);
    let images = read_images(&mut locked.source(), Depth::Quick)?;
    Ok(outcome(Some(card), None, images))
}

/// Every image on the card, lowest first. What looks damaged was read twice.
pub(super) fn read_images(
    flash: &mut FlashSource<'_, '_>,
    depth: Depth,
) -> Result<Vec<ImageReport>, JobError> {
    steady_images(flash, depth, &mut Vec::new())
}

/// The same; the list gets what differed between readings.
pub(super) fn steady_images(
    flash: &mut FlashSource<'_, '_>,
    depth: Depth,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<Vec<ImageReport>, JobError> {
    let damaged = |images: &Vec<ImageReport>| {
        let valid = |report: &ImageReport| report.image.as_ref().is_some_and(Image::is_valid);
        images.is_empty() || !images.iter().all(valid)
    };
    let mut reading = |flash: &mut FlashSource<'_, '_>| images_in(flash, depth);
    steady(flash, unsteady, &mut reading, &damaged)
}

fn images_in(flash: &mut dyn Source, depth: Depth) -> Result<Vec<ImageReport>, JobError> {
    let magics = scan(flash)?.magics;
    let mut images = Vec::new();
    for start in magics {
        let found = match read(flash, start, Form::Striped, depth) {
            Ok(image) => Ok(image),
            // The card failed: that is no answer about the image.
            Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        };
        let whole = (depth == Depth::Full).then(|| found.as_ref().is_ok_and(Image::is_valid));
        let (image, error) = match found {
            Ok(image) => (Some(image), None),
            Err(error) => (None, Some(error)),
        };
        images.push(ImageReport {
            half: image.as_ref().and_then(half_of),
            boots: false,
            whole,
            image,
            error,
            start,
            checksum: None,
        });
    }
    Ok(images)
}

/// Which half an image is in, on a failsafe card.
pub(super) fn half_of(image: &Image) -> Option<Half> {
    image.layout.half_at(image.start)
}

/// Mark the image that boots and give its index, as [`crate::plan::CardSnapshot::active`] does.
pub(super) fn mark_active(images: &mut [ImageReport], running: Option<Version>) -> Option<usize> {
    let active = boot_choice(images.iter().map(|r| r.image.as_ref()), running).map(|(n, _)| n);
    if let Some(report) = active.and_then(|index| images.get_mut(index)) {
        report.boots = true;
    }
    active
}

fn version_at(images: &[ImageReport], index: Option<usize>) -> Option<Version> {
    let image = images.get(index?)?.image.as_ref()?;
    image.info.as_ref()?.fw_version
}

pub(super) fn outcome(
    card: Option<CardReport>,
    file: Option<PathBuf>,
    mut images: Vec<ImageReport>,
) -> QueryOutcome {
    let running = card.as_ref().and_then(|c| c.running);
    let active = mark_active(&mut images, running);
    // Without one that boots, the first that can be read is the one to speak of.
    let shown = active.or_else(|| images.iter().position(|r| r.image.is_some()));
    let flashed = version_at(&images, active);
    QueryOutcome {
        reset_pending: running.is_some() && flashed.is_some() && running != flashed,
        stale: images
            .iter()
            .filter(|r| {
                r.image
                    .as_ref()
                    .is_none_or(|i| !i.layout.may_start(i.start))
            })
            .map(|r| r.start)
            .collect(),
        active: shown,
        card,
        file,
        images,
    }
}

/// Query an image file.
#[must_use]
pub fn query_image(file: &ImageFile) -> QueryOutcome {
    let image = file.contents.image();
    let report = ImageReport {
        half: None,
        boots: false,
        whole: Some(image.is_valid()),
        image: Some(image.clone()),
        error: None,
        start: image.start,
        checksum: Some(file.contents.checksum()),
    };
    QueryOutcome {
        card: None,
        file: Some(file.path.clone()),
        images: vec![report],
        stale: Vec::new(),
        active: Some(0),
        reset_pending: false,
    }
}
