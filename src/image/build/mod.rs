//! Builder of valid images from a small description, for tests, the simulated card and the demo
//! (docs/fs2.md#a-valid-image).
//!
//! [`Recipe`] describes an image, [`build`] makes it, [`RomRecipe`] makes the expansion ROM for it,
//! [`striped`] lays an image out as a raw dump of a flash chip. No byte is vendor firmware: code is
//! seeded filler, only the shape is that of real images.

mod assemble;
mod filler;
mod info;
mod ini;
mod recipe;
mod rom;

pub use assemble::build;
pub use recipe::{ExtraSection, Recipe};
pub use rom::{RomBlock, RomRecipe};

use super::words::AT_FAILSAFE;
use super::{AddressMap, Half, ImageOffset, be32};

/// Why no image can be made from a recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("{field} does not fit {max} bytes")]
    TextTooLong { field: &'static str, max: usize },
    #[error("{field} = {value} is out of range")]
    OutOfRange { field: &'static str, value: u64 },
    #[error("the sections need {needed} bytes, {wanted} were requested")]
    TooSmall { needed: u32, wanted: u32 },
    /// Something of the recipe carries an image signature, which a scan of a flash chip could take
    /// for the start of an image.
    #[error("an image signature inside the image, at {at:#x}")]
    StraySignature { at: u32 },
}

impl BuildError {
    fn out_of_range(field: &'static str, value: impl Into<u64>) -> Self {
        let value = value.into();
        Self::OutOfRange { field, value }
    }
}

/// Lays `image` out as in a raw dump of a flash chip of `flash_size` bytes, blank elsewhere
/// (docs/fs2.md#chunk-interleaving). The chunk size is that of the failsafe word of `image`; a
/// non-failsafe image has only the even form, at address 0.
pub fn striped(image: &[u8], half: Half, flash_size: u32) -> Result<Vec<u8>, BuildError> {
    let failsafe = be32(image, AT_FAILSAFE)
        .ok_or(BuildError::TooSmall { needed: 0x38, wanted: image.len() as u32 })?;
    let map = match (failsafe & 8 != 0, half) {
        (true, half) => AddressMap::Striped { chunk_log2: 16 + (failsafe & 7) as u8, half },
        (false, Half::Even) => AddressMap::Contiguous,
        (false, Half::Odd) => {
            let field = "half of a non-failsafe image";
            return Err(BuildError::out_of_range(field, 1_u8));
        }
    };
    let mut flash = vec![0xFF; flash_size as usize];
    let mut rest = image;
    for (at, len) in map.runs(ImageOffset(0), image.len() as u32) {
        let (piece, after) = rest.split_at(len as usize);
        let place = flash.get_mut(at.0 as usize..at.0 as usize + piece.len());
        let too_small = BuildError::out_of_range("size of the flash", flash_size);
        place.ok_or(too_small)?.copy_from_slice(piece);
        rest = after;
    }
    Ok(flash)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::recipes;
