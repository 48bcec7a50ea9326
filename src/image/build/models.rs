//! Recipes shaped like real images: section sizes, tags and texts of docs/fs2.md#test-vectors and
//! of the owner's story; the code in them is filler.

use super::super::{Guid, Mac, Version};
use super::{Recipe, RomRecipe};

/// GUIDs that vendor images carry until a card's own are put in (docs/fs2.md#guid-section).
const DEFAULT_GUIDS: [Guid; 4] = [
    Guid(0x0002_C900_0100_D050),
    Guid(0x0002_C900_0100_D051),
    Guid(0x0002_C900_0100_D052),
    Guid(0x0002_C900_0100_D050),
];
/// The MACs beside them.
const DEFAULT_MACS: [Mac; 2] = [Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)];
/// Bytes of the FlexBoot ROM in the real images: PCI image plus version block (docs/fs2.md#rom-content).
const REAL_ROM: u32 = 0x1_9814;

const fn version(major: u16, minor: u16, subminor: u16) -> Version {
    Version {
        major,
        minor,
        subminor,
    }
}

/// A ROM like FlexBoot's. The sizes here are in range, so there always is one.
fn flexboot(subminor: u16, device_id: u16) -> Option<Vec<u8>> {
    RomRecipe::pxe((3, 4, subminor), device_id, REAL_ROM)
        .build()
        .ok()
}

impl Recipe {
    /// What the MCX311A-XCAT images have in common, without ROM, ini and size.
    pub(super) fn mcx311a() -> Self {
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
    /// bytes, the image of the owner's story.
    #[must_use]
    pub fn mcx311a_2_42_5000() -> Self {
        Self {
            rom: flexboot(752, 0x1003),
            size: 0xC_250C,
            ..Self::mcx311a()
        }
        .matching_ini()
    }

    /// MCX311A-XCAT as the owner's card was before the update: 2.35.5100, no PRS name, VSD empty,
    /// GUIDs blank (normal on an Ethernet card) beside valid MACs.
    #[must_use]
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
    #[must_use]
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
    #[must_use]
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
