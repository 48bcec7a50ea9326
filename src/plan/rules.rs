//! Rules about the image and the card it is for.

use super::check::Verdict;
use super::{Bootability, BurnOptions, CardSnapshot, ImageSlot, RomChoice, SlotChoice, Validity};
use crate::card::{Chip, DeviceType};
use crate::image::{Contents, FindingId, Image, Layout, Rom, SectionKind, Severity, WalkEnd};
use crate::words::counted;
use std::cmp::Ordering;

/// The word for "no PSID" in `--change-psid`.
pub(super) const NO_PSID: &str = "none";

/// The image verifies. Blank GUIDs in a file are no error: they are replaced anyway.
pub(super) fn image_valid(image: &Image) -> Verdict {
    let faults: Vec<&str> = image
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error && f.id != FindingId::BlankGuids)
        .map(|f| f.detail.as_str())
        .collect();
    if faults.is_empty() {
        Ok(format!("{}, all verified", counted(image.sections.len(), "section")))
    } else {
        Err(format!("the image does not verify: {}", faults.join("; ")))
    }
}

/// The card's own image is burned again: its code must be valid, its ROM need not.
pub(super) fn own_image_valid(image: &Image) -> Verdict {
    let validity = Validity::of(image);
    if validity.code {
        Ok("the card's own image; its code verifies".into())
    } else {
        Err(format!("the card's own image does not verify: {}", validity.notes.join("; ")))
    }
}

/// `None` for an image whose chain of sections is not complete: where it ends is not known then.
pub(super) fn image_size(image: &Image, file_len: u64) -> Option<Verdict> {
    if image.walk_end != WalkEnd::Complete {
        return None;
    }
    Some(sizes(image, file_len))
}

fn sizes(image: &Image, file_len: u64) -> Verdict {
    let chain = image.len;
    if u64::from(chain) > file_len {
        return Err(format!("the image has {chain:#x} bytes, the file only {file_len:#x}"));
    }
    let ends = match file_len - u64::from(chain) {
        0 => String::new(),
        n => format!("; {} after it ignored", counted(n, "byte")),
    };
    Ok(match wrong_size_word(image) {
        None => format!("{chain:#x} bytes, as in the header{ends}"),
        Some(wrong) => format!("{wrong}: corrected{ends}"),
    })
}

/// The size of the card's own image.
pub(super) fn own_image_size(image: &Image) -> Verdict {
    Ok(match wrong_size_word(image) {
        None => "as on the card".into(),
        Some(wrong) => format!("{wrong}: corrected"),
    })
}

fn wrong_size_word(image: &Image) -> Option<String> {
    let declared = image.header.declared_size;
    let end = image.len;
    (!image.size_word_is_right())
        .then(|| format!("the header has {declared:#x} bytes, the sections end at {end:#x}"))
}

/// What is written differs from the image it is made of.
pub(super) fn size_warning(image: &Image) -> Option<String> {
    wrong_size_word(image).map(|wrong| {
        format!(
            "Size word: {wrong}, as tools that edit an ini leave it. Size and full image CRC are written right."
        )
    })
}

/// Judged on what will be on the card. mstflint accepts a ROM with blocks for several devices with a
/// warning; here every block must be for this device, and where no block names one, every PCI image.
pub(super) fn rom_device(result: &Image) -> Verdict {
    let device = result.info.as_ref().and_then(|i| i.device_id);
    let Some(rom) = &result.rom else {
        return Ok("no ROM".into());
    };
    if let Some(device) = device
        && let Some(other) = rom.other_device(device)
    {
        return Err(format!(
            "the firmware is for device {device} ({device:#06x}), the ROM for {other}"
        ));
    }
    let named = if rom.names_no_device() { "names no device" } else { "is for this device" };
    let fault = rom.chain_fault.map_or_else(String::new, |fault| format!("; {fault}"));
    Ok(format!("ROM {} {named}{fault}", rom_text(rom)))
}

