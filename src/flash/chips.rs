//! What is known of the flash chip with a JEDEC id. The families are in [`super::families`].

use super::families::{self, TimesSource};
use super::{FlashError, Geometry};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct FlashChip {
    /// Family name as mstflint prints it (`W25QxxBV`, `M25PXxx` …).
    pub name: &'static str,
    /// RDID bytes: vendor << 16 | type << 8 | capacity.
    pub jedec: u32,
    /// Size and erase sizes.
    pub geometry: Geometry,
    /// Programs one byte at a time (SST25).
    pub byte_program: bool,
    /// Bits of status register 1 that protect blocks on this family.
    pub protect_mask: u8,
    /// Powers up protected; a write session clears that (SST25 and Atmel only), with this value of
    /// status register 1 (mstflint mflash/mflash.c, `st_spi_fill_attr`).
    pub unprotect_with: Option<u8>,
    /// A status write of one byte would clear status register 2: both are written (mstflint
    /// mflash/mflash.c, `mf_read_modify_status_winbond`).
    pub two_status_bytes: bool,
    /// How sure the times are.
    pub times: TimesSource,
    /// mstflint, the tool of these cards, has the family in its table. Others are known from
    /// flashrom or Linux only and were never seen on these boards.
    pub seen: bool,
    /// Why the chip is read and never written.
    pub read_only: Option<&'static str>,
}

impl FlashChip {
    /// The chip with this JEDEC id.
    ///
    /// # Errors
    /// [`FlashError::NoChip`], [`FlashError::UnknownChip`].
    pub fn detect(jedec: u32) -> Result<Self, FlashError> {
        if jedec == 0 || jedec == 0xFF_FFFF {
            return Err(FlashError::NoChip(jedec));
        }
        let [_, vendor, kind, capacity] = jedec.to_be_bytes();
        let (family, log2) =
            families::find(vendor, kind, capacity).ok_or(FlashError::UnknownChip(jedec))?;
        let time = |us: u32| (us != 0).then(|| Duration::from_micros(us.into()));
        let (k4, k64, program) = family.times;
        let byte_program = family.vendor == families::SST;
        // A page is 256 byte programs there.
        let programs = if byte_program { 256 } else { 1 };
        Ok(Self {
            name: family.name,
            jedec,
            geometry: Geometry {
                size: 1 << log2,
                erase_4k: time(k4),
                erase_64k: time(k64),
                program_page: Duration::from_micros(program.into()) * programs,
            },
            byte_program,
            protect_mask: family.protect_mask,
            unprotect_with: match family.vendor {
                families::SST => Some(0x80),
                families::ATMEL => Some(0x00),
                _ => None,
            },
            two_status_bytes: families::TWO_STATUS_BYTES.contains(&(family.vendor, family.kind)),
            times: family.source,
            seen: family.seen,
            read_only: family.read_only,
        })
    }

    /// It has a second status register that 35h reads, with CMP in bit 6.
    pub(super) fn has_status2(&self) -> bool {
        let [_, vendor, kind, _] = self.jedec.to_be_bytes();
        self.two_status_bytes || families::CMP_IN_STATUS2.contains(&(vendor, kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(jedec: u32) -> u32 {
        FlashChip::detect(jedec).unwrap().geometry.size
    }

    #[test]
    fn chips_of_known_boards_have_their_sizes() {
        let two_mib = [
            0x20_7115, 0x20_2015, 0x20_BA15, 0xEF_3015, 0xEF_4015, 0xC2_2015, 0xBF_2541, 0x1F_4602,
            0x01_4015,
        ];
        for jedec in two_mib {
            assert_eq!(size_of(jedec), 2 << 20, "{jedec:06x}");
        }
        assert_eq!(size_of(0xEF_4016), 4 << 20);
        assert_eq!(size_of(0xEF_4014), 1 << 20);
    }

    #[test]
    fn s25fl_of_2_4_and_8_mib_have_these_sizes() {
        for (jedec, mib) in [(0x01_0214, 2), (0x01_0215, 4), (0x01_0216, 8)] {
            assert_eq!(size_of(jedec), mib << 20, "{jedec:06x}");
        }
    }

    #[test]
    fn chips_whose_sectors_are_not_known_are_read_only() {
        for jedec in [0x01_2018, 0x20_2018] {
            let chip = FlashChip::detect(jedec).unwrap();
            assert_eq!(chip.geometry.size, 16 << 20, "{jedec:06x}");
            assert!(chip.read_only.is_some(), "{jedec:06x}");
            let erases = (chip.geometry.erase_4k, chip.geometry.erase_64k);
            assert_eq!(erases, (None, None), "{jedec:06x}");
        }
        assert_eq!(FlashChip::detect(0x20_7115).unwrap().read_only, None);
    }

    #[test]
    fn chips_of_the_usual_command_set_are_known_and_marked_as_never_seen() {
        let two_mib = [
            0xC8_4015, 0x1C_3015, 0x1C_7015, 0xC2_2415, 0xC2_2515, 0xEF_7015, 0x20_4015, 0x68_4015,
            0xA1_4015, 0x0E_4015, 0x37_3015,
        ];
        for jedec in two_mib {
            let chip = FlashChip::detect(jedec).unwrap();
            assert_eq!(chip.geometry.size, 2 << 20, "{jedec:06x}");
            assert!(chip.geometry.erase_64k.is_some(), "{jedec:06x}");
            assert!(!chip.seen && chip.read_only.is_none(), "{jedec:06x}");
        }
        for jedec in [0x20_7115, 0xEF_4015, 0xEF_7018, 0xC8_4018] {
            assert!(FlashChip::detect(jedec).unwrap().seen, "{jedec:06x}");
        }
    }

    #[test]
    fn no_chip_and_unknown_chips_are_different_errors() {
        assert!(matches!(FlashChip::detect(0), Err(FlashError::NoChip(0))));
        assert!(matches!(FlashChip::detect(0xFF_FFFF), Err(FlashError::NoChip(_))));
        for jedec in [
            0xEF_4013, 0xEF_4019, 0x12_3456, 0xBF_2500, 0xBF_258D, 0x1F_4102,
            // Sizes that exist with 4-byte addresses only, or not at all.
            0xEF_7019, 0xEF_7014, 0xEF_6019, 0xC2_2019, 0x9D_7019, 0x20_BA20, 0xC8_4019, 0x01_0219,
            // Sectors of several sizes (EN25B).
            0x1C_2015,
        ] {
            assert!(
                matches!(FlashChip::detect(jedec), Err(FlashError::UnknownChip(_))),
                "{jedec:06x}"
            );
        }
    }

    #[test]
    fn erase_sizes_are_those_mstflint_uses() {
        let sizes = |jedec| {
            let g = FlashChip::detect(jedec).unwrap().geometry;
            (g.erase_4k.is_some(), g.erase_64k.is_some())
        };
        assert_eq!(sizes(0x20_7115), (true, true));
        assert_eq!(sizes(0x20_2015), (false, true));
        assert_eq!(sizes(0xEF_3015), (true, false));
        assert_eq!(sizes(0xBF_2541), (false, true));
    }
}
