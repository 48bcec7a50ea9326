//! Rules beyond the CRCs of the chain (docs/fs2.md#order-of-a-burn).

use crate::image::tests::fixture::*;
use crate::image::{Depth, FindingId, FlashAddr, Form, Image, Severity, WalkEnd, crc16, read};
use FindingId::{
    Chain, FullImageCrc, IdentityCrc, Ini, MissingTag, NoVsdTag, Overlap, Pointer, Rom, Size,
    TrailingBytes,
};

/// The chain is intact, the image has this one error.
fn only_error(image: &Image, id: FindingId) {
    assert_eq!(image.walk_end, WalkEnd::Complete);
    assert_eq!((image.guid_fault, image.info_fault), (None, None));
    let found = finding(image, id).unwrap_or_else(|| panic!("{:?}", image.findings));
    assert_eq!(found.severity, Severity::Error, "{}", found.detail);
    assert_eq!(image.findings[0].severity, Severity::Error);
}

#[test]
fn trailing_bytes_are_a_warning_for_files_only() {
    let mut bytes = MadeImage::default().build();
    let len = bytes.len() as u32;
    bytes.extend([0xFF; 16]);
    let image = full(&bytes);
    let found = finding(&image, TrailingBytes).unwrap();
    assert_eq!(found.at.unwrap().0, len);
    assert!(image.is_valid() && image.len == len);
    let card = read(&mut bytes.as_slice(), FlashAddr(0), Form::Striped, Depth::Full).unwrap();
    assert_eq!(card.findings, []);
}

#[test]
fn a_wrong_size_word_is_a_warning_and_the_chain_gives_the_size() {
    let good = full(&MadeImage::default().build());
    for change in [4, 4u32.wrapping_neg(), 0x1000_0000] {
        let mut bytes = MadeImage::default().build();
        let size = word(&bytes, 0x30).wrapping_add(change);
        put(&mut bytes, 0x30, size);
        // Without the full image CRC redone, and with it.
        for sealed in [false, true] {
            if sealed {
                seal(&mut bytes);
            }
            let image = full(&bytes);
            assert!(image.is_valid(), "{:?}", image.findings);
            assert_eq!(image.len, good.len);
            assert_eq!(finding(&image, Size).unwrap().severity, Severity::Warning);
            assert_eq!(finding(&image, FullImageCrc).is_some(), !sealed);
        }
    }
    // The full image CRC alone stays an error.
    let mut bytes = MadeImage::default().build();
    put(&mut bytes, 0x10, 1);
    only_error(&full(&bytes), FullImageCrc);
    // So does a size that the file lacks, where the chain is not complete.
    let mut bytes = MadeImage::default().build();
    put(&mut bytes, 0x30, 0x1000_0000);
    bytes.truncate(bytes.len() - 64);
    assert_eq!(finding(&full(&bytes), Size).unwrap().severity, Severity::Error);
}

#[test]
fn pointers_must_lead_to_their_sections() {
    // Onto the body of the DDR section, shaped like a GUID section with a right CRC.
    let (places, good) = MadeImage::default().build_with_places();
    let mut bytes = good.clone();
    put(&mut bytes, 0x34, places[0] as u32 + 16);
    seal(&mut bytes);
    let image = full(&bytes);
    only_error(&image, Pointer);
    assert!(!image.guids.unwrap().type_ok);
    // A decoy of the right type and CRC inside another section's body is in no chain.
    let mut decoy = bytes_of_section(6, &guids());
    decoy.resize(256, 0);
    let (places, mut bytes) = MadeImage::default().replace(1, decoy).build_with_places();
    put(&mut bytes, 0x34, places[3] as u32 + 32);
    seal(&mut bytes);
    let image = full(&bytes);
    assert!(image.guids.as_ref().unwrap().type_ok);
    only_error(&image, Pointer);
}

fn bytes_of_section(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut section = bytes(&[kind, body.len() as u32 / 4, 0, 0]);
    section.extend(body);
    let crc = crc16(&section);
    section.extend(bytes(&[u32::from(crc)]));
    section
}

#[test]
fn an_image_without_info_pointer_has_no_info() {
    let mut bytes = MadeImage::default().build();
    put(&mut bytes, 0x2C, 0);
    seal(&mut bytes);
    let image = full(&bytes);
    only_error(&image, Pointer);
    assert_eq!(image.info, None);
    let shown = image.chain_info.unwrap();
    assert_eq!(shown.psid, Some("MT_1170110023".into()));
}

#[test]
fn tags_of_other_info_sections_do_not_count() {
    let other = [tag(4, b"OTHER_PSID\0\0\0\0\0\0"), tag(20, b"prs\0"), tag(0xFF, &[])].concat();
    let mut made = MadeImage::default();
    made.sections.insert(0, section(10, other));
    let image = full(&made.build());
    let (own, shown) = (image.info.as_ref().unwrap(), image.merged_info.as_ref().unwrap());
    assert_eq!((&own.prs_name, &shown.prs_name), (&None, &Some("prs".into())));
    assert_eq!(own.psid, shown.psid);
}

