//! The table of docs/flint.md#verdicts-of-verify, and the findings beside each row.

use super::*;
use crate::image::tests::fixture::*;
use crate::image::{
    Depth, FlashAddr, Form, Half, MAGIC, Recipe, build, crc16, read, scan, striped,
};

fn failed(text: &str) -> FlintVerdict {
    FlintVerdict::Failed { text: text.into() }
}

fn no_status(text: &str) -> FlintVerdict {
    FlintVerdict::NoGuidStatus { text: text.into() }
}

#[test]
fn intact_images_are_bootable_and_valid() {
    for made in [MadeImage::default(), MadeImage::failsafe()] {
        let bytes = made.build();
        let image = full(&bytes);
        assert_eq!(image.findings, []);
        assert_eq!(FlintVerdict::of(&image), FlintVerdict::Bootable);
        assert_eq!(full_crc(&image), Some(CrcVerdict::Ok));
        assert_eq!(image.len as usize, bytes.len());
        let kinds: Vec<_> = image.sections.iter().map(|s| s.kind).collect();
        use SectionKind::{Boot2, Configuration, Ddr, Guid, ImageInfo};
        assert_eq!(kinds, [Boot2, Boot2, Configuration, Guid, ImageInfo, Ddr]);
    }
}

#[test]
fn every_section_type_is_walked() {
    let mut made = MadeImage::default();
    for kind in (3..=13).filter(|k| ![5, 6, 9, 10].contains(k)) {
        made = made.with(kind, vec![7; 8]);
    }
    let image = full(&made.build());
    assert_eq!(image.findings, []);
    let names: Vec<_> = image.sections.iter().skip(6).map(|s| s.kind.name()).collect();
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
    let (places, mut bytes) = MadeImage::default().with(4, vec![7; 8]).build_with_places();
    let at = places[4];
    put(&mut bytes, at + 4, 5);
    let crc = crc16(&bytes[at..at + 24]);
    put(&mut bytes, at + 24, u32::from(crc));
    seal(&mut bytes);
    let image = full(&bytes);
    assert_eq!(image.findings, []);
    assert_eq!(image.sections[6].body_len, 8);
}

#[test]
fn damage_of_the_header_is_an_error_that_flint_only_prints() {
    for at in [0x10, 0x1F, 0x20, 0x23, 0x27] {
        let mut bytes = MadeImage::default().build();
        bytes[at] ^= 0x40;
        let image = full(&bytes);
        assert_eq!(FlintVerdict::of(&image), FlintVerdict::Bootable, "{at:#x}");
        assert!(matches!(full_crc(&image), Some(CrcVerdict::Wrong { .. })));
        let found = finding(&image, FindingId::FullImageCrc).unwrap();
        assert_eq!(found.severity, Severity::Error);
        assert!(!fails_for(&image, found) && !image.is_valid());
    }
}

#[test]
fn full_crc_without_a_mic_version_is_a_warning() {
    let plain = MadeImage::default()
        .replace(10, [info()[..info().len() - 16].to_vec(), tag(0xFF, &[])].concat());
    let mut bytes = plain.build();
    assert_eq!(full(&bytes).findings, []);
    assert_eq!(full_crc(&full(&bytes)), None);
    bytes[0x10] ^= 1;
    let image = full(&bytes);
    let found = finding(&image, FindingId::FullImageCrc).unwrap();
    assert_eq!(found.severity, Severity::Warning);
    assert!(image.is_valid());
}

#[test]
fn a_damaged_signature_and_other_formats_are_no_image() {
    let good = MadeImage::failsafe().build();
    let mut bytes = good.clone();
    bytes[3] ^= 1;
    let error = try_full(&bytes).unwrap_err();
    assert_eq!(error_text(&error), Some("No valid image found"));
    let mut bytes = good.clone();
    bytes[0x28] ^= 1;
    let error = try_full(&bytes).unwrap_err();
    assert!(matches!(error, ImageError::FailsafeWord(0xF400_000B)));
    assert_eq!(error_text(&error), Some("Corrupted chunk size checksum"));
    let mut bytes = good.clone();
    bytes[0x24] = 3;
    assert!(matches!(try_full(&bytes), Err(ImageError::OtherFormat(3))));
    assert!(matches!(try_full(&good[..0x34]), Err(ImageError::TooShort(0x34))));
}

