//! The plan of a recovery: an image onto a card that has no valid one.

use super::action::{body_of, boot_address, signatures_to_invalidate};
use super::check::Checks;
use super::compare::changes;
use super::decide::{NOT_FAILSAFE, patched};
use super::identity::{fits as identity_fits, usable};
use super::placement::{Placement, other_start, target};
use super::rules::RomAction;
use super::slot::ranges;
use super::{
    Action, BurnOptions, CardSnapshot, CheckId, ImageSlot, NvGeometry, Plan, rules, rules_flash,
};
use crate::image::{AddressMap, Contents, FlashAddr, Identity, Layout};

/// Decide what a recovery with `image`, read from a file of `file_len` bytes, would do. The
/// identity is the one specified; nothing is invented (P4).
#[must_use]
pub fn plan_recover(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    identity: &Identity,
) -> Plan {
    let size = card.flash_chip.geometry.size;
    let layout = image.image().layout;
    let mut checks = Checks::default();
    let left = card.active().map(|a| a.slot);
    checks.add(CheckId::ImageValid, rules::image_valid(image.image()));
    checks.add_if(
        CheckId::ImageSize,
        rules::image_size(image.image(), file_len),
    );
    checks.add(CheckId::NoValidImage, no_valid_image(card));
    checks.add(CheckId::Identity, usable(identity));
    checks.add(
        CheckId::IdentityFits,
        identity_fits(image.image(), identity),
    );
    checks.add(CheckId::Version, rules::version(None, image.image()));
    checks.add(CheckId::Psid, psid(left, image));
    checks.add(CheckId::Silicon, rules::silicon(card.chip, image.image()));
    let rom = rules::rom(image, None, None, None);
    checks.add(CheckId::Rom, rom.map(|(_, text)| text));
    let result = checks
        .all_ok()
        .then(|| patched(image, identity, &RomAction::Leave));
    checks.add_if(
        CheckId::PatchedImage,
        result.as_ref().map(|r| match r {
            Ok(_) => Ok("the identity is in, the result verifies in memory".into()),
            Err(error) => Err(error.to_string()),
        }),
    );
    let result = result.and_then(Result::ok);
    checks.add_if(
        CheckId::RomDevice,
        result.as_ref().map(|r| rules::rom_device(r.image())),
    );

    let nv = NvGeometry::of(&[
        image.image().info.as_ref(),
        left.and_then(|f| f.image()?.info.as_ref()),
    ]);
    let start = start_for(layout, left);
    let map = AddressMap::on_flash(layout, start);
    let placement = Placement {
        start,
        map,
        layout,
        nv,
    };
    checks.add(
        CheckId::Fits,
        rules_flash::fits(
            result.as_ref().unwrap_or(image).image(),
            layout,
            Some(map),
            nv,
            size,
        ),
    );
    checks.add(
        CheckId::FlashSize,
        rules_flash::flash_size(image, left.and_then(|f| f.contents.as_ref().ok()), size),
    );
    let guarded = nv.guarded(layout, size);
    let passes = result.as_ref().map(|result| {
        let mut untouchable = ranges(map, 0, result.image().len);
        untouchable.extend(guarded.iter().flatten().cloned());
        let invalidate = signatures_to_invalidate(card.signatures(), start, &untouchable);
        placement
            .context(card, guarded.as_deref())
            .image_pass(
                body_of(result.bytes(), map),
                start,
                Some(boot_address(start)),
                invalidate,
            )
            .map(|pass| vec![pass])
    });
    checks.add_if(
        CheckId::NvArea,
        passes
            .as_ref()
            .map(|p| rules_flash::nv_area(p, guarded.as_deref())),
    );
    let passes = passes.and_then(Result::ok);
    checks.add(
        CheckId::Protection,
        rules_flash::protection(&card.flash_chip, &card.protection, passes.as_deref()),
    );
    checks.add(
        CheckId::Interruption,
        Ok("the card has no valid image to lose; `recover` can be run again".into()),
    );
    let old = left.and_then(|f| f.contents.as_ref().ok());
    let action = result.clone().zip(passes).map(|(contents, passes)| {
        Action::new(Some(target(layout, start)), Some(contents), passes, false)
    });
    let mut plan = Plan::of(checks, old, result.as_ref(), action);
    if let Some((old, new)) = old.zip(result.as_ref()) {
        plan.changes = changes(old, new);
    }
    if layout == Layout::NonFailsafe {
        plan.warnings.push(NOT_FAILSAFE.to_owned());
    }
    if !card.recovery {
        let text = "Firmware still runs on this card; it will be used until the next reset.";
        plan.warnings.push(text.into());
    }
    plan
}

/// A card with an image that boots and whose identity can be carried has `burn`.
fn no_valid_image(card: &CardSnapshot) -> Result<String, String> {
    match card.bootable().find(|f| f.identity().is_some()) {
        Some(found) => Err(format!(
            "the card holds a valid image at {:#x}; use `burn`, which keeps its identity",
            found.start.0
        )),
        None if card.slots.is_empty() => Ok("the flash holds no signature".into()),
        None => Ok(format!(
            "{} signatures in the flash, no image behind them that boots with an identity",
            card.slots.len()
        )),
    }
}

/// P5 as far as there is something to compare with.
fn psid(left: Option<&ImageSlot>, image: &Contents) -> Result<String, String> {
    let readable = left
        .and_then(ImageSlot::image)
        .filter(|old| old.info_crc_ok);
    match readable {
        Some(old) => rules::psid(old, image.image(), &BurnOptions::default()),
        None => match image.image().psid() {
            Some(psid) => Ok(format!("{psid}; the card states none to compare with")),
            None => Err("the image states no PSID".into()),
        },
    }
}

/// Into the half that does not hold what is left of an image that may still start; else the first.
fn start_for(layout: Layout, left: Option<&ImageSlot>) -> FlashAddr {
    other_start(layout, left.filter(|f| f.validity().code))
}
