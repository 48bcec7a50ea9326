//! Semaphores held, chip known: what every state of the machine works through.

use super::cache::Cache;
use super::gateway::{BLOCK, FlashGateway, MAX_CHAIN, Opcode, Pieces, WEL, WIP};
use super::readings::agreed;
use super::waits::{CHIP_LIMIT, ChipWork, until_chip_idle};
use super::{EraseSize, Event, Events, FlashChip, FlashError, Protection};
use crate::card::{Card, Clock};
use crate::escape;
use crate::image::FlashAddr;
use std::io::Write;
use std::ops::Range;

/// Bit of status register 2 on Winbond and Spansion (mstflint mflash/mflash.c,
/// `mf_set_quad_en_direct_access`).
const QUAD_ENABLE: u8 = 1 << 1;

/// Readings after two that agree, where cells between two states are looked for.
pub(crate) const MORE_READINGS: u32 = 6;

/// One session with the flash; dropping it waits for the chip and frees the semaphores.
pub(super) struct FlashSession<'c> {
    pub(super) gateway: FlashGateway<'c>,
    pub(super) chip: FlashChip,
    pub(super) cache: Cache,
    pub(super) protection: Protection,
    /// Reads may hold chip-select: proven on this card.
    pub(super) chained: bool,
    /// Something mutating was sent and may still run.
    working: bool,
}

impl<'c> FlashSession<'c> {
    pub(super) fn open(card: &'c mut Card, clock: &'c dyn Clock) -> Result<Self, FlashError> {
        let mut gateway = FlashGateway::take_over(card.hold_flash()?, clock)?;
        let jedec = identify(&mut gateway)?;
        let chip = FlashChip::detect(jedec)?;
        let mut session = Self {
            gateway,
            protection: Protection::decode(&chip, 0, None),
            cache: Cache::new(chip.geometry.size),
            chip,
            chained: false,
            working: false,
        };
        session.refresh_protection()?;
        let status = session.protection.status;
        tracing::info!(chip = session.chip.name, jedec, status, "flash chip");
        Ok(session)
    }

    /// [`FlashError::Outside`] unless the chip has these bytes.
    pub(super) fn check_inside(&self, at: FlashAddr, len: u64) -> Result<(), FlashError> {
        let size = self.chip.geometry.size;
        if u64::from(at.0) + len > u64::from(size) {
            return Err(FlashError::Outside { at: at.0, len, size });
        }
        Ok(())
    }

    /// Reads any range, by chains where they are proven; unaligned ends are cut from 16-byte blocks.
    pub(super) fn read(&mut self, at: FlashAddr, buf: &mut [u8]) -> Result<(), FlashError> {
        self.read_as(at, buf, if self.chained { MAX_CHAIN } else { BLOCK })
    }

    /// Reads any range by chains of this length, proven or not; of [`BLOCK`] bytes: each with opcode and
    /// address, as every known tool does.
    pub(super) fn read_as(
        &mut self,
        at: FlashAddr,
        buf: &mut [u8],
        chain: usize,
    ) -> Result<(), FlashError> {
        self.check_inside(at, buf.len() as u64)?;
        let lead = at.0 % BLOCK as u32;
        let len = (lead as usize + buf.len()).next_multiple_of(BLOCK);
        if lead == 0 && len == buf.len() {
            return self.gateway.read(at.0, buf, chain);
        }
        let mut blocks = vec![0; len];
        self.gateway.read(at.0 - lead, &mut blocks, chain)?;
        if let Some(found) = blocks.get(lead as usize..lead as usize + buf.len()) {
            buf.copy_from_slice(found);
        }
        Ok(())
    }

    /// The block of 16 bytes at `at`, read singly until two consecutive readings agree.
    pub(super) fn agreed_block(&mut self, at: u32) -> Result<[u8; BLOCK], FlashError> {
        self.check_inside(FlashAddr(at), BLOCK as u64)?;
        agreed(|| {
            let mut block = [0; BLOCK];
            self.gateway.read(at, &mut block, BLOCK)?;
            Ok(block)
        })?
        .ok_or(FlashError::Unsteady { at })
    }

