//! BOOT2 blocks and sections of a chain (docs/fs2.md#boot2-blocks, docs/fs2.md#sections).

use super::{ImageOffset, RangeError};
use schemars::JsonSchema;
use serde::Serialize;

/// What a block of the image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// Boot loader block in front of the chain.
    Boot2,
    Ddr,
    Configuration,
    JumpAddresses,
    /// Its GPH size counts bytes.
    EmtService,
    Rom,
    Guid,
    BoardId,
    UserData,
    FwConfiguration,
    ImageInfo,
    Ddrz,
    HashFile,
    /// Any other GPH type.
    Unknown(u32),
}

impl SectionKind {
    /// Longest section body in bytes (docs/fs2.md#section-header).
    pub const MAX_BODY: u32 = 0x40_0000;

    /// The kinds with GPH types 1 to 12, with the names that mstflint prints
    /// (docs/fs2.md#section-types).
    const NAMED: [(Self, &str); 12] = [
        (Self::Ddr, "DDR"),
        (Self::Configuration, "Configuration"),
        (Self::JumpAddresses, "Jump addresses"),
        (Self::EmtService, "EMT Service"),
        (Self::Rom, "ROM"),
        (Self::Guid, "GUID"),
        (Self::BoardId, "BOARD ID"),
        (Self::UserData, "User Data"),
        (Self::FwConfiguration, "FW Configuration"),
        (Self::ImageInfo, "Image Info"),
        (Self::Ddrz, "DDRZ"),
        (Self::HashFile, "Hash File"),
    ];

    pub fn from_gph(kind: u32) -> Self {
        let named = Self::NAMED.get(kind.wrapping_sub(1) as usize);
        named.map_or(Self::Unknown(kind), |(kind, _)| *kind)
    }

    /// Bytes of the body for a GPH size word: dwords, for type 4 bytes rounded up to a multiple of
    /// 4. Computed in 32 bits like mstflint does, so a huge size may wrap to a small one.
    pub fn body_len(self, size: u32) -> u32 {
        match self {
            Self::EmtService => size.wrapping_add(3) / 4 * 4,
            _ => size.wrapping_mul(4),
        }
    }

    /// The name that mstflint prints.
    pub fn name(self) -> String {
        let mut named = Self::NAMED.iter();
        match (self, named.find(|(kind, _)| *kind == self)) {
            (Self::Unknown(kind), _) => format!("UNKNOWN ({})", kind.cast_signed()),
            (_, Some((_, name))) => (*name).to_owned(),
            (_, None) => "BOOT2".to_owned(),
        }
    }
}

/// Outcome of one CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum CrcVerdict {
    Ok,
    /// Deliberately blank (docs/flint.md#text-of-verify).
    Blank,
    Wrong {
        computed: u32,
        /// The dword in the image.
        stored: u32,
    },
    /// The GPH claims more than a section may hold.
    TooBig {
        /// In bytes.
        size: u32,
    },
    /// A BOOT2 block claims an impossible number of dwords; [`Section::len`] is 8.
    UnexpectedSize {
        /// The size word.
        size: u32,
    },
    /// The source does not hold the block. [`Section::len`] is 8 when it ends before the size word
    /// of a BOOT2 block.
    Unreadable {
        reason: RangeError,
    },
    /// Not read (quick reading of a card).
    NotChecked,
}

/// One block of the image. Sizes are computed in 32 bits; in a damaged chain they need not lie
/// inside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    pub kind: SectionKind,
    /// First byte (the GPH, or the BOOT2 block).
    pub at: ImageOffset,
    /// Bytes including GPH and CRC.
    pub len: u32,
    /// First byte of the body.
    pub body_at: ImageOffset,
    /// Body bytes.
    pub body_len: u32,
    /// GPH `param`; 0 for BOOT2.
    pub param: u32,
    /// GPH `next` as stored; 0 for BOOT2.
    pub next: u32,
    pub crc: CrcVerdict,
}

impl Section {
    /// Its CRC is right, as far as it was read.
    pub(super) fn crc_is_right_or_unread(&self) -> bool {
        matches!(self.crc, CrcVerdict::Ok | CrcVerdict::NotChecked)
    }

    /// First offset behind it, in 32 bits.
    pub fn end(&self) -> ImageOffset {
        ImageOffset(self.at.0.wrapping_add(self.len))
    }
}
