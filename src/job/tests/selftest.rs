//! The self-test: each broken assumption is named, and what a burn does then.

use super::bench::*;
use crate::card::BarAccess;
use crate::flash::Events;
use crate::image::{Half, Recipe, Version};
use crate::job::proofs::ProofStore;
use crate::job::*;
use crate::plan::{BurnOptions, CheckId};
use crate::sim::{CardSpec, Fault, SimCard};

pub(super) const SERIAL: &str = "00-02";

/// The card, opened, with a place for its record.
pub(super) fn kept(bench: &Bench, card: &SimCard) -> Device {
    let mut device = opened(card);
    device.proofs = Some(ProofStore::at(&bench.path("cards"), SERIAL.into()));
    device
}

pub(super) fn facts() -> DriverFacts {
    DriverFacts { serial: Some(SERIAL.into()), ..DriverFacts::default() }
}

pub(super) fn tested_as(
    bench: &Bench,
    card: &SimCard,
    request: SelftestRequest<'_>,
    events: &mut dyn Events,
) -> Result<SelftestOutcome, JobError> {
    let mut device = kept(bench, card);
    selftest(&mut device, facts(), request, None, events, &mut None)
}

pub(super) fn tested(bench: &Bench, card: &SimCard) -> SelftestOutcome {
    tested_as(bench, card, SelftestRequest::default(), &mut ()).unwrap()
}

#[track_caller]
pub(super) fn result(outcome: &SelftestOutcome, id: StageId) -> StageResult {
    outcome.stages.iter().find(|stage| stage.id == id).unwrap().result
}

pub(super) fn burn(bench: &Bench, card: &SimCard) -> Result<WriteOutcome, JobError> {
    let image = bench.image(&pro("2.42.5000"));
    let mut device = kept(bench, card);
    bench.write(&mut device, &WriteRequest::Burn(&image, &BurnOptions::default()))
}

/// What a burn does after a contradiction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Refused by the check `selftest`.
    Refused,
    /// Refused before the plan: the card cannot be locked.
    Held,
    /// Done, by single reads.
    Singly,
    /// Done by the transport in use, which is one of those that agree.
    Done,
}

#[test]
fn each_broken_assumption_is_named_and_a_burn_is_refused_or_does_without_it() {
    let at = 0x1E_0000;
    let other = |by, at, flip| Fault::OtherAnswer { by, at, flip };
    let cases = [
        (other(BarAccess::Mmap, 0xF_0000, 0x100), StageId::Transports, Then::Refused),
        (other(BarAccess::Pread, 0x1_F064, 1), StageId::Transports, Then::Done),
        (other(BarAccess::Config, 0xF_0014, 1 << 16), StageId::Transports, Then::Done),
        (Fault::SwappedBytes { by: BarAccess::Config }, StageId::Transports, Then::Done),
        (Fault::SemaphoreSticks { number: 63 }, StageId::Semaphores, Then::Held),
        (Fault::UnstableId { every: 7 }, StageId::Gateway, Then::Refused),
        (Fault::MovingFlash { at, every: 5000 }, StageId::Readings, Then::Refused),
        (Fault::BrokenChain { from: 16 }, StageId::Chains64, Then::Singly),
        (Fault::BrokenChain { from: 128 }, StageId::Chains256, Then::Singly),
        (Fault::BrokenChain { from: 1024 }, StageId::Chains4096, Then::Singly),
        (
            Fault::ShowsVersion { fw_version: Version { major: 9, minor: 9, subminor: 9 } },
            StageId::Running,
            Then::Refused,
        ),
    ];
    for (fault, id, then) in cases {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        card.inject(fault.clone());
        let outcome = tested(&bench, &card);
        let mut named: Vec<StageId> = outcome.contradictions().collect();
        named.retain(|id| *id != StageId::Restored);
        assert_eq!(named, [id], "{fault:?}");
        assert!(outcome.contradicted);
        untouched(&card.counters());
        // The firmware stops writing: the record counts.
        let burnt = card.fork();
        let chained = burnt.chained_reads();
        let ended = burn(&bench, &burnt);
        match then {
            Then::Refused => {
                let error = ended.unwrap_err();
                assert_eq!(error.refused_by(), [CheckId::Selftest], "{fault:?}: {error}");
                assert_eq!(error.outcome().exit, Exit::Refused);
                assert!(error.to_string().contains(&id.name()), "{error}");
                untouched(&burnt.counters());
            }
            Then::Held => {
                assert_eq!(ended.unwrap_err().outcome().exit, Exit::NotReady, "{fault:?}");
                untouched(&burnt.counters());
            }
            Then::Singly => {
                assert!(ended.is_ok(), "{fault:?}: {ended:?}");
                assert_eq!(burnt.chained_reads(), chained, "{fault:?}");
            }
            Then::Done => assert!(ended.is_ok(), "{fault:?}: {ended:?}"),
        }
    }
}

