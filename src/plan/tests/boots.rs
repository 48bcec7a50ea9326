//! The rule of docs/fs2.md#what-boots.

use super::bench::*;
use crate::card::Chip;
use crate::flash::Boots;
use crate::image::{Contents, FlashAddr, Half, Recipe};
use crate::plan::*;

const ODD: FlashAddr = FlashAddr(0x1_0000);

/// The image with other bytes in its header: `size` is added to the size word.
fn with_header(contents: &Contents, size: u32, crc: u8) -> Contents {
    let mut bytes = contents.bytes().to_vec();
    let word = contents.image().header.declared_size.wrapping_add(size);
    bytes[0x30..0x34].copy_from_slice(&word.to_be_bytes());
    bytes[0x23] ^= crc;
    Contents::from_file(&bytes).unwrap()
}

/// All of it is right but the full image CRC.
fn wrong_crc(text: &str) -> Contents {
    with_header(&own(&pro(text)), 0, 1)
}

fn listing(text: &str, supported_hw: Vec<(u16, u8)>) -> Contents {
    own(&Recipe { supported_hw, ..cx3(text) })
}

fn judged(contents: &Contents, chip: Chip) -> Bootability {
    bootability(FlashAddr(0), contents.image(), chip)
}

#[track_caller]
fn unsure(contents: &Contents, chip: Chip) {
    let found = judged(contents, chip);
    assert!(matches!(found, Bootability::Unsure(_)), "{found:?}");
}

fn running(mut card: CardSnapshot, text: &str) -> CardSnapshot {
    card.running = Some(version(text));
    card
}

fn recovery(mut card: CardSnapshot) -> CardSnapshot {
    card.recovery = true;
    card
}

fn left(card: &CardSnapshot, flash: &[u8]) -> LeftBehind {
    BootsBefore::of(card).left(flash, &[], None).unwrap()
}

#[test]
fn an_image_with_a_wrong_full_crc_is_never_sure_to_boot() {
    assert_eq!(judged(&own(&pro("2.36.5150")), PRO), Bootability::Sure);
    unsure(&wrong_crc("2.36.5150"), PRO);
    // A wrong size word makes the wrong CRC a warning: the boot ROM may compare it all the same.
    unsure(&with_header(&own(&pro("2.36.5150")), 0x18, 0), PRO);
    // Without tag 11 nothing asks for it.
    let unasked = own(&Recipe { mic_version: None, ..pro("2.36.5150") });
    assert_eq!(judged(&with_header(&unasked, 0, 1), PRO), Bootability::Sure);
}

#[test]
fn an_image_that_does_not_list_the_revision_is_unsure_and_one_for_other_silicon_does_not_boot() {
    unsure(&listing("2.36.5150", vec![(0x1F5, 0)]), A1);
    assert_eq!(judged(&listing("2.36.5150", vec![(0x1F5, 1)]), A1), Bootability::Sure);
    assert_eq!(judged(&listing("2.36.5150", vec![(0x1F7, 0)]), A1), Bootability::No);
    // Without a list the device id decides; one of no ConnectX-3 kind is for other silicon.
    let device = |device_id| own(&Recipe { supported_hw: vec![], device_id, ..cx3("2.36.5150") });
    assert_ne!(judged(&device(0x1003), A1), Bootability::No);
    assert_eq!(judged(&device(0x1007), A1), Bootability::No);
    assert_eq!(judged(&device(0x673C), A1), Bootability::No);
}

#[test]
fn an_image_that_is_not_sure_to_boot_counts_where_its_version_alone_runs() {
    let odd = wrong_crc("2.36.5150");
    let card = snapshot(PRO, &[(&odd, Half::Even)]);
    assert_eq!(card.boots().start, None, "no version is known");
    assert_eq!(running(card.clone(), "2.36.5150").boots().start, Some(FlashAddr(0)));
    assert_eq!(running(card.clone(), "2.30.0000").boots().start, None);
    assert_eq!(recovery(running(card, "2.36.5150")).boots().start, None);
    // Beside a sure one.
    let other = own(&pro("2.42.5000"));
    let card = snapshot(PRO, &[(&odd, Half::Even), (&other, Half::Odd)]);
    assert_eq!(card.boots().start, Some(ODD));
    assert_eq!(running(card, "2.36.5150").boots().start, Some(FlashAddr(0)));
    // Another complete image has the version as well.
    let same = own(&pro("2.36.5150"));
    let card = running(snapshot(PRO, &[(&odd, Half::Even), (&same, Half::Odd)]), "2.36.5150");
    assert_eq!(card.boots().start, Some(ODD));
    // Its list lacks the chip, or is empty.
    for list in [vec![(0x1F5, 0)], vec![(0, 0)]] {
        let card = snapshot(A1, &[(&listing("2.36.5150", list), Half::Even)]);
        assert_eq!(running(card, "2.36.5150").boots().start, Some(FlashAddr(0)));
    }
}

