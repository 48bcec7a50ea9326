//! Two boards side by side.

use super::bench::*;
use crate::image::{Contents, Half, Ini, Recipe};
use crate::plan::*;

const OTHER: &str = "MT_1020110019";

/// A card whose ini is known to the letter.
fn card(ini: &str) -> CardSnapshot {
    let recipe = Recipe { ini: Some(ini.into()), ..cx3("2.35.5100") };
    snapshot(A1, &[(&own(&recipe), Half::Even)])
}

fn other(ini: &str) -> Contents {
    file(&Recipe { psid: OTHER.into(), ini: Some(ini.into()), ..cx3("2.42.5000") })
}

fn spelled_out() -> BurnOptions {
    BurnOptions {
        change_psid: Some(("MT_1170110023".into(), OTHER.into())),
        ..BurnOptions::default()
    }
}

fn compared(plan: &Plan) -> &CrossFlash {
    plan.report.crossflash.as_ref().expect("no comparison")
}

fn keys(found: &CrossFlash) -> Vec<String> {
    let changes = &found.ini.as_ref().unwrap().changes;
    let side = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".into());
    changes
        .iter()
        .map(|c| format!("{}.{} {} {}", c.section, c.key, side(&c.from), side(&c.to)))
        .collect()
}

#[test]
fn the_same_board_is_not_compared() {
    let own = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    assert_eq!(burn(&card, &file(&cx3("2.42.5000"))).report.crossflash, None);
    let change = IdentityChange { vsd: Some(b"new".to_vec()), ..IdentityChange::default() };
    assert_eq!(plan_identity(&card, &change).report.crossflash, None);
}

#[test]
fn every_changed_key_is_listed_and_equal_numbers_are_equal() {
    let card = card(
        "[A]\nt1 = 1\nt2 = 1\nt3 = 1\nt4 = 1\nt5 = 1\nplain = x\ngone = 7\nsame = 0x10\nb = 1 ; word\n\
         [IB]\nnum_of_ports = 1\n",
    );
    let image = other(
        "[A]\nt1 = 2\nt2 = 2\nt3 = 2\nt4 = 2\nt5 = 2\nplain = y\nsame = 16\nb = 1\n\
         [IB]\nnum_of_ports = 2\n[C]\nplain = x\n",
    );
    let plan = burn(&card, &image);
    let found = compared(&plan);
    assert_eq!(
        keys(found),
        [
            // What people ask for, then single keys, then tables.
            "IB.num_of_ports 1 2",
            "A.plain x y",
            "C.plain - x",
            "A.gone 7 -",
            "A.t1 1 2",
            "A.t2 1 2",
            "A.t3 1 2",
            "A.t4 1 2",
            "A.t5 1 2",
        ]
    );
    let diff = found.ini.as_ref().unwrap();
    assert_eq!((diff.changed, diff.added, diff.removed), (7, 1, 1));
}

#[test]
fn ports_and_bar_are_compared() {
    let card = card(
        "[HCA]\nlog2_uar_bar_megabytes = 3\n[IB]\nnum_of_ports = 1\nphy_type_port1 = XFI\n\
         [FW]\nlog_flashdev_size = 21\n",
    );
    let image = other(
        "[HCA]\nlog2_uar_bar_megabytes = 0x5\n[IB]\nnum_of_ports = 2\nphy_type_port1 = QSFP\n\
         phy_type_port2 = QSFP\n[FW]\nlog_flashdev_size = 21\n",
    );
    let plan = burn(&card, &image);
    let found = compared(&plan);
    assert_eq!(found.psid.card, Some("MT_1170110023".into()));
    assert_eq!(found.psid.image, Some(OTHER.into()));
    let ports = |side: &Option<BoardPorts>| side.clone().map(|p| (p.number, p.kinds.join(" ")));
    assert_eq!(ports(&found.ports.card), Some((Some(1), "XFI".into())));
    assert_eq!(ports(&found.ports.image), Some((Some(2), "QSFP QSFP".into())));
    assert_eq!((found.uar_bar_mib.card, found.uar_bar_mib.image), (Some(8), Some(32)));
    assert_eq!(found.flash_size.image, Some(2 << 20));
    assert_eq!(found.chip_size, 2 << 20);
    assert_eq!(found.vsd.card, Some("rack 7".into()));
    assert!(found.notes.iter().any(|n| n.contains("from 8 to 32 MiB")));
    assert!(found.notes.iter().any(|n| n.contains("2 in the image")));
    // Values that are no numbers, or no sizes, are nothing.
    let odd = other("[HCA]\nlog2_uar_bar_megabytes = 64\n[FW]\nlog_flashdev_size = x\n");
    let plan = burn(&card, &odd);
    assert_eq!(compared(&plan).uar_bar_mib.image, None);
    assert_eq!(compared(&plan).flash_size.image, None);
    assert_eq!(compared(&plan).ports.image, None);
}

