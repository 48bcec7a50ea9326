//! The trial start: new firmware is seen running before the old image is invalidated, or the old one comes back.

use super::bench::*;
use crate::image::{Half, MAGIC, Version};
use crate::job::*;
use crate::plan::{BurnOptions, StartKind, StartRequest};
use crate::sim::{BootOutcome, CardSpec, Fault, FirmwareDefect, SimCard};

const OLD: &str = "2.36.5150";
const NEW: &str = "2.42.5000";

/// Every boot ROM: which half it prefers, and whether it takes notice of the boot address register.
fn boot_roms() -> impl Iterator<Item = CardSpec> {
    [(false, true), (false, false), (true, true), (true, false)].into_iter().map(
        |(boots_highest_first, honours_boot_address)| CardSpec {
            boots_highest_first,
            honours_boot_address,
            ..pro_spec()
        },
    )
}

fn card(spec: CardSpec, half: Half) -> SimCard {
    card_of(spec, &[(&own(&pro(OLD)), half)])
}

fn kept(bench: &Bench, card: &SimCard) -> Device {
    opened(card).keeping_proofs(&bench.path("cards"), "e4-1d-2d-03-00-ab-cd-ef".into())
}

fn burn(bench: &Bench, card: &SimCard, start: StartRequest) -> Result<WriteOutcome, JobError> {
    let image = bench.image(&pro(NEW));
    let (options, dir) =
        (BurnOptions { allow_older: true, ..BurnOptions::default() }, bench.backups());
    let how = WriteOptions { backup_dir: &dir, start };
    let mut known = None;
    let request = WriteRequest::Burn(&image, &options);
    let ended =
        write_reporting(&mut kept(bench, card), &request, how, &mut |_| true, &mut (), &mut known);
    // A result reports what took place, also of a job that failed.
    let kind = |start: Option<StartKind>| start.unwrap_or(StartKind::None);
    // A card that is refused before it is read has no result.
    let Some(known) = known else {
        return ended;
    };
    if !known.plan.refused && known.stopped.is_none() {
        let planned = kind(known.plan.start.map(|start| start.kind));
        assert_eq!(planned, kind(known.first_start.as_ref().map(|start| start.kind)), "{ended:?}");
    }
    ended
}

fn runs(card: &SimCard) -> Option<Version> {
    match card.running() {
        BootOutcome::Image { version, .. } => Some(version),
        _ => None,
    }
}

/// The version of the one image that a power-on finds, whatever the boot ROM prefers.
#[track_caller]
fn holds(card: &SimCard, text: &str) {
    let outcomes = card.boot_outcomes();
    assert_eq!(outcomes.lowest_first, outcomes.highest_first);
    let BootOutcome::Image { version: found, .. } = outcomes.lowest_first else {
        panic!("{outcomes:?}");
    };
    assert_eq!(found, version(text));
}

fn defective(card: &SimCard, text: &str, defect: FirmwareDefect) {
    card.inject(Fault::Firmware { fw_version: version(text), defect });
}

/// Number of signatures on the flash of a Pro card.
fn signatures(card: &SimCard) -> usize {
    let flash = card.flash();
    [0, 0x1_0000].into_iter().filter(|at| flash[*at..*at + 16] == MAGIC).count()
}

#[test]
fn new_firmware_that_runs_is_confirmed_and_only_then_the_old_image_goes() {
    for spec in boot_roms() {
        for half in [Half::Even, Half::Odd] {
            let bench = Bench::new();
            let card = card(spec.clone(), half);
            let prefers_old = spec.boots_highest_first == (half == Half::Odd);
            let ended = burn(&bench, &card, StartRequest::Trial);
            clean(&card);
            if spec.honours_boot_address || !prefers_old {
                let outcome = ended.unwrap();
                assert_eq!(outcome.first_start.unwrap().new_runs, Some(true));
                assert!(outcome.activation.unwrap().confirmed);
                assert_eq!(runs(&card), Some(version(NEW)));
                holds(&card, NEW);
                continue;
            }
            // The card starts the old image, and nothing shows why.
            let error = ended.unwrap_err();
            assert_eq!(error.outcome().exit, Exit::StillBoots, "{error}");
            assert!(
                error.to_string().contains("takes no notice of the boot address register"),
                "{error}"
            );
            assert_eq!(runs(&card), Some(version(OLD)));
            // That firmware starts without a trial shows it; from then on there is none.
            let outcome = burn(&bench, &card, StartRequest::Untried).unwrap();
            assert!(outcome.activation.unwrap().confirmed);
            let back = pro(OLD);
            let image = bench.image(&back);
            let older = BurnOptions { allow_older: true, ..BurnOptions::default() };
            let dir = bench.backups();
            let how = WriteOptions { backup_dir: &dir, start: StartRequest::Trial };
            let request = WriteRequest::Burn(&image, &older);
            let outcome =
                write(&mut kept(&bench, &card), &request, how, &mut |_| true, &mut ()).unwrap();
            let start = outcome.first_start.unwrap();
            assert_eq!((start.kind, start.new_runs), (StartKind::Look, Some(true)));
            assert!(start.detail.contains("takes no notice"), "{start:?}");
            holds(&card, OLD);
            clean(&card);
        }
    }
}

