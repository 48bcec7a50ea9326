//! Cards and images for plan tests.

use crate::card::Chip;
use crate::flash::{FlashChip, Protection};
use crate::image::SectionKind;
use crate::image::{
    Contents, Guid, Half, Identity, Layout, Mac, Recipe, RomRecipe, Version, build, striped,
};
use crate::plan::{BurnOptions, CardSnapshot, CheckId, Plan, plan_burn};

pub(crate) const M25PX16: u32 = 0x20_7115;
/// 64 KiB erases only.
pub(crate) const M25P16: u32 = 0x20_2015;
/// Powers up protected.
pub(crate) const SST25VF016B: u32 = 0xBF_2541;

pub(crate) const A0: Chip = Chip { hw_id: 0x1F5, revision: 0 };
pub(crate) const A1: Chip = Chip { hw_id: 0x1F5, revision: 1 };
pub(crate) const PRO: Chip = Chip { hw_id: 0x1F7, revision: 0 };

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Blank GUIDs beside valid MACs, as on the owner's card.
pub(crate) fn identity() -> Identity {
    Identity {
        guids: [Guid(u64::MAX); 4],
        macs: [Mac(0xE41D_2DDD_7850), Mac(0xE41D_2DDD_7851)],
        vsd: b"rack 7".to_vec(),
    }
}

pub(crate) fn rom(version: u16, device: u16) -> Vec<u8> {
    RomRecipe::pxe((3, 4, version), device, 0x1000).build().unwrap()
}

/// A small non-failsafe image.
pub(crate) fn cx3(text: &str) -> Recipe {
    Recipe {
        version: version(text),
        rom: Some(rom(752, 0x1003)),
        size: 0x1_8000,
        seed: text.bytes().map(u64::from).sum(),
        ..Recipe::default()
    }
    .matching_ini()
}

/// A small failsafe Pro image, chunks of 64 KiB, longer than one chunk.
pub(crate) fn pro(text: &str) -> Recipe {
    Recipe {
        version: version(text),
        rom: Some(rom(752, 0x1007)),
        chunk_log2: Some(16),
        size: 0x1_8000,
        seed: text.bytes().map(u64::from).sum(),
        ..Recipe::mcx312b_2_42_5000()
    }
    .matching_ini()
}

pub(crate) fn file(recipe: &Recipe) -> Contents {
    Contents::from_file(&build(recipe).unwrap()).unwrap()
}

/// As it is on the card, with the card's identity.
pub(crate) fn own(recipe: &Recipe) -> Contents {
    file(recipe).with_identity(&identity()).unwrap()
}

/// Flash contents with these images in these halves.
pub(crate) fn flash(size: usize, images: &[(&Contents, Half)]) -> Vec<u8> {
    let mut out = vec![0xFF; size];
    for (contents, half) in images {
        let bytes = match contents.image().layout {
            Layout::NonFailsafe => contents.bytes().to_vec(),
            Layout::Failsafe { .. } => {
                striped(contents.bytes(), *half, u32::try_from(size).unwrap()).unwrap()
            }
        };
        for (place, byte) in out.iter_mut().zip(bytes) {
            *place &= byte;
        }
    }
    out
}

pub(crate) fn snapshot_on(jedec: u32, chip: Chip, flash: &[u8], status: u8) -> CardSnapshot {
    let part = FlashChip::detect(jedec).unwrap();
    let mut whole = flash.to_vec();
    whole.resize(part.geometry.size as usize, 0xFF);
    let protection = Protection::decode(&part, status, None);
    CardSnapshot::new(chip, false, None, part, protection, whole).unwrap()
}

pub(crate) fn snapshot(chip: Chip, images: &[(&Contents, Half)]) -> CardSnapshot {
    snapshot_on(M25PX16, chip, &flash(2 << 20, images), 0)
}

pub(crate) fn burn(card: &CardSnapshot, image: &Contents) -> Plan {
    burn_with(card, image, &BurnOptions::default())
}

pub(crate) fn burn_with(card: &CardSnapshot, image: &Contents, options: &BurnOptions) -> Plan {
    plan_burn(card, image, image.bytes().len() as u64, options)
}

/// Checks that refuse, those only skipped left out.
pub(crate) fn refused(plan: &Plan) -> Vec<CheckId> {
    plan.report.checks.iter().filter(|c| !c.ok && !c.skipped).map(|c| c.id).collect()
}

#[track_caller]
pub(crate) fn accepted(plan: &Plan) {
    let refusals: Vec<_> = plan.report.checks.iter().filter(|c| !c.ok).collect();
    assert!(refusals.is_empty(), "{refusals:#?}");
}

/// Refused by exactly this check, and with no writes to carry out.
#[track_caller]
pub(crate) fn refused_by(plan: &Plan, id: CheckId) -> String {
    assert_eq!(refused(plan), [id], "{:#?}", plan.report.checks);
    assert!(plan.action.is_none(), "a refused plan has writes");
    assert!(!plan.report.nothing_to_do);
    plan.report.checks.iter().find(|c| c.id == id).map(|c| c.detail.clone()).unwrap()
}

/// Apply the writes of a plan to a flash, as the machine would: erases to FF, programs clear bits.
pub(crate) fn apply(card: &CardSnapshot, plan: &Plan) -> Vec<u8> {
    let mut flash = card.flash.clone();
    let action = plan.action.as_ref().expect("a plan with writes");
    let program = |flash: &mut Vec<u8>, at: usize, bytes: &[u8]| {
        for (place, byte) in flash[at..at + bytes.len()].iter_mut().zip(bytes) {
            *place &= byte;
        }
    };
    for pass in &action.passes {
        for (at, size) in &pass.sectors.erases {
            let start = at.0 as usize;
            flash[start..start + size.bytes() as usize].fill(0xFF);
        }
        for (at, bytes) in &pass.sectors.programs {
            program(&mut flash, at.0 as usize, bytes);
        }
        for (at, bytes) in &pass.sectors.expect {
            let start = at.0 as usize;
            assert!(
                flash[start..start + bytes.len()] == bytes[..],
                "read-back would fail at {start:#x}"
            );
        }
        if let (Some(at), Some(bytes)) = (pass.sectors.signature_at, pass.signature.bytes) {
            program(&mut flash, at.0 as usize, &bytes);
        }
        for at in &pass.signature.invalidate {
            program(&mut flash, at.0 as usize, &[0; 4]);
        }
    }
    flash
}

/// The owner's card and the image for it.
pub(crate) fn owner() -> (CardSnapshot, Contents) {
    let old = own(&cx3("2.35.5100"));
    (snapshot(A1, &[(&old, Half::Even)]), file(&cx3("2.42.5000")))
}

/// A failsafe Pro card and the image for it.
pub(crate) fn failsafe() -> (CardSnapshot, Contents) {
    let old = own(&pro("2.36.5150"));
    (snapshot(PRO, &[(&old, Half::Even)]), file(&pro("2.42.5000")))
}

/// The first byte of the body of the first section of `kind`, changed.
pub(crate) fn damaged(contents: &Contents, kind: SectionKind) -> Vec<u8> {
    let mut bytes = contents.bytes().to_vec();
    let section =
        contents.image().sections.iter().find(|s| s.kind == kind).expect("a section of this kind");
    bytes[section.body_at.0 as usize + 3] ^= 0x10;
    bytes
}
