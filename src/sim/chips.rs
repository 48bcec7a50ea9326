//! The chips of the simulator: a second reading of the data, independent of `flash`.
//!
//! Times are typical ones of docs/hardware.md#chip-timings. The 64K erase of the M25PX16 is the
//! exception: docs/hardware.md#chip-timings gives 1 s (UNCONFIRMED, from memory), with which the
//! measured burn of mstflint 4.21 (10.3 s of card time, docs/lab.md#mstflint-on-the-emulated-card)
//! is impossible:
//!
//! ```text
//! card time by the model = 760,030 reads x 1 us + 639,155 writes x 0.15 us       = 0.856 s
//!   + SPI: 149,219 commands. With 5 BAR writes and 9 BAR reads a read command in a query (rows
//!     "query" and "verify" give exactly that), 7/3 writes a program/read chunk and 2 a WREN or
//!     RDSR, the rows split into 50,182 program chunks, 50,182 read-backs, 13,208 query reads,
//!     3,347 WREN and 32,300 RDSR = 2,249,000 bytes x 0.32 us                     = 0.720 s
//!   + 13 erases x E + 3,334 programs x P                                         = 10.3 s
//! so 13 E + 3,334 P = 8.72 s; P = 0.8 ms (docs/hardware.md#chip-timings) leaves E = 0.466 s, not 1 s (that gives 17.2 s).
//! ```
//!
//! docs/hardware.md#chip-timings's only confirmed figure of this chip is the chip erase, 15 s typical: 15 s / 32 sectors =
//! 468.75 ms, which gives 10.34 s. That is what is used here.

use super::status::StatusLayout;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A flash chip model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SimChip {
    M25px16,
    W25q16,
    W25q80,
    W25q32,
    Mx25l1606,
    Sst25vf016b,
    N25q032,
    M25p16,
    S25fl032p,
    Gd25q16,
    En25q16,
    W25q16jvim,
}

const MS: u64 = 1_000_000;
const US: u64 = 1_000;

/// Everything the NOR model needs to know of a chip.
#[derive(Debug)]
pub(super) struct ChipData {
    /// As on the command line and in card files.
    name: &'static str,
    /// RDID bytes.
    pub(super) jedec: [u8; 3],
    /// RDID bytes behind those.
    pub(super) extended: &'static [u8],
    /// Bytes.
    pub(super) size: u32,
    /// (opcode, sector bytes, typical ns).
    pub(super) erases: &'static [(u8, u32, u64)],
    /// Typical ns of a chip erase (C7h, 60h).
    pub(super) chip_erase: u64,
    /// Typical ns of a page program (byte program on SST), whatever its length.
    pub(super) program: u64,
    /// Typical ns of a status write.
    pub(super) write_status: u64,
    /// Programs one byte at a time.
    pub(super) byte_program: bool,
    /// Electronic signature answered to ABh.
    pub(super) signature: Option<u8>,
    /// Status registers.
    pub(super) status: StatusLayout,
    /// A status write of one byte leaves the second register alone.
    pub(super) keeps_second: bool,
}

const M25PX16: ChipData = ChipData {
    name: "m25px16",
    jedec: [0x20, 0x71, 0x15],
    extended: &[],
    size: 0x20_0000,
    erases: &[(0x20, 0x1000, 70 * MS), (0xD8, 0x1_0000, 15_000 * MS / 32)],
    chip_erase: 15_000 * MS,
    program: 800 * US,
    write_status: 1_300 * US,
    byte_program: false,
    signature: None,
    status: StatusLayout::M25px,
    keeps_second: false,
};

const W25Q16: ChipData = ChipData {
    name: "w25q16",
    jedec: [0xEF, 0x40, 0x15],
    erases: &[(0x20, 0x1000, 30 * MS), (0x52, 0x8000, 120 * MS), (0xD8, 0x1_0000, 150 * MS)],
    chip_erase: 3_000 * MS,
    program: 700 * US,
    write_status: 10 * MS,
    signature: Some(0x14),
    status: StatusLayout::Winbond,
    ..M25PX16
};

impl SimChip {
    /// Every chip, in the order of the declaration.
    pub const ALL: [Self; 12] = [
        Self::M25px16,
        Self::W25q16,
        Self::W25q80,
        Self::W25q32,
        Self::Mx25l1606,
        Self::Sst25vf016b,
        Self::N25q032,
        Self::M25p16,
        Self::S25fl032p,
        Self::Gd25q16,
        Self::En25q16,
        Self::W25q16jvim,
    ];

