//! The tools command interface: commands to the running firmware through CR-space, without a driver
//! and without DMA (mstflint mtcr_tools_cif.c).
//!
//! Seven words at 0x80780: input high and low, input modifier, output high and low, token << 16,
//! control. Control: opcode 11:0, opcode modifier 15:12, go 23, status 31:24. Data goes through a
//! mailbox of 72 dwords. From the source of mstflint 4.21, and seen in the accesses
//! of its mstconfig:
//!
//! * mailbox commands 0x70 and 0x71 count in dwords, two at a time, and the *first* dword travels
//!   in the low word of input or output, the second in the high word;
//! * all of a mailbox is written, whatever the command needs of it;
//! * only register access uses the mailbox at 0xe0000, and marks it by input modifier 1; the other
//!   commands always use 0x70 and 0x71.

use super::{Card, CardError, FirmwareState, Patience, Reg, Semaphore, wait_for};
use std::time::Duration;

/// Dwords of the mailbox.
const MAILBOX: usize = 72;

/// mstflint polls up to 2000 times with at most 8 ms in between (mtcr_tools_cif.c): 16 s.
const PATIENCE: Patience = Patience::every(Duration::from_secs(40), Duration::from_micros(20))
    .growing_to(Duration::from_millis(8));

const GO: u32 = 1 << 23;
const CONTROL: Reg = Reg::ToolsHcr(6);
/// What the mailbox is probed with.
const PROBE: u32 = 0x0BAD_B00F;

const QUERY_DEV_CAP: u16 = 0x003;
const ACCESS_REGISTER: u16 = 0x03b;
const MAILBOX_WRITE: u16 = 0x070;
const MAILBOX_READ: u16 = 0x071;
const QUERY_DEF_PARAMS: u16 = 0x073;

/// Errors of the tools command interface.
#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    #[error(transparent)]
    Card(#[from] CardError),
    /// No firmware runs, so no command is answered.
    #[error("no firmware runs on the card")]
    NoFirmware,
    /// Status 1, or an earlier command that never ends.
    #[error("the firmware is busy (command {opcode:#05x})")]
    Busy { opcode: u16 },
    /// Status 2: firmware older than the interface (2.31.5000).
    #[error("the firmware does not know command {opcode:#05x}")]
    UnknownOp { opcode: u16 },
    #[error("the firmware does not know the TLV of command {opcode:#05x}")]
    UnknownTlv { opcode: u16 },
    /// Status 4: the firmware is set up to work with a driver, and there is none.
    #[error("the firmware is not in a state for command {opcode:#05x}")]
    BadSystemState { opcode: u16 },
    #[error("the firmware lacks a resource for command {opcode:#05x}")]
    BadResource { opcode: u16 },
    /// Any other status.
    #[error("the firmware answers command {opcode:#05x} with status {status:#04x}")]
    Other { opcode: u16, status: u8 },
    /// The go bit stays set.
    #[error("the firmware does not answer command {opcode:#05x} within {ms} ms")]
    Timeout { opcode: u16, ms: u64 },
    /// Register status 0x22.
    #[error("the firmware reports its stored configuration as corrupt (register {register:#06x})")]
    ConfigurationCorrupt { register: u16 },
    /// Any other register status that is an error.
    #[error("the firmware refuses register {register:#06x} with status {status:#04x}")]
    Register {
        register: u16,
        /// Status, seven bits.
        status: u8,
    },
    /// An answer to another request, or none at all.
    #[error("the firmware's answer to register {register:#06x} is malformed")]
    Malformed { register: u16 },
}

impl ToolsError {
    /// The firmware has answered that it does not execute the command, so it is not at work any more.
    pub fn refused(&self) -> bool {
        matches!(
            self,
            Self::UnknownOp { .. }
                | Self::UnknownTlv { .. }
                | Self::BadSystemState { .. }
                | Self::BadResource { .. }
                | Self::Other { .. }
                | Self::ConfigurationCorrupt { .. }
                | Self::Register { .. }
        )
    }

