//! The process is away for 500 ms at every register access: every job succeeds.

use super::card::{CardLayout, CaseTally, Opened};
use super::tap::Pauses;
use crate::support::every_case;
use crate::sweep::world::SweepSetup;
use cx3flash::sim::{Fault, SimCard};
use std::time::Duration;

/// Accesses between two pauses of one run. Each run starts at another remainder, so that every
/// access number is paused at in one of the runs. A prime: loops do not fall into step with it.
const STRIDE: u64 = 17;
/// How long the chip boots from the reset of an activation on: 900 ms beyond its silence.
const BOOT: Duration = Duration::from_millis(1900);
/// Single pauses in a run, spread over the job.
const SINGLES: u64 = 12;

/// Runs `job` with pauses; it must succeed, and leave the flash as without.
fn sweep(name: &str, start: &SimCard, job: &dyn Fn(&Opened, &SimCard)) {
    let undisturbed = start.fork();
    let before = undisturbed.accesses();
    job(&Opened::default(), &undisturbed);
    assert_eq!(undisturbed.misuse(), [], "{name}");
    let accesses = undisturbed.accesses() - before;
    let want = undisturbed.flash();
    let mut tally = CaseTally::default();
    let mut run = |what: &str, card: &SimCard, opened: &Opened| {
        job(opened, card);
        assert_eq!(card.misuse(), [], "{name}, away {what}");
        assert!(card.semaphores_held().is_empty(), "{name}, away {what}");
        assert!(card.flash() == want, "{name}, away {what}: another flash");
        tally.count("done");
    };

    let often = |every, from| Opened { pauses: Some(Pauses { every, from }), ..Opened::default() };
    run("at every access", &start.fork(), &often(1, 0));
    for from in 0..STRIDE {
        let what = format!("at each access {from} modulo {STRIDE}");
        run(&what, &start.fork(), &often(STRIDE, from));
    }
    let step = if every_case() { 1 } else { accesses / SINGLES + 1 };
    for after in (0..accesses).step_by(usize::try_from(step).unwrap()) {
        let card = start.fork();
        card.inject(Fault::Away { after, ms: 500 });
        run(&format!("after access {after}"), &card, &Opened::default());
        assert_eq!(card.faults(), [], "{name}: the job has no access {after}");
    }
    tally.print(&format!("away, {name} ({accesses} accesses)"));
}

fn burn(layout: CardLayout) {
    let bench = layout.bench();
    sweep(&format!("burn, {}", layout.name()), &bench.card, &|opened, card| {
        let backups = bench.scratch();
        let outcome = opened.burn(&bench, card, backups.path()).unwrap();
        assert!(!outcome.nothing_to_do);
    });
}

#[test]
fn a_burn_of_a_failsafe_card_succeeds_wherever_its_process_is_away() {
    burn(CardLayout::Failsafe);
}

#[test]
fn a_burn_of_a_non_failsafe_card_succeeds_wherever_its_process_is_away() {
    burn(CardLayout::NonFailsafe);
}

fn verify_and_backup(layout: CardLayout) {
    let bench = layout.bench();
    let card = &bench.card;
    sweep(&format!("verify, {}", layout.name()), card, &|opened, card| {
        assert!(opened.verify(card).unwrap().ok);
    });
    sweep(&format!("backup, {}", layout.name()), card, &|opened, card| {
        let out = bench.scratch();
        let backup = opened.backup(card, out.path()).unwrap();
        assert!(std::fs::read(backup.dir.join("flash.bin")).unwrap() == card.flash());
    });
}

#[test]
fn verify_and_backup_of_a_failsafe_card_succeed_wherever_their_process_is_away() {
    verify_and_backup(CardLayout::Failsafe);
}

#[test]
fn verify_and_backup_of_a_non_failsafe_card_succeed_wherever_their_process_is_away() {
    verify_and_backup(CardLayout::NonFailsafe);
}

/// A card whose flash holds the new image while the old one runs.
fn burned(bench: &SweepSetup) -> SimCard {
    let card = bench.card.fork();
    let backups = bench.scratch();
    Opened::default().burn(bench, &card, backups.path()).unwrap();
    card
}

fn settings_and_activation(layout: CardLayout) {
    let bench = layout.bench();
    let burned = burned(&bench);
    burned.set_boot_time(BOOT);
    sweep(&format!("activation, {}", layout.name()), &burned, &|opened, card| {
        let activation = opened.activate(card).unwrap();
        assert_eq!(activation.after, activation.flashed);
        assert_ne!(activation.after, activation.before);
    });
    burned.set_boot_time(Duration::ZERO);
    burned.power_cycle();
    sweep(&format!("config set, {}", layout.name()), &burned, &|opened, card| {
        let backups = bench.scratch();
        let outcome = opened.config_set(card, backups.path()).unwrap();
        assert!(!outcome.nothing_to_do);
    });
}

#[test]
fn settings_and_activation_of_a_failsafe_card_succeed_wherever_their_process_is_away() {
    settings_and_activation(CardLayout::Failsafe);
}

#[test]
fn settings_and_activation_of_a_non_failsafe_card_succeed_wherever_their_process_is_away() {
    settings_and_activation(CardLayout::NonFailsafe);
}
