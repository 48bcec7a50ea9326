//! The one decision behind `burn`, `identity set`, `rom write` and `rom remove`: an image onto a
//! card that has one.

use super::check::{Checks, Verdict};
use super::compare::{changes, kept};
use super::identity::{fits as identity_fits, macs_are_derived, readable, usable, waiting};
use super::placement::{Placement, is, other_start, target};
use super::rules::RomAction;
use super::{
    Action, CardSnapshot, CheckId, IdentityChange, ImageSlot, NvGeometry, Plan, rules, rules_flash,
};
use crate::image::{AddressMap, Contents, Identity, Layout, PatchError};
use serde::Serialize;

/// Options of a burn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BurnOptions {
    /// `--change-psid FROM:TO`. FROM is `none` for a card whose image states no PSID.
    pub change_psid: Option<(String, String)>,
    /// `--rom image|device|none`; `None` = image's if it has one, else the card's.
    pub rom: Option<RomChoice>,
    /// Parts of the identity that change.
    pub identity: IdentityChange,
}

/// Whose ROM will be on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RomChoice {
    /// The image's (none if it has none).
    Image,
    /// The card's (refused if it has none).
    Device,
    /// None.
    None,
}

/// The image to write.
#[derive(Clone, Copy)]
pub(super) enum Base<'a> {
    /// The image of a file.
    File {
        contents: &'a Contents,
        file_len: u64,
    },
    /// The card's own image.
    Own,
}

/// A burn, as requested.
#[derive(Clone, Copy)]
pub(super) struct PlanRequest<'a> {
    pub(super) base: Base<'a>,
    pub(super) options: &'a BurnOptions,
    /// The ROM of a file.
    pub(super) rom: Option<&'a [u8]>,
}

/// The decision without the comparison of two boards.
pub(super) fn decide_one(card: &CardSnapshot, request: PlanRequest<'_>) -> Plan {
    let mut checks = Checks::default();
    let active = card.active().map(|a| a.slot);
    let own = active.and_then(|f| f.contents.as_ref().ok());
    checks.add(CheckId::OldImage, rules::old_image(active));
    checks.add(CheckId::RunningImage, rules::running_image(card));
    checks.add(CheckId::Signatures, rules::signatures(card));

    let base = match request.base {
        Base::File { contents, .. } => Some(contents),
        Base::Own => own,
    };
    checks.add_if(
        CheckId::ImageValid,
        match request.base {
            Base::File { contents, .. } => Some(rules::image_valid(contents.image())),
            Base::Own => own.map(|c| rules::own_image_valid(c.image())),
        },
    );
    checks.add_if(
        CheckId::ImageSize,
        match request.base {
            Base::File { contents, file_len } => rules::image_size(contents.image(), file_len),
            Base::Own => own.map(|_| Ok("as on the card".into())),
        },
    );

    let identity = identity(&mut checks, active, &request.options.identity);
    checks.add_if(
        CheckId::IdentityFits,
        base.zip(identity.as_ref())
            .map(|(base, identity)| identity_fits(base.image(), identity)),
    );
    pair_checks(&mut checks, card, own, base, request.options);
    let result = result(&mut checks, base, active, identity.as_ref(), request);
    match result {
        Some(result) => place(checks, card, active, result),
        None => unfinished(checks, card, own, base),
    }
}

/// The card's identity with the requested change.
fn identity(
    checks: &mut Checks,
    active: Option<&ImageSlot>,
    change: &IdentityChange,
) -> Option<Identity> {
    let Some(found) = active else {
        checks.add_if(CheckId::Identity, None);
        return None;
    };
    let old = readable(found).or_else(|why| waiting(found, change).ok_or(why));
    let (verdict, identity) = match old {
        Err(why) => (Err(why), None),
        Ok(old) => {
            let new = change.apply(&old);
            (usable(&new), Some(new))
        }
    };
    let identity = identity.filter(|_| verdict.is_ok());
    checks.add(CheckId::Identity, verdict);
    identity
}

