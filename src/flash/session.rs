//! Semaphores held, chip known: what every state of the machine works through.

use super::gateway::{BLOCK, Gateway, Opcode, Pieces};
use super::waits::{ChipWork, WEL, WIP, until_chip_idle};
use super::{ClearProtection, EraseSize, FlashError, FlashPart, Protection, SetProtection};
use crate::card::{Card, Clock};
use crate::image::FlashAddr;

/// Bit of status register 2 on Winbond and Spansion (flash-hardware §5.3).
const QUAD_ENABLE: u8 = 1 << 1;

/// Bytes compared when chained reads are proven.
const PROOF: usize = 64;

/// One session with the flash; dropping it waits for the chip and frees the semaphores.
pub(super) struct Session<'c> {
    pub(super) gateway: Gateway<'c>,
    pub(super) part: FlashPart,
    pub(super) protection: Protection,
    pub(super) chained: bool,
    /// Something mutating was sent and may still run.
    working: bool,
}

impl<'c> Session<'c> {
    pub(super) fn open(card: &'c mut Card, clock: &'c dyn Clock) -> Result<Self, FlashError> {
        let mut gateway = Gateway::take_over(card.hold_flash()?, clock)?;
        // Who held the semaphores before may have died in the middle of an erase, and then the
        // chip needs its time.
        until_chip_idle(&mut gateway, 0, ChipWork::EARLIER)?;
        let mut jedec = gateway.read_id()?;
        if jedec == 0 || jedec == 0xFF_FFFF {
            // Detection is tried twice by everybody (flash-hardware §4.5 step 4).
            jedec = gateway.read_id()?;
        }
        let part = FlashPart::detect(jedec)?;
        let status = gateway.read_status()?;
        let protection = Protection::decode(&part, status);
        tracing::info!(part = part.name, jedec, status, "flash chip");
        let mut session = Self {
            gateway,
            part,
            protection,
            chained: false,
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
            let (head, tail) = single.split_at_mut(BLOCK);
            self.gateway.read(start, head, false)?;
            if head.iter().all(|b| *b == 0xFF) {
                continue;
            }
            self.gateway.read(start + BLOCK as u32, tail, false)?;
            // Blocks that are all the same would not show one that was left out or came twice.
            if tail.chunks(BLOCK).all(|block| block == head) {
                continue;
            }
            let mut chained = [0; PROOF];
            self.gateway.read(start, &mut chained, true)?;
            self.chained = single == chained;
            if !self.chained {
                tracing::warn!(start, "chained reads differ from single reads: not used");
            }
            return Ok(());
        }
        Ok(())
    }

    /// [`FlashError::Outside`] unless the chip has these bytes.
    fn check_inside(&self, at: FlashAddr, len: u64) -> Result<(), FlashError> {
        let size = self.part.geometry.size;
        if u64::from(at.0) + len > u64::from(size) {
            return Err(FlashError::Outside {
                at: at.0,
                len,
                size,
            });
        }
        Ok(())
    }

    /// Read any range; unaligned ends are cut from whole blocks.
    pub(super) fn read(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), FlashError> {
        self.check_inside(at, buf.len() as u64)?;
        let lead = at.0 % BLOCK as u32;
        let whole = (lead as usize + buf.len()).next_multiple_of(BLOCK);
        if lead == 0 && whole == buf.len() {
            return self.gateway.read(at.0, buf, self.chained);
        }
        let mut blocks = vec![0; whole];
        self.gateway.read(at.0 - lead, &mut blocks, self.chained)?;
        if let Some(found) = blocks.get(lead as usize..lead as usize + buf.len()) {
            buf.copy_from_slice(found);
        }
        Ok(())
    }

    /// Set the latch and see it set: a chip that ignores it would ignore the erase silently.
    fn write_enable(&mut self) -> Result<(), FlashError> {
        self.gateway.write_enable()?;
        let status = self.gateway.read_status()?;
        if status & WEL == 0 {
            return Err(FlashError::WriteEnable(status));
        }
        Ok(())
    }

    pub(super) fn erase(&mut self, at: FlashAddr, size: EraseSize) -> Result<(), FlashError> {
        self.check_inside(at, u64::from(size.bytes()))?;
        self.write_enable()?;
        let (opcode, work) = match size {
            EraseSize::K4 => (Opcode::Erase4K, ChipWork::ERASE_4K),
            EraseSize::K64 => (Opcode::Erase64K, ChipWork::ERASE_64K),
        };
        self.working = true;
        self.gateway.erase(opcode, at.0)?;
        until_chip_idle(&mut self.gateway, at.0, work)?;
        self.working = false;
        Ok(())
    }

