//! Activation, alone and behind a burn, of firmware that fails, and under every boot ROM.

use super::bench::*;
use crate::image::{Half, Recipe};
use crate::job::*;
use crate::plan::{BurnOptions, StartRequest};
use crate::sim::{BootOutcome, CardSpec, Fault, FirmwareDefect, SimCard};

/// A card of either layout, the image to burn, and what it runs. The old image of a failsafe card goes without a
/// trial here; `trial.rs` has the others.
fn cards() -> [(SimCard, Recipe, Recipe); 2] {
    [
        (owner_card(), cx3("2.42.5000"), cx3("2.35.5100")),
        (pro_card(Half::Even), pro("2.42.5000"), pro("2.36.5150")),
    ]
}

fn untried(card: &SimCard) -> StartRequest {
    match card.spec().hw_id {
        0x1F7 => StartRequest::Untried,
        _ => StartRequest::Trial,
    }
}

fn defective(card: &SimCard, defect: FirmwareDefect) {
    card.inject(Fault::Firmware { fw_version: version("2.42.5000"), defect });
}

fn runs(card: &SimCard, text: &str) -> bool {
    matches!(card.running(), BootOutcome::Image { version: v, .. } if v == version(text))
}

#[test]
fn firmware_that_never_starts_is_reported_and_can_be_replaced() {
    for recovery_id in [false, true] {
        for (card, new, old) in cards() {
            let bench = Bench::new();
            defective(&card, FirmwareDefect::NeverStarts { recovery_id });
            let image = bench.image(&new);
            let mut device = opened(&card);
            let error = bench.burn_and_start(&mut device, &image, untried(&card)).unwrap_err();
            assert_eq!(error.outcome().exit, Exit::NeedsRecover, "{error}");
            let text = super::super::error_text::error_chain(&error);
            assert!(text.contains("the flash holds 2.42.5000"), "{text}");
            assert!(text.contains("no firmware runs"), "{text}");
            let hint = error.hint(&HintContext::default()).unwrap();
            assert!(hint.contains("restore"), "{hint}");
            assert!(!device.reenumerate, "a driver would meet it");
            drop(device);

            let mut device = opened(&card);
            let error = activate(&mut device, &mut ()).unwrap_err();
            assert_eq!(error.outcome().exit, Exit::NeedsRecover, "{error}");
            let hint = error.hint(&HintContext::default()).unwrap();
            assert!(hint.contains("restore") && hint.contains("burn"), "{hint}");
            assert!(!device.reenumerate);
            drop(device);

            // Both ways of the hint.
            let restored = card.fork();
            bench.restore(&restored, &bench.backup_names()[0]).unwrap();
            for (card, back) in [(&restored, false), (&card, true)] {
                let mut device = opened(card);
                if back {
                    let older = BurnOptions { allow_older: true, ..BurnOptions::default() };
                    bench
                        .write(&mut device, &WriteRequest::Burn(&bench.image(&old), &older))
                        .unwrap();
                }
                let done = activate(&mut device, &mut ()).unwrap().activation;
                assert_eq!(done.after, Some(old.version));
                assert!(done.confirmed, "{done:?}");
                assert!(runs(card, &old.version.to_string()));
                clean(card);
            }
        }
    }
}

#[test]
fn firmware_that_has_stopped_is_not_confirmed() {
    for ms in [0, 100, 400] {
        for (card, new, _) in cards() {
            let bench = Bench::new();
            defective(&card, FirmwareDefect::Dies { ms, silent: false });
            let mut device = opened(&card);
            let ended = bench.burn_and_start(&mut device, &bench.image(&new), untried(&card));
            let outcome = match ended {
                // The look has shown it.
                Err(error) => {
                    assert_eq!(untried(&card), StartRequest::Trial, "{error}");
                    assert_eq!(error.outcome().exit, Exit::NeedsRecover, "{error}");
                    assert!(
                        super::super::error_text::error_chain(&error).contains("0x41270"),
                        "{error}"
                    );
                    continue;
                }
                Ok(outcome) => outcome,
            };
            assert_eq!(untried(&card), StartRequest::Untried, "{ms} ms");
            let activation = outcome.activation.unwrap();
            assert_eq!(activation.after, Some(new.version));
            assert!(!activation.confirmed, "{ms} ms");
            let detail = activation.detail.unwrap();
            assert!(detail.contains("0x41270"), "{detail}");
            assert!(matches!(card.running(), BootOutcome::Hung { .. }));
        }
    }
}

#[test]
fn a_card_that_dies_behind_the_reset_is_no_success() {
    for ms in [0, 100] {
        for (card, new, _) in cards() {
            let bench = Bench::new();
            defective(&card, FirmwareDefect::Dies { ms, silent: true });
            let mut device = opened(&card);
            let error =
                bench.burn_and_start(&mut device, &bench.image(&new), untried(&card)).unwrap_err();
            assert_eq!(error.outcome().exit, Exit::OutcomeUnknown, "{error}");
            let text = error.to_string();
            assert!(text.contains("the flash holds 2.42.5000"), "{text}");
            drop(device);
            // It does not answer, and that is what every command reports.
            assert!(open_sim(&card, "sim:test").is_err());
        }
    }
}

#[test]
fn firmware_that_waits_for_a_driver_is_not_confirmed() {
    for (card, new, _) in cards() {
        let bench = Bench::new();
        defective(&card, FirmwareDefect::NeedsDriver);
        let mut device = opened(&card);
        let outcome =
            bench.burn_and_start(&mut device, &bench.image(&new), untried(&card)).unwrap();
        let activation = outcome.activation.unwrap();
        assert_eq!((activation.after, activation.confirmed), (None, false));
        assert!(activation.detail.unwrap().contains("shows no version"));
        let again = activate(&mut device, &mut ()).unwrap().activation;
        assert_eq!((again.after, again.confirmed), (None, false));
        clean(&card);
        card.config_write(4, 6);
        assert!(runs(&card, "2.42.5000"));
    }
}

#[test]
fn firmware_that_lives_longer_is_confirmed() {
    for (card, new, _) in cards() {
        let bench = Bench::new();
        defective(&card, FirmwareDefect::Dies { ms: 3_600_000, silent: false });
        let mut device = opened(&card);
        let outcome =
            bench.burn_and_start(&mut device, &bench.image(&new), untried(&card)).unwrap();
        assert!(outcome.activation.unwrap().confirmed);
        assert!(runs(&card, "2.42.5000"));
    }
}

#[test]
fn new_firmware_starts_whatever_the_boot_rom_prefers() {
    for highest in [false, true] {
        for honours in [false, true] {
            for half in [Half::Even, Half::Odd] {
                let bench = Bench::new();
                let spec = CardSpec {
                    boots_highest_first: highest,
                    honours_boot_address: honours,
                    ..pro_spec()
                };
                let card = card_of(spec, &[(&own(&pro("2.36.5150")), half)]);
                let image = bench.image(&pro("2.42.5000"));
                let mut device = opened(&card);
                let outcome = bench.burn_and_start(&mut device, &image, untried(&card)).unwrap();
                let activation = outcome.activation.unwrap();
                assert!(activation.confirmed, "{activation:?}");
                assert!(runs(&card, "2.42.5000"));
                card.power_cycle();
                assert!(runs(&card, "2.42.5000"));
                clean(&card);
            }
        }
    }
}