/// Checks that compare the card's image with the new one.
fn pair_checks(
    checks: &mut Checks,
    card: &CardSnapshot,
    own: Option<&Contents>,
    base: Option<&Contents>,
    options: &BurnOptions,
) {
    let pair = own.zip(base).map(|(own, base)| (own.image(), base.image()));
    let layouts = pair.map(|(own, base)| (own.layout, base.layout));
    checks.add_if(CheckId::Layout, layouts.map(|(a, b)| rules::layout(a, b)));
    checks.add_if(
        CheckId::ChunkSize,
        layouts.map(|(a, b)| rules::chunk_size(a, b)),
    );
    checks.add_if(
        CheckId::Version,
        base.map(|base| rules::version(own.map(Contents::image), base.image())),
    );
    // A PSID out of a damaged section is none; the identity check refuses then.
    checks.add_if(
        CheckId::Psid,
        pair.filter(|(own, _)| own.info_crc_ok)
            .map(|(own, base)| rules::psid(own, base, options)),
    );
    checks.add_if(
        CheckId::ConfigPad,
        pair.map(|(own, base)| rules::config_pad(own, base, options)),
    );
    checks.add_if(
        CheckId::Silicon,
        base.map(|base| rules::silicon(card.chip, base.image())),
    );
}

/// The image with identity and ROM put in, and the checks of that.
fn result(
    checks: &mut Checks,
    base: Option<&Contents>,
    active: Option<&ImageSlot>,
    identity: Option<&Identity>,
    request: PlanRequest<'_>,
) -> Option<Contents> {
    let rom = base.map(|base| rules::rom(base, active, request.rom, request.options.rom));
    let (rom_action, rom_verdict): (Option<RomAction>, Option<Verdict>) = match rom {
        None => (None, None),
        Some(Ok((request, text))) => (Some(request), Some(Ok(text))),
        Some(Err(why)) => (None, Some(Err(why))),
    };
    checks.add_if(CheckId::Rom, rom_verdict);
    let patched = match (base, identity, rom_action) {
        (Some(base), Some(identity), Some(rom)) if checks.all_ok() => {
            Some(patched(base, identity, &rom))
        }
        _ => None,
    };
    checks.add_if(
        CheckId::PatchedImage,
        patched.as_ref().map(|p| match p {
            Ok(_) => Ok("identity and ROM are in, the result verifies in memory".into()),
            Err(error) => Err(error.to_string()),
        }),
    );
    let result = patched.and_then(Result::ok);
    checks.add_if(
        CheckId::RomDevice,
        result.as_ref().map(|r| {
            let verdict = rules::rom_device(r.image());
            // A change of a GUID leaves the ROM alone, so a wrong one must not prevent it.
            match (&request.base, &request.rom, verdict) {
                (Base::Own, None, Err(why)) => Ok(format!("{why}: it is on the card and stays")),
                (.., verdict) => verdict,
            }
        }),
    );
    result
}

/// The image with this identity and this ROM, verified.
pub(super) fn patched(
    base: &Contents,
    identity: &Identity,
    rom: &RomAction,
) -> Result<Contents, PatchError> {
    let with_rom = match rom {
        RomAction::Leave => None,
        RomAction::Put(bytes) if base.rom() == Some(bytes.as_slice()) => None,
        RomAction::Put(bytes) => Some(base.with_rom(Some(bytes))?),
        RomAction::Remove => Some(base.with_rom(None)?),
    };
    let result = with_rom.as_ref().unwrap_or(base).with_identity(identity)?;
    rules::image_valid(result.image()).map_err(PatchError::SelfCheck)?;
    Ok(result)
}

/// The plan without a patched image: checks that need one are listed as not judged.
fn unfinished(
    mut checks: Checks,
    card: &CardSnapshot,
    own: Option<&Contents>,
    base: Option<&Contents>,
) -> Plan {
    let size = card.flash_chip.geometry.size;
    let nv = NvGeometry::of(&[
        base.and_then(|c| c.image().info.as_ref()),
        own.and_then(|c| c.image().info.as_ref()),
    ]);
    checks.add_if(
        CheckId::Fits,
        base.map(|b| rules_flash::fits(b.image(), b.image().layout, None, nv, size)),
    );
    checks.add_if(
        CheckId::FlashSize,
        base.map(|b| rules_flash::flash_size(b, own, size)),
    );
    checks.add_if(CheckId::NvArea, None);
    checks.add(
        CheckId::Protection,
        rules_flash::protection(&card.flash_chip, &card.protection, None),
    );
    checks.add_if(CheckId::Interruption, None);
    Plan::of(checks, own, base, None)
}

