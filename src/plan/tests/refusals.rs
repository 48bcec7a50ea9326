//! Every check refuses what it is there for, and nothing else does.

use super::bench::*;
use crate::card::Chip;
use crate::image::{Contents, CrcVerdict, Guid, Half, Mac, Recipe, SectionKind};
use crate::plan::rules;
use crate::plan::*;
use std::collections::BTreeSet;

#[test]
fn a_valid_image_is_accepted() {
    for (card, image) in [owner(), failsafe()] {
        let plan = burn(&card, &image);
        accepted(&plan);
        assert!(plan.action.is_some());
    }
}

#[test]
fn every_check_is_listed_in_order() {
    use CheckId::*;
    let burn_checks = [
        ImageValid,
        ImageSize,
        RomDevice,
        Signatures,
        OldImage,
        RunningImage,
        Identity,
        IdentityFits,
        Layout,
        ChunkSize,
        Version,
        Psid,
        ConfigPad,
        Silicon,
        Rom,
        PatchedImage,
        Fits,
        FlashSize,
        NvArea,
        Protection,
        Interruption,
    ];
    let (card, image) = owner();
    let blank = snapshot(A1, &[]);
    for plan in [burn(&card, &image), burn(&blank, &image)] {
        let ids: Vec<_> = plan.report.checks.iter().map(|c| c.id).collect();
        assert_eq!(ids, burn_checks);
        assert!(plan.report.checks.iter().all(|c| !c.detail.is_empty()));
    }
}

#[test]
fn a_damaged_image_is_refused() {
    let (card, image) = owner();
    for kind in [
        SectionKind::Boot2,
        SectionKind::Ddr,
        SectionKind::Guid,
        SectionKind::ImageInfo,
        SectionKind::Rom,
    ] {
        let bad = Contents::from_file(&damaged(&image, kind)).unwrap();
        let plan = burn(&card, &bad);
        assert!(refused(&plan).contains(&CheckId::ImageValid), "{kind:?}");
        assert!(plan.action.is_none());
    }
    // The header is covered by the full image CRC only, which mstflint does not insist on.
    let mut bytes = image.bytes().to_vec();
    bytes[0x11] ^= 1;
    let bad = Contents::from_file(&bytes).unwrap();
    refused_by(&burn(&card, &bad), CheckId::ImageValid);
}

#[test]
fn an_image_longer_than_its_file_is_refused() {
    let (card, image) = owner();
    let len = image.bytes().len() as u64;
    let plan = plan_burn(&card, &image, len - 4, &BurnOptions::default());
    refused_by(&plan, CheckId::ImageSize);
}

#[test]
fn a_rom_of_another_device_is_refused() {
    let (card, _) = owner();
    let image = file(&Recipe { rom: Some(rom(752, 0x1007)), ..cx3("2.42.5000") });
    refused_by(&burn(&card, &image), CheckId::RomDevice);
    // Without that ROM nothing is wrong.
    let options = BurnOptions { rom: Some(RomChoice::None), ..BurnOptions::default() };
    accepted(&burn_with(&card, &image, &options));
}

#[test]
fn a_blank_card_is_refused() {
    let plan = burn(&snapshot(A1, &[]), &file(&cx3("2.42.5000")));
    refused_by(&plan, CheckId::OldImage);
}

#[test]
fn two_images_of_different_layout_are_refused_unless_the_running_version_decides() {
    // A non-failsafe image at 0 and a failsafe one behind it: which boots is not known.
    let even = own(&Recipe {
        device_id: 4103,
        supported_hw: vec![(0x1F7, 0)],
        psid: "MT_1200111023".into(),
        rom: None,
        size: 0,
        ..cx3("2.35.5100")
    });
    assert!(even.bytes().len() < 0x1_0000, "must end before the odd half");
    let odd = own(&pro("2.36.5150"));
    let mut card = snapshot(PRO, &[(&even, Half::Even), (&odd, Half::Odd)]);
    let image = file(&pro("2.42.5000"));
    let plan = burn(&card, &image);
    assert!(refused(&plan).contains(&CheckId::Signatures));
    assert!(plan.action.is_none());
    // The running version decides.
    card.running = Some(version("2.36.5150"));
    accepted(&burn(&card, &image));
}

