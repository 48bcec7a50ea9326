//! Variants of the expansion ROM: every form of flint's "Rom Info".

use super::variants::{Variant, small};
use cx3flash::image::{Recipe, RomBlock, RomRecipe};

fn with_rom(rom: RomRecipe) -> Recipe {
    Recipe { rom: Some(rom.build().unwrap()), ..small() }
}

fn rom(blocks: Vec<RomBlock>) -> RomRecipe {
    RomRecipe { blocks, ..RomRecipe::default() }
}

fn block(product: u16, device_id: u16) -> RomBlock {
    RomBlock::new(product, (14, 11, 45), device_id)
}

/// All of them.
pub fn all() -> Vec<Variant> {
    let s = small;
    let v = |name, recipe| Variant { name, recipe };
    vec![
        v("ROM: UEFI with cpu", with_rom(rom(vec![RomBlock { cpu: 1, ..block(0x11, 0x1003) }]))),
        v(
            "ROM: four products",
            with_rom(rom(vec![
                RomBlock { port: 1, protocol: 1, cpu: 2, ..block(0x10, 0x1003) },
                RomBlock { protocol: 2, cpu: 3, ..block(0x11, 0x1003) },
                RomBlock { protocol: 0, port: 3, cpu: 4, ..block(0x12, 0x1003) },
                block(0x21, 0),
            ])),
        ),
        v("ROM: six blocks", with_rom(rom((0..6).map(|i| block(0x10 + i, 0x1003)).collect()))),
        v("ROM: devices mismatch", with_rom(rom(vec![block(0x10, 0x1003), block(0x10, 0x1007)]))),
        v("ROM: old CLP", with_rom(rom(vec![block(1, 0), block(4, 0)]))),
        v(
            "ROM: text version",
            with_rom(rom(vec![RomBlock { text: Some("8309 extra".into()), ..block(0xF, 0) }])),
        ),
        v(
            "ROM: text version, foreign vendor",
            with_rom(RomRecipe {
                vendor_id: 0x8086,
                ..rom(vec![RomBlock { text: Some("12".into()), ..block(0xF, 0) }])
            }),
        ),
        v("ROM: unknown product", with_rom(rom(vec![block(0x77, 0x1003)]))),
        v(
            "ROM: unknown protocol and cpu",
            with_rom(rom(vec![RomBlock { protocol: 9, cpu: 9, ..block(0x10, 0) }])),
        ),
        v("ROM: no block", with_rom(rom(vec![]))),
        v(
            "ROM: inside, three images",
            with_rom(RomRecipe { images: 3, place: Some(0x100), ..RomRecipe::default() }),
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
        v("ROM: tiny", Recipe { rom: Some(vec![0x55, 0xAA, 0]), ..s() }),
    ]
}
