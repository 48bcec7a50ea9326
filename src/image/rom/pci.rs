//! The chain of images in an expansion ROM (docs/fs2.md#pci-images).

use crate::escape::string_schema;
use schemars::JsonSchema;
use serde::Serialize;

/// First two bytes of every image (PCI Firmware Specification 3.0, section 5.1).
pub(in crate::image) const PCI_SIGNATURE: [u8; 2] = [0x55, 0xAA];
/// Images read in one ROM. Real ones have at most three.
pub(in crate::image) const MAX_IMAGES: usize = 16;
/// Ids read in one device list.
const MAX_LIST: usize = 64;
/// Lengths are in units of this many bytes.
const UNIT: u32 = 512;

/// Code type of an image for a PC BIOS: the only one with a checksum.
const X86: u8 = 0;
/// Code type of an EFI image.
const EFI: u8 = 3;
/// At offset 4 of an EFI image, whose length in units is in bytes 2 and 3 (UEFI Specification,
/// "PCI Option ROMs").
const EFI_SIGNATURE: [u8; 4] = [0xF1, 0x0E, 0, 0];

/// First revision of the PCI data structure that has a device list.
const LIST_REVISION: u8 = 3;
/// The bytes of a PCI data structure up to its indicator.
const PCIR_LEN: usize = 0x16;

/// One image of the chain.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct PciImage {
    /// Its offset in the ROM.
    pub at: u32,
    /// Its length in bytes.
    pub len: u32,
    /// 0 = PC BIOS, 1 = Open Firmware, 3 = EFI; iPXE marks data with 0xFF.
    pub code_type: u8,
    pub vendor_id: u16,
    pub device_id: u16,
    /// Further device ids it is for.
    pub device_list: Vec<u16>,
    /// The bytes sum to 0; `None` when the image needs no checksum, or was not read completely.
    pub checksum_ok: Option<bool>,
    /// No image follows.
    pub last: bool,
}

/// What is wrong with the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PciFault {
    #[error("the ROM image at {at:#x} does not start with 55 AA")]
    NoSignature { at: u32 },
    #[error("the ROM image at {at:#x} has no PCI data structure (`PCIR`)")]
    NoPciData { at: u32 },
    #[error("the ROM image at {at:#x} has a length of 0")]
    NoLength { at: u32 },
    /// The ROM ends in front of its end.
    #[error("the ROM image at {at:#x} is cut off: it has {len:#x} bytes, {left:#x} are there")]
    Cut { at: u32, len: u32, left: u32 },
    #[error("the ROM is cut off: an image must follow at {at:#x}, where it ends")]
    NoLast { at: u32 },
    #[error("the ROM has more than {MAX_IMAGES} images")]
    ManyImages,
    #[error(
        "the checksum of the ROM image at {at:#x} is wrong (its bytes sum to {sum:#04x}, not to 0)"
    )]
    Checksum { at: u32, sum: u8 },
}

impl Serialize for PciFault {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

string_schema!(PciFault, "description": "What is wrong with the images of a ROM, in one line.");

impl PciImage {
    /// A machine's firmware offers it to a device with these ids.
    pub fn is_for(&self, vendor_id: u16, device_id: u16) -> bool {
        self.vendor_id == vendor_id
            && (self.device_id == device_id || self.device_list.contains(&device_id))
    }

    /// The name of its code type.
    pub fn code_name(&self) -> &'static str {
        match self.code_type {
            X86 => "PC BIOS",
            1 => "Open Firmware",
            2 => "PA-RISC",
            EFI => "EFI",
            _ => "other",
        }
    }
}

/// What the start of an image states.
pub(in crate::image) struct PciHead {
    pub(in crate::image) image: PciImage,
    /// Bytes by the header alone, which a checksum covers; 0 = not stated.
    header_len: u32,
    /// Its device list does not end in the bytes.
    pub(in crate::image) list_open: bool,
}

