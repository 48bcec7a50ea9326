use super::*;
use crate::image::tests::fixture::{rom, rom_block as block};
use crate::image::{RomBlock, RomRecipe};
use proptest::prelude::*;

#[test]
fn block_of_the_real_image() {
    // docs/fs2.md#rom-content: bytes 03001000 f0020400 ff000710.
    let mut tail = b"mlxsign:".to_vec();
    tail.extend([0x03, 0, 0x10, 0, 0xF0, 2, 4, 0, 0xFF, 0, 7, 0x10]);
    let bytes = rom(&[tail]);
    let rom = Rom::parse(&bytes);
    assert_eq!(rom.device_id(), Some(0x1007));
    let block = &rom.blocks[0];
    assert_eq!(block.type_name, Some("PXE"));
    assert_eq!(block.version, (3, 4, 752));
    assert_eq!((block.port, block.protocol), (0, 0xFF));
    assert!(rom.whole && rom.warning.is_none() && rom.error.is_none());
}

#[test]
fn different_device_ids_are_a_warning_unless_the_checksum_is_wrong() {
    let blocks = [
        block(0x10, (1, 1, 1), 0x1003_00FF),
        block(0x10, (1, 1, 1), 0x0000_00FF),
        block(0x10, (1, 1, 1), 0x1007_00FF),
    ];
    let bytes = rom(&blocks);
    let found = Rom::parse(&bytes);
    assert_eq!(found.warning, Some(RomFault::DeviceIds));
    assert_eq!(found.device_id(), None);
    // The last warning set wins.
    let mut bad = bytes;
    bad[40] ^= 1;
    assert_eq!(Rom::parse(&bad).warning, Some(RomFault::Checksum(1)));
}

#[test]
fn a_device_id_of_all_ones_suppresses_the_warning() {
    let blocks = [block(0x10, (1, 1, 1), 0xFFFF_00FF), block(0x10, (1, 1, 1), 0x1007_00FF)];
    let found = Rom::parse(&rom(&blocks));
    assert_eq!((found.warning, found.device_id()), (None, None));
    let found = Rom::parse(&rom(&[blocks[1].clone(), blocks[0].clone()]));
    assert_eq!(found.warning, Some(RomFault::DeviceIds));
}

#[test]
fn a_rom_without_a_version_block_is_an_error() {
    assert_eq!(Rom::parse(&rom(&[])).error, Some(RomFault::NoBlock));
    let tiny = Rom::parse(&[0x55, 0xAA]);
    assert_eq!(tiny.error, Some(RomFault::TooSmall(2)));
}

#[test]
fn uefi_roms_have_no_checksum() {
    let mut bytes = rom(&[block(0x11, (1, 1, 1), 0)]);
    bytes[40] ^= 1;
    assert_eq!(Rom::parse(&bytes).warning, None);
}

#[test]
fn a_sixth_version_block_is_a_warning_and_not_read() {
    let blocks = vec![block(0x10, (1, 1, 1), 0x1003_00FF); 6];
    let found = Rom::parse(&rom(&blocks));
    assert_eq!(found.blocks.len(), 5);
    assert_eq!(found.warning, Some(RomFault::ManyBlocks));
}

fn text_block(text: &[u8], sign_len: u8) -> Vec<u8> {
    let mut bytes = block(0xF, (7, 0, 0), 0);
    bytes.extend([sign_len, text.len() as u8, 0, 0]);
    bytes.extend(text);
    bytes
}

#[test]
fn the_version_of_a_text_block_is_its_leading_number() {
    let mut bytes = rom(&[text_block(b" 342 FlexBoot", 8)]);
    bytes[0x18] = 0x1C;
    bytes[0x20..0x24].copy_from_slice(&[0xB3, 0x15, 0x03, 0x10]);
    let found = Rom::parse(&bytes);
    assert_eq!(found.blocks[0].version_text.as_deref(), Some("342"));
    assert_eq!(found.device_id(), Some(0x1003));

    bytes[0x20] = 0xB4;
    bytes[3] = bytes[3].wrapping_sub(0xB4 + 0x15 + 0x03 + 0x10 + 0x1C);
    assert_eq!(Rom::parse(&bytes).warning, Some(RomFault::Vendor(0x15B4)));
}

#[test]
fn a_version_text_that_does_not_fit_ends_the_reading() {
    let found = Rom::parse(&rom(&[text_block(b"342", 4)]));
    assert!(found.blocks.is_empty());
    let (signature, text) = (4, 3);
    let fault = RomFault::VersionText { signature, text };
    assert_eq!(found.error, Some(fault));
    let mut bytes = rom(&[text_block(b"342", 5)]);
    bytes[0x18..0x1A].copy_from_slice(&[0xFF, 0xFF]);
    let (at, len) = (0x1_0003, 0x200);
    let fault = RomFault::DeviceIdOffset { at, len };
    assert_eq!(Rom::parse(&bytes).error, Some(fault));
}

#[test]
fn files_that_are_no_rom_are_refused_for_writing() {
    assert!(Rom::for_writing(&RomRecipe::default().build().unwrap()).is_ok());
    let no_data = rom(&[block(0x10, (1, 1, 1), 0)]);
    let fault = PciFault::NoPciData { at: 0 };
    assert_eq!(Rom::for_writing(&no_data), Err(RomError::Chain(fault)));
    assert_eq!(Rom::for_writing(&MAGIC), Err(RomError::IsFirmware));
    assert_eq!(Rom::for_writing(&[0x55, 0xAA]), Err(RomError::Size(2)));
    assert_eq!(Rom::for_writing(&[0; 512]), Err(RomError::NoSignature));
    let huge = vec![0x55; Rom::MAX + 1];
    assert_eq!(Rom::for_writing(&huge), Err(RomError::Size(Rom::MAX + 1)));
}

#[test]
fn a_rom_belongs_to_the_device_of_its_blocks_or_else_of_its_pci_images() {
    let pxe = |device| RomRecipe::pxe((3, 4, 752), device, 0x1000);
    let other = |recipe: RomRecipe| Rom::parse(&recipe.build().unwrap()).other_device(0x1003);
    assert_eq!(other(pxe(0x1003)), None);
    assert_eq!(other(pxe(0x1007)).as_deref(), Some("device 4103 (0x1007)"));
    // A block that names the device decides.
    assert_eq!(other(RomRecipe { device_id: 0x1007, ..pxe(0x1003) }), None);
    // Without one the PCI images do, all of them.
    for blocks in [vec![], vec![RomBlock::new(0x10, (1, 1, 1), 0)]] {
        let bare = |vendor_id, device_id| {
            other(RomRecipe { blocks: blocks.clone(), vendor_id, images: 2, ..pxe(device_id) })
        };
        assert_eq!(bare(0x15B3, 0x1003), None);
        assert_eq!(bare(0x15B3, 0x1007).as_deref(), Some("15b3:1007"));
        assert_eq!(bare(0x8086, 0x1003).as_deref(), Some("8086:1003"));
    }
    // A text block takes its device from the PCI image, whose vendor counts too.
    let text = RomBlock { text: Some("8025".into()), ..RomBlock::new(0xF, (1, 0, 0), 0) };
    let clp = |vendor_id| RomRecipe { blocks: vec![text.clone()], vendor_id, ..pxe(0x1003) };
    assert_eq!(other(clp(0x15B3)), None);
    assert_eq!(other(clp(0x8086)).as_deref(), Some("8086:1003"));
    assert!(Rom::parse(&rom(&[])).names_no_device());
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
    }
}