pub(super) fn signatures(card: &CardSnapshot) -> Verdict {
    let booted = card.boots().start;
    let list: Vec<String> = card
        .slots
        .iter()
        .map(|found| {
            let version = found.image().and_then(Image::fw_version);
            let runs = Some(found.start) == booted;
            if let (Some(version), Some(why)) = (version, found.wrong_silicon().filter(|_| !runs)) {
                return format!("{:#x} ({version} does not start here: {why})", found.start.0);
            }
            let what = match (found.bootability(), version) {
                (Bootability::Sure, Some(version)) => format!("{version} bootable"),
                (Bootability::Unsure(why), Some(version)) if runs => {
                    format!("{version} runs, although {why}")
                }
                (Bootability::Unsure(why), Some(version)) => {
                    format!("{version}, and whether it boots is not known: {why}")
                }
                (Bootability::No, Some(version)) => format!("{version} damaged"),
                (_, None) => "no image behind it".into(),
            };
            format!("{:#x} ({what})", found.start.0)
        })
        .collect();
    let list = if list.is_empty() {
        "no signature".into()
    } else {
        format!("signatures at {}", list.join(", "))
    };
    if card.is_ambiguous() {
        return Err(format!(
            "{list}: bootable images of different layouts, and the running version does not decide which boots"
        ));
    }
    Ok(match card.active() {
        Some(active) => format!(
            "{list}; {:#x} taken as the one that boots ({})",
            active.slot.start.0,
            match active.choice {
                SlotChoice::OnlyBootable => "the only bootable one",
                SlotChoice::Running => "its version runs",
                SlotChoice::Lowest => "the lowest; which one the boot ROM prefers is not known",
                SlotChoice::NotReliedOn => "none is sure to boot",
            }
        ),
        None => list,
    })
}

pub(super) fn old_image(card: &CardSnapshot) -> Verdict {
    let Some(active) = card.active() else {
        return Err("the card holds no valid image; use `recover`".into());
    };
    let found = active.slot;
    if let Some(why) = found.wrong_silicon().filter(|_| !active.choice.boots()) {
        return Err(format!(
            "the image at {:#x} does not start on this card: {why}; use `recover`",
            found.start.0
        ));
    }
    let at = found.start.0;
    let notes = found.validity().notes;
    Ok(match found.bootability() {
        Bootability::Sure => format!("the image at {at:#x} is valid"),
        Bootability::Unsure(why) if notes.is_empty() => {
            format!("the image at {at:#x} is complete, although {why}")
        }
        _ => {
            let notes = notes.join("; ");
            format!("the image at {at:#x} is damaged, which does not prevent a burn: {notes}")
        }
    })
}

/// Firmware that runs was started from a valid image. One that reads as damaged was misread
/// repeatedly, or was damaged later: a burn and its backup would rest on wrong bytes.
pub(super) fn running_image(card: &CardSnapshot) -> Verdict {
    if card.recovery {
        return Ok("no firmware runs".into());
    }
    let Some(running) = card.running else {
        return Ok("no running version is known".into());
    };
    if card.bootable().any(|found| found.image().and_then(Image::fw_version) == Some(running)) {
        return Ok(format!("{running} runs, and its image is valid"));
    }
    let other = card.relied().next();
    let none_complete = card.bootable().next().is_none();
    let damaged = card.slots.iter().find(|found| {
        found.bootability() == Bootability::No
            && found.wrong_silicon().is_none()
            && (none_complete || found.image().and_then(Image::fw_version) == Some(running))
    });
    let Some(damaged) = damaged else {
        return Ok(format!(
            "{running} runs and is on the flash no more; the next reset starts another image"
        ));
    };
    let way = match other {
        None => {
            "if it stays, `cx3flash recover IMAGE --identity FILE` and `cx3flash restore BACKUP` accept a damaged image"
                .to_owned()
        }
        Some(other) => format!(
            "if it stays, `cx3flash activate` starts the valid image at {:#x}, and then this command works",
            other.start.0
        ),
    };
    Err(format!(
        "{running} runs, but the image at {:#x} reads as damaged, twice: {}. `cx3flash verify` reads it again; {way}",
        damaged.start.0,
        damaged.validity().notes.join("; ")
    ))
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::NonFailsafe => "non-failsafe",
        Layout::Failsafe { .. } => "failsafe",
    }
}

