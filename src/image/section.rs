//! BOOT2 blocks and sections as found in a chain (docs/fs2.md#boot2-blocks, docs/fs2.md#sections).

use super::ImageOffset;
use serde::Serialize;

/// What a block of the image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectionKind {
    /// Boot loader block in front of the chain.
    Boot2,
    /// Type 1.
    Ddr,
    /// Type 2.
    Configuration,
    /// Type 3.
    JumpAddresses,
    /// Type 4; its GPH size counts bytes.
    EmtService,
    /// Type 5.
    Rom,
    /// Type 6.
    Guid,
    /// Type 7.
    BoardId,
    /// Type 8.
    UserData,
    /// Type 9.
    FwConfiguration,
    /// Type 10.
    ImageInfo,
    /// Type 11.
    Ddrz,
    /// Type 12.
    HashFile,
    /// Any other GPH type.
    Unknown(u32),
}

impl SectionKind {
    /// Longest section body in bytes (docs/fs2.md#section-header).
    pub const MAX_BODY: u32 = 0x40_0000;

    /// The kind for a GPH type word.
    #[must_use]
    pub fn from_gph(kind: u32) -> Self {
        match kind {
            1 => Self::Ddr,
            2 => Self::Configuration,
            3 => Self::JumpAddresses,
            4 => Self::EmtService,
            5 => Self::Rom,
            6 => Self::Guid,
            7 => Self::BoardId,
            8 => Self::UserData,
            9 => Self::FwConfiguration,
            10 => Self::ImageInfo,
            11 => Self::Ddrz,
            12 => Self::HashFile,
            other => Self::Unknown(other),
        }
    }

    /// Bytes of the body for a GPH size word: dwords, for type 4 bytes rounded up to a multiple of 4.
    /// In 32 bits as flint computes it, so an absurd size may wrap to a small one.
    #[must_use]
    pub fn body_len(self, size: u32) -> u32 {
        match self {
            Self::EmtService => size.wrapping_add(3) / 4 * 4,
            _ => size.wrapping_mul(4),
        }
    }

    /// flint's printed name (docs/fs2.md#section-types).
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Boot2 => "BOOT2".into(),
            Self::Ddr => "DDR".into(),
            Self::Configuration => "Configuration".into(),
            Self::JumpAddresses => "Jump addresses".into(),
            Self::EmtService => "EMT Service".into(),
            Self::Rom => "ROM".into(),
            Self::Guid => "GUID".into(),
            Self::BoardId => "BOARD ID".into(),
            Self::UserData => "User Data".into(),
            Self::FwConfiguration => "FW Configuration".into(),
            Self::ImageInfo => "Image Info".into(),
            Self::Ddrz => "DDRZ".into(),
            Self::HashFile => "Hash File".into(),
            Self::Unknown(kind) => format!("UNKNOWN ({})", kind.cast_signed()),
        }
    }
}

/// Outcome of one CRC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum CrcVerdict {
    /// Stored equals computed.
    Ok,
    /// Deliberately blank (docs/flint.md#text-of-verify).
    Blank,
    /// They differ.
    Wrong {
        /// Computed from the bytes.
        computed: u32,
        /// Stored in the image (the whole dword).
        stored: u32,
    },
    /// The GPH claims more than a section may hold.
    TooBig {
        /// Claimed size as flint prints it.
        size: u32,
    },
    /// BOOT2 claims an impossible number of dwords. flint's line names [`Section::at`] and the
    /// address of the size word, 4 bytes on; [`Section::len`] is 8, the bytes looked at.
    UnexpectedSize {
        /// The size word.
        size: u32,
    },
    /// The bytes could not be read (past the end of the file). flint prints no line for this one;
    /// its text is in [`super::FlintVerdict::Failed`].
    Unreadable {
        /// flint's reason text, as in "read error (reason)".
        reason: String,
    },
    /// Not looked at (shallow reading of a card).
    NotChecked,
}

/// One block of the image, in chain order. Sizes are those flint computes, in 32 bits; of a damaged
/// chain they need not lie inside the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What it is.
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
    /// Its CRC.
    pub crc: CrcVerdict,
}

impl Section {
    /// What flint puts in front of a verdict: `     /0x00000038-0x0000065b (0x000624)/ (BOOT2)`
    /// (docs/flint.md#text-of-verify).
    #[must_use]
    pub fn flint_label(&self) -> String {
        let last = self.at.0.wrapping_add(self.len).wrapping_sub(1);
        format!(
            "     /0x{:08x}-0x{last:08x} (0x{:06x})/ ({})",
            self.at.0,
            self.len,
            self.kind.name()
        )
    }

    /// First offset behind it, in 32 bits as flint computes it.
    #[must_use]
    pub fn end(&self) -> ImageOffset {
        ImageOffset(self.at.0.wrapping_add(self.len))
    }
}
