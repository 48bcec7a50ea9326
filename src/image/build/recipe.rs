//! The small description an image is made from, and recipes shaped like real images: section sizes,
//! tags and texts of docs/fs2.md#test-vectors and of a card updated from 2.35.5100 to 2.42.5000.

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
    /// Bodies of the DDR sections in bytes, multiples of 4, instead of what `size` makes of them;
    /// empty = by `size`.
    pub ddr: Vec<u32>,
    /// Seed of the filler code.
    pub seed: u64,
}

/// A section no real image at hand has (docs/fs2.md#section-types).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraSection {
    pub kind: u32,
    /// Length of its filler body in bytes; kinds but 4 (EMT) round it up to a dword.
    pub len: u32,
}

impl Default for Recipe {
    fn default() -> Self {
        let rom = RomRecipe::pxe((3, 4, 752), 0x1003, 0x2000).build().ok();
        Self { size: 0x4_0000, rom, seed: 1, ..Self::mcx311a() }.matching_ini()
    }
}

/// GUIDs that vendor images carry until a card's own are put in (docs/fs2.md#guid-section).
const DEFAULT_GUIDS: [Guid; 4] = [
    Guid(0x0002_C900_0100_D050),
    Guid(0x0002_C900_0100_D051),
    Guid(0x0002_C900_0100_D052),
    Guid(0x0002_C900_0100_D050),
];
/// The MACs beside them.
const DEFAULT_MACS: [Mac; 2] = [Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)];
/// Bytes of the FlexBoot ROM in the real images: PCI image plus version block
/// (docs/fs2.md#rom-content).
const REAL_ROM: u32 = 0x1_9814;

const fn version(major: u16, minor: u16, subminor: u16) -> Version {
    Version { major, minor, subminor }
}

/// A ROM like FlexBoot's. The sizes here are in range, so there always is one.
fn flexboot(subminor: u16, device_id: u16) -> Option<Vec<u8>> {
    RomRecipe::pxe((3, 4, subminor), device_id, REAL_ROM).build().ok()
}

impl Recipe {
    /// The common fields of the MCX311A-XCAT images, without ROM, ini and size.
    fn mcx311a() -> Self {
        Self {
            psid: "MT_1170110023".into(),
            version: version(2, 42, 5000),
            date: (2017, 9, 5),
            time: (14, 3, 36),
            device_id: 4099,
            supported_hw: vec![(0x1F5, 1)],
            chunk_log2: None,
            guids: Some(DEFAULT_GUIDS),
            macs: DEFAULT_MACS,
            guid_entries: 6,
            vsd: Some("n/a".into()),
            vsd_vendor_id: Some(0x15B3),
            product_version: Some("02.42.50.00".into()),
            is_ga: None,
            mic_version: Some(version(2, 0, 0)),
            min_fit_version: None,
            hw_access_key: None,
            config_area: Some((1, 0, Some(2))),
            prs_name: Some("cx3-1_MCX311A.prs".into()),
            rom: None,
            ini: None,
            extra: Vec::new(),
            boot2_blocks: 2,
            size: 0,
            ddr: Vec::new(),
            seed: 0x311A,
        }
    }

    /// MCX311A-XCAT (ConnectX-3 A1, one SFP+ port), firmware 2.42.5000: non-failsafe, 0xC250C
    /// bytes.
    pub fn mcx311a_2_42_5000() -> Self {
        Self { rom: flexboot(752, 0x1003), size: 0xC_250C, ..Self::mcx311a() }.matching_ini()
    }

    /// MCX311A-XCAT as a real card was before its update: 2.35.5100, no PRS name, VSD empty, GUIDs
    /// blank (normal on an Ethernet card) beside valid MACs.
    pub fn mcx311a_2_35_5100() -> Self {
        Self {
            version: version(2, 35, 5100),
            date: (2015, 9, 6),
            time: (10, 21, 7),
            product_version: Some("02.35.51.00".into()),
            mic_version: Some(version(1, 5, 0)),
            prs_name: None,
            vsd: Some(String::new()),
            guids: Some([Guid(u64::MAX); 4]),
            macs: [Mac(0xE41D_2DDD_7850), Mac(0xE41D_2DDD_7851)],
            rom: flexboot(648, 0x1003),
            size: 0xB_C6A8,
            seed: 0x0023_5510,
            ..Self::mcx311a()
        }
        .matching_ini()
    }

    /// MCX312B (ConnectX-3 Pro, two SFP+ ports), firmware 2.42.5000: failsafe with chunks of
    /// 512 KiB, 0xC405C bytes.
    pub fn mcx312b_2_42_5000() -> Self {
        Self {
            psid: "MT_1200111023".into(),
            device_id: 4103,
            supported_hw: vec![(0x1F7, 0)],
            chunk_log2: Some(19),
            config_area: Some((2, 0, Some(2))),
            prs_name: Some("cx3pro_MCX312B_2mb.prs".into()),
            rom: flexboot(752, 0x1007),
            size: 0xC_405C,
            seed: 0x312B,
            ..Self::mcx311a()
        }
        .matching_ini()
    }

    /// MCX312B with an older firmware, 2.36.5150, for updates from and to it.
    pub fn mcx312b_2_36_5150() -> Self {
        Self {
            version: version(2, 36, 5150),
            date: (2016, 3, 14),
            time: (17, 45, 59),
            product_version: Some("02.36.51.50".into()),
            mic_version: Some(version(1, 5, 0)),
            rom: flexboot(719, 0x1007),
            size: 0xB_F0E4,
            seed: 0x0023_6515,
            ..Self::mcx312b_2_42_5000()
        }
        .matching_ini()
    }
}

/// Bytes as hexadecimal text.
mod hex {
    use crate::image::words::from_hex;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[expect(clippy::ref_option, reason = "the shape serde requires")]
    pub(super) fn serialize<S: Serializer>(rom: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        let hex = |bytes: &Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        rom.as_ref().map(hex).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(d)?;
        let rom = |text: String| from_hex(&text).ok_or("the ROM is not hexadecimal");
        text.map(rom).transpose().map_err(D::Error::custom)
    }
}
