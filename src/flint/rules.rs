//! flint's checks of an image and a card before the first erase, with its texts
//! (docs/flint.md#checks-before-the-first-erase, docs/flint.md#size-check). The checks of our plan follow.

use crate::card::{Chip, DeviceType};
use crate::image::{Image, Layout, Rom};
use crate::plan::NvGeometry;

/// Device id of the firmware and of a ROM in it that is for another one.
pub(super) fn rom_mismatch(image: &Image) -> Option<(u16, u16)> {
    let fw = image.info.as_ref()?.device_id?;
    Some((fw, other_device(image.rom.as_ref()?, Some(fw))?))
}

/// The first device id in a ROM that is not `device`.
pub(super) fn other_device(rom: &Rom, device: Option<u16>) -> Option<u16> {
    let mut ids = rom.blocks.iter().map(|block| block.device_id);
    ids.find(|id| *id != 0 && Some(*id) != device)
}

pub(super) fn pad(image: &Image) -> u32 {
    image.info.as_ref().and_then(|i| i.config_pad).unwrap_or(0)
}

/// Step 15.
pub(super) fn silicon(chip: Chip, image: &Image) -> Option<String> {
    let info = image.info.as_ref();
    if let Some(list) = info.and_then(|i| i.supported_hw.as_ref()) {
        if list.contains(&(chip.hw_id, chip.revision)) {
            return None;
        }
        return Some(format!(
            "Device/Image mismatch: FW image file cannot be programmed to device {}, it is intended for: {} only\n",
            chip.name(),
            Chip::names(list)
        ));
    }
    let intended = DeviceType::of_image(info.and_then(|i| i.device_id)?)?;
    let image_name = intended.mstflint_name;
    let card_name = DeviceType::with_hw_id(chip.hw_id)?.mstflint_name;
    (intended.hw_id != chip.hw_id).then(|| {
        format!(
            "Device/Image mismatch: Trying to burn a \"{image_name}\" image on a \"{card_name}\" device.\n"
        )
    })
}

/// Step 16: the PSIDs once more, where one of them is empty.
pub(super) fn no_psid(old: Option<&Image>, image: &Image, allowed: bool) -> Option<String> {
    let from = old?.psid().cloned().unwrap_or_default();
    let to = image.psid().cloned().unwrap_or_default();
    (from != to && !allowed).then(|| {
        format!("Image PSID is {to}, it cannot be burnt into current device (PSID: {from})")
    })
}

/// docs/flint.md#size-check.
pub(super) fn chunks(old: Option<&Image>, image: &Image) -> Option<String> {
    let (Layout::Failsafe { chunk_log2: a }, Layout::Failsafe { chunk_log2: b }) =
        (old?.layout, image.layout)
    else {
        return None;
    };
    let bytes = |log2: u8| 1_u32.checked_shl(log2.into()).unwrap_or(0);
    (a != b).then(|| {
        format!(
            "Failsafe chunk sizes in flash ({:#x}) and in image ({:#x}) are not the same.",
            bytes(a),
            bytes(b)
        )
    })
}

/// docs/flint.md#size-check.
pub(super) fn size(old: Option<&Image>, image: &Image, flash: u32) -> Option<String> {
    let infos = [image.info.as_ref(), old.and_then(|i| i.info.as_ref())];
    let nv = NvGeometry { pad: old.map_or(0, pad), ..NvGeometry::of(&infos) };
    let max = nv.max_image(image.layout, flash)?;
    let size = image.header.declared_size;
    let (kind, of) = match image.layout {
        Layout::Failsafe { .. } => ("failsafe", "half of total flash size"),
        Layout::NonFailsafe => ("non-failsafe", "total flash size"),
    };
    (size > max).then(|| {
        format!("Size of {kind} image ({size:#x}) is greater than max {kind} image size ({max:#x} - {of})")
    })
}
