//! Jobs that do not come to their end: what is left, and which class that is.

use super::bench::*;
use crate::flash::{Boots, Phase};
use crate::image::Half;
use crate::job::*;
use crate::plan::StartRequest;
use crate::sim::{BootOutcome, Fault, SimCard};

fn running_after(card: &SimCard) -> Option<crate::image::Version> {
    match card.boot_outcome() {
        BootOutcome::Image { version, .. } => Some(version),
        BootOutcome::Hung { .. } | BootOutcome::Recovery => None,
    }
}

#[test]
fn a_stop_before_the_first_erase_is_interrupted_and_leaves_no_unconfirmed_backup() {
    for phase in [Phase::Read, Phase::Backup, Phase::Erase] {
        for (card, recipe) in
            [(owner_card(), cx3("2.42.5000")), (pro_card(Half::Even), pro("2.42.5000"))]
        {
            let bench = Bench::new();
            let mut recorded = RecordedEvents::stopping_at(phase);
            let error = bench.burn_with(&card, &recipe, &mut recorded).unwrap_err();
            assert_eq!(error.outcome().exit, Exit::Interrupted, "{phase:?}: {error}");
            untouched(&card.counters());
            // At the erase the second reading has confirmed it.
            let backups = usize::from(phase == Phase::Erase);
            assert_eq!(bench.backup_names().len(), backups, "{phase:?}");
            clean(&card);
        }
    }
}

#[test]
fn stop_after_an_erase_leaves_a_card_that_boots() {
    // A used half, so that there is something to erase.
    let third = own(&pro("2.30.3000"));
    for phase in [Phase::Write, Phase::Verify] {
        let bench = Bench::new();
        let card =
            card_of(pro_spec(), &[(&own(&pro("2.36.5150")), Half::Even), (&third, Half::Odd)]);
        let mut recorded = RecordedEvents::stopping_at(phase);
        let error = bench.burn_with(&card, &pro("2.42.5000"), &mut recorded).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::StillBoots, "{phase:?}: {error}");
        let JobError::Stopped { stopped, backup } = &error else {
            panic!("{error}");
        };
        assert_eq!(stopped.phase, phase);
        assert_eq!(stopped.boots, Boots::OldImage);
        assert!(backup.as_ref().unwrap().join("manifest.json").is_file());
        assert_eq!(running_after(&card), Some(version("2.36.5150")));
        clean(&card);
        // Again, to its end.
        bench.burn(&card, &pro("2.42.5000")).unwrap();
        assert_eq!(running_after(&card), Some(version("2.42.5000")));
    }
}

#[test]
fn stop_never_interrupts_a_non_failsafe_burn_or_a_commit() {
    let bench = Bench::new();
    let card = owner_card();
    let mut recorded = RecordedEvents::stopping_at(Phase::Write);
    bench.burn_with(&card, &cx3("2.42.5000"), &mut recorded).expect("it goes on to its end");
    assert_eq!(running_after(&card), Some(version("2.42.5000")));
    let card = pro_card(Half::Even);
    let mut recorded = RecordedEvents::stopping_at(Phase::Commit);
    bench
        .burn_with(&card, &pro("2.42.5000"), &mut recorded)
        .expect("the commit is not left half done");
    assert_eq!(running_after(&card), Some(version("2.42.5000")));
}

#[test]
fn a_card_that_vanished_leaves_an_unknown_outcome() {
    // P7: at many places of the job; what is left is never claimed to be known.
    let bench = Bench::new();
    let original = quick_pro_card(None);
    let new = for_any_chip(pro("2.42.5000"));
    let total = {
        let card = original.fork();
        let _ = card.take_counters();
        bench.burn(&card, &new).unwrap();
        let counters = card.take_counters();
        counters.bar_reads + counters.bar_writes
    };
    for n in 0..24 {
        let card = original.fork();
        card.inject(Fault::Removed { after: 3 + total * n / 24 });
        let before = card.flash();
        let error = bench.burn(&card, &new).unwrap_err();
        let class = error.outcome().exit;
        if card.flash() == before {
            assert!(matches!(class, Exit::Failed | Exit::OutcomeUnknown), "{n}: {class:?}");
        } else {
            assert_eq!(class, Exit::OutcomeUnknown, "{n}: {error}");
        }
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(text.contains("gone") || text.contains("could not be read"), "{n}: {text}");
        assert_eq!(card.misuse(), [], "{n}");
    }
}

#[test]
fn held_semaphores_are_respected() {
    for number in [40, 63] {
        let bench = Bench::new();
        let card = owner_card();
        card.inject(Fault::SemaphoreHeld { number, reads: None, owner_alive: true });
        let error = bench.burn(&card, &cx3("2.42.5000")).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::NotReady, "{error}");
        untouched(&card.counters());
        assert!(!bench.backups().exists());
    }
}

