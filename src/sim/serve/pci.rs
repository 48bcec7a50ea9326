//! All of a card's configuration space (docs/lab.md#emulated-card).
//!
//! [`SimCard::config_read`] has what a flash tool uses: ids, COMMAND, BARs and the gateway at
//! 0x58/0x5c. This module adds the capabilities with their write masks, accesses of every width,
//! function-level reset, VPD and the vendor-specific capability.

use super::layout::{self, Capabilities, SIZE};
use crate::sim::SimCard;

const COMMAND: u16 = 0x04;
const BUS_MASTER: u32 = 1 << 2;
const DEVICE_CONTROL: usize = 0x68;
const FLR: u8 = 1 << 7;
const VPD_ADDRESS: usize = 0x4a;
const VPD_DATA: usize = 0x4c;
const VPD_FLAG: u16 = 1 << 15;
const SPACE: usize = 0xc4;
const COUNTER: usize = 0xc8;
const SEMAPHORE: usize = 0xcc;
const ADDRESS: usize = 0xd0;
const DATA: usize = 0xd4;
const ADDRESS_FLAG: u32 = 1 << 31;
/// Capability space of CR-space; the other two, commands (1) and semaphores (10), are not there:
/// with them mstflint 4.31 does not crash, and on real cards it does
/// (docs/lab.md#mstflint-on-the-emulated-card).
const CR_SPACE: u32 = 2;
const SUPPORTED: u32 = 1 << 29;

/// Dwords that [`SimCard`] keeps.
fn is_cards(dword: u16) -> bool {
    matches!(
        dword,
        0x00 | 0x04 | 0x08 | 0x10..=0x1c | 0x2c | 0x3c | 0x58 | 0x5c
    )
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

    /// Read `bytes.len()` bytes at `at`.
    pub(super) fn read(&mut self, at: usize, bytes: &mut [u8]) {
        if bytes.len() > 4 {
            let image = self.image();
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = image.get(at + i).copied().unwrap_or(0);
            }
            return;
        }
        let mut seen: Option<(usize, [u8; 4])> = None;
        for (i, byte) in bytes.iter_mut().enumerate() {
            let dword = (at + i) & !3;
            let value = match seen {
                Some((d, value)) if d == dword => value,
                _ => self.dword(dword).to_le_bytes(),
            };
            seen = Some((dword, value));
            *byte = value[(at + i) & 3];
        }
    }

    /// One dword, with its side effects.
    fn dword(&mut self, at: usize) -> u32 {
        let Ok(short) = u16::try_from(at) else {
            return 0;
        };
        if is_cards(short) {
            let value = self.card.config_read(short);
            return if short == COMMAND && !self.card.is_silent() {
                value | layout::STATUS << 16
            } else {
                value
            };
        }
        if self.card.is_silent() {
            return u32::MAX;
        }
        match at {
            COUNTER => {
                self.ticket = self.ticket.wrapping_add(1).max(1);
                self.ticket
            }
            SEMAPHORE => self.semaphore,
            _ => self.caps.dword(at),
        }
    }

    /// Writes `bytes` at `at`; true when that was a function-level reset.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) -> bool {
        let mut reset = false;
        let mut done = 0;
        while done < bytes.len() {
            let here = at + done;
            let dword = here & !3;
            let len = (4 - (here & 3)).min(bytes.len() - done);
            let part = &bytes[done..done + len];
            done += len;
            if dword >= SIZE {
                break;
            }
            reset |= self.write_part(dword, here & 3, part);
        }
        reset
    }

    /// Bytes of one dword.
    fn write_part(&mut self, dword: usize, shift: usize, part: &[u8]) -> bool {
        let short = u16::try_from(dword).unwrap_or(u16::MAX);
        if is_cards(short) {
            let mut value = self.card.config_peek(short).to_le_bytes();
            if matches!(short, 0x58 | 0x5c) && part.len() != 4 {
                self.card
                    .note(format!("{} bytes written to {dword:#04x}", part.len()));
                return false;
            }
            value[shift..shift + part.len()].copy_from_slice(part);
            self.card.config_write(short, u32::from_le_bytes(value));
            return false;
        }
        if self.card.is_silent() {
            return false;
        }
        self.caps.write(dword + shift, part);
        match dword {
            DEVICE_CONTROL => {
                let high = DEVICE_CONTROL + 1;
                let reset = (shift..shift + part.len()).contains(&1) && part[1 - shift] & FLR != 0;
                self.caps.bytes[high] &= !FLR;
                return reset;
            }
            0x48 if shift + part.len() > 2 => {
                self.fetch_vpd();
            }
            SEMAPHORE => {
                let value = self.caps.dword(SEMAPHORE);
                if value == 0 || self.semaphore == 0 {
                    self.semaphore = value;
                }
            }
            ADDRESS => {
                self.vendor_access();
            }
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
        let low = [
            self.caps.bytes[VPD_ADDRESS],
            self.caps.bytes[VPD_ADDRESS + 1],
        ];
        let word = u16::from_le_bytes(low);
        if word & VPD_FLAG == 0 {
            let at = usize::from(word);
            let data: Vec<u8> = (at..at + 4)
                .map(|i| self.vpd.get(i).copied().unwrap_or(0))
                .collect();
            self.caps.bytes[VPD_DATA..VPD_DATA + 4].copy_from_slice(&data);
        }
        let answer = (word ^ VPD_FLAG).to_le_bytes();
        self.caps.bytes[VPD_ADDRESS..VPD_ADDRESS + 2].copy_from_slice(&answer);
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
