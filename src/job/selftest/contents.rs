//! Stages about what the flash holds. Pure.

use super::driver::DriverFacts;
use crate::flash::overlap;
use crate::image::{
    Contents, FlashAddr, Image, ImageOffset, Layout, MAGIC, START_CANDIDATES, Version,
};
use crate::job::stage::StageFinding;
use crate::plan::{CardSnapshot, ImageSlot, NvGeometry};
use std::ops::Range;

/// Every image verifies, read through the striping of its layout.
pub(super) fn images(card: &CardSnapshot) -> StageFinding {
    let list: Vec<String> = card.slots.iter().map(describe).collect();
    let valid = card.slots.iter().filter(|slot| slot.image().is_some_and(Image::is_valid)).count();
    let finding = if card.slots.is_empty() && card.recovery {
        StageFinding::unknown("the flash holds no image, and no firmware runs")
    } else if valid == card.slots.len() && valid > 0 {
        StageFinding::proved(format!("every CRC is right: {}", list.join(", ")))
    } else if valid == 0 && card.running.is_some() {
        let what = "firmware runs, and no image on the flash verifies";
        StageFinding::contradicted(match list.as_slice() {
            [] => what.to_owned(),
            list => format!("{what}: {}", list.join(", ")),
        })
    } else {
        StageFinding::unknown(format!("an image does not verify: {}", list.join(", ")))
    };
    finding.with("images", card.slots.len() as u64).with("valid_images", valid as u64)
}

fn describe(slot: &ImageSlot) -> String {
    let Some(image) = slot.image() else {
        return format!("unreadable at {:#x}", slot.start.0);
    };
    let version = image.fw_version().map_or_else(|| "no version".into(), |v| v.to_string());
    let striping = match image.layout {
        Layout::Failsafe { chunk_log2 } => format!(", chunks of {:#x}", 1_u64 << chunk_log2),
        Layout::NonFailsafe => String::new(),
    };
    let state = if image.is_valid() { "" } else { ", damaged" };
    format!("{version} at {:#x}{striping}{state}", slot.start.0)
}

/// The version that runs is that of exactly one image.
pub(super) fn running(card: &CardSnapshot) -> StageFinding {
    let Some(running) = card.running else {
        return StageFinding::unknown("no firmware runs, or it shows no version");
    };
    let version = |slot: &ImageSlot| slot.image().and_then(Image::fw_version);
    let same: Vec<&ImageSlot> =
        card.bootable().filter(|slot| version(slot) == Some(running)).collect();
    let failsafe = card.slots.iter().filter_map(ImageSlot::image).any(is_failsafe);
    match same.as_slice() {
        [one] => StageFinding::proved(format!("{running} runs, the image at {:#x}", one.start.0)),
        [first, second, ..] => StageFinding::unknown(format!(
            "{running} runs, and the images at {:#x} and {:#x} are both of this version",
            first.start.0, second.start.0
        )),
        [] if left_by_update(card, running) || !failsafe => StageFinding::unknown(format!(
            "{running} runs, and the flash boots another version: a reset is pending \
             (`cx3flash activate`, then run this again)"
        )),
        [] => StageFinding::contradicted(format!(
            "{running} runs, and no image on the flash is of this version (two updates without a reset \
             leave that too: `cx3flash activate`, then run this again)"
        )),
    }
}

fn is_failsafe(image: &Image) -> bool {
    image.layout != Layout::NonFailsafe
}

/// An image of this version is there whose signature an update has invalidated.
fn left_by_update(card: &CardSnapshot, version: Version) -> bool {
    START_CANDIDATES.into_iter().any(|start| {
        let at = start as usize;
        let rest = card.flash.get(at + 4..at + 16);
        if rest != MAGIC.get(4..) || card.flash.get(at..at + 4) != Some(&[0; 4]) {
            return false;
        }
        let mut flash = card.flash.clone();
        if let Some(place) = flash.get_mut(at..at + 16) {
            place.copy_from_slice(&MAGIC);
        }
        let image = Contents::from_dump(&flash, FlashAddr(start));
        image.is_ok_and(|image| image.image().fw_version() == Some(version))
    })
}

