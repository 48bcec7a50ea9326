//! Expansion ROMs with valid headers and checksums (docs/fs2.md#rom-section; PCI Firmware
//! Specification 3.0, section 5.1 for the header and the PCIR structure).

use super::BuildError;
use super::filler::Filler;
use crate::image::SectionKind;

/// One version block (`mlxsign:`) of a ROM to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RomBlock {
    /// Product id: 0x10 PXE, 0x11 UEFI, 0x12 CLP, 0xF the text form …
    pub product: u16,
    /// Version numbers: the first has 8 bits, the second 8, the third 16.
    pub version: (u8, u8, u16),
    /// PCI device id, 0 = any. Stored for product ids from 0x10 on.
    pub device_id: u16,
    /// Port, 0 = not given; 4 bits.
    pub port: u8,
    /// 0 IB, 1 ETH, 2 VPI, 0xFF = not given.
    pub protocol: u8,
    /// 0 = not given, 1 AMD64, 2 AARCH64, 3 both, 4 IA32; 4 bits.
    pub cpu: u8,
    /// Version text of product id 0xF.
    pub text: Option<String>,
}

/// A small description of an expansion ROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RomRecipe {
    /// Version blocks, in order.
    pub blocks: Vec<RomBlock>,
    /// Bytes of the whole ROM, version blocks included; a multiple of 4.
    pub size: u32,
    /// Number of PCI images that share them, 1..=4.
    pub images: u8,
    /// Where in the first PCI image the version blocks lie, so that its checksum covers them; `None` =
    /// behind the PCI images, as in the real FlexBoot (docs/fs2.md#rom-content).
    pub place: Option<u32>,
    /// PCI vendor id in the PCIR structures.
    pub vendor_id: u16,
    /// PCI device id in the PCIR structures.
    pub device_id: u16,
    /// Seed of the filler code.
    pub seed: u64,
}

/// PCI images come in units of 512 bytes.
const UNIT: u32 = 512;
/// Length field of the header: one byte of units.
const MAX_UNITS: u32 = 255;
/// Offset of the PCIR structure in every image made here; a multiple of 4 as PCI requires.
const PCIR_AT: u16 = 0x1C;

impl Default for RomRecipe {
    fn default() -> Self {
        Self::pxe((3, 4, 752), 0x1003, 0x2000)
    }
}

