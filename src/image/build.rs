//! Builder of valid images from a small description: fixtures, demo, tests (fs2-image §16.5).

use super::{Guid, Mac, Version};
use serde::{Deserialize, Serialize};

/// A small description of an image. Every field has a default; `Recipe::default()` is a valid
/// non-failsafe ConnectX-3 A1 image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// PSID, at most 16 characters.
    pub psid: String,
    /// Firmware version.
    pub version: Version,
    /// Release date as (year, month, day), decimal.
    pub date: (u16, u8, u8),
    /// PCI device id, 4099 or 4103 or another of the family.
    pub device_id: u16,
    /// (HW device id, revision) the image runs on; empty = no tag 10.
    pub supported_hw: Vec<(u16, u8)>,
    /// log2 of the failsafe chunk size; `None` = non-failsafe.
    pub chunk_log2: Option<u8>,
    /// GUIDs and MACs; `None` = blank section with blank CRCs.
    pub guids: Option<[Guid; 4]>,
    /// MACs.
    pub macs: [Mac; 2],
    /// Entries in the GUID section: 6, or 4 in old images.
    pub guid_entries: u8,
    /// VSD text; `None` = no tag 5.
    pub vsd: Option<String>,
    /// VSD vendor id (tag 8); `None` = no tag.
    pub vsd_vendor_id: Option<u16>,
    /// Product version (tag 7).
    pub product_version: Option<String>,
    /// MIC version (tag 11); `None` switches the full image CRC line off.
    pub mic_version: Option<Version>,
    /// Min FIT version (tag 12).
    pub min_fit_version: Option<[u16; 4]>,
    /// HW access key (tag 13).
    pub hw_access_key: Option<u64>,
    /// (sectors, pad, log2 of KiB per sector or none) of tag 19; `None` = no tag.
    pub config_area: Option<(u32, u32, Option<u32>)>,
    /// PRS name (tag 20).
    pub prs_name: Option<String>,
    /// ROM section content; `None` = no ROM section.
    #[serde(skip)]
    pub rom: Option<Vec<u8>>,
    /// Ini text; `None` = no FW Configuration section.
    pub ini: Option<String>,
    /// Number of BOOT2 blocks, 1 or 2.
    pub boot2_blocks: u8,
    /// Size to fill up to with DDR sections, in bytes; the image ends exactly there if it can
    /// (multiple of 4), otherwise it is as small as its parts allow.
    pub size: u32,
    /// Seed of the filler code.
    pub seed: u64,
}

/// Why no image can be made from a recipe.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A text does not fit its field.
    #[error("{field} does not fit {max} bytes")]
    TextTooLong {
        /// Which.
        field: &'static str,
        /// Bytes available.
        max: usize,
    },
    /// A number is out of range.
    #[error("{field} = {value} is out of range")]
    OutOfRange {
        /// Which.
        field: &'static str,
        /// Given.
        value: u64,
    },
    /// The parts alone are larger than the size wanted.
    #[error("the parts need {needed} bytes, {wanted} were asked for")]
    TooSmall {
        /// Bytes the parts need.
        needed: u32,
        /// Bytes asked for.
        wanted: u32,
    },
}

impl Default for Recipe {
    fn default() -> Self {
        todo!()
    }
}

/// Make the image, contiguous.
///
/// # Errors
/// [`BuildError`].
pub fn build(recipe: &Recipe) -> Result<Vec<u8>, BuildError> {
    let _ = recipe;
    todo!()
}
