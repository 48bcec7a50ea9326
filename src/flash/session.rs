//! Semaphores held, chip known: what every state of the machine works through.

use super::gateway::{self, Opcode};
use super::waits::{Patience, WEL, WIP, until_chip_idle};
use super::{EraseSize, FlashError, FlashPart, Protection};
use crate::card::{Card, Clock, FlashHold};
use crate::image::FlashAddr;
use std::time::Duration;

/// Bounds over every part of the table at its worst (flash-hardware §5.4, "safe driver limits").
const PROGRAM_LIMIT: Duration = Duration::from_millis(20);
const ERASE_4K_LIMIT: Duration = Duration::from_secs(2);
const ERASE_64K_LIMIT: Duration = Duration::from_secs(6);
const STATUS_LIMIT: Duration = Duration::from_millis(1500);

/// Bytes compared when chained reads are proven.
const PROOF: usize = 64;

/// One session with the flash; dropping it waits for the chip and frees the semaphores.
pub(super) struct Session<'c> {
    pub(super) hold: FlashHold<'c>,
    pub(super) clock: &'c dyn Clock,
    pub(super) part: FlashPart,
    pub(super) protection: Protection,
    pub(super) chained: bool,
    /// Time an erase or program takes on this very chip, learned as it goes.
    erase_4k: Patience,
    erase_64k: Patience,
    program: Patience,
    /// Something mutating was sent and may still run.
    working: bool,
}

impl<'c> Session<'c> {
    pub(super) fn open(card: &'c mut Card, clock: &'c dyn Clock) -> Result<Self, FlashError> {
        let mut hold = card.hold_flash()?;
        // Who held the gateway before us may have died in the middle of a chain or of an erase:
        // the first operation without CS_HOLD drops chip-select (flash-hardware §3.4, INFERRED),
        // and then the chip may need its time.
        gateway::read_status(&mut hold, clock)?;
        let mut any = Patience::typical(Duration::ZERO, ERASE_64K_LIMIT);
        until_chip_idle(&mut hold, clock, "work of an earlier program", 0, &mut any)?;
        let mut jedec = gateway::read_id(&mut hold, clock)?;
        if jedec == 0 || jedec == 0xFF_FFFF {
            // Detection is tried twice by everybody (flash-hardware §4.5 step 4).
            jedec = gateway::read_id(&mut hold, clock)?;
        }
        let part = FlashPart::detect(jedec)?;
        let status = gateway::read_status(&mut hold, clock)?;
        let protection = Protection::decode(&part, status);
        tracing::info!(part = part.name, jedec, status, "flash chip");
        let mut session = Self {
            hold,
            clock,
            protection,
            chained: false,
            erase_4k: Patience::typical(part.geometry.erase_4k.unwrap_or_default(), ERASE_4K_LIMIT),
            erase_64k: Patience::typical(
                part.geometry.erase_64k.unwrap_or_default(),
                ERASE_64K_LIMIT,
            ),
            program: Patience::typical(
                if part.byte_program {
                    part.geometry.program_page / 256
                } else {
                    part.geometry.program_page
                },
                PROGRAM_LIMIT,
            ),
            part,
            working: false,
        };
        session.prove_chaining()?;
        Ok(session)
    }

    /// No known tool reads with chip-select held on this silicon (flash-hardware §4.5), so it is
    /// compared with single reads on the card at hand first, where the flash is not blank: blank
    /// bytes would prove nothing.
    fn prove_chaining(&mut self) -> Result<(), FlashError> {
        let starts = std::iter::once(0).chain((16..24).map(|n| 1 << n));
        for start in starts.filter(|at| at + PROOF as u32 <= self.part.geometry.size) {
            let mut single = [0; PROOF];
            let (head, _) = single.split_at_mut(16);
            gateway::read(&mut self.hold, self.clock, start, head, false)?;
            if head.iter().all(|b| *b == 0xFF) {
                continue;
            }
            gateway::read(&mut self.hold, self.clock, start, &mut single, false)?;
            let mut chained = [0; PROOF];
            gateway::read(&mut self.hold, self.clock, start, &mut chained, true)?;
            self.chained = single == chained;
            if !self.chained {
                tracing::warn!(start, "chained reads differ from single reads: not used");
            }
            return Ok(());
        }
        Ok(())
    }