#[test]
fn firmware_that_does_not_start_gives_way_to_the_old_one() {
    let defects = [
        FirmwareDefect::NeverStarts { recovery_id: false },
        FirmwareDefect::NeverStarts { recovery_id: true },
        FirmwareDefect::Dies { ms: 0, silent: false },
        FirmwareDefect::Dies { ms: 400, silent: false },
        FirmwareDefect::Dies { ms: 1500, silent: false },
        FirmwareDefect::NeedsDriver,
    ];
    for spec in boot_roms() {
        for half in [Half::Even, Half::Odd] {
            for defect in defects {
                let bench = Bench::new();
                let card = card(spec.clone(), half);
                defective(&card, NEW, defect);
                let error = burn(&bench, &card, StartRequest::Trial).unwrap_err();
                let text = error.to_string();
                assert_eq!(error.outcome().exit, Exit::StillBoots, "{defect:?}: {text}");
                let wanted = "the new firmware did not start; the card runs 2.36.5150 as before";
                assert!(text.starts_with(wanted), "{defect:?}: {text}");
                let context =
                    HintContext { typed: Some("cx3flash burn new.bin"), ..HintContext::default() };
                let hint = error.hint(&context).unwrap();
                assert!(hint.ends_with("cx3flash burn new.bin --no-trial"), "{hint}");
                assert!(error.backup().is_some());
                assert_eq!(runs(&card), Some(version(OLD)), "{defect:?}: {text}");
                assert_eq!(signatures(&card), 1);
                clean(&card);
                card.power_cycle();
                assert_eq!(runs(&card), Some(version(OLD)));
                holds(&card, OLD);
            }
        }
    }
}

#[test]
fn firmware_that_waits_for_its_driver_starts_without_a_trial() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    defective(&card, NEW, FirmwareDefect::NeedsDriver);
    let outcome = burn(&bench, &card, StartRequest::Untried).unwrap();
    assert_eq!(outcome.first_start.unwrap().kind, StartKind::None);
    assert!(!outcome.activation.unwrap().confirmed);
    card.config_write(4, 6);
    assert_eq!(runs(&card), Some(version(NEW)));
}

#[test]
fn a_card_that_falls_silent_on_trial_keeps_both_images() {
    for ms in [0, 700, 1500] {
        let bench = Bench::new();
        let card = card(pro_spec(), Half::Even);
        defective(&card, NEW, FirmwareDefect::Dies { ms, silent: true });
        let error = burn(&bench, &card, StartRequest::Trial).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{text}");
        assert!(text.contains("both images are complete on the flash"), "{text}");
        assert!(!text.contains("ran 2.36.5150 again"), "{text}");
        let hint = error.hint(&HintContext::default()).unwrap();
        assert!(hint.contains("power the machine off and on"), "{hint}");
        assert_eq!(signatures(&card), 2);
        // This boot ROM prefers the old one. Whoever burns it again has it alone.
        card.power_cycle();
        assert_eq!(runs(&card), Some(version(OLD)));
        let image = bench.image(&pro(OLD));
        let older = BurnOptions { allow_older: true, ..BurnOptions::default() };
        let outcome = bench.write(&mut opened(&card), &WriteRequest::Burn(&image, &older)).unwrap();
        assert!(!outcome.nothing_to_do);
        holds(&card, OLD);
    }
}

#[test]
fn the_old_firmware_that_does_not_come_back_is_reported_as_unknown() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    defective(&card, NEW, FirmwareDefect::NeverStarts { recovery_id: false });
    defective(&card, OLD, FirmwareDefect::NeverStarts { recovery_id: false });
    let error = burn(&bench, &card, StartRequest::Trial).unwrap_err();
    assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{error}");
    // It ran before the job, and the new one did not.
    assert_eq!(signatures(&card), 1);
    clean(&card);
}

