//! The flash gateway: one SPI transaction, or one piece of a chain, per command word.
//!
//! `docs/hardware.md` lists every command word that is sent, with the tool known to send it. Nothing
//! here knows what a sector is for; policy is in [`super::state`].

use super::FlashError;
use crate::card::{Card, CardError, Clock, FlashHold, Patience, Reg, wait_for};
use bitflags::bitflags;
use std::collections::BTreeSet;
use std::time::Duration;

/// A gateway operation takes microseconds, so its busy bit is polled back to back, as mstflint does
/// (mflash/mflash.c `gw_wait_ready`).
const GATEWAY: Patience = Patience::back_to_back(Duration::from_secs(10));

/// Data bytes of one read or program command, the most the gateway takes (DATA_SIZE 4).
pub(super) const BLOCK: usize = 16;

/// Page of every chip in the table, in bytes.
const PAGE: usize = 256;

/// Bits of status register 1 that every family has in this place.
pub(super) const WIP: u8 = 1;
pub(super) const WEL: u8 = 1 << 1;

/// Length of a read with chip-select held. The chip streams on for as long as it is clocked; the
/// bound keeps the time short in which a chain is open.
pub(super) const MAX_CHAIN: usize = 4096;

bitflags! {
    /// Bits of the command register (mstflint mflash/mflash_pack_layer.h, `CntxCrConstants`).
    /// DATA_SIZE and OPCODE are values, see [`word`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct CommandBits: u32 {
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

/// SPI NOR opcodes. Nothing else is ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Opcode {
    WriteStatus = 0x01,
    PageProgram = 0x02,
    Read = 0x03,
    WriteDisable = 0x04,
    ReadStatus = 0x05,
    WriteEnable = 0x06,
    Erase4K = 0x20,
    ReadStatus2 = 0x35,
    ReadId = 0x9F,
    Erase64K = 0xD8,
}

/// A command word; `log2` is the number of data bytes as a power of two.
const fn word(opcode: u8, bits: CommandBits, log2: u32) -> u32 {
    (opcode as u32) << 16
        | bits.bits()
        | log2 << 8
        | CommandBits::ENABLE.bits()
        | CommandBits::BUSY.bits()
}

/// The command word of block `n` of a chain: the first sends opcode and address, all but the last hold
/// chip-select.
fn chain_word(opcode: Opcode, direction: CommandBits, n: usize, blocks: usize) -> u32 {
    let mut bits = CommandBits::DATA_PHASE | direction;
    bits.set(CommandBits::HOLD, n + 1 < blocks);
    if n > 0 {
        return word(0, bits, 4);
    }
    bits |= CommandBits::OPCODE_PHASE | CommandBits::ADDRESS_PHASE;
    word(opcode as u8, bits, 4)
}

/// What one program command sends: pieces of exactly 16 bytes at addresses that are multiples of 16,
/// padded with FF, which changes no cell. It is the only shape that known tools send on this silicon
/// (mstflint mflash/mflash.c `write_chunks`, mflash/mflash_gw.c `cntx_st_spi_block_write_ex`).
#[derive(Debug)]
pub(super) struct Pieces {
    at: u32,
    blocks: Vec<[u8; BLOCK]>,
}

impl Pieces {
    /// This block as it is, blank or not.
    pub(super) fn of_block(at: u32, block: [u8; BLOCK]) -> Self {
        Self { at, blocks: vec![block] }
    }

    /// Cuts bytes inside one page into pieces, blank pieces at both ends left out; `None` when
    /// nothing is left.
    pub(super) fn of(at: u32, data: &[u8]) -> Result<Option<Self>, FlashError> {
        if data.len() > PAGE - at as usize % PAGE {
            return Err(FlashError::Plan { at, what: "a program crosses its page" });
        }
        let lead = at as usize % BLOCK;
        let mut padded = vec![0xFF; (lead + data.len()).next_multiple_of(BLOCK)];
        for (place, byte) in padded.iter_mut().skip(lead).zip(data) {
            *place = *byte;
        }
        let (blocks, _) = padded.as_chunks::<BLOCK>();
        let full = |block: &[u8; BLOCK]| *block != [0xFF; BLOCK];
        let (Some(first), Some(last)) =
            (blocks.iter().position(full), blocks.iter().rposition(full))
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            at: at - lead as u32 + (first * BLOCK) as u32,
            blocks: blocks.get(first..=last).unwrap_or_default().to_vec(),
        }))
    }
}