    /// Program bytes inside one page. The latch is not read back here: 3,000 pages would pay for
    /// it, and the read-back of the body finds a page that was ignored.
    pub(super) fn program(&mut self, at: FlashAddr, data: &[u8]) -> Result<(), FlashError> {
        self.check_inside(at, data.len() as u64)?;
        if self.part.byte_program {
            for (n, byte) in data.iter().enumerate().filter(|(_, b)| **b != 0xFF) {
                let at = at.0 + n as u32;
                self.gateway.write_enable()?;
                self.working = true;
                self.gateway.program_byte(at, *byte)?;
                until_chip_idle(&mut self.gateway, at, ChipWork::BYTE_PROGRAM)?;
                self.working = false;
            }
            return Ok(());
        }
        let Some(pieces) = Pieces::of(at.0, data)? else {
            return Ok(());
        };
        self.gateway.write_enable()?;
        self.working = true;
        self.gateway.program(&pieces)?;
        until_chip_idle(&mut self.gateway, at.0, ChipWork::PAGE_PROGRAM)?;
        self.working = false;
        Ok(())
    }

    /// Read status register 1 again and decode it: what counts is what holds now.
    pub(super) fn refresh_protection(&mut self) -> Result<(), FlashError> {
        let status = self.gateway.read_status()?;
        self.protection = Protection::decode(&self.part, status);
        Ok(())
    }

    fn write_status(&mut self, value: u8, second: Option<u8>) -> Result<(), FlashError> {
        self.write_enable()?;
        self.working = true;
        self.gateway.write_status(value, second)?;
        until_chip_idle(&mut self.gateway, 0, ChipWork::STATUS_WRITE)?;
        self.working = false;
        self.refresh_protection()
    }

    /// SST25 and Atmel come up with every block protected; clearing that is part of writing to
    /// them (flash-hardware §4.5 step 5). Their status register forgets it at power-off.
    pub(super) fn unprotect(&mut self, value: u8) -> Result<(), FlashError> {
        tracing::warn!(
            status = self.protection.status,
            "power-up protection taken back"
        );
        self.write_status(value, None)
    }

    /// Clear protection bits that power does not clear, as permitted.
    pub(super) fn clear_protection(
        &mut self,
        permission: ClearProtection,
    ) -> Result<(), FlashError> {
        self.refresh_protection()?;
        let found = self.protection.status;
        let mask = self.part.protect_mask;
        let refuse = |status, what: &str| {
            Err(FlashError::Protected {
                status,
                what: what.into(),
            })
        };
        if found & mask != permission.status() & mask {
            return refuse(found, "the bits are not those that may be cleared");
        }
        // A write of one byte would clear the second register on families that have one: quad
        // enable is in there (§5.3).
        let second = if self.part.two_status_bytes {
            Some(self.gateway.read_status2()?)
        } else {
            None
        };
        tracing::warn!(status = found, "protection bits cleared on request");
        self.write_status(found & !(mask | WIP | WEL), second)?;
        if self.protection.status & mask != 0 {
            return refuse(
                self.protection.status,
                "the chip keeps its protection bits (write-protect pin?)",
            );
        }
        Ok(())
    }

    /// Set protection bits, as permitted.
    pub(super) fn set_protection(&mut self, permission: &SetProtection) -> Result<(), FlashError> {
        self.refresh_protection()?;
        let found = self.protection.status;
        let mask = self.part.protect_mask;
        let refuse = |status, what: &str| {
            Err(FlashError::Protected {
                status,
                what: what.into(),
            })
        };
        if found & mask != permission.status() & mask {
            return refuse(found, "the bits are not those that were shown");
        }
        let Some(bits) = self.part.protection_bits(permission.range()) else {
            return refuse(found, "no bits of this chip protect that range");
        };
        let second = if self.part.two_status_bytes {
            let second = self.gateway.read_status2()?;
            // Later parts turn the range inside out by a bit in there, which §5.3 does not describe;
            // quad enable (bit 1) has nothing to do with it.
            if second & !QUAD_ENABLE != 0 {
                return refuse(found, "status register 2 holds bits nobody described");
            }
            Some(second)
        } else {
            None
        };
        tracing::warn!(status = found, bits, "protection bits set on request");
        self.write_status(found & !(mask | WIP | WEL) | bits, second)?;
        if self.protection.range.as_ref() != Some(permission.range()) {
            return refuse(
                self.protection.status,
                "the chip does not keep the protection bits (write-protect pin?)",
            );
        }
        Ok(())
    }

    /// Wait for whatever still runs: nobody may close the road or reset the chip before.
    pub(super) fn settle(&mut self) -> Result<(), FlashError> {
        self.gateway.end_open_chain()?;
        if self.working {
            until_chip_idle(&mut self.gateway, 0, ChipWork::INTERRUPTED)?;
            self.working = false;
        }
        Ok(())
    }

    /// The chip does nothing at this moment.
    pub(super) fn is_idle(&mut self) -> Result<bool, FlashError> {
        Ok(self.gateway.read_status()? & WIP == 0)
    }

    /// Software reset, after a look that no erase or program runs (flash-hardware §7.1).
    pub(super) fn software_reset(&mut self) -> Result<(), FlashError> {
        self.settle()?;
        until_chip_idle(&mut self.gateway, 0, ChipWork::BEFORE_RESET)?;
        Ok(self.gateway.card.software_reset()?)
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
