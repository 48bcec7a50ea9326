//! Block protection, as the status registers report it (mstflint mflash/mflash.c,
//! `mf_get_write_protect_direct_access`, and the data sheets).

use super::{FlashChip, overlap};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::Range;

/// Bit of status register 2 that inverts the protected range (data sheets W25Q16DV, W25Q16JV,
/// S25FL116K, GD25Q32B).
const CMP: u8 = 1 << 6;

/// Block protection as the status registers report it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Protection {
    pub status: u8,
    /// Protected addresses; `None` = none. Where a family's bits cannot be decoded, the whole chip.
    pub range: Option<Range<u32>>,
    /// CMP is set (bit 6 of status register 2): the range is the complement of what the bits of
    /// status register 1 cover.
    #[serde(skip)]
    pub complement: bool,
}

/// What may be done to the protection bits of a chip, by what is known of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectionControl {
    /// Bits and ranges are known from what mstflint does with them: cleared and set.
    Full,
    /// Which bits protect is known; how they count is not, or no tool sets them: cleared only.
    ClearOnly,
    /// Protected by every power-on, cleared by every session that writes.
    PowerOn,
    /// What its bits mean is not known.
    Unknown,
}

impl FlashChip {
    /// How far this chip's protection bits are known.
    pub fn protection_control(&self) -> ProtectionControl {
        if self.unprotect_with.is_some() {
            return ProtectionControl::PowerOn;
        }
        match self.jedec >> 8 {
            // Winbond W25Q..BV and Spansion S25FL1: the generic layout, read and written by mstflint.
            0xEF_40 | 0x01_40 => ProtectionControl::Full,
            // M25PX, M25P, W25X: BP bits in hardware, which mstflint neither reports nor changes.
            // N25Q, Macronix, ISSI: the side they count from, or a fourth BP bit, is elsewhere.
            0x20_71 | 0x20_20 | 0xEF_30 | 0x20_BA | 0x20_BB | 0xC2_20 | 0x9D_60 | 0x9D_70 => {
                ProtectionControl::ClearOnly
            }
            _ => ProtectionControl::Unknown,
        }
    }

    /// Bits of status register 1 that protect exactly `range`; `None` when none do, or when that is
    /// not known of this chip.
    pub fn protection_bits(&self, range: &Range<u32>) -> Option<u8> {
        if self.protection_control() != ProtectionControl::Full {
            return None;
        }
        // The lowest value first: SEC, which needs WPS, comes into play last.
        (1..=0x1F_u8)
            .map(|n| n << 2)
            .filter(|bits| bits & !self.protect_mask == 0)
            .find(|bits| Protection::decode(self, *bits, None).range.as_ref() == Some(range))
    }
}

impl Protection {
    /// Decodes status register 1, and 2 on chips that have one.
    pub fn decode(chip: &FlashChip, status: u8, second: Option<u8>) -> Self {
        let bits = status & chip.protect_mask;
        let size = chip.geometry.size;
        let complement = second.is_some_and(|second| second & CMP != 0);
        // SST25 and Atmel protect everything at power-up and are cleared by a write session, and
        // their bits are coded otherwise; N25Q has BP3 in bit 6, Macronix and ISSI four BP bits and
        // TB elsewhere: for those any bit counts as the whole chip, which is the safe reading.
        let generic = chip.unprotect_with.is_none()
            && matches!(chip.jedec >> 8, 0x20_71 | 0x20_20 | 0xEF_40 | 0xEF_70 | 0xEF_30 | 0x01_40);
        let covered = if bits == 0 {
            None
        } else if !generic {
            Some(0..size)
        } else {
            Self::generic(chip, bits, size)
        };
        let range = match (complement, covered) {
            (false, covered) => covered,
            (true, None) => Some(0..size),
            // What the bits cover is not known of these, so neither is the rest.
            (true, Some(_)) if !generic => Some(0..size),
            (true, Some(covered)) if covered.start == 0 => {
                Some(covered.end..size).filter(|rest| !rest.is_empty())
            }
            (true, Some(covered)) => Some(0..covered.start),
        };
        Self { status, range, complement }
    }

