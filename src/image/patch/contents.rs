//! A complete image and the facts about it.

use super::PatchError;
use crate::image::crc::stamp_full_crc;
use crate::image::words::{AT_SIZE, CHAIN_END, put_be32};
use crate::image::{
    CrcVerdict, Depth, FindingId, FlashAddr, Form, Image, ImageError, ImageOffset, MAGIC, Section,
    SectionKind, Severity, guess_form, read, scan, sniff,
};

/// A complete contiguous image with the facts that [`crate::image::read`] reports of it. Bytes and
/// facts always agree: each change reads the result and fails if it is not valid. One exception:
/// findings about bytes behind the image stay although those bytes are cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    bytes: Vec<u8>,
    image: Image,
}

/// Bytes between places where an image may start, at least (docs/fs2.md#image-start). Chunks are
/// multiples of it, so interleaving keeps offsets on and off these places.
const CANDIDATE_STEP: usize = 0x1_0000;

impl Contents {
    /// From the bytes of a file: names other formats, reads fully, cuts trailing bytes off (they
    /// stay a finding). An image with findings is returned; see [`Image::is_valid`].
    ///
    /// # Errors
    /// When there is no image in it, or a raw dump ([`ImageError::RawDump`]), of which
    /// [`Contents::from_dump`] takes one half.
    pub fn from_file(bytes: &[u8]) -> Result<Self, ImageError> {
        sniff(bytes)?;
        let mut source = bytes;
        let magics = scan(&mut source)?;
        let start = *magics.first().ok_or(ImageError::NoMagic)?;
        if guess_form(&mut source, start)? == Form::Striped {
            return Err(ImageError::RawDump);
        }
        let image = read(&mut source, start, Form::Contiguous, Depth::Full)?;
        // Where a walk stopped is not where the image ends; then all bytes are kept.
        let keep = if walked_to_end(&image) {
            bytes.get(..image.len as usize).unwrap_or(bytes)
        } else {
            bytes
        };
        Ok(Self { bytes: keep.to_vec(), image })
    }

    /// The image at `start` of a raw dump, contiguous: exactly the bytes of the image when the
    /// walk reached its end, otherwise all that its header claims and the dump holds.
    pub fn from_dump(dump: &[u8], start: FlashAddr) -> Result<Self, ImageError> {
        let mut source = dump;
        let image = read(&mut source, start, Form::Striped, Depth::Full)?;
        let len = if walked_to_end(&image) {
            image.len
        } else {
            image.len.max(image.header.declared_size)
        };
        let mut bytes = Vec::new();
        for (at, run) in image.map.runs(ImageOffset(0), len) {
            let from = dump.get(at.0 as usize..).unwrap_or_default();
            let piece = from.get(..run as usize).unwrap_or(from);
            bytes.extend_from_slice(piece);
            if piece.len() < run as usize {
                break;
            }
        }
        bytes.truncate(bytes.len() / 4 * 4);
        let image = read_contiguous(&bytes)?;
        Ok(Self { bytes, image })
    }

    /// The bytes of the image, contiguous, nothing behind them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Body of a section or BOOT2 block of this image.
    pub fn section_body(&self, section: &Section) -> Option<&[u8]> {
        let start = section.body_at.0 as usize;
        self.bytes.get(start..start.checked_add(section.body_len as usize)?)
    }

    /// The ROM; an empty one is none.
    pub fn rom(&self) -> Option<&[u8]> {
        self.section_body(self.image.rom_section()?)
    }

    /// The section of this kind whose body the header points at.
    pub(super) fn pointed_at(&self, kind: SectionKind, body: ImageOffset) -> Option<&Section> {
        self.image.sections.iter().find(|s| s.kind == kind && s.body_at == body)
    }

    /// The bytes as a change starts from them. Only a valid image is changed: new CRCs over damage
    /// would hide it. Blank GUIDs are what some changes fill, and what was behind the image is
    /// gone.
    pub(super) fn start_change(&self) -> Result<Vec<u8>, PatchError> {
        match first_error(&self.image, &[FindingId::BlankGuids, FindingId::TrailingBytes]) {
            None => Ok(self.bytes.clone()),
            Some(detail) => Err(PatchError::Invalid(detail)),
        }
    }

    /// The same with size and full image CRC written right, where nothing else is wrong: of a card's own image,
    /// which may run with wrong ones (docs/fs2.md#what-boots).
    pub fn sealed(&self) -> Result<Self, PatchError> {
        Self::finish_change(self.bytes.clone(), self.image.blank_in_chain)
    }

    /// Writes size and full image CRC, of which an image may have had wrong ones, and reads the result.
    pub(super) fn finish_change(mut bytes: Vec<u8>, blank: bool) -> Result<Self, PatchError> {
        let size = bytes.len() as u32;
        if !put_be32(&mut bytes, AT_SIZE, size) || !stamp_full_crc(&mut bytes, blank) {
            return Err(PatchError::SelfCheck("there is no header".into()));
        }
        let stray =
            bytes.chunks_exact(CANDIDATE_STEP).skip(1).position(|piece| piece.starts_with(&MAGIC));
        if let Some(index) = stray {
            let at = (index + 1) * CANDIDATE_STEP;
            return Err(PatchError::StraySignature(at as u32));
        }
        let image = read_contiguous(&bytes)?;
        let waived: &[FindingId] = if blank { &[FindingId::BlankGuids] } else { &[] };
        if let Some(detail) = first_error(&image, waived) {
            return Err(PatchError::SelfCheck(detail));
        }
        if image.len as usize != bytes.len() {
            return Err(PatchError::SelfCheck(format!(
                "the image ends at {:#x}, the bytes at {:#x}",
                image.len,
                bytes.len()
            )));
        }
        Ok(Self { bytes, image })
    }
}

fn read_contiguous(bytes: &[u8]) -> Result<Image, ImageError> {
    let mut source = bytes;
    read(&mut source, FlashAddr(0), Form::Contiguous, Depth::Full)
}

/// The first error among the findings that is not waived.
fn first_error(image: &Image, waived: &[FindingId]) -> Option<String> {
    image
        .findings
        .iter()
        .find(|f| f.severity == Severity::Error && !waived.contains(&f.id))
        .map(|f| f.detail.clone())
}

/// The chain was followed to its end marker, so that `len` is the size of the image.
fn walked_to_end(image: &Image) -> bool {
    image.sections.last().is_some_and(|last| {
        matches!(last.next, 0 | CHAIN_END)
            && last.kind != SectionKind::Boot2
            && matches!(last.crc, CrcVerdict::Ok | CrcVerdict::Blank)
    })
}
