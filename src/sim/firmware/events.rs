//! Event queues: how the end of a command with the event bit is reported.

use super::answers::u32_at;
use super::host_memory::{HostBus, Icm};
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
struct Queue {
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
    queues: BTreeMap<u32, Queue>,
    /// The queue for the ends of commands.
    commands: Option<u32>,
}

fn number(modifier: u32) -> u32 {
    modifier & 0x3ff
}

impl EventQueues {
    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// `SW2HW_EQ`. In the context: 0c log2 of entries, 17 vector, 1b and 1c byte offset of the
    /// translations (the driver's `struct mlx4_eq_context`). Every entry becomes the card's.
    pub(super) fn add(
        &mut self,
        modifier: u32,
        context: &[u8; 0x40],
        icm: &Icm,
        host: &dyn HostBus,
    ) -> io::Result<()> {
        let queue = Queue {
            len: 1 << (context[0x0c] & 0x1f),
            vector: u32::from(context[0x17]),
            mtt: u64::from(context[0x1b]) << 32 | u64::from(u32_at(context, 0x1c)),
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
        host: &mut dyn HostBus,
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
    fn entry(&self, n: u64, icm: &Icm, host: &dyn HostBus) -> io::Result<u64> {
        let at = n * ENTRY;
        Ok(icm.page(self.mtt, at / PAGE, host)? + at % PAGE)
    }
}
