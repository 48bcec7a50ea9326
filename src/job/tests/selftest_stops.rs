//! The self-test, interrupted: card and host are as found. And what it reports where they are not.

use super::bench::*;
use super::selftest::*;
use crate::flash::{Boots, Event, Events, Phase};
use crate::host::BorrowedBench;
use crate::job::*;
use crate::sim::{BootOutcome, Fault, FirmwareDefect, SimCard};

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
        // 130 is an interruption before the first erase.
        let erased = [StageId::BlankProgram, StageId::Erase4K, StageId::Erase64K];
        let exit = if erased.contains(&stage.id) { Exit::StillBoots } else { Exit::Interrupted };
        assert_eq!(error.outcome().exit, exit, "{what}: {error}");
        assert!(card.flash() == before, "{what}");
        interrupted += 1;
    }
    assert!(interrupted > 15, "{interrupted}");
}

#[test]
fn a_stop_while_the_same_image_is_burned_again_boots_the_old_one() {
    let card = quick_pro_card(None);
    let mut events = StopAfter { phase: Some(Phase::Write), ..StopAfter::stage(StageId::Erase64K) };
    let error = on_a_host(&Bench::new(), &card, &mut events, "write").unwrap_err();
    let JobError::Stopped { stopped, .. } = &error else { panic!("{error}") };
    assert_eq!(stopped.boots, Boots::OldImage);
}

#[test]
fn a_card_whose_firmware_does_not_survive_the_test_is_no_success() {
    let dies = |ms, silent| FirmwareDefect::Dies { ms, silent };
    for defect in [
        FirmwareDefect::NeverStarts { recovery_id: false },
        FirmwareDefect::NeverStarts { recovery_id: true },
        dies(0, false),
        dies(700, false),
        dies(2500, false),
        dies(700, true),
    ] {
        let card = quick_pro_card(None);
        card.inject(Fault::Firmware { fw_version: version("2.36.5150"), defect });
        let bench = Bench::new();
        let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
        let mut known = None;
        let mut device = kept(&bench, &card);
        let ended = selftest(&mut device, facts(), request, None, &mut (), &mut known);
        let error = ended.unwrap_err();
        let silent = matches!(defect, FirmwareDefect::Dies { silent: true, .. });
        let exit = if silent { Exit::OutcomeUnknown } else { Exit::NeedsRecover };
        assert_eq!(error.outcome().exit, exit, "{defect:?}: {error}");
        let stages = known.unwrap().stages;
        let proved =
            |id: StageId| stages.iter().any(|s| s.id == id && s.result == StageResult::Proved);
        assert!(!proved(StageId::Reset) && !proved(StageId::Restored), "{defect:?}");
    }
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
    for stage in [StageId::Readings, StageId::Reset, StageId::WriteEnable] {
        let what = format!("{stage:?}");
        let card = original.fork();
        let mut events = StopAfter::stage(stage);
        let error = on_a_host(&Bench::new(), &card, &mut events, &what).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::Interrupted, "{what}: {error}");
        assert!(card.flash() == before, "{what}");
        clean(&card);
    }
}
