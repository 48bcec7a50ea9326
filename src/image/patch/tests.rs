//! Changed images: what changed, what did not, what is refused.

mod files;

use super::*;
use crate::image::build::recipes;
use crate::image::crc::stamp_full_crc;
use crate::image::words::{be32, put_be32};
use crate::image::{
    ExtraSection, FlashAddr, Guid, Identity, MAGIC, Mac, Recipe, RomError, RomRecipe, SectionKind,
    WalkEnd, build, crc16,
};
use proptest::prelude::*;

fn contents(recipe: &Recipe) -> Contents {
    Contents::from_file(&build(recipe).unwrap()).unwrap()
}

fn identity(n: u64) -> Identity {
    Identity {
        guids: [n, n + 1, n + 2, n + 3].map(Guid),
        macs: [Mac(n & 0xFEFF_FFFF_FFFF), Mac(n & 0xFEFF_FFFF_FFFF | 1)],
        vsd: b"a card's own".to_vec(),
    }
}

fn rom(size: u32) -> Vec<u8> {
    RomRecipe::pxe((3, 9, 1), 0x1003, size).build().unwrap()
}

fn is_blank(contents: &Contents) -> bool {
    let image = contents.image();
    image.is_valid() && image.guids.as_ref().unwrap().blank && image.blank_in_chain
}

fn boots(contents: &Contents) {
    let image = contents.image();
    assert_eq!((image.walk_end, &image.findings), (WalkEnd::Complete, &vec![]));
}

fn holds(contents: &Contents, identity: &Identity) {
    let image = contents.image();
    let guids = image.guids.as_ref().unwrap();
    assert_eq!(guids.guids, identity.guids);
    assert_eq!(guids.macs, identity.macs);
    assert!(guids.crc_ok && !guids.blank);
    let raw = image.info.as_ref().unwrap().vsd_raw.clone().unwrap();
    assert_eq!(raw.len(), 208);
    assert!(raw.starts_with(&identity.vsd));
    assert!(raw[identity.vsd.len()..].iter().all(|b| *b == 0));
}

#[test]
fn an_identity_is_written_and_nothing_else_changes() {
    for recipe in [Recipe::mcx311a_2_42_5000(), Recipe::mcx312b_2_42_5000()] {
        let before = contents(&recipe);
        let after = before.with_identity(&identity(0xF452_1403_0011_2230)).unwrap();
        holds(&after, &identity(0xF452_1403_0011_2230));
        assert!(after.masked_equal(&before));
        assert_eq!(after.checksum(), before.checksum());
        assert!(after.bytes().starts_with(&MAGIC));
        assert_eq!(after.bytes().len(), before.bytes().len());
    }
}

#[test]
fn an_identity_of_blank_guids_and_an_empty_vsd_is_carried() {
    let card = contents(&Recipe::mcx311a_2_35_5100());
    let kept = Identity {
        guids: [Guid(u64::MAX); 4],
        macs: [Mac(0xE41D_2DDD_7850), Mac(0xE41D_2DDD_7851)],
        vsd: Vec::new(),
    };
    let new = contents(&Recipe::mcx311a_2_42_5000()).with_identity(&kept).unwrap();
    holds(&new, &kept);
    holds(&card, &kept);
    boots(&new);
}

#[test]
fn a_shorter_vsd_overwrites_a_longer_one_completely() {
    let recipe = Recipe { vsd: Some("long ".repeat(40)), ..Recipe::default() };
    let after = contents(&recipe).with_vsd(b"s").unwrap();
    let raw = after.image().info.clone().unwrap().vsd_raw.unwrap();
    assert_eq!(raw[..2], *b"s\0");
    assert!(raw[1..].iter().all(|b| *b == 0));
}

#[test]
fn raw_vsd_bytes_are_carried_unchanged() {
    let raw: Vec<u8> = (0..208).map(|i| (i as u8).wrapping_mul(37) | 0x80).collect();
    let after = contents(&Recipe::default()).with_vsd(&raw).unwrap();
    assert_eq!(after.image().info.clone().unwrap().vsd_raw.unwrap(), raw);
    let too_long = contents(&Recipe::default()).with_vsd(&[b'x'; 209]);
    assert!(matches!(too_long, Err(PatchError::VsdTooLong { len: 209, max: 208 })));
}

#[test]
fn a_vsd_without_a_vsd_tag_is_refused() {
    let bare = contents(&Recipe { vsd: None, ..Recipe::default() });
    let full = identity(0x10);
    assert!(matches!(bare.with_identity(&full), Err(PatchError::NoVsdTag)));
    assert!(matches!(bare.with_vsd(b"x"), Err(PatchError::NoVsdTag)));
    let empty = Identity { vsd: Vec::new(), ..full };
    let after = bare.with_identity(&empty).unwrap();
    assert_eq!(after.image().guids.as_ref().unwrap().guids, empty.guids);
    assert!(after.masked_equal(&bare));
}