#[test]
fn later_refusals_are_listed_before_the_psid_is_specified() {
    let own = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    // Only judged once the identity and the ROM are in the image.
    let foreign_rom =
        file(&Recipe { psid: OTHER.into(), rom: Some(rom(752, 0x1007)), ..cx3("2.42.5000") });
    let plan = burn(&card, &foreign_rom);
    assert_eq!(refused(&plan), [CheckId::Psid]);
    let found = compared(&plan);
    assert!(!found.possible);
    let ids: Vec<CheckId> = found.obstacles.iter().map(|c| c.id).collect();
    assert_eq!(ids, [CheckId::RomDevice]);
    // And it is what refuses then.
    let plan = burn_with(&card, &foreign_rom, &spelled_out());
    assert_eq!(refused(&plan), ids);
    assert_eq!(compared(&plan).obstacles[0].detail, found.obstacles[0].detail);
}

#[test]
fn a_pad_that_the_change_of_psid_waives_is_no_obstacle() {
    let own = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    let image = file(&Recipe {
        psid: OTHER.into(),
        config_area: Some((1, 3, Some(2))),
        ..cx3("2.42.5000")
    });
    let plan = burn(&card, &image);
    assert_eq!(refused(&plan), [CheckId::Psid, CheckId::ConfigPad]);
    let found = compared(&plan);
    assert!(found.possible, "{:?}", found.obstacles);
    assert_eq!((found.config_pad.card, found.config_pad.image), (Some(0), Some(3)));
    assert!(found.notes.iter().any(|n| n.contains("settings")));
    let plan = burn_with(&card, &image, &spelled_out());
    accepted(&plan);
    assert!(compared(&plan).possible);
}

#[test]
fn what_cannot_work_is_not_possible() {
    let by = |image: &Contents, card: &CardSnapshot| {
        let found = burn(card, image).report.crossflash.unwrap();
        assert!(!found.possible);
        found.obstacles.iter().map(|c| c.id).collect::<Vec<_>>()
    };
    let old = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let recipe = Recipe { psid: OTHER.into(), ..cx3("2.42.5000") };
    // Other silicon; a revision that is not listed.
    for (chip, device_id) in [(PRO, 4103), (A0, 4099)] {
        let supported_hw = vec![(chip.hw_id, chip.revision)];
        let own = own(&Recipe { supported_hw, device_id, rom: None, ..cx3("2.35.5100") });
        assert_eq!(by(&file(&recipe), &snapshot(chip, &[(&own, Half::Even)])), [CheckId::Silicon]);
    }
    // Another size of flash in the ini; an image that is too large.
    let wide = other("[FW]\nlog_flashdev_size = 22\n");
    assert_eq!(by(&wide, &card), [CheckId::FlashSize]);
    let large = file(&Recipe { size: 0x20_1000, ..recipe });
    assert!(by(&large, &card).contains(&CheckId::Fits));
    // Chunks of another size.
    let failsafe = own(&pro("2.36.5150"));
    let card = snapshot(PRO, &[(&failsafe, Half::Even)]);
    let chunks = file(&Recipe { psid: OTHER.into(), chunk_log2: Some(17), ..pro("2.42.5000") });
    assert_eq!(by(&chunks, &card), [CheckId::ChunkSize]);
    let found = burn(&card, &chunks).report.crossflash.unwrap();
    assert_eq!((found.chunk_size.card, found.chunk_size.image), (Some(0x1_0000), Some(0x2_0000)));
}

#[test]
fn a_damaged_psid_is_not_compared() {
    let good = own(&cx3("2.35.5100"));
    let mut flash = flash(2 << 20, &[(&good, Half::Even)]);
    let at = good.image().header.info_body.0 as usize;
    flash[at + 5] ^= 1;
    let card = snapshot_on(M25PX16, A1, &flash, 0);
    let plan = burn(&card, &other("[A]\nb = 1\n"));
    assert_eq!(plan.report.crossflash, None);
    assert!(refused(&plan).contains(&CheckId::Identity));
}

#[test]
fn every_key_of_an_ini_of_a_hundred_thousand_is_compared() {
    let ini = |value: u32| Ini {
        bytes: (0..100_000).flat_map(|n| format!("{n:x}={value}\n").into_bytes()).collect(),
    };
    let diff = IniDiff::of(&ini(1), &ini(2));
    assert_eq!((diff.changed, diff.added, diff.removed), (100_000, 0, 0));
}

#[test]
fn an_older_image_of_another_board_is_no_downgrade() {
    let own = own(&cx3("2.42.5000"));
    let card = snapshot(A1, &[(&own, Half::Even)]);
    let downgrade = |plan: &Plan| plan.report.warnings.iter().any(|w| w.contains("downgrade"));
    let other = file(&Recipe { psid: OTHER.into(), ..cx3("2.35.5100") });
    let plan = burn_with(&card, &other, &spelled_out());
    accepted(&plan);
    assert!(!downgrade(&plan), "{:?}", plan.report.warnings);
    let psids = [&plan.report.from_psid, &plan.report.to_psid];
    assert_eq!(psids.map(|p| p.as_ref().unwrap().as_str()), ["MT_1170110023", OTHER]);
    let older = BurnOptions { allow_older: true, ..BurnOptions::default() };
    assert!(downgrade(&burn_with(&card, &file(&cx3("2.35.5100")), &older)));
}
