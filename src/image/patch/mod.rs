//! Changing an image in memory (docs/fs2.md#guid-section, docs/flint.md#rom-commands).
//!
//! [`Contents`] holds a complete contiguous image beside the facts that [`super::read`] reports of
//! it. Every change makes a new `Contents`: bytes patched, CRCs written, read again in full, and
//! refused with [`PatchError::SelfCheck`] when the result is not valid or when more changed than
//! was requested.

mod checksum;
mod contents;
mod identity;
mod rom;

pub use contents::Contents;

use super::{ImageError, RomError};

/// Why an image cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The image has no tag 5 to hold a VSD.
    #[error("the image has no VSD tag")]
    NoVsdTag,
    /// `max` is 208, less in odd images.
    #[error("a VSD of {len} bytes does not fit {max}")]
    VsdTooLong { len: usize, max: usize },
    /// No GUID section, or one with another number of entries than the change needs.
    #[error("the image has no GUID section that fits (it has {0} entries)")]
    GuidSection(u32),
    /// A new layout would lose bytes that lie in no section, or in two
    /// (docs/flint.md#rom-commands).
    #[error("the bytes at {at:#x} belong to no section, a new layout would lose them")]
    Gap { at: u32 },
    /// An Image Info section so far behind that the header cannot point at it (24 bits).
    #[error("a section at {0:#x} is out of reach of the header")]
    OutOfReach(u32),
    /// The new bytes put an image signature where a scan looks for images.
    #[error("the change puts an image signature at {0:#x}")]
    StraySignature(u32),
    #[error("the image is not valid: {0}")]
    Invalid(String),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error(transparent)]
    Rom(#[from] RomError),
    /// A defect of this program.
    #[error("the changed image does not verify: {0}")]
    SelfCheck(String),
}

#[cfg(test)]
mod tests;
