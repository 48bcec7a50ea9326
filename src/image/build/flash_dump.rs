//! An image as it lies in a flash chip.

use super::super::words::AT_FAILSAFE;
use super::super::{FlashAddr, Half};
use super::BuildError;

/// Lay `image` out as in a raw dump of a flash chip of `flash_size` bytes, blank elsewhere
/// (docs/fs2.md#chunk-interleaving). The chunk size is that of the failsafe word of `image`; a non-failsafe image
/// has only the even form, at address 0.
///
/// # Errors
/// [`BuildError::OutOfRange`] when the half or the chip cannot hold it, [`BuildError::TooSmall`]
/// when `image` has no header.
pub fn striped(image: &[u8], half: Half, flash_size: u32) -> Result<Vec<u8>, BuildError> {
    let mut flash = vec![0xFF; flash_size as usize];
    for (at, piece) in pieces(image, half)? {
        let place = flash.get_mut(at.0 as usize..at.0 as usize + piece.len());
        place
            .ok_or(BuildError::OutOfRange {
                field: "size of the flash",
                value: u64::from(flash_size),
            })?
            .copy_from_slice(piece);
    }
    Ok(flash)
}

/// The runs of an image that are contiguous in flash, with their flash addresses.
fn pieces(image: &[u8], half: Half) -> Result<Vec<(FlashAddr, &[u8])>, BuildError> {
    let word = super::super::be32(image, AT_FAILSAFE).ok_or(BuildError::TooSmall {
        needed: 0x38,
        wanted: u32::try_from(image.len()).unwrap_or(u32::MAX),
    })?;
    if word & 8 == 0 {
        return match half {
            Half::Even => Ok(vec![(FlashAddr(0), image)]),
            Half::Odd => Err(BuildError::OutOfRange {
                field: "half of a non-failsafe image",
                value: 1,
            }),
        };
    }
    let chunk = 1_usize << (16 + (word & 7));
    let odd = usize::from(half == Half::Odd);
    image
        .chunks(chunk)
        .enumerate()
        .map(|(k, piece)| {
            let at = (2 * k + odd) * chunk;
            let at = u32::try_from(at).map_err(|_| BuildError::OutOfRange {
                field: "size of the image",
                value: image.len() as u64,
            })?;
            Ok((FlashAddr(at), piece))
        })
        .collect()
}