pub(super) fn layout(card: Layout, image: Layout) -> Verdict {
    let (card, image) = (layout_name(card), layout_name(image));
    if card == image {
        Ok(format!("both {image}"))
    } else {
        Err(format!("the card's layout is {card}, the image's {image}"))
    }
}

pub(super) fn chunk_size(card: Layout, image: Layout) -> Verdict {
    match (card, image) {
        (Layout::Failsafe { chunk_log2: card }, Layout::Failsafe { chunk_log2: image })
            if card != image =>
        {
            Err(format!("failsafe chunks on the card have 2^{card} bytes, in the image 2^{image}"))
        }
        (_, Layout::Failsafe { chunk_log2 }) => Ok(format!("chunks of 2^{chunk_log2} bytes")),
        (_, Layout::NonFailsafe) => Ok("no chunks".into()),
    }
}

/// The version on the card is that of the image that would boot, as in flint. Versions of two boards are
/// not compared: a vendor numbers the firmware of its board in its own way.
pub(super) fn not_older(card: Option<&Image>, image: &Image, options: &BurnOptions) -> Verdict {
    let verdict = version(card, image)?;
    let of = |image: &Image| Some((image.psid()?.clone(), image.fw_version()?));
    let Some(((own, old), (psid, new))) = card.and_then(of).zip(of(image)) else {
        return Ok(verdict);
    };
    match (new < old, own == psid) {
        (true, true) if options.allow_older => Ok(format!("{verdict}, allowed by --allow-older")),
        (true, true) => Err(format!("{verdict}: a downgrade")),
        (true, false) => Ok(format!("{verdict}; versions of two boards are not compared")),
        _ => Ok(verdict),
    }
}

pub(super) fn version(card: Option<&Image>, image: &Image) -> Verdict {
    let Some(new) = image.fw_version() else {
        return Err("the image states no version".into());
    };
    Ok(match card.and_then(Image::fw_version) {
        None => format!("{new}; the card states none"),
        Some(old) => match new.cmp(&old) {
            Ordering::Greater => format!("{new} is newer than {old} on the card"),
            Ordering::Equal => format!("{new} is the same as on the card"),
            Ordering::Less => format!("{new} is older than {old} on the card"),
        },
    })
}

/// P5.
pub(super) fn psid(card: &Image, image: &Image, options: &BurnOptions) -> Verdict {
    let Some(to) = image.psid() else {
        return Err("the image states no PSID".into());
    };
    let from = card.psid().cloned().unwrap_or_else(|| NO_PSID.into());
    match &options.change_psid {
        None if from == *to => Ok(format!("{to} on the card and in the image")),
        None => Err(format!("the PSID on the card is {from}, in the image {to}")),
        Some((f, t)) if f == from.as_str() && t == to.as_str() => {
            Ok(format!("{from} becomes {to}, as specified"))
        }
        Some((f, t)) => Err(format!(
            "the change specified is {f} to {t}, but the card has {from} and the image {to}"
        )),
    }
}

/// Only `--change-psid` overrides this, as in mstflint.
pub(super) fn config_pad(card: &Image, image: &Image, options: &BurnOptions) -> Verdict {
    let pad = |image: &Image| image.info.as_ref().and_then(|i| i.config_pad).unwrap_or(0);
    let (old, new) = (pad(card), pad(image));
    if old == new {
        Ok(format!("{} behind the configuration area", counted(new, "sector")))
    } else if options.change_psid.is_some() {
        Ok(format!(
            "{} behind the configuration area on the card, {new} in the image; accepted with the change of PSID, the card's settings will be lost",
            counted(old, "sector")
        ))
    } else {
        Err(format!(
            "{} behind the configuration area on the card, {new} in the image",
            counted(old, "sector")
        ))
    }
}

/// P5. No option overrides this.
pub(super) fn silicon(chip: Chip, image: &Image) -> Verdict {
    let info = image.info.as_ref();
    let card = chip.name();
    if let Some(list) = info.and_then(|i| i.supported_hw.as_ref())
        && !list.contains(&(chip.hw_id, chip.revision))
    {
        let names = match list.as_slice() {
            [] => "nothing".into(),
            list => Chip::names(list),
        };
        return Err(format!("the card is a {card}, the image is for {names} only"));
    }
    let Some(device_id) = info.and_then(|i| i.device_id) else {
        return Err("the image does not name the device it is for".into());
    };
    match DeviceType::of_image(device_id) {
        Some(device) if device.hw_id == chip.hw_id => {
            Ok(format!("image for device {device_id} on a {card}"))
        }
        Some(device) => Err(format!(
            "the card is a {card}, the image's device {device_id} runs on {}",
            device.mstflint_name
        )),
        None => Err(format!("the image's device {device_id} is not of this family")),
    }
}

