//! Refusals about the ROM, the size and the flash.

use super::bench::*;
use crate::flash::{EraseSize, SectorMap, SectorPlan, Signature};
use crate::image::{FlashAddr, Half, MAGIC, Recipe, SectionKind};
use crate::plan::rules_flash;
use crate::plan::*;
use std::time::Duration;

#[test]
fn a_card_without_a_rom_has_none_to_keep() {
    let old = own(&Recipe { rom: None, ..cx3("2.35.5100") });
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let options = BurnOptions { rom: Some(RomChoice::Device), ..BurnOptions::default() };
    let image = file(&cx3("2.42.5000"));
    refused_by(&burn_with(&card, &image, &options), CheckId::Rom);
}

#[test]
fn a_damaged_rom_of_the_card_is_not_kept() {
    let old = own(&cx3("2.35.5100"));
    let card = snapshot_on(M25PX16, A1, &damaged(&old, SectionKind::Rom), 0);
    // The image brings its own: the damage is a note.
    let plan = burn(&card, &file(&cx3("2.42.5000")));
    accepted(&plan);
    assert!(plan.report.warnings.iter().any(|w| w.contains("damaged")));
    // It brings none: the damaged one must not be built in, and leaving it out is not our choice.
    let bare = file(&Recipe { rom: None, ..cx3("2.42.5000") });
    refused_by(&burn(&card, &bare), CheckId::Rom);
    let options = BurnOptions { rom: Some(RomChoice::None), ..BurnOptions::default() };
    accepted(&burn_with(&card, &bare, &options));
}

#[test]
fn bytes_that_are_no_rom_are_refused() {
    let (card, _) = owner();
    refused_by(&plan_rom(&card, Some(b"\x7fELF no option ROM at all")), CheckId::Rom);
}

#[test]
fn a_rom_that_holds_an_image_signature_where_images_start_is_refused() {
    let (card, _) = owner();
    let own = card.active().unwrap().slot.image().unwrap();
    // An EFI image of 128 KiB, which needs no checksum, over the start candidate at 64 KiB.
    let mut rom = vec![0; 0x2_0000];
    let body = own.rom_section().unwrap().body_at.0 as usize;
    let at = 0x1_0000 - body;
    rom[at..at + MAGIC.len()].copy_from_slice(&MAGIC);
    for (at, bytes) in [
        (0, &[0x55, 0xAA, 0, 1, 0xF1, 0x0E][..]),
        (0x18, &[0x1C]),
        (0x1C, b"PCIR\xB3\x15\x03\x10"),
        (0x2C, &[0, 1, 0, 0, 3, 0x80]),
    ] {
        rom[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let detail = refused_by(&plan_rom(&card, Some(&rom)), CheckId::PatchedImage);
    assert!(detail.contains("signature at 0x10000"), "{detail}");
}

#[test]
fn an_image_larger_than_half_the_flash_is_refused() {
    let (card, _) = failsafe();
    let image = file(&Recipe { size: (1 << 20) - 0x1000, ..pro("2.42.5000") });
    let plan = burn(&card, &image);
    assert!(refused(&plan).contains(&CheckId::Fits), "{plan:?}");
    assert!(plan.action.is_none());
}

#[test]
fn a_failsafe_image_whose_second_half_is_beyond_the_chip_is_refused() {
    // Chunks of 2 MiB on a 2 MiB chip: the odd half would start behind its end.
    let recipe = Recipe { chunk_log2: Some(21), ..pro("2.36.5150") };
    let old = own(&recipe);
    let card = snapshot_on(M25PX16, PRO, old.bytes(), 0);
    let image = file(&Recipe { version: version("2.42.5000"), ..recipe });
    let plan = burn(&card, &image);
    assert!(refused(&plan).contains(&CheckId::Fits), "{plan:?}");
    assert!(plan.action.is_none());
}

#[test]
fn an_image_for_another_flash_size_is_refused() {
    let (card, image) = owner();
    assert!(
        image.image().ini.as_ref().unwrap().get("FW", "log_flashdev_size") == Some("21".into()),
        "the fixture must state a size"
    );
    // One MiB: the same family, one step smaller.
    let small = snapshot_on(0x20_7114, A1, &card.flash[..1 << 20], 0);
    refused_by(&burn(&small, &image), CheckId::FlashSize);
    // Four MiB, and the card's own image is for two as well: that is how the board is.
    let large = snapshot_on(0x20_7116, A1, &card.flash, 0);
    accepted(&burn(&large, &image));
    // Four MiB, and the card's own image does not say so.
    let old = own(&Recipe { ini: None, ..cx3("2.35.5100") });
    let large = snapshot_on(0x20_7116, A1, old.bytes(), 0);
    refused_by(&burn(&large, &image), CheckId::FlashSize);
}

#[test]
fn an_erase_that_reaches_the_configuration_area_is_refused() {
    // 64 KiB erases only, and the image ends inside the block of the area.
    let recipe = Recipe {
        config_area: Some((2, 0, Some(2))),
        size: (1 << 20) - 0x2000,
        chunk_log2: Some(19),
        ..pro("2.36.5150")
    };
    let old = own(&recipe);
    let image = file(&Recipe { version: version("2.42.5000"), seed: 77, ..recipe });
    let mut used = flash(2 << 20, &[(&old, Half::Even)]);
    // The other half is in use up to its end, so that it must be erased.
    used[0x8_0000..0x10_0000].fill(0);
    used[0x18_0000..0x20_0000].fill(0);
    let card = snapshot_on(M25P16, PRO, &used, 0);
    refused_by(&burn(&card, &image), CheckId::NvArea);
    // 4 KiB erases stop in front of it.
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    let plan = burn(&card, &image);
    accepted(&plan);
    let after = apply(&card, &plan);
    assert!(after[0x1F_E000..0x20_0000].iter().all(|b| *b == 0));
}

#[test]
fn protected_sectors_are_refused() {
    let (card, image) = owner();
    let bp = |status| snapshot_on(M25PX16, A1, &card.flash, status);
    // All of it.
    refused_by(&burn(&bp(0x1C), &image), CheckId::Protection);
    // The first 64 KiB.
    refused_by(&burn(&bp(0x24), &image), CheckId::Protection);
    // The last 64 KiB: the image is far away.
    accepted(&burn(&bp(0x04), &image));
    // SST25 comes up so; the session clears it.
    accepted(&burn(&snapshot_on(SST25VF016B, A1, &card.flash, 0x1C), &image));
}

#[test]
fn a_pass_that_touches_the_image_that_boots_is_refused() {
    let pass = Pass {
        sectors: SectorPlan {
            erases: vec![(FlashAddr(0x1_0000), EraseSize::K64)],
            programs: Vec::new(),
            expect: Vec::new(),
            signature_at: None,
            invalidate_first: false,
            interruptible: true,
            map: SectorMap { cell: 0x1000, cells: Vec::new() },
            estimate: Duration::ZERO,
        },
        signature: Signature {
            bytes: None,
            boot_address: None,
            // Voiding it is the last act, after the commit.
            invalidate: vec![FlashAddr(0)],
        },
    };
    let passes = [pass];
    let kept = |end| std::slice::from_ref(&(0..end)).to_vec();
    assert!(rules_flash::interruption(Some(&kept(0x1_0000)), &passes).is_ok());
    assert!(rules_flash::interruption(Some(&kept(0x1_0001)), &passes).is_err());
}
