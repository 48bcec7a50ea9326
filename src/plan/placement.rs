//! Where an image goes, and what happens to what is beside it.

use super::action::{
    PassContext, behind_signature, body_of, boot_address, signatures_to_invalidate,
};
use super::slot::ranges;
use super::{CardSnapshot, ImageSlot, NvGeometry, Pass, Target};
use crate::flash::LayoutError;
use crate::image::{AddressMap, Contents, FlashAddr, Half, Layout};
use std::ops::Range;

/// The slot holds exactly this image.
pub(super) fn is(found: &ImageSlot, wanted: &Contents) -> bool {
    found
        .contents
        .as_ref()
        .is_ok_and(|c| c.bytes() == wanted.bytes())
}

/// Start of the half that is not in use.
pub(super) fn other_start(layout: Layout, active: Option<&ImageSlot>) -> FlashAddr {
    match active {
        Some(active) if active.start.0 == 0 => layout.start_of(Half::Odd),
        _ => FlashAddr(0),
    }
}

pub(super) fn target(layout: Layout, start: FlashAddr) -> Target {
    match (layout, layout.half_at(start)) {
        (Layout::Failsafe { chunk_log2 }, Some(half)) => Target::Half { half, chunk_log2 },
        _ => Target::InPlace,
    }
}

/// Where an image goes.
pub(super) struct Placement {
    pub(super) start: FlashAddr,
    pub(super) map: AddressMap,
    pub(super) layout: Layout,
    pub(super) nv: NvGeometry,
}

impl Placement {
    /// The pass that writes `result` here; when it is `present` already, what is left to do.
    pub(super) fn passes(
        &self,
        card: &CardSnapshot,
        active: Option<&ImageSlot>,
        present: bool,
        result: &Contents,
        guarded: Option<&[Range<u32>]>,
    ) -> Result<Vec<Pass>, LayoutError> {
        let context = self.context(card, guarded);
        let mut untouchable = ranges(self.map, 0, result.image().len);
        untouchable.extend(guarded.unwrap_or_default().iter().cloned());
        let invalidate = if present {
            // The image is there already. Another bootable one beside it is what an interruption
            // between the two halves' signatures leaves: finish that. Leave all else alone.
            card.bootable()
                .filter(|f| f.start != self.start && !is(f, result))
                .map(|f| f.start)
                .collect()
        } else {
            let kept = active.and_then(|f| Some((f.map()?, f.len())));
            if let Some((map, len)) = kept.filter(|(map, _)| *map != self.map) {
                untouchable.extend(behind_signature(map, len));
            }
            signatures_to_invalidate(card.signatures(), self.start, &untouchable)
        };
        let body = body_of(result.bytes(), self.map);
        let address = Some(boot_address(self.start));
        Ok(vec![
            context.image_pass(body, self.start, address, invalidate)?,
        ])
    }

    /// The context of a pass: the other half and the configuration area are protected.
    pub(super) fn context<'a>(
        &self,
        card: &'a CardSnapshot,
        guarded: Option<&[Range<u32>]>,
    ) -> PassContext<'a> {
        let size = card.flash_chip.geometry.size;
        let mut protected = guarded.unwrap_or_default().to_vec();
        let mut disposable = Vec::new();
        if let Some(max) = self.nv.max_image(self.layout, size) {
            disposable = ranges(self.map, 0, max.min(self.map.capacity(size)));
        }
        if let AddressMap::Striped { chunk_log2, half } = self.map {
            let other = AddressMap::Striped {
                chunk_log2,
                half: half.other(),
            };
            protected.extend(ranges(other, 0, other.capacity(size)));
        }
        protected.sort_by_key(|r| r.start);
        PassContext {
            flash: &card.flash,
            geometry: &card.flash_chip.geometry,
            protected,
            disposable,
        }
    }
}
