//! The one decision behind `burn`, `identity set`, `rom write` and `rom remove`: an image onto a
//! card that has one.

use super::check::{Checks, Verdict};
use super::compare::{changes, kept};
use super::identity::{fits as identity_fits, macs_are_derived, readable, usable, waiting};
use super::placement::{Placement, is, other_start, target};
use super::request::{Base, PlanRequest};
use super::rules::RomAction;
use super::{
    Action, BootEvidence, BootReport, Bootability, BurnOptions, CardSnapshot, CheckId,
    IdentityChange, ImageSlot, Plan, PlanReport, bootability, rules, rules_flash,
};
use crate::image::{Contents, Identity, Layout, PatchError};

/// The decision without the comparison of two boards.
pub(super) fn decide_one(card: &CardSnapshot, request: PlanRequest<'_>) -> Plan {
    let mut checks = Checks::default();
    let active = card.active().map(|a| a.slot);
    let own = active.and_then(|f| f.contents.as_ref().ok());
    checks.add(CheckId::OldImage, rules::old_image(card));
    checks.add(CheckId::RunningImage, rules::running_image(card));
    checks.add(CheckId::Signatures, rules::signatures(card));

    let base = match request.base {
        Base::File { contents, .. } => Some(contents),
        Base::Own => own,
    };
    checks.add(
        CheckId::ImageValid,
        match request.base {
            Base::File { contents, .. } => Some(rules::image_valid(contents.image())),
            Base::Own => own.map(|c| rules::own_image_valid(c.image())),
        },
    );
    checks.add(
        CheckId::ImageSize,
        match request.base {
            Base::File { contents, file_len } => rules::image_size(contents.image(), file_len),
            Base::Own => own.map(|c| rules::own_image_size(c.image())),
        },
    );

    let identity = identity(active, &request.options.identity);
    let identity = checks.step(CheckId::Identity, identity);
    checks.add(
        CheckId::IdentityFits,
        base.zip(identity.as_ref()).map(|(base, identity)| identity_fits(base.image(), identity)),
    );
    pair_checks(&mut checks, own, base, request.options);
    checks.add(CheckId::Silicon, base.map(|base| silicon(card, &request, base)));
    let own_base = matches!(request.base, Base::Own);
    let result = result(&mut checks, base, active, identity.as_ref(), request);
    place(checks, card, own_base, base, result, request.options.rewrite)
}

/// The card's identity with the requested change, in words too.
fn identity(
    active: Option<&ImageSlot>,
    change: &IdentityChange,
) -> Option<Result<(Identity, String), String>> {
    let found = active?;
    let old = readable(found).or_else(|why| waiting(found, change).ok_or(why));
    Some(old.and_then(|old| {
        let new = change.apply(&old);
        usable(&new).map(|text| (new, text))
    }))
}

/// Checks that compare the card's image with the new one.
fn pair_checks(
    checks: &mut Checks,
    own: Option<&Contents>,
    base: Option<&Contents>,
    options: &BurnOptions,
) {
    let pair = own.zip(base).map(|(own, base)| (own.image(), base.image()));
    let layouts = pair.map(|(own, base)| (own.layout, base.layout));
    checks.add(CheckId::Layout, layouts.map(|(a, b)| rules::layout(a, b)));
    checks.add(CheckId::ChunkSize, layouts.map(|(a, b)| rules::chunk_size(a, b)));
    checks.add(
        CheckId::Version,
        base.map(|base| rules::not_older(own.map(Contents::image), base.image(), options)),
    );
    // A PSID out of a damaged section is none; the identity check refuses then.
    checks.add(
        CheckId::Psid,
        pair.filter(|(own, _)| own.info_crc_ok).map(|(own, base)| rules::psid(own, base, options)),
    );
    checks.add(CheckId::ConfigPad, pair.map(|(own, base)| rules::config_pad(own, base, options)));
}

/// P5; what runs on this card is for it.
fn silicon(card: &CardSnapshot, request: &PlanRequest<'_>, base: &Contents) -> Verdict {
    let runs = matches!(request.base, Base::Own) && card.boots().start.is_some();
    let ran_on = request.options.ran_on;
    rules::silicon_or_ran(card.chip, base.image(), ran_on).or_else(|why| match runs {
        true => Ok(format!("the card's own image, which runs on it, although {why}")),
        false => Err(why),
    })
}

