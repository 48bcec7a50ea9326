//! What is known of one image.

use crate::image::{
    AddressMap, CrcVerdict, Finding, FlashAddr, FlintVerdict, GuidSection, ImageOffset, Info, Ini,
    Rom, Section, Severity, SourceError,
};
use serde::Serialize;

/// How the bytes of a failsafe image lie in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A file: logical offsets are file offsets even when the failsafe bit is set.
    Contiguous,
    /// A flash chip or a raw dump of one: interleaved when the failsafe bit is set.
    Striped,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what a query shows: header, GPH chain, Image Info and GUID sections with their CRCs,
    /// the places of the ROM where version blocks live. For cards.
    Quick,
    /// Every byte, every CRC, the ini.
    Full,
}

/// Failsafe or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Layout {
    /// One image from address 0.
    NonFailsafe,
    /// Two interleaved halves.
    Failsafe {
        /// log2 of the chunk size in bytes.
        chunk_log2: u8,
    },
}

/// The 0x38 bytes in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// As stored.
    #[serde(skip)]
    pub raw: [u8; 0x38],
    /// 0x20 bits 31:24.
    pub device_revision: u8,
    /// 0x20 bits 15:0.
    pub stored_full_crc: u16,
    /// 0x24 bits 31:24.
    pub format_version: u8,
    /// 0x2C bits 23:0.
    pub info_body: ImageOffset,
    /// The byte sum of the dword at 0x2C is 0 mod 256, as it must be.
    pub info_pointer_ok: bool,
    /// 0x30.
    pub declared_size: u32,
    /// 0x34.
    pub guid_body: ImageOffset,
}

/// Everything one image says of itself, and what was found wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Where the magic is in the source.
    pub start: FlashAddr,
    /// How its offsets map to the source.
    pub map: AddressMap,
    /// Failsafe or not.
    pub layout: Layout,
    /// The header.
    pub header: Header,
    /// BOOT2 blocks and sections, in chain order, as far as the walk got.
    pub sections: Vec<Section>,
    /// End of the last section walked = size of the image in bytes. 0 when none was.
    pub len: u32,
    /// The full image CRC as flint prints it; `None` when not computed (quick, or the walk stopped)
    /// or tag 11 is absent. Ours is a finding, with and without the tag.
    pub full_crc: Option<CrcVerdict>,
    /// Image Info, when the header's pointer leads to tags that can be read.
    pub info: Option<Info>,
    /// The header's pointer leads to a section of type 10 whose CRC holds.
    pub info_crc_ok: bool,
    /// What flint's query shows where that is not [`Image::info`]: it also takes in the tags of
    /// every Image Info section of the chain, even of those the header does not lead to.
    #[serde(skip)]
    pub chain_info: Option<Info>,
    /// GUID section the header's pointer leads to, when it could be read.
    pub guids: Option<GuidSection>,
    /// ROM, when there is a section of type 5 that is not empty (the first counts).
    pub rom: Option<Rom>,
    /// Ini, when read fully and present (the last section of type 9 counts).
    #[serde(skip)]
    pub ini: Option<Ini>,
    /// What is wrong, worst and first found first.
    pub findings: Vec<Finding>,
    /// What flint's verify concludes. Told after a full read only; after a quick one only the
    /// failures that a quick reading can see, else undecided. flint also counts the signatures of
    /// the whole source: see [`crate::image::Scan::flint_error`].
    pub flint: FlintVerdict,
}

impl Image {
    /// No finding of severity error: the image may be burned and is expected to boot.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.findings.iter().all(|f| f.severity != Severity::Error)
    }

    /// What flint's query shows of the Image Info section.
    #[must_use]
    pub fn flint_info(&self) -> Option<&Info> {
        self.chain_info.as_ref().or(self.info.as_ref())
    }

    /// flint prints the heading of its table: it does so before it refuses the start address of a
    /// failsafe image, but not before that of a non-failsafe one (docs/flint.md#order-of-verify).
    #[must_use]
    pub fn flint_heading(&self) -> bool {
        self.layout != Layout::NonFailsafe || self.start.0 == 0
    }
}

/// Why there is no image to speak of.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The carrier failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing there.
    #[error("the file is empty")]
    Empty,
    /// A zip archive.
    #[error("the file is a zip archive, not an image")]
    Zip,
    /// An image of another generation.
    #[error("the file is an FS{0} image, made for a later chip")]
    OtherFormat(u8),
    /// A vendor archive (MFA).
    #[error("the file is an MFA archive, not an image")]
    Mfa,
    /// An expansion ROM.
    #[error("the file is an expansion ROM, not an image")]
    RomFile,
    /// A raw dump of a flash chip where one contiguous image is wanted; it may hold two images.
    #[error("the file is a raw dump of a flash chip, not an image")]
    RawDump,
    /// Too short to hold a header.
    #[error("{0} bytes are too few for an image header")]
    TooShort(u32),
    /// Length is not a multiple of 4.
    #[error("the length of {0} bytes is not a multiple of 4")]
    Unaligned(u64),
    /// No magic at any candidate.
    #[error("no image signature at any of the places where one may be")]
    NoMagic,
    /// Byte sum of the failsafe word at 0x28.
    #[error("the failsafe word {0:#010x} at 0x28 has a wrong byte sum")]
    FailsafeWord(u32),
}

impl ImageError {
    /// flint's error where it meets the same (docs/flint.md#verify): the text after "failed: ". Before the
    /// one for a failsafe word it prints `\n    Can not read failsafe info word: ` and the text.
    #[must_use]
    pub fn flint_text(&self) -> Option<&'static str> {
        match self {
            Self::NoMagic => Some("No valid image found"),
            Self::FailsafeWord(_) => Some("Corrupted chunk size checksum"),
            _ => None,
        }
    }
}
