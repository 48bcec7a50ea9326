//! Burns that go well.

use super::bench::*;
use crate::flash::{Event, Phase};
use crate::host::{BorrowOptions, Host};
use crate::image::{Contents, FlashAddr, Half, Identity, MAGIC};
use crate::job::*;
use crate::plan::BurnOptions;
use crate::sim::{BootOutcome, CardSpec, Op, SimCard, SimChip};

#[track_caller]
fn boots(card: &SimCard, at: u32, text: &str) {
    let want = BootOutcome::Image { start: FlashAddr(at), version: version(text) };
    let outcomes = card.boot_outcomes();
    assert_eq!(outcomes.lowest_first, want);
    assert_eq!(outcomes.highest_first, want);
    let found = Contents::from_dump(&card.flash(), FlashAddr(at)).unwrap();
    assert!(found.image().is_valid());
    assert_eq!(Identity::from_image(found.image()).unwrap(), identity());
}

#[test]
fn burn_keeps_the_identity_and_boots_the_new_version() {
    let bench = Bench::new();
    for (half, other) in [(Half::Even, 0x1_0000), (Half::Odd, 0)] {
        let card = pro_card(half);
        let outcome = bench.burn(&card, &pro("2.42.5000")).unwrap();
        assert!(!outcome.nothing_to_do);
        let found = outcome.boots.unwrap();
        assert_eq!(found.start, Some(FlashAddr(other)));
        assert_eq!(found.version, Some(version("2.42.5000")));
        boots(&card, other, "2.42.5000");
        // And back: the half just left is used again.
        let older = BurnOptions { allow_older: true, ..BurnOptions::default() };
        let mut device = open_sim(&card, "sim:test").unwrap();
        let image = bench.image(&pro("2.36.5150"));
        let request = WriteRequest::Burn(&image, &older);
        write(&mut device, &request, WriteOptions::later(&bench.backups()), &mut |_| true, &mut ())
            .unwrap();
        boots(&card, 0x1_0000 - other, "2.36.5150");
        clean(&card);
    }
    let card = owner_card();
    bench.burn(&card, &cx3("2.42.5000")).unwrap();
    boots(&card, 0, "2.42.5000");
    clean(&card);
}

#[test]
fn burn_works_on_every_chip() {
    let bench = Bench::new();
    for chip in [
        SimChip::W25q16,
        SimChip::Mx25l1606,
        SimChip::Sst25vf016b,
        SimChip::M25p16,
        SimChip::M25px16,
    ] {
        let flash = own(&cx3("2.35.5100")).bytes().to_vec();
        let card = on(chip, &flash);
        bench.burn(&card, &cx3("2.42.5000")).unwrap_or_else(|e| panic!("{chip:?}: {e}"));
        boots(&card, 0, "2.42.5000");
        clean(&card);
    }
}

#[test]
fn same_image_costs_no_erase() {
    let bench = Bench::new();
    for card in [owner_card(), pro_card(Half::Odd)] {
        let recipe = if card.spec().hw_id == 0x1F7 { pro("2.42.5000") } else { cx3("2.42.5000") };
        bench.burn(&card, &recipe).unwrap();
        let backups = bench.backup_names().len();
        let before = card.flash();
        let _ = card.take_counters();
        let outcome = bench.burn(&card, &recipe).unwrap();
        assert!(outcome.nothing_to_do);
        assert!(outcome.backup.is_none());
        assert_eq!(outcome.boots.unwrap().version, Some(version("2.42.5000")));
        untouched(&card.take_counters());
        assert!(card.flash() == before);
        assert_eq!(bench.backup_names().len(), backups);
        clean(&card);
    }
}

