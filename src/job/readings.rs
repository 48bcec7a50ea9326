//! Readings that agree: damage is believed when a second reading, block by block, shows it too.

use super::JobError;
use crate::flash::{Event, Events, FlashError, FlashSource, MORE_READINGS};
use crate::image::{FlashAddr, START_CANDIDATES, Source as _, scan};
use crate::words::counted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Attempts until what differed in any of them counts as bytes that read differently each time.
const ROUNDS: u32 = 4;
/// Bytes of a block, and of a signature.
const BLOCK: u32 = 16;

/// Bytes of the flash of which readings differed, in the end or each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct UnsteadyRange {
    /// First byte.
    pub at: FlashAddr,
    pub len: u32,
}

/// Calls `reading`. When its result is `damaged`, everything it was read from is read again, and
/// `reading` is called again if a reading differed. Signatures are always read twice:
/// without one no image is searched for. Bytes of which readings never agree are no error:
/// [`FlashSource::wavering`] lists them.
pub(crate) fn steady<T>(
    source: &mut FlashSource<'_, '_>,
    unsteady: &mut Vec<UnsteadyRange>,
    reading: &mut dyn FnMut(&mut FlashSource<'_, '_>) -> Result<T, JobError>,
    damaged: &dyn Fn(&T) -> bool,
) -> Result<T, JobError> {
    source.tolerate_wavering();
    for start in START_CANDIDATES {
        let end = start.saturating_add(BLOCK);
        if end > source.size() {
            continue;
        }
        note(unsteady, source.reread(start..end)?);
    }
    for _ in 0..ROUNDS {
        let found = reading(source)?;
        if !damaged(&found) || !read_again(source, unsteady)? {
            return Ok(found);
        }
    }
    // A torn sector has many cells between two states, of which each reading shows others.
    for range in unsteady.iter() {
        source.note_wavering(range.at.0..range.at.0 + range.len);
    }
    reading(source)
}

/// Reads the signatures that are there several times more. Power may have gone while one was programmed: then
/// it reads right half of the time.
pub(super) fn read_signatures(
    source: &mut FlashSource<'_, '_>,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<(), JobError> {
    source.tolerate_wavering();
    for start in scan(source)? {
        for _ in 0..MORE_READINGS {
            note(unsteady, source.reread(start.0..start.0 + BLOCK)?);
        }
    }
    Ok(())
}

/// Reads again what was read so far in this session; whether a reading differed.
fn read_again(
    source: &mut FlashSource<'_, '_>,
    unsteady: &mut Vec<UnsteadyRange>,
) -> Result<bool, FlashError> {
    let before = unsteady.len();
    for range in source.known() {
        note(unsteady, source.reread(range)?);
    }
    Ok(unsteady.len() > before)
}

/// Adds ranges to the list.
pub(crate) fn note(unsteady: &mut Vec<UnsteadyRange>, ranges: Vec<Range<u32>>) {
    unsteady.extend(ranges.into_iter().map(UnsteadyRange::from));
}

impl From<Range<u32>> for UnsteadyRange {
    fn from(range: Range<u32>) -> Self {
        Self { at: FlashAddr(range.start), len: range.end - range.start }
    }
}

impl UnsteadyRange {
    pub(super) fn range(&self) -> Range<u32> {
        self.at.0..self.at.0.saturating_add(self.len)
    }
}

/// Reports bytes of which readings never agree.
pub(crate) fn report_wavering(ranges: &[Range<u32>], events: &mut dyn Events) {
    for range in ranges {
        events.emit(Event::Note {
            text: format!(
                "the flash reads differently each time at {:#x} ({}), as an interrupted erase or write leaves it, until it is erased; a backup holds the last reading",
                range.start,
                counted(range.len(), "byte")
            ),
        });
    }
}

/// Reports that readings differed.
pub(crate) fn report(unsteady: &[UnsteadyRange], events: &mut dyn Events) {
    for range in unsteady {
        events.emit(Event::Note {
            text: format!(
                "two readings of the flash differed at {:#x} ({}); what two consecutive readings agree on is used",
                range.at.0, counted(range.len, "byte")
            ),
        });
    }
}