/// The gateway, ours as long as the semaphores are.
pub(super) struct FlashGateway<'c> {
    /// The card under its semaphores.
    pub(super) card: FlashHold<'c>,
    /// What waits are measured on.
    pub(super) clock: &'c dyn Clock,
    /// An erase or program was sent.
    pub(super) changed: bool,
    /// A command was waited for in vain and may still run.
    busy: bool,
    /// The last command kept chip-select; true = a read, false = a program.
    open_chain: Option<bool>,
    /// The command register without BUSY, as it was written last.
    word: u32,
    /// Words that this card's command register has shown after another one. That it holds the last word is
    /// INFERRED, so nothing is concluded from a word before.
    shown_words: BTreeSet<u32>,
    /// Bits of the address register that have changed to what was written.
    shown_address: u32,
    /// Status register 1 without WIP and WEL, when it is known.
    pub(super) expected_status: Option<u8>,
    /// A reading of this session was wrong: cells may not stay as they read.
    pub(super) disturbed: bool,
}

impl<'c> FlashGateway<'c> {
    /// Takes it over from whoever had it before.
    ///
    /// A program that died in the middle of a chain has left chip-select held, and any opcode sent
    /// now would be taken for data. That the command register still shows the dead program's word is
    /// INFERRED.
    pub(super) fn take_over(card: FlashHold<'c>, clock: &'c dyn Clock) -> Result<Self, FlashError> {
        let mut gateway = Self {
            card,
            clock,
            changed: false,
            busy: false,
            open_chain: None,
            word: 0,
            shown_words: BTreeSet::new(),
            shown_address: 0,
            expected_status: None,
            disturbed: false,
        };
        gateway.begin()?;
        Ok(gateway)
    }

    fn begin(&mut self) -> Result<(), FlashError> {
        self.until_idle()?;
        self.word = self.card.read(Reg::GatewayCommand)?;
        let left = CommandBits::from_bits_truncate(self.word);
        self.open_chain = left
            .contains(CommandBits::HOLD | CommandBits::ENABLE)
            .then_some(left.contains(CommandBits::READ));
        self.end_open_chain()
    }

    /// Takes it over once more, after the semaphores were lost.
    pub(super) fn regain(&mut self) -> Result<(), FlashError> {
        self.card.regain()?;
        self.begin()
    }

    /// Takes it over once more, after a reset of our own.
    pub(super) fn take_after_reset(&mut self) -> Result<(), FlashError> {
        self.card.take_after_reset()?;
        self.begin()
    }

    /// Releases chip-select. A read clocks out one more block, which is discarded. A program gets one
    /// block of FF, which changes no cell, and then runs with what it had got.
    pub(super) fn end_open_chain(&mut self) -> Result<(), FlashError> {
        let Some(read) = self.open_chain.take() else {
            return Ok(());
        };
        tracing::warn!(read, "ending a chain that was left open");
        let mut bits = CommandBits::DATA_PHASE;
        if read {
            bits |= CommandBits::READ;
        } else {
            self.load(&[0xFF; BLOCK])?;
        }
        self.start(word(0, bits, 4))
    }

    /// Waits until no command runs; what the command register holds then.
    fn until_idle(&mut self) -> Result<u32, FlashError> {
        let idle = until_gateway_idle(&mut self.card, self.clock);
        self.busy = idle.is_err();
        idle
    }

    /// Before a register of the gateway is written: what it does with a write while a command runs is unknown.
    fn ready(&mut self) -> Result<(), FlashError> {
        if self.busy {
            self.until_idle()?;
        }
        Ok(())
    }

