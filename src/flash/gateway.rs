//! The flash gateway: one SPI transaction, or a chain of them, per command (flash-hardware §4).
//!
//! Nothing here knows what a sector is for; policy is in [`super::state`].

use super::FlashError;
use super::waits::until_gateway_idle;
use crate::card::{Card, Clock, Reg};
use bitflags::bitflags;
use std::time::Duration;

/// Most data bytes of one gateway operation (§4.2, DATA_SIZE 4).
pub(super) const BLOCK: usize = 16;

/// Largest read with chip-select held. The chip streams on for as long as it is clocked; the bound
/// keeps the time short in which the gateway is in the middle of something should we die.
pub(super) const MAX_CHAIN: usize = 4096;

/// Time of one byte at 25 MHz. The gateway's real clock is UNCONFIRMED (flash-hardware §5.4); when it
/// is slower the busy bit is looked at more than once, no more.
const SPI_BYTE: Duration = Duration::from_nanos(320);

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
    ReadId = 0x9F,
    Erase64K = 0xD8,
}

/// A command word; `log2` is the number of data bytes as a power of two.
const fn word(opcode: u8, bits: Bits, log2: u32) -> u32 {
    (opcode as u32) << 16 | bits.bits() | log2 << 8 | Bits::ENABLE.bits() | Bits::BUSY.bits()
}

/// Start one operation that shifts `bytes` bytes and wait for its end.
fn start(card: &mut Card, clock: &dyn Clock, command: u32, bytes: u32) -> Result<(), FlashError> {
    card.write(Reg::GatewayCommand, command)?;
    // The flush before the first look takes about as long as three bytes.
    clock.pause(SPI_BYTE * bytes.saturating_sub(3));
    until_gateway_idle(card, clock)
}

/// Opcode and three address bytes.
const ADDRESSED: u32 = 4;

fn no_data(card: &mut Card, clock: &dyn Clock, opcode: Opcode) -> Result<(), FlashError> {
    start(card, clock, word(opcode as u8, Bits::OPCODE_PHASE, 0), 1)
}

/// Four data bytes after an opcode; status and id reads always use that size (§4.4 notes).
fn short_read(card: &mut Card, clock: &dyn Clock, opcode: Opcode) -> Result<u32, FlashError> {
    let bits = Bits::OPCODE_PHASE | Bits::DATA_PHASE | Bits::READ;
    start(card, clock, word(opcode as u8, bits, 2), 5)?;
    let value = card.read(Reg::GatewayData(0))?;
    if value == u32::MAX {
        card.check_present()?;
    }
    Ok(value)
}

/// JEDEC id: vendor << 16 | type << 8 | capacity (§4.6).
pub(super) fn read_id(card: &mut Card, clock: &dyn Clock) -> Result<u32, FlashError> {
    Ok(short_read(card, clock, Opcode::ReadId)? >> 8)
}

/// Status register 1.
pub(super) fn read_status(card: &mut Card, clock: &dyn Clock) -> Result<u8, FlashError> {
    Ok((short_read(card, clock, Opcode::ReadStatus)? >> 24) as u8)
}

/// Set the write-enable latch.
pub(super) fn write_enable(card: &mut Card, clock: &dyn Clock) -> Result<(), FlashError> {
    no_data(card, clock, Opcode::WriteEnable)
}

/// Write status register 1; the latch must be set. The write goes on inside the chip.
pub(super) fn write_status(
    card: &mut Card,
    clock: &dyn Clock,
    value: u8,
) -> Result<(), FlashError> {
    card.write(Reg::GatewayData(0), u32::from(value) << 24)?;
    let bits = Bits::OPCODE_PHASE | Bits::DATA_PHASE;
    start(card, clock, word(Opcode::WriteStatus as u8, bits, 0), 2)
}

/// Start an erase; the latch must be set. The erase goes on inside the chip.
pub(super) fn erase(
    card: &mut Card,
    clock: &dyn Clock,
    opcode: Opcode,
    at: u32,
) -> Result<(), FlashError> {
    card.write(Reg::GatewayAddress, at)?;
    let bits = Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
    start(card, clock, word(opcode as u8, bits, 0), ADDRESSED)
}

