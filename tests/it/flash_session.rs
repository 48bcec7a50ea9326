//! The flash machine against the strict simulated card: order, proof, faults, cost.

use crate::support::flash::{
    SignatureProbe, card_of, execute, job, noise, reading_ends_with_a_card_that_is_gone, signature,
    sim_of,
};
use crate::support::space::{Intercept, intercepted};
use cx3flash::card::{
    Card, CardError, Clock, CrError, CrOffset, CrSpace, Semaphore, SemaphoreState, Staleness,
};
use cx3flash::flash::{
    Boots, EraseSize, Events, Flash, FlashError, Job, Phase, SectorPlan, plan_sectors,
};
use cx3flash::image::{FlashAddr, MAGIC, Recipe, build};
use cx3flash::sim::{CardSpec, Fault, SimCard, SimChip, WrongRegister};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const PROBE: SignatureProbe = SignatureProbe { new: None, old: Some(0) };

/// 100,000 bytes behind a signature at 0x80000 of a chip whose other bytes are `flash`.
fn job_at(start: u32, body: &[u8]) -> Job {
    Job { protected: vec![0x17_E000..0x18_0000, 0x1F_E000..0x20_0000], ..job(start, body.to_vec()) }
}

fn plan(part: &cx3flash::flash::FlashChip, flash: &[u8], job: &Job) -> SectorPlan {
    plan_sectors(flash, &part.geometry, job).unwrap()
}

/// A complete job at `start`; the flash is read through the card first.
fn run(
    card: &mut Card,
    sim: &SimCard,
    job: &Job,
    events: &mut dyn Events,
) -> Result<(), cx3flash::flash::Stopped> {
    let clock = sim.clock();
    let mut locked = Flash::lock(card, clock.as_ref()).unwrap();
    let now = locked.source().read_all(Phase::Backup, &mut ()).unwrap();
    let sectors = plan(locked.chip(), &now, job);
    let start = job.signature_at.unwrap().0;
    execute(locked, sectors, &PROBE, &signature(Some(start << 8), &[]), events)
}

#[test]
fn every_chip_takes_a_complete_job() {
    let parts = [
        SimChip::M25px16,
        SimChip::W25q16,
        SimChip::W25q32,
        SimChip::Mx25l1606,
        SimChip::Sst25vf016b,
        SimChip::N25q032,
        SimChip::M25p16,
    ];
    for part in parts {
        let old = noise(part.size() as usize, 5);
        let (sim, mut card) = card_of(part, &old);
        let body = noise(20_000, 9);
        let job = Job { protected: Vec::new(), ..job_at(0x8_0000, &body) };
        run(&mut card, &sim, &job, &mut ())
            .unwrap_or_else(|e| panic!("{part:?}: {e}: {}", e.source));
        assert_eq!(sim.misuse(), [], "{part:?}");
        let now = sim.flash();
        assert_eq!(now[0x8_0000..0x8_0010], MAGIC, "{part:?}");
        assert!(now[0x8_0010..][..body.len()] == body, "{part:?}");
        let end = 0x8_0010 + body.len();
        assert!(
            now[..0x8_0000] == old[..0x8_0000] && now[end..] == old[end..],
            "{part:?}: neighbours changed"
        );
        assert!(sim.semaphores_held().is_empty(), "{part:?}");
    }
}

#[test]
fn a_protected_chip_is_refused_before_anything_changes() {
    let old = noise(0x20_0000, 4);
    let (sim, mut card) = card_of(SimChip::W25q16, &old);
    sim.inject(Fault::Protected { status: 0x1C });
    let stopped = run(&mut card, &sim, &job_at(0x8_0000, &noise(100, 1)), &mut ()).unwrap_err();
    assert!(matches!(stopped.source, FlashError::Protected { status: 0x1C, .. }), "{stopped:?}");
    assert!(!stopped.touched);
    assert_eq!(sim.mutations(), 0);
    assert!(sim.flash() == old);
}

