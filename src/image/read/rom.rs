//! The ROM section: read completely, or on a card only where version blocks lie.

use super::image::{Depth, Image};
use super::reader::Reader;
use crate::image::rom::{HEAD, MAX_IMAGES, PciHead, TAIL, head, next_mark};
use crate::image::{PciImage, Rom, SourceError};

/// A version block and what is read behind it, for windows that end where an image does.
const BEHIND: u32 = 32;

/// The ROM of the image, unless its CRC is wrong.
pub(super) fn read(
    reader: &mut Reader<'_>,
    image: &Image,
    depth: Depth,
) -> Result<Option<Rom>, SourceError> {
    let Some(section) = image.rom_section().filter(|s| s.crc_is_right_or_unread()) else {
        return Ok(None);
    };
    let (at, len) = (section.body_at.0, section.body_len);
    if depth != Depth::Full
        && len > 4 * (HEAD + TAIL)
        && let Some(rom) = windows(reader, at, len)?
    {
        return Ok(Some(rom));
    }
    match reader.read(at, len) {
        Ok(body) => Ok(Some(Rom::parse(body))),
        // The walk has checked the range already.
        Err(error) => error.fault().map(|_| None),
    }
}

/// The ROM from the heads and tails of its images and its own tail, when they hold a version block of
/// each image and all of the chain; `None` when more must be read. `len` bytes lie in the source.
fn windows(reader: &mut Reader<'_>, at: u32, len: u32) -> Result<Option<Rom>, SourceError> {
    let mut sparse = vec![0; len as usize];
    let mut take = |from: u32, to: u32| -> Result<Option<PciHead>, SourceError> {
        let (start, to) = (from & !3, to.min(len));
        match reader.read(at + start, to.saturating_sub(start)) {
            Ok(bytes) => {
                sparse[start as usize..to as usize].copy_from_slice(bytes);
                Ok(head(bytes, from).ok())
            }
            Err(error) => error.fault().map(|_| None),
        }
    };
    let mut image = 0;
    for _ in 0..MAX_IMAGES {
        let head = take(image, image + HEAD)?.filter(|head| !head.list_open);
        let Some(PciHead { image: head, .. }) = head else {
            return Ok(None);
        };
        // `image` is inside the section and a length at most 32 MiB, so the sum fits.
        let end = image + head.len;
        if end > len {
            break;
        }
        take(image.max(end.saturating_sub(TAIL)), end + BEHIND)?;
        if head.last {
            break;
        }
        image = end;
    }
    take(len.saturating_sub(TAIL), len)?;
    let rom = Rom::parse_read(&sparse, false);
    let has_block = |image: &PciImage| {
        let end = image.at.saturating_add(image.len) as usize;
        next_mark(&sparse, image.at as usize).is_some_and(|mark| mark < end)
    };
    // The block of a single image may lie behind it, as in the real FlexBoot.
    let one = rom.images.len() == 1 && !rom.blocks.is_empty();
    let all = one || rom.images.iter().all(has_block);
    Ok((all && rom.chain_fault.is_none()).then_some(rom))
}
