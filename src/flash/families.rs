//! The table of flash chips: which families exist, in which sizes, how long their work takes.
//!
//! Rows of mstflint's table come first (mflash/mflash.c, `g_flash_info_arr`). The others are chips of
//! the usual command set that flashrom (flashchips/) or Linux (drivers/mtd/spi-nor/) know; they were
//! never seen on these boards.

use TimesSource::{Confirmed, Unconfirmed};
use schemars::JsonSchema;
use serde::Serialize;
use std::ops::RangeInclusive;

/// Where the times of a chip come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TimesSource {
    /// In public material about the chip.
    Confirmed,
    /// UNCONFIRMED: from memory of data sheets, or of a similar chip.
    Unconfirmed,
}

/// Vendors with rules of their own.
pub(super) const SST: u8 = 0xBF;
pub(super) const ATMEL: u8 = 0x1F;
const SPANSION: u8 = 0x01;

pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) vendor: u8,
    pub(super) kind: u8,
    /// Capacity codes (log2 of the size, or the vendor's own code) of the sizes that exist.
    sizes: RangeInclusive<u8>,
    /// Typical times in µs: 4K erase (0 = none), 64K erase (0 = none), page program.
    pub(super) times: (u32, u32, u32),
    pub(super) protect_mask: u8,
    pub(super) source: TimesSource,
    pub(super) seen: bool,
    pub(super) read_only: Option<&'static str>,
}

/// Sizes of mstflint's table, 1 to 16 MiB: smaller chips are not accepted, larger ones need 4-byte
/// addresses.
const LEGACY: RangeInclusive<u8> = 0x14..=0x18;

