//! The flash as a place to read images from, nothing read twice.

use super::session::Session;
use super::{Event, Events, FlashError, Phase};
use crate::image::{FlashAddr, Source, SourceError};

const BLOCK: usize = 16;

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

    /// Forget everything: the flash is about to change. Before, never after.
    pub(super) fn forget(&mut self) {
        self.known.fill(false);
    }
}

/// The flash of a session. Every 16-byte block is read from the card at most once.
pub struct FlashSource<'s, 'c> {
    session: &'s mut Session<'c>,
    cache: &'s mut Cache,
}

impl<'s, 'c> FlashSource<'s, 'c> {
    pub(super) fn new(session: &'s mut Session<'c>, cache: &'s mut Cache) -> Self {
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

    /// Everything, with news about the progress of `phase`.
    pub(super) fn read_all(
        &mut self,
        phase: Phase,
        events: &mut dyn Events,
    ) -> Result<Vec<u8>, FlashError> {
        const STEP: usize = 0x1_0000 / BLOCK;
        let blocks = self.cache.known.len();
        events.tell(Event::Started {
            phase,
            total: (blocks * BLOCK) as u64,
        });
        let mut block = 0;
        while block < blocks {
            if events.stop_wanted() {
                return Err(FlashError::Interrupted);
            }
            let end = (block + STEP).min(blocks);
            self.fill(block, end - 1)?;
            block = end;
            events.tell(Event::Advanced {
                phase,
                done: (block * BLOCK) as u64,
            });
        }
        events.tell(Event::Finished { phase });
        Ok(self.cache.bytes.clone())
    }
}

impl Source for FlashSource<'_, '_> {
    fn size(&self) -> u32 {
        self.session.part.geometry.size
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
