//! The boot ROM: which image would start.
//!
//! On a software reset the boot address register comes first
//! (docs/hardware.md#write-order-in-mstflint); then, and at power-on, every candidate that carries
//! the magic, lowest first, and the next one when an image does not verify. That order, and that
//! the ROM checks every CRC, are UNCONFIRMED (docs/hardware.md#open-questions,
//! docs/fs2.md#flash-map): tests that must hold for either order use [`BootOutcomes`].

use super::CardSpec;
use crate::image::{
    Depth, FindingId, FlashAddr, Form, Image, Layout, Severity, Version, read, scan,
};
use serde::{Deserialize, Serialize};

/// The result of a boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "boots")]
pub enum BootOutcome {
    /// This image starts.
    Image {
        /// Where its magic is.
        start: FlashAddr,
        /// Its version.
        version: Version,
    },
    /// None does: the card comes up with its recovery id.
    Recovery,
}

/// The result of a power-on under both orders of search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootOutcomes {
    /// Candidates from the lowest address up.
    pub lowest_first: BootOutcome,
    /// Candidates from the highest address down.
    pub highest_first: BootOutcome,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunningFirmware {
    pub(super) outcome: BootOutcome,
    /// PCI device id.
    pub(super) device_id: u16,
    /// 0x1f064..0x1f073 (docs/hardware.md#running-version); the build time reads 0.
    pub(super) block: [u32; 4],
}

impl RunningFirmware {
    /// No firmware.
    pub(super) fn recovery(spec: &CardSpec) -> Self {
        Self { outcome: BootOutcome::Recovery, device_id: spec.recovery_id(), block: [0; 4] }
    }

    pub(super) fn is_recovery(&self) -> bool {
        self.outcome == BootOutcome::Recovery
    }
}

/// Faults that a loader which follows the chain and checks CRCs does not notice (INFERRED: it does
/// not use what they are about). Everything else stops the boot.
const BEYOND_BOOT: [FindingId; 5] = [
    FindingId::BlankGuids,
    FindingId::TrailingBytes,
    FindingId::NoVsdTag,
    FindingId::Ini,
    FindingId::Rom,
];

/// The image at `start`, if the boot ROM would take it.
fn bootable(flash: &[u8], spec: &CardSpec, start: FlashAddr) -> Option<Image> {
    let mut source = flash;
    let image = read(&mut source, start, Form::Striped, Depth::Full).ok()?;
    let placed = match image.layout {
        Layout::NonFailsafe => start.0 == 0,
        Layout::Failsafe { chunk_log2 } => {
            start.0 == 0 || 1_u32.checked_shl(chunk_log2.into()) == Some(start.0)
        }
    };
    let here = (spec.hw_id, spec.revision);
    let made_for_us = image
        .info
        .as_ref()
        .and_then(|info| info.supported_hw.as_ref())
        .is_none_or(|list| list.contains(&here));
    let valid = !image
        .findings
        .iter()
        .any(|f| f.severity == Severity::Error && !BEYOND_BOOT.contains(&f.id));
    (placed && made_for_us && valid).then_some(image)
}

/// What runs when this image is started.
fn started(image: Image, spec: &CardSpec) -> RunningFirmware {
    let info = image.info.unwrap_or_default();
    let version = info.fw_version.unwrap_or_default();
    let date = info.release_date.unwrap_or_default();
    RunningFirmware {
        outcome: BootOutcome::Image { start: image.start, version },
        device_id: info.device_id.unwrap_or(spec.usual_id()),
        block: [
            u32::from(version.major) << 16,
            u32::from(version.minor) << 16 | u32::from(version.subminor),
            0,
            u32::from(date.year_bcd) << 16
                | u32::from(date.month_bcd) << 8
                | u32::from(date.day_bcd),
        ],
    }
}

/// Every candidate that carries the magic, lowest first, and what would run if it were taken.
/// Judging one means a CRC over all of it, so the list is kept as long as the flash stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Candidates(Vec<(FlashAddr, Option<RunningFirmware>)>);

impl Candidates {
    /// Judge all of them.
    pub(super) fn judge(flash: &[u8], spec: &CardSpec) -> Self {
        let mut source = flash;
        let magics = scan(&mut source).unwrap_or_default();
        let judged = magics.into_iter().map(|start| {
            let runs = bootable(flash, spec, start).map(|image| started(image, spec));
            (start, runs)
        });
        Self(judged.collect())
    }

    /// Power-on.
    pub(super) fn power_on(&self, spec: &CardSpec) -> RunningFirmware {
        let first = self.0.iter().find_map(|(_, runs)| runs.clone());
        first.unwrap_or_else(|| RunningFirmware::recovery(spec))
    }

    /// Software reset with this boot address register; its low byte means nothing we know
    /// (docs/hardware.md#open-questions).
    pub(super) fn reset(&self, spec: &CardSpec, boot_address: u32) -> RunningFirmware {
        let wanted = FlashAddr(boot_address >> 8);
        let chosen = self.0.iter().find(|(start, _)| *start == wanted);
        chosen.and_then(|(_, runs)| runs.clone()).unwrap_or_else(|| self.power_on(spec))
    }

    /// Power-on under both orders.
    pub(super) fn outcomes(&self, spec: &CardSpec) -> BootOutcomes {
        let last = self.0.iter().rev().find_map(|(_, runs)| runs.clone());
        BootOutcomes {
            lowest_first: self.power_on(spec).outcome,
            highest_first: last.unwrap_or_else(|| RunningFirmware::recovery(spec)).outcome,
        }
    }
}
