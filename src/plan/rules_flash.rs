//! Rules about the flash chip and what lies on it.

use super::check::Verdict;
use super::{NvGeometry, Pass};
use crate::flash::{FlashChip, LayoutError, Protection, overlap};
use crate::image::{AddressMap, Contents, Image, Layout, ini_number};
use std::ops::Range;

/// `map` is where the image goes.
pub(super) fn fits(image: &Image, map: AddressMap, nv: NvGeometry, size: u32) -> Verdict {
    let of = match image.layout {
        Layout::Failsafe { .. } => "half of the flash",
        Layout::NonFailsafe => "the flash",
    };
    let Some(max) = nv.max_image(image.layout, size) else {
        return Err(format!("the configuration area leaves no space in {of} ({size:#x} bytes)"));
    };
    let limit = max.min(map.capacity(size));
    if image.len > limit {
        return Err(format!(
            "the image has {:#x} bytes, {of} less the configuration area holds {limit:#x}",
            image.len
        ));
    }
    Ok(format!("{:#x} of {limit:#x} bytes", image.len))
}

/// `[FW] log_flashdev_size` of an image's ini.
fn stated(contents: &Contents) -> Option<Result<u32, String>> {
    let text = contents.image().ini.as_ref()?.get("FW", "log_flashdev_size")?;
    let log2 = ini_number(&text).and_then(|log2| u32::try_from(log2).ok());
    Some(log2.ok_or(text))
}

/// An image for a larger chip is refused. One for a smaller chip is, too, unless the
/// card's own image states the same for this chip.
pub(super) fn flash_size(image: &Contents, card: Option<&Contents>, size: u32) -> Verdict {
    let log2 = match stated(image) {
        None => return Ok("the image does not state a flash size".into()),
        Some(Err(text)) => {
            return Err(format!("log_flashdev_size = {text:?} in the ini is no size"));
        }
        Some(Ok(log2)) => log2,
    };
    let Some(wanted) = 1u32.checked_shl(log2) else {
        return Err(format!("log_flashdev_size = {log2} in the ini is no size"));
    };
    let own = card.and_then(stated);
    if wanted == size {
        Ok(format!("made for {wanted:#x} bytes, as the chip has"))
    } else if wanted < size && own == Some(Ok(log2)) {
        Ok(format!("made for {wanted:#x} bytes on a chip of {size:#x}, as the card's own image is"))
    } else {
        Err(format!("made for a flash of {wanted:#x} bytes, the chip has {size:#x}"))
    }
}

/// The result of the sector planner, and a second check that does not trust it.
pub(super) fn nv_area(
    passes: &Result<Vec<Pass>, LayoutError>,
    guarded: Option<&[Range<u32>]>,
) -> Verdict {
    let passes = passes.as_ref().map_err(ToString::to_string)?;
    let Some(guarded) = guarded else {
        return Err("the configuration area has no place on this flash".into());
    };
    for range in passes.iter().flat_map(Pass::touched) {
        if let Some(area) = guarded.iter().find(|area| overlap(area, &range)) {
            return Err(format!(
                "{:#x}..{:#x} would be changed, the configuration area is {:#x}..{:#x}",
                range.start, range.end, area.start, area.end
            ));
        }
    }
    let list: Vec<String> =
        guarded.iter().map(|r| format!("{:#x}..{:#x}", r.start, r.end)).collect();
    Ok(if list.is_empty() {
        "there is no configuration area".into()
    } else {
        format!("{} stays untouched", list.join(" and "))
    })
}

/// The chip can be written, and nothing that changes is write protected: set protection bits make
/// erases and programs do nothing, silently.
pub(super) fn protection(
    part: &FlashChip,
    protection: &Protection,
    passes: Option<&[Pass]>,
) -> Verdict {
    if let Some(why) = part.read_only {
        return Err(format!("{} can be read only: {why}", part.name));
    }
    let text = not_protected(part, protection, passes)?;
    Ok(if part.seen {
        text
    } else {
        format!("{text}; {} was never seen on these boards", part.name)
    })
}

fn not_protected(part: &FlashChip, protection: &Protection, passes: Option<&[Pass]>) -> Verdict {
    let bits = protection.status & part.protect_mask;
    if bits == 0 && protection.range.is_none() {
        return Ok(format!("status {:#04x}: nothing is write protected", protection.status));
    }
    let Some(range) = &protection.range else {
        return Ok(format!("status {:#04x}: the bits set protect no block", protection.status));
    };
    if part.unprotect_with.is_some() {
        // SST25 and Atmel power up protected.
        return Ok(format!(
            "status {:#04x}: protected since power-on, as this chip is; cleared for the session",
            protection.status
        ));
    }
    let hit = match passes {
        Some(passes) => {
            passes.iter().flat_map(Pass::touched).any(|touched| overlap(range, &touched))
        }
        None => true,
    };
    let text = format!(
        "status {:#04x}: {:#x}..{:#x} is write protected",
        protection.status, range.start, range.end
    );
    if hit { Err(text) } else { Ok(format!("{text}, nothing there changes")) }
}

/// P1: with another image to boot from, nothing of it may be touched before the commit. A second
/// check that does not trust the planner.
pub(super) fn interruption(kept: Option<&[Range<u32>]>, passes: &[Pass]) -> Verdict {
    let Some(kept) = kept else {
        return Ok(
            "not failsafe: from the first erase to the last step the card has no image; after an interruption, restore from the backup"
                .into(),
        );
    };
    for pass in passes {
        let mut before_commit = pass.clone();
        before_commit.signature.invalidate.clear();
        for range in before_commit.touched() {
            if let Some(hit) = kept.iter().find(|k| overlap(k, &range)) {
                return Err(format!(
                    "{:#x}..{:#x} would be changed while the card still boots from {:#x}..{:#x}",
                    range.start, range.end, hit.start, hit.end
                ));
            }
        }
    }
    Ok("failsafe: the image that boots now stays bootable until the new one is verified".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(jedec: u32, status: u8, second: u8) -> Verdict {
        let part = FlashChip::detect(jedec).unwrap();
        let found = Protection::decode(&part, status, Some(second));
        protection(&part, &found, None)
    }

    #[test]
    fn a_chip_whose_sectors_are_not_known_is_not_written() {
        let why = of(0x01_2018, 0, 0).unwrap_err();
        assert!(why.contains("64 or 256 KiB"), "{why}");
    }

    #[test]
    fn a_chip_never_seen_on_these_boards_is_marked() {
        assert!(of(0xC8_4015, 0, 0).unwrap().contains("never seen"));
        assert!(!of(0x20_7115, 0, 0).unwrap().contains("never seen"));
    }

    #[test]
    fn cmp_alone_protects_the_whole_chip() {
        let why = of(0xEF_4015, 0, 0x40).unwrap_err();
        assert!(why.contains("0x0..0x200000 is write protected"), "{why}");
        assert!(of(0xEF_4015, 0, 0x02).is_ok());
    }
}
