//! The plan of a recovery: an image onto a card that has no valid one.

use super::check::Checks;
use super::compare::changes;
use super::decide::{NOT_FAILSAFE, patched};
use super::identity::{fits as identity_fits, usable};
use super::placement::{Placement, other_start, target};
use super::rules::RomAction;
use super::{
    Action, BootEvidence, BootReport, Bootability, BurnOptions, CardSnapshot, CheckId, ImageSlot,
    Plan, rules,
};
use crate::image::{Contents, FlashAddr, Identity, Layout};
use crate::words::counted;

/// Decide what a recovery with `image`, read from a file of `file_len` bytes, would do. The
/// identity is the one specified; nothing is invented (P4). `ran_on`: hardware id and revision of the chip on
/// which its backup shows that it ran.
pub fn plan_recover(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    identity: &Identity,
    ran_on: Option<(u16, u8)>,
) -> Plan {
    let layout = image.image().layout;
    let mut checks = Checks::default();
    let left = card.active().map(|a| a.slot);
    let old = left.and_then(|f| f.contents.as_ref().ok());
    checks.add(CheckId::ImageValid, rules::image_valid(image.image()));
    checks.add(CheckId::ImageSize, rules::image_size(image.image(), file_len));
    checks.add(CheckId::NoValidImage, no_valid_image(card));
    checks.add(CheckId::Identity, usable(identity));
    checks.add(CheckId::IdentityFits, identity_fits(image.image(), identity));
    checks.add(CheckId::Version, rules::version(None, image.image()));
    checks.add(CheckId::Psid, psid(left, image));
    checks.add(CheckId::Silicon, rules::silicon_or_ran(card.chip, image.image(), ran_on));
    let rom = rules::rom(image, false, None, None, None);
    checks.add(CheckId::Rom, rom.map(|(_, text)| text));
    let result = checks.all_ok().then(|| {
        let text = "the identity is in, the result verifies in memory".to_owned();
        let patched = patched(image, identity, &RomAction::Leave);
        patched.map(|p| (p, text)).map_err(|e| e.to_string())
    });
    let result = checks.step(CheckId::PatchedImage, result);
    checks.add(CheckId::RomDevice, result.as_ref().map(|r| rules::rom_device(r.image())));
    let start = start_for(layout, left);
    let placement = Placement::new(card, old, result.as_ref().unwrap_or(image), start);
    let passes = placement.plan(&mut checks, result.is_some(), None, false);
    checks.add(
        CheckId::Interruption,
        Ok("the card has no valid image to lose; `recover` can be run again".into()),
    );
    let action = result.clone().zip(passes).map(|(contents, passes)| {
        let boots = BootReport::of(start, contents.image());
        let evidence = BootEvidence::written(&boots);
        Action::new(Some(target(layout, start)), Some(contents), (boots, evidence), passes, false)
    });
    let mut plan = Plan::of(checks, old, Some(result.as_ref().unwrap_or(image)), action);
    if let Some((old, new)) = old.zip(result.as_ref()) {
        plan.report.changes = changes(old, new);
    }
    plan.report.warnings.extend(rules::size_warning(image.image()));
    if layout == Layout::NonFailsafe {
        plan.report.warnings.push(NOT_FAILSAFE.to_owned());
    }
    if !card.recovery {
        let text = "Firmware still runs on this card; it will be used until the next reset.";
        plan.report.warnings.push(text.into());
    }
    plan
}

/// A card with an image that boots and whose identity can be carried has `burn`.
fn no_valid_image(card: &CardSnapshot) -> Result<String, String> {
    match card.relied().find(|f| f.identity().is_some()) {
        Some(found) => Err(format!(
            "the card holds a valid image at {:#x}{}; use `burn`, which keeps its identity",
            found.start.0,
            if card.recovery { ", whose firmware does not run" } else { "" }
        )),
        None if card.slots.is_empty() => Ok("the flash holds no signature".into()),
        None if card.slots.iter().all(|slot| slot.wrong_silicon().is_some()) => {
            Ok("no image in the flash starts on this card: it is for other silicon".into())
        }
        None => Ok(format!(
            "{} in the flash, no image there that boots with an identity{}",
            counted(card.slots.len(), "signature"),
            card.slots.iter().map(doubt).collect::<String>()
        )),
    }
}

/// Why a complete image is not relied on.
fn doubt(slot: &ImageSlot) -> String {
    match slot.bootability() {
        Bootability::Unsure(why) => {
            format!("; whether the one at {:#x} boots is not known: {why}", slot.start.0)
        }
        _ => String::new(),
    }
}

/// P5 as far as there is something to compare with.
fn psid(left: Option<&ImageSlot>, image: &Contents) -> Result<String, String> {
    // An image for other silicon is not of this board.
    let own = left.filter(|old| old.is_of_this_chip());
    let readable = own.and_then(ImageSlot::image).filter(|old| old.info_crc_ok);
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
