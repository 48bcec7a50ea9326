//! PCI expansion ROMs and their version blocks (docs/fs2.md#rom-section).

mod pci;

pub(in crate::image) use pci::{MAX_IMAGES, PciHead, head};
pub use pci::{PciFault, PciImage};

use super::{MAGIC, SectionKind};
use crate::escape::string_schema;
use pci::{PCI_SIGNATURE, chain};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

/// Marks a version block.
const MARK: &[u8] = b"mlxsign:";
/// The search goes on this many bytes behind the start of a block.
const STEP: usize = 12;
/// mstflint reads this many blocks.
const MAX_BLOCKS: usize = 5;
const MELLANOX: u16 = 0x15B3;
/// A block whose version is a text.
const TEXT_VERSION: u16 = 0xF;
/// First product id with the third dword.
const PXE: u16 = 0x10;
const UEFI: u16 = 0x11;
/// Has neither port nor protocol.
const CLP: u16 = 0x12;
const FCODE: u16 = 0x21;
/// The device id by which mstflint marks blocks that name different ones. A block that holds it has
/// the same effect without the warning (measured with mstflint 4.21).
const MISMATCHED: u16 = 0xFFFF;

/// Bytes to read from the start of an image: its header and, as a rule, its PCI data structure.
pub(super) const HEAD: u32 = 128;
/// Bytes to read from the end of an image. The version block is the last 20 bytes of the only real
/// ROM seen (docs/fs2.md#rom-content); where others have it is UNCONFIRMED.
pub(super) const TAIL: u32 = 256;

/// One version block (`mlxsign:`, docs/fs2.md#rom-content).
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct ExpRom {
    /// Product id as stored (0x10 = PXE …).
    pub product_id: u16,
    /// Name for the product id, if there is one.
    pub type_name: Option<&'static str>,
    /// Version numbers (a, b, c). For product id 0xF only the first counts.
    #[serde(serialize_with = "dotted")]
    #[schemars(with = "String")]
    pub version: (u16, u16, u16),
    /// The leading number of the version text of product id 0xF.
    pub version_text: Option<String>,
    /// PCI device id it is for, 0 = any.
    pub device_id: u16,
    /// 0 = not given.
    pub port: u8,
    /// As stored: 0 IB, 1 ETH, 2 VPI, 0xFF not given.
    pub protocol: u8,
    /// As stored, 0 = not given.
    pub cpu: u8,
}

/// `3.4.752`.
fn dotted<S: Serializer>((a, b, c): &(u16, u16, u16), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{a}.{b}.{c}"))
}

/// The ROM of an image, or a bare ROM file.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Rom {
    /// Version blocks in order, at most 5.
    pub blocks: Vec<ExpRom>,
    /// The last fault that does not end the reading.
    pub warning: Option<RomFault>,
    /// The fault that ended the reading.
    pub error: Option<RomFault>,
    /// The images it consists of, as far as their chain can be followed.
    pub images: Vec<PciImage>,
    /// The first fault of that chain: such a ROM is not written.
    pub chain_fault: Option<PciFault>,
    /// Size of the ROM in bytes.
    pub size: u32,
    /// False when only the places where version blocks lie were read (a quick query of a card):
    /// then the checksum is not known and a block in another place may be missing.
    pub whole: bool,
}

/// What is wrong with a ROM (docs/flint.md#rom-lines).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RomFault {
    #[error("a ROM of {0} bytes is too small")]
    TooSmall(usize),
    #[error("the ROM has more than {MAX_BLOCKS} version blocks")]
    ManyBlocks,
    #[error("the version blocks of the ROM are for different devices")]
    DeviceIds,
    #[error("the ROM has no version block")]
    NoBlock,
    #[error("the size field of the ROM is 0")]
    SizeFieldZero,
    #[error("the size field of the ROM is {field:#x} bytes, the ROM has {len:#x}")]
    SizeField { field: usize, len: usize },
    /// Sum of the bytes, which must be 0.
    #[error("the checksum of the ROM is wrong (its bytes sum to {0:#04x})")]
    Checksum(u8),
    #[error("a version text of {text} bytes does not fit a ROM signature of {signature} dwords")]
    VersionText { signature: u8, text: u8 },
    #[error("the device id of the ROM is at {at:#x}, outside of its {len:#x} bytes")]
    DeviceIdOffset { at: usize, len: usize },
    #[error("the PCI vendor id of the ROM is {0:#06x}")]
    Vendor(u16),
}

