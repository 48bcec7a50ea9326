//! The SPI NOR chip, byte by byte as on its wires (docs/hardware.md#flash-chips,
//! docs/hardware.md#requirements-for-an-emulator item 8).
//!
//! Chip-select down, bytes in and out, chip-select up. What changes the array is decided when
//! chip-select rises and is returned as a [`Mutation`], which [`super::mutate`] applies as far as a
//! fault allows.

use super::SimChip;
use super::chips::ChipData;
use super::random::SplitMix64;
use super::status::StatusLayout;
use std::collections::BTreeMap;
use std::ops::Range;

/// WIP, bit 0 of every status register 1.
const WIP: u8 = 1;
/// WEL, bit 1.
const WEL: u8 = 2;
/// Bytes with marginal cells; with more, each is seen rarely.
const FEW: usize = 200;
/// Bytes of a page.
pub(super) const PAGE: u32 = 256;

/// What a command does to the array or the status registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// `len` bytes (at most 256) from `at`, wrapping inside the page; the bytes are in the page
    /// buffer.
    Program { at: u32, len: u32 },
    /// Aligned sector (or the chip) to FF.
    Erase { at: u32, len: u32, ns: u64 },
    /// Status register 1, and the second one when the command had two bytes.
    Status { first: u8, second: Option<u8> },
}

impl Mutation {
    /// Flash bytes it may change (empty for a status write).
    pub(super) fn range(self, size: u32) -> Range<usize> {
        let (at, len) = match self {
            Self::Program { at, .. } => (at & !(PAGE - 1), PAGE),
            Self::Erase { at, len, .. } => (at, len),
            Self::Status { .. } => (0, 0),
        };
        at as usize..(at + len).min(size) as usize
    }

    /// The same on another page or sector.
    pub(super) fn moved(self, to: u32, size: u32) -> Self {
        let to = to % size;
        match self {
            Self::Program { at, len } => {
                Self::Program { at: (to & !(PAGE - 1)) | (at % PAGE), len }
            }
            Self::Erase { len, ns, .. } => Self::Erase { at: to & !(len - 1), len, ns },
            status @ Self::Status { .. } => status,
        }
    }

    /// Typical time in ns.
    pub(super) fn ns(self, nor: &Nor) -> u64 {
        match self {
            Self::Program { .. } => nor.chip().program,
            Self::Erase { ns, .. } => ns,
            Self::Status { .. } => nor.chip().write_status,
        }
    }
}

/// What is to come after the three address bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum AfterAddress {
    Read,
    FastRead,
    Program,
    Erase { len: u32, ns: u64 },
}

/// Where the chip is in a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) enum WireState {
    /// Chip-select high.
    Idle,
    /// Chip-select low, opcode awaited.
    Opcode,
    Address {
        got: u8,
        at: u32,
        after: AfterAddress,
    },
    /// One dummy byte of a fast read.
    Dummy {
        at: u32,
    },
    Read {
        at: u32,
    },
    Program {
        at: u32,
        count: u32,
    },
    EraseReady {
        at: u32,
        len: u32,
        ns: u64,
    },
    /// RDID; pads with 0 behind the id (docs/hardware.md#requirements-for-an-emulator item 9).
    Id {
        at: usize,
    },
    /// ABh: three dummy bytes, then the signature for as long as it is clocked.
    Signature {
        at: u8,
    },
    /// Any register that repeats for as long as it is clocked.
    Status1,
    Status2,
    Flags,
    /// B5h: erased non-volatile configuration register, all ones.
    Ones,
    WriteEnable,
    WriteDisable,
    WriteStatus {
        bytes: [u8; 2],
        got: u8,
    },
    ChipErase,
    /// Nothing until chip-select rises; data line reads ones.
    Ignored,
}

/// One chip.
#[derive(Clone)]
pub(super) struct Nor {
    data: &'static ChipData,
    mem: Vec<u8>,
    /// Counts what may have changed `mem`.
    changes: u64,
    /// Bits that read differently each time, by address.
    marginal: BTreeMap<u32, u8>,
    noise: SplitMix64,
    /// Gateway commands until the supply is back; 0 = it is there.
    pub(super) without_supply: u64,
    page: [u8; PAGE as usize],
    wire: WireState,
    wel: bool,
    busy_until: u64,
    /// Status register 1 without WIP and WEL.
    pub(super) status: u8,
    /// SR2 or configuration register.
    pub(super) second: u8,
    /// What the driver did wrong in the running transaction; taken by the card.
    pub(super) notes: Vec<String>,
    /// [`super::SimCard::firmware_changes`].
    pub(super) own: Vec<Range<usize>>,
}

