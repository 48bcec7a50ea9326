use super::*;

/// One image of `units` * 512 bytes for 15b3:1003 with a right checksum.
fn image(units: u16, code_type: u8, last: bool) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(units) * 512];
    bytes[..3].copy_from_slice(&[0x55, 0xAA, units as u8]);
    if code_type == EFI {
        bytes[2..4].copy_from_slice(&units.to_le_bytes());
        bytes[4..8].copy_from_slice(&EFI_SIGNATURE);
    }
    bytes[0x18] = 0x1C;
    bytes[0x1C..0x24].copy_from_slice(b"PCIR\xB3\x15\x03\x10");
    bytes[0x28] = 3;
    bytes[0x2C..0x2E].copy_from_slice(&units.to_le_bytes());
    bytes[0x30] = code_type;
    bytes[0x31] = if last { 0x80 } else { 0 };
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[0x60] = sum.wrapping_neg();
    bytes
}

fn read(rom: &[u8]) -> (Vec<PciImage>, Option<PciFault>) {
    chain(rom, true)
}

fn fault(rom: &[u8]) -> Option<PciFault> {
    read(rom).1
}

#[test]
fn every_image_of_a_chain_is_read_with_its_length_type_and_checksum() {
    let rom = [image(4, 0, false), image(2, 3, false), image(1, 0xFF, true)].concat();
    let (images, fault) = read(&rom);
    assert_eq!(fault, None);
    let read: Vec<_> =
        images.iter().map(|i| (i.at, i.len, i.code_type, i.checksum_ok, i.last)).collect();
    assert_eq!(
        read,
        [
            (0, 2048, 0, Some(true), false),
            (2048, 1024, 3, None, false),
            (3072, 512, 0xFF, None, true)
        ]
    );
    assert!(images.iter().all(|i| i.is_for(0x15B3, 0x1003)));
    // What was not read has no checksum.
    assert!(chain(&rom, false).0.iter().all(|i| i.checksum_ok.is_none()));
}

#[test]
fn an_efi_image_has_the_length_of_its_16_bit_field_or_of_its_pci_data() {
    for units in [0x100, 0x200] {
        let mut rom = image(units, 3, true);
        assert_eq!(read(&rom).0[0].len, u32::from(units) * 512);
        rom[0x2C..0x2E].fill(0);
        assert_eq!(read(&rom).0[0].len, u32::from(units) * 512);
        rom[2..4].fill(0);
        assert_eq!(fault(&rom), Some(PciFault::NoLength { at: 0 }));
    }
}

#[test]
fn an_image_larger_than_byte_2_counts_has_its_checksum_over_its_length() {
    let mut rom = image(0x180, 0, true);
    rom[2] = 0xFF;
    rom[0x60] = rom[0x60].wrapping_sub(0xFF - 0x80);
    assert_eq!(fault(&rom), None);
    rom[0x100] ^= 1;
    assert!(matches!(fault(&rom), Some(PciFault::Checksum { at: 0, .. })));
}

#[test]
fn truncation_and_damage_of_any_image_are_faults() {
    let parts = [image(4, 0, false), image(2, 3, false), image(2, 0, true)];
    let rom = parts.concat();
    assert_eq!(fault(&rom), None);
    for cut in [4, 100, 2044, 2100, 3000, 3100, rom.len() - 1] {
        assert!(fault(&rom[..cut]).is_some(), "{cut}");
    }
    for (cut, at) in [(2048, 2048), (3072, 3072)] {
        assert_eq!(fault(&rom[..cut]), Some(PciFault::NoLast { at }));
    }
    for at in [0x200, 3072 + 0x100] {
        let mut flipped = rom.clone();
        flipped[at] ^= 0x10;
        assert!(matches!(fault(&flipped), Some(PciFault::Checksum { .. })), "{at:#x}");
    }
    // An EFI image has no checksum.
    let mut flipped = rom.clone();
    flipped[2048 + 0x100] ^= 1;
    assert_eq!(fault(&flipped), None);
    let mut no_data = rom.clone();
    no_data[2048 + 0x1C] = b'X';
    assert_eq!(fault(&no_data), Some(PciFault::NoPciData { at: 2048 }));
    let mut header_longer = rom;
    header_longer[2] = 0xFF;
    assert!(matches!(fault(&header_longer), Some(PciFault::Cut { at: 0, .. })));
    let many = vec![image(1, 3, false); MAX_IMAGES + 1].concat();
    assert_eq!(fault(&many), Some(PciFault::ManyImages));
}

#[test]
fn padding_behind_the_last_image_is_no_fault() {
    for fill in [0, 0xFF] {
        let mut rom = image(4, 0, true);
        rom.resize(rom.len() + 0x1000, fill);
        let (images, fault) = read(&rom);
        assert_eq!((images.len(), fault), (1, None));
        // A chain that goes on there does not.
        let mut open = image(4, 3, false);
        open.resize(open.len() + 0x1000, fill);
        assert_eq!(super::chain(&open, true).1, Some(PciFault::NoSignature { at: 2048 }));
    }
}

#[test]
fn the_device_list_of_revision_3_names_further_devices() {
    let mut rom = image(1, 3, true);
    rom[0x24] = 0x20;
    rom[0x3C..0x42].copy_from_slice(&[0x07, 0x10, 0x05, 0x10, 0, 0]);
    let list = |rom: &[u8]| read(rom).0[0].clone();
    assert_eq!(list(&rom).device_list, [0x1007, 0x1005]);
    assert!(list(&rom).is_for(0x15B3, 0x1007) && !list(&rom).is_for(0x8086, 0x1007));
    assert!(!list(&rom).is_for(0x15B3, 0x1006));
    assert!(!head(&rom, 0).ok().unwrap().list_open);
    assert!(head(&rom[..0x3E], 0).ok().unwrap().list_open);
    // Older revisions have the pointer to vital product data there.
    rom[0x28] = 0;
    assert!(list(&rom).device_list.is_empty());
    // A pointer out of the image is no list.
    rom[0x28] = 3;
    rom[0x24..0x26].fill(0xFF);
    assert!(list(&rom).device_list.is_empty());
}
