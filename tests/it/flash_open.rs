//! How a session begins, waits and ends: no chip, a busy chip, a busy host.

use crate::support::flash::{NO_PROBE, NoteLog, START, execute, job, old_flash, signature, sim_of};
use cx3flash::card::{Card, Clock, CrError, CrOffset, CrSpace, Reg, Semaphore};
use cx3flash::flash::{Boots, Events, Flash, FlashError, Phase, Stopped, plan_sectors};
use cx3flash::image::MAGIC;
use cx3flash::sim::{Fault, SimCard, SimChip};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// Data registers as `change` makes them, by the opcode of the last command.
struct Answers<F>(Box<dyn CrSpace>, u8, F);

impl<F: FnMut(u8, u32) -> u32> CrSpace for Answers<F> {
    fn read(&mut self, at: CrOffset) -> Result<u32, CrError> {
        let value = self.0.read(at)?;
        let is_data = (0xF_0410..0xF_0420).contains(&at.0);
        Ok(if is_data { (self.2)(self.1, value) } else { value })
    }

    fn write(&mut self, at: CrOffset, value: u32) -> Result<(), CrError> {
        if at.0 == 0xF_0400 {
            self.1 = (value >> 16) as u8;
        }
        self.0.write(at, value)
    }

    fn posts_writes(&self) -> bool {
        self.0.posts_writes()
    }

    fn pci_device_id(&mut self) -> Result<u16, CrError> {
        self.0.pci_device_id()
    }
}

fn answering(sim: &SimCard, change: impl FnMut(u8, u32) -> u32 + 'static) -> Card {
    let space = Answers(sim.bar0(), 0, change);
    Card::open(Box::new(space), sim.clock()).unwrap()
}

#[test]
fn a_missing_chip_is_reported_at_once() {
    for line in [0, u32::MAX] {
        let sim = sim_of(SimChip::M25px16, &old_flash(SimChip::M25px16));
        let mut card = answering(&sim, move |_, _| line);
        let clock = sim.clock();
        let before = clock.now();
        let error = Flash::lock(&mut card, clock.as_ref()).err().unwrap();
        assert!(matches!(error, FlashError::NoChip(_)), "{line:#x}: {error}");
        assert!(clock.now() - before < Duration::from_secs(1), "{line:#x}");
        assert!(sim.semaphores_held().is_empty());
    }
}

#[test]
fn an_id_that_never_reads_the_same_is_reported() {
    let sim = sim_of(SimChip::M25px16, &old_flash(SimChip::M25px16));
    let mut n = 0;
    let mut card = answering(&sim, move |opcode, value| {
        n += 0x100;
        if opcode == 0x9F { value ^ n } else { value }
    });
    let clock = sim.clock();
    let error = Flash::lock(&mut card, clock.as_ref()).err().unwrap();
    assert!(error.to_string().contains("JEDEC id"), "{error}");
}

/// Sends one command as another program does.
fn command(card: &mut Card, word: u32) {
    card.write(Reg::GatewayCommand, word).unwrap();
    while card.read(Reg::GatewayCommand).unwrap() & 1 << 30 != 0 {}
}

#[test]
fn the_erase_of_a_dead_program_is_waited_for_before_the_id_counts() {
    let sim = sim_of(SimChip::M25px16, &old_flash(SimChip::M25px16));
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    card.acquire(Semaphore::Flash).unwrap();
    command(&mut card, 0x4006_2004);
    card.write(Reg::GatewayAddress, START).unwrap();
    command(&mut card, 0x40D8_200C);
    card.release(Semaphore::Flash).unwrap();

    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    assert_eq!(locked.chip().jedec, 0x20_7115);
    assert!(locked.is_idle().unwrap());
    drop(locked);
    assert_eq!(sim.flash()[START as usize..][..16], [0xFF; 16]);
    assert_eq!(sim.misuse(), []);
}

fn burn(
    card: &mut Card,
    sim: &SimCard,
    clock: &dyn Clock,
    events: &mut dyn Events,
) -> Result<(), Stopped> {
    let mut locked = Flash::lock(card, clock).unwrap();
    let now = sim.flash();
    let job = job(START, vec![0x42; 700]);
    let plan = plan_sectors(&now, &locked.chip().geometry, &job).unwrap();
    assert!(locked.is_idle().unwrap());
    execute(locked, plan, &NO_PROBE, &signature(None, &[]), events)
}

/// The process loses the processor for 500 ms at every reading of the clock.
struct Losing {
    inner: Rc<dyn Clock>,
    lost: Cell<Duration>,
}

impl Clock for Losing {
    fn now(&self) -> Duration {
        self.lost.set(self.lost.get() + Duration::from_millis(500));
        self.inner.now() + self.lost.get()
    }

    fn sleep(&self, time: Duration) {
        self.inner.sleep(time);
    }
}

#[test]
fn a_process_that_loses_the_processor_all_the_time_burns_all_the_same() {
    for part in [SimChip::M25px16, SimChip::Sst25vf016b] {
        let sim = sim_of(part, &old_flash(part));
        let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
        let clock = Losing { inner: sim.clock(), lost: Cell::default() };
        burn(&mut card, &sim, &clock, &mut ())
            .unwrap_or_else(|stopped| panic!("{part}: {}", stopped.source));
        assert_eq!(sim.flash()[START as usize..][..16], MAGIC, "{part}");
        assert_eq!(sim.misuse(), [], "{part}");
    }
}

#[test]
fn a_session_that_stops_under_a_busy_chip_reports_that_it_waits() {
    let sim = sim_of(SimChip::M25px16, &old_flash(SimChip::M25px16));
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    sim.inject(Fault::StuckWip { op: 1 });
    let clock = sim.clock();
    let mut notes = NoteLog::default();
    let stopped = burn(&mut card, &sim, clock.as_ref(), &mut notes).unwrap_err();
    assert_eq!(stopped.phase, Phase::Erase);
    let text = stopped.source.to_string();
    assert!(text.contains("still busy after 40000 ms"), "{text}");
    assert_eq!(stopped.boots, Boots::Unknown, "a busy chip cannot be read");
    notes.contains("is still busy; waiting");
    assert!(sim.semaphores_held().is_empty());
}

#[test]
fn with_cmp_set_the_rest_of_the_chip_is_protected_and_no_bit_is_changed() {
    let sim = sim_of(SimChip::W25q16, &old_flash(SimChip::W25q16));
    let mut card = Card::open(sim.bar0(), sim.clock()).unwrap();
    card.acquire(Semaphore::Flash).unwrap();
    command(&mut card, 0x4006_2004);
    // Status 1: top 64 KiB; status 2: CMP.
    card.write(Reg::GatewayData(0), 0x0440_0000).unwrap();
    command(&mut card, 0x4001_2114);
    card.release(Semaphore::Flash).unwrap();

    let clock = sim.clock();
    let mut locked = Flash::lock(&mut card, clock.as_ref()).unwrap();
    assert_eq!(locked.protection().range, Some(0..0x1F_0000));
    let _ = sim.take_counters();
    let cleared = locked.clear_protection(0x04);
    let set = locked.set_protection(0x04, &(0..0x20_0000));
    for refused in [cleared, set] {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("CMP"), "{error}");
    }
    assert_eq!(sim.counters().status_writes, 0);
    drop(locked);
    let stopped = burn(&mut card, &sim, clock.as_ref(), &mut ()).unwrap_err();
    assert!(
        matches!(stopped.source, FlashError::Protected { .. }) && !stopped.touched,
        "{stopped:?}"
    );
    assert_eq!(sim.misuse(), []);
}
