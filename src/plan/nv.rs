//! The NV configuration area: what the firmware keeps outside of the image (docs/fs2.md#flash-map, docs/flint.md#size-check).

use super::slot::ranges;
use crate::image::{AddressMap, Half, Info, Layout};
use std::ops::Range;

/// Most that an area takes, in bytes.
const MAX_RESERVE: u64 = 0x1_0000;
/// Sector size where tag 19 does not say one, in bytes.
const DEFAULT_SECTOR: u32 = 0x1_0000;

/// Figures of tag 19.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct NvGeometry {
    /// Configuration sectors.
    pub sectors: u32,
    /// Sectors after the area.
    pub pad: u32,
    /// Bytes per sector.
    pub sector_size: u32,
}

impl NvGeometry {
    /// Covers the areas of both images: the larger of each figure.
    pub fn of(infos: &[Option<&Info>]) -> Self {
        let largest = |pick: fn(&Info) -> Option<u32>| {
            infos.iter().filter_map(|info| info.and_then(pick)).max()
        };
        Self {
            sectors: largest(|i| i.config_sectors).unwrap_or(0),
            pad: largest(|i| i.config_pad).unwrap_or(0),
            sector_size: largest(|i| i.sector_size).unwrap_or(DEFAULT_SECTOR),
        }
    }

    /// Bytes of one area.
    pub fn reserve(self) -> u32 {
        let bytes = u64::from(self.sectors) * u64::from(self.sector_size);
        u32::try_from(bytes.min(MAX_RESERVE)).unwrap_or(u32::MAX)
    }

    /// Bytes of the pad behind it; `None` = more than there are addresses.
    fn pad_bytes(self) -> Option<u32> {
        self.pad.checked_mul(self.sector_size)
    }

    /// Most bytes an image may have on a flash of `size` bytes; `None` when the area leaves none.
    pub fn max_image(self, layout: Layout, size: u32) -> Option<u32> {
        let pad = self.pad_bytes()?;
        match layout {
            Layout::Failsafe { .. } => (size / 2).checked_sub(self.reserve().checked_add(pad)?),
            Layout::NonFailsafe => {
                size.checked_sub(self.reserve().checked_mul(2)?.checked_add(pad)?)
            }
        }
    }

    /// Flash ranges from the end of what an image may take to the end of its half or of the
    /// flash: areas and pad. `None` as for [`NvGeometry::max_image`].
    pub fn guarded(self, layout: Layout, size: u32) -> Option<Vec<Range<u32>>> {
        let from = self.max_image(layout, size)?;
        Some(self.tail(layout, size, from, 0))
    }

    /// Flash ranges of the areas alone, as the firmware uses them: what a reset erases. The
    /// non-failsafe place is the end of the flash, not of its first half.
    pub fn areas(self, layout: Layout, size: u32) -> Option<Vec<Range<u32>>> {
        let from = self.max_image(layout, size)?;
        Some(self.tail(layout, size, from, self.pad_bytes()?))
    }

    fn tail(self, layout: Layout, size: u32, from: u32, pad: u32) -> Vec<Range<u32>> {
        let cut = |end: u32| end.saturating_sub(pad);
        let ranges: Vec<Range<u32>> = match layout {
            Layout::NonFailsafe => std::iter::once(from..cut(size)).collect(),
            Layout::Failsafe { chunk_log2 } => [Half::Even, Half::Odd]
                .into_iter()
                .flat_map(|half| {
                    let map = AddressMap::Striped { chunk_log2, half };
                    ranges(map, from, cut(size / 2).saturating_sub(from))
                })
                .collect(),
        };
        ranges.into_iter().filter(|r| r.start < r.end && r.end <= size).collect()
    }
}
