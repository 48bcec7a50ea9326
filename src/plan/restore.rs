//! The plan of a restore: the whole flash as it was, configuration areas included.
//!
//! On a failsafe card the halves are restored one after the other, in the order that leaves a bootable
//! image in the other one wherever there is one.

use super::action::{PassContext, boot_address};
use super::boot::{BootEvidence, BootReport};
use super::check::{Checks, Verdict};
use super::compare::{changes, kept};
use super::decide::NOT_FAILSAFE;
use super::left::BootsBefore;
use super::slot::{outside, ranges};
use super::{
    Action, Bootability, BurnOptions, CardSnapshot, CheckId, ImageSlot, Pass, Plan, Target, rules,
    rules_flash,
};
use crate::flash::{LayoutError, overlap};
use crate::image::{AddressMap, Contents, FlashAddr, Half, Image, Layout, MAGIC, Mac, Version};
use std::ops::Range;

/// The content of a backup, its digests verified by the reader of the files.
#[derive(Clone, Debug)]
pub struct BackupFacts {
    /// The whole flash.
    pub flash: Vec<u8>,
    /// Hardware id and revision of the card it was made of, from the manifest.
    pub chip: Option<(u16, u8)>,
    /// Firmware that ran on it then, from the manifest.
    pub running: Option<Version>,
    /// What was compared: `5 files checked by digest`, or that there is no manifest.
    pub provenance: String,
    /// Bytes that read differently each time when it was made.
    pub wavering: Vec<Range<u32>>,
    /// `--change-mac`: MAC of port 1 on the card and in the backup, for a backup made before the
    /// identity was changed (P4).
    pub change_mac: Option<(Mac, Mac)>,
}