#[test]
fn a_burn_cut_between_commit_and_confirmation_is_finished_by_the_next_one() {
    for spec in boot_roms() {
        let bench = Bench::new();
        let images = [(&own(&pro(OLD)), Half::Even), (&own(&pro(NEW)), Half::Odd)];
        let card = card_of(spec.clone(), &images);
        assert_eq!(signatures(&card), 2);
        let mut device = opened(&card);
        let verified = verify_card(&mut device, &mut ()).unwrap();
        assert!(verified.ok);
        let query = query_card(&mut device).unwrap();
        assert_eq!(query.images.len(), 2);
        assert!(query.images.iter().all(|found| found.image.is_some()));
        assert_eq!(query.images.iter().filter(|found| found.boots).count(), 1);
        drop(device);
        match burn(&bench, &card, StartRequest::Trial) {
            Ok(outcome) => {
                assert!(!outcome.nothing_to_do);
                // Where the new firmware runs already, nothing shows that the reset has loaded it.
                let shown = (!spec.boots_highest_first).then_some(true);
                assert_eq!(outcome.first_start.unwrap().new_runs, shown);
                holds(&card, NEW);
            }
            Err(error) => {
                assert!(!spec.honours_boot_address && !spec.boots_highest_first, "{error}");
                assert_eq!(error.outcome().exit, Exit::StillBoots, "{error}");
                holds(&card, OLD);
            }
        }
        clean(&card);
    }
}

#[test]
fn a_request_to_stop_waits_for_the_end_of_the_trial() {
    struct StopInTrial(bool);
    impl crate::flash::Events for StopInTrial {
        fn emit(&mut self, event: crate::flash::Event) {
            self.0 |= matches!(
                event,
                crate::flash::Event::Started { phase: crate::flash::Phase::Trial, .. }
            );
        }
        fn stop_requested(&self) -> bool {
            self.0
        }
    }
    for (defect, end) in [(None, NEW), (Some(FirmwareDefect::NeedsDriver), OLD)] {
        let bench = Bench::new();
        let card = card(pro_spec(), Half::Even);
        if let Some(defect) = defect {
            defective(&card, NEW, defect);
        }
        let (image, options, dir) =
            (bench.image(&pro(NEW)), BurnOptions::default(), bench.backups());
        let how = WriteOptions { backup_dir: &dir, start: StartRequest::Trial };
        let request = WriteRequest::Burn(&image, &options);
        let mut events = StopInTrial(false);
        let ended = write(&mut opened(&card), &request, how, &mut |_| true, &mut events);
        assert!(events.0);
        assert_eq!(ended.is_ok(), defect.is_none());
        holds(&card, end);
        clean(&card);
    }
}

#[test]
fn old_firmware_that_shows_no_version_is_no_ground_for_a_trial() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    defective(&card, OLD, FirmwareDefect::NeedsDriver);
    card.power_cycle();
    let outcome = burn(&bench, &card, StartRequest::Trial).unwrap();
    let start = outcome.first_start.unwrap();
    assert_eq!(start.kind, StartKind::Look);
    assert!(start.detail.contains("does not report which version runs"), "{start:?}");
    holds(&card, NEW);
    assert_eq!(runs(&card), Some(version(NEW)));
}

#[test]
fn a_reset_that_loads_nothing_gives_way_to_the_old_image() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    card.inject(Fault::ResetKeeps);
    let error = burn(&bench, &card, StartRequest::Trial).unwrap_err();
    assert_eq!(error.outcome().exit, Exit::StillBoots, "{error}");
    holds(&card, OLD);
    clean(&card);
}

#[test]
fn without_another_image_the_start_is_inspected() {
    let bench = Bench::new();
    let card = owner_card();
    let image = bench.image(&cx3(NEW));
    let mut device = opened(&card);
    let outcome = bench.burn_and_activate(&mut device, &image).unwrap();
    let start = outcome.first_start.unwrap();
    assert_eq!((start.kind, start.new_runs), (StartKind::Look, Some(true)));
    assert!(outcome.activation.unwrap().confirmed);
    clean(&card);
}

#[test]
fn a_way_back_shows_whether_the_boot_address_counts() {
    for (honours_boot_address, kind) in [(true, StartKind::Trial), (false, StartKind::Look)] {
        let bench = Bench::new();
        // The boot ROM prefers the half of the new image.
        let spec = CardSpec { boots_highest_first: true, honours_boot_address, ..pro_spec() };
        let card = card(spec, Half::Even);
        defective(&card, NEW, FirmwareDefect::NeverStarts { recovery_id: false });
        burn(&bench, &card, StartRequest::Trial).unwrap_err();
        let image = bench.image(&pro(NEW));
        let planned =
            plan(&mut kept(&bench, &card), &image, &BurnOptions::default(), &mut ()).unwrap();
        assert_eq!(planned.plan.start.unwrap().kind, kind, "{honours_boot_address}");
    }
}

