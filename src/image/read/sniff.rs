//! Telling foreign files by their content, for errors a person can use.

use super::ImageError;
use crate::image::{MAGIC, START_CANDIDATES, read::header};

/// First bytes of FS4 images, also at the start candidates (docs/fs2.md#sources-and-marks says nothing of FS4; the
/// pattern is that of public tools, never met in a file here: UNCONFIRMED).
const FS4_MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0xAB, 0xCD, 0xEF, 0x00, 0xFA, 0xDE, 0x12, 0x34, 0x56, 0x78, 0xDE, 0xAD,
];

/// Is this the content of a file with an FS2 image in it, contiguous or a raw dump?
///
/// # Errors
/// What it is instead: empty, a zip, an MFA, an image of a later generation, an expansion ROM, too
/// short, of a length no image has, or nothing known.
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
    if let Some(short) = u32::try_from(bytes.len())
        .ok()
        .filter(|&n| n < header::SIZE)
    {
        return Err(ImageError::TooShort(short));
    }
    if !bytes.len().is_multiple_of(4) {
        return Err(ImageError::Unaligned(bytes.len() as u64));
    }
    let starts = START_CANDIDATES
        .iter()
        .filter_map(|&start| bytes.get(start as usize..));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(head: &[u8]) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.resize(256, 0);
        bytes
    }

    #[test]
    fn foreign_files_are_called_by_name() {
        assert!(matches!(sniff(&[]), Err(ImageError::Empty)));
        assert!(matches!(
            sniff(&padded(b"PK\x03\x04")),
            Err(ImageError::Zip)
        ));
        assert!(matches!(sniff(&padded(b"MFAR")), Err(ImageError::Mfa)));
        assert!(matches!(sniff(b"MLNX.MFA2.XZ.00!"), Err(ImageError::Mfa)));
        assert!(matches!(
            sniff(&padded(&[0x55, 0xAA])),
            Err(ImageError::RomFile)
        ));
        assert!(matches!(
            sniff(&padded(&FS4_MAGIC)),
            Err(ImageError::OtherFormat(4))
        ));
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