    pub(super) fn data(self) -> &'static ChipData {
        match self {
            Self::M25px16 => &M25PX16,
            Self::M25p16 => &ChipData {
                name: "m25p16",
                jedec: [0x20, 0x20, 0x15],
                erases: &[(0xD8, 0x1_0000, 600 * MS)],
                chip_erase: 13_000 * MS,
                program: 640 * US,
                signature: Some(0x14),
                status: StatusLayout::M25p,
                ..M25PX16
            },
            Self::N25q032 => &ChipData {
                name: "n25q032",
                jedec: [0x20, 0xBA, 0x16],
                size: 0x40_0000,
                erases: &[(0x20, 0x1000, 250 * MS), (0xD8, 0x1_0000, 700 * MS)],
                chip_erase: 30_000 * MS,
                program: 500 * US,
                status: StatusLayout::Micron,
                ..M25PX16
            },
            Self::W25q16 => &W25Q16,
            // Times of the W25Q80 and W25Q32: those of the W25Q16BV, UNCONFIRMED.
            Self::W25q80 => &ChipData {
                name: "w25q80",
                jedec: [0xEF, 0x40, 0x14],
                size: 0x10_0000,
                chip_erase: 2_000 * MS,
                signature: Some(0x13),
                ..W25Q16
            },
            Self::W25q32 => &ChipData {
                name: "w25q32",
                jedec: [0xEF, 0x40, 0x16],
                size: 0x40_0000,
                chip_erase: 7_000 * MS,
                signature: Some(0x15),
                ..W25Q16
            },
            Self::Mx25l1606 => &ChipData {
                name: "mx25l1606",
                jedec: [0xC2, 0x20, 0x15],
                erases: &[
                    (0x20, 0x1000, 40 * MS),
                    (0x52, 0x1_0000, 400 * MS), // a second 64K opcode on this family, UNCONFIRMED
                    (0xD8, 0x1_0000, 400 * MS),
                ],
                chip_erase: 6_000 * MS,
                program: 600 * US,
                write_status: 5 * MS,
                status: StatusLayout::Macronix,
                ..W25Q16
            },
            Self::Sst25vf016b => &ChipData {
                name: "sst25vf016b",
                jedec: [0xBF, 0x25, 0x41],
                erases: &[
                    (0x20, 0x1000, 18 * MS),
                    (0x52, 0x8000, 18 * MS),
                    (0xD8, 0x1_0000, 18 * MS),
                ],
                chip_erase: 35 * MS,
                program: 7 * US,
                write_status: 0,
                byte_program: true,
                signature: None,
                status: StatusLayout::Sst,
                ..W25Q16
            },
            // Ids, sizes and erase opcodes of the next three: flashrom's flashchips.c and
            // flashchips.h; of the S25FL032P also Linux, drivers/mtd/spi-nor/spansion.c (01 02 15 4D
            // 00, 64 sectors of 64 KiB). Their times are typical ones of the data sheets from
            // memory, UNCONFIRMED.
            Self::S25fl032p => &ChipData {
                name: "s25fl032p",
                jedec: [0x01, 0x02, 0x15],
                extended: &[0x4D, 0x00],
                size: 0x40_0000,
                // The A chip's answers and those of the P chip, but for its 4K sectors.
                erases: &[(0xD8, 0x1_0000, 500 * MS)],
                chip_erase: 32_000 * MS,
                program: 1_500 * US,
                write_status: 50 * MS,
                signature: Some(0x15),
                // BP 4:2 in 64ths of the chip, and E_ERR, P_ERR where others have TB.
                status: StatusLayout::M25p,
                ..M25PX16
            },
            Self::Gd25q16 => &ChipData {
                name: "gd25q16",
                jedec: [0xC8, 0x40, 0x15],
                erases: &[
                    (0x20, 0x1000, 60 * MS),
                    (0x52, 0x8000, 200 * MS),
                    (0xD8, 0x1_0000, 300 * MS),
                ],
                chip_erase: 10_000 * MS,
                ..W25Q16
            },
            Self::En25q16 => &ChipData {
                name: "en25q16",
                jedec: [0x1C, 0x30, 0x15],
                erases: &[(0x20, 0x1000, 90 * MS), (0xD8, 0x1_0000, 400 * MS)],
                chip_erase: 10_000 * MS,
                program: 1_300 * US,
                status: StatusLayout::Eon,
                ..W25Q16
            },
            // Id as in flashrom. The data sheet of the JV series: 01h with one byte changes status
            // register 1 only, where earlier generations clear CMP and QE.
            Self::W25q16jvim => &ChipData {
                name: "w25q16jvim",
                jedec: [0xEF, 0x70, 0x15],
                keeps_second: true,
                ..W25Q16
            },
        }
    }

    /// Capacity in bytes.
    pub fn size(self) -> u32 {
        self.data().size
    }

    /// The three RDID bytes: vendor, type, capacity.
    pub fn jedec(self) -> [u8; 3] {
        self.data().jedec
    }

    /// Name as on the command line and in card files.
    pub fn name(self) -> &'static str {
        self.data().name
    }
}

impl fmt::Display for SimChip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for SimChip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|chip| chip.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|p| p.name()).collect();
            format!("{text:?} is no known chip; known are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capacity_code_is_the_size_of_the_chip() {
        for chip in SimChip::ALL {
            let [vendor, _, code] = chip.jedec();
            // SST codes its sizes its own way (flashrom flashchips.h), and Spansion's S25FL counts
            // one less than the others (flashrom, flashchips.c: 01 02 15 is 4 MiB).
            let log2 = match vendor {
                0xBF => 0x15,
                0x01 => code + 1,
                _ => code,
            };
            assert_eq!(chip.size(), 1 << log2, "{chip}");
            assert_eq!(chip.name().parse(), Ok(chip));
            assert!(
                chip.data().erases.iter().any(|e| (e.0, e.1) == (0xD8, 0x1_0000)),
                "{chip} has no D8h"
            );
        }
    }

    #[test]
    fn the_burn_of_mstflint_takes_its_measured_card_time() {
        let spi_bytes =
            50_182 * 16 + 3_334 * 4 + 50_182 * 20 + 13_208 * 20 + 3_347 + 13 * 4 + 32_300 * 5;
        let erase = SimChip::M25px16.data().erases[1].2;
        let ns = 760_030 * 1000
            + 639_155 * 150
            + spi_bytes * 320
            + 13 * erase
            + 3_334 * SimChip::M25px16.data().program;
        assert_eq!((ns + 50 * MS) / (100 * MS), 103, "10.3 s, is {ns} ns");
    }
}
