//! `verify`: every section and CRC.

use super::images::steady_images;
use super::query::{outcome, query_image};
use super::readings::{UnsteadyRange, report, report_wavering, steady};
use super::session::{CardFacts, active_in, contents_of, trust_chains};
use super::store::digest;
use super::{CardReport, Device, ImageFile, ImageReport, JobError};
use crate::flash::{Event, Events, FlashSource, Phase};
use crate::image::{Contents, Depth, FlashAddr, Identity, Image, ImageOffset};
use crate::plan::difference;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::PathBuf;

/// Answer of `verify`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[schemars(rename = "VerifyOutcome")]
pub struct VerifyOutcome<I = Image> {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// Path of the file; `None` for a card.
    #[serde(serialize_with = "crate::escape::serialize_path_option")]
    #[schemars(with = "Option<String>")]
    pub file: Option<PathBuf>,
    /// SHA-256 of the file, lower-case hex; `None` for a card.
    pub sha256: Option<String>,
    /// Every image found, fully read, lowest first.
    pub images: Vec<ImageReport<I>>,
    /// Places that carry a signature where no image may start.
    pub stale: Vec<FlashAddr>,
    /// True when there is an image and each one is valid and for this silicon.
    pub ok: bool,
    /// Where two readings of the card's flash differed; what two consecutive readings agreed on was
    /// verified.
    pub unsteady: Vec<UnsteadyRange>,
    /// Where they differed each time: an interrupted erase or write left it. An image in it is not valid.
    pub wavering: Vec<UnsteadyRange>,
    /// With `--against`: then `file` is the other image, no images are listed, and `ok` is that they are
    /// equal.
    pub against: Option<Comparison>,
}

impl VerifyOutcome {
    /// The same with another form of each image, made by `form`.
    pub fn map<I>(&self, form: impl Fn(&Image) -> I) -> VerifyOutcome<I> {
        VerifyOutcome {
            card: self.card.clone(),
            file: self.file.clone(),
            sha256: self.sha256.clone(),
            images: self.images.iter().map(|report| report.map(&form)).collect(),
            stale: self.stale.clone(),
            ok: self.ok,
            unsteady: self.unsteady.clone(),
            wavering: self.wavering.clone(),
            against: self.against.clone(),
        }
    }
}

/// First place where two images differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Difference {
    /// First differing byte.
    pub at: ImageOffset,
    /// Number of differing bytes (bytes that only one of the two has count too).
    pub count: u64,
}

/// An image of the card and one of a file.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Comparison {
    /// Which image of the card was compared.
    pub start: FlashAddr,
    /// Equal, identity (GUIDs, MACs, VSD and the CRCs over them) aside.
    pub equal: bool,
    /// Equal byte for byte, identity included.
    pub identical: bool,
    /// Where they differ, identity aside.
    pub difference: Option<Difference>,
    /// SHA-256 of the card's image, lower-case hex.
    pub card_sha256: String,
    /// SHA-256 of the file's image with the card's identity put in, where it can be.
    pub file_sha256: String,
}

/// Verify every image on the card.
/// Damage is no error but in the answer.
pub fn verify_card(
    device: &mut Device,
    events: &mut dyn Events,
) -> Result<VerifyOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let card = facts.report(&locked);
    // How long the images are is known only after reading them.
    let phase = Phase::Read;
    events.emit(Event::Started { phase, total: 0 });
    trust_chains(&facts, &mut locked)?;
    let mut source = locked.source();
    let mut unsteady = Vec::new();
    let mut images = steady_images(&mut source, Depth::Full, &mut unsteady)?;
    facts.note_serials(images.iter().filter_map(|found| found.image.as_ref()));
    for found in &mut images {
        if let Some(image) = &found.image {
            // One that cannot be put together has no digest; the findings list why.
            found.checksum =
                contents_of(&mut source, image).ok().map(|contents| contents.checksum());
        }
    }
    events.emit(Event::Finished { phase });
    report(&unsteady, events);
    let wavering = source.wavering();
    report_wavering(&wavering, events);
    let query = outcome(card, images, wavering);
    Ok(VerifyOutcome {
        ok: query.active.is_some()
            && query.images.iter().all(|r| r.valid == Some(true) && r.wrong_silicon.is_none()),
        card: query.card,
        file: None,
        sha256: None,
        images: query.images,
        stale: query.stale,
        unsteady,
        wavering: query.wavering,
        against: None,
    })
}

/// Verify an image file.
pub fn verify_image(file: &ImageFile) -> VerifyOutcome {
    let query = query_image(file);
    VerifyOutcome {
        ok: file.contents.image().is_valid(),
        card: None,
        file: query.file,
        sha256: query.sha256,
        images: query.images,
        stale: query.stale,
        unsteady: Vec::new(),
        wavering: Vec::new(),
        against: None,
    }
}

/// Compare the image that would boot with a file, identity aside.
pub fn verify_against(
    device: &mut Device,
    file: &ImageFile,
    events: &mut dyn Events,
) -> Result<VerifyOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let card = facts.report(&locked);
    let phase = Phase::Read;
    events.emit(Event::Started { phase, total: 0 });
    let theirs = &file.contents;
    trust_chains(&facts, &mut locked)?;
    let mut unsteady = Vec::new();
    let mut reading = |source: &mut FlashSource<'_, '_>| active_in(&facts, source);
    // A difference is believed when a second reading shows it too.
    let differs = |(_, ours): &(FlashAddr, Contents)| !ours.masked_equal(theirs);
    let mut source = locked.source();
    let (start, ours) = steady(&mut source, &mut unsteady, &mut reading, &differs)?;
    let wavering = source.wavering();
    events.emit(Event::Finished { phase });
    report(&unsteady, events);
    report_wavering(&wavering, events);
    let equal = ours.masked_equal(theirs);
    let identity = Identity::from_image(ours.image()).ok();
    let dressed = identity.as_ref().and_then(|identity| theirs.with_identity(identity).ok());
    let against = Comparison {
        start,
        equal,
        identical: ours.bytes() == theirs.bytes(),
        difference: if equal {
            None
        } else {
            difference(&ours, dressed.as_ref().unwrap_or(theirs))
                .map(|(at, count)| Difference { at, count })
        },
        card_sha256: digest(ours.bytes()),
        file_sha256: digest(dressed.as_ref().unwrap_or(theirs).bytes()),
    };
    Ok(VerifyOutcome {
        card: Some(card),
        file: Some(file.path.clone()),
        sha256: Some(file.sha256.clone()),
        images: Vec::new(),
        stale: Vec::new(),
        ok: equal,
        unsteady,
        wavering: wavering.into_iter().map(UnsteadyRange::from).collect(),
        against: Some(against),
    })
}
