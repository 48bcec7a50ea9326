//! Recipes that between them show everything a builder can do.

use cx3flash::image::{ExtraSection, Guid, Mac, Recipe, RomRecipe, Version};

/// A recipe and what it is there to show.
pub struct Variant {
    pub name: &'static str,
    pub recipe: Recipe,
}

/// A small image: 100 KiB, ROM of 8 KiB.
pub fn small() -> Recipe {
    Recipe { size: 100 << 10, ..Recipe::default() }
}

/// The same, failsafe with the smallest chunk, so that 100 KiB take two.
pub fn small_failsafe() -> Recipe {
    Recipe { chunk_log2: Some(16), seed: 2, ..small() }
}

/// The same, ConnectX-3 Pro.
pub fn small_pro() -> Recipe {
    Recipe {
        psid: "MT_1200111023".into(),
        device_id: 4103,
        supported_hw: vec![(0x1F7, 0)],
        prs_name: Some("cx3pro_test.prs".into()),
        rom: Some(RomRecipe::pxe((3, 4, 719), 0x1007, 0x1814).build().unwrap()),
        ..small_failsafe()
    }
    .matching_ini()
}

/// All of them.
pub fn all() -> Vec<Variant> {
    let version = |major, minor, subminor| Version { major, minor, subminor };
    let s = small;
    let v = |name, recipe| Variant { name, recipe };
    [
        v("default", Recipe::default()),
        v("mcx311a 2.42.5000", Recipe::mcx311a_2_42_5000()),
        v("mcx311a 2.35.5100", Recipe::mcx311a_2_35_5100()),
        v("mcx312b 2.42.5000", Recipe::mcx312b_2_42_5000()),
        v("mcx312b 2.36.5150", Recipe::mcx312b_2_36_5150()),
        v("small", s()),
        v("small failsafe", small_failsafe()),
        v("small pro", small_pro()),
        v("as small as its parts", Recipe { size: 0, ..s() }),
        v("failsafe, 128 KiB chunk", Recipe { chunk_log2: Some(17), ..s() }),
        v("failsafe, 512 KiB chunk", Recipe { chunk_log2: Some(19), ..s() }),
        v("failsafe, 8 MiB chunk", Recipe { chunk_log2: Some(23), ..s() }),
        v("over 1 MiB", Recipe { size: 0x12_3458, ..Recipe::mcx312b_2_42_5000() }),
        v("blank", Recipe { guids: None, ..s() }),
        v("blank failsafe pro", Recipe { guids: None, ..small_pro() }),
        v("blank, 4 entries", Recipe { guids: None, guid_entries: 4, ..s() }),
        v("4 entries", Recipe { guid_entries: 4, ..s() }),
        v("blank GUIDs beside MACs", Recipe { guids: Some([Guid(u64::MAX); 4]), ..s() }),
        v("multicast MAC", Recipe { macs: [Mac(0x0102_C900_0001), Mac(0x0002_C900_0002)], ..s() }),
        v("second MAC too long", Recipe { macs: [Mac(2), Mac(0x1_0002_C900_0002)], ..s() }),
        v(
            "both MACs bad",
            Recipe { macs: [Mac(0x0100_0000_0001), Mac(0xFFFF_0000_0000_0000)], ..s() },
        ),
        v("one BOOT2", Recipe { boot2_blocks: 1, ..s() }),
        v("no ROM", Recipe { rom: None, ..s() }),
        v("no ini", Recipe { ini: None, ..s() }),
        v("no VSD", Recipe { vsd: None, ..s() }),
        v("no vendor id", Recipe { vsd_vendor_id: None, ..s() }),
        v("foreign vendor id", Recipe { vsd_vendor_id: Some(0x1014), ..s() }),
        v("vendor id 0", Recipe { vsd_vendor_id: Some(0), ..s() }),
        v("no MIC version", Recipe { mic_version: None, ..s() }),
        v(
            "bare",
            Recipe {
                vsd: None,
                vsd_vendor_id: None,
                product_version: None,
                mic_version: None,
                config_area: None,
                prs_name: None,
                rom: None,
                ini: None,
                supported_hw: vec![],
                ..s()
            },
        ),
        v("min FIT", Recipe { min_fit_version: Some([8, 1, 300, 7]), ..s() }),
        v("access key", Recipe { hw_access_key: Some(0x1234_5678_9ABC_DEF0), ..s() }),
        v("access key 0", Recipe { hw_access_key: Some(0), ..s() }),
        v("GA", Recipe { is_ga: Some(true), ..s() }),
        v("config pad", Recipe { config_area: Some((3, 5, Some(2))), ..s() }),
        v("config area without sector size", Recipe { config_area: Some((2, 0, None)), ..s() }),
        v("config area 0", Recipe { config_area: Some((0, 0, None)), ..s() }),
        v(
            "full texts",
            Recipe {
                psid: "ABCDEFGHIJKLMNOP".into(),
                product_version: Some("0123456789abcdef".into()),
                vsd: Some("v".repeat(207)),
                prs_name: Some("p".repeat(99)),
                ..s()
            },
        ),
        v(
            "empty texts",
            Recipe {
                psid: String::new(),
                product_version: Some(String::new()),
                vsd: Some(String::new()),
                prs_name: Some(String::new()),
                ..s()
            },
        ),
        v("minor of three digits", Recipe { version: version(2, 100, 7), ..s() }),
        v("all of the version 0", Recipe { version: version(0, 0, 0), ..s() }),
        v("subminor over 9999", Recipe { version: version(10, 9, 12345), ..s() }),
        v("date 0", Recipe { date: (0, 0, 0), ..s() }),
        v(
            "many hardware ids",
            Recipe { supported_hw: (0..40).map(|i| (0x1F5 + i, i as u8)).collect(), ..s() },
        ),
        v("family id 4100", Recipe { device_id: 4100, ..s() }),
        v(
            "other sections",
            Recipe {
                extra: [(4, 101), (7, 64), (8, 32), (11, 400), (13, 16), (0x8000_0001, 8)]
                    .map(|(kind, len)| ExtraSection { kind, len })
                    .to_vec(),
                ..s()
            },
        ),
        v("long ini", Recipe { ini: Some("[A]\nkey = value ; and more\n".repeat(700)), ..s() }),
        v("empty ini", Recipe { ini: Some(String::new()), ..s() }),
    ]
    .into_iter()
    .chain(super::roms::all())
    .collect()
}