#[test]
fn a_lying_write_is_found_before_the_signature() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
    sim.inject(Fault::LyingWrite { op: 5 });
    let stopped = run(&mut card, &sim, &job_at(0x8_0000, &noise(9000, 1)), &mut ()).unwrap_err();
    assert_eq!(stopped.phase, Phase::Verify);
    assert!(stopped.touched);
    assert!(matches!(stopped.source, FlashError::Differs { .. }), "{stopped:?}");
    assert_eq!(sim.flash()[0x8_0000..0x8_0010], [0xFF; 16]);
}

#[test]
fn a_flipped_bit_is_found_before_the_signature() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    sim.inject(Fault::FlippedBit { op: 3, bit: 77 });
    let stopped = run(&mut card, &sim, &job_at(0x8_0000, &noise(9000, 1)), &mut ()).unwrap_err();
    assert_eq!(stopped.phase, Phase::Verify, "{stopped:?}");
    assert_eq!(sim.flash()[0x8_0000..0x8_0010], [0xFF; 16]);
}

/// A clock that is 20 ms later each time it is read: waits end after few polls.
struct Hasty(Rc<dyn Clock>, Cell<Duration>);

impl Clock for Hasty {
    fn now(&self) -> Duration {
        self.1.set(self.1.get() + Duration::from_millis(20));
        self.0.now() + self.1.get()
    }

    fn sleep(&self, time: Duration) {
        self.0.sleep(time);
    }
}

#[test]
fn nothing_is_sent_to_a_gateway_while_it_is_busy() {
    let body = noise(600, 1);
    let old = noise(0x10_0000, 4);
    let play = |fault: Option<Fault>, hasty: bool| {
        let (sim, mut card) = card_of(SimChip::W25q80, &old);
        let clock = Hasty(sim.clock(), Cell::default());
        let clock: &dyn Clock = if hasty { &clock } else { &*clock.0 };
        let locked = Flash::lock(&mut card, clock).unwrap();
        let sectors = plan(locked.chip(), &old, &job(0x8_0000, body.clone()));
        let before = sim.counters().gateway_commands;
        if let Some(fault) = fault {
            sim.inject(fault);
        }
        let ended = execute(locked, sectors, &PROBE, &signature(None, &[]), &mut ());
        (sim.counters().gateway_commands - before, ended, sim)
    };
    let (commands, ended, _) = play(None, true);
    ended.unwrap();
    assert!(commands > 100);
    // Of a program, one that takes longer than it is waited for, and ends.
    let program = commands / 2;
    let cases = (0..commands).map(|after| (after, Fault::StuckBusy { after }));
    let slow = Fault::SlowGateway { after: program, ms: 15_000 };
    for (after, fault) in cases.chain([(program, slow)]) {
        let stuck = matches!(fault, Fault::StuckBusy { .. });
        let (_, ended, sim) = play(Some(fault), stuck);
        let stopped = ended.expect_err("success with a gateway that stays busy");
        assert!(matches!(stopped.source, FlashError::GatewayTimeout(_)), "{after}: {stopped:?}");
        assert_eq!(sim.misuse(), [], "command {after}");
        assert_eq!(stopped.boots == Boots::Unknown, stuck, "{after}: {stopped:?}");
    }
}

#[test]
fn stuck_wip_and_stuck_busy_end_with_their_names() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
    sim.inject(Fault::StuckWip { op: 1 });
    let stopped = run(&mut card, &sim, &job_at(0x8_0000, &noise(100, 1)), &mut ()).unwrap_err();
    assert!(matches!(stopped.source, FlashError::FlashTimeout { .. }), "{stopped:?}");

    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    sim.inject(Fault::StuckBusy { after: 0 });
    let clock = sim.clock();
    let error = Flash::lock(&mut card, clock.as_ref()).err().unwrap();
    assert!(matches!(error, FlashError::GatewayTimeout(_)), "{error:?}");
}

#[test]
fn a_vanished_card_is_gone_and_never_data() {
    for after in [0, 40, 100, 1_000, 50_000] {
        let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
        sim.inject(Fault::Removed { after });
        reading_ends_with_a_card_that_is_gone(&sim, &mut card, after);
    }
}

