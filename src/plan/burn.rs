//! Plans that put an image on a card: a file, or the card's own with another identity or ROM.

use super::decide::{Base, BurnOptions, PlanRequest, RomChoice, decide_one};
use super::{CardSnapshot, IdentityChange, Plan, crossflash};
use crate::image::Contents;

/// Decide what a burn of `image`, read from a file of `file_len` bytes, would do.
#[must_use]
pub fn plan_burn(
    card: &CardSnapshot,
    image: &Contents,
    file_len: u64,
    options: &BurnOptions,
) -> Plan {
    decide(
        card,
        PlanRequest {
            base: Base::File {
                contents: image,
                file_len,
            },
            options,
            rom: None,
        },
    )
}

/// Plan to give a card another identity: its own image again, with the change.
///
/// Only sectors that differ are rewritten. On a non-failsafe card these are the header's, the GUID
/// section's and the Image Info's, the signature invalidated first and written last. On a failsafe card
/// the image goes into the other half, where sectors that are equal already stay. When that half
/// holds another version this is a complete burn: patching the half that boots would need its
/// signature invalidated, and meanwhile the stale half (another version) would boot, or none.
#[must_use]
pub fn plan_identity(card: &CardSnapshot, change: &IdentityChange) -> Plan {
    let identity = change.clone();
    let options = BurnOptions {
        identity,
        ..BurnOptions::default()
    };
    decide_own(card, &options, None)
}

/// Plan to give a card another ROM, or none: its own image again, with the change.
#[must_use]
pub fn plan_rom(card: &CardSnapshot, rom: Option<&[u8]>) -> Plan {
    let options = BurnOptions {
        rom: rom.is_none().then_some(RomChoice::None),
        ..BurnOptions::default()
    };
    decide_own(card, &options, rom)
}

fn decide_own(card: &CardSnapshot, options: &BurnOptions, rom: Option<&[u8]>) -> Plan {
    let base = Base::Own;
    decide(card, PlanRequest { base, options, rom })
}

/// The decision, with the comparison of two boards where the PSIDs differ.
fn decide(card: &CardSnapshot, request: PlanRequest<'_>) -> Plan {
    let mut plan = decide_one(card, request);
    plan.report.crossflash = crossflash::of(card, request, &plan.report).map(Box::new);
    plan
}