/// Decides what a restore of `backup` would do.
pub fn plan_restore(card: &CardSnapshot, backup: &BackupFacts) -> Plan {
    let size = card.flash_chip.geometry.size;
    let then = CardSnapshot::new(
        card.chip,
        card.recovery,
        None,
        card.flash_chip.clone(),
        card.protection.clone(),
        backup.flash.clone(),
    )
    .ok()
    .map(|then| without_unsteady(then, backup.wavering.clone()));
    let (then, invalidated) =
        then.map_or((None, Vec::new()), |(then, invalidated)| (Some(then), invalidated));
    let evidence = then.as_ref().map_or(BootEvidence::Nothing, |then| evidence(card, backup, then));
    let boots = then.as_ref().map(|then| {
        BootReport::among(then.slots.iter().map(ImageSlot::place), card.chip, evidence)
    });
    let boots = boots.unwrap_or_default();
    // An image for other silicon is valid too; the check of the silicon refuses it.
    let complete = |slot: &&ImageSlot| slot.validity().complete();
    let ran = |slot: &&ImageSlot| ran_here(card, backup, slot);
    let old = then.as_ref().and_then(|t| {
        let other = || t.bootable().next().or_else(|| t.slots.iter().find(complete));
        let booted = t.slots.iter().find(|slot| Some(slot.start) == boots.start);
        booted.or_else(|| t.bootable().find(ran)).or_else(other)
    });
    let old_image = old.and_then(|f| f.contents.as_ref().ok());
    let mut checks = Checks::default();
    checks.add(CheckId::BackupValid, backup_valid(old, &boots, backup));
    checks.add(
        CheckId::Fits,
        if backup.flash.len() == size as usize {
            Ok(format!("both have {size:#x} bytes"))
        } else {
            Err(format!("the backup has {:#x} bytes, the flash {size:#x}", backup.flash.len()))
        },
    );
    let own = |slot: &&ImageSlot| slot.validity().identity && slot.is_of_this_chip();
    let active = card.active().map(|active| active.slot).filter(own);
    let known = active.or_else(|| card.slots.iter().find(own));
    let now = known.and_then(|f| f.contents.as_ref().ok());
    checks.add(CheckId::Identity, old.map(|old| same_card(known, old, backup.change_mac)));
    checks.add(
        CheckId::Psid,
        old_image.map(|old| match now {
            Some(now) => {
                rules::psid(now.image(), old.image(), &BurnOptions::default()).map_err(|why| {
                    format!("{why}; `burn` the backup's image.bin with `--change-psid`")
                })
            }
            None => Ok("the card states none to compare with".into()),
        }),
    );
    checks.add(
        CheckId::Silicon,
        old.zip(old_image).map(|(slot, old)| silicon(card, &boots, backup, slot, old)),
    );
    checks.add(
        CheckId::Version,
        old_image.map(|old| rules::version(now.map(Contents::image), old.image())),
    );

    let wanted = checks.all_ok().then_some(old.zip(then.as_ref())).flatten();
    let order = wanted.map(|(old, then)| {
        let text = "the configuration area is restored with the rest".to_owned();
        let order = restore_order(card, then, old);
        order.map(|o| (o, text)).map_err(|error| error.to_string())
    });
    let order = checks.step(CheckId::NvArea, order);
    let passes = order.as_ref().map(|o| o.passes.as_slice());
    checks.add(
        CheckId::Protection,
        rules_flash::protection(&card.flash_chip, &card.protection, passes),
    );
    checks.add(
        CheckId::Interruption,
        order.as_ref().map(|o| {
            Ok(if o.survives {
                "one half stays bootable while the other is restored".into()
            } else {
                "during the restore the card has no image; `restore` can be run again".into()
            })
        }),
    );
    let action = order.zip(old_image).map(|(order, old)| {
        let target = Some(Target::WholeFlash);
        Action::new(target, Some(old.clone()), (boots, evidence), order.passes, order.survives)
    });
    let mut plan = Plan::of(checks, now, old_image, action);
    if plan.action.is_some() {
        plan.report.warnings.extend(invalidated.iter().map(|at| format!(
            "The image at {:#x} in the backup read differently each time; its signature is not restored, so that the other image starts.", at.0)));
    }
    if let Some((now, old)) = now.zip(old_image) {
        plan.report.changes = changes(now, old);
        plan.report.kept = kept(now, old);
    }
    if plan.action.as_ref().is_some_and(|a| !a.survives_interruption) {
        plan.report.warnings.push(NOT_FAILSAFE.to_owned());
    }
    plan
}

fn backup_valid(old: Option<&ImageSlot>, boots: &BootReport, backup: &BackupFacts) -> Verdict {
    let Some(found) = old else {
        return Err("the backup holds no image that would boot".into());
    };
    let notes = found.validity().notes.join("; ");
    let state = match (notes.is_empty(), boots.start == Some(found.start)) {
        (true, _) => "is valid".to_owned(),
        (false, true) => format!("is the one that the card runs, although {notes}"),
        (false, false) => format!("is damaged, and whether it boots is not known: {notes}"),
    };
    Ok(format!("{}; the image at {:#x} in it {state}", backup.provenance, found.start.0))
}

/// P4: a backup of another card is not put onto this one. There is no serial number in the flash, so
/// GUIDs and MACs decide; the VSD is a text and is restored.
fn same_card(now: Option<&ImageSlot>, old: &ImageSlot, change: Option<(Mac, Mac)>) -> Verdict {
    let Some(theirs) = old.identity() else {
        return Err("the backup's identity sections are damaged".into());
    };
    let Some(ours) = now.and_then(ImageSlot::identity) else {
        return Ok("the card states no identity to compare with".into());
    };
    if ours == theirs {
        return Ok("the backup is of this card".into());
    }
    if (ours.guids, ours.macs) == (theirs.guids, theirs.macs) {
        return Ok("the backup is of this card; its VSD comes back with it".into());
    }
    if change == Some((ours.macs[0], theirs.macs[0])) {
        return Ok(format!(
            "identity change as specified: MACs {} {} become {} {}",
            ours.macs[0], ours.macs[1], theirs.macs[0], theirs.macs[1]
        ));
    }
    Err(format!(
        "the backup is of another card, or of this one before its identity was changed: GUID {} and MACs {} {} in it, {} and {} {} here",
        theirs.guids[0], theirs.macs[0], theirs.macs[1], ours.guids[0], ours.macs[0], ours.macs[1]
    ))
}