/// The same for an image that ran on a chip of this revision, as the manifest of its backup shows.
pub(super) fn silicon_or_ran(chip: Chip, image: &Image, ran_on: Option<(u16, u8)>) -> Verdict {
    silicon(chip, image).or_else(|why| match ran_on == Some((chip.hw_id, chip.revision)) {
        true => Ok(format!("the image ran on this chip when its backup was made, although {why}")),
        false => Err(why),
    })
}

/// What to do about the ROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RomAction {
    /// Leave the image's ROM.
    Leave,
    /// Put these bytes in.
    Put(Vec<u8>),
    /// Take it out.
    Remove,
}

/// Versions in a ROM for people: `PXE 3.4.752`.
pub(super) fn rom_text(rom: &Rom) -> String {
    let list: Vec<String> = rom
        .blocks
        .iter()
        .map(|block| {
            let (a, b, c) = block.version;
            let name = block.type_name.unwrap_or("type unknown");
            match &block.version_text {
                Some(text) => format!("{name} {text}"),
                None => format!("{name} {a}.{b}.{c}"),
            }
        })
        .collect();
    if list.is_empty() { format!("without a version, {} bytes", rom.size) } else { list.join(", ") }
}

fn has_rom_section(image: &Image) -> bool {
    image.sections.iter().any(|section| section.kind == SectionKind::Rom)
}

/// Which ROM will be on the card, in words. `own`: the image is the card's.
pub(super) fn rom(
    image: &Contents,
    own: bool,
    card: Option<&ImageSlot>,
    given: Option<&[u8]>,
    choice: Option<RomChoice>,
) -> Result<(RomAction, String), String> {
    if let Some(bytes) = given {
        Rom::for_writing(bytes).map_err(|error| match Rom::parse(bytes).other_vendor() {
            Some(vendor) => format!("{error}; its PCI vendor id is {vendor:04x}, not 15b3"),
            None => error.to_string(),
        })?;
        let text = format!("the ROM given, {} bytes", bytes.len());
        return Ok((RomAction::Put(bytes.to_vec()), text));
    }
    let text = |image: Option<&Image>| {
        image.and_then(|i| i.rom.as_ref()).map_or_else(String::new, rom_text)
    };
    let image_has = image.rom().is_some();
    let card_rom = card.and_then(|f| f.contents.as_ref().ok()).and_then(Contents::rom);
    let of_card = || match card_rom {
        Some(bytes) if card.is_some_and(|f| f.validity().rom) => Ok((
            RomAction::Put(bytes.to_vec()),
            format!("the card's ROM stays: {}", text(card.and_then(ImageSlot::image))),
        )),
        Some(_) => {
            Err("the card's ROM is damaged and cannot be carried over; choose `--rom none`"
                .to_owned())
        }
        None => Err("the card has no ROM to keep".to_owned()),
    };
    match choice {
        Some(RomChoice::None) if own && !image_has && has_rom_section(image.image()) => {
            Err("there is no ROM to remove: the ROM section on the card is empty".to_owned())
        }
        Some(RomChoice::None) => Ok((
            if image_has { RomAction::Remove } else { RomAction::Leave },
            "no ROM, as requested".into(),
        )),
        Some(RomChoice::Device) => of_card(),
        Some(RomChoice::Image) if !image_has => {
            Ok((RomAction::Leave, "no ROM: the image has none".into()))
        }
        Some(RomChoice::Image) | None if image_has => {
            Ok((RomAction::Leave, format!("the image's ROM: {}", text(Some(image.image())))))
        }
        _ if card_rom.is_some() => of_card(),
        _ => Ok((RomAction::Leave, "no ROM: neither the image nor the card has one".into())),
    }
}
