//! One wrong reading decides nothing: it is read again, or the job stops and nothing is erased.

use super::bench::*;
use crate::flash::{Event, Events, Phase};
use crate::image::{Half, SectionKind};
use crate::job::proofs::ProofStore;
use crate::job::*;
use crate::plan::CheckId;
use crate::sim::{BootOutcome, Fault, SimCard, WrongRead};

const KINDS: [WrongRead; 3] =
    [WrongRead::Stale, WrongRead::AllOnes, WrongRead::Flipped { bit: 13 }];

fn boots(card: &SimCard) -> bool {
    matches!(card.boot_outcome(), BootOutcome::Image { .. })
}

/// Every backup there is holds these bytes.
#[track_caller]
fn backups_hold(bench: &Bench, flash: &[u8], context: &str) -> usize {
    let names = bench.backup_names();
    for dir in &names {
        let stored = std::fs::read(dir.join("flash.bin")).unwrap();
        assert!(stored == flash, "a wrong backup: {context}");
    }
    names.len()
}

/// Flash addresses whose reading matters for different reasons.
fn places(card: &SimCard) -> Vec<u32> {
    let mut device = opened(card);
    let query = query_card(&mut device).unwrap();
    let image = query.images[0].image.as_ref().unwrap();
    let body = |kind: SectionKind| {
        let section = image.sections.iter().find(|s| s.kind == kind).unwrap();
        let (at, _) = image.map.runs(section.body_at, 4).next().unwrap();
        at.0
    };
    vec![
        // Signature, header.
        0,
        0x20,
        body(SectionKind::Guid),
        body(SectionKind::ImageInfo),
        body(SectionKind::Ddr),
        // Blank, and where settings are kept.
        0x1E_0000,
        0x1F_F000,
    ]
}

#[test]
fn a_short_read_in_the_backup_is_read_again() {
    let bench = Bench::new();
    let original = owner_card();
    let before = original.flash();
    for after in [40, 700, 5_000, 9_000] {
        let card = original.fork();
        card.inject(Fault::ShortRead { after });
        let context = format!("short read behind {after}");
        match bench.backup(&card) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.outcome().exit, Exit::Failed, "{context}: {error}"),
        }
        backups_hold(&bench, &before, &context);
    }
}

#[test]
fn verify_reports_readings_that_differ_and_judges_what_they_agree_on() {
    let original = owner_card();
    for at in places(&original.fork()).into_iter().take(5) {
        let card = original.fork();
        let mut device = opened(&card);
        card.inject(Fault::WrongRead {
            after: 0,
            kind: WrongRead::Flipped { bit: 70 },
            at: Some(at),
        });
        let mut recorded = RecordedEvents::default();
        let verify = verify_card(&mut device, &mut recorded).unwrap();
        assert!(verify.ok, "{at:#x}");
        let block = at & !15;
        assert!(
            verify.unsteady.iter().any(|r| r.at.0 == block && r.len == 16),
            "{at:#x}: {:?}",
            verify.unsteady
        );
    }
    let mut device = opened(&original);
    assert_eq!(verify_card(&mut device, &mut ()).unwrap().unsteady, []);
}

#[test]
fn a_signature_that_was_misread_once_hides_no_image() {
    let card = owner_card();
    let mut device = opened(&card);
    card.inject(Fault::WrongRead { after: 0, kind: WrongRead::AllOnes, at: Some(0) });
    let query = query_card(&mut device).unwrap();
    assert_eq!(query.images.len(), 1);
    assert!(query.images[0].boots);
}

/// A card whose firmware runs while one byte of its code is wrong in the flash.
fn running_on_damage() -> SimCard {
    let card = owner_card();
    let at = places(&card.fork())[4] + 8;
    let byte = card.with_flash(|flash| flash[at as usize]);
    card.load_flash(at, &[byte ^ 1]);
    card
}

#[test]
fn a_running_image_that_reads_as_damaged_stops_the_job_and_recover_goes_on() {
    let bench = Bench::new();
    let good = bench.backup(&owner_card()).unwrap();
    let card = running_on_damage();
    let before = card.flash();
    let error = bench.burn(&card, &cx3("2.42.5000")).unwrap_err();
    assert_eq!(error.refused_by(), [CheckId::RunningImage], "{error}");
    assert!(card.flash() == before);
    let restored = card.fork();
    bench.restore(&restored, &good.dir).unwrap();
    assert!(boots(&restored));
    bench.recover(&card, &cx3("2.42.5000")).unwrap();
    assert!(boots(&card));
}

#[test]
fn chained_reads_are_used_once_this_card_has_proven_them() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let store = || Some(ProofStore::at(&bench.path("cards"), "00-02".into()));
    let chained = |card: &SimCard| {
        let mut device = opened(card);
        device.proofs = store();
        flash_info(&mut device).unwrap().chained_reads
    };
    assert!(!chained(&card));
    let mut device = opened(&card);
    device.proofs = store();
    let mut recorded = RecordedEvents::default();
    backup(&mut device, &bench.backups(), &mut recorded).unwrap();
    assert_eq!(recorded.started(), [Phase::Read, Phase::Backup]);
    assert!(chained(&card));
    drop(device);
    // Another card proves it for itself.
    let mut device = opened(&card);
    device.proofs = Some(ProofStore::at(&bench.path("cards"), "00-03".into()));
    assert!(!flash_info(&mut device).unwrap().chained_reads);
    clean(&card);
}

