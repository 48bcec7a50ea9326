//! Expansion ROMs: what a BIOS and mstflint check.

use super::super::*;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

#[test]
fn a_real_sized_rom_ends_in_the_real_version_block() {
    let rom = RomRecipe::pxe((3, 4, 752), 0x1007, 0x1_9814).build().unwrap();
    assert_eq!(rom.len(), 0x1_9814);
    // docs/fs2.md#rom-content: the last 20 bytes of the real one, after FF fill.
    let block = b"mlxsign:\x03\x00\x10\x00\xF0\x02\x04\x00\xFF\x00\x07\x10";
    assert!(rom.ends_with(block));
    assert_eq!(sum(&rom[..usize::from(rom[2]) * 512]), 0);
    assert_eq!(usize::from(rom[2]) * 512, 0x1_9800);
}

#[test]
fn every_pci_image_of_a_chain_is_complete() {
    let recipe = RomRecipe { images: 3, place: Some(0x80), size: 0x3004, ..RomRecipe::default() };
    let rom = recipe.build().unwrap();
    let mut at = 0;
    for index in 0..3 {
        let image = &rom[at..];
        assert_eq!(image[..2], [0x55, 0xAA]);
        let len = usize::from(image[2]) * 512;
        let pcir = &image[u16_at(image, 0x18)..];
        assert_eq!(&pcir[..4], b"PCIR");
        assert_eq!((u16_at(pcir, 4), u16_at(pcir, 6)), (0x15B3, 0x1003));
        assert_eq!(u16_at(pcir, 0x10) * 512, len);
        assert_eq!(pcir[0x15] == 0x80, index == 2);
        assert_eq!(sum(&image[..len]), 0);
        at += len;
    }
    assert_eq!(&rom[0x80..0x88], b"mlxsign:");
    assert!(rom[at..].iter().all(|b| *b == 0xFF));
}

#[test]
fn rom_recipes_out_of_range_are_refused() {
    let d = RomRecipe::default;
    let inside = |at| RomRecipe { place: Some(at), ..d() };
    let recipes = [
        RomRecipe { size: 0x2002, ..d() },
        RomRecipe { size: 0x200, ..d() },
        RomRecipe { size: 0x40_0004, ..d() },
        RomRecipe { images: 0, ..d() },
        RomRecipe { images: 5, ..d() },
        inside(0x20),
        inside(0x1FF0),
        inside(u32::MAX),
        RomRecipe {
            blocks: vec![RomBlock { port: 16, ..RomBlock::new(0x10, (0, 0, 0), 0) }],
            ..d()
        },
        RomRecipe {
            blocks: vec![RomBlock {
                text: Some("x".repeat(256)),
                ..RomBlock::new(0xF, (0, 0, 0), 0)
            }],
            ..d()
        },
    ];
    for recipe in recipes {
        assert!(recipe.build().is_err(), "{recipe:?}");
    }
}
