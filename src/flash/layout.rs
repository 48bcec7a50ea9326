//! Which sectors are kept, erased and written: the types. The plan is made in `sectors`.

use crate::image::FlashAddr;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::ops::Range;
use std::time::Duration;

/// Erase sizes of the gateway's opcodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EraseSize {
    /// 20h.
    K4,
    /// D8h.
    K64,
}

impl EraseSize {
    pub fn bytes(self) -> u32 {
        match self {
            Self::K4 => 0x1000,
            Self::K64 => 0x1_0000,
        }
    }
}

/// What the planner needs to know of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Geometry {
    /// In bytes.
    pub size: u32,
    /// Typical time of a 4K erase, `None` when the chip has none.
    #[serde(rename = "erase_4k_us", serialize_with = "micros_option")]
    #[schemars(with = "Option<u64>")]
    pub erase_4k: Option<Duration>,
    /// Typical time of a 64K erase, `None` when the chip has none.
    #[serde(rename = "erase_64k_us", serialize_with = "micros_option")]
    #[schemars(with = "Option<u64>")]
    pub erase_64k: Option<Duration>,
    /// Typical time to program one 256-byte page.
    #[serde(rename = "program_page_us", serialize_with = "micros")]
    #[schemars(with = "u64")]
    pub program_page: Duration,
}

fn micros<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(time.as_micros())
}

fn micros_option<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_micros()).serialize(serializer)
}

impl Geometry {
    /// Typical time of an erase, `None` when the chip has none of this size.
    /// Typical time of an erase; `None` = the chip has none of this size.
    pub fn erase_time(&self, size: EraseSize) -> Option<Duration> {
        match size {
            EraseSize::K4 => self.erase_4k,
            EraseSize::K64 => self.erase_64k,
        }
    }
}

/// What the flash shall hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Wanted bytes by flash address, sorted, not overlapping. The 16 bytes of the signature are
    /// not among them: their place stays erased until the commit.
    pub body: Vec<(FlashAddr, Vec<u8>)>,
    /// Where the signature will go (16 bytes), if this job ends with one.
    pub signature_at: Option<FlashAddr>,
    /// Ranges no erase may reach into and no program may touch (the other half, the NV
    /// configuration area).
    pub protected: Vec<Range<u32>>,
    /// Ranges outside of the body whose content is not needed (free space of the target half): an
    /// erase may take them along without putting them back.
    pub disposable: Vec<Range<u32>>,
    /// Non-failsafe: invalidate the old signature at `signature_at` (program its first word to 0)
    /// before anything else, and erase and write its sector last.
    pub in_place: bool,
}

/// What happens to one sector of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SectorAction {
    /// Outside of the job: not touched.
    Outside,
    /// Inside and already equal: not touched.
    Keep,
    /// Blank and to be written: programmed without erase.
    Write,
    /// Erased, nothing to program.
    Erase,
    /// Erased and written.
    EraseWrite,
    /// Outside, and guarded: the NV configuration area or the half in use.
    Protected,
}

/// The whole flash in 4 KiB cells (64 KiB when the chip has no 4K erase).
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct SectorMap {
    /// Bytes per cell.
    pub cell: u32,
    /// Action per cell.
    pub cells: Vec<SectorAction>,
}

/// The cheapest way from what is there to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectorPlan {
    /// Erases in the order they are done.
    pub erases: Vec<(FlashAddr, EraseSize)>,
    /// Programs in the order they are done: never across a 256-byte page, never all FF.
    /// Covers what erases of larger sectors took with them and must be put back.
    pub programs: Vec<(FlashAddr, Vec<u8>)>,
    /// Everything that must read back at the end, body and put-back bytes, equal or not.
    pub expect: Vec<(FlashAddr, Vec<u8>)>,
    /// Where the signature goes, copied from the job.
    pub signature_at: Option<FlashAddr>,
    /// Invalidate the signature at `signature_at` before the first erase: a boot ROM must never find it in
    /// front of a half-written image.
    pub invalidate_first: bool,
    /// A request to stop counts between sectors and pages: the job leaves another image bootable.
    pub interruptible: bool,
    /// For people.
    pub map: SectorMap,
    /// Typical time of all erases and programs.
    pub estimate: Duration,
}

/// Why no plan exists.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Erasing what must change would take protected bytes with it.
    #[error(
        "changing {at:#010x} needs an erase of {size:#x} bytes that reaches into protected {start:#010x}..{end:#010x}"
    )]
    HitsProtected {
        /// Where a change is needed.
        at: u32,
        /// Smallest erase the chip has.
        size: u32,
        start: u32,
        end: u32,
    },
    /// No erase of this chip is known.
    #[error("changing {at:#010x} needs an erase, and no erase of this chip is known")]
    NoErase {
        /// Where a change is needed.
        at: u32,
    },
    /// Wanted bytes differ from protected ones, or the signature goes there.
    #[error("changing {at:#010x} would write into protected {start:#010x}..{end:#010x}")]
    Guarded {
        /// First byte that would change.
        at: u32,
        start: u32,
        end: u32,
    },
    /// Wanted bytes lie outside of the chip.
    #[error("{end:#x} bytes do not fit the {size:#x} byte flash")]
    TooLarge {
        /// End of the wanted bytes.
        end: u64,
        size: u32,
    },
}

/// Whether two ranges share a byte.
pub(crate) fn overlap(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}
