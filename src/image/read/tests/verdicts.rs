//! The table of docs/flint.md#verdicts-of-verify, and what each row means to us.

use super::fixture::*;
use crate::image::{
    CrcVerdict, Depth, FindingId, FlashAddr, FlintVerdict, Form, ImageError, MAGIC, SectionKind,
    Severity, read,
};

fn failed(text: &str) -> FlintVerdict {
    FlintVerdict::Failed { text: text.into() }
}

fn no_status(text: &str) -> FlintVerdict {
    FlintVerdict::NoGuidStatus { text: text.into() }
}

#[test]
fn whole_images_are_sound() {
    for made in [Made::default(), Made::failsafe()] {
        let bytes = made.build();
        let image = full(&bytes);
        assert_eq!(image.findings, []);
        assert_eq!(image.flint, FlintVerdict::Bootable);
        assert_eq!(image.full_crc, Some(CrcVerdict::Ok));
        assert_eq!(image.len as usize, bytes.len());
        let kinds: Vec<_> = image.sections.iter().map(|s| s.kind).collect();
        use SectionKind::{Boot2, Configuration, Ddr, Guid, ImageInfo};
        assert_eq!(kinds, [Boot2, Boot2, Configuration, Guid, ImageInfo, Ddr]);
    }
}

#[test]
fn every_section_type_is_walked() {
    let mut made = Made::default();
    for kind in (3..=13).filter(|k| ![5, 6, 9, 10].contains(k)) {
        made = made.with(kind, vec![7; 8]);
    }
    let image = full(&made.build());
    assert_eq!(image.findings, []);
    let names: Vec<_> = image
        .sections
        .iter()
        .skip(6)
        .map(|s| s.kind.name())
        .collect();
    let want = [
        "Jump addresses",
        "EMT Service",
        "BOARD ID",
        "User Data",
        "DDRZ",
        "Hash File",
        "UNKNOWN (13)",
    ];
    assert_eq!(names, want);
}

#[test]
fn size_of_an_emt_section_counts_bytes() {
    // 5 bytes claimed, 8 stored.
    let (places, mut bytes) = Made::default().with(4, vec![7; 8]).build_with_places();
    let at = places[4];
    put(&mut bytes, at + 4, 5);
    let crc = crate::image::crc16(&bytes[at..at + 24]);
    put(&mut bytes, at + 24, u32::from(crc));
    seal(&mut bytes);
    let image = full(&bytes);
    assert_eq!(image.findings, []);
    assert_eq!(image.sections[6].body_len, 8);
}

#[test]
fn header_damage_is_a_line_for_flint_and_an_error_for_us() {
    for at in [0x10, 0x1F, 0x20, 0x23, 0x27] {
        let mut bytes = Made::default().build();
        bytes[at] ^= 0x40;
        let image = full(&bytes);
        assert_eq!(image.flint, FlintVerdict::Bootable, "{at:#x}");
        assert!(matches!(image.full_crc, Some(CrcVerdict::Wrong { .. })));
        let found = finding(&image, FindingId::FullImageCrc).unwrap();
        assert_eq!(found.severity, Severity::Error);
        assert!(!found.flint_fails && !image.is_valid());
    }
}

#[test]
fn full_crc_without_a_mic_version_is_a_warning() {
    let plain = Made::default().replace(
        10,
        [info()[..info().len() - 16].to_vec(), tag(0xFF, &[])].concat(),
    );
    let mut bytes = plain.build();
    assert_eq!(full(&bytes).findings, []);
    assert_eq!(full(&bytes).full_crc, None);
    bytes[0x10] ^= 1;
    let image = full(&bytes);
    let found = finding(&image, FindingId::FullImageCrc).unwrap();
    assert_eq!(found.severity, Severity::Warning);
    assert!(image.is_valid());
}

#[test]
fn damaged_magic_and_foreign_headers_are_no_image() {
    let good = Made::failsafe().build();
    let mut bytes = good.clone();
    bytes[3] ^= 1;
    let error = try_full(&bytes).unwrap_err();
    assert_eq!(error.flint_text(), Some("No valid image found"));
    let mut bytes = good.clone();
    bytes[0x28] ^= 1;
    let error = try_full(&bytes).unwrap_err();
    assert!(matches!(error, ImageError::FailsafeWord(0xF400_000B)));
    assert_eq!(error.flint_text(), Some("Corrupted chunk size checksum"));
    let mut bytes = good.clone();
    bytes[0x24] = 3;
    assert!(matches!(try_full(&bytes), Err(ImageError::OtherFormat(3))));
    assert!(matches!(
        try_full(&good[..0x34]),
        Err(ImageError::TooShort(0x34))
    ));
}

