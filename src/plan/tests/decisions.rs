//! What is changed, what is kept, and what is reported.

use super::bench::*;
use crate::image::{Contents, FlashAddr, Guid, Half, Identity, Mac, Recipe};
use crate::plan::*;

fn field<'a>(changes: &'a [Change], name: &str) -> Option<(&'a str, &'a str)> {
    let change = changes.iter().find(|c| c.field == name)?;
    Some((change.from.as_deref()?, change.to.as_deref()?))
}

fn is_kept(plan: &Plan, name: &str) -> bool {
    plan.report.kept.iter().any(|k| k.field == name)
}

#[test]
fn blank_guids_stay_blank() {
    // P4: as on the owner's card, byte for byte.
    let old = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let plan = burn(&card, &file(&cx3("2.42.5000")));
    let result = plan.action.as_ref().unwrap().contents.as_ref().unwrap();
    assert_eq!(Identity::from_image(result.image()).unwrap(), identity());
    for name in ["guids", "macs", "vsd", "psid"] {
        assert!(is_kept(&plan, name), "{name}");
        assert!(field(&plan.report.changes, name).is_none(), "{name}");
    }
    assert_eq!(field(&plan.report.changes, "fw_version"), Some(("2.35.5100", "2.42.5000")));
}

#[test]
fn the_same_image_is_nothing_to_do() {
    let image = file(&cx3("2.42.5000"));
    let card = snapshot(A1, &[(&own(&cx3("2.42.5000")), Half::Even)]);
    let plan = burn(&card, &image);
    accepted(&plan);
    assert!(plan.report.nothing_to_do);
    assert!(plan.action.is_none());
    assert!(plan.report.warnings.is_empty());
    for half in [Half::Even, Half::Odd] {
        let image = file(&pro("2.42.5000"));
        let card = snapshot(PRO, &[(&own(&pro("2.42.5000")), half)]);
        assert!(burn(&card, &image).report.nothing_to_do);
    }
    // Both halves hold it, as some makers burn cards.
    let both = own(&pro("2.42.5000"));
    let card = snapshot(PRO, &[(&both, Half::Even), (&both, Half::Odd)]);
    assert!(burn(&card, &file(&pro("2.42.5000"))).report.nothing_to_do);
}

#[test]
fn the_same_version_with_other_bytes_is_written() {
    let image = file(&Recipe { seed: 4711, ..cx3("2.42.5000") });
    let card = snapshot(A1, &[(&own(&cx3("2.42.5000")), Half::Even)]);
    let plan = burn(&card, &image);
    accepted(&plan);
    assert!(!plan.report.nothing_to_do);
}

#[test]
fn the_rom_of_the_result_is_reported() {
    let old = own(&Recipe { rom: Some(rom(648, 0x1003)), ..cx3("2.35.5100") });
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let with = file(&cx3("2.42.5000"));
    let without = file(&Recipe { rom: None, ..cx3("2.42.5000") });
    let choose = |rom| BurnOptions { rom, ..BurnOptions::default() };
    let rom_of = |plan: &Plan| {
        let contents = plan.action.as_ref().unwrap().contents.as_ref().unwrap();
        contents.rom().map(<[u8]>::to_vec)
    };
    let detail = |plan: &Plan| {
        plan.report.checks.iter().find(|c| c.id == CheckId::Rom).unwrap().detail.clone()
    };
    let ours = Some(rom(648, 0x1003));
    let theirs = Some(rom(752, 0x1003));
    for (image, choice, want, word) in [
        (&with, None, &theirs, "image's ROM"),
        (&without, None, &ours, "card's ROM stays"),
        (&with, Some(RomChoice::Device), &ours, "card's ROM stays"),
        (&with, Some(RomChoice::Image), &theirs, "image's ROM"),
        (&without, Some(RomChoice::Image), &None, "no ROM"),
        (&with, Some(RomChoice::None), &None, "no ROM"),
    ] {
        let plan = burn_with(&card, image, &choose(choice));
        accepted(&plan);
        assert_eq!(&rom_of(&plan), want, "{choice:?}");
        assert!(detail(&plan).contains(word), "{}", detail(&plan));
    }
}