#[test]
fn damage_in_any_block_stops_the_walk_there() {
    let (places, good) = MadeImage::default().build_with_places();
    // BOOT2 code, second BOOT2, bodies, CRC dword (upper half counts too), `next`.
    let last = good.len();
    for (at, blocks) in
        [(0x48, 1), (0x60, 2), (places[0] + 16, 3), (last - 4, 6), (places[1] + 12, 4)]
    {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        let image = full(&bytes);
        assert_eq!(FlintVerdict::of(&image), failed("Bad CRC."), "{at:#x}");
        assert_eq!(image.sections.len(), blocks, "{at:#x}");
        let wrong = &image.sections[blocks - 1].crc;
        assert!(matches!(wrong, CrcVerdict::Wrong { .. }), "{at:#x}");
        assert!(fails_for(&image, finding(&image, FindingId::SectionCrc).unwrap()));
    }
}

#[test]
fn impossible_sizes_have_no_error_text() {
    let (places, good) = MadeImage::default().build_with_places();
    let mut bytes = good.clone();
    put(&mut bytes, places[2] + 4, 0x10_0001);
    let image = full(&bytes);
    assert_eq!(FlintVerdict::of(&image), failed("(null)"));
    let last = image.sections.last().unwrap();
    assert_eq!(last.crc, CrcVerdict::TooBig { size: 0x40_0004 });
    for code in [3, 0x10_0001] {
        let mut bytes = good.clone();
        put(&mut bytes, 0x3C, code);
        let image = full(&bytes);
        assert_eq!(FlintVerdict::of(&image), failed("(null)"));
        assert_eq!(image.sections[0].crc, CrcVerdict::UnexpectedSize { size: code });
    }
}

