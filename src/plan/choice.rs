//! Which image of a store is for a card: the newest valid one with the card's PSID, for its silicon.

use super::slot::wrong_silicon;
use crate::card::{Chip, DeviceType};
use crate::image::{Image, Severity, Version};
use schemars::JsonSchema;
use serde::Serialize;

/// What an image of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageStatus {
    Valid,
    /// It must not be burned.
    Damaged,
    /// It is not for ConnectX-3 or ConnectX-3 Pro.
    OtherFamily,
}

impl ImageStatus {
    /// Of an image that was read in full, and why it is not valid.
    pub fn of(image: &Image) -> (Self, Option<String>) {
        let id = image.info.as_ref().filter(|_| image.info_crc_ok).and_then(|info| info.device_id);
        if let Some(id) = id.filter(|id| DeviceType::of_image(*id).is_none()) {
            let why = format!("it is for device {id} of another family");
            return (Self::OtherFamily, Some(why));
        }
        match image.findings.iter().find(|finding| finding.severity == Severity::Error) {
            Some(error) => (Self::Damaged, Some(error.detail.clone())),
            None => (Self::Valid, None),
        }
    }
}

/// An image of a store, as the choice takes it.
#[derive(Clone, Copy, Debug)]
pub struct OfferedImage<'a> {
    pub status: ImageStatus,
    /// `None` when it cannot be read.
    pub image: Option<&'a Image>,
    /// Of the bytes of its file.
    pub sha256: &'a str,
}

/// Why an image was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutReason {
    /// It fits, and a newer one is there.
    Older,
    /// It has the bytes of the chosen one.
    Same,
    Damaged,
    /// It has the card's PSID and is for other silicon.
    OtherSilicon,
    /// It states no version.
    NoVersion,
    OtherPsid,
    OtherFamily,
}

/// The choice. Numbers are places in the list of offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChoice {
    pub chosen: usize,
    /// Every other image, those nearest to a fit first.
    pub left_out: Vec<(usize, LeftOutReason)>,
}

/// Why no image was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoChoice {
    /// None is valid, for this silicon and of this PSID.
    NoneFits(Vec<(usize, LeftOutReason)>),
    /// Images of the same newest version differ; one of each.
    Several(Vec<usize>),
}

/// Chooses for a card with this PSID and chip.
pub fn choose_image(
    offers: &[OfferedImage<'_>],
    psid: &str,
    chip: Chip,
) -> Result<ImageChoice, NoChoice> {
    let mut left_out = Vec::new();
    let mut fit: Vec<(Version, usize)> = Vec::new();
    for (n, offer) in offers.iter().enumerate() {
        match fits(offer, psid, chip) {
            Ok(version) => fit.push((version, n)),
            Err(reason) => left_out.push((n, reason)),
        }
    }
    let in_order = |mut list: Vec<(usize, LeftOutReason)>| {
        list.sort_by_key(|(n, reason)| (*reason, *n));
        list
    };
    let Some(newest) = fit.iter().map(|(version, _)| *version).max() else {
        return Err(NoChoice::NoneFits(in_order(left_out)));
    };
    let (best, older): (Vec<_>, Vec<_>) = fit.into_iter().partition(|(v, _)| *v == newest);
    let best: Vec<usize> = best.into_iter().map(|(_, n)| n).collect();
    let chosen = best[0];
    if best.iter().any(|n| offers[*n].sha256 != offers[chosen].sha256) {
        let mut different: Vec<usize> = Vec::new();
        for n in best {
            if !different.iter().any(|other| offers[*other].sha256 == offers[n].sha256) {
                different.push(n);
            }
        }
        return Err(NoChoice::Several(different));
    }
    left_out.extend(best[1..].iter().map(|n| (*n, LeftOutReason::Same)));
    left_out.extend(older.iter().map(|(_, n)| (*n, LeftOutReason::Older)));
    Ok(ImageChoice { chosen, left_out: in_order(left_out) })
}

/// The version of an image that fits.
fn fits(offer: &OfferedImage<'_>, psid: &str, chip: Chip) -> Result<Version, LeftOutReason> {
    if offer.status == ImageStatus::OtherFamily {
        return Err(LeftOutReason::OtherFamily);
    }
    let image = offer.image.ok_or(LeftOutReason::Damaged)?;
    if image.psid().is_none_or(|own| own.as_str() != psid) {
        return Err(LeftOutReason::OtherPsid);
    }
    if offer.status == ImageStatus::Damaged {
        return Err(LeftOutReason::Damaged);
    }
    if wrong_silicon(image, chip).is_some() {
        return Err(LeftOutReason::OtherSilicon);
    }
    image.fw_version().ok_or(LeftOutReason::NoVersion)
}