#[test]
fn semaphores_are_waited_for_and_named_when_they_stay_taken() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    sim.inject(Fault::SemaphoreHeld { number: 63, reads: Some(5), owner_alive: false });
    let clock = sim.clock();
    assert!(Flash::lock(&mut card, clock.as_ref()).is_ok());
    assert!(sim.semaphores_held().is_empty());

    sim.inject(Fault::SemaphoreHeld { number: 63, reads: None, owner_alive: false });
    let error = Flash::lock(&mut card, clock.as_ref()).err().unwrap();
    assert!(
        matches!(error, FlashError::Card(CardError::SemaphoreHeld { number: 63, .. })),
        "{error:?}"
    );
    assert_eq!(sim.semaphores_held(), [63], "40 must be free again, 63 is not ours to free");
}

#[test]
fn a_semaphore_40_that_a_silent_tool_holds_is_not_taken_over_after_a_read_without_an_answer() {
    for kind in [WrongRegister::RequestLost, WrongRegister::AnswerLost, WrongRegister::Locked] {
        let (sim, mut card) = card_of(SimChip::M25px16, &[]);
        sim.inject(Fault::SemaphoreHeld { number: 40, reads: None, owner_alive: false });
        sim.inject(Fault::WrongRegister { after: 0, at: Some(0xf_03a0), reads: 1, kind });
        let clock = sim.clock();
        let error = Flash::lock(&mut card, clock.as_ref()).err().expect("it was taken over");
        assert!(
            matches!(error, FlashError::Card(CardError::SemaphoreHeld { number: 40, .. })),
            "{error:?}"
        );
        assert_eq!(sim.semaphores_held(), [40], "{kind:?}");
    }
}

#[test]
fn semaphore_63_is_reclaimed_after_a_read_whose_answer_was_lost() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    let kind = WrongRegister::AnswerLost;
    sim.inject(Fault::WrongRegister { after: 0, at: Some(0xf_03fc), reads: 1, kind });
    let clock = sim.clock();
    assert!(Flash::lock(&mut card, clock.as_ref()).is_ok());
    assert!(sim.semaphores_held().is_empty());
}

#[test]
fn semaphore_47_is_reclaimed_after_a_read_whose_answer_was_lost() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    let kind = WrongRegister::AnswerLost;
    sim.inject(Fault::WrongRegister { after: 0, at: Some(0xf_03bc), reads: 1, kind });
    card.acquire(Semaphore::ToolsHcr).unwrap();
    // One that another tool holds stays its.
    sim.inject(Fault::SemaphoreHeld { number: 47, reads: None, owner_alive: true });
    assert!(card.acquire(Semaphore::ToolsHcr).is_err());
}

#[test]
fn a_probe_whose_read_was_not_answered_does_not_call_its_own_semaphore_another_programs() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    let mut probe = |kind| {
        sim.inject(Fault::WrongRegister { after: 0, at: Some(0xf_03fc), reads: 1, kind });
        card.probe_semaphore(Semaphore::Flash).unwrap()
    };
    assert_eq!(probe(WrongRegister::RequestLost), SemaphoreState::Free);
    assert_eq!(probe(WrongRegister::AnswerLost), SemaphoreState::Unknown);
}

/// The first flush write of many arrives 1200 reads late: after it was sent again, and after that one.
struct LateFlush {
    armed: Rc<Cell<bool>>,
    arrives_in: Option<u32>,
}

const FLUSH: CrOffset = CrOffset(0xf_0380);

impl Intercept for LateFlush {
    fn read(&mut self, card: &mut dyn CrSpace, at: CrOffset) -> Result<u32, CrError> {
        self.arrives_in = match self.arrives_in {
            Some(0) => {
                card.write(FLUSH, 0)?;
                None
            }
            left => left.map(|n| n - 1),
        };
        card.read(at)
    }

    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        if at == FLUSH && self.armed.replace(false) {
            self.arrives_in = Some(1200);
            return Ok(());
        }
        card.write(at, value)
    }
}

#[test]
fn a_flush_write_that_was_sent_again_does_not_free_semaphore_32_early() {
    let sim = sim_of(SimChip::M25px16, &[]);
    let armed = Rc::new(Cell::new(false));
    let late = intercepted(&sim, LateFlush { armed: Rc::clone(&armed), arrives_in: None });
    let mut card = Card::open(late, sim.clock()).unwrap();
    card.boot_address().unwrap();
    armed.set(true);
    card.set_boot_address(0x1_0000 << 8).unwrap();
    for _ in 0..400 {
        card.boot_address().unwrap();
    }
    // A free one would answer the next flush before its writes have arrived.
    assert_ne!(sim.bar0().read(FLUSH).unwrap(), 0, "semaphore 32 is free");
}

