//! All of a card's configuration space (docs/lab.md#emulated-card).
//!
//! [`SimCard::config_read`] has what a flash tool uses: ids, COMMAND, BARs and the gateway at
//! 0x58/0x5c. This module adds the capabilities with their write masks, accesses of every width,
//! function-level reset, VPD and the vendor-specific capability.

use super::layout::{self, Capabilities};
use crate::sim::SimCard;
use std::ops::Range;

const COMMAND: u16 = 0x04;
const BUS_MASTER: u32 = 1 << 2;
const DEVICE_CONTROL: u16 = 0x68;
const FLR: u8 = 1 << 7;
/// The address is in its upper half.
const VPD: u16 = 0x48;
const VPD_DATA: u16 = 0x4c;
const VPD_FLAG: u32 = 1 << 31;
const SPACE: u16 = 0xc4;
const COUNTER: u16 = 0xc8;
const SEMAPHORE: u16 = 0xcc;
const ADDRESS: u16 = 0xd0;
const DATA: u16 = 0xd4;
const ADDRESS_FLAG: u32 = 1 << 31;
/// Capability space of CR-space; the other two, commands (1) and semaphores (10), are not there:
/// with them mstflint 4.31 does not crash, and on real cards it does
/// (docs/lab.md#mstflint-on-the-emulated-card).
const CR_SPACE: u32 = 2;
const SUPPORTED: u32 = 1 << 29;

/// Dwords that [`SimCard`] keeps.
fn is_cards(dword: u16) -> bool {
    matches!(dword, 0x00 | 0x04 | 0x08 | 0x10..=0x1c | 0x2c | 0x3c | 0x58 | 0x5c)
}

/// The words an access touches: address of the word, first byte in it, bytes of the access.
pub(super) fn words_of(at: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let here = at + done as u64;
        let inside = (here & 3) as usize;
        let part = done..len.min(done + 4 - inside);
        done = part.end;
        (!part.is_empty()).then_some((here & !3, inside, part))
    })
}

pub(super) struct ServedConfigSpace {
    card: SimCard,
    caps: Capabilities,
    vpd: Vec<u8>,
    ticket: u32,
    /// Holder's ticket; outlives a function-level reset, as the semaphores of CR-space do.
    semaphore: u32,
}

impl ServedConfigSpace {
    pub(super) fn new(card: &SimCard) -> Self {
        Self {
            card: card.clone(),
            caps: Capabilities::of(card),
            vpd: layout::vpd(&card.spec()),
            ticket: 0,
            semaphore: 0,
        }
    }

    /// Bus mastering is on.
    pub(super) fn masters(&self) -> bool {
        self.card.config_peek(COMMAND) & BUS_MASTER != 0
    }

    /// Registers to their defaults; the card's own part is reset by the card.
    pub(super) fn reset(&mut self) {
        self.caps = Capabilities::of(&self.card);
    }

    /// The chip itself was reset.
    pub(super) fn chip_reset(&mut self) {
        self.reset();
        self.ticket = 0;
        self.semaphore = 0;
    }

