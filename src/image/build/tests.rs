//! Built images, byte by byte where docs/fs2.md has the bytes.

mod any;
mod read_back;
mod rom;

pub(in crate::image) use any::recipes;

use super::*;
use crate::image::{MAGIC, be32s, crc16};
use proptest::prelude::*;

fn words(image: &[u8], at: usize, count: usize) -> Vec<u32> {
    be32s(&image[at..at + count * 4]).collect()
}

#[test]
fn the_header_of_the_pro_recipe_is_the_real_one() {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    let header = words(&image, 0, 14);
    // docs/fs2.md#test-vectors; only the full CRC differs, for the code does.
    let real = [
        0x4D54_4657,
        0x8CDF_D000,
        0xDEAD_9270,
        0x4154_BEEF,
        0x8034_3811,
        0x80C0_0000,
        0xBDC8_0807,
        0x0000_0002,
    ];
    assert_eq!(header[..8], real);
    assert_eq!(header[8] >> 16, 0);
    let behind = [0x0000_0004, 0xF500_000B, 0x8E01_D1A0, 0x000C_405C, 0x0001_D15C];
    assert_eq!(header[9..], behind);
    // BOOT2 blocks of the real sizes.
    assert_eq!(words(&image, 0x38, 2), [0x0010_0040, 0x185]);
    assert_eq!(words(&image, 0x65C, 2), [0x0010_0654, 0x8C5]);
}

#[test]
fn identity_sections_of_the_pro_recipe_are_the_real_ones() {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    // docs/fs2.md#test-vectors.
    let guid = [
        6,
        0xC,
        0,
        0x1_D190,
        0x0002_C900,
        0x0100_D050,
        0x0002_C900,
        0x0100_D051,
        0x0002_C900,
        0x0100_D052,
        0x0002_C900,
        0x0100_D050,
        2,
        0xC900_0001,
        2,
        0xC900_0002,
        0x24D,
    ];
    assert_eq!(words(&image, 0x1_D14C, guid.len()), guid);
    // docs/fs2.md#test-vectors.
    let mut info = vec![
        10,
        0x5D,
        0,
        0x1_D318,
        0x0000_0004,
        1,
        0x0100_0008,
        0x0002_0000,
        0x002A_1388,
        0x0200_0008,
        0x0014_0336,
        0x2017_0905,
        0x0300_0004,
        0x1007,
        0x0A00_0008,
        0x1F7,
        0,
        0x0800_0004,
        0x15B3,
        0x0400_0010,
        0x4D54_5F31,
        0x3230_3031,
        0x3131_3032,
        0x3300_0000,
        0x0500_00D0,
        0x6E2F_6100,
    ];
    info.extend([0; 51]);
    info.extend([
        0x0700_0010,
        0x3032_2E34,
        0x322E_3530,
        0x2E30_3000,
        0,
        0x0B00_0008,
        0x0002_0000,
        0,
        0x1300_000C,
        2,
        0,
        2,
        0x1400_0018,
        0x6378_3370,
        0x726F_5F4D,
        0x4358_3331,
        0x3242_5F32,
        0x6D62_2E70,
        0x7273_0000,
        0xFF00_0000,
        0x9154,
    ]);
    assert_eq!(words(&image, 0x1_D190, info.len()), info);
}

#[test]
fn first_configuration_shows_version_and_time_as_the_real_one() {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    // docs/hardware.md#running-version.
    let triplets = [
        0x1_F064,
        0x0002_0000,
        0xFFFF_0000,
        0x1_F068,
        0x002A_1388,
        0xFFFF_FFFF,
        0x1_F06C,
        0x3603_1400,
        0xFFFF_FF00,
        0x1_F070,
        0x2017_0905,
        0xFFFF_FFFF,
    ];
    assert_eq!(words(&image, 0x2990, triplets.len()), triplets);
    // No other triplet writes where a running version is looked for.
    let rest = words(&image, 0x2990, 0x3E4);
    let other = rest.chunks(3).skip(4).any(|t| (0x1_F064..0x1_F074).contains(&t[0]));
    assert!(!other);
}

