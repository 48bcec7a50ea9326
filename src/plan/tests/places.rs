//! Where an image goes, and what happens to what stands beside it.

use super::bench::*;
use crate::flash::Boots;
use crate::image::{
    Contents, FlashAddr, Half, Identity, Image, MAGIC, Recipe, SectionKind, crc16, striped,
};
use crate::plan::*;

/// What a failed job leaves of `card` when the flash holds these bytes.
fn left(card: &CardSnapshot, flash: &[u8], new: Option<&[u8]>) -> LeftBehind {
    BootsBefore::of(card).left(flash, &[], new).unwrap()
}

const EVEN: u32 = 0;
/// Chunks of 64 KiB.
const ODD: u32 = 0x1_0000;

fn start(plan: &Plan) -> u32 {
    let pass = &plan.action.as_ref().unwrap().passes[0];
    pass.signature.boot_address.unwrap() >> 8
}

/// After the plan the card boots the new version with its own identity, whichever signature a boot
/// ROM looks for first: there is only one.
#[track_caller]
fn lands(card: &CardSnapshot, plan: &Plan, at: u32, want: &str) -> Vec<u8> {
    accepted(plan);
    assert_eq!(start(plan), at);
    let after = apply(card, plan);
    let view = would_boot(&after, card.chip);
    assert_eq!(view.start, Some(FlashAddr(at)));
    assert_eq!(view.version, Some(version(want)));
    let found = Contents::from_dump(&after, FlashAddr(at)).unwrap();
    assert_eq!(Identity::from_image(found.image()).unwrap(), identity());
    after
}

#[test]
fn a_burn_goes_into_the_half_that_is_not_in_use() {
    let old = own(&pro("2.36.5150"));
    let image = file(&pro("2.42.5000"));
    for (half, other) in [(Half::Even, ODD), (Half::Odd, EVEN)] {
        let card = snapshot(PRO, &[(&old, half)]);
        let plan = burn(&card, &image);
        let after = lands(&card, &plan, other, "2.42.5000");
        // The old half lost its signature's first word and nothing else.
        let at = if half == Half::Even { 0 } else { ODD as usize };
        let mut want = Vec::new();
        want.extend_from_slice(&card.flash[at..at + 0x1_0000]);
        want[..4].fill(0);
        assert!(after[at..at + 0x1_0000] == want[..]);
    }
}

#[test]
fn of_two_bootable_images_the_running_one_is_kept() {
    let a = own(&pro("2.36.5150"));
    let b = own(&pro("2.38.5000"));
    let image = file(&pro("2.42.5000"));
    let mut card = snapshot(PRO, &[(&a, Half::Even), (&b, Half::Odd)]);
    card.running = Some(version("2.36.5150"));
    lands(&card, &burn(&card, &image), ODD, "2.42.5000");
    card.running = Some(version("2.38.5000"));
    lands(&card, &burn(&card, &image), EVEN, "2.42.5000");
    // Something else runs: the lowest is kept, as mstflint does.
    card.running = Some(version("2.30.0000"));
    lands(&card, &burn(&card, &image), ODD, "2.42.5000");
}

#[test]
fn a_live_signature_is_invalidated_before_its_body_changes() {
    let a = own(&pro("2.36.5150"));
    let b = own(&pro("2.38.5000"));
    let mut card = snapshot(PRO, &[(&a, Half::Even), (&b, Half::Odd)]);
    card.running = Some(version("2.36.5150"));
    let plan = burn(&card, &file(&pro("2.42.5000")));
    let pass = &plan.action.as_ref().unwrap().passes[0];
    assert!(pass.sectors.invalidate_first, "the third image's signature is still live");
    assert!(pass.sectors.interruptible, "the other half boots");
}

#[test]
fn the_damaged_half_is_overwritten_and_the_bootable_one_kept() {
    let a = own(&pro("2.36.5150"));
    let b = own(&pro("2.38.5000"));
    let image = file(&pro("2.42.5000"));
    let mut used = flash(2 << 20, &[(&a, Half::Even), (&b, Half::Odd)]);
    // A byte of code in the even half.
    let ddr = a.image().sections.iter().find(|s| s.kind == SectionKind::Ddr).unwrap();
    assert!(ddr.body_at.0 < 0x1_0000, "must lie in the first chunk");
    used[ddr.body_at.0 as usize] ^= 1;
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    let plan = burn(&card, &image);
    let after = lands(&card, &plan, EVEN, "2.42.5000");
    assert!(after[ODD as usize..ODD as usize + 4] == [0; 4]);
}

