//! Addresses and the failsafe interleaving ("striping") of FS2 (docs/fs2.md#chunk-interleaving).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Byte offset inside one image, header at 0 (mstflint's "logical" address).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ImageOffset(pub u32);

/// Byte address in the flash chip or in a raw dump of it (mstflint's "physical" address).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FlashAddr(pub u32);

/// One of the two failsafe slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Even chunks, image start at 0 ("primary").
    Even,
    /// Odd chunks, image start at the chunk size ("secondary").
    Odd,
}

/// How the bytes of a failsafe image lie in the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A file: image offsets are file offsets even when the failsafe bit is set.
    Contiguous,
    /// A flash chip or a raw dump of one: interleaved when the failsafe bit is set.
    Striped,
}

/// Failsafe or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Layout {
    /// One image from address 0.
    NonFailsafe,
    /// Two interleaved halves.
    Failsafe {
        /// log2 of the chunk size in bytes.
        chunk_log2: u8,
    },
}

/// How image offsets become flash addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressMap {
    /// Offset 0 is address 0 and nothing is interleaved: a vendor `.bin`, a `ri` file, a
    /// non-failsafe card.
    Contiguous,
    /// Chunk `k` of the image lies in flash chunk `2k` (even) or `2k + 1` (odd).
    Striped {
        /// log2 of the chunk size in bytes, 16..=23.
        chunk_log2: u8,
        half: Half,
    },
}

impl Half {
    pub fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }
}

impl Layout {
    /// Where the image in `half` starts (docs/fs2.md#image-start); the half does not matter where
    /// the layout is not failsafe.
    pub fn start_of(self, half: Half) -> FlashAddr {
        match (self, half) {
            (Self::Failsafe { chunk_log2 }, Half::Odd) => {
                FlashAddr(1_u32.checked_shl(chunk_log2.into()).unwrap_or(0))
            }
            _ => FlashAddr(0),
        }
    }

    /// Whether an image of this layout may start at `start`.
    pub fn may_start(self, start: FlashAddr) -> bool {
        start == self.start_of(Half::Even) || start == self.start_of(Half::Odd)
    }

    /// The half of an image at `start`; `None` where the layout is not failsafe.
    pub fn half_at(self, start: FlashAddr) -> Option<Half> {
        let half = if start.0 == 0 { Half::Even } else { Half::Odd };
        (self != Self::NonFailsafe).then_some(half)
    }
}

impl AddressMap {
    /// The map for an image of this layout whose magic is at `start` of a flash chip or raw dump.
    pub fn on_flash(layout: Layout, start: FlashAddr) -> Self {
        match (layout, layout.half_at(start)) {
            (Layout::Failsafe { chunk_log2 }, Some(half)) => Self::Striped { chunk_log2, half },
            _ => Self::Contiguous,
        }
    }

    /// Chunk size in bytes; `None` when nothing is interleaved.
    pub fn chunk(self) -> Option<u32> {
        match self {
            Self::Contiguous => None,
            Self::Striped { chunk_log2, .. } => 1u32.checked_shl(u32::from(chunk_log2)),
        }
    }

    /// Where byte `at` of the image lies in the flash. `None` when that is beyond 32 bits.
    ///
    /// `physical(a) = (a & (C-1)) | (odd ? C : 0) | ((a << 1) & ~(2C-1))`
    /// (docs/fs2.md#chunk-interleaving). Offsets from 2 GiB up have no address; mstflint lets the
    /// shift wrap and gives them the address of a lower offset.
    pub fn to_flash(self, at: ImageOffset) -> Option<FlashAddr> {
        let Self::Striped { half, .. } = self else {
            return Some(FlashAddr(at.0));
        };
        let chunk = self.chunk()?;
        let inside = at.0 % chunk;
        let stripe = (at.0 / chunk).checked_mul(2)?;
        let stripe = stripe.checked_add(u32::from(half == Half::Odd))?;
        Some(FlashAddr(stripe.checked_mul(chunk)? | inside))
    }

    /// The image offset of flash address `at`. `None` when the address belongs to the other half.
    pub fn to_image(self, at: FlashAddr) -> Option<ImageOffset> {
        let Self::Striped { half, .. } = self else {
            return Some(ImageOffset(at.0));
        };
        let chunk = self.chunk()?;
        let stripe = at.0 / chunk;
        let odd = stripe % 2 == 1;
        (odd == (half == Half::Odd)).then_some(ImageOffset((stripe / 2 * chunk) | (at.0 % chunk)))
    }

    /// The `len` bytes from `at`, cut where a chunk ends: (address, bytes) in rising order. Ends
    /// early where the range leaves 32 bits of address space.
    pub fn runs(self, at: ImageOffset, mut len: u32) -> impl Iterator<Item = (FlashAddr, u32)> {
        let mut next = Some(at);
        std::iter::from_fn(move || {
            let at = next.filter(|_| len > 0)?;
            let address = self.to_flash(at)?;
            let left = match self.chunk() {
                Some(chunk) => chunk - at.0 % chunk,
                // Up to the end of the address space, which is one byte more than fits u32 at 0.
                None => (u32::MAX - at.0).saturating_add(1),
            };
            let run = len.min(left);
            len -= run;
            next = at.0.checked_add(run).map(ImageOffset);
            Some((address, run))
        })
    }