    /// All 4096 bytes without side effects: what a virtual machine reads when it starts.
    pub(super) fn image(&self) -> Vec<u8> {
        let mut out = self.caps.bytes.to_vec();
        for dword in (0..0x60).step_by(4).filter(|d| is_cards(*d)) {
            let value = match dword {
                0x58 | 0x5c => 0,
                COMMAND => self.card.config_peek(dword) | layout::STATUS << 16,
                _ => self.card.config_peek(dword),
            };
            let at = usize::from(dword);
            out[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        out
    }

    /// Reads at `at`, inside of configuration space.
    pub(super) fn read(&mut self, at: u64, bytes: &mut [u8]) {
        if bytes.len() > 4 {
            let at = at as usize;
            bytes.copy_from_slice(&self.image()[at..at + bytes.len()]);
            return;
        }
        for (dword, inside, part) in words_of(at, bytes.len()) {
            let value = self.dword(dword as u16).to_le_bytes();
            bytes[part.clone()].copy_from_slice(&value[inside..inside + part.len()]);
        }
    }

    /// One dword, with its side effects.
    fn dword(&mut self, at: u16) -> u32 {
        let silent = self.card.is_silent();
        match at {
            COMMAND if !silent => self.card.config_read(at) | layout::STATUS << 16,
            _ if is_cards(at) => self.card.config_read(at),
            _ if silent => u32::MAX,
            COUNTER => {
                self.ticket = self.ticket.wrapping_add(1).max(1);
                self.ticket
            }
            SEMAPHORE => self.semaphore,
            _ => self.caps.dword(at),
        }
    }

    /// Writes at `at`, inside of configuration space; true when that was a function-level reset.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        let mut reset = false;
        for (dword, inside, part) in words_of(at, bytes.len()) {
            reset |= self.write_part(dword as u16, inside, &bytes[part]);
        }
        reset
    }

    /// Bytes of one dword.
    fn write_part(&mut self, dword: u16, shift: usize, part: &[u8]) -> bool {
        if is_cards(dword) {
            if matches!(dword, 0x58 | 0x5c) && part.len() != 4 {
                self.card.note(format!("{} bytes written to {dword:#04x}", part.len()));
                return false;
            }
            let mut value = self.card.config_peek(dword).to_le_bytes();
            value[shift..shift + part.len()].copy_from_slice(part);
            self.card.config_write(dword, u32::from_le_bytes(value));
            return false;
        }
        if self.card.is_silent() {
            return false;
        }
        self.caps.write(dword, shift, part);
        match dword {
            // The bit of the reset reads 0, so what counts is the byte that is written.
            DEVICE_CONTROL => {
                let high = 1_usize.checked_sub(shift).and_then(|n| part.get(n));
                return high.is_some_and(|byte| byte & FLR != 0);
            }
            VPD if shift + part.len() > 2 => self.fetch_vpd(),
            SEMAPHORE => {
                let value = self.caps.dword(SEMAPHORE);
                if value == 0 || self.semaphore == 0 {
                    self.semaphore = value;
                }
            }
            ADDRESS => self.vendor_access(),
            SPACE => {
                let space = self.caps.dword(SPACE) & 0xffff;
                let supported = if space == CR_SPACE { SUPPORTED } else { 0 };
                self.caps.set_dword(SPACE, space | supported);
            }
            _ => {}
        }
        false
    }

    /// The VPD address was written: with flag 0 a read, done when the flag is set; with flag 1 a
    /// write, which a read-only area acknowledges and discards.
    fn fetch_vpd(&mut self) {
        let word = self.caps.dword(VPD);
        if word & VPD_FLAG == 0 {
            let at = (word >> 16) as usize;
            let data = [0, 1, 2, 3].map(|i| self.vpd.get(at + i).copied().unwrap_or(0));
            self.caps.set_dword(VPD_DATA, u32::from_le_bytes(data));
        }
        self.caps.set_dword(VPD, word ^ VPD_FLAG);
    }

    /// The address of the vendor-specific capability was written: with the flag clear a read, which
    /// sets it when the data is ready; with the flag set a write, which clears it when it is done.
    /// In a space that does not exist the flag does not change.
    fn vendor_access(&mut self) {
        if self.caps.dword(SPACE) & 0xffff != CR_SPACE {
            return;
        }
        let word = self.caps.dword(ADDRESS);
        let at = word & !(3 << 30);
        if word & ADDRESS_FLAG == 0 {
            let value = self.card.cr_access(at, None);
            self.caps.set_dword(DATA, value);
        } else {
            let value = self.caps.dword(DATA);
            self.card.cr_access(at, Some(value));
        }
        self.caps.set_dword(ADDRESS, word ^ ADDRESS_FLAG);
    }
}
