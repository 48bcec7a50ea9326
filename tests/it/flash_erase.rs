//! The first change of a job: what must be true before it, and what is checked right after it.

use crate::support::flash::{self, NO_PROBE, START};
use crate::support::space::{Intercept, intercepted};
use cx3flash::card::{Card, CrError, CrOffset, CrSpace};
use cx3flash::flash::{Flash, FlashError, Job, Phase, SectorPlan, Stopped, plan_sectors};
use cx3flash::image::{FlashAddr, MAGIC};
use cx3flash::sim::{CardSpec, Fault, Op, SimCard};

fn used_flash() -> Vec<u8> {
    let mut flash: Vec<u8> = (0..0x20_0000_u32).map(|n| (n ^ n >> 8) as u8).collect();
    flash[START as usize..][..16].copy_from_slice(&MAGIC);
    flash
}

fn job(in_place: bool) -> Job {
    Job { in_place, ..flash::job(START, vec![0x42; 0x3000]) }
}

/// Plan `job` from the flash itself, let `change` at the plan, and go as far as the erase.
fn erase(
    sim: &SimCard,
    space: Box<dyn CrSpace>,
    job: &Job,
    change: impl FnOnce(&mut SectorPlan),
) -> Result<(), Stopped> {
    let clock = sim.clock();
    let mut card = Card::open(space, sim.clock()).unwrap();
    let locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    let mut plan = plan_sectors(&sim.flash(), &locked.chip().geometry, job).unwrap();
    change(&mut plan);
    locked.erase(plan, &NO_PROBE, &mut ())?;
    Ok(())
}

#[test]
fn in_place_the_old_signature_is_invalidated_before_anything_is_erased() {
    let sim = SimCard::new(CardSpec::default(), &used_flash());
    sim.start_trace();
    erase(&sim, sim.bar0(), &job(true), |_| ()).unwrap();
    let changes: Vec<Op> = sim
        .trace()
        .into_iter()
        .filter(|op| matches!(op, Op::Erase { .. } | Op::Program { .. }))
        .collect();
    let mut bytes = vec![0xFF; 16];
    bytes[..4].fill(0);
    assert_eq!(changes[0], Op::Program { at: START, bytes });
    // The sector of the signature is the last to be erased.
    let last = changes.last().unwrap();
    assert!(matches!(last, Op::Erase { at: START, .. }) && changes.len() > 3, "{changes:?}");
    assert_eq!(sim.misuse(), []);
}

#[test]
fn a_plan_that_is_not_valid_changes_nothing() {
    let smuggle = |plan: &mut SectorPlan| {
        plan.programs.push((FlashAddr(START), MAGIC.to_vec()));
    };
    let elsewhere = |plan: &mut SectorPlan| {
        plan.programs.push((FlashAddr(0), vec![0; 4]));
    };
    let changes: [&dyn Fn(&mut SectorPlan); 2] = [&smuggle, &elsewhere];
    for change in changes {
        let sim = SimCard::new(CardSpec::default(), &used_flash());
        let stopped = erase(&sim, sim.bar0(), &job(false), change).unwrap_err();
        assert!(matches!(stopped.source, FlashError::Plan { .. }), "{stopped:?}");
        assert!(!stopped.touched);
        assert_eq!(sim.mutations(), 0);
    }
}

#[test]
fn an_erase_that_did_nothing_is_found_at_once() {
    let sim = SimCard::new(CardSpec::default(), &used_flash());
    sim.inject(Fault::LyingWrite { op: 2 });
    let stopped = erase(&sim, sim.bar0(), &job(false), |_| ()).unwrap_err();
    assert_eq!(stopped.phase, Phase::Erase);
    assert!(matches!(stopped.source, FlashError::NotBlank { .. }), "{stopped:?}");
    assert!(stopped.touched);
    assert_eq!(sim.mutations(), 2, "went on after an erase that failed");
}

/// A card whose chip does not get write enable: WRDI (04h) arrives in its place.
struct Deaf;

impl Intercept for Deaf {
    fn write(&mut self, card: &mut dyn CrSpace, at: CrOffset, value: u32) -> Result<(), CrError> {
        let value = if value == 0x4006_2004 { 0x4004_2004 } else { value };
        card.write(at, value)
    }
}

#[test]
fn no_erase_is_sent_to_a_chip_that_does_not_take_write_enable() {
    let sim = SimCard::new(CardSpec::default(), &used_flash());
    let stopped = erase(&sim, intercepted(&sim, Deaf), &job(false), |_| ()).unwrap_err();
    assert!(matches!(stopped.source, FlashError::WriteEnable(0)), "{stopped:?}");
    // An erase without write enable would be misuse.
    assert_eq!(sim.misuse(), []);
    assert!(sim.semaphores_held().is_empty());
}
