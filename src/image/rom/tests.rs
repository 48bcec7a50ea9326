use super::*;
use proptest::prelude::*;

fn block(product_id: u32, version: (u32, u32, u32), w2: u32) -> Vec<u8> {
    let mut bytes = b"mlxsign:".to_vec();
    let (a, b, c) = version;
    for word in [product_id << 16 | a, b << 16 | c, w2] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// 512 bytes with a right checksum and these blocks at the end.
fn rom(blocks: &[Vec<u8>]) -> Vec<u8> {
    let tail = blocks.concat();
    let mut bytes = vec![0; 512 - tail.len()];
    bytes[..3].copy_from_slice(&[0x55, 0xAA, 1]);
    bytes.extend(tail);
    let sum = bytes.iter().fold(0u8, |s, &b| s.wrapping_add(b));
    bytes[3] = sum.wrapping_neg();
    bytes
}

fn text(bytes: &[u8]) -> String {
    Rom::parse(bytes).flint_text("Rom Info: ")
}

#[test]
fn block_of_the_real_image() {
    // docs/fs2.md#rom-content: bytes 03001000 f0020400 ff000710.
    let mut tail = b"mlxsign:".to_vec();
    tail.extend([0x03, 0, 0x10, 0, 0xF0, 2, 4, 0, 0xFF, 0, 7, 0x10]);
    let bytes = rom(&[tail]);
    assert_eq!(text(&bytes), "Rom Info: type=PXE version=3.4.752\n");
    let rom = Rom::parse(&bytes);
    assert_eq!(rom.device_id(), Some(0x1007));
    assert_eq!((rom.blocks[0].port, rom.blocks[0].protocol), (0, 0xFF));
    assert!(rom.whole && rom.warning.is_none() && rom.error.is_none());
}

#[test]
fn every_form_of_the_line() {
    let cases = [
        (0x10, 0x1003_1000, "type=PXE version=1.2.3 port=1 proto=IB"),
        (
            0x11,
            0x1003_0302,
            "type=UEFI version=1.2.3 proto=VPI cpu=AMD64,AARCH64",
        ),
        (0x12, 0x1003_F101, "type=CLP version=1.2.3 cpu=AMD64"),
        (
            0x13,
            0x1003_0501,
            "type=NVMe version=1.2.3 proto=ETH cpu=N/A",
        ),
        (
            0x14,
            0x1003_0407,
            "type=UEFI Virtio net version=1.2.3 proto=N/A cpu=IA32",
        ),
        (0x02, 0x1003_F101, "type=CLP2 version=1.2.3"),
        (0x77, 0x1003_F101, "0x77 - Unknown ROM product ID\n"),
    ];
    for (id, w2, want) in cases {
        let got = text(&rom(&[block(id, (1, 2, 3), w2)]));
        assert_eq!(got, format!("Rom Info: {want}\n"));
    }
}

#[test]
fn several_blocks_stand_under_each_other() {
    let blocks = [
        block(0x10, (3, 4, 752), 0x1003_00FF),
        block(0x11, (14, 10, 17), 0x1003_01FF),
    ];
    assert_eq!(
        text(&rom(&blocks)),
        "Rom Info: type=PXE version=3.4.752\n          type=UEFI version=14.10.17 cpu=AMD64\n"
    );
}

#[test]
fn mismatching_devices_are_warned_of_once_checksum_is_right() {
    let blocks = [
        block(0x10, (1, 1, 1), 0x1003_00FF),
        block(0x10, (1, 1, 1), 0x0000_00FF),
        block(0x10, (1, 1, 1), 0x1007_00FF),
    ];
    let bytes = rom(&blocks);
    let found = Rom::parse(&bytes);
    assert_eq!(
        found.warning.as_deref(),
        Some("The device IDs of the ROMs mismatched.")
    );
    assert_eq!(found.device_id(), None);
    // The last warning set wins.
    let mut bad = bytes;
    bad[40] ^= 1;
    let warning = Rom::parse(&bad).warning.unwrap();
    assert_eq!(
        warning,
        "Bad ROM Checksum (0x01), ROM info may not be displayed correctly."
    );
}

#[test]
fn a_device_id_of_all_ones_silences_the_warning() {
    let blocks = [
        block(0x10, (1, 1, 1), 0xFFFF_00FF),
        block(0x10, (1, 1, 1), 0x1007_00FF),
    ];
    let found = Rom::parse(&rom(&blocks));
    assert_eq!((found.warning.as_deref(), found.device_id()), (None, None));
    let found = Rom::parse(&rom(&[blocks[1].clone(), blocks[0].clone()]));
    assert!(found.warning.unwrap().contains("mismatched"));
}

#[test]
fn uefi_roms_have_no_checksum() {
    let mut bytes = rom(&[block(0x11, (1, 1, 1), 0)]);
    bytes[40] ^= 1;
    assert_eq!(Rom::parse(&bytes).warning, None);
}

#[test]
fn a_sixth_block_is_warned_of_and_not_read() {
    let blocks = vec![block(0x10, (1, 1, 1), 0x1003_00FF); 6];
    let found = Rom::parse(&rom(&blocks));
    assert_eq!(found.blocks.len(), 5);
    let warning = found.warning.unwrap();
    assert_eq!(
        warning,
        "Number of exp ROMs exceeds the maximum allowed number (5)"
    );
}

#[test]
fn a_rom_without_a_block_says_so() {
    assert_eq!(
        text(&rom(&[])),
        "Rom Info: N/A (-E- Cannot get ROM version. Signature not found.)\n"
    );
    assert_eq!(
        text(&[0x55, 0xAA]),
        "Rom Info: N/A (-E- ROM size (0x2) is too small)\n"
    );
}

fn text_block(text: &[u8], sign_len: u8) -> Vec<u8> {
    let mut bytes = block(0xF, (7, 0, 0), 0);
    bytes.extend([sign_len, text.len() as u8, 0, 0]);
    bytes.extend(text);
    bytes
}

#[test]
fn text_versions_show_their_leading_number() {
    let mut bytes = rom(&[text_block(b" 342 FlexBoot", 8)]);
    bytes[0x18] = 0x1C;
    bytes[0x20..0x24].copy_from_slice(&[0xB3, 0x15, 0x03, 0x10]);
    let found = Rom::parse(&bytes);
    assert_eq!(found.blocks[0].flint_text(), "version_id=342 type=CLP ");
    assert_eq!(found.device_id(), Some(0x1003));

    bytes[0x20] = 0xB4;
    bytes[3] = bytes[3].wrapping_sub(0xB4 + 0x15 + 0x03 + 0x10 + 0x1C);
    let warning = Rom::parse(&bytes).warning.unwrap();
    assert_eq!(
        warning,
        "The Exp-ROM PCI vendor ID: 0x15b4 does not match the expected value: 0x15b3."
    );
}

#[test]
fn text_versions_that_do_not_fit_end_the_search() {
    let found = Rom::parse(&rom(&[text_block(b"342", 4)]));
    assert!(found.blocks.is_empty());
    assert_eq!(
        found.error.unwrap(),
        "The Signature length (4) and the ROM version string length (3) are not coordinated"
    );
    let mut bytes = rom(&[text_block(b"342", 5)]);
    bytes[0x18..0x1A].copy_from_slice(&[0xFF, 0xFF]);
    assert_eq!(
        Rom::parse(&bytes).error.unwrap(),
        "The device ID offset 0x10003 is out of range. ROM size: 0x200"
    );
}

#[test]
fn foreign_files_are_refused_for_writing() {
    let good = rom(&[block(0x10, (1, 1, 1), 0)]);
    assert!(Rom::for_writing(&good).is_ok());
    assert_eq!(Rom::for_writing(&MAGIC), Err(RomError::IsFirmware));
    assert_eq!(Rom::for_writing(&[0x55, 0xAA]), Err(RomError::Size(2)));
    assert_eq!(Rom::for_writing(&[0; 512]), Err(RomError::NoSignature));
    let huge = vec![0x55; Rom::MAX + 1];
    assert_eq!(Rom::for_writing(&huge), Err(RomError::Size(Rom::MAX + 1)));
}

#[test]
fn chain_of_images_is_followed_by_its_own_words() {
    let mut head = vec![0; 128];
    head[..2].copy_from_slice(&[0x55, 0xAA]);
    head[0x18] = 0x40;
    head[0x40..0x44].copy_from_slice(b"PCIR");
    head[0x50] = 3;
    assert_eq!(
        link(&head),
        Some(Link {
            len: 1536,
            last: false
        })
    );
    head[0x55] = 0x80;
    assert_eq!(
        link(&head),
        Some(Link {
            len: 1536,
            last: true
        })
    );
    head[0x50] = 0;
    assert_eq!(link(&head), None);
    head[0x19] = 0xFF;
    assert_eq!(link(&head), None);
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        marks in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..0x22), 0..8),
    ) {
        for (at, id) in marks {
            if bytes.len() >= 12 {
                let at = at.index(bytes.len() - 11);
                bytes[at..at + 8].copy_from_slice(b"mlxsign:");
                bytes[at + 10] = id;
                bytes[at + 11] = 0;
            }
        }
        let rom = Rom::parse(&bytes);
        prop_assert!(rom.blocks.len() <= 5);
        prop_assert!(rom.flint_text("").ends_with('\n'));
        let _ = link(&bytes);
    }
}
