//! Expansion ROMs of owners: those of others are refused by what they name, and every form that
//! belongs to these cards is written, shown and kept.

use crate::support::cli::{CliRun, Sandbox};
use cx3flash::image::{Recipe, RomBlock, RomRecipe, build, crc16};

/// A PCI image of `len` bytes for 15b3:`device`, with a right checksum if it is for a BIOS.
fn pci_image(len: usize, device: u16, code_type: u8, last: bool) -> Vec<u8> {
    let units = (len / 512) as u16;
    let mut bytes = vec![0; len];
    bytes[..2].copy_from_slice(&[0x55, 0xAA]);
    if code_type == 3 {
        bytes[2..4].copy_from_slice(&units.to_le_bytes());
        bytes[4..8].copy_from_slice(&[0xF1, 0x0E, 0, 0]);
    } else {
        bytes[2] = units as u8;
    }
    bytes[0x18] = 0x1C;
    bytes[0x1C..0x20].copy_from_slice(b"PCIR");
    bytes[0x20..0x22].copy_from_slice(&[0xB3, 0x15]);
    bytes[0x22..0x24].copy_from_slice(&device.to_le_bytes());
    bytes[0x28] = 3;
    bytes[0x2C..0x2E].copy_from_slice(&units.to_le_bytes());
    bytes[0x30] = code_type;
    bytes[0x31] = if last { 0x80 } else { 0 };
    sealed(bytes)
}

/// With the byte at 0x40 chosen so that all sum to 0.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[0x40] = 0;
    bytes[0x40] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

/// The image with these bytes at `at`, and its checksum right again.
fn with(mut image: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    image[at..at + bytes.len()].copy_from_slice(bytes);
    if image[0x30] == 0 { sealed(image) } else { image }
}