#[test]
fn stages_behind_a_contradiction_are_skipped_and_name_it() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(Fault::BrokenChain { from: 128 });
    let outcome = tested(&bench, &card);
    assert_eq!(result(&outcome, StageId::Chains64), StageResult::Proved);
    assert_eq!(result(&outcome, StageId::Chains256), StageResult::Contradicted);
    let longest = outcome.stages.iter().find(|stage| stage.id == StageId::Chains4096).unwrap();
    assert_eq!(longest.result, StageResult::Skipped);
    assert!(longest.detail.contains("chains_256"), "{longest:?}");
    assert_eq!(result(&outcome, StageId::Images), StageResult::Proved);
}

#[test]
fn a_transport_with_the_other_byte_order_is_named_although_the_card_cannot_be_opened() {
    let card = pro_card(Half::Even);
    card.inject(Fault::SwappedBytes { by: BarAccess::Mmap });
    let error = open_sim(&card, "sim:test").map(drop).unwrap_err();
    let outcome = selftest_unopened(facts(), &error).unwrap();
    assert_eq!(outcome.contradictions().collect::<Vec<_>>(), [StageId::Transports]);
    assert!(selftest_unopened(facts(), &JobError::Interrupted).is_none());
}

#[test]
fn a_card_without_a_defect_proves_all_that_can_be_seen_and_is_read_by_chains_from_then_on() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let request = SelftestRequest { tools_interface: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    for id in [
        StageId::Transports,
        StageId::Semaphores,
        StageId::Gateway,
        StageId::Readings,
        StageId::Chains64,
        StageId::Chains256,
        StageId::Chains4096,
        StageId::Images,
        StageId::Running,
        StageId::Restored,
    ] {
        assert_eq!(result(&outcome, id), StageResult::Proved, "{id:?}: {outcome:#?}");
    }
    assert!(!outcome.contradicted);
    assert!(outcome.record.is_some());
    untouched(&card.counters());
    clean(&card);
    assert!(flash_info(&mut kept(&bench, &card)).unwrap().chained_reads);
}

#[test]
fn what_a_driver_knew_is_compared_with_the_flash() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    let identity = identity_show(&mut opened(&card)).unwrap();
    let psid = identity.psid.unwrap().as_str().to_owned();
    let mac = identity.identity.macs[0].to_string();
    for (board, mac, wanted) in [
        (psid.as_str(), mac.as_str(), StageResult::Proved),
        (psid.as_str(), "0002c9ffffff", StageResult::Unknown),
        ("MT_0000000001", mac.as_str(), StageResult::Contradicted),
    ] {
        let driver = DriverFacts {
            driver: Some("mlx4_core".into()),
            fw_version: Some("2.36.5150".into()),
            board_id: Some(board.to_owned()),
            macs: vec![mac.to_owned()],
            ..facts()
        };
        let mut device = kept(&bench, &card);
        let request = SelftestRequest::default();
        let ended = selftest(&mut device, driver, request, None, &mut (), &mut None);
        let outcome = ended.unwrap();
        assert_eq!(result(&outcome, StageId::Identity), wanted, "{board} {mac}");
    }
}

#[test]
fn two_halves_of_the_version_that_runs_show_neither() {
    let bench = Bench::new();
    let image = own(&pro("2.36.5150"));
    let card = card_of(pro_spec(), &[(&image, Half::Even), (&image, Half::Odd)]);
    let outcome = tested(&bench, &card);
    assert_eq!(result(&outcome, StageId::Running), StageResult::Unknown);
    assert!(!outcome.contradicted);
}

