//! Context memory: pages the driver lends for the card's tables. Of what is in them only the
//! translations of event queues are read.

use super::HostBus;
use super::answers::u64_at;
use std::collections::BTreeMap;
use std::io;

const PAGE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct Icm {
    /// Card address to (host address, bytes).
    ranges: BTreeMap<u64, (u64, u64)>,
    /// Card address of the translation table.
    mtt_base: u64,
}

impl Icm {
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn set_mtt_base(&mut self, base: u64) {
        self.mtt_base = base;
    }

    /// 16 bytes a run of pages: card address, host address with log2 of pages in its low bits.
    pub(super) fn map(&mut self, entries: &[u8]) {
        for entry in entries.chunks_exact(16) {
            let host = u64_at(entry, 8);
            let len = PAGE << (host & 0x1f);
            self.ranges
                .insert(u64_at(entry, 0), (host & !(PAGE - 1), len));
        }
    }

    /// Runs that begin in so many pages from `at` on.
    pub(super) fn unmap(&mut self, at: u64, pages: u32) {
        let end = at.saturating_add(u64::from(pages).saturating_mul(PAGE));
        self.ranges.retain(|start, _| *start < at || *start >= end);
    }

    /// HostBus address of page `n` of a buffer whose translations begin at byte `at` of the table.
    pub(super) fn page(&self, at: u64, n: u64, host: &dyn HostBus) -> io::Result<u64> {
        let here = self.mtt_base.wrapping_add(at).wrapping_add(8 * n);
        let range = self.ranges.range(..=here).next_back();
        let (start, (base, _)) = range
            .filter(|(start, (_, len))| here - **start < *len)
            .ok_or_else(|| io::Error::other(format!("no context memory at {here:#x}")))?;
        let mut entry = [0; 8];
        host.read(base + (here - start), &mut entry)?;
        let entry = u64::from_be_bytes(entry);
        // Bit 0: present.
        if entry & 1 == 0 {
            return Err(io::Error::other(format!(
                "translation {here:#x} is not present"
            )));
        }
        Ok(entry & !(PAGE - 1))
    }
}
