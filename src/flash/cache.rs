//! What a session has read of the flash.

use super::gateway::BLOCK;
use std::collections::BTreeSet;
use std::ops::Range;

/// Bytes of the chip read so far in this session.
pub(super) struct Cache {
    pub(super) bytes: Vec<u8>,
    /// By block of 16 bytes.
    known: Vec<bool>,
    /// Blocks of which readings never agree, where that is tolerated; their bytes are the last reading.
    pub(super) wavering: BTreeSet<u32>,
    /// Readings that never agree are no error.
    pub(super) tolerant: bool,
}

impl Cache {
    pub(super) fn new(size: u32) -> Self {
        Self {
            bytes: vec![0xFF; size as usize],
            known: vec![false; size as usize / BLOCK],
            wavering: BTreeSet::new(),
            tolerant: false,
        }
    }

    /// Empties it. Called before the flash changes, never after.
    pub(super) fn forget(&mut self) {
        self.known.fill(false);
        self.wavering.clear();
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) {
        let range = at as usize..at as usize + bytes.len();
        let blocks = range.start / BLOCK..range.end / BLOCK;
        if let Some(place) = self.bytes.get_mut(range) {
            place.copy_from_slice(bytes);
        }
        if let Some(known) = self.known.get_mut(blocks) {
            known.fill(true);
        }
    }

    /// The ranges of these blocks that are known, or that are not.
    pub(super) fn ranges(&self, blocks: Range<usize>, known: bool) -> Vec<Range<u32>> {
        let mut ranges = Vec::new();
        for block in blocks.filter(|n| self.known.get(*n) == Some(&known)) {
            let at = (block * BLOCK) as u32;
            join(&mut ranges, at..at + BLOCK as u32);
        }
        ranges
    }
}

/// Adds a range to a rising list, joined with the last one where they meet.
pub(super) fn join(ranges: &mut Vec<Range<u32>>, next: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end == next.start => last.end = next.end,
        _ => ranges.push(next),
    }
}