    fn start(&mut self, command: u32) -> Result<(), FlashError> {
        self.ready()?;
        let wanted = command & !CommandBits::BUSY.bits();
        let before = std::mem::replace(&mut self.word, wanted);
        let mut found = 0;
        for _ in 0..2 {
            self.card.write(Reg::GatewayCommand, command)?;
            let bits = CommandBits::from_bits_truncate(command);
            self.open_chain =
                bits.contains(CommandBits::HOLD).then_some(bits.contains(CommandBits::READ));
            found = self.until_idle()?;
            let shown = self.shown_words.contains(&wanted);
            if found != wanted && shown {
                // One reading decides nothing.
                found = self.card.read(Reg::GatewayCommand)?;
            }
            if found == wanted {
                if found != before {
                    self.shown_words.insert(wanted);
                }
                return Ok(());
            }
            if !shown {
                return Ok(());
            }
            if found != before {
                break;
            }
            tracing::warn!(
                command = format_args!("{command:#010x}"),
                "a command did not arrive: sent again"
            );
        }
        // What write enable did is read from the chip, or shows in what follows it.
        if command == word(Opcode::WriteEnable as u8, CommandBits::OPCODE_PHASE, 0) {
            return Ok(());
        }
        Err(self.was_reset(Reg::GatewayCommand, found, wanted))
    }

    fn was_reset(&mut self, register: Reg, found: u32, wanted: u32) -> FlashError {
        if let Err(error) = self.card.check_held() {
            return error.into();
        }
        // Taken, and whose it is cannot be read.
        self.card.give_up();
        CardError::WasReset { register, found, wanted }.into()
    }

    /// Before a command that changes the flash: the address has arrived, and semaphore 63 is still
    /// taken. One lost write is sent again.
    fn aim(&mut self, at: u32) -> Result<(), FlashError> {
        self.ready()?;
        let register = Reg::GatewayAddress;
        // The reading of the address comes last: behind it there is only the command.
        self.card.check_held()?;
        let is_known = at & !self.shown_address == 0;
        let before = if is_known { at } else { self.card.read(register)? };
        let found = self.card.write_shown(register, at)?;
        // Silicon on which a bit never changed to what was written may hold it otherwise.
        if (found ^ at) & self.shown_address != 0 {
            return Err(self.was_reset(register, found, at));
        }
        self.shown_address |= (before ^ at) & !(found ^ at);
        self.changed = true;
        Ok(())
    }

    /// Writes up to 16 bytes to the data registers, as many registers as they need.
    fn load(&mut self, bytes: &[u8]) -> Result<(), FlashError> {
        self.ready()?;
        for (reg, value) in data_words(bytes) {
            self.card.write(reg, value)?;
        }
        Ok(())
    }

    /// [`FlashGateway::load`], each register read back: for the few bytes that count most. Where a card
    /// does not show what was written, the reading after the program decides.
    fn load_surely(&mut self, bytes: &[u8]) -> Result<(), FlashError> {
        self.ready()?;
        for (reg, value) in data_words(bytes) {
            self.card.write_shown(reg, value)?;
        }
        Ok(())
    }

    fn no_data(&mut self, opcode: Opcode) -> Result<(), FlashError> {
        self.start(word(opcode as u8, CommandBits::OPCODE_PHASE, 0))
    }

    /// Reads four data bytes after an opcode, the size every known tool uses for status and id reads
    /// (mstflint mflash/mflash_gw.c, `cntx_int_spi_get_status_data`).
    fn short_read(&mut self, opcode: Opcode) -> Result<u32, FlashError> {
        let bits = CommandBits::OPCODE_PHASE | CommandBits::DATA_PHASE | CommandBits::READ;
        self.start(word(opcode as u8, bits, 2))?;
        let value = self.card.read(Reg::GatewayData(0))?;
        if value == u32::MAX {
            self.card.check_present()?;
        }
        Ok(value)
    }

    /// JEDEC id: vendor << 16 | type << 8 | capacity.
    pub(super) fn read_id(&mut self) -> Result<u32, FlashError> {
        Ok(self.short_read(Opcode::ReadId)? >> 8)
    }

