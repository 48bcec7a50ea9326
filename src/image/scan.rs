//! Finding image starts (docs/fs2.md#image-start).

use super::{Finding, FindingId, FlashAddr, Severity, Source, SourceError};

/// The 16 bytes that make an image one: its signature (docs/fs2.md#header).
pub const MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0x8C, 0xDF, 0xD0, 0x00, 0xDE, 0xAD, 0x92, 0x70, 0x41, 0x54, 0xBE, 0xEF,
];

/// Where an image may start, in the order everybody looks (docs/fs2.md#image-start; the last one is looked
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

impl Scan {
    /// The finding for more than two signatures, which stop every flint operation (docs/fs2.md#order-of-a-burn #11).
    #[must_use]
    pub fn many_signatures(&self) -> Option<Finding> {
        let places: Vec<_> = self.magics.iter().map(|m| format!("{:#x}", m.0)).collect();
        (places.len() > 2).then(|| {
            Finding::shared(
                FindingId::ManySignatures,
                Severity::Warning,
                None,
                format!(
                    "{} image signatures, at {}; flint refuses to work with more than two",
                    places.len(),
                    places.join(", ")
                ),
            )
        })
    }

    /// flint's error when the signatures alone make `query` and `verify` fail (docs/fs2.md#image-start).
    #[must_use]
    pub fn flint_error(&self) -> Option<String> {
        match self.magics.as_slice() {
            [] => Some("No valid image found".to_owned()),
            [a, b, c, ..] => Some(format!(
                "More than 2 image start locations found at addresses {:#x}, {:#x} and {:#x}. \
                 Image may be corrupted.",
                // flint prints 0x%x, so 0 is 0x0, as Rust does.
                a.0,
                b.0,
                c.0
            )),
            _ => None,
        }
    }
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
        // The first word settles most candidates; on a card the other three cost as much as it.
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
    Ok(Scan { size, magics })
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
    fn only_candidates_count() {
        let found = scan(&mut flash_with(&[0x8_0000, 0x9_0000]).as_slice()).unwrap();
        assert_eq!(found.magics, [FlashAddr(0x8_0000)]);
        assert_eq!(found.flint_error(), None);
        assert_eq!(found.many_signatures(), None);
        let none = scan(&mut [0u8; 15].as_slice()).unwrap();
        assert_eq!(none.flint_error().as_deref(), Some("No valid image found"));
    }

    #[test]
    fn half_a_signature_is_none() {
        let mut flash = flash_with(&[0x1_0000]);
        flash[0x1_000F] ^= 1;
        assert_eq!(scan(&mut flash.as_slice()).unwrap().magics, []);
    }

    #[test]
    fn three_signatures_are_named() {
        let found = scan(&mut flash_with(&[0, 0x2_0000, 0x10_0000]).as_slice()).unwrap();
        assert_eq!(
            found.flint_error().as_deref(),
            Some(
                "More than 2 image start locations found at addresses 0x0, 0x20000 and 0x100000. \
                 Image may be corrupted."
            )
        );
        let finding = found.many_signatures().unwrap();
        assert_eq!(finding.id, FindingId::ManySignatures);
        assert!(finding.detail.contains("0x0, 0x20000, 0x100000"));
    }
}
