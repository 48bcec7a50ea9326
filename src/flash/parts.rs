//! Flash chips that may sit on these cards (flash-hardware §5.1, §5.4).

use super::Geometry;
use serde::Serialize;

/// Where the figures of a part come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartSource {
    /// In public secondary material (mark C in §5.4).
    Confirmed,
    /// UNCONFIRMED.
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
    /// How sure the times are.
    pub times: PartSource,
}