#[test]
fn locked_card_is_refused() {
    let spec = crate::sim::CardSpec { secure_host: true, ..Default::default() };
    let card = SimCard::new(spec, own(&cx3("2.35.5100")).bytes());
    let error = open_sim(&card, "sim:test").err().unwrap();
    assert!(error.to_string().contains("locked"), "{error}");
    assert_eq!(error.outcome().exit, Exit::Failed);
}

#[test]
fn flash_faults_are_reported() {
    // A lying write, a flipped bit, a stuck chip in the middle of the burn: the old image boots, and a
    // second run completes.
    let bench = Bench::new();
    let original = quick_pro_card(Some("2.30.3000"));
    let new = for_any_chip(pro("2.42.5000"));
    let total = {
        let card = original.fork();
        let before = card.mutations();
        bench.burn(&card, &new).unwrap();
        card.mutations() - before
    };
    for op in [2, 3, 5, total / 2, total - 4] {
        for fault in
            [Fault::LyingWrite { op }, Fault::FlippedBit { op, bit: 13 }, Fault::StuckWip { op }]
        {
            let card = original.fork();
            card.inject(fault.clone());
            let Err(error) = bench.burn(&card, &new) else {
                // A flipped bit in an erase may land where nothing is looked for.
                let boots = running_after(&card);
                assert_eq!(boots, Some(version("2.42.5000")), "{fault:?}");
                continue;
            };
            assert!(
                matches!(error.outcome().exit, Exit::StillBoots | Exit::OutcomeUnknown),
                "{fault:?}: {error}"
            );
            card.power_cycle();
            let boots = running_after(&card);
            assert_eq!(boots, Some(version("2.36.5150")), "{fault:?}: {error}");
            bench.burn(&card, &new).unwrap_or_else(|e| panic!("{fault:?}: again: {e}"));
            assert_eq!(running_after(&card), Some(version("2.42.5000")));
        }
    }
}

#[test]
fn non_failsafe_cut_is_reported_and_recover_completes_it() {
    let bench = Bench::new();
    let card = owner_card();
    // In the middle of the writing.
    card.inject(Fault::PowerCut { op: 12, seed: 7 });
    let error = bench.burn(&card, &cx3("2.42.5000")).unwrap_err();
    // It does not answer any more, so what it would boot is unknown.
    assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{error}");
    let JobError::Stopped { backup, .. } = error else {
        panic!("{error}");
    };
    let backup = backup.unwrap();
    card.power_cycle();
    assert_eq!(running_after(&card), None);
    // Both ways back.
    let other = card.fork();
    let mut device = opened(&card);
    assert!(device.card.in_recovery());
    let theirs = read_identity(&backup.join("identity.json"), &()).unwrap();
    let image = bench.image(&cx3("2.42.5000"));
    let outcome = write(
        &mut device,
        &WriteRequest::Recover(&image, &theirs),
        WriteOptions { backup_dir: &bench.backups(), start: StartRequest::Trial },
        &mut |_| true,
        &mut (),
    )
    .unwrap();
    assert_eq!(outcome.activation.unwrap().after, Some(version("2.42.5000")));
    let shown = identity_show(&mut device).unwrap();
    assert_eq!(shown.identity, identity());
    bench.restore(&other, &backup).unwrap();
    assert_eq!(running_after(&other), Some(version("2.35.5100")));
}

/// Notes in which phase the semaphores were held when a note came.
struct Holding<'a> {
    card: &'a SimCard,
    held_in: Vec<Option<Phase>>,
    phase: Option<Phase>,
}

impl crate::flash::Events for Holding<'_> {
    fn emit(&mut self, event: crate::flash::Event) {
        match event {
            crate::flash::Event::Started { phase, .. } => self.phase = Some(phase),
            crate::flash::Event::Note { .. } if !self.card.semaphores_held().is_empty() => {
                self.held_in.push(self.phase);
            }
            _ => {}
        }
    }
}

#[test]
fn semaphores_are_free_while_a_person_is_asked() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let image = bench.image(&pro("2.42.5000"));
    let mut device = opened(&card);
    let mut asked = Vec::new();
    let mut events = Holding { card: &card, held_in: Vec::new(), phase: None };
    let mut confirm = |_: &crate::plan::PlanReport| {
        asked = card.semaphores_held();
        // Another program, mlx4_core for one, gets them now.
        true
    };
    bench.burn_asked(&mut device, &image, &mut confirm, &mut events).unwrap();
    assert!(asked.is_empty(), "{asked:?}");
    // The files are there, and the second reading confirms them under the semaphores.
    assert_eq!(events.held_in, [Some(Phase::Backup)]);
    clean(&card);
}