#[test]
fn old_sections_of_four_entries_take_guids_but_no_macs() {
    let old = contents(&Recipe { guid_entries: 4, ..Recipe::default() });
    assert!(matches!(old.with_identity(&identity(1)), Err(PatchError::GuidSection(4))));
    assert!(matches!(old.with_macs(&identity(1).macs), Err(PatchError::GuidSection(4))));
    let after = old.with_guids(&identity(7).guids).unwrap();
    assert_eq!(after.image().guids.as_ref().unwrap().guids, identity(7).guids);
    assert!(after.masked_equal(&old));
}

#[test]
fn a_blank_image_stays_blank_until_it_has_an_identity() {
    let blank = contents(&Recipe { guids: None, ..Recipe::default() });
    assert!(is_blank(&blank));
    let still = blank.with_vsd(b"x").unwrap().with_rom(Some(&rom(0x1014))).unwrap();
    assert!(is_blank(&still));
    assert_eq!(still.bytes()[0x22..0x24], [0xFF; 2]);
    let after = still.with_identity(&identity(5)).unwrap();
    holds(&after, &identity(5));
    boots(&after);
    // And back: the same blank bytes.
    let again = after.with_blank_guids().unwrap().with_vsd(b"x").unwrap();
    assert!(again.bytes() == still.bytes());
}

#[test]
fn a_new_rom_takes_the_second_place_of_the_chain() {
    let kinds =
        |c: &Contents| -> Vec<SectionKind> { c.image().sections.iter().map(|s| s.kind).collect() };
    let without = contents(&Recipe { rom: None, ..Recipe::default() });
    assert!(!kinds(&without).contains(&SectionKind::Rom));
    let with = without.with_rom(Some(&rom(0x2000))).unwrap();
    // Two BOOT2 blocks, Configuration, ROM (docs/flint.md#rom-commands).
    assert_eq!(kinds(&with)[3], SectionKind::Rom);
    assert_eq!(with.rom().unwrap(), rom(0x2000));
    assert_eq!(with.bytes().len(), without.bytes().len() + 0x2000 + 20);
    assert!(with.with_rom(None).unwrap().bytes() == without.bytes());
    // The same ROM again is the same image.
    assert!(with.with_rom(Some(&rom(0x2000))).unwrap().bytes() == with.bytes());
    assert!(!with.masked_equal(&without));
}

#[test]
fn every_rom_section_is_replaced() {
    let two =
        contents(&Recipe { extra: vec![ExtraSection { kind: 5, len: 64 }], ..Recipe::default() });
    let roms = |c: &Contents| {
        let sections = c.image().sections.iter();
        sections.filter(|s| s.kind == SectionKind::Rom).count()
    };
    assert_eq!(roms(&two), 2);
    assert_eq!(roms(&two.with_rom(None).unwrap()), 0);
    assert_eq!(roms(&two.with_rom(Some(&rom(0x800))).unwrap()), 1);
}

#[test]
fn header_bits_23_to_16_are_cleared_by_a_rom_change_only() {
    let mut bytes = build(&Recipe::default()).unwrap();
    assert!(put_be32(&mut bytes, 0x20, 0x12AB_0000) && stamp_full_crc(&mut bytes, false));
    let before = Contents::from_file(&bytes).unwrap();
    assert!(before.image().is_valid());
    let same = before.with_guids(&identity(1).guids).unwrap();
    assert_eq!(same.bytes()[0x20..0x22], [0x12, 0xAB]);
    let rebuilt = before.with_rom(None).unwrap();
    assert_eq!(rebuilt.bytes()[0x20..0x22], [0x12, 0x00]);
}

#[test]
fn sizes_of_emt_sections_stay_bytes() {
    let recipe = Recipe { extra: vec![ExtraSection { kind: 4, len: 101 }], ..Recipe::default() };
    let after = contents(&recipe).with_rom(Some(&rom(0x4000))).unwrap();
    let mut sections = after.image().sections.iter();
    let emt = sections.find(|s| s.kind == SectionKind::EmtService).unwrap();
    assert_eq!(be32(after.bytes(), emt.at.0 as usize + 4), Some(101));
    assert_eq!(emt.body_len, 104);
}

