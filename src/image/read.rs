//! Walking one image (fs2-image §1-§4).

use super::{
    AddressMap, CrcVerdict, Finding, FlashAddr, FlintVerdict, GuidSection, ImageOffset, Info, Ini,
    Rom, Section, Source, SourceError,
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
    /// End of the last section walked = size of the image in bytes.
    pub len: u32,
    /// The full image CRC; `None` when not computed (quick) or tag 11 is absent.
    pub full_crc: Option<CrcVerdict>,
    /// Image Info, when it could be read.
    pub info: Option<Info>,
    /// Image Info section CRC holds.
    pub info_crc_ok: bool,
    /// GUID section, when it could be read.
    pub guids: Option<GuidSection>,
    /// ROM, when there is a section of type 5.
    pub rom: Option<Rom>,
    /// Ini, when read fully and present.
    #[serde(skip)]
    pub ini: Option<Ini>,
    /// What is wrong, worst and first found first.
    pub findings: Vec<Finding>,
    /// What flint's verify concludes. Only meaningful after a full read.
    pub flint: FlintVerdict,
}

impl Image {
    /// No finding of severity error: the image may be burned and is expected to boot.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings
            .iter()
            .all(|f| f.severity != super::Severity::Error)
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

/// Read the image whose magic is at `start`.
///
/// # Errors
/// When there is no image to speak of. Damage inside an image is no error but findings.
pub fn read(
    source: &mut dyn Source,
    start: FlashAddr,
    form: Form,
    depth: Depth,
) -> Result<Image, ImageError> {
    let _ = (source, start, form, depth);
    todo!()
}
