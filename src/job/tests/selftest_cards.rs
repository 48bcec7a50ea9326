//! The self-test on cards each of which breaks one assumption, and what a burn does on them with and without
//! a record.

use super::bench::*;
use super::selftest::*;
use crate::card::BarAccess;
use crate::image::{FlashAddr, Half, Source as _};
use crate::job::session::{CardFacts, trust_chains};
use crate::job::*;
use crate::plan::CheckId;
use crate::sim::{BootOutcome, CardSpec, Fault, SimCard, SimChip};

/// RDSR, and the bits of its status in an answer.
const RDSR: u8 = 0x05;
const WEL: u32 = 1 << 25;
const PROTECTION: u32 = 0x1c << 24;

fn expendable_test(bench: &Bench, card: &SimCard) -> Result<SelftestOutcome, JobError> {
    let expendable = Expendable { serial: SERIAL, backup_dir: &bench.backups() };
    let request = SelftestRequest { expendable: Some(expendable), ..SelftestRequest::default() };
    tested_as(bench, card, request, &mut ())
}

/// What the card holds is what the burn reports.
#[track_caller]
fn burn_is_true(bench: &Bench, card: &SimCard, what: &str) {
    let before = card.flash();
    match burn(bench, card) {
        Ok(_) => {
            card.power_cycle();
            let boots = card.boot_outcome();
            let new = version("2.42.5000");
            assert!(
                matches!(boots, BootOutcome::Image { version, .. } if version == new),
                "{what}: {boots:?}"
            );
        }
        Err(error) => {
            let exit = error.outcome().exit;
            let unchanged = [Exit::Failed, Exit::Refused, Exit::NotReady].contains(&exit);
            assert_eq!(unchanged, card.flash() == before, "{what}: {exit:?}: {error}");
            assert!(unchanged || exit == Exit::StillBoots, "{what}: {exit:?}: {error}");
        }
    }
}

#[test]
fn a_write_enable_latch_that_does_not_follow_is_named_and_a_burn_is_refused() {
    for (set, clear) in [(WEL, 0), (0, WEL)] {
        let fault = Fault::AnswerBits { opcode: RDSR, set, clear };
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.inject(fault.clone());
        assert!(!tested(&bench, &card.fork()).contradicted, "what only reads does not see it");
        burn_is_true(&Bench::new(), &card.fork(), &format!("{fault:?}"));
        let before = card.flash();
        let outcome = expendable_test(&bench, &card).unwrap();
        let named: Vec<StageId> = outcome.contradictions().collect();
        assert_eq!(named, [StageId::WriteEnable], "{fault:?}: {outcome:#?}");
        assert!(card.flash() == before, "{fault:?}");
        let error = burn(&bench, &card).unwrap_err();
        assert_eq!(error.refused_by(), [CheckId::Selftest], "{fault:?}: {error}");
    }
}

#[test]
fn a_status_with_wrong_bits_writes_nothing_that_is_not_reported() {
    for (set, clear) in [(PROTECTION, 0), (0xff00_0000 & !(3 << 24), 0), (1 << 24, 0)] {
        let fault = Fault::AnswerBits { opcode: RDSR, set, clear };
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.set_hurry(true);
        card.inject(fault.clone());
        burn_is_true(&bench, &card, &format!("{fault:?}"));
    }
}

#[test]
fn an_id_that_is_another_one_each_time_is_named_and_a_burn_changes_nothing() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(Fault::UnstableId { every: 2 });
    let before = card.flash();
    let outcome = tested(&bench, &card);
    assert_eq!(result(&outcome, StageId::Gateway), StageResult::Contradicted, "{outcome:#?}");
    assert!(burn(&bench, &card).is_err());
    assert!(card.flash() == before);
    clean(&card);
}

#[test]
fn a_semaphore_that_is_never_freed_or_held_by_another_program_ends_before_anything_changes() {
    let held = Fault::SemaphoreHeld { number: 63, reads: None, owner_alive: true };
    for fault in [Fault::SemaphoreSticks { number: 40 }, held] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.inject(fault.clone());
        match tested_as(&bench, &card, SelftestRequest::default(), &mut ()) {
            Ok(outcome) => {
                let result = result(&outcome, StageId::Semaphores);
                assert_eq!(result, StageResult::Contradicted, "{fault:?}: {outcome:#?}");
            }
            Err(error) => assert_eq!(error.outcome().exit, Exit::NotReady, "{fault:?}: {error}"),
        }
        let error = burn(&bench, &card).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::NotReady, "{fault:?}: {error}");
        untouched(&card.counters());
    }
}