impl Nor {
    /// A chip holding `flash`, filled up with FF, cut at its size.
    pub(super) fn new(chip: SimChip, flash: &[u8]) -> Self {
        let data = chip.data();
        let mut mem = flash.to_vec();
        mem.resize(data.size as usize, 0xFF);
        Self {
            data,
            mem,
            changes: 0,
            marginal: BTreeMap::new(),
            noise: SplitMix64::new(0),
            without_supply: 0,
            page: [0xFF; PAGE as usize],
            wire: WireState::Idle,
            wel: false,
            busy_until: 0,
            status: data.status.power_up(0),
            second: 0,
            notes: Vec::new(),
            own: Vec::new(),
        }
    }

    pub(super) fn mem(&self) -> &[u8] {
        &self.mem
    }

    /// Differs from an earlier one when the contents may differ.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn mem_mut(&mut self) -> &mut [u8] {
        self.changes += 1;
        &mut self.mem
    }

    /// Bits of the byte at `at` read differently each time from now on.
    pub(super) fn waver(&mut self, at: u32, bits: u8) {
        if bits != 0 && at < self.data.size {
            *self.marginal.entry(at).or_default() |= bits;
            self.changes += 1;
        }
    }

    /// Cells that a complete mutation leaves in one state: all that are erased, and those that are
    /// programmed to 0.
    pub(super) fn steady(&mut self, mutation: Mutation) {
        if self.marginal.is_empty() {
            return;
        }
        let range = mutation.range(self.data.size);
        let page = self.page;
        self.marginal.retain(|at, bits| {
            if range.contains(&(*at as usize)) {
                *bits &= match mutation {
                    Mutation::Program { .. } => page[(*at % PAGE) as usize],
                    _ => 0,
                };
            }
            *bits != 0
        });
    }

    /// Replaced from outside.
    pub(super) fn forget_marginal(&mut self, range: &Range<usize>) {
        self.marginal.retain(|at, _| !range.contains(&(*at as usize)));
    }

    pub(super) fn marginal(&self) -> &BTreeMap<u32, u8> {
        &self.marginal
    }

    /// Bytes read from `start` on, with what marginal cells make of them this time. Of many, each reading
    /// shows few.
    fn disturb(&mut self, start: u32, out: &mut [u8]) {
        let eighths = if self.marginal.len() > FEW { 1 } else { 4 };
        let end = start + out.len() as u32;
        for (at, bits) in self.marginal.range(start..end) {
            if let Some(byte) = out.get_mut((*at - start) as usize) {
                *byte ^= bits & self.noise.mask(eighths);
            }
        }
    }

    /// What is read without a supply.
    pub(super) fn noise(&mut self, out: &mut [u8]) {
        out.iter_mut().for_each(|byte| *byte = self.noise.mask(4));
    }

    /// The bytes of the last program command, at their places in the page.
    pub(super) fn page(&self) -> &[u8; PAGE as usize] {
        &self.page
    }

    /// Bytes for a program command of the card's own, inside of one page.
    pub(super) fn fill_page(&mut self, at: u32, bytes: &[u8]) {
        self.page.fill(0xFF);
        let places = self.page.iter_mut().skip((at % PAGE) as usize);
        places.zip(bytes).for_each(|(place, byte)| *place = *byte);
    }

    /// The status register keeps some of this range from being changed.
    pub(super) fn protects(&self, range: &Range<usize>) -> bool {
        let kept = self.layout().protected(self.status, self.second, self.data.size);
        (kept.start as usize) < range.end && range.start < kept.end as usize
    }

    pub(super) fn size(&self) -> u32 {
        self.data.size
    }

    pub(super) fn chip(&self) -> &'static ChipData {
        self.data
    }

    pub(super) fn layout(&self) -> StatusLayout {
        self.data.status
    }

    pub(super) fn is_busy(&self, now: u64) -> bool {
        now < self.busy_until
    }

    /// A mutation begins.
    pub(super) fn start(&mut self, now: u64, ns: u64) {
        self.wel = false;
        self.busy_until = now.saturating_add(ns);
    }

    /// ns until the chip is ready; 0 when it is, or never will be.
    pub(super) fn busy_for(&self, now: u64) -> u64 {
        if self.is_stuck() {
            return 0;
        }
        self.busy_until.saturating_sub(now)
    }

    /// WIP never clears.
    pub(super) fn stick(&mut self) {
        self.busy_until = u64::MAX;
    }

    pub(super) fn is_stuck(&self) -> bool {
        self.busy_until == u64::MAX
    }

    /// Power was off: the latch and whatever ran are gone.
    pub(super) fn power_up(&mut self) {
        self.wire = WireState::Idle;
        self.wel = false;
        self.busy_until = 0;
        self.status = self.layout().power_up(self.status);
    }

    /// Chip-select falls.
    pub(super) fn select(&mut self) {
        self.wire = WireState::Opcode;
    }

    /// Chip-select rises without the chip having noticed a complete command.
    pub(super) fn abandon(&mut self) {
        self.wire = WireState::Idle;
    }

    /// Address of the next byte of a running read.
    pub(super) fn reading(&self) -> Option<u32> {
        match self.wire {
            WireState::Read { at } => Some(at),
            _ => None,
        }
    }

    /// Data that is put now is programmed.
    pub(super) fn programming(&self) -> bool {
        matches!(self.wire, WireState::Program { .. })
    }

    /// Bytes from the master; the chip's answer is discarded.
    pub(super) fn put(&mut self, bytes: &[u8], now: u64) {
        if let WireState::Program { at, count } = &mut self.wire {
            for &byte in bytes {
                self.page[((*at + *count) % PAGE) as usize] = byte;
                *count += 1;
            }
            return;
        }
        for &byte in bytes {
            self.shift(byte, now);
        }
    }

    /// Bytes from the chip; the master sends zeros.
    pub(super) fn get(&mut self, out: &mut [u8], now: u64) {
        if let WireState::Read { at } = &mut self.wire {
            let start = *at as usize;
            if let Some(bytes) = self.mem.get(start..start + out.len()) {
                out.copy_from_slice(bytes);
                *at = (*at + out.len() as u32) % self.data.size;
                self.disturb(start as u32, out);
                return;
            }
        }
        for byte in out {
            *byte = self.shift(0, now);
        }
    }

    fn shift(&mut self, byte: u8, now: u64) -> u8 {
        match &mut self.wire {
            WireState::Idle | WireState::Ignored | WireState::Ones => return 0xFF,
            WireState::Opcode => self.wire = self.opcode(byte, now),
            WireState::Address { got, at, after } => {
                *at = *at << 8 | u32::from(byte);
                *got += 1;
                if *got == 3 {
                    let (at, after) = (*at, *after);
                    self.wire = self.addressed(at, after);
                }
            }
            WireState::Dummy { at } => self.wire = WireState::Read { at: *at },
            WireState::Read { at } => {
                let start = *at;
                let mut value = [self.mem[start as usize]];
                *at = (start + 1) % self.data.size;
                self.disturb(start, &mut value);
                return value[0];
            }
            WireState::Program { at, count } => {
                self.page[((*at + *count) % PAGE) as usize] = byte;
                *count += 1;
            }
            WireState::Id { at } => {
                let answer = self.data.jedec.iter().chain(self.data.extended);
                let value = answer.copied().nth(*at).unwrap_or(0);
                *at += 1;
                return value;
            }
            WireState::Signature { at } => {
                if *at == 3 {
                    return self.data.signature.unwrap_or(0xFF);
                }
                *at += 1;
                return 0xFF;
            }
            WireState::Status1 => {
                let busy = if self.is_busy(now) { WIP | WEL } else { 0 };
                let wel = if self.wel { WEL } else { 0 };
                return self.status | busy | wel;
            }
            WireState::Status2 => return self.second,
            // Bit 7 ready; the error bits are never set.
            WireState::Flags => return if self.is_busy(now) { 0 } else { 0x80 },
            WireState::WriteStatus { bytes, got } => {
                if let Some(place) = bytes.get_mut(usize::from(*got)) {
                    *place = byte;
                }
                *got = got.saturating_add(1);
            }
            WireState::EraseReady { .. }
            | WireState::WriteEnable
            | WireState::WriteDisable
            | WireState::ChipErase => {
                self.notes.push("bytes after the end of a command: it is not executed".into());
                self.wire = WireState::Ignored;
            }
        }
        0xFF
    }

    fn opcode(&mut self, opcode: u8, now: u64) -> WireState {
        let address = |after| WireState::Address { got: 0, at: 0, after };
        let allowed = matches!(opcode, 0x05 | 0x35 | 0x70 | 0xAB);
        if self.is_busy(now) && !allowed {
            // RDID is ignored and does no harm; mstflint sends it first at every open.
            if opcode != 0x9F {
                self.notes.push(format!("opcode {opcode:02x} while WIP is set"));
            }
            return WireState::Ignored;
        }
        let layout = self.layout();
        match opcode {
            0x03 => address(AfterAddress::Read),
            0x0B => address(AfterAddress::FastRead),
            0x02 => {
                self.page.fill(0xFF);
                address(AfterAddress::Program)
            }
            0x9F => WireState::Id { at: 0 },
            // The M25PX and N25Q have the opcode for power-down only: nothing comes back.
            0xAB => WireState::Signature { at: 0 },
            0x05 => WireState::Status1,
            0x06 => WireState::WriteEnable,
            0x50 if layout == StatusLayout::Sst => WireState::WriteEnable,
            0x04 => WireState::WriteDisable,
            0x01 => WireState::WriteStatus { bytes: [0; 2], got: 0 },
            0x70 if layout == StatusLayout::Micron => WireState::Flags,
            0xB5 if layout == StatusLayout::Micron => WireState::Ones,
            0x60 | 0xC7 => WireState::ChipErase,
            _ if layout.read2() == Some(opcode) => WireState::Status2,
            _ => match self.data.erases.iter().find(|e| e.0 == opcode) {
                Some(&(_, len, ns)) => address(AfterAddress::Erase { len, ns }),
                None => {
                    self.notes.push(format!("the chip does not know opcode {opcode:02x}"));
                    WireState::Ignored
                }
            },
        }
    }

    fn addressed(&mut self, at: u32, after: AfterAddress) -> WireState {
        if at >= self.data.size {
            self.notes.push(format!("address {at:#08x} is beyond the flash"));
        }
        let at = at % self.data.size;
        match after {
            AfterAddress::Read => WireState::Read { at },
            AfterAddress::FastRead => WireState::Dummy { at },
            AfterAddress::Program => WireState::Program { at, count: 0 },
            AfterAddress::Erase { len, ns } => {
                WireState::EraseReady { at: at & !(len - 1), len, ns }
            }
        }
    }

    /// Chip-select rises; the change that a complete, enabled and unprotected command makes.
    pub(super) fn deselect(&mut self) -> Option<Mutation> {
        let command = match std::mem::replace(&mut self.wire, WireState::Idle) {
            WireState::WriteEnable => {
                self.wel = true;
                return None;
            }
            WireState::WriteDisable => {
                self.wel = false;
                return None;
            }
            WireState::Program { at, count } if count > 0 => Mutation::Program { at, len: count },
            WireState::EraseReady { at, len, ns } => Mutation::Erase { at, len, ns },
            WireState::ChipErase => {
                Mutation::Erase { at: 0, len: self.data.size, ns: self.data.chip_erase }
            }
            WireState::WriteStatus { bytes, got } if got > 0 => {
                Mutation::Status { first: bytes[0], second: (got > 1).then_some(bytes[1]) }
            }
            WireState::Address { .. }
            | WireState::Program { .. }
            | WireState::WriteStatus { .. } => {
                self.notes.push("chip-select released in the middle of a command".into());
                return None;
            }
            _ => return None,
        };
        if !self.wel {
            self.notes.push(format!("{command:x?} without write enable"));
            return None;
        }
        let command = self.check_program(command);
        if self.protects(&command.range(self.data.size)) {
            self.wel = false;
            return None;
        }
        Some(command)
    }

    /// Notes what is wrong with a program command, and cuts it to what the chip takes.
    fn check_program(&mut self, command: Mutation) -> Mutation {
        let Mutation::Program { at, mut len } = command else {
            return command;
        };
        if self.data.byte_program && len > 1 {
            self.notes.push("more than one byte programmed on a byte-program chip".into());
            len = 1;
        }
        if at % PAGE + len > PAGE {
            self.notes.push(format!("program at {at:#08x} runs over the end of its page"));
            len = len.min(PAGE);
        }
        let base = (at & !(PAGE - 1)) as usize;
        let rises = (0..len).any(|i| {
            let place = ((at + i) % PAGE) as usize;
            let (new, old) = (self.page[place], self.mem[base + place]);
            // FF is padding that leaves a byte unchanged
            // (docs/hardware.md#write-order-in-mstflint).
            new != 0xFF && new & !old != 0
        });
        if rises {
            self.notes.push(format!("program at {at:#08x} without erase: bits 0 to 1"));
        }
        Mutation::Program { at, len }
    }
}
