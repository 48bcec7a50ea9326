//! Putting a whole flash back.

use super::bench::*;
use crate::image::{Contents, FlashAddr, Half, Mac, Recipe};
use crate::plan::*;

fn backup(flash: Vec<u8>) -> BackupFacts {
    BackupFacts {
        flash,
        chip: None,
        running: None,
        provenance: "a test".into(),
        wavering: Vec::new(),
        change_mac: None,
    }
}

/// Every state two halves can be in.
fn states() -> Vec<Vec<u8>> {
    let a = own(&pro("2.36.5150"));
    let b = own(&pro("2.42.5000"));
    let size = 2 << 20;
    let invalidate = |mut flash: Vec<u8>, at: usize| {
        flash[at..at + 4].fill(0);
        flash
    };
    let even_odd = |x: &Contents, y: &Contents| flash(size, &[(x, Half::Even), (y, Half::Odd)]);
    let mut states = vec![
        flash(size, &[(&a, Half::Even)]),
        flash(size, &[(&a, Half::Odd)]),
        flash(size, &[(&b, Half::Even)]),
        flash(size, &[(&b, Half::Odd)]),
        even_odd(&a, &b),
        even_odd(&b, &a),
        invalidate(even_odd(&a, &b), 0),
        invalidate(even_odd(&a, &b), 0x1_0000),
        invalidate(even_odd(&b, &a), 0),
        invalidate(even_odd(&b, &a), 0x1_0000),
    ];
    // NV areas differ, too.
    for (n, state) in states.iter_mut().enumerate() {
        state[(1 << 20) + 0xF_E000] = n as u8;
    }
    states
}

#[test]
fn a_restore_is_byte_for_byte() {
    let states = states();
    for (i, now) in states.iter().enumerate() {
        for (j, then) in states.iter().enumerate() {
            let card = snapshot_on(M25PX16, PRO, now, 0);
            let plan = plan_restore(&card, &backup(then.clone()));
            accepted(&plan);
            if i == j {
                assert!(plan.report.nothing_to_do, "{i}");
            } else {
                assert!(apply(&card, &plan) == *then, "{i} to {j}");
            }
        }
    }
}

#[test]
fn a_restore_keeps_one_half_bootable_where_possible() {
    // Wherever one half is bootable before and the other one can be made so first.
    let states = states();
    for (i, now) in states.iter().enumerate() {
        for (j, then) in states.iter().enumerate() {
            let card = snapshot_on(M25PX16, PRO, now, 0);
            let plan = plan_restore(&card, &backup(then.clone()));
            let Some(action) = plan.action else { continue };
            if !action.survives_interruption {
                // Only where the one image there is stands where the one image of the backup goes.
                let boots = |flash: &[u8]| would_boot(flash, PRO).start;
                assert_eq!(boots(now), boots(then), "{i} to {j}");
                assert_eq!(card.bootable().count(), 1, "{i} to {j}");
                assert!(!plan.report.warnings.is_empty());
                continue;
            }
            // Before each pass, with that pass's half wiped, something must boot.
            let mut flash = now.clone();
            for pass in &action.passes {
                let mut torn = flash.clone();
                for (at, size) in &pass.sectors.erases {
                    let start = at.0 as usize;
                    torn[start..start + size.bytes() as usize].fill(0);
                }
                for (at, bytes) in &pass.sectors.programs {
                    torn[at.0 as usize..at.0 as usize + bytes.len()].fill(0);
                }
                assert!(would_boot(&torn, PRO).start.is_some(), "{i} to {j}");
                let one = CardSnapshot { flash: flash.clone(), ..card.clone() };
                let step = Plan {
                    report: plan.report.clone(),
                    action: Some(Action { passes: vec![pass.clone()], ..action.clone() }),
                };
                flash = apply(&one, &step);
                assert!(would_boot(&flash, PRO).start.is_some(), "{i} to {j}");
            }
        }
    }
}

#[test]
fn the_image_that_ran_boots_of_two_in_a_backup() {
    let [a, b] = ["2.36.5150", "2.42.5000"].map(|v| own(&pro(v)));
    let two = flash(2 << 20, &[(&a, Half::Even), (&b, Half::Odd)]);
    let boots = |card: &CardSnapshot, backup: &BackupFacts| {
        let plan = plan_restore(card, backup);
        accepted(&plan);
        plan.action.unwrap().boots.version
    };
    let newer = || BackupFacts { running: Some(version("2.42.5000")), ..backup(two.clone()) };
    // Other settings, the same images: the card shows which boots.
    let mut now = two.clone();
    now[(1 << 20) + 0xF_E000] = 7;
    let mut card = snapshot_on(M25PX16, PRO, &now, 0);
    for shown in ["2.42.5000", "2.36.5150"] {
        card.running = Some(version(shown));
        assert_eq!(boots(&card, &newer()), card.running);
        assert_eq!(boots(&card, &backup(two.clone())), card.running);
    }
    // The card holds something else: the manifest shows it.
    let one = snapshot_on(M25PX16, PRO, &flash(2 << 20, &[(&a, Half::Even)]), 0);
    assert_eq!(boots(&one, &newer()), Some(version("2.42.5000")));
    // Without either, the lowest.
    assert_eq!(boots(&one, &backup(two.clone())), Some(version("2.36.5150")));
    let third = BackupFacts { running: Some(version("2.40.7000")), ..backup(two) };
    assert_eq!(boots(&one, &third), Some(version("2.36.5150")));
}

