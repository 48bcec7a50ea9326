//! What a file holds: another format, one contiguous image, or a raw dump.

use super::image::{Depth, Image, ImageError, WalkEnd};
use super::inspect::read;
use crate::image::words::{AT_SIZE, HEADER_LEN};
use crate::image::{
    FileFormat, FindingId, FlashAddr, Form, Layout, MAGIC, START_CANDIDATES, Severity, Source, be32,
};

/// First bytes of FS4 images, also at the start candidates. The pattern is that of public tools and
/// was never seen in a file here: UNCONFIRMED.
const FS4_MAGIC: [u8; 16] = [
    0x4D, 0x54, 0x46, 0x57, 0xAB, 0xCD, 0xEF, 0x00, 0xFA, 0xDE, 0x12, 0x34, 0x56, 0x78, 0xDE, 0xAD,
];

/// No image has more bytes: the largest flash an image can start in.
const LARGEST: u32 = 64 << 20;

/// Checks that these bytes of a file hold an FS2 image, contiguous or in a raw dump. The error
/// names the format they have instead.
pub fn sniff(bytes: &[u8]) -> Result<(), ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if let Some(format) = FileFormat::of(bytes) {
        return Err(ImageError::Foreign(format));
    }
    if bytes.starts_with(&[0x55, 0xAA]) {
        return Err(ImageError::RomFile);
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
                _ => complete(bytes, image),
            };
        }
    }
    Err(match bytes.len() {
        len if MAGIC.starts_with(bytes) => ImageError::CutShort { len: len as u64, size: None },
        len if len < HEADER_LEN => ImageError::TooShort(len as u32),
        _ => ImageError::NoMagic,
    })
}

/// Whether a file with these first bytes may hold an image that starts at its beginning, or is an archive that
/// the program opens.
pub fn may_hold_image(start: &[u8]) -> bool {
    let opened = FileFormat::of(start).is_some_and(FileFormat::is_opened);
    opened
        || matches!(
            sniff(start),
            Ok(()) | Err(ImageError::CutShort { .. } | ImageError::Unaligned(_))
        )
}

/// Checks the length of a file with an FS2 image. One that ends between two dwords is part of a download.
fn complete(bytes: &[u8], image: &[u8]) -> Result<(), ImageError> {
    let len = bytes.len() as u64;
    if image.len() < HEADER_LEN {
        return Err(ImageError::CutShort { len, size: None });
    }
    if len.is_multiple_of(4) {
        return Ok(());
    }
    Err(match be32(image, AT_SIZE) {
        Some(size) if size as usize > image.len() && size <= LARGEST => {
            ImageError::CutShort { len, size: Some(size) }
        }
        _ => ImageError::Unaligned(len),
    })
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
    if chain_is_intact(&striped) {
        return Ok(Form::Striped);
    }
    // Where the size in the header is wrong, the CRCs decide.
    let complete = |image: Image| image.walk_end == WalkEnd::Complete;
    Ok(
        if !read(source, start, Form::Contiguous, Depth::Full).is_ok_and(complete)
            && read(source, start, Form::Striped, Depth::Full).is_ok_and(complete)
        {
            Form::Striped
        } else {
            Form::Contiguous
        },
    )
}

/// The chain ends where the header declares the end of the image. Other damage does not matter
/// here.
fn chain_is_intact(image: &Image) -> bool {
    use FindingId::{Chain, Pointer, SectionCrc};
    image.size_word_is_right()
        && !image
            .findings
            .iter()
            .any(|f| f.severity == Severity::Error && matches!(f.id, Chain | Pointer | SectionCrc))
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
        let foreign = |bytes: &[u8], format: FileFormat| {
            assert!(matches!(sniff(bytes), Err(ImageError::Foreign(found)) if found == format));
        };
        foreign(&padded(b"PK\x03\x04"), FileFormat::Zip);
        foreign(&padded(b"MFAR"), FileFormat::Mfa);
        foreign(b"MLNX.MFA2.XZ.00!", FileFormat::Mfa2);
        foreign(b"\x1F\x8B\x08 of odd length", FileFormat::Gzip);
        assert!(matches!(sniff(&padded(&[0x55, 0xAA])), Err(ImageError::RomFile)));
        assert!(matches!(sniff(&padded(&FS4_MAGIC)), Err(ImageError::OtherFormat(4))));
        foreign(b"text", FileFormat::Text);
        assert!(matches!(sniff(&padded(b"text")), Err(ImageError::NoMagic)));
        assert!(matches!(sniff(b"no\0"), Err(ImageError::TooShort(3))));
        assert!(matches!(sniff(&[&padded(b"odd")[..], b"x"].concat()), Err(ImageError::NoMagic)));
        let mut fs3 = padded(&MAGIC);
        fs3[0x24] = 3;
        assert!(matches!(sniff(&fs3), Err(ImageError::OtherFormat(3))));
        fs3.push(0);
        assert!(
            matches!(sniff(&fs3), Err(ImageError::OtherFormat(3))),
            "its length does not matter"
        );
        let mut odd = padded(&FS4_MAGIC);
        odd.push(0);
        assert!(matches!(sniff(&odd), Err(ImageError::OtherFormat(4))));
    }

    #[test]
    fn the_beginning_of_an_image_is_an_incomplete_download() {
        let cut = |bytes: &[u8]| match sniff(bytes) {
            Err(ImageError::CutShort { len, size }) => (len, size),
            other => panic!("{other:?}"),
        };
        assert_eq!(cut(&MAGIC[..7]), (7, None));
        assert_eq!(cut(&MAGIC), (16, None));
        let mut fs2 = padded(&MAGIC);
        fs2[AT_SIZE + 2] = 2;
        assert!(sniff(&fs2).is_ok(), "its findings list what is missing");
        assert_eq!(cut(&fs2[..255]), (255, Some(512)));
        // All of it is there, and one byte more.
        fs2.resize(513, 0);
        assert!(matches!(sniff(&fs2), Err(ImageError::Unaligned(513))));
    }

    #[test]
    fn a_dump_of_the_odd_half_is_an_image() {
        let mut dump = vec![0xFF; 0x10_0000];
        dump[0x8_0000..0x8_0010].copy_from_slice(&MAGIC);
        assert!(sniff(&dump).is_ok());
    }
}