impl Serialize for RomFault {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

string_schema!(RomFault, "description": "What is wrong with a ROM, in one line.");

/// Why bytes are no ROM that may be put into an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RomError {
    #[error("the file does not start with 55 AA")]
    NoSignature,
    #[error("the file is a firmware image, not an expansion ROM")]
    IsFirmware,
    /// Too short, or longer than a section may be.
    #[error("a ROM of {0} bytes is not possible")]
    Size(usize),
    /// Cut off, damaged, or not for PCI.
    #[error(transparent)]
    Chain(#[from] PciFault),
}

impl Rom {
    /// Longest section body in bytes (docs/fs2.md#section-header).
    pub const MAX: usize = SectionKind::MAX_BODY as usize;

    /// Reads the bytes of a ROM (section body or bare file). Faults are in [`Rom::warning`] and
    /// [`Rom::error`].
    pub fn parse(bytes: &[u8]) -> Self {
        Self::parse_read(bytes, true)
    }

    /// As [`Rom::parse`]; without `whole` only some places were read and the rest is zero.
    pub(super) fn parse_read(bytes: &[u8], whole: bool) -> Self {
        let (images, chain_fault) = chain(bytes, whole);
        let mut rom = Self {
            blocks: Vec::new(),
            warning: None,
            error: None,
            images,
            chain_fault,
            // A section is at most 4 MiB; a bare file of 4 GiB is no ROM.
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            whole,
        };
        rom.error = rom.read(bytes).err();
        rom
    }

    /// Checks that bytes start as a ROM and fit a section.
    pub fn check(bytes: &[u8]) -> Result<(), RomError> {
        if bytes.starts_with(&MAGIC) {
            Err(RomError::IsFirmware)
        } else if bytes.len() < 4 || bytes.len() > Self::MAX {
            Err(RomError::Size(bytes.len()))
        } else if !bytes.starts_with(&PCI_SIGNATURE) {
            Err(RomError::NoSignature)
        } else {
            Ok(())
        }
    }

    /// Reads a ROM that is to be put into an image.
    pub fn for_writing(bytes: &[u8]) -> Result<Self, RomError> {
        Self::check(bytes)?;
        let rom = Self::parse(bytes);
        match rom.chain_fault {
            Some(fault) => Err(fault.into()),
            None => Ok(rom),
        }
    }

    /// PCI device id its blocks are for; `None` when they name none, or different ones.
    pub fn device_id(&self) -> Option<u16> {
        let mut ids = self.blocks.iter().map(|b| b.device_id).filter(|&id| id != 0);
        let first = ids.next()?;
        (first != MISMATCHED && ids.all(|id| id == first)).then_some(first)
    }

    /// The vendor id of the first PCI image that is not of this vendor. Whatever its version blocks name, a host
    /// does not run it for this card.
    pub fn other_vendor(&self) -> Option<u16> {
        self.images.iter().map(|image| image.vendor_id).find(|vendor| *vendor != MELLANOX)
    }

    /// What it is for when that is not this device: the id of a version block, or, where no block
    /// names a device, the ids of a PCI image. A ROM that names nothing is for any device.
    pub fn other_device(&self, device_id: u16) -> Option<String> {
        // 0 is "any", and mstflint accepts 0xFFFF (its `checkMatchingExpRomDevId` takes it for
        // "blocks differ").
        let named = |block: &&ExpRom| !matches!(block.device_id, 0 | MISMATCHED);
        let mut named = self.blocks.iter().filter(named);
        if let Some(other) = named.clone().find(|block| block.device_id != device_id) {
            let id = other.device_id;
            return Some(format!("device {id} ({id:#06x})"));
        }
        // The id of a text block is that of the first PCI image.
        let named = named.any(|block| block.product_id != TEXT_VERSION);
        if named && self.other_vendor().is_none() {
            return None;
        }
        let other = self.images.iter().find(|image| !image.is_for(MELLANOX, device_id))?;
        let ids = [other.device_id].into_iter().chain(other.device_list.iter().copied());
        let ids: Vec<_> = ids.map(|id| format!("{:04x}:{id:04x}", other.vendor_id)).collect();
        Some(ids.join(", "))
    }

    /// Neither a version block nor a PCI image names a device.
    pub fn names_no_device(&self) -> bool {
        self.images.is_empty() && self.blocks.iter().all(|b| matches!(b.device_id, 0 | MISMATCHED))
    }

    /// Reads the version blocks in the order and with the limits of mstflint.
    fn read(&mut self, rom: &[u8]) -> Result<(), RomFault> {
        if rom.len() < 4 {
            return Err(RomFault::TooSmall(rom.len()));
        }
        // 0 until a block names a device.
        let mut device = 0;
        let mut from = 0;
        while let Some(at) = next_mark(rom, from) {
            if self.blocks.len() == MAX_BLOCKS {
                self.warning = Some(RomFault::ManyBlocks);
                return Ok(());
            }
            let block = self.block(rom, at + MARK.len())?;
            match block.device_id {
                0 => {}
                id if device == 0 => device = id,
                id if device != MISMATCHED && id != device => {
                    device = MISMATCHED;
                    self.warning = Some(RomFault::DeviceIds);
                }
                _ => {}
            }
            self.blocks.push(block);
            from = at + STEP;
        }
        if self.blocks.is_empty() {
            return Err(RomFault::NoBlock);
        }
        let checked = |b: &ExpRom| !matches!(b.product_id, UEFI | FCODE);
        if self.whole && self.blocks.iter().all(checked) {
            self.checksum(rom)?;
        }
        Ok(())
    }

