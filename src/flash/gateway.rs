//! The flash gateway: one SPI transaction, or a chain of them, per command (flash-hardware §4).
//!
//! Nothing here knows what a sector is for; policy is in [`super::state`].

use super::FlashError;
use super::waits::{WirePace, until_gateway_idle};
use crate::card::{Clock, FlashHold, Reg};
use bitflags::bitflags;

/// Most data bytes of one gateway operation (§4.2, DATA_SIZE 4).
pub(super) const BLOCK: usize = 16;

/// Largest read with chip-select held. The chip streams on for as long as it is clocked; the bound
/// keeps the time short in which the gateway is in the middle of something should we die.
pub(super) const MAX_CHAIN: usize = 4096;

bitflags! {
    /// Bits of the command register (§4.2). DATA_SIZE and OPCODE are values, see [`word`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Bits: u32 {
        /// Data goes from flash to chip.
        const READ = 1;
        /// Send the opcode.
        const OPCODE_PHASE = 1 << 2;
        /// Send three address bytes.
        const ADDRESS_PHASE = 1 << 3;
        /// Transfer data.
        const DATA_PHASE = 1 << 4;
        /// Keep chip-select: more follows.
        const HOLD = 1 << 5;
        /// Must be set on this generation.
        const ENABLE = 1 << 13;
        /// Start; reads back set while running.
        const BUSY = 1 << 30;
    }
}

/// SPI NOR opcodes used (§4.4). Nothing else is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    WriteStatus = 0x01,
    PageProgram = 0x02,
    Read = 0x03,
    ReadStatus = 0x05,
    WriteEnable = 0x06,
    Erase4K = 0x20,
    ReadStatus2 = 0x35,
    ReadId = 0x9F,
    Erase64K = 0xD8,
}

/// A command word; `log2` is the number of data bytes as a power of two.
const fn word(opcode: u8, bits: Bits, log2: u32) -> u32 {
    (opcode as u32) << 16 | bits.bits() | log2 << 8 | Bits::ENABLE.bits() | Bits::BUSY.bits()
}

/// Bytes a command clocks over the SPI wires.
fn wire_bytes(command: u32) -> u32 {
    let bits = Bits::from_bits_truncate(command);
    let sends = |phase, bytes| if bits.contains(phase) { bytes } else { 0 };
    sends(Bits::OPCODE_PHASE, 1)
        + sends(Bits::ADDRESS_PHASE, 3)
        + sends(Bits::DATA_PHASE, 1 << (command >> 8 & 7))
}

/// The gateway, ours as long as the semaphores are.
pub(super) struct Gateway<'c> {
    /// The card under its semaphores.
    pub(super) card: FlashHold<'c>,
    /// What waits are measured on.
    pub(super) clock: &'c dyn Clock,
    pace: WirePace,
    /// The last command kept chip-select; true = a read, false = a program.
    open_chain: Option<bool>,
}

impl<'c> Gateway<'c> {
    /// Take it over from whoever had it before.
    ///
    /// A program that died in the middle of a chain has left chip-select held, and any opcode sent
    /// now would be taken for data (flash-hardware §3.4; that the command register still shows the
    /// dead program's word is INFERRED, §11 item 6).
    pub(super) fn take_over(card: FlashHold<'c>, clock: &'c dyn Clock) -> Result<Self, FlashError> {
        let mut gateway = Self {
            card,
            clock,
            pace: WirePace::default(),
            open_chain: None,
        };
        until_gateway_idle(&mut gateway.card, clock, &mut gateway.pace, 0)?;
        let left = Bits::from_bits_truncate(gateway.card.read(Reg::GatewayCommand)?);
        if left.contains(Bits::HOLD | Bits::ENABLE) {
            gateway.open_chain = Some(left.contains(Bits::READ));
        }
        gateway.end_open_chain()?;
        Ok(gateway)
    }

    /// Let go of chip-select. A read gives one more block to nobody. A program gets one block of
    /// FF, which changes no cell, and then runs with what it had got.
    pub(super) fn end_open_chain(&mut self) -> Result<(), FlashError> {
        let Some(read) = self.open_chain else {
            return Ok(());
        };
        tracing::warn!(read, "ending a chain that was left open");
        let mut bits = Bits::DATA_PHASE;
        if read {
            bits |= Bits::READ;
        } else {
            self.load(&[0xFF; BLOCK])?;
        }
        self.start(word(0, bits, 4))
    }