#[test]
fn a_reset_that_was_lost_is_sent_again() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    // The write to the reset register; what the record needs resets nothing.
    card.inject(Fault::LostWrite { after: 0, at: Some(0xF_0010) });
    let outcome = burn(&bench, &card, StartRequest::Trial).unwrap();
    assert_eq!(outcome.first_start.unwrap().new_runs, Some(true));
    holds(&card, NEW);
    assert!(card.semaphores_held().is_empty());
}

/// Firmware that has stopped keeps semaphore 63.
#[track_caller]
fn no_more_than_hung(card: &SimCard) {
    assert_eq!(card.misuse(), []);
    assert!(matches!(card.semaphores_held()[..], [] | [63]));
}

/// A burn on a card whose firmware may hang with semaphore 63.
fn burn_unlocked(bench: &Bench, card: &SimCard) -> Result<WriteOutcome, JobError> {
    match burn(bench, card, StartRequest::Trial) {
        Err(error) if error.outcome().exit == Exit::NotReady => {
            unlock(&mut opened(card), &mut |_| true, &mut ()).unwrap();
            burn(bench, card, StartRequest::Trial)
        }
        ended => ended,
    }
}

#[test]
fn firmware_that_hangs_is_not_confirmed_on_a_card_that_hung_before() {
    for ms in [0, 300, 1500] {
        for spec in boot_roms() {
            // A burn was killed after its commit, and a power cycle starts what it wrote.
            let bench = Bench::new();
            let images = [(&own(&pro(OLD)), Half::Even), (&own(&pro(NEW)), Half::Odd)];
            let card = card_of(spec.clone(), &images);
            defective(&card, NEW, FirmwareDefect::Dies { ms, silent: false });
            card.power_cycle();
            let error = burn_unlocked(&bench, &card).unwrap_err();
            if spec.honours_boot_address || !spec.boots_highest_first {
                assert_eq!(error.outcome().exit, Exit::StillBoots, "{ms}: {error}");
                assert_eq!(runs(&card), Some(version(OLD)));
                holds(&card, OLD);
            } else {
                // It hangs after every reset: nothing shows that the old one would run.
                assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{ms}: {error}");
                assert_eq!(signatures(&card), 2);
            }
            no_more_than_hung(&card);
            // The old firmware hangs as well. It may run after a power cycle.
            let bench = Bench::new();
            let card = self::card(spec, Half::Even);
            defective(&card, OLD, FirmwareDefect::Dies { ms: 0, silent: false });
            defective(&card, NEW, FirmwareDefect::Dies { ms, silent: false });
            card.power_cycle();
            let error = burn_unlocked(&bench, &card).unwrap_err();
            assert!(!error.to_string().contains("runs 2.36.5150"), "{ms}: {error}");
            holds(&card, OLD);
            no_more_than_hung(&card);
        }
    }
}

#[test]
fn a_register_that_never_changes_is_learnt_on_the_way_back() {
    let bench = Bench::new();
    let card = card(pro_spec(), Half::Even);
    card.inject(Fault::StillRegister);
    let error = burn(&bench, &card, StartRequest::Trial).unwrap_err();
    assert_eq!(error.outcome().exit, Exit::StillBoots, "{error}");
    assert!(
        error.to_string().contains("the next burn of this card decides by the version"),
        "{error}"
    );
    holds(&card, OLD);
    let outcome = burn(&bench, &card, StartRequest::Trial).unwrap();
    let start = outcome.first_start.unwrap();
    assert_eq!((start.kind, start.new_runs), (StartKind::Trial, None), "{start:?}");
    assert!(start.detail.contains("does not change"), "{start:?}");
    assert!(!outcome.activation.unwrap().confirmed);
    holds(&card, NEW);
    clean(&card);
}

#[test]
fn a_register_that_changes_is_required_again() {
    let bench = Bench::new();
    let still = card(pro_spec(), Half::Even);
    still.inject(Fault::StillRegister);
    burn(&bench, &still, StartRequest::Trial).unwrap_err();
    // The same card, whose firmware showed no life for another reason.
    let card = card(pro_spec(), Half::Even);
    defective(&card, NEW, FirmwareDefect::Dies { ms: 0, silent: false });
    for hangs in [false, true] {
        if hangs {
            defective(&card, OLD, FirmwareDefect::Dies { ms: 0, silent: false });
            card.power_cycle();
        }
        let error = burn_unlocked(&bench, &card).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::StillBoots, "{error}");
        holds(&card, OLD);
    }
}
