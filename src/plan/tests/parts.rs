//! Changes of a part of the card's own image: no more sectors than it takes.

use super::bench::*;
use crate::image::{
    Contents, FlashAddr, Half, ImageOffset, Mac, Recipe, RomBlock, RomRecipe, SectionKind,
};
use crate::plan::*;
use std::collections::BTreeSet;
use std::ops::Range;

const SECTOR: u32 = 0x1000;
/// 1 MiB.
const W25Q80: u32 = 0xEF_4014;

fn sectors(ranges: impl IntoIterator<Item = Range<u32>>) -> BTreeSet<u32> {
    ranges.into_iter().flat_map(|r| r.start / SECTOR..r.end.div_ceil(SECTOR)).collect()
}

/// Sectors of these kinds of section, and of the header, of the image at `start`.
fn places(image: &Contents, start: u32, kinds: &[SectionKind]) -> BTreeSet<u32> {
    let map = crate::image::AddressMap::on_flash(image.image().layout, FlashAddr(start));
    let parts = image.image().sections.iter();
    let parts = parts.filter(|s| kinds.contains(&s.kind)).map(|s| (s.at.0, s.len));
    let mut out = sectors(std::iter::once(start..start + 0x38));
    for (at, len) in parts {
        // From the header of the section to its CRC, whichever of them `at` names.
        let runs = map.runs(ImageOffset(at.saturating_sub(16)), len + 36);
        out.extend(sectors(runs.map(|(at, n)| at.0..at.0 + n)));
    }
    out
}

/// What a plan erases and programs.
fn touched(plan: &Plan) -> BTreeSet<u32> {
    let passes = &plan.action.as_ref().expect("a plan with writes").passes;
    assert_eq!(passes.len(), 1);
    sectors(passes.iter().flat_map(Pass::touched))
}

/// Sectors that are not the same afterwards, and that of a signature that was invalidated meanwhile.
fn needed(card: &CardSnapshot, plan: &Plan) -> BTreeSet<u32> {
    let after = apply(card, plan);
    let size = u32::try_from(after.len()).unwrap();
    let mut out: BTreeSet<u32> = (0..size / SECTOR)
        .filter(|s| {
            let range = (s * SECTOR) as usize..((s + 1) * SECTOR) as usize;
            after[range.clone()] != card.flash[range]
        })
        .collect();
    for pass in &plan.action.as_ref().unwrap().passes {
        out.extend(pass.sectors.signature_at.map(|at| at.0 / SECTOR));
    }
    out
}

fn macs(last: u64) -> IdentityChange {
    IdentityChange {
        macs: Some([Mac(0x0002_C900_0000 | last), Mac(0x0002_C900_0001 | last)]),
        ..IdentityChange::default()
    }
}