#[test]
fn a_card_whose_only_image_has_damaged_code_can_be_burned() {
    // Its identity is valid, so a burn repairs it.
    let a = own(&pro("2.36.5150"));
    let mut used = flash(2 << 20, &[(&a, Half::Even)]);
    used[0x60] ^= 1;
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    assert!(card.bootable().next().is_none(), "BOOT2 must be damaged");
    let plan = burn(&card, &file(&pro("2.42.5000")));
    lands(&card, &plan, ODD, "2.42.5000");
    assert!(plan.report.warnings.iter().any(|w| w.contains("damaged")));
    assert!(!plan.action.unwrap().survives_interruption);
}

#[test]
fn stale_signatures_do_not_prevent_a_burn() {
    let a = own(&pro("2.36.5150"));
    let mut used = flash(2 << 20, &[(&a, Half::Even)]);
    // Free space of the even half, free space of the odd half, and inside of where the new image goes.
    for at in [0x8_0000, 0x10_0000, 0x4_0000] {
        used[at..at + 16].copy_from_slice(&MAGIC);
    }
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    assert_eq!(card.signatures().len(), 4);
    let plan = burn(&card, &file(&pro("2.42.5000")));
    let after = lands(&card, &plan, ODD, "2.42.5000");
    let left = crate::image::scan(&mut after.as_slice()).unwrap();
    assert_eq!(left, [FlashAddr(ODD)]);
}

#[test]
fn data_of_the_kept_image_that_looks_like_a_signature_is_untouched() {
    // An image in chunks of 128 KiB: its flash address 0x10000 lies in its own first chunk.
    let recipe = crate::image::Recipe { chunk_log2: Some(17), ..pro("2.36.5150") };
    let mut rom = rom(752, 0x1007);
    rom.resize(0x1_4000, 0x77);
    let old = own(&crate::image::Recipe { rom: Some(rom), size: 0x2_8000, ..recipe.clone() });
    let rom = old.image().sections.iter().find(|s| s.kind == SectionKind::Rom).unwrap();
    // The builder would not put a signature there; the section's CRC is done again by hand.
    let mut bytes = old.bytes().to_vec();
    let crc_at = rom.end().0 as usize - 4;
    let crc = |bytes: &[u8]| crc16(&bytes[rom.at.0 as usize..crc_at]).to_be_bytes();
    assert_eq!(crc(&bytes)[..], bytes[crc_at + 2..crc_at + 4]);
    bytes[0x1_0000..0x1_0010].copy_from_slice(&MAGIC);
    let redone = crc(&bytes);
    bytes[crc_at + 2..crc_at + 4].copy_from_slice(&redone);
    let flash = striped(&bytes, Half::Even, 2 << 20).unwrap();
    let card = snapshot_on(M25PX16, PRO, &flash, 0);
    assert_eq!(card.signatures(), [FlashAddr(0), FlashAddr(0x1_0000)]);
    assert_eq!(card.bootable().count(), 1);
    let image = file(&crate::image::Recipe { version: version("2.42.5000"), ..recipe });
    let plan = burn(&card, &image);
    let pass = &plan.action.as_ref().unwrap().passes[0];
    assert_eq!(pass.signature.invalidate, [FlashAddr(0)]);
}

#[test]
fn an_interrupted_commit_is_finished_by_the_same_burn() {
    // Between the two halves' signatures both images are whole. The same burn again must end with
    // the new one alone, or a boot ROM may start the old one.
    let old = own(&pro("2.36.5150"));
    let new = own(&pro("2.42.5000"));
    let image = file(&pro("2.42.5000"));
    for (new_half, old_half, at) in [(Half::Odd, Half::Even, ODD), (Half::Even, Half::Odd, EVEN)] {
        for running in ["2.36.5150", "2.42.5000", "1.0.0"] {
            let mut card = snapshot(PRO, &[(&old, old_half), (&new, new_half)]);
            card.running = Some(version(running));
            let plan = burn(&card, &image);
            assert!(!plan.report.nothing_to_do);
            let pass = &plan.action.as_ref().unwrap().passes[0];
            assert!(pass.sectors.erases.is_empty());
            // The signature once more: power may have gone while it was programmed. P2: after the
            // read-back of everything, not before.
            assert!(pass.sectors.programs.is_empty());
            assert_eq!(pass.sectors.signature_at, Some(FlashAddr(at)));
            assert_eq!(pass.signature.bytes, Some(MAGIC));
            lands(&card, &plan, at, "2.42.5000");
        }
    }
}

