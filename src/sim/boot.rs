//! The boot ROM: which image would start.
//!
//! On a software reset the boot address register comes first
//! (docs/hardware.md#write-order-in-mstflint); then, and at power-on, every candidate that carries
//! the magic, lowest first, and the next one when an image does not verify. That order, and that
//! the ROM checks every CRC, are UNCONFIRMED (docs/hardware.md#open-questions,
//! docs/fs2.md#flash-map): tests that must hold for either order use [`BootOutcomes`].

use super::CardSpec;
use super::fs2::{BootRefusal, LoadedImage, signatures};
use crate::image::{FlashAddr, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of a boot.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "boots")]
pub enum BootOutcome {
    /// This image starts.
    Image {
        /// Where its magic is.
        start: FlashAddr,
        #[serde(rename = "fw_version", alias = "version")]
        version: Version,
    },
    /// None does: the card comes up with its recovery id.
    Recovery,
}

/// The result of a power-on under both orders of search.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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

/// What runs when the image at `start` is started, or why the boot ROM does not take it.
fn started(flash: &[u8], spec: &CardSpec, start: u32) -> Result<RunningFirmware, BootRefusal> {
    let image = LoadedImage::at(flash, start)?;
    if !image.full_crc_is_right && !spec.ignores_full_crc {
        return Err(BootRefusal::FullCrc);
    }
    if !image.runs_on(spec.hw_id, spec.revision) {
        return Err(BootRefusal::Silicon);
    }
    let [major, minor, subminor] = image.version();
    let version = Version { major, minor, subminor };
    let device_id = image.tag_word(3, 0).map_or(spec.usual_id(), |id| id as u16);
    let date = image.tag_word(2, 1).unwrap_or(0);
    Ok(RunningFirmware {
        outcome: BootOutcome::Image { start: FlashAddr(start), version },
        device_id,
        block: [u32::from(major) << 16, u32::from(minor) << 16 | u32::from(subminor), 0, date],
    })
}

/// Every candidate that carries the magic, lowest first, and what would run if it were taken.
/// Judging one means a CRC over all of it, so the list is kept as long as the flash stays as it is.
#[derive(Clone, Debug)]
pub(super) struct Candidates(Vec<(FlashAddr, Result<RunningFirmware, BootRefusal>)>);

impl Candidates {
    /// Judge all of them. One that depends on what `marginal` bits read this time does not count as one
    /// that starts.
    pub(super) fn judge(flash: &[u8], marginal: &BTreeMap<u32, u8>, spec: &CardSpec) -> Self {
        let one = Self::judge_once(flash, spec);
        if marginal.is_empty() {
            return one;
        }
        let mut other = flash.to_vec();
        for (at, bits) in marginal {
            if let Some(byte) = other.get_mut(*at as usize) {
                *byte ^= bits;
            }
        }
        let other = Self::judge_once(&other, spec);
        let both = one.0.into_iter().map(|(start, runs)| {
            let same = other.0.iter().any(|(at, other)| *at == start && *other == runs);
            (start, runs.and_then(|runs| same.then_some(runs).ok_or(BootRefusal::Marginal)))
        });
        Self(both.collect())
    }

    fn judge_once(flash: &[u8], spec: &CardSpec) -> Self {
        let judged = signatures(flash)
            .into_iter()
            .map(|start| (FlashAddr(start), started(flash, spec, start)));
        Self(judged.collect())
    }

    /// The candidates that do not start.
    pub(super) fn refused(&self) -> Vec<(FlashAddr, BootRefusal)> {
        let refused =
            self.0.iter().filter_map(|(start, runs)| Some((*start, *runs.as_ref().err()?)));
        refused.collect()
    }

    /// Power-on.
    pub(super) fn power_on(&self, spec: &CardSpec) -> RunningFirmware {
        let first = self.0.iter().find_map(|(_, runs)| runs.clone().ok());
        first.unwrap_or_else(|| RunningFirmware::recovery(spec))
    }

    /// Software reset with this boot address register; its low byte means nothing we know
    /// (docs/hardware.md#open-questions).
    pub(super) fn reset(&self, spec: &CardSpec, boot_address: u32) -> RunningFirmware {
        let wanted = FlashAddr(boot_address >> 8);
        let chosen = self.0.iter().find(|(start, _)| *start == wanted);
        chosen.and_then(|(_, runs)| runs.clone().ok()).unwrap_or_else(|| self.power_on(spec))
    }

    /// Power-on under both orders.
    pub(super) fn outcomes(&self, spec: &CardSpec) -> BootOutcomes {
        let last = self.0.iter().rev().find_map(|(_, runs)| runs.clone().ok());
        BootOutcomes {
            lowest_first: self.power_on(spec).outcome,
            highest_first: last.unwrap_or_else(|| RunningFirmware::recovery(spec)).outcome,
        }
    }
}