/// Read `buf.len()` bytes (a multiple of 16) from `at` (16-aligned), with chip-select held from the
/// first block to the last when `chained`, block by block with full addressing otherwise.
pub(super) fn read(
    card: &mut Card,
    clock: &dyn Clock,
    at: u32,
    buf: &mut [u8],
    chained: bool,
) -> Result<(), FlashError> {
    debug_assert!(at.is_multiple_of(16) && buf.len().is_multiple_of(BLOCK));
    let step = if chained { MAX_CHAIN } else { BLOCK };
    let mut at = at;
    for chain in buf.chunks_mut(step) {
        read_chain(card, clock, at, chain)?;
        at += chain.len() as u32;
    }
    Ok(())
}

fn read_chain(
    card: &mut Card,
    clock: &dyn Clock,
    at: u32,
    chain: &mut [u8],
) -> Result<(), FlashError> {
    card.write(Reg::GatewayAddress, at)?;
    let blocks = chain.len() / BLOCK;
    let mut last = 0;
    for (n, block) in chain.chunks_mut(BLOCK).enumerate() {
        let mut bits = Bits::DATA_PHASE | Bits::READ;
        let (mut opcode, mut bytes) = (0, BLOCK as u32);
        if n == 0 {
            bits |= Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
            opcode = Opcode::Read as u8;
            bytes += ADDRESSED;
        }
        if n + 1 < blocks {
            bits |= Bits::HOLD;
        }
        start(card, clock, word(opcode, bits, 4), bytes)?;
        for (reg, bytes) in block.chunks_mut(4).enumerate() {
            last = card.read(Reg::GatewayData(reg as u8))?;
            bytes.copy_from_slice(&last.to_be_bytes());
        }
    }
    // A card that vanishes delivers all ones from then on, so looking once per chain is enough (P7).
    if last == u32::MAX {
        card.check_present()?;
    }
    Ok(())
}

/// Program up to one page; the latch must be set and `at` + data must not cross a 256-byte page.
/// Exactly these bytes go out, in pieces of 16, 8, 4, 2 or 1. The program starts inside the chip
/// when chip-select is released after the last piece.
pub(super) fn program(
    card: &mut Card,
    clock: &dyn Clock,
    at: u32,
    data: &[u8],
) -> Result<(), FlashError> {
    debug_assert!(at % 256 + data.len() as u32 <= 256 && !data.is_empty());
    card.write(Reg::GatewayAddress, at)?;
    let mut rest = data;
    while !rest.is_empty() {
        let log2 = rest.len().min(BLOCK).ilog2();
        let (piece, after) = rest.split_at(1 << log2);
        for (reg, bytes) in piece.chunks(4).enumerate() {
            let mut value = [0xFF; 4];
            for (place, byte) in value.iter_mut().zip(bytes) {
                *place = *byte;
            }
            card.write(Reg::GatewayData(reg as u8), u32::from_be_bytes(value))?;
        }
        let mut bits = Bits::DATA_PHASE;
        let (mut opcode, mut bytes) = (0, piece.len() as u32);
        if rest.len() == data.len() {
            bits |= Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE;
            opcode = Opcode::PageProgram as u8;
            bytes += ADDRESSED;
        }
        if !after.is_empty() {
            bits |= Bits::HOLD;
        }
        start(card, clock, word(opcode, bits, log2), bytes)?;
        rest = after;
    }
    Ok(())
}

/// Program one byte (SST25: no page program, §6.1).
pub(super) fn program_byte(
    card: &mut Card,
    clock: &dyn Clock,
    at: u32,
    value: u8,
) -> Result<(), FlashError> {
    card.write(Reg::GatewayData(0), u32::from(value) << 24)?;
    card.write(Reg::GatewayAddress, at)?;
    let bits = Bits::OPCODE_PHASE | Bits::ADDRESS_PHASE | Bits::DATA_PHASE;
    start(
        card,
        clock,
        word(Opcode::PageProgram as u8, bits, 0),
        ADDRESSED + 1,
    )
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
        ];
        for (opcode, bits, log2, want) in cases {
            assert_eq!(word(opcode, bits, log2), want, "{want:#010x}");
        }
    }
}