#[test]
fn models_have_their_sizes() {
    assert_eq!(build(&Recipe::mcx311a_2_42_5000()).unwrap().len(), 0xC_250C);
    assert_eq!(build(&Recipe::mcx312b_2_42_5000()).unwrap().len(), 0xC_405C);
    assert_eq!(build(&Recipe::default()).unwrap().len(), 0x4_0000);
}

#[test]
fn built_images_do_not_change() {
    // Full image CRCs, which cover every byte.
    let crc = |recipe: &Recipe| be32s(&build(recipe).unwrap()).nth(8).unwrap() & 0xFFFF;
    let odd = Recipe {
        size: 0,
        is_ga: Some(true),
        hw_access_key: Some(5),
        min_fit_version: Some([1, 2, 3, 4]),
        guid_entries: 4,
        extra: vec![ExtraSection { kind: 4, len: 5 }, ExtraSection { kind: 13, len: 9 }],
        boot2_blocks: 1,
        chunk_log2: Some(16),
        config_area: Some((1, 2, None)),
        supported_hw: vec![],
        seed: 7,
        ..Recipe::default()
    };
    let ddr = Recipe { ddr: vec![16, 4096, 400_000], seed: 9, ..Recipe::default() };
    let built = [
        Recipe::default(),
        Recipe::mcx311a_2_35_5100(),
        Recipe::mcx311a_2_42_5000(),
        Recipe::mcx312b_2_36_5150(),
        Recipe::mcx312b_2_42_5000(),
        odd,
        ddr,
    ];
    let sums = [0xB29D, 0x9EF4, 0x7866, 0x862B, 0x4E9E, 0x27A6, 0xC766];
    assert_eq!(built.each_ref().map(crc), sums);
    // As small as possible, and with so little space that DDR sections have their minimum.
    for (size, want) in [(0, 0x3E44), (21776, 0x4AB0), (21796, 0xCF25), (22576, 0xA12D)] {
        let recipe = Recipe { size, ini: None, rom: None, seed: 9, ..Recipe::default() };
        assert_eq!(crc(&recipe), want, "{size}");
    }
}

#[test]
fn full_crc_covers_the_whole_image() {
    let mut image = build(&Recipe::default()).unwrap();
    let stored = u16::from_be_bytes([image[0x22], image[0x23]]);
    image[0x22..0x24].fill(0xFF);
    assert_eq!(stored, crc16(&image));
}

#[test]
fn blank_images_have_blank_crcs() {
    let image = build(&Recipe { guids: None, ..Recipe::default() }).unwrap();
    assert_eq!(image[0x22..0x24], [0xFF; 2]);
    let guid = words(&image, 0x34, 1)[0] as usize;
    assert_eq!(image[guid..guid + 48], [0xFF; 48]);
    assert_eq!(words(&image, guid + 48, 1), [0xFFFF]);
}

#[test]
fn a_seed_always_makes_the_same_image() {
    let recipe = Recipe::default();
    assert_eq!(build(&recipe).unwrap(), build(&recipe).unwrap());
    let other = build(&Recipe { seed: 99, ..recipe.clone() }).unwrap();
    assert_ne!(build(&recipe).unwrap(), other);
}