#[test]
fn a_stale_semaphore_differs_from_one_in_use() {
    let (sim, mut card) = card_of(SimChip::M25px16, &[]);
    let time = Duration::from_secs(2);
    assert_eq!(card.watch(Semaphore::Flash, time).unwrap(), Staleness::Free);
    sim.inject(Fault::SemaphoreHeld { number: 63, reads: Some(20), owner_alive: false });
    assert!(matches!(card.watch(Semaphore::Flash, time).unwrap(), Staleness::InUse { .. }));
    sim.inject(Fault::SemaphoreHeld { number: 63, reads: None, owner_alive: false });
    assert!(matches!(card.watch(Semaphore::Flash, time).unwrap(), Staleness::Stale { .. }));
    card.release(Semaphore::Flash).unwrap();
    assert_eq!(card.probe_semaphore(Semaphore::Flash).unwrap(), SemaphoreState::Free);
    assert!(sim.semaphores_held().is_empty());
}

#[test]
fn special_values_at_the_device_id_are_named_at_open() {
    let open = |spec: CardSpec, fault: Option<Fault>| {
        let sim = SimCard::new(spec, &build(&Recipe::default()).unwrap());
        if let Some(fault) = fault {
            sim.inject(fault);
        }
        Card::open(sim.bar0(), sim.clock()).map(|_| ())
    };
    let locked = CardSpec { secure_host: true, ..CardSpec::default() };
    assert!(matches!(open(locked, None), Err(CardError::Locked)));
    let gone = open(CardSpec::default(), Some(Fault::Removed { after: 0 }));
    assert!(matches!(gone, Err(CardError::Gone { .. })), "{gone:?}");
}

#[test]
fn late_writes_do_no_harm_thanks_to_the_flush() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
    sim.inject(Fault::DelayedWrites { depth: 4 });
    run(&mut card, &sim, &job_at(0x8_0000, &noise(5000, 1)), &mut ()).unwrap();
    assert_eq!(sim.misuse(), []);
}

/// Requests a stop after a number of events.
struct StopAfter(u32);

impl Events for StopAfter {
    fn emit(&mut self, _: cx3flash::flash::Event) {
        self.0 = self.0.saturating_sub(1);
    }
    fn stop_requested(&self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_request_to_stop_before_the_first_erase_changes_nothing() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
    let stopped =
        run(&mut card, &sim, &job_at(0x8_0000, &noise(5000, 1)), &mut StopAfter(0)).unwrap_err();
    assert!(matches!(stopped.source, FlashError::Interrupted));
    assert!(!stopped.touched);
    assert_eq!(sim.mutations(), 0);
}

#[test]
fn a_request_to_stop_is_ignored_where_nothing_else_boots() {
    let (sim, mut card) = card_of(SimChip::M25px16, &noise(0x20_0000, 4));
    let job = Job { in_place: true, ..job_at(0, &noise(5000, 1)) };
    run(&mut card, &sim, &job, &mut StopAfter(3)).unwrap();
    assert_eq!(sim.flash()[..16], MAGIC);
}

#[test]
fn in_place_invalidates_the_old_signature_first_and_does_its_sector_last() {
    let mut old = noise(0x20_0000, 4);
    old[..16].copy_from_slice(&MAGIC);
    let (sim, mut card) = card_of(SimChip::M25px16, &old);
    let clock = sim.clock();
    let locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let job = Job { in_place: true, protected: Vec::new(), ..job_at(0, &noise(0x2_8000, 1)) };
    let plan = plan(locked.chip(), &old, &job);
    assert!(plan.invalidate_first);
    assert!(!plan.interruptible);
    assert_eq!(plan.erases.last().unwrap().0, FlashAddr(0));
    assert!(plan.programs.last().unwrap().0.0 < 0x1000);
    assert!(plan.erases.iter().any(|(_, size)| *size == EraseSize::K64));
}
