//! The flash gateway: command, address and data registers into SPI bytes
//! (docs/hardware.md#flash-gateway, docs/hardware.md#requirements-for-an-emulator items 6 and 7).

use super::state::{CardState, SemaphoreHolder};
use super::{Op, WrongRead};

/// ns per SPI byte at 25 MHz; the real clock is UNCONFIRMED (docs/hardware.md#chip-timings).
const BYTE_NS: u64 = 320;
/// Least time one poll of the status register lets pass in a hurry.
const LEAST_STEP_NS: u64 = 50_000;
const BUSY: u32 = 1 << 30;
const READ_OP: u32 = 1 << 0;
const CMD_PHASE: u32 = 1 << 2;
const ADDR_PHASE: u32 = 1 << 3;
const DATA_PHASE: u32 = 1 << 4;
const CS_HOLD: u32 = 1 << 5;
const FLASH_ENABLE: u32 = 1 << 13;
/// Bits a driver writes as 0 (docs/hardware.md#command-word): 1, 7:6, 15:14, 29:24, 31.
const ZERO: u32 = 0xBF00_C0C2;

impl CardState {
    fn holds_flash_semaphore(&self) -> bool {
        self.semaphores[63] == SemaphoreHolder::Ours
    }

    /// 0xf0400. A read is allowed without the semaphore: it comes first when a driver takes over
    /// after a crash (docs/hardware.md#clearing-a-semaphore).
    pub(super) fn read_command(&mut self) -> u32 {
        if self.hurry {
            self.time.add(self.gateway.busy_until.saturating_sub(self.time.now()));
            // The copy of a doubled command arrives when the gateway is idle, before it is seen idle.
            self.repeat_write();
        }
        let busy = self.gateway.is_busy(self.time.now());
        // Upper fields read back unchanged: INFERRED (docs/hardware.md#requirements-for-an-emulator
        // item 6).
        self.gateway.command & !BUSY | if busy { BUSY } else { 0 }
    }

    pub(super) fn read_address(&mut self) -> u32 {
        self.gateway.address
    }

