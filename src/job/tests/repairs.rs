//! Restore, recover, and changes of the card's own image.

use super::bench::*;
use crate::image::{Contents, FlashAddr, Guid, Half, Identity, Mac, Recipe};
use crate::job::*;
use crate::plan::CheckId;
use crate::plan::tests::bench::rom;
use crate::sim::{CardSpec, SimCard};

fn active(card: &SimCard) -> Contents {
    let start = match card.boot_outcome() {
        crate::sim::BootOutcome::Image { start, .. } => start,
        other => panic!("{other:?}"),
    };
    Contents::from_dump(&card.flash(), start).unwrap()
}

#[test]
fn restore_brings_back_what_was_backed_up() {
    for (card, recipe) in [
        (owner_card(), cx3("2.42.5000")),
        (pro_card(Half::Even), pro("2.42.5000")),
        (pro_card(Half::Odd), pro("2.42.5000")),
    ] {
        let bench = Bench::new();
        let before = card.flash();
        let backup = bench.backup(&card).unwrap();
        bench.burn(&card, &recipe).unwrap();
        assert!(card.flash() != before);
        // By directory and by the file in it.
        let other = card.fork();
        let outcome = bench.restore(&card, &backup.dir).unwrap();
        assert!(card.flash() == before);
        assert_eq!(outcome.job, WriteJob::Restore);
        clean(&card);
        bench.restore(&other, &backup.dir.join("flash.bin")).unwrap();
        assert!(other.flash() == before);
        // Again: nothing to do, nothing touched.
        let _ = card.take_counters();
        assert!(bench.restore(&card, &backup.dir).unwrap().nothing_to_do);
        untouched(&card.take_counters());
    }
}

#[test]
fn damaged_backup_is_refused() {
    let bench = Bench::new();
    let card = owner_card();
    let dir = bench.backup(&card).unwrap().dir;
    bench.burn(&card, &cx3("2.42.5000")).unwrap();
    let before = card.flash();
    let flash = dir.join("flash.bin");
    let good = std::fs::read(&flash).unwrap();
    let mut bad = good.clone();
    bad[0x1F_0000] ^= 1;
    std::fs::write(&flash, &bad).unwrap();
    for path in [&dir, &flash] {
        let error = bench.restore(&card, path).unwrap_err();
        assert!(error.to_string().contains("digest"), "{error}");
        assert_eq!(error.outcome().exit, Exit::Failed);
    }
    std::fs::write(&flash, &good[..0x1000]).unwrap();
    assert!(bench.restore(&card, &dir).is_err());
    std::fs::remove_file(&flash).unwrap();
    assert!(matches!(bench.restore(&card, &dir), Err(JobError::ReadFile { .. })));
    std::fs::write(&flash, &good).unwrap();
    let manifest = dir.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (from, to) in [
        ("\"schema\": 1", "\"schema\": 2"),
        ("flash.bin", "../flash.bin"),
        ("flash.bin", "/etc/passwd"),
        ("{", "["),
    ] {
        std::fs::write(&manifest, text.replacen(from, to, 1)).unwrap();
        let error = bench.restore(&card, &dir).unwrap_err();
        assert!(matches!(error, JobError::BadFile { .. }), "{to}: {error}");
    }
    assert!(card.flash() == before);
}

#[test]
fn backup_of_another_card_is_refused() {
    let bench = Bench::new();
    let theirs =
        own(&cx3("2.35.5100")).with_macs(&[Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)]).unwrap();
    let other = SimCard::new(CardSpec::default(), theirs.bytes());
    let dir = bench.backup(&other).unwrap().dir;
    let card = owner_card();
    let _ = card.take_counters();
    let error = bench.restore(&card, &dir).unwrap_err();
    assert_eq!(error.refused_by(), [CheckId::Identity]);
    untouched(&card.counters());
    // Other silicon, too, even where the card holds nothing to compare with.
    let a0 = CardSpec { revision: 0, ..CardSpec::default() };
    let empty = SimCard::new(a0, &[]);
    let error = bench.restore(&empty, &dir).unwrap_err();
    assert_eq!(error.refused_by(), [CheckId::Silicon]);
}

#[test]
fn recover_is_refused_on_a_card_that_boots() {
    let bench = Bench::new();
    let card = owner_card();
    let error = bench.recover(&card, &cx3("2.42.5000")).unwrap_err();
    assert_eq!(error.refused_by(), [CheckId::NoValidImage]);
    untouched(&card.counters());
}

#[test]
fn recover_makes_an_empty_card_boot() {
    let bench = Bench::new();
    for (spec, recipe) in [(CardSpec::default(), cx3("2.42.5000")), (pro_spec(), pro("2.42.5000"))]
    {
        let card = SimCard::new(spec, &[]);
        let outcome = bench.recover(&card, &recipe).unwrap();
        assert_eq!(outcome.boots.unwrap().start, Some(FlashAddr(0)));
        let found = active(&card);
        assert!(found.image().is_valid());
        assert_eq!(Identity::from_image(found.image()).unwrap(), identity());
        clean(&card);
        // There was a backup of the empty flash all the same.
        let dir = outcome.backup.unwrap().dir;
        assert!(std::fs::read(dir.join("flash.bin")).unwrap().iter().all(|b| *b == 0xFF));
    }
}