    /// Read any range; unaligned ends are cut from whole blocks.
    pub(super) fn read(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), FlashError> {
        let size = self.part.geometry.size;
        let end = u64::from(at.0) + buf.len() as u64;
        if end > u64::from(size) {
            return Err(FlashError::Outside {
                at: at.0,
                len: buf.len() as u64,
                size,
            });
        }
        let lead = at.0 % gateway::BLOCK as u32;
        let whole = (lead as usize + buf.len()).next_multiple_of(gateway::BLOCK);
        if lead == 0 && whole == buf.len() {
            return gateway::read(&mut self.hold, self.clock, at.0, buf, self.chained);
        }
        let mut blocks = vec![0; whole];
        gateway::read(
            &mut self.hold,
            self.clock,
            at.0 - lead,
            &mut blocks,
            self.chained,
        )?;
        if let Some(found) = blocks.get(lead as usize..lead as usize + buf.len()) {
            buf.copy_from_slice(found);
        }
        Ok(())
    }

    /// Set the latch and see it set: a chip that ignores it would ignore the erase silently.
    fn write_enable(&mut self) -> Result<(), FlashError> {
        gateway::write_enable(&mut self.hold, self.clock)?;
        let status = gateway::read_status(&mut self.hold, self.clock)?;
        if status & WEL == 0 {
            return Err(FlashError::WriteEnable(status));
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, at: FlashAddr, size: EraseSize) -> Result<(), FlashError> {
        self.write_enable()?;
        let (opcode, patience, what) = match size {
            EraseSize::K4 => (Opcode::Erase4K, &mut self.erase_4k, "4K erase"),
            EraseSize::K64 => (Opcode::Erase64K, &mut self.erase_64k, "64K erase"),
        };
        self.working = true;
        gateway::erase(&mut self.hold, self.clock, opcode, at.0)?;
        until_chip_idle(&mut self.hold, self.clock, what, at.0, patience)?;
        self.working = false;
        Ok(())
    }

    /// Program bytes inside one page. The latch is not read back here: 3,000 pages would pay for
    /// it, and the read-back of the body finds a page that was ignored.
    pub(super) fn program(&mut self, at: FlashAddr, data: &[u8]) -> Result<(), FlashError> {
        if self.part.byte_program {
            return self.program_bytes(at, data);
        }
        gateway::write_enable(&mut self.hold, self.clock)?;
        self.working = true;
        gateway::program(&mut self.hold, self.clock, at.0, data)?;
        self.until_programmed("page program", at.0)
    }

    fn program_bytes(&mut self, at: FlashAddr, data: &[u8]) -> Result<(), FlashError> {
        for (n, byte) in data.iter().enumerate().filter(|(_, b)| **b != 0xFF) {
            let at = at.0 + n as u32;
            gateway::write_enable(&mut self.hold, self.clock)?;
            self.working = true;
            gateway::program_byte(&mut self.hold, self.clock, at, *byte)?;
            self.until_programmed("byte program", at)?;
        }
        Ok(())
    }

    fn until_programmed(&mut self, what: &'static str, at: u32) -> Result<(), FlashError> {
        until_chip_idle(&mut self.hold, self.clock, what, at, &mut self.program)?;
        self.working = false;
        Ok(())
    }

    /// SST25 and Atmel come up with every block protected; clearing that is part of writing to
    /// them (flash-hardware §4.5 step 5). Their status register forgets it at power-off.
    pub(super) fn unprotect(&mut self, value: u8) -> Result<(), FlashError> {
        self.write_enable()?;
        self.working = true;
        gateway::write_status(&mut self.hold, self.clock, value)?;
        let mut patience = Patience::typical(Duration::from_micros(50), STATUS_LIMIT);
        until_chip_idle(&mut self.hold, self.clock, "status write", 0, &mut patience)?;
        self.working = false;
        let status = gateway::read_status(&mut self.hold, self.clock)?;
        self.protection = Protection::decode(&self.part, status);
        Ok(())
    }

    /// Wait for whatever still runs: nobody may close the road or reset the chip before.
    pub(super) fn settle(&mut self) -> Result<(), FlashError> {
        if !self.working {
            return Ok(());
        }
        let mut patience = Patience::typical(Duration::from_millis(1), ERASE_64K_LIMIT);
        // A chain that broke off is ended by the status read, which does not hold chip-select.
        until_chip_idle(
            &mut self.hold,
            self.clock,
            "interrupted work",
            0,
            &mut patience,
        )?;
        self.working = false;
        Ok(())
    }

    /// The chip does nothing at this moment.
    pub(super) fn is_idle(&mut self) -> Result<bool, FlashError> {
        Ok(gateway::read_status(&mut self.hold, self.clock)? & WIP == 0)
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // The semaphores are freed by the hold, after this.
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "the flash may still be working");
        }
    }
}