#[test]
fn a_non_failsafe_flash_is_restored_byte_for_byte() {
    let old = own(&cx3("2.35.5100"));
    let new = own(&cx3("2.42.5000"));
    let then = flash(2 << 20, &[(&old, Half::Even)]);
    let card = snapshot(A1, &[(&new, Half::Even)]);
    let plan = plan_restore(&card, &backup(then.clone()));
    accepted(&plan);
    assert!(!plan.report.warnings.is_empty());
    assert!(apply(&card, &plan) == then);
    // And onto a card whose burn was cut.
    let card = snapshot_on(M25PX16, A1, &[0; 0x4_0000], 0);
    let plan = plan_restore(&card, &backup(then.clone()));
    accepted(&plan);
    assert!(apply(&card, &plan) == then);
}

#[test]
fn a_backup_of_another_card_is_refused() {
    let theirs =
        own(&cx3("2.35.5100")).with_macs(&[Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)]).unwrap();
    let card = snapshot(A1, &[(&own(&cx3("2.35.5100")), Half::Even)]);
    let plan = plan_restore(&card, &backup(flash(2 << 20, &[(&theirs, Half::Even)])));
    assert_eq!(refused(&plan), [CheckId::Identity]);
    assert!(plan.action.is_none());
}

#[test]
fn an_unfit_backup_is_refused() {
    let old = own(&cx3("2.35.5100"));
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let good = flash(2 << 20, &[(&old, Half::Even)]);
    let refusal = |facts: &BackupFacts| {
        let plan = plan_restore(&card, facts);
        assert!(plan.action.is_none());
        refused(&plan)
    };
    let mut damaged = good.clone();
    damaged[0x60] ^= 1;
    assert_eq!(refusal(&backup(damaged)), [CheckId::BackupValid]);
    assert_eq!(refusal(&backup(Vec::new()))[0], CheckId::BackupValid);
    assert_eq!(refusal(&backup(good[..1 << 20].to_vec())), [CheckId::Fits]);
    let other_chip = BackupFacts { chip: Some((0x1F5, 0)), ..backup(good) };
    assert_eq!(refusal(&other_chip), [CheckId::Silicon]);
    let other_psid = own(&Recipe { psid: "MT_0000000001".into(), ..cx3("2.35.5100") });
    let facts = backup(flash(2 << 20, &[(&other_psid, Half::Even)]));
    assert_eq!(refusal(&facts), [CheckId::Psid]);
}

#[test]
fn a_backup_from_before_an_identity_change_needs_change_mac() {
    let old = own(&cx3("2.35.5100"));
    let then = backup(flash(2 << 20, &[(&old, Half::Even)]));
    let check = |plan: &Plan| {
        let found = plan.report.checks.iter().find(|c| c.id == CheckId::Identity);
        found.map(|c| c.ok).unwrap()
    };
    let vsd = old.with_vsd(b"another shelf").unwrap();
    assert!(check(&plan_restore(&snapshot(A1, &[(&vsd, Half::Even)]), &then)));

    let here = Mac(0xE41D_2D00_0010);
    let other = old.with_macs(&[here, Mac(0xE41D_2D00_0011)]).unwrap();
    let card = snapshot(A1, &[(&other, Half::Even)]);
    assert!(!check(&plan_restore(&card, &then)));
    let identity = crate::image::Identity::from_image(old.image()).unwrap();
    let spelled = |from, to| BackupFacts { change_mac: Some((from, to)), ..then.clone() };
    assert!(check(&plan_restore(&card, &spelled(here, identity.macs[0]))));
    assert!(!check(&plan_restore(&card, &spelled(identity.macs[0], here))));
    assert!(!check(&plan_restore(&card, &spelled(here, here))));
}

/// An image for the other revision of a ConnectX-3.
fn unlisted(list: &[(u16, u8)]) -> Contents {
    own(&Recipe { supported_hw: list.to_vec(), ..cx3("2.35.5100") })
}

#[test]
fn an_image_that_ran_on_this_chip_is_restored_although_it_does_not_list_it() {
    for list in [[(0x1F5, 0)], [(0, 0)]] {
        let image = unlisted(&list);
        let then = flash(2 << 20, &[(&image, Half::Even)]);
        let manifest = BackupFacts {
            chip: Some((A1.hw_id, A1.revision)),
            running: image.image().fw_version(),
            ..backup(then.clone())
        };
        // The burn was cut.
        let mut card = snapshot_on(M25PX16, A1, &[0; 0x4_0000], 0);
        card.recovery = true;
        let plan = plan_restore(&card, &manifest);
        accepted(&plan);
        assert!(apply(&card, &plan) == then);
        let refusal = |facts: &BackupFacts| refused(&plan_restore(&card, facts));
        let of_another = BackupFacts { chip: Some((A0.hw_id, A0.revision)), ..manifest.clone() };
        assert_eq!(refusal(&of_another), [CheckId::Silicon]);
        let other_ran = BackupFacts { running: Some(version("2.42.5000")), ..manifest.clone() };
        assert_eq!(refusal(&other_ran), [CheckId::Silicon]);
        assert_eq!(refusal(&BackupFacts { running: None, ..manifest }), [CheckId::Silicon]);
    }
}

