//! Host memory: the bus, the context memory (pages that the driver lends for the card's tables, of
//! which only the translations of event queues are read), and the table of multicast groups.

use super::answers::u64_at;
use std::collections::BTreeMap;
use std::io;

/// Bytes of `INIT_HCA`, which `QUERY_HCA` returns.
pub(super) const HCA: usize = 0x200;

/// The host's side of the bus.
pub(in crate::sim) trait HostBus {
    /// Read host memory.
    fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Write host memory.
    fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()>;
    /// Raise an MSI-X vector.
    fn interrupt(&mut self, vector: u32);
}

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

    /// Host address of page `n` of a buffer whose translations begin at byte `at` of the table.
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

/// Bytes of an entry the driver uses (its default, 2^10).
pub(super) const GROUP_ENTRY: usize = 1024;
/// Where `INIT_HCA` has log2 of the hash table's entries.
const LOG_HASH: usize = 0xd7;
static NO_GROUP: [u8; GROUP_ENTRY] = [0; GROUP_ENTRY];

/// The table of addresses and their queue pairs. The driver keeps it through us, entry by entry,
/// and reads back what it wrote.
#[derive(Default)]
pub(super) struct Groups(BTreeMap<u32, Box<[u8; GROUP_ENTRY]>>);

impl Groups {
    pub(super) fn get(&self, index: u32) -> &[u8] {
        self.0.get(&index).map_or(&NO_GROUP[..], |entry| &entry[..])
    }

    pub(super) fn set(&mut self, index: u32, entry: [u8; GROUP_ENTRY]) {
        self.0.insert(index, Box::new(entry));
    }

    /// Where an address begins its chain. Any hash will do: the driver reads it each time.
    pub(super) fn hash(&self, address: &[u8; 16], hca: Option<&[u8; HCA]>) -> u16 {
        let log = hca.map_or(0, |hca| hca[LOG_HASH].min(15));
        let sum = address
            .iter()
            .fold(0_u16, |sum, byte| sum.rotate_left(5) ^ u16::from(*byte));
        sum & ((1 << log) - 1)
    }
}