#[test]
fn backup_is_on_disk_before_the_first_erase() {
    // P3, seen from three sides: the events, the files on disk at the first event of the erase,
    // and what happened on the card.
    struct Watch<'a> {
        bench: &'a Bench,
        recorded: RecordedEvents,
        manifest_at_erase: Option<bool>,
    }
    impl crate::flash::Events for Watch<'_> {
        fn emit(&mut self, event: Event) {
            if matches!(event, Event::Started { phase: Phase::Erase, .. }) {
                let names = self.bench.backup_names();
                let there = names.len() == 1 && names[0].join("manifest.json").is_file();
                self.manifest_at_erase.get_or_insert(there);
            }
            self.recorded.emit(event);
        }
    }
    for (card, recipe) in
        [(owner_card(), cx3("2.42.5000")), (pro_card(Half::Even), pro("2.42.5000"))]
    {
        let bench = Bench::new();
        card.start_trace();
        let before = card.flash();
        let mut watch =
            Watch { bench: &bench, recorded: RecordedEvents::default(), manifest_at_erase: None };
        let outcome = bench.burn_with(&card, &recipe, &mut watch).unwrap();
        assert_eq!(watch.manifest_at_erase, Some(true));
        assert_eq!(
            watch.recorded.started(),
            [Phase::Read, Phase::Backup, Phase::Erase, Phase::Write, Phase::Verify, Phase::Commit]
        );
        let noted = watch
            .recorded
            .events
            .iter()
            .position(|e| matches!(e, Event::Note { text } if text.contains("backup in")));
        let erased = watch
            .recorded
            .events
            .iter()
            .position(|e| matches!(e, Event::Started { phase: Phase::Erase, .. }));
        assert!(noted.unwrap() < erased.unwrap());
        // The backup is the flash as it was, read before anything changed.
        let dir = outcome.backup.unwrap().dir;
        assert!(std::fs::read(dir.join("flash.bin")).unwrap() == before);
        let mut read = 0;
        for op in card.trace() {
            match op {
                Op::Read { len, .. } => read += u64::from(len),
                Op::Erase { .. } | Op::Program { .. } => break,
                _ => {}
            }
        }
        assert!(read >= before.len() as u64, "{read:#x}");
    }
}

#[test]
fn body_is_read_back_before_the_signature_is_written() {
    // P2 on the card: between the last program of the body and the magic the whole body is read.
    let card = pro_card(Half::Even);
    let bench = Bench::new();
    card.start_trace();
    let outcome = bench.burn(&card, &pro("2.42.5000")).unwrap();
    let trace = card.trace();
    let magic = trace
        .iter()
        .position(|op| matches!(op, Op::Program { bytes, .. } if bytes.ends_with(&MAGIC[4..])))
        .expect("words 1 to 3 of the signature");
    let last = trace[..magic]
        .iter()
        .rposition(|op| matches!(op, Op::Program { .. } | Op::Erase { .. }))
        .unwrap();
    let read: u64 = trace[last..magic]
        .iter()
        .map(|op| match op {
            Op::Read { len, .. } => u64::from(*len),
            _ => 0,
        })
        .sum();
    assert!(read >= 0x1_8000 - 16, "{read:#x}");
    // The last program invalidates the old signature.
    let end = trace.iter().rev().find_map(|op| match op {
        Op::Program { at, bytes } => Some((*at, bytes.clone())),
        _ => None,
    });
    let (at, bytes) = end.unwrap();
    assert_eq!((at, &bytes[..4]), (0, [0; 4].as_slice()));
    assert!(bytes[4..].iter().all(|b| *b == 0xFF), "more than one word");
    assert!(outcome.activation.is_none());
}

#[test]
fn activation_starts_the_new_firmware() {
    let bench = Bench::new();
    for (card, recipe, old) in [
        (owner_card(), cx3("2.42.5000"), "2.35.5100"),
        (pro_card(Half::Even), pro("2.42.5000"), "2.36.5150"),
        (pro_card(Half::Odd), pro("2.42.5000"), "2.36.5150"),
    ] {
        let mut device = opened(&card);
        let image = bench.image(&recipe);
        let outcome = bench.burn_and_activate(&mut device, &image).unwrap();
        let activation = outcome.activation.unwrap();
        assert_eq!(activation.before, Some(version(old)));
        assert_eq!(activation.after, Some(version("2.42.5000")));
        assert_eq!(activation.flashed, activation.after);
        assert!(
            matches!(card.running(), BootOutcome::Image { version: v, .. } if v == version("2.42.5000"))
        );
        clean(&card);
    }
}

