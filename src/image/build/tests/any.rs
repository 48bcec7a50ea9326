//! Recipes for property tests.

use super::super::*;
use crate::image::{Guid, Mac, Version};
use proptest::prelude::*;

/// Any recipe that builds.
pub(in crate::image) fn recipes() -> impl Strategy<Value = Recipe> {
    let identity = (
        prop::option::of(any::<[u64; 4]>()),
        any::<[u32; 2]>(),
        prop_oneof![4 => Just(6_u8), 1 => Just(4)],
        prop::option::weighted(0.8, "[ -~]{0,208}"),
        "[A-Z0-9_]{0,16}",
    );
    let kind = (
        prop::option::of(16_u8..=23),
        1_u8..=2,
        any::<bool>(),
        (100_u32 << 8..330 << 8).prop_map(|dwords| dwords * 4),
        any::<u64>(),
    );
    let info = (
        prop::option::of("[0-9.]{0,16}"),
        prop::option::of(any::<[u16; 3]>()),
        prop::option::of(any::<[u16; 4]>()),
        prop::option::of(any::<u64>()),
        prop::option::of((0_u32..9, 0_u32..9, prop::option::of(0_u32..7))),
        prop::option::of("[a-zA-Z0-9_.]{0,99}"),
        prop::option::of(Just(0x15B3_u16)),
    );
    let contents = (
        prop::option::of(0x400_u32..0x2000),
        any::<bool>(),
        prop::collection::vec((1_u32..20, 0_u32..200), 0..3),
    );
    (identity, kind, info, contents).prop_map(|(identity, kind, info, contents)| {
        let (guids, macs, guid_entries, vsd, psid) = identity;
        let (chunk_log2, boot2_blocks, pro, size, seed) = kind;
        let (product_version, mic, min_fit_version, hw_access_key, config_area, prs_name, vendor) =
            info;
        let (rom_size, ini, extra) = contents;
        let mut recipe = Recipe {
            guids: guids.map(|g| g.map(Guid)),
            macs: macs.map(|m| Mac(u64::from(m) + 1)),
            guid_entries,
            vsd,
            psid,
            chunk_log2,
            boot2_blocks,
            device_id: if pro { 4103 } else { 4099 },
            size,
            seed,
            product_version,
            mic_version: mic.map(|[major, minor, subminor]| Version { major, minor, subminor }),
            min_fit_version,
            hw_access_key,
            config_area,
            prs_name,
            vsd_vendor_id: vendor,
            rom: rom_size
                .and_then(|n| RomRecipe::pxe((3, 4, n as u16), 0x1003, n * 4).build().ok()),
            // Kinds with a meaning of their own would be a second of something.
            extra: extra
                .into_iter()
                .map(|(kind, len)| ExtraSection {
                    kind: if matches!(kind, 5 | 6 | 9 | 10) { 1 } else { kind },
                    len,
                })
                .collect(),
            ..Recipe::default()
        }
        .matching_ini();
        if !ini {
            recipe.ini = None;
        }
        recipe
    })
}
