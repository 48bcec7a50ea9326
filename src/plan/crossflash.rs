//! What a change of the PSID means: the card's image beside the new one.
//!
//! A comparison, not a judgement: what cannot work is refused by the checks (silicon, revision,
//! layout, chunk size, sizes), and this is shown all the same.

use super::rules::rom_text;
use super::{BurnOptions, NvGeometry};
use crate::image::{Contents, Image, IniChange, Layout, Setting};
use serde::Serialize;

/// Two images of different PSIDs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrossFlash {
    /// The card's image.
    pub from: CrossSide,
    /// The new image, as the file has it.
    pub to: CrossSide,
    /// The change as `--change-psid` wants it, `FROM:TO`.
    pub change_psid: String,
    /// It was spelled out, and right.
    pub spelled_out: bool,
    /// Every key of the two inis that differs.
    pub ini: Vec<IniChange>,
    /// The card's VSD stays, whatever the new image has (P4); it names the old product then.
    pub vsd_stays: String,
}

/// What matters of one image. `None` = the image does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CrossSide {
    /// PSID; `none` when it states none.
    pub psid: String,
    /// Name of the board, from the ini or the PRS name.
    pub board: Option<String>,
    /// PCI device id.
    pub device_id: Option<u16>,
    /// Silicon it is for, in words.
    pub silicon: Vec<String>,
    /// Ports, with their kind where the ini says one.
    pub ports: Vec<String>,
    /// Expansion ROM.
    pub rom: Option<String>,
    /// VSD in the image.
    pub vsd: Option<String>,
    /// Chunk size in bytes; `None` = non-failsafe.
    pub chunk_size: Option<u64>,
    /// Sectors of the NV configuration, sectors behind them, bytes of a sector.
    pub config_area: NvGeometry,
    /// Size of the flash it was made for.
    pub flash_size: Option<String>,
    /// Size of the UAR BAR (BAR2). UNCONFIRMED: the key's meaning is an inference.
    pub bar_size: Option<String>,
    /// Bytes of the image.
    pub image_size: u32,
}

/// Compare, when both have a PSID section and they are not the same.
pub(super) fn compare(old: &Contents, new: &Contents, options: &BurnOptions) -> Option<CrossFlash> {
    let (from, to) = (side(old), side(new));
    if from.psid == to.psid {
        return None;
    }
    let spelled_out = options
        .change_psid
        .as_ref()
        .is_some_and(|(f, t)| *f == from.psid && *t == to.psid);
    let ini = match (&old.image().ini, &new.image().ini) {
        (Some(a), Some(b)) => a.differences(b),
        _ => Vec::new(),
    };
    Some(CrossFlash {
        change_psid: format!("{}:{}", from.psid, to.psid),
        vsd_stays: from.vsd.clone().unwrap_or_default(),
        from,
        to,
        spelled_out,
        ini,
    })
}

fn side(contents: &Contents) -> CrossSide {
    let image: &Image = contents.image();
    let info = image.info.as_ref();
    let ini = image.ini.as_ref();
    let summary = ini.map(crate::image::Ini::summary).unwrap_or_default();
    let one = |id: &str| summary.iter().find(|s| s.id == id).and_then(said);
    let named = |section, key| ini.and_then(|i| i.get(section, key));
    let mut ports: Vec<String> = summary
        .iter()
        .filter(|s| s.id == "port_type")
        .filter_map(said)
        .collect();
    if ports.is_empty() {
        ports.extend(one("ports"));
    }
    CrossSide {
        psid: super::rules::psid_of(image).unwrap_or("none").to_owned(),
        board: named("PS_INFO", "Name").or_else(|| info.and_then(|i| i.prs_name.clone())),
        device_id: info.and_then(|i| i.device_id),
        silicon: info
            .and_then(|i| i.supported_hw.as_ref())
            .map(|list| list.iter().map(|hw| chip_name(*hw)).collect())
            .unwrap_or_default(),
        ports,
        rom: image.rom.as_ref().map(rom_text),
        vsd: info.and_then(|i| i.vsd.clone()),
        chunk_size: match image.layout {
            Layout::NonFailsafe => None,
            Layout::Failsafe { chunk_log2 } => 1_u64.checked_shl(chunk_log2.into()),
        },
        config_area: NvGeometry::of(&[info]),
        flash_size: one("flash_size"),
        bar_size: one("bar_size"),
        image_size: image.len,
    }
}

fn chip_name((hw_id, revision): (u16, u8)) -> String {
    crate::card::Chip { hw_id, revision }.name()
}

/// The meaning, or the bare value where that is not known.
fn said(setting: &Setting) -> Option<String> {
    setting.meaning.clone().or_else(|| setting.value.clone())
}