/// The plan for the patched image: where it goes, and whether it may.
fn place(
    mut checks: Checks,
    card: &CardSnapshot,
    active: Option<&ImageSlot>,
    result: Contents,
) -> Plan {
    let own = active.and_then(|f| f.contents.as_ref().ok());
    let size = card.flash_chip.geometry.size;
    let layout = result.image().layout;
    let nv = NvGeometry::of(&[
        result.image().info.as_ref(),
        own.and_then(|c| c.image().info.as_ref()),
    ]);
    let present = card.bootable().find(|f| is(f, &result));
    let start = match present {
        Some(found) => found.start,
        None => other_start(layout, active),
    };
    let map = AddressMap::on_flash(layout, start);
    checks.add(
        CheckId::Fits,
        rules_flash::fits(result.image(), layout, Some(map), nv, size),
    );
    checks.add(
        CheckId::FlashSize,
        rules_flash::flash_size(&result, own, size),
    );
    let guarded = nv.guarded(layout, size);
    let placement = Placement {
        start,
        map,
        layout,
        nv,
    };
    let passes = placement.passes(card, active, present.is_some(), &result, guarded.as_deref());
    checks.add(
        CheckId::NvArea,
        rules_flash::nv_area(&passes, guarded.as_deref()),
    );
    let passes = passes.ok();
    checks.add(
        CheckId::Protection,
        rules_flash::protection(&card.flash_chip, &card.protection, passes.as_deref()),
    );
    let failsafe = layout != Layout::NonFailsafe;
    let keeps = active.filter(|f| failsafe && f.start != start);
    let in_use = keeps.map(ImageSlot::ranges).or(failsafe.then(Vec::new));
    checks.add_if(
        CheckId::Interruption,
        passes
            .as_ref()
            .map(|passes| rules_flash::interruption(in_use.as_deref(), passes)),
    );

    let survives = failsafe && (present.is_some() || active.is_some_and(ImageSlot::boots));
    let present = present.is_some();
    let action = passes.map(|passes| {
        let target = Some(target(layout, start));
        Action::new(target, Some(result.clone()), passes, survives)
    });
    let mut plan = Plan::of(checks, own, Some(&result), action);
    if let Some(own) = own {
        plan.changes = changes(own, &result);
        plan.kept = kept(own, &result);
    }
    plan.warnings = warnings(active, failsafe, present, &plan);
    plan
}

fn warnings(active: Option<&ImageSlot>, failsafe: bool, present: bool, plan: &Plan) -> Vec<String> {
    let mut out = Vec::new();
    if plan.nothing_to_do {
        return out;
    }
    if present {
        out.push(
            "The new image is on the card already; the signature of the old one is left to invalidate."
                .into(),
        );
    } else if !failsafe {
        out.push(NOT_FAILSAFE.into());
    } else if active.is_some_and(|f| !f.boots()) {
        out.push(
            "The image on the card is damaged: until the new one is committed the card may not boot."
                .into(),
        );
    }
    if active
        .and_then(ImageSlot::image)
        .is_some_and(macs_are_derived)
    {
        out.push(
            "The card's GUID section is an old one without MACs; they are derived from the port GUIDs, as its firmware does."
                .into(),
        );
    }
    if let Some(found) = active {
        let validity = found.validity();
        if !validity.notes.is_empty() {
            out.push(format!(
                "The image on the card is damaged: {}.",
                validity.notes.join("; ")
            ));
        }
    }
    if plan.from_version > plan.to_version && plan.to_version.is_some() {
        out.push("The new version is older than the one on the card.".into());
    }
    out
}

/// P1 where the layout cannot keep it.
pub(super) const NOT_FAILSAFE: &str = "This card holds one image only. From the first erase until the last step it has none: \
     if power fails or the machine resets in between, it comes up in recovery mode, without network. \
     The backup repairs that: `cx3flash recover IMAGE --identity BACKUP/identity.json` \
     finishes the job, `cx3flash restore BACKUP` undoes it.";
