//! Jobs that do not come to their end: what is left, and which class that is.

use super::bench::*;
use crate::flash::{Boots, Phase};
use crate::image::Half;
use crate::job::*;
use crate::sim::{BootOutcome, Fault, SimCard};

fn running_after(card: &SimCard) -> Option<crate::image::Version> {
    match card.boot_outcome() {
        BootOutcome::Image { version, .. } => Some(version),
        BootOutcome::Recovery => None,
    }
}

#[test]
fn stop_before_the_first_erase_is_not_130() {
    for phase in [Phase::Backup, Phase::Erase] {
        for (card, recipe) in [
            (owner_card(), cx3("2.42.5000")),
            (pro_card(Half::Even), pro("2.42.5000")),
        ] {
            let bench = Bench::new();
            let mut told = Told::stopping_at(phase);
            let error = bench.burn_telling(&card, &recipe, &mut told).unwrap_err();
            assert_eq!(error.class(), ExitClass::Interrupted, "{phase:?}: {error}");
            untouched(&card.counters());
            clean(&card);
        }
    }
}

#[test]
fn stop_after_an_erase_leaves_a_card_that_does_not_boot() {
    // A used half, so that there is something to erase.
    let third = own(&pro("2.30.3000"));
    for phase in [Phase::Write, Phase::Verify] {
        let bench = Bench::new();
        let card = card_of(
            pro_spec(),
            &[(&own(&pro("2.36.5150")), Half::Even), (&third, Half::Odd)],
        );
        let mut told = Told::stopping_at(phase);
        let error = bench
            .burn_telling(&card, &pro("2.42.5000"), &mut told)
            .unwrap_err();
        assert_eq!(error.class(), ExitClass::StillBoots, "{phase:?}: {error}");
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
fn stop_tears_a_non_failsafe_burn_or_a_commit() {
    let bench = Bench::new();
    let card = owner_card();
    let mut told = Told::stopping_at(Phase::Write);
    bench
        .burn_telling(&card, &cx3("2.42.5000"), &mut told)
        .expect("it goes on to its end");
    assert_eq!(running_after(&card), Some(version("2.42.5000")));
    let card = pro_card(Half::Even);
    let mut told = Told::stopping_at(Phase::Commit);
    bench
        .burn_telling(&card, &pro("2.42.5000"), &mut told)
        .expect("the commit is not left half done");
    assert_eq!(running_after(&card), Some(version("2.42.5000")));
}

#[test]
fn removed_card_is_data() {
    // P7: at many places of the job; what is left is never claimed to be known.
    let bench = Bench::new();
    let whole = pro_card(Half::Even);
    let total = {
        let card = whole.fork();
        let _ = card.take_counters();
        bench.burn(&card, &pro("2.42.5000")).unwrap();
        let counters = card.take_counters();
        counters.bar_reads + counters.bar_writes
    };
    for n in 0..24 {
        let card = whole.fork();
        card.inject(Fault::Removed {
            after: 3 + total * n / 24,
        });
        let before = card.flash();
        let error = bench.burn(&card, &pro("2.42.5000")).unwrap_err();
        let class = error.class();
        if card.flash() == before {
            assert!(
                matches!(class, ExitClass::Failed | ExitClass::NeedsRecover),
                "{n}: {class:?}"
            );
        } else {
            // Nobody can look; the exit class says the worst.
            assert_eq!(class, ExitClass::NeedsRecover, "{n}: {error}");
        }
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        assert!(
            text.contains("gone") || text.contains("could not be read"),
            "{n}: {text}"
        );
        assert_eq!(card.misuse(), [], "{n}");
    }
}

#[test]
fn held_semaphores_are_taken_away() {
    for number in [40, 63] {
        let bench = Bench::new();
        let card = owner_card();
        card.inject(Fault::SemaphoreHeld {
            number,
            reads: None,
            owner_alive: true,
        });
        let error = bench.burn(&card, &cx3("2.42.5000")).unwrap_err();
        assert_eq!(error.class(), ExitClass::NotReady, "{error}");
        untouched(&card.counters());
        assert!(!bench.backups().exists());
    }
}

#[test]
fn locked_card_is_worked_on() {
    let spec = crate::sim::CardSpec {
        secure_host: true,
        ..Default::default()
    };
    let card = SimCard::new(spec, own(&cx3("2.35.5100")).bytes());
    let error = open_sim(&card, "sim:test").err().unwrap();
    assert!(error.to_string().contains("locked"), "{error}");
    assert_eq!(error.class(), ExitClass::Failed);
}

#[test]
fn flash_faults_are_believed() {
    // A lying write, a flipped bit, a stuck chip in the middle of the burn: the old image boots, and a
    // second run completes.
    let bench = Bench::new();
    let whole = card_of(
        pro_spec(),
        &[
            (&own(&pro("2.36.5150")), Half::Even),
            (&own(&pro("2.30.3000")), Half::Odd),
        ],
    );
    let total = {
        let card = whole.fork();
        let before = card.mutations();
        bench.burn(&card, &pro("2.42.5000")).unwrap();
        card.mutations() - before
    };
    for op in [2, 3, 5, total / 2, total - 4] {
        for fault in [
            Fault::LyingWrite { op },
            Fault::FlippedBit { op, bit: 13 },
            Fault::StuckWip { op },
        ] {
            let card = whole.fork();
            card.inject(fault.clone());
            let Err(error) = bench.burn(&card, &pro("2.42.5000")) else {
                // A flipped bit in an erase may land where nothing is looked for.
                let boots = running_after(&card);
                assert_eq!(boots, Some(version("2.42.5000")), "{fault:?}");
                continue;
            };
            assert!(
                matches!(
                    error.class(),
                    ExitClass::StillBoots | ExitClass::NeedsRecover
                ),
                "{fault:?}: {error}"
            );
            card.power_cycle();
            let boots = running_after(&card);
            assert_eq!(boots, Some(version("2.36.5150")), "{fault:?}: {error}");
            bench
                .burn(&card, &pro("2.42.5000"))
                .unwrap_or_else(|e| panic!("{fault:?}: again: {e}"));
            assert_eq!(running_after(&card), Some(version("2.42.5000")));
        }
    }
}

#[test]
fn non_failsafe_cut_is_called_harmless() {
    let bench = Bench::new();
    let card = owner_card();
    // In the middle of the writing.
    card.inject(Fault::PowerCut { op: 12, seed: 7 });
    let error = bench.burn(&card, &cx3("2.42.5000")).unwrap_err();
    assert_eq!(error.class(), ExitClass::NeedsRecover, "{error}");
    let JobError::Stopped { backup, .. } = error else {
        panic!("{error}");
    };
    let backup = backup.unwrap();
    card.power_cycle();
    assert_eq!(running_after(&card), None);
    // Both ways back.
    let other = card.fork();
    let mut device = open_sim(&card, "sim:test").unwrap();
    assert!(device.card.in_recovery());
    let request = RecoverRequest {
        identity: read_identity(&backup.join("identity.json")).unwrap(),
        backup_dir: bench.backups(),
        activate: true,
    };
    let image = bench.image(&cx3("2.42.5000"));
    let outcome = recover(&mut device, &image, &request, &mut |_| true, &mut ()).unwrap();
    assert_eq!(
        outcome.activation.unwrap().after,
        Some(version("2.42.5000"))
    );
    let shown = identity_show(&mut device).unwrap();
    assert_eq!(shown.identity, identity());
    bench.restore(&other, &backup).unwrap();
    assert_eq!(running_after(&other), Some(version("2.35.5100")));
}

#[test]
fn a_second_program_gets_at_the_card() {
    // The semaphores are taken once and held to the end of the job.
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.start_trace();
    bench.burn(&card, &pro("2.42.5000")).unwrap();
    let taken = card
        .trace()
        .iter()
        .filter(|op| matches!(op, crate::sim::Op::Acquire { number: 40 }))
        .count();
    assert_eq!(taken, 1);
    clean(&card);
}
