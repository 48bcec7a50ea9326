//! The images on a card: each one that a signature leads to.

use super::JobError;
use super::readings::{UnsteadyRange, steady};
use crate::card::Chip;
use crate::flash::FlashSource;
use crate::image::{
    Depth, Finding, FindingId, FlashAddr, Form, Half, Image, ImageError, Severity, Source,
    SourceError, Version, read, scan,
};
use crate::plan::{
    BootEvidence, Bootability, SlotChoice, boot_choice, bootability, wavers, wrong_silicon,
};
use schemars::JsonSchema;
use serde::Serialize;

/// One image on the card.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "ImageReport")]
pub struct ImageReport<I = Image> {
    /// Which half, on a failsafe card.
    pub half: Option<Half>,
    /// This is the one that would start, as far as is known.
    #[serde(rename = "would_boot")]
    pub boots: bool,
    /// Every CRC was checked and holds; `None` when it was read quickly.
    #[serde(rename = "verified")]
    pub valid: Option<bool>,
    /// Why it does not start on this card although it may be valid; `None` for a file too.
    pub wrong_silicon: Option<String>,
    /// Why it is not relied on to start although it is complete; `None` for a file, and where it was read
    /// quickly.
    pub unsure: Option<String>,
    /// `None` when it cannot be read.
    pub image: Option<I>,
    /// Why it cannot be read.
    #[serde(rename = "problem")]
    pub error: Option<String>,
    /// Where its signature is.
    pub start: FlashAddr,
    /// mstflint's `checksum`: equal for two cards with the same firmware and another identity
    /// (docs/flint.md#checksum). `None` when the image was not read in full.
    pub checksum: Option<String>,
}

impl ImageReport {
    /// Written anew by `identity set` it has right CRCs: the full image CRC and the size are all that is wrong.
    pub(super) fn can_be_sealed(&self) -> bool {
        let repaired = |id| matches!(id, FindingId::FullImageCrc | FindingId::Size);
        let error = |finding: &&Finding| finding.severity >= Severity::Error;
        self.image
            .as_ref()
            .is_some_and(|image| image.findings.iter().filter(error).all(|f| repaired(f.id)))
    }

    /// The same with another form of the image, made by `form`.
    pub fn map<I>(&self, form: impl FnOnce(&Image) -> I) -> ImageReport<I> {
        ImageReport {
            half: self.half,
            boots: self.boots,
            wrong_silicon: self.wrong_silicon.clone(),
            unsure: self.unsure.clone(),
            valid: self.valid,
            image: self.image.as_ref().map(form),
            error: self.error.clone(),
            start: self.start,
            checksum: self.checksum.clone(),
        }
    }
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
        let is_valid = |report: &ImageReport| report.image.as_ref().is_some_and(Image::is_valid);
        images.is_empty() || !images.iter().all(is_valid)
    };
    let mut reading = |flash: &mut FlashSource<'_, '_>| {
        let mut images = read_all(flash, depth)?;
        let wavering = flash.wavering();
        for report in &mut images {
            if let Some(why) = wavers(report.start, report.image.as_ref(), &wavering) {
                (report.image, report.valid, report.error) = (None, Some(false), Some(why));
            }
        }
        Ok(images)
    };
    steady(flash, unsteady, &mut reading, &damaged)
}

fn read_all(flash: &mut dyn Source, depth: Depth) -> Result<Vec<ImageReport>, JobError> {
    let mut images = Vec::new();
    for start in scan(flash)? {
        let found = match read(flash, start, Form::Striped, depth) {
            Ok(image) => Ok(image),
            // The card failed: that is no answer about the image.
            Err(ImageError::Source(error @ SourceError::Failed { .. })) => return Err(error.into()),
            Err(error) => Err(error.to_string()),
        };
        let valid = (depth == Depth::Full).then(|| found.as_ref().is_ok_and(Image::is_valid));
        let (image, error) = match found {
            Ok(image) => (Some(image), None),
            Err(error) => (None, Some(error)),
        };
        images.push(ImageReport {
            half: image.as_ref().and_then(half_of),
            boots: false,
            valid,
            wrong_silicon: None,
            unsure: None,
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

/// The error of a command that needs the image that boots, where there is none.
pub(super) fn no_image(images: &[ImageReport], otherwise: &str) -> JobError {
    let other = images.iter().find_map(|r| Some((r.start, r.wrong_silicon.as_ref()?)));
    JobError::NoImage(match other {
        Some((start, why)) => {
            format!("the image at {:#x} does not start on this card: {why}", start.0)
        }
        None => otherwise.to_owned(),
    })
}

/// Marks the images that do not start or are not sure to, and the one that boots; answers which one a report
/// is about, as [`crate::plan::CardSnapshot::active`] does.
pub(super) fn mark_active(
    images: &mut [ImageReport],
    chip: Chip,
    running: Option<Version>,
) -> Option<(usize, SlotChoice)> {
    let places = images.iter().map(|report| (report.start, report.image.as_ref()));
    let chosen = boot_choice(places, chip, BootEvidence::of(running));
    let booted = chosen.filter(|(_, choice)| choice.boots()).map(|(n, _)| n);
    for (n, report) in images.iter_mut().enumerate() {
        report.boots = Some(n) == booted;
        let Some(image) = &report.image else { continue };
        let runs = report.boots;
        report.wrong_silicon = wrong_silicon(image, chip).filter(|_| !runs);
        report.unsure = match bootability(report.start, image, chip) {
            Bootability::Unsure(why) if report.wrong_silicon.is_none() => Some(why),
            _ => None,
        };
    }
    chosen
}