/// The image with identity and ROM put in, and the checks of that.
fn result(
    checks: &mut Checks,
    base: Option<&Contents>,
    active: Option<&ImageSlot>,
    identity: Option<&Identity>,
    request: PlanRequest<'_>,
) -> Option<Contents> {
    let own = matches!(request.base, Base::Own);
    let rom = base.map(|base| rules::rom(base, own, active, request.rom, request.options.rom));
    let rom = checks.step(CheckId::Rom, rom);
    let patched = match (base, identity, rom) {
        (Some(base), Some(identity), Some(rom)) if checks.all_ok() => {
            let text = "identity and ROM are in, the result verifies in memory".to_owned();
            let sealed = own.then(|| base.sealed().ok()).flatten();
            let patched = patched(sealed.as_ref().unwrap_or(base), identity, &rom);
            Some(patched.map(|p| (p, text)).map_err(|e| e.to_string()))
        }
        _ => None,
    };
    let result = checks.step(CheckId::PatchedImage, patched);
    checks.add(
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

/// Where the image goes, and whether it may; `result` is the patched image, if there is one.
fn place(
    mut checks: Checks,
    card: &CardSnapshot,
    own_base: bool,
    base: Option<&Contents>,
    result: Option<Contents>,
    rewrite: bool,
) -> Plan {
    let booted = card.active();
    let active = booted.map(|a| a.slot);
    let own = active.and_then(|f| f.contents.as_ref().ok());
    let Some(image) = result.as_ref().or(base) else {
        for id in [CheckId::Fits, CheckId::FlashSize, CheckId::NvArea] {
            checks.add(id, None::<Verdict>);
        }
        checks.add(
            CheckId::Protection,
            rules_flash::protection(&card.flash_chip, &card.protection, None),
        );
        checks.add(CheckId::Interruption, None::<Verdict>);
        return Plan::of(checks, own, None, None);
    };
    let layout = image.image().layout;
    let present = card.bootable().find(|f| !rewrite && result.is_some() && is(f, image));
    let present = present.map(|f| f.start);
    let start = present.unwrap_or_else(|| other_start(layout, active));
    let placement = Placement::new(card, own, image, start).rewriting(rewrite);
    let passes = placement.plan(&mut checks, result.is_some(), active, present.is_some());
    let failsafe = layout != Layout::NonFailsafe;
    let keeps = active.filter(|f| failsafe && f.start != start);
    let in_use = keeps.map(ImageSlot::ranges).or(failsafe.then(Vec::new));
    let boots = booted.is_some_and(|a| a.choice.boots());
    let survives = failsafe && (present.is_some() || boots);
    let interruption = passes.as_ref().map(|passes| {
        let text = rules_flash::interruption(in_use.as_deref(), passes)?;
        Ok(match failsafe && !survives {
            true => "failsafe: the image on the card is not touched until the new one is verified; whether it boots is not known".into(),
            false => text,
        })
    });
    checks.add(CheckId::Interruption, interruption);
    let action = result.clone().zip(passes).map(|(result, passes)| {
        let target = Some(target(layout, start));
        // A copy of what runs is for this chip as well.
        let sure = bootability(start, result.image(), card.chip) == Bootability::Sure;
        let expected = (sure || own_base && boots).then(|| BootReport::of(start, result.image()));
        let expected = expected.unwrap_or_default();
        let evidence = BootEvidence::written(&expected);
        Action::new(target, Some(result), (expected, evidence), passes, survives)
    });
    let mut plan = Plan::of(checks, own, Some(image), action);
    if let Some((own, result)) = own.zip(result.as_ref()) {
        plan.report.changes = changes(own, result);
        plan.report.kept = kept(own, result);
    }
    if result.is_some() {
        let present = present.is_some();
        plan.report.warnings = warnings(active, failsafe, present, survives, &plan.report);
        if !plan.report.nothing_to_do {
            plan.report.warnings.extend(base.and_then(|base| rules::size_warning(base.image())));
        }
    }
    plan
}

fn warnings(
    active: Option<&ImageSlot>,
    failsafe: bool,
    present: bool,
    survives: bool,
    plan: &PlanReport,
) -> Vec<String> {
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
    } else if !survives {
        out.push(
            "The image on the card is not relied on to boot: until the new one is committed the card may not boot."
                .into(),
        );
    }
    if active.and_then(ImageSlot::image).is_some_and(macs_are_derived) {
        out.push(
            "The card's GUID section is an old one without MACs; they are derived from the port GUIDs, as its firmware does."
                .into(),
        );
    }
    if let Some(found) = active {
        let validity = found.validity();
        if !validity.notes.is_empty() {
            out.push(format!("The image on the card is damaged: {}.", validity.notes.join("; ")));
        }
    }
    if plan.from_version > plan.to_version && plan.to_version.is_some() {
        out.push(match plan.from_psid == plan.to_psid {
            true => "This is a downgrade: the new version is older than the one on the card.".into(),
            false => {
                "The new version is older than the one on the card. Versions of two boards are not compared."
                    .into()
            }
        });
    }
    out
}

/// P1 where the layout cannot keep it.
pub(super) const NOT_FAILSAFE: &str = "This card holds one image only. From the first erase until the last step it has none: \
     if power fails or the machine resets in between, it comes up in recovery mode, without network. \
     The backup repairs that: `cx3flash recover IMAGE --identity BACKUP/identity.json` \
     finishes the job, `cx3flash restore BACKUP` undoes it.";
