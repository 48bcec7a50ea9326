//! Faults that stay until power is cycled: silicon on which an assumption of a driver does not hold.

use super::Fault;
use super::bus::{ALL_ONES, VERSION};
use super::state::CardState;
use crate::card::{BarAccess, CrError};
use crate::image::Version;

/// The defects of one card.
#[derive(Clone, Debug, Default)]
pub(super) struct Defects {
    /// [`Fault::SwappedBytes`].
    swapped: Vec<BarAccess>,
    /// [`Fault::OtherAnswer`].
    answers: Vec<(BarAccess, u32, u32)>,
    /// [`Fault::BrokenChain`]: bytes of a chain that are right.
    pub(super) chain: Option<u32>,
    /// [`Fault::MovingFlash`].
    moving: Option<(u32, u64)>,
    /// [`Fault::ShowsVersion`].
    version: Option<Version>,
    /// [`Fault::ResetKeeps`].
    pub(super) reset_keeps: bool,
    /// [`Fault::SemaphoreSticks`].
    sticky: Option<u8>,
    /// [`Fault::GatewayPace`], in ns.
    pub(super) pace_ns: u64,
    /// [`Fault::UnstableId`].
    unstable_id: Option<u64>,
}

impl Defects {
    pub(super) fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::SwappedBytes { by } => self.swapped.push(*by),
            Fault::OtherAnswer { by, at, flip } => self.answers.push((*by, *at, *flip)),
            Fault::BrokenChainedRead => self.chain = Some(16),
            Fault::BrokenChain { from } => self.chain = Some(*from),
            Fault::MovingFlash { at, every } => self.moving = Some((*at, (*every).max(1))),
            Fault::ShowsVersion { fw_version } => self.version = Some(*fw_version),
            Fault::ResetKeeps => self.reset_keeps = true,
            Fault::SemaphoreSticks { number } => self.sticky = Some(*number),
            Fault::GatewayPace { us } => self.pace_ns = us.saturating_mul(1000),
            Fault::UnstableId { every } => self.unstable_id = Some((*every).max(1)),
            _ => {}
        }
    }

    pub(super) fn sticks(&self, number: u8) -> bool {
        self.sticky == Some(number)
    }

    /// What reaches the driver of a register's value.
    fn answer(&self, by: BarAccess, at: u32, value: u32) -> u32 {
        let wrong = self.answers.iter().filter(|(with, place, _)| *with == by && *place == at);
        let value = wrong.fold(value, |value, (.., flip)| value ^ flip);
        if self.swapped.contains(&by) { value.swap_bytes() } else { value }
    }

    /// What reaches the register of a value that a driver writes.
    fn written(&self, by: BarAccess, value: u32) -> u32 {
        if self.swapped.contains(&by) { value.swap_bytes() } else { value }
    }
}

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
            _ => self.running.block.get(n).copied().unwrap_or(ALL_ONES),
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
