//! Capabilities and defaults on the tools command interface, from the ini of the running image
//! where it has them.
//!
//! The ini's keys for SR-IOV and the port's physical type are those of real ini files
//! (docs/fs2.md#fw-configuration-and-hash-file); defaults no key is
//! known for are those of real cards as people show them (mstconfig query in forums), UNCONFIRMED
//! one by one.

use super::CardSpec;
use super::fs2::LoadedImage;
use super::nv_log::NvAreas;
use crate::image::FlashAddr;

/// Functions a card can have, the physical one included.
const MAX_FUNCTIONS: u32 = 64;
/// log2 MiB of one function's UAR BAR, and the most it may be.
const LOG_BAR: u32 = 3;
const MAX_LOG_BAR: u32 = 5;

/// Of one image on one board.
pub(super) struct ImageSettings {
    /// Where TLVs are kept.
    pub(super) areas: Option<NvAreas>,
    ports: u8,
    /// Ports can be InfiniBand.
    vpi: bool,
    sriov: bool,
    vfs: u32,
    /// `phy_type_port1` and `2`: 0 = not set.
    phy: [u32; 2],
}

impl ImageSettings {
    pub(super) fn of(spec: &CardSpec, flash: &[u8], start: Option<FlashAddr>) -> Self {
        let size = flash.len() as u32;
        let image = start.and_then(|at| LoadedImage::at(flash, at.0).ok());
        let get = |section: &str, key: &str| image.as_ref()?.ini(section, key);
        let phy = |port: u8| match get("IB", &format!("phy_type_port{port}")).as_deref() {
            Some("XAUI") => 1,
            Some("XFI") => 2,
            Some("SGMII") => 3,
            _ => 0,
        };
        Self {
            areas: image.as_ref().and_then(|image| {
                let [sectors, pad, log2] = [0, 1, 2].map(|n| image.tag_word(19, n));
                NvAreas::of([sectors?, pad?, log2?], image.chunk, size)
            }),
            ports: spec.ports(),
            vpi: spec.board.get(..5) == Some("MCX35"),
            sriov: get("HCA", "sriov_en").is_some_and(|v| {
                let on = ["true", "enabled", "on", "yes", "1"];
                on.contains(&v.to_ascii_lowercase().as_str())
            }),
            vfs: get("HCA", "total_vfs")
                .and_then(|v| match v.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => v.parse().ok(),
                })
                .filter(|n| *n < MAX_FUNCTIONS)
                .unwrap_or(8),
            phy: [phy(1), phy(2)],
        }
    }

    fn has_port(&self, port: u8) -> bool {
        (1..=self.ports).contains(&port)
    }

    /// A TLV this firmware keeps.
    pub(super) fn knows(&self, (kind, port): (u16, u8)) -> bool {
        match kind {
            0x11 | 0x13 | 0x14 => port == 0,
            0x10 | 0x12 | 0x2001 | 0x2021 => self.has_port(port),
            0x2022 => self.vpi && self.has_port(port),
            _ => false,
        }
    }

    /// `QUERY_DEV_CAP`, what is not 0 of it: (byte offset, dword).
    pub(super) fn capabilities(&self) -> [(usize, u32); 4] {
        let two = self.ports == 2;
        let mut bits = 1 | 1 << 1 | 1 << 5;
        if two {
            bits |= 1 << 2;
        }
        if self.vpi {
            bits |= 1 << 3 | u32::from(two) << 4;
        }
        [(0x38, MAX_FUNCTIONS), (0x48, (LOG_BAR - 1) << 16), (0xc0, bits), (0xc8, MAX_LOG_BAR << 3)]
    }

    /// `QUERY_DEF_PARAMS` of the card (0) or of a port.
    pub(super) fn defaults(&self, port: u8) -> Option<[u32; 8]> {
        if port == 0 {
            // Clock, PHY mode, steering and time stamps can be set.
            let can = 1 << 14 | 1 << 15 | 1 << 16 | 1 << 17;
            // IP version can be set; time stamps on.
            let value = u32::from(self.sriov) << 31
                | 1 << 29
                | 1 << 21
                | MAX_LOG_BAR << 12
                | LOG_BAR << 8
                | self.vfs;
            return Some([1 << 24 | can, value, 0, 0, 0, 0, 0, 0]);
        }
        if !self.has_port(port) {
            return None;
        }
        let phy = self.phy[usize::from(port != 1)];
        let force = phy != 0;
        let link = if self.vpi { 3 } else { 2 };
        Some([
            1 << 24 | u32::from(force) << 17 | u32::from(self.vpi) << 18 | 1 << 19,
            // Link type, boot ROM on, PXE, VLAN 1.
            link << 25 | 1 << 29 | 1 << 16 | 1,
            u32::from(self.vpi) << 28,
            phy << 12,
            0,
            0,
            0,
            0,
        ])
    }
}