/// What is known of the image that boots of those in the backup. Of several, the version that the card ran
/// with them decides: now, where it holds the same, else when the backup was made. That another image than
/// a bootable one boots is believed of the card only.
fn evidence(card: &CardSnapshot, backup: &BackupFacts, then: &CardSnapshot) -> BootEvidence {
    let before = BootsBefore::of(card);
    let shown = card.evidence();
    if shown != BootEvidence::Nothing && before.holds_the_same(&then.slots) {
        return shown;
    }
    let ran = |slot: &&ImageSlot| slot.image().and_then(Image::fw_version) == backup.running;
    let mut ran = then.bootable().filter(ran);
    match (backup.running, ran.next(), ran.next()) {
        (Some(version), Some(slot), None) if slot.bootability() == Bootability::Sure => {
            BootEvidence::Running(version)
        }
        _ => before.evidence(&then.slots),
    }
}

/// The manifest shows that this image ran on a chip of this card's revision.
fn ran_here(card: &CardSnapshot, backup: &BackupFacts, slot: &ImageSlot) -> bool {
    backup.chip == Some((card.chip.hw_id, card.chip.revision))
        && backup.running.is_some()
        && slot.image().and_then(Image::fw_version) == backup.running
        && slot.bootability() != Bootability::No
}

/// The flash of a backup without the signatures of images that read differently each time, where another one
/// is relied on: written as they were read last, they could start. And where those signatures are.
fn without_unsteady(
    then: CardSnapshot,
    wavering: Vec<Range<u32>>,
) -> (CardSnapshot, Vec<FlashAddr>) {
    let whole: Vec<FlashAddr> = then.bootable().map(|slot| slot.start).collect();
    let mut then = then.with_wavering(wavering);
    if then.relied().next().is_none() {
        return (then, Vec::new());
    }
    let unread = |start: &FlashAddr| {
        then.slots.iter().any(|slot| slot.start == *start && slot.contents.is_err())
    };
    let invalidated: Vec<FlashAddr> = whole.into_iter().filter(unread).collect();
    for start in &invalidated {
        let at = start.0 as usize;
        if let Some(word) = then.flash.get_mut(at..at + 4) {
            word.fill(0);
        }
    }
    (then, invalidated)
}

fn silicon(
    card: &CardSnapshot,
    boots: &BootReport,
    backup: &BackupFacts,
    slot: &ImageSlot,
    old: &Contents,
) -> Verdict {
    if let Some((hw_id, revision)) = backup.chip
        && (hw_id, revision) != (card.chip.hw_id, card.chip.revision)
    {
        return Err(format!(
            "the backup is of hardware {hw_id:#x} revision {revision}, the card is {:#x} revision {}",
            card.chip.hw_id, card.chip.revision
        ));
    }
    match slot.wrong_silicon() {
        Some(why) if boots.start == Some(slot.start) => {
            Ok(format!("the image is the one that the card runs, although {why}"))
        }
        Some(why) if ran_here(card, backup, slot) => {
            Ok(format!("the image ran on this chip when the backup was made, although {why}"))
        }
        _ => rules::silicon(card.chip, old.image()),
    }
}

struct RestoreOrder {
    passes: Vec<Pass>,
    survives: bool,
}

/// An area of the flash that one pass restores.
struct Area {
    start: FlashAddr,
    ranges: Vec<Range<u32>>,
}