/// A version block.
fn block(product: u16, version: (u8, u8, u16), device: u16) -> Vec<u8> {
    let mut bytes = b"mlxsign:".to_vec();
    let (a, b, c) = version;
    for word in [
        u32::from(product) << 16 | u32::from(a),
        u32::from(b) << 16 | u32::from(c),
        u32::from(device) << 16 | 0xFF,
    ] {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// CLP, UEFI and PXE with the block in the middle of each, as one vendor's combination has them.
fn combination() -> Vec<u8> {
    let mut clp = b"mlxsign:".to_vec();
    clp.extend([0, 0, 0xF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 0]);
    clp.extend(b"8025");
    [
        with(pci_image(0x4000, 0x1003, 0, false), 0x800, &clp),
        with(pci_image(0x2_0000, 0x1003, 3, false), 0x9000, &block(0x11, (14, 11, 49), 0x1003)),
        with(pci_image(0x1_0000, 0x1003, 0, true), 0x5000, &block(0x10, (3, 4, 754), 0x1003)),
    ]
    .concat()
}

fn refused(bench: &Sandbox, name: &str, rom: &[u8]) -> CliRun {
    bench.write(name, rom);
    // A ROM for another device is whole.
    let info = bench.run(&["rom", "info", name]);
    assert!(matches!(info.code, 0 | 1), "{info}");
    bench.refuses(&["rom", "write", name, "--yes"], 4)
}

#[test]
fn a_rom_whose_pci_ids_are_not_the_cards_is_refused() {
    let bench = Sandbox::owner();
    let own = pci_image(0x1_0000, 0x1003, 0, true);
    refused(&bench, "pro.rom", &pci_image(0x1_0000, 0x1007, 0, true))
        .reports("the ROM for 15b3:1007");
    refused(&bench, "cx5.rom", &pci_image(0x1_0000, 0x1017, 3, true)).reports("15b3:1017");
    refused(&bench, "intel.rom", &with(own.clone(), 0x20, &[0x86, 0x80])).reports("8086:1003");
    // A flipped byte of the vendor id changes the checksum as well.
    let mut vendor = own.clone();
    vendor[0x20] = 0x86;
    vendor[0x21] = 0x80;
    refused(&bench, "vendor.rom", &vendor)
        .reports("checksum")
        .reports("its PCI vendor id is 8086, not 15b3");
    // Whatever a version block names.
    let at = own.len() - 20;
    let named = with(own.clone(), at, &block(0x10, (3, 4, 754), 0x1003));
    refused(&bench, "named.rom", &with(named, 0x20, &[0x86, 0x80])).reports("8086:1003");
    // The second image of a chain counts as well.
    let chain = [pci_image(0x4000, 0x1003, 0, false), pci_image(0x4000, 0x1007, 3, true)];
    refused(&bench, "chain.rom", &chain.concat()).reports("15b3:1007");
    // A device list of revision 3 names more than one.
    let listed = pci_image(0x1_0000, 0x1007, 0, true);
    let listed = with(with(listed, 0x24, &[0x20]), 0x3C, &[3, 0x10, 0, 0]);
    bench.write("listed.rom", &listed);
    bench.card(&["rom", "write", "listed.rom", "--yes"]).exits(0);
    bench.run(&["rom", "info", "listed.rom"]).exits(0).prints("PCI 15b3:1007, device list 1003");
}

#[test]
fn a_damaged_or_truncated_rom_is_refused() {
    let bench = Sandbox::owner();
    let own = pci_image(0x1_0000, 0x1003, 0, true);
    refused(&bench, "bare.rom", &with(own.clone(), 0x1C, b"XXXX")).reports("no PCI data structure");
    let mut flipped = own.clone();
    flipped[0x3000] ^= 4;
    refused(&bench, "flipped.rom", &flipped).reports("checksum");
    refused(&bench, "cut.rom", &own[..0x8000]).reports("cut off");
    let chain = combination();
    for cut in [0x3000, 0x4000, 0x1_0000, 0x2_4000, 0x3_0000] {
        refused(&bench, &format!("{cut}.rom"), &chain[..cut]).reports("cut off");
    }
    let mut third = chain.clone();
    third[0x2_4000 + 0x3000] ^= 1;
    refused(&bench, "third.rom", &third).reports("0x24000");
    bench.run(&["rom", "info", "third.rom"]).exits(1).prints("checksum wrong");
}

#[test]
fn roms_of_owners_are_written_and_shown() {
    let bench = Sandbox::new();
    let args = ["sim", "create", "card.cx3", "--board", "mcx354a"];
    bench.run(&args).exits(0);
    let ipxe = pci_image(0x1_0000, 0x1003, 0, true);
    let padded = [pci_image(0x8000, 0x1003, 0, true), vec![0xFF; 0x8000]].concat();
    // iPXE's .mrom: a small image for the BIOS, the rest as data of code type 0xFF without a size in
    // its header.
    let data = with(pci_image(0x1_0000, 0x1003, 0xFF, true), 2, &[0]);
    let mrom = [pci_image(0x1000, 0x1003, 0, false), data].concat();
    let efi = |units: usize| {
        let image = pci_image(units * 512, 0x1003, 3, true);
        let at = image.len() - 20;
        with(image, at, &block(0x11, (14, 11, 49), 0x1003))
    };
    let roms = [
        (ipxe, "PC BIOS (code type 0), 64 KiB, PCI 15b3:1003, checksum right"),
        (padded, "PC BIOS (code type 0), 32 KiB"),
        (mrom, "other (code type 255), 64 KiB"),
        (efi(0x100), "EFI (code type 3), 128 KiB, PCI 15b3:1003, no checksum"),
        (efi(0x200), "EFI (code type 3), 256 KiB"),
        (combination(), "type=CLP"),
        (RomRecipe::pxe((3, 4, 752), 0x1003, 0x1_9814).build().unwrap(), "version=3.4.752"),
    ];
    for (n, (rom, shown)) in roms.iter().enumerate() {
        let name = format!("{n}.rom");
        bench.write(&name, rom);
        bench.run(&["rom", "info", &name]).exits(0).prints(shown);
        bench.card(&["rom", "write", &name, "--yes"]).exits(0);
        let out = format!("{n}.out");
        bench.card(&["rom", "read", &out]).exits(0).prints(shown);
        assert!(bench.read(&out) == *rom, "{name}");
    }
}

/// The image of `recipe` with these two ROM sections at the end of its chain.
fn with_rom_sections(recipe: &Recipe, roms: [&[u8]; 2]) -> Vec<u8> {
    let mut image = build(recipe).unwrap();
    let word = |image: &[u8], at: usize| u32::from_be_bytes(image[at..at + 4].try_into().unwrap());
    let crc = |bytes: &[u8]| u32::from(crc16(bytes)).to_be_bytes();
    // Behind both BOOT2 blocks.
    let mut last = 0x38;
    for _ in 0..2 {
        last += (word(&image, last + 4) as usize + 4) * 4;
    }
    while word(&image, last + 12) != 0xFF00_0000 {
        last = word(&image, last + 12) as usize;
    }
    let len = image.len() as u32;
    image[last + 12..last + 16].copy_from_slice(&len.to_be_bytes());
    let end = last + 16 + word(&image, last + 4) as usize * 4;
    let sum = crc(&image[last..end]);
    image[end..end + 4].copy_from_slice(&sum);
    for (n, rom) in roms.iter().enumerate() {
        let start = image.len();
        let next = if n == 1 { 0xFF00_0000 } else { (start + 20 + rom.len()) as u32 };
        let gph = [5, rom.len() as u32 / 4, 0, next];
        image.extend(gph.iter().flat_map(|word: &u32| word.to_be_bytes()));
        image.extend(*rom);
        let sum = crc(&image[start..]);
        image.extend(sum);
    }
    let size = (image.len() as u32).to_be_bytes();
    image[0x30..0x34].copy_from_slice(&size);
    image[0x22..0x24].fill(0xFF);
    let sum = crc16(&image).to_be_bytes();
    image[0x22..0x24].copy_from_slice(&sum);
    image
}

#[test]
fn an_empty_rom_section_counts_as_none() {
    let bench = Sandbox::owner();
    let empty = Recipe { rom: Some(Vec::new()), ..Recipe::mcx311a_2_42_5000() };
    bench.write("empty.bin", &build(&empty).unwrap());
    let shown = bench.card(&["rom", "info"]).exits(0).stdout;
    bench.run(&["rom", "info", "empty.bin"]).exits(0).prints("no ROM");
    bench.run(&["rom", "read", "out.rom", "--image", "empty.bin"]).exits(1);
    bench
        .run(&["flint", "-i", "empty.bin", "rrom", "out.rom"])
        .exits(1)
        .prints("The FW does not contain a ROM section");
    assert!(!bench.path("out.rom").exists());
    // A burn keeps the card's ROM.
    bench.card(&["burn", "empty.bin", "--yes"]).exits(0);
    assert_eq!(bench.card(&["rom", "info"]).exits(0).stdout, shown);
    // A card with such an image has none to show, read or remove.
    bench.run(&["sim", "create", "bare.cx3", "--image", "empty.bin"]).exits(0);
    std::fs::rename(bench.path("bare.cx3"), bench.path("card.cx3")).unwrap();
    bench.card(&["rom", "info"]).exits(0).prints("no ROM");
    bench.refuses(&["rom", "read", "out.rom"], 1);
    bench.refuses(&["rom", "remove", "--yes"], 4).reports("no ROM to remove");
    assert!(!bench.card(&["query"]).exits(0).stdout.contains("Rom Info"));
}

#[test]
fn of_two_rom_sections_the_first_that_is_not_empty_counts() {
    let bench = Sandbox::owner();
    let rom = |version| RomRecipe::pxe((3, 4, version), 0x1003, 0x2000).build().unwrap();
    let recipe = Recipe { rom: None, ..Recipe::mcx311a_2_42_5000() };
    for (first, second, shown) in [(&rom(1)[..], &rom(2)[..], 1), (&[], &rom(2)[..], 2)] {
        let name = format!("{shown}.bin");
        bench.write(&name, &with_rom_sections(&recipe, [first, second]));
        let version = format!("version=3.4.{shown}");
        bench.run(&["rom", "info", &name]).exits(0).prints(&version);
        bench.run(&["query", &name]).exits(0).prints(&version);
        let out = format!("{shown}.rom");
        bench.run(&["flint", "-i", &name, "rrom", &out]).exits(0);
        assert!(bench.read(&out) == rom(shown));
        bench.card(&["burn", &name, "--yes"]).exits(0);
        bench.card(&["query"]).exits(0).prints(&version);
        // Removed are all.
        bench.card(&["rom", "remove", "--yes"]).exits(0);
        bench.card(&["rom", "info"]).exits(0).prints("no ROM");
    }
}

#[test]
fn version_blocks_in_the_middle_of_images_are_found_by_the_query_of_a_card() {
    let tail = |image: Vec<u8>, block: &[u8]| {
        let at = image.len() - block.len();
        with(image, at, block)
    };
    let pxe = block(0x10, (3, 4, 754), 0x1003);
    let last = tail(pci_image(0x1_0000, 0x1003, 0, true), &pxe);
    let mut at_end = combination()[..0x2_4000].to_vec();
    at_end.extend(last);
    let recipe = |rom: &[u8]| Recipe { rom: Some(rom.to_vec()), size: 0, ..Recipe::default() };
    for (n, rom) in [combination(), at_end].iter().enumerate() {
        let bench = Sandbox::new();
        let name = format!("{n}.bin");
        bench.write(&name, &build(&recipe(rom)).unwrap());
        bench.run(&["sim", "create", "card.cx3", "--image", &name]).exits(0);
        let card = ["-d", "sim:card.cx3"];
        for args in [["query"].as_slice(), &["rom", "info"], &["flint", "q"]] {
            let args = [&args[..args.len() - 1], &card, &args[args.len() - 1..]].concat();
            bench
                .run(&args)
                .exits(0)
                .prints("version_id=8025 type=CLP")
                .prints("type=UEFI version=14.11.49")
                .prints("type=PXE version=3.4.754");
        }
    }
}

#[test]
fn a_firmware_image_with_a_rom_of_another_device_is_refused() {
    let blocks = Vec::<RomBlock>::new();
    let rom = |vendor_id, device| {
        let blocks = blocks.clone();
        RomRecipe { blocks, vendor_id, ..RomRecipe::pxe((1, 1, 1), device, 0x2000) }.build()
    };
    for (vendor, device, named) in [(0x8086, 0x1003, "8086:1003"), (0x15B3, 0x1017, "15b3:1017")] {
        let bench = Sandbox::owner();
        let rom = Some(rom(vendor, device).unwrap());
        let recipe = Recipe { rom, ..Recipe::mcx311a_2_42_5000() };
        bench.write("other.bin", &build(&recipe).unwrap());
        bench.refuses(&["burn", "other.bin", "--yes"], 4).reports(named);
        // The firmware without it is for this card.
        bench.card(&["burn", "other.bin", "--rom", "none", "--yes"]).exits(0);
        bench.card(&["rom", "info"]).exits(0).prints("no ROM");
    }
}