    fn checksum(&mut self, rom: &[u8]) -> Result<(), RomFault> {
        let (field, len) = (size_field(rom), rom.len());
        let covered = rom.get(..field).ok_or(RomFault::SizeField { field, len })?;
        if covered.is_empty() {
            return Err(RomFault::SizeFieldZero);
        }
        let sum = covered.iter().fold(0u8, |sum, &b| sum.wrapping_add(b));
        if sum != 0 {
            self.warning = Some(RomFault::Checksum(sum));
        }
        Ok(())
    }

    /// Reads the block whose dwords begin at `at`, behind the mark.
    fn block(&mut self, rom: &[u8], at: usize) -> Result<ExpRom, RomFault> {
        let word = le32(rom, at);
        let product_id = (word >> 16) as u16;
        let mut block = ExpRom {
            product_id,
            type_name: product_name(product_id),
            version: (word as u16 & 0xFF, 0, 0),
            ..ExpRom::default()
        };
        if product_id == TEXT_VERSION {
            self.text_version(rom, at, &mut block)?;
            return Ok(block);
        }
        let word = le32(rom, at + 4);
        block.version = (block.version.0, (word >> 16) as u16 & 0xFF, word as u16);
        if product_id >= PXE {
            let [protocol, port_and_cpu, device_id @ ..] = le32(rom, at + 8).to_le_bytes();
            block.device_id = u16::from_le_bytes(device_id);
            block.cpu = port_and_cpu & 0xF;
            if product_id != CLP {
                block.port = port_and_cpu >> 4;
                block.protocol = protocol;
            }
        }
        Ok(block)
    }

    fn text_version(&mut self, rom: &[u8], at: usize, block: &mut ExpRom) -> Result<(), RomFault> {
        let [signature, len, ..] = le32(rom, at + 0xC).to_le_bytes();
        if u32::from(signature) < u32::from(len).div_ceil(4) + 4 {
            let text = len;
            return Err(RomFault::VersionText { signature, text });
        }
        let text = rom.iter().skip(at + 0x10).take(usize::from(len));
        let text: Vec<u8> = text.copied().take_while(|&b| b != 0).collect();
        if let Some(number) = leading_number(&text) {
            block.version.0 = number;
        }
        block.version_text = Some(block.version.0.to_string());

        let at = usize::from(le32(rom, 0x18) as u16) + 4;
        if at >= rom.len() {
            let len = rom.len();
            return Err(RomFault::DeviceIdOffset { at, len });
        }
        let ids = le32(rom, at);
        block.device_id = (ids >> 16) as u16;
        if ids as u16 != MELLANOX {
            self.warning = Some(RomFault::Vendor(ids as u16));
        }
        Ok(())
    }
}

/// Bytes by the size field, in units of 512 bytes.
fn size_field(rom: &[u8]) -> usize {
    rom.get(2).map_or(0, |units| usize::from(*units) * 512)
}

/// The little-endian dword at `at`; bytes behind the end read as zero.
fn le32(rom: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    for (into, byte) in word.iter_mut().zip(rom.iter().skip(at)) {
        *into = *byte;
    }
    u32::from_le_bytes(word)
}

pub(in crate::image) fn next_mark(rom: &[u8], from: usize) -> Option<usize> {
    let mut windows = rom.get(from..)?.windows(MARK.len());
    windows.position(|w| w == MARK).map(|at| from + at)
}

fn product_name(product_id: u16) -> Option<&'static str> {
    Some(match product_id {
        1 => "CLP1",
        2 => "CLP2",
        3 => "CLP3",
        4 => "CLP4",
        0xF | 0x12 => "CLP",
        0x10 => "PXE",
        0x11 => "UEFI",
        0x13 => "NVMe",
        0x14 => "UEFI Virtio net",
        0x15 => "UEFI Virtio blk",
        0x16 => "PXE Virtio net",
        0x21 => "FCODE",
        _ => return None,
    })
}

/// The number that `sscanf("%d")` reads from the text, stored in 16 bits: blanks, a sign, digits.
fn leading_number(text: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(text);
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0B');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return None;
    }
    // glibc saturates at 64 bits before it cuts to an int; only the low 16 bits are kept here.
    let number = text[..text.len() - unsigned.len() + digits].parse::<i64>();
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Some(number.unwrap_or(limit) as u16)
}

#[cfg(test)]
mod tests;