#[test]
fn a_clock_of_a_tenth_contradicts_nothing_and_a_burn_succeeds() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.set_hurry(true);
    card.inject(Fault::GatewayPace { us: 60 });
    let outcome = tested(&bench, &card);
    assert_eq!(result(&outcome, StageId::Gateway), StageResult::Proved, "{outcome:#?}");
    assert!(!outcome.contradicted, "{outcome:#?}");
    burn(&bench, &card).unwrap();
}

#[test]
fn chains_that_are_wrong_at_a_border_are_named_or_never_cross_it() {
    for (size, named) in [
        (256, Some(StageId::Chains4096)),
        (1024, Some(StageId::Chains4096)),
        (4096, None),
        (0x1_0000, None),
    ] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.inject(Fault::ChainBorder { size });
        let outcome = tested(&bench, &card);
        assert_eq!(outcome.contradictions().next(), named, "{size:#x}");
        let known = card.flash();
        let mut device = kept(&bench, &card);
        assert_eq!(flash_info(&mut device).unwrap().chained_reads, named.is_none(), "{size:#x}");
        // From the middle of a page over several borders.
        let (at, len) = (0x800_usize, 0x3_0010_usize);
        let facts = CardFacts::of(&mut device).unwrap();
        let mut locked = device.lock().unwrap();
        assert_eq!(trust_chains(&facts, &mut locked).unwrap(), named.is_none(), "{size:#x}");
        let mut read = vec![0; len];
        locked.source().read_at(FlashAddr(at as u32), &mut read).unwrap();
        assert!(read == known[at..at + len], "{size:#x}");
        drop(locked);
        drop(device);
        burn(&bench, &card).unwrap();
        assert!(verify_card(&mut opened(&card), &mut ()).unwrap().ok, "{size:#x}");
    }
}

#[test]
fn a_byte_order_of_one_transport_is_named_and_a_burn_uses_another() {
    for by in [BarAccess::Pread, BarAccess::Config] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.inject(Fault::SwappedBytes { by });
        let outcome = tested(&bench, &card);
        let stage = outcome.stages.iter().find(|stage| stage.id == StageId::Transports).unwrap();
        assert_eq!(stage.result, StageResult::Contradicted, "{stage:?}");
        assert!(stage.detail.contains("other order"), "{stage:?}");
        burn(&bench, &card).unwrap();
    }
}

/// A Pro card whose chip boots for a while after each reset.
fn booting_card(pci_reset_boots: bool) -> SimCard {
    let spec = CardSpec { boot_ms: 3000, pci_reset_boots, ..pro_spec() };
    card_of(spec, &[(&own(&pro("2.36.5150")), Half::Even)])
}

#[test]
fn what_vfios_reset_and_a_software_reset_do_are_figures_of_their_own() {
    for (boots, what) in [(true, "restarts the chip"), (false, "does not restart the chip")] {
        let bench = Bench::new();
        let card = booting_card(boots);
        let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
        let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
        let stage = outcome.stages.iter().find(|stage| stage.id == StageId::Reset).unwrap();
        assert_eq!(stage.result, StageResult::Proved, "{stage:#?}");
        let figure = |name: &str| stage.figures.iter().find(|figure| figure.name == name);
        let text = |name| match figure(name).map(|figure| &figure.value) {
            Some(FigureValue::Text(text)) => text.clone(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(text("vfio_reset"), what);
        for name in ["vfio_ready_ms", "ready_ms", "vfio_config", "config", "kernel_messages"] {
            assert!(figure(name).is_some(), "{name}: {stage:#?}");
        }
        clean(&card);
    }
}

#[test]
fn a_chip_of_any_size_is_tested() {
    let bench = Bench::new();
    let image = own(&for_any_chip(pro("2.36.5150")));
    let card = card_of(CardSpec { chip: SimChip::W25q80, ..pro_spec() }, &[(&image, Half::Even)]);
    assert!(!tested(&bench, &card).contradicted);
}