/// Protection bits: BP0-2 in 4:2 and TB in 5 are common; bit 6 is SEC on Winbond and Spansion S25FL1
/// and BP3 on N25Q; Macronix and ISSI have BP in 5:2 and QE in 6, which protects nothing. Families
/// whose bit 6 no source describes keep it in the mask: refusing costs less than a silent no-op.
///
/// Times that no public source has are those of a similar chip.
#[rustfmt::skip]
const FAMILIES: [Family; 40] = [
    // 64K: a chip erase takes 15 s (data sheet) for 32 sectors.
    family("M25PXxx",    0x20, 0x71, LEGACY,       (70_000, 500_000, 800),   0x7C, Unconfirmed),
    // M25P128 (18h) has sectors of 256 KiB: a row of its own below.
    family("M25Pxx",     0x20, 0x20, 0x14..=0x17,  (0, 600_000, 640),        0x7C, Confirmed),
    family("N25Q0XX",    0x20, 0xBA, LEGACY,       (250_000, 700_000, 500),  0x7C, Unconfirmed),
    // The type byte of the 16 Mbit 3 V chip is UNCONFIRMED: both are accepted.
    family("N25Q0XX",    0x20, 0xBB, LEGACY,       (250_000, 700_000, 500),  0x7C, Unconfirmed),
    family("SST25VFxx",  SST,  0x25, 0x41..=0x8E,  (0, 18_000, 7),           0x3C, Confirmed),
    family("W25QxxBV",   0xEF, 0x40, LEGACY,       (30_000, 150_000, 700),   0x7C, Confirmed),
    family("W25Xxx",     0xEF, 0x30, LEGACY,       (150_000, 0, 1_500),      0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x70, 0x18..=0x18,  (45_000, 150_000, 400),   0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x60, 0x16..=0x16,  (45_000, 150_000, 400),   0x7C, Unconfirmed),
    family("W25Qxxx",    0xEF, 0x80, 0x16..=0x16,  (45_000, 150_000, 400),   0x7C, Unconfirmed),
    // 008A, 016A, 032A/P, 064A/P; mstflint's table takes the code for log2 of the size and halves
    // them (flashrom flashchips/spansion.c).
    family("S25FLXXXP",  SPANSION, 0x02, 0x13..=0x16, (0, 500_000, 1_500),   0x7C, Unconfirmed),
    family("S25FL11xx",  SPANSION, 0x40, LEGACY,   (50_000, 500_000, 700),   0x7C, Unconfirmed),
    family("S25FLxxx",   SPANSION, 0x60, 0x18..=0x18, (50_000, 500_000, 700), 0x7C, Unconfirmed),
    family("MX25L16xxx", 0xC2, 0x20, LEGACY,       (40_000, 400_000, 1_000), 0x3C, Unconfirmed),
    family("MX25Uxxx",   0xC2, 0x28, 0x16..=0x16,  (40_000, 400_000, 1_000), 0x3C, Unconfirmed),
    family("IS25LPxxx",  0x9D, 0x60, LEGACY,       (45_000, 200_000, 400),   0x3C, Unconfirmed),
    family("IS25LPxxx",  0x9D, 0x70, 0x16..=0x16,  (45_000, 200_000, 400),   0x3C, Unconfirmed),
    family("GD25LBxxx",  0xC8, 0x40, 0x18..=0x18,  (45_000, 200_000, 400),   0x7C, Unconfirmed),
    family("AT25DFxxx",  ATMEL, 0x40, LEGACY,      (50_000, 0, 1_000),       0x3C, Unconfirmed),

    family("W25QxxJV-M", 0xEF, 0x70, 0x15..=0x17,  (45_000, 150_000, 400),   0x7C, Unconfirmed).unseen(),
    family("GD25Qxx",    0xC8, 0x40, 0x14..=0x17,  (45_000, 200_000, 700),   0x7C, Unconfirmed).unseen(),
    family("EN25Qxx",    0x1C, 0x30, 0x14..=0x18,  (90_000, 500_000, 1_500), 0x7C, Unconfirmed).unseen(),
    family("EN25Fxx",    0x1C, 0x31, 0x14..=0x17,  (90_000, 500_000, 1_500), 0x7C, Unconfirmed).unseen(),
    family("EN25QHxx",   0x1C, 0x70, 0x15..=0x18,  (50_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("MX25L163x",  0xC2, 0x24, 0x15..=0x15,  (60_000, 700_000, 1_400), 0x3C, Unconfirmed).unseen(),
    family("MX25L163xE", 0xC2, 0x25, 0x15..=0x15,  (60_000, 700_000, 1_400), 0x3C, Unconfirmed).unseen(),
    family("MX25V16xx",  0xC2, 0x23, 0x15..=0x15,  (60_000, 700_000, 1_400), 0x3C, Unconfirmed).unseen(),
    // M45PE80 and M45PE16 share the ids of the first two, and have no 4K erase.
    family("XM25QHxx",   0x20, 0x40, 0x14..=0x18,  (0, 300_000, 700),        0x7C, Unconfirmed).unseen(),
    family("XM25QHxxA",  0x20, 0x70, 0x17..=0x18,  (50_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("M25PExx",    0x20, 0x80, 0x14..=0x15,  (70_000, 1_000_000, 800), 0x7C, Unconfirmed).unseen(),
    family("BY25Qxx",    0x68, 0x40, 0x14..=0x15,  (60_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("BY25Qxx",    0x68, 0x40, 0x17..=0x18,  (60_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("FM25Qxx",    0xA1, 0x40, 0x14..=0x18,  (60_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("ZB25VQ16",   0x0E, 0x40, 0x15..=0x15,  (60_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    // The two smaller ones: Rockchip's U-Boot (drivers/rkflash/sfc_nor.c).
    family("XT25Fxx",    0x0B, 0x40, 0x15..=0x18,  (60_000, 300_000, 700),   0x7C, Unconfirmed).unseen(),
    family("A25Lxx",     0x37, 0x30, 0x14..=0x16,  (80_000, 500_000, 1_500), 0x7C, Unconfirmed).unseen(),
    family("A25LQxx",    0x37, 0x40, 0x15..=0x17,  (80_000, 500_000, 1_500), 0x7C, Unconfirmed).unseen(),
    family("P25Q32",     0x85, 0x60, 0x16..=0x16,  (20_000, 20_000, 2_000),  0x7C, Unconfirmed).unseen(),

    // S25FL127S, 128P, 128S and 129P answer 01 20 18, and exist with sectors of 64 KiB and of
    // 256 KiB. Only the fifth byte of RDID shows which, and no known tool reads more than four on this
    // silicon (flashrom flashchips/spansion.c, Linux drivers/mtd/spi-nor/spansion.c).
    family("S25FL12x",   SPANSION, 0x20, 0x18..=0x18, (0, 0, 1_500),         0x7C, Unconfirmed)
        .unseen().read_only("its sectors have 64 or 256 KiB, and its id does not show which"),
    // flashrom flashchips/micron_numonyx_st.c.
    family("M25P128",    0x20, 0x20, 0x18..=0x18,  (0, 0, 640),              0x7C, Unconfirmed)
        .unseen().read_only("its sectors have 256 KiB, an erase size that is not supported"),
];

/// Families whose second status register a status write of one byte would clear: Winbond EF/40,
/// Spansion 01/40 and 01/60 in mstflint (mflash/mflash.c, `mf_read_modify_status_winbond`), and the
/// other Winbond quad chips like them. Macronix is not among them: its second register holds a
/// one-time bit, and what answers the read of it on chips without that register is UNCONFIRMED.
pub(super) const TWO_STATUS_BYTES: [(u8, u8); 6] =
    [(0xEF, 0x40), (0xEF, 0x60), (0xEF, 0x70), (0xEF, 0x80), (SPANSION, 0x40), (SPANSION, 0x60)];

/// Others with CMP in bit 6 of a second status register that 35h reads (flashrom
/// flashchips/gigadevice.c).
pub(super) const CMP_IN_STATUS2: [(u8, u8); 1] = [(0xC8, 0x40)];

const fn family(
    name: &'static str,
    vendor: u8,
    kind: u8,
    sizes: RangeInclusive<u8>,
    times: (u32, u32, u32),
    protect_mask: u8,
    source: TimesSource,
) -> Family {
    Family { name, vendor, kind, sizes, times, protect_mask, source, seen: true, read_only: None }
}

impl Family {
    const fn unseen(mut self) -> Self {
        self.seen = false;
        self
    }

    const fn read_only(mut self, why: &'static str) -> Self {
        self.read_only = Some(why);
        self
    }

    /// log2 of the size from the capacity code (mstflint mflash/mflash.c,
    /// `get_log2size_by_vendor_type_density`).
    fn size_log2(&self, code: u8) -> Option<u8> {
        match (self.vendor, self.kind, code) {
            (SST, _, 0x8E) => Some(0x14),
            (SST, _, 0x41) => Some(0x15),
            (SST, _, 0x4A) => Some(0x16),
            (SST, ..) => None,
            (SPANSION, 0x02, code) => Some(code + 1),
            (.., code) => Some(code),
        }
    }
}

/// The family of an RDID answer, and log2 of the chip's size.
pub(super) fn find(vendor: u8, kind: u8, capacity: u8) -> Option<(&'static Family, u8)> {
    // Atmel keeps its type in bits 7:5 of the second byte and the size below (mstflint mflash/mflash.c,
    // `get_flash_info_for_atmel`).
    let (kind, capacity) = match vendor {
        ATMEL => (kind & 0xE0, (kind & 0x1F) + 0x0F),
        _ => (kind, capacity),
    };
    let family = FAMILIES
        .iter()
        .find(|f| f.vendor == vendor && f.kind == kind && f.sizes.contains(&capacity))?;
    Some((family, family.size_log2(capacity)?))
}