#[test]
fn a_damaged_identity_is_refused() {
    let image = file(&cx3("2.42.5000"));
    let old = own(&cx3("2.35.5100"));
    for kind in [SectionKind::Guid, SectionKind::ImageInfo] {
        let card = snapshot_on(M25PX16, A1, &damaged(&old, kind), 0);
        let detail = refused_by(&burn(&card, &image), CheckId::Identity);
        assert!(detail.contains("recover --identity"), "{detail}");
    }
}

#[test]
fn a_card_without_an_identity_is_refused() {
    let image = file(&cx3("2.42.5000"));
    let blank = file(&Recipe { guids: None, ..cx3("2.35.5100") });
    let card = snapshot(A1, &[(&blank, Half::Even)]);
    assert!(refused(&burn(&card, &image)).contains(&CheckId::Identity));

    let neither = file(&Recipe {
        guids: Some([Guid(u64::MAX); 4]),
        macs: [Mac(u64::MAX); 2],
        ..cx3("2.35.5100")
    });
    let card = snapshot(A1, &[(&neither, Half::Even)]);
    refused_by(&burn(&card, &image), CheckId::Identity);
}

#[test]
fn multicast_mac_is_refused() {
    let image = file(&cx3("2.42.5000"));
    let odd = file(&Recipe {
        guids: Some([Guid(0xE41D_2D03_00DD_7850); 4]),
        macs: [Mac(0x0100_5E00_0001), Mac(0xE41D_2DDD_7851)],
        ..cx3("2.35.5100")
    });
    let card = snapshot(A1, &[(&odd, Half::Even)]);
    let detail = refused_by(&burn(&card, &image), CheckId::Identity);
    assert!(detail.contains("01005e000001"), "{detail}");
}

#[test]
fn an_image_that_cannot_hold_the_identity_is_refused() {
    let (card, _) = owner();
    let no_vsd = file(&Recipe { vsd: None, ..cx3("2.42.5000") });
    refused_by(&burn(&card, &no_vsd), CheckId::IdentityFits);
    let four = file(&Recipe { guid_entries: 4, ..cx3("2.42.5000") });
    refused_by(&burn(&card, &four), CheckId::IdentityFits);
}

#[test]
fn another_layout_is_refused() {
    let (card, _) = owner();
    let image = file(&Recipe { chunk_log2: Some(19), ..cx3("2.42.5000") });
    assert!(refused(&burn(&card, &image)).contains(&CheckId::Layout));
    let (card, _) = failsafe();
    let image = file(&Recipe { chunk_log2: None, ..pro("2.42.5000") });
    assert!(refused(&burn(&card, &image)).contains(&CheckId::Layout));
}

#[test]
fn another_chunk_size_is_refused() {
    let (card, _) = failsafe();
    let image = file(&Recipe { chunk_log2: Some(17), ..pro("2.42.5000") });
    refused_by(&burn(&card, &image), CheckId::ChunkSize);
}

#[test]
fn an_image_without_a_version_is_refused() {
    let mut image = file(&cx3("2.42.5000")).image().clone();
    assert!(rules::version(None, &image).is_ok());
    image.info.as_mut().unwrap().fw_version = None;
    assert!(rules::version(None, &image).is_err());
}

#[test]
fn an_older_version_needs_allow_older_and_is_named() {
    let (card, _) = owner();
    let older = file(&cx3("2.30.8000"));
    let detail = refused_by(&burn(&card, &older), CheckId::Version);
    assert!(detail.contains("2.30.8000 is older than 2.35.5100"), "{detail}");
    let allow_older = BurnOptions { allow_older: true, ..BurnOptions::default() };
    let plan = burn_with(&card, &older, &allow_older);
    accepted(&plan);
    assert!(plan.report.warnings.iter().any(|w| w.contains("downgrade")));
    // The same version needs nothing.
    accepted(&burn(&card, &file(&cx3("2.35.5100"))));
    // Nothing to compare with: versions of two boards.
    let other = Recipe { psid: "MT_1170110099".into(), ..cx3("2.30.8000") };
    let change = ("MT_1170110023".to_owned(), "MT_1170110099".to_owned());
    let options = BurnOptions { change_psid: Some(change), ..BurnOptions::default() };
    let plan = burn_with(&card, &file(&other), &options);
    accepted(&plan);
    assert!(plan.report.warnings.iter().any(|w| w.contains("older")));
}

