//! Hardware access of a locked card ("secure host"): enabled with the owner's key for as long as the chip
//! is not reset. Nothing here sets or changes a key, or disables the access.
//!
//! Command 0x60 of the tools command interface with opcode modifier 0 and the key as its input, as flint's
//! `hw_access enable` sends it (mstflint tools_cif.c, `tcif_hw_access`; mflash.c, `mf_enable_hw_access`). A
//! locked card answers at the interface and its semaphore only, so there is no flush.

use super::device::is_doubtful;
use super::{Card, CardError, HwKey, Patience, Reg, Semaphore, wait_for};
use std::time::Duration;

const HW_ACCESS: u32 = 0x060;
const GO: u32 = 1 << 23;
const CONTROL: Reg = Reg::ToolsHcr(6);
/// Status of a wrong key (mstflint mflash.c: `ME_CMDIF_UNKN_TLV` becomes `MFE_MISMATCH_KEY`).
const WRONG_KEY: u32 = 3;
/// Status of a command that the firmware does not have (docs/hardware.md#tools-command-interface).
const UNKNOWN_OP: u32 = 2;
/// As for every command of the interface.
const PATIENCE: Patience = Patience::every(Duration::from_secs(16), Duration::from_micros(20))
    .growing_to(Duration::from_millis(8));

impl Card {
    /// Sends the key to the firmware of a locked card.
    ///
    /// # Errors
    /// [`CardError::KeyRefused`], [`CardError::NoHwAccess`], [`CardError::HwAccess`], [`CardError::Gone`].
    pub(super) fn enable_access(&mut self, key: HwKey) -> Result<(), CardError> {
        tracing::info!("the card is locked: its key is sent");
        let clock = self.clock();
        let semaphore = Reg::Semaphore(Semaphore::ToolsHcr.number());
        let mut unanswered = false;
        let taken = wait_for(&*clock, PATIENCE, || {
            let state = self.read_locked(semaphore)?;
            unanswered |= state.is_none();
            Ok::<_, CardError>((state == Some(0)).then_some(()))
        })?;
        // A read that was not answered may have taken it. A tool holds it for one command, not for this long.
        if taken.is_none() && !unanswered {
            return Err(CardError::HwAccess("its semaphore 47 cannot be taken".into()));
        }
        let status = self.send_key(key);
        self.raw_write(semaphore, 0)?;
        match status? {
            Some(0) => Ok(()),
            Some(WRONG_KEY) => Err(CardError::KeyRefused),
            Some(UNKNOWN_OP) => Err(CardError::NoHwAccess),
            Some(status) => Err(CardError::HwAccess(format!("its firmware answers {status:#04x}"))),
            None => Err(CardError::HwAccess("its firmware does not answer".into())),
        }
    }

    /// The status of the command; `None` when the firmware does not answer.
    fn send_key(&mut self, key: HwKey) -> Result<Option<u32>, CardError> {
        if self.idle_control()?.is_none() {
            return Ok(None);
        }
        let [high, low] = key.words();
        let words = [high, low, 0, 0, 0, 0, HW_ACCESS];
        for (n, word) in (0_u8..).zip(words) {
            self.raw_write(Reg::ToolsHcr(n), word)?;
        }
        self.raw_write(CONTROL, HW_ACCESS | GO)?;
        Ok(self.idle_control()?.map(|control| control >> 24))
    }

    fn idle_control(&mut self) -> Result<Option<u32>, CardError> {
        let clock = self.clock();
        wait_for(&*clock, PATIENCE, || {
            let control = self.read_locked(CONTROL)?;
            Ok(control.filter(|control| control & GO == 0))
        })
    }

    /// Reads a register that a locked card answers. `None`: this read was not answered, and the card is there.
    fn read_locked(&mut self, register: Reg) -> Result<Option<u32>, CardError> {
        let value = self.raw_read(register)?;
        if !is_doubtful(value) {
            return Ok(Some(value));
        }
        match self.until_present(register) {
            Ok(()) | Err(CardError::Locked) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