    fn start(&mut self, command: u32) -> Result<(), FlashError> {
        self.card.write(Reg::GatewayCommand, command)?;
        let bits = Bits::from_bits_truncate(command);
        self.open_chain = bits
            .contains(Bits::HOLD)
            .then_some(bits.contains(Bits::READ));
        until_gateway_idle(
            &mut self.card,
            self.clock,
            &mut self.pace,
            wire_bytes(command),
        )
    }

    /// Put up to 16 bytes into the data registers, as many registers as they need.
    fn load(&mut self, bytes: &[u8]) -> Result<(), FlashError> {
        for (reg, bytes) in bytes.chunks(4).enumerate() {
            let mut value = [0xFF; 4];
            for (place, byte) in value.iter_mut().zip(bytes) {
                *place = *byte;
            }
            self.card
                .write(Reg::GatewayData(reg as u8), u32::from_be_bytes(value))?;
        }
        Ok(())
    }

    fn no_data(&mut self, opcode: Opcode) -> Result<(), FlashError> {
        self.start(word(opcode as u8, Bits::OPCODE_PHASE, 0))
    }

    /// Four data bytes after an opcode; status and id reads always use that size (§4.4 notes).
    fn short_read(&mut self, opcode: Opcode) -> Result<u32, FlashError> {
        let bits = Bits::OPCODE_PHASE | Bits::DATA_PHASE | Bits::READ;
        self.start(word(opcode as u8, bits, 2))?;
        let value = self.card.read(Reg::GatewayData(0))?;
        if value == u32::MAX {
            self.card.check_present()?;
        }
        Ok(value)
    }

    /// JEDEC id: vendor << 16 | type << 8 | capacity (§4.6).
    pub(super) fn read_id(&mut self) -> Result<u32, FlashError> {
        Ok(self.short_read(Opcode::ReadId)? >> 8)
    }

    /// Status register 1.
    pub(super) fn read_status(&mut self) -> Result<u8, FlashError> {
        Ok((self.short_read(Opcode::ReadStatus)? >> 24) as u8)
    }

    /// Status register 2, on families that have one (§5.3).
    pub(super) fn read_status2(&mut self) -> Result<u8, FlashError> {
        Ok((self.short_read(Opcode::ReadStatus2)? >> 24) as u8)
    }

    /// Set the write-enable latch.
    pub(super) fn write_enable(&mut self) -> Result<(), FlashError> {
        self.no_data(Opcode::WriteEnable)
    }

    /// Write status register 1, and the second one where its value is given; the latch must be
    /// set. The write goes on inside the chip.
    pub(super) fn write_status(&mut self, value: u8, second: Option<u8>) -> Result<(), FlashError> {
        self.load(&[value, second.unwrap_or(0xFF)])?;
        let bits = Bits::OPCODE_PHASE | Bits::DATA_PHASE;
        let log2 = u32::from(second.is_some());
        self.start(word(Opcode::WriteStatus as u8, bits, log2))
    }

    /// Start an erase; the latch must be set. The erase goes on inside the chip.
    pub(super) fn erase(&mut self, opcode: Opcode, at: u32) -> Result<(), FlashError> {
        self.card.write(Reg::GatewayAddress, at)?;
        let bits = Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
        self.start(word(opcode as u8, bits, 0))
    }

    /// Read `buf.len()` bytes (a multiple of 16) from `at` (16-aligned), with chip-select held from
    /// the first block to the last when `chained`, block by block with full addressing otherwise.
    pub(super) fn read(
        &mut self,
        at: u32,
        buf: &mut [u8],
        chained: bool,
    ) -> Result<(), FlashError> {
        debug_assert!(at.is_multiple_of(16) && buf.len().is_multiple_of(BLOCK));
        let step = if chained { MAX_CHAIN } else { BLOCK };
        let mut at = at;
        for chain in buf.chunks_mut(step) {
            self.read_chain(at, chain)?;
            at += chain.len() as u32;
        }
        Ok(())
    }

    fn read_chain(&mut self, at: u32, chain: &mut [u8]) -> Result<(), FlashError> {
        self.card.write(Reg::GatewayAddress, at)?;
        let blocks = chain.len() / BLOCK;
        let mut last = 0;
        for (n, block) in chain.chunks_mut(BLOCK).enumerate() {
            let mut bits = Bits::DATA_PHASE | Bits::READ;
            let mut opcode = 0;
            if n == 0 {
                bits |= Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
                opcode = Opcode::Read as u8;
            }
            if n + 1 < blocks {
                bits |= Bits::HOLD;
            }
            self.start(word(opcode, bits, 4))?;
            for (reg, bytes) in block.chunks_mut(4).enumerate() {
                last = self.card.read(Reg::GatewayData(reg as u8))?;
                bytes.copy_from_slice(&last.to_be_bytes());
            }
        }
        // A card that vanishes delivers all ones from then on, so looking once per chain is
        // enough (P7).
        if last == u32::MAX {
            self.card.check_present()?;
        }
        Ok(())
    }