#[test]
fn damage_in_any_block_stops_the_walk_there() {
    let (places, good) = Made::default().build_with_places();
    // BOOT2 code, second BOOT2, bodies, CRC dword (upper half counts too), `next`.
    let last = good.len();
    for (at, blocks) in [
        (0x48, 1),
        (0x60, 2),
        (places[0] + 16, 3),
        (last - 4, 6),
        (places[1] + 12, 4),
    ] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let image = full(&bytes);
        assert_eq!(image.flint, failed("Bad CRC."), "{at:#x}");
        assert_eq!(image.sections.len(), blocks, "{at:#x}");
        let wrong = &image.sections[blocks - 1].crc;
        assert!(matches!(wrong, CrcVerdict::Wrong { .. }), "{at:#x}");
        assert!(finding(&image, FindingId::SectionCrc).unwrap().flint_fails);
    }
}

#[test]
fn absurd_sizes_have_no_error_text() {
    let (places, good) = Made::default().build_with_places();
    let mut bytes = good.clone();
    put(&mut bytes, places[2] + 4, 0x10_0001);
    let image = full(&bytes);
    assert_eq!(image.flint, failed("(null)"));
    let last = image.sections.last().unwrap();
    assert_eq!(last.crc, CrcVerdict::TooBig { size: 0x40_0004 });
    for code in [3, 0x10_0001] {
        let mut bytes = good.clone();
        put(&mut bytes, 0x3C, code);
        let image = full(&bytes);
        assert_eq!(image.flint, failed("(null)"));
        assert_eq!(
            image.sections[0].crc,
            CrcVerdict::UnexpectedSize { size: code }
        );
    }
}

#[test]
fn images_cut_short_name_what_cannot_be_read() {
    let (places, good) = Made::default().build_with_places();
    let cut = places[3] + 100;
    let image = full(&good[..cut]);
    // The CRC dword behind the body is what flint fails at.
    let crc_at = places[3] + 16 + 256;
    assert_eq!(
        image.flint,
        failed(&format!(
            "     /0x{:08x}-0x{:08x} (0x{:06x})/ (DDR) - read error (Reading 0x4 bytes from  address \
             {crc_at:#x} is out of image limits ({cut:#x} bytes))\n",
            places[3],
            places[3] + 275,
            276
        ))
    );
    // A GPH that cannot be read is an unknown section of type 0 and size 0.
    let cut = places[3];
    let image = full(&good[..cut]);
    let last = image.sections.last().unwrap();
    assert_eq!(last.kind, SectionKind::Unknown(0));
    assert_eq!(
        image.flint,
        failed(&format!(
            "     /0x{cut:08x}-0x{:08x} (0x000014)/ (UNKNOWN (0)) - read error (Reading 0x4 bytes from  \
             address {:#x} is out of image limits ({cut:#x} bytes))\n",
            cut + 19,
            cut + 16
        ))
    );
    // The pointers still lead to the identity.
    assert!(image.guids.unwrap().crc_ok && image.info_crc_ok);
}

#[test]
fn unaligned_chain_fields_are_named() {
    let mut made = Made::default();
    made.parts[0].next = Some(0x12E);
    assert_eq!(
        full(&made.build()).flint,
        failed(
            "     /0x0000012e-0x00000141 (0x000014)/ (UNKNOWN (0)) - read error (Address should be \
             4-bytes aligned.)\n"
        )
    );
}

#[test]
fn pointers_fail_the_second_pass() {
    let (places, good) = Made::default().build_with_places();
    let size = good.len() as u32;
    let mut bytes = good.clone();
    put(&mut bytes, 0x2C, 0x0000_0100);
    assert_eq!(
        full(&bytes).flint,
        no_status(
            "Failed to read Info Section - Bad checksum for Info section pointer (00000100). \
             Probably the image is corrupted."
        )
    );
    put(&mut bytes, 0x2C, with_sum(0x10_0000));
    assert_eq!(
        full(&bytes).flint,
        no_status(
            "Failed to read Info Section - Info section pointer (00100000) too large. Probably the \
             image is corrupted."
        )
    );
    let mut bytes = good.clone();
    put(&mut bytes, 0x34, size);
    assert_eq!(
        full(&bytes).flint,
        no_status(&format!(
            "Failed to read GUIDs - Illegal GUID pointer ({size:08x}). Probably image is corrupted"
        ))
    );
    put(&mut bytes, 0x34, 0x1D);
    assert_eq!(
        full(&bytes).flint,
        no_status("Number of GUIDs - read error (Address should be 4-bytes aligned.)\n")
    );
    // Below 12 the address of the count wraps around.
    put(&mut bytes, 0x34, 8);
    assert_eq!(
        full(&bytes).flint,
        no_status(
            "Number of GUIDs - read error (Failed to read from FW file, offset: 0xfffffffc - Success)\n"
        )
    );
    put(&mut bytes, 0x34, places[3] as u32 + 28);
    let image = full(&bytes);
    assert_eq!(
        image.flint,
        no_status("Failed to read GUIDs - Illegal Number of GUIDs (1389548242)")
    );
    let found = finding(&image, FindingId::Pointer).unwrap();
    assert!(found.flint_fails && found.severity == Severity::Error);
}

