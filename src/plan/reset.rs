//! The plan of `config reset`: erase the NV configuration areas.

use super::action::PassContext;
use super::check::Checks;
use super::slot::outside;
use super::{Action, CardSnapshot, CheckId, NvGeometry, Plan, rules, rules_flash};
use crate::image::FlashAddr;
use std::ops::Range;

/// Decide what a reset of the NV configuration would erase (docs/fs2.md#flash-map, docs/fs2.md#order-of-a-burn, docs/flint.md#other-commands).
pub fn plan_config_reset(card: &CardSnapshot) -> Plan {
    let size = card.flash_chip.geometry.size;
    let mut checks = Checks::default();
    let active = card.active().map(|a| a.slot);
    checks.add(CheckId::OldImage, rules::old_image(card));
    checks.add(CheckId::RunningImage, rules::running_image(card));
    checks.add(CheckId::Signatures, rules::signatures(card));
    let own = active.and_then(|f| f.contents.as_ref().ok());
    let places = own.map(|own| {
        let info = own.image().info.as_ref();
        // mstflint guesses 64 KiB where tag 19 is short (docs/fs2.md#flash-map); this program does not erase on a guess.
        if info.is_none_or(|i| i.config_sectors.is_none() || i.sector_size.is_none()) {
            return Err("the image does not state where its configuration area is".to_owned());
        }
        NvGeometry::of(&[info])
            .areas(own.image().layout, size)
            .map(|areas| {
                let list: Vec<String> =
                    areas.iter().map(|a| format!("{:#x}..{:#x}", a.start, a.end)).collect();
                let text = format!("erases {}", list.join(" and "));
                (areas, text)
            })
            .ok_or_else(|| "the configuration area has no place on this flash".to_owned())
    });
    let areas = checks.step(CheckId::NvArea, places);
    let passes = areas.map(|areas| {
        let images = || card.slots.iter().flat_map(|f| f.ranges());
        let pass = |protected: Vec<Range<u32>>| {
            let context = PassContext {
                flash: &card.flash,
                geometry: &card.flash_chip.geometry,
                protected,
                disposable: Vec::new(),
                wavering: &[],
            };
            let body = areas
                .iter()
                .map(|a| (FlashAddr(a.start), vec![0xFF; (a.end - a.start) as usize]))
                .collect();
            let pass = context.pass(body, None, None, Vec::new());
            pass.map(|pass| vec![pass])
        };
        // Nothing but the areas, where the chip's erases are small enough for that; else what
        // shares a sector with them is written again.
        let mut strict: Vec<Range<u32>> = images().chain(outside(&areas, size)).collect();
        strict.sort_by_key(|r| r.start);
        pass(strict).or_else(|_| pass(images().collect()))
    });
    let kept: Vec<_> = card.slots.iter().flat_map(|f| f.ranges()).collect();
    let passes = passes.map(|passes| {
        let passes = passes.map_err(|error| error.to_string())?;
        rules_flash::interruption(Some(&kept), &passes)?;
        Ok((passes, "the areas lie outside of every image".to_owned()))
    });
    let passes = checks.step(CheckId::Interruption, passes);
    checks.add(
        CheckId::Protection,
        rules_flash::protection(&card.flash_chip, &card.protection, passes.as_deref()),
    );
    let action =
        passes.map(|passes| Action::new(None, None, (card.boots(), card.evidence()), passes, true));
    let mut plan = Plan::of(checks, own, own, action);
    if plan.action.is_some() {
        let text = "The card's settings fall back to those of the ini in its image.";
        plan.report.warnings.push(text.into());
    }
    plan
}