    /// Program up to one page; the latch must be set and `at` + data must not cross a 256-byte
    /// page. Exactly these bytes go out, in pieces of 16, 8, 4, 2 or 1. The program starts inside the
    /// chip when chip-select is released after the last piece.
    pub(super) fn program(&mut self, at: u32, data: &[u8]) -> Result<(), FlashError> {
        if data.is_empty() || data.len() > (256 - at % 256) as usize {
            return Err(FlashError::Plan {
                at,
                what: "a program is empty or crosses its page",
            });
        }
        self.card.write(Reg::GatewayAddress, at)?;
        let mut rest = data;
        while !rest.is_empty() {
            let log2 = rest.len().min(BLOCK).ilog2();
            let (piece, after) = rest.split_at(1 << log2);
            self.load(piece)?;
            let mut bits = Bits::DATA_PHASE;
            let mut opcode = 0;
            if rest.len() == data.len() {
                bits |= Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
                opcode = Opcode::PageProgram as u8;
            }
            if !after.is_empty() {
                bits |= Bits::HOLD;
            }
            self.start(word(opcode, bits, log2))?;
            rest = after;
        }
        Ok(())
    }

    /// Program one byte (SST25: no page program, §6.1).
    pub(super) fn program_byte(&mut self, at: u32, value: u8) -> Result<(), FlashError> {
        self.load(&[value])?;
        self.card.write(Reg::GatewayAddress, at)?;
        let bits = Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE | Bits::DATA_PHASE;
        self.start(word(Opcode::PageProgram as u8, bits, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_reference() {
        let op = Bits::OPCODE_PHASE;
        let addr = Bits::ADDRESS_PHASE;
        let data = Bits::DATA_PHASE;
        let (read, hold) = (Bits::READ, Bits::HOLD);
        let cases = [
            (0x9F, op | data | read, 2, 0x409F_2215),
            (0x05, op | data | read, 2, 0x4005_2215),
            (0x03, op | addr | data | read, 4, 0x4003_241D),
            (0x03, op | addr | data | read | hold, 4, 0x4003_243D),
            (0x00, data | read | hold, 4, 0x4000_2431),
            (0x00, data | read, 4, 0x4000_2411),
            (0x06, op, 0, 0x4006_2004),
            (0xD8, op | addr, 0, 0x40D8_200C),
            (0x20, op | addr, 0, 0x4020_200C),
            (0x02, op | addr | data, 4, 0x4002_241C),
            (0x02, op | addr | data | hold, 4, 0x4002_243C),
            (0x00, data | hold, 4, 0x4000_2430),
            (0x00, data, 4, 0x4000_2410),
            (0x02, op | addr | data, 0, 0x4002_201C),
            (0x02, op | addr | data, 2, 0x4002_221C),
            (0x01, op | data, 0, 0x4001_2014),
            (0x01, op | data, 1, 0x4001_2114),
            (0xAB, op | data | read, 2, 0x40AB_2215),
            (0x35, op | data | read, 2, 0x4035_2215),
            (0x15, op | data | read, 2, 0x4015_2215),
            (0xB5, op | data | read, 2, 0x40B5_2215),
            (0x03, op | addr | data | read, 2, 0x4003_221D),
            (0x03, op | addr | data | read, 3, 0x4003_231D),
            (0x04, op, 0, 0x4004_2004),
            (0xB1, op | data, 1, 0x40B1_2114),
            (0xC7, op, 0, 0x40C7_2004),
        ];
        for (opcode, bits, log2, want) in cases {
            assert_eq!(word(opcode, bits, log2), want, "{want:#010x}");
        }
    }

    #[test]
    fn bytes_on_the_wire_are_counted_from_the_phases() {
        let cases = [
            (0x4006_2004, 1),
            (0x4005_2215, 5),
            (0x40D8_200C, 4),
            (0x4003_243D, 20),
            (0x4000_2411, 16),
            (0x4002_201C, 5),
        ];
        for (command, want) in cases {
            assert_eq!(wire_bytes(command), want, "{command:#010x}");
        }
    }
}
