//! PCI expansion ROMs and their version blocks (docs/fs2.md#rom-section).

mod blocks;
mod pci;
mod text;

pub(super) use pci::{HEAD, Link, TAIL, link};

use super::{MAGIC, SectionKind};
use serde::Serialize;

/// One version block (`mlxsign:`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpRom {
    /// Product id as stored (0x10 = PXE …).
    pub product_id: u16,
    /// Name for the product id, if there is one.
    pub type_name: Option<String>,
    /// Version numbers (a, b, c). For product id 0xF only the first counts.
    pub version: (u16, u16, u16),
    /// What flint prints as `version_id` of product id 0xF: the leading number of its text.
    pub version_text: Option<String>,
    /// PCI device id it is for, 0 = any.
    pub device_id: u16,
    /// Port, 0 = not given.
    pub port: u8,
    /// Protocol as stored (0 IB, 1 ETH, 2 VPI, 0xFF not shown).
    pub protocol: u8,
    /// CPU as stored (0 not given).
    pub cpu: u8,
}

/// What is known of the ROM in an image, or of a bare ROM file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rom {
    /// Version blocks in order, at most 5.
    pub blocks: Vec<ExpRom>,
    /// flint's warning (the last one set wins), e.g. a bad checksum.
    pub warning: Option<String>,
    /// flint's error. It shows it only when no block was found.
    pub error: Option<String>,
    /// Size of the ROM in bytes.
    pub size: u32,
    /// False when only the places where version blocks live were read (a quick card query): then
    /// the checksum is not known and a block in an unusual place may be missing.
    pub whole: bool,
}

/// Why bytes are no ROM that may be put into an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RomError {
    /// No 55 AA at the start.
    #[error("the file does not start with 55 AA")]
    NoSignature,
    /// An FS2 image was given instead.
    #[error("the file is a firmware image, not an expansion ROM")]
    IsFirmware,
    /// Too short or longer than a section may be.
    #[error("a ROM of {0} bytes is not possible")]
    Size(usize),
    /// Its size field (byte 2, in 512 bytes) says 0, or more than there is.
    #[error("the ROM says it is {says} bytes long, the file has {len}")]
    Cut {
        /// Bytes by the size field.
        says: usize,
        /// Bytes there are.
        len: usize,
    },
}

impl Rom {
    /// Longest section body in bytes (docs/fs2.md#section-header).
    pub const MAX: usize = SectionKind::MAX_BODY as usize;

    /// What the bytes of a ROM (section body or bare file) say. Never fails: what flint complains of
    /// is in [`Rom::warning`] and [`Rom::error`].
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        blocks::parse(bytes, true)
    }

    /// As [`Rom::parse`] of a ROM of which only some places were read and all else is zero.
    pub(super) fn parse_sparse(bytes: &[u8]) -> Self {
        blocks::parse(bytes, false)
    }

    /// A ROM that is to be put into an image.
    ///
    /// # Errors
    /// [`RomError`] when it is none or does not fit a section.
    pub fn for_writing(bytes: &[u8]) -> Result<Self, RomError> {
        if bytes.starts_with(&MAGIC) {
            return Err(RomError::IsFirmware);
        }
        if bytes.len() < 4 || bytes.len() > Self::MAX {
            return Err(RomError::Size(bytes.len()));
        }
        if !bytes.starts_with(&pci::SIGNATURE) {
            return Err(RomError::NoSignature);
        }
        let says = bytes.get(2).map_or(0, |units| usize::from(*units) * 512);
        if says == 0 || says > bytes.len() {
            return Err(RomError::Cut {
                says,
                len: bytes.len(),
            });
        }
        Ok(Self::parse(bytes))
    }

    /// PCI device id its blocks are for; `None` when they name none, or different ones.
    #[must_use]
    pub fn device_id(&self) -> Option<u16> {
        let mut ids = self
            .blocks
            .iter()
            .map(|b| b.device_id)
            .filter(|&id| id != 0);
        let first = ids.next()?;
        (first != blocks::MISMATCHED && ids.all(|id| id == first)).then_some(first)
    }
}

#[cfg(test)]
mod tests;