#[test]
fn the_semaphores_are_held_from_the_comparison_to_the_last_reading() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.start_trace();
    bench.burn(&card, &pro("2.42.5000")).unwrap();
    let taken = card
        .trace()
        .iter()
        .filter(|op| matches!(op, crate::sim::Op::Acquire { number: 40 }))
        .count();
    // Reading for the plan, and everything from the comparison on.
    assert_eq!(taken, 2);
    clean(&card);
}

#[test]
fn a_flash_that_changed_during_the_question_is_not_erased() {
    for (card, recipe, at) in [
        (owner_card(), cx3("2.42.5000"), 0x1000),
        (pro_card(Half::Even), pro("2.42.5000"), 0x1000),
        (pro_card(Half::Even), pro("2.42.5000"), 0x1F_0000),
    ] {
        let bench = Bench::new();
        let image = bench.image(&recipe);
        let mut device = opened(&card);
        let mut confirm = |_: &crate::plan::PlanReport| {
            let byte = card.with_flash(|flash| flash[at as usize]);
            card.load_flash(at, &[!byte]);
            true
        };
        let mut recorded = RecordedEvents::default();
        let error = bench.burn_asked(&mut device, &image, &mut confirm, &mut recorded).unwrap_err();
        assert!(matches!(error, JobError::Changed { .. }), "{error}");
        assert_eq!(error.outcome().exit, Exit::Failed);
        untouched(&card.counters());
        assert_eq!(bench.backup_names(), Vec::<std::path::PathBuf>::new());
        clean(&card);
    }
}

/// Register accesses of a burn to its end, without activation.
fn accesses(card: &SimCard, burn: impl FnOnce(&SimCard)) -> u64 {
    let card = card.fork();
    let _ = card.take_counters();
    burn(&card);
    let counters = card.take_counters();
    counters.bar_reads + counters.bar_writes
}

#[test]
fn a_change_is_never_reported_as_none_nor_a_new_image_as_no_image() {
    // A reset or a removal near the end of a burn, where the commit and the last reading are.
    let bench = Bench::new();
    for (original, recipe) in
        [(quick_owner_card(), cx3("2.42.5000")), (quick_pro_card(None), pro("2.42.5000"))]
    {
        let recipe = for_any_chip(recipe);
        let wanted = Some(version(&recipe.version.to_string()));
        let total = accesses(&original, |card| {
            bench.burn(card, &recipe).unwrap();
        });
        let before = original.flash();
        for back in (1..200).step_by(13).chain((200..4000).step_by(450)) {
            for reset in [true, false] {
                let card = original.fork();
                let after = total - back;
                card.inject(if reset { Fault::Reset { after } } else { Fault::Removed { after } });
                let ended = bench.burn(&card, &recipe);
                let changed = card.flash() != before;
                card.power_cycle();
                let boots = running_after(&card);
                let context =
                    format!("{back} before the end, reset {reset}: {:?}", ended.as_ref().err());
                match ended.as_ref().map_err(|error| error.outcome().exit) {
                    Ok(_) => assert_eq!(boots, wanted, "{context}"),
                    Err(Exit::StillBoots) => assert!(boots.is_some(), "{context}"),
                    Err(Exit::OutcomeUnknown) => assert!(!reset, "{context}"),
                    Err(Exit::NeedsRecover) => assert_eq!(boots, None, "{context}"),
                    Err(other) => assert!(!changed, "{other:?}: {context}"),
                }
            }
        }
    }
}

#[test]
fn an_activation_that_fails_reports_what_the_flash_holds() {
    let bench = Bench::new();
    let original = pro_card(Half::Even);
    let image = bench.image(&pro("2.42.5000"));
    let to_the_commit = accesses(&original, |card| {
        bench.burn(card, &pro("2.42.5000")).unwrap();
    });
    // Removed from the end of the writing on, through the reset.
    for more in [0, 1, 5] {
        let card = original.fork();
        card.inject(Fault::Removed { after: to_the_commit + more });
        let mut device = opened(&card);
        let error = bench.burn_and_start(&mut device, &image, StartRequest::Untried).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{text}");
        assert!(text.contains("the flash holds 2.42.5000"), "{text}");
        card.power_cycle();
        assert_eq!(running_after(&card), Some(version("2.42.5000")));
    }
    // The same on its own.
    let card = pro_card(Half::Even);
    let mut device = opened(&card);
    let reads = {
        let card = card.fork();
        let mut device = opened(&card);
        let _ = card.take_counters();
        verify_card(&mut device, &mut ()).unwrap();
        let counters = card.take_counters();
        counters.bar_reads + counters.bar_writes
    };
    card.inject(Fault::Removed { after: reads + 6 });
    let error = activate(&mut device, &mut ()).unwrap_err();
    assert!(
        matches!(&error, JobError::NotActivated { wanted, .. } if wanted == "2.36.5150"),
        "{error}"
    );
}
