//! `flash`: the chip, and raw bytes of it.

use super::{BackupFile, CardReport, Device, JobError};
use crate::flash::Events;
use serde::Serialize;
use std::path::Path;

/// Answer of `flash info`.
#[derive(Clone, Debug, Serialize)]
pub struct FlashInfo {
    /// The card, with part and protection.
    pub card: CardReport,
    /// Chained reads give what single reads give on this card (the proof of this session).
    pub chained_reads: bool,
}

/// Which chip, how large, how protected.
///
/// # Errors
/// When the card cannot be read.
pub fn flash_info(device: &mut Device) -> Result<FlashInfo, JobError> {
    let _ = device;
    todo!()
}

/// Copy `len` raw bytes from `from` (to the end without `len`) to a new file.
///
/// # Errors
/// When the range is outside of the chip, the card cannot be read or the file not written.
pub fn flash_read(
    device: &mut Device,
    from: u32,
    len: Option<u32>,
    out: &Path,
    events: &mut dyn Events,
) -> Result<BackupFile, JobError> {
    let _ = (device, from, len, out, events);
    todo!()
}