#[test]
fn a_mac_change_writes_only_its_sectors_on_a_non_failsafe_card() {
    let own = own(&cx3("2.42.5000"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    let vsd = IdentityChange { vsd: Some(b"rack 8".to_vec()), ..IdentityChange::default() };
    for (change, kind) in [(macs(0x10), SectionKind::Guid), (vsd, SectionKind::ImageInfo)] {
        let plan = plan_identity(&card, &change);
        accepted(&plan);
        let allowed = places(&own, 0, &[kind]);
        assert!(allowed.len() <= 3, "{allowed:?}");
        let touched = touched(&plan);
        assert!(touched.is_subset(&allowed), "{touched:?} {allowed:?}");
        assert_eq!(touched, needed(&card, &plan));
        // The signature is invalidated before, and written after, all else.
        let pass = &plan.action.as_ref().unwrap().passes[0];
        assert_eq!(pass.sectors.signature_at, Some(FlashAddr(0)));
        assert!(pass.sectors.invalidate_first || pass.sectors.erases[0].0.0 == 0);
        let erased: u32 = pass.sectors.erases.iter().map(|(_, s)| s.bytes()).sum();
        assert_eq!(erased as usize, touched.len() * SECTOR as usize);
        let again = snapshot_on(M25PX16, A1, &apply(&card, &plan), 0);
        assert!(plan_identity(&again, &change).report.nothing_to_do);
    }
}

#[test]
fn sectors_that_are_equal_in_the_other_half_are_kept() {
    let first = own(&pro("2.42.5000"));
    let card = snapshot(PRO, &[(&first, Half::Even)]);
    let plan = plan_identity(&card, &macs(0x10));
    accepted(&plan);
    assert!(plan.action.as_ref().unwrap().survives_interruption);
    // Into a blank half: nothing is erased.
    assert!(plan.action.as_ref().unwrap().passes[0].sectors.erases.is_empty());
    // Back into the first half, where the image is still present with an invalidated signature.
    let card = snapshot_on(M25PX16, PRO, &apply(&card, &plan), 0);
    let change = macs(0x20);
    let plan = plan_identity(&card, &change);
    accepted(&plan);
    assert!(plan.action.as_ref().unwrap().survives_interruption);
    let mut allowed = places(&first, 0, &[SectionKind::Guid]);
    // The commit ends with the signature of the other half.
    allowed.insert(0x1_0000 / SECTOR);
    let touched = touched(&plan);
    assert!(touched.is_subset(&allowed), "{touched:?} {allowed:?}");
    assert!(touched.is_subset(&needed(&card, &plan)));
    let pass = &plan.action.as_ref().unwrap().passes[0];
    assert!(pass.sectors.erases.len() < allowed.len());
    let again = snapshot_on(M25PX16, PRO, &apply(&card, &plan), 0);
    assert!(plan_identity(&again, &change).report.nothing_to_do);
}

#[test]
fn a_rom_of_the_same_size_writes_only_its_sectors() {
    let own = own(&cx3("2.42.5000"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    let new = rom(760, 0x1003);
    let plan = plan_rom(&card, Some(&new));
    accepted(&plan);
    let allowed = places(&own, 0, &[SectionKind::Rom]);
    let found = touched(&plan);
    assert!(found.is_subset(&allowed), "{found:?} {allowed:?}");
    assert_eq!(found, needed(&card, &plan));
    let again = snapshot_on(M25PX16, A1, &apply(&card, &plan), 0);
    assert!(plan_rom(&again, Some(&new)).report.nothing_to_do);
    // Without it all behind it moves.
    let plan = plan_rom(&card, None);
    accepted(&plan);
    // Where most of a 64 KiB block differs one large erase is the quicker way; no other block is met.
    let blocks = |sectors: &BTreeSet<u32>| sectors.iter().map(|s| s / 16).collect::<BTreeSet<_>>();
    assert_eq!(blocks(&touched(&plan)), blocks(&needed(&card, &plan)));
    let again = snapshot_on(M25PX16, A1, &apply(&card, &plan), 0);
    assert!(plan_rom(&again, None).report.nothing_to_do);
}

#[test]
fn a_rom_whose_blocks_name_no_device_is_judged_by_its_pci_ids_and_a_foreign_one_refused() {
    let own = own(&cx3("2.42.5000"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    for id in [0, 0xFFFF] {
        let of = |vendor_id, device_id| {
            let blocks = vec![RomBlock::new(0x10, (3, 4, 760), id)];
            let pxe = RomRecipe::pxe((3, 4, 760), device_id, 0x1000);
            plan_rom(&card, Some(&RomRecipe { blocks, vendor_id, ..pxe }.build().unwrap()))
        };
        let plan = of(0x15B3, 0x1003);
        accepted(&plan);
        let check = plan.report.checks.iter().find(|c| c.id == CheckId::RomDevice);
        assert!(check.unwrap().detail.contains("is for this device"));
        for (vendor, device, named) in
            [(0x15B3, 0x1017, "15b3:1017"), (0x8086, 0x1003, "8086:1003"), (0x15B3, 0, "15b3:0000")]
        {
            let detail = refused_by(&of(vendor, device), CheckId::RomDevice);
            assert!(detail.contains(named), "{detail}");
        }
    }
    let detail = refused_by(&plan_rom(&card, Some(&rom(760, 0x1007))), CheckId::RomDevice);
    assert!(detail.contains("4099 (0x1003)"), "{detail}");
    assert!(detail.contains("4103 (0x1007)"), "{detail}");
}

#[test]
fn config_reset_erases_the_end_of_a_non_failsafe_flash() {
    // (chip, its size, image size, sectors, pad): mstflint's place lies in the firmware every time.
    for (jedec, size, len, area, pad) in [
        (W25Q80, 1_u32 << 20, 0x9_0000, 1_u32, 0_u32),
        (W25Q80, 1 << 20, 0x8_4000, 2, 0),
        (W25Q80, 1 << 20, 0x7_F800, 2, 3),
        (M25PX16, 2 << 20, 0x11_0000, 2, 0),
        (M25PX16, 2 << 20, 0x10_0000, 4, 1),
    ] {
        let own =
            own(&Recipe { size: len, config_area: Some((area, pad, Some(2))), ..cx3("2.42.5000") });
        let len = own.image().len;
        let (reserve, pad) = (area * SECTOR, pad * SECTOR);
        let mstflints = size / 2 - (reserve + pad)..size / 2 - pad;
        assert!(mstflints.start < len, "the formula does no harm here");
        let ours = size - 2 * reserve - pad..size - pad;
        let mut used = flash(size as usize, &[(&own, Half::Even)]);
        used[ours.start as usize - 0x1000..].fill(0x5A);
        let card = snapshot_on(jedec, A1, &used, 0);
        let plan = plan_config_reset(&card);
        accepted(&plan);
        assert_eq!(touched(&plan), sectors(std::iter::once(ours.clone())));
        let after = apply(&card, &plan);
        let (start, end) = (ours.start as usize, ours.end as usize);
        assert!(after[..start] == used[..start] && after[end..] == used[end..]);
        assert!(after[start..end].iter().all(|b| *b == 0xFF));
    }
}

#[test]
fn config_reset_refuses_an_image_that_reaches_into_the_area() {
    let own =
        own(&Recipe { size: 0xF_F000, config_area: Some((2, 0, Some(2))), ..cx3("2.42.5000") });
    let flash = flash(1 << 20, &[(&own, Half::Even)]);
    let plan = plan_config_reset(&snapshot_on(W25Q80, A1, &flash, 0));
    assert!(!refused(&plan).is_empty());
    assert!(plan.action.is_none());
}

#[test]
fn a_foreign_rom_on_the_card_does_not_prevent_an_identity_change() {
    let pro = crate::image::RomRecipe::pxe((3, 4, 752), 0x1007, 0x800);
    let recipe = Recipe { rom: Some(pro.build().unwrap()), ..cx3("2.42.5000") };
    let card = snapshot(A1, &[(&own(&recipe), Half::Even)]);
    accepted(&plan_identity(&card, &macs(0x10)));
    accepted(&plan_rom(&card, None));
    // Putting it there is another matter.
    let rom = pro.build().unwrap();
    assert!(plan_rom(&card, Some(&rom)).report.refused);
}