    /// [`FlashSession::agreed_block`], and `more` readings that agree: a cell that an interrupted program left
    /// between two states may read right twice. One reading that differs is none of the cells: after it
    /// everything starts again, once, with twice as many.
    ///
    /// # Errors
    /// [`FlashError::Unsteady`] when readings go on to differ.
    pub(super) fn steady_block(&mut self, at: u32, more: u32) -> Result<[u8; BLOCK], FlashError> {
        for more in [more, 2 * more] {
            let agreed = self.agreed_block(at)?;
            if self.reads_as(at, &agreed, more)? {
                return Ok(agreed);
            }
        }
        Err(FlashError::Unsteady { at })
    }

    /// The block at `at` reads as `wanted` so many times.
    fn reads_as(&mut self, at: u32, wanted: &[u8], times: u32) -> Result<bool, FlashError> {
        for _ in 0..times {
            let mut block = [0; BLOCK];
            self.gateway.read(at, &mut block, BLOCK)?;
            if block != wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The block at `at`, with [`MORE_READINGS`] once something was misread in this session.
    pub(super) fn proven_block(&mut self, at: u32) -> Result<[u8; BLOCK], FlashError> {
        self.steady_block(at, if self.gateway.disturbed { MORE_READINGS } else { 0 })
    }

    /// Status register 1, read until two consecutive readings agree.
    fn agreed_status(&mut self) -> Result<u8, FlashError> {
        let what = "status register";
        agreed(|| self.gateway.read_status())?.ok_or(FlashError::UnsteadyRegister { what })
    }

    /// Status register 2, on chips that have one.
    fn agreed_status2(&mut self) -> Result<Option<u8>, FlashError> {
        if !self.chip.has_status2() {
            return Ok(None);
        }
        let what = "status register 2";
        agreed(|| self.gateway.read_status2())?
            .map(Some)
            .ok_or(FlashError::UnsteadyRegister { what })
    }

    /// Sets the latch and sees it set: a chip that ignores WREN would ignore the erase silently. One
    /// wrong reading of the status is not believed, and one lost WREN is sent again.
    pub(super) fn write_enable(&mut self) -> Result<(), FlashError> {
        let mut status = 0;
        for _ in 0..2 {
            self.gateway.write_enable()?;
            for _ in 0..2 {
                status = self.gateway.read_status()?;
                if status & WEL != 0 {
                    return Ok(());
                }
            }
        }
        Err(FlashError::WriteEnable(status))
    }

    /// Waits for the work that was just started. True = it was done: the end of an erase or program
    /// clears the latch, and a command that did not arrive leaves it set.
    pub(super) fn finish(&mut self, at: u32, work: ChipWork) -> Result<bool, FlashError> {
        let status = until_chip_idle(&mut self.gateway, at, work)?;
        self.working = false;
        if status & WEL != 0 {
            tracing::warn!(at, status, "the write-enable latch is still set");
        }
        Ok(status & WEL == 0)
    }

    /// Something mutating is about to be sent.
    pub(super) fn begin_work(&mut self) {
        self.working = true;
    }

    pub(super) fn erase(&mut self, at: FlashAddr, size: EraseSize) -> Result<(), FlashError> {
        self.check_inside(at, u64::from(size.bytes()))?;
        let (opcode, work) = match size {
            EraseSize::K4 => (Opcode::Erase4K, ChipWork::ERASE_4K),
            EraseSize::K64 => (Opcode::Erase64K, ChipWork::ERASE_64K),
        };
        // A command that is not executed twice is found by the blank check.
        for _ in 0..2 {
            self.write_enable()?;
            self.working = true;
            self.gateway.erase(opcode, at.0)?;
            if self.finish(at.0, work)? {
                break;
            }
        }
        Ok(())
    }

    /// Programs bytes inside one page. The latch is not read back: 3,000 pages would pay for it, and
    /// the read-back of the body finds a page that was ignored.
    pub(super) fn program(&mut self, at: FlashAddr, data: &[u8]) -> Result<(), FlashError> {
        self.check_inside(at, data.len() as u64)?;
        if self.chip.byte_program {
            for (n, byte) in data.iter().enumerate().filter(|(_, b)| **b != 0xFF) {
                let at = at.0 + n as u32;
                self.gateway.write_enable()?;
                self.working = true;
                self.gateway.program_byte(at, *byte)?;
                self.finish(at, ChipWork::BYTE_PROGRAM)?;
            }
            return Ok(());
        }
        let Some(pieces) = Pieces::of(at.0, data)? else {
            return Ok(());
        };
        for _ in 0..2 {
            self.gateway.write_enable()?;
            self.working = true;
            self.gateway.program(&pieces)?;
            if self.finish(at.0, ChipWork::PAGE_PROGRAM)? {
                break;
            }
        }
        Ok(())
    }

    /// Reads the status registers again and decodes what they protect.
    pub(super) fn refresh_protection(&mut self) -> Result<(), FlashError> {
        self.gateway.expected_status = None;
        let status = self.agreed_status()?;
        let second = self.agreed_status2()?;
        self.gateway.expected_status = Some(status & !(WIP | WEL));
        self.protection = Protection::decode(&self.chip, status, second);
        Ok(())
    }

    fn write_status(&mut self, value: u8, second: Option<u8>) -> Result<(), FlashError> {
        self.write_enable()?;
        self.working = true;
        self.gateway.expected_status = None;
        self.gateway.write_status(value, second)?;
        self.finish(0, ChipWork::STATUS_WRITE)?;
        self.refresh_protection()
    }

    /// SST25 and Atmel power up with every block protected; clearing that is part of writing to them
    /// (mstflint mflash/mflash.c `st_spi_fill_attr`). It returns with the next power-on.
    pub(super) fn unprotect(&mut self, value: u8) -> Result<(), FlashError> {
        tracing::warn!(status = self.protection.status, "power-up protection cleared");
        self.write_status(value, None)
    }

    /// Clears protection bits that power does not clear, where they are those `shown`.
    pub(super) fn clear_protection(&mut self, shown: u8) -> Result<(), FlashError> {
        let (found, second) = self.writable_status(shown)?;
        tracing::warn!(status = found, "protection bits cleared on request");
        let mask = self.chip.protect_mask;
        self.write_status(found & !(mask | WIP | WEL), second)?;
        if self.protection.status & mask != 0 {
            let what = "the chip keeps its protection bits (write-protect pin?)";
            return Err(self.refuse_protection(what));
        }
        Ok(())
    }

    /// Sets the bits that protect `range`, where those before are those `shown`.
    pub(super) fn set_protection(
        &mut self,
        shown: u8,
        range: &Range<u32>,
    ) -> Result<(), FlashError> {
        let (found, second) = self.writable_status(shown)?;
        let Some(bits) = self.chip.protection_bits(range) else {
            return Err(self.refuse_protection("no bits of this chip protect that range"));
        };
        if second.is_some_and(|second| second & !QUAD_ENABLE != 0) {
            return Err(self.refuse_protection("undocumented bits of status register 2 are set"));
        }
        tracing::warn!(status = found, bits, "protection bits set on request");
        let mask = self.chip.protect_mask;
        self.write_status(found & !(mask | WIP | WEL) | bits, second)?;
        if self.protection.range.as_ref() != Some(range) {
            let what = "the chip does not keep the protection bits (write-protect pin?)";
            return Err(self.refuse_protection(what));
        }
        Ok(())
    }

    /// Status registers as they are now, when they may be written: the bits are those that were
    /// shown, and CMP, which inverts the range, is not set. A write of one byte would clear the
    /// second register on families that have one, and quad enable is in there.
    fn writable_status(&mut self, shown: u8) -> Result<(u8, Option<u8>), FlashError> {
        self.refresh_protection()?;
        let found = self.protection.status;
        if (found ^ shown) & self.chip.protect_mask != 0 {
            return Err(self.refuse_protection("the bits are not those that were shown"));
        }
        if self.protection.complement {
            return Err(self.refuse_protection("CMP is set (status register 2, bit 6)"));
        }
        let second = if self.chip.two_status_bytes { self.agreed_status2()? } else { None };
        Ok((found, second))
    }

    fn refuse_protection(&self, what: &str) -> FlashError {
        FlashError::Protected { status: self.protection.status, what: what.into() }
    }

    /// Waits for whatever still runs: until then the transport must stay open and the chip unreset. Semaphores
    /// that were lost are taken again first: they may still be taken for us, and are freed in the end. After a
    /// reset of our own, which clears them, a semaphore that is taken is never ours.
    ///
    /// # Errors
    /// [`FlashError`]; what the flash holds cannot be read then.
    pub(super) fn settle(&mut self, events: &mut dyn Events) -> Result<(), FlashError> {
        if !self.gateway.card.is_held() {
            match self.gateway.card.is_lost() {
                true => self.gateway.regain()?,
                false => self.gateway.take_after_reset()?,
            }
            self.working = true;
        }
        // Whatever comes of it, there is no second wait.
        let working = std::mem::take(&mut self.working);
        self.gateway.end_open_chain()?;
        if !working {
            return Ok(());
        }
        let soon = until_chip_idle(&mut self.gateway, 0, ChipWork::NEARLY_DONE);
        if !matches!(soon, Err(FlashError::FlashTimeout { .. })) {
            return soon.map(|_| ());
        }
        events.emit(Event::Note {
            text: format!(
                "the flash chip is still busy; waiting for it, {} s at most",
                CHIP_LIMIT.as_secs()
            ),
        });
        until_chip_idle(&mut self.gateway, 0, ChipWork::INTERRUPTED).map(|_| ())
    }

    /// The chip does nothing at this moment.
    pub(super) fn is_idle(&mut self) -> Result<bool, FlashError> {
        Ok(self.agreed_status()? & WIP == 0)
    }

    /// Software reset, after the chip has shown that no erase or program runs; whether it was seen.
    pub(super) fn software_reset(&mut self) -> Result<bool, FlashError> {
        self.ready_for_reset()?;
        Ok(self.gateway.card.software_reset()?)
    }

    /// The chip has shown that no erase or program runs.
    pub(super) fn ready_for_reset(&mut self) -> Result<(), FlashError> {
        self.settle(&mut ToStderr)?;
        until_chip_idle(&mut self.gateway, 0, ChipWork::BEFORE_RESET)?;
        Ok(())
    }

    /// Takes the flash again after a reset of our own: the semaphores, the gateway, and the same chip.
    pub(super) fn lock_again(&mut self) -> Result<(), FlashError> {
        self.cache.forget();
        self.gateway.take_after_reset()?;
        let (found, wanted) = (identify(&mut self.gateway)?, self.chip.jedec);
        if found != wanted {
            return Err(FlashError::OtherChip { found, wanted });
        }
        self.refresh_protection()
    }
}

/// Reads the JEDEC id of an idle chip.
///
/// RDID comes before RDSR, as in mstflint: with no chip the status reads FF, which looks busy for
/// ever. A chip that is busy with an erase of a program that died may ignore RDID, so the id that
/// counts is read when the chip is idle.
fn identify(gateway: &mut FlashGateway<'_>) -> Result<u32, FlashError> {
    let mut id = 0;
    for _ in 0..2 {
        id = gateway.read_id()?;
        let no_answer = matches!(id, 0 | 0xFF_FFFF) && gateway.read_status()? == 0xFF;
        if !no_answer {
            until_chip_idle(gateway, 0, ChipWork::EARLIER)?;
            let what = "JEDEC id";
            return agreed(|| gateway.read_id())?.ok_or(FlashError::UnsteadyRegister { what });
        }
    }
    Err(FlashError::NoChip(id))
}

/// Reports on stderr that a session waits when its events go nowhere any more.
struct ToStderr;

impl Events for ToStderr {
    fn emit(&mut self, event: Event) {
        if let Event::Note { text } = event {
            // A closed stderr must not end the wait.
            let _ = writeln!(std::io::stderr(), "{}", escape::line(&text));
        }
    }
}

impl Drop for FlashSession<'_> {
    fn drop(&mut self) {
        // The semaphores are freed by the hold, after this. Without them the gateway is not ours; they are
        // taken again at most once.
        let hold = &self.gateway.card;
        if !hold.is_held() && !hold.is_lost() {
            return;
        }
        if let Err(error) = self.settle(&mut ToStderr) {
            tracing::warn!(%error, "the flash may still be working");
        }
    }
}