#[test]
fn files_that_are_no_rom_are_refused() {
    let image = contents(&Recipe::default());
    let refused = |rom: &[u8]| match image.with_rom(Some(rom)) {
        Err(PatchError::Rom(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(b"text of some length"), RomError::NoSignature);
    assert_eq!(refused(image.bytes()), RomError::IsFirmware);
    assert_eq!(refused(&[0x55, 0xAA]), RomError::Size(2));
    let huge = vec![0x55; 0x40_0001];
    assert_eq!(refused(&huge), RomError::Size(0x40_0001));
}

#[test]
fn a_rom_with_a_signature_where_images_start_is_refused() {
    let mut bad = rom(0x1_9814);
    // The ROM body starts at 0x3934 of the image.
    let at = 0x1_0000 - 0x3934;
    bad[at..at + 16].copy_from_slice(&MAGIC);
    let outcome = contents(&Recipe::default()).with_rom(Some(&bad));
    assert!(matches!(outcome, Err(PatchError::StraySignature(0x1_0000))));
}

/// Let the chain skip the section behind the first one, CRCs right.
fn with_a_gap(bytes: &mut [u8]) {
    let first = 0x2980;
    let second = be32(bytes, first + 12).unwrap() as usize;
    let third = be32(bytes, second + 12).unwrap();
    let crc_at = second - 4;
    assert!(put_be32(bytes, first + 12, third));
    let crc = crc16(&bytes[first..crc_at]);
    assert!(put_be32(bytes, crc_at, crc.into()));
    assert!(stamp_full_crc(bytes, false));
}

#[test]
fn a_rom_change_is_refused_when_bytes_belong_to_no_section() {
    let mut bytes = build(&Recipe { mic_version: None, ..Recipe::default() }).unwrap();
    with_a_gap(&mut bytes);
    let gapped = Contents::from_file(&bytes).unwrap();
    assert!(gapped.rom().is_none());
    assert!(matches!(gapped.with_rom(None), Err(PatchError::Gap { at: 0x3924 })));
}

#[test]
fn a_damaged_image_is_not_changed() {
    let mut bytes = build(&Recipe::default()).unwrap();
    bytes[0x8000] ^= 1;
    let damaged = Contents::from_file(&bytes).unwrap();
    assert!(matches!(damaged.with_identity(&identity(1)), Err(PatchError::Invalid(_))));
    assert!(matches!(damaged.with_rom(None), Err(PatchError::Invalid(_))));
    // The full CRC alone, which mstflint corrects silently.
    let mut bytes = build(&Recipe::default()).unwrap();
    bytes[0x10] ^= 1;
    let damaged = Contents::from_file(&bytes).unwrap();
    assert!(matches!(damaged.with_vsd(b""), Err(PatchError::Invalid(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_identity_put_in_is_the_identity_read(
        recipe in recipes(), guids: [u64; 4], macs in any::<[u64; 2]>(),
        vsd in prop::collection::vec(1_u8.., 0..=208),
    ) {
        let recipe = Recipe { guid_entries: 6, vsd: Some("old".into()), psid: "P".into(), ..recipe };
        let identity = Identity { guids: guids.map(Guid), macs: macs.map(Mac), vsd };
        let before = contents(&recipe);
        let after = before.with_identity(&identity).unwrap();
        holds(&after, &identity);
        prop_assert!(after.masked_equal(&before));
        let back = after.with_identity(&identity).unwrap();
        prop_assert!(back.bytes() == after.bytes());
    }

    #[test]
    fn a_rom_put_in_and_taken_out_leaves_the_image(
        recipe in recipes(), dwords in 0x200_u32..0x3000, odd in 0_usize..4,
    ) {
        let recipe = Recipe { rom: None, psid: "P".into(), ..recipe };
        let mut rom = rom(dwords * 4);
        rom.truncate(rom.len() - odd);
        let before = contents(&recipe);
        let with = before.with_rom(Some(&rom)).unwrap();
        prop_assert!(with.rom().unwrap().starts_with(&rom));
        prop_assert!(with.with_rom(None).unwrap().bytes() == before.bytes());
    }

    #[test]
    fn changes_of_hostile_bytes_do_not_panic(
        recipe in recipes(), edits in prop::collection::vec((any::<u32>(), any::<u32>()), 1..4),
        cut: u16,
    ) {
        let mut bytes = build(&recipe).unwrap();
        for (at, value) in edits {
            // Half of them in the header and the first blocks, where they count most.
            let len = if at & 1 == 0 { 0x3000 } else { bytes.len() };
            let at = (at as usize % len) & !3;
            let _ = put_be32(&mut bytes, at, value);
        }
        bytes.truncate(bytes.len() - usize::from(cut & 0x3C));
        if let Ok(contents) = Contents::from_file(&bytes) {
            let _ = contents.checksum();
            let _ = contents.with_rom(None);
            if let Ok(after) = contents.with_identity(&identity(3)) {
                holds(&after, &identity(3));
            }
        }
        for start in [0, 0x1_0000] {
            let _ = Contents::from_dump(&bytes, FlashAddr(start));
        }
    }
}