#[test]
fn an_update_that_waits_for_its_reset_is_no_contradiction_and_a_reset_that_loads_it_is_proved() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    burn(&bench, &card).unwrap();
    let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    assert_eq!(result(&outcome, StageId::Running), StageResult::Unknown);
    assert_eq!(result(&outcome, StageId::Reset), StageResult::Proved);
    assert!(!outcome.contradicted, "{outcome:#?}");
}

#[test]
fn a_reset_that_loads_nothing_is_contradicted_and_a_burn_leaves_the_start_to_the_next_power_on() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    burn(&bench, &card).unwrap();
    card.inject(Fault::ResetKeeps);
    let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    assert_eq!(outcome.contradictions().collect::<Vec<_>>(), [StageId::Reset]);
    let image = bench.image(&pro("2.43.5000"));
    let written = bench.burn_and_activate(&mut kept(&bench, &card), &image).unwrap();
    assert_eq!(written.activation, None);
    assert_eq!(written.boots.unwrap().version, Some(version("2.43.5000")));
}

#[test]
fn a_reset_that_does_not_arrive_is_contradicted() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(Fault::LostWrite { after: 0, at: Some(0xF_0010) });
    let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    assert_eq!(outcome.contradictions().collect::<Vec<_>>(), [StageId::Reset]);
    // The lost write was not flushed, which the card notes.
    assert!(card.semaphores_held().is_empty());
}

#[test]
fn a_slow_gateway_contradicts_nothing() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.set_hurry(true);
    card.inject(Fault::GatewayPace { us: 2000 });
    let outcome = tested(&bench, &card);
    assert_eq!(result(&outcome, StageId::Gateway), StageResult::Unknown);
    assert!(!outcome.contradicted);
}

#[test]
fn a_card_in_recovery_mode_runs_what_it_can() {
    let bench = Bench::new();
    let card = SimCard::new(CardSpec::default(), &[]);
    let request =
        SelftestRequest { tools_interface: true, reset: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    for (id, wanted) in [
        (StageId::Transports, StageResult::Proved),
        (StageId::Gateway, StageResult::Proved),
        (StageId::Readings, StageResult::Proved),
        (StageId::Chains4096, StageResult::Unknown),
        (StageId::Images, StageResult::Unknown),
        (StageId::ToolsInterface, StageResult::Unknown),
        (StageId::Reset, StageResult::Unknown),
    ] {
        assert_eq!(result(&outcome, id), wanted, "{id:?}: {outcome:#?}");
    }
    assert!(!outcome.contradicted);
    clean(&card);
}

#[test]
fn the_first_burn_on_a_card_runs_the_quick_stages_and_is_refused_by_what_they_contradict() {
    let bench = Bench::new();
    let card = pro_card(Half::Even);
    card.inject(Fault::UnstableId { every: 3 });
    let error = burn(&bench, &card).unwrap_err();
    assert_eq!(error.refused_by(), [CheckId::Selftest], "{error}");
    untouched(&card.counters());
    // The defect is gone, and a test of the card shows it.
    card.power_cycle();
    let again = burn(&bench, &card).unwrap_err();
    assert_eq!(again.refused_by(), [CheckId::Selftest], "{again}");
    assert!(!tested(&bench, &card).contradicted);
    burn(&bench, &card).unwrap();
}

#[test]
fn one_wrong_answer_contradicts_nothing() {
    for fault in [
        Fault::WrongAnswer { opcode: 0x9F, after: 20, flip: 1 << 10 },
        Fault::WrongRead {
            after: 0,
            kind: crate::sim::WrongRead::Flipped { bit: 3 },
            at: Some(0x40),
        },
        Fault::WrongRegister {
            after: 0,
            at: Some(0xF_0000),
            reads: 1,
            kind: crate::sim::WrongRegister::Flipped { bit: 9 },
        },
    ] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        let mut device = kept(&bench, &card);
        card.inject(fault.clone());
        let request = SelftestRequest::default();
        let ended = selftest(&mut device, facts(), request, None, &mut (), &mut None);
        let outcome = ended.unwrap();
        assert_eq!(card.faults(), [], "{fault:?}");
        assert!(!outcome.contradicted, "{fault:?}: {outcome:#?}");
    }
}