#[test]
fn damaged_identity_is_an_error_even_where_the_chain_is_not_checked() {
    let (places, mut bytes) = MadeImage::default().build_with_places();
    bytes[places[1] + 20] ^= 1;
    let image = read(&mut bytes.as_slice(), FlashAddr(0), Form::Contiguous, Depth::Quick).unwrap();
    let found = finding(&image, IdentityCrc).unwrap();
    assert_eq!(found.severity, Severity::Error);
    assert!(!image.guids.unwrap().crc_ok);
}

#[test]
fn missing_tags_are_named() {
    let made = MadeImage::default().replace(10, [tag(3, &bytes(&[4099])), tag(0xFF, &[])].concat());
    let image = full(&made.build());
    only_error(&image, MissingTag);
    assert!(finding(&image, MissingTag).unwrap().detail.ends_with("no version, no PSID"));
    assert_eq!(finding(&image, NoVsdTag).unwrap().severity, Severity::Warning);
}

#[test]
fn chains_that_loop_end_and_are_reported() {
    for back_to in 0..4 {
        let mut made = MadeImage::default();
        let (places, _) = made.build_with_places();
        made.sections[3].next = Some(places[back_to] as u32);
        let image = full(&made.build());
        assert!(matches!(image.walk_end, WalkEnd::Loop { .. }), "{back_to}");
        let found = finding(&image, Chain).unwrap();
        assert_eq!(found.severity, Severity::Error);
        assert_eq!(image.sections.len(), 6);
    }
}

#[test]
fn chains_that_overlap_run_backwards_or_leave_holes_are_reported() {
    // DDR in front of the others in the file, last in the chain.
    let mut made = MadeImage::default();
    made.sections.rotate_right(1);
    let (places, _) = made.build_with_places();
    made.sections[3].next = Some(places[0] as u32);
    made.sections[0].next = Some(0xFF00_0000);
    let mut bytes = made.build();
    // BOOT2 is followed by what stands there, so let the walk begin at the second section: a tiny
    // section in front leads there.
    assert_eq!(full(&bytes).sections.len(), 3);
    made.sections.insert(0, section(3, Vec::new()));
    let (places, _) = made.build_with_places();
    made.sections[0].next = Some(places[2] as u32);
    made.sections[4].next = Some(places[1] as u32);
    bytes = made.build();
    let image = full(&bytes);
    assert_eq!(image.walk_end, WalkEnd::Complete);
    let severities: Vec<_> =
        image.findings.iter().filter(|f| f.id == Chain).map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Warning]);
    assert!(finding(&image, Overlap).is_none());

    // A section inside the body of another.
    let inner = bytes_of_section(3, &[1; 8]);
    let mut made = MadeImage::default();
    made.sections[3].body = [vec![0; 8], inner].concat();
    let (places, _) = made.build_with_places();
    made.sections[3].next = Some(places[3] as u32 + 24);
    let image = full(&made.build());
    assert!(finding(&image, Overlap).is_some(), "{:?}", image.findings);
    assert!(finding(&image, Chain).is_some());
}

#[test]
fn chains_of_thousands_of_overlapping_sections_are_given_up() {
    // 2000 empty sections with right CRCs.
    let mut made = MadeImage::default();
    made.sections.extend(vec![section(3, Vec::new()); 2000]);
    let image = full(&made.build());
    assert!(matches!(image.walk_end, WalkEnd::TooLong { .. }));
    assert!(image.sections.len() < 1100);
    assert!(!image.is_valid());
}

#[test]
fn a_hostile_ini_is_a_finding() {
    for body in [vec![0xFF; 64], Vec::new()] {
        let image = full(&MadeImage::default().with(9, body).build());
        assert_eq!(image.walk_end, WalkEnd::Complete);
        assert_eq!(finding(&image, Ini).unwrap().severity, Severity::Warning);
        assert_eq!(image.ini, None);
    }
}

#[test]
fn a_rom_for_another_device_is_a_finding() {
    let mut rom = vec![0; 492];
    rom[..3].copy_from_slice(&[0x55, 0xAA, 1]);
    rom.extend(b"mlxsign:");
    rom.extend([3, 0, 0x10, 0, 0xF0, 2, 4, 0, 0xFF, 0, 7, 0x10]);
    rom[3] = rom.iter().fold(0u8, |s, &b| s.wrapping_add(b)).wrapping_neg();
    let image = full(&MadeImage::default().with(5, rom).build());
    let found: Vec<_> = image.findings.iter().map(|f| (f.id, f.detail.as_str())).collect();
    let other = "the ROM is for device 4103 (0x1007), the firmware for device 4099";
    let chain = "the ROM image at 0x0 has no PCI data structure (`PCIR`)";
    assert_eq!(found, [(Rom, chain), (Rom, other)]);
    assert!(image.rom.unwrap().whole);
}