#[test]
fn an_image_with_a_damaged_rom_is_not_promised_to_boot() {
    // Whether the boot ROM looks at the ROM section is UNCONFIRMED.
    let old = own(&pro("2.36.5150"));
    let rom =
        |image: &Image| image.sections.iter().find(|s| s.kind == SectionKind::Rom).unwrap().body_at;
    let mut card = snapshot(PRO, &[(&old, Half::Even)]);
    assert_eq!(left(&card, &card.flash, None).boots, Boots::OldImage);
    let other = snapshot(A1, &[(&old, Half::Even)]);
    assert_eq!(left(&other, &other.flash, None).boots, Boots::Nothing, "for other silicon");
    assert!(burn(&card, &file(&pro("2.42.5000"))).action.unwrap().survives_interruption);
    let mut flash = card.flash.clone();
    flash[rom(old.image()).0 as usize + 64] ^= 1;
    card = snapshot_on(M25PX16, PRO, &flash, 0);
    assert_eq!(left(&card, &flash, None).boots, Boots::Nothing);
    let plan = burn(&card, &file(&pro("2.42.5000")));
    assert!(!plan.action.as_ref().unwrap().survives_interruption);
    let after = lands(&card, &plan, ODD, "2.42.5000");
    assert_eq!(left(&card, &after, None).boots, Boots::OldImage);
}

#[test]
fn an_in_place_burn_invalidates_the_signature_first() {
    let card = snapshot(A1, &[(&own(&cx3("2.35.5100")), Half::Even)]);
    let plan = burn(&card, &file(&cx3("2.42.5000")));
    let after = lands(&card, &plan, 0, "2.42.5000");
    let pass = &plan.action.as_ref().unwrap().passes[0];
    assert!(pass.sectors.invalidate_first);
    assert_eq!(left(&card, &after, None).boots, Boots::OldImage);
    let new = plan.action.as_ref().unwrap().contents.as_ref().unwrap();
    assert_eq!(left(&card, &after, Some(new.bytes())).boots, Boots::NewImage);
}

#[test]
fn recovery_keeps_a_half_that_may_still_start() {
    // The GUID section is damaged: no identity to burn with, but firmware that runs.
    let old = own(&pro("2.36.5150"));
    let mut used = flash(2 << 20, &[(&old, Half::Even)]);
    let guid = old.image().guids.as_ref().unwrap().body_at.0 as usize;
    assert!(guid < 0x1_0000);
    used[guid + 8 * 4 + 7] ^= 1;
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    let image = file(&pro("2.42.5000"));
    assert_eq!(refused(&burn(&card, &image)), [CheckId::Identity]);
    let len = image.bytes().len() as u64;
    let plan = plan_recover(&card, &image, len, &identity(), None);
    lands(&card, &plan, ODD, "2.42.5000");
}

#[test]
fn recovery_of_an_empty_card_goes_into_the_first_half() {
    for (chip, recipe) in [(A1, cx3("2.42.5000")), (PRO, pro("2.42.5000"))] {
        let card = snapshot(chip, &[]);
        let image = file(&recipe);
        let len = image.bytes().len() as u64;
        let plan = plan_recover(&card, &image, len, &identity(), None);
        lands(&card, &plan, 0, "2.42.5000");
    }
}

#[test]
fn recovery_keeps_the_psid_of_a_card_that_states_one() {
    let old = own(&cx3("2.35.5100"));
    let mut used = old.bytes().to_vec();
    used[0x60] ^= 1;
    let card = snapshot_on(M25PX16, A1, &used, 0);
    let image = file(&crate::image::Recipe { psid: "MT_0000000001".into(), ..cx3("2.42.5000") });
    let len = image.bytes().len() as u64;
    let plan = plan_recover(&card, &image, len, &identity(), None);
    refused_by(&plan, CheckId::Psid);
}

#[test]
fn without_a_list_an_image_is_for_the_silicon_of_its_device_id() {
    let text = "2.42.5000";
    let why = |device_id| {
        let recipe = Recipe { supported_hw: Vec::new(), device_id, rom: None, ..cx3(text) };
        let image = file(&recipe);
        let judged = bootability(FlashAddr(0), image.image(), A1);
        assert_eq!(judged == Bootability::Sure, wrong_silicon(image.image(), A1).is_none());
        wrong_silicon(image.image(), A1)
    };
    assert_eq!(why(4099), None);
    assert!(why(4103).unwrap().contains("for ConnectX-3Pro, and the card is a ConnectX-3 A1"));
    // A ConnectX-4, a ConnectX-2, and 0.
    for device_id in [4115, 26428, 0] {
        assert!(why(device_id).unwrap().contains(&format!("for device {device_id} of another")));
    }
}
