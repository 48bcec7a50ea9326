//! Flash chips that may sit on these cards (flash-hardware §5.1, §5.4).

use super::{FlashError, Geometry};
use serde::Serialize;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Where the times of a part come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartSource {
    /// In public secondary material (mark C in §5.4).
    Confirmed,
    /// UNCONFIRMED: from memory of data sheets, or of a sister part.
    Unconfirmed,
}

/// One detected chip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlashPart {
    /// Family name as flint prints it (`W25QxxBV`, `M25PXxx` …).
    pub name: &'static str,
    /// RDID bytes: vendor << 16 | type << 8 | capacity.
    pub jedec: u32,
    /// Size and erase sizes.
    pub geometry: Geometry,
    /// Programs one byte at a time (SST25).
    pub byte_program: bool,
    /// Bits of status register 1 that protect blocks on this family (§5.3).
    pub protect_mask: u8,
    /// Powers up protected; a write session clears that (§4.5 step 5: SST25 and Atmel only), with
    /// this value of status register 1.
    pub unprotect_with: Option<u8>,
    /// A status write of one byte would clear status register 2: both are written (§5.3).
    pub two_status_bytes: bool,
    /// How sure the times are.
    pub times: PartSource,
}

/// A row of the table: one family.
struct Family {
    name: &'static str,
    vendor: u8,
    kind: u8,
    /// Capacity codes (log2 of the size, or the vendor's own code) of the sizes that exist.
    sizes: RangeInclusive<u8>,
    /// Typical times in µs: 4K erase (0 = none), 64K erase (0 = none), page program.
    times: (u32, u32, u32),
    protect_mask: u8,
    source: PartSource,
}

use PartSource::{Confirmed, Unconfirmed};

/// "Legacy" sizes of §5.1, 1 to 16 MiB: smaller chips are not accepted, larger ones need 4-byte
/// addresses.
const LEGACY: RangeInclusive<u8> = 0x14..=0x18;
/// 128 Mbit and 32 Mbit alone.
const MBIT_128: RangeInclusive<u8> = 0x18..=0x18;
const MBIT_32: RangeInclusive<u8> = 0x16..=0x16;

/// Rows of §5.1 with 3-byte addresses, times of §5.4, protection bits of §5.3: BP0-2 in 4:2 and TB
/// in 5 are common; bit 6 is SEC on Winbond and Spansion S25FL1 and BP3 on N25Q; Macronix and ISSI
/// have BP in 5:2 and QE in 6, which protects nothing. Families whose bit 6 no source describes
/// keep it in the mask: refusing is cheaper than a silent no-op. Times of rows that §5.4 does not
/// list are those of a sister.
#[rustfmt::skip]
const FAMILIES: [Family; 18] = [
    // 64K: the chip erase of 15 s (C) through 32 sectors is 0.47 s, and so says the rival's 10.3 s
    // in the design; §5.4 has 1 s (U). The session learns the real time.
    family("M25PXxx",    0x20, 0x71, LEGACY,   (70_000, 500_000, 800),  0x7C, Unconfirmed),
    family("M25Pxx",     0x20, 0x20, LEGACY,   (0, 600_000, 640),       0x7C, Confirmed),
    family("N25Q0XX",    0x20, 0xBA, LEGACY,   (250_000, 700_000, 500), 0x7C, Unconfirmed),
    // The type byte of the 16 Mbit 3 V part is UNCONFIRMED (§5.1): both are accepted.
    family("N25Q0XX",    0x20, 0xBB, LEGACY,   (250_000, 700_000, 500), 0x7C, Unconfirmed),
    family("SST25VFxx",  0xBF, 0x25, 0x41..=0x8E, (0, 18_000, 7),       0x3C, Confirmed),
    family("W25QxxBV",   0xEF, 0x40, LEGACY,   (30_000, 150_000, 700),  0x7C, Confirmed),
    family("W25Xxx",     0xEF, 0x30, LEGACY,   (150_000, 0, 1_500),     0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x70, MBIT_128, (45_000, 150_000, 400),  0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x60, MBIT_32,  (45_000, 150_000, 400),  0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x80, MBIT_32,  (45_000, 150_000, 400),  0x7C, Unconfirmed),
    family("S25FLXXXP",  0x01, 0x02, LEGACY,   (0, 500_000, 1_500),     0x7C, Unconfirmed),
    family("S25FL11xx",  0x01, 0x40, LEGACY,   (50_000, 500_000, 700),  0x7C, Unconfirmed),
    family("S25FLxxx",   0x01, 0x60, MBIT_128, (50_000, 500_000, 700),  0x7C, Unconfirmed),
    family("MX25L16xxx", 0xC2, 0x20, LEGACY,   (40_000, 400_000, 1_000), 0x3C, Unconfirmed),
    family("MX25Uxxx",   0xC2, 0x28, MBIT_32,  (40_000, 400_000, 1_000), 0x3C, Unconfirmed),
    family("IS25LPxxx",  0x9D, 0x60, LEGACY,   (45_000, 200_000, 400),  0x3C, Unconfirmed),
    family("IS25LPxxx",  0x9D, 0x70, MBIT_32,  (45_000, 200_000, 400),  0x3C, Unconfirmed),
    family("GD25LBxxx",  0xC8, 0x40, MBIT_128, (45_000, 200_000, 400),  0x7C, Unconfirmed),
];