    /// 0xf0410 + 4n.
    pub(super) fn read_data(&mut self, n: usize) -> u32 {
        if !self.holds_flash_semaphore() {
            self.note("gateway data read without holding semaphore 63");
        }
        if self.gateway.is_busy(self.time.now()) {
            self.note("gateway data read while the gateway is busy");
        } else if let Some(arrived) = self.gateway.arriving.take() {
            self.gateway.data = arrived;
        }
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| self.gateway.data[4 * n + i]);
        u32::from_be_bytes([a, b, c, d])
    }

    pub(super) fn write_address(&mut self, value: u32) {
        self.check_quiet_gateway("address");
        if value > 0xFF_FFFF {
            self.note(format!("gateway address {value:#010x} has more than 24 bits"));
        }
        self.gateway.address = value;
    }

    pub(super) fn write_data(&mut self, n: usize, value: u32) {
        self.check_quiet_gateway("data");
        if let Some(arrived) = self.gateway.arriving.take() {
            self.gateway.data = arrived;
        }
        self.gateway.data[4 * n..4 * n + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn check_quiet_gateway(&mut self, what: &str) {
        if !self.holds_flash_semaphore() {
            self.note(format!("gateway {what} written without holding semaphore 63"));
        }
        if self.gateway.is_busy(self.time.now()) {
            self.note(format!("gateway {what} written while the gateway is busy"));
        }
    }

    pub(super) fn write_command(&mut self, word: u32) {
        let now = self.time.now();
        if !self.holds_flash_semaphore() {
            self.note("gateway command written without holding semaphore 63");
        }
        if self.gateway.is_busy(now) {
            self.note("gateway command written while the gateway is busy");
            return;
        }
        if let Some(arrived) = self.gateway.arriving.take() {
            self.gateway.data = arrived;
        }
        self.gateway.command = word & !BUSY;
        if word & BUSY == 0 {
            return;
        }
        self.counters.gateway_commands += 1;
        self.commands += 1;
        if self.armed.sticks_at_command(self.commands) {
            self.gateway.stuck = true;
            self.save();
            return;
        }
        if let Some(why) = refused(word, self.gateway.held) {
            self.note(format!("gateway command {word:#010x}: {why}"));
            if word & FLASH_ENABLE == 0 || size_code(word) > 4 {
                return;
            }
        }
        self.words.insert(word);
        self.transfer(word, now);
        for what in std::mem::take(&mut self.nor.notes) {
            self.note(what);
        }
    }

    /// The SPI bytes of one command.
    fn transfer(&mut self, word: u32, now: u64) {
        let selected = (word >> 11) & 3 == 0;
        let present = selected && self.nor.without_supply == 0;
        let [_, opcode, ..] = word.to_be_bytes();
        let [_, a, b, c] = self.gateway.address.to_be_bytes();
        let chained = self.gateway.held;
        let mut sent = 0;
        if present && !chained {
            self.nor.select();
        }
        if word & CMD_PHASE != 0 {
            sent += 1;
            if present {
                self.nor.put(&[opcode], now);
            }
            if opcode == 0x05 {
                self.counters.polls += 1;
            }
            if self.hurry && matches!(opcode, 0x05 | 0x70) {
                // Thirds never end; the least step does.
                let left = self.nor.busy_for(now);
                self.time.add(left.min((left / 3).max(LEAST_STEP_NS)));
            }
        }
        if word & ADDR_PHASE != 0 {
            sent += 3;
            if present {
                self.nor.put(&[a, b, c], now);
            }
        }
        if word & DATA_PHASE != 0 {
            let len = 1 << size_code(word);
            let at_data = now.saturating_add(sent * BYTE_NS);
            sent += len as u64;
            if word & READ_OP == 0 {
                let bytes = self.gateway.data;
                if present {
                    if self.nor.programming() && !self.nor.chip().byte_program {
                        self.check_program_piece(len, chained, word & CS_HOLD != 0);
                    }
                    self.nor.put(&bytes[..len], at_data);
                }
            } else {
                let opcode = (word & CMD_PHASE != 0).then_some(opcode);
                self.receive(len, selected, chained, opcode, at_data);
            }
        }
        self.counters.spi_bytes += sent;
        // The clock advances when the driver polls; the sum of the card's time has the bytes at
        // once.
        self.counters.card_time_ns += sent * BYTE_NS;
        let end = now.saturating_add(sent * BYTE_NS).saturating_add(self.armed.defects.pace_ns);
        self.gateway.busy_until = end.saturating_add(self.armed.slows_command(self.commands));
        self.gateway.held = word & CS_HOLD != 0;
        if selected && !present {
            self.nor.without_supply -= 1;
            if self.nor.without_supply == 0 {
                self.nor.power_up();
                self.save();
            }
        } else if present
            && !self.gateway.held
            && let Some(mutation) = self.nor.deselect()
        {
            self.mutate(mutation, end);
        }
    }

    /// Programs go out in pieces of 16 bytes in every known tool (mstflint, mflash/mflash_gw.c),
    /// but for illumos, which programs 4 bytes in one command (uts/common/io/ib/adapters/hermon,
    /// hermon_ioctl.c). What silicon does with other shapes is unknown.
    fn check_program_piece(&mut self, len: usize, after_hold: bool, hold: bool) {
        let known = len == 16 || len == 4 && !after_hold && !hold;
        if !known {
            let how = match (after_hold, hold) {
                (true, _) => " after HOLD",
                (false, true) => " with HOLD",
                (false, false) => "",
            };
            self.note(format!("no known tool sends a program of {len} bytes{how}"));
        }
    }

    fn receive(&mut self, len: usize, present: bool, chained: bool, opcode: Option<u8>, now: u64) {
        let continued = chained && opcode.is_none();
        self.reads += 1;
        self.chained_reads += u64::from(continued);
        self.move_flash();
        let start = self.nor.reading();
        let mut bytes = [0xFF; 16];
        if present && self.nor.without_supply > 0 {
            self.nor.noise(&mut bytes[..len]);
        } else if present {
            if self.trace.is_some() {
                self.log_read(len as u32);
            }
            self.nor.get(&mut bytes[..len], now);
        }
        let before = if chained { self.gateway.chain } else { 0 };
        self.gateway.chain = before.saturating_add(len as u32);
        let wrong = self.armed.defects.chain.is_some_and(|right| before >= right)
            || start
                .zip(self.armed.defects.border)
                .is_some_and(|(at, size)| at.is_multiple_of(size));
        if continued && wrong {
            bytes.iter_mut().for_each(|b| *b = !*b);
        }
        let covers = start.map_or(0..0, |at| at..at + len as u32);
        let mut delivered = if self.armed.shortens_read(self.reads) { len / 2 } else { len };
        match self.armed.spoils_read(self.reads, &covers) {
            Some(WrongRead::Stale) => delivered = 0,
            Some(WrongRead::AllOnes) => bytes = [0xFF; 16],
            Some(WrongRead::Flipped { bit }) => {
                let bit = bit as usize % (8 * len);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            None => {}
        }
        let flip = opcode.map_or(0, |opcode| {
            self.armed.spoils_answer(self.reads, opcode) ^ self.spoils_id(opcode)
        });
        bytes.iter_mut().zip(flip.to_be_bytes()).for_each(|(byte, flip)| *byte ^= flip);
        if let (Some(opcode), Some(first)) = (opcode, bytes.first_chunk_mut()) {
            *first =
                self.armed.defects.chip_answer(opcode, u32::from_be_bytes(*first)).to_be_bytes();
        }
        // Only the transferred bytes change (docs/hardware.md#requirements-for-an-emulator item 7).
        let mut data = self.gateway.data;
        data[..delivered].copy_from_slice(&bytes[..delivered]);
        self.gateway.arriving = Some(data);
    }

    fn log_read(&mut self, bytes: u32) {
        let (Some(start), Some(trace)) = (self.nor.reading(), &mut self.trace) else {
            return;
        };
        match trace.last_mut() {
            Some(Op::Read { at, len }) if *at + *len == start => *len += bytes,
            _ => trace.push(Op::Read { at: start, len: bytes }),
        }
    }
}

fn size_code(word: u32) -> u32 {
    (word >> 8) & 7
}

/// What is wrong with a command word, the worst first.
fn refused(word: u32, held: bool) -> Option<&'static str> {
    // docs/hardware.md#requirements-for-an-emulator item 6, INFERRED: without FLASH_ENABLE nothing
    // happens on SPI.
    if word & FLASH_ENABLE == 0 {
        Some("FLASH_ENABLE (bit 13) is clear, nothing happens")
    } else if size_code(word) > 4 {
        Some("DATA_SIZE is more than 4 (16 bytes)")
    } else if word & ZERO & !BUSY != 0 {
        Some("bits are set that must be 0")
    } else if held && word & CMD_PHASE != 0 {
        Some("CMD_PHASE while chip-select is held: the opcode goes out as data")
    } else if held && (word >> 11) & 3 != 0 {
        Some("another chip selected while chip-select is held")
    } else if !held && word & CMD_PHASE == 0 {
        Some("no CMD_PHASE and chip-select is not held: the first byte goes out as opcode")
    } else {
        None
    }
}
