//! What a file holds: another format, one contiguous image, or a raw dump.

use super::image::{Depth, Image, ImageError};
use super::inspect::read;
use crate::image::words::HEADER_LEN;
use crate::image::{FindingId, FlashAddr, Form, Layout, MAGIC, START_CANDIDATES, Severity, Source};

/// First bytes of FS4 images, also at the start candidates. The pattern is that of public tools and
/// was never seen in a file here: UNCONFIRMED.
const FS4_MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0xAB, 0xCD, 0xEF, 0x00, 0xFA, 0xDE, 0x12, 0x34, 0x56, 0x78, 0xDE, 0xAD,
];

/// Checks that these bytes of a file hold an FS2 image, contiguous or in a raw dump. The error
/// names the format they have instead.
pub fn sniff(bytes: &[u8]) -> Result<(), ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Err(ImageError::Zip);
    }
    // docs/fs2.md#other-formats: the archive and its successor.
    if bytes.starts_with(b"MFAR") || bytes.starts_with(b"MLNX.MFA2") {
        return Err(ImageError::Mfa);
    }
    if bytes.starts_with(&[0x55, 0xAA]) {
        return Err(ImageError::RomFile);
    }
    if bytes.len() < HEADER_LEN {
        return Err(ImageError::TooShort(bytes.len() as u32));
    }
    if !bytes.len().is_multiple_of(4) {
        return Err(ImageError::Unaligned(bytes.len() as u64));
    }
    let starts = START_CANDIDATES.iter().filter_map(|&start| bytes.get(start as usize..));
    for image in starts {
        if image.starts_with(&FS4_MAGIC) {
            return Err(ImageError::OtherFormat(4));
        }
        if image.starts_with(&MAGIC) {
            // Bits 31:24 of the dword at 0x24: 3 is FS3, all else FS2 (docs/fs2.md#header).
            return match image.get(0x24) {
                Some(3) => Err(ImageError::OtherFormat(3)),
                _ => Ok(()),
            };
        }
    }
    Err(ImageError::NoMagic)
}

/// The form in which the image at `start` of a file is most likely stored; no field states it
/// (docs/fs2.md#image-files). An image that does not start at 0 can only be from a dump. One at 0
/// has the form in which its chain is intact, and is contiguous if both or neither is (both: an
/// image no longer than one chunk, which is the same in both forms).
pub fn guess_form(source: &mut dyn Source, start: FlashAddr) -> Result<Form, ImageError> {
    let image = read(source, start, Form::Contiguous, Depth::Quick)?;
    if start.0 != 0 {
        return Ok(Form::Striped);
    }
    if image.layout == Layout::NonFailsafe || chain_is_intact(&image) {
        return Ok(Form::Contiguous);
    }
    let striped = read(source, start, Form::Striped, Depth::Quick)?;
    Ok(if chain_is_intact(&striped) { Form::Striped } else { Form::Contiguous })
}

/// The chain ends where the header declares the end of the image. Other damage does not matter
/// here.
fn chain_is_intact(image: &Image) -> bool {
    use FindingId::{Chain, Pointer, SectionCrc, Size};
    image.len == image.header.declared_size
        && !image.findings.iter().any(|f| {
            f.severity == Severity::Error && matches!(f.id, Chain | Pointer | SectionCrc | Size)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(head: &[u8]) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.resize(256, 0);
        bytes
    }

    #[test]
    fn files_of_other_formats_are_named() {
        assert!(matches!(sniff(&[]), Err(ImageError::Empty)));
        assert!(matches!(sniff(&padded(b"PK\x03\x04")), Err(ImageError::Zip)));
        assert!(matches!(sniff(&padded(b"MFAR")), Err(ImageError::Mfa)));
        assert!(matches!(sniff(b"MLNX.MFA2.XZ.00!"), Err(ImageError::Mfa)));
        assert!(matches!(sniff(&padded(&[0x55, 0xAA])), Err(ImageError::RomFile)));
        assert!(matches!(sniff(&padded(&FS4_MAGIC)), Err(ImageError::OtherFormat(4))));
        assert!(matches!(sniff(&MAGIC), Err(ImageError::TooShort(16))));
        assert!(matches!(sniff(&padded(b"text")), Err(ImageError::NoMagic)));
        let mut fs3 = padded(&MAGIC);
        fs3[0x24] = 3;
        assert!(matches!(sniff(&fs3), Err(ImageError::OtherFormat(3))));
        fs3[0x24] = 0;
        assert!(sniff(&fs3).is_ok());
        fs3.push(0);
        assert!(matches!(sniff(&fs3), Err(ImageError::Unaligned(257))));
    }

    #[test]
    fn a_dump_of_the_odd_half_is_an_image() {
        let mut dump = vec![0xFF; 0x10_0000];
        dump[0x8_0000..0x8_0010].copy_from_slice(&MAGIC);
        assert!(sniff(&dump).is_ok());
    }
}
