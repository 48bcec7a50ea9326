//! The boot ROM: which image would start.
//!
//! On a software reset the boot address register comes first
//! (docs/hardware.md#write-order-in-mstflint); then, and at power-on, every candidate that carries
//! the magic, lowest first, and the next one when an image does not verify. That order, and that
//! the ROM checks every CRC, are UNCONFIRMED (docs/hardware.md#open-questions,
//! docs/fs2.md#flash-map): the card has both as settings, and tests that must hold for either order
//! use [`BootOutcomes`].

use super::fs2::{BootRefusal, LoadedImage, signatures};
use super::{CardSpec, FirmwareDefect};
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
    /// The boot ROM starts this image, and its firmware does not run (any more).
    Hung {
        /// Where its magic is.
        start: FlashAddr,
        #[serde(rename = "fw_version")]
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
    /// What is wrong with it, or will be; not in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) defect: Option<FirmwareDefect>,
}

impl RunningFirmware {
    /// No firmware.
    pub(super) fn recovery(spec: &CardSpec) -> Self {
        let device_id = spec.recovery_id();
        Self { outcome: BootOutcome::Recovery, device_id, block: [0; 4], defect: None }
    }

    pub(super) fn is_recovery(&self) -> bool {
        self.outcome == BootOutcome::Recovery
    }

    /// It answers commands.
    pub(super) fn runs(&self) -> bool {
        let waits = self.defect == Some(FirmwareDefect::NeedsDriver);
        matches!(self.outcome, BootOutcome::Image { .. }) && !waits
    }

    /// The version words.
    pub(super) fn version_block(&self) -> [u32; 4] {
        if self.defect == Some(FirmwareDefect::NeedsDriver) { [0; 4] } else { self.block }
    }

    /// It hangs from now on.
    pub(super) fn hang(&mut self) {
        if let BootOutcome::Image { start, version } = self.outcome {
            self.outcome = BootOutcome::Hung { start, version };
        }
    }
}

/// What runs when the image at `start` is started, or why the boot ROM does not take it.
fn judged(flash: &[u8], spec: &CardSpec, start: u32) -> Result<RunningFirmware, BootRefusal> {
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
        defect: None,
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
        let found = signatures(flash).into_iter();
        Self(found.map(|start| (FlashAddr(start), judged(flash, spec, start))).collect())
    }

    /// The candidates that do not start.
    pub(super) fn refused(&self) -> Vec<(FlashAddr, BootRefusal)> {
        let refused =
            self.0.iter().filter_map(|(start, runs)| Some((*start, *runs.as_ref().err()?)));
        refused.collect()
    }

    /// The image that a search takes.
    pub(super) fn first(&self, highest: bool) -> Option<RunningFirmware> {
        let mut runs = self.0.iter().filter_map(|(_, runs)| runs.as_ref().ok());
        if highest { runs.next_back() } else { runs.next() }.cloned()
    }

    /// The image at this address.
    pub(super) fn at(&self, wanted: FlashAddr) -> Option<RunningFirmware> {
        let (_, runs) = self.0.iter().find(|(start, _)| *start == wanted)?;
        runs.clone().ok()
    }
}