    /// Bytes of the image that a source of `size` bytes can hold under this map.
    pub fn capacity(self, size: u32) -> u32 {
        let Self::Striped { half, .. } = self else {
            return size;
        };
        let Some(chunk) = self.chunk() else { return 0 };
        let (stripes, rest) = (size / chunk, size % chunk);
        let odd = u32::from(half == Half::Odd);
        let full = (stripes + 1 - odd) / 2;
        let partial = if stripes % 2 == odd { rest } else { 0 };
        full * chunk + partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(chunk_log2: u8, half: Half) -> AddressMap {
        AddressMap::Striped { chunk_log2, half }
    }

    fn any_map() -> impl Strategy<Value = AddressMap> {
        prop_oneof![
            Just(AddressMap::Contiguous),
            (16u8..=23, any::<bool>())
                .prop_map(|(log2, odd)| map(log2, if odd { Half::Odd } else { Half::Even })),
        ]
    }

    #[test]
    fn image_of_the_reference_lies_where_measured() {
        // docs/fs2.md#chunk-interleaving: 0xC405C bytes in the odd slot occupy 0x80000-0xFFFFF and
        // 0x180000-0x1C405B.
        let odd: Vec<_> = map(19, Half::Odd).runs(ImageOffset(0), 0xC405C).collect();
        assert_eq!(odd, [(FlashAddr(0x8_0000), 0x8_0000), (FlashAddr(0x18_0000), 0x4_405C)]);
        let even: Vec<_> = map(19, Half::Even).runs(ImageOffset(0), 0xC405C).collect();
        assert_eq!(even, [(FlashAddr(0), 0x8_0000), (FlashAddr(0x10_0000), 0x4_405C)]);
        // docs/fs2.md#flash-map: the configuration area of each half.
        assert_eq!(map(19, Half::Even).to_flash(ImageOffset(0xF_E000)), Some(FlashAddr(0x17_E000)));
        assert_eq!(map(19, Half::Odd).to_flash(ImageOffset(0xF_E000)), Some(FlashAddr(0x1F_E000)));
    }

    #[test]
    fn offsets_beyond_the_address_space_do_not_alias() {
        assert_eq!(map(19, Half::Even).to_flash(ImageOffset(0x8000_0000)), None);
        assert_eq!(map(19, Half::Odd).runs(ImageOffset(u32::MAX), 4).count(), 0);
        let last: Vec<_> = AddressMap::Contiguous.runs(ImageOffset(u32::MAX), 4).collect();
        assert_eq!(last, [(FlashAddr(u32::MAX), 1)]);
    }

    proptest! {
        #[test]
        fn offsets_survive_the_round_trip(map in any_map(), at in 0u32..0x8000_0000) {
            let address = map.to_flash(ImageOffset(at)).unwrap();
            prop_assert_eq!(map.to_image(address), Some(ImageOffset(at)));
            // The formula of the reference, word for word.
            if let AddressMap::Striped { chunk_log2, half } = map {
                let c = 1u32 << chunk_log2;
                let want = (at & (c - 1)) | (if half == Half::Odd { c } else { 0 })
                    | ((at << 1) & !(2 * c - 1));
                prop_assert_eq!(address, FlashAddr(want));
            }
        }

        #[test]
        fn every_address_belongs_to_exactly_one_half(log2 in 16u8..=23, at: u32) {
            let even = map(log2, Half::Even).to_image(FlashAddr(at));
            let odd = map(log2, Half::Odd).to_image(FlashAddr(at));
            prop_assert!(even.is_some() != odd.is_some());
            let (offset, half) = match (even, odd) {
                (Some(o), _) => (o, Half::Even),
                (_, Some(o)) => (o, Half::Odd),
                _ => unreachable!(),
            };
            prop_assert_eq!(map(log2, half).to_flash(offset), Some(FlashAddr(at)));
        }

        #[test]
        fn runs_cover_the_range_exactly(map in any_map(), at in 0u32..0x100_0000, len in 0u32..0x80_0000) {
            let mut next = at;
            for (address, run) in map.runs(ImageOffset(at), len) {
                prop_assert!(run > 0);
                prop_assert_eq!(map.to_image(address), Some(ImageOffset(next)));
                let last = FlashAddr(address.0 + run - 1);
                prop_assert_eq!(map.to_image(last), Some(ImageOffset(next + run - 1)));
                next += run;
            }
            prop_assert_eq!(next, at + len);
        }

        #[test]
        fn capacity_counts_the_bytes_of_this_half(map in any_map(), size in 0u32..0x200_0000) {
            let capacity = map.capacity(size);
            if let Some(last) = capacity.checked_sub(1) {
                prop_assert!(map.to_flash(ImageOffset(last)).unwrap().0 < size);
            }
            prop_assert!(map.to_flash(ImageOffset(capacity)).unwrap().0 >= size);
        }
    }
}
