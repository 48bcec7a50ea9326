//! The ROM section: read completely, or on a card only where version blocks lie.

use super::image::Depth;
use super::reader::Reader;
use crate::image::rom::{HEAD, PciImage, TAIL, pci_image};
use crate::image::{CrcVerdict, Rom, Section, SectionKind, SourceError};

/// Images read in one ROM. Real ones have one or two.
const MAX_IMAGES: usize = 8;
/// A version block and what is read behind it, for windows that end where an image does.
const BEHIND: u32 = 32;

/// The first ROM section that is not empty, as mstflint selects it.
pub(super) fn section(sections: &[Section]) -> Option<&Section> {
    sections.iter().find(|s| {
        s.kind == SectionKind::Rom
            && s.body_len != 0
            && matches!(s.crc, CrcVerdict::Ok | CrcVerdict::NotChecked)
    })
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    sections: &[Section],
    depth: Depth,
) -> Result<Option<Rom>, SourceError> {
    let Some(section) = section(sections) else {
        return Ok(None);
    };
    let (at, len) = (section.body_at.0, section.body_len);
    if depth == Depth::Quick && len > 4 * (HEAD + TAIL) {
        let rom = windows(reader, at, len)?;
        if !rom.blocks.is_empty() {
            return Ok(Some(rom));
        }
    }
    match reader.read(at, len) {
        Ok(body) => Ok(Some(Rom::parse(body))),
        // The walk has checked the range already.
        Err(error) => error.fault().map(|_| None),
    }
}

/// The heads and tails of the images, and the tail of the section. `len` bytes lie in the source.
fn windows(reader: &mut Reader<'_>, at: u32, len: u32) -> Result<Rom, SourceError> {
    let mut sparse = vec![0; len as usize];
    let mut take = |from: u32, to: u32| -> Result<Option<PciImage>, SourceError> {
        let (from, to) = (from & !3, to.min(len));
        match reader.read(at + from, to.saturating_sub(from)) {
            Ok(bytes) => {
                sparse[from as usize..to as usize].copy_from_slice(bytes);
                Ok(pci_image(bytes))
            }
            Err(error) => error.fault().map(|_| None),
        }
    };
    let mut image = 0;
    for _ in 0..MAX_IMAGES {
        let Some(head) = take(image, image + HEAD)? else {
            break;
        };
        // `image` is inside the section and a length at most 32 MiB, so the sum fits.
        let end = image + head.len;
        if end > len {
            break;
        }
        take(image.max(end.saturating_sub(TAIL)), end + BEHIND)?;
        if head.last || end + HEAD > len {
            break;
        }
        image = end;
    }
    take(len.saturating_sub(TAIL), len)?;
    Ok(Rom::parse_read(&sparse, false))
}