    /// Whether a register access that ends so has not reached the firmware: no firmware runs, the
    /// semaphore is held, or the firmware is busy when the access is sent. A firmware that is busy
    /// when the answer is read may have executed it.
    pub fn nothing_sent(&self) -> bool {
        match self {
            Self::NoFirmware | Self::Card(CardError::SemaphoreHeld { .. }) => true,
            Self::Busy { opcode } => *opcode != MAILBOX_READ,
            _ => false,
        }
    }
}

#[derive(Clone, Copy)]
struct ToolsCommand {
    opcode: u16,
    op_modifier: u8,
    modifier: u32,
    /// The first dword of two.
    low: u32,
    /// The second one.
    high: u32,
}

impl ToolsCommand {
    fn new(opcode: u16, op_modifier: u8, modifier: u32) -> Self {
        Self { opcode, op_modifier, modifier, low: 0, high: 0 }
    }
}

/// The running firmware, reached through the tools command interface.
pub struct ToolsInterface<'c> {
    card: &'c mut Card,
    /// The mailbox can be reached at 0xe0000; `None` = not tried yet.
    mapped: Option<bool>,
}

impl Card {
    /// Talk to the running firmware.
    ///
    /// # Errors
    /// [`ToolsError::NoFirmware`] when no firmware runs.
    pub fn tools(&mut self) -> Result<ToolsInterface<'_>, ToolsError> {
        if self.firmware() != FirmwareState::Runs {
            return Err(ToolsError::NoFirmware);
        }
        Ok(ToolsInterface { card: self, mapped: None })
    }
}

