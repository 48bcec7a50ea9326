//! Block protection (flash-hardware §5.3).

use super::FlashPart;
use serde::Serialize;
use std::ops::Range;

/// What the status register says of protection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Protection {
    /// Status register 1.
    pub status: u8,
    /// Protected addresses; `None` = none. Where a family's bits cannot be decoded, the whole chip.
    pub range: Option<Range<u32>>,
}

/// Permission to clear protection bits for good, made from the status the user was shown: other
/// bits than those are not cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClearProtection {
    status: u8,
}

impl ClearProtection {
    /// For the bits of this value of status register 1.
    #[must_use]
    pub fn of(status: u8) -> Self {
        Self { status }
    }

    pub(super) fn status(self) -> u8 {
        self.status
    }
}

/// Permission to set protection bits, made from the status the user was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetProtection {
    status: u8,
    range: Range<u32>,
}

impl SetProtection {
    /// Protect `range` on a chip that shows `status`.
    #[must_use]
    pub fn of(status: u8, range: Range<u32>) -> Self {
        Self { status, range }
    }

    pub(super) fn status(&self) -> u8 {
        self.status
    }

    pub(super) fn range(&self) -> &Range<u32> {
        &self.range
    }
}

/// What may be done to the protection bits of a chip, by what is known of them (§5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectionControl {
    /// Bits and ranges are known from what MST does with them: cleared and set.
    Full,
    /// Which bits protect is known; how they count is not, or nobody sets them: cleared only.
    ClearOnly,
    /// Protected by every power-on, taken back by every session that writes (§4.5 step 5).
    PowerOn,
    /// What its bits mean is not known.
    Unknown,
}

impl FlashPart {
    /// How far this chip's protection bits are known.
    #[must_use]
    pub fn protection_control(&self) -> ProtectionControl {
        if self.unprotect_with.is_some() {
            return ProtectionControl::PowerOn;
        }
        match self.jedec >> 8 {
            // Winbond W25Q..BV and Spansion S25FL1: the generic layout, read and written by MST.
            0xEF_40 | 0x01_40 => ProtectionControl::Full,
            // M25PX, M25P, W25X: BP bits in hardware, which MST neither reports nor changes.
            // N25Q, Macronix, ISSI: the side they count from, or a fourth BP bit, is elsewhere.
            0x20_71 | 0x20_20 | 0xEF_30 | 0x20_BA | 0x20_BB | 0xC2_20 | 0x9D_60 | 0x9D_70 => {
                ProtectionControl::ClearOnly
            }
            _ => ProtectionControl::Unknown,
        }
    }

    /// Bits of status register 1 that protect exactly `range`; `None` when none do, or when that is
    /// not known of this chip.
    #[must_use]
    pub fn protection_bits(&self, range: &Range<u32>) -> Option<u8> {
        if self.protection_control() != ProtectionControl::Full {
            return None;
        }
        // The lowest value first: SEC, which needs WPS, comes into play last.
        (1..=0x1F_u8)
            .map(|n| n << 2)
            .filter(|bits| bits & !self.protect_mask == 0)
            .find(|bits| Protection::decode(self, *bits).range.as_ref() == Some(range))
    }
}

impl Protection {
    /// Decode status register 1 of `part`.
    #[must_use]
    pub fn decode(part: &FlashPart, status: u8) -> Self {
        let bits = status & part.protect_mask;
        let size = part.geometry.size;
        // SST25 and Atmel protect everything at power-up and are cleared by a write session, and
        // their bits are coded otherwise; N25Q has BP3 in bit 6, Macronix and ISSI four BP bits and
        // TB elsewhere: for those any bit counts as the whole chip. Refusing is the safe reading.
        let generic = part.unprotect_with.is_none()
            && matches!(
                part.jedec >> 8,
                0x20_71 | 0x20_20 | 0xEF_40 | 0xEF_30 | 0x01_40
            );
        let range = if bits == 0 {
            None
        } else if !generic {
            Some(0..size)
        } else {
            Self::generic(part, bits, size)
        };
        Self { status, range }
    }

    /// BP0-2 in bits 4:2 = 2^(BP-1) sectors, TB in bit 5 (1 = from the bottom), SEC in bit 6 (4K
    /// instead of 64K sectors).
    fn generic(part: &FlashPart, bits: u8, size: u32) -> Option<Range<u32>> {
        let bp = bits >> 2 & 7;
        let sec = bits & 1 << 6 != 0;
        if sec && !matches!(part.jedec >> 8, 0xEF_40 | 0x01_40) {
            // Bit 6 on a family for which nobody describes it.
            return Some(0..size);
        }
        if bp == 0 {
            // TB or SEC alone protect nothing.
            return None;
        }
        let unit = if sec { 0x1000 } else { 0x1_0000 };
        let len = if bp == 7 {
            size
        } else {
            (unit << (bp - 1)).min(size)
        };
        Some(if bits & 1 << 5 != 0 {
            0..len
        } else {
            size - len..size
        })
    }

    /// Whether any byte of `range` is protected.
    #[must_use]
    pub fn touches(&self, range: &Range<u32>) -> bool {
        self.range
            .as_ref()
            .is_some_and(|p| p.start < range.end && range.start < p.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(jedec: u32, status: u8) -> Option<Range<u32>> {
        Protection::decode(&FlashPart::detect(jedec).unwrap(), status).range
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
    fn quad_enable_of_macronix_protects_nothing() {
        assert_eq!(of(0xC2_2015, 0x40), None);
        assert_eq!(of(0xC2_2015, 0x04), Some(0..0x20_0000));
    }

    #[test]
    fn bits_protect_another_range_than_asked_for() {
        let part = FlashPart::detect(0xEF_4015).unwrap();
        for (range, bits) in [
            (0..0x20_0000, 0x18),
            (0x1F_0000..0x20_0000, 0x04),
            (0x1C_0000..0x20_0000, 0x0C),
            (0..0x1_0000, 0x24),
        ] {
            let found = part.protection_bits(&range).unwrap();
            assert_eq!(Protection::decode(&part, found).range, Some(range.clone()));
            assert_eq!(found, bits, "{range:x?}");
        }
        assert_eq!(part.protection_bits(&(0x1D_0000..0x20_0000)), None);
        assert_eq!(part.protection_bits(&(0x1_0000..0x2_0000)), None);
    }

    #[test]
    fn chips_nobody_described_are_protected() {
        for jedec in [0x20_7115, 0x20_2015, 0xC2_2015, 0xBF_2541, 0x01_0215] {
            let part = FlashPart::detect(jedec).unwrap();
            assert_ne!(part.protection_control(), ProtectionControl::Full);
            assert_eq!(part.protection_bits(&(0..part.geometry.size)), None);
        }
    }

    #[test]
    fn wip_wel_and_srp_protect_nothing() {
        assert_eq!(of(0x20_7115, 0x83), None);
    }
}