const fn family(
    name: &'static str,
    vendor: u8,
    kind: u8,
    sizes: RangeInclusive<u8>,
    times: (u32, u32, u32),
    protect_mask: u8,
    source: PartSource,
) -> Family {
    Family {
        name,
        vendor,
        kind,
        sizes,
        times,
        protect_mask,
        source,
    }
}

/// Atmel keeps its type in bits 7:5 of the second byte and the size below (§4.6).
const ATMEL: Family = family(
    "AT25DFxxx",
    0x1F,
    0x40,
    LEGACY,
    (50_000, 0, 1_000),
    0x3C,
    Unconfirmed,
);

/// Families whose second status register a status write of one byte would clear (§5.3: Winbond
/// EF/40, Spansion 01/40 and 01/60; the other Winbond quad parts are their sisters). Macronix is
/// not among them: its second register holds a one-time bit, and what answers the read of it on
/// parts without that register is UNCONFIRMED.
const TWO_STATUS_BYTES: [(u8, u8); 6] = [
    (0xEF, 0x40),
    (0xEF, 0x60),
    (0xEF, 0x70),
    (0xEF, 0x80),
    (0x01, 0x40),
    (0x01, 0x60),
];

/// log2 of the size from the capacity code of one of [`FAMILIES`] (§4.6).
fn size_log2(vendor: u8, code: u8) -> Option<u8> {
    match (vendor, code) {
        (0xBF, 0x8E) => Some(0x14),
        (0xBF, 0x41) => Some(0x15),
        (0xBF, 0x4A) => Some(0x16),
        (0xBF, _) => None,
        (_, code) => Some(code),
    }
}

impl FlashPart {
    /// The chip with this JEDEC id.
    ///
    /// # Errors
    /// [`FlashError::NoChip`], [`FlashError::UnknownChip`].
    pub fn detect(jedec: u32) -> Result<Self, FlashError> {
        let [_, vendor, kind, capacity] = jedec.to_be_bytes();
        if jedec == 0 || jedec == 0xFF_FFFF {
            return Err(FlashError::NoChip(jedec));
        }
        let unknown = || FlashError::UnknownChip(jedec);
        let (family, log2) = if vendor == ATMEL.vendor && kind & 0xE0 == ATMEL.kind {
            let log2 = match kind & 0x1F {
                code @ 4..=7 => code + 0x0F,
                _ => return Err(unknown()),
            };
            (&ATMEL, log2)
        } else {
            let family = FAMILIES
                .iter()
                .find(|f| f.vendor == vendor && f.kind == kind && f.sizes.contains(&capacity))
                .ok_or_else(unknown)?;
            (family, size_log2(vendor, capacity).ok_or_else(unknown)?)
        };
        if !LEGACY.contains(&log2) {
            return Err(unknown());
        }
        let time = |us: u32| (us != 0).then(|| Duration::from_micros(us.into()));
        let (k4, k64, page) = family.times;
        Ok(Self {
            name: family.name,
            jedec,
            geometry: Geometry {
                size: 1 << log2,
                erase_4k: time(k4),
                erase_64k: time(k64),
                program_page: Duration::from_micros(if vendor == 0xBF {
                    // A page is 256 byte programs.
                    u64::from(page) * 256
                } else {
                    page.into()
                }),
            },
            byte_program: vendor == 0xBF,
            protect_mask: family.protect_mask,
            unprotect_with: match vendor {
                0xBF => Some(0x80),
                0x1F => Some(0x00),
                _ => None,
            },
            two_status_bytes: TWO_STATUS_BYTES.contains(&(vendor, kind)),
            times: family.source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(jedec: u32) -> u32 {
        FlashPart::detect(jedec).unwrap().geometry.size
    }

    #[test]
    fn plausible_parts_of_the_reference() {
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
    fn no_chip_and_unknown_chips_are_told_apart() {
        assert!(matches!(FlashPart::detect(0), Err(FlashError::NoChip(0))));
        assert!(matches!(
            FlashPart::detect(0xFF_FFFF),
            Err(FlashError::NoChip(_))
        ));
        for jedec in [
            0xEF_4013, 0xEF_4019, 0x12_3456, 0xBF_2500, 0xBF_258D, 0x1F_4102,
            // Sizes that exist with 4-byte addresses only, or not at all.
            0xEF_7019, 0xEF_7015, 0xEF_6019, 0xC2_2019, 0x9D_7019, 0x20_BA20, 0xC8_4019,
        ] {
            assert!(
                matches!(FlashPart::detect(jedec), Err(FlashError::UnknownChip(_))),
                "{jedec:06x}"
            );
        }
    }

    #[test]
    fn erase_sizes_are_those_flint_uses() {
        let sizes = |jedec| {
            let g = FlashPart::detect(jedec).unwrap().geometry;
            (g.erase_4k.is_some(), g.erase_64k.is_some())
        };
        assert_eq!(sizes(0x20_7115), (true, true));
        assert_eq!(sizes(0x20_2015), (false, true));
        assert_eq!(sizes(0xEF_3015), (true, false));
        assert_eq!(sizes(0xBF_2541), (false, true));
    }
}
