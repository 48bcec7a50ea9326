//! Status registers and block protection (docs/hardware.md#write-protection).

use std::ops::Range;

/// How the status registers of a family are laid out (docs/hardware.md#write-protection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusLayout {
    /// M25P: BP 4:2.
    M25p,
    /// M25PX: BP 4:2, TB 5.
    M25px,
    /// W25Q: BP 4:2, TB 5, SEC 6; SR2 (35h) with QE bit 1 and CMP bit 6.
    Winbond,
    /// MX25L: BP 5:2, QE 6; configuration register (15h) with TB bit 3, one-time programmable.
    Macronix,
    /// N25Q: BP 4:2 and 6, TB 5; flag status register (70h).
    Micron,
    /// EN25Q: BP 4:2 and BP3 5, which moves the open end to the bottom. The bits count what stays
    /// open, not what is protected; 6 and 7 protect everything.
    Eon,
    /// SST25: BP 5:2, volatile, all set at power-up; AAI 6, BPL 7.
    Sst,
}

impl StatusLayout {
    /// Bits of status register 1 that a status write changes.
    pub(super) fn writable(self) -> u8 {
        match self {
            Self::M25p => 0x9C,
            Self::M25px | Self::Sst | Self::Eon => 0xBC,
            Self::Winbond | Self::Macronix | Self::Micron => 0xFC,
        }
    }

    /// Bits of the second register (SR2 or configuration register) that a status write changes.
    pub(super) fn writable2(self) -> u8 {
        match self {
            Self::Winbond => 0x43,
            Self::Macronix => 0x08,
            _ => 0,
        }
    }

    /// Opcode that reads the second register.
    pub(super) fn read2(self) -> Option<u8> {
        match self {
            Self::Winbond => Some(0x35),
            Self::Macronix => Some(0x15),
            _ => None,
        }
    }

    /// Status register 1 after power-up when it held `kept` before. SST's protection bits are
    /// volatile and come up set (data-sheet knowledge, UNCONFIRMED; docs/hardware.md#sequences step
    /// 5 clears them).
    pub(super) fn power_up(self, kept: u8) -> u8 {
        match self {
            Self::Sst => 0x1C,
            _ => kept,
        }
    }

    /// What the protection bits protect, empty = nothing (docs/hardware.md#write-protection).
    pub(super) fn protected(self, status: u8, second: u8, size: u32) -> Range<u32> {
        if self == Self::Eon {
            return eon(status, size);
        }
        let bp = match self {
            Self::Micron => ((status >> 2) & 7) | ((status >> 3) & 8),
            Self::Macronix | Self::Sst => (status >> 2) & 15,
            _ => (status >> 2) & 7,
        };
        // SST: BP3 (bit 5) is a don't-care of its table.
        let bp = if self == Self::Sst { bp & 7 } else { bp };
        let bottom = match self {
            Self::M25px | Self::Winbond | Self::Micron => status & 0x20 != 0,
            Self::Macronix => second & 0x08 != 0,
            Self::M25p | Self::Sst | Self::Eon => false,
        };
        let small = self == Self::Winbond && status & 0x40 != 0;
        let len = match (bp, small) {
            (0, _) => 0,
            (7, true) => size,
            // Sub-sectors: 4, 8, 16, 32 KiB, and no more.
            (n, true) => (0x1000_u32 << (n - 1)).min(0x8000),
            (7, false) if matches!(self, Self::M25p | Self::M25px | Self::Winbond) => size,
            (n, false) => (0x1_0000_u64 << (n - 1)).min(u64::from(size)) as u32,
        };
        let range = if bottom { 0..len } else { size - len..size };
        let complement = self == Self::Winbond && second & 0x40 != 0;
        match (complement, bottom) {
            (false, _) => range,
            (true, true) => range.end..size,
            (true, false) => 0..range.start,
        }
    }
}

/// EN25Q: BP 1 leaves one 64 KiB block open, 2 two, 3 four and so on. Public drivers have 2 (all
/// but 128 KiB) and 5 (1 MiB of 2); the rest and the side are INFERRED from that.
fn eon(status: u8, size: u32) -> Range<u32> {
    let open = match (status >> 2) & 7 {
        0 => size,
        6 | 7 => 0,
        n => (0x1_0000_u32 << (n - 1)).min(size),
    };
    if open == size {
        size..size
    } else if status & 0x20 != 0 {
        open..size
    } else {
        0..size - open
    }
}

#[cfg(test)]
mod tests {
    use super::StatusLayout;

    #[test]
    fn protection_bits_count_sectors_from_their_side() {
        let mib2 = 0x20_0000;
        let cases = [
            (StatusLayout::M25px, 0x00, 0, 0x20_0000..0x20_0000),
            (StatusLayout::M25px, 0x04, 0, 0x1F_0000..0x20_0000),
            (StatusLayout::M25px, 0x24, 0, 0..0x1_0000),
            (StatusLayout::M25px, 0x14, 0, 0x10_0000..0x20_0000),
            (StatusLayout::M25px, 0x18, 0, 0..0x20_0000),
            (StatusLayout::M25px, 0x1C, 0, 0..0x20_0000),
            (StatusLayout::M25p, 0x24, 0, 0x1F_0000..0x20_0000),
            (StatusLayout::Winbond, 0x44, 0, 0x1F_F000..0x20_0000),
            (StatusLayout::Winbond, 0x70, 0, 0..0x8000),
            (StatusLayout::Winbond, 0x04, 0x40, 0..0x1F_0000),
            (StatusLayout::Winbond, 0x00, 0x40, 0..0x20_0000),
            (StatusLayout::Macronix, 0x20, 0, 0..0x20_0000),
            (StatusLayout::Macronix, 0x04, 0x08, 0..0x1_0000),
            (StatusLayout::Sst, 0x1C, 0, 0..0x20_0000),
            (StatusLayout::Micron, 0x40, 0, 0..0x20_0000),
            (StatusLayout::Eon, 0x00, 0, 0x20_0000..0x20_0000),
            (StatusLayout::Eon, 0x08, 0, 0..0x1E_0000),
            (StatusLayout::Eon, 0x14, 0, 0..0x10_0000),
            (StatusLayout::Eon, 0x28, 0, 0x2_0000..0x20_0000),
            (StatusLayout::Eon, 0x3C, 0, 0..0x20_0000),
        ];
        for (layout, status, second, want) in cases {
            assert_eq!(
                layout.protected(status, second, mib2),
                want,
                "{layout:?} {status:#04x} {second:#04x}"
            );
        }
        let all = StatusLayout::Micron.protected(0x0C, 0, 0x40_0000);
        assert_eq!(all, 0x3C_0000..0x40_0000, "BP 3 = 4 sectors");
    }
}
