//! Where an image goes, and what happens to what is beside it.

use super::action::{
    PassContext, behind_signature, body_of, boot_address, signatures_to_invalidate,
};
use super::check::Checks;
use super::slot::ranges;
use super::{CardSnapshot, CheckId, ImageSlot, NvGeometry, Pass, Target, rules_flash};
use crate::flash::LayoutError;
use crate::image::{AddressMap, Contents, FlashAddr, Half, Layout, MAGIC};
use std::ops::Range;

/// The slot holds exactly this image.
pub(super) fn is(found: &ImageSlot, wanted: &Contents) -> bool {
    found.contents.as_ref().is_ok_and(|c| c.bytes() == wanted.bytes())
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
        (Layout::Failsafe { chunk_log2 }, Some(half)) => Target::Half {
            half,
            chunk_size: 1_u64.checked_shl(chunk_log2.into()).unwrap_or(u64::MAX),
        },
        _ => Target::InPlace,
    }
}

/// Where an image goes.
pub(super) struct Placement<'a> {
    card: &'a CardSnapshot,
    /// The card's own image, as far as it can be read.
    own: Option<&'a Contents>,
    image: &'a Contents,
    start: FlashAddr,
    map: AddressMap,
    nv: NvGeometry,
    /// Bytes that are erased before they are written, whatever they read as.
    unsteady: Vec<Range<u32>>,
    /// The configuration areas; `None` when they have no place on this flash.
    guarded: Option<Vec<Range<u32>>>,
}

impl<'a> Placement<'a> {
    pub(super) fn new(
        card: &'a CardSnapshot,
        own: Option<&'a Contents>,
        image: &'a Contents,
        start: FlashAddr,
    ) -> Self {
        let layout = image.image().layout;
        let nv = NvGeometry::of(&[
            image.image().info.as_ref(),
            own.and_then(|own| own.image().info.as_ref()),
        ]);
        Self {
            card,
            own,
            image,
            start,
            map: AddressMap::on_flash(layout, start),
            unsteady: card.wavering.clone(),
            nv,
            guarded: nv.guarded(layout, card.flash_chip.geometry.size),
        }
    }

    /// The same; with `all`, every byte is erased and written, also one that is right already.
    pub(super) fn rewriting(mut self, all: bool) -> Self {
        if all {
            self.unsteady = std::iter::once(0..self.card.flash_chip.geometry.size).collect();
        }
        self
    }

    /// Checks that the image may go here, and makes the pass that writes it when it is `ready`.
    /// `kept` is an image that stays; with `present` this one is on the card already.
    pub(super) fn plan(
        &self,
        checks: &mut Checks,
        ready: bool,
        kept: Option<&ImageSlot>,
        present: bool,
    ) -> Option<Vec<Pass>> {
        let chip = &self.card.flash_chip;
        let size = chip.geometry.size;
        checks.add(CheckId::Fits, rules_flash::fits(self.image.image(), self.map, self.nv, size));
        checks.add(CheckId::FlashSize, rules_flash::flash_size(self.image, self.own, size));
        let passes = ready.then(|| Ok(vec![self.pass(kept, present)?]));
        checks.add(
            CheckId::NvArea,
            passes.as_ref().map(|passes| rules_flash::nv_area(passes, self.guarded.as_deref())),
        );
        let passes = passes.and_then(Result::ok);
        checks.add(
            CheckId::Protection,
            rules_flash::protection(chip, &self.card.protection, passes.as_deref()),
        );
        passes
    }

    fn pass(&self, kept: Option<&ImageSlot>, present: bool) -> Result<Pass, LayoutError> {
        let mut untouchable = ranges(self.map, 0, self.image.image().len);
        untouchable.extend(self.guarded.iter().flatten().cloned());
        let mut signatures = self.card.unsure_signatures();
        let invalidate = if present {
            // The image is there already. Another bootable one beside it is what an interruption
            // between the two halves' signatures leaves: finish that. Leave all else alone.
            let others = self.card.bootable().filter(|f| f.start != self.start);
            let others = others.filter(|f| !is(f, self.image)).map(|f| f.start);
            others.chain(signatures_to_invalidate(signatures, self.start, &untouchable)).collect()
        } else {
            let kept = kept.and_then(|f| Some((f.map()?, f.len())));
            if let Some((map, len)) = kept.filter(|(map, _)| *map != self.map) {
                untouchable.extend(behind_signature(map, len));
            }
            signatures.extend(self.card.signatures());
            signatures.sort_unstable();
            signatures.dedup();
            signatures_to_invalidate(signatures, self.start, &untouchable)
        };
        let finish = present && !invalidate.is_empty();
        let mut pass = self.context().pass(
            body_of(self.image.bytes(), self.map),
            Some((self.start, MAGIC)),
            Some(boot_address(self.start)),
            invalidate,
        )?;
        if finish {
            // Power may have gone while the signature was programmed. Once all is read back, it is programmed
            // again before the other image stops being one: its cells may not stay as they read.
            pass.sectors.expect.push((self.start, MAGIC.to_vec()));
            pass.sectors.signature_at = Some(self.start);
            pass.signature.bytes = Some(MAGIC);
        }
        Ok(pass)
    }

    /// The context of a pass: the other half and the configuration area are protected.
    fn context(&self) -> PassContext<'_> {
        let size = self.card.flash_chip.geometry.size;
        let mut protected = self.guarded.clone().unwrap_or_default();
        let mut disposable = Vec::new();
        if let Some(max) = self.nv.max_image(self.image.image().layout, size) {
            disposable = ranges(self.map, 0, max.min(self.map.capacity(size)));
        }
        if let AddressMap::Striped { chunk_log2, half } = self.map {
            let other = AddressMap::Striped { chunk_log2, half: half.other() };
            protected.extend(ranges(other, 0, other.capacity(size)));
        }
        protected.sort_by_key(|r| r.start);
        PassContext {
            flash: &self.card.flash,
            geometry: &self.card.flash_chip.geometry,
            protected,
            disposable,
            wavering: &self.unsteady,
        }
    }
}