#[test]
fn a_non_failsafe_burn_warns_about_interruption() {
    let card = snapshot(A1, &[(&own(&cx3("2.35.5100")), Half::Even)]);
    let plan = burn(&card, &file(&cx3("2.42.5000")));
    let words = plan.report.warnings.join(" ");
    for word in ["recovery mode", "recover", "restore", "backup"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    let action = plan.action.unwrap();
    assert!(!action.survives_interruption);
    assert!(action.passes.iter().all(|p| !p.sectors.interruptible));
    assert_eq!(action.target, Some(Target::InPlace));

    let card = snapshot(PRO, &[(&own(&pro("2.36.5150")), Half::Even)]);
    let plan = burn(&card, &file(&pro("2.42.5000")));
    assert!(plan.report.warnings.is_empty(), "{:?}", plan.report.warnings);
    let action = plan.action.unwrap();
    assert!(action.survives_interruption);
    assert!(action.passes.iter().all(|p| p.sectors.interruptible));
}

#[test]
fn an_identity_change_touches_nothing_else() {
    let card = snapshot(PRO, &[(&own(&pro("2.36.5150")), Half::Even)]);
    let change = IdentityChange {
        macs: Some([Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)]),
        ..IdentityChange::default()
    };
    let plan = plan_identity(&card, &change);
    accepted(&plan);
    let names: Vec<&str> = plan.report.changes.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(names, ["macs"]);
    let after = apply(&card, &plan);
    let found = Contents::from_dump(&after, FlashAddr(0x1_0000)).unwrap();
    assert!(found.image().is_valid());
    assert_eq!(
        Identity::from_image(found.image()).unwrap(),
        Identity { macs: [Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)], ..identity() }
    );
    // The same again: nothing to do.
    let card = snapshot_on(M25PX16, PRO, &after, 0);
    assert!(plan_identity(&card, &change).report.nothing_to_do);
}

#[test]
fn identity_set_refuses_an_invalid_mac() {
    let card = snapshot(PRO, &[(&own(&pro("2.36.5150")), Half::Even)]);
    let change = IdentityChange {
        macs: Some([Mac(0x0100_5E00_0001), Mac(0x0002_C900_0002)]),
        ..IdentityChange::default()
    };
    refused_by(&plan_identity(&card, &change), CheckId::Identity);
    let change = IdentityChange { vsd: Some(vec![b'x'; 209]), ..IdentityChange::default() };
    refused_by(&plan_identity(&card, &change), CheckId::IdentityFits);
}

#[test]
fn an_old_section_of_four_entries_keeps_its_macs() {
    let guids = [0x50, 0x51, 0x52, 0x53].map(|n| Guid(0xE41D_2D03_00DD_7800 | n));
    let old = file(&Recipe { guid_entries: 4, guids: Some(guids), ..cx3("2.35.5100") });
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let plan = burn(&card, &file(&cx3("2.42.5000")));
    accepted(&plan);
    let result = plan.action.as_ref().unwrap().contents.as_ref().unwrap();
    let identity = Identity::from_image(result.image()).unwrap();
    assert_eq!(identity.guids, guids);
    assert_eq!(identity.macs, [Mac(0xE41D_2DDD_7851), Mac(0xE41D_2DDD_7852)]);
    assert!(plan.report.warnings.iter().any(|w| w.contains("without MACs")));
}

#[test]
fn config_reset_erases_only_the_areas() {
    // The non-failsafe formula is not the failsafe one.
    let recipe = Recipe { config_area: Some((2, 0, Some(2))), ..cx3("2.42.5000") };
    let mut used = flash(2 << 20, &[(&own(&recipe), Half::Even)]);
    used[0x1F_0000..].fill(0x5A);
    used[0xF_0000..0x10_0000].fill(0x5A);
    let card = snapshot_on(M25PX16, A1, &used, 0);
    let plan = plan_config_reset(&card);
    accepted(&plan);
    let after = apply(&card, &plan);
    let blank = |r: std::ops::Range<usize>| after[r].iter().all(|b| *b == 0xFF);
    let same = |r: std::ops::Range<usize>| after[r.clone()] == used[r];
    // Two areas of two sectors at the end of the flash, nothing else.
    assert!(blank(0x1F_C000..0x20_0000) && same(0..0x1F_C000));

    let recipe =
        Recipe { config_area: Some((2, 1, Some(2))), chunk_log2: Some(19), ..pro("2.42.5000") };
    let mut used = flash(2 << 20, &[(&own(&recipe), Half::Even)]);
    used[0x17_0000..0x18_0000].fill(0x5A);
    used[0x1F_0000..].fill(0x5A);
    let card = snapshot_on(M25PX16, PRO, &used, 0);
    let plan = plan_config_reset(&card);
    accepted(&plan);
    let after = apply(&card, &plan);
    let blank = |r: std::ops::Range<usize>| after[r].iter().all(|b| *b == 0xFF);
    let same = |r: std::ops::Range<usize>| after[r.clone()] == used[r];
    // One pad sector behind each area.
    assert!(blank(0x17_D000..0x17_F000) && blank(0x1F_D000..0x1F_F000));
    assert!(same(0..0x17_D000) && same(0x17_F000..0x1F_D000) && same(0x1F_F000..0x20_0000));
    // Once more: nothing is there to erase.
    let card = snapshot_on(M25PX16, PRO, &after, 0);
    assert!(plan_config_reset(&card).report.nothing_to_do);
}

#[test]
fn config_reset_refuses_without_a_stated_area() {
    for area in [None, Some((2, 0, None))] {
        let recipe = Recipe { config_area: area, ..cx3("2.42.5000") };
        let card = snapshot(A1, &[(&own(&recipe), Half::Even)]);
        refused_by(&plan_config_reset(&card), CheckId::NvArea);
    }
}