    pub(super) fn read_status(&mut self) -> Result<u8, FlashError> {
        let status = (self.short_read(Opcode::ReadStatus)? >> 24) as u8;
        if self.expected_status.is_some_and(|expected| status & !(WIP | WEL) != expected) {
            tracing::warn!(status, "the flash chip's status is not what it was");
            self.disturbed = true;
        }
        Ok(status)
    }

    /// Status register 2, on families that have one.
    pub(super) fn read_status2(&mut self) -> Result<u8, FlashError> {
        Ok((self.short_read(Opcode::ReadStatus2)? >> 24) as u8)
    }

    /// Sets the write-enable latch.
    pub(super) fn write_enable(&mut self) -> Result<(), FlashError> {
        self.no_data(Opcode::WriteEnable)
    }

    /// Clears the write-enable latch.
    pub(super) fn write_disable(&mut self) -> Result<(), FlashError> {
        self.no_data(Opcode::WriteDisable)
    }

    /// Writes status register 1, and the second one where its value is given; the latch must be set.
    /// The write goes on inside the chip.
    pub(super) fn write_status(&mut self, value: u8, second: Option<u8>) -> Result<(), FlashError> {
        self.load_surely(&[value, second.unwrap_or(0xFF)])?;
        self.card.check_held()?;
        let bits = CommandBits::OPCODE_PHASE | CommandBits::DATA_PHASE;
        let log2 = u32::from(second.is_some());
        self.start(word(Opcode::WriteStatus as u8, bits, log2))
    }

    /// Starts an erase; the latch must be set. The erase goes on inside the chip.
    pub(super) fn erase(&mut self, opcode: Opcode, at: u32) -> Result<(), FlashError> {
        self.aim(at)?;
        let bits = CommandBits::OPCODE_PHASE | CommandBits::ADDRESS_PHASE;
        self.start(word(opcode as u8, bits, 0))
    }

    /// Reads `buf.len()` bytes (a multiple of 16) from `at` (16-aligned), with chip-select held for
    /// `chain` bytes (a power of two); 16 = block by block with full addressing. No chain crosses a multiple of
    /// its length: the proof has compared none that does.
    pub(super) fn read(&mut self, at: u32, buf: &mut [u8], chain: usize) -> Result<(), FlashError> {
        debug_assert!(at.is_multiple_of(16) && buf.len().is_multiple_of(BLOCK));
        let (mut at, mut rest) = (at, buf);
        while !rest.is_empty() {
            let len = (chain - at as usize % chain).min(rest.len());
            let (first, others) = rest.split_at_mut(len);
            self.read_chain(at, first)?;
            at += len as u32;
            rest = others;
        }
        Ok(())
    }

    fn read_chain(&mut self, at: u32, chain: &mut [u8]) -> Result<(), FlashError> {
        self.ready()?;
        self.card.write(Reg::GatewayAddress, at)?;
        let blocks = chain.len() / BLOCK;
        let mut last = 0;
        for (n, block) in chain.chunks_mut(BLOCK).enumerate() {
            self.start(chain_word(Opcode::Read, CommandBits::READ, n, blocks))?;
            for (reg, bytes) in block.chunks_mut(4).enumerate() {
                last = self.card.read(Reg::GatewayData(reg as u8))?;
                bytes.copy_from_slice(&last.to_be_bytes());
            }
        }
        // A card that vanishes delivers all ones from then on, so one check per chain is enough (P7).
        if last == u32::MAX {
            self.card.check_present()?;
        }
        Ok(())
    }

    /// Programs pieces of one page; the latch must be set. More than one piece is one program: it
    /// starts inside the chip when chip-select is released after the last one.
    pub(super) fn program(&mut self, pieces: &Pieces) -> Result<(), FlashError> {
        let (opcode, blocks) = (Opcode::PageProgram, pieces.blocks.len());
        for (n, block) in pieces.blocks.iter().enumerate() {
            // A single piece may be a signature, which nothing erases when it goes wrong.
            if blocks == 1 {
                self.load_surely(block)?;
            } else {
                self.load(block)?;
            }
            if n == 0 {
                self.aim(pieces.at)?;
            }
            self.start(chain_word(opcode, CommandBits::empty(), n, blocks))?;
        }
        Ok(())
    }

