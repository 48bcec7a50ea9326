//! PCI configuration space, as far as a flash tool or a virtual machine uses it.

use super::CardSpec;
use super::boot::RunningFirmware;

/// Address register of the CR-space gateway (docs/hardware.md#configuration-cycle-gateway).
pub(super) const ADDRESS: u16 = 0x58;
/// Its data register.
pub(super) const DATA: u16 = 0x5c;
/// What cannot be read (docs/hardware.md#special-values).
pub(super) const NOT_READABLE: u32 = 0xbadacce5;

const VENDOR: u32 = 0x15b3;
const MEMORY: u16 = 1 << 1;
const BUS_MASTER: u16 = 1 << 2;
/// COMMAND bits that can be written: memory, bus master, parity, SERR, INTx off.
const COMMAND_MASK: u16 = 0x0546;
/// BAR0: 64-bit memory of 1 MiB. BAR2: 64-bit prefetchable, 8 MiB (size UNCONFIRMED).
const BARS: [(u32, u32); 4] =
    [(0xfff0_0000, 0x4), (u32::MAX, 0), (0xff80_0000, 0xc), (u32::MAX, 0)];

/// The writable part of configuration space; by default as a reset leaves it
/// (docs/hardware.md#software-reset).
#[derive(Clone, Default)]
pub(super) struct ConfigRegisters {
    command: u16,
    bars: [u32; 4],
    interrupt_line: u8,
    pub(super) gateway_address: u32,
    /// Write-only variant: data waiting for its address.
    pub(super) gateway_data: u32,
}

impl ConfigRegisters {
    /// As the host leaves it: BARs placed, memory decode on, bus mastering off.
    pub(super) fn enumerated() -> Self {
        Self {
            command: MEMORY,
            bars: [0xf000_0000, 0, 0xf100_0000, 0],
            interrupt_line: 0xff,
            ..Self::default()
        }
    }

    pub(super) fn memory_enabled(&self) -> bool {
        self.command & MEMORY != 0
    }

    pub(super) fn masters(&self) -> bool {
        self.command & BUS_MASTER != 0
    }

    pub(super) fn read(&self, at: u16, spec: &CardSpec, running: &RunningFirmware) -> u32 {
        match at {
            0x00 => u32::from(running.device_id) << 16 | VENDOR,
            0x04 => self.command.into(),
            // Memory controller without firmware, network controller with it
            // (docs/lab.md#emulated-card).
            0x08 if running.device_id == spec.recovery_id() => {
                0x0580_0000 | u32::from(spec.revision)
            }
            0x08 => 0x0200_0000 | u32::from(spec.revision),
            0x10 | 0x14 | 0x18 | 0x1c => {
                let n = usize::from(at - 0x10) / 4;
                self.bars[n] & BARS[n].0 | BARS[n].1
            }
            0x2c => u32::from(spec.subsystem_id()) << 16 | VENDOR,
            0x3c => 0x0100 | u32::from(self.interrupt_line),
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, at: u16, value: u32) {
        let [low, ..] = value.to_le_bytes();
        match at {
            0x04 => self.command = (value & 0xffff) as u16 & COMMAND_MASK,
            0x10 | 0x14 | 0x18 | 0x1c => self.bars[usize::from(at - 0x10) / 4] = value,
            0x3c => self.interrupt_line = low,
            _ => {}
        }
    }
}