#[test]
fn the_version_that_would_boot_counts_and_not_the_one_that_runs() {
    // Two bootable halves: the running version decides which one boots.
    let (a, b) = (own(&pro("2.36.5150")), own(&pro("2.40.5000")));
    let mut card = snapshot(PRO, &[(&a, Half::Even), (&b, Half::Odd)]);
    let image = file(&pro("2.38.5000"));
    card.running = Some(version("2.36.5150"));
    accepted(&burn(&card, &image));
    card.running = Some(version("2.40.5000"));
    refused_by(&burn(&card, &image), CheckId::Version);
    // Another version was committed and waits for its start.
    let mut card = snapshot(PRO, &[(&a, Half::Even)]);
    card.running = Some(version("2.40.5000"));
    accepted(&burn(&card, &image));
}

#[test]
fn another_psid_is_refused_unless_specified() {
    let (card, _) = owner();
    let image = file(&Recipe { psid: "MT_1170110099".into(), ..cx3("2.42.5000") });
    let detail = refused_by(&burn(&card, &image), CheckId::Psid);
    assert!(detail.contains("MT_1170110023") && detail.contains("MT_1170110099"));
    let change = |from: &str, to: &str| BurnOptions {
        change_psid: Some((from.into(), to.into())),
        ..BurnOptions::default()
    };
    accepted(&burn_with(&card, &image, &change("MT_1170110023", "MT_1170110099")));
    for (from, to) in [
        ("MT_1170110099", "MT_1170110023"),
        ("MT_1170110023", "MT_117011009"),
        ("MT_1170110022", "MT_1170110099"),
        ("", "MT_1170110099"),
        ("MT_1170110023", ""),
        ("mt_1170110023", "mt_1170110099"),
    ] {
        refused_by(&burn_with(&card, &image, &change(from, to)), CheckId::Psid);
    }
    // A change specified where there is none is a mistake, too.
    let same = file(&cx3("2.42.5000"));
    refused_by(&burn_with(&card, &same, &change("MT_1170110023", "MT_1170110099")), CheckId::Psid);
}

#[test]
fn a_moved_configuration_area_is_refused() {
    let (card, _) = owner();
    let image = file(&Recipe { config_area: Some((1, 3, Some(2))), ..cx3("2.42.5000") });
    refused_by(&burn(&card, &image), CheckId::ConfigPad);
}

#[test]
fn an_image_for_other_silicon_is_refused() {
    let old = own(&cx3("2.35.5100"));
    let image = file(&cx3("2.42.5000"));
    // The public report: a late release on an early card.
    let on = |chip: Chip| {
        let supported_hw = vec![(chip.hw_id, chip.revision)];
        let device_id = if chip == PRO { 4103 } else { 4099 };
        let own = own(&Recipe { supported_hw, device_id, rom: None, ..cx3("2.35.5100") });
        snapshot(chip, &[(&own, Half::Even)])
    };
    let detail = refused_by(&burn(&on(A0), &image), CheckId::Silicon);
    assert!(detail.contains("ConnectX-3 A0") && detail.contains("ConnectX-3 A1 only"), "{detail}");
    refused_by(&burn(&on(PRO), &image), CheckId::Silicon);
    // Without the list of tag 10 the device id decides.
    for device_id in [4103, 4113, 4098] {
        let image =
            file(&Recipe { supported_hw: Vec::new(), rom: None, device_id, ..cx3("2.42.5000") });
        let options = BurnOptions { rom: Some(RomChoice::None), ..BurnOptions::default() };
        refused_by(
            &burn_with(&snapshot(A1, &[(&old, Half::Even)]), &image, &options),
            CheckId::Silicon,
        );
    }
    // A list that names the card does not help an image of the other chip.
    let liar = file(&Recipe {
        supported_hw: vec![(0x1F5, 1)],
        device_id: 4103,
        rom: None,
        ..cx3("2.42.5000")
    });
    let card = snapshot(A1, &[(&old, Half::Even)]);
    let plan = burn_with(
        &card,
        &liar,
        &BurnOptions { rom: Some(RomChoice::None), ..BurnOptions::default() },
    );
    refused_by(&plan, CheckId::Silicon);
}

