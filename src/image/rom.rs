//! PCI expansion ROMs and their version blocks (fs2-image §8).

use serde::Serialize;

/// One version block (`mlxsign:`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpRom {
    /// Product id as stored (0x10 = PXE …).
    pub product_id: u16,
    /// Name for the product id, if there is one.
    pub type_name: Option<String>,
    /// Version numbers (a, b, c).
    pub version: (u16, u16, u16),
    /// Text version of product id 0xF.
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
    /// Set when no block was found: flint's error.
    pub error: Option<String>,
    /// Size of the ROM in bytes.
    pub size: u32,
    /// False when only the places where version blocks live were read (a quick card query).
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
}