#[test]
fn an_untouched_image_that_the_card_ran_still_boots_after_a_failed_job() {
    let odd = wrong_crc("2.36.5150");
    let card = snapshot(PRO, &[(&odd, Half::Even)]);
    let ran = running(card.clone(), "2.36.5150");
    let mut other_half = card.flash.clone();
    other_half[0x1_2000..0x1_3000].fill(0);
    let after = left(&ran, &other_half);
    assert_eq!((after.boots, after.untouched), (Boots::OldImage, true));
    // One that the card did not run, and was left alone: nothing is promised.
    let after = left(&recovery(card), &other_half);
    assert_eq!((after.boots, after.untouched), (Boots::Nothing, true));
    // One that the job changed.
    let mut changed = ran.flash.clone();
    changed[0x23] ^= 2;
    let after = left(&ran, &changed);
    assert_eq!((after.boots, after.untouched), (Boots::Nothing, false));
}

#[test]
fn an_image_whose_bytes_read_differently_each_time_never_boots() {
    let card = snapshot(A1, &[(&own(&cx3("2.36.5150")), Half::Even)]);
    let before = BootsBefore::of(&card);
    for at in [0, 0x4000] {
        let wavering = std::iter::once(at..at + 16).collect::<Vec<_>>();
        let after = before.left(&card.flash, &wavering, None).unwrap();
        assert_eq!(after.boots, Boots::Unknown, "{at:#x}");
    }
    // Where no image is, it hides none.
    let mut empty = card.flash.clone();
    empty[..4].fill(0);
    let wavering = std::iter::once(0x4000..0x4010).collect::<Vec<_>>();
    assert_eq!(before.left(&empty, &wavering, None).unwrap().boots, Boots::Nothing);
}

#[test]
fn a_card_whose_image_is_not_sure_to_boot_has_every_way_on() {
    let odd = wrong_crc("2.36.5150");
    let card = recovery(snapshot(PRO, &[(&odd, Half::Even)]));
    let image = file(&pro("2.42.5000"));
    for plan in [
        burn(&card, &image),
        plan_recover(&card, &image, image.bytes().len() as u64, &identity(), None),
        plan_identity(&card, &IdentityChange::default()),
    ] {
        accepted(&plan);
        let action = plan.action.as_ref().unwrap();
        assert!(!action.survives_interruption);
        assert!(action.boots.start.is_some(), "the new one is sure to boot");
        let after = apply(&card, &plan);
        assert_eq!(would_boot(&after, PRO), action.boots);
    }
    // One that runs is kept until the new one is verified.
    let card = running(snapshot(PRO, &[(&odd, Half::Even)]), "2.36.5150");
    let plan = burn(&card, &image);
    accepted(&plan);
    assert!(plan.action.unwrap().survives_interruption);
}

#[test]
fn the_identity_of_a_card_that_runs_an_image_without_its_revision_can_be_set() {
    let image = listing("2.36.5150", vec![(0x1F5, 0)]);
    let card = snapshot(A1, &[(&image, Half::Even)]);
    let change = IdentityChange { vsd: Some(b"rack 8".to_vec()), ..IdentityChange::default() };
    let ran = running(card.clone(), "2.36.5150");
    let plan = plan_identity(&ran, &change);
    accepted(&plan);
    assert_eq!(plan.action.unwrap().boots.start, Some(FlashAddr(0)));
    assert!(refused(&plan_identity(&card, &change)).contains(&CheckId::OldImage));
    // A file with the same list is refused as before.
    let file = file(&Recipe { supported_hw: vec![(0x1F5, 0)], ..cx3("2.42.5000") });
    assert_eq!(refused(&burn(&ran, &file)), [CheckId::Silicon]);
}

#[test]
fn a_job_that_writes_no_image_leaves_the_image_that_the_card_runs() {
    let (even, odd) = (own(&pro("2.42.5000")), own(&pro("2.36.5150")));
    let card = running(snapshot(PRO, &[(&even, Half::Even), (&odd, Half::Odd)]), "2.36.5150");
    assert_eq!(card.boots().start, Some(ODD));
    assert_eq!(left(&card, &card.flash).report, card.boots());
    // Beside a new image the running version does not decide.
    let beside = BootsBefore::of(&card).left(&card.flash, &[], Some(even.bytes())).unwrap();
    assert_eq!((beside.boots, beside.report.start), (Boots::EitherImage, Some(FlashAddr(0))));
}