#[test]
fn recover_refuses_a_card_that_works() {
    let (card, image) = owner();
    let len = image.bytes().len() as u64;
    refused_by(&plan_recover(&card, &image, len, &identity(), None), CheckId::NoValidImage);
}

#[test]
fn recover_refuses_an_empty_identity() {
    let image = file(&cx3("2.42.5000"));
    let empty = crate::image::Identity {
        guids: [Guid(u64::MAX); 4],
        macs: [Mac(u64::MAX); 2],
        vsd: Vec::new(),
    };
    let len = image.bytes().len() as u64;
    refused_by(&plan_recover(&snapshot(A1, &[]), &image, len, &empty, None), CheckId::Identity);
}

#[test]
fn every_check_can_refuse() {
    // The ids by which these files refuse, each at least once.
    use CheckId::*;
    let here: BTreeSet<CheckId> = [
        ImageValid,
        ImageSize,
        RomDevice,
        NoValidImage,
        Signatures,
        OldImage,
        RunningImage,
        Identity,
        IdentityFits,
        Layout,
        ChunkSize,
        Version,
        Psid,
        ConfigPad,
        Silicon,
        Rom,
        PatchedImage,
        Fits,
        FlashSize,
        NvArea,
        Protection,
        Interruption,
    ]
    .into();
    let text = concat!(
        include_str!("refusals.rs"),
        include_str!("refusals_flash.rs"),
        include_str!("restores.rs")
    );
    for id in here.into_iter().chain([BackupValid]) {
        let refusal = text.matches(&format!("CheckId::{id:?}")).count();
        let direct = match id {
            Version => text.matches("rules::version(None, &image).is_err()").count(),
            Interruption => text.matches("interruption(Some(").count(),
            _ => 0,
        };
        assert!(refusal + direct > 0, "{id:?}");
    }
}

#[test]
fn fixtures_are_damaged_where_their_names_state() {
    let image = file(&cx3("2.42.5000"));
    let bad = Contents::from_file(&damaged(&image, SectionKind::Rom)).unwrap();
    for section in &bad.image().sections {
        let wrong = matches!(section.crc, CrcVerdict::Wrong { .. });
        assert_eq!(wrong, section.kind == SectionKind::Rom);
    }
}

/// The owner's card while its firmware runs, one byte of code changed in the flash.
fn running_on_damage() -> CardSnapshot {
    let (card, _) = owner();
    let contents = card.slots[0].contents.as_ref().unwrap();
    let section = contents.image().sections.iter().find(|s| s.kind == SectionKind::Ddr).unwrap();
    let mut flash = card.flash.clone();
    flash[section.body_at.0 as usize + 8] ^= 1;
    let running = Some(card.running.unwrap_or(version("2.35.5100")));
    CardSnapshot::new(
        card.chip,
        false,
        running,
        card.flash_chip.clone(),
        card.protection.clone(),
        flash,
    )
    .unwrap()
}

#[test]
fn a_running_image_that_reads_as_damaged_is_not_overwritten() {
    let (_, image) = owner();
    let card = running_on_damage();
    let plan = burn(&card, &image);
    refused_by(&plan, CheckId::RunningImage);
    let detail = &plan.report.checks.iter().find(|c| c.id == CheckId::RunningImage).unwrap().detail;
    for word in ["cx3flash verify", "cx3flash recover", "cx3flash restore"] {
        assert!(detail.contains(word), "{detail}");
    }
    refused_by(&crate::plan::plan_config_reset(&card), CheckId::RunningImage);
    // In recovery mode nothing runs that could contradict the reading.
    let stopped = CardSnapshot { running: None, recovery: true, ..card };
    // Firmware that runs without a known version contradicts nothing either.
    let silent = CardSnapshot { recovery: false, ..stopped.clone() };
    for (card, detail) in [(&stopped, "no firmware runs"), (&silent, "no running version is known")]
    {
        let plan = burn(card, &image);
        let check = plan.report.checks.iter().find(|c| c.id == CheckId::RunningImage);
        let check = check.unwrap();
        assert!(check.ok);
        assert_eq!(check.detail, detail);
    }
}
