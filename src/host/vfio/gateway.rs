//! CR-space through configuration cycles: address register 0x58, data register 0x5c (mstflint
//! mtcr_ul_com.c, `mtcr_pciconf_mread4_old`). Works in recovery mode, without memory decode, and
//! under every lockdown level. No semaphore guards it; the open VFIO group keeps other users out.

use super::regions::Raw;
use crate::card::BAD_ACCESS;
use std::io;

/// Address register.
pub(super) const ADDRESS: u16 = 0x58;
/// Data register.
pub(super) const DATA: u16 = 0x5c;
/// The device id: a later dump of configuration space reads 0x5c and so whatever 0x58 points at,
/// and this read has no effect.
pub(super) const HARMLESS: u32 = 0xf_0014;
/// In the write-only variant: this address is for reading.
const FOR_READING: u32 = 1;

/// The gateway in the variant its card has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConfigCycles {
    /// The address register cannot be read back: reads set bit 0, writes put the data first.
    write_only: bool,
    /// Value of the address register before us; `None` when unknown.
    original: Option<u32>,
}

impl ConfigCycles {
    /// Detects the variant: writes the device id's address and reads it back (mstflint
    /// mtcr_ul_com.c, `is_wo_pciconf_gw`).
    pub(super) fn open(io: &mut dyn Raw) -> io::Result<Self> {
        let before = io.config_read(ADDRESS)?;
        let write_only = Self::probe(io)?;
        let known = !write_only && before != BAD_ACCESS && before != u32::MAX;
        Ok(Self { write_only, original: known.then_some(before) })
    }

    fn probe(io: &mut dyn Raw) -> io::Result<bool> {
        io.config_write(ADDRESS, HARMLESS)?;
        Ok(io.config_read(ADDRESS)? == BAD_ACCESS)
    }

    /// Detects the variant again: a reset may start another firmware, and which one has which
    /// variant is unknown.
    pub(super) fn after_reset(&mut self, io: &mut dyn Raw) -> io::Result<()> {
        self.write_only = Self::probe(io)?;
        Ok(())
    }

    pub(super) fn read(&self, io: &mut dyn Raw, at: u32) -> io::Result<u32> {
        io.config_write(ADDRESS, self.for_reading(at))?;
        io.config_read(DATA)
    }

    pub(super) fn write(&self, io: &mut dyn Raw, at: u32, value: u32) -> io::Result<()> {
        if self.write_only {
            io.config_write(DATA, value)?;
            io.config_write(ADDRESS, at)
        } else {
            io.config_write(ADDRESS, at)?;
            io.config_write(DATA, value)
        }
    }

    fn for_reading(&self, at: u32) -> u32 {
        if self.write_only { at | FOR_READING } else { at }
    }

    /// Restores the address register, or leaves it at the device id.
    pub(super) fn leave(&self, io: &mut dyn Raw) -> io::Result<()> {
        let address = match self.original {
            Some(original) if !self.write_only => original,
            _ => self.for_reading(HARMLESS),
        };
        io.config_write(ADDRESS, address)
    }
}