#[test]
fn recipes_out_of_range_are_refused() {
    let long = |n: usize| "x".repeat(n);
    let s = Recipe::default;
    let texts = [
        Recipe { psid: long(17), ..s() },
        Recipe { vsd: Some(long(209)), ..s() },
        Recipe { product_version: Some(long(17)), ..s() },
        Recipe { prs_name: Some(long(100)), ..s() },
    ];
    for recipe in texts {
        assert!(matches!(build(&recipe), Err(BuildError::TextTooLong { .. })));
    }
    let numbers = [
        Recipe { chunk_log2: Some(15), ..s() },
        Recipe { chunk_log2: Some(24), ..s() },
        Recipe { guid_entries: 5, ..s() },
        Recipe { boot2_blocks: 0, ..s() },
        Recipe { boot2_blocks: 3, ..s() },
        Recipe { size: 0x4_0002, ..s() },
        Recipe { size: 0x900_0000, ..s() },
        Recipe { date: (10_000, 1, 1), ..s() },
        Recipe { date: (2017, 100, 1), ..s() },
        Recipe { time: (1, 2, 100), ..s() },
        Recipe { rom: Some(vec![0; 0x40_0001]), ..s() },
        Recipe { supported_hw: vec![(0x1F5, 0); 200], ..s() },
    ];
    for recipe in numbers {
        let outcome = build(&recipe);
        assert!(matches!(outcome, Err(BuildError::OutOfRange { .. })), "{outcome:?}");
    }
    let small = build(&Recipe { size: 0x1000, ..s() });
    assert!(matches!(small, Err(BuildError::TooSmall { wanted: 0x1000, .. })));
}

#[test]
fn a_signature_in_the_rom_is_refused() {
    let mut rom = RomRecipe::default().build().unwrap();
    rom[0x103..0x113].copy_from_slice(&MAGIC);
    let outcome = build(&Recipe { rom: Some(rom), ..Recipe::default() });
    // Configuration ends at 0x3924, then the GPH.
    assert_eq!(outcome, Err(BuildError::StraySignature { at: 0x3934 + 0x103 }));
}

#[test]
fn a_recipe_survives_json() {
    let recipe =
        Recipe { extra: vec![ExtraSection { kind: 4, len: 5 }], ..Recipe::mcx312b_2_36_5150() };
    let text = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    let no_rom: Recipe = serde_json::from_str(r#"{"rom":null,"psid":"X"}"#).unwrap();
    assert_eq!((no_rom.rom, no_rom.psid.as_str()), (None, "X"));
    assert!(serde_json::from_str::<Recipe>(r#"{"rom":"5"}"#).is_err());
    assert!(serde_json::from_str::<Recipe>(r#"{"rom":"ää"}"#).is_err());
}

#[test]
fn a_dump_interleaves_the_chunks() {
    let image = build(&Recipe::mcx312b_2_42_5000()).unwrap();
    let odd = striped(&image, Half::Odd, 0x20_0000).unwrap();
    assert_eq!(odd.len(), 0x20_0000);
    assert_eq!(odd[0x8_0000..0x10_0000], image[..0x8_0000]);
    // docs/fs2.md#chunk-interleaving: the odd slot's second chunk ends at 0x1C405B.
    assert_eq!(odd[0x18_0000..0x1C_405C], image[0x8_0000..]);
    assert!(odd[..0x8_0000].iter().chain(&odd[0x10_0000..0x18_0000]).all(|b| *b == 0xFF));
    assert!(odd[0x1C_405C..].iter().all(|b| *b == 0xFF));
    let even = striped(&image, Half::Even, 0x20_0000).unwrap();
    assert_eq!(even[..0x8_0000], image[..0x8_0000]);
    assert_eq!(even[0x10_0000..0x14_405C], image[0x8_0000..]);
    assert!(striped(&image, Half::Odd, 0x10_0000).is_err());
    let plain = build(&Recipe::default()).unwrap();
    assert_eq!(striped(&plain, Half::Even, 0x10_0000).unwrap()[..0x4_0000], plain);
    assert!(striped(&plain, Half::Odd, 0x10_0000).is_err());
    assert!(striped(&plain[..4], Half::Even, 0x10_0000).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn images_have_exactly_the_size_of_the_recipe(recipe in recipes()) {
        let image = build(&recipe).unwrap();
        prop_assert_eq!(image.len(), recipe.size as usize);
        prop_assert_eq!(words(&image, 0x30, 1)[0], recipe.size);
        let sum = |at: usize| image[at..at + 4].iter().fold(0_u8, |s, b| s.wrapping_add(*b));
        prop_assert_eq!((sum(0x28), sum(0x2C)), (0, 0));
    }
}
