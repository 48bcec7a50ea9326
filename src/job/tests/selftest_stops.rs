//! The self-test, interrupted: card and host are as found.

use super::bench::*;
use super::selftest::*;
use crate::flash::{Event, Events, Phase};
use crate::host::BorrowedBench;
use crate::job::*;
use crate::sim::{BootOutcome, SimCard};

/// Requests a stop once this stage is done, and then, where there is one, this phase has begun.
struct StopAfter {
    stage: StageId,
    phase: Option<Phase>,
    done: bool,
    stop: bool,
}

impl StopAfter {
    fn stage(stage: StageId) -> Self {
        Self { stage, phase: None, done: false, stop: false }
    }
}

impl Events for StopAfter {
    fn emit(&mut self, event: Event) {
        let name = format!("{}: ", self.stage.name());
        self.done |= matches!(&event, Event::Note { text } if text.starts_with(&name));
        let begun = match (self.phase, &event) {
            (None, _) => true,
            (Some(wanted), Event::Started { phase, .. }) => wanted == *phase,
            (Some(_), _) => false,
        };
        self.stop |= self.done && begun;
    }

    fn stop_requested(&self) -> bool {
        self.stop
    }
}

fn every_stage(bench: &Bench) -> SelftestRequest<'static> {
    let dir = Box::leak(Box::new(bench.backups()));
    let expendable = Some(Expendable { serial: SERIAL, backup_dir: dir });
    SelftestRequest { tools_interface: true, reset: true, expendable }
}

/// The test on a card that is borrowed from a host, which must be restored.
fn on_a_host(
    bench: &Bench,
    card: &SimCard,
    events: &mut dyn Events,
    what: &str,
) -> Result<SelftestOutcome, JobError> {
    let host = BorrowedBench::new();
    let borrowed = host.borrow(card.bar0());
    let mut device = kept(bench, card);
    device.borrowed = Some(borrowed.clone());
    let driver = DriverFacts { driver: borrowed.original_driver(), ..facts() };
    let request = every_stage(bench);
    let ended = selftest(&mut device, driver, request, None, events, &mut None);
    device.end();
    host.assert_restored(&borrowed, false, what);
    ended
}

#[test]
fn an_interruption_after_any_stage_leaves_card_and_host_as_found() {
    let original = quick_pro_card(None);
    let stages = on_a_host(&Bench::new(), &original.fork(), &mut (), "whole").unwrap().stages;
    let last = [StageId::BurnAgain, StageId::Restored];
    assert!(last.iter().all(|id| stages.iter().any(|stage| stage.id == *id)), "{stages:#?}");
    let before = original.flash();
    let mut interrupted = 0;
    for stage in &stages {
        let what = format!("{:?}", stage.id);
        let card = original.fork();
        let mut events = StopAfter::stage(stage.id);
        let ended = on_a_host(&Bench::new(), &card, &mut events, &what);
        clean(&card);
        if last.contains(&stage.id) {
            // Nothing is left to interrupt.
            assert!(!ended.unwrap().contradicted, "{what}");
            continue;
        }
        let error = ended.unwrap_err();
        assert_eq!(error.outcome().exit, Exit::Interrupted, "{what}: {error}");
        assert!(card.flash() == before, "{what}");
        interrupted += 1;
    }
    assert!(interrupted > 15, "{interrupted}");
}

#[test]
fn an_interruption_in_any_phase_of_the_burn_leaves_a_card_that_boots_and_the_host_as_found() {
    let original = quick_pro_card(None);
    let before = original.flash();
    for phase in
        [Phase::Read, Phase::Backup, Phase::Erase, Phase::Write, Phase::Verify, Phase::Commit]
    {
        let what = format!("{phase:?}");
        let card = original.fork();
        let stage = StageId::Erase64K;
        let mut events = StopAfter { phase: Some(phase), ..StopAfter::stage(stage) };
        let ended = on_a_host(&Bench::new(), &card, &mut events, &what);
        clean(&card);
        if let Err(error) = &ended {
            let exit = error.outcome().exit;
            // Behind the erases of sectors that are blank nothing has changed yet.
            let unchanged = card.flash() == before;
            assert!(
                exit == Exit::Interrupted && unchanged || exit == Exit::StillBoots,
                "{what}: {exit:?}: {error}"
            );
        }
        card.power_cycle();
        let boots = card.boot_outcome();
        assert!(matches!(boots, BootOutcome::Image { .. }), "{what}: {boots:?}");
        assert!(verify_card(&mut opened(&card), &mut ()).unwrap().ok || ended.is_err(), "{what}");
    }
}

#[test]
fn the_default_card_is_tested_interrupted_and_left_as_found_too() {
    let original = quick_owner_card();
    let before = original.flash();
    for stage in [StageId::Readings, StageId::Reset, StageId::WriteEnable, StageId::Erase64K] {
        let what = format!("{stage:?}");
        let card = original.fork();
        let mut events = StopAfter::stage(stage);
        let error = on_a_host(&Bench::new(), &card, &mut events, &what).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::Interrupted, "{what}: {error}");
        assert!(card.flash() == before, "{what}");
        clean(&card);
    }
}