fn restore_order(
    card: &CardSnapshot,
    then: &CardSnapshot,
    old: &ImageSlot,
) -> Result<RestoreOrder, LayoutError> {
    let size = card.flash_chip.geometry.size;
    let layout = old.image().map_or(Layout::NonFailsafe, |i| i.layout);
    let mut flash = card.flash.clone();
    let Layout::Failsafe { chunk_log2 } = layout else {
        let whole = Area { start: FlashAddr(0), ranges: vec![Range { start: 0, end: size }] };
        let pass = put_back(card, &flash, then, &whole, &[], true)?;
        return Ok(RestoreOrder { survives: false, passes: pass.into_iter().collect() });
    };
    let area = |half: Half| {
        let map = AddressMap::Striped { chunk_log2, half };
        Area {
            start: map.to_flash(crate::image::ImageOffset(0)).unwrap_or(FlashAddr(0)),
            ranges: ranges(map, 0, map.capacity(size)),
        }
    };
    let (boot, other) = if old.start.0 == 0 {
        (area(Half::Even), area(Half::Odd))
    } else {
        (area(Half::Odd), area(Half::Even))
    };
    let stands = |snapshot: &CardSnapshot, area: &Area| {
        let fits = |slot: &ImageSlot| slot.image().is_some_and(|i| i.layout == layout);
        snapshot.relied().any(|slot| slot.start == area.start && fits(slot))
    };
    let wavers = |r: &Range<u32>| card.wavering.iter().any(|wavering| overlap(wavering, r));
    let equal = |area: &Area| {
        let same = |r: &Range<u32>| slice(&card.flash, r) == slice(&then.flash, r) && !wavers(r);
        area.ranges.iter().all(same)
    };
    let boots_already = equal(&boot) && (stands(then, &boot) || stands(card, &boot));
    let other_boots = stands(card, &other);
    let other_first = !boots_already && !other_boots && stands(then, &other);
    let (first, second) = if other_first { (&other, &boot) } else { (&boot, &other) };
    let mut passes = Vec::new();
    // The signature of the second area is invalidated before anything of that area changes.
    let live = slice(&card.flash, &(second.start.0..second.start.0 + 16)) == MAGIC;
    let invalidate: &[FlashAddr] = if live && !equal(second) { &[second.start] } else { &[] };
    passes.extend(put_back(card, &flash, then, first, invalidate, !other_first)?);
    for range in &first.ranges {
        let bytes = slice(&then.flash, range).to_vec();
        if let Some(place) = flash.get_mut(range.start as usize..range.end as usize) {
            place.copy_from_slice(&bytes);
        }
    }
    for at in invalidate {
        if let Some(word) = flash.get_mut(at.0 as usize..at.0 as usize + 4) {
            word.fill(0);
        }
    }
    passes.extend(put_back(card, &flash, then, second, &[], other_first)?);
    Ok(RestoreOrder { passes, survives: boots_already || other_boots || other_first })
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
}

/// The pass that restores one area, its signature (or what was in its place) last. `None` when
/// nothing differs.
fn put_back(
    card: &CardSnapshot,
    flash: &[u8],
    then: &CardSnapshot,
    area: &Area,
    invalidate: &[FlashAddr],
    boots: bool,
) -> Result<Option<Pass>, LayoutError> {
    let size = card.flash_chip.geometry.size;
    let signature = area.start.0..area.start.0 + 16;
    let mut body = Vec::new();
    for range in &area.ranges {
        let from = if range.contains(&signature.start) { signature.end } else { range.start };
        body.push((FlashAddr(from), slice(&then.flash, &(from..range.end)).to_vec()));
    }
    let bytes = <[u8; 16]>::try_from(slice(&then.flash, &signature)).unwrap_or(MAGIC);
    let context = PassContext {
        flash,
        geometry: &card.flash_chip.geometry,
        protected: outside(&area.ranges, size),
        disposable: Vec::new(),
        wavering: &card.wavering,
    };
    let address = boots.then(|| boot_address(area.start));
    let signature = Some((area.start, bytes));
    let pass = context.pass(body, signature, address, invalidate.to_vec())?;
    Ok((!pass.is_idle()).then_some(pass))
}