#[test]
fn images_cut_short_name_what_cannot_be_read() {
    let (places, good) = MadeImage::default().build_with_places();
    let cut = places[3] + 100;
    let image = full(&good[..cut]);
    // The CRC dword behind the body is what flint fails at.
    let crc_at = places[3] + 16 + 256;
    assert_eq!(
        FlintVerdict::of(&image),
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
        FlintVerdict::of(&image),
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
    let mut made = MadeImage::default();
    made.sections[0].next = Some(0x12E);
    assert_eq!(
        FlintVerdict::of(&full(&made.build())),
        failed(
            "     /0x0000012e-0x00000141 (0x000014)/ (UNKNOWN (0)) - read error (Address should be \
             4-bytes aligned.)\n"
        )
    );
}

#[test]
fn pointers_fail_the_second_pass() {
    let (places, good) = MadeImage::default().build_with_places();
    let size = good.len() as u32;
    let mut bytes = good.clone();
    put(&mut bytes, 0x2C, 0x0000_0100);
    assert_eq!(
        FlintVerdict::of(&full(&bytes)),
        no_status(
            "Failed to read Info Section - Bad checksum for Info section pointer (00000100). \
             Probably the image is corrupted."
        )
    );
    put(&mut bytes, 0x2C, with_sum(0x10_0000));
    assert_eq!(
        FlintVerdict::of(&full(&bytes)),
        no_status(
            "Failed to read Info Section - Info section pointer (00100000) too large. Probably the \
             image is corrupted."
        )
    );
    let mut bytes = good.clone();
    put(&mut bytes, 0x34, size);
    assert_eq!(
        FlintVerdict::of(&full(&bytes)),
        no_status(&format!(
            "Failed to read GUIDs - Illegal GUID pointer ({size:08x}). Probably image is corrupted"
        ))
    );
    put(&mut bytes, 0x34, 0x1D);
    assert_eq!(
        FlintVerdict::of(&full(&bytes)),
        no_status("Number of GUIDs - read error (Address should be 4-bytes aligned.)\n")
    );
    // Below 12 the address of the count wraps around.
    put(&mut bytes, 0x34, 8);
    assert_eq!(
        FlintVerdict::of(&full(&bytes)),
        no_status(
            "Number of GUIDs - read error (Failed to read from FW file, offset: 0xfffffffc - Success)\n"
        )
    );
    put(&mut bytes, 0x34, places[3] as u32 + 28);
    let image = full(&bytes);
    assert_eq!(
        FlintVerdict::of(&image),
        no_status("Failed to read GUIDs - Illegal Number of GUIDs (1389548242)")
    );
    let found = finding(&image, FindingId::Pointer).unwrap();
    assert!(fails_for(&image, found) && found.severity == Severity::Error);
}

#[test]
fn inconsistent_tags_stop_the_walk() {
    let made = MadeImage::default().replace(10, tag(0xFF, &[0; 4]));
    let image = full(&made.build());
    // Tag 255 with 4 bytes of data ends where the body ends, which is right for flint.
    assert_eq!(FlintVerdict::of(&image), FlintVerdict::Bootable);
    let made = MadeImage::default().replace(10, bytes(&[0x0300_0010, 4099]));
    let image = full(&made.build());
    assert_eq!(
        FlintVerdict::of(&image),
        failed(
            "Failed to read the info sector: Info section corrupted: Tag 0 (TagId 3, size 16) exceeds \
             Info section size (8 bytes) \n"
        )
    );
    assert!(fails_for(&image, finding(&image, FindingId::Info).unwrap()));
    assert_eq!(image.sections.last().unwrap().crc, CrcVerdict::Ok);
}

#[test]
fn blank_guids_and_a_wrong_crc_are_different_verdicts() {
    let (places, mut bytes) = MadeImage::default().replace(6, vec![0xFF; 48]).build_with_places();
    let crc_at = places[1] + 64;
    put(&mut bytes, crc_at, 0xFFFF);
    put(&mut bytes, 0x20, 0xFFFF);
    let image = full(&bytes);
    assert_eq!(FlintVerdict::of(&image), FlintVerdict::BlankGuids);
    assert_eq!(full_crc(&image), Some(CrcVerdict::Blank));
    assert_eq!(image.sections[3].crc, CrcVerdict::Blank);
    assert!(image.is_valid(), "a blank image waits for an identity: {:?}", image.findings);
    assert!(image.guids.as_ref().unwrap().blank);
    // A first entry that is set makes 0xFFFF a CRC like others.
    bytes[places[1] + 16] = 0;
    let image = full(&bytes);
    assert_eq!(FlintVerdict::of(&image), failed("Bad CRC."));
    assert!(fails_for(&image, finding(&image, FindingId::IdentityCrc).unwrap()));
}

#[test]
fn images_in_the_wrong_place_are_not_walked() {
    let image = MadeImage::default().build();
    let mut dump = vec![0xFF; 0x8_0000];
    dump.extend(&image);
    let at = FlashAddr(0x8_0000);
    let found = read(&mut dump.as_slice(), at, Form::Striped, Depth::Full).unwrap();
    assert_eq!(
        FlintVerdict::of(&found),
        failed(
            "FS2 Non Failsafe image must start at address 0. Found non-fs image at address 0x80000"
        )
    );
    assert!(found.sections.is_empty() && !found.is_valid() && !prints_heading(&found));

    let mut dump = vec![0xFF; 0x1_0000];
    dump.extend(MadeImage::failsafe().build());
    let at = FlashAddr(0x1_0000);
    let found = read(&mut dump.as_slice(), at, Form::Striped, Depth::Full).unwrap();
    assert_eq!(
        FlintVerdict::of(&found),
        failed(
            "FS2 Failsafe image must start at address 0 or at chunk size. Found a failsafe image at \
             address 0x10000"
        )
    );
    assert!(prints_heading(&found));
    // mstflint 4.21 names the place of the signature, not that of the half.
    let heading = crate::flint::text::heading(&found);
    assert!(heading.contains("Start address: 0x10000. Chunk size 0x80000"));
}

#[test]
fn a_dump_read_as_a_contiguous_file_fails_at_its_start() {
    // The first magic is that of the odd half; offset 0 of the "file" is blank flash.
    let mut dump = vec![0xFF; 0x8_0000];
    dump.extend(MadeImage::failsafe().build());
    dump.resize(0x10_0000, 0xFF);
    let at = FlashAddr(0x8_0000);
    let found = read(&mut dump.as_slice(), at, Form::Contiguous, Depth::Full).unwrap();
    assert_eq!(found.sections[0].crc, CrcVerdict::UnexpectedSize { size: u32::MAX });
    assert_eq!(FlintVerdict::of(&found), failed("(null)"));
    assert_eq!(found.header.raw[..16], MAGIC);
}

#[test]
fn an_info_pointer_into_blank_flash_fails_at_its_first_piece() {
    let recipe = Recipe { chunk_log2: Some(16), size: 100 << 10, ..Recipe::default() };
    let mut image = build(&recipe).unwrap();
    // 0x30328 with the check byte that makes the byte sum 0.
    image[0x2C..0x30].copy_from_slice(&[0xD2, 0x03, 0x03, 0x28]);
    let dump = striped(&image, Half::Even, 0x8_0000).unwrap();
    let found = read(&mut dump.as_slice(), FlashAddr(0), Form::Striped, Depth::Full);
    // The section size read there is all ones, so the range wraps; mstflint 4.21 prints this.
    let text =
        "Info Section - read error (Failed to read from FW file, offset: 0x60328 - Success)\n";
    let verdict = FlintVerdict::NoGuidStatus { text: text.into() };
    assert_eq!(FlintVerdict::of(&found.unwrap()), verdict);
}

#[test]
fn three_signatures_are_an_error_that_names_them() {
    let flash_with = |at: &[usize]| {
        let mut flash = vec![0xFF; 2 << 20];
        for &start in at {
            flash[start..start + 16].copy_from_slice(&MAGIC);
        }
        scan_error(&scan(&mut flash.as_slice()).unwrap())
    };
    assert_eq!(flash_with(&[]).unwrap(), "No valid image found");
    assert_eq!(flash_with(&[0x8_0000]), None);
    assert_eq!(
        flash_with(&[0, 0x2_0000, 0x10_0000]).unwrap(),
        "More than 2 image start locations found at addresses 0x0, 0x20000 and 0x100000. \
         Image may be corrupted."
    );
}

#[test]
fn findings_that_flint_does_not_have_are_marked() {
    let ours = |image: &Image| {
        assert_eq!(FlintVerdict::of(image), FlintVerdict::Bootable);
        assert!(!image.findings.is_empty());
        for found in &image.findings {
            assert!(!fails_for(image, found), "{found:?}");
        }
    };
    let (places, good) = MadeImage::default().build_with_places();
    // The size of the header, a pointer onto another section, no Image Info pointer.
    for (at, value) in [(0x30, good.len() as u32 + 4), (0x34, places[0] as u32 + 16), (0x2C, 0)] {
        let mut bytes = good.clone();
        put(&mut bytes, at, value);
        seal(&mut bytes);
        ours(&full(&bytes));
    }
    let few_tags = [tag(3, &bytes(&[4099])), tag(0xFF, &[])].concat();
    ours(&full(&MadeImage::default().replace(10, few_tags).build()));
    let mut trailing = good;
    trailing.extend([0xFF; 16]);
    ours(&full(&trailing));
}

#[test]
fn a_looping_chain_has_no_verdict() {
    let mut made = MadeImage::default();
    let (places, _) = made.build_with_places();
    made.sections[3].next = Some(places[0] as u32);
    let image = full(&made.build());
    assert!(matches!(FlintVerdict::of(&image), FlintVerdict::Undecided { .. }));
    assert!(!fails_for(&image, finding(&image, FindingId::Chain).unwrap()));
}
