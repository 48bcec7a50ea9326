//! The small description an image is made from.

use super::super::{Guid, Mac, Version};
use super::RomRecipe;
use serde::{Deserialize, Serialize};

/// A small description of an image. Every field has a default; `Recipe::default()` is a valid
/// non-failsafe ConnectX-3 A1 image of 256 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// PSID, at most 16 characters.
    pub psid: String,
    /// Firmware version.
    pub version: Version,
    /// Release date as (year, month, day), decimal.
    pub date: (u16, u8, u8),
    /// Build time as (hour, minute, second), decimal.
    pub time: (u8, u8, u8),
    /// PCI device id, 4099 or 4103 or another of the family.
    pub device_id: u16,
    /// (HW device id, revision) the image runs on; empty = no tag 10.
    pub supported_hw: Vec<(u16, u8)>,
    /// log2 of the failsafe chunk size in bytes, 16..=23; `None` = non-failsafe.
    pub chunk_log2: Option<u8>,
    /// GUIDs; `None` = blank section (GUIDs and MACs) with blank CRCs. An Ethernet card whose
    /// GUIDs are blank but whose MACs are not has four all-ones GUIDs here.
    pub guids: Option<[Guid; 4]>,
    /// MACs.
    pub macs: [Mac; 2],
    /// Entries in the GUID section: 6, or 4 (no MACs) in old images.
    pub guid_entries: u8,
    /// VSD text, at most 208 bytes; `None` = no tag 5.
    pub vsd: Option<String>,
    /// VSD vendor id (tag 8); `None` = no tag.
    pub vsd_vendor_id: Option<u16>,
    /// Product version (tag 7), at most 16 characters.
    pub product_version: Option<String>,
    /// "Is GA" word (tag 9).
    pub is_ga: Option<bool>,
    /// MIC version (tag 11); `None` switches the full image CRC line off.
    pub mic_version: Option<Version>,
    /// Min FIT version (tag 12).
    pub min_fit_version: Option<[u16; 4]>,
    /// HW access key (tag 13).
    pub hw_access_key: Option<u64>,
    /// (sectors, pad, log2 of KiB per sector or none) of tag 19; `None` = no tag.
    pub config_area: Option<(u32, u32, Option<u32>)>,
    /// PRS name (tag 20), at most 99 characters.
    pub prs_name: Option<String>,
    /// ROM section content, padded with zeros to a dword in the image; `None` = no ROM section.
    /// [`RomRecipe`] makes one. Hexadecimal in JSON.
    #[serde(with = "hex")]
    pub rom: Option<Vec<u8>>,
    /// Ini text; `None` = no FW Configuration section. [`Recipe::matching_ini`] makes one.
    pub ini: Option<String>,
    /// Sections of other kinds, put in front of the FW Configuration.
    pub extra: Vec<ExtraSection>,
    /// Number of BOOT2 blocks, 1 or 2.
    pub boot2_blocks: u8,
    /// Size of the image in bytes, a multiple of 4, reached with DDR sections; 0 = as small as
    /// the parts allow.
    pub size: u32,
    /// Bodies of the DDR sections in bytes, multiples of 4, instead of what `size` makes of them; empty
    /// = by `size`.
    pub ddr: Vec<u32>,
    /// Seed of the filler code.
    pub seed: u64,
}

/// A section no real image at hand has (docs/fs2.md#section-types).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraSection {
    /// GPH type.
    pub kind: u32,
    /// Length of its filler body in bytes; kinds but 4 (EMT) round it up to a dword.
    pub len: u32,
}

impl Default for Recipe {
    fn default() -> Self {
        let rom = RomRecipe::pxe((3, 4, 752), 0x1003, 0x2000).build().ok();
        Self {
            size: 0x4_0000,
            rom,
            seed: 1,
            ..Self::mcx311a()
        }
        .matching_ini()
    }
}

impl Recipe {
    /// The same with an ini text that says what the other fields say.
    #[must_use]
    pub fn matching_ini(mut self) -> Self {
        self.ini = Some(super::ini::text(&self));
        self
    }
}

mod hex {
    //! Bytes as hexadecimal text.
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the shape serde asks for")]
    pub(super) fn serialize<S: Serializer>(rom: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        match rom {
            Some(bytes) => s.serialize_some(
                &bytes
                    .iter()
                    .flat_map(|b| [b >> 4, b & 15])
                    .filter_map(|digit| char::from_digit(digit.into(), 16))
                    .collect::<String>(),
            ),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<String>::deserialize(d)? else {
            return Ok(None);
        };
        let bad = || D::Error::custom("the ROM is not hexadecimal");
        if text.len() % 2 != 0 {
            return Err(bad());
        }
        let byte = |i| {
            let pair = text.get(i..i + 2)?;
            u8::from_str_radix(pair, 16).ok()
        };
        (0..text.len())
            .step_by(2)
            .map(|i| byte(i).ok_or_else(bad))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}