#[test]
fn identity_and_psid_of_an_image_that_does_not_list_the_chip_are_compared() {
    let mut card = snapshot(A1, &[(&unlisted(&[(0x1F5, 0)]), Half::Even)]);
    for running in [Some(version("2.35.5100")), None] {
        card.running = running;
        let theirs = own(&cx3("2.35.5100"))
            .with_macs(&[Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)])
            .unwrap();
        let facts = backup(flash(2 << 20, &[(&theirs, Half::Even)]));
        assert_eq!(refused(&plan_restore(&card, &facts)), [CheckId::Identity]);
        let other_psid = Recipe { psid: "MT_0000000001".into(), ..cx3("2.35.5100") };
        let facts = backup(flash(2 << 20, &[(&own(&other_psid), Half::Even)]));
        assert_eq!(refused(&plan_restore(&card, &facts)), [CheckId::Psid]);
        let image = file(&other_psid);
        let plan = plan_recover(&card, &image, image.bytes().len() as u64, &identity(), None);
        assert!(refused(&plan).contains(&CheckId::Psid));
    }
}

#[test]
fn an_image_of_a_backup_that_read_differently_each_time_is_not_started_by_a_restore() {
    let (even, odd) = (own(&pro("2.36.5150")), own(&pro("2.42.5000")));
    let then = flash(2 << 20, &[(&even, Half::Even), (&odd, Half::Odd)]);
    let card = snapshot(PRO, &[(&own(&pro("2.30.3000")), Half::Even)]);
    // Its signature, a byte of its body.
    for at in [0, 8, 0x4000] {
        let wavering: Vec<_> = std::iter::once(at..at + 4).collect();
        let plan = plan_restore(&card, &BackupFacts { wavering, ..backup(then.clone()) });
        accepted(&plan);
        assert!(plan.report.warnings.iter().any(|text| text.contains("0x0 in the backup")));
        let after = apply(&card, &plan);
        let boots = plan.action.unwrap().boots;
        assert_eq!(boots.start, Some(FlashAddr(0x1_0000)));
        assert_eq!(would_boot(&after, PRO), boots);
        assert!(after[..4] == [0; 4] && after[4..] == then[4..]);
    }
    // Nothing else in it boots: as it was read.
    let alone = flash(2 << 20, &[(&even, Half::Even)]);
    let wavering: Vec<_> = std::iter::once(0..4).collect();
    let plan = plan_restore(&card, &BackupFacts { wavering, ..backup(alone) });
    assert!(plan.report.warnings.iter().all(|text| !text.contains("in the backup")));
}

#[test]
fn a_restore_is_about_the_image_that_boots_after_it() {
    let (even, odd) = (own(&pro("2.30.3000")), own(&pro("2.36.5150")));
    // The card runs the image in the even half, although its full CRC is wrong; a burn into the odd half was cut.
    let mut then = flash(2 << 20, &[(&even, Half::Even), (&odd, Half::Odd)]);
    then[0x23] ^= 1;
    let mut now = then.clone();
    now[0x1_0000..0x1_4000].fill(0);
    let mut card = snapshot_on(M25PX16, PRO, &now, 0);
    for (running, start, restored) in
        [(Some(version("2.30.3000")), 0, &even), (None, 0x1_0000, &odd)]
    {
        card.running = running;
        let plan = plan_restore(&card, &backup(then.clone()));
        accepted(&plan);
        assert!(apply(&card, &plan) == then);
        assert_eq!(plan.report.to_version, restored.image().fw_version());
        let action = plan.action.unwrap();
        assert_eq!(action.boots.start, Some(FlashAddr(start)));
        assert_eq!(action.boots.version, restored.image().fw_version());
        assert_eq!(action.contents.unwrap().image().fw_version(), action.boots.version);
        // What a software reset starts.
        let addresses = action.passes.iter().filter_map(|pass| pass.signature.boot_address);
        assert!(addresses.into_iter().all(|address| address == start << 8));
        assert_eq!(action.survives_interruption, running.is_some());
    }
}

#[test]
fn the_image_that_the_card_runs_is_restored_without_a_manifest_although_it_does_not_list_the_chip()
{
    let runs = unlisted(&[(0x1F5, 0)]);
    let mut then = flash(2 << 20, &[(&runs, Half::Even)]);
    let mut card = snapshot_on(M25PX16, A1, &then, 0);
    // The configuration area.
    then[0x1F_E000] = 7;
    assert_eq!(refused(&plan_restore(&card, &backup(then.clone()))), [CheckId::Silicon]);
    card.running = runs.image().fw_version();
    let plan = plan_restore(&card, &backup(then.clone()));
    accepted(&plan);
    assert!(apply(&card, &plan) == then);
}