impl ToolsInterface<'_> {
    /// Two dwords of `QUERY_DEV_CAP`'s output at byte offset `at`, a multiple of 8.
    pub fn capabilities(&mut self, at: u16) -> Result<[u32; 2], ToolsError> {
        let at = usize::from(at) & !7;
        self.under_semaphore(|tools| {
            tools.execute(ToolsCommand::new(QUERY_DEV_CAP, 0, 0))?;
            tools.read_pair(at / 4)
        })
    }

    /// `QUERY_DEF_PARAMS`: what the settings are without stored ones. Port 0 = those of the card.
    pub fn defaults(&mut self, port: u8) -> Result<[u32; 8], ToolsError> {
        self.under_semaphore(|tools| {
            tools.write_by_command(&[0; MAILBOX])?;
            tools.execute(ToolsCommand::new(QUERY_DEF_PARAMS, port, 0))?;
            let mut words = [0; 8];
            for (n, pair) in words.chunks_exact_mut(2).enumerate() {
                pair.copy_from_slice(&tools.read_pair(2 * n)?);
            }
            Ok(words)
        })
    }

    /// Register access with this content of the mailbox (zeros behind it); the first `answer` dwords of
    /// the mailbox afterwards.
    ///
    /// # Errors
    /// [`ToolsError`], except for the status of the register itself.
    pub(super) fn access(
        &mut self,
        content: &[u32],
        answer: usize,
    ) -> Result<Vec<u32>, ToolsError> {
        let mut mailbox = [0; MAILBOX];
        for (place, word) in mailbox.iter_mut().zip(content) {
            *place = *word;
        }
        self.under_semaphore(|tools| {
            let mapped = tools.mailbox_is_mapped()?;
            if mapped {
                tools.write_mapped(&mailbox)?;
            } else {
                tools.write_by_command(&mailbox)?;
            }
            tools.execute(ToolsCommand::new(ACCESS_REGISTER, 0, u32::from(mapped)))?;
            tools.read_mailbox(answer, mapped)
        })
    }

    /// The semaphore is freed whatever happens.
    fn under_semaphore<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ToolsError>,
    ) -> Result<T, ToolsError> {
        self.card.acquire(Semaphore::ToolsHcr)?;
        let done = work(self);
        let freed = self.card.release(Semaphore::ToolsHcr);
        let confirmed = freed.and_then(|()| self.card.confirm_writes());
        match (done, confirmed) {
            (Ok(value), Ok(())) => Ok(value),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(second)) => {
                tracing::warn!(error = %second, "tools semaphore not freed");
                Err(error)
            }
        }
    }

    /// Waits until no command runs; `Ok(None)` when one still does at the limit.
    fn until_idle(&mut self) -> Result<Option<u32>, ToolsError> {
        let clock = self.card.clock();
        wait_for(&*clock, PATIENCE, || {
            let control = self.card.read(CONTROL)?;
            Ok((control & GO == 0).then_some(control))
        })
    }

    /// One command, under the semaphore. The answer: the two output dwords, the low one first.
    fn execute(&mut self, command: ToolsCommand) -> Result<[u32; 2], ToolsError> {
        let opcode = command.opcode;
        if self.until_idle()?.is_none() {
            return Err(ToolsError::Busy { opcode });
        }
        let control = u32::from(opcode & 0xfff) | u32::from(command.op_modifier & 0xf) << 12;
        let words = [command.high, command.low, command.modifier, 0, 0, 0, control];
        for (n, word) in (0_u8..).zip(words) {
            self.card.write(Reg::ToolsHcr(n), word)?;
        }
        self.card.write(CONTROL, control | GO)?;
        let Some(control) = self.until_idle()? else {
            return Err(ToolsError::Timeout { opcode, ms: PATIENCE.limit().as_millis() as u64 });
        };
        let status = (control >> 24) as u8;
        tracing::debug!(opcode = format_args!("{opcode:#05x}"), status, "tools command");
        match status {
            0 => {
                let high = self.card.read(Reg::ToolsHcr(3))?;
                Ok([self.card.read(Reg::ToolsHcr(4))?, high])
            }
            1 => Err(ToolsError::Busy { opcode }),
            2 => Err(ToolsError::UnknownOp { opcode }),
            3 => Err(ToolsError::UnknownTlv { opcode }),
            4 => Err(ToolsError::BadSystemState { opcode }),
            9 => Err(ToolsError::BadResource { opcode }),
            status => Err(ToolsError::Other { opcode, status }),
        }
    }

    /// Two dwords of the mailbox by command.
    fn read_pair(&mut self, dword: usize) -> Result<[u32; 2], ToolsError> {
        self.execute(ToolsCommand::new(MAILBOX_READ, 0, dword as u32 & !1))
    }

    fn write_by_command(&mut self, mailbox: &[u32; MAILBOX]) -> Result<(), ToolsError> {
        let (pairs, _) = mailbox.as_chunks();
        for (n, &[low, high]) in (0_u32..).step_by(2).zip(pairs) {
            self.execute(ToolsCommand { low, high, ..ToolsCommand::new(MAILBOX_WRITE, 0, n) })?;
        }
        Ok(())
    }

    /// Whether what is written to 0xe0000 can be read there; probed once.
    fn mailbox_is_mapped(&mut self) -> Result<bool, ToolsError> {
        if let Some(known) = self.mapped {
            return Ok(known);
        }
        let probe = Reg::ToolsMailbox(0);
        self.card.write(probe, PROBE)?;
        let mapped = match self.card.read(probe) {
            Ok(value) => value == PROBE,
            Err(CardError::BadAccess { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        tracing::debug!(mapped, "tools mailbox at 0xe0000");
        self.mapped = Some(mapped);
        Ok(mapped)
    }

    fn write_mapped(&mut self, mailbox: &[u32; MAILBOX]) -> Result<(), ToolsError> {
        for (n, word) in (0_u8..).zip(mailbox) {
            self.card.write(Reg::ToolsMailbox(n), *word)?;
        }
        Ok(())
    }

    fn read_mailbox(&mut self, dwords: usize, mapped: bool) -> Result<Vec<u32>, ToolsError> {
        let dwords = dwords.min(MAILBOX);
        let mut words = Vec::with_capacity(dwords + 1);
        for at in (0..dwords).step_by(2) {
            words.extend(if mapped {
                let n = at as u8;
                let one = self.card.read(Reg::ToolsMailbox(n))?;
                [one, self.card.read(Reg::ToolsMailbox(n + 1))?]
            } else {
                self.read_pair(at)?
            });
        }
        words.truncate(dwords);
        Ok(words)
    }
}

#[cfg(test)]
mod tests;