#[test]
fn inconsistent_tags_stop_the_walk() {
    let made = Made::default().replace(10, tag(0xFF, &[0; 4]));
    let image = full(&made.build());
    // Tag 255 with 4 bytes of data ends where the body ends, which is right for flint.
    assert_eq!(image.flint, FlintVerdict::Bootable);
    let made = Made::default().replace(10, bytes(&[0x0300_0010, 4099]));
    let image = full(&made.build());
    assert_eq!(
        image.flint,
        failed(
            "Failed to read the info sector: Info section corrupted: Tag 0 (TagId 3, size 16) exceeds \
             Info section size (8 bytes) \n"
        )
    );
    assert!(finding(&image, FindingId::Info).unwrap().flint_fails);
    assert_eq!(image.sections.last().unwrap().crc, CrcVerdict::Ok);
}

#[test]
fn blank_guids_are_told_from_a_wrong_crc() {
    let (places, mut bytes) = Made::default()
        .replace(6, vec![0xFF; 48])
        .build_with_places();
    let crc_at = places[1] + 64;
    put(&mut bytes, crc_at, 0xFFFF);
    put(&mut bytes, 0x20, 0xFFFF);
    let image = full(&bytes);
    assert_eq!(image.flint, FlintVerdict::BlankGuids);
    assert_eq!(image.full_crc, Some(CrcVerdict::Blank));
    assert_eq!(image.sections[3].crc, CrcVerdict::Blank);
    assert!(
        image.is_valid(),
        "a blank image waits for an identity: {:?}",
        image.findings
    );
    assert!(image.guids.as_ref().unwrap().blank);
    // A first entry that is set makes 0xFFFF a CRC like others.
    bytes[places[1] + 16] = 0;
    let image = full(&bytes);
    assert_eq!(image.flint, failed("Bad CRC."));
    assert!(finding(&image, FindingId::IdentityCrc).unwrap().flint_fails);
}

#[test]
fn images_in_the_wrong_place_are_not_walked() {
    let image = Made::default().build();
    let mut dump = vec![0xFF; 0x8_0000];
    dump.extend(&image);
    let at = FlashAddr(0x8_0000);
    let found = read(&mut dump.as_slice(), at, Form::Striped, Depth::Full).unwrap();
    assert_eq!(
        found.flint,
        failed(
            "FS2 Non Failsafe image must start at address 0. Found non-fs image at address 0x80000"
        )
    );
    assert!(found.sections.is_empty() && !found.is_valid() && !found.flint_heading());

    let mut dump = vec![0xFF; 0x1_0000];
    dump.extend(Made::failsafe().build());
    let at = FlashAddr(0x1_0000);
    let found = read(&mut dump.as_slice(), at, Form::Striped, Depth::Full).unwrap();
    assert_eq!(
        found.flint,
        failed(
            "FS2 Failsafe image must start at address 0 or at chunk size. Found a failsafe image at \
             address 0x10000"
        )
    );
    assert!(found.flint_heading());
}

#[test]
fn a_dump_read_as_a_contiguous_file_fails_at_its_start() {
    // The first magic is that of the odd half; offset 0 of the "file" is blank flash.
    let mut dump = vec![0xFF; 0x8_0000];
    dump.extend(Made::failsafe().build());
    dump.resize(0x10_0000, 0xFF);
    let at = FlashAddr(0x8_0000);
    let found = read(&mut dump.as_slice(), at, Form::Contiguous, Depth::Full).unwrap();
    assert_eq!(
        found.sections[0].crc,
        CrcVerdict::UnexpectedSize { size: u32::MAX }
    );
    assert_eq!(found.flint, failed("(null)"));
    assert_eq!(found.header.raw[..16], MAGIC);
}
