//! Finding image starts (docs/fs2.md#image-start).

use super::{FlashAddr, Source, SourceError};

/// The signature of an image: its first 16 bytes (docs/fs2.md#header).
pub const MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0x8C, 0xDF, 0xD0, 0x00, 0xDE, 0xAD, 0x92, 0x70, 0x41, 0x54, 0xBE, 0xEF,
];

/// Where an image may start, in the order in which mstflint checks (docs/fs2.md#image-start). Only
/// newer versions check the last one, which lies beyond any ConnectX-3 flash.
pub const START_CANDIDATES: [u32; 11] = [
    0, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000, 0x80_0000,
    0x100_0000, 0x200_0000,
];

/// The candidates that carry the signature, lowest first.
///
/// # Errors
/// When the source cannot be read.
pub fn scan(source: &mut dyn Source) -> Result<Vec<FlashAddr>, SourceError> {
    let size = source.size();
    let mut magics = Vec::new();
    for start in START_CANDIDATES {
        if start.checked_add(16).is_none_or(|end| end > size) {
            continue;
        }
        // The first word decides for most candidates; on a card each of the others costs as much.
        let mut bytes = [0; 16];
        let (first, rest) = bytes.split_at_mut(4);
        source.read_at(FlashAddr(start), first)?;
        if first != &MAGIC[..4] {
            continue;
        }
        source.read_at(FlashAddr(start + 4), rest)?;
        if bytes == MAGIC {
            magics.push(FlashAddr(start));
        }
    }
    Ok(magics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash_with(at: &[usize]) -> Vec<u8> {
        let mut flash = vec![0xFF; 2 << 20];
        for &start in at {
            flash[start..start + 16].copy_from_slice(&MAGIC);
        }
        flash
    }

    #[test]
    fn signatures_count_at_candidates_only() {
        let found = scan(&mut flash_with(&[0x8_0000, 0x9_0000]).as_slice()).unwrap();
        assert_eq!(found, [FlashAddr(0x8_0000)]);
        let none = scan(&mut [0u8; 15].as_slice()).unwrap();
        assert_eq!(none, []);
    }

    #[test]
    fn half_a_signature_is_not_a_signature() {
        let mut flash = flash_with(&[0x1_0000]);
        flash[0x1_000F] ^= 1;
        assert_eq!(scan(&mut flash.as_slice()).unwrap(), []);
    }
}