#[test]
fn a_card_that_contradicts_chained_reads_is_read_singly_from_then_on() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(Fault::BrokenChainedRead);
    for reported in [true, false] {
        let mut device = opened(&card);
        device.proofs = Some(ProofStore::at(&bench.path("cards"), "00-02".into()));
        let mut recorded = RecordedEvents::default();
        backup(&mut device, &bench.backups(), &mut recorded).unwrap();
        assert!(!flash_info(&mut device).unwrap().chained_reads);
        // The failed proof is one line, once.
        let lines = recorded.events.iter().filter(|event| {
            matches!(event, Event::Note { text } if text.starts_with("chained reads differ"))
        });
        assert_eq!(lines.count(), usize::from(reported));
    }
    let before = card.flash();
    assert_eq!(backups_hold(&bench, &before, "contradicted"), 2);
}

/// Does something to the card when the second reading begins.
struct AtSecondReading<'a>(&'a dyn Fn());

impl Events for AtSecondReading<'_> {
    fn emit(&mut self, event: Event) {
        if let Event::Started { phase: Phase::Backup, .. } = event {
            self.0();
        }
    }
}

/// A card that has proven chained reads, and a way to open it.
fn proven(bench: &Bench, card: &SimCard) -> Device {
    let mut device = opened(card);
    device.proofs = Some(ProofStore::at(&bench.path("cards"), "00-02".into()));
    backup(&mut device, &bench.backups(), &mut ()).unwrap();
    assert!(flash_info(&mut device).unwrap().chained_reads);
    device
}

#[test]
fn a_chain_proof_is_withdrawn_when_the_second_reading_differs() {
    let original = pro_card(Half::Even);
    let misread = |card: &SimCard| {
        card.inject(Fault::WrongRead {
            after: 0,
            kind: WrongRead::Flipped { bit: 13 },
            at: Some(0x1E_0000),
        });
    };
    let changed = |card: &SimCard| card.load_flash(0x1E_0000, &[0]);
    for (act, ends_well) in [(&misread as &dyn Fn(&SimCard), true), (&changed, false)] {
        let bench = Bench::new();
        let card = original.fork();
        let mut device = proven(&bench, &card);
        let mut events = AtSecondReading(&|| act(&card));
        let ended = backup(&mut device, &bench.backups(), &mut events);
        assert_eq!(ended.is_ok(), ends_well, "{ended:?}");
        assert_eq!(card.faults(), []);
        assert!(!flash_info(&mut device).unwrap().chained_reads);
        // The next job compares again.
        backup(&mut device, &bench.backups(), &mut ()).unwrap();
        assert!(flash_info(&mut device).unwrap().chained_reads);
    }
}

#[test]
fn chains_that_stop_working_after_their_proof_are_contradicted_by_the_next_job() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let mut device = proven(&bench, &card);
    card.inject(Fault::BrokenChainedRead);
    let outcome = backup(&mut device, &bench.backups(), &mut ()).unwrap();
    assert!(!outcome.backup.unsteady.is_empty());
    assert!(!flash_info(&mut device).unwrap().chained_reads);
    backups_hold(&bench, &card.flash(), "broken chains");
}

#[test]
fn raw_bytes_are_what_two_readings_agree_on() {
    let original = owner_card();
    let bench = Bench::new();
    let out = bench.path("raw");
    let ini = SectionKind::FwConfiguration;
    let query = query_card(&mut opened(&original)).unwrap();
    let found = query.images[0].image.as_ref().unwrap();
    let section = found.sections.iter().find(|s| s.kind == ini).unwrap();
    let at = found.map.runs(section.body_at, 4).next().unwrap().0.0;
    let right = original.flash();
    let range = |at: u32| right[at as usize..at as usize + 64].to_vec();
    type Read<'a> = &'a dyn Fn(&mut Device, &mut RecordedEvents) -> bool;
    let reads: [(&str, Read<'_>); 2] = [
        ("flash_read", &|device, recorded| {
            let _ = std::fs::remove_file(&out);
            flash_read(device, at, Some(64), OutputFile::create(&out).unwrap(), recorded).unwrap();
            std::fs::read(&out).unwrap() == range(at)
        }),
        ("flash_bytes", &|device, recorded| {
            flash_bytes(device, at, 64, recorded).unwrap() == range(at)
        }),
    ];
    for (name, read) in reads {
        for kind in KINDS {
            let card = original.fork();
            let mut device = opened(&card);
            let after = 0;
            let at = Some(at);
            card.inject(Fault::WrongRead { after, kind, at });
            let mut recorded = RecordedEvents::default();
            assert!(read(&mut device, &mut recorded), "{name}, {kind:?}");
            assert_eq!(card.faults(), [], "{name}");
            let notes = recorded.events.iter();
            let notes = notes.filter(|e| matches!(e, Event::Note { .. })).count();
            assert_eq!(notes, 1, "{name}, {kind:?}");
        }
    }
}