/// The boot address register names a place where an image may start, or none.
pub(super) fn boot_address(register: u32, card: &CardSnapshot) -> StageFinding {
    let start = register >> 8;
    let finding = if card.slots.iter().any(|slot| slot.start.0 == start) {
        StageFinding::proved(format!("it names the image at {start:#x}"))
    } else if register == 0 {
        StageFinding::unknown("it is 0, as after power-on")
    } else if START_CANDIDATES.contains(&start) {
        StageFinding::unknown(format!("it names {start:#x}, where no image is"))
    } else {
        let what = format!("it holds {register:#010x}, no place where an image may start");
        StageFinding::contradicted(what)
    };
    finding.with("register", format!("{register:#010x}"))
}

/// The flash holds what the driver knew: version, PSID, MACs.
pub(super) fn identity(card: &CardSnapshot, driver: &DriverFacts) -> StageFinding {
    let Some(slot) = card.active().map(|active| active.slot) else {
        return StageFinding::unknown("the flash holds no image that can be read");
    };
    let Some(image) = slot.image() else {
        return StageFinding::unknown("the image cannot be read");
    };
    let Some(identity) = slot.identity() else {
        return StageFinding::unknown("the image holds no identity that can be read");
    };
    let macs: Vec<String> = identity.macs.iter().map(ToString::to_string).collect();
    let plain = |mac: &str| mac.replace(':', "").to_ascii_lowercase();
    let unlike = |mac: &&String| !macs.iter().any(|ours| plain(ours) == plain(mac));
    let other_mac = driver.macs.iter().find(unlike);
    let psid = image.psid().map(|psid| psid.as_str().to_owned());
    let other_board = driver.board_id.as_ref().filter(|board| Some(*board) != psid.as_ref());
    let finding = match (other_board, other_mac) {
        (Some(board), _) if image.fw_version() == card.running => {
            StageFinding::contradicted(format!(
                "the driver reported the board {board}, the flash holds {}",
                psid.as_deref().unwrap_or("none")
            ))
        }
        (_, Some(mac)) => StageFinding::unknown(format!(
            "a port had the MAC {mac}, which is not on the flash: a host may set another one"
        )),
        (None, None) if driver.board_id.is_some() || !driver.macs.is_empty() => {
            StageFinding::proved("PSID and MACs are those that the driver knew")
        }
        _ => StageFinding::unknown("no driver knew this card's identity"),
    };
    match psid {
        Some(psid) => finding.with("psid", psid).with("macs", macs.join(" ")),
        None => finding.with("macs", macs.join(" ")),
    }
}

/// The area in which the firmware keeps settings is where tag 19 of the image predicts it.
pub(super) fn settings_area(card: &CardSnapshot) -> StageFinding {
    let Some(image) = card.active().and_then(|active| active.slot.image()) else {
        return StageFinding::unknown("the flash holds no image that can be read");
    };
    let size = card.flash_chip.geometry.size;
    let infos: Vec<_> =
        card.slots.iter().map(|s| s.image().and_then(|i| i.info.as_ref())).collect();
    let Some(areas) = NvGeometry::of(&infos).areas(image.layout, size) else {
        return StageFinding::contradicted(
            "the area that the image states has no place on this flash",
        );
    };
    let list = |areas: &[Range<u32>]| {
        let list: Vec<String> =
            areas.iter().map(|area| format!("{:#x}..{:#x}", area.start, area.end)).collect();
        list.join(" and ")
    };
    let reaches = |image: &Image| {
        let runs = image.map.runs(ImageOffset(0), image.len);
        let mut taken = runs.map(|(at, len)| at.0..at.0.saturating_add(len));
        taken.any(|run| areas.iter().any(|area| overlap(area, &run)))
    };
    if card.bootable().filter_map(ImageSlot::image).any(reaches) {
        let what = format!("an image that boots reaches into {}", list(&areas));
        return StageFinding::contradicted(what);
    }
    let bytes = |area: &Range<u32>| card.flash.get(area.start as usize..area.end as usize);
    let used =
        |area: &Range<u32>| bytes(area).is_some_and(|bytes| bytes.iter().any(|b| *b != 0xFF));
    if areas.is_empty() {
        StageFinding::unknown("the image states no such area")
    } else if areas.iter().any(used) {
        StageFinding::proved(format!("{} is used, and no image reaches into it", list(&areas)))
    } else {
        StageFinding::unknown(format!("{} is blank: no setting is stored", list(&areas)))
    }
}
