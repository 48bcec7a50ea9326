//! Event queues: how the end of a command with the event bit is reported; the context memory, through
//! which the card finds them.

use super::answers::u64_at;
use crate::sim::dma::DeviceBus;
use std::collections::BTreeMap;
use std::io;

/// Bytes of an entry; the larger ones are not announced.
const ENTRY: u64 = 32;
const PAGE: u64 = 4096;
/// Type of the event, and its bit in the mask of `MAP_EQ`.
const COMMAND_DONE: u8 = 0x0a;
/// Owner bit of an entry: the card's on even passes.
const OWNER: u8 = 0x80;
/// `MAP_EQ`: take away instead of giving.
const UNMAP: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Queue {
    /// Entries.
    len: u64,
    vector: u32,
    /// Byte offset of its translations.
    mtt: u64,
    /// Entries written so far.
    produced: u64,
}

#[derive(Debug, Default)]
pub(super) struct EventQueues {
    pub(super) queues: BTreeMap<u32, Queue>,
    /// The queue for the ends of commands.
    commands: Option<u32>,
}

fn number(modifier: u32) -> u32 {
    modifier & 0x3ff
}

impl EventQueues {
    /// `SW2HW_EQ`. In the context: 0c log2 of entries, 17 vector, 1b and 1c byte offset of the
    /// translations (the driver's `struct mlx4_eq_context`). Every entry becomes the card's.
    pub(super) fn add(
        &mut self,
        modifier: u32,
        context: &[u8],
        icm: &Icm,
        host: &DeviceBus<'_>,
    ) -> io::Result<()> {
        let queue = Queue {
            len: 1 << (context[0x0c] & 0x1f),
            vector: u32::from(context[0x17]),
            mtt: u64_at(context, 0x18) & 0xff_ffff_ffff,
            produced: 0,
        };
        for n in 0..queue.len {
            let at = queue.entry(n, icm, host)?;
            host.write(at + ENTRY - 1, &[OWNER])?;
        }
        self.queues.insert(number(modifier), queue);
        Ok(())
    }

    /// `HW2SW_EQ`.
    pub(super) fn remove(&mut self, modifier: u32) {
        self.queues.remove(&number(modifier));
        self.commands.take_if(|n| *n == number(modifier));
    }

    /// `MAP_EQ`: which events go to which queue.
    pub(super) fn map(&mut self, mask: u64, modifier: u32) {
        if mask >> COMMAND_DONE & 1 == 0 {
            return;
        }
        if modifier & UNMAP == 0 {
            self.commands = Some(number(modifier));
        } else {
            self.commands.take_if(|n| *n == number(modifier));
        }
    }

    /// A command is done: an entry, then the interrupt.
    pub(super) fn completed(
        &mut self,
        (token, status, output): (u16, u8, u64),
        icm: &Icm,
        host: &mut DeviceBus<'_>,
    ) -> io::Result<()> {
        let queue = self
            .commands
            .and_then(|n| self.queues.get_mut(&n))
            .ok_or_else(|| io::Error::other("no event queue gets the ends of commands"))?;
        let mut entry = [0; ENTRY as usize];
        entry[0x01] = COMMAND_DONE;
        entry[0x06..0x08].copy_from_slice(&token.to_be_bytes());
        entry[0x0f] = status;
        entry[0x10..0x18].copy_from_slice(&output.to_be_bytes());
        let at = queue.entry(queue.produced % queue.len, icm, host)?;
        let pass = queue.produced / queue.len;
        let owner = if pass.is_multiple_of(2) { 0 } else { OWNER };
        queue.produced += 1;
        // The owner bit hands the entry over, so it comes last.
        host.write(at, &entry[..0x1f])?;
        host.write(at + 0x1f, &[owner])?;
        host.interrupt(queue.vector);
        Ok(())
    }
}

impl Queue {
    /// Host address of entry `n`.
    fn entry(&self, n: u64, icm: &Icm, host: &DeviceBus<'_>) -> io::Result<u64> {
        let at = n * ENTRY;
        Ok(icm.page(self.mtt, at / PAGE, host)? + at % PAGE)
    }
}

/// The context memory: pages that the driver lends for the card's tables, of which only the
/// translations of event queues are read.
#[derive(Debug, Default)]
pub(super) struct Icm {
    /// Card address to (host address, bytes).
    pub(super) ranges: BTreeMap<u64, (u64, u64)>,
    /// Card address of the translation table.
    pub(super) mtt_base: u64,
}

impl Icm {
    /// 16 bytes a run of pages: card address, host address with log2 of pages in its low bits.
    pub(super) fn map(&mut self, entries: &[u8]) {
        for entry in entries.chunks_exact(16) {
            let host = u64_at(entry, 8);
            let len = PAGE << (host & 0x1f);
            self.ranges.insert(u64_at(entry, 0), (host & !(PAGE - 1), len));
        }
    }

    /// Runs that begin in so many pages from `at` on.
    pub(super) fn unmap(&mut self, at: u64, pages: u32) {
        let end = at.saturating_add(u64::from(pages).saturating_mul(PAGE));
        self.ranges.retain(|start, _| *start < at || *start >= end);
    }

    /// Host address of page `n` of a buffer whose translations begin at byte `at` of the table.
    fn page(&self, at: u64, n: u64, host: &DeviceBus<'_>) -> io::Result<u64> {
        let here = self.mtt_base.wrapping_add(at).wrapping_add(8 * n);
        let range = self.ranges.range(..=here).next_back();
        let (start, (base, _)) = range
            .filter(|(start, (_, len))| here - **start < *len)
            .ok_or_else(|| io::Error::other(format!("no context memory at {here:#x}")))?;
        let mut entry = [0; 8];
        let from = base.checked_add(here - start);
        let from = from.ok_or_else(|| io::Error::other("context memory wraps"))?;
        host.read(from, &mut entry)?;
        let entry = u64::from_be_bytes(entry);
        // Bit 0: present.
        if entry & 1 == 0 {
            return Err(io::Error::other(format!("translation {here:#x} is not present")));
        }
        Ok(entry & !(PAGE - 1))
    }
}
