//! The bus seen from the card: memory to read and write, interrupts to raise.

use super::dma::GuestMemory;
use crate::sim::firmware::HostBus;
use std::io;

/// MSI-X vectors raised during one access, sent once it is through.
#[derive(Debug, Default)]
pub(super) struct Lines(pub(super) Vec<u32>);

pub(super) struct DeviceBus<'a> {
    /// DeviceBus mastering is on.
    pub(super) masters: bool,
    pub(super) memory: &'a GuestMemory,
    pub(super) lines: &'a mut Lines,
}

impl DeviceBus<'_> {
    fn check(&self) -> io::Result<()> {
        if self.masters {
            Ok(())
        } else {
            Err(io::Error::other("bus mastering is off"))
        }
    }
}

impl HostBus for DeviceBus<'_> {
    fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.check()?;
        self.memory.read(address, bytes)
    }

    fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        self.memory.write(address, bytes)
    }

    fn interrupt(&mut self, vector: u32) {
        // A message is a write on the bus.
        if self.masters {
            self.lines.0.push(vector);
        }
    }
}
