//! `query` and `config show`: what a card or an image file is, and the ini in it.

use super::code::WriteAnew;
use super::images::{mark_active, no_image, read_images};
use super::session::CardFacts;
use super::{CardReport, Device, ImageFile, ImageReport, JobError, UnsteadyRange};
use crate::image::{Contents, Depth, FlashAddr, Identity, Image, IniEntry, IniSetting, Version};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::Range;
use std::path::PathBuf;

/// Answer of `query`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "QueryOutcome")]
pub struct QueryOutcome<I = Image> {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// Path of the file; `None` for a card.
    #[serde(serialize_with = "crate::escape::serialize_path_option")]
    #[schemars(with = "Option<String>")]
    pub file: Option<PathBuf>,
    /// SHA-256 of the file, lower-case hex; `None` for a card.
    pub sha256: Option<String>,
    /// Every image found, lowest first. One for a file.
    pub images: Vec<ImageReport<I>>,
    /// Places that carry a signature where no image may start.
    pub stale: Vec<FlashAddr>,
    /// Index in `images` of the one a report is about: the one that would start, else the best of the others.
    pub active: Option<usize>,
    /// Flash and running versions differ: the new one starts with the next reset.
    pub reset_pending: bool,
    /// Bytes read for this answer that read differently each time: an interrupted erase or write left them.
    /// An image in them is not valid.
    pub wavering: Vec<UnsteadyRange>,
}

impl QueryOutcome {
    /// The same with another form of each image, made by `form`.
    pub fn map<I>(&self, form: impl Fn(&Image) -> I) -> QueryOutcome<I> {
        QueryOutcome {
            card: self.card.clone(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            images: self.images.iter().map(|report| report.map(&form)).collect(),
            stale: self.stale.clone(),
            active: self.active,
            reset_pending: self.reset_pending,
            wavering: self.wavering.clone(),
        }
    }
}

/// Query a card with as few reads as its answer needs. Every field mstflint's `query full` shows lies
/// in the few KiB that are read; CRCs of the code are for [`super::verify_card`].
pub fn query_card(device: &mut Device) -> Result<QueryOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let found = read_card(&facts, device)?;
    note_psid(&facts, &found);
    Ok(found)
}

/// Keeps the PSID of the card that was read. Called when the semaphores are free.
pub(super) fn note_psid(facts: &CardFacts, found: &QueryOutcome) {
    let psid = found.active.and_then(|n| found.images.get(n)?.image.as_ref()?.psid());
    if let (Some(psid), Some(card)) = (psid, &found.card) {
        facts.note_psid(card.flash.jedec, psid.as_str());
    }
}

fn read_card(facts: &CardFacts, device: &mut Device) -> Result<QueryOutcome, JobError> {
    let mut locked = device.lock()?;
    let card = facts.report(&locked);
    let mut source = locked.source();
    // Where nothing is known to run: what a quick reading passes over may be why.
    let depth = if facts.recovery || facts.running.is_none() { Depth::Full } else { Depth::Query };
    let images = read_images(&mut source, depth)?;
    facts.note_serials(images.iter().filter_map(|found| found.image.as_ref()));
    let found = outcome(card.clone(), images, source.wavering());
    // Whether another image starts than the one that runs, and which one of several, depends on CRCs that a
    // quick reading does not compute.
    let several = found.images.iter().filter(|report| report.image.is_some()).count() > 1;
    if depth == Depth::Full || !found.reset_pending && !several {
        return Ok(found);
    }
    let images = read_images(&mut source, Depth::Full)?;
    Ok(outcome(card, images, source.wavering()))
}

fn version_at(images: &[ImageReport], index: Option<usize>) -> Option<Version> {
    let image = images.get(index?)?.image.as_ref()?;
    image.info.as_ref()?.fw_version
}

pub(super) fn outcome(
    card: CardReport,
    mut images: Vec<ImageReport>,
    wavering: Vec<Range<u32>>,
) -> QueryOutcome {
    let running = card.running;
    let active = mark_active(&mut images, card.chip, running);
    let booted = active.filter(|(_, choice)| choice.boots());
    let flashed = version_at(&images, booted.map(|(n, _)| n));
    QueryOutcome {
        reset_pending: running.is_some() && flashed.is_some() && running != flashed,
        stale: images
            .iter()
            .filter(|r| r.image.as_ref().is_none_or(|i| !i.layout.may_start(i.start)))
            .map(|r| r.start)
            .collect(),
        active: active.map(|(n, _)| n),
        wavering: wavering.into_iter().map(UnsteadyRange::from).collect(),
        card: Some(card),
        file: None,
        sha256: None,
        images,
    }
}

/// Query an image file.
pub fn query_image(file: &ImageFile) -> QueryOutcome {
    let image = file.contents.image();
    let report = ImageReport {
        half: None,
        boots: false,
        wrong_silicon: None,
        unsure: None,
        valid: Some(image.is_valid()),
        image: Some(image.clone()),
        error: None,
        start: image.start,
        checksum: Some(file.contents.checksum()),
    };
    QueryOutcome {
        card: None,
        file: Some(file.path.clone()),
        sha256: Some(file.sha256.clone()),
        images: vec![report],
        stale: Vec::new(),
        active: Some(0),
        wavering: Vec::new(),
        reset_pending: false,
    }
}

/// Answer of `config show`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct ConfigOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// The ini text, lossy where it is not UTF-8; `None` where a part of it was requested.
    pub ini: Option<String>,
    /// The key that was requested.
    pub entry: Option<IniEntry>,
    /// The settings people ask for, where they were requested.
    pub summary: Option<Vec<IniSetting>>,
    /// Its bytes as they are.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// The ini of the image that would boot.
pub fn config_show(device: &mut Device) -> Result<ConfigOutcome, JobError> {
    let (card, contents) = device.active_contents()?;
    ini_of(Some(card), &contents)
}

/// The ini of an image file.
pub fn config_show_image(file: &ImageFile) -> Result<ConfigOutcome, JobError> {
    ini_of(None, &file.contents)
}

fn ini_of(card: Option<CardReport>, contents: &Contents) -> Result<ConfigOutcome, JobError> {
    let ini = contents
        .image()
        .ini
        .as_ref()
        .ok_or(JobError::NoPart("settings (FW Configuration section)"))?;
    Ok(ConfigOutcome {
        card,
        ini: Some(String::from_utf8_lossy(&ini.bytes).into_owned()),
        entry: None,
        summary: None,
        bytes: ini.bytes.clone(),
    })
}

/// How to make an image that boots, where one is complete and not relied on.
pub(super) fn write_anew(query: &QueryOutcome) -> Option<WriteAnew> {
    let unsure = query.images.iter().find(|report| !report.boots && report.unsure.is_some())?;
    if !unsure.can_be_sealed() {
        return Some(WriteAnew::OtherImage);
    }
    let [first, second] = Identity::from_image(unsure.image.as_ref()?).ok()?.macs;
    // `--mac` gives port 2 the next one.
    let enough = first.is_valid() && first.0.checked_add(1) == Some(second.0);
    Some(WriteAnew::SameImage(enough.then_some(first)))
}

/// Why a reset is not promised to start an image, where none is relied on.
pub(super) fn would_not_start(query: &QueryOutcome) -> JobError {
    let unsure =
        query.images.iter().find_map(|r| Some((r.start, r.unsure.as_ref()?, write_anew(query)?)));
    match unsure {
        Some((start, why, way)) => JobError::ImageUnsure { start, why: why.clone(), way },
        None => no_image(&query.images, "a reset would end in recovery mode"),
    }
}