/// Reads the start of the image at `at`: `bytes` begin there. Its header and, as a rule, its PCI data
/// structure lie in the first 128 bytes.
pub(in crate::image) fn head(bytes: &[u8], at: u32) -> Result<PciHead, PciFault> {
    if !bytes.starts_with(&PCI_SIGNATURE) {
        return Err(PciFault::NoSignature { at });
    }
    let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let start = word(0x18).map_or(0, usize::from);
    let pcir = bytes.get(start..).filter(|pcir| pcir.len() >= PCIR_LEN);
    let pcir = pcir.filter(|pcir| pcir.starts_with(b"PCIR")).ok_or(PciFault::NoPciData { at })?;
    let field = |at: usize| u16::from_le_bytes([pcir[at], pcir[at + 1]]);
    let code_type = pcir[0x14];
    let header_units = match code_type {
        EFI if bytes.get(4..8) == Some(&EFI_SIGNATURE) => word(2).unwrap_or(0),
        X86 => u16::from(bytes[2]),
        _ => 0,
    };
    let header_len = u32::from(header_units) * UNIT;
    let len = match u32::from(field(0x10)) * UNIT {
        0 => header_len,
        len => len,
    };
    if len == 0 {
        return Err(PciFault::NoLength { at });
    }
    let list = match usize::from(field(8)) {
        at if at != 0 && pcir[0x0C] >= LIST_REVISION => pcir.get(at..).unwrap_or_default(),
        _ => &[0, 0],
    };
    let ids = || list.as_chunks().0.iter().map(|id| u16::from_le_bytes(*id));
    let image = PciImage {
        at,
        len,
        code_type,
        vendor_id: field(4),
        device_id: field(6),
        device_list: ids().take_while(|id| *id != 0).take(MAX_LIST).collect(),
        checksum_ok: None,
        last: pcir[0x15] & 0x80 != 0,
    };
    Ok(PciHead { image, header_len, list_open: ids().all(|id| id != 0) })
}

/// The images of a ROM, as far as the chain can be followed, and its first fault. Without `whole`
/// only the starts of the images were read: checksums are not known then.
pub(super) fn chain(rom: &[u8], whole: bool) -> (Vec<PciImage>, Option<PciFault>) {
    let mut images = Vec::new();
    let mut checksum = None;
    let end = follow(rom, whole, &mut images, &mut checksum);
    (images, end.err().or(checksum))
}

fn follow(
    rom: &[u8],
    whole: bool,
    images: &mut Vec<PciImage>,
    checksum: &mut Option<PciFault>,
) -> Result<(), PciFault> {
    let mut at = 0_u32;
    loop {
        let bytes = rom.get(at as usize..).filter(|rest| !rest.is_empty());
        let bytes = bytes.ok_or(PciFault::NoLast { at })?;
        if images.len() == MAX_IMAGES {
            return Err(PciFault::ManyImages);
        }
        let PciHead { mut image, header_len, .. } = head(bytes, at)?;
        let left = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let len = image.len.max(header_len);
        if len > left {
            return Err(PciFault::Cut { at, len, left });
        }
        if whole && image.code_type == X86 {
            // A BIOS sums what byte 2 counts. Larger images than it can count have their checksum
            // over the length in the PCI data structure.
            let sum = |len: u32| {
                let covered = bytes.get(..len as usize).unwrap_or_default();
                covered.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
            };
            let by_header = if header_len == 0 { image.len } else { header_len };
            let ok = [by_header, image.len].into_iter().any(|len| sum(len) == 0);
            image.checksum_ok = Some(ok);
            if !ok {
                checksum.get_or_insert(PciFault::Checksum { at, sum: sum(by_header) });
            }
        }
        let (len, last) = (image.len, image.last);
        images.push(image);
        if last {
            return Ok(());
        }
        // At most 32 MiB each, and `len` bytes are there.
        at += len;
    }
}

#[cfg(test)]
mod tests;
