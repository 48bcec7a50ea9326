//! `flash`: the chip, and raw bytes of it.

use super::readings::{note, report, report_wavering};
use super::session::{CardFacts, trust_chains};
use super::store::OutputFile;
use super::{BackupFile, CardReport, Device, JobError};
use crate::flash::{Event, Events, FlashError, Locked, Phase};
use crate::image::{FlashAddr, Source};
use schemars::JsonSchema;
use serde::Serialize;

/// Answer of `flash info`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct FlashInfo {
    /// The card, with part and protection.
    pub card: CardReport,
    /// Chained reads are proven on this card and used.
    pub chained_reads: bool,
}

/// Answer of `flash read`.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct FlashReadOutcome {
    pub card: CardReport,
    /// Address of the first byte.
    pub from: FlashAddr,
    /// The file that was written.
    pub output: BackupFile,
}

/// Which chip, how large, how protected.
pub fn flash_info(device: &mut Device) -> Result<FlashInfo, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    trust_chains(&facts, &mut locked)?;
    Ok(FlashInfo { card: facts.report(&locked), chained_reads: locked.chained_reads() })
}

/// Copies `len` raw bytes from `from` (to the end without `len`) to a new file. Every byte is read
/// twice; what differs is reported as a note.
pub fn flash_read(
    device: &mut Device,
    from: u32,
    len: Option<u32>,
    out: OutputFile,
    events: &mut dyn Events,
) -> Result<FlashReadOutcome, JobError> {
    let facts = CardFacts::of(device)?;
    let mut locked = device.lock()?;
    let card = facts.report(&locked);
    let size = locked.chip().geometry.size;
    let len = len.unwrap_or(size.saturating_sub(from));
    if len == 0 {
        return Err(FlashError::Outside { at: from, len: 0, size }.into());
    }
    let bytes = read_range(&mut locked, from, len, events)?;
    drop(locked);
    Ok(FlashReadOutcome { card, from: FlashAddr(from), output: out.write(&bytes)? })
}

/// `len` raw bytes of the flash from `from`, as [`flash_read`] reads them.
pub fn flash_bytes(
    device: &mut Device,
    from: u32,
    len: u32,
    events: &mut dyn Events,
) -> Result<Vec<u8>, JobError> {
    read_range(&mut device.lock()?, from, len, events)
}

/// Bytes read between two checks for a request to stop.
const PIECE: usize = 0x1_0000;

fn read_range(
    locked: &mut Locked<'_>,
    from: u32,
    len: u32,
    events: &mut dyn Events,
) -> Result<Vec<u8>, JobError> {
    let size = locked.chip().geometry.size;
    if from.checked_add(len).is_none_or(|end| end > size) {
        return Err(FlashError::Outside { at: from, len: u64::from(len), size }.into());
    }
    let phase = Phase::Read;
    let mut bytes = vec![0; len as usize];
    events.emit(Event::Started { phase, total: u64::from(len) });
    let mut unsteady = Vec::new();
    locked.source().tolerate_wavering();
    let mut done = 0_u32;
    for piece in bytes.chunks_mut(PIECE) {
        if events.stop_requested() {
            return Err(JobError::Interrupted);
        }
        let at = from + done;
        // At most PIECE bytes.
        done += piece.len() as u32;
        note(&mut unsteady, locked.source().reread(at..from + done)?);
        locked.source().read_at(FlashAddr(at), piece)?;
        events.emit(Event::Advanced { phase, done: u64::from(done) });
    }
    events.emit(Event::Finished { phase });
    report(&unsteady, events);
    report_wavering(&locked.source().wavering(), events);
    Ok(bytes)
}
