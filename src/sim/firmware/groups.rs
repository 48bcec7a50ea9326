//! The table of addresses and the queue pairs they go to. The driver keeps it through us, entry by
//! entry, and reads back what it wrote.

use super::HCA;
use std::collections::BTreeMap;

/// Bytes of an entry the driver uses (its default, 2^10).
pub(super) const ENTRY: usize = 1024;
/// Where `INIT_HCA` has log2 of the hash table's entries.
const LOG_HASH: usize = 0xd7;
static EMPTY: [u8; ENTRY] = [0; ENTRY];

#[derive(Default)]
pub(super) struct Groups(BTreeMap<u32, Box<[u8; ENTRY]>>);

impl Groups {
    pub(super) fn get(&self, index: u32) -> &[u8] {
        self.0.get(&index).map_or(&EMPTY[..], |entry| &entry[..])
    }

    pub(super) fn set(&mut self, index: u32, entry: [u8; ENTRY]) {
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