    /// BP0-2 in bits 4:2 = 2^(BP-1) sectors, TB in bit 5 (1 = from the bottom), SEC in bit 6 (4K
    /// sectors, 32 KiB at most, instead of 64K sectors). Data sheets W25Q16DV, W25Q16JV, S25FL116K.
    fn generic(chip: &FlashChip, bits: u8, size: u32) -> Option<Range<u32>> {
        let bp = bits >> 2 & 7;
        let sec = bits & 1 << 6 != 0;
        if sec && !matches!(chip.jedec >> 8, 0xEF_40 | 0xEF_70 | 0x01_40) {
            // Bit 6 on a family whose sources do not describe it.
            return Some(0..size);
        }
        if bp == 0 {
            // TB or SEC alone protect nothing.
            return None;
        }
        let len = match (bp, sec) {
            (7, _) => size,
            (bp, true) => (0x1000 << (bp - 1)).min(0x8000),
            (bp, false) => (0x1_0000 << (bp - 1)).min(size),
        };
        Some(if bits & 1 << 5 != 0 { 0..len } else { size - len..size })
    }

    /// Whether any byte of `range` is protected.
    pub fn touches(&self, range: &Range<u32>) -> bool {
        self.range.as_ref().is_some_and(|p| overlap(p, range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(jedec: u32, status: u8) -> Option<Range<u32>> {
        Protection::decode(&FlashChip::detect(jedec).unwrap(), status, None).range
    }

    #[test]
    fn generic_bits_count_from_top_or_bottom() {
        assert_eq!(of(0xEF_4015, 0x00), None);
        assert_eq!(of(0xEF_4015, 0x04), Some(0x1F_0000..0x20_0000));
        assert_eq!(of(0xEF_4015, 0x24), Some(0..0x1_0000));
        assert_eq!(of(0xEF_4015, 0x64), Some(0..0x1000));
        assert_eq!(of(0xEF_4015, 0x1C), Some(0..0x20_0000));
        assert_eq!(of(0xEF_4015, 0x20), None);
    }

    #[test]
    fn cmp_protects_the_complement() {
        let both = |jedec, status, second| {
            let chip = FlashChip::detect(jedec).unwrap();
            Protection::decode(&chip, status, Some(second)).range
        };
        let cases = [
            (0x00, 0x00, None),
            (0x00, 0x40, Some(0..0x20_0000)),
            (0x04, 0x40, Some(0..0x1F_0000)),
            (0x24, 0x40, Some(0x1_0000..0x20_0000)),
            (0x44, 0x40, Some(0..0x1F_F000)),
            // SEC counts 32 KiB at most.
            (0x78, 0x40, Some(0x8000..0x20_0000)),
            (0x1C, 0x40, None),
            // Quad enable and the lock bits are no protection.
            (0x00, 0x3B, None),
        ];
        for (status, second, want) in cases {
            assert_eq!(both(0xEF_4015, status, second), want, "{status:#04x}");
            assert_eq!(both(0xEF_7015, status, second), want, "{status:#04x}");
        }
        // What the bits of this one cover is not known.
        assert_eq!(both(0xC8_4015, 0x04, 0x40), Some(0..0x20_0000));
        assert_eq!(both(0xC8_4015, 0x00, 0x40), Some(0..0x20_0000));
    }

    #[test]
    fn quad_enable_of_macronix_protects_nothing() {
        assert_eq!(of(0xC2_2015, 0x40), None);
        assert_eq!(of(0xC2_2015, 0x04), Some(0..0x20_0000));
    }

    #[test]
    fn protection_bits_protect_exactly_the_requested_range() {
        let chip = FlashChip::detect(0xEF_4015).unwrap();
        for (range, bits) in [
            (0..0x20_0000, 0x18),
            (0x1F_0000..0x20_0000, 0x04),
            (0x1C_0000..0x20_0000, 0x0C),
            (0..0x1_0000, 0x24),
        ] {
            let found = chip.protection_bits(&range).unwrap();
            assert_eq!(Protection::decode(&chip, found, None).range, Some(range.clone()));
            assert_eq!(found, bits, "{range:x?}");
        }
        assert_eq!(chip.protection_bits(&(0x1D_0000..0x20_0000)), None);
        assert_eq!(chip.protection_bits(&(0x1_0000..0x2_0000)), None);
    }

    #[test]
    fn protection_bits_of_undocumented_chips_are_not_set() {
        for jedec in [0x20_7115, 0x20_2015, 0xC2_2015, 0xBF_2541, 0x01_0215] {
            let chip = FlashChip::detect(jedec).unwrap();
            assert_ne!(chip.protection_control(), ProtectionControl::Full);
            assert_eq!(chip.protection_bits(&(0..chip.geometry.size)), None);
        }
    }

    #[test]
    fn wip_wel_and_srp_protect_nothing() {
        assert_eq!(of(0x20_7115, 0x83), None);
    }
}