    /// Programs one byte (SST25 has no page program).
    pub(super) fn program_byte(&mut self, at: u32, value: u8) -> Result<(), FlashError> {
        self.load(&[value])?;
        self.aim(at)?;
        let bits = CommandBits::OPCODE_PHASE | CommandBits::ADDRESS_PHASE | CommandBits::DATA_PHASE;
        self.start(word(Opcode::PageProgram as u8, bits, 0))
    }
}

/// The data registers that bytes need, filled up with FF.
fn data_words(bytes: &[u8]) -> impl Iterator<Item = (Reg, u32)> {
    bytes.chunks(4).enumerate().map(|(reg, bytes)| {
        let mut value = [0xFF; 4];
        for (place, byte) in value.iter_mut().zip(bytes) {
            *place = *byte;
        }
        (Reg::GatewayData(reg as u8), u32::from_be_bytes(value))
    })
}

/// Waits until the gateway's busy bit is clear; what the command register holds then.
fn until_gateway_idle(card: &mut Card, clock: &dyn Clock) -> Result<u32, FlashError> {
    let idle = wait_for(clock, GATEWAY, || {
        let command = card.read(Reg::GatewayCommand)?;
        Ok::<_, FlashError>((command & CommandBits::BUSY.bits() == 0).then_some(command))
    })?;
    match idle {
        Some(command) => Ok(command),
        None => {
            // All ones would look busy for ever; `read` has excluded that, but the card may have come
            // back from a reset in between.
            card.check_present()?;
            Err(FlashError::GatewayTimeout(GATEWAY.limit().as_millis() as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_words_are_those_of_known_tools() {
        let op = CommandBits::OPCODE_PHASE;
        let addr = CommandBits::ADDRESS_PHASE;
        let data = CommandBits::DATA_PHASE;
        let (read, hold) = (CommandBits::READ, CommandBits::HOLD);
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

    fn at_and_blocks(at: u32, data: &[u8]) -> Option<(u32, Vec<[u8; BLOCK]>)> {
        let pieces = Pieces::of(at, data).unwrap()?;
        Some((pieces.at, pieces.blocks))
    }

    #[test]
    fn programs_go_out_in_aligned_pieces_of_16_padded_with_ff() {
        let word0 = at_and_blocks(0x1000, &[1, 2, 3, 4]).unwrap();
        let mut block = [0xFF; BLOCK];
        block[..4].copy_from_slice(&[1, 2, 3, 4]);
        assert_eq!(word0, (0x1000, vec![block]));

        let words_1_to_3 = at_and_blocks(0x1004, &[9; 12]).unwrap();
        let mut block = [9; BLOCK];
        block[..4].fill(0xFF);
        assert_eq!(words_1_to_3, (0x1000, vec![block]));

        let across = at_and_blocks(0x100F, &[7, 8]).unwrap();
        let (mut first, mut second) = ([0xFF; BLOCK], [0xFF; BLOCK]);
        first[15] = 7;
        second[0] = 8;
        assert_eq!(across, (0x1000, vec![first, second]));
    }

    #[test]
    fn blank_pieces_at_both_ends_of_a_program_are_skipped() {
        let mut data = [0xFF; PAGE];
        assert_eq!(at_and_blocks(0x1000, &data), None);
        data[0x20] = 1;
        data[0x4F] = 2;
        let (at, blocks) = at_and_blocks(0x1000, &data).unwrap();
        assert_eq!((at, blocks.len()), (0x1020, 3));
        assert_eq!(blocks[1], [0xFF; BLOCK], "blank inside a chain stays");
    }

    #[test]
    fn a_program_across_the_end_of_its_page_is_refused() {
        for (at, len) in [(0x10F0, 17), (0x1000, 257)] {
            assert!(Pieces::of(at, &vec![0; len]).is_err(), "{at:#x} {len}");
        }
        assert!(Pieces::of(0x10FF, &[0]).is_ok());
    }
}
