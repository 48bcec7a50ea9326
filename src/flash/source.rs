//! The flash as a place to read images from. Nothing is read twice unless asked for.

use super::gateway::BLOCK;
use super::session::FlashSession;
use super::{Event, Events, FlashError, Phase};
use crate::image::{FlashAddr, Source, SourceError};
use std::ops::Range;

/// Bytes read between two checks for a request to stop, and between two progress events.
const STEP: usize = 0x1_0000;

/// Bytes of the chip read so far in this session.
pub(super) struct Cache {
    bytes: Vec<u8>,
    known: Vec<bool>,
}

impl Cache {
    pub(super) fn new(size: u32) -> Self {
        Self {
            bytes: vec![0xFF; size as usize],
            known: vec![false; size as usize / BLOCK],
        }
    }

    /// Empties it. Called before the flash changes, never after.
    pub(super) fn forget(&mut self) {
        self.known.fill(false);
    }
}

/// Adds a range to a rising list, joined with the last one where they meet.
fn join(ranges: &mut Vec<Range<u32>>, next: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}

/// The flash of a session. A block of 16 bytes is read from the card once, unless
/// [`FlashSource::reread`] asks for it again.
pub struct FlashSource<'s, 'c> {
    session: &'s mut FlashSession<'c>,
    cache: &'s mut Cache,
}

impl<'s, 'c> FlashSource<'s, 'c> {
    pub(super) fn new(session: &'s mut FlashSession<'c>, cache: &'s mut Cache) -> Self {
        Self { session, cache }
    }

    fn fill(&mut self, first: usize, last: usize) -> Result<(), FlashError> {
        let mut block = first;
        while block <= last {
            if self.cache.known.get(block) != Some(&false) {
                block += 1;
                continue;
            }
            let mut end = block;
            while end <= last && self.cache.known.get(end) == Some(&false) {
                end += 1;
            }
            let at = FlashAddr((block * BLOCK) as u32);
            if let Some(bytes) = self.cache.bytes.get_mut(block * BLOCK..end * BLOCK) {
                self.session.read(at, bytes)?;
            }
            if let Some(known) = self.cache.known.get_mut(block..end) {
                known.fill(true);
            }
            block = end;
        }
        Ok(())
    }

    /// What was read so far in this session.
    #[must_use]
    pub fn known(&self) -> Vec<Range<u32>> {
        let mut ranges = Vec::new();
        for (n, _) in self.cache.known.iter().enumerate().filter(|(_, k)| **k) {
            join(&mut ranges, (n * BLOCK) as u32..((n + 1) * BLOCK) as u32);
        }
        ranges
    }

    /// Reads `range` once more, block by block with full addressing, and compares with what was read
    /// before. A block that differs is read until two consecutive readings agree, and that is what
    /// counts from then on. The answer lists the blocks that differed.
    ///
    /// # Errors
    /// [`FlashError::Unsteady`] when readings of a block never agree; [`FlashError::Outside`].
    pub fn reread(&mut self, range: Range<u32>) -> Result<Vec<Range<u32>>, FlashError> {
        let size = self.session.chip.geometry.size;
        if range.end > size {
            return Err(FlashError::Outside {
                at: range.start,
                len: u64::from(range.end.saturating_sub(range.start)),
                size,
            });
        }
        let mut differed = Vec::new();
        if range.is_empty() {
            return Ok(differed);
        }
        let (first, last) = (
            range.start as usize / BLOCK,
            (range.end as usize - 1) / BLOCK,
        );
        self.fill(first, last)?;
        let (start, end) = (first * BLOCK, (last + 1) * BLOCK);
        let Some(known) = self.cache.bytes.get_mut(start..end) else {
            return Ok(differed);
        };
        let mut at = start as u32;
        for known in known.chunks_mut(STEP) {
            let mut again = vec![0; known.len()];
            self.session.read_singly(FlashAddr(at), &mut again)?;
            for (known, again) in known.chunks_mut(BLOCK).zip(again.chunks(BLOCK)) {
                if known != again {
                    tracing::warn!(at, "two readings of the flash differ");
                    self.session.chained = false;
                    known.copy_from_slice(&self.session.agreed_block(at)?);
                    join(&mut differed, at..at + BLOCK as u32);
                }
                at += BLOCK as u32;
            }
        }
        Ok(differed)
    }

    /// Everything, with events about the progress of `phase`.
    pub(super) fn read_all(
        &mut self,
        phase: Phase,
        events: &mut dyn Events,
    ) -> Result<Vec<u8>, FlashError> {
        let blocks = self.cache.known.len();
        events.emit(Event::Started {
            phase,
            total: (blocks * BLOCK) as u64,
        });
        let mut block = 0;
        while block < blocks {
            if events.stop_requested() {
                return Err(FlashError::Interrupted);
            }
            let end = (block + STEP / BLOCK).min(blocks);
            self.fill(block, end - 1)?;
            block = end;
            events.emit(Event::Advanced {
                phase,
                done: (block * BLOCK) as u64,
            });
        }
        events.emit(Event::Finished { phase });
        Ok(self.cache.bytes.clone())
    }
}

impl Source for FlashSource<'_, '_> {
    fn size(&self) -> u32 {
        self.session.chip.geometry.size
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let start = at.0 as usize;
        let range = start..start.saturating_add(buf.len());
        if range.end > self.size() as usize {
            return Err(SourceError::Outside {
                at: at.0,
                len: buf.len(),
                size: self.size(),
            });
        }
        if buf.is_empty() {
            return Ok(());
        }
        self.fill(start / BLOCK, (range.end - 1) / BLOCK)
            .map_err(|source| SourceError::Failed {
                at: at.0,
                len: buf.len(),
                source: Box::new(source),
            })?;
        if let Some(bytes) = self.cache.bytes.get(range) {
            buf.copy_from_slice(bytes);
        }
        Ok(())
    }
}
