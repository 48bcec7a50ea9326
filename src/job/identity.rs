//! `identity`: GUIDs, MACs and VSD.

use super::file::{MAX_JSON, not_read};
use super::images::read_images;
use super::query::outcome;
use super::session::CardFacts;
use super::{CardReport, Device, JobError};
use crate::escape::ForeignText;
use crate::flash::Events;
use crate::host::{InputError, read_input};
use crate::image::{Depth, Guid, Identity, Image, Mac, trim_zeros};
pub use crate::plan::IdentityChange;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

/// Answer of `identity show`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct IdentityOutcome {
    /// The card; `None` for a file.
    pub card: Option<CardReport>,
    /// GUIDs, MACs and VSD in the image.
    pub identity: Identity,
    /// It can be carried over: both sections' CRCs hold, and GUIDs or MACs are set.
    pub valid: bool,
    /// PSID beside it.
    pub psid: Option<ForeignText>,
    /// Why the image that holds it does not start on this card; `None` for a file too.
    pub wrong_silicon: Option<String>,
}

/// Identity of the image that would boot.
pub fn identity_show(device: &mut Device) -> Result<IdentityOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let images = read_images(&mut locked.source(), Depth::Quick)?;
    let query = outcome(facts.report(&locked), images, Vec::new());
    let found = query.active.and_then(|index| query.images.get(index));
    let (found, image) = found
        .and_then(|found| Some((found, found.image.as_ref()?)))
        .ok_or_else(|| JobError::NoImage("no signature leads to one".into()))?;
    let wrong_silicon = found.wrong_silicon.clone();
    Ok(IdentityOutcome { card: query.card.clone(), wrong_silicon, ..identity_in(image)? })
}

/// What the sections of an image hold, damaged or not: it is shown, not written.
pub fn identity_in(image: &Image) -> Result<IdentityOutcome, JobError> {
    let section = image.guids.as_ref().ok_or(JobError::NoPart("GUID section that can be read"))?;
    let entry = |index: usize| section.raw.get(index).copied().unwrap_or(u64::MAX);
    let guids = [0, 1, 2, 3].map(|i| Guid(entry(i)));
    let info = image.info.as_ref();
    let raw = info.and_then(|i| i.vsd_raw.as_deref()).unwrap_or_default();
    Ok(IdentityOutcome {
        card: None,
        identity: Identity {
            guids,
            macs: if section.entries == 4 {
                Identity::macs_of(&guids)
            } else {
                [4, 5].map(|i| Mac(entry(i)))
            },
            vsd: trim_zeros(raw).to_vec(),
        },
        valid: Identity::from_image(image).is_ok(),
        psid: info.and_then(|i| i.psid.clone()),
        wrong_silicon: None,
    })
}

/// Reads `identity.json` of a backup.
pub fn read_identity(path: &Path, events: &dyn Events) -> Result<Identity, JobError> {
    let bad = |why: String| JobError::BadIdentity { path: path.to_owned(), why };
    let bytes =
        read_input(path, MAX_JSON, &|| events.stop_requested()).map_err(|error| match error {
            InputError::NotAFile(what) => bad(format!("it is {what}")),
            error => not_read(path, MAX_JSON, error),
        })?;
    serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))
}
