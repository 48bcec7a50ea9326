//! Silicon on which an assumption of a driver does not hold: what the faults do that stay until power is cycled.

use super::bus::{ALL_ONES, VERSION};
use super::state::CardState;
use crate::card::{BarAccess, CrError};

impl CardState {
    /// One read through BAR0 by this transport.
    pub(super) fn read_through(&mut self, by: BarAccess, at: u32) -> Result<u32, CrError> {
        let value = self.bar_read(at)?;
        Ok(self.armed.defects.answer(by, at, value))
    }

    /// One write through BAR0, mapped.
    pub(super) fn write_through(&mut self, at: u32, value: u32) -> Result<(), CrError> {
        let value = self.armed.defects.written(BarAccess::Mmap, value);
        self.bar_write(at, value)
    }

    /// The same for what configuration cycles brought.
    pub(super) fn config_answer(&self, at: u32, value: u32) -> u32 {
        self.armed.defects.answer(BarAccess::Config, at, value)
    }

    /// Word `n` of the running version, or of the one that is shown instead.
    pub(super) fn version_word(&self, at: u32) -> u32 {
        let n = ((at - VERSION) / 4) as usize;
        match (self.armed.defects.version, n) {
            (Some(shown), 0) => u32::from(shown.major) << 16,
            (Some(shown), 1) => u32::from(shown.minor) << 16 | u32::from(shown.subminor),
            _ => self.running.version_block().get(n).copied().unwrap_or(ALL_ONES),
        }
    }

    /// The firmware writes its flash while it is read.
    pub(super) fn move_flash(&mut self) {
        let Some((at, every)) = self.armed.defects.moving else { return };
        if self.reads.is_multiple_of(every)
            && let Some(byte) = self.nor.mem().get(at as usize).copied()
        {
            self.load_flash(at as usize, &[byte.wrapping_sub(1)]);
        }
    }

    /// Bits inverted in the answer to this opcode, by a chip that does not know its id.
    pub(super) fn spoils_id(&self, opcode: u8) -> u32 {
        let wrong = self.armed.defects.unstable_id.is_some_and(|n| self.reads.is_multiple_of(n));
        if wrong && opcode == 0x9F { 1 << 10 } else { 0 }
    }
}
