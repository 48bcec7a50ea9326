//! Recipes that between them show everything a builder can do.

use cx3flash::image::{BlockPlace, ExtraSection, Guid, Mac, Recipe, RomBlock, RomRecipe, Version};

/// A recipe and what it is there to show.
pub struct Variant {
    pub name: &'static str,
    pub recipe: Recipe,
}

/// A small image: 100 KiB, ROM of 8 KiB.
pub fn small() -> Recipe {
    Recipe {
        size: 100 << 10,
        ..Recipe::default()
    }
}

/// The same, failsafe with the smallest chunk, so that 100 KiB take two.
pub fn small_failsafe() -> Recipe {
    Recipe {
        chunk_log2: Some(16),
        seed: 2,
        ..small()
    }
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

fn with_rom(rom: RomRecipe) -> Recipe {
    Recipe {
        rom: Some(rom.build().unwrap()),
        ..small()
    }
}

fn rom(blocks: Vec<RomBlock>) -> RomRecipe {
    RomRecipe {
        blocks,
        ..RomRecipe::default()
    }
}

fn block(product: u16, device_id: u16) -> RomBlock {
    RomBlock::new(product, (14, 11, 45), device_id)
}

/// All of them.
pub fn all() -> Vec<Variant> {
    let version = |major, minor, subminor| Version {
        major,
        minor,
        subminor,
    };
    let s = small;
    let v = |name, recipe| Variant { name, recipe };
    vec![
        v("default", Recipe::default()),
        v("mcx311a 2.42.5000", Recipe::mcx311a_2_42_5000()),
        v("mcx311a 2.35.5100", Recipe::mcx311a_2_35_5100()),
        v("mcx312b 2.42.5000", Recipe::mcx312b_2_42_5000()),
        v("mcx312b 2.36.5150", Recipe::mcx312b_2_36_5150()),
        v("small", s()),
        v("small failsafe", small_failsafe()),
        v("small pro", small_pro()),
        v("as small as its parts", Recipe { size: 0, ..s() }),
        v(
            "failsafe, 128 KiB chunk",
            Recipe {
                chunk_log2: Some(17),
                ..s()
            },
        ),
        v(
            "failsafe, 512 KiB chunk",
            Recipe {
                chunk_log2: Some(19),
                ..s()
            },
        ),
        v(
            "failsafe, 8 MiB chunk",
            Recipe {
                chunk_log2: Some(23),
                ..s()
            },
        ),
        v(
            "over 1 MiB",
            Recipe {
                size: 0x12_3458,
                ..Recipe::mcx312b_2_42_5000()
            },
        ),
        v("blank", Recipe { guids: None, ..s() }),
        v(
            "blank failsafe pro",
            Recipe {
                guids: None,
                ..small_pro()
            },
        ),
        v(
            "blank, 4 entries",
            Recipe {
                guids: None,
                guid_entries: 4,
                ..s()
            },
        ),
        v(
            "4 entries",
            Recipe {
                guid_entries: 4,
                ..s()
            },
        ),
        v(
            "blank GUIDs beside MACs",
            Recipe {
                guids: Some([Guid(u64::MAX); 4]),
                ..s()
            },
        ),
        v(
            "multicast MAC",
            Recipe {
                macs: [Mac(0x0102_C900_0001), Mac(0x0002_C900_0002)],
                ..s()
            },
        ),
        v(
            "second MAC too long",
            Recipe {
                macs: [Mac(2), Mac(0x1_0002_C900_0002)],
                ..s()
            },
        ),
        v(
            "both MACs bad",
            Recipe {
                macs: [Mac(0x0100_0000_0001), Mac(0xFFFF_0000_0000_0000)],
                ..s()
            },
        ),
        v(
            "one BOOT2",
            Recipe {
                boot2_blocks: 1,
                ..s()
            },
        ),
        v("no ROM", Recipe { rom: None, ..s() }),
        v("no ini", Recipe { ini: None, ..s() }),
        v("no VSD", Recipe { vsd: None, ..s() }),
        v(
            "no vendor id",
            Recipe {
                vsd_vendor_id: None,
                ..s()
            },
        ),
        v(
            "foreign vendor id",
            Recipe {
                vsd_vendor_id: Some(0x1014),
                ..s()
            },
        ),
        v(
            "vendor id 0",
            Recipe {
                vsd_vendor_id: Some(0),
                ..s()
            },
        ),
        v(
            "no MIC version",
            Recipe {
                mic_version: None,
                ..s()
            },
        ),
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
        v(
            "min FIT",
            Recipe {
                min_fit_version: Some([8, 1, 300, 7]),
                ..s()
            },
        ),
        v(
            "access key",
            Recipe {
                hw_access_key: Some(0x1234_5678_9ABC_DEF0),
                ..s()
            },
        ),
        v(
            "access key 0",
            Recipe {
                hw_access_key: Some(0),
                ..s()
            },
        ),
        v(
            "GA",
            Recipe {
                is_ga: Some(true),
                ..s()
            },
        ),
        v(
            "config pad",
            Recipe {
                config_area: Some((3, 5, Some(2))),
                ..s()
            },
        ),
        v(
            "config area without sector size",
            Recipe {
                config_area: Some((2, 0, None)),
                ..s()
            },
        ),
        v(
            "config area 0",
            Recipe {
                config_area: Some((0, 0, None)),
                ..s()
            },
        ),
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
        v(
            "minor of three digits",
            Recipe {
                version: version(2, 100, 7),
                ..s()
            },
        ),
        v(
            "all of the version 0",
            Recipe {
                version: version(0, 0, 0),
                ..s()
            },
        ),
        v(
            "subminor over 9999",
            Recipe {
                version: version(10, 9, 12345),
                ..s()
            },
        ),
        v(
            "date 0",
            Recipe {
                date: (0, 0, 0),
                ..s()
            },
        ),
        v(
            "many hardware ids",
            Recipe {
                supported_hw: (0..40).map(|i| (0x1F5 + i, i as u8)).collect(),
                ..s()
            },
        ),
        v(
            "family id 4100",
            Recipe {
                device_id: 4100,
                ..s()
            },
        ),
        v(
            "other sections",
            Recipe {
                extra: [
                    (4, 101),
                    (7, 64),
                    (8, 32),
                    (11, 400),
                    (13, 16),
                    (0x8000_0001, 8),
                ]
                .map(|(kind, len)| ExtraSection { kind, len })
                .to_vec(),
                ..s()
            },
        ),
        v(
            "long ini",
            Recipe {
                ini: Some("[A]\nkey = value ; and more\n".repeat(700)),
                ..s()
            },
        ),
        v(
            "empty ini",
            Recipe {
                ini: Some(String::new()),
                ..s()
            },
        ),
        v(
            "ROM: UEFI with cpu",
            with_rom(rom(vec![RomBlock {
                cpu: 1,
                ..block(0x11, 0x1003)
            }])),
        ),
        v(
            "ROM: four products",
            with_rom(rom(vec![
                RomBlock {
                    port: 1,
                    protocol: 1,
                    cpu: 2,
                    ..block(0x10, 0x1003)
                },
                RomBlock {
                    protocol: 2,
                    cpu: 3,
                    ..block(0x11, 0x1003)
                },
                RomBlock {
                    protocol: 0,
                    port: 3,
                    cpu: 4,
                    ..block(0x12, 0x1003)
                },
                block(0x21, 0),
            ])),
        ),
        v(
            "ROM: six blocks",
            with_rom(rom((0..6).map(|i| block(0x10 + i, 0x1003)).collect())),
        ),
        v(
            "ROM: devices mismatch",
            with_rom(rom(vec![block(0x10, 0x1003), block(0x10, 0x1007)])),
        ),
        v(
            "ROM: old CLP",
            with_rom(rom(vec![block(1, 0), block(4, 0)])),
        ),
        v(
            "ROM: text version",
            with_rom(rom(vec![RomBlock {
                text: Some("8309 extra".into()),
                ..block(0xF, 0)
            }])),
        ),
        v(
            "ROM: text version, foreign vendor",
            with_rom(RomRecipe {
                vendor_id: 0x8086,
                ..rom(vec![RomBlock {
                    text: Some("12".into()),
                    ..block(0xF, 0)
                }])
            }),
        ),
        v(
            "ROM: unknown product",
            with_rom(rom(vec![block(0x77, 0x1003)])),
        ),
        v(
            "ROM: unknown protocol and cpu",
            with_rom(rom(vec![RomBlock {
                protocol: 9,
                cpu: 9,
                ..block(0x10, 0)
            }])),
        ),
        v("ROM: no block", with_rom(rom(vec![]))),
        v(
            "ROM: inside, three images",
            with_rom(RomRecipe {
                images: 3,
                place: BlockPlace::Inside(0x100),
                ..RomRecipe::default()
            }),
        ),
        v(
            "ROM: bad checksum",
            Recipe {
                rom: RomRecipe::default().build().ok().map(|mut rom| {
                    rom[0x60] ^= 0x11;
                    rom
                }),
                ..s()
            },
        ),
        v(
            "ROM: length field too large",
            Recipe {
                rom: RomRecipe::default().build().ok().map(|mut rom| {
                    rom[2] = 0xFF;
                    rom
                }),
                ..s()
            },
        ),
        v(
            "ROM: tiny",
            Recipe {
                rom: Some(vec![0x55, 0xAA, 0]),
                ..s()
            },
        ),
    ]
}