#[test]
fn identity_set_changes_exactly_what_was_requested() {
    let guids = [1, 2, 3, 4].map(|n| Guid(0x0002_C903_0000_0000 | n));
    let macs = [Mac(0x0002_C900_0001), Mac(0x0002_C900_0002)];
    for card in [owner_card(), pro_card(Half::Odd)] {
        let bench = Bench::new();
        let before = active(&card);
        let mut device = opened(&card);
        let change = IdentityChange { guids: Some(guids), macs: Some(macs), vsd: None };
        let outcome = bench.write(&mut device, &WriteRequest::IdentitySet(&change)).unwrap();
        assert_eq!(outcome.job, WriteJob::IdentitySet);
        let after = active(&card);
        assert!(after.masked_equal(&before));
        let want = Identity { guids, macs, vsd: identity().vsd };
        assert_eq!(Identity::from_image(after.image()).unwrap(), want);
        assert_eq!(identity_show(&mut device).unwrap().identity, want);
        let again = bench.write(&mut device, &WriteRequest::IdentitySet(&change));
        assert!(again.unwrap().nothing_to_do);
        clean(&card);
    }
}

#[test]
fn identity_of_a_non_failsafe_card_costs_less_than_a_burn() {
    // 10.7 #4: only the sectors that differ.
    let bench = Bench::new();
    let card = owner_card();
    let _ = card.take_counters();
    let mut device = opened(&card);
    let change = IdentityChange { vsd: Some(b"rack 8".to_vec()), ..IdentityChange::default() };
    bench.write(&mut device, &WriteRequest::IdentitySet(&change)).unwrap();
    let counters = card.take_counters();
    assert!(counters.erases_4k + counters.erases_64k <= 2, "{counters:?}");
}

#[test]
fn rom_is_written_and_removed() {
    for card in [owner_card(), pro_card(Half::Even)] {
        let bench = Bench::new();
        let device_id = if card.spec().hw_id == 0x1F7 { 0x1007 } else { 0x1003 };
        let mut device = opened(&card);
        let had = rom_info(&mut device).unwrap();
        assert_eq!(had.bytes, rom(752, device_id));
        bench.write(&mut device, &WriteRequest::RomRemove).unwrap();
        let found = active(&card);
        assert!(found.image().is_valid() && found.rom().is_none());
        assert_eq!(Identity::from_image(found.image()).unwrap(), identity());
        assert!(rom_info(&mut device).unwrap().rom.is_none());
        assert!(matches!(
            rom_read(&mut device, OutputFile::create(&bench.path("none.rom")).unwrap()),
            Err(JobError::NoPart(_))
        ));
        let again = bench.write(&mut device, &WriteRequest::RomRemove);
        assert!(again.unwrap().nothing_to_do);

        let new = rom(760, device_id);
        let file = read_rom(&bench.file("new.rom", &new), &()).unwrap();
        bench.write(&mut device, &WriteRequest::RomWrite(&file)).unwrap();
        assert_eq!(active(&card).rom(), Some(new.as_slice()));
        let out = bench.path("out.rom");
        rom_read(&mut device, OutputFile::create(&out).unwrap()).unwrap();
        assert_eq!(std::fs::read(&out).unwrap(), new);
        // Never over a file that is there.
        assert!(matches!(OutputFile::create(&out), Err(JobError::WriteFile { .. })));

        let foreign = rom(752, 0x2345);
        let file = read_rom(&bench.file("foreign.rom", &foreign), &()).unwrap();
        let error = bench.write(&mut device, &WriteRequest::RomWrite(&file)).unwrap_err();
        assert_eq!(error.refused_by(), [CheckId::RomDevice]);
        clean(&card);
    }
}

#[test]
fn config_reset_keeps_the_firmware() {
    let bench = Bench::new();
    for (spec, recipe, areas) in [
        (
            CardSpec::default(),
            Recipe { config_area: Some((1, 0, Some(2))), ..cx3("2.35.5100") },
            std::iter::once(0x1F_E000..0x20_0000).collect(),
        ),
        (
            pro_spec(),
            Recipe { config_area: Some((2, 0, Some(2))), chunk_log2: Some(19), ..pro("2.36.5150") },
            Vec::from([0x17_E000..0x18_0000, 0x1F_E000..0x20_0000]),
        ),
    ] {
        let mut flash = card_of(spec.clone(), &[(&own(&recipe), Half::Even)]).flash();
        for area in &areas {
            flash[area.clone()].fill(0x42);
        }
        let card = SimCard::new(spec, &flash);
        let mut device = opened(&card);
        let outcome = bench.write(&mut device, &WriteRequest::ConfigReset).unwrap();
        assert_eq!(outcome.job, WriteJob::ConfigReset);
        for area in &areas {
            flash[area.clone()].fill(0xFF);
        }
        assert!(card.flash() == flash);
        assert!(bench.write(&mut device, &WriteRequest::ConfigReset).unwrap().nothing_to_do);
        clean(&card);
    }
}
