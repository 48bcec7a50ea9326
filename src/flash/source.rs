//! The flash as a place to read images from. Nothing is read twice unless asked for.

use super::cache::join;
use super::gateway::BLOCK;
use super::session::{FlashSession, MORE_READINGS};
use super::{Event, Events, FlashError, Phase};
use crate::image::{FlashAddr, Source, SourceError};
use std::ops::Range;

/// Bytes read between two checks for a request to stop, and between two progress events.
const STEP: usize = 0x1_0000;

/// The blocks that hold a range of bytes.
fn blocks(start: usize, end: usize) -> Range<usize> {
    if start == end {
        return 0..0;
    }
    start / BLOCK..end.div_ceil(BLOCK)
}

/// The flash of a session. A block of 16 bytes is read from the card once, unless
/// [`FlashSource::reread`] asks for it again.
pub struct FlashSource<'s, 'c>(pub(super) &'s mut FlashSession<'c>);

impl FlashSource<'_, '_> {
    fn fill(&mut self, blocks: Range<usize>) -> Result<(), FlashError> {
        for range in self.0.cache.ranges(blocks, false) {
            let mut bytes = vec![0; range.len()];
            self.0.read(FlashAddr(range.start), &mut bytes)?;
            self.0.cache.put(range.start, &bytes);
        }
        Ok(())
    }

    /// What was read so far in this session.
    pub fn known(&self) -> Vec<Range<u32>> {
        self.0.cache.ranges(blocks(0, self.size() as usize), true)
    }

    /// Reads `range` once more, block by block with full addressing, and compares with what was read
    /// before. A block that differs is read until two consecutive readings agree, and that is what
    /// counts from then on. The answer lists the blocks that differed.
    ///
    /// # Errors
    /// [`FlashError::Unsteady`] when readings of a block never agree; [`FlashError::Outside`].
    pub fn reread(&mut self, range: Range<u32>) -> Result<Vec<Range<u32>>, FlashError> {
        self.0.check_inside(FlashAddr(range.start), range.len() as u64)?;
        let mut differed = Vec::new();
        let blocks = blocks(range.start as usize, range.end as usize);
        self.fill(blocks.clone())?;
        let end = blocks.end * BLOCK;
        for start in (blocks.start * BLOCK..end).step_by(STEP) {
            let mut again = vec![0; STEP.min(end - start)];
            let start = start as u32;
            self.0.read_as(FlashAddr(start), &mut again, BLOCK)?;
            for (at, again) in (start..).step_by(BLOCK).zip(again.chunks(BLOCK)) {
                let place = at as usize..at as usize + BLOCK;
                if self.0.cache.bytes.get(place) == Some(again)
                    || self.0.cache.wavering.contains(&at)
                {
                    continue;
                }
                tracing::warn!(at, "two readings of the flash differ");
                self.0.chained = false;
                self.reconsider(at)?;
                join(&mut differed, at..at + BLOCK as u32);
            }
        }
        Ok(differed)
    }

    /// Reads the block at `at` until it is known what it holds, or that its readings do not agree.
    ///
    /// # Errors
    /// [`FlashError::Unsteady`] for the latter, unless that is tolerated.
    pub fn reconsider(&mut self, at: u32) -> Result<(), FlashError> {
        match self.weigh(at)? {
            Some(agreed) => self.0.cache.put(at, &agreed),
            None => {
                self.0.cache.wavering.insert(at);
            }
        }
        Ok(())
    }

    /// What the block at `at` holds; `None` where readings of it do not agree and that is tolerated. Two
    /// readings of a cell between two states may agree by chance, so more have to.
    fn weigh(&mut self, at: u32) -> Result<Option<[u8; BLOCK]>, FlashError> {
        let more = if self.0.cache.tolerant { MORE_READINGS } else { 0 };
        match self.0.steady_block(at, more) {
            Err(FlashError::Unsteady { .. }) if self.0.cache.tolerant => Ok(None),
            steady => steady.map(Some),
        }
    }

    /// From now on, blocks of which readings never agree are listed instead of an error: an interrupted
    /// erase or program leaves such cells, and only an erase ends that. The last reading stays.
    pub fn tolerate_wavering(&mut self) {
        self.0.cache.tolerant = true;
    }

    /// Lists blocks as those of which readings never agree.
    pub fn note_wavering(&mut self, range: Range<u32>) {
        let blocks = blocks(range.start as usize, range.end as usize);
        self.0.cache.wavering.extend(blocks.map(|n| (n * BLOCK) as u32));
    }

    /// Blocks of which readings never agreed.
    pub fn wavering(&self) -> Vec<Range<u32>> {
        let mut ranges = Vec::new();
        for at in &self.0.cache.wavering {
            join(&mut ranges, *at..at + BLOCK as u32);
        }
        ranges
    }

    /// Empties the cache: whatever is read next is read from the card.
    pub fn forget(&mut self) {
        self.0.cache.forget();
    }

    /// Every byte of the chip, with events about the progress of `phase`.
    pub fn read_all(
        &mut self,
        phase: Phase,
        events: &mut dyn Events,
    ) -> Result<Vec<u8>, FlashError> {
        let size = self.size() as usize;
        let total = size as u64;
        events.emit(Event::Started { phase, total });
        for start in (0..size).step_by(STEP) {
            if events.stop_requested() {
                return Err(FlashError::Interrupted);
            }
            let end = (start + STEP).min(size);
            self.fill(blocks(start, end))?;
            let done = end as u64;
            events.emit(Event::Advanced { phase, done });
        }
        events.emit(Event::Finished { phase });
        Ok(self.0.cache.bytes.clone())
    }
}

impl Source for FlashSource<'_, '_> {
    fn size(&self) -> u32 {
        self.0.chip.geometry.size
    }

    fn read_at(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), SourceError> {
        let (at, len) = (at.0, buf.len());
        let range = at as usize..(at as usize).saturating_add(len);
        let size = self.size();
        if range.end > size as usize {
            return Err(SourceError::Outside { at, len, size });
        }
        self.fill(blocks(range.start, range.end)).map_err(|source| SourceError::Failed {
            at,
            len,
            source: Box::new(source),
        })?;
        if let Some(bytes) = self.0.cache.bytes.get(range) {
            buf.copy_from_slice(bytes);
        }
        Ok(())
    }
}
