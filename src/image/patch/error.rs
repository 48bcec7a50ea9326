//! Why an image cannot be changed so.

use super::super::{ImageError, RomError};

/// Why an image cannot be changed so.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The image has no tag 5 to hold a VSD.
    #[error("the image has no VSD tag")]
    NoVsdTag,
    /// Longer than the field.
    #[error("a VSD of {len} bytes does not fit {room}")]
    VsdTooLong {
        /// Bytes of the VSD.
        len: usize,
        /// Bytes of the field: 208, less in odd images.
        room: usize,
    },
    /// No GUID section, or one with another number of entries than the change needs.
    #[error("the image has no GUID section that fits (it has {0} entries)")]
    GuidSection(u32),
    /// Bytes lie in no section; a new layout would lose them (docs/flint.md#rom-commands).
    #[error("the bytes at {at:#x} belong to no section, a new layout would lose them")]
    Gap {
        /// First byte that belongs to no section, or to two.
        at: u32,
    },
    /// An Image Info section so far behind that the header cannot point at it (24 bits).
    #[error("a section at {0:#x} is out of reach of the header")]
    OutOfReach(u32),
    /// The new bytes put an image signature where a scan looks for images.
    #[error("the change puts an image signature at {0:#x}")]
    StraySignature(u32),
    /// No sound image to start from.
    #[error("the image is not sound: {0}")]
    Unsound(String),
    /// Not an image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The ROM is none.
    #[error(transparent)]
    Rom(#[from] RomError),
    /// The changed image does not verify; a defect of this program.
    #[error("the changed image does not verify: {0}")]
    SelfCheck(String),
}
