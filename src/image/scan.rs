//! Finding image starts (fs2-image §1.3).

use super::{FlashAddr, Source, SourceError};

/// The 16 bytes that make an image one: its signature (fs2-image §1.2).
pub const MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0x8C, 0xDF, 0xD0, 0x00, 0xDE, 0xAD, 0x92, 0x70, 0x41, 0x54, 0xBE, 0xEF,
];

/// Where an image may start, in the order everybody looks (fs2-image §1.3; the last one is looked
/// at by newer tools only and lies beyond any ConnectX-3 flash).
pub const START_CANDIDATES: [u32; 11] = [
    0, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000, 0x80_0000,
    0x100_0000, 0x200_0000,
];

/// All signatures found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Scan {
    /// Size of what was scanned, in bytes.
    pub size: u32,
    /// Candidates that carry the magic, lowest first.
    pub magics: Vec<FlashAddr>,
}

/// Look for the magic at every candidate.
///
/// # Errors
/// When the source cannot be read.
pub fn scan(source: &mut dyn Source) -> Result<Scan, SourceError> {
    let size = source.size();
    let mut magics = Vec::new();
    for start in START_CANDIDATES {
        if start.checked_add(16).is_none_or(|end| end > size) {
            continue;
        }
        let mut bytes = [0; 16];
        source.read_at(FlashAddr(start), &mut bytes)?;
        if bytes == MAGIC {
            magics.push(FlashAddr(start));
        }
    }
    Ok(Scan { size, magics })
}
