//! The bytes a reading requests from its source: on a card every byte costs time.

use crate::image::tests::fixture::*;
use crate::image::{
    Depth, FlashAddr, Form, Half, Recipe, Rom, Source, SourceError, build, read, scan, striped,
};

/// Counts, and panics when a byte is read twice if `seen` is set.
struct Counting<'a> {
    bytes: &'a [u8],
    read: usize,
    seen: Option<Vec<bool>>,
}

impl<'a> Counting<'a> {
    fn new(bytes: &'a [u8], once: bool) -> Self {
        Self { bytes, read: 0, seen: once.then(|| vec![false; bytes.len()]) }
    }
}

impl Source for Counting<'_> {
    fn size(&self) -> u32 {
        self.bytes.size()
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        assert!(!buf.is_empty() && buf.len().is_multiple_of(4) && at.0.is_multiple_of(4));
        self.read += buf.len();
        if let Some(seen) = &mut self.seen {
            for place in &mut seen[at.0 as usize..at.0 as usize + buf.len()] {
                assert!(!*place, "a byte near {:#x} is read twice", at.0);
                *place = true;
            }
        }
        self.bytes.read_at(at, buf)
    }
}

/// The shape of the real image: 19 sections, a ROM of 104 KiB of FF whose version block is its last
/// 20 bytes, behind one PCI image.
fn real_shape(block_at_end: bool) -> MadeImage {
    let mut rom = vec![0xFF; 0x1_9814];
    rom[..0x60].fill(0);
    rom[..3].copy_from_slice(&[0x55, 0xAA, 0x80]);
    rom[0x18] = 0x1C;
    rom[0x1C..0x24].copy_from_slice(b"PCIR\xB3\x15\x03\x10");
    rom[0x2C] = 0x80;
    rom[0x31] = 0x80;
    let at = if block_at_end { rom.len() - 20 } else { 0x9000 };
    rom[at..at + 8].copy_from_slice(b"mlxsign:");
    rom[at + 8..at + 20].copy_from_slice(&[3, 0, 0x10, 0, 0xF0, 2, 4, 0, 0xFF, 0, 3, 0x10]);
    let sum = rom[..0x80 * 512].iter().fold(0u8, |s, &b| s.wrapping_add(b));
    rom[0x50] = sum.wrapping_neg();

    let mut made = MadeImage::failsafe();
    made.sections.insert(1, section(5, rom));
    for _ in 0..11 {
        made.sections.push(section(1, vec![0x5A; 0xA000]));
    }
    made.with(2, vec![1; 0x1000]).with(3, vec![2; 0x60]).with(9, vec![3; 0x5E4])
}

fn versions(rom: &Rom) -> Vec<(&str, (u16, u16, u16))> {
    let blocks = rom.blocks.iter();
    blocks.map(|b| (b.type_name.unwrap(), b.version)).collect()
}

#[test]
fn a_quick_query_reads_less_than_three_and_a_half_kib() {
    let flash = striped(&real_shape(true).build(), Half::Odd, 2 << 20).unwrap();
    let mut source = Counting::new(&flash, false);
    let found = scan(&mut source).unwrap();
    let image = read(&mut source, found[0], Form::Striped, Depth::Quick).unwrap();
    assert_eq!(image.findings, []);
    assert_eq!(image.sections.len(), 21);
    let rom = image.rom.unwrap();
    assert_eq!(versions(&rom), [("PXE", (3, 4, 752))]);
    assert!(!rom.whole);
    assert!(image.guids.unwrap().crc_ok && image.info_crc_ok);
    assert!(source.read <= 3584, "{} bytes", source.read);
    println!("a quick query read {} bytes", source.read);
}

#[test]
fn a_version_block_in_another_place_is_found_by_reading_the_whole_rom() {
    let flash = real_shape(false).build();
    let mut source = Counting::new(&flash, true);
    let image = read(&mut source, FlashAddr(0), Form::Striped, Depth::Quick).unwrap();
    let rom = image.rom.unwrap();
    assert_eq!(versions(&rom), [("PXE", (3, 4, 752))]);
    assert!(rom.whole);
    assert!(source.read > 0x1_9814 && source.read < 0x1_9814 + 0x800);
}

#[test]
fn blocks_at_the_tail_of_every_image_are_found() {
    // Two images of 64 KiB, each with its block at its end.
    let mut rom = Vec::new();
    for (id, last) in [(0x10, 0), (0x11, 0x80)] {
        let mut image = vec![0; 0x1_0000];
        image[..3].copy_from_slice(&[0x55, 0xAA, 0x80]);
        image[0x18] = 0x1C;
        image[0x1C..0x20].copy_from_slice(b"PCIR");
        image[0x2C] = 0x80;
        image[0x31] = last;
        let at = image.len() - 20;
        image[at..at + 8].copy_from_slice(b"mlxsign:");
        image[at + 8..].copy_from_slice(&[3, 0, id, 0, 0xF0, 2, 4, 0, 0xFF, 0, 3, 0x10]);
        rom.extend(image);
    }
    rom.extend([0xFF; 0x2000]);
    let flash = MadeImage::default().with(5, rom).build();
    let mut source = Counting::new(&flash, true);
    let image = read(&mut source, FlashAddr(0), Form::Striped, Depth::Quick).unwrap();
    let rom = image.rom.unwrap();
    assert_eq!(versions(&rom), [("PXE", (3, 4, 752)), ("UEFI", (3, 4, 752))]);
    assert!(!rom.whole && source.read < 0x1000);
}

#[test]
fn a_full_reading_reads_each_byte_once() {
    let made = real_shape(true).build();
    let built = build(&Recipe { chunk_log2: Some(16), ..Recipe::default() }).unwrap();
    for image in [made, built] {
        let mut source = Counting::new(&image, true);
        let found = read(&mut source, FlashAddr(0), Form::Contiguous, Depth::Full).unwrap();
        assert_eq!(source.read, image.len());
        assert!(found.is_valid() || !found.findings.is_empty());
    }
}

/// A card that vanishes after so many reads.
struct Vanishing<'a>(&'a [u8], usize);

impl Source for Vanishing<'_> {
    fn size(&self) -> u32 {
        self.0.size()
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let Some(left) = self.1.checked_sub(1) else {
            return Err(SourceError::Failed { at: at.0, len: buf.len(), source: "gone".into() });
        };
        self.1 = left;
        self.0.read_at(at, buf)
    }
}

#[test]
fn a_card_that_vanishes_is_an_error_and_not_a_damaged_image() {
    let flash = real_shape(true).build();
    for depth in [Depth::Quick, Depth::Full] {
        let mut reads = 0;
        while read(&mut Vanishing(&flash, reads), FlashAddr(0), Form::Striped, depth).is_err() {
            reads += 1;
        }
        // It fails at each of the reads that a complete reading needs.
        assert!(reads > 20, "{reads}");
    }
}