impl RomRecipe {
    /// A FlexBoot-like ROM: one PCI image with blank fill at its end, one PXE block behind it.
    pub fn pxe(version: (u8, u8, u16), device_id: u16, size: u32) -> Self {
        Self {
            blocks: vec![RomBlock::new(0x10, version, device_id)],
            size,
            images: 1,
            place: None,
            vendor_id: 0x15B3,
            device_id,
            seed: u64::from(version.2),
        }
    }

    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        if !self.size.is_multiple_of(4) || self.size > SectionKind::MAX_BODY {
            return Err(BuildError::out_of_range("size of the ROM", self.size));
        }
        if !(1..=4).contains(&self.images) {
            let field = "PCI images in the ROM";
            return Err(BuildError::out_of_range(field, self.images));
        }
        let blocks: Result<Vec<_>, _> = self.blocks.iter().map(RomBlock::bytes).collect();
        let blocks = blocks?.concat();
        let tail = self.place.map_or(blocks.len() as u32, |_| 0);
        let images = u32::from(self.images);
        let code = self.size.saturating_sub(tail);
        let units = (code / UNIT / images).min(MAX_UNITS);
        if units == 0 {
            return Err(BuildError::TooSmall { needed: images * UNIT + tail, wanted: self.size });
        }
        let mut rom = Vec::with_capacity(self.size as usize);
        for index in 0..self.images {
            rom.extend(self.pci_image(units, index));
        }
        // Behind the PCI images the ROM is blank, as in the real one.
        rom.resize(code as usize, 0xFF);
        if let Some(at) = self.place {
            let end = u64::from(at) + blocks.len() as u64;
            // The last byte of the image is its checksum.
            if at < 0x40 || end >= u64::from(units * UNIT) {
                return Err(BuildError::out_of_range("place of the version blocks", at));
            }
            rom[at as usize..end as usize].copy_from_slice(&blocks);
        } else {
            rom.extend(blocks);
        }
        let len = (units * UNIT) as usize;
        for image in rom.chunks_exact_mut(len).take(images as usize) {
            make_sum_zero(image);
        }
        Ok(rom)
    }

    /// One PCI image without its checksum.
    fn pci_image(&self, units: u32, index: u8) -> Vec<u8> {
        let len = (units * UNIT) as usize;
        let uefi = self.blocks.get(usize::from(index)).is_some_and(|b| b.product == 0x11);
        let mut image = vec![0; 0x38];
        let pcir = usize::from(PCIR_AT);
        let image_type = if uefi { 3 } else { 0 };
        let last = if index + 1 == self.images { 0x80 } else { 0 };
        for (at, field) in [
            // Entry point: a short jump behind the structures.
            (0, &[0x55, 0xAA, units as u8, 0xEB, 0x36][..]),
            (0x18, &PCIR_AT.to_le_bytes()),
            (pcir, b"PCIR"),
            (pcir + 4, &self.vendor_id.to_le_bytes()),
            (pcir + 6, &self.device_id.to_le_bytes()),
            (pcir + 0x0A, &0x18_u16.to_le_bytes()),
            // Class code: network controller, Ethernet.
            (pcir + 0x0F, &[0x02]),
            (pcir + 0x10, &(units as u16).to_le_bytes()),
            (pcir + 0x12, &1_u16.to_le_bytes()),
            (pcir + 0x14, &[image_type, last]),
        ] {
            image[at..at + field.len()].copy_from_slice(field);
        }
        // Nine tenths code, the rest blank.
        let code = (len - image.len()) / 4 * 9 / 10;
        image.extend(Filler::new(self.seed, 0x2000 + u64::from(index)).words(code));
        image.resize(len, 0xFF);
        image
    }
}

impl RomBlock {
    /// A block of this product and version, the other fields not given.
    pub fn new(product: u16, version: (u8, u8, u16), device_id: u16) -> Self {
        Self { product, version, device_id, port: 0, protocol: 0xFF, cpu: 0, text: None }
    }

    /// The block as stored: the mark, then little-endian dwords (docs/fs2.md#rom-content).
    fn bytes(&self) -> Result<Vec<u8>, BuildError> {
        for (field, value) in [("port of a ROM block", self.port), ("cpu of a ROM block", self.cpu)]
        {
            if value > 15 {
                return Err(BuildError::out_of_range(field, value));
            }
        }
        let (a, b, c) = self.version;
        let port_cpu_protocol =
            u32::from(self.port) << 12 | u32::from(self.cpu) << 8 | u32::from(self.protocol);
        let mut words = vec![
            u32::from(self.product) << 16 | u32::from(a),
            u32::from(b) << 16 | u32::from(c),
            u32::from(self.device_id) << 16 | port_cpu_protocol,
        ];
        let mut bytes = b"mlxsign:".to_vec();
        let text = self.text.as_deref().unwrap_or("");
        if self.product == 0xF {
            // w3: string length, and a signature length that covers the string.
            if text.len() > 255 {
                return Err(BuildError::TextTooLong { field: "ROM version text", max: 255 });
            }
            let signature = text.len().div_ceil(4) + 4;
            words.push((text.len() as u32) << 8 | signature as u32);
        }
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        if self.product == 0xF {
            bytes.extend(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        Ok(bytes)
    }
}

/// Sets the last byte so that all bytes sum to 0 mod 256.
fn make_sum_zero(image: &mut [u8]) {
    if let Some((last, rest)) = image.split_last_mut() {
        let sum = rest.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        *last = sum.wrapping_neg();
    }
}
