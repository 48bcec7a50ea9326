//! An image of another board onto a card: both images side by side, and whether it can work at all.
//!
//! The comparison decides nothing: the checks do. It lists what to know before `--change-psid`, and
//! which checks would refuse even then.

mod ini;

pub use ini::{IniChange, IniDiff};

use super::Check;
use super::rules::rom_text;
use crate::escape::ForeignText;
use crate::image::{Contents, Ini, Layout, ini_count, ini_number};
use schemars::JsonSchema;
use serde::Serialize;

/// One fact of the card's image and of the new one; `None` = not stated.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Sides<T> {
    /// The image on the card.
    pub card: Option<T>,
    /// The image in the file.
    pub image: Option<T>,
}

impl<T: PartialEq> Sides<T> {
    pub fn same(&self) -> bool {
        self.card == self.image
    }
}

/// Ports of a board as its ini describes them (docs/fs2.md#fw-configuration-and-hash-file).
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct BoardPorts {
    /// `num_of_ports`.
    pub number: Option<u64>,
    /// `phy_type_port1`, `phy_type_port2` …, as written.
    pub kinds: Vec<String>,
}

/// A comparison of two boards' images.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct CrossFlash {
    pub psid: Sides<ForeignText>,
    /// The part number for orders, as the ini has it.
    pub part: Sides<String>,
    /// PCI device id the firmware presents.
    pub device_id: Sides<u16>,
    /// BoardPorts.
    pub ports: Sides<BoardPorts>,
    /// ROM types and versions; the check `rom` reports which one will be on the card.
    pub rom: Sides<String>,
    /// VSD. The card's stays on the card, that of the file goes.
    pub vsd: Sides<ForeignText>,
    /// Failsafe chunk size in bytes; `None` = not failsafe.
    pub chunk_size: Sides<u64>,
    /// Sectors of the configuration area.
    pub config_sectors: Sides<u32>,
    /// Sectors behind it.
    pub config_pad: Sides<u32>,
    /// Sector size in bytes.
    pub sector_size: Sides<u32>,
    /// Size of the UAR BAR (BAR 2) in MiB, out of the ini's `log2_uar_bar_megabytes`.
    pub uar_bar_mib: Sides<u64>,
    /// Flash size the ini is made for, in bytes.
    pub flash_size: Sides<u64>,
    /// Flash size of the chip on the card, in bytes.
    pub chip_size: u32,
    /// The inis, key by key; `None` when one of the images has none.
    #[serde(rename = "ini_diff")]
    pub ini: Option<IniDiff>,
    /// Consequences for the owner, a sentence each.
    pub notes: Vec<String>,
    /// Checks that refuse even with `--change-psid`.
    pub obstacles: Vec<Check>,
    /// At most `--change-psid` is missing.
    pub possible: bool,
}

/// The comparison; `obstacles` are the checks that refuse even with `--change-psid`.
pub(super) fn compare(
    own: &Contents,
    new: &Contents,
    chip_size: u32,
    obstacles: Vec<Check>,
) -> CrossFlash {
    let mut found = CrossFlash {
        psid: sides(own, new, |c| c.image().psid().cloned()),
        part: sides(own, new, |c| ini(c)?.part_number()),
        device_id: sides(own, new, |c| c.image().info.as_ref()?.device_id),
        ports: sides(own, new, |c| ini(c).and_then(ports)),
        rom: sides(own, new, |c| c.image().rom.as_ref().map(rom_text)),
        vsd: sides(own, new, |c| c.image().info.as_ref()?.vsd.clone()),
        chunk_size: sides(own, new, |c| match c.image().layout {
            Layout::Failsafe { chunk_log2 } => 1_u64.checked_shl(chunk_log2.into()),
            Layout::NonFailsafe => None,
        }),
        config_sectors: sides(own, new, |c| c.image().info.as_ref()?.config_sectors),
        config_pad: sides(own, new, |c| c.image().info.as_ref()?.config_pad),
        sector_size: sides(own, new, |c| c.image().info.as_ref()?.sector_size),
        uar_bar_mib: sides(own, new, |c| power(&anywhere(ini(c)?, UAR_BAR)?)),
        flash_size: sides(own, new, |c| power(&ini(c)?.get("FW", "log_flashdev_size")?)),
        chip_size,
        ini: ini(own).zip(ini(new)).map(|(a, b)| IniDiff::of(a, b)),
        notes: Vec::new(),
        possible: obstacles.is_empty(),
        obstacles,
    };
    found.notes = notes(&found);
    found
}

fn sides<T>(own: &Contents, new: &Contents, pick: impl Fn(&Contents) -> Option<T>) -> Sides<T> {
    Sides { card: pick(own), image: pick(new) }
}

fn ini(contents: &Contents) -> Option<&Ini> {
    contents.image().ini.as_ref()
}

/// The kernel names it when a card has too few UAR pages (mlx4 `mlx4_init_uar_table`). Its section
/// is in no source at hand, so all sections are searched.
const UAR_BAR: &str = "log2_uar_bar_megabytes";

fn anywhere(ini: &Ini, key: &str) -> Option<String> {
    let entries = ini.entries();
    entries.into_iter().find(|e| e.key == key).map(|e| e.value)
}

/// 2 to the power of the number in the text.
fn power(text: &str) -> Option<u64> {
    1_u64.checked_shl(u32::try_from(ini_number(text)?).ok()?)
}

fn ports(ini: &Ini) -> Option<BoardPorts> {
    let number = ini.get("IB", "num_of_ports").and_then(|n| ini_count(&n));
    let kinds: Vec<String> =
        (1..=2).map_while(|port| ini.get("IB", &format!("phy_type_port{port}"))).collect();
    (number.is_some() || !kinds.is_empty()).then_some(BoardPorts { number, kinds })
}

/// Consequences of the differences.
fn notes(found: &CrossFlash) -> Vec<String> {
    let mut out = Vec::new();
    let number = |side: &Option<BoardPorts>| side.as_ref().and_then(|p| p.number);
    let (card, image) = (number(&found.ports.card), number(&found.ports.image));
    if let (Some(card), Some(image)) = (card, image)
        && card != image
    {
        out.push(format!(
            "Number of ports: {card} on the card, {image} in the image. The board must have the ports that the image is for."
        ));
    }
    if let (Some(card), Some(image)) = (&found.uar_bar_mib.card, &found.uar_bar_mib.image)
        && card != image
    {
        out.push(format!(
            "The size of the UAR BAR changes from {card} to {image} MiB: restart the machine after the activation, so that its firmware assigns the addresses again."
        ));
    }
    if !found.device_id.same() {
        out.push(
            "The PCI device id changes: update what depends on it (drivers, passthrough).".into(),
        );
    }
    let area = [&found.config_sectors, &found.config_pad, &found.sector_size];
    if area.iter().any(|sides| !sides.same()) {
        out.push(
            "The configuration area has another address or size: settings made with mlxconfig are lost."
                .into(),
        );
    }
    out
}