#[test]
fn an_expendable_card_is_backed_up_erased_programmed_and_burned_again() {
    for card in [pro_card(Half::Even), owner_card()] {
        let bench = Bench::new();
        let before = card.flash();
        let expendable = Expendable { serial: SERIAL, backup_dir: &bench.backups() };
        let request =
            SelftestRequest { expendable: Some(expendable), ..SelftestRequest::default() };
        let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
        for id in [
            StageId::WriteEnable,
            StageId::BlankProgram,
            StageId::Erase4K,
            StageId::Erase64K,
            StageId::BurnAgain,
        ] {
            assert_eq!(result(&outcome, id), StageResult::Proved, "{id:?}: {outcome:#?}");
        }
        let stored = std::fs::read(outcome.backup.unwrap().join("flash.bin")).unwrap();
        assert!(stored == before);
        assert!(verify_card(&mut opened(&card), &mut ()).unwrap().ok);
        clean(&card);
    }
}

#[test]
fn an_erase_that_does_nothing_or_hits_a_neighbour_is_found_on_an_expendable_card() {
    // Operations: FF over FF, two patterns, the erase of 4 KiB.
    for fault in [Fault::LyingWrite { op: 4 }, Fault::Misdirected { op: 4, to: 0 }] {
        let bench = Bench::new();
        let card = pro_card(Half::Odd);
        let expendable = Expendable { serial: SERIAL, backup_dir: &bench.backups() };
        let request =
            SelftestRequest { expendable: Some(expendable), ..SelftestRequest::default() };
        card.inject(fault.clone());
        let error = tested_as(&bench, &card, request, &mut ()).unwrap_err();
        assert_eq!(error.outcome().exit, Exit::StillBoots, "{fault:?}: {error}");
        assert_eq!(card.faults(), []);
        // The error ends the test; the record of it refuses what writes later.
        let refused = burn(&bench, &card).unwrap_err();
        assert_eq!(refused.refused_by(), [CheckId::Selftest], "{fault:?}: {refused}");
        assert!(refused.to_string().contains("erase_4k"), "{refused}");
    }
}

#[test]
fn another_serial_number_is_refused() {
    let dir = std::path::Path::new("backups");
    let named = |serial| Expendable { serial, backup_dir: dir }.check(&facts());
    assert!(named(SERIAL).is_ok());
    let error = named("00-03").unwrap_err();
    assert_eq!(error.outcome().exit, Exit::Refused);
    assert!(error.to_string().contains(SERIAL), "{error}");
}

#[test]
fn a_card_on_which_nothing_is_relied_on_to_boot_is_not_reset() {
    let card = owner_card();
    // It does not list this revision, and another one runs.
    let odd = own(&Recipe { supported_hw: vec![(0x1F5, 0)], ..cx3("2.42.5000") });
    card.load_flash(0, odd.bytes());
    let bench = Bench::new();
    assert!(activate(&mut opened(&card), &mut ()).is_err());
    let request = SelftestRequest { reset: true, ..SelftestRequest::default() };
    let outcome = tested_as(&bench, &card, request, &mut ()).unwrap();
    let reset = outcome.stages.iter().find(|stage| stage.id == StageId::Reset).unwrap();
    assert_eq!(reset.result, StageResult::Unknown);
    assert!(reset.detail.starts_with("not reset"), "{reset:?}");
}

#[test]
fn a_contradiction_warns_where_nothing_boots_and_recover_is_not_refused() {
    let bench = Bench::new();
    let card = SimCard::new(CardSpec::default(), &[]);
    card.inject(Fault::OtherAnswer { by: BarAccess::Mmap, at: 0x1_F064, flip: 1 });
    assert!(tested(&bench, &card).contradicted);
    let image = bench.image(&cx3("2.42.5000"));
    let mut device = kept(&bench, &card);
    let written = bench.write(&mut device, &WriteRequest::Recover(&image, &identity())).unwrap();
    let warnings = &written.plan.warnings;
    assert!(warnings.iter().any(|text| text.contains("transports")), "{warnings:?}");
}

#[test]
fn a_contradiction_about_chains_of_any_length_withdraws_an_earlier_proof() {
    for from in [16, 128, 1024] {
        let bench = Bench::new();
        let card = pro_card(Half::Even);
        assert!(!tested(&bench, &card).contradicted);
        assert!(flash_info(&mut kept(&bench, &card)).unwrap().chained_reads);
        card.inject(Fault::BrokenChain { from });
        assert!(tested(&bench, &card).contradicted);
        assert!(!flash_info(&mut kept(&bench, &card)).unwrap().chained_reads, "{from}");
    }
}