#[test]
fn flashed_and_running_versions_are_distinguished() {
    let bench = Bench::new();
    let card = owner_card();
    bench.burn(&card, &cx3("2.42.5000")).unwrap();
    let mut device = opened(&card);
    let query = query_card(&mut device).unwrap();
    assert_eq!(query.card.as_ref().unwrap().running, Some(version("2.35.5100")));
    assert!(query.reset_pending);
    let activation = activate(&mut device, &mut ()).unwrap();
    assert_eq!(activation.activation.after, Some(version("2.42.5000")));
    let query = query_card(&mut device).unwrap();
    assert!(!query.reset_pending);
}

#[test]
fn a_no_changes_nothing() {
    let bench = Bench::new();
    let card = owner_card();
    let mut device = opened(&card);
    let image = bench.image(&cx3("2.42.5000"));
    let mut seen = None;
    let error = bench
        .burn_asked(
            &mut device,
            &image,
            &mut |report| {
                seen = Some(report.clone());
                false
            },
            &mut (),
        )
        .unwrap_err();
    assert!(matches!(error, JobError::Declined));
    assert_eq!(error.outcome().exit, Exit::Failed);
    untouched(&card.counters());
    assert!(bench.backup_names().is_empty(), "a name was left behind");
    let seen = seen.unwrap();
    assert!(seen.action.is_some());
    assert!(seen.warnings.iter().any(|w| w.contains("backups")), "{:?}", seen.warnings);
}

#[test]
fn burn_does_what_plan_lists() {
    let bench = Bench::new();
    for (card, recipe) in
        [(owner_card(), cx3("2.42.5000")), (pro_card(Half::Even), pro("2.42.5000"))]
    {
        let image = bench.image(&recipe);
        let mut device = opened(&card);
        let planned = plan(&mut device, &image, &BurnOptions::default(), &mut ()).unwrap();
        untouched(&card.counters());
        let _ = card.take_counters();
        let done = bench.burn_asked(&mut device, &image, &mut |_| true, &mut ()).unwrap();
        assert_eq!(planned.plan.checks, done.plan.checks);
        assert_eq!(planned.plan.action, done.plan.action);
        let action = planned.plan.action.unwrap();
        let counters = card.take_counters();
        assert_eq!(action.erases.len() as u64, counters.erases_4k + counters.erases_64k);
        // Two for the signature, one for each signature invalidated, one for invalidating first.
        let more = counters.programs - action.programs as u64;
        assert!((2..=3).contains(&more), "{more}");
        clean(&card);
    }
}

#[test]
fn chained_reads_are_not_used_before_they_are_proven() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(crate::sim::Fault::BrokenChainedRead);
    bench.burn(&card, &pro("2.42.5000")).unwrap();
    boots(&card, 0x1_0000, "2.42.5000");
    let mut device = opened(&card);
    assert!(!flash_info(&mut device).unwrap().chained_reads);
}

#[test]
fn burn_tolerates_late_writes() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let image = bench.image(&pro("2.42.5000"));
    let mut device = opened(&card);
    card.inject(crate::sim::Fault::DelayedWrites { depth: 4 });
    bench.burn_asked(&mut device, &image, &mut |_| true, &mut ()).unwrap();
    boots(&card, 0x1_0000, "2.42.5000");
    clean(&card);
}

#[test]
fn opening_tolerates_late_writes() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(crate::sim::Fault::DelayedWrites { depth: 4 });
    bench.burn(&card, &pro("2.42.5000")).unwrap();
    boots(&card, 0x1_0000, "2.42.5000");
    clean(&card);
}

#[test]
fn card_files_keep_a_burn() {
    let bench = Bench::new();
    let path = bench.path("card.cx3");
    let flash = own(&cx3("2.35.5100")).bytes().to_vec();
    drop(SimCard::create(&path, CardSpec::default(), &flash).unwrap());
    let selector = CardSelector::Sim(path.clone());
    {
        let mut device = open(&selector, &Host::system(), &BorrowOptions::default()).unwrap();
        let image = bench.image(&cx3("2.42.5000"));
        bench.burn_asked(&mut device, &image, &mut |_| true, &mut ()).unwrap();
    }
    let mut device = open(&selector, &Host::system(), &BorrowOptions::default()).unwrap();
    let query = query_card(&mut device).unwrap();
    let image = query.images[query.active.unwrap()].image.as_ref().unwrap();
    assert_eq!(image.info.as_ref().unwrap().fw_version, Some(version("2.42.5000")));
    assert_eq!(query.card.unwrap().running, Some(version("2.35.5100")));
}
