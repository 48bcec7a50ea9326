//! Plans that put an image on a card: a file, or the card's own with another identity or ROM.

use super::decide::decide_one;
use super::request::{Base, PlanRequest};
use super::rules::NO_PSID;
use super::{
    BurnOptions, CardSnapshot, Check, CheckId, CrossFlash, IdentityChange, Plan, PlanReport,
    RomChoice, crossflash,
};
use crate::escape::ForeignText;
use crate::image::Contents;

/// Decide what a burn of `image`, read from a file of `file_len` bytes, would do.
pub fn plan_burn(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    options: &BurnOptions,
) -> Plan {
    decide(card, PlanRequest { base: Base::File { contents: image, file_len }, options, rom: None })
}

/// Plan to give a card another identity: its own image again, with the change.
///
/// Only sectors that differ are rewritten. On a non-failsafe card these are the header's, the GUID
/// section's and the Image Info's, the signature invalidated first and written last. On a failsafe card
/// the image goes into the other half, where sectors that are equal already stay. When that half
/// holds another version this is a complete burn: patching the half that boots would need its
/// signature invalidated, and meanwhile the stale half (another version) would boot, or none.
pub fn plan_identity(card: &CardSnapshot, change: &IdentityChange) -> Plan {
    let identity = change.clone();
    let options = BurnOptions { identity, ..BurnOptions::default() };
    decide_own(card, &options, None)
}

/// Plan to give a card another ROM, or none: its own image again, with the change.
pub fn plan_rom(card: &CardSnapshot, rom: Option<&[u8]>) -> Plan {
    let options =
        BurnOptions { rom: rom.is_none().then_some(RomChoice::None), ..BurnOptions::default() };
    decide_own(card, &options, rom)
}

fn decide_own(card: &CardSnapshot, options: &BurnOptions, rom: Option<&[u8]>) -> Plan {
    let base = Base::Own;
    decide(card, PlanRequest { base, options, rom })
}

/// The decision, with the comparison of two boards where the PSIDs differ.
fn decide(card: &CardSnapshot, request: PlanRequest<'_>) -> Plan {
    let mut plan = decide_one(card, request);
    plan.report.crossflash = compared(card, request, &plan.report).map(Box::new);
    plan
}

/// The comparison when the PSIDs differ. A PSID out of a damaged section is none.
fn compared(
    card: &CardSnapshot,
    request: PlanRequest<'_>,
    plan: &PlanReport,
) -> Option<CrossFlash> {
    let Base::File { contents, .. } = request.base else {
        return None;
    };
    let own = card.active()?.slot.contents.as_ref().ok()?;
    let (from, to) = (own.image().psid(), contents.image().psid());
    if !own.image().info_crc_ok || from == to {
        return None;
    }
    let mut obstacles: Vec<Check> = plan.refusing().cloned().collect();
    if let Some(to) = to
        && obstacles.iter().any(|c| c.id == CheckId::Psid)
    {
        // Checks that depend on this one were not judged: judge them as with `--change-psid`.
        let from = from.map_or(NO_PSID, ForeignText::as_str);
        let options = BurnOptions {
            change_psid: Some((from.to_owned(), to.as_str().to_owned())),
            ..request.options.clone()
        };
        let request = PlanRequest { options: &options, ..request };
        let plan = decide_one(card, request).report;
        obstacles = plan.refusing().cloned().collect();
    }
    let size = card.flash_chip.geometry.size;
    Some(crossflash::compare(own, contents, size, obstacles))
}
